"""A window of the dispatch in a solver object, changed and solved again from its last basis."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np

from gigawatt.linear_program import load_program, new_solver, run
from gigawatt.power._dispatch_lp import WRAP, Window
from gigawatt.power._site import Floats

DEVEX = 1  # the steepest edge of the default computes its first weights for as long as a warm solve takes


class Program:
    """A window of the dispatch in a solver object."""

    def __init__(self, window: Window, capacity: Floats) -> None:
        self.window, self.capacity = window, capacity
        self.solver = new_solver(presolve="off", simplex_dual_edge_weight_strategy=DEVEX)
        self._cost, self._upper = window.cost(), window.upper(capacity)
        self._rows = window.row_bounds(capacity)
        lower, upper = self._rows
        load_program(
            self.solver, cost=self._cost, upper=self._upper, row_lower=lower, row_upper=upper, matrix=window.matrix()
        )
        self._pin_start()

    def _pin_start(self) -> None:
        self.solver.changeColBounds(self.window.start_column, *self.window.start_bounds(self.capacity))

    def change(self, window: Window, capacity: Floats, cost: Floats | None = None) -> None:
        """Take costs (of the window, unless given) and bounds of the same pattern; what did not change is left alone."""
        cost = window.cost() if cost is None else cost
        upper, rows = window.upper(capacity), window.row_bounds(capacity)
        changed = np.flatnonzero(cost != self._cost).astype(np.int32)
        if len(changed):
            self.solver.changeColsCost(len(changed), changed, cost[changed])
        changed = np.flatnonzero(upper != self._upper).astype(np.int32)
        if len(changed):
            self.solver.changeColsBounds(len(changed), changed, np.zeros(len(changed)), upper[changed])
        changed = np.flatnonzero((rows[0] != self._rows[0]) | (rows[1] != self._rows[1])).astype(np.int32)
        if len(changed):
            self.solver.changeRowsBounds(len(changed), changed, rows[0][changed], rows[1][changed])
        self.window, self.capacity = window, capacity
        self._cost, self._upper, self._rows = cost, upper, rows
        self._pin_start()

    def resize(self, capacity: Floats) -> None:
        """Take other capacities (K): only bounds change."""
        self.change(self.window, capacity, self._cost)

    def add_cost(self, columns: Any, extra: Any) -> None:
        """Add to the cost of single columns."""
        self._cost = self._cost.copy()
        np.add.at(self._cost, columns, extra)
        for column in columns:
            self.solver.changeColCost(int(column), float(self._cost[column]))

    def solve(self) -> float:
        """Solve and return the cost, USD. Raises RuntimeError where HiGHS finds no optimum."""
        import highspy

        status = run(self.solver)
        if status != highspy.HighsModelStatus.kOptimal:  # lost its way from the last basis: once more from the start
            self.solver.clearSolver()
            self.solver.setOptionValue("presolve", "on")
            status = run(self.solver)
            self.solver.setOptionValue("presolve", "off")
        if status != highspy.HighsModelStatus.kOptimal:
            raise RuntimeError(f"HiGHS ended a dispatch with {self.solver.modelStatusToString(status)!r}")
        return float(self.solver.getInfo().objective_function_value)

    def values(self) -> tuple[Floats, Floats, Floats]:
        """Return column values, column duals and row duals of the optimum."""
        found = self.solver.getSolution()
        return np.asarray(found.col_value), np.asarray(found.col_dual), np.asarray(found.row_dual)


def start_from_parts(whole: Program, parts: list[tuple[int, int]]) -> None:
    """Solve each part of the year alone, as if it ended with the energy it began with, and join the bases to a start.

    The ramps between parts come in as basic rows. A year of 8,760 steps then needs a few hundred simplex iterations.
    """
    import highspy

    window, S = whole.window, whole.window.S
    has_battery, ramps = window.ramp_row > window.n, len(window.blocks.ramps)
    columns: list[list[Any]] = [[] for _ in range(S)]
    families: list[list[Any]] = [[] for _ in range(1 + has_battery + ramps)]
    peak_columns: list[Any] = []
    peak_rows: list[Any] = []
    for first, last in parts:
        part = Program(Window(window.blocks, first, last, start=WRAP), whole.capacity)
        part.solve()
        basis, w, n = part.solver.getBasis(), part.window, last - first
        col, row = list(basis.col_status), list(basis.row_status)
        for block in range(S):
            columns[block] += col[block * n : (block + 1) * n]
        peak_columns += col[S * n : w.start_column]
        peak_rows += row[w.peak_row :]
        for family in range(1 + has_battery):
            families[family] += row[family * n : (family + 1) * n]
        for i in range(ramps):
            begin = w.ramp_row + i * (n - 1)
            families[1 + has_battery + i] += row[begin : begin + n - 1]
            if last < window.last:
                families[1 + has_battery + i].append(highspy.HighsBasisStatus.kBasic)
    joined = highspy.HighsBasis()
    joined.col_status = [*chain.from_iterable(columns), *peak_columns, highspy.HighsBasisStatus.kLower]
    joined.row_status = [*chain.from_iterable(families), *peak_rows]
    joined.valid = True
    whole.solver.setBasis(joined)
