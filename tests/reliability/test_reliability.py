import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatt.catalog import load_catalog
from gigawatt.reliability import (
    ASSUMPTIONS,
    assess,
    availability_interval,
    daly_interval,
    exact_efficiency,
    exact_interval,
    first_order_waste,
    mean_time_between_failures,
    poisson_quantile,
    spares_needed,
    young_interval,
)

HOUR, DAY = 3600.0, 86400.0
VALUES = {path: load_catalog().fact(path).best for path in ASSUMPTIONS}


def test_r14_llama_3_rate():
    rate = 419 / 54 / DAY / 16_384
    assert mean_time_between_failures(16_384, rate) == pytest.approx(3.09 * HOUR, rel=0.01)
    assert rate * DAY == pytest.approx(4.74e-4, rel=0.01)
    # hardware and software rates of the catalogue together are the published total
    ours = mean_time_between_failures(
        16_384, VALUES["reliability.hardware_failure_rate"], VALUES["reliability.software_failure_rate"]
    )
    assert ours == pytest.approx(3.09 * HOUR, rel=0.03)


def test_r15_rsc_1_projections():
    rate = 6.50 / 1000 / 8 / DAY
    assert mean_time_between_failures(16_384, rate) == pytest.approx(1.80 * HOUR, rel=0.01)
    assert mean_time_between_failures(131_072, rate) == pytest.approx(0.225 * HOUR, rel=0.01)
    assert mean_time_between_failures(1e6, rate) == pytest.approx(1.8 * 60, rel=0.02)


def test_r16_optimal_checkpoint():
    assert young_interval(10, 6600) == pytest.approx(363, abs=0.5)
    assert round(float(young_interval(10, 6600)) / 15) == 24
    assert availability_interval(10, 6000, 600) == pytest.approx(373.5, abs=0.05)


# MTBF, restart, save, efficiency (docs/science.md 8.4)
R18 = [
    (3.09 * HOUR, 600, 60, 0.853),
    (3.09 * HOUR, 180, 10, 0.943),
    (1800, 600, 60, 0.551),
    (1800, 180, 10, 0.814),
    (182, 600, 60, 0.015),
    (182, 180, 10, 0.26),
    (182, 20, 1, 0.806),
]


@pytest.mark.parametrize(("mtbf", "restart", "save", "efficiency"), R18)
def test_r18_goodput(mtbf, restart, save, efficiency):
    best = exact_interval(save, mtbf)
    assert float(exact_efficiency(best, save, restart, mtbf)) == pytest.approx(efficiency, rel=0.02, abs=6e-4)


@pytest.mark.parametrize(("mtbf", "restart", "save", "efficiency"), [R18[0], R18[3], R18[5], R18[6]])
def test_closed_form_against_simulation(mtbf, restart, save, efficiency):
    """Exponential failures at any time: during work, saves and restarts."""
    rng = np.random.default_rng(20241124)
    interval = float(exact_interval(save, mtbf))
    clock = 0.0
    segments = 6000
    for _ in range(segments):
        while True:
            failure = rng.exponential(mtbf)
            if failure >= interval + save:
                clock += interval + save
                break
            clock += failure
            while True:  # restarts can fail too
                failure = rng.exponential(mtbf)
                if failure >= restart:
                    clock += restart
                    break
                clock += failure
    simulated = segments * interval / clock
    assert float(exact_efficiency(interval, save, restart, mtbf)) == pytest.approx(simulated, rel=0.04)


@given(mtbf=st.floats(10, 1e7), save=st.floats(0.01, 1e3), restart=st.floats(0, 1e4), factor=st.floats(0.3, 3))
def test_the_best_interval_is_best(mtbf, save, restart, factor):
    best = exact_interval(save, mtbf)
    at_best = float(exact_efficiency(best, save, restart, mtbf))
    assert 0 <= at_best <= 1
    assert float(exact_efficiency(best * factor, save, restart, mtbf)) <= at_best * (1 + 1e-9)
    assert math.isfinite(at_best)


