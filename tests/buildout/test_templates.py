from __future__ import annotations

import csv
import json
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.buildout import (
    DAY,
    TEMPLATES,
    BuildSchedule,
    PowerStep,
    TaskNetwork,
    build_schedule,
    installation_rate,
    installed,
    sample_durations,
    schedule_tasks,
    site_tasks,
    task_facts,
)
from gigawatt.catalog import Catalog
from gigawatt.errors import InfeasibleError, InputError
from gigawatt.evidence import Grade

MW = 1e6
MONTH = 2_629_800.0
CONNECTED = (PowerStep(power_w=2e9, live_s=0.0),)


@pytest.fixture(scope="module")
def builds() -> dict[tuple[str, float], BuildSchedule]:
    sizes = ((150 * MW, 1000), (1000 * MW, 6700))
    return {
        (template, power): build_schedule(site_tasks(template, power_w=power, racks=racks), 300)
        for template in TEMPLATES
        for power, racks in sizes
    }


@pytest.mark.parametrize("template", TEMPLATES)
def test_dates_are_ordered_and_reached_in_the_order_of_a_build(
    template: str, builds: dict[tuple[str, float], BuildSchedule]
) -> None:
    for power in (150 * MW, 1000 * MW):
        dates = builds[template, power].milestones
        assert all(0 < date.p10_s < date.p50_s < date.p90_s for date in dates.values())
        for earlier, later in (
            ("permits", "halls ready"),
            ("first power", "full power"),
            ("full power", "halls ready"),
            ("hall 1 accepted", "complete"),
            ("last rack placed", "complete"),
        ):
            assert dates[earlier].p50_s <= dates[later].p50_s


@pytest.mark.parametrize("power", [150 * MW, 1000 * MW])
def test_a_retrofit_is_sooner_than_a_new_build(power: float, builds: dict[tuple[str, float], BuildSchedule]) -> None:
    for milestone in ("permits", "hall 1 accepted", "complete"):
        retrofit, new = builds["retrofit", power].date(milestone), builds["new_build", power].date(milestone)
        assert (retrofit.p10_s, retrofit.p50_s, retrofit.p90_s) < (new.p10_s, new.p50_s, new.p90_s)


@pytest.mark.parametrize("power", [CONNECTED, (PowerStep(power_w=150 * MW, block="mobile_generators"),)])
def test_a_retrofit_is_sooner_with_the_same_power_too(power: tuple[PowerStep, ...]) -> None:
    retrofit, new = (build_schedule(site_tasks(t, power_w=150 * MW, racks=1000, power=power), 300) for t in TEMPLATES)
    assert (retrofit.reached_s("complete") < new.reached_s("complete")).mean() > 0.99


def test_a_new_building_takes_as_long_as_the_catalog_says(catalog: Catalog) -> None:
    """From permits to a hall that works, power aside: dc.build_time.shell of the catalog, 18 to 24 months."""
    build = build_schedule(site_tasks("new_build", power_w=50 * MW, racks=400, power=CONNECTED), 500)
    took = build.reached_s("halls ready") - build.reached_s("permits")
    fact = catalog.facts["dc.build_time.shell"][-1]
    assert np.quantile(took, 0.1) < fact.high
    assert np.quantile(took, 0.9) > fact.low
    assert fact.low * 0.8 < np.median(took) < fact.high


def test_lead_times_from_the_catalog_are_the_ones_of_the_catalog(catalog: Catalog) -> None:
    for ours, key in (
        ("grid.connection", "grid.lead_time.us_average"),
        ("turbines.turbine_order", "turbine.lead_time.large_frame"),
        ("engines.engine_order", "recip_engine.lead_time"),
        ("site.distribution_transformer_order", "transformer.lead_time.distribution"),
        ("site.switchgear_order", "switchgear.lead_time"),
    ):
        fact = task_facts()[ours]
        assert fact.low <= catalog.facts[key][-1].best * 1.001
        assert fact.high >= catalog.facts[key][-1].best * 0.999
        if key != "switchgear.lead_time":
            assert fact.best == pytest.approx(catalog.facts[key][-1].best, rel=0.001)


