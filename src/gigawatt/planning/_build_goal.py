"""The plan that is best for the goal of a scenario, and when the goal is reached."""

from __future__ import annotations

from gigawatt import buildout
from gigawatt.planning._build_inputs import BuildCase


def targets_of(case: BuildCase) -> tuple[float | None, float | None]:
    """Return the fleet (accelerators) and the work (FLOP) that are to be reached, None where they are not the goal."""
    section = case.section
    fleet = float(section.target or 0) if section.goal == "fleet" else None
    return fleet, case.run_flop if section.goal == "run" else None


def plan_of(case: BuildCase, question: buildout.BuildQuestion | None = None) -> buildout.BuildPlan:
    """Return the best plan of a case, or of a changed question in its place. Raises InfeasibleError where the goal is
    not reached or cash falls below its floor.
    """
    section, q = case.section, question or case.question
    fleet, flop = targets_of(case)
    if fleet is not None or flop is not None:
        return buildout.earliest(q, fleet=fleet, flop=flop, usd_per_flop=case.usd_per_flop)
    last = q.calendar.periods - 1
    by = q.calendar.period_of(buildout.day_of(section.by)) if section.by is not None else last
    kind = "npv" if section.goal == "npv" else "compute"
    return buildout.schedule(q, buildout.Goal(kind, by), usd_per_flop=case.usd_per_flop)


def reached_s(case: BuildCase, plan: buildout.BuildPlan) -> float:
    """Return when a plan reaches the dated goal of a case, s from the start, inf where never."""
    fleet, flop = targets_of(case)
    return plan.reached(fleet) if fleet is not None else plan.worked(flop or 0.0)
