from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.buildout import Task, TaskNetwork, late_start, schedule_tasks
from gigawatt.buildout._critical_path import NO_SLACK_S, exceeds, forward
from gigawatt.buildout._dispatch import dispatch

Drawn = tuple[TaskNetwork, np.ndarray]

# Hillier and Lieberman, Introduction to Operations Research, "Reliable Construction Co.": weeks and predecessors.
RELIABLE: Mapping[str, tuple[float, str]] = {
    "A": (2, ""),
    "B": (4, "A"),
    "C": (10, "B"),
    "D": (6, "C"),
    "E": (4, "C"),
    "F": (5, "E"),
    "G": (7, "D"),
    "H": (9, "EG"),
    "I": (7, "C"),
    "J": (8, "FI"),
    "K": (4, "J"),
    "L": (5, "J"),
    "M": (2, "H"),
    "N": (6, "KL"),
}


def reliable() -> TaskNetwork:
    return TaskNetwork(tasks=tuple(Task.fixed(n, d, after=tuple(after)) for n, (d, after) in RELIABLE.items()))


def longest_paths(network: TaskNetwork, durations: Sequence[float]) -> list[float]:
    """Return the earliest end of every task, by recursion over all that it waits for."""
    place = network.index()

    @cache
    def end(k: int) -> float:
        task = network.tasks[k]
        ready = [end(place[name]) + task.lag_s for name in task.after]
        return float(max([task.not_before_s, *ready]) + durations[k])

    return [end(k) for k in range(len(network))]


def all_paths(network: TaskNetwork) -> list[tuple[int, ...]]:
    """Return every chain of tasks from one that waits for nothing to one that nothing waits for."""
    place = network.index()
    waited = {name for task in network.tasks for name in task.after}

    def back(k: int) -> list[tuple[int, ...]]:
        before = [place[name] for name in network.tasks[k].after]
        return [(*path, k) for p in before for path in back(p)] if before else [(k,)]

    return [path for k, task in enumerate(network.tasks) if task.name not in waited for path in back(k)]


def most_used(network: TaskNetwork, resource: str, start: np.ndarray, end: np.ndarray) -> int:
    """Return the most units of a resource in use at once in one sample, event by event."""
    events = []
    for k, task in enumerate(network.tasks):
        if task.resource == resource and end[k] > start[k]:
            events += [(start[k], 1, task.units), (end[k], 0, -task.units)]
    used = most = 0
    for _, _, change in sorted(events):
        used += change
        most = max(most, used)
    return most


@st.composite
def networks(draw: st.DrawFn, *, resources: bool = True, most: int = 9) -> tuple[TaskNetwork, np.ndarray]:
    """Draw a network and durations of a few samples in it, as whole numbers so that times can be compared exactly."""
    count = draw(st.integers(1, most))
    capacity = {"crew": draw(st.integers(1, 3)), "crane": draw(st.integers(1, 2))} if resources else {}
    tasks = []
    for k in range(count):
        fields: dict[str, Any] = {"lag_s": float(draw(st.sampled_from([0, 0, 0, 2])))}
        before = draw(st.lists(st.integers(0, k - 1), max_size=3, unique=True)) if k else []
        if resources and (name := draw(st.sampled_from(["", "crew", "crane"]))):
            fields |= {"resource": name, "units": draw(st.integers(1, capacity[name]))}
        fields["not_before_s"] = float(draw(st.sampled_from([0, 0, 5])))
        length = float(draw(st.integers(0, 9)))
        tasks.append(Task.fixed(f"t{k}", length, after=tuple(f"t{p}" for p in before), **fields))
    order = draw(st.permutations(range(count)))
    network = TaskNetwork(tasks=tuple(tasks[k] for k in order), resources=capacity)
    samples = draw(st.integers(1, 4))
    cells = draw(st.lists(st.integers(0, 9), min_size=samples * count, max_size=samples * count))
    return network, np.array(cells, dtype=float).reshape(samples, count)


def best_makespan(network: TaskNetwork, durations: Sequence[float], latest: int) -> float:
    """Return the earliest end that any choice of whole start times up to `latest` allows (small networks only)."""
    place, best = network.index(), float("inf")
    for starts in product(range(latest + 1), repeat=len(network)):
        start = np.array(starts, dtype=float)
        end = start + durations
        held = all(
            start[k] >= end[place[name]] + task.lag_s for k, task in enumerate(network.tasks) for name in task.after
        )
        if held and all(most_used(network, name, start, end) <= units for name, units in network.resources.items()):
            best = min(best, float(end.max()))
    return best


