"""Tables of the catalogue and of validation, for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gigawatt.quantity import format_quantity

_UNITS = {
    "bf16_flop_per_s": "FLOP/s",
    "fp8_flop_per_s": "FLOP/s",
    "memory_bytes": "B",
    "memory_bytes_per_s": "B/s",
    "scale_up_bytes_per_s": "B/s",
    "tdp_w": "W",
    "price_usd": "USD",
    "usd": "USD",
    "parameters_total": "",
    "parameters_active": "",
    "training_tokens": "token",
}
_HEADINGS = {
    "bf16_flop_per_s": "bf16",
    "fp8_flop_per_s": "fp8",
    "memory_bytes": "memory",
    "memory_bytes_per_s": "bandwidth",
    "scale_up_bytes_per_s": "scale-up",
    "scale_up_domain": "domain",
    "tdp_w": "power",
    "price_usd": "price",
    "parameters_total": "parameters",
    "parameters_active": "per token",
    "training_tokens": "tokens",
    "usd": "price",
}


def print_listing(kind: str, rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print the short rows of a kind of catalogue entry: units by column, a dash where the number is not known.

    Columns that do not fit beside one another are left out from the right, and named.
    """
    if not rows:
        console.print(f"no {kind}")
        return
    names = [name for name in rows[0] if name not in ("source", "low", "high", "unit")]
    cells = {name: [_cell(name, row) for row in rows] for name in names}
    headings = {name: _HEADINGS.get(name, name.replace("_", " ")) for name in names}
    widths = {name: max(len(headings[name]), *(len(cell) for cell in cells[name])) for name in names}
    shown = list(names)
    while len(shown) > 2 and sum(widths[name] + 2 for name in shown) > console.width:
        shown.pop()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in shown:
        numeric = name in _UNITS or name in ("best", "layers", "hidden", "experts", "scale_up_domain", "entries")
        table.add_column(
            headings[name], justify="right" if numeric else "left", overflow="fold", no_wrap=name == names[0]
        )
    for index in range(len(rows)):
        table.add_row(*(cells[name][index] for name in shown))
    console.print(table)
    hidden = [headings[name] for name in names if name not in shown]
    if hidden:
        console.print(f"not shown at this width: {', '.join(hidden)} (all with --json)")


def _cell(name: str, row: Mapping[str, Any]) -> str:
    value = row[name]
    if value is None or value == "":
        return "-"
    if name == "best":
        return format_quantity(value, str(row["unit"]))
    if name in _UNITS:
        return format_quantity(value, _UNITS[name])
    return f"{value:,}" if isinstance(value, int) and name not in ("year",) else str(value)


def print_entry(entry: Mapping[str, Any], console: Console) -> None:
    """Print one catalogue entry: its texts, then every number with range, grade, source and date."""
    console.print(Text(str(entry.get("name", "")), style="bold"))
    for name, value in entry.items():
        if name not in ("name", "numbers", "architecture", "rows"):
            console.print(f"{name.replace('_', ' ')}: {value}", soft_wrap=True)
    if entry.get("architecture"):
        console.print(
            "architecture: " + ", ".join(f"{key} {value}" for key, value in entry["architecture"].items()),
            soft_wrap=True,
        )
    if entry.get("rows"):
        print_listing("rows", entry["rows"], console)
    if not entry.get("numbers"):
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("number", "best", "low", "high", "grade", "source"):
        table.add_column(heading, justify="right" if heading in ("best", "low", "high") else "left", overflow="fold")
    for path, number in entry["numbers"].items():
        shown = [format_quantity(number[key], number["unit"]) for key in ("best", "low", "high")]
        table.add_row(
            path,
            *shown,
            number["grade"],
            f"{number['source']} {('(' + number['date'] + ')') if number['date'] else ''}".strip(),
        )
    console.print(table)


