"""The power of a plan: by the moment, by the hour, under caps."""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from gigawatt.errors import InputError
from gigawatt.planning import evaluate, plan_scenario, power_scenario, resolve
from gigawatt.planning._power_load import PHASE_OF, levels_of, step_timeline, window, with_saves
from gigawatt.planning._power_year import date_of, windowed
from gigawatt.scenario import load_scenario, scenario_from_mapping
from gigawatt.timeline import Timeline

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = {
    "model": "Llama 3 8B",
    "fleet": {"accelerator": "H100 SXM", "count": 1024},
    "training": {"global_batch": "1024 sequences"},
}


def scenario(folder=Path(), **sections):
    return scenario_from_mapping({**SMALL, **sections}, name="test", folder=folder)


@cache
def report(**power):
    return power_scenario(scenario(power=power or None), duration_s=120.0, resolution_s=0.02, caps=False)


@cache
def memphis():
    return power_scenario(
        load_scenario(EXAMPLES / "memphis-power.yaml"), duration_s=600.0, resolution_s=0.05, caps=False, measures=False
    )


def test_the_step_of_a_plan_is_tiled_by_known_phases():
    base = evaluate(resolve(load_scenario(EXAMPLES / "colossus-100k.yaml")))
    timeline, counts = step_timeline(base.job, base.training)
    assert set(timeline.labels) <= set(PHASE_OF)
    assert sum(counts) == pytest.approx(base.training.accelerators)
    for lane in range(len(timeline.lanes)):
        mine = timeline.lane == lane
        assert (timeline.end_s - timeline.start_s)[mine].sum() == pytest.approx(timeline.duration_s, rel=1e-6)
    assert timeline.duration_s == pytest.approx(base.training.step_s, rel=0.02)


def test_the_mean_of_the_steps_is_that_of_the_plan():
    """The plan takes computing and waiting shares of a step; the waveform takes every phase of every stage."""
    base = evaluate(resolve(scenario()))
    found = report()
    training = (
        base.value("power.accelerator_limit")
        * (
            found.inputs.value("power.compute_fraction") * base.training.computing_fraction
            + found.inputs.value("power.communication_fraction") * (1 - base.training.computing_fraction)
        )
        + base.value("power.server")
        + base.value("power.network")
    ) * (1 + found.inputs.value("power.other_it_fraction"))
    idle = base.fleet.powered - base.training.accelerators
    expected = base.training.accelerators * training + idle * found.levels.of("idle") + base.value("power.cooling")
    assert found.step.mean_w == pytest.approx(expected, rel=0.03)


def test_energy_of_the_record_is_that_of_its_windows():
    data = report().to_dict()
    record = data["record"]
    shown = record["shown"]
    assert np.dot(shown["mean_w"], shown["length_s"]) == pytest.approx(record["energy_j"], rel=1e-9)
    assert min(shown["minimum_w"]) == pytest.approx(record["minimum_w"])
    assert max(shown["maximum_w"]) == pytest.approx(record["maximum_w"])


def test_levels_rise_from_idle_to_computing():
    watts = report().levels.watts
    assert watts["idle"] < watts["waiting"] <= watts["checkpoint"] < watts["communication"] < watts["training"]


def test_a_cap_lowers_the_draw_and_lengthens_the_run():
    free, capped = (plan_scenario(scenario(power=power), intervals=False) for power in (None, {"power_cap": "400 W"}))
    assert capped["power.facility_peak"] < free["power.facility_peak"]
    assert capped["training.step_time"] > free["training.step_time"]
    assert capped["run.time"] > free["run.time"]
    above = plan_scenario(scenario(power={"power_cap": "700 W"}), intervals=False)
    assert above["run.time"] == pytest.approx(free["run.time"])


def test_under_a_grid_limit_a_cap_lets_more_accelerators_run():
    tight = {"grid_limit": "1 MW"}
    free, capped = (
        plan_scenario(scenario(site=tight, power=power), intervals=False) for power in (None, {"power_cap": "400 W"})
    )
    assert capped.fleet.powered > free.fleet.powered
    whole = plan_scenario(scenario(site=tight))
    assert any(lever.name == "power cap" for lever in whole.levers)


