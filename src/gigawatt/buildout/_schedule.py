"""The schedule of a build-out: the best plan for a goal, or the earliest period in which a goal is reached."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gigawatt.buildout._binding import Binding, BindingReader, Duals
from gigawatt.buildout._programme import SPENT, Goal, K, M, Programme
from gigawatt.buildout._question import RESOURCES, BuildQuestion, Floats
from gigawatt.errors import InfeasibleError
from gigawatt.linear_program import InfeasibleProgramError, Solution

ENOUGH = 1.0 - 1e-7
BOTTOMLESS = 1e15  # USD that nobody owes


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """A plan in columns over the periods T of its calendar, in SI units.

    `orders`, `delivered` (O, T) accelerators by offer; `stock` (C, T) delivered and not installed; `service`
    (running), `placed` (running or waiting for power) and `installed` (C, S, T) by chip and site, at the end of a period and within it; `bought`, `standing` (E, T) units by expansion, those given among them;
    `energy_w` (J, T) mean output by source; `used`, `available` (T,) by (site, resource); `spending_usd` and `income_usd`
    (T,) by line; `balance_usd`, `debt_usd` (T,), NaN where cash is no limit; `useful_flop` (T,) within a period; `bindings` what limits in each.
    `programme` and `solution` keep the duals.
    """

    question: BuildQuestion
    goal: Goal
    orders: Floats
    delivered: Floats
    stock: Floats
    service: Floats
    placed: Floats
    installed: Floats
    bought: Floats
    standing: Floats
    energy_w: Floats
    used: dict[tuple[str, str], Floats]
    available: dict[tuple[str, str], Floats]
    spending_usd: dict[str, Floats]
    income_usd: dict[str, Floats]
    balance_usd: Floats
    debt_usd: Floats
    useful_flop: Floats
    bindings: tuple[tuple[Binding, ...], ...]
    programme: Programme
    solution: Solution

    @property
    def fleet(self) -> Floats:
        """Accelerators in service at the end of each period, (T,)."""
        return np.asarray(self.service.sum(axis=(0, 1)))

    @property
    def duals(self) -> Duals:
        """The duals in SI units."""
        return Duals(self.programme, self.solution)

    def reached(self, fleet: float) -> float:
        """Return the time at which so many accelerators are in service, s from the start, inf where never; within a
        period the fleet grows evenly.
        """
        return crossing(self.question.calendar.edges_s, np.concatenate(([0.0], self.fleet)), fleet)

    def worked(self, flop: float) -> float:
        """Return the time at which so much useful work is done, s from the start, inf where never."""
        done = np.concatenate(([0.0], np.cumsum(self.useful_flop)))
        return crossing(self.question.calendar.edges_s, done, flop)

    def to_frame(self) -> Any:
        """Return fleet, deliveries, power and cash by period as a pandas DataFrame. Needs pandas."""
        import pandas as pd

        columns: dict[str, Any] = {"period": self.question.calendar.labels, "fleet": self.fleet}
        for o, offer in enumerate(self.question.offers):
            columns[f"delivered {offer.name}"] = self.delivered[o]
        for (site, kind), used in self.used.items():
            columns[f"{kind} at {site}"] = used
        return pd.DataFrame({**columns, "balance_usd": self.balance_usd, "useful_flop": self.useful_flop})


def crossing(edges_s: Floats, values: Floats, target: float) -> float:
    """Return where a piecewise linear series first reaches `target`, inf where it never does."""
    above = np.flatnonzero(values >= target * ENOUGH)
    if len(above) == 0:
        return math.inf
    i = int(above[0])
    if i == 0:
        return float(edges_s[0])
    share = (target - values[i - 1]) / (values[i] - values[i - 1])
    return float(edges_s[i - 1] + min(max(share, 0.0), 1.0) * (edges_s[i] - edges_s[i - 1]))


def schedule(
    question: BuildQuestion,
    goal: Goal,
    *,
    usd_per_flop: float = 0.0,
    gap: float = 0.01,
    seconds: float = 60.0,
    limits: bool = True,
) -> BuildPlan:
    """Return the best plan for a goal. Whole units are decided within `gap` of the best or after `seconds`; duals are
    then those of the plan with the units held. Without `limits` the plan says what happens and not why: no bindings and
    no duals, in half of the time.

    Raises InfeasibleError where commitments break the floor of cash, with the amount, the period and the smallest
    funding that would mend it.
    """
    programme = Programme(question, goal)
    try:
        rows = np.concatenate(list(programme.limit.values()))
        solution = programme.lp.solve(gap, seconds, rows) if limits else programme.lp.near(gap, seconds)
    except InfeasibleProgramError:
        raise _shortage(question, goal) from None
    return _plan(programme, solution, usd_per_flop, limits)


def _plan(p: Programme, solution: Solution, usd_per_flop: float, limits: bool) -> BuildPlan:
    q = p.question
    value = np.maximum(solution.value, 0.0)  # what cannot be below zero may be so by the solver's tolerance
    if q.money is not None:
        value[p.balance] = solution.value[p.balance]
    reader = BindingReader(p, solution, usd_per_flop)
    service = value[p.service] * K
    mean = 0.5 * (service + np.concatenate((np.zeros((*service.shape[:2], 1)), service[:, :, :-1]), axis=2))
    flops = np.array([chip.useful_flops for chip in q.chips])
    given = np.array([item.given for _, item in p.expansions]).reshape(-1, p.T)
    return BuildPlan(
        question=q,
        goal=p.goal,
        orders=value[p.order] * K,
        delivered=value[p.delivered] * K,
        stock=value[p.stock] * K,
        service=service,
        placed=value[p.placed] * K,
        installed=value[p.installed] * K,
        bought=value[p.bought],
        standing=value[p.standing] + given,
        energy_w=value[p.output] * M,
        used={key: reader.use(*key) for key in p.limit},
        available={key: reader.available(*key) for key in p.limit},
        spending_usd=_spending(p, value),
        income_usd={
            "service": sum(
                (mean[c].sum(axis=0) * chip.worth_usd_per_s * p.length for c, chip in enumerate(q.chips)), np.zeros(p.T)
            )
        },
        balance_usd=value[p.balance] * M if q.money is not None else np.full(p.T, np.nan),
        debt_usd=value[p.debt] * M if q.money is not None else np.zeros(p.T),
        useful_flop=np.einsum("cst,c,t->t", mean, flops, p.length),
        bindings=tuple(reader.period(t) for t in range(p.T)) if limits else (),
        programme=p,
        solution=solution,
    )


def _spending(p: Programme, value: Floats) -> dict[str, Floats]:
    """Return what is paid in each period by line, USD."""
    lines = {kind: np.zeros(p.T) for kind in SPENT}
    for kind, blocks in p.spending.items():
        for columns, usd in blocks:
            lines[kind] += (value[columns] * usd).reshape(-1, p.T).sum(axis=0) * M
    for columns, usd in p.carried_upkeep():
        lines["upkeep"][1:] += (value[columns][..., :-1] * usd[1:]).sum(axis=tuple(range(columns.ndim - 1))) * M
    return lines | {"buildings": p.buildings_usd(), "rent, connections, units given": p.fixed_usd()}


def _shortage(question: BuildQuestion, goal: Goal) -> InfeasibleError:
    """Return the error that says by how much cash falls short where nothing is bought beyond what is committed."""
    money, label = question.money, question.calendar.label
    if money is None:
        return InfeasibleError(
            f"the fleet is not reached by {label(goal.by)}", constraint="fleet", remedy="a later date"
        )
    committed = tuple(offer if offer.given is not None else replace(offer, last=-1) for offer in question.offers)
    bare = replace(question, money=replace(money, floor_usd=-BOTTOMLESS), offers=committed)
    programme = Programme(bare, Goal("compute", goal.by))
    richest = np.zeros(programme.lp.size[0])
    richest[programme.balance] = 1.0
    programme.lp.set_gain(np.arange(len(richest)), richest)
    balance = programme.lp.solve().value[programme.balance] * M
    at = int(np.argmin(balance))
    left = float(balance[at]) / 1e6
    dollars = f"{'-' if left < 0 else ''}${abs(left):,.0f} million"
    short = f"${(money.floor_usd - float(balance[at])) / 1e6:,.0f} million"
    return InfeasibleError(
        f"cash binds: what is committed leaves {dollars} in {label(at)}, {short} under the floor",
        constraint="cash",
        remedy=f"{short} of funding by {label(at)}",
    )


def earliest(
    question: BuildQuestion,
    *,
    fleet: float | None = None,
    flop: float | None = None,
    usd_per_flop: float = 0.0,
    gap: float = 0.01,
) -> BuildPlan:
    """Return the plan that reaches a fleet, or does an amount of useful work, in the earliest period; by bisection over
    the periods, each a programme. Of the plans that do, the one with most compute by then.

    Raises InfeasibleError where it is not reached within the plan, with what there is at its end; ValueError unless one
    of `fleet` and `flop` is given.
    """
    if (fleet is None) == (flop is None):
        raise ValueError("one of a fleet and an amount of work is to be reached")

    def best(by: int) -> BuildPlan:
        return schedule(question, Goal("fleet" if fleet is not None else "compute", by), gap=gap)

    def value(plan: BuildPlan, by: int) -> float:
        return float(plan.fleet[by]) if fleet is not None else float(plan.useful_flop[: by + 1].sum())

    target = float(fleet if fleet is not None else flop or 0.0)
    low, high = 0, question.calendar.periods - 1
    furthest = best(high)
    at_end = value(furthest, high)
    if at_end < target * ENOUGH:
        amount = "{:,.0f} of {:,.0f} accelerators" if fleet is not None else "{:.3g} of {:.3g} FLOP"
        last = furthest.bindings[high]
        names = " and ".join(binding.name for binding in last[:2]) or "nothing that could be widened"
        later = ", or a longer plan" if last and last[0].kind not in RESOURCES and last[0].kind != "cash" else ""
        more = (
            f"about {target / at_end - 1.0:.0%} more of {last[0].name}" if at_end > 0 and last else f"more of {names}"
        )
        raise InfeasibleError(
            f"{amount.format(at_end, target)} are reached by the end of the plan in {question.calendar.label(high)}; what binds is {names}",
            constraint=names,
            remedy=f"{more}, after which another limit may bind{later}",
        )
    while low < high:
        middle = (low + high) // 2
        if value(best(middle), middle) >= target * ENOUGH:
            high = middle
        else:
            low = middle + 1
    least = target if fleet is not None else 0.0
    return schedule(question, Goal("compute", low, least_fleet=least * ENOUGH), usd_per_flop=usd_per_flop, gap=gap)
