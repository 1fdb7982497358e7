"""The fit of the constants of an engine step to the published serving table.

Which constants are free, and what is known about them before, stands in data/serving_fit_parameters.csv: each belongs to
a software stack or to a family of chips. As in the fit of training: robust least squares (soft L1) of
log(predicted/measured) with the priors as a ridge on the logarithm of every constant, by Gauss-Newton steps. Errors
without a chip or a model come from a fit without its rows, along the derivatives of the full fit, evaluated in full.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.model import Attention
from gigawatt.report import write_atomically
from gigawatt.serving import EngineConstants, engine_constants
from gigawatt.validation._fit import ROBUST, constant_spread, fitted_constants, solve_linear
from gigawatt.validation._parameters import Parameter
from gigawatt.validation._rows import UnreadableRowError
from gigawatt.validation._serving import measured, serving_parameters
from gigawatt.validation._serving_model import Predictor
from gigawatt.validation._serving_rows import Case, read, read_rows

Array = NDArray[np.float64]
DIFFERENCE = 0.05
# Quantities in the fit with their weights: a time to the first token hangs on the harness as well.
WEIGHTS: Mapping[str, float] = {"tpot_s": 1.0, "ttft_s": 0.5, "output_rate": 0.8, "input_rate": 0.5}
# A cell (stack, chip, model, quantity) of n rows counts as its square root: long sweeps do not outvote other chips.
CELL_POWER = 0.5
FEWEST = 4.0
# A model whose attention is described by an equivalent (compressed attention) counts less.
ESTIMATE = 0.3
# Log error beyond which a point counts less.
SCREEN = 0.4


def _attentions(case: Case) -> list[Attention]:
    return [layer.attention for layer, _ in case.model.groups()]


@dataclass(frozen=True, slots=True)
class Point:
    """One measured quantity of a case."""

    case: int
    quantity: str
    value: float


@dataclass(slots=True)
class Fitted(Predictor):
    """A predictor with the constants of a point of the fit."""

    free: tuple[Parameter, ...] = ()
    x: tuple[float, ...] = ()

    known: dict[tuple[str, str], EngineConstants] = field(default_factory=dict)

    def constants(self, case: Case) -> EngineConstants:
        """Return the packaged constants with the free ones at their value."""
        key = case.stack, case.chip.name
        if key not in self.known:
            changes = {
                p.constant: p.value(at)
                for p, at in sorted(zip(self.free, self.x, strict=True), key=lambda pair: _rank(pair[0]))
                if p.holds_for(*key)
            }
            self.known[key] = replace(engine_constants(*key), **changes)
        return self.known[key]


def _rank(parameter: Parameter) -> tuple[bool, bool]:
    return parameter.stack != "*", bool(parameter.chip)


class ServingFit:
    """The cases of a table, their measured quantities, and the free constants that each depends on."""

    def __init__(self, rows: Sequence[Mapping[str, str]], free: Sequence[Parameter]) -> None:
        self.free = tuple(free)
        self.cases: list[Case] = []
        self.points: list[Point] = []
        start = Fitted(free=self.free, x=tuple(p.point(p.prior) for p in self.free))
        for row in rows:
            values = measured(row)
            try:
                case = read(row)
                found = start.predict(case) if values and case.kind != "server" else {}
            except UnreadableRowError:
                continue
            known = [name for name in values if name in found and not row["flags"]]
            if "tpot_s" in known and "output_rate" in known and case.kind == "closed":
                known.remove("output_rate")  # the same measurement once more
            if known:
                self.points += [Point(len(self.cases), name, values[name]) for name in known]
                self.cases.append(case)
        self.start = np.array(start.x)
        self._even = self._weights()
        self.weights = self._even

    def _weights(self) -> Array:
        cells = [
            (c.stack, c.chip.name, c.model.name, c.precision.name, bool(c.prefill), c.group, p.quantity)
            for p in self.points
            for c in (self.cases[p.case],)
        ]
        count = {cell: cells.count(cell) for cell in set(cells)}
        estimate = [any(a.kv_lora_rank and a.window for a in _attentions(self.cases[p.case])) for p in self.points]
        return np.array(
            [
                (ESTIMATE if rough else 1.0)
                * WEIGHTS[p.quantity]
                * (FEWEST / max(count[cell], FEWEST)) ** (CELL_POWER / 2)
                for p, cell, rough in zip(self.points, cells, estimate, strict=True)
            ]
        )

    def screen(self, base: Array) -> None:
        """Let points far off count less (Cauchy): runs with a cold compiler or another limit than the model knows."""
        self.weights = self._even / np.sqrt(1.0 + (np.maximum(np.abs(base) - SCREEN, 0.0) / SCREEN) ** 2)

    def residuals(self, x: Array, chosen: set[int] | None = None) -> Array:
        """Return log(predicted/measured) by point; nan for points of cases that are not `chosen`."""
        predictor = Fitted(free=self.free, x=tuple(float(v) for v in x))
        found: dict[int, dict[str, float]] = {}
        for index, case in enumerate(self.cases):
            if chosen is None or index in chosen:
                found[index] = predictor.predict(case)
        return np.array(
            [np.log(found[p.case][p.quantity] / p.value) if p.case in found else np.nan for p in self.points]
        )

    def jacobian(self, x: Array) -> tuple[Array, Array]:
        """Return residuals and their derivatives by every free constant."""
        base = self.residuals(x)
        slope = np.zeros((len(base), len(self.free)))
        for column, p in enumerate(self.free):
            mine = {i for i, c in enumerate(self.cases) if p.holds_for(c.stack, c.chip.name)}
            if not mine:
                continue
            moved = x.copy()
            moved[column] += DIFFERENCE
            slope[:, column] = np.nan_to_num((self.residuals(moved, mine) - base) / DIFFERENCE)
        return base, slope


def fit_serving(data: Path | None = None, rounds: int = 6, report: Callable[[str], None] = print) -> dict[str, Any]:
    """Return the fitted constants (`parameters`) and per measured quantity the ratio predicted/measured of the fit, of
    a fit without its chip and of one without its model (`rows`). Needs SciPy. Raises InputError for a table that cannot
    be read.
    """
    fit = ServingFit(read_rows(data), serving_parameters())
    sigma = np.array([p.sigma for p in fit.free])
    x = fit.start.copy()
    for turn in range(rounds):
        base, slope = fit.jacobian(x)
        report(f"round {turn + 1}: {_medians(fit, base)}")
        fit.screen(base)
        step = solve_linear(base, slope, x, fit.start, sigma, fit.weights)
        here = _loss(fit, base, x, sigma)
        for _ in range(3):  # predictions bend: half the step where the whole one makes it worse
            if _loss(fit, fit.residuals(x + step), x + step, sigma) < here:
                break
            step = step / 2
        x = x + step
    base, slope = fit.jacobian(x)
    report(f"fitted: {_medians(fit, base)}")
    left = {}
    for name in ("chip", "model"):
        keys = [str(getattr(fit.cases[p.case], name).name) for p in fit.points]
        left[name] = _left_out(fit, x, base, slope, sigma, keys)
        report(f"without the {name}: {_medians(fit, left[name])}")
    spread = constant_spread(base, slope, sigma)
    return {
        "parameters": fitted_constants(fit.free, x, spread),
        "rows": [
            {
                "id": fit.cases[p.case].id,
                "quantity": p.quantity,
                "ratio": float(np.exp(a)),
                "chip": float(np.exp(b)),
                "model": float(np.exp(c)),
            }
            for p, a, b, c in zip(fit.points, base, left["chip"], left["model"], strict=True)
        ],
    }


def _loss(fit: ServingFit, base: Array, x: Array, sigma: Array) -> float:
    """Return what the fit makes small: soft L1 of weighted residuals and of the distance to the priors."""
    parts = np.concatenate([fit.weights * base, ROBUST / sigma * (x - fit.start)]) / ROBUST
    return float(np.sum(np.sqrt(1.0 + parts**2) - 1.0))


def _left_out(fit: ServingFit, x: Array, base: Array, slope: Array, sigma: Array, keys: Sequence[str]) -> Array:
    found = base.copy()
    for key in dict.fromkeys(keys):
        inside = np.array([k == key for k in keys])
        weights = np.where(inside, 0.0, fit.weights)
        without = x + solve_linear(base, slope, x, fit.start, sigma, weights, reach=1.0)
        chosen = {p.case for p, mine in zip(fit.points, inside, strict=True) if mine}
        found[inside] = fit.residuals(without, chosen)[inside]
    return found


def _medians(fit: ServingFit, base: Array) -> str:
    parts = []
    for quantity in WEIGHTS:
        errors = np.abs(np.expm1(base[[p.quantity == quantity for p in fit.points]]))
        if len(errors):
            parts.append(f"{quantity} {np.median(errors):.1%} (90th percentile {np.percentile(errors, 90):.0%})")
    return ", ".join(parts)


def serving_intervals(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return by quantity how far, as a factor, 80 and 90 % of predictions without their chip or model were off."""
    found = []
    for quantity in WEIGHTS:
        errors = np.abs([np.log(row[key]) for row in rows if row["quantity"] == quantity for key in ("chip", "model")])
        if len(errors):
            factors = np.exp(np.percentile(errors, [80, 90]))
            found.append({"quantity": quantity, "factor_80": float(factors[0]), "factor_90": float(factors[1])})
    return found


