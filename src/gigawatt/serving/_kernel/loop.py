"""What comes next: the end of steps, an arrival, or what stands in the heap of events."""

from __future__ import annotations

from typing import Any

from gigawatt.serving._kernel.admission import line_up
from gigawatt.serving._kernel.batch import enter, leave, next_stop, spread
from gigawatt.serving._kernel.flow import arrive, end, follow, hand_over, scale, switch, transferred, weigh
from gigawatt.serving._kernel.heap import pop, push, sift_down
from gigawatt.serving._kernel.memory import share, whole_blocks
from gigawatt.serving._kernel.state import (
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
)
from gigawatt.serving._kernel.steps import begin, wake
from gigawatt.serving._kernel.windows import mark, pour


def finish_steps(w: Any, p: int) -> None:
    """End the steps under way of a replica, and begin the next."""
    t, q, steps = w.due[p], w.rep[p, POOL], w.rep[p, STEPS]
    since, n = w.clock[p, BEGUN], w.rep[p, TAKES]
    w.rep[p, STEPS] = 0
    w.rep[p, COUNT] += steps
    w.clock[p, BUSY_S] += t - since
    pour(w, q, W_BUSY, since, t, t - since)
    pour(w, q, W_KV, since, t, w.rep[p, USED] * (t - since))
    pour(w, q, W_SEQUENCES, since, t, w.rep[p, SLOTS] * (t - since))
    mark(w, q, t, w.rep[p, USED] / w.pool[q, CAPACITY])
    if p == 0 and w.count[LOGGED] < w.log.shape[0]:
        log(w, since, t, steps, n)
    made = 0
    if n > 0:
        made = decode(w, p, q, t, steps)
    if w.rep[p, CHUNKS] > 0:
        made += prefilled(w, p, q, t)
    w.rep[p, DECODED] += made
    pour(w, q, W_TOKENS, since, t, float(made))
    begin(w, p, t)


def log(w: Any, since: float, t: float, steps: int, n: int) -> None:
    """Keep steps of the first replica."""
    row = w.count[LOGGED]
    w.count[LOGGED] = row + 1
    w.log[row, L_BEGIN] = since
    w.log[row, L_END] = t
    w.log[row, L_STEPS] = steps
    w.log[row, L_DECODE] = n
    w.log[row, L_PREFILL] = w.rep[0, CHUNKS]


def decode(w: Any, p: int, q: int, t: float, steps: int) -> int:
    """Give the batch its tokens and let those that are complete go; return the tokens."""
    if w.pool[q, DRAFTS] > 0:
        made = spread(w, p)
        i = 0
        while i < w.rep[p, N]:
            r = w.who[p, i]
            if w.req[r, GBASE] + w.rep[p, STEP] >= w.req[r, OUTPUT]:
                leave(w, p, i)
                end(w, r, p, t)
            else:
                i += 1
        return made
    n = w.rep[p, N]
    w.rep[p, STEP] += steps
    w.rep[p, KEYS] += n * steps
    w.rep[p, WINDOW_KEYS] += w.rep[p, BELOW] * steps
    while w.rep[p, N] > 0 and w.until[p, 0] == w.rep[p, STEP]:
        r = w.who[p, 0]
        if w.req[r, GBASE] + w.rep[p, STEP] == w.req[r, OUTPUT]:
            leave(w, p, 0)
            end(w, r, p, t)
        else:  # its window is full: from here on it reads no more keys
            w.rep[p, BELOW] -= 1
            w.until[p, 0] = next_stop(w, r, p, q)
            sift_down(w.until[p], w.who[p], 0, w.rep[p, N])
    return int(n * steps)


def prefilled(w: Any, p: int, q: int, t: float) -> int:
    """Let those whose prefill is complete go on with their next token; return the tokens."""
    made = 0
    while w.rep[p, HEAD] != NONE and w.req[w.rep[p, HEAD], DONE] == w.req[w.rep[p, HEAD], TARGET]:
        r = w.rep[p, HEAD]
        w.rep[p, HEAD] = w.req[r, NEXT]
        made += 1
        if w.req[r, GENERATED] == 0:
            w.times[r, FIRST] = t
            weigh(w, p, -w.req[r, WEIGHT])
        w.req[r, GENERATED] += 1
        share(w, r, p, q, whole_blocks(w, r, q), False)
        if w.req[r, GENERATED] == w.req[r, OUTPUT]:
            end(w, r, p, t)
        elif q < w.pool.shape[0] - 1:
            hand_over(w, r, p, t)
        else:
            enter(w, r, p)
    return made


def happen(w: Any, kind: int, x: int, t: float) -> None:
    """Let an event happen to request, pool or replica x."""
    if kind == READY_NOW:
        arrive(w, x, t)
    elif kind == FETCHED:
        line_up(w, x, w.req[x, REPLICA])
        wake(w, w.req[x, REPLICA], t)
    elif kind == TRANSFERRED:
        transferred(w, x, t)
    elif kind == SCALE:
        scale(w, x, t)
    elif kind == REPLICA_UP:
        switch(w, x, UP, t)


def run(w: Any) -> float:
    """Serve all requests, or until the horizon; return the time of the last event."""
    requests = w.req.shape[0]
    for r in range(requests):
        if w.after[r] != NONE and w.req[w.after[r], REASON] != SERVED:
            w.req[r, REASON] = FOLLOWS
        w.count[LEFT] += w.req[r, REASON] == SERVED
    for q in range(w.pool.shape[0]):
        if w.pool[q, SCALES]:
            push(w, w.factor[q, SCALE_S], SCALE, q)
    for _ in range(w.closed):
        follow(w, 0.0)
    t, r = 0.0, requests if w.closed else 0
    while w.count[LEFT] > 0:
        while r < requests and (w.after[r] != NONE or w.req[r, REASON] != SERVED):
            r += 1
        event = w.event_s[0] if w.count[EVENTS] > 0 else float("inf")
        arrival = w.arrival[r] if r < requests else float("inf")
        p = w.next_due[1]
        # who comes at the very end of a step is in the next one
        t = min(event, arrival, w.due[p])
        if t > w.horizon or t == float("inf"):
            t = min(t, w.horizon)
            break
        if event == t:
            kind, x = pop(w)
            happen(w, kind, x, t)
        elif arrival == t:
            arrive(w, r, t)
            r += 1
        else:
            finish_steps(w, p)
    for p in range(w.rep.shape[0]):
        switch(w, p, OFF, t)
    for r in range(requests):
        if w.times[r, FINISH] < 0.0 and w.req[r, REASON] == SERVED:
            w.req[r, REASON] = HORIZON
    return float(t)
