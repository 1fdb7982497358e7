"""The sourced numbers of one policy on chips of one generation, by path, and what they make: processes, recovery, saves.

    default_assumptions(generation, policy) -> table of a plan, with what a person overrides -> processes_of, recovery_of,
    tiers_of, operations_of -> ReliabilityJob

A plan moves one number at a time; hardware rates and repairs move together, in proportion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, lru_cache

from gigawatt.evidence import Sourced
from gigawatt.reliability._job import Operations, ReliabilityJob, operation_values
from gigawatt.reliability._layout import Layout
from gigawatt.reliability._policies import (
    RECOVERY_POLICIES,
    REFERENCE_ACCELERATORS,
    STATES,
    TIER,
    RecoveryPolicy,
    policy_times,
)
from gigawatt.reliability._processes import FailureProcess, fleet_processes
from gigawatt.reliability._start import FIXED, PER_ACCELERATOR, start_up_facts
from gigawatt.reliability._tiers import CheckpointTiers, tier_values

PREFIX = "reliability."
HARDWARE_RATE, SOFTWARE_RATE, REPAIR = (
    f"{PREFIX}{name}" for name in ("hardware_failure_rate", "software_failure_rate", "repair_s")
)
_TIERS = {"stop_s": "checkpoint_stop_s", "peer_stop_s": "neighbour_stop_s"}
_TIMES = {**{state: f"{state}_s" for state in STATES}, "growth": "warm_up_growth", "replay_steps": "replay_steps"}
_WORDS = {
    "detect": "time to detect a failure",
    "drain": "time to stop the job",
    "remap": "time to place the job anew",
    "reload": "reload besides the transfer",
    "warm_up": f"start of a job of {REFERENCE_ACCELERATORS} accelerators",
    "growth": "growth of the start with size",
    "replay_steps": "steps done again",
}


@cache
def default_assumptions(generation: str, policy: str, layout: Layout | None = None) -> Mapping[str, Sourced]:
    """Return the packaged numbers that a job of a policy on chips of a generation is made of, SI, by "reliability.…".

    Rates: of hardware per accelerator of a large fleet of the layout (None: servers of 8), of software per job; the mean
    repair; the times of the policy's states; checkpoint tiers; operations. Raises ValueError for a generation or a policy
    that is not known.
    """
    times = policy_times(policy)
    found = {
        HARDWARE_RATE: _hardware(generation, layout or Layout()),
        SOFTWARE_RATE: _software(generation),
        REPAIR: _repair(generation, layout or Layout()),
    }
    found |= {PREFIX + name: replace(times[key], label=_WORDS[key]) for key, name in _TIMES.items() if key in times}
    found |= {PREFIX + _TIERS.get(key, key): value for key, value in tier_values().items()}
    found |= start_up_facts()
    return found | {PREFIX + key: value for key, value in operation_values().items()}


def _hardware_of(generation: str, layout: Layout) -> list[tuple[FailureProcess, float]]:
    """Return the hardware processes with their units per accelerator."""
    return [(p, layout.per_accelerator(p.unit)) for p in fleet_processes(generation) if p.hardware]


def _hardware(generation: str, layout: Layout) -> Sourced:
    """Return the sum over the hardware of one accelerator; low and high ends come together, for what they share."""
    parts = [(process.rate, share) for process, share in _hardware_of(generation, layout)]
    first = max(parts, key=lambda part: part[0].best * part[1])[0]
    low, best, high = (math.fsum(getattr(part, end) * w for part, w in parts) for end in ("low", "best", "high"))
    note = f"{best * 86_400:.3g} per accelerator-day; by component: docs/reliability.md"
    return replace(first, low=low, best=best, high=high, label="hardware failures per accelerator", note=note)


def _software(generation: str) -> Sourced:
    parts = [process.rate for process in fleet_processes(generation) if not process.hardware]
    low, best, high = (math.fsum(getattr(part, end) for part in parts) for end in ("low", "best", "high"))
    return replace(parts[0], low=low, best=best, high=high, label="software failures per job")


def _repair(generation: str, layout: Layout) -> Sourced:
    """Return the mean repair, weighted with the rates."""
    parts = [(process.repair, process.rate_per_s * share) for process, share in _hardware_of(generation, layout)]
    total = math.fsum(weight for _, weight in parts)
    ends = (math.fsum(getattr(part, end) * w for part, w in parts) / total for end in ("low", "best", "high"))
    low, best, high = ends
    note = "time until a node that failed is back"
    return replace(parts[0][0], low=low, best=best, high=high, label="repair time, mean of the components", note=note)


def processes_of(
    generation: str, values: Mapping[str, float], *, layout: Layout | None = None, one_repair: bool = False
) -> tuple[FailureProcess, ...]:
    """Return the failure processes of a generation at the rates and the mean repair of `values`, for fleets of the
    layout.

    Hardware keeps its shares by component. With `one_repair` every component takes the mean repair.
    """
    numbers = (values[HARDWARE_RATE], values[SOFTWARE_RATE], values[REPAIR])
    return _processes(generation, layout or Layout(), *numbers, one_repair)


def at_hardware_rate(job: ReliabilityJob, rate_per_s: float) -> ReliabilityJob:
    """Return a job whose hardware fails `rate_per_s` per accelerator, whatever its own nodes, racks and feeds are;
    components keep their shares. A rate of the whole fleet stays what it was stated to be.
    """
    now = math.fsum(job.rate_of(process) for process in job.processes if process.hardware)
    factor = rate_per_s * job.accelerators / now if now > 0 else 1.0
    processes = tuple(p.at(p.rate_per_s * factor) if p.hardware else p for p in job.processes)
    return replace(job, processes=processes)


@lru_cache(maxsize=64)
def _processes(
    generation: str, layout: Layout, hardware_per_s: float, software_per_s: float, repair_s: float, one_repair: bool
) -> tuple[FailureProcess, ...]:
    known = default_assumptions(generation, RECOVERY_POLICIES[0], layout)
    hardware, software = hardware_per_s / known[HARDWARE_RATE].best, software_per_s / known[SOFTWARE_RATE].best
    longer = repair_s / known[REPAIR].best
    found = []
    for process in fleet_processes(generation):
        factor = hardware if process.hardware else software
        if factor != 1.0:
            process = process.at(process.rate_per_s * factor)
        if process.hardware and (one_repair or longer != 1.0):
            process = replace(process, repair=process.repair.at(repair_s if one_repair else process.repair_s * longer))
        found.append(process)
    return tuple(found)


def recovery_policy(
    name: str, accelerators: int = REFERENCE_ACCELERATORS, *, step_s: float = 0.0, **times: float
) -> RecoveryPolicy:
    """Return a policy with the packaged times for a job (an island, for "islands") of `accelerators` whose step takes
    `step_s`. `times` (detect_s, …, replay_s) override them.
    """
    policy_times(name)  # refuses an unknown name
    values = {path: value.best for path, value in default_assumptions("generic", name).items()}
    return replace(recovery_of(name, values, accelerators, step_s), **times)  # type: ignore[arg-type]


def recovery_of(policy: str, values: Mapping[str, float], accelerators: int, step_s: float) -> RecoveryPolicy:
    """Return a policy with the times of `values` for a job (an island) of `accelerators` whose step takes `step_s`."""
    times = {f"{state}_s": values[f"{PREFIX}{state}_s"] for state in ("detect", "drain", "remap", "reload")}
    start = values[FIXED] + values[PER_ACCELERATOR] * accelerators
    if "warm_up" in policy_times(policy):
        grown = max(accelerators / REFERENCE_ACCELERATORS, 1.0) ** values[f"{PREFIX}warm_up_growth"]
        times |= {"warm_up_s": values[f"{PREFIX}warm_up_s"] * grown, "start_up_s": start}
    else:
        times["warm_up_s"] = start
    replay = values[f"{PREFIX}replay_steps"] * step_s
    return RecoveryPolicy(name=policy, tier=TIER[policy], replay_s=replay, **times)


def tiers_of(values: Mapping[str, float]) -> CheckpointTiers:
    """Return the checkpoint tiers of `values`."""
    return CheckpointTiers(**{key: values[PREFIX + _TIERS.get(key, key)] for key in tier_values()})


def operations_of(values: Mapping[str, float]) -> Operations:
    """Return how the fleet is run, of `values`."""
    return Operations(**{key: values[PREFIX + key] for key in operation_values()})
