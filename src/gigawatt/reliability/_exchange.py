"""The exchange of one round between sites: its stall and its traffic, and the bandwidth that it needs (docs/science.md 10.6).

A *round* is H inner steps and one exchange of all parameters (or gradients) in P fragments. K sites on a ring; W bytes/s
from a site to a neighbour, one way; traffic in bits per second is what a site sends (on a ring it receives as much).
Scalars and columns (C,) give the same answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gigawatt.reliability._formulas import Array, Numbers
from gigawatt.reliability._links import ring_bytes, ring_latency_s, ring_ways

BITS = 8.0  # of a byte


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """The exchange of one round, columns (C,) or scalars. Bits per second are what a site sends, in operation."""

    fragment_s: Array
    stall_s: Array
    round_s: Array
    efficiency: Array
    bits_per_round: Array
    average_bits_per_s: Array
    peak_bits_per_s: Array


def exchange(
    *,
    parameters: Numbers,
    sites: Numbers,
    step_s: Numbers,
    bytes_per_s: Numbers,
    hop_s: Numbers,
    inner_steps: Numbers = 1.0,
    bits: Numbers = 16.0,
    fragments: Numbers = 1.0,
    overlap_steps: Numbers = 0.0,
    hidden_s: Numbers = 0.0,
    inside_s: Numbers = 0.0,
    directions: Numbers = 1,
) -> Exchange:
    """Return stall and traffic of a round of H inner steps of `step_s`, exchanged in P fragments on a ring of sites.

    A fragment takes inside/P + 2(K-1)/K*(N*bits/8/P)/W + 2(K-1)*t_hop and may take tau*t + hidden beside the computing; the
    rest stalls all sites. A round never moves more than the link carries: stall >= transfer - H*t. Peak traffic is
    that of a transfer spread over the time it may take, or the link's rate where it stalls. `hidden_s` is the part of a
    step in which gradients can travel (synchronous training), at most the step. `inside_s` is the reduction inside a site
    before and after. P fragments and tau fixed: peak 1/P, average unchanged. Raises ValueError for what is no exchange.
    """
    _check(sites, step_s, bytes_per_s, inner_steps, overlap_steps, hidden_s)
    k, t, steps = (np.asarray(value, dtype=np.float64) for value in (sites, step_s, inner_steps))
    line = BITS * np.asarray(bytes_per_s) * ring_ways(k, directions)
    sent = ring_bytes(np.asarray(parameters) * bits, k)
    transfer = sent / fragments / line
    latency = _latency_s(k, hop_s, directions, inside_s, fragments)
    fragment = transfer + latency
    free = np.asarray(overlap_steps) * t + hidden_s
    stall = np.maximum(fragments * np.maximum(fragment - free, 0.0), fragments * transfer - steps * t)
    stall = np.maximum(stall, 0.0)
    whole = steps * t + stall
    average = sent / whole
    fits = fragment <= free
    paced = sent / fragments / np.where(fits & (free > latency), free - latency, np.inf)
    peak = np.where(k > 1, np.where(fits, np.maximum(paced, average), line), 0.0)
    return Exchange(
        fragment_s=np.asarray(fragment),
        stall_s=np.asarray(stall),
        round_s=np.asarray(whole),
        efficiency=np.asarray(steps * t / whole),
        bits_per_round=np.asarray(sent),
        average_bits_per_s=np.asarray(average),
        peak_bits_per_s=np.asarray(peak),
    )


def bytes_per_s_for(
    efficiency: Numbers,
    *,
    parameters: Numbers,
    sites: Numbers,
    step_s: Numbers,
    hop_s: Numbers,
    inner_steps: Numbers = 1.0,
    bits: Numbers = 16.0,
    fragments: Numbers = 1.0,
    overlap_steps: Numbers = 0.0,
    hidden_s: Numbers = 0.0,
    inside_s: Numbers = 0.0,
    directions: Numbers = 1,
) -> Array:
    """Return the least rate to a neighbour, bytes/s one way, at which `exchange` reaches an efficiency in (0, 1];
    infinite where the latency alone takes more. The inverse of `exchange`.
    """
    goal = np.asarray(efficiency, dtype=np.float64)
    if not ((goal > 0) & (goal <= 1)).all():
        raise ValueError(f"efficiency must be in (0, 1], not {efficiency}")
    _check(sites, step_s, 1.0, inner_steps, overlap_steps, hidden_s)
    k, t, steps = (np.asarray(value, dtype=np.float64) for value in (sites, step_s, inner_steps))
    computing = steps * t
    stall = computing * (1.0 / goal - 1.0)
    latency = _latency_s(k, hop_s, directions, inside_s, fragments)
    beside = np.asarray(overlap_steps) * t + hidden_s + stall / fragments - latency
    window = np.minimum(beside, (computing + stall) / fragments)
    sent = ring_bytes(np.asarray(parameters) * bits, k) / fragments / BITS / ring_ways(k, directions)
    needed = np.where(window > 0, sent / np.where(window > 0, window, 1.0), np.inf)
    return np.asarray(np.where(sent > 0, needed, 0.0))


def _latency_s(sites: Array, hop_s: Numbers, directions: Numbers, inside_s: Numbers, fragments: Numbers) -> Array:
    """Return the time of a fragment that no bandwidth shortens: latency, and its part of the reduction inside."""
    inside = np.where(sites > 1, inside_s, 0.0) / np.asarray(fragments)
    return np.asarray(ring_latency_s(sites, hop_s, directions) + inside)


def _check(
    sites: Numbers, step_s: Numbers, bytes_per_s: Numbers, inner_steps: Numbers, overlap: Numbers, hidden: Numbers
) -> None:
    if (np.asarray(sites) < 1).any() or not (np.asarray(step_s) > 0).all() or not (np.asarray(bytes_per_s) > 0).all():
        raise ValueError(f"sites, step_s and bytes_per_s must be positive, not {sites}, {step_s} and {bytes_per_s}")
    late = np.asarray(overlap) > np.asarray(inner_steps)
    if (np.asarray(inner_steps) < 1).any() or late.any() or (np.asarray(overlap) < 0).any():
        raise ValueError(
            f"overlap_steps must be between 0 and inner_steps (at least 1), not {overlap} of {inner_steps}"
        )
    if (np.asarray(hidden) < 0).any() or (np.asarray(hidden) > np.asarray(step_s)).any():
        raise ValueError(f"hidden_s must be between 0 and the step of {step_s} s, not {hidden}")
