"""How demand swings: shapes of the day and of the week, and growth, as a rate per request and second over any window.

    rate(t) = mean rate x day(hour of t) x week(day of t) x growth_per_year ^ (t / year)

t is seconds from Monday, 00:00, of the first week of the plan, in the local time of the shapes. The value of an hour
stands at its middle and the rate runs straight from middle to middle, so a shape of mean one leaves the week's total as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from gigawatt.catalog import sourced_table
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.serving._requests import Array

HOUR_S, DAY_S, WEEK_S, YEAR_S = 3_600.0, 86_400.0, 604_800.0, 365.25 * 86_400.0
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_TABLE = ("gigawatt.serving", "data/day_shapes.csv")


@cache
def shape_names() -> tuple[str, ...]:
    """Return the names of the packaged shapes of day and week (data/day_shapes.csv)."""
    return tuple(dict.fromkeys(key.partition(".")[0] for key in sourced_table(*_TABLE)))


def day_shape(shape: str | Sequence[float]) -> Array:
    """Return the 24 hourly factors, mean one, of a packaged shape or of given numbers (scaled to mean one).

    Raises InputError for an unknown name, another number of values, values below 0 and a shape of zeros.
    """
    return _shape(shape, "hour", tuple(f"{hour:02d}" for hour in range(24)))


def week_shape(shape: str | Sequence[float]) -> Array:
    """Return the 7 daily factors from Monday on, mean one, as `day_shape`."""
    return _shape(shape, "day", _DAYS)


@cache
def _packaged(shape: str, what: str, keys: tuple[str, ...]) -> tuple[float, ...]:
    table = sourced_table(*_TABLE)
    return tuple(table[f"{shape}.{what}.{key}"].best for key in keys)


def _shape(shape: str | Sequence[float], what: str, keys: tuple[str, ...]) -> Array:
    field = f"{'day' if what == 'hour' else 'week'}_shape"
    if isinstance(shape, str):
        if shape not in shape_names():
            raise InputError(
                Problem(
                    message="unknown shape",
                    path=field,
                    found=repr(shape),
                    allowed=f"{', '.join(shape_names())}, or {len(keys)} numbers",
                    nearest=nearest_name(shape, shape_names()),
                )
            )
        values = np.array(_packaged(shape, what, keys))
    else:
        values = np.asarray(shape, dtype=np.float64)
    if values.shape != (len(keys),) or not np.isfinite(values).all() or (values < 0).any() or not values.sum() > 0:
        raise InputError(
            Problem(
                message="not a shape",
                path=field,
                found=repr(shape),
                allowed=f"{len(keys)} numbers of 0 or more, not all of them 0",
            )
        )
    return np.asarray(values / values.mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class RateProfile:
    """A rate (1/s) that is straight between `edges_s` (S + 1): from `first` (S) to `last` (S) within each segment."""

    edges_s: Array
    first: Array
    last: Array

    def cumulative(self) -> Array:
        """Return the expected number from the first edge to each edge (S + 1)."""
        return np.concatenate([[0.0], np.cumsum(0.5 * (self.first + self.last) * np.diff(self.edges_s))])

    def time_of(self, expected: Array) -> Array:
        """Return the time, s, at which the expected number reaches `expected` (N, in order), the inverse of
        `cumulative`: within a segment the root of a quadratic.
        """
        total = self.cumulative()
        at = np.minimum(np.searchsorted(total, expected, side="right") - 1, len(self.first) - 1)
        left = expected - total[at]
        slope = ((self.last - self.first) / np.diff(self.edges_s))[at]
        root = np.sqrt(np.maximum(self.first[at] ** 2 + 2.0 * slope * left, 0.0))
        return np.asarray(self.edges_s[at] + 2.0 * left / np.maximum(self.first[at] + root, np.finfo(float).tiny))

    def times(self, factor_edges_s: Array, factors: Array) -> RateProfile:
        """Return the rate multiplied by a step function: `factors` (F) between `factor_edges_s` (F + 1), which spans the
        profile.
        """
        low, high = self.edges_s[0], self.edges_s[-1]
        inner = factor_edges_s[(factor_edges_s > low) & (factor_edges_s < high)]
        edges = np.union1d(self.edges_s, inner)
        left, right = edges[:-1], edges[1:]
        middle = 0.5 * (left + right)
        segment = np.searchsorted(self.edges_s, middle, side="right") - 1
        factor = factors[np.searchsorted(factor_edges_s, middle, side="right") - 1]
        start, length = self.edges_s[segment], np.diff(self.edges_s)[segment]
        rise = self.last[segment] - self.first[segment]
        return RateProfile(
            edges_s=edges,
            first=factor * (self.first[segment] + rise * (left - start) / length),
            last=factor * (self.first[segment] + rise * (right - start) / length),
        )


def rate_profile(
    rate_per_s: float,
    day: Array,
    week: Array,
    growth_per_year: float,
    start_s: float,
    duration_s: float,
) -> RateProfile:
    """Return the rate over a window: mean `rate_per_s` (of the first week, before growth), day (24), week (7)."""
    first_middle = np.floor(start_s / HOUR_S - 0.5) + 0.5
    middles = HOUR_S * np.arange(first_middle, np.ceil((start_s + duration_s) / HOUR_S + 0.5) + 1.0)
    inside = middles[(middles > start_s) & (middles < start_s + duration_s)]
    edges = np.concatenate([[start_s], inside, [start_s + duration_s]])
    hourly = (week[:, None] * day).ravel()
    hour = np.floor(middles / HOUR_S).astype(np.int64) % len(hourly)
    values = np.interp(edges, middles, hourly[hour]) * rate_per_s * growth_per_year ** (edges / YEAR_S)
    return RateProfile(edges_s=edges, first=values[:-1], last=values[1:])
