"""Exported files parse, say what they mean, name documented options only, and read back to the same strategy."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from math import prod
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.errors import InputError
from gigawatt.export import (
    FRAMEWORKS,
    ExportRequest,
    documented_options,
    export_strategy,
    read_strategy,
    unsupported,
)
from gigawatt.model import Attention, Experts, FeedForward, Layer, Transformer

READABLE = ("megatron-lm", "torchtitan", "torchtitan-toml")


def dense(layers: int = 80, hidden: int = 8192, heads: int = 64) -> Transformer:
    attention = Attention(heads=heads, kv_heads=8, head_dim=128)
    layer = Layer(attention=attention, feed_forward=FeedForward(width=28672, gated=True))
    return Transformer(name="Llama 3 70B", hidden=hidden, vocab=128256, tied_embeddings=False, layers=(layer,) * layers)


def mixture() -> Transformer:
    attention = Attention(
        heads=128,
        kv_heads=128,
        head_dim=128,
        q_lora_rank=1536,
        kv_lora_rank=512,
        qk_nope_head_dim=128,
        qk_rope_head_dim=64,
        v_head_dim=128,
    )
    first = Layer(attention=attention, feed_forward=FeedForward(width=18432, gated=True))
    experts = Experts(experts=256, active=8, width=2048, gated=True, shared_width=2048)
    rest = Layer(attention=attention, experts=experts)
    return Transformer(
        name="DeepSeek-V3", hidden=7168, vocab=129280, tied_embeddings=False, layers=(first,) * 3 + (rest,) * 58
    )


def request(model: Transformer | None = None, **changes: Any) -> ExportRequest:
    strategy = {
        "tensor_parallel": 8,
        "pipeline_parallel": 4,
        "virtual_stages": 5,
        "data_parallel": 16,
        "micro_batch": 1,
        "recompute": "selective",
        "zero_stage": 1,
        **changes.pop("strategy", {}),
    }
    values = {
        "accelerators": 512,
        "servers": 64,
        "accelerators_per_server": 8,
        "global_batch": 1024,
        "sequence": 8192,
        "precision": "bf16",
        "optimizer": "adam",
        **changes,
    }
    return ExportRequest(model=model or dense(), strategy=strategy, **values)


FULL = {
    "tensor_parallel": 1,
    "pipeline_parallel": 1,
    "virtual_stages": 1,
    "data_parallel": 1,
    "context_parallel": 1,
    "expert_parallel": 1,
    "expert_tensor_parallel": 1,
    "micro_batch": 1,
    "recompute": "none",
    "recompute_layers": 0,
    "zero_stage": 0,
    "shard_ranks": 0,
    "sequence_parallel": 1,
    "schedule": "1f1b",
    "context_exchange": "all_gather",
    "tensor_overlap": 0,
    "offload_optimizer": 0,
    "offload_activations": 0,
}


@st.composite
def requests(draw: st.DrawFn) -> ExportRequest:
    """Every decision drawn; only what no framework could run at all is kept out."""
    stages = draw(st.sampled_from((1, 2, 3, 4, 8)))
    virtual = draw(st.sampled_from((1, 2, 5))) if stages > 1 else 1
    ranks = draw(st.sampled_from((1, 2, 4, 6, 8)))
    shards = draw(st.sampled_from([0, *(count for count in range(1, ranks + 1) if ranks % count == 0)]))
    tensor = draw(st.sampled_from((1, 2, 4, 8)))
    model = draw(st.sampled_from((dense(), mixture(), dense(hidden=4000, layers=50))))
    strategy = {
        "tensor_parallel": tensor,
        "pipeline_parallel": stages,
        "virtual_stages": virtual,
        "data_parallel": ranks,
        "context_parallel": draw(st.sampled_from((1, 2, 4))),
        "expert_parallel": draw(st.sampled_from((1, 2, 4))) if model.experts else 1,
        "expert_tensor_parallel": draw(st.sampled_from((1, tensor))) if model.experts else 1,
        "micro_batch": draw(st.integers(1, 4)),
        "recompute": draw(st.sampled_from(("none", "selective", "full"))),
        "recompute_layers": draw(st.integers(0, 3)),
        "zero_stage": draw(st.integers(0, 3)),
        "shard_ranks": shards,
        "sequence_parallel": draw(st.integers(0, 1)),
        "schedule": "1f1b" if virtual > 1 else draw(st.sampled_from(("1f1b", "zero_bubble", "dualpipe"))),
        "context_exchange": draw(st.sampled_from(("all_gather", "ring", "ulysses"))),
        "tensor_overlap": draw(st.integers(0, 1)),
        "offload_optimizer": draw(st.integers(0, 1)),
        "offload_activations": draw(st.integers(0, 1)),
    }
    return ExportRequest(
        model=model,
        strategy=strategy,
        accelerators=8192,
        servers=None,
        accelerators_per_server=8,
        global_batch=draw(st.integers(64, 500)),
        sequence=8192,
        precision=draw(st.sampled_from(("bf16", "fp16", "fp8", "fp8_current", "fp8_block", "mxfp8", "nvfp4", "int8"))),
        optimizer=draw(st.sampled_from(("adam", "adam8bit", "muon"))),
        learning_rate=draw(st.sampled_from((None, 3e-4))),
    )


def limited(framework: str, asked: ExportRequest) -> set[str]:
    return {text.split(" ")[0] for text in unsupported(framework, asked)}


@pytest.mark.parametrize("framework", READABLE)
@given(asked=requests())
@settings(max_examples=300, deadline=None)
def test_what_is_exported_reads_back_but_for_what_is_declared(framework: str, asked: ExportRequest) -> None:
    limits = limited(framework, asked)
    found = read_strategy(export_strategy(framework, asked), "job")
    expected = {**FULL, **asked.strategy}
    assert found.framework == framework.removesuffix("-toml")
    assert set(found.strategy) == set(FULL)
    assert {name for name in FULL if found.strategy[name] != expected[name]} <= limits
    degrees = ("tensor_parallel", "pipeline_parallel", "context_parallel", "data_parallel")
    assert found.world_size == prod(expected[name] for name in degrees)
    assert found.sequence == 8192
    assert found.unread == ()
    assert (found.global_batch == asked.global_batch) or "global_batch" in limits
    assert (found.precision == asked.precision) or "precision" in limits


@pytest.mark.parametrize("framework", FRAMEWORKS)
@given(asked=requests())
@settings(max_examples=60, deadline=None)
def test_every_exported_option_is_documented(framework: str, asked: ExportRequest) -> None:
    text = export_strategy(framework, asked)
    assert option_names(framework, text) <= set(documented_options(framework))
    for sentence in unsupported(framework, asked):
        assert f"# not expressed: {sentence}" in text


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_documented_options_cite_repository_and_version(framework: str) -> None:
    listed = documented_options(framework)
    assert len(listed) > 20
    assert all(row.version and re.search(r"[\w-]+/[\w-]+", row.source) for row in listed.values())


def option_names(framework: str, text: str) -> set[str]:
    if framework == "megatron-lm":
        return {word for word in shlex.split(text, comments=True) if word.startswith("--")}
    if framework == "torchtitan":
        return set(configuration(text))
    tree = tomllib.loads(text) if framework == "torchtitan-toml" else yaml.safe_load(text)
    return set(flat(tree))


def configuration(text: str) -> dict[str, Any]:
    """The options of a torchtitan module: values of the sections' arguments, the source text of the others."""
    module = ast.parse(text)
    call = next(node.value for node in ast.walk(module) if isinstance(node, ast.Return))
    assert isinstance(call, ast.Call)
    found: dict[str, Any] = {}
    for keyword in call.keywords:
        value, name = keyword.value, str(keyword.arg)
        if isinstance(value, ast.Call) and ast.unparse(value.func).endswith("Config") and name != "loss":
            inner = {f"{name}.{item.arg}": ast.literal_eval(item.value) for item in value.keywords}
            found |= inner or {name: ast.unparse(value)}
        else:
            found[name] = ast.unparse(value)
    return found


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in tree.items():
        values.update(flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return values


def arguments(text: str) -> dict[str, list[str]]:
    """The arguments as a shell would hand them over."""
    words = shlex.split(text, comments=True)
    found: dict[str, list[str]] = {}
    for word in words[words.index("MEGATRON_ARGS=(") + 1 : words.index(")")]:
        if word.startswith("--"):
            found[word] = []
            last = word
        else:
            found[last].append(word)
    return found


def test_megatron_arguments_say_the_strategy() -> None:
    given_ = arguments(export_strategy("megatron-lm", request()))
    assert given_["--tensor-model-parallel-size"] == ["8"]
    assert given_["--num-virtual-stages-per-pipeline-rank"] == ["5"]
    assert given_["--num-query-groups"] == ["8"]
    assert given_["--recompute-granularity"] == ["selective"]
    assert given_["--use-distributed-optimizer"] == given_["--sequence-parallel"] == given_["--bf16"] == []
    assert "--recompute-method" not in given_


def test_megatron_full_recompute_counts_layers_in_each_virtual_stage() -> None:
    recomputed = {"recompute": "full", "recompute_layers": 3}
    whole = request(strategy={**recomputed, "virtual_stages": 1})
    parts = request(strategy={**recomputed, "virtual_stages": 2})
    every = arguments(export_strategy("megatron-lm", request(strategy={"recompute": "full"})))
    some = arguments(export_strategy("megatron-lm", whole))
    rounded = arguments(export_strategy("megatron-lm", parts))
    assert (some["--recompute-method"], some["--recompute-num-layers"]) == (["block"], ["3"])
    assert rounded["--recompute-num-layers"] == ["2"]
    assert "recompute_layers" in limited("megatron-lm", parts)
    assert "recompute_layers" not in limited("megatron-lm", whole)
    assert (every["--recompute-method"], every["--recompute-num-layers"]) == (["uniform"], ["1"])


@pytest.mark.parametrize(
    ("batch", "virtual", "size"), [(128, "5", None), (96, "5", "6"), (80, "5", "5"), (48, None, None)]
)
def test_megatron_interleaves_whole_rounds_of_micro_batches(batch: int, virtual: str | None, size: str | None) -> None:
    """Worked: 4 stages take 6 micro-batches as one round of 6 and 5 as one of 5; 3 are too few to interleave."""
    asked = request(global_batch=batch)
    given_ = arguments(export_strategy("megatron-lm", asked))
    assert given_.get("--num-virtual-stages-per-pipeline-rank") == ([virtual] if virtual else None)
    assert given_.get("--microbatch-group-size-per-virtual-pipeline-stage") == ([size] if size else None)
    assert ("virtual_stages" in limited("megatron-lm", asked)) == (virtual is None)


@pytest.mark.parametrize(
    ("strategy", "variables"),
    [
        ({}, ["CUDA_DEVICE_MAX_CONNECTIONS=1"]),
        ({"tensor_parallel": 1}, []),
        ({"tensor_parallel": 1, "context_parallel": 2}, ["CUDA_DEVICE_MAX_CONNECTIONS=1"]),
        ({"zero_stage": 3}, ["CUDA_DEVICE_MAX_CONNECTIONS=8"]),
        ({"tensor_parallel": 1, "offload_activations": 1}, ["NVTE_CPU_OFFLOAD_V1=1"]),
    ],
)
def test_megatron_files_state_the_environment(strategy: dict[str, int], variables: list[str]) -> None:
    script = export_strategy("megatron-lm", request(strategy=strategy)).splitlines()
    notes = export_strategy("megatron-bridge", request(strategy=strategy)).splitlines()
    assert [line.removeprefix("export ") for line in script if line.startswith("export ")] == variables
    mark = "# in the environment: "
    assert [line.removeprefix(mark) for line in notes if line.startswith(mark)] == variables


def test_megatron_muon_takes_no_fp16() -> None:
    asked = request(optimizer="muon", precision="fp16")
    assert "--bf16" in arguments(export_strategy("megatron-lm", asked))
    assert yaml.safe_load(export_strategy("megatron-bridge", asked))["mixed_precision"] == "bf16_mixed"
    assert "precision" in limited("megatron-lm", asked)


def test_megatron_layers_that_do_not_divide_have_a_layout() -> None:
    asked = request(mixture(), strategy={"pipeline_parallel": 4, "virtual_stages": 2, "expert_parallel": 16})
    given_ = arguments(export_strategy("megatron-lm", asked))
    layout = given_["--pipeline-model-parallel-layout"][0]
    assert layout.count("t") == 61
    assert len(layout.split("|")) == 8
    assert layout.startswith("E")
    assert layout.endswith("L")
    assert "--num-virtual-stages-per-pipeline-rank" not in given_
    assert given_["--moe-layer-freq"][0] == str([0] * 3 + [1] * 58).replace(" ", "")


def test_megatron_fsdp_and_small_optimizer_state() -> None:
    asked = request(strategy={"zero_stage": 3, "shard_ranks": 4}, optimizer="adam8bit", precision="fp8_block")
    given_ = arguments(export_strategy("megatron-lm", asked))
    assert given_["--data-parallel-sharding-strategy"] == ["optim_grads_params"]
    assert given_["--num-distributed-optimizer-instances"] == ["4"]
    assert given_["--exp-avg-dtype"] == ["fp8"]
    assert given_["--fp8-recipe"] == ["blockwise"]


def test_muon_shards_by_its_own_optimizer() -> None:
    given_ = arguments(export_strategy("megatron-lm", request(optimizer="muon")))
    assert given_["--optimizer"] == ["dist_muon"]
    assert "--use-distributed-optimizer" not in given_
    assert "zero_stage" in limited("megatron-lm", request(optimizer="muon", strategy={"zero_stage": 3}))


def test_bridge_overrides_take_back_what_a_recipe_may_have_set() -> None:
    found = flat(yaml.safe_load(export_strategy("megatron-bridge", request(precision="mxfp8"))))
    assert found["model.tensor_model_parallel_size"] == 8
    assert found["model.virtual_pipeline_model_parallel_size"] == 5
    assert found["model.sequence_parallel"] is True
    assert found["model.recompute_granularity"] == "selective"
    assert found["model.recompute_method"] is None
    assert found["model.microbatch_group_size_per_vp_stage"] is None
    assert found["model.seq_length"] == found["dataset.seq_length"] == 8192
    assert found["ddp.use_distributed_optimizer"] is True
    assert found["ddp.use_megatron_fsdp"] is False
    assert found["train.global_batch_size"] == 1024
    assert found["mixed_precision"] == "bf16_with_mxfp8_mixed"


def test_torchtitan_toml_shards_within_groups_and_names_the_flavor() -> None:
    asked = request(strategy={"zero_stage": 3, "shard_ranks": 8, "pipeline_parallel": 1, "virtual_stages": 1})
    found = flat(tomllib.loads(export_strategy("torchtitan-toml", asked)))
    assert (found["model.name"], found["model.flavor"]) == ("llama3", "70B")
    assert found["parallelism.data_parallel_replicate_degree"] == 2
    assert found["parallelism.data_parallel_shard_degree"] == 8
    assert found["parallelism.fsdp_reshard_after_forward"] == "always"
    assert found["training.local_batch_size"] == 1
    assert unsupported("torchtitan-toml", asked) == ()


def test_torchtitan_toml_pipeline_takes_all_micro_batches_and_names_every_layer_once() -> None:
    asked = request(strategy={"zero_stage": 2})
    found = flat(tomllib.loads(export_strategy("torchtitan-toml", asked)))
    parts = found["parallelism.module_fqns_per_model_part"]
    assert found["training.local_batch_size"] == 1024 // 16
    assert found["parallelism.pipeline_parallel_microbatch_size"] == 1
    assert found["parallelism.pipeline_parallel_schedule"] == "Interleaved1F1B"
    assert len(parts) == 20
    assert [name for part in parts for name in part] == [
        "tok_embeddings",
        *(f"layers.{index}" for index in range(80)),
        "norm",
        "output",
    ]


def test_torchtitan_toml_says_that_it_does_not_know_a_model() -> None:
    text = export_strategy("torchtitan-toml", request(dense(hidden=4000)))
    assert "# not expressed: model Llama 3 70B: no flavor of these sizes" in text
    assert "name" not in tomllib.loads(text).get("model", {})


def test_torchtitan_module_says_the_strategy_and_names_the_flavor() -> None:
    asked = request(strategy={"zero_stage": 3, "shard_ranks": 8, "sequence_parallel": 0, "recompute": "full"})
    text = export_strategy("torchtitan", asked)
    found = configuration(text)
    assert found["parallelism.data_parallel_replicate_degree"] == 2
    assert found["parallelism.data_parallel_shard_degree"] == 8
    assert found["parallelism.enable_sequence_parallel"] is False
    assert found["parallelism.module_fqns_per_model_part"][-1][-2:] == ["norm", "lm_head"]
    assert found["training.disable_cuda_graphs"] is True
    assert found["activation_checkpoint"] == "FullAC.Config()"
    assert "model_registry('70B')" in text
    assert "from torchtitan.models.llama3 import model_registry" in text
    (gradients,) = unsupported("torchtitan", asked)  # torch/distributed/pipelining/stage.py reduces them once
    assert gradients.startswith("zero_stage 3: a pipeline keeps whole gradients")


@pytest.mark.parametrize(
    ("precision", "converter"),
    [
        ("bf16", None),
        ("fp8_current", "Float8LinearConverter"),
        ("mxfp8", "MXFP8LinearConverter"),
        ("nvfp4", "NVFP4LinearConverter"),
    ],
)
def test_torchtitan_module_converts_the_model(precision: str, converter: str | None) -> None:
    text = export_strategy("torchtitan", request(precision=precision))
    ast.parse(text)
    assert ("converters=[" in text) == (converter is not None)
    assert configuration(text)["compile.enable"] == (converter is not None)
    if converter:
        assert f"from torchtitan.components.quantization import {converter}" in text
    assert read_strategy(text, "job.py").precision == precision


def test_torchtitan_module_without_a_flavor_leaves_the_model_open() -> None:
    text = export_strategy("torchtitan", request(dense(hidden=4000), precision="mxfp8"))
    assert "model_spec = None" in text
    assert "Converter" not in text
    assert {"model", "precision"} <= limited("torchtitan", request(dense(hidden=4000), precision="mxfp8"))


@pytest.mark.parametrize("framework", ["torchtitan", "torchtitan-toml"])
def test_torchtitan_takes_what_its_schedules_and_meshes_take(framework: str) -> None:
    """Worked with 4 stages: 11 micro-batches become two rounds of 5, and 7 are too few for DualPipeV. 4 of 16 experts'
    ranks are held by shard groups of 2 on 2 tensor ranks.
    """
    rounds = request(global_batch=11 * 16, strategy={"zero_stage": 2})
    assert read_strategy(export_strategy(framework, rounds), "job").global_batch == 10 * 16
    assert "global_batch" in limited(framework, rounds)
    short = request(global_batch=7 * 16, strategy={"schedule": "dualpipe", "virtual_stages": 1, "zero_stage": 2})
    assert read_strategy(export_strategy(framework, short), "job").strategy["schedule"] == "zero_bubble"
    assert "schedule" in limited(framework, short)
    spread = {"zero_stage": 3, "shard_ranks": 2, "tensor_parallel": 2, "expert_parallel": 16}
    experts = request(mixture(), strategy={**spread, "virtual_stages": 1})
    assert read_strategy(export_strategy(framework, experts), "job").strategy["expert_parallel"] == 4
    assert "expert_parallel" in limited(framework, experts)


TORCHTITAN_MODULE = """
from torchtitan.config import CompileConfig, ParallelismConfig, TrainingConfig
from torchtitan.models.llama3 import model_registry

def base():
    return Trainer.Config(
        model_spec=model_registry("8B", attn_backend="flex"),
        training=TrainingConfig(local_batch_size=2, seq_len=8192, steps=1000),
        parallelism=ParallelismConfig(data_parallel_shard_degree=8, tensor_parallel_degree=2),
        activation_checkpoint=None,
    )

def job():
    config = base()
    config.compile.enable_async_tensor_parallel = True
    config.parallelism.tensor_parallel_degree = 4
    return config
"""


def test_a_torchtitan_module_of_the_usual_form_is_read() -> None:
    found = read_strategy(TORCHTITAN_MODULE, "job.py")
    assert found.framework == "torchtitan"
    assert found.strategy["tensor_parallel"] == 4
    assert found.strategy["tensor_overlap"] == found.strategy["sequence_parallel"] == 1
    assert found.strategy["data_parallel"] == 8
    assert found.strategy["recompute"] == "none"
    assert found.model["hidden"] == 4096
    assert (found.global_batch, found.sequence, found.world_size) == (16, 8192, 32)
    assert found.unread == ("training.steps",)


@given(asked=requests())
@settings(max_examples=100, deadline=None)
def test_maxtext_mesh_holds_every_accelerator_and_the_batch(asked: ExportRequest) -> None:
    found = yaml.safe_load(export_strategy("maxtext", asked))
    mesh = [size for name, size in found.items() if name.endswith("_parallelism")]
    world = prod(asked.strategy[f"{name}_parallel"] for name in ("tensor", "pipeline", "context", "data"))
    assert prod(mesh) == world
    assert prod(size for name, size in found.items() if name.startswith("ici_")) <= 8
    # MaxText cuts the fraction off before it accumulates.
    once = int(found["per_device_batch_size"] * world)
    batch = once * found["gradient_accumulation_steps"]
    assert batch == asked.global_batch or "global_batch" in limited("maxtext", asked)
    stages = asked.strategy["pipeline_parallel"]
    if stages > 1:
        assert found["num_pipeline_microbatches"] % stages == once % found["num_pipeline_microbatches"] == 0
        assert (
            found["num_layers_per_pipeline_stage"] * found["num_pipeline_repeats"] * stages
            == (found["pipeline_parallel_layers"])
        )
        assert found["pipeline_parallel_layers"] <= len(asked.model.layers) - found.get("first_num_dense_layers", 0)
    assert found["quantization"].startswith("te_") or found["te_comm_gemm_overlap"] == "disabled"
    assert found["quantization"] != "te_fp8_delayedscaling" or found["gradient_accumulation_steps"] == 1


@pytest.mark.parametrize(
    ("batch", "batches", "name"),
    [(1024, 64, None), (192, 4, "micro_batch"), (80, 4, "global_batch"), (48, 4, "global_batch")],
)
def test_maxtext_fills_its_pipeline(batch: int, batches: int, name: str | None) -> None:
    """Worked with 4 stages and 16 ranks: 3 micro-batches of 4 become 4 of 3; 5 of 1 become 4, and so do 3 of 1."""
    strategy = {"virtual_stages": 1, **({"micro_batch": 4} if name == "micro_batch" else {})}
    asked = request(global_batch=batch, strategy=strategy)
    found = yaml.safe_load(export_strategy("maxtext", asked))
    assert found["num_pipeline_microbatches"] == batches
    assert {"micro_batch", "global_batch"} & limited("maxtext", asked) == ({name} if name else set())


def test_maxtext_takes_no_muon_for_a_mixtral_block() -> None:
    experts = Experts(experts=8, active=2, width=14336, gated=True)
    layer = Layer(attention=Attention(heads=32, kv_heads=8, head_dim=128), experts=experts)
    model = Transformer(name="Mixtral", hidden=4096, vocab=32000, tied_embeddings=False, layers=(layer,) * 40)
    asked = request(model, optimizer="muon")
    assert yaml.safe_load(export_strategy("maxtext", asked))["opt_type"] == "adamw"
    assert "optimizer" in limited("maxtext", asked)
    assert yaml.safe_load(export_strategy("maxtext", request(optimizer="muon")))["opt_type"] == "muon"


def test_maxtext_says_what_it_cannot() -> None:
    asked = request(strategy={"schedule": "zero_bubble", "virtual_stages": 1})
    text = export_strategy("maxtext", asked)
    assert "# not expressed: schedule zero_bubble" in text
    found = yaml.safe_load(text)
    assert found["ici_tensor_sequence_parallelism"] == 8
    assert found["dcn_pipeline_parallelism"] == 4
    assert found["shard_optimizer_over_data"] is True
    assert found["base_num_decoder_layers"] == 80


MEGATRON_SCRIPT = """#!/bin/bash
# A run of two servers.
export CUDA_DEVICE_MAX_CONNECTIONS=1
GPUS_PER_NODE=8
NUM_NODES=${NNODES:-2}
WORLD_SIZE=$(($GPUS_PER_NODE*$NUM_NODES))
TP=2
DISTRIBUTED_ARGS=(
    --nproc_per_node $GPUS_PER_NODE
    --nnodes $NUM_NODES
    --master_addr localhost
)
GPT_ARGS="
    --num-layers 32 \\
    --hidden-size=4096
    --num-attention-heads 32
    --seq-length 4096
"
SIZE=$((TP * 2))
PARALLEL="--tensor-model-parallel-size ${TP} --pipeline-model-parallel-size $SIZE --use-distributed-optimizer"
TRAIN=(--micro-batch-size 1 --global-batch-size 64 --fp16 --recompute-activations --data-path my data)
torchrun ${DISTRIBUTED_ARGS[@]} pretrain_gpt.py $GPT_ARGS $PARALLEL ${TRAIN[@]} --distributed-backend nccl
"""


def test_a_megatron_script_of_the_usual_form_is_read() -> None:
    found = read_strategy(MEGATRON_SCRIPT, "train.sh")
    assert found.framework == "megatron-lm"
    assert found.world_size == 16
    assert found.strategy["tensor_parallel"] == 2
    assert found.strategy["pipeline_parallel"] == 4
    assert found.strategy["data_parallel"] == 2
    assert found.strategy["zero_stage"] == 1
    assert found.strategy["recompute"] == "selective"
    assert found.strategy["sequence_parallel"] == 0
    # What is not stated is what megatron/training/arguments.py fills in.
    stated, filled = {"layers": 32, "hidden": 4096, "heads": 32}, {"ffn": 16384, "head_dim": 128, "kv_heads": 32}
    assert found.model == {**stated, **filled, "ffn_act": "gelu", "tie_embeddings": True}
    assert (found.global_batch, found.sequence, found.precision) == (64, 4096, "fp16")
    assert found.unread == ("--data-path", "--distributed-backend")


def test_options_quoted_with_their_values_and_older_names_are_read() -> None:
    script = """
DTYPE_ARGS=()
if [[ "$DTYPE" == "fp8" ]]; then
    DTYPE_ARGS+=(
        "--fp8-format hybrid"
        "--vocab-size 128256" # a comment
        "--split '99,1,0'"
        "--name=two words"
    )
fi
pretrain_gpt.py --bf16 --checkpoint-activations --tensor-model-parallel-size 2
"""
    found = read_strategy(script, "train.sh")
    assert found.precision == "fp8"
    assert found.model == {"vocab": 128256}
    assert found.strategy["recompute"] == "full"
    assert found.strategy["tensor_parallel"] == 2
    assert found.unread == ("--name", "--split")


def test_an_argument_string_without_a_launcher_leaves_data_parallelism_open() -> None:
    found = read_strategy(
        "--tensor-model-parallel-size 4 --context-parallel-size 2 --micro-batch-size 2 --bf16", "args"
    )
    assert "data_parallel" not in found.strategy
    assert found.world_size is None
    assert found.global_batch is None
    assert found.strategy["context_exchange"] == "ring"


def test_megatron_experts_take_the_tensor_degree_unless_told() -> None:
    found = read_strategy("--tensor-model-parallel-size 4 --num-experts 8 --expert-model-parallel-size 2", "args")
    assert found.strategy["expert_tensor_parallel"] == 4
    assert found.strategy["expert_parallel"] == 2


@pytest.mark.parametrize(
    ("pattern", "first", "step"),
    [
        ("1", 0, 1),
        ("2", 0, 2),
        ("[0]*3+[1]*5", 3, 1),
        ("'[0, 0, 0, 1, 1, 1, 1, 1]'", 3, 1),
        ("([0]*1+[1]*1)*4", 0, 2),
        ("'([0] * 3 + [1]) * 2'", 0, 4),
    ],
)
def test_megatron_layers_with_experts(pattern: str, first: int, step: int) -> None:
    sizes = "--num-layers 8 --hidden-size 64 --num-attention-heads 4 --num-experts 8 --swiglu"
    model = read_strategy(f"{sizes} --moe-layer-freq {pattern} --bf16 --tensor-model-parallel-size 1", "args").model
    assert (model["first_dense_layers"], model["moe_layer_step"]) == (first, step)
    assert (model["ffn"], model["moe_ffn"], model["topk"]) == (128, 128, 2)


@pytest.mark.parametrize("pattern", ["3", "[1]*7", "[1,0]*4", "__import__('os')", "[2]*8", "'[1]*9**9'", "("])
def test_megatron_layers_with_experts_that_cannot_be_told(pattern: str) -> None:
    sizes = "--num-layers 8 --hidden-size 64 --num-experts 8 --tensor-model-parallel-size 1"
    with pytest.raises(InputError, match="--moe-layer-freq has no usable value"):
        read_strategy(f'{sizes} --moe-layer-freq "{pattern}"', "args")


@pytest.mark.parametrize(
    ("degree", "policy", "stage"),
    [(1, "never", 2), (1, "default", 3), (4, "default", 1), (4, "never", 1), (4, "always", 3)],
)
def test_torchtitan_reduces_the_gradients_of_a_pipeline_once(degree: int, policy: str, stage: int) -> None:
    """torch/distributed/pipelining/stage.py holds the reduction back until the last backward pass."""
    text = f"[parallelism]\npipeline_parallel_degree = {degree}\nfsdp_reshard_after_forward = '{policy}'\n"
    assert read_strategy(text, "job.toml").strategy["zero_stage"] == stage


def test_megatron_layers_per_virtual_stage_and_layouts() -> None:
    layers = "--num-layers 48 --pipeline-model-parallel-size 4 --num-layers-per-virtual-pipeline-stage 3"
    assert read_strategy(layers, "args").strategy["virtual_stages"] == 4
    layout = "--pipeline-model-parallel-size 4 --pipeline-model-parallel-layout 'Et|(tt|)*6tL'"
    assert read_strategy(layout, "args").strategy["virtual_stages"] == 2


def test_a_torchtitan_file_that_leaves_ranks_over() -> None:
    text = (
        "[model]\nname = 'llama3'\nflavor = '8B'\n[parallelism]\ntensor_parallel_degree = 8\n[metrics]\nlog_freq = 1\n"
    )
    found = read_strategy(text, "job.toml")
    assert found.framework == "torchtitan"
    assert "data_parallel" not in found.strategy
    assert found.world_size is None
    assert found.strategy["zero_stage"] == 3
    assert found.strategy["micro_batch"] == 8
    assert found.model["layers"] == 32
    assert "experts" not in found.model
    assert found.unread == ("metrics.log_freq",)


def test_a_torchtitan_file_of_the_first_versions_is_read() -> None:
    text = (
        "[model]\nname = 'llama3'\nflavor = '8B'\nconverters = 'float8'\n[training]\nbatch_size = 2\n"
        "data_parallel_shard_degree = 4\ntensor_parallel_degree = 8\n[experimental]\npipeline_parallel_degree = 2\n"
        "context_parallel_degree = 2\nenable_async_tensor_parallel = true\n"
    )
    found = read_strategy(text, "job.toml")
    degrees = ("data_parallel", "tensor_parallel", "pipeline_parallel", "context_parallel", "tensor_overlap")
    assert [found.strategy[name] for name in degrees] == [4, 8, 2, 2, 1]
    assert (found.global_batch, found.world_size, found.precision) == (8, 128, "fp8_current")
    assert found.unread == ()
    with pytest.raises(InputError, match="job:2"):
        read_strategy("[training]\nbatch_size = 'two'", "job")


def test_torchtitan_layers_per_stage_count_embedding_and_head() -> None:
    text = (
        "[model]\nname = 'llama3'\nflavor = '405B'\n[parallelism]\ndata_parallel_shard_degree = 4\n"
        "pipeline_parallel_degree = 8\npipeline_parallel_layers_per_stage = 4\n"
        "pipeline_parallel_schedule = 'Interleaved1F1B'\n"
    )
    assert read_strategy(text, "job.toml").strategy["virtual_stages"] == 4


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("--num-layers 32\n--tensor-model-parallel-size eight", ("job:2", "'eight'", "whole number")),
        ("--tensor-model-parallel-size", ("job:1", "nothing")),
        ("TP=$UNKNOWN\n--tensor-model-parallel-size $TP", ("job:2", "$UNKNOWN")),
        ("--recompute-granularity most", ("job:1", "full, selective")),
        ("--num-layers '\"'a'\"'\"b'", ("job:1",)),
        ("GPUS_PER_NODE=8\nNUM_NODES=1\n--tensor-model-parallel-size 3", ("job:3", "3 in 8")),
        ("[parallelism]\ntensor_parallel_degree = 'two'", ("job:2", "whole number")),
        ("[parallelism]\ntensor_parallel_degree = 0", ("job:2", "found 0")),
        ("[parallelism]\npipeline_parallel_schedule = '1F1'", ("job:2", "did you mean '1F1B'")),
        ("[parallelism]\n\ndata_parallel_shard_degree = 0", ("job:3", "-1")),
        ("[training]\nenable_cpu_offload = 1", ("job:2", "true or false")),
        ("[parallelism]\ntensor_parallel_degree = ", ("job:2", "not TOML")),
        ("ParallelismConfig(tensor_parallel_degree=degree)", ("job:1", "'degree'", "whole number")),
        ("ParallelismConfig()\nParallelismConfig()", ("job:2", "several configurations")),
        ("ParallelismConfig(", ("job:1", "not Python")),
        ("tensor: 8", ("job:1", "torchtitan", "Megatron-LM")),
        ("", ("job:1", "Megatron-LM")),
    ],
)
def test_bad_files_get_one_clear_message(text: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        read_strategy(text, "job")
    assert len(caught.value.problems) == 1
    for part in parts:
        assert part in str(caught.value)


@given(text=st.text(alphabet="-=abc[]()\"'$\\ \n#8", max_size=60), head=st.sampled_from(("", "--num-layers ", "[a]\n")))
@settings(max_examples=300, deadline=None)
def test_no_text_breaks_the_reader(text: str, head: str) -> None:
    try:
        read_strategy(head + text, "job")
    except InputError as error:
        message = str(error)
    else:
        return
    assert message.startswith("job:")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": {"tensor_paralel": 2}}, "did you mean 'tensor_parallel'"),
        ({"strategy": {"zero_stage": 4}}, "0 to 3"),
        ({"strategy": {"recompute": "some"}}, "none, selective, full"),
        ({"strategy": {"data_parallel": 32}}, "uses 1024 of 512"),
        ({"strategy": {"shard_ranks": 5}}, "do not divide"),
        ({"strategy": {"schedule": "dualpipe"}}, "virtual stages"),
        ({"strategy": {"virtual_stages": 30}}, "more than 80 layers"),
        ({"strategy": {"pipeline_parallel": 1}}, "need a pipeline"),
        ({"global_batch": 8}, "fewer than"),
        ({"precision": "bf61"}, "did you mean 'bf16'"),
        ({"optimizer": "sgd"}, "adam8bit"),
        ({"sequence": 0}, "at least 1"),
    ],
)
def test_requests_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        export_strategy("megatron-lm", request(**changes))


def test_an_unknown_framework_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'torchtitan'"):
        export_strategy("torch-titan", request())
