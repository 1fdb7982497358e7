"""Prefill and decode apart: one pool makes the first token and the cache, the other all further tokens.

The first token leaves with the prefill pool; moving the cache and waiting for a place in the decode pool come before
the second, so they count in the time per output token (models: 11.7).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gigawatt.serving._length_mix import LengthMix
from gigawatt.serving._mean_field import LEVELS, MeanField, mean_field
from gigawatt.serving._queueing import waiting_s
from gigawatt.serving._replicas import Replicas, column
from gigawatt.serving._step_table import StepTable

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools:
    """Replicas of one kind: `rows` (N,) of a table, and how they work; `how.replicas` of them share the load."""

    table: StepTable
    rows: Integers
    how: Replicas


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """Moving a request's cache from prefill to decode: bytes of a prompt token, bytes/s out of one prefill replica, and
    the share that is hidden behind the prefill of later layers. Both may be columns (N,).
    """

    token_bytes: Array | float
    bytes_per_s: Array | float
    overlap: float = 0.0

    def seconds(self, mix: LengthMix) -> Array:
        """Return the time that is not hidden, by kind of request, (N, K)."""
        each = column(self.token_bytes) / column(self.bytes_per_s) * (1.0 - self.overlap)
        return np.atleast_1d(each)[:, None] * mix.prompt[None, :]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disaggregated:
    """Both pools, and what a request sees: TTFT is that of `prefill`; TPOT (N, Q) with the handover, whose mean is
    `handover_s` (N,).
    """

    prefill: MeanField
    decode: MeanField
    tpot_s: Array
    tpot_mean_s: Array
    handover_s: Array
    link_load: Array
    capacity: Array

    @property
    def saturated(self) -> NDArray[np.bool_]:
        """Whether either pool, or the link between them, gets more than it can do, (N,)."""
        return self.prefill.saturated | self.decode.saturated | (self.link_load >= 1.0)

    @property
    def binding(self) -> NDArray[np.str_]:
        """The pool and its limit that set the capacity, (N,)."""
        names = np.stack(
            [
                np.char.add("prefill pool: ", self.prefill.binding),
                np.char.add("decode pool: ", self.decode.binding),
                np.full(len(self.capacity), "handover: link"),
            ]
        )
        shares = np.stack([self.prefill.utilisation, self.decode.utilisation, self.link_load])
        return np.asarray(names[shares.argmax(axis=0), np.arange(len(self.capacity))], dtype=np.str_)


def disaggregated(
    prefill: Pools,
    decode: Pools,
    mix: LengthMix,
    *,
    rate: Array | float,
    handover: Handover,
    levels: tuple[float, ...] = LEVELS,
    cells: int = 2048,
) -> Disaggregated:
    """Return the steady state of N services with a prefill and a decode pool at `rate` requests/s in all, (N,)."""
    count = len(prefill.rows)
    total = np.broadcast_to(column(rate), (count,))
    makers, takers = (np.broadcast_to(column(pool.how.replicas), (count,)) for pool in (prefill, decode))
    first = mean_field(
        prefill.table, prefill.rows, mix.prefill_only(), prefill.how, rate=total / makers, levels=levels, cells=cells
    )
    moved = np.broadcast_to(handover.seconds(mix), (count, len(mix)))
    mean = moved @ mix.weight
    spread = (moved**2) @ mix.weight / np.maximum(mean**2, 1e-300) - 1.0
    link = waiting_s(total / makers, mean, 1.0, 1.0, np.maximum(spread, 0.0))
    late = np.where(np.isfinite(link), link, 0.0)[:, None] + moved
    rest = mean_field(
        decode.table, decode.rows, mix.decode_only(), decode.how, rate=total / takers, levels=levels, delay_s=late
    )
    load = total / makers * mean
    steps = max(mix.mean(mix.decode_steps), 1e-300)
    wait = np.where(np.isfinite(rest.slot_wait_s), rest.slot_wait_s, 0.0)
    capacity = np.minimum(first.capacity * makers, rest.capacity * takers)
    return Disaggregated(
        prefill=first,
        decode=rest,
        tpot_s=np.where((load >= 1.0)[:, None], np.inf, rest.tpot_s),
        tpot_mean_s=np.where(load >= 1.0, np.inf, rest.tpot_mean_s + (late @ mix.weight + wait) / steps),
        handover_s=np.where(load >= 1.0, np.inf, late @ mix.weight + wait),
        link_load=load,
        capacity=np.minimum(capacity, makers / np.maximum(mean, 1e-300)),
    )
