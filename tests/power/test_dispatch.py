import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from gigawatt.power import (
    GENERATORS,
    MEGAPACKS,
    Battery,
    Curtailment,
    DispatchModel,
    FlexibleLoad,
    GeneratorGroup,
    GridConnection,
    Renewable,
    SiteYear,
    battery_units,
    demand_usd,
    dispatch,
    firm_units,
    generation_facts,
    generator_group,
    highest_hours,
    load_points,
    warm_air_derate,
    warm_air_heat_rate,
)

MW, MWH = 1e6, 3.6e9


def flat(load_mw=100.0, steps=4, limit_mw=80.0, **changes):
    """100 MW from a grid of 80 MW at 40 USD/MWh and a generator of 50 MW at 60."""
    group = GeneratorGroup(name="gas", units=5, unit_w=10 * MW, heat_rate=2.5, fuel_usd_per_j=24 / MWH)
    site = SiteYear(
        load_w=np.full(steps, load_mw * MW),
        grid=GridConnection(limit_w=limit_mw * MW, price_usd_per_j=40 / MWH),
        generators=(group,),
    )
    return replace(site, **changes)


def rich(seed=0, steps=48, cyclic=False):
    """Everything at once: ramps, segments, warm hours, sun, a battery, a ladder, a demand charge and a curtailment call."""
    rng = np.random.default_rng(seed)
    hour = np.arange(steps) % 24
    load = (100 + 30 * rng.random(steps)) * MW
    derate = np.where((hour > 12) & (hour < 18), 0.8, 1.0)
    return SiteYear(
        load_w=load,
        grid=GridConnection(
            limit_w=60 * MW,
            price_usd_per_j=(40 + 30 * rng.random(steps)) / MWH,
            ramp_w_per_s=20 * MW / 3600,
            demand_usd_per_w=3000 / MW,
            billing=np.arange(steps) // 24 + 7,
            carbon_kg_per_j=(0.3 + 0.2 * rng.random(steps)) * 1000 / MWH,
            curtailment=Curtailment(called=highest_hours(load, 4), depth=0.5),
        ),
        generators=(
            GeneratorGroup(
                name="engines",
                units=8,
                unit_w=5 * MW,
                heat_rate=((0.5, 2.1), (1.0, 2.3)),
                fuel_usd_per_j=12 / MWH,
                variable_usd_per_j=8 / MWH,
                carbon_kg_per_fuel_j=180 / MWH,
                ramp_per_s=0.3 / 3600,
                spare_units=1,
            ),
            GeneratorGroup(
                name="turbine",
                units=1,
                unit_w=30 * MW,
                heat_rate=2.9,
                fuel_usd_per_j=12 / MWH,
                carbon_kg_per_fuel_j=180 / MWH,
                ramp_per_s=0.5 / 3600,
                derate=derate,
            ),
        ),
        battery=Battery(
            charge_w=10 * MW,
            discharge_w=15 * MW,
            energy_j=30 * MWH,
            charge_efficiency=0.96,
            discharge_efficiency=0.94,
            throughput_usd_per_j=3 / MWH,
            cyclic=cyclic,
            initial_j=0.0 if cyclic else 12 * MWH,
        ),
        renewables=(Renewable(name="sun", available_w=20 * MW * np.maximum(0, np.sin((hour - 6) / 12 * np.pi))),),
        ladder=(
            FlexibleLoad(label="capped", max_w=6 * MW, usd_per_j=150 / MWH),
            FlexibleLoad(label="stopped", max_w=10 * MW, usd_per_j=600 / MWH),
        ),
        carbon_usd_per_kg=0.03,
    )


