"""The few constants of an engine step by software stack, from data/constants.csv and data/fitted.csv, each with range,
grade and source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from functools import cache
from math import prod

from gigawatt.catalog import sourced_table
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.evidence import Sourced

# vllm_eager is vLLM of 2023, without captured graphs; amd is ATOM and vLLM as AMD builds it.
ENGINES = ("vllm", "sglang", "tensorrt_llm", "amd", "vllm_eager", "any")

# What an answer for any engine stands between.
CURRENT = ("vllm", "sglang", "tensorrt_llm")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConstants:
    """Shares of the chip's kernels that an engine reaches and its fixed times; meaning and source stand in
    data/constants.csv.
    """

    compute: float
    expert_compute: float
    unpack_compute: float
    clock: float
    memory: float
    narrow_memory: float
    kv_memory: float
    attention: float
    launch: float
    layer_s: float
    expert_layer_s: float
    narrow_layer_s: float
    collective_s: float
    step_s: float
    sequence_s: float
    first_s: float
    prompt_layer_s: float
    prompt_latent_layer_s: float
    expert_imbalance: float
    overlap: float
    expert_half: float
    memory_share: float
    workspace_bytes: float
    slots: float
    token_budget: float
    mixed: float
    reserve: float


@cache
def engine_facts(engine: str = "any", chip: str = "") -> Mapping[str, Sourced]:
    """Return the constants of an engine as sourced numbers by name. Raises InputError for an unknown engine."""
    if engine not in ENGINES:
        raise InputError(
            Problem(
                message="no such serving engine",
                path="serving.engine",
                found=repr(engine),
                allowed=", ".join(ENGINES),
                nearest=nearest_name(engine, ENGINES),
            )
        )
    keys = [*sourced_table("gigawatt.serving", "data/constants.csv").items()]
    keys += sourced_table("gigawatt.serving", "data/fitted.csv").items()
    if engine == "any":
        return _any_engine([_facts_of(stack, chip, keys) for stack in CURRENT])
    return _facts_of(engine, chip, keys)


def _facts_of(engine: str, chip: str, keys: list[tuple[str, Sourced]]) -> dict[str, Sourced]:
    """Return the constants of one engine: the plain ones, then those of any stack or this one that fit the chip, in the
    order of the tables.
    """
    found: dict[str, Sourced] = {}
    for key, number in keys:
        stack, _, rest = key.partition(".")
        name, _, family = (rest or stack).partition("@")
        if not rest or (stack in ("*", engine) and fnmatchcase(chip, family or "*")):
            found[name] = number
    return found


def _any_engine(engines: list[dict[str, Sourced]]) -> dict[str, Sourced]:
    """Return the geometric mean of what current engines have, with the range that they span together."""
    found = {}
    for name, first in engines[0].items():
        numbers = [engine[name] for engine in engines]
        values = [number.best for number in numbers]
        best = prod(values) ** (1.0 / len(values)) if min(values) > 0 else sum(values) / len(values)
        if len(set(values)) == 1:
            best = values[0]
        found[name] = replace(
            first, best=best, low=min(number.low for number in numbers), high=max(number.high for number in numbers)
        )
    return found


def engine_constants(engine: str = "any", chip: str = "") -> EngineConstants:
    """Return the constants of an engine on a chip as floats."""
    facts = engine_facts(engine, chip)
    return EngineConstants(**{item.name: facts[item.name].best for item in fields(EngineConstants)})
