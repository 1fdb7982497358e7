"""Power over one step of training: piecewise constant and cyclic, for one accelerator with its share of host and network.

Positive power is consumption. Shapes: S segments of a step, L lanes of a timeline.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gigawatt.timeline import Timeline

Array = NDArray[np.float64]
IDLE = "idle"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProfile:
    """Power levels (S,) in W between edges (S+1,) in s; edges run from 0 to `period_s`, and the step repeats.

    Raises ValueError for edges that do not rise from 0 to the period, or levels that are not finite or below zero.
    """

    period_s: float
    edges_s: Array
    power_w: Array
    label: str = ""

    def __post_init__(self) -> None:
        edges = np.ascontiguousarray(self.edges_s, np.float64)
        power = np.ascontiguousarray(self.power_w, np.float64)
        if not 0.0 < self.period_s < math.inf:
            raise ValueError(f"the period of a step must be above zero, not {self.period_s!r} s")
        if len(power) == 0 or len(edges) != len(power) + 1:
            raise ValueError(f"a step of {len(power)} levels needs {len(power) + 1} edges, not {len(edges)}")
        if edges[0] != 0.0 or edges[-1] != self.period_s or bool((np.diff(edges) < 0.0).any()):
            raise ValueError("the edges of a step must rise from 0 to its period")
        if not bool(np.isfinite(power).all()) or power.min() < 0.0:
            raise ValueError("the power levels of a step must be finite and not below zero")
        object.__setattr__(self, "edges_s", edges)
        object.__setattr__(self, "power_w", power)

    @classmethod
    def flat(cls, power_w: float, period_s: float = 1.0, label: str = "") -> StepProfile:
        """Return a step of one level."""
        return cls(period_s=period_s, edges_s=np.array([0.0, period_s]), power_w=np.array([power_w]), label=label)

    @classmethod
    def two_level(cls, high_w: float, low_w: float, period_s: float, duty: float, label: str = "") -> StepProfile:
        """Return a step that stands at `high_w` for the share `duty` of its period and at `low_w` for the rest."""
        if not 0.0 <= duty <= 1.0:
            raise ValueError(f"the duty of a step must lie in 0..1, not {duty!r}")
        edges = np.array([0.0, duty * period_s, period_s])
        return cls(period_s=period_s, edges_s=edges, power_w=np.array([high_w, low_w]), label=label)

    @classmethod
    def of(
        cls, timeline: Timeline, levels: Mapping[str, float], period_s: float | None = None
    ) -> tuple[StepProfile, ...]:
        """Return one profile per lane (L) of the timeline of a step.

        `levels` gives the watts of each label and of "idle", the time in which a lane waits. Where intervals of a lane
        overlap (communication beside computation), the highest level counts. `period_s` is the length of the step, by
        default the end of the last interval. Raises ValueError for a label without a level or an interval past the
        period.
        """
        missing = [label for label in (*timeline.labels, IDLE) if label not in levels]
        if missing:
            raise ValueError(f"no power level for {', '.join(missing)}; levels are given for {', '.join(levels)}")
        period = timeline.duration_s if period_s is None else period_s
        if timeline.duration_s > period * (1.0 + 1e-9):
            raise ValueError(f"the timeline ends at {timeline.duration_s:g} s, after the period of {period:g} s")
        watts = np.array([levels[label] for label in timeline.labels])
        return tuple(_lane_profile(timeline, lane, watts, levels[IDLE], period) for lane in range(len(timeline.lanes)))

    @property
    def energy_j(self) -> float:
        """Energy of one step."""
        return float(np.dot(self.power_w, np.diff(self.edges_s)))

    @property
    def mean_w(self) -> float:
        """Mean power over a step."""
        return self.energy_j / self.period_s

    @property
    def swing_w(self) -> float:
        """Highest less lowest level that lasts."""
        lasting = self.power_w[np.diff(self.edges_s) > 0.0]
        return float(lasting.max() - lasting.min())

    @property
    def storage_j(self) -> float:
        """Energy that a store must hold to flatten the step (largest less smallest sum of power above the mean).

        A two-level step of swing dP, duty d and period T needs dP*d*(1-d)*T (docs/science.md 12.4): 100 MW, 2 s, 0.5
        gives 13.9 kWh.
        """
        charge = np.concatenate(([0.0], np.cumsum((self.power_w - self.mean_w) * np.diff(self.edges_s))))
        return float(charge.max() - charge.min())

    def shifted(self, shift_s: float) -> StepProfile:
        """Return the step that begins `shift_s` later (cyclic)."""
        return merged([self], [np.array([1.0])], [np.array([shift_s])], self.label)

    def mapped(self, change: Callable[[Array], Array]) -> StepProfile:
        """Return the step with its levels changed (conversion losses, floors)."""
        return replace(self, power_w=change(self.power_w))

    def stretched(self, factors: Array) -> StepProfile:
        """Return the step whose segments last `factors` (S,) times as long."""
        edges = np.concatenate(([0.0], np.cumsum(np.diff(self.edges_s) * factors)))
        return replace(self, period_s=float(edges[-1]), edges_s=edges)


def merged(
    profiles: Sequence[StepProfile], weights: Sequence[Array], shifts_s: Sequence[Array], label: str = ""
) -> StepProfile:
    """Return the sum of profiles of one period: each weights (G,) times, shifted cyclically by shifts (G,).

    Sorting makes it cost little even for a phase per node: 12,500 phases take some milliseconds. Raises ValueError for
    profiles of different periods.
    """
    period_s = profiles[0].period_s
    if any(not math.isclose(profile.period_s, period_s, rel_tol=1e-12) for profile in profiles):
        raise ValueError("profiles of one job must have one period")
    starts, changes, first = [np.zeros(1)], [np.zeros(1)], 0.0
    for profile, weight, shift in zip(profiles, weights, shifts_s, strict=True):
        lasting = np.diff(profile.edges_s) > 0.0
        power = profile.power_w[lasting]
        begin = (profile.edges_s[:-1][lasting] + shift[:, None]) % period_s
        begin[begin >= period_s] = 0.0  # rounding of a shift just below zero
        starts.append(begin.ravel())
        changes.append((weight[:, None] * (power - np.roll(power, 1))).ravel())
        first += float(np.dot(weight, power[np.argmax(begin, axis=1)]))  # what runs over the end of the period
    time, change = np.concatenate(starts), np.concatenate(changes)
    order = np.argsort(time, kind="stable")
    time, level = time[order], first + np.cumsum(change[order])
    last = np.append(time[1:] > time[:-1], True)  # of changes at one instant, the last level counts
    return StepProfile(
        period_s=period_s,
        edges_s=np.append(time[last], period_s),
        power_w=np.maximum(level[last], 0.0),
        label=label,
    )


def _lane_profile(timeline: Timeline, lane: int, watts: Array, idle_w: float, period_s: float) -> StepProfile:
    mine = timeline.lane == lane
    start, end = timeline.start_s[mine], np.minimum(timeline.end_s[mine], period_s)
    level = watts[timeline.label[mine]]
    edges = np.unique(np.concatenate(([0.0, period_s], start, end)))
    power = np.full(len(edges) - 1, -math.inf)
    first, last = np.searchsorted(edges, start), np.searchsorted(edges, end)
    for a, b, w in zip(first.tolist(), last.tolist(), level.tolist(), strict=True):
        power[a:b] = np.maximum(power[a:b], w)
    power[np.isneginf(power)] = idle_w
    return StepProfile(period_s=period_s, edges_s=edges, power_w=power, label=timeline.lanes[lane])
