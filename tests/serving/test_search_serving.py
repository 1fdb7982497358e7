"""The search against brute force through other doors, its counts, its front, and what it says when nothing will do."""

import itertools
import math

import numpy as np
import pytest

from gigawatt.catalog import load_catalog
from gigawatt.errors import InputError
from gigawatt.hardware import chip_of, fabric_of
from gigawatt.model import transformer_of
from gigawatt.serving import SERVING_PRECISIONS, Served, engine_constants, step_table
from gigawatt.serving._length_mix import LengthMix
from gigawatt.serving._mean_field import mean_field
from gigawatt.serving._occupancy import occupancy
from gigawatt.serving._offers import Offer, PlanPromise, Space, possible_layouts
from gigawatt.serving._pools import Handover, Pools, disaggregated
from gigawatt.serving._replicas import Replicas
from gigawatt.serving._search import pareto, search

MIX = LengthMix.of(4000, 1000)
SMALL = Space(
    sequences=(4.0, 16.0, 48.0, 96.0, 160.0),
    token_budgets=(512.0, 2048.0),
    prefill_budgets=(8192.0,),
    ratio=(1, 2, 3),
)


def offer(chip="H100 SXM", precision="bf16", accelerators=16, usd=2.0, model="Llama 3.1 70B"):
    catalog = load_catalog()
    accelerator, net = catalog.accelerator(chip), transformer_of(catalog.model_entry(model))
    fabric = fabric_of(accelerator, accelerators)
    layouts = possible_layouts(net, accelerators, fabric.tiers[0].domain)
    served = Served(
        model=net, chip=chip_of(accelerator), fabric=fabric, precision=SERVING_PRECISIONS[precision],
        constants=engine_constants(),
    )  # fmt: skip
    table = step_table(served, layouts)
    return Offer(
        chip=chip, precision=precision, table=table, layouts=layouts, usd_per_hour=usd,
        watts=lambda n: 150.0 + 500.0 * n / (n + 40.0), out_bytes_per_s=50e9, token_bytes=float(table.kv_bytes.min()),
    )  # fmt: skip


@pytest.fixture(scope="module")
def h100():
    return offer()


