"""SGLang: the options of a launch, what they cannot say, and what the engine refuses to run."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gigawatt.errors import Problem
from gigawatt.export._serving_commands import (
    BOOTSTRAP_PORT,
    RENDEZVOUS_PORT,
    Command,
    EngineWriter,
    Options,
    Role,
    any_deployment,
    given,
    no_files,
    option_lines,
    pair,
    refusal,
    router_command,
)
from gigawatt.export._serving_launch import ServingLaunch

GB = 1e9

SGLANG_PRECISION: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "bf16": ("--dtype", "bfloat16"),
        "fp16": ("--dtype", "float16"),
        "fp8": ("--quantization", "fp8"),
        "mxfp8": ("--quantization", "mxfp8"),
        "nvfp4": ("--quantization", "modelopt_fp4"),
        "int8": ("--quantization", "w8a8_int8"),
    }
)
SGLANG_KV = MappingProxyType({"bf16": "bf16", "fp8": "fp8_e4m3", "nvfp4": "nvfp4"})
SGLANG_DRAFTS = MappingProxyType({"mtp": "NEXTN", "eagle3": "EAGLE3", "ngram": "NGRAM", "draft_model": "STANDALONE"})


def sglang_options(launch: ServingLaunch) -> Options:
    """Return the options of `sglang.launch_server`. Its tensor degree counts the ranks of all attention groups, its
    sequences and chunk those of the whole instance, its host memory one rank's in GB.
    """
    offload = launch.host_offload_bytes / launch.accelerators / GB
    return {
        "--tp-size": launch.ranks,
        **({"--pp-size": launch.pipeline_parallel} if launch.pipeline_parallel > 1 else {}),
        **({"--attn-dp-size": launch.attention_data_parallel} if launch.attention_data_parallel > 1 else {}),
        **({"--ep-size": launch.expert_parallel} if launch.expert_parallel > 1 else {}),
        **pair(SGLANG_PRECISION.get(launch.precision)),
        **given("--kv-cache-dtype", SGLANG_KV.get(launch.kv_precision)),
        **given("--max-running-requests", launch.max_sequences),
        **given("--chunked-prefill-size", launch.token_budget),
        **given("--context-length", launch.max_context),
        **({} if launch.prefix_cache else {"--disable-radix-cache": True}),
        **given("--mem-fraction-static", launch.memory_share),
        **_sglang_speculation(launch),
        **({"--enable-hierarchical-cache": True, "--hicache-size": int(offload)} if offload >= 1 else {}),
    }


def _sglang_speculation(launch: ServingLaunch) -> Options:
    drafting = launch.speculation
    if drafting is None:
        return {}
    options: Options = {"--speculative-algorithm": SGLANG_DRAFTS[drafting.method]}
    if drafting.method == "ngram":
        return options | {"--speculative-num-draft-tokens": drafting.draft_tokens}
    if drafting.draft_model:
        options["--speculative-draft-model-path"] = drafting.draft_model
    # a chain, not a tree: one token a step, and the verified token beside them
    return options | {
        "--speculative-num-steps": drafting.draft_tokens,
        "--speculative-eagle-topk": 1,
        "--speculative-num-draft-tokens": drafting.draft_tokens + 1,
    }


def _sglang_refused(launch: ServingLaunch, disaggregated: bool) -> list[Problem]:
    del disaggregated
    problems = []
    if launch.host_offload_bytes and not launch.prefix_cache:
        message = "SGLang's host memory is a tier of the prefix cache"
        problems.append(refusal(message, "prefix_cache", False, "true with host_offload_bytes"))
    if 0 < launch.host_offload_bytes < GB * launch.accelerators:
        message, allowed = "SGLang counts host memory in whole GB per rank", f"{launch.accelerators} GB or more"
        problems.append(refusal(message, "host_offload_bytes", launch.host_offload_bytes, allowed))
    if launch.precision == "fp8_block":
        allowed = "checkpoint (a checkpoint with block scales), " + ", ".join(SGLANG_PRECISION)
        problems.append(refusal("SGLang has no word for block scales", "precision", "fp8_block", allowed))
    return problems


def _sglang_limits(launch: ServingLaunch) -> list[str]:
    found: list[str] = []
    if launch.precision in ("nvfp4", "int8"):
        found.append(f"precision {launch.precision}: the checkpoint must hold it already")
    rest = launch.host_offload_bytes % (GB * launch.accelerators)
    if rest:
        found.append(f"host_offload_bytes {launch.host_offload_bytes}: whole GB per rank; rounded down")
    return found


def _sglang_commands(role: Role, roles: Mapping[str, Role]) -> list[Command]:
    if role.kind == "router":
        head = ("python", "-m", "sglang_router.launch_router")
        return [router_command(role, roles, head, "--pd-disaggregation", bootstrap=True)]
    launch = role.launch
    options = {**sglang_options(launch), "--host": role.listen, "--port": role.port}
    if role.kind in ("prefill", "decode"):
        options["--disaggregation-mode"] = role.kind
    if role.kind == "prefill":
        options["--disaggregation-bootstrap-port"] = BOOTSTRAP_PORT + role.place
    start = ("python", "-m", "sglang.launch_server", "--model-path", launch.model)
    if launch.servers == 1:
        return [Command(role.name, role.host, {}, (start, *option_lines(options)))]
    options["--dist-init-addr"] = f"{role.host}:{RENDEZVOUS_PORT + role.place}"
    options["--nnodes"] = launch.servers
    return [
        Command(
            role.name if node == 0 else f"{role.name}-node-{node}",
            role.host if node == 0 else f"server {node} of {role.name}",
            {},
            (start, *option_lines({**options, "--node-rank": node})),
        )
        for node in range(launch.servers)
    ]


SGLANG_WRITER = EngineWriter("0.5.23", _sglang_refused, any_deployment, _sglang_limits, _sglang_commands, no_files)
