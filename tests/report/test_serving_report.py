"""Serving in words and charts, from plain values."""

import copy
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from gigawatt.report import print_serving
from gigawatt.report._serving_rows import (
    answer_rows,
    layout_words,
    lead,
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
    assert money.endswith("The promise is kept: TTFT 2 s, TPOT 40 ms at P95.")
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


def test_chips_stand_by_what_they_cost(report):
    costs = [plan["usd_per_month"] for plan, _ in plans_of(report, "chat")]
    assert costs == sorted(costs)
    rows = money_rows(report, "chat")
    assert [row[5] for row in rows][:2] == ["1.09", "1.14"]
    assert rows[0][0] == "TPU v7 Ironwood *"
    assert len(rows) == len(shape_rows(report, "chat")) == 7


def test_a_miss_is_said_once_with_the_layout_that_comes_nearest(report):
    (row,) = miss_rows(report)
    assert row[:2] == ["agents", "H100 SXM"]
    assert row[3:] == ["TP8 fp8", "4.2 s", "36.2 ms"]
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
