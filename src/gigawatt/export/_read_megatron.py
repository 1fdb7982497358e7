"""Megatron-LM arguments to a strategy: the inverse of _megatron, and the older spellings of the same decisions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gigawatt.errors import InputError, Problem
from gigawatt.export._arguments import Arguments
from gigawatt.export._imported import Imported
from gigawatt.export._megatron import EXCHANGES, FORMATS
from gigawatt.export._plan import DEFAULTS
from gigawatt.export._read_megatron_model import SIZES, megatron_model
from gigawatt.export._shell import read_script

_COUNTS: Mapping[str, str] = MappingProxyType(
    {
        "tensor_parallel": "--tensor-model-parallel-size",
        "pipeline_parallel": "--pipeline-model-parallel-size",
        "context_parallel": "--context-parallel-size",
        "expert_parallel": "--expert-model-parallel-size",
        "micro_batch": "--micro-batch-size",
    }
)
_FLAGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sequence_parallel": ("--sequence-parallel",),
        "tensor_overlap": ("--tp-comm-overlap",),
        "offload_optimizer": ("--optimizer-cpu-offload",),
        "offload_activations": ("--fine-grained-activation-offloading",),
    }
)
_SHARDED = MappingProxyType({"no_shard": 0, "optim": 1, "optim_grads": 2, "optim_grads_params": 3})
_EXCHANGED = MappingProxyType({**{text: name for name, text in EXCHANGES.items()}, "allgather": "all_gather"})
_SCALED = MappingProxyType({"delayed": "fp8", "tensorwise": "fp8_current", "blockwise": "fp8_block", "mxfp8": "mxfp8"})
# Understood, and either implied by a strategy or of no bearing on it.
_IMPLIED = frozenset(
    {
        *(option for options in FORMATS.values() for option in options),
        "--overlap-grad-reduce",
        "--overlap-param-gather",
        "--no-gradient-accumulation-fusion",
        "--ckpt-format",
        "--max-position-embeddings",
        "--moe-token-dispatcher-type",
        "--moe-grouped-gemm",
        "--offload-modules",
        "--optimizer",
        "--optimizer-offload-fraction",
        "--use-precision-aware-optimizer",
        "--disable-bias-linear",
        "--microbatch-group-size-per-virtual-pipeline-stage",
        "--exp-avg-dtype",
        "--exp-avg-sq-dtype",
        "--lr",
        "--node_rank",
        "--node-rank",
        "--master_addr",
        "--master-addr",
        "--master_port",
        "--master-port",
    }
)
_DECIDING = frozenset(
    {
        *_COUNTS.values(),
        *(option for options in _FLAGS.values() for option in options),
        *SIZES,
        "--num-virtual-stages-per-pipeline-rank",
        "--num-layers-per-virtual-pipeline-stage",
        "--pipeline-model-parallel-layout",
        "--expert-tensor-parallel-size",
        "--cp-comm-type",
        "--recompute-activations",
        "--checkpoint-activations",  # of 2021, and of forks since; all layers
        "--recompute-granularity",
        "--recompute-method",
        "--recompute-num-layers",
        "--use-distributed-optimizer",
        "--use-megatron-fsdp",
        "--data-parallel-sharding-strategy",
        "--use-torch-fsdp2",
        "--torch-fsdp2-no-reshard-after-forward",
        "--num-distributed-optimizer-instances",
        "--cpu-offloading-num-layers",
        "--global-batch-size",
        "--seq-length",
        "--nnodes",
        "--nproc_per_node",
        "--nproc-per-node",
    }
)
# At least one of these makes a text the arguments of a training job.
_TELLING = _DECIDING - {*SIZES, "--seq-length", "--nnodes", "--nproc_per_node", "--nproc-per-node"}


def read_megatron(text: str, name: str) -> Imported:
    """Return the strategy of a text of Megatron-LM arguments.

    Raises InputError naming the line of the first value that cannot be used, and where no option says how to
    parallelise.
    """
    given = Arguments(read_script(text, name), name)
    if not _TELLING & set(given.script.options):
        raise InputError(
            Problem(
                message="no option of a parallel strategy stands here",
                location=name,
                allowed="Megatron-LM arguments such as --tensor-model-parallel-size 8",
            )
        )
    model = megatron_model(given)
    counts = {field: given.count(option, int(DEFAULTS[field])) for field, option in _COUNTS.items()}
    flags = {field: int(any(option in given for option in options)) for field, options in _FLAGS.items()}
    flags["offload_activations"] |= int(given.count("--cpu-offloading-num-layers", 0, least=0) > 0)
    world = _world(given)
    ranks = _ranks(given, counts, world)
    virtual = _virtual_stages(given, counts["pipeline_parallel"], model)
    strategy: dict[str, int | str] = {
        **DEFAULTS,
        **counts,
        **flags,
        "virtual_stages": virtual,
        "expert_tensor_parallel": given.count(
            "--expert-tensor-parallel-size", counts["tensor_parallel"] if model.get("experts") else 1
        ),
        "context_exchange": _exchange(given, counts["context_parallel"]),
        **_recompute(given, virtual),
        "zero_stage": _zero_stage(given),
    }
    return Imported(
        framework="megatron-lm",
        strategy=MappingProxyType(_with_ranks(given, strategy, ranks)),
        model=MappingProxyType(model),
        global_batch=_global_batch(given, counts["micro_batch"], ranks),
        sequence=given.count("--seq-length", 0) or None,
        precision=_precision(given),
        world_size=world,
        unread=tuple(sorted(set(given.script.options) - _IMPLIED - _DECIDING)),
    )


def _world(given: Arguments) -> int | None:
    """Return the accelerators that the launcher's options or the usual variables state."""
    variables = given.script.variables
    servers = _launched(given, ("--nnodes",), variables.get("NUM_NODES", variables.get("NNODES", "")))
    each = _launched(given, ("--nproc_per_node", "--nproc-per-node"), variables.get("GPUS_PER_NODE", ""))
    if servers and each:
        return servers * each
    stated = variables.get("WORLD_SIZE", "")
    return int(stated) if stated.isdigit() else None


