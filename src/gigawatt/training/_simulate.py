"""One training step as events: every stage runs its passes in the order of its schedule, as their inputs arrive.

The closed form of a step (docs/science.md 5, 7.4) says how long; this says when. Without jitter and with equal stages
the two agree within 2 % (the tests hold it). Passes: forward F, backward for the inputs B, backward for the weights W
(part of B where the schedule does not split it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gigawatt.timeline import Timeline
from gigawatt.training._pipeline import interleaved_round

Array = NDArray[np.float64]
EXCHANGES = ("tensor-parallel", "context-parallel", "expert-parallel")
# Stages whose lanes a timeline of more intervals than asked for keeps.
SHOWN_STAGES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPhases:
    """What one step is made of, seconds.

    `forward`, `backward` and `weight` (p, v) are computing per stage, chunk and micro-batch; `exposed_forward` and
    `exposed_backward` map EXCHANGES to (p, v) seconds of communication in a pass. `send_s` is what a boundary between
    stages shows of a send, `tail` what follows the last backward pass on every stage, by label. `jitter` is the
    relative standard deviation of a pass.
    """

    micro_batches: int
    schedule: str
    forward: Array
    backward: Array
    weight: Array
    exposed_forward: Mapping[str, Array] = field(default_factory=dict)
    exposed_backward: Mapping[str, Array] = field(default_factory=dict)
    send_s: float = 0.0
    tail: Mapping[str, float] = field(default_factory=dict)
    jitter: float = 0.0
    seed: int = 0

    @property
    def stages(self) -> int:
        """Pipeline stages."""
        return int(self.forward.shape[0])

    @property
    def chunks(self) -> int:
        """Chunks per stage."""
        return int(self.forward.shape[1])


Task = tuple[str, int, int]  # pass, micro-batch, chunk


def stage_order(stage: int, stages: int, chunks: int, micro_batches: int) -> list[Task]:
    """Return the passes of a stage in order.

    1F1B (p - i - 1 forwards first), interleaved 1F1B in rounds of p micro-batches or a few more (arXiv 2104.04473), and ZB-H1,
    which keeps the order and lets weight passes wait for gaps (arXiv 2401.10241).
    """
    total = micro_batches * chunks
    passes = _interleaved(stages, chunks, micro_batches)
    forwards = passes
    backwards = [(micro, chunks - 1 - chunk) for micro, chunk in passes]
    if chunks == 1:
        warm = min(stages - stage - 1, total)
    else:
        warm = min(2 * (stages - stage - 1) + (chunks - 1) * int(interleaved_round(micro_batches, stages)), total)
    order: list[Task] = [("F", *forwards[k]) for k in range(warm)]
    for k in range(total - warm):
        order.append(("F", *forwards[warm + k]))
        order.append(("B", *backwards[k]))
    order += [("B", *backwards[k]) for k in range(total - warm, total)]
    return order


def _interleaved(stages: int, chunks: int, micro_batches: int) -> list[tuple[int, int]]:
    """Return (micro-batch, chunk) of the forward passes in order: rounds of micro-batches through one chunk after the
    other.
    """
    order: list[tuple[int, int]] = []
    for round_ in np.array_split(np.arange(micro_batches), max(micro_batches // stages, 1)):
        order += [(micro, chunk) for chunk in range(chunks) for micro in round_.tolist()]
    return order


class _Run:
    """The state of a simulation: what each stage has done, when results arrive, and the intervals so far."""

    def __init__(self, phases: StepPhases, record: Sequence[int]) -> None:
        self.phases = phases
        self.free = [0.0] * phases.stages
        self.record = frozenset(record)
        self.rows: list[tuple[int, str, str, float, float, str]] = []
        self.done: dict[tuple[str, int, int, int], float] = {}
        # weight passes that wait, with the seconds that are left of them: they consist of many layers' products
        self.waiting: list[list[tuple[Task, float]]] = [[] for _ in range(phases.stages)]
        self.split = phases.schedule != "1f1b"
        self.random = np.random.default_rng(phases.seed)

    def ready(self, stage: int, task: Task) -> float | None:
        """Return when the inputs of a pass are there, None where what makes them has not run yet."""
        name, micro, chunk = task
        p, v = self.phases.stages, self.phases.chunks
        if name == "F":
            if stage == 0 and chunk == 0:
                return 0.0
            before = (stage - 1, chunk) if stage else (p - 1, chunk - 1)
            arrived = self.done.get(("F", micro, *before))
        elif stage == p - 1 and chunk == v - 1:
            return self.done.get(("F", micro, stage, chunk))
        else:
            after = (stage + 1, chunk) if stage < p - 1 else (0, chunk + 1)
            arrived = self.done.get(("B", micro, *after))
        if arrived is None:
            return None
        return arrived + (self.phases.send_s if p > 1 else 0.0)

    def run(self, stage: int, task: Task, at: float, part: float | None = None) -> None:
        """Execute one pass on a stage from a time on: computing, then what its exchange shows. `part` seconds of a
        weight pass where it is cut.
        """
        name, micro, chunk = task
        phases = self.phases
        scale = 1.0 + phases.jitter * abs(float(self.random.standard_normal())) if phases.jitter else 1.0
        parts: list[tuple[str, str, float]] = []
        if name == "F":
            parts.append(("compute", "forward", float(phases.forward[stage, chunk])))
            exposed = phases.exposed_forward
        elif name == "B":
            whole = float(phases.backward[stage, chunk])
            parts.append(("compute", "backward", whole if self.split else whole + float(phases.weight[stage, chunk])))
            exposed = phases.exposed_backward
        else:
            seconds = float(phases.weight[stage, chunk]) if part is None else part
            parts.append(("compute", "weight gradient", seconds))
            exposed = {}
        parts += [(kind, name_of(name), float(seconds[stage, chunk])) for kind, seconds in exposed.items()]
        start = at
        for lane, label, seconds in parts:
            end = start + seconds * scale
            if stage in self.record and end > start:
                of = f"micro-batch {micro + 1}" + (f", chunk {chunk + 1}" if phases.chunks > 1 else "")
                self.rows.append((stage, lane, label, start, end, of))
            start = end
        self.free[stage] = start
        if name != "W":
            self.done[name, micro, stage, chunk] = start
        if name == "B" and self.split:
            self.waiting[stage].append((("W", micro, chunk), float(phases.weight[stage, chunk])))

    def fill(self, stage: int, until: float) -> None:
        """Run waiting weight passes, whole or in part, until the next pass can start: as much as one of them, the
        published order (arXiv 2401.10241, ZB-H1).
        """
        until = min(until, self.free[stage] + float(self.phases.weight[stage].max()))
        while self.waiting[stage] and self.free[stage] < until * (1 - 1e-12):
            task, left = self.waiting[stage].pop(0)
            part = min(left, until - self.free[stage])
            self.run(stage, task, self.free[stage], part)
            if left - part > 1e-12 * left:
                self.waiting[stage].insert(0, (task, left - part))

    def drain(self, stage: int) -> None:
        """Run what is left of the weight passes."""
        for task, left in self.waiting[stage]:
            self.run(stage, task, self.free[stage], left)
        self.waiting[stage].clear()


def name_of(task: str) -> str:
    """Return the label of a pass's exchange."""
    return {"F": "forward", "B": "backward"}.get(task, "weight gradient")


