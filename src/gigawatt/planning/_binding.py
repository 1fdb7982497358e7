"""What stops a plan: the limits and their use, the levers and what they are worth, and the one that binds."""

from __future__ import annotations

import math
from dataclasses import replace

from gigawatt.errors import InfeasibleError, InputError
from gigawatt.planning._couple import Evaluation, evaluate
from gigawatt.planning._inputs import Inputs, resolve
from gigawatt.planning._result import Binding, Constraint, Lever
from gigawatt.planning._width import Width
from gigawatt.quantity import format_quantity
from gigawatt.reliability import POLICY_WORDS

# A larger fleet that saves less than this share of the run is not what binds.
USELESS = 0.01
# Power caps that are tried, as shares of what an accelerator draws in training.
CAP_SHARES = (0.85, 0.7, 0.55)
# A smaller share of powered accelerators that are not in the job is not worth a sentence.
IDLE_WORTH_TELLING = 0.01
# A step that is shorter by less is hardly shorter.
HARDLY = 0.0005
# A fleet is not worth making smaller by less than this.
WORTH_SELLING = 0.05
# Levers that answer for accelerators which are not in the job.
ALL_IN, FEWER = "idle accelerators", "fewer accelerators"
# What leaves accelerators over binds if relieving it is worth at least this share of the best lever.
COMPARABLE = 0.5
# What a lever that binds is called as a constraint.
_NAMES = {ALL_IN: "global batch"}


def constraints_of(inputs: Inputs, base: Evaluation) -> list[Constraint]:
    limits, fleet = base.limits, base.fleet
    found = []
    if limits.requested is not None:
        found.append(
            Constraint(
                name="chips",
                limit=float(limits.requested),
                used=float(fleet.powered),
                unit="",
                sentence=f"{fleet.powered:,} of the {limits.requested:,} accelerators asked for are powered",
            )
        )
    if limits.power is not None:
        limit, used = inputs.value("site.grid_limit"), base.power.facility_peak_w
        found.append(
            Constraint(
                name="grid power",
                limit=limit,
                used=used,
                unit="W",
                sentence=f"the site draws {format_quantity(used, 'W')} at its sustained peak of {format_quantity(limit, 'W')} allowed",
            )
        )
    if limits.budget is not None:
        limit, used = inputs.value("finance.budget"), base.finance.capex.value
        found.append(
            Constraint(
                name="budget",
                limit=limit,
                used=used,
                unit="USD",
                sentence=f"the factory costs {format_quantity(used, 'USD')} of a budget of {format_quantity(limit, 'USD')}",
            )
        )
    capacity = inputs.chip.memory_bytes
    found.append(
        Constraint(
            name="memory per accelerator",
            limit=capacity,
            used=base.training.memory_bytes,
            unit="B",
            sentence=f"the strategy needs {format_quantity(base.training.memory_bytes, 'B')} of {format_quantity(capacity, 'B')} per accelerator",
        )
    )
    row = base.training.strategy
    batch = inputs.value("training.global_batch")
    width = float(row["data_parallel"] * row["micro_batch"] * row["pipeline_parallel"])
    found.append(
        Constraint(
            name="global batch",
            limit=batch,
            used=width,
            unit="sequence",
            sentence=f"{row['data_parallel']:,} replicas need {width:,.0f} of the {batch:,.0f} sequences of a step to fill their pipelines once",
        )
    )
    if inputs.has("training.deadline"):
        limit, used = inputs.value("training.deadline"), base.value("run.time")
        found.append(
            Constraint(
                name="deadline",
                limit=limit,
                used=used,
                unit="s",
                sentence=f"the run takes {format_quantity(used, 's')} of {format_quantity(limit, 's')} allowed",
            )
        )
    return found


