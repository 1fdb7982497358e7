"""The supply chain as packaged data: lines of every chip as they were known on a day.

The share of packaging that a vendor holds is scaled by one constant per vendor so that the chain meets the quarters of
the packaged series in which packaging is reported to bind (`calibration`). Everything else is as the tables say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache

import numpy as np

from gigawatt.buildout._calendar import Calendar, day_of
from gigawatt.buildout._die import dies_per_wafer, sellable_yield
from gigawatt.buildout._ranges import DatedRange
from gigawatt.buildout._supply import StageUse, SupplyLine, monthly_supply
from gigawatt.buildout._supply_tables import at_key, catalogue_fact, known_by, rows, sourced
from gigawatt.catalog import ChipQuarter, chip_supply
from gigawatt.evidence import Grade, Sourced

POINTS = {"sale": ("board",), "delivery": ("board", "integration", "shipping")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What a vendor's share of packaging was multiplied by: the median of sold over chain of `quarters`, their range.

    `sold` are the units of those quarters in wafers' worth of packages, `chain` those that the chain gives unscaled.
    """

    vendor: str
    factor: float
    low: float
    high: float
    quarters: tuple[str, ...]
    sold: tuple[float, ...]
    chain: tuple[float, ...]


def chip_names() -> tuple[str, ...]:
    """Return the chips of the packaged chain."""
    return tuple(dict.fromkeys(row["chip"] for row in rows("supply_chips.csv")))


def vendor_of(chip: str) -> str:
    """Return who sells a chip. Raises ValueError for a chip that the chain does not know."""
    return next(iter(_facts(chip).values()))[0]


def chip_fact(chip: str, key: str) -> Sourced:
    """Return a number of a chip: dies, die_area_m2, memory_bytes, packages_per_wafer (sold, before the yield of
    assembly), harvest. Raises ValueError for an unknown chip or key.
    """
    facts = _facts(chip)
    if key not in facts:
        raise ValueError(f"{chip} has no {key!r}; it has {', '.join(facts)}")
    return facts[key][1]


def packages_of_wafer(chip: str) -> Sourced:
    """Return good packages of a wafer: those on it times the yield of assembly."""
    return _times(chip_fact(chip, "packages_per_wafer"), at_key("supply_market.csv")["assembly_yield"])


def dies_of_wafer(chip: str) -> Sourced:
    """Return chips' worth of sellable dies of a logic wafer, by die area, defects of the node and harvest."""
    area, dies = chip_fact(chip, "die_area_m2"), chip_fact(chip, "dies").best
    defects, harvest = catalogue_fact(f"defect_density.{node_of(chip)}"), chip_fact(chip, "harvest")

    def at(area_m2: float, density: float, saved: float) -> float:
        return float(dies_per_wafer(area_m2) * sellable_yield(area_m2, density, saved) / dies)

    return Sourced(
        low=at(area.high, defects.high, harvest.low),
        best=at(area.best, defects.best, harvest.best),
        high=at(area.low, defects.low, harvest.high),
        grade=Grade.DERIVED,
        source=f"models.md 13.1 and 13.2; {area.source}; {defects.source}; {harvest.source}",
        date=defects.date,
        label=f"{chip} of a wafer",
    )


def node_of(chip: str) -> str:
    """Return the class of the logic wafers of a chip: N7, N5 or N3."""
    return next(row["node"] for row in rows("supply_chips.csv") if row["chip"] == chip)


def stage_capacity(stage: str, as_of: date | None = None) -> DatedRange:
    """Return the capacity of a stage as known on a day. Raises ValueError where nothing was known."""
    return _dated("supply_capacity.csv", {"stage": stage}, as_of)


def stage_share(stage: str, vendor: str, as_of: date | None = None) -> DatedRange:
    """Return the share of a stage that a vendor holds, as known on a day. Raises ValueError where none was known."""
    return _dated("supply_shares.csv", {"stage": stage, "holder": vendor}, as_of, share=True)


def stage_makers(stage: str, day: str) -> Mapping[str, float]:
    """Return who runs a stage: maker -> share of its output at a date ("2024-06")."""
    found: dict[str, float] = {}
    for row in sorted(rows("supply_makers.csv"), key=lambda row: day_of(row["at"])):
        if row["stage"] == stage and (day_of(row["at"]) <= day_of(day) or row["maker"] not in found):
            found[row["maker"]] = sourced(row).best
    if not found:
        raise ValueError(f"no makers of {stage!r} are known")
    return found


def supply_line(
    chip: str,
    *,
    as_of: date | None = None,
    point: str = "delivery",
    whole_vendor: bool = False,
    calibrated: bool = True,
) -> SupplyLine:
    """Return the line of a chip from what was known on `as_of` (everything, without it), counted at its "sale" or its
    "delivery".

    `whole_vendor` gives the chip all the wafers of its vendor; else it has its part of them (`vendor_mix`). Raises
    ValueError for an unknown chip or point, and where nothing was known of a stage or share.
    """
    if point not in POINTS:
        raise ValueError(f"point must be one of {', '.join(POINTS)}, not {point!r}")
    vendor = vendor_of(chip)
    times = at_key("supply_times.csv", "step")
    uses = []
    for stage, chips in chips_of_stage(chip).items():
        share = stage_share(stage, vendor, as_of)
        if stage == "packaging" and calibrated:
            share = _scaled(share, calibration(vendor, as_of))
        mix = None if whole_vendor else vendor_mix(vendor, stage, as_of).get(chip)
        if mix is None and not whole_vendor:
            raise ValueError(f"nothing was known of the part of {vendor}'s wafers that is {chip}")
        uses.append(
            StageUse(
                stage=stage,
                capacity=stage_capacity(stage, as_of),
                share=share,
                mix=mix,
                chips_per_unit=chips,
                steps={name: times[name] for name in (*_before(stage), *POINTS[point])},
            )
        )
    return SupplyLine(chip=chip, vendor=vendor, uses=tuple(uses))


