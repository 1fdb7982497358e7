import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatt.training import critical_batch_factors, latency_wall_flop, repeated_tokens, scaling_law

REFIT, HOFFMANN = scaling_law(), scaling_law("hoffmann")
budgets = st.floats(1e20, 1e30)


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
    assert n == pytest.approx(parameters, rel=0.01)
    assert d / n == pytest.approx(ratio, rel=0.01)
    assert 6 * n * d == pytest.approx(flop)


@given(flop=budgets, factor=st.floats(0.2, 5.0))
def test_the_optimum_is_least_along_its_budget(flop, factor):
    n, d = REFIT.compute_optimal(flop)
    assert REFIT.loss(n, d) <= REFIT.loss(n * factor, d / factor) + 1e-12


@given(flop=budgets)
def test_tokens_for_inverts_the_loss(flop):
    n, d = REFIT.compute_optimal(flop)
    assert REFIT.tokens_for(REFIT.loss(n, d), n) == pytest.approx(d, rel=1e-6)


@given(flop=st.floats(1e22, 1e27), inference=st.floats(1e11, 1e15))
def test_inference_favours_smaller_models_trained_longer(flop, inference):
    n, d = REFIT.compute_optimal(flop)
    loss = REFIT.loss(n, d)
    alone = REFIT.over_trained(loss, 0.0)
    served = REFIT.over_trained(loss, inference)
    assert alone[0] == pytest.approx(n, rel=1e-3)
    assert served[0] <= alone[0] * (1 + 1e-6)
    assert REFIT.loss(*served) == pytest.approx(loss, rel=1e-9)


def test_unreachable_losses_say_so():
    with pytest.raises(ValueError, match="never reach"):
        REFIT.tokens_for(1.9, 1e6)
    with pytest.raises(ValueError, match="no model reaches"):
        REFIT.over_trained(1.5, 1e12)
    with pytest.raises(ValueError, match="positive"):
        REFIT.compute_optimal(0)
    with pytest.raises(ValueError, match="positive"):
        REFIT.loss(0, 1)
    with pytest.raises(KeyError):
        scaling_law("other")


def test_batch_repetition_and_latency():
    assert critical_batch_factors(4e6, 4e6) == (2.0, 2.0)
    assert repeated_tokens(1e12, 0) == 1e12
    assert repeated_tokens(1e12, 1000) == pytest.approx(16.4e12)
    # docs/science.md 10.2
    assert latency_wall_flop(90 * 86400, 120, 4, 9e-6, 4e6) == pytest.approx(1.6e31, rel=0.03)
    assert math.isclose(latency_wall_flop(1, 2, 1, 1, 1) * 4, latency_wall_flop(1, 1, 1, 1, 1))
    with pytest.raises(ValueError, match="positive"):
        critical_batch_factors(0, 1)
