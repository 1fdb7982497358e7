"""What limits useful compute in each period, read from the duals of the programme, and what one more unit is worth.

The value of one more accelerator in service in a period is, by duality, what the limits that it would use are worth
together: power, cooling, hall and network at once, or that there was none to install, or no crew. That there was none is followed back to the supplier, to the
time between order and delivery, to the orders that were placed, or to cash. The share of each is its part of the whole.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from gigawatt.buildout._programme import K, M, Programme, scale_of
from gigawatt.buildout._question import INSTALLATION, POWER, RESOURCES, Floats
from gigawatt.linear_program import Solution

CASH, SUPPLY, LEAD, ORDERS, PRODUCT, PRICE = "cash", "supply", "lead time", "orders", "product", "price"
SMALL = 1e-7
# Below this part of the value of one more accelerator a limit is not named.
LEAST_SHARE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One limit in one period. `share` is its part of what one more accelerator in service would be worth.

    `unit` is that of the limit; `flop_per_unit` and `usd_per_unit` are what one more unit of it in this period alone is worth, `*_kept`
    what it is worth if it stays to the end of the plan. `used` and `available` are NaN where the limit is not an amount.
    """

    kind: str
    where: str
    share: float
    unit: str
    flop_per_unit: float
    usd_per_unit: float
    flop_kept: float
    usd_kept: float
    used: float = float("nan")
    available: float = float("nan")
    reason: str = ""

    @property
    def name(self) -> str:
        """For example "power at Memphis"."""
        joined = {
            SUPPLY: "supply of",
            LEAD: "lead time of",
            ORDERS: "orders of",
            PRODUCT: "launch of",
            PRICE: "price of",
        }
        if self.kind in joined:
            return f"{joined[self.kind]} {self.where}"
        return f"{self.kind} at {self.where}" if self.where else self.kind

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; what is not an amount is None."""
        numbers = {
            key: getattr(self, key)
            for key in ("share", "flop_per_unit", "usd_per_unit", "flop_kept", "usd_kept", "used", "available")
        }
        return {"name": self.name, "kind": self.kind, "where": self.where, "unit": self.unit, "reason": self.reason} | {
            key: float(value) if np.isfinite(value) else None for key, value in numbers.items()
        }


class Duals:
    """The duals of a solved programme in SI units: FLOP (`compute`), accelerators (`fleet`) or USD (`npv`) per unit."""

    def __init__(self, programme: Programme, solution: Solution) -> None:
        self.p, self.s = programme, solution
        kind = programme.goal.kind
        self.per = {"compute": programme.unit_flop, "fleet": K, "npv": M}[kind]

    def limit(self, site: str, resource: str) -> Floats:
        """Return the value of one more unit of a site's limit in each period, (T,)."""
        return np.asarray(self.s.dual[self.p.limit[site, resource]] * self.per / scale_of(resource))

    def delivered(self, offer: int) -> Floats:
        """Return the value of one more accelerator delivered by a supplier in each period, (T,)."""
        return np.asarray(np.maximum(self.s.reduced[self.p.delivered[offer]], 0.0) * self.per / K)

    def accelerator(self, chip: int) -> Floats:
        """Return the value of one more accelerator that arrives in each period, (T,)."""
        return np.asarray(self.s.dual[self.p.stock_row[chip]] * self.per / K)

    def cash(self) -> Floats:
        """Return the value of one more USD in each period, (T,); zero where cash is no limit."""
        if self.p.question.money is None:
            return np.zeros(self.p.T)
        return np.asarray(self.s.dual[self.p.cash_row] * self.per / M)


