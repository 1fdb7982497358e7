"""Chips per month from a supply chain: the least of what its stages let through (models.md 14.7).

A line is one chip of one vendor. Each of its stages has a capacity over time in its own units (wafers, bytes of
memory, servers), the share of it that the vendor holds, the chips that one unit makes, and the time from there to the
point where the chip is counted. Stages keep no stock: what one of them could have made in a month and another could
not take is lost.

Shapes: S = samples, P = periods. Rates are per second inside; supplies are units per period.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gigawatt.buildout._calendar import Calendar
from gigawatt.buildout._ranges import Array, DatedRange, deviates, draw, middles
from gigawatt.evidence import Sourced

SAMPLES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class StageUse:
    """What a line gets from one stage.

    `capacity` is in units of the stage per second, `share` the part that the vendor holds, `mix` the part of the
    vendor's that goes into this chip (all of it where None), `chips_per_unit` the chips that sell from one unit,
    `steps` the durations from the start of this stage to the counting point, by name.
    """

    stage: str
    capacity: DatedRange
    share: DatedRange
    chips_per_unit: Sourced
    steps: Mapping[str, Sourced]
    mix: DatedRange | None = None

    @property
    def lead_s(self) -> float:
        """The best time from the start of this stage to the counting point."""
        return sum(step.best for step in self.steps.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplyLine:
    """One chip of a vendor and its stages, first to last. Raises ValueError for no stages or one named twice."""

    chip: str
    vendor: str
    uses: tuple[StageUse, ...]

    def __post_init__(self) -> None:
        names = [use.stage for use in self.uses]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"a supply line needs stages, each once: {self.chip} has {names}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipSupply:
    """Units of a chip per period, (P,): best, and the 5th and 95th percentile of `samples` (S, P).

    `stages` says what every stage alone would let through, (P,), `stage_samples` the same by sample, (S, P), `binding`
    the stage that is least in each period, `binding_share` (stages, P) the share of samples in which each is, `lead_s`
    the best time from the start of each stage to the counting point.
    """

    chip: str
    vendor: str
    calendar: Calendar
    best: Array
    low: Array
    high: Array
    samples: Array
    stages: Mapping[str, Array]
    stage_samples: Mapping[str, Array] = field(repr=False)
    binding: tuple[str, ...]
    binding_share: Mapping[str, Array] = field(repr=False)
    lead_s: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "chip": self.chip,
            "vendor": self.vendor,
            "calendar": self.calendar.to_dict(),
            "best": self.best.tolist(),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "stages": {name: units.tolist() for name, units in self.stages.items()},
            "binding": list(self.binding),
            "binding_share": {name: share.tolist() for name, share in self.binding_share.items()},
        }


def monthly_supply(
    lines: Sequence[SupplyLine], calendar: Calendar, *, samples: int = SAMPLES, seed: int = 0
) -> tuple[ChipSupply, ...]:
    """Return the supply of every line: the least over its stages of capacity x share x mix x chips per unit.

    Capacity and share are those of the time when the stage began its work. The same stage, share and step is drawn
    alike for all lines. Raises ValueError for a negative number of samples or a chip given twice.
    """
    if samples < 0:
        raise ValueError(f"samples must not be negative: {samples}")
    if len({line.chip for line in lines}) != len(lines):
        raise ValueError("a chip has one supply line")
    found = []
    for line in lines:
        best = {use.stage: _stage_chips(line, use, calendar, 0, seed)[0] for use in line.uses}
        drawn = {use.stage: _stage_chips(line, use, calendar, samples, seed) for use in line.uses} if samples else {}
        leads = {use.stage: use.lead_s for use in line.uses}
        found.append(supply_of(line.chip, line.vendor, calendar, best, drawn, leads))
    return tuple(found)


def supply_of(
    chip: str,
    vendor: str,
    calendar: Calendar,
    stages: Mapping[str, Array],
    stage_samples: Mapping[str, Array],
    lead_s: Mapping[str, float],
) -> ChipSupply:
    """Return the supply that follows from what every stage lets through: best (P,), and samples (S, P) or nothing."""
    names = list(stages)
    table = np.stack([stages[name] for name in names])
    drawn = {name: stage_samples[name] for name in names} if stage_samples else {n: stages[n][None, :] for n in names}
    cube = np.stack([drawn[name] for name in names])
    chips, least = cube.min(axis=0), cube.argmin(axis=0)
    low, high = np.percentile(chips, (5, 95), axis=0)
    best = table.min(axis=0)
    return ChipSupply(
        chip=chip,
        vendor=vendor,
        calendar=calendar,
        best=best,
        low=np.minimum(low, best),
        high=np.maximum(high, best),
        samples=chips,
        stages=dict(stages),
        stage_samples=drawn,
        binding=tuple(names[i] for i in table.argmin(axis=0)),
        binding_share={name: np.asarray((least == i).mean(axis=0)) for i, name in enumerate(names)},
        lead_s=dict(lead_s),
    )


def total_supply(supplies: Sequence[ChipSupply]) -> tuple[Array, Array, Array]:
    """Return low, best and high of the sum over chips, (P,) each, the ends from the sums by sample.

    Raises ValueError for none, or for supplies of different calendars or numbers of samples.
    """
    if not supplies or any(s.samples.shape != supplies[0].samples.shape for s in supplies):
        raise ValueError("supplies that are added need the same periods and samples, and there must be one")
    best = np.asarray(sum(s.best for s in supplies))
    low, high = np.percentile(sum(s.samples for s in supplies), (5, 95), axis=0)
    return np.minimum(low, best), best, np.maximum(high, best)


def _stage_chips(line: SupplyLine, use: StageUse, calendar: Calendar, samples: int, seed: int) -> Array:
    """Return the chips that a stage lets through, (S, P); the best alone, (1, P), for no samples."""

    def z(name: str) -> Array:
        return deviates(seed, name, samples)[:, None] if samples else np.zeros((1, 1))

    counted = middles(calendar)[None, :]
    lead = sum((draw(step, z(f"time {name}")) for name, step in use.steps.items()), np.zeros((1, 1)))
    begun = counted - lead
    capacity = use.capacity.at(begun, z(f"capacity {use.stage}"))
    share = use.share.at(begun, z(f"share {line.vendor} {use.stage}"))
    mix = 1.0 if use.mix is None else use.mix.at(counted, z(f"mix {line.chip}"))
    chips = draw(use.chips_per_unit, z(f"chips {line.chip} {use.stage}"))
    return np.asarray(capacity * share * mix * chips * calendar.length_s)
