"""Failures, checkpoints and goodput of a job, in closed form."""

from gigawatt.reliability._assess import ASSUMPTIONS, POLICIES, ReliabilityResult, assess, spares_needed
from gigawatt.reliability._formulas import (
    availability_interval,
    daly_interval,
    exact_efficiency,
    exact_interval,
    first_order_waste,
    mean_time_between_failures,
    poisson_quantile,
    young_interval,
)

__all__ = [
    "ASSUMPTIONS",
    "POLICIES",
    "ReliabilityResult",
    "assess",
    "availability_interval",
    "daly_interval",
    "exact_efficiency",
    "exact_interval",
    "first_order_waste",
    "mean_time_between_failures",
    "poisson_quantile",
    "spares_needed",
    "young_interval",
]
