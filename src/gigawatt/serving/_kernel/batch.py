"""The decode batch of a replica as sums, so that a step costs the same for one sequence or hundreds.

All sequences of a batch advance together, so what a sequence is at, less the step counter of its replica, stays constant.
Ends, and the steps at which a window is full, stand in a heap; block edges are counted by rest. Only speculation, where
every sequence advances by a number of its own, walks through the batch.
"""

from __future__ import annotations

from gigawatt.serving._kernel.chance import accepted
from gigawatt.serving._kernel.heap import sift_down, sift_up
from gigawatt.serving._kernel.state import (
    ACCEPTANCE,
    ADVANCE,
    BASE,
    BELOW,
    BLOCK,
    DECODE,
    DRAFTS,
    GBASE,
    GENERATED,
    KEYS,
    OUTPUT,
    POOL,
    STATE,
    STEP,
    TAKES_BLOCKS,
    TARGET,
    WINDOW,
    WINDOW_KEYS,
    N,
    World,
)


def next_stop(w: World, r: int, p: int, q: int) -> int:
    """Return the step after which a sequence ends, or has filled the window if that comes first."""
    req = w.req
    end = req[r, OUTPUT] - req[r, GBASE]
    full = w.pool[q, WINDOW] - 1 - req[r, BASE]
    return int(full if w.rep[p, STEP] < full < end else end)


def enter(w: World, r: int, p: int) -> None:
    """Add a sequence, all of whose tokens but the last are in the cache, to the batch."""
    rep, req, pool, until, who = w.rep, w.req, w.pool, w.until, w.who
    q = rep[p, POOL]
    n, step, tokens = rep[p, N], rep[p, STEP], req[r, TARGET]
    req[r, STATE] = DECODE
    req[r, BASE] = tokens - step
    req[r, GBASE] = req[r, GENERATED] - step
    window = pool[q, WINDOW]
    rep[p, KEYS] += tokens
    rep[p, WINDOW_KEYS] += min(tokens + 1, window)
    rep[p, BELOW] += tokens + 1 < window
    w.phase[p, req[r, BASE] % pool[q, BLOCK]] += 1
    until[p, n] = next_stop(w, r, p, q)
    who[p, n] = r
    rep[p, N] = n + 1
    if pool[q, DRAFTS] == 0:
        sift_up(until[p], who[p], n)


def leave(w: World, p: int, i: int) -> None:
    """Take entry i out of the batch."""
    rep, who, pool, req, until = w.rep, w.who, w.pool, w.req, w.until
    q, r = rep[p, POOL], who[p, i]
    tokens, window = req[r, BASE] + rep[p, STEP], pool[q, WINDOW]
    rep[p, KEYS] -= tokens
    rep[p, WINDOW_KEYS] -= min(tokens + 1, window)
    rep[p, BELOW] -= tokens + 1 < window
    w.phase[p, req[r, BASE] % pool[q, BLOCK]] -= 1
    n = rep[p, N] - 1
    rep[p, N] = n
    if i < n:
        until[p, i], who[p, i] = until[p, n], who[p, n]
        if pool[q, DRAFTS] == 0:
            sift_up(until[p], who[p], i)
            sift_down(until[p], who[p], i, n)


def growth(w: World, p: int, steps: int) -> int:
    """Return the blocks that the batch needs for so many more steps: each sequence one where its tokens fill the last."""
    rep, pool = w.rep, w.pool
    q = rep[p, POOL]
    if pool[q, TAKES_BLOCKS] == 0:
        return 0
    block, step = pool[q, BLOCK], rep[p, STEP]
    whole = steps // block
    need = whole * rep[p, N]
    for s in range(step, step + steps - whole * block):
        need += w.phase[p, (-s) % block]
    return int(need)


def draw(w: World, p: int) -> int:
    """Draw what the next step gives each sequence; return the blocks for it."""
    rep, pool, req = w.rep, w.pool, w.req
    q, step = rep[p, POOL], rep[p, STEP]
    block, need = pool[q, BLOCK], 0
    for i in range(rep[p, N]):
        r = w.who[p, i]
        made = req[r, GBASE] + step
        gives = accepted(w.key, r, made, pool[q, DRAFTS], w.factor[q, ACCEPTANCE])
        gives = min(gives, req[r, OUTPUT] - made)
        req[r, ADVANCE] = gives
        tokens = req[r, BASE] + step
        need += (tokens + gives + block - 1) // block - (tokens + block - 1) // block
    return int(need * pool[q, TAKES_BLOCKS])


def spread(w: World, p: int) -> int:
    """Give each sequence what was drawn for it; return the tokens."""
    rep, pool, phase, req = w.rep, w.pool, w.phase, w.req
    q, step = rep[p, POOL], rep[p, STEP]
    block, window = pool[q, BLOCK], pool[q, WINDOW]
    given = 0
    rep[p, STEP] = step + 1
    for i in range(rep[p, N]):
        r = w.who[p, i]
        gives, tokens = req[r, ADVANCE], req[r, BASE] + step
        phase[p, req[r, BASE] % block] -= 1
        req[r, BASE] += gives - 1
        req[r, GBASE] += gives - 1
        phase[p, req[r, BASE] % block] += 1
        rep[p, WINDOW_KEYS] += min(tokens + gives + 1, window) - min(tokens + 1, window)
        rep[p, BELOW] += int(tokens + gives + 1 < window) - int(tokens + 1 < window)
        given += gives
    rep[p, KEYS] += given
    return int(given)
