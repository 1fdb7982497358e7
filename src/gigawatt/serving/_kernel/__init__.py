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
from collections.abc import Callable
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

# The others are written out where they are called. The tables are passed by value, so calls are dear to run and to
# compile; what is long or called from many places stays a function. Chosen by trial: a first compilation takes 25 s, 52 s
# with all functions apart, more with fewer apart; the run takes half as long as with all apart.
SEPARATE = (
    "accepted",
    "admit",
    "begin",
    "choose",
    "draw",
    "end",
    "enter",
    "evict",
    "found",
    "growth",
    "leave",
    "link",
    "meld",
    "place",
    "pour",
    "preempt",
    "push",
    "put",
    "release",
    "replay",
    "run",
    "scale",
    "share",
    "sift_down",
    "sift_up",
    "switch",
    "take",
    "unlink",
    "use",
    "wake",
    "weigh",
)


@cache
def compiled() -> Callable[[World], float]:
    """Return `run` compiled by numba; the machine code is kept beside these files, or in the user's cache, between runs.

    Nothing here allocates, so the functions are compiled without the counting of references, which would cost more than
    the work itself. Each is compiled once, for the types that it is annotated with: left alone, numba makes another copy
    for every constant that it is called with. It also looks at the file of a function alone to see whether its machine
    code is out of date, but here functions call those of other files. So the names under which it is kept hold a digest
    of all files.
    """
    import numba

    files = (*MODULES, sys.modules[__name__])
    digest = sha256(b"".join(Path(str(module.__file__)).read_bytes() for module in files)).hexdigest()[:16]
    kinds = _kinds()
    space: dict[str, Any] = {}
    for module in MODULES:
        space |= vars(module)
    for part in _functions():
        plain = FunctionType(part.__code__, space, part.__name__)
        plain.__module__ = __name__
        plain.__qualname__ = f"{part.__name__}_{digest}"
        if part.__name__ not in SEPARATE:
            space[part.__name__] = numba.njit(plain, inline="always")
            continue
        inside = part is not run  # called from compiled code alone
        options: dict[str, Any] = {"nogil": True, "_nrt": False, "no_cpython_wrapper": inside, "no_cfunc_wrapper": True}
        try:
            fast = numba.njit(plain, cache=True, **options)
        except RuntimeError:  # no folder that can be written to
            fast = numba.njit(plain, **options)
        names = part.__code__.co_varnames[: part.__code__.co_argcount]
        fast.compile(tuple(kinds[part.__annotations__[name]] for name in names))
        fast.disable_compile()
        space[part.__name__] = fast
    run_fast: Callable[[World], float] = space["run"]
    return run_fast


def _kinds() -> dict[str, Any]:
    """Return numba's types of what the functions are annotated with."""
    from numba import types

    integers: Any = [types.Array(types.int64, n, "C") for n in range(4)]
    floats: Any = [types.Array(types.float64, n, "C") for n in range(4)]
    scalars: dict[str, Any] = {
        "int": types.int64,
        "float": types.float64,
        "bool": types.boolean,
        "np.uint64": types.uint64,
    }
    arrays = {"Ints": integers[1], "Table": integers[2], "Cube": integers[3]}
    arrays |= {"Floats": floats[1], "FloatTable": floats[2], "FloatCube": floats[3]}
    kinds = scalars | arrays
    named: Any = types.NamedTuple
    fields = tuple(kinds[World.__annotations__[name].__forward_arg__] for name in World._fields)
    return kinds | {"World": named(fields, World)}


def _functions() -> list[FunctionType]:
    """Return the functions of the package, callees before their callers."""
    parts = {
        name: value
        for module in MODULES
        for name, value in vars(module).items()
        if isinstance(value, FunctionType) and value.__module__ == module.__name__
    }
    ordered: dict[str, FunctionType] = {}

    def add(name: str) -> None:
        for callee in parts[name].__code__.co_names:
            if callee in parts and callee not in ordered:
                add(callee)
        ordered[name] = parts[name]

    add(run.__name__)
    return list(ordered.values())
