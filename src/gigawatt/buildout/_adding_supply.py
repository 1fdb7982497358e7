"""Adding supply: a fab, a packaging line, a memory line, a server line, or a fund that builds several.

A project costs capital, takes years to build, and then ramps: its output rises on a straight line to full, and where
its dies ripen, their yield approaches that of a ripe line (13.9). Its output joins the stage it belongs to, and the
chips are again the least over the stages: money put into a stage that does not bind buys nothing.

Shapes: S = samples, P = periods. Project output is in units of the stage per period.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gigawatt.buildout._calendar import Calendar
from gigawatt.buildout._die import ripening, sellable_yield
from gigawatt.buildout._ranges import Array
from gigawatt.buildout._stages import chip_fact, chips_of_stage
from gigawatt.buildout._supply import ChipSupply, supply_of
from gigawatt.buildout._supply_tables import catalogue_fact, rows, sourced
from gigawatt.evidence import Sourced

ENDS = ("low", "best", "high")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Capacity that somebody pays for.

    `capacity` is the full output in units of the stage per second, `start_s` when the money is committed, in seconds
    from the start of the plan, `capex` USD per unit of capacity, `subsidy` the share of it that a state pays. `funder`
    has the `take_or_pay` share of the chips that come of it. `defects` (start, end in 1/m2, time constant in s) ripen
    where they are given. Raises ValueError for numbers out of range.
    """

    name: str
    stage: str
    capacity: float
    capex: Sourced
    build: Sourced
    ramp: Sourced
    subsidy: Sourced
    defects: tuple[Sourced, Sourced, Sourced] | None = None
    start_s: float = 0.0
    funder: str = ""
    take_or_pay: float = 1.0

    def __post_init__(self) -> None:
        if not (self.capacity >= 0.0 and np.isfinite(self.capacity)):
            raise ValueError(f"{self.name}: a capacity must be finite and at least zero")
        if not 0.0 <= self.take_or_pay <= 1.0:
            raise ValueError(f"{self.name}: the funder's share of the output lies between 0 and 1")
        if not 0.0 <= self.subsidy.low <= self.subsidy.high <= 1.0:
            raise ValueError(f"{self.name}: a subsidy is a share of the capital cost")

    @property
    def capex_usd(self) -> tuple[float, float, float]:
        """Capital cost at its low, best and high end, before subsidies."""
        return self.capacity * self.capex.low, self.capacity * self.capex.best, self.capacity * self.capex.high

    @property
    def net_usd(self) -> tuple[float, float, float]:
        """Capital cost less subsidy: low with the high subsidy, high with the low one."""
        low, best, high = self.capex_usd
        return low * (1 - self.subsidy.high), best * (1 - self.subsidy.best), high * (1 - self.subsidy.low)

    def output(self, calendar: Calendar, chip: str = "", end: str = "best", lead_s: float = 0.0) -> Array:
        """Return the units of the stage that the project makes per period, (P,), in ripe equivalents for `chip`.

        They are counted `lead_s` after their stage began on them. `end` "low" builds and ramps slowly and ripens late, "high" fast. Raises ValueError for another end.
        """
        if end not in ENDS:
            raise ValueError(f"end must be one of {', '.join(ENDS)}, not {end!r}")
        slow = {"low": "high", "best": "best", "high": "low"}[end]
        first = self.start_s + getattr(self.build, slow) + lead_s
        ramp = max(getattr(self.ramp, slow), 1.0)
        edges = calendar.edges_s
        age = np.maximum(edges - first, 0.0)
        ramped = np.where(age < ramp, age**2 / (2.0 * ramp), age - ramp / 2.0)  # integral of the ramp from its start
        made = self.capacity * np.diff(ramped)
        return np.asarray(made * self._ripe(chip, (edges[:-1] + edges[1:]) / 2.0 - first, slow))

    def _ripe(self, chip: str, age_s: Array, slow: str) -> Array | float:
        if self.defects is None or not chip:
            return 1.0
        begin, final, tau = (getattr(value, slow) for value in self.defects)
        area, harvest = chip_fact(chip, "die_area_m2").best, chip_fact(chip, "harvest").best
        density = ripening(max(begin, final), final, tau, age_s)
        return np.asarray(sellable_yield(area, density, harvest) / sellable_yield(area, final, harvest))


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedSupply:
    """What projects change for a chip: `before` and `after`, the `extra` chips per period, (P,), for the funders and
    for all others, the money, and in words what the money did.

    `stage_chips` are the chips that the new capacity of each stage would allow, `idle_share` the part of them that no
    other stage let through, both over the plan. `low` and `high` are extra chips with slow and fast projects.
    """

    before: ChipSupply
    after: ChipSupply
    extra: Array
    low: Array
    high: Array
    to_funders: Mapping[str, Array]
    to_others: Array
    stage_chips: Mapping[str, Array]
    idle_share: Mapping[str, float]
    capex_usd: tuple[float, float, float]
    net_usd: tuple[float, float, float]
    usd_per_extra_chip: float
    sentences: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "extra": self.extra.tolist(),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "to_funders": {name: units.tolist() for name, units in self.to_funders.items()},
            "to_others": self.to_others.tolist(),
            "stage_chips": {name: units.tolist() for name, units in self.stage_chips.items()},
            "idle_share": dict(self.idle_share),
            "capex_usd": list(self.capex_usd),
            "net_usd": list(self.net_usd),
            "usd_per_extra_chip": self.usd_per_extra_chip,
            "sentences": list(self.sentences),
        }


def project_kinds() -> tuple[str, ...]:
    """Return the kinds of project that data/supply_projects.csv knows: fab, packaging_line, hbm_line, server_line."""
    return tuple(dict.fromkeys(row["kind"] for row in rows("supply_projects.csv")))


