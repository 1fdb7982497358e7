"""The door to the HiGHS solver: programs given as arrays, or put together from named blocks of columns and rows.

A program that is solved again with other costs or bounds keeps its solver object and starts from its last basis.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# A bound below this is zero: a hundredth of what HiGHS lets a row be off by, it only makes a program hard to scale.
NOTHING = 1e-9
# By how much of itself a bound is widened to read what more of it is worth: well above what a row may be off by.
HAIR = 1e-5
# How near the optimum `near` stops, relative.
NEAR = 1e-6

Highs = Any  # highspy.Highs: its stubs lack part of what it does, and importing it costs 0.1 s
Floats = NDArray[np.float64]
Index = NDArray[np.int64]


def new_solver(**options: Any) -> Highs:
    """Return a quiet HiGHS object on one thread."""
    import highspy

    make: Any = highspy.Highs
    solver = make()
    for name, value in {"output_flag": False, "threads": 1, **options}.items():
        solver.setOptionValue(name, value)
    return solver


def run(solver: Highs) -> Any:
    """Solve and return the model's status.

    HiGHS keeps one number of threads for a process and refuses another: where somebody else's solver came first, theirs
    is taken.
    """
    import highspy

    if solver.run() == highspy.HighsStatus.kError:
        solver.setOptionValue("threads", 0)
        solver.run()
    return solver.getModelStatus()


def load_program(
    solver: Highs,
    *,
    cost: Floats,
    upper: Floats,
    row_lower: Floats,
    row_upper: Floats,
    matrix: Any,
    lower: Floats | None = None,
    integer: Any = None,
) -> None:
    """Give a program with columns from `lower` (0 where None) to `upper` and a matrix compressed by row to the solver.

    `integer` (columns) is true where a column must be whole.
    """
    import highspy

    lp, (start, index, value) = highspy.HighsLp(), matrix
    lp.num_col_, lp.num_row_ = len(cost), len(row_lower)
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = cost, np.zeros(len(cost)) if lower is None else lower, upper
    lp.row_lower_, lp.row_upper_ = row_lower, row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.num_col_, lp.a_matrix_.num_row_ = len(cost), len(row_lower)
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = start, index, value
    if integer is not None:
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[int(whole)] for whole in integer]
    if solver.passModel(lp) == highspy.HighsStatus.kError:
        raise RuntimeError("HiGHS refused the program")


@dataclass(frozen=True, slots=True)
class Solution:
    """An optimum: `value` and `reduced` per column, `dual` per row (the change of the objective per unit of the bound).

    `gap` is the relative distance to the bound, 0 for a linear program.
    """

    objective: float
    value: Floats
    reduced: Floats
    dual: Floats
    gap: float = 0.0


class InfeasibleProgramError(Exception):
    """A program without a feasible point."""


class LinearProgram:
    """A program to be maximised, put together from blocks.

    `columns` and `rows` return the numbers of what they add as an array of the shape asked for; `add` puts entries into
    the matrix, all three arguments broadcast against one another.
    """

    def __init__(self) -> None:
        self._columns: list[tuple[Floats, Floats, Floats, NDArray[np.bool_]]] = []
        self._rows: list[tuple[Floats, Floats]] = []
        self._entries: list[tuple[Index, Index, Floats]] = []
        self._count = [0, 0]
        self._solver: Highs = None
        self._integer: NDArray[np.bool_] = np.zeros(0, dtype=bool)

    def columns(
        self,
        shape: tuple[int, ...],
        *,
        lower: ArrayLike = 0.0,
        upper: ArrayLike = np.inf,
        gain: ArrayLike = 0.0,
        integer: ArrayLike = False,
    ) -> Index:
        """Add a block of columns with bounds and the gain of one unit of each."""
        number = self._take(0, shape)
        bounds = [np.broadcast_to(np.asarray(each, np.float64), shape).ravel() for each in (lower, upper, gain)]
        whole = np.broadcast_to(np.asarray(integer, bool), shape).ravel()
        self._columns.append((bounds[0], bounds[1], bounds[2], whole))
        return number

    def rows(self, shape: tuple[int, ...], *, lower: ArrayLike = -np.inf, upper: ArrayLike = np.inf) -> Index:
        """Add a block of rows that stay within their bounds."""
        number = self._take(1, shape)
        low, high = (np.broadcast_to(np.asarray(each, np.float64), shape).ravel() for each in (lower, upper))
        self._rows.append((low, high))
        return number

    def add(self, rows: ArrayLike, columns: ArrayLike, values: ArrayLike) -> None:
        """Add values to entries of the matrix; entries that meet are summed."""
        r, c, v = np.broadcast_arrays(np.asarray(rows, np.int64), columns, np.asarray(values, np.float64))
        self._entries.append((r.ravel(), np.asarray(c, np.int64).ravel(), v.ravel()))

    def _take(self, kind: int, shape: tuple[int, ...]) -> Index:
        first, count = self._count[kind], int(np.prod(shape))
        self._count[kind] += count
        return np.arange(first, first + count).reshape(shape)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self._count[0], self._count[1]

    def _matrix(self) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats]:
        row, column, value = (np.concatenate(part) for part in zip(*self._entries, strict=True))
        key = row * self._count[0] + column
        unique, place = np.unique(key, return_inverse=True)
        summed = np.bincount(place, weights=value, minlength=len(unique))
        starts = np.searchsorted(unique // self._count[0], np.arange(self._count[1] + 1))
        return starts.astype(np.int32), (unique % self._count[0]).astype(np.int32), summed.astype(np.float64)

    def _load(self) -> None:
        lower, upper, gain, whole = (np.concatenate(part) for part in zip(*self._columns, strict=True))
        row_lower, row_upper = (np.concatenate(part) for part in zip(*self._rows, strict=True))
        for bound in (lower, upper, row_lower, row_upper):
            bound[np.abs(bound) < NOTHING] = 0.0
        self._solver, self._integer = new_solver(), whole
        load_program(
            self._solver,
            cost=-gain,
            lower=lower,
            upper=upper,
            row_lower=row_lower,
            row_upper=row_upper,
            matrix=self._matrix(),
            integer=whole if whole.any() else None,
        )

    def set_gain(self, columns: ArrayLike, gain: ArrayLike) -> None:
        """Change the gain of columns."""
        self._ready()
        number, value = np.broadcast_arrays(np.asarray(columns, np.int32), np.asarray(gain, np.float64))
        self._solver.changeColsCost(number.size, number.ravel(), -value.ravel())

    def set_bounds(self, columns: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> None:
        """Change the bounds of columns."""
        self._ready()
        number, low, high = np.broadcast_arrays(np.asarray(columns, np.int32), lower, upper)
        self._solver.changeColsBounds(number.size, number.ravel(), *(np.ravel(x).astype(float) for x in (low, high)))

    def set_rows(self, rows: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> None:
        """Change the bounds of rows."""
        self._ready()
        number, low, high = np.broadcast_arrays(np.asarray(rows, np.int32), lower, upper)
        self._solver.changeRowsBounds(number.size, number.ravel(), *(np.ravel(x).astype(float) for x in (low, high)))

    def _ready(self) -> None:
        if self._solver is None:
            self._load()

    def solve(self, gap: float = 0.01, seconds: float = 60.0, more: ArrayLike = ()) -> Solution:
        """Return the optimum. Duals are those of one unit more of the upper bounds of the rows `more`, where more and less
        differ: they are read with all of them a hair wider. Where columns must be whole: within `gap` of the best or after `seconds`, with the duals
        of the program whose whole columns are held where they are. Raises InfeasibleProgramError where there is no feasible point,
        RuntimeError where the solver finds no optimum or the program has no bound.
        """
        self._ready()
        solver, found_gap = self._solver, 0.0
        if self._integer.any():
            solver.setOptionValue("mip_rel_gap", gap)
            solver.setOptionValue("time_limit", solver.getRunTime() + seconds)
            self._check(run(solver))
            found_gap = float(solver.getInfo().mip_gap)
            return self._held(np.asarray(solver.getSolution().col_value), found_gap, np.asarray(more, np.int32))
        self._check(self._run())
        return self._widened(self._read(found_gap), np.asarray(more, np.int32))

    def _widened(self, found: Solution, rows: NDArray[np.int32]) -> Solution:
        """Return a solution with the duals that hold a hair above the bounds of some rows."""
        if not len(rows):
            return found
        solver = self._solver
        lower, upper = (np.asarray(each)[rows] for each in (solver.getLp().row_lower_, solver.getLp().row_upper_))
        solver.changeRowsBounds(len(rows), rows, lower, upper + HAIR * (1.0 + np.abs(upper)))
        try:
            self._check(self._run())
            above = self._read(found.gap)
        finally:
            solver.changeRowsBounds(len(rows), rows, lower, upper)
        return replace(found, reduced=above.reduced, dual=above.dual)

    def near(self, gap: float = 0.01, seconds: float = 60.0) -> Solution:
        """Return a point within `NEAR` of the optimum (where columns must be whole, within `gap`) without duals, which are
        NaN: for samples of which only the outcome counts. The interior point takes about half of the time of `solve`.
        Raises as `solve` does.
        """
        import highspy

        self._ready()
        solver, whole = self._solver, bool(self._integer.any())
        options = (
            {"mip_rel_gap": gap, "time_limit": solver.getRunTime() + seconds}
            if whole
            else {"solver": "ipm", "run_crossover": "off", "ipm_optimality_tolerance": NEAR}
        )
        kept = {name: solver.getOptionValue(name)[1] for name in options}
        for name, value in options.items():
            solver.setOptionValue(name, value)
        try:
            status = run(solver)
        finally:
            for name, value in kept.items():
                solver.setOptionValue(name, value)
        if not whole and status != highspy.HighsModelStatus.kOptimal:
            solver.clearSolver()
            status = self._run()
        self._check(status)
        found = self._read(float(solver.getInfo().mip_gap) if whole else NEAR)
        return replace(found, reduced=np.full(self.size[0], np.nan), dual=np.full(self.size[1], np.nan))

    def _run(self) -> Any:
        """Solve; where the solver loses its way, once more from the start without presolve, then by the primal method."""
        import highspy

        kinds, solver = highspy.HighsModelStatus, self._solver
        status = run(solver)
        for option, value in (("presolve", "off"), ("simplex_strategy", 4)):
            if status in (kinds.kOptimal, kinds.kInfeasible, kinds.kTimeLimit):
                break
            kept = solver.getOptionValue(option)[1]
            solver.clearSolver()
            solver.setOptionValue(option, value)
            status = run(solver)
            solver.setOptionValue(option, kept)
        return status

    def _held(self, value: Floats, gap: float, more: NDArray[np.int32]) -> Solution:
        import highspy

        solver, whole = self._solver, np.flatnonzero(self._integer).astype(np.int32)
        low, high = np.asarray(solver.getLp().col_lower_), np.asarray(solver.getLp().col_upper_)
        at = np.round(value[whole])
        solver.setOptionValue("time_limit", float("inf"))
        solver.changeColsBounds(len(whole), whole, at, at)
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        solver.changeColsIntegrality(len(whole), whole, np.array([kinds[0]] * len(whole)))
        try:
            self._check(self._run())
            return self._widened(self._read(gap), more)
        finally:
            solver.changeColsBounds(len(whole), whole, low[whole], high[whole])
            solver.changeColsIntegrality(len(whole), whole, np.array([kinds[1]] * len(whole)))

    def _check(self, status: Any) -> None:
        import highspy

        kinds = highspy.HighsModelStatus
        feasible = self._solver.getInfo().primal_solution_status == 2
        if status == kinds.kOptimal or (status == kinds.kTimeLimit and feasible):
            return
        if status in (kinds.kInfeasible, kinds.kUnboundedOrInfeasible):
            raise InfeasibleProgramError
        raise RuntimeError(f"HiGHS ended with {self._solver.modelStatusToString(status)!r}")

    def _read(self, gap: float) -> Solution:
        found = self._solver.getSolution()
        return Solution(
            objective=-float(self._solver.getInfo().objective_function_value),
            value=np.asarray(found.col_value),
            reduced=-np.asarray(found.col_dual),
            dual=-np.asarray(found.row_dual),
            gap=gap,
        )
