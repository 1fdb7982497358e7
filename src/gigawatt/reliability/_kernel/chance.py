"""Random numbers of a replicate: SplitMix64 of its key (Steele, Lea, Flood 2014), so that it depends on its key alone."""

from __future__ import annotations

import math

import numpy as np

from gigawatt.reliability._kernel.state import Words

STEP = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)
S11, S27, S30, S31 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31)
UNIT = 2.0**-53


def uniform(rng: Words) -> float:
    """Return the next number in (0, 1)."""
    rng[0] = rng[0] + STEP
    z = rng[0]
    z = (z ^ (z >> S30)) * MIX_1
    z = (z ^ (z >> S27)) * MIX_2
    z = z ^ (z >> S31)
    return (float(z >> S11) + 0.5) * UNIT


def exponential(rng: Words, mean: float) -> float:
    """Return an exponential waiting time."""
    return -mean * math.log(uniform(rng))


def below(rng: Words, count: int) -> int:
    """Return a whole number from 0 to count - 1."""
    return min(int(uniform(rng) * count), count - 1)
