"""The few constants of the step model, from data/constants.csv with range, grade and source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache

from gigawatt.catalog import sourced_table
from gigawatt.evidence import Sourced


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """Overlap shares, jitter, overheads and reserves of a training step; meaning and source stand in
    data/constants.csv.
    """

    data_parallel_overlap: float
    pipeline_send_overlap: float
    context_parallel_overlap: float
    expert_imbalance: float
    straggler_sigma: float
    host_per_layer_s: float
    step_overhead_s: float
    memory_reserve_bytes: float
    optimizer_traffic_bytes: float


@lru_cache(maxsize=1)
def constant_facts() -> Mapping[str, Sourced]:
    """Return the constants as sourced numbers by key."""
    return sourced_table("gigawatt.training", "data/constants.csv")


def constants(values: Mapping[str, float] | None = None) -> Constants:
    """Return the constants, with `values` in place of the packaged ones. Raises KeyError for a name that is none of
    them.
    """
    chosen = {key: fact.best for key, fact in constant_facts().items()}
    for key, value in (values or {}).items():
        if key not in chosen:
            raise KeyError(key)
        chosen[key] = value
    return Constants(**{item.name: chosen[item.name] for item in fields(Constants)})
