import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.power import (
    Battery,
    FlexibleLoad,
    GeneratorGroup,
    GridConnection,
    OperatingRule,
    Renewable,
    SiteYear,
    dispatch,
    rule_dispatch,
    rule_year,
)

MW, MWH = 1e6, 3.6e9


def site(seed=0, steps=72, wild=1.0):
    rng = np.random.default_rng(seed)
    hour = np.arange(steps) % 24
    return SiteYear(
        load_w=(60 + 60 * wild * rng.random(steps)) * MW,
        grid=GridConnection(
            limit_w=50 * MW,
            price_usd_per_j=(20 + 60 * rng.random(steps)) / MWH,
            ramp_w_per_s=25 * MW / 3600,
            demand_usd_per_w=1000 / MW,
            carbon_kg_per_j=400 / MWH,
        ),
        generators=(
            GeneratorGroup(
                name="gas",
                units=6,
                unit_w=8 * MW,
                heat_rate=2.5,
                fuel_usd_per_j=12 / MWH,
                carbon_kg_per_fuel_j=180 / MWH,
                ramp_per_s=0.4 / 3600,
            ),
        ),
        battery=Battery(
            charge_w=10 * MW,
            discharge_w=12 * MW,
            energy_j=40 * MWH,
            throughput_usd_per_j=2 / MWH,
            cyclic=False,
            initial_j=20 * MWH,
        ),
        renewables=(Renewable(name="sun", available_w=30 * MW * np.maximum(0, np.sin((hour - 6) / 12 * np.pi))),),
        ladder=(FlexibleLoad(label="capped", max_w=5 * MW, usd_per_j=200 / MWH),),
        carbon_usd_per_kg=0.02,
    )


RULES = (None, OperatingRule(charge_below_usd_per_j=40 / MWH, discharge_above_usd_per_j=60 / MWH))


@pytest.mark.parametrize("rule", RULES)
def test_compiled_answers_as_plain_python(rule):
    question = site()
    loads = question.load_w * (1 + 0.1 * np.random.default_rng(1).standard_normal((4, question.steps)))
    fast, plain = rule_dispatch(question, loads, rule), rule_dispatch(question, loads, rule, plain=True)
    np.testing.assert_allclose(fast.usd, plain.usd, rtol=1e-12)
    for name, energy in plain.energy_j.items():
        np.testing.assert_allclose(fast.energy_j[name], energy, rtol=1e-12, atol=1.0)
    threads = rule_dispatch(question, loads, rule, workers=3)
    assert (threads.usd == fast.usd).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 1.5), st.sampled_from(RULES))
def test_physics_and_never_cheaper_than_foresight(seed, wild, rule):
    question = site(seed, wild=wild)
    result = rule_year(question, rule)
    power, battery = result.power_w, question.battery
    fed = sum(p for name, p in power.items() if name not in ("battery charge", "load bank"))
    np.testing.assert_allclose(fed - power["battery charge"] - power["load bank"], question.load_w, atol=1.0)
    assert all(float(p.min()) >= -1e-6 for p in power.values())
    assert (power["grid"] <= 50 * MW + 1).all()
    assert np.abs(np.diff(power["grid"])).max() <= 25 * MW + 1
    assert np.abs(np.diff(power["gas"])).max() <= 0.4 * 48 * MW + 1
    assert 0 <= result.energy_j.min() <= result.energy_j.max() <= battery.energy_j * (1 + 1e-9)
    before = np.concatenate(([battery.initial_j], result.energy_j[:-1]))
    change = power["battery charge"] * 0.95 - power["battery discharge"] / 0.95
    np.testing.assert_allclose(result.energy_j - before, change * 3600, atol=1e-6 * MWH)
    assert result.cost_usd >= dispatch(question).cost_usd * (1 - 1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_one_year_and_many_agree(rule):
    question = site()
    one, many = rule_year(question, rule), rule_dispatch(question, question.load_w[None], rule)
    assert many.usd[0] == pytest.approx(one.cost_usd)
    assert many.demand_usd[0] == pytest.approx(one.usd.children[1].value)
    assert many.unserved_j[0] == pytest.approx(one.unserved_j)
    assert many.energy_j["renewables"][0] == pytest.approx(one.power_w["sun"].sum() * 3600)
    assert many.energy_j["gas"][0] == pytest.approx(one.power_w["gas"].sum() * 3600)


def test_the_years_of_performance_md(workloads):
    question = workloads.d1()
    loads = question.load_w * (1 + 0.02 * np.random.default_rng(0).standard_normal((20, question.steps)))
    result = rule_dispatch(question, loads)
    assert result.unserved_j.sum() == 0
    assert result.usd.mean() == pytest.approx(98.36e6, rel=1e-3)  # 1.1 % above the optimum of the undisturbed year
    p10, p50, p90 = result.quantiles()["usd"]
    assert p10 <= p50 <= p90
    json.dumps(result.to_dict())
    assert len(result.to_frame()) == 20


def test_merit_order_by_hand():
    question = replace(site(steps=1), battery=None, renewables=(), ladder=(), carbon_usd_per_kg=0.0)
    question = replace(question, load_w=np.array([120 * MW]), grid=replace(question.grid, price_usd_per_j=10 / MWH))
    result = rule_year(question)
    assert result.power_w["grid"][0] == pytest.approx(50 * MW)
    assert result.power_w["gas"][0] == pytest.approx(48 * MW)
    assert result.power_w["unserved"][0] == pytest.approx(22 * MW)
    with pytest.raises(ValueError, match=r"shape \(years, 1\)"):
        rule_dispatch(question, np.ones((2, 3)))
