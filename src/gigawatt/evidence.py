"""Numbers that know where they come from.

`Sourced`      a number with its range, evidence grade, source and date (what goes into an engine)
`Output`       a number that an engine computed, with the formula and the names of what it was computed from
`Breakdown`    a tree whose children sum to their parent (step time, memory, power, cost)

Engines compute with plain floats. They return `Output`s that name their inputs by path ("power.it", "site.pue"), so a
plan holds two flat tables, outputs and assumptions, and `explain` is a walk from one to the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class Grade(StrEnum):
    """How well a number is known, best first. GIVEN is a choice of the person who asks, not a claim about the world."""

    GIVEN = "given"
    MEASURED = "measured"
    STATED = "stated"
    DERIVED = "derived"
    ESTIMATE = "estimate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourced:
    """A number with its range and origin, in SI units (`unit` is the symbol, "" for counts and fractions).

    Raises ValueError unless low <= best <= high and all three are finite.
    """

    best: float
    low: float
    high: float
    unit: str = ""
    grade: Grade = Grade.STATED
    source: str
    date: str = ""
    label: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.low, self.best, self.high))):
            raise ValueError(f"a sourced number must be finite: {self}")
        if not self.low <= self.best <= self.high:
            raise ValueError(f"a sourced number needs low <= best <= high: {self}")

    @classmethod
    def exact(cls, best: float, *, source: str, **fields: Any) -> Sourced:
        """Return a number without a range: low = best = high."""
        return cls(best=best, low=best, high=best, source=source, **fields)

    def at(self, value: float) -> Sourced:
        """Return the same number pinned to `value`, without a range."""
        return replace(self, best=value, low=value, high=value)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "label": self.label,
            "best": self.best,
            "low": self.low,
            "high": self.high,
            "unit": self.unit,
            "grade": str(self.grade),
            "source": self.source,
            "date": self.date,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A computed number: label, value in SI units, and how it came about.

    `inputs` maps the symbols of `formula` to paths of other outputs or of assumptions. A path without an engine
    prefix belongs to the same engine. `formula` is an expression in those symbols (Python syntax, functions `min`,
    `max`, `floor`, `ceil`, `sqrt`, `exp`, `log`); a test evaluates it and compares. Where a number comes from a
    search or a simulation there is no such expression: `formula` is empty and `method` says in words what was done.
    """

    label: str
    value: float
    unit: str = ""
    formula: str = ""
    method: str = ""
    inputs: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "label": self.label,
            "value": self.value,
            "unit": self.unit,
            "formula": self.formula,
            "method": self.method,
            "inputs": dict(self.inputs),
        }


def outputs_frame(outputs: Mapping[str, Output]) -> Any:
    """Return outputs as a pandas DataFrame, one row per path. Needs pandas."""
    import pandas as pd

    return pd.DataFrame([{"path": path, **output.to_dict()} for path, output in outputs.items()])


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """A tree of parts: the values of `children` sum to `value` (within 1e-9 relative). Values are in SI units.

    Raises ValueError where they do not.
    """

    label: str
    value: float
    unit: str
    children: tuple[Breakdown, ...] = ()

    def __post_init__(self) -> None:
        if self.children:
            total = math.fsum(child.value for child in self.children)
            scale = max(abs(self.value), math.fsum(abs(child.value) for child in self.children))
            if not math.isclose(total, self.value, rel_tol=1e-9, abs_tol=1e-9 * scale):
                raise ValueError(f"the parts of {self.label!r} sum to {total!r}, not to {self.value!r}")

    @classmethod
    def of(cls, label: str, unit: str, parts: Mapping[str, float | Breakdown]) -> Breakdown:
        """Return the breakdown of named parts; its value is their sum."""
        children = tuple(
            part if isinstance(part, Breakdown) else cls(label=name, value=float(part), unit=unit)
            for name, part in parts.items()
        )
        return cls(label=label, value=math.fsum(child.value for child in children), unit=unit, children=children)

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Breakdown]]:
        """Yield (depth, node) over the tree, parents first."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)

    def scaled(self, factor: float) -> Breakdown:
        """Return the same tree with every value multiplied by `factor`."""
        return replace(self, value=self.value * factor, children=tuple(child.scaled(factor) for child in self.children))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "label": self.label,
            "value": self.value,
            "unit": self.unit,
            "children": [child.to_dict() for child in self.children],
        }
