"""What happens at an event. Each function moves the groups that it touches on to `t` first.

`due` says what comes out of the queue, `candidate` what a candidate of the failure processes turns into. Both return
which process fails, at which slot, and which group found its work corrupted, NONE for each that there is not; `strike`
is the failure.
"""

from __future__ import annotations

import math

from gigawatt.reliability._kernel.chance import below, exponential, uniform
from gigawatt.reliability._kernel.clock import advance, busy, go_back, roll_back, save_now, stop
from gigawatt.reliability._kernel.heap import pop, push, revoke
from gigawatt.reliability._kernel.nodes import count_straggler, fill, steady, take_out
from gigawatt.reliability._kernel.state import (
    BOUND,
    BURN_IN,
    CAUSE,
    CORRUPTION,
    CORRUPTION_FOUND,
    CULPRIT,
    DROP,
    ELASTIC,
    FALLS_BACK,
    FOUND,
    FREE,
    GANG,
    HANDLED,
    HARDWARE,
    KIND,
    LACKING,
    MARK,
    NONE,
    OLD,
    OUT,
    POWER,
    REACH,
    REFERENCE_AGE,
    REPAIRED,
    REPLICA_READY,
    SAVED,
    SHARE,
    SLOW,
    STRAGGLER,
    STRAGGLER_FOUND,
    UNTIL,
    UP,
    WHOLE,
    World,
)


def due(w: World, t: float) -> tuple[int, int, int]:
    """Take the first event out of the queue and let it happen."""
    kind, payload = w.queue.kind[0], w.queue.payload[0]
    pop(w.queue)
    if kind == CORRUPTION_FOUND:
        return corruption_found(w, payload, t)
    if kind == STRAGGLER_FOUND:
        return straggler_found(w, payload, t)
    if kind == REPAIRED:
        repaired(w, payload, t)
    elif kind == REPLICA_READY:
        replica_ready(w, payload, t)
    else:
        planned_stop(w, payload, t)
    return NONE, NONE, NONE


def repaired(w: World, node: int, t: float) -> None:
    """Bring a node back, as a new one if it has failed too often: to the cell that waits for it, else to the spares."""
    fleet = w.fleet
    fleet.counts[OUT] -= 1
    if fleet.offender[node] == 1 and fleet.broken[node] >= w.rules.evict_after:
        fleet.offender[node] = 0
        fleet.born[node] = t
    if fleet.counts[LACKING] == 0:
        fleet.pool[fleet.counts[FREE]] = node
        fleet.counts[FREE] += 1
        return
    cell = fill(w, node, t)
    if w.rules.mode == ELASTIC and w.st[0, UNTIL] > t:
        take_in(w, 0)
    if w.rules.mode == DROP and fleet.lacking[cell] == 0 and fleet.down[cell] == 1:
        fleet.coming[cell] = 1
        push(w.queue, t + w.rules.replica_back_s, REPLICA_READY, cell)


def replica_ready(w: World, replica: int, t: float) -> None:
    """Let a replica in again; the others stop for it unless they stand still anyway. The first one, where none was left to
    give it the state, takes that from the last checkpoint, for which it needs the time that this takes longer.
    """
    rules, fleet, st = w.rules, w.fleet, w.st
    alone = fleet.counts[UP] == 0
    fleet.coming[replica] = 0
    fleet.down[replica] = 0
    fleet.counts[UP] += 1
    for g in range(rules.groups):  # one, as replicas are dropped from a job without islands
        advance(st, g, t, rules, w.books)
        st[g, SHARE] = fleet.counts[UP] / rules.cells
        st[g, SLOW] += fleet.stragglers[replica]
        if busy(st, g) and (st[g, WHOLE] == 1 or not alone):
            continue
        if alone:
            stop(st, g, 0.0, rules.part_drain_s, max(rules.back_s - rules.replica_back_s, 0.0), 0.0, 1)
        elif st[g, UNTIL] <= t:
            stop(st, g, 0.0, rules.part_drain_s, 0.0, 0.0, 0)


def take_in(w: World, g: int) -> None:
    """Let group `g`, which stands still, go on with all nodes that are there."""
    w.st[g, SHARE] = (w.rules.nodes - w.fleet.counts[LACKING]) / w.rules.nodes


def planned_stop(w: World, number: int, t: float) -> None:
    """Save and stop all groups for planned maintenance; nodes that are back, or will be by its end, go on with the rest."""
    st = w.st
    for g in range(w.rules.groups):
        advance(st, g, t, w.rules, w.books)
        save_now(st, g)
        stop(st, g, 0.0, w.rules.save_s, w.rules.back_s, 0.0, 1)
        st[g, UNTIL] = max(st[g, UNTIL], t + w.rules.planned[number, 1])
        if w.rules.mode == ELASTIC:
            take_in(w, g)


