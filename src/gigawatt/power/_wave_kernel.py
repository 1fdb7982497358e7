"""Pouring power into samples: plain Python that is the oracle, and the same functions through numba (`compiled`).

A sample holds the mean of the power over its interval, and its smallest and largest value. A piece is a straight line of
power between two times; `pour` adds its energy to the samples it crosses, whatever their width, so energy is exact.
Times here are seconds from the start of the block, so a year does not cost digits. Random numbers are SplitMix64 of a
key and counters, so that a step is the same however the time is cut into blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np

STEP = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)
S11, S27, S30, S31 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31)
# what is shorter than this share of a sample is rounding: it gives energy, but says nothing of extremes
SLIVER = 1e-9
# what is kept of a job between blocks: index of the step, its start in seconds after the start of the run
K_INDEX, K_START, KEPT = range(3)


def uniform(key: Any, counter: Any) -> float:
    """Return a number in (0, 1) of a key and a counter."""
    z = np.uint64(key) + STEP * (np.uint64(counter) + np.uint64(1))
    z = (z ^ (z >> S30)) * MIX_1
    z = (z ^ (z >> S27)) * MIX_2
    z = z ^ (z >> S31)
    return (float(z >> S11) + 0.5) * 1.1102230246251565e-16


def normal(key: Any, counter: Any) -> float:
    """Return a standard normal number of a key and a counter (Box-Muller)."""
    radius = math.sqrt(-2.0 * math.log(uniform(key, 2 * counter)))
    return radius * math.cos(2.0 * math.pi * uniform(key, 2 * counter + 1))


def pour(x0: float, x1: float, p0: float, p1: float, dt: float, mean: Any, low: Any, high: Any) -> None:
    """Add the line from (x0, p0) to (x1, p1) to the samples of width dt; what lies outside the block is left out."""
    n = mean.shape[0]
    end = n * dt
    if x1 <= 0.0 or x0 >= end or x1 <= x0:
        return
    slope = (p1 - p0) / (x1 - x0)
    if x0 < 0.0:
        p0 -= slope * x0
        x0 = 0.0
    if x1 > end:
        p1 = p0 + slope * (end - x0)
        x1 = end
    first = min(int(x0 / dt), n - 1)
    last = min(int(x1 / dt), n - 1)
    if first == last:
        mean[first] += 0.5 * (p0 + p1) * ((x1 - x0) / dt)
        if x1 - x0 > SLIVER * dt:
            low[first] = min(low[first], p0, p1)
            high[first] = max(high[first], p0, p1)
        return
    for b in range(first, last + 1):
        a = max(x0, b * dt)
        z = min(x1, (b + 1) * dt)
        if z <= a:
            continue
        pa = p0 + slope * (a - x0)
        pz = p0 + slope * (z - x0)
        share = 1.0 if first < b < last else (z - a) / dt
        mean[b] += 0.5 * (pa + pz) * share
        if z - a > SLIVER * dt:
            low[b] = min(low[b], pa, pz)
            high[b] = max(high[b], pa, pz)


def pour_lines(times: Any, power: Any, dt: float, mean: Any, low: Any, high: Any) -> None:
    """Add straight lines between the points (times, power)."""
    for i in range(times.shape[0] - 1):
        pour(times[i], times[i + 1], power[i], power[i + 1], dt, mean, low, high)


def rise(
    x0: float,
    x1: float,
    p: float,
    run_s: float,
    base: float,
    ramp_s: float,
    groups: int,
    dt: float,
    mean: Any,
    low: Any,
    high: Any,
) -> None:
    """Add a level p over [x0, x1) of a run that began at `run_s` and comes up from `base` over `ramp_s`: evenly, or
    group by group (`groups` above 0).
    """
    top = run_s + ramp_s
    if ramp_s <= 0.0 or x0 >= top:
        pour(x0, x1, p, p, dt, mean, low, high)
        return
    cut = min(x1, top)
    if groups == 0:
        r0 = (x0 - run_s) / ramp_s
        r1 = (cut - run_s) / ramp_s
        pour(x0, cut, base + (p - base) * r0, base + (p - base) * r1, dt, mean, low, high)
    else:
        stair = ramp_s / groups
        at = x0
        while at < cut:
            g = min(int((at - run_s) / stair * (1.0 + 1e-12) + 1e-9), groups - 1)
            nxt = cut if g == groups - 1 else min(cut, run_s + (g + 1) * stair)
            level = base + (p - base) * (g + 1) / groups
            pour(at, nxt, level, level, dt, mean, low, high)
            at = nxt
    pour(cut, x1, p, p, dt, mean, low, high)


def pour_steps(
    edges: Any,
    power: Any,
    period: float,
    run_s: float,
    begin: float,
    end: float,
    base: float,
    ramp_s: float,
    groups: int,
    dt: float,
    mean: Any,
    low: Any,
    high: Any,
) -> None:
    """Add a strictly periodic run that began at `run_s` and is seen from `begin` to `end`."""
    k = math.floor((begin - run_s) / period)
    segments = power.shape[0]
    while run_s + k * period < end:
        at = run_s + k * period
        for s in range(segments):
            x0 = at + edges[s]
            x1 = at + edges[s + 1] if s < segments - 1 else run_s + (k + 1) * period
            if x1 > begin and x0 < end:
                rise(max(x0, begin), min(x1, end), power[s], run_s, base, ramp_s, groups, dt, mean, low, high)
        k += 1


def pour_uneven(
    edges: Any,
    power: Any,
    shift: Any,
    weight: Any,
    wait_w: float,
    period: float,
    jitter: float,
    key: Any,
    kept: Any,
    run_s: float,
    begin: float,
    end: float,
    base: float,
    ramp_s: float,
    groups: int,
    dt: float,
    mean: Any,
    low: Any,
    high: Any,
) -> None:
    """Add a run whose groups (G) differ from step to step and meet at the end of every step.

    `edges` (G, S+1) and `power` (G, S) are of one accelerator, `weight` (G,) counts them. The step lasts as long as its
    slowest group; the others wait at `wait_w`. `kept` carries the step and its start from block to block.
    """
    count, segments = power.shape
    when = np.empty(count * (segments + 1))
    change = np.empty(count * (segments + 1))
    factor = np.empty(count)
    while run_s + kept[K_START] < end:
        k = int(kept[K_INDEX])
        at = run_s + kept[K_START]
        slowest = 0.0
        for g in range(count):
            factor[g] = max(0.05, 1.0 + jitter * normal(key, k * count + g))
            slowest = max(slowest, factor[g])
        length = period * slowest
        if at + length > begin:
            m, level = changes(edges, power, shift, weight, wait_w, factor, period, slowest, when, change)
            order = np.argsort(when[:m])
            x0 = at
            for i in range(m + 1):
                x1 = at + (when[order[i]] if i < m else length)
                if x1 > x0 and x1 > begin and x0 < end:
                    rise(max(x0, begin), min(x1, end), level, run_s, base, ramp_s, groups, dt, mean, low, high)
                if i < m:
                    level += change[order[i]]
                x0 = max(x0, x1)
        if at + length > end:  # the step goes on in the next block
            return
        kept[K_INDEX] += 1.0
        kept[K_START] += length


def changes(
    edges: Any,
    power: Any,
    shift: Any,
    weight: Any,
    wait_w: float,
    factor: Any,
    period: float,
    slowest: float,
    when: Any,
    change: Any,
) -> tuple[int, float]:
    """Fill the times and sizes of the changes of one step of uneven groups; returns how many, and the level before."""
    count, segments = power.shape
    length = period * slowest
    m = 0
    level = 0.0
    for g in range(count):
        offset = shift[g] * slowest
        waits = factor[g] * edges[g, segments] < length * (1.0 - 1e-12)
        before = wait_w if waits else power[g, segments - 1]
        latest = -1.0
        over = before  # what runs over the end of the step
        for s in range(segments + 1):
            if (s == segments and not waits) or (s < segments and edges[g, s + 1] <= edges[g, s]):
                continue
            p = power[g, s] if s < segments else wait_w
            at = (edges[g, s] * factor[g] + offset) % length
            when[m] = at
            change[m] = weight[g] * (p - before)
            m += 1
            before = p
            if at >= latest:
                latest = at
                over = p
        level += weight[g] * over
    return m, level


def look_up(
    edges: Any,
    total: Any,
    lows: Any,
    highs: Any,
    period: float,
    run_s: float,
    first: int,
    last: int,
    dt: float,
    mean: Any,
    low: Any,
    high: Any,
) -> None:
    """Add a strictly periodic run to whole samples [first, last) by its sums, at a cost that hardly grows with its edges.

    `total` (S+1,) is the energy of the step up to each edge; `lows`, `highs` (levels, S) are the smallest and largest
    power of 1, 2, 4, ... segments from each on.
    """
    segments = edges.shape[0] - 1
    whole_j = total[segments]
    for b in range(first, last):
        t = b * dt - run_s
        x = t - math.floor(t / period) * period
        y = x + dt
        turns = math.floor(y / period)
        y -= turns * period
        i = segment_of(edges, x, True)
        j = segment_of(edges, y, False)
        before = total[i] + (x - edges[i]) * (total[i + 1] - total[i]) / (edges[i + 1] - edges[i])
        after = total[j] + (y - edges[j]) * (total[j + 1] - total[j]) / (edges[j + 1] - edges[j])
        mean[b] += (after - before + turns * whole_j) / dt
        if turns == 0:
            least, most = extremes(lows, highs, i, j)
        elif turns == 1:
            least, most = extremes(lows, highs, i, segments - 1)
            if y > 0.0:
                a, z = extremes(lows, highs, 0, j)
                least, most = min(least, a), max(most, z)
        else:
            least, most = extremes(lows, highs, 0, segments - 1)
        low[b] = min(low[b], least)
        high[b] = max(high[b], most)


def segment_of(edges: Any, x: float, inside: bool) -> int:
    """Return the segment that begins at or before x (`inside`), or before x."""
    a = 0
    z = edges.shape[0] - 1
    while z - a > 1:
        m = (a + z) // 2
        if edges[m] < x or (inside and edges[m] == x):
            a = m
        else:
            z = m
    return a


def extremes(lows: Any, highs: Any, i: int, j: int) -> tuple[float, float]:
    """Return the smallest and largest power of segments i to j."""
    level = 0
    while (2 << level) <= j - i + 1:
        level += 1
    z = j + 1 - (1 << level)
    return min(lows[level, i], lows[level, z]), max(highs[level, i], highs[level, z])


PARTS: tuple[Callable[..., Any], ...] = (
    uniform,
    normal,
    pour,
    pour_lines,
    rise,
    pour_steps,
    changes,
    pour_uneven,
    segment_of,
    extremes,
    look_up,
)
PLAIN: Mapping[str, Callable[..., Any]] = {part.__name__: part for part in PARTS}


@cache
def compiled() -> Mapping[str, Callable[..., Any]]:
    """Return the functions compiled by numba, by name; machine code is kept beside this file or in the user's cache."""
    return compile_parts(PARTS, globals(), __name__)


def compile_parts(
    parts: tuple[Callable[..., Any], ...], names: Mapping[str, Any], module: str
) -> Mapping[str, Callable[..., Any]]:
    """Compile functions that call one another, callees first, in a namespace of their own."""
    import numba

    space = dict(names)
    for part in parts:
        code: Any = part
        plain = FunctionType(code.__code__, space, code.__name__, code.__defaults__, code.__closure__)
        plain.__module__ = module
        plain.__qualname__ = code.__qualname__
        try:
            fast = numba.njit(plain, cache=True, nogil=True)
        except RuntimeError:  # no folder that can be written to
            fast = numba.njit(plain, nogil=True)
        space[code.__name__] = fast
    return {part.__name__: space[part.__name__] for part in parts}
