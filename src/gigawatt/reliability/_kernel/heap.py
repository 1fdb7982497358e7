"""The queue of what is due, first things first: a binary heap.

It has a place for each node, replica, group and planned stop, and none of them is in it twice (`state.Queue`): what
has come to nothing is revoked, not left to be ignored. So it is never full.
"""

from __future__ import annotations

from gigawatt.reliability._kernel.state import Queue


def push(queue: Queue, time: float, kind: int, payload: int) -> None:
    """Put an event into the queue."""
    due = queue.due
    i = queue.size[0]
    if i == due.shape[0]:
        raise IndexError("the queue of what is due is full")
    while i > 0:
        parent = (i - 1) // 2
        if due[parent] <= time:
            break
        due[i] = due[parent]
        queue.kind[i] = queue.kind[parent]
        queue.payload[i] = queue.payload[parent]
        i = parent
    due[i] = time
    queue.kind[i] = kind
    queue.payload[i] = payload
    queue.size[0] += 1


def pop(queue: Queue) -> None:
    """Take the first event out of the queue; read it at index 0 before."""
    due = queue.due
    size = queue.size[0] - 1
    time, kind, payload = due[size], queue.kind[size], queue.payload[size]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and due[child + 1] < due[child]:
            child += 1
        if due[child] >= time:
            break
        due[i] = due[child]
        queue.kind[i] = queue.kind[child]
        queue.payload[i] = queue.payload[child]
        i = child
    due[i] = time
    queue.kind[i] = kind
    queue.payload[i] = payload
    queue.size[0] = size


def revoke(queue: Queue, kind: int, payload: int) -> None:
    """Take an event out of the queue, wherever it is in it. Looks through the whole queue."""
    i, size = 0, queue.size[0]
    while i < size and (queue.kind[i] != kind or queue.payload[i] != payload):
        i += 1
    if i == size:
        return
    while i > 0:  # what stands above it moves down, until it is the first
        parent = (i - 1) // 2
        queue.due[i] = queue.due[parent]
        queue.kind[i] = queue.kind[parent]
        queue.payload[i] = queue.payload[parent]
        i = parent
    pop(queue)
