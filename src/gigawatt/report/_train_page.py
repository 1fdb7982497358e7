"""The page of `gigawatt train --out`: one strategy, one step, drawn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gigawatt.quantity import format_quantity
from gigawatt.report._files import write_atomically
from gigawatt.report._html import breakdown_chart, page, timeline_chart
from gigawatt.report._training import deadline_rows, notes, strategy_option, strategy_words

# A drawing of more intervals than this is no longer read; the trace file has them all.
MOST_DRAWN = 2400


def train_page(report: Mapping[str, Any], timeline: Mapping[str, Any]) -> str:
    """Return the page of a training report (`TrainReport.to_dict()`) and the timeline of its step."""
    step, rate, found = report["step_time_s"], report["tokens_per_s"], report["search"]
    cards = [
        _card("step time", step, "s"),
        _card("tokens per second", rate, ""),
        *(
            {"label": f"MFU, {name.partition(',')[0]}", "value": f"{value:.1%}", "interval": ""}
            for name, value in report["mfu"].items()
        ),
        {"label": "HFU", "value": f"{report['hfu']:.1%}", "interval": "recomputation counted, 16-bit peak"},
        {
            "label": "accelerators that work",
            "value": f"{report['accelerators']:,}",
            "interval": f"{report['available'] - report['accelerators']:,} idle",
        },
        {
            "label": "memory of an accelerator",
            "value": format_quantity(report["memory"]["value"], "B"),
            "interval": f"of {format_quantity(report['memory_capacity_bytes'], 'B')}",
        },
        {
            "label": f"run of {format_quantity(report['days_for_tokens']['tokens'], 'token')}",
            "value": f"{report['days_for_tokens']['days']:,.1f} days",
            "interval": "without failures",
        },
        *(
            {"label": label, "value": verdict, "interval": "without failures"}
            for label, verdict in deadline_rows(report)
        ),
    ]
    memory_title = f"Memory, {report['memory']['label'].rpartition(', ')[2]}"
    charts = {
        "step_time": breakdown_chart("step_time", "waterfall", "Step time", "Where one step goes.", report["step"]),
        "memory": breakdown_chart("memory", "bars", memory_title, "What fills it.", report["memory"]),
        "timeline": _drawn(timeline),
    }
    return page(
        "train.html",
        {
            "title": report["scenario"],
            "facts": f"{report['model']['name']} on {report['accelerators']:,} {report['accelerator']} · {report['global_batch']:,} sequences of {report['sequence']:,} tokens · {report['precision']} · {report['optimizer']}",
            "strategy": strategy_words(report["strategy"]),
            "option": strategy_option(report["strategy"]),
            "cards": cards,
            "warnings": notes(report),
            "charts": charts,
            "levers": [
                {"lever": row["lever"], "worth": f"{row['elasticity']:+.2f} %"} for row in report["elasticities"]
            ],
            "alternatives": [
                {
                    "slower": f"{max(row['step_time'] / step['best'] - 1, 0.0):.1%}",
                    "memory": format_quantity(row["memory"], "B"),
                    "strategy": strategy_words(row),
                }
                for row in report["alternatives"]
            ],
            "searched": f"best of {found['generated']:,} strategies; {found['feasible']:,} fit" if found else "",
            "version": report["version"],
        },
    )


def _card(label: str, value: Mapping[str, float], unit: str) -> dict[str, str]:
    best, low, high = (format_quantity(value[key], unit) for key in ("best", "low", "high"))
    return {"label": label, "value": best, "interval": f"{low} to {high}"}


def _drawn(timeline: Mapping[str, Any]) -> dict[str, Any]:
    """Return the chart of a step: one lane per stage, its first part where there is too much to draw."""
    rows = [
        {
            **row,
            "lane": " ".join(row["lane"].split(" ")[:2]),
            "label": row["label"] if row["lane"].endswith(("compute", "waiting")) else _exchange(row),
        }
        for row in timeline["intervals"]
    ]
    rows.sort(key=lambda row: row["start_s"])
    whole = max(row["end_s"] for row in rows)
    kept = rows[:MOST_DRAWN]
    end = max(row["end_s"] for row in kept)
    caption = "Every stage of the pipeline, pass by pass."
    if len(kept) < len(rows):
        caption = f"The first {format_quantity(end, 's')} of {format_quantity(whole, 's')}; the trace has all of it."
    lanes = list(dict.fromkeys(row["lane"] for row in timeline_order(kept)))
    return timeline_chart("timeline", caption, {"title": timeline["title"], "lanes": lanes, "intervals": kept})


def timeline_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows in the order of their stages."""
    return sorted(rows, key=lambda row: int(row["lane"].rpartition(" ")[2]))


def _exchange(row: Mapping[str, Any]) -> str:
    """Return the name of an exchange: what its lane is called after the stage."""
    kind = " ".join(row["lane"].split(" ")[2:])
    return kind if "communication" in kind or kind == "sends" else f"{kind} exchange"


def write_train_html(report: Mapping[str, Any], timeline: Mapping[str, Any], path: Path) -> None:
    """Write the page. Raises OutputError where `path` cannot be written."""
    write_atomically(path, train_page(report, timeline))
