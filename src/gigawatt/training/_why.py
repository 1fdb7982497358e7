"""Why a strategy is slower or larger than another, and what a step depends on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gigawatt.errors import InfeasibleError
from gigawatt.hardware import Tier
from gigawatt.training._columns import Columns
from gigawatt.training._evaluate import Evaluator
from gigawatt.training._job import TrainingJob
from gigawatt.training._search import search
from gigawatt.training._validity import OUT_OF_MEMORY, REJECTIONS

# Levers are pulled by this much, and the effect is told per one per cent.
PULL = 1.1
# Steps that differ by less are as fast.
SAME = 0.0005
REASONS: Mapping[str, str] = {
    "matrix products": "the slowest stage computes another share of the products, or in shapes that suit the chip less or more",
    "attention": "attention is cut differently over heads and tokens",
    "vector operations": "norms, activations, residuals and routing touch more or fewer tokens per accelerator",
    "recompute": "more or less of the forward pass is done again in the backward pass",
    "host gaps": "shorter kernels leave the accelerator waiting for the host more often",
    "tensor-parallel communication": "activations are exchanged inside every layer",
    "context-parallel communication": "keys and values are exchanged between parts of a sequence",
    "expert-parallel communication": "tokens travel to their experts and back",
    "pipeline sends": "activations pass from stage to stage",
    "activation offload": "activations cross the link to host memory",
    "gradient accumulation": "every micro-batch adds to the gradients of the parameters that a rank holds",
    "pipeline bubble": "stages wait for the pipeline to fill and drain: fewer micro-batches per replica, or more stages, cost more",
    "batch remainder": "the global batch does not divide evenly",
    "data-parallel communication": "gradients (and sharded weights) are exchanged between replicas over the network",
    "optimizer": "each rank updates another share of the parameters",
    "stragglers": "in proportion to the rest of the step",
    "weights": "each rank holds another share of the parameters",
    "gradients": "each rank holds another share of the gradients",
    "activations": "more or fewer tokens and micro-batches in flight, or less recomputed",
    "logits": "the last stage holds logits of more or fewer tokens",
    "expert buffers": "tokens on their way to and from experts",
    "communication buffers": "weights gathered for the layers at work",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two strategies of one job: strategies, step and memory by part (`time`, `memory`: part, a, b, reason), what
    breaks a rule (`problems`), and the nearest strategy that fits where one does not.
    """

    strategies: tuple[Mapping[str, Any], Mapping[str, Any]]
    step_s: tuple[float, float]
    memory_bytes: tuple[float, float]
    capacity_bytes: float
    time: tuple[Mapping[str, Any], ...]
    memory: tuple[Mapping[str, Any], ...]
    problems: tuple[str, str]
    nearest: Mapping[str, Any] | None

    @property
    def sentences(self) -> tuple[str, ...]:
        """What matters, in words: who is faster and by what, where the memory differs, what does not fit."""
        a, b = self.step_s
        share = max(a, b) / min(a, b) - 1
        judged = f"A is {share:.1%} {'faster' if a < b else 'slower'}" if share >= SAME else "they are as fast"
        words = [f"A takes {a:.4g} s per step and B {b:.4g} s: {judged}."]
        for row in sorted(self.time, key=lambda row: -abs(row["b"] - row["a"]))[:3]:
            if abs(row["b"] - row["a"]) > 0.005 * min(a, b):
                side = "saves A" if row["b"] > row["a"] else "costs A"
                words.append(f"{row['part'].capitalize()} {side} {abs(row['b'] - row['a']):.3g} s: {row['reason']}.")
        for name, other, strategy, against in (("A", "B", *self.strategies), ("B", "A", *self.strategies[::-1])):
            if strategy["zero_stage"] == 3 > against["zero_stage"]:
                words.append(
                    f"{name} shards its weights (ZeRO 3), so every micro-batch gathers them again over the network; {other} holds them."
                )
        for name, problem, held in zip("AB", self.problems, self.memory_bytes, strict=True):
            if problem == REJECTIONS[OUT_OF_MEMORY]:
                words.append(
                    f"{name} does not fit: it needs {held / 1e9:.1f} GB of {self.capacity_bytes / 1e9:.0f} GB, most of it {self._largest(name)}."
                )
            elif problem:
                words.append(f"{name} cannot run: {problem}.")
        if self.nearest is not None:
            changed = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in self.nearest["changes"].items())
            words.append(
                f"The nearest that fits changes {changed}: {self.nearest['step_s']:.4g} s and {self.nearest['memory_bytes'] / 1e9:.1f} GB."
            )
        return tuple(words)

    def _largest(self, name: str) -> str:
        side = name.lower()
        row = max(self.memory, key=lambda row: row[side])
        return f"{row['part']} ({row[side] / 1e9:.1f} GB)"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "strategies": [dict(strategy) for strategy in self.strategies],
            "step_s": list(self.step_s),
            "memory_bytes": list(self.memory_bytes),
            "capacity_bytes": self.capacity_bytes,
            "time": [dict(row) for row in self.time],
            "memory": [dict(row) for row in self.memory],
            "problems": list(self.problems),
            "nearest": None if self.nearest is None else dict(self.nearest),
            "sentences": list(self.sentences),
        }


