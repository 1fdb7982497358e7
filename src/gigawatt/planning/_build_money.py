"""The cash of a build-out line by line, and what a useful hour costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gigawatt import buildout, finance
from gigawatt.planning._build_inputs import BuildCase

Floats = buildout.Floats


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
