"""Speed and memory of sampled construction schedules; run: `.venv/bin/python benchmarks/buildout_tasks.py`.

B1: 1,000 samples of the template "retrofit" at 150 MW with 1,000 racks (3 halls, crews of 8 trades): draws, earliest
times, crews where they bind, slack, criticality. Median of 5.

B2: the same of "new_build" at 1 GW with 6,700 racks (20 halls), and of "retrofit" at 1 GW.

B3: 10,000 samples of B1.

B4: what a person asks of one schedule of B2: dates of all milestones, which delay matters most, the critical path.

B5: the critical path method alone, without crews, 1,000 samples of B2.

Bar: 1,000 schedules <= 2 s. The first call, which also reads the tables, is printed apart.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable

from gigawatt.buildout import BuildSchedule, TaskNetwork, build_schedule, sample_durations, schedule_tasks, site_tasks

DAY = 86_400.0


def site(template: str, megawatts: float, racks: int) -> TaskNetwork:
    return site_tasks(template, power_w=megawatts * 1e6, racks=racks)


def timed(call: Callable[[], object], times: int = 5) -> tuple[float, float]:
    wall, cpu = [], []
    for _ in range(times):
        start, busy = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - busy)
    return statistics.median(wall), statistics.median(cpu)


def schedules(name: str, network: TaskNetwork, samples: int = 1000) -> BuildSchedule:
    wall, cpu = timed(lambda: build_schedule(network, samples))
    build = build_schedule(network, samples)
    date = build.date("complete")
    days = "/".join(f"{end / DAY:,.0f}" for end in (date.p10_s, date.p50_s, date.p90_s))
    waited = float((build.samples.wait_s > 0.0).any(axis=1).mean())
    print(
        f"{name} {samples:,} schedules of {len(network)} tasks: {wall:.3f} s wall, {cpu:.3f} s CPU; complete after {days} days (P10/P50/P90); crews bind in {waited:.0%} of the samples"
    )
    return build


def questions(build: BuildSchedule) -> None:
    wall, cpu = timed(lambda: (build.milestones, build.sensitivity(), build.critical_path()))
    print(f"B4 dates, sensitivity, critical path: {wall:.3f} s wall, {cpu:.3f} s CPU")


def without_crews(network: TaskNetwork) -> None:
    ample = site_tasks("new_build", power_w=1e9, racks=6700, crews=dict.fromkeys(network.resources, 6700))
    durations = sample_durations(ample, 1000)
    wall, cpu = timed(lambda: schedule_tasks(ample, durations))
    print(f"B5 critical path method alone: {wall:.3f} s wall, {cpu:.3f} s CPU")


if __name__ == "__main__":
    begun = time.perf_counter()
    build_schedule(site("retrofit", 150, 1000), 1)
    print(f"first call: {time.perf_counter() - begun:.3f} s")
    small, large = site("retrofit", 150, 1000), site("new_build", 1000, 6700)
    schedules("B1", small)
    build = schedules("B2", large)
    schedules("B2", site("retrofit", 1000, 6700))
    schedules("B3", small, 10_000)
    questions(build)
    without_crews(large)
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB at most")
