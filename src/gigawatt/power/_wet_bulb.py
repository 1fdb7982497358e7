"""Wet-bulb temperature from air temperature and humidity. Kelvin and fractions; arrays welcome."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = float | NDArray[np.float64]
KELVIN = 273.15
COLDEST_C, WARMEST_C, DRIEST = -20.0, 50.0, 0.05


def wet_bulb(ambient_k: Numbers, relative_humidity: Numbers) -> Numbers:
    """Return the wet-bulb temperature at sea-level pressure, K. 20 C and 50 %: 13.7 C.

    T_w = T*atan(0.151977*(H + 8.313659)^0.5) + atan(T + H) - atan(H - 1.676331) + 0.00391838*H^1.5*atan(0.023101*H)
    - 4.686035 with T in C and H in per cent: Stull, "Wet-Bulb Temperature from Relative Humidity and Air Temperature",
    J. Appl. Meteor. Climatol. 50 (2011) 2267, equation 1; -20 to 50 C and 5 to 99 %, error -1 to 0.65 K. Outside: below
    -20 C the wet bulb is within 0.6 K of the air, so the air is returned; near saturation the fit can pass the air by a few tenths,
    and is held at it. Raises ValueError above 50 C and for a humidity below 5 % or above 100 %.
    """
    t = np.asarray(ambient_k, dtype=np.float64) - KELVIN
    fraction = np.asarray(relative_humidity, dtype=np.float64)
    if np.any(~(t <= WARMEST_C)):
        raise ValueError(f"the wet bulb is known up to {WARMEST_C:g} C, not at {float(np.max(t)):g} C")
    if np.any(~((fraction >= DRIEST) & (fraction <= 1.0))):
        raise ValueError(f"the relative humidity must be between {DRIEST:g} and 1, not {relative_humidity}")
    h = 100.0 * fraction
    fit = (
        t * np.arctan(0.151977 * np.sqrt(h + 8.313659))
        + np.arctan(t + h)
        - np.arctan(h - 1.676331)
        + 0.00391838 * h**1.5 * np.arctan(0.023101 * h)
        - 4.686035
    )
    return np.asarray(np.where(t < COLDEST_C, t, np.minimum(fit, t)) + KELVIN)
