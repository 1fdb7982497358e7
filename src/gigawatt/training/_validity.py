"""The rules that a strategy must keep, in columns (docs/science.md 4.10)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gigawatt.training._columns import Columns, ContextExchange, Schedule
from gigawatt.training._job import TrainingJob

REJECTIONS = (
    "fits",
    "uses more accelerators than there are",
    "tensor parallel does not divide the attention heads",
    "more pipeline chunks than layers, embedding and head",
    "virtual stages without a pipeline",
    "interleaving needs at least as many micro-batches as stages",
    "context parallel does not divide the sequence into pairs of chunks",
    "expert parallel does not divide the experts",
    "expert groups do not fold onto the tensor, context and data ranks",
    "expert-tensor parallel is neither 1 nor tensor parallel",
    "the global batch is smaller than data parallel times micro-batch",
    "tensor times context parallel does not divide the attention heads (Ulysses)",
    "the shard group does not divide the data-parallel ranks",
    "zero-bubble and DualPipe schedules need a pipeline without virtual stages",
    "DualPipe needs an even pipeline and an even number of micro-batches, twice as many as stages",
    "data parallel does not divide over the sites",
    "does not fit in memory",
)
OUT_OF_MEMORY = len(REJECTIONS) - 1


def rejections(job: TrainingJob, c: Columns, sites: int = 1) -> NDArray[np.int64]:
    """Return the first rule of REJECTIONS that each strategy breaks (memory apart), (C,). `sites` share the job."""
    layers, heads = len(job.model.layers), job.model.heads
    expert_count = job.model.experts.experts if job.model.experts else 1
    t, p, v, d = c.tensor_parallel, c.pipeline_parallel, c.virtual_stages, c.data_parallel
    experts = c.expert_parallel * c.expert_tensor_parallel
    shards = d * c.context_parallel
    batch = c.micro_batch * d
    rounds = -(-job.global_batch // batch)
    virtual = v > 1
    rules: list[NDArray[np.bool_]] = [
        shards * t * p > job.accelerators,
        heads % t != 0,
        p * v > layers + 2,
        virtual & (p == 1),
        virtual & (rounds < p),
    ]
    split = c.context_parallel > 1
    never = np.zeros(len(c), dtype=bool)
    parted = bool(split.any())
    rules.append(split & (job.sequence % (2 * c.context_parallel) != 0) if parted else never)
    rules += (
        [
            expert_count % c.expert_parallel != 0,
            (shards * t) % experts != 0,
            (c.expert_tensor_parallel != 1) & (c.expert_tensor_parallel != t),
        ]
        if (experts > 1).any()
        else [never, never, never]
    )
    rules.append(batch > job.global_batch)
    ulysses = c.context_exchange == ContextExchange.ULYSSES
    rules.append(split & ulysses & (heads % (t * c.context_parallel) != 0) if parted else never)
    grouped = c.shard_ranks > 0
    rules.append(grouped & (shards % np.maximum(c.shard_ranks, 1) != 0) if grouped.any() else never)
    alternative = bool(c.schedule.any())
    if alternative:
        dual = c.schedule == Schedule.DUALPIPE
        rules.append((c.schedule != Schedule.ONE_F_ONE_B) & (virtual | (p == 1)))
        rules.append(dual & ((p % 2 != 0) | (rounds % 2 != 0) | (rounds < 2 * p)))
    if sites > 1:
        rules += [] if alternative else [never, never]
        rules.append(d % sites != 0)
    result = np.zeros(len(c), dtype=np.int64)
    for code in range(len(rules), 0, -1):
        result[rules[code - 1]] = code
    return result
