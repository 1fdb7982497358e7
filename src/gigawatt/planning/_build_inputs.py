"""From the build section of a scenario to the question that the build-out engine is asked.

accelerators, orders -> `_build_chips` -> chips and offers
sites -> `_build_sites` -> limits by period and what widens them
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gigawatt import buildout
from gigawatt.buildout import Calendar, day_of
from gigawatt.errors import InputError, Problem
from gigawatt.planning._build_checks import check_build, notes_of
from gigawatt.planning._build_chips import MONTH_S, ChipCase, chip_case, chip_kind, distinct, offer_of, rent_of
from gigawatt.planning._build_sites import Construction, construct, site_of, stepped
from gigawatt.scenario import BuildSection, Scenario

Floats = buildout.Floats
USUAL_INTEREST = 0.08


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildCase:
    """The question with what it was made from. `supplies` are what a vendor ships per offer, where the chain says so."""

    scenario: Scenario
    section: BuildSection
    calendar: Calendar
    cases: tuple[ChipCase, ...]
    question: buildout.BuildQuestion
    supplies: dict[str, buildout.ChipSupply]
    constructions: tuple[Construction, ...]
    usd_per_flop: float
    run_flop: float
    notes: tuple[str, ...]


def build_case(scenario: Scenario) -> BuildCase:
    """Return the question of a scenario's build-out. Raises InputError for every mistake in it, with its place."""
    section = scenario.build
    if section is None:
        raise InputError(
            Problem(
                message="no build-out is described",
                location=scenario.file,
                path="build",
                allowed="a section `build` (docs/buildout.md)",
            )
        )
    calendar = _calendar(section)
    cases = tuple(chip_case(scenario, section, calendar, i) for i in range(len(section.chips)))
    check_build(scenario, section, calendar, cases)
    supplies: dict[str, buildout.ChipSupply] = {}
    offers = tuple(offer_of(scenario, calendar, case, supplies) for case in cases)
    built = [construct(scenario, calendar, cases[0], i) for i in range(len(section.sites))]
    sites = tuple(site_of(scenario, calendar, cases[0], i, built[i]) for i in range(len(section.sites)))
    first = cases[0]
    rent = rent_of(first, calendar)
    return BuildCase(
        scenario=scenario,
        section=section,
        calendar=calendar,
        cases=cases,
        question=buildout.BuildQuestion(
            calendar=calendar,
            chips=tuple(chip_kind(section, calendar, case) for case in distinct(cases)),
            offers=offers,
            sites=sites,
            money=_money(section, calendar),
            discount=first.inputs.value("finance.discount_rate"),
        ),
        supplies=supplies,
        constructions=tuple(each for each in built if each is not None),
        usd_per_flop=float(rent.mean()) / first.useful_flops,
        run_flop=first.base.value("run.compute"),
        notes=tuple(notes_of(section, cases)),
    )


def _calendar(section: BuildSection) -> Calendar:
    start = day_of(section.start)
    if section.step == "month":
        return Calendar(start, section.months)
    return Calendar(start, math.ceil(section.months * MONTH_S / (7 * 86_400.0)), "week")


def _money(section: BuildSection, calendar: Calendar) -> buildout.Money | None:
    money, T = section.money, calendar.periods
    if money is None:
        return None
    funding = np.zeros(T)
    cash = money.cash or 0.0
    for item in money.funding or ():
        period = calendar.period_of(day_of(item.day))
        if period < 0:
            cash += item.amount
        elif period < T:
            funding[period] += item.amount
    return buildout.Money(
        cash_usd=cash,
        floor_usd=money.floor or 0.0,
        funding_usd=funding,
        burn_usd=(money.burn or 0.0) * calendar.length_s,
        debt_usd=stepped(calendar, money.debt, lambda step: step.limit),
        interest=money.interest if money.interest is not None else USUAL_INTEREST,
    )
