"""The charts of the build-out: what limits, what more is worth, fleet, power, cash, compute, construction, value.

Periods are drawn over dates: what holds in a period from its first day to the next, what is reached by its end at its end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import accumulate
from typing import Any

from gigawatt.quantity import format_quantity
from gigawatt.report._build_rows import dated, matter_rows, usd, whole
from gigawatt.report._build_words import longest, one_more, run_dates, run_name, run_seconds, run_worth, runs
from gigawatt.report._charts import (
    DATE,
    Chart,
    Line,
    areas_chart,
    axis,
    bars_chart,
    date_value,
    lines_chart,
    timeline_chart,
    waterfall_chart,
)

MW = 1e6
# Limits with a colour of their own; the others share one.
LIMITS = 9
OTHERS = "others"
# Rows of a table under a chart of periods.
TABLED = 26
SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def starts(report: Mapping[str, Any]) -> list[float]:
    """Return the first day of every period on an axis of dates."""
    return [date_value(label) for label in report["calendar"]["labels"]]


def edges(report: Mapping[str, Any]) -> list[float]:
    """Return the first day of every period and the day after the last."""
    labels, step = report["calendar"]["labels"], report["calendar"]["step"]
    last = date.fromisoformat(labels[-1] if step == "week" else f"{labels[-1]}-01")
    after = last + timedelta(days=7) if step == "week" else (last + timedelta(days=31)).replace(day=1)
    return [*starts(report), date_value(after.isoformat())]


def held(values: Sequence[Any]) -> list[Any]:
    """Return values of periods for a chart over `edges`: the last one holds to the end."""
    return [*values, values[-1]]


def grown(values: Sequence[float]) -> list[float]:
    """Return values at the ends of periods for a chart over `edges`: zero before the first."""
    return [0.0, *values]


def sampled(labels: Sequence[str], *columns: Sequence[str]) -> list[list[str]]:
    """Return rows of a table under a chart, no more than TABLED of them, the last one included."""
    stride = math.ceil(len(labels) / TABLED)
    rows = [list(row) for row in zip(labels, *columns, strict=True)]
    return rows[::-1][::stride][::-1]


def limit_hues(report: Mapping[str, Any]) -> dict[str, int]:
    """Return the limits with a colour of their own, those that limit most first, and the number of the colour."""
    weight: dict[str, float] = {}
    for found in report["binding"]:
        for binding in found:
            weight[binding["name"]] = weight.get(binding["name"], 0.0) + binding["share"]
    names = sorted(weight, key=lambda name: -weight[name])[:LIMITS]
    return {name: i for i, name in enumerate(names)} | {OTHERS: LIMITS}


def binding_chart(report: Mapping[str, Any]) -> Chart:
    """Return the constraint timeline: shares of what one more accelerator in service would be worth, over dates."""
    hues = limit_hues(report)
    first = {b["name"]: t for t in reversed(range(len(report["binding"]))) for b in report["binding"][t][:1]}
    names = sorted(hues, key=lambda name: (name == OTHERS, first.get(name, len(report["binding"]))))
    rows: dict[str, list[float]] = {name: [] for name in names}
    for found in report["binding"]:
        shares = {binding["name"]: 100 * binding["share"] for binding in found}
        for name in names[:-1]:
            rows[name].append(shares.get(name, 0.0))
        rows[OTHERS].append(100 - sum(shares.get(name, 0.0) for name in names[:-1]) if found else 0.0)
    if max(rows[OTHERS]) < 1.0:
        del rows[OTHERS]
    name, _, periods = longest(report).partition("; ")
    return areas_chart(
        "binding",
        f"What limits useful compute longest: {name}, {periods}" if periods else "Nothing limits useful compute",
        "Share of each limit in what one more accelerator in service would be worth, from the duals of the plan; where the band is empty more of anything would not count.",
        edges(report),
        {name: held(values) for name, values in rows.items()},
        x_unit=DATE,
        unit="% of the limit",
        columns=["when", "limits", "one more is worth", "also"],
        table=[[run_dates(r, report), run_name(r), run_worth(r, report), run_seconds(r) or "-"] for r in runs(report)],
        end=100,
        hues=hues,
    )


def worth_charts(report: Mapping[str, Any]) -> list[Chart]:
    """Return what one more unit of each limit is worth over dates, a chart for each unit."""
    hues, step = limit_hues(report), report["calendar"]["step"]
    groups: dict[tuple[float, bool], dict[str, list[float | None]]] = {}
    for t, found in enumerate(report["binding"]):
        for binding in found:
            units, _, lasting = one_more(binding)
            series = groups.setdefault((units, lasting), {})
            values = series.setdefault(binding["name"], [None] * len(report["binding"]))
            if binding["usd_per_unit"] is not None and binding["name"] in hues:
                values[t] = units * binding["usd_per_unit"]
    charts = []
    for (units, lasting), series in groups.items():
        known = {name: values for name, values in series.items() if any(values)}
        if known:
            what = {1e6: "MW", 1e3: "1,000 accelerators", 1.0: "dollar"}[units]
            charts.append(_worth_chart(report, what, f" a {step}" if lasting else "", known, hues))
    return charts


def _worth_chart(
    report: Mapping[str, Any],
    what: str,
    per: str,
    series: Mapping[str, Sequence[float | None]],
    hues: Mapping[str, int],
) -> Chart:
    largest = max(value for values in series.values() for value in values if value is not None)
    factor, unit = axis(largest, "USD")
    labels = report["calendar"]["labels"]
    columns = [["-" if v is None else usd(v) for v in values] for values in series.values()]
    verb = "are" if what.startswith("1,000") else "is"
    more = "1,000 more accelerators" if what.startswith("1,000") else f"One more {what}"
    note = (
        "worth of one more in that period alone" if per else "worth to the end of the plan of one more that comes then"
    )
    return areas_chart(
        f"worth-{what.split()[-1].lower()}{'-lasting' if per else ''}",
        f"{more} {verb} worth up to {usd(largest)}{per}",
        f"Dual prices: {note}; gaps where it does not limit. Compute is priced at the rent of its accelerators.",
        edges(report),
        {
            name: held([None if value is None else value / factor for value in values])
            for name, values in series.items()
        },
        x_unit=DATE,
        unit=f"{unit} per {what}{per and ' and ' + per.split()[-1]}",
        columns=["period", *series],
        table=sampled(labels, *columns),
        filled=False,
        hues=hues,
    )


def fleet_chart(report: Mapping[str, Any]) -> Chart:
    """Return the fleet by accelerator over dates, with what waits in place or in store."""
    rows = {chip["name"]: grown(chip["service"]) for chip in report["chips"]}
    waits = [
        sum(chip["waiting"][t] + chip["stock"][t] for chip in report["chips"]) for t in range(len(report["fleet"]))
    ]
    most = max(waits)
    if most >= 1:
        rows["delivered, not in service"] = grown(waits)
    labels = report["calendar"]["labels"]
    text = f"; up to {whole(most)} wait" if most >= 1 else ""
    columns = [[whole(value) for value in values[1:]] for values in rows.values()]
    return areas_chart(
        "fleet",
        f"{whole(report['fleet'][-1])} accelerators in service at the end{text}",
        "At the end of every period. What waits is delivered and short of power, a hall, a network or crews.",
        edges(report),
        rows,
        x_unit=DATE,
        unit="accelerators",
        columns=["at the end of", *rows],
        table=sampled(labels, *columns),
        held=False,
        hues=None if most < 1 else {"delivered, not in service": LIMITS},
    )


def orders_chart(report: Mapping[str, Any]) -> Chart | None:
    """Return what is ordered and delivered of each offer, cumulated over dates; None where nothing is."""
    lines, columns, headings = [], [], []
    for offer in report["offers"]:
        delivered = list(accumulate(offer["delivered"], initial=0.0))
        ordered = list(accumulate(offer["orders"], initial=offer["before"]))
        if delivered[-1] < 1 and ordered[-1] < 1:
            continue
        for words, values in (("ordered", ordered), ("delivered", delivered)):
            points = list(zip(edges(report), values, strict=True))
            lines.append(Line(label=f"{offer['name']} {words}", points=points, dashed=words == "ordered"))
            columns.append([whole(value) for value in values[1:]])
            headings.append(f"{offer['name']} {words}")
    if not lines:
        return None
    total = sum(sum(offer["delivered"]) for offer in report["offers"])
    return lines_chart(
        "orders",
        f"{whole(total)} accelerators are delivered",
        "Orders and deliveries of each offer, added up.",
        lines,
        x_unit=DATE,
        unit="accelerators",
        columns=["by the end of", *headings],
        table=sampled(report["calendar"]["labels"], *columns),
        log=False,
    )


def power_charts(report: Mapping[str, Any]) -> list[Chart]:
    """Return who feeds each site over dates, and the firm power that there is."""
    charts = []
    for i, site in enumerate(report["sites"]):
        power = site["limits"].get("power")
        if power is None:
            continue
        sources = {
            row["source"]: held([value / MW + 0.0 for value in row["mean_w"]])
            for row in report["energy"]
            if row["site"] == site["name"]
        }
        used, available = ([value / MW + 0.0 for value in power[key]] for key in ("used", "available"))
        charts.append(
            areas_chart(
                f"power-{i}",
                f"{site['name']} uses {used[-1]:,.0f} of {available[-1]:,.0f} MW at the end",
                "Mean power by source in every period, cheapest energy first, and the firm power that there is.",
                edges(report),
                sources or {"used": held(used)},
                x_unit=DATE,
                unit="MW",
                columns=["period", "used at its end", "available"],
                table=sampled(
                    report["calendar"]["labels"], [f"{v:,.0f} MW" for v in used], [f"{v:,.0f} MW" for v in available]
                ),
                line=("available", held(available)),
            )
        )
    return charts


def cash_chart(report: Mapping[str, Any]) -> Chart | None:
    """Return the balance of cash, and what is owed, over dates; None where money is no limit."""
    balance = report["balance_usd"]
    if balance is None:
        return None
    owed = report["debt_usd"] if max(report["debt_usd"]) > 0 else None
    least = min(range(len(balance)), key=lambda i: balance[i])
    values = [*balance, *(owed or [])]
    factor, unit = axis(max(abs(value) for value in values), "USD")
    ends, labels = edges(report)[1:], report["calendar"]["labels"]
    shown = {"cash": balance} | ({"owed": owed} if owed else {})
    return lines_chart(
        "cash",
        f"Cash is least in {labels[least]}: {usd(balance[least])}",
        "At the end of every period, after orders, construction, energy, what is spent on everything else, and rounds.",
        [
            Line(label=name, points=[(x, value / factor) for x, value in zip(ends, series, strict=True)])
            for name, series in shown.items()
        ],
        x_unit=DATE,
        unit=unit,
        columns=["at the end of", *shown],
        table=sampled(labels, *([usd(value) for value in series] for series in shown.values())),
        log=False,
        y_range=_round_range(min(values) / factor, max(values) / factor),
    )


def _round_range(low: float, high: float) -> tuple[float, float] | None:
    """Return round ends of an axis that goes below zero, None where it need not."""
    if low >= 0:
        return None
    step = 10.0 ** math.floor(math.log10(max(high - low, 1e-9) / 2))
    return step * math.floor(low / step), step * max(math.ceil(high / step), 0)


def compute_chart(report: Mapping[str, Any]) -> Chart:
    """Return the useful compute that is done, and when the training run begins and ends."""
    run = report["run"]
    done = list(accumulate(report["useful_flop"], initial=0.0))
    exponent = 3 * int(math.log10(max(done[-1], 1.0)) // 3)
    points = [(x, value / 10.0**exponent) for x, value in zip(edges(report), done, strict=True)]
    marks = [
        (date_value(run[key]), f"run {words}") for key, words in (("begin", "begins"), ("done", "done")) if run[key]
    ]
    return lines_chart(
        "compute",
        f"{format_quantity(done[-1], 'FLOP')} of useful compute by the end",
        f"Useful FLOP of all accelerators in service, added up. The training run needs {format_quantity(run['flop'], 'FLOP')}, on the fleet as it grows.",
        [Line(label="useful compute", points=points)],
        x_unit=DATE,
        unit=f"10{str(exponent).translate(SUPERSCRIPT)} FLOP",
        columns=["by the end of", "useful compute"],
        table=sampled(report["calendar"]["labels"], [format_quantity(value, "FLOP") for value in done[1:]]),
        log=False,
        marks=marks,
    )


def construction_charts(report: Mapping[str, Any]) -> list[Chart]:
    """Return when the tasks of each site are done, those that are critical marked."""
    charts: list[Chart] = []
    for i, site in enumerate(report.get("construction") or ()):
        chart = timeline_chart(
            f"construction-{i}",
            "As planned; what is critical delays the end by its own delay. The title has the middle of all draws.",
            site["timeline"],
            start=site.get("start") or report["calendar"]["start"],
            critical=[*site["critical"], "critical"],
        )
        ends = [f"{name} on {days[1]}" for name, days in site["dates"].items() if days[1]]
        charts.append({**chart, "title": f"{site['site']}: {ends[-1] if ends else 'the tasks'}"})
    return charts


def value_chart(report: Mapping[str, Any]) -> Chart:
    """Return the net present value as a waterfall of its lines."""
    tree, rate = report["returns"]["breakdown"], report["returns"]["rate"]
    leaves = [(leaf["label"], leaf["value"]) for part in tree["children"] for leaf in part["children"] or [part]]
    return waterfall_chart(
        "value",
        f"Net present value {usd(tree['value'])}",
        f"At {rate:.1%} a year. What the accelerators are worth after the plan is not counted unless a line says so.",
        leaves,
        (tree["label"], tree["value"]),
        "USD",
    )


def matters_chart(report: Mapping[str, Any]) -> Chart | None:
    """Return what moves the compute most under delays; None where nothing does."""
    rows = matter_rows(report)
    if not rows:
        return None
    return bars_chart(
        "matters",
        f"What matters most: {rows[0][0]}",
        f"Rank correlation of each draw with {'the date: above zero, a later or larger draw means a later date' if dated(report) else 'the useful compute: below zero, a later or larger draw means less of it'}.",
        [(name, abs(value), f"{value:+.2f}", "") for name, value in rows],
        unit="rank correlation, without its sign",
        columns=["draw", "rank correlation"],
        table=[[name, f"{value:+.2f}"] for name, value in rows],
    )
