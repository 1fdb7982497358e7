"""A rush order: what a premium moves forward, whom it displaces, and whether the time gained is worth it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gigawatt.buildout._market import Deliveries, MarketRules, Order, deliveries, market_facts, market_rules
from gigawatt.buildout._prices import PricePath
from gigawatt.buildout._ranges import Array
from gigawatt.buildout._supply import ChipSupply


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """When an order arrives: units per period, (P,), the quarters of its first and last unit ("" where the plan ends
    before that), the mean wait from the order on, and what is missing at the end. `last_range` are the quarters of the
    last unit at the 5th and 95th percentile of the samples.

    `by_sample_last` is the period in which each sample is complete (P where it is not), (S,).
    """

    units: Array
    first: str
    last: str
    last_range: tuple[str, str]
    mean_wait_s: float
    missing: float
    by_sample_last: Array

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "units": self.units.tolist(),
            "first": self.first,
            "last": self.last,
            "last_range": list(self.last_range),
            "mean_wait_s": self.mean_wait_s,
            "missing": self.missing,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RushOrder:
    """An order with a premium beside the same order without one.

    `displaced` are the units that each other buyer has fewer of at the time when it has the fewest, and
    `displaced_units` (buyers, P) the difference by the end of every period. Money in USD: `premium_usd` is what the
    delivered units cost above the price (at low, best and high price), `rental_value_usd` the rent of the chip-hours
    gained (at low, best and high rent). `chip_s_gained` are chip-seconds by the end of the plan.
    """

    chip: str
    order: Order
    without: Delivered
    with_premium: Delivered
    displaced: Mapping[str, float]
    displaced_units: Mapping[str, Array]
    chip_s_gained: float
    premium_usd: tuple[float, float, float]
    rental_value_usd: tuple[float, float, float]
    verdict: str

    @property
    def net_usd(self) -> float:
        """Rental value less premium, best values."""
        return self.rental_value_usd[1] - self.premium_usd[1]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "chip": self.chip,
            "buyer": self.order.buyer,
            "units": self.order.units,
            "premium": self.order.premium,
            "prepaid": self.order.prepaid,
            "without": self.without.to_dict(),
            "with_premium": self.with_premium.to_dict(),
            "displaced": dict(self.displaced),
            "displaced_units": {name: units.tolist() for name, units in self.displaced_units.items()},
            "chip_s_gained": self.chip_s_gained,
            "premium_usd": list(self.premium_usd),
            "rental_value_usd": list(self.rental_value_usd),
            "net_usd": self.net_usd,
            "verdict": self.verdict,
        }


def standing_orders(
    shares: Mapping[str, float], supply: ChipSupply, rules: MarketRules, period: int = 0
) -> tuple[Order, ...]:
    """Return what the buyers of a chip have open: their shares of the supply of the time that orders wait, each ordered
    anew as it is delivered.

    Supply of `period` is taken as that of the whole wait. Raises ValueError for shares that are not above zero.
    """
    if not shares or any(share <= 0.0 for share in shares.values()):
        raise ValueError("buyers need shares above zero")
    total = sum(shares.values())
    rate = float(supply.best[period] / supply.calendar.length_s[period])
    open_units = rate * rules.wait_s
    return tuple(Order(buyer=b, units=open_units * s / total, standing=True) for b, s in shares.items())


def rush_order(
    order: Order,
    others: Sequence[Order],
    supply: ChipSupply,
    *,
    price: PricePath,
    rental: PricePath,
    rules: MarketRules | None = None,
    utilisation: float | None = None,
) -> RushOrder:
    """Return what an order with its premium and prepayment gets, and when, beside the same order without them; with a premium the
    prepayment stays in both.

    `others` are the other buyers' orders (`standing_orders`). The time gained is worth its rent at `utilisation` (0.7
    where None). Raises ValueError for an order without a premium or prepayment, or a utilisation outside 0..1.
    """
    if order.premium <= 0.0 and order.prepaid <= 0.0:
        raise ValueError("a rush order pays a premium or in advance")
    if order.begins >= supply.calendar.periods:
        raise ValueError("the order is placed after the end of the plan")
    used = market_facts()["utilisation"].best if utilisation is None else utilisation
    if not 0.0 <= used <= 1.0:
        raise ValueError(f"utilisation lies between 0 and 1: {used}")
    rules = rules or market_rules()
    plain = deliveries(
        [replace(order, premium=0.0, prepaid=0.0 if order.premium <= 0.0 else order.prepaid), *others],
        supply.samples,
        rules,
    )
    rush = deliveries([order, *others], supply.samples, rules)
    with_premium, without = _arrival(rush, order, supply), _arrival(plain, order, supply)
    length = supply.calendar.length_s
    ahead = np.cumsum((rush.units[0] - plain.units[0]).mean(axis=0))
    chip_s = ahead * length * used
    ends = ("low", "best", "high")
    rent = tuple(float((chip_s * getattr(rental, end)).sum()) for end in ends)
    paid = tuple(float((with_premium.units * getattr(price, end)).sum() * order.premium) for end in ends)
    names = list(dict.fromkeys(other.buyer for other in others))
    lost = {name: np.cumsum((plain.of(name) - rush.of(name)).mean(axis=0)) for name in names}
    found = RushOrder(
        chip=supply.chip,
        order=order,
        without=without,
        with_premium=with_premium,
        displaced={name: float(max(units.max(), 0.0)) for name, units in lost.items()},
        displaced_units=lost,
        chip_s_gained=float((ahead * length).sum()),
        premium_usd=(paid[0], paid[1], paid[2]),
        rental_value_usd=(rent[0], rent[1], rent[2]),
        verdict="",
    )
    return replace(found, verdict=_verdict(found))


def _arrival(found: Deliveries, order: Order, supply: ChipSupply) -> Delivered:
    """Return when the first order of `found` arrives, units as the mean of its samples."""
    units = found.units[0]
    mean, calendar = units.mean(axis=0), supply.calendar
    total = np.cumsum(units, axis=1)
    full = total >= order.units * (1.0 - 1e-9)
    last = np.where(full.any(axis=1), full.argmax(axis=1), calendar.periods)
    early, middle, late = (int(np.ceil(value)) for value in np.percentile(last, (5, 50, 95)))
    begin = calendar.edges_s[order.placed]
    arrived = (calendar.edges_s[:-1] + calendar.length_s / 2.0 - begin) * mean
    some = np.flatnonzero(mean > 0.0)
    return Delivered(
        units=mean,
        first=_quarter(supply, int(some[0])) if len(some) else "",
        last=_quarter(supply, middle),
        last_range=(_quarter(supply, early), _quarter(supply, late)),
        mean_wait_s=float(arrived.sum() / mean.sum()) if mean.sum() > 0.0 else 0.0,
        missing=max(float(order.units - mean.sum()), 0.0),
        by_sample_last=last.astype(np.float64),
    )


def _quarter(supply: ChipSupply, period: int) -> str:
    if period >= supply.calendar.periods:
        return ""
    day = supply.calendar.first_day(period)
    return f"{day.year}-Q{(day.month + 2) // 3}"


def _verdict(found: RushOrder) -> str:
    before, after = found.without.last or "after the plan ends", found.with_premium.last or "after the plan ends"
    when = f"complete {after} with the premium, {before} without it"
    low, best, high = found.rental_value_usd
    if found.premium_usd[2] < low:
        word = "The premium pays: the rent of the time gained is above it over the whole range of prices"
    elif found.premium_usd[0] > high:
        word = "The premium does not pay: the rent of the time gained is below it over the whole range of prices"
    elif best > found.premium_usd[1]:
        word = "The premium pays at best values, but not over the whole range of prices"
    else:
        word = "The premium does not pay at best values, but may within the range of prices"
    spare = "; part of the order is missing at the end of the plan" if found.with_premium.missing > 1.0 else ""
    return f"{word} ({when}{spare})."
