"""Net present value, internal rates, payback, debt cover: goldens, properties, and agreement with another library."""

import json
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gigawatt.finance import (
    CashFlow,
    CashLine,
    Payments,
    dated_net_present_value,
    debt_service_cover,
    discount_factors,
    internal_rates,
    investment_returns,
    levelised_cost_of_compute,
    levelised_from_cash_flow,
    loan_life_cover,
    month_after,
    multiple_on_capital,
    net_present_value,
    payback_years,
    purchase,
    term_loan,
    year_fractions,
)

YEARS = [date(2021 + i, 1, 1) for i in range(3)]  # no leap day before 2024
HELP_DATES = ["2008-01-01", "2008-03-01", "2008-10-30", "2009-02-15", "2009-04-01"]
HELP_AMOUNTS = [-10_000, 2_750, 4_250, 3_250, 2_750]
FLOWS = st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 2)), min_size=2, max_size=12)


def every(days, n):
    return [date(2020, 1, 1) + timedelta(days=days * i) for i in range(n)]


def test_day_counts():
    assert year_fractions(["2024-01-01", "2025-01-01"])[1] == pytest.approx(366 / 365.25)
    assert year_fractions(["2024-01-01", "2025-01-01"], 365)[1] == pytest.approx(366 / 365)
    assert discount_factors(0.1, 2) == pytest.approx(0.82645, abs=5e-6)
    with pytest.raises(ValueError, match="above -100 %"):
        discount_factors(-1.0, [1])
    with pytest.raises(ValueError, match="one or more dates"):
        year_fractions([])


def test_the_example_of_the_spreadsheet_help():
    assert dated_net_present_value(0.09, HELP_DATES, HELP_AMOUNTS, days_per_year=365) == pytest.approx(
        2086.65, abs=5e-3
    )
    found = internal_rates(HELP_DATES, HELP_AMOUNTS, days_per_year=365)
    assert found.only == pytest.approx(0.373362535, abs=2e-9)
    assert found.only == found.quoted


def test_all_roots_are_found():
    found = internal_rates(YEARS, [-100, 230, -132], days_per_year=365)
    assert found.rates == pytest.approx((0.1, 0.2), abs=1e-12)
    assert (found.sign_changes, found.only, found.quoted) == (2, None, None)
    three = internal_rates([*YEARS, date(2023, 12, 32 - 1)], [0, 0, -1, 2], days_per_year=365)
    assert len(three.rates) == 1


def test_a_root_that_only_touches_zero_is_found():
    assert internal_rates(YEARS, [-100, 220, -121], days_per_year=365).rates == pytest.approx((0.1,), abs=1e-7)


def test_roots_close_to_one_another_are_found():
    r, s = 1.1, 1.1005
    found = internal_rates(YEARS, [-1, r + s, -r * s], days_per_year=365)
    assert found.rates == pytest.approx((r - 1, s - 1), abs=1e-9)


def test_a_late_bill_adds_a_root_that_nobody_quotes():
    found = internal_rates(every(365, 4), [-100, 80, 80, -1], days_per_year=365)
    assert len(found.rates) == 2
    assert found.only is None
    assert found.quoted == pytest.approx(0.36, abs=0.02)


def test_ten_years_of_days():
    flows = np.full(3653, 40.0)
    flows[0] = -100_000.0
    found = internal_rates(every(1, 3653), flows)
    assert dated_net_present_value(found.only, every(1, 3653), flows) == pytest.approx(0, abs=1e-6)


def test_one_way_money_has_no_rate():
    assert internal_rates(YEARS, [1, 1, 1]).rates == ()
    assert internal_rates(YEARS, [0, 0, 0]).rates == ()
    assert internal_rates(YEARS, [-1, -1, 0]).quoted is None
    with pytest.raises(ValueError, match="3 dates need as many"):
        internal_rates(YEARS, [1, 2])


@given(flows=FLOWS, days=st.integers(1, 1500))
def test_every_rate_makes_the_value_zero(flows, days):
    dates = every(days, len(flows))
    found = internal_rates(dates, flows)
    assert len(found.rates) <= found.sign_changes
    for rate in found.rates:
        terms = np.array(flows) * discount_factors(rate, year_fractions(dates))
        assert terms.sum() == pytest.approx(0, abs=1e-9 * np.abs(terms).sum())
    assert list(found.rates) == sorted(found.rates)


