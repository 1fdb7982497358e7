"""The part of the search where some replicas prefill and others decode.

A prefill replica is known at the loads of the space; between two of them its TTFT is taken straight, below the lowest
that of the lowest. Each replica has its own queue (random router), so a plan is not helped by pooling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gigawatt.serving._aggregated import FIRST_LOOK
from gigawatt.serving._candidates import Candidates, Points, points, prefill_points, tpot_at, ttft_at, working_watts
from gigawatt.serving._offers import Offer
from gigawatt.serving._queueing import waiting_s
from gigawatt.serving._tally import BUDGET, CACHE, LINK, MEMORY, RATE, Question, Tally

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Makers:
    """Prefill replicas of an offer, P kinds at J loads: `rate` (P,) at load 1, `ttft_s` (P, J), watts (P, J)."""

    index: int
    row: Integers
    budget: Array
    accelerators: Integers
    rate: Array
    ttft_s: Array
    watts: Array

    def between(self, values: Array, kind: Integers, load: Array, loads: Array) -> Array:
        """Return values (P, J) of kinds at loads, straight between two."""
        at = np.interp(load, loads, np.arange(len(loads)))
        low = np.minimum(at.astype(np.int64), len(loads) - 2)
        part = at - low
        return np.asarray(values[kind, low] * (1.0 - part) + values[kind, low + 1] * part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Takers:
    """Decode replicas of an offer that are stable, D of them."""

    index: int
    at: Points
    accelerators: Integers
    watts: Array


def ratios(question: Question, maker: int, taker: int) -> Integers:
    """Return the numbers of prefill and decode replicas of so many accelerators each that are tried, (R, 2): without
    common divisor, and no more than there are accelerators.
    """
    most = question.accelerators
    found = [
        (p, d)
        for p in question.space.ratio
        for d in question.space.ratio
        if math.gcd(p, d) == 1 and p * maker + d * taker <= most
    ]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def makers_of(question: Question, index: int, rows: Integers) -> Makers:
    """Return the prefill replicas of an offer; the TTFT is that of the share of the promise."""
    offer, space = question.offers[index], question.space
    at = prefill_points(offer, question.mix, space, rows)
    shape = (len(rows) * len(space.prefill_budgets), len(space.prefill_loads))
    ttft = ttft_at(at, question.mix.prefill_only(), space, np.ones(len(at)), question.promise.share).reshape(shape)
    watts = working_watts(offer, at, decodes=False).reshape(shape)
    first = np.arange(shape[0]) * shape[1]
    return Makers(
        index=index,
        row=at.row[first],
        budget=at.budget[first],
        accelerators=offer.table.accelerators[at.row[first]].astype(np.int64),
        rate=at.state.rate[first] / space.prefill_loads[0],
        ttft_s=ttft,
        watts=watts,
    )


def search_disaggregated(question: Question, tally: Tally) -> None:
    """Judge every pair of pools of the offers, same chip and format unless the space mixes chips."""
    offers, space = question.offers, question.space
    rows = [np.flatnonzero((o.table.accelerators <= question.accelerators) & question.holds(o.table)) for o in offers]
    makers = [makers_of(question, i, r) if len(r) else None for i, r in enumerate(rows)]
    for index, offer in enumerate(offers):
        pairs = [m for m, other in enumerate(offers) if _together(space.mixed_chips, other, offer)]
        _reject_rows(question, tally, pairs, index, rows)
        if not len(rows[index]):
            continue
        takers, lost = _takers(question, index, rows[index])
        for m in pairs:
            maker = makers[m]
            if maker is None:
                continue
            for rule, counts in lost.items():
                tally.reject(rule, _count(question, maker.accelerators, counts))
            _pair(question, tally, maker, takers)


def _together(mixed: bool, maker: Offer, taker: Offer) -> bool:
    return maker.precision == taker.precision and (mixed or maker.chip == taker.chip)


def _reject_rows(question: Question, tally: Tally, pairs: list[int], index: int, rows: list[Integers]) -> None:
    """Count what has a layout in it that does not fit (one wider than the accelerators makes no pair at all)."""
    space, taker = question.space, question.offers[index].table
    each = len(space.sequences) * len(space.prefill_budgets)
    for m in pairs:
        maker = question.offers[m].table
        every = _layout_pairs(question, maker.accelerators, taker.accelerators)
        fit = _layout_pairs(question, maker.accelerators[rows[m]], taker.accelerators[rows[index]])
        tally.reject(MEMORY, (every - fit) * each)


def _layout_pairs(question: Question, makers: Array, takers: Array) -> int:
    sizes, counts = np.unique(takers.astype(np.int64), return_counts=True)
    return _count(question, makers.astype(np.int64), dict(zip(sizes.tolist(), counts.tolist(), strict=True)))


def _count(question: Question, makers: Integers, takers: dict[int, int]) -> int:
    """Return the configurations of prefill replicas of these sizes with so many decode points by size."""
    sizes, counts = np.unique(makers, return_counts=True)
    return sum(
        int(many) * other * len(ratios(question, int(size), taker))
        for size, many in zip(sizes, counts, strict=True)
        for taker, other in takers.items()
    )


def _takers(question: Question, index: int, rows: Integers) -> tuple[Takers, dict[str, dict[int, int]]]:
    """Return the stable decode replicas, and how many of which size break which rule."""
    offer, space = question.offers[index], question.space
    alone = question.mix.decode_only()
    budget = np.array([max(space.sequences) * 2.0 * (1.0 + space.speculation.draft_tokens) + 2.0])
    at = points(offer, alone, space, np.array(space.sequences), budget, rows)
    size = offer.table.accelerators[at.row].astype(np.int64)
    short = at.risk > space.preemption_risk
    sizes, counts = np.unique(size[short], return_counts=True)
    lost = {CACHE: dict(zip(sizes.tolist(), counts.tolist(), strict=True))}
    kept = np.flatnonzero(~short)
    at = at.take(kept)
    return Takers(index=index, at=at, accelerators=size[kept], watts=working_watts(offer, at, decodes=True)), lost


def _pair(question: Question, tally: Tally, maker: Makers, taker: Takers) -> None:
    """Judge all pairs of pools, by the accelerators of their replicas."""
    for size in np.unique(maker.accelerators):
        delay, link = _handover(question, question.offers[maker.index], int(size))
        tpot, mean = _tpot(question, taker, delay)
        for other in np.unique(taker.accelerators):
            numbers = ratios(question, int(size), int(other))
            if not len(numbers):
                continue
            p = np.flatnonzero(maker.accelerators == size)
            d = np.flatnonzero(taker.accelerators == other)
            slow = tpot[d] > question.promise.tpot_s
            tally.judge(int(slow.sum()) * len(p) * len(numbers))
            d = d[~slow]
            if len(d):
                _judge(question, tally, maker, taker, p, d, numbers, link, (tpot, mean))


def _handover(question: Question, offer: Offer, size: int) -> tuple[Array, Array]:
    """Return the time to move a cache from a replica of `size` accelerators, (K,), and its mean and squared spread."""
    moved = question.mix.prompt * offer.token_bytes / (offer.out_bytes_per_s * size) * (1.0 - question.space.overlap)
    mean = question.mix.mean(moved)
    spread = question.mix.mean(moved**2) / max(mean**2, 1e-300) - 1.0
    return moved, np.array([mean, max(spread, 0.0)])


def _tpot(question: Question, taker: Takers, delay: Array) -> tuple[Array, Array]:
    """Return TPOT at the share of the promise, inf where its mean is too long at first sight, and its mean, (D,)."""
    alone = question.mix.decode_only()
    steps = max(alone.mean(alone.decode_steps), 1e-300)
    wait = taker.at.slot[0]
    mean = taker.at.state.step_s / question.space.speculation.tokens_per_step
    whole = mean + (wait + alone.mean(delay)) / steps
    look = FIRST_LOOK if question.promise.share >= 0.5 else 0.0
    found = np.full(len(mean), np.inf)
    near = np.flatnonzero(look * mean <= question.promise.tpot_s)
    if len(near):
        late = wait[near][:, None] + delay
        found[near] = tpot_at(
            question.offers[taker.index], taker.at.take(near), alone, question.space, question.promise.share, late
        )
    return found, whole


def _judge(
    question: Question,
    tally: Tally,
    maker: Makers,
    taker: Takers,
    p: Integers,
    d: Integers,
    numbers: Integers,
    link: Array,
    tpot: tuple[Array, Array],
) -> None:
    """Judge the TTFT of every prefill kind `p` with every decode point `d` in every ratio."""
    space, promise = question.space, question.promise
    kind, point, ratio = (x.ravel() for x in np.meshgrid(p, d, np.arange(len(numbers)), indexing="ij"))
    rate = taker.at.state.rate[point] * numbers[ratio, 1]
    each = rate / numbers[ratio, 0]
    load = each / maker.rate[kind]
    loads = np.array(space.prefill_loads)
    over = load > loads[-1]
    slow = ~over & (each * link[0] >= 0.95)
    tally.reject(BUDGET, int(over.sum()))
    tally.reject(LINK, int(slow.sum()))
    unit = numbers[ratio, 0] * maker.accelerators[kind] + numbers[ratio, 1] * taker.accelerators[point]
    copies = question.copies(unit, rate)
    few = ~over & ~slow & (copies == 0)
    tally.reject(RATE, int(few.sum()))
    kept = np.flatnonzero(~over & ~slow & ~few)
    tally.judge(len(kept))
    ttft = maker.between(maker.ttft_s, kind[kept], load[kept], loads)
    good = kept[ttft <= promise.ttft_s]
    ttft = ttft[ttft <= promise.ttft_s]
    steps = max(question.mix.mean(question.mix.decode_steps), 1e-300)
    queue = waiting_s(each[good], link[0], 1.0, 1.0, link[1]) / steps
    quick = tpot[0][point[good]] + queue <= promise.tpot_s
    good, ttft, queue = good[quick], ttft[quick], queue[quick]
    k, q, n = kind[good], point[good], numbers[ratio[good]]
    made = maker.between(maker.watts, k, load[good], loads)
    first, second = question.offers[maker.index], question.offers[taker.index]
    makers, takers = n[:, 0] * maker.accelerators[k], n[:, 1] * taker.accelerators[q]
    many = copies[good]
    none = np.zeros(len(good), dtype=np.int64)
    plans = Candidates(
        offer=none + taker.index,
        row=taker.at.row[q],
        replicas=n[:, 1],
        sequences=taker.at.state.decoding[q],
        token_budget=taker.at.budget[q],
        prefill_offer=none + maker.index,
        prefill_row=maker.row[k],
        prefill_replicas=n[:, 0],
        prefill_budget=maker.budget[k],
        copies=many,
        accelerators=many * unit[good],
        rate=question.served(many, rate[good]),
        ttft_s=ttft,
        tpot_s=tpot[0][q] + queue,
        tpot_mean_s=tpot[1][q] + queue,
        cache_share=taker.at.cache_share[q],
        prefill_load=load[good],
        usd_per_s=many * (makers * first.usd_per_hour + takers * second.usd_per_hour) / 3600.0,
        watts=many * (makers * made + takers * taker.watts[q]) * question.pue,
    )
    tally.add(question, plans)
