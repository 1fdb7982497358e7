"""Power: accelerator, server, network and cooling by phase; what a grid limit feeds; the swing of a step."""

from gigawatt.power._assess import ASSUMPTIONS, Load, PowerResult, assess, server_overhead_w
from gigawatt.power._formulas import accelerators_fed, phase_power, ramp_energy, smoothing_energy, swing_fundamental
from gigawatt.power._profile import StepProfile, merged
from gigawatt.power._resample import RampCurve, Resampled, ramp_duration_curve, resample
from gigawatt.power._smoothing import Controller, Smoothed, Store, smooth
from gigawatt.power._spectrum import Spectrum, sensor, spectrum
from gigawatt.power._waveform import Block, FlatLoad, JobLoad, joined, waveform

__all__ = [
    "ASSUMPTIONS",
    "Block",
    "Controller",
    "FlatLoad",
    "JobLoad",
    "Load",
    "PowerResult",
    "RampCurve",
    "Resampled",
    "Smoothed",
    "Spectrum",
    "StepProfile",
    "Store",
    "accelerators_fed",
    "assess",
    "joined",
    "merged",
    "phase_power",
    "ramp_duration_curve",
    "ramp_energy",
    "resample",
    "sensor",
    "server_overhead_w",
    "smooth",
    "smoothing_energy",
    "spectrum",
    "swing_fundamental",
    "waveform",
]
