"""Monte Carlo of a job: replicates of the event simulation (`_kernel`), each from its own key, so that a replicate is the
same however many run and wherever.

    job -> rules (all that a replicate needs, as numbers) -> R replicates, each fills its row of the books -> result
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.evidence import Breakdown
from gigawatt.reliability import _kernel as kernel
from gigawatt.reliability._closed import CATEGORIES, run_s
from gigawatt.reliability._formulas import Array
from gigawatt.reliability._job import ReliabilityJob
from gigawatt.reliability._kernel import state
from gigawatt.reliability._offenders import offenders_of, share_in_job
from gigawatt.reliability._terms import Terms, terms
from gigawatt.timeline import Timeline

MASK = 2**64 - 1
STRAGGLER = "straggler"
QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationResult:
    """Replicates (R) of one job.

    `seconds` (R, 8) by CATEGORIES sum to `wall_s` (R,); under islands they are means over the islands. `interruptions`
    (R, K) by `causes`. `short_of_spares`, `old_corruptions`, `most_out` and `events` (R,) count nodes that found no
    spare, corruptions older than the kept checkpoints, the most nodes under repair at once, and failures handled.
    """

    causes: tuple[str, ...]
    seed: int
    wall_s: Array
    seconds: Array
    interruptions: Array
    short_of_spares: Array
    old_corruptions: Array
    most_out: Array
    events: Array
    timeline: Timeline | None = None

    @property
    def goodput(self) -> Array:
        """Useful time over wall time of every replicate, (R,)."""
        return np.asarray(self.seconds[:, 0] / self.wall_s)

    def quantiles(self) -> tuple[float, float, float]:
        """Return P10, P50 and P90 of the goodput."""
        low, middle, high = np.quantile(self.goodput, QUANTILES)
        return float(low), float(middle), float(high)

    def breakdown(self) -> Breakdown:
        """Return the mean wall time by category, seconds."""
        return Breakdown.of("wall time", "s", dict(zip(CATEGORIES, self.seconds.mean(axis=0).tolist(), strict=True)))

    def interruptions_by_cause(self) -> Mapping[str, tuple[float, float, float, float]]:
        """Return mean, P10, P50 and P90 of the interruptions by cause."""
        means = self.interruptions.mean(axis=0)
        spread = np.quantile(self.interruptions, QUANTILES, axis=0)
        return {
            cause: (float(means[i]), *(float(value) for value in spread[:, i]))  # type: ignore[misc]
            for i, cause in enumerate(self.causes)
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: means and quantiles, not the replicates."""
        low, middle, high = self.quantiles()
        return {
            "replicates": len(self.wall_s),
            "seed": self.seed,
            "goodput": {"mean": float(self.goodput.mean()), "p10": low, "p50": middle, "p90": high},
            "wall_s": float(self.wall_s.mean()),
            "wall_time": self.breakdown().to_dict(),
            "interruptions": {
                cause: dict(zip(("mean", "p10", "p50", "p90"), values, strict=True))
                for cause, values in self.interruptions_by_cause().items()
            },
            "short_of_spares": float(self.short_of_spares.mean()),
            "old_corruptions": float(self.old_corruptions.mean()),
            "most_nodes_out": float(self.most_out.max()),
        }

    def to_frame(self) -> Any:
        """Return one row per replicate as a pandas DataFrame. Needs pandas."""
        import pandas as pd

        columns = dict(zip(CATEGORIES, self.seconds.T, strict=True))
        frame = pd.DataFrame({"wall_s": self.wall_s, "goodput": self.goodput, **columns})
        for i, cause in enumerate(self.causes):
            frame[f"interruptions: {cause}"] = self.interruptions[:, i]
        return frame


def causes_of(job: ReliabilityJob) -> tuple[str, ...]:
    """Return the names of the processes of a job, with the domain where a component has several, and the stragglers."""
    names = [process.component for process in job.processes]
    full = [
        f"{process.component} ({process.domain})" if names.count(process.component) > 1 else process.component
        for process in job.processes
    ]
    return (
        *(f"{name} {full[: i + 1].count(name)}" if full.count(name) > 1 else name for i, name in enumerate(full)),
        STRAGGLER,
    )


def simulate(
    job: ReliabilityJob,
    replicates: int = 100,
    seed: int = 0,
    *,
    workers: int = 1,
    first: int = 0,
    timeline_intervals: int = 0,
    compiled: bool = True,
) -> SimulationResult:
    """Return `replicates` event simulations of a job, numbered from `first` on.

    Replicate i depends on the job, `seed` and i alone, so parts that ran apart join to the same answer whatever the
    number of `workers` (threads). `timeline_intervals` keeps that many intervals of the first replicate as a Timeline.
    `compiled=False` runs the same code as plain Python, some hundred times slower. Raises ValueError for fewer than one
    replicate or worker.
    """
    if replicates < 1 or workers < 1 or first < 0 or timeline_intervals < 0:
        raise ValueError(
            f"a simulation needs at least one replicate and one worker, from replicate 0 on, not {replicates}, {workers} and {first}"
        )
    rules = _rules(job, terms(job))
    run = kernel.compiled() if compiled else _plain
    seconds = np.zeros((replicates, state.CATEGORIES))
    causes = np.zeros((replicates, len(job.processes) + 1))
    extra = np.zeros((replicates, state.EXTRAS))
    wall = np.zeros(replicates)
    log, log_size = np.zeros((timeline_intervals, 4)), np.zeros(1, np.int64)

    def one(i: int) -> None:
        books = kernel.Books(
            seconds=seconds[i],
            causes=causes[i],
            extra=extra[i],
            log=log if i == 0 else np.zeros((0, 4)),
            log_size=log_size if i == 0 else np.zeros(1, np.int64),
        )
        wall[i] = run(_key(seed, first + i), rules, books)

    if workers == 1:
        for i in range(replicates):
            one(i)
    else:
        with ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(one, range(replicates)):
                pass
    return SimulationResult(
        causes=causes_of(job),
        seed=seed,
        wall_s=wall,
        seconds=seconds,
        interruptions=causes,
        short_of_spares=extra[:, state.SHORT],
        old_corruptions=extra[:, state.OLD],
        most_out=extra[:, state.MOST_OUT],
        events=extra[:, state.HANDLED],
        timeline=_timeline(job, log[: log_size[0]]) if timeline_intervals else None,
    )


