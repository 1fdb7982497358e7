"""The planner: which chips, formats, layouts, batches and pools keep a promise, and which of them is best.

    offers x layouts x sequences x token budgets                                   aggregated
    (offers x layouts x budgets) x (offers x layouts x sequences) x ratio of pools disaggregated

All in columns. Every configuration is either judged by its TPOT and TTFT or rejected by a rule that is counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gigawatt.errors import InputError, Problem
from gigawatt.serving._aggregated import search_aggregated
from gigawatt.serving._candidates import Candidates
from gigawatt.serving._disaggregated import search_disaggregated
from gigawatt.serving._length_mix import LengthMix
from gigawatt.serving._misses import Miss, nearest_misses
from gigawatt.serving._offers import OBJECTIVES, Objective, Offer, PlanPromise, Space, check_objective
from gigawatt.serving._tally import Question, Tally

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """What a search found, best first by its objective.

    `generated` = `judged` + sum of `rejected`: judged are those whose TPOT, or TPOT and TTFT, were computed, `feasible`
    of them keep the promise; `found` holds the best of these and all of `pareto`: plans that no other beats in tokens/s
    per accelerator and in tokens/s of a user. `best` is the row of `found` by objective, `reasons` says why in words.
    `misses` are the nearest misses where none keeps the promise.
    """

    offers: tuple[Offer, ...]
    promise: PlanPromise
    output_tokens: float
    found: Candidates | None
    pareto: Candidates | None
    best: Mapping[Objective, int]
    reasons: Mapping[Objective, str]
    generated: int
    judged: int
    feasible: int
    rejected: Mapping[str, int]
    misses: tuple[Miss, ...] = field(default=())

    def tokens_per_accelerator(self, plans: Candidates) -> Array:
        """Return output tokens/s of an accelerator in use, (N,)."""
        return plans.rate * self.output_tokens / plans.accelerators

    def usd_per_million(self, plans: Candidates) -> Array:
        """Return dollars per million output tokens, (N,): everything on the output."""
        return plans.usd_per_s / (plans.rate * self.output_tokens) * 1e6

    def tokens_per_joule(self, plans: Candidates) -> Array:
        """Return output tokens per joule, which is tokens/s per watt, (N,)."""
        return plans.rate * self.output_tokens / plans.watts


def search(
    offers: Sequence[Offer],
    mix: LengthMix,
    promise: PlanPromise,
    *,
    accelerators: int,
    rate: float | None = None,
    space: Space | None = None,
    objective: Objective = "throughput",
    pue: float = 1.0,
    keep: int = 1000,
) -> Plans:
    """Return the plans that keep the promise with at most `accelerators`, and the best of them.

    With `rate`, requests/s, as many copies as it needs and the fewest accelerators count; without, the most requests
    from all of them. "cost" and "power" are dollars and joules for a request. `keep` plans of each offer are returned
    besides the front. Raises InputError for no offers, no accelerators, a rate or PUE that makes no sense.
    """
    check_objective(objective)
    _check(offers, accelerators, rate, pue)
    question = Question(
        offers=tuple(offers),
        mix=mix.thinned(),
        promise=promise,
        accelerators=accelerators,
        rate=rate,
        space=space or Space(),
        pue=pue,
    )
    tally = Tally(keep=keep)
    if question.space.aggregated:
        search_aggregated(question, tally)
    if question.space.disaggregated:
        search_disaggregated(question, tally)
    output = mix.mean(mix.output)
    if not tally.parts:
        misses = nearest_misses(question)
        return _plans(question, tally, output, None, None, {}, {}, misses)
    found = Candidates.join(tally.parts)
    found = found.take(np.lexsort((found.ttft_s, question.score(found, objective))))
    front = found.take(pareto(found.rate / found.accelerators, 1.0 / found.tpot_mean_s))
    best = {goal: int(question.score(found, goal).argmin()) for goal in OBJECTIVES}
    reasons = {goal: question.reason(found, row, goal, output) for goal, row in best.items()}
    return _plans(question, tally, output, found, front, best, reasons, ())


def pareto(first: Array, second: Array) -> NDArray[np.int64]:
    """Return the rows that no other row reaches or beats in both columns, largest `first` first."""
    order = np.lexsort((-second, -first))
    highest = np.maximum.accumulate(np.concatenate([[-np.inf], second[order][:-1]]))
    return np.asarray(order[second[order] > highest], dtype=np.int64)


def _plans(
    question: Question,
    tally: Tally,
    output: float,
    found: Candidates | None,
    front: Candidates | None,
    best: Mapping[Objective, int],
    reasons: Mapping[Objective, str],
    misses: tuple[Miss, ...],
) -> Plans:
    return Plans(
        offers=question.offers,
        promise=question.promise,
        output_tokens=output,
        found=found,
        pareto=front,
        best=best,
        reasons=reasons,
        generated=tally.generated,
        judged=tally.judged,
        feasible=tally.feasible,
        rejected=dict(tally.rejected),
        misses=misses,
    )


def _check(offers: Sequence[Offer], accelerators: int, rate: float | None, pue: float) -> None:
    checks = (
        ("offers", len(offers) > 0, str(len(offers)), "one chip or more"),
        ("accelerators", accelerators >= 1, str(accelerators), "1 or more"),
        ("rate", rate is None or (math.isfinite(rate) and rate > 0.0), str(rate), "above 0 requests/s"),
        ("pue", math.isfinite(pue) and pue >= 1.0, str(pue), "1 or more"),
    )
    problems = [
        Problem(message="nothing can be planned with this", path=f"serving.{name}", found=found, allowed=allowed)
        for name, good, found, allowed in checks
        if not good
    ]
    if problems:
        raise InputError(problems)
