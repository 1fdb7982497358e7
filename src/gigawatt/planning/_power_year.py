"""A year of a site: weather and prices by the hour, what stands there from which date, dispatch, duals, carbon, water.

    scenario.power -> hours (price, carbon, weather) -> IT load x PUE(T) -> SiteYear per stretch of equal equipment
    -> dispatch -> one year of columns

Stretches are dispatched one after the other; the battery ends each with the energy it began with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt import power
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.evidence import Breakdown
from gigawatt.planning._couple import Evaluation
from gigawatt.planning._inputs import Inputs
from gigawatt.planning._power_hours import HOUR, Hours, date_of, hours_of, months_of, wrong
from gigawatt.scenario import GeneratorItem, Scenario

Array = NDArray[np.float64]
# What the weather of sun and wind is read from.
SUN_WIND, SUN_LATITUDE, SUN_LONGITUDE = "panhandle 2012", 35.2, -101.9
PANELS_M = 2.0
KELVIN, COLDEST_K, HOTTEST_K = 273.15, 183.15, 333.15
# Kinds of cooling of a site in the words of the cooling model.
COOLING_OF = {"air": "chiller", "liquid": "direct_liquid"}
# A grid without a limit is this many times the largest load.
NO_LIMIT = 10.0
# Share of the chip's draw down to which a cap goes before anything is shut down.
LEAST_CAP = 0.6
# A load that nobody has priced is worth this much more than the dearest rung.
UNSERVED_FACTOR = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerYear:
    """A dispatched year. Columns (T) by source, W; `stretches` are the dispatches by first step."""

    hours: Hours
    load_w: Array
    it_w: Array
    cooling: power.CoolingYear
    grid_limit_w: Array
    stretches: tuple[tuple[int, power.DispatchResult], ...]
    ladder: tuple[power.FlexibleLoad, ...]
    useful_share: float
    accounts: Mapping[str, power.EnergyAccount]
    embodied: Breakdown
    warnings: tuple[str, ...]

    def column(self, name: str) -> Array:
        """Return a source over the year, 0 where it does not stand."""
        parts = [result.power_w.get(name, np.zeros(result.site.steps)) for _, result in self.stretches]
        return np.concatenate(parts)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the columns, in order of their energy."""
        names = dict.fromkeys(name for _, result in self.stretches for name in result.power_w)
        return tuple(sorted(names, key=lambda name: -float(self.column(name).sum())))

    def worth(self, name: str) -> Array:
        """Return the value of one W (or J of "battery_j") more of a limit, by hour, USD."""
        parts = [result.value_usd_per_w.get(name, np.zeros(result.site.steps)) for _, result in self.stretches]
        return np.concatenate(parts)

    @property
    def limits(self) -> tuple[str, ...]:
        """Limits that bind in some hour, dearest first."""
        names = dict.fromkeys(name for _, result in self.stretches for name in result.value_usd_per_w)
        worth = {name: float(self.worth(name).sum()) for name in names}
        return tuple(sorted((name for name in names if worth[name] > 1e-12), key=lambda name: -worth[name]))

    @property
    def usd(self) -> Breakdown:
        """Cost of the year; the demand charge is on the highest power of a month, whatever stretches it has."""
        parts: dict[str, float] = {}
        for _, result in self.stretches:
            for child in result.usd.children:
                parts[child.label] = parts.get(child.label, 0.0) + child.value
        price = self.stretches[0][1].site.grid.demand_usd_per_w
        if price > 0:
            peaks: dict[int, float] = {}
            for month, watts in zip(months_of(self.hours).tolist(), self.column("grid").tolist(), strict=True):
                peaks[month] = max(peaks.get(month, 0.0), watts)
            parts["demand"] = price * sum(peaks.values())
        return Breakdown.of("cost of the year", "USD", {name: value for name, value in parts.items() if value})

    def energy_j(self) -> dict[str, float]:
        """Return the energy of every source."""
        return {name: float(self.column(name).sum()) * HOUR for name in self.sources}

    def to_dict(self, points: int = 730) -> dict[str, Any]:
        """Return plain data for JSON: sums, and series in windows with mean, minimum and maximum."""
        worth = {name: self.worth(name) for name in self.limits}
        return {
            "start": self.hours.start.isoformat(),
            "sources": dict(self.hours.sources),
            "load_j": float(self.load_w.sum()) * HOUR,
            "energy_j": self.energy_j(),
            "usd": self.usd.to_dict(),
            "useful_share": self.useful_share,
            "cooling": self.cooling.to_dict(),
            "stretches": [
                {
                    "start": (self.hours.start + timedelta(hours=first)).date().isoformat(),
                    "hours": result.site.steps,
                    "status": result.status,
                    "cost_usd": result.cost_usd,
                    "unserved_j": result.unserved_j,
                }
                for first, result in self.stretches
            ],
            "limits": [
                {
                    "name": name,
                    "unit": "J" if name == "battery_j" else "W",
                    "hours": int((value > 1e-15).sum()),
                    "value_usd_per_unit": float(value.sum()),
                }
                for name, value in worth.items()
            ],
            "ladder": [{"label": rung.label, "usd_per_j": rung.usd_per_j} for rung in self.ladder],
            "accounts": {name: account.to_dict() for name, account in self.accounts.items()},
            "embodied": self.embodied.to_dict(),
            "series": {
                name: windowed(values, points)
                for name, values in {
                    "load": self.load_w,
                    "grid limit": self.grid_limit_w,
                    **{name: self.column(name) for name in self.sources},
                    **{f"worth of {name}": value for name, value in worth.items()},
                    "PUE": self.cooling.pue,
                }.items()
            },
            "warnings": list(self.warnings),
        }


