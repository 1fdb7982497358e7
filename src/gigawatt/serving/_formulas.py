"""Closed formulas of serving that hold without any constant of an engine (docs/serving.md).

Scalars and arrays of one length give the same answers. Seconds, bytes, FLOP; lengths in tokens.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Numbers = float | Array


def decode_roofline_seconds(
    batch: Numbers,
    context: Numbers,
    *,
    kv_bytes_per_token: float,
    weight_bytes: float,
    active_parameters: float,
    flop_per_s: float,
    memory_bytes_per_s: float,
) -> Array:
    """Return the least time of a decode step of `batch` sequences with `context` cached tokens each, s.

    B*S*kv/BW + max(2*B*N/F, W/BW): the cache is read at any batch, weights are read or multiplied, whichever takes
    longer (jax-ml/scaling-book, "all about transformer inference"). FLOP/s and bytes/s are of all chips together. 30
    billion parameters in int8 on 16 TPU v5e (each 197e12 FLOP/s, 8.1e11 B/s), 100 kB per token, 8,192 tokens: 2.57 ms
    for 4 sequences, 21.0 ms for 256.
    """
    b = np.asarray(batch, dtype=np.float64)
    cache = b * context * kv_bytes_per_token / memory_bytes_per_s
    products = np.maximum(2.0 * b * active_parameters / flop_per_s, weight_bytes / memory_bytes_per_s)
    return np.asarray(cache + products)


def prefill_flop(prompt: Numbers, *, active_parameters: float, layers: int, attention_width: int) -> Array:
    """Return the FLOP of a prompt, 2*N*S + 2*L*w*S**2 with causal attention of `attention_width` = heads x head width
    (models: 11.1).
    """
    s = np.asarray(prompt, dtype=np.float64)
    return np.asarray(2.0 * active_parameters * s + 2.0 * layers * attention_width * s * s)


def resident_tokens(prompt: Numbers, output: Numbers, chunk: Numbers) -> tuple[Array, Array]:
    """Return (token-iterations, iterations) of one request: its cached tokens summed over the iterations of its life.

    A = sum over ceil(p/c) chunks of min(p, i*c) + o*p + o*(o+1)/2 (arXiv 2605.04595). A prompt of 2,000 in chunks of
    512 and 500 tokens of output: 1,130,322 over 504 iterations.
    """
    p, o, c = (np.asarray(x, dtype=np.float64) for x in (prompt, output, chunk))
    chunks = np.ceil(p / c)
    whole = chunks - 1.0
    total = c * whole * (whole + 1.0) / 2.0 + p + o * p + o * (o + 1.0) / 2.0
    return np.asarray(total), np.asarray(chunks + o)


def stability_rate(
    capacity_tokens: Numbers, iteration_s: Numbers, prompt: Numbers, output: Numbers, chunk: Numbers
) -> Array:
    """Return the arrival rate, 1/s, up to which the key/value cache of a replica stays stable: M / (t * A), Little's
    law for cached tokens (arXiv 2605.04595, within 10 % of vLLM on A100).
    """
    total, _ = resident_tokens(prompt, output, chunk)
    return np.asarray(np.asarray(capacity_tokens, dtype=np.float64) / (np.asarray(iteration_s) * total))
