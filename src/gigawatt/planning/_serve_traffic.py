"""From the serving section of a scenario to traffic: classes, their busiest hour, a sample of requests, what a cache saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt import serving
from gigawatt.errors import InputError, Problem
from gigawatt.planning._serve_chips import DAY_S
from gigawatt.scenario import LengthItem, Scenario, ServingSection, TrafficItem

Array = NDArray[np.float64]
# Requests that stand for a class in closed forms, and the longest time that they are drawn from.
SAMPLE, LONGEST_S = 20_000, 7 * DAY_S
# Tokens of a block of text that is known to be shared.
BLOCK = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One class of a scenario: what it is, its rate hour by hour over the first week (H,), its busiest hour, and what
    its requests are like. `cached` (R,) are the prompt tokens that a cache which forgets nothing serves.
    """

    item: TrafficItem
    traffic: serving.TrafficClass
    trace: serving.Requests | None
    rates: Array
    sample: serving.Requests
    cached: Array
    summary: serving.TrafficSummary
    path: str

    @property
    def name(self) -> str:
        """Name of the class."""
        return self.traffic.name

    @property
    def peak_rate(self) -> float:
        """Requests per second of the busiest hour of the first week."""
        return float(self.rates.max())

    @property
    def mean_rate(self) -> float:
        """Requests per second over the first week."""
        return float(self.rates.mean())

    @property
    def mix(self) -> serving.LengthMix:
        """Lengths as a few weighted points, cached tokens included."""
        return serving.LengthMix.of_requests(self.sample, cached=self.cached)

    def drawn(self, rate: float, requests: int, seed: int) -> serving.Requests:
        """Return about so many requests of the class at a steady rate: the trace played at that rate where it knows its
        prefixes, else drawn anew.
        """
        if self.trace is not None and len(self.trace.blocks):
            return serving.at_rate(self.trace, rate)
        steady = replace(
            self.traffic,
            rate_per_s=rate,
            users=None,
            requests_per_user_per_day=None,
            day_shape="flat",
            week_shape="flat",
            growth_per_year=1.0,
        )
        drawn = serving.draw_requests([steady], duration_s=requests / rate, seed=seed)
        return drawn if len(drawn.blocks) or not self.cached.any() else self._known(drawn)

    def _known(self, drawn: serving.Requests) -> serving.Requests:
        """Return requests whose leading tokens, as many as the given share, are known to every replica. Nobody says who
        shares what, so all share one text: it takes memory once in a replica that prefills.
        """
        share = float(self.cached.sum()) / float(self.sample.prompt_tokens.sum())
        counts = (share * drawn.prompt_tokens).astype(np.int64) // BLOCK
        start = np.concatenate([[0], np.cumsum(counts)])
        return replace(
            drawn, blocks=np.arange(start[-1]) - np.repeat(start[:-1], counts), block_start=start, block_tokens=BLOCK
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        promise, s = self.traffic.promise, self.summary
        prompt = float(self.sample.prompt_tokens.sum())
        return {
            "name": self.name,
            "requests_per_s": self.mean_rate,
            "peak_requests_per_s": self.peak_rate,
            "prompt": {"mean": s.prompt.mean, "p50": s.prompt.p50, "p99": s.prompt.p99},
            "output": {"mean": s.output.mean, "p50": s.output.p50, "p99": s.output.p99},
            "cached_share": float(self.cached.sum()) / prompt,
            "input_tokens_per_s": self.mean_rate * s.prompt.mean,
            "output_tokens_per_s": self.mean_rate * s.output.mean,
            "promise": {"ttft_s": promise.ttft_s, "tpot_s": promise.tpot_s, "percentile": promise.percentile},
            "arrivals": self.item.arrivals or "poisson",
        }


def demands(scenario: Scenario, section: ServingSection, max_context: int | None) -> tuple[Demand, ...]:
    """Return the classes of a scenario. `max_context` is the model's, for classes that state none.

    Raises InputError for traces that cannot be read and traffic that cannot be, with its place.
    """
    found, problems = [], []
    for index, item in enumerate(section.traffic or ()):
        path = f"serving.traffic.{index}"
        try:
            found.append(_demand(scenario, section, item, path, max_context))
        except InputError as error:
            problems += [
                problem if problem.location else replace(problem, location=scenario.place(path), path=path)
                for problem in error.problems
            ]
    if problems:
        raise InputError(problems)
    return tuple(found)


def _demand(
    scenario: Scenario, section: ServingSection, item: TrafficItem, path: str, max_context: int | None
) -> Demand:
    trace = None if item.trace is None else _trace(scenario, item.trace)
    traffic = traffic_class(item, trace, max_context)
    rates = serving.rate_by_hour([traffic], hours=168)[0]
    clipped = 0.0
    if trace is not None and len(trace.blocks):
        sample = trace
    else:
        # lengths do not depend on the rate: a service of few requests is drawn at one that fills the sample in a week
        rate = max(traffic.mean_rate_per_s, SAMPLE / LONGEST_S)
        each = replace(
            traffic,
            rate_per_s=rate,
            users=None,
            requests_per_user_per_day=None,
            day_shape="flat",
            week_shape="flat",
            growth_per_year=1.0,
        )
        drawn = serving.draw_traffic([each], duration_s=SAMPLE / rate, seed=section.seed or 0)
        sample, clipped = drawn.requests, float(drawn.clipped_share[0])
    if not len(sample):
        raise InputError(Problem(message="not one request in a week", found=f"{traffic.mean_rate_per_s:g} per s"))
    return Demand(
        item=item,
        traffic=traffic,
        trace=trace,
        rates=rates,
        sample=sample,
        cached=_cached(section, sample),
        summary=replace(serving.summarise_requests(sample)[0], clipped_share=clipped),
        path=path,
    )


def _trace(scenario: Scenario, name: str) -> serving.Requests:
    beside = scenario.folder / name
    return serving.read_trace(beside if beside.is_file() else name)


def _cached(section: ServingSection, sample: serving.Requests) -> Array:
    """Return the prompt tokens of each request that the prefix cache serves, (R,)."""
    prompt = sample.prompt_tokens.astype(np.float64)
    if section.prefix_cache is False:
        return np.zeros(len(sample))
    if len(sample.blocks):
        return np.minimum(serving.reused_tokens(sample).astype(np.float64), prompt - 1.0)
    return np.minimum((section.cache_hit or 0.0) * prompt, prompt - 1.0)


def traffic_class(item: TrafficItem, trace: serving.Requests | None, max_context: int | None) -> serving.TrafficClass:
    """Return the class that an item of the section describes."""
    context = item.max_context or max_context
    return serving.TrafficClass(
        name=item.name,
        lengths=_lengths(item, trace),
        rate_per_s=item.rate,
        users=None if item.users is None else float(item.users),
        requests_per_user_per_day=None if item.requests_per_user is None else item.requests_per_user * DAY_S,
        arrivals=_arrivals(item),
        sessions=serving.Sessions(
            turns=item.turns or 1.0,
            pause_s=item.pause or 0.0,
            calls=item.calls or 1.0,
            tool_pause_s=item.tool_pause or 0.0,
            tool_tokens=None if item.tool_tokens is None else _length(item.tool_tokens),
        ),
        promise=serving.Promise(
            ttft_s=item.ttft,
            tpot_s=item.tpot,
            **({} if item.percentile is None else {"percentile": item.percentile}),
        ),
        priority=item.priority or 0,
        day_shape=item.day_shape or "flat",
        week_shape=_week_shape(item),
        growth_per_year=item.growth_per_year or 1.0,
        max_context=None if context is None or trace is not None else int(context),
        system_prompt_tokens=int(item.system_prompt or 0),
        document_tokens=int(item.document or 0),
        documents=int(item.documents or 1),
        document_skew=item.document_skew or 0.0,
    )


def _week_shape(item: TrafficItem) -> str | Sequence[float]:
    if item.week_shape is not None:
        return item.week_shape
    return item.day_shape if isinstance(item.day_shape, str) else "flat"


def _lengths(item: TrafficItem, trace: serving.Requests | None) -> serving.Lengths | serving.TraceLengths:
    if trace is not None:
        return serving.TraceLengths.of(trace)
    assert item.prompt is not None
    assert item.output is not None
    return serving.Lengths(prompt=_length(item.prompt), output=_length(item.output))


def _length(item: LengthItem) -> serving.Length:
    return serving.length(**{name: value for name, value in item.model_dump().items() if value is not None})


def _arrivals(item: TrafficItem) -> serving.Arrivals:
    if item.arrivals == "gamma":
        return serving.Gamma(burstiness=item.burstiness or 1.0)
    if item.arrivals == "bursty":
        return serving.Bursty(
            burst_ratio=item.burst_ratio or 5.0, burst_s=item.burst_length or 30.0, quiet_s=item.quiet_length or 300.0
        )
    return serving.Poisson()


def burstiness(demand: Demand) -> float:
    """Return the squared coefficient of variation of the gaps between requests of a class at a steady rate."""
    return 1.0 if demand.item.arrivals in (None, "poisson") else demand.summary.burstiness


__all__ = ["Demand", "burstiness", "demands", "traffic_class"]
