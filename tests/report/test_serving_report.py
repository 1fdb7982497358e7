"""Serving in words and charts, from plain values."""

import copy
import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from gigawatt.report import print_serving, serving_page
from gigawatt.report._serving_charts import chip_charts, day_charts, latency_charts, pareto_chart
from gigawatt.report._serving_rows import (
    layout_words,
    miss_rows,
    money_rows,
    plans_of,
    price,
    promise_words,
    searched_words,
    shape_rows,
    short_name,
)
from gigawatt.report._serving_run import day_columns, day_rows, day_words, image_misses, latency_rows, run_words
from gigawatt.report._serving_words import answer_rows, lead

FIXTURE = Path(__file__).parents[1] / "data" / "serve-report.json"


@pytest.fixture
def report():
    return json.loads(FIXTURE.read_text(encoding="utf-8"))


def printed(report, width=100):
    console = Console(file=io.StringIO(), width=width)
    print_serving(report, console)
    return console.file.getvalue()


def plan_of(report, name, chip, goal):
    return next(p for p in report["plans"] if (p["class"], p["accelerator"], p["objective"]) == (name, chip, goal))


def without_a_chip(report):
    """The report of a question whose first class no chip can serve."""
    report = copy.deepcopy(report)
    miss = plan_of(report, "agents", "H100 SXM", "cost")
    for i, plan in enumerate(report["plans"]):
        if plan["class"] == "chat":
            report["plans"][i] = miss | {key: plan[key] for key in ("class", "accelerator", "objective")}
    report["best"]["chat"] = {"cost": None, "power": None}
    for goal in ("cost", "power"):
        report["totals"][goal] = dict.fromkeys(report["totals"][goal])
    for part in ("day", "simulation", "cost", "economics", "pareto"):
        del report[part]["chat"]
    return report


def test_the_answer_names_both_chips_what_they_take_and_the_promise(report):
    said = dict(lead(report))
    cheap = plan_of(report, "chat", report["best"]["chat"]["cost"], "cost")
    money = said["chat, least money"]
    assert money.startswith(
        f"{cheap['accelerators']:,} {cheap['accelerator']}, 702 kW at the peak, $1.09 million a month"
    )
    assert "$0.039 in, $0.0016 cached, $0.50 out" in money
    assert money.endswith(
        "The promise is kept: TTFT 2 s, TPOT 40 ms at P95; simulated, TTFT for 97.4 % and TPOT for 99.3 % of requests."
    )
    assert report["best"]["chat"]["power"] in said["chat, least power"]
    assert said["In all"].startswith("For least money 1,455 accelerators")


def test_one_plan_for_both_goals_is_said_once(report):
    report["best"]["chat"] = {"cost": "GB200 (per GPU)", "power": "GB200 (per GPU)"}
    about = [what for what, _ in lead(report) if what.startswith("chat")]
    assert about == ["chat, least money and least power"]
    aims = {plan["accelerator"]: aim for plan, aim in plans_of(report, "chat") if "GB200" in plan["accelerator"]}
    assert aims == {"GB200 (per GPU)": "both"}
    report["best"]["chat"] = {"cost": "MI355X", "power": "MI355X"}
    assert dict(lead(report))["chat, least power"].endswith("The same chip in another layout.")


def test_fewest_accelerators_are_named_where_they_are_asked_for(report):
    report["objective"] = "accelerators"
    fewest = min(plan["accelerators"] for plan, _ in plans_of(report, "chat"))
    about, words = lead(report)[0]
    assert (about, words.split()[0]) == ("chat, fewest accelerators", f"{fewest:,}")


def test_no_chip_is_an_answer_with_its_reason(report):
    report = without_a_chip(report)
    said = dict(lead(report))
    assert said["chat"].startswith("No chip keeps the promise (TTFT 2 s, TPOT 40 ms at P95). H100 SXM: TPOT binds")
    assert said["In all"] == "Not known, since one of them cannot be served."
    assert ("chat, least money", "no chip keeps the promise") in answer_rows(report)
    text = printed(report)
    assert "chat, dollars" not in text
    assert "chat, the day" not in text
    assert "a promise of 37 ms would do" in " ".join(text.split())


