"""The event simulation as a piece of software: compiled as it is written, the same in every process, never out of date."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gigawatt.reliability
from gigawatt.reliability import (
    CATEGORIES,
    RECOVERY_POLICIES,
    FailureProcess,
    PlannedStop,
    RecoveryPolicy,
    ReliabilityJob,
    _simulate,
    default_operations,
    default_tiers,
    recovery_policy,
    simulate,
    terms,
)
from gigawatt.reliability import _kernel as kernel
from gigawatt.reliability._kernel import clock, events, loop, nodes, replicate, state

HOUR, DAY = 3600.0, 86_400.0
SOURCES = Path(gigawatt.reliability.__file__).parents[2]
DIGEST = """
import hashlib, sys
sys.path.insert(0, {here!r})
import test_kernel
print(hashlib.sha256(test_kernel.numbers({workers})).hexdigest())
"""
NAME = "from gigawatt.reliability import _kernel; print(_kernel.compiled().py_func.__qualname__)"


def job(policy, **fields):
    """A fleet of 64 nodes in which nodes, racks, software, corruption and stragglers all happen, with too few spares."""
    processes = (
        FailureProcess.given("host", 4e-6, repair_s=DAY / 2, repeat_share=0.4),
        FailureProcess.given("cooling_loop", 8e-6, unit="rack", domain="rack", repair_s=DAY / 4),
        FailureProcess.given("software", 2e-5, unit="job", domain="job", hardware=False),
        FailureProcess.given("silent_corruption", 1e-6),
    )
    return ReliabilityJob(
        **{
            "accelerators": 512,
            "processes": processes,
            "policy": recovery_policy(policy, step_s=5.0),
            "replicas": 8 if policy == "drop_replica" else 1,
            "islands": 4 if policy == "islands" else 1,
            "save_s": 5.0,
            "spare_nodes": 4,
            "duration_s": 20 * DAY,
            "operations": replace(default_operations(), straggler_rate_per_s=1e-6, offender_share=0.1),
            **fields,
        }
    )


def numbers(workers):
    """Every number of some replicates of every policy, with a fixed time and with fixed work."""
    found = [
        simulate(job(policy, **fields), 6, seed=11, workers=workers)
        for policy in RECOVERY_POLICIES
        for fields in ({}, {"duration_s": None, "useful_s": 5 * DAY})
    ]
    arrays = [(r.wall_s, r.seconds, r.interruptions, r.short_of_spares, r.most_out, r.events) for r in found]
    return b"".join(array.tobytes() for group in arrays for array in group)


def other_process(code, path=SOURCES):
    found = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(path)}, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def test_another_process_with_other_workers_finds_the_same_numbers():
    here = hashlib.sha256(numbers(1)).hexdigest()
    assert other_process(DIGEST.format(here=str(Path(__file__).parent), workers=3)) == here


@pytest.mark.parametrize("policy", RECOVERY_POLICIES)
@pytest.mark.parametrize("fields", [{}, {"duration_s": None, "useful_s": DAY / 4}], ids=["time", "work"])
def test_compiled_and_plain_agree(policy, fields):
    question = job(policy, **fields)
    fast, plain = (simulate(question, 1, seed=12, timeline_intervals=200, compiled=way) for way in (True, False))
    assert plain.seconds == pytest.approx(fast.seconds, rel=1e-6, abs=1e-3)
    assert plain.wall_s == pytest.approx(fast.wall_s, rel=1e-9)
    for name in ("interruptions", "short_of_spares", "old_corruptions", "most_out", "events"):
        assert (getattr(plain, name) == getattr(fast, name)).all(), name
    assert (plain.timeline.lane == fast.timeline.lane).all()
    assert (plain.timeline.label == fast.timeline.label).all()
    assert plain.timeline.end_s == pytest.approx(fast.timeline.end_s, rel=1e-6, abs=1e-3)


def test_functions_have_names_of_their_own():
    """Compiled, the functions of all files see one another by name."""
    functions = [part.__name__ for _, part in kernel._functions()]
    assert max(Counter(functions).values()) == 1


def test_an_edit_of_any_file_calls_for_new_machine_code(tmp_path):
    """numba looks at the file of a function alone, but `run` holds the code of all files; so all are in its name."""
    copy = tmp_path / "src"
    shutil.copytree(SOURCES / "gigawatt", copy / "gigawatt", ignore=shutil.ignore_patterns("__pycache__"))
    names = [other_process(NAME, copy)]
    for module in ("clock", "state"):
        with (copy / "gigawatt" / "reliability" / "_kernel" / f"{module}.py").open("a", encoding="utf-8") as file:
            file.write("\n")
        names.append(other_process(NAME, copy))
    assert len(set(names)) == 3
    assert other_process(NAME, copy) == names[-1]


CORRUPTION = FailureProcess.given("silent_corruption", 1e-9, repair_s=DAY)
HOST = FailureProcess.given("host", 1e-9, repair_s=DAY)


def world(policy, **fields):
    """Eight nodes one hour after their start, of two islands or replicas, and without spares."""
    question = ReliabilityJob(
        **{
            "accelerators": 8,
            "accelerators_per_node": 1,
            "processes": (HOST, CORRUPTION),
            "policy": recovery_policy(policy, step_s=5.0),
            "replicas": 2 if policy == "drop_replica" else 1,
            "islands": 2 if policy == "islands" else 1,
            "save_s": 5.0,
            "interval_s": 300.0,
            "spare_nodes": 0,
            "start_s": 0.0,
            "duration_s": 20 * DAY,
            **fields,
        }
    )
    w = begun(question)
    for g in range(w.rules.groups):
        clock.advance(w.st, g, HOUR, w.rules, w.books)
    return w


def begun(question, key=5):
    rules = _simulate._rules(question, terms(question))
    books = kernel.Books(
        seconds=np.zeros(state.CATEGORIES),
        causes=np.zeros(len(rules.repair)),
        extra=np.zeros(state.EXTRAS),
        log=np.zeros((0, 4)),
        log_size=np.zeros(1, np.int64),
    )
    with np.errstate(over="ignore"):
        return replicate.begin(np.uint64(key), rules, books)


def fails(w, k, slot, t):
    with np.errstate(over="ignore"):
        events.strike(w, k, slot, *[state.NONE] * (events.strike.__code__.co_argcount - 4), t)


def passes(w, kind, t=np.inf):
    """Let everything happen that is due until the first event of a kind, with it, and return the time."""
    while w.queue.size[0] > 0 and w.queue.due[0] <= t:
        at, seen = float(w.queue.due[0]), w.queue.kind[0]
        with np.errstate(over="ignore"):
            found = events.due(w, at)
            if found[0] != state.NONE:
                events.strike(w, *found, at)
        if seen == kind:
            return at
    raise AssertionError("it never happens")


def corrupted(w, slot=5):
    with np.errstate(over="ignore"):
        events.corrupt(w, 1, slot, HOUR)


def test_more_corruptions_and_stragglers_than_nodes_are_all_found():
    """Only the first corruption of a group that is found counts, whatever else waits to be found."""
    rate, delay, days = 2e-3, 1e6, 2000
    operations = replace(default_operations(), corruption_detect_s=delay, straggler_rate_per_s=1e-4)
    question = ReliabilityJob(
        accelerators=10,
        accelerators_per_node=1,
        processes=(FailureProcess.given("silent_corruption", rate / 10, repair_s=60.0),),
        policy=RecoveryPolicy(name="hot_spare", detect_s=1.0),
        save_s=0.01,
        interval_s=10.0,
        spare_nodes=5,
        start_s=0.0,
        duration_s=days * DAY,
        operations=operations,
    )
    clean = replace(question, operations=replace(operations, straggler_rate_per_s=0.0))
    after = np.linspace(0.0, 2e5, 200_001)  # a corruption is found at a rate that grows with those that wait
    lasts = np.trapezoid(np.exp(-after / delay - rate * (after + delay * np.expm1(-after / delay))), after)
    found = simulate(clean, 8, seed=1).interruptions[:, 0].mean()
    assert found == pytest.approx(days * DAY / (1 / rate + lasts), rel=0.03)
    both = replace(question, duration_s=20 * DAY, operations=replace(operations, corruption_detect_s=1e8))
    both = replace(both, operations=replace(both.operations, straggler_detect_s=1e8))
    fast, plain = simulate(both, 1), simulate(both, 1, compiled=False)
    assert plain.seconds == pytest.approx(fast.seconds)
    assert plain.breakdown().value == pytest.approx(20 * DAY)


def test_corruption_of_the_job_is_found_where_a_slot_is_empty():
    bad = FailureProcess.given("silent_corruption", 1e-5, unit="job", domain="job", hardware=False)
    broken = FailureProcess.given("host", 1e-4, repair_s=1e9)
    question = ReliabilityJob(
        accelerators=10,
        accelerators_per_node=1,
        processes=(broken, bad),
        policy=RecoveryPolicy(name="elastic", detect_s=1.0),
        save_s=1.0,
        interval_s=600.0,
        spare_nodes=0,
        duration_s=400 * DAY,
        operations=replace(default_operations(), corruption_detect_s=60.0),
    )
    found = simulate(question, 10, seed=1).interruptions[:, 1].mean()
    assert found == pytest.approx(400 * 86_400 * 1e-5, rel=0.05)


def test_corruption_stops_the_island_that_it_tainted_and_its_node_wherever_it_stands():
    w = world("islands")
    corrupted(w)
    clean = w.st[1, state.SAVED]
    nodes.seat(w.fleet, 5, 1)  # lent to the other island
    nodes.seat(w.fleet, 1, 5)
    at = passes(w, state.CORRUPTION_FOUND)
    assert clean == w.st[1, state.SAVED] > 0
    assert w.st[1, state.WHOLE] == 1
    assert w.st[1, state.BACK] > 0
    assert w.fleet.slot_of[5] == state.NONE
    assert w.fleet.slot_of[1] == 5
    assert w.st[0, state.SAVED] == pytest.approx(w.books.seconds[state.USEFUL] - clean)  # saved before the swap
    assert w.st[0, state.SAVED] > (at - HOUR) * 0.9
    assert w.st[0, state.WHOLE] == 0
    assert w.books.causes[1] == 1


@pytest.mark.parametrize("repair_s", [60.0, 1e9], ids=["back", "away"])
def test_corruption_by_a_node_that_has_left_takes_no_node_out(repair_s):
    w = world("islands", repair_s=repair_s)
    corrupted(w)
    clean = w.st[1, state.SAVED]
    fails(w, 0, 5, HOUR + 700.0)  # after another save
    if repair_s == 60.0:
        passes(w, state.REPAIRED)
    standing = w.fleet.slot_of.copy()
    passes(w, state.CORRUPTION_FOUND)
    assert (w.fleet.slot_of == standing).all()
    assert w.st[1, state.SAVED] == clean
    assert w.st[1, state.BACK] > 0
    assert w.st[0, state.BACK] == 0  # the other island goes on
    assert w.books.causes.tolist() == [1, 1, 0]


@pytest.mark.parametrize("policy", ["drop_replica", "elastic"])
def test_what_fails_during_maintenance_is_missing_after_it(policy):
    """Twenty nodes without spares that fail every six days and stay away for a month; maintenance from day 1 to day 5."""
    question = ReliabilityJob(
        accelerators=20,
        accelerators_per_node=1,
        processes=(FailureProcess.given("host", 1 / (6 * DAY), repair_s=30 * DAY),),
        policy=RecoveryPolicy(name=policy, detect_s=1.0, remap_s=1.0),
        replicas=10 if policy == "drop_replica" else 1,
        save_s=0.1,
        interval_s=600.0,
        spare_nodes=0,
        start_s=0.0,
        maintenance=(PlannedStop(start_s=DAY, duration_s=4 * DAY),),
        duration_s=5.5 * DAY,
    )
    result = simulate(question, 200, seed=1)
    useful, degraded = (result.seconds[:, CATEGORIES.index(name)].mean() for name in ("useful", "degraded"))
    days = np.concatenate((np.linspace(0, 1, 1000), np.linspace(5, 5.5, 500)))
    there = (1 + 5 * np.exp(-days / 5)) / 6  # a node stands in the job, from rates of 1/6 and 1/30 a day
    assert useful / (useful + degraded) == pytest.approx(there.mean(), rel=0.025)


@pytest.mark.parametrize("repair_s", [60.0, 2 * HOUR], ids=["before", "during"])
def test_nodes_that_are_back_join_an_elastic_job_at_a_planned_stop(repair_s):
    stop = PlannedStop(start_s=1.2 * HOUR, duration_s=DAY)
    w = world("elastic", repair_s=repair_s, maintenance=(stop,))
    fails(w, 0, 5, HOUR + 1.0)
    for kind in (state.REPAIRED, state.PLANNED_STOP)[:: 1 if repair_s == 60.0 else -1]:
        assert w.st[0, state.SHARE] == 7 / 8
        passes(w, kind)
    assert w.st[0, state.SHARE] == 1.0


def test_a_spare_during_maintenance_keeps_its_replica():
    w = world("drop_replica", spare_nodes=1, repair_s=1e9, maintenance=(PlannedStop(start_s=2 * HOUR, duration_s=DAY),))
    passes(w, state.PLANNED_STOP)
    fails(w, 0, 5, 3 * HOUR)
    assert w.st[0, state.SHARE] == 1.0
    fails(w, 0, 5, 4 * HOUR)
    assert w.st[0, state.SHARE] == 0.5
    assert w.books.causes.sum() == 0


def test_a_straggler_in_a_replica_that_has_left_slows_nobody():
    operations = replace(default_operations(), straggler_slowdown=1.0, straggler_detect_s=1e12)
    w = world("drop_replica", repair_s=DAY, operations=operations)
    with np.errstate(over="ignore"):
        events.slow_down(w, 5, HOUR)
        events.slow_down(w, 2, HOUR)
    assert w.st[0, state.SLOW] == 2
    fails(w, 0, 4, 2 * HOUR)
    assert w.st[0, state.SLOW] == 1
    fails(w, 0, 2, 3 * HOUR)  # its straggler leaves, and it gets that of the other replica lent
    assert w.fleet.stragglers.tolist() == [1, 0]
    assert w.st[0, state.SLOW] == 0
    passes(w, state.REPLICA_READY)
    assert w.st[0, state.SLOW] == 1
    passes(w, state.REPLICA_READY)
    assert w.st[0, state.SLOW] == w.fleet.slow.sum() == 1


def test_a_straggler_in_a_replica_that_has_left_is_swapped_without_a_stop():
    w = world("drop_replica", repair_s=1e9)
    fails(w, 0, 4, HOUR)
    with np.errstate(over="ignore"):
        events.slow_down(w, 5, 2 * HOUR)
    passes(w, state.STRAGGLER_FOUND)
    assert w.fleet.slot_of[5] == state.NONE
    assert not clock.busy(w.st, 0)
    assert w.books.causes.tolist() == [1, 0, 0]


def test_the_first_replica_back_takes_the_state_from_the_store():
    """The job works again after detection, drain, remap, the reload from the store and warm-up; the next, from a peer."""
    tiers = replace(default_tiers(), remote_read_bytes_per_s=1e9, peer_bytes_per_s=1e12)
    w = world("drop_replica", spare_nodes=2, repair_s=1e9, tiers=tiers, state_bytes=1e12, save_s=None)
    fails(w, 0, 1, 2 * HOUR)
    fails(w, 0, 5, 2 * HOUR)
    assert w.st[0, state.SHARE] == 0
    saved = w.st[0, state.SAVED]
    at = passes(w, state.REPLICA_READY)
    assert at == pytest.approx(2 * HOUR + w.rules.part_detect_s + w.rules.part_drain_s + w.rules.replica_back_s)
    passes(w, state.REPLICA_READY)
    clock.advance(w.st, 0, at + 0.9 * 1000, w.rules, w.books)
    assert w.st[0, state.UNSAVED] == 0
    clock.advance(w.st, 0, at + 1.1 * 1000, w.rules, w.books)
    assert w.st[0, state.UNSAVED] > 50
    assert w.st[0, state.SAVED] == saved


@settings(max_examples=60, deadline=None)
@given(
    policy=st.sampled_from(RECOVERY_POLICIES),
    key=st.integers(0, 2**63),
    days=st.floats(0.1, 3.0),
    spares=st.sampled_from([0, 4, 30]),
    delay_s=st.sampled_from([60.0, DAY, 1e9]),
)
def test_nodes_and_what_is_due_agree_at_any_time(policy, key, days, spares, delay_s):
    """Each thing has its place in the queue, once; every node stands in one slot, in the pool or in repair."""
    operations = replace(
        default_operations(), corruption_detect_s=delay_s, straggler_detect_s=delay_s, straggler_rate_per_s=1e-5
    )
    stops = (PlannedStop(start_s=DAY / 2, duration_s=DAY / 3), PlannedStop(start_s=2 * DAY, duration_s=HOUR))
    question = job(policy, duration_s=days * DAY, spare_nodes=spares, operations=operations, maintenance=stops)
    often = tuple(process.at(process.rate_per_s * 5) for process in question.processes)
    w = begun(replace(question, processes=often, start_s=0.0), key)
    with np.errstate(over="ignore"):
        wall = loop.pass_time(w)
        loop.finish(w, wall)
    assert w.books.seconds.sum() == pytest.approx(days * DAY)
    fleet, size = w.fleet, w.queue.size[0]
    due = list(zip(w.queue.kind[:size].tolist(), w.queue.payload[:size].tolist(), strict=True))
    assert len(set(due)) == size
    assert (w.queue.due[1:size] >= w.queue.due[(np.arange(1, size) - 1) // 2]).all()

    def those(kind):
        return {payload for of, payload in due if of == kind}

    free = set(fleet.pool[: fleet.counts[state.FREE]].tolist())
    away = set(np.flatnonzero(fleet.slot_of == state.NONE).tolist())
    standing = np.flatnonzero(fleet.node_at >= 0)
    assert those(state.REPAIRED) == away - free
    assert len(those(state.REPAIRED)) == fleet.counts[state.OUT]
    assert (fleet.slot_of[fleet.node_at[standing]] == standing).all()
    assert fleet.counts[state.LACKING] == fleet.lacking.sum() == len(fleet.node_at) - len(standing)
    assert those(state.STRAGGLER_FOUND) == set(np.flatnonzero(fleet.slow).tolist())
    assert those(state.REPLICA_READY) == set(np.flatnonzero(fleet.coming).tolist())
    assert those(state.CORRUPTION_FOUND) == set(np.flatnonzero(np.isfinite(w.st[:, state.FOUND])).tolist())
    assert (fleet.lacking[fleet.down == 0] == 0).all() or policy != "drop_replica"
    assert (fleet.coming == (fleet.down == 1) * (fleet.lacking == 0)).all()
    assert fleet.counts[state.UP] == (fleet.down == 0).sum()
    assert w.st[:, state.SLOW].sum() == fleet.stragglers[fleet.down == 0].sum()
    assert fleet.stragglers.sum() == fleet.slow.sum()
    if policy == "drop_replica":
        assert w.st[0, state.SHARE] == fleet.counts[state.UP] / w.rules.cells
