"""Every published peak of memory, predicted: `gigawatt validate memory`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gigawatt.training import Evaluator
from gigawatt.validation._rows import UnreadableRowError, number, read, read_rows
from gigawatt.validation._statistics import summarise
from gigawatt.validation._training import choose

GIB = 2.0**30


def validate_memory(data: Path | None = None) -> dict[str, Any]:
    """Return the residuals of every row that states a peak of memory: `rows` (id, group, measured and predicted GiB,
    ratio, parts) and `summary`. Raises InputError for a table that cannot be read.
    """
    rows: list[dict[str, Any]] = []
    for row in read_rows(data):
        measured = number(row, "peak_mem_gib") if (row.get("peak_mem_gib") or "").strip() else None
        if not measured:
            continue
        entry: dict[str, Any] = {"id": row["id"], "group": row["group"], "measured_gib": measured}
        try:
            reading = read(row)
            step = Evaluator(reading.job).evaluate(choose(reading)[0])
        except UnreadableRowError as reason:
            rows.append(entry | {"predicted_gib": None, "ratio": None, "skipped": str(reason), "parts": {}})
            continue
        predicted = float(step.memory_bytes[0]) / GIB
        parts = {name: float(part[0]) / GIB for name, part in step.memory_parts.items()}
        rows.append(
            entry | {"predicted_gib": predicted, "ratio": predicted / measured, "skipped": None, "parts": parts}
        )
    return {"rows": rows, "summary": summarise(rows)}
