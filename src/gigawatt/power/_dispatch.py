"""The cheapest way to feed a site through a year: power by source, cost, carbon, and what every limit is worth.

    site -> columns and bounds (`_dispatch_lp`) -> HiGHS (`_highs`) -> DispatchResult

Units are taken as divisible and the future as known: the cost is a lower bound on what an operator reaches. `commit` adds
whole units, minimum loads and reserve; `rule_dispatch` is an operator without foresight. `DispatchModel` keeps the solver
and starts again from its last answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gigawatt.evidence import Breakdown, Output
from gigawatt.power._dispatch_lp import (
    CHARGE,
    DISCHARGE,
    ENERGY,
    ENERGY_CAPACITY,
    GRID,
    MW,
    POWER_CAPACITY,
    UNSERVED,
    Blocks,
    Window,
    blocks_of,
    windows_of,
)
from gigawatt.power._highs import Program, start_from_parts
from gigawatt.power._site import J_PER_MWH, Floats, SiteYear
from gigawatt.quantity import format_quantity

PART_STEPS = 168
TINY_W = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit that binds: in how many steps, and how the year's cost would fall by a little more of it (USD per W or J)."""

    name: str
    steps: int
    value_usd_per_unit: float
    unit: str

    def __str__(self) -> str:
        large, factor = ("MW", MW) if self.unit == "W" else ("MWh", J_PER_MWH)
        return f"{self.name} binds in {self.steps:,} steps, where one {large} more would save {format_quantity(self.value_usd_per_unit * factor, 'USD')}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DispatchResult:
    """A year's dispatch. Arrays have one value per step (T).

    `power_w` by source: "grid", groups, renewables, "battery charge", "battery discharge", rungs of the ladder,
    "unserved". `energy_j` is stored at the end of the step. `usd` sums to the cost. `price_usd_per_j` (T) is the cost of one
    J more load. `value_usd_per_w` (T) by limit: fall of the cost per W more of it in that step ("grid", groups, renewables,
    "battery_w"; "battery_j" is per J); their sums over the year are `limits`. Duals are None where the dispatch was not
    found by a linear program. `status` says in a sentence what binds.
    """

    site: SiteYear
    power_w: Mapping[str, Floats]
    energy_j: Floats
    curtailed_w: Mapping[str, Floats]
    usd: Breakdown
    emissions_kg: Breakdown
    price_usd_per_j: Floats | None
    value_usd_per_w: Mapping[str, Floats]
    limits: tuple[Limit, ...]
    status: str
    method: str

    @property
    def cost_usd(self) -> float:
        """Cost of the period."""
        return self.usd.value

    @property
    def unserved_j(self) -> float:
        """Load that nothing fed."""
        return float(self.power_w[UNSERVED].sum()) * self.site.step_s

    def energy_by_source_j(self) -> dict[str, float]:
        """Return the energy of every source over the period."""
        return {name: float(power.sum()) * self.site.step_s for name, power in self.power_w.items()}

    @property
    def outputs(self) -> dict[str, Output]:
        """Sums over the period by path: cost, carbon, energy and peak by source, unserved, worth of limits."""
        found = {
            "dispatch.cost": Output(
                label="cost of feeding the site", value=self.cost_usd, unit="USD", method=self.method
            ),
            "dispatch.emissions": Output(
                label="carbon dioxide of grid and fuel", value=self.emissions_kg.value, unit="kg", method=self.method
            ),
            "dispatch.unserved": Output(label="load not served", value=self.unserved_j, unit="J", method=self.method),
        }
        for name, joules in self.energy_by_source_j().items():
            path = name.replace(" ", "_")
            found[f"dispatch.energy.{path}"] = Output(
                label=f"energy: {name}", value=joules, unit="J", method=self.method
            )
            peak = float(self.power_w[name].max())
            found[f"dispatch.peak.{path}"] = Output(
                label=f"highest power: {name}", value=peak, unit="W", method=self.method
            )
        for limit in self.limits:
            found[f"dispatch.value.{limit.name.replace(' ', '_')}"] = Output(
                label=f"worth of more {limit.name}",
                value=limit.value_usd_per_unit,
                unit=f"USD/{limit.unit}",
                method="sum of the duals of its limits over the period",
            )
        return found

    def to_frame(self) -> Any:
        """Return power by source, stored energy and price, one row per step, as a pandas DataFrame. Needs pandas."""
        import pandas as pd

        columns: dict[str, Any] = {"load_w": self.site.load_w}
        columns |= {f"{name}_w": power for name, power in self.power_w.items()}
        columns |= {f"curtailed {name}_w": power for name, power in self.curtailed_w.items()}
        columns["battery_energy_j"] = self.energy_j
        if self.price_usd_per_j is not None:
            columns["price_usd_per_j"] = self.price_usd_per_j
        index = pd.Index(np.arange(self.site.steps) * self.site.step_s, name="start_s")
        return pd.DataFrame(columns, index=index)

    def to_dict(self, points: int = 365) -> dict[str, Any]:
        """Return plain data for JSON: sums, and series of at most `points` windows with mean, minimum and maximum."""
        return {
            "status": self.status,
            "method": self.method,
            "usd": self.usd.to_dict(),
            "emissions_kg": self.emissions_kg.to_dict(),
            "energy_j": self.energy_by_source_j(),
            "curtailed_j": {name: float(p.sum()) * self.site.step_s for name, p in self.curtailed_w.items()},
            "unserved_j": self.unserved_j,
            "peak_w": {name: float(power.max()) for name, power in self.power_w.items()},
            "limits": [
                {"name": x.name, "steps": x.steps, "value_usd_per_unit": x.value_usd_per_unit, "unit": x.unit}
                for x in self.limits
            ],
            "series": {
                "load": windowed(self.site.load_w, points),
                **{name: windowed(power, points) for name, power in self.power_w.items()},
                "battery energy": windowed(self.energy_j, points),
            },
        }


