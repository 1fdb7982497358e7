"""Dispatch as a linear program: columns, rows and bounds in MW, MWh and USD, built by NumPy for any window of steps.

Columns come in blocks of one column per step (`Blocks`, S of them): grid, generator segments, renewables, charge,
discharge, energy, rungs of flexible load, unserved; then the peak of each billing month and the energy at the start of the
window. Rows come in families: balance, energy, ramps, peaks. The upper bound of a block and the limit of a ramp are linear
in K capacities (grid MW, a MW per group and renewable, battery MW and MWh), so that sizing and the worth of a capacity
read the same program.

Shapes: T steps of the year, n steps of the window, S blocks, K capacities.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.power._site import J_PER_MWH, Battery, Floats, GeneratorGroup, SiteYear

Ints = NDArray[np.int64]
MW = 1e6
WRAP, FREE = "wrap", "free"
GRID, UNSERVED = "grid", "unserved"
CHARGE, DISCHARGE, ENERGY = "battery charge", "battery discharge", "battery energy"
POWER_CAPACITY, ENERGY_CAPACITY = "battery_w", "battery_j"


@dataclass(frozen=True, slots=True)
class Ramp:
    """|sum of blocks at t - at t-1| <= `fixed` + `share` x capacity, in MW a step."""

    blocks: tuple[int, ...]
    fixed: float
    share: float
    capacity: int


@dataclass(frozen=True)
class Blocks:
    """What the year is made of.

    `cost` (S, T) USD per MW of a step; `profile` (S, T) upper bound, times the capacity numbered `capacity_of` (S) where
    that is not -1; `balance` (S) sign of the block in the balance; `owner` (S) source that it belongs to; `capacity` (K);
    `start` of the year as in `Window`.
    """

    names: tuple[str, ...]
    owner: tuple[str, ...]
    cost: Floats
    profile: Floats
    capacity_of: Ints
    balance: Floats
    capacities: tuple[str, ...]
    capacity: Floats
    ramps: tuple[Ramp, ...]
    load: Floats
    month: Ints | None
    peak_cost: float
    hours: float
    efficiency: tuple[float, float]
    start: float | str

    @cached_property
    def energy_block(self) -> int:
        """Number of the block of stored energy, -1 without a battery."""
        return self.names.index(ENERGY) if ENERGY in self.names else -1

    def pattern(self) -> tuple[Any, ...]:
        """Return what fixes rows and matrix: two years with the same pattern differ in costs and bounds only."""
        months = None if self.month is None else self.month.tobytes()
        ramps = tuple((ramp.blocks, ramp.capacity) for ramp in self.ramps)
        tied = isinstance(self.start, str)
        return (self.names, self.capacities, ramps, months, tied, self.hours, self.efficiency, len(self.load))


class _Builder:
    """Collects blocks, capacities and ramps."""

    def __init__(self, site: SiteYear) -> None:
        self.site = site
        self.names: list[str] = []
        self.owner: list[str] = []
        self.cost: list[Floats] = []
        self.profile: list[Floats] = []
        self.of: list[int] = []
        self.capacities: list[str] = []
        self.capacity: list[float] = []
        self.ramps: list[Ramp] = []

    def size(self, name: str, value: float) -> int:
        """Add a capacity and return its number."""
        self.capacities.append(name)
        self.capacity.append(value)
        return len(self.capacities) - 1

    def block(self, name: str, owner: str, usd_per_j: Any, upper: Any, number: int) -> int:
        """Add a block and return its number; its cost turns into USD per MW of a step."""
        self.names.append(name)
        self.owner.append(owner)
        self.cost.append(self.site.series(usd_per_j) * (MW * self.site.step_s))
        self.profile.append(self.site.series(upper))
        self.of.append(number)
        return len(self.names) - 1

    def grid(self) -> None:
        """The connection: a capacity, its profile (curtailment, seasons), and a ramp that does not grow with it."""
        site, limit = self.site, self.site.grid_limit_w
        top = float(limit.max())
        number = self.size(GRID, top / MW)
        block = self.block(GRID, GRID, site.grid_usd_per_j, limit / top if top > 0 else 0.0, number)
        if np.isfinite(site.grid.ramp_w_per_s):
            self.ramps.append(Ramp((block,), site.grid.ramp_w_per_s * site.step_s / MW, 0.0, number))

    def group(self, group: GeneratorGroup) -> None:
        """A group: one block per segment of its heat rate, and a ramp of their sum that grows with it."""
        site, number = self.site, self.size(group.name, group.capacity_w / MW)
        low, members = 0.0, []
        for end, rate in group.segments:
            price = group.usd_per_j(rate, site.carbon_usd_per_kg)
            name = group.name if len(group.segments) == 1 else f"{group.name}, up to {end:g}"
            members.append(self.block(name, group.name, price, site.series(group.derate) * (end - low), number))
            low = end
        if np.isfinite(group.ramp_per_s):
            self.ramps.append(Ramp(tuple(members), 0.0, group.ramp_per_s * site.step_s, number))

    def battery(self, battery: Battery) -> None:
        """Charge, discharge and stored energy."""
        power = self.size(POWER_CAPACITY, battery.discharge_w / MW)
        energy = self.size(ENERGY_CAPACITY, battery.energy_j / J_PER_MWH)
        inlet = battery.charge_w / battery.discharge_w if battery.discharge_w else 0.0
        self.block(CHARGE, "battery", 0.0, inlet, power)
        self.block(DISCHARGE, "battery", battery.throughput_usd_per_j, 1.0, power)
        self.block(ENERGY, "battery", 0.0, 1.0, energy)


def blocks_of(site: SiteYear) -> Blocks:
    """Return the columns of a site's year."""
    builder, battery = _Builder(site), site.battery
    builder.grid()
    for group in site.generators:
        builder.group(group)
    for part in site.renewables:
        installed = part.installed_w
        number = builder.size(part.name, installed / MW)
        shape = np.asarray(part.available_w) / (installed or 1.0)
        builder.block(part.name, part.name, part.variable_usd_per_j, shape, number)
    efficiency: tuple[float, float] = (1.0, 1.0)
    start: float | str = WRAP
    if battery is not None:
        builder.battery(battery)
        efficiency = (battery.charge_efficiency, battery.discharge_efficiency)
        start = WRAP if battery.cyclic else battery.initial_j / J_PER_MWH
    for rung in site.ladder:
        builder.block(rung.label, rung.label, rung.usd_per_j, np.asarray(rung.max_w) / MW, -1)
    builder.block(UNSERVED, UNSERVED, site.unserved_usd_per_j, np.inf, -1)
    sign = {CHARGE: -1.0, ENERGY: 0.0}
    return Blocks(
        names=tuple(builder.names),
        owner=tuple(builder.owner),
        cost=np.array(builder.cost),
        profile=np.array(builder.profile),
        capacity_of=np.array(builder.of, dtype=np.int64),
        balance=np.array([sign.get(name, 1.0) for name in builder.names]),
        capacities=tuple(builder.capacities),
        capacity=np.array(builder.capacity),
        ramps=tuple(builder.ramps),
        load=site.load_w / MW,
        month=site.billing_months if site.grid.demand_usd_per_w > 0 else None,
        peak_cost=site.grid.demand_usd_per_w * MW,
        hours=site.step_s / 3600.0,
        efficiency=efficiency,
        start=start,
    )


