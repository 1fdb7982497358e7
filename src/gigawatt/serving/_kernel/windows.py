"""The course of a run in a fixed number of windows of time, which double their width whenever the run outgrows them."""

from __future__ import annotations

from typing import Any

from gigawatt.serving._kernel.state import (
    W_COLUMNS,
    W_KV_MAX,
)


def widen(w: Any, t: float) -> None:
    """Make the windows reach time t: pairs of them become one."""
    n = w.windows.shape[1]
    while t >= w.width[0] * n:
        w.width[0] *= 2.0
        for q in range(w.windows.shape[0]):
            for i in range(n):
                for c in range(W_COLUMNS):
                    a = w.windows[q, 2 * i, c] if 2 * i < n else 0.0
                    b = w.windows[q, 2 * i + 1, c] if 2 * i + 1 < n else 0.0
                    w.windows[q, i, c] = max(a, b) if c == W_KV_MAX else a + b


def pour(w: Any, q: int, column: int, begin: float, end: float, amount: float) -> None:
    """Spread an amount evenly over the windows between two times."""
    width = w.width[0]
    first = int(begin / width)
    last = int(end / width)
    if last >= w.windows.shape[1]:
        widen(w, end)
        width = w.width[0]
        first = int(begin / width)
        last = int(end / width)
    if first == last:
        w.windows[q, first, column] += amount
        return
    for i in range(first, last + 1):
        share = (min(end, (i + 1) * width) - max(begin, i * width)) / (end - begin)
        w.windows[q, i, column] += amount * share


def mark(w: Any, q: int, t: float, share: float) -> None:
    """Note the share of the memory of a replica that is used."""
    i = int(t / w.width[0])
    w.windows[q, i, W_KV_MAX] = max(w.windows[q, i, W_KV_MAX], share)
