"""Fleets hour by hour, spares, starts, and the way back from megawatts, dollars and users."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.catalog import load_catalog
from gigawatt.errors import InputError
from gigawatt.hardware import chip_of, fabric_of
from gigawatt.model import transformer_of
from gigawatt.serving import SERVING_PRECISIONS, Layouts, Served, engine_constants, step_table
from gigawatt.serving._fleet import (
    Operation,
    ReplicaKind,
    fleet,
    growing_fleet,
    reach,
    replicas_for,
    spares_for,
)
from gigawatt.serving._length_mix import LengthMix
from gigawatt.serving._mean_field import mean_field
from gigawatt.serving._offers import PlanPromise
from gigawatt.serving._promised import pooled_rates, promised_rate
from gigawatt.serving._replicas import Replicas

DAY = 100.0 * (1.0 + 0.5 * np.sin(2.0 * np.pi * (np.arange(24) - 9) / 24.0))
ONE = ReplicaKind.of(8.0, 4.0, watts=700.0, usd_per_hour=2.0)


def test_peak_sets_the_fleet_and_the_trough_is_free():
    found = fleet(ONE, DAY)
    assert found.needed[0].tolist() == [math.ceil(x / 4.0 - 1e-9) for x in DAY]
    assert found.built[0] == 38
    assert found.freed_accelerator_s.sum() == pytest.approx((38 * 24 - found.needed.sum()) * 8 * 3600)
    assert found.usd_per_month[0] == pytest.approx(38 * 8 * 2.0 * 365.25 * 2.0)
    assert found.freed_share[0] == pytest.approx(1.0 - found.needed.mean() / 38)


def test_a_replica_is_on_before_it_is_needed():
    day = np.array([4.0, 4.0, 40.0, 40.0, 4.0, 4.0])
    at_once = fleet(ONE, day)
    half = fleet(ONE, day, Operation(start_up_s=1800.0))
    two = fleet(ONE, day, Operation(start_up_s=7200.0))
    assert at_once.powered[0].tolist() == [1, 1, 10, 10, 1, 1]
    assert half.powered[0].tolist() == [1, 5.5, 10, 10, 1, 1]
    assert two.powered[0].tolist() == [10, 10, 10, 10, 1, 1]
    assert fleet(ONE, day[::-1], Operation(start_up_s=7200.0, repeats=False)).powered[0, -1] == 1
    assert (two.powered >= half.powered).all()


def test_spares_against_throws_of_dice():
    rng = np.random.default_rng(0)
    for count, down in ((10, 0.05), (100, 0.01), (1000, 0.02)):
        spare = int(spares_for(np.array(count), down, 0.01))
        for more, kept in ((0, True), (-1, False)):
            total = count + spare + more
            short = (rng.binomial(total, down, 200_000) > spare + more).mean()
            assert (short <= 0.0105) == kept
    assert spares_for(np.array([0, 50]), 0.0, 0.01).tolist() == [0, 0]


def test_larger_pools_need_fewer_replicas():
    pooled = ReplicaKind.of(8.0, np.array([[3.0, 4.0, 4.5]]), pool_sizes=np.array([1.0, 16.0, 256.0]))
    needed, bound = replicas_for(pooled, np.array([[2.9, 3.1, 64.0, 1152.0]]))
    assert bound.all()
    assert needed[0].tolist()[2:] == [16, 256]
    assert needed[0, 0] == 1
    for n, rate in zip(needed[0], (2.9, 3.1, 64.0, 1152.0), strict=True):
        served = pooled.served(np.array([[n - 1.0, n]]))[0]
        assert served[1] >= rate * (1 - 1e-9)
        assert n == 1 or served[0] < rate


def test_growth_over_months():
    year = growing_fleet(ONE, DAY, 0.1, 12)
    assert len(year) == 12
    assert year[0].built == fleet(ONE, DAY).built
    assert year[11].built[0] == math.ceil(150.0 * 1.1**11 / 4.0)
    assert all(b.built >= a.built for a, b in itertools.pairwise(year))


def test_way_back_closes_with_the_way_there():
    how = Operation(down_share=0.02)
    there = fleet(ONE, DAY, how)
    back = reach(ONE, megawatts=there.peak_watts[0] * 1.3 / 1e6, peak_rate_per_user=0.01, pue=1.3, operation=how)
    assert back.replicas == there.built
    assert back.spares == there.spares
    assert back.rate[0] == pytest.approx(4.0 * there.needed.max())
    assert back.binding[0] == "megawatts"
    money = reach(ONE, usd_per_month=there.usd_per_month[0], peak_rate_per_user=0.01, operation=how)
    assert money.replicas == there.built
    users = reach(ONE, users=DAY.max() / 0.01, peak_rate_per_user=0.01, operation=how)
    assert users.replicas == there.built
    assert users.users[0] == pytest.approx(DAY.max() / 0.01)


def test_least_of_the_means_decides_candidate_by_candidate():
    two = ReplicaKind.of([8.0, 8.0], [[4.0], [4.0]], watts=[700.0, 100.0], usd_per_hour=[1.0, 20.0])
    found = reach(two, megawatts=0.56, usd_per_month=584_400.0, peak_rate_per_user=0.01)
    assert found.binding.tolist() == ["megawatts", "dollars"]
    assert found.replicas.tolist() == [100, 5]


def test_a_promise_that_cannot_be_kept_is_an_answer():
    none = ReplicaKind.of(8.0, 0.0, watts=700.0)
    assert not fleet(none, DAY).bound[0]
    found = reach(none, megawatts=1.0, peak_rate_per_user=0.01)
    assert found.binding[0] == "promise"
    assert found.rate[0] == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: fleet(ONE, np.array([1.0, -1.0])),
        lambda: reach(ONE, peak_rate_per_user=0.01),
        lambda: reach(ONE, megawatts=-1.0, peak_rate_per_user=0.01),
        lambda: reach(ReplicaKind.of(8.0, 4.0), megawatts=1.0, peak_rate_per_user=0.01),
        lambda: Operation(down_share=1.0),
        lambda: growing_fleet(ONE, DAY, 0.1, 0),
    ],
)
def test_says_what_is_wrong(wrong):
    with pytest.raises(InputError, match="serving"):
        wrong()


@settings(max_examples=30, deadline=None)
@given(
    rate=st.lists(st.floats(0.0, 1e4), min_size=2, max_size=48),
    each=st.floats(0.1, 50.0),
    lead=st.floats(0.0, 20_000.0),
    down=st.floats(0.0, 0.2),
)
def test_fleet_keeps_its_promises(rate, each, lead, down):
    found = fleet(ReplicaKind.of(1.0, each), np.array(rate), Operation(start_up_s=lead, down_share=down))
    assert (found.needed[0] * each >= np.array(rate) * (1 - 1e-9)).all()
    assert ((found.needed[0] - 1) * each < np.array(rate) + 1e-9).all()
    assert (found.powered <= found.built[:, None] + 1e-9).all()
    assert (found.powered >= found.needed + found.spares[:, None] - 1e-9).all()
    assert (found.freed_accelerator_s >= -1e-6).all()


def test_promised_rate_is_the_edge_of_the_promise():
    catalog = load_catalog()
    accelerator = catalog.accelerator("H100 SXM")
    served = Served(
        model=transformer_of(catalog.model_entry("Llama 3.1 70B")), chip=chip_of(accelerator),
        fabric=fabric_of(accelerator, 8), precision=SERVING_PRECISIONS["bf16"], constants=engine_constants(),
    )  # fmt: skip
    table, mix = step_table(served, Layouts.of([8])), LengthMix.of(1200, 220)
    rows, how = np.zeros(1, dtype=np.int64), Replicas(token_budget=512)
    for promise, limit in (
        (PlanPromise(ttft_s=0.6, tpot_s=0.2), "TTFT"),
        (PlanPromise(ttft_s=60.0, tpot_s=0.022), "TPOT"),
        (PlanPromise(ttft_s=1e6, tpot_s=1e6), "prefill"),
    ):
        found = promised_rate(table, rows, mix, how, promise)
        assert found.limit[0] == limit
        at = mean_field(table, rows, mix, how, rate=found.rate, levels=(0.99,))
        assert at.ttft_s[0, 0] <= promise.ttft_s * 1.01
        assert at.tpot_s[0, 0] <= promise.tpot_s * 1.01
        more = mean_field(table, rows, mix, how, rate=found.rate * 1.03, levels=(0.99,))
        assert more.saturated[0] or more.ttft_s[0, 0] > promise.ttft_s or more.tpot_s[0, 0] > promise.tpot_s
    never = promised_rate(table, rows, mix, how, PlanPromise(ttft_s=0.01, tpot_s=0.2))
    assert never.rate[0] == 0.0
    pools = pooled_rates(
        table, 0, mix, Replicas(token_budget=512, router="least_loaded"), PlanPromise(ttft_s=0.6, tpot_s=0.2),
        np.array([1.0, 4.0, 64.0]),
    )  # fmt: skip
    assert (np.diff(pools.rate) > 0.0).all()
