"""The plan: the coupled answer, what binds it, what relieving that is worth, and which estimates it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gigawatt.errors import InfeasibleError, InputError
from gigawatt.evidence import Breakdown, Grade
from gigawatt.hardware import chip_of
from gigawatt.model import parameters
from gigawatt.planning._couple import Evaluation, evaluate
from gigawatt.planning._inputs import Inputs, resolve
from gigawatt.planning._result import Binding, Constraint, Lever, Plan, Sensitivity
from gigawatt.quantity import format_quantity
from gigawatt.scenario import Scenario
from gigawatt.timeline import Timeline
from gigawatt.training import Evaluator, TrainingJob

# The answers whose sensitivities are listed; intervals are given for every output.
TARGETS = ("run.time", "finance.run_cost")
LISTED = 12
# A larger fleet that saves less than this share of the run is not what binds.
USELESS = 0.01


def plan_scenario(scenario: Scenario, intervals: bool = True) -> Plan:
    """Return the plan of a scenario; without `intervals` the uncertainty of the assumptions is not propagated (much
    faster).

    Raises InputError for names and numbers that the catalogue does not have, InfeasibleError where no strategy fits
    or the limits leave no server. A deadline or budget that is missed is a plan with feasible=False.
    """
    inputs = resolve(scenario)
    base = evaluate(inputs)
    pins = {name: value for name, value in _pins(base).items() if name != "data_parallel" or name in inputs.pins}
    swings = _swings(inputs, base, pins) if intervals else []
    levers = _levers(inputs, base) if intervals else ()
    constraints = _constraints(inputs, base)
    violated = [constraint for constraint in constraints if constraint.name == "deadline" and constraint.violated]
    binding = _binding(inputs, base, levers, constraints)
    constraints = [replace(constraint, binding=constraint.name == binding.name) for constraint in constraints]
    return Plan(
        scenario={
            "name": scenario.name,
            "description": scenario.description,
            "file": scenario.file,
            "given": dict(scenario.given),
        },
        feasible=not violated,
        fleet=base.fleet,
        model=_model(inputs),
        strategy=base.training.strategy,
        alternatives=base.training.alternatives,
        search=_search(base),
        breakdowns={
            "step_time": base.training.step,
            "memory": _memory(inputs, base),
            "power": base.power.facility,
            "wall_time": base.reliability.wall_time,
            "capex": base.finance.capex,
            "run_cost": base.finance.run_cost,
        },
        timelines={"run": _run_timeline(base), "failure_cycle": _cycle_timeline(base), "step": base.training.timeline},
        outputs=base.outputs,
        assumptions=_used(inputs, base),
        intervals=_intervals(base, swings),
        constraints=tuple(constraints),
        binding=binding,
        levers=levers,
        sensitivities=_sensitivities(inputs, base, swings),
        warnings=(
            *inputs.notes,
            *_mixing(inputs, base),
            *base.training.warnings,
            *base.reliability.warnings,
            *_fleet_warnings(base),
        ),
    )


def _pins(base: Evaluation) -> dict[str, int]:
    row = base.training.columns
    return {name: int(getattr(row, name)[0]) for name in row.__dataclass_fields__}


# intervals -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Swing:
    """All outputs with one assumption at either end of its range."""

    path: str
    low: Mapping[str, float]
    high: Mapping[str, float]


def _swings(inputs: Inputs, base: Evaluation, pins: Mapping[str, int]) -> list[_Swing]:
    """Return the outputs at both ends of every uncertain assumption, one at a time, with the strategy (but not its
    width) held.
    """
    reached = _reached(base)
    swings = []
    for path, assumption in inputs.assumptions.items():
        if assumption.low == assumption.high or path not in reached:
            continue
        ends = []
        for value in (assumption.low, assumption.high):
            try:
                changed = evaluate(inputs.with_value(path, value), pins)
                ends.append({name: output.value for name, output in changed.outputs.items()})
            except (InfeasibleError, InputError):
                ends.append({name: output.value for name, output in base.outputs.items()})
        swings.append(_Swing(path=path, low=ends[0], high=ends[1]))
    return swings


def _reached(base: Evaluation) -> set[str]:
    """Return every path that some output names as its input."""
    return {path for output in base.outputs.values() for path in output.inputs.values()}


def _intervals(base: Evaluation, swings: list[_Swing]) -> dict[str, tuple[float, float]]:
    """Return (low, high) per output: root of the sum of squared swings, below and above separately (independent
    assumptions).
    """
    intervals = {}
    for path, output in base.outputs.items():
        below = above = 0.0
        for swing in swings:
            ends = [swing.low.get(path, output.value), swing.high.get(path, output.value)]
            below += min(0.0, *(end - output.value for end in ends)) ** 2
            above += max(0.0, *(end - output.value for end in ends)) ** 2
        low, high = output.value - math.sqrt(below), output.value + math.sqrt(above)
        floor = min(
            (swing_end for swing in swings for swing_end in (swing.low.get(path, low), swing.high.get(path, low))),
            default=low,
        )
        if output.value >= 0 and low <= 0 < floor:  # a sum of squares may leave the range of a positive quantity
            low = floor
        intervals[path] = (max(low, 0.0) if output.value >= 0 else low, high)
    for path in ("reliability.goodput", "training.mfu", "training.hfu", "training.computing_fraction"):
        if path in intervals:
            intervals[path] = (intervals[path][0], min(intervals[path][1], 1.0))
    return intervals


def _sensitivities(inputs: Inputs, base: Evaluation, swings: list[_Swing]) -> tuple[Sensitivity, ...]:
    rows = []
    for swing in swings:
        assumption = inputs.assumptions[swing.path]
        for target in TARGETS:
            output = base.outputs[target]
            rows.append(
                Sensitivity(
                    path=swing.path,
                    label=assumption.label,
                    low_input=assumption.low,
                    high_input=assumption.high,
                    unit=assumption.unit,
                    output=target,
                    low_output=swing.low.get(target, output.value),
                    high_output=swing.high.get(target, output.value),
                    output_unit=output.unit,
                    grade=str(assumption.grade),
                )
            )
    kept = []
    for target in TARGETS:
        mine = [row for row in rows if row.output == target and row.swing > 1e-6 * abs(base.outputs[target].value)]
        kept += sorted(mine, key=lambda row: row.swing, reverse=True)[:LISTED]
    return tuple(kept)


def _used(inputs: Inputs, base: Evaluation) -> dict[str, Any]:
    """Return the assumptions that some output names, in table order."""
    reached = _reached(base)
    return {
        path: assumption
        for path, assumption in inputs.assumptions.items()
        if path in reached or assumption.grade is Grade.GIVEN
    }


# constraints ---------------------------------------------------------------------------------------------------------


def _constraints(inputs: Inputs, base: Evaluation) -> list[Constraint]:
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


def _binding(inputs: Inputs, base: Evaluation, levers: tuple[Lever, ...], constraints: list[Constraint]) -> Binding:
    """Return what binds: a limit that the scenario sets and misses, the limit that cuts the fleet, else the lever
    that saves most time.
    """
    cut = base.limits.smallest
    best = max(levers, key=lambda lever: lever.time_saved_s) if levers else None
    lever = next((lever for lever in levers if lever.name == cut), None) if cut != "chips" else best
    if lever is not None and best is not None and lever.time_saved_s < USELESS * base.value("run.time"):
        lever = best  # more of what cuts the fleet would not shorten the run
    name = lever.name if lever is not None else cut
    sentence = _BINDING_SENTENCES[name](inputs, base)
    relief = lever.change if lever is not None else "No larger fleet was found that has a strategy."
    worth = f"Worth: {lever.sentence}." if lever is not None else ""
    deadline = next(
        (constraint for constraint in constraints if constraint.name == "deadline" and constraint.violated), None
    )
    if deadline is None:
        return Binding(name=name, sentence=sentence, relief=relief, worth=worth)
    over = format_quantity(deadline.used - deadline.limit, "s")
    return Binding(
        name="deadline",
        sentence=f"The deadline is missed by {over}: {deadline.sentence}. Behind it: {sentence}",
        relief=f"{_deadline_relief(inputs, deadline)} {relief}",
        worth=worth,
    )


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


def _levers(inputs: Inputs, base: Evaluation) -> tuple[Lever, ...]:
    """Return the changes that could help, each with the strategy chosen anew; those without a strategy are left out."""
    found = []
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
    return tuple(found)


def _candidates(inputs: Inputs, base: Evaluation) -> list[tuple[str, str, Inputs]]:
    limits, scenario = base.limits, inputs.scenario
    found: list[tuple[str, str, Inputs]] = []
    others = [value for value in (limits.requested, limits.power, limits.budget) if value is not None]
    beyond = math.ceil(base.fleet.powered * 1.1 - 1e-6)
    if limits.smallest == "grid power":
        target = min((value for value in (limits.requested, limits.budget) if value is not None), default=beyond)
        watts = target * limits.it_peak_w * inputs.value("site.pue") * 1.001
        found.append(
            (
                "grid power",
                f"Raise site.grid_limit to {format_quantity(watts, 'W', 4)} to feed {target:,}.",
                inputs.with_value("site.grid_limit", watts),
            )
        )
    elif limits.smallest == "budget":
        target = min((value for value in (limits.requested, limits.power) if value is not None), default=beyond)
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
    if (scenario.reliability.policy or "restart") == "restart":
        spare = replace(scenario, reliability=scenario.reliability.model_copy(update={"policy": "hot_spare"}))
        found.append(
            (
                "failures",
                "Hot spares instead of restarting the whole job (reliability.policy: hot_spare).",
                replace(inputs, scenario=spare),
            )
        )
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
    return found


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
        f"The global batch binds: {tokens} leave each of {row['data_parallel']:,} replicas {row['micro_batches']:,} micro-batches per step, "
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
    return f"The number of accelerators binds: all {base.fleet.powered:,} run{tail}."


def _power_sentence(inputs: Inputs, base: Evaluation) -> str:
    asked = base.limits.requested
    limit = format_quantity(inputs.value("site.grid_limit"), "W")
    short = f" of the {asked:,} asked for; {asked - base.fleet.powered:,} stay dark" if asked is not None else ""
    return f"Grid power binds: {limit} feed {base.fleet.powered:,} accelerators{short}."


def _budget_sentence(inputs: Inputs, base: Evaluation) -> str:
    asked = base.limits.requested
    short = f" of the {asked:,} asked for" if asked is not None else ""
    budget = format_quantity(inputs.value("finance.budget"), "USD")
    each = format_quantity(base.limits.capital_usd, "USD")
    return f"The budget binds: {budget} buy {base.fleet.powered:,} accelerators{short} with everything around them, {each} each."


_BINDING_SENTENCES = {
    "chips": _chips_sentence,
    "grid power": _power_sentence,
    "budget": _budget_sentence,
    "global batch": _batch_sentence,
    "failures": _failures_sentence,
    "network": _network_sentence,
}


# what is shown -------------------------------------------------------------------------------------------------------


def _model(inputs: Inputs) -> dict[str, Any]:
    counted = parameters(inputs.model)
    sequence = inputs.value("training.sequence_length")
    return {
        "name": inputs.model.name,
        "parameters_total": counted.total,
        "parameters_active": counted.active,
        "layers": len(inputs.model.layers),
        "hidden": inputs.model.hidden,
        "sequence_length": int(sequence),
        "tokens": inputs.value("training.tokens"),
        "global_batch_tokens": inputs.value("training.global_batch") * sequence,
    }


def _search(base: Evaluation) -> dict[str, Any]:
    found = base.training.search
    if found is None:
        return {"generated": 1, "evaluated": 1, "rejected": {}}
    return {"generated": found.generated, "evaluated": found.feasible, "rejected": dict(found.rejected)}


def _memory(inputs: Inputs, base: Evaluation) -> Breakdown:
    parts = {child.label: child.value for child in base.training.memory.children}
    free = inputs.chip.memory_bytes - base.training.memory_bytes
    return Breakdown.of(base.training.memory.label, "B", {**parts, "free": max(free, 0.0)})


def _run_timeline(base: Evaluation) -> Timeline:
    """Return the run: the first start, then training in tenths of its tokens, wall time with failures included."""
    start, total = base.outputs["reliability.restart"].value, base.value("run.time")
    marks = np.linspace(start, start + total, 11)
    rows = [("job", "start", 0.0, start), ("job", "training, failures included", start, start + total)]
    rows += [("tokens", f"{10 * (i + 1)} %", float(marks[i]), float(marks[i + 1])) for i in range(10)]
    return Timeline.of("the run", rows)


def _cycle_timeline(base: Evaluation) -> Timeline:
    """Return a mean cycle between two failures: work and saves in turn, half an interval of work lost, the restart."""
    r = base.reliability
    rows: list[tuple[str, str, float, float]] = []
    time = 0.0
    while time < r.mtbf_s and len(rows) < 400:
        end = min(time + r.interval_s, r.mtbf_s)
        rows.append(("job", "training", time, end))
        time = end
        if time < r.mtbf_s:
            rows.append(("job", "saving", time, min(time + r.save_s, r.mtbf_s)))
            time = min(time + r.save_s, r.mtbf_s)
    lane, label, start, end = rows[-1]
    rows[-1] = (lane, "work lost" if label == "training" else label, start, end)
    rows.append(("job", "restarting", r.mtbf_s, r.mtbf_s + r.restart_s))
    return Timeline.of("a mean cycle between failures", rows)


def _fleet_warnings(base: Evaluation) -> tuple[str, ...]:
    idle = base.fleet.idle
    if idle > 0.01 * base.fleet.powered:
        return (
            f"{idle:,} of {base.fleet.powered:,} powered accelerators ({idle / base.fleet.powered:.1%}) are not in the job: no parallel shape with this global batch makes the step shorter with them",
        )
    return ()


def _mixing(inputs: Inputs, base: Evaluation) -> tuple[str, ...]:
    """Return what running at the pace of the slowest kind costs a mixed fleet, against work in proportion to speed."""
    if len(inputs.groups) < 2:
        return ()
    from gigawatt.hardware import fabric_of
    from gigawatt.training import constants

    speeds = []
    for group in inputs.groups:
        job = TrainingJob(
            model=inputs.model,
            chip=chip_of(group.accelerator),
            fabric=fabric_of(group.accelerator, base.training.accelerators),
            accelerators=base.training.accelerators,
            global_batch=int(inputs.value("training.global_batch")),
            sequence=int(inputs.value("training.sequence_length")),
            precision=inputs.precision,
            constants=constants(),
        )
        speeds.append(1.0 / float(Evaluator(job).evaluate(base.training.columns).step_s[0]))
    counts = [group.powered for group in base.fleet.groups]
    mean = sum(count * speed for count, speed in zip(counts, speeds, strict=True)) / sum(counts)
    loss = 1 - (1.0 / base.training.step_s) / mean
    names = " and ".join(group.accelerator.name for group in inputs.groups)
    return (
        f"a synchronous job of {names} runs at the pace and with the memory of the slower: work in proportion to speed would be {max(loss, 0.0):.1%} faster",
    )
