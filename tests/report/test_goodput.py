"""Goodput for people: texts and charts, from plain data."""

import io
import json
import re
from functools import cache
from pathlib import Path

from rich.console import Console

from gigawatt.planning import goodput_scenario
from gigawatt.report import goodput_page, print_goodput
from gigawatt.report._goodput import cause_rows, policy_rows, share
from gigawatt.scenario import scenario_from_mapping


@cache
def report(count=512, **reliability):
    data = {
        "name": "<b>small</b>",
        "model": "Llama 3 8B",
        "fleet": {"accelerator": "H100 SXM", "count": count},
        "reliability": reliability,
    }
    scenario = scenario_from_mapping(data, name="test", folder=Path())
    return goodput_scenario(scenario, replicates=0, duration_s=30 * 86_400.0).to_dict()


def charts(html):
    found = re.search(r'<script type="application/json" id="chart-data">(.*?)</script>', html, re.S)
    return {chart["id"]: chart for chart in json.loads(found.group(1))}


def test_shares_keep_the_digits_that_count():
    assert [share(value) for value in (0.0, 1e-20, 0.00017, 0.5, 1.0)] == [
        "0.0%",
        "<0.001%",
        "0.017%",
        "50.0%",
        "100.0%",
    ]


def test_rows_have_a_cell_per_heading():
    for headings, rows in (cause_rows(report()), policy_rows(report())):
        assert rows
        assert all(len(row) == len(headings) for row in rows)


def test_the_page_draws_its_curves_and_marks_the_best():
    html = goodput_page(report())
    drawn = charts(html)
    assert set(drawn) == {"wall_time", "interval", "spares", "policies"}
    interval = drawn["interval"]
    points = interval["rows"][0]["points"]
    top = max(points, key=lambda point: point[1])
    assert abs(interval["marks"][0]["x"] / top[0] - 1) < 0.3
    assert interval["y_range"][0] <= top[1] <= interval["y_range"][1]
    assert "<b>small</b>" not in html


def test_a_job_that_makes_no_progress_is_drawn_too():
    broken = report(count=512, failure_rate="30 /day", restart_time="2 h")
    assert broken["goodput"] < 0.01
    assert charts(goodput_page(broken))["interval"]["y_range"][1] > 0


def test_a_job_in_which_nothing_fails():
    quiet = report(count=8, failure_rate="0 /day")
    stream = io.StringIO()
    print_goodput(quiet, Console(file=stream, width=80))
    assert "nothing fails" in stream.getvalue()
    goodput_page(quiet)
