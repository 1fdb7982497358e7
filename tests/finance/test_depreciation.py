"""Depreciation by the tables of the tax office, value on the used market, amortised cost of a run; golden R34."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatt.evidence import Grade
from gigawatt.finance import (
    ASSUMPTIONS,
    Purchase,
    amortised_cost,
    assess,
    decline_per_year,
    macrs,
    residual_decline,
    residual_value,
    straight_line,
    value_at_start,
)
from gigawatt.planning._assumptions import FACTS

CLASSES = (3, 5, 7, 10, 15, 20, 39)


def declining_balance(years, factor):
    """The rule behind table A-1: declining balance, half a year at both ends, straight line once that gives more."""
    left, losses = 1.0, []
    for year in range(years + 1):
        part = 0.5 if year == 0 else 1.0
        remaining = years - max(0.0, year - 0.5)
        loss = max(left * factor / years * part, left * part / remaining) if year < years else left
        losses.append(loss)
        left -= loss
    return np.array(losses)


def test_five_year_property():
    assert macrs(100, 5).tolist() == pytest.approx([20, 32, 19.2, 11.52, 11.52, 5.76])
    assert macrs(100, 15)[[0, 1, 8, 15]].tolist() == pytest.approx([5, 9.5, 5.91, 2.95])
    assert macrs(100, 39)[[0, 1, 39]].tolist() == pytest.approx([1.391, 2.564, 1.177])


@pytest.mark.parametrize(("years", "factor"), [(3, 2), (5, 2), (7, 2), (10, 2), (15, 1.5), (20, 1.5)])
def test_the_tables_follow_from_their_rule(years, factor):
    assert macrs(100, years) == pytest.approx(100 * declining_balance(years, factor), abs=0.011)


@given(cost=st.floats(0, 1e12), years=st.sampled_from(CLASSES), bonus=st.floats(0, 1))
def test_depreciation_sums_to_the_cost(cost, years, bonus):
    assert macrs(cost, years, bonus_share=bonus).sum() == pytest.approx(cost, rel=1e-12)
    assert straight_line(cost, years).sum() == pytest.approx(cost, rel=1e-12)


def test_bonus_and_salvage():
    assert macrs(100, 5, bonus_share=1.0).tolist() == [100, 0, 0, 0, 0, 0]
    assert macrs(100, 5, bonus_share=0.4)[0] == pytest.approx(52)
    assert straight_line(100, 4, salvage_usd=20).tolist() == [20] * 4


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: macrs(1, 6), "there are 3, 5, 7"),
        (lambda: macrs(1, 5, bonus_share=2), "from 0 to 1"),
        (lambda: straight_line(1, 0), "one year or more"),
        (lambda: residual_value(1, 1, decline_per_year=0, step_down=-1), "from 0 to 1"),
        (lambda: decline_per_year([date(2024, 1, 1)], [1]), "two days"),
    ],
)
def test_wrong_terms_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_residual_values():
    assert residual_value(30_000, 3, decline_per_year=0.165) == pytest.approx(18_287, abs=1)
    stepped = residual_value(30_000, [1.9, 3], decline_per_year=0.165, launch_ages_years=[2], step_down=0.2)
    assert stepped == pytest.approx([30_000 * np.exp(-0.165 * 1.9), 0.8 * 18_287], abs=1)


@given(rate=st.floats(0, 1), step=st.floats(0, 1), launches=st.lists(st.floats(0, 8), max_size=4))
def test_values_only_fall(rate, step, launches):
    values = residual_value(
        1.0, np.linspace(0, 8, 40), decline_per_year=rate, launch_ages_years=launches, step_down=step
    )
    assert (np.diff(values) <= 1e-12).all()
    assert (values >= 0).all()


@given(rate=st.floats(0.01, 1))
def test_a_decline_is_found_again(rate):
    days = [date(2022, 1, 1), date(2023, 5, 1), date(2025, 1, 1)]
    prices = [1000 * np.exp(-rate * (day - days[0]).days / 365.25) for day in days]
    assert decline_per_year(days, prices) == pytest.approx(rate, rel=1e-9)


def test_the_decline_of_the_catalogue(catalog):
    """The range comes from dated rows alone; Epoch's 0.3224 a year, an independent figure, is near its high end."""
    found = residual_decline(catalog)
    assert (found.low, found.best, found.high) == pytest.approx((0.043, 0.165, 0.307), abs=5e-4)
    assert found.grade is Grade.DERIVED
    assert "rental.H100" in found.source


def test_amortised_cost_of_epoch():
    assert amortised_cost(1, 8760) == pytest.approx(0.3224, abs=5e-5)
    assert amortised_cost(30_000, 8760) == pytest.approx(9671, abs=1)
    assert value_at_start(1, 1) == pytest.approx(0.7244, abs=5e-5)


def run_of_2024(catalog):
    """Llama 3.1 405B as the planner costs it with the inputs of 2024: 62 days on 16,384 H100."""
    values = {path: catalog.fact(FACTS.get(path, path)).best for path in ASSUMPTIONS}
    price = catalog.fact("gpu_price.H100", "2024").best
    run_s, electricity = 61.9 * 86400.0, 0.06 / 3.6e6
    return assess(
        purchases=[Purchase(name="H100 SXM", count=16_384, price_usd=price)],
        switches_per_accelerator=0.0781,
        it_peak_w=17.19e6,
        energy_j=15.0e6 * run_s,
        energy_usd_per_joule=electricity,
        run_s=run_s,
        accelerators_used=16_384,
        goodput=0.9,
        tokens=15.6e12,
        values=values,
    )


@pytest.mark.parametrize(("share", "low", "high"), [("energy", 0.02, 0.06), ("network", 0.09, 0.13)])
def test_r34_energy_and_network(catalog, share, low, high):
    assert low <= run_of_2024(catalog).outputs[f"finance.{share}_share"].value <= high


@pytest.mark.xfail(strict=True, reason="server parts are 8 % of our cost: 4,001 USD against an H100 at 26,268 USD")
def test_r34_servers(catalog):
    assert 0.15 <= run_of_2024(catalog).outputs["finance.servers_share"].value <= 0.22


def test_r34_the_published_shares_are_of_the_whole_development_cost():
    """Hardware is 47-67 % of that, staff 29-49 %, energy 2-6 % (Epoch, summary of arXiv 2405.21015).

    In its hardware the network is 19 % and a server costs 1.54 to 1.69 times its chips (Epoch's published notebooks).
    The published shares follow from these; ours have no research staff in the denominator, and another server price.
    """
    chips = 1 / 1.64
    network, servers = 0.19, (1 - 0.19) * (1 - chips)
    assert [round(100 * network * part) for part in (0.47, 0.67)] == [9, 13]
    assert [round(100 * servers * part) for part in (0.47, 0.67)] == [15, 21]
