"""The page of `gigawatt build --out`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def build_page(report: Mapping[str, Any]) -> str:
    """Return the page of a build-out (`BuildReport.to_dict()`)."""
    raise NotImplementedError
