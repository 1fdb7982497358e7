"""Watts of a server around its accelerators: hosts, memory, cards, switches inside, fans, supplies (data/server_power.csv); of the
network between servers: switches and transceivers (data/network_power.csv).

    server = (accelerators + parts) * (1 + fans) / supply efficiency

Positive power is consumption, at the inlet of the server (or of the rack, for a rack that is one machine).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from gigawatt.catalog import sourced_table
from gigawatt.evidence import Breakdown, Grade, Sourced

FANS, SUPPLY, ACCELERATORS = "fans", "supply efficiency", "accelerators"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPower:
    """A class of servers: accelerators in one, watts of the other parts (each and count), fans as a share of all
    parts, efficiency of the supplies.
    """

    name: str
    accelerators: int
    parts: Mapping[str, tuple[int, Sourced]]
    fans: Sourced
    supply_efficiency: Sourced

    def power(self, accelerator_w: float, end: str = "best") -> Breakdown:
        """Return the power of the server with its accelerators at `accelerator_w` each, W, by part.

        `end` "low" or "high" takes all parts there at once. 8 H100 at 551 W in "8-GPU air": 6.8 kW. Raises ValueError for
        a negative power or another `end`.
        """
        if end not in ("low", "best", "high"):
            raise ValueError(f"end must be low, best or high, not {end!r}")
        if not accelerator_w >= 0:
            raise ValueError(f"the power of an accelerator cannot be below 0, not {accelerator_w} W")
        watts = {ACCELERATORS: self.accelerators * accelerator_w}
        watts |= {name: count * float(getattr(each, end)) for name, (count, each) in self.parts.items()}
        watts[FANS] = sum(watts.values()) * float(getattr(self.fans, end))
        efficiency = float(getattr(self.supply_efficiency, {"low": "high", "high": "low"}.get(end, "best")))
        watts["conversion losses"] = sum(watts.values()) * (1 / efficiency - 1)
        return Breakdown.of(f"{self.name} server", "W", watts)


def server_power(name: str) -> ServerPower:
    """Return a class of servers by name. Raises ValueError with the known names."""
    if name not in _table():
        raise ValueError(f"unknown class of servers {name!r}; known: {', '.join(_table())}")
    return _table()[name]


# Machines that are no HGX server: the plan takes their parts instead of a share of the server's rating.
_OWN = {"TPU": "TPU host", "GB200": "NVL72", "GB300": "NVL72", "Trainium2": "Trainium2 server"}


def own_server(accelerator: str) -> str | None:
    """Return the class of the machine that an accelerator stands in where it is none of eight behind a rating."""
    return _OWN.get(accelerator.split()[0])


def around_accelerator(name: str, accelerator_w: float) -> Sourced:
    """Return the watts of a class of servers around one accelerator that draws `accelerator_w`, losses included."""
    server = server_power(name)
    low, best, high = (
        server.power(accelerator_w, end).value / server.accelerators - accelerator_w for end in ("low", "best", "high")
    )
    return Sourced(
        low=low,
        best=best,
        high=high,
        unit="W",
        grade=Grade.ESTIMATE,
        source=f"parts of a {name} server (data/server_power.csv)",
        date="2026",
        label=f"{name} server around an accelerator",
    )


def servers_with_power() -> tuple[str, ...]:
    """Return the names of the classes of servers."""
    return tuple(_table())


@cache
def network_facts() -> Mapping[str, Sourced]:
    """Return the numbers of data/network_power.csv by key ("switch", "transceiver_400g")."""
    return MappingProxyType(sourced_table("gigawatt.power", "data/network_power.csv"))


def network_power(switches: float, transceivers_400g: float = 0.0, transceivers_800g: float = 0.0) -> Breakdown:
    """Return the power of so many switches of 64 ports of 400 Gb/s and of transceivers (both ends counted), W, by part.

    A rail-optimised leaf and spine for 8 H100, 8*1.5/64 switches, 8 transceivers at the cards and 12 of 800 Gb/s in
    switches: 0.44 kW. Raises ValueError for negative numbers.
    """
    if min(switches, transceivers_400g, transceivers_800g) < 0:
        raise ValueError("numbers of switches and transceivers cannot be below 0")
    facts = network_facts()
    watts = {
        "switches": switches * facts["switch"].best,
        "transceivers": transceivers_400g * facts["transceiver_400g"].best
        + transceivers_800g * facts["transceiver_800g"].best,
    }
    watts["conversion losses"] = sum(watts.values()) * (1 / facts["supply_efficiency"].best - 1)
    return Breakdown.of("network between servers", "W", watts)


@cache
def _table() -> Mapping[str, ServerPower]:
    text = files("gigawatt.power").joinpath("data", "server_power.csv").read_text(encoding="utf-8")
    found: dict[str, dict[str, tuple[int, Sourced]]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        fact = Sourced(
            low=float(row["low"]),
            best=float(row["best"]),
            high=float(row["high"]),
            unit=row["unit"],
            grade=Grade(row["kind"]),
            source=row["source"],
            date=row["date"],
            label=f"{row['server']}, {row['part']}",
            note=row["notes"],
        )
        found.setdefault(row["server"], {})[row["part"]] = (int(row["count"]), fact)
    return MappingProxyType({name: _server(name, parts) for name, parts in found.items()})


def _server(name: str, parts: Mapping[str, tuple[int, Sourced]]) -> ServerPower:
    others = {part: pair for part, pair in parts.items() if part not in (FANS, SUPPLY, ACCELERATORS)}
    return ServerPower(
        name=name,
        accelerators=parts[ACCELERATORS][0],
        parts=MappingProxyType(others),
        fans=parts[FANS][1],
        supply_efficiency=parts[SUPPLY][1],
    )
