import csv
import io
import math
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatt.catalog import sourced_table
from gigawatt.errors import InputError
from gigawatt.evidence import Grade
from gigawatt.training import (
    SCALING_LAWS,
    ScalingLaw,
    critical_batch_tokens,
    latency_wall_flop,
    repeated_data_tokens,
    scaling_law,
    steps_and_tokens,
)

REFIT, HOFFMANN, UNROUNDED = scaling_law(), scaling_law("hoffmann"), scaling_law("hoffmann_unrounded")
DAY = 86400.0
laws = st.sampled_from([REFIT, HOFFMANN, UNROUNDED])
budgets = st.floats(1e19, 1e30)
sizes = st.floats(1e6, 1e14)
away = st.floats(0.05, 20.0)


@pytest.mark.parametrize(
    ("law", "flop", "parameters", "ratio"),
    [
        (HOFFMANN, 5.76e23, 3.22e10, 92.6),
        (REFIT, 5.76e23, 7.23e10, 18.4),
        (REFIT, 1e26, 1.02e12, 16.1),
        (REFIT, 1e28, 1.08e13, 14.4),
    ],
)
def test_r19_compute_optimal_models(law, flop, parameters, ratio):
    """docs/science.md 9.1."""
    n, d = law.compute_optimal(flop)
    assert n == pytest.approx(parameters, rel=0.005)
    assert d / n == pytest.approx(ratio, rel=0.005)
    assert 6 * n * d == pytest.approx(flop, rel=1e-12)


def test_rounding_alone_moves_the_optimum():
    """docs/science.md 9.1: 59 to 93 tokens per parameter."""
    n, d = UNROUNDED.compute_optimal(5.76e23)
    assert d / n == pytest.approx(59, rel=0.01)


def test_loss_of_chinchilla():
    assert REFIT.loss(70e9, 1.4e12) == pytest.approx(1.974, abs=0.0005)


@given(law=laws, flop=budgets, factor=away)
def test_the_optimum_is_least_along_its_budget(law, flop, factor):
    n, d = law.compute_optimal(flop)
    assert law.loss(n, d) <= law.loss(n * factor, d / factor) + 1e-12


@given(law=laws, n=sizes, d=sizes, factor=st.floats(1.01, 100.0))
def test_loss_falls_with_parameters_and_with_tokens(law, n, d, factor):
    assert law.loss(n * factor, d) < law.loss(n, d)
    assert law.loss(n, d * factor) < law.loss(n, d)
    assert law.loss(n, d) > law.E


@given(law=laws, flop=budgets, factor=away)
def test_tokens_for_inverts_the_loss(law, flop, factor):
    n, d = law.compute_optimal(flop)
    n, d = n * factor, d / factor
    assert law.tokens_for(law.loss(n, d), n) == pytest.approx(d, rel=1e-6)


@given(law=laws, loss=st.floats(1.9, 4.0))
def test_the_smallest_model_bounds_what_a_loss_allows(law, loss):
    smallest = law.smallest_parameters(loss)
    assert math.isfinite(law.tokens_for(loss, smallest * 1.001))
    with pytest.raises(ValueError, match="never reach"):
        law.tokens_for(loss, smallest * 0.999)


def test_columns_give_the_same_as_rows():
    n, d = np.geomspace(1e8, 1e12, 5), np.geomspace(1e10, 1e13, 5)
    losses = REFIT.loss(n, d)
    best_n, best_d = REFIT.compute_optimal(6 * n * d)
    for i in range(5):
        assert losses[i] == REFIT.loss(n[i], d[i])
        assert (best_n[i], best_d[i]) == REFIT.compute_optimal(6 * n[i] * d[i])
    assert REFIT.tokens_for(losses, n) == pytest.approx(d, rel=1e-9)
    assert REFIT.loss(1e9, d).shape == (5,)
    steps, tokens = steps_and_tokens(n, 1e9)
    assert steps[1] == 1 + 1e9 / n[1]
    assert tokens[1] == 1 + n[1] / 1e9


def cost(law, loss, n, inference, train_cost=1.0, inference_cost=1.0):
    return 6 * n * law.tokens_for(loss, n) * train_cost + 2 * n * inference * inference_cost


