"""Replicas in an open loop, in closed form: requests come at a rate; what they wait for, and which limit is next.

Continuous batching with chunked prefill: every step decodes all sequences, what is left of its token budget goes to
prompts, first come first served; a request has its first token with the step that ends its prompt. The means are those
of `_occupancy`; the wait for the first token is that of the M/G/1 queue of prompts, whole distribution and not only its
mean (`_tail`); nothing is fitted to the event simulation that it is checked against. Models: 11.4 to 11.8.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gigawatt.errors import InputError, Problem
from gigawatt.serving._length_mix import LengthMix
from gigawatt.serving._limits import LIMITS, Limits, limits, resident_bytes
from gigawatt.serving._occupancy import Occupancy, Speculation, occupancy
from gigawatt.serving._queueing import waiting_s
from gigawatt.serving._step_table import StepTable
from gigawatt.serving._tail import Grid, waiting, waits
from gigawatt.serving._token_times import normal_beyond, tpot_quantiles

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Router = Literal["random", "round_robin", "least_loaded"]
LEVELS = (0.5, 0.9, 0.99)
_HALVINGS = 26
_BLOCK = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """How replicas work, each (N,) or one for all: at most `max_sequences` in care, at most `token_budget` tokens a
    step, `replicas` behind one router, blocks of `block_tokens` tokens of cache.

    "random" sends a request anywhere, "round_robin" to the next, "least_loaded" to the one with least to do, so that
    all share one queue. `burstiness` is the squared coefficient of variation of the times between arrivals: 1 is
    Poisson.
    """

    max_sequences: Array | float = 256.0
    token_budget: Array | float = 2048.0
    replicas: Array | float = 1.0
    router: Router = "random"
    burstiness: float = 1.0
    block_tokens: int = 16
    speculation: Speculation = field(default_factory=Speculation)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanField:
    """N replicas at `rate` requests/s each; quantiles (N, Q) belong to `levels`.

    `capacity` is the highest rate that is stable, `binding` the limit that sets it (`LIMITS`), `limits` the rate of
    each. Where `saturated`, more comes than is served: `rate` / `capacity` = `utilisation` says by how much, queues and
    TTFT grow without bound (inf), and what the replica still does is that of its capacity. `step_s` is the mean TPOT of
    a decoding sequence, with speculation by token. `kv_bytes` of memory are in use on average with the standard
    deviation `kv_deviation_bytes`; `preemption_risk` is the chance that they would be more than there is.
    `prefill_share` is the share of time in steps that hold prefill, `extra_share` the time that prefill adds to steps.
    """

    levels: tuple[float, ...]
    rate: Array
    served: Array
    capacity: Array
    binding: NDArray[np.str_]
    limits: Limits
    decoding: Array
    step_s: Array
    ttft_mean_s: Array
    ttft_s: Array
    tpot_mean_s: Array
    tpot_s: Array
    kv_bytes: Array
    kv_deviation_bytes: Array
    preemption_risk: Array
    prefill_load: Array
    prefill_share: Array
    extra_share: Array
    output_tokens_per_s: Array
    slot_wait_s: Array

    @property
    def utilisation(self) -> Array:
        """Rate over capacity, (N,)."""
        return self.rate / np.maximum(self.capacity, 1e-300)

    @property
    def saturated(self) -> NDArray[np.bool_]:
        """Whether more comes than can be served, (N,)."""
        return self.rate >= self.capacity


def mean_field(
    table: StepTable,
    rows: Integers,
    mix: LengthMix,
    how: Replicas | None = None,
    *,
    rate: Array | float,
    levels: tuple[float, ...] = LEVELS,
    cells: int = 2048,
) -> MeanField:
    """Return the steady state of N replicas, `rows` (N,) of `table`, at `rate` requests/s each, (N,).

    `cells` is the resolution of the distribution of waits. Raises InputError for rates below 0, no sequences, no
    tokens, no replicas.
    """
    how = _columns(how or Replicas(), len(rows))
    given = np.broadcast_to(np.asarray(rate, dtype=np.float64), (len(rows),)).copy()
    _check(how, given)
    bound = limits(
        table, rows, mix, max_sequences=_col(how.max_sequences), token_budget=_col(how.token_budget),
        speculation=how.speculation, block_tokens=how.block_tokens,
    )  # fmt: skip
    served = np.minimum(given, bound.capacity)
    decoding = _decoding(table, rows, mix, how, served, bound)
    state = occupancy(
        table, rows, mix, decoding=decoding, token_budget=_col(how.token_budget), rate=served,
        speculation=how.speculation,
    )  # fmt: skip
    return assemble(table, rows, mix, how, state=state, bound=bound, rate=given, levels=levels, cells=cells)


def assemble(
    table: StepTable,
    rows: Integers,
    mix: LengthMix,
    how: Replicas,
    *,
    state: Occupancy,
    bound: Limits,
    rate: Array,
    levels: tuple[float, ...] = LEVELS,
    cells: int = 2048,
) -> MeanField:
    """Return what requests see of replicas in a known balance, (N,)."""
    saturated = rate >= bound.capacity
    memory, deviation = resident_bytes(table, rows, mix, state, how.block_tokens)
    room = np.maximum(table.kv_capacity_bytes[rows], 0.0)
    slot_wait, slot_share = _slots(how, mix, state, memory, room)
    mean = np.full(len(rows), np.inf)
    ttft = np.full((len(rows), len(levels)), np.inf)
    stable = np.flatnonzero(~saturated)
    for start in range(0, len(stable), _BLOCK):
        part = stable[start : start + _BLOCK]
        mean[part], ttft[part] = _ttft(how, mix, state, part, (slot_wait, slot_share), levels, cells)
    tokens = how.speculation.tokens_per_step
    per_token = state.step_s / tokens
    tpot = tpot_quantiles(state, mix, how.speculation, levels, _slope(table, rows, mix, how, state))
    return MeanField(
        levels=levels,
        rate=rate,
        served=np.minimum(rate, bound.capacity),
        capacity=bound.capacity,
        binding=bound.binding,
        limits=bound,
        decoding=state.decoding,
        step_s=state.step_s,
        ttft_mean_s=mean,
        ttft_s=ttft,
        tpot_mean_s=per_token,
        tpot_s=tpot,
        kv_bytes=memory,
        kv_deviation_bytes=deviation,
        preemption_risk=np.where(deviation > 0.0, normal_beyond((room - memory) / np.maximum(deviation, 1e-300)), 0.0),
        prefill_load=state.prefill_load,
        prefill_share=state.bearing_share,
        extra_share=np.minimum(state.rate * state.extra_s, 1.0),
        output_tokens_per_s=np.minimum(rate, bound.capacity) * mix.mean(mix.output),
        slot_wait_s=np.where(saturated, np.inf, slot_wait),
    )


def _decoding(table: StepTable, rows: Integers, mix: LengthMix, how: Replicas, rate: Array, bound: Limits) -> Array:
    """Return the sequences that decode at a stable rate, (N,): by halving, as the rate grows with them."""
    low, high = np.zeros(len(rows)), bound.decoding.copy()
    if not np.any(high > 0):
        return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        at = occupancy(
            table, rows, mix, decoding=middle, token_budget=_col(how.token_budget), speculation=how.speculation
        )
        below = at.rate < rate
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2.0)


def _slots(how: Replicas, mix: LengthMix, state: Occupancy, memory: Array, room: Array) -> tuple[Array, Array]:
    """Return the mean wait for a place among the sequences and in memory, s (N,), and the share of requests that wait."""
    inside = state.decoding + state.prefilling
    each = memory / np.maximum(inside, 1e-9)
    places = np.minimum(_col(how.max_sequences), np.where(each > 0.0, room / np.maximum(each, 1e-300), np.inf))
    places = np.maximum(places, 1.0)
    stay = inside / np.maximum(state.rate, 1e-300)
    steps = mix.decode_steps
    spread = mix.mean((steps - mix.mean(steps)) ** 2) / max(mix.mean(steps) ** 2, 1.0)
    fewer = np.minimum(inside / places, 0.999) * places / np.maximum(stay, 1e-300)
    wait = waiting_s(fewer, stay, places, how.burstiness, spread)
    return wait, waits(inside / places, places)


def _ttft(
    how: Replicas,
    mix: LengthMix,
    state: Occupancy,
    part: Integers,
    slots: tuple[Array, Array],
    levels: tuple[float, ...],
    cells: int,
) -> tuple[Array, Array]:
    """Return mean (n,) and quantiles (n, Q) of the time to the first token of the rows `part`.

    Prompts that come during one step are served together; such a group occupies the prefill for as long as its chunks
    take, or, the more of a backlog there is, for its share of whole chunks. A request waits for the groups in front of
    it, or, where there are none, for the end of the step under way, then for its own chunks.
    """
    load, together = np.minimum(state.prefill_load[part], 0.9999), state.together[part]
    filled = load[:, None]
    own = (1.0 - filled) * state.alone_s[part] + filled * state.work_s[part]
    group = (1.0 - filled) * state.alone_s[part] + filled * state.work_s[part] * together[:, None]
    busy = np.minimum(state.rate[part] / together * (group @ mix.weight), 0.9999)
    servers = _col(how.replicas)[part] if how.router == "least_loaded" else np.ones(len(part))
    spread, burst = _arrivals(how, part)
    mean = group @ mix.weight
    residual = (group**2) @ mix.weight / np.maximum(2.0 * mean, 1e-300)
    behind = (residual + (burst - 1.0) * mean) / (1.0 - busy) / servers
    slot_wait = slots[0][part] / np.maximum(slots[1][part], 1e-12)
    full = state.full_s[part]
    span = 1.1 * group.max(axis=1) + full + 12.0 * behind + np.where(slots[1][part] > 1e-4, 8.0 * slot_wait, 0.0)
    grid = Grid(cell_s=span / cells, cells=cells)
    queue = waiting(
        grid, grid.points(group / servers[:, None], mix.weight), utilisation=busy, servers=servers, burst=burst
    )
    none = 1.0 - (1.0 - queue.none) * spread
    idle = np.exp(-state.decoding[part])  # nothing under way
    entry = idle[:, None] + (1.0 - idle[:, None]) * grid.uniform(state.plain_s[part])
    first = none[:, None] * entry * grid.transform(grid.points(state.alone_s[part], mix.weight))
    first += spread[:, None] * queue.some * grid.uniform(load * full) * grid.transform(grid.points(own, mix.weight))
    share = slots[1][part][:, None]
    first *= (1.0 - share) + share * grid.exponential(slot_wait)
    return grid.mean(first), grid.quantiles(first, levels)


def _arrivals(how: Replicas, part: Integers) -> tuple[Array, Array]:
    """Return how the mean wait scales with arrivals that are more regular than Poisson, and the size of their groups
    where they are less (`_tail.waiting`), each (n,).
    """
    many = _col(how.replicas)[part]
    seen = {
        "random": 1.0 + (how.burstiness - 1.0) / many,
        "round_robin": how.burstiness / many,
        "least_loaded": np.full(len(many), how.burstiness),
    }[how.router]
    regular = np.minimum(seen, 1.0)
    return np.asarray((1.0 + regular) / 2.0), np.asarray((np.maximum(seen, 1.0) + 1.0) / 2.0)


def _slope(table: StepTable, rows: Integers, mix: LengthMix, how: Replicas, state: Occupancy) -> Array:
    """Return what one more sequence adds to a step, s (N,)."""
    more = occupancy(
        table, rows, mix, decoding=state.decoding + 1.0, token_budget=_col(how.token_budget), rate=state.rate,
        speculation=how.speculation,
    )  # fmt: skip
    return np.asarray(np.maximum(more.step_s - state.step_s, 0.0))


def _col(value: Array | float) -> Array:
    return np.asarray(value, dtype=np.float64)


def _columns(how: Replicas, count: int) -> Replicas:
    def wide(value: Array | float) -> Array:
        return np.broadcast_to(_col(value), (count,))

    return replace(
        how,
        max_sequences=wide(how.max_sequences),
        token_budget=wide(how.token_budget),
        replicas=wide(how.replicas),
    )


def _check(how: Replicas, rate: Array) -> None:
    problems = [
        Problem(message="this does not describe a replica", path=f"serving.{name}", found=str(np.min(value)), allowed=allowed)
        for name, value, good, allowed in (
            ("rate", rate, np.isfinite(rate) & (rate >= 0.0), "0 or more requests/s"),
            ("max_sequences", _col(how.max_sequences), _col(how.max_sequences) >= 1.0, "1 or more"),
            ("token_budget", _col(how.token_budget), _col(how.token_budget) >= 1.0, "1 or more"),
            ("replicas", _col(how.replicas), _col(how.replicas) >= 1.0, "1 or more"),
            ("burstiness", _col(how.burstiness), _col(how.burstiness) >= 0.0, "0 or more"),
        )
        if not np.all(good)
    ]  # fmt: skip
    if problems:
        raise InputError(problems)


__all__ = ["LEVELS", "LIMITS", "MeanField", "Replicas", "assemble", "mean_field"]
