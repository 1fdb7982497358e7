"""A page from plain values."""

import json
import re

import pytest

from gigawatt.report import (
    Callout,
    Card,
    Cards,
    Cell,
    Line,
    Notes,
    Section,
    Table,
    Text,
    bars_chart,
    breakdown_chart,
    card,
    lines_chart,
    page,
)

EVIL = "</script><img src=x onerror=alert(1)>"


def chart(name, label="line"):
    return lines_chart(
        name,
        "Power",
        "Assumed: nothing.",
        [Line(label=label, points=[(0.0, 1.0), (2.0, 3.0)])],
        x_unit="h",
        unit="MW",
        columns=["time", "power"],
        table=[["0 h", "1 MW"], ["2 h", "3 MW"]],
        log=False,
    )


def page_of(*blocks, **more):
    values = {"kind": "power", "title": "A site", "facts": "100 MW", "foot": ["gigawatt 0"], **more}
    return page(sections=[Section(title="What & why?", blocks=blocks)], **values)


def charts_in(html):
    return json.loads(re.search(r'id="chart-data">(.*?)</script>', html, re.S).group(1))


def test_every_block_is_shown():
    html = page_of(
        "A paragraph.",
        None,
        Text(text="tp=8", lead="Strategy", code=True),
        Notes(items=["One.", ("Sites", "Two.")]),
        Callout(items=[("What binds", "Power.")], bad=True),
        Cards(cards=[Card(label="cost", value="$1"), card("time", {"best": 2.0, "low": 1.0, "high": 3.0}, "s")]),
        Table(columns=["what", "how much"], rows=[["a", Cell(text="b", note="why", grade="stated")]], caption="Small."),
        Table(columns=["x"], rows=[], title="Rest", folded=True, filter="Filter the rest"),
        chart("one"),
        (chart("two"), None, chart("three")),
    )
    assert [found["id"] for found in charts_in(html)] == ["one", "two", "three"]
    for text in (
        "<p>A paragraph.</p>",
        "<b>Strategy</b> <code>tp=8</code>",
        "<b>Sites.</b> Two.",
        '<div class="callout bad" role="note">',
        "1 s – 3 s",
        "<small>why</small>",
        '<span class="grade stated">b</span>',
        "<summary>Rest</summary>",
        "Filter the rest",
        'id="section-what-why"',
        "gigawatt 0 · charts drawn with Apache ECharts",
    ):
        assert text in html
    assert html.count('<div class="pair">') == 1


def test_a_page_without_charts_says_nothing_of_them():
    assert "ECharts</footer>" not in page_of("Words alone.")


@pytest.mark.parametrize("where", ["title", "facts", "lead"])
def test_no_value_can_break_out(where):
    html = page_of(
        EVIL, chart("one", EVIL), Table(columns=[EVIL], rows=[[Cell(text=EVIL, code=EVIL)]]), **{where: EVIL}
    )
    assert EVIL not in html
    assert charts_in(html)[0]["rows"][0]["label"] == EVIL


def test_bars_of_a_breakdown_are_largest_first_and_one_bar_keeps_its_order():
    parts = [{"label": name, "value": value, "unit": "W"} for name, value in (("a", 1e6), ("free", 3e6))]
    tree = {"label": "all", "value": 4e6, "unit": "W", "children": parts}
    bars = breakdown_chart("power", "bars", "Power", "", tree)
    assert [row["label"] for row in bars["rows"]] == ["free", "a"]
    assert bars["unit"] == "MW"
    cut = breakdown_chart("power", "shares", "Power", "", tree)
    assert (cut["parts"], cut["hollow"], cut["end"]) == (["a", "free"], [False, True], 4.0)
    assert cut["rows"] == [{"label": "", "values": [1.0, 3.0], "texts": ["1 MW", "3 MW"]}]


def test_bars_name_their_values():
    shown = bars_chart("b", "Gain", "", [("x", 1.0, "1 %", "")], unit="%", columns=["x"], table=[["x"]])
    assert shown["label"] == "Gain: x 1 %"
