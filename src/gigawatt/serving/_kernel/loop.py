"""What comes next: the end of steps, an arrival, or what stands in the heap of events."""

from __future__ import annotations

from gigawatt.serving._kernel.admission import line_up
from gigawatt.serving._kernel.batch import enter, leave, next_stop, spread
from gigawatt.serving._kernel.flow import arrive, end, follow, hand_over, scale, switch, transferred, weigh
from gigawatt.serving._kernel.heap import pop, push, sift_down
from gigawatt.serving._kernel.memory import share, whole_blocks
from gigawatt.serving._kernel.state import (
    AFTER,
    ARRIVAL,
    BEGUN,
    BELOW,
    BUSY_S,
    CAPACITY,
    CHUNKS,
    COUNT,
    DECODED,
    DONE,
    DRAFTS,
    EVENTS,
    FETCHED,
    FINISH,
    FIRST,
    FOLLOWS,
    GBASE,
    GENERATED,
    HEAD,
    HORIZON,
    KEYS,
    L_BEGIN,
    L_DECODE,
    L_END,
    L_PREFILL,
    L_STEPS,
    LEFT,
    LOGGED,
    NEXT,
    NONE,
    OFF,
    OUTPUT,
    POOL,
    READY_NOW,
    REASON,
    REPLICA,
    REPLICA_UP,
    SCALE,
    SCALE_S,
    SCALES,
    SERVED,
    SLOTS,
    STEP,
    STEPS,
    TAKES,
    TARGET,
    TRANSFERRED,
    UP,
    USED,
    W_BUSY,
    W_KV,
    W_SEQUENCES,
    W_TOKENS,
    WEIGHT,
    WINDOW_KEYS,
    N,
    World,
)
from gigawatt.serving._kernel.steps import begin, set_due, wake
from gigawatt.serving._kernel.windows import mark, pour


def finish_steps(w: World, p: int) -> None:
    """End the steps under way of a replica; the next begin when all else that happens at this time is done."""
    rep, clock = w.rep, w.clock
    t, q, steps = w.due[p], rep[p, POOL], rep[p, STEPS]
    since, n = clock[p, BEGUN], rep[p, TAKES]
    rep[p, STEPS] = 0
    rep[p, COUNT] += steps
    clock[p, BUSY_S] += t - since
    pour(w, q, W_BUSY, since, t, t - since)
    pour(w, q, W_KV, since, t, rep[p, USED] * (t - since))
    pour(w, q, W_SEQUENCES, since, t, rep[p, SLOTS] * (t - since))
    mark(w, q, t, rep[p, USED] / w.pool[q, CAPACITY])
    if p == 0 and w.counter[LOGGED] < w.log.shape[0]:
        note(w, since, t, steps, n)
    made = 0
    if n > 0:
        made = decode(w, p, q, t, steps)
    if rep[p, CHUNKS] > 0:
        made += prefilled(w, p, q, t)
    rep[p, DECODED] += made
    pour(w, q, W_TOKENS, since, t, float(made))
    set_due(w, p, t)


def note(w: World, since: float, t: float, steps: int, n: int) -> None:
    """Keep steps of the first replica."""
    counter, log = w.counter, w.log
    row = counter[LOGGED]
    counter[LOGGED] = row + 1
    log[row, L_BEGIN] = since
    log[row, L_END] = t
    log[row, L_STEPS] = steps
    log[row, L_DECODE] = n
    log[row, L_PREFILL] = w.rep[0, CHUNKS]


