import json
from dataclasses import replace

import numpy as np
import pytest

from gigawatt.errors import InfeasibleError
from gigawatt.power import GeneratorGroup, GridConnection, SiteYear, commit, dispatch, largest_unit_w

MW, MWH = 1e6, 3.6e9


def units(load_mw, count=4, **changes):
    """Units of 10 MW, 40 % least load, 1,000 USD a start, 20 USD/MWh of fuel and 50 USD an hour online; no grid."""
    group = GeneratorGroup(
        name="gas",
        units=count,
        unit_w=10 * MW,
        heat_rate=2.0,
        fuel_usd_per_j=10 / MWH,
        carbon_kg_per_fuel_j=180 / MWH,
        minimum_load=0.4,
        start_usd=1000.0,
        no_load_fuel_w=5 * MW,
    )
    return SiteYear(
        load_w=np.asarray(load_mw) * MW,
        grid=GridConnection(limit_w=0.0, price_usd_per_j=0.0),
        generators=(replace(group, **changes),),
    )


def check(result, reserve_w=0.0):
    site = result.dispatch.site
    for group in site.generators:
        online, power = result.online[group.name], result.dispatch.power_w[group.name]
        assert (power <= online * group.unit_w * site.series(group.derate) + 10).all()
        assert (power >= group.minimum_load * online * group.unit_w * site.series(group.derate) - 10).all()
        assert online.max() <= group.firm_units
        assert (result.started[group.name][1:] >= np.diff(online)).all()
    assert result.reserve_w.min() >= reserve_w - 10
    fed = sum(p for name, p in result.dispatch.power_w.items() if name != "battery charge")
    np.testing.assert_allclose(fed - result.dispatch.power_w.get("battery charge", 0.0), site.load_w, atol=20)


def test_two_units_by_hand():
    # 15 MW in every hour: two units online, 15 x 20 USD and 2 x 50 USD an hour, no starts.
    result = commit(units([15, 15, 15]), 0.0)
    assert result.online["gas"].tolist() == [2, 2, 2]
    assert result.cost_usd == pytest.approx(3 * (300 + 100), rel=1e-3)
    # with 10 MW to stand by there are three online
    secure = commit(units([15, 15, 15]), 10 * MW)
    assert secure.online["gas"].tolist() == [3, 3, 3]
    assert secure.cost_usd == pytest.approx(3 * (300 + 150), rel=1e-3)
    check(secure, 10 * MW)
    fuel_j = secure.cost_usd / (10 / MWH)
    assert secure.dispatch.emissions_kg.value == pytest.approx(fuel_j * 180 / MWH, rel=1e-3)


def test_a_step_alone():
    assert commit(units([15]), 0.0).cost_usd == pytest.approx(400, rel=1e-3)
    last_alone = commit(units([5, 5, 15]), 0.0, window_steps=2, ahead_steps=0)
    assert last_alone.online["gas"].tolist() == [1, 1, 2]
    assert last_alone.started["gas"].tolist() == [0, 0, 1]


def test_a_start_is_worth_a_dear_hour_online():
    # An hour at low load between two hours of two units: a start costs 1,000 USD, keeping a unit 50 USD.
    kept = commit(units([15, 9, 15]), 0.0)
    assert kept.started["gas"].sum() == 0
    cheap = commit(units([15, 9, 15], start_usd=10.0), 0.0)
    assert cheap.started["gas"].sum() == 1
    assert cheap.dispatch.usd.children[4].label == "starts"


@pytest.mark.parametrize(("steps", "objective"), [(168, 1_864_966), (720, 8_250_631)])
def test_the_hours_of_performance_md(workloads, steps, objective):
    result = commit(workloads.d3(steps), 35 * MW)
    assert result.cost_usd == pytest.approx(objective, rel=1e-3)
    assert result.lower_bound_usd <= objective * (1 + 1e-9)
    assert result.cost_usd - result.lower_bound_usd <= 1.0001e-3 * result.cost_usd
    assert result.cost_usd >= dispatch(workloads.d3(steps)).cost_usd
    check(result, 35 * MW)


def test_windows_come_close_to_the_whole(workloads):
    site = workloads.d3(24 * 10)
    site = replace(site, battery=replace(site.battery, cyclic=False, initial_j=150 * MWH))
    whole = commit(site, 35 * MW)
    parts = commit(site, 35 * MW, window_steps=72, ahead_steps=24, prove=True)
    check(parts, 35 * MW)
    assert 0.997 * parts.cost_usd < parts.lower_bound_usd <= parts.cost_usd
    assert commit(site, 35 * MW, window_steps=120).lower_bound_usd is None
    assert parts.cost_usd == pytest.approx(whole.cost_usd, rel=5e-3)
    cyclic = commit(workloads.d3(24 * 6), 35 * MW, window_steps=48, ahead_steps=12)
    check(cyclic, 35 * MW)
    assert cyclic.dispatch.energy_j[-1] >= 150 * MWH * (1 - 1e-6)


def test_ramps_hold_across_windows(workloads):
    site = workloads.d3(96)
    site = replace(site, grid=replace(site.grid, ramp_w_per_s=20 * MW / 3600))
    result = commit(site, 35 * MW, window_steps=24, ahead_steps=6)
    assert np.abs(np.diff(result.dispatch.power_w["grid"])).max() <= 20 * MW + 10


def test_a_reserve_that_cannot_stand():
    with pytest.raises(InfeasibleError, match=r"no commitment keeps a reserve of 50\.0 MW"):
        commit(units([1, 1], count=4), 50 * MW)
    with pytest.raises(ValueError, match="0 < gap < 1"):
        commit(units([1]), 0.0, gap=0.0)


def test_largest_unit_and_tables():
    site = units([15, 15])
    assert largest_unit_w(site) == 10 * MW
    result = commit(site, largest_unit_w(site))
    assert result.to_frame()["gas online"].tolist() == [3, 3]
    json.dumps(result.to_dict())
