import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.power import (
    Controller,
    Economics,
    JobLoad,
    Measure,
    SiteLoad,
    StepProfile,
    Store,
    Technology,
    best_mix,
    check,
    default_options,
    event_set,
    mitigated,
    packaged_requirements,
    requirements_from,
    size_battery,
    smooth,
    staggered_energy,
)

MWH = 3.6e9
STEP = StepProfile.two_level(1400.0, 700.0, 5.0, 0.8)
PAUSES = {"checkpoint stall": 550.0, "detection": 550.0}


def site(**changes):
    job = JobLoad(profiles=(STEP,), accelerators=(1e5,), overhead=1.1, idle_w=400.0, levels_w=PAUSES)
    return SiteLoad(**({"job": job, "limit_w": 1200.0, "host_w": 400.0, "base_w": 20e6} | changes))


def under(*measures, **changes):
    return mitigated(site(**changes), measures)


def test_a_floor_raises_valleys_and_costs_energy():
    state = under(Measure(kind="floor", level=0.5))
    assert state.site.job.profiles[0].power_w.tolist() == [1400, 1000]
    assert state.extra_w == pytest.approx(1.1e5 * 300 * 0.2 * 0.95)
    assert state.site.job.levels_w["checkpoint stall"] == 1000
    assert state.site.job.levels_w["detection"] == 550  # nothing runs after a crash
    # gb200-mpf-range: about 20 % of the limit remains however high the floor
    assert under(Measure(kind="floor", level=0.9)).site.job.profiles[0].swing_w == pytest.approx(0.2 * 1200)


def test_ballast_fills_most_of_the_gap():
    state = under(Measure(kind="ballast", level=0.7))
    assert state.site.job.profiles[0].power_w[1] == pytest.approx(700 + 0.9 * (1240 - 700))
    assert state.lost_throughput == pytest.approx(0.02)


def test_a_cap_lowers_peaks_and_slows():
    state = under(Measure(kind="cap", level=0.75))
    profile = state.site.job.profiles[0]
    assert profile.power_w.tolist() == [1300, 700]
    assert profile.period_s == pytest.approx(4 * 1000 / 900 + 1)
    assert state.lost_throughput == pytest.approx(1 - 5 / profile.period_s)
    assert state.extra_w < 0


def test_a_cap_on_stages_keeps_one_period():
    other = StepProfile.two_level(1100.0, 700.0, 5.0, 0.5)
    job = JobLoad(profiles=(STEP, other), accelerators=(5e4, 5e4))
    capped = mitigated(SiteLoad(job=job, limit_w=1200.0, host_w=400.0), [Measure(kind="cap", level=0.75)]).site.job
    assert len({profile.period_s for profile in capped.profiles}) == 1
    assert capped.step().period_s > 5


def test_storing_power_supplies_draw_to_the_mean():
    state = under(Measure(kind="storage", level=65.0))
    profile = state.site.job.profiles[0]
    assert STEP.storage_j == pytest.approx(560)
    assert profile.swing_w == pytest.approx(700 * (1 - 65 / 560))
    assert profile.mean_w == pytest.approx(STEP.mean_w)
    assert state.capital_usd == pytest.approx(60e5)
    fast = mitigated(
        SiteLoad(
            job=JobLoad(profiles=(StepProfile.two_level(1400, 200, 0.1, 0.5),), accelerators=(1.0,)), limit_w=1200
        ),
        [Measure(kind="storage", level=65.0)],
    ).site.job.profiles[0]
    assert fast.power_w.max() == pytest.approx(0.7 * 1400)  # gb300-psu: at most 30 % of the peak


def test_ramp_and_burn():
    state = under(Measure(kind="stairs", level=60.0, groups=6), Measure(kind="burn", level=60.0))
    assert (state.site.job.start_s, state.site.job.start_groups, state.crash_stop_s) == (60.0, 6, 60.0)
    assert 0 < state.lost_throughput < 0.01
    assert state.extra_w > 0


@settings(max_examples=40, deadline=None)
@given(levels=st.lists(st.sampled_from(["floor", "ballast", "storage"]), max_size=3, unique=True))
def test_measures_never_widen_the_swing(levels):
    level = {"floor": 0.6, "ballast": 0.6, "storage": 65.0}
    state = under(*(Measure(kind=kind, level=level[kind]) for kind in levels))
    assert state.site.job.profiles[0].swing_w <= STEP.swing_w + 1e-9
    assert state.extra_w >= 0
    assert 0 <= state.lost_throughput < 0.1
    assert state.usd_per_year(Economics.packaged()) >= 0


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (Measure(kind="prayer", level=1.0), "unknown measure"),
        (Measure(kind="floor", level=0.95), "must lie in"),
        (Measure(kind="cap", level=0.0), "must lie in"),
        (Measure(kind="ballast", level=1.5), "must lie in"),
        (Measure(kind="storage", level=-1.0), "below zero"),
    ],
)
def test_wrong_measures_are_refused(measure, message):
    with pytest.raises(ValueError, match=message):
        under(measure)


