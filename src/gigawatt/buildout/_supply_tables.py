"""Reading the tables of the supply chain in data/: numbers in SI units, dated, each with the day it became known.

A row either carries low, best and high, or names a fact of the catalogue ("cowos.capacity@2023-12") that holds them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files

from gigawatt.buildout._calendar import day_of
from gigawatt.catalog import load_catalog
from gigawatt.evidence import Grade, Sourced

MONTH, WEEK = 2_629_800.0, 604_800.0
_SI = {
    "": ("", 1.0),
    "s": ("s", 1.0),
    "B": ("B", 1.0),
    "m2": ("m2", 1.0),
    "1/cm2": ("1/m2", 1e4),
    "days": ("s", WEEK / 7.0),
    "weeks": ("s", WEEK),
    "months": ("s", MONTH),
    "wafers/month": ("1/s", 1.0 / MONTH),
    "chips/month": ("1/s", 1.0 / MONTH),
    "GB/month": ("B/s", 1e9 / MONTH),
    "USD per wafer/month": ("USD s", MONTH),
    "USD per chip/month": ("USD s", MONTH),
    "USD per GB/month": ("USD s/B", MONTH / 1e9),
}


@cache
def rows(name: str) -> tuple[Mapping[str, str], ...]:
    """Return the rows of data/`name`, values as text."""
    text = files("gigawatt.buildout").joinpath("data", name).read_text(encoding="utf-8")
    return tuple(csv.DictReader(io.StringIO(text)))


def catalogue_fact(reference: str) -> Sourced:
    """Return the fact "key" (its latest row) or "key@date" (the row of that date). Raises ValueError where none is."""
    key, _, when = reference.partition("@")
    found = [fact for fact in load_catalog().facts.get(key, ()) if not when or fact.date == when]
    if not found:
        raise ValueError(f"the catalogue has no fact {reference!r}")
    return found[-1]


def sourced(row: Mapping[str, str], *, label: str = "", grade: str = "kind") -> Sourced:
    """Return the number of a row in SI units."""
    if row["fact"]:
        return catalogue_fact(row["fact"])
    unit, factor = _SI[row["unit"]]
    low, best, high = (factor * float(row[end]) for end in ("low", "best", "high"))
    return Sourced(
        low=low,
        best=best,
        high=high,
        unit=unit,
        grade=Grade(row[grade]),
        source=row["source"],
        date=row["date"],
        label=label,
        note=row["notes"],
    )


def known_by(row: Mapping[str, str], as_of: date | None) -> bool:
    """Return whether a row was known on the day `as_of`; every row is where no day is given."""
    return as_of is None or day_of(row["date"]) <= as_of


def at_key(name: str, column: str = "key") -> Mapping[str, Sourced]:
    """Return a table of one row per key as sourced numbers."""
    return {row[column]: sourced(row, label=row.get("label", row[column])) for row in rows(name)}
