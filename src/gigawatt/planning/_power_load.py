"""What a site draws, moment by moment, from the plan of its job.

    plan -> step of every stage -> watts by phase -> StepProfile, run with its failures -> JobLoad, base load of the rest

A pass computes at the chip's power in training; what its exchange shows, waiting for another stage and stragglers hold
the chip at its power in communication, as collectives spin; the host's part of a step leaves it waiting. Cooling is too
slow to follow a step: it draws its mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from gigawatt import power, reliability
from gigawatt.planning._couple import Evaluation
from gigawatt.planning._failures import Failures
from gigawatt.planning._inputs import Inputs
from gigawatt.timeline import Timeline
from gigawatt.training import Evaluator, TrainingJob, TrainingResult, phases, simulate_step

# Which phase of a chip a label of the step timeline is.
PHASE_OF = {
    "forward": "training",
    "backward": "training",
    "weight gradient": "training",
    "optimizer": "memory_bound",
    "communication": "communication",
    "data-parallel communication": "communication",
    "stragglers": "communication",
    "waiting for the pipeline": "communication",
    "step overhead": "waiting",
    "data loading": "waiting",
    "idle": "waiting",
}
# Which phase of a chip a state of the run is.
STATE_OF = {
    "checkpoint stall": "checkpoint",
    "detection": "communication",
    "restart": "waiting",
    "waiting for spares": "waiting",
    "maintenance": "idle",
}
# Intervals of a simulated run that are kept; a window is cut out of them.
KEPT_INTERVALS = 4_000
BEFORE_FAILURE_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Watts at the grid of one accelerator with its share of host and network, by phase, cooling not counted."""

    watts: dict[str, float]

    def of(self, phase: str) -> float:
        """Return the watts of a phase."""
        return self.watts[phase]


def levels_of(inputs: Inputs, base: Evaluation) -> Levels:
    """Return the watts of an accelerator of the job by phase, with what stands around it.

    Four phases are those of the plan's table, so that the two agree; no phase is above the cap.
    """
    limit = base.value("power.accelerator_limit")
    watts = {phase: inputs.chip_watts(phase) for phase in power.PHASES}
    watts |= {
        "training": limit * inputs.value("power.compute_fraction"),
        "communication": limit * inputs.value("power.communication_fraction"),
        "checkpoint": limit * inputs.value("power.checkpoint_fraction"),
        "idle": limit * inputs.value("power.idle_fraction"),
    }
    around = base.value("power.server") + base.value("power.network")
    other = 1.0 + inputs.value("power.other_it_fraction")
    return Levels(watts={phase: (each + around) * other for phase, each in watts.items()})


def step_timeline(job: TrainingJob, trained: TrainingResult) -> tuple[Timeline, tuple[float, ...]]:
    """Return the step with one lane per stage, labelled by PHASE_OF, and the accelerators of each lane.

    Where the simulation keeps only some stages, the others are like the nearest that is kept.
    """
    step = simulate_step(phases(Evaluator(job), trained.columns))
    names = [lane.split()[1] for lane in step.lanes]
    stages = sorted({int(name) for name in names})
    lanes = tuple(f"stage {stage}" for stage in stages)
    exchange = ["compute" not in lane and "waiting" not in lane for lane in step.lanes]
    labels = tuple(dict.fromkeys((*step.labels, "communication")))
    talk = labels.index("communication")
    label = np.where(np.array(exchange)[step.lane], talk, step.label)
    lane = np.array([stages.index(int(name)) for name in names])[step.lane]
    timeline = Timeline(
        title=step.title,
        lanes=lanes,
        labels=labels,
        lane=lane.astype(np.int64),
        label=label.astype(np.int64),
        start_s=step.start_s,
        end_s=step.end_s,
    )
    pipeline = int(trained.columns.pipeline_parallel[0])
    nearest = [min(range(len(stages)), key=lambda i: abs(stages[i] - stage)) for stage in range(1, pipeline + 1)]
    each = trained.accelerators / pipeline
    return timeline, tuple(each * nearest.count(i) for i in range(len(stages)))


def job_load(base: Evaluation, levels: Levels, events: Timeline | None, *, jitter: float = 0.0) -> power.JobLoad:
    """Return the job as a load: its steps, the state of the run, and how it comes and goes."""
    timeline, counts = step_timeline(base.job, base.training)
    watts = {label: levels.of(PHASE_OF[label]) for label in (*timeline.labels, "idle")}
    profiles = power.StepProfile.of(timeline, watts)
    return power.JobLoad(
        profiles=profiles,
        accelerators=counts,
        jitter=jitter,
        wait_w=levels.of("communication"),
        idle_w=levels.of("idle"),
        events=events,
        levels_w={state: levels.of(phase) for state, phase in STATE_OF.items()},
        name="training",
    )


def base_load(base: Evaluation, levels: Levels) -> power.FlatLoad:
    """Return what draws beside the job: accelerators that are idle, and cooling and distribution at their mean."""
    outside = base.fleet.powered - base.training.accelerators
    return power.FlatLoad(
        power_w=np.array([outside * levels.of("idle") + base.value("power.cooling")]), name="idle and cooling"
    )


def run_events(inputs: Inputs, base: Evaluation, seed: int, duration_s: float) -> tuple[Timeline | None, float]:
    """Return a window of a simulated run around its first failure after some hours, with every checkpoint, and where in
    the run it begins (s). None where the run is shorter than the window.
    """
    failing = Failures(inputs=inputs, steps=base.value("run.steps"))
    whole = base.value("run.time")
    if whole <= duration_s:
        return None, 0.0
    job = failing.job(failing.policy, base.training.accelerators, base.replica, base.training.step_s)
    look = min(whole, max(40.0 * duration_s, 20.0 * base.reliability.mtbf_s))
    job = replace(job, duration_s=max(look, 2.0 * job.start), useful_s=None)
    run = reliability.simulate(job, 1, seed, timeline_intervals=KEPT_INTERVALS).timeline
    assert run is not None
    stops = run.start_s[np.isin(run.label, [run.labels.index(name) for name in ("detection", "restart")])]
    later = stops[stops > job.start + duration_s]
    begin = float(later[0]) - BEFORE_FAILURE_S if len(later) else job.start + duration_s
    begin = min(begin, run.duration_s - duration_s)
    return with_saves(window(run, begin, duration_s), base.reliability.interval_s, base.reliability.save_s), begin


def window(run: Timeline, begin_s: float, duration_s: float) -> Timeline:
    """Return the part of a timeline from `begin_s` on, its time counted from there."""
    keep = (run.end_s > begin_s) & (run.start_s < begin_s + duration_s)
    return replace(
        run,
        lane=run.lane[keep],
        label=run.label[keep],
        start_s=np.maximum(run.start_s[keep] - begin_s, 0.0),
        end_s=np.minimum(run.end_s[keep] - begin_s, duration_s),
        details=(),
    )


def with_saves(run: Timeline, interval_s: float, save_s: float) -> Timeline:
    """Return a run whose training intervals are cut by checkpoints: `interval_s` of work, then `save_s` of standing."""
    if save_s <= 0 or not math.isfinite(interval_s):
        return run
    rows: list[tuple[str, str, float, float]] = []
    for lane, label, start, end in run.rows():
        if label != "training":
            rows.append((lane, label, start, end))
            continue
        at = start
        while at < end:
            work = min(at + interval_s, end)
            rows.append((lane, "training", at, work))
            if work < end:
                rows.append((lane, "checkpoint stall", work, min(work + save_s, end)))
            at = work + save_s
    return Timeline.of(run.title, rows)
