"""The plan on one screen, for a person who has never seen it; plain text when piped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from gigawatt.quantity import format_quantity


def print_plan(plan: Mapping[str, Any], console: Console, report: str = "") -> None:
    """Print a plan (`Plan.to_dict()`): the answer with its interval, what binds, the strategy, the breakdowns, what
    matters most.
    """
    scenario, model, fleet = plan["scenario"], plan["model"], plan["fleet"]
    kinds = " + ".join(f"{group['powered']:,} {group['accelerator']}" for group in fleet["groups"])
    console.print(Text(scenario["name"], style="bold"))
    console.print(
        f"{model['name']}: {_show(model['parameters_total'], '')} parameters, {_show(model['parameters_active'], '')} per token; "
        f"{_show(model['tokens'], 'token')} on {kinds}"
    )
    console.print()
    console.print(_headline([row for row in plan["headline"] if row["path"] not in _IN_THE_BARS]))
    console.print()
    style = "bold red" if not plan["feasible"] else "bold yellow"
    console.print(
        Text("infeasible: " if not plan["feasible"] else "what binds: ", style=style)
        + Text(plan["binding"]["sentence"])
    )
    console.print(
        Text("smallest change: ", style="bold") + Text(f"{plan['binding']['relief']} {plan['binding']['worth']}")
    )
    console.print()
    console.print(Text("strategy: ", style="bold") + Text(strategy_line(plan["strategy"], plan["search"])))
    console.print()
    console.print(_bars(plan["breakdowns"], console.width))
    console.print()
    console.print(_sensitivities(plan["sensitivities"], console.width))
    for warning in plan["warnings"]:
        console.print(Text("note: ", style="yellow") + Text(warning))
    if report:
        console.print(f"\nreport: {report}", soft_wrap=True)


_IN_THE_BARS = ("training.memory", "training.tokens_per_s")


def strategy_line(strategy: Mapping[str, Any], search: Mapping[str, Any]) -> str:
    """Return a strategy in words."""
    parts = [
        f"tensor {strategy['tensor_parallel']}",
        f"pipeline {strategy['pipeline_parallel']}"
        + (f" x {strategy['virtual_stages']} chunks" if strategy["virtual_stages"] > 1 else ""),
        f"data {strategy['data_parallel']:,}",
    ]
    if strategy["context_parallel"] > 1:
        parts.append(f"context {strategy['context_parallel']}")
    if strategy["expert_parallel"] > 1:
        parts.append(f"expert {strategy['expert_parallel']}")
    parts += [
        f"{strategy['micro_batches']:,} micro-batch{'es' * (strategy['micro_batches'] > 1)} of {strategy['micro_batch']}",
        f"recompute {strategy['recompute']}"
        + (f" in {layers} layers of a stage" if (layers := strategy["recompute_layers"]) else ""),
        f"ZeRO-{strategy['zero_stage']}",
        strategy["precision"],
    ]
    return f"{', '.join(parts)} (best of {search['generated']:,} tried)"


def _headline(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=True, header_style="dim")
    table.add_column("answer")
    table.add_column("best", justify="right", style="bold")
    table.add_column("low", justify="right")
    table.add_column("high", justify="right")
    for row in rows:
        table.add_row(row["label"], *(_show(row[key], row["unit"]) for key in ("value", "low", "high")))
    return table


def _show(value: float, unit: str) -> str:
    return format_quantity(value, unit)


_BREAKDOWNS = (
    ("step_time", "one step"),
    ("memory", "memory of an accelerator"),
    ("power", "power, mean of the run"),
    ("run_cost", "cost of the run"),
)


def _bars(breakdowns: Mapping[str, Mapping[str, Any]], width: int) -> Table:
    each = min(56, (width - 4) // 2)
    tables = [_bar_table(title, breakdowns[name], each, rows=3) for name, title in _BREAKDOWNS if name in breakdowns]
    grid = Table.grid(padding=(0, 4, 0, 0))
    for left in range(0, len(tables), 2):
        grid.add_row(*tables[left : left + 2])
    return grid


def _bar_table(title: str, tree: Mapping[str, Any], width: int, rows: int) -> Table:
    """Return the largest parts of a breakdown as shares with bars, the rest in one line, `width` columns wide."""
    total = tree["value"]
    parts = [part for part in tree["children"] if part["value"] >= 0.005 * total]
    parts.sort(key=lambda part: part["value"], reverse=True)
    shown = parts if len(parts) == rows + 1 else parts[:rows]
    entries = [(part["label"], part["value"]) for part in shown]
    if len(parts) > len(shown):
        entries.append((f"{len(parts) - len(shown)} more", sum(part["value"] for part in parts[len(shown) :])))
    bar = max(3, width - 36)
    table = Table(
        box=None,
        pad_edge=False,
        show_header=False,
        width=width,
        title=f"{title}: {_show(total, tree['unit'])}",
        title_justify="left",
        title_style="bold",
    )
    table.add_column(ratio=1)
    table.add_column(justify="right", width=4)
    table.add_column(width=bar)
    for label, value in entries:
        share = value / total if total else 0.0
        table.add_row(label, f"{share:.0%}", Text("█" * round(share * bar) or "▏", style="cyan"))
    return table


def _sensitivities(rows: Sequence[Mapping[str, Any]], width: int, most: int = 3) -> Table:
    """Return what moves the length of the run most; the ends of the assumptions where there is room for them."""
    wide = width >= 100
    table = Table(
        box=None,
        pad_edge=False,
        header_style="dim",
        title="what the length of the run depends on most",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("assumption", no_wrap=True)
    if wide:
        table.add_column("from", justify="right", no_wrap=True)
        table.add_column("to", justify="right", no_wrap=True)
    table.add_column("run", justify="right", no_wrap=True)
    table.add_column("grade")
    for row in [row for row in rows if row["output"] == "run.time"][:most]:
        ends = [_show(row["low_input"], row["unit"]), _show(row["high_input"], row["unit"])] if wide else []
        run = f"{_show(row['low_output'], row['output_unit'])} .. {_show(row['high_output'], row['output_unit'])}"
        table.add_row(row["label"], *ends, run, row["grade"])
    return table


def print_explanation(tree: Mapping[str, Any], console: Console) -> None:
    """Print the tree of `planning.explain`: each number, its formula, and below it what it was computed from."""
    root = Tree(_explained(tree), guide_style="dim")
    _grow(root, tree)
    console.print(root)


def _explained(node: Mapping[str, Any]) -> Text:
    text = Text()
    if node["symbol"]:
        text.append(f"{node['symbol']} = ", style="dim")
    text.append(f"{node['label'] or node['path']}: ")
    text.append(_show(node["value"], node["unit"]), style="bold")
    if node["low"] != node["high"]:
        text.append(f"  [{_show(node['low'], node['unit'])} .. {_show(node['high'], node['unit'])}]", style="dim")
    if node.get("seen"):
        return text.append("  (explained above)", style="dim")
    if node.get("formula"):
        text.append(f"\n= {node['formula']}", style="cyan")
    elif node.get("method"):
        text.append(f"\n{node['method']}", style="cyan")
    if "source" in node:
        text.append(
            f"\n{node['grade']}; {node['source']}" + (f" ({node['date']})" if node["date"] else ""), style="green"
        )
        if node["note"]:
            text.append(f"\n{node['note']}", style="dim")
    return text


def _grow(branch: Tree, node: Mapping[str, Any]) -> None:
    for child in node["children"]:
        _grow(branch.add(_explained(child)), child)


def print_paths(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print the outputs of a plan that can be explained."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("path", "what", "value"):
        table.add_column(name, justify="right" if name == "value" else "left")
    for row in rows:
        table.add_row(row["path"], row["label"], _show(row["value"], row["unit"]))
    console.print(table)
