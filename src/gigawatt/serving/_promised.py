"""The highest rate at which replicas keep a promise, by halving on the mean field."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gigawatt.serving._length_mix import LengthMix
from gigawatt.serving._mean_field import MeanField, mean_field
from gigawatt.serving._offers import PlanPromise
from gigawatt.serving._replicas import Replicas
from gigawatt.serving._step_table import StepTable

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
_HALVINGS = 12
_CELLS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PromisedRate:
    """`rate` (N,), requests/s of a replica, keeps the promise and hardly more does; `limit` (N,) says what would break
    first ("TTFT", "TPOT" or one of `LIMITS`). 0 where the promise is not kept at any rate. `field` is the state there.
    """

    rate: Array
    limit: NDArray[np.str_]
    field: MeanField


def promised_rate(
    table: StepTable, rows: Integers, mix: LengthMix, how: Replicas, promise: PlanPromise
) -> PromisedRate:
    """Return the highest rate per replica, to 1/4096 of its capacity, at which TTFT and TPOT are kept by the share of
    requests that the promise names, (N,).
    """
    levels = (promise.share,)
    nothing = mean_field(table, rows, mix, how, rate=0.0, levels=levels, cells=_CELLS)
    capacity = nothing.capacity
    finite = np.where(np.isfinite(capacity), capacity, 0.0)
    low, high = np.zeros(len(rows)), np.ones(len(rows))
    kept = _kept(nothing, promise) & (finite > 0.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        field = mean_field(table, rows, mix, how, rate=middle * finite, levels=levels, cells=_CELLS)
        good = _kept(field, promise) & kept
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    found = low * finite * kept
    state = mean_field(table, rows, mix, how, rate=found, levels=levels, cells=_CELLS)
    beyond = mean_field(table, rows, mix, how, rate=high * finite, levels=levels, cells=_CELLS)
    late, slow = beyond.ttft_s[:, 0] > promise.ttft_s, beyond.tpot_s[:, 0] > promise.tpot_s
    full = beyond.saturated | (finite == 0.0)
    limit = np.where(full, beyond.binding, np.where(slow, "TPOT", np.where(late, "TTFT", beyond.binding)))
    return PromisedRate(rate=found, limit=np.asarray(limit, dtype=np.str_), field=state)


def pooled_rates(
    table: StepTable, row: int, mix: LengthMix, how: Replicas, promise: PlanPromise, sizes: Array
) -> PromisedRate:
    """Return the promised rate per replica of one row in pools of `sizes` (S,) replicas behind one router."""
    many = np.asarray(sizes, dtype=np.float64)
    rows = np.full(len(many), row, dtype=np.int64)
    return promised_rate(table, rows, mix, replace(how, replicas=many), promise)


def _kept(field: MeanField, promise: PlanPromise) -> NDArray[np.bool_]:
    return np.asarray(
        ~field.saturated & (field.ttft_s[:, 0] <= promise.ttft_s) & (field.tpot_s[:, 0] <= promise.tpot_s)
    )
