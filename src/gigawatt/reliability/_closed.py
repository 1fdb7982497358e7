"""Goodput in closed form: shares of wall time by category, in columns (one job or a million, the same code).

Exact for exponential failures that stop the whole group (docs/science.md 8.4 and 8.11). What is laid over it is first
order and said so: uploads that lag, silent corruption, both copies lost, waiting for spares, replicas and nodes that are
missing. Weibull ages and repeat offenders enter with their mean rate, stops of several kinds with their mean length. The
first start and planned stops are seconds of the wall time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

import numpy as np

from gigawatt.reliability._formulas import (
    LARGEST_EXPONENT,
    NEVER,
    TINY,
    Array,
    Numbers,
    exact_efficiency,
    exact_interval,
)
from gigawatt.reliability._job import ReliabilityJob
from gigawatt.reliability._spares import mean_beyond, short_of_spares
from gigawatt.reliability._terms import Terms, terms

CATEGORIES = (
    "useful",
    "replayed",
    "checkpoint stall",
    "detection",
    "restart",
    "degraded",
    "waiting for spares",
    "maintenance",
)
BLOCK = 16_384


def goodput_columns(
    *,
    rate_per_s: Numbers,
    save_s: Numbers,
    detect_s: Numbers,
    restart_s: Numbers,
    replay_s: Numbers = 0.0,
    interval_s: Numbers | None = None,
    lag_s: Numbers = 0.0,
    partial_rate_per_s: Numbers = 0.0,
    partial_detect_s: Numbers = 0.0,
    partial_restart_s: Numbers = 0.0,
    partial_replay_s: Numbers = 0.0,
    missing: Numbers = 0.0,
    waiting: Numbers = 0.0,
) -> Mapping[str, Array]:
    """Return the shares of wall time by CATEGORIES, and "interval_s", of C jobs; every argument is a number or (C,).

    `rate_per_s` are failures that go back to the last save, with a stop of detection, restart (drain, remap, reload,
    warm up) and replay that any failure begins again; `partial_rate_per_s` failures after which the rest goes on, with
    their own stop and nothing lost. `interval_s` None is the optimum. `missing` is the mean share of the job that is
    gone, `waiting` the share of wall time without spares. Exact without lag, partial stops and these two; evaluated in
    blocks of rows.
    """
    given = (
        rate_per_s,
        save_s,
        detect_s,
        restart_s,
        replay_s,
        math.nan if interval_s is None else interval_s,
        lag_s,
        partial_rate_per_s,
        partial_detect_s,
        partial_restart_s,
        partial_replay_s,
        missing,
        waiting,
    )
    columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(value, dtype=np.float64)) for value in given))
    count = len(columns[0])
    out = np.empty((len(CATEGORIES) + 1, count))
    with_parts = any(np.any(np.asarray(value) != 0) for value in given[7:11])
    for begin in range(0, count, BLOCK):
        rows = slice(begin, min(begin + BLOCK, count))
        out[:, rows] = _block(*(column[rows] for column in columns), optimum=interval_s is None, with_parts=with_parts)
    return {**dict(zip(CATEGORIES, out, strict=False)), "interval_s": out[-1]}


def _block(
    rate: Array,
    save: Array,
    detect: Array,
    restart: Array,
    replay: Array,
    interval: Array,
    lag: Array,
    part_rate: Array,
    part_detect: Array,
    part_restart: Array,
    part_replay: Array,
    missing: Array,
    waiting: Array,
    *,
    optimum: bool,
    with_parts: bool,
) -> Array:
    rate = np.maximum(rate, NEVER)
    stop = detect + restart + replay
    going: Array | float = 1.0
    if with_parts:
        # Partial stops take 1 - exp(-rate * stop) of the time; failures of the other kind crowd into the rest, where
        # any failure begins the stop again.
        going = np.exp(-np.minimum(part_rate * (part_detect + part_restart + part_replay), LARGEST_EXPONENT / 2.0))
        both = rate + part_rate
        lasting = rate / both * np.expm1(np.minimum(both * stop, LARGEST_EXPONENT))
        rate = rate / going
        stretched = np.log1p(lasting) / rate
        scale = np.where(stop > 0, stretched / np.where(stop > 0, stop, 1.0), 1.0)
        detect, restart, replay, stop = detect * scale, restart * scale, replay * scale, stretched
    mtbf = 1.0 / rate
    tau = np.maximum(exact_interval(save, mtbf) if optimum else interval, lag)
    work = exact_efficiency(tau, save, stop, mtbf)
    span = tau + save
    positive = np.where(span > 0, span, 1.0)
    stalled = np.where(
        tau > 0, work * np.expm1(np.minimum(save * rate, LARGEST_EXPONENT)) / (rate * np.where(tau > 0, tau, 1.0)), 0.0
    )
    stalled = np.minimum(stalled, 1.0 - work)
    late = np.minimum(lag / positive, 1.0) * tau * rate * np.exp(-np.minimum((stop + span) * rate, LARGEST_EXPONENT))
    late = np.minimum(late, work)
    useful = work - late
    up = np.exp(-np.minimum(rate * detect, LARGEST_EXPONENT))
    up_restart = up * np.exp(-np.minimum(rate * restart, LARGEST_EXPONENT))
    detecting, restarting = 1.0 - up, up - up_restart
    if with_parts:
        stopped = (1.0 - going) / np.maximum(part_detect + part_restart + part_replay, TINY)
        detecting = going * detecting + stopped * part_detect
        restarting = going * restarting + stopped * part_restart
        useful, stalled = going * useful, going * stalled
    free = 1.0 - waiting
    gone = np.clip(missing, 0.0, 1.0)
    out = np.empty((len(CATEGORIES) + 1, len(rate)))
    out[0] = free * useful * (1.0 - gone)
    out[2] = free * stalled
    out[3] = free * detecting
    out[4] = free * restarting
    out[5] = free * useful * gone
    out[6] = waiting
    out[7] = 0.0
    out[1] = np.maximum(1.0 - out[0] - out[2:8].sum(axis=0), 0.0)
    out[8] = tau
    return out


def waiting_share(job: ReliabilityJob, of: Terms, spares: int) -> float:
    """Return the share of its time that a group lacks nodes: P(X > S) for one job. Islands that lack nodes lend the rest
    of theirs to the others, so as few wait as the missing nodes fill.
    """
    if job.policy.partial:
        return 0.0
    return min(mean_beyond(of.batches, spares, -(-job.nodes // job.groups), job.nodes) / job.groups, 1.0)


def missing_share(job: ReliabilityJob, of: Terms, spares: int) -> float:
    """Return the mean share of the job that is gone while the rest works: replicas that are down or nodes that lack."""
    if not job.policy.partial or of.out_rate <= 0:
        return 0.0
    if job.policy.name == "drop_replica":
        lacking = mean_beyond(of.batches, spares, -(-job.nodes // job.replicas), job.nodes) / job.replicas
        swap = of.part_detect_s + of.part_drain_s + of.replica_back_s
        return 1.0 - max(1.0 - lacking, 0.0) * math.exp(-of.replica_hits / job.replicas * swap)
    # a node that comes back joins at the next stop
    joining = of.out_rate * short_of_spares(of.batches, spares, job.nodes) / max(of.rate, NEVER)
    return min((mean_beyond(of.batches, spares, 1, job.nodes) + joining) / job.nodes, 1.0)


def closed_shares(
    job: ReliabilityJob,
    of: Terms | None = None,
    *,
    interval_s: Numbers | None = None,
    spares: int | None = None,
) -> Mapping[str, Array]:
    """Return the shares of wall time of a job; `interval_s` and `spares` override its own."""
    t = of or terms(job)
    stock = t.spares if spares is None else spares
    shares = dict(
        goodput_columns(
            rate_per_s=t.whole_rate / job.groups,
            save_s=t.save_s,
            detect_s=t.detect_s,
            restart_s=t.drain_s + t.back_s,
            replay_s=t.replay_s,
            interval_s=t.interval_s if interval_s is None else interval_s,
            lag_s=t.lag_s,
            partial_rate_per_s=t.part_rate / job.groups,
            partial_detect_s=t.part_detect_s,
            partial_restart_s=t.part_drain_s + t.part_back_s + t.rejoin_s,
            partial_replay_s=t.part_replay_s,
            missing=missing_share(job, t, stock),
            waiting=waiting_share(job, t, stock),
        )
    )
    return _with_calendar(job, t, _first_order(job, t, shares))


def run_s(job: ReliabilityJob, of: Terms | None = None) -> float:
    """Return the wall time of the run: as given, else what its useful work takes, at most the job's horizon."""
    if job.duration_s is not None:
        return job.duration_s
    useful = float(closed_shares(job, of)["useful"][0])
    return min((job.useful_s or 0.0) / max(useful, NEVER), job.horizon_s)