def test_a_promise_that_the_simulation_breaks_is_said_first(report):
    report["simulation"]["chat"]["kept"]["ttft"] = 0.94
    assert "The simulation breaks the promise: TTFT 2 s" in dict(lead(report))["chat, least money"]
    assert '<div class="callout bad"' in serving_page(report)
    report["simulation"]["chat"]["kept"]["ttft"] = 0.95
    assert '<div class="callout bad"' not in serving_page(report)
    report["simulation"]["chat"]["saturated"] = True
    assert "The simulation breaks the promise" in dict(lead(report))["chat, least money"]
    report["simulation"] = {}
    assert dict(lead(report))["chat, least money"].endswith("kept: TTFT 2 s, TPOT 40 ms at P95.")


def test_chips_stand_by_what_they_cost(report):
    costs = [plan["usd_per_month"] for plan, _ in plans_of(report, "chat")]
    assert costs == sorted(costs)
    rows = money_rows(report, "chat")
    assert [row[5] for row in rows][:2] == ["1.09", "1.14"]
    assert rows[0][0] == "TPU v7 Ironwood *"
    assert len(rows) == len(shape_rows(report, "chat")) == 7


def test_a_miss_is_said_once_with_the_limit_in_the_way(report):
    (row,) = miss_rows(report)
    assert row[:2] == ["agents", "H100 SXM"]
    assert row[3:] == ["TPOT", "30 ms", "36.2 ms"]
    for plan in report["plans"]:
        if plan["nearest"]:
            plan["nearest"] = {"precision": "fp8", "limit": "memory", "wanted": 2.5e9, "reached": 0.0}
    assert miss_rows(report)[0][3:] == ["memory", "2.5 GB more", "-"]
    for plan in report["plans"]:
        plan["nearest"] = None
    assert miss_rows(report)[0][3:] == ["-", "-", "-"]


def test_words_and_numbers(report):
    assert [price(value) for value in (None, 0.0, 0.0016, 0.039, 0.5, 12.345)] == [
        "-",
        "$0.00",
        "$0.0016",
        "$0.039",
        "$0.50",
        "$12.35",
    ]
    assert promise_words({"ttft_s": None, "tpot_s": None, "percentile": 0.95}) == "none"
    assert promise_words({"ttft_s": None, "tpot_s": 0.04, "percentile": 0.999}) == "TPOT 40 ms at P99.9"
    assert short_name(report, "GB200 (per GPU)") == "GB200"
    report["plans"][0]["accelerator"] = "GB200 (superchip)"
    assert short_name(report, "GB200 (per GPU)") == "GB200 (per GPU)"
    apart = plan_of(report, "chat", "GB200 (per GPU)", "cost")
    assert layout_words(apart) == "TP4 fp4; prefill TP2, 28 % of chips"
    assert layout_words(apart | {"prefill_accelerator": "H100 SXM", "prefill_share": None}) == (
        "TP4 fp4; prefill TP2 on H100 SXM"
    )


def test_every_rejected_layout_is_counted(report):
    report["searched"]["rejected"] = {f"rule {i}": 10 * i for i in range(1, 9)}
    words = searched_words(report)
    assert "rule 8 80, rule 7 70, rule 6 60, rule 5 50, rule 4 40, 3 more rules 60" in words


def test_the_day_is_shown_by_a_few_hours_with_its_ends(report):
    day = report["day"]["chat"]
    assert len(day_rows(day)) == 24
    headings, rows = day_columns(day)
    assert headings == ["hour", *(f"{hour:02d}:00" for hour in range(0, 24, 3))]
    assert rows[1][1:] == [str(day["hours"][hour]["accelerators"]) for hour in range(0, 24, 3)]
    assert "busiest at 20:00 with 520" in day_words(day)


def test_latencies_stand_beside_mean_field_and_promise(report):
    found, promise = report["simulation"]["chat"], report["traffic"][0]["promise"]
    ttft, tpot, whole = latency_rows(found, promise)
    assert (ttft[0], ttft[5:]) == ("TTFT", ["290 ms", "2.7 s", "2 s", "97.4 %"])
    assert tpot[5:] == ["23.6 ms", "-", "40 ms", "99.3 %"]
    assert whole[5:] == ["-", "-", "-", "-"]
    assert run_words(found | {"saturated": True})[0].startswith("saturated")


def test_everything_that_is_there_is_printed_within_100_columns(report):
    text = printed(report)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    flat = " ".join(text.split())
    for words in (
        "chat, how each chip serves",
        "chips that do not keep the promise",
        "agents, the day on TPU v7 Ironwood",
        "chat, cost of a month",
        "utilisation at which it breaks even 11 %",
        image_misses(report)[0],
        "growth: 2025-11: 1,455 chips",
        "days for the tokens asked 95",
        "* kernels of this chip were not measured",
        "note: no day shape of agents",
    ):
        assert words in flat
    assert "None" not in text
    assert "nan" not in text


