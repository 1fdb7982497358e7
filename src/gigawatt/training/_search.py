"""The space of strategies and the search over it, in blocks of columns."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.model import Recompute
from gigawatt.training._columns import Columns
from gigawatt.training._evaluate import OUT_OF_MEMORY, REJECTIONS, Evaluator
from gigawatt.training._job import TrainingJob

BLOCK = 16_384
# Decisions of which a space has one candidate unless it says more.
SECONDARY = (
    "recompute_layers",
    "shard_ranks",
    "schedule",
    "context_exchange",
    "tensor_overlap",
    "offload_optimizer",
    "offload_activations",
)
# Strategies up to this much slower than the best stay in sight for alternatives and the Pareto set.
WORTH_SHOWING = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Candidate values per decision. Data parallelism follows from the accelerators that the other degrees leave."""

    tensor_parallel: tuple[int, ...]
    pipeline_parallel: tuple[int, ...]
    virtual_stages: tuple[int, ...] = (1, 2, 3, 4, 6, 8)
    context_parallel: tuple[int, ...] = (1,)
    expert_parallel: tuple[int, ...] = (1,)
    micro_batch: tuple[int, ...] = (1, 2, 4, 8)
    recompute: tuple[int, ...] = (0, 1, 2)
    zero_stage: tuple[int, ...] = (1, 2, 3)
    sequence_parallel: tuple[int, ...] = (1,)
    recompute_layers: tuple[int, ...] = (0,)
    shard_ranks: tuple[int, ...] = (0,)
    schedule: tuple[int, ...] = (0,)
    context_exchange: tuple[int, ...] = (0,)
    tensor_overlap: tuple[int, ...] = (0,)
    offload_optimizer: tuple[int, ...] = (0,)
    offload_activations: tuple[int, ...] = (0,)

    @classmethod
    def of(cls, job: TrainingJob) -> Space:
        """Return the usual candidates for a job: tensor parallelism inside the scale-up domain, one pipeline depth
        per distinct number of layers per stage, context parallelism for sequences beyond 8,192 tokens, expert
        parallelism over the divisors.
        """
        domain = job.fabric.tiers[0].domain
        heads, layers = job.model.heads, len(job.model.layers)
        tensor = tuple(t for t in (1, 2, 4, 8, 16, 32, 64) if t <= domain and heads % t == 0)
        depths = sorted({-(-layers // per_stage) for per_stage in range(1, layers + 1)})
        context = tuple(c for c in (1, 2, 4, 8, 16, 32, 64) if c == 1 or job.sequence / c >= 4096)
        experts = job.model.experts.experts if job.model.experts else 1
        expert = tuple(e for e in range(1, experts + 1) if experts % e == 0 and e <= 256)
        return cls(
            tensor_parallel=tensor,
            pipeline_parallel=tuple(d for d in depths if d <= job.accelerators),
            context_parallel=context,
            expert_parallel=expert,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What a search found, best first. `generated` = sum of `rejected` + `feasible`; every generated strategy was
    evaluated or rejected by the rule it is counted under. `nearest_miss` is the strategy that needs least memory
    where none fits.
    """

    best: Columns | None
    alternatives: Columns | None
    pareto: Columns | None
    generated: int
    feasible: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    nearest_miss: Columns | None = None
    nearest_miss_bytes: float = float("inf")


def check_pins(pins: Mapping[str, int]) -> None:
    """Raise InputError for a pinned decision that is no column of a strategy."""
    names = [item.name for item in fields(Columns)]
    for name in pins:
        if name not in names:
            raise InputError(
                Problem(
                    message="no such decision",
                    path=f"strategy.{name}",
                    allowed=", ".join(names),
                    nearest=nearest_name(name, names),
                )
            )


def strategies(job: TrainingJob, space: Space, pins: Mapping[str, int] | None = None) -> Iterator[Columns]:
    """Yield the strategies of a space in blocks of at most 16,384, pinned decisions replacing candidates.

    Unless pinned, data parallelism is the smallest degree that needs no more micro-batches than all accelerators
    would; so no rank is used that would not shorten the step.
    """
    pins = dict(pins or {})
    check_pins(pins)
    data_parallel = pins.pop("data_parallel", None)
    expert_tensor = pins.pop("expert_tensor_parallel", None)

    def values(name: str) -> tuple[int, ...]:
        return (pins[name],) if name in pins else getattr(space, name)

    outer = itertools.product(values("tensor_parallel"), values("context_parallel"), values("expert_parallel"))
    inner_names = (
        "pipeline_parallel",
        "virtual_stages",
        "micro_batch",
        "recompute",
        "zero_stage",
        "sequence_parallel",
        *SECONDARY,
    )
    grid = np.meshgrid(*(np.array(values(name), dtype=np.int64) for name in inner_names), indexing="ij")
    inner = {name: axis.ravel() for name, axis in zip(inner_names, grid, strict=True)}
    if "virtual_stages" not in pins:
        layers = len(job.model.layers)
        sensible = (inner["virtual_stages"] == 1) | (
            (inner["pipeline_parallel"] > 1) & (inner["pipeline_parallel"] * inner["virtual_stages"] <= layers)
        )
        inner = {name: axis[sensible] for name, axis in inner.items()}
    if len(values("recompute_layers")) > 1:
        full = (inner["recompute_layers"] == 0) | (inner["recompute"] == Recompute.FULL)
        inner = {name: axis[full] for name, axis in inner.items()}
    pending: list[Columns] = []
    rows = 0
    for tensor, context, expert in outer:
        groups = (expert_tensor,) if expert_tensor else sorted({1, tensor}) if job.model.experts else (1,)
        for group in groups:
            degrees = {
                "tensor_parallel": tensor,
                "context_parallel": context,
                "expert_parallel": expert,
                "expert_tensor_parallel": group,
            }
            replicas = (
                np.full(len(inner["micro_batch"]), data_parallel)
                if data_parallel
                else _data_parallel(job, degrees, inner)
            )
            block = Columns.of(**degrees, **inner, data_parallel=np.maximum(replicas, 1))
            for start in range(0, len(block), BLOCK):
                part = block.take(slice(start, start + BLOCK))
                if rows + len(part) > BLOCK:
                    yield Columns.concatenate(pending)
                    pending, rows = [], 0
                pending.append(part)
                rows += len(part)
    if pending:
        yield Columns.concatenate(pending)


def _data_parallel(
    job: TrainingJob, degrees: Mapping[str, int], inner: Mapping[str, NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Return the data-parallel degree of each row: see `strategies`."""
    fold = degrees["tensor_parallel"] * degrees["context_parallel"]
    experts = degrees["expert_parallel"] * degrees["expert_tensor_parallel"]
    quantum = experts // np.gcd(experts, fold)  # experts fold onto tensor, context and data ranks
    room = job.accelerators // (fold * inner["pipeline_parallel"])
    most = np.minimum(room, job.global_batch // inner["micro_batch"]) // quantum * quantum
    usable = np.maximum(most, 1)
    rounds = -(-job.global_batch // (usable * inner["micro_batch"]))
    stages = np.where(inner["virtual_stages"] > 1, inner["pipeline_parallel"], 1)
    rounds = -(-rounds // stages) * stages  # interleaving takes micro-batches in rounds of the pipeline
    needed = -(-job.global_batch // (rounds * inner["micro_batch"]))
    needed = -(-needed // quantum) * quantum
    return np.asarray(np.where(most < 1, quantum, np.minimum(needed, usable)), dtype=np.int64)


def search(
    job: TrainingJob,
    space: Space | None = None,
    pins: Mapping[str, int] | None = None,
    keep: int = 8,
    evaluator: Evaluator | None = None,
) -> SearchResult:
    """Return the fastest strategy that fits, `keep` alternatives and the Pareto set over time, memory and network
    bytes.

    Deterministic: ties go to the strategy that was generated first. Raises InputError for a pin that is no decision.
    """
    evaluator = evaluator or Evaluator(job)
    counts = np.zeros(len(REJECTIONS), dtype=np.int64)
    found: list[Columns] = []
    scores: list[NDArray[np.float64]] = []
    best_s = np.inf
    miss: Columns | None = None
    miss_bytes = np.inf
    for block in strategies(job, space or Space.of(job), pins):
        rejection = evaluator.rejections(block)
        counts += np.bincount(rejection[rejection != 0], minlength=len(REJECTIONS))
        valid = block.take(rejection == 0)
        if not len(valid):
            continue
        step = evaluator.evaluate(valid)
        too_big = step.rejection == OUT_OF_MEMORY
        counts[OUT_OF_MEMORY] += int(too_big.sum())
        counts[0] += int((~too_big).sum())
        if step.memory_bytes.min() < miss_bytes:
            row = int(step.memory_bytes.argmin())
            miss, miss_bytes = valid.take(slice(row, row + 1)), float(step.memory_bytes[row])
        if too_big.all():
            continue
        best_s = min(best_s, float(step.step_s[~too_big].min()))
        near = ~too_big & (step.step_s <= WORTH_SHOWING * best_s)
        found.append(valid.take(near))
        scores.append(np.stack([step.step_s[near], step.memory_bytes[near], step.network_bytes[near]], axis=1))
    rejected = {REJECTIONS[code]: int(counts[code]) for code in range(1, len(REJECTIONS)) if counts[code]}
    generated = int(counts.sum())
    if not found:
        return SearchResult(
            best=None,
            alternatives=None,
            pareto=None,
            generated=generated,
            feasible=0,
            rejected=rejected,
            nearest_miss=miss,
            nearest_miss_bytes=float(miss_bytes),
        )
    columns, score = Columns.concatenate(found), np.concatenate(scores)
    order = np.argsort(score[:, 0], kind="stable")
    order = order[score[order, 0] <= WORTH_SHOWING * score[order[0], 0]]
    columns, score = columns.take(order), score[order]
    return SearchResult(
        best=columns.take(slice(0, 1)),
        alternatives=columns.take(_distinct(columns, keep)),
        pareto=columns.take(_pareto(score)),
        generated=generated,
        feasible=int(counts[0]),
        rejected=rejected,
    )


def _distinct(columns: Columns, keep: int) -> list[int]:
    """Return the first rows that differ from the best and from one another in a parallel degree, not only in a
    detail.
    """
    shapes = np.stack(
        [
            columns.tensor_parallel,
            columns.pipeline_parallel,
            columns.context_parallel,
            columns.expert_parallel,
            columns.recompute,
        ],
        axis=1,
    )
    _, first = np.unique(shapes, axis=0, return_index=True)
    return [int(row) for row in np.sort(first) if row != 0][:keep]


def _pareto(score: NDArray[np.float64], most: int = 50) -> list[int]:
    """Return the rows (sorted by their first score) that no other row beats in every score, at most `most`."""
    front: list[int] = []
    for row in range(len(score)):
        if not front or not bool((score[front] <= score[row]).all(axis=1).any()):
            front.append(row)
            if len(front) == most:
                break
    return front
