"""The build-out in words: runs of periods with one limit, what one more unit of it is worth, dates, quarters.

Periods are named by their first day or month. Values of a run stand as the range over its periods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from gigawatt.quantity import format_quantity

NOTHING = "nothing"
NOTHING_WORDS = "more of anything would not count"
# Other limits of a run are named from this share in one of its periods on.
SECOND_SHARE = 0.10
MW, THOUSAND = 1e6, 1e3
# By kind of limit: units in one more, how one more is called, and whether it is worth so much in every period.
ONE_MORE: Mapping[str, tuple[float, str, bool]] = {
    "power": (MW, "one more MW", True),
    "cooling": (MW, "cooling for one more MW", True),
    "hall": (MW, "a hall for one more MW", True),
    "network": (THOUSAND, "a network for 1,000 more accelerators", True),
    "installation": (THOUSAND, "crews for 1,000 more accelerators", False),
    "cash": (1.0, "one more dollar", False),
}
WHY = {
    "orders": "no more are on order",
    "lead time": "what is ordered now comes too late",
    "product": "it does not ship yet",
}
STAGES = {"hbm": "HBM", "packaging": "packaging"}
POLICIES = {
    "expected": "orders as planned",
    "robust": "ordered for delays",
    "hindsight": "best for what came",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Consecutive periods, `first` to `last`, with the same main limit; `bindings` are those of each period."""

    first: int
    last: int
    bindings: Sequence[Sequence[Mapping[str, Any]]]

    @property
    def mains(self) -> list[Mapping[str, Any]]:
        """The main limit of every period, empty where nothing limits."""
        return [found[0] for found in self.bindings if found]


def runs(report: Mapping[str, Any]) -> list[Run]:
    """Return the constraint timeline, periods with the same main limit merged."""
    found: list[Run] = []
    at = 0
    for _, group in groupby(report["binding"], key=lambda each: each[0]["name"] if each else NOTHING):
        bindings = list(group)
        found.append(Run(first=at, last=at + len(bindings) - 1, bindings=bindings))
        at += len(bindings)
    return found


def run_dates(run: Run, report: Mapping[str, Any]) -> str:
    """Return the periods of a run: "2024-08-26 to 2024-11-04"."""
    labels = report["calendar"]["labels"]
    return str(labels[run.first]) if run.first == run.last else f"{labels[run.first]} to {labels[run.last]}"


def run_name(run: Run) -> str:
    """Return the main limit of a run with its share: "power at Memphis (100 %)"."""
    mains = run.mains
    return f"{mains[0]['name']} ({share_words([each['share'] for each in mains])})" if mains else NOTHING


def run_worth(run: Run, report: Mapping[str, Any]) -> str:
    """Return what one more unit of the main limit of a run is worth."""
    return worth(run.mains, report["calendar"]["step"]) if run.mains else NOTHING_WORDS


def run_why(run: Run, report: Mapping[str, Any]) -> str:
    """Return why there is no more of the main limit of a run, "" where nothing is known."""
    reasons = []
    for offset, found in enumerate(run.bindings):
        reason = why(found[0], run.first + offset, report) if found else ""
        if reason and reason not in reasons:
            reasons.append(reason)
    return "; later ".join(reasons[:1] + reasons[1:][-1:])


def run_seconds(run: Run) -> str:
    """Return the other limits of a run: "orders of H200 SXM (9 to 30 %)"."""
    shares: dict[str, list[float]] = {}
    for found in run.bindings:
        for binding in found[1:]:
            shares.setdefault(binding["name"], []).append(binding["share"])
    shown = {name: values for name, values in shares.items() if max(values) >= SECOND_SHARE}
    return ", ".join(
        f"{name} ({share_words(values)})" for name, values in sorted(shown.items(), key=lambda pair: -max(pair[1]))
    )


def why(binding: Mapping[str, Any], period: int, report: Mapping[str, Any]) -> str:
    """Return why there is no more of a limit in a period, in words."""
    if binding["reason"]:
        return str(binding["reason"])
    if binding["kind"] == "supply":
        offer = next((each for each in report["offers"] if each["name"] == binding["where"]), None)
        stages = offer["stages"] if offer is not None else None
        return f"{stage_words(stages[period])} limits what is made" if stages else "no more is allotted"
    return WHY.get(binding["kind"], "")


def stage_words(stage: str) -> str:
    """Return a stage of the supply chain in words."""
    kind, _, node = stage.partition(".")
    return f"{node} {kind} wafers" if node else STAGES.get(kind, kind.replace("_", " "))


def share_words(shares: Sequence[float]) -> str:
    """Return a range of shares: "100 %", "66 to 95 %"."""
    low, high = f"{100 * min(shares):.0f}", f"{100 * max(shares):.0f}"
    return f"{high} %" if low == high else f"{low} to {high} %"


