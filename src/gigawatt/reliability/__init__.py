"""Failures, checkpoints, recovery and goodput of a job: closed forms, and an event simulation of the whole fleet.

    failure processes + recovery policy + checkpoint tiers -> ReliabilityJob -> goodput (closed form | simulation)

docs/reliability.md says in plain words what is modelled; docs/science.md 8 holds the formulas.
"""

from gigawatt.reliability._assess import ASSUMPTIONS, POLICIES, ReliabilityResult, assess, spares_needed
from gigawatt.reliability._closed import CATEGORIES, goodput_columns
from gigawatt.reliability._formulas import (
    availability_interval,
    daly_interval,
    exact_efficiency,
    exact_interval,
    first_order_waste,
    mean_time_between_failures,
    poisson_quantile,
    young_interval,
)
from gigawatt.reliability._goodput import GoodputResult, goodput, goodput_closed
from gigawatt.reliability._job import (
    Operations,
    PlannedStop,
    ReliabilityJob,
    Terms,
    default_operations,
    operation_values,
    terms,
)
from gigawatt.reliability._policies import RECOVERY_POLICIES, STATES, RecoveryPolicy, policy_times, recovery_policy
from gigawatt.reliability._processes import (
    COMPONENTS,
    DOMAINS,
    GENERATIONS,
    FailureProcess,
    fleet_processes,
    hardware_of,
)
from gigawatt.reliability._simulate import SimulationResult, simulate
from gigawatt.reliability._spares import mean_beyond, out_above, spares_for
from gigawatt.reliability._tiers import TIERS, CheckpointTiers, default_tiers, state_bytes, tier_values

__all__ = [
    "ASSUMPTIONS",
    "CATEGORIES",
    "COMPONENTS",
    "DOMAINS",
    "GENERATIONS",
    "POLICIES",
    "RECOVERY_POLICIES",
    "STATES",
    "TIERS",
    "CheckpointTiers",
    "FailureProcess",
    "GoodputResult",
    "Operations",
    "PlannedStop",
    "RecoveryPolicy",
    "ReliabilityJob",
    "ReliabilityResult",
    "SimulationResult",
    "Terms",
    "assess",
    "availability_interval",
    "daly_interval",
    "default_operations",
    "default_tiers",
    "exact_efficiency",
    "exact_interval",
    "first_order_waste",
    "fleet_processes",
    "goodput",
    "goodput_closed",
    "goodput_columns",
    "hardware_of",
    "mean_beyond",
    "mean_time_between_failures",
    "operation_values",
    "out_above",
    "poisson_quantile",
    "policy_times",
    "recovery_policy",
    "simulate",
    "spares_for",
    "spares_needed",
    "state_bytes",
    "terms",
    "tier_values",
    "young_interval",
]
