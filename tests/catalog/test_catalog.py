import json
import math
import re
from pathlib import Path

import pytest

from gigawatt.catalog import KINDS, load_catalog, model_from_config, model_from_spec
from gigawatt.catalog._catalog import sortable_date
from gigawatt.catalog._tables import packaged_rows, si_units
from gigawatt.errors import InputError
from gigawatt.model import parameters, transformer_of


def test_counts(catalog):
    assert len(catalog.accelerators) == 43
    assert len(catalog.models) == 78


def test_every_number_is_finite_ordered_and_sourced(catalog):
    numbers = [(a.name, n) for a in catalog.accelerators.values() for n in a.numbers().values()]
    numbers += [(key, row) for key, rows in catalog.facts.items() for row in rows]
    assert len(numbers) > 600
    for name, number in numbers:
        assert number.low <= number.best <= number.high, name
        assert math.isfinite(number.low), name
        assert number.source, name


def test_every_alias_and_price_series_resolves(catalog):
    for row in packaged_rows("aliases.csv"):
        if row["kind"].startswith("family of "):
            assert catalog.accelerator(row["name"]).name == row["name"]
            continue
        found = catalog.accelerator(row["alias"]) if row["kind"] == "accelerator" else catalog.model_entry(row["alias"])
        assert found.name == row["name"]
    for row in packaged_rows("price_series.csv"):
        assert catalog.accelerator_price(catalog.accelerator(row["accelerator"]), "2025").unit == "USD"


@pytest.mark.parametrize(
    ("name", "nearest"), [("H1OO", "H100 SXM"), ("Blackwell", "GB200 (per GPU)"), ("tpu", "TPU v5p")]
)
def test_what_a_name_may_have_meant(catalog, name, nearest):
    with pytest.raises(InputError, match=re.escape(f"did you mean {nearest!r}")):
        catalog.accelerator(name)


@pytest.mark.parametrize(("field", "value"), [("layers", 1_000_000), ("experts", 10**9), ("hidden", 10**20)])
def test_no_model_is_that_large(catalog, field, value):
    with pytest.raises(InputError, match=f"model.{field}: impossible value.*at most"):
        model_from_spec({field: value}, "s.yaml:1:1", "model", catalog.model_entry("Llama 3 70B"))


def test_every_unit_is_known():
    units = si_units()
    for table in ("economics.csv", "assumptions.csv"):
        assert {row["unit"] for row in packaged_rows(table)} <= set(units)


def test_units_are_converted(catalog):
    assert catalog.fact("electricity.industrial.tennessee").best == pytest.approx(0.0674 / 3.6e6)
    assert catalog.fact("dc.capex.construction").best == pytest.approx(12.0)  # 12 million USD per MW
    h100 = catalog.accelerator("H100")
    assert h100.flop_per_s["bf16"].best == 989.4e12
    assert h100.scale_out_bytes_per_s.best == 5e10
    assert h100.price_usd.low == 20000


def test_facts_are_dated(catalog):
    assert catalog.fact("gpu_price.H100", "2023").best == 34641
    assert catalog.fact("gpu_price.H100", "2024-11").best == 26268
    assert catalog.fact("gpu_price.H100").best == 23238
    assert catalog.fact("gpu_price.H100", "2019").best == 36742  # earlier than all: the earliest


@pytest.mark.parametrize(
    ("text", "sortable"),
    [
        ("2024", "2024"),
        ("2025-Q2", "2025-06"),
        ("FY26Q1", "2025-04"),
        ("FY26Q4", "2026-01"),
        ("2023-2025", "2025"),
        ("", ""),
    ],
)
def test_dates_sort_by_their_end(text, sortable):
    assert sortable_date(text) == sortable


@pytest.mark.parametrize(
    ("name", "nearest"), [("H1000", "H100 SXM"), ("TPU v5", "TPU v5p"), ("Traniium2", "Trainium2")]
)
def test_unknown_accelerator_names_the_nearest(catalog, name, nearest):
    with pytest.raises(InputError) as error:
        catalog.accelerator(name, "here.yaml:3:5", "fleet.accelerator")
    assert error.value.problems[0].nearest == nearest
    assert "here.yaml:3:5" in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_listings_are_plain_data(catalog, kind):
    rows = catalog.listing(kind)
    assert rows
    json.dumps(rows, allow_nan=False)


