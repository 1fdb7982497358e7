"""What a network computes: layers to operations, parameters, FLOPs and bytes. One description for training, serving
and chip design.
"""

from gigawatt.model._activations import Recompute, activation_bytes, logits_bytes
from gigawatt.model._counts import (
    FlopConvention,
    LayerParameters,
    Parameters,
    attention_flop_per_token,
    flop_per_token,
    kv_cache_bytes_per_token,
    layer_parameters,
    mean_context,
    mtp_parameters,
    parameters,
    training_flop_per_token,
)
from gigawatt.model._operations import (
    Operation,
    Phase,
    Sharding,
    embedding_operations,
    head_operations,
    layer_operations,
)
from gigawatt.model._precision import DTYPE_BYTES, PRECISIONS, Precision
from gigawatt.model._transformer import Attention, Experts, FeedForward, Layer, Transformer, transformer_of

__all__ = [
    "DTYPE_BYTES",
    "PRECISIONS",
    "Attention",
    "Experts",
    "FeedForward",
    "FlopConvention",
    "Layer",
    "LayerParameters",
    "Operation",
    "Parameters",
    "Phase",
    "Precision",
    "Recompute",
    "Sharding",
    "Transformer",
    "activation_bytes",
    "attention_flop_per_token",
    "embedding_operations",
    "flop_per_token",
    "head_operations",
    "kv_cache_bytes_per_token",
    "layer_operations",
    "layer_parameters",
    "logits_bytes",
    "mean_context",
    "mtp_parameters",
    "parameters",
    "training_flop_per_token",
    "transformer_of",
]
