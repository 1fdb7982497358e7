"""Models with linear or compressed attention, as far as serving needs them: described by the softmax layer that moves
the same bytes.

A linear-attention layer (gated delta net, KDA) keeps a state of fixed size per sequence and reads and writes it once a
step. It stands here as a layer with a sliding window whose keys and values are as large as what one step moves, with
projections as wide as the published ones. Compressed attention (DeepSeek-V4) stands as MQA over the latent with the
window that it may see. Both are estimates; `gigawatt.model` describes neither.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gigawatt.catalog import ModelEntry
from gigawatt.model import Attention, Experts, FeedForward, Layer, Transformer, transformer_of

# State of a delta-net head: 128 keys x 128 values in 4 bytes, read and written (arXiv 2412.06464; the published
# configurations of Qwen3-Next and Qwen3.5: linear_key_head_dim, linear_value_head_dim 128, mamba_ssm_dtype float32).
STATE_WIDTH, STATE_BYTES = 128, 4.0
# Value heads of those configurations are twice as wide together as the model, key heads half as wide as the model.
VALUE_WIDTHS, KEY_WIDTHS = 2.0, 1.0
FULL_EVERY = 4
# Cached entries that a query of compressed sparse attention sees: a window of 128 and 1,024 selected (DeepSeek-V4).
COMPRESSED_WINDOW = 1152


def served_model(entry: ModelEntry, place: str = "", path: str = "model") -> Transformer:
    """Return the transformer of a catalogue entry, linear and compressed attention by their equivalents.

    Raises InputError as `transformer_of` does where neither describes the entry (Mamba layers, missing columns).
    """
    attention = str(entry.architecture.get("attention", ""))
    if "compressed" in attention:
        return _compressed(entry, place, path)
    if any(word in attention for word in ("linear attention", "delta net", "KDA")):
        return _linear(entry, place, path)
    return transformer_of(entry, place, path)


def _plain(entry: ModelEntry, kind: str, place: str, path: str, **changes: Any) -> Transformer:
    """Return the transformer of an entry with other columns."""
    return transformer_of(replace(entry, type=kind, architecture={**entry.architecture, **changes}), place, path)


def _linear(entry: ModelEntry, place: str, path: str) -> Transformer:
    act = str(entry.architecture.get("ffn_act", "swiglu"))
    plain = _plain(entry, "dense", place, path, attention="", ffn_act="swiglu" if act == "situ" else act)
    linear = linear_attention(plain.hidden)
    layers = tuple(
        layer if (index + 1) % FULL_EVERY == 0 else replace(layer, attention=linear)
        for index, layer in enumerate(plain.layers)
    )
    return replace(plain, layers=layers)


def linear_attention(hidden: int) -> Attention:
    """Return the windowed attention that stands for a delta-net layer of a model of this width."""
    heads = round(VALUE_WIDTHS * hidden / STATE_WIDTH)
    # columns of the input product: queries and keys of the key heads, values and the gate of the value heads
    others = round((KEY_WIDTHS * hidden / STATE_WIDTH + heads) / 2)
    kv_heads = next(n for n in range(min(others, heads), 0, -1) if heads % n == 0)
    moved = 2.0 * heads * STATE_WIDTH * STATE_WIDTH * STATE_BYTES
    window = max(1, round(moved / (2.0 * kv_heads * STATE_WIDTH * 2.0)))
    return Attention(heads=heads, kv_heads=kv_heads, head_dim=STATE_WIDTH, window=window)


def is_linear(attention: Attention) -> bool:
    """Return whether an attention is one that `linear_attention` made: more than half as many key as query heads."""
    return attention.window is not None and 1.5 * attention.kv_heads > attention.heads and attention.kv_heads > 16


def _compressed(entry: ModelEntry, place: str, path: str) -> Transformer:
    columns = entry.architecture
    head = int(columns["head_dim"])
    rope = int(columns.get("qk_rope_head_dim") or 64)
    return _plain(
        entry,
        "moe",
        place,
        path,
        attention="MLA",
        kv_heads=columns["heads"],
        kv_lora_rank=head - rope,
        qk_rope_head_dim=rope,
        qk_nope_head_dim=head - rope,
        v_head_dim=head // 4,
        sliding_window=COMPRESSED_WINDOW,
    )


def transformer_of_text(name: str, text: str) -> Transformer:
    """Return the transformer that a text such as "L=80;d=8192;heads=64;kv_heads=8;head_dim=128;ffn=28672;vocab=32000"
    describes (the `arch` column of a table of measurements). Raises KeyError or ValueError where it does not.
    """
    fields = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
    number = {key: int(value) for key, value in fields.items() if value.strip().isdigit()}
    hidden, layers, heads = number["d"], number["L"], number["heads"]
    if fields.get("attn") == "MLA":
        attention = Attention(
            heads=heads,
            kv_heads=heads,
            head_dim=number["nope_hd"],
            q_lora_rank=number.get("q_lora"),
            kv_lora_rank=number["kv_lora"],
            qk_nope_head_dim=number["nope_hd"],
            qk_rope_head_dim=number["rope_hd"],
            v_head_dim=number["v_hd"],
        )
    else:
        attention = Attention(heads=heads, kv_heads=number.get("kv_heads", heads), head_dim=number["head_dim"])
    linear_every = number.get("full_attn_every") or int((fields.get("full_attn_every") or "0").split()[0])
    # "sliding_window=128 on alternate layers"; "sliding_window=1024, full every 6"
    window_text = fields.get("sliding_window", "")
    digits = "".join(c if c.isdigit() else " " for c in window_text).split()
    window = int(digits[0]) if digits else None
    every = 2 if "alternate" in window_text else int(digits[1]) if len(digits) > 1 else 0
    shared = number.get("shared_ffn", number.get("shared_experts", 0) * number.get("moe_ffn", 0))
    experts = (
        Experts(
            experts=number["experts"], active=number["top_k"], width=number["moe_ffn"], gated=True, shared_width=shared
        )
        if number.get("experts")
        else None
    )
    dense = number.get("dense_ffn", number.get("ffn", 0))
    built = tuple(
        Layer(
            attention=linear_attention(hidden)
            if linear_every and (i + 1) % linear_every
            else replace(attention, window=None if not window or (every and (i + 1) % every == 0) else window),
            feed_forward=None
            if experts and i >= number.get("dense_first", 0)
            else FeedForward(width=dense, gated="gelu" not in fields.get("act", "")),
            experts=experts if i >= number.get("dense_first", 0) else None,
        )
        for i in range(layers)
    )
    if any(layer.feed_forward is not None and not layer.feed_forward.width for layer in built):
        raise ValueError("no feed-forward width")
    return Transformer(name=name, hidden=hidden, vocab=number["vocab"], tied_embeddings=False, layers=built)
