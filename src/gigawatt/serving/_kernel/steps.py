"""The steps of a replica: what goes in, how long it takes; and many steps of pure decode at once.

Between two events of its batch (an end, a full window, the edge of memory) a replica that only decodes repeats the same
step with linearly growing keys, so it takes all of them in one go; who comes meanwhile cuts that short (`cut`).
"""

from __future__ import annotations

from gigawatt.serving._kernel.admission import BLOCKED, ELSEWHERE, admit, preempt
from gigawatt.serving._kernel.batch import draw, enter, growth
from gigawatt.serving._kernel.heap import replay
from gigawatt.serving._kernel.memory import use
from gigawatt.serving._kernel.state import (
    BEGUN,
    BELOW,
    BUDGET,
    CAPACITY,
    CHUNKED,
    CHUNKS,
    DONE,
    DRAFT_S,
    DRAFTS,
    FIRST_S,
    FIXED_S,
    HANDED,
    HEAD,
    JOIN,
    KEY_S,
    KEYS,
    NEXT,
    NONE,
    PAIR_S,
    POLICY,
    POOL,
    PREFILL_S,
    PREFILLED,
    PROMPT_S,
    ROOT,
    SEQUENCE_S,
    SLOPE_S,
    SLOTS,
    STATE,
    STATIC,
    STEP,
    STEPS,
    TAKES,
    TARGET,
    USED,
    WINDOW,
    WINDOW_KEY_S,
    WINDOW_KEYS,
    WINDOW_PAIR_S,
    N,
    World,
)


def window_pairs(window: int, done: int, tokens: int) -> float:
    """Return sum of min(done + i, window) over i = 1 .. tokens."""
    short = min(max(window - done, 0), tokens)
    return short * done + 0.5 * short * (short + 1.0) + float(tokens - short) * window


def secure(w: World, p: int) -> bool:
    """Make room for one decode step of the batch, preempting where there is none; return whether anybody had to leave."""
    rep, pool = w.rep, w.pool
    q = rep[p, POOL]
    left = False
    while rep[p, N] > 0:
        need = draw(w, p) if pool[q, DRAFTS] > 0 else growth(w, p, 1)
        if need <= pool[q, CAPACITY] - rep[p, USED]:
            use(w, p, need)
            break
        left = True
        if not preempt(w, p):
            break
    return left


def receive(w: World, p: int, t: float) -> None:
    """Let the keys of those that wait come over while there is room."""
    rep = w.rep
    while rep[p, ROOT] != NONE and w.req[rep[p, ROOT], STATE] == HANDED:
        if admit(w, p, t) == BLOCKED:
            break


