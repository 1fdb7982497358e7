"""What dated money is worth: net present value, internal rates, multiple, payback, debt cover.

Day count: years between two dates are days / `days_per_year`, 365.25 by default (ACT/365.25, the year of this package);
365 gives what spreadsheets call XNPV and XIRR. Rates are effective per year. T = dates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
DAYS_PER_YEAR = 365.25
# Rates that a search for roots covers: a loss of 99.9 % a year to a hundredfold gain.
LOWEST_RATE, HIGHEST_RATE, SCAN_POINTS = -0.999, 100.0, 2001
LEAST_QUOTED_RATE = -0.5
ROUNDING = 1e-12
BLOCK_CELLS = 1 << 20  # dates x rates in memory at a time


def as_day(day: date | str) -> date:
    """Return a date, given one or its ISO text. Raises ValueError for other text."""
    return date.fromisoformat(day) if isinstance(day, str) else day


def year_fractions(dates: Sequence[date | str], days_per_year: float = DAYS_PER_YEAR) -> Array:
    """Return years from the first date to each, (T,): days / `days_per_year`.

    2024-01-01 to 2025-01-01 has 366 days: 1.00205 years by ACT/365.25. Raises ValueError for no dates.
    """
    if not len(dates) or days_per_year <= 0:
        raise ValueError("a day count needs one or more dates and a positive number of days per year")
    days = np.array([as_day(day).toordinal() for day in dates], dtype=np.float64)
    return np.asarray((days - days[0]) / days_per_year)


def discount_factors(rate: float, years: ArrayLike) -> Array:
    """Return (1 + rate)^-years. 10 %, 2 years: 0.82645. Raises ValueError for a rate of -100 % or less."""
    if not rate > -1.0 or not np.isfinite(rate):
        raise ValueError(f"a rate per year is above -100 %, not {rate:.6g}")
    return np.asarray(np.exp(-np.log1p(rate) * np.asarray(years, dtype=np.float64)))


def dated_net_present_value(
    rate: float, dates: Sequence[date | str], amounts: ArrayLike, *, days_per_year: float = DAYS_PER_YEAR
) -> float:
    """Return the sum of amounts (T,) times discount factors, on the first date, USD.

    XNPV of spreadsheets at `days_per_year=365`: -10000, 2750, 4250, 3250, 2750 on 2008-01-01, 2008-03-01, 2008-10-30,
    2009-02-15, 2009-04-01 at 9 % are 2086.65 (the example of the XNPV help page).
    """
    return float(_row(dates, amounts) @ discount_factors(rate, year_fractions(dates, days_per_year)))


@dataclass(frozen=True, slots=True, kw_only=True)
class InternalRates:
    """All rates per year at which the net present value is zero, ascending.

    `sign_changes` of the amounts in order of date bounds their number (Descartes). None at all is an answer: money
    that flows one way has no internal rate.
    """

    rates: tuple[float, ...]
    sign_changes: int

    @property
    def only(self) -> float | None:
        """The rate where there is exactly one, else None: several roots rank nothing; use the net present value."""
        return self.rates[0] if len(self.rates) == 1 else None

    @property
    def quoted(self) -> float | None:
        """The only rate above -50 % a year, else None. A tax bill after the last income adds a root near -100 %."""
        likely = [rate for rate in self.rates if rate > LEAST_QUOTED_RATE]
        return likely[0] if len(likely) == 1 else None


def internal_rates(
    dates: Sequence[date | str], amounts: ArrayLike, *, days_per_year: float = DAYS_PER_YEAR
) -> InternalRates:
    """Return every internal rate of return from -99.9 % to 10000 % a year of amounts (T,).

    The value as a function of x = ln(1 + rate) is scanned and so is its slope; each change of sign is narrowed by
    bisection, and an extremum that only touches zero counts as a root. -100, 230, -132 a year apart: 10 % and 20 %.
    """
    flows = _row(dates, amounts)
    years = year_fractions(dates, days_per_year)
    signs = np.sign(flows[flows != 0])
    changes = int(np.count_nonzero(signs[1:] != signs[:-1]))
    if changes == 0:
        return InternalRates(rates=(), sign_changes=0)
    grid = np.linspace(np.log1p(LOWEST_RATE), np.log1p(HIGHEST_RATE), SCAN_POINTS)
    value = _scaled_value(flows, years)
    turns = _roots(_scaled_value(flows * (years - years[np.argmax(flows != 0)]), years), grid)
    nodes = np.unique(np.concatenate([grid, turns]))
    touching = turns[np.abs(value(turns)) < 1e-13]
    found = np.unique(np.concatenate([_roots(value, nodes), touching]))
    # The value is known to rounding only: roots closer than that are one.
    apart = np.concatenate([[True], np.diff(found) > 1e-7]) if len(found) else np.zeros(0, dtype=bool)
    return InternalRates(rates=tuple(np.expm1(found[apart]).tolist()), sign_changes=changes)


def multiple_on_capital(amounts: ArrayLike) -> float | None:
    """Return MOIC: money taken out over money put in, of net amounts (T,). None where nothing was put in.

    -100, 60, 60: 1.2.
    """
    flows = np.asarray(amounts, dtype=np.float64)
    paid_in = -float(flows[flows < 0].sum())
    return float(flows[flows > 0].sum()) / paid_in if paid_in else None


def payback_years(years: ArrayLike, amounts: ArrayLike) -> float | None:
    """Return the years after which the balance of amounts (T,) at `years` (T,) stays at or above zero; None if never.

    Between two dates the balance is taken as a straight line: -100, 60, 60 a year apart are back after 1.667 years.
    Discounted payback: give discounted amounts. A balance within 1e-12 of all that moved counts as zero.
    """
    at, flows = np.asarray(years, dtype=np.float64), np.asarray(amounts, dtype=np.float64)
    balance = np.cumsum(flows)
    below = np.flatnonzero(balance < -ROUNDING * np.abs(flows).sum())
    if not len(below):
        return float(at[0])
    last = int(below[-1])
    if last == len(balance) - 1:
        return None
    share = min(1.0, -balance[last] / (balance[last + 1] - balance[last]))
    return float(at[last] + share * (at[last + 1] - at[last]))


def debt_service_cover(available: ArrayLike, service: ArrayLike) -> Array:
    """Return DSCR (T,): cash since the last debt service over debt service, both positive; NaN where nothing is due.

    Cash of dates without service (months between quarterly payments) counts for the next one.
    130 available, 100 due: 1.3; 50, 80 available, 0, 100 due: NaN, 1.3.
    """
    cash, due = np.asarray(available, dtype=np.float64), np.asarray(service, dtype=np.float64)
    cover = np.full(due.shape, np.nan)
    paid = np.flatnonzero(due > 0)
    cover[paid] = np.diff(np.cumsum(cash)[paid], prepend=0.0) / due[paid]
    return cover


def loan_life_cover(available: ArrayLike, service: ArrayLike, factors: ArrayLike) -> float | None:
    """Return LLCR: present value of the cash available up to the last debt service / debt outstanding; None without
    debt.

    Arrays (T,); `factors` discount at the rate of the debt, at which the debt outstanding is the present value of its
    service. Cash of 130 wherever 100 is due: 1.3.
    """
    cash, due = np.asarray(available, dtype=np.float64), np.asarray(service, dtype=np.float64)
    paid = np.flatnonzero(due > 0)
    if not len(paid):
        return None
    life = slice(0, int(paid[-1]) + 1)
    weights = np.asarray(factors, dtype=np.float64)[life]
    return float(cash[life] @ weights) / float(due[life] @ weights)


def plain(value: float) -> float | None:
    """Return a float, or None for NaN, which JSON does not know."""
    return None if np.isnan(value) else float(value)


def _row(dates: Sequence[Any], amounts: ArrayLike) -> Array:
    flows = np.asarray(amounts, dtype=np.float64)
    if flows.shape != (len(dates),) or not bool(np.isfinite(flows).all()):
        raise ValueError(f"{len(dates)} dates need as many finite amounts, not an array of shape {flows.shape}")
    return flows


def _scaled_value(flows: Array, years: Array) -> Callable[[Array], Array]:
    """Return x -> present value at ln(1 + rate) = x over the sum of its absolute terms: within -1 and 1, no overflow."""
    used = flows != 0
    signs, logs, t = np.sign(flows[used]), np.log(np.abs(flows[used])), years[used]

    def block(x: Array) -> Array:
        exponents = logs[:, None] - np.multiply.outer(t, x)
        terms = np.exp(exponents - exponents.max(axis=0))
        return np.asarray(signs @ terms / terms.sum(axis=0))

    def value(x: Array) -> Array:
        if not len(t) or not len(x):
            return np.zeros(len(x))
        parts = np.array_split(x, -(-len(x) * len(t) // BLOCK_CELLS))
        return np.concatenate([block(part) for part in parts])

    return value


def _roots(function: Callable[[Array], Array], nodes: Array) -> Array:
    """Return where `function` changes sign between neighbouring nodes, and the nodes where it is zero; bisection."""
    values = np.sign(function(nodes))
    zero = nodes[values == 0]
    left = np.flatnonzero(values[:-1] * values[1:] < 0)
    low, high, sign = nodes[left], nodes[left + 1], values[left]
    for _ in range(60):
        middle = 0.5 * (low + high)
        same = np.sign(function(middle)) == sign
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return np.concatenate([zero, 0.5 * (low + high)])
