"""How right the step model is on the packaged measurements: the published figures, so that a change cannot lose them
unseen. The bounds leave room for small changes; what is reached stands in docs/validation.md.
"""

import csv
from importlib.resources import files

import numpy as np
import pytest

from gigawatt.errors import InputError
from gigawatt.training import constant_facts, stacks
from gigawatt.validation import parameters, ranking, validate_memory, validate_training


@pytest.fixture(scope="module")
def training():
    return validate_training()


def errors(training, group):
    return [abs(1 / row["ratio"] - 1) for row in training["rows"] if row["group"] == group and row["ratio"]]


def test_all_rows_and_sources_nobody_has_seen(training):
    summary = training["summary"]
    assert summary["median_abs_error_pct"] <= 5.0
    assert summary["left_out"]["median_abs_error_pct"] <= 10.0
    assert summary["left_out"]["median_abs_error_pct"] <= summary["baseline"]["median_abs_error_pct"] + 0.5
    assert abs(summary["bias_pct"]) <= 2.0


@pytest.mark.parametrize(
    ("group", "mean", "worst"),
    [("korthikanti2022-a100", 0.0365, 0.089), ("megatron2021-a100", 0.055, 0.12), ("bloom-a100", 0.068, 0.40)],
)
def test_one_set_of_a100_constants_on_three_published_sets(training, group, mean, worst):
    found = errors(training, group)
    assert np.mean(found) < mean
    assert max(found) < worst


def test_the_best_strategy_of_a_sweep_is_picked(training):
    order = ranking(training["rows"], "bloom-a100")
    assert order["picked_below_best"] <= 0.03
    assert order["kendall"] > 0.6
    with pytest.raises(KeyError):
        ranking(training["rows"], "no such group")


def test_kendall_of_known_rankings():
    def rows(pairs):
        return [{"group": "g", "measured": m, "predicted": p, "ratio": 1.0} for m, p in pairs]

    assert ranking(rows([(1, 1), (2, 2), (3, 3)]), "g")["kendall"] == 1.0
    assert ranking(rows([(1, 3), (2, 2), (3, 1)]), "g")["kendall"] == -1.0
    assert ranking(rows([(1, 1), (2, 3), (3, 2)]), "g")["kendall"] == pytest.approx(1 / 3)
    assert ranking(rows([(10, 2), (9, 3)]), "g")["picked_below_best"] == pytest.approx(0.1)


def test_scaling_trends_have_the_right_sign_and_size(training):
    """Megatron Core r0.8 on H100, weak scaling 1.7B to 462B (41 to 47-48 % of peak): within 10 % (docs/science.md R11)."""
    rows = [row for row in training["rows"] if row["group"] == "mcore-r08-h100"][:9]
    measured = np.array([row["measured"] for row in rows])
    predicted = np.array([row["predicted"] for row in rows])
    assert np.all(np.abs(predicted / measured - 1) < 0.2)
    assert predicted[-1] / predicted[0] == pytest.approx(measured[-1] / measured[0], rel=0.1)


def test_peak_memory():
    summary = validate_memory()["summary"]
    assert summary["n"] == 32
    assert summary["median_abs_error_pct"] <= 10.0


def test_no_constant_serves_a_row():
    """Every fitted constant belongs to a chip or a stack with several rows; its prior and range hold its value."""
    text = files("gigawatt.training").joinpath("data", "fitted.csv").read_text(encoding="utf-8")
    table = list(csv.DictReader(text.splitlines()))
    free = {key for parameter in parameters() for key in parameter.keys}
    assert {row["key"] for row in table} == free
    assert len(parameters()) < 60
    for row in table:
        assert float(row["value_low"]) <= float(row["value_mid"]) <= float(row["value_high"])


def test_stacks_know_their_constants():
    for name in stacks():
        if name != "*":
            assert constant_facts(name, "H100 SXM")
    assert constant_facts("maxtext", "TPU v7 Ironwood (TPU7x)")["sustained"].best > 1.0
    assert constant_facts("megatron-2021")["materialised_scores"].best == 1.0
    with pytest.raises(InputError, match="did you mean"):
        constant_facts("megatron-brigde")