def test_the_textbook_project_takes_44_weeks_on_the_known_path() -> None:
    network = reliable()
    result = schedule_tasks(network, network.best_s())
    assert result.total_s.tolist() == [44.0]
    slack = dict(zip(network.names, result.slack_s[0].tolist(), strict=True))
    assert {name for name, value in slack.items() if value == 0} == set("ABCEFJLN")
    assert {name: value for name, value in slack.items() if value} == {"D": 4, "G": 4, "H": 4, "M": 4, "I": 2, "K": 1}
    chain = [network.names[k] for k in reversed(result.chains(network.milestone_tasks(""))[0].tolist())]
    assert chain == list("ABCEFJLN")


@given(networks(resources=False))
def test_without_resources_ends_are_longest_paths(drawn: Drawn) -> None:
    network, durations = drawn
    result = schedule_tasks(network, durations)
    for sample, row in enumerate(durations.tolist()):
        assert result.end_s[sample].tolist() == longest_paths(network, row)


@given(networks(resources=False, most=7))
def test_the_end_is_the_longest_of_all_paths_and_its_tasks_have_no_slack(drawn: Drawn) -> None:
    network, durations = drawn
    result = schedule_tasks(network, durations)
    for sample, row in enumerate(durations):
        longest = 0.0
        for path in all_paths(network):
            at = 0.0
            for k in path:
                first = not network.tasks[k].after
                at = max(network.tasks[k].not_before_s, at + (0.0 if first else network.tasks[k].lag_s)) + row[k]
            longest = max(longest, at)
        assert result.total_s[sample] == longest
        chain = [k for k in result.chains(network.milestone_tasks(""))[sample].tolist() if k >= 0]
        assert (result.slack_s[sample, chain] < NO_SLACK_S).all()


@given(networks())
def test_resources_are_never_exceeded_and_nothing_starts_before_its_critical_path_time(drawn: Drawn) -> None:
    network, durations = drawn
    result = schedule_tasks(network, durations)
    earliest, _ = forward(network, durations)
    assert (result.start_s >= earliest).all()
    assert (result.end_s == result.start_s + durations).all()
    assert (result.slack_s >= 0).all()
    place = network.index()
    for sample in range(len(durations)):
        start, end = result.start_s[sample], result.end_s[sample]
        for name, units in network.resources.items():
            assert most_used(network, name, start, end) <= units
        for k, task in enumerate(network.tasks):
            assert all(start[k] >= end[place[before]] + task.lag_s for before in task.after)


@given(networks(resources=False))
def test_dispatch_without_resources_is_the_critical_path_method(drawn: Drawn) -> None:
    network, durations = drawn
    run = dispatch(network, durations, late_start(network, network.best_s())[0])
    result = schedule_tasks(network, durations)
    assert (run.start_s == result.start_s).all()
    assert (run.slack_s == result.slack_s).all()
    assert (run.wait_s == 0).all()


@given(networks())
def test_dispatch_agrees_where_no_resource_binds(drawn: Drawn) -> None:
    network, durations = drawn
    start, _ = forward(network, durations)
    free = ~exceeds(network, start, start + durations)
    run = dispatch(network, durations, late_start(network, network.best_s())[0])
    waits = (durations == 0).any(axis=1)  # a task without a duration may still wait for a crew
    assert (run.start_s[free & ~waits] == start[free & ~waits]).all()


@given(networks())
def test_a_sample_does_not_depend_on_its_neighbours(drawn: Drawn) -> None:
    network, durations = drawn
    together = schedule_tasks(network, durations)
    for sample in range(len(durations)):
        alone = schedule_tasks(network, durations[sample : sample + 1])
        for name in ("start_s", "slack_s", "wait_s", "driver"):
            assert (getattr(together, name)[sample] == getattr(alone, name)[0]).all()


@given(networks())
def test_slack_is_what_a_task_may_lose_where_crews_go_as_they_went(drawn: Drawn) -> None:
    network, durations = drawn
    result = schedule_tasks(network, durations)
    assert (result.slack_s.min(axis=1) == 0).all()  # somebody is critical
    chains = result.chains(network.milestone_tasks(""))
    for sample, chain in enumerate(chains.tolist()):
        chain = [k for k in chain if k >= 0]
        assert (result.slack_s[sample, chain] < NO_SLACK_S).all()
        for later, driver in pairwise(chain):
            lag = network.tasks[later].lag_s if result.wait_s[sample, later] == 0 else 0.0
            assert result.start_s[sample, later] == result.end_s[sample, driver] + lag


