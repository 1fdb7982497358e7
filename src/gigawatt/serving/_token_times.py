"""How the time per output token differs between requests.

A request of n decode steps averages over what happens in them: prompts of others that come in, and how many decode
beside it. Both are counts of independent arrivals, so their variances are known; the distribution with that mean and
variance above the step without prefill is taken as a gamma distribution (Wilson and Hilferty's cube root).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gigawatt.serving._length_mix import LengthMix
from gigawatt.serving._occupancy import Occupancy, Speculation

Array = NDArray[np.float64]
_HALVINGS = 28


def normal_beyond(z: Array) -> Array:
    """Return the chance that a normal deviate is beyond `z`: Abramowitz and Stegun 26.2.17, error below 7.5e-8."""
    x = np.minimum(np.abs(z), 37.0)  # beyond, the chance is below the smallest float
    t = 1.0 / (1.0 + 0.2316419 * x)
    series = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    upper = np.exp(-x * x / 2.0) / np.sqrt(2.0 * np.pi) * series
    return np.asarray(np.where(z >= 0.0, upper, 1.0 - upper))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTimes:
    """A request's mean step by kind: mean (N, 1) and variance (N, K), between `floor` and `ceiling` (N, 1)."""

    mean: Array
    variance: Array
    floor: Array
    ceiling: Array


def token_times(state: Occupancy, mix: LengthMix, speculation: Speculation, slope_s: Array) -> TokenTimes:
    """Return the moments of a request's mean step; `slope_s` (N,) is what one more sequence adds to a step."""
    steps = np.maximum(mix.decode_steps / speculation.tokens_per_step, 1.0)[None, :]
    mean = state.step_s[:, None]
    plain = np.minimum(state.plain_s[:, None], mean)
    # prefill: a Poisson number of prompts adds its work, but no more in a step than a whole chunk does
    arrivals = state.rate[:, None] * mean / steps * state.extra2_s2[:, None]
    whole = np.maximum(state.full_s[:, None] - plain, mean - plain)
    share = np.clip((mean - plain) / np.maximum(whole, 1e-300), 0.0, 1.0)
    most = share * (1.0 - share) * whole**2
    prefill = arrivals * most / np.maximum(arrivals + most, 1e-300)
    # the batch: its variance by Little with a step that grows with it, kept over a stay of its own length
    mean_steps = mix.mean(mix.decode_steps) / speculation.tokens_per_step
    growth = np.clip(state.rate * slope_s * mean_steps, 0.0, 0.95)
    spread = (state.decoding / (1.0 - growth))[:, None]
    life = steps / max(mix.while_decoding(mix.decode_steps / speculation.tokens_per_step), 1.0)
    kept = 2.0 * (life + np.expm1(-life)) / life**2
    slope = slope_s[:, None]
    reach = slope * np.minimum(state.decoding[:, None], 2.0 * np.sqrt(spread))
    return TokenTimes(
        mean=mean, variance=prefill + slope**2 * spread * kept, floor=plain - reach, ceiling=plain + whole + reach
    )


def tpot_quantiles(
    state: Occupancy,
    mix: LengthMix,
    speculation: Speculation,
    levels: tuple[float, ...],
    slope_s: Array,
    delay_s: Array | float = 0.0,
) -> Array:
    """Return the TPOT that a share `levels` of requests with more than one token keeps, s (N, Q); 0 where none has.

    `delay_s` (N, K) passes between the first token and the first decode step: it counts by token as the rest does.
    """
    kinds = mix.decode_steps > 0.0
    if not kinds.any():
        return np.zeros((len(state.rate), len(levels)))
    weight = mix.weight[kinds] / mix.weight[kinds].sum()
    times = token_times(state, mix, speculation, slope_s)
    steps = np.maximum(mix.decode_steps / speculation.tokens_per_step, 1.0)
    shift = np.broadcast_to(delay_s / steps, times.variance.shape)[:, kinds]
    mean, floor, ceiling = times.mean + shift, times.floor + shift, times.ceiling + shift
    variance = np.maximum(times.variance[:, kinds], 1e-30)
    # most steps hold prefill: the distance is to the longest step, else to the shortest
    down = ceiling - mean < mean - floor
    away = np.maximum(np.where(down, ceiling - mean, mean - floor), 1e-15)
    third = variance / (9.0 * away**2)
    found = np.empty((len(state.rate), len(levels)))
    for column, level in enumerate(levels):
        low, high = floor.min(axis=1), np.maximum(ceiling.max(axis=1), mean.max(axis=1) + 1e-12)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2.0
            distance = np.where(down, ceiling - middle[:, None], middle[:, None] - floor)
            z = (np.cbrt(np.maximum(distance, 0.0) / away) - (1.0 - third)) / np.sqrt(third)
            reached = np.where(down, normal_beyond(z), 1.0 - normal_beyond(z)) @ weight
            low, high = np.where(reached < level, middle, low), np.where(reached < level, high, middle)
        found[:, column] = (low + high) / 2.0 / speculation.tokens_per_step
    return found
