"""When the tasks of a network start and end, in columns over samples, and which of them hold up the end.

Without resources this is the critical path method (Kelley and Walker 1959): a forward pass for the earliest times, a
backward pass for the slack. With resources, `_dispatch` starts tasks in the order of time, late start first. Samples
whose critical-path times already respect every resource keep them: both ways agree there.

Shapes: S samples, K tasks. Times are seconds from the start of the build.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gigawatt.buildout._dispatch import Dispatched, dispatch
from gigawatt.buildout._tasks import TaskNetwork

Array = NDArray[np.float64]
Places = NDArray[np.int64]
# A task with less slack than this is critical: far below what a schedule can know, far above rounding.
NO_SLACK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSamples:
    """Times of K tasks in S samples.

    `start_s`, `end_s`, `slack_s` (S, K): slack is how much later a task may end without a later end of the whole,
    where crews go from task to task as they did. `wait_s` (S, K): how long a task that could start waited for its
    resource. `driver` (S, K): the place of the task whose end let this one start (the last one waited for, or the one
    that gave up the crew), -1 where a date or the start of the build did. `total_s` (S,): the end of the last task.
    `critical` (K,): the criticality index, the share of samples in which a task has no slack.
    """

    start_s: Array
    end_s: Array
    slack_s: Array
    wait_s: Array
    driver: Places
    total_s: Array
    critical: Array

    def reached_s(self, tasks: Sequence[int]) -> Array:
        """Return when the last of these tasks has ended, (S,)."""
        return np.asarray(self.end_s[:, list(tasks)].max(axis=1))

    def chains(self, tasks: Sequence[int]) -> Places:
        """Return the chain of drivers that ends with the last of `tasks`, last task first, -1 behind its end, (S, L).

        The time at which a milestone is reached is the sum of the durations and lags on that chain after its first
        date.
        """
        rows = np.arange(len(self.end_s))
        last = np.asarray(tasks, dtype=np.int64)[self.end_s[:, list(tasks)].argmax(axis=1)]
        links = [last]
        while True:
            last = np.where(last >= 0, self.driver[rows, last], -1)
            if not bool((last >= 0).any()):
                return np.stack(links, axis=1)
            links.append(last)

    def on_path(self, tasks: Sequence[int]) -> NDArray[np.bool_]:
        """Return which tasks lie on the chain of drivers that ends with the last of `tasks`, (S, K).

        The mean over the samples is the rate at which the milestone moves when a task takes longer.
        """
        chain = np.zeros((len(self.end_s), self.end_s.shape[1] + 1), dtype=np.bool_)  # the last column takes the -1
        np.put_along_axis(chain, self.chains(tasks), True, axis=1)
        return chain[:, :-1]


def schedule_tasks(network: TaskNetwork, durations_s: Array) -> ScheduleSamples:
    """Return the times of all tasks for durations (S, K) in seconds, in the order of `network.tasks`.

    Raises ValueError for another shape or a negative duration.
    """
    durations = np.asarray(durations_s, dtype=np.float64)
    if durations.ndim != 2 or durations.shape[1] != len(network) or len(durations) == 0:
        raise ValueError(f"durations_s must have shape (samples, {len(network)}), not {durations.shape}")
    if not bool((durations >= 0.0).all()):  # also catches what is not a number
        raise ValueError("durations_s must not be negative")
    start, driver = forward(network, durations)
    end = start + durations
    finish = end.max(axis=1)[:, None]
    slack = _late_end(network, durations, finish) - end
    wait = np.zeros_like(start)
    if rows := np.flatnonzero(exceeds(network, start, end)).tolist():
        late = late_start(network, network.best_s())[0]
        run: Dispatched = dispatch(network, durations[rows], late)
        start[rows], end[rows], driver[rows], wait[rows] = run.start_s, run.end_s, run.driver, run.wait_s
        slack[rows] = run.slack_s
    slack = np.maximum(slack, 0.0)
    return ScheduleSamples(
        start_s=start,
        end_s=end,
        slack_s=slack,
        wait_s=wait,
        driver=driver,
        total_s=end.max(axis=1),
        critical=(slack < NO_SLACK_S).mean(axis=0),
    )


def forward(network: TaskNetwork, durations: Array) -> tuple[Array, Places]:
    """Return the earliest start of every task without resources, and its driver, both (S, K).

    start = max(not_before, max over the tasks waited for of (end + lag)).
    """
    # one row per task while we walk the network, so that every step touches one stretch of memory
    length = np.ascontiguousarray(durations.T)
    start, end = np.empty_like(length), np.empty_like(length)
    driver = np.full(length.shape, -1, dtype=np.int64)
    before = network.before()
    for k in network.order():
        task = network.tasks[k]
        start[k] = task.not_before_s
        for p in before[k]:
            ready = end[p] + task.lag_s
            later = (ready > start[k]) | ((driver[k] < 0) & (ready >= start[k]))
            start[k] = np.where(later, ready, start[k])
            driver[k] = np.where(later, p, driver[k])
        end[k] = start[k] + length[k]
    return np.ascontiguousarray(start.T), np.ascontiguousarray(driver.T)


def late_start(network: TaskNetwork, durations: Array) -> Array:
    """Return the latest start of every task that leaves the end of the whole where it is, without resources, (S, K)."""
    start, _ = forward(network, durations)
    return _late_end(network, durations, (start + durations).max(axis=1)[:, None]) - durations


def _late_end(network: TaskNetwork, durations: Array, finish: Array) -> Array:
    """Return the latest end of every task for an end of the whole `finish` (S, 1): the backward pass."""
    late = np.repeat(finish.T, len(network), axis=0)
    before = network.before()
    for k in reversed(network.order()):
        latest = late[k] - durations[:, k] - network.tasks[k].lag_s
        for p in before[k]:
            np.minimum(late[p], latest, out=late[p])
    return np.ascontiguousarray(late.T)


def exceeds(network: TaskNetwork, start: Array, end: Array) -> NDArray[np.bool_]:
    """Return in which samples (S,) these times need more of some resource than there is.

    Use only rises when a task starts, so it is summed at every start.
    """
    over = np.zeros(len(start), dtype=np.bool_)
    for resource, capacity in network.resources.items():
        places = [k for k, task in enumerate(network.tasks) if task.resource == resource]
        units = np.array([network.tasks[k].units for k in places])
        if units.sum() <= capacity:
            continue
        begins, ends = start[:, places], end[:, places]
        for i in range(len(places)):
            moment = begins[:, i, None]
            over |= ((begins <= moment) & (ends > moment)) @ units > capacity
    return over
