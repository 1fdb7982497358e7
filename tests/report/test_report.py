import io
import json
import re
from functools import cache
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

import gigawatt
from gigawatt.errors import OutputError
from gigawatt.planning import explain
from gigawatt.report import (
    plan_schema,
    print_entry,
    print_explanation,
    print_listing,
    print_plan,
    render_html,
    write_atomically,
    write_html,
)


@cache
def plan():
    return gigawatt.plan(Path(__file__).parents[2] / "examples" / "colossus-100k.yaml")


def printed(show, *arguments, width=80):
    stream = io.StringIO()
    show(*arguments, Console(file=stream, width=width))
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_summary_fits_a_screen_and_is_plain_when_piped(width):
    text = printed(print_plan, plan().to_dict(), width=width)
    assert "\x1b" not in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert len(text.splitlines()) <= 50
    for word in ("what binds", "smallest change", "strategy", "training run", "facility power"):
        assert word in text


def test_the_explanation_shows_formula_and_source():
    text = printed(print_explanation, explain(plan(), "power.facility"), width=120)
    assert "(pue - 1) * it" in text
    assert "Google fleet 1.10" in text
    assert "measured; " in text


def test_the_page_is_one_file_without_addresses():
    page = render_html(plan().to_dict())
    head = page.split('<script type="application/json"')[0]
    assert not re.search(r"""(src|href)=["'](?!data:,)""", head)
    assert "@import" not in head
    assert page.count("<script") == 3
    for chart in ("step_time", "memory", "power", "capex", "run_cost", "timeline_run", "tornado_time"):
        assert f'data-chart="{chart}"' in page
    for path in plan().assumptions:
        assert path in page


def test_text_of_a_scenario_cannot_break_out():
    data = json.loads(json.dumps(plan().to_dict()))
    evil = "</script><img src=x onerror=alert(1)>"
    data["scenario"]["name"] = evil
    data["breakdowns"]["power"]["children"][0]["label"] = evil
    page = render_html(data)
    assert evil not in page


def test_nothing_half_written(tmp_path):
    target = tmp_path / "report.html"
    write_html(plan().to_dict(), target)
    assert target.stat().st_size > 1_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(OutputError, match="cannot write"):
        write_atomically(tmp_path / "no" / "such" / "folder.html", "text")
    with pytest.raises(OutputError, match="cannot write"):
        write_atomically(tmp_path, "text")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_published_schema_is_in_step(docs):
    jsonschema.Draft202012Validator.check_schema(plan_schema())
    assert json.loads((docs / "plan.schema.json").read_text()) == plan_schema(), (
        "run: gigawatt schema plan --out docs/plan.schema.json"
    )


@pytest.mark.parametrize("kind", ["accelerators", "models", "facts", "prices", "cases"])
def test_listings_print(catalog, kind):
    assert printed(print_listing, kind, catalog.listing(kind), width=160)


def test_an_entry_shows_every_source(catalog):
    text = printed(print_entry, catalog.describe("accelerators", "H100"), width=160)
    assert "989 TFLOP/s" in text
    assert "Epoch AI" in text
    assert "estimate" in text
