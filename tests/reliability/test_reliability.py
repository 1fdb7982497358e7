import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatt.reliability import (
    GENERATIONS,
    RECOVERY_POLICIES,
    ReliabilityJob,
    assess,
    availability_interval,
    daly_interval,
    default_assumptions,
    default_operations,
    default_tiers,
    exact_efficiency,
    exact_interval,
    first_order_waste,
    fleet_processes,
    mean_time_between_failures,
    operations_of,
    poisson_quantile,
    processes_of,
    recovery_of,
    recovery_policy,
    tiers_of,
    young_interval,
)

HOUR, DAY = 3600.0, 86400.0


def values_of(policy="restart", generation="H100"):
    return {path: value.best for path, value in default_assumptions(generation, policy).items()}


def job_of(accelerators, policy="restart", **changes):
    values = values_of(policy)
    islands = 8 if policy == "islands" else 1
    return ReliabilityJob(
        **{
            "accelerators": accelerators,
            "processes": processes_of("H100", values),
            "policy": recovery_of(policy, values, accelerators // islands, 10.0),
            "islands": islands,
            "replicas": 16,
            "step_s": 10.0,
            "state_bytes": 14e12,
            "tiers": tiers_of(values),
            "operations": operations_of(values),
            "useful_s": 90 * DAY,
        }
        | changes
    )


def test_r14_llama_3_rate():
    rate = 419 / 54 / DAY / 16_384
    assert mean_time_between_failures(16_384, rate) == pytest.approx(3.09 * HOUR, rel=0.01)
    assert rate * DAY == pytest.approx(4.74e-4, rel=0.01)
    # hardware and software rates of the packaged table together are the published total
    values = values_of()
    ours = mean_time_between_failures(
        16_384, values["reliability.hardware_failure_rate"], values["reliability.software_failure_rate"]
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


@pytest.mark.parametrize("policy", RECOVERY_POLICIES)
@pytest.mark.parametrize("accelerators", [128, 1024, 100_000, 1_000_000, 10_000_000])
def test_assess_is_finite_at_any_size(accelerators, policy):
    result = assess(job_of(accelerators, policy))
    assert 0 <= result.goodput <= 1
    assert result.wall_time.value == pytest.approx(1)
    assert all(math.isfinite(output.value) for output in result.outputs.values())


def test_a_million_accelerators_need_hot_spares():
    whole, spare = (assess(job_of(1_000_000, policy, state_bytes=70e12)) for policy in ("restart", "hot_spare"))
    assert whole.goodput < 0.1
    assert spare.goodput > 0.6
    assert spare.spare_nodes > assess(job_of(100_000, "hot_spare")).spare_nodes > 0


@pytest.mark.parametrize("accelerators", [16_384, 100_000])
def test_wall_time_shares_against_simulation(accelerators):
    """A Poisson stream of failures, each followed by a restart that a failure may interrupt; shares of the clock."""
    free = dict.fromkeys(("fallback_interval_s", "corruption_detect_s"), 0.0)
    operations = replace(default_operations(), **free)
    job = job_of(
        accelerators, tiers=None, save_s=20.0, reload_s=0.0, spare_nodes=job_of(accelerators).nodes, start_s=0.0
    )
    result = assess(replace(job, operations=operations))
    gaps = np.random.default_rng(3).exponential(result.mtbf_s, 400_000)
    down = np.minimum(gaps, result.restart_s)
    saved = np.floor((gaps - down) / (result.interval_s + result.save_s))
    work, saving = saved.sum() * result.interval_s, saved.sum() * result.save_s
    parts = {child.label: child.value for child in result.wall_time.children}
    assert parts["useful"] == pytest.approx(work / gaps.sum(), abs=2e-3)
    assert parts["checkpoint stall"] == pytest.approx(saving / gaps.sum(), abs=2e-3)
    assert parts["detection"] + parts["restart"] == pytest.approx(down.sum() / gaps.sum(), abs=2e-3)


@pytest.mark.parametrize("generation", sorted(set(GENERATIONS.values())))
def test_the_table_of_a_plan_makes_the_packaged_job_again(generation):
    values = values_of("hot_spare", generation)
    assert processes_of(generation, values) == fleet_processes(generation)
    assert tiers_of(values) == default_tiers()
    assert operations_of(values) == default_operations()
    for policy in RECOVERY_POLICIES:
        assert recovery_of(policy, values_of(policy), 4096, 7.0) == recovery_policy(policy, 4096, step_s=7.0)


def test_rates_and_repairs_move_in_proportion():
    values = values_of()
    twice = {**values, "reliability.hardware_failure_rate": 2 * values["reliability.hardware_failure_rate"]}
    longer = {**values, "reliability.repair_s": 3 * values["reliability.repair_s"]}
    for before, faster, slower in zip(
        fleet_processes("H100"), processes_of("H100", twice), processes_of("H100", longer), strict=True
    ):
        assert faster.rate_per_s == pytest.approx(before.rate_per_s * (2 if before.hardware else 1))
        assert slower.repair_s == pytest.approx(3 * before.repair_s)
    same = processes_of("H100", longer, one_repair=True)
    assert {process.repair_s for process in same if process.hardware} == {longer["reliability.repair_s"]}


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
