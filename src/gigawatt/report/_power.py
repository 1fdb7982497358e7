"""Power for people at 80 columns: what the site draws, what the grid says, who feeds the year, what caps do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gigawatt.quantity import format_quantity
from gigawatt.report._training import bars, rows_table

VERDICT_STYLE = {"met": "green", "missed": "red", "not judged": "dim"}
HOUR = 3600.0
# Shares of what fed the year that are shown.
SHOWN_SHARE = 5e-5


def facts(report: Mapping[str, Any]) -> str:
    """Return what the question was, in one sentence."""
    cap = report["power_cap_w"]
    capped = f", capped at {format_quantity(cap, 'W')}" if cap else ""
    return (
        f"{report['model']} on {report['used']:,} of {report['accelerators']:,} {report['accelerator']}{capped}; "
        f"a step of {format_quantity(report['step']['period_s'], 's')}, "
        f"the grid contract {format_quantity(report['contract_w'], 'W')}"
    )


def verdicts(report: Mapping[str, Any]) -> str:
    """Return what the requirements come to, in words."""
    words = []
    for result in report["compliance"]:
        count = {verdict: sum(c["verdict"] == verdict for c in result["clauses"]) for verdict in VERDICT_STYLE}
        text = f"{count['missed']} of {len(result['clauses'])} missed" if count["missed"] else f"{count['met']} met"
        words.append(f"{result['requirements']} " + (text if count["met"] + count["missed"] else "not judged"))
    return "; ".join(words)


def answer_rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the answer as rows of label and value."""
    step, record, line = report["step"], report["record"], report["spectrum"]["largest"]
    return [
        ("what the grid asks", verdicts(report)),
        ("facility, mean of the run", format_quantity(report["facility_w"], "W")),
        ("facility, sustained peak", format_quantity(report["facility_peak_w"], "W")),
        ("facility, no job", format_quantity(report["facility_idle_w"], "W")),
        (
            "swing within a step",
            f"{format_quantity(step['swing_w'], 'W')}; {format_quantity(step['storage_j'], 'J')} of storage would flatten it",
        ),
        (
            "largest line of the spectrum",
            f"{format_quantity(line['amplitude_w'], 'W')} at {line['frequency_hz']:.3g} Hz",
        ),
        (
            f"record of {format_quantity(record['duration_s'], 's')}",
            f"{format_quantity(record['minimum_w'], 'W')} to {format_quantity(record['maximum_w'], 'W')}; {format_quantity(record['energy_j'], 'J')}",
        ),
    ]


def ramp_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Return the ramps: window, largest rise and fall, and the change that 99 % of windows stay below."""
    ramps = report["ramps"]
    at = ramps["quantiles"].index(0.99)
    return [
        [
            format_quantity(window, "s"),
            _per_minute(up),
            _per_minute(down),
            _per_minute(spread[at]),
        ]
        for window, up, down, spread in zip(
            ramps["window_s"],
            ramps["up_w_per_s"],
            ramps["down_w_per_s"],
            ramps["distribution_w_per_s"],
            strict=True,
        )
    ]


def _per_minute(w_per_s: float) -> str:
    return f"{60.0 * w_per_s / 1e6:,.4g} MW/min"


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    if unit == "W/s":
        return _per_minute(value)
    return format_quantity(value, unit) if unit == "W" else f"{value:.3g} {unit}".strip()


def clause_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Return the clauses of one set of requirements: clause, verdict, value, limit, when or why."""
    rows = []
    for clause in result["clauses"]:
        when = "" if clause["moment_s"] is None else f"at {format_quantity(clause['moment_s'], 's')}"
        rows.append(
            [
                clause["clause"],
                clause["verdict"],
                _value(clause["value"], clause["unit"]),
                _value(clause["limit"], clause["unit"]),
                "; ".join(filter(None, (when, clause["reason"]))),
            ]
        )
    return rows


