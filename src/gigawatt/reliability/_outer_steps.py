"""How sites train together: policies of exchange, what they send and what they cost in tokens (docs/science.md 10.6).

A *round* is H inner steps and one exchange of all N parameters (or gradients) between K sites. Traffic in bits per second
is what a site sends (on a ring it receives as much). Scalars and columns (C,) give the same answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np

from gigawatt.catalog import sourced_table
from gigawatt.evidence import Grade, Sourced
from gigawatt.reliability._formulas import Array, Numbers
from gigawatt.reliability._links import ring_bytes
from gigawatt.reliability._tables import at_end


@cache
def site_facts() -> Mapping[str, Sourced]:
    """Return the packaged numbers of training over sites by key (data/sites.csv)."""
    return MappingProxyType(sourced_table("gigawatt.reliability", "data/sites.csv"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangePolicy:
    """How sites exchange: every `inner_steps`, `bits` per parameter, in `fragments` that follow one another, each free to
    take `overlap_steps` inner steps beside the computing. `waits` says whether a failed site stops the others.

    Raises ValueError for counts below 1, bits not above 0, or an overlap outside 0 to `inner_steps`.
    """

    name: str
    inner_steps: float = 1.0
    bits: float = 16.0
    fragments: float = 1.0
    overlap_steps: float = 0.0
    waits: bool = True

    def __post_init__(self) -> None:
        if not (self.inner_steps >= 1 and self.fragments >= 1 and self.bits > 0):
            raise ValueError(f"inner_steps and fragments must be at least 1 and bits above 0: {self}")
        if not 0 <= self.overlap_steps <= self.inner_steps:
            raise ValueError(f"overlap_steps must be between 0 and inner_steps: {self}")


def synchronous(bits: float = 16.0) -> ExchangePolicy:
    """Return data parallelism over all sites: gradients every step, mathematically that of one site."""
    return ExchangePolicy(name="synchronous", bits=bits)


def diloco(inner_steps: float = 100.0, bits: float = 16.0) -> ExchangePolicy:
    """Return DiLoCo (arXiv 2311.08105): everything at the end of a round, while all wait."""
    return ExchangePolicy(name="DiLoCo", inner_steps=inner_steps, bits=bits)


def streaming_diloco(
    inner_steps: float = 100.0, bits: float = 4.0, fragments: float = 20.0, overlap_steps: float = 5.0
) -> ExchangePolicy:
    """Return streaming DiLoCo (arXiv 2501.18512): fragment after fragment, each beside some inner steps, in 4 bit."""
    return ExchangePolicy(
        name="streaming DiLoCo", inner_steps=inner_steps, bits=bits, fragments=fragments, overlap_steps=overlap_steps
    )


def eager_diloco(inner_steps: float = 100.0, bits: float = 16.0) -> ExchangePolicy:
    """Return DiLoCo with eager updates (arXiv 2502.12996): the exchange may take the whole next round."""
    return ExchangePolicy(name="eager DiLoCo", inner_steps=inner_steps, bits=bits, overlap_steps=inner_steps)


def decoupled_diloco(
    inner_steps: float = 60.0, bits: float = 4.0, fragments: float = 20.0, overlap_steps: float = 5.0
) -> ExchangePolicy:
    """Return decoupled DiLoCo (arXiv 2604.21428): as streaming, and a site that fails does not stop the others.

    60 inner steps and 4 bit are our fit to the published traffic (198 to 0.84 Gb/s, 236 times), not the paper's own.
    """
    return ExchangePolicy(
        name="decoupled DiLoCo",
        inner_steps=inner_steps,
        bits=bits,
        fragments=fragments,
        overlap_steps=overlap_steps,
        waits=False,
    )


def traffic_bits_per_s(
    parameters: Numbers, sites: Numbers, bits: Numbers, inner_steps: Numbers, step_s: Numbers
) -> Numbers:
    """Return the mean traffic that a site sends, 2(K-1)/K*N*bits/(H*t), bit/s, where nothing stalls.

    N = 1e12, K = 8, t = 10 s: 2.8 Tb/s for H = 1 at 16 bit, 14 Gb/s for 100 at 8 bit, 5.6 Gb/s for 500 at 16 bit.
    """
    return np.asarray(ring_bytes(np.asarray(parameters) * bits, sites) / (np.asarray(inner_steps) * step_s))


def traffic_ratio(inner_steps: Numbers, bits: Numbers, reference_bits: Numbers = 16.0) -> Numbers:
    """Return how many times less is sent than by synchronous training, H*reference/bits. INTELLECT-1: 100 inner steps,
    8 bit for 32: 400.
    """
    return np.asarray(np.asarray(inner_steps) * np.asarray(reference_bits) / bits)


def inner_steps_for(ratio: Numbers, bits: Numbers, reference_bits: Numbers = 16.0) -> Numbers:
    """Return the inner steps that cut the traffic `ratio` times. 236 times at 4 bit for 16: 59 steps."""
    return np.asarray(np.asarray(ratio) * bits / reference_bits)


def token_penalty(parameters: Numbers, sites: Numbers, inner_steps: Numbers, end: str = "best") -> Array:
    """Return eps(H, K, N), the extra tokens for the same loss, as a share; `end` is "low", "best" or "high".

    e*(K-1)*(N/N_0)^-g*(H/H_0)^h with e, g, h of data/sites.csv; 0 for one site or H = 1. An estimate, from models of up to
    2.4e9 parameters: 1e12 parameters, 8 sites, 100 inner steps: 3 %, of 0 to 46 %. Raises ValueError for another `end`.
    """
    facts = site_facts()
    size = np.asarray(parameters) / facts["penalty.reference_parameters"].best
    steps = np.asarray(inner_steps) / facts["penalty.reference_inner_steps"].best
    level = at_end(facts["penalty.per_site"], end)
    shrink = _power(1.0 / size, facts["penalty.size_exponent"], end)
    grow = _power(steps, facts["penalty.inner_steps_exponent"], end)
    extra = level * (np.asarray(sites) - 1.0) * shrink * grow
    return np.asarray(np.where(np.asarray(inner_steps) > 1, extra, 0.0))


def extra_tokens(parameters: float, sites: int, inner_steps: float) -> Sourced:
    """Return `token_penalty` with both ends: the extra tokens of sites (islands) that exchange every `inner_steps`."""
    low, best, high = (float(token_penalty(parameters, sites, inner_steps, end)) for end in ("low", "best", "high"))
    fact = site_facts()["penalty.per_site"]
    return Sourced(
        low=low,
        best=best,
        high=high,
        grade=Grade.ESTIMATE,
        source=fact.source,
        date=fact.date,
        label="extra tokens of infrequent exchange",
        note="share of the tokens, extrapolated from models of up to 2.4e9 parameters; no run of this size has measured it",
    )


def _power(ratio: Numbers, exponent: Sourced, end: str) -> Array:
    """Return ratio**exponent at its best, or the lower or higher of its two ends."""
    if end == "best":
        return np.asarray(ratio**exponent.best)
    pick = np.minimum if end == "low" else np.maximum
    return np.asarray(pick(ratio**exponent.low, ratio**exponent.high))