def _launched(given: Arguments, options: tuple[str, ...], otherwise: str) -> int | None:
    text = next((given.text(option, "") for option in options if option in given), otherwise)
    return int(text) if text.isdigit() else None


def _ranks(given: Arguments, counts: Mapping[str, int], world: int | None) -> int | None:
    if world is None:
        return None
    model = counts["tensor_parallel"] * counts["pipeline_parallel"] * counts["context_parallel"]
    if world % model:
        option = next((option for option in _COUNTS.values() if option in given), "")
        raise InputError(
            Problem(
                message="tensor x pipeline x context parallel does not divide the accelerators",
                location=given.place(option) if option else given.name,
                found=f"{model} in {world}",
            )
        )
    return world // model


def _virtual_stages(given: Arguments, stages: int, model: Mapping[str, Any]) -> int:
    if "--pipeline-model-parallel-layout" in given:
        chunks = _layout_chunks(given.text("--pipeline-model-parallel-layout", ""))
        if chunks % stages:
            given.refuse("--pipeline-model-parallel-layout", f"a multiple of {stages} stages; this has {chunks}")
        return chunks // stages
    per_chunk = given.count("--num-layers-per-virtual-pipeline-stage", 0)
    if per_chunk and "layers" in model:
        return max(int(model["layers"]) // (stages * per_chunk), 1)
    return given.count("--num-virtual-stages-per-pipeline-rank", 1)


def _layout_chunks(layout: str) -> int:
    """Return the stages of a layout such as "Et|(tt|)*6L": bars count as often as their bracket repeats."""
    repeated = re.sub(r"\(([^()]*)\)\*(\d+)", lambda match: match[1] * int(match[2]), layout.replace(",", ""))
    return re.sub(r"\|\*(\d+)", lambda match: "|" * int(match[1]), repeated).count("|") + 1


def _exchange(given: Arguments, context: int) -> str:
    if "--cp-comm-type" not in given:
        return "ring" if context > 1 else "all_gather"
    return str(given.choice("--cp-comm-type", {**_EXCHANGED, "a2a+p2p": "ring"}, "p2p"))


def _recompute(given: Arguments, virtual: int) -> dict[str, int | str]:
    if "--recompute-granularity" not in given:
        kind = "selective" if "--recompute-activations" in given else "none"
        return {"recompute": "full" if "--checkpoint-activations" in given else kind, "recompute_layers": 0}
    kind = given.choice("--recompute-granularity", {"full": "full", "selective": "selective"}, "")
    block = kind == "full" and given.text("--recompute-method", "uniform") == "block"
    # Megatron-LM counts the block in each virtual stage, a strategy in all of them.
    layers = given.count("--recompute-num-layers", 0) * virtual if block else 0
    return {"recompute": kind, "recompute_layers": layers}


def _zero_stage(given: Arguments) -> int:
    if "--use-torch-fsdp2" in given:
        return 2 if "--torch-fsdp2-no-reshard-after-forward" in given else 3
    if "--use-megatron-fsdp" in given:
        return int(given.choice("--data-parallel-sharding-strategy", _SHARDED, "no_shard"))
    return int("--use-distributed-optimizer" in given or given.text("--optimizer", "adam") == "dist_muon")


def _with_ranks(given: Arguments, strategy: dict[str, int | str], ranks: int | None) -> dict[str, int | str]:
    """Return the strategy with what depends on the data-parallel degree, or without it where that is not known."""
    copies = given.count("--num-distributed-optimizer-instances", 1)
    if ranks is None:
        unknown = {"data_parallel"} | ({"shard_ranks"} if copies > 1 else set())
        return {name: value for name, value in strategy.items() if name not in unknown}
    if ranks % copies:
        given.refuse("--num-distributed-optimizer-instances", f"a divisor of the {ranks} data-parallel ranks")
    return {**strategy, "data_parallel": ranks, "shard_ranks": ranks // copies if copies > 1 else 0}


def _global_batch(given: Arguments, micro_batch: int, ranks: int | None) -> int | None:
    return given.count("--global-batch-size", micro_batch * ranks if ranks else 0) or None


def _precision(given: Arguments) -> str | None:
    if "--fp4-format" in given:
        return "nvfp4"
    if "--fp8-format" in given:
        return str(given.choice("--fp8-recipe", _SCALED, "delayed"))
    return next((text for text in ("bf16", "fp16") if f"--{text}" in given), None)