def test_every_row_says_where_it_comes_from() -> None:
    for path, fact in task_facts().items():
        assert fact.source, path
        assert fact.date, path
        assert fact.label, path
        if "estimate of this project" in fact.source:
            assert fact.grade is Grade.ESTIMATE, path


def test_no_row_names_the_site_that_the_studies_predict() -> None:
    text = files("gigawatt.buildout").joinpath("data", "tasks.csv").read_text(encoding="utf-8").casefold()
    assert not any(word in text for word in ("colossus", "memphis", "122", "xai"))


def test_every_name_in_the_table_stands_in_the_table() -> None:
    text = files("gigawatt.buildout").joinpath("data", "tasks.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    names = {row["name"] for row in rows}
    for row in rows:
        assert set(row["after"].replace("@power", "").replace("@cooling", "").split()) <= names, row["name"]


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(TEMPLATES),
    st.floats(1 * MW, 600 * MW),
    st.integers(1, 4000),
    st.sampled_from([None, CONNECTED, "generators and grid", "engines and turbines"]),
    st.sampled_from([0.0, 3.6e11]),
)
def test_any_site_has_a_schedule_that_respects_its_crews(
    template: str, power: float, racks: int, sources: object, battery: float
) -> None:
    blocks = sources.split(" and ") if isinstance(sources, str) else []
    known = {"generators": "mobile_generators"}
    steps = [PowerStep(power_w=power / 2, block=known.get(block, block)) for block in blocks]
    chosen = steps or (CONNECTED if sources is CONNECTED else None)
    network = site_tasks(template, power_w=power, racks=racks, power=chosen, battery_j=battery)
    assert sum(task.work for task in network.tasks if task.kind == "racks") == racks
    result = schedule_tasks(network, sample_durations(network, 8))
    assert np.isfinite(result.total_s).all()
    for name, units in network.resources.items():
        mine = [k for k, task in enumerate(network.tasks) if task.resource == name]
        held = np.array([network.tasks[k].units for k in mine])
        for s in range(8):
            start, end = result.start_s[s, mine], result.end_s[s, mine]
            assert all(held[(start <= t) & (end > t)].sum() <= units for t in start)


def test_more_of_everything_takes_no_less_time_and_more_crews_no_more() -> None:
    def end(racks: int, **fields: object) -> float:
        network = site_tasks("retrofit", power_w=150 * MW, racks=racks, power=CONNECTED, **fields)  # type: ignore[arg-type]
        return build_schedule(network, 200).date().p50_s

    crews = {"racks": 8, "cabling": 8}
    assert end(2000, crews=crews) > end(1000, crews=crews) > end(1000, crews={"racks": 24, "cabling": 24})


def test_a_longer_task_never_makes_an_earlier_end_where_crews_are_ample() -> None:
    ample = dict.fromkeys(site_tasks("retrofit", power_w=150 * MW, racks=900).resources, 1000)
    network = site_tasks("retrofit", power_w=150 * MW, racks=900, crews=ample)
    durations = sample_durations(network, 20)
    before = schedule_tasks(network, durations).end_s
    for k in range(len(network)):
        longer = durations.copy()
        longer[:, k] += 30 * DAY
        assert (schedule_tasks(network, longer).end_s >= before - 1e-6).all()


def test_equipment_in_hand_takes_no_time_and_brings_the_end_forward() -> None:
    stock = ("switchgear_order", "distribution_transformer_order", "ups_order")
    ordered = build_schedule(site_tasks("retrofit", power_w=150 * MW, racks=1000), 200)
    held = build_schedule(site_tasks("retrofit", power_w=150 * MW, racks=1000, in_hand=stock), 200)
    assert held.date("switchgear_order").p50_s == pytest.approx(held.date("design").p50_s)
    assert held.date().p50_s < ordered.date().p50_s - 150 * DAY


