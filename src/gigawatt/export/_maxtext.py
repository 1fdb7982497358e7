"""MaxText configuration (YAML over base.yml): a mesh axis per parallelism, split between a server and the network.

Degrees fill the server from the innermost rank outwards (ici), what is left of them crosses servers (dcn). Experts
have an axis of their own, which the other layers use as data parallelism.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import gcd
from types import MappingProxyType
from typing import Any

import yaml

from gigawatt.export._plan import COMMON, Limit, Plan, launch, limits

Options = dict[str, Any]

_REMAT = MappingProxyType({"none": "minimal_with_context", "selective": "minimal", "full": "full"})
_QUANTISATION = MappingProxyType(
    {
        "bf16": "",
        "fp16": "",
        "fp8": "te_fp8_delayedscaling",
        "fp8_current": "te_fp8_currentscaling",
        "fp8_block": "te_fp8_currentscaling",
        "mxfp8": "te_mxfp8",
        "nvfp4": "te_nvfp4",
        "fp4": "te_nvfp4",
        "int8": "int8",
    }
)
_OPTIMIZERS = MappingProxyType({"adam": "adamw", "adam8bit": "adamw", "muon": "muon"})


def _uneven(plan: Plan) -> bool:
    return plan.pipeline_parallel > 1 and len(plan.model.layers) % plan.chunks > 0


def _folded(plan: Plan) -> int:
    """Return the expert degree that the data-parallel ranks can hold."""
    return gcd(plan.expert_parallel, plan.shard_group if plan.zero_stage > 1 else plan.data_parallel)


_LIMITS = (
    *COMMON,
    Limit(
        "schedule",
        lambda plan: plan.pipeline_parallel > 1,
        "one circular pipeline, all forward passes before the backward ones; no 1F1B, zero-bubble or DualPipe",
    ),
    Limit("virtual_stages", _uneven, "stages hold equal layers; the remainder is left out of pipeline_parallel_layers"),
    Limit("zero_stage", lambda plan: plan.zero_stage == 2, "gradients alone are not sharded; written as zero_stage 3"),
    Limit(
        "shard_ranks",
        lambda plan: plan.zero_stage == 1 and plan.shard_group < plan.data_parallel,
        "optimizer state shards over all data-parallel ranks",
    ),
    Limit("recompute", lambda plan: plan.recompute == "none", "written as minimal_with_context, which keeps the most"),
    Limit("recompute_layers", lambda plan: plan.recompute_layers > 0, "a policy covers all layers"),
    Limit(
        "expert_parallel",
        lambda plan: _folded(plan) < plan.expert_parallel,
        "experts spread over data-parallel ranks only; written as the part that those hold",
    ),
    Limit(
        "expert_tensor_parallel",
        lambda plan: plan.model.experts is not None and plan.expert_tensor_parallel != plan.tensor_parallel,
        "experts are cut by the tensor degree",
    ),
    Limit(
        "tensor_overlap",
        lambda plan: plan.tensor_overlap == 1 and not (plan.sequence_parallel and plan.tensor_parallel > 1),
        "needs tensor and sequence parallelism; left to the compiler",
    ),
    Limit(
        "offload_activations",
        lambda plan: plan.offload_activations == 1 and plan.recompute == "full",
        "nothing is left to offload under full recompute; left out",
    ),
    Limit("precision", lambda plan: plan.precision == "fp8_block", "no block scaling; written as current scaling"),
    Limit("optimizer", lambda plan: plan.optimizer == "adam8bit", "no 8-bit state; written as adamw"),
)


def unsupported_maxtext(plan: Plan) -> tuple[str, ...]:
    """Return what a MaxText configuration cannot say."""
    return limits(plan, _LIMITS)


def maxtext_file(plan: Plan) -> str:
    """Return YAML to pass to MaxText after base.yml."""
    servers, each = launch(plan)
    head = [
        f"# MaxText configuration for {plan.model.name} on {servers} x {each} accelerators, written by gigawatt.",
        "# Add what a strategy does not decide: data, tokenizer, run name, steps, kind of hardware and attention.",
        *(f"# not expressed: {text}" for text in unsupported_maxtext(plan)),
    ]
    return "\n".join(head) + "\n" + yaml.safe_dump(maxtext_options(plan), sort_keys=False)


def maxtext_options(plan: Plan) -> Options:
    """Return every option by name."""
    makers: tuple[Callable[[Plan], Options], ...] = (
        _model,
        _experts,
        _latent_attention,
        _mesh,
        _batch,
        _pipeline,
        _memory,
        _numbers,
    )
    options: Options = {}
    for maker in makers:
        options.update(maker(plan))
    return options


def mesh_axes(plan: Plan) -> Mapping[str, int]:
    """Return the size of each mesh axis, innermost first; the product is the world of the plan."""
    expert = _folded(plan)
    shards = plan.shard_group if plan.zero_stage > 1 else 1
    fsdp = shards // gcd(shards, expert)
    tensor = "tensor_sequence" if plan.sequence_parallel and plan.tensor_parallel > 1 else "tensor"
    return {
        tensor: plan.tensor_parallel,
        "context": plan.context_parallel,
        "expert": expert,
        "fsdp": fsdp,
        "data": plan.data_parallel // (expert * fsdp),
        "pipeline": plan.pipeline_parallel,
    }


def _mesh(plan: Plan) -> Options:
    _, left = launch(plan)
    inside: Options = {}
    across: Options = {}
    for axis, size in mesh_axes(plan).items():
        here = gcd(size, left)
        left //= here
        inside[f"ici_{axis}_parallelism"] = here
        across[f"dcn_{axis}_parallelism"] = size // here
    return {
        **inside,
        **across,
        "context_parallel_strategy": plan.context_exchange,
        "shard_optimizer_over_data": plan.zero_stage == 1,
    }


def _model(plan: Plan) -> Options:
    model, first = plan.model, plan.model.layers[0].attention
    dense = next((layer.feed_forward for layer in model.layers if layer.feed_forward), None)
    expert = model.experts
    width = dense.width if dense else expert.width if expert else 0
    gated = dense.gated if dense else bool(expert and expert.gated)
    return {
        "base_emb_dim": model.hidden,
        "base_num_decoder_layers": len(model.layers),
        "base_num_query_heads": first.heads,
        "base_num_kv_heads": first.kv_heads,
        "head_dim": first.head_dim,
        "base_mlp_dim": width,
        "mlp_activations": ["silu", "linear"] if gated else ["gelu"],
        "vocab_size": model.vocab,
        "logits_via_embedding": model.tied_embeddings,
        "decoder_block": _block(plan),
    }


def _block(plan: Plan) -> str:
    if plan.model.experts is None:
        return "llama2"
    plain = all(layer.experts and not layer.experts.shared_width for layer in plan.model.layers)
    return "mixtral" if plain else "deepseek"


def _experts(plan: Plan) -> Options:
    expert = plan.model.experts
    if expert is None:
        return {}
    dense_first = next(index for index, layer in enumerate(plan.model.layers) if layer.experts)
    return {
        "num_experts": expert.experts,
        "num_experts_per_tok": expert.active,
        "base_moe_mlp_dim": expert.width,
        "shared_experts": expert.shared_width // expert.width,
        "first_num_dense_layers": dense_first,
    }


def _latent_attention(plan: Plan) -> Options:
    attention = plan.model.layers[0].attention
    if not attention.kv_lora_rank:
        return {}
    return {
        "attention_type": "mla",
        "q_lora_rank": attention.q_lora_rank or 0,
        "kv_lora_rank": attention.kv_lora_rank,
        "qk_nope_head_dim": attention.qk_nope_head_dim,
        "qk_rope_head_dim": attention.qk_rope_head_dim,
        "v_head_dim": attention.v_head_dim,
    }


def _batch(plan: Plan) -> Options:
    # A pipeline takes all micro-batches of a step in one pass; without one they are accumulated.
    passes = 1 if plan.pipeline_parallel > 1 else plan.micro_batches
    return {
        "per_device_batch_size": plan.global_batch / (plan.world * passes),
        "gradient_accumulation_steps": passes,
        "max_target_length": plan.sequence,
    }


def _pipeline(plan: Plan) -> Options:
    if plan.pipeline_parallel == 1:
        return {}
    layers = max(len(plan.model.layers) // plan.chunks, 1)
    return {
        "num_layers_per_pipeline_stage": layers,
        "num_pipeline_repeats": plan.virtual_stages,
        "pipeline_parallel_layers": layers * plan.chunks,
        "num_pipeline_microbatches": plan.micro_batches,
    }


def _memory(plan: Plan) -> Options:
    offloaded = plan.offload_activations == 1 and plan.recompute != "full"
    overlapped = plan.tensor_overlap and plan.sequence_parallel and plan.tensor_parallel > 1
    return {
        "remat_policy": "minimal_offloaded" if offloaded else _REMAT[plan.recompute],
        "optimizer_memory_host_offload": plan.offload_optimizer == 1,
        "te_comm_gemm_overlap": "full" if overlapped else "disabled",
    }


def _numbers(plan: Plan) -> Options:
    rate = {} if plan.learning_rate is None else {"learning_rate": plan.learning_rate}
    return {
        "dtype": "float16" if plan.precision == "fp16" else "bfloat16",
        "quantization": _QUANTISATION[plan.precision],
        "opt_type": _OPTIMIZERS[plan.optimizer],
        **rate,
    }
