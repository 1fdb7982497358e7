"""A machine that runs a list of jobs: when they start, and the power of all its nodes with conversion losses.

    JobList -> schedule() -> machine_power() -> blocks of samples

Watts per node, seconds. Shapes: J jobs.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gigawatt.power._loads import FlatLoad, JobLoad
from gigawatt.power._profile import StepProfile
from gigawatt.power._waveform import BLOCK, Block, waveform
from gigawatt.timeline import Timeline

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionLoss:
    """Losses between the meter and a node, W: standing + proportional*P + quadratic*P^2."""

    standing_w: float = 0.0
    proportional: float = 0.0
    quadratic_per_w: float = 0.0

    def fed(self, power_w: Array) -> Array:
        """Return the power drawn for `power_w` delivered. 20 W, 2 %, 1e-6/W at 4 kW: 4,116 W."""
        return np.asarray(
            self.standing_w + power_w * (1.0 + self.proportional) + self.quadratic_per_w * np.square(power_w)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobList:
    """Jobs (J) in the order in which they may start: arrival (s), nodes, duration (s), and which of `profiles`, the power
    of a node over a step, each one runs.
    """

    arrival_s: Array
    nodes: NDArray[np.int64]
    duration_s: Array
    profile: NDArray[np.int64]
    profiles: tuple[StepProfile, ...]

    def __post_init__(self) -> None:
        if len({len(self.arrival_s), len(self.nodes), len(self.duration_s), len(self.profile)}) > 1:
            raise ValueError("the columns of a job list differ in length")
        if len(self.nodes) and (self.nodes.min() < 1 or not self.duration_s.min() > 0.0):
            raise ValueError("a job needs at least one node and a duration above zero")
        if len(self.profile) and not (self.profile.min() >= 0 and self.profile.max() < len(self.profiles)):
            raise ValueError("the profile of a job is out of range")


def schedule(jobs: JobList, machine_nodes: int) -> Array:
    """Return the start of every job (J,), first come first served without overtaking; inf for one that never fits."""
    free, now = machine_nodes, 0.0
    ends: list[tuple[float, int]] = []
    starts = np.full(len(jobs.nodes), math.inf)
    for j in np.argsort(jobs.arrival_s, kind="stable").tolist():
        need = int(jobs.nodes[j])
        if need > machine_nodes:
            continue
        now = max(now, float(jobs.arrival_s[j]))
        while ends and ends[0][0] <= now:
            free += heapq.heappop(ends)[1]
        while free < need:
            now, back = heapq.heappop(ends)
            free += back
        starts[j] = now
        free -= need
        heapq.heappush(ends, (now + float(jobs.duration_s[j]), need))
    return starts


def machine_power(
    jobs: JobList,
    start_s: Array,
    machine_nodes: int,
    idle_w: float,
    duration_s: float,
    resolution_s: float,
    *,
    loss: ConversionLoss | None = None,
    block: int = BLOCK,
) -> Iterator[Block]:
    """Yield the power of the machine in blocks: every node idles at `idle_w` or runs the profile of its job.

    Extremes are bounds (sums over the jobs). Raises ValueError for a profile below idle power.
    """
    losses = loss or ConversionLoss()
    idle = float(losses.fed(np.array([idle_w]))[0])
    above = []
    for profile in jobs.profiles:
        if float(profile.power_w.min()) < idle_w:
            raise ValueError(f"profile {profile.label!r} falls below the idle power of {idle_w:g} W")
        above.append(profile.mapped(lambda watts: losses.fed(watts) - idle))
    loads: list[JobLoad | FlatLoad] = [FlatLoad(power_w=np.array([machine_nodes * idle]), name="idle nodes")]
    for j in np.flatnonzero(start_s < duration_s).tolist():
        begin = float(start_s[j])
        loads.append(
            JobLoad(
                profiles=(above[int(jobs.profile[j])],),
                accelerators=(float(jobs.nodes[j]),),
                events=Timeline.of("job", [("job", "training", begin, begin + float(jobs.duration_s[j]))]),
            )
        )
    return waveform(loads, duration_s, resolution_s, block=block)
