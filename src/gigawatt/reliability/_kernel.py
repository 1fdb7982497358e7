"""The event simulation of a fleet: one replicate, written so that it runs as plain Python and compiled by numba alike.

The plain functions are the oracle; `compiled()` returns the same functions through numba (imported there and nowhere
else). Times in seconds from the start of the job. Random numbers are SplitMix64 of a key, so a replicate depends on its
key alone.

How it stays fast: failures are few against steps and saves. All failure processes are superposed to one stream of
candidates, thinned where a hazard depends on age or the node is not in the job; between two events a group of nodes
moves through whole checkpoint intervals at once. A *group* is what stops together: the job, or one island. A heap holds
what is due: repairs, detections, maintenance, replicas that are ready again.

Shapes: G groups, K processes (the last one is stragglers), N nodes in the job, S spares, D replicas.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

# categories of wall time
USEFUL, REPLAYED, STALL, DETECTION, RESTART, DEGRADED, WAITING, MAINTENANCE, CATEGORIES = range(9)
# state of a group, one column each. POS: seconds into the present interval; UNSAVED: useful seconds in it; BEFORE: useful
# seconds of the interval before; WHOLE: 1 while the stop under way is one that goes back to a checkpoint; MARK: saved
# useful seconds at an undetected corruption, -1 for none; EPOCH: how often such a mark was wiped out.
(
    LAST,
    POS,
    UNSAVED,
    SAVED,
    BEFORE,
    SINCE,
    DETECT,
    DRAIN,
    BACK,
    REPLAY,
    WHOLE,
    SLOW,
    SHARE,
    MISSING,
    UNTIL,
    MARK,
    ENTRY,
    EPOCH,
) = range(18)
COLUMNS = 18
# kinds of due events
REPAIRED, CORRUPTION_FOUND, STRAGGLER_FOUND, PLANNED_STOP, REPLICA_READY = range(5)
# kinds of processes
FAILURE, CORRUPTION, STRAGGLER = range(3)
# how the rest of the job takes it
GANG, DROP, ELASTIC = range(3)
# numbers in `par`
(
    P_INTERVAL,
    P_SAVE,
    P_LAG,
    P_FALLBACK,
    P_HORIZON,
    P_TARGET,
    P_SLOWDOWN,
    P_CORRUPTION,
    P_STRAGGLER,
    P_DETECT,
    P_DRAIN,
    P_BACK,
    P_REPLAY,
    P_PART_DETECT,
    P_PART_DRAIN,
    P_PART_BACK,
    P_PART_REPLAY,
    P_REPLICA_BACK,
    P_FALLBACK_BACK,
    P_START,
    P_AGE,
    P_KEPT,
) = range(22)
# numbers in `ints`
I_NODES, I_SPARES, I_GROUPS, I_MODE, I_REPLICAS, I_OFFENDERS, I_EVICT, I_ENDLESS = range(8)
# counters in `extra`
X_SHORT, X_OLD, X_OUT, X_CANDIDATES, X_FALLBACKS, X_EVENTS, EXTRAS = range(7)

STEP = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)
S11, S27, S30, S31 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31)
UNIT = 2.0**-53


def uniform(rng: Words) -> float:
    """Return the next number in (0, 1) of SplitMix64 (Steele, Lea, Flood 2014)."""
    rng[0] = rng[0] + STEP
    z = rng[0]
    z = (z ^ (z >> S30)) * MIX_1
    z = (z ^ (z >> S27)) * MIX_2
    z = z ^ (z >> S31)
    return (float(z >> S11) + 0.5) * UNIT


def exponential(rng: Words, mean: float) -> float:
    """Return an exponential waiting time."""
    return -mean * math.log(uniform(rng))


def below(rng: Words, count: int) -> int:
    """Return a whole number from 0 to count - 1."""
    return min(int(uniform(rng) * count), count - 1)


def push(size: int, due: Floats, what: Ints, which: Ints, time: float, kind: int, payload: int) -> int:
    """Put an event into the heap and return the new size."""
    i = size
    while i > 0:
        parent = (i - 1) // 2
        if due[parent] <= time:
            break
        due[i] = due[parent]
        what[i] = what[parent]
        which[i] = which[parent]
        i = parent
    due[i] = time
    what[i] = kind
    which[i] = payload
    return size + 1


def pop(size: int, due: Floats, what: Ints, which: Ints) -> int:
    """Take the first event (read it from index 0 before) out of the heap and return the new size."""
    size -= 1
    time, kind, payload = due[size], what[size], which[size]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and due[child + 1] < due[child]:
            child += 1
        if due[child] >= time:
            break
        due[i] = due[child]
        what[i] = what[child]
        which[i] = which[child]
        i = child
    due[i] = time
    what[i] = kind
    which[i] = payload
    return size


def note(st: Floats, g: int, category: int, start: float, end: float, log: Floats, log_size: Ints) -> None:
    """Write an interval of a group into the log, joined to the one before where it goes on."""
    if log.shape[0] == 0 or end <= start:
        return
    entry = int(st[g, ENTRY])
    if entry >= 0 and log[entry, 1] == category and log[entry, 3] == start:
        log[entry, 3] = end
    elif log_size[0] < log.shape[0]:
        entry = log_size[0]
        log[entry, 0] = g
        log[entry, 1] = category
        log[entry, 2] = start
        log[entry, 3] = end
        st[g, ENTRY] = entry
        log_size[0] += 1


def advance(st: Floats, g: int, t: float, mode: int, par: Floats, cats: Floats, log: Floats, log_size: Ints) -> None:
    """Move group `g` on to time `t`, in which nothing happens to it, and account for the time."""
    while st[g, LAST] < t:
        now = st[g, LAST]
        left = t - now
        if st[g, UNTIL] > now:
            took = min(left, st[g, UNTIL] - now)
            category = MAINTENANCE
        elif st[g, DETECT] > 0:
            took = min(left, st[g, DETECT])
            st[g, DETECT] -= took
            category = DETECTION
        elif st[g, DRAIN] > 0:
            took = min(left, st[g, DRAIN])
            st[g, DRAIN] -= took
            category = RESTART
        elif mode == GANG and st[g, MISSING] > 0:
            took = left
            category = WAITING
        elif st[g, BACK] > 0:
            took = min(left, st[g, BACK])
            st[g, BACK] -= took
            category = RESTART
        elif st[g, REPLAY] > 0:
            took = min(left, st[g, REPLAY])
            st[g, REPLAY] -= took
            category = REPLAYED
        elif st[g, SHARE] <= 0:
            took = left
            category = WAITING
        else:
            st[g, WHOLE] = 0
            took = left
            category = USEFUL
            pace = st[g, SHARE]
            if st[g, SLOW] > 0:
                pace /= 1.0 + par[P_SLOWDOWN]
            tau, span = par[P_INTERVAL], par[P_INTERVAL] + par[P_SAVE]
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
            cats[USEFUL] += pace * worked
            cats[DEGRADED] += (1.0 - pace) * worked
            cats[STALL] += left - worked
        if category != USEFUL:
            cats[category] += took
        note(st, g, category, now, now + took, log, log_size)
        st[g, LAST] = t if took == left else now + took


def go_back(st: Floats, g: int, saved: float, cats: Floats) -> None:
    """Throw away the work of group `g` since it had saved `saved` useful seconds."""
    lost = st[g, SAVED] + st[g, UNSAVED] - saved
    cats[USEFUL] -= lost
    cats[REPLAYED] += lost
    st[g, SAVED] = saved
    st[g, UNSAVED] = 0.0
    st[g, POS] = 0.0
    st[g, SINCE] = 0.0
    if st[g, MARK] >= saved:
        st[g, MARK] = -1.0
        st[g, EPOCH] += 1


def roll_back(st: Floats, g: int, par: Floats, cats: Floats) -> None:
    """Go back to the last save whose upload was over."""
    saved = st[g, SAVED]
    if st[g, SINCE] >= 1 and st[g, POS] < par[P_LAG]:
        saved -= st[g, BEFORE]
    go_back(st, g, saved, cats)


def stop(st: Floats, g: int, detect: float, drain: float, back: float, replay: float, whole: int) -> None:
    """Begin a stop of group `g`, in place of the one under way."""
    st[g, DETECT] = detect
    st[g, DRAIN] = drain
    st[g, BACK] = back
    st[g, REPLAY] = replay
    st[g, WHOLE] = whole


def busy(st: Floats, g: int) -> bool:
    """Return whether a stop is under way."""
    return bool(st[g, DETECT] + st[g, DRAIN] + st[g, BACK] + st[g, REPLAY] > 0)


def run(
    key: int,
    par: Floats,
    ints: Ints,
    stream: Floats,
    hazard: Floats,
    scope: Ints,
    repair: Floats,
    planned: Floats,
    cats: Floats,
    causes: Floats,
    extra: Floats,
    log: Floats,
    log_size: Ints,
) -> float:
    """Run one replicate and return its wall time.

    `stream` (2K) candidates per second: of all nodes, then of the repeat offenders; `hazard` (K, 4) bound, shape minus
    1, reference age, burn-in; `scope` (K, 4) nodes of the domain (0 = the whole job), hardware, kind, falls back to the
    remote store; `repair` (K,) mean seconds; `planned` (M, 2) start and duration. Fills `cats` (8,) in seconds, `causes`
    (K,) interruptions, `extra`, and `log` (rows of group, category, start, end) as far as it goes.
    """
    nodes, spares, groups, mode = ints[I_NODES], ints[I_SPARES], ints[I_GROUPS], ints[I_MODE]
    replicas, offenders, evict, endless = ints[I_REPLICAS], ints[I_OFFENDERS], ints[I_EVICT], ints[I_ENDLESS]
    kinds = repair.shape[0]
    horizon, target = par[P_HORIZON], par[P_TARGET]
    per_group = -(-nodes // groups)
    per_replica = -(-nodes // replicas)
    rng = np.empty(1, np.uint64)
    rng[0] = key

    everyone = nodes + spares
    node_at = np.empty(nodes, np.int64)  # node in a slot of the job, -1 for none
    slot_of = np.full(everyone, -1, np.int64)  # slot of a node, -1 outside the job
    for i in range(nodes):
        node_at[i] = i
        slot_of[i] = i
    born = np.full(everyone, -par[P_AGE])
    slow = np.zeros(everyone, np.int64)
    broken = np.zeros(everyone, np.int64)  # failures of a repeat offender
    offender = np.zeros(everyone, np.int64)
    bad = np.empty(offenders, np.int64)
    for i in range(offenders):
        node = below(rng, nodes)
        while offender[node] == 1:
            node = below(rng, nodes)
        offender[node] = 1
        bad[i] = node
    pool = np.empty(everyone, np.int64)
    free = spares
    for i in range(spares):
        pool[i] = everyone - 1 - i
    out = 0
    # empty slots of a group (of a replica under DROP) as linked lists
    lists = replicas if mode == DROP else groups
    per_list = per_replica if mode == DROP else per_group
    first_empty = np.full(lists, -1, np.int64)
    next_empty = np.full(nodes, -1, np.int64)
    lacking = np.zeros(lists, np.int64)
    lacking_all = 0
    down = np.zeros(lists, np.int64)
    ready_turn = np.zeros(lists, np.int64)
    up = replicas
    donor = 0  # the island or replica that lacks nodes and lends the rest of them

    st = np.zeros((groups, COLUMNS))
    keep = np.zeros((groups, COLUMNS))
    keep_cats = np.zeros(CATEGORIES)
    for g in range(groups):
        st[g, SHARE] = 1.0
        st[g, MARK] = -1.0
        st[g, ENTRY] = -1.0
        stop(st, g, 0.0, 0.0, par[P_START], 0.0, 1)

    room = 3 * everyone + planned.shape[0] + groups + 64
    due = np.empty(room)
    what = np.empty(room, np.int64)
    which = np.empty(room, np.int64)
    size = 0
    for i in range(planned.shape[0]):
        size = push(size, due, what, which, planned[i, 0], PLANNED_STOP, i)

    rate = 0.0
    for i in range(2 * kinds):
        rate += stream[i]
    mean = 1.0 / rate if rate > 0 else math.inf
    candidate = exponential(rng, mean) if rate > 0 else math.inf

    while True:
        t = min(candidate, horizon)
        is_due = size > 0 and due[0] <= t
        if is_due:
            t = due[0]
        if target > 0:  # has the work been done on the way?
            done = 0.0
            for g in range(groups):
                for c in range(COLUMNS):
                    keep[g, c] = st[g, c]
            for c in range(CATEGORIES):
                keep_cats[c] = cats[c]
            early = st[0, LAST]
            for g in range(groups):
                early = min(early, st[g, LAST])
                advance(st, g, t, mode, par, cats, log, log_size)
                done += st[g, SAVED] + st[g, UNSAVED]
            if done >= target * groups:
                low, high = early, t
                for _ in range(60):
                    middle = 0.5 * (low + high)
                    done = 0.0
                    for c in range(CATEGORIES):
                        cats[c] = keep_cats[c]
                    for g in range(groups):
                        for c in range(COLUMNS):
                            st[g, c] = keep[g, c]
                        advance(st, g, middle, mode, par, cats, log[:0], log_size)
                        done += st[g, SAVED] + st[g, UNSAVED]
                    if done >= target * groups:
                        high = middle
                    else:
                        low = middle
                horizon = high
                for c in range(CATEGORIES):
                    cats[c] = keep_cats[c]
                for g in range(groups):
                    for c in range(COLUMNS):
                        st[g, c] = keep[g, c]
                break
        if t >= horizon:
            break

        k = -1  # the process that interrupts
        struck = -1  # slot
        if is_due:
            kind, payload = what[0], which[0]
            size = pop(size, due, what, which)
            if kind == REPAIRED:
                node = payload
                out -= 1
                if offender[node] == 1 and broken[node] >= evict:
                    offender[node] = 0  # another node stands in its place
                    born[node] = t
                if lacking_all == 0:
                    pool[free] = node
                    free += 1
                else:  # to the donor, then to the one that lacks fewest
                    chosen = donor
                    if lacking[donor] == 0:
                        chosen = -1
                        for i in range(lists):
                            if lacking[i] > 0 and (chosen < 0 or lacking[i] < lacking[chosen]):
                                chosen = i
                        donor = chosen
                    if mode == GANG:
                        advance(st, chosen, t, mode, par, cats, log, log_size)
                        st[chosen, MISSING] -= 1
                    slot = first_empty[chosen]
                    first_empty[chosen] = next_empty[slot]
                    node_at[slot] = node
                    slot_of[node] = slot
                    lacking[chosen] -= 1
                    lacking_all -= 1
                    if mode == DROP and lacking[chosen] == 0 and down[chosen] == 1:
                        ready_turn[chosen] += 1
                        size = push(
                            size,
                            due,
                            what,
                            which,
                            t + par[P_REPLICA_BACK],
                            REPLICA_READY,
                            chosen + lists * ready_turn[chosen],
                        )
            elif kind == REPLICA_READY:
                r = payload % lists
                if down[r] == 1 and lacking[r] == 0 and payload // lists == ready_turn[r]:
                    advance(st, 0, t, mode, par, cats, log, log_size)
                    down[r] = 0
                    up += 1
                    st[0, SHARE] = up / replicas
                    if not busy(st, 0):  # the others let it in
                        stop(st, 0, 0.0, par[P_PART_DRAIN], 0.0, 0.0, 0)
            elif kind == PLANNED_STOP:
                for g in range(groups):
                    advance(st, g, t, mode, par, cats, log, log_size)
                    st[g, SAVED] += st[g, UNSAVED]
                    st[g, UNSAVED] = 0.0
                    st[g, POS] = 0.0
                    st[g, SINCE] = 0.0
                    stop(st, g, 0.0, par[P_SAVE], par[P_BACK], 0.0, 1)
                    st[g, UNTIL] = max(st[g, UNTIL], t + planned[payload, 1])
            elif kind == CORRUPTION_FOUND:
                node = payload // kinds
                g = node // everyone
                node = node % everyone
                turn = g // groups
                g = g % groups
                advance(st, g, t, mode, par, cats, log, log_size)
                if st[g, MARK] >= 0 and turn == st[g, EPOCH] and st[g, UNTIL] <= t:
                    k = payload % kinds
                    if par[P_KEPT] > 0 and st[g, SAVED] - st[g, MARK] > par[P_KEPT] * par[P_INTERVAL]:
                        extra[X_OLD] += 1
                    go_back(st, g, st[g, MARK], cats)
                    struck = slot_of[node]
                    if struck < 0:
                        struck = min(g * per_group, nodes - 1)
            else:
                node = payload
                if slow[node] == 1 and slot_of[node] >= 0:
                    k = kinds - 1
                    struck = slot_of[node]
        else:
            extra[X_CANDIDATES] += 1
            pick = uniform(rng) * rate
            i = 0
            while i < 2 * kinds - 1 and pick >= stream[i]:
                pick -= stream[i]
                i += 1
            candidate = t + exponential(rng, mean)
            if i >= kinds:
                k = i - kinds
                node = bad[below(rng, offenders)]
                struck = slot_of[node] if offender[node] == 1 else -1
            else:
                k = i
                struck = below(rng, nodes)
            if struck >= 0:
                node = node_at[struck]
                if node < 0 and scope[k, 0] == 1:
                    struck = -1
                elif hazard[k, 1] != 0.0:
                    age = t - born[node] if node >= 0 else t + par[P_AGE]
                    ratio = max(age, hazard[k, 3]) / hazard[k, 2]
                    if uniform(rng) * hazard[k, 0] > ratio ** hazard[k, 1]:
                        struck = -1
            if struck < 0:
                k = -1
            elif scope[k, 2] == CORRUPTION:  # nothing is seen yet
                g = struck // per_group
                advance(st, g, t, mode, par, cats, log, log_size)
                if st[g, MARK] < 0 and st[g, UNTIL] <= t:
                    st[g, MARK] = st[g, SAVED]
                found = t + exponential(rng, par[P_CORRUPTION])
                if size < room - 2:
                    size = push(
                        size,
                        due,
                        what,
                        which,
                        found,
                        CORRUPTION_FOUND,
                        ((int(st[g, EPOCH]) * groups + g) * everyone + node_at[struck]) * kinds + k,
                    )
                k = -1
            elif scope[k, 2] == STRAGGLER:
                node = node_at[struck]
                if slow[node] == 0 and size < room - 2:
                    g = struck // per_group
                    advance(st, g, t, mode, par, cats, log, log_size)
                    slow[node] = 1
                    st[g, SLOW] += 1
                    size = push(size, due, what, which, t + exponential(rng, par[P_STRAGGLER]), STRAGGLER_FOUND, node)
                k = -1
        if k < 0:
            continue

        # the failure of process k at slot `struck`
        extra[X_EVENTS] += 1
        reach = scope[k, 0]
        begin, end = struck, struck + 1
        if reach > 1:
            begin = struck // reach * reach
            end = min(begin + reach, nodes)
        whole_job = reach == 0
        for g in range(begin // per_group, (end - 1) // per_group + 1):
            advance(st, g, t, mode, par, cats, log, log_size)
        if scope[k, 1] == 1 and not whole_job:
            back_at = t + exponential(rng, repair[k])  # one repair for the whole domain
            for slot in range(begin, end):
                node = node_at[slot]
                if node < 0:
                    continue
                g = slot // per_group
                if slow[node] == 1:
                    slow[node] = 0
                    st[g, SLOW] -= 1
                if offender[node] == 1:
                    broken[node] += 1
                if endless == 1:
                    if offender[node] == 1 and broken[node] >= evict:
                        offender[node] = 0
                        born[node] = t
                    continue
                slot_of[node] = -1
                out += 1
                size = push(size, due, what, which, back_at, REPAIRED, node)
                if free > 0:
                    free -= 1
                    node_at[slot] = pool[free]
                    slot_of[pool[free]] = slot
                else:
                    extra[X_SHORT] += 1
                    i = slot // per_list
                    node_at[slot] = -1
                    if lacking[donor] == 0:
                        donor = i
                    empty = slot
                    if i != donor:
                        first = donor * per_list
                        last = min(first + per_list, nodes)
                        while first < last and node_at[first] < 0:
                            first += 1
                        if first < last:  # lent
                            lent = node_at[first]
                            node_at[slot] = lent
                            slot_of[lent] = slot
                            node_at[first] = -1
                            empty = first
                            i = donor
                            if slow[lent] == 1 and mode == GANG:
                                st[donor, SLOW] -= 1
                                st[g, SLOW] += 1
                        else:
                            donor = i
                    if mode == GANG:
                        advance(st, i, t, mode, par, cats, log, log_size)
                        st[i, MISSING] += 1
                    next_empty[empty] = first_empty[i]
                    first_empty[i] = empty
                    lacking[i] += 1
                    lacking_all += 1
            extra[X_OUT] = max(extra[X_OUT], out)
        counted = False
        for g in range(begin // per_group, (end - 1) // per_group + 1):
            if st[g, UNTIL] > t:
                continue  # repaired during the planned stop
            if not counted:
                causes[k] += 1
                counted = True
            back = par[P_BACK]
            detect = par[P_DETECT]
            if scope[k, 2] == STRAGGLER:  # a planned swap: save first, nothing is lost
                if not busy(st, g):
                    st[g, SAVED] += st[g, UNSAVED]
                    st[g, UNSAVED] = 0.0
                    st[g, POS] = 0.0
                    st[g, SINCE] = 0.0
                    stop(st, g, 0.0, par[P_DRAIN] + par[P_SAVE], back, 0.0, 0)
                if mode == ELASTIC:
                    st[g, SHARE] = (nodes - lacking_all) / nodes
                if mode != DROP:
                    continue
            elif scope[k, 2] == CORRUPTION:
                detect = 0.0
            if mode == GANG or whole_job or scope[k, 2] == CORRUPTION:
                if scope[k, 2] != STRAGGLER:
                    roll_back(st, g, par, cats)
                    if scope[k, 3] == 1 and par[P_FALLBACK] > 0:
                        extra[X_FALLBACKS] += 1
                        go_back(st, g, math.floor(st[g, SAVED] / par[P_FALLBACK]) * par[P_FALLBACK], cats)
                        back += par[P_FALLBACK_BACK]
                    stop(st, g, detect, par[P_DRAIN], back, par[P_REPLAY], 1)
            elif scope[k, 2] != STRAGGLER:
                if busy(st, g) and st[g, WHOLE] == 1:  # what goes back to a checkpoint begins again
                    stop(st, g, detect, par[P_DRAIN], back, par[P_REPLAY], 1)
                else:
                    stop(st, g, par[P_PART_DETECT], par[P_PART_DRAIN], par[P_PART_BACK], par[P_PART_REPLAY], 0)
            if mode == ELASTIC:
                st[g, SHARE] = (nodes - lacking_all) / nodes
            if mode == DROP and scope[k, 1] == 1 and not whole_job:
                for r in range(begin // per_replica, (end - 1) // per_replica + 1):
                    ready_turn[r] += 1
                    if down[r] == 0:
                        down[r] = 1
                        up -= 1
                    if lacking[r] == 0 and size < room - 2:
                        ready = t + par[P_PART_DETECT] + par[P_PART_DRAIN] + par[P_REPLICA_BACK]
                        size = push(size, due, what, which, ready, REPLICA_READY, r + lists * ready_turn[r])
                st[g, SHARE] = up / replicas
                if up == 0:
                    roll_back(st, g, par, cats)

    for g in range(groups):
        advance(st, g, horizon, mode, par, cats, log, log_size)
    for c in range(CATEGORIES):
        cats[c] /= groups
    return float(horizon)


PARTS: tuple[Callable[..., Any], ...] = (
    uniform,
    exponential,
    below,
    push,
    pop,
    note,
    advance,
    go_back,
    roll_back,
    stop,
    busy,
    run,
)


@cache
def compiled() -> Callable[..., float]:
    """Return `run` compiled by numba; the machine code is kept beside this file, or in the user's cache, between runs."""
    import numba

    space = dict(globals())
    for part in PARTS:
        code: Any = part
        plain = FunctionType(code.__code__, space, code.__name__, code.__defaults__, code.__closure__)
        plain.__module__ = __name__
        plain.__qualname__ = code.__qualname__
        try:
            fast = numba.njit(plain, cache=True, nogil=True)
        except RuntimeError:  # no folder that can be written to
            fast = numba.njit(plain, nogil=True)
        space[code.__name__] = fast
    run_fast: Callable[..., float] = space["run"]
    return run_fast
