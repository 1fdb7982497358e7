"""Unit commitment: whole units on and off, minimum loads, starts, no-load cost and a reserve for the loss of one (N+1).

The dispatch program of a window with, for each group and step, the number of units online (whole) and started. Output lies
between minimum load and capacity of what is online; the reserve is spare capacity online, what the battery does not
discharge, and stands against the loss of the largest unit. A year is solved week by week: a window and some steps ahead,
of which the window is kept and its last state handed on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.errors import InfeasibleError
from gigawatt.linear_program import load_program, new_solver, run
from gigawatt.power._dispatch import DispatchResult, powers, settle
from gigawatt.power._dispatch_lp import DISCHARGE, MW, Blocks, Window, blocks_of
from gigawatt.power._site import J_PER_MWH, Floats, GeneratorGroup, Series, SiteYear

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CommitmentResult:
    """A committed year. `online` and `started` (T) whole units by group; `dispatch` has cost, powers and status.

    `lower_bound_usd`: no commitment costs less (None where the year was solved in windows without `prove`). `reserve_w` (T) is what stands by.
    """

    dispatch: DispatchResult
    online: Mapping[str, Ints]
    started: Mapping[str, Ints]
    reserve_w: Floats
    lower_bound_usd: float | None

    @property
    def cost_usd(self) -> float:
        """Cost of the period."""
        return self.dispatch.cost_usd

    def to_frame(self) -> Any:
        """Return the dispatch with units online and the reserve, one row per step, as a pandas DataFrame."""
        frame = self.dispatch.to_frame()
        for name, count in self.online.items():
            frame[f"{name} online"] = count
        frame["reserve_w"] = self.reserve_w
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "dispatch": self.dispatch.to_dict(),
            "starts": {name: int(count.sum()) for name, count in self.started.items()},
            "mean_online": {name: float(count.mean()) for name, count in self.online.items()},
            "least_reserve_w": float(self.reserve_w.min()),
            "lower_bound_usd": self.lower_bound_usd,
        }


def largest_unit_w(site: SiteYear) -> float:
    """Return the power of the largest unit: what N+1 must stand by for."""
    return max((group.unit_w for group in site.generators), default=0.0)


def commit(
    site: SiteYear,
    reserve_w: Series,
    *,
    gap: float = 1e-3,
    window_steps: int | None = None,
    ahead_steps: int = 24,
    prove: bool = False,
) -> CommitmentResult:
    """Return which units run when, within `gap` of the least cost; `reserve_w` as a number or (T).

    All at once, the last step is followed by the first (units and, if it is cyclic, the battery). With `window_steps` the
    year is solved window after window, each looking `ahead_steps` further: units start as the first window likes, a
    cyclic battery begins and ends half full; `prove` adds a lower bound, the year with divisible units. A group's ramp is
    that of all its firm units. Raises InfeasibleError where the reserve cannot stand by, ValueError for a gap or windows
    out of range.
    """
    if not 0 < gap < 1 or (window_steps is not None and window_steps < 1) or ahead_steps < 0:
        raise ValueError("commitment needs 0 < gap < 1, window_steps of at least 1 and ahead_steps of at least 0")
    reserve, whole = site.series(reserve_w) / MW, window_steps is None or window_steps >= site.steps
    battery = site.battery
    if not whole and battery is not None and battery.cyclic:
        site = replace(site, battery=replace(battery, cyclic=False, initial_j=0.5 * battery.energy_j))
    blocks, T = blocks_of(site), site.steps
    if whole:
        part = _Part(site, blocks, reserve, 0, T, wrap=True)
        part.solve(gap)
        return _result(site, [part.kept(T)], gap, part.bound)
    least = 0.5 * battery.energy_j / J_PER_MWH if battery is not None and battery.cyclic else 0.0
    pieces: list[_Kept] = []
    step = int(window_steps or T)
    for first in range(0, T, step):
        last = min(first + step + ahead_steps, T)
        part = _Part(site, blocks, reserve, first, last, wrap=False, before=pieces[-1] if pieces else None)
        part.end_energy(least if last == T else 0.0)
        part.solve(gap)
        pieces.append(part.kept(min(step, T - first)))
    bound = None
    if prove:
        year = _Part(site, blocks, reserve, 0, T, wrap=False)
        year.end_energy(least)
        year.solve(gap, relaxed=True)
        bound = year.bound
    return _result(site, pieces, gap, bound)


@dataclass(frozen=True, slots=True)
class _Kept:
    """Columns of the steps that are kept: levels (S, n), online and started (G, n)."""

    levels: Floats
    online: Floats
    started: Floats


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows compressed by row with their bounds."""

    start: Any
    index: Any
    value: Floats
    lower: Floats
    upper: Floats

    @classmethod
    def of(cls, columns: Any, values: Floats, lower: Floats, upper: Floats) -> _Rows:
        """Return rows of equal length from columns and values (rows, k)."""
        return cls(np.arange(len(columns) + 1) * columns.shape[1], columns.ravel(), values.ravel(), lower, upper)


