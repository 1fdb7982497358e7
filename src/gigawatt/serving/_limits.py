"""What a replica can carry at most, limit by limit: each is the request rate at which it alone would be reached.

step       the rate stops growing with the batch: every further sequence slows the others by as much as it adds
prefill    steps have no more room in their token budget for the prompts that come
kv cache   the keys and values of those in care fill the memory (Little's law in bytes; models: 11.4)
sequences  as many sequences as the engine takes
memory     the model does not fit: nothing is served
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from gigawatt.serving._length_mix import LengthMix
from gigawatt.serving._occupancy import Occupancy, Speculation, occupancy
from gigawatt.serving._step_table import StepTable

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
LIMITS = ("step", "prefill", "kv cache", "sequences", "memory")
_POINTS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Highest rates by limit, requests/s, (N,), inf where it cannot be reached; 0 where the model does not fit.
    `decoding` (N,) are the sequences at `capacity`.
    """

    step: Array
    prefill: Array
    kv_cache: Array
    sequences: Array
    memory: Array
    decoding: Array

    @property
    def table(self) -> Array:
        """Rates by limit, in the order of `LIMITS`, (5, N)."""
        return np.stack([getattr(self, item.name) for item in fields(self) if item.name != "decoding"])

    @property
    def capacity(self) -> Array:
        """The highest stable rate, (N,)."""
        return np.asarray(self.table.min(axis=0))

    @property
    def binding(self) -> NDArray[np.str_]:
        """The limit that sets the capacity, (N,)."""
        return np.asarray(np.asarray(LIMITS)[self.table.argmin(axis=0)], dtype=np.str_)


def resident_bytes(
    table: StepTable, rows: Integers, mix: LengthMix, state: Occupancy, block_tokens: int = 16
) -> tuple[Array, Array]:
    """Return mean and standard deviation of the cache in use, bytes (N,): those that decode with what they have so far,
    those in prefill with their whole prompt, half a block wasted each; a Poisson number of them (shot noise), more
    where steps grow with the batch.
    """
    each = table.kv_bytes[rows][:, None] * (mix.context + block_tokens / 2.0) + table.sequence_bytes[rows][:, None]
    prompt = table.kv_bytes[rows][:, None] * (mix.prompt + block_tokens / 2.0) + table.sequence_bytes[rows][:, None]
    steps = mix.weight * mix.decode_steps
    steps = steps / max(float(steps.sum()), 1e-300)
    own = state.work_s * mix.weight
    own = own / np.maximum(own.sum(axis=1, keepdims=True), 1e-300)
    mean = state.decoding * (each @ steps) + state.prefilling * (prompt * own).sum(axis=1)
    ramp = (table.kv_bytes[rows][:, None] * mix.output) ** 2 / 12.0
    square = state.decoding * ((each * each + ramp) @ steps) + state.prefilling * (prompt * prompt * own).sum(axis=1)
    growth = 1.0 - np.clip(state.plain_s / np.maximum(state.step_s, 1e-300), 0.05, 1.0)
    return mean, np.sqrt(square / np.maximum(1.0 - growth, 0.05))


def limits(
    table: StepTable,
    rows: Integers,
    mix: LengthMix,
    *,
    max_sequences: Array,
    token_budget: Array,
    speculation: Speculation,
    block_tokens: int = 16,
) -> Limits:
    """Return the limits of N replicas, on `_POINTS` sizes of the batch and straight between them."""
    count = len(rows)
    room = np.maximum(table.kv_capacity_bytes[rows], 0.0)
    memory = np.where(room > 0.0, np.inf, 0.0)
    infinite = np.full(count, np.inf)
    if mix.while_decoding(np.ones(len(mix))) == 0.0:
        still = occupancy(table, rows, mix, decoding=np.zeros(count), token_budget=token_budget, rate=np.zeros(count))
        work = still.work_s @ mix.weight
        longest = table.kv_bytes[rows] * (mix.prompt.max() + block_tokens) + table.sequence_bytes[rows]
        return Limits(
            step=infinite, prefill=1.0 / work, kv_cache=np.where(longest <= room, np.inf, 0.0), sequences=infinite,
            memory=memory, decoding=np.zeros(count),
        )  # fmt: skip
    most = np.minimum(max_sequences, token_budget / (1.0 + speculation.draft_tokens))
    share = np.concatenate([[1e-3, 3e-3], np.geomspace(0.01, 1.0, _POINTS - 2)])
    batch = (most[:, None] * share).ravel()
    spread = np.repeat(np.arange(count), _POINTS)
    at = occupancy(table, rows[spread], mix, decoding=batch, token_budget=token_budget[spread], speculation=speculation)
    held, _ = resident_bytes(table, rows[spread], mix, at, block_tokens)
    shape = (count, _POINTS)
    rate, grown = at.rate.reshape(shape), batch.reshape(shape)
    peak = rate.argmax(axis=1)
    over = {
        "prefill": at.prefill_load.reshape(shape) - 1.0,
        "kv_cache": held.reshape(shape) / np.maximum(room, 1.0)[:, None] - 1.0,
        "sequences": (at.decoding + at.prefilling).reshape(shape) / most[:, None] * (1.0 + 1e-9) - 1.0,
    }
    found = {name: _crossing(excess, rate, grown, peak) for name, excess in over.items()}
    top = np.where(peak < _POINTS - 1, rate.max(axis=1), np.inf)
    reached = np.stack([batch_at for _, batch_at in found.values()] + [grown[np.arange(count), peak]])
    return Limits(
        step=top,
        prefill=found["prefill"][0],
        kv_cache=found["kv_cache"][0],
        sequences=found["sequences"][0],
        memory=memory,
        decoding=np.where(memory > 0.0, reached.min(axis=0), 0.0),
    )


def _crossing(excess: Array, rate: Array, batch: Array, peak: Integers) -> tuple[Array, Array]:
    """Return rate and batch at which `excess` (N, G) first comes above 0, before the peak of the rate; inf where never."""
    points = np.arange(excess.shape[1])
    above = (excess > 0.0) & (points <= peak[:, None])
    never = ~above.any(axis=1)
    after = np.where(never, 1, np.maximum(above.argmax(axis=1), 0))
    row = np.arange(len(excess))
    first = after == 0
    before = np.maximum(after - 1, 0)
    low, high = excess[row, before], excess[row, after]
    part = np.where(first, 1.0, np.clip(-low / np.maximum(high - low, 1e-300), 0.0, 1.0))
    at_rate = rate[row, before] + (rate[row, after] - rate[row, before]) * part
    at_batch = batch[row, before] + (batch[row, after] - batch[row, before]) * part
    scale = np.where(first, 1.0 / (1.0 + np.maximum(excess[row, 0], 0.0)), 1.0)  # already over at the smallest batch
    return np.where(never, np.inf, at_rate * scale), np.where(never, np.inf, at_batch * scale)
