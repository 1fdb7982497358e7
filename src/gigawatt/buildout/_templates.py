"""From a size to a network of tasks: a site of halls, with the sources of power and the cooling that feed them.

    template + power + racks -> blocks of data/tasks.csv -> one task per site or per hall -> TaskNetwork

A site is cut into halls of one size. Sources of power are listed in the order in which halls fill them: a hall can be
powered when every source up to the one that covers it runs. Task names are those of tasks.csv, with the number of
the hall behind those of a hall ("racks 3"). Watts, joules, seconds.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gigawatt.buildout._site_power import PowerStep, Row, dated, feeds_of, last_task, spans_of, unknown
from gigawatt.buildout._supply_tables import rows
from gigawatt.buildout._task_tables import DAY, assumption_of, task_facts
from gigawatt.buildout._tasks import Task, TaskNetwork
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.evidence import Sourced

BLOCKS_OF_COOLING = ("direct_liquid", "chillers")
TEMPLATES = tuple(row["template"] for row in rows("templates.csv"))
# Of the resources, these come with the racks; the others with the halls.
BY_RACKS = ("racks", "cabling")
# More shifts shorten the work on the site, not deliveries, authorities, tests or what a utility does.
TRADES_ON_SITE = ("civil", "electrical", "mechanical", "racks", "network")
# Racks are counted when they are placed, cabled, soaked and accepted.
COUNTS_RACKS = ("racks", "cabling", "burn_in", "acceptance")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Site:
    """What the rows of tasks.csv are laid out for. `racks` (halls): racks of every hall; `power`: feeding task names."""

    halls: int
    hall_w: float
    racks: tuple[int, ...]
    battery_j: float
    crews: Mapping[str, int]
    pace: float
    facts: Mapping[str, Sourced]
    spans: Mapping[str, range]
    feeds: tuple[tuple[str, ...], ...]
    cools: tuple[str, ...]
    in_hand: Collection[str]
    not_before_s: Mapping[str, float]


def site_tasks(
    template: str,
    *,
    power_w: float,
    racks: int,
    power: Sequence[PowerStep] | None = None,
    cooling: Sequence[str] | None = None,
    battery_j: float = 0.0,
    hall_w: float | None = None,
    crews: Mapping[str, int] | None = None,
    shifts: int = 1,
    in_hand: Collection[str] = (),
    not_before_s: Mapping[str, float] | None = None,
    facts: Mapping[str, Sourced] | None = None,
) -> TaskNetwork:
    """Return the tasks of a site of `power_w` (at the meter) and `racks`, built as `template` ("retrofit", "new_build").

    `power`: the sources, in the order in which halls fill them (default: one source of the whole, by template);
    `cooling`: blocks (default: coolant loops and chillers); `battery_j`: storage on the site, no source of power;
    `hall_w`: power of a hall, at most (default: construction.csv); `crews`: units of a resource, replacing the defaults;
    `shifts`: 1 or 2 a working day, or 3 around the clock on seven days;
    `in_hand`: tasks that are done already, such as equipment in stock; `not_before_s`: earliest starts by task;
    `facts`: durations and numbers other than the packaged ones (`task_facts`).
    Raises InputError for what is unknown, InfeasibleError where the sources are too small
    for the site or a task needs more crews than there are.
    """
    if template not in TEMPLATES:
        raise InputError(unknown("template", template, TEMPLATES))
    if not 0.0 < power_w < math.inf or racks < 1:
        raise InputError(Problem(message="a site needs a power above 0 and one or more racks", path="site"))
    if shifts not in (1, 2, 3):
        raise InputError(Problem(message="work goes on in 1, 2 or 3 shifts", path="shifts", found=str(shifts)))
    usual = next(row for row in rows("templates.csv") if row["template"] == template)
    facts = {**task_facts(), **(facts or {})}
    steps = [PowerStep(block=usual["power"], power_w=power_w)] if power is None else list(power)
    blocks = list(usual["cooling"].split() if cooling is None else cooling)
    for block in blocks:
        if block not in BLOCKS_OF_COOLING:
            raise InputError(unknown("block", block, BLOCKS_OF_COOLING, "cooling"))
    halls = math.ceil(power_w / (hall_w or facts["hall.reference_power"].best) - 1e-9)
    spans = spans_of(steps, halls, power_w)
    chosen = _chosen(template, {"site", "hall", *blocks, *(step.block for step in steps)}, battery_j)
    site = _Site(
        halls=halls,
        hall_w=power_w / halls,
        racks=tuple((racks + h) // halls for h in reversed(range(halls))),
        battery_j=battery_j,
        crews=_crews(halls, racks, facts, crews or {}),
        pace=facts[f"pace.{shifts}_shifts"].best,
        facts=facts,
        spans=spans,
        feeds=feeds_of(spans, chosen, halls),
        cools=tuple(last_task(block, chosen)["name"] for block in blocks),
        in_hand=in_hand,
        not_before_s=not_before_s or {},
    )
    tasks = dated(steps) + [task for row in chosen for task in _tasks_of(row, chosen, site)]
    _known({*in_hand, *site.not_before_s}, tasks)
    return TaskNetwork(
        tasks=tuple(tasks),
        resources={name: site.crews[name] for name in dict.fromkeys(t.resource for t in tasks) if name},
        milestones=_milestones(tasks, site),
        title=usual["label"],
    )


def _known(names: Collection[str], tasks: Sequence[Task]) -> None:
    known = [task.name for task in tasks] + [task.kind for task in tasks]
    problems = [
        Problem(
            message="no task has this name",
            path="tasks",
            found=repr(name),
            allowed=", ".join(dict.fromkeys(task.kind for task in tasks)),
            nearest=nearest_name(name, known),
        )
        for name in sorted(names)
        if name not in known
    ]
    if problems:
        raise InputError(problems)


def _chosen(template: str, blocks: Collection[str], battery_j: float) -> list[Row]:
    """Return the rows of tasks.csv that a site of these blocks has."""
    wanted = {*blocks, *(("battery",) if battery_j > 0.0 else ())}
    return [row for row in rows("tasks.csv") if row["block"] in wanted and row["template"] in ("", template)]


def _crews(halls: int, racks: int, facts: Mapping[str, Sourced], given: Mapping[str, int]) -> dict[str, int]:
    names = [key.removeprefix("crews.") for key in facts if key.startswith("crews.")]
    resources = [name for name in names if name not in ("least", "in_hall")]
    for name in given:
        if name not in resources:
            raise InputError(unknown("resource", name, resources, "crews"))
        if given[name] < 1:
            raise InputError(Problem(message="a site needs at least one", path=f"crews.{name}", found=str(given[name])))
    least = round(facts["crews.least"].best)
    usual = {
        name: max(least, math.ceil(facts[f"crews.{name}"].best * (racks if name in BY_RACKS else halls) - 1e-9))
        for name in resources
    }
    return {**usual, **given}


def _tasks_of(row: Row, chosen: Sequence[Row], site: _Site) -> list[Task]:
    """Return the tasks of one row: one, or one for every hall that its block feeds."""
    if row["scope"] == "site":
        return [_task(row, chosen, site, None)]
    return [_task(row, chosen, site, hall) for hall in site.spans.get(row["block"], range(site.halls))]


def _task(row: Row, chosen: Sequence[Row], site: _Site, hall: int | None) -> Task:
    name = row["name"] if hall is None else f"{row['name']} {hall + 1}"
    fact = site.facts[assumption_of(row)]
    racks = sum(site.racks) if hall is None else site.racks[hall]
    work, unit = (racks, "racks") if row["name"] in COUNTS_RACKS else (0.0, "")
    if row["per"] == "MWh":
        work, unit = site.battery_j, "J"
    units = _units(row, site)
    factor = _factor(row, site, racks, units)
    if name in site.in_hand or row["name"] in site.in_hand:
        factor = 0.0
    return Task(
        name=name,
        label=row["label"] if hall is None else f"hall {hall + 1}: {row['label']}",
        low_s=factor * fact.low,
        best_s=factor * fact.best,
        high_s=factor * fact.high,
        after=_after(row, chosen, site, hall),
        lag_s=DAY * float(row["lag_d"]),
        resource=row["resource"],
        units=units,
        not_before_s=site.not_before_s.get(name, site.not_before_s.get(row["name"], 0.0)),
        work=work,
        work_unit=unit,
        kind=row["name"],
        trade=row["trade"],
        assumption=assumption_of(row),
    )


def _units(row: Row, site: _Site) -> int:
    """Return the units that a task holds; crews of racks are split evenly, so that none is left over in any hall."""
    if not row["resource"]:
        return 1
    crews = site.crews[row["resource"]]
    if row["units"] == "*":
        return max(1, crews // math.ceil(crews / round(site.facts["crews.in_hall"].best)))
    return int(row["units"])


def _factor(row: Row, site: _Site, racks: int, units: int) -> float:
    """Return what the duration of the table is multiplied by."""
    pace = site.pace if row["trade"] in TRADES_ON_SITE else 1.0
    if row["per"] == "rack":
        return pace * racks / units
    if row["per"] == "MWh":
        return pace * site.battery_j
    if row["per"] == "hall":
        size = site.hall_w / site.facts["hall.reference_power"].best
        return float(pace * size ** site.facts["hall.size_exponent"].best)
    return pace


def _after(row: Row, chosen: Sequence[Row], site: _Site, hall: int | None) -> tuple[str, ...]:
    scope = {other["name"]: other["scope"] for other in chosen}
    names: list[str] = []
    for word in row["after"].split():
        if word == "@power":
            names += site.feeds[hall] if hall is not None else ()
            continue
        for name in site.cools if word == "@cooling" else (word,):
            if scope[name] == "site":
                names.append(name)
            else:
                names += [f"{name} {h + 1}" for h in (range(site.halls) if hall is None else (hall,))]
    return tuple(dict.fromkeys(names))


def _milestones(tasks: Sequence[Task], site: _Site) -> dict[str, tuple[str, ...]]:
    """Return what a person asks the date of, in the order of a build."""
    kinds: dict[str, list[str]] = {}
    for task in tasks:
        kinds.setdefault(task.kind, []).append(task.name)
    reached = {
        "permits": kinds["permits"],
        "first power": list(site.feeds[0]),
        "full power": list(dict.fromkeys(name for names in site.feeds for name in names)),
        "halls ready": kinds["commissioning"],
        "hall 1 accepted": kinds["acceptance"][:1],
        "last rack placed": kinds["racks"],
        "battery": kinds.get("battery_running", []),
        "complete": kinds["cluster_acceptance"],
    }
    return {name: tuple(names) for name, names in reached.items() if names}
