"""Mixed fleets: one synchronous job of several kinds of accelerators, and what mixing costs.

Three ways: everybody at the pace of the slowest; micro-batches in proportion to speed between data-parallel groups;
layers in proportion to speed between pipeline stages (docs/science.md 7.3). Each way is searched for its own best
strategy, and every kind holds its part of it with the memory margin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.errors import InfeasibleError, InputError, Problem
from gigawatt.hardware import chip_of
from gigawatt.planning._couple import resizing, training_job
from gigawatt.planning._inputs import Inputs, resolve
from gigawatt.scenario import Scenario
from gigawatt.training import (
    Columns,
    Constraint,
    Evaluator,
    Space,
    TrainingJob,
    constants,
    default_stack,
    memory_margin,
    strategies,
    train,
)

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedResult:
    """What a mixed fleet does: `ways` (way, tokens per second, step, shares by kind, strategy, accelerators in use and
    idle, note), `kinds` with the rate of each kind by itself at the whole batch, and `ideal_tokens_per_s`, their sum
    (or the best way where that is more).
    """

    kinds: tuple[Mapping[str, Any], ...]
    ways: tuple[Mapping[str, Any], ...]
    ideal_tokens_per_s: float

    @property
    def best(self) -> Mapping[str, Any]:
        """The fastest way."""
        return max(self.ways, key=lambda way: way["tokens_per_s"])

    @property
    def sentence(self) -> str:
        """What mixing costs, in words."""
        loss = 1.0 - self.best["tokens_per_s"] / self.ideal_tokens_per_s
        slowest = next(way for way in self.ways if way["way"] == "pace of the slowest")
        gain = self.best["tokens_per_s"] / slowest["tokens_per_s"] - 1.0
        return f"Best: {self.best['way']}, {self.best['tokens_per_s']:,.0f} tokens/s, {loss:.1%} below the kinds apart; {gain:.1%} above everybody at the pace of the slowest."

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "kinds": [dict(kind) for kind in self.kinds],
            "ways": [dict(way) for way in self.ways],
            "ideal_tokens_per_s": self.ideal_tokens_per_s,
            "sentence": self.sentence,
        }


def mix_scenario(scenario: Scenario) -> MixedResult:
    """Return what the kinds of accelerators of a scenario do together and apart.

    Raises InputError for a fleet of one kind, InfeasibleError where no common strategy fits.
    """
    inputs = resolve(scenario, whole_plan=False)
    if len(inputs.groups) < 2:
        raise InputError(
            Problem(
                message="a mixed fleet needs two kinds of accelerators",
                location=scenario.place("fleet"),
                path="fleet.accelerators",
                allowed="a list, for example [{accelerator: H100, count: 512}, {accelerator: H200, count: 512}]",
            )
        )
    together = training_job(inputs)
    slow = train(
        together,
        pins=inputs.pins,
        constraints=inputs.constraints,
        keep=0,
        unit=inputs.server,
        resized=resizing(together, inputs),
    )
    jobs = [_kind_job(inputs, index) for index in range(len(inputs.groups))]
    alone = []
    for job in jobs:
        try:
            alone.append(train(job, pins=inputs.pins, constraints=inputs.constraints, keep=0).tokens_per_s)
        except InfeasibleError:
            alone.append(0.0)
    fleet = sum(job.accelerators for job in jobs)
    ways = [
        _way(
            "pace of the slowest",
            together,
            slow.columns,
            slow.step_s,
            dict.fromkeys((job.chip.name for job in jobs), 1),
            "every accelerator does the same work",
            slow.accelerators,
            fleet,
        )
    ]
    ways += [way for way in (_by_replica(inputs, together, jobs), _by_stage(inputs, together, jobs)) if way]
    kinds = tuple(
        {"accelerator": job.chip.name, "accelerators": job.accelerators, "tokens_per_s_alone": rate}
        for job, rate in zip(jobs, alone, strict=True)
    )
    ideal = max(sum(alone), *(way["tokens_per_s"] for way in ways))
    return MixedResult(kinds=kinds, ways=tuple(ways), ideal_tokens_per_s=ideal)


def _way(
    name: str,
    job: TrainingJob,
    columns: Columns,
    step_s: float,
    shares: Mapping[str, int],
    note: str,
    used: int,
    fleet: int,
) -> dict[str, Any]:
    """Return one way as plain data; accelerators that it leaves over are said in its note."""
    left = f"; {fleet - used:,} of {fleet:,} accelerators idle" if fleet > used else ""
    return {
        "way": name,
        "tokens_per_s": job.tokens_per_step / step_s,
        "step_s": step_s,
        "shares": dict(shares),
        "strategy": columns.row(0),
        "accelerators": used,
        "idle": fleet - used,
        "note": note + left,
    }


def _kind_job(inputs: Inputs, index: int) -> TrainingJob:
    """Return the scenario's job on one kind of its accelerators alone, with the whole batch."""
    group = inputs.groups[index]
    base = training_job(inputs)
    counts = [item.count or base.accelerators // len(inputs.groups) for item in inputs.groups]
    accelerator = group.accelerator
    return replace(
        base,
        chip=chip_of(accelerator),
        accelerators=counts[index],
        fabric=replace(inputs, groups=(group,), reference=accelerator).fabric(counts[index]),
        constants=constants(
            stack=inputs.scenario.training.stack or default_stack(accelerator.vendor, accelerator.name),
            chip=accelerator.name,
        ),
    )


def _beside_others(kind: TrainingJob, job: TrainingJob, fleet: int) -> TrainingJob:
    """Return the job of a kind that works beside others: its own scale-up domain, the network of the whole fleet."""
    inner, outer = kind.fabric.tiers[0], job.fabric.tiers
    own = inner.name == outer[0].name == "scale-up" and inner.domain >= outer[0].domain
    tiers = (replace(inner, domain=outer[0].domain), *outer[1:]) if own else outer
    return replace(kind, accelerators=fleet, fabric=replace(job.fabric, tiers=tiers))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pace:
    """What strategies do on one kind of chip, each (C,): seconds of a micro-batch through the slowest stage, what a step
    adds once, and whether the memory keeps the margin (and the constraints on it).
    """

    micro_s: Array
    once_s: Array
    holds: NDArray[np.bool_]


# Parts of a step that do not grow with the micro-batches of a replica.
ONCE = (
    "pipeline bubble",
    "batch remainder",
    "data-parallel communication",
    "optimizer",
    "stragglers",
    "step overhead",
)


def _pace(evaluator: Evaluator, columns: Columns, constraints: Sequence[Constraint]) -> _Pace:
    job = evaluator.job
    step = evaluator.evaluate(columns)
    once = np.add.reduce([step.step_parts[name] for name in ONCE if name in step.step_parts])
    rounds = job.global_batch / (columns.micro_batch * columns.data_parallel)
    holds = step.memory_bytes * (1.0 + memory_margin(job, constraints)) <= job.chip.memory_bytes
    for rule in constraints:
        holds = holds & rule.keeps(step.memory_bytes) if rule.on_memory else holds
    return _Pace(micro_s=(step.step_s - once) / rounds, once_s=once - step.step_parts["batch remainder"], holds=holds)


def _shared_out(whole: Array, counts: list[Array], cost: list[Array]) -> list[Array]:
    """Return whole pieces of work per member of each kind, (C,) each, in proportion to speed: `counts` members share
    `whole` pieces at least, a piece costs a member `cost` seconds; the last pieces go where they end earliest.
    """
    speed = np.add.reduce([count / each for count, each in zip(counts, cost, strict=True)])
    pieces = [np.maximum(np.floor(whole / speed / each), 1.0) for each in cost]
    while True:
        short = np.add.reduce([count * piece for count, piece in zip(counts, pieces, strict=True)]) < whole
        if not short.any():
            return pieces
        ends = np.stack([(piece + 1.0) * each for piece, each in zip(pieces, cost, strict=True)])
        earliest = ends.argmin(axis=0)
        pieces = [piece + (short & (earliest == kind)) for kind, piece in enumerate(pieces)]


def _by_replica(inputs: Inputs, job: TrainingJob, kinds: list[TrainingJob]) -> dict[str, Any] | None:
    """Return the best strategy with replicas of one kind each and micro-batches in proportion to their speed."""
    pins = {name: value for name, value in inputs.pins.items() if name != "data_parallel"}
    rules = tuple(rule for rule in inputs.constraints if rule.name != "data_parallel")
    fleet = sum(kind.accelerators for kind in kinds)
    evaluators = [Evaluator(_beside_others(kind, job, fleet)) for kind in kinds]
    best: dict[str, Any] | None = None
    for block in strategies(job, Space.of(job), pins, rules):
        fold = block.tensor_parallel * block.context_parallel
        experts = block.expert_parallel * block.expert_tensor_parallel
        quantum, size = experts // np.gcd(experts, fold), fold * block.pipeline_parallel
        counts = [kind.accelerators // size // quantum * quantum for kind in kinds]
        shape = replace(block, data_parallel=np.maximum(np.add.reduce(counts), 1))
        valid = (np.minimum.reduce(counts) >= 1) & (evaluators[0].rejections(shape) == 0)
        if not valid.any():
            continue
        shape, members = shape.take(valid), [count[valid].astype(np.float64) for count in counts]
        paces = [_pace(evaluator, shape, rules) for evaluator in evaluators]
        turns = _shared_out(np.ceil(job.global_batch / shape.micro_batch), members, [pace.micro_s for pace in paces])
        fits = np.logical_and.reduce([pace.holds for pace in paces])
        enough = (shape.virtual_stages == 1) | (np.minimum.reduce(turns) >= shape.pipeline_parallel)
        ends = np.stack([turn * pace.micro_s + pace.once_s for turn, pace in zip(turns, paces, strict=True)])
        step = np.where(fits & enough, ends.max(axis=0), np.inf)
        row = int(step.argmin())
        if best is None or step[row] < best["step_s"]:
            best = {
                "step_s": float(step[row]),
                "columns": shape.take(slice(row, row + 1)),
                "turns": [int(turn[row]) for turn in turns],
                "members": [int(count[row]) for count in members],
            }
    if best is None or not math.isfinite(best["step_s"]):
        return None
    each = int((best["columns"].accelerators // best["columns"].data_parallel)[0])
    return _way(
        "micro-batches by speed",
        job,
        best["columns"],
        best["step_s"],
        {kind.chip.name: turn for kind, turn in zip(kinds, best["turns"], strict=True)},
        f"micro-batches of {int(best['columns'].micro_batch[0])} per replica; {' + '.join(f'{count:,}' for count in best['members'])} replicas of {each:,} accelerators",
        each * sum(best["members"]),
        fleet,
    )


# Strategies whose memory by stage is looked at, fastest first.
CHECKED = 400


def _by_stage(inputs: Inputs, job: TrainingJob, kinds: list[TrainingJob]) -> dict[str, Any] | None:
    """Return the best strategy with pipeline stages of one kind each and layers in proportion to their speed; None for
    a model whose layers differ, or where no kind holds its stages.
    """
    layers = len(job.model.layers)
    if len(set(job.model.layers)) > 1:
        return None
    fleet, rules = sum(kind.accelerators for kind in kinds), inputs.constraints
    evaluators = [Evaluator(_beside_others(kind, job, fleet)) for kind in kinds]
    pins = {**inputs.pins, "virtual_stages": inputs.pins.get("virtual_stages", 1)}
    shapes: list[Columns] = []
    times: list[Array] = []
    layers_held: list[Array] = []
    stages_held: list[Array] = []
    for block in strategies(job, Space.of(job), pins, rules):
        ranks = block.tensor_parallel * block.context_parallel * block.data_parallel
        stages = _stages_of_kinds(block.pipeline_parallel, kinds)
        room = [own * ranks <= kind.accelerators for own, kind in zip(stages, kinds, strict=True)]
        valid = np.logical_and.reduce([*room, np.minimum.reduce(stages) >= 1, evaluators[0].rejections(block) == 0])
        if not valid.any():
            continue
        shape, mine = block.take(valid), [own[valid].astype(np.float64) for own in stages]
        paces = [_pace(evaluator, shape, rules) for evaluator in evaluators]
        cost = [pace.micro_s * shape.pipeline_parallel / layers for pace in paces]
        held = _shared_out(np.full(len(shape), float(layers)), mine, cost)
        ends = np.stack([own * each for own, each in zip(held, cost, strict=True)])
        once = np.stack([pace.once_s for pace in paces])[ends.argmax(axis=0), np.arange(len(shape))]
        rounds = np.ceil(job.global_batch / (shape.micro_batch * shape.data_parallel))
        shapes.append(shape)
        times.append(ends.max(axis=0) * rounds + once)
        layers_held.append(np.stack(held))
        stages_held.append(np.stack(mine))
    if not shapes:
        return None
    columns, step = Columns.concatenate(shapes), np.concatenate(times)
    held_by, mine_by = np.concatenate(layers_held, axis=1), np.concatenate(stages_held, axis=1)
    for row in np.argsort(step, kind="stable")[:CHECKED]:
        chosen, own = columns.take(slice(row, row + 1)), [int(value) for value in held_by[:, row]]
        if all(_holds_layers(e.job, chosen, count, rules) for e, count in zip(evaluators, own, strict=True)):
            return _way(
                "layers by speed",
                job,
                chosen,
                float(step[row]),
                {kind.chip.name: count for kind, count in zip(kinds, own, strict=True)},
                f"layers per stage; {' + '.join(str(int(count)) for count in mine_by[:, row])} stages",
                int(chosen.accelerators[0]),
                fleet,
            )
    return None


def _stages_of_kinds(pipeline: NDArray[np.int64], kinds: list[TrainingJob]) -> list[NDArray[np.int64]]:
    """Return the stages of each kind in proportion to its accelerators, (C,) each; the last kind takes the rest."""
    fleet = sum(kind.accelerators for kind in kinds)
    first = [np.round(pipeline * kind.accelerators / fleet).astype(np.int64) for kind in kinds[:-1]]
    return [*first, pipeline - np.add.reduce(first)]


def _holds_layers(job: TrainingJob, columns: Columns, layers: int, constraints: Sequence[Constraint]) -> bool:
    """Return whether a kind holds stages of so many layers: those of a pipeline with as many in every stage, the first
    and the last with embedding and head, which is no less than it has to hold.
    """
    whole = layers * int(columns.pipeline_parallel[0])
    uniform = replace(job, model=replace(job.model, layers=(job.model.layers[0],) * whole))
    return bool(_pace(Evaluator(uniform), columns, constraints).holds[0])
