"""The training planner's answers for people: strategy, step, memory, alternatives, comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gigawatt.quantity import format_quantity

SHORT = {
    "tensor_parallel": "tensor",
    "pipeline_parallel": "pipeline",
    "virtual_stages": "chunks",
    "data_parallel": "data",
    "context_parallel": "context",
    "expert_parallel": "expert",
    "expert_tensor_parallel": "expert-tensor",
    "micro_batch": "micro-batch",
    "recompute": "recompute",
    "recompute_layers": "layers recomputed",
    "zero_stage": "ZeRO",
    "shard_ranks": "shard group",
    "sequence_parallel": "sequence split",
    "schedule": "schedule",
    "context_exchange": "context by",
    "tensor_overlap": "tensor overlap",
    "offload_optimizer": "optimizer offload",
    "offload_activations": "activation offload",
}
_ALWAYS = ("tensor_parallel", "pipeline_parallel", "data_parallel", "micro_batch", "recompute", "zero_stage")
_PLAIN = {1, 0, "1f1b", "ring", "all_gather"}
_BAR = 24


def strategy_words(strategy: Mapping[str, Any]) -> str:
    """Return a strategy in words, decisions at their usual value left out."""
    parts = []
    for name, label in SHORT.items():
        value = strategy.get(name)
        if value is None or (name not in _ALWAYS and value in _PLAIN and name != "sequence_parallel"):
            continue
        if name == "sequence_parallel":
            if value == 0 and strategy.get("tensor_parallel", 1) > 1:
                parts.append("no sequence split")
            continue
        parts.append(f"{label} {value:,}" if isinstance(value, int) else f"{label} {value}")
    if strategy.get("micro_batches"):
        parts.append(f"{strategy['micro_batches']:,} micro-batches")
    return ", ".join(parts)


def print_train(report: Mapping[str, Any], console: Console) -> None:
    """Print a training report (`TrainReport.to_dict()`)."""
    step, rate = report["step_time_s"], report["tokens_per_s"]
    console.print(Text(report["scenario"], style="bold"))
    unused = report["available"] - report["accelerators"]
    console.print(
        f"{report['model']['name']}, {format_quantity(report['model']['parameters'], '')} parameters, on {report['accelerators']:,} {report['accelerator']}"
        + (f" ({unused:,} more not used)" if unused else "")
        + f"; {report['global_batch']:,} sequences of {report['sequence']:,} tokens, {report['precision']}, {report['optimizer']}",
        highlight=False,
    )
    console.print()
    console.print(Text("strategy: ", style="bold") + Text(strategy_words(report["strategy"])))
    found = report["search"]
    if found:
        console.print(
            f"best of {found['generated']:,} strategies: {found['feasible']:,} fit, {sum(found['rejected'].values()):,} break a rule or the memory, {found['pruned']:,} cannot be within a quarter of the best",
            highlight=False,
        )
    console.print()
    console.print(
        _rows(
            [
                ("step time", _interval(step, "s")),
                ("tokens per second", _interval(rate, "")),
                ("per accelerator", f"{report['tokens_per_s_per_accelerator']:,.0f} tokens/s"),
                (
                    f"run of {format_quantity(report['days_for_tokens']['tokens'], 'token')}",
                    f"{report['days_for_tokens']['days']:,.1f} days without failures",
                ),
                *(
                    (f"MFU, {name.partition(',')[0]}", f"{value:.1%} (against the 16-bit peak)")
                    for name, value in report["mfu"].items()
                ),
                ("HFU", f"{report['hfu']:.1%} (recomputation counted, against the peak of the format)"),
            ]
        )
    )
    console.print()
    console.print(_bars("one step", report["step"], "s"))
    console.print()
    console.print(
        _bars(
            f"memory of an accelerator, {format_quantity(report['memory']['value'], 'B')} of {format_quantity(report['memory_capacity_bytes'], 'B')}",
            report["memory"],
            "B",
        )
    )
    console.print()
    _print_alternatives(report["alternatives"], step["best"], console)
    _print_levers(report["elasticities"], console)
    for warning in report["warnings"]:
        console.print(Text("note: ", style="yellow") + Text(warning))


def _interval(value: Mapping[str, float], unit: str) -> str:
    best, low, high = (format_quantity(value[key], unit) for key in ("best", "low", "high"))
    return f"{best}  [{low} .. {high}]"


def _rows(rows: Sequence[tuple[str, str]]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for label, value in rows:
        table.add_row(label, value)
    return table


def _bars(title: str, tree: Mapping[str, Any], unit: str) -> Table:
    """Return a breakdown as bars, largest first; parts below half a per cent together."""
    table = Table(box=None, pad_edge=False, show_header=False, title=title, title_justify="left", title_style="bold")
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right", style="dim")
    table.add_column()
    parts = sorted(tree["children"], key=lambda part: -part["value"])
    total = tree["value"]
    shown = [part for part in parts if part["value"] >= 0.005 * total]
    for part in shown:
        share = part["value"] / total
        bar = "█" * max(1, round(_BAR * share))
        table.add_row(part["label"], format_quantity(part["value"], unit), f"{share:.1%}", bar)
    rest = total - sum(part["value"] for part in shown)
    if len(shown) < len(parts) and rest > 0:
        table.add_row(f"{len(parts) - len(shown)} more", format_quantity(rest, unit), f"{rest / total:.1%}", "")
    return table


def _print_alternatives(rows: Sequence[Mapping[str, Any]], best: float, console: Console) -> None:
    if not rows:
        return
    table = Table(
        box=None,
        pad_edge=False,
        header_style="dim",
        title="alternatives within a quarter",
        title_justify="left",
        title_style="bold",
    )
    for heading in ("slower by", "memory", "strategy"):
        table.add_column(heading, justify="left" if heading == "strategy" else "right", overflow="fold")
    for row in rows:
        table.add_row(f"{row['step_time'] / best - 1:.1%}", format_quantity(row["memory"], "B"), strategy_words(row))
    console.print(table)
    console.print()


def _print_levers(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    parts = [f"{row['lever']} {row['elasticity']:+.2f} %" for row in rows if abs(row["elasticity"]) >= 0.005]
    console.print(Text("1 % more of this makes a token faster by: ", style="bold") + Text(", ".join(parts)))


def print_comparison(data: Mapping[str, Any], console: Console) -> None:
    """Print two strategies side by side (`Comparison.to_dict()`)."""
    for name, strategy in zip("AB", data["strategies"], strict=True):
        console.print(Text(f"{name}: ", style="bold") + Text(strategy_words(strategy)))
    console.print()
    for sentence in data["sentences"]:
        console.print(Text(sentence))
    console.print()
    console.print(_difference("seconds of one step", data["time"], data["step_s"], 1.0))
    console.print()
    console.print(_difference("gigabytes of the fullest accelerator", data["memory"], data["memory_bytes"], 1e9))


def _difference(title: str, rows: Sequence[Mapping[str, Any]], total: Sequence[float], scale: float) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", title=title, title_justify="left", title_style="bold")
    for heading in ("", "A", "B", "B - A"):
        table.add_column(heading, justify="right" if heading else "left")
    for row in [
        *sorted(rows, key=lambda row: -abs(row["b"] - row["a"])),
        {"part": "all", "a": total[0], "b": total[1]},
    ]:
        a, b = row["a"] / scale, row["b"] / scale
        table.add_row(row["part"], f"{a:,.3f}", f"{b:,.3f}", f"{b - a:+,.3f}")
    return table


def print_mix(data: Mapping[str, Any], console: Console) -> None:
    """Print what a mixed fleet does (`MixedResult.to_dict()`)."""
    for kind in data["kinds"]:
        alone = (
            f"{kind['tokens_per_s_alone']:,.0f} tokens/s alone"
            if kind["tokens_per_s_alone"]
            else "cannot hold the model alone"
        )
        console.print(f"{kind['accelerators']:,} {kind['accelerator']}: {alone}", highlight=False)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("way", "tokens/s", "step", "work per kind", ""):
        table.add_column(heading, justify="right" if heading in ("tokens/s", "step") else "left", overflow="fold")
    for way in data["ways"]:
        shares = ", ".join(f"{name} {share:g}" for name, share in way["shares"].items())
        table.add_row(
            way["way"], f"{way['tokens_per_s']:,.0f}", format_quantity(way["step_s"], "s"), shares, way["note"]
        )
    console.print(table)
    console.print(data["sentence"], highlight=False)
