"""The charts of a serving report: chips, the Pareto front, day, latencies, cache and load, cost, months, images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gigawatt.quantity import format_quantity
from gigawatt.report._charts import (
    DATE,
    Chart,
    Line,
    areas_chart,
    axis,
    bars_chart,
    breakdown_chart,
    date_value,
    lines_chart,
    points_chart,
)
from gigawatt.report._serving_rows import best_image, chip_name, plans_of, price, promise_words, share, short_name
from gigawatt.report._serving_run import DAY_COLUMNS, MONTH_COLUMNS, day_rows, month_rows

MW = 1e6
# Rows of a table under a chart.
TABLED = 26
# A distribution is drawn up to so many times its P99 or its promise, whichever is further.
BEYOND = 1.25


def _sampled(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return no more than TABLED rows, the last one included."""
    return [list(row) for row in rows[::-1][:: max(math.ceil(len(rows) / TABLED), 1)][::-1]]


def _id(kind: str, number: int) -> str:
    return f"{kind}-{number}"


def chip_charts(report: Mapping[str, Any], number: int, name: str) -> tuple[Chart, ...]:
    """Return bars of price per million output tokens and of power at the peak, a chip each, least first; none where no
    chip serves the class.
    """
    plans = plans_of(report, name)
    if not plans:
        return ()
    money = [(plan, aim) for plan, aim in plans if aim in ("money", "both")]
    watts = sorted(((plan, aim) for plan, aim in plans if aim in ("power", "both")), key=lambda pair: pair[0]["peak_w"])
    factor, unit = axis(max(plan["peak_w"] for plan, _ in watts), "W")
    out = [(chip_name(report, plan), plan["usd_per_million"]["output"]) for plan, _ in money]
    peak = [(chip_name(report, plan), plan["peak_w"]) for plan, _ in watts]
    return (
        bars_chart(
            _id("price", number),
            f"{name}: a million output tokens cost {price(out[0][1])} on {short_name(report, money[0][0]['accelerator'])}",
            "Each chip in its layout for least money: capital, energy, building and upkeep of every chip that the peak needs.",
            [(chip, usd, price(usd), "") for chip, usd in out],
            unit="USD per million output tokens",
            columns=["chip", "in", "cached", "out", "all alike"],
            table=[
                [
                    chip_name(report, plan),
                    *(price(plan["usd_per_million"][k]) for k in ("input", "cached", "output", "all")),
                ]
                for plan, _ in money
            ],
        ),
        bars_chart(
            _id("power", number),
            f"{name}: least power is {format_quantity(peak[0][1], 'W')} on {short_name(report, watts[0][0]['accelerator'])}",
            "Each chip in its layout for least power: the whole site at the busiest hour, cooling included.",
            [(chip, w / factor, format_quantity(w, "W"), "") for chip, w in peak],
            unit=unit,
            columns=["chip", "at the peak", "in the mean", "a month"],
            table=[
                [
                    chip_name(report, plan),
                    format_quantity(plan["peak_w"], "W"),
                    format_quantity(plan["mean_w"], "W"),
                    format_quantity(plan["usd_per_month"], "USD"),
                ]
                for plan, _ in watts
            ],
        ),
    )


def pareto_chart(report: Mapping[str, Any], number: int, traffic: Mapping[str, Any]) -> Chart | None:
    """Return the layouts of all chips: output per chip against the rate that one user sees, and their front; None where
    there are none. A chip has the same colour and symbol for every class.
    """
    points = report["pareto"].get(traffic["name"])
    if not points:
        return None
    chips = list(dict.fromkeys(plan["accelerator"] for plan in report["plans"]))
    rows: dict[str, list[tuple[float, float, str]]] = {}
    for point in points:
        rows.setdefault(short_name(report, point["accelerator"]), []).append((*_place(point), _layout(point)))
    front = sorted((point for point in points if point["front"]), key=_place)
    promise = traffic["promise"]["tpot_s"]
    return points_chart(
        _id("pareto", number),
        f"{traffic['name']}: output of a chip against the rate that one user sees",
        "One point for each layout and batch at the mean lengths of this traffic. No layout gives more of both than those on the dashed line.",
        rows,
        front=("front", [_place(point) for point in front]),
        hues={short_name(report, chip): i for i, chip in enumerate(chips)},
        x_unit="tokens/s of one user",
        unit="output tokens/s per chip",
        columns=["on the front", "layout", "tokens/s per chip", "tokens/s of one user"],
        table=_sampled([_front_row(report, point) for point in front]),
        marks=[] if promise is None else [(1.0 / promise, f"TPOT {format_quantity(promise, 's')}")],
    )


