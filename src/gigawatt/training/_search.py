"""The search over strategies: branch and bound on blocks of columns.

Families of strategies (one combination of major decisions each) are visited in the order of a lower bound of their
step time; the search stops where the bound passes what is still worth showing. Without pruning every strategy of the
space is evaluated, with the same result.

A strategy *fits* where its memory by this model is within that of the accelerator; it *keeps the margin* where it still
would if its memory were larger by the margin. The best strategy keeps the margin, if any does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from gigawatt.training._columns import Columns
from gigawatt.training._evaluate import Evaluator
from gigawatt.training._job import TrainingJob
from gigawatt.training._memory import memory
from gigawatt.training._space import (
    Constraint,
    Space,
    allowed,
    expand,
    in_whole_rounds,
    majors,
    minors,
    narrowed,
    widened,
)
from gigawatt.training._validity import OUT_OF_MEMORY, REJECTIONS, rejections

# Strategies up to this much slower than the best stay in sight for alternatives and the Pareto set.
WORTH_SHOWING = 1.25
FORBIDDEN = "breaks a constraint"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What a search found, best first.

    `best` keeps the memory margin unless `tight`: then no strategy does and it is the fastest that fits. `fastest` is
    the fastest that fits without the margin, None where that is `best`. `by_count` are the strategies that no other
    beats in accelerators and step time, fewest accelerators last. `generated` = `pruned` + sum of `rejected` +
    `feasible`: every strategy was evaluated, rejected by the rule that it is counted under, or pruned because the
    bound of its family is more than a quarter above the best. `nearest_miss` is the strategy that needs least memory
    where none fits.
    """

    best: Columns | None
    alternatives: Columns | None
    pareto: Columns | None
    generated: int
    feasible: int
    tight: bool = False
    fastest: Columns | None = None
    by_count: Columns | None = None
    pruned: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    nearest_miss: Columns | None = None
    nearest_miss_bytes: float = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A time that no strategy of a family beats: `per_round` seconds for every micro-batch and `once`, each (M,)."""

    per_round: NDArray[np.float64]
    once: NDArray[np.float64]
    global_batch: int

    def at(self, major: Columns) -> NDArray[np.float64]:
        """Return the bound at the families' data-parallel degrees, seconds (M,): micro-batches are whole."""
        rounds = np.ceil(self.global_batch / (major.micro_batch * major.data_parallel))
        return np.asarray(self.per_round * np.maximum(rounds, 1.0) + self.once)


def bound_of(evaluator: Evaluator, major: Columns, minor: Mapping[str, NDArray[np.int64]]) -> Bound:
    """Return the bound of families of strategies. `Evaluator.lower_bound` is a / data parallel + b, so two of its
    values give it everywhere.
    """
    one = np.ones(len(major), dtype=np.int64)
    single = evaluator.lower_bound(replace(major, data_parallel=one), minor)
    shared = 2.0 * (single - evaluator.lower_bound(replace(major, data_parallel=2 * one), minor))
    batch = evaluator.job.global_batch
    return Bound(
        per_round=shared * major.micro_batch / batch, once=np.maximum(single - shared, 0.0), global_batch=batch
    )


