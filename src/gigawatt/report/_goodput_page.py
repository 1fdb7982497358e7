"""The page of `gigawatt goodput --out`: the answer, wall time, curves, causes and policies, drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gigawatt.quantity import format_quantity
from gigawatt.report._files import write_atomically
from gigawatt.report._goodput import (
    answer_rows,
    best_policy,
    cause_rows,
    curve_rows,
    explanations,
    facts,
    policy_rows,
    refusals,
    share,
    share_interval,
)
from gigawatt.report._html import axis, breakdown_chart, page


def goodput_page(report: Mapping[str, Any]) -> str:
    """Return the page of a goodput report (`GoodputReport.to_dict()`)."""
    spread = share_interval(report["goodput_interval"])
    cards = [
        {"label": f"goodput, {report['policy']}", "value": share(report["goodput"]), "interval": spread},
        *(_card(label, value) for label, value in answer_rows(report)[1:]),
    ]
    wall = breakdown_chart(
        "wall_time", "bars", "Wall time", f"Where the time goes: {report['method']}.", report["wall_time"]
    )
    charts = {
        "wall_time": wall,
        "interval": _interval_chart(report),
        "spares": _spare_chart(report),
        "policies": _policy_chart(report),
    }
    causes, rows = cause_rows(report)
    headings, policies = policy_rows(report)
    return page(
        "goodput.html",
        {
            "title": report["scenario"],
            "facts": facts(report),
            "cards": cards,
            "interval_words": "Below a value its P10 to P90 over the simulated runs." if spread else "",
            "best": best_policy(report),
            "warnings": [*report["warnings"], *refusals(report), *explanations(report)],
            "charts": charts,
            "causes": {"columns": causes, "rows": rows},
            "policies": {"columns": headings, "rows": policies},
            "sources": sorted({f"{row['grade']}: {row['source']}" for row in report["interruptions"] if row["source"]}),
            "simulated": f"{report['replicates']:,} simulated runs, seed {report['seed']}"
            if report["replicates"]
            else "closed form",
            "version": report["version"],
        },
    )


def _card(label: str, value: str) -> dict[str, str]:
    first, _, rest = value.partition("; ")
    return {"label": label, "value": first, "interval": rest}


def _curve(
    name: str,
    title: str,
    caption: str,
    lines: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    marks: Sequence[tuple[str, float]],
    x_unit: str,
    log: bool,
    columns: Sequence[str],
    table: Sequence[Sequence[str]],
) -> dict[str, Any]:
    """Return a chart of lines; heights are shares of the time, shown in per cent."""
    points = [point for _, line in lines for point in line]
    low, high = min(y for _, y in points), max(y for _, y in points)
    # the top of the curve is what matters: far below it nothing is read off
    floor = max(low, high - 0.5) if high > 0.5 else low
    room = max(0.05 * (high - floor), min(0.002, 0.1 * high))
    step = 100.0 if high - floor > 0.05 else 1e3 if high > 0.01 else 1e5  # edges at whole per cent, or finer
    best = max(points, key=lambda point: point[1])
    return {
        "id": name,
        "kind": "curve",
        "title": title,
        "caption": caption,
        "unit": "% of the time",
        "x_unit": x_unit,
        "log": log,
        "rows": [],
        "x_min": min(x for x, _ in points),
        "x_max": max(x for x, _ in points) or 1.0,
        "y_min": 100 * math.floor(step * max(floor - room, 0.0)) / step,
        "y_max": max(100 * math.ceil(step * min(high + room, 1.0)) / step, 1e-3),
        "lines": [{"name": label, "points": [[x, 100 * y] for x, y in line]} for label, line in lines],
        "marks": [{"name": label, "x": x} for label, x in marks],
        "label": f"{title}: best {best[1]:.1%} at {best[0]:.4g} {x_unit}",
        "columns": list(columns),
        "table": [list(row) for row in table],
    }


def _interval_chart(report: Mapping[str, Any]) -> dict[str, Any]:
    factor, unit = axis(report["best_interval_s"], "s")
    line = [(point["interval_s"] / factor, point["efficiency"]) for point in report["interval_curve"]]
    marks = [("best", report["best_interval_s"] / factor)]
    if abs(report["interval_s"] / report["best_interval_s"] - 1.0) > 1.0 / 3:
        marks.append(("now", report["interval_s"] / factor))
    classical = ", ".join(
        f"{name.capitalize()} {format_quantity(value, 's')}" for name, value in report["classical_intervals_s"].items()
    )
    return _curve(
        "interval",
        "Goodput by work between saves",
        f"Closed form. {classical}.",
        [("goodput", line)],
        marks,
        f"{unit} of work between saves",
        True,
        ("work between saves", "goodput"),
        curve_rows(report)["interval"],
    )


def _spare_chart(report: Mapping[str, Any]) -> dict[str, Any]:
    curve = report["spare_curve"]
    marks = [("best per node", float(report["best_spares"]))]
    apart = abs(report["spares"] - report["best_spares"])
    if apart > 0.12 * max(point["spares"] for point in curve):
        marks.append(("now", float(report["spares"])))
    return _curve(
        "spares",
        "Goodput by spare nodes",
        "Closed form. The best stock gives most useful time per node, spares counted.",
        [
            ("goodput", [(point["spares"], point["goodput"]) for point in curve]),
            ("useful time per node, spares counted", [(point["spares"], point["per_node"]) for point in curve]),
        ],
        marks,
        "spare nodes",
        False,
        ("spare nodes", "goodput", "per node, spares counted"),
        curve_rows(report)["spares"],
    )


def _policy_chart(report: Mapping[str, Any]) -> dict[str, Any]:
    rows = [row for row in report["policies"] if row["goodput"] is not None]
    headings, table = policy_rows(report)
    how = f"{report['replicates']:,} simulated runs each" if report["compared"] and report["replicates"] else ""
    return {
        "id": "policies",
        "kind": "bars",
        "title": "Policies on the same fleet",
        "caption": how or f"Closed form, but for {report['policy']}; --compare simulates them all.",
        "unit": "% of the time",
        "rows": [
            {
                "label": row["policy"],
                "value": 100 * row["goodput"],
                "text": share(row["goodput"]),
                "share": share_interval(row["goodput_interval"]) or "closed form",
            }
            for row in rows
        ],
        "label": f"Policies: {best_policy(report)}",
        "columns": headings,
        "table": table,
    }


def write_goodput_html(report: Mapping[str, Any], path: Path) -> None:
    """Write the page. Raises OutputError where `path` cannot be written; nothing half-written is left."""
    write_atomically(path, goodput_page(report))
