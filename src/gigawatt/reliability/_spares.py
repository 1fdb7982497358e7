"""Nodes under repair and what a stock of spares covers (docs/science.md 8.7).

Failures of a domain of r nodes take r nodes out at once, for one repair. Their number under repair is Poisson whatever
the distribution of the repair, so the nodes under repair are X = sum of r * Poisson(m_r): a compound Poisson number. A
*batch* is such a pair (r, m_r).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Batches = tuple[tuple[int, float], ...]


@lru_cache(maxsize=256)
def _tail(batches: Batches) -> NDArray[np.float64]:
    """Return P(X > n) for n = 0, 1, … until it vanishes, by Panjer's recursion n*p(n) = sum r*m_r*p(n - r) (1981)."""
    kept = [(size, mean) for size, mean in batches if mean > 0]
    if not kept:
        return np.zeros(1)
    mean = math.fsum(size * m for size, m in kept)
    spread = math.sqrt(math.fsum(size * size * m for size, m in kept))
    top = int(mean + 12 * spread + 30 * max(size for size, _ in kept))
    p = [1.0]  # up to a common factor
    for n in range(1, top + 1):
        value = 0.0
        for size, m in kept:
            if size <= n:
                value += size * m * p[n - size]
        p.append(value / n)
        if p[-1] > 1e200:
            p = [q * 1e-200 for q in p]
    terms = np.array(p)
    above: NDArray[np.float64] = np.concatenate((np.cumsum(terms[::-1])[::-1][1:], [0.0])) / terms.sum()
    above.setflags(write=False)
    return above


def out_above(batches: Batches, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return P(X > n) for every n of `counts`."""
    tail = _tail(batches)
    found: NDArray[np.float64] = np.where(counts < len(tail), tail[np.minimum(counts, len(tail) - 1)], 0.0)
    return found


def mean_beyond(batches: Batches, spares: int, step: int = 1) -> float:
    """Return the mean of ceil(max(X - S, 0) / step): nodes that are missing, or groups of `step` nodes that they make."""
    return float(_tail(batches)[spares::step].sum())


def spares_for(batches: Batches, probability: float) -> int:
    """Return the smallest S with P(X <= S) >= probability. Raises ValueError for a probability outside (0, 1)."""
    if not 0 < probability < 1:
        raise ValueError(f"the share of time that spares cover must be between 0 and 1, not {probability}")
    return int(np.argmax(_tail(batches) <= 1.0 - probability))
