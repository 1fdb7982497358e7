"""The power of a site over time, from the steps of its jobs to a year, as a stream of blocks.

    JobLoad (steps, phases, events), FlatLoad -> waveform() -> blocks of samples -> resample, spectrum, check, smooth

A sample is the mean over its interval, so energy is kept exactly at every resolution from 1 ms to 1 h, with the smallest
and largest power inside it. Memory depends on the block, not on the duration. Positive power is consumption; watts and
seconds. Shapes: P profiles, G groups, n samples.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.power import _wave_kernel as kernel
from gigawatt.power._profile import StepProfile, merged
from gigawatt.timeline import Timeline

Array = NDArray[np.float64]
RUNNING = ("training", "useful", "replayed", "degraded")
BRIEF = ("checkpoint", "checkpoint stall")  # pauses after which a job goes on at once, without a ramp
BLOCK = 65_536
# With more segments in a step than this many a sample, sums are looked up instead of walked.
WALK = 4


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
    sources = [_source(load, seed, index) for index, load in enumerate(loads)]
    total = max(1, math.ceil(duration_s / resolution_s * (1.0 - 1e-12)))
    for first in range(0, total, block):
        n = min(block, total - first)
        t0 = first * resolution_s
        power, low, high = np.zeros(n), np.zeros(n), np.zeros(n)
        for source in sources:
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


Calls = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class _Lines:
    load: FlatLoad

    def add(self, calls: Calls, t0: float, dt: float, power: Array, low: Array, high: Array) -> None:
        load, n = self.load, len(power)
        times = load.start_s + load.step_s * np.arange(len(load.power_w)) - t0
        first = max(0, int(np.searchsorted(times, 0.0, "right")) - 1)
        last = min(len(times), int(np.searchsorted(times, n * dt, "left")) + 1)
        when, watts = times[first:last], load.power_w[first:last]
        if len(when) == 0:  # after the last instant
            when, watts = times[-1:], load.power_w[-1:]
        when = np.concatenate(([min(when[0], 0.0)], when, [max(when[-1], n * dt)]))
        watts = np.concatenate((watts[:1], watts, watts[-1:]))
        least, most = np.full(n, math.inf), np.full(n, -math.inf)
        calls["pour_lines"](when, watts, dt, power, least, most)
        low += least
        high += most


@dataclass(frozen=True, slots=True)
class _Span:
    """A stretch of a lane: a run, or a level. `base_w` is the job's power before it, `ramp_s` the time to leave that."""

    begin_s: float
    end_s: float
    runs: bool
    level_w: float
    base_w: float
    ramp_s: float


@dataclass(slots=True)
class _Steps:
    """One lane of a job as spans, and what it carries from block to block."""

    load: JobLoad
    share: float
    spans: list[_Span]
    begins: list[float]
    step: StepProfile
    tables: tuple[Array, Array, Array]
    uneven: tuple[Array, Array, Array, Array]
    key: Any
    kept: dict[int, Array]

    def add(self, calls: Calls, t0: float, dt: float, power: Array, low: Array, high: Array) -> None:
        end = t0 + len(power) * dt
        first, last = bisect_right(self.begins, t0) - 1, bisect_right(self.begins, end)
        spans = list(enumerate(self.spans[max(first, 0) : last], max(first, 0)))
        while spans and _nothing(spans[0][1]):
            spans.pop(0)
        while spans and _nothing(spans[-1][1]):
            spans.pop()
        if not spans:
            return
        # only the samples that the job touches; whole samples, so that extremes know of what stands beside it
        b0 = math.floor((max(spans[0][1].begin_s, t0) - t0) / dt)
        b1 = min(len(power), math.ceil((min(spans[-1][1].end_s, end) - t0) / dt))
        if b1 <= b0:
            return
        origin = t0 + b0 * dt
        least, most = np.full(b1 - b0, math.inf), np.full(b1 - b0, -math.inf)
        out = (dt, power[b0:b1], least, most)
        for index, span in spans:
            self._span(calls, index, span, origin, out)
        for edge, at in ((spans[0][1].begin_s, 0), (spans[-1][1].end_s, -1)):
            inside = (edge - origin) / dt
            if 0.0 < inside < b1 - b0 and inside != round(inside):  # the job is not there for all of this sample
                least[at] = min(least[at], 0.0)
        least[np.isinf(least)] = 0.0
        most[np.isinf(most)] = 0.0
        low[b0:b1] += least
        high[b0:b1] += most

    def _span(
        self, calls: Calls, index: int, span: _Span, origin: float, out: tuple[float, Array, Array, Array]
    ) -> None:
        dt, samples = out[0], len(out[1])
        begin, end = max(span.begin_s - origin, 0.0), min(span.end_s - origin, samples * dt)
        if end <= begin:
            return
        start = span.begin_s - origin
        if not span.runs:
            if span.ramp_s > 0.0:
                calls["pour"](start, start + span.ramp_s, span.base_w, span.level_w, *out)
            calls["pour"](max(start + span.ramp_s, begin), end, span.level_w, span.level_w, *out)
            return
        ramp = (span.base_w, span.ramp_s, self.load.start_groups)
        period, step = self.step.period_s, self.step
        if self.load.jitter > 0.0:
            kept = self.kept.setdefault(index, np.zeros(kernel.KEPT))
            wait = self.load.wait_w
            edges, watts, shift, weight = self.uneven
            wait = float(watts.min()) if wait is None else wait
            key = np.random.SeedSequence([int(self.key), index]).generate_state(1, np.uint64)[0]
            fixed = (edges, watts, shift, weight, wait, period, self.load.jitter, key, kept)
            calls["pour_uneven"](*fixed, start, begin, end, *ramp, *out)
        elif len(step.power_w) * dt <= WALK * period:
            calls["pour_steps"](step.edges_s, step.power_w, period, start, begin, end, *ramp, *out)
        else:
            first = math.ceil(max(begin, start + span.ramp_s) / dt)
            last = math.floor(end / dt)
            if last > first:
                calls["look_up"](step.edges_s, *self.tables, period, start, first, last, *out)
            else:
                first = last = math.floor(end / dt) + 1
            for a, z in ((begin, min(end, first * dt)), (max(begin, last * dt), end)):
                if z > a:
                    calls["pour_steps"](step.edges_s, step.power_w, period, start, a, z, *ramp, *out)


