"""The page of `gigawatt power --out`: waveform, spectrum, ramps, verdicts, dispatch and duals, drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gigawatt.quantity import format_quantity
from gigawatt.report._charts import Chart, Line, areas_chart, axis, breakdown_chart, lines_chart
from gigawatt.report._page import Card, Cards, Cell, Notes, Section, Table, Text, page
from gigawatt.report._power import (
    BATTERY_COLUMNS,
    MEASURE_COLUMNS,
    account_rows,
    answer_rows,
    battery_rows,
    cap_rows,
    clause_rows,
    facts,
    limit_rows,
    limit_words,
    measure_rows,
    ramp_rows,
    source_rows,
)

TONES = {"met": "", "missed": "bad", "not judged": "none"}
DAY_STEPS = 24.0
# Points of a table under a chart.
TABLED = 24
MW = 1e6


def power_page(report: Mapping[str, Any]) -> str:
    """Return the page of a power report (`PowerReport.to_dict()`)."""
    year = report["year"]
    sections = [
        Section(
            title="The answer",
            blocks=[
                Cards(cards=[_card(label, value) for label, value in answer_rows(report)]),
                Notes(items=report["warnings"]) if report["warnings"] else None,
            ],
        ),
        Section(
            title="By the moment",
            blocks=[
                _step_chart(report),
                _record_chart(report),
                breakdown_chart("power", "bars", "Mean power of the run", "Failures included.", report["power"]),
            ],
        ),
        Section(title="Spectrum and ramps", blocks=[_spectrum_chart(report), _ramp_chart(report)]),
        Section(title="What the grid asks", blocks=[block for r in report["compliance"] for block in _clauses(r)]),
    ]
    if report["batteries"] or report["behind"]:
        sections.append(Section(title="What would calm it", blocks=_calming(report)))
    if report["caps"]:
        sections.append(Section(title="Power caps", blocks=[_cap_chart(report)]))
    if year is not None:
        sections.append(Section(title="The year", blocks=_year(year)))
    return page(
        kind="power",
        title=report["scenario"],
        facts=facts(report),
        sections=sections,
        foot=[f"gigawatt {report['version']}", f"seed {report['seed']}"],
    )


def _card(label: str, value: str) -> Card:
    first, _, rest = value.partition("; ")
    return Card(label=label, value=first, below=rest)


def _some(rows: Sequence[Sequence[str]], most: int = TABLED) -> list[list[str]]:
    stride = max(len(rows) // most, 1)
    return [list(row) for row in rows[::stride]]


def _step_chart(report: Mapping[str, Any]) -> Chart:
    step = report["step"]
    shown = step["shown"]
    factor, unit = axis(step["period_s"], "s")
    times = [at / factor for at in shown["start_s"]]
    mean, low, high = ([w / MW for w in shown[key]] for key in ("mean_w", "minimum_w", "maximum_w"))
    table = [
        [format_quantity(x * factor, "s"), f"{m:.2f} MW", f"{a:.2f} MW", f"{b:.2f} MW"]
        for x, m, a, b in zip(times, mean, low, high, strict=True)
    ]
    return lines_chart(
        "step",
        "One undisturbed step",
        f"Whole site, all pipeline stages together; mean {format_quantity(step['mean_w'], 'W')}. Mean and span of every {format_quantity(shown['window_s'], 's')}. Cooling draws its mean, since it is too slow to follow.",
        [
            Line(
                label="site",
                points=list(zip(times, mean, strict=True)),
                envelope=list(zip(times, low, high, strict=True)),
            )
        ],
        x_unit=unit,
        unit="MW",
        columns=["from", "mean", "least", "most"],
        table=_some(table),
        log=False,
        y_range=_range([*low, *high]),
        says=f"swing {format_quantity(step['swing_w'], 'W')} in {format_quantity(step['period_s'], 's')}",
    )


def _range(values: Sequence[float], room: float = 0.06) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = max(room * (high - low), 0.01 * high)
    return max(low - pad, 0.0), high + pad


def _record_chart(report: Mapping[str, Any]) -> Chart:
    record = report["record"]
    shown = record["shown"]
    factor, unit = axis(record["duration_s"], "s")
    times = [at / factor for at in shown["start_s"]]
    mean, low, high = ([w / MW for w in shown[key]] for key in ("mean_w", "minimum_w", "maximum_w"))
    table = [
        [f"{x:.3g} {unit}", f"{m:.1f} MW", f"{a:.1f} MW", f"{b:.1f} MW"]
        for x, m, a, b in zip(times, mean, low, high, strict=True)
    ]
    return lines_chart(
        "record",
        f"{format_quantity(record['duration_s'], 's')} of the run",
        f"Samples of {format_quantity(record['step_s'], 's')}, shown as the mean and the span of every {format_quantity(shown['window_s'], 's')}; the window is cut around a failure, with checkpoints and restarts as simulated.",
        [
            Line(
                label="site",
                points=list(zip(times, mean, strict=True)),
                envelope=list(zip(times, low, high, strict=True)),
            )
        ],
        x_unit=unit,
        unit="MW",
        columns=["from", "mean", "least", "most"],
        table=_some(table),
        log=False,
        y_range=_range([*low, *high]),
        says=f"{format_quantity(record['minimum_w'], 'W')} to {format_quantity(record['maximum_w'], 'W')}",
    )


def _spectrum_chart(report: Mapping[str, Any]) -> Chart:
    found = report["spectrum"]
    pairs = [
        (hertz, watts / MW)
        for hertz, watts in zip(found["frequency_hz"], found["amplitude_w"], strict=True)
        if watts > 1e3
    ] or [(1.0, 1e-3)]
    largest = sorted(pairs, key=lambda pair: -pair[1])[:TABLED]
    top = max(y for _, y in pairs)
    return lines_chart(
        "spectrum",
        "Spectrum of the steps",
        "Amplitude of a sine at each frequency, of 64 undisturbed steps; lines stand at multiples of one over the step.",
        [Line(label="amplitude", points=pairs)],
        x_unit="Hz",
        unit="MW",
        columns=["frequency", "amplitude"],
        table=[[f"{x:.3g} Hz", f"{y:.3g} MW"] for x, y in largest],
        log_y=True,
        y_range=(1e-3, 2 * top),
        bands=[(0.1, 1.0, "grid lines"), (1.0, 2.5, "plants"), (7.0, 100.0, "turbine shafts")]
        if pairs[0][0] <= 0.1 and pairs[-1][0] >= 50.0
        else [],
        says=f"largest {found['largest']['amplitude_w'] / MW:.3g} MW at {found['largest']['frequency_hz']:.3g} Hz",
    )


def _ramp_chart(report: Mapping[str, Any]) -> Chart:
    ramps = report["ramps"]
    lines = []
    for label, key in (("largest rise", "up_w_per_s"), ("largest fall", "down_w_per_s")):
        points = [(x, 60 * y / MW) for x, y in zip(ramps["window_s"], ramps[key], strict=True) if y > 0]
        lines.append(Line(label=label, points=points))
    at = ramps["quantiles"].index(0.99)
    spread = [
        (x, 60 * y[at] / MW) for x, y in zip(ramps["window_s"], ramps["distribution_w_per_s"], strict=True) if y[at] > 0
    ]
    lines.append(Line(label="99 % stay below", points=spread, dashed=True))
    values = [y for line in lines for _, y in line.points]
    return lines_chart(
        "ramps",
        "Ramp against its window",
        "Change of power between two instants, over their distance; of the record above, which holds a failure.",
        [line for line in lines if line.points],
        x_unit="s",
        unit="MW/min",
        columns=["over", "rise", "fall", "99 % stay below"],
        table=ramp_rows(report),
        log_y=True,
        y_range=(min(values) / 1.5, 2 * max(values)) if values else (1e-3, 1.0),
    )


def _clauses(result: Mapping[str, Any]) -> list[Any]:
    rows: list[list[str | Cell]] = []
    for clause, verdict, *rest in clause_rows(result):
        rows.append([Cell(text=clause), Cell(text="", tag=verdict, tone=TONES[verdict]), *rest])
    sources = sorted({f"{c['clause']}: {c['source']}" for c in result["clauses"] if c["source"]})
    table = Table(
        columns=["clause", "verdict", "value", "limit", "when and why"],
        rows=rows,
        title=result["requirements"],
        caption=f"Shares are of {format_quantity(result['contract_w'], 'W')}.",
    )
    return [table, Notes(items=sources, hint=True) if sources else None]


def _calming(report: Mapping[str, Any]) -> list[Any]:
    blocks: list[Any] = []
    behind = report["behind"]
    if behind is not None:
        blocks.append(_behind_chart(report))
        blocks += [block for result in behind["compliance"] for block in _clauses(result)[:1]]
    if report["batteries"]:
        blocks.append(
            Table(
                columns=BATTERY_COLUMNS,
                rows=battery_rows(report),
                title="The smallest battery for a ramp limit",
                caption="Over starts, stops, crashes with restarts, checkpoints and steps; dP²/2R is the closed form for a start at the mean of the step. Life is the shorter of calendar and cycling.",
            )
        )
    for found in report["calming"]:
        for mixes, title in (("alone", "Each measure alone, with the store it needs"), ("mixes", "The cheapest mixes")):
            blocks.append(
                Table(
                    columns=MEASURE_COLUMNS,
                    rows=measure_rows(found, mixes),
                    title=f"{title}: {found['requirements']}",
                    caption=f"Of {found['tried']} mixes; costs a year with capital, energy, wear and lost work."
                    if mixes == "mixes"
                    else "",
                )
            )
    return blocks


def _behind_chart(report: Mapping[str, Any]) -> Chart:
    record, behind = report["record"], report["behind"]
    factor, unit = axis(record["duration_s"], "s")
    times = [at / factor for at in record["shown"]["start_s"]]
    load, grid = ([w / MW for w in shown["mean_w"]] for shown in (record["shown"], behind["shown"]))
    spans = [[w / MW for w in behind["shown"][key]] for key in ("minimum_w", "maximum_w")]
    table = [[f"{x:.3g} {unit}", f"{a:.1f} MW", f"{b:.1f} MW"] for x, a, b in zip(times, load, grid, strict=True)]
    return lines_chart(
        "behind",
        "Behind the battery",
        f"Battery set to {60 * behind['ramp_w_per_s'] / MW:,.3g} MW/min: it moves {format_quantity(behind['charge_range_j'], 'J')}, gives up to {format_quantity(behind['discharge_w'], 'W')}.",
        [
            Line(label="site", points=list(zip(times, load, strict=True)), dashed=True),
            Line(
                label="grid",
                points=list(zip(times, grid, strict=True)),
                envelope=list(zip(times, *spans, strict=True)),
            ),
        ],
        x_unit=unit,
        unit="MW",
        columns=["from", "site", "grid"],
        table=_some(table),
        log=False,
        y_range=_range([*load, *grid]),
    )


def _cap_chart(report: Mapping[str, Any]) -> Chart:
    known = [row for row in report["caps"] if row["run_s"] is not None and row["cap_w"] is not None]
    free = next((row for row in report["caps"] if row["cap_w"] is None and row["run_s"] is not None), None)
    lines = []
    if free is not None:
        for label, key in (("run", "run_s"), ("energy", "energy_j"), ("cost", "cost_usd")):
            lines.append(
                Line(label=label, points=[(row["cap_w"], 100 * row[key] / free[key]) for row in reversed(known)])
            )
    values = [y for line in lines for _, y in line.points] or [100.0]
    return lines_chart(
        "caps",
        "What a power cap does",
        "Against no cap, under the same grid limit and budget; the strategy is chosen anew at each cap.",
        lines,
        x_unit="W per accelerator",
        unit="% of no cap",
        columns=["cap", "powered", "run", "energy", "cost", "peak"],
        table=cap_rows(report),
        log=False,
        y_range=(0.97 * min(*values, 100.0), 1.03 * max(*values, 100.0)),
    )


def _year(year: Mapping[str, Any]) -> list[Any]:
    series = year["series"]
    load = series["load"]
    days = [i * load["steps"] / DAY_STEPS for i in range(len(load["mean"]))]
    sources = [row[0] for row in source_rows(year)]
    start = year["start"][:10]
    blocks: list[Any] = [
        areas_chart(
            "dispatch",
            "Who feeds the year",
            f"Least cost with the year known; means of {load['steps']} h. Weather and prices: {'; '.join(year['sources'].values())}.",
            days,
            {name: [w / MW for w in series[name]["mean"]] for name in sources},
            x_unit=f"days from {start}",
            unit="MW",
            columns=["source", "energy", "of the load"],
            table=source_rows(year),
            line=("load", [w / MW for w in load["mean"]]),
        ),
        Notes(items=[(f"from {s['start']}", s["status"]) for s in year["stretches"]]),
        breakdown_chart(
            "year_usd", "bars", "Cost of the year", "Load that gives way is priced as lost time.", year["usd"]
        ),
    ]
    if year["limits"]:
        blocks.append(_dual_chart(year, days, start))
        blocks.append(
            Table(
                columns=["limit", "hours in which it binds", "one more saves in the year"],
                rows=limit_rows(year),
                title="What a little more would save",
            )
        )
    blocks.append(
        lines_chart(
            "pue",
            "PUE by the weather",
            f"Energy-weighted mean of the year {year['cooling']['annual_pue']:.3f}.",
            [
                Line(
                    label="PUE",
                    points=list(zip(days, series["PUE"]["mean"], strict=True)),
                    envelope=list(zip(days, series["PUE"]["min"], series["PUE"]["max"], strict=True)),
                )
            ],
            x_unit=f"days from {start}",
            unit="facility over IT power",
            columns=["day", "mean", "least", "most"],
            table=_some(
                [
                    [f"{x:.0f}", f"{m:.3f}", f"{a:.3f}", f"{b:.3f}"]
                    for x, m, a, b in zip(
                        days, series["PUE"]["mean"], series["PUE"]["min"], series["PUE"]["max"], strict=True
                    )
                ]
            ),
            log=False,
            y_range=_range([*series["PUE"]["min"], *series["PUE"]["max"]]),
        )
    )
    blocks.append(
        Table(
            columns=["of", "energy", "carbon, grid and fuel", "embodied carbon", "water", "energy cost"],
            rows=account_rows(year),
            title="Energy, carbon, water and money",
        )
    )
    blocks.append(
        Text(text="Embodied carbon is that of chips, servers, building and battery over their lives.", hint=True)
    )
    return blocks


def _dual_chart(year: Mapping[str, Any], days: Sequence[float], start: str) -> Chart:
    shown = [row for row in year["limits"] if row["unit"] == "W"][:4]
    lines = []
    for row in shown:
        series = year["series"][f"worth of {row['name']}"]
        lines.append(
            Line(
                label=limit_words(row["name"]),
                points=[(x, MW * y) for x, y in zip(days, series["mean"], strict=True)],
            )
        )
    values = [y for line in lines for _, y in line.points]
    return lines_chart(
        "duals",
        "What one more MW is worth",
        f"Fall of the cost by one more MW of a limit in an hour; means of {year['series']['load']['steps']} h.",
        lines,
        x_unit=f"days from {start}",
        unit="USD/MWh",
        columns=["limit", "hours", "one more in the year"],
        table=limit_rows(year),
        log=False,
        y_range=(0.0, 1.05 * max(values)) if values and max(values) > 0 else (0.0, 1.0),
    )
