import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.power import FlatLoad, JobLoad, StepProfile, joined, merged, waveform
from gigawatt.timeline import Timeline

STEP = StepProfile.two_level(8400.0, 4000.0, 5.0, 0.8)


def make(loads, duration, resolution, **more):
    return joined(waveform(loads, duration, resolution, **more))


def job(**changes):
    return JobLoad(**({"profiles": (STEP,), "accelerators": (10.0,)} | changes))


def on_time(t, on=4.0, period=5.0):
    whole = np.floor(t / period)
    return whole * on + np.minimum(t - whole * period, on)


def test_profile_of_a_step_timeline():
    rows = [
        ("stage 0", "forward", 0.0, 1.0),
        ("stage 0", "backward", 1.0, 3.0),
        ("stage 0", "communication", 2.5, 3.5),
        ("stage 1", "forward", 1.0, 2.0),
    ]
    levels = {"forward": 500.0, "backward": 600.0, "communication": 200.0, "idle": 100.0}
    first, second = StepProfile.of(Timeline.of("step", rows), levels, period_s=4.0)
    assert first.energy_j == pytest.approx(500 + 1200 + 0.5 * 200 + 0.5 * 100)
    assert second.energy_j == pytest.approx(500 + 300)
    assert first.label == "stage 0"
    assert first.swing_w == 500
    with pytest.raises(ValueError, match="no power level for idle"):
        StepProfile.of(Timeline.of("step", rows), {"forward": 1, "backward": 1, "communication": 1})
    with pytest.raises(ValueError, match="after the period"):
        StepProfile.of(Timeline.of("step", rows), levels, period_s=3.0)


def test_storage_of_a_step():
    """docs/science.md 12.4: 100 MW, 2 s, half: 13.9 kWh; 20 s, 0.7: 117 kWh."""
    assert StepProfile.two_level(1e8, 0, 2.0, 0.5).storage_j / 3.6e6 == pytest.approx(13.9, abs=0.05)
    assert StepProfile.two_level(1e8, 0, 20.0, 0.7).storage_j / 3.6e6 == pytest.approx(117, abs=0.5)


@pytest.mark.parametrize("resolution", [0.001, 0.01, 0.37, 1.0, 5.0, 7.3])
def test_samples_are_exact_means(resolution):
    shifts = np.array([0.0, 0.3, 1.1, 4.9])
    wave = make([job(shifts_s=shifts, shares=np.full(4, 0.25))], 40.0, resolution)
    edges = resolution * np.arange(len(wave.power_w) + 1)
    energy = sum(2.5 * (4000 * edges + 4400 * (on_time(edges - s) - on_time(-s))) for s in shifts)
    assert wave.power_w == pytest.approx(np.diff(energy) / resolution, rel=1e-9)
    assert (wave.minimum_w <= wave.power_w * (1 + 1e-9)).all()
    assert (wave.maximum_w >= wave.power_w * (1 - 1e-9)).all()


def test_random_phases_of_12500_nodes():
    """The sum of the nodes, one by one, against the job's merged step (P6)."""
    phase = np.random.default_rng(0).uniform(0, 5, 12_500)
    nodes = job(accelerators=(12_500.0,), shifts_s=-phase, shares=np.full(12_500, 1 / 12_500))
    wave = make([nodes], 60.0, 1.0)
    t = np.arange(61.0)
    energy = sum(4000 * t + 4400 * (on_time(t + p) - on_time(p)) for p in phase)
    assert wave.power_w == pytest.approx(np.diff(energy), rel=1e-9)
    assert wave.power_w.mean() == pytest.approx(12_500 * 7520, rel=1e-9)


def test_extremes_are_those_inside_the_sample():
    wave = make([job()], 20.0, 2.0)
    assert wave.maximum_w[:3] == pytest.approx([84e3, 84e3, 84e3])
    assert wave.minimum_w[:3] == pytest.approx([84e3, 84e3, 40e3])
    assert wave.power_w[2] == pytest.approx(62e3)


