"""Training on a given fleet: the best (or a given) strategy, why its step takes as long as it does, and what it rests
on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
from gigawatt.training._search import SearchResult, search
from gigawatt.training._space import Constraint, Space
from gigawatt.training._validity import REJECTIONS

COMPUTING = ("matrix products", "attention", "vector operations", "recompute")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """One strategy and what it does. `computing_fraction` is the share of the step in which chips compute, not wait."""

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

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "strategy": dict(self.strategy),
            "step": self.step.to_dict(),
            "memory": self.memory.to_dict(),
            "outputs": {path: output.to_dict() for path, output in self.outputs.items()},
            "alternatives": [dict(row) for row in self.alternatives],
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
) -> TrainingResult:
    """Return the step of the strategy in `columns` (length 1), or of the best strategy that a search with `pins`
    finds.

    Raises InfeasibleError where no strategy fits, naming what binds, the nearest miss and a change that would help;
    InputError where `columns` breaks a rule.
    """
    evaluator = Evaluator(job)
    found: SearchResult | None = None
    if columns is None:
        found = search(job, space, pins=pins, keep=keep, evaluator=evaluator, constraints=constraints)
        if found.best is None:
            raise _infeasible(job, found, pins or {})
        columns = found.best
    step = evaluator.evaluate(columns)
    if step.rejection[0]:
        raise InputError(
            Problem(
                message=f"this strategy cannot run: {REJECTIONS[step.rejection[0]]}",
                path="strategy",
                found=str(columns.row(0)),
            )
        )
    alternatives: list[Mapping[str, Any]] = []
    if found is not None and found.alternatives is not None and len(found.alternatives):
        other = evaluator.evaluate(found.alternatives)
        alternatives = [
            {
                **found.alternatives.row(row),
                "step_time": float(other.step_s[row]),
                "memory": float(other.memory_bytes[row]),
            }
            for row in range(len(found.alternatives))
        ]
    return _result(job, columns, step, tuple(alternatives), found)


def _result(
    job: TrainingJob,
    columns: Columns,
    step: StepColumns,
    alternatives: tuple[Mapping[str, Any], ...],
    found: SearchResult | None,
) -> TrainingResult:
    parts = {name: float(values[0]) for name, values in step.step_parts.items() if values[0] > 0}
    memory = {name: float(values[0]) for name, values in step.memory_parts.items() if values[0] > 0}
    tree = Breakdown.of("step time", "s", parts)
    held = Breakdown.of(f"memory per accelerator, stage {int(step.memory_stage[0]) + 1}", "B", memory)
    used = int(columns.accelerators[0])
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
        warnings=_warnings(job, step),
    )


def _warnings(job: TrainingJob, step: StepColumns) -> tuple[str, ...]:
    notes = []
    if not job.chip.calibrated:
        notes.append(
            f"no kernel of {job.chip.name} was measured: its efficiencies are transferred from other chips, expect 10-15 % error and a tendency to be too fast"
        )
    headroom = 1 - float(step.memory_bytes[0]) / job.chip.memory_bytes
    if headroom < 0.05:
        notes.append(
            f"only {headroom:.0%} of the memory is left over; a measured peak can be higher than this estimate"
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
            method="tensor x context x pipeline x data parallel of the chosen strategy",
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


def _infeasible(job: TrainingJob, found: SearchResult, pins: Mapping[str, int]) -> InfeasibleError:
    """Return the error that says which constraint binds, by how much, and the smallest change that was found to
    help.
    """
    if found.nearest_miss is None:
        order = {rule: code for code, rule in enumerate(REJECTIONS)}
        nearest = max(found.rejected, key=lambda rule: order.get(rule, 0)) if found.rejected else "nothing to try"
        remedy = "free the pinned degrees, or choose others" if pins else "use more accelerators or a larger batch"
        return InfeasibleError(
            f"no strategy is valid for {job.model.name} on {job.accelerators:,} {job.chip.name}: of {found.generated:,} tried, those that get furthest break this rule: {nearest}. {remedy.capitalize()}.",
            constraint="strategy",
            remedy=remedy,
        )
    row = found.nearest_miss.row(0)
    missing = found.nearest_miss_bytes - job.chip.memory_bytes
    remedy = _memory_remedy(job, found, pins)
    shape = ", ".join(
        f"{key.replace('_', ' ')} {row[key]}"
        for key in ("tensor_parallel", "pipeline_parallel", "data_parallel", "expert_parallel", "recompute")
    )
    return InfeasibleError(
        f"memory per accelerator binds: {job.model.name} does not fit on {job.accelerators:,} {job.chip.name}. The leanest of {found.generated:,} strategies "
        f"({shape}) needs {format_quantity(found.nearest_miss_bytes, 'B')} of {format_quantity(job.chip.memory_bytes, 'B')}, "
        f"{format_quantity(missing, 'B')} too much. {remedy}",
        constraint="memory per accelerator",
        remedy=remedy,
    )


def _memory_remedy(job: TrainingJob, found: SearchResult, pins: Mapping[str, int]) -> str:
    for factor in (2, 4, 8, 16, 32, 64):
        more = replace(job, accelerators=job.accelerators * factor)
        if pins.get("data_parallel") is None and search(more, pins=pins).best is not None:
            return f"Smallest change tried that fits: {job.accelerators * factor:,} accelerators."
    return f"An accelerator with at least {format_quantity(found.nearest_miss_bytes, 'B')} would hold it."
