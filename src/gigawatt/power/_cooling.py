"""Cooling: PUE, water and how much heat can be rejected, hour by hour, for a kind of plant in a climate.

    cooling_plant("evaporative") ─ cool_year(plant, it_w, ambient_k, humidity) ──▶ PUE (T), water (T), annual PUE weighted by energy

A plant is one or more loops. Each loop rejects its share of the heat to its sink, the air or (wet) the wet bulb: freely while what
leaves the free cooler is below the supply of coolant, by a chiller for the rest,

    m = clip((sink + approach - supply)/rise, 0, 1)     share of the heat that the chiller takes
    COP = min(c * T_evap/(T_cond - T_evap), most), T_cond - T_evap = sink + approach + lift - supply
    PUE = 1 + sum over loops of share*(fans_pumps + m/COP) + distribution + other

(docs/science.md 12.8; LBNL PUE Estimator, 2016). What a plant can reject falls in a straight line with its sink, from 1 + margin at
the design sink to nothing at the hottest. Kelvin, W, J, kg (a litre of water is a kilogram). Positive power is consumption.
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
from gigawatt.evidence import Sourced
from gigawatt.power._wet_bulb import wet_bulb

Numbers: TypeAlias = float | NDArray[np.float64]
Array: TypeAlias = NDArray[np.float64]
COOLING_KINDS = ("dry", "evaporative", "chiller", "direct_liquid")
_WET, _NO_ECONOMISER = ("evaporative",), ("chiller",)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoolingLoop:
    """A circuit of coolant: share of the heat, temperatures in K, fans and pumps as a share of the heat, `wet` where it
    rejects to the wet bulb, `economiser` where it can do without the chiller.
    """

    share: float
    supply_k: float
    rise_k: float
    approach_k: float
    fans_pumps: float
    hottest_k: float
    design_k: float
    wet: bool = False
    economiser: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CoolingPlant:
    """Loops whose shares sum to 1, and what all of them share. Raises ValueError where the shares do not."""

    name: str
    loops: tuple[CoolingLoop, ...]
    distribution: float
    other: float
    carnot_share: float
    lift_k: float
    most_cop: float
    margin: float
    latent_j_per_kg: float
    evaporated_share: float
    cycles: float

    def __post_init__(self) -> None:
        total = sum(loop.share for loop in self.loops)
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"the loops of {self.name} must take all of the heat, not {total:g} of it")


@dataclass(frozen=True, slots=True, kw_only=True)
class CoolingYear:
    """What cooling took over T steps. `pue` (T), `water_kg_per_it_j` (T), `capacity` (T) as a share of the IT heat, `annual_pue`
    weighted by energy, `water_kg` in all, `limited_s` the time with less capacity than heat.
    """

    pue: Array
    water_kg_per_it_j: Array
    capacity: Array
    annual_pue: float
    it_j: float
    water_kg: float
    limited_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return the totals as plain data for JSON."""
        return {
            "annual_pue": self.annual_pue,
            "highest_pue": float(self.pue.max()),
            "it_j": self.it_j,
            "water_kg": self.water_kg,
            "water_kg_per_it_j": self.water_kg / self.it_j,
            "least_capacity": float(self.capacity.min()),
            "limited_s": self.limited_s,
        }


@cache
def cooling_facts() -> Mapping[str, Sourced]:
    """Return the numbers of data/cooling.csv by key ("dry.air.supply_k", "carnot_share")."""
    return MappingProxyType(sourced_table("gigawatt.power", "data/cooling.csv"))


def cooling_plant(kind: str, **changes: float) -> CoolingPlant:
    """Return a plant of `COOLING_KINDS` from data/cooling.csv, with `changes` to its distribution, margin and so on.

    dry: outside air or dry coolers, chiller in warm hours. evaporative: cooling towers, chiller in humid ones. chiller:
    all year. direct_liquid: warm water to the chips on dry coolers, the rest as dry. Raises ValueError for other kinds.
    """
    if kind not in COOLING_KINDS:
        raise ValueError(f"unknown kind of cooling {kind!r}; allowed: {', '.join(COOLING_KINDS)}")
    facts = cooling_facts()
    names = sorted({key.split(".")[1] for key in facts if key.startswith(f"{kind}.") and key.count(".") == 2})
    loops = []
    for name in names:
        fields = {
            field: facts[f"{kind}.{name}.{field}"].best
            for field in ("share", "supply_k", "rise_k", "approach_k", "fans_pumps", "hottest_k", "design_k")
        }
        loops.append(CoolingLoop(**fields, wet=kind in _WET, economiser=kind not in _NO_ECONOMISER))
    shared = {
        name: facts[name].best
        for name in ("carnot_share", "lift_k", "most_cop", "margin", "latent_j_per_kg", "evaporated_share", "cycles")
    }
    own = {name: facts[f"{kind}.{name}"].best for name in ("distribution", "other")}
    return CoolingPlant(name=kind, loops=tuple(loops), **(shared | own | changes))


