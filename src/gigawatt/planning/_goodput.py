"""The failures of a scenario's job alone: `gigawatt goodput`.

    scenario -> training search -> step time, replicas -> ReliabilityJob -> closed form and simulation -> GoodputReport

The job fills the fleet with whole replicas of the best strategy; spare nodes stand by beside it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from gigawatt import finance, power
from gigawatt._version import __version__
from gigawatt.errors import InputError, Problem
from gigawatt.evidence import Grade
from gigawatt.planning._couple import (
    LARGEST_SERVER,
    fleet_loads,
    resizing,
    server_of,
    training_job,
)
from gigawatt.planning._inputs import Inputs, resolve
from gigawatt.reliability import (
    GENERATIONS,
    RECOVERY_POLICIES,
    FailureProcess,
    GoodputResult,
    RecoveryPolicy,
    ReliabilityJob,
    default_tiers,
    fleet_processes,
    goodput,
    goodput_closed,
    poisson_quantile,
    recovery_policy,
    state_bytes,
)
from gigawatt.scenario import Scenario
from gigawatt.training import TrainingResult, train

DAY = 86_400.0
# More simulated runs than this say nothing more.
MOST_REPLICATES = 100_000
LONGEST_DAYS = 36_500.0
# Islands where nobody says how many, if they divide the replicas.
USUAL_ISLANDS = 8
# Below this goodput a run does not end in any time worth simulating: a window as long as its useful time is shown.
HOPELESS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """One policy on the same fleet: its result, or why it is not possible."""

    policy: str
    result: GoodputResult | None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        if self.result is None:
            return {"policy": self.policy, "goodput": None, "reason": self.reason}
        found = self.result.to_dict()
        keys = ("goodput", "closed_goodput", "goodput_interval", "interval_s", "spares", "best_spares", "warnings")
        return {"policy": self.policy, "reason": "", **{key: found[key] for key in keys}}


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodputReport:
    """The goodput of a scenario's job: `result` of the engine under the policy that is asked for, and every policy
    beside it (`policies`; simulated where `compared`, else in closed form).

    `useful_s` is the run without failures, `usd_per_accelerator_hour` what an hour of one accelerator costs with
    everything around it, None where the scenario has no prices.
    """

    scenario: Scenario
    inputs: Inputs
    job: ReliabilityJob
    result: GoodputResult
    training: TrainingResult
    generation: str
    asked: int
    useful_s: float
    usd_per_accelerator_hour: float | None
    policies: tuple[PolicyRow, ...]
    compared: bool
    replicates: int
    seed: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        job, result = self.job, self.result
        difference = result.goodput / result.closed_goodput - 1.0 if result.closed_goodput > 0 else 0.0
        return {
            "version": __version__,
            "scenario": self.scenario.name,
            "model": {"name": self.inputs.model.name, "parameters": self.inputs.value("model.parameters")},
            "accelerator": " and ".join(group.accelerator.name for group in self.inputs.groups),
            "accelerators": job.accelerators,
            "asked": self.asked,
            "accelerators_per_node": job.accelerators_per_node,
            "nodes": job.nodes,
            "rates_of": self.generation,
            "strategy": dict(self.training.strategy),
            "replicas": job.replicas,
            "islands": job.islands,
            "step_time_s": self.training.step_s,
            "state_bytes": job.state_bytes,
            "useful_s": self.useful_s,
            "run_s": self.useful_s / result.goodput if result.goodput > 0 else None,
            "replicates": self.replicates,
            "seed": self.seed,
            **result.to_dict(),
            "difference_from_closed_form": difference if result.simulation is not None else None,
            "usd_per_accelerator_hour": self.usd_per_accelerator_hour,
            "wall_time_usd": None
            if self._usd_per_s is None
            else {child.label: child.value * self._usd_per_s for child in result.wall_time.children},
            "interruptions": self.causes(),
            "compared": self.compared,
            "policies": [row.to_dict() for row in self.policies],
            "warnings": [*result.warnings, *self.notes, *self.inputs.notes],
        }

    @property
    def _usd_per_s(self) -> float | None:
        """Cost of a second of the whole job."""
        hourly = self.usd_per_accelerator_hour
        return None if hourly is None else hourly / 3600.0 * self.job.accelerators

    @property
    def lost_s(self) -> float:
        """Wall time that failures take: all but useful work and planned maintenance."""
        return sum(part.value for part in self.result.wall_time.children if part.label not in ("useful", "maintenance"))

    def causes(self) -> list[dict[str, Any]]:
        """Return the interruptions by cause, most first, with P10 and P90 and the lost time.

        Without a simulation the interval is Poisson about the mean. The lost time is shared out by what 1 % more of
        each rate costs.
        """
        simulated = self.result.simulation.interruptions_by_cause() if self.result.simulation is not None else {}
        processes = dict(zip(self.result.interruptions, self.job.processes, strict=False))
        weights = {name: max(-change, 0.0) for name, change in self.result.sensitivities.items()}
        total = math.fsum(weights.values())
        rows = []
        for name, mean in self.result.interruptions.items():
            if name in simulated:
                _, low, _, high = simulated[name]
            else:
                low, high = poisson_quantile(mean, 0.1), poisson_quantile(mean, 0.9)
            lost = self.lost_s * weights.get(name, 0.0) / total if total > 0 else 0.0
            process = processes.get(name)
            if process is None and mean == 0:
                continue  # stragglers, where none are asked for
            rows.append(
                {
                    "cause": name,
                    "kind": "hardware" if process is None or process.hardware else "software",
                    "mean": mean,
                    "p10": float(low),
                    "p90": float(high),
                    "sensitivity": self.result.sensitivities.get(name),
                    "lost_s": lost,
                    "lost_usd": None if self._usd_per_s is None else lost * self._usd_per_s,
                    "grade": "" if process is None else str(process.rate.grade.value),
                    "source": "" if process is None else process.rate.source,
                }
            )
        return sorted(rows, key=lambda row: -row["mean"])


def goodput_scenario(
    scenario: Scenario,
    *,
    replicates: int = 200,
    seed: int = 0,
    spare_nodes: int | None = None,
    duration_s: float | None = None,
    compare: bool = False,
) -> GoodputReport:
    """Return the goodput of a scenario's job under its recovery policy, and under every other.

    `replicates` runs are simulated (0: closed form alone), with `compare` of every policy. `spare_nodes` override the
    scenario's spares, `duration_s` looks at that much wall time instead of the whole run. Raises InputError for what
    cannot be, InfeasibleError where no strategy fits.
    """
    if not 0 <= replicates <= MOST_REPLICATES:
        raise _wrong("--replicates", "impossible value", str(replicates), f"0 to {MOST_REPLICATES:,}")
    inputs = resolve(scenario, whole_plan=False)
    asked = scenario.reliability
    name = asked.policy or "restart"
    if asked.islands is not None and name != "islands" and not compare:
        raise _at(scenario, "islands", f"policy {name!r} has no islands", "policy: islands, or no islands")
    training = training_job(inputs)
    trained = train(
        training,
        pins=inputs.pins,
        constraints=inputs.constraints,
        keep=0,
        unit=server_of(inputs),
        resized=resizing(training, inputs),
    )
    useful_s = math.ceil(inputs.value("training.tokens") / training.tokens_per_step) * trained.step_s
    generation = _generation(inputs)
    make = _jobs(inputs, training.accelerators, trained, generation, spare_nodes, duration_s, useful_s)
    job = make(name)
    workers = os.cpu_count() or 1
    result = goodput(job, replicates=replicates, seed=seed, workers=workers)
    rows = []
    for policy in RECOVERY_POLICIES:
        if policy == name:
            rows.append(PolicyRow(policy=policy, result=result))
            continue
        try:
            other = make(policy)
        except InputError as error:
            rows.append(PolicyRow(policy=policy, result=None, reason=error.problems[0].message))
            continue
        found = goodput(other, replicates=replicates, seed=seed, workers=workers) if compare else goodput_closed(other)
        rows.append(PolicyRow(policy=policy, result=found))
    return GoodputReport(
        scenario=scenario,
        inputs=inputs,
        job=job,
        result=result,
        training=trained,
        generation=generation,
        asked=training.accelerators,
        useful_s=useful_s,
        usd_per_accelerator_hour=accelerator_hour_usd(inputs, trained, result.goodput),
        policies=tuple(rows),
        compared=compare,
        replicates=replicates,
        seed=seed,
        notes=_notes(inputs, job, trained, training.accelerators, generation, duration_s),
    )


def generation_of(accelerator: str) -> str:
    """Return whose failure rates hold for an accelerator of the catalogue: the longest generation that its name begins
    with, else "generic".
    """
    first = accelerator.replace("-", " ").split()[:1]
    return max((key for key in GENERATIONS if first == [key]), key=len, default="generic")


def _generation(inputs: Inputs) -> str:
    """Return whose failure rates hold for the fleet: "generic" where its kinds have different ones."""
    found = [generation_of(group.accelerator.name) for group in inputs.groups]
    return found[0] if len({GENERATIONS[name] for name in found}) == 1 else "generic"


def _given(inputs: Inputs, path: str) -> float | None:
    """Return an assumption where the scenario states it; the engine has its own default otherwise."""
    found = inputs.assumptions.get(path)
    return found.best if found is not None and found.grade is Grade.GIVEN else None


def _jobs(
    inputs: Inputs,
    fleet: int,
    trained: TrainingResult,
    generation: str,
    spare_nodes: int | None,
    duration_s: float | None,
    useful_s: float,
) -> Callable[[str], ReliabilityJob]:
    """Return the job on a fleet as a function of its policy."""
    scenario, asked = inputs.scenario, inputs.scenario.reliability
    server = server_of(inputs)
    each = server if server <= LARGEST_SERVER else int(inputs.value("reliability.tray_accelerators"))
    domain = inputs.reference.scale_up_domain or server
    each = min(each, fleet)
    replica = trained.accelerators // int(trained.strategy["data_parallel"])
    replicas = max(fleet // replica, 1)
    accelerators = replicas * replica
    nodes = -(-accelerators // each)
    if spare_nodes is None and asked.spares is not None:
        spare_nodes = -(-asked.spares // each)
    if spare_nodes is not None and spare_nodes > nodes:
        raise _wrong(
            scenario.place("reliability.spares") if asked.spares is not None else "--spares",
            "more spare nodes than nodes of the job",
            f"{spare_nodes:,}",
            f"0 to {nodes:,} nodes of {each} accelerators",
        )
    stated = _given(inputs, "reliability.state_bytes_per_parameter")
    size = state_bytes(
        inputs.value("model.parameters"), 2.0 + inputs.optimizer.state_bytes if stated is None else stated
    )
    tiers = replace(
        default_tiers(),
        device_to_host_bytes_per_s=inputs.value("reliability.device_to_host_bytes_per_s"),
        stop_s=inputs.value("reliability.checkpoint_stop_s"),
        peer_stop_s=inputs.value("reliability.hot_spare_save_s"),
    )

    def make(name: str) -> ReliabilityJob:
        islands = _islands(scenario, replicas) if name == "islands" else 1
        if name == "drop_replica" and replicas < 2:
            raise _at(
                scenario, "policy", "drop_replica needs at least 2 replicas; the strategy has one", "another policy"
            )
        policy, reload_s = _policy(inputs, name, accelerators // islands, trained.step_s)
        try:
            job = ReliabilityJob(
                accelerators=accelerators,
                processes=fleet_processes(generation),
                policy=policy,
                accelerators_per_node=each,
                nodes_per_rack=max(domain // each, 1) if domain > LARGEST_SERVER else min(4, nodes),
                replicas=min(replicas, nodes),
                islands=islands,
                step_s=trained.step_s,
                state_bytes=size,
                tiers=tiers,
                reload_s=reload_s,
                interval_s=asked.checkpoint_interval,
                spare_nodes=spare_nodes,
                repair_s=_given(inputs, "reliability.repair_s"),
                duration_s=duration_s,
                useful_s=useful_s if duration_s is None else None,
            )
            job = replace(job, processes=_rated(inputs, job))
            if duration_s is None and goodput_closed(job).goodput < HOPELESS:
                job = replace(job, duration_s=max(useful_s, 2.0 * job.start), useful_s=None)
        except ValueError as error:
            raise InputError(Problem(message=str(error), location=scenario.file)) from None
        return job

    return make


def _policy(inputs: Inputs, name: str, accelerators: int, step_s: float) -> tuple[RecoveryPolicy, float | None]:
    """Return a policy with the times that the scenario states, and the reload if they include it."""
    policy = recovery_policy(name, accelerators, step_s=step_s)
    detect, whole = _given(inputs, "reliability.detect_s"), inputs.scenario.reliability.restart_time
    if detect is not None:
        policy = replace(policy, detect_s=detect)
    start = ("reliability.start_fixed_s", "reliability.start_per_accelerator_s")
    if name in ("restart", "islands") and any(_given(inputs, path) is not None for path in start):
        fixed, growth = (inputs.value(path) for path in start)
        policy = replace(policy, warm_up_s=fixed + growth * accelerators)
    if whole is None:
        return policy, None
    found = min(policy.detect_s, whole)
    drain = min(policy.drain_s, whole - found)
    return (
        replace(policy, detect_s=found, drain_s=drain, remap_s=0.0, reload_s=0.0, warm_up_s=whole - found - drain),
        0.0,
    )


def _rated(inputs: Inputs, job: ReliabilityJob) -> tuple[FailureProcess, ...]:
    """Return the processes of a job at the rates that the scenario states: hardware per accelerator, shared out as
    published, and software per job.
    """
    hardware = _given(inputs, "reliability.hardware_failure_rate")
    software = _given(inputs, "reliability.software_failure_rate")
    published = math.fsum(job.rate_of(process) for process in job.processes if process.hardware)
    factor = 1.0 if hardware is None or published <= 0 else hardware * job.accelerators / published
    return tuple(
        process.at(process.rate_per_s * factor)
        if process.hardware
        else process
        if software is None
        else process.at(software)
        for process in job.processes
    )


def _islands(scenario: Scenario, replicas: int) -> int:
    """Return how many islands the replicas make: as asked for, else the most up to the usual number that divide them."""
    asked = scenario.reliability.islands
    divisors = [count for count in range(2, min(replicas, 64) + 1) if replicas % count == 0]
    if asked is not None:
        if replicas % asked:
            raise _at(
                scenario,
                "islands",
                f"{asked:,} islands do not divide the {replicas:,} replicas",
                ", ".join(map(str, divisors)) or "one island",
            )
        return asked
    usual = [count for count in divisors if count <= USUAL_ISLANDS]
    if not usual:
        raise _at(
            scenario,
            "islands",
            f"{replicas:,} replicas do not divide among 2 to {USUAL_ISLANDS} islands",
            ", ".join(map(str, divisors)) or "another policy",
        )
    return usual[-1]


def accelerator_hour_usd(inputs: Inputs, trained: TrainingResult, useful: float) -> float | None:
    """Return what an hour of one accelerator costs: capital with everything around it written off, energy, operations.

    None where the scenario and the catalogue have no price or no power limit of an accelerator.
    """
    needed = [f"accelerator.{g.accelerator.name}.{field}" for g in inputs.groups for field in ("price_usd", "tdp_w")]
    if not all(inputs.has(path) for path in (*needed, *power.ASSUMPTIONS, *finance.ASSUMPTIONS)):
        return None
    loads, switches = fleet_loads(inputs)
    count = sum(load.count for load in loads)
    powers = power.assess(
        loads=loads,
        switches_per_accelerator=switches,
        pue=inputs.value("site.pue"),
        values=inputs.values(power.ASSUMPTIONS),
        computing_fraction=trained.computing_fraction,
        goodput=max(useful, 1e-9),
        step_s=trained.step_s,
        grid_limit_w=None,
    )
    money = finance.assess(
        purchases=[
            finance.Purchase(
                name=load.name, count=load.count, price_usd=inputs.value(f"accelerator.{load.name}.price_usd")
            )
            for load in loads
        ],
        switches_per_accelerator=switches,
        it_peak_w=powers.outputs["power.it_per_accelerator_peak"].value * count,
        energy_j=powers.facility_w * 3600.0,
        energy_usd_per_joule=inputs.value("site.electricity_price"),
        run_s=3600.0,
        accelerators_used=count,
        goodput=1.0,
        tokens=1.0,
        values=inputs.values(finance.ASSUMPTIONS),
        staff_usd_per_s=inputs.scenario.finance.staff_cost,
    )
    return money.run_cost.value / count


def _notes(
    inputs: Inputs,
    job: ReliabilityJob,
    trained: TrainingResult,
    fleet: int,
    generation: str,
    duration_s: float | None,
) -> tuple[str, ...]:
    notes = []
    if generation == "generic":
        notes.append(f"no failure rates are known for {inputs.reference.name}: those between H100 and A100 are assumed")
    if trained.accelerators < job.accelerators:
        notes.append(
            f"the best strategy for this batch trains on {trained.accelerators:,} accelerators; its goodput is that of {job.accelerators:,} in replicas of the same size"
        )
    if fleet > job.accelerators:
        notes.append(f"{fleet - job.accelerators:,} accelerators make no whole replica and are left out")
    if duration_s is None and job.useful_s is None:
        notes.append(
            f"failures leave less than {HOPELESS:.0%} of the time, so the run does not end: as much wall time as it takes without failures is shown"
        )
    if job.islands > 1:
        notes.append("what asynchronous islands cost in tokens is not counted")
    return tuple(notes)


def _wrong(place: str, message: str, found: str, allowed: str) -> InputError:
    return InputError(Problem(message=message, location=place, found=found, allowed=allowed))


def _at(scenario: Scenario, field: str, message: str, allowed: str) -> InputError:
    path = f"reliability.{field}"
    return InputError(Problem(message=message, location=scenario.place(path), path=path, allowed=allowed))