@given(flows=FLOWS, rates=st.lists(st.floats(-0.9, 20), min_size=1, max_size=3))
def test_an_odd_number_of_sign_changes_has_a_rate(flows, rates):
    dates = every(365, len(flows))
    found = internal_rates(dates, flows)
    low, high = (dated_net_present_value(r, dates, flows) for r in (-0.998, 99.0))
    if low * high < 0:
        assert found.rates


@given(a=FLOWS, b=FLOWS, k=st.floats(-5, 5), rate=st.floats(-0.5, 3))
def test_the_value_is_linear(a, b, k, rate):
    n = min(len(a), len(b))
    dates = every(200, n)
    one, two = np.array(a[:n]), np.array(b[:n])
    both = dated_net_present_value(rate, dates, one + k * two)
    apart = dated_net_present_value(rate, dates, one) + k * dated_net_present_value(rate, dates, two)
    scale = dated_net_present_value(rate, dates, np.abs(one) + abs(k) * np.abs(two))
    assert both == pytest.approx(apart, rel=1e-9, abs=1e-9 * scale)


def test_yearly_and_dated_values_agree_on_years_of_365_days():
    flows = [-100, 30, 40, 50]
    assert dated_net_present_value(0.1, every(365, 4), flows, days_per_year=365) == pytest.approx(
        net_present_value(0.1, flows)
    )


@given(start=st.floats(-1e6, -1), income=st.lists(st.floats(0.01, 1e6), min_size=1, max_size=15))
def test_another_library_finds_the_same_rate(start, income):
    other = pytest.importorskip("numpy_financial")
    flows = [start, *income]
    theirs = other.irr(flows)
    assume(np.isfinite(theirs) and -0.9 < theirs < 90)
    ours = internal_rates(every(365, len(flows)), flows, days_per_year=365)
    assert ours.only == pytest.approx(theirs, rel=1e-6, abs=1e-8)
    assert dated_net_present_value(0.1, every(365, len(flows)), flows, days_per_year=365) == pytest.approx(
        other.npv(0.1, flows), rel=1e-9, abs=1e-3
    )


def test_the_other_library_agrees_with_dated_rates():
    other = pytest.importorskip("pyxirr")
    dates = [date.fromisoformat(day) for day in HELP_DATES]
    assert internal_rates(dates, HELP_AMOUNTS, days_per_year=365).only == pytest.approx(
        other.xirr(dates, HELP_AMOUNTS), abs=1e-9
    )


def test_multiple_and_payback():
    assert multiple_on_capital([-100, 60, 60]) == 1.2
    assert multiple_on_capital([1, 2]) is None
    assert payback_years([0, 1, 2], [-100, 60, 60]) == pytest.approx(1 + 40 / 60)
    assert payback_years([0, 1, 2], [-100, 60, 30]) is None
    assert payback_years([0, 1], [5, 5]) == 0
    assert payback_years([0, 1, 2, 3], [-100, 150, -100, 80]) == pytest.approx(2 + 50 / 80), "for good, not for a while"
    assert payback_years([0, 1, 2, 3], [-0.3, 0.1, 0.1, 0.1]) == pytest.approx(3), "rounding is no debt"


def test_debt_cover():
    assert debt_service_cover([130, 50, 80], [100, 0, 100]) == pytest.approx([1.3, np.nan, 1.3], nan_ok=True)
    assert loan_life_cover([130, 130], [100, 100], [0.9, 0.8]) == pytest.approx(1.3)
    assert loan_life_cover([130, 130, 500], [100, 100, 0], [0.9, 0.8, 0.7]) == pytest.approx(1.3), (
        "nothing after the loan"
    )
    assert loan_life_cover([1], [0], [1]) is None


def financed():
    days = [month_after("2025-03-01", 3 * i) for i in range(12)]
    loan = term_loan("loan", drawn=[("2024-01-01", 300.0), ("2024-09-01", 400.0)], days=days, rate=0.09)
    due = -(loan[1].amounts[0] + loan[2].amounts[0])
    return CashFlow.of(
        [
            purchase("servers", 1000.0, ordered="2024-01-01", delivered="2024-09-01", deposit_share=0.3),
            Payments.of("income", "operating", [(day, 1.4 * due) for day in days]),
            Payments.of("tax", "tax", [(day, -0.1 * due) for day in days]),
            Payments.of("interest before", "financing", [("2024-06-01", -9.0)]),
            *loan,
        ]
    )


