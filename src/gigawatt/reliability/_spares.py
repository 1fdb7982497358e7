"""Nodes under repair as a Poisson number, and what a stock of spares covers (docs/science.md 8.7)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gigawatt.reliability._formulas import poisson_quantile


def spares_for(mean: float, probability: float) -> int:
    """Return the smallest S with P(X <= S) >= probability for X ~ Poisson(mean)."""
    return poisson_quantile(mean, probability)


def poisson_above(mean: float, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return P(X > S) for X ~ Poisson(mean) and every S of `counts`, from the sum of its terms."""
    if mean <= 0:
        return np.zeros(len(counts))
    top = int(max(counts.max(initial=0), mean + 12 * math.sqrt(mean) + 30))
    k = np.arange(1, top + 1)
    terms = np.exp(-mean + np.concatenate(([0.0], np.cumsum(np.log(mean) - np.log(k)))))
    above = np.concatenate((np.cumsum(terms[::-1])[::-1][1:], [0.0]))
    return np.asarray(np.minimum(above[counts], 1.0))


def poisson_excess(mean: float, spares: int) -> float:
    """Return the mean number of nodes that are missing with S spares, E[max(X - S, 0)]."""
    if mean <= 0:
        return 0.0
    top = max(int(mean + 12 * math.sqrt(mean) + 30), spares)
    return float(poisson_above(mean, np.arange(spares, top + 1)).sum())
