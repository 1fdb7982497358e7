"""The value of time: buy now or wait for the next generation, and what a day of delay costs (docs/science.md 14.8).

Times are years from now; rates per year; prices and values USD of today's accelerator. T = moments to buy at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gigawatt.evidence import Breakdown
from gigawatt.finance._returns import DAYS_PER_YEAR

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """An accelerator on offer from `launch_years` on: its performance against today's, its price then and the path of
    that price: a continuous fall per year, and `price_steps` of (years from now, share off), at later launches, say.
    """

    name: str
    launch_years: float
    performance: float
    price_usd: float
    price_decline_per_year: float = 0.0
    price_steps: tuple[tuple[float, float], ...] = ()

    def price_at(self, years: ArrayLike) -> Array:
        """Return the price at moments (T,), USD of those moments. 30,000, a year at 0.1, then 20 % off: 21,716."""
        at = np.asarray(years, dtype=np.float64)
        price = self.price_usd * np.exp(-self.price_decline_per_year * (at - self.launch_years))
        for moment, off in self.price_steps:
            price = np.where(at >= moment, price * (1.0 - off), price)
        return np.asarray(price)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuyOrWait:
    """Value today of buying at each of the moments (T,), the generation bought then, and the best moment.

    `expected_npv_usd` (T,) counts the chance that the offer is still there; `worth_of_waiting_usd` is the best of it
    less that of buying now (0: buy now). Never buying is worth 0: `best_npv_usd` below that says not to buy at all.
    """

    years: Array
    npv_usd: Array
    expected_npv_usd: Array
    generation: tuple[str, ...]
    best_years: float
    best_npv_usd: float
    now_npv_usd: float
    worth_of_waiting_usd: float

    @property
    def decision(self) -> str:
        """What to do: "buy now", "wait" or "do not buy"."""
        if self.best_npv_usd <= 0:
            return "do not buy"
        return "wait" if self.worth_of_waiting_usd > 0 else "buy now"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "decision": self.decision,
            "years": self.years.tolist(),
            "npv_usd": self.npv_usd.tolist(),
            "expected_npv_usd": self.expected_npv_usd.tolist(),
            "generation": list(self.generation),
            "best_years": self.best_years,
            "best_npv_usd": self.best_npv_usd,
            "now_npv_usd": self.now_npv_usd,
            "worth_of_waiting_usd": self.worth_of_waiting_usd,
        }


def buy_now_or_wait(
    generations: tuple[Generation, ...],
    *,
    years: ArrayLike,
    rate: float,
    margin_usd_per_year: float,
    margin_decline_per_year: float,
    life_years: float,
    lead_years: float = 0.0,
    supply_hazard_per_year: float = 0.0,
    horizon_years: float = math.inf,
) -> BuyOrWait:
    """Return the value of buying one accelerator at each of `years` (T,), ascending from 0, and the best of them.

    An accelerator of performance p that works at time s earns p * margin * exp(-decline * s) a year: prices of compute
    fall as price-performance improves, whoever owns what. It works from `lead_years` after the purchase for
    `life_years`, no later than `horizon_years`. Bought is the generation on offer that is worth most. While one waits
    the offer (allocation, site, power) is lost at `supply_hazard_per_year`: NPV(t) counts exp(-hazard * t).
    Price 30,000, margin 12,000 falling 0.3 a year, 5 years at 10 %: 12,000 * 2.1792 - 30,000 = -3850.
    Raises ValueError where nothing is on offer now or the moments do not ascend from 0.
    """
    at = np.atleast_1d(np.asarray(years, dtype=np.float64))
    if at[0] != 0 or bool((np.diff(at) <= 0).any()):
        raise ValueError("the moments to buy at must ascend from 0, which is now")
    if not any(generation.launch_years <= 0 for generation in generations):
        raise ValueError("no generation is on offer now, so there is nothing to compare waiting with")
    growth = math.log1p(rate)
    start = at + lead_years
    end = np.minimum(start + life_years, horizon_years)
    earned = _earnings(growth + margin_decline_per_year, start, np.maximum(start, end)) * margin_usd_per_year
    values = np.stack([_value(g, at, earned, growth) for g in generations])
    chosen, npv = np.argmax(values, axis=0), np.max(values, axis=0)
    expected = npv * np.exp(-supply_hazard_per_year * at)
    best = int(np.argmax(expected))
    return BuyOrWait(
        years=at,
        npv_usd=npv,
        expected_npv_usd=expected,
        generation=tuple(generations[i].name for i in chosen.tolist()),
        best_years=float(at[best]),
        best_npv_usd=float(expected[best]),
        now_npv_usd=float(npv[0]),
        worth_of_waiting_usd=float(expected[best] - npv[0]),
    )


def _value(generation: Generation, at: Array, earned: Array, growth: float) -> Array:
    """Return the value today (T,) of buying this generation; minus infinity before its launch."""
    worth = generation.performance * earned - generation.price_at(at) * np.exp(-growth * at)
    return np.where(at >= generation.launch_years, worth, -np.inf)


def _earnings(speed: float, start: Array, end: Array) -> Array:
    """Return the integral of exp(-speed * t) from start to end, (T,)."""
    length = end - start
    if abs(speed) < 1e-15:
        return length
    return np.asarray(-np.exp(-speed * start) * np.expm1(-speed * length) / speed)


def cost_of_delay_per_day(
    *,
    contribution_usd_per_year: float,
    committed_usd: float,
    decline_per_year: float,
    rate: float,
) -> Breakdown:
    """Return USD a day that a plan loses while it stands still: contribution, obsolescence, cost of the money.

    `committed_usd` is what has been spent on what stands idle (0 before an order: then waiting costs the contribution
    alone); it loses `decline_per_year` of its value and costs `rate` a year. 3.6525 billion USD committed at 30 % and
    10 %, 1.46 billion of contribution a year: 4.0 + 3.0 + 1.0 = 8.0 million USD a day.
    """
    parts = {
        "contribution lost": contribution_usd_per_year,
        "obsolescence": committed_usd * decline_per_year,
        "cost of the money": committed_usd * rate,
    }
    yearly = Breakdown.of("cost of a day of delay", "USD/day", parts)
    return yearly.scaled(1.0 / DAYS_PER_YEAR)
