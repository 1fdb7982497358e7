"""Fit the law of power caps to the measured sweeps and print what to expect of a workload that it has not seen.

    python scripts/power_caps.py

The sweeps are those of Zeus (power/data/zeus): time per epoch of six training workloads on V100 (stacked memory) and A40 (GDDR6)
against the power limit. A row enters where its limit is below what the workload draws uncapped; workloads that draw less than 60 %
of the largest limit leave the chip waiting for the host and are left out. Every workload counts alike. The law is
share of draw = s + (1-s)*f*max(f,k)^(a-1) (`gigawatt.power`); rivals are judged the same way, each workload by a fit to the others.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from gigawatt.power import chip_power, clock_at_share, rate_at_cap

DATA = Path(__file__).parents[1] / "src" / "gigawatt" / "power" / "data" / "zeus"
CHIPS = {"hbm": ("v100", 250.0), "gddr": ("a40", 300.0)}
BUSY = 0.6

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Rows of one chip: the workload of each, its cap as a share of the uncapped draw, and its share of the full rate."""

    workloads: tuple[str, ...]
    share: Array
    rate: Array

    def only(self, keep: Array) -> Sweep:
        """Return the rows where `keep` is true."""
        names = tuple(name for name, kept in zip(self.workloads, keep, strict=True) if kept)
        return Sweep(workloads=names, share=self.share[keep], rate=self.rate[keep])


def sweep(memory: str) -> Sweep:
    """Return the rows that enter the fit."""
    chip, top = CHIPS[memory]
    runs: dict[tuple[str, ...], dict[float, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for row in csv.DictReader((DATA / f"zeus_power_limit_{chip}.csv").read_text(encoding="utf-8").splitlines()):
        key = tuple(row[name] for name in ("network", "dataset", "optimizer", "batch_size"))
        runs[key][float(row["power_limit"])].append((float(row["time_per_epoch"]), float(row["average_power"])))
    names, shares, rates = [], [], []
    for key, limits in runs.items():
        if top not in limits:
            continue
        full_s, full_w = np.mean(limits[top], axis=0)
        if full_w < BUSY * top:
            continue
        for limit, measured in limits.items():
            if limit < min(full_w, top):
                names.append(key[0])
                shares.append(limit / full_w)
                rates.append(full_s / np.mean([seconds for seconds, _ in measured]))
    return Sweep(workloads=tuple(names), share=np.array(shares), rate=np.array(rates))


def law(parameters: Array, share: Array) -> Array:
    """Return the rate of the law of the project; parameters are transformed to stay inside their bounds."""
    return np.maximum(np.asarray(clock_at_share(share, *constants(parameters))), 1e-3)


def constants(parameters: Array) -> tuple[float, float, float]:
    """Return static share, knee and exponent."""
    static, knee = 1.0 / (1.0 + np.exp(-parameters[:2]))
    return float(static), float(knee), float(1.0 + np.exp(parameters[2]))


RIVALS: dict[str, tuple[Callable[[Array, Array], Array], tuple[tuple[float, ...], ...]]] = {
    "static share, knee, power": (law, ((-1.4, 1.5, 0.7), (-1.0, 0.7, 0.7), (-2.0, 1.0, 0.3), (-0.9, 2.0, 0.5))),
    "power of the draw": (lambda p, share: share ** np.exp(p[0]), ((-0.7,),)),
    "static share and power, no knee": (
        lambda p, share: np.maximum(
            np.asarray(clock_at_share(share, float(1 / (1 + np.exp(-p[0]))), 1e-9, float(1 + np.exp(p[1])))), 1e-3
        ),
        ((-1.0, 0.5),),
    ),
}


def fit(name: str, rows: Sweep) -> Array:
    """Return the parameters that fit best, every workload with the same weight, on squared logarithms of the rate."""
    function, starts = RIVALS[name]
    weights = np.array([1.0 / rows.workloads.count(workload) for workload in rows.workloads])

    def loss(parameters: Array) -> float:
        return float(weights @ np.log(function(parameters, rows.share) / rows.rate) ** 2)

    tried = [
        minimize(loss, np.array(start), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10, "maxiter": 4000})
        for start in starts
    ]
    return np.asarray(min(tried, key=lambda result: float(result.fun)).x)


def left_out(name: str, rows: Sweep) -> tuple[dict[str, Array], Array]:
    """Return the parameters without each workload, and predicted over measured of each row with them."""
    ratios, found = np.zeros_like(rows.rate), {}
    for workload in dict.fromkeys(rows.workloads):
        kept = np.array([other != workload for other in rows.workloads])
        found[workload] = fit(name, rows.only(kept))
        ratios[~kept] = RIVALS[name][0](found[workload], rows.share[~kept]) / rows.rate[~kept]
    return found, ratios


def errors(ratios: Array) -> str:
    """Return median and 90th percentile of |ratio - 1| in words."""
    off = 100 * np.abs(ratios - 1)
    return f"median {np.median(off):.1f} %, 90th percentile {np.percentile(off, 90):.1f} %"


def main() -> None:
    """Print the fits, their errors on workloads left out, and the prediction of a chip that no fit saw."""
    for memory, (chip, _) in CHIPS.items():
        rows = sweep(memory)
        print(f"{chip} ({memory}), {len(rows.rate)} rows of {len(set(rows.workloads))} workloads")
        for name, (function, _) in RIVALS.items():
            parameters = fit(name, rows)
            inside = errors(function(parameters, rows.share) / rows.rate)
            print(f"  {name}: fitted {inside}; left out {errors(left_out(name, rows)[1])}")
        chosen = next(iter(RIVALS))
        print("  all: static share {:.3f}, knee {:.3f}, exponent {:.2f}".format(*constants(fit(chosen, rows))))
        for workload, parameters in left_out(chosen, rows)[0].items():
            print(f"  without {workload}: " + "{:.3f}, {:.3f}, {:.2f}".format(*constants(parameters)))
    b300 = chip_power("B300")
    for memory in CHIPS:
        rates = np.asarray(rate_at_cap(b300, np.array([450.0, 700.0, 900.0, 1100.0]), "matrix", memory))
        print(
            f"B300 by the {memory} law: {np.round(rates, 3)} at 450, 700, 900, 1100 W (measured 0.496, 0.770, 0.947, 1)"
        )


if __name__ == "__main__":
    main()