def complete(job: TrainingJob, decisions: Mapping[str, int]) -> Columns:
    """Return a strategy with the decisions given and the others chosen best; where nothing fits, the leanest.

    Raises InfeasibleError where no strategy with these decisions keeps the rules.
    """
    found = search(job, pins=decisions)
    chosen = found.best if found.best is not None else found.nearest_miss
    if chosen is None:
        order = {rule: code for code, rule in enumerate(REJECTIONS)}
        most = max(found.rejected, key=lambda rule: order.get(rule, 0)) if found.rejected else "nothing to try"
        text = ", ".join(f"{name} {value}" for name, value in decisions.items())
        raise InfeasibleError(
            f"no strategy with {text} is valid for {job.model.name} on {job.accelerators:,} {job.chip.name}: {most}.",
            constraint="strategy",
            remedy="free one of these decisions",
        )
    return chosen


def compare_strategies(job: TrainingJob, a: Mapping[str, int], b: Mapping[str, int]) -> Comparison:
    """Return where each second and each byte of two strategies goes; what they leave open is chosen best.

    Raises InfeasibleError where one of them breaks a rule whatever is chosen.
    """
    evaluator = Evaluator(job)
    pair = Columns.concatenate([complete(job, a), complete(job, b)])
    step = evaluator.evaluate(pair)

    def table(parts: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
        return tuple(
            {"part": name, "a": float(part[0]), "b": float(part[1]), "reason": REASONS.get(name, "")}
            for name, part in parts.items()
            if part.any()
        )

    problems = tuple(REJECTIONS[code] if code else "" for code in step.rejection.tolist())
    nearest = None
    for row, decisions in enumerate((a, b)):
        if problems[row] == REJECTIONS[OUT_OF_MEMORY] and nearest is None:
            nearest = nearest_that_fits(job, pair.take([row]), decisions)
    return Comparison(
        strategies=(pair.row(0), pair.row(1)),
        step_s=(float(step.step_s[0]), float(step.step_s[1])),
        memory_bytes=(float(step.memory_bytes[0]), float(step.memory_bytes[1])),
        capacity_bytes=job.chip.memory_bytes,
        time=table(step.step_parts),
        memory=table(step.memory_parts),
        problems=(problems[0], problems[1]),
        nearest=nearest,
    )


def nearest_that_fits(job: TrainingJob, misfit: Columns, decisions: Mapping[str, int]) -> Mapping[str, Any] | None:
    """Return the fastest strategy that fits with the fewest of the given decisions freed, and what it changes; None
    where no strategy fits at all.
    """
    names = list(decisions)
    for count in range(len(names) + 1):
        best: dict[str, Any] | None = None
        for free in _subsets(names, count):
            found = search(job, pins={name: value for name, value in decisions.items() if name not in free}, keep=0)
            if found.best is None:
                continue
            step = Evaluator(job).evaluate(found.best)
            before, after = misfit.row(0), found.best.row(0)
            option = {
                "strategy": after,
                "changes": {key: value for key, value in after.items() if value != before[key]},
                "step_s": float(step.step_s[0]),
                "memory_bytes": float(step.memory_bytes[0]),
            }
            if best is None or option["step_s"] < best["step_s"]:
                best = option
        if best is not None:
            return best
    return None


def _subsets(names: list[str], count: int) -> list[tuple[str, ...]]:
    from itertools import combinations

    return list(combinations(names, count))


def elasticities(job: TrainingJob, columns: Columns) -> tuple[Mapping[str, Any], ...]:
    """Return by how many per cent a token gets cheaper in time for one per cent more of each lever.

    -d ln(time per token) / d ln(lever), by a change of 10 %; the strategy stays. For the batch the change is the
    nearest whole number of micro-batches.
    """
    base = float(Evaluator(job).evaluate(columns).step_s[0]) / job.global_batch
    rows = []
    for label, changed in _levers(job, columns).items():
        step = float(Evaluator(changed[0]).evaluate(columns).step_s[0]) / changed[0].global_batch
        rows.append({"lever": label, "elasticity": math.log(base / step) / math.log(changed[1])})
    return tuple(sorted(rows, key=lambda row: -abs(row["elasticity"])))


def _levers(job: TrainingJob, columns: Columns) -> dict[str, tuple[TrainingJob, float]]:
    chip = job.chip
    chunk = int(columns.micro_batch[0] * columns.data_parallel[0])
    batch = job.global_batch + max(chunk, round(0.1 * job.global_batch / chunk) * chunk)
    levers = {
        "arithmetic rate": (
            replace(job, chip=replace(chip, flop_per_s={k: v * PULL for k, v in chip.flop_per_s.items()})),
            PULL,
        ),
        "memory bandwidth": (replace(job, chip=replace(chip, memory_bytes_per_s=chip.memory_bytes_per_s * PULL)), PULL),
        "global batch": (replace(job, global_batch=batch), batch / job.global_batch),
    }
    for label in dict.fromkeys(_link(tier) for tier in job.fabric.tiers if tier.domain > 1):
        tiers = tuple(
            replace(tier, bytes_per_s=tier.bytes_per_s * PULL) if _link(tier) == label else tier
            for tier in job.fabric.tiers
        )
        levers[label] = (replace(job, fabric=replace(job.fabric, tiers=tiers)), PULL)
    return levers


def _link(tier: Tier) -> str:
    """Return what the bandwidth of a tier is called: the switches of a site hang on the same ports."""
    if tier.kind == "wide_area":
        return f"bandwidth {tier.name}"
    return "scale-up bandwidth" if tier.name == "scale-up" else "scale-out bandwidth"
