"""What a run is made of: tables of integers and floats that the functions of this package write into, with the names of
their columns. Plain tuples with names, since numba knows them.

Shapes: R requests, P replicas (all pools), Q pools (1, or 2: prefill then decode), S most sequences of a replica, B tokens
of a KV block, U units of memory. A *unit* is the memory of one KV block; what a sequence takes besides is rounded up to
units. Times are seconds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# by number of dimensions: the functions are compiled for what they are annotated with
Floats = NDArray[np.float64]
FloatTable = NDArray[np.float64]
FloatCube = NDArray[np.float64]
Ints = NDArray[np.int64]
Table = NDArray[np.int64]
Cube = NDArray[np.int64]

NONE = -1
# columns of the times of a request; NONE where it never came to that
READY, ADMITTED, FIRST, FINISH, ARRIVAL, PAUSE, TIMES = range(7)
# columns of the state of a request
(
    PROMPT,
    OUTPUT,
    RANK,  # what it is ordered by before the order of arrival
    ORDER,  # how many were ready before it
    REPLICA,  # where it is, or ended
    SOURCE,  # the prefill replica that holds its keys, under separate pools
    CACHED,  # prompt tokens found in the prefix cache at its first start
    PREEMPTED,
    REASON,  # why it was not served
    STATE,
    GENERATED,  # output tokens before it began to decode here
    BASE,  # tokens in the KV cache, less the step counter of its replica: constant while it decodes
    GBASE,  # output tokens, less that counter
    TARGET,  # tokens to prefill: the prompt, and after a preemption what was generated
    DONE,  # of which this many are there, or under way
    SHARED,  # units that it shares through the prefix cache
    ADVANCE,  # tokens that the step under way gives it (speculative decoding)
    NEXT,  # in the queue of prefills, or of those that join the decode batch
    CHILD,  # links of the heap of those that wait
    SIBLING,
    WEIGHT,  # prompt tokens that the router counts for it
    AFTER,  # the request that it waits for
    FIRST_KID,  # the first of those that wait for it
    NEXT_KID,  # the next that waits for the same
    BLOCKS_FROM,  # its known blocks
    BLOCKS_TO,
    COLUMNS,
) = range(27)
# states of a request
AWAY, WAITING, LOADING, PREFILL, DECODE, JOINING, HANDED, ENDED = range(8)
# reasons for not being served
SERVED, TOO_LONG, HORIZON, FOLLOWS = range(4)

# columns of the state of a replica
(
    POOL,
    POWER,
    STEP,  # decode steps so far: the clock of its sequences
    N,  # sequences that decode
    KEYS,  # sum of their tokens in the cache
    WINDOW_KEYS,  # sum of min(tokens + 1, window)
    BELOW,  # how many of them are still shorter than the window
    USED,  # units held by sequences
    EVICTABLE,  # units of cached prefixes that nobody uses
    HEAD,  # queue of prefills
    TAIL,
    JOIN,  # those whose keys have arrived
    ROOT,  # heap of those that wait
    QUEUED,  # their number
    SLOTS,  # sequences admitted and not ended
    STEPS,  # steps under way: one, or many of pure decode
    TAKES,  # whether they decode
    CHUNKS,  # sequences of which they prefill a part
    COUNT,  # engine steps so far
    PEAK,  # most units used
    PREEMPTIONS,
    PREFILLED,  # tokens
    DECODED,  # tokens
    REPLICA_COLUMNS,
) = range(24)
OFF, STARTING, UP, DRAINING = range(4)
# columns of the times of a replica
(
    BEGUN,  # of the steps under way
    FIRST_S,  # seconds of the first of them
    SLOPE_S,  # by which each is longer than the one before
    LINK,  # until when its link to the decode pool is busy
    FETCH,  # until when its tiers are busy
    BUSY_S,
    ON_SINCE,
    ON_S,
    REPLICA_TIMES,
) = range(9)

# columns of the numbers of a pool
(
    FIRST_REPLICA,
    REPLICAS,
    LIMIT,
    BUDGET,
    POLICY,
    BY_RANK,  # 1 where the last in rank is preempted, not the last to arrive
    CAPACITY,  # units
    BLOCK,  # tokens
    TAKES_BLOCKS,  # 0 where tokens take no memory
    SEQUENCE_UNITS,
    WINDOW,
    DRAFTS,
    CACHES,
    CACHE_TOKENS,  # tokens of a block of the prefix cache
    CACHE_UNITS,
    HOST_UNITS,
    DISK_UNITS,
    SCALES,
    LEAST,
    POOL_COLUMNS,
) = range(20)
CHUNKED, PREFILL_FIRST, STATIC = range(3)
# columns of the factors of a pool
(
    KEY_S,
    WINDOW_KEY_S,
    PAIR_S,
    WINDOW_PAIR_S,
    PREFILL_S,
    FIXED_S,
    SEQUENCE_S,
    DRAFT_S,
    ACCEPTANCE,
    HOST_S,  # per block of the prefix cache
    DISK_S,
    SCALE_TARGET,
    SCALE_S,
    START_S,
    PROMPT_S,
    FACTORS,
) = range(16)
ROUND_ROBIN, LEAST_LOADED, PREFIX_AWARE = range(3)
# what the load of a replica that takes no requests is raised by: more tokens than any run has, and still exact in a float
HIDDEN = 1e15

# kinds of events
READY_NOW, FETCHED, TRANSFERRED, SCALE, REPLICA_UP = range(5)
# counters of a run: events in the heap and ever pushed, requests ready, requests still to be served, steps in the log,
# entries of the cache, the next request of a closed loop; by pool, the turn of the router and the requests inside
EVENTS, PUSHED, ARRIVED, LEFT, LOGGED, ENTRIES, FOLLOWING, TURN_0, TURN_1, INFLIGHT_0, INFLIGHT_1, COUNTERS = range(12)
# columns of the windows of time
W_BUSY, W_KV, W_SEQUENCES, W_TOKENS, W_PREFILL, W_ON, W_KV_MAX, W_COLUMNS = range(8)
# columns of an entry of the prefix cache; tiers
E_REPLICA, E_BLOCK, E_TIER, E_USERS, E_OLDER, E_NEWER, E_HOLDER, E_COLUMNS = range(8)
GPU, HOST, DISK, NOWHERE = range(4)
T_OLDEST, T_NEWEST, T_UNITS, T_COLUMNS = range(4)
# columns of the log of steps of the first replica
L_BEGIN, L_END, L_STEPS, L_DECODE, L_PREFILL, L_COLUMNS = range(6)


class World(NamedTuple):
    """All of it.

    `times` (R, TIMES) and `req` (R, COLUMNS); `blocks` as in `Requests`, `holds` like `blocks`: whether the request uses
    the cached copy.
    `rep` (P, REPLICA_COLUMNS) and `clock` (P, REPLICA_TIMES); `due` (P,): end of the steps under way. `load` (P,):
    tokens that the router counts. `trees` (Q + 1, 2 * leaves): winner trees over the load of each pool, and over `due`. `until` (P, S): heap of the step at which a sequence ends or fills the window; `who` (P, S) it is.
    `phase` (P, B): sequences whose tokens in the cache, less the step counter, leave this rest.
    `pool` (Q, POOL_COLUMNS), `factor` (Q, FACTORS), `products` and `head` (Q, tokens): seconds of whole numbers of tokens.
    `event_s`, `event` (E, 3: order, kind, payload) a heap. `table` (power of two,) hash of (replica, block) to `entry`;
    `holder` (block ids,) first entry of a block; `tier` (P, 3, T_COLUMNS) lists from oldest to newest.
    `windows` (Q, W, W_COLUMNS), `width` (1,): s. `log` (steps, L_COLUMNS) of replica 0.
    """

    key: np.uint64
    routing: int
    closed: int
    horizon: float
    transfer_token_s: float  # that is not hidden behind the prefill
    transfer_sequence_s: float
    times: FloatTable
    req: Table
    blocks: Ints
    holds: Ints
    rep: Table
    clock: FloatTable
    due: Floats
    load: Floats
    trees: Table
    until: Table
    who: Table
    phase: Table
    pool: Table
    factor: FloatTable
    products: FloatTable
    head: FloatTable
    event_s: Floats
    event: Table
    counter: Ints
    table: Ints
    entry: Table
    holder: Ints
    tier: Cube
    windows: FloatCube
    width: Floats
    log: FloatTable
