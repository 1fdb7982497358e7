"""Where no plan keeps the promise: which limit is in the way, by how much, and the smallest change that would do."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gigawatt.serving._aggregated import fitting_rows, search_aggregated, stable
from gigawatt.serving._candidates import Points, points, tpot_at, ttft_at
from gigawatt.serving._disaggregated import makers_of, search_disaggregated
from gigawatt.serving._offers import Offer
from gigawatt.serving._tally import Question, Tally

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
_LOOK_AT = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """The nearest miss of one offer: `limit` in the way ("memory", "room in steps and cache", "accelerators", "TTFT", "TPOT", "rate"), what is wanted and what is
    reached (s, bytes or requests/s), their ratio `factor` above 1 (inf where the model does not
    fit), and in words what would do.
    """

    chip: str
    precision: str
    limit: str
    wanted: float
    reached: float
    factor: float
    remedy: str


def nearest_misses(question: Question) -> tuple[Miss, ...]:
    """Return the nearest miss of each offer, nearest first: the times at which the least of both would have to give."""
    found = [_of(question, index) for index in range(len(question.offers))]
    return tuple(sorted(found, key=lambda miss: miss.factor))


def _of(question: Question, index: int) -> Miss:
    offer = question.offers[index]
    rows = fitting_rows(question, offer, Tally(keep=0), 1)
    if not len(rows):
        return _memory(question, offer)
    times = [t for t in (_aggregated(question, offer, rows), _apart(question, index, rows)) if len(t[0])]
    if not times:
        return _memory(question, offer)
    ttft, tpot = np.concatenate([t[0] for t in times]), np.concatenate([t[1] for t in times])
    promise = question.promise
    factors = np.stack([ttft / promise.ttft_s, tpot / promise.tpot_s])
    worst = factors.max(axis=0)
    row = int(worst.argmin())
    if worst[row] <= 1.0:
        return _rate(question, offer)
    late = int(factors[:, row].argmax())
    limit, wanted = (("TTFT", promise.ttft_s), ("TPOT", promise.tpot_s))[late]
    reached = (ttft, tpot)[late][row]
    other = [("TTFT", ttft[tpot <= promise.tpot_s]), ("TPOT", tpot[ttft <= promise.ttft_s])]
    ways = [f"{name} {times.min() * 1e3:.4g} ms alone" for name, times in other if len(times)]
    both = f"both promises {worst[row]:.3g} times as long"
    return Miss(
        chip=offer.chip, precision=offer.precision, limit=limit, wanted=wanted, reached=float(reached),
        factor=float(worst[row]), remedy="would do: " + ", or ".join([*ways, both]),
    )  # fmt: skip


def _aggregated(question: Question, offer: Offer, rows: Integers) -> tuple[Array, Array]:
    """Return TTFT and TPOT of the stable points that are nearest at first sight."""
    space, promise, mix = question.space, question.promise, question.mix
    if not space.aggregated:
        return np.zeros(0), np.zeros(0)
    at = points(offer, mix, space, np.array(space.sequences), np.array(space.token_budgets), rows)
    at = at.take(stable(question, at, Tally(keep=0)))
    mean = at.state.step_s / space.speculation.tokens_per_step
    bound = np.maximum(mean / promise.tpot_s, at.state.alone_s @ mix.weight / promise.ttft_s)
    near: Points = at.take(np.argsort(bound, kind="stable")[:_LOOK_AT])
    replicas = np.maximum(question.accelerators // offer.table.accelerators[near.row], 1.0)
    return ttft_at(near, mix, space, replicas, promise.share), tpot_at(offer, near, mix, space, promise.share)


def _apart(question: Question, index: int, rows: Integers) -> tuple[Array, Array]:
    """Return the shortest TTFT of a prefill and the shortest TPOT of a decode replica that are in one fleet: with pools
    apart neither waits for the other.
    """
    offer, space, mix = question.offers[index], question.space, question.mix
    width = offer.table.accelerators
    if not space.disaggregated or 2 * width[rows].min() > question.accelerators:
        return np.zeros(0), np.zeros(0)
    rows = rows[width[rows] <= question.accelerators - width[rows].min()]
    makers = makers_of(question, index, rows)
    budget = np.array([max(space.sequences) * 2.0 * (1.0 + space.speculation.draft_tokens) + 2.0])
    at = points(offer, mix.decode_only(), space, np.array(space.sequences), budget, rows)
    at = at.take(np.flatnonzero(at.risk <= space.preemption_risk))
    if not len(at):
        return np.zeros(0), np.zeros(0)
    moved = mix.prompt * offer.token_bytes / offer.out_bytes_per_s * (1.0 - space.overlap)
    tpot = tpot_at(
        offer, at, mix.decode_only(), space, question.promise.share, at.slot[0][:, None] + moved / width[rows].max()
    )
    p, d = np.meshgrid(np.arange(len(makers.row)), np.arange(len(at)), indexing="ij")
    both = makers.accelerators[p] + width[at.row[d]] <= question.accelerators
    return makers.ttft_s[p[both], 0], tpot[d[both]]


def _memory(question: Question, offer: Offer) -> Miss:
    """Return by how much memory falls short of weights and the longest request where the accelerators are enough for the
    layout, per accelerator.
    """
    table = offer.table
    width = np.where(table.accelerators <= question.accelerators, table.accelerators, np.inf)
    if not np.isfinite(width).any():
        least = float(table.accelerators.min())
        return Miss(
            chip=offer.chip, precision=offer.precision, limit="accelerators", wanted=least,
            reached=float(question.accelerators), factor=least / question.accelerators,
            remedy=f"would do: {least:.0f} accelerators",
        )  # fmt: skip
    longest = float((question.mix.prompt + question.mix.output).max())
    room = table.kv_capacity_bytes - (longest * table.kv_bytes + table.sequence_bytes)
    lacking = np.where(np.isfinite(width), -room / np.maximum(table.accelerators, 1.0), np.inf)
    short = float(lacking.min())
    row = int(lacking.argmin())
    if short <= 0.0:  # every request fits by itself: what is missing is room beside others
        return Miss(
            chip=offer.chip, precision=offer.precision, limit="room in steps and cache", wanted=0.0, reached=0.0,
            factor=math.inf, remedy="would do: a larger token budget, shorter requests, or a narrower format",
        )  # fmt: skip
    fits = np.flatnonzero(room > 0.0)
    wider = f", or {table.accelerators[fits].min():.0f} accelerators" if len(fits) else ""
    return Miss(
        chip=offer.chip, precision=offer.precision, limit="memory", wanted=short, reached=0.0,
        factor=math.inf,
        remedy=f"would do: {short / 1e9:.4g} GB more memory for each of {table.accelerators[row]:.0f} accelerators, "
        f"a narrower format{wider}",
    )  # fmt: skip


def _rate(question: Question, offer: Offer) -> Miss:
    """Return by how much the rate is too high where the times can be kept: what all accelerators do, if it is known."""
    wanted = question.rate or 0.0
    most, tally = replace(question, offers=(offer,), rate=None), Tally(keep=1)
    if most.space.aggregated:
        search_aggregated(most, tally)
    if most.space.disaggregated:
        search_disaggregated(most, tally)
    reached = max((float(part.rate.max()) for part in tally.parts), default=0.0)
    factor = wanted / reached if reached > 0.0 else math.inf
    need = f"about {math.ceil(question.accelerators * factor)} accelerators, or " if reached > 0.0 else ""
    return Miss(
        chip=offer.chip, precision=offer.precision, limit="rate", wanted=wanted, reached=reached, factor=factor,
        remedy=f"would do: {need}at most {reached:.4g} requests/s",
    )  # fmt: skip
