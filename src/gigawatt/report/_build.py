"""The build-out for people at 80 columns: the answer, what limits compute when, the quarters, delays, returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gigawatt.report._build_rows import (
    CONSTRUCTION_COLUMNS,
    FUND_COLUMNS,
    NEARER_COLUMNS,
    QUARTER_COLUMNS,
    RETURN_COLUMNS,
    RUSH_COLUMNS,
    agreement,
    answer_rows,
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
from gigawatt.report._build_words import run_dates, run_name, run_seconds, run_why, run_worth, runs, until_goal
from gigawatt.report._training import rows_table

# Correlations that are named in the terminal.
NAMED = 3


def print_build(report: Mapping[str, Any], console: Console) -> None:
    """Print a build-out (`BuildReport.to_dict()`)."""
    report = until_goal(report)
    console.print(Text(report["scenario"], style="bold"))
    for sentence in lead(report):
        console.print(Text(sentence))
    console.print()
    console.print(rows_table(answer_rows(report)))
    console.print()
    _print_timeline(report, console)
    _print(console, "by quarter, at its end", QUARTER_COLUMNS, quarter_rows(report))
    if report["nearer"] == [] and dated(report):
        console.print(Text("no single limit that is widened brings it a month nearer\n"))
    if report["nearer"]:
        _print(console, "what would bring it a month nearer", NEARER_COLUMNS, nearer_rows(report))
    if report["uncertainty"] is not None:
        _print_uncertainty(report, console)
    _print_construction(report, console)
    if report.get("rush"):
        _print(console, "paying for priority", RUSH_COLUMNS, rush_rows(report), rush_words(report))
    if report.get("funds"):
        _print(console, "what more money would add", FUND_COLUMNS, fund_rows(report), fund_words(report))
    rate = report["returns"]["rate"]
    _print(console, f"returns at {rate:.1%} a year", RETURN_COLUMNS, return_rows(report))
    for warning in report["warnings"]:
        console.print(Text("note: ", style="yellow") + Text(warning))


def _print_timeline(report: Mapping[str, Any], console: Console) -> None:
    """Print what limits useful compute when, and what one more unit is worth."""
    console.print(Text("what limits useful compute", style="bold"))
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for run in runs(report):
        text = Text(run_name(run), style="bold").append(f": {run_worth(run, report)}", style="not bold")
        if reason := run_why(run, report):
            text.append(f"\n{reason}", style="not bold dim")
        if seconds := run_seconds(run):
            text.append(f"\nalso {seconds}", style="not bold dim")
        table.add_row(run_dates(run, report), text)
    console.print(table)
    console.print()


def _print_uncertainty(report: Mapping[str, Any], console: Console) -> None:
    found = report["uncertainty"]
    what = "the date" if dated(report) else "useful compute"
    matters = ", ".join(f"{name} ({value:+.2f})" for name, value in matter_rows(report)[:NAMED])
    _print(
        console,
        f"{what} under delays, {found['samples']:,} draws",
        uncertain_columns(report),
        uncertain_rows(report),
        agreement(report) + ([f"matters most (rank correlation with {what}): {matters}"] if matters else []),
    )


def _print_construction(report: Mapping[str, Any], console: Console) -> None:
    if report.get("construction"):
        _print(console, "construction", CONSTRUCTION_COLUMNS, construction_rows(report), construction_words(report))


def _print(
    console: Console,
    title: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    below: Sequence[str] = (),
) -> None:
    console.print(Text(title, style="bold"))
    table = Table(box=None, pad_edge=False, header_style="dim")
    words = {"when", "milestone"}
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index and heading not in words else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for line in below:
        console.print(Text(line))
    console.print()
