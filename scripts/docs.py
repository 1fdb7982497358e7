"""Writes the generated pages of the docs: `.venv/bin/python scripts/docs.py`.

docs/scenario.md from the declaration of the scenario, docs/validation.md from a run of both validations, and both JSON Schemas.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import median
from typing import Any

from gigawatt.quantity import format_quantity
from gigawatt.report import plan_schema
from gigawatt.scenario import scenario_schema
from gigawatt.validation import constant_rows, validate_cases, validate_memory, validate_serving, validate_training

DOCS = Path(__file__).parents[1] / "docs"

CASE_MISSES = (
    "What the misses on failures say: clusters differ more than chips. RSC-2 fails 2.6 times less than RSC-1 on the same A100, the machines of OPT-175B went down twice to three times as often; "
    "on 32,768 H100 the categories are drawn elsewhere (7 % faulty GPUs beside 18 % PCIe devices, where Llama 3 has 40 % accelerators). The 40 % that OPT-175B lost hold instabilities and holidays, which are not modelled; "
    "earlier TPU jobs (85 %) lost more than these rates and restarts explain. Starts of jobs on a machine that nobody has seen are off by a factor of 1.9 either way, whatever law of the size is taken (`scripts/start_up.py`). "
    "BLOOM stood still for whole saves, where asynchronous ones are assumed."
)


BUILD_PARTS = {
    "chips[]": "ChipItem",
    "chips[].orders[]": "OrderItem",
    "sites[]": "BuildSiteItem",
    "sites[].grid[]`, `cooling[]`, `hall[]": "LimitStep",
    "sites[].network[]` and `installation[]": "CountStep",
    "sites[].units[]": "UnitItem",
    "sites[].units[].given[]": "UnitStep",
    "sites[].tasks[]": "TaskItem",
    "money": "MoneyItem",
    "money.funding[]": "FundingItem",
    "money.debt[]": "DebtItem",
    "funds[]": "FundItem",
}
SERVING_PARTS = {
    "traffic[]": "TrafficItem",
    "traffic[].prompt`, `output` and `tool_tokens": "LengthItem",
    "images[]": "ImageItem",
    "layout": "LayoutItem",
    "offload": "OffloadItem",
    "prices` and `compare_price": "PricesItem",
}


def scenario_page() -> str:
    """Return the reference of every scenario field as Markdown tables."""
    schema = scenario_schema()
    lines = [
        "# Scenario reference",
        "",
        "Every section is optional, and every field but these: a member of `fleet.accelerators` names its `accelerator` (and its `count` where there are several), "
        "`training.input` has `sample_bytes` and `tokens_per_sample` together, several `network.sites` need `wide_area`, a class of `serving.traffic` needs a `name`, a `rate` (or `users` and `requests_per_user`), and `prompt` and `output` (or a `trace`), "
        "and a `model` without a `base` needs its sizes. "
        "Quantities are text with a unit: decimal prefixes k, M, G, T, P, E, binary ones Ki, Mi, Gi, Ti; "
        "B is bytes, b bits; counts, tokens and money also take k, M, B (billion), T (trillion), counts and tokens Ki, Mi, Gi, Ti (`128k` is 128,000, `128Ki` 131,072). "
        "A bare number is a count or a fraction; in `sequence_length` and `tokens_per_sample` it counts tokens, in `global_batch` sequences, in lengths of `serving` tokens, in prices of tokens dollars per million. "
        "Inside braces a comma ends a field: write `{count: 16384}`, not `{count: 16,384}`. "
        "`--set path=value` overrides any field; `assumptions` overrides any assumption of the report by its path, with a value or [low, best, high].",
        "",
    ]
    lines += _section("Top level", schema)
    for name in schema["properties"]:
        reference = json.dumps(schema["properties"][name])
        target = next((key for key in schema["$defs"] if f'"#/$defs/{key}"' in reference), None)
        if target:
            lines += _section(f"`{name}`", schema["$defs"][target])
    lines += _section("`fleet.accelerators[]`", schema["$defs"]["AcceleratorItem"])
    lines += _section("`training.input`", schema["$defs"]["InputData"])
    for title, name in BUILD_PARTS.items():
        lines += _section(f"`build.{title}`", schema["$defs"][name])
    for title, name in SERVING_PARTS.items():
        lines += _section(f"`serving.{title}`", schema["$defs"][name])
    return "\n".join(lines) + "\n"


def _section(title: str, part: dict[str, Any]) -> list[str]:
    rows = [f"## {title}", "", part.get("description", ""), "", "| field | example | meaning |", "|---|---|---|"]
    for name, field in part["properties"].items():
        rows.append(f"| `{name}` | {_example(field)} | {field.get('description', '')} |")
    return [*rows, ""]


def _example(field: dict[str, Any]) -> str:
    options = [field, *field.get("anyOf", [])]
    for option in options:
        if "examples" in option:
            return " or ".join(f"`{example}`" for example in option["examples"])
        if "enum" in option:
            return ", ".join(f"`{value}`" for value in option["enum"])
        if option.get("type") in ("boolean", "integer"):
            return {"boolean": "`true`", "integer": "`8`"}[option["type"]]
    return "a section" if "$ref" in json.dumps(field) else "text"


SERVING_QUANTITIES = {
    "tpot_s": "Time per output token",
    "ttft_s": "Time to first token",
    "output_rate": "Output tokens per second",
    "input_rate": "Input tokens per second (prefill units)",
}


def serving_lines() -> list[str]:
    """Return the residuals of serving by quantity, group, chip and model, misses included."""
    result = validate_serving()
    summary = result["summary"]
    lines = [
        "",
        "## Serving",
        "",
        f"{summary['predicted']} of {summary['measurements']} published measurements are predicted (`gigawatt validate serving`). {summary['constants']} constants are fitted to them (`validation/data/serving_fit_parameters.csv`: "
        "each of a software stack or a family of chips, none of a row): soft L1 of log errors, points beyond 40 % counting less, a ridge on the logarithm of every constant towards its value before the fit. *Without chip*, *without model*: "
        "median error under constants fitted without the row's own. *Roofline*: the trivial baseline, weights and cache read once (or FLOP at peak) over one efficiency per chip and format, fitted on the very rows. *Rank*: Spearman inside the group.",
    ]
    for quantity, title in SERVING_QUANTITIES.items():
        figures = summary[quantity]
        lines += [
            "",
            f"### {title}",
            "",
            f"{100 * figures['inside_80']:.0f} % of the measurements lie inside the 80 % interval, {100 * figures['inside_90']:.0f} % inside the 90 % one (both made of the errors without chip and without model).",
            "",
            "| group | rows | median error | 90th percentile | bias | without chip | without model | roofline | rank |",
            "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
        ]
        for name, group in [*figures["by_group"].items(), ("**all**", figures)]:
            if group["n"]:
                others = [
                    _percent(figures[kind]["by_group"].get(name, figures[kind])["median_abs_error_pct"])
                    for kind in ("without_chip", "without_model", "baseline")
                ]
                rank = figures["rank_by_group"].get(name)
                lines.append(
                    f"| {name} | {group['n']} | {_percent(group['median_abs_error_pct'])} | {_percent(group['p90_abs_error_pct'])} | {group['bias_pct']:+.1f} % | {' | '.join(others)} | {'-' if rank is None else f'{rank:.3f}'} |"
                )
        for key, heading in (("by_chip", "chip"), ("by_model", "model")):
            lines += ["", f"| {heading} | rows | median error | bias |", "|---|--:|--:|--:|"]
            lines += [
                f"| {name} | {group['n']} | {_percent(group['median_abs_error_pct'])} | {group['bias_pct']:+.1f} % |"
                for name, group in figures[key].items()
                if group["n"]
            ]
    reasons: dict[str, int] = {}
    for row in result["rows"]:
        if row["skipped"]:
            reasons[row["skipped"]] = reasons.get(row["skipped"], 0) + 1
    lines += ["", "Not predicted, and why:", ""]
    lines += [f"- {count} rows: {reason}" for reason, count in reasons.items()]
    return lines


def validation_page() -> str:
    """Return both validations as they are, misses included."""
    training, cases = validate_training(), validate_cases()
    summary = training["summary"]
    baseline = summary["baseline"]
    lines = [
        "# Validation",
        "",
        "Generated by `scripts/docs.py` from `gigawatt validate training`, `gigawatt validate memory`, `gigawatt validate serving` and `gigawatt validate cases`.",
        "",
        "## Training steps",
        "",
        "![predicted against measured tokens per second and accelerator](images/validation.svg)",
        "",
        "Predicted over measured rate, per row. A group is one source and one kind of system. "
        f"{summary['constants']} constants of the step model are fitted to these rows by `gigawatt calibrate training` (each belongs to a chip or to a software stack, "
        "none to a row: `validation/data/fit_parameters.csv`); kernel efficiencies come from operator tables (`gigawatt calibrate fit`). *Left out* is the error of a "
        "group under constants that were fitted without it: what to expect of a source nobody has seen. *One constant* is the trivial baseline, a single fraction of peak per "
        "chip and precision: fitted on the very rows that it is judged on, and (*left out*) on the other groups.",
        "",
        "| group | rows | median error | 90th percentile | bias | left out | one constant | one constant, left out | not predicted |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, group in [*summary["by_group"].items(), ("**all**", summary)]:
        other = baseline["by_group"].get(name, baseline)
        away = summary["baseline_left_out"]["by_group"].get(name, summary["baseline_left_out"])
        unseen = summary["left_out"]["by_group"].get(name, summary["left_out"])
        shown = [_percent(group[key]) for key in ("median_abs_error_pct", "p90_abs_error_pct")]
        bias = "-" if group["bias_pct"] is None else f"{group['bias_pct']:+.1f} %"
        lines.append(
            f"| {name} | {group['n']} | {shown[0]} | {shown[1]} | {bias} | {_percent(unseen['median_abs_error_pct'])} | {_percent(other['median_abs_error_pct'])} | {_percent(away['median_abs_error_pct'])} | {group['skipped']} |"
        )
    lines += [
        "",
        "By vendor:",
        "",
        "| vendor | rows | median error | 90th percentile | left out |",
        "|---|--:|--:|--:|--:|",
    ]
    for vendor in dict.fromkeys(VENDORS.values()):
        mine = [row for row in training["rows"] if vendor_of(row["group"]) == vendor and row["ratio"]]
        if mine:
            errors = sorted(abs(row["ratio"] - 1) for row in mine)
            unseen = sorted(abs(row["left_out_ratio"] - 1) for row in mine)
            lines.append(
                f"| {vendor} | {len(mine)} | {_percent(100 * median(errors))} | {_percent(100 * errors[int(0.9 * (len(errors) - 1))])} | {_percent(100 * median(unseen))} |"
            )
    for order in training["rankings"]:
        lines += [
            "",
            f"Ranking of the strategies of {order['group']}: Kendall's tau {order['kendall']:.2f} over {order['rows']} rows; the strategy that is predicted best is "
            f"{100 * order['picked_below_best']:.1f} % below the one measured best.",
        ]
    lines += [
        "",
        "What the residuals are: software versions move the same hardware by 10-40 % (DeepSeek-V3 on 256 GB200 between releases of 2025 and 2026: 4,018 to 4,912 tokens/s and "
        "accelerator; GPT-OSS-120B on 64 B200: 8,047 to 13,568), which is most of `mb-moe`; decisions that a source does not state (recompute, chunks, micro-batch) are searched; "
        "what is left is the model: tensor parallelism over few rows per kernel on A100 (`bloom-a100`, micro-batches of one), experts on TPU (`tpurecipes-v5p`), PaLM's compiler of 2022.",
    ]
    lines += ["", "Rows that are not predicted, and why:", ""]
    lines += [f"- `{row['id']}`: {row['skipped']}" for row in training["rows"] if row["skipped"]]
    lines += held_out_lines() + constant_lines() + memory_lines() + serving_lines()
    lines += [
        "",
        "## Whole systems",
        "",
        f"{cases['summary']['inside_not_inputs']} of {cases['summary']['n_not_inputs']} published facts that did not serve as inputs are inside their tolerance. "
        "*Input*: the fact, or what it is made of, went into the catalogue, so that it has to come out again (or it is an end of its range). *Formula*: a formula of the source, evaluated. Tolerances are given, with their reason, in the case files "
        "(`validation/cases`).",
        "",
        "| case | fact | published | predicted | off by | tolerance | inside | source |",
        "|---|---|--:|--:|--:|--:|---|---|",
    ]
    for row in cases["rows"]:
        low, high = (format_quantity(row[key], row["unit"]) for key in ("published_low", "published_high"))
        published = low if low == high else f"{low} to {high}"
        verdict = "yes" if row["inside"] else "**no**"
        verdict = "input" if row["served_as_input"] else "formula" if row["verification"] else verdict
        lines.append(
            f"| {row['title']} | {row['label']} | {published} | {format_quantity(row['predicted'], row['unit'])} | "
            f"{row['error_pct']:+.0f} % | {row['tolerance']:.0%} | {verdict} | {row['source']} |"
        )
    lines += [
        "",
        CASE_MISSES,
        "",
        "### Facts on failures and goodput that are not predicted",
        "",
        "Every fact of `validation/data/goodput_published.csv` has a status in `goodput_status.csv` beside it: predicted, an input, the verification of a formula, or one of these.",
        "",
        "| fact | system | metric | value | reason |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| `{fact['id']}` | {fact['system']} | {fact['metric']} | {fact['value']} {fact['unit']} | {fact['reason']}: {fact['detail']} |"
        for fact in cases["not_predicted"]
    ]
    lines += [
        "",
        "### Facts on power that are not predicted",
        "",
        "Every fact of `validation/data/power_published.csv` has a status in `power_status.csv` beside it.",
        "",
        "| fact | quantity | value | reason |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{fact['id']}` | {fact['quantity']} | {fact['value']} {fact['unit']} | {fact['reason']}: {fact['detail']} |"
        for fact in cases["not_predicted_power"]
    ]
    return "\n".join(lines) + "\n"


def held_out_lines() -> list[str]:
    """Return the section on sources that no fit ever saw."""
    held_out = validate_training(held_out=True)
    summary = held_out["summary"]
    lines = [
        "",
        "## Sources that no fit ever saw",
        "",
        f"{summary['n']} measurements of other sources (`gigawatt validate training --held-out`), collected after the constants were fitted and never part of a fit: "
        f"median error {_percent(summary['median_abs_error_pct'])}, 90th percentile {_percent(summary['p90_abs_error_pct'])}, bias {summary['bias_pct']:+.1f} %. The constant fraction of peak of the fitted "
        f"table has {_percent(summary['baseline_left_out']['median_abs_error_pct'])}, one that is fitted to these very rows {_percent(summary['baseline']['median_abs_error_pct'])}. Repairs of the model and of how texts are read were "
        "made with these rows in sight (docs/log.md), so the figure is a little better than of a source that comes tomorrow.",
        "",
        "| group | rows | median error | 90th percentile | bias | one constant | one constant, of the other sources |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, group in [*summary["by_group"].items(), ("**all**", summary)]:
        if group["n"]:
            others = [summary[kind]["by_group"].get(name, summary[kind]) for kind in ("baseline", "baseline_left_out")]
            figures = [_percent(group[key]) for key in ("median_abs_error_pct", "p90_abs_error_pct")]
            figures += [f"{group['bias_pct']:+.1f} %", *(_percent(other["median_abs_error_pct"]) for other in others)]
            lines.append(f"| {name} | {group['n']} | {' | '.join(figures)} |")
    return [
        *lines,
        "",
        "Too fast: Megatron-LM of 2023 at scale (`megascale-*`: exchanges that its authors say were not hidden), runs in production (`llama3-meta`, `nemotron4`, `apertus70b`: what they lose besides the step is in their figure), Gaudi 2 outside of MLPerf, fp8 experts of 2024 (`dgxc-grok1`). "
        "Too slow: MoE kernels of 2026 on MI355X (`primus-mi355x`), Grok-1 on GB200, releases of late 2024 on H100 (`dgxc-nemotron`).",
    ]


def constant_lines() -> list[str]:
    """Return the table of fitted constants with the rows and groups that each rests on."""
    lines = [
        "",
        "## The fitted constants",
        "",
        "Each belongs to a chip or a software stack. *Before* is what was taken to hold before any row was seen.",
        "",
        "| constant | before | fitted | rows | groups |",
        "|---|--:|--:|--:|--:|",
    ]
    for found in constant_rows():
        keys = ", ".join(f"`{key}`" for key in found["keys"])
        lines.append(f"| {keys} | {found['prior']:g} | {found['value']:.3g} | {found['rows']} | {found['groups']} |")
    return lines


def memory_lines() -> list[str]:
    """Return the section on peak memory."""
    memory = validate_memory()
    summary = memory["summary"]
    lines = [
        "",
        "## Peak memory",
        "",
        f"{summary['n']} rows state a peak: median error {_percent(summary['median_abs_error_pct'])}, 90th percentile {_percent(summary['p90_abs_error_pct'])}, "
        f"bias {summary['bias_pct']:+.1f} %. The share lost to fragmentation is fitted to these same rows.",
        "",
        "| row | measured, GiB | predicted, GiB | ratio |",
        "|---|--:|--:|--:|",
    ]
    return lines + [
        f"| {row['id']} | {row['measured_gib']:.1f} | {row['predicted_gib']:.1f} | {row['ratio']:.2f} |"
        for row in memory["rows"]
        if row["ratio"]
    ]


VENDORS = {
    "maxtext": "Google",
    "tpurecipes": "Google",
    "mlperf-gpt3-tpu": "Google",
    "palm": "Google",
    "aws": "AWS",
    "mlperf-gpt3-gaudi2": "Intel",
    "frontier": "AMD",
    "": "NVIDIA",
}
COLOURS = {"NVIDIA": "#009e73", "Google": "#0072b2", "AWS": "#e69f00", "Intel": "#cc79a7", "AMD": "#d55e00"}


def vendor_of(group: str) -> str:
    """Return the vendor of the chips of a group."""
    return next(vendor for start, vendor in VENDORS.items() if group.startswith(start))


def scatter(rows: list[dict[str, Any]]) -> str:
    """Return predicted against measured tokens per second and accelerator as an SVG, log-log, by vendor."""
    shown = [row for row in rows if row["ratio"] and row["quantity"] == "tokens_per_s_per_gpu"]
    side, edge, low, high = 560.0, 60.0, 0.9, 5.0

    def at(value: float) -> float:
        return edge + (math.log10(value) - low) / (high - low) * (side - 2 * edge)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side:g} {side:g}" font-family="sans-serif" font-size="13" role="img" '
        'aria-label="predicted against measured tokens per second and accelerator">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for power in range(1, 6):
        x, y = at(10.0**power), side - at(10.0**power)
        parts.append(f'<path d="M{x:.1f} {edge}V{side - edge}M{edge} {y:.1f}H{side - edge}" stroke="#dddddd"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{side - edge + 18:g}" text-anchor="middle" fill="#444">{10**power:,}</text>'
        )
        parts.append(f'<text x="{edge - 6:g}" y="{y + 4:.1f}" text-anchor="end" fill="#444">{10**power:,}</text>')
    a, b = at(10**low), at(10**high)
    parts.append(f'<path d="M{a:.1f} {side - a:.1f}L{b:.1f} {side - b:.1f}" stroke="#444"/>')
    for factor in (0.8, 1.25):
        shift = math.log10(factor) / (high - low) * (side - 2 * edge)
        parts.append(
            f'<path d="M{a:.1f} {side - a - shift:.1f}L{b:.1f} {side - b - shift:.1f}" stroke="#999" stroke-dasharray="4 4"/>'
        )
    for row in shown:
        colour = COLOURS[vendor_of(row["group"])]
        parts.append(
            f'<circle cx="{at(row["measured"]):.1f}" cy="{side - at(row["predicted"]):.1f}" r="3.2" fill="{colour}" fill-opacity="0.65">'
            f"<title>{row['id']}: {row['measured']:,.0f} measured, {row['predicted']:,.0f} predicted</title></circle>"
        )
    vendors = [vendor for vendor in COLOURS if any(vendor_of(row["group"]) == vendor for row in shown)]
    for index, vendor in enumerate(vendors):
        y = edge + 16 + 20 * index
        parts.append(f'<circle cx="{edge + 16:g}" cy="{y - 4:g}" r="5" fill="{COLOURS[vendor]}"/>')
        parts.append(f'<text x="{edge + 28:g}" y="{y:g}" fill="#222">{vendor}</text>')
    middle = side / 2
    parts.append(
        f'<text x="{middle:g}" y="{side - 14:g}" text-anchor="middle" fill="#222">measured tokens/s per accelerator (dashed: 20 % apart)</text>'
    )
    parts.append(
        f'<text transform="translate(16 {middle:g}) rotate(-90)" text-anchor="middle" fill="#222">predicted</text>'
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} %"


def main() -> None:
    """Write the pages."""
    images = DOCS / "images"
    (images / "validation.svg").write_text(scatter(validate_training()["rows"]), encoding="utf-8")
    for name, text in (
        ("scenario.md", scenario_page()),
        ("validation.md", validation_page()),
        ("scenario.schema.json", json.dumps(scenario_schema(), indent=2) + "\n"),
        ("plan.schema.json", json.dumps(plan_schema(), indent=2) + "\n"),
    ):
        (DOCS / name).write_text(text, encoding="utf-8")
        print(f"wrote docs/{name}")


if __name__ == "__main__":
    main()
