"""The way of a request: router, prefill, hand-over to the decode pool, end; and replicas that come and go with the load."""

from __future__ import annotations

import math
from typing import Any

from gigawatt.serving._kernel.admission import wait
from gigawatt.serving._kernel.heap import push, replay
from gigawatt.serving._kernel.memory import found, release
from gigawatt.serving._kernel.state import (
    ARRIVED,
    CACHE_TOKENS,
    CACHES,
    DRAINING,
    E_HOLDER,
    E_NEWER,
    E_REPLICA,
    E_TIER,
    ENDED,
    EVICTABLE,
    FINISH,
    FIRST_REPLICA,
    FOLLOWING,
    HANDED,
    HIDDEN,
    INFLIGHT_0,
    JOIN,
    LEAST,
    LEFT,
    LIMIT,
    NEXT,
    NONE,
    NOWHERE,
    OFF,
    ON_S,
    ON_SINCE,
    ORDER,
    OUTPUT,
    POOL,
    POWER,
    PREFIX_AWARE,
    PROMPT,
    QUEUED,
    READY,
    READY_NOW,
    REASON,
    REPLICA,
    REPLICA_UP,
    REPLICAS,
    ROOT,
    ROUND_ROBIN,
    SCALE,
    SCALE_S,
    SCALE_TARGET,
    SLOTS,
    SOURCE,
    START_S,
    STARTING,
    STATE,
    STEPS,
    T_NEWEST,
    T_OLDEST,
    T_UNITS,
    TURN_0,
    UP,
    USED,
    W_ON,
    WAITING,
    WEIGHT,
)
from gigawatt.serving._kernel.steps import receive, wake
from gigawatt.serving._kernel.windows import pour


def weigh(w: Any, p: int, tokens: int) -> None:
    """Add tokens to what the router counts for a replica."""
    w.load[p] += tokens
    q = w.rep[p, POOL]
    replay(w.router[q], w.load, w.pool[q, FIRST_REPLICA], p - w.pool[q, FIRST_REPLICA])


def choose(w: Any, r: int, q: int) -> int:
    """Return the replica of pool q that a request goes to."""
    first, replicas = w.pool[q, FIRST_REPLICA], w.pool[q, REPLICAS]
    if w.routing == ROUND_ROBIN:
        for i in range(replicas):
            p = first + (w.count[TURN_0 + q] + i) % replicas
            if w.rep[p, POWER] == UP:
                w.count[TURN_0 + q] = p - first + 1
                return int(p)
    best = first + w.router[q, 1]
    if w.routing == PREFIX_AWARE and w.pool[q, CACHES] and w.block_start[r + 1] > w.block_start[r]:
        # what would have to be computed there before and with this request
        cost = w.load[best] - found(w, r, best, q)[0] * w.pool[q, CACHE_TOKENS]
        e = w.holder[w.blocks[w.block_start[r]]]
        while e != NONE:
            p = w.entry[e, E_REPLICA]
            if w.entry[e, E_TIER] != NOWHERE and w.rep[p, POWER] == UP:
                other = w.load[p] - found(w, r, p, q)[0] * w.pool[q, CACHE_TOKENS]
                if other < cost or (other == cost and p < best):
                    best, cost = p, other
            e = w.entry[e, E_HOLDER]
    return int(best)


def arrive(w: Any, r: int, t: float) -> None:
    """A request is ready: send it to a replica of the first pool."""
    w.times[r, READY] = t
    w.req[r, ORDER] = w.count[ARRIVED]
    w.count[ARRIVED] += 1
    w.count[INFLIGHT_0] += 1
    p = choose(w, r, 0)
    w.req[r, REPLICA] = p
    w.req[r, WEIGHT] = w.req[r, PROMPT]
    if w.pool[0, CACHES]:
        w.req[r, WEIGHT] -= found(w, r, p, 0)[0] * w.pool[0, CACHE_TOKENS]
    apart = w.pool.shape[0] > 1
    weigh(w, p, w.req[r, WEIGHT] + (0 if apart else w.req[r, OUTPUT]))
    wait(w, r, p, WAITING)
    if w.rep[p, STEPS] == 0 or (w.rep[p, ROOT] == r and w.rep[p, SLOTS] < w.pool[0, LIMIT]):
        wake(w, p, t)


def hand_over(w: Any, r: int, p: int, t: float) -> None:
    """Send a request that has been prefilled on to the decode pool; its keys stay until they have been moved."""
    d = choose(w, r, 1)
    w.count[INFLIGHT_0] -= 1
    w.count[INFLIGHT_0 + 1] += 1
    w.rep[p, SLOTS] -= 1
    w.req[r, SOURCE] = p
    w.req[r, REPLICA] = d
    weigh(w, d, w.req[r, OUTPUT])
    wait(w, r, d, HANDED)
    receive(w, d, t)


