"""Own, lease or rent; host a model or buy its tokens. Costs are positive USD, rates effective per year.

Every option costs a + b * u per accelerator-hour of the horizon at utilisation u, so a + b * u over u per useful hour: a
is due whether the accelerator works or not, b only while it works. Useful hours are discounted like the money, with
payments at the ends of years, as the capital-recovery factor has them. U = utilisations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gigawatt.evidence import Breakdown
from gigawatt.finance._formulas import HOURS_PER_YEAR, capital_recovery_factor

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """Buy: capital now, running costs that are fixed (maintenance, hall, staff), energy, and a value at the end.

    `energy_usd_per_hour` is drawn at work; `idle_energy_share` of it also while idle.
    """

    capital_usd: float
    fixed_usd_per_year: float = 0.0
    energy_usd_per_hour: float = 0.0
    idle_energy_share: float = 0.0
    residual_usd: float = 0.0

    def hourly(self, rate: float, years: float) -> tuple[float, float]:
        """Return (a, b): USD per hour of the horizon, and per hour of work on top of it."""
        net = self.capital_usd - self.residual_usd * math.exp(-years * math.log1p(rate))
        fixed = (net * capital_recovery_factor(rate, years) + self.fixed_usd_per_year) / HOURS_PER_YEAR
        idle = self.energy_usd_per_hour * self.idle_energy_share
        return fixed + idle, self.energy_usd_per_hour - idle


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Reserve: `usd_per_hour` is due for every hour of the horizon; energy as in `Own` where the lease has none."""

    usd_per_hour: float
    energy_usd_per_hour: float = 0.0
    idle_energy_share: float = 0.0

    def hourly(self, rate: float, years: float) -> tuple[float, float]:
        """Return (a, b) as `Own.hourly` does; both are free of the rate."""
        del rate, years
        idle = self.energy_usd_per_hour * self.idle_energy_share
        return self.usd_per_hour + idle, self.energy_usd_per_hour - idle


@dataclass(frozen=True, slots=True, kw_only=True)
class Rent:
    """On demand: `usd_per_hour` is due only while the accelerator works. `decline_per_year` lowers it, continuously."""

    usd_per_hour: float
    decline_per_year: float = 0.0

    def hourly(self, rate: float, years: float) -> tuple[float, float]:
        """Return (0, b) with b the level price of the same present value."""
        if not self.decline_per_year:
            return 0.0, self.usd_per_hour
        growth = math.log1p(rate)
        return 0.0, self.usd_per_hour * _weight(growth + self.decline_per_year, years) / _weight(growth, years)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLeaseRent:
    """`usd_per_useful_hour` maps options to costs (U,); `cheapest` names the option per utilisation.

    `break_even` maps pairs of options to the utilisation in (0, 1] at which they cost the same, where there is one.
    """

    utilisation: Array
    usd_per_useful_hour: Mapping[str, Array]
    cheapest: tuple[str, ...]
    break_even: Mapping[tuple[str, str], float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "utilisation": self.utilisation.tolist(),
            "usd_per_useful_hour": {name: costs.tolist() for name, costs in self.usd_per_useful_hour.items()},
            "cheapest": list(self.cheapest),
            "break_even": [{"options": list(pair), "utilisation": u} for pair, u in self.break_even.items()],
        }


def own_lease_rent(
    options: Mapping[str, Own | Lease | Rent], *, horizon_years: float, rate: float, utilisation: ArrayLike
) -> OwnLeaseRent:
    """Return the present cost per useful accelerator-hour of each option at utilisations (U,) in (0, 1].

    52,000 USD, 3 % upkeep, 0.12096 USD/h of energy at all hours, 10 %, 5 years, u = 0.8: 2.331, as
    `levelised_cost_of_compute`. Raises ValueError for a utilisation outside (0, 1] or a horizon of 0 or less.
    """
    u = np.atleast_1d(np.asarray(utilisation, dtype=np.float64))
    if not bool(((u > 0) & (u <= 1)).all()) or not horizon_years > 0 or not options:
        raise ValueError("options are compared over a positive horizon at utilisations above 0 and up to 1")
    hourly = {name: option.hourly(rate, horizon_years) for name, option in options.items()}
    costs = {name: a / u + b for name, (a, b) in hourly.items()}
    names = list(costs)
    cheapest = tuple(names[i] for i in np.argmin(np.stack(list(costs.values())), axis=0).tolist())
    return OwnLeaseRent(utilisation=u, usd_per_useful_hour=costs, cheapest=cheapest, break_even=_crossings(hourly))


