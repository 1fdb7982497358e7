"""What a vendor makes of its share: the mix of its chips, and the constant that meets the packaged series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache

import numpy as np

from gigawatt.buildout._calendar import Calendar, day_of
from gigawatt.buildout._ranges import Array, DatedRange
from gigawatt.buildout._stages import chip_names, chips_of_stage, stage_capacity, stage_share, vendor_of, wafers
from gigawatt.buildout._supply import StageUse, SupplyLine, monthly_supply
from gigawatt.buildout._supply_tables import at_key, known_by, rows, sourced
from gigawatt.catalog import ChipQuarter, chip_supply
from gigawatt.evidence import Sourced

# 95th percentile of Student's t for 1, 2, 3 ... degrees of freedom, and of very many
STUDENT_T = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.645)
LONE_REACH = 2.0  # an estimate of this project
SOLD = ("packaging", "board")  # the steps from the start of packaging to the sale, which the series counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What a vendor's share of packaging was multiplied by: the median of sold over chain of `quarters`.

    `low` and `high` bound a further quarter with 90 % certainty: Student's t on the logarithms of the ratios.
    `sold` are the units of those quarters in wafers' worth of packages, `chain` those that the chain gives unscaled.
    """

    vendor: str
    factor: float
    low: float
    high: float
    quarters: tuple[str, ...]
    sold: tuple[float, ...]
    chain: tuple[float, ...]


@lru_cache(maxsize=256)
def vendor_mix(vendor: str, stage: str = "packaging", as_of: date | None = None) -> Mapping[str, DatedRange]:
    """Return the part of a vendor's share of a stage that goes into each chip, summing to 1 (best values) at every
    quarter of the series.

    Packaging wafers are divided as in the quarters of the packaged series, later as announced in supply_shares.csv.
    The other stages are divided as those packages need them, so that no chip lacks what another has to spare.
    """
    points = _wafer_mix(vendor, as_of)
    found: dict[str, list[tuple[str, Sourced]]] = {}
    for day, parts in points.items():
        per_unit = {chip: chips_of_stage(chip) for chip in parts}
        need = {
            chip: part.best * per_unit[chip]["packaging"].best / per_unit[chip][stage].best
            for chip, part in parts.items()
            if stage in per_unit[chip]
        }
        total = sum(need.values())
        for chip, amount in need.items():
            part, share = parts[chip], amount / total if total > 0.0 else 0.0
            scale = share / part.best if part.best > 0.0 else 1.0
            low, high = part.low * scale, min(part.high * scale, 1.0)
            value = replace(part, low=min(low, share), best=share, high=max(high, share))
            found.setdefault(chip, []).append((day, value))
    kept = {chip: values for chip, values in found.items() if any(value.high > 0.0 for _, value in values)}
    return {chip: DatedRange.of(values, share=True) for chip, values in kept.items()}


@lru_cache(maxsize=64)
def calibration(vendor: str, as_of: date | None = None) -> Calibration | None:
    """Return the constant of a vendor's share of packaging, fitted to the complete quarters that ended by `as_of` in
    which packaging is reported to bind; None where there are none.
    """
    report = next(row for row in rows("supply_reports.csv") if row["stage"] == "packaging")
    found: dict[str, float] = {}
    for row in _series(vendor, as_of):
        if row.complete and day_of(row.quarter) >= day_of(report["begin"]):
            found[row.quarter] = found.get(row.quarter, 0.0) + wafers(row.chip, row.units.best)
    if not found:
        return None
    chain = tuple(_chain_wafers(vendor, quarter, as_of) for quarter in found)
    ratios = np.array(list(found.values())) / np.array(chain)
    reach = _reach(np.log(ratios))
    return Calibration(
        vendor=vendor,
        factor=float(np.median(ratios)),
        low=float(np.median(ratios) / reach),
        high=float(np.median(ratios) * reach),
        quarters=tuple(found),
        sold=tuple(found.values()),
        chain=chain,
    )


def _reach(logs: Array) -> float:
    """Return the factor within which a further value lies with 90 % certainty; LONE_REACH where there is one value."""
    n = len(logs)
    if n < 2:
        return LONE_REACH
    return float(np.exp(STUDENT_T[min(n - 2, len(STUDENT_T) - 1)] * np.std(logs, ddof=1) * np.sqrt(1.0 + 1.0 / n)))


def _wafer_mix(vendor: str, as_of: date | None) -> Mapping[str, Mapping[str, Sourced]]:
    """Return day -> chip -> part of the vendor's packaging wafers; a chip that a day does not name has none."""
    none = Sourced.exact(0.0, source="not among the vendor's chips of that time")
    chips = [chip for chip in chip_names() if vendor_of(chip) == vendor]
    quarters: dict[str, dict[str, float]] = {}
    for row in _series(vendor, as_of):
        quarters.setdefault(row.quarter, {})[row.chip] = wafers(row.chip, row.units.best)
    points: dict[str, dict[str, Sourced]] = {}
    source = "units of the quarter over packages of a wafer"
    for quarter, parts in quarters.items():
        total = sum(parts.values())
        if total > 0.0:  # else it holds chips outside the chain only
            middle = f"{quarter[:4]}-{3 * int(quarter[-1]) - 1:02d}-15"
            points[middle] = {
                chip: Sourced.exact(parts.get(chip, 0.0) / total, source=source, date=quarter) for chip in chips
            }
    for said in rows("supply_shares.csv"):
        if said["stage"] == "mix" and said["holder"] in chips and known_by(said, as_of):
            points.setdefault(said["at"], dict.fromkeys(chips, none))[said["holder"]] = sourced(said)
    return points


def _chain_wafers(vendor: str, quarter: str, as_of: date | None) -> float:
    times = at_key("supply_times.csv", "step")
    use = StageUse(
        stage="packaging",
        capacity=stage_capacity("packaging", as_of),
        share=stage_share("packaging", vendor, as_of),
        chips_per_unit=Sourced.exact(1.0, source="wafers are counted"),
        steps={name: times[name] for name in SOLD},
    )
    line = SupplyLine(chip="wafers", vendor=vendor, uses=(use,))
    return float(monthly_supply([line], Calendar(day_of(quarter), 3), samples=0)[0].best.sum())


def _series(vendor: str, as_of: date | None) -> list[ChipQuarter]:
    return [
        replace(row, chip=row.chip.removeprefix("Instinct "))
        for row in chip_supply()
        if row.vendor == vendor and (as_of is None or day_of(row.units.date) <= as_of)
    ]
