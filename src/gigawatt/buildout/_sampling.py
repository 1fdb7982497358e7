"""Draws that alternatives share by name, and durations that follow low, best and high.

A draw belongs to a name and a seed, to nothing else: two plans that both hold "transformer_order" meet the same
transformers, whatever else they hold and in whatever order (common random numbers), so their difference shows what
differs in the plans and not in the luck.

A column is a centred Latin hypercube (McKay, Beckman and Conover 1979): the S values (i + 1/2) / S, shuffled by a
generator seeded with the name. Every column covers its range evenly, so that medians and means settle with few samples; one
sample is the median of everything.

Shapes: S samples, N names, K tasks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from gigawatt.buildout._task_tables import site_fact
from gigawatt.buildout._tasks import Task, TaskNetwork

Array = NDArray[np.float64]
Z90 = NormalDist().inv_cdf(0.9)  # standard deviations from the median to the 90 % point of a normal distribution


def uniforms(names: Sequence[str], samples: int, seed: int = 0) -> Array:
    """Return a column of uniform numbers in (0, 1) for every name, (S, N). Raises ValueError for no samples."""
    return (_shuffles(names, samples, seed) + 0.5) / samples


def normal_scores(names: Sequence[str], samples: int, seed: int = 0) -> Array:
    """Return the same columns as standard normal numbers, (S, N)."""
    return _scores(samples)[_shuffles(names, samples, seed)]


@lru_cache(maxsize=8)
def _scores(samples: int) -> Array:
    normal = NormalDist()
    return np.array([normal.inv_cdf((i + 0.5) / samples) for i in range(samples)])


def _shuffles(names: Sequence[str], samples: int, seed: int) -> NDArray[np.int64]:
    if samples < 1:
        raise ValueError(f"samples must be 1 or more, not {samples}")
    columns = np.empty((samples, len(names)), dtype=np.int64)
    for n, name in enumerate(names):
        word = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
        columns[:, n] = np.random.Generator(np.random.PCG64([seed, word])).permutation(samples)
    return columns


def through_quantiles(low: Array | float, best: Array | float, high: Array | float, z: Array) -> Array:
    """Return numbers whose 10 %, 50 % and 90 % points are low, best and high, at standard normal scores `z`.

    A lognormal distribution in two pieces: ln x = ln best + z/z90 * ln(high/best) above the median and
    ln x = ln best + z/z90 * ln(best/low) below it. Lead times
    are skewed to the late side, and products of many small delays are lognormal; two pieces let all three published
    numbers hold. A triangle or PERT would read low and high as limits that no project oversteps,
    while the ranges in the sources say what is usual. Worked value: 10, 20, 80 at z = z90 is 80, at -z90 is 10.
    Inputs broadcast; 0 at all three ends stays 0.
    """
    low, best, high = (np.asarray(value, dtype=np.float64) for value in (low, best, high))
    with np.errstate(divide="ignore", invalid="ignore"):
        above, below = np.log(high / best), np.log(best / low)
    spread = np.where(z > 0.0, np.nan_to_num(above), np.nan_to_num(below))
    return np.asarray(best * np.exp(z / Z90 * spread), dtype=np.float64)


def duration_scores(tasks: Sequence[Task], samples: int, seed: int, *, same_kind: float, same_trade: float) -> Array:
    """Return correlated standard normal scores of tasks, (S, K): a Gaussian copula with two layers of common factors.

    z = sqrt(t)*trade + sqrt(k - t)*kind + sqrt(1 - k)*own, so tasks of one kind correlate by k = `same_kind` and tasks
    of one trade by t = `same_trade`. A task without a kind or a trade has its own factor there. Every column is then
    laid on the even scores again, by rank, so that it covers its range as evenly as an independent one.
    Raises ValueError unless 0 <= t <= k <= 1.
    """
    if not 0.0 <= same_trade <= same_kind <= 1.0:
        raise ValueError("correlations need 0 <= same_trade <= same_kind <= 1")
    layers = (
        (same_trade, [f"trade:{task.trade}" if task.trade else f"no trade:{task.name}" for task in tasks]),
        (same_kind - same_trade, [f"kind:{task.sort}" for task in tasks]),
        (1.0 - same_kind, [f"task:{task.name}" for task in tasks]),
    )
    scores = np.zeros((samples, len(tasks)))
    for weight, names in layers:
        if weight > 0.0:
            distinct = list(dict.fromkeys(names))
            columns = normal_scores(distinct, samples, seed)
            scores += np.sqrt(weight) * columns[:, [distinct.index(name) for name in names]]
    return _scores(samples)[scores.argsort(axis=0, kind="stable").argsort(axis=0)]


def sample_durations(
    network: TaskNetwork,
    samples: int = 1000,
    seed: int = 0,
    *,
    same_kind: float | None = None,
    same_trade: float | None = None,
) -> Array:
    """Return durations in seconds of all tasks, (S, K); the same seed gives the same answer.

    Correlations that are not given are those of data/construction.csv. Raises ValueError as `duration_scores` does.
    """
    kind = site_fact("correlation.same_kind").best if same_kind is None else same_kind
    trade = min(kind, site_fact("correlation.same_trade").best) if same_trade is None else same_trade
    z = duration_scores(network.tasks, samples, seed, same_kind=kind, same_trade=trade)
    low, best, high = (
        np.array([getattr(task, end) for task in network.tasks]) for end in ("low_s", "best_s", "high_s")
    )
    return through_quantiles(low, best, high, z)
