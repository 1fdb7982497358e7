"""The page of a study: conclusions, then sections of charts, each with its table, and tables. Computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gigawatt.report._html import page

Table = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of `lines_chart`: (x, y) points, and (x, low, middle, high) of what is drawn beside it as whiskers."""

    label: str
    points: Sequence[tuple[float, float]]
    whiskers: Sequence[tuple[float, float, float, float]] = ()
    dashed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyTable:
    """A table that stands by itself; `folded` opens on a click."""

    title: str
    columns: Sequence[str]
    rows: Table
    caption: str = ""
    folded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySection:
    """A heading, paragraphs, charts (`lines_chart`, `shares_chart`, `bars_chart`) and tables."""

    title: str
    texts: Sequence[str] = ()
    charts: Sequence[Mapping[str, Any]] = ()
    tables: Sequence[StudyTable] = field(default=())


def lines_chart(
    name: str,
    title: str,
    caption: str,
    lines: Sequence[Line],
    *,
    x_unit: str,
    unit: str,
    columns: Sequence[str],
    table: Table,
    bands: Sequence[tuple[float, float, str]] = (),
    ticks: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Return a chart of lines over a logarithmic axis, each labelled at its end. `bands` name stretches of the axis:
    (from, to, text); `ticks` are the values that the axis shows, None for the powers of ten.
    """
    rows = [asdict(line) for line in lines]
    named = [{"from": start, "to": end, "text": text} for start, end, text in bands]
    label = f"{title}: {', '.join(line.label for line in lines)}, in {unit} over {x_unit}"
    chart = _chart(name, "lines", title, caption, unit, rows, label, columns, table)
    return {**chart, "x_unit": x_unit, "bands": named, "ticks": ticks}


def shares_chart(
    name: str,
    title: str,
    caption: str,
    rows: Mapping[str, Mapping[str, float]],
    *,
    unit: str,
    end: float,
    columns: Sequence[str],
    table: Table,
) -> dict[str, Any]:
    """Return a chart of one bar per row, cut into the same parts; `end` is the end of the axis."""
    parts = list(dict.fromkeys(part for row in rows.values() for part in row))
    drawn = [{"label": label, "values": [row.get(part, 0.0) for part in parts]} for label, row in rows.items()]
    label = f"{title}: {', '.join(parts)} of {', '.join(rows)}, in {unit}"
    return {
        **_chart(name, "shares", title, caption, unit, drawn, label, columns, table),
        "parts": parts,
        "end": end,
    }


def bars_chart(
    name: str,
    title: str,
    caption: str,
    rows: Sequence[tuple[str, float, str, str]],
    *,
    unit: str,
    columns: Sequence[str],
    table: Table,
) -> dict[str, Any]:
    """Return a chart of one bar per row: (label, value, text of the value, text of its share)."""
    drawn = [{"label": label, "value": value, "text": text, "share": share} for label, value, text, share in rows]
    label = f"{title}: {', '.join(f'{row[0]} {row[2]}' for row in rows)}"
    return _chart(name, "bars", title, caption, unit, drawn, label, columns, table)


def _chart(
    name: str,
    kind: str,
    title: str,
    caption: str,
    unit: str,
    rows: Sequence[Mapping[str, Any]],
    label: str,
    columns: Sequence[str],
    table: Table,
) -> dict[str, Any]:
    return {
        "id": name,
        "kind": kind,
        "title": title,
        "caption": caption,
        "unit": unit,
        "rows": rows,
        "label": label,
        "columns": columns,
        "table": table,
    }


def study_page(
    *,
    title: str,
    lead: str,
    facts: str,
    conclusions: Sequence[tuple[str, str]],
    sections: Sequence[StudySection],
    version: str,
) -> str:
    """Return the page of a study, self-contained like every report. `conclusions` are pairs of what and the sentence."""
    return page(
        "study.html",
        {
            "title": title,
            "lead": lead,
            "facts": facts,
            "conclusions": conclusions,
            "sections": [
                {
                    "title": section.title,
                    "texts": section.texts,
                    "charts": [chart["id"] for chart in section.charts],
                    "tables": section.tables,
                }
                for section in sections
            ],
            "charts": {chart["id"]: chart for section in sections for chart in section.charts},
            "version": version,
        },
    )
