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
    per parameter for weights and gradients. fp8 and fp4 recipes keep bf16 weights and quantise them for the product;
    `quantise_bytes` are moved per element of an input of a narrow product (read 16 bit, write it and its transpose;
    current scaling reads once more for the maximum). `block_scaled` products apply a scale per block of their depth.
    """

    name: str = "bf16"
    linear: str = "bf16"
    attention: str = "bf16"
    vector: str = "bf16"
    kv_cache: str = "bf16"
    weight_bytes: float = 2.0
    gradient_bytes: float = 4.0
    quantise_bytes: float = 0.0
    block_scaled: bool = False


PRECISIONS: Mapping[str, Precision] = MappingProxyType(
    {
        "bf16": Precision(),
        "fp16": Precision(name="fp16", linear="fp16", attention="fp16", vector="fp16", kv_cache="fp16"),
        # per-tensor scaling from the history of maxima
        "fp8": Precision(name="fp8", linear="fp8", weight_bytes=3.0, quantise_bytes=4.0),
        # per-tensor scaling from the tensor itself
        "fp8_current": Precision(name="fp8_current", linear="fp8", weight_bytes=3.0, quantise_bytes=6.0),
        # a scale per 1 x 128 of activations and 128 x 128 of weights (arXiv 2412.19437)
        "fp8_block": Precision(
            name="fp8_block", linear="fp8", weight_bytes=3.06, quantise_bytes=4.06, block_scaled=True
        ),
        # a scale per 32 elements
        "mxfp8": Precision(name="mxfp8", linear="fp8", weight_bytes=3.03, quantise_bytes=4.06, block_scaled=True),
        "nvfp4": Precision(name="nvfp4", linear="fp4", weight_bytes=2.5625, quantise_bytes=3.125),
        "fp4": Precision(name="fp4", linear="fp4", weight_bytes=2.5, quantise_bytes=3.0),
        "int8": Precision(name="int8", linear="int8", quantise_bytes=4.0),
    }
)
