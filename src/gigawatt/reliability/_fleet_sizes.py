"""The question of `_largest_fleet` as frozen inputs: what is to be trained, and the fleets that might do it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from gigawatt.evidence import Sourced
from gigawatt.reliability._formulas import Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """What is to be trained: fewest `tokens` (at a small batch), `layers` passed one after the other, exchanges in each
    that a step waits for, the critical batch with its range (`training.critical_batch_tokens`), and the deadline.

    `batch_tokens` fixes the batch; None takes the best at each size. Raises ValueError where a number is not positive.
    """

    tokens: float
    layers: float
    critical_batch_tokens: Sourced
    deadline_s: float
    syncs_per_layer: float = 4.0
    batch_tokens: float | None = None

    def __post_init__(self) -> None:
        critical = self.critical_batch_tokens.low
        named = {
            "tokens": self.tokens,
            "layers": self.layers,
            "deadline_s": self.deadline_s,
            "critical batch": critical,
        }
        if self.batch_tokens is not None:
            named["batch_tokens"] = self.batch_tokens
        _require(named, above=0.0)
        _require({"syncs_per_layer": self.syncs_per_layer}, above=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSizes:
    """Columns (C,) of candidate fleets, or scalars that hold for all; `accelerators` rise.

    token_s                  seconds that one accelerator computes per token, everything that grows with the batch
    sync_s                   one exchange inside a layer, however small
    exchange_s               exchanges of a step that are not hidden and do not grow with the batch
    tokens_per_accelerator   fewest tokens of a batch that keep an accelerator busy (micro-batches, pipeline fill)
    jitter, operations       of `straggler_factor`
    failure_rate             interruptions of the job per second, optics included
    save_s, restart_s        blocking save; detection and restart without the start-up
    start_s                  start-up of the job, after each interruption (0 for a policy that never starts again)
    goodput                  replaces the closed form of failures, for example by a simulation; without start-up
    hosts                    endpoints that the network holds
    """

    accelerators: Numbers
    token_s: Numbers
    sync_s: Numbers = 0.0
    exchange_s: Numbers = 0.0
    tokens_per_accelerator: Numbers = 0.0
    jitter: Numbers = 0.0
    operations: Numbers = 1.0
    failure_rate: Numbers = 0.0
    save_s: Numbers = 0.0
    restart_s: Numbers = 0.0
    start_s: Numbers = 0.0
    goodput: Numbers | None = None
    hosts: Numbers = np.inf

    def __post_init__(self) -> None:
        n = np.atleast_1d(np.asarray(self.accelerators, dtype=np.float64))
        if n.ndim != 1 or not n.size or (n < 1).any() or (np.diff(n) <= 0).any():
            raise ValueError(f"accelerators must be a rising column of at least 1, not {self.accelerators}")
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and np.shape(value) not in ((), (1,), n.shape):
                raise ValueError(f"{field.name} has {np.size(value)} entries for {n.size} fleets")
        _require({"token_s": self.token_s, "operations": self.operations, "hosts": self.hosts}, above=0.0)
        free = (
            "sync_s",
            "exchange_s",
            "tokens_per_accelerator",
            "jitter",
            "failure_rate",
            "save_s",
            "restart_s",
            "start_s",
        )
        _require({name: getattr(self, name) for name in free}, above=None)
        if self.goodput is not None and not np.all((np.asarray(self.goodput) >= 0) & (np.asarray(self.goodput) <= 1)):
            raise ValueError(f"goodput must be between 0 and 1, not {self.goodput}")


def _require(values: Mapping[str, Numbers], *, above: float | None) -> None:
    """Raise ValueError for a value that is not above `above` (None: not below 0) or is not a number."""
    for name, value in values.items():
        array = np.asarray(value, dtype=np.float64)
        bad = array < 0 if above is None else array <= above
        if np.isnan(array).any() or bad.any() or (np.isinf(array).any() and name != "hosts"):
            raise ValueError(f"{name} must be {'at least 0' if above is None else 'positive'} and finite, not {value}")
