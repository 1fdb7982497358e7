"""Chips shipped per quarter, as the packaged series estimates them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from gigawatt.catalog._tables import packaged_rows
from gigawatt.evidence import Grade, Sourced

_SOURCE = "Epoch AI, AI chip sales (CC BY), chip_supply_quarterly.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipQuarter:
    """Units of a chip that were sold in a quarter ("2024-Q1"): median with the 5th and 95th percentile of the estimate.

    `complete` is False where the series covers a part of the quarter only.
    """

    vendor: str
    chip: str
    quarter: str
    units: Sourced
    complete: bool


@lru_cache(maxsize=1)
def chip_supply() -> tuple[ChipQuarter, ...]:
    """Return chip_supply_quarterly.csv in its order."""
    return tuple(
        ChipQuarter(
            vendor=row["vendor"],
            chip=row["chip"],
            quarter=f"{row['start'][:4]}-Q{(int(row['start'][5:7]) + 2) // 3}",
            units=Sourced(
                low=float(row["units_p5"]),
                best=float(row["units_median"]),
                high=float(row["units_p95"]),
                grade=Grade.ESTIMATE,
                source=_SOURCE,
                date=row["end"],
                label=f"{row['chip']} sold",
            ),
            complete=not row["incomplete"],
        )
        for row in packaged_rows("chip_supply_quarterly.csv")
    )
