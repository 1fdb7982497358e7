"""The way of a request: router, prefill, hand-over to the decode pool, end; and replicas that come and go with the load."""

from __future__ import annotations

import math

from gigawatt.serving._kernel.admission import wait
from gigawatt.serving._kernel.heap import push, replay
from gigawatt.serving._kernel.memory import found, release
from gigawatt.serving._kernel.state import (
    ARRIVAL,
    ARRIVED,
    BLOCKS_FROM,
    BLOCKS_TO,
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
    FIRST_KID,
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
    NEXT_KID,
    NONE,
    NOWHERE,
    OFF,
    ON_S,
    ON_SINCE,
    ORDER,
    OUTPUT,
    PAUSE,
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
    SERVED,
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
    World,
)
from gigawatt.serving._kernel.steps import receive, wake
from gigawatt.serving._kernel.windows import pour


def weigh(w: World, p: int, tokens: int) -> None:
    """Add tokens to what the router counts for a replica."""
    load, pool = w.load, w.pool
    load[p] += tokens
    q = w.rep[p, POOL]
    replay(w.trees[q], load, pool[q, FIRST_REPLICA], p - pool[q, FIRST_REPLICA])


def choose(w: World, r: int, q: int) -> int:
    """Return the replica of pool q that a request goes to."""
    req, pool, load, entry, rep, counter = w.req, w.pool, w.load, w.entry, w.rep, w.counter
    first, replicas = pool[q, FIRST_REPLICA], pool[q, REPLICAS]
    if w.routing == ROUND_ROBIN:
        for i in range(replicas):
            p = first + (counter[TURN_0 + q] + i) % replicas
            if rep[p, POWER] == UP:
                counter[TURN_0 + q] = p - first + 1
                return int(p)
    best = first + w.trees[q, 1]
    if w.routing == PREFIX_AWARE and pool[q, CACHES] and req[r, BLOCKS_TO] > req[r, BLOCKS_FROM]:
        # what would have to be computed there before and with this request
        cost = load[best] - found(w, r, best, q)[0] * pool[q, CACHE_TOKENS]
        e = w.holder[w.blocks[req[r, BLOCKS_FROM]]]
        while e != NONE:
            p = entry[e, E_REPLICA]
            if entry[e, E_TIER] != NOWHERE and rep[p, POWER] == UP:
                other = load[p] - found(w, r, p, q)[0] * pool[q, CACHE_TOKENS]
                if other < cost or (other == cost and p < best):
                    best, cost = p, other
            e = entry[e, E_HOLDER]
    return int(best)


def arrive(w: World, r: int, t: float) -> None:
    """A request is ready: send it to a replica of the first pool."""
    req, counter, pool, rep = w.req, w.counter, w.pool, w.rep
    w.times[r, READY] = t
    req[r, ORDER] = counter[ARRIVED]
    counter[ARRIVED] += 1
    counter[INFLIGHT_0] += 1
    p = choose(w, r, 0)
    req[r, REPLICA] = p
    req[r, WEIGHT] = req[r, PROMPT]
    if pool[0, CACHES]:
        req[r, WEIGHT] -= found(w, r, p, 0)[0] * pool[0, CACHE_TOKENS]
    apart = pool.shape[0] > 1
    weigh(w, p, req[r, WEIGHT] + (0 if apart else req[r, OUTPUT]))
    wait(w, r, p, WAITING)
    if rep[p, STEPS] == 0 or (rep[p, ROOT] == r and rep[p, SLOTS] < pool[0, LIMIT]):
        wake(w, p, t)


def hand_over(w: World, r: int, p: int, t: float) -> None:
    """Send a request that has been prefilled on to the decode pool; its keys stay until they have been moved."""
    counter, req = w.counter, w.req
    d = choose(w, r, 1)
    counter[INFLIGHT_0] -= 1
    counter[INFLIGHT_0 + 1] += 1
    w.rep[p, SLOTS] -= 1
    req[r, SOURCE] = p
    req[r, REPLICA] = d
    weigh(w, d, req[r, OUTPUT])
    wait(w, r, d, HANDED)
    receive(w, d, t)


def transferred(w: World, r: int, t: float) -> None:
    """The keys of a request have come to its decode replica."""
    req, rep = w.req, w.rep
    source, p = req[r, SOURCE], req[r, REPLICA]
    release(w, r, source)
    retire(w, source, t)
    wake(w, source, t)
    req[r, NEXT] = rep[p, JOIN]
    rep[p, JOIN] = r
    wake(w, p, t)


