"""Fit the start-up model to the published logs and print what to expect of a machine that it has not seen.

    python scripts/start_up.py

The model is start = fixed + per_accelerator*n. The growing part is not fitted: communicators of 96,000 accelerators take about
265 s to set up in stock NCCL (arXiv 2510.20171). The fixed part minimises the squared logarithm of predicted over measured
in reliability/data/start_up.csv, every machine of a round with the same weight. Rivals are judged the same way: each
group of one round and one machine is predicted by a fit to the others.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

LOGS = Path(__file__).parents[1] / "src" / "gigawatt" / "reliability" / "data" / "start_up.csv"
COMMUNICATORS_S, COMMUNICATORS_OF = 265.0, 96_000
SLOPE = COMMUNICATORS_S / COMMUNICATORS_OF
REFERENCE = 512.0

Array: TypeAlias = NDArray[np.float64]
Law: TypeAlias = Callable[[Array, Array], Array]

# name: (law of sizes and logarithms of parameters, first guesses)
LAWS: dict[str, tuple[Law, tuple[tuple[float, ...], ...]]] = {
    "fixed part, growth of arXiv 2510.20171": (lambda n, p: np.exp(p[0]) + SLOPE * n, ((6.0,),)),
    "one time for every size": (lambda n, p: np.exp(p[0]) + 0.0 * n, ((6.0,),)),
    "fixed part and growth": (
        lambda n, p: np.exp(p[0]) + np.exp(p[1]) * n,
        tuple((a, b) for a in (4.0, 5.0, 6.0) for b in (-3.0, -5.0, -8.0)),
    ),
    "power of the size": (lambda n, p: np.exp(p[0]) * (n / REFERENCE) ** p[1], ((6.0, 0.1),)),
}


def logs() -> tuple[list[str], Array, Array]:
    """Return the group (round and machine), the accelerators and the seconds of each log."""
    rows = list(csv.DictReader(LOGS.read_text(encoding="utf-8").splitlines()))
    columns = (np.array([float(row[name]) for row in rows]) for name in ("accelerators", "seconds"))
    accelerators, seconds = columns
    return [f"{row['round']} {row['machine']}" for row in rows], accelerators, seconds


def fit(law: str, groups: list[str], accelerators: Array, seconds: Array) -> Array:
    """Return the logarithms of the parameters that fit best, every group with the same weight."""
    function, starts = LAWS[law]
    weights = np.array([1.0 / groups.count(group) for group in groups])

    def loss(parameters: Array) -> float:
        return float(weights @ np.log(function(accelerators, parameters) / seconds) ** 2)

    tried = [
        minimize(loss, np.array(start), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12})
        for start in starts
    ]
    return np.asarray(min(tried, key=lambda result: float(result.fun)).x)


def left_out(law: str) -> tuple[dict[str, Array], Array]:
    """Return the parameters that are fitted without each group, and predicted over measured of each log with them."""
    groups, accelerators, seconds = logs()
    ratios, found = np.zeros_like(seconds), {}
    for group in dict.fromkeys(groups):
        kept = np.array([other != group for other in groups])
        others = [other for other in groups if other != group]
        found[group] = fit(law, others, accelerators[kept], seconds[kept])
        ratios[~kept] = LAWS[law][0](accelerators[~kept], found[group]) / seconds[~kept]
    return found, ratios


def expected_factor(groups: list[str], ratios: Array) -> float:
    """Return exp of the root mean square of the logarithm of predicted over measured, groups alike."""
    weights = np.array([1.0 / groups.count(group) for group in groups])
    return float(np.exp(np.sqrt(weights @ np.log(ratios) ** 2 / weights.sum())))


def main() -> None:
    """Print the fits, their errors on groups left out, and the fixed part without each group."""
    groups, accelerators, seconds = logs()
    for law, (function, _) in LAWS.items():
        parameters = fit(law, groups, accelerators, seconds)
        ratios = left_out(law)[1]
        ends = function(np.array([512.0, 16_384.0, 100_000.0, 1e6]), parameters)
        print(
            f"{law}: factor {expected_factor(groups, ratios):.2f} left out, median {100 * np.median(np.abs(ratios - 1)):.0f} %; "
            f"{', '.join(f'{end:,.0f}' for end in ends)} s at 512, 16,384, 100,000, 1,000,000"
        )
    chosen = next(iter(LAWS))
    print(f"all groups: fixed part {np.exp(fit(chosen, groups, accelerators, seconds)[0]):.1f} s")
    for group, parameters in left_out(chosen)[0].items():
        print(f"without {group}: fixed part {np.exp(parameters[0]):.1f} s")


if __name__ == "__main__":
    main()
