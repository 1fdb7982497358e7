"""MaxText configuration (YAML over base.yml): a mesh axis per parallelism, split between a server and the network.

Degrees fill the server from the innermost rank outwards (ici), what is left of them crosses servers (dcn). Experts
have an axis of their own, which the other layers use as data parallelism.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import gcd, inf, nextafter
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
_EXCHANGES = MappingProxyType({"all_gather": "all_gather", "ring": "ring", "ulysses": "all_gather"})
_OPTIMIZERS = MappingProxyType({"adam": "adamw", "adam8bit": "adamw", "muon": "muon"})


def _piped(plan: Plan) -> int:
    """Return the layers that the pipeline may hold: all, or those with experts where dense ones come first."""
    return (
        sum(layer.experts is not None for layer in plan.model.layers)
        if _block(plan) == "deepseek"
        else len(plan.model.layers)
    )


def _uneven(plan: Plan) -> bool:
    return plan.pipeline_parallel > 1 and _piped(plan) % plan.chunks > 0


def _batches(plan: Plan) -> tuple[int, int]:
    """Return sequences and micro-batches per step: under a pipeline, micro-batches in multiples of its stages.

    The step is kept where it divides into such a number of them, and the size of a micro-batch where it does not.
    """
    stages, local = plan.pipeline_parallel, plan.micro_batch * plan.micro_batches
    if stages == 1:
        return plan.global_batch, plan.micro_batches
    fitting = [count for count in range(stages, max(plan.micro_batches, stages) + 1, stages) if local % count == 0]
    if fitting:
        return plan.global_batch, fitting[-1]
    rounds = max(plan.micro_batches // stages, 1) * stages
    return plan.data_parallel * plan.micro_batch * rounds, rounds


def _delayed(plan: Plan) -> bool:
    """Whether delayed scaling would meet gradient accumulation, which MaxText refuses."""
    return plan.precision == "fp8" and plan.pipeline_parallel == 1 and plan.micro_batches > 1


def _overlapped(plan: Plan) -> bool:
    """Whether the products of Transformer Engine may hide the exchange of tensor parallelism."""
    return (
        plan.tensor_overlap == 1
        and plan.sequence_parallel == 1
        and plan.tensor_parallel > 1
        and plan.precision != "int8"
    )


def _folded(plan: Plan) -> int:
    """Return the expert degree that the data-parallel ranks can hold."""
    return gcd(plan.expert_parallel, plan.shard_group if plan.zero_stage > 1 else plan.data_parallel)


_LIMITS = (
    *COMMON,
    Limit(
        "model",
        lambda plan: _block(plan) == "deepseek" and not plan.model.layers[0].attention.kv_lora_rank,
        "shared experts and dense first layers are those of DeepSeek, whose attention is latent; set decoder_block",
    ),
    Limit(
        "schedule",
        lambda plan: plan.pipeline_parallel > 1,
        "one circular pipeline, all forward passes before the backward ones; no 1F1B, zero-bubble or DualPipe",
    ),
    Limit(
        "virtual_stages",
        lambda plan: plan.pipeline_parallel > 1 and _piped(plan) < plan.chunks,
        "a stage needs a layer; written as what the layers fill",
    ),
    Limit("virtual_stages", _uneven, "stages hold equal layers; the remainder is left out of pipeline_parallel_layers"),
    Limit(
        "micro_batch",
        lambda plan: _batches(plan)[0] == plan.global_batch and _batches(plan)[1] != plan.micro_batches,
        "micro-batches come in multiples of the pipeline stages; larger or smaller than asked",
    ),
    Limit(
        "global_batch",
        lambda plan: _batches(plan)[0] != plan.global_batch,
        "micro-batches come in multiples of the pipeline stages; the step is the nearest one that fills them",
    ),
    Limit(
        "context_exchange",
        lambda plan: plan.context_exchange == "ulysses" and plan.context_parallel > 1,
        "on TPU with Tokamax attention only; written as all_gather",
    ),
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
        lambda plan: plan.tensor_overlap == 1 and not _overlapped(plan),
        "needs tensor and sequence parallelism and no int8; left to the compiler",
    ),
    Limit(
        "tensor_overlap",
        _overlapped,
        "needs a GPU per process (hardware: gpu_multiprocess) and Transformer Engine; MaxText refuses it elsewhere",
    ),
    Limit(
        "offload_activations",
        lambda plan: plan.offload_activations == 1 and plan.recompute == "full",
        "nothing is left to offload under full recompute; left out",
    ),
    Limit("precision", lambda plan: plan.precision == "fp8_block", "no block scaling; written as current scaling"),
    Limit("precision", _delayed, "no delayed scaling with gradient accumulation; written as current scaling"),
    Limit("optimizer", lambda plan: plan.optimizer == "adam8bit", "no 8-bit state; written as adamw"),
    Limit(
        "optimizer",
        lambda plan: plan.optimizer == "muon" and _block(plan) == "mixtral",
        "MaxText takes no Muon for a Mixtral block; written as adamw",
    ),
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
        **({"context_parallel_strategy": _EXCHANGES[plan.context_exchange]} if plan.context_parallel > 1 else {}),
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
    sequences, _ = _batches(plan)
    passes = 1 if plan.pipeline_parallel > 1 else plan.micro_batches
    return {
        "per_device_batch_size": _per_device(sequences // passes, plan.world),
        "gradient_accumulation_steps": passes,
        "max_target_length": plan.sequence,
    }


def _per_device(sequences: int, world: int) -> float:
    """Return sequences per accelerator; MaxText multiplies by the accelerators and cuts the fraction off, so a product
    that rounding leaves below the whole number is rounded up instead.
    """
    share = sequences / world
    return share if int(share * world) == sequences else nextafter(share, inf)


def _pipeline(plan: Plan) -> Options:
    if plan.pipeline_parallel == 1:
        return {}
    repeats = max(min(plan.virtual_stages, _piped(plan) // plan.pipeline_parallel), 1)
    layers = max(_piped(plan) // (plan.pipeline_parallel * repeats), 1)
    return {
        "num_layers_per_pipeline_stage": layers,
        "num_pipeline_repeats": repeats,
        "pipeline_parallel_layers": layers * plan.pipeline_parallel * repeats,
        "num_pipeline_microbatches": _batches(plan)[1],
    }


def _memory(plan: Plan) -> Options:
    offloaded = plan.offload_activations == 1 and plan.recompute != "full"
    return {
        "remat_policy": "minimal_offloaded" if offloaded else _REMAT[plan.recompute],
        "optimizer_memory_host_offload": plan.offload_optimizer == 1,
        "te_comm_gemm_overlap": "full" if _overlapped(plan) else "disabled",
    }


def _numbers(plan: Plan) -> Options:
    rate = {} if plan.learning_rate is None else {"learning_rate": plan.learning_rate}
    scaling = "te_fp8_currentscaling" if _delayed(plan) else _QUANTISATION[plan.precision]
    return {
        "dtype": "float16" if plan.precision == "fp16" else "bfloat16",
        "quantization": scaling or ("te_no_quant" if _overlapped(plan) else ""),
        "opt_type": "adamw" if _block(plan) == "mixtral" else _OPTIMIZERS[plan.optimizer],
        **rate,
    }
