"""Goodput for people at 80 columns: the answer, where the wall time goes, what interrupts, policies side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gigawatt.quantity import format_quantity
from gigawatt.report._training import bars, rows_table

# Points of a curve that a terminal shows.
SHOWN = 7


def share(value: float) -> str:
    """Return a share of the time in per cent, small ones with two digits that count."""
    if 0 < value < 1e-5:
        return "<0.001%"
    return f"{value:.1%}" if value >= 0.01 or value == 0 else f"{100 * value:.2g}%"


def share_interval(interval: Mapping[str, float] | None, dash: str = " .. ") -> str:
    """Return P10 and P90 of a goodput as text; "" without a simulation."""
    return "" if interval is None else f"{share(interval['p10'])}{dash}{share(interval['p90'])}"


def policy_words(policy: str) -> str:
    """Return a policy as people say it; `--policy` takes it with underscores."""
    return policy.replace("_", " ")


def cause_words(cause: str) -> str:
    """Return a cause of interruptions as people say it."""
    return {"hbm": "HBM", "nic": "NIC"}.get(cause, cause.replace("_", " "))


def facts(report: Mapping[str, Any]) -> str:
    """Return what the question was, in one sentence."""
    islands = f" in {report['islands']} islands" if report["islands"] > 1 else ""
    return (
        f"{report['model']['name']}, {format_quantity(report['model']['parameters'], '')} parameters, on {report['accelerators']:,} {report['accelerator']} "
        f"in {_plural(report['nodes'], 'node')} of {report['accelerators_per_node']}, {_plural(report['replicas'], 'replica')}{islands}; "
        f"step {format_quantity(report['step_time_s'], 's')}, state {format_quantity(report['state_bytes'], 'B')}; {report['rates_of']} failure rates"
    )


def _plural(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def answer_rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the answer as rows of label and value."""
    window = report["wall_time"]["value"]
    between = report["mtbf_s"]
    spread = share_interval(report["goodput_interval"])
    rows = [("goodput", share(report["goodput"]) + (f"  [{spread}], P10 to P90" if spread else ""))]
    difference = report["difference_from_closed_form"]
    if difference is not None:
        side = "above" if difference >= 0 else "below"
        rows.append(
            (
                "closed form",
                f"{share(report['closed_goodput'])}; the simulation lies {share(abs(difference))} {side} it",
            )
        )
    rows += [
        ("wall time looked at", format_quantity(window, "s")),
        (
            "the whole run",
            (format_quantity(report["run_s"], "s") if report["run_s"] else "no end")
            + f"; {format_quantity(report['useful_s'], 's')} without failures",
        ),
        ("between interruptions", "nothing fails" if between is None else format_quantity(between, "s")),
        (
            "checkpoint interval",
            f"{format_quantity(report['interval_s'], 's')}; best {format_quantity(report['best_interval_s'], 's')}",
        ),
        ("spare nodes", f"{report['spares']:,}; most useful time per node with {report['best_spares']:,}"),
    ]
    cost = report["usd_per_accelerator_hour"]
    if cost is not None:
        lost = report["all_interruptions"]["lost_usd"]
        rows.append(("lost to failures", f"{format_quantity(lost, 'USD')}; at ${cost:.2f} per accelerator-hour"))
    return rows


def print_goodput(report: Mapping[str, Any], console: Console) -> None:
    """Print a goodput report (`GoodputReport.to_dict()`)."""
    console.print(Text(report["scenario"], style="bold"))
    console.print(facts(report), highlight=False)
    console.print()
    if report["compared"]:
        _print_policies(report, console)
    else:
        console.print(Text("policy: ", style="bold") + Text(report["policy"]))
        console.print(rows_table(answer_rows(report)))
        console.print()
        console.print(bars("wall time", report["wall_time"], "s"))
        console.print()
        _print_causes(report, console)
        _print_curves(report, console)
    for warning in report["warnings"]:
        console.print(Text("note: ", style="yellow") + Text(warning))


