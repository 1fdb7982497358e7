"""What a simulated run of a service was: times of every request, the course of the run, totals, and whether it kept up.

R requests, W windows of time, P replicas, Q pools (1, or 2: prefill, decode). Times are seconds. What never came to pass
is -1, and `served` and `reason` say why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.serving import _kernel as kernel
from gigawatt.serving._kernel import state
from gigawatt.serving._requests import Requests
from gigawatt.serving._service import Service
from gigawatt.timeline import Timeline

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

REASONS = (
    "",
    "longer than the KV memory of a replica",
    "not ended at the horizon",
    "waits for a request that was not served",
)
POOL_NAMES = {1: ("pool",), 2: ("prefill", "decode")}
QUANTILES = (0.5, 0.9, 0.99)
METRICS = ("ttft_s", "tpot_s", "e2e_s")
# A queue that has grown by more than chance would over half of the arrivals, and by so much of them, does not end.
GROWTH_SHARE = 0.02
GROWTH_SIGMAS = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The run in W windows of `width_s` from its start, by pool (Q, W).

    Means over the window: `running` sequences and `waiting` requests (of all pools together, (W,)), `replicas_on`, and
    `busy` (share of the time of replicas that are on). `kv_mean` is the mean share of the KV memory that sequences hold
    while steps run, `kv_most` the most of any replica. `tokens_per_s` are output tokens.
    """

    width_s: float
    running: Array
    waiting: Array
    replicas_on: Array
    busy: Array
    kv_mean: Array
    kv_most: Array
    tokens_per_s: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over the run, by pool (Q,): engine steps, seconds of replicas busy and on (with their start), prompt tokens
    computed (recomputation counted) and output tokens made, preemptions, and the most units of KV memory used by any
    replica over its capacity. `cached_tokens` of all prompts came from the prefix cache.
    """

    steps: Integers
    busy_s: Array
    on_s: Array
    prefill_tokens: Integers
    output_tokens: Integers
    preemptions: Integers
    kv_peak: Array
    cached_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingRun:
    """One run. `ready_s`, `admitted_s`, `first_token_s`, `finish_s` (R,); `replica` (R,) where it ended (numbered through
    all pools) and `prefill_replica`; `cached_tokens`, `preemptions` (R,); `reason` (R,) indexes `REASONS`, 0 for served.

    `kv_capacity_tokens` (Q,) of a replica, 0 where tokens take no memory. `saturated`: the queue grew without end, and
    `status` is the sentence that says so, or that all is well.
    """

    seed: int
    end_s: float
    requests: Requests
    pools: tuple[str, ...]
    ready_s: Array
    admitted_s: Array
    first_token_s: Array
    finish_s: Array
    replica: Integers
    prefill_replica: Integers
    cached_tokens: Integers
    preemptions: Integers
    reason: Integers
    course: Course
    totals: Totals
    kv_capacity_tokens: Integers
    saturated: bool
    status: str
    timeline: Timeline | None = None

    @property
    def served(self) -> Flags:
        """Which requests have all their tokens, (R,)."""
        return np.asarray(self.reason == state.SERVED)

    @property
    def ttft_s(self) -> Array:
        """Time to the first token from when the request was ready, (R,); -1 where there was none."""
        return np.where(self.first_token_s >= 0, self.first_token_s - self.ready_s, -1.0)

    @property
    def tpot_s(self) -> Array:
        """Mean time between output tokens after the first, (R,); -1 for those not served or of one token."""
        several = self.served & (self.requests.output_tokens > 1)
        return np.where(
            several, (self.finish_s - self.first_token_s) / np.maximum(self.requests.output_tokens - 1, 1), -1.0
        )

    @property
    def e2e_s(self) -> Array:
        """Time to the last token from when the request was ready, (R,); -1 for those not served."""
        return np.where(self.served, self.finish_s - self.ready_s, -1.0)

    @property
    def tokens_per_s(self) -> float:
        """Output tokens per second over the whole run."""
        return float(self.totals.output_tokens.sum() / self.end_s) if self.end_s > 0 else 0.0

    def percentiles(self, quantiles: tuple[float, ...] = QUANTILES) -> Mapping[str, Mapping[str, tuple[float, ...]]]:
        """Return quantiles of "ttft_s", "tpot_s" and "e2e_s" of the served requests by class ("all" too); a class where
        nothing was measured has empty ones.
        """
        result = {}
        classes = self.requests.request_class
        for i, name in enumerate(("all", *self.requests.classes)):
            chosen = self.served if i == 0 else self.served & (classes == i - 1)
            result[name] = {metric: _quantiles(getattr(self, metric)[chosen], quantiles) for metric in METRICS}
        return result

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: percentiles, totals and course, not the requests."""
        totals = self.totals
        return {
            "seed": self.seed,
            "end_s": self.end_s,
            "status": self.status,
            "saturated": self.saturated,
            "requests": len(self.requests),
            "served": int(self.served.sum()),
            "not_served": {
                text: int((self.reason == i).sum()) for i, text in enumerate(REASONS) if i and (self.reason == i).any()
            },
            "tokens_per_s": self.tokens_per_s,
            "quantiles": list(QUANTILES),
            "percentiles": {
                name: {metric: list(values) for metric, values in metrics.items()}
                for name, metrics in self.percentiles().items()
            },
            "cached_tokens": totals.cached_tokens,
            "pools": {
                name: {
                    "steps": int(totals.steps[q]),
                    "busy_s": float(totals.busy_s[q]),
                    "on_s": float(totals.on_s[q]),
                    "prefill_tokens": int(totals.prefill_tokens[q]),
                    "output_tokens": int(totals.output_tokens[q]),
                    "preemptions": int(totals.preemptions[q]),
                    "kv_peak": float(totals.kv_peak[q]),
                    "kv_capacity_tokens": int(self.kv_capacity_tokens[q]),
                    "course": {
                        field: getattr(self.course, field)[q].tolist()
                        for field in ("running", "replicas_on", "busy", "kv_mean", "kv_most", "tokens_per_s")
                    },
                }
                for q, name in enumerate(self.pools)
            },
            "window_s": self.course.width_s,
            "waiting": self.course.waiting.tolist(),
        }

    def to_frame(self) -> Any:
        """Return one row per request as a pandas DataFrame. Needs pandas."""
        import pandas as pd

        names = (
            "ready_s",
            "admitted_s",
            "first_token_s",
            "finish_s",
            *METRICS,
            "replica",
            "cached_tokens",
            "preemptions",
        )
        columns = {name: getattr(self, name) for name in names}
        frame = pd.DataFrame(columns)
        frame.insert(0, "class", np.asarray(self.requests.classes)[self.requests.request_class])
        frame.insert(1, "prompt_tokens", self.requests.prompt_tokens)
        frame.insert(2, "output_tokens", self.requests.output_tokens)
        frame["reason"] = np.asarray(REASONS)[self.reason]
        return frame


