"""The architecture that Megatron-LM arguments describe, as columns of the model catalogue."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gigawatt.export._arguments import Arguments

_COUNTS: Mapping[str, str] = MappingProxyType(
    {
        "layers": "--num-layers",
        "hidden": "--hidden-size",
        "ffn": "--ffn-hidden-size",
        "heads": "--num-attention-heads",
        "head_dim": "--kv-channels",
        "vocab": "--vocab-size",
        "experts": "--num-experts",
        "topk": "--moe-router-topk",
        "moe_ffn": "--moe-ffn-hidden-size",
        "shared_expert_ffn": "--moe-shared-expert-intermediate-size",
    }
)
_LATENT: Mapping[str, str] = MappingProxyType(
    {
        "q_lora_rank": "--q-lora-rank",
        "kv_lora_rank": "--kv-lora-rank",
        "qk_nope_head_dim": "--qk-head-dim",
        "qk_rope_head_dim": "--qk-pos-emb-head-dim",
        "v_head_dim": "--v-head-dim",
    }
)
# Every option that is read here.
SIZES = frozenset(
    {
        *_COUNTS.values(),
        *_LATENT.values(),
        "--multi-latent-attention",
        "--group-query-attention",
        "--num-query-groups",
        "--moe-layer-freq",
        "--swiglu",
        "--squared-relu",
        "--untie-embeddings-and-output-weights",
    }
)
# Experts of a token where the arguments are silent.
_TOPK = 2
# A pattern that is longer describes no model.
_MOST_LAYERS = 4096


def megatron_model(given: Arguments) -> dict[str, Any]:
    """Return what the arguments say of the model, by catalogue column.

    Where they state the hidden size, what is left out is filled in as Megatron-LM does (megatron/training/arguments.py
    of 0.19.2): the widths, the heads that share keys, the activation, the tied embeddings. Raises InputError naming
    the line.
    """
    model: dict[str, Any] = {field: given.count(option, 0) for field, option in _COUNTS.items() if option in given}
    if "hidden" not in model:
        return model
    gated = "--swiglu" in given
    model["ffn_act"] = "swiglu" if gated else "relu2" if "--squared-relu" in given else "gelu"
    model["tie_embeddings"] = "--untie-embeddings-and-output-weights" not in given
    model.setdefault("ffn", model["hidden"] * 8 // 3 // 64 * 64 if gated else 4 * model["hidden"])
    if "--multi-latent-attention" in given:
        model |= {field: given.count(option, 0) for field, option in _LATENT.items() if option in given}
        if "v_head_dim" in model:
            model["head_dim"] = model["v_head_dim"]
    if "heads" in model:
        grouped = "--group-query-attention" in given
        model["kv_heads"] = given.count("--num-query-groups", 1) if grouped else model["heads"]
        model.setdefault("head_dim", max(model["hidden"] // model["heads"], 1))
    if model.get("experts"):
        model.setdefault("moe_ffn", model["ffn"])
        model.setdefault("topk", _TOPK)
        model |= _expert_layers(given, model.get("layers", 0))
    return model


def _expert_layers(given: Arguments, layers: int) -> dict[str, int]:
    """Return which layers have experts: a step, or dense layers first. A step takes the last layer of each group, where
    Megatron-LM takes the first: as many, one place further.
    """
    option = "--moe-layer-freq"
    text = given.text(option, "1")
    if text.isdigit():
        step = given.count(option, 1)
        if layers % step:
            given.refuse(option, f"a divisor of the {layers} layers")
        return {"first_dense_layers": 0, "moe_layer_step": step}
    try:
        pattern = _listed(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        given.refuse(option, "a whole number, or a pattern such as [0]*3+[1]*58")
    if layers and len(pattern) != layers:
        given.refuse(option, f"a pattern of {layers} layers; this has {len(pattern)}")
    first = pattern.index(1) if 1 in pattern else len(pattern)
    for dense, step in ((first, 1), (0, first + 1)):
        if pattern == [int(index >= dense and (index + 1) % step == 0) for index in range(len(pattern))]:
            return {"first_dense_layers": dense, "moe_layer_step": step}
    given.refuse(option, "dense layers before all others, or the last of every group with experts")


def _listed(node: ast.expr) -> list[int]:
    """Return the list that an expression of lists, sums and repetitions makes; raises ValueError for any other."""
    if isinstance(node, ast.List) and all(
        isinstance(item, ast.Constant) and item.value in (0, 1) for item in node.elts
    ):
        return [int(ast.literal_eval(item)) for item in node.elts]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _listed(node.left) + _listed(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        times = ast.literal_eval(node.right)
        if isinstance(times, int) and 0 <= times <= _MOST_LAYERS:
            repeated = _listed(node.left) * times
            if len(repeated) <= _MOST_LAYERS:
                return repeated
    raise ValueError("not a pattern of layers")