def test_overlay_adds_and_overrides(catalog, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "accelerators:\n  Own chip: {base: H100 SXM, memory: 141 GB, bf16: 1200 TFLOP/s, tdp: 500 W}\n"
        "models:\n  Small: {base: Llama 3 8B, layers: 16}\n"
        "facts:\n  site.note: {best: 3 MW, low: 2 MW, high: 5 MW, unit: W, grade: estimate, source: me}\n"
    )
    mine = load_catalog([tmp_path])
    assert mine.accelerator("own chip").memory_bytes.best == 141e9
    assert mine.accelerator("own chip").memory_bytes_per_s == catalog.accelerator("H100").memory_bytes_per_s
    assert mine.model_entry("Small").architecture["layers"] == 16
    assert mine.fact("site.note").high == 5e6
    assert "Own chip" not in catalog.accelerators


def test_overlay_errors_come_all_at_once_with_their_line(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(
        "accelerators:\n  A: {base: H100 SXM, memry: 3 GB}\n  B: {bf16: 3 GB}\nmodells:\n  C: {layers: 3}\n"
    )
    with pytest.raises(InputError) as error:
        load_catalog([file])
    text = str(error.value)
    assert "bad.yaml:2" in text
    assert "did you mean 'memory'" in text
    assert "bad.yaml:3" in text
    assert "did you mean 'models'" in text


CONFIGS = {
    "Llama 3.1 8B": {
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "hidden_act": "silu",
        "max_position_embeddings": 131072,
        "tie_word_embeddings": False,
    },
    "Mixtral 8x7B": {
        "architectures": ["MixtralForCausalLM"],
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "num_experts_per_tok": 2,
        "num_local_experts": 8,
        "vocab_size": 32000,
        "sliding_window": None,
        "hidden_act": "silu",
    },
    "Qwen3-30B-A3B": {
        "architectures": ["Qwen3MoeForCausalLM"],
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "moe_intermediate_size": 768,
        "num_attention_heads": 32,
        "num_hidden_layers": 48,
        "num_key_value_heads": 4,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "head_dim": 128,
        "vocab_size": 151936,
    },
    "DeepSeek-V3": {
        "architectures": ["DeepseekV3ForCausalLM"],
        "hidden_size": 7168,
        "intermediate_size": 18432,
        "moe_intermediate_size": 2048,
        "num_attention_heads": 128,
        "num_hidden_layers": 61,
        "num_key_value_heads": 128,
        "n_routed_experts": 256,
        "n_shared_experts": 1,
        "num_experts_per_tok": 8,
        "first_k_dense_replace": 3,
        "moe_layer_freq": 1,
        "q_lora_rank": 1536,
        "kv_lora_rank": 512,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
        "vocab_size": 129280,
    },
    "gpt-oss-120b": {
        "architectures": ["GptOssForCausalLM"],
        "hidden_size": 2880,
        "intermediate_size": 2880,
        "num_attention_heads": 64,
        "num_hidden_layers": 36,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "num_local_experts": 128,
        "num_experts_per_tok": 4,
        "sliding_window": 128,
        "vocab_size": 201088,
        "layer_types": ["sliding_attention", "full_attention"] * 18,
    },
    "Grok-1": {
        "architectures": ["Grok1ModelForCausalLM"],
        "hidden_size": 6144,
        "intermediate_size": 32768,
        "num_attention_heads": 48,
        "num_hidden_layers": 64,
        "num_key_value_heads": 8,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "vocab_size": 131072,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
    },
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_file_is_the_catalogue_entry(catalog, tmp_path, name):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(CONFIGS[name]))
    read = parameters(transformer_of(model_from_config(file)))
    known = parameters(transformer_of(catalog.model_entry(name)))
    assert read.total == known.total
    assert read.active == known.active


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"architectures": ["LlamaForCausaLLM"]}', ["architecture is not known", "did you mean 'LlamaForCausalLM'"]),
        ('{"architectures": ["LlamaForCausalLM"], "hidden_size": 4', ["not valid JSON", "cut short"]),
        (
            '{"architectures": ["MixtralForCausalLM"], "hidden_size": 4096}',
            ["num_local_experts", "num_hidden_layers", "missing"],
        ),
        ("[1, 2]", ["a JSON object is needed"]),
        ('{"architectures": ["LlamaForCausalLM"], "hidden_size": "wide"}', ["a whole number is needed"]),
    ],
)
def test_bad_configuration_files(tmp_path, text, words):
    file = tmp_path / "config.json"
    file.write_text(text)
    with pytest.raises(InputError) as error:
        model_from_config(file)
    assert str(file) in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_the_package_does_not_need_the_checkout():
    import gigawatt.catalog

    assert (Path(gigawatt.catalog.__file__).parent / "data" / "README.md").exists()
