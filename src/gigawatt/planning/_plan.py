"""The plan: the coupled answer, what binds it, what relieving that is worth, and which estimates it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gigawatt.errors import InfeasibleError, InputError
from gigawatt.evidence import Breakdown, Grade
from gigawatt.model import parameters
from gigawatt.planning._couple import Evaluation, evaluate
from gigawatt.planning._inputs import Inputs, resolve
from gigawatt.planning._result import Binding, Constraint, Plan, Sensitivity
from gigawatt.quantity import format_quantity
from gigawatt.scenario import Scenario
from gigawatt.timeline import Timeline
from gigawatt.training import Evaluator, TrainingJob
from gigawatt.hardware import chip_of

# The answers whose sensitivities are listed; intervals are given for every output.
TARGETS = ("run.time", "finance.run_cost")
LISTED = 12


def plan_scenario(scenario: Scenario) -> Plan:
    """Return the plan of a scenario.

    Raises InputError for names and numbers that the catalogue does not have, InfeasibleError where no strategy fits or the limits leave no server. A deadline or
    budget that is missed is a plan with feasible=False.
    """
    inputs = resolve(scenario)
    base = evaluate(inputs)
    pins = {name: value for name, value in _pins(base).items() if name != "data_parallel" or name in inputs.pins}
    swings = _swings(inputs, base, pins)
    constraints = _constraints(inputs, base)
    violated = [constraint for constraint in constraints if constraint.violated]
    binding = _binding(inputs, base, pins, constraints)
    return Plan(
        scenario={"name": scenario.name, "description": scenario.description, "file": scenario.file, "given": dict(scenario.given)},
        feasible=not violated,
        fleet=base.fleet,
        model=_model(inputs),
        strategy=base.training.strategy,
        alternatives=base.training.alternatives,
        search=_search(base),
        breakdowns={
            "step_time": base.training.step, "memory": _memory(inputs, base), "power": base.power.facility, "wall_time": base.reliability.wall_time,
            "capex": base.finance.capex, "run_cost": base.finance.run_cost,
        },
        timelines={"run": _run_timeline(base), "failure_cycle": _cycle_timeline(base), "step": base.training.timeline},
        outputs=base.outputs,
        assumptions=_used(inputs, base),
        intervals=_intervals(base, swings),
        constraints=tuple(constraints),
        binding=binding,
        sensitivities=_sensitivities(inputs, base, swings),
        warnings=(*inputs.notes, *_mixing(inputs, base), *base.training.warnings, *base.reliability.warnings, *_fleet_warnings(base)),
    )  # fmt: skip


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
    """Return the outputs at both ends of every uncertain assumption, one at a time, with the strategy (but not its width) held."""
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
    """Return (low, high) per output: root of the sum of squared swings, below and above separately (independent assumptions)."""
    intervals = {}
    for path, output in base.outputs.items():
        below = above = 0.0
        for swing in swings:
            ends = [swing.low.get(path, output.value), swing.high.get(path, output.value)]
            below += min(0.0, *(end - output.value for end in ends)) ** 2
            above += max(0.0, *(end - output.value for end in ends)) ** 2
        low, high = output.value - math.sqrt(below), output.value + math.sqrt(above)
        floor = min((swing_end for swing in swings for swing_end in (swing.low.get(path, low), swing.high.get(path, low))), default=low)
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
                    path=swing.path, label=assumption.label, low_input=assumption.low, high_input=assumption.high, unit=assumption.unit,
                    output=target, low_output=swing.low.get(target, output.value), high_output=swing.high.get(target, output.value),
                    output_unit=output.unit, grade=str(assumption.grade),
                )  # fmt: skip
            )
    kept = []
    for target in TARGETS:
        mine = [row for row in rows if row.output == target and row.swing > 1e-6 * abs(base.outputs[target].value)]
        kept += sorted(mine, key=lambda row: row.swing, reverse=True)[:LISTED]
    return tuple(kept)


def _used(inputs: Inputs, base: Evaluation) -> dict[str, Any]:
    """Return the assumptions that some output names, in table order."""
    reached = _reached(base)
    return {path: assumption for path, assumption in inputs.assumptions.items() if path in reached or assumption.grade is Grade.GIVEN}


# constraints ---------------------------------------------------------------------------------------------------------


def _constraints(inputs: Inputs, base: Evaluation) -> list[Constraint]:
    limits, fleet = base.limits, base.fleet
    set_by = limits.smallest
    found = []
    if limits.requested is not None:
        found.append(
            Constraint(
                name="chips", limit=float(limits.requested), used=float(fleet.powered), unit="", binding=set_by == "chips",
                sentence=f"{fleet.powered:,} of the {limits.requested:,} accelerators asked for are powered",
            )  # fmt: skip
        )
    if limits.power is not None:
        limit, used = inputs.value("site.grid_limit"), base.power.facility_peak_w
        found.append(
            Constraint(
                name="grid power", limit=limit, used=used, unit="W", binding=set_by == "grid power",
                sentence=f"the site draws {format_quantity(used, 'W')} at its sustained peak of {format_quantity(limit, 'W')} allowed",
            )  # fmt: skip
        )
    if limits.budget is not None:
        limit, used = inputs.value("finance.budget"), base.finance.capex.value
        found.append(
            Constraint(
                name="budget", limit=limit, used=used, unit="USD", binding=set_by == "budget",
                sentence=f"the factory costs {format_quantity(used, 'USD')} of a budget of {format_quantity(limit, 'USD')}",
            )  # fmt: skip
        )
    capacity = inputs.chip.memory_bytes
    found.append(
        Constraint(
            name="memory per accelerator", limit=capacity, used=base.training.memory_bytes, unit="B",
            sentence=f"the strategy needs {format_quantity(base.training.memory_bytes, 'B')} of {format_quantity(capacity, 'B')} per accelerator",
        )  # fmt: skip
    )
    row = base.training.strategy
    batch = inputs.value("training.global_batch")
    width = float(row["data_parallel"] * row["micro_batch"])
    found.append(
        Constraint(
            name="global batch", limit=batch, used=width, unit="sequence",
            sentence=f"{row['data_parallel']:,} replicas take {width:,.0f} of the {batch:,.0f} sequences of a step at once",
        )  # fmt: skip
    )
    if inputs.has("training.deadline"):
        limit, used = inputs.value("training.deadline"), base.value("run.time")
        found.append(
            Constraint(
                name="deadline", limit=limit, used=used, unit="s", binding=used > limit,
                sentence=f"the run takes {format_quantity(used, 's')} of {format_quantity(limit, 's')} allowed",
            )  # fmt: skip
        )
    return found


def _binding(inputs: Inputs, base: Evaluation, pins: Mapping[str, int], constraints: list[Constraint]) -> Binding:
    deadline = next((constraint for constraint in constraints if constraint.name == "deadline" and constraint.violated), None)
    name = base.limits.smallest
    sentence = _BINDING_SENTENCES[name](inputs, base)
    relief, worth = _relief(inputs, base, pins, name)
    if deadline is not None:
        over = format_quantity(deadline.used - deadline.limit, "s")
        share = deadline.used / deadline.limit
        return Binding(
            name="deadline",
            sentence=f"The deadline is missed by {over}: {deadline.sentence}. Behind it: {sentence}",
            relief=f"Shortest answer: a deadline of {format_quantity(deadline.used, 's')}, or {share:.2f} times the training rate. {relief}",
            worth=worth,
        )
    return Binding(name=name, sentence=sentence, relief=relief, worth=worth)


def _chips_sentence(inputs: Inputs, base: Evaluation) -> str:
    spare = []
    if base.limits.power is not None:
        free = inputs.value("site.grid_limit") - base.power.facility_peak_w
        spare.append(f"{format_quantity(free, 'W')} of grid power are left over")
    if base.limits.budget is not None:
        spare.append(f"{format_quantity(inputs.value('finance.budget') - base.finance.capex.value, 'USD')} of the budget are left over")
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


_BINDING_SENTENCES = {"chips": _chips_sentence, "grid power": _power_sentence, "budget": _budget_sentence}


def _relief(inputs: Inputs, base: Evaluation, pins: Mapping[str, int], name: str) -> tuple[str, str]:
    """Return the smallest change that moves the binding limit to the next one, and what that is worth."""
    free = {pin: value for pin, value in pins.items() if pin in inputs.pins}
    if name == "grid power":
        target = min((value for value in (base.limits.requested, base.limits.budget) if value is not None), default=math.ceil(base.fleet.powered * 1.1))
        watts = target * base.limits.it_peak_w * inputs.value("site.pue")
        change = f"Raise site.grid_limit to {format_quantity(watts * 1.0005, 'W', 4)} to feed {target:,}."
        changed = inputs.with_value("site.grid_limit", watts * 1.001)
    elif name == "budget":
        target = min((value for value in (base.limits.requested, base.limits.power) if value is not None), default=math.ceil(base.fleet.powered * 1.1))
        dollars = target * base.limits.capital_usd
        change = f"Raise finance.budget to {format_quantity(dollars * 1.0005, 'USD', 4)} to buy {target:,}."
        changed = inputs.with_value("finance.budget", dollars * 1.001)
    else:
        more = math.ceil(base.fleet.powered * 0.1)
        change = f"Each further accelerator helps: {more:,} more (10 %) are the change priced here."
        changed = _with_more_chips(inputs, 1.1)
    try:
        after = evaluate(changed, free)
    except (InfeasibleError, InputError):
        return change, "No strategy fits the larger fleet as it stands."
    saved = base.value("run.time") - after.value("run.time")
    cost = after.value("finance.run_cost") - base.value("finance.run_cost")
    capital = after.finance.capex.value - base.finance.capex.value
    time = f"the run {'shortens' if saved >= 0 else 'lengthens'} by {format_quantity(abs(saved), 's')} ({abs(saved) / base.value('run.time'):.1%})"
    money = f"its cost {'rises' if cost >= 0 else 'falls'} by {format_quantity(abs(cost), 'USD')}, capital {'rises' if capital >= 0 else 'falls'} by {format_quantity(abs(capital), 'USD')}"
    return change, f"Worth: {time}; {money}."


def _with_more_chips(inputs: Inputs, factor: float) -> Inputs:
    from dataclasses import replace

    groups = tuple(replace(group, count=math.ceil(group.count * factor) if group.count is not None else None) for group in inputs.groups)
    return replace(inputs, groups=groups)


# what is shown -------------------------------------------------------------------------------------------------------


def _model(inputs: Inputs) -> dict[str, Any]:
    counted = parameters(inputs.model)
    sequence = inputs.value("training.sequence_length")
    return {
        "name": inputs.model.name, "parameters_total": counted.total, "parameters_active": counted.active, "layers": len(inputs.model.layers),
        "hidden": inputs.model.hidden, "sequence_length": int(sequence), "tokens": inputs.value("training.tokens"),
        "global_batch_tokens": inputs.value("training.global_batch") * sequence,
    }  # fmt: skip


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
            model=inputs.model, chip=chip_of(group.accelerator), fabric=fabric_of(group.accelerator, base.training.accelerators),
            accelerators=base.training.accelerators, global_batch=int(inputs.value("training.global_batch")),
            sequence=int(inputs.value("training.sequence_length")), precision=inputs.precision, constants=constants(),
        )  # fmt: skip
        speeds.append(1.0 / float(Evaluator(job).evaluate(base.training.columns).step_s[0]))
    counts = [group.powered for group in base.fleet.groups]
    mean = sum(count * speed for count, speed in zip(counts, speeds, strict=True)) / sum(counts)
    loss = 1 - (1.0 / base.training.step_s) / mean
    names = " and ".join(group.accelerator.name for group in inputs.groups)
    return (f"a synchronous job of {names} runs at the pace and with the memory of the slower: work in proportion to speed would be {max(loss, 0.0):.1%} faster",)
