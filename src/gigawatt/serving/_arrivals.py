"""When requests (or sessions) arrive: Poisson, Gamma gaps, or bursts, at a rate that may swing.

A renewal process of unit rate runs in operational time u; the arrivals are the times t at which the expected number reaches u. The
gaps keep their squared coefficient of variation c2 at every rate, where thinning would pull it towards one (a renewal process
thinned to a share p has 1 + p (c2 - 1)); for Poisson both are the same process. Windows begin in the steady state: the first
arrival comes after a residual gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gigawatt.errors import InputError, Problem
from gigawatt.serving._requests import Array
from gigawatt.serving._shapes import RateProfile


class Arrivals(Protocol):
    """A way of arriving."""

    def times(self, profile: RateProfile, rng: np.random.Generator) -> Array:
        """Return arrival times, s, in order, within the edges of `profile`."""


@dataclass(frozen=True, slots=True)
class Poisson:
    """Independent arrivals: c2 = 1."""

    def times(self, profile: RateProfile, rng: np.random.Generator) -> Array:
        """Return arrival times, s, in order, within the edges of `profile`."""
        total = profile.cumulative()[-1]
        # Given their number, arrivals of a Poisson process are independent and uniform in operational time.
        return profile.time_of(np.sort(rng.uniform(0.0, total, rng.poisson(total))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gamma:
    """Gamma-distributed gaps with the squared coefficient of variation `burstiness`: 1 is Poisson, above it arrivals
    come in clumps, below it they are more regular. Raises InputError unless it is in (0, 10,000].
    """

    burstiness: float

    def __post_init__(self) -> None:
        if not 0 < self.burstiness <= 1e4:
            raise InputError(
                Problem(
                    message="impossible squared coefficient of variation of the gaps",
                    path="burstiness",
                    found=f"{self.burstiness:g}",
                    allowed="above 0, at most 10,000",
                )
            )

    def times(self, profile: RateProfile, rng: np.random.Generator) -> Array:
        """Return arrival times, s, in order, within the edges of `profile`."""
        total = float(profile.cumulative()[-1])
        shape = 1.0 / self.burstiness
        # The gap that covers the start is drawn in proportion to its length: Gamma of shape + 1; the start cuts it uniformly.
        first = rng.random() * rng.gamma(shape + 1.0, self.burstiness)
        parts, reached = [np.array([first])], first
        while reached < total:
            number = int((total - reached) + 4.0 * np.sqrt((total - reached) * self.burstiness) + 16)
            parts.append(reached + np.cumsum(rng.gamma(shape, self.burstiness, number)))
            reached = float(parts[-1][-1])
        expected = np.concatenate(parts)
        return profile.time_of(expected[expected < total])


@dataclass(frozen=True, slots=True, kw_only=True)
class Bursty:
    """Poisson arrivals whose rate jumps between two levels (Markov-modulated): `burst_ratio` times as high in bursts,
    which last `burst_s` on average, as in the quiet between, which lasts `quiet_s`. The mean rate stays the profile's.

    Raises InputError unless the ratio is at least 1 and both lengths are above 0.
    """

    burst_ratio: float
    burst_s: float
    quiet_s: float

    def __post_init__(self) -> None:
        wrong = [
            Problem(message="impossible value", path=name, found=f"{value:g}", allowed=allowed)
            for name, value, least, allowed in (
                ("burst_ratio", self.burst_ratio, 1.0, "at least 1"),
                ("burst_s", self.burst_s, 1e-3, "at least 1 ms"),
                ("quiet_s", self.quiet_s, 1e-3, "at least 1 ms"),
            )
            if not (np.isfinite(value) and value >= least)
        ]
        if wrong:
            raise InputError(wrong)

    @property
    def _quiet_factor(self) -> float:
        share = self.burst_s / (self.burst_s + self.quiet_s)
        return 1.0 / (1.0 + share * (self.burst_ratio - 1.0))

    def burstiness(self, rate_per_s: float) -> float:
        """Return the squared coefficient of variation of the gaps at a constant rate: with levels l1, l2 left at rates
        s1, s2, c2 = 1 + 2 s1 s2 (l1 - l2)^2 / ((s1 + s2)^2 (l1 l2 + l1 s2 + l2 s1)). Source: Fischer and
        Meier-Hellstern, The Markov-modulated Poisson process cookbook, Performance Evaluation 18 (1993).
        """
        quiet = rate_per_s * self._quiet_factor
        burst = quiet * self.burst_ratio
        s1, s2 = 1.0 / self.burst_s, 1.0 / self.quiet_s
        below = (s1 + s2) ** 2 * (burst * quiet + burst * s2 + quiet * s1)
        return 1.0 + 2.0 * s1 * s2 * (burst - quiet) ** 2 / below

    def times(self, profile: RateProfile, rng: np.random.Generator) -> Array:
        """Return arrival times, s, in order, within the edges of `profile`."""
        start, end = float(profile.edges_s[0]), float(profile.edges_s[-1])
        in_burst = rng.random() < self.burst_s / (self.burst_s + self.quiet_s)
        switches, reached = [np.array([start])], start
        while reached < end:
            pairs = int((end - reached) / (self.burst_s + self.quiet_s) * 1.1 + 8)
            stays = np.empty(2 * pairs)
            stays[0::2] = rng.exponential(self.burst_s if in_burst else self.quiet_s, pairs)
            stays[1::2] = rng.exponential(self.quiet_s if in_burst else self.burst_s, pairs)
            switches.append(reached + np.cumsum(stays))
            reached = float(switches[-1][-1])
        edges = np.concatenate(switches)
        even, odd = (self.burst_ratio, 1.0) if in_burst else (1.0, self.burst_ratio)
        levels = np.where(np.arange(len(edges) - 1) % 2 == 0, even, odd) * self._quiet_factor
        return Poisson().times(profile.times(edges, levels), rng)
