"""Charts as plain values: what to draw, how it is named, and the table that stands under it. `report.js` places them.

An axis whose unit is DATE has dates on it, `date_value` each.

Every chart has an `id` of its own on its page, a title, a caption that says what is assumed, the unit of its axis and a
label for those who cannot see it. Values are in the unit that the axis names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from gigawatt.quantity import format_quantity

Chart = Mapping[str, Any]
Rows = Sequence[Sequence[str]]

_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_TIMES = ((86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"))
_MONEY = ((1e9, "billion USD"), (1e6, "million USD"), (1e3, "thousand USD"), (1.0, "USD"))
DATE = "date"
_HOLLOW = ("free", "idle")  # parts of a whole that nothing fills


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of `lines_chart`: (x, y) points, (x, low, middle, high) of what is drawn beside it as whiskers, and (x,
    low, high) of the span that is shaded about it.
    """

    label: str
    points: Sequence[tuple[float, float]]
    whiskers: Sequence[tuple[float, float, float, float]] = ()
    envelope: Sequence[tuple[float, float, float]] = ()
    dashed: bool = False


def date_value(day: str) -> float:
    """Return a day, or the first day of a month, on an axis of dates: ms from 1970."""
    return (
        1e3 * datetime.fromisoformat(day if len(day) > len("2024-05") else f"{day}-01").replace(tzinfo=UTC).timestamp()
    )


def axis(largest: float, unit: str) -> tuple[float, str]:
    """Return (factor, name) of the unit in which values up to `largest` read best on an axis."""
    steps: Sequence[tuple[float, str]] = ((1.0, unit or "share"),)
    if unit == "fraction":
        steps = [(0.01, "%")]
    elif unit == "s":
        steps = _TIMES
    elif unit == "USD":
        steps = _MONEY
    elif unit == "J":
        steps = [(3600.0 * factor, f"{prefix}Wh") for factor, prefix in _PREFIXES]
    elif unit in ("W", "B", "B/s", "FLOP/s"):
        steps = [(factor, f"{prefix}{unit}") for factor, prefix in _PREFIXES]
    return next((step for step in steps if largest >= 1.5 * step[0]), steps[-1])


def breakdown_chart(name: str, kind: str, title: str, caption: str, tree: Mapping[str, Any]) -> Chart:
    """Return a chart of a breakdown: "bars" (largest first), "waterfall" (in order) or "shares" (one bar, cut)."""
    factor, unit = axis(tree["value"], tree["unit"])
    whole = tree["value"] or 1.0
    parts = [
        {
            "label": part["label"],
            "value": part["value"] / factor,
            "text": format_quantity(part["value"], part["unit"]),
            "share": f"{part['value'] / whole:.1%}",
        }
        for part in tree["children"]
    ]
    by_size = sorted(parts, key=lambda part: -part["value"])
    total = format_quantity(tree["value"], tree["unit"])
    largest = ", ".join(f"{part['label']} {part['share']}" for part in by_size[:3])
    if kind == "bars":
        parts = by_size
    rows = parts
    if kind == "shares":
        rows = [{"label": "", "values": [part["value"] for part in parts], "texts": [part["text"] for part in parts]}]
    chart = _chart(
        name,
        kind,
        title,
        caption,
        unit,
        rows,
        f"{title}: {total} in total; largest: {largest}",
        ["part", "value", "share"],
        [[part["label"], part["text"], part["share"]] for part in parts],
    )
    if kind == "shares":
        chart |= _cut([part["label"] for part in parts], sum(part["value"] for part in parts))
    return {**chart, "total": total}


def shares_chart(
    name: str,
    title: str,
    caption: str,
    rows: Mapping[str, Mapping[str, float]],
    *,
    unit: str,
    end: float,
    columns: Sequence[str],
    table: Rows,
) -> Chart:
    """Return a chart of one bar per row, cut into the same parts; `end` is the end of the axis."""
    parts = list(dict.fromkeys(part for row in rows.values() for part in row))
    drawn = [{"label": label, "values": [row.get(part, 0.0) for part in parts]} for label, row in rows.items()]
    label = f"{title}: {', '.join(parts)} of {', '.join(rows)}, in {unit}"
    return _chart(name, "shares", title, caption, unit, drawn, label, columns, table) | _cut(parts, end)


def _cut(parts: Sequence[str], end: float) -> dict[str, Any]:
    return {"parts": parts, "hollow": [part in _HOLLOW for part in parts], "end": end}


