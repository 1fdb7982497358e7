"""One run over many sites: what the exchange between them costs in time, bandwidth and tokens (docs/science.md 10.5, 10.6).

The flow of `train_across`: sites and a policy -> one exchange on the ring of sites -> stall and traffic of a round ->
time, goodput and cost of the run -> what each site shows to the outside.

A *round* is H inner steps and one exchange of all parameters (or gradients) in P fragments. K sites on a ring; W bytes/s
from a site to a neighbour, one way; traffic in bits per second is what a site sends (on a ring it receives as much).
Scalars and columns (C,) give the same answers. Everything inside a site stays inside: tensor, pipeline and expert
exchanges, and the reduction before and after the exchange between sites, whose time comes in as a value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np

from gigawatt.catalog import sourced_table
from gigawatt.evidence import Breakdown, Grade, Sourced
from gigawatt.hardware import fabric_facts, hierarchical_all_reduce
from gigawatt.reliability._formulas import exact_efficiency, exact_interval
from gigawatt.reliability._scale import Array, Numbers, to_plain

BITS = 8.0  # of a byte


@cache
def site_facts() -> Mapping[str, Sourced]:
    """Return the packaged numbers of training over sites by key (data/sites.csv)."""
    return MappingProxyType(sourced_table("gigawatt.reliability", "data/sites.csv"))


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
    ways = np.where(np.asarray(sites) > 2, directions, 1)
    moved = ring_bytes(size_bytes, sites)
    return np.asarray(moved / (np.asarray(bytes_per_s) * ways) + 2.0 * (np.asarray(sites) - 1.0) * hop_s / ways)


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
    if end not in ("low", "best", "high"):
        raise ValueError(f"end must be low, best or high, not {end!r}")
    size = np.asarray(parameters) / facts["penalty.reference_parameters"].best
    steps = np.asarray(inner_steps) / facts["penalty.reference_inner_steps"].best
    level = getattr(facts["penalty.per_site"], end)
    shrink = _power(1.0 / size, facts["penalty.size_exponent"], end)
    grow = _power(steps, facts["penalty.inner_steps_exponent"], end)
    extra = level * (np.asarray(sites) - 1.0) * shrink * grow
    return np.asarray(np.where(np.asarray(inner_steps) > 1, extra, 0.0))


def _power(ratio: Numbers, exponent: Sourced, end: str) -> Array:
    """Return ratio**exponent at its best, or the lower or higher of its two ends."""
    if end == "best":
        return np.asarray(ratio**exponent.best)
    pick = np.minimum if end == "low" else np.maximum
    return np.asarray(pick(ratio**exponent.low, ratio**exponent.high))


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
    ways = np.where(k > 2, directions, 1)
    line = BITS * np.asarray(bytes_per_s) * ways
    sent = ring_bytes(np.asarray(parameters) * bits, k)
    transfer = sent / fragments / line
    latency = 2.0 * (k - 1.0) * hop_s / ways + np.where(k > 1, inside_s, 0.0) / np.asarray(fragments)
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
    ways = np.where(k > 2, directions, 1)
    computing = steps * t
    stall = computing * (1.0 / goal - 1.0)
    latency = 2.0 * (k - 1.0) * hop_s / ways + np.where(k > 1, inside_s, 0.0) / np.asarray(fragments)
    beside = np.asarray(overlap_steps) * t + hidden_s + stall / fragments - latency
    window = np.minimum(beside, (computing + stall) / fragments)
    sent = ring_bytes(np.asarray(parameters) * bits, k) / fragments / BITS / ways
    needed = np.where(window > 0, sent / np.where(window > 0, window, 1.0), np.inf)
    return np.asarray(np.where(sent > 0, needed, 0.0))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A site as the others see it: what it computes alone, its line rate to a neighbour (one way) and the fibre to the
    next site of the ring. Megawatts and money are handed through. Raises ValueError for what is no site.
    """

    name: str
    accelerators: int
    tokens_per_s: float
    bytes_per_s: float
    to_next_m: float
    power_w: float = 0.0
    usd_per_s: float = 0.0
    link_usd_per_s: float = 0.0
    failure_rate: float = 0.0

    def __post_init__(self) -> None:
        rates = (self.tokens_per_s, self.bytes_per_s)
        others = (self.to_next_m, self.power_w, self.usd_per_s, self.link_usd_per_s, self.failure_rate)
        if self.accelerators < 1 or not all(math.isfinite(rate) and rate > 0 for rate in rates):
            raise ValueError(f"site {self.name!r} needs accelerators and positive, finite rates: {self}")
        if not all(math.isfinite(value) and value >= 0 for value in others):
            raise ValueError(f"site {self.name!r}: distance, power, money and failures must be at least 0: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteView:
    """What one site shows to the outside: chips and watts as they came in, bits per second out (and as many in), mean
    while it runs and peak, and over the whole run.
    """

    name: str
    accelerators: int
    power_w: float
    share_of_tokens: float
    average_bits_per_s: float
    peak_bits_per_s: float
    line_bits_per_s: float
    bytes_out: float
    goodput: float
    usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SitesResult:
    """One run over sites: `efficiency` is the share of time that the exchange leaves, `goodput` that failures leave;
    `run_s` with the best token penalty, low and high at its ends. `time` and `cost` are the same as trees.
    """

    policy: ExchangePolicy
    step_s: float
    exchange: Exchange
    efficiency: float
    goodput: float
    token_penalty: Sourced
    useful_tokens_per_s: float
    run_s: float
    run_s_low: float
    run_s_high: float
    usd: float
    views: tuple[SiteView, ...]
    time: Breakdown
    cost: Breakdown
    assumptions: Mapping[str, Sourced]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return to_plain(self)


def train_across(
    sites: Sequence[Site],
    policy: ExchangePolicy,
    *,
    parameters: float,
    tokens: float,
    batch_tokens: float,
    hidden_s: float = 0.0,
    inside_s: float = 0.0,
    save_s: float = 0.0,
    restart_s: float = 0.0,
    goodput: float | None = None,
    directions: int = 1,
    link_efficiency: float | None = None,
) -> SitesResult:
    """Return time, goodput, traffic and cost of a run of `tokens` over sites in the order of their ring.

    Work is split in proportion to the sites' rates, so that an inner step of `batch_tokens` takes all of them equally
    long; the slowest link and the mean hop set the ring. Failures: where the policy waits, any site's failure stops all
    (the rates add); else each site loses its own time only. `goodput` replaces that closed form. `tokens` are those
    of one site at this batch; the policy's penalty comes on top. Raises ValueError for no sites, tokens or parameters.
    """
    if not sites or parameters <= 0 or tokens <= 0 or batch_tokens <= 0 or min(save_s, restart_s, inside_s) < 0:
        raise ValueError("a run needs sites, parameters, tokens and a batch, all positive, and times of at least 0")
    if len({site.name for site in sites}) < len(sites):
        raise ValueError(f"sites need names of their own, not {[site.name for site in sites]}")
    if goodput is not None and not 0 < goodput <= 1:
        raise ValueError(f"goodput must be in (0, 1], not {goodput}")
    count, facts = len(sites), site_facts()
    share = facts["link.efficiency"]
    reach = share.best if link_efficiency is None else link_efficiency
    rate = math.fsum(site.tokens_per_s for site in sites)
    step = batch_tokens / rate
    hop = float(fibre_s(math.fsum(site.to_next_m for site in sites) / count))
    moved = exchange(
        parameters=parameters,
        sites=count,
        step_s=step,
        bytes_per_s=reach * min(site.bytes_per_s for site in sites),
        hop_s=hop,
        inner_steps=policy.inner_steps,
        bits=policy.bits,
        fragments=policy.fragments,
        overlap_steps=policy.overlap_steps,
        hidden_s=hidden_s,
        inside_s=inside_s,
        directions=directions,
    )
    up = _goodputs(sites, policy, save_s, restart_s) if goodput is None else [goodput] * count
    mean_up = math.fsum(g * site.tokens_per_s for g, site in zip(up, sites, strict=True)) / rate
    efficiency = float(moved.efficiency)
    penalty = _penalty(parameters, count, policy.inner_steps)
    useful = rate * efficiency * mean_up
    alone = tokens / useful if useful > 0 else math.inf
    run_s = alone * (1.0 + penalty.best)
    views = tuple(_view(site, sites, moved, g, mean_up, run_s, directions) for g, site in zip(up, sites, strict=True))
    return SitesResult(
        policy=policy,
        step_s=step,
        exchange=moved,
        efficiency=efficiency,
        goodput=mean_up,
        token_penalty=penalty,
        useful_tokens_per_s=useful / (1.0 + penalty.best),
        run_s=run_s,
        run_s_low=alone * (1.0 + penalty.low),
        run_s_high=alone * (1.0 + penalty.high),
        usd=math.fsum(view.usd for view in views),
        views=views,
        time=_time(tokens / rate, penalty.best, efficiency, mean_up),
        cost=_cost(sites, run_s),
        assumptions={
            "sites.fibre_s_per_m": fabric_facts()["fibre_s_per_m"],
            "sites.link_efficiency": share if link_efficiency is None else share.at(link_efficiency),
            "sites.token_penalty": penalty,
        },
        warnings=_warnings(policy, moved, penalty, mean_up, hop, count),
    )


def _goodputs(sites: Sequence[Site], policy: ExchangePolicy, save_s: float, restart_s: float) -> list[float]:
    """Return the share of time that failures leave each site, by `exact_efficiency` at its best interval."""
    rates = [site.failure_rate for site in sites]
    if policy.waits:
        rates = [math.fsum(rates)] * len(sites)
    return [
        float(exact_efficiency(exact_interval(save_s, 1.0 / rate), save_s, restart_s, 1.0 / rate)) if rate else 1.0
        for rate in rates
    ]


def _penalty(parameters: float, sites: int, inner_steps: float) -> Sourced:
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
        note="extrapolated from models of up to 2.4e9 parameters",
    )