def test_best_aggregated_plan_is_that_of_brute_force(h100):
    promise = PlanPromise(ttft_s=2.0, tpot_s=0.05)
    space = Space(**{**{f: getattr(SMALL, f) for f in SMALL.__dataclass_fields__}, "disaggregated": False})
    plans = search([h100], MIX, promise, accelerators=16, space=space)
    best, kept = -1.0, 0
    for row, sequences, budget in itertools.product(range(len(h100.layouts)), space.sequences, space.token_budgets):
        one = np.array([row])
        if h100.table.kv_capacity_bytes[row] < h100.table.kv_bytes[row] * 5016:
            continue
        balance = occupancy(h100.table, one, MIX, decoding=np.array([sequences]), token_budget=np.array([budget]))
        field = mean_field(
            h100.table, one, MIX, Replicas(max_sequences=1e9, token_budget=budget), rate=balance.rate, levels=(0.99,)
        )
        # a batch beyond the peak has a smaller twin at the same rate, which is what the mean field settles at
        if field.saturated[0] or abs(field.decoding[0] / sequences - 1.0) > 0.01 or field.preemption_risk[0] > 0.01:
            continue
        if field.ttft_s[0, 0] <= promise.ttft_s and field.tpot_s[0, 0] <= promise.tpot_s:
            kept += 1
            best = max(best, balance.rate[0] * (16 // int(h100.table.accelerators[row])))
    assert plans.found.rate[plans.best["throughput"]] == pytest.approx(best, rel=1e-6)
    assert plans.feasible == pytest.approx(kept, abs=2)  # of times within a cell of the promise
    assert plans.generated == len(h100.layouts) * 10


def test_disaggregated_plans_are_what_the_pools_do(h100):
    promise = PlanPromise(ttft_s=2.0, tpot_s=0.06)
    space = Space(**{**{f: getattr(SMALL, f) for f in SMALL.__dataclass_fields__}, "aggregated": False})
    plans = search([h100], MIX, promise, accelerators=16, space=space, keep=10_000)
    assert plans.feasible == len(plans.found) > 10
    for i in np.linspace(0, len(plans.found) - 1, 12).astype(int):
        p = plans.found.take(slice(i, i + 1))
        pools = [
            Pools(table=h100.table, rows=row, how=Replicas(max_sequences=1e9, token_budget=budget, replicas=many))
            for row, budget, many in (
                (p.prefill_row, p.prefill_budget, p.prefill_replicas),
                (p.row, p.token_budget, p.replicas),
            )
        ]
        size = h100.table.accelerators[p.prefill_row[0]]
        hand = Handover(token_bytes=h100.token_bytes, bytes_per_s=h100.out_bytes_per_s * size)
        both = disaggregated(*pools, MIX, rate=p.rate / p.copies, handover=hand, levels=(0.99,))
        assert not both.saturated[0]
        assert both.tpot_s[0, 0] == pytest.approx(p.tpot_s[0], rel=0.01)
        if p.prefill_load[0] > space.prefill_loads[0]:
            assert both.prefill.ttft_s[0, 0] == pytest.approx(p.ttft_s[0], rel=0.06)
        else:
            assert both.prefill.ttft_s[0, 0] <= p.ttft_s[0] * 1.01
        assert p.accelerators[0] <= 16


def test_every_configuration_is_counted(h100):
    plans = search([h100], MIX, PlanPromise(ttft_s=2.0, tpot_s=0.05), accelerators=16, space=SMALL)
    assert plans.generated == plans.judged + sum(plans.rejected.values())
    size = h100.table.accelerators.astype(int)
    apart = sum(
        1
        for a in size
        for b in size
        for p in SMALL.ratio
        for d in SMALL.ratio
        if math.gcd(p, d) == 1 and p * a + d * b <= 16
    )
    assert plans.generated == len(size) * 5 * 2 + apart * 5
    assert plans.feasible <= plans.judged


def test_front_and_objectives(h100):
    cheap = offer(precision="fp8", usd=1.0)
    plans = search(
        [h100, cheap], MIX, PlanPromise(ttft_s=2.0, tpot_s=0.05), accelerators=16, space=SMALL, objective="cost"
    )
    found = plans.found
    per, user = plans.tokens_per_accelerator(found), 1.0 / found.tpot_mean_s
    beaten = [bool(((per >= a) & (user >= b) & ((per > a) | (user > b))).any()) for a, b in zip(per, user, strict=True)]
    front = {(round(a, 9), round(b, 9)) for a, b, lost in zip(per, user, beaten, strict=True) if not lost}
    got = zip(plans.tokens_per_accelerator(plans.pareto), 1.0 / plans.pareto.tpot_mean_s, strict=True)
    assert {(round(a, 9), round(b, 9)) for a, b in got} == front
    assert plans.best["cost"] == 0
    assert plans.usd_per_million(found)[0] == plans.usd_per_million(found).min()
    assert plans.tokens_per_joule(found)[plans.best["power"]] == plans.tokens_per_joule(found).max()
    assert plans.offers[found.offer[0]].precision == "fp8"
    assert "USD per million" in plans.reasons["cost"]
    assert (found.tpot_s <= 0.05).all()
    assert (found.ttft_s <= 2.0).all()


def test_front_of_random_points():
    x = np.random.default_rng(0).integers(0, 12, (200, 2)).astype(float)
    rows = set(map(tuple, x[pareto(x[:, 0], x[:, 1])]))
    slow = {tuple(a) for a in x if not any((b >= a).all() and (b > a).any() for b in x)}
    assert rows == slow


def test_rate_sets_the_number_of_accelerators(h100):
    promise = PlanPromise(ttft_s=2.0, tpot_s=0.05)
    few = search([h100], MIX, promise, accelerators=16, rate=1.0, space=SMALL)
    all_ = search([h100], MIX, promise, accelerators=16, space=SMALL)
    assert few.found.rate.max() <= 1.0 + 1e-9
    assert few.found.accelerators[few.best["throughput"]] < all_.found.accelerators[all_.best["throughput"]]
    much = search([h100], MIX, promise, accelerators=16, rate=1000.0, space=SMALL)
    assert much.found is None
    assert much.misses[0].limit == "rate"
    assert much.misses[0].reached == pytest.approx(all_.found.rate.max())


def test_nearest_miss_says_what_would_do(h100):
    promise = PlanPromise(ttft_s=1.0, tpot_s=0.004)
    plans = search([h100], MIX, promise, accelerators=16, space=SMALL)
    assert plans.found is None
    miss = plans.misses[0]
    assert miss.limit == "TPOT"
    assert miss.factor == pytest.approx(miss.reached / miss.wanted)
    again = PlanPromise(ttft_s=promise.ttft_s * miss.factor * 1.001, tpot_s=promise.tpot_s * miss.factor * 1.001)
    assert search([h100], MIX, again, accelerators=16, space=SMALL).feasible >= 1
    less = PlanPromise(ttft_s=promise.ttft_s * miss.factor * 0.98, tpot_s=promise.tpot_s * miss.factor * 0.98)
    assert search([h100], MIX, less, accelerators=16, space=SMALL).feasible == 0


def test_a_model_that_does_not_fit_is_an_answer():
    big = offer(accelerators=1)
    plans = search([big], MIX, PlanPromise(ttft_s=2.0, tpot_s=0.05), accelerators=1, space=SMALL)
    assert plans.found is None
    assert plans.misses[0].limit == "memory"
    assert "GB more memory" in plans.misses[0].remedy


def test_mixed_chips_prefill_on_one_and_decode_on_the_other(h100):
    other = offer("H200 SXM")
    space = Space(**{**{f: getattr(SMALL, f) for f in SMALL.__dataclass_fields__}, "mixed_chips": True})
    plans = search([h100, other], MIX, PlanPromise(ttft_s=2.0, tpot_s=0.05), accelerators=16, space=space, keep=100_000)
    pairs = set(zip(plans.found.prefill_offer.tolist(), plans.found.offer.tolist(), strict=True))
    assert {(0, 1), (1, 0)} <= pairs
    assert plans.generated == plans.judged + sum(plans.rejected.values())


def test_layouts_divide_the_model():
    catalog = load_catalog()
    dense = transformer_of(catalog.model_entry("Llama 3.1 70B"))
    layouts = possible_layouts(dense, 32, 8)
    assert (64 % layouts.tensor_parallel == 0).all()
    assert layouts.tensor_parallel.max() == 8
    assert (layouts.expert_parallel == 1).all()
    assert layouts.accelerators.max() <= 32
    sparse = transformer_of(catalog.model_entry("DeepSeek-V3"))
    layouts = possible_layouts(sparse, 64, 8)
    assert set(np.unique(256 % layouts.expert_parallel)) == {0}
    assert layouts.attention_data_parallel.max() > 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda o: search([], MIX, PlanPromise(ttft_s=1.0, tpot_s=1.0), accelerators=8),
        lambda o: search([o], MIX, PlanPromise(ttft_s=1.0, tpot_s=1.0), accelerators=0),
        lambda o: search([o], MIX, PlanPromise(ttft_s=1.0, tpot_s=1.0), accelerators=8, rate=0.0),
        lambda o: search([o], MIX, PlanPromise(ttft_s=1.0, tpot_s=1.0), accelerators=8, objective="costs"),
        lambda o: PlanPromise(ttft_s=0.0, tpot_s=1.0),
        lambda o: PlanPromise(ttft_s=1.0, tpot_s=1.0, share=1.0),
    ],
)
def test_says_what_is_wrong(h100, wrong):
    with pytest.raises(InputError, match="serving"):
        wrong(h100)