def binding_of(inputs: Inputs, base: Evaluation, levers: tuple[Lever, ...], constraints: list[Constraint]) -> Binding:
    """Return what binds: a limit that the scenario sets and misses, the limit that cuts the fleet, else the lever
    that saves most time; where accelerators are left over, what keeps them from being used.
    """
    lever = _binding_lever(base, levers)
    name = lever.name if lever is not None else base.limits.smallest
    sentence = _BINDING_SENTENCES[name](inputs, base)
    idle = idle_sentence(base)
    if idle:
        sentence = f"{sentence} {idle}"
    cut, asked = base.limits.smallest, base.limits.requested
    if name != cut and cut in _CUTS and asked is not None:
        sentence = f"{sentence} {_CUTS[cut](inputs, base)}"
    relief = lever.change if lever is not None else "No larger fleet was found that has a strategy."
    worth = f"Worth: {lever.sentence}." if lever is not None else ""
    deadline = next(
        (constraint for constraint in constraints if constraint.name == "deadline" and constraint.violated), None
    )
    if deadline is None:
        return Binding(name=_NAMES.get(name, name), sentence=sentence, relief=relief, worth=worth)
    over = format_quantity(deadline.used - deadline.limit, "s")
    return Binding(
        name="deadline",
        sentence=f"The deadline is missed by {over}: {deadline.sentence}. Behind it: {sentence}",
        relief=f"{_deadline_relief(inputs, deadline)} {relief}",
        worth=worth,
    )


def _binding_lever(base: Evaluation, levers: tuple[Lever, ...]) -> Lever | None:
    """Return the lever of what binds: of the limit that cuts the fleet, else of what leaves accelerators over, else the
    one that saves most time.
    """
    able = {lever.name: lever for lever in levers if lever.name != FEWER}
    if not able:
        return None
    best, cut, cause = max(able.values(), key=lambda lever: lever.time_saved_s), base.limits.smallest, idle_cause(base)
    useful = USELESS * base.value("run.time")
    if cut != "chips" and cut in able and able[cut].time_saved_s >= useful:
        return able[cut]  # more of what cuts the fleet would shorten the run
    if not cause:
        return best
    others = [lever for lever in able.values() if lever.name != "chips"]
    best = max(others, key=lambda lever: lever.time_saved_s, default=best)
    left_over = able.get(ALL_IN if cause == "global batch" and ALL_IN in able else cause, best)
    return left_over if left_over.time_saved_s >= COMPARABLE * best.time_saved_s else best


def idle_cause(base: Evaluation) -> str:
    """Return why powered accelerators are not in the job: "failures" where a strategy with more of them has a shorter
    step and a longer run, else "global batch"; "" where hardly any are left over.
    """
    if base.fleet.idle <= IDLE_WORTH_TELLING * base.fleet.powered:
        return ""
    return "failures" if _wider(base) is not None else "global batch"


def _wider(base: Evaluation) -> Width | None:
    """Return the number of accelerators above the job's with the shortest step, None where no step is shorter."""
    more = [
        row
        for row in base.widths
        if row.accelerators > base.fleet.used and row.step_s < base.training.step_s and row.goodput > 0
    ]
    return min(more, key=lambda row: row.step_s, default=None)


def idle_sentence(base: Evaluation) -> str:
    """Return how many powered accelerators are not in the job, and why; "" where hardly any are left over."""
    cause, wider = idle_cause(base), _wider(base)
    if not cause:
        return ""
    fleet = base.fleet
    head = f"{fleet.idle:,} of {fleet.powered:,} powered accelerators ({fleet.idle / fleet.powered:.1%}) are not in the job"
    if wider is not None:
        longer = wider.wall_s / (base.training.step_s / base.reliability.goodput)
        run = f"{longer - 1:.1%} longer" if longer < 2 else f"{min(longer, 1e6):,.3g} times as long"
        shorter = 1 - wider.step_s / base.training.step_s
        step = f"{shorter:.1%}" if shorter >= HARDLY else "hardly"
        return (
            f"{head}: with {wider.accelerators:,} instead of {fleet.used:,} the step would be {step} shorter, "
            f"but failures would make the run {run}."
        )
    return f"{head}: no strategy with more of them has a shorter step."