def by_linprog(site):
    """The same question written down again, one variable at a time, for SciPy."""
    T, h = site.steps, site.step_s / 3600
    cost, bounds, equal, right, below, limit = [], [], [], [], [], []

    def variables(usd_per_j, upper_w):
        first = len(cost)
        cost.extend((site.series(usd_per_j) * MW * site.step_s).tolist())
        bounds.extend((0, u if math.isfinite(u) else None) for u in (site.series(upper_w) / MW).tolist())
        return [first + t for t in range(T)]

    def ramp(columns, most):
        for t in range(1, T):
            for sign in (1, -1):
                row = {c[t]: sign for c in columns} | {c[t - 1]: -sign for c in columns}
                below.append(row)
                limit.append(most)

    grid = variables(site.grid_usd_per_j, site.grid_limit_w)
    ramp([grid], site.grid.ramp_w_per_s * site.step_s / MW)
    sources = [grid]
    for group in site.generators:
        parts, low = [], 0.0
        for end, rate in group.segments:
            parts.append(
                variables(
                    group.usd_per_j(rate, site.carbon_usd_per_kg),
                    site.series(group.derate) * group.capacity_w * (end - low),
                )
            )
            low = end
        ramp(parts, group.ramp_per_s * site.step_s * group.capacity_w / MW)
        sources += parts
    sources += [variables(0.0, part.available_w) for part in site.renewables]
    sources += [variables(rung.usd_per_j, rung.max_w) for rung in site.ladder]
    sources.append(variables(site.unserved_usd_per_j, np.inf))
    b = site.battery
    charge, discharge = variables(0.0, b.charge_w), variables(b.throughput_usd_per_j, b.discharge_w)
    stored = variables(0.0, b.energy_j * MW / MWH)
    for t in range(T):
        equal.append({s[t]: 1.0 for s in sources} | {charge[t]: -1.0, discharge[t]: 1.0})
        right.append(site.load_w[t] / MW)
        row = {stored[t]: 1.0, charge[t]: -b.charge_efficiency * h, discharge[t]: h / b.discharge_efficiency}
        if t or b.cyclic:
            row[stored[t - 1]] = -1.0
        equal.append(row)
        right.append(0.0 if t or b.cyclic else b.initial_j / MWH)
    for month in np.unique(site.billing_months):
        cost.append(site.grid.demand_usd_per_w * MW)
        bounds.append((0, None))
        for t in np.flatnonzero(site.billing_months == month):
            below.append({grid[t]: 1.0, len(cost) - 1: -1.0})
            limit.append(0.0)

    def dense(rows):
        matrix = np.zeros((len(rows), len(cost)))
        for i, row in enumerate(rows):
            for column, value in row.items():
                matrix[i, column] = value
        return matrix

    return linprog(cost, A_ub=dense(below), b_ub=limit, A_eq=dense(equal), b_eq=right, bounds=bounds).fun


def check_physics(result):
    """Every step: load = sources - charge; the battery keeps its energy; every limit holds."""
    site, power = result.site, result.power_w
    fed = sum(p for name, p in power.items() if name not in ("battery charge", "load bank"))
    np.testing.assert_allclose(
        fed - power.get("battery charge", 0.0) - power.get("load bank", 0.0), site.load_w, atol=10, rtol=1e-6
    )
    assert all(float(p.min()) >= -1e-6 for p in power.values())
    assert (power["grid"] <= site.grid_limit_w + 1).all()
    assert np.abs(np.diff(power["grid"])).max(initial=0.0) <= site.grid.ramp_w_per_s * site.step_s + 1
    for group in site.generators:
        assert (power[group.name] <= site.series(group.derate) * group.capacity_w + 1).all()
        assert (
            np.abs(np.diff(power[group.name])).max(initial=0.0) <= group.ramp_per_s * site.step_s * group.capacity_w + 1
        )
    if site.battery is not None:
        b, start = site.battery, result.energy_j[-1] if site.battery.cyclic else site.battery.initial_j
        before = np.concatenate(([start], result.energy_j[:-1]))
        change = power["battery charge"] * b.charge_efficiency - power["battery discharge"] / b.discharge_efficiency
        np.testing.assert_allclose(result.energy_j - before, change * site.step_s, atol=1e-6 * MWH)
    assert result.usd.value == pytest.approx(sum(part.value for part in result.usd.children))


