"""A user's entries over the packaged ones."""

import json

import pytest

from gigawatt.catalog import load_catalog
from gigawatt.errors import InputError


def overlay(tmp_path, text):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    return load_catalog([file])


def test_a_known_entry_keeps_its_other_fields(catalog, tmp_path):
    mine = overlay(tmp_path, "accelerators:\n  MI300X: {price: '$14,000'}\n")
    assert mine.accelerator("MI300X").price_usd.best == 14000
    assert mine.accelerator("MI300X").memory_bytes == catalog.accelerator("MI300X").memory_bytes


@pytest.mark.parametrize("name", ["H100 SXM", "h100 sxm", "H100"])
def test_a_known_name_in_any_spelling_changes_the_known_entry(catalog, tmp_path, name):
    mine = overlay(tmp_path, f"accelerators:\n  {name}: {{tdp: 600 W}}\n")
    assert len(mine.accelerators) == len(catalog.accelerators)
    assert mine.accelerator("H100 SXM").tdp_w.best == 600
    assert mine.accelerator("H100").memory_bytes.best == 80e9


def test_an_alias_with_a_base_is_a_new_entry(catalog, tmp_path):
    mine = overlay(tmp_path, "accelerators:\n  H100: {base: H100 SXM, tdp: 600 W}\n")
    assert mine.accelerator("H100").tdp_w.best == 600
    assert mine.accelerator("H100 SXM").tdp_w.best == 700


def test_a_given_peak_drops_the_rate_that_was_measured_on_another(catalog, tmp_path):
    mine = overlay(tmp_path, "accelerators:\n  Fast: {base: H100, bf16: 2 PFLOP/s}\n").accelerator("Fast")
    assert "bf16" not in mine.measured_flop_per_s
    assert mine.measured_flop_per_s["fp8"] == catalog.accelerator("H100").measured_flop_per_s["fp8"]


def test_a_model_may_come_from_a_configuration_beside_the_overlay(tmp_path):
    config = {
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 100,
        "intermediate_size": 128,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    entry = overlay(tmp_path, "models:\n  Mine: {config: config.json, layers: 3}\n").model_entry("Mine")
    assert entry.architecture["layers"] == 3
    assert entry.architecture["hidden"] == 64


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("facts:\n  x: {best: 5, low: 9, high: 3}\n", "the range must hold the best value"),
        ("facts:\n  x: {best: 3 kWh, unit: kWh}\n", "did you mean 'J'"),
        ("facts:\n  x: {best: 3, unit: banana}\n", "SI symbol"),
        ("accelerators:\n  X: {base: 3}\n", "no accelerator of this name"),
        ("models:\n  M: {config: nothere.json}\n", "there is no such file"),
        ("accelerators:\n  X: {base: H100, scale_up_domain: 2.5}\n", "a whole number from 1"),
    ],
)
def test_bad_entries(tmp_path, text, words):
    with pytest.raises(InputError) as error:
        overlay(tmp_path, text)
    assert words in str(error.value)
    if "nothere" not in text:
        assert "mine.yaml:2" in str(error.value)
