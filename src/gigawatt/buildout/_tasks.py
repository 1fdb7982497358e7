"""The tasks of a build as a network: durations with spread, what each waits for, and the crews they share.

Seconds inside. A task starts when the last task that it waits for has ended (finish to start) and `lag_s` has passed,
not before `not_before_s`, and when its resource has `units` free; it then keeps them until it ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.buildout._task_checks import check_network, topological

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task of a build.

    `low_s`, `best_s`, `high_s` are the 10 %, 50 % and 90 % points of its duration. `units` of `resource` ("" for none)
    are held from start to end. `work` counts what the task does (racks, joules; 0 where nothing is counted), so that
    `work / duration` is its rate. Tasks of one `kind` are the same task in several halls; tasks of one `trade` share
    contractors, suppliers or authorities: both are correlated (`sample_durations`).
    Raises ValueError unless 0 <= low <= best <= high, all are finite and units are at least 1.
    """

    name: str
    low_s: float
    best_s: float
    high_s: float
    after: tuple[str, ...] = ()
    lag_s: float = 0.0
    resource: str = ""
    units: int = 1
    not_before_s: float = 0.0
    work: float = 0.0
    work_unit: str = ""
    kind: str = ""
    trade: str = ""
    label: str = ""
    assumption: str = ""

    def __post_init__(self) -> None:
        times = (self.low_s, self.best_s, self.high_s, self.lag_s, self.not_before_s, self.work)
        if not all(map(math.isfinite, times)) or not 0.0 <= self.low_s <= self.best_s <= self.high_s:
            raise ValueError(f"task {self.name!r} needs finite 0 <= low_s <= best_s <= high_s")
        if (self.low_s == 0.0) != (self.high_s == 0.0):
            raise ValueError(f"task {self.name!r} needs a duration above 0 at every end, or 0 at all of them")
        if self.units < 1 or min(self.lag_s, self.not_before_s, self.work) < 0.0:
            raise ValueError(f"task {self.name!r} needs units >= 1 and no negative lag_s, not_before_s or work")

    @classmethod
    def fixed(cls, name: str, duration_s: float, **fields: Any) -> Task:
        """Return a task whose duration is known."""
        return cls(name=name, low_s=duration_s, best_s=duration_s, high_s=duration_s, **fields)

    @property
    def sort(self) -> str:
        """The kind, or the name of a task that has no siblings."""
        return self.kind or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskNetwork:
    """Tasks (K), the units of every resource, and milestones: a milestone is reached when all its tasks have ended.

    Raises InputError, with every mistake, for names that occur twice or are unknown; InfeasibleError, with the smallest
    change that helps, for tasks that wait for one another in a circle or need more of a resource than there is.
    """

    tasks: tuple[Task, ...]
    resources: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    milestones: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    title: str = "build"

    def __post_init__(self) -> None:
        check_network(self.tasks, self.resources, self.milestones)

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def names(self) -> tuple[str, ...]:
        """The name of every task, (K,)."""
        return tuple(task.name for task in self.tasks)

    def index(self) -> dict[str, int]:
        """Return the place of every task by name."""
        return {task.name: i for i, task in enumerate(self.tasks)}

    def before(self) -> tuple[tuple[int, ...], ...]:
        """Return the places of the tasks that each task waits for, (K) tuples."""
        place = self.index()
        return tuple(tuple(dict.fromkeys(place[name] for name in task.after)) for task in self.tasks)

    def order(self) -> tuple[int, ...]:
        """Return the places of the tasks so that each comes after all that it waits for."""
        return topological(self.before())

    def best_s(self) -> Array:
        """Return the best durations, (1, K)."""
        return np.array([[task.best_s for task in self.tasks]], dtype=np.float64)

    def milestone_tasks(self, milestone: str) -> tuple[int, ...]:
        """Return the places of the tasks of a milestone; a task is its own milestone; "" means all tasks."""
        place = self.index()
        if not milestone:
            return tuple(range(len(self.tasks)))
        return tuple(place[name] for name in self.milestones.get(milestone, (milestone,)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "title": self.title,
            "resources": dict(self.resources),
            "milestones": {name: list(tasks) for name, tasks in self.milestones.items()},
            "tasks": [
                {
                    "name": task.name,
                    "label": task.label or task.name,
                    "after": list(task.after),
                    "low_s": task.low_s,
                    "best_s": task.best_s,
                    "high_s": task.high_s,
                    "lag_s": task.lag_s,
                    "not_before_s": task.not_before_s,
                    "resource": task.resource,
                    "units": task.units,
                    "work": task.work,
                    "work_unit": task.work_unit,
                    "assumption": task.assumption,
                }
                for task in self.tasks
            ],
        }
