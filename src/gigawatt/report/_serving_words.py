"""The answer of a serving report in words: which chip for which goal, what it costs, whether the promise is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gigawatt.quantity import format_quantity
from gigawatt.report._serving_rows import (
    GOALS,
    LEAST,
    best_image,
    best_plan,
    image_names,
    plans_of,
    price,
    promise_words,
    quantity,
    same_plan,
    share,
    short_name,
    whole,
)


def facts(report: Mapping[str, Any]) -> str:
    """Return what the question was, in one sentence."""
    chips = len({plan["accelerator"] for plan in (*report["plans"], *report["images"])})
    engine = "the best of the engines" if report["engine"] == "any" else report["engine"]
    aim = {"cost": "least money", "power": "least power", "accelerators": "fewest accelerators"}[report["objective"]]
    kinds = f"{chips} kinds of accelerator" if chips != 1 else "1 kind of accelerator"
    model = report["model"] if report["traffic"] else " and ".join({row["model"]: 0 for row in report["images"]})
    return f"{model} on {engine}; {kinds} compared, asked for {aim}"


def lead(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the answer as pairs of what it is about and a sentence."""
    sentences = []
    for traffic in report["traffic"]:
        sentences += _class_words(report, traffic)
    for name in image_names(report):
        sentences += _image_words(report, name)
    if len(report["traffic"]) + len(image_names(report)) > 1:
        sentences.append(("In all", _total_words(report)))
    return sentences


def _class_words(report: Mapping[str, Any], traffic: Mapping[str, Any]) -> list[tuple[str, str]]:
    name, promised = traffic["name"], promise_words(traffic["promise"])
    cost, watts = (best_plan(report, name, goal) for goal in GOALS)
    if cost is None or watts is None:
        misses = [plan for plan in report["plans"] if plan["class"] == name and not plan["feasible"]]
        why = f" {misses[0]['accelerator']}: {misses[0]['reason']}." if misses else ""
        return [(name, f"No chip keeps the promise ({promised}).{why}")]
    kept = "" if promised == "none" else f" {_kept_words(report, traffic)}."
    one = " The same chip in another layout." if cost["accelerator"] == watts["accelerator"] else ""
    found = [
        (f"{name}, least money", f"{_plan_words(cost)}.{kept}"),
        (f"{name}, least power", f"{_plan_words(watts)}.{one}"),
    ]
    if same_plan(cost, watts):
        found = [(f"{name}, least money and least power", found[0][1])]
    if report["objective"] == "accelerators":
        fewest = min((plan for plan, _ in plans_of(report, name)), key=lambda plan: plan["accelerators"])
        found.insert(0, (f"{name}, fewest accelerators", f"{_plan_words(fewest)}."))
    return found


def kept_shares(report: Mapping[str, Any], traffic: Mapping[str, Any]) -> dict[str, float]:
    """Return the shares of simulated requests that keep the promised TTFT and TPOT; empty where none is known."""
    found = report["simulation"].get(traffic["name"])
    kept = {} if found is None else {key.upper(): found["kept"][key] for key in ("ttft", "tpot")}
    return {key: value for key, value in kept.items() if value is not None}


def broken(report: Mapping[str, Any], traffic: Mapping[str, Any]) -> bool:
    """Return whether the simulation is saturated or keeps a promise for fewer requests than was asked."""
    found, asked = report["simulation"].get(traffic["name"]), traffic["promise"]["percentile"]
    short = asked is not None and any(value < asked for value in kept_shares(report, traffic).values())
    return short or (found is not None and found["saturated"])


def _kept_words(report: Mapping[str, Any], traffic: Mapping[str, Any]) -> str:
    promised, kept = promise_words(traffic["promise"]), kept_shares(report, traffic)
    verdict = "The simulation breaks the promise" if broken(report, traffic) else "The promise is kept"
    if not kept:
        verdict = "By the closed form alone, not simulated, the promise is kept"
    simulated = " and ".join(f"{key} for {share(value)}" for key, value in kept.items())
    return f"{verdict}: {promised}" + (f"; simulated, {simulated} of requests" if kept else "")


def _plan_words(plan: Mapping[str, Any]) -> str:
    each = plan["usd_per_million"]
    cached = "" if each["cached"] is None else f"{price(each['cached'])} cached, "
    return (
        f"{whole(plan['accelerators'])} {plan['accelerator']}, {format_quantity(plan['peak_w'], 'W')} at the peak, "
        f"{format_quantity(plan['usd_per_month'], 'USD')} a month; a million tokens cost {price(each['input'])} in, "
        f"{cached}{price(each['output'])} out"
    )


