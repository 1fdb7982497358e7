"""The back-test of the supply chain in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_HEADINGS = ("thousand chips", "sold", "chain", "range", "error", "inside", "last\nquarter", "trend")


def print_supply(result: Mapping[str, Any], console: Console) -> None:
    """Print the predictions of `gigawatt validate supply` beside what was sold and two baselines, why the others have
    none, what was fitted, and the errors.
    """
    rows: list[Mapping[str, Any]] = list(result["rows"])
    title = f"known by {result['cutoff']}: chips of {result['quarters'][0]} to {result['quarters'][-1]}"
    table = Table(box=None, pad_edge=False, header_style="dim", title=title, title_justify="left", title_style="bold")
    for heading in _HEADINGS:
        first = heading == _HEADINGS[0]
        table.add_column(heading, justify="left" if first else "right", no_wrap=True)
    named = ""
    for row in rows:
        if row["ratio"] is not None:
            name = f"{row['group']} {row['chip']}"
            if name != named:
                table.add_row(name)
            table.add_row(*_cells(row))
            named = name
    console.print(table)
    for chip in dict.fromkeys((row["group"], row["chip"]) for row in rows if row["skipped"]):
        reason = next(row["skipped"] for row in rows if (row["group"], row["chip"]) == chip)
        console.print(Text(f"not predicted: {' '.join(chip)}: {reason}", style="yellow"))
    for constant in result["fitted"]:
        console.print(_constant(constant))
    _print_errors(result["summary"], console)


def _cells(row: Mapping[str, Any]) -> Sequence[str]:
    baselines = [row["last_quarter_ratio"], row["trend_ratio"]]
    return (
        f"  {row['quarter']}",
        _thousand(row["measured"]),
        _thousand(row["predicted"]),
        f"{_thousand(row['low'])}..{_thousand(row['high'])}",
        _error(row["ratio"]),
        "yes" if row["inside"] else "no",
        *(_error(ratio) for ratio in baselines),
    )


def _constant(constant: Mapping[str, Any]) -> str:
    numbers = f"{constant['best']:.3g} ({constant['low']:.3g} to {constant['high']:.3g})"
    return f"{constant['constant']}: {numbers}, from {', '.join(constant['quarters'])}"


def _print_errors(summary: Mapping[str, Any], console: Console) -> None:
    if not summary["n"]:
        console.print("nothing was predicted")
        return
    console.print(
        f"{summary['n']} rows predicted: median absolute error {summary['median_abs_error_pct']:.1f} %, bias {summary['bias_pct']:+.1f} %; {summary['inside_share']:.0%} inside the predicted range, {summary['in_band_share']:.0%} of the predictions inside the 5 to 95 % band of the series"
    )
    for key, words in (("last_quarter", "last quarter repeated"), ("trend", "log-linear trend")):
        theirs, ours = summary[key], summary[f"{key}_rows"]
        if theirs["n"]:
            console.print(
                f"{words}: median absolute error {theirs['median_abs_error_pct']:.1f} % on {theirs['n']} rows, the chain on the same {ours['median_abs_error_pct']:.1f} %"
            )


def _thousand(units: float) -> str:
    return f"{units / 1e3:,.0f}"


def _error(ratio: float | None) -> str:
    return "-" if ratio is None else f"{(ratio - 1.0) * 100:+.0f} %"
