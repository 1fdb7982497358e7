"""The fit of the step model's constants to published training measurements: `gigawatt calibrate training`.

Which constants are free, and what is known about them before the fit, stands in data/fit_parameters.csv: each belongs
to a chip or to a software stack, never to a row. The fit is a maximum a posteriori estimate: robust least squares
(soft L1) of log(predicted/measured) plus the priors, by Gauss-Newton steps of SciPy. Leave-one-group-out errors come
from a fit without the group, started at the full fit and taken along the same derivatives, and evaluated in full.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.training import Columns, Constants, Evaluator
from gigawatt.validation._rows import Reading, UnreadableRowError, read, read_rows
from gigawatt.validation._training import choose, compare

Array = NDArray[np.float64]
# Errors up to about this count squared, larger ones linearly: software releases alone differ by more.
ROBUST = 0.05
DIFFERENCE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A free constant: of a stack ("*": any) on a chip ("": any), its prior and whether it is a share below one."""

    stack: str
    constant: str
    chip: str
    prior: float
    sigma: float
    share: bool

    @property
    def key(self) -> str:
        """Return the key of the constant in data/stacks.csv."""
        return f"{self.stack}.{self.constant}" + (f"@{self.chip}" if self.chip else "")

    def holds_for(self, stack: str, chip: str) -> bool:
        """Return whether a row of a stack on a chip depends on this constant."""
        return self.stack in ("*", stack) and self.chip in ("", chip)

    def value(self, x: float) -> float:
        """Return the constant at a point of the unbounded scale of the fit."""
        return float(1.0 / (1.0 + np.exp(-x))) if self.share else float(np.exp(x))

    def point(self, value: float) -> float:
        """Return the point of the unbounded scale at a value of the constant."""
        return float(np.log(value / (1.0 - value))) if self.share else float(np.log(value))


def parameters() -> tuple[Parameter, ...]:
    """Return the free constants of data/fit_parameters.csv."""
    text = files("gigawatt.validation").joinpath("data", "fit_parameters.csv").read_text(encoding="utf-8")
    return tuple(
        Parameter(
            stack=row["stack"],
            constant=row["constant"],
            chip=row["chip"],
            prior=float(row["prior"]),
            sigma=float(row["sigma"]),
            share=row["scale"] == "share",
        )
        for row in csv.DictReader(io.StringIO(text))
    )


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
    base: Array, slope: Array, x: Array, start: Array, sigma: Array, rows: NDArray[np.bool_], reach: float = 0.5
) -> Array:
    """Return the best point of the linear model of the residuals around x, at most `reach` away in any constant."""
    from scipy.optimize import least_squares

    prior = ROBUST / sigma

    def objective(dx: Array) -> Array:
        return np.concatenate([base[rows] + slope[rows] @ dx, prior * (x + dx - start)])

    found = least_squares(
        objective, np.zeros_like(x), bounds=(-reach, reach), loss="soft_l1", f_scale=ROBUST, max_nfev=200
    )
    return np.asarray(found.x)


def fit_training(rounds: int = 6, report: Any = None, data: Any = None) -> dict[str, Any]:
    """Return the fitted constants, the residuals and the leave-one-group-out residuals. Needs SciPy."""
    fit = Fit(read_rows(data), parameters())
    sigma = np.array([p.sigma for p in fit.free])
    x = fit.start.copy()
    everyone = np.ones(len(fit.rows), dtype=bool)
    for turn in range(rounds):
        base, slope = fit.jacobian(x)
        if report is not None:
            report(turn, base)
        x = x + solve_linear(base, slope, x, fit.start, sigma, everyone)
        if turn in (1, 3):
            fit.rechoose(x)
    base, slope = fit.jacobian(x)
    left_out = np.zeros(len(fit.rows))
    for group in dict.fromkeys(fit.groups):
        inside = fit.groups == group
        without = x + solve_linear(base, slope, x, fit.start, sigma, ~inside, reach=3.0)
        for index in np.flatnonzero(inside):
            left_out[index] = fit.residual(int(index), without)
    return {
        "parameters": [
            {"key": p.key, "value": p.value(float(v)), "prior": p.prior, "sigma": p.sigma}
            for p, v in zip(fit.free, x, strict=True)
        ],
        "rows": [
            {"id": item.row["id"], "group": item.row["group"], "ratio": float(np.exp(a)), "left_out": float(np.exp(b))}
            for item, a, b in zip(fit.rows, base, left_out, strict=True)
        ],
    }
