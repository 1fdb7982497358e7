"""Money: capital by part, cost of a run, cost per useful accelerator-hour and per token."""

from gigawatt.finance._assess import ASSUMPTIONS, FinanceResult, Purchase, assess, capital_per_accelerator
from gigawatt.finance._formulas import (
    capital_recovery_factor,
    levelised_cost,
    levelised_cost_of_compute,
    net_present_value,
)

__all__ = [
    "ASSUMPTIONS",
    "FinanceResult",
    "Purchase",
    "assess",
    "capital_per_accelerator",
    "capital_recovery_factor",
    "levelised_cost",
    "levelised_cost_of_compute",
    "net_present_value",
]