def _execute(phases: StepPhases, record: Sequence[int]) -> tuple[_Run, float]:
    """Return the run and the end of its last pass."""
    p = phases.stages
    if phases.schedule == "dualpipe" and p > 1:
        return _execute_dualpipe(phases, record)
    orders = [stage_order(i, p, phases.chunks, phases.micro_batches) for i in range(p)]
    run, position = _Run(phases, record), [0] * p
    pending = set(range(p))
    while pending:
        moved = False
        for stage in sorted(pending):
            order = orders[stage]
            while position[stage] < len(order):
                task = order[position[stage]]
                ready = run.ready(stage, task)
                if ready is None:
                    break
                if run.waiting[stage] and ready > run.free[stage]:
                    run.fill(stage, ready)
                run.run(stage, task, max(run.free[stage], ready))
                position[stage] += 1
                moved = True
            if position[stage] == len(order):
                run.drain(stage)
                pending.discard(stage)
        if not moved and pending:
            raise ValueError("the schedule waits for itself: no stage can run its next pass")
    return run, max(run.free)


def _execute_dualpipe(phases: StepPhases, record: Sequence[int]) -> tuple[_Run, float]:
    """Return the run of DualPipe: half of the micro-batches enter at either end (arXiv 2412.19437).

    Every stage holds the chunk of both directions and takes what is ready, backwards before forwards, at most as many
    micro-batches in flight per direction as 1F1B has (p + 1 together), weight passes when nothing else can run: a
    greedy order, not the published table.
    """
    p, m = phases.stages, phases.micro_batches
    run = _Run(phases, record)
    halves = (m - m // 2, m // 2)
    next_task = {(d, s, name): 0 for d in (0, 1) for s in range(p) for name in "FB"}
    finished: dict[tuple[str, int, int, int], float] = {}
    weights: list[int] = [0] * p
    left = [2 * m] * p

    def ready(direction: int, stage: int, name: str) -> float | None:
        micro = next_task[direction, stage, name]
        if micro >= halves[direction]:
            return None
        place = stage if direction == 0 else p - 1 - stage
        step = 1 if direction == 0 else -1
        if name == "F":
            if micro - next_task[direction, stage, "B"] >= p - place:
                return None
            return 0.0 if place == 0 else finished.get(("F", direction, stage - step, micro))
        if place == p - 1:
            return finished.get(("F", direction, stage, micro))
        return finished.get(("B", direction, stage + step, micro))

    while any(left) or any(weights):
        choice: tuple[float, int, int, str, int] | None = None
        for stage in range(p):
            for rank, name in enumerate("BF"):
                for direction in (0, 1):
                    at = ready(direction, stage, name)
                    if at is not None:
                        option = (max(at, run.free[stage]), rank, stage, name, direction)
                        choice = option if choice is None or option < choice else choice
        idle = [s for s in range(p) if weights[s] and (choice is None or run.free[s] < choice[0])]
        if idle:
            stage = min(idle, key=lambda s: run.free[s])
            run.run(stage, ("W", 0, 0), run.free[stage])
            weights[stage] -= 1
            continue
        if choice is None:
            raise ValueError("the schedule waits for itself: no stage can run its next pass")
        at, _, stage, name, direction = choice
        micro = next_task[direction, stage, name]
        run.run(stage, (name, micro, 0), at)
        run.waiting[stage].clear()
        finished[name, direction, stage, micro] = run.free[stage]
        next_task[direction, stage, name] += 1
        left[stage] -= 1
        weights[stage] += name == "B"
    return run, max(run.free)


def simulated_seconds(phases: StepPhases) -> float:
    """Return how long the step takes, seconds. Raises ValueError for an order of passes that waits for itself."""
    return _execute(phases, ())[1] + sum(phases.tail.values())


def simulate_step(phases: StepPhases, title: str = "one training step", most_intervals: int = 20_000) -> Timeline:
    """Return the step as a timeline: per stage one lane for computing, one per exchange, one for waiting.

    The lanes of a stage tile the step. A step of more than `most_intervals` intervals keeps the lanes of the first,
    second, middle and last stage; its times are those of the whole. Raises ValueError as `simulated_seconds`.
    """
    p = phases.stages
    each = phases.micro_batches * phases.chunks * (2 + len(phases.exposed_forward) + len(phases.exposed_backward))
    stages = range(p) if p * each <= most_intervals or p <= SHOWN_STAGES else sorted({0, 1, p // 2, p - 1})
    run, end = _execute(phases, stages)
    rows: list[tuple[str, str, float, float]] = []
    details: list[str] = []
    for stage in stages:
        name = f"stage {stage + 1}"
        mine = sorted((row for row in run.rows if row[0] == stage), key=lambda row: row[3])
        at = 0.0
        for _, lane, label, start, stop, of in mine:
            if start > at + 1e-12:
                rows.append((f"{name} waiting", "waiting for the pipeline", at, start))
                details.append("")
            rows.append((f"{name} {lane}", label, start, stop))
            details.append(of)
            at = stop
        if end > at + 1e-12:
            rows.append((f"{name} waiting", "waiting for the pipeline", at, end))
        after = end
        for label, seconds in phases.tail.items():
            if seconds > 0:
                rows.append((f"{name} {_lane_of(label)}", label, after, after + seconds))
                after += seconds
        details += [""] * (len(rows) - len(details))
    return Timeline.of(title, rows, tuple(details))


def _lane_of(label: str) -> str:
    return label if "communication" in label else "compute" if label == "optimizer" else "waiting"