def corruption_found(w: World, g: int, t: float) -> tuple[int, int, int]:
    """Let group `g` go back to before its first corruption, unless that work is gone already."""
    rules, fleet, st = w.rules, w.fleet, w.st
    st[g, FOUND] = math.inf
    if st[g, MARK] < 0:
        return NONE, NONE, NONE
    advance(st, g, t, rules, w.books)
    kept = rules.kept_checkpoints
    if kept > 0 and st[g, SAVED] - st[g, MARK] > kept * rules.interval_s:
        w.books.extra[OLD] += 1
    go_back(st, g, st[g, MARK], w.books)
    k, culprit = int(st[g, CAUSE]), int(st[g, CULPRIT])
    if rules.scope[k, REACH] != 1:
        return k, culprit, g
    return k, fleet.slot_of[culprit] if fleet.suspect[culprit] == 1 else NONE, g


def straggler_found(w: World, node: int, t: float) -> tuple[int, int, int]:
    """Swap a straggler."""
    slot = w.fleet.slot_of[node]
    advance(w.st, slot // w.rules.per_group, t, w.rules, w.books)
    steady(w, node)
    return w.rules.repair.shape[0] - 1, slot, NONE


def pick(w: World, rate: float) -> int:
    """Return the stream (of 2K, which sum to `rate`) that the next candidate comes from."""
    stream = w.rules.stream
    left = uniform(w.rng) * rate
    i = 0
    while i < stream.shape[0] - 1 and left >= stream[i]:
        left -= stream[i]
        i += 1
    return i


def candidate(w: World, i: int, t: float) -> tuple[int, int, int]:
    """Draw the slot that a candidate of stream `i` hits. What nobody sees yet is noted, to be found later."""
    rules, fleet = w.rules, w.fleet
    kinds = rules.repair.shape[0]
    if i < kinds:
        k, slot = i, below(w.rng, rules.nodes)
    else:
        k, node = i - kinds, fleet.bad[below(w.rng, rules.offenders)]
        slot = fleet.slot_of[node] if fleet.offender[node] == 1 else NONE
    if slot < 0 or not happens(w, k, slot, t):
        return NONE, NONE, NONE
    if rules.scope[k, KIND] == CORRUPTION:
        corrupt(w, k, slot, t)
        return NONE, NONE, NONE
    if rules.scope[k, KIND] == STRAGGLER:
        slow_down(w, slot, t)
        return NONE, NONE, NONE
    return k, slot, NONE


def happens(w: World, k: int, slot: int, t: float) -> bool:
    """Return whether a candidate at a slot is a failure: not where a node's slot is empty, and thinned by its age."""
    hazard, node = w.rules.hazard, w.fleet.node_at[slot]
    if node < 0 and w.rules.scope[k, REACH] == 1:
        return False
    if hazard[k, POWER] == 0.0:
        return True
    age = t - w.fleet.born[node] if node >= 0 else t + w.rules.age_s
    ratio = max(age, hazard[k, BURN_IN]) / hazard[k, REFERENCE_AGE]
    return bool(uniform(w.rng) * hazard[k, BOUND] <= ratio ** hazard[k, POWER])


def corrupt(w: World, k: int, slot: int, t: float) -> None:
    """Mark the last save as the last clean one of its group, and let the corruption be found after a while. Of several
    the first that is found counts, as the group then goes back to before all of them.
    """
    rules, fleet, st = w.rules, w.fleet, w.st
    g = slot // rules.per_group
    advance(st, g, t, rules, w.books)
    if st[g, UNTIL] > t:
        return  # in a planned stop there is no work
    if rules.scope[k, REACH] == 1:
        fleet.suspect[fleet.node_at[slot]] = 1
    found = t + exponential(w.rng, rules.corruption_detect_s)
    if st[g, MARK] < 0:
        st[g, MARK] = st[g, SAVED]
    elif st[g, FOUND] <= found:
        return
    if st[g, FOUND] < math.inf:
        revoke(w.queue, CORRUPTION_FOUND, g)
    push(w.queue, found, CORRUPTION_FOUND, g)
    st[g, FOUND] = found
    st[g, CAUSE] = k
    st[g, CULPRIT] = fleet.node_at[slot] if rules.scope[k, REACH] == 1 else slot


def slow_down(w: World, slot: int, t: float) -> None:
    """Make a node a straggler, until it is found."""
    node = w.fleet.node_at[slot]
    if w.fleet.slow[node] == 1:
        return
    g = slot // w.rules.per_group
    advance(w.st, g, t, w.rules, w.books)
    w.fleet.slow[node] = 1
    count_straggler(w, slot, 1)
    push(w.queue, t + exponential(w.rng, w.rules.straggler_detect_s), STRAGGLER_FOUND, node)


def strike(w: World, k: int, slot: int, tainted: int, t: float) -> None:
    """Let process `k` fail at a slot: take the nodes of its domain out, give spares, stop what has to stop. Corruption also
    stops the group `tainted`, wherever the culprit stands now, or where it has left (slot NONE).
    """
    rules, st = w.rules, w.st
    w.books.extra[HANDLED] += 1
    reach = rules.scope[k, REACH]
    begin, end = max(slot, 0), slot + 1  # nothing from NONE
    if reach > 1:
        begin = slot // reach * reach
        end = min(begin + reach, rules.nodes)
    first, last = begin // rules.per_group, (end - 1) // rules.per_group
    for g in range(first, last + 1):
        advance(st, g, t, rules, w.books)
    leave = rules.scope[k, HARDWARE] == 1 and reach != 0
    away = rules.scope[k, KIND] == STRAGGLER and w.fleet.down[slot // rules.per_cell] == 1  # in a replica that has left
    if leave:
        back_at = t + exponential(w.rng, rules.repair[k])  # one repair for the whole domain
        take_out(w, begin, end, back_at, t)
    counted = 0
    for i in range(first, last + 2):
        g = i
        if i > last:
            g = tainted
            if g == NONE or first <= g <= last:
                continue  # there is none, or it has had its turn
        if st[g, UNTIL] <= t and not away:  # a planned stop is no further one for the failures in it
            interrupt(w, k, g, tainted)
            w.books.causes[k] += 1 - counted
            counted = 1
        if rules.mode == ELASTIC:
            take_in(w, g)
        elif rules.mode == DROP and leave:
            drop(w, g, begin // rules.per_cell, (end - 1) // rules.per_cell, t)


def interrupt(w: World, k: int, g: int, tainted: int) -> None:
    """Stop a group for a failure of process `k`; corruption throws the work of the group `tainted` away alone."""
    rules, st = w.rules, w.st
    kind = rules.scope[k, KIND]
    if kind == STRAGGLER or (kind == CORRUPTION and g != tainted):  # a planned swap: save first, nothing is lost
        if not busy(st, g):
            save_now(st, g)
            stop(st, g, 0.0, rules.drain_s + rules.save_s, rules.back_s, 0.0, 0)
    elif rules.mode == GANG or rules.scope[k, REACH] == 0 or kind == CORRUPTION:  # back to a checkpoint
        back = rules.back_s
        roll_back(st, g, rules, w.books)
        if rules.scope[k, FALLS_BACK] == 1 and rules.fallback_s > 0:
            go_back(st, g, math.floor(st[g, SAVED] / rules.fallback_s) * rules.fallback_s, w.books)
            back += rules.fallback_back_s
        detect = 0.0 if kind == CORRUPTION else rules.detect_s
        stop(st, g, detect, rules.drain_s, back, rules.replay_s, 1)
    elif busy(st, g) and st[g, WHOLE] == 1:  # what goes back to a checkpoint begins again
        stop(st, g, rules.detect_s, rules.drain_s, rules.back_s, rules.replay_s, 1)
    else:  # the rest goes on
        stop(st, g, rules.part_detect_s, rules.part_drain_s, rules.part_back_s, rules.part_replay_s, 0)


def drop(w: World, g: int, first: int, last: int, t: float) -> None:
    """Let group `g` go on without the replicas from `first` to `last`, until these have their nodes and are ready. During a
    planned stop a replica with all its nodes, thanks to spares, starts with the others.
    """
    rules, fleet, st = w.rules, w.fleet, w.st
    for replica in range(first, last + 1):
        if st[g, UNTIL] > t and fleet.lacking[replica] == 0 and fleet.down[replica] == 0:
            continue
        if fleet.down[replica] == 0:
            fleet.down[replica] = 1
            fleet.counts[UP] -= 1
            st[g, SLOW] -= fleet.stragglers[replica]
        if fleet.coming[replica] == 1:
            revoke(w.queue, REPLICA_READY, replica)
            fleet.coming[replica] = 0
        if fleet.lacking[replica] == 0:
            fleet.coming[replica] = 1
            ready = t + rules.part_detect_s + rules.part_drain_s + rules.replica_back_s
            push(w.queue, ready, REPLICA_READY, replica)
    st[g, SHARE] = fleet.counts[UP] / rules.cells
    if fleet.counts[UP] == 0:
        roll_back(st, g, rules, w.books)