def _image_words(report: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    cost, watts = (best_image(report, name, goal) for goal in GOALS)
    if cost is None or watts is None:
        miss = next(row for row in report["images"] if row["name"] == name)
        return [(name, f"No chip makes them in time. {miss['accelerator']}: {miss['reason']}.")]
    found = [
        (f"{name}, {label}", _one_image(row)) for (_, label), row in zip(LEAST.values(), (cost, watts), strict=True)
    ]
    return [(f"{name}, least money and least power", found[0][1])] if cost is watts else found


def _one_image(row: Mapping[str, Any]) -> str:
    return (
        f"{whole(row['accelerators'])} {row['accelerator']}, {format_quantity(row['peak_w'], 'W')} at the peak, "
        f"{format_quantity(row['usd_per_month'], 'USD')} a month; an image costs {price(row['usd_per_image'])} and takes {format_quantity(row['latency_s'], 's')}."
    )


def _total_words(report: Mapping[str, Any]) -> str:
    parts = [
        f"for least {aim} {whole(total['accelerators'])} accelerators, {quantity(total['peak_w'], 'W')} at the peak, {quantity(total['usd_per_month'], 'USD')} a month"
        for aim, total in ((aim, report["totals"][goal]) for goal, aim in GOALS.items())
        if total is not None and total["accelerators"] is not None
    ]
    words = "; ".join(parts) or "not known, since one of them cannot be served"
    return f"{words[:1].upper()}{words[1:]}."


def answer_rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the answer as rows of label and value; what stands after a semicolon is small print."""
    many = len(report["traffic"]) + len(image_names(report)) > 1
    rows: list[tuple[str, str]] = []
    for traffic in report["traffic"]:
        lead_in = f"{traffic['name']}, " if many else ""
        for goal, (_, label) in LEAST.items():
            plan = best_plan(report, traffic["name"], goal)
            rows.append(
                (f"{lead_in}{label}", "no chip keeps the promise" if plan is None else _best_words(report, plan))
            )
        plan = best_plan(report, traffic["name"], "cost")
        if plan is not None:
            each = plan["usd_per_million"]
            words = f"{price(each['output'])}; in {price(each['input'])}, cached {price(each['cached'])}"
            rows.append((f"{lead_in}a million tokens out", f"{words}, all alike {price(each['all'])}"))
        rows += _kept_rows(report, traffic, lead_in)
    for name in image_names(report):
        row = best_image(report, name, "cost")
        words = (
            "no chip is fast enough"
            if row is None
            else f"{price(row['usd_per_image'])}; {short_name(report, row['accelerator'])}"
        )
        rows.append((f"{name}, an image", words))
    for goal, (_, label) in LEAST.items():
        total = report["totals"][goal]
        if total is not None and total["accelerators"] is not None:
            words = f"{whole(total['accelerators'])}; {quantity(total['peak_w'], 'W')} at the peak, {quantity(total['mean_w'], 'W')} in the mean"
            rows.append(
                (f"accelerators in all, {label}", f"{words}, {quantity(total['usd_per_month'], 'USD')} a month")
            )
    return rows


def _best_words(report: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    span = f"{whole(plan['accelerators_low'])} to {whole(plan['accelerators_high'])}"
    return (
        f"{short_name(report, plan['accelerator'])}; {whole(plan['accelerators'])} of them ({span}), {format_quantity(plan['peak_w'], 'W')} at the peak, "
        f"{format_quantity(plan['usd_per_month'], 'USD')} a month"
    )


def _kept_rows(report: Mapping[str, Any], traffic: Mapping[str, Any], lead_in: str) -> list[tuple[str, str]]:
    kept = kept_shares(report, traffic)
    if not kept:
        return []
    shares = " and ".join(share(value) for value in kept.values())
    words = f"{shares}; of simulated requests keep {' and '.join(kept)}, asked: {promise_words(traffic['promise'])}"
    return [(f"{lead_in}promise kept by", words)]


def reach_words(row: Mapping[str, Any]) -> str:
    """Return in words what a limit of power or money reaches (a row of `ServeReport.within`)."""
    people = "" if row["users"] is None else f" of {whole(row['users'])} users"
    return (
        f"within the limit ({row['binding']}): {whole(row['accelerators'])} {row['accelerator']} serve "
        f"{whole(row['peak_requests_per_s'])} requests/s at the peak{people} of {row['class']}, "
        f"{format_quantity(row['watts'], 'W')}, {format_quantity(row['usd_per_month'], 'USD')} a month"
    )
