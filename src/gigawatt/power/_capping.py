"""How fast a chip computes under a power cap, and what it then draws.

    draw of a phase, cap ──▶ share of full clock ──▶ share of full rate

With the clock at a share f of the clock that the chip reaches uncapped, a phase that draws p draws

    p * (s + (1 - s) * f * max(f, k)^(a - 1))

s does not scale with the clock (leakage, memory, links), above the knee k voltage falls with the clock, below it voltage is at
its floor. Of a phase, a share m of the time does not depend on the clock (memory, links): rate = 1/(m + (1 - m)/f).
s, k and a are fitted to measured sweeps by `scripts/power_caps.py`, for chips with stacked memory on V100; m is an estimate except
for dense products (data/capping.csv). All functions take arrays. Positive power is consumption.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gigawatt.catalog import sourced_table
from gigawatt.evidence import Sourced
from gigawatt.power._chip_power import PHASES, ChipPower

Numbers: TypeAlias = float | NDArray[np.float64]


@cache
def capping_facts() -> Mapping[str, Sourced]:
    """Return the constants of data/capping.csv by key ("hbm.static_share", "clock_free.decode")."""
    return MappingProxyType(sourced_table("gigawatt.power", "data/capping.csv"))


def clock_at_share(share: Numbers, static: float, knee: float, exponent: float) -> Numbers:
    """Return the share of the full clock at `share` of the uncapped draw: the inverse of s + (1-s)*f*max(f,k)^(a-1).

    1 from share 1 on, 0 at and below the static share, where no clock is low enough. s 0.2, k 0.8, a 3: share 0.84
    gives f = 0.928, share 0.456 gives f = 0.5.
    """
    dynamic = np.clip((np.asarray(share, dtype=np.float64) - static) / (1.0 - static), 0.0, 1.0)
    above = dynamic ** (1.0 / exponent)
    return np.asarray(np.where(above >= knee, above, dynamic / knee ** (exponent - 1.0)))


def share_at_clock(clock: Numbers, static: float, knee: float, exponent: float) -> Numbers:
    """Return s + (1-s)*f*max(f,k)^(a-1), the share of the uncapped draw at a share of the full clock."""
    f = np.asarray(clock, dtype=np.float64)
    return np.asarray(static + (1.0 - static) * f * np.maximum(f, knee) ** (exponent - 1.0))


def rate_at_clock(clock: Numbers, clock_free: Numbers) -> Numbers:
    """Return 1/(m + (1-m)/f), the share of the full rate at a share of the full clock; 0 at clock 0."""
    f = np.asarray(clock, dtype=np.float64)
    stretched = np.divide(
        1.0 - np.asarray(clock_free), f, out=np.full(np.broadcast(f, clock_free).shape, np.inf), where=f > 0
    )
    return np.asarray(np.where(f > 0, 1.0 / (clock_free + stretched), 0.0))


def rate_at_cap(
    chip: ChipPower, cap_w: Numbers, phase: str = "matrix", memory: str = "hbm", end: str = "best"
) -> Numbers:
    """Return the share of the full rate that a phase reaches under a cap of `cap_w` per chip, 0 to 1.

    1 while the cap is above what the phase draws; 0 where the cap is below what the chip draws at any clock. B300 in dense
    products at 700 W: 0.82. `memory` "hbm" or "gddr" picks the constants, `end` "low" or "high" the slowest or fastest of the
    fits. Phases that compute nothing ("idle", "waiting", "checkpoint") keep their rate. Raises ValueError for an
    unknown phase, memory or end.
    """
    static, knee, exponent = _law(memory, end)
    share = np.asarray(cap_w, dtype=np.float64) / chip.watts(phase)
    free = _clock_free(phase)
    rate = rate_at_clock(clock_at_share(share, static, knee, exponent), free)
    return np.asarray(np.where(share >= 1.0, 1.0, np.ones_like(share) if free >= 1.0 else rate))


def clock_at_cap(chip: ChipPower, cap_w: Numbers, phase: str = "training", memory: str = "hbm") -> Numbers:
    """Return the share of the full clock that a phase holds under a cap of `cap_w` per chip, 0 to 1.

    H100 in training (551 W) under 400 W: 0.84. Raises ValueError for an unknown phase or memory.
    """
    share = np.asarray(cap_w, dtype=np.float64) / chip.watts(phase)
    return clock_at_share(share, *_law(memory, "best"))


def power_at_cap(chip: ChipPower, cap_w: Numbers, phase: str = "matrix", memory: str = "hbm") -> Numbers:
    """Return what a phase draws under a cap, W: min(cap, draw), but never less than what does not scale with the clock.

    H100 in training: 551 W at a cap of 700 W, 400 W at 400 W. Raises ValueError for an unknown phase or memory.
    """
    static = _law(memory, "best")[0]
    full = chip.watts(phase)
    floor = static * full if _clock_free(phase) < 1.0 else full
    return np.asarray(np.maximum(np.minimum(np.asarray(cap_w, dtype=np.float64), full), floor))


def cap_for_rate(chip: ChipPower, rate: Numbers, phase: str = "matrix", memory: str = "hbm") -> Numbers:
    """Return the cap in W at which a phase reaches a share of its full rate: the inverse of `rate_at_cap`.

    Raises ValueError for a rate outside 0 to 1, and for a phase that computes nothing.
    """
    rate = np.asarray(rate, dtype=np.float64)
    free = _clock_free(phase)
    if free >= 1.0 or np.any(rate <= 0) or np.any(rate > 1):
        raise ValueError(f"a rate above 0 and at most 1 of a phase that computes is needed, not {rate} of {phase!r}")
    clock = (1.0 - free) / (1.0 / rate - free)
    return np.asarray(share_at_clock(clock, *_law(memory, "best")) * chip.watts(phase))


def best_cap(chip: ChipPower, overhead_w: float, phase: str = "matrix", memory: str = "hbm") -> float:
    """Return the cap in W with the most work per watt of chip and `overhead_w` beside it, to a thousandth of the draw."""
    caps: NDArray[np.float64] = np.asarray(chip.watts(phase) * np.arange(1, 1001) / 1000.0, dtype=np.float64)
    work = rate_at_cap(chip, caps, phase, memory) / (np.asarray(power_at_cap(chip, caps, phase, memory)) + overhead_w)
    return float(caps[int(np.argmax(work))])


def _law(memory: str, end: str) -> tuple[float, float, float]:
    """Return static share, knee and exponent; "low" is the slowest law of the fits, "high" the fastest."""
    facts = capping_facts()
    if f"{memory}.static_share" not in facts:
        known = sorted({key.partition(".")[0] for key in facts if key.endswith(".static_share")})
        raise ValueError(f"unknown memory {memory!r}; known: {', '.join(known)}")
    if end not in ("low", "best", "high"):
        raise ValueError(f"end must be low, best or high, not {end!r}")
    static, knee, exponent = (facts[f"{memory}.{name}"] for name in ("static_share", "knee", "exponent"))
    worse = {"low": "high", "high": "low"}.get(end, "best")
    return float(getattr(static, worse)), float(knee.best), float(exponent.best)


def _clock_free(phase: str) -> float:
    if phase not in PHASES:
        raise ValueError(f"unknown phase {phase!r}; allowed: {', '.join(PHASES)}")
    return float(capping_facts()[f"clock_free.{phase}"].best)
