"""Mixed fleets: one synchronous job of several kinds of accelerators, and what mixing costs.

Three ways: everybody at the pace of the slowest; micro-batches in proportion to speed between data-parallel groups;
layers in proportion to speed between pipeline stages (docs/science.md 7.3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gigawatt.errors import InfeasibleError, InputError, Problem
from gigawatt.hardware import chip_of
from gigawatt.planning._couple import training_job
from gigawatt.planning._inputs import Inputs, resolve
from gigawatt.scenario import Scenario
from gigawatt.training import Columns, Evaluator, TrainingJob, constants, default_stack, train


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedResult:
    """What a mixed fleet does: `ways` (name, tokens per second, step, shares by kind, note), `alone` the rate of each
    kind by itself, `ideal` their sum, and the loss of the best way against it.
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
    slow = train(together, pins=inputs.pins, constraints=inputs.constraints, keep=0)
    jobs = [_kind_job(inputs, index) for index in range(len(inputs.groups))]
    alone = []
    for job in jobs:
        try:
            alone.append(train(job, pins=inputs.pins, constraints=inputs.constraints, keep=0).tokens_per_s)
        except InfeasibleError:
            alone.append(0.0)
    ways = [
        {
            "way": "pace of the slowest",
            "tokens_per_s": slow.tokens_per_s,
            "step_s": slow.step_s,
            "shares": {job.chip.name: 1.0 for job in jobs},
            "note": "every accelerator does the same work",
        }
    ]
    ways += [way for way in (_by_replica(together, jobs, slow.columns), _by_stage(together, jobs, slow.columns)) if way]
    kinds = tuple(
        {"accelerator": job.chip.name, "accelerators": job.accelerators, "tokens_per_s_alone": rate}
        for job, rate in zip(jobs, alone, strict=True)
    )
    return MixedResult(kinds=kinds, ways=tuple(ways), ideal_tokens_per_s=max(sum(alone), slow.tokens_per_s))


def _kind_job(inputs: Inputs, index: int) -> TrainingJob:
    """Return the scenario's job on one kind of its accelerators alone, with its share of the batch."""
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


def _micro_seconds(job: TrainingJob, columns: Columns, accelerators: int) -> tuple[float, float]:
    """Return seconds of one micro-batch through the slowest stage, and what a step adds once, on one kind of chip."""
    step = Evaluator(replace(job, accelerators=accelerators)).evaluate(columns)
    once = ("pipeline bubble", "data-parallel communication", "optimizer", "stragglers", "step overhead")
    added = sum(float(step.step_parts[name][0]) for name in once if name in step.step_parts)
    rounds = job.global_batch / float(columns.micro_batch[0] * columns.data_parallel[0])
    return (float(step.step_s[0]) - added) / rounds, added


def _by_replica(job: TrainingJob, kinds: list[TrainingJob], columns: Columns) -> dict[str, Any] | None:
    """Return the job with replicas of one kind each and micro-batches in proportion to their speed, rounded."""
    size = int((columns.accelerators // columns.data_parallel)[0])
    replicas = [kind.accelerators // size for kind in kinds]
    total = sum(replicas)
    if min(replicas) < 1:
        return None
    whole = math.ceil(job.global_batch / float(columns.micro_batch[0]))
    shape = Columns.of(**{**_plain(columns), "data_parallel": total})
    times = [_micro_seconds(replace(kind, global_batch=job.global_batch), shape, size * total) for kind in kinds]
    speed = sum(count / seconds for count, (seconds, _) in zip(replicas, times, strict=True))
    rounds = [max(1, round(whole / speed / seconds)) for seconds, _ in times]
    while sum(count * turn for count, turn in zip(replicas, rounds, strict=True)) < whole:
        late = min(range(len(rounds)), key=lambda i: (rounds[i] + 1) * times[i][0])
        rounds[late] += 1
    step = max(turn * seconds + added for turn, (seconds, added) in zip(rounds, times, strict=True))
    done = sum(count * turn for count, turn in zip(replicas, rounds, strict=True)) * int(columns.micro_batch[0])
    return {
        "way": "micro-batches by speed",
        "tokens_per_s": min(done, job.global_batch) * job.sequence / step,
        "step_s": step,
        "shares": {kind.chip.name: turn for kind, turn in zip(kinds, rounds, strict=True)},
        "note": f"micro-batches per replica; {' + '.join(str(count) for count in replicas)} replicas of {size} accelerators",
    }


def _by_stage(job: TrainingJob, kinds: list[TrainingJob], columns: Columns) -> dict[str, Any] | None:
    """Return the job with pipeline stages of one kind each and layers in proportion to their speed, rounded."""
    stages, layers = int(columns.pipeline_parallel[0]), len(job.model.layers)
    counts = [kind.accelerators for kind in kinds]
    mine = [round(stages * count / sum(counts)) for count in counts]
    if stages < 2 or sum(mine) != stages or min(mine) < 1:
        return None
    times = [
        _micro_seconds(replace(kind, global_batch=job.global_batch), columns, int(columns.accelerators[0]))
        for kind in kinds
    ]
    each = [seconds / (layers / stages) for seconds, _ in times]  # seconds of one layer
    speed = sum(count / cost for count, cost in zip(mine, each, strict=True))
    held = [max(1, round(layers / speed / cost)) for cost in each]
    while sum(count * own for count, own in zip(mine, held, strict=True)) < layers:
        late = min(range(len(held)), key=lambda i: (held[i] + 1) * each[i])
        held[late] += 1
    pace = max(own * cost for own, cost in zip(held, each, strict=True))
    slowest = max(range(len(kinds)), key=lambda i: held[i] * each[i])
    rounds = job.global_batch / float(columns.micro_batch[0] * columns.data_parallel[0])
    step = pace * rounds + times[slowest][1]
    return {
        "way": "layers by speed",
        "tokens_per_s": job.tokens_per_step / step,
        "step_s": step,
        "shares": {kind.chip.name: own for kind, own in zip(kinds, held, strict=True)},
        "note": f"layers per stage; {' + '.join(str(count) for count in mine)} stages; memory of the larger stages is not checked",
    }


def _plain(columns: Columns) -> dict[str, int]:
    return {name: int(getattr(columns, name)[0]) for name in Columns.__dataclass_fields__}
