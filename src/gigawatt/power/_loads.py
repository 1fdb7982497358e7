"""What draws power at a site: jobs with their steps and events, and loads given as lines.

Watts per accelerator and seconds. Shapes: P profiles, G groups, n instants.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gigawatt.power._profile import StepProfile, merged
from gigawatt.timeline import Timeline

Array = NDArray[np.float64]
RUNNING = ("training", "useful", "replayed", "degraded")
BRIEF = ("checkpoint", "checkpoint stall")  # pauses after which a job goes on at once, without a ramp


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLoad:
    """One job: its steps, the phases of its parts, and what happens to it.

    `profiles` (P) are of one accelerator with its share of host and network, `accelerators` (P,) count them. All of them
    are spread over groups: `shifts_s` (G,) later by group, `shares` (G,) of the whole. `jitter` is the relative standard
    deviation of a group's own time in a step: groups meet at the end of every step, so it stretches the step to the
    slowest and moves edges inside it, and never adds up; the early ones wait at `wait_w`. `overhead` multiplies
    everything (conversion losses, the electrical part of cooling).

    `events` is the timeline of the run; labels in `running` run steps, the others stand at `levels_w` per accelerator, or
    at `idle_w` where a label has none and where there is no interval. Its lanes share the accelerators evenly. A run
    comes up over `start_s` from what was before it, evenly or in `start_groups` equal groups, and goes down over `stop_s`
    from its mean; not around the labels in `brief`.
    """

    profiles: tuple[StepProfile, ...]
    accelerators: tuple[float, ...]
    shifts_s: Array = field(default_factory=lambda: np.zeros(1))
    shares: Array = field(default_factory=lambda: np.ones(1))
    jitter: float = 0.0
    wait_w: float | None = None
    overhead: float = 1.0
    idle_w: float = 0.0
    events: Timeline | None = None
    levels_w: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    running: tuple[str, ...] = RUNNING
    brief: tuple[str, ...] = BRIEF
    start_s: float = 0.0
    stop_s: float = 0.0
    start_groups: int = 0
    name: str = "job"

    def __post_init__(self) -> None:
        object.__setattr__(self, "shifts_s", np.atleast_1d(np.asarray(self.shifts_s, np.float64)))
        object.__setattr__(self, "shares", np.atleast_1d(np.asarray(self.shares, np.float64)))
        if not self.profiles or len(self.profiles) != len(self.accelerators):
            raise ValueError(f"{self.name}: {len(self.profiles)} profiles need as many counts of accelerators")
        if len(self.shifts_s) != len(self.shares) or not math.isclose(float(self.shares.sum()), 1.0, rel_tol=1e-9):
            raise ValueError(f"{self.name}: every group needs a shift and a share, and shares sum to 1")
        if not 0.0 <= self.jitter < 1.0 or self.overhead <= 0.0:
            raise ValueError(f"{self.name}: jitter must lie in 0..1 and the overhead above 0")
        if min(self.idle_w, self.start_s, self.stop_s, self.start_groups, *self.accelerators) < 0:
            raise ValueError(f"{self.name}: counts, idle power and ramps must not be below zero")

    @property
    def count(self) -> float:
        """Accelerators of the job."""
        return math.fsum(self.accelerators)

    def step(self) -> StepProfile:
        """Return the power of the whole job over one undisturbed step, W, overhead included."""
        weights = [self.overhead * count * self.shares for count in self.accelerators]
        return merged(self.profiles, weights, [self.shifts_s] * len(weights), self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatLoad:
    """Power at instants `start_s` + i * `step_s`, straight lines between; the first and last value hold outside (n,)."""

    power_w: Array
    step_s: float = 3600.0
    start_s: float = 0.0
    name: str = "base"

    def __post_init__(self) -> None:
        power = np.atleast_1d(np.asarray(self.power_w, np.float64))
        if len(power) == 0 or not bool(np.isfinite(power).all()):
            raise ValueError(f"{self.name}: the power of a load must be finite")
        if self.step_s <= 0.0:
            raise ValueError(f"{self.name}: the step of a load must be above zero, not {self.step_s!r} s")
        object.__setattr__(self, "power_w", power)
