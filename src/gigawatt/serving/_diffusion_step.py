"""Seconds of one pass of a diffusion transformer on one accelerator of a replica, in columns.

Shapes: C configurations of one chip. The sequence is split over `context_parallel` accelerators, matrices over
`tensor_parallel`. A pass is not overlapped with its exchanges, but for ring attention, whose blocks travel while others
are computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gigawatt.hardware import Chip, Fabric, collective_seconds, operation_seconds
from gigawatt.model import (
    DTYPE_BYTES,
    Layer,
    Operation,
    Precision,
    Sharding,
    Transformer,
    embedding_operations,
    layer_operations,
)
from gigawatt.serving._diffusion import DiffusionModel

Array = NDArray[np.float64]
PARTS = ("matrix products", "attention", "elementwise", "exchange")
_PART_OF = {"matmul": "matrix products", "grouped_matmul": "matrix products", "attention": "attention"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PassShape:
    """What a pass depends on, each (C,): samples in it, image tokens of a sample, and the degrees that split it."""

    batch: Array
    image_tokens: Array
    tensor_parallel: Array
    context_parallel: Array

    @property
    def sharding(self) -> Sharding:
        """The same degrees as the layers know them."""
        return Sharding.of(tensor_parallel=self.tensor_parallel, context_parallel=self.context_parallel)


def inference_precision(precision: Precision) -> Precision:
    """Return a training recipe for inference: weights in the format of the products, no transposes of what is
    quantised (16 bit read, the narrow format written).
    """
    narrow = DTYPE_BYTES[precision.linear]
    quantise = 2.0 + narrow if precision.quantise_bytes else 0.0
    return replace(precision, weight_bytes=narrow, quantise_bytes=quantise)


def pass_operations(model: DiffusionModel, shape: PassShape, precision: Precision) -> Iterator[tuple[Operation, int]]:
    """Yield the operations of one pass on one accelerator, each with how often it occurs."""
    transformer = model.transformer
    total = shape.image_tokens + model.sequence_text
    for layer, count, joint in _layers(model):
        if joint:  # attention over both streams, all else per stream with weights of its own
            whole = _layer(transformer, layer, shape, total, precision)
            yield from ((operation, count) for operation in whole if operation.family == "attention")
            for tokens in (shape.image_tokens, np.asarray(float(model.sequence_text))):
                stream = _layer(transformer, layer, shape, tokens, precision)
                yield from ((operation, count) for operation in stream if operation.family != "attention")
        else:
            yield from ((operation, count) for operation in _layer(transformer, layer, shape, total, precision))
        if model.cross_attention:
            yield from ((operation, count) for operation in _cross_attention(model, layer, shape, precision))
        if layer.modulation:
            width = layer.modulation * transformer.hidden / shape.tensor_parallel
            yield _product("modulation", shape.batch, width, transformer.hidden, precision), count
    yield from ((operation, 1) for operation in _ends(model, shape, precision))


def _layers(model: DiffusionModel) -> Iterator[tuple[Layer, int, bool]]:
    layers = model.transformer.layers
    if model.joint_layers:
        yield layers[0], model.joint_layers, True
    if len(layers) > model.joint_layers:
        yield layers[-1], len(layers) - model.joint_layers, False


def _layer(
    transformer: Transformer, layer: Layer, shape: PassShape, tokens: Array, precision: Precision
) -> tuple[Operation, ...]:
    return layer_operations(
        transformer,
        layer,
        phase="prefill",
        batch=shape.batch,
        sequence=tokens,
        sharding=shape.sharding,
        precision=precision,
    )


def _cross_attention(
    model: DiffusionModel, layer: Layer, shape: PassShape, precision: Precision
) -> Iterator[Operation]:
    """Yield the second attention of a layer: queries of the image, keys and values of the text."""
    hidden, tensor = model.transformer.hidden, shape.tensor_parallel
    heads = layer.attention.heads / tensor
    width = heads * layer.attention.head_dim
    queries = shape.batch * shape.image_tokens / shape.context_parallel
    keys = shape.batch * model.text_tokens  # every rank of the split sequence needs the whole text
    yield _product("cross.q", queries, width, hidden, precision)
    yield _product("cross.kv", keys, 2.0 * width, hidden, precision)
    yield _product("cross.out", queries, hidden, width, precision)
    wide = DTYPE_BYTES[precision.attention]
    yield Operation(
        name="cross.core",
        family="attention",
        dtype=precision.attention,
        flop=4.0 * queries * model.text_tokens * width,
        bytes_moved=wide * (2.0 * queries + 2.0 * keys) * width,
        rows=queries,
        columns=np.asarray(float(model.text_tokens)),
        depth=np.asarray(float(layer.attention.head_dim)),
        count=heads,
    )
    vector = 5.0 * queries * hidden * shape.sharding.vector_share  # norm and residual
    yield _vector("cross.norm and residual", vector, precision)


def _ends(model: DiffusionModel, shape: PassShape, precision: Precision) -> Iterator[Operation]:
    """Yield the projections into the layers and out of them; they stay in 16 bit."""
    transformer = model.transformer
    wide = replace(precision, linear=precision.vector)
    yield from embedding_operations(
        transformer,
        phase="prefill",
        batch=shape.batch,
        sequence=shape.image_tokens,
        sharding=shape.sharding,
        precision=wide,
    )
    if model.text_tokens:
        yield _product("text projection", shape.batch * model.text_tokens, transformer.hidden, model.text_width, wide)
    rows = shape.batch * shape.image_tokens / shape.context_parallel
    yield _product("output projection", rows, float(transformer.patch_width), transformer.hidden, wide)


def _product(name: str, rows: Array, columns: Array | float, depth: Array | float, precision: Precision) -> Operation:
    m, n, k = (np.asarray(extent, dtype=np.float64) for extent in (rows, columns, depth))
    narrow, wide = DTYPE_BYTES[precision.linear], DTYPE_BYTES[precision.vector]
    return Operation(
        name=name,
        family="matmul",
        dtype=precision.linear,
        flop=2.0 * m * n * k,
        bytes_moved=narrow * (m * k + k * n) + wide * m * n,
        rows=m,
        columns=n,
        depth=k,
        count=np.ones(()),
    )


def _vector(name: str, elements: Array, precision: Precision) -> Operation:
    zero = np.zeros(())
    return Operation(
        name=name,
        family="vector",
        dtype=precision.vector,
        flop=zero,
        bytes_moved=elements * DTYPE_BYTES[precision.vector],
        rows=zero,
        columns=zero,
        depth=zero,
        count=np.ones(()),
    )


def pass_flop(model: DiffusionModel, shape: PassShape, precision: Precision, family: str | None = None) -> Array:
    """Return the FLOPs of one pass on one accelerator, (C,), of one `family` of operations where it is named.

    DiT-XL/2 at 256 x 256 pixels: 237.4e9, twice the 118.6 G multiply-adds of arXiv 2212.09748 table 4.
    """
    found = [
        operation.flop * count
        for operation, count in pass_operations(model, shape, precision)
        if family in (None, operation.family)
    ]
    return np.asarray(sum(found, np.zeros(np.shape(shape.batch))))


def pass_seconds(
    model: DiffusionModel,
    shape: PassShape,
    *,
    chip: Chip,
    fabric: Fabric,
    precision: Precision,
    attention_rate: float = 1.0,
) -> dict[str, Array]:
    """Return the seconds of one pass by part, each (C,): matrix products, attention, elementwise, exchange.

    `attention_rate` is the speed of the attention kernel over the one that the chip was fitted to.
    """
    parts = {name: np.zeros(np.shape(shape.batch)) for name in PARTS}
    for operation, count in pass_operations(model, shape, precision):
        slower = attention_rate if operation.family == "attention" else 1.0
        seconds = operation_seconds(
            chip,
            family=operation.family,
            dtype=operation.dtype,
            flop=operation.flop / slower,
            bytes_moved=operation.bytes_moved,
            rows=operation.rows,
            columns=operation.columns,
            depth=operation.depth,
            count=operation.count,
        )
        part = _PART_OF.get(operation.family, "elementwise")
        parts[part] = parts[part] + count * seconds
    parts["exchange"] = _exchange_seconds(model, shape, fabric, precision, parts["attention"])
    return parts


def _exchange_seconds(
    model: DiffusionModel, shape: PassShape, fabric: Fabric, precision: Precision, attention_s: Array
) -> Array:
    """Return the seconds of all exchanges of a pass: all-reduces of tensor parallelism; queries, keys, values and
    outputs swapped for heads (Ulysses, arXiv 2309.14509) where the heads divide, keys and values round a ring (arXiv
    2310.01889) where they do not.
    """
    transformer, wide = model.transformer, DTYPE_BYTES[precision.vector]
    tensor, context = shape.tensor_parallel, shape.context_parallel
    layers, single = len(transformer.layers), len(transformer.layers) - model.joint_layers
    tokens = shape.batch * (shape.image_tokens + model.sequence_text) / context
    held = tokens * transformer.hidden * wide
    reductions = 2.0 * layers - (single if model.parallel_single else 0) + (layers if model.cross_attention else 0)
    reducing = reductions * collective_seconds(fabric, "all_reduce", held, tensor, 1.0)
    swapping = layers * collective_seconds(fabric, "all_to_all", 4.0 * held / tensor, context, tensor)
    block = 2.0 * held / tensor
    ring = layers * (context - 1.0) * collective_seconds(fabric, "send", block, context, tensor)
    exposed = np.maximum(ring - attention_s, 0.0)
    divides = transformer.heads % (tensor * context) == 0
    splitting = np.where(context > 1, np.where(divides, swapping, exposed), 0.0)
    return np.asarray(np.where(tensor > 1, reducing, 0.0) + splitting)
