"""The hours of a year that is dispatched: load, weather, prices and carbon from packaged series or a user's files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gigawatt import power
from gigawatt.documents import read_text
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.planning._inputs import Inputs
from gigawatt.scenario import Scenario

Array = NDArray[np.float64]
HOUR, YEAR = 3600.0, 8760
DEFAULT_YEAR = "2023-01"
TEMPERATURE, HUMIDITY = "dallas 2023 temperature", "dallas 2023 relative humidity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """The year by the hour, (T): price USD/J, carbon kg/J, air K, relative humidity; `sources` by series."""

    start: datetime
    price: Array
    carbon: Array
    ambient_k: Array
    humidity: Array
    sources: Mapping[str, str]

    @property
    def steps(self) -> int:
        """T."""
        return len(self.price)


def hours_of(inputs: Inputs) -> Hours:
    """Return the hours of the scenario's year. Raises InputError for an unknown series, or a file that does not cover it."""
    scenario, asked = inputs.scenario, inputs.scenario.power
    start = date_of(asked.year or DEFAULT_YEAR)
    flat_price = inputs.value("site.electricity_price")
    sources = {}

    def series(field: str, default: str | None, unit: str, flat: float) -> Array:
        name = getattr(asked, field) or default
        if name is None:
            sources[field] = "the same all year"
            return np.full(YEAR, flat)
        found = _series(scenario, field, name, unit)
        sources[field] = f"{found.name} ({found.source})" if found.source else found.name
        return _in_year(scenario, field, found, start)

    return Hours(
        price=series("prices", None, "USD/J", flat_price),
        carbon=series("carbon", None, "kg/J", power.carbon_facts()["grid.us_2023"].best),
        ambient_k=series("temperature", TEMPERATURE, "K", 0.0),
        humidity=series("humidity", HUMIDITY, "", 0.0),
        start=start,
        sources=sources,
    )


def _series(scenario: Scenario, field: str, name: str, unit: str) -> power.Series:
    if name in power.packaged_names():
        found = power.packaged_series(name)
        if found.unit != unit:
            raise wrong(
                scenario,
                field,
                f"this series is in {found.unit or 'shares'}",
                repr(name),
                f"a series in {unit or 'shares'}",
            )
        return found
    path = scenario.folder / name
    if not path.exists():
        raise wrong(
            scenario,
            field,
            "neither a packaged series nor a file",
            repr(name),
            f"{', '.join(power.packaged_names())}, or a CSV file",
            nearest_name(name, power.packaged_names()),
        )
    return power.read_series(path, unit, written_in=_written_in(field, path))


# How the header of a column says its unit, after the last "_in_" or at its end.
_WRITTEN = {
    "prices": {"usd_per_mwh": "USD/MWh", "usd_per_kwh": "USD/kWh", "usd_per_j": "USD/J"},
    "carbon": {
        "gco2_per_kwh": "g/kWh",
        "g_per_kwh": "g/kWh",
        "kg_per_mwh": "kg/MWh",
        "kg_per_kwh": "kg/kWh",
        "kg_per_j": "kg/J",
    },
    "temperature": {"_c": "degC", "celsius": "degC", "_k": "K", "kelvin": "K"},
    "humidity": {"percent": "%", "fraction": "", "share": ""},
}


def _written_in(field: str, path: Path) -> str:
    """Return the unit in which a file is written, from the end of a name in its header. Raises InputError without one."""
    text = read_text(path)
    header = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    for name in header.split(","):
        for ending, unit in _WRITTEN[field].items():
            if name.strip().strip('"').casefold().endswith(ending):
                return unit
    raise InputError(
        Problem(
            message=f"the header does not say in which unit the {field} are",
            location=f"{path}:1",
            path=f"power.{field}",
            found=repr(header[:60]),
            allowed=f"a column whose name ends with {', '.join(_WRITTEN[field])}",
        )
    )


def _in_year(scenario: Scenario, field: str, found: power.Series, start: datetime) -> Array:
    """Return a series over the year from `start`; one of another calendar year stands for the same hours of that year."""
    if found.start is not None and found.start.year != start.year:
        found = replace(found, start=found.start.replace(year=start.year))
    try:
        return found.at(start, YEAR, HOUR, wrap=True)
    except ValueError as error:
        raise wrong(scenario, field, str(error), found.name, f"a whole year of hours from {start.date()}") from None


def months_of(hours: Hours) -> NDArray[np.int64]:
    """Return the number of the calendar month (UTC) of every hour."""
    when = [hours.start + timedelta(hours=hour) for hour in range(hours.steps)]
    return np.array([12 * time.year + time.month for time in when], dtype=np.int64)


def date_of(text: str) -> datetime:
    """Return a date of the scenario ("2024", "2024-07", "2024-07-15") as the instant at which it begins, UTC."""
    parts = [int(part) for part in text.split("-")]
    return datetime(parts[0], parts[1] if len(parts) > 1 else 1, parts[2] if len(parts) > 2 else 1, tzinfo=UTC)


def wrong(
    scenario: Scenario, field: str, message: str, found: str, allowed: str, nearest: str | None = None
) -> InputError:
    """Return the error of a field of the power section, with its place in the file."""
    path = f"power.{field}"
    return InputError(
        Problem(
            message=message,
            location=scenario.place(path),
            path=path,
            found=found,
            allowed=allowed,
            nearest=nearest or "",
        )
    )


__all__ = ["HOUR", "Hours", "date_of", "hours_of", "months_of", "wrong"]
