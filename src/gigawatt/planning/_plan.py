"""The plan: the coupled answer, what binds it, what relieving that is worth, and which estimates it rests on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gigawatt.evidence import Breakdown, Grade
from gigawatt.hardware import chip_of
from gigawatt.model import parameters
from gigawatt.planning._binding import binding_of, constraints_of, levers_of
from gigawatt.planning._couple import Evaluation, evaluate
from gigawatt.planning._inputs import Inputs, resolve
from gigawatt.planning._result import Plan
from gigawatt.planning._uncertainty import intervals_of, reached, sensitivities_of, swings_of
from gigawatt.scenario import Scenario
from gigawatt.timeline import Timeline
from gigawatt.training import Evaluator, TrainingJob


def plan_scenario(scenario: Scenario, intervals: bool = True) -> Plan:
    """Return the plan of a scenario; without `intervals` the uncertainty of the assumptions is not propagated (much
    faster).

    Raises InputError for names and numbers that the catalogue does not have, InfeasibleError where no strategy fits
    or the limits leave no server. A deadline or budget that is missed is a plan with feasible=False.
    """
    inputs = resolve(scenario)
    base = evaluate(inputs)
    pins = {name: value for name, value in _pins(base).items() if name != "data_parallel" or name in inputs.pins}
    swings = swings_of(inputs, base, pins) if intervals else []
    levers = levers_of(inputs, base) if intervals else ()
    constraints = constraints_of(inputs, base)
    violated = [constraint for constraint in constraints if constraint.name == "deadline" and constraint.violated]
    binding = binding_of(inputs, base, levers, constraints)
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
        intervals=intervals_of(base, swings),
        constraints=tuple(constraints),
        binding=binding,
        levers=levers,
        sensitivities=sensitivities_of(inputs, base, swings),
        warnings=(
            *inputs.notes,
            *_mixing(inputs, base),
            *base.training.warnings,
            *base.reliability.warnings,
        ),
    )


def _pins(base: Evaluation) -> dict[str, int]:
    row = base.training.columns
    return {name: int(getattr(row, name)[0]) for name in row.__dataclass_fields__}


def _used(inputs: Inputs, base: Evaluation) -> dict[str, Any]:
    """Return the assumptions that some output names, in table order."""
    paths = reached(base)
    return {
        path: assumption
        for path, assumption in inputs.assumptions.items()
        if path in paths or assumption.grade is Grade.GIVEN
    }


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


def _mixing(inputs: Inputs, base: Evaluation) -> tuple[str, ...]:
    """Return what running at the pace of the slowest kind costs a mixed fleet, against work in proportion to speed."""
    if len(inputs.groups) < 2:
        return ()
    from gigawatt.hardware import fabric_of
    from gigawatt.training import constants, default_stack

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
            constants=constants(
                stack=default_stack(group.accelerator.vendor, group.accelerator.name), chip=group.accelerator.name
            ),
        )
        speeds.append(1.0 / float(Evaluator(job).evaluate(base.training.columns).step_s[0]))
    counts = [group.powered for group in base.fleet.groups]
    mean = sum(count * speed for count, speed in zip(counts, speeds, strict=True)) / sum(counts)
    loss = 1 - (1.0 / base.training.step_s) / mean
    names = " and ".join(group.accelerator.name for group in inputs.groups)
    return (
        f"a synchronous job of {names} runs at the pace and with the memory of the slower: work in proportion to speed would be {max(loss, 0.0):.1%} faster",
    )
