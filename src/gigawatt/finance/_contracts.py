"""Terms of contracts as data: each function turns terms into dated payments of one line (docs/science.md 14.10).

Prices and fees are given as positive amounts; the payments carry the sign (negative: we pay). Dates are days or ISO
text. n = billing dates, in ascending order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gigawatt.finance._cash_flow import Payments
from gigawatt.finance._returns import DAYS_PER_YEAR, as_day, year_fractions

Array = NDArray[np.float64]
Day = date | str


def month_after(day: Day, months: int) -> date:
    """Return the same day of the month `months` later, or the month's last: 2024-01-31 + 1 is 2024-02-29."""
    first = as_day(day)
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    following = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    last = date.fromordinal(following.toordinal() - 1).day
    return date(year, month + 1, min(first.day, last))


def purchase(
    label: str,
    price_usd: float,
    *,
    ordered: Day,
    delivered: Day,
    deposit_share: float = 0.0,
    milestones: Sequence[tuple[Day, float]] = (),
    group: str = "investing",
) -> Payments:
    """Return a purchase: a deposit with the order, shares at milestones (day, share), the rest at delivery.

    1000 USD with 30 % at the order and 50 % at a milestone: -300, -500, -200. Raises ValueError for shares above 1 in
    sum or below 0, or a delivery before the order.
    """
    shares = [float(deposit_share), *(float(share) for _, share in milestones)]
    if min(shares) < 0 or sum(shares) > 1 + 1e-12:
        raise ValueError(f"the shares of the price of {label!r} must be 0 or more and sum to 1 at most: {shares}")
    if as_day(delivered) < as_day(ordered):
        raise ValueError(f"{label!r} is delivered on {delivered}, before its order on {ordered}")
    days = [as_day(ordered), *(as_day(day) for day, _ in milestones), as_day(delivered)]
    paid = zip(days, [*shares, max(0.0, 1.0 - sum(shares))], strict=True)
    return Payments.of(label, group, [(day, -price_usd * share) for day, share in paid if share])


def take_or_pay(
    label: str,
    days: Sequence[Day],
    used: ArrayLike,
    contracted: ArrayLike,
    price_usd: float,
    *,
    least_share: float = 1.0,
) -> Payments:
    """Return bills (n) for the larger of what was used and `least_share` of what was contracted, at `price_usd` a unit.

    `used` and `contracted` (n,) share a unit (J, say; then USD/J). 60 used of 100 contracted at 0.05, 80 %: -4.
    """
    billed = np.maximum(_row(used, days), least_share * _row(contracted, days))
    return Payments.of(label, "operating", zip(days, -price_usd * billed, strict=True))


def demand_charge(
    label: str,
    days: Sequence[Day],
    peak_w: ArrayLike,
    usd_per_w: float,
    *,
    ratchet: float = 0.0,
    window: int = 12,
    least_w: float = 0.0,
) -> Payments:
    """Return charges (n) for the peak of each billing period, at `usd_per_w` a period.

    Billed is the largest of the period's `peak_w` (n,), `ratchet` times the highest peak of the `window` periods up to
    and with it, and `least_w`. Peaks 100, 40 with a ratchet of 80 %: 100, 80 are billed.
    """
    peaks = _row(peak_w, days)
    highest = np.array([peaks[max(0, i + 1 - window) : i + 1].max() for i in range(len(peaks))])
    billed = np.maximum(np.maximum(peaks, ratchet * highest), least_w)
    return Payments.of(label, "operating", zip(days, -usd_per_w * billed, strict=True))


