"""Textbook times of collectives (docs/science.md 3; Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005).

`ranks` p, `size_bytes` n of the FULL buffer, `alpha` s per message, `beta` s per byte and direction of one rank,
`gamma` s per byte of reduction. Scalars and arrays give the same answers. A group of one costs nothing.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = float | NDArray[np.float64]


def ring_all_gather(ranks: Numbers, size_bytes: Numbers, alpha: Numbers, beta: Numbers) -> Numbers:
    """Return (p-1)*alpha + (p-1)/p*n*beta, seconds. 34 MB over 9e10 B/s: 377 us."""
    return (ranks - 1) * alpha + (ranks - 1) / ranks * size_bytes * beta


def ring_reduce_scatter(
    ranks: Numbers, size_bytes: Numbers, alpha: Numbers, beta: Numbers, gamma: Numbers = 0.0
) -> Numbers:
    """Return the time of an all-gather plus the reduction (p-1)/p*n*gamma, seconds."""
    return ring_all_gather(ranks, size_bytes, alpha, beta) + (ranks - 1) / ranks * size_bytes * gamma


def ring_all_reduce(
    ranks: Numbers, size_bytes: Numbers, alpha: Numbers, beta: Numbers, gamma: Numbers = 0.0
) -> Numbers:
    """Return 2(p-1)*alpha + 2(p-1)/p*n*beta + (p-1)/p*n*gamma, seconds. 1 GiB on 8 ranks at 450 GB/s: 4.176 ms +
    14*alpha.
    """
    return ring_all_gather(ranks, size_bytes, alpha, beta) + ring_reduce_scatter(ranks, size_bytes, alpha, beta, gamma)


def recursive_doubling_all_reduce(
    ranks: Numbers, size_bytes: Numbers, alpha: Numbers, beta: Numbers, gamma: Numbers = 0.0
) -> Numbers:
    """Return log2(p)*(alpha + n*beta + n*gamma), seconds; for small messages."""
    return np.log2(ranks) * (alpha + size_bytes * (beta + gamma))


def rabenseifner_all_reduce(
    ranks: Numbers, size_bytes: Numbers, alpha: Numbers, beta: Numbers, gamma: Numbers = 0.0
) -> Numbers:
    """Return 2*log2(p)*alpha + 2(p-1)/p*n*beta + (p-1)/p*n*gamma, seconds (halving and doubling)."""
    return 2 * np.log2(ranks) * alpha + (ranks - 1) / ranks * size_bytes * (2 * beta + gamma)


def double_tree_all_reduce(ranks: Numbers, size_bytes: Numbers, alpha: Numbers, beta: Numbers) -> Numbers:
    """Return the time of the pipelined double binary tree with the best chunk, seconds (Sanders, Speck, Träff 2009).

    2*(log2(p) + n/c - 1)*(alpha + c*beta) at c = sqrt(n*alpha/((log2(p)-1)*beta)) is 2*(sqrt((log2(p)-1)*alpha) +
    sqrt(n*beta))^2.
    """
    depth = np.maximum(np.log2(ranks) - 1, 0.0)
    return np.where(np.asarray(ranks) > 1, 2 * (np.sqrt(depth * alpha) + np.sqrt(size_bytes * beta)) ** 2, 0.0)


def pairwise_all_to_all(ranks: Numbers, sent_bytes: Numbers, alpha: Numbers, beta: Numbers) -> Numbers:
    """Return (p-1)*alpha + (p-1)/p*n*beta, seconds; n is what one rank sends in total, its own share included."""
    return (ranks - 1) * alpha + (ranks - 1) / ranks * sent_bytes * beta


def bruck_all_to_all(ranks: Numbers, sent_bytes: Numbers, alpha: Numbers, beta: Numbers) -> Numbers:
    """Return log2(p)*alpha + n/2*log2(p)*beta, seconds; for small messages."""
    return np.log2(ranks) * (alpha + sent_bytes / 2 * beta)


def in_network_all_reduce(depth: Numbers, size_bytes: Numbers, switch_alpha: Numbers, beta: Numbers) -> Numbers:
    """Return 2*depth*alpha + n*beta, seconds: the switches reduce, every rank sends and receives n once."""
    return 2 * depth * switch_alpha + size_bytes * beta


def hierarchical_all_reduce(
    inner_ranks: Numbers,
    outer_ranks: Numbers,
    size_bytes: Numbers,
    inner_alpha: Numbers,
    inner_beta: Numbers,
    outer_alpha: Numbers,
    outer_beta: Numbers,
) -> Numbers:
    """Return reduce-scatter and all-gather inside, all-reduce of the shards across, seconds (one network port per
    rank).
    """
    inside = ring_all_reduce(inner_ranks, size_bytes, inner_alpha, inner_beta)
    return inside + ring_all_reduce(outer_ranks, size_bytes / inner_ranks, outer_alpha, outer_beta)


def torus_all_gather(
    axis_ranks: Numbers, size_bytes: Numbers, hop_s: Numbers, bidirectional_bytes_per_s: Numbers, axes: int = 1
) -> Numbers:
    """Return max(hops, n / (axes * W)), seconds, over `axes` bidirectional rings (jax-ml/scaling-book).

    TPU v4p, 9e10 B/s both ways per link: bf16[1024, 4096/4] 23 us on one axis, bf16[1024, 4096] 46 us over two.
    """
    return np.maximum(hop_s * axis_ranks / 2, size_bytes / (axes * bidirectional_bytes_per_s))


def bus_bandwidth(collective: str, ranks: Numbers, size_bytes: Numbers, seconds: Numbers) -> Numbers:
    """Return the bus bandwidth as nccl-tests reports it, B/s: n/t times 2(p-1)/p for all-reduce, (p-1)/p for the
    others.
    """
    factor = 2 * (ranks - 1) / ranks if collective == "all_reduce" else (ranks - 1) / ranks
    return size_bytes / seconds * factor
