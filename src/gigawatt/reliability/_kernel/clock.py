"""The time of a group: through intervals, saves and stops to the next event, and back to a save.

Between two events a group moves through whole intervals at once, so a run costs by its failures, not by its saves. `st`
(G, COLUMNS) is the state of the groups, `g` one of them.
"""

from __future__ import annotations

import math

from gigawatt.reliability._kernel.state import (
    BACK,
    BEFORE,
    DEGRADED,
    DETECT,
    DETECTION,
    DRAIN,
    ENTRY,
    GANG,
    LAST,
    MAINTENANCE,
    MARK,
    MISSING,
    POS,
    REPLAY,
    REPLAYED,
    RESTART,
    SAVED,
    SHARE,
    SINCE,
    SLOW,
    STALL,
    UNSAVED,
    UNTIL,
    USEFUL,
    WAITING,
    WHOLE,
    Books,
    Floats,
    Rules,
)


def advance(st: Floats, g: int, t: float, rules: Rules, books: Books) -> None:
    """Move group `g` on to time `t`, in which nothing happens to it, and account for the time."""
    while st[g, LAST] < t:
        now = st[g, LAST]
        left = t - now
        took = left
        if st[g, UNTIL] > now:
            took = min(left, st[g, UNTIL] - now)
            category = MAINTENANCE
        elif st[g, DETECT] > 0:
            took = spend(st, g, DETECT, left)
            category = DETECTION
        elif st[g, DRAIN] > 0:
            took = spend(st, g, DRAIN, left)
            category = RESTART
        elif rules.mode == GANG and st[g, MISSING] > 0:
            category = WAITING
        elif st[g, BACK] > 0:
            took = spend(st, g, BACK, left)
            category = RESTART
        elif st[g, REPLAY] > 0:
            took = spend(st, g, REPLAY, left)
            category = REPLAYED
        elif st[g, SHARE] <= 0:
            category = WAITING
        else:
            train(st, g, left, rules, books)
            category = USEFUL
        if category != USEFUL:
            books.seconds[category] += took
        note(st, g, category, now, now + took, books)
        st[g, LAST] = t if took == left else now + took


def spend(st: Floats, g: int, state: int, left: float) -> float:
    """Spend up to `left` seconds on one state of a stop and return how many."""
    took: float = min(left, st[g, state])
    st[g, state] -= took
    return took


def train(st: Floats, g: int, left: float, rules: Rules, books: Books) -> None:
    """Train for `left` seconds, with a save after each interval."""
    st[g, WHOLE] = 0
    pace = st[g, SHARE]
    if st[g, SLOW] > 0:
        pace /= 1.0 + rules.slowdown
    tau = rules.interval_s
    span = tau + rules.save_s
    total = st[g, POS] + left
    saves = math.floor(total / span)
    begun = min(st[g, POS], tau)
    st[g, POS] = total - saves * span
    ended = min(st[g, POS], tau)
    worked = min(max(saves * tau + ended - begun, 0.0), left)
    if saves > 0:
        st[g, BEFORE] = pace * tau if saves > 1 else st[g, UNSAVED] + pace * (tau - begun)
        st[g, SAVED] += st[g, UNSAVED] + pace * (tau - begun) + pace * (saves - 1) * tau
        st[g, UNSAVED] = pace * ended
        st[g, SINCE] += saves
    else:
        st[g, UNSAVED] += pace * worked
    books.seconds[USEFUL] += pace * worked
    books.seconds[DEGRADED] += (1.0 - pace) * worked
    books.seconds[STALL] += left - worked


def note(st: Floats, g: int, category: int, start: float, end: float, books: Books) -> None:
    """Write an interval of a group into the log, joined to the one before where it goes on."""
    log = books.log
    if log.shape[0] == 0 or end <= start:
        return
    entry = int(st[g, ENTRY])
    if entry >= 0 and log[entry, 1] == category and log[entry, 3] == start:
        log[entry, 3] = end
    elif books.log_size[0] < log.shape[0]:
        entry = books.log_size[0]
        log[entry, 0] = g
        log[entry, 1] = category
        log[entry, 2] = start
        log[entry, 3] = end
        st[g, ENTRY] = entry
        books.log_size[0] += 1


def stop(st: Floats, g: int, detect: float, drain: float, back: float, replay: float, whole: int) -> None:
    """Begin a stop, in place of the one under way."""
    st[g, DETECT] = detect
    st[g, DRAIN] = drain
    st[g, BACK] = back
    st[g, REPLAY] = replay
    st[g, WHOLE] = whole


def busy(st: Floats, g: int) -> bool:
    """Return whether a stop is under way."""
    return bool(st[g, DETECT] + st[g, DRAIN] + st[g, BACK] + st[g, REPLAY] > 0)


def save_now(st: Floats, g: int) -> None:
    """Save what has been done, outside the rhythm of the intervals."""
    st[g, SAVED] += st[g, UNSAVED]
    st[g, UNSAVED] = 0.0
    st[g, POS] = 0.0
    st[g, SINCE] = 0.0


def go_back(st: Floats, g: int, saved: float, books: Books) -> None:
    """Throw away the work since `saved` useful seconds had been saved."""
    lost = st[g, SAVED] + st[g, UNSAVED] - saved
    books.seconds[USEFUL] -= lost
    books.seconds[REPLAYED] += lost
    st[g, SAVED] = saved
    st[g, UNSAVED] = 0.0
    st[g, POS] = 0.0
    st[g, SINCE] = 0.0
    if st[g, MARK] >= saved:
        st[g, MARK] = -1.0


def roll_back(st: Floats, g: int, rules: Rules, books: Books) -> None:
    """Go back to the last save whose upload was over."""
    saved = st[g, SAVED]
    if st[g, SINCE] >= 1 and st[g, POS] < rules.lag_s:
        saved -= st[g, BEFORE]
    go_back(st, g, saved, books)