@settings(max_examples=40, deadline=None)
@given(
    levels=st.lists(st.floats(0, 1000), min_size=1, max_size=5),
    widths=st.lists(st.floats(0.01, 3), min_size=5, max_size=5),
    shifts=st.lists(st.floats(-10, 10), min_size=1, max_size=4),
    resolution=st.floats(0.02, 9),
    jitter=st.sampled_from([0.0, 0.05]),
    ramp=st.sampled_from([(0.0, 0), (3.0, 0), (3.0, 4)]),
)
def test_compiled_is_the_plain_kernel(levels, widths, shifts, resolution, jitter, ramp):
    edges = np.concatenate(([0.0], np.cumsum(widths[: len(levels)])))
    profile = StepProfile(period_s=edges[-1], edges_s=edges, power_w=np.array(levels))
    load = JobLoad(
        profiles=(profile,),
        accelerators=(7.0,),
        shifts_s=np.array(shifts),
        shares=np.full(len(shifts), 1 / len(shifts)),
        jitter=jitter,
        start_s=ramp[0],
        start_groups=ramp[1],
    )
    with np.errstate(over="ignore"):
        plain = make([load], 20.0, resolution, plain=True)
    fast = make([load], 20.0, resolution)
    assert fast.power_w == pytest.approx(plain.power_w, rel=1e-9, abs=1e-9)
    assert fast.maximum_w == pytest.approx(plain.maximum_w, rel=1e-9, abs=1e-6)
    assert (fast.maximum_w >= fast.power_w - 1e-6).all()
    assert (fast.minimum_w <= fast.power_w + 1e-6).all()


@settings(max_examples=30, deadline=None)
@given(fine=st.integers(1, 40), jitter=st.sampled_from([0.0, 0.1]), block=st.integers(1, 300))
def test_energy_does_not_depend_on_resolution_or_blocks(fine, jitter, block):
    loads = [job(jitter=jitter, shifts_s=np.array([0, 1.3]), shares=np.array([0.3, 0.7])), FlatLoad(power_w=[5.0, 9.0])]
    coarse = make(loads, 60.0, 4.0, seed=3)
    finer = make(loads, 60.0, 4.0 / fine, seed=3, block=block)
    assert finer.energy_j == pytest.approx(coarse.energy_j, rel=1e-9)
    assert finer.power_w.reshape(15, fine).mean(axis=1) == pytest.approx(coarse.power_w, rel=1e-9)


def test_jitter_stretches_to_the_slowest_and_groups_meet():
    steady, loose = job(), job(jitter=0.05, shifts_s=np.zeros(32), shares=np.full(32, 1 / 32))
    wave = make([loose], 5000.0, 0.05)
    top = np.flatnonzero(np.diff((wave.minimum_w > 83.9e3).astype(int)) == 1)  # every group computes: a step begins
    length = np.diff(top).mean() * 0.05
    assert length == pytest.approx(5 * (1 + 0.05 * 2.07), rel=0.01)  # mean of the largest of 32 normals: 2.07 sd
    assert wave.power_w.mean() < make([steady], 5000.0, 0.05).power_w.mean()


def test_events_levels_and_ramps():
    rows = [
        ("job", "training", 10.0, 60.0),
        ("job", "checkpoint stall", 60.0, 70.0),
        ("job", "replayed", 70.0, 100.0),
        ("job", "detection", 100.0, 130.0),
    ]
    load = JobLoad(
        profiles=(StepProfile.flat(1000.0, 5.0),),
        accelerators=(10.0,),
        overhead=1.1,
        events=Timeline.of("run", rows),
        levels_w={"checkpoint stall": 200.0, "detection": 300.0},
        idle_w=100.0,
        start_s=20.0,
        stop_s=10.0,
    )
    wave = make([load], 200.0, 1.0)
    assert wave.power_w[5] == pytest.approx(1100)
    assert wave.power_w[10] == pytest.approx(11 * (100 + 900 * 0.5 / 20))
    assert wave.power_w[40] == pytest.approx(11_000)
    assert wave.power_w[60] == pytest.approx(2200)  # a brief pause has no ramp
    assert wave.power_w[70] == pytest.approx(11_000)
    assert wave.power_w[100] == pytest.approx(11 * (1000 - 700 * 0.05))
    assert wave.power_w[120] == pytest.approx(3300)
    assert wave.power_w[150] == pytest.approx(1100)


