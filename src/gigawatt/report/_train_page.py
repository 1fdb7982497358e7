"""The page of `gigawatt train --out`: one strategy, one step, drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gigawatt.quantity import format_quantity
from gigawatt.report._charts import Chart, breakdown_chart, timeline_chart
from gigawatt.report._page import Card, Cards, Notes, Section, Table, Text, card, page
from gigawatt.report._training import deadline_rows, notes, strategy_option, strategy_words

# A drawing of more intervals than this is no longer read; the trace file has them all.
MOST_DRAWN = 2400
_INTERVALS = "Below a value its interval: four fifths of published measurements lie inside, each predicted with constants fitted without its own source."


def train_page(report: Mapping[str, Any], timeline: Mapping[str, Any]) -> str:
    """Return the page of a training report (`TrainReport.to_dict()`) and the timeline of its step."""
    warnings = notes(report)
    memory = f"Memory, {report['memory']['label'].rpartition(', ')[2]}"
    sections = [
        Section(
            title="The answer",
            blocks=[
                Text(text=strategy_words(report["strategy"]), lead="Strategy"),
                Text(text=strategy_option(report["strategy"]), hint=True, code=True),
                Cards(cards=_cards(report)),
                Text(text=_INTERVALS, hint=True),
                Notes(items=warnings) if warnings else None,
            ],
        ),
        Section(
            title="One step",
            blocks=[
                (
                    breakdown_chart("step_time", "waterfall", "Step time", "Where one step goes.", report["step"]),
                    breakdown_chart("memory", "bars", memory, "What fills it.", report["memory"]),
                ),
                _drawn(timeline),
            ],
        ),
        Section(
            title="What a step depends on",
            blocks=[
                Table(
                    columns=["1 % more of", "makes a token faster by"],
                    rows=[[row["lever"], f"{row['elasticity']:+.2f} %"] for row in report["elasticities"]],
                )
            ],
        ),
    ]
    if report["alternatives"]:
        sections.append(Section(title="Alternatives", blocks=[_alternatives(report)]))
    return page(
        kind="train",
        title=report["scenario"],
        facts=f"{report['model']['name']} on {report['accelerators']:,} {report['accelerator']} · {report['global_batch']:,} sequences of {report['sequence']:,} tokens · {report['precision']} · {report['optimizer']}",
        sections=sections,
        foot=[f"gigawatt {report['version']}"],
    )


def _cards(report: Mapping[str, Any]) -> list[Card]:
    run = report["days_for_tokens"]
    return [
        card("step time", report["step_time_s"], "s"),
        card("tokens per second", report["tokens_per_s"], ""),
        *(
            Card(label=f"MFU, {name.partition(',')[0]}", value=f"{value:.1%}", below="against the 16-bit peak")
            for name, value in report["mfu"].items()
        ),
        Card(label="HFU", value=f"{report['hfu']:.1%}", below="recomputation counted, against the 16-bit peak"),
        Card(
            label="accelerators that work",
            value=f"{report['accelerators']:,}",
            below=f"{report['available'] - report['accelerators']:,} idle",
        ),
        Card(
            label="memory of an accelerator",
            value=format_quantity(report["memory"]["value"], "B"),
            below=f"of {format_quantity(report['memory_capacity_bytes'], 'B')}",
        ),
        Card(
            label=f"run of {format_quantity(run['tokens'], 'token')}",
            value=f"{run['days']:,.1f} days",
            below="without failures",
        ),
        *(Card(label=label, value=verdict, below="without failures") for label, verdict in deadline_rows(report)),
    ]


def _alternatives(report: Mapping[str, Any]) -> Table:
    found, best = report["search"], report["step_time_s"]["best"]
    return Table(
        columns=["slower by", "memory", "strategy"],
        rows=[
            [
                f"{max(row['step_time'] / best - 1, 0.0):.1%}",
                format_quantity(row["memory"], "B"),
                strategy_words(row),
            ]
            for row in report["alternatives"]
        ],
        caption=f"best of {found['generated']:,} strategies; {found['feasible']:,} fit" if found else "",
    )


def _drawn(timeline: Mapping[str, Any]) -> Chart:
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
