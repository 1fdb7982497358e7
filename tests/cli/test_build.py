"""`gigawatt build` as people and machines call it."""

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from gigawatt.cli._app import app
from gigawatt.errors import InfeasibleError, InputError

SMALL = Path(__file__).parents[1] / "data" / "build-small.yaml"
QUICK = ["--samples", "0", "--no-levers"]


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL.read_text())
    return path


def run(*arguments):
    result = CliRunner().invoke(app, ["build", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_terminal_page_and_cash_flow(small, tmp_path):
    page, flow = tmp_path / "page.html", tmp_path / "flow.csv"
    out = run(small, "--out", page, "--cash-flow", flow)
    assert max(len(line.rstrip()) for line in out.splitlines() if "wrote" not in line) <= 80
    for words in (
        "12,000 accelerators are in service on 2025-",
        "what limits useful compute",
        "power at North",
        "one more MW is worth $",
        "a month nearer",
        "orders as planned",
        "returns at",
    ):
        assert words in out
    html = page.read_text()
    for words in ("What limits useful compute longest", "The timeline in words", "Net present value"):
        assert words in html
    assert len(pd.read_csv(flow, comment="#")) > 3


def test_json_is_all_there_is_and_is_the_report(small):
    data = json.loads(run(small, "--json", "--samples", "3", "--no-levers", "--seed", "7"))
    assert data["goal"]["kind"] == "fleet"
    assert data["nearer"] == []
    assert (data["uncertainty"]["samples"], data["uncertainty"]["seed"]) == (3, 7)
    assert len(data["binding"]) == len(data["calendar"]["labels"]) == 12
    for found in data["binding"]:
        assert sum(binding["share"] for binding in found) <= 1.0 + 1e-9


def test_the_spreadsheet_has_formulas(small, tmp_path):
    flow = tmp_path / "flow.xlsx"
    out = run(small, *QUICK, "--cash-flow", flow)
    assert f"wrote {flow}" in out
    assert flow.read_bytes()[:2] == b"PK"


@pytest.mark.parametrize("goal", ["compute", "npv", "run"])
def test_every_goal_is_answered(small, goal):
    out = run(small, *QUICK, "--set", f"build.goal={goal}", "--set", "build.target=null")
    answer = {"compute": "useful compute by", "npv": "net present value is", "run": "is done on"}[goal]
    assert answer in out


def test_without_power_nothing_runs_and_the_message_says_what_it_takes(small):
    settings = ["build.goal=compute", "build.target=null", "build.sites.0.grid=null", "build.sites.0.units=null"]
    with pytest.raises(InfeasibleError, match=r"power at North; it takes .* kW of firm power") as caught:
        run(small, *QUICK, *(word for setting in settings for word in ("--set", setting)))
    assert caught.value.exit_code == 1


def test_a_fleet_beyond_reach_says_how_far_it_gets(small):
    with pytest.raises(
        InfeasibleError,
        match=r"accelerators are reached by the end of the plan in 2025-05; what binds is power at North; it takes about .*% more",
    ):
        run(small, *QUICK, "--set", "build.target=100000")


WRONG = {
    "before the product exists": (
        "{accelerator: H100 SXM, per_month: 2000}",
        "{accelerator: GB200, per_month: 2000, orders: [{date: 2022-06, count: 100}]}",
        "before the product exists",
    ),
    "no supply": (
        "{accelerator: H100 SXM, per_month: 2000}",
        "{accelerator: {base: H100 SXM, name: H100 of my own}}",
        "build.chips.0",
    ),
    "two names alike": (
        "- {accelerator: H100 SXM, per_month: 2000}",
        "- {accelerator: H100 SXM, per_month: 2000}\n    - {accelerator: H100 SXM, per_month: 10}",
        "the name stands twice",
    ),
    "by outside the plan": ("target: 12,000", "target: 12,000\n  by: 2031-01", "a date outside the plan"),
    "a fleet of how many": ("  target: 12,000\n", "", "a fleet of how many"),
    "no build-out": ("build:\n", "deploy:\n", "build"),
}


@pytest.mark.parametrize(("old", "new", "words"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_named_with_its_place(small, old, new, words):
    text = small.read_text()
    assert old in text
    small.write_text(text.replace(old, new))
    with pytest.raises(InputError) as caught:
        run(small, *QUICK)
    assert words in str(caught.value)
    assert str(small) in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--cash-flow", "flow.pdf"], ".xlsx"), (["--set", "build.months=0"], "build.months")],
)
def test_bad_options_are_one_clear_message(small, arguments, words):
    with pytest.raises(InputError) as caught:
        run(small, *QUICK, *arguments)
    assert words in str(caught.value)