def print_residuals(result: Mapping[str, Any], console: Console) -> None:
    """Print the residuals of `gigawatt validate training` by group, beside the one-constant baseline, and why rows
    were skipped.
    """
    summary = result["summary"]
    table = Table(
        box=None,
        pad_edge=False,
        header_style="dim",
        title="predicted over measured, absolute error",
        title_justify="left",
        title_style="bold",
    )
    kinds = [kind for kind in ("left_out", "baseline", "baseline_left_out") if kind in summary]
    titles = {"left_out": "left\nout", "baseline": "one\nconstant", "baseline_left_out": "constant,\nleft out"}
    table.add_column("group", no_wrap=True)
    for heading in ("rows", "median", "90th\npct", "bias", *(titles[kind] for kind in kinds)):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, group in [*summary["by_group"].items(), ("all", summary)]:
        others = [summary[kind] if name == "all" else summary[kind]["by_group"].get(name) for kind in kinds]
        table.add_row(
            name,
            str(group["n"]),
            _percent(group["median_abs_error_pct"]),
            _percent(group["p90_abs_error_pct"]),
            _signed(group["bias_pct"]),
            *(_median(other) for other in others),
        )
    console.print(table)
    skipped = [row for row in result["rows"] if row["skipped"]]
    for row in skipped:
        console.print(Text(f"not predicted: {row['id']}: {row['skipped']}", style="yellow"))
    for text in sorted({text for row in result["rows"] for text in row["unknown_texts"]}):
        console.print(Text(f"note: {text}", style="yellow"))
    console.print(
        f"{summary['n']} of {len(result['rows'])} rows predicted; bias is the median of predicted/measured - 1 (above zero: too fast)"
    )
    if "left_out" in summary:
        console.print(
            f"left out: median error with constants that were fitted without the group; {summary['constants']} constants belong to chips and software stacks."
        )
    if "baseline_left_out" in summary:
        console.print(
            "one constant: the fraction of peak per chip and format that fits these very rows best; left out: that of the other sources."
        )
    for order in result.get("rankings", ()):
        console.print(
            f"ranking of {order['group']}: Kendall {order['kendall']:.2f} over {order['rows']} strategies; the one predicted best is {order['picked_below_best']:.1%} below the one measured best"
        )


SERVING_TITLES = {
    "tpot_s": "time per output token",
    "ttft_s": "time to first token",
    "output_rate": "output tokens per second",
    "input_rate": "input tokens per second",
}


def print_serving_residuals(result: Mapping[str, Any], console: Console) -> None:
    """Print the residuals of `gigawatt validate serving` by quantity and group, beside the trivial baseline."""
    summary = result["summary"]
    for quantity, title in SERVING_TITLES.items():
        if quantity in summary:
            console.print(_serving_table(title, summary[quantity]))
    reasons: dict[str, int] = {}
    for row in result["rows"]:
        if row["skipped"]:
            reasons[row["skipped"]] = reasons.get(row["skipped"], 0) + 1
    for reason, count in reasons.items():
        console.print(Text(f"not predicted: {count} rows: {reason}", style="yellow"))
    console.print(
        f"{summary['predicted']} of {summary['measurements']} rows predicted; bias is the median of predicted/measured - 1"
    )
    if "constants" in summary:
        console.print(
            f"{summary['constants']} constants belong to software stacks and families of chips; without chip, model: median error with constants fitted without the row's own."
        )


