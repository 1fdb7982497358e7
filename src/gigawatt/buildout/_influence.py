"""Which delay matters most: what every task does to the date of a milestone.

Shapes: S samples, K tasks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.buildout._critical_path import ScheduleSamples, schedule_tasks
from gigawatt.buildout._tasks import TaskNetwork

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence:
    """What the tasks of one kind do to the date of a milestone.

    `days_per_day`: expected days by which the milestone moves when each of them takes a day longer (their mean number
    on the chain that ends with it; exact for small delays). `rank_correlation`: Spearman's, of their summed duration
    with the date. `variance_share`: the share of the variance of the date that would go if that duration were known
    (first-order Sobol index; shares of correlated tasks overlap, so they need not sum to 1). `spread_s`: the distance
    between the 10 % and 90 % points of their summed duration, seconds.
    """

    kind: str
    label: str
    days_per_day: float
    rank_correlation: float
    variance_share: float
    spread_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def influences(
    network: TaskNetwork, durations_s: Array, samples: ScheduleSamples, milestone: str = ""
) -> tuple[Influence, ...]:
    """Return what every kind of task does to a milestone ("": the end of all), the largest effect first.

    Largest means `days_per_day` times the spread of the duration: the days that the task can cost.
    """
    places = network.milestone_tasks(milestone)
    date, chain = samples.reached_s(places), samples.on_path(places)
    kinds: dict[str, list[int]] = {}
    for k, task in enumerate(network.tasks):
        kinds.setdefault(task.sort, []).append(k)
    columns = np.stack([durations_s[:, members].sum(axis=1) for members in kinds.values()], axis=1)
    rank, share = spearman(columns, date), variance_shares(columns, date)
    low, high = np.quantile(columns, (0.1, 0.9), axis=0)
    found = [
        Influence(
            kind=kind,
            label=network.tasks[members[0]].label.split(": ")[-1] or kind,
            days_per_day=float(chain[:, members].sum(axis=1).mean()),
            rank_correlation=float(rank[i]),
            variance_share=float(share[i]),
            spread_s=float(high[i] - low[i]),
        )
        for i, (kind, members) in enumerate(kinds.items())
    ]
    weight = {f.kind: f.days_per_day * f.spread_s / len(kinds[f.kind]) for f in found}
    return tuple(sorted(found, key=lambda f: (-weight[f.kind], -f.days_per_day)))


def ranks(values: Array) -> Array:
    """Return the ranks of every column (S, N) from 0 on; equal values share their mean rank."""
    out = np.empty(values.shape)
    for n, column in enumerate(values.T):
        _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
        last = np.cumsum(counts)
        out[:, n] = (last - (counts + 1) / 2)[inverse]
    return out


def spearman(columns: Array, date: Array) -> Array:
    """Return the rank correlation of every column (S, N) with `date` (S,); 0 where one of them does not vary."""
    x, y = ranks(columns), ranks(date[:, None])
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    scale = np.sqrt((x * x).sum(axis=0) * (y * y).sum(axis=0))
    return np.asarray(np.where(scale > 0.0, (x * y).sum(axis=0) / np.where(scale > 0.0, scale, 1.0), 0.0))


def variance_shares(columns: Array, date: Array) -> Array:
    """Return Var(E[date | column]) / Var(date) of every column (S, N), estimated from the samples themselves.

    Samples are cut into about sqrt(S) / 2 classes of equal size by the column; the variance of the class means, less
    what chance alone gives them, over the variance of the date (Plischke, Borgonovo and Smith 2013). Between 0 and 1.
    """
    count, total = len(date), float(date.var())
    classes = max(2, round(np.sqrt(count) / 2))
    share = np.zeros(columns.shape[1])
    if total <= 0.0 or count < 2 * classes:
        return share
    edges = np.linspace(0, count, classes + 1).astype(int)
    for n, column in enumerate(columns.T):
        if column.min() == column.max():
            continue
        parts = np.split(date[np.argsort(column, kind="stable")], edges[1:-1])
        within = sum(float(((part - part.mean()) ** 2).sum()) for part in parts) / (count - classes)
        share[n] = min(1.0, max(0.0, 1.0 - within / (total * count / (count - 1))))
    return share


def delayed_s(
    network: TaskNetwork, durations_s: Array, samples: ScheduleSamples, name: str, delay_s: float, milestone: str = ""
) -> Array:
    """Return by how many seconds the milestone moves, (S,), when a task, or every task of a kind, takes `delay_s` longer.

    Every sample is scheduled again with the same draws, so the answer holds for delays of any size. Raises ValueError
    for an unknown name.
    """
    members = [k for k, task in enumerate(network.tasks) if name in (task.name, task.sort)]
    if not members:
        raise ValueError(f"no task or kind of task is called {name!r}")
    longer = durations_s.copy()
    longer[:, members] += delay_s
    places = network.milestone_tasks(milestone)
    return schedule_tasks(network, longer).reached_s(places) - samples.reached_s(places)


def more_units_s(
    network: TaskNetwork,
    durations_s: Array,
    samples: ScheduleSamples,
    resource: str,
    more: int = 1,
    milestone: str = "",
) -> Array:
    """Return by how many seconds the milestone moves, (S,), with `more` units of a resource: what a crew more is worth.

    Every sample is scheduled again with the same draws. Tasks hold as many units as before, so that the gain comes
    from tasks side by side. Raises ValueError for an unknown resource.
    """
    if resource not in network.resources:
        raise ValueError(f"no resource is called {resource!r}")
    wider = replace(network, resources={**network.resources, resource: network.resources[resource] + more})
    places = network.milestone_tasks(milestone)
    return schedule_tasks(wider, durations_s).reached_s(places) - samples.reached_s(places)
