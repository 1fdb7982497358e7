"""The supply chain as packaged data: lines of every chip as they were known on a day.

The share of packaging that a vendor holds is scaled by one constant per vendor so that the chain meets the quarters of
the packaged series in which packaging is reported to bind (`calibration`). Everything else is as the tables say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from gigawatt.buildout._ranges import DatedRange
from gigawatt.buildout._stages import chip_names, chips_of_stage, stage_capacity, stage_share, vendor_of
from gigawatt.buildout._supply import StageUse, SupplyLine
from gigawatt.buildout._supply_tables import at_key
from gigawatt.buildout._vendors import Calibration, calibration, vendor_mix
from gigawatt.evidence import Grade

POINTS = {"sale": ("board",), "delivery": ("board", "integration", "shipping")}


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


def _before(stage: str) -> tuple[str, ...]:
    """Return the steps from the start of a stage to the tested package."""
    if stage == "integration":
        return ()
    return (stage, "packaging") if stage != "packaging" else ("packaging",)


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
