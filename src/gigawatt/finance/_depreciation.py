"""What an asset loses: tax depreciation, value on the used market, and the share of it that a training run uses up.

Depreciation is a positive cost, USD by year. Values decline at rates per year, continuously (exp(-rate * years)).
"""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gigawatt.catalog import Catalog
from gigawatt.evidence import Grade, Sourced
from gigawatt.finance._formulas import HOURS_PER_YEAR

Array = NDArray[np.float64]
# arXiv 2405.21015: hardware of a given performance loses 0.14 orders of magnitude of its price a year.
EPOCH_DECLINE_OOM_PER_YEAR = 0.14
LEAST_PRICES = 4


def straight_line(cost_usd: float, years: int, *, salvage_usd: float = 0.0) -> Array:
    """Return the same depreciation every year down to `salvage_usd`, (years,) USD. 100 over 4 years: 25 each."""
    if years < 1:
        raise ValueError(f"an asset is written off over one year or more, not {years}")
    return np.full(years, (cost_usd - salvage_usd) / years)


def macrs(cost_usd: float, class_years: int, *, bonus_share: float = 0.0) -> Array:
    """Return US tax depreciation by year, (class_years + 1,) USD, by the percentages of IRS Publication 946, appendix A.

    3-, 5-, 7-, 10-, 15- and 20-year property by table A-1 (half-year convention); 39-year buildings by table A-7a
    (mid-month convention, in service in month 6). Servers are 5-year property. `bonus_share` of the cost is written
    off in the first year, the rest by the table. 100 USD, 5 years: 20, 32, 19.2, 11.52, 11.52, 5.76.
    Raises ValueError for another class or a share outside 0 to 1.
    """
    table = _macrs_percent()
    if class_years not in table:
        raise ValueError(f"no MACRS table for {class_years}-year property; there are {', '.join(map(str, table))}")
    if not 0.0 <= bonus_share <= 1.0:
        raise ValueError(f"the share written off at once is from 0 to 1, not {bonus_share:.6g}")
    losses = cost_usd * (1.0 - bonus_share) * np.array(table[class_years]) / 100.0
    losses[0] += cost_usd * bonus_share
    return losses


@cache
def _macrs_percent() -> Mapping[int, tuple[float, ...]]:
    text = files("gigawatt.finance").joinpath("data", "macrs.csv").read_text(encoding="utf-8")
    table: dict[int, tuple[float, ...]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        table[int(row["class_years"])] = (*table.get(int(row["class_years"]), ()), float(row["percent"]))
    return table


def residual_value(
    start_usd: float,
    age_years: ArrayLike,
    *,
    decline_per_year: float,
    launch_ages_years: Sequence[float] = (),
    step_down: float = 0.0,
) -> Array:
    """Return the value at ages (T,): start * exp(-decline * age), times 1 - `step_down` from every launch on.

    `launch_ages_years` are the ages at which a next generation ships. 30,000 USD, 0.165 a year, 3 years: 18,287;
    with one launch at 2 years that takes 20 %: 14,630. Raises ValueError for a step outside 0 to 1.
    """
    if not 0.0 <= step_down <= 1.0:
        raise ValueError(f"the step of the value at a launch is from 0 to 1, not {step_down:.6g}")
    age = np.asarray(age_years, dtype=np.float64)
    launches = np.sum([age >= launch for launch in launch_ages_years], axis=0) if launch_ages_years else 0
    return np.asarray(start_usd * np.exp(-decline_per_year * age) * (1.0 - step_down) ** launches)


def decline_per_year(days: Sequence[date], prices_usd: ArrayLike) -> float:
    """Return the rate at which dated prices (n,) fell, per year: minus the slope of ln(price), least squares.

    100 on 2024-01-01 and 73.576 on 2026-01-01: 0.1532. Raises ValueError for fewer than two days.
    """
    at = np.array([day.toordinal() for day in days]) / 365.25
    if len(set(days)) < 2:
        raise ValueError("a decline needs prices of two days or more")
    slope, _ = np.polyfit(at - at[0], np.log(np.asarray(prices_usd, dtype=np.float64)), 1).tolist()
    return -float(slope)


def residual_decline(catalog: Catalog) -> Sourced:
    """Return the decline of value per year that the catalogue's dated prices show: least, median and largest fit.

    One fit for each accelerator's price or rent with four dated rows or more (`gpu_price.*`, `rental.*`). Prices are
    those of new accelerators, rents those of the open market: neither is a resale price, which is seldom published.
    """
    fits = {}
    for key, rows in catalog.facts.items():
        if key.startswith(("gpu_price.", "rental.")) and len(rows) >= LEAST_PRICES:
            fits[key] = decline_per_year([_middle(row.date) for row in rows], [row.best for row in rows])
    named = ", ".join(f"{key} {fit:.3f}" for key, fit in sorted(fits.items(), key=lambda item: item[1]))
    return Sourced(
        low=min(fits.values()),
        best=statistics.median(fits.values()),
        high=max(fits.values()),
        unit="1/year",
        grade=Grade.DERIVED,
        source=f"least-squares fits of the catalogue's dated prices and rents: {named}",
        label="decline of the value of an accelerator",
        note="prices of new accelerators and rents, not resale prices",
    )


def amortised_cost(
    start_value_usd: float, chip_hours: float, *, decline_oom_per_year: float = EPOCH_DECLINE_OOM_PER_YEAR
) -> float:
    """Return Epoch's amortised cost: start value per chip * chip-hours / 8760 * r * ln(10), USD (arXiv 2405.21015).

    `start_value_usd` is the value of a chip when training starts; r, in orders of magnitude per year, is 0.14, so a
    chip loses 0.3224 of it per year. 30,000 USD over 8760 chip-hours: 9671.
    """
    return start_value_usd * chip_hours / HOURS_PER_YEAR * decline_oom_per_year * math.log(10.0)


def value_at_start(
    acquired_usd: float, waited_years: float, *, decline_oom_per_year: float = EPOCH_DECLINE_OOM_PER_YEAR
) -> float:
    """Return the value of a chip `waited_years` after it was acquired: acquired * 10^(-r * years). 1 year: 0.7244."""
    return acquired_usd * math.exp(-decline_oom_per_year * math.log(10.0) * waited_years)


def _middle(text: str) -> date:
    """Return the middle of the year or month that a row is dated with, or its day."""
    year, month, day = (*map(int, text.split("-")), 0, 0)[:3]
    return date(year, month or 7, day or (15 if month else 1))
