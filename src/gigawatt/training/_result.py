"""Training on a given fleet: the best (or a given) strategy, why its step takes as long as it does, and what it rests
on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gigawatt.errors import InfeasibleError, InputError, Problem
from gigawatt.evidence import Breakdown, Output
from gigawatt.model import FlopConvention, training_flop_per_token
from gigawatt.quantity import format_quantity
from gigawatt.timeline import Timeline
from gigawatt.training._columns import Columns
from gigawatt.training._evaluate import Evaluator, StepColumns
from gigawatt.training._job import TrainingJob
from gigawatt.training._search import SearchResult, fits, search
from gigawatt.training._space import Constraint, Space
from gigawatt.training._validity import REJECTIONS

COMPUTING = ("matrix products", "attention", "vector operations", "recompute")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """One strategy and what it does. `computing_fraction` is the share of the step in which chips compute, not wait.

    `memory_margin` is the share by which memory may turn out larger than predicted and the strategy still fits, if
    `keeps_margin`; `without_margin` is the fastest that fits without it (strategy, step_time, memory), None where that
    is the same.
    """

    strategy: Mapping[str, Any]
    columns: Columns
    accelerators: int
    step: Breakdown
    memory: Breakdown
    step_s: float
    memory_bytes: float
    tokens_per_s: float
    mfu: float
    hfu: float
    computing_fraction: float
    timeline: Timeline
    outputs: Mapping[str, Output]
    alternatives: tuple[Mapping[str, Any], ...]
    search: SearchResult | None
    warnings: tuple[str, ...]
    memory_margin: float = 0.0
    keeps_margin: bool = True
    without_margin: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "strategy": dict(self.strategy),
            "step": self.step.to_dict(),
            "memory": self.memory.to_dict(),
            "outputs": {path: output.to_dict() for path, output in self.outputs.items()},
            "alternatives": [dict(row) for row in self.alternatives],
            "memory_margin": self.memory_margin,
            "keeps_margin": self.keeps_margin,
            "without_margin": None if self.without_margin is None else dict(self.without_margin),
            "warnings": list(self.warnings),
        }

    def to_frame(self) -> Any:
        """Return the strategy and its alternatives as a pandas DataFrame. Needs pandas."""
        import pandas as pd

        return pd.DataFrame(
            [{**self.strategy, "step_s": self.step_s, "memory_bytes": self.memory_bytes}, *self.alternatives]
        )


def train(
    job: TrainingJob,
    columns: Columns | None = None,
    pins: Mapping[str, int] | None = None,
    keep: int = 8,
    constraints: Sequence[Constraint] = (),
    space: Space | None = None,
    *,
    found: SearchResult | None = None,
    evaluator: Evaluator | None = None,
    unit: int = 1,
    resized: Callable[[int], TrainingJob] | None = None,
) -> TrainingResult:
    """Return the step of the strategy in `columns` (length 1), or of the best strategy that a search with `pins`
    finds.

    The search keeps the job's memory margin where any strategy does, unless a constraint limits memory itself. `found`
    is the search behind `columns`, if there was one, `evaluator` that of the job, where there is one already. Where nothing fits, fleets in multiples of `unit` are tried, each
    the job that `resized` returns. Raises InfeasibleError where no strategy fits, naming what binds, the nearest miss
    and a change that would help; InputError where `columns` breaks a rule.
    """
    evaluator = evaluator or Evaluator(job)
    if columns is None:
        margin = memory_margin(job, constraints)
        found = search(
            job, space, pins=pins, keep=keep, evaluator=evaluator, constraints=constraints, margin=margin, narrower=True
        )
        columns = found.best
        if columns is None:
            grow = resized or (lambda count: replace(job, accelerators=count))
            raise infeasible(job, found, pins or {}, constraints, space, unit, grow)
    step = evaluator.evaluate(columns)
    if step.rejection[0]:
        raise InputError(
            Problem(
                message=f"this strategy cannot run: {REJECTIONS[step.rejection[0]]}",
                path="strategy",
                found=str(columns.row(0)),
            )
        )
    others = _told(evaluator, found.alternatives) if found is not None else ()
    faster = _told(evaluator, found.fastest) if found is not None else ()
    return _result(job, columns, step, others, found, memory_margin(job, constraints), next(iter(faster), None))


def memory_margin(job: TrainingJob, constraints: Sequence[Constraint] = ()) -> float:
    """Return the share by which memory may turn out larger than predicted: the job's, 0 where a constraint limits
    memory itself.
    """
    return 0.0 if any(rule.on_memory for rule in constraints) else job.constants.memory_margin


def _told(evaluator: Evaluator, columns: Columns | None) -> tuple[Mapping[str, Any], ...]:
    """Return strategies as plain values, each with its step time and its memory."""
    if columns is None or not len(columns):
        return ()
    step = evaluator.evaluate(columns)
    return tuple(
        {**columns.row(row), "step_time": float(step.step_s[row]), "memory": float(step.memory_bytes[row])}
        for row in range(len(columns))
    )


def _result(
    job: TrainingJob,
    columns: Columns,
    step: StepColumns,
    alternatives: tuple[Mapping[str, Any], ...],
    found: SearchResult | None,
    margin: float,
    faster: Mapping[str, Any] | None,
) -> TrainingResult:
    parts = {name: float(values[0]) for name, values in step.step_parts.items() if values[0] > 0}
    memory = {name: float(values[0]) for name, values in step.memory_parts.items() if values[0] > 0}
    tree = Breakdown.of("step time", "s", parts)
    held = Breakdown.of(f"memory per accelerator, stage {int(step.memory_stage[0]) + 1}", "B", memory)
    used = int(columns.accelerators[0])
    keeps = held.value * (1.0 + margin) <= job.chip.memory_bytes
    if faster is not None and faster["step_time"] >= tree.value:
        faster = None
    return TrainingResult(
        strategy=columns.row(0) | {"precision": job.precision.name, "micro_batches": int(step.micro_batches[0])},
        columns=columns,
        accelerators=used,
        step=tree,
        memory=held,
        step_s=tree.value,
        memory_bytes=held.value,
        tokens_per_s=job.tokens_per_step / tree.value,
        mfu=float(step.mfu[0]),
        hfu=float(step.hfu[0]),
        computing_fraction=sum(parts.get(name, 0.0) for name in COMPUTING) / tree.value,
        timeline=_timeline(columns, parts, step),
        outputs=_outputs(job, columns, step, parts, memory),
        alternatives=alternatives,
        search=found,
        warnings=_warnings(job, held.value, tree.value, margin, faster),
        memory_margin=margin,
        keeps_margin=keeps,
        without_margin=faster,
    )


def _warnings(
    job: TrainingJob, held: float, step_s: float, margin: float, faster: Mapping[str, Any] | None
) -> tuple[str, ...]:
    notes = []
    if not job.chip.calibrated:
        notes.append(
            f"no kernel of {job.chip.name} was measured: its efficiencies are transferred from other chips, so its step time is less sure than the model is elsewhere, with a tendency to be too fast"
        )
    left = job.chip.memory_bytes / held - 1.0
    if held * (1.0 + margin) > job.chip.memory_bytes:
        notes.append(
            f"memory may turn out {margin:.1%} larger than predicted, and no strategy has that much left: this one has {left:.1%}"
        )
    elif faster is not None:
        notes.append(
            f"a strategy {step_s / faster['step_time'] - 1.0:.1%} faster fits if memory is as predicted, with {format_quantity(faster['memory'], 'B')} of {format_quantity(job.chip.memory_bytes, 'B')}; this one fits if it turns out {left:.1%} larger (training.memory_margin is {margin:.1%})"
        )
    return tuple(notes)


def _timeline(columns: Columns, parts: Mapping[str, float], step: StepColumns) -> Timeline:
    """Return the phases of a step on the first and the last stage of the pipeline: warm-up, steady state, cool-down,
    the rest.
    """
    stages = int(columns.pipeline_parallel[0])
    bubble = parts.get("pipeline bubble", 0.0)
    tail = [
        name for name in ("data-parallel communication", "optimizer", "stragglers", "step overhead") if parts.get(name)
    ]
    steady = sum(parts.values()) - bubble - sum(parts[name] for name in tail)
    rows: list[tuple[str, str, float, float]] = []
    for lane, lead in (("first stage", 0.0), ("last stage", 1 / 3)) if stages > 1 else (("all stages", 0.0),):
        # forwards fill the pipeline in a third of the bubble (a backward costs two forwards), backwards drain it in the rest
        start = lead * bubble
        if start > 0:
            rows.append((lane, "waiting for the pipeline", 0.0, start))
        rows.append((lane, "forward and backward", start, start + steady))
        if bubble - start > 0:
            rows.append((lane, "waiting for the pipeline", start + steady, steady + bubble))
        at = steady + bubble
        for name in tail:
            rows.append((lane, name, at, at + parts[name]))
            at += parts[name]
    del step
    return Timeline.of("one training step", rows)


_PART_INPUTS = {
    "matrix products": (
        "{chip}.flop_per_s.{linear}",
        "{chip}.kernel.matmul.{linear}",
        "{chip}.memory_bytes_per_s",
        "training.model_error",
    ),
    "attention": ("{chip}.flop_per_s.{attention}", "{chip}.kernel.attention.*"),
    "vector operations": ("{chip}.memory_bytes_per_s", "{chip}.kernel.vector.*"),
    "recompute": ("{chip}.flop_per_s.{linear}", "{chip}.kernel.matmul.{linear}", "{chip}.memory_bytes_per_s"),
    "host gaps": ("training.host_per_layer_s",),
    "tensor-parallel communication": ("{chip}.scale_up_bytes_per_s", "network.scale_up_efficiency"),
    "context-parallel communication": (
        "{chip}.scale_up_bytes_per_s",
        "{chip}.scale_out_bytes_per_s",
        "training.context_parallel_overlap",
    ),
    "expert-parallel communication": (
        "{chip}.scale_up_bytes_per_s",
        "{chip}.scale_out_bytes_per_s",
        "training.expert_imbalance",
    ),
    "pipeline sends": ("{chip}.scale_out_bytes_per_s", "training.pipeline_send_overlap"),
    "data-parallel communication": (
        "{chip}.scale_out_bytes_per_s",
        "network.scale_out_efficiency",
        "training.data_parallel_overlap",
    ),
    "optimizer": ("{chip}.memory_bytes_per_s",),
    "stragglers": ("training.straggler_sigma",),
    "step overhead": ("training.step_overhead_s",),
    "activation offload": ("training.host_link_bytes_per_s",),
    "gradient accumulation": ("{chip}.memory_bytes_per_s", "training.accumulate_bytes"),
    "data loading": ("training.sample_bytes",),
}
_PART_METHODS = {
    "matrix products": "roofline of every matrix product of the slowest stage, forward and backward, times its micro-batches",
    "attention": "roofline of attention, forward and backward, on the slowest stage",
    "vector operations": "bytes of norms, activations, residuals and routing over the memory bandwidth that streaming kernels reach",
    "recompute": "forward operations that are done again in the backward pass",
    "host gaps": "gaps between kernels, per layer and pass",
    "tensor-parallel communication": "all-reduce (or all-gather and reduce-scatter) of activations per layer, not hidden",
    "context-parallel communication": "exchange of keys and values that attention does not hide",
    "expert-parallel communication": "all-to-all dispatch and combine of tokens per expert layer, with the load imbalance",
    "pipeline sends": "activations between stages that computing does not hide",
    "activation offload": "activations to host memory and back that computing does not hide",
    "gradient accumulation": "gradients of a micro-batch added to the sum by a kernel of their own",
    "data loading": "reading the samples of a step from the store takes longer than the step",
    "pipeline bubble": "(stages - 1) / virtual stages micro-batches in which a stage waits",
    "batch remainder": "the last round of micro-batches is not full",
    "data-parallel communication": "gradient reduction and weight gathering that computing does not hide",
    "optimizer": "bytes of the optimizer update over the memory bandwidth",
    "stragglers": "jitter of one rank times the expected maximum over all ranks",
    "step overhead": "data hand-over, gradient norm, logging",
}


def _slug(name: str) -> str:
    return name.replace(" ", "_").replace("-", "_")


def _outputs(
    job: TrainingJob, columns: Columns, step: StepColumns, parts: Mapping[str, float], memory: Mapping[str, float]
) -> dict[str, Output]:
    known = {f"accelerator.{job.chip.name}.{path}" for path in job.chip.inputs} | set(job.fabric.inputs)
    names = {
        "chip": f"accelerator.{job.chip.name}",
        "linear": job.precision.linear,
        "attention": job.precision.attention,
    }
    outputs: dict[str, Output] = {}
    for part, seconds in parts.items():
        inputs = {}
        for template in _PART_INPUTS.get(part, ()):
            path = template.format(**names)
            if path == "network.scale_up_efficiency":
                path = next((key for key in job.fabric.inputs if key.startswith(path)), path)
            if path in known or path.startswith("training."):
                inputs[_slug(path.rpartition(".")[2]) if "*" not in path else "efficiency"] = path
        outputs[f"training.step.{_slug(part)}"] = Output(
            label=part, value=seconds, unit="s", method=_PART_METHODS[part], inputs=inputs
        )
    symbols = {_slug(part): f"training.step.{_slug(part)}" for part in parts}
    outputs["training.step_time"] = Output(
        label="step time", value=math.fsum(parts.values()), unit="s", formula=" + ".join(symbols), inputs=symbols
    )
    for part, held in memory.items():
        outputs[f"training.memory.{_slug(part)}"] = Output(
            label=f"{part} of the stage that needs most memory",
            value=held,
            unit="B",
            method="bytes per accelerator under this strategy",
        )
    held_symbols = {_slug(part): f"training.memory.{_slug(part)}" for part in memory}
    outputs["training.memory"] = Output(
        label="memory per accelerator",
        value=math.fsum(memory.values()),
        unit="B",
        formula=" + ".join(held_symbols),
        inputs=held_symbols,
    )
    outputs["training.memory_with_margin"] = Output(
        label="memory per accelerator, should the prediction be low by the margin",
        value=math.fsum(memory.values()) * (1.0 + job.constants.memory_margin),
        unit="B",
        formula="memory * (1 + margin)",
        inputs={"memory": "training.memory", "margin": "training.memory_margin"},
    )
    peak_path = f"accelerator.{job.chip.name}.flop_per_s.{'bf16' if 'bf16' in job.chip.flop_per_s else 'fp16'}"
    used = int(columns.accelerators[0])
    outputs |= {
        "training.tokens_per_step": Output(
            label="tokens per step",
            value=float(job.tokens_per_step),
            unit="token",
            formula="global_batch * sequence",
            inputs={"global_batch": "training.global_batch", "sequence": "training.sequence_length"},
        ),
        "training.tokens_per_s": Output(
            label="training rate",
            value=job.tokens_per_step / float(step.step_s[0]),
            unit="token/s",
            formula="tokens / step",
            inputs={"tokens": "training.tokens_per_step", "step": "training.step_time"},
        ),
        "training.accelerators_used": Output(
            label="accelerators in the job",
            value=float(used),
            unit="",
            method="tensor x context x pipeline x data parallel of the chosen strategy; a plan chooses the number whose run is shortest, failures included",
            inputs={"powered": "fleet.powered"},
        ),
        "training.tokens_per_s_per_accelerator": Output(
            label="training rate per accelerator",
            value=job.tokens_per_step / float(step.step_s[0]) / used,
            unit="token/s",
            formula="rate / accelerators",
            inputs={"rate": "training.tokens_per_s", "accelerators": "training.accelerators_used"},
        ),
        "training.flop_per_token": Output(
            label="model FLOPs per trained token",
            value=training_flop_per_token(job.model, job.sequence),
            unit="FLOP/token",
            method=f"3 x forward: 2 per matrix parameter in use plus attention ({FlopConvention.CAUSAL})",
            inputs={"sequence": "training.sequence_length"},
        ),
        "training.mfu": Output(
            label="model FLOP utilisation",
            value=float(step.mfu[0]),
            unit="fraction",
            formula="flop * tokens / (step * accelerators * peak)",
            inputs={
                "flop": "training.flop_per_token",
                "tokens": "training.tokens_per_step",
                "step": "training.step_time",
                "accelerators": "training.accelerators_used",
                "peak": peak_path,
            },
        ),
        "training.hfu": Output(
            label="hardware FLOP utilisation",
            value=float(step.hfu[0]),
            unit="fraction",
            method="model FLOP utilisation with recomputed FLOPs counted",
            inputs={"mfu": "training.mfu"},
        ),
    }
    return outputs


def infeasible(
    job: TrainingJob,
    found: SearchResult,
    pins: Mapping[str, int],
    constraints: Sequence[Constraint],
    space: Space | None,
    unit: int,
    resized: Callable[[int], TrainingJob],
) -> InfeasibleError:
    """Return the error that says which constraint binds, by how much, and the smallest change that was found to
    help.
    """
    if found.nearest_miss is None:
        return _no_shape(job, found, pins, constraints)
    limits = [rule for rule in constraints if rule.on_memory]
    limit = min([job.chip.memory_bytes, *(rule.value for rule in limits)])
    row = found.nearest_miss.row(0)
    missing = found.nearest_miss_bytes - limit
    remedy = _memory_remedy(job, found, pins, constraints, space, unit, resized)
    shape = ", ".join(
        f"{key.replace('_', ' ')} {row[key]}"
        for key in ("tensor_parallel", "pipeline_parallel", "data_parallel", "expert_parallel", "recompute")
    )
    kept = _under(constraints)
    own = f" that the constraint {limits[0].text!r} allows" if limit < job.chip.memory_bytes else ""
    return InfeasibleError(
        f"memory per accelerator binds: {job.model.name} does not fit on {job.accelerators:,} {job.chip.name}{kept}. The leanest of {found.generated:,} strategies "
        f"({shape}) needs {format_quantity(found.nearest_miss_bytes, 'B')} of {format_quantity(limit, 'B')}{own}, "
        f"{format_quantity(missing, 'B')} too much. {remedy}",
        constraint="memory per accelerator",
        remedy=remedy,
    )


def _under(constraints: Sequence[Constraint]) -> str:
    rules = [rule.text for rule in constraints if not rule.on_memory]
    return f" under {' and '.join(rules)}" if rules else ""


_DEGREES = ("tensor_parallel", "context_parallel", "pipeline_parallel", "data_parallel")


def _no_shape(
    job: TrainingJob, found: SearchResult, pins: Mapping[str, int], constraints: Sequence[Constraint]
) -> InfeasibleError:
    """Return why no strategy keeps the rules: pinned degrees larger than the fleet, constraints, or the rule that those
    break which get furthest.
    """
    who = f"{job.model.name} on {job.accelerators:,} {job.chip.name}"
    pinned = {name: pins[name] for name in _DEGREES if name in pins}
    product = math.prod(pinned.values())
    if product > job.accelerators:
        words = " x ".join(f"{name.partition('_')[0]} {value:,}" for name, value in pinned.items())
        remedy = f"at least {product:,} accelerators, or smaller degrees"
        return InfeasibleError(
            f"no strategy is valid: the pinned degrees need more accelerators than there are, {words} = {product:,} of {job.accelerators:,} {job.chip.name}. {remedy.capitalize()}.",
            constraint="strategy",
            remedy=remedy,
        )
    remedy = "free the pinned degrees, or choose others" if pins else "use more accelerators or a larger batch"
    rules = _under(constraints)
    if rules:
        remedy = f"leave out one of {rules.removeprefix(' under ')}, or {remedy}"
    if not found.generated:
        return InfeasibleError(
            f"no strategy is left for {who}{rules}: no data-parallel degree folds onto its experts and keeps the constraints. {remedy.capitalize()}.",
            constraint="strategy",
            remedy=remedy,
        )
    order = {rule: code for code, rule in enumerate(REJECTIONS)}
    nearest = max(found.rejected, key=lambda rule: order.get(rule, 0))
    return InfeasibleError(
        f"no strategy is valid for {who}{rules}: of {found.generated:,} tried, those that get furthest break this rule: {nearest}. {remedy[0].upper()}{remedy[1:]}.",
        constraint="strategy",
        remedy=remedy,
    )


# A fleet that holds the model is looked for up to this many times the job's.
MOST_GROWTH = 64


def _memory_remedy(
    job: TrainingJob,
    found: SearchResult,
    pins: Mapping[str, int],
    constraints: Sequence[Constraint],
    space: Space | None,
    unit: int,
    resized: Callable[[int], TrainingJob],
) -> str:
    """Return the smallest fleet in multiples of `unit` that holds the model under the same pins, constraints and
    space, else the memory that would.

    More accelerators hold what fewer did (the same strategies and more), so the count is bisected.
    """

    def held(units: int) -> bool:
        more = resized(units * unit)
        return fits(more, space, pins, constraints)

    low, high = job.accelerators // unit, max(2 * job.accelerators // unit, job.accelerators // unit + 1)
    most = max(MOST_GROWTH * job.accelerators // unit, MOST_GROWTH)
    while high <= most and not held(high):
        low, high = high, 2 * high
    if high > most:
        return f"An accelerator with at least {format_quantity(found.nearest_miss_bytes, 'B')} would hold it."
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if held(middle) else (middle, high)
    return f"Smallest change that fits: {high * unit:,} accelerators."
