"""How much of everything to build: capacities and dispatch of a year together, by cuts from weeks that are solved alone.

Benders' decomposition with one cut per week and step: at given capacities x each week's dispatch costs Q_w(x) and its duals
say how Q_w falls with every capacity; Q_w is convex, so Q_w(x') >= Q_w(x) - worth . (x' - x) at any x'. A small program over
capacities and cuts gives a lower bound and the next x. What ties weeks together (stored energy and ramps at their edges) is
priced, not enforced: any price gives a valid lower bound (Lagrange), and the prices of a full year's dispatch give one that
is nearly exact. The upper bound is that dispatch of the whole year at the capacities found.

Capacities in MW and MWh here, W and J at the door. Shapes: K capacities of the site, C candidates, W weeks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gigawatt.evidence import Breakdown
from gigawatt.linear_program import new_solver, run
from gigawatt.power._dispatch import PART_STEPS, DispatchModel, DispatchResult
from gigawatt.power._dispatch_lp import (
    ENERGY_CAPACITY,
    FREE,
    GRID,
    MW,
    POWER_CAPACITY,
    WRAP,
    Blocks,
    Window,
    blocks_of,
    windows_of,
)
from gigawatt.power._highs import Program
from gigawatt.power._site import J_PER_MWH, Floats, SiteYear

ROUNDS = 60
PASSES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A capacity that may be chosen: "grid", a group, a renewable, "battery_w" or "battery_j".

    `usd_per_unit` is what a W (J of "battery_j") costs over the period of the site: capital annualised and fixed cost.
    Raises ValueError unless 0 <= low <= high < infinity.
    """

    name: str
    usd_per_unit: float
    low: float = 0.0
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high < math.inf:
            raise ValueError(
                f"candidate {self.name!r} needs 0 <= low <= high, both finite, not {self.low:g}..{self.high:g}"
            )
        if not math.isfinite(self.usd_per_unit):
            raise ValueError(f"usd_per_unit of candidate {self.name!r} must be finite")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SizingResult:
    """Capacities and what they cost.

    `sizes` W (J of "battery_j") by candidate; `site` has them built in; `dispatch` is its year. `usd` is capital by
    candidate and dispatch. No choice of capacities costs less than `lower_bound_usd`; `gap` is how far `usd` is above it.
    """

    sizes: Mapping[str, float]
    site: SiteYear
    dispatch: DispatchResult
    usd: Breakdown
    lower_bound_usd: float
    rounds: int
    status: str

    @property
    def gap(self) -> float:
        """(cost - lower bound) / cost."""
        return (self.usd.value - self.lower_bound_usd) / max(abs(self.usd.value), 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "status": self.status,
            "sizes": dict(self.sizes),
            "usd": self.usd.to_dict(),
            "lower_bound_usd": self.lower_bound_usd,
            "gap": self.gap,
            "rounds": self.rounds,
            "dispatch": self.dispatch.to_dict(),
        }


def size(site: SiteYear, candidates: Sequence[Candidate], *, tolerance: float = 1e-3) -> SizingResult:
    """Return the capacities of least total cost, proven within `tolerance` of the optimum where `status` says so.

    The rest of the site stays as it is. A group keeps its ramp per capacity, its units change in size. Worked value:
    100 MW of load for a year from a generator at 100,000 USD/MW and 50 USD/MWh costs 1e7 + 100 x 8,760 x 50 = 53.8e6 USD.
    Raises ValueError for a name that is none of the site's, for one that comes twice, or a tolerance not above zero.
    """
    blocks = blocks_of(site)
    numbers = _numbers(blocks, candidates)
    if not tolerance > 0:
        raise ValueError(f"the tolerance of a sizing must be above zero, not {tolerance!r}")
    search = _Search(blocks, candidates, numbers)
    best: tuple[float, Floats, DispatchModel, DispatchResult] | None = None
    lower, rounds = -math.inf, 0
    for _ in range(PASSES):
        x, bound, used = search.best(0.2 * tolerance)
        lower, rounds = max(lower, bound), rounds + used
        model = DispatchModel(sized(site, candidates, x))
        result = model.solve()
        total = result.cost_usd + float(search.cost @ x)
        if best is None or total < best[0]:
            best = (total, x, model, result)
        if best[0] - lower <= tolerance * abs(best[0]):
            break
        search.price_edges(model.program.values()[2])
    assert best is not None
    total, x, _, result = best
    parts = {f"capital of {c.name}": float(search.cost[i] * x[i]) for i, c in enumerate(candidates)}
    usd = Breakdown.of("cost", "USD", {**parts, "dispatch": result.usd})
    gap = (total - lower) / max(abs(total), 1e-9)
    proof = (
        f"within {gap:.3%} of the least cost"
        if gap <= tolerance
        else f"only shown to be within {gap:.3%} of the least cost, more than the {tolerance:.3%} asked for"
    )
    return SizingResult(
        sizes={c.name: float(x[i]) * _unit(c.name) for i, c in enumerate(candidates)},
        site=result.site,
        dispatch=result,
        usd=usd,
        lower_bound_usd=lower,
        rounds=rounds,
        status=f"{proof}; {result.status}",
    )