def _front_row(report: Mapping[str, Any], point: Mapping[str, Any]) -> list[str]:
    user, chip = _place(point)
    return [short_name(report, point["accelerator"]), _layout(point), f"{chip:,.4g}", f"{user:,.3g}"]


def _place(point: Mapping[str, Any]) -> tuple[float, float]:
    return point["interactivity_tokens_per_s"], point["tokens_per_s_per_accelerator"]


def _layout(point: Mapping[str, Any]) -> str:
    return f"{point['layout']} {point['precision']}{', prefill apart' if point['disaggregated'] else ''}"


def day_charts(number: int, name: str, day: Mapping[str, Any]) -> tuple[Chart, ...]:
    """Return chips needed and freed, and power, over the hours of a day."""
    hours = day["hours"]
    x = [*(row["hour"] for row in hours), hours[-1]["hour"] + 1]
    held = {
        key: [*(row[key] for row in hours), hours[-1][key]] for key in ("accelerators", "freed_accelerators", "power_w")
    }
    factor, unit = axis(max(held["power_w"]), "W")
    most, least = max(held["accelerators"]), min(held["accelerators"])
    return (
        areas_chart(
            _id("day", number),
            f"{name}: {most:,.0f} chips at the busiest hour, {least:,.0f} at the quietest",
            f"{day['accelerator']}; replicas that the mean of each hour needs under the promise, the others are freed whole.",
            x,
            {"needed": held["accelerators"], "freed": held["freed_accelerators"]},
            x_unit="hour of the day",
            unit="chips",
            columns=DAY_COLUMNS,
            table=day_rows(day),
        ),
        areas_chart(
            _id("day-power", number),
            f"{name}: power up to {format_quantity(max(held['power_w']), 'W')}",
            "Of the whole site for this traffic, cooling included; freed chips do other work and count there.",
            x,
            {"power": [w / factor for w in held["power_w"]]},
            x_unit="hour of the day",
            unit=unit,
            columns=["hour", "power"],
            table=[[row[0], row[-1]] for row in day_rows(day)],
            filled=False,
        ),
    )


