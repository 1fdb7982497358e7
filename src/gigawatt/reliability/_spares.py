"""Nodes under repair and what a stock of spares covers (docs/science.md 8.7).

Failures of a domain of r nodes take r nodes out at once, for one repair. Their number under repair is Poisson whatever
the distribution of the repair, so the nodes under repair are X = sum of r * Poisson(m_r): a compound Poisson number. A
*batch* is such a pair (r, m_r).

Empty slots do not fail: once the spares S are out, X - S of the N slots of the job are empty and nodes leave at
1 - (X - S) / N of the rate. For single nodes that is exact (birth and death), for batches the mean.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Batches = tuple[tuple[int, float], ...]
# The distribution is followed to this many deviations and largest batches beyond its mean, or until what is left is nothing.
DEVIATIONS, LARGEST_BATCHES, NOTHING = 12, 30, 1e-18
# Probabilities are known up to a common factor, which is taken out before they overflow.
OVERFLOW = 1e200
MANY = 5_000.0  # nodes under repair in the mean, beyond which a normal distribution is as good, and far quicker
LOOK = 64  # numbers between two looks at what is left


@lru_cache(maxsize=256)
def _counts(batches: Batches) -> tuple[float, ...]:
    """Return P(X = n), up to a common factor, where spares never run out."""
    return tuple(_followed(batches, [1.0], 0, 0))


def _followed(batches: Batches, known: list[float], spares: int, nodes: int) -> list[float]:
    """Return P(X = n) from `known` on, up to a common factor, by Panjer's recursion n*p(n) = sum r*m_r*p(n - r) (1981),
    with fewer leaving where more than `spares` of `nodes` slots lack (`nodes` 0: never).
    """
    mean = math.fsum(size * m for size, m in batches)
    spread = math.sqrt(math.fsum(size * size * m for size, m in batches))
    largest = max((size for size, _ in batches), default=1)
    top = int(mean + DEVIATIONS * spread + LARGEST_BATCHES * largest) if batches else 0
    top = min(top, spares + nodes) if nodes else top
    weights = [(size, size * m) for size, m in batches]
    whole = spares if nodes else top  # up to here all slots are taken
    p = list(known)
    leaving = [value * max(1.0 - max(n - whole, 0) / max(nodes, 1), 0.0) for n, value in enumerate(p)]
    look = max(largest, LOOK)
    for n in range(len(p), top + 1):
        value = sum([weight * leaving[n - size] for size, weight in weights if size <= n]) / n
        p.append(value)
        leaving.append(value if n <= whole else value * max(1.0 - (n - whole) / nodes, 0.0))
        if value > OVERFLOW:
            p, leaving = ([q / OVERFLOW for q in column] for column in (p, leaving))
        if n % look == 0 and sum(p[-largest:]) < NOTHING * sum(p):
            break
    return p


@lru_cache(maxsize=256)
def _tail(batches: Batches, spares: int = 0, nodes: int = 0) -> NDArray[np.float64]:
    """Return P(X > n) for n = 0, 1, … until it vanishes; see `_followed`."""
    kept = tuple((size, mean) for size, mean in batches if mean > 0)
    if math.fsum(size * m for size, m in kept) > MANY:
        return _normal_tail(kept, spares, nodes)
    p = list(_counts(kept))
    if nodes and spares + 1 < len(p):
        first = p[: spares + 1]  # the same, but what is far below the mean may have been scaled to nothing
        p = _followed(kept, first if first[-1] > 1.0 / OVERFLOW else [1.0], spares, nodes)
    terms = np.array(p)
    above: NDArray[np.float64] = np.concatenate((np.cumsum(terms[::-1])[::-1][1:], [0.0])) / terms.sum()
    above.setflags(write=False)
    return above


def _normal_tail(batches: Batches, spares: int, nodes: int) -> NDArray[np.float64]:
    """Return P(X > n) where X is large: normal about its mean, which where spares run out is that at which as many nodes
    leave as come back, x = m * (1 - (x - S) / N).
    """
    mean = math.fsum(size * m for size, m in batches)
    spread = math.sqrt(math.fsum(size * size * m for size, m in batches))
    if nodes and mean > spares:
        mean = mean * (1.0 + spares / nodes) / (1.0 + mean / nodes)
    top = int(mean + DEVIATIONS * spread) + 1
    above = np.ones(top + 1)
    first = max(int(mean - DEVIATIONS * spread), 0)
    above[first:] = [0.5 * math.erfc((n + 0.5 - mean) / (spread * math.sqrt(2.0))) for n in range(first, top + 1)]
    above.setflags(write=False)
    return above


def out_above(batches: Batches, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return P(X > n) for every n of `counts`, where spares never run out."""
    tail = _tail(batches)
    found: NDArray[np.float64] = np.where(counts < len(tail), tail[np.minimum(counts, len(tail) - 1)], 0.0)
    return found


def short_of_spares(batches: Batches, spares: int, nodes: int) -> float:
    """Return P(X > S), the share of time in which a job of `nodes` lacks a node."""
    return float(_tail(batches, spares, nodes)[spares : spares + 1].sum())


def mean_beyond(batches: Batches, spares: int, step: int = 1, nodes: int = 0) -> float:
    """Return the mean of ceil(max(X - S, 0) / step): nodes that are missing of `nodes` (0: of any number), or groups of
    `step` nodes that they make.
    """
    return float(_tail(batches, spares, nodes)[spares::step].sum())


def spares_for(batches: Batches, probability: float) -> int:
    """Return the smallest S with P(X <= S) >= probability, from the normal distribution above a mean of MANY. Raises
    ValueError for a probability outside (0, 1).
    """
    if not 0 < probability < 1:
        raise ValueError(f"the share of time that spares cover must be between 0 and 1, not {probability}")
    mean = math.fsum(size * m for size, m in batches)
    if mean > MANY:
        spread = math.sqrt(math.fsum(size * size * m for size, m in batches))
        return math.ceil(NormalDist(mean, spread).inv_cdf(probability) - 0.5)
    return int(np.argmax(_tail(batches) <= 1.0 - probability))
