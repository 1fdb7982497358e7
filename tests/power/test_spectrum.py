import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from gigawatt.power import JobLoad, StepProfile, joined, sensor, spectrum, swing_fundamental, waveform


@settings(max_examples=60, deadline=None)
@given(amplitude=st.floats(1, 1e8), hertz=st.floats(0.2, 3.5), phase=st.floats(0, 6))
def test_a_sine_reads_its_amplitude(amplitude, hertz, phase):
    t = np.arange(8000) * 0.1
    found = spectrum(5e8 + amplitude * np.sin(2 * np.pi * hertz * t + phase), 0.1, 200.0)
    frequency, height = found.largest()
    assert height == pytest.approx(amplitude, rel=0.002)
    assert frequency == pytest.approx(hertz, abs=found.resolution_hz)
    assert found.band_amplitude(hertz - 0.05, hertz + 0.05) == pytest.approx(amplitude, rel=0.002)
    assert found.band_amplitude(10, 20) == 0
    assert found.mean_w == pytest.approx(5e8, rel=0.1)


def test_as_scipy():
    power = np.random.default_rng(1).normal(size=5000)
    ours = spectrum(power, 0.5, 500.0)
    window = signal.get_window("flattop", 1000)
    frequency, square = signal.welch(power, 2.0, window=window, nperseg=1000, noverlap=500, scaling="spectrum")
    assert ours.frequency_hz == pytest.approx(frequency)
    assert ours.amplitude_w[2:-1] == pytest.approx(np.sqrt(2 * square[2:-1]), rel=1e-6)


@pytest.mark.parametrize("duty", [0.5, 0.7, 0.8])
def test_harmonics_of_a_two_level_step(duty):
    """docs/science.md 12.3, from the waveform: samples are means over 5 ms, which take off (pi k f dt)^2 / 6."""
    load = JobLoad(profiles=(StepProfile.two_level(1000, 400, 2.0, duty),), accelerators=(1e5,))
    wave = joined(waveform([load], 400.0, 0.005))
    found = spectrum(wave.power_w, 0.005, 100.0)
    for k in (1, 2, 3, 5):
        expected = float(swing_fundamental(6e7, duty, k))
        assert found.largest(k / 2 - 0.1, k / 2 + 0.1)[1] == pytest.approx(expected, rel=0.002, abs=1e3)


def test_random_phases_take_the_line_away():
    step = StepProfile.two_level(1000, 400, 2.0, 0.5)
    shifts = np.arange(20) * 0.1
    spread = JobLoad(profiles=(step,), accelerators=(1e5,), shifts_s=shifts, shares=np.full(20, 0.05))
    wave = joined(waveform([spread], 400.0, 0.02))
    assert spectrum(wave.power_w, 0.02, 100.0).largest(0.4, 0.6)[1] < 1e-3


def test_a_counter_that_averages_hides_the_swing():
    """200 ms on and off, 196 to 1,076 W (b300-swing-200ms): the instant counter sees it, a mean over 100 ms too; over
    0.4 s nothing is left. The published 546 W is what a window of 247 ms shows; its length is not stated.
    """
    load = JobLoad(profiles=(StepProfile.two_level(1076, 196, 0.4, 0.5),), accelerators=(1.0,))
    power = joined(waveform([load], 40.0, 0.001)).power_w
    swing = {w: np.ptp(sensor(power, 0.001, w, 0.01)[1]) for w in (0.001, 0.1, 0.247, 0.4)}
    assert swing[0.001] == pytest.approx(880)
    assert swing[0.1] == pytest.approx(880)
    assert swing[0.247] == pytest.approx(546, rel=0.01)
    assert swing[0.4] == pytest.approx(0, abs=1e-6)


def test_wrong_records_are_refused():
    with pytest.raises(ValueError, match="at least 8"):
        spectrum(np.ones(5), 1.0)
    with pytest.raises(ValueError, match="longer"):
        sensor(np.ones(5), 1.0, 10.0, 1.0)
    with pytest.raises(ValueError, match="above zero"):
        sensor(np.ones(5), 1.0, 0.0, 1.0)
