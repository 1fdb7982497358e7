"""A job as the plain numbers that the closed form and the simulation share, so that both answer the same question."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gigawatt.reliability._formulas import exact_interval
from gigawatt.reliability._job import ReliabilityJob
from gigawatt.reliability._spares import Batches, spares_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The plain numbers of a job; seconds and 1/s.

    `rate` counts all interruptions of the fleet, `whole_rate` those that send even a partial policy back to a
    checkpoint, `corruption_rate` and `fallback_rate` their kinds. `batches` are the nodes under repair (`_spares`),
    `out_mean` their mean, `out_rate` the nodes that leave per second, `replica_hits` failures times replicas touched per second.
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
    replica_back_s: float
    fallback_back_s: float

    @property
    def restart_s(self) -> float:
        """A stop that goes back to a checkpoint, seconds."""
        return self.detect_s + self.drain_s + self.back_s + self.replay_s

    @property
    def part_s(self) -> float:
        """A stop after which the rest goes on, seconds."""
        return self.part_detect_s + self.part_drain_s + self.part_back_s + self.part_replay_s


def terms(job: ReliabilityJob) -> Terms:
    """Return the numbers that both methods use."""
    policy = job.policy
    rates = [(process, job.rate_of(process), job.reach_of(process)) for process in job.processes]
    total = math.fsum(rate for _, rate, _ in rates)
    corruption = math.fsum(rate for process, rate, _ in rates if process.component == "silent_corruption")
    whole = corruption + math.fsum(rate for _, rate, reach in rates if reach == 0)
    per_replica = -(-job.nodes // job.replicas)
    leaving = [(reach, rate, job.repair_of(process)) for process, rate, reach in rates if process.hardware and reach]
    stragglers = job.operations.straggler_rate_per_s * job.nodes
    leaving.append((1, stragglers, max((repair for _, _, repair in leaving), default=0.0)))
    out_rate = math.fsum(reach * rate for reach, rate, _ in leaving)
    out_mean = math.fsum(reach * rate * repair for reach, rate, repair in leaving)
    sizes = sorted({reach for reach, _, _ in leaving})
    batches = tuple(
        (size, math.fsum(rate * repair for reach, rate, repair in leaving if reach == size)) for size in sizes
    )
    per_group = max(job.accelerators // job.groups, 1)
    save = job.save_s
    lag = 0.0
    if job.tiers is not None:
        if save is None:
            save = job.tiers.blocking_s(policy.tier, job.state_bytes, per_group)
        size = job.state_bytes * (job.groups if policy.tier == "remote" else 1)
        lag = job.tiers.upload_s(policy.tier, size, per_group, max(job.nodes // job.groups, 1))
    save = save or 0.0
    if job.outer_steps:
        save += job.outer_s
    reload = policy.reload_s + job.reload_of(policy.tier)
    from_peer = policy.reload_s + job.reload_of("peer")
    back = policy.remap_s + reload + policy.warm_up_s
    elastic = policy.name == "elastic"
    part_back = policy.remap_s + from_peer + policy.warm_up_s
    part = policy.detect_s + policy.drain_s + (part_back if elastic else 0.0) + policy.replay_s
    # only what goes back to a checkpoint sets the interval
    losing = total if not policy.partial else whole * math.exp(min((total - whole) * part, 700.0))
    wanted = job.interval_s
    if job.outer_steps:
        wanted = job.outer_steps * job.step_s
    if wanted is None:
        longest = max(min(job.horizon_s, 30 * 86_400.0), 1.0)
        best = float(exact_interval(save, job.groups / losing)) if losing > 0 else longest
        wanted = max(min(best, longest), 1e-3 if save == 0 else 1e-9)
    copies = policy.tier == "peer"
    return Terms(
        rate=total,
        whole_rate=whole,
        corruption_rate=corruption,
        fallback_rate=math.fsum(rate for process, rate, _ in rates if process.domain == "feed") if copies else 0.0,
        straggler_rate=stragglers,
        out_rate=out_rate,
        out_mean=out_mean,
        batches=batches,
        replica_hits=math.fsum(
            rate * max(reach / per_replica, 1.0) for process, rate, reach in rates if process.hardware and reach
        ),
        spares=job.spare_nodes
        if job.spare_nodes is not None
        else min(spares_for(batches, job.operations.spare_probability), job.nodes),
        save_s=save,
        lag_s=lag,
        interval_s=max(wanted, lag),
        wanted_interval_s=wanted,
        detect_s=policy.detect_s,
        drain_s=policy.drain_s,
        back_s=back,
        replay_s=0.0 if policy.partial else policy.replay_s,
        part_detect_s=policy.detect_s,
        part_drain_s=policy.drain_s,
        part_back_s=part_back if elastic else 0.0,
        part_replay_s=policy.replay_s,
        replica_back_s=part_back,
        fallback_back_s=max(job.reload_of("remote") - job.reload_of("peer"), 0.0) if copies else 0.0,
    )
