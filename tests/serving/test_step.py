"""Step times against rooflines, and in the right order."""

import numpy as np
import pytest

from gigawatt.catalog import load_catalog
from gigawatt.errors import InputError
from gigawatt.hardware import chip_of
from gigawatt.model import Precision, kv_cache_bytes_per_token, parameters, transformer_of
from gigawatt.serving import engine_constants, engine_facts, served_model, transformer_of_text

ROW = np.zeros(1, dtype=np.int64)


def decode(table, n, context):
    count = np.array([float(n)])
    return float(table.seconds(ROW, tokens=count, sampled=count, keys=count * context)[0])


@pytest.mark.parametrize("sequences", [1, 8, 64, 512])
def test_never_faster_than_reading_weights_and_cache_or_than_the_peak(make_table, sequences):
    known = load_catalog()
    model, chip = transformer_of(known.models["Llama 3.1 70B"]), chip_of(known.accelerator("H100 SXM"))
    table = make_table(tensor_parallel=4)
    count = parameters(model)
    weights = count.total - count.embedding
    cache = sequences * 2000 * kv_cache_bytes_per_token(model, Precision(kv_cache="fp8"))
    memory = (weights + cache) / (4 * chip.memory_bytes_per_s)
    compute = 2 * weights * sequences / (4 * chip.peak("fp8"))
    assert decode(table, sequences, 2000.0) > max(memory, compute)


def test_more_bandwidth_and_more_ranks_are_never_slower(make_table):
    slow = decode(make_table(tensor_parallel=2), 16, 2000.0)
    assert decode(make_table(tensor_parallel=2, bandwidth=1.5), 16, 2000.0) < slow
    assert decode(make_table(tensor_parallel=4), 16, 2000.0) < slow
    assert decode(make_table(tensor_parallel=2), 17, 2000.0) >= slow
    assert decode(make_table(tensor_parallel=2), 16, 2500.0) > slow


def test_prompt_never_faster_than_the_peak(make_table):
    known = load_catalog()
    chip = chip_of(known.accelerator("H100 SXM"))
    model = transformer_of(known.models["Llama 3.1 70B"])
    table, tokens = make_table(tensor_parallel=2), np.array([8192.0])
    seconds = table.seconds(
        ROW, tokens=tokens, sampled=np.ones(1), keys=np.zeros(1), pairs=tokens**2 / 2, prefill_tokens=tokens
    )
    flop = 2 * (parameters(model).active - 2 * parameters(model).embedding) * 8192
    assert flop / (2 * chip.peak("fp8")) < seconds[0] < 6 * flop / (2 * chip.peak("fp8"))


def test_prompts_carry_the_host_time_of_uncaptured_kernels(make_table):
    table = make_table(model="DeepSeek-R1", chip="H200 SXM", engine="sglang", tensor_parallel=8)
    tokens = np.array([64.0])
    plain = table.seconds(ROW, tokens=tokens, sampled=tokens, keys=np.zeros(1))
    prompt = table.seconds(ROW, tokens=tokens, sampled=tokens, keys=np.zeros(1), prefill_tokens=tokens)
    assert prompt[0] - plain[0] >= table.prompt_s[0] > 0.01


@pytest.mark.parametrize(
    ("name", "bytes_per_token"), [("Llama 3.1 8B", 131_072), ("Llama 3.1 70B", 327_680), ("DeepSeek-V3", 70_272)]
)
def test_cache_bytes_per_token(make_table, name, bytes_per_token):
    table = make_table(model=name, precision="bf16", chip="B200 SXM")
    assert table.kv_bytes[0] == bytes_per_token


def test_heads_are_repeated_beyond_their_number(make_table):
    eight, sixteen = (make_table(tensor_parallel=tp).kv_bytes[0] for tp in (8, 16))
    assert sixteen == 2 * eight


def test_memory_left_is_what_weights_leave(make_table):
    small, large = (make_table(tensor_parallel=tp).kv_capacity_bytes[0] for tp in (1, 2))
    assert large > 2 * small
    assert make_table(precision="bf16", tensor_parallel=1).kv_capacity_bytes[0] < 0


def test_constants_of_stacks_and_chips():
    assert engine_constants("tensorrt_llm").reserve == 1.0
    assert engine_constants("sglang").mixed == 0.0
    assert engine_constants("vllm", "A100 SXM 80GB").launch > engine_constants("vllm", "B200 SXM").launch
    for number in engine_facts("vllm", "H100 SXM").values():
        assert number.low <= number.best <= number.high
    with pytest.raises(InputError, match="did you mean"):
        engine_constants("vlm")


def test_linear_attention_moves_the_bytes_of_its_state():
    """Qwen3.5-397B: 64 value heads with states of 128 x 128 in 4 bytes, read and written, in 45 of 60 layers."""
    model = served_model(load_catalog().models["Qwen3.5-397B-A17B"])
    linear = [layer.attention for layer in model.layers if layer.attention.window]
    assert len(linear) == 45
    moved = linear[0].window * linear[0].cached_width * 2
    assert moved == pytest.approx(2 * 64 * 128 * 128 * 4, rel=0.01)
    assert parameters(model).total == pytest.approx(397e9, rel=0.02)


def test_model_from_the_text_of_a_table():
    text = "L=80;d=8192;heads=64;kv_heads=8;head_dim=128;ffn=28672;vocab=128256"
    model = transformer_of_text("like Llama", text)
    assert parameters(model).total == pytest.approx(70.55e9, rel=0.001)
    windowed = transformer_of_text(
        "oss",
        "L=36;d=2880;heads=64;kv_heads=8;head_dim=64;experts=128;top_k=4;moe_ffn=2880;sliding_window=128 on alternate layers;vocab=201088",
    )
    assert [layer.attention.window for layer in windowed.layers[:4]] == [128, None, 128, None]
    with pytest.raises(KeyError):
        transformer_of_text("nothing", "")
