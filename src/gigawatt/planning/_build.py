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
from gigawatt.planning._build_chips import MONTH_S, ChipCase
from gigawatt.planning._build_inputs import BuildCase, build_case
from gigawatt.planning._build_market import Fund, Rush, funds, rushes
from gigawatt.planning._build_sites import Construction
from gigawatt.planning._couple import evaluate
from gigawatt.planning._inputs import resolve
from gigawatt.scenario import FleetSection, Scenario

Floats = buildout.Floats
DEFAULT_SAMPLES = 200
# Sizes, as shares of the largest fleet, at which utilisation and goodput are evaluated.
SIZES = (0.1, 0.25, 0.5, 0.75, 1.0)
# Halvings of the search for the least change that brings a date forward.
HALVINGS = 12
LARGEST_CHANGE = 4.0


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
class Nearer:
    """The least change of one limit that brings the date of the goal forward by a month. `amount` in `unit`, from the
    first period in which it binds; `cost_usd` what that costs, NaN where no price is known.
    """

    name: str
    amount: float
    unit: str
    cost_usd: float
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        cost = self.cost_usd if math.isfinite(self.cost_usd) else None
        return {"name": self.name, "amount": self.amount, "unit": self.unit, "cost_usd": cost, "note": self.note}


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
    plan = _plan(case)
    if plan.fleet.max() < 1.0:
        raise _nothing(plan)
    fleet, flop = _targets(case)
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


def _targets(case: BuildCase) -> tuple[float | None, float | None]:
    section = case.section
    fleet = float(section.target or 0) if section.goal == "fleet" else None
    return fleet, case.run_flop if section.goal == "run" else None


def _plan(case: BuildCase, question: buildout.BuildQuestion | None = None) -> buildout.BuildPlan:
    section, q = case.section, question or case.question
    fleet, flop = _targets(case)
    if fleet is not None or flop is not None:
        return buildout.earliest(q, fleet=fleet, flop=flop, usd_per_flop=case.usd_per_flop)
    last = q.calendar.periods - 1
    by = q.calendar.period_of(buildout.day_of(section.by)) if section.by is not None else last
    kind = "npv" if section.goal == "npv" else "compute"
    return buildout.schedule(q, buildout.Goal(kind, by), usd_per_flop=case.usd_per_flop)


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


# what would bring it nearer
def nearer(case: BuildCase, plan: buildout.BuildPlan) -> tuple[Nearer, ...]:
    """Return, for every limit that binds before the goal is reached, the least change that brings it forward by a
    month, cheapest first; those that cannot are left out.
    """
    date_s = _reached(case, plan)
    until = int(np.searchsorted(plan.question.calendar.edges_s, date_s))
    keys = {(b.kind, b.where): t for t in reversed(range(min(until, plan.programme.T))) for b in plan.bindings[t]}
    found = [each for (kind, where), first in keys.items() if (each := _nearer(case, plan, kind, where, first, date_s))]
    return tuple(sorted(found, key=lambda each: each.cost_usd if math.isfinite(each.cost_usd) else math.inf))


def _reached(case: BuildCase, plan: buildout.BuildPlan) -> float:
    fleet, flop = _targets(case)
    return plan.reached(fleet) if fleet is not None else plan.worked(flop or 0.0)


def _nearer(
    case: BuildCase, plan: buildout.BuildPlan, kind: str, where: str, first: int, date_s: float
) -> Nearer | None:
    widest = _scale_of(plan, kind, where, first)
    if widest is None:
        return None

    def soon(amount: float) -> bool:
        try:
            changed = _plan(case, _widened(case.question, kind, where, first, amount, plan.goal.by))
        except InfeasibleError:
            return False
        return _reached(case, changed) <= date_s - MONTH_S

    low, high = 0.0, LARGEST_CHANGE * widest
    if not soon(high):
        return None
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if soon(middle) else (middle, high)
    binding = next(b for b in plan.bindings[first] if (b.kind, b.where) == (kind, where))
    return Nearer(
        name=binding.name,
        amount=high,
        unit=binding.unit,
        cost_usd=_cost_usd(case, kind, where, high),
        note="at the start" if kind == "cash" else f"from {case.calendar.label(first)} on",
    )


def _scale_of(plan: buildout.BuildPlan, kind: str, where: str, first: int) -> float | None:
    """Return an amount of the order of what there is of a limit, None for one that cannot be widened by an amount."""
    if (where, kind) in plan.available:
        return float(plan.available[where, kind][first:].max()) or float(plan.used[where, kind].max()) or 1e6
    if kind == "cash":
        return float(sum(line.sum() for line in plan.spending_usd.values()))
    if kind in ("supply", "orders"):
        return float(plan.orders.sum() or plan.delivered.sum())
    return None


