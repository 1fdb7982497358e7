"""Speed and memory of the event simulation of serving; run: `.venv/bin/python benchmarks/serving_simulation.py`.

W1: the first 10,000 rows, in file order, of the Azure LLM inference trace 2023, conversation (12,424,297 prompt and
2,184,052 output tokens), Poisson at 8 requests/s: times add up Python's random.Random(20261123).expovariate(8.0), one
draw per request. One replica: Llama-3.1-70B in 16 bits over 8 H100 SXM, continuous batching, chunked prefill with 512
tokens a step, at most 256 sequences, KV blocks of 16 tokens, first come first served, no prefix cache. Then 100,000 and
1,000,000 requests: the same rows again and again. Bars: 0.5 s CPU for 10,000 requests, linear, below 1 GB.

W2: 1,000,000 requests (the rows of W1 again and again), Poisson at 8,000 requests/s times 1 + 0.3 sin(2 pi t / T), T =
1,000,000 / 8,000 = 125 s: a day's swing squeezed into the run; seed 1 of NumPy. 1,000 replicas of 8 H100: 680 that prefill
(2,048 tokens a step) and 320 that decode (256 sequences), keys over 50 GB/s with half of the time hidden, least-loaded
router, an autoscaler each (1.2 and 80 requests to a replica, every 2 s, 10 s to start, at least two thirds up). Bar: 60 s on 2 cores.

The step times are a stand-in for 70B over 8 H100: 12 ms for 1 token to 25 ms for 512 and 45 us for each more; a key takes
its 327,680 bytes over 8 x 3.35 TB/s x 0.75; a pair of prefill its 4 x 80 x 8,192 FLOP over 8 x 989 TFLOP/s x 0.5.

CPU seconds of the process, best of 3; the time to compile, or load what was compiled, is printed apart. Engine steps count
each step of each replica, also where many are taken at once.
"""

from __future__ import annotations

import csv
import gzip
import random
import resource
import time
from importlib.resources import files

import numpy as np

from gigawatt.serving import Autoscaler, Pool, Requests, Service, ServingRun, StepTable, simulate

KV_BYTES = 2 * 80 * 8 * 128 * 2.0
PAIR_FLOP = 4 * 80 * 8192.0


def step_table() -> StepTable:
    one, zero = np.ones(1), np.zeros(1)
    return StepTable(
        tokens=np.array([0.0, 1.0, 64.0, 256.0, 512.0, 8192.0]),
        products_s=np.array([[12.0, 12.0, 13.0, 17.0, 25.0, 25.0 + 7680 * 0.045]]) / 1e3,
        head_s=np.zeros((1, 6)),
        decode_key_s=one * KV_BYTES / (8 * 3.35e12 * 0.75),
        decode_window_key_s=zero,
        prefill_pair_s=one * PAIR_FLOP / (8 * 989e12 * 0.5),
        prefill_window_pair_s=zero,
        prefill_token_s=zero,
        step_s=zero,
        sequence_s=zero,
        window=0,
        accelerators=8 * one,
        kv_bytes=one * KV_BYTES,
        sequence_bytes=zero,
        kv_capacity_bytes=one * (8 * 80e9 * 0.9 - 2 * 70.6e9),
    )


def lengths() -> tuple[np.ndarray, np.ndarray]:
    trace = files("gigawatt.serving") / "data" / "traces" / "azure_llm_2023_conv.csv.gz"
    with trace.open("rb") as file, gzip.open(file, "rt") as text:
        rows = [row for row, _ in zip(csv.DictReader(text), range(10_000), strict=False)]
    return tuple(np.array([int(row[name]) for row in rows]) for name in ("context_tokens", "generated_tokens"))


def asked(arrival: np.ndarray) -> Requests:
    prompt, output = (np.resize(column, len(arrival)) for column in lengths())
    return Requests(
        arrival_s=arrival,
        prompt_tokens=prompt,
        output_tokens=output,
        request_class=np.zeros(len(arrival), dtype=np.int64),
    )


def w1(count: int) -> Requests:
    rng, t = random.Random(20261123), 0.0
    times = np.empty(count)
    for i in range(count):
        t += rng.expovariate(8.0)
        times[i] = t
    return asked(times)


def w2(count: int = 1_000_000, rate: float = 8000.0, swing: float = 0.3) -> Requests:
    unit = np.cumsum(np.random.default_rng(1).exponential(1.0, count))
    span = count / rate
    grid = np.linspace(0.0, 1.2 * span, 200_001)
    phase = 2 * np.pi * grid / span
    expected = rate * (grid + swing * span / (2 * np.pi) * (1 - np.cos(phase)))
    return asked(np.interp(unit, expected, grid))


def fleet() -> Service:
    def scaler(target: float, most: int) -> Autoscaler:
        return Autoscaler(target_requests=target, interval_s=2.0, start_s=10.0, least=2 * most // 3, most=most)

    table = step_table()
    return Service(
        pool=Pool(table=table, replicas=680, token_budget=2048, autoscaler=scaler(1.2, 680)),
        decode_pool=Pool(table=table, replicas=320, autoscaler=scaler(80, 320)),
        transfer_bytes_per_s=50e9,
        transfer_overlap=0.5,
    )


def timed(requests: Requests, service: Service, repeats: int = 3) -> tuple[float, float, ServingRun]:
    cpu, wall = [], []
    for _ in range(repeats):
        start, busy = time.perf_counter(), time.process_time()
        run = simulate(requests, service)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - busy)
    return min(cpu), min(wall), run


def say(name: str, requests: Requests, service: Service) -> None:
    cpu, wall, run = timed(requests, service)
    all_of = run.percentiles()["all"]
    steps = int(run.totals.steps.sum())
    print(
        f"{name}: {cpu:.3f} s CPU, {wall:.3f} s wall; {len(requests) / cpu:,.0f} requests/s, {steps:,} engine steps, {steps / cpu:,.0f} steps/s"
    )
    for metric, values in all_of.items():
        print(f"    {metric} p50 {values[0]:.4f}, p90 {values[1]:.4f}, p99 {values[2]:.4f}")
    on = ", ".join(
        f"{name} {low:.0f} to {high:.0f}"
        for name, low, high in zip(run.pools, run.course.replicas_on.min(1), run.course.replicas_on.max(1), strict=True)
    )
    print(f"    replicas on: {on}; served {int(run.served.sum()):,}. {run.status}")
    print(f"    memory so far: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB at most")


if __name__ == "__main__":
    begun = time.perf_counter()
    one = Service(pool=Pool(table=step_table()))
    simulate(w1(10), one)
    print(f"compile, or load what was compiled, and a first result: {time.perf_counter() - begun:.2f} s")
    for size in (10_000, 100_000, 1_000_000):
        say(f"W1 {size:,}", w1(size), one)
    say("W2 1,000,000", w2(), fleet())
