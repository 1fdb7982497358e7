"""One HTML page from plain values: a title, facts, and sections of text, cards, charts and tables. Computes nothing.

A page is one file: style, script, the library that draws, and the numbers are inside, so it needs no network. A block
of a section is a string (a paragraph), one of the classes below, a chart (see `_charts`), or a tuple of charts that
stand side by side where there is room. None is left out, which is handy for what is there only sometimes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from gigawatt.quantity import format_quantity
from gigawatt.report._charts import Chart


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A paragraph. `lead` is set in bold before it; a `hint` is small print; `code` can be copied."""

    text: str
    lead: str = ""
    hint: bool = False
    code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Lines to copy as they are, named by their title."""

    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """A list of sentences, or of pairs of what a sentence is about and the sentence."""

    items: Sequence[str | tuple[str, str]]
    hint: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Callout:
    """What a reader should see first, as pairs of what it is about and a sentence; `bad` where something fails."""

    items: Sequence[tuple[str, str]]
    bad: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One number of the answer; `below` stands under it, `path` names it to `gigawatt explain`."""

    label: str
    value: str
    below: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cards:
    """Cards beside one another."""

    cards: Sequence[Card]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell of a table with more than its text: a `code` and a `note` under it, a `tag` beside it, an evidence `grade`,
    or a `meter` that is filled by a share from 0 to 1. `tone` colours tag and meter: "warn" or "bad".
    """

    text: str
    code: str = ""
    note: str = ""
    tag: str = ""
    grade: str = ""
    meter: float | None = None
    tone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table; the first cell of a row names it. `folded` opens on a click, `filter` is the label of a box to search it.

    Without a title the heading of its section names it; a folded table needs one.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    title: str = ""
    caption: str = ""
    folded: bool = False
    filter: str = ""
    hint: str = ""


Block = str | Text | Code | Notes | Callout | Cards | Table | Chart | tuple[Chart | None, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]


def card(label: str, value: Mapping[str, Any], unit: str, best: str = "best", path: str = "") -> Card:
    """Return the card of a value with its interval; `best` is the key of the value itself."""
    return Card(label=label, value=format_quantity(value[best], unit), below=interval(value, unit), path=path)


def interval(value: Mapping[str, Any], unit: str) -> str:
    """Return low and high of a value as text; "" where they are the same."""
    if value["low"] == value["high"]:
        return ""
    return f"{format_quantity(value['low'], unit)} – {format_quantity(value['high'], unit)}"


def page(
    *,
    kind: str,
    title: str,
    facts: str,
    sections: Sequence[Section],
    foot: Sequence[str],
    lead: str = "",
) -> str:
    """Return a page. `kind` is the verb that wrote it, `foot` what stands in its last line."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("gigawatt.report", "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = [
        {
            "id": "section-" + re.sub(r"\W+", "-", section.title.lower()).strip("-"),
            "title": section.title,
            "blocks": [_named(block) for block in section.blocks if block is not None],
        }
        for section in sections
    ]
    charts = [chart for section in shown for name, block in section["blocks"] if name == "charts" for chart in block]
    return environment.get_template("page.html").render(
        kind=kind,
        title=title,
        lead=lead,
        facts=facts,
        sections=shown,
        foot=[*foot, *(["charts drawn with Apache ECharts"] if charts else [])],
        chart_data=_for_script(charts),
        library=_asset("echarts.min.js"),
        script=_asset("report.js"),
        style=_asset("report.css"),
    )


def _named(
    block: str | Text | Code | Notes | Callout | Cards | Table | Chart | tuple[Chart | None, ...],
) -> tuple[str, Any]:
    """Return the name of the macro that shows a block, and what it shows."""
    if isinstance(block, str):
        return "text", Text(text=block)
    if isinstance(block, Mapping):
        return "charts", [block]
    if isinstance(block, tuple):
        return "charts", [chart for chart in block if chart is not None]
    return type(block).__name__.lower(), block


def _for_script(data: Any) -> str:
    """Return JSON that is safe inside a script element."""
    text = json.dumps(data, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _asset(name: str) -> str:
    text = files("gigawatt.report").joinpath("assets", name).read_text(encoding="utf-8")
    return text.replace("</script", "<\\/script")