@given(law=laws, flop=st.floats(1e20, 1e28), served=st.floats(1e-3, 1e4), price=st.floats(0.1, 10.0), factor=away)
def test_over_training_is_cheapest_at_its_loss(law, flop, served, price, factor):
    n, d = law.compute_optimal(flop)
    loss, inference = law.loss(n, d), served * d
    found = law.over_trained(loss, inference, 1.0, price)
    assert law.loss(*found) == pytest.approx(loss, rel=1e-12)
    other = found[0] * factor
    if other > law.smallest_parameters(loss) * 1.0001:
        assert cost(law, loss, found[0], inference, 1.0, price) <= cost(law, loss, other, inference, 1.0, price) * (
            1 + 1e-9
        )


@given(law=laws, flop=st.floats(1e20, 1e28))
def test_inference_favours_smaller_models_trained_longer(law, flop):
    n, d = law.compute_optimal(flop)
    loss = law.loss(n, d)
    found = [law.over_trained(loss, served * d) for served in (0, 0.1, 1, 10, 100)]
    assert found[0] == pytest.approx((n, d), rel=1e-6)
    for (more_n, fewer_d), (fewer_n, more_d) in pairwise(found):
        assert fewer_n < more_n
        assert more_d > fewer_d


def test_over_training_against_a_fine_grid_and_in_money():
    loss, inference = REFIT.loss(70e9, 1.4e12), 20e12
    grid = np.geomspace(REFIT.smallest_parameters(loss) * 1.001, 1e12, 200_001)
    for train_cost, inference_cost in ((1.0, 1.0), (2e-18, 8e-18)):
        n, _ = REFIT.over_trained(loss, inference, train_cost, inference_cost)
        assert n == pytest.approx(
            grid[np.argmin(cost(REFIT, loss, grid, inference, train_cost, inference_cost))], rel=1e-4
        )
    assert REFIT.over_trained(loss, inference, 2.0, 2.0) == pytest.approx(REFIT.over_trained(loss, inference))
    assert REFIT.over_trained(loss, inference, 1.0, 3.0) == pytest.approx(REFIT.over_trained(loss, 3 * inference))


@given(batch=st.floats(1e3, 1e10), critical=st.floats(1e3, 1e10))
def test_steps_against_tokens(batch, critical):
    """arXiv 1812.06162: (S/S_min - 1)(E/E_min - 1) = 1, and steps times batch are the tokens."""
    steps, tokens = steps_and_tokens(batch, critical)
    assert (steps - 1) * (tokens - 1) == pytest.approx(1, rel=1e-6)
    assert steps * batch == pytest.approx(tokens * critical)
    assert steps_and_tokens(batch, batch) == (2.0, 2.0)


def test_critical_batch_is_an_estimate_that_grows_with_data():
    small, large = critical_batch_tokens(3.07e9), critical_batch_tokens(15e12)
    assert large.grade is Grade.ESTIMATE
    assert large.best / small.best == pytest.approx((15e12 / 3.07e9) ** 0.47)
    assert large.high / large.low > small.high / small.low
    # arXiv 2410.21676: 22.91 * (millions of tokens)^0.47 sequences of 512 cost 20 % more
    measured = 22.91 * 3070**0.47 * 512
    assert steps_and_tokens(measured, small.best)[1] == pytest.approx(1.2, abs=0.01)
    assert (large.low, large.best, large.high) == pytest.approx((36e6, 140e6, 430e6), rel=0.03)


@given(tokens=st.floats(1e6, 1e16))
def test_the_range_of_the_critical_batch_holds_its_best(tokens):
    found = critical_batch_tokens(tokens)
    assert found.low < found.best < found.high


@given(unique=st.floats(1e6, 1e15), epochs=st.floats(0.01, 1e4))
def test_repeated_data_is_worth_less_than_fresh_data(unique, epochs):
    worth = repeated_data_tokens(unique, epochs)
    assert worth <= unique * min(epochs, 16.4) * (1 + 1e-9)
    assert repeated_data_tokens(unique, epochs * 1.1) >= worth


def test_repeated_data_worked_values():
    """arXiv 2305.16264."""
    assert repeated_data_tokens(1e12, 1) == 1e12
    assert repeated_data_tokens(1e12, 0.5) == 5e11
    assert repeated_data_tokens(1.0, 4) == pytest.approx(3.73, abs=0.01)
    assert repeated_data_tokens(1.0, 40) == pytest.approx(15.2, abs=0.1)
    assert repeated_data_tokens(1.0, 1e6) == pytest.approx(16.39, abs=0.01)