class BindingReader:
    """Reads what limits in a period from a solved programme. `usd_per_flop` is what useful compute is worth, which turns
    FLOP into USD.
    """

    def __init__(self, programme: Programme, solution: Solution, usd_per_flop: float) -> None:
        self.p, self.s, self.usd_per_flop = programme, solution, usd_per_flop
        self.duals = Duals(programme, solution)
        self.value = solution.value
        self.kappa = (
            solution.dual[programme.cash_row] if programme.question.money is not None else np.zeros(programme.T)
        )

    def period(self, t: int) -> tuple[Binding, ...]:
        """Return what limits in a period, the largest share first; empty where more would be of no use."""
        shares: dict[tuple[str, str], float] = defaultdict(float)
        for weight, c, s in self._cells(t):
            for key, part in self._parts(c, s, t).items():
                shares[key] += weight * part
        total = sum(shares.values())
        named = [
            self._binding(key, part / total, t)
            for key, part in shares.items()
            if total > 0 and part / total >= LEAST_SHARE
        ]
        return tuple(sorted(named, key=lambda each: -each.share))

    def _cells(self, t: int) -> list[tuple[float, int, int]]:
        """Return (weight, chip, site) of the accelerators that matter: those in service, else the best that could be."""
        gain = self.p.gain[self.p.service[:, :, t]]
        gain = gain if gain.max() > 0 else np.repeat(self.p.flops[:, None], gain.shape[1], axis=1)
        work = np.where(self.value[self.p.service[:, :, t]] > SMALL, self.value[self.p.service[:, :, t]] * gain, 0.0)
        if work.max() <= 0:
            # nothing runs yet (or any more): those that run first (last), else whatever comes nearest to paying
            running = self.value[self.p.service] > SMALL
            work = np.where(running[:, :, self._nearest(running, t)], gain, 0.0) if running.any() else work
        if work.max() <= 0:
            slack = -self.s.reduced[self.p.service[:, :, t]] / gain
            work = np.where(slack <= slack.min() + 1e-9, gain, 0.0)
        return [(float(work[c, s]), c, s) for c, s in np.argwhere(work > 0).tolist()]

    @staticmethod
    def _nearest(running: Any, t: int) -> int:
        periods = np.flatnonzero(running.any(axis=(0, 1)))
        return int(periods[np.argmin(np.abs(periods - t))])

    def _parts(self, c: int, s: int, t: int) -> dict[tuple[str, str], float]:
        """Return the value of one more accelerator of a kind at a site in a period, by the limit that it stands for."""
        p, dual = self.p, self.s.dual
        chip, site = p.question.chips[c], p.question.sites[s]
        parts: dict[tuple[str, str], float] = {}
        for (name, kind), row in p.limit.items():
            if name == site.name and kind != INSTALLATION:
                use = p.use_of(kind, chip.it_w, site) * K / scale_of(kind)
                parts[kind, site.name] = max(use * float(dual[row[t]]), 0.0)
        rows = dual[p.placed_row[c, s]]
        arrival = float(rows[t] - (rows[t + 1] if t + 1 < p.T else 0.0))
        if float(dual[p.service_row[c, s, t]]) <= SMALL * float(p.gain.max()) or arrival <= 0.0:
            return parts
        crew = (
            max(float(dual[p.limit[site.name, INSTALLATION][t]]), 0.0) if (site.name, INSTALLATION) in p.limit else 0.0
        )
        stock = max(float(dual[p.stock_row[c, t]]), 0.0)
        if crew + stock <= 0:
            return parts
        parts[INSTALLATION, site.name] = arrival * crew / (crew + stock)
        for key, share in self._causes(c, t).items():
            parts[key] = parts.get(key, 0.0) + arrival * stock / (crew + stock) * share
        return parts

    def _causes(self, c: int, t: int) -> dict[tuple[str, str], float]:
        """Return why there are no more accelerators of a kind to install by a period, as shares of one.

        Read at the last delivery: its value is what the supplier's limit, the orders and their payment are worth.
        """
        p = self.p
        offers = [o for o, offer in enumerate(p.question.offers) if offer.chip == p.question.chips[c].name]
        if not offers:
            return {(ORDERS, p.question.chips[c].name): 1.0}
        given = self.value[p.delivered[offers][:, : t + 1]]
        moved = np.argwhere(given > SMALL)
        if len(moved):
            row, at = max(moved.tolist(), key=lambda pair: (pair[1], given[pair[0], pair[1]]))
            if p.question.offers[offers[row]].allotted is not None:
                at = t  # what is allotted waits: its value now is that of one more allotted now
        else:
            row, at = int(np.argmax(self.s.reduced[p.delivered[offers, t]])), t
        return self._delivery(offers[row], at)

    def _delivery(self, o: int, t: int) -> dict[tuple[str, str], float]:
        p, offer = self.p, self.p.question.offers[o]
        cost = (1.0 - offer.deposit) * offer.price_usd[max(t - offer.lead, 0)] * K / M
        cash = max(float(self.kappa[t]), 0.0) * cost
        supply = max(float(self.s.reduced[p.delivered[o, t]]), 0.0)
        ordered = max(float(self.s.dual[p.backlog_row[o, t]]), 0.0)
        parts: dict[tuple[str, str], float] = defaultdict(float)
        parts[PRODUCT if t < offer.first_delivery else SUPPLY, offer.name] += supply
        placed = t - offer.lead
        if offer.allotted is not None:
            parts[self._allotment(o, t), offer.name] += ordered
        elif offer.given is not None or ordered == 0.0:
            parts[ORDERS if placed >= 0 else LEAD, offer.name] += ordered
        elif placed < max(offer.first, 0):
            parts[LEAD, offer.name] += ordered
        else:
            deposit = max(float(self.kappa[placed]), 0.0) * offer.deposit * offer.price_usd[placed] * K / M
            charged = max(-float(p.gain[p.order[o, placed]]), 0.0)
            cash += min(deposit, ordered)
            parts[PRICE, offer.name] += min(charged, max(ordered - deposit, 0.0))
            parts[ORDERS, offer.name] += max(ordered - deposit - charged, 0.0)
        parts[PRICE, offer.name] += max(-float(p.gain[p.delivered[o, t]]), 0.0)
        parts[CASH, ""] += cash
        total = sum(parts.values())
        return (
            {key: value / total for key, value in parts.items() if value > 0}
            if total > 0
            else {(ORDERS, offer.name): 1.0}
        )

    def _allotment(self, o: int, t: int) -> str:
        """Return what keeps an allotment from being more: the market, or that no more has been ordered."""
        offer = self.p.question.offers[o]
        if offer.given is None or offer.allotted is None:
            return SUPPLY
        ordered = float(offer.given[: t + 1].sum()) + offer.before
        return ORDERS if float(offer.allotted[: t + 1].sum()) >= ordered * (1.0 - 1e-3) else SUPPLY

    def _binding(self, key: tuple[str, str], share: float, t: int) -> Binding:
        kind, where = key
        p = self.p
        used = available = float("nan")
        reason = ""
        if kind in RESOURCES:
            series, unit = self.duals.limit(where, kind), RESOURCES[kind]
            used, available = self.use(where, kind)[t], self.available(where, kind)[t]
            reason = self._why_not_more(where, kind, t)
        elif kind == CASH:
            series, unit = self.duals.cash(), "USD"
        else:
            o = (
                next(i for i, offer in enumerate(p.question.offers) if offer.name == where)
                if where in [x.name for x in p.question.offers]
                else None
            )
            unit = "accelerators"
            if kind == SUPPLY and o is not None and p.question.offers[o].allotted is None:
                series = self.duals.delivered(o)
                available = float(p.question.offers[o].supply[t])
                used = float(self.value[p.delivered[o, t]]) * K
            else:
                chip = p.question.offers[o].chip if o is not None else where
                series = self.duals.accelerator([c.name for c in p.question.chips].index(chip))
        here, kept = float(series[t]), float(series[t:].sum())
        if kind not in RESOURCES or kind == INSTALLATION:  # worth to the end of the plan by themselves: they stay
            kept = here
        flop, usd = self._both(here), self._both(kept)
        return Binding(
            kind=kind,
            where=where,
            share=share,
            unit=unit,
            flop_per_unit=flop[0],
            usd_per_unit=flop[1],
            flop_kept=usd[0],
            usd_kept=usd[1],
            used=used,
            available=available,
            reason=reason,
        )

    def _both(self, value: float) -> tuple[float, float]:
        """Return (FLOP, USD) of a value in the unit of the objective."""
        if self.p.goal.kind == "npv":
            return value / self.usd_per_flop if self.usd_per_flop > 0 else float("nan"), value
        return value, value * self.usd_per_flop

    def use(self, site: str, kind: str) -> Floats:
        """Return what is used of a limit in each period, in its unit."""
        return self.available(site, kind) - self._slack(site, kind)

    def available(self, site: str, kind: str) -> Floats:
        """Return a limit with the units that stand, in its unit, (T,)."""
        total = self.p.given[site, kind].copy()
        for e, (where, item) in enumerate(self.p.expansions):
            if where.name == site and item.resource == kind:
                total += self.value[self.p.standing[e]] * item.unit
        return total

    def _slack(self, site: str, kind: str) -> Floats:
        p = self.p
        columns = p.columns_of(kind)
        s = [each.name for each in p.question.sites].index(site)
        used = np.zeros(p.T)
        for c, chip in enumerate(p.question.chips):
            used += self.value[columns[c, s]] * p.use_of(kind, chip.it_w, p.question.sites[s]) * K
        return self.available(site, kind) - used

    def _why_not_more(self, site: str, kind: str, t: int) -> str:
        """Return why no more units of a limit stand, in words."""
        p, found = self.p, []
        for e, (where, item) in enumerate(p.expansions):
            if where.name != site or item.resource != kind:
                continue
            standing = float(self.value[p.standing[e, t]]) + float(item.given[t])
            if t < item.lead:
                found.append(f"{item.name} ordered at the start come in {p.question.calendar.label(item.lead)}")
            elif float(item.most[t]) == 0.0:
                later = np.flatnonzero(item.most[t:] > 0.0)
                when = f" before {p.question.calendar.label(t + int(later[0]))}" if len(later) else " any more"
                found.append(f"no {item.name} may stand{when}")
            elif standing >= float(item.most[t]) - 1e-6:
                found.append(f"no more than {standing:,.0f} {item.name} may stand")
            else:
                found.append(f"{standing:,.0f} {item.name} stand; one more would not pay")
        if kind == POWER and not found:
            return f"the grid gives {p.question.sites[[x.name for x in p.question.sites].index(site)].grid[t] / 1e6:,.0f} MW and there is nothing else"
        return "; ".join(found)