class DispatchModel:
    """A site's dispatch that is solved again from its last answer when prices, loads or limits change.

    ``model = DispatchModel(site)``; ``model.solve()``; ``model.solve(replace(site, load_w=other))``. The series may change, and
    all costs, bounds and capacities; what exists and how it is tied together may not: ValueError says so.
    """

    def __init__(self, site: SiteYear) -> None:
        self.site = site
        self._blocks = blocks_of(site)
        window = Window(self._blocks, 0, site.steps, start=self._blocks.start)
        self.program = Program(window, self._blocks.capacity)
        parts = windows_of(self._blocks, PART_STEPS)
        if len(parts) > 1:
            start_from_parts(self.program, parts)

    def solve(self, site: SiteYear | None = None) -> DispatchResult:
        """Return the dispatch of the site, or of a changed one."""
        if site is not None:
            blocks = blocks_of(site)
            if blocks.pattern() != self._blocks.pattern():
                raise ValueError(
                    "a dispatch model keeps sources, steps, efficiencies, ramps with and without limit, and billing months; make a new DispatchModel for another site"
                )
            self.site, self._blocks = site, blocks
            window = Window(blocks, 0, site.steps, start=blocks.start)
            self.program.change(window, blocks.capacity)
        self.program.solve()
        return _result(self.site, self.program)


def dispatch(site: SiteYear) -> DispatchResult:
    """Return the cheapest dispatch of a site's year.

    A load of 100 MW at 40 USD/MWh from a grid limited to 80 MW and a generator at 60 USD/MWh costs
    80 x 40 + 20 x 60 = 4,400 USD an hour, and one MW more of the grid saves 20 USD an hour. Nothing is sold to the grid; in
    hours of negative prices a battery without wear may burn energy by charging and discharging at once.
    """
    return DispatchModel(site).solve()


