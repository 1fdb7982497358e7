"""Generators and batteries that can be bought, from data/generation.csv.

Heat rates there are on the lower heating value, as makers state them; gas is billed and its carbon counted on the higher
one, so that a packaged group burns `hhv_per_lhv` times as much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from gigawatt.catalog import sourced_table
from gigawatt.evidence import Sourced
from gigawatt.power._heat import ISO_KELVIN, warm_air_derate
from gigawatt.power._site import Battery, GeneratorGroup, Series

GENERATORS = ("reciprocating", "mobile", "smt130", "lm2500xpress", "titan350")
ENGINES = ("reciprocating", "mobile")
MEGAPACKS = ("megapack2xl.2h", "megapack2xl.4h")


@cache
def generation_facts() -> Mapping[str, Sourced]:
    """Return the packaged numbers by key (data/generation.csv)."""
    return MappingProxyType(sourced_table("gigawatt.power", "data/generation.csv"))


def generator_group(
    kind: str,
    units: int,
    *,
    name: str = "",
    fuel_usd_per_j: float | None = None,
    ambient_k: Series = ISO_KELVIN,
    spare_units: int = 0,
    committed: bool = False,
) -> GeneratorGroup:
    """Return `units` of a packaged kind (`GENERATORS`), derated in air at `ambient_k` (number or (T)).

    `committed`: for unit commitment, which pays the fuel at no load apart; otherwise every J burns the full-load heat
    rate. Fuel costs the packaged price unless given. Raises ValueError for an unknown kind.
    """
    if kind not in GENERATORS:
        raise ValueError(f"unknown kind of generator {kind!r}; choose one of {', '.join(GENERATORS)}")
    facts = {key: fact.best for key, fact in generation_facts().items()}
    hhv = facts["hhv_per_lhv"]
    family, rated = "turbine", ISO_KELVIN
    if kind in ENGINES:
        family, rated = "engine", facts["engine.rated_celsius"] + 273.15
    rate = facts[f"{kind}.heat_rate_further" if committed else f"{kind}.heat_rate_full"]
    return GeneratorGroup(
        name=name or kind,
        units=units,
        unit_w=facts[f"{kind}.unit"],
        heat_rate=rate * hhv,
        fuel_usd_per_j=facts["gas.price"] if fuel_usd_per_j is None else fuel_usd_per_j,
        variable_usd_per_j=facts[f"{kind}.variable"],
        carbon_kg_per_fuel_j=facts["gas.carbon"],
        minimum_load=facts[f"{kind}.minimum_load"],
        ramp_per_s=facts[f"{kind}.ramp"] / 60.0,
        start_usd=facts[f"{kind}.start"],
        no_load_fuel_w=facts[f"{kind}.no_load_share"] * facts[f"{kind}.heat_rate_full"] * hhv * facts[f"{kind}.unit"]
        if committed
        else 0.0,
        spare_units=spare_units,
        forced_outage_rate=facts[f"{kind}.outage"],
        derate=warm_air_derate(ambient_k, facts[f"{family}.output_per_kelvin"], rated),
    )


def battery_units(kind: str, units: int, *, cyclic: bool = True) -> Battery:
    """Return a battery of packaged units (`MEGAPACKS`); its round-trip loss is split evenly between the two ways."""
    if kind not in MEGAPACKS:
        raise ValueError(f"unknown kind of battery {kind!r}; choose one of {', '.join(MEGAPACKS)}")
    facts = {key: fact.best for key, fact in generation_facts().items()}
    each_way = math.sqrt(facts[f"{kind}.round_trip"])
    return Battery(
        charge_w=units * facts[f"{kind}.power"],
        discharge_w=units * facts[f"{kind}.power"],
        energy_j=units * facts[f"{kind}.energy"],
        charge_efficiency=each_way,
        discharge_efficiency=each_way,
        throughput_usd_per_j=facts["megapack2xl.throughput"],
        cyclic=cyclic,
    )