def _table(title: str, headings: Sequence[str], left: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", title=title, title_justify="left", title_style="bold")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in left else "right", overflow="fold")
    return table


def cause_rows(report: Mapping[str, Any], dash: str = " .. ") -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of the interruptions by cause."""
    money = report["usd_per_accelerator_hour"] is not None
    headings = ["cause", "times", "P10 to P90", "1 % more", "time lost", *(["money"] if money else [])]
    rows = []
    for row in report["interruptions"]:
        sensitivity = row["sensitivity"]
        rows.append(
            [
                cause_words(row["cause"]),
                _count(row["mean"]),
                f"{_count(row['p10'])}{dash}{_count(row['p90'])}",
                "" if sensitivity is None else f"{100 * sensitivity:+.2g}%",
                format_quantity(row["lost_s"], "s"),
                *([format_quantity(row["lost_usd"], "USD")] if money else []),
            ]
        )
    total = report["all_interruptions"]
    all_usd = [format_quantity(total["lost_usd"], "USD")] if money else []
    rows.append(["all", _count(total["mean"]), "", "", format_quantity(total["lost_s"], "s"), *all_usd])
    return headings, rows


def _count(value: float) -> str:
    return f"{value:,.1f}" if value < 9.95 and value != int(value) else f"{value:,.0f}"


def _print_causes(report: Mapping[str, Any], console: Console) -> None:
    headings, rows = cause_rows(report)
    table = _table("interruptions by cause; what 1 % more of the rate does to goodput", headings, ("cause",))
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()


def curve_rows(report: Mapping[str, Any], most: int | None = None) -> dict[str, list[list[str]]]:
    """Return the curves of interval and spares as rows of text, thinned to `most` points about the best."""
    intervals = [
        [format_quantity(point["interval_s"], "s"), share(point["efficiency"])] for point in report["interval_curve"]
    ]
    spares = [
        [f"{point['spares']:,}", share(point["goodput"]), share(point["per_node"])] for point in report["spare_curve"]
    ]
    return {"interval": _thin(intervals, most), "spares": _thin(spares, most)}


def _thin(rows: list[list[str]], most: int | None) -> list[list[str]]:
    if most is None or len(rows) <= most:
        return rows
    return [rows[round(i * (len(rows) - 1) / (most - 1))] for i in range(most)]


def _print_curves(report: Mapping[str, Any], console: Console) -> None:
    curves = curve_rows(report, SHOWN)
    for title, headings, rows in (
        ("goodput by work between saves (closed form)", ("every", "goodput"), curves["interval"]),
        (
            "goodput by spare nodes (closed form)",
            ("spare nodes", "goodput", "per node, spares counted"),
            curves["spares"],
        ),
    ):
        table = _table(title, ["", *(row[0] for row in rows)], ("",))
        for index, heading in enumerate(headings[1:], 1):
            table.add_row(heading.partition(",")[0], *(row[index] for row in rows))
        console.print(table)
        console.print()


def policy_rows(
    report: Mapping[str, Any], dash: str = " .. ", words: Callable[[str], str] = str
) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of the policies, side by side; `words` names a policy."""
    simulated = any(row["goodput"] is not None and row["goodput_interval"] for row in report["policies"])
    columns = ["goodput", *(["P10 to P90"] if simulated else []), "closed", "tokens", "interval", "spares"]
    headings = ["policy", *columns]
    rows = []
    for row in report["policies"]:
        if row["goodput"] is None:
            rows.append([words(row["policy"]), *["-"] * len(columns)])
            continue
        rows.append(
            [
                words(row["policy"]),
                share(row["goodput"]),
                *([share_interval(row["goodput_interval"], dash)] if simulated else []),
                share(row["closed_goodput"]),
                f"+{extra:.1%}" if (extra := row["extra_tokens"]["best"]) else "",
                format_quantity(row["interval_s"], "s"),
                f"{row['spares']:,}",
            ]
        )
    return headings, rows


def best_policy(report: Mapping[str, Any], words: Callable[[str], str] = str) -> str:
    """Return which policy leaves most useful time, in a sentence; `words` names a policy."""
    rows = {row["policy"]: row for row in report["policies"]}
    best, own = rows[report["best_policy"]], rows[report["policy"]]
    lost = " with its extra tokens counted as lost" if best["extra_tokens"]["best"] else ""
    first = f"Most useful time is left by {words(best['policy'])}: {share(best['progress'])}{lost}"
    return f"{first}." if best is own else f"{first}, against {share(own['progress'])} with {words(own['policy'])}."


def refusals(report: Mapping[str, Any]) -> list[str]:
    """Return why policies are not possible."""
    return [f"{row['policy']}: {row['reason']}" for row in report["policies"] if row["reason"]]


def explanations(report: Mapping[str, Any]) -> list[str]:
    """Return where closed form and simulation of the other policies differ, and why."""
    return [
        f"{row['policy']}: {warning}"
        for row in report["policies"]
        if row["goodput"] is not None and row["policy"] != report["policy"]
        for warning in row["warnings"]
        if "differ by more than" in warning
    ]


def _print_policies(report: Mapping[str, Any], console: Console) -> None:
    headings, rows = policy_rows(report)
    window = format_quantity(report["wall_time"]["value"], "s")
    how = f"{report['replicates']:,} simulated runs each" if report["replicates"] else "closed form"
    table = _table(f"policies over {window}, {how}; closed form and extra tokens beside", headings, ("policy",))
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()
    console.print(best_policy(report), highlight=False)
    console.print()
    for line in (*refusals(report), *explanations(report)):
        console.print(Text("note: ", style="yellow") + Text(line))
