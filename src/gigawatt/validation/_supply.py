"""The supply chain against the quarters that followed a cutoff: `gigawatt validate supply`.

What is used: rows of the packaged series up to the cutoff, and capacities, shares and rules that were known by its last
day (the `date` of the rows in buildout/data). What is fitted: one constant per vendor on its quarters up to the cutoff
(`gigawatt.buildout.calibration`), the share of the parts made for an export rule, and the ramp of a new generation, each
on the quarters that the result names. No number is fitted to the quarters that are predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.buildout import Calendar, calibration, day_of, export_parts, market_facts, monthly_supply, supply_line
from gigawatt.catalog import chip_supply
from gigawatt.errors import InputError, Problem
from gigawatt.validation._statistics import summarise

Array = NDArray[np.float64]
SAMPLES, FEWEST, NEW_FOR, TREND = 2000, 2, 4, 4
# vendor -> a chip of the chain whose packages stand for all of the vendor's wafers, and the chips it stands for
_WHOLE = {
    "NVIDIA": ("H100", ("H100", "H20")),
    "Google": ("TPU v5e", ("TPU v5e", "TPU v5p")),
    "AMD": ("MI300X", ("Instinct MI300X", "Instinct MI300A")),
}
_REASONS = {
    "B200": "announced for 2024 without a quantity or a package; its wafers are read as those of H100",
    "TPU v6e": "announced in 2024-05, after the cutoff",
    "Instinct MI250X": "the series has no quarter of it before the cutoff, and it leaves no mark in what was announced",
    "Instinct MI300X": "the series has no quarter of it before the cutoff; predicted together with MI300A",
    "Instinct MI300A": "the series has no quarter of it before the cutoff; predicted together with MI300X",
    "Trainium1": "the series has no quarter of it before the cutoff, and no share of packaging was known",
    "Trainium2": "the series has no quarter of it before the cutoff, and no share of packaging was known",
}


@dataclass(frozen=True, slots=True)
class Quarterly:
    """Units per predicted quarter, (Q,): best, and by sample (S, Q)."""

    best: Array
    samples: Array

    def times(self, best: Array, samples: Array) -> Quarterly:
        """Return the units times a share, (Q,) and (S, Q)."""
        return Quarterly(self.best * best, self.samples * samples)


def backtest_supply(cutoff: str = "2023-Q4", *, seed: int = 0) -> dict[str, Any]:
    """Return the predictions of the quarters after `cutoff` beside what the series says of them.

    `rows`: id, group (vendor), chip, quarter, level ("chip", "family", "total"), measured with its 5th and 95th
    percentile, predicted with low and high, ratio, inside (measured within our interval), in_band (predicted within
    that of the series), last_quarter and trend (the baselines) with their ratios; `skipped` says why there is no
    prediction. `fitted`: the constants and the quarters they come from. `summary`: errors of all rows, of each level, and
    of the baselines on the same rows. Raises InputError for a cutoff without quarters to fit or to predict.
    """
    quarters = _quarters_after(cutoff)
    as_of = _last_day(cutoff)
    found: dict[str, dict[tuple[str, str], Quarterly]] = {}
    fitted: list[dict[str, Any]] = []
    for vendor in _WHOLE:
        try:
            found[vendor] = _predict(vendor, quarters, as_of, seed, fitted)
        except ValueError:  # no share was known
            continue
    rows = _rows(found, quarters, cutoff)
    return {"cutoff": cutoff, "quarters": list(quarters), "rows": rows, "fitted": fitted, "summary": _summary(rows)}


def _quarters_after(cutoff: str) -> tuple[str, ...]:
    known = sorted({row.quarter for row in chip_supply()})
    if cutoff not in known[:-1] or not _enough(cutoff):
        usable = [quarter for quarter in known[:-1] if _enough(quarter)]
        message = "a cutoff is a quarter with enough known before it and quarters of the series after it"
        raise InputError(Problem(message=message, path="cutoff", found=repr(cutoff), allowed=", ".join(usable)))
    return tuple(quarter for quarter in known if quarter > cutoff)


def _enough(cutoff: str) -> bool:
    """Return whether every stage of H100 was known by the end of a quarter, and FEWEST quarters to fit to."""
    try:
        supply_line("H100", as_of=_last_day(cutoff), whole_vendor=True)
    except ValueError:
        return False
    fit = calibration("NVIDIA", _last_day(cutoff))
    return fit is not None and len(fit.quarters) >= FEWEST


def _last_day(quarter: str) -> date:
    return date.fromordinal(Calendar(day_of(quarter), 3).first_day(3).toordinal() - 1)


def _predict(
    vendor: str, quarters: Sequence[str], as_of: date, seed: int, fitted: list[dict[str, Any]]
) -> dict[tuple[str, str], Quarterly]:
    """Return (level, chip) -> units of a vendor, and add to `fitted` what its constants are and come from."""
    name, chips = _WHOLE[vendor]
    line = supply_line(name, as_of=as_of, point="sale", whole_vendor=True)
    calendar = Calendar(day_of(quarters[0]), 3 * len(quarters))
    supply = monthly_supply([line], calendar, samples=SAMPLES, seed=seed)[0]
    total = Quarterly(supply.best.reshape(-1, 3).sum(axis=1), supply.samples.reshape(SAMPLES, -1, 3).sum(axis=2))
    fit = calibration(vendor, as_of)
    if fit is not None:
        fitted.append(
            _constant(f"{vendor}: share of packaging over its announced share", fit.factor, fit.low, fit.high)
        )
        fitted[-1]["quarters"] = list(fit.quarters)
    if vendor == "AMD":
        return {("family", "MI300X + MI300A"): total}
    found = {("total", "total"): total}
    if vendor == "NVIDIA":
        found[("family", "H100 + H20")] = total
    try:
        part, constant = (
            _export_share(quarters, as_of, seed)
            if vendor == "NVIDIA"
            else _new_share(vendor, chips[1], quarters, as_of, seed)
        )
    except ValueError:  # the total alone is predicted
        return found
    fitted.append(constant | {"binding": sorted(set(supply.binding))})
    found[("chip", chips[0])] = total.times(1.0 - part.best, 1.0 - part.samples)
    found[("chip", chips[1])] = total.times(part.best, part.samples)
    return found


def _export_share(quarters: Sequence[str], as_of: date, seed: int) -> tuple[Quarterly, dict[str, Any]]:
    """Return the share of NVIDIA's units made for the regions of export rules: that of the quarters up to the cutoff in
    which such parts were sold all along.
    """
    parts, changes = export_parts()
    sold = _units("NVIDIA", as_of)
    shares = {
        quarter: sum(units for chip, units in chips.items() if chip in parts) / sum(chips.values())
        for quarter, chips in sold.items()
        if day_of(quarter) > changes[0] and not any(day_of(quarter) <= day <= _last_day(quarter) for day in changes)
    }
    if not shares:
        raise ValueError("no quarter in which parts for export were sold all along")
    values = list(shares.values())
    low, best, high = min(values), float(np.median(values)), max(values)
    constant = _constant("NVIDIA: share of the parts made for export rules", best, low, high)
    return _uniform(np.full(len(quarters), best), low / best, high / best, seed), constant | {"quarters": list(shares)}


def _new_share(
    vendor: str, chip: str, quarters: Sequence[str], as_of: date, seed: int
) -> tuple[Quarterly, dict[str, Any]]:
    """Return the share of a vendor's units that a new chip beside the old one takes: `complement_share` times the ramp
    that earlier generations had, counted from its first quarter.
    """
    ramp, used = _ramp(as_of)
    first = next((quarter for quarter, chips in _units(vendor, as_of).items() if chip in chips), quarters[0])
    age = [_index(quarter) - _index(first) for quarter in quarters]
    if age[0] > NEW_FOR:
        raise ValueError(f"{chip} is no longer new")
    level = market_facts()["complement_share"]
    curve = np.array([ramp[min(n, len(ramp) - 1)] for n in age])
    constant = _constant(f"{vendor}: share of {chip} once ramped (estimate)", level.best, level.low, level.high)
    share = _uniform(level.best * curve, level.low / level.best, level.high / level.best, seed)
    return share, constant | {"quarters": used, "ramp": ramp}


def _ramp(as_of: date) -> tuple[list[float], list[str]]:
    """Return the share of its vendor's units that a generation has n quarters after its first: the mean of Hopper (H100
    and H800) and TPU v5e as far as they are known.
    """
    curves, used = [], []
    for vendor, chips in (("NVIDIA", ("H100", "H800")), ("Google", ("TPU v5e",))):
        sold = _units(vendor, as_of, complete=False)
        curve = [sum(units.get(c, 0.0) for c in chips) / sum(units.values()) for units in sold.values()]
        first = next(i for i, share in enumerate(curve) if share > 0.0)
        curves.append(curve[first:])
        used.append(f"{chips[0]} from {list(sold)[first]}")
    longest = max(map(len, curves))
    return [float(np.mean([c[n] for c in curves if n < len(c)])) for n in range(longest)], used


def _uniform(best: Array, low: float, high: float, seed: int) -> Quarterly:
    """Return shares that lie anywhere between low and high times the best, the same place in all quarters."""
    place = np.random.default_rng([seed, 1]).uniform(low, high, SAMPLES)[:, None]
    return Quarterly(best, np.clip(best * place, 0.0, 1.0))


def _constant(name: str, best: float, low: float, high: float) -> dict[str, Any]:
    return {"constant": name, "best": best, "low": low, "high": high}


@lru_cache(maxsize=32)
def _units(vendor: str, as_of: date | None = None, complete: bool = True) -> Mapping[str, Mapping[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for row in chip_supply():
        if row.vendor == vendor and (row.complete or not complete) and (not as_of or _last_day(row.quarter) <= as_of):
            found.setdefault(row.quarter, {})[row.chip] = row.units.best
    return found


def _index(quarter: str) -> int:
    return int(quarter[:4]) * 4 + int(quarter[-1])


def _rows(
    found: Mapping[str, Mapping[tuple[str, str], Quarterly]], quarters: Sequence[str], cutoff: str
) -> list[dict[str, Any]]:
    rows = []
    for vendor in dict.fromkeys(row.vendor for row in chip_supply()):
        mine = [row for row in chip_supply() if row.vendor == vendor and row.quarter in quarters]
        predicted = found.get(vendor, {})
        sold = tuple(dict.fromkeys(row.chip for row in mine))
        groups: list[tuple[str, str, tuple[str, ...]]] = [("chip", chip, (chip,)) for chip in sold]
        for level, name in predicted:
            if level != "chip":
                groups.append((level, name, sold if level == "total" else _WHOLE[vendor][1]))
        for level, name, chips in groups:
            rows += _group_rows(vendor, level, name, chips, predicted.get((level, name)), quarters, cutoff)
    return rows


def _group_rows(
    vendor: str,
    level: str,
    name: str,
    chips: Sequence[str],
    prediction: Quarterly | None,
    quarters: Sequence[str],
    cutoff: str,
) -> list[dict[str, Any]]:
    history = [
        sum(units.get(chip, 0.0) for chip in chips) for quarter, units in _units(vendor).items() if quarter <= cutoff
    ]
    last, trend = _baselines(history, len(quarters))
    rows = []
    for i, quarter in enumerate(quarters):
        mine = [r.units for r in chip_supply() if r.vendor == vendor and r.quarter == quarter and r.chip in chips]
        if not mine:
            continue
        measured = sum(units.best for units in mine)
        low, high = sum(units.low for units in mine), sum(units.high for units in mine)
        row: dict[str, Any] = {"id": f"{vendor} {name} {quarter}", "group": vendor, "chip": name, "quarter": quarter}
        row |= {"level": level, "measured": measured, "measured_low": low, "measured_high": high}
        row |= {"last_quarter": last, "trend": None if trend is None else trend[i]}
        row |= {f"{key}_ratio": None if row[key] is None else row[key] / measured for key in ("last_quarter", "trend")}
        rows.append(row | _predicted(prediction, i, row, name))
    return rows


def _predicted(prediction: Quarterly | None, i: int, row: Mapping[str, Any], chip: str) -> dict[str, Any]:
    if prediction is None:
        reason = _REASONS.get(chip, "nothing was known of it by the cutoff")
        nothing = dict.fromkeys(("predicted", "low", "high", "ratio", "inside", "in_band"))
        return nothing | {"skipped": reason}
    best = float(prediction.best[i])
    low, high = (float(value) for value in np.percentile(prediction.samples[:, i], (5, 95)))
    low, high = min(low, best), max(high, best)
    return {
        "predicted": best,
        "low": low,
        "high": high,
        "ratio": best / row["measured"],
        "inside": low <= row["measured"] <= high,
        "in_band": row["measured_low"] <= best <= row["measured_high"],
        "skipped": None,
    }


def _baselines(history: Sequence[float], count: int) -> tuple[float | None, list[float] | None]:
    """Return the last quarter, repeated, and the log-linear trend through the last four quarters with sales."""
    sold = [units for units in history if units > 0.0][-TREND:]
    last = sold[-1] if sold and history[-1] > 0.0 else None
    if len(sold) < 3 or last is None:
        return last, None
    slope, level = np.polyfit(np.arange(len(sold)), np.log(sold), 1)
    return last, [float(np.exp(level + slope * (len(sold) + i))) for i in range(count)]


def _summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    done = [row for row in rows if row["ratio"] is not None]

    def part(name: str, chosen: Sequence[Mapping[str, Any]]) -> float | None:
        return float(np.mean([row[name] for row in chosen])) if chosen else None

    found = summarise(rows) | {"inside_share": part("inside", done), "in_band_share": part("in_band", done)}
    found["by_level"] = {
        level: summarise(mine) | {"inside_share": part("inside", mine), "in_band_share": part("in_band", mine)}
        for level in ("chip", "family", "total")
        if (mine := [row for row in done if row["level"] == level])
    }
    for key in ("last_quarter", "trend"):
        same = [row for row in done if row[f"{key}_ratio"] is not None]
        found[key] = summarise(same, f"{key}_ratio")
        found[f"{key}_rows"] = summarise(same)  # the chain on the rows that this baseline has
    return found
