"""Ways to calm a training load at its source: floors, ballast, caps, storing power supplies, ramped starts, burning down.

    SiteLoad, measures -> mitigated() -> Mitigated: the changed load and what it costs

Each measure gives the changed load, extra power, capital and lost throughput; what it can do is in data/mitigation.csv.
Shares of accelerator power refer to its power limit. Watts, joules, seconds, USD.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gigawatt.power._loads import JobLoad
from gigawatt.power._profile import StepProfile
from gigawatt.power._storage import YEAR, Economics
from gigawatt.power._wear import mitigation_facts

Array = NDArray[np.float64]
# How often a year things happen to a job of some tens of thousands of accelerators; a goodput result gives better ones.
RATES: Mapping[str, float] = MappingProxyType({"start": 12.0, "stop": 12.0, "crash": 1500.0, "checkpoint": 20_000.0})


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteLoad:
    """A job and what stands beside it, for which measures are sought.

    `limit_w` is the power limit of an accelerator and `host_w` its share of host and network, which no measure changes
    and which the profiles of the job hold too. `base_w` is the rest of the site. `checkpoint_s` and `outage_s` are how
    long a save and a crash last, at the job's levels of "checkpoint stall" and "detection"; `per_year` counts starts,
    stops, crashes and saves; `running_share` is the part of the year in which steps run.
    """

    job: JobLoad
    limit_w: float
    host_w: float = 0.0
    base_w: float = 0.0
    checkpoint_s: float = 10.0
    outage_s: float = 300.0
    per_year: Mapping[str, float] = field(default_factory=lambda: RATES)
    running_share: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One measure at one level: "floor" and "ballast" (lowest accelerator power, share of the limit), "cap" (highest),
    "storage" (storing power supplies, J per accelerator), "ramp" (start over so many seconds), "stairs" (the same in
    `groups` equal groups), "burn" (go down over so many seconds, after crashes too).
    """

    kind: str
    level: float
    groups: int = 0

    def __str__(self) -> str:
        unit = {"storage": " J", "ramp": " s", "stairs": f" s in {self.groups}", "burn": " s"}.get(self.kind)
        return f"{self.kind} {self.level:g}{unit}" if unit else f"{self.kind} {self.level:.0%}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mitigated:
    """A site under measures: its load, and what they cost besides a store.

    `extra_w` is mean power above that without them, `lost_throughput` the share of work lost, `crash_stop_s` how long the
    fall after a crash takes.
    """

    site: SiteLoad
    measures: tuple[Measure, ...] = ()
    extra_w: float = 0.0
    capital_usd: float = 0.0
    lost_throughput: float = 0.0
    crash_stop_s: float = 0.0

    def usd_per_year(self, economics: Economics, life_years: float = 5.0) -> float:
        """Return capital over the life of the accelerators, energy and lost work, USD a year."""
        work = self.lost_throughput * self.site.job.count * economics.accelerator_usd_per_s
        energy = self.extra_w * economics.energy_usd_per_j
        return self.capital_usd * economics.annuity(life_years) + (work + energy) * YEAR


def staggered_energy(step_w: float, groups: int, ramp_w_per_s: float, interval_s: float) -> tuple[float, float]:
    """Return power (W) and energy (J) of the store for a start in equal groups `interval_s` apart under a ramp limit.

    Where every step of dP/n has time to ramp, (dP/n)^2/(2R); where it has not, what they pile up to. 100 MW at 10 MW/min:
    8.33 MWh at once, 0.083 MWh in ten groups of a minute each. Raises ValueError for fewer than one group.
    """
    if groups < 1:
        raise ValueError(f"a start needs at least one group, not {groups}")
    each, gap, energy, power, most = step_w / groups, 0.0, 0.0, 0.0, 0.0
    for g in range(groups):
        gap += each
        power = max(power, gap)
        last = g == groups - 1
        room = gap / ramp_w_per_s
        span = room if last else min(room, interval_s)
        energy += gap * span - 0.5 * ramp_w_per_s * span**2
        most = max(most, energy)
        gap -= ramp_w_per_s * span
        if not last and gap <= 1e-9 * each:
            energy, gap = 0.0, 0.0  # the grid has caught up; the charge comes back before the next group
    return power, most