class Window:
    """The program of steps first..last-1 and its numbering.

    `start` is the battery's energy before the first step: MWh, `WRAP` (what it ends with) or `FREE` (any).
    """

    def __init__(self, blocks: Blocks, first: int, last: int, *, start: float | str) -> None:
        self.blocks, self.first, self.last, self.start = blocks, first, last, start
        self.n = last - first
        self.months = np.zeros(0, np.int64) if blocks.month is None else np.unique(blocks.month[first:last])
        self.S = len(blocks.names)
        self.start_column = self.S * self.n + len(self.months)
        self.columns = self.start_column + 1
        has_battery = blocks.energy_block >= 0
        self.energy_row = self.n
        self.ramp_row = self.n * (2 if has_battery else 1)
        self.peak_row = self.ramp_row + len(blocks.ramps) * (self.n - 1)
        self.rows = self.peak_row + (self.n if len(self.months) else 0)

    def cost(self) -> Floats:
        """Return the cost of every column."""
        costs = self.blocks.cost[:, self.first : self.last].ravel()
        return np.concatenate((costs, np.full(len(self.months), self.blocks.peak_cost), [0.0]))

    def upper(self, capacity: Floats) -> Floats:
        """Return the upper bound of every column at capacities (K)."""
        of = self.blocks.capacity_of
        scale = np.where(of < 0, 1.0, capacity[of])
        upper = (self.blocks.profile[:, self.first : self.last] * scale[:, None]).ravel()
        start = self.start_bounds(capacity)[1]
        return np.concatenate((upper, np.full(len(self.months), np.inf), [start]))

    def start_bounds(self, capacity: Floats) -> tuple[float, float]:
        """Return the least and the most of the start column, MWh."""
        if isinstance(self.start, float):
            return self.start, self.start
        energy = self.blocks.energy_block
        if self.start == WRAP or energy < 0:
            return 0.0, 0.0
        return 0.0, float(capacity[self.blocks.capacity_of[energy]])

    def ramp_limits(self, capacity: Floats) -> Floats:
        """Return the limits of the ramp rows at capacities (K)."""
        limits = [ramp.fixed + ramp.share * capacity[ramp.capacity] for ramp in self.blocks.ramps]
        return np.repeat(np.array(limits), self.n - 1)

    def row_bounds(self, capacity: Floats) -> tuple[Floats, Floats]:
        """Return lower and upper bounds of every row."""
        load = self.blocks.load[self.first : self.last]
        ramp, zeros = self.ramp_limits(capacity), np.zeros(self.ramp_row - self.n)
        peaks = self.rows - self.peak_row
        lower = np.concatenate((load, zeros, -ramp, np.full(peaks, -np.inf)))
        return lower, np.concatenate((load, zeros, ramp, np.zeros(peaks)))

    def matrix(self) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats]:
        """Return the rows' starts, columns and values (compressed by row)."""
        n, step, families = self.n, np.arange(self.n), []
        inside = np.flatnonzero(self.blocks.balance)
        families.append((inside * n + step[:, None], np.tile(self.blocks.balance[inside], (n, 1))))
        energy = self.blocks.energy_block
        if energy >= 0:
            charge, discharge = self.blocks.names.index(CHARGE), self.blocks.names.index(DISCHARGE)
            before = energy * n + step - 1
            before[0] = energy * n + n - 1 if self.start == WRAP and n > 1 else self.start_column
            columns = np.stack((energy * n + step, before, charge * n + step, discharge * n + step), axis=1)
            hours, (inward, outward) = self.blocks.hours, self.blocks.efficiency
            families.append((columns, np.tile([1.0, -1.0, -inward * hours, hours / outward], (n, 1))))
        for ramp in self.blocks.ramps:
            now = np.array(ramp.blocks) * n + step[1:, None]
            ones = np.ones_like(now, dtype=np.float64)
            families.append((np.hstack((now, now - 1)), np.hstack((ones, -ones))))
        if len(self.months) and self.blocks.month is not None:
            month = np.searchsorted(self.months, self.blocks.month[self.first : self.last])
            columns = np.stack((self.blocks.names.index(GRID) * n + step, self.S * n + month), axis=1)
            families.append((columns, np.tile([1.0, -1.0], (n, 1))))
        counts = np.concatenate([np.full(len(index), index.shape[1]) for index, _ in families])
        start = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
        index = np.concatenate([index.ravel() for index, _ in families]).astype(np.int32)
        return start, index, np.concatenate([value.ravel() for _, value in families])

    def worth(self, column_dual: Floats, row_dual: Floats, grid_by_step: bool = False) -> Floats:
        """Return (K, n) the fall of the cost per further MW (MWh) of each capacity, by the step where it binds.

        `grid_by_step`: of the grid, per further MW in that step itself, whatever part of the capacity its limit there is.

        From the duals of upper bounds and ramp rows; with it the cost at capacities x is at least
        cost - sum(worth, steps) . (x' - x) at any x' (the cost is convex in the capacities).
        """
        n, blocks = self.n, self.blocks
        worth = np.zeros((len(blocks.capacities), n))
        bound = -np.minimum(column_dual[: self.S * n].reshape(self.S, n), 0.0)
        for block, number in enumerate(blocks.capacity_of):
            if number >= 0:
                whole = grid_by_step and blocks.names[block] == GRID
                worth[number] += bound[block] * (1.0 if whole else blocks.profile[block, self.first : self.last])
        for i, ramp in enumerate(blocks.ramps):
            rows = slice(self.ramp_row + i * (n - 1), self.ramp_row + (i + 1) * (n - 1))
            worth[ramp.capacity, 1:] += ramp.share * np.abs(row_dual[rows])
        if self.start == FREE and blocks.energy_block >= 0:
            worth[blocks.capacity_of[blocks.energy_block], 0] -= min(float(column_dual[self.start_column]), 0.0)
        return worth


def windows_of(blocks: Blocks, steps: int) -> list[tuple[int, int]]:
    """Return windows of about `steps` that cover the year: billing months where a demand charge ties them together."""
    total = len(blocks.load)
    if blocks.month is not None:
        if bool((np.diff(blocks.month) < 0).any()):
            return [(0, total)]
        edges = [0, *(np.flatnonzero(np.diff(blocks.month)) + 1).tolist(), total]
    else:
        edges = np.linspace(0, total, max(round(total / steps), 1) + 1).astype(int).tolist()
    return [(a, b) for a, b in pairwise(edges) if b > a]