def test_more_shifts_shorten_the_work_on_the_site_and_nothing_else() -> None:
    one, three = (site_tasks("retrofit", power_w=150 * MW, racks=900, shifts=n) for n in (1, 3))
    pace = task_facts()["pace.3_shifts"].best
    for slow, fast in zip(one.tasks, three.tasks, strict=True):
        on_site = slow.trade in ("civil", "electrical", "mechanical", "racks", "network")
        assert fast.best_s == pytest.approx(slow.best_s * (pace if on_site else 1.0))
    assert build_schedule(three, 100).date().p90_s < build_schedule(one, 100).date().p90_s
    with pytest.raises(InputError, match="1, 2 or 3 shifts"):
        site_tasks("retrofit", power_w=150 * MW, racks=900, shifts=4)


def test_a_date_may_slip() -> None:
    slip = (10 * DAY, 60 * DAY, 200 * DAY)
    power = [PowerStep(power_w=150 * MW, live_s=900 * DAY, slip_s=slip)]
    build = build_schedule(site_tasks("retrofit", power_w=150 * MW, racks=900, power=power), 1000)
    date = build.date("full power")
    late = np.array([date.p10_s, date.p50_s, date.p90_s]) - 900 * DAY
    assert late == pytest.approx(np.array(slip), rel=0.02)


def test_days_per_day_is_the_slope_where_crews_bind_too() -> None:
    build = build_schedule(site_tasks("retrofit", power_w=300 * MW, racks=2000), 200)
    assert (build.samples.wait_s > 0).any()
    for influence in build.sensitivity()[:6]:
        slope = build.delayed_s(influence.kind, 1.0).mean()
        assert slope == pytest.approx(influence.days_per_day, abs=0.02)


def test_one_more_team_where_it_binds_brings_the_end_forward() -> None:
    build = build_schedule(site_tasks("retrofit", power_w=500 * MW, racks=3000), 100)
    assert build.more_units_s("commissioning").mean() < -5 * DAY
    ample = build_schedule(site_tasks("retrofit", power_w=500 * MW, racks=3000, crews={"civil": 99}), 100)
    assert (ample.more_units_s("civil") == 0).all()
    with pytest.raises(ValueError, match="no resource"):
        build.more_units_s("pilots")


def test_sources_fill_halls_in_their_order() -> None:
    power = [PowerStep(power_w=60 * MW, live_s=5 * DAY), PowerStep(power_w=90 * MW, block="mobile_generators")]
    network = site_tasks("retrofit", power_w=150 * MW, racks=900, power=power)
    after = {task.name: task.after for task in network.tasks}
    fed = [{n for n in after[f"commissioning {h}"] if n[:5] in ("power", "gener")} for h in (1, 2, 3)]
    assert fed == [{"power step 1"}, {"power step 1", "generators 2"}, {"generators 3"}]
    assert "generators 1" not in after
    assert network.milestones["first power"] == ("power step 1",)


def test_racks_wait_for_their_delivery() -> None:
    network = site_tasks("retrofit", power_w=100 * MW, racks=700, not_before_s={"racks 2": 3000 * DAY})
    result = schedule_tasks(network, network.best_s())
    place = network.index()
    assert result.start_s[0, place["racks 2"]] == 3000 * DAY
    assert result.start_s[0, place["racks 1"]] < 3000 * DAY


def test_too_little_power_is_infeasible_and_says_how_much_more() -> None:
    with pytest.raises(InfeasibleError, match="add a source of 50 MW") as caught:
        site_tasks("retrofit", power_w=150 * MW, racks=900, power=[PowerStep(power_w=100 * MW)])
    assert caught.value.constraint == "power"


