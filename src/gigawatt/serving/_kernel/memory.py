"""KV memory of a replica: units for sequences, the prefix cache, and the tiers that evicted blocks go to.

Units in use and units that could be evicted together never pass the capacity. A block of the prefix cache is an entry of
(replica, block id), made once and kept, that is on the accelerators (used, or in the list of what could be evicted), in
host memory, on disk or nowhere. Lists run from the least to the most recently used.
"""

from __future__ import annotations

from gigawatt.serving._kernel.state import (
    BASE,
    BLOCK,
    BLOCKS_FROM,
    BLOCKS_TO,
    CACHE_TOKENS,
    CACHE_UNITS,
    CACHES,
    CAPACITY,
    DECODE,
    DISK,
    DISK_UNITS,
    E_BLOCK,
    E_HOLDER,
    E_NEWER,
    E_OLDER,
    E_REPLICA,
    E_TIER,
    E_USERS,
    ENTRIES,
    EVICTABLE,
    GPU,
    HOST,
    HOST_UNITS,
    NONE,
    NOWHERE,
    PEAK,
    POOL,
    PROMPT,
    SEQUENCE_UNITS,
    SHARED,
    STATE,
    STEP,
    T_NEWEST,
    T_OLDEST,
    T_UNITS,
    TAKES_BLOCKS,
    TARGET,
    USED,
    World,
)


