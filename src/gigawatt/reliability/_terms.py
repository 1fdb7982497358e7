"""A job as the plain numbers that the closed form and the simulation share, so that both answer the same question."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from gigawatt.reliability._formulas import LARGEST_EXPONENT, exact_interval
from gigawatt.reliability._job import ReliabilityJob
from gigawatt.reliability._spares import Batches, spares_for

# Where hardly anything fails a save a month is enough, and an interval of 0 s cannot be: the second for free saves.
LONGEST_INTERVAL_S = 30 * 86_400.0
SHORTEST_INTERVAL_S, SHORTEST_OF_FREE_SAVES_S = 1e-9, 1e-3
# What is out for ever is all of the job, and so is twice of it.
ALL_OUT = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The plain numbers of a job; seconds and 1/s.

    `rate` counts all interruptions of the fleet, `whole_rate` those that go back to a checkpoint (under a partial policy
    software and corruption alone), `corruption_rate` and `fallback_rate` their kinds. `batches` are the nodes under repair (`_spares`),
    `out_mean` their mean, `out_rate` the nodes that leave per second, `replica_hits` failures times replicas touched per second.

    A stop that goes back to a checkpoint is `detect_s`, `drain_s`, `back_s` (the mean over what sends the job back: after
    software more starts anew than after a node) and `replay_s`; one after which the rest goes on has
    `part_detect_s`, `part_drain_s`, `part_back_s`, `part_replay_s` and `rejoin_s`, when what was left out joins again.
    """

    rate: float
    whole_rate: float
    corruption_rate: float
    fallback_rate: float
    straggler_rate: float
    out_rate: float
    out_mean: float
    batches: Batches
    replica_hits: float
    spares: int
    save_s: float
    lag_s: float
    interval_s: float
    wanted_interval_s: float
    detect_s: float
    drain_s: float
    back_s: float
    replay_s: float
    part_detect_s: float
    part_drain_s: float
    part_back_s: float
    part_replay_s: float
    rejoin_s: float
    replica_back_s: float
    fallback_back_s: float

    @property
    def restart_s(self) -> float:
        """A stop that goes back to a checkpoint, seconds."""
        return self.detect_s + self.drain_s + self.back_s + self.replay_s

    @property
    def part_s(self) -> float:
        """What a failure costs after which the rest goes on, seconds."""
        return self.part_detect_s + self.part_drain_s + self.part_back_s + self.part_replay_s + self.rejoin_s

    @property
    def part_rate(self) -> float:
        """Failures after which the rest goes on, per second; 0 where every failure goes back to a checkpoint."""
        return max(self.rate - self.whole_rate, 0.0)