def sized(site: SiteYear, candidates: Sequence[Candidate], sizes: Floats) -> SiteYear:
    """Return the site with the capacities (C) of the candidates, MW and MWh, built in."""
    want = {c.name: float(x) * _unit(c.name) for c, x in zip(candidates, sizes, strict=True)}
    grid, battery = site.grid, site.battery
    if GRID in want:
        top = float(np.max(site.grid_limit_w))
        grid = replace(grid, limit_w=np.asarray(site.grid.limit_w) * (want[GRID] / top if top > 0 else 0.0))
    if battery is not None:
        power, energy = want.get(POWER_CAPACITY, battery.discharge_w), want.get(ENERGY_CAPACITY, battery.energy_j)
        inlet = battery.charge_w / battery.discharge_w if battery.discharge_w else 1.0
        battery = replace(
            battery,
            charge_w=inlet * power,
            discharge_w=power,
            energy_j=energy,
            initial_j=min(battery.initial_j, energy),
        )
    return replace(
        site,
        grid=grid,
        battery=battery,
        generators=tuple(
            replace(g, unit_w=want[g.name] / g.firm_units) if g.name in want else g for g in site.generators
        ),
        renewables=tuple(
            replace(r, available_w=np.asarray(r.available_w) * (want[r.name] / r.installed_w), capacity_w=want[r.name])
            if r.name in want
            else r
            for r in site.renewables
        ),
    )


def _unit(name: str) -> float:
    return J_PER_MWH if name == ENERGY_CAPACITY else MW


def _numbers(blocks: Blocks, candidates: Sequence[Candidate]) -> list[int]:
    names = [c.name for c in candidates]
    unknown = [name for name in names if name not in blocks.capacities]
    if unknown or not names or len(set(names)) < len(names):
        wrong = f"not {', '.join(map(repr, unknown or names)) or 'none'}"
        raise ValueError(f"candidates are one or more of {', '.join(blocks.capacities)}, each once, {wrong}")
    numbers = [blocks.capacities.index(name) for name in names]
    zero = [name for name, k in zip(names, numbers, strict=True) if not blocks.capacity[k] > 0]
    if zero:
        raise ValueError(
            f"candidate {zero[0]!r} needs a capacity above zero in the site: its profile and ramp scale with it"
        )
    return numbers


