"""Hourly (or other) series of prices, carbon, weather and load: one type, packaged examples, one grid for all.

    packaged_series("ercot 2023 price") ──▶ Series ──▶ align([...], start, steps) ──▶ arrays (T)

A value holds for the step that begins at its time. Times are UTC. A series without a start is a year of 8,760 hours without a
calendar (a typical year): its first value is the hour from midnight UTC of 1 January, it repeats every year, and 29 February takes
the hours of the 28th. Units are SI: USD/J, kg/J, K, W/m2, m/s, Pa.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
HOUR, YEAR_HOURS = 3_600.0, 8_760
KELVIN = 273.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Values (T) at a fixed step, with unit, origin and licence. `start` is the UTC time of the first, None for a
    typical year.

    Raises ValueError for values that are not finite, a step that is not positive, a start that is not UTC, and a
    typical year that is not 8,760 hours.
    """

    name: str
    values: Array = field(repr=False)
    unit: str
    step_s: float = HOUR
    start: datetime | None = None
    source: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or not len(self.values) or not np.isfinite(self.values).all():
            raise ValueError(f"{self.name}: a series needs one row of finite numbers")
        if not self.step_s > 0:
            raise ValueError(f"{self.name}: the step must be positive, not {self.step_s} s")
        if self.start is not None and self.start.utcoffset() != timedelta(0):
            raise ValueError(f"{self.name}: the start must be in UTC, not {self.start}")
        if self.start is None and (len(self.values), self.step_s) != (YEAR_HOURS, HOUR):
            raise ValueError(
                f"{self.name}: a series without a start is a year of {YEAR_HOURS} hours, not {len(self.values)} steps of {self.step_s} s"
            )

    def at(self, start: datetime, steps: int, step_s: float = HOUR, *, wrap: bool = False) -> Array:
        """Return the values (steps) on a grid from `start`: means of finer steps, coarser ones held.

        `wrap` goes round where the grid leaves the series by less than its length. Raises ValueError where it leaves it
        otherwise, where grid and series do not share step boundaries, and for a start without a time zone.
        """
        if start.utcoffset() is None:
            raise ValueError(f"a grid starts at a time with its time zone, not {start}")
        start = start.astimezone(UTC)
        if self.start is None:
            fine, offset = _typical_year(self.values, start, steps * step_s), 0.0
        else:
            fine, offset = self.values, (start - self.start).total_seconds()
        inner = min(self.step_s, step_s)
        per_value, per_step = self.step_s / inner, step_s / inner
        first = offset / inner
        if any(abs(x - round(x)) > 1e-9 for x in (per_value, per_step, first)):
            raise ValueError(
                f"{self.name}: steps of {self.step_s} s from {self.start} do not fit a grid of {step_s} s from {start}"
            )
        index = (round(first) + np.arange(steps * round(per_step))) // round(per_value)
        if not wrap and (index[0] < 0 or index[-1] >= len(fine)):
            end = (self.start or start) + timedelta(seconds=self.step_s * len(fine))
            raise ValueError(
                f"{self.name} runs from {self.start} to {end}, not over {steps} steps of {step_s} s from {start}"
            )
        if wrap and (index[0] <= -len(fine) or index[-1] >= 2 * len(fine)):
            raise ValueError(f"{self.name}: the grid from {start} is more than one length of the series away")
        return np.asarray(fine[index % len(fine)].reshape(steps, -1).mean(axis=1))


def align(
    series: Sequence[Series], start: datetime, steps: int, step_s: float = HOUR, *, wrap: bool = False
) -> tuple[Array, ...]:
    """Return the values (steps) of each series on one UTC grid; see `Series.at`."""
    return tuple(each.at(start, steps, step_s, wrap=wrap) for each in series)


def _typical_year(values: Array, start: datetime, duration_s: float) -> Array:
    """Return the hours from the hour of `start` on, year after year, 29 February as the 28th."""
    if start.replace(minute=0, second=0, microsecond=0) != start:
        raise ValueError(f"a typical year is laid on full hours, not on {start}")
    first = np.datetime64(start.replace(tzinfo=None), "h")
    hours = first + np.arange(int(np.ceil(duration_s / HOUR)))
    years = hours.astype("M8[Y]")
    of_year = (hours - years.astype("M8[h]")).astype(np.int64)
    days = ((years + 1).astype("M8[D]") - years.astype("M8[D]")).astype(np.int64)
    before_29_february = 59 * 24
    return np.asarray(values[np.where((days == 366) & (of_year >= before_29_february), of_year - 24, of_year)])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Packaged:
    file: str
    column: str
    unit: str
    factor: float = 1.0
    offset: float = 0.0


