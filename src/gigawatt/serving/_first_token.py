"""When a request has its first token: the wait for a place, for the prompts in front, and its own prefill, as
distributions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gigawatt.serving._length_mix import LengthMix
from gigawatt.serving._occupancy import Occupancy
from gigawatt.serving._queueing import waiting_s
from gigawatt.serving._replicas import Replicas, column
from gigawatt.serving._tail import Grid, regularity, waiting, waits

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
_BLOCK = 512


def slot_wait(how: Replicas, mix: LengthMix, state: Occupancy, memory: Array, room: Array) -> tuple[Array, Array]:
    """Return the mean wait for a place among the sequences and in memory, s (N,), and the share of requests that wait."""
    inside = state.decoding + state.prefilling
    each = memory / np.maximum(inside, 1e-9)
    places = np.minimum(column(how.max_sequences), np.where(each > 0.0, room / np.maximum(each, 1.0), np.inf))
    places = np.maximum(places, 1.0)
    stay = inside / np.maximum(state.rate, 1e-300)
    steps = mix.decode_steps
    spread = mix.mean((steps - mix.mean(steps)) ** 2) / max(mix.mean(steps) ** 2, 1.0)
    fewer = np.minimum(inside / places, 0.999) * places / np.maximum(stay, 1e-300)
    wait = waiting_s(fewer, stay, places, how.burstiness, spread)
    return wait, waits(inside / places, places)


def first_token(
    how: Replicas,
    mix: LengthMix,
    state: Occupancy,
    slots: tuple[Array, Array],
    levels: tuple[float, ...],
    cells: int,
) -> tuple[Array, Array]:
    """Return mean (N,) and quantiles (N, Q) of the time to the first token, in blocks; `slots` as `slot_wait` gives."""
    count = len(state.rate)
    mean, found = np.empty(count), np.empty((count, len(levels)))
    for start in range(0, count, _BLOCK):
        part = np.arange(start, min(start + _BLOCK, count))
        mean[part], found[part] = _block(
            how.take(part), mix, state.take(part), (slots[0][part], slots[1][part]), levels, cells
        )
    return mean, found


def _block(
    how: Replicas,
    mix: LengthMix,
    state: Occupancy,
    slots: tuple[Array, Array],
    levels: tuple[float, ...],
    cells: int,
) -> tuple[Array, Array]:
    """Return mean (n,) and quantiles (n, Q) of the time to the first token of N rows.

    A request waits for the prompts in front of it, or, where there are none, for the end of the step under way, then
    for its own chunks. A prompt occupies the prefill for its share of whole chunks; where nobody is there to fill the
    last one, because there is no backlog and nobody came during the step, for as long as its chunks take alone.
    """
    load = np.minimum(state.prefill_load, 0.9999)
    filled = load[:, None]
    own = (1.0 - filled) * state.shared_s + filled * state.work_s
    own = np.maximum(own, (1.0 - state.unshared[:, None]) * state.shared_s)  # who shares a step still takes all of it
    lone = state.unshared[:, None] * (1.0 - filled)
    group = lone * np.maximum(state.alone_s, state.work_s) + (1.0 - lone) * state.work_s
    busy = np.minimum(state.rate * (group @ mix.weight), 0.9999)
    servers = column(how.replicas) if how.router == "least_loaded" else np.ones(len(load))
    arrivals = how.arrivals()
    mean, square = group @ mix.weight, (group**2) @ mix.weight
    unlike = np.maximum(square / np.maximum(mean**2, 1e-300) - 1.0, 0.0)  # of the work of a request
    fewer, scale = regularity(busy, arrivals, unlike)
    group = group * scale[:, None]
    burst = (np.maximum(arrivals, 1.0) + 1.0) / 2.0
    residual = scale * square / np.maximum(2.0 * mean, 1e-300)
    behind = (residual + (burst - 1.0) * mean * scale) / (1.0 - busy) / servers
    place_wait = slots[0] / np.maximum(slots[1], 1e-12)
    full = state.full_s
    longest = np.maximum(group, np.maximum(own, state.shared_s)).max(axis=1)
    span = 1.1 * longest + 2.0 * full + 12.0 * behind + np.where(slots[1] > 1e-4, 8.0 * place_wait, 0.0)
    grid = Grid(cell_s=span / cells, cells=cells)
    queue = waiting(
        grid, grid.points(group / servers[:, None], mix.weight), utilisation=busy, servers=servers, burst=burst
    )
    none = 1.0 - (1.0 - queue.none) * fewer
    bearing = np.clip((state.bearing_share - busy) / np.maximum(1.0 - busy, 1e-9), 0.0, 1.0)
    first = none[:, None] * _unhindered(grid, state, mix, waits(bearing, servers) * fewer)
    first += (
        fewer[:, None]
        * queue.some
        * grid.uniform(np.maximum(load, 1.0 - state.unshared) * full)
        * grid.transform(grid.points(own, mix.weight))
    )
    share = slots[1][:, None]
    first *= (1.0 - share) + share * grid.exponential(place_wait)
    return grid.mean(first), grid.quantiles(first, levels)


def _unhindered(grid: Grid, state: Occupancy, mix: LengthMix, bearing: Array) -> NDArray[np.complex128]:
    """Return the time to the first token of a request that finds no prompt in front: what is left of the step under way,
    which holds prefill whose budget is not used up with the chance `bearing` (N,), and its own chunks, with those of
    others that came during that step; or, where nothing is under way, its own alone.
    """
    decoding = 1.0 - np.exp(-state.decoding)[:, None]
    step = np.minimum(state.shared_s @ mix.weight, state.full_s)
    share = bearing[:, None]
    left = share * grid.uniform(step) + (1.0 - share) * decoding * grid.uniform(state.plain_s)
    nothing = (1.0 - share) * (1.0 - decoding)
    return np.asarray(
        left * grid.transform(grid.points(state.shared_s, mix.weight))
        + nothing * grid.transform(grid.points(state.alone_s, mix.weight))
    )
