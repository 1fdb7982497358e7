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
# What a decision is where nobody says otherwise; it is left out of the words then.
_USUAL = {
    "virtual_stages": 1,
    "context_parallel": 1,
    "expert_parallel": 1,
    "expert_tensor_parallel": 1,
    "recompute_layers": 0,
    "shard_ranks": 0,
    "sequence_parallel": 1,
    "schedule": "1f1b",
    "context_exchange": "ring",
    "tensor_overlap": 0,
    "offload_optimizer": 0,
    "offload_activations": 0,
}
# The names that --strategy takes, shortest first known; the others are written out.
_NAMES = {
    "tensor_parallel": "tp",
    "pipeline_parallel": "pp",
    "virtual_stages": "vpp",
    "data_parallel": "dp",
    "context_parallel": "cp",
    "expert_parallel": "ep",
    "expert_tensor_parallel": "etp",
    "micro_batch": "mbs",
    "zero_stage": "zero",
}
_BAR = 24


def strategy_words(strategy: Mapping[str, Any]) -> str:
    """Return a strategy in words, decisions at their usual value left out."""
    shown = {name: strategy[name] for name in SHORT if _tells(name, strategy)}
    parts = [_words(name, value) for name, value in shown.items()]
    if strategy.get("micro_batches"):
        parts.append(f"{strategy['micro_batches']:,} micro-batch{'es' * (strategy['micro_batches'] > 1)}")
    return ", ".join(parts)


def _tells(name: str, strategy: Mapping[str, Any]) -> bool:
    """Return whether a decision of a strategy says something: always, or where it is not as usual and takes effect."""
    value = strategy.get(name)
    if value is None:
        return False
    if name == "context_exchange":
        return bool(strategy.get("context_parallel", 1) > 1)
    if name == "sequence_parallel" and strategy.get("tensor_parallel", 1) == 1:
        return False
    return name in _ALWAYS or value != _USUAL[name]


def _words(name: str, value: Any) -> str:
    if name == "sequence_parallel":
        return "no sequence split"
    if name in ("tensor_overlap", "offload_optimizer", "offload_activations"):
        return SHORT[name]
    return f"{SHORT[name]} {value:,}" if isinstance(value, int) else f"{SHORT[name]} {value}"


def strategy_option(strategy: Mapping[str, Any]) -> str:
    """Return a strategy as --strategy takes it. What it leaves out is as usual in a search, so that it evaluates to the
    same step.
    """
    stated = [name for name in SHORT if name in _NAMES or name == "recompute" or _tells(name, strategy)]
    pairs = [f"{_NAMES.get(name, name)}={strategy[name]}" for name in stated if strategy.get(name) is not None]
    return f"--strategy '{' '.join(pairs)}'"


def idle_note(available: int, used: int, sequences: int, strategy: Mapping[str, Any]) -> str:
    """Return why a strategy leaves accelerators idle, and which global batches divide; "" where none is idle.

    `sequences` is the global batch.
    """
    if used >= available:
        return ""
    group = strategy["tensor_parallel"] * strategy["pipeline_parallel"] * strategy["context_parallel"]
    room, micro = available // group, strategy["micro_batch"]
    text = f"{available - used:,} of {available:,} accelerators are idle: "
    if room == strategy["data_parallel"]:
        return f"{text}replicas of {group:,} do not divide them"
    whole = room * micro
    below, above = sequences // whole * whole, -(-sequences // whole) * whole
    if above == sequences:
        return f"{text}the strategy takes no more of them"
    rounded = 1 << (sequences - 1).bit_length()
    above = above if rounded % whole else rounded
    batches = " or ".join(f"{batch:,}" for batch in (below, above) if batch)
    return (
        f"{text}{sequences:,} sequences do not divide among {room:,} replicas of micro-batch {micro}; "
        f"{batches} would (training.global_batch)"
    )


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
    console.print(strategy_option(report["strategy"]), highlight=False, soft_wrap=True)
    found = report["search"]
    if found:
        console.print(
            f"best of {found['generated']:,} strategies: {found['feasible']:,} fit, {sum(found['rejected'].values()):,} break a rule or the memory, {found['pruned']:,} cannot be within a quarter of the best",
            highlight=False,
        )
    console.print()
    console.print(
        rows_table(
            [
                ("step time", _interval(step, "s")),
                ("tokens per second", _interval(rate, "")),
                ("per accelerator", f"{report['tokens_per_s_per_accelerator']:,.0f} tokens/s"),
                (
                    f"run of {format_quantity(report['days_for_tokens']['tokens'], 'token')}",
                    f"{report['days_for_tokens']['days']:,.1f} days without failures",
                ),
                *deadline_rows(report),
                *(
                    (f"MFU, {name.partition(',')[0]}", f"{value:.1%} (against the 16-bit peak)")
                    for name, value in report["mfu"].items()
                ),
                ("HFU", f"{report['hfu']:.1%} (recomputation counted, against the 16-bit peak)"),
            ]
        )
    )
    console.print()
    console.print(bars("one step", report["step"], "s"))
    console.print()
    console.print(
        bars(
            f"memory of an accelerator, {format_quantity(report['memory']['value'], 'B')} of {format_quantity(report['memory_capacity_bytes'], 'B')}",
            report["memory"],
            "B",
        )
    )
    console.print()
    _print_alternatives(report["alternatives"], step["best"], console)
    _print_levers(report["elasticities"], console)
    for warning in notes(report):
        console.print(Text("note: ", style="yellow") + Text(warning))


def notes(report: Mapping[str, Any]) -> list[str]:
    """Return what a training report notes: what the planner warns of, and accelerators that stay idle."""
    idle = idle_note(report["available"], report["accelerators"], report["global_batch"], report["strategy"])
    return [*report["warnings"], *([idle] if idle else [])]


def deadline_rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the row that says whether the deadline of a report is met; none without one."""
    deadline, days = report["deadline"], report["days_for_tokens"]["days"]
    if deadline is None:
        return []
    verdict = "met" if deadline["met"] else f"missed by {days - deadline['days']:,.1f} days"
    return [(f"deadline of {deadline['days']:,.1f} days", verdict)]


def _interval(value: Mapping[str, float], unit: str) -> str:
    best, low, high = (format_quantity(value[key], unit) for key in ("best", "low", "high"))
    return f"{best}  [{low} .. {high}]"


def rows_table(rows: Sequence[tuple[str, str]]) -> Table:
    """Return labels and values in two columns."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for label, value in rows:
        table.add_row(label, value)
    return table


def bars(title: str, tree: Mapping[str, Any], unit: str) -> Table:
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
    if len(shown) < len(parts) and rest > 1e-9 * abs(total):  # below it, rounding of the sum
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
        table.add_row(
            f"{max(row['step_time'] / best - 1, 0.0):.1%}", format_quantity(row["memory"], "B"), strategy_words(row)
        )
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
