"""Who comes into a replica, and who has to leave it when memory runs out."""

from __future__ import annotations

from typing import Any

from gigawatt.serving._kernel.batch import leave
from gigawatt.serving._kernel.heap import push, put, take
from gigawatt.serving._kernel.memory import found, release, share, units_of, use
from gigawatt.serving._kernel.state import (
    ADMITTED,
    BY_RANK,
    CACHE_TOKENS,
    CACHE_UNITS,
    CACHED,
    CAPACITY,
    DISK_S,
    DONE,
    FETCH,
    FETCHED,
    GBASE,
    GENERATED,
    HANDED,
    HEAD,
    HOST_S,
    LIMIT,
    LINK,
    LOADING,
    NEXT,
    NONE,
    ORDER,
    POOL,
    PREEMPTED,
    PREEMPTIONS,
    PREFILL,
    PROMPT,
    QUEUED,
    RANK,
    ROOT,
    SLOTS,
    SOURCE,
    STATE,
    STEP,
    TAIL,
    TARGET,
    TRANSFERRED,
    USED,
    WAITING,
    N,
)

BLOCKED, ELSEWHERE = -1, -2


def wait(w: Any, r: int, p: int, state: int) -> None:
    """Let a request wait at a replica; `state` says whether its keys are elsewhere (HANDED) or not there yet (WAITING)."""
    w.req[r, STATE] = state
    w.rep[p, ROOT] = put(w.req, w.rep[p, ROOT], r)
    w.rep[p, QUEUED] += 1


def line_up(w: Any, r: int, p: int) -> None:
    """Put a request at the end of the queue of prefills."""
    w.req[r, STATE] = PREFILL
    w.req[r, NEXT] = NONE
    if w.rep[p, HEAD] == NONE:
        w.rep[p, HEAD] = r
    else:
        w.req[w.rep[p, TAIL], NEXT] = r
    w.rep[p, TAIL] = r


def admit(w: Any, p: int, t: float) -> int:
    """Admit the first of those that wait: return it if it can be prefilled now, BLOCKED if it does not fit, ELSEWHERE if
    its keys come from the prefill pool or a tier first.
    """
    q, r = w.rep[p, POOL], w.rep[p, ROOT]
    if r == NONE or w.rep[p, SLOTS] >= w.pool[q, LIMIT]:
        return BLOCKED
    need = units_of(w, q, w.req[r, TARGET])
    room = w.pool[q, CAPACITY] - w.rep[p, USED]
    if w.req[r, STATE] == HANDED:
        if need > room:
            return BLOCKED
        remove_first(w, r, p)
        use(w, p, need)
        transfer(w, r, t)
        return ELSEWHERE
    blocks, in_use, host, disk = found(w, r, p, q)
    if need - in_use * w.pool[q, CACHE_UNITS] > room:
        return BLOCKED
    remove_first(w, r, p)
    more = share(w, r, p, q, blocks, True)
    use(w, p, more + need - blocks * w.pool[q, CACHE_UNITS])
    w.req[r, DONE] = blocks * w.pool[q, CACHE_TOKENS]
    if w.times[r, ADMITTED] < 0.0:
        w.times[r, ADMITTED] = t
        w.req[r, CACHED] = w.req[r, DONE]
    if host + disk > 0:
        begin = max(t, w.clock[p, FETCH])
        end = begin + host * w.factor[q, HOST_S] + disk * w.factor[q, DISK_S]
        w.clock[p, FETCH] = end
        w.req[r, STATE] = LOADING
        push(w, end, FETCHED, r)
        return ELSEWHERE
    line_up(w, r, p)
    return int(r)


def remove_first(w: Any, r: int, p: int) -> None:
    """Take the first of those that wait out of the queue and give it a place."""
    w.rep[p, ROOT] = take(w.req, r)
    w.rep[p, QUEUED] -= 1
    w.rep[p, SLOTS] += 1


def transfer(w: Any, r: int, t: float) -> None:
    """Send the keys of a request from its prefill replica, one after the other over its link."""
    source = w.req[r, SOURCE]
    end = max(t, w.clock[source, LINK]) + w.transfer_token_s * w.req[r, PROMPT] + w.transfer_sequence_s
    w.clock[source, LINK] = end
    w.req[r, STATE] = LOADING
    push(w, end, TRANSFERRED, r)


def later(w: Any, q: int, a: int, b: int) -> bool:
    """Whether request a is preempted before b: the last to have arrived, or the last in rank."""
    if w.pool[q, BY_RANK] and w.req[a, RANK] != w.req[b, RANK]:
        return bool(w.req[a, RANK] > w.req[b, RANK])
    return bool(w.req[a, ORDER] > w.req[b, ORDER])


def preempt(w: Any, p: int) -> bool:
    """Take the last of the running out; it waits again, to be computed anew. False where nobody runs."""
    q = w.rep[p, POOL]
    victim, at = NONE, NONE
    for i in range(w.rep[p, N]):
        if victim == NONE or later(w, q, w.who[p, i], victim):
            victim, at = w.who[p, i], i
    before, r, previous = NONE, w.rep[p, HEAD], NONE
    while r != NONE:
        if victim == NONE or later(w, q, r, victim):
            victim, at, before = r, NONE, previous
        previous, r = r, w.req[r, NEXT]
    if victim == NONE:
        return False
    release(w, victim, p)
    if at != NONE:
        w.req[victim, GENERATED] = w.req[victim, GBASE] + w.rep[p, STEP]
        leave(w, p, at)
    else:
        if before == NONE:
            w.rep[p, HEAD] = w.req[victim, NEXT]
        else:
            w.req[before, NEXT] = w.req[victim, NEXT]
        if w.rep[p, TAIL] == victim:
            w.rep[p, TAIL] = before
    w.req[victim, TARGET] = w.req[victim, PROMPT] + w.req[victim, GENERATED]
    w.req[victim, DONE] = 0
    w.req[victim, PREEMPTED] += 1
    w.rep[p, PREEMPTIONS] += 1
    w.rep[p, SLOTS] -= 1
    wait(w, victim, p, WAITING)
    return True
