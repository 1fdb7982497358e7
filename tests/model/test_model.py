from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.catalog import load_catalog, model_from_spec
from gigawatt.errors import InputError
from gigawatt.model import (
    PRECISIONS,
    FlopConvention,
    Sharding,
    activation_bytes,
    embedding_operations,
    flop_per_token,
    head_operations,
    kv_cache_bytes_per_token,
    layer_operations,
    logits_bytes,
    mean_context,
    parameters,
    training_flop_per_token,
    transformer_of,
)

CATALOG = load_catalog()
BF16 = PRECISIONS["bf16"]


def model_of(name):
    return transformer_of(CATALOG.model_entry(name))


def described():
    for entry in CATALOG.models.values():
        try:
            yield entry, transformer_of(entry)
        except InputError:
            continue


def test_r01_llama_405b_parameters():
    assert parameters(model_of("Llama 3.1 405B")).total == 405_853_388_800


def test_r02_training_computation_of_405b():
    assert 6 * parameters(model_of("Llama 3.1 405B")).total * 15.6e12 == pytest.approx(3.80e25, rel=5e-3)


def test_parameters_of_the_whole_catalogue():
    wrong = {}
    count = 0
    for entry, model in described():
        if entry.parameters_total is None:
            continue
        count += 1
        error = parameters(model).total / entry.parameters_total.best - 1
        if abs(error) > 0.014:
            wrong[entry.name] = error
    assert count >= 60
    # both add relative-position matrices that no other model has
    assert set(wrong) == {"Gopher 280B", "Chinchilla 70B"}


def test_every_model_is_described_or_says_why_not():
    silent = [entry.name for entry in CATALOG.models.values() if entry.type in ("dense", "moe")]
    missing = set(silent) - {entry.name for entry, _ in described()}
    assert missing == {"DeepSeek-V4-Flash", "DeepSeek-V4-Pro"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("Llama 3 8B", 131_072), ("Llama 3 70B", 327_680), ("Llama 3.1 405B", 516_096), ("DeepSeek-V3", 70_272)],
)
def test_r30_kv_cache_bytes_per_token(name, value):
    assert kv_cache_bytes_per_token(model_of(name), BF16) == value


def test_r30_kv_cache_of_llama_2_13b_at_8192_tokens():
    assert kv_cache_bytes_per_token(model_of("Llama 2 13B"), BF16) * 8192 == pytest.approx(6.71e9, rel=1e-3)


@pytest.mark.parametrize(("convention", "share"), [(FlopConvention.FULL, 0.083), (FlopConvention.CAUSAL, 0.042)])
def test_attention_share_of_405b_at_8192(convention, share):
    model = model_of("Llama 3.1 405B")
    assert flop_per_token(model, 8192, convention) / flop_per_token(model, 0, convention) - 1 == pytest.approx(
        share, abs=1e-3
    )


@pytest.mark.parametrize(("convention", "ratio"), [(FlopConvention.FULL, 1.33), (FlopConvention.CAUSAL, 0.67)])
def test_attention_share_of_405b_at_131072(convention, ratio):
    model = model_of("Llama 3.1 405B")
    assert flop_per_token(model, 131072, convention) / flop_per_token(model, 0, convention) - 1 == pytest.approx(
        ratio, abs=0.02
    )


def published(name, **changes):
    model = model_of(name)
    defaults = {"batch": 1, "sequence": 2048, "sharding": Sharding.of(), "precision": PRECISIONS["fp16"]}
    return model, activation_bytes(
        model, model.layers[0], materialised_scores=True, dropout=True, **(defaults | changes)
    )


@pytest.mark.parametrize(
    ("name", "factor", "saved", "total"),
    [("GPT-3 175B", 114, 0.702, 275.4e9), ("Megatron-Turing NLG 530B", 98, 0.653, 431.6e9)],
)
def test_r05_activation_factor_and_saving(name, factor, saved, total):
    model, kept = published(name, recompute=[0, 1, 2])
    assert kept[0] / (2048 * model.hidden) == pytest.approx(factor, rel=0.01)
    assert 1 - kept[1] / kept[0] == pytest.approx(saved, abs=0.005)
    assert kept[0] * len(model.layers) == pytest.approx(total, rel=0.01)
    assert kept[2] == 2 * 2048 * model.hidden


def test_activations_under_tensor_and_sequence_parallelism():
    model, plain = published("GPT-3 175B", recompute=1, sharding=Sharding.of(tensor_parallel=8, sequence_parallel=0))
    _, split = published("GPT-3 175B", recompute=1, sharding=Sharding.of(tensor_parallel=8, sequence_parallel=1))
    tokens = 2048 * model.hidden
    assert plain / tokens == pytest.approx(10 + 24 / 8)
    assert split / tokens == pytest.approx(34 / 8)


def test_logits():
    model = model_of("Llama 3 8B")
    assert (
        logits_bytes(model, batch=2, sequence=8192, sharding=Sharding.of(tensor_parallel=4))
        == 2 * 8192 * 128256 * 6 / 4
    )


