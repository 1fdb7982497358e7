"""Tables of the build-out, for terminal and page alike: rows of texts from plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gigawatt.quantity import format_quantity
from gigawatt.report._build_words import (
    POLICIES,
    compute_by,
    date_words,
    goal_words,
    longest,
    quarters,
    stage_words,
    training_words,
)

QUARTER_COLUMNS = ("quarter", "fleet", "delivered", "waiting", "power in use", "cash")
NEARER_COLUMNS = ("a month nearer with", "amount", "cost", "when")
RETURN_COLUMNS = ("", "NPV", "IRR", "money back", "payback")
RUSH_COLUMNS = ("order", "without", "with", "wait without", "wait with", "premium", "net")
CONSTRUCTION_COLUMNS = ("site", "milestone", "P10", "P50", "P90")
FUND_COLUMNS = ("fund", "year", "more accelerators", "more tokens a year at its end")
CASH = "cash"
# Delays and tasks that are named as those that matter.
MATTERING = 8
# Buyers that are named; the others stand as a number.
NAMED_BUYERS = 6


def usd(value: float | None) -> str:
    """Return an amount of money, "-" where there is none."""
    return "-" if value is None else format_quantity(value, "USD")


def whole(value: float) -> str:
    """Return a value without decimals, never -0."""
    return f"{abs(value) if abs(value) < 0.5 else value:,.0f}"


def answer_rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the answer as rows of label and value; what stands after a semicolon is small print."""
    kind, run = report["goal"]["kind"], report["run"]
    labels = report["calendar"]["labels"]
    head = {
        "fleet": ("fleet reached", f"{report['goal']['reached']}; {whole(report['goal']['target'] or 0)} accelerators"),
        "run": ("training run done", f"{report['goal']['reached']}; begins {run['begin']}"),
        "npv": ("net present value", usd(report["returns"]["project"]["npv_usd"])),
        "compute": ("useful compute", f"{format_quantity(compute_by(report), 'FLOP')}; by {report['goal']['by']}"),
    }[kind]
    rows = [head, ("fleet", f"{whole(report['fleet'][-1])}; accelerators in service, end of {labels[-1]}")]
    rows.append(("limits longest", longest(report)))
    if kind != "run":
        done = run["done"] or f"{run['done_flop'] / run['flop']:.0%} done"
        rows.append(("training run", f"{done}; begins {run['begin']}" if run["begin"] else "never begins"))
    if kind != "npv":
        earns = any(max(line["amounts"]) > 0 for line in report["cash_flow"]["lines"] if line["group"] == "operating")
        value = usd(report["returns"]["project"]["npv_usd"])
        rows.append(("net present value", value if earns else f"{value}; no income is planned{until_words(report)}"))
    if report["balance_usd"] is not None:
        least = min(range(len(labels)), key=lambda i: report["balance_usd"][i])
        rows.append(("least cash", f"{usd(report['balance_usd'][least])}; {labels[least]}"))
    levelised = report.get("levelised")
    if levelised:
        cost = f"${levelised['usd_per_useful_hour']:.2f} an hour"
        rows.append(("levelised cost", f"{cost}; {levelised['denominator']}{until_words(report)}"))
    return rows


def until_words(report: Mapping[str, Any]) -> str:
    """Return up to when money counts, where that is not the whole plan."""
    return f", up to {report['goal']['by']}" if dated(report) else ""


def lead(report: Mapping[str, Any]) -> list[str]:
    """Return the answer in sentences."""
    sentences = [goal_words(report)]
    uncertainty = report["uncertainty"]
    if uncertainty is not None and report["goal"]["reached"] is not None:
        low, middle, high = date_words(uncertainty["dates"]["expected"])
        sentences.append(f"with delays: {middle} (P10 {low}, P90 {high})")
    elif uncertainty is not None and report["goal"]["kind"] == "compute":
        low, middle, high = (format_quantity(value, "FLOP") for value in uncertainty["outcomes"]["expected"]["flop"])
        sentences.append(f"with delays: {middle} (P10 {low}, P90 {high})")
    sentences.append(training_words(report))
    return sentences


def quarter_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Return fleet, deliveries, waiting accelerators, power and cash at the end of every quarter."""
    rows = []
    balance = report["balance_usd"]
    for name, periods in quarters(report):
        last = periods.stop - 1
        delivered = sum(sum(offer["delivered"][periods]) for offer in report["offers"])
        waiting = sum(chip["waiting"][last] + chip["stock"][last] for chip in report["chips"])
        power = [site["limits"]["power"] for site in report["sites"] if "power" in site["limits"]]
        used, available = (sum(each[key][last] for each in power) / 1e6 for key in ("used", "available"))
        rows.append(
            [
                name,
                whole(report["fleet"][last]),
                whole(delivered),
                whole(waiting),
                f"{whole(used)} of {whole(available)} MW" if power else "-",
                usd(None if balance is None else balance[last]),
            ]
        )
    return rows


def nearer_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Return what would bring the goal a month nearer: limit, amount, cost, when."""
    return [
        [
            row["name"],
            format_quantity(row["amount"], "" if row["unit"] == "accelerators" else row["unit"])
            + (" accelerators" if row["unit"] == "accelerators" else ""),
            usd(row["cost_usd"]) if row["cost_usd"] is not None else "not known",
            row["note"],
        ]
        for row in report["nearer"]
    ]


def uncertain_columns(report: Mapping[str, Any]) -> list[str]:
    """Return the columns of `uncertain_rows`."""
    return ["", "P10", "P50", "P90", *(["reached"] if dated(report) else [])]


def dated(report: Mapping[str, Any]) -> bool:
    """Return whether the goal is to be reached at the earliest."""
    return report["goal"]["kind"] in ("fleet", "run")


