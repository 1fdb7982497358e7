"""A store between a load and the grid: what the grid sees, and what the store must do for it.

    smooth(load, step, battery, controller) -> Smoothed: grid power, charge, unserved ramp, losses

Positive power is consumption of the site from the grid; the store gives where the load is above the grid. The same
controller serves a battery of a site, storage of a rack or of a power supply: only the numbers differ. Watts, joules,
seconds. Shapes: n samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.power import _smooth_kernel as kernel

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A store: power out and in, usable energy, efficiency each way.

    Raises ValueError for a power or energy that is not above zero, or an efficiency outside 0..1.
    """

    discharge_w: float
    charge_w: float
    energy_j: float
    discharge_efficiency: float = 1.0
    charge_efficiency: float = 1.0

    def __post_init__(self) -> None:
        if min(self.discharge_w, self.charge_w, self.energy_j) <= 0.0:
            raise ValueError("power and energy of a store must be above zero")
        if not (0.0 < self.discharge_efficiency <= 1.0 and 0.0 < self.charge_efficiency <= 1.0):
            raise ValueError("the efficiencies of a store must lie in 0..1")

    @classmethod
    def boundless(cls, discharge_efficiency: float = 1.0, charge_efficiency: float = 1.0) -> Store:
        """Return a store so large that it limits nothing: its use tells what is needed."""
        return cls(
            discharge_w=1e15,
            charge_w=1e15,
            energy_j=1e14,
            discharge_efficiency=discharge_efficiency,
            charge_efficiency=charge_efficiency,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """How grid power follows the load: `filter_s` of a first-order filter (0: none), ramp limits (inf: none), and
    `return_s`, the time in which the charge goes back to `rest` (a share of the energy; inf: never).

    Raises ValueError for a negative time, a ramp limit that is not above zero or a rest outside 0..1.
    """

    ramp_up_w_per_s: float = math.inf
    ramp_down_w_per_s: float = math.inf
    filter_s: float = 0.0
    return_s: float = math.inf
    rest: float = 0.5

    def __post_init__(self) -> None:
        if self.filter_s < 0.0 or self.return_s <= 0.0 or min(self.ramp_up_w_per_s, self.ramp_down_w_per_s) <= 0.0:
            raise ValueError("a controller needs a filter of 0 s or more, and ramps and a return above zero")
        if not 0.0 <= self.rest <= 1.0:
            raise ValueError(f"the charge at rest must be a share in 0..1, not {self.rest!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoothed:
    """What the grid sees (n,) and what the store does.

    `charge_j` (n,) is at the end of each sample; `charge_range_j` the largest less the smallest charge; `over_ramp_s` and
    `excess_w_per_s` say how long and by how much at most grid power changed faster than the limit, which the store was
    too small to prevent.
    """

    step_s: float
    grid_w: Array
    charge_j: Array
    start_j: float
    discharge_w: float
    charge_w: float
    charge_range_j: float
    given_j: float
    taken_j: float
    over_ramp_s: float
    excess_w_per_s: float

    @property
    def losses_j(self) -> float:
        """Energy lost in the store: taken less given less what its charge rose by."""
        end = float(self.charge_j[-1]) if len(self.charge_j) else self.start_j
        return self.taken_j - self.given_j - (end - self.start_j)

    def swing_w(self, last_s: float) -> float:
        """Return the largest less the smallest grid power over the last `last_s` seconds."""
        late = self.grid_w[-max(1, round(last_s / self.step_s)) :]
        return float(late.max() - late.min())

    def to_dict(self) -> dict[str, Any]:
        """Return the totals as plain data for JSON."""
        names = ("step_s", "discharge_w", "charge_w", "charge_range_j", "given_j", "taken_j", "losses_j")
        return {name: getattr(self, name) for name in (*names, "over_ramp_s", "excess_w_per_s")}


def smooth(
    power_w: Array,
    step_s: float,
    store: Store,
    controller: Controller,
    *,
    start_j: float | None = None,
    start_w: float | None = None,
    plain: bool = False,
) -> Smoothed:
    """Return what the grid sees of a load (n,) behind a store.

    Begins with charge `start_j` (default: at rest) and grid power `start_w` (default: the first sample). The ramp limit
    holds between successive samples. A load of 130 MW and 50 MW more for 4 s of every 5 s, with a filter of 60 s, leaves
    a swing of dP*d*(1-d)*T/filter = 0.67 MW. `plain` runs the uncompiled kernel. Raises ValueError for a step that is not
    above zero or a charge outside the store.
    """
    load = np.ascontiguousarray(power_w, np.float64)
    if step_s <= 0.0:
        raise ValueError(f"the step of a record must be above zero, not {step_s!r} s")
    rest = controller.rest * store.energy_j
    charge = rest if start_j is None else start_j
    if not 0.0 <= charge <= store.energy_j:
        raise ValueError(f"a charge of {charge:g} J lies outside the store of {store.energy_j:g} J")
    first = (float(load[0]) if len(load) else 0.0) if start_w is None else start_w
    kept = np.zeros(kernel.KEPT)
    kept[kernel.CHARGE] = kept[kernel.LEAST_J] = kept[kernel.MOST_J] = charge
    kept[kernel.GRID] = kept[kernel.FILTER] = first
    grid, soc = np.empty_like(load), np.empty_like(load)
    call = kernel.follow if plain else kernel.compiled()
    call(
        load,
        step_s,
        1.0 if controller.filter_s == 0.0 else -math.expm1(-step_s / controller.filter_s),
        controller.ramp_up_w_per_s * step_s,
        controller.ramp_down_w_per_s * step_s,
        1.0 / controller.return_s,
        rest,
        store.energy_j,
        store.discharge_w,
        store.charge_w,
        1.0 / store.discharge_efficiency,
        store.charge_efficiency,
        kept,
        grid,
        soc,
    )
    return Smoothed(
        step_s=step_s,
        grid_w=grid,
        charge_j=soc,
        start_j=charge,
        discharge_w=float(kept[kernel.OUT_W]),
        charge_w=float(kept[kernel.IN_W]),
        charge_range_j=float(kept[kernel.MOST_J] - kept[kernel.LEAST_J]),
        given_j=float(kept[kernel.OUT_J]),
        taken_j=float(kept[kernel.IN_J]),
        over_ramp_s=float(kept[kernel.OVER]) * step_s,
        excess_w_per_s=float(kept[kernel.EXCESS]) / step_s,
    )
