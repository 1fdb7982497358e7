import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.power import (
    Economics,
    LoadEvent,
    StepProfile,
    Technology,
    lithium_life,
    mitigation_facts,
    rainflow,
    requirements_from,
    size_battery,
    smooth,
)

MWH = 3.6e9
IDEAL = Technology(name="ideal", usd_per_w=0.1, usd_per_j=1e-7)
ORIGIN = {"source": "a test", "kind": "given"}


def ramp(text, window="1 s"):
    return requirements_from({"name": "r", "ramps": [{"window": window, "up": text, "down": text} | ORIGIN]})


def step(low, high, after=800.0, dt=0.1, name="start", per_year=10.0):
    power = np.concatenate((np.full(round(100 / dt), low), np.full(round(after / dt), high)))
    return LoadEvent(name=name, power_w=power, step_s=dt, per_year=per_year)


@pytest.mark.parametrize(("limit", "energy_mwh"), [("10 MW/min", 8.33), ("1 MW/s", 1.39)])
def test_a_step_of_100_mw(limit, energy_mwh):
    """docs/science.md 12.5."""
    found = size_battery([step(0.0, 100e6)], ramp(limit), IDEAL, filters_s=(0.0,))
    assert found.complies
    assert found.charge_j / MWH == pytest.approx(energy_mwh, abs=0.005)
    assert found.power_w == pytest.approx(100e6, rel=2e-3)
    assert found.rating_j == found.charge_j
    again = smooth(step(0.0, 100e6).power_w, 0.1, found.store(), found.controller, start_j=found.store().energy_j)
    assert again.over_ramp_s == 0


def test_start_and_stop_share_a_store_that_waits_in_the_right_place():
    events = [step(0.0, 100e6), step(100e6, 0.0, name="stop")]
    waiting = size_battery(events, ramp("10 MW/min"), IDEAL, filters_s=(0.0,))
    anyhow = size_battery(events, ramp("10 MW/min"), IDEAL, filters_s=(0.0,), positioned=False)
    assert waiting.charge_j / MWH == pytest.approx(8.33, abs=0.005)
    assert anyhow.charge_j == pytest.approx(2 * waiting.charge_j, rel=1e-5)


@pytest.mark.parametrize(("period", "duty", "kwh"), [(2.0, 0.5, 13.9), (20.0, 0.7, 117)])
def test_the_periodic_part(period, duty, kwh):
    """docs/science.md 12.4: a filter much longer than the step leaves the store dP*d*(1-d)*T."""
    profile = StepProfile.two_level(100e6, 0.0, period, duty)
    t = np.arange(round(40 * period / 0.01)) * 0.01
    power = np.where((t % period) < duty * period - 1e-9, 100e6, 0.0)
    asked = requirements_from({"name": "r", "ranges": [{"window": "1 min", "width": "2 MW"} | ORIGIN]})
    events = [LoadEvent(name="steps", power_w=power, step_s=0.01, per_year=1e5)]
    found = size_battery(events, asked, IDEAL, filters_s=(1e5,))
    assert found.complies
    assert found.charge_j / 3.6e6 == pytest.approx(kwh, rel=0.01)
    assert found.charge_j == pytest.approx(profile.storage_j, rel=0.01)


def test_nothing_to_do_needs_no_store():
    found = size_battery([step(50e6, 50e6)], ramp("1 MW/s"), IDEAL)
    assert (found.power_w, found.usd_per_year, found.life) == (0.0, 0.0, None)


def test_what_no_controller_can_do_is_said():
    asked = requirements_from({"name": "r", "ranges": [{"window": "1 h", "width": "1 MW"} | ORIGIN]})
    assert not size_battery([step(0.0, 100e6)], asked, IDEAL).complies


def test_a_battery_for_ramps_is_bought_by_its_power():
    events = [step(0.0, 100e6)]
    battery = size_battery(events, ramp("10 MW/min"), Technology.packaged("bess"), filters_s=(0.0,))
    assert battery.rating_j == pytest.approx(battery.power_w * 7200)
    assert battery.charge_j / MWH == pytest.approx(8.33 / math.sqrt(0.92), abs=0.01)
    fast = size_battery(events, ramp("10 MW/min"), Technology.packaged("ups"), filters_s=(0.0,))
    assert fast.rating_j < battery.rating_j
    assert fast.capital_usd < battery.capital_usd
    with pytest.raises(ValueError, match="unknown storage"):
        Technology.packaged("flywheel")
    with pytest.raises(ValueError, match="none"):
        size_battery([], ramp("1 MW/s"), IDEAL)


