"""Goodput in closed form: shares of wall time by category, in columns (one job or a million, the same code).

Exact for exponential failures that stop the whole group (docs/science.md 8.4 and 8.11). What is laid over it is first
order and said so: uploads that lag, silent corruption, both copies lost, waiting for spares, planned stops, replicas and
nodes that are missing. Weibull ages and repeat offenders enter with their mean rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

import numpy as np

from gigawatt.reliability._formulas import Array, Numbers, exact_efficiency, exact_interval
from gigawatt.reliability._job import ReliabilityJob
from gigawatt.reliability._spares import mean_beyond, out_above
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
    planned: Numbers = 0.0,
) -> Mapping[str, Array]:
    """Return the shares of wall time by CATEGORIES, and "interval_s", of C jobs; every argument is a number or (C,).

    `rate_per_s` are failures that go back to the last save, with a stop of detection, restart (drain, remap, reload,
    warm up) and replay that any failure begins again; `partial_rate_per_s` failures after which the rest goes on, with
    their own stop and nothing lost. `interval_s` None is the optimum. `missing` is the mean share of the job that is
    gone, `waiting` and `planned` the shares of wall time without spares and in maintenance. Exact without the last
    four groups; evaluated in blocks of rows.
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
        planned,
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
    planned: Array,
    *,
    optimum: bool,
    with_parts: bool,
) -> Array:
    rate = np.maximum(rate, 1e-30)
    stop = detect + restart + replay
    going: Array | float = 1.0
    if with_parts:
        # Partial stops take 1 - exp(-rate * stop) of the time; failures of the other kind crowd into the rest, where
        # any failure begins the stop again.
        going = np.exp(-part_rate * (part_detect + part_restart + part_replay))
        both = rate + part_rate
        rate = rate / going
        lasting = going * np.expm1(np.minimum(both * stop, 700.0)) / both
        stretched = np.log1p(lasting * rate) / rate
        scale = np.where(stop > 0, stretched / np.where(stop > 0, stop, 1.0), 1.0)
        detect, restart, replay, stop = detect * scale, restart * scale, replay * scale, stretched
    mtbf = 1.0 / rate
    tau = np.maximum(exact_interval(save, mtbf) if optimum else interval, lag)
    work = exact_efficiency(tau, save, stop, mtbf)
    span = tau + save
    positive = np.where(span > 0, span, 1.0)
    stalled = np.where(
        tau > 0, work * np.expm1(np.minimum(save * rate, 700.0)) / (rate * np.where(tau > 0, tau, 1.0)), 0.0
    )
    stalled = np.minimum(stalled, 1.0 - work)
    late = np.minimum(lag / positive, 1.0) * tau * rate * np.exp(-np.minimum((stop + span) * rate, 700.0))
    late = np.minimum(late, work)
    useful = work - late
    up = np.exp(-np.minimum(rate * detect, 700.0))
    up_restart = up * np.exp(-np.minimum(rate * restart, 700.0))
    detecting, restarting = 1.0 - up, up - up_restart
    if with_parts:
        stopped = (1.0 - going) / np.maximum(part_detect + part_restart + part_replay, 1e-300)
        detecting = going * detecting + stopped * part_detect
        restarting = going * restarting + stopped * part_restart
        useful, stalled = going * useful, going * stalled
    free = (1.0 - planned) * (1.0 - waiting)
    gone = np.clip(missing, 0.0, 1.0)
    out = np.empty((len(CATEGORIES) + 1, len(rate)))
    out[0] = free * useful * (1.0 - gone)
    out[2] = free * stalled
    out[3] = free * detecting
    out[4] = free * restarting
    out[5] = free * useful * gone
    out[6] = (1.0 - planned) * waiting
    out[7] = planned
    out[1] = np.maximum(1.0 - out[0] - out[2:8].sum(axis=0), 0.0)
    out[8] = tau
    return out


