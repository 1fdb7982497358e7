"""What feeds a site for a year: grid connection, generator groups, battery, renewables, and loads that may give way.

Everything in SI units and per step of `step_s` seconds. Powers are positive: of the grid and of generators what they
deliver, of the load what it takes, of the battery charge and discharge apart. Shape T = number of steps; where a field
takes a number or an array, the number holds for every step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Series = float | Floats

J_PER_MWH = 3.6e9
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _check(owner: str, name: str, value: Series, *, low: float = 0.0, high: float = math.inf) -> None:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim > 1 or array.size == 0:
        raise ValueError(
            f"{name} of {owner} must be a number or one value per step, not an array of shape {array.shape}"
        )
    if bool(np.isnan(array).any()) or float(array.min()) < low or float(array.max()) > high:
        raise ValueError(
            f"{name} of {owner} must lie between {low:g} and {high:g}, not {array.min():g}..{array.max():g}"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curtailment:
    """A contract to take less from the grid in called hours: `called` (T) of truth values, `depth` of the limit given up.

    44 called hours of full depth are 0.5 % of a year, at which about 100 GW of new load would fit into the US grid, 76 GW at
    0.25 % (Norris et al., Duke Nicholas Institute, 2025). `highest_hours` picks the called hours. Raises ValueError for a
    depth outside 0..1.
    """

    called: NDArray[np.bool_]
    depth: float = 1.0

    def __post_init__(self) -> None:
        _check("the curtailment contract", "depth", self.depth, high=1.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GridConnection:
    """The connection: limit, price, ramp, demand charge, carbon.

    `ramp_w_per_s` bounds the change of grid power between steps both ways. `demand_usd_per_w` is paid for the highest
    power of every billing month; `billing` (T) numbers the month of each step (None: months of a year of 365 days).
    """

    limit_w: Series
    price_usd_per_j: Series
    ramp_w_per_s: float = math.inf
    demand_usd_per_w: float = 0.0
    billing: NDArray[np.int64] | None = None
    carbon_kg_per_j: Series = 0.0
    curtailment: Curtailment | None = None

    def __post_init__(self) -> None:
        owner = "the grid connection"
        _check(owner, "limit_w", self.limit_w)
        _check(owner, "price_usd_per_j", self.price_usd_per_j, low=-math.inf)
        _check(owner, "ramp_w_per_s", self.ramp_w_per_s)
        _check(owner, "demand_usd_per_w", self.demand_usd_per_w)
        _check(owner, "carbon_kg_per_j", self.carbon_kg_per_j)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GeneratorGroup:
    """Equal units that burn fuel.

    `heat_rate` is fuel J per electrical J; or segments ((share of capacity up to here, fuel J per further J), …) that rise.
    `minimum_load` (share of what is online), `start_usd` (a unit) and `no_load_fuel_w` (what an online unit burns without
    load, beside `heat_rate` for its output) matter to unit commitment; dispatch treats the group as divisible. `ramp_per_s` is the share of capacity by which output may change in a second. `derate` multiplies the
    capacity (heat, altitude). Firm units: `spare_units` are kept out, or with a `forced_outage_rate` as many units as
    run with `firm_probability` (binomial), whichever is fewer.
    """

    name: str
    units: int
    unit_w: float
    heat_rate: float | tuple[tuple[float, float], ...]
    fuel_usd_per_j: float
    variable_usd_per_j: float = 0.0
    carbon_kg_per_fuel_j: float = 0.0
    minimum_load: float = 0.0
    ramp_per_s: float = math.inf
    start_usd: float = 0.0
    no_load_fuel_w: float = 0.0
    spare_units: int = 0
    forced_outage_rate: float = 0.0
    firm_probability: float = 0.99
    derate: Series = 1.0

    def __post_init__(self) -> None:
        owner = f"generator group {self.name!r}"
        for name in ("units", "unit_w", "fuel_usd_per_j", "variable_usd_per_j", "carbon_kg_per_fuel_j", "ramp_per_s"):
            _check(owner, name, getattr(self, name))
        for name in ("minimum_load", "forced_outage_rate", "firm_probability"):
            _check(owner, name, getattr(self, name), high=1.0)
        for name in ("start_usd", "no_load_fuel_w", "spare_units", "derate"):
            _check(owner, name, getattr(self, name))
        ends, rates = zip(*self.segments, strict=True)
        if min(rates) < 1.0:
            raise ValueError(
                f"heat_rate of {owner} is fuel J per electrical J and cannot be below 1, not {min(rates):g}"
            )
        if list(ends) != sorted(set(ends)) or ends[0] <= 0 or not math.isclose(ends[-1], 1.0):
            raise ValueError(f"heat_rate of {owner}: shares of capacity must rise to 1, not {ends}")
        if list(rates) != sorted(rates):
            raise ValueError(
                f"heat_rate of {owner}: further fuel per J must not fall with load, not {rates}; put what burns at no load into no_load_fuel_w"
            )

    @property
    def segments(self) -> tuple[tuple[float, float], ...]:
        """(share of capacity up to here, fuel J per further electrical J) by rising share."""
        return self.heat_rate if isinstance(self.heat_rate, tuple) else ((1.0, float(self.heat_rate)),)

    @property
    def firm_units(self) -> int:
        """Units that can be counted on."""
        kept = max(self.units - self.spare_units, 0)
        return min(kept, firm_units(self.units, self.forced_outage_rate, self.firm_probability))

    @property
    def capacity_w(self) -> float:
        """Power of the firm units before derating."""
        return self.firm_units * self.unit_w

    @property
    def average_heat_rate(self) -> float:
        """Fuel J per electrical J at full load."""
        low, total = 0.0, 0.0
        for end, rate in self.segments:
            total += (end - low) * rate
            low = end
        return total

    def fuel_with_carbon_usd_per_j(self, carbon_usd_per_kg: float) -> float:
        """Return the cost of a J of fuel and of its carbon."""
        return self.fuel_usd_per_j + self.carbon_kg_per_fuel_j * carbon_usd_per_kg

    def usd_per_j(self, heat_rate: float, carbon_usd_per_kg: float) -> float:
        """Return the cost of an electrical J at a heat rate: fuel, its carbon and variable cost."""
        return heat_rate * self.fuel_with_carbon_usd_per_j(carbon_usd_per_kg) + self.variable_usd_per_j


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Battery:
    """A battery: power each way, energy, efficiency each way (0.95 each way is 0.9025 round trip), cost per J discharged.

    `cyclic`: the year ends with the energy it began with, which the dispatch chooses; else it begins with `initial_j`.
    """

    charge_w: float
    discharge_w: float
    energy_j: float
    charge_efficiency: float = 0.95
    discharge_efficiency: float = 0.95
    throughput_usd_per_j: float = 0.0
    cyclic: bool = True
    initial_j: float = 0.0

    def __post_init__(self) -> None:
        for name in ("charge_w", "discharge_w", "energy_j", "throughput_usd_per_j", "initial_j"):
            _check("the battery", name, getattr(self, name))
        for name in ("charge_efficiency", "discharge_efficiency"):
            _check("the battery", name, getattr(self, name), low=1e-6, high=1.0)
        if self.initial_j > self.energy_j:
            raise ValueError(
                f"initial_j of the battery is at most its energy, {self.energy_j:g}, not {self.initial_j:g}"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Renewable:
    """Sun or wind: `available_w` (T) at `capacity_w` installed (0: the highest available power); free to curtail."""

    name: str
    available_w: Series
    capacity_w: float = 0.0
    variable_usd_per_j: float = 0.0

    def __post_init__(self) -> None:
        for name in ("available_w", "capacity_w", "variable_usd_per_j"):
            _check(f"renewable {self.name!r}", name, getattr(self, name))

    @property
    def installed_w(self) -> float:
        """Installed power."""
        return self.capacity_w or float(np.max(self.available_w))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlexibleLoad:
    """A rung of the ladder of loads that give way: at most `max_w` less, at `usd_per_j` not served."""

    label: str
    max_w: Series
    usd_per_j: float

    def __post_init__(self) -> None:
        _check(f"flexible load {self.label!r}", "max_w", self.max_w)
        _check(f"flexible load {self.label!r}", "usd_per_j", self.usd_per_j)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SiteYear:
    """A load over T steps and everything that can feed it.

    `ladder` lists loads that give way before the rest of the load does, at `unserved_usd_per_j`: capping accelerators
    first, shutting down last. `carbon_usd_per_kg` prices the carbon of grid and fuel. `battery` None: there is none.
    Raises ValueError for series of another length, names used twice, or a ladder that costs more than leaving the load
    unserved.
    """

    load_w: Floats
    step_s: float = 3600.0
    grid: GridConnection
    generators: tuple[GeneratorGroup, ...] = ()
    battery: Battery | None = None
    renewables: tuple[Renewable, ...] = ()
    ladder: tuple[FlexibleLoad, ...] = ()
    carbon_usd_per_kg: float = 0.0
    unserved_usd_per_j: float = 10_000.0 / J_PER_MWH

    def __post_init__(self) -> None:
        object.__setattr__(self, "load_w", np.atleast_1d(np.asarray(self.load_w, dtype=np.float64)))
        _check("the site", "load_w", self.load_w)
        _check("the site", "step_s", self.step_s, low=1e-9, high=1e9)
        _check("the site", "carbon_usd_per_kg", self.carbon_usd_per_kg)
        names = ["grid", "battery", "unserved"]
        names += [
            *(g.name for g in self.generators),
            *(r.name for r in self.renewables),
            *(f.label for f in self.ladder),
        ]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"names of what feeds a site must differ ('grid', 'battery', 'unserved' are taken), not {', '.join(twice)}"
            )
        grid, series = self.grid, [(self.grid.limit_w, "limit_w of the grid")]
        series += [
            (grid.price_usd_per_j, "price_usd_per_j of the grid"),
            (grid.carbon_kg_per_j, "carbon_kg_per_j of the grid"),
        ]
        series += [(group.derate, f"derate of {group.name}") for group in self.generators]
        series += [(part.available_w, f"available_w of {part.name}") for part in self.renewables]
        series += [(rung.max_w, f"max_w of {rung.label}") for rung in self.ladder]
        if grid.billing is not None:
            series.append((grid.billing.astype(np.float64), "billing of the grid"))
        if grid.curtailment is not None:
            series.append((grid.curtailment.called.astype(np.float64), "called of the curtailment contract"))
        for value, name in series:
            if np.ndim(value) and np.shape(value) != (self.steps,):
                raise ValueError(f"{name} has {np.size(value)} values; the load has {self.steps} steps")
        above = [rung.label for rung in self.ladder if rung.usd_per_j > self.unserved_usd_per_j]
        if above:
            raise ValueError(
                f"flexible load {above[0]!r} costs more than unserved load, {self.unserved_usd_per_j:g} USD/J, and would never be used"
            )

    @property
    def steps(self) -> int:
        """T."""
        return int(np.size(self.load_w))

    def series(self, value: Series) -> Floats:
        """Return a number or series as one value per step."""
        return np.broadcast_to(np.asarray(value, dtype=np.float64), (self.steps,))

    @property
    def grid_limit_w(self) -> Floats:
        """(T) grid limit with the curtailment contract applied."""
        limit, contract = self.series(self.grid.limit_w), self.grid.curtailment
        return limit if contract is None else np.where(contract.called, limit * (1.0 - contract.depth), limit)

    @property
    def grid_usd_per_j(self) -> Floats:
        """(T) grid price with carbon."""
        return self.series(self.grid.price_usd_per_j) + self.carbon_usd_per_kg * self.series(self.grid.carbon_kg_per_j)

    @property
    def billing_months(self) -> NDArray[np.int64]:
        """(T) number of the billing month of each step, from 0 without gaps."""
        if self.grid.billing is not None:
            return np.unique(self.grid.billing, return_inverse=True)[1].astype(np.int64)
        day = np.arange(self.steps) * self.step_s / 86_400.0
        year, day = np.divmod(day, 365.0)
        month = np.searchsorted(np.cumsum(MONTH_DAYS), day, side="right")
        return (12 * year + month).astype(np.int64)


@lru_cache(maxsize=256)
def firm_units(units: int, forced_outage_rate: float, probability: float) -> int:
    """Return the most units m with P(at least m of n run) >= probability, where each is out with the given rate.

    Binomial (independent outages). 10 units out 5 % of the time: P(>= 8) = 0.9885, P(>= 7) = 0.9990, so 7 at 99 %.
    """
    if forced_outage_rate <= 0:
        return units
    if forced_outage_rate >= 1:
        return 0
    at_least = 0.0
    for m in range(units, 0, -1):
        ways = math.lgamma(units + 1) - math.lgamma(m + 1) - math.lgamma(units - m + 1)
        at_least += math.exp(ways + m * math.log1p(-forced_outage_rate) + (units - m) * math.log(forced_outage_rate))
        if at_least >= probability:
            return m
    return 0


def highest_hours(values: Floats | Sequence[float], steps: int) -> NDArray[np.bool_]:
    """Return where the `steps` highest values stand (price, load or stress of the grid); ties go to the earliest."""
    array = np.asarray(values, dtype=np.float64)
    called = np.zeros(len(array), dtype=np.bool_)
    called[np.argsort(-array, kind="stable")[: max(steps, 0)]] = True
    return called
