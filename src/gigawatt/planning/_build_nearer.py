"""What would bring the goal of a build-out a month nearer, and what that costs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gigawatt import buildout
from gigawatt.catalog import load_catalog
from gigawatt.errors import InfeasibleError
from gigawatt.planning._build_chips import MONTH_S
from gigawatt.planning._build_goal import plan_of, reached_s
from gigawatt.planning._build_inputs import BuildCase

# Halvings of the search for the least change that brings a date forward.
HALVINGS = 12
LARGEST_CHANGE = 4.0


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


def nearer(case: BuildCase, plan: buildout.BuildPlan) -> tuple[Nearer, ...]:
    """Return, for every limit that binds before the goal is reached, the least change that brings it forward by a
    month, cheapest first; those that cannot are left out.
    """
    date_s = reached_s(case, plan)
    until = int(np.searchsorted(plan.question.calendar.edges_s, date_s))
    keys = {(b.kind, b.where): t for t in reversed(range(min(until, plan.programme.T))) for b in plan.bindings[t]}
    found = [each for (kind, where), first in keys.items() if (each := _nearer(case, plan, kind, where, first, date_s))]
    return tuple(sorted(found, key=lambda each: each.cost_usd if math.isfinite(each.cost_usd) else math.inf))


def _nearer(
    case: BuildCase, plan: buildout.BuildPlan, kind: str, where: str, first: int, date_s: float
) -> Nearer | None:
    widest = _scale_of(plan, kind, where, first)
    if widest is None:
        return None

    def soon(amount: float) -> bool:
        try:
            changed = plan_of(case, _widened(case.question, kind, where, first, amount, plan.goal.by))
        except InfeasibleError:
            return False
        return reached_s(case, changed) <= date_s - MONTH_S

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
    return load_catalog().facts[key][-1].best
