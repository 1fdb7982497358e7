"""The few constants of an engine step by software stack, from data/constants.csv and data/fitted.csv, each with range,
grade and source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from functools import cache

from gigawatt.catalog import sourced_table
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.evidence import Sourced

# vllm_eager is vLLM of 2023, without captured graphs; amd is ATOM and vLLM as AMD builds it.
ENGINES = ("vllm", "sglang", "tensorrt_llm", "amd", "vllm_eager", "any")


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
    found = dict(sourced_table("gigawatt.serving", "data/constants.csv"))
    plain = {name: number for name, number in found.items() if "." not in name}
    for key, number in (*found.items(), *sourced_table("gigawatt.serving", "data/fitted.csv").items()):
        stack, _, rest = key.rpartition(".")
        name, _, family = rest.partition("@")
        if stack in ("", "*", engine) and fnmatchcase(chip, family or "*"):
            plain[name] = number
    return plain


def engine_constants(engine: str = "any", chip: str = "") -> EngineConstants:
    """Return the constants of an engine on a chip as floats."""
    facts = engine_facts(engine, chip)
    return EngineConstants(**{item.name: facts[item.name].best for item in fields(EngineConstants)})
