"""What a replicate is made of: the rules, which never change, and the state, arrays that the functions of this package
write into. Plain tuples with names, since numba knows them.

Shapes: G groups, K processes (the last one is stragglers), N slots (nodes of the job), S spares, A = N + S nodes, C
cells, E places in the queue. A *group* stops together: the job, or one island. A *cell* idles together while it lacks
nodes: a replica under DROP, else a group. Times in seconds from the start of the job.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

NONE = -1
# categories of wall time: columns of Books.seconds
USEFUL, REPLAYED, STALL, DETECTION, RESTART, DEGRADED, WAITING, MAINTENANCE, CATEGORIES = range(9)
# counters in Books.extra: nodes without a spare, corruptions older than what is kept, most nodes out, failures handled
SHORT, OLD, MOST_OUT, HANDLED, EXTRAS = range(5)
# what a failed node means for the rest of the job: it stops; it goes on without a replica; it goes on without the node
GANG, DROP, ELASTIC = range(3)
# kinds of processes, and columns of Rules.scope and Rules.hazard
FAILURE, CORRUPTION, STRAGGLER = range(3)
REACH, HARDWARE, KIND, FALLS_BACK = range(4)
BOUND, POWER, REFERENCE_AGE, BURN_IN = range(4)
# kinds of due events
REPAIRED, CORRUPTION_FOUND, STRAGGLER_FOUND, PLANNED_STOP, REPLICA_READY = range(5)
# places in Fleet.counts: spares at hand, nodes under repair, empty slots, replicas that work, the cell that lends
FREE, OUT, LACKING, UP, DONOR, COUNTS = range(6)
# columns of the state of a group
(
    LAST,  # moved on to this time
    POS,  # seconds into the present interval
    UNSAVED,  # useful seconds in it
    SAVED,  # useful seconds up to its last save
    BEFORE,  # useful seconds of the interval before
    SINCE,  # saves since the work last went back or was saved by hand
    DETECT,  # what is left of the stop under way, state by state
    DRAIN,
    BACK,
    REPLAY,
    WHOLE,  # 1 while that stop goes back to a checkpoint
    SLOW,  # stragglers that slow the group: not those of replicas that have left
    SHARE,  # of its rate at which it works
    MISSING,  # nodes without which it waits
    UNTIL,  # end of the planned stop
    MARK,  # useful seconds saved at the first undetected corruption, NONE for none
    FOUND,  # when the first of its corruptions will be found, infinite where nothing is in the queue
    CAUSE,  # the process of that corruption
    CULPRIT,  # its node, its slot where it comes from a larger domain
    ENTRY,  # its last row of the log
    COLUMNS,
) = range(21)


class Rules(NamedTuple):
    """The question. `stream` (2K,) candidates per second: of all nodes, then of the repeat offenders; `hazard` (K, 4)
    bound, shape minus 1, reference age, burn-in; `scope` (K, 4) nodes of the domain (0 = the whole job), whether it is
    hardware, kind, whether it falls back to the remote store; `repair` (K,) mean seconds; `planned` (M, 2) start, duration.
    """

    mode: int
    nodes: int
    spares: int
    groups: int
    per_group: int  # slots
    cells: int
    per_cell: int  # slots
    offenders: int
    evict_after: int  # failures of a repeat offender
    horizon_s: float
    target_s: float  # useful seconds after which the run ends, 0 for none
    start_s: float
    age_s: float  # of the nodes at the start
    interval_s: float
    save_s: float
    lag_s: float  # upload of a save
    detect_s: float  # a stop that goes back to a checkpoint
    drain_s: float
    back_s: float
    replay_s: float
    part_detect_s: float  # a stop after which the rest goes on
    part_drain_s: float
    part_back_s: float
    part_replay_s: float
    replica_back_s: float
    fallback_s: float  # useful time between saves in the remote store, 0 for none
    fallback_back_s: float
    slowdown: float
    straggler_detect_s: float
    corruption_detect_s: float
    kept_checkpoints: float
    stream: Floats
    hazard: Floats
    scope: Ints
    repair: Floats
    planned: Floats


class Fleet(NamedTuple):
    """Who stands where. `node_at` (N,) and `slot_of` (A,) point at each other, NONE where there is nobody. Of each node (A,)
    its birth, whether it is slow, whether it has corrupted work unnoticed, whether it is a repeat offender and how often
    it failed as one; `bad` (O,) are the offenders of the start. `pool` (A,) begins with the spares at hand. The empty
    slots of a cell are a linked list.
    """

    node_at: Ints
    slot_of: Ints
    born: Floats
    slow: Ints
    suspect: Ints
    offender: Ints
    broken: Ints
    bad: Ints
    pool: Ints
    first_empty: Ints  # (C,)
    next_empty: Ints  # (N,)
    lacking: Ints  # (C,) empty slots
    stragglers: Ints  # (C,)
    down: Ints  # (C,) whether the replica has left
    coming: Ints  # (C,) whether it has left, has all its nodes and is in the queue
    counts: Ints


class Queue(NamedTuple):
    """What is due: a heap of times with kinds and payloads (E,), the first `size[0]` of them. E = A + C + G + M places: a
    node is under repair or a straggler that will be found, a replica comes back, the first corruption of a group is
    found, a planned stop begins. The payload is the number of that node, replica, group or stop.
    """

    due: Floats
    kind: Ints
    payload: Ints
    size: Ints


class Books(NamedTuple):
    """What a replicate leaves: seconds (8,), interruptions (K,), extra (4,), the log (rows of group, category, start,
    end, as far as it goes) and its rows written (1,).
    """

    seconds: Floats
    causes: Floats
    extra: Floats
    log: Floats
    log_size: Ints


class World(NamedTuple):
    """All of it: `st` (G, COLUMNS) is the state of the groups, `rng` (1,) that of the random numbers; `kept` and
    `kept_seconds` are copies to go back to, `silent` the books without a log.
    """

    rules: Rules
    fleet: Fleet
    queue: Queue
    st: Floats
    kept: Floats
    rng: Words
    books: Books
    kept_seconds: Floats
    silent: Books
