"""Activations that a layer keeps for its backward pass (arXiv 2205.05198, section 4; docs/science.md 6.2-6.4)."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from gigawatt.model._operations import Sharding
from gigawatt.model._precision import DTYPE_BYTES, Precision
from gigawatt.model._transformer import Attention, Layer, Transformer

Array = NDArray[np.float64]


class Recompute(IntEnum):
    """What is not kept but computed again: nothing; what is cheap (scores, activation functions, norms); all but the
    layer's input.
    """

    NONE = 0
    SELECTIVE = 1
    FULL = 2


def activation_bytes(
    model: Transformer,
    layer: Layer,
    *,
    batch: object,
    sequence: object,
    sharding: Sharding,
    recompute: object,
    precision: Precision,
    materialised_scores: bool = False,
    dropout: bool = False,
    selective_products: float = 0.0,
) -> Array:
    """Return the bytes that one rank keeps of one layer for one micro-batch, (C,).

    `batch` (C,) sequences, `sequence` (C,) tokens before context parallelism, `recompute` (C,) of `Recompute`. By
    default as today's kernels do: no score matrix (FlashAttention), no dropout masks. With `materialised_scores` and
    `dropout` it is the published 16-bit accounting: per layer s*b*h*(34 + 5*a*s/h) without parallelism, (10 + 24/t +
    5*a*s/(h*t)) with tensor parallelism, (34 + 5*a*s/h)/t with sequence parallelism as well, 34/t with selective
    recompute, 2 (over t where sharded) with full. `selective_products` is the share of matrix products whose
    outputs selective recompute does not keep either.
    """
    tokens = np.asarray(batch, dtype=np.float64) * np.asarray(sequence, dtype=np.float64) / sharding.context_parallel
    e, h, t = DTYPE_BYTES[precision.vector], model.hidden, sharding.tensor_parallel
    attention = layer.attention
    kv_heads = np.maximum(attention.kv_heads / t, 1.0)
    # two norm inputs, and the inputs of the attention and feed-forward projections: on every rank unless sequences are split
    norms = 2.0 * e * h * sharding.vector_share
    narrow = min(e, DTYPE_BYTES[precision.linear])  # narrow recipes keep the inputs of products in the narrow format
    inputs = norms + 2.0 * narrow * h * sharding.vector_share
    if dropout:
        inputs = inputs + 2.0 * h * sharding.vector_share
    heads = attention.heads / t
    inputs = inputs + e * (heads * attention.query_width + kv_heads * (attention.query_width + attention.value_width))
    inputs = inputs + e * heads * attention.value_width
    widths, hidden_products = _feed_forward_elements(layer, sharding)
    inputs = inputs + narrow * _dispatched_elements(layer, h, sharding)
    kept = tokens * (inputs + e * widths - (e - narrow) * hidden_products)
    scores = np.zeros(())
    if materialised_scores:
        scores = tokens * heads * np.asarray(sequence, dtype=np.float64) * (2.0 * e + (1.0 if dropout else 0.0))
        selective = kept  # the published recipe recomputes the scores only
    else:
        selective = kept - tokens * (norms + narrow * hidden_products + e * _expanded(attention, t))
        outputs = heads * attention.query_width + kv_heads * (attention.query_width + attention.value_width)
        selective = selective - selective_products * tokens * e * (outputs + widths - hidden_products)
    full = tokens * e * h * sharding.vector_share
    mode = np.asarray(recompute)
    return np.where(mode == Recompute.FULL, full, np.where(mode == Recompute.SELECTIVE, selective, kept + scores))


def _expanded(attention: Attention, tensor_parallel: Array) -> Array:
    """Return elements per token that latent attention need not keep: heads expanded from what was compressed."""
    if not attention.kv_lora_rank:
        return np.zeros(())
    heads = attention.heads / tensor_parallel
    expanded = heads * (2.0 * attention.query_width + attention.value_width)
    compressed = (attention.q_lora_rank or 0) + attention.cached_width
    return np.maximum(expanded - compressed, 0.0)


def _feed_forward_elements(layer: Layer, sharding: Sharding) -> tuple[Array, Array]:
    """Return per token and rank: elements kept inside the feed-forward part, and those of activation-function outputs
    among them.
    """
    t = sharding.tensor_parallel
    kept, products = np.zeros(()), np.zeros(())
    branches = []
    if layer.feed_forward is not None:
        branches.append((layer.feed_forward.width, layer.feed_forward.gated))
    if layer.experts is not None and layer.experts.shared_width:
        branches.append((layer.experts.shared_width, layer.experts.gated))
    for width, gated in branches:
        kept = kept + width / t * (3.0 if gated else 2.0)
        products = products + width / t
    if layer.experts is not None:
        copies = layer.experts.active / t
        # inner widths of each copy; the router's weights enter at the activation function, so outputs are not kept
        kept = kept + copies * layer.experts.width * (3.0 if layer.experts.gated else 2.0)
        products = products + copies * layer.experts.width
    return np.asarray(kept), np.asarray(products)


def _dispatched_elements(layer: Layer, hidden: int, sharding: Sharding) -> Array:
    """Return per token and rank: elements of the copies of tokens that arrive at experts, inputs of their products."""
    if layer.experts is None:
        return np.zeros(())
    return layer.experts.active / sharding.tensor_parallel * sharding.expert_tensor_parallel * hidden


def logits_bytes(
    model: Transformer, *, batch: object, sequence: object, sharding: Sharding, bytes_each: float = 6.0
) -> Array:
    """Return the bytes of the logits of one micro-batch on the last stage, (C,): by default 16-bit logits and their
    fp32 copy.
    """
    tokens = np.asarray(batch, dtype=np.float64) * np.asarray(sequence, dtype=np.float64) / sharding.context_parallel
    return np.asarray(tokens * model.vocab * bytes_each / sharding.tensor_parallel)
