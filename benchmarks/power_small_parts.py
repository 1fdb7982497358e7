"""Speed of the small parts of the power room: caps, cooling, series and renewables (python benchmarks/power_small_parts.py).

Workloads: one million caps of one chip (B300, dense products); one year of cooling in Dallas (8,760 h) by each kind of plant; a CSV file of
8,760 rows; the packaged series on one UTC grid; a year of solar power (position, plane, cell, DC and AC) with a tracker. CPU
seconds of the process, best of five. For comparison, the same year of solar power by pvlib 0.16.1 took 9.7 ms on the machine where this took 2.1 ms.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from gigawatt.power import (
    COOLING_KINDS,
    SolarField,
    align,
    chip_power,
    cool_year,
    cooling_plant,
    packaged_names,
    packaged_series,
    parse_series,
    pv_power,
    rate_at_cap,
)

START = datetime(2023, 1, 1, tzinfo=UTC)


def best(work: Callable[[], object], repeats: int = 5) -> float:
    seconds = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return min(seconds)


def main() -> None:
    caps = np.random.default_rng(0).uniform(100, 1_100, 1_000_000)
    chip = chip_power("B300")
    print(f"one million caps: {1e3 * best(lambda: rate_at_cap(chip, caps)):.1f} ms")
    air, humidity = (packaged_series(f"dallas 2023 {name}").values for name in ("temperature", "relative humidity"))
    for kind in COOLING_KINDS:
        plant = cooling_plant(kind)
        print(f"a year of {kind}: {1e3 * best(lambda plant=plant: cool_year(plant, 1e8, air, humidity)):.2f} ms")
    rows = [f"{(START + timedelta(hours=h)).isoformat()},{h}" for h in range(8_760)]
    text = "\n".join(["time,price", *rows])
    print(f"reading 8,760 rows: {1e3 * best(lambda: parse_series(text, 'prices.csv', 'W')):.1f} ms")
    series = [packaged_series(name) for name in packaged_names()]
    print(f"{len(series)} series on one grid: {1e3 * best(lambda: align(series, START, 8_760, wrap=True)):.1f} ms")
    weather = [
        packaged_series(f"panhandle 2012 {name}").values for name in ("ghi", "dni", "dhi", "temperature", "wind 80 m")
    ]
    field = SolarField(latitude_deg=35.2, longitude_deg=-101.9)
    print(f"a year of solar power: {1e3 * best(lambda: pv_power(*weather, field, START)):.1f} ms")


if __name__ == "__main__":
    main()
