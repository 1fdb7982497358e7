"""The decode batch of a replica as sums, so that a step costs the same for one sequence or hundreds.

All sequences of a batch advance together, so what a sequence is at, less the step counter of its replica, stays constant.
Ends, and the steps at which a window is full, stand in a heap; block edges are counted by rest. Only speculation, where
every sequence advances by a number of its own, walks through the batch.
"""

from __future__ import annotations

from typing import Any

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
)


def next_stop(w: Any, r: int, p: int, q: int) -> int:
    """Return the step after which a sequence ends, or has filled the window if that comes first."""
    end = w.req[r, OUTPUT] - w.req[r, GBASE]
    full = w.pool[q, WINDOW] - 1 - w.req[r, BASE]
    return int(full if w.rep[p, STEP] < full < end else end)


def enter(w: Any, r: int, p: int) -> None:
    """Add a sequence, all of whose tokens but the last are in the cache, to the batch."""
    q = w.rep[p, POOL]
    n, step, tokens = w.rep[p, N], w.rep[p, STEP], w.req[r, TARGET]
    w.req[r, STATE] = DECODE
    w.req[r, BASE] = tokens - step
    w.req[r, GBASE] = w.req[r, GENERATED] - step
    window = w.pool[q, WINDOW]
    w.rep[p, KEYS] += tokens
    w.rep[p, WINDOW_KEYS] += min(tokens + 1, window)
    w.rep[p, BELOW] += tokens + 1 < window
    w.phase[p, w.req[r, BASE] % w.pool[q, BLOCK]] += 1
    w.until[p, n] = next_stop(w, r, p, q)
    w.who[p, n] = r
    w.rep[p, N] = n + 1
    if w.pool[q, DRAFTS] == 0:
        sift_up(w.until[p], w.who[p], n)


def leave(w: Any, p: int, i: int) -> None:
    """Take entry i out of the batch."""
    q, r = w.rep[p, POOL], w.who[p, i]
    tokens, window = w.req[r, BASE] + w.rep[p, STEP], w.pool[q, WINDOW]
    w.rep[p, KEYS] -= tokens
    w.rep[p, WINDOW_KEYS] -= min(tokens + 1, window)
    w.rep[p, BELOW] -= tokens + 1 < window
    w.phase[p, w.req[r, BASE] % w.pool[q, BLOCK]] -= 1
    n = w.rep[p, N] - 1
    w.rep[p, N] = n
    if i < n:
        w.until[p, i], w.who[p, i] = w.until[p, n], w.who[p, n]
        if w.pool[q, DRAFTS] == 0:
            sift_up(w.until[p], w.who[p], i)
            sift_down(w.until[p], w.who[p], i, n)


def growth(w: Any, p: int, steps: int) -> int:
    """Return the blocks that the batch needs for so many more steps: each sequence one where its tokens fill the last."""
    q = w.rep[p, POOL]
    if w.pool[q, TAKES_BLOCKS] == 0:
        return 0
    block, step = w.pool[q, BLOCK], w.rep[p, STEP]
    whole = steps // block
    need = whole * w.rep[p, N]
    for s in range(step, step + steps - whole * block):
        need += w.phase[p, (-s) % block]
    return int(need)


def draw(w: Any, p: int) -> int:
    """Draw what the next step gives each sequence; return the blocks for it."""
    q, step = w.rep[p, POOL], w.rep[p, STEP]
    block, need = w.pool[q, BLOCK], 0
    for i in range(w.rep[p, N]):
        r = w.who[p, i]
        made = w.req[r, GBASE] + step
        gives = accepted(w.key, r, made, w.pool[q, DRAFTS], w.factor[q, ACCEPTANCE])
        gives = min(gives, w.req[r, OUTPUT] - made)
        w.req[r, ADVANCE] = gives
        tokens = w.req[r, BASE] + step
        need += (tokens + gives + block - 1) // block - (tokens + block - 1) // block
    return int(need * w.pool[q, TAKES_BLOCKS])


def spread(w: Any, p: int) -> int:
    """Give each sequence what was drawn for it; return the tokens."""
    q, step = w.rep[p, POOL], w.rep[p, STEP]
    block, window = w.pool[q, BLOCK], w.pool[q, WINDOW]
    given = 0
    w.rep[p, STEP] = step + 1
    for i in range(w.rep[p, N]):
        r = w.who[p, i]
        gives, tokens = w.req[r, ADVANCE], w.req[r, BASE] + step
        w.phase[p, w.req[r, BASE] % block] -= 1
        w.req[r, BASE] += gives - 1
        w.req[r, GBASE] += gives - 1
        w.phase[p, w.req[r, BASE] % block] += 1
        w.rep[p, WINDOW_KEYS] += min(tokens + gives + 1, window) - min(tokens + 1, window)
        w.rep[p, BELOW] += int(tokens + gives + 1 < window) - int(tokens + 1 < window)
        given += gives
    w.rep[p, KEYS] += given
    return int(given)
