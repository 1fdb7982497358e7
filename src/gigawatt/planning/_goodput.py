"""The failures of a scenario's job alone: `gigawatt goodput`.

    scenario -> strategy, failures weighed -> step time, replicas -> ReliabilityJob -> closed form and simulation -> GoodputReport

The job is that of a plan: on the accelerators and with the stock of spares for which its run is shortest.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import Any

from gigawatt._version import __version__
from gigawatt.errors import InputError, Problem
from gigawatt.evidence import Sourced
from gigawatt.planning._couple import choose, costs_of, fleet_of, powers_of, priced, priced_fleet
from gigawatt.planning._failures import wrong_policy
from gigawatt.planning._groups import DEFAULT_POLICY
from gigawatt.planning._inputs import Inputs, resolve
from gigawatt.quantity import format_quantity
from gigawatt.reliability import (
    RECOVERY_POLICIES,
    GoodputResult,
    ReliabilityJob,
    closed_shares,
    goodput,
    poisson_quantile,
)
from gigawatt.scenario import Scenario
from gigawatt.training import TrainingResult

# More simulated runs than this say nothing more.
MOST_REPLICATES = 100_000
LONGEST_DAYS = 36_500.0
# Below this goodput a run does not end in any time worth simulating: a window as long as its useful time is shown.
HOPELESS = 0.05
# More failures than this in all simulated runs take minutes.
MOST_SIMULATED = 1e9
# And no longer than so many failures take: more of them say nothing more.
MOST_FAILURES = 100_000
# What is taken for a goodput of nothing where a price of an hour is asked for.
LEAST_USEFUL = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """One policy on the same fleet: its result, or why it is not possible."""

    policy: str
    result: GoodputResult | None = None
    extra_tokens: Sourced | None = None
    reason: str = ""

    @property
    def progress(self) -> float | None:
        """Goodput with extra tokens counted as lost."""
        if self.result is None or self.extra_tokens is None:
            return None
        return self.result.goodput / (1.0 + self.extra_tokens.best)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        if self.result is None:
            return {"policy": self.policy, "goodput": None, "reason": self.reason}
        found = self.result.to_dict()
        keys = ("goodput", "closed_goodput", "goodput_interval", "interval_s", "spares", "best_spares", "warnings")
        extra = None if self.extra_tokens is None else self.extra_tokens.to_dict()
        return {
            "policy": self.policy,
            "reason": "",
            **{key: found[key] for key in keys},
            "extra_tokens": extra,
            "progress": self.progress,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodputReport:
    """The goodput of a scenario's job: `result` of the engine under the policy that is asked for, and every policy
    beside it (`policies`; simulated where `compared`, else in closed form).

    `useful_s` is the run without failures, `extra_tokens` the share of tokens that islands need beyond it, `usd_per_accelerator_hour` what an hour of one accelerator costs with
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
    extra_tokens: Sourced
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
            "extra_tokens": self.extra_tokens.to_dict(),
            "run_s": self.useful_s * (1.0 + self.extra_tokens.best) / result.goodput if result.goodput > 0 else None,
            "replicates": self.replicates,
            "seed": self.seed,
            **result.to_dict(),
            "difference_from_closed_form": difference if result.simulation is not None else None,
            "usd_per_accelerator_hour": self.usd_per_accelerator_hour,
            "wall_time_usd": None
            if self._usd_per_s is None
            else {child.label: child.value * self._usd_per_s for child in result.wall_time.children},
            "interruptions": self.causes(),
            "all_interruptions": self.totals(),
            "best_policy": max((row for row in self.policies if row.progress is not None), key=_left).policy,
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

    def totals(self) -> dict[str, float | None]:
        """Return the sums over the causes: interruptions, seconds and money lost."""
        rows = self.causes()
        usd = None if self._usd_per_s is None else math.fsum(row["lost_usd"] for row in rows)
        return {
            "mean": math.fsum(row["mean"] for row in rows),
            "lost_s": math.fsum(row["lost_s"] for row in rows),
            "lost_usd": usd,
        }

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


