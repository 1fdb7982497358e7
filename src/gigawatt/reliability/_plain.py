"""Results as plain data for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from gigawatt.evidence import Breakdown, Sourced


def to_plain(result: Any) -> dict[str, Any]:
    """Return a result as plain data, what is not finite (an endless run) as None."""
    return {field.name: _plain(getattr(result, field.name)) for field in fields(result)}


def _plain(value: Any) -> Any:
    if isinstance(value, Sourced | Breakdown):
        return _plain(value.to_dict())
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return to_plain(value) if hasattr(value, "__dataclass_fields__") else value
