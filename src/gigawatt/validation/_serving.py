"""Every published serving measurement, predicted: `gigawatt validate serving`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from gigawatt.model import DTYPE_BYTES, parameters
from gigawatt.validation._parameters import Parameter
from gigawatt.validation._rows import UnreadableRowError
from gigawatt.validation._serving_model import Predictor
from gigawatt.validation._serving_rows import Case, number, read, read_rows
from gigawatt.validation._statistics import one_constant, summarise

FEWEST_RANKED = 5
QUANTITIES = ("tpot_s", "ttft_s", "output_rate", "input_rate")
# Rows whose source or checks say that they are no measurement of the engine. A waiting line before admission spoils the
# time to the first token alone, a limit of admission below the clients the time per token as well.
NOT_COMPARED = ("UNIT_AMBIGUOUS", "VENDOR_CLAIM", "SECONDARY_SOURCE")


def measured(row: Mapping[str, str]) -> dict[str, float]:
    """Return what a row measured, by quantity, SI and of all accelerators; flagged quantities left out."""
    flags = row["flags"]
    if any(flag in flags for flag in NOT_COMPARED):
        return {}
    count = number(row, "n_accelerators") or 1.0
    found = {
        "tpot_s": 0.0 if "TPOT_NOT_MONOTONE" in flags else (number(row, "tpot_ms") or 0.0) / 1e3,
        "ttft_s": 0.0 if "QUEUE_DOMINATED_TTFT" in flags else (number(row, "ttft_ms") or 0.0) / 1e3,
        "output_rate": number(row, "output_tokens_per_s")
        or (number(row, "output_tokens_per_s_per_gpu") or 0.0) * count,
        "input_rate": (number(row, "input_tokens_per_s_per_gpu") or 0.0) * count,
    }
    return {name: value for name, value in found.items() if value > 0}


def validate_serving(data: Path | None = None) -> dict[str, Any]:
    """Return the residuals of every measurement of a table of serving points: `rows` and `summary`. Without `data` it
    is the packaged one that the constants are fitted to.

    A row has id, group, quantity (tpot_s, ttft_s, output_rate, input_rate), measured, predicted, ratio (predicted over
    measured), chip, model, stack, skipped (reason or None), assumed and note. Raises InputError for a table that cannot
    be read.
    """
    predictor = Predictor()
    factors = intervals()
    rows = [result for row in read_rows(data) for result in predict(row, predictor)]
    known = left_out_rows() if data is None else {}
    for row in rows:
        if row["predicted"] is not None and row["quantity"] in factors:
            low, high = factors[row["quantity"]]
            row["interval_80"] = [row["predicted"] / low, row["predicted"] * low]
            row["interval_90"] = [row["predicted"] / high, row["predicted"] * high]
        for key, left in known.get((row["id"], row["quantity"]), {}).items():
            row[f"without_{key}_ratio"] = left
    summary: dict[str, Any] = {}
    for quantity in QUANTITIES:
        mine = [row for row in rows if row["quantity"] == quantity]
        if not mine:
            continue
        for row, ratio in zip(mine, one_constant(mine, "_efficiency", "_baseline"), strict=True):
            row["baseline_ratio"] = ratio
        summary[quantity] = summarise(mine) | {
            "baseline": summarise(mine, "baseline_ratio"),
            "by_chip": _by(mine, "chip"),
            "by_model": _by(mine, "model"),
            "by_stack": _by(mine, "stack"),
            "inside_80": _inside(mine, "interval_80"),
            "inside_90": _inside(mine, "interval_90"),
            "rank_by_group": _ranks_by_group(mine),
            "distribution": {
                kind: _distribution(mine, f"{kind}_ratio" if kind else "ratio")
                for kind in ("", "without_chip", "without_model", "baseline")
            },
        }
        if known:
            summary[quantity] |= {
                "without_chip": summarise(mine, "without_chip_ratio"),
                "without_model": summarise(mine, "without_model_ratio"),
            }
    ids = {row["id"]: row["skipped"] for row in rows if row["measured"] is not None}
    if data is None:
        summary["constants"] = len(serving_parameters())
    summary["measurements"] = len(ids)
    summary["predicted"] = sum(reason is None for reason in ids.values())
    public = [{key: value for key, value in row.items() if not key.startswith("_")} for row in rows]
    return {"rows": public, "summary": summary}


def _distribution(rows: Sequence[Mapping[str, Any]], key: str) -> list[list[float]]:
    """Return (absolute error in %, share of the rows with at most that) at a hundred shares; empty without ratios."""
    errors = [abs(row[key] - 1.0) for row in rows if row.get(key) is not None]
    if not errors:
        return []
    shares = np.linspace(0.0, 1.0, 101)
    return [[100.0 * float(e), float(share)] for e, share in zip(np.quantile(errors, shares), shares, strict=True)]


def _by(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, Any]:
    return summarise([{**row, "group": row[key] or "not predicted"} for row in rows])["by_group"]  # type: ignore[no-any-return]


def predict(row: Mapping[str, str], predictor: Predictor) -> list[dict[str, Any]]:
    """Return one result per measured quantity of a row, or one that says why there is none."""
    empty: dict[str, Any] = {
        "id": row["id"],
        "group": row["group"],
        "quantity": "",
        "measured": None,
        "predicted": None,
        "ratio": None,
        "baseline_ratio": None,
        "chip": row["accelerator"],
        "model": row["model"],
        "stack": "",
        "without_chip_ratio": None,
        "without_model_ratio": None,
        "interval_80": None,
        "interval_90": None,
        "skipped": None,
        "assumed": [],
        "note": "",
        "_efficiency": None,
        "_baseline": None,
    }
    values = measured(row)
    if not values:
        return [empty | {"skipped": row["flags"] or "the row holds no measurement that is compared"}]
    quantity = next(iter(values))
    try:
        case = read(row)
        found = predictor.predict(case)
    except UnreadableRowError as reason:
        return [empty | {"quantity": quantity, "measured": values[quantity], "skipped": str(reason)}]
    results = []
    for quantity, value in values.items():
        if quantity not in found:
            continue
        ratio = found[quantity] / value
        results.append(
            empty
            | {
                "quantity": quantity,
                "measured": value,
                "predicted": found[quantity],
                "ratio": ratio,
                "chip": case.chip.name,
                "model": case.model.name,
                "stack": case.stack,
                "assumed": list(case.assumed),
                "_efficiency": _floor(case, quantity) / value if quantity.endswith("_s") else value / _peak(case),
                "_baseline": (case.chip.name, case.precision.name),
            }
        )
    return results


def _floor(case: Case, quantity: str) -> float:
    """Return the roofline of the trivial baseline: weights and cache read once, or the prompt's FLOP at peak, s."""
    d = case.degrees
    count = parameters(case.model)
    if quantity == "ttft_s":
        peak = max(case.chip.flop_per_s.get(case.precision.linear, 0.0), case.chip.flop_per_s.get("bf16", 0.0), 1.0)
        return float(2.0 * count.active * case.prompt / (peak * d.accelerators))
    sequences = max(case.load, 1.0)
    seen = 1.0 - (1.0 - count.active / count.total) ** sequences
    weights = case.precision.expert_weight_bytes * count.total * seen
    kv = DTYPE_BYTES[case.precision.kv_cache] * sum(
        layer.attention.cached_width * n for layer, n in case.model.groups() if layer.attention.window is None
    )
    cache = sequences / d.workers * (case.prompt + case.output / 2) * kv
    return float((weights + cache) / (case.chip.memory_bytes_per_s * d.accelerators))


