"""The build-out in words and charts, from plain values."""

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from gigawatt.planning import build_scenario
from gigawatt.report import build_page, print_build
from gigawatt.report._build_charts import binding_chart, edges, limit_hues, worth_charts
from gigawatt.report._build_rows import cash_flow_rows, quarter_rows, whole
from gigawatt.report._build_words import (
    quarters,
    run_dates,
    run_name,
    run_seconds,
    run_why,
    runs,
    share_words,
    stage_words,
    until_goal,
    worth,
)
from gigawatt.report._charts import date_value, timeline_chart, waterfall_chart
from gigawatt.scenario import load_scenario

SMALL = Path(__file__).parents[1] / "data" / "build-small.yaml"
DAY = 86_400.0


def limit(kind, where, share, usd, **more):
    units = {"power": "W", "cash": "USD"}
    joined = {"supply": f"supply of {where}", "orders": f"orders of {where}", "cash": "cash"}
    return {
        "name": joined.get(kind, f"{kind} at {where}"),
        "kind": kind,
        "where": where,
        "unit": units.get(kind, "accelerators"),
        "reason": "",
        "share": share,
        "flop_per_unit": usd * 1e17,
        "usd_per_unit": usd,
        "flop_kept": usd * 2e17,
        "usd_kept": 2 * usd,
        "used": None,
        "available": None,
    } | more


TIMELINE = {
    "calendar": {"start": "2024-11-01", "step": "month", "labels": ["2024-11", "2024-12", "2025-01", "2025-02"]},
    "offers": [{"name": "H100", "stages": ["packaging", "packaging", "hbm", "logic.N5"]}],
    "binding": [
        [limit("supply", "H100", 0.8, 5e4), limit("power", "North", 0.2, 0.5)],
        [limit("supply", "H100", 0.95, 4e4), limit("power", "North", 0.05, 0.5)],
        [limit("power", "North", 1.0, 0.5, reason="the grid gives 8 MW and there is nothing else")],
        [],
    ],
}
CONSTRUCTION = {
    "site": "North",
    "timeline": {
        "title": "construction",
        "lanes": ["permits", "hall"],
        "labels": ["permits", "hall"],
        "intervals": [
            {"lane": "hall", "label": "hall", "start_s": 0.0, "end_s": 30 * DAY},
            {"lane": "permits", "label": "permits", "start_s": 0.0, "end_s": 60 * DAY},
        ],
    },
    "dates": {"energised": ["2024-08-01", "2024-08-09", None]},
    "critical": ["permits"],
    "matters": {"permits": 0.9, "hall": 0.1},
}
ORDER = {"first": "2025-Q1", "last": "2025-Q2", "mean_wait_s": 140 * DAY, "missing": 0.0}
RUSH = {
    "offer": "H100 ordered 2024-06",
    "without": ORDER,
    "with_premium": ORDER | {"last": "2025-Q1", "mean_wait_s": 100 * DAY},
    "displaced": {"others": 40.0, "none at all": 0.2},
    "premium_usd": [1e6, 2e6, 3e6],
    "rental_value_usd": [1e6, 1.5e6, 2e6],
    "net_usd": -5e5,
    "verdict": "The premium does not pay.",
}
FUND = {
    "name": "ten billion",
    "usd": 1e10,
    "split": {"hbm": 9e9, "logic.N5": 1e9},
    "note": "",
    "extra_chips": {"2025": 0.0, "2026": 5e5},
    "tokens_per_year": {"2025": 0.0, "2026": 1e16},
    "gainers": {f"buyer {i}": 10.0 for i in range(9)},
}


@pytest.fixture(scope="module")
def small():
    return build_scenario(load_scenario(SMALL), samples=3, levers=False).to_dict()


@pytest.fixture
def full(small):
    return small | {"construction": [CONSTRUCTION], "rush": [RUSH], "funds": [FUND], "warnings": ["assumed so"]}


def printed(report):
    console = Console(file=io.StringIO(), width=80)
    print_build(report, console)
    return console.file.getvalue()


def charts_in(html):
    return {each["id"]: each for each in json.loads(re.search(r'id="chart-data">(.*?)</script>', html, re.S).group(1))}


def test_periods_with_one_main_limit_are_one_run():
    first, second, third = runs(TIMELINE)
    assert [run_dates(run, TIMELINE) for run in (first, second, third)] == ["2024-11 to 2024-12", "2025-01", "2025-02"]
    assert run_name(first) == "supply of H100 (80 to 95 %)"
    assert run_seconds(first) == "power at North (5 to 20 %)"
    assert run_why(first, TIMELINE) == "packaging limits what is made"
    assert run_why(second, TIMELINE) == "the grid gives 8 MW and there is nothing else"
    assert run_name(third) == "nothing"
    assert sum(run.last - run.first + 1 for run in runs(TIMELINE)) == 4