def powers(site: SiteYear, blocks: Blocks, levels: Floats) -> tuple[dict[str, Floats], Floats, dict[str, Floats]]:
    """Return power by source, stored energy and fuel by group (W, J, W) from the levels of the blocks (S, T) in MW, MWh."""
    own = {name: [i for i, o in enumerate(blocks.owner) if o == name] for name in dict.fromkeys(blocks.owner)}
    power = {name: MW * levels[rows].sum(axis=0) for name, rows in own.items() if name != "battery"}
    power |= {name: MW * levels[blocks.names.index(name)] for name in (CHARGE, DISCHARGE) if name in blocks.names}
    energy = np.zeros(levels.shape[1])
    if ENERGY in blocks.names:
        energy = J_PER_MWH * levels[blocks.names.index(ENERGY)]
    fuel = {}
    for group in site.generators:
        rates = np.array([rate for _, rate in group.segments])
        fuel[group.name] = MW * (rates @ levels[own[group.name]])
    return power, energy, fuel


def _result(site: SiteYear, program: Program) -> DispatchResult:
    window, blocks = program.window, program.window.blocks
    values, column_dual, row_dual = program.values()
    levels = np.maximum(values[: window.S * window.n].reshape(window.S, window.n), 0.0)
    power, energy, fuel = powers(site, blocks, levels)
    worth = window.worth(column_dual, row_dual, grid_by_step=True)
    return settle(
        site,
        power_w=power,
        energy_j=energy,
        fuel_w=fuel,
        price_usd_per_j=row_dual[: window.n] / (MW * site.step_s),
        value_usd_per_w={
            name: worth[i] / (J_PER_MWH if name == ENERGY_CAPACITY else MW) for i, name in enumerate(blocks.capacities)
        },
        method="linear program, units divisible, the year known in advance",
    )


def settle(
    site: SiteYear,
    *,
    power_w: dict[str, Floats],
    energy_j: Floats,
    fuel_w: dict[str, Floats],
    method: str,
    starts: Mapping[str, Floats] | None = None,
    price_usd_per_j: Floats | None = None,
    value_usd_per_w: Mapping[str, Floats] | None = None,
) -> DispatchResult:
    """Return the result of a dispatch however it was found: its cost, carbon, curtailment and what binds.

    `fuel_w` (T) burnt and `starts` (T) units started by group.
    """
    kg, usd = bill(site, power_w, fuel_w, starts or {})
    worth = dict(value_usd_per_w or {})
    limits = _limits(worth)
    return DispatchResult(
        site=site,
        power_w=power_w,
        energy_j=energy_j,
        curtailed_w={r.name: np.maximum(site.series(r.available_w) - power_w[r.name], 0.0) for r in site.renewables},
        usd=usd,
        emissions_kg=kg,
        price_usd_per_j=price_usd_per_j,
        value_usd_per_w=worth,
        limits=limits,
        status=_status(site, power_w, limits, price_usd_per_j is not None),
        method=method,
    )


def bill(
    site: SiteYear, power_w: Mapping[str, Floats], fuel_w: Mapping[str, Floats], starts: Mapping[str, Floats]
) -> tuple[Breakdown, Breakdown]:
    """Return emissions (kg) and cost (USD) of powers, fuels and starts (T); both sum up from their parts."""
    seconds, groups = site.step_s, {group.name: group for group in site.generators}
    drawn = power_w[GRID]
    energy = {name: float(power.sum()) * seconds for name, power in power_w.items()}
    fuel_j = {name: float(fuel.sum()) * seconds for name, fuel in fuel_w.items()}
    grid_kg = float((drawn * site.grid.carbon_kg_per_j).sum()) * seconds
    kg = {"grid": grid_kg, **{name: joules * groups[name].carbon_kg_per_fuel_j for name, joules in fuel_j.items()}}
    variable = {group.name: energy[group.name] * group.variable_usd_per_j for group in site.generators}
    variable |= {part.name: energy[part.name] * part.variable_usd_per_j for part in site.renewables}
    wear = 0.0 if site.battery is None else energy[DISCHARGE] * site.battery.throughput_usd_per_j
    parts: dict[str, float | Breakdown] = {
        "grid energy": float((drawn * site.grid.price_usd_per_j).sum()) * seconds,
        "demand": demand_usd(site, drawn),
        "fuel": _usd("fuel", {name: joules * groups[name].fuel_usd_per_j for name, joules in fuel_j.items()}),
        "variable": _usd("variable", variable),
        "starts": _usd("starts", {name: float(n.sum()) * groups[name].start_usd for name, n in starts.items()}),
        "battery wear": wear,
        "carbon": _usd("carbon", {name: mass * site.carbon_usd_per_kg for name, mass in kg.items()}),
        "flexible load": _usd("flexible load", {f.label: energy[f.label] * f.usd_per_j for f in site.ladder}),
        "unserved": energy[UNSERVED] * site.unserved_usd_per_j,
    }
    return Breakdown.of("emissions", "kg", kg), Breakdown.of("cost", "USD", parts)


