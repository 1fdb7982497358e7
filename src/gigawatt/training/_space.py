"""The space of strategies: candidates per decision, constraints on them, and how they become columns.

Seven *major* decisions (the degrees, the micro-batch) set what a rank computes; the *minor* ones (recompute, sharding,
schedule, overlap, offload) can only add time to that. So a bound on the majors alone prunes whole families.
"""

from __future__ import annotations

import itertools
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.errors import InfeasibleError, InputError, Problem, nearest_name
from gigawatt.model import Recompute
from gigawatt.quantity import QuantityError, parse_quantity
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
# Layers per stage that full recompute covers (0: all), where memory lacks a little.
SOME_LAYERS = (0, 1, 2, 4, 8)
# Shares of a stage's layers that a wide search recomputes in full.
PARTIAL = (0.25, 0.5, 0.75)
# The name under which a constraint limits bytes per accelerator; everything else is a decision.
MEMORY = "memory"
# What sets the ranks of a strategy beside its data parallelism, and its micro-batches.
DEGREES = (
    "tensor_parallel",
    "context_parallel",
    "pipeline_parallel",
    "expert_parallel",
    "expert_tensor_parallel",
    "micro_batch",
)
# Numbers of micro-batches of narrower strategies: every one up to 128, then in steps of a hundredth.
ROUNDS = np.unique(np.concatenate([np.arange(1, 129), np.round(128 * 1.01 ** np.arange(1, 1400))]).astype(np.int64))


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
            recompute_layers=SOME_LAYERS,
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


# The relation of a degree that groups of equal size must divide.
MULTIPLE = "a multiple of"
_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    MULTIPLE: lambda values, whole: values % whole == 0,
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
    """A rule that strategies must keep, such as "tensor_parallel <= 8", "recompute != full" or "memory <= 70 GB".

    `value` is the number behind a decision's value, or bytes per accelerator where `name` is "memory".
    """

    text: str
    name: str
    relation: str
    value: float

    @property
    def on_memory(self) -> bool:
        """Whether it limits bytes per accelerator and not a decision."""
        return self.name == MEMORY

    def keeps(self, values: object) -> NDArray[np.bool_]:
        """Return which values of its decision (or bytes) keep it, of the same shape."""
        return np.asarray(_COMPARE[self.relation](np.asarray(values), self.value), dtype=bool)

    def holds(self, columns: Columns) -> NDArray[np.bool_]:
        """Return which strategies keep it, (C,). Raises AttributeError for a constraint on memory, which is no
        decision.
        """
        return self.keeps(getattr(columns, self.name))


def multiple_of(name: str, whole: int) -> Constraint:
    """Return the rule that a decision is a multiple of `whole`, which no text states: replicas that K islands divide."""
    return Constraint(text=f"{name} is a multiple of {whole:,}", name=name, relation=MULTIPLE, value=whole)


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
    """Return the constraint that a text such as "tp<=8" or "memory<=70 GB" states. Raises InputError where it is
    none.
    """
    found = re.fullmatch(r"\s*(\w+)\s*(<=|>=|!=|==|=|<|>)\s*([\w.]+|[\d.,]+\s*\w+)\s*", text)
    if found is not None and found[1].lower() == MEMORY and found[2] in ("<", "<="):
        return Constraint(text=text.strip(), name=MEMORY, relation=found[2], value=_bytes(found[3], text, location))
    if found is None or found[1].lower() == MEMORY:
        raise InputError(
            Problem(
                message="not a constraint",
                location=location,
                path="strategy.constraints",
                found=repr(text),
                allowed="DECISION RELATION VALUE, for example 'tensor_parallel <= 8', 'recompute != full' or 'memory <= 70 GB'",
            )
        )
    name, value = decision_value(found[1], found[3], location)
    return Constraint(text=text.strip(), name=name, relation=found[2], value=value)


def _bytes(value: str, text: str, location: str) -> float:
    """Return the bytes of a limit as written. Raises InputError where it is no amount of memory."""
    try:
        return parse_quantity(value, "B")
    except QuantityError as error:
        raise InputError(
            Problem(
                message="not an amount of memory",
                location=location,
                path="strategy.constraints",
                found=repr(text),
                allowed="for example 'memory <= 70 GB'",
            )
        ) from error


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


