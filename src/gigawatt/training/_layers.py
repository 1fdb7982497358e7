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
from gigawatt.training._columns import Columns, ContextExchange
from gigawatt.training._job import TrainingJob

Array = NDArray[np.float64]
# What selective recompute does again in the backward pass; where scores are stored it is them instead.
CHEAP = (
    "attention.norm",
    "attention.kv up",
    "attention.q up",
    "mlp.norm",
    "mlp.activation",
    "experts.activation",
    "shared.activation",
)
SCORES = ("attention.core", "attention.scores")
ROUTING = ("experts.dispatch", "experts.combine")
PASSES: tuple[Phase, ...] = ("forward", "backward")
# Batched products of a head width that is no multiple of this leave the matrix units (cuBLAS: 16-byte alignment).
ALIGNED = 8
# Host and accelerator overlap except near equality: a soft maximum of their times.
SHARP = 4.0
NARROW = ("fp8", "fp4", "int8")
_KEY_BITS = (
    ("tensor_parallel", 10),
    ("context_parallel", 10),
    ("expert_parallel", 12),
    ("expert_tensor_parallel", 8),
    ("micro_batch", 16),
    ("context_exchange", 2),
    ("tensor_overlap", 1),
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
    last_forward: Array
    weight_gradient: Array
    host_forward: Array
    host_backward: Array
    tensor_forward: Array
    context_forward: Array
    context_backward: Array
    expert_forward: Array
    network_bytes: Array
    activation_none: Array
    activation_selective: Array
    activation_full: Array
    expert_buffer: Array
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
        if len(columns) == 1 and self._costs is not None and int(keys[0]) in self._index:
            return self._costs, np.array([self._index[int(keys[0])]], dtype=np.int64)
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
        logits = logits_bytes(
            self.job.model,
            batch=columns.micro_batch,
            sequence=self.job.sequence,
            sharding=shard,
            bytes_each=self.job.constants.logits_bytes * (1 + self.job.model.mtp_modules),
        )
        message = tokens * self.job.model.hidden * DTYPE_BYTES[self.job.precision.vector]
        split = self.job.constants.pipeline_scatter > 0.5
        message = message / columns.tensor_parallel if split else message * shard.vector_share
        return LayerCosts(**stacked, **ends, logits=np.broadcast_to(logits, (rows,)), message=message)

    def _seconds(self, operation: Operation, phase: Phase) -> Array:
        """Return the time of an operation in a long run of this software stack."""
        k = self.job.constants
        family, flop, moved = operation.family, operation.flop, operation.bytes_moved
        slower: Array | float = 1.0
        if family == "vector":
            moved = moved * (k.quantise if operation.name.endswith("quantise") else k.elementwise)
            if operation.name.startswith(ROUTING):
                moved = moved * k.routing
        elif family == "attention":
            rate = k.attention_forward * (k.attention_backward if phase == "backward" else 1.0)
            if k.materialised_scores > 0.5 and float(operation.depth) % ALIGNED:
                rate /= k.unaligned_scores
            flop = flop / rate
        else:
            slower = 1.0 / (k.sustained_narrow if operation.dtype in NARROW else k.sustained)
            if self.job.precision.block_scaled and operation.dtype in NARROW:
                slower = slower / k.block_scaled
            if family == "grouped_matmul":
                narrowest = np.minimum(np.minimum(operation.columns, operation.depth), operation.rows)
                slower = slower * (1.0 + k.expert_width_half / narrowest) * k.expert_imbalance / k.grouped_sustained
        seconds = operation_seconds(
            self.job.chip,
            family=family,
            dtype=operation.dtype,
            flop=flop,
            bytes_moved=moved,
            rows=operation.rows,
            columns=operation.columns,
            depth=operation.depth,
            count=operation.count,
        )
        return np.asarray(seconds * slower)

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
        return np.broadcast_to(sum((self._seconds(op, phase) for op in operations), np.zeros(())), (len(columns),))

    def _layer(self, layer: Layer, columns: Columns, shard: Sharding) -> dict[str, Array]:
        k = self.job.constants
        stored = k.materialised_scores > 0.5
        again = SCORES if stored else CHEAP
        costs: dict[str, Array] = {
            "cheap_forward": np.zeros(()),
            "last_forward": np.zeros(()),
            "weight_gradient": np.zeros(()),
        }
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
                materialised_scores=stored,
            ):
                seconds = self._seconds(operation, phase)
                family = "matmul" if operation.family == "grouped_matmul" else operation.family
                sums[family] = sums[family] + seconds
                if phase == "forward" and operation.name in again:
                    costs["cheap_forward"] = costs["cheap_forward"] + seconds
                if phase == "forward" and k.recompute_skips_last and operation.name.endswith(".down"):
                    costs["last_forward"] = costs["last_forward"] + k.recompute_skips_last * seconds
                if operation.name.endswith("(weight gradient)"):
                    costs["weight_gradient"] = costs["weight_gradient"] + seconds
            if phase == "forward":
                costs["cheap_forward"] = costs["cheap_forward"] + k.selective_products * sums["matmul"]
            costs |= {f"{family}_{phase}": seconds for family, seconds in sums.items()}
        traffic = self._traffic(layer, columns, shard, costs)
        floor = k.host_floor_s + (k.host_floor_expert_s if layer.experts is not None else 0.0)
        return costs | traffic | self._host(costs, traffic, floor) | self._activations(layer, columns, shard)

    def _host(self, costs: dict[str, Array], traffic: dict[str, Array], floor: float) -> dict[str, Array]:
        """Return what launching adds to a layer pass: gaps between kernels, and waiting for the host where kernels are
        short.
        """
        k = self.job.constants
        added = {}
        for phase, launches in (("forward", 1.0), ("backward", 1.5)):
            busy = sum(costs[f"{family}_{phase}"] for family in ("matmul", "attention", "vector"))
            busy = busy + traffic["tensor_forward"] + traffic["expert_forward"] + traffic[f"context_{phase}"]
            least = launches * floor
            added[f"host_{phase}"] = k.host_per_layer_s + (busy**SHARP + least**SHARP) ** (1.0 / SHARP) - busy
        return added

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
                materialised_scores=self.job.constants.materialised_scores > 0.5,
                dropout=self.job.constants.materialised_scores > 0.5,
                selective_products=self.job.constants.selective_products,
            )
            for mode in Recompute
        } | {"expert_buffer": expert_buffer_bytes(layer, self.job, columns, shard)}

    def _traffic(self, layer: Layer, columns: Columns, shard: Sharding, costs: dict[str, Array]) -> dict[str, Array]:
        """Return exposed seconds of the exchanges of one layer per pass, and the bytes one rank sends
        (docs/science.md 4.4-4.7).
        """
        job, k, t, c = self.job, self.job.constants, shard.tensor_parallel, shard.context_parallel
        tokens = columns.micro_batch * job.sequence / c
        e = DTYPE_BYTES[job.precision.vector]
        buffer = tokens * job.model.hidden * e
        reductions = 1.0 + (1.0 if layer.feed_forward or (layer.experts and layer.experts.shared_width) else 0.0)
        gain = max(k.tensor_overlap_gain, k.tensor_parallel_overlap)
        hidden = np.where(columns.tensor_overlap > 0, gain, k.tensor_parallel_overlap)
        tensor = reductions * collective_seconds(job.fabric, "all_reduce", buffer, t, 1) * (1.0 - hidden)
        sent = reductions * 2 * (t - 1) / t * buffer
        context, exchanged = self._context(layer, columns, shard, costs)

        expert = np.zeros(())
        if layer.experts is not None:
            group = shard.expert_tensor_parallel
            dispatched = tokens / t * layer.experts.active * job.model.hidden * e
            near = far = np.ones(())
            if k.node_deduplication > 0.5:
                near, far = _distinct_shares(job, shard, layer.experts.active)
            one_way = collective_seconds(
                job.fabric, "all_to_all", dispatched * near, shard.expert_parallel, group, far / near
            )
            inner = collective_seconds(job.fabric, "all_reduce", dispatched * group, group, 1)
            expert = (2 * one_way + inner) * k.expert_imbalance * (1.0 - k.expert_parallel_overlap)
            sent = sent + 2 * dispatched * (1 - 1 / shard.expert_parallel)
        return {
            "tensor_forward": tensor,
            **context,
            "expert_forward": expert,
            "network_bytes": 2 * sent + exchanged,
        }

    def _context(
        self, layer: Layer, columns: Columns, shard: Sharding, costs: dict[str, Array]
    ) -> tuple[dict[str, Array], Array]:
        """Return exposed seconds of the context exchange per pass, and the bytes that one rank sends in both passes
        (docs/science.md 4.5; Ulysses: arXiv 2309.14509).
        """
        job, k, t, c = self.job, self.job.constants, shard.tensor_parallel, shard.context_parallel
        e, attention = DTYPE_BYTES[job.precision.vector], layer.attention
        kv_heads = np.maximum(attention.kv_heads / t, 1.0)
        cached = attention.cached_width if attention.kv_lora_rank else 2 * kv_heads * attention.head_dim
        keys = columns.micro_batch * job.sequence * cached * e
        gather = collective_seconds(job.fabric, "all_gather", keys, c, t)
        heads = attention.heads / t
        widths = heads * (attention.query_width + attention.value_width) + cached
        swapped = columns.micro_batch * job.sequence / c * widths * e
        swap = collective_seconds(job.fabric, "all_to_all", swapped, c, t)
        ring = columns.context_exchange == ContextExchange.RING
        ulysses = columns.context_exchange == ContextExchange.ULYSSES
        hidden = np.where(ring, k.context_parallel_overlap, 0.0)
        exposed = {}
        for phase, rounds in (("forward", 1.0), ("backward", 2.0)):
            exchange = np.where(ulysses, swap, rounds * gather)
            exposed[f"context_{phase}"] = np.maximum(0.0, exchange - hidden * costs[f"attention_{phase}"])
        return exposed, np.where(ulysses, 2.0 * swapped, 3.0 * keys) * (c - 1) / c


