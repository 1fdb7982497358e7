"""The failures of a scenario's job: what `plan` and `gigawatt goodput` both ask the reliability engine.

    accelerators, replica, step time + assumptions -> ReliabilityJob

Spare nodes stand by beside the job. The table of assumptions holds the times of the policy that the scenario asks for;
another policy is taken with its packaged times.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gigawatt import reliability
from gigawatt.errors import InputError, Problem
from gigawatt.evidence import Grade, Sourced
from gigawatt.planning._groups import DEFAULT_POLICY, generation_of_fleet
from gigawatt.planning._inputs import LARGEST_SERVER, Inputs
from gigawatt.reliability import ReliabilityJob, ReliabilityResult
from gigawatt.scenario import Scenario

# Islands where nobody says how many, if they divide the replicas.
USUAL_ISLANDS = 8
# Steps between two exchanges of islands where nobody says how many, as arXiv 2311.08105 and 2412.01152.
USUAL_INNER_STEPS = 100


@dataclass(frozen=True, slots=True)
class Failures:
    """The job of a scenario on any number of accelerators: `steps` to do, or `duration_s` of wall time to look at."""

    inputs: Inputs
    steps: float
    spare_nodes: int | None = None
    duration_s: float | None = None
    _found: dict[tuple[int, int, float], float] = field(default_factory=dict, repr=False)

    @property
    def policy(self) -> str:
        """The policy that the scenario asks for."""
        return self.inputs.scenario.reliability.policy or DEFAULT_POLICY

    def job(self, policy: str, accelerators: int, replica: int, step_s: float) -> ReliabilityJob:
        """Return the job on `accelerators` in replicas of `replica` whose step takes `step_s`.

        Raises InputError where the replicas do not suit the policy, and for what the engine does not take.
        """
        inputs, asked = self.inputs, self.inputs.scenario.reliability
        table = (inputs if policy == self.policy else inputs.with_policy(policy)).assumptions
        values = {path: value.best for path, value in table.items() if path.startswith("reliability.")}
        replicas = max(accelerators // replica, 1)
        islands = 1
        if policy == "islands":  # what is no whole number of replicas is an estimate on the way to a strategy
            whole = accelerators % replica == 0
            islands = islands_of(inputs.scenario, replicas) if whole else min(asked.islands or USUAL_ISLANDS, replicas)
        if policy == "drop_replica" and replicas < 2:
            raise wrong_policy(
                inputs.scenario,
                "policy",
                "drop_replica needs at least 2 replicas; the strategy has one",
                "another policy",
            )
        each = min(inputs.node, accelerators)
        nodes = -(-accelerators // each)
        domain = inputs.reference.scale_up_domain or each
        spares = self.spare_nodes
        if spares is None and asked.spares is not None:
            spares = -(-asked.spares // each)
        recovery = reliability.recovery_of(policy, values, accelerators // islands, step_s)
        useful_s = self.steps * step_s * (1.0 + self.extra_tokens(policy, islands).best)
        try:
            return ReliabilityJob(
                accelerators=accelerators,
                processes=reliability.processes_of(
                    self.generation, values, one_repair=self._stated("reliability.repair_s")
                ),
                policy=recovery if asked.restart_time is None else _in_all(recovery, asked.restart_time),
                accelerators_per_node=each,
                nodes_per_rack=max(domain // each, 1) if domain > LARGEST_SERVER else min(4, nodes),
                replicas=min(replicas, nodes),
                islands=islands,
                step_s=step_s,
                state_bytes=reliability.state_bytes(
                    inputs.value("model.parameters"), values["reliability.state_bytes_per_parameter"]
                ),
                tiers=reliability.tiers_of(values),
                reload_s=None if asked.restart_time is None else 0.0,
                interval_s=asked.checkpoint_interval,
                spare_nodes=spares if spares is None else min(spares, nodes),
                duration_s=self.duration_s,
                useful_s=useful_s if self.duration_s is None else None,
                operations=reliability.operations_of(values),
            )
        except ValueError as error:
            raise InputError(Problem(message=str(error), location=inputs.scenario.file)) from None

    def assess(self, policy: str, accelerators: int, replica: int, step_s: float) -> ReliabilityResult:
        """Return the closed form of the job. Raises as `job`."""
        return reliability.assess(self.job(policy, accelerators, replica, step_s))

    def progress(self, accelerators: int, replica: int, step_s: float) -> float:
        """Return the useful share of the wall time under the scenario's policy, extra tokens of islands counted as lost;
        0 where the replicas do not suit the policy.
        """
        key = (accelerators, replica, step_s)
        if key not in self._found:
            try:
                job = self.job(self.policy, accelerators, replica, step_s)
            except InputError:
                return self._found.setdefault(key, 0.0)
            useful = float(reliability.closed_shares(job)["useful"][0])
            self._found[key] = useful / (1.0 + self.extra_tokens(self.policy, job.islands).best)
        return self._found[key]

    @property
    def generation(self) -> str:
        """Whose failure rates hold for the fleet."""
        return generation_of_fleet(self.inputs.groups)

    def extra_tokens(self, policy: str, islands: int) -> Sourced:
        """Return the extra tokens that the islands of a policy need, as a share; none under any other."""
        if policy != "islands":
            return Sourced.exact(0.0, source="synchronous training")
        steps = self.inputs.scenario.reliability.inner_steps or USUAL_INNER_STEPS
        found = reliability.extra_tokens(self.inputs.value("model.parameters"), islands, steps)
        path = "reliability.extra_tokens_per_island"
        if path in self.inputs.assumptions:
            packaged = reliability.default_assumptions(self.generation, policy)[path].best
            found = replace(
                found, best=min(max(found.best * self.inputs.value(path) / packaged, found.low), found.high)
            )
        return found

    def _stated(self, path: str) -> bool:
        found = self.inputs.assumptions.get(path)
        return found is not None and found.grade is Grade.GIVEN


def _in_all(policy: reliability.RecoveryPolicy, whole_s: float) -> reliability.RecoveryPolicy:
    """Return a policy whose states take `whole_s` together, detection and drain as before where that leaves room."""
    found = min(policy.detect_s, whole_s)
    drain = min(policy.drain_s, whole_s - found)
    return replace(policy, detect_s=found, drain_s=drain, remap_s=0.0, reload_s=0.0, warm_up_s=whole_s - found - drain)


def islands_of(scenario: Scenario, replicas: int) -> int:
    """Return how many islands the replicas make: as asked for, else the most up to the usual number that divide them.

    Raises InputError where they do not divide.
    """
    asked = scenario.reliability.islands
    divisors = [count for count in range(2, min(replicas, 64) + 1) if replicas % count == 0]
    if asked is not None:
        if replicas % asked:
            raise wrong_policy(
                scenario,
                "islands",
                f"{asked:,} islands do not divide the {replicas:,} replicas",
                ", ".join(map(str, divisors)) or "one island",
            )
        return asked
    usual = [count for count in divisors if count <= USUAL_ISLANDS]
    if not usual:
        raise wrong_policy(
            scenario,
            "islands",
            f"{replicas:,} replicas do not divide among 2 to {USUAL_ISLANDS} islands",
            ", ".join(map(str, divisors)) or "another policy",
        )
    return usual[-1]


def wrong_policy(scenario: Scenario, name: str, message: str, allowed: str) -> InputError:
    """Return an error at a field of the scenario's section of reliability."""
    path = f"reliability.{name}"
    return InputError(Problem(message=message, location=scenario.place(path), path=path, allowed=allowed))
