"""Levelised costs: discounted costs over discounted useful amounts. Which hours or tokens are counted is part of the
answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gigawatt.evidence import Breakdown
from gigawatt.finance._cash_flow import PROJECT_GROUPS, CashFlow
from gigawatt.finance._returns import DAYS_PER_YEAR, discount_factors, year_fractions

USEFUL_HOURS = "useful accelerator-hours: accelerators at work for a paying purpose, without downtime and idle time"
USEFUL_TOKENS = "useful tokens: tokens trained on, or sold"


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelisedCost:
    """USD per unit of what `denominator` says. `breakdown` splits the unit cost by line and sums to `usd_per_unit`."""

    usd_per_unit: float
    denominator: str
    discounted_costs_usd: float
    discounted_amount: float
    rate: float
    breakdown: Breakdown

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "usd_per_unit": self.usd_per_unit,
            "denominator": self.denominator,
            "discounted_costs_usd": self.discounted_costs_usd,
            "discounted_amount": self.discounted_amount,
            "rate": self.rate,
            "breakdown": self.breakdown.to_dict(),
        }


def levelised_from_cash_flow(
    cash_flow: CashFlow,
    amounts: ArrayLike,
    *,
    rate: float,
    denominator: str = USEFUL_HOURS,
    revenue: Sequence[str] = (),
    days_per_year: float = DAYS_PER_YEAR,
) -> LevelisedCost:
    """Return discounted costs over discounted `amounts` (T,), as 14.2 and 14.3 of docs/science.md.

    Costs are the operating, investing and tax lines but those named in `revenue`; money that comes back in them (a
    residual value) lowers the cost. Debt is left out: the rate stands for it. Amounts count on the date they stand at.
    Capex of 52,000 USD, 10 %, 5 years with the terms of `levelised_cost_of_compute`: 2.331 USD per useful hour.
    Raises ValueError for amounts that are negative, of another length or all zero, or a revenue line that is not there.
    """
    made = np.asarray(amounts, dtype=np.float64)
    if made.shape != (len(cash_flow.dates),) or not bool((made >= 0).all()) or not made.any():
        raise ValueError(f"{len(cash_flow.dates)} dates need as many amounts of 0 or more, some of them positive")
    earned = {cash_flow.line(label).label for label in revenue}
    factors = discount_factors(rate, year_fractions(cash_flow.dates, days_per_year))
    amount = float(made @ factors)
    costs = {
        line.label: -float(line.amounts @ factors)
        for line in cash_flow.lines
        if line.group in PROJECT_GROUPS and line.label not in earned
    }
    total = Breakdown.of(f"levelised cost per unit of {denominator}", "USD", costs)
    return LevelisedCost(
        usd_per_unit=total.value / amount,
        denominator=denominator,
        discounted_costs_usd=total.value,
        discounted_amount=amount,
        rate=rate,
        breakdown=total.scaled(1.0 / amount),
    )
