"""How long requests are, as a few weighted points: what closed forms sum over instead of a million requests."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gigawatt.errors import InputError, Problem
from gigawatt.serving._requests import Requests

Array = NDArray[np.float64]


def _edges() -> Array:
    """Return the shares of requests, by length of prompt, at which cells end: finer towards the long ones, which carry
    the tail of waits.
    """
    beyond = [1.0]
    while beyond[-1] > 1e-4:
        beyond.append(beyond[-1] - min(0.0125, 0.15 * beyond[-1]))
    return 1.0 - np.array([*beyond, 0.0])


_EDGES = _edges()


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthMix:
    """K kinds of requests: tokens of the prompt, of the output and of the part of the prompt that a prefix cache
    serves, and the share of each kind, each (K,). Shares sum to 1. A pool that only decodes has its whole prompts cached.

    Raises InputError for lengths below one, a cached part longer than its prompt, shares that are not positive.
    """

    prompt: Array
    output: Array
    cached: Array
    weight: Array

    def __post_init__(self) -> None:
        checks = (
            ("prompt_tokens", self.prompt >= 1.0, self.prompt, "1 or more"),
            ("output_tokens", self.output >= 1.0, self.output, "1 or more"),
            ("cached_tokens", self.cached >= 0.0, self.cached, "0 or more"),
            ("cached_tokens", self.cached <= self.prompt, self.cached, "at most the prompt"),
            ("weight", self.weight > 0.0, self.weight, "above 0"),
        )
        problems = tuple(
            Problem(
                message="not a length of requests" if name != "weight" else "not a share of requests",
                path=f"serving.{name}",
                found=str(found[~good][0]),
                allowed=allowed,
            )
            for name, good, found, allowed in checks
            if not np.all(good)
        )
        if problems:
            raise InputError(problems)

    @classmethod
    def of(cls, prompt: object, output: object, cached: object = 0.0, weight: object = 1.0) -> LengthMix:
        """Return a mix from scalars and arrays, broadcast to one length; shares are scaled to a sum of 1."""
        raw = (np.atleast_1d(np.asarray(x, dtype=np.float64)) for x in (prompt, output, cached, weight))
        p, o, c, w = np.broadcast_arrays(*raw)
        return cls(prompt=p, output=o, cached=c, weight=w / w.sum() if w.sum() > 0 else w)

    @classmethod
    def of_requests(cls, requests: Requests, cached: object = 0.0, outputs: int = 4) -> LengthMix:
        """Return the mix of a list of requests: cells of prompt length, finer towards the longest, each in `outputs`
        cells of output length; a point is the mean of its cell, so means over the mix are those of the requests.
        `cached` are tokens from a prefix cache by request, (R,).
        """
        if not len(requests):
            raise InputError(Problem(message="there are no requests", path="serving.requests", allowed="one or more"))
        prompt, output = requests.prompt_tokens.astype(np.float64), requests.output_tokens.astype(np.float64)
        known = np.broadcast_to(np.asarray(cached, dtype=np.float64), prompt.shape)
        count = len(requests)
        outer = np.searchsorted(_EDGES[1:-1], (_rank(prompt) + 0.5) / count)
        order = np.lexsort((output, outer))
        start = np.searchsorted(outer[order], np.arange(len(_EDGES) - 1))
        size = np.bincount(outer, minlength=len(_EDGES) - 1)
        inner = np.empty(count, dtype=np.int64)
        place = np.arange(count) - start[outer[order]]
        inner[order] = place * outputs // np.maximum(size[outer[order]], 1)
        cell = np.unique(outer * outputs + inner, return_inverse=True)[1]
        many = np.bincount(cell).astype(np.float64)
        p, o, c = (np.bincount(cell, weights=x) / many for x in (prompt, output, known))
        return cls.of(p, o, np.minimum(c, p), many)

    def __len__(self) -> int:
        return len(self.weight)

    def mean(self, values: Array) -> float:
        """Return the mean of `values` (K,) over requests."""
        return float(self.weight @ values)

    def thinned(self, points: int = 12) -> LengthMix:
        """Return the mix in at most `points` kinds with the same means: neighbours by computed prompt are joined, fewer
        of them towards the longest.
        """
        if len(self) <= points:
            return self
        order = np.argsort(self.computed, kind="stable")
        reached = np.cumsum(self.weight[order]) - self.weight[order] / 2.0
        beyond = 0.75 ** np.arange(1.0, points)  # a quarter of what is left in each cell
        cell = np.empty(len(self), dtype=np.int64)
        cell[order] = np.searchsorted(1.0 - beyond, reached)
        _, cell = np.unique(cell, return_inverse=True)
        weight = np.bincount(cell, weights=self.weight)
        p, o, c = (np.bincount(cell, weights=self.weight * x) / weight for x in (self.prompt, self.output, self.cached))
        return LengthMix.of(p, o, np.minimum(c, p), weight)

    def prefill_only(self) -> LengthMix:
        """Return the mix as a prefill pool sees it: the first token ends the request."""
        return replace(self, output=np.ones(len(self)))

    def decode_only(self) -> LengthMix:
        """Return the mix as a decode pool sees it: keys and values of the prompt arrive."""
        return replace(self, cached=self.prompt)

    @property
    def computed(self) -> Array:
        """Prompt tokens that are computed, (K,)."""
        return self.prompt - self.cached

    @property
    def pairs(self) -> Array:
        """(query, key) pairs of the computed part of a prompt, causal, (K,)."""
        return self.computed * self.cached + self.computed * self.computed / 2.0

    def window_pairs(self, window: int) -> Array:
        """Return the pairs in layers that see `window` keys, (K,)."""
        ramp = np.clip(window - self.cached, 0.0, self.computed)
        return np.asarray(ramp * self.cached + ramp * ramp / 2.0 + (self.computed - ramp) * window)

    @property
    def decode_steps(self) -> Array:
        """Tokens of the output after the first, which comes with the prompt's last chunk, (K,)."""
        return self.output - 1.0

    @property
    def context(self) -> Array:
        """Cached tokens that a decode step reads, mean over the request's steps, (K,)."""
        return self.prompt + self.output / 2.0

    def while_decoding(self, values: Array) -> float:
        """Return the mean of `values` (K,) over sequences that decode at one moment: long outputs count more."""
        steps = self.weight * self.decode_steps
        total = float(steps.sum())
        return float(steps @ values) / total if total > 0 else 0.0


def _rank(values: Array) -> Array:
    rank = np.empty(len(values))
    rank[np.argsort(values, kind="stable")] = np.arange(len(values))
    return rank
