"""Who gets the chips: orders that share a supply, month by month.

The rule: every open order holds a claim, its size x weight x (1 + premium)^elasticity, from the month it is placed
until it is filled. The supply of a month goes to the open orders in proportion to their claims; what an order cannot
take (it is filled) goes to the others, and what nobody takes stays unsold. An order without a premium then waits about
(open orders) / (supply), which is what sellers call the lead time; a premium divides the wait by (1 + premium)^e.
A prepaid part counts as the premium that it is worth to the seller: the interest of the time that orders wait.

Nothing is made or lost: delivered + unsold = supply, in every period and sample.

Shapes: O = orders, S = samples, P = periods. Units are chips per period.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from gigawatt.buildout._calendar import day_of
from gigawatt.buildout._ranges import Array
from gigawatt.buildout._supply_tables import at_key, catalogue_fact, rows, sourced
from gigawatt.evidence import Sourced

# An order with less than this open is filled: a millionth of a chip.
FILLED = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Chips that a buyer has asked for.

    `placed` and `earliest` are periods: the claim counts from the later of the two on (`earliest` where the site is not
    ready before). `premium` is the fraction paid above the price, `prepaid` the fraction paid when ordering. A
    `standing` order is never filled: the buyer orders anew what is delivered, and `units` is what it has open.
    Raises ValueError for numbers out of range.
    """

    buyer: str
    units: float
    placed: int = 0
    earliest: int = 0
    premium: float = 0.0
    prepaid: float = 0.0
    weight: float = 1.0
    standing: bool = False

    def __post_init__(self) -> None:
        if not (self.units >= 0.0 and math.isfinite(self.units)):
            raise ValueError(f"the units of an order must be a finite number of at least zero: {self.units}")
        if not (self.premium > -1.0 and math.isfinite(self.premium)):
            raise ValueError(f"a premium is a fraction above -1 (0.2 = 20 % more): {self.premium}")
        if not 0.0 <= self.prepaid <= 1.0:
            raise ValueError(f"the prepaid fraction lies between 0 and 1: {self.prepaid}")
        if not (self.weight > 0.0 and math.isfinite(self.weight)):
            raise ValueError(f"a weight must be above zero and finite: {self.weight}")

    @property
    def begins(self) -> int:
        """The period from which the order takes part."""
        return max(self.placed, self.earliest)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketRules:
    """How buyers are ranked: `elasticity` of the claim in the price paid, and what a prepayment is worth.

    `wait_s` is the time that orders wait, `interest_per_s` what money costs the seller.
    """

    elasticity: float
    wait_s: float
    interest_per_s: float

    def claim(self, order: Order) -> float:
        """Return the claim of an order: its units x weight x (1 + premium + interest on what is prepaid)^elasticity."""
        paid = 1.0 + order.premium + order.prepaid * self.interest_per_s * self.wait_s
        return float(order.units * order.weight * paid**self.elasticity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """Units per order, sample and period, `units` (O, S, P), and what nobody took, `unsold` (S, P)."""

    orders: tuple[Order, ...]
    units: Array
    unsold: Array

    def of(self, buyer: str) -> Array:
        """Return the units of a buyer over all its orders, (S, P). Raises ValueError for a buyer without an order."""
        mine = [i for i, order in enumerate(self.orders) if order.buyer == buyer]
        if not mine:
            raise ValueError(f"{buyer!r} has no order; buyers are {', '.join(sorted({o.buyer for o in self.orders}))}")
        return np.asarray(self.units[mine].sum(axis=0))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: median units per buyer and period."""
        buyers = dict.fromkeys(order.buyer for order in self.orders)
        return {
            "buyers": {name: np.median(self.of(name), axis=0).tolist() for name in buyers},
            "unsold": np.median(self.unsold, axis=0).tolist(),
        }


def market_rules(end: str = "best") -> MarketRules:
    """Return the packaged rules with the elasticity at its low, best or high end. Raises ValueError for another end."""
    facts = at_key("supply_market.csv")
    if end not in ("low", "best", "high"):
        raise ValueError(f"end must be low, best or high, not {end!r}")
    interest = _cost_of_capital().best / (365.25 * 86_400.0)
    return MarketRules(
        elasticity=float(getattr(facts["premium_elasticity"], end)),
        wait_s=facts["backlog_s"].best,
        interest_per_s=interest,
    )


def market_facts() -> dict[str, Sourced]:
    """Return the numbers of data/supply_market.csv by key, and the cost of capital."""
    return {**at_key("supply_market.csv"), "cost_of_capital": _cost_of_capital()}


def _cost_of_capital() -> Sourced:
    return catalogue_fact("finance.discount_rate")


def buyer_shares(vendor: str, year: int, *, chip: str = "", exclude: Sequence[str] = ()) -> dict[str, Sourced]:
    """Return buyer -> share of a vendor's chips, by the latest rows up to `year`; best values sum to 1.

    With `chip`, buyers in a region from which an export rule keeps it at the middle of the year are left out, and a
    part that was made for such a region goes to the buyers there alone. Raises ValueError where no buyer is known.
    """
    found: dict[str, Sourced] = {}
    only = _made_for(chip)
    for row in rows("supply_buyers.csv"):
        region = row["region"]
        if row["vendor"] != vendor or int(row["at"]) > year or row["buyer"] in exclude or (only and region != only):
            continue
        if not (chip and region and barred(chip, region, f"{year}-07")):
            found[row["buyer"]] = sourced(row, label=f"{row['buyer']} of {vendor}")
    if not found:
        raise ValueError(f"no buyers of {chip or vendor!r} are known for {year}")
    total = sum(value.best for value in found.values())
    return {name: _share_of(value, total) for name, value in found.items()}


def _share_of(value: Sourced, total: float) -> Sourced:
    share = value.best / total
    return replace(value, low=min(value.low, share), best=share, high=max(value.high, share))


def _made_for(chip: str) -> str:
    """Return the region that a chip was made for under an export rule, "" for a chip that all may have."""
    made = [row["region"] for row in rows("export_rules.csv") if chip and chip in row["replaced_by"].split(";")]
    return made[0] if made else ""


def owners() -> dict[str, str]:
    """Return buyer -> owner, of those that belong together with another buyer."""
    return {row["buyer"]: row["owner"] for row in rows("supply_buyers.csv") if row["owner"]}


def barred(chip: str, region: str, day: str) -> bool:
    """Return whether a dated export rule keeps a chip from a region on a day ("2023-11-01"); later rules win."""
    state = False
    for row in sorted(rows("export_rules.csv"), key=lambda row: row["date"]):
        if row["region"] == region and day_of(row["date"]) <= day_of(day):
            state = (state or chip in row["barred"].split(";")) and chip not in row["replaced_by"].split(";")
    return state


def deliveries(orders: Sequence[Order], supply: Array, rules: MarketRules) -> Deliveries:
    """Return what every order gets of a supply, (P,) or (S, P), by the rule at the top of this module.

    Raises ValueError for no orders or a supply that is negative, infinite or of another shape.
    """
    total = np.atleast_2d(np.asarray(supply, np.float64))
    if not orders:
        raise ValueError("a market needs at least one order")
    if total.ndim != 2 or not np.all(np.isfinite(total)) or np.any(total < 0.0):
        raise ValueError("a supply is finite, at least zero, and has one row per sample and one column per period")
    samples, periods = total.shape
    size = np.array([np.inf if order.standing else order.units for order in orders])[:, None]
    claims = np.array([rules.claim(order) for order in orders])[:, None]
    begins = np.array([order.begins for order in orders])[:, None]
    left = np.broadcast_to(size, (len(orders), samples)).copy()
    units = np.zeros((len(orders), samples, periods))
    unsold = np.empty_like(total)
    for period in range(periods):
        taken = share_out(total[:, period], np.where(begins <= period, claims, 0.0), left)
        left -= taken
        units[:, :, period] = taken
        unsold[:, period] = np.maximum(total[:, period] - taken.sum(axis=0), 0.0)
    return Deliveries(orders=tuple(orders), units=units, unsold=unsold)


def share_out(supply: Array, claims: Array, left: Array) -> Array:
    """Return how a supply (S,) is divided: in proportion to `claims` (O, S), nobody above `left` (O, S), what one cannot
    take going to the others. Water-filling by the level at which each order is full.
    """
    claims = np.where((left > FILLED) & (claims > FILLED), np.broadcast_to(claims, left.shape), 0.0)
    level = np.where(claims > 0.0, left / np.where(claims > 0.0, claims, 1.0), np.inf)
    order = np.argsort(level, axis=0, kind="stable")
    sorted_level = np.take_along_axis(level, order, axis=0)
    sorted_claim = np.take_along_axis(claims, order, axis=0)
    need = np.where(sorted_claim > 0.0, sorted_level, 0.0) * sorted_claim  # endless for those that are never full
    filled = np.concatenate([np.zeros((1, need.shape[1])), np.cumsum(need, axis=0)[:-1]])  # by the orders before
    rest = np.flip(np.cumsum(np.flip(sorted_claim, axis=0), axis=0), axis=0)  # claims of this order and those after it
    with np.errstate(divide="ignore", invalid="ignore"):
        levels = np.where(rest > 0.0, np.maximum(supply - filled, 0.0) / rest, 0.0)
    water = levels.max(axis=0)  # it rises until the first order that is not filled, and falls after it
    got = np.minimum(water, sorted_level) * sorted_claim
    out = np.empty_like(left)
    np.put_along_axis(out, order, got, axis=0)
    return np.minimum(out, left)


def redirect(
    delivered: Array, given: int, taker: int, period: int, units: float, returns: Sequence[tuple[int, float]] = ()
) -> Array:
    """Return deliveries (O, S, P) after an owner has moved `units` of one of its buyers to another in a period, and back
    again in later ones (`returns`: period, units). The sum over orders stays.

    What was not delivered cannot be moved: such a part stays where it is. Raises ValueError for an unknown order,
    the same order twice, or a period outside the plan.
    """
    orders, _, periods = delivered.shape
    moves = [(given, taker, period, units), *((taker, given, when, back) for when, back in returns)]
    if given == taker or not (0 <= given < orders and 0 <= taker < orders):
        raise ValueError("chips are redirected between two different orders")
    if any(not 0 <= when < periods or amount < 0.0 for _, _, when, amount in moves):
        raise ValueError("chips are redirected in a period of the plan, and not fewer than none")
    out = delivered.copy()
    for source, target, when, amount in moves:
        moved = np.minimum(out[source, :, when], amount)
        out[source, :, when] -= moved
        out[target, :, when] += moved
    return out


def export_parts() -> tuple[tuple[str, ...], tuple[date, ...]]:
    """Return the chips that were made for regions under export rules, and the days on which the rules changed."""
    parts = [chip for row in rows("export_rules.csv") for chip in row["replaced_by"].split(";") if chip]
    return tuple(dict.fromkeys(parts)), tuple(sorted(day_of(row["date"]) for row in rows("export_rules.csv")))
