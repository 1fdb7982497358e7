"""What a check of a case with `engine: power` may refer to: watts, rates, PUE, energy and carbon, without a training search.

A case gives `power`, a mapping of the fields below, and its checks change them with `set`. Every output whose fields are given can
be asked: `phase.PHASE` of a chip, `node.PHASE` of its server, `slot.PHASE` of a chip with its part of the host processors, `capped.*`
under `cap`, `serving.*` at `sequences` or `requests_per_s`, `pue.annual` of a plant in a climate, `run.*` of accelerator-hours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.documents import Document
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.evidence import Output
from gigawatt.power import (
    PHASES,
    ChipPower,
    cap_for_rate,
    carbon_facts,
    chip_power,
    cool_year,
    cooling_plant,
    energy_account,
    packaged_series,
    power_at_cap,
    rate_at_cap,
    sequences_in_flight,
    server_power,
    serving_power,
)
from gigawatt.quantity import QuantityError, parse_quantity

# field: its SI unit, None for text
FIELDS: Mapping[str, str | None] = {
    "accelerator": None,
    "limit": "W",
    "count": "",
    "server": None,
    "accelerators_per_host": "",
    "cap": "W",
    "rate": "fraction",
    "phase": None,
    "sequences": "",
    "requests_per_s": "Hz",
    "output_tokens": "",
    "step": "s",
    "step_per_sequence": "s",
    "most_sequences": "",
    "cooling": None,
    "climate": None,
    "mean_temperature": "K",
    "seasonal_swing": "K",
    "daily_swing": "K",
    "relative_humidity": "fraction",
    "pue": "",
    "accelerator_time": "s",
    "grid": None,
}
DAY, YEAR_DAYS, COLDEST_DAY, WARMEST_HOUR = 24, 365, 20, 15


def power_values(document: Document, overrides: Sequence[str]) -> Mapping[str, Output]:
    """Return the outputs that the fields of the case allow. Raises InputError for fields that cannot be read, ValueError
    for values that the power room refuses.
    """
    fields = _fields(document, overrides)
    values = _ercot()
    if "accelerator" in fields:
        chip = chip_power(str(fields["accelerator"]), _number(fields, "limit"))
        values |= _chip(chip, fields) | _capped(chip, fields) | _serving(chip, fields) | _run(chip, fields)
    if "cooling" in fields:
        values |= _cooling(fields)
    return values


def _fields(document: Document, overrides: Sequence[str]) -> dict[str, str | float]:
    given = dict(document.data["power"])
    for text in overrides:
        name, _, value = text.partition("=")
        given[name.strip()] = value.strip()
    found: dict[str, str | float] = {}
    for name, value in given.items():
        place = document.place(f"power.{name}")
        if name not in FIELDS:
            near = nearest_name(name, list(FIELDS))
            problem = Problem(
                message="unknown field", location=place, path=f"power.{name}", allowed=", ".join(FIELDS), nearest=near
            )
            raise InputError(problem)
        unit = FIELDS[name]
        try:
            found[name] = str(value) if unit is None else parse_quantity(value, unit)
        except QuantityError as error:
            raise InputError(Problem(message=str(error), location=place, path=f"power.{name}")) from None
    return found


def _number(fields: Mapping[str, Any], name: str) -> float | None:
    return float(fields[name]) if name in fields else None


def _need(fields: Mapping[str, Any], name: str) -> float:
    if name not in fields:
        raise ValueError(f"the field {name!r} of power is missing")
    return float(fields[name])


def _watts(label: str, value: float) -> Output:
    return Output(label=label, value=value, unit="W")


def _host_w(fields: Mapping[str, Any]) -> float:
    """Return the host processors' part of one accelerator; `accelerators_per_host` where the server is not ours."""
    server = server_power(str(fields["server"]))
    count, each = server.parts["host processors"]
    return count * each.best / float(fields.get("accelerators_per_host", server.accelerators))


def _chip(chip: ChipPower, fields: Mapping[str, Any]) -> dict[str, Output]:
    """Return `phase.*`, `limit`, `swing.*`, and with a server `node.*` and `slot.*`; with a count sums of slots and of swings."""
    levels = {phase: chip.watts(phase) for phase in PHASES} | {"limit": chip.limit_w}
    values = {
        f"phase.{name}": _watts(f"{chip.name}, {name.replace('_', ' ')}", watts) for name, watts in levels.items()
    }
    swings = {
        "products": chip.watts("matrix") - chip.watts("waiting"),
        "limit": chip.limit_w - chip.watts("waiting"),
        "job": chip.watts("matrix") - chip.watts("idle"),
    }
    count = float(fields.get("count", 1))
    values |= {f"swing.{name}": _watts(f"swing, {name}", count * watts) for name, watts in swings.items()}
    if "server" not in fields:
        return values
    server = server_power(str(fields["server"]))
    host = _host_w(fields)
    for name, watts in levels.items():
        node = server.power(watts).value
        values[f"node.{name}"] = _watts(f"server, {name.replace('_', ' ')}", node)
        values[f"node_per_accelerator.{name}"] = _watts(f"server per accelerator, {name}", node / server.accelerators)
        values[f"slots.{name}"] = _watts(f"accelerators and processors, {name}", count * (watts + host))
    values["node.rating"] = _watts("server, every part at its most", server.power(chip.limit_w, "high").value)
    values["checkpoint_drop"] = Output(
        label="fall of accelerators and processors at a checkpoint",
        value=1 - (chip.watts("checkpoint") + host) / (chip.watts("training") + host),
        unit="fraction",
    )
    return values