def bars_chart(
    name: str,
    title: str,
    caption: str,
    rows: Sequence[tuple[str, float, str, str]],
    *,
    unit: str,
    columns: Sequence[str],
    table: Rows,
) -> Chart:
    """Return a chart of one bar per row: (label, value, text of the value, text of its share)."""
    drawn = [{"label": label, "value": value, "text": text, "share": share} for label, value, text, share in rows]
    label = f"{title}: {', '.join(f'{row[0]} {row[2]}' for row in rows)}"
    return _chart(name, "bars", title, caption, unit, drawn, label, columns, table)


def lines_chart(
    name: str,
    title: str,
    caption: str,
    lines: Sequence[Line],
    *,
    x_unit: str,
    unit: str,
    columns: Sequence[str],
    table: Rows,
    log: bool = True,
    log_y: bool = False,
    ticks: Sequence[float] | None = None,
    y_range: tuple[float, float] | None = None,
    bands: Sequence[tuple[float, float, str]] = (),
    marks: Sequence[tuple[float, str]] = (),
    says: str = "",
) -> Chart:
    """Return a chart of lines, each labelled at its end, over a logarithmic axis or, without `log`, a linear one.

    `ticks` are the values that the x axis shows, None for what suits it; `y_range` the ends of the y axis, None for 0 to
    above the highest point (needed with `log_y`). `bands` name stretches of the x axis, (from, to, text), and `marks` values, (x, text).
    `says` is the label for those who cannot see the chart, "" for the names of the lines.
    """
    rows = [asdict(line) for line in lines]
    label = says or f"{', '.join(line.label for line in lines)}, in {unit} over {x_unit}"
    return {
        **_chart(name, "lines", title, caption, unit, rows, f"{title}: {label}", columns, table),
        "x_unit": x_unit,
        "log": log,
        "log_y": log_y,
        "ticks": ticks,
        "y_range": y_range,
        "bands": [{"from": start, "to": end, "text": text} for start, end, text in bands],
        "marks": [{"x": x, "text": text} for x, text in marks],
    }


def points_chart(
    name: str,
    title: str,
    caption: str,
    rows: Mapping[str, Sequence[tuple[float, float, str]]],
    *,
    front: tuple[str, Sequence[tuple[float, float]]],
    hues: Mapping[str, int],
    x_unit: str,
    unit: str,
    columns: Sequence[str],
    table: Rows,
    marks: Sequence[tuple[float, str]] = (),
) -> Chart:
    """Return a chart of points, (x, y, what it is), one symbol and colour per row, with a dashed line (label, points)
    along those that no other point beats. `hues` numbers the colours and symbols of the rows; `marks` name values of
    the x axis, (x, text).
    """
    drawn = [{"label": label, "hue": hues[label], "points": list(points)} for label, points in rows.items()]
    label = f"{title}: {', '.join(rows)}, in {unit} over {x_unit}"
    return {
        **_chart(name, "points", title, caption, unit, drawn, label, columns, table),
        "x_unit": x_unit,
        "front": {"label": front[0], "points": list(front[1])},
        "marks": [{"x": x, "text": text} for x, text in marks],
    }


def areas_chart(
    name: str,
    title: str,
    caption: str,
    x: Sequence[float],
    rows: Mapping[str, Sequence[float | None]],
    *,
    x_unit: str,
    unit: str,
    columns: Sequence[str],
    table: Rows,
    line: tuple[str, Sequence[float]] | None = None,
    held: bool = True,
    filled: bool = True,
    end: float | None = None,
    hues: Mapping[str, int] | None = None,
) -> Chart:
    """Return a chart of parts that add up, one area each over `x`, and a line (label, values) beside them.

    A value that is `held` stands until the next. Without `filled` the rows do not add up: a line each, None for a gap.
    `end` is the end of the y axis, None for what suits it; `hues` numbers the colours of labels that have theirs elsewhere.
    """
    drawn = [{"label": label, "values": list(values)} for label, values in rows.items()]
    for row in drawn:
        if hues is not None and row["label"] in hues:
            row["hue"] = hues[str(row["label"])]  # type: ignore[assignment]
    chart = _chart(
        name,
        "areas",
        title,
        caption,
        unit,
        drawn,
        f"{title}: {', '.join(rows)} in {unit} over {x_unit}",
        columns,
        table,
    )
    return {
        **chart,
        "x": list(x),
        "x_unit": x_unit,
        "line": None if line is None else {"label": line[0], "values": list(line[1])},
        "held": held,
        "filled": filled,
        "end": end,
    }


