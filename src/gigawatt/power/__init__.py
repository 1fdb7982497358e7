"""Power: accelerator, server, network and cooling by phase; what a grid limit feeds; the swing of a step."""

from gigawatt.power._assess import ASSUMPTIONS, Load, PowerResult, assess, server_overhead_w
from gigawatt.power._compliance import ClauseResult, ComplianceResult, SiteAbilities, check
from gigawatt.power._formulas import accelerators_fed, phase_power, ramp_energy, smoothing_energy, swing_fundamental
from gigawatt.power._loads import FlatLoad, JobLoad
from gigawatt.power._machine import ConversionLoss, JobList, machine_power, schedule
from gigawatt.power._mitigation import Measure, Mitigated, SiteLoad, mitigated, staggered_energy
from gigawatt.power._mix import Mix, best_mix, default_options, event_set
from gigawatt.power._profile import StepProfile, merged
from gigawatt.power._requirements import (
    REQUIREMENT_FIELDS,
    BandLimit,
    Curtailment,
    Limit,
    PowerFactor,
    RampLimit,
    RangeLimit,
    RequirementField,
    Requirements,
    RideThrough,
    packaged_requirements,
    requirements_from,
)
from gigawatt.power._resample import RampCurve, Resampled, ramp_duration_curve, resample
from gigawatt.power._smoothing import Controller, Smoothed, Store, smooth
from gigawatt.power._spectrum import Spectrum, sensor, spectrum, worst_band
from gigawatt.power._storage import Economics, LoadEvent, Sizing, Technology, size_battery
from gigawatt.power._waveform import Block, joined, waveform
from gigawatt.power._weak_grid import rate_of_change_of_frequency, voltage_step
from gigawatt.power._wear import Cycles, Life, lithium_life, mitigation_facts, rainflow

__all__ = [
    "ASSUMPTIONS",
    "REQUIREMENT_FIELDS",
    "BandLimit",
    "Block",
    "ClauseResult",
    "ComplianceResult",
    "Controller",
    "ConversionLoss",
    "Curtailment",
    "Cycles",
    "Economics",
    "FlatLoad",
    "JobList",
    "JobLoad",
    "Life",
    "Limit",
    "Load",
    "LoadEvent",
    "Measure",
    "Mitigated",
    "Mix",
    "PowerFactor",
    "PowerResult",
    "RampCurve",
    "RampLimit",
    "RangeLimit",
    "RequirementField",
    "Requirements",
    "Resampled",
    "RideThrough",
    "SiteAbilities",
    "SiteLoad",
    "Sizing",
    "Smoothed",
    "Spectrum",
    "StepProfile",
    "Store",
    "Technology",
    "accelerators_fed",
    "assess",
    "best_mix",
    "check",
    "default_options",
    "event_set",
    "joined",
    "lithium_life",
    "machine_power",
    "merged",
    "mitigated",
    "mitigation_facts",
    "packaged_requirements",
    "phase_power",
    "rainflow",
    "ramp_duration_curve",
    "ramp_energy",
    "rate_of_change_of_frequency",
    "requirements_from",
    "resample",
    "schedule",
    "sensor",
    "server_overhead_w",
    "size_battery",
    "smooth",
    "smoothing_energy",
    "spectrum",
    "staggered_energy",
    "swing_fundamental",
    "voltage_step",
    "waveform",
    "worst_band",
]
