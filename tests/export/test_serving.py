"""Launch scripts run as they are meant to, name documented options only, and keep their counts."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import fields, replace

import pytest
import yaml
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from gigawatt.errors import InputError, OutputError
from gigawatt.export import (
    SERVING_ENGINES,
    Deployment,
    ServingLaunch,
    Speculation,
    documented_options,
    serving_files,
    serving_limits,
    write_serving,
)

TABLES = {"vllm": ("vllm", "vllm-router"), "sglang": ("sglang", "sglang-router"), "tensorrt-llm": ("tensorrt-llm",)}
PROGRAMS = ("vllm", "vllm-router", "python", "trtllm-serve", "srun")
BASE = ServingLaunch(model="org/model")
FULL = ServingLaunch(
    model="org/model",
    tensor_parallel=4,
    attention_data_parallel=1,
    expert_parallel=4,
    precision="fp8",
    kv_precision="fp8",
    max_sequences=512,
    token_budget=8192,
    max_context=32768,
    memory_share=0.9,
    weights_share=0.4,
    speculation=Speculation(method="eagle3", draft_tokens=3, draft_model="org/head"),
    host_offload_bytes=256 * 10**9,
)


def launches() -> st.SearchStrategy[ServingLaunch]:
    drafts = st.sampled_from(
        (
            None,
            Speculation(method="mtp", draft_tokens=2),
            Speculation(method="ngram", draft_tokens=4),
            Speculation(method="eagle3", draft_tokens=3, draft_model="org/head of 'it'"),
            Speculation(method="draft_model", draft_tokens=5, draft_model="org/small"),
        )
    )

    def build(tensor: int, groups: int, stages: int, experts: int, **rest: object) -> ServingLaunch:
        ranks = tensor * groups
        whole = {1: 1, 2: 2, 0: ranks}[experts] if ranks % 2 == 0 else 1
        return ServingLaunch(
            model="org/model",
            tensor_parallel=tensor,
            attention_data_parallel=groups,
            pipeline_parallel=stages,
            expert_parallel=whole,
            **rest,  # type: ignore[arg-type]
        )

    return st.builds(
        build,
        tensor=st.sampled_from((1, 2, 4, 8)),
        groups=st.sampled_from((1, 2, 4, 16)),
        stages=st.sampled_from((1, 2)),
        experts=st.sampled_from((0, 1, 2)),
        precision=st.sampled_from(("checkpoint", "bf16", "fp16", "fp8", "fp8_block", "mxfp8", "nvfp4", "int8")),
        kv_precision=st.sampled_from(("checkpoint", "bf16", "fp8", "nvfp4")),
        max_sequences=st.sampled_from((None, 1, 1000)),
        token_budget=st.sampled_from((None, 8192)),
        max_context=st.sampled_from((None, 131072)),
        prefix_cache=st.booleans(),
        memory_share=st.sampled_from((None, 0.85)),
        weights_share=st.sampled_from((None, 0.3)),
        speculation=drafts,
        host_offload_bytes=st.sampled_from((0, 10**9, 10**12)),
    )


@st.composite
def deployments(draw: st.DrawFn) -> Deployment:
    launch = draw(launches())
    apart = draw(st.booleans())
    prefill = replace(draw(launches()), kv_precision=launch.kv_precision) if apart else None
    plan = {"launch": launch, "instances": draw(st.integers(1, 3)), "prefill": prefill, "prefill_instances": 2 * apart}
    wide = launch.servers > 1 or (prefill is not None and prefill.servers > 1)
    if not wide:
        return Deployment(**plan)
    names = ["router"] if apart or plan["instances"] > 1 else ["server"]
    names += [f"prefill-{index}" for index in range(plan["prefill_instances"])]
    kind = "decode" if apart else "server"
    names += [f"{kind}-{index}" for index in range(plan["instances"])] if names != ["server"] else []
    return Deployment(**plan, hosts={name: f"{name}.example" for name in names})


def roles(script: str) -> list[str]:
    line = next(line for line in script.splitlines() if line.startswith("*) echo 'roles: "))
    return line.removeprefix("*) echo 'roles: ").split("'")[0].split()


def accepted(engine: str, deployment: Deployment) -> dict[str, str]:
    """The files of a deployment; draws that the engine refuses are left out."""
    try:
        return serving_files(engine, deployment)
    except InputError:
        reject()


def started(files: dict[str, str], role: str, folder) -> tuple[list[str], dict[str, str]]:
    """The words and the environment that a role really starts with: stand-ins of the programs write them down."""
    write_serving(files, folder)
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for program in PROGRAMS:
        (programs / program).write_text('#!/bin/sh\nprintf "%s\\0" "$(basename "$0")" "$@"\nenv -0 >&2\n')
        (programs / program).chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(folder / "serve.sh"), role], capture_output=True, text=True, check=True, env={"PATH": path}
    )
    environment = dict(entry.split("=", 1) for entry in done.stderr.split("\0") if "=" in entry)
    return done.stdout.split("\0")[:-1], environment


def words(script: str) -> dict[str, list[str]]:
    """The words of every role, read from the text."""
    found: dict[str, list[str]] = {}
    for branch in script.split(";;")[:-2]:  # the last one refuses unknown roles
        name = next(line[:-1] for line in branch.splitlines() if line.endswith(")") and " " not in line)
        command = branch[branch.index("    exec ") + 9 :].replace("\\\n", " ")
        found[name] = shlex.split(command)
    return found


def dotted(tree: dict, prefix: str = "") -> set[str]:
    keys: set[str] = set()
    for key, value in tree.items():
        keys |= dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}"}
    return keys


def value(line: list[str], option: str) -> str:
    return line[line.index(option) + 1]


@pytest.mark.parametrize("engine", SERVING_ENGINES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(deployments())
def test_every_option_is_documented(engine, deployment):
    files = accepted(engine, deployment)
    known = set().union(*(documented_options(table) for table in TABLES[engine]))
    for line in words(files["serve.sh"]).values():
        line = line[line.index("trtllm-serve") :] if "srun" in line else line
        assert {word for word in line if word.startswith("--")} <= known
    for name, text in files.items():
        if name.endswith(".yaml"):
            assert dotted(yaml.safe_load(text)) <= known
    assert set(words(files["serve.sh"])) == set(roles(files["serve.sh"]))


@pytest.mark.parametrize("engine", SERVING_ENGINES)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(deployments())
def test_no_accelerator_is_lost_and_no_port_is_taken_twice(engine, deployment):
    files = accepted(engine, deployment)
    launch = deployment.launch
    listening = []
    for role, line in words(files["serve.sh"]).items():
        if "--port" in line and "-node-" not in role:
            listening.append(value(line, "--port"))
        if not role.startswith(("server", "decode")):
            continue
        if engine == "vllm":
            degrees = ("--tensor-parallel-size", "--pipeline-parallel-size", "--data-parallel-size")
        else:
            degrees = ("--tp-size", "--pp-size")
        total = 1
        for degree in degrees:
            total *= int(value(line, degree)) if degree in line else 1
        if engine == "tensorrt-llm":
            tree = yaml.safe_load(files[f"{role.split('-')[0]}.yaml"])
            total = tree["tensor_parallel_size"] * tree["pipeline_parallel_size"]
        assert total == launch.accelerators
    assert len(set(listening)) == len(listening)


@pytest.mark.parametrize("engine", SERVING_ENGINES)
def test_names_reach_the_program_as_they_are(engine, tmp_path):
    model = '/models/it\'s; $(touch never) `touch never` "two" $HOME'
    speculation = Speculation(method="eagle3", draft_tokens=2, draft_model="a 'b' \"c\" $d")
    deployment = Deployment(launch=replace(FULL, model=model, speculation=speculation))
    files = serving_files(engine, deployment)
    line, _ = started(files, "server", tmp_path)
    assert model in line
    if engine == "vllm":
        assert json.loads(value(line, "--speculative-config"))["model"] == speculation.draft_model
    elif engine == "sglang":
        assert value(line, "--speculative-draft-model-path") == speculation.draft_model
    else:
        tree = yaml.safe_load(files["server.yaml"])
        assert tree["speculative_config"]["speculative_model"] == speculation.draft_model
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize("engine", SERVING_ENGINES)
def test_a_model_with_a_line_break_stays_in_its_comment(engine, tmp_path):
    files = serving_files(engine, Deployment(launch=replace(BASE, model="x\ntouch never")))
    line, _ = started(files, "server", tmp_path)
    assert "x\ntouch never" in line
    assert not (tmp_path / "never").exists()


def test_an_unknown_role_is_refused_by_the_script(tmp_path):
    write_serving(serving_files("vllm", Deployment(launch=BASE)), tmp_path)
    done = subprocess.run(["bash", str(tmp_path / "serve.sh"), "none"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "server" in done.stderr


APART = Deployment(
    launch=replace(FULL, host_offload_bytes=0),
    instances=2,
    prefill=replace(FULL, tensor_parallel=8, expert_parallel=8, host_offload_bytes=0, speculation=None),
    prefill_instances=1,
    port=9000,
)


def test_prefill_apart_on_vllm(tmp_path):
    files = serving_files("vllm", APART)
    router, _ = started(files, "router", tmp_path)
    assert router[0] == "vllm-router"
    assert "--vllm-pd-disaggregation" in router
    assert value(router, "--prefill") == "http://localhost:9001"
    assert [router[i + 1] for i, word in enumerate(router) if word == "--decode"] == [
        "http://localhost:9002",
        "http://localhost:9003",
    ]
    sides = [started(files, role, tmp_path) for role in ("prefill-0", "decode-0", "decode-1")]
    ports = {environment["VLLM_NIXL_SIDE_CHANNEL_PORT"] for _, environment in sides}
    assert len(ports) == 3
    assert all(json.loads(value(line, "--kv-transfer-config"))["kv_connector"] == "NixlConnector" for line, _ in sides)


def test_prefill_apart_on_sglang(tmp_path):
    files = serving_files("sglang", APART)
    router, _ = started(files, "router", tmp_path)
    prefill, _ = started(files, "prefill-0", tmp_path)
    decode, _ = started(files, "decode-1", tmp_path)
    assert router[:3] == ["python", "-m", "sglang_router.launch_router"]
    at = router.index("--prefill")
    assert router[at + 1 : at + 3] == ["http://localhost:9001", value(prefill, "--disaggregation-bootstrap-port")]
    assert (value(prefill, "--disaggregation-mode"), value(decode, "--disaggregation-mode")) == ("prefill", "decode")


def test_prefill_apart_on_tensorrt_llm(tmp_path):
    files = serving_files("tensorrt-llm", APART)
    line, _ = started(files, "router", tmp_path)
    assert line[:2] == ["trtllm-serve", "disaggregated"]
    together = yaml.safe_load(files[value(line, "--config_file")])
    assert together["context_servers"] == {"num_instances": 1, "urls": ["localhost:9001"]}
    assert together["generation_servers"]["urls"] == ["localhost:9002", "localhost:9003"]
    assert yaml.safe_load(files["prefill.yaml"])["disable_overlap_scheduler"] is True
    assert "disable_overlap_scheduler" not in yaml.safe_load(files["decode.yaml"])


def test_what_counts_per_group_and_what_for_all():
    launch = ServingLaunch(
        model="m",
        attention_data_parallel=8,
        expert_parallel=8,
        max_sequences=100,
        token_budget=8000,
        host_offload_bytes=80 * 10**9,
        memory_share=0.9,
        weights_share=0.5,
    )
    deployment = Deployment(launch=launch)
    vllm = words(serving_files("vllm", deployment)["serve.sh"])["server"]
    assert (value(vllm, "--max-num-seqs"), value(vllm, "--max-num-batched-tokens")) == ("13", "1000")
    assert float(value(vllm, "--kv-offloading-size")) * 2**30 == pytest.approx(10e9, rel=1e-5)
    sglang = words(serving_files("sglang", deployment)["serve.sh"])["server"]
    assert (value(sglang, "--max-running-requests"), value(sglang, "--chunked-prefill-size")) == ("100", "8000")
    assert (value(sglang, "--tp-size"), value(sglang, "--attn-dp-size"), value(sglang, "--hicache-size")) == (
        "8",
        "8",
        "10",
    )
    tree = yaml.safe_load(serving_files("tensorrt-llm", deployment)["server.yaml"])
    assert (tree["max_batch_size"], tree["max_num_tokens"], tree["enable_attention_dp"]) == (13, 1000, True)
    assert tree["kv_cache_config"]["host_cache_size"] == 10 * 10**9
    assert tree["kv_cache_config"]["free_gpu_memory_fraction"] == pytest.approx(0.8)


def test_drafters_outside_of_the_model_do_without_overlap_on_tensorrt_llm():
    def overlaps(method: str, draft_model: str = "") -> bool:
        launch = replace(BASE, speculation=Speculation(method=method, draft_tokens=2, draft_model=draft_model))
        tree = yaml.safe_load(serving_files("tensorrt-llm", Deployment(launch=launch))["server.yaml"])
        return not tree.get("disable_overlap_scheduler", False)

    assert overlaps("mtp")
    assert overlaps("eagle3", "head")
    assert not overlaps("ngram")
    assert not overlaps("draft_model", "small")


def test_an_instance_across_servers():
    launch = replace(FULL, tensor_parallel=16, expert_parallel=16)
    deployment = Deployment(launch=launch, hosts={"server": "head"})
    sglang = words(serving_files("sglang", deployment)["serve.sh"])
    assert [value(line, "--node-rank") for line in sglang.values()] == ["0", "1"]
    vllm = words(serving_files("vllm", deployment)["serve.sh"])
    assert [("--headless" in line) for line in vllm.values()] == [False, True]
    groups = replace(BASE, attention_data_parallel=16, expert_parallel=16)
    lines = words(serving_files("vllm", Deployment(launch=groups, hosts={"server": "head"}))["serve.sh"])
    assert [value(line, "--data-parallel-size-local") for line in lines.values()] == ["8", "8"]
    assert value(lines["server-node-1"], "--data-parallel-start-rank") == "8"
    tensorrt = words(serving_files("tensorrt-llm", deployment)["serve.sh"])["server"]
    assert tensorrt[:4] == ["srun", "--nodes=2", "--ntasks=16", "--ntasks-per-node=8"]
    with pytest.raises(InputError, match="hosts"):
        Deployment(launch=launch)


CHANGES = {
    "model": "org/other",
    "tensor_parallel": 8,
    "pipeline_parallel": 2,
    "expert_parallel": 1,
    "attention_data_parallel": 2,
    "precision": "fp16",
    "kv_precision": "nvfp4",
    "max_sequences": 64,
    "token_budget": 2048,
    "max_context": 4096,
    "prefix_cache": False,
    "memory_share": 0.8,
    "weights_share": None,
    "speculation": None,
    "host_offload_bytes": 512 * 10**9,
    "accelerators_per_server": 4,
}
REFUSED = {
    ("sglang", "prefix_cache"),
    ("tensorrt-llm", "prefix_cache"),
    ("tensorrt-llm", "attention_data_parallel"),
}
# Only TensorRT-LLM counts memory behind the weights; four accelerators fill a server of four and fit into one of eight.
SILENT = {
    ("vllm", "weights_share"),
    ("sglang", "weights_share"),
    *((e, "accelerators_per_server") for e in SERVING_ENGINES),
}


@pytest.mark.parametrize("engine", SERVING_ENGINES)
@pytest.mark.parametrize("name", CHANGES)
def test_every_decision_is_written_or_refused(engine, name):
    assert set(CHANGES) == {entry.name for entry in fields(ServingLaunch)}
    before = serving_files(engine, Deployment(launch=FULL))
    changed = replace(FULL, **{name: CHANGES[name]})
    if name in ("attention_data_parallel", "tensor_parallel"):
        changed = replace(changed, expert_parallel=8)
    if (engine, name) in REFUSED:
        with pytest.raises(InputError):
            serving_files(engine, Deployment(launch=changed))
        return
    after = serving_files(engine, Deployment(launch=changed))
    assert (after == before) == ((engine, name) in SILENT)


@pytest.mark.parametrize(
    ("engine", "changes", "path", "allowed"),
    [
        ("vllm", {"precision": "int8"}, "precision", "fp8_block"),
        ("vllm", {"tensor_parallel": 8, "expert_parallel": 4}, "expert_parallel", "1 or 8"),
        ("sglang", {"precision": "fp8_block"}, "precision", "mxfp8"),
        ("sglang", {"prefix_cache": False, "host_offload_bytes": 10**12}, "prefix_cache", "true"),
        ("sglang", {"host_offload_bytes": 5}, "host_offload_bytes", "1 GB"),
        ("tensorrt-llm", {"tensor_parallel": 2, "attention_data_parallel": 4}, "tensor_parallel", "1 with"),
        ("tensorrt-llm", {"prefix_cache": False, "host_offload_bytes": 10**12}, "prefix_cache", "true"),
    ],
)
def test_what_an_engine_refuses(engine, changes, path, allowed):
    with pytest.raises(InputError) as caught:
        serving_files(engine, Deployment(launch=replace(BASE, **changes)))
    (problem,) = caught.value.problems
    assert problem.path == f"serving.{path}"
    assert allowed in problem.allowed


@pytest.mark.parametrize(
    "changes",
    [
        {"tensor_parallel": 0},
        {"tensor_parallel": 2.0},
        {"expert_parallel": 3},
        {"tensor_parallel": 12},
        {"precision": "fp7"},
        {"kv_precision": "int3"},
        {"memory_share": 1.5},
        {"memory_share": 0.5, "weights_share": 0.6},
        {"model": " "},
        {"model": "--flag"},
        {"speculation": Speculation(method="magic", draft_tokens=1)},
        {"speculation": Speculation(method="eagle3", draft_tokens=1)},
        {"speculation": Speculation(method="mtp", draft_tokens=0)},
        {"host_offload_bytes": -1},
    ],
)
def test_launches_without_meaning_are_refused(changes):
    with pytest.raises(InputError, match=r"serving\."):
        replace(BASE, **changes)


def test_deployments_without_meaning_are_refused():
    for wrong in (
        {"instances": 0},
        {"prefill": BASE},
        {"prefill_instances": 1},
        {"port": 70000},
        {"prefill": replace(BASE, model="other"), "prefill_instances": 1},
        {"prefill": replace(BASE, kv_precision="fp8"), "prefill_instances": 1},
        {"hosts": {"decode-9": "x"}},
    ):
        with pytest.raises(InputError, match=r"serving\."):
            Deployment(launch=BASE, **wrong)


def test_more_of_the_same_needs_a_router():
    assert "router" in roles(serving_files("vllm", Deployment(launch=BASE, instances=3))["serve.sh"])
    line = words(serving_files("sglang", Deployment(launch=BASE, instances=2))["serve.sh"])["router"]
    assert line[line.index("--worker-urls") + 1 :] == ["http://localhost:8001", "http://localhost:8002"]
    with pytest.raises(InputError, match="load balancer"):
        serving_files("tensorrt-llm", Deployment(launch=BASE, instances=2))


def test_limits_stand_in_the_script():
    deployment = Deployment(launch=replace(FULL, weights_share=None, kv_precision="bf16"))
    limits = serving_limits("tensorrt-llm", deployment)
    assert {text.split()[0] for text in limits} == {"precision", "kv_precision", "memory_share"}
    script = serving_files("tensorrt-llm", deployment)["serve.sh"]
    assert all(f"# not expressed: {text}" in script for text in limits)


def test_an_unknown_engine_is_named_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'vllm'"):
        serving_files("vLLM2", Deployment(launch=BASE))


def test_writing_makes_the_folder_and_leaves_nothing_half_written(tmp_path):
    files = serving_files("tensorrt-llm", Deployment(launch=FULL))
    write_serving(files, tmp_path / "new" / "folder")
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == set(files)
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="taken"):
        write_serving(files, tmp_path / "taken")
