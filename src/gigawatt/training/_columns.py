"""Strategies as columns: one array per decision, one entry per strategy. One strategy is a column of length 1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.model import Recompute

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Parallel strategies, every array (C,).

    Ranks are numbered tensor first, then context, data, pipeline; experts fold over tensor, context and data ranks.
    `recompute` is model.Recompute, `zero_stage` 0 to 3 (3 shards the weights as FSDP does), `sequence_parallel` 0 or
    1.
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

    @classmethod
    def of(cls, **values: object) -> Columns:
        """Return columns of given scalars and arrays, broadcast; what is not given is 1 (recompute and zero_stage
        0).
        """
        names = [item.name for item in fields(cls)]
        unknown = set(values) - set(names)
        if unknown:
            raise TypeError(f"no such column: {', '.join(sorted(unknown))}; columns are {', '.join(names)}")
        defaults = {name: 0 if name in ("recompute", "zero_stage") else 1 for name in names}
        arrays = np.broadcast_arrays(
            *(np.atleast_1d(np.asarray(values.get(name, defaults[name]), dtype=np.int64)) for name in names)
        )
        return cls(**{name: np.ascontiguousarray(array) for name, array in zip(names, arrays, strict=True)})

    def __len__(self) -> int:
        return len(self.tensor_parallel)

    @property
    def accelerators(self) -> Integers:
        """Accelerators that each strategy uses, (C,)."""
        return self.tensor_parallel * self.pipeline_parallel * self.context_parallel * self.data_parallel

    def take(self, rows: object) -> Columns:
        """Return the columns at the given indices (or where a mask holds)."""
        return Columns(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})

    def row(self, index: int) -> dict[str, Any]:
        """Return one strategy as plain values; `recompute` as text."""
        values: dict[str, Any] = {item.name: int(getattr(self, item.name)[index]) for item in fields(self)}
        values["recompute"] = Recompute(values["recompute"]).name.lower()
        return values

    @classmethod
    def concatenate(cls, parts: Iterable[Columns]) -> Columns:
        """Return the rows of several columns one after the other."""
        parts = list(parts)
        return cls(**{item.name: np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(cls)})
