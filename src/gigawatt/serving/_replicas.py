"""How replicas work: what an engine is set to, how many stand behind one router, and how requests come to them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gigawatt.errors import InputError, Problem
from gigawatt.serving._occupancy import Speculation

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Router = Literal["random", "round_robin", "least_loaded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """How replicas work, each (N,) or one for all: at most `max_sequences` in care, at most `token_budget` tokens a
    step, `replicas` behind one router, blocks of `block_tokens` tokens of cache.

    "random" sends a request anywhere, "round_robin" to the next, "least_loaded" to the one with least to do, so that
    all share one queue. `burstiness` is the squared coefficient of variation of the times between arrivals: 1 is
    Poisson.
    """

    max_sequences: Array | float = 256.0
    token_budget: Array | float = 2048.0
    replicas: Array | float = 1.0
    router: Router = "random"
    burstiness: float = 1.0
    block_tokens: int = 16
    speculation: Speculation = field(default_factory=Speculation)

    def columns(self, count: int) -> Replicas:
        """Return the same with columns of `count`."""
        return replace(
            self,
            max_sequences=np.broadcast_to(column(self.max_sequences), (count,)),
            token_budget=np.broadcast_to(column(self.token_budget), (count,)),
            replicas=np.broadcast_to(column(self.replicas), (count,)),
        )

    def take(self, part: Integers) -> Replicas:
        """Return the rows `part` of columns."""
        return replace(
            self,
            max_sequences=column(self.max_sequences)[part],
            token_budget=column(self.token_budget)[part],
            replicas=column(self.replicas)[part],
        )

    def arrivals(self) -> Array:
        """Return the squared coefficient of variation of the times between arrivals at one replica, or at the queue that
        all share, (N,): a random share of a stream is more like Poisson, every n-th of it more regular.
        """
        many = column(self.replicas)
        return {
            "random": 1.0 + (self.burstiness - 1.0) / many,
            "round_robin": self.burstiness / many,
            "least_loaded": np.full(len(many), self.burstiness),
        }[self.router]


def column(value: Array | float) -> Array:
    """Return a value as an array."""
    return np.asarray(value, dtype=np.float64)


def check(how: Replicas, rate: Array) -> None:
    """Raise InputError for rates below 0, no sequences, no tokens, no replicas."""
    problems = [
        Problem(message="this does not describe a replica", path=f"serving.{name}", found=str(np.min(value)), allowed=allowed)
        for name, value, good, allowed in (
            ("rate", rate, np.isfinite(rate) & (rate >= 0.0), "0 or more requests/s"),
            ("max_sequences", column(how.max_sequences), column(how.max_sequences) >= 1.0, "1 or more"),
            ("token_budget", column(how.token_budget), column(how.token_budget) >= 1.0, "1 or more"),
            ("replicas", column(how.replicas), column(how.replicas) >= 1.0, "1 or more"),
            ("burstiness", column(how.burstiness), column(how.burstiness) >= 0.0, "0 or more"),
        )
        if not np.all(good)
    ]  # fmt: skip
    if problems:
        raise InputError(problems)
