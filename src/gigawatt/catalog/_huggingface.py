"""Models from a Hugging Face `config.json`, read into the same architecture columns as the catalogue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from gigawatt.catalog._models import ModelEntry, Value, size_problem
from gigawatt.catalog._tables import packaged_rows
from gigawatt.documents import read_text
from gigawatt.errors import InputError, Problem, nearest_name

# architecture class -> family; families differ in which optional keys they use and in what an absent key means.
ARCHITECTURES: Mapping[str, str] = {
    "LlamaForCausalLM": "dense",
    "MistralForCausalLM": "dense",
    "Qwen2ForCausalLM": "dense",
    "Qwen3ForCausalLM": "dense",
    "Gemma2ForCausalLM": "gemma",
    "Gemma3ForCausalLM": "gemma",
    "Gemma3ForConditionalGeneration": "gemma",
    "MixtralForCausalLM": "mixtral",
    "Qwen3MoeForCausalLM": "qwen-moe",
    "DeepseekV2ForCausalLM": "deepseek",
    "DeepseekV3ForCausalLM": "deepseek",
    "GptOssForCausalLM": "gpt-oss",
    "Grok1ForCausalLM": "grok",
    "Grok1ModelForCausalLM": "grok",
    "GPT2LMHeadModel": "gpt2",
}

_COMMON = {
    "layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "hidden": ("hidden_size", "n_embd", "emb_size"),
    "heads": ("num_attention_heads", "n_head", "num_q_heads"),
    "vocab": ("vocab_size",),
}
_OPTIONAL = {
    "kv_heads": ("num_key_value_heads", "num_kv_heads"),
    "head_dim": ("head_dim", "key_size"),
    "max_ctx": ("max_position_embeddings", "n_positions", "sequence_len"),
    "ffn": ("intermediate_size", "n_inner"),
}
_GATED = {"silu": "swiglu", "swiglu": "swiglu", "gelu": "geglu", "gelu_pytorch_tanh": "geglu"}


def model_from_config(path: Path) -> ModelEntry:
    """Return the model that a Hugging Face `config.json` describes.

    Covers Llama, Mistral, Qwen2/3, Gemma 2/3, Mixtral, Qwen3-MoE, DeepSeek-V2/V3 (MLA), gpt-oss, Grok-1 and GPT-2.
    Raises InputError for a file that is no JSON object, an architecture outside this list (with the nearest), or a
    key that is missing or no number.
    """
    try:
        config = json.loads(read_text(path))
    except RecursionError:
        raise InputError(Problem(message="nested too deeply for a configuration", location=str(path))) from None
    except json.JSONDecodeError as error:
        raise InputError(
            Problem(
                message=f"this is not valid JSON, or the file is cut short ({error.msg})",
                location=f"{path}:{error.lineno}:{error.colno}",
            )
        ) from None
    if not isinstance(config, dict):
        raise InputError(Problem(message="a JSON object is needed", location=str(path), found=type(config).__name__))
    if isinstance(config.get("text_config"), dict):
        config = {**config, **config["text_config"]}
    names = config.get("architectures") or [config.get("model_type", "none stated")]
    name = str(names[0] if isinstance(names, list) else names)
    family = ARCHITECTURES.get(name)
    if family is None:
        raise InputError(
            Problem(
                message="this architecture is not known",
                location=str(path),
                path="architectures",
                found=repr(name),
                allowed=", ".join(ARCHITECTURES),
                nearest=nearest_name(name, list(ARCHITECTURES)),
            )
        )
    reader = _Config({**_class_defaults(name), **config}, path)
    architecture = reader.common()
    _FAMILIES[family](reader, architecture)
    if family != "gpt2":
        reader.gated()
    sizes = {field: value for field, value in architecture.items() if isinstance(value, int)}
    found = [size_problem(field, value, str(path), field) for field, value in sizes.items()]
    problems = [*reader.problems, *(problem for problem in found if problem)]
    if problems:
        raise InputError(problems)
    moe = "experts" in architecture
    label = str(config.get("_name_or_path") or path.parent.name or name)
    return ModelEntry(
        name=label, family=name, type="moe" if moe else "dense", architecture=architecture, source=str(path)
    )


@cache
def _class_defaults(architecture: str) -> Mapping[str, Any]:
    """Return huggingface_defaults.csv of one class: what an absent key means there (published files leave defaults out)."""
    rows = packaged_rows("huggingface_defaults.csv")
    return {row["key"]: json.loads(row["value"]) for row in rows if row["architecture"] == architecture}


class _Config:
    """The keys of one configuration; collects every key that is missing or wrong."""

    def __init__(self, config: Mapping[str, Any], path: Path) -> None:
        self.config, self.path = config, path
        self.problems: list[Problem] = []

    def wrong(self, key: str, message: str, allowed: str = "") -> None:
        found = repr(self.config.get(key))
        self.problems.append(Problem(message=message, location=str(self.path), path=key, found=found, allowed=allowed))

    def flag(self, key: str) -> bool:
        value = self.config.get(key, False)
        if not isinstance(value, bool):
            self.wrong(key, "true or false is needed")
        return bool(value)

    def integer(self, *keys: str, required: bool = True) -> int | None:
        for key in keys:
            value = self.config.get(key)
            if value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                self.problems.append(
                    Problem(message="a whole number is needed", location=str(self.path), path=key, found=repr(value))
                )
                return None
            return value
        if required:
            self.problems.append(
                Problem(message="this key is missing", location=str(self.path), path=" or ".join(keys))
            )
        return None

    def common(self) -> dict[str, Value]:
        architecture: dict[str, Value] = {}
        for column, keys in _COMMON.items():
            value = self.integer(*keys)
            if value == 0:
                self.wrong(next(key for key in keys if key in self.config), "must be above zero")
            if value is not None:
                architecture[column] = value
        for column, keys in _OPTIONAL.items():
            value = self.integer(*keys, required=False)
            if value is not None:
                architecture[column] = value
        architecture.setdefault("kv_heads", architecture.get("heads", 0))
        if "head_dim" not in architecture and architecture.get("heads"):
            hidden, heads = int(architecture.get("hidden", 0)), int(architecture["heads"])
            if hidden % heads:
                self.wrong(
                    "num_attention_heads", f"the heads do not divide the width of {hidden}, and head_dim is not given"
                )
            architecture["head_dim"] = hidden // heads
        architecture["tie_embeddings"] = self.flag("tie_word_embeddings")
        activation = str(self.config.get("hidden_act") or self.config.get("hidden_activation") or "silu")
        architecture["ffn_act"] = _GATED.get(activation, activation)
        architecture["attention"] = "MHA" if architecture["kv_heads"] == architecture.get("heads") else "GQA"
        return architecture

    def gated(self) -> None:
        """Note an activation for which it is not known whether the layer has two or three matrices."""
        for key in ("hidden_act", "hidden_activation"):
            if self.config.get(key) is not None and self.config[key] not in _GATED:
                self.wrong(key, "this activation is not known", ", ".join(_GATED))

    def require(self, architecture: dict[str, Value], **columns: str) -> None:
        for column, key in columns.items():
            value = self.integer(key)
            if value is not None:
                architecture[column] = value


def _dense(reader: _Config, architecture: dict[str, Value]) -> None:
    reader.require(architecture, ffn="intermediate_size")
    window = reader.integer("sliding_window", required=False)
    if window and reader.flag("use_sliding_window"):
        architecture["sliding_window"] = window


def _gemma(reader: _Config, architecture: dict[str, Value]) -> None:
    reader.require(architecture, ffn="intermediate_size", head_dim="head_dim", sliding_window="sliding_window")
    architecture["ffn_act"] = "geglu"
    architecture["window_pattern"] = reader.integer("sliding_window_pattern") or 1


def _mixtral(reader: _Config, architecture: dict[str, Value]) -> None:
    reader.require(architecture, experts="num_local_experts", topk="num_experts_per_tok", moe_ffn="intermediate_size")
    architecture.pop("ffn", None)


def _qwen_moe(reader: _Config, architecture: dict[str, Value]) -> None:
    reader.require(architecture, experts="num_experts", topk="num_experts_per_tok", moe_ffn="moe_intermediate_size")
    architecture["moe_layer_step"] = reader.integer("decoder_sparse_step", required=False) or 1
    only_dense = reader.config.get("mlp_only_layers") or []
    if not isinstance(only_dense, list):
        reader.wrong("mlp_only_layers", "a list of layer numbers is needed")
        return
    if only_dense and only_dense != list(range(len(only_dense))):
        reader.problems.append(
            Problem(
                message="dense layers must come first",
                location=str(reader.path),
                path="mlp_only_layers",
                found=repr(only_dense),
            )
        )
    if only_dense:
        architecture["first_dense_layers"] = len(only_dense)
    elif architecture["moe_layer_step"] == 1:
        architecture.pop("ffn", None)


def _deepseek(reader: _Config, architecture: dict[str, Value]) -> None:
    reader.require(
        architecture,
        ffn="intermediate_size",
        experts="n_routed_experts",
        topk="num_experts_per_tok",
        moe_ffn="moe_intermediate_size",
        kv_lora_rank="kv_lora_rank",
        qk_nope_head_dim="qk_nope_head_dim",
        qk_rope_head_dim="qk_rope_head_dim",
        v_head_dim="v_head_dim",
    )
    query_rank = reader.integer("q_lora_rank", required=False)
    if query_rank:
        architecture["q_lora_rank"] = query_rank
    shared = reader.integer("n_shared_experts", required=False) or 0
    architecture["shared_experts"] = shared
    architecture["shared_expert_ffn"] = shared * int(architecture.get("moe_ffn", 0))
    architecture["first_dense_layers"] = reader.integer("first_k_dense_replace", required=False) or 0
    architecture["moe_layer_step"] = reader.integer("moe_layer_freq", required=False) or 1
    if architecture["moe_layer_step"] != 1:  # the class counts from layer 0, moe_layer_step from the last of a step
        reader.wrong(
            "moe_layer_freq", "expert layers with dense ones between them are not described for this class", "1"
        )
    architecture["attention"] = "MLA"
    architecture["head_dim"] = architecture.get("v_head_dim", architecture.get("head_dim", 0))


def _gpt_oss(reader: _Config, architecture: dict[str, Value]) -> None:
    reader.require(architecture, experts="num_local_experts", topk="num_experts_per_tok", moe_ffn="intermediate_size")
    architecture.pop("ffn", None)
    window = reader.integer("sliding_window", required=False)
    if window:
        kinds = list(reader.config.get("layer_types") or [])
        full = kinds.index("full_attention") + 1 if "full_attention" in kinds else 2
        architecture |= {"sliding_window": window, "window_pattern": full}


def _grok(reader: _Config, architecture: dict[str, Value]) -> None:
    """Grok-1 (experts of `intermediate_size`) and Grok-2 (`residual_moe`: a dense branch of that width beside narrower experts)."""
    experts = reader.integer("num_experts", "num_local_experts")
    active = reader.integer("num_experts_per_tok", "num_selected_experts")
    branch = reader.flag("residual_moe")
    width = reader.integer("moe_intermediate_size", required=branch) or reader.integer(
        "intermediate_size", required=False
    )
    if width is None:
        width = _widened(reader, int(architecture.get("hidden", 0)))
    dense = architecture.pop("ffn", None)
    architecture |= {"experts": experts or 0, "topk": active or 0, "moe_ffn": width, "ffn_act": "geglu"}
    if branch and dense is not None:
        architecture["parallel_ffn"] = dense
    # Grok-2 publishes a head of its own, Grok-1 ties it to the embedding; neither file says so
    architecture["tie_embeddings"] = (
        reader.flag("tie_word_embeddings") if "tie_word_embeddings" in reader.config else not branch
    )


def _widened(reader: _Config, hidden: int) -> int:
    """Return the width of the released code: factor * 2/3 of the model width, rounded up to a multiple of 8 (xai-org/grok-1 model.py)."""
    factor = reader.config.get("widening_factor")
    if isinstance(factor, bool) or not isinstance(factor, int | float) or factor <= 0:
        reader.wrong("widening_factor", "either intermediate_size or a widening factor above zero is needed")
        return 0
    return -(-(int(factor * hidden) * 2 // 3) // 8) * 8


def _gpt2(_reader: _Config, architecture: dict[str, Value]) -> None:
    architecture.setdefault("ffn", 4 * int(architecture.get("hidden", 0)))
    architecture["ffn_act"] = "gelu"


_FAMILIES = {
    "dense": _dense,
    "gemma": _gemma,
    "mixtral": _mixtral,
    "qwen-moe": _qwen_moe,
    "deepseek": _deepseek,
    "gpt-oss": _gpt_oss,
    "grok": _grok,
    "gpt2": _gpt2,
}
