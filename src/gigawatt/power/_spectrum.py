"""The spectrum of a power record as amplitudes, and what an averaging counter makes of it.

A sine of amplitude A reads A. Watts, hertz, seconds. Shapes: n samples, F frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# The flat-top window of D'Antona and Ferrero, Digital Signal Processing for Measurement Systems (2006), A.2.4: reads
# amplitudes between two frequencies within 0.02 %, at the price of lines five bins wide.
_FLAT_TOP = (0.21557895, -0.41663158, 0.277263158, -0.083578947, 0.006947368)
LINE_BINS = 5
_AT_ONCE = 1 << 20  # samples that are transformed together


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
    """Return the spectrum of a record (n,) by Welch's method: flat-top windows that overlap by half, each without its
    straight line, squares averaged.

    `segment_s` is the length of a window, by default the whole record; the resolution is its inverse, and a line needs
    about five periods in it. For a two-level swing dP of duty d and period T the line at k/T reads
    2*dP/(k*pi)*|sin(k*pi*d)| (docs/science.md 12.3). Raises ValueError for fewer than 8 samples in a window.
    """
    power, length = _record(power_w, step_s, segment_s)
    square, count = np.zeros(length // 2 + 1), 0
    for part in _squares(power, length):
        square += part.sum(axis=0)
        count += len(part)
    return _spectrum(square / count, step_s, length, float(power.mean()))


def worst_band(
    power_w: Array, step_s: float, low_hz: float, high_hz: float, segment_s: float
) -> tuple[Spectrum, float]:
    """Return the spectrum of the window with the largest band amplitude in [low, high], and its start (s).

    An average over a long record hides a burst; this does not.
    """
    power, length = _record(power_w, step_s, segment_s)
    frequency = np.fft.rfftfreq(length, step_s)
    inside = (frequency >= low_hz) & (frequency <= high_hz)
    most, best, at, done = -1.0, np.zeros(len(frequency)), 0, 0
    for part in _squares(power, length):
        height = part[:, inside].sum(axis=1)
        row = int(np.argmax(height))
        if height[row] > most:
            most, best, at = float(height[row]), part[row], done + row
        done += len(part)
    start = int(_starts(len(power), length)[at])
    return _spectrum(best, step_s, length, float(power[start : start + length].mean())), start * step_s


def _record(power_w: Array, step_s: float, segment_s: float | None) -> tuple[Array, int]:
    power = np.asarray(power_w, np.float64)
    length = len(power) if segment_s is None else min(len(power), round(segment_s / step_s))
    if step_s <= 0.0 or length < 8:
        raise ValueError(f"a spectrum needs a step above zero and at least 8 samples in a window, not {length}")
    return power, length


def _starts(n: int, length: int) -> NDArray[np.int64]:
    """Return the first sample of every window; the last window ends with the record."""
    starts = np.arange(0, n - length + 1, max(1, length // 2))
    return starts if starts[-1] == n - length else np.append(starts, n - length)


def _squares(power: Array, length: int) -> Iterator[Array]:
    """Yield squared magnitudes (windows, F), some windows at a time."""
    window, _ = _window(length)
    time = np.arange(length) - 0.5 * (length - 1)
    views = np.lib.stride_tricks.sliding_window_view(power, length)
    starts = _starts(len(power), length)
    rows = max(1, _AT_ONCE // length)
    for first in range(0, len(starts), rows):
        part = views[starts[first : first + rows]]
        slope = part @ time / np.dot(time, time)
        flat = part - part.mean(axis=1, keepdims=True) - slope[:, None] * time
        yield np.square(np.abs(np.fft.rfft(flat * window, axis=1)))


@lru_cache(maxsize=32)
def _window(length: int) -> tuple[Array, float]:
    """Return the flat-top window and the width of a line in bins."""
    angle = 2.0 * math.pi * np.arange(length) / length
    window = np.sum([a * np.cos(k * angle) for k, a in enumerate(_FLAT_TOP)], axis=0)
    return window, float(length * np.square(window).sum() / window.sum() ** 2)


def _spectrum(square: Array, step_s: float, length: int, mean_w: float) -> Spectrum:
    window, bins = _window(length)
    amplitude = 2.0 * np.sqrt(square) / window.sum()
    amplitude[0] = 0.0
    if length % 2 == 0:
        amplitude[-1] /= 2.0  # the highest frequency has no mirror
    return Spectrum(
        frequency_hz=np.asarray(np.fft.rfftfreq(length, step_s), np.float64),
        amplitude_w=amplitude,
        mean_w=mean_w,
        noise_bins=bins,
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