def end(w: World, r: int, p: int, t: float) -> None:
    """A request has all its tokens; what waits for it may come."""
    rep, req, counter, times = w.rep, w.req, w.counter, w.times
    release(w, r, p)
    q = rep[p, POOL]
    req[r, STATE] = ENDED
    times[r, FINISH] = t
    rep[p, SLOTS] -= 1
    counter[INFLIGHT_0 + q] -= 1
    counter[LEFT] -= 1
    if q == w.pool.shape[0] - 1:
        weigh(w, p, -req[r, OUTPUT])
    kid = req[r, FIRST_KID]
    while kid != NONE:
        if req[kid, REASON] == SERVED:
            push(w, max(times[kid, ARRIVAL], t + times[kid, PAUSE]), READY_NOW, kid)
        kid = req[kid, NEXT_KID]
    if w.closed:
        follow(w, t)
    retire(w, p, t)


def follow(w: World, t: float) -> None:
    """In a closed loop, let the next request come."""
    counter, req = w.counter, w.req
    r = counter[FOLLOWING]
    while r < req.shape[0] and req[r, REASON] != SERVED:
        r += 1
    counter[FOLLOWING] = r + 1
    if r < req.shape[0]:
        push(w, t, READY_NOW, r)


def retire(w: World, p: int, t: float) -> None:
    """Switch a draining replica off once it is empty; what it has cached is lost."""
    rep, entry = w.rep, w.entry
    if rep[p, POWER] != DRAINING or rep[p, SLOTS] + rep[p, QUEUED] + rep[p, USED] > 0:
        return
    switch(w, p, OFF, t)
    for tier in range(NOWHERE):
        e = w.tier[p, tier, T_OLDEST]
        while e != NONE:
            entry[e, E_TIER] = NOWHERE
            e = entry[e, E_NEWER]
        w.tier[p, tier, T_OLDEST] = NONE
        w.tier[p, tier, T_NEWEST] = NONE
        w.tier[p, tier, T_UNITS] = 0
    rep[p, EVICTABLE] = 0


def switch(w: World, p: int, power: int, t: float) -> None:
    """Change the power of a replica and book the time that it was on."""
    clock, rep, load = w.clock, w.rep, w.load
    if rep[p, POWER] != OFF:
        clock[p, ON_S] += t - clock[p, ON_SINCE]
        pour(w, rep[p, POOL], W_ON, clock[p, ON_SINCE], t, t - clock[p, ON_SINCE])
    clock[p, ON_SINCE] = t
    # the router sees no load where it may send something, infinite where not
    if power == UP and rep[p, POWER] != UP:
        load[p] -= HIDDEN
        weigh(w, p, 0)
    elif rep[p, POWER] == UP and power != UP:
        load[p] += HIDDEN
        weigh(w, p, 0)
    rep[p, POWER] = power


def scale(w: World, q: int, t: float) -> None:
    """Start or drain replicas of a pool so that each has the requests that the autoscaler aims at."""
    counter, pool, factor, rep = w.counter, w.pool, w.factor, w.rep
    if counter[LEFT] == 0:
        return
    push(w, t + factor[q, SCALE_S], SCALE, q)
    first, replicas = pool[q, FIRST_REPLICA], pool[q, REPLICAS]
    want = math.ceil(counter[INFLIGHT_0 + q] / factor[q, SCALE_TARGET])
    want = min(max(want, pool[q, LEAST]), replicas)
    up, coming = 0, 0
    for p in range(first, first + replicas):
        up += rep[p, POWER] == UP
        coming += rep[p, POWER] == STARTING
    lack = want - up - coming
    for p in range(first, first + replicas):  # those that drain still have their weights: they are back at once
        if lack > 0 and rep[p, POWER] == DRAINING:
            switch(w, p, UP, t)
            lack -= 1
    for p in range(first, first + replicas):
        if lack > 0 and rep[p, POWER] == OFF:
            switch(w, p, STARTING, t)
            push(w, t + factor[q, START_S], REPLICA_UP, p)
            lack -= 1
    for p in range(first + replicas - 1, first - 1, -1):
        if lack < 0 and up > pool[q, LEAST] and rep[p, POWER] == UP:
            switch(w, p, DRAINING, t)
            retire(w, p, t)
            lack += 1
            up -= 1