def latency_charts(number: int, traffic: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[Chart, ...]:
    """Return the distributions of TTFT and TPOT, with what is promised."""
    charts = []
    for key, words in (("ttft", "time to the first token"), ("tpot", "time per output token")):
        promise, tail = traffic["promise"][f"{key}_s"], found[f"{key}_s"]["p99"]
        end = BEYOND * max(tail, promise or 0.0)
        factor, unit = axis(end, "s")
        points = [(x / factor, 100 * y) for x, y in found[f"{key}_cdf"] if x <= end]
        kept = found["kept"][key]
        title = f"{traffic['name']}, {key.upper()}: P50 {format_quantity(found[f'{key}_s']['p50'], 's')}, P99 {format_quantity(tail, 's')}"
        # nobody is faster than the first point; the last is held to the end of the axis, where a promise may stand
        first = points[0][0] if points else 0.0
        points = [(0.0, 0.0), (first, 0.0), *points, (end / factor, points[-1][1] if points else 0.0)]
        mark = promise_words(traffic["promise"] | {_other(key): None})
        charts.append(
            lines_chart(
                _id(key, number),
                title,
                f"Share of {found['requests']:,} simulated requests whose {words} is no longer, on {found['replicas']:,} replicas"
                + (f"; {share(kept)} keep what is promised (dotted)." if kept is not None else "."),
                [Line(label=key.upper(), points=points)],
                x_unit=unit,
                unit="% of requests",
                columns=["no longer than", "share"],
                table=_sampled([[format_quantity(x, "s"), f"{100 * y:.3g} %"] for x, y in found[f"{key}_cdf"]]),
                log=False,
                y_range=(0.0, 100.0),
                marks=[] if promise is None else [(promise / factor, mark)],
            )
        )
    return tuple(charts)


def _other(key: str) -> str:
    return "tpot_s" if key == "ttft" else "ttft_s"


def load_charts(number: int, name: str, found: Mapping[str, Any]) -> tuple[Chart, ...]:
    """Return the cache's occupancy, and requests running and waiting, over the simulated time."""
    kv, load = found["kv"], found["load"]
    factor, unit = axis(max(kv["time_s"][-1], load["time_s"][-1]), "s")
    highest, mean = ([100 * y for y in kv[key]] for key in ("highest", "occupancy"))
    return (
        areas_chart(
            _id("kv", number),
            f"{name}: keys and values fill up to {max(highest):.3g} % of their memory",
            f"Share of the cache's blocks in use; mean of the {found['replicas']:,} simulated replicas and the fullest of them. {found['preemptions']:,} preemptions.",
            [t / factor for t in kv["time_s"]],
            {"fullest replica": highest, "mean": mean},
            x_unit=unit,
            unit="% of the cache",
            columns=["at", "mean", "fullest"],
            table=_sampled(
                [
                    [format_quantity(t, "s"), f"{m:.3g} %", f"{h:.3g} %"]
                    for t, m, h in zip(kv["time_s"], mean, highest, strict=True)
                ]
            ),
            filled=False,
            end=100.0,
        ),
        areas_chart(
            _id("load", number),
            f"{name}: up to {max(load['running']):,.0f} requests run, up to {max(load['waiting']):,.0f} wait",
            f"Requests in all {found['replicas']:,} simulated replicas at a steady {found['requests_per_s']:,.3g} a second.",
            [t / factor for t in load["time_s"]],
            {"running": load["running"], "waiting": load["waiting"]},
            x_unit=unit,
            unit="requests",
            columns=["at", "running", "waiting"],
            table=_sampled(
                [
                    [format_quantity(t, "s"), f"{r:,.0f}", f"{w:,.0f}"]
                    for t, r, w in zip(load["time_s"], load["running"], load["waiting"], strict=True)
                ]
            ),
        ),
    )


def cost_chart(report: Mapping[str, Any], number: int, name: str, tree: Mapping[str, Any]) -> Chart:
    """Return what the chips of a class cost in a month, part by part."""
    chip = report["best"][name]["cost"]
    return breakdown_chart(
        _id("cost", number),
        "waterfall",
        f"{name}, cost of a month",
        f"On {chip}: capital by its life, energy, building and upkeep, shared by what the chips' time goes to.",
        tree,
    )


def month_charts(report: Mapping[str, Any]) -> tuple[Chart, ...]:
    """Return chips and power month by month; none of one month alone."""
    months = report["months"]
    if len(months) < 2:
        return ()
    x = [date_value(row["month"]) for row in months]
    first, last = months[0], months[-1]
    factor, unit = axis(max(row["peak_w"] for row in months), "W")
    cash, cash_unit = axis(max(row["usd"] for row in months), "USD")
    table = _sampled(month_rows(report))
    series = (
        ("accelerators", "chips", 1.0, "chips", f"Chips: {first['accelerators']:,.0f} to {last['accelerators']:,.0f}"),
        (
            "peak_w",
            "power",
            factor,
            unit,
            f"Power: {format_quantity(first['peak_w'], 'W')} to {format_quantity(last['peak_w'], 'W')}",
        ),
        (
            "usd",
            "cost",
            cash,
            cash_unit,
            f"Cost of a month: {format_quantity(first['usd'], 'USD')} to {format_quantity(last['usd'], 'USD')}",
        ),
    )
    return tuple(
        lines_chart(
            f"months-{key.replace('_', '-')}",
            title,
            "At the peak of each month as traffic grows; layout and chip stay those of the answer.",
            [Line(label=label, points=[(t, row[key] / by) for t, row in zip(x, months, strict=True)])],
            x_unit=DATE,
            unit=name,
            columns=MONTH_COLUMNS,
            table=table,
            log=False,
        )
        for key, label, by, name, title in series
    )


def image_chart(report: Mapping[str, Any], number: int, name: str) -> Chart | None:
    """Return where the time of an image goes on the chip that makes it for least money."""
    row = best_image(report, name, "cost")
    if row is None or row["parts"] is None:
        return None
    return breakdown_chart(
        _id("image", number),
        "bars",
        f"{name} on {row['accelerator']}",
        f"{row['model']}, {row['steps']} steps at {row['resolution']}, batch {row['batch']}, {row['parallel']}.",
        row["parts"],
    )