def agreement(report: Mapping[str, Any]) -> list[str]:
    """Return what is to be said where the plan is as good as the best for what came."""
    outcomes = report["uncertainty"]["outcomes"]
    same = outcomes["expected"] == outcomes["robust"] == outcomes["hindsight"]
    return ["the three agree: no order that is left to the plan changes the outcome"] if same else []


def uncertain_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Return P10, P50 and P90 of the date of the goal, or of the compute by its date, by policy."""
    uncertainty = report["uncertainty"]
    rows = []
    for name, words in POLICIES.items():
        outcome = uncertainty["outcomes"][name]
        values = (
            date_words(uncertainty["dates"][name])
            if dated(report)
            else [format_quantity(value, "FLOP") for value in outcome["flop"]]
        )
        rows.append([words, *values, *([f"{outcome['reached_share']:.0%}"] if dated(report) else [])])
    return rows


def matter_rows(report: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return what moves the compute most: draw and rank correlation."""
    return list(report["uncertainty"]["matters"].items())[:MATTERING]


def return_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Return value, rates and payback of the project and of equity."""
    rows = []
    for key in ("project", "equity"):
        found = report["returns"][key]
        rows.append(
            [
                key,
                usd(found["npv_usd"]),
                "none" if found["irr_quoted"] is None else f"{found['irr_quoted']:.1%}",
                "-" if found["moic"] is None else f"{found['moic']:.2f}x",
                "never" if found["payback_years"] is None else f"{found['payback_years']:.1f} years",
            ]
        )
    return rows


def cash_flow_rows(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows of the cash flow by year: lines, then the two nets."""
    flow = report["cash_flow"]
    years = sorted({day[:4] for day in flow["dates"]})
    at = [years.index(day[:4]) for day in flow["dates"]]

    def row(label: str, amounts: Sequence[float]) -> list[str]:
        sums = [0.0] * len(years)
        for year, amount in zip(at, amounts, strict=True):
            sums[year] += amount
        return [label, *(usd(value) if value else "-" for value in [*sums, sum(sums)])]

    rows = [row(line["label"], line["amounts"]) for line in flow["lines"]]
    rows += [row("net, before financing", flow["project"]), row("net, to equity", flow["equity"])]
    return ["line", *years, "in all"], rows


def rush_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Return what paying for priority brings, by order: when it comes, mean wait, premium, rent of the time less it."""
    return [
        [
            row["offer"],
            *(_arrival(row[case]) for case in ("without", "with_premium")),
            *(format_quantity(row[case]["mean_wait_s"], "s", 2) for case in ("without", "with_premium")),
            usd(row["premium_usd"][1]),
            usd(row["net_usd"]),
        ]
        for row in report.get("rush") or ()
    ]


def _arrival(delivered: Mapping[str, Any]) -> str:
    """Return the quarters in which an order comes, and what of it does not."""
    first, last = delivered["first"], delivered["last"]
    text = "never" if not first else first if first == last else f"{first} to {last}"
    return f"{text}, {whole(delivered['missing'])} missing" if delivered["missing"] >= 1 else str(text)


def rush_words(report: Mapping[str, Any]) -> list[str]:
    """Return the verdict on each premium, and who has fewer accelerators for the sake of it."""
    found = []
    for row in report.get("rush") or ():
        found.append(f"{row['offer']}: {row['verdict']}")
        if losers := buyers(row["displaced"]):
            found.append(f"others get fewer: {losers}")
    return found


def construction_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Return the milestones of construction: site, milestone, P10, P50, P90."""
    return [
        [site["site"], milestone, *date_words(days)]
        for site in report.get("construction") or ()
        for milestone, days in site["dates"].items()
    ]


def construction_words(report: Mapping[str, Any]) -> list[str]:
    """Return the critical path of every site and the tasks that matter most."""
    found = []
    for site in report.get("construction") or ():
        found.append(f"{site['site']}: critical are {', '.join(site['critical'])}")
        largest = sorted(site["matters"].items(), key=lambda pair: -pair[1])[:3]
        if largest:
            found.append(
                f"{site['site']}: the end varies with " + ", ".join(f"{name} ({share:.0%})" for name, share in largest)
            )
    return found


def fund_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Return what so much money would add by year: accelerators, and tokens a year that all of them together give."""
    rows = []
    for fund in report.get("funds") or ():
        years = [year for year, units in fund["extra_chips"].items() if units >= 1]
        for year in years:
            tokens = format_quantity(fund["tokens_per_year"].get(year, 0.0), "token", 2)
            rows.append([fund["name"], year, whole(fund["extra_chips"][year]), tokens])
        if not years:
            rows.append([fund["name"], "-", "none", "none"])
    return rows


def fund_words(report: Mapping[str, Any]) -> list[str]:
    """Return where the money of each fund goes, what is said of it, and who gains."""
    found = []
    for fund in report.get("funds") or ():
        parts = [f"{stage_words(stage)} {usd(value)}" for stage, value in fund["split"].items() if value >= 1]
        found.append(f"{fund['name']}, {usd(fund['usd'])}: {', '.join(parts) or 'nothing to add'}")
        if fund["note"]:
            found.append(fund["note"])
        if fund["gainers"]:
            found.append(f"more for {buyers(fund['gainers'])}")
    return found


def buyers(units: Mapping[str, float]) -> str:
    """Return buyers with their accelerators, most first; those beyond NAMED_BUYERS as a number."""
    ranked = sorted(((name, value) for name, value in units.items() if value >= 1), key=lambda pair: -pair[1])
    named = ", ".join(f"{name} ({whole(value)})" for name, value in ranked[:NAMED_BUYERS])
    rest = len(ranked) - NAMED_BUYERS
    return f"{named} and {rest} more" if rest > 0 else named
