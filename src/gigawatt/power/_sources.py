"""Loads made ready to be poured into blocks: the spans of a job's run, its step as tables, what goes from block to block.

Watts and seconds. Shapes: S segments of a step, G groups.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.power import _wave_kernel as kernel
from gigawatt.power._loads import FlatLoad, JobLoad
from gigawatt.power._profile import StepProfile

Array = NDArray[np.float64]
# With more segments in a step than this many a sample, sums are looked up instead of walked.
WALK = 4

Calls = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class LineSource:
    """A load of straight lines."""

    load: FlatLoad

    begin_s = -math.inf
    end_s = math.inf

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
class JobSource:
    """The lanes of a job, and the time outside which all of them draw nothing."""

    parts: Sequence[_Steps]
    begin_s: float
    end_s: float

    def add(self, calls: Calls, t0: float, dt: float, power: Array, low: Array, high: Array) -> None:
        for part in self.parts:
            part.add(calls, t0, dt, power, low, high)


def _nothing(span: _Span) -> bool:
    return not span.runs and span.level_w == 0.0 and (span.ramp_s == 0.0 or span.base_w == 0.0)


def source_of(load: JobLoad | FlatLoad, seed: int, index: int) -> LineSource | JobSource:
    if isinstance(load, FlatLoad):
        return LineSource(load)
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
    busy = [span for part in parts for span in part.spans if not _nothing(span)]
    begin = min((span.begin_s for span in busy), default=math.inf)
    return JobSource(parts, begin, max((span.end_s for span in busy), default=-math.inf))


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
