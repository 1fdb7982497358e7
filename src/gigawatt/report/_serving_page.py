"""The page of `gigawatt serve --out`: chips compared, the Pareto front, the day, latencies, cost, images, launch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gigawatt.report._page import Callout, Card, Cards, Cell, Code, Notes, Section, Table, Text, page
from gigawatt.report._serving import shown_command
from gigawatt.report._serving_charts import (
    chip_charts,
    cost_chart,
    day_charts,
    image_chart,
    latency_charts,
    load_charts,
    month_charts,
    pareto_chart,
)
from gigawatt.report._serving_rows import (
    GOALS,
    LEAST,
    MISS_COLUMNS,
    MONEY_COLUMNS,
    SHAPE_COLUMNS,
    TRAFFIC_COLUMNS,
    image_names,
    is_best,
    miss_rows,
    money_rows,
    plans_of,
    rate,
    searched_words,
    shape_rows,
    traffic_rows,
)
from gigawatt.report._serving_run import (
    IMAGE_COLUMNS,
    LATENCY_COLUMNS,
    MONTH_COLUMNS,
    day_words,
    economics_rows,
    image_misses,
    image_rows,
    latency_rows,
    month_rows,
    night_rows,
    run_words,
)
from gigawatt.report._serving_words import answer_rows, broken, facts, lead

ESTIMATED = "* Kernels of this chip were not measured: what it does is an estimate with a wider range."


def serving_page(report: Mapping[str, Any]) -> str:
    """Return the page of a serving report (`ServeReport.to_dict()`)."""
    sections = [
        Section(title="The answer", blocks=_answer(report)),
        Section(title="Traffic", blocks=_traffic(report)),
        Section(title="Chips compared", blocks=_chips(report)),
        Section(title="Throughput against interactivity", blocks=_pareto(report)),
        Section(title="The day", blocks=_day(report)),
        Section(title="Latencies", blocks=_latencies(report)),
        Section(title="Cache and load", blocks=_load(report)),
        Section(title="Cost", blocks=_cost(report)),
        Section(title="Months", blocks=_months(report)),
        Section(title="Images", blocks=_images(report)),
        Section(title="Launch", blocks=_launch(report)),
        Section(title="Notes", blocks=[Notes(items=report["warnings"])] if report["warnings"] else []),
    ]
    return page(
        kind="serve",
        title=report["scenario"],
        facts=f"{facts(report)}.",
        sections=[section for section in sections if section.blocks],
        foot=[f"gigawatt {report['version']}", f"seed {report['seed']}"],
    )


def _card(label: str, value: str) -> Card:
    first, _, rest = value.partition("; ")
    return Card(label=label, value=first, below=rest)


def _answer(report: Mapping[str, Any]) -> list[Any]:
    bad = any(report["best"][one["name"]]["cost"] is None or broken(report, one) for one in report["traffic"])
    return [
        Callout(items=[(f"{about}.", sentence) for about, sentence in lead(report)], bad=bad),
        Cards(cards=[_card(label, value) for label, value in answer_rows(report)]),
    ]


def _traffic(report: Mapping[str, Any]) -> list[Any]:
    if not report["traffic"]:
        return []
    rows = [
        [*row, rate(traffic["input_tokens_per_s"]), rate(traffic["output_tokens_per_s"]), traffic["arrivals"]]
        for row, traffic in zip(traffic_rows(report), report["traffic"], strict=True)
    ]
    return [
        Table(
            columns=[*TRAFFIC_COLUMNS, "tokens in/s", "tokens out/s", "arrivals"],
            rows=rows,
            caption="Requests a second in the mean and at the busiest hour. Lengths in tokens, P50 and P99 in brackets; cached is the share of the prompt that is reused.",
        )
    ]


def _chips(report: Mapping[str, Any]) -> list[Any]:
    blocks: list[Any] = []
    for number, traffic in enumerate(report["traffic"]):
        blocks += _class(report, number, traffic["name"])
    if misses := miss_rows(report):
        blocks.append(
            Table(
                columns=MISS_COLUMNS,
                rows=misses,
                title="Chips that do not keep the promise",
                caption="The limit in the way, what is wanted of it at the promised percentile, and what the nearest plan reaches.",
            )
        )
    return [*blocks, Text(text=f"{searched_words(report)}.", hint=True)] if blocks else []


def _class(report: Mapping[str, Any], number: int, name: str) -> list[Any]:
    plans = plans_of(report, name)
    if not plans:
        return []
    money: list[list[str | Cell]] = [
        [_tagged(report, plan, aim, row[0]), *row[1:]]
        for (plan, aim), row in zip(plans, money_rows(report, name), strict=True)
    ]
    estimated = any(plan["estimate"] for plan, _ in plans)
    return [
        Table(
            columns=MONEY_COLUMNS,
            rows=money,
            title=f"{name}: what each chip costs and draws",
            caption="For the busiest hour; range of the model's error. In, cached and out in dollars per million tokens; J per output token over the day.",
        ),
        chip_charts(report, number, name),
        Table(
            columns=[heading.replace("\n", " ") for heading in SHAPE_COLUMNS],
            rows=shape_rows(report, name),
            title=f"{name}: how each chip serves",
            caption="Batch: sequences in flight of one replica. TTFT and TPOT at the promised percentile; the last column is the limit that binds.",
        ),
        Text(text=ESTIMATED, hint=True) if estimated else None,
    ]


def _tagged(report: Mapping[str, Any], plan: Mapping[str, Any], aim: str, text: str) -> Cell:
    tags = [LEAST[goal][1] for goal in GOALS if is_best(report, plan, goal, aim)]
    return Cell(text=text, tag=" and ".join(tags))


def _pareto(report: Mapping[str, Any]) -> list[Any]:
    charts = [pareto_chart(report, number, traffic) for number, traffic in enumerate(report["traffic"])]
    return [chart for chart in charts if chart is not None]


def _day(report: Mapping[str, Any]) -> list[Any]:
    blocks: list[Any] = []
    for number, (name, day) in enumerate(report["day"].items()):
        blocks += [day_charts(number, name, day), f"{name}: {day_words(day)}."]
    night = report["night"]
    if night is not None:
        blocks += [
            Cards(cards=[Card(label=label, value=value) for label, value in night_rows(night)]),
            Text(lead="What the night frees.", text=night["sentence"]),
        ]
    return blocks


def _latencies(report: Mapping[str, Any]) -> list[Any]:
    blocks: list[Any] = []
    for number, traffic in enumerate(report["traffic"]):
        found = report["simulation"].get(traffic["name"])
        if found is None:
            continue
        blocks += [
            latency_charts(number, traffic, found),
            Table(
                columns=[heading.replace("\n", " ") for heading in LATENCY_COLUMNS],
                rows=latency_rows(found, traffic["promise"]),
                title=f"{traffic['name']}: simulation and mean field",
            ),
            Notes(items=run_words(found), hint=True),
        ]
    return blocks


def _load(report: Mapping[str, Any]) -> list[Any]:
    return [
        load_charts(number, traffic["name"], found)
        for number, traffic in enumerate(report["traffic"])
        if (found := report["simulation"].get(traffic["name"]))
    ]


def _cost(report: Mapping[str, Any]) -> list[Any]:
    blocks: list[Any] = []
    for number, (name, tree) in enumerate(report["cost"].items()):
        blocks.append(cost_chart(report, number, name, tree))
        if money := report["economics"].get(name):
            blocks.append(Cards(cards=[Card(label=label, value=value) for label, value in economics_rows(money)]))
    return blocks


def _months(report: Mapping[str, Any]) -> list[Any]:
    if not report["months"]:
        return []
    if charts := month_charts(report):
        return [charts]
    return [Table(columns=MONTH_COLUMNS, rows=month_rows(report))]


def _images(report: Mapping[str, Any]) -> list[Any]:
    rows, misses = image_rows(report), image_misses(report)
    if not rows and not misses:
        return []
    return [
        Table(
            columns=IMAGE_COLUMNS,
            rows=rows,
            caption="Chips and power for the busiest hour; * where the chip's kernels were not measured.",
        )
        if rows
        else None,
        *(image_chart(report, number, name) for number, name in enumerate(image_names(report))),
        Notes(items=misses) if misses else None,
    ]


# Lines of a launch script on the page.
PAGE_LINES = 40


def _launch(report: Mapping[str, Any]) -> list[Any]:
    blocks: list[Any] = []
    for launch in report["launch"]:
        blocks.append(
            Code(title=f"{launch['class']} on {launch['engine']}", text=shown_command(launch["command"], PAGE_LINES))
        )
        if launch["notes"]:
            blocks.append(Notes(items=launch["notes"], hint=True))
    return blocks
