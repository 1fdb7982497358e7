"""The space of strategies: candidates per decision, constraints on them, and how they become columns.

Seven *major* decisions (the degrees, the micro-batch) set what a rank computes; the *minor* ones (recompute, sharding,
schedule, overlap, offload) can only add time to that. So a bound on the majors alone prunes whole families.
"""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.model import Recompute
from gigawatt.training._columns import NAMED, Columns
from gigawatt.training._job import TrainingJob

BLOCK = 16_384
MINOR = (
    "recompute",
    "recompute_layers",
    "zero_stage",
    "shard_ranks",
    "sequence_parallel",
    "schedule",
    "context_exchange",
    "tensor_overlap",
    "offload_optimizer",
    "offload_activations",
)
# Shares of a stage's layers that a wide search recomputes in full.
PARTIAL = (0.25, 0.5, 0.75)


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
    recompute_layers: tuple[int, ...] = (0,)
    zero_stage: tuple[int, ...] = (1, 2, 3)
    shard_ranks: tuple[int, ...] = (0,)
    sequence_parallel: tuple[int, ...] = (1,)
    schedule: tuple[int, ...] = (0,)
    context_exchange: tuple[int, ...] = (1,)
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

    @classmethod
    def wide(cls, job: TrainingJob) -> Space:
        """Return every decision that this model of a step knows: all schedules, exchanges, overlaps and offloads as
        well.
        """
        usual = cls.of(job)
        layers = len(job.model.layers)
        partial = {max(1, round(layers / depth * part)) for depth in usual.pipeline_parallel for part in PARTIAL}
        several = len(usual.context_parallel) > 1
        return cls(
            tensor_parallel=usual.tensor_parallel,
            pipeline_parallel=usual.pipeline_parallel,
            context_parallel=usual.context_parallel,
            expert_parallel=usual.expert_parallel,
            micro_batch=(1, 2, 3, 4, 6, 8, 16),
            recompute_layers=(0, *sorted(partial)[:4]),
            zero_stage=(0, 1, 2, 3),
            shard_ranks=(0, job.fabric.tiers[0].domain) if job.fabric.tiers[0].domain > 1 else (0,),
            sequence_parallel=(0, 1),
            schedule=(0, 1, 2),
            context_exchange=(0, 1, 2) if several else (1,),
            tensor_overlap=(0, 1),
            offload_optimizer=(0, 1),
            offload_activations=(0, 1),
        )


