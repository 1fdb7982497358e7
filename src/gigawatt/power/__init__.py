"""Power: accelerator, server, network and cooling by phase; what a grid limit feeds; the swing of a step; the year of a
site: dispatch, sizing, unit commitment and rules.
"""

from gigawatt.power._assess import ASSUMPTIONS, Load, PowerResult, assess, server_overhead_w
from gigawatt.power._commitment import CommitmentResult, commit, largest_unit_w
from gigawatt.power._dispatch import DispatchModel, DispatchResult, Limit, demand_usd, dispatch
from gigawatt.power._formulas import accelerators_fed, phase_power, ramp_energy, smoothing_energy, swing_fundamental
from gigawatt.power._generation import GENERATORS, MEGAPACKS, battery_units, generation_facts, generator_group
from gigawatt.power._heat import load_points, warm_air_derate, warm_air_heat_rate
from gigawatt.power._rules import OperatingRule, RuleResult, rule_dispatch, rule_year
from gigawatt.power._site import (
    Battery,
    Curtailment,
    FlexibleLoad,
    GeneratorGroup,
    GridConnection,
    Renewable,
    SiteYear,
    firm_units,
    highest_hours,
)
from gigawatt.power._sizing import Candidate, SizingResult, size

__all__ = [
    "ASSUMPTIONS",
    "GENERATORS",
    "MEGAPACKS",
    "Battery",
    "Candidate",
    "CommitmentResult",
    "Curtailment",
    "DispatchModel",
    "DispatchResult",
    "FlexibleLoad",
    "GeneratorGroup",
    "GridConnection",
    "Limit",
    "Load",
    "OperatingRule",
    "PowerResult",
    "Renewable",
    "RuleResult",
    "SiteYear",
    "SizingResult",
    "accelerators_fed",
    "assess",
    "battery_units",
    "commit",
    "demand_usd",
    "dispatch",
    "firm_units",
    "generation_facts",
    "generator_group",
    "highest_hours",
    "largest_unit_w",
    "load_points",
    "phase_power",
    "ramp_energy",
    "rule_dispatch",
    "rule_year",
    "server_overhead_w",
    "size",
    "smoothing_energy",
    "swing_fundamental",
    "warm_air_derate",
    "warm_air_heat_rate",
]
