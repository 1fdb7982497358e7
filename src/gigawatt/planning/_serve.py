"""`gigawatt serve`: from the traffic of a scenario to chips, megawatts and dollars per token.

scenario -> classes of traffic -> for every chip: search -> fleet by the hour -> power, money
-> the cheapest plan simulated request by request -> images, nights, launch commands
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from gigawatt._version import __version__
from gigawatt.errors import InputError, Problem
from gigawatt.planning._serve_chips import MONTH_S, ServingChip, chip_names, serving_chip
from gigawatt.planning._serve_fleet import WEIGHED, ClassFleet, cost_tree, economics, fleet_of, plan_row, reached
from gigawatt.planning._serve_images import ImagePlanRow, image_plans
from gigawatt.planning._serve_launch import launches
from gigawatt.planning._serve_night import night_of
from gigawatt.planning._serve_plans import OBJECTIVES, ClassPlan, offers_of, plan_class
from gigawatt.planning._serve_run import simulated
from gigawatt.planning._serve_traffic import Demand, demands
from gigawatt.scenario import Scenario, ServingSection

# Plans that are tried until the simulation keeps the promise; least and largest margin of one, and how much a margin that
# did not do grows.
TRIALS, LEAST_LATE, MOST_LATE, STEP = 5, 1.03, 2.0, 1.06
# A share of requests that are cut to the context from which it is said.
CUT = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeReport:
    """Plans of every class on every chip by objective, with their fleets; the best of each class; the rest of the
    report as plain data.
    """

    scenario: Scenario
    section: ServingSection
    demands: tuple[Demand, ...]
    chips: tuple[ServingChip, ...]
    plans: tuple[ClassPlan, ...]
    fleets: Mapping[tuple[str, str, str], ClassFleet]
    images: tuple[ImagePlanRow, ...]
    pareto: Mapping[str, list[dict[str, Any]]]
    simulation: Mapping[str, dict[str, Any]]
    night: dict[str, Any] | None
    warnings: tuple[str, ...]

    @property
    def feasible(self) -> bool:
        """Whether every class and every kind of image can be served on one of the chips."""
        classes = all(self.best(d.name, "cost") is not None for d in self.demands)
        kinds = {row.item.name for row in self.images}
        return classes and all(any(r.found is not None for r in self.images if r.item.name == k) for k in kinds)

    def best(self, name: str, objective: str) -> ClassFleet | None:
        """Return the fleet of the chip on which a class costs least, or draws least."""
        found = [f for (n, _, o), f in self.fleets.items() if n == name and o == objective]
        return min(found, key=WEIGHED[objective], default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        section = self.section
        chosen = {d.name: self.best(d.name, section_objective(section)) for d in self.demands}
        return {
            "version": __version__,
            "scenario": self.scenario.name,
            "model": self.chips[0].inputs.model.name if self.chips else "",
            "engine": section.engine or "any",
            "objective": section.objective or "cost",
            "seed": section.seed or 0,
            "traffic": [d.to_dict() for d in self.demands],
            "plans": [
                plan_row(plan, self.fleets.get((plan.demand.name, plan.chip.name, plan.objective)))
                for plan in self.plans
            ],
            "best": {d.name: {o: _name(self.best(d.name, o)) for o in OBJECTIVES} for d in self.demands},
            "totals": {objective: self._totals(objective) for objective in OBJECTIVES},
            "pareto": dict(self.pareto),
            "searched": self._searched(),
            "day": {
                name: {"accelerator": fleet.plan.chip.name, "hours": fleet.day()}
                for name, fleet in chosen.items()
                if fleet is not None
            },
            "months": self._months(chosen),
            "simulation": dict(self.simulation),
            "cost": {name: cost_tree(fleet).to_dict() for name, fleet in chosen.items() if fleet is not None},
            "economics": {name: None if fleet is None else economics(section, fleet) for name, fleet in chosen.items()},
            "images": [row.to_dict() for row in self.images],
            "night": self.night,
            "launch": [row for fleet in chosen.values() if fleet is not None for row in launches(section, fleet.plan)],
            "warnings": list(self.warnings),
        }

    def within(self, power_w: float | None = None, usd_per_month: float | None = None) -> list[dict[str, Any]]:
        """Return what the best plan of every class reaches alone with a power of the site or a budget."""
        fleets = [self.best(d.name, section_objective(self.section)) for d in self.demands]
        megawatts = None if power_w is None else power_w / 1e6
        return [reached(fleet, megawatts, usd_per_month) for fleet in fleets if fleet is not None]

    def _totals(self, objective: str) -> dict[str, float] | None:
        fleets = [self.best(d.name, objective) for d in self.demands]
        kinds = {
            row.item.name: [r for r in self.images if r.item.name == row.item.name and r.found] for row in self.images
        }
        if None in fleets or not all(kinds.values()):
            return None
        own = [f for f in fleets if f is not None]
        pictures = [min(rows, key=WEIGHED[objective]) for rows in kinds.values()]
        return {
            "accelerators": sum(f.accelerators for f in own) + sum(r.accelerators for r in pictures),
            "peak_w": sum(f.peak_w for f in own) + sum(r.accelerators * r.watts for r in pictures),
            "mean_w": sum(f.mean_w for f in own) + sum(r.mean_w for r in pictures),
            "usd_per_month": MONTH_S * (sum(f.usd_per_s for f in own) + sum(r.usd_per_s for r in pictures)),
        }

    def _searched(self) -> dict[str, Any]:
        seen = [plan.searched for plan in self.plans if plan.objective == OBJECTIVES[0] and plan.searched]
        rejected: dict[str, int] = {}
        for each in seen:
            for rule, count in each["rejected"].items():
                rejected[rule] = rejected.get(rule, 0) + int(count)
        return {name: sum(int(s[name]) for s in seen) for name in ("generated", "evaluated", "feasible")} | {
            "rejected": rejected
        }

    def _months(self, chosen: Mapping[str, ClassFleet | None]) -> list[dict[str, Any]]:
        """Return the fleet month by month with the growth of every class, chips and layouts kept."""
        fleets = [fleet for fleet in chosen.values() if fleet is not None]
        count = int(self.section.months or 1)
        if not fleets or count < 2:
            return []
        start = date.fromisoformat(f"{(self.scenario.date or '2025-01')[:7]}-01")
        rows = []
        for month in range(count):
            grown = [
                fleet_of(self.section, f.plan, f.plan.demand.traffic.growth_per_year ** (month / 12.0)) for f in fleets
            ]
            when = start.replace(
                year=start.year + (start.month - 1 + month) // 12, month=(start.month - 1 + month) % 12 + 1
            )
            rows.append(
                {
                    "month": f"{when:%Y-%m}",
                    "requests_per_s": float(sum(f.rates.mean() for f in grown)),
                    "accelerators": sum(f.accelerators for f in grown),
                    "peak_w": sum(f.peak_w for f in grown),
                    "usd": sum(f.usd_per_s for f in grown) * MONTH_S,
                }
            )
        return rows


def section_objective(section: ServingSection) -> str:
    """Return what is to be least: cost unless power is asked for (accelerators follow cost)."""
    return "power" if section.objective == "power" else "cost"


def _name(fleet: ClassFleet | None) -> str | None:
    return None if fleet is None else fleet.plan.chip.name


def serve_scenario(scenario: Scenario, *, simulate: bool = True) -> ServeReport:
    """Return how the traffic of a scenario is served on every chip that it names, and which of them is best.

    Raises InputError for what cannot be: no serving section, unknown chips, traces that cannot be read.
    """
    section = scenario.serving
    if section is None or not (section.traffic or section.images):
        raise InputError(
            Problem(
                message="nothing to serve: the scenario has no traffic and no images",
                location=scenario.place("serving"),
                path="serving",
                allowed="serving.traffic or serving.images, as in examples/grok-chat.yaml",
            )
        )
    chips = _chips(scenario, section)
    asked = demands(scenario, section, chips[0].inputs.model.max_context)
    offers = {chip.name: offers_of(scenario, section, chip, chip.inputs.model) for chip in chips} if asked else {}
    planned = [_planned(section, demand, chips, offers, simulate) for demand in asked]
    plans = [plan for each in planned for plan in each.plans]
    fleets = {key: fleet for each in planned for key, fleet in each.fleets.items()}
    images = tuple(
        row for index, item in enumerate(section.images or ()) for row in image_plans(scenario, index, item, chips)
    )
    report = ServeReport(
        scenario=scenario,
        section=section,
        demands=asked,
        chips=chips,
        plans=tuple(plans),
        fleets=fleets,
        images=images,
        pareto={d.name: _one_front(each.front) for d, each in zip(asked, planned, strict=True)},
        simulation={d.name: each.run for d, each in zip(asked, planned, strict=True) if each.run is not None},
        night=None,
        warnings=(*_warnings(section, chips, plans), *(note for each in planned for note in each.notes)),
    )
    best = {d.name: report.best(d.name, section_objective(section)) for d in asked}
    return replace(report, night=night_of(scenario, section, best))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    """One class on every chip: plans, fleets, the front, and the simulation of the best."""

    plans: list[ClassPlan]
    fleets: dict[tuple[str, str, str], ClassFleet]
    front: list[dict[str, Any]]
    run: dict[str, Any] | None
    notes: list[str]


def _planned(
    section: ServingSection,
    demand: Demand,
    chips: tuple[ServingChip, ...],
    offers: Mapping[str, tuple[Any, ...]],
    simulate: bool,
) -> _Planned:
    """Return the plans of a class whose best keeps its promise in the simulation: where it does not, all chips are
    planned again with the margin by which the simulation is later than the mean field.
    """
    margin: tuple[float, float] = (1.0, 1.0)
    notes: list[str] = []
    for trial in range(TRIALS):
        plans: list[ClassPlan] = []
        front: list[dict[str, Any]] = []
        for chip in chips:
            found, points = plan_class(section, demand, chip, offers[chip.name], margin)
            plans += found
            front += points
        plans, fleets = _swapped(section, demand, plans)
        chosen = [f for (_, _, objective), f in fleets.items() if objective == section_objective(section)]
        if not simulate or not chosen:
            return _Planned(plans=plans, fleets=fleets, front=front, run=None, notes=notes)
        best = min(chosen, key=WEIGHED[section_objective(section)])
        run = simulated(section, best.plan)
        late = _late(best.plan, run)
        if late == (1.0, 1.0) or trial == TRIALS - 1:
            break
        grown = (margin[0] * STEP if late[0] > 1.0 else margin[0], margin[1] * STEP if late[1] > 1.0 else margin[1])
        margin = (max(grown[0], late[0]), max(grown[1], late[1]))
        notes = [
            f"{demand.name}: planned with a margin, since the simulation of the first plan was later than its mean field: TTFT {margin[0]:.2f}, TPOT {margin[1]:.2f} times"
        ]
    return _Planned(plans=plans, fleets=fleets, front=front, run=run, notes=notes)


def _swapped(
    section: ServingSection, demand: Demand, plans: list[ClassPlan]
) -> tuple[list[ClassPlan], dict[tuple[str, str, str], ClassFleet]]:
    """Return plans and fleets where each is the better of a chip's two: the search weighs units, a fleet whole numbers of
    them through the week.
    """
    fleets: dict[tuple[str, str, str], ClassFleet] = {}
    kept: list[ClassPlan] = []
    for chip in dict.fromkeys(plan.chip.name for plan in plans):
        mine = [plan for plan in plans if plan.chip.name == chip]
        found = [fleet_of(section, plan) for plan in mine if plan.feasible]
        for plan in mine:
            if not found:
                kept.append(plan)
                continue
            best = min(found, key=WEIGHED[plan.objective])
            chosen = replace(best, plan=replace(best.plan, objective=plan.objective))
            fleets[demand.name, chip, plan.objective] = chosen
            kept.append(chosen.plan)
    return kept, fleets


def _late(plan: ClassPlan, run: Mapping[str, Any]) -> tuple[float, float]:
    """Return by what the simulated TTFT and TPOT exceed those of the mean field at the percentile of the promise, at most
    MOST_LATE; 1 where the promise is kept.
    """
    promise, late = plan.demand.traffic.promise, []
    for name, closed in (("ttft", plan.ttft_s[1]), ("tpot", plan.tpot_s[1])):
        kept, found = run["kept"][name], run[f"{name}_s"]["at_percentile"]
        broken = kept is not None and (run["saturated"] or kept < promise.percentile)
        late.append(min(max(found / closed, LEAST_LATE), MOST_LATE) if broken and found else 1.0)
    return late[0], late[1]


def _chips(scenario: Scenario, section: ServingSection) -> tuple[ServingChip, ...]:
    found: list[ServingChip] = []
    problems: list[Problem] = []
    for index, name in enumerate(chip_names(scenario, section.accelerators)):
        path = f"serving.accelerators.{index}" if section.accelerators else "fleet.accelerator"
        try:
            found.append(serving_chip(scenario, name, path))
        except InputError as error:
            problems += [
                replace(problem, path=path) if problem.path == "fleet.accelerator" else problem
                for problem in error.problems
            ]
    if problems:
        raise InputError(list(dict.fromkeys(problems)))
    return tuple(found)


def _one_front(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with one front over all chips."""
    order = sorted(rows, key=lambda row: -row["interactivity_tokens_per_s"])
    highest, marked = 0.0, []
    for row in order:
        front = row["tokens_per_s_per_accelerator"] > highest
        highest = max(highest, row["tokens_per_s_per_accelerator"])
        marked.append({**row, "front": front})
    return marked


