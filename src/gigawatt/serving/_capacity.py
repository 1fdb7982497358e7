"""The highest rate at which a service keeps a promise, by bisection on seeded runs.

    lengths, service, promises -> for every seed: Poisson arrivals -> bisection of the rate -> mean, interval, what binds

A seed draws arrivals at one request per second over the same lengths; another rate is the same arrivals on another scale
of time, so that along one seed more load is more load and nothing else (models.md 11.10).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.errors import InputError, Problem
from gigawatt.serving._requests import Requests
from gigawatt.serving._service import Service
from gigawatt.serving._serving_run import ServingRun
from gigawatt.serving._simulate import simulate

Array = NDArray[np.float64]

# Below three seeds there is no spread to speak of; ten or more make the interval worth its name.
LEAST_SEEDS = 3
# A rate this small against the throughput is no load at all: what fails here fails unloaded.
NO_LOAD = 1e-3
ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """The quantile `quantile` of the time to the first token is at most `ttft_s`, and that of the time per output token
    at most `tpot_s`. A request that is not served breaks it.
    """

    ttft_s: float
    tpot_s: float
    quantile: float = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingCapacity:
    """Rates (N,) of N seeds: `kept_per_s` the highest found to keep the promises, `broken_per_s` the lowest found to break
    them, requests/s. `limits` (N,) says what is broken there. `runs` counts the simulations.
    """

    seeds: tuple[int, ...]
    kept_per_s: Array
    broken_per_s: Array
    limits: tuple[str, ...]
    confidence: float
    runs: int

    @property
    def rate_per_s(self) -> float:
        """Mean over the seeds of the highest rate that keeps the promises, requests/s; 0 where none does."""
        return float(self.kept_per_s.mean())

    @property
    def interval_per_s(self) -> tuple[float, float]:
        """Confidence interval of that mean, requests/s, by Student's t over the seeds."""
        count = len(self.kept_per_s)
        reach = student_t(self.confidence, count - 1) * float(self.kept_per_s.std(ddof=1)) / math.sqrt(count)
        return max(self.rate_per_s - reach, 0.0), self.rate_per_s + reach

    @property
    def limit(self) -> str:
        """What binds in most seeds."""
        return Counter(self.limits).most_common(1)[0][0]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        low, high = self.interval_per_s
        return {
            "rate_per_s": self.rate_per_s,
            "interval_per_s": [low, high],
            "confidence": self.confidence,
            "limit": self.limit,
            "limits": dict(Counter(self.limits)),
            "seeds": list(self.seeds),
            "kept_per_s": self.kept_per_s.tolist(),
            "broken_per_s": self.broken_per_s.tolist(),
            "runs": self.runs,
        }


def student_t(confidence: float, freedom: int) -> float:
    """Return the two-sided quantile of Student's t, from that of the normal distribution (Abramowitz and Stegun 26.7.5;
    within 0.01 from 3 degrees of freedom on). For 95 % and 9: 2.262.
    """
    z, v = NormalDist().inv_cdf(0.5 + 0.5 * confidence), float(freedom)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / v ** (i + 1) for i, term in enumerate(terms))


def capacity(
    requests: Requests,
    service: Service,
    promises: Mapping[str, Promise],
    *,
    seeds: int = 10,
    first_seed: int = 0,
    tolerance: float = 0.01,
    warm_up: float = 0.1,
    confidence: float = 0.95,
) -> ServingCapacity:
    """Return the highest Poisson rate of these requests that keeps all promises, by class of request ("all" for all).

    Lengths, classes, sessions and shared blocks are those of `requests`, in their order; their arrivals are drawn anew by
    every seed. A session begins at random, its later turns follow by `pause_s`; the rate counts all turns. The first
    `warm_up` of the requests do not count. The rate is found within `tolerance` of itself. A run whose queue grows without
    end breaks every promise. Raises InputError for promises that name no class, for a closed loop, and where there are too
    few requests to load the service.
    """
    _check(requests, service, promises, seeds, tolerance, warm_up, confidence)
    search = _Search(requests, service, dict(promises), warm_up, tolerance)
    numbers = tuple(range(first_seed, first_seed + seeds))
    found = [search.of(seed) for seed in numbers]
    return ServingCapacity(
        seeds=numbers,
        kept_per_s=np.array([kept for kept, _, _ in found]),
        broken_per_s=np.array([broken for _, broken, _ in found]),
        limits=tuple(limit for _, _, limit in found),
        confidence=confidence,
        runs=search.runs,
    )


