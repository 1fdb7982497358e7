"""The fit of the step model's constants to published training measurements: `gigawatt calibrate training`.

Which constants are free, and what is known about them before the fit, stands in data/fit_parameters.csv: each belongs
to a chip or to a software stack, never to a row. The fit is a maximum a posteriori estimate: robust least squares
(soft L1) of log(predicted/measured) plus the priors, by Gauss-Newton steps of SciPy. Leave-one-group-out errors come
from a fit without the group, started at the full fit and taken along the same derivatives, and evaluated in full.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.report import write_atomically
from gigawatt.training import Columns, Constants, Evaluator
from gigawatt.validation._parameters import Parameter, parameters
from gigawatt.validation._rows import Reading, UnreadableRowError, read, read_rows
from gigawatt.validation._training import choose, compare

Array = NDArray[np.float64]
# Errors up to about this count squared, larger ones linearly: software releases alone differ by more.
ROBUST = 0.05
DIFFERENCE = 0.02
# Weight of a row whose source does not state the parallel degrees: the best ones stand in, better than what ran.
UNSTATED = 0.5
# Rounds after which decisions that the sources leave open are chosen anew.
RECHOOSE = (1, 3)


@dataclass(frozen=True, slots=True)
class _Row:
    row: Mapping[str, str]
    reading: Reading
    columns: Columns
    free: tuple[int, ...]


class Fit:
    """The rows that can be predicted, their strategies as first chosen, and the free constants that each depends on."""

    def __init__(self, rows: Sequence[Mapping[str, str]], free: Sequence[Parameter]) -> None:
        self.free = tuple(free)
        self.rows: list[_Row] = []
        for row in rows:
            try:
                reading = read(row)
                columns, _ = choose(reading)
            except UnreadableRowError:
                continue
            chip = reading.job.chip.name
            used = tuple(i for i, p in enumerate(self.free) if p.holds_for(reading.stack, chip))
            self.rows.append(_Row(row, reading, columns, used))
        self.groups = np.array([item.row["group"] for item in self.rows])
        stated = [{"tensor_parallel", "pipeline_parallel"} <= item.reading.pins.keys() for item in self.rows]
        self.weights = np.where(stated, 1.0, UNSTATED)
        self.start = np.array([p.point(p.prior) for p in self.free])

    def rechoose(self, x: Array) -> None:
        """Choose the decisions that the sources leave open anew, under the constants of x."""
        self.rows = [
            replace(item, columns=choose(replace(item.reading, job=self._job(item, x)))[0]) for item in self.rows
        ]

    def _job(self, item: _Row, x: Array) -> Any:
        chosen = {self.free[i].constant: self.free[i].value(float(x[i])) for i in sorted(item.free, key=self._rank)}
        return replace(item.reading.job, constants=_with(item.reading.job.constants, chosen))

    def _rank(self, index: int) -> tuple[bool, bool]:
        """Return the order in which constants apply: those of any stack first, those of one chip last."""
        return self.free[index].stack != "*", bool(self.free[index].chip)

    def residual(self, index: int, x: Array) -> float:
        """Return log(predicted/measured) of one row."""
        item = self.rows[index]
        job = self._job(item, x)
        step = float(Evaluator(job).evaluate(item.columns).step_s[0])
        reading = replace(item.reading, job=job)
        _, measured, predicted = compare(item.row, reading, step, int(item.columns.accelerators[0]))
        return float(np.log(predicted / measured))

    def residuals(self, x: Array) -> Array:
        """Return log(predicted/measured) of every row."""
        return np.array([self.residual(i, x) for i in range(len(self.rows))])

    def jacobian(self, x: Array) -> tuple[Array, Array]:
        """Return the residuals and their derivatives by forward differences, each only where a row depends on it."""
        base = self.residuals(x)
        slope = np.zeros((len(base), len(self.free)))
        for index, item in enumerate(self.rows):
            for column in item.free:
                moved = x.copy()
                moved[column] += DIFFERENCE
                slope[index, column] = (self.residual(index, moved) - base[index]) / DIFFERENCE
        return base, slope


def _with(constants: Constants, values: Mapping[str, float]) -> Constants:
    return replace(constants, **values)


def solve_linear(
    base: Array,
    slope: Array,
    x: Array,
    start: Array,
    sigma: Array,
    weights: Array,
    reach: float = 0.5,
) -> Array:
    """Return the best point of the linear model of the residuals around x, at most `reach` away in any constant.

    `weights` multiply the residuals (0 leaves a row out).
    """
    from scipy.optimize import least_squares

    prior = ROBUST / sigma

    def objective(dx: Array) -> Array:
        return np.concatenate([weights * (base + slope @ dx), prior * (x + dx - start)])

    found = least_squares(
        objective, np.zeros_like(x), bounds=(-reach, reach), loss="soft_l1", f_scale=ROBUST, max_nfev=200
    )
    return np.asarray(found.x)


def fit_training(data: Path | None = None, rounds: int = 6, report: Callable[[str], None] = print) -> dict[str, Any]:
    """Return the fitted constants (`parameters`) and per row the ratio predicted/measured of the fit and of a fit
    without the row's group (`rows`). Needs SciPy.

    Raises InputError for a table that cannot be read.
    """
    fit = Fit(read_rows(data), parameters())
    sigma = np.array([p.sigma for p in fit.free])
    x = fit.start.copy()
    fit.rechoose(x)
    for turn in range(rounds):
        base, slope = fit.jacobian(x)
        report(f"round {turn + 1}: median absolute error {np.median(np.abs(np.expm1(base))):.1%}")
        x = x + solve_linear(base, slope, x, fit.start, sigma, fit.weights)
        if turn in RECHOOSE:
            fit.rechoose(x)
    base, slope = fit.jacobian(x)
    left_out = np.zeros(len(fit.rows))
    for group in dict.fromkeys(fit.groups):
        inside = fit.groups == group
        without = x + solve_linear(base, slope, x, fit.start, sigma, np.where(inside, 0.0, fit.weights), reach=3.0)
        for index in np.flatnonzero(inside):
            left_out[index] = fit.residual(int(index), without)
    spread = constant_spread(base, slope, sigma)
    return {
        "parameters": fitted_constants(fit.free, x, spread),
        "rows": [
            {"id": item.row["id"], "group": item.row["group"], "ratio": float(np.exp(a)), "left_out": float(np.exp(b))}
            for item, a, b in zip(fit.rows, base, left_out, strict=True)
        ],
    }


def fitted_constants(free: Sequence[Parameter], x: Array, spread: Array) -> list[dict[str, Any]]:
    """Return the fitted constants as plain data: keys, prior, and the value at `x` within its standard error."""
    return [
        {
            "keys": list(p.keys),
            "constant": p.constant,
            "low": p.value(float(at - wide)),
            "value": p.value(float(at)),
            "high": p.value(float(at + wide)),
            "prior": p.prior,
            "sigma": p.sigma,
        }
        for p, at, wide in zip(free, x, spread, strict=True)
    ]


def constant_spread(base: Array, slope: Array, sigma: Array) -> Array:
    """Return the standard error of every constant (Laplace), with the robust spread of the residuals."""
    noise = max(float(np.median(np.abs(base))) / 0.6745, 1e-3)
    information = slope.T @ slope / noise**2 + np.diag(1.0 / sigma**2)
    return np.asarray(np.sqrt(np.diag(np.linalg.inv(information))))


def write_fit(result: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write fitted.csv (rows of the table of stacks) and leave_one_out.csv into a folder; return their paths."""
    constants_text = io.StringIO()
    table = csv.writer(constants_text, lineterminator="\n")
    table.writerow(("key", "value_low", "value_mid", "value_high", "unit", "date", "kind", "source", "notes"))
    units = {"host_floor_s": "s", "host_floor_expert_s": "s"}
    for row in result["parameters"]:
        source = f"fit to published training rates (gigawatt calibrate training); before the fit {row['prior']:g} within a factor of {np.exp(row['sigma']):.2f}"
        values = [f"{row[name]:.4g}" for name in ("low", "value", "high")]
        for key in row["keys"]:
            table.writerow((key, *values, units.get(row["constant"], ""), "2026", "derived", source, ""))
    rows_text = io.StringIO()
    table = csv.writer(rows_text, lineterminator="\n")
    table.writerow(("id", "group", "left_out"))
    for row in result["rows"]:
        table.writerow((row["id"], row["group"], f"{row['left_out']:.4f}"))
    targets = folder / "fitted.csv", folder / "leave_one_out.csv"
    for target, text in zip(targets, (constants_text, rows_text), strict=True):
        write_atomically(target, text.getvalue())
    return targets
