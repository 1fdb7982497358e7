from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatt.buildout import Task, TaskNetwork
from gigawatt.buildout._task_checks import fewest_links, find_circle, topological
from gigawatt.errors import InfeasibleError, InputError


def network(links: dict[str, str], **fields: object) -> TaskNetwork:
    return TaskNetwork(tasks=tuple(Task.fixed(n, 1.0, after=tuple(a)) for n, a in links.items()), **fields)  # type: ignore[arg-type]


def test_a_task_needs_an_ordered_range_and_no_negative_time() -> None:
    with pytest.raises(ValueError, match="low_s <= best_s <= high_s"):
        Task(name="a", low_s=2, best_s=1, high_s=3)
    with pytest.raises(ValueError, match="above 0 at every end"):
        Task(name="a", low_s=0, best_s=1, high_s=3)
    with pytest.raises(ValueError, match="no negative"):
        Task.fixed("a", 1, lag_s=-1)
    with pytest.raises(ValueError, match="finite"):
        Task.fixed("a", float("inf"))


def test_every_wrong_name_is_reported_with_the_nearest() -> None:
    tasks = (
        Task.fixed("permits", 1),
        Task.fixed("shell", 1, after=("permit",)),
        Task.fixed("racks", 1, resource="rack crew"),
    )
    with pytest.raises(InputError) as caught:
        TaskNetwork(tasks=tasks, resources={"rack crews": 2}, milestones={"done": ("rack",)})
    assert [(p.path, p.nearest) for p in caught.value.problems] == [
        ("tasks.shell.after", "permits"),
        ("milestones.done", "racks"),
        ("tasks.racks.resource", "rack crews"),
    ]


def test_two_tasks_of_one_name_are_an_error() -> None:
    with pytest.raises(InputError, match="two tasks have this name"):
        TaskNetwork(tasks=(Task.fixed("a", 1), Task.fixed("a", 2)))


def test_a_circle_is_named_with_the_smallest_change_that_breaks_it() -> None:
    with pytest.raises(InfeasibleError) as caught:
        network({"design": "", "permit": ("design", "shell"), "shell": ("permit",)})  # type: ignore[dict-item]
    assert caught.value.constraint == "tasks.after"
    assert "shell -> permit -> shell" in str(caught.value)
    assert caught.value.remedy.count("no longer wait for") == 1


def test_one_link_that_lies_on_two_circles_is_the_smallest_change() -> None:
    # a -> b -> c -> a and a -> b -> d -> a share the link a -> b
    links = {"a": ("c", "d"), "b": ("a",), "c": ("b",), "d": ("b",)}
    assert fewest_links(links) == (("a", "b"),)


def test_a_task_that_waits_for_itself_is_a_circle() -> None:
    with pytest.raises(InfeasibleError, match="a -> a"):
        network({"a": "a"})


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=8, unique=True))
def test_the_smallest_change_breaks_every_circle_and_no_smaller_one_does(links: list[tuple[int, int]]) -> None:
    def graph(kept: list[tuple[int, int]]) -> dict[str, tuple[str, ...]]:
        return {str(k): tuple(str(a) for a, b in kept if b == k) for k in range(5)}

    def acyclic(kept: list[tuple[int, int]]) -> bool:
        return len(topological([[a for a, b in kept if b == k] for k in range(5)])) == 5

    assert acyclic(links) == (find_circle(graph(links)) == ())
    fewest = min(
        mask.bit_count()
        for mask in range(1 << len(links))
        if acyclic([link for i, link in enumerate(links) if not mask >> i & 1])
    )
    dropped = {(int(a), int(b)) for a, b in fewest_links(graph(links))}
    assert len(dropped) == fewest
    assert acyclic([link for link in links if link not in dropped])


def test_a_resource_that_is_never_enough_says_by_how_much() -> None:
    tasks = (Task.fixed("a", 1, resource="crews", units=3), Task.fixed("b", 1, resource="crews", units=5))
    with pytest.raises(InfeasibleError) as caught:
        TaskNetwork(tasks=tasks, resources={"crews": 2})
    assert "3 too few" in str(caught.value)
    assert caught.value.constraint == "resources.crews"
    assert caught.value.remedy == "raise 'crews' to 5"


def test_a_network_says_what_it_holds() -> None:
    built = network({"a": "", "b": "a"}, milestones={"done": ("b",)})
    assert built.names == ("a", "b")
    assert built.milestone_tasks("done") == built.milestone_tasks("b") == (1,)
    assert built.milestone_tasks("") == (0, 1)
    assert built.to_dict()["tasks"][1]["after"] == ["a"]