def _deadline_relief(inputs: Inputs, deadline: Constraint) -> str:
    """Return the smallest change that keeps the deadline: fewer tokens always do; more accelerators where they help."""
    tokens = inputs.value("training.tokens") * deadline.limit / deadline.used
    fewer = f"{format_quantity(tokens * 0.999, 'token')} instead of {format_quantity(inputs.value('training.tokens'), 'token')} would keep it"
    for factor in (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0):
        try:
            more = evaluate(_with_more_chips(inputs, factor), inputs.pins, limit_fleet=False)
        except (InfeasibleError, InputError):
            continue
        if more.value("run.time") <= deadline.limit:
            return f"{more.fleet.powered:,} accelerators (drawing {format_quantity(more.power.facility_peak_w, 'W')}) or {fewer}."
    return f"Up to ten times the accelerators do not keep it; {fewer}."


def levers_of(inputs: Inputs, base: Evaluation) -> tuple[Lever, ...]:
    """Return the changes that could help, each with the strategy chosen anew; those without a strategy are left out,
    and a smaller fleet that would save no money or cost more than a hundredth of the run.
    """
    found: list[Lever] = []
    for name, change, changed in _candidates(inputs, base):
        try:
            after = evaluate(changed, inputs.pins)
        except (InfeasibleError, InputError):
            continue
        found.append(
            Lever(
                name=name,
                change=change,
                time_saved_s=base.value("run.time") - after.value("run.time"),
                run_s=after.value("run.time"),
                run_cost_change_usd=after.value("finance.run_cost") - base.value("finance.run_cost"),
                capital_change_usd=after.finance.capex.value - base.finance.capex.value,
            )
        )
    best = {
        lever.name: lever for lever in sorted(found, key=lambda lever: lever.time_saved_s)
    }  # the best of several caps
    return tuple(lever for lever in found if lever is best[lever.name] and (lever.name != FEWER or _saves(lever)))


def _saves(lever: Lever) -> bool:
    before = lever.run_s + lever.time_saved_s
    return lever.capital_change_usd < 0 and lever.time_saved_s >= -2.0 * USELESS * before