def waterfall_chart(
    name: str, title: str, caption: str, rows: Sequence[tuple[str, float]], total: tuple[str, float], unit: str
) -> Chart:
    """Return a chart of parts, (label, value) of either sign, each from where the one before ends, and their total."""
    factor, axis_unit = axis(max(abs(value) for _, value in (*rows, total)), unit)
    drawn: list[dict[str, Any]] = [
        {"label": label, "value": value / factor, "text": format_quantity(value, unit), "share": ""}
        for label, value in (*rows, total)
    ]
    drawn[-1]["total"] = True
    table = [[row["label"], row["text"]] for row in drawn]
    return _chart(name, "waterfall", title, caption, axis_unit, drawn, title, ["part", "value"], table)


def timeline_chart(
    name: str,
    caption: str,
    timeline: Mapping[str, Any],
    *,
    legend: bool = True,
    start: str | None = None,
    critical: Sequence[str] = (),
) -> Chart:
    """Return a chart of intervals on lanes; `legend` where colours mean the same everywhere.

    `start` is the day of second 0, for an axis of dates. With `critical` lanes or labels, colours tell these from others.
    """
    end = max((row["end_s"] for row in timeline["intervals"]), default=1.0)
    factor, unit = axis(end, "s") if start is None else (1e-3, DATE)
    zero = 0.0 if start is None else date_value(start)
    rows = [
        {
            "lane": row["lane"],
            "label": _slack(row, critical),
            "name": row["label"],
            "start": zero + row["start_s"] / factor,
            "end": zero + row["end_s"] / factor,
            "text": format_quantity(row["end_s"] - row["start_s"], "s"),
        }
        for row in timeline["intervals"]
    ]
    if critical:
        rows.sort(key=lambda row: row["label"] != "critical")
    totals: dict[tuple[str, str], tuple[int, float]] = {}
    for row in timeline["intervals"]:
        count, seconds = totals.get((row["lane"], row["label"]), (0, 0.0))
        totals[row["lane"], row["label"]] = (count + 1, seconds + row["end_s"] - row["start_s"])
    chart = _chart(
        name,
        "timeline",
        timeline["title"].capitalize(),
        caption,
        unit,
        rows,
        f"{timeline['title']}, {format_quantity(end, 's')} in all",
        ["lane", "what", "times", "in all"],
        [
            [lane, label, str(count), format_quantity(seconds, "s")]
            for (lane, label), (count, seconds) in totals.items()
        ],
    )
    shown = [{**row, "label": _slack(row, critical)} for row in timeline["intervals"]]
    return {**chart, "lanes": timeline["lanes"], "legend": _visible(shown, end) if legend else []}


def _slack(row: Mapping[str, Any], critical: Sequence[str]) -> str:
    """Return what the colour of an interval stands for."""
    if not critical:
        return str(row["label"])
    return "critical" if row["lane"] in critical or row["label"] in critical else "not critical"


def _visible(intervals: Sequence[Mapping[str, Any]], end: float) -> list[str]:
    """Return the labels that a person can see: those with an interval of a pixel or more (a thousandth of the width)."""
    longest: dict[str, float] = {}
    for row in intervals:
        longest[row["label"]] = max(longest.get(row["label"], 0.0), row["end_s"] - row["start_s"])
    return [label for label, seconds in longest.items() if seconds >= 1e-3 * end] or list(longest)


def tornado_chart(name: str, title: str, caption: str, base: float, rows: Sequence[Mapping[str, Any]]) -> Chart:
    """Return a chart of what moves an output away from `base`: sensitivities of a plan, the first matters most."""
    unit = rows[0]["output_unit"]
    factor, axis_unit = axis(max(base, *(max(row["low_output"], row["high_output"]) for row in rows)), unit)
    drawn = [
        {
            "label": row["label"],
            **{end: row[f"{end}_output"] / factor for end in ("low", "high")},
            **{
                f"{end}_text": f"{format_quantity(row[f'{end}_input'], row['unit'])} gives {format_quantity(row[f'{end}_output'], unit)}"
                for end in ("low", "high")
            },
        }
        for row in rows
    ]
    chart = _chart(
        name,
        "tornado",
        title,
        caption,
        axis_unit,
        drawn,
        f"{title}: {drawn[0]['label']} matters most",
        ["assumption", "at its low end", "at its high end", "grade"],
        [
            [row["label"], shown["low_text"], shown["high_text"], row["grade"]]
            for row, shown in zip(rows, drawn, strict=True)
        ],
    )
    return {**chart, "base": base / factor}


def _chart(
    name: str,
    kind: str,
    title: str,
    caption: str,
    unit: str,
    rows: Sequence[Mapping[str, Any]],
    label: str,
    columns: Sequence[str],
    table: Rows,
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
