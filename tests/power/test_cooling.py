from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatt.power import (
    COOLING_KINDS,
    chiller_cop,
    chiller_share,
    cool_year,
    cooling_plant,
    heat_capacity,
    packaged_series,
    pue,
    water_per_it_j,
    wet_bulb,
)

KINDS = st.sampled_from(COOLING_KINDS)
AIR = st.floats(243.15, 318.15)
HUMIDITY = st.floats(0.05, 1)


def climate():
    return packaged_series("dallas 2023 temperature").values, packaged_series("dallas 2023 relative humidity").values


def saturation_hpa(air_c):
    return 6.112 * np.exp(17.62 * air_c / (243.12 + air_c))


@given(st.floats(0, 45), st.floats(0.15, 0.99))
def test_the_wet_bulb_solves_the_psychrometric_equation_within_the_error_of_the_fit(air_c, humidity):
    """e = es(Tw) - 6.62e-4 p (T - Tw) (WMO Guide to Instruments, annex 4.B); Stull states -1 to 0.65 K."""
    low, high = -30.0, air_c
    for _ in range(60):
        middle = 0.5 * (low + high)
        vapour = saturation_hpa(middle) - 6.62e-4 * 1013.25 * (air_c - middle)
        low, high = (low, middle) if vapour > humidity * saturation_hpa(air_c) else (middle, high)
    assert -1.0 <= float(wet_bulb(air_c + 273.15, humidity)) - 273.15 - low <= 0.8


def test_wet_bulb_of_the_paper():
    assert float(wet_bulb(293.15, 0.5)) - 273.15 == pytest.approx(13.7, abs=0.05)
    assert float(wet_bulb(248.15, 0.8)) == 248.15


@given(AIR, HUMIDITY)
def test_the_wet_bulb_is_never_above_the_air(air, humidity):
    assert float(wet_bulb(air, humidity)) <= air + 1e-9


def test_the_wet_bulb_knows_where_it_does_not_hold():
    with pytest.raises(ValueError, match="up to 50 C"):
        wet_bulb(330.0, 0.5)
    with pytest.raises(ValueError, match=r"between 0\.05 and"):
        wet_bulb(300.0, 50.0)
    with pytest.raises(ValueError, match=r"between 0\.05 and"):
        wet_bulb(300.0, float("nan"))


def test_worked_values_of_the_chiller():
    plant = cooling_plant("chiller")
    loop = plant.loops[0]
    assert float(chiller_cop(plant, loop, 303.15)) == pytest.approx(0.55 * 283.15 / (303.15 + 8 + 10 - 283.15))
    dry = cooling_plant("dry").loops[0]
    assert chiller_share(dry, np.array([280.0, 300.15, 320.0])).tolist() == pytest.approx([0.0, 0.5, 1.0])
    assert float(chiller_share(loop, 250.0)) == 1.0


def test_a_cool_hour_costs_fans_and_losses_only():
    plant = cooling_plant("dry")
    assert float(pue(plant, 275.15, 0.7)) == pytest.approx(1.08)


@given(KINDS, AIR, AIR, HUMIDITY)
def test_warmer_air_never_helps(kind, one, other, humidity):
    plant = cooling_plant(kind)
    air = np.array(sorted((one, other)))
    cold, warm = pue(plant, air, humidity)
    assert 1 < cold <= warm + 1e-6
    low, high = heat_capacity(plant, air, humidity)
    assert 0 <= high <= low + 1e-6
    assert np.all(water_per_it_j(plant, air, humidity) >= 0)


@given(AIR, HUMIDITY)
def test_towers_drink_and_dry_plants_do_not(air, humidity):
    litres = 3.6e6 * float(water_per_it_j(cooling_plant("evaporative"), air, humidity))
    assert 1.6 < litres < 2.1
    for kind in ("dry", "chiller", "direct_liquid"):
        assert float(water_per_it_j(cooling_plant(kind), air, humidity)) == 0.0


def test_the_annual_pue_is_weighted_by_energy():
    air, humidity = climate()
    plant = cooling_plant("dry")
    flat = cool_year(plant, 1e8, air, humidity)
    assert flat.annual_pue > float(pue(plant, air.mean(), humidity.mean()))
    summer = np.where(air > np.median(air), 2e8, 1e8)
    busy = cool_year(plant, summer, air, humidity)
    assert busy.annual_pue > flat.annual_pue
    assert busy.annual_pue == pytest.approx((summer * busy.pue).sum() / summer.sum())
    assert flat.it_j == pytest.approx(1e8 * 3_600 * 8_760)


def test_kinds_of_plant_in_dallas():
    air, humidity = climate()
    years = {kind: cool_year(cooling_plant(kind), 1e8, air, humidity) for kind in COOLING_KINDS}
    annual = {kind: year.annual_pue for kind, year in years.items()}
    assert annual["direct_liquid"] < annual["dry"] < annual["chiller"]
    assert years["evaporative"].water_kg / years["evaporative"].it_j * 3.6e6 == pytest.approx(1.69, abs=0.02)
    assert 0.9 < years["dry"].capacity.min() < 1
    assert 0 < years["dry"].limited_s < 48 * 3_600
    assert set(years["dry"].to_dict()) >= {"annual_pue", "water_kg", "least_capacity"}


def test_capacity_limits_only_a_full_plant():
    air, humidity = climate()
    plant = cooling_plant("dry")
    hot = air > 305
    half = np.where(hot, 0.5, 1.0)
    assert cool_year(plant, half, air, humidity).limited_s == 0.0
    assert cool_year(cooling_plant("dry", margin=0.3), 1.0, air, humidity).limited_s == 0.0


def test_wrong_questions_say_what_is_allowed():
    with pytest.raises(ValueError, match="allowed: dry"):
        cooling_plant("ice")
    plant = cooling_plant("direct_liquid")
    with pytest.raises(ValueError, match="all of the heat"):
        replace(plant, loops=plant.loops[:1])
    with pytest.raises(ValueError, match="not negative"):
        cool_year(plant, 0.0, np.array([290.0]), np.array([0.5]))
