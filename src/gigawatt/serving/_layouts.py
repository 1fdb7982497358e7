"""How a replica is cut over accelerators, and in which number formats it works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layouts:
    """Parallel degrees of one replica, C configurations, each (C,).

    A replica has tensor_parallel x attention_data_parallel accelerators in each of pipeline_parallel stages. Attention
    is divided over tensor_parallel ranks and repeated attention_data_parallel times, each with its own sequences;
    experts are spread over expert_parallel ranks of a stage and, where fewer than the stage has, cut in width over
    the rest.
    """

    tensor_parallel: Integers
    pipeline_parallel: Integers
    expert_parallel: Integers
    attention_data_parallel: Integers

    @classmethod
    def of(
        cls,
        tensor_parallel: object = 1,
        pipeline_parallel: object = 1,
        expert_parallel: object = 1,
        attention_data_parallel: object = 1,
    ) -> Layouts:
        """Return layouts from scalars and arrays, broadcast to one length."""
        degrees = (tensor_parallel, pipeline_parallel, expert_parallel, attention_data_parallel)
        columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(d, dtype=np.int64)) for d in degrees))
        return cls(**dict(zip(cls.__dataclass_fields__, columns, strict=True)))

    def __len__(self) -> int:
        return len(self.tensor_parallel)

    @property
    def stage(self) -> Integers:
        """Accelerators of one pipeline stage, (C,)."""
        return self.tensor_parallel * self.attention_data_parallel

    @property
    def accelerators(self) -> Integers:
        """Accelerators of a replica, (C,)."""
        return self.stage * self.pipeline_parallel


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingPrecision:
    """Formats of a served model: what products compute in, what weights are stored in (bytes per parameter, scales
    counted) in experts and elsewhere, and the key/value cache.

    A chip without arithmetic of a narrow format reads the narrow weights and computes in 16 bit.
    """

    name: str
    linear: str
    experts: str
    weight_bytes: float
    expert_weight_bytes: float
    kv_cache: str = "bf16"


# fp4: blocks of 16 with an 8-bit scale (nvfp4), 4.5 bit; mxfp4: blocks of 32, experts only, products in the widest format
# that the chip shares with them.
SERVING_PRECISIONS: Mapping[str, ServingPrecision] = MappingProxyType(
    {
        "bf16": ServingPrecision(name="bf16", linear="bf16", experts="bf16", weight_bytes=2.0, expert_weight_bytes=2.0),
        "fp8": ServingPrecision(
            name="fp8", linear="fp8", experts="fp8", weight_bytes=1.0, expert_weight_bytes=1.0, kv_cache="fp8"
        ),
        "fp4": ServingPrecision(
            name="fp4", linear="fp4", experts="fp4", weight_bytes=0.5625, expert_weight_bytes=0.5625, kv_cache="fp8"
        ),
        "mxfp4": ServingPrecision(
            name="mxfp4", linear="bf16", experts="fp4", weight_bytes=2.0, expert_weight_bytes=0.53125
        ),
        "int8": ServingPrecision(name="int8", linear="int8", experts="int8", weight_bytes=1.0, expert_weight_bytes=1.0),
        "int4": ServingPrecision(
            name="int4", linear="bf16", experts="bf16", weight_bytes=0.53125, expert_weight_bytes=0.53125
        ),
    }
)
