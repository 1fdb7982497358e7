"""What a build-out is decided on: chips that can be had, sites with their limits and ways to widen them, money.

Arrays run over the periods of the calendar (T,). Limits hold at the end of a period; money moves within it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gigawatt.buildout._calendar import Calendar

Floats = NDArray[np.float64]

# What an accelerator in service uses at a site, with the unit that people read. Installation is used once, by what is
# put in within a period.
POWER, COOLING, HALL, NETWORK, INSTALLATION = "power", "cooling", "hall", "network", "installation"
RESOURCES: Mapping[str, str] = {
    POWER: "W",
    COOLING: "W",
    HALL: "W",
    NETWORK: "accelerators",
    INSTALLATION: "accelerators",
}
SECONDS_PER_YEAR = 365.25 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipKind:
    """One kind of accelerator as the plan sees it.

    `useful_flops` is what it adds to the work in service, FLOP/s (peak times utilisation times goodput); `it_w` its
    draw with everything around it at the sustained peak, `mean_it_w` its mean in service; `upkeep_usd_per_s` what it costs in service besides
    energy; `worth_usd_per_s` (T,) what its service earns, `resale_usd` what one is worth at the end of the plan.
    """

    name: str
    useful_flops: float
    it_w: float
    mean_it_w: float
    upkeep_usd_per_s: float = 0.0
    worth_usd_per_s: Floats
    resale_usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Accelerators of one kind from one supplier on one set of terms.

    `supply` (T,) are the most that the supplier delivers to this buyer in each period; `price_usd` (T,) what one costs
    with server and network when it is ordered then; `lead` the periods from an order to the first delivery from it;
    `given` (T,) orders already decided, None where the plan decides; `allotted` (T,) what the market makes of them in
    each period, which then waits to be taken and replaces `supply` and `lead`; `before` those placed before the plan begins and not delivered;
    `first` and `last` bound the periods of free orders and `most` their sum; `first_delivery` is when the product
    exists. A share `deposit` is paid with the order, the rest on delivery.
    """

    name: str
    chip: str
    price_usd: Floats
    supply: Floats
    lead: int
    given: Floats | None = None
    allotted: Floats | None = None
    before: float = 0.0
    first: int = 0
    last: int = 10**6
    most: float = math.inf
    first_delivery: int = 0
    deposit: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """Units that widen a resource of a site: turbines, a substation, chillers, a hall, a network plane, a crew.

    `unit` is what one adds (in the unit of the resource), `lead` the periods from its order to service, `most` (T,) the
    most that may stand, `given` (T,) those that stand by decisions already taken, `whole` whether only whole units
    come. `price_usd` is paid with the order, `keep_usd_per_s` while a unit stands, `energy_usd_per_j` for what it gives
    (power only; negative is not allowed).
    """

    name: str
    resource: str
    unit: float
    lead: int
    most: Floats
    given: Floats
    price_usd: float = 0.0
    keep_usd_per_s: float = 0.0
    energy_usd_per_j: float = 0.0
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSite:
    """One site. `limits` (T,) by resource; one that is not named has no limit (for power: none but its sources).

    For installation a limit counts accelerators per period. `grid` (T,) is the firm power of the connection, W, at
    `grid_usd_per_j`; `grid_usd_per_w_s` is paid for every W of the connection, used or not; `rent_usd_per_s` for the
    site; `capital_usd` (T,) is what building it costs, None for nothing. `pue` turns IT power into power at the meter.
    """

    name: str
    pue: float
    grid: Floats
    grid_usd_per_j: float = 0.0
    grid_usd_per_w_s: float = 0.0
    rent_usd_per_s: float = 0.0
    capital_usd: Floats | None = None
    limits: Mapping[str, Floats] = field(default_factory=dict)
    expansions: tuple[Expansion, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """Cash. `cash_usd` at the start, `floor_usd` below which it never falls, `funding_usd` (T,) and `burn_usd` (T,) in
    each period; `debt_usd` (T,) is the most that may be owed, at `interest` per year.
    """

    cash_usd: float
    floor_usd: float
    funding_usd: Floats
    burn_usd: Floats
    debt_usd: Floats
    interest: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildQuestion:
    """A build-out to be planned. `money` None: cash is no limit. `discount` is per year. Raises ValueError where names or lengths do not fit."""

    calendar: Calendar
    chips: tuple[ChipKind, ...]
    offers: tuple[Offer, ...]
    sites: tuple[BuildSite, ...]
    money: Money | None = None
    discount: float = 0.0

    def __post_init__(self) -> None:
        known, periods = {chip.name for chip in self.chips}, self.calendar.periods
        for offer in self.offers:
            if offer.chip not in known:
                raise ValueError(f"offer {offer.name!r} is of {offer.chip!r}, which is no chip of the plan")
        if not self.chips or not self.sites:
            raise ValueError("a build-out needs a chip and a site")
        for name, array in self._arrays():
            if array.shape != (periods,):
                raise ValueError(f"{name} has {array.shape}, the plan {periods} periods")
            if not np.isfinite(array).all() and "most" not in name:
                raise ValueError(f"{name} is not finite")

    def _arrays(self) -> list[tuple[str, Floats]]:
        found = [
            (f"{offer.name}.{kind}", getattr(offer, kind)) for offer in self.offers for kind in ("price_usd", "supply")
        ]
        found += [(f"{chip.name}.worth", chip.worth_usd_per_s) for chip in self.chips]
        for site in self.sites:
            found.append((f"{site.name}.grid", site.grid))
            found += [(f"{site.name}.{kind}", limit) for kind, limit in site.limits.items()]
            found += [
                (f"{site.name}.{e.name}.{kind}", getattr(e, kind))
                for e in site.expansions
                for kind in ("most", "given")
            ]
        if self.money is not None:
            found += [(f"money.{kind}", getattr(self.money, kind)) for kind in ("funding_usd", "burn_usd", "debt_usd")]
        return found

    def chip(self, name: str) -> ChipKind:
        """Return a chip by name."""
        return next(chip for chip in self.chips if chip.name == name)
