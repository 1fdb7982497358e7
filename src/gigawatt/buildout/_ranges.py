"""Ranges over time and over chance: dated numbers with low, best and high, and draws from them.

A range is read as a distribution whose 5th percentile, median and 95th percentile are low, best and high: lognormal on
either side of the median where all three are above zero, normal on either side elsewhere. `z` is a standard normal
deviate; the same name and seed give the same deviates, so that alternatives share their luck.

Times are seconds since the first day of year 1 (`instant`), so that they may lie before or after a plan.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
from numpy.typing import NDArray

from gigawatt.buildout._calendar import DAY, Calendar, day_of
from gigawatt.evidence import Sourced

Array = NDArray[np.float64]
Z95 = 1.6448536269514722  # 95th percentile of the standard normal


def instant(day: date) -> float:
    """Return a day as seconds since the first day of year 1."""
    return day.toordinal() * DAY


def middles(calendar: Calendar) -> Array:
    """Return the instants in the middle of every period, (periods,)."""
    edges = instant(calendar.start) + calendar.edges_s
    return np.asarray((edges[:-1] + edges[1:]) / 2.0)


def deviates(seed: int, name: str, samples: int) -> Array:
    """Return standard normal deviates of a name, (samples,)."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(samples)


def spread(low: Array | float, best: Array | float, high: Array | float, z: Array | float) -> Array:
    """Return the value `z` deviates from the median of a range; all arguments broadcast.

    spread(5, 10, 40, Z95) is 40, and at 0 it is 10.
    """
    low, best, high = np.broadcast_arrays(*(np.asarray(value, np.float64) for value in (low, best, high)))
    t = np.asarray(z, np.float64) / Z95
    end = np.where(t < 0, low, high)
    logarithmic = (low > 0.0) & (best > 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(logarithmic, end / np.where(logarithmic, best, 1.0), 1.0)
        grown = best * ratio ** np.abs(t)
    return np.asarray(np.where(logarithmic, grown, np.maximum(best + np.abs(t) * (end - best), 0.0)))


def draw(value: Sourced, z: Array | float = 0.0) -> Array:
    """Return a sourced number `z` deviates from its best."""
    return spread(value.low, value.best, value.high, z)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedRange:
    """A number over time: `values` at `days` in rising order, joined by straight lines (of their logarithms where
    `logarithmic`), level before the first and after the last. `ceiling` bounds every draw (1 for shares).

    Raises ValueError for no values, days out of order, or logarithms of numbers not above zero.
    """

    days: tuple[date, ...]
    values: tuple[Sourced, ...]
    logarithmic: bool = False
    ceiling: float = field(default=float("inf"))

    def __post_init__(self) -> None:
        if not self.days or len(self.days) != len(self.values):
            raise ValueError("a dated range needs one value to a day, and at least one")
        if any(a >= b for a, b in zip(self.days, self.days[1:], strict=False)):
            raise ValueError(f"the days of a dated range must rise: {[day.isoformat() for day in self.days]}")
        if self.logarithmic and any(value.low <= 0.0 for value in self.values):
            raise ValueError("a range that is joined in logarithms must lie above zero")

    @classmethod
    def of(cls, points: Sequence[tuple[str, Sourced]], *, logarithmic: bool = False, share: bool = False) -> DatedRange:
        """Return the range through points (date as text, value); where two have the same day, the later one counts."""
        kept = {day_of(day): value for day, value in points}
        days = tuple(sorted(kept))
        values = tuple(kept[day] for day in days)
        return cls(days=days, values=values, logarithmic=logarithmic, ceiling=1.0 if share else float("inf"))

    @classmethod
    def constant(cls, value: Sourced, *, share: bool = False) -> DatedRange:
        """Return a number that does not change."""
        return cls(days=(date(2000, 1, 1),), values=(value,), ceiling=1.0 if share else float("inf"))

    def at(self, instants: Array, z: Array | float = 0.0) -> Array:
        """Return the values at `instants` (any shape), `z` deviates from the best (broadcasts)."""
        days = np.array([instant(day) for day in self.days])
        ends = []
        for end in ("low", "best", "high"):
            points = np.array([getattr(value, end) for value in self.values])
            ends.append(
                np.exp(np.interp(instants, days, np.log(points)))
                if self.logarithmic
                else np.interp(instants, days, points)
            )
        return np.minimum(spread(ends[0], ends[1], ends[2], z), self.ceiling)
