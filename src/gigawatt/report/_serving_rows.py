"""Serving in words: the rows of terminal and page alike, from plain values. "-" stands where nothing is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gigawatt.quantity import format_quantity

GOALS = {"cost": "money", "power": "power"}
LEAST = {"cost": ("usd_per_month", "least money"), "power": ("peak_w", "least power")}
# Rules that left layouts out, the most frequent ones.
SHOWN_RULES = 5

TRAFFIC_COLUMNS = ("traffic", "requests/s", "peak", "prompt, mean", "output, mean", "cached", "promise")
MONEY_COLUMNS = ("chip", "for", "chips", "range", "peak", "M$/month", "in", "cached", "out", "J/token")
SHAPE_COLUMNS = ("chip", "for", "layout", "batch", "tok/s\na chip", "tok/s\na user", "TTFT", "TPOT", "set by")
MISS_COLUMNS = ("traffic", "chip", "what binds", "limit", "wanted", "reached")
_MISS_UNITS = {"TTFT": "s", "TPOT": "s", "rate": "1/s"}


def quantity(value: float | None, unit: str) -> str:
    """Return a value with its unit, "-" where there is none."""
    return "-" if value is None else format_quantity(value, unit)


def whole(value: float | None) -> str:
    """Return a count, "-" where there is none."""
    return "-" if value is None else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Return a rate or a ratio with three digits, "-" where there is none."""
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def price(value: float | None) -> str:
    """Return a price in dollars: cents, or two digits of what is less, "-" where there is none."""
    if value is None:
        return "-"
    decimals = 2 if value >= 0.1 or value == 0 else 1 - math.floor(math.log10(value))
    return f"${value:,.{decimals}f}"


def share(value: float | None) -> str:
    """Return a share in per cent, "-" where there is none."""
    return "-" if value is None else format_quantity(value, "fraction")


def short_name(report: Mapping[str, Any], name: str) -> str:
    """Return an accelerator without what its name says in brackets, where no other is called the same."""
    short = name.partition(" (")[0]
    names = {row["accelerator"] for row in (*report["plans"], *report["images"])}
    return short if sum(other.partition(" (")[0] == short for other in names) == 1 else name


