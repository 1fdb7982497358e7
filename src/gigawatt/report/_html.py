"""The plan as one HTML file: every chart and the library that draws it inside, no network, a table under each chart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from gigawatt.quantity import format_quantity
from gigawatt.report._files import write_atomically
from gigawatt.report._terminal import strategy_line

_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_TIMES = ((86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"))
_MONEY = ((1e9, "billion USD"), (1e6, "million USD"), (1e3, "thousand USD"), (1.0, "USD"))


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


def _parts(tree: Mapping[str, Any]) -> list[dict[str, Any]]:
    factor, _ = axis(tree["value"], tree["unit"])
    total = tree["value"] or 1.0
    return [
        {
            "label": part["label"],
            "value": part["value"] / factor,
            "text": format_quantity(part["value"], part["unit"]),
            "share": f"{part['value'] / total:.1%}",
        }
        for part in tree["children"]
    ]


def breakdown_chart(name: str, kind: str, title: str, caption: str, tree: Mapping[str, Any]) -> dict[str, Any]:
    parts = _parts(tree)
    if kind == "bars":
        parts.sort(key=lambda part: part["value"], reverse=True)
    largest = ", ".join(
        f"{part['label']} {part['share']}" for part in sorted(parts, key=lambda part: -part["value"])[:3]
    )
    total = format_quantity(tree["value"], tree["unit"])
    return {
        "id": name,
        "kind": kind,
        "title": title,
        "caption": caption,
        "unit": axis(tree["value"], tree["unit"])[1],
        "rows": parts,
        "total": total,
        "label": f"{title}: {total} in total; largest: {largest}",
        "columns": ["part", "value", "share"],
        "table": [[part["label"], part["text"], part["share"]] for part in parts],
    }


def timeline_chart(name: str, caption: str, timeline: Mapping[str, Any]) -> dict[str, Any]:
    end = max((row["end_s"] for row in timeline["intervals"]), default=1.0)
    factor, unit = axis(end, "s")
    rows = [
        {
            "lane": row["lane"],
            "label": row["label"],
            "start": row["start_s"] / factor,
            "end": row["end_s"] / factor,
            "text": format_quantity(row["end_s"] - row["start_s"], "s"),
        }
        for row in timeline["intervals"]
    ]
    totals: dict[tuple[str, str], tuple[int, float]] = {}
    for row in timeline["intervals"]:
        count, seconds = totals.get((row["lane"], row["label"]), (0, 0.0))
        totals[row["lane"], row["label"]] = (count + 1, seconds + row["end_s"] - row["start_s"])
    return {
        "id": name,
        "kind": "timeline",
        "title": timeline["title"].capitalize(),
        "caption": caption,
        "unit": unit,
        "rows": rows,
        "lanes": timeline["lanes"],
        "legend": _visible(timeline["intervals"], end) if name != "timeline_run" else [],
        "label": f"{timeline['title']}, {format_quantity(end, 's')} in all",
        "columns": ["lane", "what", "times", "in all"],
        "table": [
            [lane, label, str(count), format_quantity(seconds, "s")]
            for (lane, label), (count, seconds) in totals.items()
        ],
    }


def _visible(intervals: Sequence[Mapping[str, Any]], end: float) -> list[str]:
    """Return the labels that a person can see: those with an interval of a pixel or more (a thousandth of the width)."""
    longest: dict[str, float] = {}
    for row in intervals:
        longest[row["label"]] = max(longest.get(row["label"], 0.0), row["end_s"] - row["start_s"])
    return [label for label, seconds in longest.items() if seconds >= 1e-3 * end] or list(longest)


def _tornado_chart(plan: Mapping[str, Any], target: str, name: str, title: str) -> dict[str, Any] | None:
    mine = [row for row in plan["sensitivities"] if row["output"] == target][:10]
    if not mine:
        return None
    base = plan["outputs"][target]["value"]
    unit = plan["outputs"][target]["unit"]
    factor, axis_unit = axis(max(base, *(max(row["low_output"], row["high_output"]) for row in mine)), unit)
    rows = [
        {
            "label": row["label"],
            "low": row["low_output"] / factor,
            "high": row["high_output"] / factor,
            "low_text": f"{format_quantity(row['low_input'], row['unit'])} gives {format_quantity(row['low_output'], unit)}",
            "high_text": f"{format_quantity(row['high_input'], row['unit'])} gives {format_quantity(row['high_output'], unit)}",
        }
        for row in mine
    ]
    return {
        "id": name,
        "kind": "tornado",
        "title": title,
        "unit": axis_unit,
        "rows": rows,
        "base": base / factor,
        "caption": "Each assumption moved to both ends of its range, the others and the strategy held.",
        "label": f"{title}: {rows[0]['label']} matters most",
        "columns": ["assumption", "at its low end", "at its high end", "grade"],
        "table": [
            [row["label"], shown["low_text"], shown["high_text"], row["grade"]]
            for row, shown in zip(mine, rows, strict=True)
        ],
    }


_CHARTS = (
    (
        "step_time",
        "waterfall",
        "One training step",
        "From the slowest pipeline stage; what waits is shown beside what computes.",
    ),
    ("memory", "stack", "Memory of one accelerator", "On the stage that needs most, against the capacity."),
    (
        "wall_time",
        "stack",
        "Wall time of the run",
        "Share of time that advances training, and what failures and checkpoints take.",
    ),
    ("power", "bars", "Facility power", "Mean over the run, failures included."),
    ("capex", "bars", "Capital", "What the powered accelerators cost with everything around them."),
    ("run_cost", "bars", "Cost of the run", "Capital written off over the run's share of its life, energy, staff."),
)
_TIMELINES = (
    ("run", "Start of the job, then tenths of the training tokens in wall time."),
    (
        "failure_cycle",
        "Work and checkpoints between two failures, the work that is lost, the restart; all at their mean.",
    ),
    ("step", "Phases on the first and the last pipeline stage."),
)


def view(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the template shows: texts and chart rows, from `Plan.to_dict()`."""
    charts = {
        name: breakdown_chart(name, kind, title, caption, plan["breakdowns"][name])
        for name, kind, title, caption in _CHARTS
        if name in plan["breakdowns"]
    }
    for name, caption in _TIMELINES:
        if name in plan["timelines"]:
            charts[f"timeline_{name}"] = timeline_chart(f"timeline_{name}", caption, plan["timelines"][name])
    for target, name, title in (
        ("run.time", "tornado_time", "What the length of the run depends on"),
        ("finance.run_cost", "tornado_cost", "What the cost of the run depends on"),
    ):
        chart = _tornado_chart(plan, target, name, title)
        if chart is not None:
            charts[name] = chart
    return {
        "plan": plan,
        "notes": plan["warnings"],
        "cards": [_card(row) for row in plan["headline"]],
        "charts": charts,
        "levers": sorted(plan["levers"], key=lambda row: -row["time_saved_s"]),
        "strategy": strategy_line(plan["strategy"], plan["search"]),
        "alternatives": [_alternative(row) for row in plan["alternatives"]],
        "constraints": [_constraint(row) for row in plan["constraints"]],
        "assumptions": [_assumption(path, row) for path, row in plan["assumptions"].items()],
        "outputs": [_output(path, row) for path, row in plan["outputs"].items()],
        "rejected": [(rule, f"{count:,}") for rule, count in plan["search"]["rejected"].items()],
        "fleet": ", ".join(f"{group['powered']:,} × {group['accelerator']}" for group in plan["fleet"]["groups"]),
        "model": {
            "parameters": format_quantity(plan["model"]["parameters_total"], ""),
            "active": format_quantity(plan["model"]["parameters_active"], ""),
            "tokens": format_quantity(plan["model"]["tokens"], "token"),
            "batch": format_quantity(plan["model"]["global_batch_tokens"], "token"),
        },
    }


