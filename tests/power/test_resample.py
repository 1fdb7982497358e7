import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.power import Block, JobLoad, StepProfile, ramp_duration_curve, resample, waveform

POWER = st.lists(st.floats(0, 1e6), min_size=2, max_size=60).map(np.array)


def cut(power, step, parts):
    edges = np.unique(np.clip([0, *parts, len(power)], 0, len(power)))
    return [
        Block.of(power[a:b], step, start_s=100.0 + a * step)
        for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    ]


@settings(max_examples=200, deadline=None)
@given(power=POWER, step=st.floats(0.01, 10), wide=st.floats(1, 30), parts=st.lists(st.integers(0, 60), max_size=4))
def test_energy_extremes_and_ramps_are_kept(power, step, wide, parts):
    found = resample(cut(power, step, parts), wide * step)
    assert found.energy_j == pytest.approx(power.sum() * step, rel=1e-9, abs=1e-6)
    assert found.length_s.sum() == pytest.approx(len(power) * step, rel=1e-9)
    assert found.maximum_w.max() == power.max()
    assert found.minimum_w.min() == power.min()
    rate = np.diff(power) / step
    assert found.ramp_up_w_per_s.max() == pytest.approx(max(rate.max(), 0.0))
    assert found.ramp_down_w_per_s.max() == pytest.approx(max((-rate).max(), 0.0))
    assert (found.minimum_w <= found.mean_w * (1 + 1e-9) + 1e-6).all()
    assert (found.maximum_w >= found.mean_w * (1 - 1e-9) - 1e-6).all()
    plain = resample(cut(power, step, parts), wide * step, plain=True)
    assert plain.mean_w == pytest.approx(found.mean_w)


@settings(max_examples=100, deadline=None)
@given(power=POWER, wide=st.integers(1, 5), wider=st.integers(1, 5))
def test_twice_is_once(power, wide, wider):
    power = power[: len(power) // (wide * wider) * wide * wider]
    if len(power) == 0:
        return
    twice = resample([resample([Block.of(power, 1.0)], wide).block()], wide * wider)
    once = resample([Block.of(power, 1.0)], wide * wider)
    assert twice.mean_w == pytest.approx(once.mean_w)
    assert (twice.maximum_w == once.maximum_w).all()
    assert (twice.ramp_up_w_per_s == once.ramp_up_w_per_s).all()
    assert (twice.ramp_down_w_per_s == once.ramp_down_w_per_s).all()


def test_windows_that_are_no_multiple_of_a_sample():
    found = resample([Block.of(np.array([10.0, 20.0, 30.0]), 1.0)], 1.5)
    assert found.mean_w == pytest.approx([(10 + 10) / 1.5, (10 + 30) / 1.5])
    assert found.maximum_w.tolist() == [20, 30]
    short = resample([Block.of(np.array([10.0, 20.0, 30.0]), 1.0)], 2.0)
    assert short.length_s.tolist() == [2.0, 1.0]
    assert len(short.whole().mean_w) == 1
    with pytest.raises(ValueError, match="shorter"):
        short.block()


def test_wrong_streams_are_refused():
    with pytest.raises(ValueError, match="no block"):
        resample([], 1.0)
    with pytest.raises(ValueError, match="shorter than a sample"):
        resample([Block.of(np.ones(3), 2.0)], 1.0)
    with pytest.raises(ValueError, match="expected"):
        resample([Block.of(np.ones(3), 1.0), Block.of(np.ones(3), 1.0, start_s=7.0)], 2.0)


@settings(max_examples=60, deadline=None)
@given(power=POWER, parts=st.lists(st.integers(0, 60), max_size=4))
def test_ramp_curve_does_not_depend_on_blocks(power, parts):
    windows = (1.0, 3.0, 10.0)
    whole = ramp_duration_curve([Block.of(power, 1.0, start_s=100.0)], windows)
    pieces = ramp_duration_curve(cut(power, 1.0, parts), windows)
    assert pieces.to_dict() == whole.to_dict()
    for k, lag in enumerate(whole.window_s.astype(int).tolist()):
        rate = (power[lag:] - power[:-lag]) / lag
        assert whole.up_w_per_s[k] == max(rate.max(), 0.0)
        assert whole.down_w_per_s[k] == max((-rate).max(), 0.0)
        upper = whole.distribution_w_per_s[k, -1]
        assert upper <= max(np.abs(rate).max() * 1.011, 1e-3)


def test_ramps_hide_behind_wide_windows():
    """A 2 s swing of 4.4 kW: 4.4 kW in one sample of 0.1 s, nothing over whole periods."""
    load = JobLoad(profiles=(StepProfile.two_level(8400, 4000, 2.0, 0.5),), accelerators=(1.0,))
    curve = ramp_duration_curve(waveform([load], 100.0, 0.1), (0.1, 1.0, 2.0, 10.0, 1e6))
    assert curve.up_w_per_s[0] == pytest.approx(44_000)
    assert curve.up_w_per_s[1] == pytest.approx(4400)
    assert curve.up_w_per_s[2:] == pytest.approx([0, 0], abs=1e-6)
    assert len(curve.window_s) == 4
    with pytest.raises(ValueError, match="shorter"):
        ramp_duration_curve([Block.of(np.ones(3), 10.0)], (1.0,))
    with pytest.raises(ValueError, match="no block"):
        ramp_duration_curve([])