def write_serving_fit(result: Mapping[str, Any], folder: Path) -> tuple[Path, Path, Path]:
    """Write fitted.csv (rows of the constants), serving_leave_one_out.csv and serving_intervals.csv into a folder;
    return their paths.
    """
    fitted: list[tuple[Any, ...]] = [
        ("key", "value_low", "value_mid", "value_high", "unit", "date", "kind", "source", "notes")
    ]
    for p in result["parameters"]:
        source = (
            "fit to published serving measurements (fit_serving); "
            f"before the fit {p['prior']:g} within a factor of {np.exp(p['sigma']):.2f}"
        )
        values = [f"{p[name]:.4g}" for name in ("low", "value", "high")]
        unit = "s" if p["constant"].endswith("_s") else ""
        fitted += [(key, *values, unit, "2026", "derived", source, "") for key in p["keys"]]
    left: list[tuple[Any, ...]] = [("id", "quantity", "chip", "model")]
    left += [(r["id"], r["quantity"], f"{r['chip']:.4f}", f"{r['model']:.4f}") for r in result["rows"]]
    spans: list[tuple[Any, ...]] = [("quantity", "factor_80", "factor_90")]
    spans += [
        (r["quantity"], f"{r['factor_80']:.3f}", f"{r['factor_90']:.3f}") for r in serving_intervals(result["rows"])
    ]
    targets = folder / "fitted.csv", folder / "serving_leave_one_out.csv", folder / "serving_intervals.csv"
    for target, table in zip(targets, (fitted, left, spans), strict=True):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(table)
        write_atomically(target, text.getvalue())
    return targets
