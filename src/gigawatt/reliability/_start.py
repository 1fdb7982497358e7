"""How long a job takes from its start to its first step: one model for plans, policies and scale limits.

    start = fixed + per_accelerator * n

The fixed part (processes, weights, compilation, graph capture) is fitted to thirteen MLPerf logs (data/start_up.csv), every
machine of a round counting alike; the growing part is the set-up of communicators (arXiv 2510.20171). `scripts/start_up.py`
makes both and tells what to expect of a machine that nobody has seen: a factor of 1.9 either way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gigawatt.catalog import sourced_table
from gigawatt.evidence import Sourced
from gigawatt.reliability._tables import at_end

Numbers: TypeAlias = float | NDArray[np.float64]
FIXED, PER_ACCELERATOR = "reliability.start_fixed_s", "reliability.start_per_accelerator_s"


@cache
def start_up_facts() -> Mapping[str, Sourced]:
    """Return the two numbers of the model by path, from the assumptions of the catalogue."""
    table = sourced_table("gigawatt.catalog", "data/assumptions.csv")
    return MappingProxyType({path: table[path] for path in (FIXED, PER_ACCELERATOR)})


def start_up_s(accelerators: Numbers, end: str = "best") -> Numbers:
    """Return the time from start to first step, fixed + per_accelerator*n, seconds; `end` is "low", "best" or "high".

    16,384: 493 s. The logs end at 11,616 accelerators and lie between the ends; beyond, an extrapolation. Raises
    ValueError for another `end`.
    """
    fixed, slope = (at_end(start_up_facts()[path], end) for path in (FIXED, PER_ACCELERATOR))
    return fixed + slope * np.asarray(accelerators, dtype=np.float64)


def start_up_of(accelerators: int) -> Sourced:
    """Return `start_up_s` of a size with both ends."""
    fact = start_up_facts()[FIXED]
    low, best, high = (float(start_up_s(accelerators, end)) for end in ("low", "best", "high"))
    return replace(fact, low=low, best=best, high=high, label=f"start of a job of {accelerators}")
