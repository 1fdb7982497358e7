"""Sizes of switched networks (docs/science.md 10.4): how many hosts, switches and links a folded Clos needs."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPlan:
    """A folded Clos for `endpoints` accelerators: tiers, switches, links between switches and to endpoints, planes."""

    endpoints: int
    radix: int
    tiers: int
    planes: int
    switches: int
    links: int

    @property
    def switches_per_endpoint(self) -> float:
        """Switches per accelerator (0.078 for three tiers of radix 64)."""
        return self.switches / self.endpoints if self.endpoints else 0.0


def clos_hosts(radix: int, tiers: int) -> int:
    """Return the hosts of a non-blocking folded Clos: k for one tier, k^2/2 for two, k^3/4 for three. k=64: 65,536;
    k=128: 524,288.
    """
    return int(2 * (radix // 2) ** tiers)


def clos_switches(radix: int, tiers: int) -> int:
    """Return the switches of a full folded Clos: 1, 3k/2, 5k^2/4 for one to three tiers."""
    return int((2 * tiers - 1) * (radix // 2) ** (tiers - 1))


def multi_plane_hosts(radix: int, planes: int, tiers: int) -> int:
    """Return the hosts where each port is split over `planes` networks whose switches run at radix*planes and
    rate/planes.

    k=64 with 8 planes: 131,072 hosts in two tiers.
    """
    return clos_hosts(radix * planes, tiers)


def plan_network(endpoints: int, radix: int = 64, oversubscription: float = 1.0) -> NetworkPlan:
    """Return the smallest folded Clos of switches of `radix` ports for `endpoints`, switches filled in proportion.

    Where three tiers of `radix` do not reach, ports are split over planes (radix*planes at rate/planes).
    `oversubscription` thins the tiers above the leaf. Raises ValueError for a radix below 2 or no endpoints.
    """
    if radix < 2 or endpoints < 1:
        raise ValueError(f"a network needs at least one endpoint and radix 2, not {endpoints} and {radix}")
    planes = 1
    while multi_plane_hosts(radix, planes, 3) < endpoints:
        planes *= 2
    ports = radix * planes
    tiers = next(t for t in (1, 2, 3) if clos_hosts(ports, t) >= endpoints)
    leaves = endpoints / (ports if tiers == 1 else ports // 2)
    above = 0.0 if tiers == 1 else endpoints / oversubscription / ports * (2 * tiers - 3)
    switches = math.ceil(leaves) + math.ceil(above)
    links = math.ceil(endpoints * (1 + (tiers - 1) / oversubscription))
    return NetworkPlan(
        endpoints=endpoints, radix=radix, tiers=tiers, planes=planes, switches=switches * planes, links=links * planes
    )
