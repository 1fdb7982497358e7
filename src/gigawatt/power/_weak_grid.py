"""What a step of load does to an island or a weak grid (swing equation; Kundur, Power System Stability and Control, 1994). Watts, var, VA, hertz, seconds."""

from __future__ import annotations

import numpy as np

from gigawatt.power._formulas import Numbers


def rate_of_change_of_frequency(
    step_w: Numbers, inertia_s: Numbers, rating_va: Numbers, nominal_hz: float = 60.0
) -> Numbers:
    """Return dP*f0/(2*H*S), Hz/s, right after a step (swing equation, before any governor acts).

    100 MW on 1,000 MVA with H = 4 s at 60 Hz: 0.75 Hz/s. Raises ValueError for inertia or rating not above zero.
    """
    if bool(np.any(np.asarray(inertia_s) <= 0.0)) or bool(np.any(np.asarray(rating_va) <= 0.0)):
        raise ValueError("inertia and rating of a grid must be above zero")
    return step_w * nominal_hz / (2.0 * inertia_s * rating_va)


def voltage_step(step_var: Numbers, step_w: Numbers, short_circuit_va: Numbers, r_over_x: Numbers = 0.0) -> Numbers:
    """Return dQ/S_sc + (R/X)*dP/S_sc, the change of voltage as a share of nominal; holds for shares well below 1.

    100 MW and 30 Mvar on 2,000 MVA with R/X = 0.1: 2 %. Raises ValueError for a short-circuit power not above zero.
    """
    if bool(np.any(np.asarray(short_circuit_va) <= 0.0)):
        raise ValueError("the short-circuit power of a grid must be above zero")
    return step_var / short_circuit_va + r_over_x * step_w / short_circuit_va