_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "==": operator.eq,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_SHORT = {
    "tp": "tensor_parallel",
    "pp": "pipeline_parallel",
    "vpp": "virtual_stages",
    "dp": "data_parallel",
    "cp": "context_parallel",
    "ep": "expert_parallel",
    "etp": "expert_tensor_parallel",
    "mbs": "micro_batch",
    "chunks": "virtual_stages",
    "zero": "zero_stage",
    "sp": "sequence_parallel",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A rule that strategies must keep, such as "tensor_parallel <= 8" or "recompute != full"."""

    text: str
    name: str
    relation: str
    value: int

    def holds(self, columns: Columns) -> NDArray[np.bool_]:
        """Return which strategies keep it, (C,)."""
        return np.asarray(_COMPARE[self.relation](getattr(columns, self.name), self.value), dtype=bool)


def decision_value(name: str, text: str, location: str = "") -> tuple[str, int]:
    """Return the full name of a decision and the number behind a value as written ("full", "1f1b", "8").

    Raises InputError naming the nearest decision or the values that it can take.
    """
    names = [item.name for item in fields(Columns)]
    full = _SHORT.get(name.strip(), name.strip())
    if full not in names:
        raise InputError(
            Problem(
                message="no such decision",
                location=location,
                path=f"strategy.{full}",
                allowed=", ".join(names),
                nearest=nearest_name(full, names),
            )
        )
    choices, word = NAMED.get(full, {}), text.strip().lower()
    if word in choices:
        return full, choices[word]
    if choices or not word.isdecimal():
        raise InputError(
            Problem(
                message=f"not a value of {full}",
                location=location,
                path=f"strategy.{full}",
                found=repr(text.strip()),
                allowed=", ".join(choices) or "a whole number",
                nearest=nearest_name(word, list(choices)) if choices else "",
            )
        )
    return full, int(word)


def constraint_of(text: str, location: str = "") -> Constraint:
    """Return the constraint that a text such as "tp<=8" states. Raises InputError where it is none."""
    found = re.fullmatch(r"\s*(\w+)\s*(<=|>=|!=|==|=|<|>)\s*([\w.]+)\s*", text)
    if found is None:
        raise InputError(
            Problem(
                message="not a constraint",
                location=location,
                path="strategy.constraints",
                found=repr(text),
                allowed="DECISION RELATION VALUE, for example 'tensor_parallel <= 8' or 'recompute != full'",
            )
        )
    name, value = decision_value(found[1], found[3], location)
    return Constraint(text=text.strip(), name=name, relation=found[2], value=value)


def strategy_of(text: str, location: str = "") -> dict[str, int]:
    """Return the decisions of a strategy as written: "tp=4 pp=8 recompute=full" (commas or blanks between them).

    Raises InputError for a part that is no decision.
    """
    decisions: dict[str, int] = {}
    for part in re.split(r"[,\s]+", text.strip()):
        name, equals, value = part.partition("=")
        if not equals:
            raise InputError(
                Problem(
                    message="not a strategy",
                    location=location,
                    found=repr(part),
                    allowed="decisions such as 'tp=4 pp=8 micro_batch=1 recompute=full'",
                )
            )
        full, number = decision_value(name, value, location)
        decisions[full] = number
    return decisions


def check_pins(pins: Mapping[str, int]) -> None:
    """Raise InputError for a pinned decision that is no column of a strategy."""
    for name in pins:
        decision_value(name, "0" if name not in NAMED else next(iter(NAMED[name])))


def majors(job: TrainingJob, space: Space, pins: Mapping[str, int] | None = None) -> Columns:
    """Return the combinations of major decisions, pinned ones replacing candidates; minor ones at their cheapest.

    Unless pinned, data parallelism is the smallest degree that needs no more micro-batches than all accelerators
    would; so no rank is used that would not shorten the step.
    """
    pins = dict(pins or {})
    check_pins(pins)

    def values(name: str) -> tuple[int, ...]:
        return (pins[name],) if name in pins else getattr(space, name)

    names = ("tensor_parallel", "context_parallel", "expert_parallel", "pipeline_parallel", "virtual_stages")
    grid = np.array(list(itertools.product(*(values(name) for name in (*names, "micro_batch")))), dtype=np.int64)
    columns = dict(zip((*names, "micro_batch"), grid.T, strict=True))
    if "virtual_stages" not in pins:
        chunks = columns["pipeline_parallel"] * columns["virtual_stages"]
        piped = (columns["pipeline_parallel"] > 1) & (chunks <= len(job.model.layers))
        columns = {name: axis[(columns["virtual_stages"] == 1) | piped] for name, axis in columns.items()}
    parts = []
    for group in _expert_groups(job, columns["tensor_parallel"], pins):
        rows = {name: axis[group > 0] for name, axis in columns.items()}
        rows["expert_tensor_parallel"] = group[group > 0]
        replicas = (
            np.full(len(rows["micro_batch"]), pins["data_parallel"])
            if "data_parallel" in pins
            else _data_parallel(job, rows)
        )
        parts.append(Columns.of(**rows, data_parallel=np.maximum(replicas, 1)))
    return Columns.concatenate(parts)


def _expert_groups(job: TrainingJob, tensor: NDArray[np.int64], pins: Mapping[str, int]) -> Sequence[NDArray[np.int64]]:
    """Return the expert-tensor degrees to try, each (M,); 0 where a degree repeats an earlier one."""
    if "expert_tensor_parallel" in pins:
        return (np.full_like(tensor, pins["expert_tensor_parallel"]),)
    if not job.model.experts:
        return (np.ones_like(tensor),)
    return (np.ones_like(tensor), np.where(tensor > 1, tensor, 0))


def _data_parallel(job: TrainingJob, rows: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the data-parallel degree of each row: see `majors`."""
    fold = rows["tensor_parallel"] * rows["context_parallel"]
    experts = rows["expert_parallel"] * rows["expert_tensor_parallel"]
    quantum = experts // np.gcd(experts, fold)  # experts fold onto tensor, context and data ranks
    room = job.accelerators // (fold * rows["pipeline_parallel"])
    most = np.minimum(room, job.global_batch // rows["micro_batch"]) // quantum * quantum
    usable = np.maximum(most, 1)
    rounds = -(-job.global_batch // (usable * rows["micro_batch"]))
    # interleaving needs as many micro-batches as stages
    rounds = np.where(rows["virtual_stages"] > 1, np.maximum(rounds, rows["pipeline_parallel"]), rounds)
    needed = -(-job.global_batch // (rounds * rows["micro_batch"]))
    needed = -(-needed // quantum) * quantum
    return np.asarray(np.where(most < 1, quantum, np.minimum(needed, usable)), dtype=np.int64)


def minors(space: Space, pins: Mapping[str, int] | None = None) -> dict[str, NDArray[np.int64]]:
    """Return the combinations of minor decisions, each array (K,); layers are counted under full recompute alone."""
    pins = dict(pins or {})
    candidates = [(pins[name],) if name in pins else getattr(space, name) for name in MINOR]
    grid = np.array(list(itertools.product(*candidates)), dtype=np.int64).T
    columns = dict(zip(MINOR, grid, strict=True))
    if "recompute_layers" not in pins:
        sensible = (columns["recompute_layers"] == 0) | (columns["recompute"] == Recompute.FULL)
        columns = {name: axis[sensible] for name, axis in columns.items()}
    return columns


def expand(major: Columns, minor: Mapping[str, NDArray[np.int64]]) -> Iterator[tuple[int, Columns]]:
    """Yield (index of the first major row, columns) of every major row with every minor one, at most 16,384 a block
    unless one row has more.
    """
    width = len(next(iter(minor.values())))
    step = max(1, BLOCK // width)
    names = [item.name for item in fields(Columns)]
    for start in range(0, len(major), step):
        count = min(step, len(major) - start)
        yield (
            start,
            Columns(
                **{
                    name: np.tile(minor[name], count)
                    if name in minor
                    else np.repeat(getattr(major, name)[start : start + count], width)
                    for name in names
                }
            ),
        )


def strategies(job: TrainingJob, space: Space, pins: Mapping[str, int] | None = None) -> Iterator[Columns]:
    """Yield every strategy of a space in blocks, pinned decisions replacing candidates."""
    for _, block in expand(majors(job, space, pins), minors(space, pins)):
        yield block