def _all_in(inputs: Inputs, base: Evaluation) -> tuple[str, str, Inputs] | None:
    """Return the smallest change of the global batch with which every accelerator has as many micro-batches as those
    of the job have now, over the best strategy and its alternatives.
    """
    if idle_cause(base) != "global batch":
        return None
    there = base.fleet.powered - base.fleet.spares
    batches = []
    for row in (base.training.strategy, *base.training.alternatives):
        fold, experts = (
            row["tensor_parallel"] * row["context_parallel"],
            row["expert_parallel"] * row["expert_tensor_parallel"],
        )
        rank, quantum = fold * row["pipeline_parallel"], experts // math.gcd(experts, fold)
        replicas = there // rank // quantum * quantum
        rounds = -(-base.job.global_batch // (row["micro_batch"] * row["data_parallel"]))
        batch = replicas * row["micro_batch"] * rounds
        if batch > base.job.global_batch and replicas * rank >= (1.0 - IDLE_WORTH_TELLING) * there:
            batches.append(batch)
    if not batches:
        return None
    batch = min(batches)
    more = batch / base.job.global_batch - 1
    change = (
        f"A global batch of {batch:,} sequences ({more:.1%} more) gives all of them work, if training still converges."
    )
    return ALL_IN, change, inputs.with_value("training.global_batch", float(batch))


def _fewer(inputs: Inputs, base: Evaluation) -> tuple[str, str, Inputs] | None:
    """Return the smallest job whose run is at most a hundredth longer, as a fleet of that size."""
    mine = base.training.step_s / base.reliability.goodput
    enough = [row.accelerators for row in base.widths if row.wall_s <= (1.0 + USELESS) * mine]
    there = base.fleet.powered - base.fleet.spares
    count = min(enough, default=there)
    if count > (1.0 - WORTH_SELLING) * there:
        return None
    fleet = base.fleet.powered - there + count  # as many spares as before; a smaller fleet needs no more
    share = fleet / base.fleet.powered
    groups = tuple(
        replace(group, count=-(-math.ceil(powered.powered * share) // server) * server)
        for group, powered in zip(inputs.groups, base.fleet.groups, strict=True)
        for server in (group.accelerator.server_chips or 1,)
    )
    total = sum(group.count or 0 for group in groups)
    change = f"A fleet of {total:,} accelerators instead of {base.fleet.powered:,}: the rest hardly shortens the run."
    return FEWER, change, replace(inputs, groups=groups)


def _candidates(inputs: Inputs, base: Evaluation) -> list[tuple[str, str, Inputs]]:
    limits, scenario = base.limits, inputs.scenario
    found: list[tuple[str, str, Inputs]] = []
    others = [value for value in (limits.requested, limits.power, limits.budget) if value is not None]
    beyond = math.ceil(base.fleet.powered * 1.1 - 1e-6)
    if limits.smallest == "grid power":
        target = _whole_servers(inputs, base, limits.budget, beyond)
        watts = target * limits.it_peak_w * inputs.value("site.pue") * 1.001
        found.append(
            (
                "grid power",
                f"Raise site.grid_limit to {format_quantity(watts, 'W', 4)} to feed {target:,}.",
                inputs.with_value("site.grid_limit", watts),
            )
        )
    elif limits.smallest == "budget":
        target = _whole_servers(inputs, base, limits.power, beyond)
        dollars = target * limits.capital_usd * 1.001
        found.append(
            (
                "budget",
                f"Raise finance.budget to {format_quantity(dollars, 'USD', 4)} to buy {target:,}.",
                inputs.with_value("finance.budget", dollars),
            )
        )
    elif others:
        found.append(("chips", f"10 % more accelerators ({beyond:,}).", _with_more_chips(inputs, 1.1)))
    batch = inputs.value("training.global_batch")
    tokens = format_quantity(2 * batch * inputs.value("training.sequence_length"), "token")
    found.append(
        (
            "global batch",
            f"Twice the global batch ({tokens} per step), if training still converges.",
            inputs.with_value("training.global_batch", 2 * batch),
        )
    )
    found += _recoveries(inputs, base)
    if limits.smallest == "grid power":
        found += _caps(inputs, base)
    out = scenario.network.scale_out or (
        inputs.reference.scale_out_bytes_per_s.best if inputs.reference.scale_out_bytes_per_s else None
    )
    if out is not None and base.fleet.used > inputs.fabric(base.fleet.used).tiers[0].domain:
        wider = replace(scenario, network=scenario.network.model_copy(update={"scale_out": 2 * out}))
        found.append(
            (
                "network",
                f"Twice the network bandwidth per accelerator ({format_quantity(2 * out, 'B/s')}; its price is not counted).",
                replace(inputs, scenario=wider),
            )
        )
    found += [lever for lever in (_all_in(inputs, base), _fewer(inputs, base)) if lever is not None]
    return found


def _caps(inputs: Inputs, base: Evaluation) -> list[tuple[str, str, Inputs]]:
    """Return caps on the accelerators: the grid feeds more of them, each a little slower."""
    now = inputs.scenario.power.power_cap or math.inf
    draw = base.value("power.accelerator_limit") * inputs.value("power.compute_fraction")
    found = []
    for share in CAP_SHARES:
        cap = 10.0 * round(share * draw / 10.0)
        if not 0 < cap < now:
            continue
        section = inputs.scenario.power.model_copy(update={"power_cap": cap})
        try:
            capped = resolve(replace(inputs.scenario, power=section))
        except InputError:
            continue
        text = f"Accelerators capped at {format_quantity(cap, 'W')} (power.power_cap), so that the grid feeds more of them."
        found.append(("power cap", text, capped))
    return found


def _recoveries(inputs: Inputs, base: Evaluation) -> list[tuple[str, str, Inputs]]:
    """Return the recovery policy that leaves most of the wall time, where it is another one."""
    now = base.reliability.policy
    best = next(iter(base.policies))
    if best == now or base.policies[best] < (1.0 + USELESS) * base.policies[now]:
        return []
    words = POLICY_WORDS[best]
    change = f"{words[0].upper()}{words[1:]} instead of {POLICY_WORDS[now]} (reliability.policy: {best})."
    return [("failures", change, inputs.with_policy(best))]


def _whole_servers(inputs: Inputs, base: Evaluation, other: int | None, beyond: int) -> int:
    """Return the accelerators that could be powered without the limit that cuts the fleet: those asked for, or the whole
    servers that the other limit leaves; `beyond` where there is neither.
    """
    server, asked = inputs.server, base.limits.requested
    left = beyond if other is None and asked is None else other
    if left is None or (asked is not None and asked <= left):
        assert asked is not None
        return asked
    return max(left // server * server, base.fleet.powered)


def _with_more_chips(inputs: Inputs, factor: float) -> Inputs:
    groups = tuple(
        replace(
            group,
            count=math.ceil(
                (group.count if group.count is not None else evaluate(inputs, inputs.pins).fleet.powered) * factor
                - 1e-6
            ),
        )
        for group in inputs.groups
    )
    return replace(inputs, groups=groups)


def _batch_sentence(inputs: Inputs, base: Evaluation) -> str:
    row, waiting = base.training.strategy, base.training.step_s
    bubble = sum(
        child.value
        for child in base.training.step.children
        if child.label in ("pipeline bubble", "batch remainder", "data-parallel communication")
    )
    tokens = format_quantity(inputs.value("training.global_batch") * inputs.value("training.sequence_length"), "token")
    return (
        f"The global batch binds: {tokens} leave each of {row['data_parallel']:,} replicas {row['micro_batches']:,} micro-batch{'es' * (row['micro_batches'] > 1)} per step, "
        f"and {bubble / waiting:.0%} of the step goes to filling the pipeline and exchanging gradients."
    )


def _failures_sentence(inputs: Inputs, base: Evaluation) -> str:
    r = base.reliability
    del inputs
    return f"Failures bind: one every {format_quantity(r.mtbf_s, 's')}, each with a restart of {format_quantity(r.restart_s, 's')}, leave {r.goodput:.0%} of the wall time."


def _network_sentence(inputs: Inputs, base: Evaluation) -> str:
    exposed = sum(
        child.value for child in base.training.step.children if "communication" in child.label or "sends" in child.label
    )
    del inputs
    return f"The network binds: {exposed / base.training.step_s:.0%} of the step is communication that computing does not hide."


def _chips_sentence(inputs: Inputs, base: Evaluation) -> str:
    spare = []
    if base.limits.power is not None:
        free = inputs.value("site.grid_limit") - base.power.facility_peak_w
        spare.append(f"{format_quantity(free, 'W')} of grid power are left over")
    if base.limits.budget is not None:
        spare.append(
            f"{format_quantity(inputs.value('finance.budget') - base.finance.capex.value, 'USD')} of the budget are left over"
        )
    tail = f"; {' and '.join(spare)}" if spare else ""
    fleet = base.fleet
    running = f"all {fleet.powered:,}" if fleet.used == fleet.powered else f"{fleet.used:,} of {fleet.powered:,}"
    standing = f" and {fleet.spares:,} stand by" if fleet.spares else ""
    return f"The number of accelerators binds: {running} run{standing}{tail}."


def _fed(inputs: Inputs, base: Evaluation) -> str:
    asked = base.limits.requested
    limit = format_quantity(inputs.value("site.grid_limit"), "W")
    short = f" of the {asked:,} asked for; {asked - base.fleet.powered:,} stay dark" if asked is not None else ""
    return f"{limit} feed {base.fleet.powered:,} accelerators{short}."


def _bought(inputs: Inputs, base: Evaluation) -> str:
    asked = base.limits.requested
    short = f" of the {asked:,} asked for" if asked is not None else ""
    budget = format_quantity(inputs.value("finance.budget"), "USD")
    each = format_quantity(base.limits.capital_usd, "USD")
    return f"{budget} buy {base.fleet.powered:,} accelerators{short} with everything around them, {each} each."


# What cuts the fleet, and what it leaves of it.
_CUTS = {"grid power": _fed, "budget": _bought}
_BINDING_SENTENCES = {
    "chips": _chips_sentence,
    "grid power": lambda inputs, base: f"Grid power binds: {_fed(inputs, base)}",
    "budget": lambda inputs, base: f"The budget binds: {_bought(inputs, base)}",
    "global batch": _batch_sentence,
    ALL_IN: _batch_sentence,
    "failures": _failures_sentence,
    "network": _network_sentence,
}
