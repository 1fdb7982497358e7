"""What a chip costs to buy and to rent over time, from dated series, joined by straight lines of the logarithm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from typing import Any

import numpy as np

from gigawatt.buildout._calendar import Calendar, day_of
from gigawatt.buildout._ranges import Z95, Array, DatedRange, middles
from gigawatt.catalog import load_catalog
from gigawatt.evidence import Grade, Sourced

HOUR = 3_600.0
KINDS = ("purchase", "rental")
# chip of the chain -> how its yearly and rental facts and its listings are called in the catalogue
_CALLED = {
    "A100": ("A100", "A100_80GB", ("NVIDIA A100 SXM4 80 GB",)),
    "H100": ("H100", "H100", ("NVIDIA H100 SXM5 80GB",)),
    "H800": ("H100", "H100", ("NVIDIA H800 SXM5",)),
    "A800": ("A100", "A100_80GB", ("NVIDIA A800 PCIe",)),
    "H20": ("H20", "", ("NVIDIA HGX H20",)),
    "H200": ("", "H200", ("NVIDIA H200 SXM",)),
    "B200": ("GB200", "B200", ("NVIDIA B200",)),
    "B300": ("GB300", "", ()),
    "TPU v4": ("", "", ("Google TPU v4",)),
    "TPU v5e": ("", "TPU_v5e", ("Google TPU v5e",)),
    "TPU v5p": ("", "", ("Google TPU v5p",)),
    "TPU v6e": ("", "TPU_v6e", ("Google TPU v6e Trillium",)),
    "MI300X": ("", "", ("AMD Instinct MI300X",)),
    "MI300A": ("", "", ("AMD Instinct MI300A",)),
}
FEW = 3
_REACH = 0.25  # ends of a listing that stands alone: list prices of one day differ by as much


@dataclass(frozen=True, slots=True, kw_only=True)
class PricePath:
    """USD per chip (purchase), or per chip and second (rental), in every period, (P,): low, best, high.

    `outside` says for every period whether it lies before the first or after the last date of the series, where the
    price is held; `sources` are the numbers behind it.
    """

    chip: str
    kind: str
    low: Array
    best: Array
    high: Array
    outside: tuple[bool, ...]
    sources: tuple[Sourced, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "chip": self.chip,
            "kind": self.kind,
            "low": self.low.tolist(),
            "best": self.best.tolist(),
            "high": self.high.tolist(),
            "outside": list(self.outside),
        }


def price_path(chip: str, calendar: Calendar, kind: str = "purchase", as_of: date | None = None) -> PricePath:
    """Return what a chip costs in the middle of every period, from the facts and listings known by `as_of`.

    Raises ValueError for another kind and for a chip without a series.
    """
    series = price_series(chip, kind, as_of)
    at = middles(calendar)
    days = [calendar.first_day(i) for i in range(calendar.periods)]
    low, best, high = (series.at(at, z) for z in (-Z95, 0.0, Z95))
    return PricePath(
        chip=chip,
        kind=kind,
        low=low,
        best=best,
        high=high,
        outside=tuple(day < series.days[0] or day > series.days[-1] for day in days),
        sources=series.values,
    )


@lru_cache(maxsize=64)
def price_series(chip: str, kind: str = "purchase", as_of: date | None = None) -> DatedRange:
    """Return the dated prices of a chip: USD to buy one, USD per second to rent one.

    Yearly prices count for the middle of their year; listings of one month are joined to their median with the
    least and the most as ends. Facts and listings are not mixed. To buy, listings count only where no yearly price is
    known, as they are those of small buyers; to rent, where facts have fewer than FEW dates and listings more.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    yearly, rent, listed = _CALLED.get(chip, ("", "", ()))
    key = f"gpu_price.{yearly}" if kind == "purchase" else f"rental.{rent}"
    facts = load_catalog().facts.get(key, ()) if (yearly if kind == "purchase" else rent) else ()
    points = [(_middle(fact.date), fact) for fact in facts]
    if len(points) < (FEW if kind == "rental" else 1):
        points = max(points, _listings(listed, kind), key=len)
    points = [(day, value) for day, value in points if as_of is None or day_of(day) <= as_of]
    if not points:
        raise ValueError(f"no {kind} price of {chip!r} is known by {as_of or 'now'}; known: {', '.join(_CALLED)}")
    return DatedRange.of(points, logarithmic=True)


def _middle(text: str) -> str:
    return f"{text}-07-01" if len(text) == 4 else text


def _listings(names: Sequence[str], kind: str) -> list[tuple[str, Sourced]]:
    months: dict[str, list[dict[str, Any]]] = {}
    for row in load_catalog().listing("prices"):
        if row["chip"] in names and (row["basis"] == "purchase") == (kind == "purchase"):
            months.setdefault(str(row["date"])[:7], []).append(row)
    scale = 1.0 if kind == "purchase" else 1.0 / HOUR
    found = []
    for month, listed in months.items():
        usd = np.array([row["usd"] for row in listed]) * scale
        best = float(np.median(usd))
        value = Sourced(
            low=min(float(usd.min()), best * (1.0 - _REACH)),
            best=best,
            high=max(float(usd.max()), best * (1.0 + _REACH)),
            unit="USD" if kind == "purchase" else "USD/s",
            grade=Grade.STATED,
            source="; ".join(sorted({str(row["source"]) for row in listed if row["source"]})) or "Epoch AI (CC BY)",
            date=month,
        )
        found.append((month, replace(value, note=f"{len(listed)} listings")))
    return found
