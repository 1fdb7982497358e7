"""Repeat offenders: the few nodes that fail more often than the rest, until they are replaced for good.

The published rate is what a fleet showed over its run, in which offenders were replaced as well. So the rate of a job is
the published one over its whole run: while its offenders are there it fails more often than that, later less often.
"""

from __future__ import annotations

import math

from gigawatt.reliability._job import ReliabilityJob
from gigawatt.reliability._terms import Terms


def offenders_of(job: ReliabilityJob) -> int:
    """Return how many nodes of a job are repeat offenders at its start."""
    return min(round(job.operations.offender_share * job.nodes), job.nodes)


def failures_of_an_offender(job: ReliabilityJob, run_s: float) -> float:
    """Return how often an offender would fail in `run_s` if it stayed in the job."""
    return _rate(job) * run_s


def _rate(job: ReliabilityJob) -> float:
    """Return the failures of one offender per second in the job: its own, and those that any node has."""
    count = offenders_of(job)
    if not count:
        return 0.0
    own = common = 0.0
    for process in job.processes:
        share = process.repeat_share if process.domain == "node" else 0.0
        own += job.rate_of(process) * share
        if process.hardware:
            common += job.rate_of(process) * (1.0 - share) * max(job.reach_of(process), 1) / job.nodes
    return own / count + common


def share_in_job(job: ReliabilityJob, t: Terms, run_s: float) -> float:
    """Return the share of `run_s` that an offender spends in the job: until its last failure but for its repairs and for
    what it waits among the spares. 1 without offenders.

    The i-th failure comes by `run_s` with P(Gamma(i) <= rate * (run_s - (i - 1) * away)); their sum over the failures up
    to the last is rate times the time in the job.
    """
    rate, run_s = _rate(job), max(run_s, 0.0)
    expected = rate * run_s
    if expected <= 0 or not math.isfinite(expected):
        return 1.0 if expected <= 0 else 0.0
    away = (t.out_mean + max(t.spares - t.out_mean, 0.0)) / t.out_rate if t.out_rate > 0 else 0.0
    failures, last = 0.0, max(int(min(job.operations.evict_after, 2**31)), 1)
    for number in range(1, last + 1):
        seen = rate * (run_s - (number - 1) * away)
        chance = _gamma(number, seen) if seen > 0 else 0.0
        failures += chance
        if chance < 1e-9:  # later ones come less often still
            break
    return min(failures / expected, 1.0)


def _gamma(number: int, x: float) -> float:
    """Return P(Gamma(number) <= x), that a Poisson stream has had `number` events after x mean gaps."""
    fewer, logarithm = math.exp(-x), -x
    for events in range(1, number):
        logarithm += math.log(x / events)
        fewer += math.exp(logarithm)
    return max(1.0 - fewer, 0.0)
