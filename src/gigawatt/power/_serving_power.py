"""Watts of a chip that serves a dense model, by the sequences in flight.

    share of the limit = floor + (1 - floor) * n / (n + half)

At a few sequences a chip reads weights and draws the floor; products grow with the sequences n of the replica until it draws its
limit. floor of H100 and half are fitted to seven measured rows by `scripts/serving_power.py`, the floor of B200 to one (data/
serving_power.csv); other chips take `memory_bound` of their table as the floor. Sparse models leave chips waiting for each other
and draw less: not covered. Positive power is consumption.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gigawatt.catalog import sourced_table
from gigawatt.evidence import Sourced
from gigawatt.power._chip_power import ChipPower

Numbers: TypeAlias = float | NDArray[np.float64]


@cache
def serving_power_facts() -> Mapping[str, Sourced]:
    """Return the constants of data/serving_power.csv by key ("floor.H100", "half_sequences")."""
    return MappingProxyType(sourced_table("gigawatt.power", "data/serving_power.csv"))


def serving_power(chip: ChipPower, sequences: Numbers) -> Numbers:
    """Return the power of each chip of a replica that serves `sequences` at once, W; `waiting` at none.

    H100: 444 W at 8, 616 W at 256. Between 0 and 1 sequence on average the chip waits for part of the time. Raises
    ValueError for a negative number.
    """
    n = np.asarray(sequences, dtype=np.float64)
    if np.any(n < 0):
        raise ValueError(f"sequences in flight cannot be below 0, not {float(n.min())}")
    facts = serving_power_facts()
    floor = facts[f"floor.{chip.name}"].best if f"floor.{chip.name}" in facts else chip.share("memory_bound")
    half = facts["half_sequences"].best
    busy = np.maximum(n, 1.0)
    serving = chip.limit_w * (floor + (1.0 - floor) * busy / (busy + half))
    return np.asarray(chip.watts("waiting") + (serving - chip.watts("waiting")) * np.minimum(n, 1.0))


def sequences_in_flight(
    requests_per_s: Numbers, output_tokens: Numbers, step_s: float, step_per_sequence_s: float, most: float
) -> Numbers:
    """Return the sequences that a replica works on, by Little's law: n = rate * tokens * (step + slope*n), at most `most`.

    A decode step takes `step_s` + `step_per_sequence_s` for each sequence, s. 10 requests/s of 291 tokens at 15.8 ms +
    0.15 ms: n = 46/(1 - 0.44) = 82. Raises ValueError for steps that are not positive.
    """
    if not (step_s > 0 and step_per_sequence_s >= 0 and most > 0):
        raise ValueError(
            f"a step takes time and a replica holds sequences, not {step_s}, {step_per_sequence_s}, {most}"
        )
    load = np.asarray(requests_per_s, dtype=np.float64) * output_tokens
    left = 1.0 - load * step_per_sequence_s
    stable = np.divide(load * step_s, left, out=np.full(np.shape(left), np.inf), where=left > 0)
    return np.asarray(np.minimum(stable, most))