class _Part:
    """The mixed-integer program of steps first..last-1. Columns: those of the window, then online and started by group."""

    def __init__(
        self,
        site: SiteYear,
        blocks: Blocks,
        reserve: Floats,
        first: int,
        last: int,
        *,
        wrap: bool,
        before: _Kept | None = None,
    ) -> None:
        self.site, self.blocks, self.before, self.wrap = site, blocks, before, wrap
        self.n, self.groups = last - first, site.generators
        self.steps = slice(first, last)
        start = blocks.start
        if before is not None and blocks.energy_block >= 0:
            start = float(before.levels[blocks.energy_block, -1])
        self.window = Window(blocks, first, last, start=start)
        self.online = self.window.columns + np.arange(len(self.groups) * self.n).reshape(len(self.groups), self.n)
        self.started = self.online + self.online.size
        self.reserve = reserve[first:last]
        self.solver = new_solver()
        self.bound = -math.inf
        self._load()

    def _load(self) -> None:
        blocks, window, n = self.blocks, self.window, self.n
        units = np.repeat([float(g.firm_units) for g in self.groups], n)
        online = np.repeat([no_load_usd(g, self.site) for g in self.groups], n)
        starts = np.repeat([g.start_usd for g in self.groups], n)
        lower, upper = window.row_bounds(blocks.capacity)
        families = [_Rows(*window.matrix(), lower, upper)]
        for g, group in enumerate(self.groups):
            families += [*self._output_rows(g, group), self._start_rows(g)]
        families += self._reserve_rows()
        counts = np.concatenate([np.diff(rows.start) for rows in families])
        integer = np.zeros(window.columns + 2 * self.online.size, dtype=bool)
        integer[self.online.ravel()] = True
        load_program(
            self.solver,
            cost=np.concatenate((window.cost(), online, starts)),
            upper=np.concatenate((window.upper(blocks.capacity), units, units)),
            row_lower=np.concatenate([rows.lower for rows in families]),
            row_upper=np.concatenate([rows.upper for rows in families]),
            matrix=(
                np.concatenate(([0], np.cumsum(counts))).astype(np.int32),
                np.concatenate([rows.index for rows in families]).astype(np.int32),
                np.concatenate([rows.value for rows in families]),
            ),
            integer=integer,
        )
        self.solver.changeColBounds(window.start_column, *window.start_bounds(blocks.capacity))
        self._tie_ramps()

    def _output_rows(self, g: int, group: GeneratorGroup) -> list[_Rows]:
        """Output at most the capacity of what is online, and at least its minimum load."""
        n, infinite, zero = self.n, np.full(self.n, np.inf), np.zeros(self.n)
        output = _members(self.blocks, group) * n + np.arange(n)[:, None]
        columns, ones = np.hstack((output, self.online[g][:, None])), np.ones(output.shape)
        size = self._unit(group)
        found = [_Rows.of(columns, np.hstack((ones, -size)), -infinite, zero)]
        if group.minimum_load > 0:
            found.append(_Rows.of(columns, np.hstack((ones, -group.minimum_load * size)), zero, infinite))
        return found

    def _start_rows(self, g: int) -> _Rows:
        """Started at least what is online now and was not before. The first step of a window has the state handed on."""
        online, started = self.online[g], self.started[g]
        columns = np.stack((started, online, np.roll(online, 1)), axis=1)
        values = np.tile([1.0, -1.0, 1.0], (self.n, 1))
        if self.n == 1:  # a step alone is its own predecessor
            columns, values = columns[:, :2], values[:, :2] * (1.0, 0.0 if self.wrap else 1.0)
        rows = _Rows.of(columns, values, np.zeros(self.n), np.full(self.n, np.inf))
        if self.wrap:
            return rows
        if self.n > 1:
            rows.value[2] = 0.0
        rows.lower[0] = -np.inf if self.before is None else -float(self.before.online[g, -1])
        return rows

    def _reserve_rows(self) -> list[_Rows]:
        """Spare capacity online and battery power not discharged are at least the reserve."""
        if float(self.reserve.max()) <= 0:
            return []
        n, step, right = self.n, np.arange(self.n)[:, None], self.reserve.copy()
        columns, values = [], []
        for g, group in enumerate(self.groups):
            output = _members(self.blocks, group) * n + step
            columns += [self.online[g][:, None], output]
            values += [self._unit(group), -np.ones(output.shape)]
        if self.site.battery is not None:
            columns.append(self.blocks.names.index(DISCHARGE) * n + step)
            values.append(-np.ones((n, 1)))
            right -= self.site.battery.discharge_w / MW
        if not columns:
            raise InfeasibleError(
                "nothing can stand by as a reserve",
                constraint="reserve",
                remedy="add generators or a battery, or ask for no reserve",
            )
        return [_Rows.of(np.hstack(columns), np.hstack(values), right, np.full(n, np.inf))]

    def _unit(self, group: GeneratorGroup) -> Floats:
        """(n, 1) MW of a unit in the air of each step."""
        return group.unit_w / MW * self.site.series(group.derate)[self.steps, None]

    def _tie_ramps(self) -> None:
        """Hold the first step of a window within the ramps of the step before it."""
        if self.before is None:
            return
        capacity = self.blocks.capacity
        for ramp in self.blocks.ramps:
            limit = ramp.fixed + ramp.share * float(capacity[ramp.capacity])
            last = float(self.before.levels[list(ramp.blocks), -1].sum())
            columns = np.array([block * self.n for block in ramp.blocks], dtype=np.int32)
            self.solver.addRow(last - limit, last + limit, len(columns), columns, np.ones(len(columns)))

    def end_energy(self, least: float) -> None:
        """Leave at least so many MWh at the end, or what can be charged until then."""
        block = self.blocks.energy_block
        if block < 0 or least <= 0 or self.site.battery is None:
            return
        b, most = self.site.battery, float(self.blocks.capacity[self.blocks.capacity_of[block]])
        inflow = b.charge_w / MW * b.charge_efficiency * self.blocks.hours * self.n
        start = self.window.start_bounds(self.blocks.capacity)[0]
        column = block * self.n + self.n - 1
        self.solver.changeColBounds(column, min(least, start + inflow), most)

    def solve(self, gap: float, *, relaxed: bool = False) -> None:
        """Solve to the gap, or with divisible units. Raises InfeasibleError where the reserve and the limits cannot hold
        together.
        """
        import highspy

        self.solver.setOptionValue("mip_rel_gap", gap)
        self.solver.setOptionValue("solve_relaxation", relaxed)
        status = run(self.solver)
        if status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
            raise InfeasibleError(
                f"no commitment keeps a reserve of {float(self.reserve.max()):,.1f} MW with minimum loads and ramps in every step: the firm units and the battery are too small",
                constraint="reserve",
                remedy="more units, a larger battery, or a smaller reserve",
            )
        if status != highspy.HighsModelStatus.kOptimal:
            raise RuntimeError(f"HiGHS ended a commitment with {self.solver.modelStatusToString(status)!r}")
        info = self.solver.getInfo()
        self.bound = float(info.objective_function_value if relaxed else info.mip_dual_bound)
        self.x = np.asarray(self.solver.getSolution().col_value)

    def kept(self, steps: int) -> _Kept:
        """Return the first steps of the solution."""
        levels = self.x[: self.window.S * self.n].reshape(self.window.S, self.n)[:, :steps]
        online = np.round(self.x[self.online][:, :steps]).reshape(len(self.groups), -1)
        started = np.round(self.x[self.started][:, :steps]).reshape(len(self.groups), -1)
        return _Kept(np.maximum(levels, 0.0), online, started)


