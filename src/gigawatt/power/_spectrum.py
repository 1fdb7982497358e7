"""The spectrum of a power record as amplitudes, and what an averaging counter makes of it.

A sine of amplitude A reads A. Watts, hertz, seconds. Shapes: n samples, F frequencies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# The flat-top window of D'Antona and Ferrero, Digital Signal Processing for Measurement Systems (2006), A.2.4: reads
# amplitudes between two frequencies within 0.02 %, at the price of lines five bins wide.
_FLAT_TOP = (0.21557895, -0.41663158, 0.277263158, -0.083578947, 0.006947368)
LINE_BINS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectrum:
    """One-sided amplitudes (F,) in W at frequencies (F,) in Hz, without the mean, which is `mean_w`.

    `noise_bins` is the width of the window in bins, over which the power of a line is spread.
    """

    frequency_hz: Array
    amplitude_w: Array
    mean_w: float
    noise_bins: float

    @property
    def resolution_hz(self) -> float:
        """Distance of two frequencies."""
        return float(self.frequency_hz[1]) if len(self.frequency_hz) > 1 else math.inf

    def largest(self, low_hz: float = 0.0, high_hz: float = math.inf) -> tuple[float, float]:
        """Return frequency and amplitude of the largest line in [low, high]; (nan, 0) if no frequency lies there."""
        inside = np.flatnonzero((self.frequency_hz >= low_hz) & (self.frequency_hz <= high_hz))
        if len(inside) == 0:
            return math.nan, 0.0
        best = int(inside[np.argmax(self.amplitude_w[inside])])
        return float(self.frequency_hz[best]), float(self.amplitude_w[best])

    def band_amplitude(self, low_hz: float, high_hz: float) -> float:
        """Return the amplitude of one sine with the power of all that lies in [low, high]; 0 if no frequency lies there."""
        inside = (self.frequency_hz >= low_hz) & (self.frequency_hz <= high_hz)
        return math.sqrt(float(np.square(self.amplitude_w[inside]).sum()) / self.noise_bins)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "frequency_hz": self.frequency_hz.tolist(),
            "amplitude_w": self.amplitude_w.tolist(),
            "mean_w": self.mean_w,
            "noise_bins": self.noise_bins,
        }


def spectrum(power_w: Array, step_s: float, segment_s: float | None = None) -> Spectrum:
    """Return the spectrum of a record (n,) by Welch's method: flat-top windows that overlap by half, squares averaged.

    `segment_s` is the length of a window, by default the whole record; the resolution is its inverse, and a line needs
    about five periods in it. For a two-level swing dP of duty d and period T the line at k/T reads
    2*dP/(k*pi)*|sin(k*pi*d)| (docs/science.md 12.3). Raises ValueError for fewer than 8 samples in a window.
    """
    power = np.asarray(power_w, np.float64)
    length = len(power) if segment_s is None else min(len(power), round(segment_s / step_s))
    if step_s <= 0.0 or length < 8:
        raise ValueError(f"a spectrum needs a step above zero and at least 8 samples in a window, not {length}")
    angle = 2.0 * math.pi * np.arange(length) / length
    window = np.sum([a * np.cos(k * angle) for k, a in enumerate(_FLAT_TOP)], axis=0)
    starts = range(0, len(power) - length + 1, max(1, length // 2))
    mean = float(power.mean())
    square = np.zeros(length // 2 + 1)
    for start in starts:
        part = power[start : start + length]
        square += np.square(np.abs(np.fft.rfft((part - part.mean()) * window)))
    amplitude = 2.0 * np.sqrt(square / len(starts)) / window.sum()
    amplitude[0] = 0.0
    if length % 2 == 0:
        amplitude[-1] /= 2.0  # the highest frequency has no mirror
    return Spectrum(
        frequency_hz=np.asarray(np.fft.rfftfreq(length, step_s), np.float64),
        amplitude_w=amplitude,
        mean_w=mean,
        noise_bins=float(length * np.square(window).sum() / window.sum() ** 2),
    )


def sensor(power_w: Array, step_s: float, window_s: float, interval_s: float) -> tuple[Array, Array]:
    """Return the times (s) and readings (W) of a counter that shows the mean over the last `window_s` every `interval_s`.

    So that published counters can be compared like with like: a swing shorter than the window is hidden. Readings begin
    when the first window is full. Raises ValueError for a window longer than the record or times not above zero.
    """
    power = np.asarray(power_w, np.float64)
    if min(step_s, window_s, interval_s) <= 0.0:
        raise ValueError("step, window and interval of a sensor must be above zero")
    end = len(power) * step_s
    if window_s > end * (1.0 + 1e-9):
        raise ValueError(f"a window of {window_s:g} s is longer than the record of {end:g} s")
    energy = np.concatenate(([0.0], np.cumsum(power))) * step_s
    edges = step_s * np.arange(len(energy), dtype=np.float64)
    count = math.floor((end - window_s) / interval_s * (1.0 + 1e-12)) + 1
    times = window_s + interval_s * np.arange(count, dtype=np.float64)
    return times, (np.interp(times, edges, energy) - np.interp(times - window_s, edges, energy)) / window_s
