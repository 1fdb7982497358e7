"""Reading the packaged tables of this room: rows as text, numbers as `Sourced` values in SI units."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from gigawatt.evidence import Grade, Sourced


@cache
def rows(name: str) -> tuple[Mapping[str, str], ...]:
    """Return the rows of data/`name`, values as text."""
    text = files("gigawatt.reliability").joinpath("data", name).read_text(encoding="utf-8")
    return tuple(csv.DictReader(io.StringIO(text)))


def sourced(row: Mapping[str, str], prefix: str, suffix: str, *, unit: str, factor: float, label: str) -> Sourced:
    """Return the columns `prefix` + low, best, high + `suffix` of a row, multiplied by `factor`."""
    low, best, high = (factor * float(row[f"{prefix}{end}{suffix}"]) for end in ("low", "best", "high"))
    return Sourced(
        low=low,
        best=best,
        high=high,
        unit=unit,
        grade=Grade(row["kind"]),
        source=row["source"],
        date=row["date"],
        label=label,
        note=row["notes"],
    )


def by_key(name: str) -> Mapping[str, Sourced]:
    """Return data/`name`, a table of key, label, low, best, high and unit in SI, as sourced numbers by key."""
    return {row["key"]: sourced(row, "", "", unit=row["unit"], factor=1.0, label=row["label"]) for row in rows(name)}


def at_end(value: Sourced, end: str) -> float:
    """Return a number at its "low", "best" or "high" end. Raises ValueError for another."""
    if end not in ("low", "best", "high"):
        raise ValueError(f"end must be low, best or high, not {end!r}")
    return float(getattr(value, end))