_PRICE, _WEATHER, _SUN = (
    "ercot_2023_day_ahead_price.csv",
    "dallas_2023_weather.csv",
    "texas_panhandle_2012_solar_wind.csv",
)
_CARBON = "odbl/ercot_2023_carbon_intensity.csv"
_NAMES: Mapping[str, _Packaged] = {
    "ercot 2023 price": _Packaged(file=_PRICE, column="price_usd_per_mwh", unit="USD/J", factor=1 / 3.6e9),
    "ercot 2023 carbon direct": _Packaged(file=_CARBON, column="direct_gco2_per_kwh", unit="kg/J", factor=1e-3 / 3.6e6),
    "ercot 2023 carbon life cycle": _Packaged(
        file=_CARBON, column="lifecycle_gco2_per_kwh", unit="kg/J", factor=1e-3 / 3.6e6
    ),
    "ercot 2023 renewable share": _Packaged(file=_CARBON, column="renewable_percent", unit="", factor=0.01),
    "dallas 2023 temperature": _Packaged(file=_WEATHER, column="temperature_c", unit="K", offset=KELVIN),
    "dallas 2023 relative humidity": _Packaged(file=_WEATHER, column="relative_humidity_percent", unit="", factor=0.01),
    "dallas 2023 wind 10 m": _Packaged(file=_WEATHER, column="wind_speed_10m_kmh", unit="m/s", factor=1 / 3.6),
    "panhandle 2012 ghi": _Packaged(file=_SUN, column="ghi_w_m2", unit="W/m2"),
    "panhandle 2012 dni": _Packaged(file=_SUN, column="dni_w_m2", unit="W/m2"),
    "panhandle 2012 dhi": _Packaged(file=_SUN, column="dhi_w_m2", unit="W/m2"),
    "panhandle 2012 temperature": _Packaged(file=_SUN, column="temperature_c", unit="K", offset=KELVIN),
    "panhandle 2012 wind 80 m": _Packaged(file=_SUN, column="wind_speed_80m_ms", unit="m/s"),
    "panhandle 2012 wind 100 m": _Packaged(file=_SUN, column="wind_speed_100m_ms", unit="m/s"),
    "panhandle 2012 temperature 80 m": _Packaged(file=_SUN, column="temperature_80m_c", unit="K", offset=KELVIN),
    "panhandle 2012 pressure 80 m": _Packaged(file=_SUN, column="pressure_80m_atm", unit="Pa", factor=101_325.0),
}
# file: source, licence, first hour in UTC (None: typical year), hours that local time is behind UTC.
_ORIGIN: Mapping[str, tuple[str, str, datetime | None, int]] = {
    _PRICE: (
        "ERCOT public market data, in repository HewlettPackard/sustain-cluster",
        "MIT (collection); public market data",
        datetime(2023, 1, 1, tzinfo=UTC),
        0,
    ),
    _CARBON: (
        "Electricity Maps, in repository HewlettPackard/sustain-cluster",
        "ODbL 1.0",
        datetime(2023, 1, 1, tzinfo=UTC),
        0,
    ),
    _WEATHER: (
        "Open-Meteo, in repository HewlettPackard/sustain-cluster",
        "CC BY 4.0",
        datetime(2023, 1, 1, 5, tzinfo=UTC),
        0,
    ),
    _SUN: ("NREL NSRDB (PSM v3) and WIND Toolkit, in repository NREL/HOPP", "BSD-3-Clause, attribution", None, 6),
}


def packaged_names() -> tuple[str, ...]:
    """Return the names that `packaged_series` knows."""
    return tuple(_NAMES)


@cache
def packaged_series(name: str) -> Series:
    """Return a packaged year (data/series/README.md) in SI units and UTC. Raises ValueError with the known names."""
    if name not in _NAMES:
        raise ValueError(f"unknown series {name!r}; known: {', '.join(_NAMES)}")
    entry = _NAMES[name]
    source, licence, start, behind = _ORIGIN[entry.file]
    text = files("gigawatt.power").joinpath("data", "series", *entry.file.split("/")).read_text(encoding="utf-8")
    raw = np.array([float(row[entry.column]) for row in csv.DictReader(io.StringIO(text))])
    values = np.roll(raw, behind) * entry.factor + entry.offset
    values.setflags(write=False)
    return Series(name=name, values=values, unit=entry.unit, start=start, source=source, licence=licence)