def test_caps_are_compared_under_the_same_limit():
    found = power_scenario(
        scenario(site={"grid_limit": "1 MW"}), duration_s=30.0, resolution_s=0.1, year=False, measures=False
    )
    rows = [row for row in found.caps if math.isfinite(row.run_s)]
    assert len(rows) > 5
    assert all(row.facility_peak_w <= 1e6 * (1 + 1e-9) for row in rows)
    assert rows[0].cap_w is None
    assert max(row.accelerators for row in rows[1:]) > rows[0].accelerators


def test_the_year_in_memphis_adds_up():
    year = memphis().year
    fed = sum(year.column(name) for name in year.sources if name not in ("battery charge",))
    taken = year.column("battery charge") if "battery charge" in year.sources else 0.0
    assert fed - taken == pytest.approx(year.load_w, rel=1e-6, abs=1.0)
    assert (year.column("grid") <= year.grid_limit_w * (1 + 1e-9) + 1.0).all()
    assert year.grid_limit_w[0] == 8e6
    assert year.grid_limit_w[-1] == 150e6
    assert len(year.stretches) == 5
    shutdown = year.column("shutdown")
    assert shutdown[:24].sum() == 0  # a small fleet at first
    assert shutdown[24 * 80 : 24 * 100].min() > 0  # all of it before the turbines
    assert year.useful_share < 0.97
    data = year.to_dict()
    assert data["limits"][0]["value_usd_per_unit"] > 1.0
    energy = sum(data["energy_j"].values())
    assert energy == pytest.approx(data["load_j"], rel=1e-3)


def test_the_grid_dual_is_what_one_more_megawatt_saves():
    text = ["power.curtailment.hours=1 h"]
    steps = "[{from: 2024-07-01, limit: %s MW}]"
    costs = []
    for limit in ("40", "41"):
        found = power_scenario(
            load_scenario(
                EXAMPLES / "memphis-power.yaml",
                [
                    *text,
                    f"power.grid={steps % limit}",
                    "power.demand_charge=$0/kW",
                    "power.fleet=[{from: 2024-07-01, share: 80 %}]",
                ],
            ),
            duration_s=60.0,
            resolution_s=0.1,
            caps=False,
            measures=False,
        )
        costs.append(found.year.usd.value)
        worth = found.year.worth("grid").sum() * 1e6
    assert costs[0] - costs[1] == pytest.approx(worth, rel=0.05)


def test_the_battery_keeps_the_grid_inside_its_ramp():
    found = memphis().behind
    ramp = np.abs(np.diff(found.smoothed.grid_w)).max() / found.smoothed.step_s
    assert ramp <= found.ramp_w_per_s * (1 + 1e-6)
    assert found.smoothed.over_ramp_s == 0


def test_batteries_match_the_closed_form():
    """dP^2/(2R) of a start (docs/science.md 12.5); the swing of the steps rides on it."""
    for row in report().batteries:
        if row.sizing.charge_event == "start":
            assert row.sizing.charge_j == pytest.approx(row.closed_j, rel=0.25)
            assert row.sizing.power_w >= 0.9 * row.step_w
    assert [row.sizing.charge_j for row in report().batteries] == sorted(
        (row.sizing.charge_j for row in report().batteries), reverse=True
    )


def test_the_cheapest_mix_is_no_dearer_than_any_measure_alone():
    for found in report().calming:
        best = found.best
        if best is not None:
            assert best.usd_per_year <= min(mix.usd_per_year for mix in found.alone if mix.complies)


def test_a_window_of_a_run_and_its_saves():
    run = Timeline.of(
        "run", [("job", "training", 0.0, 100.0), ("job", "restart", 100.0, 130.0), ("job", "training", 130.0, 300.0)]
    )
    part = window(run, 50.0, 100.0)
    assert part.rows() == [
        ("job", "training", 0.0, 50.0),
        ("job", "restart", 50.0, 80.0),
        ("job", "training", 80.0, 100.0),
    ]
    saved = with_saves(part, 20.0, 2.0)
    assert ("job", "checkpoint stall", 20.0, 22.0) in saved.rows()
    assert saved.duration_s == 100.0