def decode(w: World, p: int, q: int, t: float, steps: int) -> int:
    """Give the batch its tokens and let those that are complete go; return the tokens."""
    rep, who, until, req = w.rep, w.who, w.until, w.req
    if w.pool[q, DRAFTS] > 0:
        made = spread(w, p)
        i = 0
        while i < rep[p, N]:
            r = who[p, i]
            if req[r, GBASE] + rep[p, STEP] >= req[r, OUTPUT]:
                leave(w, p, i)
                end(w, r, p, t)
            else:
                i += 1
        return made
    n = rep[p, N]
    rep[p, STEP] += steps
    rep[p, KEYS] += n * steps
    rep[p, WINDOW_KEYS] += rep[p, BELOW] * steps
    while rep[p, N] > 0 and until[p, 0] == rep[p, STEP]:
        r = who[p, 0]
        if req[r, GBASE] + rep[p, STEP] == req[r, OUTPUT]:
            leave(w, p, 0)
            end(w, r, p, t)
        else:  # its window is full: from here on it reads no more keys
            rep[p, BELOW] -= 1
            until[p, 0] = next_stop(w, r, p, q)
            sift_down(until[p], who[p], 0, rep[p, N])
    return int(n * steps)


def prefilled(w: World, p: int, q: int, t: float) -> int:
    """Let those whose prefill is complete go on with their next token; return the tokens."""
    rep, req = w.rep, w.req
    made = 0
    while rep[p, HEAD] != NONE and req[rep[p, HEAD], DONE] == req[rep[p, HEAD], TARGET]:
        r = rep[p, HEAD]
        rep[p, HEAD] = req[r, NEXT]
        made += 1
        if req[r, GENERATED] == 0:
            w.times[r, FIRST] = t
            weigh(w, p, -req[r, WEIGHT])
        req[r, GENERATED] += 1
        share(w, r, p, q, whole_blocks(w, r, q), False)
        if req[r, GENERATED] == req[r, OUTPUT]:
            end(w, r, p, t)
        elif q < w.pool.shape[0] - 1:
            hand_over(w, r, p, t)
        else:
            enter(w, r, p)
    return made


def happen(w: World, kind: int, x: int, t: float) -> None:
    """Let an event happen to request, pool or replica x."""
    req = w.req
    if kind == READY_NOW:
        arrive(w, x, t)
    elif kind == FETCHED:
        line_up(w, x, req[x, REPLICA])
        wake(w, req[x, REPLICA], t)
    elif kind == TRANSFERRED:
        transferred(w, x, t)
    elif kind == SCALE:
        scale(w, x, t)
    elif kind == REPLICA_UP:
        switch(w, x, UP, t)


def run(w: World) -> float:
    """Serve all requests, or until the horizon; return the time of the last event."""
    closed, req, counter, pool, horizon = w.closed, w.req, w.counter, w.pool, w.horizon
    requests = req.shape[0]
    for r in range(requests):
        if req[r, AFTER] != NONE and req[req[r, AFTER], REASON] != SERVED:
            req[r, REASON] = FOLLOWS
        counter[LEFT] += req[r, REASON] == SERVED
    for q in range(pool.shape[0]):
        if pool[q, SCALES]:
            push(w, w.factor[q, SCALE_S], SCALE, q)
    for _ in range(closed):
        follow(w, 0.0)
    t, r = 0.0, requests if closed else 0
    while counter[LEFT] > 0:
        while r < requests and (req[r, AFTER] != NONE or req[r, REASON] != SERVED):
            r += 1
        event = w.event_s[0] if counter[EVENTS] > 0 else float("inf")
        arrival = w.times[r, ARRIVAL] if r < requests else float("inf")
        p = w.trees[pool.shape[0], 1]
        # who comes at the very end of a step is in the next one
        t = min(event, arrival, w.due[p])
        if t > horizon or t == float("inf"):
            t = min(t, horizon)
            break
        if event == t:
            kind, x = pop(w)
            happen(w, kind, x, t)
        elif arrival == t:
            arrive(w, r, t)
            r += 1
        elif w.rep[p, STEPS] > 0:
            finish_steps(w, p)
        else:
            begin(w, p, t)
    for p in range(w.rep.shape[0]):
        switch(w, p, OFF, t)
    for r in range(requests):
        if w.times[r, FINISH] < 0.0 and req[r, REASON] == SERVED:
            req[r, REASON] = HORIZON
    return float(t)
