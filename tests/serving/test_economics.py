"""Dollars and joules of tokens: parts sum to the whole, and DeepSeek's day closes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.catalog import load_catalog
from gigawatt.errors import InputError
from gigawatt.hardware import chip_of, fabric_of
from gigawatt.model import transformer_of
from gigawatt.serving import SERVING_PRECISIONS, Layouts, Served, engine_constants, step_table
from gigawatt.serving._economics import (
    TokenPrices,
    accelerator_usd_per_s,
    break_even_utilisation,
    list_prices,
    margin,
    online_day,
    request_times,
    revenue_usd,
    token_costs,
    tokens_per_joule,
)
from gigawatt.serving._length_mix import LengthMix
from gigawatt.serving._mean_field import mean_field
from gigawatt.serving._replicas import Replicas


@pytest.fixture(scope="module")
def table():
    catalog = load_catalog()
    accelerator = catalog.accelerator("H100 SXM")
    served = Served(
        model=transformer_of(catalog.model_entry("Llama 3.1 70B")), chip=chip_of(accelerator),
        fabric=fabric_of(accelerator, 8), precision=SERVING_PRECISIONS["bf16"], constants=engine_constants(),
    )  # fmt: skip
    return step_table(served, Layouts.of([8]))


def costs(table, mix, rate, usd_per_s=8 * 2 / 3600):
    rows = np.zeros(len(np.atleast_1d(rate)), dtype=np.int64)
    field = mean_field(table, rows, mix, Replicas(token_budget=2048), rate=rate)
    return token_costs(request_times(field, table, rows, mix), usd_per_s=usd_per_s, requests_per_s=field.served), field


def test_deepseeks_day_closes():
    # published: 226.75 nodes, 87,072 USD, 562,027 USD at list prices, 545 %; the rates need 226.9 nodes
    day = online_day()
    assert day.nodes == pytest.approx(226.9, abs=0.1)
    assert day.prefill_nodes == pytest.approx(95.5, abs=0.1)
    assert day.decode_nodes == pytest.approx(131.4, abs=0.1)
    assert day.cost.value == pytest.approx(87_072, rel=1e-3)
    assert day.revenue.value == pytest.approx(562_027, rel=2e-4)
    assert day.margin == pytest.approx(5.45, abs=0.01)
    assert day.usd_per_million_tokens == pytest.approx(0.112, abs=5e-4)
    paid = online_day(published_nodes=True)
    assert paid.cost.value == pytest.approx(87_072, abs=0.5)
    assert margin(562_027, 87_072) == pytest.approx(5.45, abs=0.005)


@settings(max_examples=15, deadline=None)
@given(prompt=st.integers(50, 8000), known=st.floats(0.0, 0.9), output=st.integers(2, 1500), load=st.floats(0.05, 0.95))
def test_parts_sum_to_the_cost_of_the_replica(table, prompt, known, output, load):
    mix = LengthMix.of(prompt, output, cached=np.floor(prompt * known))
    capacity = mean_field(table, np.zeros(1, dtype=np.int64), mix, Replicas(token_budget=2048), rate=0.0).capacity
    found, field = costs(table, mix, load * capacity)
    assert found.total_usd * field.served == pytest.approx(8 * 2 / 3600, rel=1e-9)
    assert found.breakdown().value == pytest.approx(float(found.total_usd[0]))
    million = found.usd_per_million()
    t = found.times
    parts = million["input"] * t.computed_tokens + million["cached"] * t.cached_tokens
    assert parts + million["output"] * t.output_tokens == pytest.approx(found.total_usd * 1e6)
    assert million["all on output"] == pytest.approx(found.total_usd * 1e6 / output)
    assert all((v >= 0.0).all() for v in million.values())


def test_cached_input_is_cheaper_than_computed_and_output_dearest(table):
    found, _ = costs(table, LengthMix.of(4000, 500, cached=2000), 3.0)
    million = found.usd_per_million()
    assert 0.0 < million["cached"][0] < 0.25 * million["input"][0]
    assert million["input"][0] < million["output"][0]


def test_time_of_decode_is_what_prefill_leaves(table):
    mix = LengthMix.of(1000, 300)
    rows = np.zeros(1, dtype=np.int64)
    field = mean_field(table, rows, mix, Replicas(token_budget=2048), rate=5.0)
    times = request_times(field, table, rows, mix)
    assert 5.0 * (times.prefill_s + times.cached_s + times.decode_s) == pytest.approx(1.0)
    # one step with all of a prompt in it takes so much longer than one without
    step = table.seconds(rows, tokens=1000.0 + field.decoding, sampled=1.0 + field.decoding, keys=np.zeros(1))
    less = table.seconds(rows, tokens=field.decoding, sampled=field.decoding, keys=np.zeros(1))
    assert times.prefill_s == pytest.approx(
        step - less + table.prefill_pair_s * 5e5 + table.prefill_token_s * 1e3, rel=0.1
    )


def test_more_load_makes_tokens_cheaper(table):
    found, _ = costs(table, LengthMix.of(1000, 300), np.array([0.5, 2.0, 5.0, 8.0]))
    assert (np.diff(found.total_usd) < 0.0).all()


def test_energy_and_price_of_accelerators():
    assert tokens_per_joule(4000.0, 8, 500.0, 1.25) == pytest.approx(0.8)  # 0.8 million tokens of a megawatt-second
    assert accelerator_usd_per_s(8, 2.0) == pytest.approx(8 * 2 / 3600)
    paid = accelerator_usd_per_s(1, 2.0, watts=1000.0, pue=1.2, usd_per_j=0.1 / 3.6e6)
    assert paid * 3600 == pytest.approx(2.0 + 0.12)


def test_break_even_and_margin(table):
    mix = LengthMix.of(1000, 300)
    rows = np.zeros(1, dtype=np.int64)
    field = mean_field(table, rows, mix, Replicas(token_budget=2048), rate=5.0)
    times = request_times(field, table, rows, mix)
    prices = TokenPrices(input=0.6e-6, cached=0.1e-6, output=0.6e-6)
    usd = accelerator_usd_per_s(8, 2.0)
    share = break_even_utilisation(times, prices, usd_per_s=usd, capacity=field.capacity)
    # at that share the own cost of a request is what the API asks for it
    assert usd / (share * field.capacity) == pytest.approx(revenue_usd(times, prices))
    assert revenue_usd(times, prices) == pytest.approx(1300 * 0.6e-6)
    assert margin(2.0, 1.0) == 1.0
    assert list_prices().output == 2.19e-6


def test_no_requests_have_no_cost_per_token(table):
    with pytest.raises(InputError, match="no cost per token"):
        costs(table, LengthMix.of(100, 10), 0.0)
