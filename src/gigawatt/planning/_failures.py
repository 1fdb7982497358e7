"""The failures of a scenario's job: what `plan` and `gigawatt goodput` both ask the reliability engine.

    accelerators, replica, step time + assumptions + stock of spares -> ReliabilityJob

The table of assumptions holds the times of the policy that the scenario asks for; another policy is taken with its packaged
times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gigawatt import reliability
from gigawatt.errors import InputError, Problem
from gigawatt.evidence import Grade, Output, Sourced
from gigawatt.planning._assumptions import EXTRA_TOKENS
from gigawatt.planning._groups import DEFAULT_POLICY, generation_of_fleet
from gigawatt.planning._inputs import Inputs
from gigawatt.reliability import ReliabilityJob, ReliabilityResult
from gigawatt.scenario import Scenario
from gigawatt.training import Constraint, multiple_of

# Islands where nobody says how many, if they divide the replicas; fewer where no strategy has as many replicas.
USUAL_ISLANDS = 8
# Divisors of the replicas that a message lists.
MOST_LISTED = 64
SPARE_NODES = "reliability.spare_nodes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """The spare nodes of a job and where they stand. Nodes that somebody states, and hot spares (`covering`: as many as
    cover the nodes under repair), are a part of the fleet: `accelerators` of it. Under any other policy as many as cover the
    nodes under repair stand beside the fleet, whatever the job (`nodes` None).
    """

    nodes: int | None = None
    accelerators: int = 0
    covering: bool = False

    def told(self, outputs: Mapping[str, Output]) -> dict[str, Output]:
        """Return the outputs of a job, with where the number of its spare nodes comes from."""
        if not self.covering:
            return dict(outputs)
        covers = replace(
            outputs[SPARE_NODES],
            method="compound Poisson quantile of the nodes under repair of all powered accelerators (docs/science.md 8.12)",
            inputs={"rate": "reliability.hardware_failure_rate", "repair": "reliability.repair_s"}
            | {"powered": "fleet.powered", "share": "reliability.spare_probability"},
        )
        return {**outputs, SPARE_NODES: covers}


def stock_of(inputs: Inputs, fleet: int, spare_nodes: int | None = None) -> Stock:
    """Return the spares of a fleet of so many accelerators: `spare_nodes`, else those of the scenario in whole nodes, else
    what the policy needs.
    """
    asked, each = inputs.scenario.reliability, min(inputs.node, fleet)
    if spare_nodes is None and asked.spares is not None:
        spare_nodes = -(-asked.spares // each)
    if spare_nodes is not None:
        return Stock(nodes=spare_nodes, accelerators=spare_nodes * each)
    if asked.policy != "hot_spare":
        return Stock()
    nodes = Failures(inputs=inputs, steps=1).assess("hot_spare", fleet, each, 1.0).spare_nodes
    return Stock(nodes=nodes, accelerators=nodes * each, covering=True)


@dataclass(frozen=True, slots=True)
class Failures:
    """The job of a scenario on any number of accelerators: `steps` to do, or `duration_s` of wall time to look at."""

    inputs: Inputs
    steps: float
    spare_nodes: int | None = None
    duration_s: float | None = None

    @property
    def policy(self) -> str:
        """The policy that the scenario asks for."""
        return self.inputs.scenario.reliability.policy or DEFAULT_POLICY

    def rules(self, pins: Mapping[str, int]) -> tuple[tuple[Constraint, ...], ...]:
        """Return what strategies must keep so that their replicas suit the policy, the first choice first: islands divide
        them. Pinned replicas are checked, not searched. Raises InputError where they do not divide.
        """
        if self.policy != "islands":
            return ((),)
        asked = self.inputs.scenario.reliability.islands
        if "data_parallel" in pins:
            islands_of(self.inputs.scenario, pins["data_parallel"])
            return ((),)
        counts = (asked,) if asked is not None else range(USUAL_ISLANDS, 1, -1)
        return tuple((multiple_of("data_parallel", count),) for count in counts)

    def job(
        self, policy: str, accelerators: int, replica: int, step_s: float, *, estimate: bool = False
    ) -> ReliabilityJob:
        """Return the job on `accelerators` in replicas of `replica` whose step takes `step_s`; as an `estimate` on the way
        to a strategy islands need not divide the replicas.

        Raises InputError where the replicas do not suit the policy, and for what the engine does not take.
        """
        inputs, asked = self.inputs, self.inputs.scenario.reliability
        table = (inputs if policy == self.policy else inputs.with_policy(policy)).assumptions
        values = {path: value.best for path, value in table.items() if path.startswith("reliability.")}
        replicas = max(accelerators // replica, 1)
        islands = 1
        if policy == "islands":
            usual = min(asked.islands or USUAL_ISLANDS, replicas)
            islands = usual if estimate else islands_of(inputs.scenario, replicas)
        if policy == "drop_replica" and replicas < 2:
            raise wrong_policy(
                inputs.scenario,
                "policy",
                "drop_replica needs at least 2 replicas; the strategy has one",
                "another policy",
            )
        layout = inputs.layout
        each = min(layout.accelerators_per_node, accelerators)
        recovery = reliability.recovery_of(policy, values, accelerators // islands, step_s)
        useful_s = self.steps * step_s * (1.0 + self.extra_tokens(policy, islands).best)
        try:
            job = ReliabilityJob(
                accelerators=accelerators,
                processes=reliability.processes_of(
                    self.generation, values, layout=layout, one_repair=self._stated("reliability.repair_s")
                ),
                policy=recovery if asked.restart_time is None else _in_all(recovery, asked.restart_time),
                accelerators_per_node=each,
                nodes_per_rack=layout.nodes_per_rack,
                nodes_per_rail=layout.nodes_per_rail,
                racks_per_feed=layout.racks_per_feed,
                replicas=min(replicas, -(-accelerators // each)),
                islands=islands,
                step_s=step_s,
                state_bytes=reliability.state_bytes(
                    inputs.value("model.parameters"), values["reliability.state_bytes_per_parameter"]
                ),
                tiers=reliability.tiers_of(values),
                reload_s=None if asked.restart_time is None else 0.0,
                interval_s=asked.checkpoint_interval,
                spare_nodes=self.spare_nodes,
                duration_s=self.duration_s,
                useful_s=useful_s if self.duration_s is None else None,
                operations=reliability.operations_of(values),
            )
        except ValueError as error:
            raise InputError(Problem(message=str(error), location=inputs.scenario.file)) from None
        stated = self._stated(reliability.HARDWARE_RATE)
        return reliability.at_hardware_rate(job, values[reliability.HARDWARE_RATE]) if stated else job

    def assess(self, policy: str, accelerators: int, replica: int, step_s: float) -> ReliabilityResult:
        """Return the closed form of the job. Raises as `job`."""
        return reliability.assess(self.job(policy, accelerators, replica, step_s))

    def progress(self, accelerators: int, replica: int, step_s: float) -> float:
        """Return the useful share of the wall time under the scenario's policy, extra tokens of islands counted as lost;
        0 where the replicas do not suit the policy.
        """
        try:
            job = self.job(self.policy, accelerators, replica, step_s, estimate=True)
        except InputError:
            return 0.0
        useful = float(reliability.closed_shares(job)["useful"][0])
        return useful / (1.0 + self.extra_tokens(self.policy, job.islands).best)

    @property
    def generation(self) -> str:
        """Whose failure rates hold for the fleet."""
        return generation_of_fleet(self.inputs.groups)

    def extra_tokens(self, policy: str, islands: int) -> Sourced:
        """Return the extra tokens that the islands of a policy need, as a share; none under any other."""
        if policy != "islands":
            return Sourced.exact(0.0, source="synchronous training")
        inputs = self.inputs if policy == self.policy else self.inputs.with_policy(policy)
        each, others = inputs.assumptions[EXTRA_TOKENS], islands - 1
        return replace(
            each,
            low=each.low * others,
            best=each.best * others,
            high=each.high * others,
            label="extra tokens of asynchronous islands",
        )

    def _stated(self, path: str) -> bool:
        found = self.inputs.assumptions.get(path)
        return found is not None and found.grade is Grade.GIVEN


def _in_all(policy: reliability.RecoveryPolicy, whole_s: float) -> reliability.RecoveryPolicy:
    """Return a policy whose states take `whole_s` together, detection and drain as before where that leaves room."""
    found = min(policy.detect_s, whole_s)
    drain = min(policy.drain_s, whole_s - found)
    return replace(
        policy,
        detect_s=found,
        drain_s=drain,
        remap_s=0.0,
        reload_s=0.0,
        warm_up_s=whole_s - found - drain,
        start_up_s=None,
    )


def islands_of(scenario: Scenario, replicas: int) -> int:
    """Return how many islands the replicas make: as asked for, else the most up to the usual number that divide them.

    Raises InputError where they do not divide.
    """
    asked = scenario.reliability.islands
    divisors = [count for count in range(2, min(replicas, MOST_LISTED) + 1) if replicas % count == 0]
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
