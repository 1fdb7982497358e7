"""Rule dispatch of many load years, written so that it runs as plain Python and compiled by numba alike.

The plain functions are the oracle; `compiled()` returns `run` through numba. MW, MWh and USD; h hours a step.
Shapes: Y years, T steps, S sources in the merit order (grid, groups, battery, rungs of flexible load), M billing months.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.power._site import Floats

Ints = NDArray[np.int64]

# numbers in `battery`
B_CHARGE, B_DISCHARGE, B_ENERGY, B_IN, B_OUT, B_START, B_SOURCE, B_NUMBERS = range(8)
# columns of `totals` and `trace` after the S sources
UNSERVED, CHARGED, CURTAILED, DUMPED, STORED, REST = range(6)


def floors(before: Floats, ramp: Floats, cap: Floats, first: bool, low: Floats, high: Floats) -> float:
    """Set what each source must and can give in a step by its ramp, and return the sum of what must."""
    total = 0.0
    for s in range(len(cap)):
        low[s], high[s] = 0.0, cap[s]
        if not first:
            low[s] = min(max(before[s] - ramp[s], 0.0), cap[s])
            high[s] = min(before[s] + ramp[s], cap[s])
        total += low[s]
    return total


def fill(need: float, order: Ints, high: Floats, power: Floats) -> float:
    """Raise sources in their order until the need is met; return what is left of it."""
    for s in order:
        if need <= 0.0:
            break
        more = min(high[s] - power[s], need)
        power[s] += more
        need -= more
    return need


def spare(room: float, order: Ints, high: Floats, cost: Floats, below: float, power: Floats, chargers: int) -> float:
    """Raise sources that cost less than `below` to charge the battery; return what they give more."""
    taken = 0.0
    for s in order:
        if taken >= room:
            break
        if s < chargers and cost[s] < below:
            more = min(high[s] - power[s], room - taken)
            power[s] += more
            taken += more
    return taken


def year(
    load: Floats,
    free: Floats,
    cap: Floats,
    ramp: Floats,
    cost: Floats,
    order: Ints,
    chargers: int,
    below: Floats,
    battery: Floats,
    hours: float,
    month: Ints,
    peaks: Floats,
    totals: Floats,
    trace: Floats,
) -> float:
    """Dispatch one year: fill `totals` (S + REST) with sums over the steps, `peaks` (M) with the grid's peaks, and `trace`
    (T, S + REST) where it has rows; return the cost of the sources.
    """
    S = cap.shape[1]
    source = int(battery[B_SOURCE])
    power, low, high = np.zeros(S), np.zeros(S), np.zeros(S)
    energy, usd = battery[B_START], 0.0
    for t in range(len(load)):
        must = floors(power, ramp, cap[t], t == 0, low, high)
        if source >= 0:
            must -= low[source]
            low[source] = 0.0
            high[source] = min(battery[B_DISCHARGE], energy * battery[B_OUT] / hours)
        for s in range(S):
            power[s] = low[s]
        used = min(free[t], max(load[t] - must, 0.0))
        short = fill(load[t] - must - used, order[t], high, power)
        over = max(must - load[t], 0.0)
        charge = 0.0
        if source >= 0:
            room = min(battery[B_CHARGE], (battery[B_ENERGY] - energy) / (battery[B_IN] * hours))
            charge = min(over, room)
            sun = min(free[t] - used, room - charge)
            used += sun
            over -= charge
            charge += sun
            if power[source] <= 0.0 and short <= 0.0 and charge < room:
                charge += spare(room - charge, order[t], high, cost[t], below[t], power, chargers)
            energy += charge * battery[B_IN] * hours - power[source] * hours / battery[B_OUT]
            energy = min(max(energy, 0.0), battery[B_ENERGY])
        short = max(short, 0.0)
        for s in range(S):
            usd += power[s] * cost[t, s]
            totals[s] += power[s]
        peaks[month[t]] = max(peaks[month[t]], power[0])
        totals[S + UNSERVED] += short
        totals[S + CHARGED] += charge
        totals[S + CURTAILED] += free[t] - used
        totals[S + DUMPED] += over
        totals[S + STORED] = energy
        if len(trace):
            trace[t, :S] = power
            trace[t, S + UNSERVED], trace[t, S + CHARGED], trace[t, S + CURTAILED] = short, charge, free[t] - used
            trace[t, S + DUMPED], trace[t, S + STORED] = over, energy
    return usd


def run(
    load: Floats,
    free: Floats,
    cap: Floats,
    ramp: Floats,
    cost: Floats,
    order: Ints,
    chargers: int,
    below: Floats,
    battery: Floats,
    hours: float,
    month: Ints,
    peaks: Floats,
    totals: Floats,
    usd: Floats,
    trace: Floats,
) -> None:
    """Dispatch load years (Y, T) into totals (Y, S + REST), peaks (Y, M) and cost (Y)."""
    for y in range(len(load)):
        usd[y] = year(
            load[y], free, cap, ramp, cost, order, chargers, below, battery, hours, month, peaks[y], totals[y], trace
        )


PARTS = (floors, fill, spare, year, run)


@cache
def compiled() -> Callable[..., None]:
    """Return `run` compiled by numba; the machine code is kept beside this file, or in the user's cache, between runs."""
    import numba

    space = dict(globals())
    for part in PARTS:
        code: Any = part
        plain = FunctionType(code.__code__, space, code.__name__, code.__defaults__, code.__closure__)
        plain.__module__ = __name__
        plain.__qualname__ = code.__qualname__
        try:
            fast = numba.njit(plain, cache=True, nogil=True)
        except RuntimeError:  # no folder that can be written to
            fast = numba.njit(plain, nogil=True)
        space[code.__name__] = fast
    run_fast: Callable[..., None] = space["run"]
    return run_fast