def _peak(case: Case) -> float:
    """Return the output rate of the trivial baseline: tokens at the dense peak, 1/s."""
    peak = max(case.chip.flop_per_s.get(case.precision.linear, 0.0), case.chip.flop_per_s.get("bf16", 0.0), 1.0)
    d = case.degrees
    per_output = 2.0 * parameters(case.model).active * (case.prompt + case.output) / max(case.output, 1.0)
    return float(peak * d.accelerators * d.workers / per_output)


def _table(name: str) -> list[dict[str, str]]:
    text = files("gigawatt.validation").joinpath("data", name).read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def left_out_rows() -> dict[tuple[str, str], dict[str, float]]:
    """Return predicted over measured of packaged rows under constants fitted without their chip, and their model."""
    return {
        (row["id"], row["quantity"]): {key: float(row[key]) for key in ("chip", "model")}
        for row in _table("serving_leave_one_out.csv")
    }


def intervals() -> dict[str, tuple[float, float]]:
    """Return by quantity the factors within which 80 and 90 % of predictions without their chip or model were right."""
    return {
        row["quantity"]: (float(row["factor_80"]), float(row["factor_90"])) for row in _table("serving_intervals.csv")
    }


def serving_parameters() -> tuple[Parameter, ...]:
    """Return the free constants of data/serving_fit_parameters.csv."""
    return tuple(
        Parameter(
            stack=row["stack"],
            constant=row["constant"],
            chip=row["chip"],
            prior=float(row["prior"]),
            sigma=float(row["sigma"]),
            share=row["scale"] == "share",
        )
        for row in _table("serving_fit_parameters.csv")
    )


def _inside(rows: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """Return the share of measurements inside their interval, None where there is none."""
    found = [row[key][0] <= row["measured"] <= row[key][1] for row in rows if row.get(key)]
    return sum(found) / len(found) if found else None


def _ranks_by_group(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return Spearman's rank correlation inside every group of at least five predictions."""
    found = {}
    for group in dict.fromkeys(row["group"] for row in rows):
        pairs = [(r["measured"], r["predicted"]) for r in rows if r["group"] == group and r["ratio"] is not None]
        if len(pairs) >= FEWEST_RANKED:
            found[group] = spearman([m for m, _ in pairs], [p for _, p in pairs])
    return found


def spearman(measured_values: Sequence[float], predicted: Sequence[float]) -> float:
    """Return Spearman's rank correlation of two columns (ties share their mean rank): 1 for fewer than two values, 0
    where one column is constant.
    """
    if len(measured_values) < 2:
        return 1.0
    ranks = [_ranks(np.asarray(values)) for values in (measured_values, predicted)]
    spread = [np.std(r) for r in ranks]
    if not all(spread):
        return 0.0
    return float(np.mean((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean())) / (spread[0] * spread[1]))


def _ranks(values: Any) -> Any:
    order, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    del order
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2.0)[inverse]
