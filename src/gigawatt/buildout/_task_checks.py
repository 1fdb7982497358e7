"""What can be wrong with a network of tasks, said with the smallest change that puts it right."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from gigawatt.errors import InfeasibleError, InputError, Problem, nearest_name

Link = tuple[str, str]  # (task that is waited for, task that waits)
# Trials of the exact search for the fewest links; beyond them one link of every circle is dropped in turn.
TRIALS = 20_000


class _Task(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def after(self) -> tuple[str, ...]: ...
    @property
    def resource(self) -> str: ...
    @property
    def units(self) -> int: ...


def check_network(
    tasks: Sequence[_Task], resources: Mapping[str, int], milestones: Mapping[str, tuple[str, ...]]
) -> None:
    """Raise InputError for names, InfeasibleError for circles and for resources that are never enough."""
    problems = _names(tasks, resources, milestones)
    if problems:
        raise InputError(problems)
    circle = find_circle({task.name: task.after for task in tasks})
    if circle:
        links = fewest_links({task.name: task.after for task in tasks})
        remedy = "; ".join(f"let {task!r} no longer wait for {before!r}" for before, task in links)
        path = " -> ".join((*circle, circle[0]))
        message = (
            f"tasks wait for one another in a circle: {path}. The smallest change that breaks every circle: {remedy}"
        )
        raise InfeasibleError(message, constraint="tasks.after", remedy=remedy)
    _enough(tasks, resources)


def _names(
    tasks: Sequence[_Task], resources: Mapping[str, int], milestones: Mapping[str, tuple[str, ...]]
) -> list[Problem]:
    names = [task.name for task in tasks]
    problems = [
        Problem(message="two tasks have this name", path=f"tasks.{name}", found=repr(name))
        for name, count in Counter(names).items()
        if count > 1
    ]
    known = set(names)
    wanted = [(f"tasks.{task.name}.after", name) for task in tasks for name in task.after]
    wanted += [(f"milestones.{milestone}", name) for milestone, parts in milestones.items() for name in parts]
    problems += [_unknown("task", path, name, names) for path, name in wanted if name not in known]
    problems += [
        _unknown("resource", f"tasks.{task.name}.resource", task.resource, list(resources))
        for task in tasks
        if task.resource and task.resource not in resources
    ]
    return problems


def _unknown(what: str, path: str, name: str, names: Sequence[str]) -> Problem:
    return Problem(message=f"no {what} has this name", path=path, found=repr(name), nearest=nearest_name(name, names))


def _enough(tasks: Sequence[_Task], resources: Mapping[str, int]) -> None:
    most: dict[str, _Task] = {}
    for task in tasks:
        if task.resource and task.units > resources[task.resource]:
            known = most.get(task.resource)
            most[task.resource] = task if known is None or task.units > known.units else known
    if not most:
        return
    short = [
        f"task {task.name!r} holds {task.units} of {resource!r} at once and there are {resources[resource]}: {task.units - resources[resource]} too few"
        for resource, task in most.items()
    ]
    remedy = "; ".join(f"raise {resource!r} to {task.units}" for resource, task in most.items())
    message = f"{'; '.join(short)}. The smallest change: {remedy}"
    raise InfeasibleError(message, constraint=f"resources.{next(iter(most))}", remedy=remedy)


def topological(before: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Return 0..K-1 so that each comes after all of `before`, the lowest first among those that may come next.

    A shorter answer than K means a circle.
    """
    waiting = [len(set(items)) for items in before]
    later: list[list[int]] = [[] for _ in before]
    for task, items in enumerate(before):
        for item in set(items):
            later[item].append(task)
    ready = [task for task, count in enumerate(waiting) if count == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        task = heapq.heappop(ready)
        order.append(task)
        for item in later[task]:
            waiting[item] -= 1
            if waiting[item] == 0:
                heapq.heappush(ready, item)
    return tuple(order)


def find_circle(after: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return one shortest circle of tasks, each waited for by the next, or () where there is none."""
    names = list(after)
    place = {name: i for i, name in enumerate(names)}
    left = set(range(len(names))) - set(topological([[place[name] for name in after[task]] for task in names]))
    best: tuple[str, ...] = ()
    for i in sorted(left):
        path = _shortest_back(names[i], after, len(best))
        if path and (not best or len(path) < len(best)):
            best = path
    return best


def _shortest_back(start: str, after: Mapping[str, Sequence[str]], limit: int) -> tuple[str, ...]:
    """Return the shortest circle through `start` in the direction of time, or () where none is below `limit` (0: any)."""
    came: dict[str, str] = {}
    front, steps = [start], 0
    while front and (not limit or steps < limit):
        steps += 1
        further = []
        for task in front:
            for before in after[task]:
                if before == start:
                    path = [task]
                    while path[-1] != start:
                        path.append(came[path[-1]])
                    return tuple(path)
                if before not in came:
                    came[before] = task
                    further.append(before)
        front = further
    return ()


def fewest_links(after: Mapping[str, Sequence[str]]) -> tuple[Link, ...]:
    """Return the fewest links (before, task) without which no circle is left.

    Every circle must lose a link, so the search drops each link of a shortest circle in turn, with one link more
    allowed each round: exact (minimum feedback arc set) up to TRIALS trials, one link of each circle after that.
    """
    trials = [TRIALS]
    depth = 1
    while trials[0] > 0:
        found = _drop(after, depth, trials)
        if found is not None:
            return found
        depth += 1
    links: list[Link] = []
    rest = dict(after)
    while circle := find_circle(rest):
        links.append((circle[-1], circle[0]))
        rest = _without(rest, links[-1])
    return tuple(links)


def _drop(after: Mapping[str, Sequence[str]], depth: int, trials: list[int]) -> tuple[Link, ...] | None:
    trials[0] -= 1
    circle = find_circle(after)
    if not circle:
        return ()
    if depth == 0 or trials[0] <= 0:
        return None
    for before, task in zip(circle, (*circle[1:], circle[0]), strict=True):
        found = _drop(_without(after, (before, task)), depth - 1, trials)
        if found is not None:
            return ((before, task), *found)
    return None


def _without(after: Mapping[str, Sequence[str]], link: Link) -> dict[str, Sequence[str]]:
    before, task = link
    return {**after, task: tuple(name for name in after[task] if name != before)}
