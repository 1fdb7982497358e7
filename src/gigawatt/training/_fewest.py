"""The fewest accelerators for a step time: the search turned round.

Families of strategies start at the data-parallel degree at which their lower bound allows the step, and grow until it
is met, always the one with the fewest accelerators first. So the answer does not lean on step times that fall with every
accelerator, which they do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from gigawatt.training._columns import Columns
from gigawatt.training._evaluate import Evaluator
from gigawatt.training._job import TrainingJob
from gigawatt.training._search import Bound, bound_of
from gigawatt.training._space import (
    BLOCK,
    DEGREES,
    Constraint,
    Space,
    allowed,
    enough_ranks,
    expand,
    fold_quantum,
    majors,
    minors,
)

# Ranks are added in steps of at most this share of them: the answer is this exact.
RESOLUTION = 0.02


def fewest(
    job: TrainingJob,
    step_s: float,
    space: Space | None = None,
    pins: Mapping[str, int] | None = None,
    constraints: Sequence[Constraint] = (),
    margin: float = 0.0,
) -> Columns | None:
    """Return the strategy with the fewest accelerators, up to those of the job, whose step takes at most `step_s` and
    whose memory keeps the margin; None where there is none.

    Of several with as many accelerators the fastest; exact up to 50 data-parallel ranks, to 2 % beyond, but for ranks
    that only share an offloaded optimizer more finely. Raises as `search`.
    """
    evaluator, pins = Evaluator(job), dict(pins or {})
    space = allowed(job, space or Space.of(job), pins, constraints)
    minor, held = minors(space, pins), "data_parallel" in pins
    families = _widest(majors(job, space, pins, constraints))
    if not len(families) or not len(next(iter(minor.values()))):
        return None
    most, rows = families.data_parallel, families
    if not held:
        start = _ranks_at_the_bound(bound_of(evaluator, families, minor), families, step_s)
        rows = _with_ranks(job, families, start, constraints)
    index = np.flatnonzero(rows.data_parallel <= most)
    at_once = max(1, BLOCK // len(next(iter(minor.values()))))
    best, best_count = None, np.inf
    while len(index):
        index = index[np.argsort(rows.accelerators[index], kind="stable")]
        wave = index[:at_once]
        for _, block in expand(rows.take(wave), minor):
            found = _fewest_of(evaluator, block, constraints, margin, step_s)
            if found is not None and found.accelerators[0] < best_count:
                best, best_count = found, float(found.accelerators[0])
        if held:
            index = index[at_once:]
        else:
            rows.data_parallel[wave] = _one_step_wider(job, rows.take(wave), constraints)
        index = index[(rows.data_parallel[index] <= most[index]) & (rows.accelerators[index] < best_count)]
    return best


def _fewest_of(
    evaluator: Evaluator, block: Columns, constraints: Sequence[Constraint], margin: float, step_s: float
) -> Columns | None:
    """Return the strategy of a block that meets the step time with the fewest accelerators, the fastest of them."""
    valid = block.take(evaluator.rejections(block) == 0)
    if not len(valid):
        return None
    step = evaluator.evaluate(valid)
    good = (step.step_s <= step_s) & (step.memory_bytes * (1.0 + margin) <= evaluator.job.chip.memory_bytes)
    for rule in constraints:
        good &= rule.keeps(step.memory_bytes) if rule.on_memory else rule.holds(valid)
    rows = np.flatnonzero(good)
    if not len(rows):
        return None
    return valid.take(rows[np.lexsort((step.step_s[rows], valid.accelerators[rows]))[:1]])


def _widest(major: Columns) -> Columns:
    """Return one row per family, with the largest of its data-parallel degrees."""
    names = [item.name for item in fields(Columns) if item.name != "data_parallel"]
    keys = np.stack([getattr(major, name) for name in names], axis=1)
    order = np.argsort(-major.data_parallel, kind="stable")
    _, first = np.unique(keys[order], axis=0, return_index=True)
    return major.take(order[np.sort(first)])


def _ranks_at_the_bound(bound: Bound, families: Columns, step_s: float) -> NDArray[np.int64]:
    """Return the fewest data-parallel ranks at which the bound of each family allows `step_s`, (M,); beyond any fleet
    where none does.
    """
    rounds = np.floor((step_s - bound.once) / bound.per_round * (1.0 + 1e-9))
    batch = -(-bound.global_batch // families.micro_batch)
    ranks = np.ceil(batch / np.maximum(rounds, 1.0))
    return np.asarray(np.where(rounds >= 1, ranks, 2**40), dtype=np.int64)


def _with_ranks(
    job: TrainingJob, families: Columns, ranks: NDArray[np.int64], constraints: Sequence[Constraint]
) -> Columns:
    """Return the families with at least so many data-parallel ranks, and no more than as many micro-batches need."""
    rounds = np.maximum(-(-job.global_batch // (families.micro_batch * ranks)), 1)
    rounds = np.where(families.virtual_stages > 1, np.maximum(rounds, families.pipeline_parallel), rounds)
    enough = enough_ranks(job, _rows(families), rounds, constraints)
    beyond = ranks * families.micro_batch > job.global_batch
    return replace(families, data_parallel=np.where(beyond, np.maximum(ranks, enough), enough))


def _one_step_wider(job: TrainingJob, rows: Columns, constraints: Sequence[Constraint]) -> NDArray[np.int64]:
    """Return the next data-parallel degree of each row: that with one micro-batch less, or 2 % more where that is
    nearer (it shards more); beyond any fleet where interleaving would have too few micro-batches.
    """
    rounds = -(-job.global_batch // (rows.micro_batch * rows.data_parallel))
    quantum = fold_quantum(_rows(rows), constraints)
    step = np.maximum((rows.data_parallel * RESOLUTION).astype(np.int64) // quantum, 1) * quantum
    fewer = enough_ranks(job, _rows(rows), np.maximum(rounds - 1, 1), constraints)
    fewer = np.where((rounds > 1) & (fewer > rows.data_parallel), fewer, 2**40)
    # many small rounds are taken away together, so that a step is at least 2 %
    many = enough_ranks(job, _rows(rows), np.maximum(rounds - (rounds * RESOLUTION).astype(np.int64), 1), constraints)
    ranks = np.maximum(np.minimum(fewer, rows.data_parallel + step), np.where(rounds * RESOLUTION >= 2, many, 0))
    left = -(-job.global_batch // (rows.micro_batch * ranks))
    return np.asarray(np.where((rows.virtual_stages > 1) & (left < rows.pipeline_parallel), 2**40, ranks), np.int64)


def _rows(columns: Columns) -> Mapping[str, NDArray[np.int64]]:
    return {name: getattr(columns, name) for name in DEGREES}