def windowed(values: Array, points: int) -> dict[str, Any]:
    """Return mean, minimum and maximum of at most `points` equal windows; the last may be shorter."""
    size = max(-(-len(values) // points), 1)
    edges = np.arange(0, len(values), size)
    counts = np.diff(np.append(edges, len(values)))
    return {
        "steps": size,
        "mean": (np.add.reduceat(values, edges) / counts).tolist(),
        "min": np.minimum.reduceat(values, edges).tolist(),
        "max": np.maximum.reduceat(values, edges).tolist(),
    }


def year_of(inputs: Inputs, base: Evaluation, usd_per_accelerator_s: float | None) -> PowerYear:
    """Return the dispatched year of a plan. `usd_per_accelerator_s` is what time of an accelerator is worth, for capping
    and shutdown.
    """
    asked = inputs.scenario.power
    hours = hours_of(inputs)
    share = _steps(inputs.scenario, "fleet", hours, [(s.start, s.share) for s in asked.fleet or ()], 1.0)
    wanted, it_w = share, base.value("power.it") * share
    plant = power.cooling_plant(_cooling(inputs))
    _check_weather(inputs.scenario, plant, hours)
    most = power.heat_capacity(plant, hours.ambient_k, hours.humidity) * float(it_w.max())
    share = share * np.minimum(np.divide(most, it_w, out=np.ones_like(it_w), where=it_w > 0), 1.0)
    cooled = power.cool_year(plant, np.maximum(it_w, 1.0), hours.ambient_k, hours.humidity)
    it_w = np.minimum(it_w, most)
    if not asked.cooling and inputs.scenario.site.pue is not None:
        given = inputs.value("site.pue")
        cooled = replace(cooled, pue=np.full(hours.steps, given), annual_pue=given)
    load = it_w * cooled.pue
    limit = inputs.value("site.grid_limit") if inputs.has("site.grid_limit") else math.inf
    grid = _steps(inputs.scenario, "grid", hours, [(s.start, s.limit) for s in asked.grid or ()], limit)
    grid = np.where(np.isfinite(grid), grid, NO_LIMIT * float(load.max()))
    rungs = _ladder(inputs, base, load, share, usd_per_accelerator_s)
    stretches = []
    for first, last in _stretches(inputs.scenario, hours):
        site = _site(inputs, hours, load, grid, rungs, first, last)
        stretches.append((first, power.dispatch(site)))
    return _year(inputs, base, hours, load, it_w, cooled, grid, rungs, tuple(stretches), share, wanted)


def _check_weather(scenario: Scenario, plant: power.CoolingPlant, hours: Hours) -> None:
    """Raise InputError for weather that is none, or in which a plant is not known."""
    coldest, hottest = float(hours.ambient_k.min()), float(hours.ambient_k.max())
    if not COLDEST_K <= coldest <= hottest <= HOTTEST_K:
        found = f"{coldest - KELVIN:.0f} to {hottest - KELVIN:.0f} °C"
        raise wrong(scenario, "temperature", "no weather of this planet", found, "-90 to 60 °C")
    if not 0.0 <= float(hours.humidity.min()) <= float(hours.humidity.max()) <= 1.0:
        found = f"{hours.humidity.min():.3g} to {hours.humidity.max():.3g}"
        raise wrong(scenario, "humidity", "relative humidity is a share", found, "0 to 1, or percent by the header")
    try:
        power.pue(plant, hours.ambient_k, hours.humidity)
    except ValueError as error:
        raise wrong(
            scenario, "temperature", str(error), plant.name, "another kind of cooling or other weather"
        ) from None


def _cooling(inputs: Inputs) -> str:
    scenario = inputs.scenario
    kind = scenario.power.cooling or COOLING_OF[scenario.site.cooling or "liquid"]
    if kind not in power.COOLING_KINDS:
        raise wrong(
            scenario,
            "cooling",
            "unknown kind of cooling",
            repr(kind),
            ", ".join(power.COOLING_KINDS),
            nearest_name(kind, power.COOLING_KINDS),
        )
    return kind


def _hour(scenario: Scenario, field: str, hours: Hours, date: str, clip: bool = False) -> int:
    """Return the hour of the year at which a date begins (midnight UTC); dates before the year begin with it, and with
    `clip` those after it end it.
    """
    at = (date_of(date) - hours.start) // timedelta(hours=1)
    if at >= hours.steps and not clip:
        end = hours.start + timedelta(hours=hours.steps)
        raise wrong(
            scenario, field, "this date lies after the year", date, f"a date before {end.date()}; power.year begins it"
        )
    return min(max(at, 0), hours.steps)


def _steps(scenario: Scenario, field: str, hours: Hours, steps: list[tuple[str, float]], before: float) -> Array:
    """Return a value by hour from (date, value) pairs, 0 before the first date; `before` where there are none."""
    out = np.full(hours.steps, before)
    dates = [date_of(date) for date, _ in steps]
    if dates != sorted(dates):
        raise wrong(scenario, field, "dates must rise", ", ".join(date for date, _ in steps), "the earliest first")
    if steps:
        out[:] = 0.0
    for date, value in steps:
        out[_hour(scenario, field, hours, date) :] = value
    return out


def _stretches(scenario: Scenario, hours: Hours) -> list[tuple[int, int]]:
    """Return the stretches of the year in which the same equipment stands."""
    asked = scenario.power
    edges = {0, hours.steps}
    for index, item in enumerate(asked.generators or ()):
        for date in (item.start, item.until):
            if date is not None:
                edges.add(_hour(scenario, f"generators.{index}", hours, date, clip=True))
    if asked.battery is not None and asked.battery.start is not None:
        edges.add(_hour(scenario, "battery", hours, asked.battery.start))
    points = sorted(edges)
    return [(first, last) for first, last in pairwise(points) if last > first]


def _site(
    inputs: Inputs,
    hours: Hours,
    load: Array,
    grid: Array,
    rungs: tuple[power.FlexibleLoad, ...],
    first: int,
    last: int,
) -> power.SiteYear:
    """Return a stretch of the year as the question to the dispatch."""
    scenario, asked = inputs.scenario, inputs.scenario.power
    part = slice(first, last)
    months = months_of(hours)[part]
    contract = None
    if asked.curtailment is not None:
        flat = float(np.ptp(hours.price)) <= 0.0
        called = power.highest_hours(hours.ambient_k if flat else hours.price, round(asked.curtailment.hours / HOUR))
        contract = power.Curtailment(called=called[part], depth=asked.curtailment.depth)
    dearest = max((rung.usd_per_j for rung in rungs), default=10_000.0 / 3.6e9)
    try:
        return power.SiteYear(
            load_w=load[part],
            step_s=HOUR,
            grid=power.GridConnection(
                limit_w=grid[part],
                price_usd_per_j=hours.price[part],
                demand_usd_per_w=asked.demand_charge or 0.0,
                billing=months,
                carbon_kg_per_j=hours.carbon[part],
                curtailment=contract,
            ),
            generators=_generators(inputs, hours, first, last),
            battery=_battery(scenario, hours, first),
            renewables=_renewables(asked.solar, asked.wind, hours, part),
            ladder=tuple(replace(rung, max_w=np.asarray(rung.max_w)[part]) for rung in rungs),
            carbon_usd_per_kg=asked.carbon_price or 0.0,
            unserved_usd_per_j=UNSERVED_FACTOR * dearest,
        )
    except ValueError as error:
        raise InputError(Problem(message=str(error), location=scenario.place("power"), path="power")) from None


def _generators(inputs: Inputs, hours: Hours, first: int, last: int) -> tuple[power.GeneratorGroup, ...]:
    """Return the generators that stand in a stretch."""
    scenario, found = inputs.scenario, []
    for index, item in enumerate(scenario.power.generators or ()):
        if item.kind not in power.GENERATORS:
            raise wrong(
                scenario,
                f"generators.{index}.kind",
                "unknown kind of generator",
                repr(item.kind),
                ", ".join(power.GENERATORS),
                nearest_name(item.kind, power.GENERATORS),
            )
        begins = 0 if item.start is None else _hour(scenario, f"generators.{index}", hours, item.start, clip=True)
        ends = (
            hours.steps if item.until is None else _hour(scenario, f"generators.{index}", hours, item.until, clip=True)
        )
        if begins > first or ends <= first:
            continue
        found.append(generators_of(item, _name(scenario, index), hours.ambient_k[first:last]))
    return tuple(found)


def generators_of(item: GeneratorItem, name: str = "", ambient_k: Array | None = None) -> power.GeneratorGroup:
    """Return one group of generators of a scenario, in air at `ambient_k` (T), else at their rating."""
    air = power.ISO_KELVIN if ambient_k is None else ambient_k
    group = power.generator_group(item.kind, item.units, name=name, fuel_usd_per_j=item.fuel_price, ambient_k=air)
    return group if item.unit is None else replace(group, unit_w=item.unit)


def _name(scenario: Scenario, index: int) -> str:
    """Return what a group is called: its kind, with its units and its number where that is not enough."""
    items = scenario.power.generators or []
    item = items[index]
    if sum(other.kind == item.kind for other in items) == 1:
        return item.kind
    same = [i for i, other in enumerate(items) if (other.kind, other.units) == (item.kind, item.units)]
    number = f" ({same.index(index) + 1})" if len(same) > 1 else ""
    return f"{item.units} x {item.kind}{number}"


def _battery(scenario: Scenario, hours: Hours, first: int) -> power.Battery | None:
    item = scenario.power.battery
    if item is None or (item.start is not None and _hour(scenario, "battery", hours, item.start) > first):
        return None
    return battery_of(scenario)


def battery_of(scenario: Scenario) -> power.Battery | None:
    """Return the batteries of a scenario as one. Raises InputError for neither a kind with units nor power and energy."""
    item = scenario.power.battery
    if item is None:
        return None
    if item.kind is not None:
        kinds = {kind.rpartition(".")[2]: kind for kind in power.MEGAPACKS}
        if item.kind not in kinds or item.units is None:
            raise wrong(
                scenario,
                "battery",
                "a packaged battery needs its kind and units",
                repr(item.kind),
                f"{', '.join(kinds)}, with units",
            )
        found = power.battery_units(kinds[item.kind], item.units)
    elif item.power is None or item.energy is None:
        raise wrong(scenario, "battery", "how large is the battery?", "", "kind and units, or power and energy")
    else:
        found = power.Battery(charge_w=item.power, discharge_w=item.power, energy_j=item.energy)
    if item.round_trip is not None:
        each = math.sqrt(item.round_trip)
        found = replace(found, charge_efficiency=each, discharge_efficiency=each)
    return found


def _renewables(solar_w: float | None, wind_w: float | None, hours: Hours, part: slice) -> tuple[power.Renewable, ...]:
    found = []
    if solar_w:
        found.append(
            power.Renewable(name="solar", available_w=solar_w * _yield("solar", hours)[part], capacity_w=solar_w)
        )
    if wind_w:
        found.append(power.Renewable(name="wind", available_w=wind_w * _yield("wind", hours)[part], capacity_w=wind_w))
    return tuple(found)


def _yield(what: str, hours: Hours) -> Array:
    """Return what one W installed gives by hour, in the packaged weather of the Texas panhandle."""

    def of(name: str) -> Array:
        return power.packaged_series(f"{SUN_WIND} {name}").at(hours.start, hours.steps)

    if what == "solar":
        field = power.SolarField(latitude_deg=SUN_LATITUDE, longitude_deg=SUN_LONGITUDE)
        wind = power.wind_at_height(of("wind 80 m"), 80.0, PANELS_M)
        return power.pv_power(of("ghi"), of("dni"), of("dhi"), of("temperature"), wind, field, hours.start)
    return power.wind_power(of("wind 100 m"), of("temperature 80 m"), of("pressure 80 m"))


def _ladder(
    inputs: Inputs, base: Evaluation, load: Array, share: Array, usd_per_accelerator_s: float | None
) -> tuple[power.FlexibleLoad, ...]:
    """Return how the load gives way: caps on the accelerators down to LEAST_CAP of their draw, then shutting down.

    Each is priced with the time of accelerators that it loses, per J at the grid connection.
    """
    if usd_per_accelerator_s is None:
        return ()
    running = share * base.fleet.powered
    each_w = np.divide(load, running, out=np.zeros_like(load), where=running > 0)
    it_w = (base.value("power.it_per_accelerator_peak"), base.value("power.it_per_accelerator"))
    site = float(np.median(each_w[each_w > 0])) / it_w[1] if (each_w > 0).any() else 1.0  # facility over IT power
    other = 1.0 + inputs.value("power.other_it_fraction")
    now, kept = inputs.chip_watts("training"), kept_rate(inputs)
    saved = max(now - LEAST_CAP * inputs.chip_watts("training", capped=False), 0.0) * other * site
    whole = it_w[1] * site
    shutdown = power.FlexibleLoad(label="shutdown", max_w=load, usd_per_j=usd_per_accelerator_s / max(whole, 1.0))
    if saved <= 0:
        return (shutdown,)
    capped = np.minimum(saved * running, load)
    left = max(whole - saved, 1.0)
    return (
        power.FlexibleLoad(label="power caps", max_w=capped, usd_per_j=usd_per_accelerator_s * (1.0 - kept) / saved),
        replace(shutdown, max_w=np.maximum(load - capped, 0.0), usd_per_j=usd_per_accelerator_s * kept / left),
    )


def kept_rate(inputs: Inputs) -> float:
    """Return the share of the present rate that the accelerators keep at LEAST_CAP of their draw."""
    full = inputs.chip_watts("training", capped=False)
    chip = power.chip_power(inputs.groups[0].accelerator.name, full)
    chip = replace(chip, limit_w=full / chip.share("training"))
    low, now = (
        float(power.rate_at_cap(chip, w, "training")) for w in (LEAST_CAP * full, inputs.chip_watts("training"))
    )
    return min(low / now, 1.0) if now > 0 else 1.0


def _year(
    inputs: Inputs,
    base: Evaluation,
    hours: Hours,
    load: Array,
    it_w: Array,
    cooled: power.CoolingYear,
    grid: Array,
    rungs: tuple[power.FlexibleLoad, ...],
    stretches: tuple[tuple[int, power.DispatchResult], ...],
    share: Array,
    wanted: Array,
) -> PowerYear:
    chip, rate = power.chip_power(inputs.groups[0].accelerator.name, 1.0), kept_rate(inputs)
    year = PowerYear(
        hours=hours,
        load_w=load,
        it_w=it_w,
        cooling=cooled,
        grid_limit_w=grid,
        stretches=stretches,
        ladder=rungs,
        useful_share=1.0,
        accounts={},
        embodied=Breakdown.of("embodied carbon", "kg", {"accelerators": 0.0}),
        warnings=(),
    )
    gone, capped = year.column("shutdown") + year.column("unserved"), year.column("power caps")
    most = next((np.asarray(rung.max_w) for rung in rungs if rung.label == "power caps"), np.ones(hours.steps))
    slow = np.divide(capped, most, out=np.zeros_like(capped), where=most > 0) * (1.0 - rate)
    down = np.divide(gone, load, out=np.zeros_like(gone), where=load > 0)
    useful = float((share * np.clip(1.0 - slow - down, 0.0, 1.0)).sum() / max(float(wanted.sum()), 1e-9))
    kg = sum(result.emissions_kg.value for _, result in stretches)
    served = load - gone - capped
    account = power.energy_account(
        np.maximum(served, 0.0),
        carbon_kg_per_j=hours.carbon,
        price_usd_per_j=hours.price,
        water_kg_per_j=cooled.water_kg_per_it_j * it_w / np.maximum(load, 1.0),
    )
    account = replace(account, location_kg=kg, energy_usd=year.usd.value - _lost_usd(year), unit="year")
    embodied = power.embodied_carbon(
        base.fleet.powered * float(share.mean()),
        hours.steps * HOUR,
        chip=chip.name,
        it_w=base.value("power.it_per_accelerator_peak") * base.fleet.powered,
        battery_j=0.0 if (found := battery_of(inputs.scenario)) is None else found.energy_j,
    )
    accelerator_hours = float(wanted.sum()) * base.fleet.powered
    tokens = base.training.tokens_per_s * base.reliability.goodput * useful * float(wanted.sum()) * HOUR
    account = replace(account, embodied_kg=embodied.value)
    return replace(
        year,
        useful_share=useful,
        embodied=embodied,
        accounts={
            "year": account,
            "accelerator-hour": account.per(max(accelerator_hours, 1e-9), "accelerator-hour"),
            "million tokens": account.per(max(tokens / 1e6, 1e-9), "million tokens"),
        },
        warnings=_warnings(inputs, cooled),
    )


def _lost_usd(year: PowerYear) -> float:
    """Cost that is no payment: load that gave way."""
    return sum(child.value for child in year.usd.children if child.label in ("flexible load", "unserved"))


def _warnings(inputs: Inputs, cooled: power.CoolingYear) -> tuple[str, ...]:
    notes = []
    if cooled.limited_s > 0:
        notes.append(
            f"in {cooled.limited_s / HOUR:,.0f} hours the air is too warm for the cooling to reject all heat (least {cooled.capacity.min():.0%}): accelerators stand still for the rest of it"
        )
    plan = inputs.value("site.pue")
    if abs(cooled.annual_pue / plan - 1.0) > 0.02:
        notes.append(f"the plan takes a PUE of {plan:.3g}, the year that of its weather, {cooled.annual_pue:.3f}")
    elif inputs.scenario.site.pue is not None and inputs.scenario.power.cooling is None:
        notes.append("the given PUE holds all year; power.cooling takes it from the weather")
    asked = inputs.scenario.power
    if asked.temperature is None or asked.humidity is None:
        notes.append("the weather is that of Dallas in 2023; power.temperature and power.humidity take another")
    if asked.curtailment is not None and asked.prices is None:
        notes.append("prices do not vary, so that the curtailment contract is called in the warmest hours")
    return tuple(notes)