def chips_of_stage(chip: str) -> Mapping[str, Sourced]:
    """Return the chips that one unit of each stage makes: of a logic wafer, a byte of memory, a packaging wafer and a
    place in a server.
    """
    return {
        f"logic.{node_of(chip)}": dies_of_wafer(chip),
        "hbm": _inverse(chip_fact(chip, "memory_bytes")),
        "packaging": packages_of_wafer(chip),
        "integration": Sourced.exact(1.0, source="servers are counted by the chips in them"),
    }


def _before(stage: str) -> tuple[str, ...]:
    """Return the steps from the start of a stage to the tested package."""
    if stage == "integration":
        return ()
    return (stage, "packaging") if stage != "packaging" else ("packaging",)


def supply_lines(
    *, as_of: date | None = None, point: str = "delivery", vendors: Sequence[str] = ()
) -> tuple[SupplyLine, ...]:
    """Return the lines of all chips of which a share was known on `as_of`, of all vendors or of some."""
    lines = []
    for chip in chip_names():
        if vendors and vendor_of(chip) not in vendors:
            continue
        try:
            lines.append(supply_line(chip, as_of=as_of, point=point))
        except ValueError:  # nothing was known of it
            continue
    return tuple(lines)


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
    for row in rows("supply_shares.csv"):
        if row["stage"] == "mix" and row["holder"] in chips and known_by(row, as_of):
            points.setdefault(row["at"], dict.fromkeys(chips, none))[row["holder"]] = sourced(row)
    return points


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
    return Calibration(
        vendor=vendor,
        factor=float(np.median(ratios)),
        low=float(ratios.min()),
        high=float(ratios.max()),
        quarters=tuple(found),
        sold=tuple(found.values()),
        chain=chain,
    )


def wafers(chip: str, units: float) -> float:
    """Return the packaging wafers that units of a chip took at its best yield; 0 for a chip outside the chain."""
    return units / packages_of_wafer(chip).best if chip in chip_names() else 0.0


def _chain_wafers(vendor: str, quarter: str, as_of: date | None) -> float:
    times = at_key("supply_times.csv", "step")
    use = StageUse(
        stage="packaging",
        capacity=stage_capacity("packaging", as_of),
        share=stage_share("packaging", vendor, as_of),
        chips_per_unit=Sourced.exact(1.0, source="wafers are counted"),
        steps={name: times[name] for name in ("packaging", *POINTS["sale"])},
    )
    line = SupplyLine(chip="wafers", vendor=vendor, uses=(use,))
    return float(monthly_supply([line], Calendar(day_of(quarter), 3), samples=0)[0].best.sum())


def _series(vendor: str, as_of: date | None) -> list[ChipQuarter]:
    return [
        replace(row, chip=row.chip.removeprefix("Instinct "))
        for row in chip_supply()
        if row.vendor == vendor and (as_of is None or day_of(row.units.date) <= as_of)
    ]


@lru_cache(maxsize=64)
def _facts(chip: str) -> Mapping[str, tuple[str, Sourced]]:
    mine = [row for row in rows("supply_chips.csv") if row["chip"] == chip]
    if not mine:
        raise ValueError(f"the supply chain has no chip {chip!r}; it has {', '.join(chip_names())}")
    return {row["key"]: (row["vendor"], sourced(row, label=f"{chip}: {row['key']}")) for row in mine}


def _dated(table: str, where: Mapping[str, str], as_of: date | None, share: bool = False) -> DatedRange:
    mine = [row for row in rows(table) if all(row[k] == v for k, v in where.items()) and known_by(row, as_of)]
    if not mine:
        raise ValueError(f"{table} knows nothing of {' '.join(where.values())} by {as_of or 'now'}")
    mine.sort(key=lambda row: day_of(row["date"]))  # what was said later counts
    return DatedRange.of([(_end_of(row["at"]), sourced(row)) for row in mine], share=share)


def _end_of(at: str) -> str:
    """Return the day that a row of the tables speaks of: capacities are those of the end of their month."""
    first = day_of(at)
    return at if len(at) != 7 or "Q" in at else Calendar(first, 1).first_day(1).isoformat()


def _scaled(share: DatedRange, fit: Calibration | None) -> DatedRange:
    if fit is None:
        return share
    values = tuple(
        replace(
            value,
            low=min(value.best * fit.low, 1.0),
            best=min(value.best * fit.factor, 1.0),
            high=min(value.best * fit.high, 1.0),
            grade=Grade.DERIVED,
            note=f"times {fit.factor:.3f}, the median of sold over chain in {', '.join(fit.quarters)}",
        )
        for value in share.values
    )
    return replace(share, values=values)


def _times(a: Sourced, b: Sourced) -> Sourced:
    return Sourced(
        low=a.low * b.low,
        best=a.best * b.best,
        high=a.high * b.high,
        grade=Grade.DERIVED,
        source=f"{a.source}; {b.source}",
        date=a.date,
        label=a.label,
    )


def _inverse(a: Sourced) -> Sourced:
    return replace(a, low=1.0 / a.high, best=1.0 / a.best, high=1.0 / a.low, unit=f"1/{a.unit}")