def terms(job: ReliabilityJob) -> Terms:
    """Return the numbers that both methods use."""
    policy = job.policy
    rates = [(process, job.rate_of(process), job.reach_of(process)) for process in job.processes]
    total = math.fsum(rate for _, rate, _ in rates)
    corruption = math.fsum(rate for process, rate, _ in rates if process.component == "silent_corruption")
    of_job = math.fsum(rate for _, rate, reach in rates if reach == 0)
    whole = corruption + of_job if policy.partial else total
    per_replica = -(-job.nodes // job.replicas)
    leaving = [(reach, rate, job.repair_of(process)) for process, rate, reach in rates if process.hardware and reach]
    stragglers = job.operations.straggler_rate_per_s * job.nodes
    leaving.append((1, stragglers, max((repair for _, _, repair in leaving), default=0.0)))
    sizes = sorted({reach for reach, _, _ in leaving})
    # beyond ALL_OUT times the job, more nodes under repair make no difference, but their numbers are long to follow
    out_mean = math.fsum(reach * rate * repair for reach, rate, repair in leaving)
    crowd = min(1.0, ALL_OUT * job.nodes / out_mean) if out_mean > 0 else 1.0
    batches = tuple(
        (size, crowd * math.fsum(rate * repair for reach, rate, repair in leaving if reach == size)) for size in sizes
    )
    per_group = max(job.accelerators // job.groups, 1)
    save = job.save_s
    lag = 0.0
    if job.tiers is not None:
        if save is None:
            save = job.tiers.blocking_s(policy.tier, job.state_bytes, per_group)
        size = job.state_bytes * (job.groups if policy.tier == "remote" else 1)
        lag = job.tiers.upload_s(policy.tier, size, per_group)
    save = save or 0.0
    if job.outer_steps:
        save += job.outer_s
    longer = longer_start_s(policy.whole_start_s - policy.warm_up_s, of_job / whole, total) if whole > 0 else 0.0
    back = policy.remap_s + policy.reload_s + job.reload_of(policy.tier) + policy.warm_up_s + longer
    part_back = policy.remap_s + policy.reload_s + job.reload_of("peer") + policy.warm_up_s
    copies = policy.tier == "peer"
    found = Terms(
        rate=total,
        whole_rate=whole,
        corruption_rate=corruption,
        fallback_rate=math.fsum(rate for process, rate, _ in rates if process.domain == "feed") if copies else 0.0,
        straggler_rate=stragglers,
        out_rate=math.fsum(reach * rate for reach, rate, _ in leaving),
        out_mean=out_mean,
        batches=batches,
        replica_hits=math.fsum(
            rate * max(reach / per_replica, 1.0) for process, rate, reach in rates if process.hardware and reach
        ),
        # as many as cover the nodes under repair, but no second fleet
        spares=min(spares_for(batches, job.operations.spare_probability), job.nodes)
        if job.spare_nodes is None
        else job.spare_nodes,
        save_s=save,
        lag_s=lag,
        interval_s=lag,
        wanted_interval_s=lag,
        detect_s=policy.detect_s,
        drain_s=policy.drain_s,
        back_s=back,
        replay_s=0.0 if policy.partial else policy.replay_s,
        part_detect_s=policy.detect_s,
        part_drain_s=policy.drain_s,
        part_back_s=part_back if policy.name == "elastic" else 0.0,
        part_replay_s=policy.replay_s,
        rejoin_s=policy.drain_s if policy.name == "drop_replica" else 0.0,
        replica_back_s=part_back,
        fallback_back_s=max(job.reload_of("remote") - job.reload_of("peer"), 0.0) if copies else 0.0,
    )
    wanted = _wanted_interval(job, found)
    return replace(found, wanted_interval_s=wanted, interval_s=max(wanted, lag))


def longer_start_s(extra_s: float, share: float, rate_per_s: float) -> float:
    """Return what stops are longer in the mean of their kinds, where a `share` of them takes `extra_s` more and any failure
    begins a stop in place of the one under way: -log(1 - share + share*exp(-extra*rate)) / rate.

    `extra * share` where stops are short beside the time between failures; it makes stops of several kinds one of equal
    effect on 8.4, exactly: what counts is whether a stop gets to its end.
    """
    if rate_per_s <= 0:
        return extra_s * share
    return -math.log1p(share * math.expm1(-extra_s * rate_per_s)) / rate_per_s


def _wanted_interval(job: ReliabilityJob, t: Terms) -> float:
    """Return the work between saves as given, else the best for what goes back to a checkpoint."""
    if job.outer_steps:
        return job.outer_steps * job.step_s
    if job.interval_s is not None:
        return job.interval_s
    losing = t.whole_rate * math.exp(min(t.part_rate * t.part_s, LARGEST_EXPONENT))
    longest = max(min(job.horizon_s, LONGEST_INTERVAL_S), 1.0)
    best = float(exact_interval(t.save_s, job.groups / losing)) if losing > 0 else longest
    return max(min(best, longest), SHORTEST_OF_FREE_SAVES_S if t.save_s == 0 else SHORTEST_INTERVAL_S)