MODELS = [
    "GPT-3 175B",
    "Llama 3.1 405B",
    "Mixtral 8x7B",
    "DeepSeek-V3",
    "Grok-2",
    "gpt-oss-120b",
    "Llama 4 Maverick 17B-128E",
]


def total_flop(model, phase, sharding, batch, sequence):
    arguments = {"phase": phase, "batch": batch, "sequence": sequence, "sharding": sharding, "precision": BF16}
    operations = [
        op
        for layer, count in model.groups()
        for op in layer_operations(model, layer, **arguments)
        for _ in range(count)
    ]
    operations += [*embedding_operations(model, **arguments), *head_operations(model, **arguments)]
    return sum(float(op.flop) for op in operations)


@pytest.mark.parametrize("name", MODELS)
def test_operations_add_up_to_the_flops_of_a_token(name):
    model = model_of(name)
    forward = total_flop(model, "forward", Sharding.of(), 1, 4096)
    assert forward == pytest.approx(4096 * flop_per_token(model, 4096), rel=1e-9)
    # a backward pass is twice the matrix products and 2.5 times the attention
    backward = total_flop(model, "backward", Sharding.of(), 1, 4096)
    assert 2 * forward <= backward <= 2.5 * forward
    assert forward + backward >= 4096 * training_flop_per_token(model, 4096)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(["GPT-3 175B", "Llama 3.1 405B", "Mixtral 8x7B", "Grok-2"]),
    tensor=st.sampled_from([1, 2, 4, 8]),
    context=st.sampled_from([1, 2, 4]),
    expert=st.sampled_from([1, 2, 4, 8]),
    batch=st.integers(1, 8),
)
def test_sharding_conserves_work(name, tensor, context, expert, batch):
    model = model_of(name)
    whole = total_flop(model, "forward", Sharding.of(), batch, 8192)
    # the router is computed on the tokens of a rank's share of the sequence, so it is divided with the rest
    shard = total_flop(model, "forward", Sharding.of(tensor, context, expert, 1, 1), batch, 8192)
    assert shard * tensor * context == pytest.approx(whole, rel=1e-9)


def test_columns_are_the_scalars_one_by_one():
    model = model_of("DeepSeek-V3")
    tensor = np.array([1, 2, 4, 8])
    arguments = {"phase": "backward", "batch": 1, "sequence": 4096, "precision": BF16}
    together = layer_operations(model, model.layers[-1], sharding=Sharding.of(tensor_parallel=tensor), **arguments)
    for index, degree in enumerate(tensor):
        alone = layer_operations(model, model.layers[-1], sharding=Sharding.of(tensor_parallel=degree), **arguments)
        for one, many in zip(alone, together, strict=True):
            assert np.broadcast_to(many.flop, (4,))[index] == float(one.flop)
            assert np.broadcast_to(many.bytes_moved, (4,))[index] == float(one.bytes_moved)


def test_decode_reads_the_cache_and_touches_few_experts():
    model = model_of("Mixtral 8x7B")
    arguments = {"phase": "decode", "sequence": 1, "sharding": Sharding.of(), "precision": BF16, "context": 4096}
    one = {op.name: op for op in layer_operations(model, model.layers[0], batch=1, **arguments)}
    many = {op.name: op for op in layer_operations(model, model.layers[0], batch=256, **arguments)}
    assert float(one["attention.core"].bytes_moved) >= 2 * 4096 * 2 * 8 * 128  # two bytes of every cached element
    assert float(one["experts.up"].count) == pytest.approx(2.0)  # one token uses two experts
    assert float(many["experts.up"].count) == pytest.approx(8.0, rel=1e-6)


def test_prediction_of_further_tokens_of_deepseek_v3():
    """DeepSeek-V3 at 4,096 tokens: about 250 GFLOP per trained token, 260 with its module (validation data, mb-moe)."""
    entry = CATALOG.model_entry("DeepSeek-V3")
    plain, predicting = (
        transformer_of(replace(entry, architecture={**entry.architecture, "mtp_modules": modules}))
        for modules in (0, 1)
    )
    assert training_flop_per_token(plain, 4096) == pytest.approx(250e9, rel=0.01)
    assert training_flop_per_token(predicting, 4096) == pytest.approx(260e9, rel=0.01)
    # "about 14B": a layer of experts, the join, and no embedding or head of its own
    added = parameters(predicting).total - parameters(plain).total
    assert added == pytest.approx(11.6e9, rel=0.01)


def test_windows_limit_attention():
    assert mean_context(8192, None, True) == 4096
    assert mean_context(8192, 128, True) == pytest.approx(128 - 128**2 / (2 * 8192))
    assert mean_context(64, 128, True) == 32
    assert mean_context(8192, None, False) == 8192


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"kv_heads": 7}, "do not divide"),
        ({"topk": 9}, "more than the 8 experts"),
        ({"ffn_act": "tanh"}, "unknown ffn_act"),
        ({"vocab": 0}, "patch_width"),
    ],
)
def test_impossible_architectures(changes, word):
    entry = model_from_spec({"base": "Grok-1", **changes}, "x.yaml:1:1", "model", CATALOG.model_entry("Grok-1"))
    with pytest.raises(InputError, match=word):
        transformer_of(entry, "x.yaml:1:1")
