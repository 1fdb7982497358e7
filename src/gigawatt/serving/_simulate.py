"""Serving as it happens: requests through the engines of a service, event by event (`_kernel`).

    requests, service -> world (tables of numbers) -> run -> ServingRun (times of every request, course, totals)

The steps take what a `StepTable` says, looked up at whole numbers of tokens.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.errors import InfeasibleError, InputError, Problem
from gigawatt.serving import _kernel as kernel
from gigawatt.serving._kernel import state
from gigawatt.serving._requests import Requests
from gigawatt.serving._service import ORDERS, POLICIES, ROUTERS, Pool, Service, check
from gigawatt.serving._serving_run import ServingRun, run_of
from gigawatt.serving._step_table import interpolate

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
MASK = 2**64 - 1
# units of a replica whose sequences take no memory
BOUNDLESS = 2**40


def simulate(
    requests: Requests,
    service: Service,
    *,
    seed: int = 0,
    horizon_s: float | None = None,
    windows: int = 100,
    timeline_steps: int = 0,
    compiled: bool = True,
) -> ServingRun:
    """Return what a service makes of requests, until the last has ended or until `horizon_s`.

    `windows` is how finely the course of the run is kept, at most; `timeline_steps` keeps so many rows
    of steps of the first replica as a Timeline. `seed` is for speculation alone: all else is given. `compiled=False` runs
    the same code as plain Python, some hundred times slower. Raises InputError for what cannot be served at all, and
    InfeasibleError where no request fits into the memory of a replica.
    """
    check(requests, service)
    if windows < 2 or timeline_steps < 0 or (horizon_s is not None and not horizon_s > 0):
        raise InputError(
            Problem(
                message="a run needs two windows or more, a horizon above 0 s and no negative number of steps",
                path="simulate",
                found=f"{windows} windows, {horizon_s} s, {timeline_steps} steps",
            )
        )
    world = world_of(requests, service, seed, math.inf if horizon_s is None else horizon_s, windows, timeline_steps)
    if compiled:
        end = kernel.compiled()(world)
    else:
        with np.errstate(over="ignore"):  # random words wrap around by intention
            end = kernel.run(world)
    return run_of(requests, service, world, end, seed)


def world_of(
    requests: Requests, service: Service, seed: int, horizon: float, windows: int, timeline_steps: int
) -> kernel.World:
    """Return requests and service as the tables of the kernel."""
    pools, count = service.pools, len(requests)
    replicas = [pool.most_replicas for pool in pools]
    total = sum(replicas)
    pool_table, factor = _pools(requests, service)
    known = pools[0].prefix_cache and len(requests.block_start) > 0
    blocks = _integers(requests.blocks) if known else np.zeros(0, np.int64)
    entries = len(blocks)
    table_size = 1 << max(2 * entries - 1, 1).bit_length()
    longest = int((requests.prompt_tokens + requests.output_tokens).max())
    products, head = _looked_up(pools, longest)
    most = max(pool.limit for pool in pools)
    rep, clock, load = _replicas(pools)
    due = np.full(total, np.inf)
    events = count + total + len(pools) + 1
    transfer = _transfer_s(service)
    span = float(requests.arrival_s.max()) or 1.0
    return kernel.World(
        key=_key(seed),
        routing=ROUTERS.index(service.router),
        closed=service.concurrency or 0,
        horizon=float(horizon),
        transfer_token_s=transfer[0],
        transfer_sequence_s=transfer[1],
        times=_times(requests),
        req=_requests(requests, pools[0], pool_table, known),
        blocks=blocks,
        holds=np.zeros(len(blocks), np.int64),
        rep=rep,
        clock=clock,
        due=due,
        load=load,
        trees=_trees(load, due, replicas),
        until=np.zeros((total, most), np.int64),
        who=np.zeros((total, most), np.int64),
        phase=np.zeros((total, max(pool.block_tokens for pool in pools)), np.int64),
        pool=pool_table,
        factor=factor,
        products=products,
        head=head,
        event_s=np.zeros(events),
        event=np.zeros((events, 3), np.int64),
        counter=np.zeros(state.COUNTERS, np.int64),
        table=np.full(table_size, -1, np.int64),
        entry=np.zeros((entries, state.E_COLUMNS), np.int64),
        holder=np.full(int(blocks.max()) + 1 if entries else 0, -1, np.int64),
        tier=_tiers(total),
        windows=np.zeros((len(pools), windows, state.W_COLUMNS)),
        width=np.array([span / windows]),
        log=np.zeros((timeline_steps, state.L_COLUMNS)),
    )


def _requests(requests: Requests, first: Pool, pools: Integers, known: bool) -> Integers:
    """Return the table of requests, with a reason for those that never fit. Raises InfeasibleError where none does."""
    req = np.zeros((len(requests), state.COLUMNS), np.int64)
    req[:, state.PROMPT] = requests.prompt_tokens
    req[:, state.OUTPUT] = requests.output_tokens
    req[:, state.TARGET] = requests.prompt_tokens
    for column in (state.REPLICA, state.SOURCE, state.NEXT, state.CHILD, state.SIBLING):
        req[:, column] = -1
    _sessions(requests, req)
    if known:
        req[:, state.BLOCKS_FROM], req[:, state.BLOCKS_TO] = requests.block_start[:-1], requests.block_start[1:]
    if first.order == "shortest_prompt":
        req[:, state.RANK] = requests.prompt_tokens
    elif first.order == "priority":
        req[:, state.RANK] = np.asarray(first.priority, dtype=np.int64)[requests.request_class]
    # the last token of an output is never read again, so it takes no place in the cache
    prompt, whole = req[:, state.PROMPT], req[:, state.PROMPT] + req[:, state.OUTPUT] - 1
    fits = np.ones(len(requests), dtype=bool)
    for q, row in enumerate(pools):
        longest = prompt if q < len(pools) - 1 else whole
        blocks = -(-longest // row[state.BLOCK]) * row[state.TAKES_BLOCKS]
        fits &= (blocks + row[state.SEQUENCE_UNITS] <= row[state.CAPACITY]) & (row[state.CAPACITY] > 0)
    req[~fits, state.REASON] = state.TOO_LONG
    if not fits.any():
        tokens = int((pools[:, state.CAPACITY] * pools[:, state.BLOCK]).min())
        raise InfeasibleError(
            f"no request fits: a replica has memory for {tokens:,} tokens of keys and values, the shortest request needs {int(whole.min()):,}",
            constraint="KV memory of a replica",
            remedy="more accelerators to a replica, more memory, or fewer bytes per weight or per key",
        )
    return req


def _pools(requests: Requests, service: Service) -> tuple[Integers, Array]:
    """Return the numbers and factors of the pools."""
    pools = service.pools
    table = np.zeros((len(pools), state.POOL_COLUMNS), np.int64)
    factor = np.zeros((len(pools), state.FACTORS))
    first = 0
    for q, pool in enumerate(pools):
        steps, row = pool.table, pool.row
        unit, takes = unit_bytes(pool)
        caches = q == 0 and pool.prefix_cache and takes and len(requests.block_start) > 0
        cache_units = requests.block_tokens // pool.block_tokens if caches else 0
        tiers = [int(tier.capacity_bytes // unit) if caches else 0 for tier in pool.tiers] + [0, 0]
        sequence = float(steps.sequence_bytes[row])
        scaler = pool.autoscaler
        numbers = {
            state.FIRST_REPLICA: first,
            state.REPLICAS: pool.most_replicas,
            state.LIMIT: pool.limit,
            state.BUDGET: pool.token_budget,
            state.POLICY: POLICIES.index(pool.policy),
            state.BY_RANK: pool.order == ORDERS[2],
            state.CAPACITY: capacity_units(pool),
            state.BLOCK: pool.block_tokens,
            state.TAKES_BLOCKS: takes,
            state.SEQUENCE_UNITS: math.ceil(sequence / unit) if unit > 0 else 0,
            state.WINDOW: steps.window,
            state.DRAFTS: pool.draft_tokens,
            state.CACHES: caches,
            state.CACHE_TOKENS: requests.block_tokens,
            state.CACHE_UNITS: cache_units,
            state.HOST_UNITS: tiers[0],
            state.DISK_UNITS: tiers[1],
            state.SCALES: scaler is not None,
            state.LEAST: scaler.least if scaler else pool.replicas,
        }
        for column, number in numbers.items():
            table[q, column] = number
        speeds = [cache_units * unit / tier.bytes_per_s for tier in pool.tiers] + [0.0, 0.0]
        factors = {
            state.KEY_S: steps.decode_key_s[row],
            state.WINDOW_KEY_S: steps.decode_window_key_s[row],
            state.PAIR_S: steps.prefill_pair_s[row],
            state.WINDOW_PAIR_S: steps.prefill_window_pair_s[row],
            state.PREFILL_S: steps.prefill_token_s[row],
            state.PROMPT_S: 0.0 if steps.prompt_s is None else steps.prompt_s[row],
            state.FIXED_S: steps.step_s[row],
            state.SEQUENCE_S: steps.sequence_s[row],
            state.DRAFT_S: pool.draft_s,
            state.ACCEPTANCE: pool.acceptance,
            state.HOST_S: speeds[0],
            state.DISK_S: speeds[1],
            state.SCALE_TARGET: scaler.target_requests if scaler else 1.0,
            state.SCALE_S: scaler.interval_s if scaler else 1.0,
            state.START_S: scaler.start_s if scaler else 0.0,
        }
        for column, value in factors.items():
            factor[q, column] = value
        first += pool.most_replicas
    return table, factor


def unit_bytes(pool: Pool) -> tuple[float, bool]:
    """Return the bytes of a unit of memory, and whether tokens take any: where they do not, a unit is a sequence."""
    block = float(pool.table.kv_bytes[pool.row]) * pool.block_tokens
    return (block, True) if block > 0 else (float(pool.table.sequence_bytes[pool.row]), False)


def capacity_units(pool: Pool) -> int:
    """Return the units of memory of a replica."""
    unit, _ = unit_bytes(pool)
    room = max(float(pool.table.kv_capacity_bytes[pool.row]), 0.0)
    if unit > 0:
        return int(room // unit)
    return BOUNDLESS if room > 0 else 0


def _looked_up(pools: tuple[Pool, ...], longest: int) -> tuple[Array, Array]:
    """Return the seconds of products and head of 0, 1, 2 .. tokens, (Q, tokens)."""
    most = max([pool.token_budget for pool in pools] + [longest for pool in pools if pool.policy != "chunked"])
    at = np.arange(most + 1, dtype=np.float64)
    rows = [np.full(len(at), pool.row, dtype=np.int64) for pool in pools]
    each = list(zip(pools, rows, strict=True))
    return (
        np.array([interpolate(pool.table.tokens, pool.table.products_s, row, at) for pool, row in each]),
        np.array([interpolate(pool.table.tokens, pool.table.head_s, row, at) for pool, row in each]),
    )


def _replicas(pools: tuple[Pool, ...]) -> tuple[Integers, Array, Array]:
    """Return the table of replicas, their times and the load that the router sees at the start."""
    total = sum(pool.most_replicas for pool in pools)
    rep = np.zeros((total, state.REPLICA_COLUMNS), np.int64)
    for column in (state.HEAD, state.TAIL, state.JOIN, state.ROOT):
        rep[:, column] = -1
    first = 0
    for q, pool in enumerate(pools):
        rep[first : first + pool.most_replicas, state.POOL] = q
        rep[first : first + pool.replicas, state.POWER] = state.UP
        first += pool.most_replicas
    load = np.where(rep[:, state.POWER] == state.UP, 0.0, state.HIDDEN)
    return rep, np.zeros((total, state.REPLICA_TIMES)), load


def _transfer_s(service: Service) -> tuple[float, float]:
    """Return the seconds per token and per sequence of a hand-over that are not hidden."""
    if service.decode_pool is None:
        return 0.0, 0.0
    table, row = service.decode_pool.table, service.decode_pool.row
    exposed = (1.0 - service.transfer_overlap) / service.transfer_bytes_per_s
    return float(table.kv_bytes[row]) * exposed, float(table.sequence_bytes[row]) * exposed


def _winner_tree(keys: Array, size: int) -> Integers:
    """Return a tree of winners: node 1 is the leaf with the smallest key, leaf i is node size + i; -1 is nobody."""
    tree = np.full(2 * size, -1, np.int64)
    tree[size : size + len(keys)] = np.arange(len(keys))
    for i in range(size - 1, 0, -1):
        a, b = tree[2 * i], tree[2 * i + 1]
        tree[i] = b if a < 0 or (b >= 0 and keys[b] < keys[a]) else a
    return tree


def _trees(load: Array, due: Array, replicas: list[int]) -> Integers:
    """Return the winner trees over the load of each pool, and over the ends of steps of all replicas."""
    edges = np.concatenate(([0], np.cumsum(replicas))).tolist()
    keys = [*(load[a:b] for a, b in pairwise(edges)), due]
    return np.array([_winner_tree(each, _power_of_two(len(due))) for each in keys])


def _power_of_two(n: int) -> int:
    return max(1 << (n - 1).bit_length(), 2)


def _tiers(total: int) -> Integers:
    tier = np.full((total, 3, state.T_COLUMNS), -1, np.int64)
    tier[:, :, state.T_UNITS] = 0
    return tier


def _times(requests: Requests) -> Array:
    """Return the table of times of requests: nothing has happened yet."""
    times = np.full((len(requests), state.TIMES), -1.0)
    times[:, state.ARRIVAL] = requests.arrival_s
    times[:, state.PAUSE] = requests.pause_s if len(requests.pause_s) else 0.0
    return times


def _sessions(requests: Requests, req: Integers) -> None:
    """Write who waits for whom into the table of requests: those that wait for the same as a list, in order."""
    for column in (state.AFTER, state.FIRST_KID, state.NEXT_KID):
        req[:, column] = -1
    if not len(requests.after):
        return
    req[:, state.AFTER] = requests.after
    kids = np.flatnonzero(requests.after >= 0)
    kids = kids[np.argsort(requests.after[kids], kind="stable")]
    parents = requests.after[kids]
    first = np.append(True, parents[1:] != parents[:-1])[: len(kids)]
    req[parents[first], state.FIRST_KID] = kids[first]
    req[kids[:-1][~first[1:]], state.NEXT_KID] = kids[1:][~first[1:]]


def _integers(values: Any) -> Integers:
    return np.ascontiguousarray(values, dtype=np.int64)


def _key(seed: int) -> np.uint64:
    """Return the key of a seed: two rounds of SplitMix64's mixing, so that neighbours have nothing in common."""
    word = seed & MASK
    for _ in range(2):
        word = (word + 0x9E3779B97F4A7C15) & MASK
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & MASK
        word ^= word >> 31
    return np.uint64(word)