def _interval(row: Mapping[str, Any], low: str = "low", high: str = "high") -> str:
    if row[low] == row[high]:
        return ""
    return f"{format_quantity(row[low], row['unit'])} – {format_quantity(row[high], row['unit'])}"


def _card(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "label": row["label"],
        "value": format_quantity(row["value"], row["unit"]),
        "interval": _interval(row),
        "path": row["path"],
    }


def _alternative(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "step_time": format_quantity(row["step_time"], "s"), "memory": format_quantity(row["memory"], "B")}


def _constraint(row: Mapping[str, Any]) -> dict[str, Any]:
    used = row["used"] / row["limit"] if row["limit"] else 0.0
    slack = row["slack_fraction"]
    return {
        "name": row["name"],
        "sentence": row["sentence"],
        "binding": row["binding"],
        "over": slack < -1e-9,
        "width": f"{min(max(used, 0.0), 1.0):.4f}",
        "slack": f"{abs(slack):.1%} {'over' if slack < -1e-9 else 'left'}",
    }


def _assumption(path: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "path": path,
        "label": row["label"],
        "best": format_quantity(row["best"], row["unit"]),
        "interval": _interval(row),
        "grade": row["grade"],
        "source": row["source"],
        "date": row["date"],
        "note": row["note"],
    }


def _output(path: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "path": path,
        "label": row["label"],
        "value": format_quantity(row["value"], row["unit"]),
        "interval": _interval(row),
        "how": row["formula"] or row["method"],
        "inputs": ", ".join(row["inputs"].values()),
    }


def render_html(plan: Mapping[str, Any]) -> str:
    """Return the page of a plan (`Plan.to_dict()`)."""
    return page("plan.html", view(plan))


def page(template: str, shown: Mapping[str, Any]) -> str:
    """Return a self-contained page of a template; `shown` holds its values and `charts` by name."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("gigawatt.report", "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        **shown,
        chart_data=_for_script(list(shown["charts"].values())),
        library=_asset("echarts.min.js"),
        script=_asset("report.js"),
        style=_asset("report.css"),
    )


def write_html(plan: Mapping[str, Any], path: Path) -> None:
    """Write the page of a plan. Raises OutputError where `path` cannot be written; nothing half-written is left."""
    write_atomically(path, render_html(plan))


def _for_script(data: Any) -> str:
    """Return JSON that is safe inside a script element."""
    text = json.dumps(data, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _asset(name: str) -> str:
    text = files("gigawatt.report").joinpath("assets", name).read_text(encoding="utf-8")
    return text.replace("</script", "<\\/script")
