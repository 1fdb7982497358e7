"""The description of a transformer: layers of attention and feed-forward or experts.

Covers dense and mixture-of-experts decoders (shared experts, dense first layers, a dense branch beside the experts),
MHA, MQA, GQA and MLA, sliding windows, and encoders over patches (no vocabulary, not causal). State-space and
linear-attention layers are not described.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gigawatt.errors import InputError, Problem

GATED_ACTIVATIONS = frozenset({"swiglu", "geglu"})
PLAIN_ACTIVATIONS = frozenset({"gelu", "relu", "relu2"})
_UNDESCRIBED = ("linear", "Mamba", "delta net", "KDA", "compressed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Query heads, key/value heads and their width; `window` limits how far back a token looks. MLA where
    `kv_lora_rank` is set.
    """

    heads: int
    kv_heads: int
    head_dim: int
    window: int | None = None
    q_lora_rank: int | None = None
    kv_lora_rank: int | None = None
    qk_nope_head_dim: int | None = None
    qk_rope_head_dim: int | None = None
    v_head_dim: int | None = None

    @property
    def query_width(self) -> int:
        """Width of one head's query and key."""
        return (self.qk_nope_head_dim or 0) + (self.qk_rope_head_dim or 0) if self.kv_lora_rank else self.head_dim

    @property
    def value_width(self) -> int:
        """Width of one head's value and output."""
        return (self.v_head_dim or self.head_dim) if self.kv_lora_rank else self.head_dim

    @property
    def cached_width(self) -> int:
        """Elements that one token leaves in the key/value cache of one layer (arXiv 2412.19437 for MLA)."""
        if self.kv_lora_rank:
            return self.kv_lora_rank + (self.qk_rope_head_dim or 0)
        return 2 * self.kv_heads * self.head_dim


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedForward:
    """A dense feed-forward block: two matrices of `width`, three where it is gated (SwiGLU, GeGLU)."""

    width: int
    gated: bool

    @property
    def matrices(self) -> int:
        """Number of hidden x width matrices."""
        return 3 if self.gated else 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """Routed experts of `width`, `active` of them per token, and shared experts of `shared_width` in total."""

    experts: int
    active: int
    width: int
    gated: bool
    shared_width: int = 0

    @property
    def matrices(self) -> int:
        """Number of hidden x width matrices of one expert."""
        return 3 if self.gated else 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Attention followed by a feed-forward block, experts, or both side by side (Grok-2).

    `modulation` times hidden squared parameters turn a sample's condition into scales and shifts of its layers: 6 in a
    diffusion transformer (adaLN-Zero, arXiv 2212.09748). They work once per sample, so their computing is left out.
    """

    attention: Attention
    feed_forward: FeedForward | None = None
    experts: Experts | None = None
    modulation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformer:
    """A stack of layers between an embedding and a head. `vocab` 0 with `patch_width` is an encoder over patches.

    The last `mtp_modules` of the layers predict further tokens (multi-token prediction, arXiv 2412.19437, 2.2): each
    joins its input from two vectors of `hidden` and uses the head once more. They work in training only.
    """

    name: str
    hidden: int
    vocab: int
    tied_embeddings: bool
    layers: tuple[Layer, ...]
    causal: bool = True
    patch_width: int = 0
    max_context: int | None = None
    mtp_modules: int = 0

    def groups(self) -> tuple[tuple[Layer, int], ...]:
        """Return the distinct layers with how many there are of each, in the order in which they first occur."""
        counts: dict[Layer, int] = {}
        for layer in self.layers:
            counts[layer] = counts.get(layer, 0) + 1
        return tuple(counts.items())

    @property
    def heads(self) -> int:
        """Query heads of the first layer."""
        return self.layers[0].attention.heads

    @property
    def experts(self) -> Experts | None:
        """The experts of the first layer that has any."""
        return next((layer.experts for layer in self.layers if layer.experts is not None), None)


class Entry(Protocol):
    """What a model description is read from (a catalogue entry)."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def architecture(self) -> Mapping[str, Any]: ...


