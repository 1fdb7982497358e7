"""The search over strategies: branch and bound on blocks of columns.

Families of strategies (one combination of major decisions each) are visited in the order of a lower bound of their
step time; the search stops where the bound passes what is still worth showing. Without pruning every strategy of the
space is evaluated, with the same result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gigawatt.training._columns import Columns
from gigawatt.training._evaluate import Evaluator
from gigawatt.training._job import TrainingJob
from gigawatt.training._space import Constraint, Space, expand, majors, minors
from gigawatt.training._validity import OUT_OF_MEMORY, REJECTIONS

# Strategies up to this much slower than the best stay in sight for alternatives and the Pareto set.
WORTH_SHOWING = 1.25
FORBIDDEN = "breaks a constraint"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What a search found, best first.

    `generated` = `pruned` + sum of `rejected` + `feasible`: every strategy was evaluated, rejected by the rule that it
    is counted under, or pruned because the bound of its family is more than a quarter above the best. `nearest_miss`
    is the strategy that needs least memory where none fits.
    """

    best: Columns | None
    alternatives: Columns | None
    pareto: Columns | None
    generated: int
    feasible: int
    pruned: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    nearest_miss: Columns | None = None
    nearest_miss_bytes: float = float("inf")


class _Tally:
    """What a search has seen so far."""

    def __init__(self) -> None:
        self.counts = np.zeros(len(REJECTIONS), dtype=np.int64)
        self.forbidden = 0
        self.columns: list[Columns] = []
        self.scores: list[NDArray[np.float64]] = []
        self.best_s = np.inf
        self.miss: Columns | None = None
        self.miss_bytes = np.inf

    def visit(self, block: Columns, evaluator: Evaluator, constraints: Sequence[Constraint]) -> None:
        """Evaluate a block and keep what is worth showing."""
        for constraint in constraints:
            kept = constraint.holds(block)
            self.forbidden += int((~kept).sum())
            block = block.take(kept)
        rejection = evaluator.rejections(block)
        valid = block.take(rejection == 0)
        self.counts += np.bincount(rejection[rejection != 0], minlength=len(REJECTIONS))
        if not len(valid):
            return
        step = evaluator.evaluate(valid)
        too_big = step.rejection == OUT_OF_MEMORY
        self.counts[OUT_OF_MEMORY] += int(too_big.sum())
        self.counts[0] += int((~too_big).sum())
        if step.memory_bytes.min() < self.miss_bytes:
            row = int(step.memory_bytes.argmin())
            self.miss, self.miss_bytes = valid.take(slice(row, row + 1)), float(step.memory_bytes[row])
        if too_big.all():
            return
        self.best_s = min(self.best_s, float(step.step_s[~too_big].min()))
        near = ~too_big & (step.step_s <= WORTH_SHOWING * self.best_s)
        self.columns.append(valid.take(near))
        self.scores.append(np.stack([step.step_s[near], step.memory_bytes[near], step.network_bytes[near]], axis=1))


def search(
    job: TrainingJob,
    space: Space | None = None,
    pins: Mapping[str, int] | None = None,
    keep: int = 8,
    evaluator: Evaluator | None = None,
    constraints: Sequence[Constraint] = (),
    prune: bool = True,
) -> SearchResult:
    """Return the fastest strategy that fits, `keep` alternatives and the Pareto set over time, memory and network
    bytes.

    Deterministic: ties go to the family with the lower bound, then to the one generated first. With `prune` the best,
    the alternatives and everything within a quarter of the best are the same as without. Raises InputError for a pin
    that is no decision.
    """
    evaluator = evaluator or Evaluator(job)
    space = space or Space.of(job)
    major, minor = majors(job, space, pins), minors(space, pins)
    width = len(next(iter(minor.values())))
    if not len(major) or not width:
        return _result(_Tally(), keep, generated=0, pruned=0)
    bound = evaluator.lower_bound(major, minor)
    order = np.argsort(bound, kind="stable")
    major, bound = major.take(order), bound[order]
    tally = _Tally()
    visited = len(major)
    for start, block in expand(major, minor):
        if prune and bound[start] > WORTH_SHOWING * tally.best_s:
            visited = start
            break
        tally.visit(block, evaluator, constraints)
    return _result(tally, keep, generated=len(major) * width, pruned=(len(major) - visited) * width)


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
    columns, score = Columns.concatenate(tally.columns), np.concatenate(tally.scores)
    order = np.argsort(score[:, 0], kind="stable")
    order = order[score[order, 0] <= WORTH_SHOWING * score[order[0], 0]]
    columns, score = columns.take(order), score[order]
    return SearchResult(
        best=columns.take(slice(0, 1)),
        alternatives=columns.take(_distinct(columns, keep)),
        pareto=columns.take(_pareto(score)),
        generated=generated,
        pruned=pruned,
        feasible=int(counts[0]),
        rejected=rejected,
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
