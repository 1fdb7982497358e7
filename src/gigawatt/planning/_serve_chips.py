"""What an accelerator that serves costs and draws: the fleet's own price, power and building, by kind of chip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gigawatt import finance, power
from gigawatt.catalog import Accelerator
from gigawatt.errors import InputError, Problem
from gigawatt.hardware import Chip, Fabric, fabric_of
from gigawatt.planning._couple import priced, priced_fleet
from gigawatt.planning._inputs import Inputs, resolve
from gigawatt.scenario import FleetSection, Scenario

Array = NDArray[np.float64]
HOUR_S, DAY_S, MONTH_S = 3600.0, 86_400.0, 2_629_800.0
# The size of fleet whose network is priced; the share of the network in an accelerator-hour hardly depends on it.
PRICED_FLEET = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingChip:
    """One kind of accelerator at one site, as plain numbers.

    `fixed_usd_per_s` is what an accelerator costs whether it works or not (capital with everything around it, upkeep,
    staff); energy comes on top at `usd_per_joule` of the site. `around_w` is what stands around a chip (host, network,
    other IT), `pue` the site over its IT.
    """

    name: str
    inputs: Inputs
    accelerator: Accelerator
    chip: Chip
    power: power.ChipPower
    fixed_usd_per_s: float
    usd_per_joule: float
    around_w: float
    other_share: float
    pue: float
    capital_usd: float

    def fabric(self, accelerators: int) -> Fabric:
        """Return the network that joins the accelerators of replicas of at most so many."""
        return fabric_of(self.accelerator, max(accelerators, 2))

    def site_watts(self, sequences: Array | float) -> Array:
        """Return what the site draws for one accelerator of a replica with so many sequences in flight, W."""
        each = power.serving_power(self.power, sequences) + self.around_w
        return np.asarray(each * (1.0 + self.other_share) * self.pue)

    def usd_per_s(self, site_w: Array | float) -> Array:
        """Return what an accelerator costs for each second at a power of the site, USD/s."""
        return np.asarray(self.fixed_usd_per_s + np.asarray(site_w) * self.usd_per_joule)


def serving_chip(scenario: Scenario, name: str, path: str = "serving.accelerators") -> ServingChip:
    """Return the cost and power of a kind of accelerator at the site of a scenario.

    Raises InputError where the catalogue does not know the chip, its price or its power limit.
    """
    fleet = FleetSection.model_construct(accelerator=name, count=PRICED_FLEET, accelerators=None)
    places = {**scenario.places, "fleet.accelerator": scenario.place(path)}
    site = scenario.site.model_copy(update={"grid_limit": None})
    money = scenario.finance.model_copy(update={"budget": None})
    power_section = scenario.power.model_copy(update={"power_cap": None})
    alone = replace(scenario, fleet=fleet, site=site, finance=money, power=power_section, places=places)
    inputs = resolve(alone, whole_plan=True)
    chip_name = inputs.groups[0].accelerator.name
    if not priced(inputs):
        raise InputError(
            Problem(
                message=f"the price or the power limit of {chip_name} is not known",
                location=scenario.place(path),
                path=path,
                allowed=f"an overlay of the catalogue that gives price and tdp of {chip_name} (catalog: in the scenario)",
            )
        )
    groups, limits = priced_fleet(inputs)
    count = sum(group.powered for group in groups)
    limit_w = inputs.value(f"accelerator.{chip_name}.tdp_w")
    hour = finance.assess(
        purchases=[
            finance.Purchase(name=chip_name, count=count, price_usd=inputs.value(f"accelerator.{chip_name}.price_usd"))
        ],
        switches_per_accelerator=limits.switches,
        it_peak_w=limits.it_peak_w * count,
        energy_j=0.0,
        energy_usd_per_joule=0.0,
        run_s=HOUR_S,
        accelerators_used=count,
        goodput=1.0,
        tokens=1.0,
        values=inputs.values(finance.ASSUMPTIONS),
        staff_usd_per_s=scenario.finance.staff_cost,
    )
    values = {key.partition(".")[2]: inputs.value(key) for key in power.ASSUMPTIONS}
    around = limits.it_peak_w / (1.0 + values["other_it_fraction"]) - values["compute_fraction"] * limit_w
    return ServingChip(
        name=chip_name,
        inputs=inputs,
        accelerator=inputs.groups[0].accelerator,
        chip=inputs.chip,
        power=power.chip_power(chip_name, limit_w),
        fixed_usd_per_s=hour.run_cost.value / count / HOUR_S,
        usd_per_joule=inputs.value("site.electricity_price"),
        around_w=around,
        other_share=values["other_it_fraction"],
        pue=inputs.value("site.pue"),
        capital_usd=limits.capital_usd,
    )


def chip_names(scenario: Scenario, names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the accelerators that are compared: those of the serving section, else the fleet's, else H100 SXM."""
    if names:
        return tuple(names)
    fleet = scenario.fleet
    if fleet.accelerators is not None:
        return tuple(str(item.accelerator) for item in fleet.accelerators)
    return (str(fleet.accelerator or "H100 SXM"),)
