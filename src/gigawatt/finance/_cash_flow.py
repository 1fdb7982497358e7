"""Money by line and date.

    contract terms -> Payments (dated amounts) -> CashFlow (lines x dates) -> present value, returns, unit costs, table

Signs: positive is money in, negative money out, everywhere in this room but where a function says "cost". Amounts are
USD. T = dates, in ascending order. Group "financing" holds debt and nothing else: draw-downs are positive, interest and
principal negative. So operating + investing + tax is what the project earns, and all four together what equity earns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gigawatt.evidence import Breakdown
from gigawatt.finance._returns import DAYS_PER_YEAR, as_day, discount_factors, year_fractions

Array = NDArray[np.float64]
GROUPS = ("operating", "investing", "tax", "financing")
PROJECT_GROUPS = ("operating", "investing", "tax")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payments:
    """Dated amounts of one line, before they stand in a table: what the terms of a contract come to.

    `days` (n,) need no order and may repeat. Raises ValueError for another group or amounts that do not fit.
    """

    label: str
    group: str
    days: tuple[date, ...]
    amounts: tuple[float, ...]

    def __post_init__(self) -> None:
        _check_group(self.label, self.group)
        if len(self.days) != len(self.amounts):
            raise ValueError(f"line {self.label!r} has {len(self.days)} days and {len(self.amounts)} amounts")
        if not all(map(math.isfinite, self.amounts)):
            raise ValueError(f"line {self.label!r} has an amount that is not finite")

    @classmethod
    def of(cls, label: str, group: str, paid: Iterable[tuple[date | str, float]]) -> Payments:
        """Return the payments of (day, USD) pairs; a day may be ISO text."""
        pairs = [(as_day(day), float(amount)) for day, amount in paid]
        return cls(label=label, group=group, days=tuple(d for d, _ in pairs), amounts=tuple(a for _, a in pairs))

    @property
    def total(self) -> float:
        """Sum of the amounts, USD."""
        return math.fsum(self.amounts)


@dataclass(frozen=True, slots=True, kw_only=True)
class CashLine:
    """One line of a cash-flow table: `amounts` (T,) USD, positive = money in."""

    label: str
    group: str
    amounts: Array

    def __post_init__(self) -> None:
        _check_group(self.label, self.group)
        amounts = np.array(self.amounts, dtype=np.float64)
        if amounts.ndim != 1 or not bool(np.isfinite(amounts).all()):
            raise ValueError(f"the amounts of line {self.label!r} must be a row of finite numbers")
        amounts.setflags(write=False)
        object.__setattr__(self, "amounts", amounts)


@dataclass(frozen=True, slots=True, kw_only=True)
class CashFlow:
    """Lines x dates. `dates` (T,) ascend; labels are unique.

    Raises ValueError for no dates, dates out of order, a label that stands twice, or a line of another length.
    Worked: -100 on 2025-01-01 and +110 on 2026-01-01 at 10 % by ACT/365 (`days_per_year` 365) have the value 0.
    """

    dates: tuple[date, ...]
    lines: tuple[CashLine, ...]

    def __post_init__(self) -> None:
        dates = tuple(as_day(day) for day in self.dates)
        object.__setattr__(self, "dates", dates)
        if not dates or any(later <= day for day, later in pairwise(dates)):
            raise ValueError("a cash flow needs dates that ascend, each once")
        labels = [line.label for line in self.lines]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(f"a cash flow has more than one line {twice[0]!r}")
        for line in self.lines:
            if len(line.amounts) != len(dates):
                raise ValueError(f"line {line.label!r} has {len(line.amounts)} amounts for {len(dates)} dates")

    @classmethod
    def of(cls, payments: Iterable[Payments], *, dates: Sequence[date | str] | None = None) -> CashFlow:
        """Return the table of `payments`; those of one label and group become one line.

        Without `dates` every day of a payment is a date of the table, so nothing moves. With `dates` (first days of
        periods) a payment stands at the last date not after it. Raises ValueError for a payment before the first.
        """
        rows = list(payments)
        days = sorted({day for row in rows for day in row.days}) if dates is None else [as_day(day) for day in dates]
        ordinals = np.array([day.toordinal() for day in days])
        sums: dict[str, tuple[str, Array]] = {}
        for row in rows:
            group, amounts = sums.setdefault(row.label, (row.group, np.zeros(len(days))))
            if group != row.group:
                raise ValueError(f"line {row.label!r} stands in two groups: {group} and {row.group}")
            place = np.searchsorted(ordinals, [day.toordinal() for day in row.days], side="right") - 1
            if len(place) and place.min() < 0:
                raise ValueError(f"line {row.label!r} has a payment on {min(row.days)}, before the first date")
            np.add.at(amounts, place, row.amounts)
        lines = tuple(CashLine(label=label, group=group, amounts=a) for label, (group, a) in sums.items())
        return cls(dates=tuple(days), lines=lines)

    def plus(self, *lines: CashLine) -> CashFlow:
        """Return the cash flow with more lines on the same dates."""
        return CashFlow(dates=self.dates, lines=self.lines + lines)

    def line(self, label: str) -> CashLine:
        """Return the line of that label. Raises ValueError where there is none."""
        for line in self.lines:
            if line.label == label:
                return line
        raise ValueError(f"the cash flow has no line {label!r}; it has {', '.join(x.label for x in self.lines)}")

    def total(self, *groups: str) -> Array:
        """Return the sum of the lines of those groups (all four by default), (T,) USD."""
        for group in groups:
            _check_group("total", group)
        chosen = [line.amounts for line in self.lines if line.group in (groups or GROUPS)]
        return np.sum(chosen, axis=0) if chosen else np.zeros(len(self.dates))

    @property
    def project(self) -> Array:
        """What the project earns before debt, (T,) USD."""
        return self.total(*PROJECT_GROUPS)

    @property
    def equity(self) -> Array:
        """What is left for equity after debt, (T,) USD."""
        return self.total()

    @property
    def cumulative(self) -> Array:
        """Balance after each date, starting from nothing, (T,) USD."""
        return np.cumsum(self.equity)

    @property
    def least_balance(self) -> tuple[date, float]:
        """The first date of the least balance, and that balance: the money that must be found is its opposite."""
        place = int(np.argmin(self.cumulative))
        return self.dates[place], float(self.cumulative[place])

    def present_value(
        self, rate: float, *, groups: Sequence[str] = PROJECT_GROUPS, days_per_year: float = DAYS_PER_YEAR
    ) -> Breakdown:
        """Return the present value on the first date, group by group and line by line; the parts sum to the NPV.

        `rate` is effective per year. By default debt is left out, as a project is valued.
        """
        factors = discount_factors(rate, year_fractions(self.dates, days_per_year))
        parts: dict[str, float | Breakdown] = {}
        for group in groups:
            lines = [line for line in self.lines if line.group == group]
            if lines:
                values = {line.label: float(line.amounts @ factors) for line in lines}
                parts[group] = Breakdown.of(group, "USD", values)
        return Breakdown.of("net present value", "USD", parts)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per date: every line, the totals of the groups, net and balance."""
        columns: dict[str, Array] = {line.label: line.amounts for line in self.lines}
        columns |= {f"total {group}": self.total(group) for group in GROUPS}
        columns |= {"project": self.project, "equity": self.equity, "balance": self.cumulative}
        return [
            {"date": day.isoformat(), **{name: float(values[i]) for name, values in columns.items()}}
            for i, day in enumerate(self.dates)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON and for `gigawatt.export.write_cash_flow`: dates, lines, totals, least balance."""
        day, balance = self.least_balance
        return {
            "unit": "USD",
            "dates": [day.isoformat() for day in self.dates],
            "lines": [{"label": x.label, "group": x.group, "amounts": x.amounts.tolist()} for x in self.lines],
            "totals": {group: self.total(group).tolist() for group in GROUPS},
            "project": self.project.tolist(),
            "equity": self.equity.tolist(),
            "balance": self.cumulative.tolist(),
            "least_balance": {"date": day.isoformat(), "usd": balance},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CashFlow:
        """Return the cash flow that `to_dict` described; only its dates and lines are read."""
        lines = tuple(CashLine(label=x["label"], group=x["group"], amounts=_row(x["amounts"])) for x in data["lines"])
        return cls(dates=tuple(as_day(day) for day in data["dates"]), lines=lines)

    def to_frame(self) -> Any:
        """Return the table as a pandas DataFrame, one row per date. Needs pandas."""
        import pandas as pd

        frame = pd.DataFrame(self.rows())
        return frame.assign(date=pd.to_datetime(frame["date"])).set_index("date")


def _row(values: ArrayLike) -> Array:
    return np.asarray(values, dtype=np.float64)


def _check_group(label: str, group: str) -> None:
    if group not in GROUPS:
        raise ValueError(f"line {label!r} is in group {group!r}; allowed: {', '.join(GROUPS)}")