def _widened(
    question: buildout.BuildQuestion, kind: str, where: str, first: int, amount: float, last: int
) -> buildout.BuildQuestion:
    """Return the question with so much more of a limit from a period on; of a supply, spread evenly up to `last`."""
    extra = np.zeros(question.calendar.periods)
    extra[first:] = amount
    if kind == "cash" and question.money is not None:
        return replace(question, money=replace(question.money, cash_usd=question.money.cash_usd + amount))
    if kind in ("supply", "orders"):
        length = question.calendar.length_s
        share = np.where((np.arange(len(extra)) >= first) & (np.arange(len(extra)) <= last), length, 0.0)
        share = share / share.sum()
        offers = []
        for offer in question.offers:
            if offer.name == where:
                given = offer.given
                if given is not None:
                    given = given.copy()
                    given[max(first - offer.lead, 0)] += amount
                allotted = offer.allotted
                if allotted is not None:
                    allotted = allotted + amount * share
                offer = replace(offer, supply=offer.supply + amount * share, given=given, allotted=allotted)
            offers.append(offer)
        return replace(question, offers=tuple(offers))
    sites = []
    for site in question.sites:
        if site.name == where:
            limits = dict(site.limits)
            if kind == "power":
                site = replace(site, grid=site.grid + extra)
            else:
                limits[kind] = limits.get(kind, np.zeros(len(extra))) + extra
                site = replace(site, limits=limits)
        sites.append(site)
    return replace(question, sites=tuple(sites))


def _cost_usd(case: BuildCase, kind: str, where: str, amount: float) -> float:
    """Return what so much more of a limit costs at the prices of the catalogue, NaN where none is known."""
    catalog = case.cases[0].inputs
    if kind == "power":
        return amount * _fact("turbine.simple_cycle_aero.capex") / 1e3
    if kind == "hall":
        return amount * catalog.value("finance.building_usd_per_w")
    if kind in ("supply", "orders"):
        return amount * float(next(o for o in case.question.offers if o.name == where).price_usd.mean())
    return amount if kind == "cash" else math.nan


def _fact(key: str) -> float:
    from gigawatt.catalog import load_catalog

    return load_catalog().facts[key][-1].best


# money
def cash_flow_of(plan: buildout.BuildPlan, last: int) -> finance.CashFlow:
    """Return the plan's cash line by line, on the first day of every period up to `last`; what is still owed then is paid
    back, and the accelerators' worth counts as the last line where service earns.
    """
    calendar, count = plan.question.calendar, last + 1
    groups = {"accelerators": "investing", "units bought": "investing", "buildings": "investing"}
    lines = [
        finance.CashLine(label=label, group=groups.get(label, "operating"), amounts=-usd)
        for label, usd in plan.spending_usd.items()
        if usd.any()
    ]
    lines += [
        finance.CashLine(label="earned by " + label, group="operating", amounts=usd)
        for label, usd in plan.income_usd.items()
        if usd.any()
    ]
    money = plan.question.money
    if money is not None:
        if money.burn_usd.any():
            lines.append(finance.CashLine(label="everything else", group="operating", amounts=-money.burn_usd))
        change = np.diff(plan.debt_usd, prepend=0.0)
        if np.abs(change).any():
            owed = np.concatenate(([0.0], plan.debt_usd[:-1]))
            interest = owed * money.interest * calendar.length_s / buildout.SECONDS_PER_YEAR
            lines.append(finance.CashLine(label="debt drawn and paid back", group="financing", amounts=change))
            lines.append(finance.CashLine(label="interest", group="financing", amounts=-interest))
            if plan.debt_usd[last] > 0:
                owed = np.where(np.arange(calendar.periods) == last, plan.debt_usd, 0.0)
                lines.append(finance.CashLine(label="debt still owed at the end", group="financing", amounts=-owed))
    if plan.income_usd["service"].any():
        lines.append(worth_at_end(plan, last))
    return finance.CashFlow(
        dates=tuple(calendar.first_day(i) for i in range(count)),
        lines=tuple(replace(line, amounts=line.amounts[:count]) for line in lines),
    )


def worth_at_end(plan: buildout.BuildPlan, last: int) -> finance.CashLine:
    """Return what the accelerators are worth in the last period."""
    worth = np.zeros(last + 1)
    for c, chip in enumerate(plan.question.chips):
        worth[-1] += (plan.placed[c, :, last].sum() + plan.stock[c, last]) * chip.resale_usd
    return finance.CashLine(label="worth of the accelerators at the end", group="investing", amounts=worth)


def levelised_of(
    case: BuildCase, plan: buildout.BuildPlan, cash_flow: finance.CashFlow, rate: float
) -> finance.LevelisedCost:
    """Return the cost per accelerator-hour of useful work of the first accelerator: all cash out less the worth of the
    accelerators at the end, over the useful work in hours of one that does nothing else.
    """
    hours = plan.useful_flop / case.question.chip(case.cases[0].accelerator).useful_flops / 3600.0
    kept = plan.spending_usd.keys()
    count = len(cash_flow.dates)
    lines = (*(line for line in cash_flow.lines if line.label in kept), worth_at_end(plan, count - 1))
    costs = finance.CashFlow(dates=cash_flow.dates, lines=lines)
    return finance.levelised_from_cash_flow(costs, hours[:count], rate=rate)


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