def test_prices_of_two_megapacks():
    """mp2xl-2h: 1,927 kW, 3,854 kWh, 1,278,860 USD; mp2xl-4h: 979 kW, 3,916 kWh, 1,227,090 USD."""
    facts = mitigation_facts()
    for kilowatt, kilowatt_hours, price in ((1927, 3854, 1_278_860), (979, 3916, 1_227_090)):
        found = (
            1e3 * kilowatt * facts["bess.power_price"].best + 3.6e6 * kilowatt_hours * facts["bess.energy_price"].best
        )
        assert found == pytest.approx(price, rel=1e-3)


@settings(max_examples=25, deadline=None)
@given(height=st.floats(1e6, 2e8), rate=st.floats(0.2, 5))
def test_smaller_steps_and_looser_ramps_need_less(height, rate):
    base = size_battery([step(0.0, height, dt=0.5)], ramp(f"{rate} MW/s"), IDEAL, filters_s=(0.0,))
    loose = size_battery([step(0.0, height, dt=0.5)], ramp(f"{2 * rate} MW/s"), IDEAL, filters_s=(0.0,))
    low = size_battery([step(0.0, height / 2, dt=0.5)], ramp(f"{rate} MW/s"), IDEAL, filters_s=(0.0,))
    assert loose.charge_j <= base.charge_j
    assert low.charge_j <= base.charge_j


def test_rainflow_of_the_standard():
    """ASTM E1049-85, figure 6."""
    found = rainflow(np.array([-2.0, 1, -3, 5, -1, 3, -4, 4, -2]))
    counts = {}
    for size, count in zip(found.size.tolist(), found.count.tolist(), strict=True):
        counts[size] = counts.get(size, 0) + count
    assert counts == {3.0: 0.5, 4.0: 1.5, 6.0: 0.5, 8.0: 1.0, 9.0: 0.5}


@settings(max_examples=200, deadline=None)
@given(charge=st.lists(st.integers(-50, 50), max_size=60).map(lambda x: np.array(x, float)))
def test_rainflow_keeps_the_way_travelled(charge):
    found = rainflow(charge)
    assert 2 * found.throughput == pytest.approx(np.abs(np.diff(charge)).sum())
    if len(charge) and np.ptp(charge) > 0:
        assert found.size.max() == np.ptp(charge)
    plain = rainflow(charge, plain=True)
    assert (plain.size == found.size).all()
    assert rainflow(np.repeat(charge, 3)).throughput == pytest.approx(found.throughput)


def test_life_of_lithium_cells():
    assert lithium_life(0, 0, 0, at_most_years=20).ends_by == "calendar"
    assert lithium_life(0, 0, 0, at_most_years=20).years == 20
    daily, hourly = lithium_life(365, 1.0, 0.5), lithium_life(8766, 1.0, 0.5)
    assert 10 < daily.years < 20
    assert hourly.years < 1
    assert daily.ends_by == "cycling"
    assert daily.calendar_loss + daily.cycling_loss == pytest.approx(0.3)
    assert lithium_life(365, 1.0, 1.0).years < daily.years
    # 3,690 full cycles at 0.5 per hour take 0.2 by cycling alone (BLAST-Lite)
    assert lithium_life(3690, 1.0, 0.5).cycling_loss / lithium_life(3690, 1.0, 0.5).years ** 0.828 == pytest.approx(
        0.2, rel=0.01
    )
    with pytest.raises(ValueError, match="below zero"):
        lithium_life(-1, 1, 1)


def test_annuity():
    """w(1+w)^n/((1+w)^n-1): 10 %, 5 years and 8 %, 20 years."""
    assert Economics(discount=0.1, energy_usd_per_j=0, accelerator_usd_per_s=0).annuity(5) == pytest.approx(
        0.2638, abs=1e-4
    )
    assert Economics(discount=0.08, energy_usd_per_j=0, accelerator_usd_per_s=0).annuity(20) == pytest.approx(
        0.10185, abs=1e-5
    )


def test_a_long_record_needs_a_charge_that_returns():
    """A swing every ten minutes for a day: losses drain a store whose charge does not come back."""
    power = np.where(np.arange(8640) % 60 < 30, 100e6, 60e6)
    day = LoadEvent(name="day", power_w=power, step_s=10.0, per_year=365)
    battery = Technology.packaged("bess")
    asked = ramp("10 MW/min", window="10 s")
    drained = size_battery([day], asked, battery, filters_s=(0.0,))
    held = size_battery([day], asked, battery, filters_s=(0.0,), return_s=3600.0)
    assert held.complies
    assert held.charge_j < 0.5 * drained.charge_j
    assert held.life.full_cycles_per_year > 0
    assert held.to_dict()["verdicts"] == {"day": True}


def test_samples_that_show_nothing_size_nothing():
    event = step(0.0, 100e6, dt=10.0)
    with pytest.raises(ValueError, match="rise over 1 s: samples of 10 s are longer than the window"):
        size_battery([event], ramp("10 MW/min"), Technology.packaged("bess"))
