"""Orders that share a supply: nothing is lost, premiums move forward what they displace elsewhere."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatt.buildout import (
    Calendar,
    MarketRules,
    Order,
    buyer_shares,
    deliveries,
    market_rules,
    monthly_supply,
    owners,
    price_path,
    redirect,
    rush_order,
    standing_orders,
    supply_line,
)

RULES = MarketRules(elasticity=6.0, wait_s=2.6e7, interest_per_s=3e-9)
orders = st.builds(
    Order,
    buyer=st.sampled_from("abcd"),
    units=st.floats(0, 1e6),
    placed=st.integers(0, 5),
    premium=st.floats(0, 1),
    prepaid=st.floats(0, 1),
    weight=st.floats(0.1, 10),
    standing=st.booleans(),
)
supplies = st.lists(st.floats(0, 1e5), min_size=1, max_size=8)


@given(placed=st.lists(orders, min_size=1, max_size=6), supply=supplies)
def test_what_is_delivered_and_unsold_is_the_supply(placed, supply):
    found = deliveries(placed, np.array(supply), RULES)
    total = found.units.sum(axis=(0, 1)) + found.unsold[0]
    assert total == pytest.approx(np.array(supply), rel=1e-9, abs=1e-6)
    assert np.all(found.units >= 0.0)
    for i, order in enumerate(placed):
        assert np.all(found.units[i, :, : order.begins] == 0.0)
        if not order.standing:
            assert found.units[i].sum() <= order.units * (1 + 1e-9) + 1e-9


@given(supply=supplies, standing=st.floats(1.0, 1e6))
def test_a_standing_order_takes_all_there_is(supply, standing):
    found = deliveries([Order(buyer="a", units=standing, standing=True)], np.array(supply), RULES)
    assert found.unsold.max() <= 1e-6
    assert found.units[0, 0] == pytest.approx(np.array(supply), rel=1e-9)


@given(placed=st.lists(orders, min_size=2, max_size=5), supply=supplies, more=st.floats(0.01, 1.0))
def test_a_premium_never_delays_the_order_that_pays_it(placed, supply, more):
    def ahead(premium):
        first = Order(buyer="me", units=1e4, premium=premium)
        return np.cumsum(deliveries([first, *placed], np.array(supply), RULES).units[0, 0])

    assert np.all(ahead(more) >= ahead(0.0) - 1e-3)


def test_equal_claims_share_alike_and_what_one_leaves_goes_to_the_others():
    three = [Order(buyer=name, units=units) for name, units in (("a", 10.0), ("b", 100.0), ("c", 100.0))]
    found = deliveries(three, np.array([120.0, 200.0]), MarketRules(elasticity=1.0, wait_s=1.0, interest_per_s=0.0))
    assert found.units[:, 0, 0] == pytest.approx([120 * 10 / 210, 120 * 100 / 210, 120 * 100 / 210])
    assert found.units[:, 0, 1].sum() == pytest.approx(210 - 120)
    assert found.unsold[0, 1] == pytest.approx(110)


def test_an_order_without_a_premium_waits_the_lead_time():
    open_units, rate = 1000.0, 100.0
    mine = Order(buyer="me", units=1.0)
    found = deliveries([mine, Order(buyer="others", units=open_units, standing=True)], np.full(30, rate), RULES)
    assert found.units[0, 0].sum() == pytest.approx(1.0)
    last = np.flatnonzero(found.units[0, 0])[-1]
    assert last == pytest.approx(open_units / rate, abs=1)
    rushed = deliveries(
        [Order(buyer="me", units=1.0, premium=0.2), Order(buyer="others", units=open_units, standing=True)],
        np.full(30, rate),
        RULES,
    )
    assert np.flatnonzero(rushed.units[0, 0])[-1] == pytest.approx(last / 1.2**6, abs=1)


def test_a_prepayment_counts_as_its_interest():
    plain, paid = Order(buyer="a", units=10.0), Order(buyer="a", units=10.0, prepaid=1.0)
    same = Order(buyer="a", units=10.0, premium=RULES.interest_per_s * RULES.wait_s)
    assert RULES.claim(paid) == pytest.approx(RULES.claim(same))
    assert RULES.claim(paid) > RULES.claim(plain)


@given(units=st.floats(0, 2e4), back=st.floats(0, 2e4))
def test_a_redirection_moves_and_makes_nothing(units, back):
    before = np.abs(np.random.default_rng(1).normal(1e4, 3e3, (3, 4, 8)))
    after = redirect(before, 0, 2, 1, units, [(3, back), (6, back)])
    assert after.sum(axis=0) == pytest.approx(before.sum(axis=0))
    assert np.all(after >= 0.0)
    assert np.array_equal(after[1], before[1])


def test_twelve_thousand_chips_of_one_owner_change_company_and_return():
    assert owners()["xAI"] == owners()["Tesla"]
    tesla_and_xai = np.array([[[15e3, 0.0, 2e3]], [[0.0, 6e3, 6e3]]])
    after = redirect(tesla_and_xai, 0, 1, 0, 12_000, [(1, 6_000), (2, 6_000)])
    assert after[:, 0].tolist() == [[3e3, 6e3, 8e3], [12e3, 0.0, 0.0]]
    with pytest.raises(ValueError, match="two different orders"):
        redirect(tesla_and_xai, 0, 0, 0, 1.0)
    with pytest.raises(ValueError, match="period of the plan"):
        redirect(tesla_and_xai, 0, 1, 9, 1.0)


def test_buyers_share_the_whole_and_rules_keep_some_out():
    all_buyers, allowed = buyer_shares("NVIDIA", 2023), buyer_shares("NVIDIA", 2023, chip="H100")
    for shares in (all_buyers, allowed, buyer_shares("NVIDIA", 2024, chip="H20")):
        assert sum(share.best for share in shares.values()) == pytest.approx(1.0)
    assert "Tencent" in all_buyers
    assert "Tencent" not in allowed
    assert set(buyer_shares("NVIDIA", 2024, chip="H20")) == {"Tencent", "Baidu", "Alibaba", "ByteDance"}
    assert "xAI" in buyer_shares("NVIDIA", 2024)
    with pytest.raises(ValueError, match="no buyers"):
        buyer_shares("Nobody", 2024)


@pytest.fixture(scope="module")
def market():
    calendar = Calendar(date(2023, 10, 1), 24)
    supply = monthly_supply([supply_line("H100")], calendar, samples=32)[0]
    shares = {name: share.best for name, share in buyer_shares("NVIDIA", 2023, chip="H100").items()}
    others = standing_orders(shares, supply, market_rules())
    prices = {"price": price_path("H100", calendar), "rental": price_path("H100", calendar, "rental")}
    return supply, others, prices


def test_a_rush_order_arrives_earlier_and_displaces_what_it_gains(market):
    supply, others, prices = market
    found = rush_order(Order(buyer="xAI", units=100_000, premium=0.15), others, supply, **prices)
    assert found.with_premium.last < found.without.last
    assert found.with_premium.last_range[0] <= found.with_premium.last <= found.with_premium.last_range[1]
    assert found.with_premium.mean_wait_s < found.without.mean_wait_s
    gained = np.cumsum(found.with_premium.units - found.without.units)
    assert sum(found.displaced_units.values()) == pytest.approx(gained, rel=1e-6, abs=1e-3)
    assert sum(found.displaced.values()) == pytest.approx(gained.max(), rel=1e-6)
    low, best, high = found.premium_usd
    assert low < best < high
    mean_price = best / 0.15 / found.with_premium.units.sum()
    assert 20_000 < mean_price < 40_000
    hours = found.chip_s_gained / 3600
    assert 0.7 * 1.5 < found.rental_value_usd[1] / hours < 0.7 * 8
    assert found.net_usd == pytest.approx(found.rental_value_usd[1] - best)
    assert "premium" in found.verdict


def test_a_small_premium_pays_and_a_large_one_does_not(market):
    supply, others, prices = market
    small = rush_order(Order(buyer="me", units=20_000, premium=0.03), others, supply, **prices)
    large = rush_order(Order(buyer="me", units=20_000, premium=0.8), others, supply, **prices)
    assert small.net_usd > 0.0 > large.net_usd
    assert small.verdict.startswith("The premium pays")
    assert large.verdict.startswith("The premium does not pay")


def test_an_order_that_the_plan_is_too_short_for_says_so(market):
    supply, others, prices = market
    found = rush_order(Order(buyer="me", units=5e6, premium=0.1), others, supply, **prices)
    assert found.with_premium.last == ""
    assert found.with_premium.missing > 0.0
    assert "after the plan ends" in found.verdict
    assert found.to_dict()["with_premium"]["missing"] == found.with_premium.missing


def test_more_elastic_sellers_bring_the_order_sooner(market):
    supply, others, prices = market
    waits = [
        rush_order(
            Order(buyer="me", units=50_000, premium=0.2), others, supply, rules=market_rules(end), **prices
        ).with_premium.mean_wait_s
        for end in ("low", "best", "high")
    ]
    assert waits[0] > waits[1] > waits[2]


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("units", -1.0, "units"),
        ("units", np.inf, "units"),
        ("premium", -1.0, "premium"),
        ("prepaid", 1.5, "prepaid"),
        ("weight", 0.0, "weight"),
    ],
)
def test_orders_out_of_range_are_refused(field, value, match):
    with pytest.raises(ValueError, match=match):
        Order(**{"buyer": "a", "units": 1.0, field: value})


def test_other_bad_questions_are_refused(market):
    supply, others, prices = market
    with pytest.raises(ValueError, match="at least one order"):
        deliveries([], np.ones(3), RULES)
    with pytest.raises(ValueError, match="finite, at least zero"):
        deliveries(others, np.array([-1.0]), RULES)
    with pytest.raises(ValueError, match="pays a premium"):
        rush_order(Order(buyer="a", units=1.0), others, supply, **prices)
    with pytest.raises(ValueError, match="after the end"):
        rush_order(Order(buyer="a", units=1.0, premium=0.1, placed=99), others, supply, **prices)
    with pytest.raises(ValueError, match="utilisation"):
        rush_order(Order(buyer="a", units=1.0, premium=0.1), others, supply, utilisation=2.0, **prices)
    with pytest.raises(ValueError, match="end must be"):
        market_rules("middle")
    with pytest.raises(ValueError, match="no order"):
        deliveries(others, np.ones(3), RULES).of("nobody")
    with pytest.raises(ValueError, match="above zero"):
        standing_orders({}, supply, RULES)