@given(networks(resources=False), st.data())
def test_a_longer_task_never_makes_an_earlier_end(drawn: Drawn, data: st.DataObject) -> None:
    network, durations = drawn
    longer = durations.copy()
    longer[:, data.draw(st.integers(0, len(network) - 1))] += data.draw(st.integers(1, 5))
    assert (schedule_tasks(network, longer).end_s >= schedule_tasks(network, durations).end_s).all()


@given(networks(), st.data())
def test_the_chain_gives_the_rate_at_which_the_end_moves(drawn: Drawn, data: st.DataObject) -> None:
    """A little longer by much less than any gap between whole numbers: the end moves by that where the task is on it."""
    network, durations = drawn
    little, before = 1e-6, schedule_tasks(network, durations)
    if exceeds(network, *_ends(network, durations)).any():
        return  # with crews a tie may be broken the other way; the test of the templates covers them
    k = data.draw(st.integers(0, len(network) - 1))
    longer = durations.copy()
    longer[:, k] += little
    moved = schedule_tasks(network, longer).total_s - before.total_s
    on_path = before.on_path(network.milestone_tasks(""))[:, k]
    assert (moved[on_path] > 0.99 * little).all()


def _ends(network: TaskNetwork, durations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    start, _ = forward(network, durations)
    return start, start + durations


@settings(max_examples=15)
@given(networks(most=4))
def test_the_rule_is_at_most_twice_the_best_of_all_schedules(drawn: Drawn) -> None:
    network, durations = drawn
    row = np.minimum(durations[:1], 3.0)
    simple = TaskNetwork(
        tasks=tuple(Task.fixed(t.name, 1.0, after=t.after, resource=t.resource, units=t.units) for t in network.tasks),
        resources=network.resources,
    )
    total = float(schedule_tasks(simple, row).total_s[0])
    best = best_makespan(simple, row[0], int(min(total, 8)))
    assert best <= total <= 2 * best or total == 0


def test_late_start_goes_first_among_tasks_that_wait_for_one_crew() -> None:
    tasks = (
        Task.fixed("short tail", 1, resource="crew"),
        Task.fixed("long tail", 1, resource="crew"),
        Task.fixed("after it", 9, after=("long tail",)),
    )
    network = TaskNetwork(tasks=tasks, resources={"crew": 1})
    result = schedule_tasks(network, network.best_s())
    assert result.start_s[0].tolist() == [1.0, 0.0, 1.0]
    assert result.wait_s[0].tolist() == [1.0, 0.0, 0.0]
    assert result.driver[0].tolist() == [1, -1, 1]
    assert result.total_s[0] == 10.0


def test_crews_that_hand_over_carry_criticality() -> None:
    tasks = (Task.fixed("a", 4, resource="crew"), Task.fixed("b", 6, resource="crew"), Task.fixed("c", 1))
    network = TaskNetwork(tasks=tasks, resources={"crew": 1})
    result = schedule_tasks(network, network.best_s())
    assert result.slack_s[0].tolist() == [0.0, 0.0, 9.0]
    assert result.critical.tolist() == [1.0, 1.0, 0.0]


def test_the_criticality_index_is_the_share_of_samples() -> None:
    network = TaskNetwork(tasks=(Task.fixed("a", 1), Task.fixed("b", 1)))
    days = 86_400.0 * np.array([[3.0, 1.0], [3.0, 2.0], [1.0, 2.0], [2.0, 2.0]])
    assert schedule_tasks(network, days).critical.tolist() == [0.75, 0.5]


@pytest.mark.parametrize(
    "bad", [np.ones(2), np.ones((1, 3)), np.ones((0, 2)), -np.ones((1, 2)), np.full((1, 2), np.nan)]
)
def test_durations_of_another_shape_or_sign_are_refused(bad: np.ndarray) -> None:
    network = TaskNetwork(tasks=(Task.fixed("a", 1), Task.fixed("b", 1)))
    with pytest.raises(ValueError, match="durations_s"):
        schedule_tasks(network, bad)
