"""Number formats and the recipes that combine them in a training step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

DTYPE_BYTES: Mapping[str, float] = MappingProxyType(
    {"fp64": 8.0, "fp32": 4.0, "tf32": 4.0, "fp16": 2.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """Formats of a step: matrix products, attention, everything elementwise, the key/value cache, and the bytes kept
    per parameter for weights and gradients. fp8 and fp4 recipes keep bf16 weights and quantise them for the product.
    """

    name: str = "bf16"
    linear: str = "bf16"
    attention: str = "bf16"
    vector: str = "bf16"
    kv_cache: str = "bf16"
    weight_bytes: float = 2.0
    gradient_bytes: float = 4.0


PRECISIONS: Mapping[str, Precision] = MappingProxyType(
    {
        "bf16": Precision(),
        "fp16": Precision(name="fp16", linear="fp16", attention="fp16", vector="fp16", kv_cache="fp16"),
        "fp8": Precision(name="fp8", linear="fp8", weight_bytes=3.0),
        "fp4": Precision(name="fp4", linear="fp4", weight_bytes=2.5),
        "int8": Precision(name="int8", linear="int8"),
    }
)
