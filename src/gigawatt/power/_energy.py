"""Energy, carbon, water and money of a load over time, and of one token, one accelerator-hour or one run.

    energy_account(facility_w (T), carbon (T), price (T)) ──▶ EnergyAccount ──▶ .per(tokens), .per(accelerator_s)

Location-based carbon is the sum over steps of energy times the intensity of the grid at that hour; market-based carbon, where
contracts are given, stands beside it and never in it; embodied carbon of chips, building and battery stays apart (docs/science.md 12.14;
Gupta et al., ACT, ISCA 2022). J, kg of CO2e, kg of water, USD. Positive power is consumption.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gigawatt.catalog import sourced_table
from gigawatt.evidence import Breakdown, Sourced

Numbers: TypeAlias = float | NDArray[np.float64]
GENERIC = "generic"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyAccount:
    """What a load took: energy J, location-based and (where contracts are given) market-based carbon kg, embodied carbon kg,
    water kg, energy money USD. `unit` says of what: "run", or of one unit after `per`.
    """

    energy_j: float
    location_kg: float
    market_kg: float | None
    embodied_kg: float
    water_kg: float
    energy_usd: float
    unit: str = "run"

    def per(self, amount: float, unit: str) -> EnergyAccount:
        """Return the account of one `unit` where the whole was `amount` of them. Raises ValueError unless it is above 0."""
        if not amount > 0:
            raise ValueError(f"an account is divided by a number above 0, not by {amount} {unit}")
        return EnergyAccount(
            energy_j=self.energy_j / amount,
            location_kg=self.location_kg / amount,
            market_kg=None if self.market_kg is None else self.market_kg / amount,
            embodied_kg=self.embodied_kg / amount,
            water_kg=self.water_kg / amount,
            energy_usd=self.energy_usd / amount,
            unit=unit,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "unit": self.unit,
            "energy_j": self.energy_j,
            "location_kg": self.location_kg,
            "market_kg": self.market_kg,
            "embodied_kg": self.embodied_kg,
            "water_kg": self.water_kg,
            "energy_usd": self.energy_usd,
        }


def energy_account(
    facility_w: Numbers,
    *,
    duration_s: float | None = None,
    step_s: float = 3_600.0,
    carbon_kg_per_j: Numbers = 0.0,
    market_kg_per_j: Numbers | None = None,
    price_usd_per_j: Numbers = 0.0,
    water_kg_per_j: Numbers = 0.0,
    embodied_kg: float = 0.0,
) -> EnergyAccount:
    """Return the account of a load: power (T) in steps of `step_s`, or one number over `duration_s`.

    Intensities, prices and water are numbers or (T), per J of `facility_w`. 150 MW for an hour at 0.4 kg/kWh and 50 USD/MWh:
    540 GJ, 60 t, 7,500 USD. Raises ValueError for negative power, arrays of other lengths, a constant without duration.
    """
    watts = np.atleast_1d(np.asarray(facility_w, dtype=np.float64))
    if np.ndim(facility_w) == 0:
        if duration_s is None or not duration_s > 0:
            raise ValueError("a constant power needs a duration_s above 0")
        step_s = duration_s
    elif duration_s is not None:
        raise ValueError("a power by step has its duration from step_s; duration_s is for a constant power")
    if np.any(~(watts >= 0)):
        raise ValueError("the power of a load cannot be below 0")
    joules = watts * step_s

    def weighed(per_j: Numbers, what: str) -> float:
        if np.ndim(per_j) and np.shape(per_j) != watts.shape:
            raise ValueError(f"{what} has {np.shape(per_j)} values for {watts.shape} steps of power")
        return float((joules * per_j).sum())

    return EnergyAccount(
        energy_j=float(joules.sum()),
        location_kg=weighed(carbon_kg_per_j, "carbon"),
        market_kg=None if market_kg_per_j is None else weighed(market_kg_per_j, "market carbon"),
        embodied_kg=embodied_kg,
        water_kg=weighed(water_kg_per_j, "water"),
        energy_usd=weighed(price_usd_per_j, "price"),
    )


@cache
def carbon_facts() -> Mapping[str, Sourced]:
    """Return the numbers of data/carbon.csv by key ("embodied.chip.H100", "grid.us_2023")."""
    return MappingProxyType(sourced_table("gigawatt.power", "data/carbon.csv"))


def embodied_carbon(
    accelerators: float,
    duration_s: float,
    *,
    chip: str = GENERIC,
    it_w: float = 0.0,
    battery_j: float = 0.0,
    end: str = "best",
) -> Breakdown:
    """Return the embodied carbon that `duration_s` of use writes off, kg, by part: chips, servers, building, battery.

    In equal parts over the life of each. `chip` as in the table ("H100", else generic), `it_w` the IT power that the building
    is made for. 8 H100 for a year: 502 kg. Raises ValueError for another `end` and negative amounts.
    """
    if end not in ("low", "best", "high"):
        raise ValueError(f"end must be low, best or high, not {end!r}")
    if min(accelerators, duration_s, it_w, battery_j) < 0:
        raise ValueError("embodied carbon is of amounts that are not negative")
    facts = carbon_facts()
    life_end = {"low": "high", "high": "low"}.get(end, "best")

    def fact(key: str) -> float:
        return float(getattr(facts[key], end))

    def used(life: str) -> float:
        return duration_s / float(getattr(facts[life], life_end))

    key = f"embodied.chip.{chip}"
    each = fact(key if key in facts else f"embodied.chip.{GENERIC}")
    return Breakdown.of(
        "embodied carbon",
        "kg",
        {
            "accelerators": accelerators * each * used("life.chip_s"),
            "servers": accelerators * fact("embodied.server_per_chip") * used("life.chip_s"),
            "building": it_w * fact("embodied.building_kg_per_w") * used("life.building_s"),
            "battery": battery_j * fact("embodied.battery_kg_per_j") * used("life.battery_s"),
        },
    )


def chip_carbon(
    area_m2: float,
    *,
    fab_energy_j_per_m2: float,
    fab_gas_kg_per_m2: float,
    material_kg_per_m2: float,
    grid_kg_per_j: float,
    yielded: float,
    package_kg: float = 0.15,
) -> float:
    """Return the embodied carbon of a die, kg: area*(energy*grid + gas + material)/yield + package.

    Gupta et al., ACT, ISCA 2022, equations 4 and 5; package 0.15 kg. 8.14 cm2 in N5 at 2.75 kWh/cm2 and 0.43, 0.5 kg/cm2, 0.5
    kg/kWh, yield 0.6: 31.4 kg. Raises ValueError for a yield outside 0 to 1.
    """
    if not 0 < yielded <= 1:
        raise ValueError(f"a yield is above 0 and at most 1, not {yielded}")
    per_m2 = fab_energy_j_per_m2 * grid_kg_per_j + fab_gas_kg_per_m2 + material_kg_per_m2
    return area_m2 * per_m2 / yielded + package_kg