def _crossings(hourly: Mapping[str, tuple[float, float]]) -> dict[tuple[str, str], float]:
    found = {}
    for (one, (a1, b1)), (other, (a2, b2)) in combinations(hourly.items(), 2):
        u = (a1 - a2) / (b2 - b1) if b1 != b2 else math.nan
        if 0 < u <= 1:
            found[one, other] = u
    return found


def break_even_utilisation(
    *, revenue_usd_per_hour: float, variable_usd_per_hour: float, fixed_usd_per_hour: float
) -> float:
    """Return u* at which revenue - variable - fixed cost of an hour is zero: fixed / (revenue - variable).

    Revenue and variable cost are those of a full hour. Above 1 no utilisation is enough; infinity where an hour of
    work earns no more than it costs. 4.5 earned, 0.1 variable, 1.8648 fixed: 0.4238.
    """
    margin = revenue_usd_per_hour - variable_usd_per_hour
    if fixed_usd_per_hour <= 0:
        return 0.0
    return fixed_usd_per_hour / margin if margin > 0 else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenClass:
    """Tokens of one class (input, cached, output): how many a second in all, and what one is sold or bought for."""

    name: str
    tokens_per_s: float
    usd_per_token: float


def token_revenue(classes: Sequence[TokenClass]) -> Breakdown:
    """Return USD per second by class: tokens * price. 1000 output tokens/s at 2 USD per million: 0.002 USD/s."""
    return Breakdown.of("token revenue", "USD/s", {c.name: c.tokens_per_s * c.usd_per_token for c in classes})


def token_contribution(
    classes: Sequence[TokenClass],
    *,
    accelerators: float,
    usd_per_accelerator_hour: float,
    network_usd_per_s: float = 0.0,
    staff_usd_per_s: float = 0.0,
) -> Breakdown:
    """Return the contribution of a token business, USD per second: revenue less accelerators, network and staff.

    `usd_per_accelerator_hour` is the cost of an hour, useful or not, and `accelerators` all that are kept for it.
    """
    return Breakdown.of(
        "contribution",
        "USD/s",
        {
            "token revenue": token_revenue(classes),
            "accelerators": -accelerators * usd_per_accelerator_hour / 3600.0,
            "network": -network_usd_per_s,
            "staff": -staff_usd_per_s,
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfHostOrApi:
    """Costs of the same tokens, USD/s. `break_even_share` of the demand at which they are equal (above 1: API wins)."""

    self_host_usd_per_s: float
    api_usd_per_s: float
    break_even_share: float

    @property
    def cheaper(self) -> str:
        """The cheaper way: "self-host" or "API"."""
        return "self-host" if self.self_host_usd_per_s < self.api_usd_per_s else "API"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; an infinite share (the API is free) is None."""
        return {
            "self_host_usd_per_s": self.self_host_usd_per_s,
            "api_usd_per_s": self.api_usd_per_s,
            "break_even_share": None if math.isinf(self.break_even_share) else self.break_even_share,
            "cheaper": self.cheaper,
        }


def self_host_or_api(
    bought: Sequence[TokenClass],
    *,
    accelerators: float,
    usd_per_accelerator_hour: float,
    fixed_usd_per_s: float = 0.0,
) -> SelfHostOrApi:
    """Return what the demand `bought` costs from an API and on accelerators of one's own that meet its peak.

    The two answer the same question only at equal quality, latency and utilisation: `accelerators` must be those that
    serve this demand within its latency limits, which is for the caller to see to.
    """
    own = accelerators * usd_per_accelerator_hour / 3600.0 + fixed_usd_per_s
    api = token_revenue(bought).value
    return SelfHostOrApi(
        self_host_usd_per_s=own, api_usd_per_s=api, break_even_share=own / api if api > 0 else math.inf
    )


def _weight(speed: float, years: float) -> float:
    """Return the integral of exp(-speed * t) over the years."""
    return years if abs(speed * years) < 1e-15 else -math.expm1(-speed * years) / speed
