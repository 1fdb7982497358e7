"""What traffic amounts to: rates, lengths, burstiness and the part of prompts that a cache could keep.

ideal_reuse(requests)   share of prompt tokens in leading blocks that an earlier request had
summarise_requests      a TrafficSummary of each class of a trace or a draw
summarise_traffic       the same of classes, with the peak hour of the week and what was clipped
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gigawatt.errors import InputError, Problem
from gigawatt.serving._requests import Array, Integers, Requests
from gigawatt.serving._shapes import HOUR_S, WEEK_S
from gigawatt.serving._traffic import TrafficClass, draw_traffic, rate_by_hour


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthSummary:
    """Mean and percentiles of lengths, tokens."""

    mean: float
    p50: float
    p90: float
    p99: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficSummary:
    """One class of requests. Rates are per second: `rate_per_s` the mean, `peak_hour_rate_per_s` that of the fullest hour.

    `burstiness` is the squared coefficient of variation of the gaps (of earliest arrivals; 1 for fewer than three requests);
    it holds the swing of the day where the window does. `ideal_reuse` is the share of prompt tokens that a cache which forgets
    nothing has seen, `clipped_share` the part of the requests that the longest context cut.
    """

    name: str
    requests: int
    rate_per_s: float
    peak_hour_rate_per_s: float
    prompt: LengthSummary
    output: LengthSummary
    input_tokens_per_s: float
    output_tokens_per_s: float
    burstiness: float
    ideal_reuse: float
    clipped_share: float = 0.0


def reused_tokens(requests: Requests) -> Integers:
    """Return the prompt tokens (R,) in leading blocks that an earlier request had; 0 without block ids."""
    reused = np.zeros(len(requests), dtype=np.int64)
    if not len(requests.blocks):
        return reused
    start = requests.block_start
    counts = np.diff(start)
    owner = np.repeat(np.arange(len(requests)), counts)
    first = np.empty(int(requests.blocks.max()) + 1, dtype=np.int64)
    first[requests.blocks[::-1]] = owner[::-1]  # the last value stays: the earliest request
    unseen = np.flatnonzero(first[requests.blocks] == owner)
    # The first unseen block of each request ends its run of leading blocks.
    following = np.append(unseen, len(owner))[np.searchsorted(unseen, start[:-1])]
    leading = np.minimum(following, start[1:]) - start[:-1]
    return np.asarray(np.minimum(leading * requests.block_tokens, requests.prompt_tokens))


def ideal_reuse(requests: Requests) -> float:
    """Return the share of prompt tokens in leading blocks that an earlier request had: what a cache that forgets nothing
    saves. Text of answers counts from the prompt on in which it comes back.
    """
    total = int(requests.prompt_tokens.sum())
    return float(reused_tokens(requests).sum()) / total if total else 0.0


def summarise_requests(requests: Requests, *, duration_s: float | None = None) -> tuple[TrafficSummary, ...]:
    """Return the summary of each class that has requests. `duration_s` is the window; by default from the first to the
    last arrival. Raises InputError where that is no time.
    """
    span = float(requests.arrival_s[-1]) if duration_s is None and len(requests) else duration_s or 0.0
    if not span > 0:
        raise InputError(Problem(message="a summary needs a window longer than 0 s", path="duration"))
    reused = reused_tokens(requests)
    found = []
    for index, name in enumerate(requests.classes):
        rows = np.flatnonzero(requests.request_class == index)
        if not len(rows):
            continue
        arrival = requests.arrival_s[rows]
        prompt, output = requests.prompt_tokens[rows], requests.output_tokens[rows]
        found.append(
            TrafficSummary(
                name=name,
                requests=len(rows),
                rate_per_s=len(rows) / span,
                peak_hour_rate_per_s=_peak(arrival, span),
                prompt=_lengths(prompt),
                output=_lengths(output),
                input_tokens_per_s=float(prompt.sum()) / span,
                output_tokens_per_s=float(output.sum()) / span,
                burstiness=squared_variation(arrival),
                ideal_reuse=float(reused[rows].sum() / prompt.sum()),
            )
        )
    return tuple(found)


def summarise_traffic(
    classes: Sequence[TrafficClass],
    *,
    start_s: float = 0.0,
    duration_s: float,
    seed: int | np.random.SeedSequence,
    block_tokens: int = 64,
) -> tuple[TrafficSummary, ...]:
    """Return the summary of each class from a draw over the window; the peak hour is the expected one of the week from
    `start_s` on. Raises as `draw_traffic`, and InputError where a class has no request in the window.
    """
    traffic = draw_traffic(classes, start_s=start_s, duration_s=duration_s, seed=seed, block_tokens=block_tokens)
    found = {each.name: each for each in summarise_requests(traffic.requests, duration_s=duration_s)}
    empty = [each.name for each in classes if each.name not in found]
    if empty:
        raise InputError(
            Problem(
                message="a class has no request in the window", path="duration", found=name, allowed="a longer window"
            )
            for name in empty
        )
    peaks = rate_by_hour(classes, start_s=start_s, hours=int(WEEK_S / HOUR_S)).max(axis=1)
    return tuple(
        replace(found[each.name], peak_hour_rate_per_s=float(peak), clipped_share=float(share))
        for each, peak, share in zip(classes, peaks, traffic.clipped_share, strict=True)
    )


def squared_variation(arrival_s: Array) -> float:
    """Return the squared coefficient of variation of the gaps between arrivals; 1 where there are fewer than two gaps or
    all arrive at once.
    """
    gaps = np.diff(arrival_s)
    return float(gaps.var() / gaps.mean() ** 2) if len(gaps) > 1 and gaps.sum() > 0 else 1.0


def _peak(arrival_s: Array, span_s: float) -> float:
    """Return the rate of the fullest whole hour, of the whole window where it is shorter than two hours."""
    hours = int(span_s // HOUR_S)
    if hours < 2:
        return len(arrival_s) / span_s
    counts = np.bincount((arrival_s // HOUR_S).astype(np.int64), minlength=hours)
    return float(counts[:hours].max()) / HOUR_S


def _lengths(tokens: Integers) -> LengthSummary:
    p50, p90, p99 = np.percentile(tokens, [50, 90, 99])
    return LengthSummary(
        mean=float(tokens.mean()), p50=float(p50), p90=float(p90), p99=float(p99), most=float(tokens.max())
    )