def one_more(binding: Mapping[str, Any]) -> tuple[float, str, bool]:
    """Return (units, words, whether per period) of one more of a limit."""
    return ONE_MORE.get(binding["kind"], (THOUSAND, f"1,000 more {binding['where']}", False))


def worth(bindings: Sequence[Mapping[str, Any]], step: str) -> str:
    """Return what one more unit of a limit is worth, in money and useful compute, over consecutive periods."""
    units, words, lasting = one_more(bindings[0])
    per = f" a {step}" if lasting else ""
    usd = [units * each["usd_per_unit"] for each in bindings if each["usd_per_unit"] is not None]
    flop = [units * each["flop_per_unit"] for each in bindings if each["flop_per_unit"] is not None]
    verb = "are" if words.startswith("1,000") else "is"
    text = f"{words} {verb} worth "
    if usd and max(usd) > 0:
        text += f"{span(usd, 'USD')}{per}"
        text += f" ({span(flop, 'FLOP')})" if flop else ""
    else:
        text += f"{span(flop, 'FLOP')}{per}" if flop else "nothing"
    kept = bindings[0]["usd_kept"]
    if lasting and kept and len(bindings) > 1:
        text += f", {format_quantity(units * kept, 'USD', 2)} if it comes first and stays"
    return text


def span(values: Sequence[float], unit: str) -> str:
    """Return the first and the last of a series where they differ as written, else one value."""
    first, last = (format_quantity(value, unit, 2) for value in (values[0], values[-1]))
    return first if first == last else f"{first}, later {last}"


def goal_words(report: Mapping[str, Any]) -> str:
    """Return what the plan reaches of its goal, in one sentence."""
    goal, run = report["goal"], report["run"]
    if goal["kind"] == "fleet":
        return f"{goal['target']:,} accelerators are in service on {goal['reached']}"
    if goal["kind"] == "run":
        return f"the training run ({format_quantity(run['flop'], 'FLOP')}) is done on {goal['reached']}"
    if goal["kind"] == "npv":
        value = report["returns"]["project"]["npv_usd"]
        return f"the best net present value is {format_quantity(value, 'USD')}"
    return f"{format_quantity(compute_by(report), 'FLOP')} of useful compute by {goal['by']}, the most there can be at best values"


def compute_by(report: Mapping[str, Any]) -> float:
    """Return the useful compute up to the period of the goal, FLOP."""
    labels = report["calendar"]["labels"]
    return float(sum(report["useful_flop"][: labels.index(report["goal"]["by"]) + 1]))


def training_words(report: Mapping[str, Any]) -> str:
    """Return when the training run begins and ends on the growing fleet."""
    run = report["run"]
    what = f"the training run of {run['model']}"
    if run["begin"] is None:
        return f"{what} never begins: no accelerator is in service"
    if run["done"] is None:
        share = run["done_flop"] / run["flop"]
        return f"{what} begins on {run['begin']}; {share:.0%} of it is done by the end of the plan"
    return f"on the growing fleet {what} begins on {run['begin']} and is done on {run['done']}"


def longest(report: Mapping[str, Any]) -> str:
    """Return what is the main limit in most periods, and in how many: "power at Memphis, 11 of 105 weeks"."""
    counts: dict[str, int] = {}
    for found in report["binding"]:
        if found:
            counts[found[0]["name"]] = counts.get(found[0]["name"], 0) + 1
    if not counts:
        return NOTHING
    name = max(counts, key=lambda each: counts[each])
    return f"{name}; {counts[name]} of {len(report['binding'])} {report['calendar']['step']}s"


def until_goal(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report that ends with the period of the goal: what comes after it is not planned for it.

    Cash flow and returns stay those of the whole plan.
    """
    labels = report["calendar"]["labels"]
    end = len(labels) if report["goal"]["kind"] == "npv" else labels.index(report["goal"]["by"]) + 1

    def cut(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: cut(each) for key, each in value.items()}
        if not isinstance(value, list):
            return value
        if value and isinstance(value[0], Mapping | list):
            return [cut(each) for each in value]
        return value[:end] if len(value) == len(labels) else value

    keys = ("fleet", "useful_flop", "calendar", "chips", "offers", "sites", "energy", "balance_usd", "debt_usd")
    return {**report, **{key: cut(report[key]) for key in keys}, "binding": report["binding"][:end]}


def quarters(report: Mapping[str, Any]) -> list[tuple[str, slice]]:
    """Return the quarters of the plan with their periods."""
    labels = report["calendar"]["labels"]
    names = [f"{label[:4]} Q{(int(label[5:7]) + 2) // 3}" for label in labels]
    starts = [i for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
    return [(names[start], slice(start, end)) for start, end in zip(starts, [*starts[1:], len(names)], strict=True)]


def date_words(days: Sequence[str | None]) -> list[str]:
    """Return dates, "never" for those that lie beyond the plan."""
    return [day or "not in the plan" for day in days]