class _Tally:
    """What a search has seen so far. Scores are step time, memory, network bytes, accelerators, and whether the margin
    is kept.
    """

    def __init__(
        self, job: TrainingJob, evaluator: Evaluator, constraints: Sequence[Constraint], margin: float, widen: bool
    ) -> None:
        self.job, self.evaluator = job, evaluator
        self.limits = [rule for rule in constraints if rule.on_memory]
        self.ranks = [rule for rule in constraints if rule.name == "data_parallel"]
        self.roomy_bytes = evaluator.job.chip.memory_bytes / (1.0 + margin)
        self.widen = widen
        self.counts = np.zeros(len(REJECTIONS), dtype=np.int64)
        self.forbidden = 0
        self.columns: list[Columns] = []
        self.scores: list[NDArray[np.float64]] = []
        self.best_s = self.fastest_s = self.within_s = np.inf
        self.miss: Columns | None = None
        self.miss_bytes = np.inf

    @property
    def limit_s(self) -> float:
        """The longest step that is worth showing beside what was found; 0 where nothing was."""
        best = self.best_s if np.isfinite(self.best_s) else self.fastest_s
        return min(WORTH_SHOWING * best, self.within_s) if np.isfinite(best) else 0.0

    def visit(self, block: Columns) -> None:
        """Evaluate a block and keep what is worth showing; what is short of memory is tried again with as many
        data-parallel ranks as there is room for. A strategy is counted once, as what it is at its best.
        """
        rejection = rejections(self.job, block, self.evaluator.sites)
        valid = block.take(rejection == 0)
        self.counts += np.bincount(rejection[rejection != 0], minlength=len(REJECTIONS))
        if not len(valid):
            return
        outcome, roomy, held = self._judge(valid)
        short = np.flatnonzero(~roomy & (valid.zero_stage >= 1)) if self.widen else np.zeros(0, dtype=np.int64)
        if len(short):
            wider = widened(self.job, valid.take(short), self.ranks)
            more = wider.data_parallel > valid.data_parallel[short]
            # memory falls by no more than the share of a rank does
            least = held[short] * (valid.data_parallel[short] / wider.data_parallel)
            more &= least <= self.evaluator.job.chip.memory_bytes
            for rule in self.ranks:
                more &= rule.holds(wider)
            if more.any():
                more &= rejections(self.job, wider, self.evaluator.sites) == 0
            if more.any():
                again, _, _ = self._judge(wider.take(more))
                outcome[short[more]] = np.minimum(outcome[short[more]], again)
        self.counts[0] += int((outcome == FITS).sum())
        self.forbidden += int((outcome == LIMITED).sum())
        self.counts[OUT_OF_MEMORY] += int((outcome == TOO_BIG).sum())

    def _judge(self, valid: Columns) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]]:
        """Keep what is worth showing of valid strategies; return for each whether it FITS, is LIMITED by a constraint
        on memory or TOO_BIG, whether it keeps the margin, and its memory.
        """
        step = self.evaluator.evaluate(valid)
        outcome = np.where(step.rejection == OUT_OF_MEMORY, TOO_BIG, FITS)
        for rule in self.limits:
            outcome = np.where((outcome == FITS) & ~rule.keeps(step.memory_bytes), LIMITED, outcome)
        if step.memory_bytes.min() < self.miss_bytes:
            row = int(step.memory_bytes.argmin())
            self.miss, self.miss_bytes = valid.take(slice(row, row + 1)), float(step.memory_bytes[row])
        fits = outcome == FITS
        roomy = fits & (step.memory_bytes <= self.roomy_bytes)
        if fits.any():
            self.fastest_s = min(self.fastest_s, float(step.step_s[fits].min()))
            if roomy.any():
                self.best_s = min(self.best_s, float(step.step_s[roomy].min()))
            near = fits & (step.step_s <= WORTH_SHOWING * self.best_s)
            score = (step.step_s, step.memory_bytes, step.network_bytes, valid.accelerators.astype(np.float64), roomy)
            self.columns.append(valid.take(near))
            self.scores.append(np.stack([part[near] for part in score], axis=1))
        return outcome, roomy, step.memory_bytes


# What becomes of a valid strategy, best first.
FITS, LIMITED, TOO_BIG = 0, 1, 2


def search(
    job: TrainingJob,
    space: Space | None = None,
    pins: Mapping[str, int] | None = None,
    keep: int = 8,
    evaluator: Evaluator | None = None,
    constraints: Sequence[Constraint] = (),
    prune: bool = True,
    margin: float = 0.0,
    narrower: bool = False,
    within_s: float = np.inf,
) -> SearchResult:
    """Return the fastest strategy that fits, `keep` alternatives and the Pareto set over time, memory and network
    bytes.

    `evaluator` may be that of the same job with more accelerators on the same fabric; what it knows is used again.
    `margin` is the share by which memory may turn out larger than predicted; `narrower` also looks at strategies with
    fewer accelerators and more micro-batches, for `by_count` and where they alone fit; with
    `prune` steps longer than `within_s` are of no interest. Deterministic: ties go to the family with the lower
    bound, then to the one generated first. With `prune` the best, the alternatives and everything within a quarter of
    the best are the same as without. Raises InputError for a pin that is no decision, InfeasibleError for a constraint
    that no candidate keeps.
    """
    evaluator = evaluator or Evaluator(job)
    space = allowed(job, space or Space.of(job), pins or {}, constraints)
    major, minor = majors(job, space, pins, constraints), minors(space, pins)
    tally = _Tally(job, evaluator, constraints, margin, widen="data_parallel" not in (pins or {}))
    tally.within_s = within_s
    width = len(next(iter(minor.values())))
    if not len(major) or not width:
        return _result(tally, keep, generated=0, pruned=0)
    bound = bound_of(evaluator, major, minor)
    pruned, generated = _visit(tally, major, minor, bound.at(major), prune), len(major)
    if narrower and tally.widen:
        if not np.isfinite(tally.best_s):
            whole = in_whole_rounds(job, major, constraints)
            pruned += _visit(tally, whole, minor, bound_of(evaluator, whole, minor).at(whole), prune)
            generated += len(whole)
        rounds = np.floor((tally.limit_s - bound.once) / bound.per_round)
        fewer = narrowed(job, major, np.clip(rounds, 0, job.global_batch).astype(np.int64), constraints)
        if len(fewer):
            pruned += _visit(tally, fewer, minor, bound_of(evaluator, fewer, minor).at(fewer), prune)
            generated += len(fewer)
    return _result(tally, keep, generated=generated * width, pruned=pruned * width)