def test_windows_keep_means_and_ends():
    found = windowed(np.arange(10.0), 3)
    assert found["steps"] == 4
    assert found["mean"] == [1.5, 5.5, 8.5]
    assert found["max"] == [3.0, 7.0, 9.0]


def test_same_seed_same_answer():
    first, second = (
        power_scenario(scenario(), duration_s=60.0, resolution_s=0.1, caps=False, measures=False, year=False).to_dict()
        for _ in range(2)
    )
    assert first == second


HOURS = "time_utc,price_usd_per_mwh\n"


def hourly(rows, start=0):
    from datetime import UTC, datetime, timedelta

    first = datetime(2023, 1, 1, tzinfo=UTC)
    return [f"{(first + timedelta(hours=h)).strftime('%Y-%m-%dT%H:%MZ')},50.0" for h in range(start, start + rows)]


@pytest.mark.parametrize(
    ("name", "lines", "words"),
    [
        ("short", hourly(8_759), ["8,759", "8,760"]),
        ("gap", [*hourly(100), *hourly(8_660, 101)], [":102", "gap"]),
        ("twice", [*hourly(100), *hourly(8_760, 99)], ["twice"]),
        ("text", [*hourly(5), "2023-01-01T05:00Z,cheap", *hourly(8_754, 6)], ["cheap"]),
        ("nan", [*hourly(5), "2023-01-01T05:00Z,nan", *hourly(8_754, 6)], ["nan"]),
    ],
)
def test_a_price_file_that_is_wrong_says_where(tmp_path, name, lines, words):
    path = tmp_path / f"{name}.csv"
    path.write_text(HOURS + "\n".join(lines) + "\n")
    with pytest.raises(InputError) as caught:
        power_scenario(
            scenario(folder=tmp_path, power={"prices": path.name}),
            duration_s=10.0,
            resolution_s=0.1,
            caps=False,
            measures=False,
        )
    text = str(caught.value)
    assert path.name in text
    for word in words:
        assert word.casefold() in text.casefold(), text


@pytest.mark.parametrize(
    ("power", "words"),
    [
        ({"prices": "ercot 2023 prices"}, ["ercot 2023 price"]),
        ({"prices": "dallas 2023 temperature"}, ["in K"]),
        ({"requirements": "stabilization"}, ["stabilisation"]),
        ({"cooling": "imersion"}, ["evaporative"]),
        ({"generators": [{"kind": "smt-130", "units": 2}]}, ["smt130"]),
        ({"battery": {"kind": "4h"}}, ["units"]),
        ({"battery": {"power": "1 MW"}}, ["energy"]),
        ({"grid": [{"from": "2023-06", "limit": "1 MW"}, {"from": "2023-02", "limit": "2 MW"}]}, ["rise"]),
        ({"grid": [{"from": "2025-06", "limit": "1 MW"}]}, ["after the year"]),
        ({"power_cap": "20 W"}, ["no clock"]),
    ],
)
def test_what_cannot_be_is_said(power, words):
    with pytest.raises(InputError) as caught:
        power_scenario(scenario(power=power), duration_s=10.0, resolution_s=0.1, caps=False, measures=False)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"duration_s": 0.0}, "--duration"),
        ({"resolution_s": 1e-4}, "--resolution"),
        ({"duration_s": 1.0, "resolution_s": 2.0}, "longer than the record"),
    ],
)
def test_times_that_cannot_be(options, words):
    with pytest.raises(InputError, match=words):
        power_scenario(scenario(), **options)


def test_dates():
    assert date_of("2024").isoformat() == "2024-01-01T00:00:00+00:00"
    assert date_of("2024-07").month == 7
    assert date_of("2024-07-15").day == 15


def test_levels_follow_the_plan():
    inputs = resolve(scenario())
    base = evaluate(inputs)
    watts = levels_of(inputs, base).watts
    assert watts["training"] * base.fleet.powered * inputs.value("site.pue") == pytest.approx(
        base.value("power.facility_peak")
    )
