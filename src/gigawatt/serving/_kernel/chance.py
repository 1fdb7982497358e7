"""Random numbers: SplitMix64 of a key and counters, so that what a request draws does not depend on the order of events."""

from __future__ import annotations

import math

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)
S11, S27, S30, S31, S40 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(40)


def uniform(key: np.uint64, request: int, token: int) -> float:
    """Return a number in (0, 1) of a key, a request and its token."""
    z = np.uint64(key) + GOLDEN * ((np.uint64(request) << S40) + np.uint64(token) + np.uint64(1))
    z = (z ^ (z >> S30)) * MIX_1
    z = (z ^ (z >> S27)) * MIX_2
    z = z ^ (z >> S31)
    return (float(z >> S11) + 0.5) * 1.1102230246251565e-16


def accepted(key: np.uint64, request: int, token: int, drafts: int, acceptance: float) -> int:
    """Return the tokens that a verification gives: one, and the leading drafts that were accepted (Leviathan et al.,
    arXiv 2211.17192: mean (1 - a^(g+1)) / (1 - a)).
    """
    if acceptance <= 0.0 or drafts == 0:
        return 1
    if acceptance >= 1.0:
        return 1 + drafts
    leading = math.log(uniform(key, request, token)) / math.log(acceptance)
    return 1 + (drafts if leading >= drafts else int(leading))
