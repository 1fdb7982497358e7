"""What an optimizer keeps beside weights and gradients, and what its update costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizer:
    """State per parameter (bytes), bytes that the update moves per parameter beside gradients and weights, and the
    products that an orthogonalising update does per parameter and unit of hidden width.

    Adam: fp32 master weights and two moments (arXiv 1910.02054). 8-bit Adam: moments of one byte each (arXiv
    2110.02861). Muon: master weights and one momentum, five Newton-Schulz steps of about six products of the smaller
    width per parameter (arXiv 2502.16982).
    """

    name: str
    state_bytes: float
    traffic_bytes: float
    flop_per_parameter_and_width: float = 0.0


OPTIMIZERS: Mapping[str, Optimizer] = MappingProxyType(
    {
        "adam": Optimizer(name="adam", state_bytes=12.0, traffic_bytes=24.0),
        "adam_bf16": Optimizer(name="adam_bf16", state_bytes=8.0, traffic_bytes=16.0),
        "adam8bit": Optimizer(name="adam8bit", state_bytes=6.0, traffic_bytes=12.0),
        "muon": Optimizer(name="muon", state_bytes=8.0, traffic_bytes=16.0, flop_per_parameter_and_width=30.0),
        "sgd": Optimizer(name="sgd", state_bytes=8.0, traffic_bytes=16.0),
    }
)