def transformer_of(entry: Entry, place: str = "", path: str = "model") -> Transformer:
    """Return the transformer that the architecture columns of a catalogue entry describe.

    Raises InputError naming every column that is missing or contradicts another, or the kind of layer that is not
    described.
    """
    columns = dict(entry.architecture)
    here = {"location": place, "path": path}
    attention = str(columns.get("attention", ""))
    if entry.type.startswith("hybrid") or any(word in attention for word in _UNDESCRIBED):
        raise InputError(
            Problem(
                message=f"{entry.name!r} has layers that are not described yet",
                found=attention or entry.type,
                allowed="softmax attention (MHA, MQA, GQA, MLA, sliding windows) with dense or expert feed-forward layers",
                **here,
            )
        )
    problems = [Problem(message=message, **here) for message in _missing(entry.name, columns)]
    if problems:
        raise InputError(problems)
    modules = int(columns.get("mtp_modules") or 0)
    return Transformer(
        name=entry.name,
        hidden=columns["hidden"],
        vocab=columns["vocab"],
        tied_embeddings=bool(columns.get("tie_embeddings", False)),
        layers=tuple(_layer(columns, index) for index in range(columns["layers"]))
        + (_layer(columns, columns["layers"] - 1),) * modules,
        causal=bool(columns.get("causal", True)),
        patch_width=int(columns.get("patch_width", 0)),
        max_context=columns.get("max_ctx"),
        mtp_modules=modules,
    )


def _missing(name: str, columns: dict[str, Any]) -> list[str]:
    needed = ["layers", "hidden", "heads", "kv_heads", "head_dim", "vocab"]
    if columns.get("experts"):
        needed += ["topk", "moe_ffn"]
    if not columns.get("experts") or columns.get("first_dense_layers") or (columns.get("moe_layer_step") or 1) > 1:
        needed += ["ffn"]
    if columns.get("kv_lora_rank"):
        needed += ["qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"]
    absent = [column for column in needed if columns.get(column) is None]
    if absent:
        return [f"the architecture of {name!r} is not known; missing: {', '.join(absent)}"]
    messages = []
    activation = str(columns.get("ffn_act", "swiglu"))
    if activation not in GATED_ACTIVATIONS | PLAIN_ACTIVATIONS:
        messages.append(
            f"unknown ffn_act {activation!r}; allowed: {', '.join(sorted(GATED_ACTIVATIONS | PLAIN_ACTIVATIONS))}"
        )
    if columns["heads"] % columns["kv_heads"]:
        messages.append(f"{columns['kv_heads']} key/value heads do not divide {columns['heads']} query heads")
    if columns.get("experts") and columns["topk"] > columns["experts"]:
        messages.append(f"topk {columns['topk']} is more than the {columns['experts']} experts")
    if columns["vocab"] == 0 and not columns.get("patch_width"):
        messages.append("a model without a vocabulary needs patch_width (input values per patch)")
    return messages


def _layer(columns: dict[str, Any], index: int) -> Layer:
    gated = str(columns.get("ffn_act", "swiglu")) in GATED_ACTIVATIONS
    window = columns.get("sliding_window") or None
    pattern = columns.get("window_pattern") or 0
    attention = Attention(
        heads=columns["heads"],
        kv_heads=columns["kv_heads"],
        head_dim=columns["head_dim"],
        window=None if pattern and (index + 1) % pattern == 0 else window,
        q_lora_rank=columns.get("q_lora_rank") or None,
        kv_lora_rank=columns.get("kv_lora_rank") or None,
        qk_nope_head_dim=columns.get("qk_nope_head_dim"),
        qk_rope_head_dim=columns.get("qk_rope_head_dim"),
        v_head_dim=columns.get("v_head_dim"),
    )
    first = columns.get("first_dense_layers") or 0
    step = columns.get("moe_layer_step") or 1
    if not columns.get("experts") or index < first or (index + 1) % step:
        return Layer(
            attention=attention,
            feed_forward=FeedForward(width=columns["ffn"], gated=gated),
            modulation=columns.get("modulation") or 0,
        )
    experts = Experts(
        experts=columns["experts"],
        active=columns["topk"],
        width=columns["moe_ffn"],
        gated=gated,
        shared_width=columns.get("shared_expert_ffn") or 0,
    )
    branch = columns.get("parallel_ffn") or 0
    return Layer(
        attention=attention, feed_forward=FeedForward(width=branch, gated=gated) if branch else None, experts=experts
    )