def packaged_project(
    kind: str,
    capacity: float,
    *,
    stage: str = "",
    name: str = "",
    start_s: float = 0.0,
    funder: str = "",
    take_or_pay: float = 1.0,
) -> Project:
    """Return a project of a kind with the packaged costs and times; `stage` in place of the usual one (logic.N3 for a
    fab). Raises ValueError for a kind that is not known.
    """
    mine = {row["key"]: row for row in rows("supply_projects.csv") if row["kind"] == kind}
    if not mine:
        raise ValueError(f"kind must be one of {', '.join(project_kinds())}, not {kind!r}")
    numbers = {key: sourced(row, label=f"{kind}: {key}", grade="kind_of") for key, row in mine.items()}
    defects = None
    if "defects_start" in numbers:
        node = (stage or mine["capex"]["stage"]).removeprefix("logic.")
        ripe = catalogue_fact(f"defect_density.{node}")
        defects = numbers["defects_start"], ripe, numbers["defects_tau"]
    return Project(
        name=name or kind,
        stage=stage or mine["capex"]["stage"],
        capacity=capacity,
        capex=numbers["capex"],
        build=numbers["build"],
        ramp=numbers["ramp"],
        subsidy=numbers["subsidy"],
        defects=defects,
        start_s=start_s,
        funder=funder,
        take_or_pay=take_or_pay,
    )


def add_supply(projects: Sequence[Project], supply: ChipSupply) -> AddedSupply:
    """Return what projects change for one chip that uses all of their output.

    New capacity counts in chips when they reach the counting point of the supply. Extra chips go to the funders by take-or-pay, each in proportion to what the funder paid for,
    and the rest to all others. Raises ValueError for no projects or a stage that the chip does not use.
    """
    if not projects:
        raise ValueError("there is no project to add")
    unknown = sorted({p.stage for p in projects} - set(supply.stages))
    if unknown:
        raise ValueError(f"{supply.chip} does not use {', '.join(unknown)}; its stages are {', '.join(supply.stages)}")
    new = {end: _stage_extra(projects, supply, end) for end in ENDS}
    after = {end: _with_extra(supply, new[end]) for end in ENDS}
    extra = {end: after[end].best - supply.best for end in ENDS}
    paid = {p.name: p.net_usd[1] for p in projects}
    weight = sum(paid.values())
    funders: dict[str, Array] = {}
    for project in projects:
        part = paid[project.name] / weight * project.take_or_pay if weight > 0.0 else 0.0
        if project.funder:
            funders[project.funder] = funders.get(project.funder, np.zeros_like(supply.best)) + part * extra["best"]
    others = extra["best"] - sum(funders.values(), np.zeros_like(supply.best))
    capex = tuple(sum(p.capex_usd[i] for p in projects) for i in range(3))
    net = tuple(sum(p.net_usd[i] for p in projects) for i in range(3))
    total = float(extra["best"].sum())
    idle = {s: 1.0 - total / float(c.sum()) if c.sum() > 0.0 else 0.0 for s, c in new["best"].items()}
    found = AddedSupply(
        before=supply,
        after=after["best"],
        extra=extra["best"],
        low=extra["low"],
        high=extra["high"],
        to_funders=funders,
        to_others=np.asarray(others),
        stage_chips=new["best"],
        idle_share=idle,
        capex_usd=(capex[0], capex[1], capex[2]),
        net_usd=(net[0], net[1], net[2]),
        usd_per_extra_chip=net[1] / total if total > 0.0 else float("inf"),
        sentences=(),
    )
    return replace(found, sentences=_sentences(found))


def _stage_extra(projects: Sequence[Project], supply: ChipSupply, end: str) -> dict[str, Array]:
    per_unit = chips_of_stage(supply.chip)
    found: dict[str, Array] = {}
    for project in projects:
        chips = (
            project.output(supply.calendar, supply.chip, end, supply.lead_s[project.stage])
            * per_unit[project.stage].best
        )
        found[project.stage] = found.get(project.stage, np.zeros(supply.calendar.periods)) + chips
    return found


def _with_extra(supply: ChipSupply, extra: Mapping[str, Array]) -> ChipSupply:
    stages = {s: units + extra.get(s, 0.0) for s, units in supply.stages.items()}
    drawn = {s: units + extra.get(s, 0.0) for s, units in supply.stage_samples.items()}
    return supply_of(supply.chip, supply.vendor, supply.calendar, stages, drawn, supply.lead_s)


def stage_in_words(stage: str) -> str:
    """Return what people call a stage: "N5 logic wafers" for logic.N5."""
    kind, _, node = stage.partition(".")
    return {"hbm": "HBM", "integration": "server assembly", "logic": f"{node} logic wafers"}.get(kind, stage)


def _sentences(found: AddedSupply) -> tuple[str, ...]:
    said = []
    for name, chips in found.stage_chips.items():
        idle, stage = found.idle_share[name], stage_in_words(name)
        others = sorted({stage_in_words(other) for other in found.after.binding if other != name})
        binds = " and ".join(others) + (" bind" if len(others) > 1 else " binds")
        if chips.sum() <= 0.0:
            said.append(f"The money in {stage} makes nothing within the plan: it is built too late.")
        elif idle > 0.999:
            said.append(f"The money in {stage} buys no chips: {binds}.")
        elif idle > 0.01:
            said.append(f"{idle:.0%} of what the money in {stage} could make is lost, as {binds}.")
    some = np.flatnonzero(found.extra > 0.5)
    if len(some):
        label = found.before.calendar.label(int(some[0]))
        said.append(f"The first extra chips come in {label}; {found.extra.sum():,.0f} by the end of the plan.")
    return tuple(said)
