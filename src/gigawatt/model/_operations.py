"""The operations of one layer in one pass, per rank, in columns.

Shapes: C configurations. Every array of an `Operation` broadcasts to (C,). Tokens, heads and widths are divided by
the parallel degrees exactly (fractions where they do not divide; the search rejects such strategies before).

Phases: `forward` and `backward` of training, `prefill` (a forward pass without loss) and `decode` (one new token per
sequence over a cache of `context` tokens). Recomputation is the caller's: it adds forward operations again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gigawatt.model._counts import mean_context
from gigawatt.model._precision import DTYPE_BYTES, Precision
from gigawatt.model._transformer import Attention, Layer, Transformer

Array = NDArray[np.float64]
Phase = Literal["forward", "backward", "prefill", "decode"]
Family = Literal["matmul", "grouped_matmul", "attention", "vector"]

# FlashAttention recomputes the scores: five products backward against two forward (arXiv 2205.14135).
ATTENTION_BACKWARD_FLOP = 2.5
# Bytes per score where the matrix is stored in 16 bit: written, through softmax and dropout (with a mask), read again;
# backward through both, then read for the gradients of queries, keys and values (arXiv 2205.05198, figure 3).
SCORE_BYTES_FORWARD, SCORE_BYTES_BACKWARD = 13.0, 19.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharding:
    """Parallel degrees that divide one layer, each (C,) or a scalar. `sequence_parallel` is 0 or 1."""

    tensor_parallel: Array
    context_parallel: Array
    expert_parallel: Array
    expert_tensor_parallel: Array
    sequence_parallel: Array

    @classmethod
    def of(
        cls,
        tensor_parallel: object = 1,
        context_parallel: object = 1,
        expert_parallel: object = 1,
        expert_tensor_parallel: object = 1,
        sequence_parallel: object = 1,
    ) -> Sharding:
        """Return the sharding of given degrees; scalars and arrays mix."""
        degrees = (tensor_parallel, context_parallel, expert_parallel, expert_tensor_parallel, sequence_parallel)
        return cls(**dict(zip(cls.__dataclass_fields__, _arrays(degrees), strict=True)))

    @property
    def vector_share(self) -> Array:
        """Share of a token's elementwise work and activations that one rank of the tensor group holds."""
        return np.where(self.sequence_parallel > 0, 1.0 / self.tensor_parallel, 1.0)


