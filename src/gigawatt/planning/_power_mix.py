"""What would keep the site inside what the grid asks: measures on the accelerators, a store, and the cheapest of both.

plan + failures -> SiteLoad, prices of the plan -> measures x stores -> mixes; the smallest battery per ramp limit
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gigawatt import power
from gigawatt.evidence import Grade
from gigawatt.planning._couple import Evaluation
from gigawatt.planning._inputs import Inputs
from gigawatt.planning._power_load import Levels, base_load, job_load

# Ramp limits for which a battery is sized: MW/min as utilities write them, in W/s.
RAMP_LIMITS_W_PER_S = (1e6 / 60.0, 10e6 / 60.0, 1e6)
TECHNOLOGIES = ("bess", "ups", "capacitor")
# Starts and stops that somebody decides, a year.
PLANNED_PER_YEAR = 12.0
YEAR_S = 31_557_600.0
# Mixes that are shown beside the cheapest.
SHOWN_MIXES = 8
# Samples of an event: fine enough for steps of seconds, coarse enough for hours of settling.
SAMPLES_PER_STEP, MOST_EVENT_SAMPLES = 40, 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BatteryRow:
    """The smallest battery for one ramp limit, beside the closed form dP^2/(2R) of the largest event."""

    ramp_w_per_s: float
    sizing: power.Sizing
    step_w: float
    closed_j: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "ramp_w_per_s": self.ramp_w_per_s,
            "step_w": self.step_w,
            "closed_j": self.closed_j,
            "sizing": self.sizing.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Calming:
    """What complies with one set of requirements: every measure alone and the cheapest mixes, cheapest first."""

    requirements: str
    mixes: tuple[power.Mix, ...]
    alone: tuple[power.Mix, ...]

    @property
    def best(self) -> power.Mix | None:
        """The cheapest that complies."""
        return next((mix for mix in self.mixes if mix.complies), None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "requirements": self.requirements,
            "mixes": [mix.to_dict() for mix in self.mixes[:SHOWN_MIXES]],
            "alone": [mix.to_dict() for mix in self.alone],
            "tried": len(self.mixes),
        }


def site_load(inputs: Inputs, base: Evaluation, levels: Levels) -> power.SiteLoad:
    """Return the site as a load to be calmed: how often it starts, fails and saves is that of the plan."""
    failures, running = base.reliability, base.reliability.goodput
    per_year = {
        "start": PLANNED_PER_YEAR,
        "stop": PLANNED_PER_YEAR,
        "crash": YEAR_S / failures.mtbf_s,
        "checkpoint": running * YEAR_S / failures.interval_s,
    }
    limit = min(base.value("power.accelerator_limit"), inputs.scenario.power.power_cap or math.inf)
    other = 1.0 + inputs.value("power.other_it_fraction")
    return power.SiteLoad(
        job=replace(job_load(base, levels, None), events=None),
        limit_w=limit * other,
        host_w=(base.value("power.server") + base.value("power.network")) * other,
        base_w=float(base_load(base, levels).power_w[0]),
        checkpoint_s=failures.save_s,
        outage_s=failures.restart_s,
        per_year=per_year,
        running_share=running,
    )


def economics_of(inputs: Inputs, usd_per_accelerator_s: float | None) -> power.Economics:
    """Return the prices of the plan: energy, capital, time of an accelerator."""
    packaged = power.Economics.packaged()
    return replace(
        packaged,
        discount=inputs.value("finance.discount_rate"),
        energy_usd_per_j=inputs.value("site.electricity_price"),
        accelerator_usd_per_s=packaged.accelerator_usd_per_s
        if usd_per_accelerator_s is None
        else usd_per_accelerator_s,
    )


def calming(
    site: power.SiteLoad,
    sets: Sequence[power.Requirements],
    economics: power.Economics,
    contract_w: float,
) -> tuple[Calming, ...]:
    """Return the mixes for every set of requirements that limits ramps, ranges or bands."""
    found = []
    technologies = [power.Technology.packaged(name) for name in TECHNOLOGIES]
    for asked in sets:
        if not (asked.ramps or asked.ranges or asked.bands):
            continue
        contract = asked.contract_w or contract_w
        ramp = min((r.up.at(contract) for r in asked.ramps), default=contract / 60.0)
        settle = _settle(site, ramp)
        mixes = power.best_mix(
            site,
            asked,
            power.default_options(site.job, ramp),
            technologies,
            contract_w=contract,
            economics=economics,
            settle_s=settle,
            step_s=_step(site, settle),
        )
        alone = tuple(mix for mix in mixes if len(mix.state.measures) <= 1)
        found.append(Calming(requirements=asked.name, mixes=mixes, alone=alone))
    return tuple(found)


def batteries(site: power.SiteLoad, economics: power.Economics, contract_w: float) -> tuple[BatteryRow, ...]:
    """Return the smallest battery that holds each of RAMP_LIMITS_W_PER_S through everything that happens."""
    rows = []
    state, step = power.mitigated(site, ()), site.job.step()
    swing = step.mean_w - site.job.overhead * site.job.count * site.job.idle_w
    for limit in RAMP_LIMITS_W_PER_S:
        bound = power.Bound(limit)
        clause = power.RampLimit(window_s=1.0, up=bound, down=bound, source="asked for", kind=Grade.GIVEN)
        asked = power.Requirements(name=f"{60 * limit / 1e6:g} MW/min", ramps=(clause,))
        settle = _settle(site, limit)
        events = power.event_set(state, settle, _step(site, settle))
        sizing = power.size_battery(
            events,
            asked,
            power.Technology.packaged("bess"),
            contract_w=contract_w,
            economics=economics,
            filters_s=(0.0,),
        )
        rows.append(
            BatteryRow(ramp_w_per_s=limit, sizing=sizing, step_w=swing, closed_j=float(power.ramp_energy(swing, limit)))
        )
    return tuple(rows)


def _settle(site: power.SiteLoad, ramp_w_per_s: float) -> float:
    """Return how long the grid needs to follow the largest step at a ramp limit, s, with room."""
    idle = site.job.overhead * site.job.count * site.job.idle_w
    return max(120.0, 1.3 * (float(site.job.step().power_w.max()) - idle) / ramp_w_per_s)


def _step(site: power.SiteLoad, settle_s: float) -> float:
    """Return the sample of event records, s."""
    fine = site.job.step().period_s / SAMPLES_PER_STEP
    return float(min(max(fine, settle_s / MOST_EVENT_SAMPLES), 1.0))
