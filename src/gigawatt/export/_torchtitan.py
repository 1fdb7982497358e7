"""torchtitan job files (TOML, the format up to version 0.2.2; _torchtitan_config writes the Python of later ones).

torchtitan defines models in code by name and flavor; data/torchtitan_flavors.csv lists those that are recognised.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import gcd
from types import MappingProxyType
from typing import Any

from gigawatt.export._options import packaged_rows
from gigawatt.export._plan import COMMON, Limit, Plan, launch, limits

Options = dict[str, Any]

ROTATIONS = MappingProxyType({"all_gather": "allgather", "ring": "alltoall", "ulysses": "allgather"})
RESHARD = MappingProxyType({0: "default", 1: "never", 2: "never", 3: "always"})
# The zero-bubble schedules cut each rank in two by themselves.
INTERLEAVED = "Interleaved1F1B"
SCHEDULES = MappingProxyType({"1f1b": "1F1B", "zero_bubble": "ZBVZeroBubble", "dualpipe": "DualPipeV"})
FLOAT8: Options = {
    "model.converters": ["quantize.linear.float8"],
    "quantize.linear.float8.recipe_name": "tensorwise",
    "quantize.linear.float8.enable_fsdp_float8_all_gather": True,
}
MX: Options = {
    "model.converters": ["quantize.linear.mx"],
    "quantize.linear.mx.recipe_name": "mxfp8_cublas",
}
_QUANTISED: Mapping[str, Options] = MappingProxyType({"fp8": FLOAT8, "fp8_current": FLOAT8, "mxfp8": MX})


def _plain_replicas(plan: Plan) -> bool:
    """Whether replicas would be combined with another parallelism, which only FSDP can be."""
    others = plan.tensor_parallel * plan.pipeline_parallel * plan.context_parallel * plan.expert_parallel
    return plan.zero_stage == 0 and plan.data_parallel > 1 and others > 1


def spread(plan: Plan, cut: int = 1) -> int:
    """Return the expert degree: what divides the ranks that shard together and share a layer, where `cut` of them hold
    one expert.
    """
    return gcd(plan.expert_parallel, _shards(plan) * plan.context_parallel * plan.tensor_parallel // cut)


def _cut(plan: Plan) -> int:
    """Return the ranks that hold one expert: one, or the tensor degree."""
    return plan.expert_tensor_parallel if plan.expert_tensor_parallel == plan.tensor_parallel else 1


def _rounds(plan: Plan) -> int:
    """Return micro-batches of one rank and step: interleaving takes as many in each of its rounds."""
    batches, rounds = plan.micro_batches, max(plan.micro_batches // plan.pipeline_parallel, 1)
    return batches - batches % rounds if plan.virtual_stages > 1 else batches


def _short(plan: Plan) -> bool:
    """Whether DualPipeV lacks micro-batches: it needs one for each of the two stages of a rank."""
    return (
        plan.schedule == "dualpipe" and plan.pipeline_parallel > 1 and plan.micro_batches < 2 * plan.pipeline_parallel
    )


HELD = "experts spread over the ranks that shard together; written as the part that those hold"
# What no version can say.
SHARED = (
    Limit(
        "zero_stage",
        lambda plan: plan.zero_stage == 1 and plan.pipeline_parallel == 1,
        "without a pipeline the gradients of every micro-batch are sharded as well; written as zero_stage 2",
    ),
    Limit(
        "zero_stage",
        lambda plan: plan.zero_stage == 2 and plan.pipeline_parallel > 1,
        "a pipeline keeps whole gradients until its last micro-batch; written as zero_stage 1",
    ),
    Limit(
        "zero_stage",
        lambda plan: plan.zero_stage == 3 and plan.pipeline_parallel > 1,
        "a pipeline keeps whole gradients until its last micro-batch, which needs more memory than planned",
    ),
    Limit("zero_stage", _plain_replicas, "replicas cannot be combined with other degrees; written as sharded ones"),
    Limit(
        "zero_stage",
        lambda plan: plan.zero_stage > 0 and plan.shard_group == 1 and plan.data_parallel > 1,
        "a shard group of one rank shards nothing",
    ),
    Limit(
        "shard_ranks",
        lambda plan: plan.shard_ranks == 1 and plan.data_parallel > 1,
        "a shard group of one rank shards nothing",
    ),
    Limit("recompute_layers", lambda plan: plan.recompute_layers > 0, "full recompute covers all layers"),
    Limit(
        "global_batch",
        lambda plan: _rounds(plan) != plan.micro_batches,
        "interleaving takes as many micro-batches in each round; written as the largest such number",
    ),
    Limit(
        "schedule",
        lambda plan: plan.schedule != "1f1b" and plan.pipeline_parallel == 1,
        "there is no pipeline; written as 1F1B",
    ),
    Limit("schedule", _short, "DualPipeV needs two micro-batches for each stage; written as ZBVZeroBubble"),
    Limit(
        "offload_optimizer",
        lambda plan: plan.offload_optimizer == 1,
        "training.enable_cpu_offload moves parameters and gradients as well, and needs FSDP",
    ),
    Limit("offload_activations", lambda plan: plan.offload_activations == 1, "no such option; left out"),
)
_LIMITS = (
    *COMMON,
    *SHARED,
    Limit("model", lambda plan: not flavor_of(plan), "no flavor of these sizes; set model.name and model.flavor"),
    Limit("sequence_parallel", lambda plan: plan.sequence_parallel == 0, "always on under tensor parallelism"),
    Limit("context_exchange", lambda plan: plan.context_exchange == "ulysses", "written as all_gather"),
    Limit("expert_parallel", lambda plan: spread(plan, _cut(plan)) != plan.expert_parallel, HELD),
    Limit(
        "expert_tensor_parallel",
        lambda plan: plan.expert_tensor_parallel not in (1, plan.tensor_parallel),
        "is 1 or the tensor degree; written as 1",
    ),
    Limit(
        "precision",
        lambda plan: plan.precision not in ("bf16", "fp8_current", "mxfp8"),
        "bfloat16, float8 with current scaling and MXFP8 only; fp8 is written as current scaling, others as bfloat16",
    ),
    Limit("optimizer", lambda plan: plan.optimizer != "adam", "Adam and AdamW only; written as AdamW"),
)


def unsupported_torchtitan(plan: Plan) -> tuple[str, ...]:
    """Return what a torchtitan job file cannot say."""
    return limits(plan, _LIMITS)


def torchtitan_file(plan: Plan) -> str:
    """Return the TOML job file."""
    servers, each = launch(plan)
    lines = [
        f"# torchtitan job for {plan.model.name} on {servers} x {each} accelerators, written by gigawatt.",
        *(f"# not expressed: {text}" for text in unsupported_torchtitan(plan)),
    ]
    section = ""
    for path, value in torchtitan_options(plan).items():
        here, name = path.rsplit(".", 1)
        if here != section:
            section = here
            lines += ["", f"[{section}]"]
        # JSON and TOML spell these strings, numbers, booleans and lists alike.
        lines.append(f"{name} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"


def torchtitan_options(plan: Plan) -> Options:
    """Return every option by dotted path, grouped by section."""
    quantised = dict(_QUANTISED.get(plan.precision, {}))
    converters = {path: quantised.pop(path) for path in ("model.converters",) if path in quantised}
    compiled = bool(quantised) or plan.tensor_overlap == 1
    rate = {} if plan.learning_rate is None else {"optimizer.lr": plan.learning_rate}
    return {
        **_model(plan),
        **converters,
        "optimizer.name": "AdamW",
        **rate,
        **training(plan),
        **data_parallel(plan),
        **_parallelism(plan),
        "activation_checkpoint.mode": plan.recompute,
        **({"activation_checkpoint.selective_ac_option": "op"} if plan.recompute == "selective" else {}),
        "compile.enable": compiled,
        **quantised,
    }


def flavor_of(plan: Plan) -> tuple[str, str] | None:
    """Return name and flavor of the model where torchtitan has one of these sizes."""
    model, expert = plan.model, plan.model.experts
    wanted = (len(model.layers), model.hidden, model.heads, expert.experts if expert else 0)
    for row in packaged_rows("torchtitan_flavors.csv"):
        if wanted == tuple(int(row[column] or 0) for column in ("layers", "hidden", "heads", "experts")):
            return row["name"], row["flavor"]
    return None


def _model(plan: Plan) -> Options:
    known = flavor_of(plan)
    return {"model.name": known[0], "model.flavor": known[1]} if known else {}


def training(plan: Plan) -> Options:
    """Return the options of the section training."""
    # A pipeline takes all micro-batches of a step in one pass; without one they are accumulated.
    local = plan.micro_batch * (_rounds(plan) if plan.pipeline_parallel > 1 else 1)
    return {
        "training.local_batch_size": local,
        "training.global_batch_size": plan.micro_batch * _rounds(plan) * plan.data_parallel,
        "training.seq_len": plan.sequence,
        "training.mixed_precision_param": "bfloat16",
        "training.enable_cpu_offload": plan.offload_optimizer == 1,
    }


def _shards(plan: Plan) -> int:
    """Return the ranks that shard together: all where plain replicas cannot be written."""
    return plan.data_parallel if _plain_replicas(plan) else plan.shard_group


def data_parallel(plan: Plan) -> Options:
    """Return replicas, shards and when gathered parameters are dropped."""
    shards = _shards(plan)
    return {
        "parallelism.data_parallel_replicate_degree": plan.data_parallel // shards,
        "parallelism.data_parallel_shard_degree": shards,
        "parallelism.fsdp_reshard_after_forward": RESHARD[2 if _plain_replicas(plan) else plan.zero_stage],
    }


def _parallelism(plan: Plan) -> Options:
    return {
        "parallelism.tensor_parallel_degree": plan.tensor_parallel,
        "parallelism.enable_async_tensor_parallel": plan.tensor_overlap == 1,
        **pipeline(plan),
        **_overlap(plan),
        "parallelism.context_parallel_degree": plan.context_parallel,
        "parallelism.context_parallel_rotate_method": ROTATIONS[plan.context_exchange],
        "parallelism.expert_parallel_degree": spread(plan, _cut(plan)),
        "parallelism.expert_tensor_parallel_degree": _cut(plan),
    }


def _overlap(plan: Plan) -> Options:
    """Return that DualPipeV must not overlap the exchange of experts where activations are recomputed."""
    used = plan.pipeline_parallel > 1 and plan.schedule == "dualpipe" and not _short(plan)
    if not used or plan.recompute == "none":
        return {}
    return {"parallelism.pipeline_parallel_expert_parallel_overlap": False}


def pipeline(plan: Plan, head: str = "output") -> Options:
    """Return degree, schedule and parts of the pipeline; `head` names the module that maps to the vocabulary."""
    degree: Options = {"parallelism.pipeline_parallel_degree": plan.pipeline_parallel}
    if plan.pipeline_parallel == 1:
        return degree
    schedule = "zero_bubble" if _short(plan) else plan.schedule
    return {
        **degree,
        "parallelism.pipeline_parallel_schedule": INTERLEAVED if plan.virtual_stages > 1 else SCHEDULES[schedule],
        "parallelism.pipeline_parallel_microbatch_size": plan.micro_batch,
        **({"parallelism.module_fqns_per_model_part": _parts(plan, head)} if plan.schedule == "1f1b" else {}),
    }


def _parts(plan: Plan, head: str) -> list[list[str]]:
    """Return the module names of each pipeline chunk."""
    parts: list[list[str]] = []
    start = 0
    for size in plan.chunk_sizes():
        parts.append([f"layers.{index}" for index in range(start, start + size)])
        start += size
    parts[0].insert(0, "tok_embeddings")
    parts[-1] += ["norm", head]
    return parts
