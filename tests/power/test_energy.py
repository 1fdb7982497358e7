import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatt.power import (
    carbon_facts,
    chip_carbon,
    embodied_carbon,
    energy_account,
    packaged_series,
)

KWH = 3.6e6


def test_an_hour_of_150_mw_by_hand():
    account = energy_account(
        150e6,
        duration_s=3_600.0,
        carbon_kg_per_j=0.4 / KWH,
        price_usd_per_j=50 / 3.6e9,
        water_kg_per_j=1.8 / KWH,
        market_kg_per_j=0.0,
    )
    assert account.energy_j == pytest.approx(540e9)
    assert account.location_kg == pytest.approx(60e3)
    assert account.market_kg == 0.0
    assert account.energy_usd == pytest.approx(7_500)
    assert account.water_kg == pytest.approx(270e3)


def test_hourly_carbon_is_not_the_mean_times_the_energy():
    carbon = packaged_series("ercot 2023 carbon direct").values
    price = packaged_series("ercot 2023 price").values
    clean = np.where(carbon < np.median(carbon), 2e8, 1e8)
    account = energy_account(clean, carbon_kg_per_j=carbon, price_usd_per_j=price)
    assert account.location_kg == pytest.approx((clean * 3_600 * carbon).sum())
    assert account.location_kg < account.energy_j * carbon.mean()
    assert account.market_kg is None
    flat = energy_account(1e8, duration_s=8_760 * 3_600.0, carbon_kg_per_j=carbon.mean())
    assert flat.location_kg == pytest.approx(1e8 * 8_760 / 1e3 * 0.3167, rel=1e-3)


@given(st.lists(st.floats(0, 1e9), min_size=2, max_size=50), st.floats(1, 1e15))
def test_an_account_of_parts_is_the_account_of_the_whole(watts, tokens):
    load, rate = np.array(watts), np.linspace(1, 2, len(watts)) * 1e-7
    whole = energy_account(load, carbon_kg_per_j=rate)
    parts = [energy_account(w, duration_s=3_600.0, carbon_kg_per_j=r) for w, r in zip(load, rate, strict=True)]
    assert whole.energy_j == pytest.approx(sum(part.energy_j for part in parts))
    assert whole.location_kg == pytest.approx(sum(part.location_kg for part in parts))
    each = whole.per(tokens, "token")
    assert each.energy_j * tokens == pytest.approx(whole.energy_j)
    assert each.unit == "token"
    assert set(each.to_dict()) == {
        "unit",
        "energy_j",
        "location_kg",
        "market_kg",
        "embodied_kg",
        "water_kg",
        "energy_usd",
    }


def test_embodied_carbon_stays_apart_and_is_written_off_over_the_life():
    year = 31_557_600.0
    parts = embodied_carbon(8, year, chip="H100")
    assert parts.value == pytest.approx(8 * (164 + 150) / 5)
    more = embodied_carbon(8, year, chip="H100", it_w=10e3, battery_j=KWH * 10)
    assert more.value > parts.value
    low, high = (embodied_carbon(8, year, chip="H100", it_w=1e4, end=end).value for end in ("low", "high"))
    assert low < embodied_carbon(8, year, chip="H100", it_w=1e4).value < high
    assert embodied_carbon(1, year, chip="none").value > 0
    account = energy_account(1e4, duration_s=year, carbon_kg_per_j=1e-7, embodied_kg=parts.value)
    assert account.location_kg == pytest.approx(1e4 * year * 1e-7)
    assert account.embodied_kg == parts.value


def test_a_die_by_the_equation_of_act():
    cm2 = 1e-4
    found = chip_carbon(
        8.14 * cm2,
        fab_energy_j_per_m2=2.75 * KWH / cm2,
        fab_gas_kg_per_m2=0.43 / cm2,
        material_kg_per_m2=0.5 / cm2,
        grid_kg_per_j=0.5 / KWH,
        yielded=0.6,
    )
    assert found == pytest.approx(8.14 * (2.75 * 0.5 + 0.43 + 0.5) / 0.6 + 0.15)
    with pytest.raises(ValueError, match="a yield"):
        chip_carbon(1, fab_energy_j_per_m2=1, fab_gas_kg_per_m2=1, material_kg_per_m2=1, grid_kg_per_j=1, yielded=0)


def test_published_grids():
    assert carbon_facts()["grid.tva_2023"].best * KWH == pytest.approx(624.94 * 0.45359237 / 1e3, rel=2e-3)


@pytest.mark.parametrize(
    ("power", "fields", "words"),
    [
        (1.0, {}, "duration_s"),
        (np.ones(3), {"duration_s": 5.0}, "step_s"),
        (np.array([-1.0]), {}, "below 0"),
        (np.ones(3), {"carbon_kg_per_j": np.ones(2)}, "carbon has"),
    ],
)
def test_wrong_accounts_say_why(power, fields, words):
    with pytest.raises(ValueError, match=words):
        energy_account(power, **fields)


def test_wrong_amounts_say_why():
    account = energy_account(1.0, duration_s=1.0)
    with pytest.raises(ValueError, match="above 0"):
        account.per(0, "token")
    with pytest.raises(ValueError, match="low, best or high"):
        embodied_carbon(1, 1, end="none")
    with pytest.raises(ValueError, match="not negative"):
        embodied_carbon(-1, 1)