def transferred(w: Any, r: int, t: float) -> None:
    """The keys of a request have come to its decode replica."""
    source, p = w.req[r, SOURCE], w.req[r, REPLICA]
    release(w, r, source)
    retire(w, source, t)
    wake(w, source, t)
    w.req[r, NEXT] = w.rep[p, JOIN]
    w.rep[p, JOIN] = r
    wake(w, p, t)


def end(w: Any, r: int, p: int, t: float) -> None:
    """A request has all its tokens; what waits for it may come."""
    release(w, r, p)
    q = w.rep[p, POOL]
    w.req[r, STATE] = ENDED
    w.times[r, FINISH] = t
    w.rep[p, SLOTS] -= 1
    w.count[INFLIGHT_0 + q] -= 1
    w.count[LEFT] -= 1
    if q == w.pool.shape[0] - 1:
        weigh(w, p, -w.req[r, OUTPUT])
    for i in range(w.kid_start[r], w.kid_start[r + 1]):
        kid = w.kids[i]
        if w.req[kid, REASON] == 0:
            push(w, max(w.arrival[kid], t + w.pause[kid]), READY_NOW, kid)
    if w.closed:
        follow(w, t)
    retire(w, p, t)


def follow(w: Any, t: float) -> None:
    """In a closed loop, let the next request come."""
    r = w.count[FOLLOWING]
    while r < w.req.shape[0] and w.req[r, REASON] != 0:
        r += 1
    w.count[FOLLOWING] = r + 1
    if r < w.req.shape[0]:
        push(w, t, READY_NOW, r)


def retire(w: Any, p: int, t: float) -> None:
    """Switch a draining replica off once it is empty; what it has cached is lost."""
    if w.rep[p, POWER] != DRAINING or w.rep[p, SLOTS] + w.rep[p, QUEUED] + w.rep[p, USED] > 0:
        return
    switch(w, p, OFF, t)
    for tier in range(NOWHERE):
        e = w.tier[p, tier, T_OLDEST]
        while e != NONE:
            w.entry[e, E_TIER] = NOWHERE
            e = w.entry[e, E_NEWER]
        w.tier[p, tier, T_OLDEST] = NONE
        w.tier[p, tier, T_NEWEST] = NONE
        w.tier[p, tier, T_UNITS] = 0
    w.rep[p, EVICTABLE] = 0


def switch(w: Any, p: int, power: int, t: float) -> None:
    """Change the power of a replica and book the time that it was on."""
    if w.rep[p, POWER] != OFF:
        w.clock[p, ON_S] += t - w.clock[p, ON_SINCE]
        pour(w, w.rep[p, POOL], W_ON, w.clock[p, ON_SINCE], t, t - w.clock[p, ON_SINCE])
    w.clock[p, ON_SINCE] = t
    # the router sees no load where it may send something, infinite where not
    if power == UP and w.rep[p, POWER] != UP:
        w.load[p] -= HIDDEN
        weigh(w, p, 0)
    elif w.rep[p, POWER] == UP and power != UP:
        w.load[p] += HIDDEN
        weigh(w, p, 0)
    w.rep[p, POWER] = power


def scale(w: Any, q: int, t: float) -> None:
    """Start or drain replicas of a pool so that each has the requests that the autoscaler aims at."""
    if w.count[LEFT] == 0:
        return
    push(w, t + w.factor[q, SCALE_S], SCALE, q)
    first, replicas = w.pool[q, FIRST_REPLICA], w.pool[q, REPLICAS]
    want = math.ceil(w.count[INFLIGHT_0 + q] / w.factor[q, SCALE_TARGET])
    want = min(max(want, w.pool[q, LEAST]), replicas)
    up, coming = 0, 0
    for p in range(first, first + replicas):
        up += w.rep[p, POWER] == UP
        coming += w.rep[p, POWER] == STARTING
    lack = want - up - coming
    for p in range(first, first + replicas):  # those that drain still have their weights: they are back at once
        if lack > 0 and w.rep[p, POWER] == DRAINING:
            switch(w, p, UP, t)
            lack -= 1
    for p in range(first, first + replicas):
        if lack > 0 and w.rep[p, POWER] == OFF:
            switch(w, p, STARTING, t)
            push(w, t + w.factor[q, START_S], REPLICA_UP, p)
            lack -= 1
    for p in range(first + replicas - 1, first - 1, -1):
        if lack < 0 and up > w.pool[q, LEAST] and w.rep[p, POWER] == UP:
            switch(w, p, DRAINING, t)
            retire(w, p, t)
            lack += 1
            up -= 1
