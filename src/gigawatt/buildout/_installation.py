"""How many racks stand, and how many can be placed in a period: curves over time from a schedule.

Shapes: S samples, K tasks, T times, P periods. Seconds from the start of the build.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gigawatt.buildout._critical_path import ScheduleSamples
from gigawatt.buildout._tasks import TaskNetwork

Array = NDArray[np.float64]


def installed(
    network: TaskNetwork,
    samples: ScheduleSamples,
    times_s: Sequence[float] | Array,
    *,
    kind: str = "racks",
    whole: bool = False,
) -> Array:
    """Return the work done by the tasks of a kind at every time, (S, T): racks placed, by default.

    Work grows evenly from the start to the end of a task, as racks are placed one by one; with `whole` it counts only
    when the task has ended, as racks that are accepted hall by hall (kind "acceptance"). Raises ValueError where no
    task of the kind counts work.
    """
    times = np.asarray(times_s, dtype=np.float64)
    done = np.zeros((len(samples.end_s), len(times)))
    members = [k for k, task in enumerate(network.tasks) if task.sort == kind and task.work > 0.0]
    if not members:
        raise ValueError(f"no task of kind {kind!r} counts work")
    for k in members:
        start, end = samples.start_s[:, k, None], samples.end_s[:, k, None]
        length = end - start
        if whole:
            share = (times >= end).astype(np.float64)
        else:
            part = np.clip((times - start) / np.where(length > 0.0, length, 1.0), 0.0, 1.0)
            share = np.where(length > 0.0, part, times >= end)
        done += network.tasks[k].work * share
    return done


def installation_rate(
    network: TaskNetwork,
    samples: ScheduleSamples,
    edges_s: Sequence[float] | Array,
    *,
    kind: str = "racks",
    whole: bool = False,
) -> Array:
    """Return the work done in every period between `edges_s` (P + 1), (S, P): racks placed, by default.

    Times 72 (or what a rack holds) these are the accelerators that the site can take in a period. Raises ValueError as
    `installed` does, and for edges that do not rise.
    """
    edges = np.asarray(edges_s, dtype=np.float64)
    if len(edges) < 2 or not bool((np.diff(edges) > 0.0).all()):
        raise ValueError("edges_s must hold two or more rising times")
    return np.diff(installed(network, samples, edges, kind=kind, whole=whole), axis=1)
