"""Plans as columns, and the points that they are made of: replicas that do both, that prefill, that decode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from gigawatt.serving._first_token import first_token, slot_wait
from gigawatt.serving._length_mix import LengthMix
from gigawatt.serving._limits import resident_bytes
from gigawatt.serving._mean_field import step_slope
from gigawatt.serving._occupancy import Occupancy, occupancy
from gigawatt.serving._offers import Offer, Space
from gigawatt.serving._replicas import Replicas
from gigawatt.serving._token_times import normal_beyond, tpot_quantiles

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
CELLS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """N plans. A unit is `replicas` of row `row` of offer `offer` with `sequences` in decode on average and steps of
    `token_budget` tokens, and, apart from them, `prefill_replicas` (0: they prefill themselves) of `prefill_row` of
    `prefill_offer`; `copies` units stand side by side. `ttft_s` and `tpot_s` hold at the share of the promise.

    `accelerators`, `rate` (requests/s), `usd_per_s` and `watts` (facility) are those of all copies. `cache_share` is
    the mean use of the decoding replicas' cache, `prefill_load` that of prefill.
    """

    offer: Integers
    row: Integers
    replicas: Integers
    sequences: Array
    token_budget: Array
    prefill_offer: Integers
    prefill_row: Integers
    prefill_replicas: Integers
    prefill_budget: Array
    copies: Integers
    accelerators: Integers
    rate: Array
    ttft_s: Array
    tpot_s: Array
    tpot_mean_s: Array
    cache_share: Array
    prefill_load: Array
    usd_per_s: Array
    watts: Array

    def __len__(self) -> int:
        return len(self.rate)

    def take(self, rows: Integers | NDArray[np.bool_] | slice) -> Candidates:
        """Return some of the plans."""
        return Candidates(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})

    @classmethod
    def join(cls, parts: Sequence[Candidates]) -> Candidates:
        """Return the plans of several lists, in order."""
        return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Replicas of one offer in a known state, each (N,). What they keep of a promise is not known yet where `tpot_s` or
    `ttft_s` is empty. `slot` is the wait for a place: mean and share, `delay_s` what a handover adds before decode.
    """

    row: Integers
    budget: Array
    state: Occupancy
    slot: tuple[Array, Array]
    cache_share: Array
    risk: Array

    def take(self, part: Integers) -> Points:
        """Return some of the points."""
        return Points(
            row=self.row[part],
            budget=self.budget[part],
            state=self.state.take(part),
            slot=(self.slot[0][part], self.slot[1][part]),
            cache_share=self.cache_share[part],
            risk=self.risk[part],
        )

    def __len__(self) -> int:
        return len(self.row)


def points(offer: Offer, mix: LengthMix, space: Space, sequences: Array, budgets: Array, rows: Integers) -> Points:
    """Return the balance of every row with every number of sequences and every budget."""
    place, b, n = (
        x.ravel() for x in np.meshgrid(np.arange(len(rows), dtype=np.float64), budgets, sequences, indexing="ij")
    )
    r = rows[place.astype(np.int64)]
    state = occupancy(offer.table, r, mix, decoding=n, token_budget=b, speculation=space.speculation)
    return _judged(offer, mix, space, r, b, state)


def prefill_points(offer: Offer, mix: LengthMix, space: Space, rows: Integers) -> Points:
    """Return prefill replicas at every load of the space."""
    alone = mix.prefill_only()
    place = np.arange(len(rows), dtype=np.float64)
    place, b, load = (x.ravel() for x in np.meshgrid(place, space.prefill_budgets, space.prefill_loads, indexing="ij"))
    r = rows[place.astype(np.int64)]
    none = np.zeros(len(r))
    still = occupancy(offer.table, r, alone, decoding=none, token_budget=b, rate=none)
    rate = load / (still.work_s @ alone.weight)
    state = occupancy(offer.table, r, alone, decoding=none, token_budget=b, rate=rate)
    return _judged(offer, alone, space, r, b, state)


def _judged(offer: Offer, mix: LengthMix, space: Space, rows: Integers, budgets: Array, state: Occupancy) -> Points:
    held, deviation = resident_bytes(offer.table, rows, mix, state, space.block_tokens)
    room = np.maximum(offer.table.kv_capacity_bytes[rows], 1.0)
    how = Replicas(max_sequences=np.inf, token_budget=budgets, burstiness=space.burstiness).columns(len(rows))
    return Points(
        row=rows,
        budget=budgets,
        state=state,
        slot=slot_wait(how, mix, state, held, room),
        cache_share=held / room,
        risk=normal_beyond((room - held) / np.maximum(deviation, 1.0)),
    )


def ttft_at(at: Points, mix: LengthMix, space: Space, replicas: Array, share: float) -> Array:
    """Return the TTFT that a share of requests keeps, s (N,)."""
    how = Replicas(token_budget=at.budget, burstiness=space.burstiness, replicas=replicas).columns(len(at))
    return first_token(how, mix, at.state, at.slot, (share,), CELLS)[1][:, 0]


def tpot_at(
    offer: Offer, at: Points, mix: LengthMix, space: Space, share: float, delay_s: Array | float = 0.0
) -> Array:
    """Return the TPOT that a share of requests keeps, s (N,)."""
    how = Replicas(token_budget=at.budget, speculation=space.speculation).columns(len(at))
    slope = step_slope(offer.table, at.row, mix, how, at.state)
    return tpot_quantiles(at.state, mix, space.speculation, (share,), slope, delay_s)[:, 0]


def working_watts(offer: Offer, at: Points, *, decodes: bool) -> Array:
    """Return the mean power of an accelerator, W (N,): steps with prefill work on their prompt tokens too."""
    state = at.state
    if not decodes:
        busy = np.minimum(state.prefill_load, 1.0)
        return np.asarray(offer.watts(at.budget) * busy + offer.watts(np.zeros(len(at))) * (1.0 - busy))
    share = state.bearing_share
    return np.asarray(offer.watts(state.decoding) * (1.0 - share) + offer.watts(state.decoding + state.chunk) * share)
