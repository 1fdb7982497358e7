"""The controller of a store between a load and the grid, one pass over the samples: plain Python that is the oracle, and
the same function through numba.

The grid power it aims at is the load, and what brings the charge back to its rest, through a first-order filter and a
ramp limit. The store takes the difference, within its power and its energy; what it cannot take the grid sees.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from gigawatt.power._wave_kernel import compile_parts

# what is kept between calls, and counted: charge (J), grid power and filter (W), greatest discharge and charge (W), least
# and greatest charge (J), energy out of and into the store (J), samples over the ramp limit, greatest excess (W/s)
(
    CHARGE,
    GRID,
    FILTER,
    OUT_W,
    IN_W,
    LEAST_J,
    MOST_J,
    OUT_J,
    IN_J,
    OVER,
    EXCESS,
    KEPT,
) = range(12)


def follow(
    load: Any,
    dt: float,
    share: float,
    up: float,
    down: float,
    back: float,
    rest: float,
    capacity: float,
    power_out: float,
    power_in: float,
    gain_out: float,
    gain_in: float,
    kept: Any,
    grid: Any,
    charge: Any,
) -> None:
    """Run the controller over load (n,) in W, filling grid (n,) in W and charge (n,) in J at the end of each sample.

    `share` is the part of the way to its target that the filter goes in a sample, `up` and `down` the most that grid
    power may change in a sample, `back` the part of the missing charge asked for per second; `gain_out` is the charge
    taken per joule given, `gain_in` the charge gained per joule taken.
    """
    soc, g, f = kept[CHARGE], kept[GRID], kept[FILTER]
    out_w, in_w, least, most = kept[OUT_W], kept[IN_W], kept[LEAST_J], kept[MOST_J]
    out_j, in_j, over, excess = 0.0, 0.0, 0, kept[EXCESS]
    cost, gain = gain_out * dt, gain_in * dt
    per_cost, per_gain = 1.0 / cost, 1.0 / gain
    tolerance = 1e-9
    for i in range(load.shape[0]):
        p = load[i]
        f += share * (p + back * (rest - soc) - f)
        change = min(max(f - g, -down), up)
        b = p - g - change  # what the store gives
        if b >= 0.0:
            b = min(b, power_out, soc * per_cost)
            soc -= b * cost
            out_j += b
            out_w = max(out_w, b)
            least = min(least, soc)
        else:
            b = -min(-b, power_in, (capacity - soc) * per_gain)
            soc -= b * gain
            in_j -= b
            in_w = max(in_w, -b)
            most = max(most, soc)
        now = p - b
        change = now - g
        if change > up * (1.0 + tolerance) + tolerance or -change > down * (1.0 + tolerance) + tolerance:
            over += 1
            excess = max(excess, change - up, -change - down)
        g = now
        grid[i] = g
        charge[i] = soc
    kept[CHARGE], kept[GRID], kept[FILTER] = soc, g, f
    kept[OUT_W], kept[IN_W], kept[LEAST_J], kept[MOST_J] = out_w, in_w, least, most
    kept[OUT_J] += out_j * dt
    kept[IN_J] += in_j * dt
    kept[OVER] += over
    kept[EXCESS] = excess


@cache
def compiled() -> Callable[..., Any]:
    """Return `follow` compiled by numba."""
    return compile_parts((follow,), globals(), __name__)["follow"]
