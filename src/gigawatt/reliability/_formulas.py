"""Failures, checkpoints and goodput in closed form (docs/science.md 8). Times in seconds; scalars and arrays alike.

M mean time between failures of the job, delta blocking time of a save, R time to restart (detection included), tau
useful work between saves.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Numbers: TypeAlias = float | Array
# exp of more than this overflows a float; exp of minus this is nothing
LARGEST_EXPONENT = 700.0
# A rate below which nothing fails in the age of the universe, per second, and the smallest number to divide by.
NEVER, TINY = 1e-30, 1e-300


def mean_time_between_failures(accelerators: Numbers, accelerator_rate: Numbers, job_rate: Numbers = 0.0) -> Numbers:
    """Return 1 / (n * accelerator_rate + job_rate), seconds; rates per second.

    Llama 3: 419 interruptions in 54 days on 16,384 accelerators are 4.74e-4 per accelerator-day, 3.09 h (arXiv
    2407.21783).
    """
    return 1.0 / (accelerators * accelerator_rate + job_rate)


def young_interval(save_s: Numbers, mtbf_s: Numbers) -> Numbers:
    """Return sqrt(2*delta*M) (Young 1974)."""
    return np.sqrt(2.0 * save_s * mtbf_s)


def daly_interval(save_s: Numbers, mtbf_s: Numbers) -> Numbers:
    """Return Daly's higher-order optimum for delta < 2M, else M (Daly, FGCS 22, 2006)."""
    ratio = np.asarray(save_s) / (2.0 * np.asarray(mtbf_s))
    higher = young_interval(save_s, mtbf_s) * (1 + np.sqrt(ratio) / 3 + ratio / 9) - save_s
    return np.where(ratio < 1, higher, mtbf_s)


def availability_interval(save_s: Numbers, mtbf_s: Numbers, restart_s: Numbers) -> Numbers:
    """Return T_s + sqrt(2*(T_f + T_r)*T_s + T_s^2), the save included (arXiv 2410.18124). M=6000, R=600, delta=10:
    373.5 s.
    """
    return save_s + np.sqrt(2.0 * (mtbf_s + restart_s) * save_s + np.square(save_s))


def exact_interval(save_s: Numbers, mtbf_s: Numbers) -> Numbers:
    """Return the tau that maximises `exact_efficiency`: M*x - delta with x + exp(-x) = 1 + delta/M (it does not
    depend on R).
    """
    ratio = np.asarray(save_s, dtype=np.float64) / np.asarray(mtbf_s, dtype=np.float64)
    x = np.where(ratio < 0.5, np.sqrt(2 * ratio) + ratio / 3, 1 + ratio)
    for _ in range(8):  # Newton; converges quadratically on this convex function
        x = x - (x + np.expm1(-x) - ratio) / np.maximum(-np.expm1(-x), TINY)
    # Below 1e-6 the difference cancels; there x = sqrt(2r) + r/3 is good to 1e-7.
    x = np.where(ratio < 1e-6, np.sqrt(2 * ratio) + ratio / 3, x)
    return np.asarray(mtbf_s * x - save_s)


def exact_efficiency(interval_s: Numbers, save_s: Numbers, restart_s: Numbers, mtbf_s: Numbers) -> Numbers:
    """Return useful work over wall time under exponential failures: tau / (M*exp(R/M)*(exp((tau+delta)/M) - 1)) (Daly
    2006).

    Failures during saves and restarts are included. M=3.09 h, R=600, delta=60 at the best tau: 85.3 %. Tends to 0,
    not to NaN, where restarts take longer than the time between failures, and to exp(-R/M) where neither save nor
    interval takes time.
    """
    m = np.asarray(mtbf_s, dtype=np.float64)
    span = np.minimum((interval_s + save_s) / m, LARGEST_EXPONENT)
    working = np.where(span > 0, interval_s / m / np.expm1(np.where(span > 0, span, 1.0)), 1.0)
    return np.asarray(np.exp(-np.minimum(restart_s / m, LARGEST_EXPONENT)) * working)


def best_efficiency(save_s: Numbers, restart_s: Numbers, mtbf_s: Numbers) -> Numbers:
    """Return `exact_efficiency` at its best interval."""
    return exact_efficiency(exact_interval(save_s, mtbf_s), save_s, restart_s, mtbf_s)


def first_order_waste(interval_s: Numbers, save_s: Numbers, restart_s: Numbers, mtbf_s: Numbers) -> Numbers:
    """Return delta/tau + tau/(2M) + R/M, the share of wall time lost where it is small."""
    return save_s / interval_s + interval_s / (2.0 * mtbf_s) + restart_s / mtbf_s


def poisson_quantile(mean: float, probability: float) -> int:
    """Return the smallest S with P(X <= S) >= probability for X ~ Poisson(mean).

    Exact below a mean of 600, the Cornish-Fisher expansion above (its error is below one there). Raises ValueError
    for a probability outside (0, 1) or a negative mean.
    """
    if not 0 < probability < 1 or mean < 0:
        raise ValueError(f"a Poisson quantile needs 0 < probability < 1 and mean >= 0, not {probability} and {mean}")
    if mean < 600:
        count, term = 0, math.exp(-mean)
        total = term
        while total < probability:
            count += 1
            term *= mean / count
            total += term
        return count
    from statistics import NormalDist

    z = NormalDist().inv_cdf(probability)
    return math.ceil(mean + z * math.sqrt(mean) + (z * z - 1) / 6 - 0.5)
