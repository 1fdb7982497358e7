"""Links between sites: fibre, rings over them and hierarchies of rings (docs/science.md 3.7, 10.5).

K sites on a ring; W bytes/s from a site to a neighbour, one way. Times in seconds. Scalars and columns (C,) give the same
answers.
"""

from __future__ import annotations

import numpy as np

from gigawatt.hardware import fabric_facts, hierarchical_all_reduce
from gigawatt.reliability._formulas import Array, Numbers


def fibre_s(distance_m: Numbers) -> Numbers:
    """Return the propagation along a fibre, 4.90 us per km (group index 1.468), seconds. 1,000 km: 4.9 ms."""
    return np.asarray(distance_m) * fabric_facts()["fibre_s_per_m"].best


def ring_sync_s(
    size_bytes: Numbers, sites: Numbers, bytes_per_s: Numbers, hop_s: Numbers, directions: Numbers = 1
) -> Numbers:
    """Return 2(K-1)/K*n/W + 2(K-1)*t_hop, seconds: a ring all-reduce between sites, n bytes the full buffer.

    `directions` 2 halves both: half of the buffer goes each way round (needs three sites). 72e12 parameters of 2 bytes over
    23 sites on 4,800 km at 6 Pb/s to each neighbour: 0.21 s both ways round; Epoch AI (2025) has about 0.22 s.
    """
    moving = ring_bytes(size_bytes, sites) / (np.asarray(bytes_per_s) * ring_ways(sites, directions))
    return np.asarray(moving + ring_latency_s(sites, hop_s, directions))


def ring_ways(sites: Numbers, directions: Numbers) -> Array:
    """Return how many ways round a ring is used: `directions`, or 1 below three sites."""
    return np.where(np.asarray(sites) > 2, directions, 1)


def ring_latency_s(sites: Numbers, hop_s: Numbers, directions: Numbers = 1) -> Array:
    """Return the latency of a ring all-reduce, 2(K-1)*t_hop over the ways round, seconds."""
    return np.asarray(2.0 * (np.asarray(sites) - 1.0) * hop_s / ring_ways(sites, directions))


def ring_bytes(size_bytes: Numbers, sites: Numbers) -> Numbers:
    """Return what each site sends in one ring all-reduce, 2(K-1)/K*n bytes; it receives as much."""
    count = np.asarray(sites, dtype=np.float64)
    return np.asarray(2.0 * (count - 1.0) / count * size_bytes)


def flat_ring_s(
    size_bytes: Numbers,
    accelerators: Numbers,
    sites: Numbers,
    bytes_per_s: Numbers,
    local_hop_s: Numbers,
    hop_s: Numbers,
) -> Numbers:
    """Return the time of one ring through every accelerator of every site, seconds: what hierarchy avoids.

    2(n-1)/n*(size/W + (n-K)*local_hop + K*hop), where W is the rate of one accelerator, because each link of the ring
    carries the whole buffer. 100,000 accelerators with hops of 9 us: 1.8 s of latency alone.
    """
    n, k = np.asarray(accelerators, dtype=np.float64), np.asarray(sites, dtype=np.float64)
    return np.asarray(2.0 * (n - 1.0) / n * (np.asarray(size_bytes) / bytes_per_s + (n - k) * local_hop_s + k * hop_s))


def regional_sync_s(
    size_bytes: Numbers,
    sites_per_region: Numbers,
    regions: Numbers,
    near_bytes_per_s: Numbers,
    far_bytes_per_s: Numbers,
    near_hop_s: Numbers,
    far_hop_s: Numbers,
) -> Numbers:
    """Return the time of a hierarchical exchange, seconds: reduce-scatter and all-gather between the sites of a region,
    all-reduce of a site's shard between regions (docs/science.md 3.7). `far_bytes_per_s` is that of one site.
    """
    near, far = 1.0 / np.asarray(near_bytes_per_s), 1.0 / np.asarray(far_bytes_per_s)
    whole = np.asarray(size_bytes, dtype=np.float64)
    return np.asarray(hierarchical_all_reduce(sites_per_region, regions, whole, near_hop_s, near, far_hop_s, far))