class _Search:
    """Weeks with their programs, the prices at their edges, and the points and cuts found so far."""

    def __init__(self, blocks: Blocks, candidates: Sequence[Candidate], numbers: list[int]) -> None:
        self.blocks, self.numbers = blocks, numbers
        self.cost = np.array([c.usd_per_unit * _unit(c.name) for c in candidates])
        self.low = np.array([c.low / _unit(c.name) for c in candidates])
        self.high = np.array([c.high / _unit(c.name) for c in candidates])
        windows = windows_of(blocks, PART_STEPS)
        self.cyclic = blocks.start == WRAP
        starts = [FREE if first or self.cyclic else blocks.start for first, _ in windows]
        self.weeks = [
            Program(Window(blocks, a, b, start=start), blocks.capacity)
            for (a, b), start in zip(windows, starts, strict=True)
        ]
        self.edge_cost, self.edge_slope = 0.0, np.zeros(len(candidates))
        self.points = [np.clip(blocks.capacity[numbers], self.low, self.high)]
        self._extra: list[tuple[list[int], list[float]]] = [([], []) for _ in self.weeks]
        self._price_energy(np.full(len(self.weeks), float(blocks.cost[0].mean()) / blocks.hours))

    def capacity(self, x: Floats) -> Floats:
        """Return the site's capacities (K) with those of the candidates (C) put in."""
        capacity = self.blocks.capacity.copy()
        capacity[self.numbers] = x
        return capacity

    def week_costs(self, x: Floats) -> tuple[Floats, Floats]:
        """Return (W) cost of each week at x and (W, C) how it falls with each candidate."""
        capacity = self.capacity(x)
        cost, worth = np.empty(len(self.weeks)), np.empty((len(self.weeks), len(x)))
        for w, program in enumerate(self.weeks):
            program.resize(capacity)
            cost[w] = program.solve()
            _, column_dual, row_dual = program.values()
            worth[w] = program.window.worth(column_dual, row_dual).sum(axis=1)[self.numbers]
        return cost, worth

    def best(self, tolerance: float) -> tuple[Floats, float, int]:
        """Return the best capacities of the priced weeks, a lower bound and the number of rounds.

        Each round asks halfway between the best point and the one that the cuts like best: their own favourite alone
        jumps between extremes.
        """
        master = _Master(self.cost + self.edge_slope, self.low, self.high, len(self.weeks))
        best_x, least, lower, favourite = self.points[0], math.inf, -math.inf, self.points[0]
        waiting, rounds = list(self.points), 0
        while rounds < ROUNDS:
            x = waiting.pop(0) if waiting else 0.5 * (best_x + favourite)
            total = self._cut(master, x)
            if total < least:
                least, best_x = total, x
            rounds += 1
            if waiting:
                continue
            favourite, bound = master.solve()
            lower = max(lower, bound + self.edge_cost)
            if least - lower <= tolerance * abs(least):
                break
        total = self._cut(master, favourite)  # a corner of the cuts: capacities not worth having are exactly zero there
        if total < least + tolerance * abs(least):
            best_x = favourite
        self.points = [*self.points[-5:], best_x] if len(self.points) > 6 else [*self.points, best_x]
        return best_x, lower, rounds

    def _cut(self, master: _Master, x: Floats) -> float:
        cost, worth = self.week_costs(x)
        master.add(x, cost, worth)
        if not any(np.array_equal(x, point) for point in self.points):
            self.points.append(x)
        return float(cost.sum() + (self.cost + self.edge_slope) @ x) + self.edge_cost

    def _price_energy(self, value: Floats) -> None:
        """Pay each week for the energy that it leaves to the next, and charge it for what it finds: USD per MWh (W)."""
        energy = self.blocks.energy_block
        if energy < 0:
            return
        for w, program in enumerate(self.weeks):
            following = (w + 1) % len(self.weeks)
            window = program.window
            if w or self.cyclic:
                self._add(w, window.start_column, float(value[w]))
            if following or self.cyclic:
                self._add(w, energy * window.n + window.n - 1, -float(value[following]))

    def _add(self, week: int, column: int, extra: float) -> None:
        if extra:
            self.weeks[week].add_cost([column], [extra])
            self._extra[week][0].append(column)
            self._extra[week][1].append(extra)

    def price_edges(self, row_dual: Floats) -> None:
        """Take the prices of a whole year's dispatch for what ties the weeks together; cuts found before are void."""
        for program, (columns, extra) in zip(self.weeks, self._extra, strict=True):
            program.add_cost(columns, [-value for value in extra])
        self._extra = [([], []) for _ in self.weeks]
        T = len(self.blocks.load)
        year = Window(self.blocks, 0, T, start=self.blocks.start)
        starts = np.array([program.window.first for program in self.weeks])
        if self.blocks.energy_block >= 0:
            self._price_energy(-row_dual[year.energy_row + starts])
        self.edge_cost, self.edge_slope = 0.0, np.zeros(len(self.numbers))
        for i, ramp in enumerate(self.blocks.ramps):
            for w in range(1, len(self.weeks)):
                y = float(row_dual[year.ramp_row + i * (T - 1) + starts[w] - 1])
                before = self.weeks[w - 1].window.n
                for block in ramp.blocks:
                    self._add(w, block * self.weeks[w].window.n, -y)
                    self._add(w - 1, block * before + before - 1, y)
                self.edge_cost -= abs(y) * ramp.fixed
                if ramp.capacity in self.numbers:
                    self.edge_slope[self.numbers.index(ramp.capacity)] -= abs(y) * ramp.share
                else:
                    self.edge_cost -= abs(y) * ramp.share * float(self.blocks.capacity[ramp.capacity])


class _Master:
    """Capacities (C) and a cost per week above all its cuts."""

    def __init__(self, cost: Floats, low: Floats, high: Floats, weeks: int) -> None:
        self.solver, self.count = new_solver(), len(cost)
        none = np.zeros(0)
        for c, a, b in zip(cost, low, high, strict=True):
            self.solver.addCol(float(c), float(a), float(b), 0, none.astype(np.int32), none)
        for _ in range(weeks):
            self.solver.addCol(1.0, -math.inf, math.inf, 0, none.astype(np.int32), none)

    def add(self, x: Floats, cost: Floats, worth: Floats) -> None:
        """Add the cuts of a point: cost of week w >= cost - worth . (x' - x)."""
        for w, (value, slope) in enumerate(zip(cost, worth, strict=True)):
            columns = np.append(np.arange(self.count), self.count + w).astype(np.int32)
            right = float(value + slope @ x)
            self.solver.addRow(right, math.inf, len(columns), columns, np.append(slope, 1.0))

    def solve(self) -> tuple[Floats, float]:
        """Return the capacities that the cuts like best and the lower bound."""
        import highspy

        status = run(self.solver)
        if status != highspy.HighsModelStatus.kOptimal:
            raise RuntimeError(f"HiGHS ended a sizing with {self.solver.modelStatusToString(status)!r}")
        info = self.solver.getInfo()
        return np.asarray(self.solver.getSolution().col_value)[: self.count], float(info.objective_function_value)
