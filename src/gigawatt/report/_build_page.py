"""The page of `gigawatt build --out`: what limits useful compute when, what more is worth, fleet, power, money."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gigawatt.report._build_charts import (
    binding_chart,
    cash_chart,
    compute_chart,
    construction_charts,
    fleet_chart,
    matters_chart,
    orders_chart,
    power_charts,
    value_chart,
    worth_charts,
)
from gigawatt.report._build_rows import (
    CONSTRUCTION_COLUMNS,
    FUND_COLUMNS,
    NEARER_COLUMNS,
    QUARTER_COLUMNS,
    RETURN_COLUMNS,
    RUSH_COLUMNS,
    agreement,
    answer_rows,
    cash_flow_rows,
    construction_rows,
    construction_words,
    dated,
    fund_rows,
    fund_words,
    lead,
    matter_rows,
    nearer_rows,
    quarter_rows,
    return_rows,
    rush_rows,
    rush_words,
    uncertain_columns,
    uncertain_rows,
)
from gigawatt.report._build_words import run_name, run_seconds, run_why, run_worth, runs, until_goal
from gigawatt.report._page import Card, Cards, Cell, Notes, Section, Table, page


def build_page(report: Mapping[str, Any]) -> str:
    """Return the page of a build-out (`BuildReport.to_dict()`)."""
    report = until_goal(report)
    sections = [
        Section(title="The answer", blocks=_answer(report)),
        Section(title="What limits, and what more is worth", blocks=_limits(report)),
        Section(title="Fleet and power", blocks=_fleet(report)),
    ]
    if report.get("construction"):
        sections.append(Section(title="Construction", blocks=_construction(report)))
    if report["uncertainty"] is not None:
        sections.append(Section(title="Under delays", blocks=_delays(report)))
    if report.get("rush") or report.get("funds"):
        sections.append(Section(title="What money would buy", blocks=_purchases(report)))
    sections.append(Section(title="Money", blocks=_money(report)))
    uncertainty = report["uncertainty"]
    seed = [f"{uncertainty['samples']:,} draws, seed {uncertainty['seed']}"] if uncertainty is not None else []
    return page(
        kind="build",
        title=report["scenario"],
        lead=report["description"] or "",
        facts=". ".join(_capital(sentence) for sentence in lead(report)) + ".",
        sections=sections,
        foot=[f"gigawatt {report['version']}", *seed],
    )


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _card(label: str, value: str) -> Card:
    first, _, rest = value.partition("; ")
    return Card(label=label, value=first, below=rest)


def _answer(report: Mapping[str, Any]) -> list[Any]:
    nearer = Table(columns=NEARER_COLUMNS, rows=nearer_rows(report), title="What would bring it a month nearer")
    return [
        Cards(cards=[_card(label, value) for label, value in answer_rows(report)]),
        nearer if report["nearer"] else None,
        Notes(items=report["warnings"]) if report["warnings"] else None,
    ]


def _limits(report: Mapping[str, Any]) -> list[Any]:
    rows: list[list[str | Cell]] = []
    labels = report["calendar"]["labels"]
    for run in runs(report):
        also = run_seconds(run)
        when = Cell(text=labels[run.first], note=f"to {labels[run.last]}" if run.last > run.first else "")
        more = Cell(text=run_worth(run, report), note=f"also limits: {also}" if also else "")
        rows.append([when, run_name(run), more, run_why(run, report) or "-"])
    return [
        binding_chart(report),
        *worth_charts(report),
        Table(
            columns=["when", "what limits", "one more", "why there is no more"],
            rows=rows,
            title="The timeline in words",
            caption="Periods with the same main limit stand together, with the range of its share. Worth at the beginning and, where it differs, at the end.",
        ),
    ]


def _fleet(report: Mapping[str, Any]) -> list[Any]:
    return [
        fleet_chart(report),
        *power_charts(report),
        (orders_chart(report), compute_chart(report)),
        Table(columns=QUARTER_COLUMNS, rows=quarter_rows(report), title="By quarter, at its end"),
    ]


def _construction(report: Mapping[str, Any]) -> list[Any]:
    return [
        *construction_charts(report),
        Table(columns=CONSTRUCTION_COLUMNS, rows=construction_rows(report), title="Milestones"),
        Notes(items=construction_words(report)),
    ]


def _delays(report: Mapping[str, Any]) -> list[Any]:
    return [
        Table(
            columns=uncertain_columns(report),
            rows=uncertain_rows(report),
            title=f"{'Date of the goal' if dated(report) else 'Useful compute'} by how orders are placed",
            caption="Each draw has its own supply, connection, units, rounds and launches, the same for every row. Ordered for delays: the plan made for the late end of every draw. Best for what came: no plan can be better.",
        ),
        Notes(items=agreement(report)) if agreement(report) else None,
        matters_chart(report) if matter_rows(report) else None,
    ]


def _purchases(report: Mapping[str, Any]) -> list[Any]:
    rush = Table(columns=RUSH_COLUMNS, rows=rush_rows(report), title="Paying for priority")
    funds = Table(columns=FUND_COLUMNS, rows=fund_rows(report), title="What more money would add")
    verdicts, gains = rush_words(report), fund_words(report)
    return [
        rush if report.get("rush") else None,
        Notes(items=verdicts) if verdicts else None,
        funds if report.get("funds") else None,
        Notes(items=gains) if gains else None,
    ]


def _money(report: Mapping[str, Any]) -> list[Any]:
    columns, rows = cash_flow_rows(report)
    rate = report["returns"]["rate"]
    return [
        (cash_chart(report), value_chart(report)),
        Table(columns=RETURN_COLUMNS, rows=return_rows(report), title=f"Returns at {rate:.1%} a year"),
        Table(columns=columns, rows=rows, title="Cash flow by year", caption="What comes in is above zero."),
    ]
