"""Watts of one accelerator by phase, from sourced shares of its power limit (data/chip_power.csv).

    chip_power("H100 SXM") ──▶ ChipPower ──▶ watts("training")  551 W

A phase is what a chip does for a while: no job (`idle`), contexts live but no kernels (`waiting`), writing a
`checkpoint`, exposed `communication`, `memory_bound` operations, `attention`, dense products (`matrix`), the mean of forward and
backward of a step (`training`), `decode` and `prefill` of serving. Shares that are not known for a chip are those of `generic`,
wide and graded as estimates. Positive power is consumption.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from gigawatt.evidence import Grade, Sourced

PHASES = (
    "idle",
    "waiting",
    "checkpoint",
    "communication",
    "memory_bound",
    "attention",
    "matrix",
    "training",
    "decode",
    "prefill",
)
GENERIC = "generic"
LIMIT = "limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipPower:
    """The power of a chip by phase: its limit in W and the share of it that each phase of `PHASES` draws.

    `name` is that of the table ("H100"), `generic` where the table does not know the chip.
    Raises ValueError for a limit that is not positive and for phases that are missing or unknown.
    """

    name: str
    limit_w: float
    shares: Mapping[str, Sourced]

    def __post_init__(self) -> None:
        if not self.limit_w > 0:
            raise ValueError(f"the power limit of a chip must be positive, not {self.limit_w} W")
        if set(self.shares) != set(PHASES):
            raise ValueError(f"a chip needs a share for each of {', '.join(PHASES)}, not {', '.join(self.shares)}")

    def share(self, phase: str, end: str = "best") -> float:
        """Return the share of the limit in a phase; `end` is "low", "best" or "high". Raises ValueError for others."""
        if phase not in self.shares:
            raise ValueError(f"unknown phase {phase!r}; allowed: {', '.join(PHASES)}")
        if end not in ("low", "best", "high"):
            raise ValueError(f"end must be low, best or high, not {end!r}")
        return float(getattr(self.shares[phase], end))

    def watts(self, phase: str, end: str = "best") -> float:
        """Return share*limit, the power in a phase, W. H100: training 551, checkpoint 150, idle 72."""
        return self.share(phase, end) * self.limit_w


def chip_power(name: str, limit_w: float | None = None) -> ChipPower:
    """Return the power by phase of an accelerator, by a name that begins like one of `chips_with_power()`.

    Without `limit_w` the limit is the maker's. Shares hold for other limits as long as the limit does not bind (see
    `power_at_cap`). A chip that the table does not know is `generic` and needs `limit_w`; ValueError otherwise.
    """
    table = _table()
    known = [chip for chip in table if chip != GENERIC and _begins(name, chip)]
    chip = max(known, key=len) if known else GENERIC
    if limit_w is None:
        if LIMIT not in table[chip]:
            raise ValueError(
                f"no power by phase for {name!r}; known: {', '.join(chips_with_power())}; any other needs limit_w"
            )
        limit_w = table[chip][LIMIT].best
    shares = {phase: table[chip].get(phase, table[GENERIC][phase]) for phase in PHASES}
    return ChipPower(name=chip, limit_w=limit_w, shares=MappingProxyType(shares))


def chips_with_power() -> tuple[str, ...]:
    """Return the names of the chips that the table knows."""
    return tuple(chip for chip in _table() if chip != GENERIC)


def _begins(name: str, chip: str) -> bool:
    """Return whether `name` is `chip` or goes on after it with something else than a letter or digit."""
    name, chip = name.strip().casefold(), chip.casefold()
    return name.startswith(chip) and not name[len(chip) : len(chip) + 1].isalnum()


@cache
def _table() -> Mapping[str, Mapping[str, Sourced]]:
    text = files("gigawatt.power").joinpath("data", "chip_power.csv").read_text(encoding="utf-8")
    table: dict[str, dict[str, Sourced]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        recalled = row["kind"] == "unverified"
        table.setdefault(row["chip"], {})[row["phase"]] = Sourced(
            low=float(row["low"]),
            best=float(row["best"]),
            high=float(row["high"]),
            unit=row["unit"],
            grade=Grade.ESTIMATE if recalled else Grade(row["kind"]),
            source=row["source"],
            date=row["date"],
            label=f"{row['chip']}, {row['phase'].replace('_', ' ')}",
            note="; ".join(filter(None, ("recalled, not checked" if recalled else "", row["notes"]))),
        )
    return MappingProxyType(table)