def no_load_usd(group: GeneratorGroup, site: SiteYear) -> float:
    """Return what an online unit costs a step without load: fuel and its carbon."""
    return group.no_load_fuel_w * group.fuel_with_carbon_usd_per_j(site.carbon_usd_per_kg) * site.step_s


def _members(blocks: Blocks, group: GeneratorGroup) -> Ints:
    return np.array([i for i, owner in enumerate(blocks.owner) if owner == group.name], dtype=np.int64)


def _result(site: SiteYear, pieces: list[_Kept], gap: float, bound: float | None) -> CommitmentResult:
    blocks = blocks_of(site)
    levels = np.hstack([piece.levels for piece in pieces])
    online = np.hstack([piece.online for piece in pieces]).astype(np.int64)
    started = np.hstack([piece.started for piece in pieces]).astype(np.int64)
    groups = {group.name: i for i, group in enumerate(site.generators)}
    power, energy, fuel = powers(site, blocks, levels)
    standing = np.zeros(site.steps)
    for g, group in enumerate(site.generators):
        fuel[group.name] = fuel[group.name] + online[g] * group.no_load_fuel_w
        standing += online[g] * group.unit_w * site.series(group.derate) - power[group.name]
    if site.battery is not None:
        standing += site.battery.discharge_w - power[DISCHARGE]
    how = "the whole period at once" if len(pieces) == 1 else f"{len(pieces)} windows"
    dispatched = settle(
        site,
        power_w=power,
        energy_j=energy,
        fuel_w=fuel,
        starts={name: started[i].astype(np.float64) for name, i in groups.items()},
        method=f"unit commitment with whole units, gap {gap:.2%}, {how}",
    )
    return CommitmentResult(
        dispatch=dispatched,
        online={name: online[i] for name, i in groups.items()},
        started={name: started[i] for name, i in groups.items()},
        reserve_w=standing,
        lower_bound_usd=bound,
    )