def test_a_command_is_not_broken_by_a_narrow_terminal(report):
    text = printed(report, width=60)
    assert report["launch"][0]["command"] in text


def test_what_is_not_there_is_left_out(report):
    bare = report | {"images": [], "night": None, "months": [], "launch": [], "simulation": {}, "day": {}, "cost": {}}
    text = printed(bare)
    for words in ("images", "night", "growth", "latencies", "the day", "cost of a month"):
        assert words not in text


def test_images_alone_are_a_report(report):
    empty = {"traffic": [], "plans": [], "best": {}, "pareto": {}, "day": {}, "simulation": {}, "cost": {}}
    alone = report | empty | {"economics": {}, "launch": [], "months": [], "night": None}
    text = printed(alone)
    assert text.splitlines()[1].startswith("FLUX.1-dev on ")
    assert "pictures, least power: 368 GB200" in text


def charts_in(html):
    return {each["id"]: each for each in json.loads(re.search(r'id="chart-data">(.*?)</script>', html, re.S).group(1))}


def test_the_page_has_a_chart_for_each_question(report):
    charts = charts_in(serving_page(report))
    kinds = ("price", "power", "pareto", "day", "day-power", "ttft", "tpot", "kv", "load", "cost")
    for name in (*(f"{kind}-{i}" for kind in kinds for i in (0, 1)), "months-peak-w", "months-usd", "image-0"):
        assert charts[name]["table"], name
        assert charts[name]["caption"], name
    assert charts["cost-0"]["kind"] == "waterfall"
    assert sum(row["value"] for row in charts["cost-0"]["rows"]) == pytest.approx(1092.0)
    assert charts["months-usd"]["x_unit"] == "date"


def test_a_page_with_a_class_that_nobody_serves_says_so(report):
    html = serving_page(without_a_chip(report))
    charts = charts_in(html)
    assert "price-0" not in charts
    assert "price-1" in charts
    assert '<div class="callout bad"' in html
    assert "None" not in re.sub(r"<script.*?</script>", "", html, flags=re.S)


def test_bars_are_least_first_and_each_chip_stands_once(report):
    money, power = chip_charts(report, 0, "chat")
    assert [row["value"] for row in money["rows"]] == sorted(row["value"] for row in money["rows"])
    assert [row["value"] for row in power["rows"]] == sorted(row["value"] for row in power["rows"])
    assert len(money["rows"]) == len(power["rows"]) == 4
    assert power["title"] == "chat: least power is 575 kW on GB200"


def test_no_point_beats_the_front_and_a_chip_keeps_its_colour(report):
    charts = [pareto_chart(report, i, traffic) for i, traffic in enumerate(report["traffic"])]
    for chart in charts:
        front = chart["front"]["points"]
        for x, y, _ in (point for row in chart["rows"] for point in row["points"]):
            assert not any(x > a and y > b for a, b in front)
        assert front == sorted(front)
    hues = [{row["label"]: row["hue"] for row in chart["rows"]} for chart in charts]
    assert "H100 SXM" not in hues[1]
    assert hues[0] == hues[1] | {"H100 SXM": 0}
    assert charts[0]["marks"] == [{"x": 25.0, "text": "TPOT 40 ms"}]
    assert pareto_chart(report | {"pareto": {}}, 0, report["traffic"][0]) is None


def test_needed_and_freed_add_up_to_the_fleet_in_every_hour(report):
    chips, power = day_charts(0, "chat", report["day"]["chat"])
    needed, freed = (row["values"] for row in chips["rows"])
    assert {a + b for a, b in zip(needed, freed, strict=True)} == {520}
    assert (chips["x"][0], chips["x"][-1], power["unit"]) == (0, 24, "kW")


@pytest.mark.parametrize("promise", [None, 0.001, 60.0])
def test_a_distribution_never_falls_and_holds_its_promise_on_the_axis(report, promise):
    traffic, found = report["traffic"][0], report["simulation"]["chat"]
    chart = latency_charts(0, traffic | {"promise": traffic["promise"] | {"ttft_s": promise}}, found)[0]
    points = chart["rows"][0]["points"]
    assert points == sorted(points)
    assert [y for _, y in points] == sorted(y for _, y in points)
    assert points[0] == (0.0, 0.0)
    assert len(chart["marks"]) == (promise is not None)
    for mark in chart["marks"]:
        assert mark["x"] <= points[-1][0]
