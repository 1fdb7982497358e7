"""What network a fleet needs: tiers, planes, switches and optics of a folded Clos (docs/science.md 10.4), and how often its
optics fail. Columns (C,), one per fleet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.evidence import Sourced
from gigawatt.reliability._formulas import Array, Numbers
from gigawatt.reliability._plain import to_plain
from gigawatt.reliability._scale import scale_facts

MOST_TIERS = 3  # of a folded Clos


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSize:
    """What a folded Clos for each fleet needs, columns (C,). `bisection_bytes_per_s` is what crosses the middle one way;
    `fits` says whether three tiers of the planes reach; `hosts` is how many endpoints they hold.
    """

    accelerators: Array
    radix: int
    planes: Array
    tiers: Array
    hosts: Array
    fits: NDArray[np.bool_]
    switches: Array
    links: Array
    optics: Array
    bisection_bytes_per_s: Array
    assumptions: Mapping[str, Sourced]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return to_plain(self)


def network_size(
    accelerators: Numbers,
    *,
    link_bytes_per_s: Numbers,
    radix: int = 64,
    planes: int | None = None,
    oversubscription: float = 1.0,
    optical_tier: int = 2,
    links_per_optic: float = 1.0,
) -> NetworkSize:
    """Return tiers, planes, switches, links and optics of a folded Clos for each fleet (docs/science.md 10.4).

    With `planes` P each port splits into P ports of a P-th of the rate and each switch runs at radix*P; None takes the
    fewest (1, 2, 4, ...) whose three tiers reach, as `hardware.plan_network` does. Links of tier `optical_tier` (1: to the
    accelerator) and above are optical, `links_per_optic` full-rate links share a module; planes split lanes, not modules.
    Half the endpoints send to the other half: n*rate/2/oversubscription, 200 Pb/s for 1e6 at 400 Gb/s. Hosts: k^2/2 for
    two tiers, k^3/4 for three: 65,536 at k = 64, 524,288 at 128. Raises ValueError for sizes that are no network.
    """
    n = np.atleast_1d(np.asarray(accelerators, dtype=np.float64))
    if radix < 2 or (n < 1).any() or (planes is not None and planes < 1):
        raise ValueError(
            f"a network needs endpoints, a radix of at least 2 and planes, not {accelerators}, {radix}, {planes}"
        )
    if oversubscription < 1 or links_per_optic <= 0 or not 1 <= optical_tier <= MOST_TIERS + 1:
        raise ValueError(
            f"oversubscription must be at least 1, links_per_optic above 0 and optical_tier 1 to {MOST_TIERS + 1}, "
            f"not {oversubscription}, {links_per_optic} and {optical_tier}"
        )
    count = np.full(n.shape, float(planes or 1))
    while planes is None and (short := _hosts(radix * count, MOST_TIERS) < n).any():
        count = np.where(short, 2.0 * count, count)
    ports = radix * count
    reach = np.stack([_hosts(ports, tier) for tier in range(1, MOST_TIERS + 1)])
    fits = n <= reach[-1]
    tiers = np.minimum(1.0 + (n > reach).sum(axis=0), MOST_TIERS)
    leaves = n / np.where(tiers == 1, ports, ports // 2)
    above = np.where(tiers == 1, 0.0, n / oversubscription / ports * (2.0 * tiers - 3.0))
    switches = (np.ceil(leaves) + np.ceil(above)) * count
    upward = (tiers - 1.0) / oversubscription
    optical = np.where(
        optical_tier == 1, 1.0 + upward, np.clip(tiers - optical_tier + 1.0, 0.0, None) / oversubscription
    )
    per_link = scale_facts()["optic.per_link"]
    notes = [
        f"three tiers of {radix} ports and {planes or 1} planes hold {int(reach[-1].max()):,} accelerators, not {int(most):,}: "
        "more planes, a larger radix or islands"
        for most in n[~fits][-1:]
    ]
    return NetworkSize(
        accelerators=n,
        radix=radix,
        planes=count,
        tiers=tiers,
        hosts=reach[-1],
        fits=fits,
        switches=switches,
        links=np.ceil(n * (1.0 + upward)) * count,
        optics=per_link.best * n * optical / links_per_optic,
        bisection_bytes_per_s=n * np.asarray(link_bytes_per_s) / 2.0 / np.where(tiers == 1, 1.0, oversubscription),
        assumptions={"optic.per_link": per_link},
        warnings=tuple(notes),
    )


def _hosts(ports: Array, tiers: int) -> Array:
    """Return `hardware.clos_hosts` in columns."""
    return np.asarray(2.0 * np.floor(ports / 2.0) ** tiers)


def optics_failure_rate(optics: Numbers, rate: Numbers | None = None) -> Numbers:
    """Return the failures per second of `optics` transceivers that stop the job; `rate` per transceiver overrides the
    catalogue's. Two tiers of optics on 16,384 accelerators (65,536 transceivers): 0.6 per day.
    """
    return np.asarray(optics) * (scale_facts()["optic.failure_rate"].best if rate is None else rate)
