"""The power of a site over time, from the steps of its jobs to a year, as a stream of blocks.

    JobLoad (steps, phases, events), FlatLoad -> waveform() -> blocks of samples -> resample, spectrum, check, smooth

A sample is the mean over its interval, so energy is kept exactly at every resolution from 1 ms to 1 h, with the smallest
and largest power inside it. Memory depends on the block, not on the duration. Positive power is consumption; watts and
seconds. Shapes: P profiles, G groups, n samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gigawatt.power import _wave_kernel as kernel
from gigawatt.power._loads import FlatLoad, JobLoad
from gigawatt.power._sources import JobSource, LineSource, source_of

Array = NDArray[np.float64]
BLOCK = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Samples (n,) from `start_s` on, each `step_s` long: mean power, and the smallest and largest inside.

    Extremes are exact for one load and bounds (sums of extremes) for several. `ramp_up_w_per_s` and `ramp_down_w_per_s`
    are the largest rates of rise and fall inside a sample where a finer record knew them.
    """

    start_s: float
    step_s: float
    power_w: Array
    minimum_w: Array
    maximum_w: Array
    ramp_up_w_per_s: Array | None = None
    ramp_down_w_per_s: Array | None = None

    @classmethod
    def of(cls, power_w: Array, step_s: float, start_s: float = 0.0) -> Block:
        """Return a record without finer knowledge."""
        return cls(start_s=start_s, step_s=step_s, power_w=power_w, minimum_w=power_w, maximum_w=power_w)

    @property
    def energy_j(self) -> float:
        """Energy of the block."""
        return float(self.power_w.sum()) * self.step_s

    @property
    def times_s(self) -> Array:
        """Start of every sample (n,)."""
        return self.start_s + self.step_s * np.arange(len(self.power_w), dtype=np.float64)


def waveform(
    loads: Iterable[JobLoad | FlatLoad],
    duration_s: float,
    resolution_s: float,
    seed: int = 0,
    *,
    block: int = BLOCK,
    plain: bool = False,
) -> Iterator[Block]:
    """Yield the power of the site in blocks of at most `block` samples of `resolution_s`, from 0 to `duration_s`.

    The last sample may reach past the end. The same seed gives the same jitter whatever the block. `plain` runs the
    uncompiled kernel. Raises ValueError for a duration or resolution that is not above zero.
    """
    if not (resolution_s > 0.0 and 0.0 < duration_s < math.inf) or block < 1:
        raise ValueError("duration, resolution and block of a waveform must be above zero")
    calls = kernel.PLAIN if plain else kernel.compiled()
    waiting = sorted((source_of(load, seed, i) for i, load in enumerate(loads)), key=lambda source: -source.begin_s)
    live: list[LineSource | JobSource] = []
    total = max(1, math.ceil(duration_s / resolution_s * (1.0 - 1e-12)))
    for first in range(0, total, block):
        n = min(block, total - first)
        t0 = first * resolution_s
        power, low, high = np.zeros(n), np.zeros(n), np.zeros(n)
        while waiting and waiting[-1].begin_s < t0 + n * resolution_s:
            live.append(waiting.pop())
        live = [source for source in live if source.end_s > t0]
        for source in live:
            source.add(calls, t0, resolution_s, power, low, high)
        yield Block(start_s=t0, step_s=resolution_s, power_w=power, minimum_w=low, maximum_w=high)


def joined(blocks: Iterable[Block]) -> Block:
    """Return successive blocks as one."""
    parts = list(blocks)
    if not parts:
        raise ValueError("there is no block to join")
    columns = ("power_w", "minimum_w", "maximum_w")
    return Block(
        start_s=parts[0].start_s,
        step_s=parts[0].step_s,
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in columns},
    )
