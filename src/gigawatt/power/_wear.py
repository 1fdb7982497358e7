"""How a store wears: cycles by rainflow, loss by time and by cycling, life.

Loss of capacity = k_cal * days^z + k_cyc * (full cycles)^y (form of Xu et al., IEEE Transactions on Smart Grid, 2016), with the parameters of a tested
lithium iron phosphate cell in data/mitigation.csv. Its tests cover depths of 0.8 to 1 and rates up to 1 per hour: shallow
and fast cycles are an extrapolation. Joules, years, K.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.catalog import sourced_table
from gigawatt.evidence import Sourced
from gigawatt.power._wave_kernel import compile_parts

Array = NDArray[np.float64]
DAYS = 365.25


@cache
def mitigation_facts() -> dict[str, Sourced]:
    """Return the packaged numbers on stores, floors, ballast, wear and prices (data/mitigation.csv), SI."""
    return sourced_table("gigawatt.power", "data/mitigation.csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycles:
    """Cycles (c,) of a charge: range and mean in the unit of the charge, `count` 1 or 0.5."""

    size: Array
    mean: Array
    count: Array

    @property
    def throughput(self) -> float:
        """Sum of count * range: what full cycles of the same charge would give together."""
        return float(np.dot(self.size, self.count))


def turn(reversals: Any, size: Any, mean: Any, count: Any) -> int:
    """Count cycles between reversals (n,) by the three-point method of ASTM E1049; returns how many rows were filled."""
    stack = np.empty(reversals.shape[0])
    top = 0
    rows = 0
    for i in range(reversals.shape[0]):
        stack[top] = reversals[i]
        top += 1
        while top > 2:
            before = abs(stack[top - 2] - stack[top - 3])
            if abs(stack[top - 1] - stack[top - 2]) < before:
                break
            size[rows] = before
            mean[rows] = 0.5 * (stack[top - 2] + stack[top - 3])
            if top == 3:  # it holds the first point: half a cycle
                count[rows] = 0.5
                stack[0] = stack[1]
                stack[1] = stack[2]
                top = 2
            else:
                count[rows] = 1.0
                stack[top - 3] = stack[top - 1]
                top -= 2
            rows += 1
    for i in range(top - 1):
        size[rows] = abs(stack[i + 1] - stack[i])
        mean[rows] = 0.5 * (stack[i + 1] + stack[i])
        count[rows] = 0.5
        rows += 1
    return rows


@cache
def _compiled() -> Callable[..., Any]:
    return compile_parts((turn,), globals(), __name__)["turn"]


def rainflow(charge: Array, *, plain: bool = False) -> Cycles:
    """Return the cycles of a charge (n,) over time.

    -2, 1, -3, 5, -1, 3, -4, 4, -2 gives ranges 3, 8, 9, 8, 6 at 0.5 and 4 at 0.5 and 1 (ASTM E1049-85, figure 6).
    """
    points = np.asarray(charge, np.float64)
    points = points[np.append(True, np.diff(points) != 0.0)] if len(points) else points
    way = np.sign(np.diff(points))
    points = points[np.concatenate(([True], way[1:] != way[:-1], [True]))] if len(points) > 1 else points
    size, mean, count = (np.empty(len(points) + 1) for _ in range(3))
    rows = (turn if plain else _compiled())(points, size, mean, count)
    return Cycles(size=size[:rows], mean=mean[:rows], count=count[:rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """How long a store lasts: `years`, the loss of capacity by time and by cycling at their end, and what ended it."""

    years: float
    full_cycles_per_year: float
    calendar_loss: float
    cycling_loss: float
    ends_by: str


def lithium_life(
    full_cycles_per_year: float,
    depth: float,
    rate_per_h: float,
    *,
    at_most_years: float = math.inf,
    temperature_k: float | None = None,
) -> Life:
    """Return the life of lithium iron phosphate cells that turn over `full_cycles_per_year` at a mean depth and rate.

    3,690 full cycles at a rate of 0.5 per hour take 0.2, besides the loss by time. `at_most_years` is the calendar life that the
    maker stands for. Raises ValueError for cycles below zero.
    """
    if full_cycles_per_year < 0.0 or not 0.0 <= depth <= 1.0 + 1e-9 or rate_per_h < 0.0:
        raise ValueError("cycles and rate of a store must not be below zero, its depth in 0..1")
    facts = {key: value.best for key, value in mitigation_facts().items() if key.startswith("wear.")}
    kelvin = facts["wear.temperature"] if temperature_k is None else temperature_k
    by_time = facts["wear.calendar_factor"] * math.exp(
        -(facts["wear.calendar_temperature"] + facts["wear.calendar_potential"] * facts["wear.anode_potential"])
        / kelvin
    )
    stress = facts["wear.cycle_base"] + facts["wear.cycle_depth"] * depth + facts["wear.cycle_rate"] * rate_per_h
    by_cycle = stress * math.exp(facts["wear.cycle_temperature"] / kelvin)
    end = facts["wear.end_of_life"]

    def losses(years: float) -> tuple[float, float]:
        return (
            by_time * (DAYS * years) ** facts["wear.calendar_power"],
            by_cycle * (full_cycles_per_year * years) ** facts["wear.cycle_power"],
        )

    low, high = 0.0, min(at_most_years, 1000.0)
    if sum(losses(high)) <= end:
        return Life(
            years=high,
            full_cycles_per_year=full_cycles_per_year,
            calendar_loss=losses(high)[0],
            cycling_loss=losses(high)[1],
            ends_by="calendar",
        )
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if sum(losses(middle)) < end else (low, middle)
    calendar, cycling = losses(high)
    return Life(
        years=high,
        full_cycles_per_year=full_cycles_per_year,
        calendar_loss=calendar,
        cycling_loss=cycling,
        ends_by="cycling" if cycling > calendar else "calendar",
    )