def _capped(chip: ChipPower, fields: Mapping[str, Any]) -> dict[str, Output]:
    """Return `capped.rate` and `capped.power` under `cap`, `capped.saving`, the energy per work saved at a `rate`."""
    phase, values = str(fields.get("phase", "matrix")), {}
    if "cap" in fields:
        cap = float(fields["cap"])
        rate, watts = float(rate_at_cap(chip, cap, phase)), float(power_at_cap(chip, cap, phase))
        values["capped.rate"] = Output(label="rate under the cap", value=rate, unit="fraction")
        values["capped.power"] = _watts("power under the cap", watts)
    if "rate" in fields:
        rate = float(fields["rate"])
        share = float(cap_for_rate(chip, rate, phase)) / chip.watts(phase)
        values["capped.saving"] = Output(label="energy saved per work", value=1 - share / rate, unit="fraction")
    return values


def _serving(chip: ChipPower, fields: Mapping[str, Any]) -> dict[str, Output]:
    """Return `serving.chips` (count of them) and, with a server, `serving.slots`, and their share of a full replica."""
    if "requests_per_s" in fields:
        names = ("requests_per_s", "output_tokens", "step", "step_per_sequence", "most_sequences")
        n = float(sequences_in_flight(*(_need(fields, name) for name in names)))
    elif "sequences" in fields:
        n = float(fields["sequences"])
    else:
        return {}
    count = float(fields.get("count", 1))
    watts = float(serving_power(chip, n))
    values = {"serving.chips": _watts("accelerators, serving", count * watts)}
    if "server" in fields:
        slot = watts + _host_w(fields)
        full = float(serving_power(chip, float(fields["most_sequences"]))) if "most_sequences" in fields else watts
        values["serving.slots"] = _watts("accelerators and processors, serving", count * slot)
        values["serving.share"] = Output(
            label="share of the power of a full replica", value=slot / (full + _host_w(fields)), unit="fraction"
        )
    return values


def _run(chip: ChipPower, fields: Mapping[str, Any]) -> dict[str, Output]:
    """Return `run.energy` and `run.carbon` of `accelerator_time` at the power limit, as model cards count it."""
    if "accelerator_time" not in fields:
        return {}
    grid = carbon_facts()[f"grid.{fields['grid']}"].best if "grid" in fields else 0.0
    account = energy_account(
        chip.limit_w * float(fields.get("pue", 1.0)),
        duration_s=float(fields["accelerator_time"]),
        carbon_kg_per_j=grid,
    )
    return {
        "run.energy": Output(label="energy of the run at the power limit", value=account.energy_j, unit="J"),
        "run.carbon": Output(label="location-based carbon of the run", value=account.location_kg, unit="kg"),
    }


def _cooling(fields: Mapping[str, Any]) -> dict[str, Output]:
    air, humidity = _climate(fields)
    year = cool_year(cooling_plant(str(fields["cooling"])), 1.0, air, humidity)
    litres = year.water_kg / year.it_j
    return {
        "pue.annual": Output(label="PUE of the year", value=year.annual_pue),
        "water": Output(label="water per IT energy", value=litres, unit="kg/J"),
    }


def _climate(fields: Mapping[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the hours of a packaged climate ("dallas 2023"), or of a sinusoidal one from its mean and swings."""
    if "climate" in fields:
        names = (f"{fields['climate']} temperature", f"{fields['climate']} relative humidity")
        air, humidity = (packaged_series(name).values for name in names)
        return air, humidity
    hours = np.arange(YEAR_DAYS * DAY)
    season = -np.cos(2 * np.pi * (hours / DAY - COLDEST_DAY) / YEAR_DAYS)
    day = np.cos(2 * np.pi * (hours - WARMEST_HOUR) / DAY)
    mean, seasonal, daily = (_need(fields, name) for name in ("mean_temperature", "seasonal_swing", "daily_swing"))
    return mean + seasonal * season + daily * day, np.full(len(hours), _need(fields, "relative_humidity"))


def _ercot() -> dict[str, Output]:
    price, carbon = packaged_series("ercot 2023 price"), packaged_series("ercot 2023 carbon direct")
    return {
        "ercot.price": Output(label="mean day-ahead price", value=float(price.values.mean()), unit="USD/J"),
        "ercot.carbon": Output(label="mean direct carbon intensity", value=float(carbon.values.mean()), unit="kg/J"),
    }