def _usd(label: str, parts: Mapping[str, float]) -> Breakdown:
    return Breakdown.of(label, "USD", parts)


def demand_usd(site: SiteYear, drawn_w: Floats) -> float:
    """Return the demand charge: the highest grid power of each billing month times its price."""
    if site.grid.demand_usd_per_w <= 0:
        return 0.0
    month = site.billing_months
    peak = np.zeros(int(month.max()) + 1)
    np.maximum.at(peak, month, drawn_w)
    return float(peak.sum()) * site.grid.demand_usd_per_w


def windowed(values: Floats, points: int) -> dict[str, list[float]]:
    """Return mean, minimum and maximum of at most `points` equal windows (the last may be shorter)."""
    size = max(-(-len(values) // points), 1)
    edges = np.arange(0, len(values), size)
    counts = np.diff(np.append(edges, len(values)))
    return {
        "steps": [float(size)],
        "mean": (np.add.reduceat(values, edges) / counts).tolist(),
        "min": np.minimum.reduceat(values, edges).tolist(),
        "max": np.maximum.reduceat(values, edges).tolist(),
    }


def _limits(worth: Mapping[str, Floats]) -> tuple[Limit, ...]:
    found = []
    for name, value in worth.items():
        unit = "J" if name == ENERGY_CAPACITY else "W"
        title = {POWER_CAPACITY: "battery power", ENERGY_CAPACITY: "battery energy"}.get(name, name)
        steps = int((value > 1e-15).sum())
        if steps:
            found.append(Limit(name=title, steps=steps, value_usd_per_unit=float(value.sum()), unit=unit))
    return tuple(sorted(found, key=lambda limit: (limit.unit == "J", -limit.value_usd_per_unit)))


def _status(site: SiteYear, power_w: Mapping[str, Floats], limits: tuple[Limit, ...], known: bool) -> str:
    unserved_w = power_w[UNSERVED]
    short = unserved_w > TINY_W
    aside = {r.name for r in site.renewables} | {g.name for g in site.generators if g.capacity_w <= 0}
    if site.battery is not None and not (site.battery.discharge_w > 0 and site.battery.energy_j > 0):
        aside |= {"battery power", "battery energy"}
    firm = [limit for limit in limits if limit.name not in aside]
    binding = f"; {firm[0]}" if firm else "; no limit of grid, generators or battery binds" if known else ""
    if not bool(short.any()):
        gave = {rung.label: float(power_w[rung.label].sum()) * site.step_s / J_PER_MWH for rung in site.ladder}
        words = [f"{label} {mwh:,.0f} MWh" for label, mwh in gave.items() if mwh >= 0.5]
        return f"{'the load is served' if not words else 'part of the load gives way: ' + ', '.join(words)}{binding}"
    energy = float(unserved_w.sum()) * site.step_s / J_PER_MWH
    worst = int(np.argmax(unserved_w))
    return (
        f"{energy:,.1f} MWh of load are not served in {int(short.sum())} steps, at most {unserved_w[worst] / MW:,.2f} MW (step {worst}): "
        f"so much more firm power, less load or a ladder rung of that size is needed{binding}"
    )
