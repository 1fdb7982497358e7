"""Money in closed form (docs/science.md 14). USD, rates per year where a formula of the literature has them; outflows
are positive costs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

HOURS_PER_YEAR = 8760.0


def capital_recovery_factor(rate: float, years: float) -> float:
    """Return w(1+w)^n / ((1+w)^n - 1), the yearly payment per unit of capital. 10 %, 5 years: 0.26380; 1/n at no
    interest.
    """
    if rate == 0:
        return 1.0 / years
    return rate / -math.expm1(-years * math.log1p(rate))


def net_present_value(rate: float, cash_flows: Sequence[float]) -> float:
    """Return sum of cash_flows[t] / (1+w)^t, t = 0, 1, ... years."""
    return sum(flow / (1.0 + rate) ** year for year, flow in enumerate(cash_flows))


def levelised_cost(rate: float, costs: Sequence[float], amounts: Sequence[float]) -> float:
    """Return discounted costs over discounted amounts (LCOE where the amounts are energy)."""
    return net_present_value(rate, costs) / net_present_value(rate, amounts)


def levelised_cost_of_compute(
    *,
    capex_usd: float,
    rate: float,
    years: float,
    maintenance_per_year: float,
    power_w: float,
    pue: float,
    load: float,
    energy_usd_per_joule: float,
    useful_fraction: float,
) -> float:
    """Return USD per useful accelerator-hour: (capex*CRF + O&M + energy) / (8760 * useful fraction).

    52,000 USD, 10 %, 5 years, O&M 3 %, 1.4 kW x 1.2 at 90 % load, 0.08 USD/kWh, useful 0.8: 2.331.
    """
    capital = capex_usd * (capital_recovery_factor(rate, years) + maintenance_per_year)
    energy = power_w * pue * load * HOURS_PER_YEAR * 3600.0 * energy_usd_per_joule
    return (capital + energy) / (HOURS_PER_YEAR * useful_fraction)