def allowed(job: TrainingJob, space: Space, pins: Mapping[str, int], constraints: Sequence[Constraint] = ()) -> Space:
    """Return the candidates of `space` that keep the constraints; where none of a decision's does, those that the
    model and the batch allow at all and that do (tensor parallelism across servers, for example).

    Raises InfeasibleError naming the constraint and the candidates where nothing keeps it, or a pin breaks it.
    """
    kept: dict[str, tuple[int, ...]] = {}
    for name in (item.name for item in fields(Columns)):
        rules = [rule for rule in constraints if rule.name == name]
        if not rules:
            continue
        if name in pins:
            broken = [rule.text for rule in rules if not rule.keeps(pins[name])]
            if broken:
                raise _leaves_nothing(broken, f"the strategy fixes {name} at {_shown(name, [pins[name]])}")
        elif name in Space.__dataclass_fields__:
            possible = _possible(job, name, rules)
            usual = _keeping(getattr(space, name), rules)
            kept[name] = usual or _keeping(possible, rules)
            if not kept[name]:
                words = f"{name} of {job.model.name} can be {_shown(name, possible)}"
                raise _leaves_nothing([rule.text for rule in rules], words)
    return replace(space, **kept)


def _keeping(values: Sequence[int], rules: Sequence[Constraint]) -> tuple[int, ...]:
    return tuple(value for value in values if all(rule.keeps(value) for rule in rules))


def _leaves_nothing(texts: Sequence[str], words: str) -> InfeasibleError:
    rules = " and ".join(repr(text) for text in texts)
    return InfeasibleError(
        f"the constraint {rules} leaves nothing to search: {words}.",
        constraint=" and ".join(texts),
        remedy="choose another limit or leave the constraint out",
    )


def _shown(name: str, values: Sequence[int]) -> str:
    """Return values of a decision for people; a long run of numbers by its ends."""
    if name in NAMED:
        words = {number: word for word, number in NAMED[name].items()}
        return ", ".join(words[value] for value in values)
    if len(values) > 12 and values[-1] - values[0] + 1 == len(values):
        return f"{values[0]:,} to {values[-1]:,}"
    return ", ".join(f"{value:,}" for value in values)


def _possible(job: TrainingJob, name: str, rules: Sequence[Constraint]) -> tuple[int, ...]:
    """Return every value of a decision that the model, the sequence and the batch allow, usual or not."""
    experts = job.model.experts.experts if job.model.experts else 1
    chunks = len(job.model.layers) + 2
    if name in NAMED:
        return tuple(sorted(NAMED[name].values()))
    ranges: dict[str, Sequence[int]] = {
        "tensor_parallel": [t for t in range(1, job.model.heads + 1) if job.model.heads % t == 0],
        "pipeline_parallel": range(1, chunks + 1),
        "virtual_stages": range(1, chunks + 1),
        "context_parallel": [c for c in range(1, min(job.sequence, 4096) + 1) if c == 1 or job.sequence % (2 * c) == 0],
        "expert_parallel": [e for e in range(1, experts + 1) if experts % e == 0],
        "zero_stage": range(4),
    }
    binary = ("sequence_parallel", "tensor_overlap", "offload_optimizer", "offload_activations")
    if name in ranges:
        return tuple(ranges[name])
    if name in binary:
        return (0, 1)
    # counts without a table of their own: what the rules themselves name, one below and one above
    most = {"micro_batch": job.global_batch, "recompute_layers": chunks, "shard_ranks": job.accelerators}[name]
    least = 1 if name == "micro_batch" else 0
    near = {int(rule.value) + away for rule in rules for away in (-1, 0, 1)} | {least, most}
    return tuple(sorted(value for value in near if least <= value <= most))


