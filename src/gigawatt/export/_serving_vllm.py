"""vLLM: the options of a launch, what they cannot say, and what the engine refuses to run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gigawatt.errors import Problem
from gigawatt.export._serving_commands import (
    RENDEZVOUS_PORT,
    Command,
    EngineWriter,
    Options,
    Role,
    any_deployment,
    each_group,
    given,
    no_files,
    number,
    option_lines,
    pair,
    refusal,
    router_command,
)
from gigawatt.export._serving_launch import ServingLaunch

GIB = 2.0**30
# Where instances listen for each other by default; on one host they count up from there.
NIXL_PORT = 5600

VLLM_PRECISION: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "bf16": ("--dtype", "bfloat16"),
        "fp16": ("--dtype", "float16"),
        "fp8": ("--quantization", "fp8"),
        "fp8_block": ("--quantization", "fp8_per_block"),
        "mxfp8": ("--quantization", "mxfp8"),
        "nvfp4": ("--quantization", "modelopt_fp4"),
    }
)
VLLM_KV = MappingProxyType({"bf16": "bfloat16", "fp8": "fp8", "nvfp4": "nvfp4"})


def vllm_options(launch: ServingLaunch) -> Options:
    """Return the options of `vllm serve`. Sequences, tokens and host memory are counted per attention group."""
    groups = launch.attention_data_parallel
    return {
        "--tensor-parallel-size": launch.tensor_parallel,
        **({"--pipeline-parallel-size": launch.pipeline_parallel} if launch.pipeline_parallel > 1 else {}),
        **({"--data-parallel-size": groups} if groups > 1 else {}),
        **({"--enable-expert-parallel": True} if launch.expert_parallel > 1 else {}),
        **pair(VLLM_PRECISION.get(launch.precision)),
        **given("--kv-cache-dtype", VLLM_KV.get(launch.kv_precision)),
        **given("--max-num-seqs", each_group(launch.max_sequences, groups)),
        **given("--max-num-batched-tokens", each_group(launch.token_budget, groups)),
        **given("--max-model-len", launch.max_context),
        ("--enable-prefix-caching" if launch.prefix_cache else "--no-enable-prefix-caching"): True,
        **given("--gpu-memory-utilization", launch.memory_share),
        **given("--speculative-config", _vllm_speculation(launch)),
        **(
            {"--kv-offloading-size": number(launch.host_offload_bytes / groups / GIB)}
            if launch.host_offload_bytes
            else {}
        ),
    }


def _vllm_speculation(launch: ServingLaunch) -> str | None:
    drafting = launch.speculation
    if drafting is None:
        return None
    config: dict[str, Any] = {"method": drafting.method, "num_speculative_tokens": drafting.draft_tokens}
    return json.dumps(config | ({"model": drafting.draft_model} if drafting.draft_model else {}))


def _vllm_refused(launch: ServingLaunch, disaggregated: bool) -> list[Problem]:
    problems = []
    if launch.precision == "int8":
        allowed = "checkpoint (a checkpoint quantized to int8), " + ", ".join(VLLM_PRECISION)
        problems.append(refusal("vLLM does not quantize to 8-bit integers while loading", "precision", "int8", allowed))
    if launch.expert_parallel not in (1, launch.ranks):
        found, allowed = launch.expert_parallel, f"1 or {launch.ranks}, all ranks of a stage"
        problems.append(refusal("vLLM spreads experts over all ranks or none", "expert_parallel", found, allowed))
    if disaggregated and launch.host_offload_bytes:
        message = "vLLM has one cache connector at a time: hand-over or host memory"
        problems.append(refusal(message, "host_offload_bytes", launch.host_offload_bytes, "0 with prefill apart"))
    if (
        launch.attention_data_parallel > 1
        and launch.tensor_parallel * launch.pipeline_parallel > launch.accelerators_per_server
    ):
        message = "an attention group across servers"
        allowed = f"tensor x pipeline of at most {launch.accelerators_per_server} with attention_data_parallel"
        problems.append(refusal(message, "tensor_parallel", launch.tensor_parallel, allowed))
    elif launch.attention_data_parallel % launch.servers:
        found, allowed = launch.attention_data_parallel, f"a multiple of the {launch.servers} servers"
        if launch.attention_data_parallel > 1:
            problems.append(refusal("attention groups fill servers evenly", "attention_data_parallel", found, allowed))
    return problems


def _vllm_commands(role: Role, roles: Mapping[str, Role]) -> list[Command]:
    if role.kind == "router":
        return [router_command(role, roles, ("vllm-router",), "--vllm-pd-disaggregation", bootstrap=False)]
    launch = role.launch
    options = {**vllm_options(launch), "--host": role.listen, "--port": role.port}
    environment: dict[str, str] = {}
    if role.kind in ("prefill", "decode"):
        options["--kv-transfer-config"] = json.dumps({"kv_connector": "NixlConnector", "kv_role": "kv_both"})
        environment = {
            "VLLM_NIXL_SIDE_CHANNEL_HOST": role.host,
            "VLLM_NIXL_SIDE_CHANNEL_PORT": str(NIXL_PORT + 100 * role.place),
        }
    head = ("vllm", "serve", launch.model)
    return [
        Command(name, host, environment, (head, *option_lines({**options, **extra})))
        for name, host, extra in _vllm_nodes(role)
    ]


def _vllm_nodes(role: Role) -> list[tuple[str, str, Options]]:
    """Return (name, host, options) of every server of an instance: attention groups are counted out to servers, ranks
    of one group join by address.
    """
    launch, found = role.launch, []
    if launch.servers == 1:
        return [(role.name, role.host, {})]
    per_server = launch.attention_data_parallel // launch.servers
    for node in range(launch.servers):
        name = role.name if node == 0 else f"{role.name}-node-{node}"
        rank = {"--headless": True} if node else {}
        if launch.attention_data_parallel > 1:
            shared = {"--data-parallel-address": role.host, "--data-parallel-rpc-port": RENDEZVOUS_PORT + role.place}
            first = {"--data-parallel-start-rank": node * per_server} if node else {}
            found.append(
                (name, "" if node else role.host, {"--data-parallel-size-local": per_server, **shared, **first, **rank})
            )
        else:
            shared = {"--nnodes": launch.servers, "--node-rank": node, "--master-addr": role.host}
            found.append(
                (name, "" if node else role.host, {**shared, "--master-port": RENDEZVOUS_PORT + role.place, **rank})
            )
    return [(name, host or f"server {index} of {role.name}", extra) for index, (name, host, extra) in enumerate(found)]


def _vllm_limits(launch: ServingLaunch) -> list[str]:
    found: list[str] = []
    if launch.precision == "nvfp4":
        found.append("precision nvfp4: the checkpoint must hold it already")
    return found


VLLM_WRITER = EngineWriter("0.33.0", _vllm_refused, any_deployment, _vllm_limits, _vllm_commands, no_files)
