"""The event simulation as a piece of software: compiled as it is written, the same in every process, never out of date."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import gigawatt.reliability
from gigawatt.reliability import (
    RECOVERY_POLICIES,
    FailureProcess,
    ReliabilityJob,
    default_operations,
    recovery_policy,
    simulate,
)
from gigawatt.reliability import _kernel as kernel

DAY = 86_400.0
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