def _view(
    site: Site, sites: Sequence[Site], moved: Exchange, up: float, mean_up: float, run_s: float, directions: int
) -> SiteView:
    total = math.fsum(other.tokens_per_s * mean_up for other in sites)
    ways = directions if len(sites) > 2 else 1
    return SiteView(
        name=site.name,
        accelerators=site.accelerators,
        power_w=site.power_w,
        share_of_tokens=site.tokens_per_s * up / total if total else 0.0,
        average_bits_per_s=float(moved.average_bits_per_s),
        peak_bits_per_s=float(moved.peak_bits_per_s),
        line_bits_per_s=BITS * site.bytes_per_s * (ways if len(sites) > 1 else 0),
        bytes_out=_over(float(moved.average_bits_per_s) / BITS * up, run_s),
        goodput=up,
        usd=_over(site.usd_per_s + site.link_usd_per_s, run_s),
    )


def _over(rate: float, seconds: float) -> float:
    """Return rate * seconds, 0 for a rate of 0 even where the run never ends."""
    return rate * seconds if rate else 0.0


def _time(computing: float, extra: float, efficiency: float, up: float) -> Breakdown:
    """Return the wall time: computing of the fewest tokens, extra tokens, stall of exchanges, failures."""
    needed = computing * (1.0 + extra)
    parts = {
        "computing": computing,
        "extra tokens": computing * extra,
        "waiting for exchanges": needed * (1.0 / efficiency - 1.0),
        "failures": needed / efficiency * (1.0 / up - 1.0) if up else math.inf,
    }
    return Breakdown.of("run", "s", parts)


