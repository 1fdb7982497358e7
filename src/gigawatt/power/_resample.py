"""From fine samples to wide windows without picking points: energy, extremes and the largest ramp of every window are kept.

Windows need not be a multiple of the sample: a sample that lies in two windows gives each its share of the energy, and
its extremes and ramp to both. Watts and seconds. Shapes: n samples, W windows, K ramp windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.power._wave_kernel import compile_parts
from gigawatt.power._waveform import Block

Array = NDArray[np.float64]
RAMP_WINDOWS_S = (1.0, 10.0, 60.0, 600.0, 3600.0)
QUANTILES = (0.5, 0.9, 0.99, 0.999)
# Rates of change are counted in bins that are 1 % wide, from 1e-3 to 1e12 W/s.
_BINS_PER_DECADE, _FIRST_DECADE, _DECADES = 232, -3, 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampled:
    """Windows (W,) of `window_s` from `start_s`: mean, smallest and largest power, largest rise and fall per second.

    The last window may be shorter: `length_s` (W,) says how much of each there was. A ramp is between successive samples
    of the finest record, and belongs to the window of the later one.
    """

    window_s: float
    start_s: Array
    length_s: Array
    mean_w: Array
    minimum_w: Array
    maximum_w: Array
    ramp_up_w_per_s: Array
    ramp_down_w_per_s: Array

    @property
    def energy_j(self) -> float:
        """Energy over all windows."""
        return float(np.dot(self.mean_w, self.length_s))

    def block(self) -> Block:
        """Return the windows as a block of samples, to resample again. Raises ValueError if the last one is shorter."""
        if not math.isclose(float(self.length_s[-1]), self.window_s, rel_tol=1e-9):
            raise ValueError("the last window is shorter than the others; leave it out first (whole())")
        return Block(
            start_s=float(self.start_s[0]),
            step_s=self.window_s,
            power_w=self.mean_w,
            minimum_w=self.minimum_w,
            maximum_w=self.maximum_w,
            ramp_up_w_per_s=self.ramp_up_w_per_s,
            ramp_down_w_per_s=self.ramp_down_w_per_s,
        )

    def whole(self) -> Resampled:
        """Return the windows without a last one that is shorter."""
        keep = np.isclose(self.length_s, self.window_s, rtol=1e-9)
        columns = {name: getattr(self, name)[keep] for name in _COLUMNS}
        return Resampled(window_s=self.window_s, **columns)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"window_s": self.window_s} | {name: getattr(self, name).tolist() for name in _COLUMNS}


_COLUMNS = ("start_s", "length_s", "mean_w", "minimum_w", "maximum_w", "ramp_up_w_per_s", "ramp_down_w_per_s")


def gather(
    power: Any, low: Any, high: Any, up: Any, down: Any, first: float, dt: float, window: float, out: Any
) -> None:
    """Lay samples (n,) that begin `first` seconds after the first window of `out` (W, 6) into windows: seconds, energy,
    extremes, ramps.
    """
    windows = out.shape[0]
    for i in range(power.shape[0]):
        a = first + i * dt
        z = first + (i + 1) * dt
        w = min(int(a / window * (1.0 + 1e-15)), windows - 1)
        if (w + 1) * window - a <= 1e-9 * dt and w < windows - 1:
            w += 1  # rounding: the sample begins with the next window
        begin = w
        while a < z:
            end = min(z, (w + 1) * window)
            if w == windows - 1 or z - end <= 1e-9 * dt:
                end = z
            out[w, 0] += end - a
            out[w, 1] += power[i] * (end - a)
            out[w, 2] = min(out[w, 2], low[i])
            out[w, 3] = max(out[w, 3], high[i])
            if w == begin or up[i] > out[w, 4]:
                out[w, 4] = max(out[w, 4], up[i])
            if w == begin or down[i] > out[w, 5]:
                out[w, 5] = max(out[w, 5], down[i])
            a = end
            w += 1


@cache
def _compiled() -> Callable[..., Any]:
    return compile_parts((gather,), globals(), __name__)["gather"]


def resample(blocks: Iterable[Block], window_s: float, *, plain: bool = False) -> Resampled:
    """Return a stream of blocks in windows of `window_s`. Memory grows with the windows, not with the samples.

    Raises ValueError for no blocks, blocks that do not follow one another, or a window shorter than a sample.
    """
    put = gather if plain else _compiled()
    tail: Array | None = None
    rows: list[Array] = []
    origin, done, expected, before = 0.0, 0, 0.0, math.nan
    for block in blocks:
        n, dt = len(block.power_w), block.step_s
        if window_s < dt * (1.0 - 1e-9):
            raise ValueError(f"a window of {window_s:g} s is shorter than a sample of {dt:g} s")
        if tail is None:
            origin, tail = block.start_s, _empty(0)
        elif not math.isclose(block.start_s, expected, rel_tol=1e-9, abs_tol=1e-6 * dt):
            raise ValueError(f"a block starts at {block.start_s:g} s where {expected:g} s was expected")
        first = block.start_s - origin - done * window_s
        expected = block.start_s + n * dt
        up, down = _ramps(block, before)
        before = float(block.power_w[-1])
        count = max(1, math.ceil((first + n * dt) / window_s - 1e-9))
        out = _empty(count)
        out[: len(tail)] = tail
        put(block.power_w, block.minimum_w, block.maximum_w, up, down, first, dt, window_s, out)
        rows.append(out[:-1])
        tail, done = out[-1:], done + count - 1
    if tail is None:
        raise ValueError("there is no block to resample")
    table = np.concatenate([*rows, tail])
    return Resampled(
        window_s=window_s,
        start_s=origin + window_s * np.arange(len(table), dtype=np.float64),
        length_s=table[:, 0],
        mean_w=table[:, 1] / table[:, 0],
        minimum_w=table[:, 2],
        maximum_w=table[:, 3],
        ramp_up_w_per_s=table[:, 4],
        ramp_down_w_per_s=table[:, 5],
    )


def _empty(windows: int) -> Array:
    return np.tile([0.0, 0.0, math.inf, -math.inf, 0.0, 0.0], (windows, 1))


def _ramps(block: Block, before: float) -> tuple[Array, Array]:
    """Return the rise and fall per second that belong to each sample, from the sample before it and from inside it."""
    first = block.power_w[0] if math.isnan(before) else before
    rate = np.diff(block.power_w, prepend=first) / block.step_s
    if block.ramp_up_w_per_s is None or block.ramp_down_w_per_s is None:
        return np.maximum(rate, 0.0), np.maximum(-rate, 0.0)
    return block.ramp_up_w_per_s, block.ramp_down_w_per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class RampCurve:
    """How fast power changes over windows (K,): largest rise and fall |P(t+w) - P(t)| / w, the start of each (s), and the
    `quantiles` (Q,) of |change| / w as (K, Q), within 1 %.
    """

    window_s: Array
    up_w_per_s: Array
    down_w_per_s: Array
    up_start_s: Array
    down_start_s: Array
    quantiles: tuple[float, ...]
    distribution_w_per_s: Array

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        columns = ("window_s", "up_w_per_s", "down_w_per_s", "up_start_s", "down_start_s", "distribution_w_per_s")
        return {"quantiles": list(self.quantiles)} | {name: getattr(self, name).tolist() for name in columns}


def ramp_duration_curve(
    blocks: Iterable[Block],
    windows_s: Sequence[float] = RAMP_WINDOWS_S,
    quantiles: tuple[float, ...] = QUANTILES,
) -> RampCurve:
    """Return the ramps of a stream of blocks over several windows.

    Windows are rounded to whole samples (the result says to which); those shorter than a sample or longer than the record
    are left out. Between means of samples, so a sub-second swing needs sub-second samples.
    """
    lags: list[int] = []
    tail, dt, start = np.empty(0), 0.0, 0.0
    best = np.empty((0, 4))
    counts = np.empty((0, 0))
    for block in blocks:
        if not lags:
            dt, start = block.step_s, block.start_s
            lags = sorted({round(w / dt) for w in windows_s if round(w / dt) >= 1})
            if not lags:
                raise ValueError(f"every window is shorter than a sample of {dt:g} s")
            best = np.tile([-math.inf, -math.inf, 0.0, 0.0], (len(lags), 1))
            counts = np.zeros((len(lags), _BINS_PER_DECADE * _DECADES + 1))
        series = np.concatenate((tail, block.power_w))
        begin = block.start_s - len(tail) * dt
        for k, lag in enumerate(lags):
            fresh = series[max(0, len(tail) - lag) :]
            if len(fresh) <= lag:
                continue
            rate = (fresh[lag:] - fresh[:-lag]) / (lag * dt)
            offset = begin + max(0, len(tail) - lag) * dt
            for column, sign in ((0, 1.0), (1, -1.0)):
                at = int(np.argmax(sign * rate))
                if sign * rate[at] > best[k, column]:
                    best[k, column], best[k, column + 2] = sign * rate[at], offset + at * dt
            counts[k] += _histogram(rate)
        tail = series[-lags[-1] :]
    if not lags:
        raise ValueError("there is no block to measure ramps on")
    seen = best[:, 0] > -math.inf
    return RampCurve(
        window_s=np.array(lags)[seen] * dt,
        up_w_per_s=np.maximum(best[seen, 0], 0.0),
        down_w_per_s=np.maximum(best[seen, 1], 0.0),
        up_start_s=np.maximum(best[seen, 2], start),
        down_start_s=np.maximum(best[seen, 3], start),
        quantiles=quantiles,
        distribution_w_per_s=np.minimum(
            _quantiles(counts[seen], quantiles), np.maximum(best[seen, 0], best[seen, 1])[:, None]
        ),
    )


def _histogram(rate: Array) -> Array:
    """Return counts by size of change: bin 0 holds what is below 1e-3 W/s."""
    size = np.maximum(np.abs(rate), 10.0**_FIRST_DECADE)
    bins = np.ceil((np.log10(size) - _FIRST_DECADE) * _BINS_PER_DECADE).astype(np.int64)
    length = _BINS_PER_DECADE * _DECADES + 1
    return np.bincount(np.minimum(bins, length - 1), minlength=length).astype(np.float64)


def _quantiles(counts: Array, quantiles: tuple[float, ...]) -> Array:
    """Return the upper edges of the bins in which the quantiles fall, (K, Q)."""
    share = np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True)
    found = np.array([[np.searchsorted(row, q - 1e-12) for q in quantiles] for row in share], dtype=np.float64)
    return np.where(found == 0, 0.0, 10.0 ** (_FIRST_DECADE + found / _BINS_PER_DECADE))