def majors(
    job: TrainingJob,
    space: Space,
    pins: Mapping[str, int] | None = None,
    constraints: Sequence[Constraint] = (),
) -> Columns:
    """Return the combinations of major decisions, pinned ones replacing candidates; minor ones at their cheapest.

    Unless pinned, data parallelism is the smallest degree that needs no more micro-batches than all accelerators
    would; so no rank is used that would not shorten the step. What breaks a constraint is not generated.
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
            np.full(len(rows["micro_batch"]), max(pins["data_parallel"], 1))
            if "data_parallel" in pins
            else _data_parallel(job, rows, constraints)
        )
        parts.append(Columns.of(**rows, data_parallel=replicas))
    return _kept(Columns.concatenate(parts), constraints)


def _kept(rows: Columns, constraints: Sequence[Constraint]) -> Columns:
    """Return the rows that keep the constraints on degrees that are derived and not candidates."""
    for rule in constraints:
        if rule.name in ("data_parallel", "expert_tensor_parallel"):
            rows = rows.take(rule.holds(rows))
    return rows


def _expert_groups(job: TrainingJob, tensor: NDArray[np.int64], pins: Mapping[str, int]) -> Sequence[NDArray[np.int64]]:
    """Return the expert-tensor degrees to try, each (M,); 0 where a degree repeats an earlier one."""
    if "expert_tensor_parallel" in pins:
        return (np.full_like(tensor, pins["expert_tensor_parallel"]),)
    if not job.model.experts:
        return (np.ones_like(tensor),)
    return (np.ones_like(tensor), np.where(tensor > 1, tensor, 0))


def _data_parallel(
    job: TrainingJob, rows: Mapping[str, NDArray[np.int64]], constraints: Sequence[Constraint]
) -> NDArray[np.int64]:
    """Return the data-parallel degree of each row, (M,): see `majors`."""
    quantum, most = fold_quantum(rows, constraints), most_ranks(job, rows, constraints)
    usable = np.maximum(most, 1)
    rounds = -(-job.global_batch // (usable * rows["micro_batch"]))
    # interleaving needs as many micro-batches as stages
    rounds = np.where(rows["virtual_stages"] > 1, np.maximum(rounds, rows["pipeline_parallel"]), rounds)
    ranks = np.minimum(enough_ranks(job, rows, rounds, constraints), usable)
    return np.asarray(np.where(most < 1, quantum, ranks), dtype=np.int64)


def narrowed(
    job: TrainingJob, families: Columns, most_rounds: NDArray[np.int64], constraints: Sequence[Constraint] = ()
) -> Columns:
    """Return the families again with fewer data-parallel ranks: for each number of micro-batches of ROUNDS above
    theirs, up to `most_rounds` (M,), the smallest degree that needs no more.
    """
    rounds = -(-job.global_batch // (families.micro_batch * families.data_parallel))
    first, last = (np.searchsorted(ROUNDS, value, side="right") for value in (rounds, most_rounds))
    counts = np.maximum(last - first, 0)
    rows = families.take(np.repeat(np.arange(len(families)), counts))
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    ranks = enough_ranks(job, {name: getattr(rows, name) for name in DEGREES}, ROUNDS[place], constraints)
    before = np.where(np.concatenate([[True], np.diff(place) != 1])[: len(rows)], rows.data_parallel, np.roll(ranks, 1))
    fewer = ranks < before
    return _kept(replace(rows, data_parallel=ranks).take(fewer), constraints)


def in_whole_rounds(job: TrainingJob, families: Columns, constraints: Sequence[Constraint] = ()) -> Columns:
    """Return the pipelined families with more micro-batches that their schedules like better: interleaved ones with a
    multiple of the stages (uneven rounds keep more micro-batches in flight), others with an even number of at least
    twice the stages, which DualPipe needs. So this may fit where fewer do not.
    """
    rows = families.take((families.pipeline_parallel > 1) & (families.data_parallel > 1))
    rounds = -(-job.global_batch // (rows.micro_batch * rows.data_parallel))
    whole = -(-rounds // rows.pipeline_parallel) * rows.pipeline_parallel
    even = np.maximum(rounds + rounds % 2, 2 * rows.pipeline_parallel)
    liked = np.where(rows.virtual_stages > 1, whole, even)
    ranks = enough_ranks(job, {name: getattr(rows, name) for name in DEGREES}, liked, constraints)
    return _kept(replace(rows, data_parallel=ranks).take(ranks < rows.data_parallel), constraints)


def fold_quantum(rows: Mapping[str, NDArray[np.int64]], constraints: Sequence[Constraint] = ()) -> NDArray[np.int64]:
    """Return what data parallelism has to be a multiple of, so that experts fold onto tensor, context and data ranks
    and the constraints that ask for a multiple are kept, (M,).
    """
    fold = rows["tensor_parallel"] * rows["context_parallel"]
    experts = rows["expert_parallel"] * rows["expert_tensor_parallel"]
    wholes = [int(rule.value) for rule in constraints if rule.name == "data_parallel" and rule.relation == MULTIPLE]
    return np.asarray(np.lcm(experts // np.gcd(experts, fold), math.lcm(*wholes)))


def most_ranks(
    job: TrainingJob, rows: Mapping[str, NDArray[np.int64]], constraints: Sequence[Constraint] = ()
) -> NDArray[np.int64]:
    """Return the largest data-parallel degree that the accelerators, the batch and the constraints leave, (M,); 0
    where they leave none.
    """
    room = job.accelerators // (rows["tensor_parallel"] * rows["context_parallel"] * rows["pipeline_parallel"])
    most = np.minimum(np.minimum(room, _replica_bounds(constraints)[1]), job.global_batch // rows["micro_batch"])
    quantum = fold_quantum(rows, constraints)
    return np.asarray(most // quantum * quantum, dtype=np.int64)


def widened(job: TrainingJob, columns: Columns, constraints: Sequence[Constraint] = ()) -> Columns:
    """Return the strategies with as many data-parallel ranks as need as many micro-batches: they shard more."""
    rows = {name: getattr(columns, name) for name in DEGREES}
    each = columns.micro_batch * columns.data_parallel
    rounds = -(-job.global_batch // each)
    most = most_ranks(job, rows, constraints)
    ranks = np.where(rounds > 1, (job.global_batch - 1) // (np.maximum(rounds - 1, 1) * columns.micro_batch), most)
    quantum = fold_quantum(rows, constraints)
    ranks = np.maximum(np.minimum(ranks, most) // quantum * quantum, columns.data_parallel)
    return replace(columns, data_parallel=ranks)


def enough_ranks(
    job: TrainingJob,
    rows: Mapping[str, NDArray[np.int64]],
    rounds: NDArray[np.int64],
    constraints: Sequence[Constraint] = (),
) -> NDArray[np.int64]:
    """Return the smallest data-parallel degree that folds, keeps the constraints from below and needs at most
    `rounds` micro-batches, (M,).
    """
    low, _, without = _replica_bounds(constraints)
    quantum = fold_quantum(rows, constraints)
    ranks = np.maximum(-(-job.global_batch // (rounds * rows["micro_batch"])), low)
    ranks = -(-ranks // quantum) * quantum
    return np.asarray(np.where(np.isin(ranks, without), ranks + quantum, ranks), dtype=np.int64)


def _replica_bounds(constraints: Sequence[Constraint]) -> tuple[int, int, list[int]]:
    """Return the smallest and the largest data-parallel degree that the constraints allow, and those left out."""
    rules = [rule for rule in constraints if rule.name == "data_parallel"]
    at_least = {"=": 0, "==": 0, ">=": 0, ">": 1}
    at_most = {"=": 0, "==": 0, "<=": 0, "<": -1}
    low = max((int(r.value) + at_least[r.relation] for r in rules if r.relation in at_least), default=1)
    high = min((int(r.value) + at_most[r.relation] for r in rules if r.relation in at_most), default=2**62)
    return max(low, 1), max(high, 0), [int(rule.value) for rule in rules if rule.relation == "!="]


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


def strategies(
    job: TrainingJob,
    space: Space,
    pins: Mapping[str, int] | None = None,
    constraints: Sequence[Constraint] = (),
) -> Iterator[Columns]:
    """Yield every strategy of a space in blocks, pinned decisions replacing candidates, with as few data-parallel ranks
    as the job's accelerators are worth. What breaks a constraint (on memory apart) is left out.
    """
    space = allowed(job, space, pins or {}, constraints)
    for _, block in expand(majors(job, space, pins, constraints), minors(space, pins)):
        yield block
