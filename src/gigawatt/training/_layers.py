"""Times and bytes of one layer under one sharding: the part of a step that few decisions determine.

A search visits a million strategies but only some hundred combinations of (tensor, context, expert, expert-tensor
parallel, micro-batch, sequence parallel). They are computed once per job and gathered by index. Shapes: G groups of
equal layers, U distinct shardings.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from gigawatt.hardware import collective_seconds, operation_seconds
from gigawatt.model import (
    DTYPE_BYTES,
    Layer,
    Operation,
    Phase,
    Recompute,
    Sharding,
    activation_bytes,
    embedding_operations,
    head_operations,
    layer_operations,
    logits_bytes,
)
from gigawatt.training._columns import Columns
from gigawatt.training._job import TrainingJob

Array = NDArray[np.float64]
# What selective recompute does again in the backward pass.
CHEAP = ("attention.norm", "mlp.norm", "mlp.activation", "experts.activation", "shared.activation")
PASSES: tuple[Phase, ...] = ("forward", "backward")
_KEY_BITS = (
    ("tensor_parallel", 12),
    ("context_parallel", 10),
    ("expert_parallel", 14),
    ("expert_tensor_parallel", 8),
    ("micro_batch", 16),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCosts:
    """Seconds of one layer and one micro-batch per pass (G, U), bytes, and the same for embedding and head (U,)."""

    matmul_forward: Array
    matmul_backward: Array
    attention_forward: Array
    attention_backward: Array
    vector_forward: Array
    vector_backward: Array
    cheap_forward: Array
    tensor_forward: Array
    context_forward: Array
    context_backward: Array
    expert_forward: Array
    network_bytes: Array
    activation_none: Array
    activation_selective: Array
    activation_full: Array
    embedding_forward: Array
    embedding_backward: Array
    head_forward: Array
    head_backward: Array
    logits: Array
    message: Array

    @classmethod
    def concatenate(cls, first: LayerCosts, second: LayerCosts) -> LayerCosts:
        """Return both tables, the columns of `second` after those of `first`."""
        return cls(
            **{
                item.name: np.concatenate([getattr(first, item.name), getattr(second, item.name)], axis=-1)
                for item in fields(cls)
            }
        )


class LayerTable:
    """The layer costs of a job by sharding, computed when first needed."""

    def __init__(self, job: TrainingJob) -> None:
        self.job = job
        self.groups = job.model.groups()
        self._costs: LayerCosts | None = None
        self._index: dict[int, int] = {}

    def lookup(self, columns: Columns) -> tuple[LayerCosts, NDArray[np.int64]]:
        """Return the table and the index (C,) of each strategy's sharding in it."""
        keys = columns.sequence_parallel.copy()
        for name, bits in _KEY_BITS:
            keys = (keys << bits) | getattr(columns, name)
        distinct, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        new = [i for i, key in enumerate(distinct.tolist()) if key not in self._index]
        if new:
            fresh = self._compute(columns.take(first[new]))
            start = len(self._index)
            self._costs = fresh if self._costs is None else LayerCosts.concatenate(self._costs, fresh)
            self._index.update({int(distinct[i]): start + n for n, i in enumerate(new)})
        assert self._costs is not None
        positions = np.array([self._index[key] for key in distinct.tolist()], dtype=np.int64)
        return self._costs, positions[inverse]

    def _compute(self, columns: Columns) -> LayerCosts:
        shard = Sharding.of(
            columns.tensor_parallel,
            columns.context_parallel,
            columns.expert_parallel,
            columns.expert_tensor_parallel,
            columns.sequence_parallel,
        )
        rows = len(columns)
        parts = [self._layer(layer, columns, shard) for layer, _ in self.groups]
        stacked = {name: np.stack([np.broadcast_to(part[name], (rows,)) for part in parts]) for name in parts[0]}
        ends = {
            f"{name}_{phase}": self._end_seconds(name, phase, columns, shard)
            for name in ("embedding", "head")
            for phase in PASSES
        }
        tokens = columns.micro_batch * self.job.sequence / columns.context_parallel
        logits = logits_bytes(self.job.model, batch=columns.micro_batch, sequence=self.job.sequence, sharding=shard)
        message = tokens * self.job.model.hidden * DTYPE_BYTES[self.job.precision.vector] * shard.vector_share
        return LayerCosts(**stacked, **ends, logits=np.broadcast_to(logits, (rows,)), message=message)

    def _seconds(self, operation: Operation) -> Array:
        seconds = operation_seconds(
            self.job.chip,
            family=operation.family,
            dtype=operation.dtype,
            flop=operation.flop,
            bytes_moved=operation.bytes_moved,
        )
        return seconds * self.job.constants.expert_imbalance if operation.family == "grouped_matmul" else seconds

    def _end_seconds(self, name: str, phase: Phase, columns: Columns, shard: Sharding) -> Array:
        make = embedding_operations if name == "embedding" else head_operations
        operations = make(
            self.job.model,
            phase=phase,
            batch=columns.micro_batch,
            sequence=self.job.sequence,
            sharding=shard,
            precision=self.job.precision,
        )
        return np.broadcast_to(sum((self._seconds(op) for op in operations), np.zeros(())), (len(columns),))

    def _layer(self, layer: Layer, columns: Columns, shard: Sharding) -> dict[str, Array]:
        costs: dict[str, Array] = {"cheap_forward": np.zeros(())}
        for phase in PASSES:
            sums = {family: np.zeros(()) for family in ("matmul", "attention", "vector")}
            for operation in layer_operations(
                self.job.model,
                layer,
                phase=phase,
                batch=columns.micro_batch,
                sequence=self.job.sequence,
                sharding=shard,
                precision=self.job.precision,
            ):
                seconds = self._seconds(operation)
                family = "matmul" if operation.family == "grouped_matmul" else operation.family
                sums[family] = sums[family] + seconds
                if phase == "forward" and operation.name in CHEAP:
                    costs["cheap_forward"] = costs["cheap_forward"] + seconds
            costs |= {f"{family}_{phase}": seconds for family, seconds in sums.items()}
        return costs | self._traffic(layer, columns, shard, costs) | self._activations(layer, columns, shard)

    def _activations(self, layer: Layer, columns: Columns, shard: Sharding) -> dict[str, Array]:
        return {
            f"activation_{mode.name.lower()}": activation_bytes(
                self.job.model,
                layer,
                batch=columns.micro_batch,
                sequence=self.job.sequence,
                sharding=shard,
                recompute=np.full(len(columns), int(mode)),
                precision=self.job.precision,
            )
            for mode in Recompute
        }

    def _traffic(self, layer: Layer, columns: Columns, shard: Sharding, costs: dict[str, Array]) -> dict[str, Array]:
        """Return exposed seconds of the exchanges of one layer per pass, and the bytes one rank sends
        (docs/science.md 4.4-4.7).
        """
        job, t, c = self.job, shard.tensor_parallel, shard.context_parallel
        tokens = columns.micro_batch * job.sequence / c
        e = DTYPE_BYTES[job.precision.vector]
        buffer = tokens * job.model.hidden * e
        reductions = 1.0 + (1.0 if layer.feed_forward or (layer.experts and layer.experts.shared_width) else 0.0)
        tensor = reductions * collective_seconds(job.fabric, "all_reduce", buffer, t, 1)
        sent = reductions * 2 * (t - 1) / t * buffer

        attention = layer.attention
        cached = (
            attention.cached_width
            if attention.kv_lora_rank
            else 2 * np.maximum(attention.kv_heads / t, 1.0) * attention.head_dim
        )
        keys = columns.micro_batch * job.sequence * cached * e
        exchange = collective_seconds(job.fabric, "all_gather", keys, c, t)
        hidden = job.constants.context_parallel_overlap
        sent = sent + (c - 1) / c * keys

        expert = np.zeros(())
        if layer.experts is not None:
            group = shard.expert_tensor_parallel
            dispatched = tokens / t * layer.experts.active * job.model.hidden * e
            one_way = collective_seconds(job.fabric, "all_to_all", dispatched, shard.expert_parallel, group)
            inner = collective_seconds(job.fabric, "all_reduce", dispatched * group, group, 1)
            expert = (2 * one_way + inner) * job.constants.expert_imbalance
            sent = sent + 2 * dispatched * (1 - 1 / shard.expert_parallel)
        return {
            "tensor_forward": tensor,
            "context_forward": np.maximum(0.0, exchange - hidden * costs["attention_forward"]),
            "context_backward": np.maximum(0.0, 2 * exchange - hidden * costs["attention_backward"]),
            "expert_forward": expert,
            "network_bytes": 2 * sent,
        }