def test_daly_is_close_to_exact_and_first_order_for_rare_failures():
    assert float(daly_interval(10, 1e5)) == pytest.approx(float(exact_interval(10, 1e5)), rel=1e-4)
    assert float(daly_interval(100, 40)) == 40  # delta beyond 2M
    waste = first_order_waste(1000, 10, 100, 1e6)
    assert 1 - float(exact_efficiency(1000, 10, 100, 1e6)) == pytest.approx(waste, rel=0.05)


@given(mean=st.floats(0.01, 3000), probability=st.sampled_from([0.5, 0.9, 0.99, 0.999]))
def test_poisson_quantile_covers(mean, probability):
    quantile = poisson_quantile(mean, probability)
    assert quantile >= 0
    assert abs(quantile - mean) <= 4 * math.sqrt(mean) + 4
    if mean < 500:
        below = math.fsum(math.exp(-mean + k * math.log(mean) - math.lgamma(k + 1)) for k in range(quantile + 1))
        assert below >= probability - 1e-9


def test_poisson_quantile_refuses():
    with pytest.raises(ValueError, match="probability"):
        poisson_quantile(1.0, 1.0)


@pytest.mark.parametrize("accelerators", [8, 1024, 100_000, 1_000_000, 10_000_000])
def test_assess_is_finite_at_any_size(accelerators):
    for policy in ("restart", "hot_spare"):
        result = assess(accelerators=accelerators, parameters=1e12, values=VALUES, policy=policy)
        assert 0 <= result.goodput <= 1
        assert result.wall_time.value == pytest.approx(1)
        assert all(math.isfinite(output.value) for output in result.outputs.values())


def test_a_million_accelerators_need_hot_spares():
    whole = assess(accelerators=1_000_000, parameters=5e12, values=VALUES)
    spare = assess(accelerators=1_000_000, parameters=5e12, values=VALUES, policy="hot_spare")
    assert whole.goodput < 0.1
    assert spare.goodput > 0.7
    assert "hot spares" in whole.warnings[0]
    assert spares_needed(1_000_000, VALUES) > spares_needed(100_000, VALUES) > 0
    with pytest.raises(ValueError, match="unknown policy"):
        assess(accelerators=8, parameters=1, values=VALUES, policy="hope")


@pytest.mark.parametrize("accelerators", [16_384, 100_000, 1_000_000])
def test_wall_time_shares_against_simulation(accelerators):
    """A Poisson stream of failures, each followed by a restart that a failure may interrupt; four shares of the clock."""
    result = assess(accelerators=accelerators, parameters=1e12, values=VALUES)
    gaps = np.random.default_rng(3).exponential(result.mtbf_s, 400_000)
    down = np.minimum(gaps, result.restart_s)
    saved = np.floor((gaps - down) / (result.interval_s + result.save_s))
    work, saving = saved.sum() * result.interval_s, saved.sum() * result.save_s
    simulated = [work, saving, down.sum(), gaps.sum() - down.sum() - work - saving]
    for child, seconds in zip(result.wall_time.children, simulated, strict=True):
        assert child.value == pytest.approx(seconds / gaps.sum(), abs=2e-3), child.label


def test_the_best_interval_keeps_its_digits_for_rare_failures():
    for mtbf in (1e8, 1e12, 1e16, 1e20):
        assert float(exact_interval(1.0, mtbf)) == pytest.approx(float(young_interval(1.0, mtbf)) - 2 / 3, rel=1e-8)


def test_a_free_save_loses_only_restarts():
    assert float(exact_interval(0.0, 1000.0)) == 0
    assert float(exact_efficiency(0.0, 0.0, 100.0, 1000.0)) == pytest.approx(math.exp(-0.1))


def test_scalars_and_columns_agree():
    mtbf, save = np.array([182.0, 1800.0, 11124.0]), np.array([1.0, 10.0, 60.0])
    columns = exact_efficiency(exact_interval(save, mtbf), save, 20.0, mtbf)
    rows = [float(exact_efficiency(exact_interval(d, m), d, 20.0, m)) for d, m in zip(save, mtbf, strict=True)]
    assert columns == pytest.approx(rows, rel=1e-12)


def test_spares_are_whole_servers():
    assert spares_needed(100_000, VALUES, 8) == 8 * spares_needed(100_000, VALUES)
