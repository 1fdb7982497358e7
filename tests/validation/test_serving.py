"""How right the serving model is on the packaged measurements: the published figures, so that a change cannot lose them
unseen. The bounds leave room for small changes; what is reached stands in docs/validation.md.
"""

import csv
from importlib.resources import files

import numpy as np
import pytest

from gigawatt.errors import InputError
from gigawatt.serving import engine_facts
from gigawatt.validation import validate_serving
from gigawatt.validation._serving import serving_parameters, spearman
from gigawatt.validation._serving_rows import read, read_rows

DENSE = {"Llama 3.1 70B", "Llama 3.1 8B", "Qwen3-32B", "Llama 2 70B", "BLOOM-176B"}


@pytest.fixture(scope="module")
def serving():
    return validate_serving()


def test_figures_over_all_rows(serving):
    summary = serving["summary"]
    assert summary["tpot_s"]["median_abs_error_pct"] <= 10.7
    assert summary["ttft_s"]["median_abs_error_pct"] <= 25.0
    assert abs(summary["ttft_s"]["bias_pct"]) <= 10.0
    assert summary["output_rate"]["median_abs_error_pct"] <= 13.0
    assert summary["predicted"] / summary["measurements"] >= 0.95


def test_dense_models(serving):
    rows = [row for row in serving["rows"] if row["quantity"] == "tpot_s" and row["ratio"]]
    errors = [abs(row["ratio"] - 1) for row in rows if row["model"] in DENSE and "MLPERF" not in row["group"]]
    assert len(errors) > 500
    assert np.median(errors) <= 0.09
    assert np.percentile(errors, 90) <= 0.2


@pytest.mark.parametrize("quantity", ["tpot_s", "ttft_s", "output_rate"])
def test_beats_the_roofline_with_one_constant(serving, quantity):
    figures = serving["summary"][quantity]
    assert figures["median_abs_error_pct"] < 0.6 * figures["baseline"]["median_abs_error_pct"]


def test_chips_and_models_nobody_has_seen(serving):
    figures = serving["summary"]["tpot_s"]
    assert figures["without_chip"]["median_abs_error_pct"] <= 13.0
    assert figures["without_model"]["median_abs_error_pct"] <= 15.0
    assert figures["rank_by_group"]["INFX"] >= 0.95


@pytest.mark.parametrize("quantity", ["tpot_s", "ttft_s", "output_rate"])
def test_intervals_hold_what_they_say(serving, quantity):
    figures = serving["summary"][quantity]
    assert 0.75 <= figures["inside_80"] <= 0.92
    assert 0.84 <= figures["inside_90"] <= 0.97


def test_every_row_is_predicted_or_says_why(serving):
    for row in serving["rows"]:
        assert (row["predicted"] is None) == bool(row["skipped"])
        if row["predicted"] is not None:
            assert np.isfinite(row["ratio"])
            assert row["ratio"] > 0


def test_constants_belong_to_stacks_and_families_of_chips():
    text = files("gigawatt.serving").joinpath("data", "fitted.csv").read_text(encoding="utf-8")
    table = list(csv.DictReader(text.splitlines()))
    assert {row["key"] for row in table} == {key for parameter in serving_parameters() for key in parameter.keys}
    assert len(serving_parameters()) <= 55
    for row in table:
        assert 0 < float(row["value_low"]) <= float(row["value_mid"]) <= float(row["value_high"])


def test_an_answer_for_any_engine_carries_their_spread():
    each = [engine_facts(name, "H100 SXM")["layer_s"] for name in ("vllm", "sglang", "tensorrt_llm")]
    both = engine_facts("any", "H100 SXM")["layer_s"]
    assert both.low <= min(number.best for number in each) < max(number.best for number in each) <= both.high


def test_a_file_of_ones_own(tmp_path):
    """A chip and a model that the catalogue lacks: the model is read from its architecture, the chip is named."""
    rows = [row for row in read_rows(None) if row["group"] == "INFX" and row["model"] == "Llama-3.1-70B"][:2]
    rows[0]["model"], rows[1]["accelerator"] = "a model nobody knows", "a chip nobody knows"
    target = tmp_path / "mine.csv"
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [key for key in rows[0] if key != "place"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    found = validate_serving(target)
    assert found["summary"]["tpot_s"]["n"] == 1
    assert "a chip nobody knows" in found["rows"][-1]["skipped"]
    target.write_text("id,group\na,b\n", encoding="utf-8")
    with pytest.raises(InputError, match="columns are missing"):
        validate_serving(target)


def test_rows_as_cases():
    by_id = {row["id"]: row for row in read_rows(None)}
    pools = read(next(row for row in by_id.values() if row["disaggregated"].startswith("1P(tp1,pp1,dp4,ep4)+15D")))
    assert (pools.prefill.workers, pools.degrees.workers, pools.degrees.tp) == (1, 15, 4)
    assert (pools.prompt, pools.output) == (pytest.approx(921.6), pytest.approx(7372.8))
    seen = read(by_id["LSS-RTXPRO6000-Llama-3.1-8B"])
    assert (seen.kind, seen.slots, seen.token_budget, seen.load) == ("open", 128, 2048, 10.3)


def test_spearman_of_known_ranks():
    assert spearman([1, 2, 3], [10, 20, 30]) == pytest.approx(1.0)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert spearman([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(0.8)
    assert spearman([1, 2], [5, 5]) == 0.0
