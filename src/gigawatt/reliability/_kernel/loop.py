"""The event loop of a replicate: from one thing that happens to the next, until the time is over or the work is done."""

from __future__ import annotations

import math

from gigawatt.reliability._kernel.chance import exponential
from gigawatt.reliability._kernel.clock import advance
from gigawatt.reliability._kernel.events import candidate, due, pick, strike
from gigawatt.reliability._kernel.state import CATEGORIES, COLUMNS, ENTRY, LAST, NONE, SAVED, UNSAVED, Books, World

HALVINGS = 60  # of the search for the time at which the work is done


def pass_time(w: World) -> float:
    """Let happen what happens and return the time at which the run ends; the groups are left behind it."""
    rules, queue = w.rules, w.queue
    rate = 0.0
    for i in range(rules.stream.shape[0]):
        rate += rules.stream[i]
    mean = 1.0 / rate if rate > 0 else math.inf
    coming = exponential(w.rng, mean) if rate > 0 else math.inf
    horizon = rules.horizon_s
    while True:
        t = min(coming, horizon)
        is_due = queue.size[0] > 0 and queue.due[0] <= t
        if is_due:
            t = queue.due[0]
        if rules.target_s > 0:
            horizon = min(horizon, done_by(w, t))
        if t >= horizon:
            return float(horizon)
        if is_due:
            k, slot, tainted = due(w, t)
        else:
            i = pick(w, rate)
            coming = t + exponential(w.rng, mean)
            k, slot, tainted = candidate(w, i, t)
        if k != NONE:
            strike(w, k, slot, tainted, t)


def finish(w: World, horizon: float) -> None:
    """Move the groups on to the end, and make their seconds means over the groups."""
    moved(w, horizon, w.books)
    for c in range(CATEGORIES):
        w.books.seconds[c] /= w.rules.groups


def done_by(w: World, t: float) -> float:
    """Move all groups on to `t`; where their work is done by then, put them back and return when it was, else infinity."""
    target = w.rules.target_s * w.rules.groups
    low, high = t, t
    for g in range(w.rules.groups):
        low = min(low, w.st[g, LAST])
    rows = w.books.log_size[0]
    keep(w)
    if moved(w, t, w.books) < target:
        return math.inf
    restore(w)
    unwrite(w, rows)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        if moved(w, middle, w.silent) >= target:
            high = middle
        else:
            low = middle
        restore(w)
    return high


def moved(w: World, t: float, books: Books) -> float:
    """Move all groups on to `t` and return what they have done by then, useful seconds in all."""
    done = 0.0
    for g in range(w.rules.groups):
        advance(w.st, g, t, w.rules, books)
        done += w.st[g, SAVED] + w.st[g, UNSAVED]
    return done


def keep(w: World) -> None:
    """Copy the groups and their seconds, to be restored."""
    for g in range(w.rules.groups):
        for c in range(COLUMNS):
            w.kept[g, c] = w.st[g, c]
    for c in range(CATEGORIES):
        w.kept_seconds[c] = w.books.seconds[c]


def restore(w: World) -> None:
    """Put the groups and their seconds back to the copy."""
    for g in range(w.rules.groups):
        for c in range(COLUMNS):
            w.st[g, c] = w.kept[g, c]
    for c in range(CATEGORIES):
        w.books.seconds[c] = w.kept_seconds[c]


def unwrite(w: World, rows: int) -> None:
    """Put the log back to `rows` rows, none of which ends after the time at which its group stands."""
    log = w.books.log
    w.books.log_size[0] = rows
    for g in range(w.rules.groups):
        entry = int(w.st[g, ENTRY])
        if entry >= 0:
            log[entry, 3] = min(log[entry, 3], w.st[g, LAST])
