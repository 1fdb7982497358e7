"""Sites of a build-out: dated limits, the tasks of a template, units that widen a limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gigawatt import buildout
from gigawatt.buildout import Calendar, day_of
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.planning._build_chips import MONTH_S, ChipCase, periods_of, wrong
from gigawatt.scenario import Scenario, TaskItem, UnitItem

Floats = buildout.Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Construction:
    """The tasks of a site that is built from a template: `halls_w` (S, T) is the IT power of the racks that are accepted
    by the end of every period, by sample.
    """

    site: str
    begin_s: float
    schedule: buildout.BuildSchedule
    halls_w: Floats
    capital_usd: Floats


def stepped(
    calendar: Calendar, steps: Sequence[Any] | None, value: Callable[[Any], float], before: float = 0.0
) -> Floats:
    """Return a dated limit at the end of every period, (T,): that of the last step on or before its last day."""
    out = np.full(calendar.periods, before)
    for step in sorted(steps or (), key=lambda each: day_of(each.start)):
        begin = calendar.period_of(day_of(step.start))
        out[max(begin, 0) :] = value(step)
    return out


def site_of(
    scenario: Scenario, calendar: Calendar, case: ChipCase, index: int, construction: Construction | None
) -> buildout.BuildSite:
    """Return a site with its limits (T,) by resource; halls under construction count from the median date of their samples."""
    assert scenario.build is not None
    item, inputs = scenario.build.sites[index], case.inputs
    T = calendar.periods
    limits: dict[str, Floats] = {}
    if item.hall:
        limits["hall"] = stepped(calendar, item.hall, lambda step: step.limit)
    elif item.size is not None:
        limits["hall"] = np.full(T, item.size)
    if item.cooling:
        limits["cooling"] = stepped(calendar, item.cooling, lambda step: step.limit)
    if item.network:
        limits["network"] = stepped(calendar, item.network, lambda step: float(step.accelerators))
    if item.installation:
        monthly = stepped(calendar, item.installation, lambda step: float(step.accelerators))
        limits["installation"] = monthly * calendar.length_s / MONTH_S
    if construction is not None:
        limits["hall"] = np.minimum(np.median(construction.halls_w, axis=0), item.size or np.inf)
    price = item.electricity_price if item.electricity_price is not None else inputs.value("site.electricity_price")
    grid = stepped(calendar, item.grid, lambda step: step.limit)
    return buildout.BuildSite(
        name=item.name,
        pue=item.pue or inputs.value("site.pue"),
        grid=grid,
        grid_usd_per_j=price,
        rent_usd_per_s=(item.rent or 0.0) + (item.connection_price or 0.0),
        capital_usd=construction.capital_usd if construction is not None else None,
        limits=limits,
        expansions=tuple(
            expansion_of(scenario, calendar, unit, f"sites.{index}.units.{k}")
            for k, unit in enumerate(item.units or ())
        ),
    )


def _with_tasks(network: buildout.TaskNetwork, items: Sequence[TaskItem]) -> buildout.TaskNetwork:
    """Return a network with tasks of a scenario. Raises InputError and InfeasibleError as TaskNetwork does: names that
    are not there, tasks that wait for one another in a circle.
    """
    tasks = {task.name: task for task in network.tasks}
    for item in items:
        times = item.duration if isinstance(item.duration, list) else [item.duration] * 3
        if len(times) != 3 or sorted(times) != times or min(times) <= 0:
            raise InputError(
                Problem(
                    message=f"how long does {item.name!r} take?", allowed="a time, or three that rise: 10, 50 and 90 %"
                )
            )
        known = tasks.get(item.name, buildout.Task(name=item.name, low_s=1.0, best_s=1.0, high_s=1.0))
        after = known.after if item.after is None else tuple(item.after)
        low, best, high = times
        tasks[item.name] = replace(known, low_s=low, best_s=best, high_s=high, after=after)
        for name in item.before or ():
            if name in tasks:
                tasks[name] = replace(tasks[name], after=(*tasks[name].after, item.name))
            else:
                nearest = nearest_name(name, list(tasks))
                raise InputError(Problem(message="no task has this name", found=repr(name), nearest=nearest))
    return replace(network, tasks=tuple(tasks.values()))


def _at(
    scenario: Scenario, path: str, make: Callable[..., Any], *given: Any, field: str = "in_hand", **named: Any
) -> Any:
    """Return what `make` returns; its mistakes get the place in the scenario."""
    try:
        return make(*given, **named)
    except InputError as error:
        raise InputError(
            [
                replace(problem, location=scenario.place(f"{path}.{field}"), path=f"{path}.{field}")
                for problem in error.problems
            ]
        ) from None


# Samples of a template's tasks: enough for its P10 and P90.
SAMPLES_OF_TASKS = 400
LARGEST_SITE_W = 20e9


def construct(scenario: Scenario, calendar: Calendar, case: ChipCase, index: int) -> Construction | None:
    """Return how hall, cooling and network of a site come to be, None where they are there from the start. Power is
    planned by the schedule itself, so no task waits for it.
    """
    assert scenario.build is not None
    item = scenario.build.sites[index]
    if item.template is None:
        return None
    if item.size is not None and item.size > LARGEST_SITE_W:
        raise InputError(
            wrong(
                scenario,
                f"sites.{index}.size",
                "too large for one site",
                f"{item.size / 1e9:,.0f} GW",
                "up to 20 GW; several sites",
            )
        )
    if item.size is None:
        raise InputError(
            wrong(scenario, f"sites.{index}.size", "how large is what is built?", item.name, "size, for example 150 MW")
        )
    inputs, base = case.inputs, case.base
    layout = inputs.layout
    per_rack = layout.accelerators_per_node * layout.nodes_per_rack
    it_w = base.value("power.it_per_accelerator_peak")
    racks = max(math.ceil(item.size / (it_w * per_rack)), 1)
    meter_w = item.size * (item.pue or inputs.value("site.pue"))
    network = _at(
        scenario,
        f"build.sites.{index}",
        buildout.site_tasks,
        item.template,
        power_w=meter_w,
        racks=racks,
        power=[buildout.PowerStep(power_w=meter_w)],
        crews={"racks": item.crews} if item.crews is not None else None,
        shifts=item.shifts or 1,
        in_hand=item.in_hand or (),
    )
    if item.tasks:
        network = _at(scenario, f"build.sites.{index}", _with_tasks, network, item.tasks, field="tasks")
    built = buildout.build_schedule(network, SAMPLES_OF_TASKS)
    begin_s = calendar.seconds_of(day_of(item.start)) if item.start is not None else 0.0
    edges = np.maximum(calendar.edges_s[1:] - begin_s, 0.0)
    accepted = buildout.installed(network, built.samples, edges, kind="acceptance", whole=True)
    end_s = begin_s + built.date("").p50_s
    part = np.clip(np.diff(np.clip(calendar.edges_s, begin_s, end_s)) / max(end_s - begin_s, 1.0), 0.0, 1.0)
    return Construction(
        site=item.name,
        begin_s=begin_s,
        schedule=built,
        halls_w=accepted * it_w * per_rack,
        capital_usd=part * item.size * inputs.value("finance.building_usd_per_w"),
    )


def expansion_of(scenario: Scenario, calendar: Calendar, unit: UnitItem, path: str) -> buildout.Expansion:
    """Return units that widen a limit of a site, whole ones, W or accelerators. Raises InputError where it is not said what one adds."""
    counted = unit.resource in ("network", "installation")
    each = unit.accelerators if counted else unit.unit
    if each is None:
        raise InputError(
            wrong(
                scenario,
                path,
                "how much does one unit add?",
                unit.name,
                "accelerators" if counted else "unit, for example 16 MW",
            )
        )
    size = float(each) * (float(calendar.length_s.mean()) / MONTH_S if unit.resource == "installation" else 1.0)
    given = stepped(calendar, unit.given, lambda step: float(step.units))
    most = np.maximum(given, float(unit.most or 0))
    if unit.start is not None:
        most[: max(calendar.period_of(day_of(unit.start)), 0)] = given[: max(calendar.period_of(day_of(unit.start)), 0)]
    if unit.until is not None:
        last = max(calendar.period_of(day_of(unit.until)), 0)
        most[last:], given[last:] = 0.0, 0.0
    return buildout.Expansion(
        name=unit.name,
        resource=unit.resource,
        unit=size,
        lead=periods_of(calendar, unit.lead_time or 0.0),
        most=most,
        given=given,
        price_usd=unit.price or 0.0,
        keep_usd_per_s=unit.keep or 0.0,
        energy_usd_per_j=unit.energy_price or 0.0,
        whole=True,
    )
