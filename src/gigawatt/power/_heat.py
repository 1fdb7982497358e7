"""Heat and gas engines: output and efficiency in warm air, and heat rates from load points.

Temperatures in K, heat rates in fuel J per electrical J on one heating value throughout.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gigawatt.power._site import Floats, Series

ISO_KELVIN = 288.15  # 15 °C, ISO 2314


def warm_air_derate(ambient_k: Series, output_per_kelvin: float, rated_k: float = ISO_KELVIN) -> Floats:
    """Return the share of rated output left in air at `ambient_k`: 1 - a (T - T_rated) above the rating, 1 below it.

    De Sa and Al Zubaidy (2011) for turbines: linear above 15 °C. 35 °C at 0.8 % per K leaves 84 %. More output in colder air
    is not counted on. Raises ValueError for a negative loss.
    """
    if output_per_kelvin < 0:
        raise ValueError(f"the loss of output per K must not be negative, not {output_per_kelvin:g}")
    above = np.maximum(np.asarray(ambient_k, dtype=np.float64) - rated_k, 0.0)
    return np.maximum(1.0 - output_per_kelvin * above, 0.0)


def warm_air_heat_rate(
    heat_rate: float, ambient_k: Series, efficiency_per_kelvin: float, rated_k: float = ISO_KELVIN
) -> Floats:
    """Return the heat rate in air at `ambient_k`: 1 / (1/HR - b (T - T_rated)) above the rating.

    b in points of efficiency per K (De Sa and Al Zubaidy 2011: 0.001). 40 % at 15 °C and 35 °C: 38 %, 2.632 instead of 2.5.
    """
    above = np.maximum(np.asarray(ambient_k, dtype=np.float64) - rated_k, 0.0)
    efficiency = np.asarray(1.0 / heat_rate - efficiency_per_kelvin * above, dtype=np.float64)
    if float(efficiency.min()) <= 0:
        raise ValueError(
            "the efficiency in warm air falls to zero: efficiency_per_kelvin or the temperature is too high"
        )
    return 1.0 / efficiency


def load_points(power_w: Sequence[float], fuel_w: Sequence[float]) -> tuple[tuple[tuple[float, float], ...], float]:
    """Return segments ((share of full load, fuel J per further J), …) and the fuel share at no load from load points.

    The lowest segment runs to zero output; the fuel that it needs there, over the fuel at full load, is the share. A
    Jenbacher JMS 620 (1,658, 2,509 and 3,356 kW from 4,008, 5,758 and 7,507 kW): 2.056 up to 75 %, 2.065 above, 8.0 % at no load.
    Raises ValueError for fewer than two points, or further fuel that falls with load.
    """
    power, fuel = np.asarray(power_w, dtype=np.float64), np.asarray(fuel_w, dtype=np.float64)
    if len(power) < 2 or len(power) != len(fuel) or bool((np.diff(power) <= 0).any()) or power[0] < 0:
        raise ValueError("load points need two or more powers that rise from zero or above, and as many fuels")
    slopes = np.diff(fuel) / np.diff(power)
    if bool((np.diff(slopes) < 0).any()):
        raise ValueError(
            f"fuel per further J must not fall with load, not {slopes.tolist()}; fit one straight line instead"
        )
    no_load = float(fuel[0] - slopes[0] * power[0])
    segments = tuple((float(p / power[-1]), float(s)) for p, s in zip(power[1:], slopes, strict=True))
    return segments, max(no_load, 0.0) / float(fuel[-1])
