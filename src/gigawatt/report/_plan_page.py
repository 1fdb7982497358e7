"""The page of `gigawatt plan`: the answer, what limits it, what would help, what it depends on, every source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gigawatt.quantity import format_quantity
from gigawatt.report._charts import Chart, breakdown_chart, timeline_chart, tornado_chart
from gigawatt.report._page import Callout, Cards, Cell, Notes, Section, Table, Text, card, interval, page
from gigawatt.report._terminal import strategy_line

_INTERVALS = "Below each value its interval: every uncertain assumption at both ends of its range, combined as root of the sum of squares."
_MOVED = "Each assumption moved to both ends of its range, the others and the strategy held."
_DECISIONS = (
    ("tensor", "tensor_parallel"),
    ("pipeline", "pipeline_parallel"),
    ("chunks", "virtual_stages"),
    ("data", "data_parallel"),
    ("context", "context_parallel"),
    ("expert", "expert_parallel"),
    ("micro-batch", "micro_batch"),
    ("recompute", "recompute"),
    ("ZeRO", "zero_stage"),
)
_CHARTS = (
    (
        "step_time",
        "waterfall",
        "One training step",
        "From the slowest pipeline stage; what waits is shown beside what computes.",
    ),
    ("memory", "shares", "Memory of one accelerator", "On the stage that needs most, against the capacity."),
    (
        "wall_time",
        "shares",
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


def plan_page(plan: Mapping[str, Any]) -> str:
    """Return the page of a plan (`Plan.to_dict()`)."""
    scenario, model, charts = plan["scenario"], plan["model"], _charts(plan)
    amounts = {
        name: format_quantity(model[name], "token" if "tokens" in name else "")
        for name in ("parameters_total", "parameters_active", "tokens", "global_batch_tokens")
    }
    fleet = ", ".join(f"{group['powered']:,} × {group['accelerator']}" for group in plan["fleet"]["groups"])
    sections = [
        Section(
            title="The answer",
            blocks=[
                Callout(
                    items=[
                        ("What binds" if plan["feasible"] else "Infeasible", plan["binding"]["sentence"]),
                        ("Smallest change", f"{plan['binding']['relief']} {plan['binding']['worth']}"),
                    ],
                    bad=not plan["feasible"],
                ),
                Cards(cards=[card(row["label"], row, row["unit"], "value", row["path"]) for row in plan["headline"]]),
                Text(text=_INTERVALS, hint=True),
                Notes(items=plan["warnings"]) if plan["warnings"] else None,
            ],
        ),
        Section(title="Limits", blocks=[_limits(plan)]),
        Section(title="What would help", blocks=[_levers(plan)]) if plan["levers"] else None,
        Section(
            title="Training",
            blocks=[
                Text(text=strategy_line(plan["strategy"], plan["search"]), lead="Strategy"),
                (charts.get("step_time"), charts.get("memory")),
                charts.get("timeline_step"),
                *_alternatives(plan),
            ],
        ),
        Section(
            title="The run and its failures",
            blocks=[
                charts.get("timeline_run"),
                (charts.get("timeline_failure_cycle"), charts.get("wall_time")),
            ],
        ),
        Section(
            title="Power and money",
            blocks=[(charts.get("power"), charts.get("capex")), charts.get("run_cost")],
        ),
        Section(
            title="What the answer depends on",
            blocks=[(charts.get("tornado_time"), charts.get("tornado_cost"))],
        ),
        Section(title="Assumptions", blocks=[_assumptions(plan), _outputs(plan), _given(scenario)]),
    ]
    return page(
        kind="plan",
        title=scenario["name"],
        lead=scenario["description"] or "",
        facts=f"{model['name']}: {amounts['parameters_total']} parameters, {amounts['parameters_active']} per token · {amounts['tokens']} in batches of {amounts['global_batch_tokens']} · {fleet}",
        sections=[section for section in sections if section is not None],
        foot=[f"gigawatt {plan['gigawatt_version']}", f"schema {plan['schema_version']}", str(scenario["file"])],
    )


def _charts(plan: Mapping[str, Any]) -> dict[str, Chart]:
    charts = {
        name: breakdown_chart(name, kind, title, caption, plan["breakdowns"][name])
        for name, kind, title, caption in _CHARTS
        if name in plan["breakdowns"]
    }
    for name, caption in _TIMELINES:
        if name in plan["timelines"]:
            charts[f"timeline_{name}"] = timeline_chart(
                f"timeline_{name}", caption, plan["timelines"][name], legend=name != "run"
            )
    for target, name, title in (
        ("run.time", "tornado_time", "What the length of the run depends on"),
        ("finance.run_cost", "tornado_cost", "What the cost of the run depends on"),
    ):
        rows = [row for row in plan["sensitivities"] if row["output"] == target][:10]
        if rows:
            charts[name] = tornado_chart(name, title, _MOVED, plan["outputs"][target]["value"], rows)
    return charts


def _limits(plan: Mapping[str, Any]) -> Table:
    rows = []
    for row in plan["constraints"]:
        used = row["used"] / row["limit"] if row["limit"] else 0.0
        over = row["slack_fraction"] < -1e-9
        tone = "bad" if over else "warn" if row["binding"] else ""
        rows.append(
            [
                Cell(text=row["name"], tag="binds" if row["binding"] else "", tone=tone),
                Cell(text="", meter=round(min(max(used, 0.0), 1.0), 4), tone=tone),
                f"{abs(row['slack_fraction']):.1%} {'over' if over else 'left'}",
                row["sentence"],
            ]
        )
    return Table(columns=["limit", "use", "slack", "what it says"], rows=rows)


def _levers(plan: Mapping[str, Any]) -> Table:
    return Table(
        columns=["lever", "change", "worth"],
        rows=[
            [row["name"], row["change"], row["sentence"]]
            for row in sorted(plan["levers"], key=lambda row: -row["time_saved_s"])
        ],
        caption="Each change alone, the strategy searched anew.",
    )


def _alternatives(plan: Mapping[str, Any]) -> list[Table]:
    if not plan["alternatives"]:
        return []
    shapes = [
        [
            *(str(row[name]) for _, name in _DECISIONS),
            format_quantity(row["step_time"], "s"),
            format_quantity(row["memory"], "B"),
        ]
        for row in plan["alternatives"]
    ]
    return [
        Table(
            title="Alternatives: other shapes that fit",
            columns=[*(heading for heading, _ in _DECISIONS), "step", "memory"],
            rows=shapes,
            folded=True,
        ),
        Table(
            title="What was rejected",
            columns=["rule that rejected", "strategies"],
            rows=[[rule, f"{count:,}"] for rule, count in plan["search"]["rejected"].items()],
            folded=True,
        ),
    ]


def _assumptions(plan: Mapping[str, Any]) -> Table:
    return Table(
        columns=["what", "best", "range", "grade", "source"],
        rows=[
            [
                Cell(text=row["label"], code=path),
                format_quantity(row["best"], row["unit"]),
                interval(row, row["unit"]) or "–",
                Cell(text=row["grade"], grade=row["grade"]),
                Cell(text=row["source"] + (f" ({row['date']})" if row["date"] else ""), note=row["note"]),
            ]
            for path, row in plan["assumptions"].items()
        ],
        filter="Filter assumptions",
        hint="power, estimate, arXiv …",
    )


def _outputs(plan: Mapping[str, Any]) -> Table:
    return Table(
        title="Every computed number and how it came about",
        columns=["what", "value", "interval", "how", "from"],
        rows=[
            [
                Cell(text=row["label"], code=path),
                format_quantity(row["value"], row["unit"]),
                interval(row, row["unit"]) or "–",
                row["formula"] or row["method"],
                ", ".join(row["inputs"].values()),
            ]
            for path, row in plan["outputs"].items()
        ],
        folded=True,
    )


def _given(scenario: Mapping[str, Any]) -> Table:
    return Table(
        title="The scenario as given",
        columns=["field", "value"],
        rows=[[Cell(text="", code=path), str(text)] for path, text in scenario["given"].items()],
        folded=True,
    )