def chiller_share(loop: CoolingLoop, sink_k: Numbers) -> Array:
    """Return clip((sink + approach - supply)/rise, 0, 1), the share of the heat of a loop that its chiller takes."""
    if not loop.economiser:
        return np.ones_like(np.asarray(sink_k, dtype=np.float64))
    return np.clip((np.asarray(sink_k, dtype=np.float64) + loop.approach_k - loop.supply_k) / loop.rise_k, 0.0, 1.0)


def chiller_cop(plant: CoolingPlant, loop: CoolingLoop, sink_k: Numbers) -> Array:
    """Return min(c*T_evap/(T_cond - T_evap), most). Supply 283 K, sink 303 K, approach 8 K, lift 10 K, c 0.55: 4.1."""
    lift = np.asarray(sink_k, dtype=np.float64) + loop.approach_k + plant.lift_k - loop.supply_k
    with np.errstate(divide="ignore"):
        cop = plant.carnot_share * loop.supply_k / np.maximum(lift, 0.0)
    return np.asarray(np.minimum(cop, plant.most_cop))


def pue(plant: CoolingPlant, ambient_k: Numbers, relative_humidity: Numbers) -> Array:
    """Return the PUE at air of `ambient_k` and humidity (0 to 1): facility over IT power, at full load of the plant.

    Dry plant at 2 C: 1.08; chiller plant at 30 C: 1.49.
    """
    extra = np.zeros(np.broadcast(ambient_k, relative_humidity).shape)
    for loop in plant.loops:
        sink = _sink(loop, ambient_k, relative_humidity)
        extra = extra + loop.share * (loop.fans_pumps + chiller_share(loop, sink) / chiller_cop(plant, loop, sink))
    return np.asarray(1.0 + extra + plant.distribution + plant.other)


def water_per_it_j(plant: CoolingPlant, ambient_k: Numbers, relative_humidity: Numbers) -> Array:
    """Return the make-up water, kg per J of IT (1 kg/J = 3.6e6 l/kWh): heat * evaporated/latent * cycles/(cycles - 1).

    The heat is that of IT and of the chiller. 0 for dry plants; a tower without chiller: 1.65 l/kWh.
    """
    per_heat = plant.evaporated_share / plant.latent_j_per_kg * plant.cycles / (plant.cycles - 1.0)
    total = np.zeros(np.broadcast(ambient_k, relative_humidity).shape)
    for loop in plant.loops:
        if loop.wet:
            sink = _sink(loop, ambient_k, relative_humidity)
            total = total + loop.share * per_heat * (1.0 + chiller_share(loop, sink) / chiller_cop(plant, loop, sink))
    return np.asarray(total)


def heat_capacity(plant: CoolingPlant, ambient_k: Numbers, relative_humidity: Numbers) -> Array:
    """Return the share of the design IT heat that can be rejected, 0 to 1: that of the loop that runs short first.

    (1 + margin)*(hottest - sink)/(hottest - design), held between 0 and 1.
    """
    least = np.ones(np.broadcast(ambient_k, relative_humidity).shape)
    for loop in plant.loops:
        sink = _sink(loop, ambient_k, relative_humidity)
        can = (1.0 + plant.margin) * (loop.hottest_k - sink) / (loop.hottest_k - loop.design_k)
        least = np.minimum(least, np.clip(can, 0.0, 1.0))
    return np.asarray(least)


def cool_year(
    plant: CoolingPlant, it_w: Numbers, ambient_k: Array, relative_humidity: Array, step_s: float = 3_600.0
) -> CoolingYear:
    """Return what cooling takes over the steps of a climate (T), with IT power (T) or constant.

    The annual PUE is the sum of facility energy over that of IT, not the PUE of the mean temperature. Raises ValueError for
    negative IT power or none at all.
    """
    it = np.broadcast_to(np.asarray(it_w, dtype=np.float64), np.shape(ambient_k))
    if np.any(it < 0) or not it.sum() > 0:
        raise ValueError("cooling needs IT power that is not negative, and some of it")
    each, water = pue(plant, ambient_k, relative_humidity), water_per_it_j(plant, ambient_k, relative_humidity)
    capacity = heat_capacity(plant, ambient_k, relative_humidity)
    short = capacity < it / it.max()
    return CoolingYear(
        pue=each,
        water_kg_per_it_j=water,
        capacity=capacity,
        annual_pue=float((it * each).sum() / it.sum()),
        it_j=float(it.sum() * step_s),
        water_kg=float((it * water).sum() * step_s),
        limited_s=float(np.count_nonzero(short) * step_s),
    )


def _sink(loop: CoolingLoop, ambient_k: Numbers, relative_humidity: Numbers) -> Array:
    return np.asarray(wet_bulb(ambient_k, relative_humidity) if loop.wet else ambient_k, dtype=np.float64)
