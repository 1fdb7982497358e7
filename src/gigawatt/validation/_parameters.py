"""The free constants of the fit, from data/fit_parameters.csv."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.resources import files

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A free constant: of a stack ("*": any) on a chip ("": any), its prior and whether it is a share below one."""

    stack: str
    constant: str
    chip: str
    prior: float
    sigma: float
    share: bool

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of the constant in data/stacks.csv, one per stack and chip that share it."""
        chips = [f"@{chip}" for chip in self.chip.split("|")] if self.chip else [""]
        return tuple(f"{stack}.{self.constant}{chip}" for stack in self.stack.split("|") for chip in chips)

    def holds_for(self, stack: str, chip: str) -> bool:
        """Return whether a row of a stack on a chip depends on this constant."""
        stacks = self.stack.split("|")
        return (stack in stacks or "*" in stacks) and any(fnmatchcase(chip, p) for p in (self.chip or "*").split("|"))

    def value(self, x: float) -> float:
        """Return the constant at a point of the unbounded scale of the fit."""
        return float(1.0 / (1.0 + np.exp(-x))) if self.share else float(np.exp(x))

    def point(self, value: float) -> float:
        """Return the point of the unbounded scale at a value of the constant."""
        return float(np.log(value / (1.0 - value))) if self.share else float(np.log(value))


def parameters() -> tuple[Parameter, ...]:
    """Return the free constants of data/fit_parameters.csv."""
    text = files("gigawatt.validation").joinpath("data", "fit_parameters.csv").read_text(encoding="utf-8")
    return tuple(
        Parameter(
            stack=row["stack"],
            constant=row["constant"],
            chip=row["chip"],
            prior=float(row["prior"]),
            sigma=float(row["sigma"]),
            share=row["scale"] == "share",
        )
        for row in csv.DictReader(io.StringIO(text))
    )
