"""The page of `gigawatt goodput --out`: the answer, wall time, curves, causes and policies, drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gigawatt.quantity import format_quantity
from gigawatt.report._charts import Chart, Line, axis, bars_chart, breakdown_chart, lines_chart
from gigawatt.report._goodput import (
    answer_rows,
    best_policy,
    cause_rows,
    curve_rows,
    explanations,
    facts,
    policy_rows,
    policy_words,
    refusals,
    share,
    share_interval,
)
from gigawatt.report._page import Card, Cards, Notes, Section, Table, Text, page

_DASH = " – "
_CAUSES = "“1 % more” is what 1 % more of the rate does to the goodput; lost time and money are shared out by it."


def goodput_page(report: Mapping[str, Any]) -> str:
    """Return the page of a goodput report (`GoodputReport.to_dict()`)."""
    spread = share_interval(report["goodput_interval"], _DASH)
    words = policy_words(report["policy"])
    cards = [
        Card(label=f"goodput, {words}", value=share(report["goodput"]), below=spread and f"{spread}, P10 to P90"),
        *(_card(label, value) for label, value in answer_rows(report)[1:]),
    ]
    warnings = [*report["warnings"], *refusals(report), *explanations(report)]
    causes, rows = cause_rows(report, _DASH)
    sources = sorted({f"{row['grade']}: {row['source']}" for row in report["interruptions"] if row["source"]})
    wall = f"Where the time goes: {report['method']}."
    runs = f"{report['replicates']:,} simulated runs, seed {report['seed']}" if report["replicates"] else "closed form"
    return page(
        kind="goodput",
        title=report["scenario"],
        facts=facts(report),
        sections=[
            Section(title="The answer", blocks=[Cards(cards=cards), Notes(items=warnings) if warnings else None]),
            Section(
                title="Where the time goes",
                blocks=[breakdown_chart("wall_time", "bars", "Wall time", wall, report["wall_time"])],
            ),
            Section(
                title="Interruptions by cause",
                blocks=[
                    Table(columns=causes, rows=rows, caption=_CAUSES),
                    Notes(items=sources, hint=True) if sources else None,
                ],
            ),
            Section(title="Checkpoints and spares", blocks=[(_interval_chart(report), _spare_chart(report))]),
            Section(title="Policies", blocks=[Text(text=best_policy(report, policy_words)), _policy_chart(report)]),
        ],
        foot=[f"gigawatt {report['version']}", runs],
    )


def _card(label: str, value: str) -> Card:
    first, _, rest = value.partition("; ")
    return Card(label=label, value=first, below=rest)


def _curve(
    name: str,
    title: str,
    caption: str,
    lines: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    marks: Sequence[tuple[float, str]],
    x_unit: str,
    columns: Sequence[str],
    table: Sequence[Sequence[str]],
    *,
    log: bool,
) -> Chart:
    """Return a chart of lines; heights are shares of the time, shown in per cent."""
    points = [point for _, line in lines for point in line]
    low, high = min(y for _, y in points), max(y for _, y in points)
    # the top of the curve is what matters: far below it nothing is read off
    floor = max(low, high - 0.5) if high > 0.5 else low
    room = max(0.05 * (high - floor), min(0.002, 0.1 * high))
    step = 100.0 if high - floor > 0.05 else 1e3 if high > 0.01 else 1e5  # edges at whole per cent, or finer
    best = max(points, key=lambda point: point[1])
    return lines_chart(
        name,
        title,
        caption,
        [
            Line(label=label, points=[(x, 100 * y) for x, y in line], dashed=bool(i))
            for i, (label, line) in enumerate(lines)
        ],
        x_unit=x_unit,
        unit="% of the time",
        columns=columns,
        table=table,
        log=log,
        y_range=(
            100 * math.floor(step * max(floor - room, 0.0)) / step,
            max(100 * math.ceil(step * min(high + room, 1.0)) / step, 1e-3),
        ),
        marks=marks,
        says=f"best {best[1]:.1%} at {best[0]:.4g} {x_unit}",
    )


def _interval_chart(report: Mapping[str, Any]) -> Chart:
    factor, unit = axis(report["best_interval_s"], "s")
    marks = [(report["best_interval_s"] / factor, "best")]
    if abs(report["interval_s"] / report["best_interval_s"] - 1.0) > 1.0 / 3:
        marks.append((report["interval_s"] / factor, "now"))
    classical = ", ".join(
        f"{name.capitalize()} {format_quantity(value, 's')}" for name, value in report["classical_intervals_s"].items()
    )
    return _curve(
        "interval",
        "Goodput by work between saves",
        f"Closed form. Best interval after {classical}.",
        [("goodput", [(point["interval_s"] / factor, point["efficiency"]) for point in report["interval_curve"]])],
        marks,
        f"{unit} of work between saves",
        ("work between saves", "goodput"),
        curve_rows(report)["interval"],
        log=True,
    )


def _spare_chart(report: Mapping[str, Any]) -> Chart:
    curve = report["spare_curve"]
    marks = [(float(report["best_spares"]), "best per node")]
    apart = abs(report["spares"] - report["best_spares"])
    if apart > 0.12 * max(point["spares"] for point in curve):
        marks.append((float(report["spares"]), "now"))
    return _curve(
        "spares",
        "Goodput by spare nodes",
        "Closed form. The best stock gives most useful time per node, spares counted.",
        [
            ("goodput", [(point["spares"], point["goodput"]) for point in curve]),
            ("per node, spares counted", [(point["spares"], point["per_node"]) for point in curve]),
        ],
        marks,
        "spare nodes",
        ("spare nodes", "goodput", "per node, spares counted"),
        curve_rows(report)["spares"],
        log=False,
    )


def _policy_chart(report: Mapping[str, Any]) -> Chart:
    headings, table = policy_rows(report, _DASH, policy_words)
    how = f"{report['replicates']:,} simulated runs each" if report["compared"] and report["replicates"] else ""
    rows = [
        (
            policy_words(row["policy"]),
            100 * row["goodput"],
            share(row["goodput"]),
            share_interval(row["goodput_interval"], _DASH) or "closed form",
        )
        for row in report["policies"]
        if row["goodput"] is not None
    ]
    return bars_chart(
        "policies",
        "Policies on the same fleet",
        how or f"Closed form, but for {policy_words(report['policy'])}; --compare simulates them all.",
        rows,
        unit="% of the time",
        columns=headings,
        table=table,
    )
