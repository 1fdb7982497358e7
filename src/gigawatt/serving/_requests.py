"""Requests as columns: what arrives when, how long it is, and what it shares with others.

R requests in order of arrival. Times are seconds from the start of the run, lengths are tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


def _none() -> Integers:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Requests in order of `arrival_s` (R,), with prompt and output lengths in tokens (R,) of at least one.

    `request_class` (R,) is an index into `classes`. `after` (R,) is the request that must have ended before this one
    can start (the turn before it in a session, the call of an agent), -1 for none: it then arrives `pause_s` (R,) after
    that end, and never before its own `arrival_s`; a request comes after the one that it waits for.

    The leading prompt tokens are known by blocks of `block_tokens`: request r has the block ids
    blocks[block_start[r] : block_start[r + 1]]; equal leading ids are the same text, so their keys and values can be
    reused. No ids at all where `block_start` is empty. Ids are dense: 0 .. number of different blocks - 1.
    """

    arrival_s: Array
    prompt_tokens: Integers
    output_tokens: Integers
    request_class: Integers
    classes: tuple[str, ...] = ("requests",)
    after: Integers = field(default_factory=_none)
    pause_s: Array = field(default_factory=lambda: np.zeros(0))
    blocks: Integers = field(default_factory=_none)
    block_start: Integers = field(default_factory=_none)
    block_tokens: int = 16

    def __len__(self) -> int:
        return len(self.arrival_s)