def battery_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Return the smallest batteries: ramp limit, power, energy used, dP^2/(2R) of a start, event, life, cost a year."""
    rows = []
    for row in report["batteries"]:
        sizing = row["sizing"]
        rows.append(
            [
                _per_minute(row["ramp_w_per_s"]),
                format_quantity(sizing["power_w"], "W"),
                format_quantity(sizing["charge_j"], "J"),
                format_quantity(row["closed_j"], "J"),
                format_quantity(sizing["rating_j"], "J"),
                sizing["charge_event"] or "none",
                "" if sizing["life_years"] is None else f"{sizing['life_years']:.2g} years",
                format_quantity(sizing["usd_per_year"], "USD"),
            ]
        )
    return rows


BATTERY_COLUMNS = ("ramp limit", "power", "energy", "dP²/2R", "bought", "set by", "life", "a year")


def measure_rows(found: Mapping[str, Any], mixes: str) -> list[list[str]]:
    """Return measures ("alone") or mixes ("mixes"): what, whether it complies, cost a year, extra power, work lost."""
    return [
        [
            mix["label"],
            "yes" if mix["complies"] else "no",
            format_quantity(mix["usd_per_year"], "USD"),
            format_quantity(mix["extra_w"], "W") if mix["extra_w"] else "-",
            f"{mix['lost_throughput']:.1%}" if mix["lost_throughput"] else "-",
        ]
        for mix in found[mixes]
    ]


MEASURE_COLUMNS = ("measure", "complies", "a year", "extra power", "work lost")


def cap_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Return the caps: cap, accelerators, run, energy, cost, peak."""
    rows = []
    for row in report["caps"]:
        cap = "none" if row["cap_w"] is None else format_quantity(row["cap_w"], "W")
        if row["run_s"] is None:
            rows.append([cap, "-", "-", "-", "-", "-"])
            continue
        rows.append(
            [
                cap,
                f"{row['accelerators']:,}",
                format_quantity(row["run_s"], "s"),
                format_quantity(row["energy_j"], "J"),
                format_quantity(row["cost_usd"], "USD"),
                format_quantity(row["facility_peak_w"], "W"),
            ]
        )
    return rows


def source_rows(year: Mapping[str, Any]) -> list[list[str]]:
    """Return who fed the year: source, energy, share of the load. What a battery takes is below zero."""
    load = year["load_j"]
    return [
        [name, format_quantity(joules, "J"), f"{joules / load:.1%}"]
        for name, joules in ((n, -j if n == "battery charge" else j) for n, j in year["energy_j"].items())
        if abs(joules) > SHOWN_SHARE * load
    ]


def limit_rows(year: Mapping[str, Any]) -> list[list[str]]:
    """Return what a little more of each limit would save: limit, hours in which it binds, value of one more MW (MWh)."""
    return [
        [
            limit_words(row["name"]),
            f"{row['hours']:,}",
            f"{format_quantity(row['value_usd_per_unit'] * (3.6e9 if row['unit'] == 'J' else 1e6), 'USD')} per {'MWh' if row['unit'] == 'J' else 'MW'}",
        ]
        for row in year["limits"]
    ]


def limit_words(name: str) -> str:
    """Return a limit in words."""
    return {"battery_w": "battery power", "battery_j": "battery energy"}.get(name, name)


def account_rows(year: Mapping[str, Any]) -> list[list[str]]:
    """Return energy, carbon, water and money of the year, an accelerator-hour and a million tokens."""
    rows = []
    for name, account in year["accounts"].items():
        rows.append(
            [
                name,
                format_quantity(account["energy_j"], "J"),
                _mass(account["location_kg"]),
                _mass(account["embodied_kg"]),
                _mass(account["water_kg"]),
                format_quantity(account["energy_usd"], "USD"),
            ]
        )
    return rows


def _mass(kg: float) -> str:
    """Return a mass from grams to thousands of tonnes."""
    if kg >= 1e5:
        return f"{kg / 1e3:,.0f} t"
    if kg >= 1e3:
        return f"{kg / 1e3:.3g} t"
    return f"{kg:.3g} kg" if kg >= 1 or kg == 0 else f"{1e3 * kg:.3g} g"


