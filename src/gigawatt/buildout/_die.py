"""Dies of a wafer and how many of them sell (models.md 13.1, 13.2), and how defects fall as a line ripens (13.9)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
WAFER_M, ALPHA = 0.3, 10.0  # ALPHA: Feng & Ma, Chiplet Actuary, DAC 2022, for logic


def dies_per_wafer(area_m2: Array | float, diameter_m: float = WAFER_M) -> Array:
    """Return gross dies of a wafer, pi (d/2)^2 / A - pi d / sqrt(2 A). An area of 814 mm2 gives 63.5.

    Raises ValueError for an area that is not above zero.
    """
    area = np.asarray(area_m2, np.float64)
    if np.any(area <= 0.0):
        raise ValueError("a die needs an area above zero")
    return np.maximum(np.pi * (diameter_m / 2.0) ** 2 / area - np.pi * diameter_m / np.sqrt(2.0 * area), 0.0)


def sellable_yield(area_m2: Array | float, defects_per_m2: Array | float, harvest: Array | float = 0.0) -> Array:
    """Return the share of dies that sell: those without a defect, (1 + A D0 / a)^-a, and `harvest` of the others.

    At 814 mm2, 0.1 defects per cm2 and no harvest it is 0.457.
    """
    x = np.asarray(area_m2, np.float64) * np.asarray(defects_per_m2, np.float64)
    clean = (1.0 + x / ALPHA) ** -ALPHA
    return np.asarray(clean + (1.0 - clean) * np.asarray(harvest, np.float64))


def ripening(start: float, end: float, tau_s: float, age_s: Array) -> Array:
    """Return the defect density at an age, D_end + (D_start - D_end) exp(-t / tau); the start before it is born."""
    return np.asarray(end + (start - end) * np.exp(-np.maximum(age_s, 0.0) / tau_s))
