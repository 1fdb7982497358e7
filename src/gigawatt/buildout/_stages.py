"""The stages of the supply chain as packaged data: capacities, shares, and what one unit of a stage makes of a chip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from functools import lru_cache

from gigawatt.buildout._calendar import Calendar, day_of
from gigawatt.buildout._die import dies_per_wafer, sellable_yield
from gigawatt.buildout._ranges import DatedRange
from gigawatt.buildout._supply_tables import at_key, catalogue_fact, known_by, rows, sourced
from gigawatt.evidence import Grade, Sourced


def chip_names() -> tuple[str, ...]:
    """Return the chips of the packaged chain."""
    return tuple(dict.fromkeys(row["chip"] for row in rows("supply_chips.csv")))


def vendor_of(chip: str) -> str:
    """Return who sells a chip. Raises ValueError for a chip that the chain does not know."""
    return next(iter(_facts(chip).values()))[0]


def node_of(chip: str) -> str:
    """Return the class of the logic wafers of a chip: N7, N5 or N3."""
    return next(row["node"] for row in rows("supply_chips.csv") if row["chip"] == chip)


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


def wafers(chip: str, units: float) -> float:
    """Return the packaging wafers that units of a chip took at its best yield; 0 for a chip outside the chain."""
    return units / packages_of_wafer(chip).best if chip in chip_names() else 0.0


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
