"""Megatron-LM arguments, and Megatron-Bridge overrides made of the same decisions.

The fleet's overlap of data-parallel traffic with computing is what the step model assumes, so it is switched on.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import yaml

from gigawatt.export._plan import COMMON, Limit, Plan, launch, limits

# An option is a flag (True), a value, or several values.
Options = dict[str, Any]

FORMATS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "bf16": {"--bf16": True},
        "fp16": {"--fp16": True},
        "fp8": {"--bf16": True, "--fp8-format": "hybrid", "--fp8-recipe": "delayed"},
        "fp8_current": {"--bf16": True, "--fp8-format": "hybrid", "--fp8-recipe": "tensorwise"},
        "fp8_block": {"--bf16": True, "--fp8-format": "e4m3", "--fp8-recipe": "blockwise"},
        "mxfp8": {"--bf16": True, "--fp8-format": "e4m3", "--fp8-recipe": "mxfp8"},
        "nvfp4": {"--bf16": True, "--fp4-format": "e2m1", "--fp4-recipe": "nvfp4"},
        "fp4": {"--bf16": True, "--fp4-format": "e2m1", "--fp4-recipe": "nvfp4"},
        "int8": {"--bf16": True},
    }
)
EXCHANGES = MappingProxyType({"all_gather": "all_gather", "ring": "p2p", "ulysses": "a2a"})
SHARDING = MappingProxyType({2: "optim_grads", 3: "optim_grads_params"})
OFFLOADED = ("core_attn", "attn_proj", "mlp_norm")

# Megatron-Bridge: recipe of mixed precision, and where the decision of an argument lives.
MIXED_PRECISION = MappingProxyType(
    {
        "bf16": "bf16_mixed",
        "fp16": "fp16_mixed",
        "fp8": "bf16_with_fp8_delayed_scaling_mixed",
        "fp8_current": "bf16_with_fp8_current_scaling_mixed",
        "fp8_block": "bf16_with_fp8_subchannel_scaling_mixed",
        "mxfp8": "bf16_with_mxfp8_mixed",
        "nvfp4": "bf16_with_nvfp4_mixed",
        "fp4": "bf16_with_nvfp4_mixed",
        "int8": "bf16_mixed",
    }
)
BRIDGE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "--tensor-model-parallel-size": ("model.tensor_model_parallel_size",),
        "--pipeline-model-parallel-size": ("model.pipeline_model_parallel_size",),
        "--num-virtual-stages-per-pipeline-rank": ("model.virtual_pipeline_model_parallel_size",),
        "--pipeline-model-parallel-layout": ("model.pipeline_model_parallel_layout",),
        "--microbatch-group-size-per-virtual-pipeline-stage": ("model.microbatch_group_size_per_vp_stage",),
        "--context-parallel-size": ("model.context_parallel_size",),
        "--cp-comm-type": ("model.cp_comm_type",),
        "--expert-model-parallel-size": ("model.expert_model_parallel_size",),
        "--expert-tensor-parallel-size": ("model.expert_tensor_parallel_size",),
        "--sequence-parallel": ("model.sequence_parallel",),
        "--tp-comm-overlap": ("model.tp_comm_overlap",),
        "--recompute-granularity": ("model.recompute_granularity",),
        "--recompute-method": ("model.recompute_method",),
        "--recompute-num-layers": ("model.recompute_num_layers",),
        "--fine-grained-activation-offloading": ("model.fine_grained_activation_offloading",),
        "--offload-modules": ("model.offload_modules",),
        "--seq-length": ("model.seq_length", "dataset.seq_length"),
        "--num-layers": ("model.num_layers",),
        "--hidden-size": ("model.hidden_size",),
        "--ffn-hidden-size": ("model.ffn_hidden_size",),
        "--num-attention-heads": ("model.num_attention_heads",),
        "--num-query-groups": ("model.num_query_groups",),
        "--kv-channels": ("model.kv_channels",),
        "--num-experts": ("model.num_moe_experts",),
        "--moe-router-topk": ("model.moe_router_topk",),
        "--moe-ffn-hidden-size": ("model.moe_ffn_hidden_size",),
        "--moe-shared-expert-intermediate-size": ("model.moe_shared_expert_intermediate_size",),
        "--moe-token-dispatcher-type": ("model.moe_token_dispatcher_type",),
        "--moe-grouped-gemm": ("model.moe_grouped_gemm",),
        "--micro-batch-size": ("train.micro_batch_size",),
        "--global-batch-size": ("train.global_batch_size",),
        "--use-distributed-optimizer": ("ddp.use_distributed_optimizer", "optimizer.use_distributed_optimizer"),
        "--overlap-grad-reduce": ("ddp.overlap_grad_reduce",),
        "--overlap-param-gather": ("ddp.overlap_param_gather", "optimizer.overlap_param_gather"),
        "--use-megatron-fsdp": ("ddp.use_megatron_fsdp", "dist.use_megatron_fsdp"),
        "--data-parallel-sharding-strategy": ("ddp.data_parallel_sharding_strategy",),
        "--num-distributed-optimizer-instances": ("ddp.num_distributed_optimizer_instances",),
        "--ckpt-format": ("checkpoint.ckpt_format",),
        "--optimizer": ("optimizer.optimizer",),
        "--lr": ("optimizer.lr",),
        "--optimizer-cpu-offload": ("optimizer.optimizer_cpu_offload",),
        "--optimizer-offload-fraction": ("optimizer.optimizer_offload_fraction",),
        "--use-precision-aware-optimizer": ("optimizer.use_precision_aware_optimizer",),
    }
)
# What an override file must take back, in case the recipe under it has decided otherwise.
_TAKEN_BACK: Mapping[str, Any] = MappingProxyType(
    {
        "model.virtual_pipeline_model_parallel_size": None,
        "model.pipeline_model_parallel_layout": None,
        "model.microbatch_group_size_per_vp_stage": None,
        "model.expert_tensor_parallel_size": 1,
        "model.sequence_parallel": False,
        "model.tp_comm_overlap": False,
        "model.recompute_granularity": None,
        "model.recompute_method": None,
        "model.recompute_num_layers": None,
        "model.fine_grained_activation_offloading": False,
        "ddp.use_distributed_optimizer": False,
        "ddp.overlap_param_gather": False,
        "ddp.use_megatron_fsdp": False,
        "ddp.data_parallel_sharding_strategy": "no_shard",
        "ddp.num_distributed_optimizer_instances": 1,
        "dist.use_megatron_fsdp": False,
        "optimizer.use_distributed_optimizer": False,
        "optimizer.overlap_param_gather": False,
        "optimizer.optimizer_cpu_offload": False,
    }
)


def _aware(plan: Plan) -> bool:
    """Whether the optimizer can keep its state elsewhere or smaller: Adam under the distributed optimizer."""
    return plan.zero_stage > 0 and plan.optimizer != "muon"


def _short(plan: Plan) -> bool:
    """Whether a step has too few micro-batches for interleaving: fewer than the pipeline has stages."""
    return plan.virtual_stages > 1 and plan.micro_batches < plan.pipeline_parallel


def _fitted(plan: Plan) -> Plan:
    """Return the plan with what the framework refuses to run taken out; the limits below declare each."""
    return replace(
        plan,
        virtual_stages=1 if _short(plan) else plan.virtual_stages,
        precision="bf16" if plan.optimizer == "muon" and plan.precision == "fp16" else plan.precision,
    )


_LIMITS = (
    *COMMON,
    Limit("schedule", lambda plan: plan.schedule != "1f1b", "only 1F1B and interleaved 1F1B; written as 1F1B"),
    Limit("virtual_stages", _short, "interleaving needs a micro-batch for every stage; written as 1"),
    Limit(
        "recompute_layers",
        lambda plan: plan.recompute == "full" and plan.recompute_layers % _fitted(plan).virtual_stages > 0,
        "counted per virtual stage, the same in each; rounded up",
    ),
    Limit(
        "tensor_overlap",
        lambda plan: plan.tensor_overlap == 1 and not (plan.sequence_parallel and plan.tensor_parallel > 1),
        "needs tensor and sequence parallelism; left out",
    ),
    Limit(
        "zero_stage",
        lambda plan: plan.zero_stage > 1 and plan.optimizer == "muon",
        "Muon shards its own state only; written as zero_stage 1",
    ),
    Limit(
        "shard_ranks",
        lambda plan: plan.shard_ranks > 0 and plan.zero_stage > 0 and plan.optimizer == "muon",
        "Muon shards over the whole data-parallel group; left out",
    ),
    Limit(
        "offload_optimizer",
        lambda plan: plan.offload_optimizer == 1 and not _aware(plan),
        "needs Adam and the distributed optimizer (zero_stage 1 or more); left out",
    ),
    Limit(
        "offload_activations",
        lambda plan: plan.offload_activations == 1,
        f"offloads the inputs of named modules ({', '.join(OFFLOADED)}), not every activation",
    ),
    Limit("precision", lambda plan: plan.precision == "int8", "no int8 training; written as bf16"),
    Limit(
        "precision",
        lambda plan: plan.precision == "fp16" and plan.optimizer == "muon",
        "Muon takes no fp16; written as bf16",
    ),
)
_LM_LIMITS = (
    *_LIMITS,
    Limit(
        "optimizer",
        lambda plan: plan.optimizer == "adam8bit" and plan.zero_stage == 0,
        "8-bit state needs the distributed optimizer; written as Adam",
    ),
)
_BRIDGE_LIMITS = (
    *_LIMITS,
    Limit(
        "optimizer",
        lambda plan: plan.optimizer == "adam8bit",
        "data types of optimizer state are Python objects that YAML cannot state; written as Adam",
    ),
)


def unsupported_megatron(plan: Plan) -> tuple[str, ...]:
    """Return what Megatron-LM arguments cannot say."""
    return limits(plan, _LM_LIMITS)


def unsupported_bridge(plan: Plan) -> tuple[str, ...]:
    """Return what Megatron-Bridge overrides cannot say."""
    return limits(plan, _BRIDGE_LIMITS)


def megatron_file(plan: Plan) -> str:
    """Return a shell fragment that sets MEGATRON_ARGS."""
    servers, each = launch(plan)
    return "\n".join(
        [
            f"# Megatron-LM arguments for {plan.model.name} on {plan.world} accelerators, written by gigawatt.",
            "# Add what a strategy does not decide: data, tokenizer, normalisation, position embedding, schedule.",
            *(f"# not expressed: {text}" for text in unsupported_megatron(plan)),
            f"NUM_NODES={servers}",
            f"GPUS_PER_NODE={each}",
            *(f"export {name}={value}" for name, value in environment(plan).items()),
            "MEGATRON_ARGS=(",
            *(f"    {_argument(option, value)}" for option, value in megatron_options(plan).items()),
            ")",
            '# torchrun --nnodes "$NUM_NODES" --nproc_per_node "$GPUS_PER_NODE" pretrain_gpt.py "${MEGATRON_ARGS[@]}"',
            "",
        ]
    )


def environment(plan: Plan) -> dict[str, str]:
    """Return the environment variables without which the framework refuses the arguments.

    Exchanges between layers need one connection before Blackwell, and FSDP more than one; Transformer Engine from 2.10
    on offloads activations without the weights only when told.
    """
    inside = plan.tensor_parallel > 1 or plan.context_parallel > 1
    fully = plan.zero_stage > 1 and plan.optimizer != "muon"
    return {
        **({"CUDA_DEVICE_MAX_CONNECTIONS": "8" if fully else "1"} if inside or fully else {}),
        **({"NVTE_CPU_OFFLOAD_V1": "1"} if plan.offload_activations else {}),
    }


def bridge_file(plan: Plan) -> str:
    """Return YAML to merge over the ConfigContainer of a recipe for the same model."""
    tree: dict[str, dict[str, Any] | Any] = {}
    for path, value in bridge_values(plan).items():
        *sections, name = path.split(".")
        place = tree
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    servers, each = launch(plan)
    head = [
        f"# Megatron-Bridge overrides for {plan.model.name} on {servers} x {each} accelerators, written by gigawatt.",
        "# Merge over a recipe of this model; what a strategy does not decide stays as the recipe has it.",
        *(f"# in the environment: {name}={value}" for name, value in environment(plan).items()),
        *(f"# not expressed: {text}" for text in unsupported_bridge(plan)),
    ]
    return "\n".join(head) + "\n" + yaml.safe_dump(tree, sort_keys=False)


def bridge_values(plan: Plan) -> dict[str, Any]:
    """Return the overrides by dotted path."""
    plan = _fitted(plan)
    options = megatron_options(plan)
    stated = {path: options[option] for option, paths in BRIDGE.items() if option in options for path in paths}
    pattern = _moe_pattern(plan)
    return {
        **_TAKEN_BACK,
        **stated,
        **({"model.moe_layer_freq": pattern} if 0 in pattern and 1 in pattern else {}),
        **({"model.gradient_accumulation_fusion": False} if "--no-gradient-accumulation-fusion" in options else {}),
        # Megatron-LM switches it off without tensor parallelism; the configuration object refuses it.
        "model.sequence_parallel": bool(plan.sequence_parallel and plan.tensor_parallel > 1),
        "mixed_precision": MIXED_PRECISION[plan.precision],
    }


def megatron_options(plan: Plan) -> Options:
    """Return every argument with its value (True for a flag), in the order of the file."""
    makers: tuple[Callable[[Plan], Options], ...] = (
        _model,
        _experts,
        _latent_attention,
        _degrees,
        _pipeline,
        _recompute,
        _sharding,
        _optimizer,
        _offload,
    )
    plan = _fitted(plan)
    options: Options = {}
    for maker in makers:
        options.update(maker(plan))
    options.update(FORMATS[plan.precision])
    return options


def _argument(option: str, value: object) -> str:
    if value is True:
        return option
    values = value if isinstance(value, list | tuple) else (value,)
    return " ".join([option, *(shlex.quote(str(item)) for item in values)])


def _model(plan: Plan) -> Options:
    model, first = plan.model, plan.model.layers[0].attention
    dense = next((layer.feed_forward for layer in model.layers if layer.feed_forward), None)
    expert = model.experts
    gated = dense.gated if dense else bool(expert and expert.gated)
    width = dense.width if dense else expert.width if expert else 0
    grouped = first.kv_heads != first.heads and not first.kv_lora_rank
    return {
        "--num-layers": len(model.layers),
        "--hidden-size": model.hidden,
        "--ffn-hidden-size": width,
        "--num-attention-heads": first.heads,
        **({"--group-query-attention": True, "--num-query-groups": first.kv_heads} if grouped else {}),
        **({} if first.kv_lora_rank else {"--kv-channels": first.head_dim}),
        **({"--swiglu": True} if gated else {}),
        **({"--disable-bias-linear": True} if gated or expert else {}),
        **({} if model.tied_embeddings else {"--untie-embeddings-and-output-weights": True}),
        **({"--vocab-size": model.vocab} if model.vocab else {}),
        "--seq-length": plan.sequence,
        "--max-position-embeddings": max(plan.sequence, model.max_context or 0),
    }


def _experts(plan: Plan) -> Options:
    expert = plan.model.experts
    if expert is None:
        return {}
    pattern = _moe_pattern(plan)
    return {
        "--num-experts": expert.experts,
        "--moe-router-topk": expert.active,
        "--moe-ffn-hidden-size": expert.width,
        **({"--moe-shared-expert-intermediate-size": expert.shared_width} if expert.shared_width else {}),
        **({"--moe-layer-freq": json.dumps(pattern, separators=(",", ":"))} if 0 in pattern else {}),
        "--moe-token-dispatcher-type": "alltoall",
        **({} if plan.precision == "fp16" else {"--moe-grouped-gemm": True}),
    }


def _moe_pattern(plan: Plan) -> list[int]:
    return [int(layer.experts is not None) for layer in plan.model.layers]


def _latent_attention(plan: Plan) -> Options:
    attention = plan.model.layers[0].attention
    if not attention.kv_lora_rank:
        return {}
    return {
        "--multi-latent-attention": True,
        **({"--q-lora-rank": attention.q_lora_rank} if attention.q_lora_rank else {}),
        "--kv-lora-rank": attention.kv_lora_rank,
        "--qk-head-dim": attention.qk_nope_head_dim,
        "--qk-pos-emb-head-dim": attention.qk_rope_head_dim,
        "--v-head-dim": attention.v_head_dim,
    }


def _degrees(plan: Plan) -> Options:
    # The framework's own default of the expert-tensor degree is the tensor degree, so experts state it.
    experts = plan.model.experts is not None or plan.expert_tensor_parallel > 1
    exchange = plan.context_parallel > 1 or plan.context_exchange != "all_gather"
    overlap = plan.tensor_overlap and plan.sequence_parallel and plan.tensor_parallel > 1
    return {
        "--tensor-model-parallel-size": plan.tensor_parallel,
        **({"--sequence-parallel": True} if plan.sequence_parallel else {}),
        **({"--tp-comm-overlap": True} if overlap else {}),
        "--context-parallel-size": plan.context_parallel,
        **({"--cp-comm-type": EXCHANGES[plan.context_exchange]} if exchange else {}),
        "--expert-model-parallel-size": plan.expert_parallel,
        **({"--expert-tensor-parallel-size": plan.expert_tensor_parallel} if experts else {}),
        "--micro-batch-size": plan.micro_batch,
        "--global-batch-size": plan.global_batch,
    }


def _pipeline(plan: Plan) -> Options:
    stages: Options = {"--pipeline-model-parallel-size": plan.pipeline_parallel, **_round(plan)}
    if len(plan.model.layers) % plan.chunks:
        return {**stages, "--pipeline-model-parallel-layout": _layout(plan)}
    virtual = {"--num-virtual-stages-per-pipeline-rank": plan.virtual_stages} if plan.virtual_stages > 1 else {}
    return {**stages, **virtual}


def _round(plan: Plan) -> Options:
    """Return the micro-batches that a virtual stage takes in a row, where the usual one per stage leaves a rest that
    interleaving refuses: more than none and fewer than the stages.
    """
    stages, batches = plan.pipeline_parallel, plan.micro_batches
    if plan.virtual_stages == 1 or batches % stages == 0:
        return {}
    size = next(size for size in range(stages, batches + 1) if not 0 < batches % size < stages)
    return {"--microbatch-group-size-per-virtual-pipeline-stage": size}


def _layout(plan: Plan) -> str:
    """Return the stages as the layout argument spells them: E embedding, t a layer, L the loss, | between."""
    stages = ["t" * size for size in plan.chunk_sizes()]
    return "|".join(["E" + stages[0], *stages[1:]]) + "L"


def _recompute(plan: Plan) -> Options:
    if plan.recompute == "none":
        return {}
    granularity: Options = {"--recompute-granularity": plan.recompute}
    if plan.recompute == "selective":
        return granularity
    # A block is counted in each virtual stage, a strategy counts the layers of all of them.
    block = -(-plan.recompute_layers // plan.virtual_stages)
    method, layers = ("block", block) if block else ("uniform", 1)
    return {**granularity, "--recompute-method": method, "--recompute-num-layers": layers}


def _sharding(plan: Plan) -> Options:
    if plan.zero_stage == 0 or plan.optimizer == "muon":
        return {"--overlap-grad-reduce": True}
    copies = plan.data_parallel // plan.shard_group
    fully: Options = {
        "--use-megatron-fsdp": True,
        "--data-parallel-sharding-strategy": SHARDING.get(plan.zero_stage, "optim"),
        "--no-gradient-accumulation-fusion": True,
        "--ckpt-format": "fsdp_dtensor",
    }
    return {
        "--use-distributed-optimizer": True,
        "--overlap-grad-reduce": True,
        "--overlap-param-gather": True,
        **({"--num-distributed-optimizer-instances": copies} if copies > 1 else {}),
        **(fully if plan.zero_stage > 1 else {}),
    }


def _optimizer(plan: Plan) -> Options:
    muon = "dist_muon" if plan.zero_stage else "muon"
    rate = {} if plan.learning_rate is None else {"--lr": plan.learning_rate}
    if plan.optimizer == "muon":
        return {"--optimizer": muon, "--ckpt-format": "torch", **rate}
    small = plan.optimizer == "adam8bit" and _aware(plan)
    return {
        "--optimizer": "adam",
        **rate,
        **({"--use-precision-aware-optimizer": True} if small else {}),
        **({"--exp-avg-dtype": "fp8", "--exp-avg-sq-dtype": "fp8"} if small else {}),
    }


def _offload(plan: Plan) -> Options:
    optimizer: Options = {
        "--use-precision-aware-optimizer": True,
        "--optimizer-cpu-offload": True,
        "--optimizer-offload-fraction": 1.0,
    }
    activations: Options = {"--fine-grained-activation-offloading": True, "--offload-modules": list(OFFLOADED)}
    return {
        **(optimizer if plan.offload_optimizer and _aware(plan) else {}),
        **(activations if plan.offload_activations else {}),
    }
