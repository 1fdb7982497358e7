"""How many of the accelerators a job should use: more of them shorten the step and fail more often.

    wall time of a step = step time / goodput

The search gives the fastest strategy per number of accelerators within a quarter of the best step; where failures cost
more than that, it is asked again with fewer accelerators, until even a run without failures would take longer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gigawatt.training import (
    Columns,
    Constraint,
    Evaluator,
    SearchResult,
    TrainingJob,
    memory_margin,
    search,
)

# Numbers of accelerators at which goodput is looked at, each a share of the one before.
GRID = 0.95 ** np.arange(400)
# Useful share of the wall time of (accelerators, accelerators of a replica, step time).
Goodput = Callable[[int, int, float], float]
# Below this goodput far fewer accelerators may be better.
FAILING = 0.5
# Below this goodput a run does not end: no number of accelerators is searched for it.
HOPELESS = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Width:
    """A number of accelerators with its fastest strategy: step time, useful share of the wall time, and both together
    (`wall_s`, infinite where nothing is useful).
    """

    columns: Columns
    accelerators: int
    step_s: float
    goodput: float

    @property
    def replica(self) -> int:
        """Accelerators of one replica."""
        return int(self.columns.replica[0])

    @property
    def wall_s(self) -> float:
        """Wall time of one step, failures included."""
        return self.step_s / self.goodput if self.goodput > 0 else float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Widths:
    """What a job can do with the accelerators there are: `found` is the search with all of them, `evaluator` what
    it used, `tried` one row per number of accelerators, most first.
    """

    found: SearchResult
    evaluator: Evaluator
    tried: tuple[Width, ...]

    @property
    def best(self) -> Width:
        """The row whose run is shortest, failures included; of equals the one with fewest accelerators."""
        return min(self.tried, key=lambda row: (row.wall_s, row.accelerators))


def widths(
    job: TrainingJob,
    goodput: Goodput,
    pins: Mapping[str, int],
    constraints: Sequence[Constraint] = (),
) -> Widths | SearchResult:
    """Return what numbers of accelerators are worth, or the search where no strategy fits.

    `goodput` falls as the accelerators become more. What is not searched is judged with the replica and the step of the
    fastest strategy. Raises as `training.search`.
    """
    margin, evaluator = memory_margin(job, constraints), Evaluator(job)

    def searched(count: int, keep: int = 0, within_s: float = float("inf")) -> SearchResult:
        capped = replace(job, accelerators=count)
        return search(
            capped,
            pins=pins,
            keep=keep,
            evaluator=evaluator,
            constraints=constraints,
            margin=margin,
            narrower=True,
            within_s=within_s,
        )

    first = searched(job.accelerators, keep=8)
    if first.by_count is None:
        return first
    fresh = _rows(evaluator, first.by_count, goodput)
    rows = {row.accelerators: row for row in fresh}

    def like_fastest(count: int) -> float:
        return goodput(count, fresh[0].replica, fresh[0].step_s)

    guess = _most_useful(job.accelerators, like_fastest) if fresh[-1].goodput < FAILING else job.accelerators
    if guess < fresh[-1].accelerators:  # a good row early on saves searches
        rows |= {row.accelerators: row for row in _rows(evaluator, searched(guess).by_count, goodput)}
    while fresh:
        least = min(row.wall_s for row in rows.values())
        count = _next(fresh[-1].accelerators - 1, fresh[0].step_s, least, like_fastest)
        found = searched(count, within_s=least) if count else None
        # a job that has to give up the memory margin is no alternative to one that keeps it
        fresh = _rows(evaluator, found.by_count, goodput) if found and (first.tight or not found.tight) else []
        rows = {row.accelerators: row for row in fresh} | rows
    return Widths(found=first, evaluator=evaluator, tried=tuple(rows[count] for count in sorted(rows, reverse=True)))


def _most_useful(accelerators: int, goodput: Callable[[int], float]) -> int:
    """Return the number of accelerators whose useful time would be largest if the rate grew with their number."""
    counts = np.unique((accelerators * GRID[::4]).astype(np.int64))
    return int(max(counts[counts >= 1].tolist(), key=lambda count: count * goodput(count)))


def _rows(evaluator: Evaluator, columns: Columns | None, goodput: Goodput) -> list[Width]:
    """Return one row per strategy, fastest (and most accelerators) first."""
    if columns is None:
        return []
    step = evaluator.evaluate(columns).step_s.tolist()
    counts, replicas = columns.accelerators.tolist(), columns.replica.tolist()
    return [
        Width(
            columns=columns.take(slice(index, index + 1)),
            accelerators=counts[index],
            step_s=step[index],
            goodput=goodput(counts[index], replicas[index], step[index]),
        )
        for index in range(len(counts))
    ]


def _next(count: int, step_s: float, wall_s: float, goodput: Callable[[int], float]) -> int:
    """Return the largest number of accelerators, at most `count`, with which a run could still be shorter than
    `wall_s` a step although its step takes no less than `step_s`; 0 where none could.
    """
    if step_s >= wall_s or count < 1:
        return 0
    needed = max(step_s / wall_s, HOPELESS)
    fewer = count * GRID[count * GRID >= 1]
    index = bisect_left(fewer, 1, key=lambda value: int(goodput(int(value)) >= needed))
    if index == len(fewer):
        return 0
    return min(count, int(np.ceil(fewer[index] / GRID[1])))