def _arrays(values: tuple[object, ...]) -> list[Array]:
    return [np.asarray(value, dtype=np.float64) for value in values]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What one rank executes: `count` products of `rows` x `columns` over `depth`; totals of FLOPs and of bytes moved.

    For attention, rows are query tokens, columns keys and depth the head width; for vector operations they are zero.
    """

    name: str
    family: Family
    dtype: str
    flop: Array
    bytes_moved: Array
    rows: Array
    columns: Array
    depth: Array
    count: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """What the operations of a pass depend on besides the layer: tokens per rank and the recipe."""

    hidden: int
    causal: bool
    tokens: Array
    sequence: Array
    context: Array | None
    shard: Sharding
    precision: Precision
    materialised_scores: bool = False

    def matmul(self, name: str, columns: object, depth: object, rows: object = None) -> Operation:
        m = self.tokens if rows is None else np.asarray(rows, dtype=np.float64)
        n, k = np.asarray(columns, dtype=np.float64), np.asarray(depth, dtype=np.float64)
        e, out = DTYPE_BYTES[self.precision.linear], DTYPE_BYTES[self.precision.vector]
        return Operation(
            name=name,
            family="matmul",
            dtype=self.precision.linear,
            flop=2.0 * m * n * k,
            bytes_moved=e * (m * k + k * n) + out * m * n,
            rows=m,
            columns=n,
            depth=k,
            count=np.ones(()),
        )

    def vector(self, name: str, elements: object) -> Operation:
        moved = np.asarray(elements, dtype=np.float64) * DTYPE_BYTES[self.precision.vector]
        zero = np.zeros(())
        return Operation(
            name=name,
            family="vector",
            dtype=self.precision.vector,
            flop=zero,
            bytes_moved=moved,
            rows=zero,
            columns=zero,
            depth=zero,
            count=np.ones(()),
        )


def layer_operations(
    model: Transformer,
    layer: Layer,
    *,
    phase: Phase,
    batch: object,
    sequence: object,
    sharding: Sharding,
    precision: Precision,
    context: object = None,
    materialised_scores: bool = False,
) -> tuple[Operation, ...]:
    """Return the operations of one layer in one pass on one rank.

    `materialised_scores` is attention as it was before FlashAttention: all scores computed (none skipped where the
    mask is causal) and stored.

    `batch` (C,) sequences per rank, `sequence` (C,) tokens per sequence before context parallelism; in decode each
    sequence contributes one token that attends to `context` (C,) cached tokens. Raises ValueError where decode has no
    context.
    """
    step = _pass(model, phase, batch, sequence, sharding, precision, context)
    step = replace(step, materialised_scores=materialised_scores)
    operations = [*_attention(layer.attention, step), *_feed_forward(layer, step)]
    quantising = _quantising(operations, phase, precision)
    return (*(_backward(operations) if phase == "backward" else operations), *quantising)


def _quantising(operations: list[Operation], phase: Phase, precision: Precision) -> list[Operation]:
    """Return what it takes to bring the inputs of narrow products into their format: of activations forward, of the
    gradients of their outputs backward.
    """
    zero = np.zeros(())
    found: list[Operation] = []
    for operation in operations:
        if operation.family in ("matmul", "grouped_matmul") and DTYPE_BYTES[operation.dtype] < 2.0:
            width = operation.columns if phase == "backward" else operation.depth
            found.append(
                replace(
                    operation,
                    name=f"{operation.name} quantise",
                    family="vector",
                    dtype=precision.vector,
                    flop=zero,
                    bytes_moved=precision.quantise_bytes * operation.rows * width * operation.count,
                    rows=zero,
                    columns=zero,
                    depth=zero,
                    count=np.ones(()),
                )
            )
    return found


def embedding_operations(
    model: Transformer, *, phase: Phase, batch: object, sequence: object, sharding: Sharding, precision: Precision
) -> tuple[Operation, ...]:
    """Return the operations of the input embedding: a look-up, or the projection of patches. Arguments as
    `layer_operations`.
    """
    step = _pass(model, phase, batch, sequence, sharding, precision, np.zeros(()))
    if model.patch_width:
        operations = [step.matmul("embedding.patches", model.hidden / sharding.tensor_parallel, model.patch_width)]
        return _backward(operations) if phase == "backward" else tuple(operations)
    return (step.vector("embedding.look-up", 2.0 * step.tokens * model.hidden),)


def head_operations(
    model: Transformer, *, phase: Phase, batch: object, sequence: object, sharding: Sharding, precision: Precision
) -> tuple[Operation, ...]:
    """Return the operations of the head: final norm, logits and (in training) cross entropy. Arguments as
    `layer_operations`.

    An encoder without a vocabulary has only the norm. In training a multi-token-prediction module adds the product
    that joins its inputs, and logits and cross entropy once more.
    """
    step = _pass(model, phase, batch, sequence, sharding, precision, np.zeros(()))
    operations = [step.vector("head.norm", 2.0 * step.tokens * model.hidden * sharding.vector_share)]
    if model.vocab:
        width = model.vocab / sharding.tensor_parallel
        operations.append(step.matmul("head.logits", width, model.hidden))
        if phase in ("forward", "backward"):  # softmax in fp32: read logits, write and read probabilities
            operations.append(step.vector("head.cross entropy", 5.0 * step.tokens * width))
            if model.mtp_modules:
                join = step.matmul("head.mtp join", model.hidden / sharding.tensor_parallel, 2 * model.hidden)
                operations += [*operations[1:], join] * model.mtp_modules
    return _backward(operations) if phase == "backward" else tuple(operations)


def _pass(
    model: Transformer,
    phase: Phase,
    batch: object,
    sequence: object,
    sharding: Sharding,
    precision: Precision,
    context: object,
) -> _Pass:
    sequences, length = _arrays((batch, sequence))
    if phase == "decode":
        if context is None:
            raise ValueError("decode needs the context that a new token attends to")
        return _Pass(
            hidden=model.hidden,
            causal=model.causal,
            tokens=sequences,
            sequence=length,
            context=np.asarray(context, dtype=np.float64),
            shard=sharding,
            precision=precision,
        )
    return _Pass(
        hidden=model.hidden,
        causal=model.causal,
        tokens=sequences * length / sharding.context_parallel,
        sequence=length,
        context=None,
        shard=sharding,
        precision=precision,
    )


def _attention(attention: Attention, step: _Pass) -> list[Operation]:
    h, t = step.hidden, step.shard.tensor_parallel
    heads = attention.heads / t
    out_width = heads * attention.value_width
    operations = [step.vector("attention.norm", 2.0 * step.tokens * h * step.shard.vector_share)]
    if attention.kv_lora_rank:
        operations += _latent_projections(attention, step)
    else:
        kv_heads = np.maximum(attention.kv_heads / t, 1.0)  # fewer key/value heads than ranks are replicated
        operations.append(
            step.matmul("attention.qkv", heads * attention.head_dim + 2.0 * kv_heads * attention.head_dim, h)
        )
        operations.append(step.vector("attention.rotary", 2.0 * step.tokens * (heads + kv_heads) * attention.head_dim))
    operations.append(_attention_core(attention, step))
    if step.materialised_scores and step.context is None:
        scores = step.tokens * step.sequence * heads
        moved = SCORE_BYTES_FORWARD / DTYPE_BYTES[step.precision.vector] * scores
        operations.append(step.vector("attention.scores", moved))
    operations.append(step.matmul("attention.out", h, out_width))
    operations.append(step.vector("attention.residual", 3.0 * step.tokens * h * step.shard.vector_share))
    return operations


def _latent_projections(attention: Attention, step: _Pass) -> list[Operation]:
    """Multi-head latent attention: down-projections on every rank, expansions divided over heads (arXiv 2412.19437,
    2.1.1).
    """
    heads = attention.heads / step.shard.tensor_parallel
    rank, rope, nope = attention.kv_lora_rank or 0, attention.qk_rope_head_dim or 0, attention.qk_nope_head_dim or 0
    operations = [step.matmul("attention.kv down", rank + rope, step.hidden)]
    if attention.q_lora_rank:
        operations.append(step.matmul("attention.q down", attention.q_lora_rank, step.hidden))
        operations.append(step.matmul("attention.q up", heads * attention.query_width, attention.q_lora_rank))
    else:
        operations.append(step.matmul("attention.q", heads * attention.query_width, step.hidden))
    operations.append(step.matmul("attention.kv up", heads * (nope + attention.value_width), rank))
    operations.append(step.vector("attention.rotary", 4.0 * step.tokens * heads * attention.query_width))
    return operations


def _attention_core(attention: Attention, step: _Pass) -> Operation:
    heads = attention.heads / step.shard.tensor_parallel
    e = DTYPE_BYTES[step.precision.attention]
    widths = attention.query_width + attention.value_width
    if step.context is not None:
        keys = np.minimum(step.context, attention.window) if attention.window else step.context
        cached = np.maximum(attention.cached_width / step.shard.tensor_parallel, 2.0 * attention.head_dim)
        if attention.kv_lora_rank:
            # the latent cache is shared by all heads, so every rank reads it whole; heads multiply it as it is, their
            # expansion is absorbed by queries and outputs (arXiv 2405.04434, 2.1)
            cached = np.asarray(float(attention.cached_width))
            widths = attention.cached_width + attention.kv_lora_rank
        moved = DTYPE_BYTES[step.precision.kv_cache] * step.tokens * keys * cached + e * step.tokens * heads * widths
    else:
        keys = _mean_contexts(step.sequence, attention.window, step.causal and not step.materialised_scores)
        kv_heads = np.maximum(attention.kv_heads / step.shard.tensor_parallel, 1.0)
        moved = e * step.tokens * (heads + kv_heads) * widths
    return Operation(
        name="attention.core",
        family="attention",
        dtype=step.precision.attention,
        flop=2.0 * step.tokens * keys * heads * widths,
        bytes_moved=moved,
        rows=step.tokens,
        columns=keys,
        depth=np.asarray(float(attention.query_width)),
        count=heads,
    )


def _mean_contexts(sequence: Array, window: int | None, causal: bool) -> Array:
    lengths, inverse = np.unique(sequence, return_inverse=True)
    return np.array([mean_context(float(length), window, causal) for length in lengths])[inverse].reshape(
        sequence.shape
    )


def _feed_forward(layer: Layer, step: _Pass) -> list[Operation]:
    operations = [step.vector("mlp.norm", 2.0 * step.tokens * step.hidden * step.shard.vector_share)]
    if layer.feed_forward is not None:
        operations += _dense("mlp", layer.feed_forward.width, layer.feed_forward.gated, step)
    if layer.experts is not None:
        operations += _experts(layer, step)
    operations.append(step.vector("mlp.residual", 3.0 * step.tokens * step.hidden * step.shard.vector_share))
    return operations


def _dense(name: str, width: int, gated: bool, step: _Pass) -> list[Operation]:
    local = width / step.shard.tensor_parallel
    return [
        step.matmul(f"{name}.up", local * (2.0 if gated else 1.0), step.hidden),
        step.vector(f"{name}.activation", step.tokens * local * (3.0 if gated else 2.0)),
        step.matmul(f"{name}.down", step.hidden, local),
    ]


def _experts(layer: Layer, step: _Pass) -> list[Operation]:
    """Router, dispatch, expert products and combine, under a balanced load (the caller applies imbalance)."""
    experts = layer.experts
    assert experts is not None
    h, shard = step.hidden, step.shard
    routed = step.tokens * step.shard.vector_share  # tokens whose routing this rank decides
    group = shard.expert_tensor_parallel
    copies = step.tokens / shard.tensor_parallel * experts.active * group  # token copies in this rank's expert products
    local = experts.experts / shard.expert_parallel
    if step.context is not None:  # a small batch does not touch every expert (docs/science.md 1.7)
        seen = step.tokens / shard.tensor_parallel * shard.expert_parallel * group
        local = local * (1.0 - (1.0 - experts.active / experts.experts) ** seen)
    width = experts.width / group
    operations = [
        replace(step.matmul("router", experts.experts, h, rows=routed), dtype=step.precision.vector),
        step.vector("experts.dispatch", 2.0 * copies * h),
        _grouped("experts.up", copies, local, width * (2.0 if experts.gated else 1.0), h, step.precision),
        step.vector("experts.activation", copies * width * (3.0 if experts.gated else 2.0)),
        _grouped("experts.down", copies, local, h, width, step.precision),
        step.vector("experts.combine", 2.0 * copies * h),
    ]
    if experts.shared_width:
        operations += _dense("shared", experts.shared_width, experts.gated, step)
    return operations


def _grouped(
    name: str, copies: Array, local: object, columns: object, depth: object, precision: Precision
) -> Operation:
    count, n, k = _arrays((local, columns, depth))
    rows = copies / count
    e, out = DTYPE_BYTES[precision.linear], DTYPE_BYTES[precision.vector]
    return Operation(
        name=name,
        family="grouped_matmul",
        dtype=precision.linear,
        flop=2.0 * copies * n * k,
        bytes_moved=e * (copies * k + count * k * n) + out * copies * n,
        rows=rows,
        columns=n,
        depth=k,
        count=count,
    )


def _backward(operations: list[Operation]) -> tuple[Operation, ...]:
    """Return the backward pass: two products for each matrix product, 2.5 times the attention, twice the elementwise
    bytes.
    """
    result: list[Operation] = []
    for operation in operations:
        result += _BACKWARD[operation.family](operation)
    return tuple(result)


def _matmul_backward(operation: Operation) -> list[Operation]:
    m, n, k = operation.rows, operation.columns, operation.depth
    # the weight gradient is added to an fp32 sum: read and written in 4 bytes instead of written in 2
    summed = operation.bytes_moved + operation.count * (8.0 * n * k - 2.0 * m * n)
    return [
        replace(operation, name=f"{operation.name} (input gradient)", columns=k, depth=n),
        replace(
            operation,
            name=f"{operation.name} (weight gradient)",
            rows=k,
            columns=n,
            depth=m,
            bytes_moved=np.maximum(summed, 0.0),
        ),
    ]


_BACKWARD: Mapping[Family, Callable[[Operation], list[Operation]]] = {
    "matmul": _matmul_backward,
    "grouped_matmul": _matmul_backward,
    "attention": lambda op: [
        replace(
            op,
            name=f"{op.name} (backward)",
            flop=ATTENTION_BACKWARD_FLOP * op.flop,
            bytes_moved=ATTENTION_BACKWARD_FLOP * op.bytes_moved,
        )
    ],
    "vector": lambda op: [
        replace(
            op,
            name=f"{op.name} (backward)",
            bytes_moved=op.bytes_moved
            * (SCORE_BYTES_BACKWARD / SCORE_BYTES_FORWARD if op.name == "attention.scores" else 2.0),
        )
    ],
}
