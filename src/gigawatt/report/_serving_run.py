"""Serving as it runs, in words: the day, the simulated latencies, money earned, images, months, the night."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gigawatt.quantity import format_quantity
from gigawatt.report._serving_rows import chip_name, price, quantity, rate, share, whole

LATENCIES = {"ttft_s": "TTFT", "tpot_s": "TPOT", "e2e_s": "end to end"}
LATENCY_COLUMNS = ("latency", "P50", "P90", "P95", "P99", "mean field\nP50", "mean field\nP99", "promised", "kept by")
DAY_COLUMNS = ("hour", "requests/s", "replicas", "chips needed", "freed", "power")
IMAGE_COLUMNS = ("images", "chip", "layout", "takes", "chips", "peak", "an image", "energy", "a month")
MONTH_COLUMNS = ("month", "requests/s", "chips", "peak", "cost")
# Hours of a day that the terminal shows.
SHOWN_HOURS = 8


def day_rows(day: Mapping[str, Any]) -> list[list[str]]:
    """Return the day by hour: requests, replicas and chips that are needed, chips freed, power."""
    return [
        [
            f"{row['hour']:02.0f}:00",
            rate(row["requests_per_s"]),
            whole(row["replicas"]),
            whole(row["accelerators"]),
            whole(row["freed_accelerators"]),
            quantity(row["power_w"], "W"),
        ]
        for row in day["hours"]
    ]


def day_columns(day: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return (headings, rows) of the day with hours beside one another, no more than SHOWN_HOURS of them."""
    shown = day_rows(day)[:: math.ceil(len(day["hours"]) / SHOWN_HOURS)]
    headings = [row[0] for row in shown]
    return ["hour", *headings], [[DAY_COLUMNS[i], *(row[i] for row in shown)] for i in (1, 3, 4, 5)]


def day_words(day: Mapping[str, Any]) -> str:
    """Return the busiest and the quietest hour in words."""
    busy, quiet = (pick(day["hours"], key=lambda row: row["accelerators"]) for pick in (max, min))
    return (
        f"busiest at {busy['hour']:02.0f}:00 with {whole(busy['accelerators'])} {day['accelerator']}, "
        f"quietest at {quiet['hour']:02.0f}:00 with {whole(quiet['accelerators'])}, which frees {whole(quiet['freed_accelerators'])}"
    )


def latency_rows(found: Mapping[str, Any], promise: Mapping[str, Any]) -> list[list[str]]:
    """Return the simulated latencies beside those of the mean field and the promise."""
    rows = []
    for key, name in LATENCIES.items():
        short = key.removesuffix("_s")
        mean_field = [quantity(found["mean_field"].get(f"{short}_{at}_s"), "s") for at in ("p50", "p99")]
        rows.append(
            [
                name,
                *(quantity(found[key][at], "s") for at in ("p50", "p90", "p95", "p99")),
                *mean_field,
                quantity(promise.get(key), "s"),
                share(found["kept"].get(short)),
            ]
        )
    return rows


def run_words(found: Mapping[str, Any]) -> list[str]:
    """Return what was simulated and what happened, in sentences."""
    field = found["mean_field"]["output_tokens_per_s"]
    words = [
        found["sentence"],
        f"simulated: {found['requests']:,} requests at {rate(found['requests_per_s'])} a second over {format_quantity(found['duration_s'], 's')}, "
        f"on {found['replicas']:,} replica{'s' * (found['replicas'] != 1)} of {found['accelerator']}",
        f"output {rate(found['output_tokens_per_s'])} tokens/s, the mean field {rate(field)}; "
        f"{found['preemptions']:,} preemptions; {share(found['cached_share'])} of the prompt from the cache",
    ]
    return ["saturated: more arrives than is served", *words] if found["saturated"] else words


def economics_rows(money: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the service earns, and what an API would charge for the same."""
    return [
        ("revenue a month at the compared prices", quantity(money["revenue_usd_per_month"], "USD")),
        ("margin", share(money["margin"])),
        ("the same tokens bought from an API, a month", quantity(money["api_usd_per_month"], "USD")),
        ("utilisation at which it breaks even", share(money["break_even_utilisation"])),
    ]


def image_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Return the chips that make images."""
    rows = []
    for row in report["images"]:
        if not row["feasible"]:
            continue
        energy = row["energy_j_per_image"]
        rows.append(
            [
                row["name"],
                chip_name(report, row),
                f"{row['parallel']}, batch {whole(row['batch'])}",
                quantity(row["latency_s"], "s"),
                whole(row["accelerators"]),
                quantity(row["peak_w"], "W"),
                price(row["usd_per_image"]),
                "-" if energy is None else f"{rate(energy)} J",
                quantity(row["usd_per_month"], "USD"),
            ]
        )
    return rows


def image_misses(report: Mapping[str, Any]) -> list[str]:
    """Return why chips do not make images in time."""
    return [
        f"{row['name']} on {row['accelerator']}: {row['reason']}" for row in report["images"] if not row["feasible"]
    ]


def month_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Return what is needed month by month."""
    return [
        [
            row["month"],
            rate(row["requests_per_s"]),
            whole(row["accelerators"]),
            quantity(row["peak_w"], "W"),
            quantity(row["usd"], "USD"),
        ]
        for row in report["months"]
    ]


def month_words(report: Mapping[str, Any]) -> str:
    """Return the growth from the first month to the last in words."""
    first, last = month_rows(report)[0], month_rows(report)[-1]
    return f"{first[0]}: {first[2]} chips, {first[3]}, {first[4]}; {last[0]}: {last[2]} chips, {last[3]}, {last[4]}"


def night_rows(night: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the trough frees."""
    rows = [
        ("freed in a day", f"{whole(night['accelerator_hours_per_day'])} accelerator-hours"),
        ("share of the fleet's hours", share(night["share_of_fleet"])),
        ("freed at the trough", f"{whole(night['accelerators_at_trough'])} accelerators"),
        ("tokens trained in a day", quantity(night["tokens_per_day"], "token")),
    ]
    if night["days_for_tokens"] is not None:
        rows.append(("days for the tokens asked", rate(night["days_for_tokens"])))
    return rows
