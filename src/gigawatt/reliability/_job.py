"""The question to this room as frozen inputs: a fleet, what fails in it, how it recovers, where it saves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache, partial

from gigawatt.evidence import Sourced
from gigawatt.reliability._layout import usual
from gigawatt.reliability._policies import RecoveryPolicy
from gigawatt.reliability._processes import FailureProcess
from gigawatt.reliability._tables import by_key
from gigawatt.reliability._tiers import CheckpointTiers

# A run that takes this many times its useful work is given up.
GIVEN_UP = 1000.0
# More spare nodes than any fleet has; a simulation holds every one of them in memory.
MOST_SPARES = 10_000_000


@cache
def operation_values() -> Mapping[str, Sourced]:
    """Return the sourced defaults of `Operations` (data/operations.csv)."""
    return by_key("operations.csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """How the fleet is run: detection of corruption and stragglers, repeat offenders, spares (data/operations.csv).

    Raises ValueError for a negative value or a share above one.
    """

    corruption_detect_s: float
    kept_checkpoints: float
    offender_share: float
    evict_after: float
    fallback_interval_s: float
    spare_probability: float
    straggler_rate_per_s: float
    straggler_slowdown: float
    straggler_detect_s: float

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not 0 <= value < math.inf:
                raise ValueError(f"operations: {item.name} must be finite and not negative, not {value!r}")
        if self.offender_share > 1:
            raise ValueError(f"operations: offender_share must be at most 1, not {self.offender_share!r}")
        if not 0 < self.spare_probability < 1:
            raise ValueError(f"operations: spare_probability must be between 0 and 1, not {self.spare_probability!r}")


def default_operations() -> Operations:
    """Return the packaged best values."""
    return Operations(**{key: value.best for key, value in operation_values().items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStop:
    """Planned maintenance of the whole job: `duration_s` from `start_s` on (a calendar, not a Poisson stream)."""

    start_s: float
    duration_s: float

    def __post_init__(self) -> None:
        if not (0 <= self.start_s < math.inf and 0 < self.duration_s < math.inf):
            raise ValueError(
                f"a planned stop needs start_s >= 0 and duration_s > 0, not {self.start_s!r} and {self.duration_s!r}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityJob:
    """One job on one fleet. Times in seconds.

    Saves: `save_s` (training stands still per save) and `reload_s` if given, else what `tiers` say of `state_bytes`;
    `interval_s` is useful work between saves, None for the optimum. Under "islands" each of `islands` holds the whole
    state, and with `outer_steps` an island exchanges with the others every so many steps of `step_s`, which stops it for
    `outer_s` and is its save. Nodes: the job occupies `accelerators`, and `spare_nodes` stand by (None: as many as cover
    `operations.spare_probability` of the time, at most one for each node); `repair_s` overrides the repair times of the processes. `fleet_age_s` is
    the age of the nodes at the start, None for the age at which the published rates hold in the middle of the run.
    The run lasts `duration_s` of wall time, or until `useful_s` of undisturbed training are done. `start_s` is the first
    start, None for a restart of all processes without its detection.

    Raises ValueError, with what is allowed, for what cannot be.
    """

    accelerators: int
    processes: tuple[FailureProcess, ...]
    policy: RecoveryPolicy
    accelerators_per_node: int = field(default_factory=partial(usual, "accelerators_per_node"))
    nodes_per_rack: int = field(default_factory=partial(usual, "nodes_per_rack"))
    nodes_per_rail: int = field(default_factory=partial(usual, "nodes_per_rail"))
    racks_per_feed: int = field(default_factory=partial(usual, "racks_per_feed"))
    replicas: int = 1
    islands: int = 1
    step_s: float = 0.0
    state_bytes: float = 0.0
    tiers: CheckpointTiers | None = None
    save_s: float | None = None
    reload_s: float | None = None
    interval_s: float | None = None
    outer_steps: int = 0
    outer_s: float = 0.0
    spare_nodes: int | None = None
    repair_s: float | None = None
    fleet_age_s: float | None = None
    maintenance: tuple[PlannedStop, ...] = ()
    duration_s: float | None = None
    useful_s: float | None = None
    start_s: float | None = None
    operations: Operations = field(default_factory=default_operations)

    def __post_init__(self) -> None:
        counts = ("accelerators", "accelerators_per_node", "nodes_per_rack", "nodes_per_rail", "racks_per_feed")
        for name in (*counts, "replicas", "islands"):
            value = getattr(self, name)
            if value != int(value) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        for name in (
            "step_s",
            "state_bytes",
            "save_s",
            "reload_s",
            "outer_s",
            "outer_steps",
            "fleet_age_s",
            "start_s",
            "repair_s",
        ):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name} must be finite and not negative, not {value!r}")
        for name in ("interval_s", "duration_s", "useful_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be finite and above 0 s, not {value!r}")
        if (self.duration_s is None) == (self.useful_s is None):
            raise ValueError("give either duration_s (wall time) or useful_s (undisturbed training time) of the job")
        if self.save_s is None and self.tiers is None:
            raise ValueError("give either save_s or tiers with state_bytes: without them a save has no duration")
        if self.policy.name == "drop_replica" and self.replicas < 2:
            raise ValueError("drop_replica needs at least 2 replicas: with one there is nothing left to go on with")
        if self.policy.name != "islands" and self.islands != 1:
            raise ValueError(f"policy {self.policy.name!r} has one island, not {self.islands}; choose policy 'islands'")
        for name in ("replicas", "islands"):
            if getattr(self, name) > self.nodes:
                raise ValueError(f"{self.nodes:,} nodes cannot hold {getattr(self, name):,} {name}")
        if self.outer_steps and self.step_s <= 0:
            raise ValueError("outer_steps count steps, so step_s must be above 0 s")
        if self.spare_nodes is not None:
            if self.spare_nodes != int(self.spare_nodes) or self.spare_nodes < 0:
                raise ValueError(f"spare_nodes must be a whole number from 0 on, not {self.spare_nodes!r}")
            if self.spare_nodes > MOST_SPARES:
                raise ValueError(f"spare_nodes must be at most {MOST_SPARES:,}, not {self.spare_nodes:,}")
        for process in self.processes:
            if process.hardware and process.rate_per_s > 0 and self.repair_of(process) == 0 and not self.spare_nodes:
                raise ValueError(
                    f"{process.component}: a repair time of 0 s with no spare nodes says neither when a node is back nor what stands in for it; give a repair time or spares"
                )
        if self.useful_s is None and self.start > (self.duration_s or 0.0):
            raise ValueError(
                f"the start of the job ({self.start:g} s) takes longer than duration_s ({self.duration_s:g} s)"
            )

    @property
    def nodes(self) -> int:
        """Nodes of the job."""
        return -(-self.accelerators // self.accelerators_per_node)

    @property
    def groups(self) -> int:
        """What stops together: islands, or the one job."""
        return self.islands

    @property
    def length_s(self) -> float:
        """What was asked for: wall time, or useful time."""
        return self.duration_s if self.duration_s is not None else (self.useful_s or 0.0)

    @property
    def horizon_s(self) -> float:
        """Wall time after which the run ends at the latest; without a duration, GIVEN_UP times the useful work."""
        return self.duration_s if self.duration_s is not None else GIVEN_UP * (self.useful_s or 0.0)

    @property
    def age_at_start_s(self) -> float:
        """Age of the fleet at the start: as given, else such that its middle is the reference age."""
        if self.fleet_age_s is not None:
            return self.fleet_age_s
        reference = min((p.reference_age_s for p in self.processes if p.weibull_shape != 1.0), default=math.inf)
        return max(reference - 0.5 * self.length_s, 0.0) if math.isfinite(reference) else 0.0

    @property
    def start(self) -> float:
        """Seconds of the first start."""
        if self.start_s is not None:
            return self.start_s
        return self.policy.remap_s + self.policy.first_start_s + self._reload_s

    @property
    def _per_group(self) -> int:
        return max(self.accelerators // self.groups, 1)

    @property
    def _reload_s(self) -> float:
        return self.policy.reload_s + self.reload_of(self.policy.tier)

    def reload_of(self, tier: str) -> float:
        """Return how long the state takes to come back from a tier."""
        if self.reload_s is not None:
            return self.reload_s
        if self.tiers is None:
            return 0.0
        return self.tiers.reload_s(tier, self.state_bytes, self._per_group)

    def units(self, process: FailureProcess) -> int:
        """Return how many units of a process the job has. An island is a job of its own."""
        racks = -(-self.nodes // self.nodes_per_rack)
        return {
            "accelerator": self.accelerators,
            "node": self.nodes,
            "rail_switch": -(-self.nodes // self.nodes_per_rail) * self.accelerators_per_node,
            "rack": racks,
            "feed": -(-racks // self.racks_per_feed),
            "job": self.groups,
        }[process.unit]

    def rate_of(self, process: FailureProcess) -> float:
        """Return the interruptions per second of the whole fleet by one process at the published age."""
        return self.units(process) * process.rate_per_s

    def reach_of(self, process: FailureProcess) -> int:
        """Return the nodes that one failure takes down; 0 for the whole job or island."""
        rack = self.nodes_per_rack
        reach = {"node": 1, "rack": rack, "rail": self.nodes_per_rail, "feed": rack * self.racks_per_feed, "job": 0}
        return min(reach[process.domain], self.nodes)

    def repair_of(self, process: FailureProcess) -> float:
        """Return the mean repair time of a process, 0 for software."""
        return self.repair_s if self.repair_s is not None and process.hardware else process.repair_s