def chip_name(report: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """Return the accelerator of a plan, with a mark where its kernels were not measured."""
    return f"{short_name(report, row['accelerator'])}{' *' if row['estimate'] else ''}"


def promise_words(promise: Mapping[str, Any]) -> str:
    """Return a promise in words: limits, and the percentile of requests at which they must be kept."""
    limits = [
        f"{name} {format_quantity(promise[key], 's')}"
        for key, name in (("ttft_s", "TTFT"), ("tpot_s", "TPOT"))
        if promise[key] is not None
    ]
    if not limits:
        return "none"
    return ", ".join(limits) + ("" if promise["percentile"] is None else f" at P{100 * promise['percentile']:g}")


def layout_words(plan: Mapping[str, Any]) -> str:
    """Return how a replica is laid out."""
    words = f"{plan['layout']} {plan['precision']}"
    if not plan["disaggregated"]:
        return words
    where = plan["prefill_accelerator"]
    other = f" on {where}" if where not in (None, plan["accelerator"]) else ""
    pool = "" if plan["prefill_share"] is None else f", {share(plan['prefill_share'])} of chips"
    return f"{words}; prefill {plan['prefill_layout']}{other}{pool}"


def best_plan(report: Mapping[str, Any], name: str, goal: str) -> Mapping[str, Any] | None:
    """Return the best plan of a class of traffic for "cost" or "power", None where no chip will do."""
    chip = report["best"][name][goal]
    if chip is None:
        return None
    plans: list[Mapping[str, Any]] = report["plans"]
    return next(p for p in plans if (p["class"], p["accelerator"], p["objective"]) == (name, chip, goal))


def best_image(report: Mapping[str, Any], name: str, goal: str) -> Mapping[str, Any] | None:
    """Return the chip that makes images of a name for least money or power, None where none will do."""
    rows = [row for row in report["images"] if row["name"] == name and row["feasible"]]
    best: Mapping[str, Any] | None = min(rows, key=lambda row: row[LEAST[goal][0]]) if rows else None
    return best


def image_names(report: Mapping[str, Any]) -> list[str]:
    """Return the names of the kinds of images."""
    return list(dict.fromkeys(row["name"] for row in report["images"]))


def same_plan(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two plans differ in nothing but what they were chosen for."""
    return {**one, "objective": ""} == {**other, "objective": ""}


def plans_of(report: Mapping[str, Any], name: str) -> list[tuple[Mapping[str, Any], str]]:
    """Return (plan, what its layout is for) of a class, least money first; one where both objectives give the same."""
    found: list[tuple[Mapping[str, Any], str]] = []
    for plan in report["plans"]:
        if plan["class"] != name or not plan["feasible"]:
            continue
        same = next((i for i, (other, _) in enumerate(found) if same_plan(plan, other)), None)
        if same is None:
            found.append((plan, GOALS[plan["objective"]]))
        else:
            found[same] = (found[same][0], "both")
    return sorted(found, key=lambda pair: pair[0]["usd_per_month"])


def is_best(report: Mapping[str, Any], plan: Mapping[str, Any], goal: str, aim: str) -> bool:
    """Return whether a plan of `plans_of` is the answer for a goal."""
    return aim in (GOALS[goal], "both") and report["best"][plan["class"]][goal] == plan["accelerator"]


def traffic_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Return what arrives: requests a second in the mean and at the peak, lengths (P50, P99), reuse, promise."""
    return [
        [
            row["name"],
            rate(row["requests_per_s"]),
            rate(row["peak_requests_per_s"]),
            _lengths(row["prompt"]),
            _lengths(row["output"]),
            share(row["cached_share"]),
            promise_words(row["promise"]),
        ]
        for row in report["traffic"]
    ]


def _lengths(tokens: Mapping[str, float]) -> str:
    return f"{whole(tokens['mean'])} ({whole(tokens['p50'])}, {whole(tokens['p99'])})"


def money_rows(report: Mapping[str, Any], name: str) -> list[list[str]]:
    """Return what each chip costs and draws for a class of traffic."""
    rows = []
    for plan, aim in plans_of(report, name):
        each = plan["usd_per_million"]
        rows.append(
            [
                chip_name(report, plan),
                aim,
                whole(plan["accelerators"]),
                f"{whole(plan['accelerators_low'])}–{whole(plan['accelerators_high'])}",
                quantity(plan["peak_w"], "W"),
                f"{plan['usd_per_month'] / 1e6:,.3g}",
                price(each["input"]),
                price(each["cached"]),
                price(each["output"]),
                rate(plan["energy_j_per_output_token"]),
            ]
        )
    return rows


def shape_rows(report: Mapping[str, Any], name: str) -> list[list[str]]:
    """Return how each chip serves a class of traffic."""
    return [
        [
            chip_name(report, plan),
            aim,
            layout_words(plan),
            whole(plan["sequences"]),
            rate(plan["tokens_per_s_per_accelerator"]),
            rate(plan["interactivity_tokens_per_s"]),
            quantity(plan["ttft_s"]["at_percentile"], "s"),
            quantity(plan["tpot_s"]["at_percentile"], "s"),
            plan["binding"],
        ]
        for plan, aim in plans_of(report, name)
    ]


def miss_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Return the chips that do not keep a promise: why, and the limit in the way with what is wanted of it and what comes
    nearest. Once for both goals.
    """
    rows = []
    for plan in report["plans"]:
        if plan["feasible"]:
            continue
        near = plan["nearest"]
        nearest = ["-", "-", "-"] if near is None else [near["limit"], *_amounts(near)]
        rows.append([plan["class"], chip_name(report, plan), plan["reason"], *nearest])
    return [row for i, row in enumerate(rows) if row not in rows[:i]]


def _amounts(near: Mapping[str, Any]) -> list[str]:
    unit = _MISS_UNITS.get(near["limit"])
    if near["limit"] == "memory":  # what is wanted is what is lacking, by accelerator: none of it is there
        return [f"{quantity(near['wanted'], 'B')} more", "-"]
    if unit is None:
        return [f"{near[key]:,.4g}" if near[key] else "-" for key in ("wanted", "reached")]
    return [quantity(near[key], unit) for key in ("wanted", "reached")]


def searched_words(report: Mapping[str, Any]) -> str:
    """Return how many layouts were looked at, and what left them out."""
    found = report["searched"]
    rules = sorted(found["rejected"].items(), key=lambda rule: -rule[1])
    shown = [f"{name} {count:,}" for name, count in rules[:SHOWN_RULES] if count]
    if len(rules) > SHOWN_RULES:
        shown.append(f"{len(rules) - SHOWN_RULES} more rules {sum(count for _, count in rules[SHOWN_RULES:]):,}")
    out = f"; left out: {', '.join(shown)}" if shown else ""
    return f"{found['generated']:,} layouts, {found['evaluated']:,} of them evaluated, {found['feasible']:,} keep the promise{out}"