def test_worth_is_said_in_the_units_of_the_field():
    power = limit("power", "North", 1.0, 0.5)
    assert worth([power], "week") == "one more MW is worth $500,000 a week (5.0e+22 FLOP)"
    assert worth([power, power], "week").endswith(", $1 million if it comes first and stays")
    supply = [limit("supply", "H100", 1.0, 5e4), limit("supply", "H100", 1.0, 4e4)]
    assert worth(supply, "month").startswith("1,000 more H100 are worth $50 million, later $40 million (")
    assert worth([limit("cash", "", 1.0, 0.25)], "month").startswith("one more dollar is worth $0.25")
    assert worth([power | {"usd_per_unit": 0.0}], "week") == "one more MW is worth 5.0e+22 FLOP a week"


def test_words_and_numbers():
    assert share_words([1.0, 0.999]) == "100 %"
    assert stage_words("logic.N5") == "N5 logic wafers"
    assert [whole(value) for value in (-0.2, 0.0, 1234.5)] == ["0", "0", "1,234"]
    assert quarters(TIMELINE) == [("2024 Q4", slice(0, 2)), ("2025 Q1", slice(2, 4))]
    assert edges(TIMELINE)[-1] == date_value("2025-03-01") == date_value("2025-03")


def test_the_band_adds_up_and_a_limit_keeps_its_colour(small):
    chart = binding_chart(small)
    hues = limit_hues(small)
    assert chart["x"] == sorted(chart["x"])
    assert len(chart["x"]) == len(small["binding"]) + 1
    for t, found in enumerate(small["binding"]):
        assert sum(row["values"][t] for row in chart["rows"]) == pytest.approx(100 if found else 0, abs=2.5)
    for drawn in (chart, *worth_charts(small)):
        assert [row["hue"] for row in drawn["rows"]] == [hues[row["label"]] for row in drawn["rows"]]


def test_a_dated_goal_ends_the_report_with_its_period(small):
    short = until_goal(small)
    end = small["calendar"]["labels"].index(small["goal"]["by"]) + 1
    assert end < 12
    assert short["calendar"]["labels"][-1] == small["goal"]["by"]
    assert len(short["fleet"]) == len(short["binding"]) == len(short["chips"][0]["service"]) == end
    assert short["fleet"][-1] >= small["goal"]["target"] * 0.999
    assert len(short["cash_flow"]["dates"]) == len(small["cash_flow"]["dates"])
    assert quarter_rows(short)[-1][1] == whole(short["fleet"][-1])


def test_the_years_of_the_cash_flow_add_up(small):
    columns, rows = cash_flow_rows(small)
    assert columns == ["line", "2024", "2025", "in all"]
    assert len(rows) == len(small["cash_flow"]["lines"]) + 2


def test_everything_that_is_there_is_printed_within_80_columns(full):
    text = printed(full)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    flat = " ".join(text.split())
    for words in (
        "12,000 accelerators are in service on",
        "construction",
        "North: critical are permits",
        "the end varies with permits (90%)",
        "not in the plan",
        "The premium does not pay.",
        "others get fewer: others (40)",
        "N5 logic wafers $1 billion",
        "and 3 more",
        "note: assumed so",
    ):
        assert words in flat
    assert "none at all" not in flat


def test_the_page_has_a_chart_for_each_question(full):
    html = build_page(full)
    charts = charts_in(html)
    for name in ("binding", "fleet", "power-0", "orders", "compute", "cash", "value", "construction-0"):
        assert name in charts
    assert charts["construction-0"]["title"] == "North: energised on 2024-08-09"
    assert [row["label"] for row in charts["construction-0"]["rows"]] == ["critical", "not critical"]
    assert charts["fleet"]["x_unit"] == "date"
    assert charts["binding"]["end"] == 100
    for words in ("Construction", "Under delays", "What money would buy", "Cash flow by year"):
        assert f">{words}<" in html


def test_what_is_not_there_is_left_out(small):
    bare = small | {"balance_usd": None, "uncertainty": None, "rush": [], "funds": []}
    html = build_page(bare)
    assert "cash" not in charts_in(html)
    assert "Under delays" not in html
    assert "under delays" not in printed(bare)


def test_a_waterfall_has_parts_of_either_sign_and_their_total():
    chart = waterfall_chart("v", "Value", "At 10 %.", [("rent", 3e6), ("chips", -5e6)], ("value", -2e6), "USD")
    assert chart["unit"] == "million USD"
    assert [row["value"] for row in chart["rows"]] == [3.0, -5.0, -2.0]
    assert [row.get("total", False) for row in chart["rows"]] == [False, False, True]


def test_a_timeline_can_stand_on_dates():
    chart = timeline_chart("t", "As planned.", CONSTRUCTION["timeline"], start="2024-06-01", critical=["permits"])
    assert chart["unit"] == "date"
    assert chart["rows"][0]["end"] == date_value("2024-07-31")
    assert chart["legend"] == ["not critical", "critical"]
