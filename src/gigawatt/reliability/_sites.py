"""One run over many sites: what the exchange between them costs in time, bandwidth, tokens and money (docs/science.md 10.5,
10.6).

The flow of `train_across`: sites and a policy (`_outer_steps`) -> one exchange on the ring of sites (`_exchange`) -> stall
and traffic of a round -> time, goodput and cost of the run -> what each site shows to the outside. Everything inside a
site stays inside: tensor, pipeline and expert exchanges, and the reduction before and after the exchange between sites,
whose time comes in as a value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gigawatt.evidence import Breakdown, Sourced
from gigawatt.hardware import fabric_facts
from gigawatt.reliability._exchange import BITS, Exchange, exchange
from gigawatt.reliability._formulas import best_efficiency
from gigawatt.reliability._links import fibre_s, ring_latency_s, ring_ways
from gigawatt.reliability._outer_steps import ExchangePolicy, extra_tokens, site_facts
from gigawatt.reliability._plain import to_plain

# A share of the time that failures or exchanges leave below which a note says so.
HALF = 0.5
# A share of a step that propagation takes above which a note says so.
FAR = 0.1


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
    penalty = extra_tokens(parameters, count, policy.inner_steps)
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
    """Return the share of time that failures leave each site, in closed form."""
    rates = [site.failure_rate for site in sites]
    if policy.waits:
        rates = [math.fsum(rates)] * len(sites)
    return [float(best_efficiency(save_s, restart_s, 1.0 / rate)) if rate else 1.0 for rate in rates]


def _view(
    site: Site, sites: Sequence[Site], moved: Exchange, up: float, mean_up: float, run_s: float, directions: int
) -> SiteView:
    total = math.fsum(other.tokens_per_s * mean_up for other in sites)
    ways = float(ring_ways(len(sites), directions)) if len(sites) > 1 else 0.0
    return SiteView(
        name=site.name,
        accelerators=site.accelerators,
        power_w=site.power_w,
        share_of_tokens=site.tokens_per_s * up / total if total else 0.0,
        average_bits_per_s=float(moved.average_bits_per_s),
        peak_bits_per_s=float(moved.peak_bits_per_s),
        line_bits_per_s=BITS * site.bytes_per_s * ways,
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
    if up < HALF:
        notes.append(f"failures leave {up:.1%} of the time; a policy under which sites do not wait loses less")
    if count > 1 and moved.efficiency < HALF:
        notes.append(
            f"exchanges leave {float(moved.efficiency):.0%} of the time for computing: more bandwidth, more inner steps or fewer bits"
        )
    if penalty.high > 0:
        notes.append(
            f"the extra tokens of {policy.name} are an estimate, {penalty.low:.0%} to {penalty.high:.0%}: no run of this size has measured them"
        )
    latency = float(ring_latency_s(count, hop_s))
    if policy.inner_steps == 1 and latency > FAR * float(moved.round_s):
        notes.append(f"propagation alone takes {latency * 1e3:.3g} ms of a step of {float(moved.round_s) * 1e3:.3g} ms")
    return tuple(notes)
