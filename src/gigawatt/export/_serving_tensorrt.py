"""TensorRT-LLM: the options of a launch, what they cannot say, and what the engine refuses to run."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import yaml

from gigawatt.errors import Problem
from gigawatt.export._serving_commands import (
    Command,
    EngineWriter,
    Options,
    Role,
    each_group,
    given,
    option_lines,
    refusal,
)
from gigawatt.export._serving_launch import ServingLaunch

TRT_DTYPE = MappingProxyType({"bf16": "bfloat16", "fp16": "float16"})
TRT_KV = MappingProxyType({"bf16": "auto", "fp8": "fp8", "nvfp4": "nvfp4"})
TRT_DRAFTS = MappingProxyType({"mtp": "MTP", "eagle3": "Eagle3", "ngram": "NGram", "draft_model": "Draft_Target"})


def tensorrt_configuration(launch: ServingLaunch, kind: str = "server") -> Options:
    """Return the YAML of one kind of instance. Sequences and tokens are counted per attention group, host memory per
    rank, and the memory share is that of what weights leave.
    """
    groups, drafting = launch.attention_data_parallel, launch.speculation
    cache: Options = {
        "enable_block_reuse": launch.prefix_cache,
        **given("free_gpu_memory_fraction", _free_share(launch)),
        **given("dtype", TRT_KV.get(launch.kv_precision)),
        **({"host_cache_size": launch.host_offload_bytes // launch.accelerators} if launch.host_offload_bytes else {}),
    }
    apart: Options = {
        "cache_transceiver_config": {"backend": "NIXL", **given("max_tokens_in_buffer", launch.max_context)}
    }
    return {
        "tensor_parallel_size": launch.ranks,
        "pipeline_parallel_size": launch.pipeline_parallel,
        "moe_expert_parallel_size": launch.expert_parallel,
        "enable_attention_dp": groups > 1,
        **given("dtype", TRT_DTYPE.get(launch.precision)),
        **given("max_batch_size", each_group(launch.max_sequences, groups)),
        **given("max_num_tokens", each_group(launch.token_budget, groups)),
        **given("max_seq_len", launch.max_context),
        "enable_chunked_prefill": launch.token_budget is not None,
        "kv_cache_config": cache,
        **({"speculative_config": _tensorrt_speculation(launch)} if drafting is not None else {}),
        **(apart if kind in ("prefill", "decode") else {}),
        # prefill instances and drafters outside of the model do not work with it
        **({"disable_overlap_scheduler": True} if kind == "prefill" or _drafts_outside(launch) else {}),
    }


def _tensorrt_speculation(launch: ServingLaunch) -> Options:
    drafting = launch.speculation
    assert drafting is not None
    draft = {"speculative_model": drafting.draft_model} if drafting.draft_model else {}
    return {"decoding_type": TRT_DRAFTS[drafting.method], "max_draft_len": drafting.draft_tokens, **draft}


def _drafts_outside(launch: ServingLaunch) -> bool:
    return launch.speculation is not None and launch.speculation.method in ("ngram", "draft_model")


def _free_share(launch: ServingLaunch) -> float | None:
    """Return the cache's share of what weights leave free."""
    if launch.memory_share is None or launch.weights_share is None:
        return None
    return round((launch.memory_share - launch.weights_share) / (1.0 - launch.weights_share), 4)


def _tensorrt_refused(launch: ServingLaunch, disaggregated: bool) -> list[Problem]:
    del disaggregated
    problems = []
    if launch.attention_data_parallel > 1 and launch.tensor_parallel > 1:
        message = "TensorRT-LLM's attention is tensor or data parallel, not both"
        problems.append(refusal(message, "tensor_parallel", launch.tensor_parallel, "1 with attention_data_parallel"))
    if launch.host_offload_bytes and not launch.prefix_cache:
        message = "TensorRT-LLM's host memory holds blocks for reuse"
        problems.append(refusal(message, "prefix_cache", False, "true with host_offload_bytes"))
    return problems


def _tensorrt_limits(launch: ServingLaunch) -> list[str]:
    found: list[str] = []
    if launch.precision not in ("checkpoint", *TRT_DTYPE):
        found.append(f"precision {launch.precision}: the checkpoint must hold it already")
    if launch.kv_precision == "bf16":
        found.append("kv_precision bf16: written as auto, which follows the checkpoint")
    if launch.memory_share is not None and launch.weights_share is None:
        found.append(
            f"memory_share {launch.memory_share}: counted of what weights leave; left at the engine's own without weights_share"
        )
    return found


def _tensorrt_commands(role: Role, roles: Mapping[str, Role]) -> list[Command]:
    del roles
    if role.kind == "router":
        words = ("trtllm-serve", "disaggregated")
        return [Command(role.name, role.host, {}, (words, ("--config_file", "disaggregated.yaml")))]
    launch = role.launch
    options = {"--host": role.listen, "--port": role.port, "--config": f"{role.kind}.yaml"}
    head: tuple[str, ...] = ("trtllm-serve", launch.model)
    if launch.servers > 1:  # one process per rank, all started by the cluster's own launcher
        ranks = (f"--ntasks={launch.accelerators}", f"--ntasks-per-node={launch.accelerators_per_server}")
        head = ("srun", f"--nodes={launch.servers}", *ranks, "--mpi=pmix", "trtllm-llmapi-launch", *head)
    return [Command(role.name, role.host, {}, (head, *option_lines(options)))]


def _tensorrt_configurations(roles: Mapping[str, Role]) -> dict[str, str]:
    kinds = {role.kind: role.launch for role in roles.values() if role.kind != "router"}
    found = {f"{kind}.yaml": _yaml(tensorrt_configuration(launch, kind)) for kind, launch in kinds.items()}
    if "prefill" not in kinds:
        return found
    router = roles["router"]

    def servers(kind: str) -> Options:
        urls = [f"{role.host}:{role.port}" for role in roles.values() if role.kind == kind]
        return {"num_instances": len(urls), "urls": urls}

    together = {
        "hostname": router.listen,
        "port": router.port,
        "backend": "pytorch",
        "context_servers": servers("prefill"),
        "generation_servers": servers("decode"),
    }
    return found | {"disaggregated.yaml": _yaml(together)}


def _yaml(tree: Options) -> str:
    return "# written by gigawatt\n" + yaml.safe_dump(tree, sort_keys=False)


def _tensorrt_deployment(instances: int, disaggregated: bool) -> list[Problem]:
    if instances == 1 or disaggregated:
        return []
    message = "TensorRT-LLM brings no router for instances that are alike"
    return [refusal(message, "instances", instances, "1, with a load balancer of your own in front; or prefill apart")]


TENSORRT_WRITER = EngineWriter(
    "1.4.0rc1", _tensorrt_refused, _tensorrt_deployment, _tensorrt_limits, _tensorrt_commands, _tensorrt_configurations
)