def _quantiles(values: Array, quantiles: tuple[float, ...]) -> tuple[float, ...]:
    known = values[values >= 0]
    return tuple(np.quantile(known, quantiles).tolist()) if len(known) else ()


def run_of(requests: Requests, service: Service, world: kernel.World, end_s: float, seed: int) -> ServingRun:
    """Return what the tables of a finished run say."""
    if not np.isfinite(end_s):
        raise RuntimeError("the simulation of serving stopped with requests inside")
    ready, admitted, first, finish = world.times[:, : state.FINISH + 1].T.copy()
    saturated, status = _saturation(service, ready, admitted, finish)
    capacity = world.pool[:, state.CAPACITY] * world.pool[:, state.BLOCK] * world.pool[:, state.TAKES_BLOCKS]
    apart = service.decode_pool is not None
    replica = world.req[:, state.REPLICA].copy()
    return ServingRun(
        seed=seed,
        end_s=end_s,
        requests=requests,
        pools=POOL_NAMES[len(service.pools)],
        ready_s=ready,
        admitted_s=admitted,
        first_token_s=first,
        finish_s=finish,
        replica=replica,
        prefill_replica=np.where(world.req[:, state.SOURCE] >= 0, world.req[:, state.SOURCE], replica)
        if apart
        else replica,
        cached_tokens=world.req[:, state.CACHED].copy(),
        preemptions=world.req[:, state.PREEMPTED].copy(),
        reason=world.req[:, state.REASON].copy(),
        course=_course(world, ready, admitted, end_s),
        totals=_totals(world),
        kv_capacity_tokens=capacity,
        saturated=saturated,
        status=status,
        timeline=_timeline(world) if len(world.log) else None,
    )


