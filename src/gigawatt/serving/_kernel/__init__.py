"""The event simulation of serving engines: `run(world)`.

    Requests + Service (`_simulate`) ─▶ World: tables of requests, replicas, pools, and orders over them
    loop:  the next of an event, an arrival and the end of steps of a replica
           ─▶ what it changes ─▶ the next steps of the replicas it touches

    state      the tables and the names of their columns      heap       all orders
    chance     random numbers of speculation                  memory     blocks, prefix cache, tiers
    batch      the decode batch of a replica as sums          admission  who comes in, who has to leave
    steps      one step, many steps                           flow       router, hand-over, end, autoscaler
    windows    the course of the run                          loop       what comes next

How it stays fast: a decode batch is a handful of sums, never walked through; a replica that only decodes takes all steps
up to the next change at once. The functions run as plain Python, which is the oracle, and compiled by numba alike.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import FunctionType
from typing import Any

from gigawatt.serving._kernel import admission, batch, chance, flow, heap, loop, memory, state, steps, windows
from gigawatt.serving._kernel.loop import run
from gigawatt.serving._kernel.state import World

__all__ = ["World", "compiled", "run", "state"]

MODULES = (state, chance, windows, heap, memory, batch, admission, steps, flow, loop)
# compiled into their callers, since the tables are passed by value; all others stay functions
INSIDE = (
    "accepted",
    "before",
    "cut",
    "decode",
    "finish_steps",
    "happen",
    "mark",
    "meld",
    "most_steps",
    "next_stop",
    "pop",
    "pour",
    "prefilled",
    "receive",
    "remove_first",
    "secure",
    "set_due",
    "uniform",
    "units_of",
    "wait",
    "wake",
    "whole_blocks",
    "window_pairs",
)


@cache
def compiled() -> Callable[[World], float]:
    """Return `run` compiled by numba; the machine code is kept beside these files, or in the user's cache, between runs.

    Nothing here allocates, so the functions are compiled without the counting of references, which would cost more than
    the work itself. numba looks at the file of a function alone to see whether its machine code is out of date, but here
    functions call those of other files. So the names under which it is kept hold a digest of all files.
    """
    import numba

    digest = sha256(
        b"".join(Path(str(module.__file__)).read_bytes() for module in (*MODULES, sys.modules[__name__]))
    ).hexdigest()[:16]
    space: dict[str, Any] = {}
    for module in MODULES:
        space |= vars(module)
    for part in _functions():
        plain = FunctionType(part.__code__, space, part.__name__)
        plain.__module__ = __name__
        plain.__qualname__ = f"{part.__name__}_{digest}"
        inside = part is not run  # called from compiled code alone
        options: dict[str, Any] = {
            "nogil": True,
            "_nrt": False,
            "forceinline": False,
            "no_cpython_wrapper": inside,
            "no_cfunc_wrapper": True,
        }
        try:
            fast = numba.njit(plain, cache=True, **options)
        except RuntimeError:  # no folder that can be written to
            fast = numba.njit(plain, **options)
        space[part.__name__] = fast
    run_fast: Callable[[World], float] = space["run"]
    return run_fast


def _functions() -> Iterator[FunctionType]:
    """Yield the functions of the package, callees first."""
    for module in MODULES:
        for value in vars(module).values():
            if isinstance(value, FunctionType) and value.__module__ == module.__name__:
                yield value