def residual_cells(figures: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows by group of the residuals of one quantity, in words."""
    kinds = [kind for kind in ("without_chip", "without_model", "baseline") if kind in figures]
    headings = ["group", "rows", "median", "90th\npct", "bias", *(kind.replace("_", "\n") for kind in kinds), "rank"]
    rows = []
    for name, group in [*figures["by_group"].items(), ("all", figures)]:
        others = [figures[kind] if name == "all" else figures[kind]["by_group"].get(name) for kind in kinds]
        rank = figures["rank_by_group"].get(name)
        rows.append(
            [
                name,
                str(group["n"]),
                _percent(group["median_abs_error_pct"]),
                _percent(group["p90_abs_error_pct"]),
                _signed(group["bias_pct"]),
                *(_median(other) for other in others),
                "-" if rank is None else f"{rank:.3f}",
            ]
        )
    return headings, rows


def _serving_table(title: str, figures: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", title=title, title_justify="left", title_style="bold")
    headings, rows = residual_cells(figures)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "group" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def print_memory(result: Mapping[str, Any], console: Console) -> None:
    """Print the residuals of `gigawatt validate memory`."""
    table = Table(box=None, pad_edge=False, header_style="dim", title="peak memory, GiB", title_justify="left")
    for heading in ("row", "measured", "predicted", "ratio"):
        table.add_column(heading, justify="left" if heading == "row" else "right")
    for row in result["rows"]:
        shown = ("-", "-") if row["ratio"] is None else (f"{row['predicted_gib']:.1f}", f"{row['ratio']:.2f}")
        table.add_row(row["id"], f"{row['measured_gib']:.1f}", *shown)
    console.print(table)
    summary = result["summary"]
    console.print(
        f"{summary['n']} rows: median absolute error {_percent(summary['median_abs_error_pct'])}, 90th percentile {_percent(summary['p90_abs_error_pct'])}, bias {_signed(summary['bias_pct'])}"
    )


def _median(figures: Mapping[str, Any] | None) -> str:
    return _percent(figures["median_abs_error_pct"]) if figures else "-"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} %"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1f} %"


# label, published, predicted, off by, inside: 80 columns with the spaces between them
_CASE_WIDTHS = (27, 18, 13, 7, 7)


def print_cases(result: Mapping[str, Any], console: Console) -> None:
    """Print the cases of `gigawatt validate cases`: published range, prediction, inside or not, under the title of each
    case; then how many published facts no case predicts, by reason.
    """
    rows: list[Mapping[str, Any]] = list(result["rows"])
    spare = min(max(console.width - 80, 0), 40)
    for number, case in enumerate(dict.fromkeys(row["id"] for row in rows)):
        mine = [row for row in rows if row["id"] == case]
        table = Table(box=None, pad_edge=False, header_style="dim", show_header=number == 0)
        for heading, width in zip(("", "published", "predicted", "off by", "inside"), _CASE_WIDTHS, strict=True):
            numbers = heading in ("published", "predicted", "off by")
            table.add_column(heading, justify="right" if numbers else "left", width=width if heading else width + spare)
        for row in mine:
            table.add_row(row["label"], *_case_cells(row))
        console.print(Text(f"{mine[0]['title']} ({case})", style="bold"))
        console.print(table)
        for reason in dict.fromkeys(row["skipped"] for row in mine if row["skipped"]):
            console.print(Text(f"skipped: {reason}", style="yellow"))
        console.print()
    summary = result["summary"]
    console.print(
        f"{summary['inside_not_inputs']} of {summary['n_not_inputs']} published facts that did not serve as inputs are inside their "
        f"tolerance; {summary['n_inputs']} served as inputs, {summary['n_verifications']} formulas evaluated; {summary['skipped']} skipped"
    )
    for key, about in (("not_predicted", "failures and goodput"), ("not_predicted_power", "power")):
        if result[key]:
            reasons = Counter(fact["reason"] for fact in result[key])
            console.print(
                f"{len(result[key])} published facts on {about} are not predicted (--json lists them): "
                + "; ".join(f"{reason} {count}" for reason, count in reasons.most_common())
            )


def verdict_of(row: Mapping[str, Any]) -> str:
    """Return what a check of a case says: an input or a formula evaluated, else whether the prediction is inside."""
    if row["served_as_input"]:
        return "input"
    return "formula" if row["verification"] else "yes" if row["inside"] else "no"


def _case_cells(row: Mapping[str, Any]) -> tuple[str | Text, ...]:
    if row["skipped"]:
        return "-", "-", "-", Text("-", style="yellow")
    low, high = (format_quantity(row[key], row["unit"]) for key in ("published_low", "published_high"))
    verdict = verdict_of(row)
    return (
        low if low == high else f"{low} to {high}",
        format_quantity(row["predicted"], row["unit"]),
        f"{row['error_pct']:+.0f} %",
        Text(verdict, style="green" if row["inside"] else "red"),
    )
