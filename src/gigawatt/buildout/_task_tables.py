"""The packaged tables of site construction: numbers as `Sourced` values in SI units.

tasks.csv: one row per task of a building block. `template` is retrofit, new_build or empty (both); `scope` is site
(once) or hall (once in every hall). `after` names tasks: for a task of a hall those of the same hall or of the site, for
a task of the site those of every hall; `@power` and `@cooling` stand for the last tasks of the blocks that feed and cool the
hall. `low`, `best`, `high` are days (10, 50 and 90 % points) per `per`: empty (flat), `hall` (a hall of the size
`hall.reference_power`, other sizes by the power `hall.size_exponent`), `rack` (crew-days per rack) or `MWh` (days per MWh
of storage). `units` of `resource` are held; `*` means as many crews as work in one hall at once.

construction.csv: numbers that belong to no task. templates.csv: what a template builds unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from gigawatt.buildout._supply_tables import rows
from gigawatt.evidence import Grade, Sourced

DAY = 86_400.0
MWH = 3.6e9
# SI units of one unit of `per`, and the symbol of a duration per it.
PER: Mapping[str, tuple[float, str]] = {"": (1.0, "s"), "hall": (1.0, "s"), "rack": (1.0, "s"), "MWh": (MWH, "s/J")}


def _sourced(row: Mapping[str, str], factor: float, unit: str) -> Sourced:
    low, best, high = (factor * float(row[end]) for end in ("low", "best", "high"))
    return Sourced(
        low=low,
        best=best,
        high=high,
        unit=unit,
        grade=Grade(row["grade"]),
        source=row["source"],
        date=row["date"],
        label=row["label"],
        note=row["note"],
    )


def assumption_of(row: Mapping[str, str]) -> str:
    """Return the path of the duration of a row of tasks.csv: "retrofit.permits", "grid.connection"."""
    return f"{row['template'] or row['block']}.{row['name']}"


@cache
def task_facts() -> Mapping[str, Sourced]:
    """Return the duration of every task of every block and the numbers of construction.csv, by path, in SI units."""
    facts = {}
    for row in rows("tasks.csv"):
        size, unit = PER[row["per"]]
        facts[assumption_of(row)] = _sourced(row, DAY / size, unit)
    facts |= {row["key"]: _sourced(row, 1.0, row["unit"]) for row in rows("construction.csv")}
    return MappingProxyType(facts)


def site_fact(key: str) -> Sourced:
    """Return a number of construction.csv by key."""
    return task_facts()[key]