def mitigated(site: SiteLoad, measures: Sequence[Measure]) -> Mitigated:
    """Return the site under measures, applied in order. Raises ValueError for an unknown kind or a level out of range."""
    state = Mitigated(site=site)
    for measure in measures:
        if measure.kind not in _APPLY:
            raise ValueError(f"unknown measure {measure.kind!r}; choose one of {', '.join(_APPLY)}")
        if measure.level < 0.0:
            raise ValueError(f"the level of {measure.kind} must not be below zero, not {measure.level!r}")
        state = _APPLY[measure.kind](state, measure)
        state = replace(state, measures=(*state.measures, measure))
    return state


def _raised(state: Mitigated, floor_w: float, lost: float, held: Sequence[str]) -> Mitigated:
    """Return the state with no phase, and none of the pauses in `held`, below `floor_w` per accelerator."""
    job = state.site.job
    before = _mean(job)
    profiles = tuple(profile.mapped(lambda watts: np.maximum(watts, floor_w)) for profile in job.profiles)
    levels = {label: max(watts, floor_w) if label in held else watts for label, watts in job.levels_w.items()}
    job = replace(job, profiles=profiles, levels_w=levels)
    return replace(
        state,
        site=replace(state.site, job=job),
        extra_w=state.extra_w + (_mean(job) - before) * state.site.running_share,
        lost_throughput=_sum(state.lost_throughput, lost),
    )


def _floor(state: Mitigated, measure: Measure) -> Mitigated:
    facts, site = mitigation_facts(), state.site
    least, most = facts["floor.lowest"].best, facts["floor.highest"].best
    if not least <= measure.level <= most:
        raise ValueError(f"a power floor must lie in {least:g}..{most:g} of the limit, not {measure.level:g}")
    top = max(float(profile.power_w.max()) for profile in site.job.profiles)
    floor = min(measure.level * site.limit_w + site.host_w, top - facts["floor.residual_swing"].best * site.limit_w)
    return _raised(state, floor, facts["floor.lost_throughput"].best, site.job.brief)


def _ballast(state: Mitigated, measure: Measure) -> Mitigated:
    facts, site = mitigation_facts(), state.site
    if measure.level > 1.0:
        raise ValueError(f"ballast must lie in 0..1 of the limit, not {measure.level:g}")
    low = min(float(profile.power_w.min()) for profile in site.job.profiles)
    target = measure.level * site.limit_w + site.host_w
    reached = low + facts["ballast.coverage"].best * max(0.0, target - low)
    return _raised(state, reached, facts["ballast.lost_throughput"].best, site.job.brief)


def _cap(state: Mitigated, measure: Measure) -> Mitigated:
    """Cut phases at the cap and stretch them in proportion to what is cut; a measured curve may be gentler."""
    site, job = state.site, state.site.job
    if not 0.0 < measure.level <= 1.0:
        raise ValueError(f"a power cap must lie in 0..1 of the limit, not {measure.level:g}")
    top = measure.level * site.limit_w + site.host_w
    slow = [
        np.maximum(
            1.0, (profile.power_w - site.host_w) / np.maximum(np.minimum(profile.power_w, top) - site.host_w, 1e-9)
        )
        for profile in job.profiles
    ]
    capped = [
        profile.mapped(lambda watts: np.minimum(watts, top)).stretched(factor)
        for profile, factor in zip(job.profiles, slow, strict=True)
    ]
    period = max(profile.period_s for profile in capped)
    stretched = tuple(_padded(profile, period) for profile in capped)
    lost = 1.0 - job.profiles[0].period_s / period
    before = _mean(job)
    job = replace(job, profiles=stretched)
    return replace(
        state,
        site=replace(site, job=job),
        extra_w=state.extra_w + (_mean(job) - before) * site.running_share,
        lost_throughput=_sum(state.lost_throughput, lost),
    )


