"""Power: accelerator, server, network and cooling by phase; what a grid limit feeds; the swing of a step."""

from gigawatt.power._assess import ASSUMPTIONS, Load, PowerResult, assess, server_overhead_w
from gigawatt.power._capping import (
    best_cap,
    cap_for_rate,
    capping_facts,
    clock_at_share,
    power_at_cap,
    rate_at_cap,
    rate_at_clock,
    share_at_clock,
)
from gigawatt.power._chip_power import PHASES, ChipPower, chip_power, chips_with_power
from gigawatt.power._cooling import (
    COOLING_KINDS,
    CoolingLoop,
    CoolingPlant,
    CoolingYear,
    chiller_cop,
    chiller_share,
    cool_year,
    cooling_facts,
    cooling_plant,
    heat_capacity,
    pue,
    water_per_it_j,
)
from gigawatt.power._energy import EnergyAccount, carbon_facts, chip_carbon, embodied_carbon, energy_account
from gigawatt.power._formulas import accelerators_fed, phase_power, ramp_energy, smoothing_energy, swing_fundamental
from gigawatt.power._read_series import parse_series, read_series
from gigawatt.power._series import Series, align, packaged_names, packaged_series
from gigawatt.power._server_power import ServerPower, server_power, servers_with_power
from gigawatt.power._serving_power import sequences_in_flight, serving_power, serving_power_facts
from gigawatt.power._wet_bulb import wet_bulb

__all__ = [
    "ASSUMPTIONS",
    "COOLING_KINDS",
    "PHASES",
    "ChipPower",
    "CoolingLoop",
    "CoolingPlant",
    "CoolingYear",
    "EnergyAccount",
    "Load",
    "PowerResult",
    "Series",
    "ServerPower",
    "accelerators_fed",
    "align",
    "assess",
    "best_cap",
    "cap_for_rate",
    "capping_facts",
    "carbon_facts",
    "chiller_cop",
    "chiller_share",
    "chip_carbon",
    "chip_power",
    "chips_with_power",
    "clock_at_share",
    "cool_year",
    "cooling_facts",
    "cooling_plant",
    "embodied_carbon",
    "energy_account",
    "heat_capacity",
    "packaged_names",
    "packaged_series",
    "parse_series",
    "phase_power",
    "power_at_cap",
    "pue",
    "ramp_energy",
    "rate_at_cap",
    "rate_at_clock",
    "read_series",
    "sequences_in_flight",
    "server_overhead_w",
    "server_power",
    "servers_with_power",
    "serving_power",
    "serving_power_facts",
    "share_at_clock",
    "smoothing_energy",
    "swing_fundamental",
    "water_per_it_j",
    "wet_bulb",
]
