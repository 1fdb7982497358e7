"""How long prompts and outputs are, in tokens: fixed, uniform, lognormal, heavy-tailed, or as in a trace.

    Length.draw(rng, n) -> (n,) tokens, real numbers        Lengths.draw(rng, n) -> prompt, output (n,), whole tokens

Lognormal: ln X is normal with mean m and deviation s; mean exp(m + s^2 / 2), p-th quantile exp(m + s z_p). Heavy tails are
a Pareto law above a quantile of the body: P(X > x) = P(X > x0) (x0 / x)^a.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Protocol

import numpy as np

from gigawatt.errors import InputError, Problem
from gigawatt.serving._requests import Array, Integers, Requests

_NORMAL = NormalDist()


class Length(Protocol):
    """A distribution of lengths."""

    def draw(self, rng: np.random.Generator, number: int) -> Array:
        """Return `number` lengths, tokens."""

    def mean(self) -> float:
        """Return the mean, tokens."""


@dataclass(frozen=True, slots=True)
class FixedLength:
    """Always `tokens`."""

    tokens: float

    def draw(self, rng: np.random.Generator, number: int) -> Array:  # noqa: ARG002
        """Return `number` lengths, tokens."""
        return np.full(number, float(self.tokens))

    def mean(self) -> float:
        """Return the mean, tokens."""
        return float(self.tokens)


@dataclass(frozen=True, slots=True)
class UniformLength:
    """Every length from `low` to `high` alike."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator, number: int) -> Array:
        """Return `number` lengths, tokens."""
        return rng.uniform(self.low, self.high, number)

    def mean(self) -> float:
        """Return the mean, tokens."""
        return 0.5 * (self.low + self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogNormalLength:
    """Lognormal around `median`: ln X = ln median + sigma z below it, + upper z^warp above it, z normal. `upper` is
    sigma and `warp` 1 unless given; a warp below 1 fills the shoulder, one above 1 the far tail. With a finite
    `tail` (above 1, or there is no mean) a Pareto law of that exponent stands above the quantile `tail_from`. Cut off at
    `least` and `most`.
    """

    median: float
    sigma: float
    upper: float | None = None
    warp: float = 1.0
    tail: float = math.inf
    tail_from: float = 0.99
    least: float = 1.0
    most: float = math.inf

    def draw(self, rng: np.random.Generator, number: int) -> Array:
        """Return `number` lengths, tokens."""
        z = rng.standard_normal(number)
        tokens = self._at(z)
        if math.isfinite(self.tail):
            beyond = np.flatnonzero(z > _NORMAL.inv_cdf(self.tail_from))
            tokens[beyond] = self.quantile(self.tail_from) * (1.0 + rng.pareto(self.tail, len(beyond)))
        return np.clip(tokens, self.least, self.most)

    def quantile(self, share: float) -> float:
        """Return the length that a `share` of draws stays below, before the cut-offs."""
        at = min(share, self.tail_from) if math.isfinite(self.tail) else share
        body = float(self._at(np.array([_NORMAL.inv_cdf(at)]))[0])
        return body if at == share else body * ((1.0 - share) / (1.0 - self.tail_from)) ** (-1.0 / self.tail)

    def mean(self) -> float:
        """Return the mean, tokens, before the cut-offs (an integral over z; 1e-6 of it is the error)."""
        end = _NORMAL.inv_cdf(self.tail_from) if math.isfinite(self.tail) else 12.0
        z = np.linspace(-12.0, end, 8_001)
        weight = np.exp(-0.5 * z**2) / math.sqrt(2.0 * math.pi)
        body = float(np.trapezoid(self._at(z) * weight, z))
        if not math.isfinite(self.tail):
            return body
        return body + (1.0 - self.tail_from) * self.quantile(self.tail_from) * self.tail / (self.tail - 1.0)

    def _at(self, z: Array) -> Array:
        if self.warp == 1.0 and self.upper is None:
            return np.asarray(self.median * np.exp(self.sigma * z))
        upper = self.sigma if self.upper is None else self.upper
        above = upper * np.maximum(z, 0.0) ** self.warp
        return np.asarray(self.median * np.exp(np.where(z > 0, above, self.sigma * z)))


def length(
    *,
    mean: float | None = None,
    p50: float | None = None,
    p99: float | None = None,
    min: float | None = None,
    max: float | None = None,
    tail: float | None = None,
) -> Length:
    """Return the distribution that a few statistics, in tokens, describe.

    mean alone: fixed; min and max alone: uniform; two of mean, p50 and p99: lognormal; all three: lognormal below p50,
    bent above it to have p99 and the mean. `tail` puts a Pareto law of that exponent above p99; a mean without p99 is that
    of the body then. min and max cut off. Raises InputError where no distribution of the kind has these
    statistics, and says which would do.
    """
    low, high = min if min is not None else 1.0, max if max is not None else math.inf
    given = {name: value for name, value in (("mean", mean), ("p50", p50), ("p99", p99)) if value is not None}
    shown = ", ".join(f"{name} {value:g}" for name, value in given.items())
    if any(not (math.isfinite(value) and value >= 1) for value in (*given.values(), low)) or not low <= high:
        raise _impossible(f"{shown}, min {low:g}, max {high:g}", "lengths of 1 token or more, min below max")
    for name, value in given.items():
        if not low <= value <= high:
            raise _impossible(f"{name} {value:g}", f"between min {low:g} and max {high:g}")
    if not given:
        if min is None or max is None:
            raise _impossible(
                "nothing" if max is None and min is None else "one end", "mean, p50 and p99, or min and max"
            )
        return UniformLength(low, high)
    if len(given) == 1:
        if min is not None or max is not None or mean is None:
            raise _impossible(shown, "two of mean, p50 and p99 (a mean alone is a fixed length)")
        return FixedLength(mean)
    if tail is not None and not 1.0 < tail <= 100.0:
        raise _impossible(f"tail {tail:g}", "an exponent above 1 (below it there is no mean), at most 100")
    exponent = math.inf if tail is None else tail
    if mean is not None and p50 is not None and p99 is not None:
        return replace(_bent(mean, p50, p99, exponent, shown), least=low, most=high)
    return replace(_log_normal(mean, p50, p99, shown), tail=exponent, least=low, most=high)


def _log_normal(mean: float | None, p50: float | None, p99: float | None, shown: str) -> LogNormalLength:
    z = _NORMAL.inv_cdf(0.99)
    if p99 is None:
        assert mean is not None
        assert p50 is not None
        if mean < p50:
            raise _impossible(shown, f"a mean of at least p50, {p50:g} (lognormal)")
        return LogNormalLength(median=p50, sigma=math.sqrt(2.0 * math.log(mean / p50)))
    if p50 is None:
        assert mean is not None
        # s^2 / 2 - z s + ln(p99 / mean) = 0; the smaller root is the one with a heavier body.
        below = z * z - 2.0 * math.log(p99 / mean)
        if p99 < mean or below < 0:
            raise _impossible(shown, f"p99 from {mean:g} to {mean * math.exp(0.5 * z * z):.4g} (lognormal)")
        sigma = z - math.sqrt(below)
        return LogNormalLength(median=mean * math.exp(-0.5 * sigma**2), sigma=sigma)
    if p99 < p50:
        raise _impossible(shown, f"p99 of at least p50, {p50:g}")
    return LogNormalLength(median=p50, sigma=math.log(p99 / p50) / z)


# How far the upper half may be bent: beyond 1.5 the mean hangs on draws that no trace would ever hold.
_WARPS = np.linspace(0.05, 1.5, 59)


def _bent(mean: float, p50: float, p99: float, tail: float, shown: str) -> LogNormalLength:
    """Return the distribution with all three statistics: the warp, nearest to one, at which the mean is right."""
    z = _NORMAL.inv_cdf(0.99)
    if not p99 > p50:
        raise _impossible(shown, f"p99 above p50, {p50:g}")
    sigma = math.log(p99 / p50) / z

    def at(warp: float) -> LogNormalLength:
        return LogNormalLength(median=p50, sigma=sigma, upper=sigma * z ** (1.0 - warp), warp=warp, tail=tail)

    means = np.array([at(warp).mean() for warp in _WARPS])
    crossed = np.flatnonzero((means[:-1] - mean) * (means[1:] - mean) <= 0)
    if not len(crossed):
        raise _impossible(shown, f"a mean from {means.min():.4g} to {means.max():.4g} with these percentiles")
    nearest = crossed[np.argmin(np.abs(_WARPS[crossed] - 1.0))]
    low, high = float(_WARPS[nearest]), float(_WARPS[nearest + 1])
    rises = means[nearest + 1] > means[nearest]
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if (at(middle).mean() < mean) == rises else (low, middle)
    return at(0.5 * (low + high))


def _impossible(found: str, allowed: str) -> InputError:
    return InputError(Problem(message="no distribution of lengths has these statistics", found=found, allowed=allowed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Prompt and output lengths that are independent of each other."""

    prompt: Length
    output: Length

    def draw(self, rng: np.random.Generator, number: int) -> tuple[Integers, Integers]:
        """Return prompt and output lengths (number,), whole tokens of at least one."""
        return _whole(self.prompt.draw(rng, number)), _whole(self.output.draw(rng, number))


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceLengths:
    """Pairs of prompt and output length drawn from a trace with replacement, so that they keep their dependence."""

    prompt_tokens: Integers = field(repr=False)
    output_tokens: Integers = field(repr=False)

    @classmethod
    def of(cls, trace: Requests) -> TraceLengths:
        """Return the lengths of the requests of a trace."""
        return cls(prompt_tokens=trace.prompt_tokens, output_tokens=trace.output_tokens)

    def draw(self, rng: np.random.Generator, number: int) -> tuple[Integers, Integers]:
        """Return prompt and output lengths (number,), tokens."""
        pick = rng.integers(0, len(self.prompt_tokens), number)
        return self.prompt_tokens[pick], self.output_tokens[pick]


def nominal_lengths(prompt_tokens: float, output_tokens: float, fraction: float = 1.0) -> Lengths:
    """Return lengths uniform from `fraction` of nominal to nominal: the rule of random benchmarks (0.8: from 80 to
    100 %); 1 is fixed. Raises InputError for a fraction outside of (0, 1] and lengths below one token.
    """
    if not 0 < fraction <= 1 or prompt_tokens < 1 or output_tokens < 1:
        found = f"{prompt_tokens:g} and {output_tokens:g} tokens, fraction {fraction:g}"
        raise _impossible(found, "one token or more, a fraction above 0 and at most 1")
    prompt, output = (UniformLength(fraction * each, each) for each in (prompt_tokens, output_tokens))
    return Lengths(prompt=prompt, output=output)


def _whole(tokens: Array) -> Integers:
    return np.maximum(np.rint(np.minimum(tokens, 2.0**52)), 1.0).astype(np.int64)
