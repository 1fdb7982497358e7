"""Failures, checkpoints, recovery and goodput of a job: closed forms, and an event simulation of the whole fleet.

    failure processes + recovery policy + checkpoint tiers -> ReliabilityJob -> goodput (closed form | simulation)

docs/reliability.md says in plain words what is modelled; docs/science.md 8 holds the formulas.
"""

from gigawatt.reliability._assess import ReliabilityResult, assess
from gigawatt.reliability._assumptions import (
    HARDWARE_RATE,
    at_hardware_rate,
    default_assumptions,
    operations_of,
    processes_of,
    recovery_of,
    recovery_policy,
    tiers_of,
)
from gigawatt.reliability._closed import CATEGORIES, closed_shares, goodput_columns
from gigawatt.reliability._data_movement import DataMovement, Device, data_movement_limit, tensor_exchange_bytes
from gigawatt.reliability._exchange import Exchange, bytes_per_s_for, exchange
from gigawatt.reliability._fleet_sizes import FleetSizes, TrainingRun
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
from gigawatt.reliability._goodput import GoodputResult, goodput
from gigawatt.reliability._job import Operations, PlannedStop, ReliabilityJob, default_operations, operation_values
from gigawatt.reliability._largest_fleet import LIMITS, FleetLimits, largest_useful_fleet
from gigawatt.reliability._layout import Layout, layout_values
from gigawatt.reliability._links import fibre_s, flat_ring_s, regional_sync_s, ring_bytes, ring_sync_s
from gigawatt.reliability._network_size import NetworkSize, network_size, optics_failure_rate
from gigawatt.reliability._outer_steps import (
    ExchangePolicy,
    decoupled_diloco,
    diloco,
    eager_diloco,
    extra_tokens,
    inner_steps_for,
    site_facts,
    streaming_diloco,
    synchronous,
    token_penalty,
    traffic_bits_per_s,
    traffic_ratio,
)
from gigawatt.reliability._policies import (
    POLICY_WORDS,
    RECOVERY_POLICIES,
    STATES,
    RecoveryPolicy,
    policy_times,
)
from gigawatt.reliability._processes import (
    COMPONENTS,
    DOMAINS,
    GENERATIONS,
    FailureProcess,
    fleet_processes,
)
from gigawatt.reliability._scale import (
    batch_overhead,
    best_batch_tokens,
    ceiling_tokens_per_s,
    latency_wall_flop,
    scale_facts,
    straggler_factor,
    wall_accelerators,
)
from gigawatt.reliability._simulate import SimulationResult, simulate
from gigawatt.reliability._sites import Site, SitesResult, SiteView, train_across
from gigawatt.reliability._spares import mean_beyond, out_above, spares_for
from gigawatt.reliability._start import start_up_facts, start_up_s
from gigawatt.reliability._terms import Terms, terms
from gigawatt.reliability._tiers import TIERS, CheckpointTiers, default_tiers, state_bytes, tier_values

__all__ = [
    "CATEGORIES",
    "COMPONENTS",
    "DOMAINS",
    "GENERATIONS",
    "HARDWARE_RATE",
    "LIMITS",
    "POLICY_WORDS",
    "RECOVERY_POLICIES",
    "STATES",
    "TIERS",
    "CheckpointTiers",
    "DataMovement",
    "Device",
    "Exchange",
    "ExchangePolicy",
    "FailureProcess",
    "FleetLimits",
    "FleetSizes",
    "GoodputResult",
    "Layout",
    "NetworkSize",
    "Operations",
    "PlannedStop",
    "RecoveryPolicy",
    "ReliabilityJob",
    "ReliabilityResult",
    "SimulationResult",
    "Site",
    "SiteView",
    "SitesResult",
    "Terms",
    "TrainingRun",
    "assess",
    "at_hardware_rate",
    "availability_interval",
    "batch_overhead",
    "best_batch_tokens",
    "bytes_per_s_for",
    "ceiling_tokens_per_s",
    "closed_shares",
    "daly_interval",
    "data_movement_limit",
    "decoupled_diloco",
    "default_assumptions",
    "default_operations",
    "default_tiers",
    "diloco",
    "eager_diloco",
    "exact_efficiency",
    "exact_interval",
    "exchange",
    "extra_tokens",
    "fibre_s",
    "first_order_waste",
    "flat_ring_s",
    "fleet_processes",
    "goodput",
    "goodput_columns",
    "inner_steps_for",
    "largest_useful_fleet",
    "latency_wall_flop",
    "layout_values",
    "mean_beyond",
    "mean_time_between_failures",
    "network_size",
    "operation_values",
    "operations_of",
    "optics_failure_rate",
    "out_above",
    "poisson_quantile",
    "policy_times",
    "processes_of",
    "recovery_of",
    "recovery_policy",
    "regional_sync_s",
    "ring_bytes",
    "ring_sync_s",
    "scale_facts",
    "simulate",
    "site_facts",
    "spares_for",
    "start_up_facts",
    "start_up_s",
    "state_bytes",
    "straggler_factor",
    "streaming_diloco",
    "synchronous",
    "tensor_exchange_bytes",
    "terms",
    "tier_values",
    "tiers_of",
    "token_penalty",
    "traffic_bits_per_s",
    "traffic_ratio",
    "train_across",
    "wall_accelerators",
    "young_interval",
]
