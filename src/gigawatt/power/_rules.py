"""An operator without foresight: sources in order of cost within limits and ramps, hour by hour, for many load years.

Renewables first, then grid, groups and flexible load by their cost in the hour, the battery before anything that gives way;
a battery charges from surplus, and from sources that cost less than a threshold. What ramps force a source to give beyond
the load goes into the battery, then into a load bank. Groups burn at their full-load heat rate; minimum loads and starts
are not seen. The dispatch found by `dispatch` knows the year and is never dearer.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from gigawatt.power import _rules_kernel as kernel
from gigawatt.power._dispatch import DispatchResult, settle
from gigawatt.power._dispatch_lp import CHARGE, DISCHARGE, GRID, MW, UNSERVED
from gigawatt.power._site import J_PER_MWH, Floats, SiteYear


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingRule:
    """Thresholds of the battery, USD per J: it charges from sources below `charge_below`, and stands in the merit order at
    `discharge_above`. None: charge below the median cost of the sources; discharge only before load gives way.
    """

    charge_below_usd_per_j: float | None = None
    discharge_above_usd_per_j: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RuleResult:
    """Load years dispatched by rule; arrays have one value per year (Y).

    `usd` is the whole cost. `energy_j` by source as in `DispatchResult.power_w`; `curtailed_j` of renewables together,
    `dumped_j` into the load bank.
    """

    usd: Floats
    energy_j: Mapping[str, Floats]
    unserved_j: Floats
    curtailed_j: Floats
    dumped_j: Floats
    demand_usd: Floats

    def quantiles(self) -> dict[str, tuple[float, float, float]]:
        """Return P10, P50 and P90 of cost and unserved energy."""
        return {
            name: tuple(np.quantile(value, (0.1, 0.5, 0.9)).tolist())
            for name, value in (("usd", self.usd), ("unserved_j", self.unserved_j))
        }

    def to_frame(self) -> Any:
        """Return one row per year as a pandas DataFrame. Needs pandas."""
        import pandas as pd

        columns: dict[str, Any] = {"usd": self.usd, "demand_usd": self.demand_usd, "unserved_j": self.unserved_j}
        columns |= {"curtailed_j": self.curtailed_j, "dumped_j": self.dumped_j}
        return pd.DataFrame(columns | {f"{name}_j": value for name, value in self.energy_j.items()})

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: quantiles and means over the years."""
        return {
            "years": len(self.usd),
            "quantiles": {name: list(values) for name, values in self.quantiles().items()},
            "mean": {
                "usd": float(self.usd.mean()),
                "unserved_j": float(self.unserved_j.mean()),
                "curtailed_j": float(self.curtailed_j.mean()),
                "dumped_j": float(self.dumped_j.mean()),
                "energy_j": {name: float(value.mean()) for name, value in self.energy_j.items()},
            },
        }


def rule_dispatch(
    site: SiteYear, load_w: Floats, rule: OperatingRule | None = None, *, workers: int = 1, plain: bool = False
) -> RuleResult:
    """Return load years (Y, T) of a site dispatched by rule, on `workers` threads; the same answer with any number.

    A year that starts with a half-full battery (or its `initial_j`) and ends emptier is not charged for the difference.
    `plain` runs the uncompiled kernel. Raises ValueError for loads of another length than the site's.
    """
    load = np.ascontiguousarray(load_w, dtype=np.float64)
    if load.ndim != 2 or load.shape[1] != site.steps:
        raise ValueError(f"load years must have the shape (years, {site.steps}), not {load.shape}")
    inputs = _Inputs(site, rule or OperatingRule())
    totals, peaks, usd = inputs.outputs(len(load))
    run = kernel.run if plain else kernel.compiled()
    blocks = [part for part in np.array_split(np.arange(len(load)), max(workers, 1)) if len(part)]

    def work(part: Any) -> None:
        rows = slice(int(part[0]), int(part[-1]) + 1)
        run(load[rows] / MW, *inputs.fixed, peaks[rows], totals[rows], usd[rows], inputs.no_trace)

    if len(blocks) > 1:
        with ThreadPoolExecutor(len(blocks)) as pool:
            list(pool.map(work, blocks))
    elif blocks:
        work(blocks[0])
    joules = totals * MW * site.step_s
    S = len(inputs.names)
    demand = peaks.sum(axis=1) * MW * site.grid.demand_usd_per_w
    unserved = joules[:, S + kernel.UNSERVED]
    energy = {name: joules[:, i] for i, name in enumerate(inputs.names)}
    renewable = sum(float(site.series(part.available_w).sum()) for part in site.renewables) * site.step_s
    curtailed = joules[:, S + kernel.CURTAILED]
    if site.renewables:
        energy["renewables"] = renewable - curtailed
    energy[CHARGE] = joules[:, S + kernel.CHARGED]
    energy[UNSERVED] = unserved
    return RuleResult(
        usd=usd + demand + unserved * site.unserved_usd_per_j,
        energy_j=energy,
        unserved_j=unserved,
        curtailed_j=curtailed,
        dumped_j=joules[:, S + kernel.DUMPED],
        demand_usd=demand,
    )