def _warnings(section: ServingSection, chips: tuple[ServingChip, ...], plans: list[ClassPlan]) -> tuple[str, ...]:
    notes = []
    unknown = [chip.name for chip in chips if not chip.chip.calibrated]
    if unknown:
        notes.append(
            f"no kernels were measured on {', '.join(unknown)}: those of other chips are transferred, and the interval is wider"
        )
    if plans and any(
        d.traffic.shares_text or len(d.sample.blocks) for d in {p.demand.name: p.demand for p in plans}.values()
    ):
        notes.append(
            "the search takes the prefix cache as one that forgets nothing; the simulation shows what a replica's cache keeps"
        )
    if section.draft_tokens and section.acceptance is None:
        notes.append("no acceptance is given for the drafted tokens: none is taken as right")
    if section.prefill_accelerator is not None:
        notes.append(
            f"prefill_accelerator: {section.prefill_accelerator} is left aside: both pools have the same kind of accelerator"
        )
    notes += [
        f"{demand.name}: {demand.summary.clipped_share:.1%} of the requests are longer than the context and are cut to it"
        for demand in {p.demand.name: p.demand for p in plans}.values()
        if demand.summary.clipped_share > CUT
    ]
    if len(section.traffic or ()) > 1:
        notes.append("every class has replicas of its own")
    return tuple(notes)


__all__ = ["ServeReport", "serve_scenario"]
