"""What is wrong with a build-out before anything is planned, and what in it changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from gigawatt.buildout import Calendar, day_of
from gigawatt.errors import InputError, Problem
from gigawatt.planning._build_chips import ChipCase, first_delivery, wrong
from gigawatt.scenario import BuildSection, ChipItem, Scenario, UnitItem

# An order is not placed longer than this before the product ships.
LONGEST_AHEAD_DAYS = 730


def notes_of(section: BuildSection, cases: Sequence[ChipCase]) -> list[str]:
    """Return what a scenario says that changes nothing."""
    notes = []
    for case in cases:
        item = case.item
        if item.premium and (item.per_month is not None or item.share is not None):
            notes.append(
                f"{case.name}: the premium is paid and moves nothing: what is delivered is given by share or per_month"
            )
        if item.share is not None and item.per_month is not None:
            notes.append(f"{case.name}: per_month counts, share does not")
    if section.by is not None and section.goal != "compute":
        notes.append(f"build.by does not count for the goal {section.goal}")
    if section.target is not None and section.goal != "fleet":
        notes.append(f"build.target does not count for the goal {section.goal}")
    for site in section.sites:
        idle = [unit.name for unit in site.units or () if not unit.most and not unit.given]
        notes += [f"{name} at {site.name}: neither given nor most, so there are none" for name in idle]
    if day_of(section.start).year > LATEST_PRICES:
        notes.append(f"prices and supply after {LATEST_PRICES} are those of the last known date")
    return notes


# The last year of the packaged prices and supply.
LATEST_PRICES = 2027


def check_build(scenario: Scenario, section: BuildSection, calendar: Calendar, cases: Sequence[ChipCase]) -> None:
    """Raise InputError for names that stand twice and dates that cannot be."""
    problems = []
    for kind, names in (("chips", [case.name for case in cases]), ("sites", [site.name for site in section.sites])):
        for i, name in enumerate(names):
            if name in names[:i]:
                problems.append(
                    wrong(scenario, f"{kind}.{i}.name", "the name stands twice", repr(name), "a name of its own")
                )
    if section.goal == "fleet" and section.target is None:
        problems.append(wrong(scenario, "goal", "a fleet of how many?", "goal: fleet", "build.target with it"))
    if section.by is not None and not 0 <= calendar.period_of(day_of(section.by)) < calendar.periods:
        problems.append(
            wrong(
                scenario,
                "by",
                "a date outside the plan",
                section.by,
                f"{calendar.label(0)} to {calendar.label(calendar.periods - 1)}",
            )
        )
    problems += _order_problems(scenario, section, calendar)
    for case in cases:
        ships = first_delivery(case)
        for k, order in enumerate(case.item.orders or ()):
            placed = day_of(order.day)
            if (order.count is None) == (order.amount is None):
                problems.append(
                    wrong(
                        scenario,
                        f"chips.{case.index}.orders.{k}",
                        "how much is ordered?",
                        order.day,
                        "a count or an amount",
                    )
                )
            if ships is not None and (ships - placed).days > LONGEST_AHEAD_DAYS:
                problems.append(
                    wrong(
                        scenario,
                        f"chips.{case.index}.orders.{k}.date",
                        f"an order of {case.accelerator} before the product exists: it ships from {ships.isoformat()[:7]}",
                        order.day,
                        f"from {(ships - timedelta(days=LONGEST_AHEAD_DAYS)).isoformat()[:7]} on",
                    )
                )
            if calendar.period_of(placed) >= calendar.periods:
                problems.append(
                    wrong(
                        scenario,
                        f"chips.{case.index}.orders.{k}.date",
                        "an order after the end of the plan",
                        order.day,
                        f"up to {calendar.label(calendar.periods - 1)}",
                    )
                )
    if problems:
        raise InputError(problems)


def _order_problems(scenario: Scenario, section: BuildSection, calendar: Calendar) -> list[Problem]:
    """Return what is wrong with the order of dates and with limits that stand twice."""
    problems = []
    spans: list[tuple[str, ChipItem | UnitItem]] = [(f"chips.{i}", item) for i, item in enumerate(section.chips)]
    for i, site in enumerate(section.sites):
        spans += [(f"sites.{i}.units.{k}", unit) for k, unit in enumerate(site.units or ())]
        for field in ("grid", "cooling", "hall", "network", "installation"):
            days = [step.start for step in getattr(site, field) or ()]
            for k, day in enumerate(days):
                if day in days[:k]:
                    problems.append(
                        wrong(
                            scenario,
                            f"sites.{i}.{field}.{k}.from",
                            "the date stands twice",
                            day,
                            "one limit for a date",
                        )
                    )
        for k, unit in enumerate(site.units or ()):
            based = {"power": True, "installation": bool(site.installation), "cooling": bool(site.cooling)} | {
                "network": bool(site.network),
                "hall": bool(site.hall or site.size or site.template),
            }
            if not based[unit.resource]:
                problems.append(
                    wrong(
                        scenario,
                        f"sites.{i}.units.{k}",
                        f"units widen the {unit.resource} of a site that has no such limit",
                        unit.name,
                        f"sites.{i}.{unit.resource} with it",
                    )
                )
    for path, item in spans:
        if item.until is not None and day_of(item.until) <= max(day_of(item.start or section.start), calendar.start):
            problems.append(
                wrong(
                    scenario,
                    f"{path}.until",
                    "nothing is left before it ends",
                    item.until,
                    f"after {item.start or section.start}",
                )
            )
    return problems
