"""Speed and memory of build-out schedules; run: `.venv/bin/python benchmarks/buildout_schedule.py [B1 B2 B3]`.

S: 48 months from January 2025, all numbers drawn from seed 0 around the values below.
Six chips, each a quarter (0, 0, 2, 4, 7, 10) later than the last: useful 0.40 x 1.45^i PFLOP/s, 1.3 x 1.22^i kW of IT at
the peak, 0.88 of it in the mean, 38,000 x 1.18^i USD at the start and 1.5 % less every month. Three suppliers, two chips
each: 6,000 to 14,000 a month at full rate, reached linearly over 9 months from first delivery; orders 3 to 6 months ahead,
deposit 20 %, a ceiling of 300,000 orders for the first chip of each.
Three sites: PUE 1.12 to 1.3; grid of 40 MW, +60 MW and +150 MW after 8 to 14 and 20 to 30 months, 0.045 to 0.07 USD/kWh;
halls of 120 MW, +200 and +300 MW; cooling the same in other months, and chillers of 25 MW; crews of 12,000 to 25,000 a
month; a network for 150,000 to 400,000.
Eight sources of power besides the three grids, on the sites in turn: turbines, engines, fuel cells, batteries with solar,
5 to 50 MW a unit, up to 4 to 16 units, 2 to 14 months, 1.1 to 2.4 million USD/MW, 0.05 to 0.11 USD/kWh.
Cash 5 billion, floor 0.2 billion, 5 billion every half year, burn 0.5 billion a year, debt up to 8 billion from month 12
at 9 %.

B1: S with units that can be parts, an exact linear programme, most compute by the end. Median of 5. Bar 2 s.
B2: S with whole units, to a gap of 1 %. Median of 3. Bar 20 s.
B3: 200 samples of delays of S, orders free: in each the plan as it stands, the robust plan and the best plan for what came,
    600 programmes with units that can be parts, one thread. Bar 120 s.
B4: B3 with whole units, 20 samples (no bar).

Wall and CPU seconds; each workload in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date

import numpy as np

from gigawatt.buildout import (
    BuildPlan,
    BuildQuestion,
    BuildSite,
    Calendar,
    ChipKind,
    Expansion,
    Floats,
    Goal,
    Money,
    Offer,
    schedule,
    uncertain,
)

T, MW, KWH = 48, 1e6, 3.6e6
LAUNCH = (0, 0, 6, 12, 21, 30)
SOURCES = ("turbines", "engines", "fuel cells", "solar and batteries")
GOAL = Goal("compute", T - 1)


def steps(first: float, *rises: tuple[int, float]) -> Floats:
    """A limit that rises by an amount from a month on."""
    limit = np.full(T, first)
    for month, rise in rises:
        limit[month:] += rise
    return limit


def instance(whole: bool, seed: int = 0) -> BuildQuestion:
    """Return S, with whole units or parts of them."""
    rng = np.random.default_rng(seed)
    months = np.arange(T)
    nothing = np.zeros(T)
    chips, offers = [], []
    for i, launch in enumerate(LAUNCH):
        draw = 1.35 * 1.22**i * 1e3 * rng.uniform(0.95, 1.05)
        chips.append(
            ChipKind(
                name=f"chip {i}",
                useful_flops=0.4e15 * 1.45**i * rng.uniform(0.95, 1.05),
                it_w=draw,
                mean_it_w=0.88 * draw,
                upkeep_usd_per_s=0.05 * 38e3 * 1.18**i / (365.25 * 86_400),
                worth_usd_per_s=nothing,
                resale_usd=5e3,
            )
        )
        ramp = np.clip((months - launch + 1) / 9, 0.0, 1.0)
        offers.append(
            Offer(
                name=f"supplier {i % 3}: chip {i}",
                chip=f"chip {i}",
                price_usd=np.asarray(38e3 * 1.18**i * 0.985**months, dtype=np.float64),
                supply=np.where(months >= launch, ramp * rng.uniform(6e3, 14e3), 0.0),
                lead=int(rng.integers(3, 7)),
                most=300e3 if i < 3 else np.inf,
                first_delivery=launch,
                deposit=0.2,
            )
        )
    sites = []
    for s in range(3):
        units = [_source(rng, k, whole) for k in range(8) if k % 3 == s]
        early, late = int(rng.integers(8, 15)), int(rng.integers(20, 31))
        units.append(
            Expansion(
                name="chillers",
                resource="cooling",
                unit=25 * MW,
                lead=6,
                most=np.full(T, 12.0),
                given=nothing,
                price_usd=12e6,
                whole=whole,
            )
        )
        sites.append(
            BuildSite(
                name=f"site {s}",
                pue=float(rng.uniform(1.12, 1.3)),
                grid=steps(40 * MW, (early, 60 * MW), (late, 150 * MW)),
                grid_usd_per_j=float(rng.uniform(0.045, 0.07)) / KWH,
                rent_usd_per_s=0.5,
                limits={
                    "hall": steps(120 * MW, (early - 3, 200 * MW), (late - 5, 300 * MW)),
                    "cooling": steps(80 * MW, (early, 150 * MW), (late, 250 * MW)),
                    "installation": np.full(T, rng.uniform(12e3, 25e3)),
                    "network": np.full(T, rng.uniform(150e3, 400e3)),
                },
                expansions=tuple(units),
            )
        )
    return BuildQuestion(
        calendar=Calendar(date(2025, 1, 1), T),
        chips=tuple(chips),
        offers=tuple(offers),
        sites=tuple(sites),
        money=Money(
            cash_usd=5e9,
            floor_usd=0.2e9,
            funding_usd=np.where(months % 6 == 3, 5e9, 0.0),
            burn_usd=np.full(T, 0.5e9 / 12),
            debt_usd=np.where(months >= 12, 8e9, 0.0),
            interest=0.09,
        ),
        discount=0.1,
    )


def _source(rng: np.random.Generator, k: int, whole: bool) -> Expansion:
    size = float(rng.uniform(5, 50)) * MW
    return Expansion(
        name=f"{SOURCES[k % 4]} {k}",
        resource="power",
        unit=size,
        lead=int(rng.integers(2, 15)),
        most=np.full(T, float(rng.integers(4, 17))),
        given=np.zeros(T),
        price_usd=float(rng.uniform(1.1, 2.4)) * size,
        energy_usd_per_j=float(rng.uniform(0.05, 0.11)) / KWH,
        whole=whole,
    )


def timed(call: Callable[[], BuildPlan], times: int) -> tuple[str, BuildPlan]:
    wall, cpu = [], []
    for _ in range(times):
        start, busy = time.perf_counter(), time.process_time()
        plan = call()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - busy)
    return f"{statistics.median(wall):.2f} s wall, {statistics.median(cpu):.2f} s CPU", plan


def said(plan: BuildPlan) -> str:
    columns, rows = plan.programme.lp.size
    power = sum(plan.available[key].max() for key in plan.available if key[1] == "power") / 1e9
    first = [found[0].kind for found in plan.bindings if found]
    kinds = ", ".join(f"{kind} {first.count(kind)}" for kind in sorted(set(first)))
    return (
        f"{columns:,} columns, {rows:,} rows, gap {plan.solution.gap:.2%}, {plan.useful_flop.sum():.4g} FLOP, "
        f"{plan.fleet.max():,.0f} accelerators, {power:.2f} GW; months by first limit: {kinds}"
    )


def linear() -> None:
    used, plan = timed(lambda: schedule(instance(False), GOAL, usd_per_flop=1e-18), 5)
    print(f"B1 linear: {used}; {said(plan)}", end="")


def whole() -> None:
    used, plan = timed(lambda: schedule(instance(True), GOAL, usd_per_flop=1e-18), 3)
    print(f"B2 whole units to 1 %: {used}; {said(plan)}", end="")


def stochastic(units: bool = False, samples: int = 200) -> None:
    question = instance(units)
    plan = schedule(question, GOAL)
    start, busy = time.perf_counter(), time.process_time()
    found = uncertain(question, plan, {}, samples=samples)
    wall, cpu = time.perf_counter() - start, time.process_time() - busy
    flop = {name: f"{np.median(each.flop):.4g}" for name, each in found.outcomes.items()}
    print(
        f"{'B4' if units else 'B3'} {samples} samples: {wall:.1f} s wall, {cpu:.1f} s CPU; median FLOP {flop}",
        end="",
    )


def stochastic_whole() -> None:
    stochastic(True, 20)


WORKLOADS = {"B1": linear, "B2": whole, "B3": stochastic, "B4": stochastic_whole}

if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1] in WORKLOADS:
        WORKLOADS[sys.argv[1]]()
        print(f"; {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")
    else:
        for name in sys.argv[1:] or WORKLOADS:
            subprocess.run([sys.executable, __file__, name], check=True)