def test_too_few_crews_are_infeasible_and_say_how_many_more() -> None:
    with pytest.raises(InfeasibleError, match="raise 'cabling' to 2"):
        site_tasks("retrofit", power_w=150 * MW, racks=900, crews={"cabling": 1})


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"template": "retrofitt"}, "did you mean 'retrofit'"),
        ({"racks": 0}, "one or more racks"),
        ({"cooling": ["chillers", "direct liquid"]}, "did you mean 'direct_liquid'"),
        ({"crews": {"rack": 4}}, "did you mean 'racks'"),
        ({"crews": {"racks": 0}}, "crews.racks"),
        ({"in_hand": ["switchgear"]}, "did you mean 'switchgear_order'"),
        ({"power": [PowerStep(power_w=200e6, block="grid")] * 2}, "listed twice"),
    ],
)
def test_wrong_input_is_named(fields: dict[str, object], match: str) -> None:
    question: dict[str, object] = {"template": "retrofit", "power_w": 150e6, "racks": 900, **fields}
    with pytest.raises(InputError, match=match):
        site_tasks(**question)  # type: ignore[arg-type]


def test_a_source_needs_a_known_block_and_some_power() -> None:
    with pytest.raises(InputError, match="did you mean 'turbines'"):
        PowerStep(power_w=1.0, block="turbine")
    with pytest.raises(InputError, match="power above 0"):
        PowerStep(power_w=0.0)


def test_facts_can_be_replaced_and_are_named_as_assumptions() -> None:
    fact = task_facts()["retrofit.permits"]
    network = site_tasks("retrofit", power_w=50 * MW, racks=300, facts={"retrofit.permits": fact.at(400 * DAY)})
    build = build_schedule(network, 50)
    assert "retrofit.permits" in build.assumptions
    permits = build.durations_s[:, network.index()["permits"]]
    assert permits == pytest.approx(np.full(50, 400 * DAY))


@pytest.mark.parametrize("whole", [False, True])
def test_racks_are_placed_one_by_one_and_counted_once(
    whole: bool, builds: dict[tuple[str, float], BuildSchedule]
) -> None:
    build = builds["retrofit", 150 * MW]
    edges = np.arange(0.0, build.date().p90_s * 3, 30 * DAY)
    kind = "acceptance" if whole else "racks"
    done = installed(build.network, build.samples, edges, kind=kind, whole=whole)
    assert done.shape == (300, len(edges))
    assert (np.diff(done, axis=1) >= -1e-9).all()
    assert done[:, -1] == pytest.approx(1000)
    rate = installation_rate(build.network, build.samples, edges, kind=kind, whole=whole)
    assert rate.sum(axis=1) == pytest.approx(np.full(300, 1000))
    crews = build.network.resources["racks"]
    fastest = crews * 30 / task_facts()["retrofit.racks"].low * DAY
    assert whole or rate.max() <= fastest * 2  # the fastest draws are beyond the 10 % point


def test_no_work_to_count_is_an_error() -> None:
    network = site_tasks("retrofit", power_w=50 * MW, racks=300)
    result = schedule_tasks(network, network.best_s())
    with pytest.raises(ValueError, match="counts work"):
        installed(network, result, [0.0], kind="permits")
    with pytest.raises(ValueError, match="rising"):
        installation_rate(network, result, [0.0, 0.0])


def test_a_schedule_is_plain_data(builds: dict[tuple[str, float], BuildSchedule]) -> None:
    build = builds["new_build", 150 * MW]
    data = json.loads(json.dumps(build.to_dict()))
    assert next(iter(data["milestones"])) == "permits"
    assert data["end"]["p50_s"] == build.date("complete").p50_s
    assert len(data["timeline"]["intervals"]) == len(build.network)


def test_the_critical_path_of_a_new_build_on_the_grid_begins_with_the_connection(
    builds: dict[tuple[str, float], BuildSchedule],
) -> None:
    build = builds["new_build", 1000 * MW]
    assert build.critical_path().tasks[0] == "connection"
    assert build.sensitivity()[0].kind == "connection"


def test_no_task_is_shared_between_networks() -> None:
    assert isinstance(site_tasks("retrofit", power_w=50 * MW, racks=300), TaskNetwork)
    one, two = (site_tasks("retrofit", power_w=50 * MW, racks=300) for _ in range(2))
    assert one == two
