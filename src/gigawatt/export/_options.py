"""The option names that each framework documents, from data/*.csv, with the version that was read."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import NamedTuple


class Documented(NamedTuple):
    """Where an option was found."""

    version: str
    source: str


@lru_cache(maxsize=8)
def documented_options(framework: str) -> Mapping[str, Documented]:
    """Return the options of a framework that this package writes or reads, each with version and source."""
    return MappingProxyType(
        {row["option"]: Documented(row["version"], row["source"]) for row in packaged_rows(f"{framework}.csv")}
    )


@lru_cache(maxsize=8)
def packaged_rows(name: str) -> tuple[dict[str, str], ...]:
    """Return the rows of a data file of this package."""
    text = files("gigawatt.export").joinpath("data", name).read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))