def _left(row: PolicyRow) -> float:
    """Return what a policy leaves of the wall time, extra tokens counted as lost."""
    return row.progress or 0.0


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
    name = asked.policy or DEFAULT_POLICY
    if asked.islands is not None and name != "islands" and not compare:
        raise wrong_policy(scenario, "islands", f"policy {name!r} has no islands", "policy: islands, or no islands")
    fleet = fleet_of(inputs)
    _check_spares(inputs, spare_nodes, fleet)
    chosen = choose(inputs, fleet, spare_nodes=spare_nodes)
    trained, failing = chosen.trained, replace(chosen.failing, duration_s=duration_s)
    steps = failing.steps

    def make(policy: str) -> ReliabilityJob:
        made = failing.job(policy, *chosen.size)
        if duration_s is None and closed_shares(made)["useful"][0] < HOPELESS:
            many = MOST_FAILURES / math.fsum(map(made.rate_of, made.processes))
            return replace(made, duration_s=max(min(steps * trained.step_s, many), 2.0 * made.start), useful_s=None)
        return made

    job = make(name)
    # what never gets anywhere fails too often to be followed failure by failure
    rate = math.fsum(job.rate_of(process) for process in job.processes)
    too_many = replicates > 0 and rate * job.length_s * replicates > MOST_SIMULATED
    replicates = 0 if too_many else replicates
    extra = failing.extra_tokens(name, job.islands)
    workers = os.cpu_count() or 1
    result = goodput(job, replicates=replicates, seed=seed, workers=workers)
    result = replace(result, outputs=chosen.stock.told(result.outputs))
    rows = []
    for policy in RECOVERY_POLICIES:
        if policy == name:
            rows.append(PolicyRow(policy=policy, result=result, extra_tokens=extra))
            continue
        try:
            other = make(policy)
        except InputError as error:
            rows.append(PolicyRow(policy=policy, reason=error.problems[0].message))
            continue
        found = goodput(other, replicates=replicates, seed=seed, workers=workers) if compare else goodput(other)
        rows.append(PolicyRow(policy=policy, result=found, extra_tokens=failing.extra_tokens(policy, other.islands)))
    return GoodputReport(
        scenario=scenario,
        inputs=inputs,
        job=job,
        result=result,
        training=trained,
        generation=failing.generation,
        asked=fleet,
        useful_s=steps * trained.step_s,
        extra_tokens=extra,
        usd_per_accelerator_hour=accelerator_hour_usd(inputs, trained, result.goodput),
        policies=tuple(rows),
        compared=compare,
        replicates=replicates,
        seed=seed,
        notes=(
            *_notes(inputs, job, fleet - chosen.stock.accelerators, failing.generation, duration_s, extra),
            *((f"more than {MOST_SIMULATED:.0g} failures to follow: the closed form alone",) if too_many else ()),
        ),
    )


def _check_spares(inputs: Inputs, spare_nodes: int | None, fleet: int) -> None:
    """Raise InputError where the spare nodes that somebody states are the whole fleet or more."""
    each = min(inputs.node, fleet)
    asked = inputs.scenario.reliability.spares
    found = spare_nodes if spare_nodes is not None else -(-(asked or 0) // each)
    if found * each >= fleet:
        raise _wrong(
            inputs.scenario.place("reliability.spares") if spare_nodes is None else "--spares",
            "more spare nodes than nodes of the fleet, less one for the job",
            f"{found:,}",
            f"0 to {(fleet - 1) // each:,} nodes of {each} accelerators",
        )


def accelerator_hour_usd(inputs: Inputs, trained: TrainingResult, useful: float) -> float | None:
    """Return what an hour of one accelerator costs: capital with everything around it written off, energy, operations.

    None where the scenario and the catalogue have no price or no power limit of an accelerator.
    """
    if not priced(inputs):
        return None
    groups, limits = priced_fleet(inputs)
    count = sum(group.powered for group in groups)
    powers = powers_of(inputs, groups, limits, trained, max(useful, LEAST_USEFUL))
    hour = costs_of(inputs, groups, limits, powers, run_s=3600.0, tokens=1.0, accelerators_used=count, goodput=1.0)
    return hour.run_cost.value / count


def _notes(
    inputs: Inputs,
    job: ReliabilityJob,
    available: int,
    generation: str,
    duration_s: float | None,
    extra: Sourced,
) -> tuple[str, ...]:
    notes = []
    if generation == "generic":
        notes.append(f"no failure rates are known for {inputs.reference.name}: those between H100 and A100 are assumed")
    if available > job.accelerators:
        notes.append(
            f"{available - job.accelerators:,} of {available:,} accelerators are not in the job: with them no run is shorter"
        )
    if duration_s is None and job.useful_s is None:
        notes.append(
            f"failures leave less than {HOPELESS:.0%} of the time, so the run does not end: {format_quantity(job.length_s, 's')} of it are shown"
        )
    if job.islands > 1:
        notes.append(
            f"asynchronous islands need {extra.best:.1%} more tokens for the same loss ({extra.low:.0%} to {extra.high:.0%}; an estimate that no run of this size has measured): counted in the whole run and in what a policy leaves of the tokens, not in the goodput"
        )
    return tuple(notes)


def _wrong(place: str, message: str, found: str, allowed: str) -> InputError:
    return InputError(Problem(message=message, location=place, found=found, allowed=allowed))
