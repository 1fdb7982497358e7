"""The part of the search where every replica does prefill and decode."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gigawatt.serving._candidates import Candidates, Points, points, tpot_at, ttft_at, working_watts
from gigawatt.serving._offers import Offer
from gigawatt.serving._tally import BUDGET, CACHE, MEMORY, RATE, WIDE, Question, Tally

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
# A share of requests at or above one half has a time above nine tenths of the mean: a first look spares the tail.
FIRST_LOOK = 0.9


def fitting_rows(question: Question, offer: Offer, tally: Tally, each: int) -> Integers:
    """Return the layouts that fit; `each` configurations of the others are counted as rejected."""
    wide = offer.table.accelerators > question.accelerators
    full = ~wide & ~question.holds(offer.table)
    tally.reject(WIDE, int(wide.sum()) * each)
    tally.reject(MEMORY, int(full.sum()) * each)
    return np.flatnonzero(~wide & ~full)


def stable(question: Question, at: Points, tally: Tally) -> Integers:
    """Return the points with room for prompts in their steps and for requests in their cache."""
    tight = (at.state.prefill_load >= 0.999) | (at.state.chunk <= 1.0)
    short = ~tight & (at.risk > question.space.preemption_risk)
    tally.reject(BUDGET, int(tight.sum()))
    tally.reject(CACHE, int(short.sum()))
    return np.flatnonzero(~tight & ~short)


def search_aggregated(question: Question, tally: Tally) -> None:
    """Judge every aggregated configuration of every offer."""
    space, promise = question.space, question.promise
    sequences, budgets = np.array(space.sequences), np.array(space.token_budgets)
    for index, offer in enumerate(question.offers):
        rows = fitting_rows(question, offer, tally, len(sequences) * len(budgets))
        if not len(rows):
            continue
        at = points(offer, question.mix, space, sequences, budgets, rows)
        at = at.take(stable(question, at, tally))
        unit = offer.table.accelerators[at.row].astype(np.int64)
        copies = question.copies(unit, at.state.rate)
        tally.reject(RATE, int((copies == 0).sum()))
        tally.judge(int((copies > 0).sum()))
        mean = at.state.step_s / space.speculation.tokens_per_step
        bare = at.state.alone_s @ question.mix.weight
        look = FIRST_LOOK if promise.share >= 0.5 else 0.0
        kept = np.flatnonzero((copies > 0) & (look * mean <= promise.tpot_s) & (look * bare <= promise.ttft_s))
        at, unit, copies = at.take(kept), unit[kept], copies[kept]
        tpot = tpot_at(offer, at, question.mix, space, promise.share)
        kept = np.flatnonzero(tpot <= promise.tpot_s)
        at, unit, copies, tpot = at.take(kept), unit[kept], copies[kept], tpot[kept]
        ttft = ttft_at(at, question.mix, space, copies.astype(np.float64), promise.share)
        kept = np.flatnonzero(ttft <= promise.ttft_s)
        plans = aggregated_plans(question, index, at, copies, ttft, tpot)
        tally.add(question, plans.take(kept))


def aggregated_plans(
    question: Question, index: int, at: Points, copies: Integers, ttft: Array, tpot: Array
) -> Candidates:
    """Return points of an offer as plans."""
    offer, state = question.offers[index], at.state
    used = copies * offer.table.accelerators[at.row].astype(np.int64)
    none = np.zeros(len(at), dtype=np.int64)
    return Candidates(
        offer=none + index,
        row=at.row,
        replicas=none + 1,
        sequences=state.decoding,
        token_budget=at.budget,
        prefill_offer=none - 1,
        prefill_row=none - 1,
        prefill_replicas=none,
        prefill_budget=np.zeros(len(at)),
        copies=copies,
        accelerators=used,
        rate=question.served(copies, state.rate),
        ttft_s=ttft,
        tpot_s=tpot,
        tpot_mean_s=state.step_s / question.space.speculation.tokens_per_step,
        cache_share=at.cache_share,
        prefill_load=state.prefill_load,
        usd_per_s=np.asarray(used * offer.usd_per_hour / 3600.0, dtype=np.float64),
        watts=used * working_watts(offer, at, decodes=True) * question.pue,
    )