def _plain(key: np.uint64, rules: kernel.Rules, books: kernel.Books) -> float:
    with np.errstate(over="ignore"):  # random words wrap around by intention
        return kernel.run(key, rules, books)


def _key(seed: int, replicate: int) -> np.uint64:
    """Return the key of a replicate: two rounds of SplitMix64's mixing over seed and number."""
    word = seed & MASK
    for add in (0, replicate + 1):
        word = (word + add * 0xD1342543DE82EF95 + 0x9E3779B97F4A7C15) & MASK
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & MASK
        word ^= word >> 31
    return np.uint64(word)


def _timeline(job: ReliabilityJob, log: Array) -> Timeline:
    lanes = tuple(f"island {g + 1}" for g in range(job.groups)) if job.groups > 1 else ("job",)
    labels = ("training", *CATEGORIES[1:])
    return Timeline(
        title="replicate of the run",
        lanes=lanes,
        labels=labels,
        lane=log[:, 0].astype(np.int64),
        label=log[:, 1].astype(np.int64),
        start_s=log[:, 2].copy(),
        end_s=log[:, 3].copy(),
    )


def _rules(job: ReliabilityJob, t: Terms) -> kernel.Rules:
    """Return a job as the numbers that a replicate needs."""
    ops = job.operations
    mode = {"drop_replica": state.DROP, "elastic": state.ELASTIC}.get(job.policy.name, state.GANG)
    cells = job.replicas if mode == state.DROP else job.groups
    offenders = offenders_of(job)
    stream, hazard, scope, repair = _processes(job, t, offenders > 0)
    return kernel.Rules(
        mode=mode,
        nodes=job.nodes,
        spares=t.spares,
        groups=job.groups,
        per_group=-(-job.nodes // job.groups),
        cells=cells,
        per_cell=-(-job.nodes // cells),
        offenders=offenders,
        evict_after=min(int(ops.evict_after), 2**31),
        horizon_s=float(job.horizon_s),
        target_s=float(job.useful_s or 0.0),
        start_s=float(job.start),
        age_s=float(job.age_at_start_s),
        interval_s=float(t.interval_s),
        save_s=float(t.save_s),
        lag_s=float(t.lag_s),
        detect_s=float(t.detect_s),
        drain_s=float(t.drain_s),
        back_s=float(t.back_s),
        replay_s=float(t.replay_s),
        part_detect_s=float(t.part_detect_s),
        part_drain_s=float(t.part_drain_s),
        part_back_s=float(t.part_back_s),
        part_replay_s=float(t.part_replay_s),
        replica_back_s=float(t.replica_back_s),
        fallback_s=float(ops.fallback_interval_s),
        fallback_back_s=float(t.fallback_back_s),
        slowdown=float(ops.straggler_slowdown),
        straggler_detect_s=float(ops.straggler_detect_s),
        corruption_detect_s=float(ops.corruption_detect_s),
        kept_checkpoints=float(ops.kept_checkpoints),
        stream=stream,
        hazard=hazard,
        scope=scope,
        repair=repair,
        planned=np.array([(p.start_s, p.duration_s) for p in job.maintenance], dtype=np.float64).reshape(-1, 2),
    )


def _processes(job: ReliabilityJob, t: Terms, offenders: bool) -> tuple[Array, Array, NDArray[np.int64], Array]:
    """Return `stream`, `hazard`, `scope` and `repair` of the rules: a row per process, the last one stragglers."""
    kinds = len(job.processes) + 1
    age = job.age_at_start_s
    wall = run_s(job, t)
    present = share_in_job(job, t, wall) if offenders else 1.0
    stream = np.zeros((2, kinds))
    hazard = np.ones((kinds, 4))
    hazard[:, state.POWER] = 0.0
    scope = np.zeros((kinds, 4), np.int64)
    repair = np.zeros(kinds)
    for k, process in enumerate(job.processes):
        power = process.weibull_shape - 1.0
        ages = (process.burn_in_s, age + job.horizon_s)
        bound = max((max(a, process.burn_in_s) / process.reference_age_s) ** power for a in ages)
        share = process.repeat_share if offenders and process.domain == "node" else 0.0
        rate = job.rate_of(process) * bound
        if job.fleet_age_s is None:  # the published rate is the mean over the run, as it is over that of the source
            rate /= process.mean_hazard(age, age + wall)
        stream[:, k] = rate * (1.0 - share * present), rate * share
        hazard[k] = bound, power, process.reference_age_s, process.burn_in_s
        reach = job.reach_of(process) if process.domain == "job" else max(job.reach_of(process), 1)
        kind = state.CORRUPTION if process.component == "silent_corruption" else state.FAILURE
        falls_back = process.domain == "feed" and job.policy.tier == "peer"
        scope[k] = reach, process.hardware, kind, falls_back
        repair[k] = job.repair_of(process)
    stream[0, -1] = t.straggler_rate
    scope[-1] = 1, True, state.STRAGGLER, False
    repair[-1] = max(repair[:-1], default=0.0)
    return stream.ravel(), hazard, scope, repair
