"""Strategies as columns: one array per decision, one entry per strategy. One strategy is a column of length 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


class Schedule(IntEnum):
    """Order of forward and backward passes in a pipeline; 1F1B is interleaved where there are virtual stages."""

    ONE_F_ONE_B = 0
    ZERO_BUBBLE = 1
    DUALPIPE = 2


class ContextExchange(IntEnum):
    """How context-parallel ranks see one another's keys and values: gathered, passed around a ring behind attention,
    or heads for tokens in an all-to-all (Ulysses).
    """

    ALL_GATHER = 0
    RING = 1
    ULYSSES = 2


# Decisions that are 0 unless given; the others are 1.
ZERO_BY_DEFAULT = frozenset(
    {
        "recompute",
        "recompute_layers",
        "zero_stage",
        "shard_ranks",
        "schedule",
        "context_exchange",
        "tensor_overlap",
        "offload_optimizer",
        "offload_activations",
    }
)
# Decisions with names for their values; everything else is a number.
NAMED: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "recompute": {"none": 0, "selective": 1, "full": 2},
        "schedule": {"1f1b": 0, "zero_bubble": 1, "dualpipe": 2},
        "context_exchange": {"all_gather": 0, "ring": 1, "ulysses": 2},
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Parallel strategies, every array (C,).

    Ranks are numbered tensor first, then context, data, pipeline; experts fold over tensor, context and data ranks.
    `recompute` is model.Recompute; `recompute_layers` layers of each stage do it under full recompute (0: all).
    `zero_stage` 0 to 3 (3 shards the weights as FSDP does) over `shard_ranks` data-parallel ranks (0: all of them;
    fewer is HSDP, with an all-reduce between the shard groups). `schedule` and `context_exchange` are the enumerations
    of this module. `sequence_parallel`, `tensor_overlap` (tensor-parallel exchange behind the products), and the two
    offloads to host memory are 0 or 1.
    """

    tensor_parallel: Integers
    pipeline_parallel: Integers
    virtual_stages: Integers
    data_parallel: Integers
    context_parallel: Integers
    expert_parallel: Integers
    expert_tensor_parallel: Integers
    micro_batch: Integers
    recompute: Integers
    zero_stage: Integers
    sequence_parallel: Integers
    recompute_layers: Integers
    shard_ranks: Integers
    schedule: Integers
    context_exchange: Integers
    tensor_overlap: Integers
    offload_optimizer: Integers
    offload_activations: Integers

    @classmethod
    def of(cls, **values: object) -> Columns:
        """Return columns of given scalars and arrays, broadcast; what is not given is 1, or 0 where ZERO_BY_DEFAULT
        says so.
        """
        names = [item.name for item in fields(cls)]
        unknown = set(values) - set(names)
        if unknown:
            raise TypeError(f"no such column: {', '.join(sorted(unknown))}; columns are {', '.join(names)}")
        defaults = {name: int(name not in ZERO_BY_DEFAULT) for name in names}
        arrays = np.broadcast_arrays(
            *(np.atleast_1d(np.asarray(values.get(name, defaults[name]), dtype=np.int64)) for name in names)
        )
        return cls(**{name: np.ascontiguousarray(array) for name, array in zip(names, arrays, strict=True)})

    def __len__(self) -> int:
        return len(self.tensor_parallel)

    @property
    def replica(self) -> Integers:
        """Accelerators that hold one copy of the model, (C,)."""
        return self.tensor_parallel * self.pipeline_parallel * self.context_parallel

    @property
    def accelerators(self) -> Integers:
        """Accelerators that each strategy uses, (C,)."""
        return self.replica * self.data_parallel

    def take(self, rows: object) -> Columns:
        """Return the columns at the given indices (or where a mask holds)."""
        return Columns(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})

    def row(self, index: int) -> dict[str, Any]:
        """Return one strategy as plain values, with names where NAMED has them."""
        values: dict[str, Any] = {item.name: int(getattr(self, item.name)[index]) for item in fields(self)}
        for name, choices in NAMED.items():
            values[name] = next(text for text, number in choices.items() if number == values[name])
        return values

    @classmethod
    def concatenate(cls, parts: Iterable[Columns]) -> Columns:
        """Return the rows of several columns one after the other."""
        parts = list(parts)
        return cls(**{item.name: np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(cls)})