def begin(w: World, p: int, t: float) -> None:
    """Begin the next step of a replica, or let it rest."""
    rep, req, pool, factor, clock = w.rep, w.req, w.pool, w.factor, w.clock
    q = rep[p, POOL]
    while rep[p, JOIN] != NONE:
        r = rep[p, JOIN]
        rep[p, JOIN] = req[r, NEXT]
        enter(w, r, p)
    policy, drafts = pool[q, POLICY], pool[q, DRAFTS]
    decodes, preempted, left = policy == CHUNKED, False, pool[q, BUDGET]
    if decodes:
        preempted = secure(w, p)
        left -= rep[p, N] * (1 + drafts)
    opened = policy != STATIC or rep[p, SLOTS] == 0
    if opened and policy == STATIC:
        while admit(w, p, t) != BLOCKED:
            pass
        opened = False
    # the chunks of this step: first of those that run, then of those that wait
    chunks, tokens, ends, pairs, narrow, window = 0, 0, 0, 0.0, 0.0, pool[q, WINDOW]
    r = rep[p, HEAD]
    while left > 0:
        if r == NONE:
            if preempted or not opened:
                break
            r = admit(w, p, t)
            if r == BLOCKED:
                break
            if r == ELSEWHERE:
                r = NONE
                continue
        done, rest = req[r, DONE], req[r, TARGET] - req[r, DONE]
        take = min(rest, left)
        if policy != CHUNKED:  # whole prompts: the first however long it is
            if chunks > 0 and rest > left:
                break
            take = rest
        req[r, DONE] = done + take
        chunks += 1
        tokens += take
        left -= take
        pairs += float(take) * done + 0.5 * take * (take + 1.0)
        if window > 0:
            narrow += window_pairs(window, done, take)
        if take < rest:
            break
        ends += 1
        r = req[r, NEXT]
    if not preempted:
        receive(w, p, t)
    if chunks == 0 and not decodes:
        decodes = True
        secure(w, p)
    n = rep[p, N] if decodes else 0
    rep[p, CHUNKS], rep[p, TAKES] = chunks, n
    rep[p, PREFILLED] += tokens
    if chunks == 0 and n == 0:
        rep[p, STEPS] = 0
        set_due(w, p, float("inf"))
        return
    computed, sampled = tokens + n * (1 + drafts), ends + n * (1 + drafts)
    seconds = w.products[q, computed] + w.head[q, sampled] + factor[q, FIXED_S]
    seconds += factor[q, SEQUENCE_S] * (n + chunks)
    if chunks > 0:
        seconds += (
            factor[q, PROMPT_S]
            + factor[q, PAIR_S] * pairs
            + factor[q, WINDOW_PAIR_S] * narrow
            + factor[q, PREFILL_S] * tokens
        )
    slope, steps = 0.0, 1
    if n > 0:
        seconds += factor[q, KEY_S] * (rep[p, KEYS] + n) + factor[q, WINDOW_KEY_S] * rep[p, WINDOW_KEYS]
        seconds += factor[q, DRAFT_S]
        if chunks == 0 and drafts == 0:
            slope = factor[q, KEY_S] * n + factor[q, WINDOW_KEY_S] * rep[p, BELOW]
            steps = most_steps(w, p, q)
    rep[p, STEPS] = steps
    clock[p, BEGUN], clock[p, FIRST_S], clock[p, SLOPE_S] = t, seconds, slope
    set_due(w, p, t + seconds * steps + 0.5 * slope * steps * (steps - 1.0))


def most_steps(w: World, p: int, q: int) -> int:
    """Return how many steps the batch can decode before anything happens, and take the memory for them (that for the
    first is taken).
    """
    rep = w.rep
    most = w.until[p, 0] - rep[p, STEP]
    taken = growth(w, p, 1)
    room = w.pool[q, CAPACITY] - rep[p, USED] + taken
    if growth(w, p, most) > room:
        low = 1
        while most - low > 1:
            middle = (low + most) // 2
            if growth(w, p, middle) > room:
                most = middle
            else:
                low = middle
        most = low
    use(w, p, growth(w, p, most) - taken)
    return int(most)


def set_due(w: World, p: int, at: float) -> None:
    """Say when the steps under way of a replica end."""
    due = w.due
    due[p] = at
    replay(w.trees[w.pool.shape[0]], due, 0, p)


def cut(w: World, p: int, t: float) -> None:
    """End the steps under way with the one that runs at time t; the memory taken for the others is given back."""
    rep, clock = w.rep, w.clock
    steps = rep[p, STEPS]
    low, high = 0, steps
    first, slope, since = clock[p, FIRST_S], clock[p, SLOPE_S], clock[p, BEGUN]
    while high - low > 1:
        middle = (low + high) // 2
        if since + first * middle + 0.5 * slope * middle * (middle - 1.0) < t:
            low = middle
        else:
            high = middle
    if high < steps:
        rep[p, USED] -= growth(w, p, steps) - growth(w, p, high)
        rep[p, STEPS] = high
        set_due(w, p, since + first * high + 0.5 * slope * high * (high - 1.0))


def wake(w: World, p: int, t: float) -> None:
    """Let a replica see that something has changed: at once, but after all else that happens at this time."""
    if w.rep[p, STEPS] == 0:
        set_due(w, p, t)
    elif w.rep[p, STEPS] > 1:
        cut(w, p, t)