def waiting_share(job: ReliabilityJob, of: Terms, spares: int) -> float:
    """Return the share of its time that a group lacks nodes: P(X > S) for one job. Islands that lack nodes lend the rest
    of theirs to the others, so as few wait as the missing nodes fill.
    """
    if job.policy.partial:
        return 0.0
    return mean_beyond(of.batches, spares, -(-job.nodes // job.groups)) / job.groups


def missing_share(job: ReliabilityJob, of: Terms, spares: int) -> float:
    """Return the mean share of the job that is gone while the rest works: replicas that are down or nodes that lack."""
    if not job.policy.partial or of.out_rate <= 0:
        return 0.0
    present = job.nodes / (job.nodes + of.out_mean) if spares == 0 else 1.0  # empty slots do not fail
    batches = tuple((size, mean * present) for size, mean in of.batches)
    if job.policy.name == "drop_replica":
        lacking = min(mean_beyond(batches, spares, -(-job.nodes // job.replicas)) / job.replicas, 1.0)
        swap = of.part_detect_s + of.part_drain_s + of.replica_back_s
        return 1.0 - (1.0 - lacking) * math.exp(-of.replica_hits / job.replicas * swap)
    joining = of.out_rate * float(out_above(batches, np.array([spares]))[0]) / max(of.rate, 1e-30)
    return min((mean_beyond(batches, spares) + joining) / job.nodes, 1.0)


def closed_shares(
    job: ReliabilityJob,
    of: Terms | None = None,
    *,
    interval_s: Numbers | None = None,
    spares: int | None = None,
    rate_factor: Numbers = 1.0,
) -> Mapping[str, Array]:
    """Return the shares of wall time of a job; `interval_s`, `spares` and a factor on all rates override its own."""
    t = of or terms(job)
    stock = t.spares if spares is None else spares
    per_group = 1.0 / job.groups
    losing = (t.whole_rate if job.policy.partial else t.rate) * per_group
    partial = (t.rate - t.whole_rate) * per_group if job.policy.partial else 0.0
    wall = job.horizon_s if job.duration_s is not None else max(job.useful_s or 0.0, 1.0)
    stops = math.fsum(p.duration_s + t.save_s + t.back_s for p in job.maintenance if p.start_s < wall)
    shares = dict(
        goodput_columns(
            rate_per_s=losing * rate_factor,
            save_s=t.save_s,
            detect_s=t.detect_s,
            restart_s=t.drain_s + t.back_s,
            replay_s=t.replay_s,
            interval_s=t.interval_s if interval_s is None else interval_s,
            lag_s=t.lag_s,
            partial_rate_per_s=partial * rate_factor,
            partial_detect_s=t.part_detect_s,
            partial_restart_s=t.part_drain_s * (2 if job.policy.name == "drop_replica" else 1) + t.part_back_s,
            partial_replay_s=t.part_replay_s,
            missing=missing_share(job, t, stock),
            waiting=waiting_share(job, t, stock),
            planned=min(stops / wall, 1.0),
        )
    )
    return _first_order(job, t, shares, wall)


@cache
def _laguerre() -> tuple[Array, Array]:
    return np.polynomial.laguerre.laggauss(40)


def tainted_time(corruptions: float) -> float:
    """Return tainted over clean time where each clean spell ends with a corruption and `corruptions` come per mean
    delay of detection: x * integral of exp(-u - x*(u - 1 + exp(-u))), since every further corruption may be found first.
    """
    u, weight = _laguerre()
    return corruptions * float((weight * np.exp(-corruptions * (u + np.expm1(-u)))).sum())


def _first_order(job: ReliabilityJob, t: Terms, shares: dict[str, Array], wall: float) -> Mapping[str, Array]:
    """Lay over what is small: corruption, lost copies, stragglers, the first start. Each takes its part of the useful
    time.
    """
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
    restart = restart + useful * min(job.start / wall, 1.0)
    total = again + degraded + restart
    part = np.where(total > useful, useful / np.where(total > 0, total, 1.0), 1.0)  # never more than there is
    shares["useful"] = np.maximum(useful - part * total, 0.0)
    shares["replayed"] = shares["replayed"] + part * again
    shares["degraded"] = shares["degraded"] + part * degraded
    shares["restart"] = shares["restart"] + part * restart
    return shares
