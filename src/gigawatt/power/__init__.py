"""Power: accelerator, server, network and cooling by phase; what a grid limit feeds; the swing of a step."""

from gigawatt.power._assess import ASSUMPTIONS, Load, PowerResult, assess, server_overhead_w
from gigawatt.power._formulas import accelerators_fed, phase_power, ramp_energy, smoothing_energy, swing_fundamental
from gigawatt.power._profile import StepProfile, merged
from gigawatt.power._resample import RampCurve, Resampled, ramp_duration_curve, resample
from gigawatt.power._waveform import Block, FlatLoad, JobLoad, joined, waveform

__all__ = [
    "ASSUMPTIONS",
    "Block",
    "FlatLoad",
    "JobLoad",
    "Load",
    "PowerResult",
    "RampCurve",
    "Resampled",
    "StepProfile",
    "accelerators_fed",
    "assess",
    "joined",
    "merged",
    "phase_power",
    "ramp_duration_curve",
    "ramp_energy",
    "resample",
    "server_overhead_w",
    "smoothing_energy",
    "swing_fundamental",
    "waveform",
]
