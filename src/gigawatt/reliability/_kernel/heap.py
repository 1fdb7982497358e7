"""The queue of what is due, first things first: a binary heap."""

from __future__ import annotations

from gigawatt.reliability._kernel.state import Queue


def push(queue: Queue, time: float, kind: int, payload: int) -> None:
    """Put an event into the queue."""
    due = queue.due
    i = queue.size[0]
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


def has_room(queue: Queue) -> bool:
    """Return whether an event that may be left out still fits beside those that may not."""
    return bool(queue.size[0] < queue.due.shape[0] - 2)