def _cost(sites: Sequence[Site], run_s: float) -> Breakdown:
    per_site: dict[str, float | Breakdown] = {
        site.name: Breakdown.of(
            site.name,
            "USD",
            {"site": _over(site.usd_per_s, run_s), "links between sites": _over(site.link_usd_per_s, run_s)},
        )
        for site in sites
    }
    return Breakdown.of("run", "USD", per_site)


def _warnings(
    policy: ExchangePolicy, moved: Exchange, penalty: Sourced, up: float, hop_s: float, count: int
) -> tuple[str, ...]:
    notes = []
    if up < 0.5:
        notes.append(f"failures leave {up:.1%} of the time; a policy under which sites do not wait loses less")
    if count > 1 and moved.efficiency < 0.5:
        notes.append(
            f"exchanges leave {float(moved.efficiency):.0%} of the time for computing: more bandwidth, more inner steps or fewer bits"
        )
    if penalty.high > 0:
        notes.append(
            f"the extra tokens of {policy.name} are an estimate, {penalty.low:.0%} to {penalty.high:.0%}: no run of this size has measured them"
        )
    latency = 2.0 * (count - 1) * hop_s
    if policy.inner_steps == 1 and latency > 0.1 * float(moved.round_s):
        notes.append(f"propagation alone takes {latency * 1e3:.3g} ms of a step of {float(moved.round_s) * 1e3:.3g} ms")
    return tuple(notes)