def rule_year(site: SiteYear, rule: OperatingRule | None = None) -> DispatchResult:
    """Return the site's own year dispatched by rule, step by step; renewables share a curtailment in proportion."""
    inputs = _Inputs(site, rule or OperatingRule())
    totals, peaks, usd = inputs.outputs(1)
    S = len(inputs.names)
    trace = np.zeros((site.steps, S + kernel.REST))
    kernel.compiled()(site.load_w[None] / MW, *inputs.fixed, peaks, totals, usd, trace)
    power = {name: MW * trace[:, i] for i, name in enumerate(inputs.names)}
    power[UNSERVED] = MW * trace[:, S + kernel.UNSERVED]
    if site.battery is not None:
        power[CHARGE] = MW * trace[:, S + kernel.CHARGED]
    free = MW * inputs.free
    kept = np.divide(free - MW * trace[:, S + kernel.CURTAILED], free, out=np.zeros_like(free), where=free > 0)
    power |= {part.name: site.series(part.available_w) * kept for part in site.renewables}
    power["load bank"] = MW * trace[:, S + kernel.DUMPED]
    return settle(
        site,
        power_w=power,
        energy_j=J_PER_MWH * trace[:, S + kernel.STORED],
        fuel_w={group.name: power[group.name] * group.average_heat_rate for group in site.generators},
        method="rule: sources in order of cost, no foresight",
    )


class _Inputs:
    """A site as the arrays of the kernel."""

    def __init__(self, site: SiteYear, rule: OperatingRule) -> None:
        usd, T = MW * site.step_s, site.steps
        infinite = np.inf
        cost = [site.grid_usd_per_j]
        cap = [site.grid_limit_w / MW]
        ramp = [site.grid.ramp_w_per_s * site.step_s / MW]
        self.names = [GRID]
        for group in site.generators:
            self.names.append(group.name)
            cost.append(site.series(group.usd_per_j(group.average_heat_rate, site.carbon_usd_per_kg)))
            cap.append(site.series(group.derate) * (group.capacity_w / MW))
            ramp.append(group.ramp_per_s * site.step_s * group.capacity_w / MW if group.capacity_w else infinite)
        chargers = len(self.names)
        spared = rule.charge_below_usd_per_j
        below = float(np.median(np.array(cost))) if spared is None else spared
        battery = np.zeros(kernel.B_NUMBERS)
        battery[kernel.B_SOURCE] = -1
        place = np.array(cost)
        if site.battery is not None:
            b = site.battery
            start = 0.5 * b.energy_j if b.cyclic else b.initial_j
            battery[:] = (
                b.charge_w / MW, b.discharge_w / MW, b.energy_j / J_PER_MWH, b.charge_efficiency, b.discharge_efficiency,
                start / J_PER_MWH, chargers,
            )  # fmt: skip
            self.names.append(DISCHARGE)
            last = min([rung.usd_per_j for rung in site.ladder] + [site.unserved_usd_per_j])
            threshold = last if rule.discharge_above_usd_per_j is None else rule.discharge_above_usd_per_j
            place = np.vstack((place, np.full(T, threshold)))
            cost.append(site.series(b.throughput_usd_per_j))
            cap.append(np.full(T, b.discharge_w / MW))
            ramp.append(infinite)
        for rung in site.ladder:
            self.names.append(rung.label)
            cost.append(site.series(rung.usd_per_j))
            place = np.vstack((place, np.full(T, rung.usd_per_j)))
            cap.append(site.series(rung.max_w) / MW)
            ramp.append(infinite)
        free = sum((site.series(part.available_w) for part in site.renewables), np.zeros(T)) / MW
        month = site.billing_months if site.grid.demand_usd_per_w > 0 else np.zeros(T, dtype=np.int64)
        self.free, self.months = free, int(month.max()) + 1
        renewable = [part.variable_usd_per_j for part in site.renewables]
        if any(renewable):
            raise ValueError("rule dispatch takes renewables without variable cost; leave variable_usd_per_j at 0")
        self.no_trace = np.zeros((0, len(self.names) + kernel.REST))
        self.fixed = (
            free,
            np.ascontiguousarray(np.array(cap).T),
            np.array(ramp),
            np.ascontiguousarray(np.array(cost).T * usd),
            np.ascontiguousarray(np.argsort(place, axis=0, kind="stable").T.astype(np.int64)),
            chargers,
            np.full(T, below * usd),
            battery,
            site.step_s / 3600.0,
            month,
        )

    def outputs(self, years: int) -> tuple[Floats, Floats, Floats]:
        """Return empty totals (Y, S + REST), peaks (Y, M) and cost (Y)."""
        return np.zeros((years, len(self.names) + kernel.REST)), np.zeros((years, self.months)), np.zeros(years)
