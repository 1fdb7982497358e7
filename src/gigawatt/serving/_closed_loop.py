"""A replica under a closed loop of clients, step by step: how published sweeps measure (`--max-concurrency`).

So many clients start at once, each sends its next request when the last one is answered. Requests are batched as
engines do it: whole prompts in order of arrival, cut into chunks of a token budget; decode goes on beside them (mixed)
or waits (prefill first). Waves of the start stay visible in the times to the first token. A plain function that numba
compiles as it is; the plain one is the oracle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.serving._step_table import StepTable

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoop:
    """What the clients of one replica see, by request in order of their start (R,): seconds to the first token, per
    further token, start; and how long all of it took.
    """

    ttft_s: Array
    tpot_s: Array
    start_s: Array
    end_s: Array

    @property
    def total_s(self) -> float:
        """Seconds from the first start to the last answer."""
        return float(self.end_s.max())


def closed_loop(
    table: StepTable,
    row: int,
    *,
    prompts: Integers,
    outputs: Integers,
    clients: int,
    slots: int,
    token_budget: int,
    mixed: bool = True,
    cache_tokens: float = np.inf,
    reserve: float = 1.0,
    arrivals_s: Array | None = None,
) -> ClosedLoop:
    """Return the times of all requests of `clients` clients on configuration `row` of a table.

    `prompts` and `outputs` (R,) are tokens, `slots` sequences at most are in the replica at once, a step computes at
    most `token_budget` prompt tokens (`mixed`: less those of decoding sequences). A request is admitted where the cache
    of `cache_tokens` has room for its prompt and the share `reserve` of its output (1: no request is ever evicted); one
    alone always is. With `arrivals_s` (R,), in order, requests come at these times instead (an open loop).
    """
    n = len(prompts)
    found = np.zeros((4, n))
    if arrivals_s is not None:
        found[2], clients = arrivals_s, n
    weights = np.array(
        [
            table.decode_key_s[row],
            table.decode_window_key_s[row],
            table.prefill_pair_s[row],
            table.prefill_window_pair_s[row],
            table.prefill_token_s[row],
            table.step_s[row],
            table.sequence_s[row],
            float(table.window),
            0.0 if table.prompt_s is None else table.prompt_s[row],
        ]
    )
    compiled()(
        np.asarray(prompts, dtype=np.int64),
        np.asarray(outputs, dtype=np.int64),
        min(clients, n),
        max(slots, 1),
        token_budget,
        mixed,
        cache_tokens,
        reserve,
        table.tokens,
        table.products_s[row],
        table.head_s[row],
        weights,
        found,
    )
    return ClosedLoop(ttft_s=found[0], tpot_s=found[1], start_s=found[2], end_s=found[3])


def at(grid: Array, values: Array, x: float) -> float:
    """Return a value between the points of a grid; beyond the last with its last slope, 0 at nothing."""
    if x <= 0.0:
        return 0.0
    low, high = 0, len(grid) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if grid[middle] <= x:
            low = middle
        else:
            high = middle
    share = max((x - grid[low]) / (grid[low + 1] - grid[low]), 0.0)
    return float(values[low] + (values[low + 1] - values[low]) * share)


def step_seconds(
    grid: Array,
    products: Array,
    head: Array,
    w: Array,
    decoding: float,
    keys: float,
    computed: float,
    pairs: float,
    finished: float,
    waiting: float,
) -> float:
    """Return the time of one step (the sums of `StepTable.seconds`)."""
    window = w[7]
    window_keys = min(keys, decoding * window)
    window_pairs = min(pairs, computed * window)
    return float(
        at(grid, products, decoding + computed)
        + at(grid, head, decoding + finished)
        + w[0] * keys
        + w[1] * window_keys
        + w[2] * pairs
        + w[3] * window_pairs
        + w[4] * computed
        + w[5]
        + w[6] * (decoding + waiting)
        + (w[8] if computed > 0 else 0.0)
    )


def run(
    prompts: Integers,
    outputs: Integers,
    clients: int,
    slots: int,
    budget: int,
    mixed: bool,
    cache: float,
    reserve: float,
    grid: Array,
    products: Array,
    head: Array,
    w: Array,
    found: Array,
) -> None:
    """Serve all requests; write times to the first token, per token, start and end into `found` (4, R)."""
    n = len(prompts)
    longest = 1
    for r in range(n):
        longest = max(longest, outputs[r] + 1)
    # requests that decode, by the step at which they end (modulo the longest output): heads of linked lists
    ends = np.full(longest + 1, -1, np.int64)
    following = np.full(n, -1, np.int64)
    first = np.zeros(n)
    left = prompts.copy()
    sent, next_prompt, done, step = clients, 0, 0, 0
    inside, decoding, keys, now, held = 0, 0, 0.0, 0.0, 0.0
    while done < n:
        # prompts of this step, in order, as far as budget and slots go
        room = budget - decoding if mixed else budget
        room = max(room, 1)
        computed, pairs, finished, touched, began = 0, 0.0, 0, 0, next_prompt
        r = next_prompt
        while r < sent and room > 0 and found[2, r] <= now:
            if left[r] == prompts[r]:
                need = prompts[r] + reserve * outputs[r]
                if inside >= slots or (inside > 0 and held + need > cache):
                    break
                inside += 1
                held += need
            part = min(left[r], room)
            seen = prompts[r] - left[r]
            pairs += part * (seen + 0.5 * part)
            left[r] -= part
            room -= part
            computed += part
            touched += 1
            if left[r] == 0:
                finished += 1
                r += 1
            else:
                break
        next_prompt = r
        if computed > 0:
            beside = decoding if mixed else 0
            now += step_seconds(
                grid, products, head, w, beside, keys if mixed else 0.0, computed, pairs, finished, touched
            )
            ahead = 1 if beside > 0 else 0
        else:
            if decoding == 0:
                now = max(now, found[2, next_prompt])
                continue
            ahead = 1
            while ends[(step + ahead) % (longest + 1)] < 0:
                ahead += 1
            middle = keys + decoding * 0.5 * (ahead - 1)
            seconds = step_seconds(grid, products, head, w, decoding, middle, 0.0, 0.0, 0.0, 0.0)
            if next_prompt < sent and found[2, next_prompt] > now:  # the next arrival may start a prompt before that
                ahead = max(1, min(ahead, int(np.ceil((found[2, next_prompt] - now) / seconds))))
            now += ahead * seconds
        if ahead > 0:
            step += ahead
            keys += decoding * ahead
            place = step % (longest + 1)
            r = ends[place]
            ends[place] = -1
            while r >= 0:
                found[3, r] = now
                found[1, r] = (now - first[r]) / max(outputs[r] - 1, 1)
                keys -= prompts[r] + outputs[r] - 1
                decoding -= 1
                inside -= 1
                held -= prompts[r] + reserve * outputs[r]
                done += 1
                if sent < n:
                    found[2, sent] = now
                    sent += 1
                r = following[r]
        for q in range(began, next_prompt):
            first[q] = now
            found[0, q] = now - found[2, q]
            if outputs[q] > 1:
                decoding += 1
                keys += prompts[q]
                place = (step + outputs[q] - 1) % (longest + 1)
                following[q] = ends[place]
                ends[place] = q
            else:
                found[3, q] = now
                inside -= 1
                held -= prompts[q] + reserve * outputs[q]
                done += 1
                if sent < n:
                    found[2, sent] = now
                    sent += 1


PARTS = (at, step_seconds, run)


@cache
def compiled() -> Callable[..., None]:
    """Return `run` compiled by numba; the machine code is kept beside this file, or in the user's cache, between runs."""
    import numba

    space = dict(globals())
    for part in PARTS:
        code: Any = part
        plain = FunctionType(code.__code__, space, code.__name__, code.__defaults__, code.__closure__)
        plain.__module__ = __name__
        plain.__qualname__ = code.__qualname__
        try:
            fast = numba.njit(plain, cache=True, nogil=True)
        except RuntimeError:  # no folder that can be written to
            fast = numba.njit(plain, nogil=True)
        space[code.__name__] = fast
    run_fast: Callable[..., None] = space["run"]
    return run_fast