def test_a_financed_project():
    flow = financed()
    got = investment_returns(flow, rate=0.1, debt_rate=0.09, cover_from="2024-12-01")
    assert got.dscr[~np.isnan(got.dscr)] == pytest.approx(1.3, rel=1e-9)
    assert np.isnan(got.dscr).sum() == 3
    assert got.least_dscr == pytest.approx(1.3)
    assert got.llcr == pytest.approx(1.3)
    assert got.breakdown.value == pytest.approx(got.project.npv_usd, rel=1e-12)
    assert got.project.npv_usd == pytest.approx(dated_net_present_value(0.1, flow.dates, flow.project))
    assert got.equity.npv_usd == pytest.approx(dated_net_present_value(0.1, flow.dates, flow.equity))
    early = investment_returns(flow, rate=0.1, debt_rate=0.09)
    assert early.least_dscr == 0, "interest before there is income"
    plain = json.loads(json.dumps(got.to_dict(), allow_nan=False))
    assert plain["project"]["irr_quoted"] == got.project.irr.quoted
    assert plain["dscr"][0] is None


def test_debt_below_the_return_lifts_equity():
    got = investment_returns(financed(), rate=0.05)
    assert got.project.irr.quoted is not None
    if got.project.irr.quoted > 0.09:
        assert got.equity.irr.quoted > got.project.irr.quoted
    else:
        assert got.equity.irr.quoted < got.project.irr.quoted


def test_the_worked_value_of_the_returns():
    flow = CashFlow(
        dates=tuple(YEARS), lines=(CashLine(label="x", group="operating", amounts=np.array([-100.0, 60, 60])),)
    )
    got = investment_returns(flow, rate=0.1, days_per_year=365)
    assert got.project.npv_usd == pytest.approx(4.13, abs=5e-3)
    assert got.project.irr.only == pytest.approx(0.1307, abs=5e-5)
    assert (got.project.moic, got.llcr, got.least_dscr) == (1.2, None, None)
    assert got.project.discounted_payback_years == pytest.approx(1 + (100 - 60 / 1.1) / (60 / 1.21))


def compute_costs():
    """The terms of golden R35: payments at the ends of five years of 365 days."""
    dates = tuple(date(2025, 1, 1) + timedelta(days=365 * i) for i in range(6))
    energy = 1.4 * 1.2 * 0.9 * 8760 * 0.08
    yearly = np.array([0.0, 1, 1, 1, 1, 1])
    lines = (
        CashLine(label="capital", group="investing", amounts=np.array([-52_000.0, 0, 0, 0, 0, 0])),
        CashLine(label="maintenance", group="operating", amounts=-0.03 * 52_000 * yearly),
        CashLine(label="energy", group="operating", amounts=-energy * yearly),
        CashLine(label="rent", group="operating", amounts=3.0 * 8760 * yearly),
    )
    return CashFlow(dates=dates, lines=lines), 8760 * 0.8 * yearly


def test_r35_levelised_cost_of_compute_from_a_cash_flow():
    flow, hours = compute_costs()
    got = levelised_from_cash_flow(flow, hours, rate=0.10, revenue=["rent"], days_per_year=365)
    formula = levelised_cost_of_compute(capex_usd=52_000, rate=0.1, years=5, maintenance_per_year=0.03, power_w=1400, pue=1.2, load=0.9, energy_usd_per_joule=0.08 / 3.6e6, useful_fraction=0.8)  # fmt: skip
    assert got.usd_per_unit == pytest.approx(2.331, abs=5e-4)
    assert got.usd_per_unit == pytest.approx(formula, rel=1e-12)
    assert got.breakdown.value == pytest.approx(got.usd_per_unit, rel=1e-12)
    assert "useful" in got.denominator
    assert got.to_dict()["denominator"] == got.denominator


def test_the_cost_per_token_states_what_it_counts():
    flow, hours = compute_costs()
    per_hour = levelised_from_cash_flow(flow, hours, rate=0.1, revenue=["rent"])
    per_token = levelised_from_cash_flow(flow, hours * 3.6e6, rate=0.1, revenue=["rent"], denominator="tokens sold")
    assert per_token.usd_per_unit == pytest.approx(per_hour.usd_per_unit / 3.6e6)
    assert per_token.denominator == "tokens sold"
    with pytest.raises(ValueError, match="no line 'rents'"):
        levelised_from_cash_flow(flow, hours, rate=0.1, revenue=["rents"])
    with pytest.raises(ValueError, match="some of them positive"):
        levelised_from_cash_flow(flow, 0 * hours, rate=0.1)
