"""Power of a training site in closed form (docs/science.md 12). Watts, joules, seconds; positive power is
consumption.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = float | NDArray[np.float64]


def phase_power(idle_w: Numbers, cap_w: Numbers, utilisation: Numbers) -> Numbers:
    """Return idle + (cap - idle) * u, the power of a chip in a phase."""
    return idle_w + (cap_w - idle_w) * utilisation


def accelerators_fed(limit_w: float, pue: float, watts_each: float) -> int:
    """Return floor(limit / (PUE * W)), the accelerators that a grid limit feeds at `watts_each` of IT power."""
    return math.floor(limit_w / (pue * watts_each) * (1 + 1e-12))


def swing_fundamental(swing_w: Numbers, duty: Numbers, harmonic: int = 1) -> Numbers:
    """Return the amplitude of a harmonic of a two-level waveform, (2*dP/(k*pi))*|sin(k*pi*d)|."""
    return 2.0 * swing_w / (harmonic * np.pi) * np.abs(np.sin(harmonic * np.pi * duty))


def smoothing_energy(swing_w: Numbers, duty: Numbers, period_s: Numbers) -> Numbers:
    """Return dP*d*(1-d)*T, the storage that flattens a two-level waveform, joules. 100 MW, T=2 s, d=0.5: 13.9 kWh."""
    return swing_w * duty * (1.0 - duty) * period_s


def ramp_energy(step_w: Numbers, ramp_w_per_s: Numbers) -> Numbers:
    """Return dP^2/(2R), the storage that turns a step into a ramp, joules. 100 MW at 10 MW/min: 8.33 MWh; at 1 MW/s:
    1.39 MWh.
    """
    return np.square(step_w) / (2.0 * ramp_w_per_s)
