"""Traffic: classes of requests, each with a rate that swings and grows, and the requests that they draw.

    TrafficClass ──▶ rate over the window ──▶ arrivals of sessions ──▶ turns and calls ──▶ all classes in order: Requests

The window starts `start_s` after Monday, 00:00, of the first week of the plan; arrivals count from the window's start. Each class has a
stream of random numbers of its own, so that adding one leaves the others as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gigawatt.errors import InfeasibleError, InputError, Problem
from gigawatt.serving._arrivals import Arrivals, Poisson
from gigawatt.serving._lengths import Lengths, TraceLengths
from gigawatt.serving._requests import Array, Integers, Requests
from gigawatt.serving._sessions import Sessions, Steps, expand
from gigawatt.serving._shapes import DAY_S, HOUR_S, RateProfile, day_shape, rate_profile, week_shape

# What one draw may hold: about 3 GB of columns and of block ids.
MOST_REQUESTS, MOST_BLOCKS = 20_000_000, 200_000_000
# Sessions start this many mean spans before the window, so that their later turns are in it; e^-8 of the longest are missed.
LEAD_SPANS = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What a class is promised: time to first token and time per output token, s, kept for the share `percentile` of
    requests. None for no promise. Raises InputError for times of 0 or less and a percentile outside (0, 1).
    """

    ttft_s: float | None = None
    tpot_s: float | None = None
    percentile: float = 0.99

    def __post_init__(self) -> None:
        problems = [
            Problem(message="impossible value", path=name, found=f"{value:g}", allowed="above 0 s")
            for name, value in (("ttft", self.ttft_s), ("tpot", self.tpot_s))
            if value is not None and not value > 0
        ]
        if not 0 < self.percentile < 1:
            problems.append(_wrong("percentile", self.percentile, "between 0 and 1, for example 0.99"))
        if problems:
            raise InputError(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficClass:
    """Requests of one kind.

    Give `rate_per_s` (mean requests per second of the first week, before growth; calls and turns count each), or `users` and
    `requests_per_user_per_day`. `lengths` are those of new text and of answers: prefix and history come on top. Every prompt
    begins with `system_prompt_tokens`, the same for all, and `document_tokens` of one of `documents` documents, which are asked
    about in proportion to 1 / rank ^ `document_skew` (0: equally). `priority`: higher is served first. Shapes are names
    (`shape_names()`) or numbers; a week without one has that of the day's name. `growth_per_year` is a factor.

    Raises InputError for both rate and users or neither, impossible values, unknown shapes, and a prefix that leaves the
    context no room.
    """

    name: str
    lengths: Lengths | TraceLengths
    rate_per_s: float | None = None
    users: float | None = None
    requests_per_user_per_day: float | None = None
    arrivals: Arrivals = field(default_factory=Poisson)
    sessions: Sessions = field(default_factory=Sessions)
    promise: Promise = field(default_factory=Promise)
    priority: int = 0
    day_shape: str | Sequence[float] = "flat"
    week_shape: str | Sequence[float] | None = None
    growth_per_year: float = 1.0
    max_context: int | None = None
    system_prompt_tokens: int = 0
    document_tokens: int = 0
    documents: int = 1
    document_skew: float = 0.0

    def __post_init__(self) -> None:
        problems = _rate_problems(self)
        for name, value, least, most in (
            ("growth_per_year", self.growth_per_year, 1e-3, 1e3),
            ("system_prompt", self.system_prompt_tokens, 0, 1e9),
            ("document", self.document_tokens, 0, 1e9),
            ("documents", self.documents, 1, 1e7),
            ("document_skew", self.document_skew, 0, 10),
        ):
            if not least <= value <= most:
                problems.append(_wrong(name, value, f"from {least:g} to {most:g}"))
        if self.max_context is not None and not self.max_context >= self.prefix_tokens + 2:
            problems.append(_wrong("max_context", self.max_context, f"at least {self.prefix_tokens + 2:,} tokens"))
        for shape, given in ((day_shape, self.day_shape), (week_shape, self.week)):
            try:
                shape(given)
            except InputError as error:
                problems += error.problems
        if problems:
            raise InputError(problems)

    @property
    def mean_rate_per_s(self) -> float:
        """Mean requests per second of the first week, before growth."""
        if self.rate_per_s is not None:
            return self.rate_per_s
        assert self.users is not None
        assert self.requests_per_user_per_day is not None
        return self.users * self.requests_per_user_per_day / DAY_S

    @property
    def week(self) -> str | Sequence[float]:
        """The shape of the week: as given, else that of the day's name, else flat."""
        if self.week_shape is not None:
            return self.week_shape
        return self.day_shape if isinstance(self.day_shape, str) else "flat"

    @property
    def prefix_tokens(self) -> int:
        """Tokens with which every prompt begins."""
        return self.system_prompt_tokens + self.document_tokens

    @property
    def shares_text(self) -> bool:
        """Whether prompts can begin with text that an earlier one had."""
        return self.prefix_tokens > 0 or self.sessions.requests > 1

    def profile(self, start_s: float, duration_s: float) -> RateProfile:
        """Return the rate of requests over a window."""
        return rate_profile(
            self.mean_rate_per_s,
            day_shape(self.day_shape),
            week_shape(self.week),
            self.growth_per_year,
            start_s,
            duration_s,
        )


def _rate_problems(traffic: TrafficClass) -> list[Problem]:
    users = (traffic.users, traffic.requests_per_user_per_day)
    if (traffic.rate_per_s is None) == (None in users) or (traffic.rate_per_s is not None and users != (None, None)):
        return [Problem(message="give either a rate, or users and requests per user", path=f"{traffic.name}.rate")]
    rate = traffic.mean_rate_per_s
    return [] if 0 < rate <= 1e9 else [_wrong("rate", rate, "above 0, at most 1e9 per second")]


def _wrong(name: str, value: float, allowed: str) -> Problem:
    return Problem(message="impossible value", path=name, found=f"{value:g}", allowed=allowed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Requests, and the share of each class (C,) that was clipped to its longest context."""

    requests: Requests
    clipped_share: Array


def draw_requests(
    classes: Sequence[TrafficClass],
    *,
    start_s: float = 0.0,
    duration_s: float,
    seed: int | np.random.SeedSequence,
    block_tokens: int = 64,
) -> Requests:
    """Return the requests of all classes in a window of `duration_s`, in order of arrival. See `draw_traffic`."""
    return draw_traffic(classes, start_s=start_s, duration_s=duration_s, seed=seed, block_tokens=block_tokens).requests


def draw_traffic(
    classes: Sequence[TrafficClass],
    *,
    start_s: float = 0.0,
    duration_s: float,
    seed: int | np.random.SeedSequence,
    block_tokens: int = 64,
) -> Traffic:
    """Return the requests of all classes in a window of `duration_s`, and what was clipped.

    Sessions that began before the window have their later turns in it, waiting for nothing. A later turn's `arrival_s` is its
    earliest, as if answers took no time; `after` and `pause_s` say what it waits for. Only classes with sessions or a shared
    prefix have block ids; a block is known where all of it is prompt. Raises InputError without classes, for two of one name
    and an empty window, InfeasibleError where the window holds more than MOST_REQUESTS or MOST_BLOCKS.
    """
    _check_window(classes, duration_s, block_tokens)
    source = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    drawn = [
        _draw(each, start_s, duration_s, np.random.default_rng(child))
        for each, child in zip(classes, source.spawn(len(classes)), strict=True)
    ]
    return Traffic(
        requests=_merged(classes, drawn, block_tokens),
        clipped_share=np.array([each.clipped.mean() if len(each.clipped) else 0.0 for each in drawn]),
    )


def rate_by_hour(classes: Sequence[TrafficClass], *, start_s: float = 0.0, hours: int = 168) -> Array:
    """Return the mean rate of each hour from `start_s` on, requests per second, (C, hours): 24 hours for a day, 730 for a
    month; by default the first week.
    """
    edges: Array = start_s + HOUR_S * np.arange(hours + 1.0)
    rates = np.empty((len(classes), hours))
    for row, each in zip(rates, classes, strict=True):
        profile = each.profile(start_s, hours * HOUR_S).times(edges, np.ones(hours))
        row[:] = np.diff(profile.cumulative()[np.searchsorted(profile.edges_s, edges)]) / HOUR_S
    return rates


def at_rate(requests: Requests, rate_per_s: float) -> Requests:
    """Return a trace played faster or slower, so that its mean rate is `rate_per_s`. Raises InputError for fewer than
    two requests, for a trace that takes no time, and for a rate of 0 or less.
    """
    span = float(requests.arrival_s[-1] - requests.arrival_s[0]) if len(requests) > 1 else 0.0
    if not (span > 0 and rate_per_s > 0):
        raise InputError(_wrong("rate", rate_per_s, "above 0, for a trace of two requests or more at different times"))
    factor = (len(requests) - 1) / span / rate_per_s
    names = ("prompt_tokens", "output_tokens", "request_class", "classes", "after", "pause_s", "blocks", "block_start")
    same = {name: getattr(requests, name) for name in names}
    return Requests(arrival_s=requests.arrival_s * factor, block_tokens=requests.block_tokens, **same)


def _check_window(classes: Sequence[TrafficClass], duration_s: float, block_tokens: int) -> None:
    names = [each.name for each in classes]
    if not names or len(set(names)) < len(names):
        raise InputError(
            Problem(message="traffic needs classes with names of their own", path="traffic", found=", ".join(names))
        )
    if not (np.isfinite(duration_s) and duration_s > 0) or block_tokens < 1:
        raise InputError(
            Problem(message="the window must be longer than 0 s, a block at least 1 token", path="duration")
        )


def _draw(traffic: TrafficClass, start_s: float, duration_s: float, rng: np.random.Generator) -> Steps:
    """Return the requests of one class, times from `start_s` on."""
    lead_s = LEAD_SPANS * traffic.sessions.span_s
    profile = traffic.profile(start_s - lead_s, duration_s + lead_s)
    per_session = traffic.sessions.requests
    expected = float(profile.cumulative()[-1])
    if expected > MOST_REQUESTS:
        raise InfeasibleError(
            f"{traffic.name}: {expected:.3g} requests in the window and the sessions before it, {MOST_REQUESTS:,} can be held",
            constraint="requests in one draw",
            remedy=f"a duration {expected / MOST_REQUESTS:.2g} times shorter, shorter pauses, or a share of the traffic",
        )
    profile = RateProfile(edges_s=profile.edges_s, first=profile.first / per_session, last=profile.last / per_session)
    weights: Array | None = None
    if traffic.document_tokens:
        weights = (1.0 + np.arange(traffic.documents, dtype=np.float64)) ** -traffic.document_skew
    steps = expand(
        traffic.arrivals.times(profile, rng) - start_s,
        traffic.sessions,
        traffic.lengths,
        rng,
        prefix_tokens=traffic.prefix_tokens,
        document_weights=weights,
        max_context=traffic.max_context,
    )
    inside = np.flatnonzero((steps.arrival_s >= 0.0) & (steps.arrival_s < duration_s))
    return steps.take(inside)


def _merged(classes: Sequence[TrafficClass], drawn: Sequence[Steps], block_tokens: int) -> Requests:
    """Return the requests of all classes in order of arrival; turns of one time stay in their order."""
    counts = [len(each.arrival_s) for each in drawn]
    offsets = np.cumsum([0, *counts])
    order = np.argsort(np.concatenate([each.arrival_s for each in drawn]), kind="stable")
    place = np.empty(len(order) + 1, dtype=np.int64)
    place[order], place[-1] = np.arange(len(order)), -1
    waits = [
        np.where(each.previous < 0, -1, each.previous + offset) for each, offset in zip(drawn, offsets, strict=False)
    ]

    def column(name: str) -> Integers:
        return np.concatenate([getattr(each, name) for each in drawn])[order]

    request_class = np.repeat(np.arange(len(classes)), counts)[order]
    prompt = column("prompt_tokens")
    blocks, block_start = _blocks(classes, request_class, prompt, column("chain"), column("document"), block_tokens)
    after = place[np.concatenate(waits)][order]
    waiting = bool((after >= 0).any())
    return Requests(
        arrival_s=np.concatenate([each.arrival_s for each in drawn])[order],
        prompt_tokens=prompt,
        output_tokens=column("output_tokens"),
        request_class=request_class,
        classes=tuple(each.name for each in classes),
        after=after if waiting else np.zeros(0, dtype=np.int64),
        pause_s=np.concatenate([each.pause_s for each in drawn])[order] if waiting else np.zeros(0),
        blocks=blocks,
        block_start=block_start,
        block_tokens=block_tokens,
    )


def _blocks(
    classes: Sequence[TrafficClass],
    request_class: Integers,
    prompt: Integers,
    chain: Integers,
    document: Integers,
    block_tokens: int,
) -> tuple[Integers, Integers]:
    """Return block ids and where each request's begin. A class has ids for its system prompt, for each document that is
    asked about, and for each chain of growing context as far as its longest prompt: no number is left out.
    """
    none = np.zeros(0, dtype=np.int64)
    if not any(each.shares_text for each in classes):
        return none, none
    shares = np.array([each.shares_text for each in classes])[request_class]
    counts = np.where(shares, prompt // block_tokens, 0)
    start = np.concatenate([[0], np.cumsum(counts)])
    if start[-1] > MOST_BLOCKS:
        raise InfeasibleError(
            f"{start[-1]:,} blocks of {block_tokens} prompt tokens, {MOST_BLOCKS:,} can be held",
            constraint="blocks in one draw",
            remedy=f"blocks of {int(np.ceil(block_tokens * start[-1] / MOST_BLOCKS))} tokens, or a shorter window",
        )
    # A prompt is system prompt, document and chain; a block's number is its place plus what its part's numbers begin with.
    parts, shifts, free = np.zeros((len(counts), 3), dtype=np.int64), np.zeros((len(counts), 3), dtype=np.int64), 0
    for index, each in enumerate(classes):
        rows = np.flatnonzero(request_class == index)
        if not each.shares_text or not len(rows):
            continue
        same, prefix = each.system_prompt_tokens // block_tokens, each.prefix_tokens // block_tokens
        longest = np.zeros(int(chain[rows].max()) + 1, dtype=np.int64)
        np.maximum.at(longest, chain[rows], counts[rows] - prefix)
        asked, rank = np.unique(document[rows], return_inverse=True)
        documents = free + same
        chains = documents + len(asked) * (prefix - same) + np.cumsum(longest) - longest
        parts[rows] = np.stack([np.full(len(rows), same), np.full(len(rows), prefix - same), counts[rows] - prefix], 1)
        begins = [np.full(len(rows), free), documents - same + rank * (prefix - same), chains[chain[rows]] - prefix]
        shifts[rows] = np.stack(begins, 1) - start[rows][:, None]
        free = int(chains[-1] + longest[-1])
    blocks = np.repeat(shifts.ravel(), parts.ravel())
    blocks += np.arange(len(blocks))
    return blocks, start