@settings(max_examples=30, deadline=None)
@given(groups=st.integers(1, 8), interval=st.floats(5, 90))
def test_a_staggered_start_against_the_controller(groups, interval):
    rate = 1e6
    load = np.zeros(round((groups * interval + 200) / 0.1))
    for g in range(groups):
        load[round(g * interval / 0.1) :] += 100e6 / groups
    limit = Controller(ramp_up_w_per_s=rate, ramp_down_w_per_s=rate)
    found = smooth(load, 0.1, Store.boundless(), limit, start_w=0.0)
    power, energy = staggered_energy(100e6, groups, rate, interval)
    given_j = np.cumsum(load - found.grid_w) * 0.1
    caught = np.flatnonzero(load - found.grid_w <= 1.0)  # the grid has caught up: count from there
    longest, begin = 0.0, 0.0
    for i in caught.tolist():
        longest, begin = max(longest, given_j[i] - begin), given_j[i]
    assert power == pytest.approx(found.discharge_w, rel=0.02, abs=2e5)
    assert energy == pytest.approx(max(longest, given_j[-1] - begin), rel=0.05, abs=1e7)


def test_stagger_of_100_mw():
    assert staggered_energy(100e6, 1, 1e7 / 60, 60)[1] / MWH == pytest.approx(8.33, abs=0.005)
    assert staggered_energy(100e6, 10, 1e7 / 60, 60) == pytest.approx((10e6, 3e8))
    with pytest.raises(ValueError, match="group"):
        staggered_energy(1.0, 0, 1.0, 1.0)


def test_events_of_a_site():
    events = {event.name: event for event in event_set(under(), 100.0)}
    assert set(events) == {"start", "stop", "crash", "checkpoint", "steps"}
    low, high = 20e6 + 1.1e5 * 400, 20e6 + 1.1e5 * 1400
    assert events["start"].power_w[0] == pytest.approx(low)
    assert events["start"].power_w.max() == pytest.approx(high)
    assert events["stop"].power_w[-1] == pytest.approx(low)
    assert events["crash"].power_w[1000] == pytest.approx(20e6 + 1.1e5 * 550)
    assert events["checkpoint"].power_w[650] == pytest.approx(20e6 + 1.1e5 * 550)
    assert np.ptp(events["steps"].power_w) == pytest.approx(1.1e5 * 700)
    burnt = {event.name: event for event in event_set(under(Measure(kind="burn", level=50.0)), 100.0)}
    assert np.abs(np.diff(burnt["stop"].power_w[601:])).max() < 0.3e6


def test_the_cheapest_mix_complies_and_is_not_dearer_than_any_alone():
    rules = packaged_requirements()["stabilisation"]
    options = default_options(site().job, 1.8e6)[:3]
    technologies = [Technology.packaged("bess"), Technology.packaged("ups")]
    few = {"contract_w": 180e6, "step_s": 0.5, "settle_s": 200.0, "filters_s": (0.0, 5.0)}
    mixes = best_mix(site(), rules, options, technologies, **few)
    assert len(mixes) == 3 * 2 * 2
    assert mixes[0].complies
    good = [mix.usd_per_year for mix in mixes if mix.complies]
    assert good == sorted(good)
    nothing = next(mix for mix in mixes if not mix.state.measures)
    assert not any(result.complies for name, result in nothing.sizing.bare.items() if name == "steps")
    best = mixes[0]
    store = best.sizing.store()
    for event in event_set(best.state, 200.0, 0.5):  # behind the store as sized, charged as the event needs
        settled = float(event.power_w[: len(event.power_w) // 10].mean())
        waiting = best.sizing.waiting_j[event.name]
        run = smooth(event.power_w, 0.5, store, best.sizing.controller, start_j=waiting, start_w=settled)
        assert run.over_ramp_s == 0
        assert check(rules, run.grid_w, 0.5, contract_w=180e6).complies
    assert "MW" in best.label
    assert best.to_dict()["complies"]


def test_measures_can_make_a_store_needless():
    origin = {"source": "a test", "kind": "given"}
    loose = requirements_from({"name": "r", "ramps": [{"window": "10 s", "up": "8 MW/s", "down": "8 MW/s"} | origin]})
    calm = JobLoad(
        profiles=(StepProfile.flat(1000.0),),
        accelerators=(1e5,),
        idle_w=100.0,
        levels_w={"checkpoint stall": 950.0, "detection": 900.0},
    )
    quiet = mitigated(
        SiteLoad(job=calm, limit_w=1000.0), [Measure(kind="ramp", level=60.0), Measure(kind="burn", level=60.0)]
    )
    assert size_battery(event_set(quiet, 50.0), loose, Technology.packaged("bess")).power_w == 0
    assert (
        size_battery(
            event_set(mitigated(SiteLoad(job=calm, limit_w=1000.0), []), 50.0), loose, Technology.packaged("bess")
        ).power_w
        > 0
    )
