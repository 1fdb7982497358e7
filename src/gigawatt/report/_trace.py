"""A timeline as a trace in the Chrome trace event format, for Perfetto and chrome://tracing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gigawatt.files import write_atomically


def chrome_trace(timeline: Mapping[str, Any], **about: Any) -> dict[str, Any]:
    """Return the trace of a timeline (`Timeline.to_dict()`): complete events in microseconds, one thread per lane, one
    process per stage. `about` goes into the trace's own description.
    """
    processes: dict[str, int] = {}
    threads: dict[str, tuple[int, int]] = {}
    events: list[dict[str, Any]] = []
    for index, lane in enumerate(timeline["lanes"]):
        process = " ".join(lane.split(" ")[:2]) if lane.startswith("stage ") else timeline["title"]
        if process not in processes:
            processes[process] = len(processes) + 1
            events += _names("process", processes[process], 0, process, processes[process])
        threads[lane] = processes[process], index + 1
        events += _names("thread", *threads[lane], lane.removeprefix(process).strip() or lane, index + 1)
    for interval in timeline["intervals"]:
        process_id, thread_id = threads[interval["lane"]]
        start = 1e6 * interval["start_s"]
        events.append(
            {
                "name": interval["label"],
                "cat": interval["lane"],
                "ph": "X",
                "ts": start,
                "dur": 1e6 * interval["end_s"] - start,
                "pid": process_id,
                "tid": thread_id,
                **({"args": {"of": interval["detail"]}} if "detail" in interval else {}),
            }
        )
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"title": timeline["title"], **{key: str(value) for key, value in about.items()}},
    }


def _names(kind: str, process: int, thread: int, name: str, order: int) -> list[dict[str, Any]]:
    common = {"ph": "M", "pid": process, "tid": thread, "ts": 0}
    return [
        {**common, "name": f"{kind}_name", "args": {"name": name}},
        {**common, "name": f"{kind}_sort_index", "args": {"sort_index": order}},
    ]


def write_trace(timeline: Mapping[str, Any], path: Path, **about: Any) -> None:
    """Write the trace of a timeline. Raises OutputError where the file cannot be written."""
    write_atomically(path, json.dumps(chrome_trace(timeline, **about), allow_nan=False) + "\n")
