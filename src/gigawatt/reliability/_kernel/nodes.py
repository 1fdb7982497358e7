"""Who stands in which slot: nodes that leave for their repair, spares that take their slots, nodes that come back.

    node in a slot ─▶ take_out ─▶ under repair: slot_of NONE, REPAIRED in the queue ─▶ the pool of spares, where no slot is
                                                                                  empty, else ─▶ fill, in a slot
    its slot       ─▶ a spare of the pool, else leave_empty ─▶ node_at NONE, in the list of empty slots of a cell ─▶ fill

A cell that lacks nodes idles. So that few do, missing nodes gather in one of them, the *donor*: it lends the rest of its
nodes to the others, and takes what comes back first.
"""

from __future__ import annotations

from gigawatt.reliability._kernel.clock import advance
from gigawatt.reliability._kernel.heap import push, revoke
from gigawatt.reliability._kernel.state import (
    DONOR,
    FREE,
    GANG,
    LACKING,
    MISSING,
    MOST_OUT,
    NONE,
    OUT,
    REPAIRED,
    SHORT,
    SLOW,
    STRAGGLER_FOUND,
    Fleet,
    Rules,
    World,
)


def seat(fleet: Fleet, node: int, slot: int) -> None:
    """Put a node into a slot."""
    fleet.node_at[slot] = node
    fleet.slot_of[node] = slot


def take_out(w: World, begin: int, end: int, back_at: float, t: float) -> None:
    """Send the nodes of the slots from `begin` to `end` to their repair until `back_at`; spares take their slots."""
    fleet = w.fleet
    for slot in range(begin, end):
        node = fleet.node_at[slot]
        if node < 0:
            continue
        if fleet.slow[node] == 1:
            revoke(w.queue, STRAGGLER_FOUND, node)
            steady(w, node)
        fleet.suspect[node] = 0
        if fleet.offender[node] == 1:
            fleet.broken[node] += 1
        fleet.slot_of[node] = NONE
        fleet.counts[OUT] += 1
        push(w.queue, back_at, REPAIRED, node)
        if fleet.counts[FREE] > 0:
            fleet.counts[FREE] -= 1
            seat(fleet, fleet.pool[fleet.counts[FREE]], slot)
        else:
            w.books.extra[SHORT] += 1
            leave_empty(w, slot, t)
    w.books.extra[MOST_OUT] = max(w.books.extra[MOST_OUT], fleet.counts[OUT])


def steady(w: World, node: int) -> None:
    """Make a straggler one no more; its group has been moved on."""
    w.fleet.slow[node] = 0
    count_straggler(w, w.fleet.slot_of[node], -1)


def count_straggler(w: World, slot: int, more: int) -> None:
    """Count one straggler at a slot more, or less; a replica that has left slows nobody."""
    cell = slot // w.rules.per_cell
    w.fleet.stragglers[cell] += more
    if w.fleet.down[cell] == 0:
        w.st[slot // w.rules.per_group, SLOW] += more


def leave_empty(w: World, slot: int, t: float) -> None:
    """Take up a slot without a spare: the donor lends a node for it, and has an empty slot instead."""
    fleet, st = w.fleet, w.st
    fleet.node_at[slot] = NONE
    cell = slot // w.rules.per_cell
    empty = slot
    if fleet.lacking[fleet.counts[DONOR]] == 0:
        fleet.counts[DONOR] = cell
    donor = fleet.counts[DONOR]
    if cell != donor:
        taken = first_taken(w.rules, fleet, donor)
        if taken == NONE:  # it has lent all it had
            fleet.counts[DONOR] = cell
        else:
            lent = fleet.node_at[taken]
            seat(fleet, lent, slot)
            fleet.node_at[taken] = NONE
            if fleet.slow[lent] == 1:
                advance(st, taken // w.rules.per_group, t, w.rules, w.books)
                count_straggler(w, taken, -1)
                count_straggler(w, slot, 1)
            cell, empty = donor, taken
    if w.rules.mode == GANG:
        advance(st, cell, t, w.rules, w.books)
        st[cell, MISSING] += 1
    fleet.next_empty[empty] = fleet.first_empty[cell]
    fleet.first_empty[cell] = empty
    fleet.lacking[cell] += 1
    fleet.counts[LACKING] += 1


def first_taken(rules: Rules, fleet: Fleet, cell: int) -> int:
    """Return the first slot of a cell with a node in it, NONE where there is none."""
    first = cell * rules.per_cell
    for slot in range(first, min(first + rules.per_cell, rules.nodes)):
        if fleet.node_at[slot] >= 0:
            return slot
    return NONE


def fill(w: World, node: int, t: float) -> int:
    """Put a node that comes back where one lacks, first at the donor, then where fewest do; return that cell."""
    fleet = w.fleet
    cell = fleet.counts[DONOR]
    if fleet.lacking[cell] == 0:
        cell = fewest_lacking(fleet)
        fleet.counts[DONOR] = cell
    if w.rules.mode == GANG:
        advance(w.st, cell, t, w.rules, w.books)
        w.st[cell, MISSING] -= 1
    slot = fleet.first_empty[cell]
    fleet.first_empty[cell] = fleet.next_empty[slot]
    seat(fleet, node, slot)
    fleet.lacking[cell] -= 1
    fleet.counts[LACKING] -= 1
    return int(cell)


def fewest_lacking(fleet: Fleet) -> int:
    """Return the first cell of those that lack fewest nodes, but some."""
    chosen = NONE
    for cell in range(fleet.lacking.shape[0]):
        if fleet.lacking[cell] > 0 and (chosen < 0 or fleet.lacking[cell] < fleet.lacking[chosen]):
            chosen = cell
    return chosen