def test_start_in_groups():
    load = job(profiles=(StepProfile.flat(1000.0),), start_s=40.0, start_groups=4)
    wave = make([load], 50.0, 10.0)
    assert wave.power_w == pytest.approx([2500, 5000, 7500, 10_000, 10_000])


def test_a_job_outside_its_time_costs_and_draws_nothing():
    rows = [("job", "training", 100.5, 110.0)]
    wave = make([job(profiles=(StepProfile.flat(1000.0),), events=Timeline.of("run", rows))], 200.0, 1.0)
    assert wave.energy_j == pytest.approx(95_000)
    assert wave.power_w[100] == pytest.approx(5000)
    assert (wave.minimum_w[100], wave.maximum_w[100]) == (0.0, pytest.approx(10_000))
    assert wave.maximum_w[99] == 0


def test_lanes_share_the_accelerators():
    rows = [("island 1", "training", 0.0, 50.0), ("island 2", "training", 50.0, 100.0)]
    wave = make([job(profiles=(StepProfile.flat(1000.0),), events=Timeline.of("run", rows))], 100.0, 1.0)
    assert wave.power_w == pytest.approx(np.full(100, 5000.0))


def test_flat_loads_are_lines_between_instants():
    wave = make([FlatLoad(power_w=np.array([0.0, 3600.0, 0.0]))], 3 * 3600.0, 900.0)
    assert wave.power_w[:4] == pytest.approx([450, 1350, 2250, 3150])
    assert wave.power_w[8:] == pytest.approx(np.zeros(4))
    assert make([FlatLoad(power_w=7.0)], 10.0, 1.0, block=3).power_w == pytest.approx(np.full(10, 7.0))


def test_blocks_of_a_long_record_stay_small():
    blocks = waveform([job()], 1e6, 1.0, block=1000)
    first = next(blocks)
    assert len(first.power_w) == 1000
    assert next(blocks).start_s == 1000.0


def test_merged_shift_is_cyclic():
    assert STEP.shifted(5.0).energy_j == pytest.approx(STEP.energy_j)
    assert STEP.shifted(-1.0).power_w.tolist() == [8400.0, 4000.0, 8400.0]
    both = merged([STEP, STEP], [np.ones(1)] * 2, [np.zeros(1), np.array([2.5])])
    assert both.mean_w == pytest.approx(2 * STEP.mean_w)
    with pytest.raises(ValueError, match="one period"):
        merged([STEP, StepProfile.flat(1.0)], [np.ones(1)] * 2, [np.zeros(1)] * 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"accelerators": (1.0, 2.0)},
        {"shares": np.array([0.5])},
        {"jitter": 1.5},
        {"idle_w": -1.0},
        {"overhead": 0.0},
    ],
)
def test_wrong_jobs_are_refused(changes):
    with pytest.raises(ValueError, match="job:"):
        job(**changes)


def test_wrong_profiles_are_refused():
    with pytest.raises(ValueError, match="rise"):
        StepProfile(period_s=1.0, edges_s=np.array([0.0, 2.0]), power_w=np.ones(1))
    with pytest.raises(ValueError, match="edges"):
        StepProfile(period_s=1.0, edges_s=np.array([0.0, 1.0]), power_w=np.ones(2))
    with pytest.raises(ValueError, match="finite"):
        StepProfile.flat(math.nan)
    with pytest.raises(ValueError, match="period"):
        StepProfile.flat(1.0, 0.0)
    with pytest.raises(ValueError, match="above zero"):
        next(waveform([], 0.0, 1.0))
