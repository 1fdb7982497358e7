"""The course of a run in a fixed number of windows of time, which double their width whenever the run outgrows them."""

from __future__ import annotations

from gigawatt.serving._kernel.state import (
    W_COLUMNS,
    W_KV_MAX,
    World,
)


def widen(w: World, t: float) -> None:
    """Make the windows reach time t: pairs of them become one."""
    windows = w.windows
    n = windows.shape[1]
    while t >= w.width[0] * n:
        w.width[0] *= 2.0
        for q in range(windows.shape[0]):
            for i in range(n):
                for c in range(W_COLUMNS):
                    a = windows[q, 2 * i, c] if 2 * i < n else 0.0
                    b = windows[q, 2 * i + 1, c] if 2 * i + 1 < n else 0.0
                    windows[q, i, c] = max(a, b) if c == W_KV_MAX else a + b


def pour(w: World, q: int, column: int, begin: float, end: float, amount: float) -> None:
    """Spread an amount evenly over the windows between two times."""
    windows = w.windows
    width = w.width[0]
    first = int(begin / width)
    last = int(end / width)
    if last >= windows.shape[1]:
        widen(w, end)
        width = w.width[0]
        first = int(begin / width)
        last = int(end / width)
    if first == last:
        windows[q, first, column] += amount
        return
    for i in range(first, last + 1):
        share = (min(end, (i + 1) * width) - max(begin, i * width)) / (end - begin)
        windows[q, i, column] += amount * share


def mark(w: World, q: int, t: float, share: float) -> None:
    """Note the share of the memory of a replica that is used."""
    windows = w.windows
    i = int(t / w.width[0])
    windows[q, i, W_KV_MAX] = max(windows[q, i, W_KV_MAX], share)
