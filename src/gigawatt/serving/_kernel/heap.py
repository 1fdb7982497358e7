"""Orders: the heap of events, winner trees, the heap of those that wait, the heap of ends of a decode batch.

Ties break by the order in which things were put in, so a run is the same everywhere.
"""

from __future__ import annotations

from gigawatt.serving._kernel.state import (
    CHILD,
    EVENTS,
    NONE,
    ORDER,
    PUSHED,
    RANK,
    SIBLING,
    Floats,
    Ints,
    Table,
    World,
)


def push(w: World, at: float, kind: int, payload: int) -> None:
    """Put an event into the heap."""
    counter, event_s, event = w.counter, w.event_s, w.event
    i = counter[EVENTS]
    order = counter[PUSHED]
    counter[EVENTS] = i + 1
    counter[PUSHED] = order + 1
    while i > 0:
        up = (i - 1) >> 1
        if event_s[up] <= at:
            break
        event_s[i] = event_s[up]
        for c in range(3):
            event[i, c] = event[up, c]
        i = up
    event_s[i] = at
    event[i, 0] = order
    event[i, 1] = kind
    event[i, 2] = payload


def pop(w: World) -> tuple[int, int]:
    """Take the first event: its kind and payload."""
    counter, event, event_s = w.counter, w.event, w.event_s
    kind, payload = event[0, 1], event[0, 2]
    last = counter[EVENTS] - 1
    counter[EVENTS] = last
    at, order = event_s[last], event[last, 0]
    i = 0
    while True:
        j = 2 * i + 1
        if j >= last:
            break
        if j + 1 < last and (
            event_s[j + 1] < event_s[j] or (event_s[j + 1] == event_s[j] and event[j + 1, 0] < event[j, 0])
        ):
            j += 1
        if at < event_s[j] or (at == event_s[j] and order < event[j, 0]):
            break
        event_s[i] = event_s[j]
        for c in range(3):
            event[i, c] = event[j, c]
        i = j
    if last > 0:
        event_s[i] = at
        event[i, 0] = order
        event[i, 1] = event[last, 1]
        event[i, 2] = event[last, 2]
    return kind, payload


def replay(tree: Ints, keys: Floats, first: int, leaf: int) -> None:
    """Set the winner (smallest key, then lowest number) of the matches of a leaf anew; keys of leaf i are keys[first + i]."""
    i = (tree.shape[0] // 2 + leaf) >> 1
    while i >= 1:
        a, b = tree[2 * i], tree[2 * i + 1]
        if a == NONE or (b != NONE and keys[first + b] < keys[first + a]):
            a = b
        tree[i] = a
        i >>= 1


def before(req: Table, a: int, b: int) -> bool:
    """Whether request a goes before b."""
    if req[a, RANK] != req[b, RANK]:
        return bool(req[a, RANK] < req[b, RANK])
    return bool(req[a, ORDER] < req[b, ORDER])


def meld(req: Table, a: int, b: int) -> int:
    """Join two pairing heaps of requests that wait; return the root."""
    if a == NONE:
        return b
    if b == NONE:
        return a
    if before(req, b, a):
        a, b = b, a
    req[b, SIBLING] = req[a, CHILD]
    req[a, CHILD] = b
    return a


def put(req: Table, root: int, r: int) -> int:
    """Put a request into a heap; return the root."""
    req[r, CHILD] = NONE
    req[r, SIBLING] = NONE
    return meld(req, root, r)


def take(req: Table, root: int) -> int:
    """Take the root off a heap; return the new root (pairs from left to right, then joined from right to left)."""
    rest = req[root, CHILD]
    pairs = NONE
    while rest != NONE:
        a = rest
        b = req[a, SIBLING]
        rest = NONE
        if b != NONE:
            rest = req[b, SIBLING]
            req[b, SIBLING] = NONE
        req[a, SIBLING] = NONE
        one = meld(req, a, b)
        req[one, SIBLING] = pairs
        pairs = one
    root = NONE
    while pairs != NONE:
        following = req[pairs, SIBLING]
        req[pairs, SIBLING] = NONE
        root = meld(req, root, pairs)
        pairs = following
    return root


def sift_up(until: Ints, who: Ints, i: int) -> None:
    """Move entry i of a heap of ends up to its place."""
    key, r = until[i], who[i]
    while i > 0:
        up = (i - 1) >> 1
        if until[up] <= key:
            break
        until[i], who[i] = until[up], who[up]
        i = up
    until[i], who[i] = key, r


def sift_down(until: Ints, who: Ints, i: int, n: int) -> None:
    """Move entry i of a heap of n ends down to its place."""
    key, r = until[i], who[i]
    while True:
        j = 2 * i + 1
        if j >= n:
            break
        if j + 1 < n and until[j + 1] < until[j]:
            j += 1
        if until[j] >= key:
            break
        until[i], who[i] = until[j], who[j]
        i = j
    until[i], who[i] = key, r