def print_power(report: Mapping[str, Any], console: Console) -> None:
    """Print a power report (`PowerReport.to_dict()`)."""
    console.print(Text(report["scenario"], style="bold"))
    console.print(facts(report), highlight=False)
    console.print()
    console.print(rows_table(answer_rows(report)))
    console.print()
    console.print(bars("mean power of the run", report["power"], "W"))
    console.print()
    _print(console, "ramps", ("over", "rise", "fall", "99 % stay below"), ramp_rows(report))
    for result in report["compliance"]:
        _print_clauses(result, console)
    behind = report["behind"]
    if behind is not None:
        console.print(
            f"behind the battery, set to {_per_minute(behind['ramp_w_per_s'])}: it gives up to {format_quantity(behind['discharge_w'], 'W')}, takes up to {format_quantity(behind['charge_w'], 'W')}, moves {format_quantity(behind['charge_range_j'], 'J')}",
            highlight=False,
        )
        console.print()
        for result in behind["compliance"]:
            _print_clauses(result, console, "behind the battery: ")
    if report["batteries"]:
        _print(console, "the smallest battery for a ramp limit", BATTERY_COLUMNS, battery_rows(report))
    for found in report["calming"]:
        title = f"{found['requirements']}: measures alone, with the store each needs"
        _print(console, title, MEASURE_COLUMNS, measure_rows(found, "alone"))
        _print(
            console,
            f"{found['requirements']}: cheapest of {found['tried']} mixes",
            MEASURE_COLUMNS,
            measure_rows(found, "mixes"),
        )
    if report["caps"]:
        _print(
            console,
            "power caps under the same limits",
            ("cap", "powered", "run", "energy", "cost", "peak"),
            cap_rows(report),
        )
    if report["year"] is not None:
        _print_year(report["year"], console)
    for warning in report["warnings"]:
        console.print(Text("note: ", style="yellow") + Text(warning))


def _print(console: Console, title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    console.print(Text(title, style="bold"))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()


def _print_clauses(result: Mapping[str, Any], console: Console, lead: str = "") -> None:
    missed = sum(clause["verdict"] == "missed" for clause in result["clauses"])
    open_ = sum(clause["verdict"] == "not judged" for clause in result["clauses"])
    every = len(result["clauses"])
    verdict = f"{missed} of {every} missed" if missed else "all met" if not open_ else "none missed"
    if open_ == every:
        verdict = "nothing judged"
    title = f"{lead}{result['requirements']}: {verdict}" + (f", {open_} not judged" if open_ else "")
    console.print(Text(title, style="bold"))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading, justify in (("clause", "left"), ("verdict", "left"), ("value", "right"), ("limit", "right")):
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    table.add_column("", overflow="fold", style="dim")
    for row in clause_rows(result):
        table.add_row(row[0], Text(row[1], style=VERDICT_STYLE[row[1]]), *row[2:])
    console.print(table)
    console.print()


def _print_year(year: Mapping[str, Any], console: Console) -> None:
    start = year["start"][:10]
    _print(console, f"who feeds the year from {start}", ("source", "energy", "of the load"), source_rows(year))
    console.print(bars("cost of the year", year["usd"], "USD"))
    console.print()
    if year["limits"]:
        _print(console, "what a little more would save in the year", ("limit", "hours", "one more"), limit_rows(year))
    for stretch in year["stretches"]:
        console.print(Text(f"from {stretch['start']}: ", style="bold") + Text(stretch["status"]))
    cooling = year["cooling"]
    console.print(
        f"PUE of the year {cooling['annual_pue']:.3f}, at most {cooling['highest_pue']:.3f}; {year['useful_share']:.2%} of the accelerators' time is fed",
        highlight=False,
    )
    console.print()
    _print(
        console,
        "energy, carbon, water and money",
        ("of", "energy", "carbon", "embodied", "water", "energy cost"),
        account_rows(year),
    )
