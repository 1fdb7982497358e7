"""Speed and memory of the reliability engine; run: `.venv/bin/python benchmarks/goodput.py`.

G1: one replicate of 1,000,000 H100 (125,000 nodes of 8, racks of 4 nodes, rails of 32, feeds of 16 racks) for 90 days:
the 12 failure processes of data/failures.csv (11 components; racks, rails and feeds as correlated domains; Weibull shape
0.8 for accelerators, memory and cables; 15 % of the interruptions from 1.2 % of the nodes), hot spares with copies in
memory, spares for 99 % of the time, repair of 4 to 24 h, stragglers 0.1 per 1,000 node-days. Median of 5.

G2: 1,000 replicates of 100,000 H100 for 54 days, the same processes, whole-job restart. One thread, then two, with the
same answer.

G3: closed form in columns: 1,000,000 rows of a failure rate, a save and a restart, each at its best interval, eight
shares of wall time each. Best of 3.

Time to compile is printed apart; the machine code is kept between runs. Bars: G1 <= 0.5 s, G2 <= 60 s, G3 >= 1e6 rows/s,
memory below 1 GB.
"""

from __future__ import annotations

import resource
import statistics
import time
from dataclasses import replace

import numpy as np

from gigawatt.reliability import (
    ReliabilityJob,
    default_operations,
    default_tiers,
    fleet_processes,
    goodput_columns,
    recovery_policy,
    simulate,
)

DAY = 86_400.0


def job(accelerators: int, policy: str, days: float) -> ReliabilityJob:
    return ReliabilityJob(
        accelerators=accelerators,
        processes=fleet_processes("H100"),
        policy=recovery_policy(policy, accelerators),
        tiers=default_tiers(),
        state_bytes=5.7e12,
        duration_s=days * DAY,
        operations=replace(default_operations(), straggler_rate_per_s=1e-4 / DAY),
    )


def million() -> None:
    question, wall, cpu = job(1_000_000, "hot_spare", 90), [], []
    for seed in range(5):
        start, busy = time.perf_counter(), time.process_time()
        result = simulate(question, 1, seed)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - busy)
    events = int(result.events[0])
    print(
        f"G1 1,000,000 x 90 days: {statistics.median(wall):.3f} s wall, {statistics.median(cpu):.3f} s CPU a replicate; {events:,} failures, goodput {result.goodput[0]:.3f}"
    )


def thousand() -> None:
    question = job(100_000, "restart", 54)
    answers = []
    for workers in (1, 2):
        start, busy = time.perf_counter(), time.process_time()
        answers.append(simulate(question, 1000, 7, workers=workers))
        wall, cpu = time.perf_counter() - start, time.process_time() - busy
        print(
            f"G2 1,000 x 100,000 x 54 days: {wall:.2f} s wall, {cpu:.2f} s CPU, {workers} thread(s); {int(answers[-1].events.sum()):,} failures, goodput {answers[-1].goodput.mean():.3f}"
        )
    print(f"G2 same answer with one thread and two: {bool((answers[0].seconds == answers[1].seconds).all())}")


def columns(rows: int = 1_000_000) -> None:
    rng = np.random.default_rng(1)
    rate, save, restart = 1 / rng.uniform(100, 1e5, rows), rng.uniform(0.5, 60, rows), rng.uniform(10, 900, rows)
    best = min(_timed(rate, save, restart) for _ in range(3))
    print(f"G3 closed form: {rows / best:,.0f} rows a CPU second")


def _timed(rate: np.ndarray, save: np.ndarray, restart: np.ndarray) -> float:
    busy = time.process_time()
    goodput_columns(rate_per_s=rate, save_s=save, detect_s=5.0, restart_s=restart)
    return time.process_time() - busy


if __name__ == "__main__":
    begun = time.perf_counter()
    simulate(job(1024, "restart", 1), 1)
    print(f"compile, or load what was compiled: {time.perf_counter() - begun:.2f} s")
    million()
    thousand()
    columns()
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB at most")
