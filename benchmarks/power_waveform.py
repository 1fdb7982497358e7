"""Speed and memory of waveforms, smoothing and a machine's day; run: `.venv/bin/python benchmarks/power_waveform.py`.

P6: 12,500 nodes, 3,600 samples of 1 s; a node draws 8.4 kW for 4 s of every 5 s, else 4.0 kW, each with a random phase;
exact means, extremes inside every sample. Bar 1e9 node-samples/s per core. The nodes are merged into one step of 25,000
changes (sorted), whose sums are looked up: P6b is the same with a duration that is ten times as long.

P6s: the same with the step of one job of 100,000 accelerators at 1 ms for 1,000 s: samples/s.

P7: 360,000 samples of 10 ms; 130 MW and 50 MW more for 4 s of every 5 s; filter 60 s, 1 MW/s, 150 MW / 300 MWh, return of
charge in an hour. Bar 5e7 steps/s per core; swing 50 MW in, 0.67 MW out.

P8, P9: a day of 9,472 nodes at 15 s and at 1 s: 1,000 jobs (seed 42; Poisson arrivals over the day, lognormal nodes of
median 32 and sigma 1.4 up to 4,096, durations uniform 10 to 240 minutes), first come first served; a node idles at 626 W,
runs 2,700 W for 4 s of every 5 s and 1,300 W else (a quarter of the jobs flat at 1,800 W); losses of 10 W + 4 % + 1e-5/W
per node. Scheduling, losses and all samples are in the time. Bars 1 s and 10 s, 200 MB.

Y: a year of the P6s job at 1 s in blocks, resampled to 15 min.

CPU seconds, best of 5 (P8, P9: of 3; Y: once); the time to compile, or load what was compiled, is printed apart.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

import numpy as np

from gigawatt.power import (
    Controller,
    ConversionLoss,
    JobList,
    JobLoad,
    StepProfile,
    Store,
    machine_power,
    resample,
    schedule,
    smooth,
    waveform,
)

DAY = 86_400.0
NODE = StepProfile.two_level(8400.0, 4000.0, 5.0, 0.8)


def best(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        busy = time.process_time()
        work()
        times.append(time.process_time() - busy)
    return min(times)


def drain(blocks: object) -> float:
    return sum(block.energy_j for block in blocks)


def phases(duration_s: float) -> float:
    phase = np.random.default_rng(0).uniform(0, 5, 12_500)
    job = JobLoad(profiles=(NODE,), accelerators=(12_500.0,), shifts_s=-phase, shares=np.full(12_500, 1 / 12_500))
    return drain(waveform([job], duration_s, 1.0))


def one_job(duration_s: float, resolution_s: float) -> object:
    job = JobLoad(profiles=(NODE,), accelerators=(12_500.0,))
    return waveform([job], duration_s, resolution_s)


def p7() -> None:
    t = np.arange(360_000) * 0.01
    load = 130e6 + 50e6 * ((t % 5) < 4 - 1e-9)
    store = Store(discharge_w=150e6, charge_w=150e6, energy_j=300 * 3.6e9)
    controller = Controller(ramp_up_w_per_s=1e6, ramp_down_w_per_s=1e6, filter_s=60, return_s=3600)
    swing = smooth(load, 0.01, store, controller).swing_w(5.0)
    seconds = best(lambda: smooth(load, 0.01, store, controller), 5)
    print(f"P7: {360_000 / seconds:.3g} steps/s, swing {swing / 1e6:.2f} MW")


def day(resolution_s: float) -> None:
    rng = np.random.default_rng(42)
    jobs = JobList(
        arrival_s=np.sort(rng.uniform(0, DAY, 1000)),
        nodes=np.clip(rng.lognormal(np.log(32), 1.4, 1000), 1, 4096).astype(np.int64),
        duration_s=rng.uniform(600, 14_400, 1000),
        profile=(rng.uniform(size=1000) < 0.25).astype(np.int64),
        profiles=(StepProfile.two_level(2700.0, 1300.0, 5.0, 0.8), StepProfile.flat(1800.0)),
    )
    loss = ConversionLoss(standing_w=10, proportional=0.04, quadratic_per_w=1e-5)

    def run() -> float:
        return drain(machine_power(jobs, schedule(jobs, 9472), 9472, 626.0, DAY, resolution_s, loss=loss))

    seconds = best(run, 3)
    print(
        f"{'P8' if resolution_s > 1 else 'P9'} a day at {resolution_s:g} s: {seconds:.3f} s CPU, {run() / 3.6e9:.1f} MWh"
    )


def main() -> None:
    begun = time.process_time()
    phases(10.0), drain(one_job(10.0, 0.1)), smooth(np.ones(10), 1.0, Store.boundless(), Controller())
    print(f"import, and compile or load: {time.process_time() - begun:.2f} s CPU")
    for name, duration in (("P6", 3600.0), ("P6b", 36_000.0)):
        print(f"{name}: {12_500 * duration / best(lambda d=duration: phases(d), 5):.3g} node-samples/s")
    print(f"P6s: {1e6 / best(lambda: drain(one_job(1000.0, 0.001)), 5):.3g} samples/s")
    p7()
    for resolution in (15.0, 1.0):
        day(resolution)
    if "--year" in sys.argv:
        seconds = best(lambda: resample(one_job(365 * DAY, 1.0), 900.0), 1)
        print(f"Y: a year at 1 s in {seconds:.1f} s CPU")
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB at most")


if __name__ == "__main__":
    main()