def test_the_worked_value_of_the_docstring():
    result = dispatch(flat())
    assert result.cost_usd == pytest.approx(4 * 4400)
    assert result.value_usd_per_w["grid"] == pytest.approx(np.full(4, 20 / MW))
    assert result.price_usd_per_j == pytest.approx(np.full(4, 60 / MWH))
    assert result.usd.value == pytest.approx(4 * 80 * 40 + 4 * 20 * 60)
    assert "grid binds in 4 steps, where one MW more would save $80" in result.status


def test_the_year_of_performance_md(workloads):
    result = dispatch(workloads.d1())
    assert result.cost_usd == pytest.approx(97_254_016.44, rel=1e-9)
    assert result.unserved_j == 0
    check_physics(result)


@pytest.mark.parametrize("cyclic", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_scipy(seed, cyclic):
    site = rich(seed, cyclic=cyclic)
    result = dispatch(site)
    assert result.cost_usd == pytest.approx(by_linprog(site), rel=1e-7)
    check_physics(result)
    assert demand_usd(site, result.power_w["grid"]) > 0


def test_parts_of_the_year_join_to_the_same_answer(workloads):
    site = workloads.d1(24 * 40)
    charged = replace(site, grid=replace(site.grid, demand_usd_per_w=8000 / MW, billing=np.arange(960) // 240))
    for question in (site, charged, replace(site, battery=replace(site.battery, cyclic=False, initial_j=50 * MWH))):
        result = dispatch(question)
        check_physics(result)
        whole = DispatchModel(question)
        whole.program.solver.clearSolver()  # forgets the joined start
        assert result.cost_usd == pytest.approx(whole.solve().cost_usd, rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.2, 2.0), st.floats(0.0, 40.0))
def test_physics_and_monotone_limits(seed, scale, more):
    site = rich(seed, steps=24, cyclic=True)
    site = replace(site, load_w=site.load_w * scale)
    result = dispatch(site)
    check_physics(result)
    larger = replace(site, grid=replace(site.grid, limit_w=(60 + more) * MW))
    assert dispatch(larger).cost_usd <= result.cost_usd + 1e-6 * abs(result.cost_usd)
    hungrier = replace(site, load_w=site.load_w * 1.01)
    assert dispatch(hungrier).cost_usd >= result.cost_usd - 1e-6
    for value in result.value_usd_per_w.values():
        assert float(value.min()) >= 0


def test_duals_are_finite_differences():
    site, d = rich(3), 1e-3
    result = dispatch(site)
    base, battery = result.cost_usd, site.battery
    engines, turbine = site.generators
    contract = site.grid.curtailment  # one W more in every hour, called hours included
    more = 60 * MW * d / np.where(contract.called, 1.0 - contract.depth, 1.0)
    changed = {
        "grid": replace(site, grid=replace(site.grid, limit_w=60 * MW + more)),
        "engines": replace(site, generators=(replace(engines, unit_w=engines.unit_w * (1 + d)), turbine)),
        "turbine": replace(site, generators=(engines, replace(turbine, unit_w=turbine.unit_w * (1 + d)))),
        "battery_w": replace(
            site,
            battery=replace(battery, charge_w=battery.charge_w * (1 + d), discharge_w=battery.discharge_w * (1 + d)),
        ),
        "battery_j": replace(site, battery=replace(battery, energy_j=battery.energy_j * (1 + d))),
    }
    amount = {
        "grid": 60 * MW,
        "engines": engines.capacity_w,
        "turbine": turbine.capacity_w,
        "battery_w": battery.discharge_w,
        "battery_j": battery.energy_j,
    }
    for name, other in changed.items():
        saved = (base - dispatch(other).cost_usd) / (d * amount[name])
        value = float(result.value_usd_per_w[name].sum())
        assert value == pytest.approx(saved, rel=2e-3, abs=1e-9), name


def test_a_model_solved_again_answers_as_a_new_one():
    model, rng = DispatchModel(rich(1)), np.random.default_rng(5)
    model.solve()
    for _ in range(3):
        site = rich(1)
        site = replace(
            site,
            load_w=site.load_w * (1 + 0.1 * rng.standard_normal(site.steps)),
            grid=replace(site.grid, price_usd_per_j=np.asarray(site.grid.price_usd_per_j) * 1.3, limit_w=70 * MW),
        )
        assert model.solve(site).cost_usd == pytest.approx(dispatch(site).cost_usd, rel=1e-9)
    with pytest.raises(ValueError, match="make a new DispatchModel"):
        model.solve(replace(rich(1), battery=None))


def test_what_is_not_served_says_how_much_is_missing():
    result = dispatch(flat(load_mw=140))
    assert result.power_w["unserved"] == pytest.approx(np.full(4, 10 * MW))
    assert result.unserved_j == pytest.approx(40 * MWH)
    assert result.status.startswith("40.0 MWh of load are not served in 4 steps, at most 10.00 MW")
    assert result.usd.value == pytest.approx(4 * (80 * 40 + 50 * 60 + 10 * 10_000))


def test_the_ladder_gives_way_in_order():
    rungs = (
        FlexibleLoad(label="stopped", max_w=20 * MW, usd_per_j=500 / MWH),
        FlexibleLoad(label="capped", max_w=8 * MW, usd_per_j=100 / MWH),
    )
    result = dispatch(flat(load_mw=140, ladder=rungs))
    assert result.power_w["capped"] == pytest.approx(np.full(4, 8 * MW))
    assert result.power_w["stopped"] == pytest.approx(np.full(4, 2 * MW))
    assert result.unserved_j == 0


def test_curtailment_and_demand_charge():
    site = flat(limit_mw=120)
    called = np.array([False, True, False, False])
    contract = replace(site, grid=replace(site.grid, curtailment=Curtailment(called=called, depth=0.75)))
    result = dispatch(contract)
    assert (
        result.power_w["grid"] == pytest.approx(np.array([100, 50, 100, 100]) * MW, rel=1e-6) or result.unserved_j > 0
    )
    assert result.power_w["unserved"][1] == pytest.approx(20 * MW)
    # A demand charge of 1,000 USD/MW is dearer than 4 hours of a generator that costs 20 USD/MWh more.
    charged = replace(site, grid=replace(site.grid, demand_usd_per_w=1000 / MW))
    assert dispatch(charged).power_w["grid"].max() == pytest.approx(50 * MW)


def test_months_of_a_year():
    month = flat(steps=8760).billing_months
    assert month[[0, 743, 744, 8759]].tolist() == [0, 0, 1, 11]
    assert np.bincount(month).tolist() == [24 * d for d in (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)]


def test_firm_units():
    assert firm_units(10, 0.05, 0.99) == 7
    assert firm_units(10, 0.05, 0.98) == 8
    assert firm_units(10, 0.0, 0.99) == 10
    assert firm_units(3000, 0.03, 0.99) < 2910
    group = GeneratorGroup(name="g", units=10, unit_w=1.0, heat_rate=2, fuel_usd_per_j=0, forced_outage_rate=0.05)
    assert group.capacity_w == 7
    assert replace(group, spare_units=5).firm_units == 5


def test_tables_and_json():
    result = dispatch(rich())
    frame = result.to_frame()
    assert len(frame) == 48
    assert {"load_w", "grid_w", "engines_w", "capped_w", "unserved_w", "battery_energy_j"} <= set(frame.columns)
    plain = result.to_dict(points=10)
    json.dumps(plain)
    assert len(plain["series"]["grid"]["mean"]) == 10
    assert result.outputs["dispatch.energy.grid"].value == pytest.approx(result.energy_by_source_j()["grid"])
    assert result.outputs["dispatch.cost"].value == result.usd.value
    size = int(plain["series"]["grid"]["steps"][0])
    weights = [min(size, 48 - size * i) for i in range(10)]
    mean = np.average(plain["series"]["grid"]["mean"], weights=weights)
    assert mean * 48 * 3600 == pytest.approx(result.energy_by_source_j()["grid"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(flat(), load_w=np.array([-1.0])), "load_w of the site must lie between"),
        (lambda: flat(grid=GridConnection(limit_w=np.ones(3), price_usd_per_j=0.0)), "has 3 values; the load has 4"),
        (lambda: flat(ladder=(FlexibleLoad(label="gas", max_w=1.0, usd_per_j=0.0),)), "must differ"),
        (lambda: flat(ladder=(FlexibleLoad(label="x", max_w=1.0, usd_per_j=1.0),)), "costs more than unserved"),
        (lambda: replace(flat().generators[0], heat_rate=0.9), "cannot be below 1"),
        (lambda: replace(flat().generators[0], heat_rate=((0.5, 2.4), (1.0, 2.2))), "must not fall with load"),
        (lambda: replace(flat().generators[0], heat_rate=((0.5, 2.4),)), "must rise to 1"),
        (lambda: Battery(charge_w=1, discharge_w=1, energy_j=1, initial_j=2), "at most its energy"),
    ],
)
def test_wrong_input_says_what_is_allowed(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_packaged_generators():
    for kind in GENERATORS:
        plain, committed = generator_group(kind, 10), generator_group(kind, 10, committed=True)
        full = committed.heat_rate + committed.no_load_fuel_w / committed.unit_w
        assert full == pytest.approx(plain.heat_rate, rel=3e-3)
    frontier = generator_group("reciprocating", 210, spare_units=13)
    assert frontier.capacity_w == pytest.approx(700e6, rel=0.06)  # the first phase of the campus
    hot = generator_group("lm2500xpress", 1, ambient_k=308.15)
    assert hot.derate == pytest.approx(0.84)
    # 8,640 Btu/kWh on the lower heating value are 9,573 on the higher one
    assert hot.heat_rate * 3412.14 == pytest.approx(9573, rel=1e-3)
    with pytest.raises(ValueError, match="choose one of"):
        generator_group("reactor", 1)


def test_packaged_batteries():
    colossus = battery_units(MEGAPACKS[1], 168)
    assert colossus.discharge_w == pytest.approx(164.5e6, rel=1e-3)  # described as 150 MW
    assert colossus.charge_efficiency * colossus.discharge_efficiency == pytest.approx(0.937)
    assert all(fact.source for fact in generation_facts().values())


def test_warm_air_and_load_points():
    assert warm_air_derate(np.array([278.15, 288.15, 308.15]), 0.008) == pytest.approx([1.0, 1.0, 0.84])
    assert float(warm_air_heat_rate(2.5, 308.15, 0.001)) == pytest.approx(1 / 0.38)
    segments, no_load = load_points([1658, 2509, 3356], [4008, 5758, 7507])
    assert segments == (
        (pytest.approx(0.7476, abs=1e-4), pytest.approx(2.056, abs=1e-3)),
        (1.0, pytest.approx(2.065, abs=1e-3)),
    )
    assert no_load == pytest.approx(0.0797, abs=1e-3)
    with pytest.raises(ValueError, match="fit one straight line"):
        load_points([1, 2, 3], [3, 6, 8])


def test_light_to_import_and_silent():
    code = (
        "import sys, numpy as np, gigawatt.power as p\n"
        "heavy = {'highspy', 'scipy', 'numba', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "p.dispatch(p.SiteYear(load_w=np.ones(3), grid=p.GridConnection(limit_w=2.0, price_usd_per_j=1e-8)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_another_solver_of_the_process_may_use_other_threads():
    code = (
        "import highspy, numpy as np, gigawatt.power as p\n"
        "other = highspy.Highs(); other.setOptionValue('output_flag', False); other.setOptionValue('threads', 3)\n"
        "other.addCol(1.0, 1.0, 2.0, 0, np.zeros(0, np.int32), np.zeros(0)); other.run()\n"
        "site = p.SiteYear(load_w=np.ones(3), grid=p.GridConnection(limit_w=2.0, price_usd_per_j=1e-8))\n"
        "assert abs(p.dispatch(site).cost_usd - 3 * 3600e-8) < 1e-12\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
