"""Power: accelerator, server, network and cooling by phase; what a grid limit feeds; the swing of a step."""

from gigawatt.power._assess import ASSUMPTIONS, Load, PowerResult, assess, server_overhead_w
from gigawatt.power._formulas import accelerators_fed, phase_power, ramp_energy, smoothing_energy, swing_fundamental

__all__ = [
    "ASSUMPTIONS",
    "Load",
    "PowerResult",
    "accelerators_fed",
    "assess",
    "phase_power",
    "ramp_energy",
    "server_overhead_w",
    "smoothing_energy",
    "swing_fundamental",
]
