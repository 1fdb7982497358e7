"""Serving for people at 100 columns: which chip, how many, at what power and price; the day, latencies, images, launch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gigawatt.report._serving_rows import (
    MISS_COLUMNS,
    MONEY_COLUMNS,
    SHAPE_COLUMNS,
    TRAFFIC_COLUMNS,
    image_names,
    is_best,
    miss_rows,
    money_rows,
    plans_of,
    searched_words,
    shape_rows,
    traffic_rows,
)
from gigawatt.report._serving_run import (
    IMAGE_COLUMNS,
    LATENCY_COLUMNS,
    day_columns,
    day_words,
    economics_rows,
    image_misses,
    image_rows,
    latency_rows,
    month_words,
    night_rows,
    run_words,
)
from gigawatt.report._serving_words import facts, lead
from gigawatt.report._training import bars, rows_table

# Columns of words; the others hold numbers.
_WORDS = ("chip", "for", "layout", "set by", "what binds", "limit", "promise")


def print_serving(report: Mapping[str, Any], console: Console) -> None:
    """Print a serving report (`ServeReport.to_dict()`)."""
    console.print(Text(report["scenario"], style="bold"))
    console.print(Text(facts(report)))
    console.print()
    for about, sentence in lead(report):
        console.print(Text(f"{about}: ", style="bold") + Text(sentence, style="not bold"))
    console.print()
    if report["traffic"]:
        _print(console, "traffic: lengths in tokens, P50 and P99 in brackets", TRAFFIC_COLUMNS, traffic_rows(report))
    for traffic in report["traffic"]:
        _print_chips(report, traffic["name"], console)
    if misses := miss_rows(report):
        _print(console, "chips that do not keep the promise", MISS_COLUMNS, misses)
    if report["traffic"]:
        console.print(Text(searched_words(report)))
        console.print()
    for name, day in report["day"].items():
        headings, rows = day_columns(day)
        _print(console, f"{name}, the day on {day['accelerator']}", headings, rows, [day_words(day)])
    for traffic in report["traffic"]:
        _print_latencies(report, traffic, console)
    for name, tree in report["cost"].items():
        console.print(bars(f"{name}, cost of a month", tree, "USD"))
        console.print()
        if money := report["economics"].get(name):
            console.print(rows_table(economics_rows(money)))
            console.print()
    if image_names(report):
        _print(console, "images", IMAGE_COLUMNS, image_rows(report), image_misses(report))
    if report["months"]:
        console.print(Text("growth: ", style="bold") + Text(month_words(report)))
        console.print()
    if report["night"] is not None:
        console.print(Text("what the night frees", style="bold"))
        console.print(rows_table(night_rows(report["night"])))
        console.print(Text(report["night"]["sentence"]))
        console.print()
    for launch in report["launch"]:
        _print_launch(launch, console)
    for warning in report["warnings"]:
        console.print(Text("note: ", style="yellow") + Text(warning))


def _print_chips(report: Mapping[str, Any], name: str, console: Console) -> None:
    plans = plans_of(report, name)
    if not plans:
        return
    bold = [any(is_best(report, plan, goal, aim) for goal in ("cost", "power")) for plan, aim in plans]
    below = ["* kernels of this chip were not measured: an estimate"] if any(p["estimate"] for p, _ in plans) else []
    _print(console, f"{name}, dollars per million tokens", MONEY_COLUMNS, money_rows(report, name), bold=bold)
    _print(console, f"{name}, how each chip serves", SHAPE_COLUMNS, shape_rows(report, name), below, bold=bold)


def _print_latencies(report: Mapping[str, Any], traffic: Mapping[str, Any], console: Console) -> None:
    found = report["simulation"].get(traffic["name"])
    if found is None:
        return
    rows = latency_rows(found, traffic["promise"])
    _print(console, f"{traffic['name']}, latencies of the simulation", LATENCY_COLUMNS, rows, run_words(found))


# Lines of a launch script that a terminal shows; the page shows more.
SHOWN_LINES = 6


def shown_command(command: str, most: int) -> str:
    """Return the first lines of a script, and how many there are beside."""
    lines = command.splitlines()
    if len(lines) <= most + 1:
        return command
    return "\n".join([*lines[:most], f"... {len(lines) - most} more lines; --launch FOLDER writes all"])


def _print_launch(launch: Mapping[str, Any], console: Console) -> None:
    console.print(Text(f"{launch['class']} on {launch['engine']}", style="bold"))
    # a command is copied: never broken by the width of the terminal
    console.print(Text(shown_command(launch["command"], SHOWN_LINES)), soft_wrap=True)
    for note in launch["notes"]:
        console.print(Text(note, style="dim"))
    console.print()


def _print(
    console: Console,
    title: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    below: Sequence[str] = (),
    bold: Sequence[bool] = (),
) -> None:
    console.print(Text(title, style="bold"))
    if rows:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for index, heading in enumerate(headings):
            numbers = index > 0 and heading not in _WORDS
            justify: Literal["left", "right"] = "right" if numbers else "left"
            table.add_column(heading, justify=justify, overflow="fold", no_wrap=heading == "chip")
        for index, row in enumerate(rows):
            table.add_row(*row, style="bold" if bold and bold[index] else "")
        console.print(table)
    for line in below:
        console.print(Text(line))
    console.print()
