"""Own, lease, rent; buy now or wait; self-host or API; what a day costs."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatt.finance import (
    Generation,
    Lease,
    Own,
    Rent,
    TokenClass,
    break_even_utilisation,
    buy_now_or_wait,
    cost_of_delay_per_day,
    own_lease_rent,
    self_host_or_api,
    token_contribution,
    token_revenue,
)

R35 = Own(capital_usd=52_000, fixed_usd_per_year=0.03 * 52_000, energy_usd_per_hour=1.4 * 1.2 * 0.9 * 0.08, idle_energy_share=1.0)  # fmt: skip
TODAY = Generation(name="today's", launch_years=0, performance=1.0, price_usd=30_000, price_decline_per_year=0.1)
TERMS = {"rate": 0.1, "margin_usd_per_year": 20_000, "margin_decline_per_year": 0.3, "life_years": 5}


def compare(**options):
    return own_lease_rent(options, horizon_years=5, rate=0.10, utilisation=[0.4, 0.8, 1.0])


def test_r35_owning_costs_what_the_formula_says():
    assert compare(own=R35).usd_per_useful_hour["own"][1] == pytest.approx(2.331, abs=5e-4)


def test_who_works_little_rents():
    got = compare(own=R35, lease=Lease(usd_per_hour=2.0), rent=Rent(usd_per_hour=2.95))
    assert got.cheapest == ("rent", "own", "own")
    u = got.break_even["own", "rent"]
    assert u == pytest.approx(1.86496 / 2.95, abs=1e-5)
    again = own_lease_rent({"own": R35, "rent": Rent(usd_per_hour=2.95)}, horizon_years=5, rate=0.1, utilisation=u)
    assert again.usd_per_useful_hour["own"] == pytest.approx(again.usd_per_useful_hour["rent"])
    assert ("own", "lease") not in got.break_even, "both are due at all hours: no utilisation makes them equal"
    json.dumps(got.to_dict(), allow_nan=False)


def test_what_makes_owning_and_renting_cheaper():
    dear = compare(own=R35).usd_per_useful_hour["own"]
    kept = Own(
        capital_usd=52_000,
        fixed_usd_per_year=1560,
        energy_usd_per_hour=0.12096,
        idle_energy_share=0.2,
        residual_usd=10_000,
    )
    assert (compare(own=kept).usd_per_useful_hour["own"] < dear).all()
    falling = compare(rent=Rent(usd_per_hour=3.0, decline_per_year=0.3)).usd_per_useful_hour["rent"][0]
    assert 3.0 * math.exp(-1.5) < falling < 3.0
    assert compare(rent=Rent(usd_per_hour=3.0, decline_per_year=1e-9)).usd_per_useful_hour["rent"][0] == pytest.approx(
        3.0
    )
    assert compare(lease=Lease(usd_per_hour=2.0, energy_usd_per_hour=0.1)).usd_per_useful_hour["lease"][
        0
    ] == pytest.approx(5.1)


@given(rate=st.floats(0, 0.5), years=st.floats(0.5, 20), decline=st.floats(0, 1))
def test_a_level_price_is_between_the_first_and_the_last(rate, years, decline):
    got = own_lease_rent(
        {"rent": Rent(usd_per_hour=1.0, decline_per_year=decline)}, horizon_years=years, rate=rate, utilisation=0.5
    )
    assert math.exp(-decline * years) * (1 - 1e-9) <= got.usd_per_useful_hour["rent"][0] <= 1 + 1e-9


@pytest.mark.parametrize("u", [0.0, 1.1, -0.5])
def test_utilisations_outside_0_to_1_are_refused(u):
    with pytest.raises(ValueError, match="above 0 and up to 1"):
        own_lease_rent({"own": R35}, horizon_years=5, rate=0.1, utilisation=u)


@given(revenue=st.floats(0.1, 10), variable=st.floats(0, 5), fixed=st.floats(0.01, 5))
def test_the_contribution_is_zero_at_break_even(revenue, variable, fixed):
    u = break_even_utilisation(revenue_usd_per_hour=revenue, variable_usd_per_hour=variable, fixed_usd_per_hour=fixed)
    if math.isinf(u):
        assert revenue <= variable
    else:
        assert u * (revenue - variable) == pytest.approx(fixed)


def test_break_even_utilisation():
    assert break_even_utilisation(
        revenue_usd_per_hour=4.5, variable_usd_per_hour=0.1, fixed_usd_per_hour=1.8648
    ) == pytest.approx(0.4238, abs=5e-5)
    assert break_even_utilisation(revenue_usd_per_hour=1, variable_usd_per_hour=2, fixed_usd_per_hour=0) == 0


def test_token_business():
    classes = [
        TokenClass(name="input", tokens_per_s=10_000, usd_per_token=0.5e-6),
        TokenClass(name="cached", tokens_per_s=20_000, usd_per_token=0.05e-6),
        TokenClass(name="output", tokens_per_s=1_000, usd_per_token=2e-6),
    ]
    assert token_revenue(classes).value == pytest.approx(0.008)
    got = token_contribution(classes, accelerators=8, usd_per_accelerator_hour=1.8, staff_usd_per_s=0.001)
    assert got.value == pytest.approx(0.008 - 8 * 1.8 / 3600 - 0.001)
    choice = self_host_or_api(classes, accelerators=8, usd_per_accelerator_hour=1.8)
    assert (choice.cheaper, choice.break_even_share) == ("self-host", pytest.approx(0.5))
    assert choice.to_dict()["cheaper"] == "self-host"
    assert self_host_or_api([], accelerators=1, usd_per_accelerator_hour=1).to_dict()["break_even_share"] is None
    assert self_host_or_api(classes, accelerators=32, usd_per_accelerator_hour=1.8).cheaper == "API"


def test_buying_now_is_worth_its_closed_form():
    got = buy_now_or_wait((TODAY,), years=[0.0], **(TERMS | {"margin_usd_per_year": 12_000}))
    assert got.now_npv_usd == pytest.approx(12_000 * 2.1792 - 30_000, abs=1)
    assert got.decision == "do not buy"


@given(years=st.floats(0.01, 4), hazard=st.floats(0, 1))
def test_the_value_of_a_moment_is_its_integral(years, hazard):
    got = buy_now_or_wait((TODAY,), years=[0.0, years], supply_hazard_per_year=hazard, lead_years=0.5, **TERMS)
    t = np.linspace(years + 0.5, years + 5.5, 20_001)
    earned = np.trapezoid(20_000 * np.exp(-0.3 * t) * 1.1**-t, t)
    npv = earned - 30_000 * math.exp(-0.1 * years) * 1.1**-years
    assert got.npv_usd[1] == pytest.approx(npv, rel=1e-6, abs=1e-3)
    assert got.expected_npv_usd[1] == pytest.approx(npv * math.exp(-hazard * years), rel=1e-6, abs=1e-3)


def test_a_price_path_with_steps():
    path = Generation(
        name="x", launch_years=0, performance=1, price_usd=30_000, price_decline_per_year=0.1, price_steps=((1.0, 0.2),)
    )
    assert path.price_at([0, 0.5, 1]) == pytest.approx([30_000, 30_000 * math.exp(-0.05), 21_716], abs=1)
    now = buy_now_or_wait((path,), years=[0, 0.99, 1.0], **TERMS)
    assert now.npv_usd[2] - now.npv_usd[1] == pytest.approx(0.2 * 30_000 * math.exp(-0.1) / 1.1, rel=0.05)


def test_a_better_generation_is_worth_waiting_for_unless_supply_may_go():
    following = Generation(name="next", launch_years=1.0, performance=2.5, price_usd=40_000)
    moments = np.linspace(0, 3, 37)
    calm = buy_now_or_wait((TODAY, following), years=moments, **TERMS)
    assert (calm.decision, calm.best_years) == ("wait", 1.0)
    assert calm.generation[0] == "today's"
    assert calm.generation[12] == "next"
    assert calm.worth_of_waiting_usd == pytest.approx(calm.best_npv_usd - calm.now_npv_usd)
    rush = buy_now_or_wait((TODAY, following), years=moments, supply_hazard_per_year=1.5, **TERMS)
    assert (rush.decision, rush.best_years, rush.worth_of_waiting_usd) == ("buy now", 0.0, 0.0)
    json.dumps(rush.to_dict(), allow_nan=False)


def test_without_progress_waiting_is_worth_nothing():
    steady = Generation(name="x", launch_years=0, performance=1, price_usd=30_000)
    terms = {"rate": 0.1, "margin_usd_per_year": 12_000, "margin_decline_per_year": 0.0, "life_years": 5}
    got = buy_now_or_wait((steady,), years=[0, 1, 2], **terms)
    assert got.decision == "buy now"
    assert got.npv_usd[1] == pytest.approx(got.npv_usd[0] / 1.1)
    cut = buy_now_or_wait((steady,), years=[0, 1, 2], horizon_years=5, **terms)
    assert cut.npv_usd[2] < got.npv_usd[2]
    free = buy_now_or_wait((steady,), years=[0.0], **(terms | {"rate": 0.0}))
    assert free.now_npv_usd == pytest.approx(30_000)


def test_moments_and_offers_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="ascend from 0"):
        buy_now_or_wait((TODAY,), years=[0.5, 1], **TERMS)
    later = Generation(name="next", launch_years=1.0, performance=2.5, price_usd=40_000)
    with pytest.raises(ValueError, match="on offer now"):
        buy_now_or_wait((later,), years=[0, 1], **TERMS)


def test_a_day_of_delay():
    day = cost_of_delay_per_day(
        contribution_usd_per_year=1.461e9, committed_usd=3.6525e9, decline_per_year=0.3, rate=0.1
    )
    assert day.value == pytest.approx(8e6)
    assert [child.value for child in day.children] == pytest.approx([4e6, 3e6, 1e6])
