"""One replicate: its state at the start, and its run. What needs memory gets it here, nowhere else."""

from __future__ import annotations

import numpy as np

from gigawatt.reliability._kernel.chance import below
from gigawatt.reliability._kernel.clock import stop
from gigawatt.reliability._kernel.heap import push
from gigawatt.reliability._kernel.loop import finish, pass_time
from gigawatt.reliability._kernel.state import (
    COLUMNS,
    COUNTS,
    ENTRY,
    FOUND,
    FREE,
    MARK,
    NONE,
    PLANNED_STOP,
    SHARE,
    UP,
    Books,
    Fleet,
    Queue,
    Rules,
    Words,
    World,
)


def run(key: np.uint64, rules: Rules, books: Books) -> float:
    """Run one replicate, fill the books and return its wall time, seconds."""
    w = begin(key, rules, books)
    wall = pass_time(w)
    finish(w, wall)
    return wall


def begin(key: np.uint64, rules: Rules, books: Books) -> World:
    """Return the state at the start: groups that start, planned stops in the queue."""
    rng = np.empty(1, np.uint64)
    rng[0] = key
    fleet = muster(rules, rng)
    st = np.zeros((rules.groups, COLUMNS))
    for g in range(rules.groups):
        st[g, SHARE] = 1.0
        st[g, MARK] = -1.0
        st[g, FOUND] = np.inf
        st[g, ENTRY] = -1.0
        stop(st, g, 0.0, 0.0, rules.start_s, 0.0, 1)
    stops = rules.planned.shape[0]
    room = rules.nodes + rules.spares + rules.cells + rules.groups + stops
    queue = Queue(np.empty(room), np.empty(room, np.int64), np.empty(room, np.int64), np.zeros(1, np.int64))
    for i in range(stops):
        push(queue, rules.planned[i, 0], PLANNED_STOP, i)
    return World(
        rules=rules,
        fleet=fleet,
        queue=queue,
        st=st,
        kept=np.empty_like(st),
        rng=rng,
        books=books,
        kept_seconds=np.empty_like(books.seconds),
        silent=Books(books.seconds, books.causes, books.extra, np.empty((0, 4)), books.log_size),
    )


def muster(rules: Rules, rng: Words) -> Fleet:
    """Return the fleet at the start: every slot taken, all spares at hand, the repeat offenders drawn."""
    everyone = rules.nodes + rules.spares
    node_at = np.empty(rules.nodes, np.int64)
    slot_of = np.full(everyone, NONE, np.int64)
    for i in range(rules.nodes):
        node_at[i] = i
        slot_of[i] = i
    offender = np.zeros(everyone, np.int64)
    bad = np.empty(rules.offenders, np.int64)
    for i in range(rules.offenders):
        node = below(rng, rules.nodes)
        while offender[node] == 1:
            node = below(rng, rules.nodes)
        offender[node] = 1
        bad[i] = node
    pool = np.empty(everyone, np.int64)
    for i in range(rules.spares):
        pool[i] = everyone - 1 - i
    counts = np.zeros(COUNTS, np.int64)
    counts[FREE] = rules.spares
    counts[UP] = rules.cells
    return Fleet(
        node_at=node_at,
        slot_of=slot_of,
        born=np.full(everyone, -rules.age_s),
        slow=np.zeros(everyone, np.int64),
        suspect=np.zeros(everyone, np.int64),
        offender=offender,
        broken=np.zeros(everyone, np.int64),
        bad=bad,
        pool=pool,
        first_empty=np.full(rules.cells, NONE, np.int64),
        next_empty=np.full(rules.nodes, NONE, np.int64),
        lacking=np.zeros(rules.cells, np.int64),
        stragglers=np.zeros(rules.cells, np.int64),
        down=np.zeros(rules.cells, np.int64),
        coming=np.zeros(rules.cells, np.int64),
        counts=counts,
    )
