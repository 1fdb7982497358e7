"""The answer of this room: goodput of a job with its breakdown, the best interval and stock of spares, and intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gigawatt.evidence import Breakdown, Output, outputs_frame
from gigawatt.reliability._assess import job_outputs, late_uploads
from gigawatt.reliability._closed import CATEGORIES, closed_shares, run_s
from gigawatt.reliability._formulas import TINY, availability_interval, daly_interval, exact_interval, young_interval
from gigawatt.reliability._job import ReliabilityJob
from gigawatt.reliability._offenders import failures_of_an_offender
from gigawatt.reliability._policies import STATES
from gigawatt.reliability._simulate import SimulationResult, causes_of, simulate
from gigawatt.reliability._spares import spares_for
from gigawatt.reliability._terms import Terms, terms

CURVE, CURVE_SPAN = 41, 20.0  # points of the curve of intervals, and how far it goes either way
SPARE_CURVE, SPARES_SHOWN, FEWEST_SHOWN = (
    25,
    0.9999,
    4,
)  # points, the share of the time that the last covers, and it at least
MORE = 1.01  # what one per cent more of a rate is
ENOUGH_SPARES = 0.99  # share of the time that the stock which a note names covers
USELESS = 0.01  # below this goodput a note says what stops the run
WAITING = 0.01  # above this share of waiting a note says how many spares there should be
DIFFERENT = 0.02  # above this difference of closed form and simulation a note says why
CROWDED = 0.02  # corruptions per delay of detection above which the first order shows
LAGGING = 0.2  # share of the interval that an upload takes above which the first order shows
HALF = 0.5  # a category with more of the wall time is what stops a run
SMALL_SHARE = 0.01  # smaller ones are printed with two digits that count
FEW = 100  # failures in a run below which replicates scatter


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodputResult:
    """Goodput of one job.

    `wall_time` are seconds by category (the simulation's mean where there is one, else the closed form). `interval_curve`
    pairs (interval, efficiency), `spare_curve` (spares, goodput, goodput per node with spares). `sensitivities` are
    changes of the goodput by 1 % more of a rate, as fractions of it. `closed_goodput` is always the closed form,
    `goodput` the simulation's mean where there is one; `interval` its P10, P50 and P90.
    """

    policy: str
    method: str
    goodput: float
    closed_goodput: float
    wall_time: Breakdown
    mtbf_s: float
    interval_s: float
    best_interval_s: float
    classical_intervals: Mapping[str, float]
    interval_curve: tuple[tuple[float, float], ...]
    spares: int
    best_spares: int
    spare_curve: tuple[tuple[int, float, float], ...]
    sensitivities: Mapping[str, float]
    interruptions: Mapping[str, float]
    interval: tuple[float, float, float] | None
    simulation: SimulationResult | None
    assumptions: Mapping[str, float]
    warnings: tuple[str, ...]
    outputs: Mapping[str, Output]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "policy": self.policy,
            "method": self.method,
            "goodput": self.goodput,
            "closed_goodput": self.closed_goodput,
            "goodput_interval": None
            if self.interval is None
            else dict(zip(("p10", "p50", "p90"), self.interval, strict=True)),
            "wall_time": self.wall_time.to_dict(),
            "mtbf_s": self.mtbf_s if math.isfinite(self.mtbf_s) else None,
            "interval_s": self.interval_s,
            "best_interval_s": self.best_interval_s,
            "classical_intervals_s": dict(self.classical_intervals),
            "interval_curve": [{"interval_s": tau, "efficiency": value} for tau, value in self.interval_curve],
            "spares": self.spares,
            "best_spares": self.best_spares,
            "spare_curve": [
                {"spares": count, "goodput": value, "per_node": each} for count, value, each in self.spare_curve
            ],
            "sensitivities": dict(self.sensitivities),
            "interruptions": dict(self.interruptions),
            "simulation": None if self.simulation is None else self.simulation.to_dict(),
            "assumptions": dict(self.assumptions),
            "warnings": list(self.warnings),
            "outputs": {path: output.to_dict() for path, output in self.outputs.items()},
        }

    def to_frame(self) -> Any:
        """Return the outputs as a pandas DataFrame. Needs pandas."""
        return outputs_frame(self.outputs)


def goodput(job: ReliabilityJob, *, replicates: int = 0, seed: int = 0, workers: int = 1) -> GoodputResult:
    """Return the goodput of a job: closed form (`goodput_columns` is the same for many jobs at once), and with
    `replicates` the event simulation beside it.

    The two answer the same question with the same numbers (`terms`); a warning says where they differ by more than 2 %
    and why they may.
    """
    t = terms(job)
    shares = {name: float(value[0]) for name, value in closed_shares(job, t).items()}
    closed = shares["useful"]
    simulation = simulate(job, replicates, seed, workers=workers) if replicates else None
    wall = job.duration_s if job.duration_s is not None else (job.useful_s or 0.0) / max(closed, 1e-12)
    breakdown = Breakdown.of("wall time", "s", {name: wall * shares[name] for name in CATEGORIES})
    value, spread = closed, None
    if simulation is not None:
        breakdown, spread = simulation.breakdown(), simulation.quantiles()
        value = float(simulation.seconds[:, 0].sum() / simulation.wall_s.sum())
        wall = float(simulation.wall_s.mean())
    mtbf = 1.0 / t.rate if t.rate > 0 else math.inf
    names = causes_of(job)
    rates = [*(job.rate_of(process) for process in job.processes), t.straggler_rate]
    interruptions = {name: rate * wall for name, rate in zip(names, rates, strict=True)}
    if simulation is not None:
        interruptions = {name: mean for name, (mean, *_) in simulation.interruptions_by_cause().items()}
    curve, best_interval = _interval_curve(job, t)
    spare_curve, best_spares = _spare_curve(job, t)
    result = GoodputResult(
        policy=job.policy.name,
        method="closed form" if simulation is None else f"mean of {replicates} simulated runs",
        goodput=value,
        closed_goodput=closed,
        wall_time=breakdown,
        mtbf_s=mtbf,
        interval_s=t.interval_s,
        best_interval_s=best_interval,
        classical_intervals=_classical(job, t),
        interval_curve=curve,
        spares=t.spares,
        best_spares=best_spares,
        spare_curve=spare_curve,
        sensitivities=_sensitivities(job, closed, names),
        interruptions=interruptions,
        interval=spread,
        simulation=simulation,
        assumptions=_assumptions(job, t),
        warnings=_warnings(job, t, shares, closed, simulation),
        outputs={},
    )
    return replace(result, outputs=_outputs(job, result, t))


def _classical(job: ReliabilityJob, t: Terms) -> Mapping[str, float]:
    """Young, Daly, the availability optimum and the exact one, for what sends a group back to its checkpoint."""
    losing = t.whole_rate / job.groups
    if losing <= 0:
        return {}
    mtbf = 1.0 / losing
    return {
        "young": float(young_interval(t.save_s, mtbf)),
        "daly": float(daly_interval(t.save_s, mtbf)),
        "availability": float(availability_interval(t.save_s, mtbf, t.restart_s)),
        "exact": float(exact_interval(t.save_s, mtbf)),
    }


def _interval_curve(job: ReliabilityJob, t: Terms) -> tuple[tuple[tuple[float, float], ...], float]:
    free = job if job.interval_s is None and not job.outer_steps else replace(job, interval_s=None, outer_steps=0)
    best = terms(free).interval_s if free is not job else t.interval_s
    taus = np.geomspace(best / CURVE_SPAN, best * CURVE_SPAN, CURVE)
    values = closed_shares(job, t, interval_s=taus)["useful"]
    return tuple(zip(taus.tolist(), values.tolist(), strict=True)), float(best)


def _spare_curve(job: ReliabilityJob, t: Terms) -> tuple[tuple[tuple[int, float, float], ...], int]:
    """Goodput against spares; the best stock gives most useful time per node, spares included."""
    if t.out_mean <= 0:
        return ((t.spares, *(float(closed_shares(job, t)["useful"][0]),) * 2),), 0
    top = max(min(spares_for(t.batches, SPARES_SHOWN), job.nodes), FEWEST_SHOWN)
    counts = sorted({0, t.spares, *np.linspace(0, top, SPARE_CURVE).round().astype(int).tolist()})
    # the tail of the distribution is where it turns: refine between the mean and the top
    counts = sorted({*counts, *np.linspace(min(t.out_mean, top), top, SPARE_CURVE).round().astype(int).tolist()})
    curve = []
    for count in counts:
        value = float(closed_shares(job, t, spares=count)["useful"][0])
        curve.append((int(count), value, value * job.nodes / (job.nodes + count)))
    return tuple(curve), max(curve, key=lambda point: point[2])[0]


def _sensitivities(job: ReliabilityJob, closed: float, names: tuple[str, ...]) -> Mapping[str, float]:
    """Change of the goodput, as a fraction of it, by 1 % more of each rate, at the best interval of each case and with
    the stock of spares held.
    """
    held, changes = replace(job, spare_nodes=terms(job).spares), {}
    for index, name in enumerate(names):
        if index < len(job.processes):
            raised = job.processes[index].at(job.processes[index].rate_per_s * MORE)
            other = replace(held, processes=(*job.processes[:index], raised, *job.processes[index + 1 :]))
        else:
            more = replace(job.operations, straggler_rate_per_s=job.operations.straggler_rate_per_s * MORE)
            other = replace(held, operations=more)
        changes[name] = float(closed_shares(other)["useful"][0]) / max(closed, TINY) - 1.0
    return changes


def _assumptions(job: ReliabilityJob, t: Terms) -> Mapping[str, float]:
    states = {f"policy.{state}_s": getattr(job.policy, f"{state}_s") for state in STATES}
    rates = {f"rate.{name}": p.rate_per_s for name, p in zip(causes_of(job), job.processes, strict=False)}
    operations = {f"operations.{name}": getattr(job.operations, name) for name in type(job.operations).__slots__}
    return {**states, **rates, **operations, "save_s": t.save_s, "upload_s": t.lag_s, "nodes": job.nodes}


def _warnings(
    job: ReliabilityJob, t: Terms, shares: Mapping[str, float], closed: float, simulation: SimulationResult | None
) -> tuple[str, ...]:
    notes = [*late_uploads(t)]
    if closed < USELESS:
        notes.append(_what_stops(t, shares))
    waits = shares["waiting for spares"]
    if waits > WAITING:
        notes.append(
            f"{t.spares:,} spare nodes leave the job waiting {waits:.1%} of the time; {spares_for(t.batches, ENOUGH_SPARES):,} would cover {ENOUGH_SPARES:.0%} of it"
        )
    if any(process.weibull_shape != 1 or process.repeat_share for process in job.processes):
        notes.append(
            "Weibull ages and repeat offenders enter the closed form with their mean rate; the simulation follows every node"
        )
    if simulation is not None:
        value = float(simulation.seconds[:, 0].sum() / simulation.wall_s.sum())
        if abs(value - closed) > DIFFERENT * max(value, TINY):
            notes.append(
                f"closed form {_share(closed)} and simulation {_share(value)} differ by more than {DIFFERENT:.0%}: {_why(job, t, shares)}"
            )
        old = float(simulation.old_corruptions.mean())
        if old > 0:
            notes.append(
                f"{old:.2g} silent corruptions per run were older than the {job.operations.kept_checkpoints:.0f} checkpoints that are kept; the simulation goes back to a clean one as if it were kept"
            )
    return tuple(notes)


def _what_stops(t: Terms, shares: Mapping[str, float]) -> str:
    """Return what takes most of the time of a run that hardly goes on, and what would help."""
    if shares["checkpoint stall"] > HALF:
        return f"saves stop the run: each takes {t.save_s:,.3g} s after {t.interval_s:,.3g} s of work; a longer checkpoint interval leaves more"
    if t.rate <= 0:
        return "hardly any time is left to work, although nothing fails: the start, or the planned stops, take the rest"
    return f"failures stop the run: every {1 / t.rate:,.0f} s something fails and a stop takes {t.restart_s:,.0f} s; policies hot_spare, drop_replica or islands stop less of the job"


def _share(value: float) -> str:
    return f"{value:.1%}" if value >= SMALL_SHARE else f"{100 * value:.2g}%"


def _why(job: ReliabilityJob, t: Terms, shares: Mapping[str, float]) -> str:
    """Return why closed form and simulation may differ, the likeliest first."""
    reasons = []
    wall, evicted = run_s(job, t), job.operations.evict_after
    each = failures_of_an_offender(job, wall)
    if each > evicted:
        reasons.append(
            f"repeat offenders would fail {each:,.1f} times and are replaced after {evicted:,.0f}, so that failures crowd into the first part of the run"
        )
    ageing = _ageing(job, t, wall)
    if abs(ageing) > DIFFERENT:
        reasons.append(
            f"the nodes age during the run: its mean rate is {abs(ageing):.0%} {'above' if ageing > 0 else 'below'} that at the published age"
        )
    if t.corruption_rate * job.operations.corruption_detect_s > CROWDED:
        reasons.append("silent corruption is first order in the closed form")
    if job.policy.partial:
        reasons.append("stops of two kinds are taken as independent")
    if t.out_mean > t.spares:
        reasons.append("spares run out, where the closed form takes the mean")
    if shares["restart"] > CROWDED and any(process.domain == "job" for process in job.processes) and _uneven(job):
        reasons.append("stops of a node and of the whole job enter with their mean length")
    if t.lag_s > LAGGING * t.interval_s:
        reasons.append("uploads that lag are first order")
    if t.rate * wall < FEW:
        reasons.append("so few failures that the replicates scatter")
    return "; ".join(reasons) or "several first-order terms add up"


def _uneven(job: ReliabilityJob) -> bool:
    """Return whether software of the whole job takes longer to get over than the failure of a node."""
    return job.policy.whole_start_s > job.policy.warm_up_s


def _ageing(job: ReliabilityJob, t: Terms, wall_s: float) -> float:
    """Return how far the mean rate over the run is from the published one, relative, where the age of the fleet is given."""
    if job.fleet_age_s is None or t.rate <= 0:
        return 0.0
    ages = (job.fleet_age_s, job.fleet_age_s + wall_s)
    return math.fsum(job.rate_of(process) * process.mean_hazard(*ages) for process in job.processes) / t.rate - 1.0


def _outputs(job: ReliabilityJob, result: GoodputResult, t: Terms) -> dict[str, Output]:
    outputs = job_outputs(job, t, result.goodput, result.method)
    for child in result.wall_time.children:
        path = f"reliability.wall_time.{child.label.replace(' ', '_')}"
        outputs[path] = Output(label=child.label, value=child.value, unit="s", method=result.method)
    return outputs
