"""`gigawatt build`: the build-out of the sites of a scenario, what binds in every period, and what relieving it is worth.

question -> schedule -> what binds -> the training run on the fleet as it grows -> cash flow and returns
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gigawatt import buildout, finance
from gigawatt._version import __version__
from gigawatt.errors import InfeasibleError, InputError
from gigawatt.planning._build_chips import ChipCase
from gigawatt.planning._build_goal import plan_of, targets_of
from gigawatt.planning._build_inputs import BuildCase, build_case
from gigawatt.planning._build_market import Fund, Rush, funds, rushes
from gigawatt.planning._build_money import cash_flow_of, levelised_of
from gigawatt.planning._build_nearer import Nearer, nearer
from gigawatt.planning._build_sites import Construction
from gigawatt.planning._couple import evaluate
from gigawatt.planning._inputs import resolve
from gigawatt.scenario import FleetSection, Scenario

Floats = buildout.Floats
DEFAULT_SAMPLES = 200
# Sizes, as shares of the largest fleet, at which utilisation and goodput are evaluated.
SIZES = (0.1, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOnFleet:
    """The training run on the fleet as it grows: the share of the useful work of the reference fleet per accelerator by
    size, and when the run is done (s from the start of the plan, inf where not within it).
    """

    sizes: tuple[int, ...]
    efficiency: tuple[float, ...]
    begin_s: float
    done_s: float
    flop: float
    done_flop: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "sizes": list(self.sizes),
            "efficiency": list(self.efficiency),
            "begin_s": self.begin_s if math.isfinite(self.begin_s) else None,
            "done_s": self.done_s if math.isfinite(self.done_s) else None,
            "flop": self.flop,
            "done_flop": self.done_flop,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """The build-out of a scenario."""

    case: BuildCase
    plan: buildout.BuildPlan
    run: RunOnFleet
    nearer: tuple[Nearer, ...]
    uncertainty: buildout.Uncertainty | None
    rush: tuple[Rush, ...]
    funds: tuple[Fund, ...]
    cash_flow: finance.CashFlow
    levelised: finance.LevelisedCost
    returns: finance.InvestmentReturns

    @property
    def reached_s(self) -> float:
        """When the goal is reached, s from the start; NaN for a goal without a date."""
        section = self.case.section
        if section.goal == "fleet":
            return self.plan.reached(float(section.target or 0))
        return self.plan.worked(self.case.run_flop) if section.goal == "run" else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return build_dict(self)


def build_scenario(
    scenario: Scenario, *, samples: int | None = None, seed: int = 0, levers: bool = True
) -> BuildReport:
    """Return the best build-out of a scenario. `samples` None: as the scenario says; 0 for no delays.

    Raises InputError for what cannot be, InfeasibleError with the limit that binds and the smallest change.
    """
    case = build_case(scenario)
    plan = plan_of(case)
    if plan.fleet.max() < 1.0:
        raise _nothing(plan)
    fleet, flop = targets_of(case)
    count = case.section.samples or DEFAULT_SAMPLES if samples is None else samples
    last = plan.goal.by if fleet is not None or flop is not None else case.calendar.periods - 1
    cash_flow = cash_flow_of(plan, last)
    rate = case.cases[0].inputs.value("finance.discount_rate")
    return BuildReport(
        case=case,
        plan=plan,
        run=run_on(case, plan),
        nearer=nearer(case, plan) if levers and (fleet or flop) else (),
        uncertainty=None
        if count == 0
        else buildout.uncertain(
            case.question,
            plan,
            case.supplies,
            halls={each.site: each.halls_w for each in case.constructions},
            fleet=fleet,
            flop=flop,
            samples=count,
            seed=seed,
        ),
        rush=rushes(case),
        funds=funds(case),
        cash_flow=cash_flow,
        levelised=levelised_of(case, plan, cash_flow, rate),
        returns=finance.investment_returns(cash_flow, rate=rate),
    )


def _nothing(plan: buildout.BuildPlan) -> InfeasibleError:
    """Return the error of a plan in which nothing ever runs."""
    last = next((found for found in reversed(plan.bindings) if found), ())
    names = ", ".join(binding.name for binding in last[:3]) or "no limit of the plan: nothing pays"
    first = last[0] if last else None
    remedy = "a worth of compute above what it costs"
    if first is not None:
        late = first.kind in ("lead time", "product")
        remedy = "an earlier start or a longer plan" if late else f"more of what binds ({first.name})"
    if first is not None and first.kind == "power":
        chip = plan.question.chips[0]
        site = next(site for site in plan.question.sites if site.name == first.where)
        remedy = f"{chip.it_w * site.pue / 1e3:.2f} kW of firm power at {first.where} for every accelerator"
    return InfeasibleError(f"no accelerator ever runs: {names}", constraint=names, remedy=remedy)


# the run
def run_on(case: BuildCase, plan: buildout.BuildPlan) -> RunOnFleet:
    """Return the training run on the fleet as it grows: what it does at several sizes, between them by interpolation in
    the logarithm of the size.
    """
    edges, fleet = plan.question.calendar.edges_s, plan.fleet
    largest = float(fleet.max())
    first = case.cases[0]
    sizes, efficiency = [], []
    for share in SIZES:
        size = max(int(share * largest), 1)
        found = useful_flops_at(first, size)
        if found > 0:
            sizes.append(size)
            efficiency.append(found / first.useful_flops)
    mean = 0.5 * (fleet + np.concatenate(([0.0], fleet[:-1])))
    factor = np.interp(np.log(np.maximum(mean, 1.0)), np.log(sizes), efficiency) if sizes else np.zeros(len(mean))
    done = np.cumsum(plan.useful_flop * factor)
    begun = np.flatnonzero(fleet > 0)
    return RunOnFleet(
        sizes=tuple(sizes),
        efficiency=tuple(efficiency),
        begin_s=float(edges[begun[0]]) if len(begun) else math.inf,
        done_s=buildout.crossing(edges, np.concatenate(([0.0], done)), case.run_flop),
        flop=case.run_flop,
        done_flop=float(done[-1]),
    )


def useful_flops_at(case: ChipCase, count: int) -> float:
    """Return the useful FLOP/s of one accelerator in a fleet of so many, 0 where no strategy fits."""
    fleet = FleetSection.model_construct(accelerator=case.item.accelerator, count=count, accelerators=None)
    try:
        base = evaluate(resolve(replace(case.inputs.scenario, fleet=fleet)), limit_fleet=False)
    except (InfeasibleError, InputError):
        return 0.0
    return base.value("run.compute") / (base.value("run.time") * base.fleet.powered)


def _construction(built: Construction, case: BuildCase) -> dict[str, Any]:
    """Return the tasks of a site as plain data: Gantt, dates as P10, P50 and P90, what is critical and what matters."""
    found, calendar = built.schedule, case.calendar

    def days(span: buildout.DateRange) -> list[str]:
        return [calendar.day_at(built.begin_s + s).isoformat() for s in (span.p10_s, span.p50_s, span.p90_s)]

    return {
        "site": built.site,
        "begin": calendar.day_at(built.begin_s).isoformat(),
        "timeline": _by_kind(found.timeline().to_dict()),
        "dates": {name: days(span) for name, span in found.milestones.items() if name not in NOT_PLANNED_HERE}
        | {"complete": days(found.date())},
        "critical": list(found.critical_path().labels),
        "critical_words": str(found.critical_path()),
        "matters": {each.label: each.variance_share for each in found.sensitivity()[:8]},
        "days_per_day": {each.label: each.days_per_day for each in found.sensitivity()[:8]},
    }


# Power is planned by the schedule: tasks of a template do not wait for it.
NOT_PLANNED_HERE = ("first power", "full power")


def _by_kind(timeline: dict[str, Any]) -> dict[str, Any]:
    """Return a timeline with one lane for a task of all halls, what is critical drawn last; moments are left out."""
    rows = [row for row in timeline["intervals"] if row["end_s"] > row["start_s"]]
    rows = [row | {"lane": row["lane"].partition(": ")[2] or row["lane"]} for row in rows]
    first = {row["lane"]: min(r["start_s"] for r in rows if r["lane"] == row["lane"]) for row in rows}
    rows.sort(key=lambda row: (first[row["lane"]], row["label"] == "critical", row["start_s"]))
    return timeline | {"lanes": list(dict.fromkeys(row["lane"] for row in rows)), "intervals": rows}


def build_dict(report: BuildReport) -> dict[str, Any]:
    """Return a report as plain data for JSON; what is not finite is None."""
    plan, case, calendar = report.plan, report.case, report.plan.question.calendar
    section = case.section

    def day(seconds: float) -> str | None:
        return calendar.day_at(seconds).isoformat() if math.isfinite(seconds) else None

    uncertainty = report.uncertainty
    return {
        "version": __version__,
        "scenario": case.scenario.name,
        "description": case.scenario.description,
        "goal": {
            "kind": section.goal,
            "target": section.target,
            "by": calendar.label(plan.goal.by),
            "reached": day(report.reached_s),
        },
        "calendar": calendar.to_dict(),
        "fleet": plan.fleet.tolist(),
        "useful_flop": plan.useful_flop.tolist(),
        "usd_per_flop": case.usd_per_flop,
        "chips": [
            {
                "name": chip.name,
                "useful_flops": chip.useful_flops,
                "it_w": chip.it_w,
                "service": plan.service[c].sum(axis=0).tolist(),
                "waiting": (plan.placed[c] - plan.service[c]).sum(axis=0).tolist(),
                "stock": plan.stock[c].tolist(),
            }
            for c, chip in enumerate(plan.question.chips)
        ],
        "offers": [
            {
                "name": offer.name,
                "chip": offer.chip,
                "orders": plan.orders[o].tolist(),
                "before": offer.before,
                "delivered": plan.delivered[o].tolist(),
                "supply": offer.supply.tolist(),
                "price_usd": offer.price_usd.tolist(),
                "stages": list(case.supplies[offer.name].binding) if offer.name in case.supplies else None,
            }
            for o, offer in enumerate(plan.question.offers)
        ],
        "sites": [
            {
                "name": site.name,
                "pue": site.pue,
                "service": plan.service[:, s].sum(axis=0).tolist(),
                "grid_w": site.grid.tolist(),
                "limits": {
                    kind: {"used": plan.used[name, kind].tolist(), "available": plan.available[name, kind].tolist()}
                    for name, kind in plan.used
                    if name == site.name
                },
                "units": [
                    {
                        "name": item.name,
                        "resource": item.resource,
                        "unit": item.unit,
                        "standing": plan.standing[e].tolist(),
                    }
                    for e, (where, item) in enumerate(plan.programme.expansions)
                    if where is site
                ],
            }
            for s, site in enumerate(plan.question.sites)
        ],
        "energy": [
            {"site": site.name, "source": source, "mean_w": plan.energy_w[j].tolist()}
            for j, (site, source) in enumerate(plan.programme.sources)
        ],
        "binding": [[binding.to_dict() for binding in found] for found in plan.bindings],
        "run": report.run.to_dict()
        | {"model": case.cases[0].inputs.model.name}
        | {"begin": day(report.run.begin_s), "done": day(report.run.done_s)},
        "nearer": [each.to_dict() for each in report.nearer],
        "uncertainty": None
        if uncertainty is None
        else uncertainty.to_dict()
        | {
            "dates": {
                name: [day(s) if s is not None else None for s in outcome.to_dict()["reached_s"]]
                for name, outcome in uncertainty.outcomes.items()
            }
        },
        "construction": [_construction(each, case) for each in case.constructions],
        "rush": [each.to_dict() for each in report.rush],
        "funds": [each.to_dict() for each in report.funds],
        "levelised": {
            "usd_per_useful_hour": report.levelised.usd_per_unit,
            "denominator": f"hours of useful work of {case.cases[0].accelerator}",
        },
        "balance_usd": None if plan.question.money is None else plan.balance_usd.tolist(),
        "debt_usd": plan.debt_usd.tolist(),
        "cash_flow": report.cash_flow.to_dict(),
        "returns": report.returns.to_dict(),
        "gap": plan.solution.gap,
        "assumptions": [
            {"path": f"accelerator.{chip.name}.useful_flops", "value": chip.useful_flops, "unit": "FLOP/s"}
            for chip in plan.question.chips
        ],
        "warnings": list(case.notes),
    }
