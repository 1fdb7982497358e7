"""What a transformer holds and what a token costs: parameters, FLOPs, key/value cache (docs/science.md 1 and 6.5)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from gigawatt.model._precision import DTYPE_BYTES, Precision
from gigawatt.model._transformer import Attention, Layer, Transformer


class FlopConvention(StrEnum):
    """How attention is counted in model FLOPs. Sources differ by up to a factor of two in this term; name it with
    every MFU.
    """

    CAUSAL = "causal attention (half), output head included, no recompute"
    FULL = "full attention, output head included, no recompute"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerParameters:
    """Parameters of one layer. Tensor parallelism divides attention, dense, shared; experts go by expert
    parallelism.
    """

    attention: int
    latent: int
    dense: int
    experts: int
    shared: int
    router: int
    norm: int

    @property
    def total(self) -> int:
        """All parameters of the layer."""
        return self.attention + self.latent + self.dense + self.experts + self.shared + self.router + self.norm


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Parameters of a model by part; `active` are those that one token uses (embedding look-up and head included)."""

    embedding: int
    head: int
    attention: int
    dense: int
    experts: int
    shared: int
    router: int
    norm: int
    active: int

    @property
    def total(self) -> int:
        """All parameters."""
        return (
            self.embedding
            + self.head
            + self.attention
            + self.dense
            + self.experts
            + self.shared
            + self.router
            + self.norm
        )


@lru_cache(maxsize=4096)
def layer_parameters(layer: Layer, hidden: int) -> LayerParameters:
    """Return the parameters of one layer (docs/science.md 1.1-1.3), weights of norms (and what modulates them)
    included, biases left out.

    `latent` are the MLA down-projections, which tensor parallelism replicates.
    """
    attention, latent = _attention_parameters(layer.attention, hidden)
    dense = layer.feed_forward.matrices * hidden * layer.feed_forward.width if layer.feed_forward else 0
    experts = shared = router = 0
    if layer.experts is not None:
        experts = layer.experts.matrices * hidden * layer.experts.width * layer.experts.experts
        shared = layer.experts.matrices * hidden * layer.experts.shared_width
        router = hidden * layer.experts.experts
    return LayerParameters(
        attention=attention,
        latent=latent,
        dense=dense,
        experts=experts,
        shared=shared,
        router=router,
        norm=2 * hidden + layer.modulation * hidden * hidden,
    )


def _attention_parameters(attention: Attention, hidden: int) -> tuple[int, int]:
    heads, query, value = attention.heads, attention.query_width, attention.value_width
    if not attention.kv_lora_rank:
        return hidden * (heads * query + attention.kv_heads * (query + value)) + heads * value * hidden, 0
    nope, rope, rank = attention.qk_nope_head_dim or 0, attention.qk_rope_head_dim or 0, attention.kv_lora_rank
    latent = hidden * (rank + rope)
    expand = rank * heads * (nope + value) + heads * value * hidden
    if attention.q_lora_rank:
        return expand + attention.q_lora_rank * heads * query, latent + hidden * attention.q_lora_rank
    return expand + hidden * heads * query, latent


@lru_cache(maxsize=256)
def parameters(model: Transformer) -> Parameters:
    """Return the parameters of a model by part.

    Llama 3.1 405B has 405,853,388,800 (docs/science.md 1.1).
    """
    counted = [(layer_parameters(layer, model.hidden), count, layer) for layer, count in model.groups()]
    embedding = model.vocab * model.hidden + model.patch_width * model.hidden
    head = 0 if model.tied_embeddings else model.vocab * model.hidden
    experts = sum(part.experts * count for part, count, _ in counted)
    idle = sum(
        part.experts * count * (1 - layer.experts.active / layer.experts.experts)
        for part, count, layer in counted
        if layer.experts
    )
    parts = {
        "embedding": embedding,
        "head": head,
        "attention": sum((part.attention + part.latent) * count for part, count, _ in counted),
        "dense": sum(part.dense * count for part, count, _ in counted) + mtp_parameters(model),
        "experts": experts,
        "shared": sum(part.shared * count for part, count, _ in counted),
        "router": sum(part.router * count for part, count, _ in counted),
        "norm": sum(part.norm * count for part, count, _ in counted) + model.hidden,
    }
    return Parameters(**parts, active=round(sum(parts.values()) - idle))


def mtp_parameters(model: Transformer) -> int:
    """Return the parameters that join the two inputs of every multi-token-prediction module (arXiv 2412.19437, 2.2)."""
    return 2 * model.hidden * model.hidden * model.mtp_modules


def mean_context(sequence: float, window: int | None, causal: bool) -> float:
    """Return how many keys a token attends to on average over a sequence (tokens); half of it where attention is
    causal.
    """
    if window is None or window >= sequence:
        return sequence / 2 if causal else sequence
    return window - window * window / (2 * sequence) if causal else float(window)


def flop_per_token(model: Transformer, sequence: float, convention: FlopConvention = FlopConvention.CAUSAL) -> float:
    """Return forward FLOPs per token: 2 per matrix parameter in use, head included, plus attention (docs/science.md
    1.4).

    Training costs three times as much (`training_flop_per_token`). For Llama 3.1 405B at 8,192 tokens the attention
    term is 8.3 % of the rest with full attention, 4.2 % with causal.
    """
    counted = parameters(model)
    matrices = (
        counted.active
        - counted.norm
        - counted.embedding
        - counted.head
        + (model.vocab * (1 + model.mtp_modules) + model.patch_width) * model.hidden
    )
    return 2.0 * matrices + attention_flop_per_token(model, sequence, convention)


def attention_flop_per_token(
    model: Transformer, sequence: float, convention: FlopConvention = FlopConvention.CAUSAL
) -> float:
    """Return forward FLOPs per token of scores and their product with the values, all layers (docs/science.md 1.4)."""
    causal = model.causal and convention is FlopConvention.CAUSAL
    return sum(
        2.0
        * count
        * layer.attention.heads
        * (layer.attention.query_width + layer.attention.value_width)
        * mean_context(sequence, layer.attention.window, causal)
        for layer, count in model.groups()
    )


def training_flop_per_token(
    model: Transformer, sequence: float, convention: FlopConvention = FlopConvention.CAUSAL
) -> float:
    """Return FLOPs per trained token: forward and, at twice its cost, backward. No recompute."""
    return 3.0 * flop_per_token(model, sequence, convention)


def kv_cache_bytes_per_token(model: Transformer, precision: Precision) -> float:
    """Return the key/value cache of one token over all layers, bytes (docs/science.md 6.5). Llama 3 8B in bf16:
    131,072.
    """
    return DTYPE_BYTES[precision.kv_cache] * sum(
        layer.attention.cached_width * count for layer, count in model.groups()
    )
