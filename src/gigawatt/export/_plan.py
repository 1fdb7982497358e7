"""What is handed over: a request, and the plan that it becomes once every setting is known to be sound.

Names and values of a strategy are those of `gigawatt.training.Columns.row`. A `Limit` is one thing that a framework
cannot express; tables of them take the place of branches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, NamedTuple

from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.model import PRECISIONS, Transformer

OPTIMIZERS = ("adam", "adam8bit", "muon")

# What a decision is when nobody states it.
DEFAULTS: Mapping[str, int | str] = MappingProxyType(
    {
        "tensor_parallel": 1,
        "pipeline_parallel": 1,
        "virtual_stages": 1,
        "data_parallel": 1,
        "context_parallel": 1,
        "expert_parallel": 1,
        "expert_tensor_parallel": 1,
        "micro_batch": 1,
        "recompute": "none",
        "recompute_layers": 0,
        "zero_stage": 0,
        "shard_ranks": 0,
        "sequence_parallel": 1,
        "schedule": "1f1b",
        "context_exchange": "all_gather",
        "tensor_overlap": 0,
        "offload_optimizer": 0,
        "offload_activations": 0,
    }
)
_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "recompute": ("none", "selective", "full"),
        "schedule": ("1f1b", "zero_bubble", "dualpipe"),
        "context_exchange": ("all_gather", "ring", "ulysses"),
    }
)
_RANGES: Mapping[str, tuple[int, int | None]] = MappingProxyType(
    {
        "recompute_layers": (0, None),
        "shard_ranks": (0, None),
        "zero_stage": (0, 3),
        "sequence_parallel": (0, 1),
        "tensor_overlap": (0, 1),
        "offload_optimizer": (0, 1),
        "offload_activations": (0, 1),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """A strategy, the model it trains and the machine it runs on.

    `global_batch` counts sequences per step, `sequence` tokens per sequence. `servers` None means as many as the
    strategy fills. What `strategy` does not state is at its default.
    """

    model: Transformer
    strategy: Mapping[str, Any]
    accelerators: int
    servers: int | None
    accelerators_per_server: int
    global_batch: int
    sequence: int
    precision: str
    optimizer: str
    learning_rate: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A request whose every setting is sound; degrees and names as in the strategy.

    `global_batch` is the largest multiple of data_parallel x micro_batch in the one asked for.
    """

    model: Transformer
    tensor_parallel: int
    pipeline_parallel: int
    virtual_stages: int
    data_parallel: int
    context_parallel: int
    expert_parallel: int
    expert_tensor_parallel: int
    micro_batch: int
    recompute: str
    recompute_layers: int
    zero_stage: int
    shard_ranks: int
    sequence_parallel: int
    schedule: str
    context_exchange: str
    tensor_overlap: int
    offload_optimizer: int
    offload_activations: int
    accelerators: int
    servers: int
    accelerators_per_server: int
    asked_batch: int
    global_batch: int
    sequence: int
    precision: str
    optimizer: str
    learning_rate: float | None

    @property
    def world(self) -> int:
        """Accelerators that the strategy uses."""
        return self.tensor_parallel * self.pipeline_parallel * self.context_parallel * self.data_parallel

    @property
    def micro_batches(self) -> int:
        """Micro-batches of one step of one data-parallel rank."""
        return self.global_batch // (self.data_parallel * self.micro_batch)

    @property
    def shard_group(self) -> int:
        """Data-parallel ranks that share one copy of what is sharded; 1 without sharding."""
        return (self.shard_ranks or self.data_parallel) if self.zero_stage else 1

    @property
    def chunks(self) -> int:
        """Pieces that the pipeline cuts the model into."""
        return self.pipeline_parallel * self.virtual_stages

    def chunk_sizes(self) -> tuple[int, ...]:
        """Return layers per chunk as the step model cuts them: even, the smaller chunks at both ends."""
        base, extra = divmod(len(self.model.layers), self.chunks)
        first = (self.chunks - extra) // 2
        return tuple(base + (first <= index < first + extra) for index in range(self.chunks))


class Limit(NamedTuple):
    """A setting that a framework cannot express: which, when, and what becomes of it."""

    name: str
    holds: Callable[[Plan], bool]
    reason: str


# What no framework can be told, because it means nothing or because it does not divide.
COMMON = (
    Limit(
        "recompute_layers",
        lambda plan: plan.recompute_layers > 0 and plan.recompute != "full",
        "counts layers of full recompute only; left out",
    ),
    Limit(
        "shard_ranks",
        lambda plan: plan.shard_ranks > 0 and plan.zero_stage == 0,
        "nothing is sharded at zero_stage 0; left out",
    ),
    Limit(
        "shard_ranks",
        lambda plan: plan.shard_ranks > 0 and plan.zero_stage > 0 and plan.shard_ranks == plan.data_parallel,
        "the whole data-parallel group, which is written as 0",
    ),
    Limit(
        "global_batch",
        lambda plan: plan.global_batch != plan.asked_batch,
        "the step takes the largest multiple of data_parallel x micro_batch below what was asked",
    ),
)


def limits(plan: Plan, table: Iterable[Limit]) -> tuple[str, ...]:
    """Return one sentence "name value: reason" for each limit of the table that the plan meets."""
    return tuple(f"{limit.name} {_shown(plan, limit.name)}: {limit.reason}" for limit in table if limit.holds(plan))