def _course(world: kernel.World, ready: Array, admitted: Array, end_s: float) -> Course:
    width = float(world.width[0])
    windows = world.windows[:, : max(int(np.ceil(end_s / width)), 1)]
    # the last window is cut off by the end of the run
    starts = np.arange(windows.shape[1]) * width
    lasts = np.maximum(np.minimum(starts + width, end_s) - starts, 1e-300)
    capacity = world.pool[:, state.CAPACITY, None].astype(np.float64)
    on = windows[:, :, state.W_ON]
    came = ready >= 0
    waited_until = np.where(admitted >= 0, admitted, end_s)[came]
    edges = np.append(starts, end_s)
    waiting = np.diff(_integral(ready[came], edges) - _integral(waited_until, edges)) / lasts
    return Course(
        width_s=width,
        running=windows[:, :, state.W_SEQUENCES] / lasts,
        waiting=np.maximum(waiting, 0.0),
        replicas_on=on / lasts,
        busy=_share(windows[:, :, state.W_BUSY], on),
        kv_mean=_share(windows[:, :, state.W_KV], windows[:, :, state.W_BUSY] * capacity),
        kv_most=windows[:, :, state.W_KV_MAX].copy(),
        tokens_per_s=windows[:, :, state.W_TOKENS] / lasts,
    )


def _share(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _integral(events: Array, edges: Array) -> Array:
    """Return the integral from 0 to each edge of the number of events that have been."""
    ordered = np.sort(events)
    sums = np.concatenate(([0.0], np.cumsum(ordered)))
    before = np.searchsorted(ordered, edges, side="right")
    return np.asarray(before * edges - sums[before])


def _totals(world: kernel.World) -> Totals:
    rep, clock, pools = world.rep, world.clock, len(world.pool)
    of = rep[:, state.POOL]

    def integers(column: int) -> Integers:
        return np.array([rep[of == q, column].sum() for q in range(pools)], dtype=np.int64)

    def floats(column: int) -> Array:
        return np.array([clock[of == q, column].sum() for q in range(pools)])

    peak = np.array([rep[of == q, state.PEAK].max() / world.pool[q, state.CAPACITY] for q in range(pools)])
    return Totals(
        steps=integers(state.COUNT),
        busy_s=floats(state.BUSY_S),
        on_s=floats(state.ON_S),
        prefill_tokens=integers(state.PREFILLED),
        output_tokens=integers(state.DECODED),
        preemptions=integers(state.PREEMPTIONS),
        kv_peak=peak,
        cached_tokens=int(world.req[:, state.CACHED].sum()),
    )


def _saturation(service: Service, ready: Array, admitted: Array, finish: Array) -> tuple[bool, str]:
    """Say whether the queue grew through the second half of the arrivals by more than chance would let it."""
    came = np.sort(ready[ready >= 0])
    if service.concurrency is not None or len(came) < 2:
        return False, "Every request was let in when another had ended." if service.concurrency else "One request came."
    last, middle = float(came[-1]), float(0.5 * (came[0] + came[-1]))
    half = int((came > middle).sum())

    def inside(t: float, until: Array) -> int:
        return int((came <= t).sum() - ((until >= 0) & (until <= t)).sum())

    waiting = [inside(t, admitted) for t in (middle, last)]
    present = [inside(t, finish) for t in (middle, last)]
    grown = min(waiting[1] - waiting[0], present[1] - present[0])
    if last == middle or grown <= max(GROWTH_SHARE * half, GROWTH_SIGMAS * np.sqrt(half)):
        return False, "The service keeps up: what waits does not grow through the second half of the arrivals."
    offered = half / (last - middle)
    ended = offered - (present[1] - present[0]) / (last - middle)
    return True, (
        f"Saturated: in the second half of the arrivals {offered:.3g} requests/s came and {ended:.3g} requests/s ended, so {waiting[1]:,} waited at the end and the queue grows without end; at this load no waiting time is a steady one. More replicas or a lower rate end that."
    )


def _timeline(world: kernel.World) -> Timeline:
    rows = world.log[: world.counter[state.LOGGED]]
    decodes, prefills = rows[:, state.L_DECODE] > 0, rows[:, state.L_PREFILL] > 0
    label = np.where(decodes & prefills, 2, np.where(prefills, 1, 0))
    return Timeline(
        title="steps of the first replica",
        lanes=("replica 1",),
        labels=("decode", "prefill", "decode and prefill"),
        lane=np.zeros(len(rows), np.int64),
        label=label.astype(np.int64),
        start_s=rows[:, state.L_BEGIN].copy(),
        end_s=rows[:, state.L_END].copy(),
        details=tuple(
            f"{steps:.0f} steps, {decode:.0f} decoding, {prefill:.0f} prefilled in part or whole"
            for steps, decode, prefill in rows[:, state.L_STEPS :]
        ),
    )