@dataclass(frozen=True, slots=True)
class _Together:
    parts: Sequence[_Steps]

    def add(self, calls: Calls, t0: float, dt: float, power: Array, low: Array, high: Array) -> None:
        for part in self.parts:
            part.add(calls, t0, dt, power, low, high)


def _nothing(span: _Span) -> bool:
    return not span.runs and span.level_w == 0.0 and (span.ramp_s == 0.0 or span.base_w == 0.0)


def _source(load: JobLoad | FlatLoad, seed: int, index: int) -> _Lines | _Together:
    if isinstance(load, FlatLoad):
        return _Lines(load)
    lanes = 1 if load.events is None else max(1, len(load.events.lanes))
    share = 1.0 / lanes
    step = load.step().mapped(lambda watts: watts * share)
    tables = _tables(step)
    uneven = _uneven(load, share) if load.jitter > 0.0 else (np.empty(0),) * 4
    parts = []
    for lane in range(lanes):
        spans = _spans(load, lane, step.mean_w, share)
        key = np.random.SeedSequence([seed, index, lane]).generate_state(1, np.uint64)[0]
        parts.append(_Steps(load, share, spans, [s.begin_s for s in spans], step, tables, uneven, key, {}))
    return _Together(parts)


def _tables(step: StepProfile) -> tuple[Array, Array, Array]:
    """Return the running energy and the extremes over 1, 2, 4, ... segments that `look_up` reads."""
    total = np.concatenate(([0.0], np.cumsum(step.power_w * np.diff(step.edges_s))))
    lows, highs, width = [step.power_w], [step.power_w], 1
    while 2 * width <= len(step.power_w):
        low, high = lows[-1].copy(), highs[-1].copy()
        low[:-width] = np.minimum(low[:-width], lows[-1][width:])
        high[:-width] = np.maximum(high[:-width], highs[-1][width:])
        lows.append(low)
        highs.append(high)
        width *= 2
    return total, np.array(lows), np.array(highs)


def _uneven(load: JobLoad, share: float) -> tuple[Array, Array, Array, Array]:
    """Return edges, levels, shifts and weights of every (profile, group), padded to one number of segments."""
    segments = max(len(profile.power_w) for profile in load.profiles)
    edges, watts, shift, weight = [], [], [], []
    for profile, count in zip(load.profiles, load.accelerators, strict=True):
        spare = segments - len(profile.power_w)
        row = np.pad(profile.edges_s, (0, spare), mode="edge"), np.pad(profile.power_w, (0, spare), mode="edge")
        for late, part in zip(load.shifts_s.tolist(), load.shares.tolist(), strict=True):
            edges.append(row[0])
            watts.append(row[1])
            shift.append(late % profile.period_s)
            weight.append(count * part * share * load.overhead)
    return np.array(edges), np.array(watts), np.array(shift), np.array(weight)


def _spans(load: JobLoad, lane: int, mean_w: float, share: float) -> list[_Span]:
    """Return the spans of a lane from the beginning of time to its end, without gaps."""
    scale = share * load.count * load.overhead
    idle = scale * load.idle_w
    if load.events is None:
        return [_Span(0.0, math.inf, True, 0.0, idle, load.start_s)]
    events = load.events
    mine = np.flatnonzero(events.lane == lane)
    mine = mine[np.argsort(events.start_s[mine], kind="stable")]
    spans: list[_Span] = []
    at, before, brief, was_run = -math.inf, idle, False, False
    for i in mine.tolist():
        begin, end = max(float(events.start_s[i]), at), float(events.end_s[i])
        if end <= begin:
            continue
        label = events.labels[int(events.label[i])]
        if begin > at + 1e-9:  # a gap: the job is not there
            ramp = min(load.stop_s, begin - at) if was_run else 0.0
            spans.append(_Span(at, begin, False, idle, before, ramp))
            before, brief, was_run = idle, False, False
        begin = max(begin, at)
        runs = label in load.running
        if runs and was_run:  # running goes on under another label
            old = spans.pop()
            spans.append(_Span(old.begin_s, end, True, 0.0, old.base_w, old.ramp_s))
        elif runs:
            spans.append(_Span(begin, end, True, 0.0, before, 0.0 if brief else load.start_s))
            before = mean_w
        else:
            level = scale * load.levels_w.get(label, load.idle_w)
            short = label in load.brief
            ramp = min(load.stop_s, end - begin) if was_run and not short else 0.0
            spans.append(_Span(begin, end, False, level, before, ramp))
            before, brief = level, short
        was_run = runs
        at = end
    spans.append(_Span(at, math.inf, False, idle, before, load.stop_s if was_run else 0.0))
    return spans
