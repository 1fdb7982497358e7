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
from gigawatt.power._formulas import accelerators_fed, phase_power, ramp_energy, smoothing_energy, swing_fundamental
from gigawatt.power._read_series import parse_series, read_series
from gigawatt.power._series import Series, align, packaged_names, packaged_series
from gigawatt.power._server_power import ServerPower, server_power, servers_with_power
from gigawatt.power._serving_power import sequences_in_flight, serving_power, serving_power_facts

__all__ = [
    "ASSUMPTIONS",
    "PHASES",
    "ChipPower",
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
    "chip_power",
    "chips_with_power",
    "clock_at_share",
    "packaged_names",
    "packaged_series",
    "parse_series",
    "phase_power",
    "power_at_cap",
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
]
