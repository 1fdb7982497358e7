"""The few constants of an engine step by software stack, from data/constants.csv and data/fitted.csv, each with range,
grade and source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache

from gigawatt.catalog import sourced_table
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.evidence import Sourced

ENGINES = ("vllm", "sglang", "tensorrt_llm", "any")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConstants:
    """Shares of the chip's kernels that an engine reaches and its fixed times; meaning and source stand in
    data/constants.csv.
    """

    compute: float
    memory: float
    kv_memory: float
    attention: float
    layer_s: float
    collective_s: float
    step_s: float
    sequence_s: float
    expert_imbalance: float
    expert_half: float
    memory_share: float
    workspace_bytes: float


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
    del chip
    return sourced_table("gigawatt.serving", "data/constants.csv")


def engine_constants(engine: str = "any", chip: str = "") -> EngineConstants:
    """Return the constants of an engine on a chip as floats."""
    facts = engine_facts(engine, chip)
    return EngineConstants(**{item.name: facts[item.name].best for item in fields(EngineConstants)})
