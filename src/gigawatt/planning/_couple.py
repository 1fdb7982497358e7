"""The engines in order, each fed with plain values from the ones before.

    limits of chips, power, money -> fleet -> strategies per width -> failures -> run time -> energy -> cost

The strategy is the one whose run is shortest, failures included, which may leave accelerators out.

Feeding is held against the sustained peak of the facility, so it does not depend on the strategy and no iteration is
needed beyond the size of the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from gigawatt import finance, power, reliability
from gigawatt.errors import InfeasibleError, InputError
from gigawatt.evidence import Output
from gigawatt.hardware import plan_network
from gigawatt.planning._couple_outputs import computing, fleet_outputs, policy_outputs, run_outputs
from gigawatt.planning._failures import Failures, Stock, stock_of
from gigawatt.planning._groups import DEFAULT_COUNT, Group, weights_of
from gigawatt.planning._inputs import Inputs
from gigawatt.planning._result import Fleet, FleetGroup
from gigawatt.planning._width import Width, Widths, widths
from gigawatt.quantity import format_quantity
from gigawatt.training import Constants, TrainingJob, TrainingResult, infeasible, train

# What a fleet is looked for in where neither a count nor a limit is given: a bound for the search, far above any site.
MOST_ACCELERATORS = 20_000_000
# A goodput below this is no progress.
NOTHING = 1e-6
# A job that waits for spares for more of its time lacks spares.
MOSTLY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many accelerators each limit allows; None where there is no such limit. `switches` per accelerator, IT
    power and capital of one.
    """

    requested: int | None
    power: int | None
    budget: int | None
    switches: float
    it_peak_w: float
    capital_usd: float

    @property
    def smallest(self) -> str:
        """Name of the limit that sets the fleet: "grid power", "budget" or "chips"."""
        known = {"grid power": self.power, "budget": self.budget, "chips": self.requested}
        present = {name: value for name, value in known.items() if value is not None}
        if not present:
            return "chips"
        least = min(present.values())
        return "chips" if present.get("chips") == least else min(present, key=lambda name: present[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One pass over all engines. `widths` are the numbers of accelerators that were weighed, most first."""

    limits: Limits
    fleet: Fleet
    job: TrainingJob
    widths: tuple[Width, ...]
    training: TrainingResult
    reliability: reliability.ReliabilityResult
    policies: Mapping[str, float]
    power: power.PowerResult
    finance: finance.FinanceResult
    outputs: Mapping[str, Output]

    @property
    def replica(self) -> int:
        """Accelerators of one replica of the job."""
        return int(self.training.columns.replica[0])

    def value(self, path: str) -> float:
        """Return one output."""
        return self.outputs[path].value


def evaluate(inputs: Inputs, pins: Mapping[str, int] | None = None, limit_fleet: bool = True) -> Evaluation:
    """Return the plan of one set of inputs. `pins` hold decisions of the strategy; without `limit_fleet` power and
    budget are not limits.

    Raises InfeasibleError where the limits leave no server, or where no strategy fits.
    """
    limits = _limits(inputs, limit_fleet)
    groups = _powered(inputs, limits)
    powered = sum(group.powered for group in groups)
    chosen = choose(inputs, powered, pins=pins)
    job, trained, failing = chosen.job, chosen.trained, chosen.failing
    tokens = inputs.value("training.tokens")
    failures = failing.assess(failing.policy, *chosen.size)
    others = _others(failing, *chosen.size)
    if failures.goodput < NOTHING:
        raise _stopped(failures, others, trained.accelerators)
    extra = failing.extra_tokens(failing.policy, failures.islands).best
    steps = math.ceil(tokens * (1.0 + extra) / job.tokens_per_step)
    run_s = steps * trained.step_s / failures.goodput
    grid_limit_w = inputs.value("site.grid_limit") if inputs.has("site.grid_limit") else None
    powers = powers_of(inputs, groups, limits, trained, failures.goodput, grid_limit_w)
    energy = powers.facility_w * run_s
    money = costs_of(
        inputs,
        groups,
        limits,
        powers,
        run_s=run_s,
        tokens=tokens,
        accelerators_used=trained.accelerators,
        goodput=failures.goodput,
    )
    fleet = Fleet(groups=tuple(groups), spares=chosen.stock.accelerators, used=trained.accelerators)
    outputs = {
        **fleet_outputs(inputs, fleet, limits),
        **trained.outputs,
        "training.computing_fraction": computing(trained),
        **chosen.stock.told(failures.outputs),
        **policy_outputs(others),
        **run_outputs(inputs, trained, failures, extra, steps, run_s, energy),
        **powers.outputs,
        **money.outputs,
    }
    return Evaluation(
        limits=limits,
        fleet=fleet,
        job=job,
        widths=chosen.weighed.tried,
        training=trained,
        reliability=failures,
        policies=others,
        power=powers,
        finance=money,
        outputs=outputs,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The strategy of a fleet: `stock` of spares, training `job` on the rest of it, numbers of accelerators `weighed`
    with the failures of each, and the step of the best, `trained`.
    """

    stock: Stock
    job: TrainingJob
    failing: Failures
    weighed: Widths
    trained: TrainingResult

    @property
    def size(self) -> tuple[int, int, float]:
        """Accelerators of the job and of a replica, and the step time."""
        return self.trained.accelerators, self.weighed.best.replica, self.trained.step_s


def choose(
    inputs: Inputs, fleet: int, *, pins: Mapping[str, int] | None = None, spare_nodes: int | None = None
) -> Chosen:
    """Return the strategy with which the run of a fleet of so many accelerators is shortest, failures included.

    Raises InfeasibleError where its spares leave nothing, or where no strategy fits.
    """
    stock = stock_of(inputs, fleet, spare_nodes)
    if fleet - stock.accelerators < 1:
        raise InfeasibleError(
            f"{stock.accelerators:,} accelerators of spare nodes leave nothing of a fleet of {fleet:,}",
            constraint="spares",
            remedy="fewer spares or more accelerators",
        )
    job = job_of(inputs, fleet - stock.accelerators)
    steps = math.ceil(inputs.value("training.tokens") / job.tokens_per_step)
    failing = Failures(inputs=inputs, steps=steps, spare_nodes=stock.nodes)
    weighed = _weighed(inputs, job, {**inputs.pins, **(pins or {})}, failing)
    trained = train(
        job, weighed.best.columns, constraints=inputs.constraints, found=weighed.found, evaluator=weighed.evaluator
    )
    return Chosen(stock=stock, job=job, failing=failing, weighed=weighed, trained=trained)


def powers_of(
    inputs: Inputs,
    groups: Sequence[FleetGroup],
    limits: Limits,
    trained: TrainingResult,
    goodput: float,
    grid_limit_w: float | None = None,
) -> power.PowerResult:
    """Return what a fleet draws while it trains with this goodput."""
    return power.assess(
        loads=[_load(inputs, group) for group in groups],
        switches_per_accelerator=limits.switches,
        pue=inputs.value("site.pue"),
        values=inputs.values(power.ASSUMPTIONS),
        computing_fraction=trained.computing_fraction,
        goodput=goodput,
        step_s=trained.step_s,
        grid_limit_w=grid_limit_w,
    )


def costs_of(
    inputs: Inputs,
    groups: Sequence[FleetGroup],
    limits: Limits,
    powers: power.PowerResult,
    *,
    run_s: float,
    tokens: float,
    accelerators_used: int,
    goodput: float,
) -> finance.FinanceResult:
    """Return what a fleet and `run_s` of it cost."""
    return finance.assess(
        purchases=[
            finance.Purchase(
                name=g.accelerator, count=g.powered, price_usd=inputs.value(f"accelerator.{g.accelerator}.price_usd")
            )
            for g in groups
        ],
        switches_per_accelerator=limits.switches,
        it_peak_w=powers.outputs["power.it_per_accelerator_peak"].value * sum(g.powered for g in groups),
        energy_j=powers.facility_w * run_s,
        energy_usd_per_joule=inputs.value("site.electricity_price"),
        run_s=run_s,
        accelerators_used=accelerators_used,
        goodput=goodput,
        tokens=tokens,
        values=inputs.values(finance.ASSUMPTIONS),
        staff_usd_per_s=inputs.scenario.finance.staff_cost,
    )


def _others(failing: Failures, accelerators: int, replica: int, step_s: float) -> dict[str, float]:
    """Return the useful share of the wall time under every policy that suits the replicas, extra tokens counted as
    lost, most first.
    """
    found = {}
    for policy in reliability.RECOVERY_POLICIES:
        try:
            other = failing.assess(policy, accelerators, replica, step_s)
        except InputError:
            continue
        found[policy] = other.goodput / (1.0 + failing.extra_tokens(policy, other.islands).best)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _stopped(
    failures: reliability.ReliabilityResult, others: Mapping[str, float], accelerators: int
) -> InfeasibleError:
    best = next(iter(others))
    head = (
        f"failures stop the run: {accelerators:,} accelerators fail every {format_quantity(failures.mtbf_s, 's')}, "
        f"a stop takes {format_quantity(failures.restart_s, 's')}."
    )
    if failures.waiting > MOSTLY:
        out = failures.outputs["reliability.nodes_out"].value
        head = f"{failures.spare_nodes:,} spare nodes are too few: {out:,.1f} nodes are under repair in the mean, and the job waits for them."
        if out > accelerators + failures.spare_nodes:
            head = "Nodes fail faster than they are repaired."
    if others[best] < NOTHING:
        return InfeasibleError(
            f"{head} No recovery policy helps; fewer accelerators would.",
            constraint="failures",
            remedy="a smaller fleet",
        )
    words = reliability.POLICY_WORDS[best]
    return InfeasibleError(
        f"{head} {words[0].upper()}{words[1:]} (reliability.policy: {best}) would leave {others[best]:.0%} goodput.",
        constraint="failures",
        remedy=f"reliability.policy: {best}",
    )


def _weighed(inputs: Inputs, job: TrainingJob, pins: Mapping[str, int], failing: Failures) -> Widths:
    """Return what numbers of accelerators are worth, with replicas that suit the recovery policy. Raises InfeasibleError
    where no strategy fits.
    """
    goodput, choices = cache(failing.progress), failing.rules(pins)
    for rules in choices:
        constraints = (*inputs.constraints, *rules)
        found = widths(job, goodput, pins, constraints)
        if isinstance(found, Widths):
            return found
        if rules == choices[-1]:
            raise infeasible(job, found, pins, constraints, None, inputs.server, resizing(job, inputs))
    raise AssertionError("there is at least one choice")


def resizing(job: TrainingJob, inputs: Inputs) -> Callable[[int], TrainingJob]:
    """Return the same job on another number of accelerators, with the network that they need, as a function of it."""
    return lambda count: replace(job, accelerators=count, fabric=inputs.fabric(count))


def training_job(inputs: Inputs) -> TrainingJob:
    """Return the training job of the accelerators that are asked for, else of those that the limits of the scenario
    leave.

    Raises InfeasibleError where they leave no server.
    """
    counts = [group.count for group in inputs.groups]
    if all(counts):
        return job_of(inputs, sum(count or 0 for count in counts))
    powered = sum(group.powered for group in _powered(inputs, _limits(inputs, True)))
    return job_of(inputs, max(powered - stock_of(inputs, powered).accelerators, 1))


def fleet_of(inputs: Inputs) -> int:
    """Return the accelerators of a scenario: those that are asked for, within the limits of power and money where it sets
    any and the catalogue knows what these need.
    """
    counts = [group.count for group in inputs.groups]
    if all(counts) and not _limited(inputs):
        return sum(count or 0 for count in counts)
    return sum(group.powered for group in _powered(inputs, _limits(inputs, True)))


def _limited(inputs: Inputs) -> bool:
    limited = inputs.has("site.grid_limit") or inputs.has("finance.budget")
    return limited and priced(inputs)


def priced(inputs: Inputs) -> bool:
    """Return whether the scenario and the catalogue know the price and the power of every accelerator."""
    needed = [f"accelerator.{g.accelerator.name}.{field}" for g in inputs.groups for field in ("price_usd", "tdp_w")]
    return all(inputs.has(path) for path in (*needed, *power.ASSUMPTIONS, *finance.ASSUMPTIONS))


def job_of(inputs: Inputs, accelerators: int) -> TrainingJob:
    """Return the training job of a scenario on a number of accelerators."""
    constants = {name: inputs.value(f"training.{name}") for name in Constants.__dataclass_fields__}
    sequence, sample_bytes, storage = int(inputs.value("training.sequence_length")), 0.0, 0.0
    given = inputs.scenario.training.input
    if inputs.has("training.sample_bytes") and given is not None and given.storage_bandwidth is not None:
        per_token = inputs.value("training.sample_bytes") / inputs.value("training.tokens_per_sample")
        sample_bytes, storage = per_token * sequence, given.storage_bandwidth
    return TrainingJob(
        model=inputs.model,
        chip=inputs.chip,
        fabric=inputs.fabric(accelerators),
        accelerators=accelerators,
        global_batch=int(inputs.value("training.global_batch")),
        sequence=sequence,
        sample_bytes=sample_bytes,
        storage_bytes_per_s=storage,
        precision=inputs.precision,
        optimizer=inputs.optimizer,
        constants=Constants(**constants),
        model_error=inputs.value("training.model_error"),
    )


# the fleet -----------------------------------------------------------------------------------------------------------


def _server_w(inputs: Inputs, group: Group) -> float | None:
    accelerator = group.accelerator
    if accelerator.server_max_w is None or not accelerator.server_chips:
        return None
    return inputs.value(f"accelerator.{accelerator.name}.server_max_w") / accelerator.server_chips


def _own_server_w(inputs: Inputs, name: str) -> float | None:
    path = f"accelerator.{name}.server_w"
    return inputs.value(path) if inputs.has(path) else None


def _load(inputs: Inputs, group: FleetGroup) -> power.Load:
    source = next(item for item in inputs.groups if item.accelerator.name == group.accelerator)
    return power.Load(
        name=group.accelerator,
        count=group.powered,
        tdp_w=inputs.value(f"accelerator.{group.accelerator}.tdp_w"),
        server_max_w_per_accelerator=_server_w(inputs, source),
        server_w=_own_server_w(inputs, group.accelerator),
    )


def priced_fleet(inputs: Inputs) -> tuple[list[FleetGroup], Limits]:
    """Return the accelerators of `fleet_of` by kind, and what power and money allow."""
    known = all(group.count is not None for group in inputs.groups)
    limits = _limits(inputs, not known or _limited(inputs))
    return _powered(inputs, limits), limits


def _limits(inputs: Inputs, limit_fleet: bool) -> Limits:
    """Return what chips, power and money allow. The network's switches per accelerator depend on the size, so sizes
    are iterated.
    """
    known = [group.count for group in inputs.groups]
    requested = sum(count for count in known if count is not None) if None not in known else None
    size = requested or DEFAULT_COUNT
    limits = _limits_at(inputs, requested, size, limit_fleet)
    for _ in range(6):
        allowed = [value for value in (limits.requested, limits.power, limits.budget) if value is not None]
        fresh = max(1, min(min(allowed, default=size), MOST_ACCELERATORS))
        if fresh == size:
            break
        size = fresh
        limits = _limits_at(inputs, requested, size, limit_fleet)
    return limits


def _limits_at(inputs: Inputs, requested: int | None, size: int, limit_fleet: bool) -> Limits:
    # one server, or one scale-up domain, needs no further network
    alone = size <= max(max(g.accelerator.server_chips or 1, g.accelerator.scale_up_domain or 1) for g in inputs.groups)
    over = inputs.scenario.network.oversubscription or 1.0
    switches = 0.0 if alone else plan_network(size, oversubscription=over).switches_per_endpoint
    values = {path.partition(".")[2]: inputs.value(path) for path in power.ASSUMPTIONS}
    weights = weights_of(inputs.groups)
    peak, capital = 0.0, 0.0
    for group, weight in zip(inputs.groups, weights, strict=True):
        name = group.accelerator.name
        load = power.Load(
            name=name,
            count=1,
            tdp_w=inputs.value(f"accelerator.{name}.tdp_w"),
            server_max_w_per_accelerator=_server_w(inputs, group),
            server_w=_own_server_w(inputs, name),
        )
        each = (
            values["compute_fraction"] * load.tdp_w
            + power.server_overhead_w(load, values)
            + values["network_w_per_switch"] * switches
        )
        each *= 1 + values["other_it_fraction"]
        peak += weight * each
        capital += weight * finance.capital_per_accelerator(
            inputs.value(f"accelerator.{name}.price_usd"), switches, each, inputs.values(finance.ASSUMPTIONS)
        )
    fed = bought = None
    if limit_fleet and inputs.has("site.grid_limit"):
        fed = power.accelerators_fed(inputs.value("site.grid_limit"), inputs.value("site.pue"), peak)
    if limit_fleet and inputs.has("finance.budget"):
        bought = math.floor(inputs.value("finance.budget") / capital)
    return Limits(requested=requested, power=fed, budget=bought, switches=switches, it_peak_w=peak, capital_usd=capital)


def _powered(inputs: Inputs, limits: Limits) -> list[FleetGroup]:
    allowed = min(
        (value for value in (limits.requested, limits.power, limits.budget) if value is not None), default=DEFAULT_COUNT
    )
    groups = []
    for group, weight in zip(inputs.groups, weights_of(inputs.groups), strict=True):
        accelerator = group.accelerator
        server = accelerator.server_chips or 1
        share = int(allowed * weight + 1e-9)
        powered = group.count if group.count is not None and share >= group.count else share // server * server
        groups.append(
            FleetGroup(
                accelerator=accelerator.name,
                vendor=accelerator.vendor,
                requested=group.count if group.count is not None else powered,
                powered=powered,
            )
        )
    if sum(group.powered for group in groups) < 1:
        raise _nothing_powered(inputs, limits)
    return groups


def _nothing_powered(inputs: Inputs, limits: Limits) -> InfeasibleError:
    server = min(group.accelerator.server_chips or 1 for group in inputs.groups)
    name = limits.smallest
    if name == "grid power":
        needed = server * limits.it_peak_w * inputs.value("site.pue")
        return InfeasibleError(
            f"grid power binds: {format_quantity(inputs.value('site.grid_limit'), 'W')} does not feed one server of {server} accelerators, which needs "
            f"{format_quantity(needed, 'W')} with cooling. Smallest change: site.grid_limit of {format_quantity(needed, 'W')}.",
            constraint=name,
            remedy=f"site.grid_limit={format_quantity(needed, 'W')}",
        )
    needed = server * limits.capital_usd
    return InfeasibleError(
        f"budget binds: {format_quantity(inputs.value('finance.budget'), 'USD')} does not buy one server of {server} accelerators with its share of network and building, "
        f"{format_quantity(needed, 'USD')}. Smallest change: finance.budget of {format_quantity(needed, 'USD')}.",
        constraint=name,
        remedy=f"finance.budget={format_quantity(needed, 'USD')}",
    )