def _visit(
    tally: _Tally, major: Columns, minor: Mapping[str, NDArray[np.int64]], bound: NDArray[np.float64], prune: bool
) -> int:
    """Visit families in the order of their bound; return how many were pruned."""
    order = np.argsort(bound, kind="stable")
    major, bound = major.take(order), bound[order]
    for start, block in expand(major, minor):
        if prune and bound[start] > min(WORTH_SHOWING * tally.best_s, tally.within_s):
            return len(major) - start
        tally.visit(block)
    return 0


def _result(tally: _Tally, keep: int, generated: int, pruned: int) -> SearchResult:
    counts = tally.counts
    rejected = {REJECTIONS[code]: int(counts[code]) for code in range(1, len(REJECTIONS)) if counts[code]}
    if tally.forbidden:
        rejected[FORBIDDEN] = tally.forbidden
    if not tally.columns:
        return SearchResult(
            best=None,
            alternatives=None,
            pareto=None,
            generated=generated,
            pruned=pruned,
            feasible=0,
            rejected=rejected,
            nearest_miss=tally.miss,
            nearest_miss_bytes=float(tally.miss_bytes),
        )
    score = np.concatenate(tally.scores)
    tight = not (score[:, 4] > 0).any()
    best_s = score[:, 0].min() if tight else score[score[:, 4] > 0, 0].min()
    near = np.flatnonzero(score[:, 0] <= WORTH_SHOWING * best_s)
    order = near[np.argsort(score[near, 0], kind="stable")]
    columns, score = Columns.concatenate(tally.columns).take(order), score[order]
    chosen = np.flatnonzero((score[:, 4] > 0) | tight)
    shown, shown_score = columns.take(chosen), score[chosen]
    return SearchResult(
        best=shown.take(slice(0, 1)),
        alternatives=shown.take(_distinct(shown, keep)),
        pareto=columns.take(_pareto(score[:, :3])),
        generated=generated,
        pruned=pruned,
        feasible=int(counts[0]),
        rejected=rejected,
        tight=tight,
        fastest=columns.take(slice(0, 1)) if chosen[0] > 0 else None,
        by_count=shown.take(_pareto(shown_score[:, [0, 3]])),
    )


def _distinct(columns: Columns, keep: int) -> list[int]:
    """Return the first rows that differ from the best and from one another in a parallel degree, not only in a
    detail.
    """
    shapes = np.stack(
        [
            columns.tensor_parallel,
            columns.pipeline_parallel,
            columns.context_parallel,
            columns.expert_parallel,
            columns.recompute,
        ],
        axis=1,
    )
    _, first = np.unique(shapes, axis=0, return_index=True)
    return [int(row) for row in np.sort(first) if row != 0][:keep]


def _pareto(score: NDArray[np.float64], most: int = 50) -> list[int]:
    """Return the rows (sorted by their first score) that no other row beats in every score, at most `most`."""
    front: list[int] = []
    for row in range(len(score)):
        if not front or not bool((score[front] <= score[row]).all(axis=1).any()):
            front.append(row)
            if len(front) == most:
                break
    return front


def fits(
    job: TrainingJob,
    space: Space | None = None,
    pins: Mapping[str, int] | None = None,
    constraints: Sequence[Constraint] = (),
) -> bool:
    """Return whether any strategy of the space keeps the rules, the constraints and the memory; time is not looked
    at. Raises as `search`.
    """
    evaluator = Evaluator(job)
    space = allowed(job, space or Space.of(job), pins or {}, constraints)
    for _, block in expand(majors(job, space, pins, constraints), minors(space, pins)):
        if "data_parallel" not in (pins or {}):
            wider = widened(job, block, constraints)
            block = Columns.concatenate([wider, block])
        valid = block.take(evaluator.rejections(block) == 0)
        if not len(valid):
            continue
        held = memory(evaluator.block(valid))[0]
        enough = held <= job.chip.memory_bytes
        for rule in constraints:
            enough &= rule.keeps(held) if rule.on_memory else rule.holds(valid)
        if enough.any():
            return True
    return False
