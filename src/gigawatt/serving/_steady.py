"""The steady state of one replica in closed form: so many sequences at once, so many prompt and output tokens each.

Mean field: every step holds the mean mix of decoding sequences and prefill tokens. Prefill is a server of its own in
a closed network (mean-value analysis), decoding a delay. Checked against the event simulation in docs/serving.md;
models: 11.1 to 11.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gigawatt.serving._step_table import StepTable

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
_ROUNDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanLengths:
    """Tokens of a request, means (N,): prompt, the part of it that a prefix cache serves, output."""

    prompt: Array
    output: Array
    cached: Array

    @classmethod
    def of(cls, prompt: object, output: object, cached: object = 0.0) -> MeanLengths:
        """Return lengths from scalars and arrays, broadcast to one length."""
        columns = np.broadcast_arrays(
            *(np.atleast_1d(np.asarray(x, dtype=np.float64)) for x in (prompt, output, cached))
        )
        return cls(prompt=columns[0], output=columns[1], cached=columns[2])

    @property
    def computed(self) -> Array:
        """Prompt tokens that are computed."""
        return self.prompt - self.cached

    @property
    def pairs(self) -> Array:
        """(query, key) pairs of a prompt, causal: the computed tokens see the cached ones and half of themselves."""
        return self.computed * self.cached + self.computed * self.computed / 2.0

    @property
    def mean_context(self) -> Array:
        """Cached tokens that a decode query reads on average."""
        return self.prompt + self.output / 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SteadyState:
    """What a replica does with `sequences` in its care, each (N,): time per output token, time to the first token,
    completed requests per second, sequences that decode, share of steps that hold prefill.
    """

    tpot_s: Array
    ttft_s: Array
    requests_per_s: Array
    decoding: Array
    prefill_share: Array


def sequences_that_fit(table: StepTable, rows: Integers, lengths: MeanLengths, block_tokens: int = 16) -> Array:
    """Return how many sequences the cache of a replica holds on average, (N,): half-way through their output, half a
    block wasted each (models: 11.3).
    """
    each = table.kv_bytes[rows] * (lengths.mean_context + block_tokens / 2) + table.sequence_bytes[rows]
    return np.maximum(table.kv_capacity_bytes[rows], 0.0) / each


def steady_state(
    table: StepTable, rows: Integers, lengths: MeanLengths, *, sequences: Array, token_budget: Array | float
) -> SteadyState:
    """Return the steady state with `sequences` (N,) in care of each replica, prefilled by chunks of at most
    `token_budget` tokens a step less those of decoding.
    """
    n = np.asarray(sequences, dtype=np.float64)
    steps = np.maximum(lengths.output - 1.0, 1e-9)
    decoding = n * steps / (steps + 1.0)
    for _ in range(_ROUNDS):
        chunk = np.maximum(np.minimum(token_budget - decoding, lengths.computed), 1.0)
        service = np.maximum(lengths.computed / chunk, 1.0)  # steps of prefill
        # mean-value analysis with one server and a delay: the queue that an arrival sees is that of n - 1
        waiting = np.maximum(n - decoding, 0.0)
        busy = np.minimum(decoding / steps * service, 1.0)
        response = service * (1.0 + np.maximum(waiting * (n - 1.0) / np.maximum(n, 1.0) - busy / 2.0, 0.0))
        decoding = 0.5 * decoding + 0.5 * n * steps / (steps + response)
    per_step = decoding / steps  # requests completed in a step
    prefill = per_step * lengths.computed
    chunk = np.maximum(np.minimum(token_budget - decoding, np.maximum(prefill, lengths.computed)), 1.0)
    share = np.minimum(prefill / chunk, 1.0)
    context = lengths.mean_context
    keys = decoding * context
    window_keys = decoding * np.minimum(context, table.window)
    plain = table.seconds(rows, tokens=decoding, sampled=decoding, keys=keys, window_keys=window_keys)
    pairs = lengths.pairs / lengths.computed * chunk
    windowed = np.minimum(pairs, chunk * table.window)
    mixed = table.seconds(
        rows,
        tokens=decoding + chunk,
        sampled=decoding + chunk / lengths.computed,
        keys=keys,
        window_keys=window_keys,
        pairs=pairs,
        window_pairs=windowed,
        prefill_tokens=chunk,
        sequences=decoding + 1.0,
    )
    step = (1.0 - share) * plain + share * mixed
    first = (response - service) * step + service * mixed + step / 2.0
    return SteadyState(
        tpot_s=step, ttft_s=first, requests_per_s=per_step / step, decoding=decoding, prefill_share=share
    )