def units_of(w: World, q: int, tokens: int) -> int:
    """Return the units that a sequence of so many tokens takes in a replica of pool q."""
    pool = w.pool
    block = pool[q, BLOCK]
    return int(pool[q, SEQUENCE_UNITS] + pool[q, TAKES_BLOCKS] * ((tokens + block - 1) // block))


def use(w: World, p: int, units: int) -> None:
    """Take units of a replica; cached prefixes make room, the least recently used first."""
    rep = w.rep
    q = rep[p, POOL]
    rep[p, USED] += units
    rep[p, PEAK] = max(rep[p, PEAK], rep[p, USED])
    while rep[p, EVICTABLE] > 0 and rep[p, USED] + rep[p, EVICTABLE] > w.pool[q, CAPACITY]:
        evict(w, p, q)


def unlink(w: World, p: int, e: int, units: int) -> None:
    """Take an entry out of the list of its tier."""
    entry = w.entry
    tier = entry[e, E_TIER]
    older, newer = entry[e, E_OLDER], entry[e, E_NEWER]
    if older == NONE:
        w.tier[p, tier, T_OLDEST] = newer
    else:
        entry[older, E_NEWER] = newer
    if newer == NONE:
        w.tier[p, tier, T_NEWEST] = older
    else:
        entry[newer, E_OLDER] = older
    w.tier[p, tier, T_UNITS] -= units
    if tier == GPU:
        w.rep[p, EVICTABLE] -= units


def link(w: World, p: int, e: int, tier: int, units: int) -> None:
    """Put an entry at the recent end of the list of a tier."""
    entry = w.entry
    newest = w.tier[p, tier, T_NEWEST]
    entry[e, E_TIER] = tier
    entry[e, E_OLDER] = newest
    entry[e, E_NEWER] = NONE
    if newest == NONE:
        w.tier[p, tier, T_OLDEST] = e
    else:
        entry[newest, E_NEWER] = e
    w.tier[p, tier, T_NEWEST] = e
    w.tier[p, tier, T_UNITS] += units
    if tier == GPU:
        w.rep[p, EVICTABLE] += units


def evict(w: World, p: int, q: int) -> None:
    """Move the least recently used block one tier down, and what that pushes out another."""
    pool, tier, entry = w.pool, w.tier, w.entry
    units = pool[q, CACHE_UNITS]
    e = tier[p, GPU, T_OLDEST]
    unlink(w, p, e, units)
    entry[e, E_TIER] = NOWHERE
    if pool[q, HOST_UNITS] >= units:
        if tier[p, HOST, T_UNITS] + units > pool[q, HOST_UNITS]:
            out = tier[p, HOST, T_OLDEST]
            unlink(w, p, out, units)
            link(w, p, e, HOST, units)
            entry[out, E_TIER] = NOWHERE
            e = out
        else:
            link(w, p, e, HOST, units)
            return
    if pool[q, DISK_UNITS] >= units:
        if tier[p, DISK, T_UNITS] + units > pool[q, DISK_UNITS]:
            out = tier[p, DISK, T_OLDEST]
            unlink(w, p, out, units)
            entry[out, E_TIER] = NOWHERE
        link(w, p, e, DISK, units)


def place(w: World, p: int, block: int) -> int:
    """Return the place in the hash table of (replica, block): of its entry, or empty."""
    table, entry = w.table, w.entry
    mask = table.shape[0] - 1
    i = ((block * 0x9E3779B1) ^ (p * 0x85EBCA77)) & mask
    while True:
        e = table[i]
        if e == NONE or (entry[e, E_BLOCK] == block and entry[e, E_REPLICA] == p):
            return int(i)
        i = (i + 1) & mask


def entry_of(w: World, p: int, block: int) -> int:
    """Return the entry of a block in a replica, made if it was never there."""
    table, counter, entry, holder = w.table, w.counter, w.entry, w.holder
    i = place(w, p, block)
    e = table[i]
    if e == NONE:
        e = counter[ENTRIES]
        counter[ENTRIES] = e + 1
        table[i] = e
        entry[e, E_REPLICA] = p
        entry[e, E_BLOCK] = block
        entry[e, E_TIER] = NOWHERE
        entry[e, E_USERS] = 0
        entry[e, E_HOLDER] = holder[block]
        holder[block] = e
    return int(e)


def whole_blocks(w: World, r: int, q: int) -> int:
    """Return the known blocks of a prompt that a cache can hold; its last token is always computed."""
    pool, req = w.pool, w.req
    if pool[q, CACHES] == 0:
        return 0
    return int(min(req[r, BLOCKS_TO] - req[r, BLOCKS_FROM], (req[r, PROMPT] - 1) // pool[q, CACHE_TOKENS]))


def found(w: World, r: int, p: int, q: int) -> tuple[int, int, int, int]:
    """Return the leading blocks of a request that a replica has: all, of these in use by others, in host memory, on disk."""
    entry = w.entry
    blocks, in_use, host, disk = 0, 0, 0, 0
    start = w.req[r, BLOCKS_FROM]
    for i in range(whole_blocks(w, r, q)):
        e = w.table[place(w, p, w.blocks[start + i])]
        if e == NONE or entry[e, E_TIER] == NOWHERE:
            break
        blocks += 1
        in_use += entry[e, E_USERS] > 0
        host += entry[e, E_TIER] == HOST
        disk += entry[e, E_TIER] == DISK
    return blocks, in_use, host, disk


def share(w: World, r: int, p: int, q: int, upto: int, loaded: bool) -> int:
    """Let a request use the cached copies of its first `upto` blocks: those that are there (`loaded`: from any tier),
    else those that it has just computed and nobody has. Return the units that become used beyond what it holds.
    """
    holds, entry = w.holds, w.entry
    units = w.pool[q, CACHE_UNITS]
    more = 0
    start = w.req[r, BLOCKS_FROM]
    for i in range(start, start + upto):
        if holds[i]:
            continue
        e = entry_of(w, p, w.blocks[i])
        tier = entry[e, E_TIER]
        if not loaded and tier == GPU:
            continue  # somebody else computed it meanwhile: this copy stays the request's own
        if tier != NOWHERE and entry[e, E_USERS] == 0:
            unlink(w, p, e, units)
        if loaded and entry[e, E_USERS] == 0:
            more += units
        entry[e, E_TIER] = GPU
        entry[e, E_USERS] += 1
        holds[i] = 1
        w.req[r, SHARED] += units
    return more


def release(w: World, r: int, p: int) -> None:
    """Give back all units of a request; what the cache shares becomes evictable, the end of the prompt first."""
    rep, req, holds, entry, table, blocks = w.rep, w.req, w.holds, w.entry, w.table, w.blocks
    q = rep[p, POOL]
    tokens = req[r, BASE] + rep[p, STEP] if req[r, STATE] == DECODE else req[r, TARGET]
    rep[p, USED] -= units_of(w, q, tokens) - req[r, SHARED]
    if req[r, SHARED] == 0:
        return
    units = w.pool[q, CACHE_UNITS]
    for i in range(req[r, BLOCKS_FROM] + whole_blocks(w, r, q) - 1, req[r, BLOCKS_FROM] - 1, -1):
        if holds[i]:
            holds[i] = 0
            e = entry[table[place(w, p, blocks[i])], E_USERS] - 1
            entry[table[place(w, p, blocks[i])], E_USERS] = e
            if e == 0:
                rep[p, USED] -= units
                link(w, p, table[place(w, p, blocks[i])], GPU, units)
    req[r, SHARED] = 0
