"""The trace by the Chrome trace event format."""

import itertools
import json

import numpy as np

from gigawatt.report import chrome_trace, write_trace
from gigawatt.training import StepPhases, simulate_step


def timeline():
    ones = np.ones((3, 2))
    exposed = {"tensor-parallel": 0.1 * ones}
    return simulate_step(
        StepPhases(
            micro_batches=6,
            schedule="1f1b",
            forward=ones,
            backward=ones,
            weight=ones,
            exposed_forward=exposed,
            exposed_backward=exposed,
            tail={"data-parallel communication": 0.5, "optimizer": 0.2, "stragglers": 0.1},
        )
    ).to_dict()


def test_every_event_has_what_its_phase_needs(tmp_path):
    path = tmp_path / "trace.json"
    write_trace(timeline(), path, model="test")
    trace = json.loads(path.read_text())
    assert trace["displayTimeUnit"] in ("ms", "ns")
    assert trace["otherData"]["model"] == "test"
    named = {(event["pid"], event["tid"]) for event in trace["traceEvents"] if event["name"] == "thread_name"}
    for event in trace["traceEvents"]:
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert event["ph"] in ("X", "M")
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "process_sort_index", "thread_name", "thread_sort_index")
            assert len(event["args"]) == 1
        else:
            assert event["ts"] >= 0
            assert event["dur"] > 0
            assert event["name"]
            assert (event["pid"], event["tid"]) in named


def test_events_of_a_thread_do_not_overlap_and_times_are_microseconds():
    plain = timeline()
    events = [event for event in chrome_trace(plain)["traceEvents"] if event["ph"] == "X"]
    assert len(events) == len(plain["intervals"])
    assert max(event["ts"] + event["dur"] for event in events) == 1e6 * max(row["end_s"] for row in plain["intervals"])
    threads = {}
    for event in events:
        threads.setdefault((event["pid"], event["tid"]), []).append((event["ts"], event["ts"] + event["dur"]))
    for spans in threads.values():
        spans.sort()
        assert all(start >= end - 1e-3 for (_, end), (start, _) in itertools.pairwise(spans))