def _padded(profile: StepProfile, period_s: float) -> StepProfile:
    """Return the profile with its lowest level until `period_s`: a stage that was slowed less waits."""
    if profile.period_s >= period_s * (1.0 - 1e-12):
        edges = profile.edges_s.copy()
        edges[-1] = period_s
        return replace(profile, period_s=period_s, edges_s=edges)
    return replace(
        profile,
        period_s=period_s,
        edges_s=np.append(profile.edges_s, period_s),
        power_w=np.append(profile.power_w, profile.power_w.min()),
    )


def _storage(state: Mitigated, measure: Measure) -> Mitigated:
    """Draw every step toward its mean as far as the store of an accelerator reaches, and at most by the published cut of
    the peak.
    """
    facts, job = mitigation_facts(), state.site.job
    efficiency = facts["psu.round_trip"].best
    profiles, loss, weight = [], 0.0, 0.0
    for profile, count in zip(job.profiles, job.accelerators, strict=True):
        mean, peak = profile.mean_w, float(profile.power_w.max())
        kept = 0.0 if profile.storage_j == 0.0 else max(0.0, 1.0 - measure.level / profile.storage_j)
        if peak > mean:
            kept = max(kept, 1.0 - facts["psu.peak_cut"].best * peak / (peak - mean))
        moved = 0.5 * float(np.dot(np.abs(profile.power_w - mean), np.diff(profile.edges_s))) / profile.period_s
        loss += count * (1.0 - kept) * moved * (1.0 - efficiency)
        weight += count
        profiles.append(replace(profile, power_w=mean + kept * (profile.power_w - mean)))
    extra = loss * job.overhead * state.site.running_share
    return replace(
        state,
        site=replace(state.site, job=replace(job, profiles=tuple(profiles))),
        extra_w=state.extra_w + extra,
        capital_usd=state.capital_usd + weight * facts["psu.price_per_accelerator"].best,
    )


def _ramp(state: Mitigated, measure: Measure) -> Mitigated:
    site = state.site
    starts = site.per_year.get("start", 0.0) + site.per_year.get("crash", 0.0)
    lost = mitigation_facts()["ramp.lost_share"].best * measure.level * starts / YEAR
    job = replace(site.job, start_s=measure.level, start_groups=measure.groups)
    return replace(state, site=replace(site, job=job), lost_throughput=_sum(state.lost_throughput, lost))


def _burn(state: Mitigated, measure: Measure) -> Mitigated:
    site, job = state.site, state.site.job
    stops = site.per_year.get("stop", 0.0) + site.per_year.get("crash", 0.0)
    energy = 0.5 * max(0.0, _mean(job) - job.overhead * job.count * job.idle_w) * measure.level
    job = replace(job, stop_s=measure.level)
    return replace(
        state,
        site=replace(site, job=job),
        crash_stop_s=measure.level,
        extra_w=state.extra_w + energy * stops / YEAR,
    )


_APPLY: Mapping[str, Callable[[Mitigated, Measure], Mitigated]] = MappingProxyType(
    {
        "floor": _floor,
        "ballast": _ballast,
        "cap": _cap,
        "storage": _storage,
        "ramp": _ramp,
        "stairs": _ramp,
        "burn": _burn,
    }
)


def _mean(job: JobLoad) -> float:
    """Return the mean power of the job while it runs."""
    watts = (count * p.mean_w for count, p in zip(job.accelerators, job.profiles, strict=True))
    return job.overhead * math.fsum(watts)


def _sum(lost: float, more: float) -> float:
    """Return two losses together."""
    return 1.0 - (1.0 - lost) * (1.0 - more)
