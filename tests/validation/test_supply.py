"""The supply chain against the quarters of 2024, known what was known by the end of 2023."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from gigawatt.catalog import chip_supply
from gigawatt.cli._app import app
from gigawatt.errors import InputError
from gigawatt.validation import backtest_supply


@pytest.fixture(scope="module")
def found():
    return backtest_supply()


def test_every_row_of_2024_is_predicted_or_says_why_not(found):
    rows = [row for row in found["rows"] if row["level"] == "chip"]
    expected = [row for row in chip_supply() if row.quarter.startswith("2024")]
    assert len(rows) == len(expected)
    for row in rows:
        assert (row["ratio"] is None) == bool(row["skipped"])
    skipped = {row["chip"] for row in rows if row["skipped"]}
    assert {"B200", "TPU v6e", "Trainium2"} <= skipped


def test_figures_are_at_least_what_was_published(found):
    """The published errors with room for small changes; the misses of H20, AMD and TPU v5p are among them."""
    summary = found["summary"]
    assert summary["n"] == 32
    assert summary["median_abs_error_pct"] <= 24.0
    assert -22.0 <= summary["bias_pct"] <= 10.0
    assert summary["by_level"]["total"]["median_abs_error_pct"] <= 22.0
    assert summary["by_level"]["total"]["inside_share"] >= 0.9
    assert summary["inside_share"] >= 0.7


def test_the_chain_beats_the_trivial_baselines_on_the_same_rows(found):
    summary = found["summary"]
    for name in ("last_quarter", "trend"):
        assert summary[f"{name}_rows"]["median_abs_error_pct"] < summary[name]["median_abs_error_pct"]
        assert summary[f"{name}_rows"]["n"] == summary[name]["n"] >= 16


def test_baselines_are_what_they_say(found):
    row = next(row for row in found["rows"] if row["id"] == "NVIDIA H100 2024-Q1")
    assert row["last_quarter"] == pytest.approx(423_514)
    sold = np.log([56_640, 151_413, 260_088, 423_514])
    slope, level = np.polyfit(range(4), sold, 1)
    assert row["trend"] == pytest.approx(np.exp(level + 4 * slope))
    assert row["measured"] == 552_252
    assert row["ratio"] == pytest.approx(row["predicted"] / row["measured"])


def test_sums_are_of_their_parts(found):
    by = {(row["group"], row["chip"], row["quarter"]): row for row in found["rows"]}
    for quarter in found["quarters"]:
        both = by["NVIDIA", "H100 + H20", quarter]
        parts = [by["NVIDIA", chip, quarter] for chip in ("H100", "H20")]
        for key in ("measured", "predicted"):
            assert both[key] == pytest.approx(sum(part[key] for part in parts))
    assert by["NVIDIA", "total", "2024-Q4"]["measured"] > by["NVIDIA", "H100 + H20", "2024-Q4"]["measured"]


def test_constants_come_from_quarters_before_the_cutoff(found):
    assert len(found["fitted"]) == 4
    for constant in found["fitted"]:
        assert all("2024" not in quarter for quarter in constant["quarters"])
        assert constant["low"] <= constant["best"] <= constant["high"]


def test_predictions_do_not_see_what_came_after_the_cutoff(found, monkeypatch):
    """Doubling every row after the cutoff changes errors and no prediction."""
    from dataclasses import replace

    from gigawatt.buildout import _vendors
    from gigawatt.validation import _supply

    def doubled():
        return tuple(
            row
            if row.quarter <= "2023-Q4"
            else replace(row, units=replace(row.units, low=0.0, best=2 * row.units.best, high=9 * row.units.high))
            for row in chip_supply()
        )

    caches = (_vendors.calibration, _vendors.vendor_mix, _supply._units)
    monkeypatch.setattr(_vendors, "chip_supply", doubled)
    monkeypatch.setattr(_supply, "chip_supply", doubled)
    for cache in caches:
        cache.cache_clear()
    again = backtest_supply()
    for cache in caches:
        cache.cache_clear()
    assert [row["predicted"] for row in again["rows"]] == [row["predicted"] for row in found["rows"]]
    assert again["rows"][0]["measured"] == 2 * found["rows"][0]["measured"]


@pytest.mark.parametrize("cutoff", ["2024-Q2", "2024-Q3"])
def test_later_cutoffs_predict_what_is_left(cutoff):
    found = backtest_supply(cutoff)
    assert found["quarters"][0] > cutoff
    assert found["summary"]["n"] > 0


@pytest.mark.parametrize("cutoff", ["soon", "2022-Q1", "2024-Q4", "2030-Q1"])
def test_a_cutoff_that_cannot_be_used_is_refused(cutoff):
    with pytest.raises(InputError, match="2023-Q4, 2024-Q1"):
        backtest_supply(cutoff)


def test_the_command_prints_a_table_and_json():
    shown = CliRunner().invoke(app, ["validate", "supply"])
    assert shown.exit_code == 0
    for text in ("NVIDIA H100", "not predicted: NVIDIA B200", "last quarter repeated", "32 rows predicted"):
        assert text in shown.output
    found = json.loads(CliRunner().invoke(app, ["validate", "supply", "--json"]).stdout)
    assert found["cutoff"] == "2023-Q4"
    assert len(found["rows"]) == 55