def _with_calendar(job: ReliabilityJob, t: Terms, shares: dict[str, Array]) -> Mapping[str, Array]:
    """Lay the first start and the planned stops over the shares: seconds of the wall time, whatever that is."""
    start = job.start
    ends = job.duration_s
    useful = np.maximum(shares["useful"], NEVER)
    wall = np.full_like(useful, ends) if ends is not None else (job.useful_s or 0.0) / useful + start
    stopped = np.zeros_like(wall)
    for stop in sorted(job.maintenance, key=lambda stop: stop.start_s):
        seconds = np.where(stop.start_s < wall, stop.duration_s + t.save_s + t.back_s, 0.0)
        stopped = stopped + seconds
        if ends is None:
            wall = wall + seconds
    starting = np.minimum(start / wall, 1.0)
    planned = np.minimum(stopped / wall, 1.0 - starting)
    found = {name: (1.0 - starting - planned) * shares[name] for name in CATEGORIES}
    found["restart"] = found["restart"] + starting
    found["maintenance"] = found["maintenance"] + planned
    return {**found, "interval_s": shares["interval_s"]}


@cache
def _laguerre() -> tuple[Array, Array]:
    return np.polynomial.laguerre.laggauss(40)


def tainted_time(corruptions: float) -> float:
    """Return tainted over clean time where each clean spell ends with a corruption and `corruptions` come per mean
    delay of detection: x * integral of exp(-u - x*(u - 1 + exp(-u))), since every further corruption may be found first.
    """
    u, weight = _laguerre()
    return corruptions * float((weight * np.exp(-corruptions * (u + np.expm1(-u)))).sum())


def _first_order(job: ReliabilityJob, t: Terms, shares: dict[str, Array]) -> dict[str, Array]:
    """Lay over what is small: corruption, lost copies, stragglers. Each takes its part of the useful time."""
    group = 1.0 / job.groups
    ops = job.operations
    useful = shares["useful"]
    tainted = tainted_time(group * t.corruption_rate * ops.corruption_detect_s)
    again = useful * tainted / (1.0 + tainted) + useful * group * t.fallback_rate * (0.5 * ops.fallback_interval_s)
    slow = ops.straggler_slowdown
    degraded = useful * group * t.straggler_rate * ops.straggler_detect_s * slow / (1.0 + slow)
    restart = (
        useful * group * (t.straggler_rate * (t.drain_s + t.save_s + t.back_s) + t.fallback_rate * t.fallback_back_s)
    )
    total = again + degraded + restart
    part = np.where(total > useful, useful / np.where(total > 0, total, 1.0), 1.0)  # never more than there is
    shares["useful"] = np.maximum(useful - part * total, 0.0)
    shares["replayed"] = shares["replayed"] + part * again
    shares["degraded"] = shares["degraded"] + part * degraded
    shares["restart"] = shares["restart"] + part * restart
    return shares
