"""Reading the packaged tables: rows as plain text, numbers as `Sourced` values in SI units."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files

from gigawatt.errors import InputError, Problem
from gigawatt.evidence import Grade, Sourced

Row = Mapping[str, str]


@cache
def packaged_rows(name: str) -> tuple[dict[str, str], ...]:
    """Return the rows of a packaged CSV file, values as text, an empty cell as ""."""
    text = files("gigawatt.catalog").joinpath("data", *name.split("/")).read_text(encoding="utf-8")
    return tuple(csv.DictReader(io.StringIO(text)))


@lru_cache(maxsize=1)
def si_units() -> Mapping[str, tuple[str, float]]:
    """Return the table of units.csv: unit as written -> (SI unit symbol, factor)."""
    return {row["unit"]: (row["si_unit"], float(row["factor"])) for row in packaged_rows("units.csv")}


@lru_cache(maxsize=1)
def range_rules() -> Mapping[str, str]:
    """Return how the default range of a unit is bounded: "share" (never past 1), "none" (a date has no range), "" (free)."""
    return {row["unit"]: row["range"] for row in packaged_rows("units.csv")}


@lru_cache(maxsize=1)
def grade_rules() -> Mapping[str, tuple[Grade, float]]:
    """Return the table of grade_ranges.csv: kind of evidence -> (grade, relative range where the source gives none)."""
    return {
        row["kind"]: (Grade(row["grade"]), float(row["relative_range"])) for row in packaged_rows("grade_ranges.csv")
    }


def number(text: str, place: str, column: str) -> float | None:
    """Return a cell as a finite float, None where it is empty. Raises InputError with the place where it is no
    number.
    """
    if text.strip() == "":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            Problem(message="not a number", location=place, path=column, found=repr(text), allowed="a finite number")
        )
    return value


def sourced(
    best: float | None,
    *,
    low: float | None = None,
    high: float | None = None,
    kind: str,
    unit: str,
    factor: float = 1.0,
    source: str,
    date: str = "",
    label: str = "",
    note: str = "",
    rule: str = "",
) -> Sourced | None:
    """Return the number in SI units, or None where all of best, low and high are absent.

    A missing best is the geometric mean of low and high; a missing end takes the relative range of its kind of
    evidence (grade_ranges.csv), bounded by `rule` (see `range_rules`). Raises InputError unless low <= best <= high.
    """
    grade, relative = grade_rules()[kind]
    if best is None:
        if low is None or high is None:
            best = low if low is not None else high
        else:
            best = math.sqrt(low * high) if low > 0 else (low + high) / 2
    if best is None:
        return None
    spread = 0.0 if rule == "none" else abs(best) * relative
    ceiling = 1.0 if rule == "share" and best <= 1.0 else math.inf
    low = best - spread if low is None else low
    high = min(best + spread, ceiling) if high is None else high
    if not low <= best <= high:
        message = "the range of a number must hold its best value"
        raise InputError(
            Problem(
                message=message, path=label, found=f"low {low}, best {best}, high {high}", allowed="low <= best <= high"
            )
        )
    return Sourced(
        best=best * factor,
        low=low * factor,
        high=high * factor,
        unit=unit,
        grade=grade,
        source=source,
        date=date,
        label=label,
        note=note if kind != "unverified" else "; ".join(filter(None, ("recalled, no located source", note))),
    )
