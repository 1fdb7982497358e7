"""Replicas in an open loop, in closed form: requests come at a rate; what they wait for, and which limit is next.

Continuous batching with chunked prefill: every step decodes all sequences, what is left of its token budget goes to
prompts, first come first served; a request has its first token with the step that ends its prompt. The means are those
of `_occupancy`; the wait for the first token is that of the M/G/1 queue of prompts, whole distribution and not only its
mean (`_tail`); nothing is fitted to the event simulation that it is checked against. Models: 11.4 to 11.8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gigawatt.serving._first_token import first_token, slot_wait
from gigawatt.serving._length_mix import LengthMix
from gigawatt.serving._limits import Limits, limits, resident_bytes
from gigawatt.serving._occupancy import Occupancy, occupancy
from gigawatt.serving._replicas import Replicas, check, column
from gigawatt.serving._step_table import StepTable
from gigawatt.serving._token_times import normal_beyond, tpot_quantiles

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
LEVELS = (0.5, 0.9, 0.99)
_HALVINGS = 26


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
    delay_s: Array | float = 0.0,
) -> MeanField:
    """Return the steady state of N replicas, `rows` (N,) of `table`, at `rate` requests/s each, (N,).

    `cells` is the resolution of the distribution of waits; `delay_s` (N, K) passes between the first token and the
    first decode step of a request and is part of its TPOT, though not of `tpot_mean_s`. Raises InputError for rates below 0, no sequences, no
    tokens, no replicas.
    """
    how = (how or Replicas()).columns(len(rows))
    given = np.broadcast_to(np.asarray(rate, dtype=np.float64), (len(rows),)).copy()
    check(how, given)
    bound = limits(
        table, rows, mix, max_sequences=column(how.max_sequences), token_budget=column(how.token_budget),
        speculation=how.speculation, block_tokens=how.block_tokens,
    )  # fmt: skip
    served = np.minimum(given, bound.capacity)
    decoding = _decoding(table, rows, mix, how, served, bound)
    state = occupancy(
        table, rows, mix, decoding=decoding, token_budget=column(how.token_budget), rate=served,
        speculation=how.speculation,
    )  # fmt: skip
    return assemble(
        table, rows, mix, how, state=state, bound=bound, rate=given, levels=levels, cells=cells, delay_s=delay_s
    )


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
    delay_s: Array | float = 0.0,
) -> MeanField:
    """Return what requests see of replicas in a known balance, (N,)."""
    saturated = rate >= bound.capacity
    memory, deviation = resident_bytes(table, rows, mix, state, how.block_tokens)
    room = np.maximum(table.kv_capacity_bytes[rows], 0.0)
    slot_s, slot_share = slot_wait(how, mix, state, memory, room)
    mean = np.full(len(rows), np.inf)
    ttft = np.full((len(rows), len(levels)), np.inf)
    part = np.flatnonzero(~saturated)
    if len(part):
        waits_of = (slot_s[part], slot_share[part])
        mean[part], ttft[part] = first_token(how.take(part), mix, state.take(part), waits_of, levels, cells)
    tokens = how.speculation.tokens_per_step
    per_token = state.step_s / tokens
    tpot = tpot_quantiles(state, mix, how.speculation, levels, step_slope(table, rows, mix, how, state), delay_s)
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
        preemption_risk=np.where(deviation > 0.0, normal_beyond((room - memory) / np.maximum(deviation, 1.0)), 0.0),
        prefill_load=state.prefill_load,
        prefill_share=state.bearing_share,
        extra_share=np.minimum(state.rate * state.extra_s, 1.0),
        output_tokens_per_s=np.minimum(rate, bound.capacity) * mix.mean(mix.output),
        slot_wait_s=np.where(saturated, np.inf, slot_s),
    )


def _decoding(table: StepTable, rows: Integers, mix: LengthMix, how: Replicas, rate: Array, bound: Limits) -> Array:
    """Return the sequences that decode at a stable rate, (N,): by halving, as the rate grows with them."""
    low, high = np.zeros(len(rows)), bound.decoding.copy()
    if not np.any(high > 0):
        return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        at = occupancy(
            table, rows, mix, decoding=middle, token_budget=column(how.token_budget), speculation=how.speculation
        )
        below = at.rate < rate
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2.0)


def step_slope(table: StepTable, rows: Integers, mix: LengthMix, how: Replicas, state: Occupancy) -> Array:
    """Return what one more sequence adds to a step, s (N,)."""
    more = occupancy(
        table, rows, mix, decoding=state.decoding + 1.0, token_budget=column(how.token_budget), rate=state.rate,
        speculation=how.speculation,
    )  # fmt: skip
    return np.asarray(np.maximum(more.step_s - state.step_s, 0.0))