def lease(
    label: str,
    *,
    start: Day,
    months: int,
    usd_per_month: float,
    deposit_usd: float = 0.0,
    escalation_per_year: float = 0.0,
    group: str = "operating",
) -> Payments:
    """Return a lease paid in advance every month; the rent grows once a year; the deposit comes back at the end.

    12 months at 100 and a deposit of 50: -150 first, +50 a year later, -1200 in all.
    """
    if months < 1:
        raise ValueError(f"lease {label!r} runs for one month or more, not {months}")
    rent = [(month_after(start, i), -usd_per_month * (1.0 + escalation_per_year) ** (i // 12)) for i in range(months)]
    deposit = [(as_day(start), -deposit_usd), (month_after(start, months), deposit_usd)] if deposit_usd else []
    return Payments.of(label, group, rent + deposit)


def prepayment(label: str, *, paid: Day, usd: float, days: Sequence[Day], bills: ArrayLike) -> Payments:
    """Return money paid ahead and its credit against later `bills` (n,), positive USD, until it is used up.

    What the bills do not use is lost, as in a take-or-pay supply agreement. 100 ahead of bills of 70: -100, +70, +30.
    """
    due = _row(bills, days)
    if bool((due < 0).any()) or any(as_day(day) < as_day(paid) for day in days):
        raise ValueError(f"prepayment {label!r} needs bills of 0 or more, none before it is paid")
    credit = np.diff(np.minimum(np.cumsum(due), usd), prepend=0.0)
    return Payments.of(label, "operating", [(paid, -usd), *zip(days, credit, strict=True)])


def cancelled(payments: Payments, *, on: Day, fee_usd: float = 0.0, refund_share: float = 0.0) -> Payments:
    """Return the payments of a contract cancelled on a day: later ones fall away, a fee is paid and a share of what was
    paid by then comes back.

    Cancelled after a deposit of 300 with half of it refundable and a fee of 20: -300, +130.
    """
    day = as_day(on)
    kept = [(d, a) for d, a in zip(payments.days, payments.amounts, strict=True) if d <= day]
    settled = -refund_share * sum(amount for _, amount in kept) - fee_usd
    return Payments.of(payments.label, payments.group, [*kept, (day, settled)])


def curtailment(
    label: str,
    days: Sequence[Day],
    curtailed_s: ArrayLike,
    contribution_usd_per_s: float,
    *,
    credit_usd_per_s: float = 0.0,
) -> Payments:
    """Return what curtailed time (n,) costs: the contribution lost, less what the grid pays for it.

    87 h a year at 1000 USD/h lost and 200 USD/h paid: -69,600.
    """
    net = credit_usd_per_s - contribution_usd_per_s
    return Payments.of(label, "operating", zip(days, net * _row(curtailed_s, days), strict=True))


def repairs(
    label: str,
    days: Sequence[Day],
    failed: ArrayLike,
    *,
    return_s: float,
    contribution_usd_per_s: float,
    warranty_until: Day,
    replacement_usd: float,
) -> Payments:
    """Return what `failed` (n,) accelerators cost: contribution lost over the return time, and a new one after warranty.

    10 failures, 14 days at 48 USD a day each within warranty: -6720; later also -10 times the replacement.
    """
    end = as_day(warranty_until)
    each = return_s * contribution_usd_per_s + np.array([replacement_usd * (as_day(day) > end) for day in days])
    return Payments.of(label, "operating", zip(days, -each * _row(failed, days), strict=True))


def term_loan(
    label: str,
    *,
    drawn: Sequence[tuple[Day, float]],
    days: Sequence[Day],
    rate: float,
    level: str = "payment",
    days_per_year: float = DAYS_PER_YEAR,
) -> tuple[Payments, Payments, Payments]:
    """Return the draw-downs, interest and principal of a loan, all of group "financing".

    `drawn` are (day, USD); interest at `rate`, effective per year, is added to the debt until `days` (n,), the dates
    of service, begin. `level` is "payment" (annuity) or "principal". The present value of the service at `rate` is the
    debt, so LLCR and balance agree. 1000 at 10 %, 5 yearly payments: 263.8 each, but for the leap days.
    """
    if level not in ("payment", "principal"):
        raise ValueError(f"a loan has a level payment or a level principal, not {level!r}")
    drawn_days = [as_day(day) for day, _ in drawn]
    service_days = [as_day(day) for day in days]
    if not drawn_days or not service_days or max(drawn_days) >= min(service_days):
        raise ValueError(f"loan {label!r} needs draw-downs, all before the first date of service")
    first = min(drawn_days)
    growth = np.log1p(rate)
    drawn_at = np.array([(day - first).days / days_per_year for day in drawn_days])
    at = year_fractions([first, *service_days], days_per_year)[1:]
    start = max(drawn_at)
    debt = float(np.array([usd for _, usd in drawn]) @ np.exp(growth * (start - drawn_at)))
    factors = np.exp(growth * np.diff(at, prepend=start))
    payment = debt / float(np.sum(np.exp(-growth * (at - start))))
    interest, principal = np.zeros(len(at)), np.zeros(len(at))
    for i, factor in enumerate(factors):
        interest[i] = debt * (factor - 1.0)
        principal[i] = payment - interest[i] if level == "payment" else debt / (len(at) - i)
        debt -= principal[i]
    return (
        Payments.of(f"{label}: drawn", "financing", drawn),
        Payments.of(f"{label}: interest", "financing", zip(service_days, -interest, strict=True)),
        Payments.of(f"{label}: principal", "financing", zip(service_days, -principal, strict=True)),
    )


def income_tax(
    label: str,
    *,
    rate: float,
    income: Sequence[Payments],
    depreciation: Mapping[int, float],
    loss_use_share: float = 1.0,
) -> Payments:
    """Return tax on the income of each calendar year, paid on its last day; losses are carried forward.

    Taxed is the sum of `income` (give interest among it) less `depreciation` (year -> USD). A loss carried forward
    offsets at most `loss_use_share` of a later profit (0.8 in US law since 2018). Profit 100 after a loss of 60 at
    21 %: 0, then -8.4.
    """
    by_year: dict[int, float] = {year: -usd for year, usd in depreciation.items()}
    for line in income:
        for day, amount in zip(line.days, line.amounts, strict=True):
            by_year[day.year] = by_year.get(day.year, 0.0) + amount
    carried, paid = 0.0, []
    for year in sorted(by_year):
        used = min(carried, loss_use_share * max(0.0, by_year[year]))
        carried += max(0.0, -by_year[year]) - used
        paid.append((date(year, 12, 31), -rate * max(0.0, by_year[year] - used)))
    return Payments.of(label, "tax", paid)


def opposite(payments: Payments) -> Payments:
    """Return the same payments as the other party books them."""
    return replace(payments, amounts=tuple(-amount for amount in payments.amounts))


def _row(values: ArrayLike, days: Sequence[Day]) -> Array:
    row = np.broadcast_to(np.asarray(values, dtype=np.float64), (len(days),))
    if not bool(np.isfinite(row).all()):
        raise ValueError("what is billed must be finite")
    return row
