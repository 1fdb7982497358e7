"""Who comes into a replica, and who has to leave it when memory runs out."""

from __future__ import annotations

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
    World,
)

BLOCKED, ELSEWHERE = -1, -2


def wait(w: World, r: int, p: int, state: int) -> None:
    """Let a request wait at a replica; `state` says whether its keys are elsewhere (HANDED) or not there yet (WAITING)."""
    req, rep = w.req, w.rep
    req[r, STATE] = state
    rep[p, ROOT] = put(req, rep[p, ROOT], r)
    rep[p, QUEUED] += 1


def line_up(w: World, r: int, p: int) -> None:
    """Put a request at the end of the queue of prefills."""
    req, rep = w.req, w.rep
    req[r, STATE] = PREFILL
    req[r, NEXT] = NONE
    if rep[p, HEAD] == NONE:
        rep[p, HEAD] = r
    else:
        req[rep[p, TAIL], NEXT] = r
    rep[p, TAIL] = r


def admit(w: World, p: int, t: float) -> int:
    """Admit the first of those that wait: return it if it can be prefilled now, BLOCKED if it does not fit, ELSEWHERE if
    its keys come from the prefill pool or a tier first.
    """
    req, rep, pool, times, clock, factor = w.req, w.rep, w.pool, w.times, w.clock, w.factor
    q, r = rep[p, POOL], rep[p, ROOT]
    if r == NONE or rep[p, SLOTS] >= pool[q, LIMIT]:
        return BLOCKED
    need = units_of(w, q, req[r, TARGET])
    room = pool[q, CAPACITY] - rep[p, USED]
    if req[r, STATE] == HANDED:
        if need > room:
            return BLOCKED
        remove_first(w, r, p)
        use(w, p, need)
        transfer(w, r, t)
        return ELSEWHERE
    blocks, in_use, host, disk = found(w, r, p, q)
    if need - in_use * pool[q, CACHE_UNITS] > room:
        return BLOCKED
    remove_first(w, r, p)
    more = share(w, r, p, q, blocks, True)
    use(w, p, more + need - blocks * pool[q, CACHE_UNITS])
    req[r, DONE] = blocks * pool[q, CACHE_TOKENS]
    if times[r, ADMITTED] < 0.0:
        times[r, ADMITTED] = t
        req[r, CACHED] = req[r, DONE]
    if host + disk > 0:
        begin = max(t, clock[p, FETCH])
        end = begin + host * factor[q, HOST_S] + disk * factor[q, DISK_S]
        clock[p, FETCH] = end
        req[r, STATE] = LOADING
        push(w, end, FETCHED, r)
        return ELSEWHERE
    line_up(w, r, p)
    return int(r)


def remove_first(w: World, r: int, p: int) -> None:
    """Take the first of those that wait out of the queue and give it a place."""
    rep = w.rep
    rep[p, ROOT] = take(w.req, r)
    rep[p, QUEUED] -= 1
    rep[p, SLOTS] += 1


def transfer(w: World, r: int, t: float) -> None:
    """Send the keys of a request from its prefill replica, one after the other over its link."""
    req, clock = w.req, w.clock
    source = req[r, SOURCE]
    end = max(t, clock[source, LINK]) + w.transfer_token_s * req[r, PROMPT] + w.transfer_sequence_s
    clock[source, LINK] = end
    req[r, STATE] = LOADING
    push(w, end, TRANSFERRED, r)


def later(w: World, q: int, a: int, b: int) -> bool:
    """Whether request a is preempted before b: the last to have arrived, or the last in rank."""
    req = w.req
    if w.pool[q, BY_RANK] and req[a, RANK] != req[b, RANK]:
        return bool(req[a, RANK] > req[b, RANK])
    return bool(req[a, ORDER] > req[b, ORDER])


def preempt(w: World, p: int) -> bool:
    """Take the last of the running out; it waits again, to be computed anew. False where nobody runs."""
    rep, req, who = w.rep, w.req, w.who
    q = rep[p, POOL]
    victim, at = NONE, NONE
    for i in range(rep[p, N]):
        if victim == NONE or later(w, q, who[p, i], victim):
            victim, at = who[p, i], i
    before, r, previous = NONE, rep[p, HEAD], NONE
    while r != NONE:
        if victim == NONE or later(w, q, r, victim):
            victim, at, before = r, NONE, previous
        previous, r = r, req[r, NEXT]
    if victim == NONE:
        return False
    release(w, victim, p)
    if at != NONE:
        req[victim, GENERATED] = req[victim, GBASE] + rep[p, STEP]
        leave(w, p, at)
    else:
        if before == NONE:
            rep[p, HEAD] = req[victim, NEXT]
        else:
            req[before, NEXT] = req[victim, NEXT]
        if rep[p, TAIL] == victim:
            rep[p, TAIL] = before
    req[victim, TARGET] = req[victim, PROMPT] + req[victim, GENERATED]
    req[victim, DONE] = 0
    req[victim, PREEMPTED] += 1
    rep[p, PREEMPTIONS] += 1
    rep[p, SLOTS] -= 1
    wait(w, victim, p, WAITING)
    return True
