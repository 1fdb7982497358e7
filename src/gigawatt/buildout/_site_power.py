"""Which sources of power feed which halls of a site. Watts and seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gigawatt.buildout._tasks import Task
from gigawatt.errors import InfeasibleError, InputError, Problem, nearest_name

BLOCKS_OF_POWER = ("grid", "mobile_generators", "turbines", "engines")

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerStep:
    """A source of `power_w` for a site: a block of tasks (`block`), or a power that is there from the date `live_s` on
    (`block` ""), or later: by `slip_s`, the 10 %, 50 % and 90 % points of its delay (all above 0, or all 0).

    Raises InputError for an unknown block or a power that is not above 0; Task checks the slip.
    """

    power_w: float
    block: str = ""
    live_s: float = 0.0
    slip_s: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if self.block and self.block not in BLOCKS_OF_POWER:
            raise InputError(unknown("block", self.block, BLOCKS_OF_POWER))
        if not 0.0 < self.power_w < math.inf:
            raise InputError(Problem(message="a source needs a power above 0", path="power", found=f"{self.power_w} W"))


def unknown(what: str, found: str, names: Sequence[str], path: str = "") -> Problem:
    """Return the problem of a name that is not one of `names`."""
    return Problem(
        message=f"no {what} has this name",
        path=path or what,
        found=repr(found),
        allowed=", ".join(names),
        nearest=nearest_name(found, names),
    )


def spans_of(steps: Sequence[PowerStep], halls: int, power_w: float) -> dict[str, range]:
    """Return the halls that each step feeds, by its block or, for a dated step, "power step 2".

    Steps fill the halls in their order; a hall between two steps is fed by both. Raises InfeasibleError where the
    steps carry less than the site needs, InputError where a block is listed twice.
    """
    total = math.fsum(step.power_w for step in steps)
    if total < power_w * (1.0 - 1e-9):
        remedy = f"add a source of {(power_w - total) / 1e6:.6g} MW, or build {total / 1e6:.6g} MW"
        message = f"the sources carry {total / 1e6:.6g} MW and the site needs {power_w / 1e6:.6g} MW. The smallest change: {remedy}"
        raise InfeasibleError(message, constraint="power", remedy=remedy)
    spans: dict[str, range] = {}
    below, hall = 0.0, power_w / halls
    for i, step in enumerate(steps):
        key = step.block or dated_name(i)
        if key in spans:
            raise InputError(Problem(message="a block of power is listed twice", path="power", found=repr(key)))
        first, last = math.floor(below / hall + 1e-9), math.ceil((below + step.power_w) / hall - 1e-9)
        spans[key] = range(min(first, halls), min(last, halls))
        below += step.power_w
    return spans


def last_task(block: str, chosen: Sequence[Row]) -> Row:
    """Return the row that ends a block: the one after which it feeds or cools."""
    return [row for row in chosen if row["block"] == block][-1]


def feeds_of(spans: Mapping[str, range], chosen: Sequence[Row], halls: int) -> tuple[tuple[str, ...], ...]:
    """Return the names of the tasks that must have ended before each hall has power, (halls) tuples."""
    blocks = {row["block"] for row in chosen}
    feeds: list[list[str]] = [[] for _ in range(halls)]
    for key, span in spans.items():
        row = last_task(key, chosen) if key in blocks else None
        for hall in span:
            name = key if row is None else row["name"]
            feeds[hall].append(f"{name} {hall + 1}" if row is not None and row["scope"] == "hall" else name)
    return tuple(map(tuple, feeds))


def dated_name(i: int) -> str:
    """Return the name of the task of a dated step."""
    return f"power step {i + 1}"


def dated(steps: Sequence[PowerStep]) -> list[Task]:
    """Return the tasks of the steps that come on a date: not before that date, and as long as they slip."""
    return [
        Task(
            name=dated_name(i),
            low_s=step.slip_s[0],
            best_s=step.slip_s[1],
            high_s=step.slip_s[2],
            not_before_s=step.live_s,
            trade="grid",
            label=f"{step.power_w / 1e6:g} MW connected",
        )
        for i, step in enumerate(steps)
        if not step.block
    ]