def _shown(plan: Plan, name: str) -> str:
    return plan.model.name if name == "model" else str(getattr(plan, name))


def plan_of(request: ExportRequest) -> Plan:
    """Return the plan of a request.

    Raises InputError with every setting that is unknown, out of range, or does not fit the others.
    """
    problems = [*_strategy_problems(request.strategy), *_choice_problems(request)]
    if problems:
        raise InputError(problems)
    strategy = {name: request.strategy.get(name, default) for name, default in DEFAULTS.items()}
    problems = _fit_problems(request, strategy)
    if problems:
        raise InputError(problems)
    step = int(strategy["data_parallel"]) * int(strategy["micro_batch"])
    world = _world(strategy)
    return Plan(
        model=request.model,
        accelerators=request.accelerators,
        servers=request.servers or -(-world // request.accelerators_per_server),
        accelerators_per_server=request.accelerators_per_server,
        asked_batch=request.global_batch,
        global_batch=request.global_batch - request.global_batch % step,
        sequence=request.sequence,
        precision=request.precision,
        optimizer=request.optimizer,
        learning_rate=request.learning_rate,
        **strategy,
    )


def launch(plan: Plan) -> tuple[int, int]:
    """Return servers and accelerators per server that make exactly the world of the plan, as full as they divide."""
    most = min(plan.accelerators_per_server, plan.world)
    each = next(count for count in range(most, 0, -1) if plan.world % count == 0)
    return plan.world // each, each


def _world(strategy: Mapping[str, Any]) -> int:
    degrees = ("tensor_parallel", "pipeline_parallel", "context_parallel", "data_parallel")
    world = 1
    for degree in degrees:
        world *= int(strategy[degree])
    return world


def _strategy_problems(strategy: Mapping[str, Any]) -> list[Problem]:
    unknown = [
        Problem(
            message="no such decision of a strategy",
            path=f"strategy.{name}",
            allowed=", ".join(DEFAULTS),
            nearest=nearest_name(name, tuple(DEFAULTS)),
        )
        for name in strategy
        if name not in DEFAULTS
    ]
    return unknown + [
        Problem(message="not a value of this decision", path=f"strategy.{name}", found=repr(value), allowed=allowed)
        for name, value in strategy.items()
        if name in DEFAULTS and (allowed := _complaint(name, value))
    ]


def _complaint(name: str, value: object) -> str:
    """Return what the decision may be, or "" where `value` is allowed."""
    if name in _WORDS:
        return "" if value in _WORDS[name] else ", ".join(_WORDS[name])
    low, high = _RANGES.get(name, (1, None))
    if isinstance(value, int) and not isinstance(value, bool) and low <= value and (high is None or value <= high):
        return ""
    return f"a whole number from {low}" + ("" if high is None else f" to {high}")


def _choice_problems(request: ExportRequest) -> list[Problem]:
    choices = {"precision": tuple(PRECISIONS), "optimizer": OPTIMIZERS}
    found = {name: str(getattr(request, name)) for name in choices}
    counts = ("accelerators", "accelerators_per_server", "global_batch", "sequence")
    return [
        Problem(
            message=f"unknown {name}",
            path=name,
            found=repr(found[name]),
            allowed=", ".join(allowed),
            nearest=nearest_name(found[name], allowed),
        )
        for name, allowed in choices.items()
        if found[name] not in allowed
    ] + [
        Problem(message="must be at least 1", path=name, found=str(getattr(request, name)))
        for name in counts
        if getattr(request, name) < 1
    ]


def _fit_problems(request: ExportRequest, strategy: Mapping[str, Any]) -> list[Problem]:
    world, ranks, batch = _world(strategy), int(strategy["data_parallel"]), int(strategy["micro_batch"])
    chunks = int(strategy["pipeline_parallel"]) * int(strategy["virtual_stages"])
    layers = len(request.model.layers)
    checks = (
        (world > request.accelerators, "strategy", f"uses {world} of {request.accelerators} accelerators"),
        (
            ranks * batch > request.global_batch,
            "global_batch",
            f"{request.global_batch} sequences are fewer than data_parallel x micro_batch = {ranks * batch}",
        ),
        (
            bool(strategy["shard_ranks"]) and ranks % (strategy["shard_ranks"] or 1) != 0,
            "strategy.shard_ranks",
            f"{strategy['shard_ranks']} ranks do not divide the {ranks} data-parallel ranks",
        ),
        (
            strategy["virtual_stages"] > 1 and strategy["pipeline_parallel"] == 1,
            "strategy.virtual_stages",
            "virtual stages need a pipeline",
        ),
        (
            strategy["virtual_stages"] > 1 and strategy["schedule"] != "1f1b",
            "strategy.schedule",
            "zero-bubble and DualPipe schedules take no virtual stages",
        ),
        (
            chunks > layers + 2,
            "strategy.virtual_stages",
            f"{chunks} pipeline chunks are more than {layers} layers, embedding and head",
        ),
    )
    return [Problem(message=message, path=path) for wrong, path, message in checks if wrong]


assert set(DEFAULTS) <= {item.name for item in fields(Plan)}