def test_latency_wall():
    """docs/science.md 10.2."""
    assert latency_wall_flop(90 * DAY, 120, 4, 9e-6, 4e6) == pytest.approx(1.6e31, rel=0.03)
    base = latency_wall_flop(90 * DAY, 120, 4, 9e-6, 4e6)
    assert latency_wall_flop(90 * DAY, 240, 4, 9e-6, 4e6) == pytest.approx(base / 4)
    assert latency_wall_flop(90 * DAY, 120, 4, 9e-6, 8e6) == pytest.approx(base * 4)
    assert latency_wall_flop(90 * DAY, 120, 4, 9e-6, 4e6, tokens_per_parameter=10) == pytest.approx(base * 2)


def test_the_table_holds_the_named_laws_with_the_errors_of_the_refit():
    text = files("gigawatt.training").joinpath("data", "scaling_laws.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert all(row["key"].startswith(f"{row['law']}.") and row["source"] for row in rows)
    assert {row["law"] for row in rows} == {*SCALING_LAWS, "critical_batch", "repeated_data"}
    facts = sourced_table("gigawatt.training", "data/scaling_laws.csv")
    assert len(facts) == len(rows)
    errors = {"E": 0.03, "A": 124.58, "B": 1293.23, "alpha": 0.02, "beta": 0.02}
    for key, error in errors.items():
        fact = facts[f"epoch_refit.{key}"]
        assert fact.high - fact.best == pytest.approx(error, rel=1e-6)
        assert fact.best - fact.low == pytest.approx(error, rel=1e-6)


def test_unreachable_losses_say_so():
    with pytest.raises(ValueError, match=r"1e\+06 parameters never reach a loss of 1.9"):
        REFIT.tokens_for(1.9, 1e6)
    with pytest.raises(ValueError, match=r"1e\+06 parameters never reach a loss of 2 "):
        REFIT.tokens_for(2.0, np.array([1e12, 1e6]))
    for loss in (1.5, REFIT.E):
        with pytest.raises(ValueError, match="no model of any size"):
            REFIT.over_trained(loss, 1e12)
        with pytest.raises(ValueError, match="no model of any size"):
            REFIT.smallest_parameters(loss)


@pytest.mark.parametrize("bad", [0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize(
    "call",
    [
        lambda bad: REFIT.loss(bad, 1e9),
        lambda bad: REFIT.loss(1e9, bad),
        lambda bad: REFIT.loss(np.array([1e9, bad]), 1e9),
        lambda bad: REFIT.compute_optimal(bad),
        lambda bad: REFIT.tokens_for(bad, 1e9),
        lambda bad: REFIT.tokens_for(3.0, bad),
        lambda bad: REFIT.smallest_parameters(bad),
        lambda bad: REFIT.over_trained(bad, 1e9),
        lambda bad: REFIT.over_trained(2.0, 1e9, bad),
        lambda bad: REFIT.over_trained(2.0, 1e9, 1.0, bad),
        lambda bad: steps_and_tokens(bad, 1.0),
        lambda bad: steps_and_tokens(1.0, bad),
        lambda bad: critical_batch_tokens(bad),
        lambda bad: repeated_data_tokens(bad, 2.0),
        lambda bad: repeated_data_tokens(1e9, bad),
        lambda bad: latency_wall_flop(1.0, bad, 1.0, 1.0, 1.0),
        lambda bad: latency_wall_flop(1.0, 1.0, 1.0, 1.0, 1.0, tokens_per_parameter=bad),
        lambda bad: ScalingLaw(name="mine", E=bad, A=400.0, B=400.0, alpha=0.3, beta=0.3),
    ],
)
def test_what_is_not_positive_is_named(call, bad):
    with pytest.raises(ValueError, match=r"^\w+ must be positive and finite, not "):
        call(bad)


def test_inference_tokens_may_be_none_but_not_negative():
    with pytest.raises(ValueError, match="inference_tokens must be 0 or a positive number"):
        REFIT.over_trained(2.0, -1.0)


def test_an_unknown_law_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'hoffmann'"):
        scaling_law("hofmann")