def _distinct_shares(job: TrainingJob, shard: Sharding, active: int) -> tuple[Array, Array]:
    """Return the shares of token copies that go to another rank and to another scale-up domain where a token crosses
    to each of them once.

    k copies fall into n * (1 - (1 - 1/n)^k) of n ranks (or domains) on average.
    """
    ranks = shard.expert_parallel
    domain = np.minimum(job.fabric.tiers[0].domain, ranks * shard.expert_tensor_parallel)
    domains = np.maximum(ranks * shard.expert_tensor_parallel / domain, 1.0)
    near, far = (n * (1.0 - (1.0 - 1.0 / n) ** active) / active for n in (ranks, domains))
    return np.asarray(near), np.asarray(far)


def expert_buffer_bytes(layer: Layer, job: TrainingJob, columns: Columns, shard: Sharding) -> Array:
    """Return the bytes of dispatch and combine buffers of one expert layer, (C,); 0 for a dense layer."""
    if layer.experts is None:
        return np.zeros(len(columns))
    tokens = columns.micro_batch * job.sequence / shard.context_parallel / shard.tensor_parallel
    copies = tokens * layer.experts.active * job.constants.expert_imbalance
    return np.asarray(2.0 * copies * job.model.hidden * DTYPE_BYTES[job.precision.vector])
