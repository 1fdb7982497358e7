"""The time of one engine step, in columns: C configurations (chip, precision, layout, stack), each one replica.

    step = products(tokens) + head(sampled) + decode attention(keys) + prefill attention(pairs) + host(sequences)

Everything is of the whole replica: parallelism is inside the numbers. `tokens` are all tokens that the step computes,
decode and prefill together; `sampled` the sequences that get a token; `keys` the cached tokens that decode queries
read, `pairs` the (query, key) pairs of prefill chunks. Layers with a sliding window see at most `window` keys, so they
have sums of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTable:
    """Seconds and bytes of one engine step for C configurations; G points of the token grid.

    `products_s` (C, G) and `head_s` (C, G) are piecewise linear between the points of `tokens` (G,), and go on with
    their last slope. `decode_key_s`, `decode_window_key_s`: seconds per key of a decode query (C,), all layers of the
    kind; `prefill_pair_s`, `prefill_window_pair_s`: seconds per (query, key) pair; `prefill_token_s`: seconds per
    prefill token on top (short sequences use attention kernels badly); `step_s`: fixed time of a step, `sequence_s`:
    host time per sequence in it; `prompt_s` (C,), None for zero: fixed time on top of a step that holds prompt tokens.
    `window` is 0 where no layer has one.

    `accelerators` (C,) of a replica. `kv_bytes` (C,): bytes of the replica's memory that one token's keys and values
    take in layers without a window (replication over tensor ranks counted); `sequence_bytes` (C,): what one sequence
    takes besides (full windows); `kv_capacity_bytes` (C,): memory of the replica that is left for them. Zero or less
    means that the model does not fit.
    """

    tokens: Array
    products_s: Array
    head_s: Array
    decode_key_s: Array
    decode_window_key_s: Array
    prefill_pair_s: Array
    prefill_window_pair_s: Array
    prefill_token_s: Array
    step_s: Array
    sequence_s: Array
    window: int
    accelerators: Array
    kv_bytes: Array
    sequence_bytes: Array
    kv_capacity_bytes: Array
    prompt_s: Array | None = None

    def __len__(self) -> int:
        return len(self.step_s)

    def seconds(
        self,
        rows: NDArray[np.int64],
        *,
        tokens: Array,
        sampled: Array,
        keys: Array,
        window_keys: Array | float = 0.0,
        pairs: Array | float = 0.0,
        window_pairs: Array | float = 0.0,
        prefill_tokens: Array | float = 0.0,
        sequences: Array | float | None = None,
    ) -> Array:
        """Return the time of steps, s, (N,): `rows` (N,) says which configuration each is of; sums are of the whole
        replica. `sequences` (decoding and being prefilled) is `sampled` unless given.
        """
        count = sampled if sequences is None else sequences
        return np.asarray(
            interpolate(self.tokens, self.products_s, rows, tokens)
            + interpolate(self.tokens, self.head_s, rows, sampled)
            + self.decode_key_s[rows] * keys
            + self.decode_window_key_s[rows] * window_keys
            + self.prefill_pair_s[rows] * pairs
            + self.prefill_window_pair_s[rows] * window_pairs
            + self.prefill_token_s[rows] * prefill_tokens
            + self.step_s[rows]
            + self.sequence_s[rows] * count
            + (0.0 if self.prompt_s is None else self.prompt_s[rows] * (np.asarray(prefill_tokens) > 0))
        )


def interpolate(grid: Array, table: Array, rows: NDArray[np.int64], at: Array) -> Array:
    """Return table[rows] at `at` (N,) between the points of `grid` (G,); beyond the last with its last slope; 0 at
    nothing.
    """
    x = np.asarray(at, dtype=np.float64)
    index = np.clip(np.searchsorted(grid, x, side="right") - 1, 0, len(grid) - 2)
    low, high = table[rows, index], table[rows, index + 1]
    share = np.maximum((x - grid[index]) / (grid[index + 1] - grid[index]), 0.0)
    return np.where(x > 0, low + (high - low) * share, 0.0)
