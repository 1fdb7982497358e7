"""The balance of one replica: so many sequences decode on average, so many requests a second keep them there.

    decoding = rate x decode steps x step time                                    Little (models: 11.5)
    step time = plain step / (1 - rate x extra)                                   a request's prefill adds `extra` seconds
                                                                                  to the steps that its chunks are in
so the rate follows from the sequences without iteration. A request that decodes sees `decoding` others: the mean number
by the arrival theorem, exact for a step time that is linear in the batch. All columns are (N,), those by kind of request
(N, K).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from gigawatt.serving._length_mix import LengthMix
from gigawatt.serving._step_table import StepTable

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
_ROUNDS = 4  # of the shares that steps with several prompts depend on; each makes the change a tenth


@dataclass(frozen=True, slots=True, kw_only=True)
class Speculation:
    """Tokens drafted for each decode step, the chance that one is accepted, and the time to draft them, s (models: 11.8)."""

    draft_tokens: int = 0
    acceptance: float = 0.0
    draft_s: float = 0.0

    @property
    def tokens_per_step(self) -> float:
        """Tokens that a sequence gains in a step, mean: 1 + a + ... + a^g."""
        return sum(self.acceptance**i for i in range(self.draft_tokens + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupancy:
    """A replica with `decoding` sequences on average, and the request rate that keeps them, requests/s.

    `step_s` is the mean time between two steps as a decoding sequence sees it, `plain_s` without prefill, `full_s` with
    a whole chunk of `chunk` tokens. `extra_s` is what a request's prefill adds to steps, `extra2_s2` its second moment.
    `work_s` (N, K) is the time of a request's prefill in a backlog, `alone_s` (N, K) of one that finds
    nothing to do, `shared_s` (N, K) with those that come during the same step. `prefill_load` is
    the share of time that prefill in whole chunks needs: 1 is the limit. `unshared` is the chance that no other
    prompt comes during a step, `prefilling` how many are being prefilled, `bearing_share` the share of time in steps that hold prefill.
    """

    decoding: Array
    rate: Array
    step_s: Array
    plain_s: Array
    full_s: Array
    chunk: Array
    extra_s: Array
    extra2_s2: Array
    work_s: Array
    alone_s: Array
    shared_s: Array
    prefill_load: Array
    prefilling: Array
    bearing_share: Array
    unshared: Array

    def take(self, part: Integers) -> Occupancy:
        """Return the rows `part`."""
        return Occupancy(**{item.name: getattr(self, item.name)[part] for item in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Steps:
    """Times of steps with `batch` sequences, each (N,); `batch_tokens` are computed for them."""

    table: StepTable
    rows: Integers
    batch: Array
    batch_tokens: Array
    plain_s: Array

    @classmethod
    def of(cls, table: StepTable, rows: Integers, mix: LengthMix, speculation: Speculation, batch: Array) -> _Steps:
        tokens = batch * (1.0 + speculation.draft_tokens)
        context = mix.while_decoding(mix.context)
        seen = mix.while_decoding(np.minimum(mix.context, table.window))
        plain = table.seconds(
            rows,
            tokens=tokens,
            sampled=tokens,
            keys=batch * context,
            window_keys=batch * seen,
            sequences=batch,
        )
        return cls(
            table=table,
            rows=rows,
            batch=batch,
            batch_tokens=tokens,
            plain_s=plain + np.where(batch > 0.0, speculation.draft_s, 0.0),
        )

    def with_chunk(self, chunk: Array, ends: Array) -> Array:
        """Return the time of a step with prefill chunks of together `chunk` tokens that end `ends` prompts, without
        attention of the chunks; `chunk` is (N,) or (N, K).
        """
        rows = self.rows if chunk.ndim == 1 else np.broadcast_to(self.rows[:, None], chunk.shape)
        batch = self.batch_tokens if chunk.ndim == 1 else self.batch_tokens[:, None]
        plain = self.plain_s if chunk.ndim == 1 else self.plain_s[:, None]
        flat, tokens = rows.ravel(), np.broadcast_to(batch, chunk.shape).ravel()
        t = self.table
        zero = np.zeros(len(flat))

        def part(more: Array, sampled: Array) -> Array:
            return t.seconds(flat, tokens=tokens + more, sampled=tokens + sampled, keys=zero, sequences=zero)

        added = part(chunk.ravel(), np.broadcast_to(ends, chunk.shape).ravel()) - part(zero, zero)
        each = t.prefill_token_s[flat] * chunk.ravel() + t.sequence_s[flat]
        if t.prompt_s is not None:
            each = each + t.prompt_s[flat]
        return np.asarray(plain + (added + each).reshape(chunk.shape))


def occupancy(
    table: StepTable,
    rows: Integers,
    mix: LengthMix,
    *,
    decoding: Array,
    token_budget: Array,
    rate: Array | None = None,
    speculation: Speculation | None = None,
) -> Occupancy:
    """Return the balance of replicas that decode `decoding` sequences on average, with steps of at most `token_budget`
    tokens, decode first. Where requests have an output of one token `decoding` is 0 and `rate` must be given; elsewhere
    it follows.
    """
    guess = speculation or Speculation()
    batch = decoding + 1.0 if mix.while_decoding(np.ones(len(mix))) > 0 else decoding
    seen = _Steps.of(table, rows, mix, guess, batch)
    met = _Steps.of(table, rows, mix, guess, decoding)  # what an arriving request meets
    chunk = np.maximum(token_budget - seen.batch_tokens, 1.0)
    steps = mix.mean(mix.decode_steps) / guess.tokens_per_step
    pairs_s = _pairs_s(table, rows, mix)
    mean_prompt = max(mix.mean(mix.computed), 1.0)
    full = seen.with_chunk(chunk, chunk / mean_prompt)
    tokens = mix.computed[None, :]
    work = tokens / chunk[:, None] * full[:, None] + pairs_s
    in_backlog = tokens / chunk[:, None] * (full - seen.plain_s)[:, None] + pairs_s
    load = np.zeros(len(rows)) if rate is None else np.minimum(rate * (work @ mix.weight), 1.0)
    together = np.ones(len(rows))
    for _ in range(_ROUNDS):
        alone, extra, chunks = _prefill_alone(seen, mix, chunk, full, pairs_s, together)
        added = (1.0 - load[:, None]) * extra + load[:, None] * in_backlog
        each = added @ mix.weight
        now = rate if rate is not None else decoding / np.maximum(steps * seen.plain_s + decoding * each, 1e-300)
        free = np.maximum(1.0 - now * each, 1e-9)
        between = np.where(seen.plain_s > 0.0, seen.plain_s / free, 0.0)
        load = np.minimum(now * (work @ mix.weight), 1.0)
        arrivals = np.maximum(
            now * np.maximum(between, alone @ mix.weight / np.maximum(chunks @ mix.weight, 1.0)), 1e-9
        )
        together = arrivals / -np.expm1(-arrivals)
    # who comes meets a whole number of sequences, most likely that next to the mean
    room = np.maximum(token_budget - np.round(met.batch_tokens), 1.0)
    largest = met.with_chunk(room, room / mean_prompt)
    alone, _, _ = _prefill_alone(met, mix, room, largest, pairs_s, np.ones(len(rows)))
    shared, _, _ = _prefill_alone(met, mix, room, largest, pairs_s, together)
    own = (1.0 - load[:, None]) * shared + load[:, None] * work
    per_chunk = (chunks @ mix.weight) * (1.0 - load) + load * mix.mean(mix.computed) / chunk
    return Occupancy(
        decoding=decoding,
        rate=now,
        step_s=between,
        plain_s=seen.plain_s,
        full_s=full,
        chunk=chunk,
        extra_s=each,
        extra2_s2=(added * added) @ mix.weight,
        work_s=work,
        alone_s=alone,
        shared_s=shared,
        prefill_load=now * (work @ mix.weight),
        prefilling=now * (own @ mix.weight),
        unshared=np.exp(-arrivals),
        bearing_share=np.clip(now * (each + per_chunk * seen.plain_s), 0.0, 1.0),
    )


def _pairs_s(table: StepTable, rows: Integers, mix: LengthMix) -> Array:
    narrow = mix.window_pairs(table.window) if table.window else np.zeros(len(mix))
    return np.asarray(
        table.prefill_pair_s[rows][:, None] * mix.pairs + table.prefill_window_pair_s[rows][:, None] * narrow
    )


def _prefill_alone(
    steps: _Steps, mix: LengthMix, chunk: Array, full: Array, pairs_s: Array, together: Array
) -> tuple[Array, Array, Array]:
    """Return of prompts that find no backlog, `together` of them at once: time to the end of the last chunk, what one
    adds to steps, steps that one takes, each (N, K).
    """
    tokens = mix.computed[None, :]
    whole = np.floor(tokens / chunk[:, None] * (1.0 - 1e-12))
    own = np.maximum(tokens - whole * chunk[:, None], 1e-9)
    rest = np.minimum(own * together[:, None], chunk[:, None])  # prompts that came during one step end together
    many = rest / own
    last = steps.with_chunk(rest, many)
    time = whole * full[:, None] + last + pairs_s * many
    plain = steps.plain_s[:, None]
    extra = whole * (full[:, None] - plain) + (last - plain) / many + pairs_s
    count = whole + 1.0 / many
    none = mix.computed[None, :] <= 0.0
    return tuple(np.where(none, 0.0, x) for x in (time, extra, count))  # type: ignore[return-value]
