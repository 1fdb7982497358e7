"""Periods of a plan: months or weeks from a first day on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

DAY = 86_400.0
STEPS = ("month", "week")


def day_of(text: str) -> date:
    """Return the first day of a year ("2024"), a month ("2024-05"), a quarter ("2024-Q2") or a day.

    Raises ValueError for anything else.
    """
    year, _, rest = text.partition("-")
    if rest[:1] == "Q":
        return date(int(year), 3 * int(rest[1:]) - 2, 1)
    return date.fromisoformat({4: f"{text}-01-01", 7: f"{text}-01"}.get(len(text), text))


@dataclass(frozen=True, slots=True)
class Calendar:
    """`periods` months or weeks (`step`) from the day `start` on. Months begin on the first of the month.

    Times inside the engine are seconds from `start`. Raises ValueError for another step or no periods.
    """

    start: date
    periods: int
    step: str = "month"

    def __post_init__(self) -> None:
        if self.step not in STEPS or self.periods < 1:
            raise ValueError(f"a calendar has one or more periods, each a {' or a '.join(STEPS)}")
        if self.step == "month":
            object.__setattr__(self, "start", self.start.replace(day=1))

    def first_day(self, period: int) -> date:
        """Return the first day of a period, which may lie before or after the plan."""
        if self.step == "week":
            return self.start + timedelta(weeks=period)
        months = self.start.year * 12 + self.start.month - 1 + period
        return date(months // 12, months % 12 + 1, 1)

    def period_of(self, day: date) -> int:
        """Return the period that a day lies in, below 0 before the plan and `periods` or more after it."""
        if self.step == "week":
            return (day - self.start).days // 7
        return (day.year - self.start.year) * 12 + day.month - self.start.month

    def seconds_of(self, day: date) -> float:
        """Return the seconds from the start of the plan to a day."""
        return (day - self.start).days * DAY

    def day_at(self, seconds: float) -> date:
        """Return the day that lies `seconds` after the start."""
        return self.start + timedelta(days=int(seconds // DAY))

    @property
    def edges_s(self) -> NDArray[np.float64]:
        """Seconds from the start to the first day of every period and to the end, (periods + 1,)."""
        return np.array([self.seconds_of(self.first_day(i)) for i in range(self.periods + 1)])

    @property
    def length_s(self) -> NDArray[np.float64]:
        """Length of every period, (periods,)."""
        return np.diff(self.edges_s)

    def label(self, period: int) -> str:
        """Return "2024-05" for a month, "2024-05-06" for a week."""
        return self.first_day(period).isoformat()[: 7 if self.step == "month" else 10]

    @property
    def labels(self) -> list[str]:
        """The label of every period."""
        return [self.label(i) for i in range(self.periods)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"start": self.start.isoformat(), "step": self.step, "labels": self.labels}
