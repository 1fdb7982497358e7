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

from gigawatt.evidence import Grade, Sourced
from gigawatt.reliability._job import Operations, operation_values
from gigawatt.reliability._outer_steps import site_facts, token_penalty
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
# An HGX server of 8, four to a rack, as in the published fleets.
_PER_UNIT = {"accelerator": 1.0, "node": 8.0, "rail_switch": 32.0, "rack": 32.0, "feed": 512.0}


@cache
def default_assumptions(generation: str, policy: str) -> Mapping[str, Sourced]:
    """Return the packaged numbers that a job of a policy on chips of a generation is made of, SI, by "reliability.…".

    Rates: of hardware per accelerator in servers of 8, of software per job; the mean repair; the times of the policy's
    states; checkpoint tiers; operations. Raises ValueError for a generation or a policy that is not known.
    """
    times = policy_times(policy)
    found = {
        HARDWARE_RATE: _hardware(generation),
        SOFTWARE_RATE: _software(generation),
        REPAIR: _repair(generation),
    }
    found |= {PREFIX + name: replace(times[key], label=_WORDS[key]) for key, name in _TIMES.items() if key in times}
    found |= {PREFIX + _TIERS.get(key, key): value for key, value in tier_values().items()}
    if "warm_up" not in times:
        found |= start_up_facts()
    if policy == "islands":
        per_site = site_facts()["penalty.per_site"]
        found[f"{PREFIX}extra_tokens_per_island"] = replace(
            per_site, label="extra tokens per further island, reference"
        )
    return found | {PREFIX + key: value for key, value in operation_values().items()}


def extra_tokens(parameters: float, islands: int, inner_steps: float) -> Sourced:
    """Return the extra tokens that islands which exchange every `inner_steps` need for the same loss, as a share."""
    low, best, high = (float(token_penalty(parameters, islands, inner_steps, end)) for end in ("low", "best", "high"))
    return Sourced(
        low=low,
        best=best,
        high=high,
        grade=Grade.ESTIMATE,
        source="arXiv 2503.09799, extrapolated (data/sites.csv)",
        date="2025-03",
        label="extra tokens of asynchronous islands",
        note="share of the tokens; no run of this size has measured it",
    )


def _hardware_of(generation: str) -> list[tuple[FailureProcess, float]]:
    """Return the hardware processes with their units per accelerator."""
    return [(p, 1.0 / _PER_UNIT[p.unit]) for p in fleet_processes(generation) if p.hardware]


def _hardware(generation: str) -> Sourced:
    """Return the sum over the hardware of one accelerator; low and high ends come together, for what they share."""
    parts = [(process.rate, share) for process, share in _hardware_of(generation)]
    first = max(parts, key=lambda part: part[0].best * part[1])[0]
    low, best, high = (math.fsum(getattr(part, end) * w for part, w in parts) for end in ("low", "best", "high"))
    note = f"{best * 86_400:.3g} per accelerator-day; by component: docs/reliability.md"
    return replace(first, low=low, best=best, high=high, label="hardware failures per accelerator", note=note)


def _software(generation: str) -> Sourced:
    parts = [process.rate for process in fleet_processes(generation) if not process.hardware]
    low, best, high = (math.fsum(getattr(part, end) for part in parts) for end in ("low", "best", "high"))
    return replace(parts[0], low=low, best=best, high=high, label="software failures per job")


def _repair(generation: str) -> Sourced:
    """Return the mean repair, weighted with the rates."""
    parts = [(process.repair, process.rate_per_s * share) for process, share in _hardware_of(generation)]
    total = math.fsum(weight for _, weight in parts)
    ends = (math.fsum(getattr(part, end) * w for part, w in parts) / total for end in ("low", "best", "high"))
    low, best, high = ends
    note = "time until a node that failed is back"
    return replace(parts[0][0], low=low, best=best, high=high, label="repair time, mean of the components", note=note)


def processes_of(
    generation: str, values: Mapping[str, float], *, one_repair: bool = False
) -> tuple[FailureProcess, ...]:
    """Return the failure processes of a generation at the rates and the mean repair of `values`.

    Hardware keeps its shares by component. With `one_repair` every component takes the mean repair.
    """
    return _processes(generation, values[HARDWARE_RATE], values[SOFTWARE_RATE], values[REPAIR], one_repair)


@lru_cache(maxsize=64)
def _processes(
    generation: str, hardware_per_s: float, software_per_s: float, repair_s: float, one_repair: bool
) -> tuple[FailureProcess, ...]:
    known = default_assumptions(generation, RECOVERY_POLICIES[0])
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


def recovery_of(policy: str, values: Mapping[str, float], accelerators: int, step_s: float) -> RecoveryPolicy:
    """Return a policy with the times of `values` for a job (an island) of `accelerators` whose step takes `step_s`."""
    times = {f"{state}_s": values[f"{PREFIX}{state}_s"] for state in ("detect", "drain", "remap", "reload")}
    if "warm_up" in policy_times(policy):
        grown = max(accelerators / REFERENCE_ACCELERATORS, 1.0) ** values[f"{PREFIX}warm_up_growth"]
        times["warm_up_s"] = values[f"{PREFIX}warm_up_s"] * grown
    else:
        times["warm_up_s"] = values[FIXED] + values[PER_ACCELERATOR] * accelerators
    replay = values[f"{PREFIX}replay_steps"] * step_s
    return RecoveryPolicy(name=policy, tier=TIER[policy], replay_s=replay, **times)


def tiers_of(values: Mapping[str, float]) -> CheckpointTiers:
    """Return the checkpoint tiers of `values`."""
    return CheckpointTiers(**{key: values[PREFIX + _TIERS.get(key, key)] for key in tier_values()})


def operations_of(values: Mapping[str, float]) -> Operations:
    """Return how the fleet is run, of `values`."""
    return Operations(**{key: values[PREFIX + key] for key in operation_values()})
