"""Residuals: how far predictions are from measurements, overall and by group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


def summarise(rows: Sequence[Mapping[str, Any]], ratio: str = "ratio") -> dict[str, Any]:
    """Return n, median and 90th percentile of |ratio - 1|, and bias (median of ratio - 1), in per cent; by group as
    well.

    Rows whose `ratio` is None count as skipped. Groups keep their first-seen order; figures are None where nothing
    was predicted.
    """
    groups = dict.fromkeys(row["group"] for row in rows)
    return _figures(rows, ratio) | {
        "by_group": {name: _figures([row for row in rows if row["group"] == name], ratio) for name in groups}
    }


def _figures(rows: Sequence[Mapping[str, Any]], ratio: str) -> dict[str, Any]:
    errors = np.array([row[ratio] for row in rows if row[ratio] is not None], dtype=np.float64) - 1.0
    if not len(errors):
        return {"n": 0, "skipped": len(rows), "median_abs_error_pct": None, "p90_abs_error_pct": None, "bias_pct": None}
    return {
        "n": len(errors),
        "skipped": len(rows) - len(errors),
        "median_abs_error_pct": float(np.median(np.abs(errors)) * 100),
        "p90_abs_error_pct": float(np.percentile(np.abs(errors), 90) * 100),
        "bias_pct": float(np.median(errors) * 100),
    }


def one_constant(rows: Sequence[Mapping[str, Any]], rate: str, key: str) -> list[float | None]:
    """Return ratios of the trivial baseline: every row at the median utilisation (`rate`) of all rows with its `key`.

    A model that does not clearly beat it has shown nothing. The constant is fitted on the very rows that it is judged
    on.
    """
    medians = {
        name: float(np.median([row[rate] for row in rows if row[key] == name and row[rate] is not None] or [np.nan]))
        for name in {row[key] for row in rows}
    }
    return [None if row[rate] is None else medians[row[key]] / row[rate] for row in rows]


def constant_elsewhere(
    rows: Sequence[Mapping[str, Any]], known: Sequence[Mapping[str, Any]], rate: str, key: str
) -> list[float | None]:
    """Return ratios of the baseline out of sample: every row at the median utilisation of the `known` rows of other
    groups with its `key` (accelerator, precision), else with its accelerator, else of all of them.
    """
    levels: tuple[Callable[[Mapping[str, Any]], Any], ...] = (
        lambda row: row[key],
        lambda row: row[key][0],
        lambda _: None,
    )
    found: dict[tuple[str, int, Any], float] = {}

    def constant(row: Mapping[str, Any]) -> float:
        for level, name in enumerate(levels):
            at = (row["group"], level, name(row))
            if at not in found:
                others = [k[rate] for k in known if k["group"] != at[0] and k[rate] is not None and name(k) == at[2]]
                found[at] = float(np.median(others)) if others else np.nan
            if np.isfinite(found[at]):
                return found[at]
        return np.nan

    return [None if row[rate] is None else constant(row) / row[rate] for row in rows]


def ranking(rows: Sequence[Mapping[str, Any]], group: str) -> dict[str, Any]:
    """Return how well the strategies of a sweep are ranked: Kendall's tau-b of predicted and measured rates, and how
    far the strategy that is predicted best is below the one measured best.

    `rows` are those of `validate_training`. Raises KeyError for a group without two predicted rows.
    """
    pairs = [(row["measured"], row["predicted"]) for row in rows if row["group"] == group and row["ratio"] is not None]
    if len(pairs) < 2:
        raise KeyError(group)
    agree = tied_measured = tied_predicted = 0
    count = len(pairs) * (len(pairs) - 1) // 2
    for i, (m, p) in enumerate(pairs):
        for other_m, other_p in pairs[i + 1 :]:
            product = (m - other_m) * (p - other_p)
            agree += (product > 0) - (product < 0)
            tied_measured += m == other_m
            tied_predicted += p == other_p
    scale = ((count - tied_measured) * (count - tied_predicted)) ** 0.5
    best = max(measured for measured, _ in pairs)
    picked = max(pairs, key=lambda pair: pair[1])[0]
    return {
        "group": group,
        "rows": len(pairs),
        "kendall": agree / scale if scale else 0.0,
        "picked_below_best": 1.0 - picked / best,
    }