def _check(
    requests: Requests,
    service: Service,
    promises: Mapping[str, Promise],
    seeds: int,
    tolerance: float,
    warm_up: float,
    confidence: float,
) -> None:
    problems = []
    known = (ALL, *requests.classes)
    for name, promise in promises.items():
        if name not in known:
            problems.append(Problem(message="is no class", path="promises", found=name, allowed=", ".join(known)))
        if not (promise.ttft_s > 0 and promise.tpot_s > 0 and 0 < promise.quantile <= 1):
            problems.append(Problem(message="needs times above 0 and a quantile up to 1", path=f"promises.{name}"))
    if not promises:
        problems.append(Problem(message="nothing is promised", path="promises", allowed="one promise or more"))
    if service.concurrency is not None:
        problems.append(Problem(message="a closed loop has no rate", path="service.concurrency", allowed="none"))
    if seeds < LEAST_SEEDS:
        problems.append(
            Problem(message="too few for an interval", path="seeds", found=str(seeds), allowed=f"{LEAST_SEEDS} or more")
        )
    if not (0 < tolerance < 1 and 0 <= warm_up < 1 and 0 < confidence < 1):
        problems.append(Problem(message="tolerance, warm-up and confidence are shares", path="capacity"))
    if problems:
        raise InputError(problems)


class _Search:
    """Bisections of one question, each from where the one before ended."""

    def __init__(
        self, requests: Requests, service: Service, promises: dict[str, Promise], warm_up: float, tolerance: float
    ) -> None:
        self.requests, self.service, self.promises = requests, service, promises
        self.tolerance = tolerance
        self.skipped = int(len(requests) * warm_up)
        self.begins = requests.after < 0 if len(requests.after) else np.ones(len(requests), dtype=bool)
        self.runs = 0
        self.start = 0.0

    def of(self, seed: int) -> tuple[float, float, str]:
        """Return the highest rate kept, the lowest rate broken and what breaks there."""
        rng = np.random.default_rng(seed)
        unit = np.zeros(len(self.requests))
        begins = int(self.begins.sum())
        unit[self.begins] = np.cumsum(rng.exponential(len(unit) / begins, begins))
        if self.start == 0.0:
            self.start = 0.7 * self._throughput()
        kept, broken, limit = 0.0, math.inf, ""
        rate, factor = self.start, 1.0 + 4.0 * self.tolerance
        while broken > kept * (1.0 + self.tolerance):
            failing = self._broken(unit, rate, seed)
            kept, broken, limit = (kept, rate, failing) if failing else (rate, broken, limit)
            if broken < math.inf and kept > 0.0:
                rate = math.sqrt(kept * broken)
                continue
            # no bracket yet: go on in the same direction, faster and faster
            rate = rate / factor if failing else rate * factor
            factor = min(factor * factor, 8.0)
            if rate < NO_LOAD * self.start and failing:
                return 0.0, broken, limit
            if kept > 1e6 * self.start:
                raise InputError(
                    Problem(
                        message="too few requests to load the service: all of them at once keep the promises",
                        path="requests",
                        found=str(len(unit)),
                    )
                )
        self.start = kept
        return kept, broken, limit

    def _throughput(self) -> float:
        """Return the requests per second of the service when all come at once."""
        self.runs += 1
        run = simulate(replace(self.requests, arrival_s=np.zeros(len(self.requests))), self.service)
        return float(run.served.sum()) / run.end_s

    def _broken(self, unit: Array, rate: float, seed: int) -> str:
        """Return what is broken at a rate, "" where all is kept."""
        self.runs += 1
        run = simulate(replace(self.requests, arrival_s=unit / rate), self.service, seed=seed, windows=2)
        return next(broken_promises(run, self.promises, self.skipped), "")


def broken_promises(run: ServingRun, promises: Mapping[str, Promise], skipped: int = 0) -> Iterator[str]:
    """Yield what a run breaks: a queue that grows without end, then the promises of its classes, without the first
    `skipped` requests.
    """
    if run.saturated:
        yield "the queue grows without end"
    counted = np.arange(len(run.requests)) >= skipped
    for name, promise in promises.items():
        chosen = counted.copy()
        if name != ALL:
            chosen &= run.requests.request_class == run.requests.classes.index(name)
        served = run.served & chosen
        # one that is not served waits for ever, so it stands at the slow end
        lost = int(chosen.sum() - served.sum())
        for metric, values, most in (("TTFT", run.ttft_s, promise.ttft_s), ("TPOT", run.tpot_s, promise.tpot_s)):
            known = values[served][values[served] >= 0]
            kept = int((known <= most).sum())
            if len(known) + lost and kept < promise.quantile * (len(known) + lost):
                yield f"{metric} of {name} requests: more than {1 - promise.quantile:.2g} of them above {most:g} s"
