"""The event simulation of a fleet, one replicate at a time: `run(key, rules, books)`.

    Rules (a job as numbers, `_simulate`) + key ─▶ begin ─▶ World: Fleet, Queue, groups `st`, random numbers
    loop:  the next of what is due and of the candidates of all failure processes
           ─▶ advance the groups it touches ─▶ what it changes ─▶ strike, if it is a failure ─▶ Books

    state    the tuples of arrays, their shapes and the names of their columns
    chance   random numbers            heap    the queue of what is due
    clock    the time of a group       nodes   which node stands in which slot
    events   what happens              loop    what comes next
    replicate  the start, and the run

How it stays fast: failures are few against steps and saves. All failure processes are superposed to one stream of
candidates, thinned where a hazard depends on age or the node is not in the job; between two events a group moves through
whole checkpoint intervals at once.

The functions run as plain Python, which is the oracle, and compiled by numba alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from gigawatt.reliability._kernel import chance, clock, events, heap, loop, nodes, replicate, state
from gigawatt.reliability._kernel.replicate import run
from gigawatt.reliability._kernel.state import Books, Rules

__all__ = ["Books", "Rules", "compiled", "run", "state"]

MODULES = (state, chance, heap, clock, nodes, events, loop, replicate)
MANY_CALLERS = ("advance", "push")  # stay functions; all others are compiled into their callers


@cache
def compiled() -> Callable[..., float]:
    """Return `run` compiled by numba; the machine code is kept beside these files, or in the user's cache, between runs.

    Tuples are passed by value and count the references to each of their arrays, which costs ten times the work itself.
    So functions are compiled into their callers, and without the counting: nothing but `replicate` allocates (numba
    refuses to compile what would), and its `run` holds all arrays until the end.

    numba looks at the file of a function alone to see whether its machine code is out of date, but here functions call
    those of other files. So the names under which it is kept hold a digest of all files.
    """
    import numba

    digest = sha256(b"".join(Path(str(module.__file__)).read_bytes() for module in MODULES)).hexdigest()[:16]
    space: dict[str, Any] = {}
    for module in MODULES:
        space |= vars(module)
    for module, part in _functions():
        plain = FunctionType(part.__code__, space, part.__name__)
        plain.__module__ = __name__
        plain.__qualname__ = f"{part.__name__}_{digest}"
        inside = part is not run  # called from compiled code alone
        options: dict[str, Any] = {
            "nogil": True,
            "_nrt": module is replicate,
            "forceinline": inside and part.__name__ not in MANY_CALLERS,
            "no_cpython_wrapper": inside,
            "no_cfunc_wrapper": True,
        }
        try:
            fast = numba.njit(plain, cache=True, **options)
        except RuntimeError:  # no folder that can be written to
            fast = numba.njit(plain, **options)
        space[part.__name__] = fast
    run_fast: Callable[..., float] = space["run"]
    return run_fast


def _functions() -> Iterator[tuple[ModuleType, FunctionType]]:
    """Yield the functions of the package with their modules."""
    for module in MODULES:
        for value in vars(module).values():
            if isinstance(value, FunctionType) and value.__module__ == module.__name__:
                yield module, value
