"""Tasks that share resources, started in the order of time: a schedule-generation scheme, in columns over samples.

In every sample, of all tasks whose predecessors are placed, the one that can start first is placed next; among tasks
that can start at the same moment (they wait for the same crew) the one with the earliest late start goes first, then
the one listed first. The late start is that of the best durations, not of the sample: whoever leads the works does not
know how long tasks will take. This is the parallel scheme of Kolisch (1996, "Serial and parallel resource-constrained
project scheduling methods revisited") with the rule LST. No crew idles while a task that it could do is ready, and
nobody books a crew ahead. As with every such rule a shorter task may now and then delay the end (Graham 1969).

A resource is a row of units, each with the time at which it is free next; a task takes the ones that are free first.
Shapes: S samples, K tasks, U units of a resource.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gigawatt.buildout._tasks import TaskNetwork

Array = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """Start, end, slack and wait in seconds and the driver of every task, all (S, K) (see ScheduleSamples)."""

    start_s: Array
    end_s: Array
    slack_s: Array
    wait_s: Array
    driver: Places


@dataclass(frozen=True, slots=True)
class _Links:
    """Links between tasks as one run of places per task: those of task k are places[first[k] : first[k + 1]]."""

    first: Places
    places: Places

    @classmethod
    def of(cls, lists: list[list[int]]) -> _Links:
        first = np.concatenate(([0], np.cumsum([len(items) for items in lists]))).astype(np.int64)
        return cls(first, np.array([item for items in lists for item in items], dtype=np.int64))

    def of_each(self, tasks: Places) -> tuple[Places, Places]:
        """Return (row, place) of every link of tasks[row]."""
        count = self.first[tasks + 1] - self.first[tasks]
        row = np.repeat(np.arange(len(tasks)), count)
        offset = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        return row, self.places[self.first[tasks][row] + offset]


@dataclass(slots=True)
class _Resource:
    """The units of one resource, sorted by when they are free: `free_s`, `owner` (S, U); its tasks, (n,)."""

    free_s: Array
    owner: Places
    tasks: Places
    units: Places


class _Run:
    """The state of a dispatch; tasks are numbered by priority, so that the first of equals is the one to start."""

    def __init__(self, network: TaskNetwork, durations: Array, late_start: Array) -> None:
        samples, count = durations.shape
        self.rank = np.lexsort((np.arange(count), late_start))
        place = np.argsort(self.rank)
        tasks = [network.tasks[k] for k in self.rank]
        before = network.before()
        self.before = [[int(place[p]) for p in before[k]] for k in self.rank]
        later: list[list[int]] = [[] for _ in tasks]
        for k, items in enumerate(self.before):
            for p in items:
                later[p].append(k)
        self.later, self.earlier = _Links.of(later), _Links.of(self.before)
        self.length = durations[:, self.rank]
        self.lag = np.array([task.lag_s for task in tasks])
        self.ready = np.tile(np.array([task.not_before_s for task in tasks]), (samples, 1))
        self.missing = np.tile(np.array([len(items) for items in self.before]), (samples, 1))
        self.driver = np.full((samples, count), -1, dtype=np.int64)
        self.start, self.end = np.zeros((samples, count)), np.zeros((samples, count))
        self.sequence = np.zeros((samples, count), dtype=np.int64)
        units = {name: [t.units for t in tasks if t.resource == name] for name in network.resources}
        names = [name for name, held in units.items() if sum(held) > network.resources[name]]  # others never bind
        step = {name: math.gcd(*units[name]) for name in names}  # units that only ever go together count as one
        self.kind = np.array([names.index(task.resource) if task.resource in names else -1 for task in tasks])
        self.units = np.array([task.units // step.get(task.resource, 1) for task in tasks])
        self.units[self.kind < 0] = 0
        self.taken = np.full((samples, count, int(self.units.max(initial=0))), -1, dtype=np.int32)
        self.resources = []
        for r, name in enumerate(names):
            shape, mine = (samples, network.resources[name] // step[name]), np.flatnonzero(self.kind == r)
            free, owner = np.zeros(shape), np.full(shape, -1, dtype=np.int64)
            self.resources.append(_Resource(free, owner, mine, self.units[mine]))
        # when each task can start; infinite once it is placed and as long as something that it waits for is not
        self.can = np.where(self.missing == 0, self.ready, np.inf)

    def place_all(self) -> None:
        rows = np.arange(len(self.can))
        for step in range(self.can.shape[1]):
            task = self.can.argmin(axis=1)
            self.sequence[:, step] = task
            start = self.can[rows, task]
            end = start + self.length[rows, task]
            self.start[rows, task], self.end[rows, task], self.can[rows, task] = start, end, np.inf
            for r, resource in enumerate(self.resources):
                mine = np.flatnonzero(self.kind[task] == r)
                if len(mine):
                    self._take(resource, mine, task[mine], end[mine])
            self._tell(task, end)

    def _take(self, resource: _Resource, rows: Places, task: Places, end: Array) -> None:
        """Give the units that are free first to the tasks of these samples, and say when others can start now."""
        units = self.units[task]
        free, owner = resource.free_s[rows], resource.owner[rows]
        gives = np.arange(free.shape[1]) < units[:, None]
        widest = int(units.max())
        self.taken[rows, task, :widest] = np.where(gives[:, :widest], owner[:, :widest], -1)
        last = units - 1
        each = np.arange(len(rows))
        waits = free[each, last] > self.ready[rows, task]
        self.driver[rows, task] = np.where(waits, owner[each, last], self.driver[rows, task])
        free = np.where(gives, end[:, None], free)
        owner = np.where(gives, task[:, None], owner)
        sort = np.argsort(free, axis=1, kind="stable")
        resource.free_s[rows] = free = np.take_along_axis(free, sort, axis=1)
        resource.owner[rows] = np.take_along_axis(owner, sort, axis=1)
        cells = np.ix_(rows, resource.tasks)
        can = self.can[cells]
        self.can[cells] = np.where(np.isfinite(can), np.maximum(can, free[:, resource.units - 1]), can)

    def _tell(self, task: Places, end: Array) -> None:
        """Let the tasks that waited for these know; those that wait for nothing more can start."""
        row, later = self.later.of_each(task)
        ready = end[row] + self.lag[later]
        known = self.ready[row, later]
        drives = (ready > known) | ((self.driver[row, later] < 0) & (ready >= known))
        self.driver[row[drives], later[drives]] = task[row[drives]]
        self.ready[row, later] = np.maximum(known, ready)
        self.missing[row, later] -= 1
        done = self.missing[row, later] == 0
        row, later = row[done], later[done]
        self.can[row, later] = self.ready[row, later]
        for r, resource in enumerate(self.resources):
            mine = self.kind[later] == r
            rows, tasks = row[mine], later[mine]
            free = resource.free_s[rows, self.units[tasks] - 1]
            self.can[rows, tasks] = np.maximum(self.can[rows, tasks], free)

    def late_end(self) -> Array:
        """Return the latest end of every task, where tasks and crews follow one another as they did: backward pass."""
        rows = np.arange(len(self.end))
        late = np.repeat(self.end.max(axis=1)[:, None], self.end.shape[1], axis=1)
        for step in range(self.end.shape[1] - 1, -1, -1):
            task = self.sequence[:, step]
            latest = late[rows, task] - self.length[rows, task]
            row, before = self.earlier.of_each(task)
            late[row, before] = np.minimum(late[row, before], (latest - self.lag[task])[row])
            for u in range(int(self.units[task].max(initial=0))):
                owner = self.taken[rows, task, u]
                mine = np.flatnonzero(owner >= 0)
                late[mine, owner[mine]] = np.minimum(late[mine, owner[mine]], latest[mine])
        return late


def dispatch(network: TaskNetwork, durations_s: Array, late_start_s: Array) -> Dispatched:
    """Return the times of all tasks for durations (S, K), with priorities by `late_start_s` (K,), lowest first."""
    run = _Run(network, durations_s, late_start_s)
    run.place_all()
    place = np.argsort(run.rank)
    driver = np.where(run.driver >= 0, run.rank[run.driver], -1)
    return Dispatched(
        start_s=run.start[:, place],
        end_s=run.end[:, place],
        slack_s=(run.late_end() - run.end)[:, place],
        wait_s=(run.start - run.ready)[:, place],
        driver=driver[:, place],
    )
