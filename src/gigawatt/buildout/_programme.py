"""The build-out as a linear or mixed-integer programme: orders, deliveries, installation, power and cash by period.

    backlog[o,t] = backlog[o,t-1] + orders[o,t-lead] - delivered[o,t]      delivered <= supply
    stock[c,t]   = stock[c,t-1] + sum_o delivered[o,t] - sum_s installed[c,s,t]
    placed[c,s,t] = placed[c,s,t-1] + installed - retired                  service <= placed
    use of a resource at a site <= its limit + units that stand          (models.md 14.7, one row per limit)
    balance[t]   = balance[t-1] + funding - payments + change of debt - interest >= floor

Inside, accelerators are counted in thousands, power in MW and money in millions of USD, so that the matrix is well
scaled; what leaves this module is in SI units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gigawatt.buildout._question import (
    HALL,
    INSTALLATION,
    NETWORK,
    POWER,
    RESOURCES,
    SECONDS_PER_YEAR,
    BuildQuestion,
    BuildSite,
    Expansion,
    Floats,
    Offer,
)
from gigawatt.linear_program import Index, LinearProgram

K, M = 1e3, 1e6  # accelerators per unit of the programme; W per MW, USD per million
# The part of the objective that spending takes where compute is what counts: it decides between plans of equal compute.
FRUGAL = 1e-4
# What compute after the date of the goal counts: enough to pay for its energy, not for more accelerators.
AFTERWARDS = 2e-5
# What a thousand accelerators that were ordered and are not taken for a year cost, in thousands of them or of their price.
TAKEN = 1e-2
SPENT = ("accelerators", "units bought", "units kept", "energy", "upkeep")


def scale_of(resource: str) -> float:
    """Return how many SI units one unit of a resource in the programme is."""
    return M if RESOURCES[resource] == "W" else K


@dataclass(frozen=True, slots=True)
class Goal:
    """What the plan is best in: `compute` (useful FLOP up to the end of period `by`), `fleet` (accelerators in service
    at the end of `by`), or `npv` (present value of all cash except finance).
    """

    kind: str
    by: int
    least_fleet: float = 0.0


class Programme:
    """The programme of a question and a goal, and the numbers of its columns and rows.

    Columns: `order`, `delivered`, `backlog` (O, T); `stock` (C, T); `service`, `placed`, `installed`, `retired` (C, S, T);
    `bought`, `standing`, `removed` (E, T); `output` by site and source (J, T); `balance`, `debt` (T).
    Rows: `backlog_row`, `stock_row`, `placed_row`, `service_row`, `units_row`, `limit` by (site, resource) (T,), `cash_row` (T,).
    """

    def __init__(self, question: BuildQuestion, goal: Goal) -> None:
        self.question, self.goal = question, goal
        self.T = question.calendar.periods
        self.length = question.calendar.length_s
        self.lp = LinearProgram()
        self.expansions: list[tuple[BuildSite, Expansion]] = [(s, e) for s in question.sites for e in s.expansions]
        # (columns, M USD per unit in the period), and the same for what the service at the end of a period costs in the next
        self.spending: dict[str, list[tuple[Index, Floats]]] = {kind: [] for kind in SPENT}
        self._carry: list[tuple[Index, Floats]] = []
        self._supply()
        self._service()
        self._units()
        self._limits()
        self._energy()
        self._money()
        self._objective()

    # what is ordered and delivered
    def _supply(self) -> None:
        q, lp, T = self.question, self.lp, self.T
        shape = (len(q.offers), T)
        low, high, most, arrives = np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for o, offer in enumerate(q.offers):
            if offer.given is not None:
                low[o] = high[o] = offer.given / K
            else:
                high[o, max(offer.first, 0) : max(offer.last + 1, 0)] = np.inf
            most[o, offer.first_delivery :] = (
                np.inf if offer.allotted is not None else offer.supply[offer.first_delivery :] / K
            )
            if offer.allotted is not None:
                arrives[o] = offer.allotted / K
        self.order = lp.columns(shape, lower=low, upper=high)
        self.delivered = lp.columns(shape, upper=most)
        self.backlog, self.stock = lp.columns(shape), lp.columns((len(q.chips), T))
        arrives[:, 0] += [offer.before / K if offer.allotted is None else 0.0 for offer in q.offers]
        self.backlog_row = _recursion(lp, self.backlog, arrives)
        lp.add(self.backlog_row, self.delivered, 1.0)
        self.stock_row = _recursion(lp, self.stock, np.zeros(self.stock.shape))
        self.most_row = lp.rows(shape[:1], upper=[offer.most / K for offer in q.offers])
        lp.add(self.most_row[:, None], self.order, 1.0)
        for o, offer in enumerate(q.offers):
            late = max(T - offer.lead, 0)
            if offer.allotted is None:
                lp.add(self.backlog_row[o, offer.lead :], self.order[o, :late], -1.0)
            lp.add(self.stock_row[self._chip(offer.chip)], self.delivered[o], -1.0)
            price = offer.price_usd * K / M
            self._spend("accelerators", self.order[o], offer.deposit * price)
            self._spend("accelerators", self.delivered[o], (1.0 - offer.deposit) * price[ordered_at(offer, T)])

    def _service(self) -> None:
        lp, shape = self.lp, (len(self.question.chips), len(self.question.sites), self.T)
        self.service, self.placed = lp.columns(shape), lp.columns(shape)
        self.installed, self.retired = lp.columns(shape), lp.columns(shape)
        self.placed_row = _recursion(lp, self.placed, np.zeros(shape))
        lp.add(self.placed_row, self.installed, -1.0)
        lp.add(self.placed_row, self.retired, 1.0)
        self.service_row = lp.rows(shape, upper=0.0)
        lp.add(self.service_row, self.service, 1.0)
        lp.add(self.service_row, self.placed, -1.0)
        lp.add(self.stock_row[:, None, :], self.installed, 1.0)
        for c, chip in enumerate(self.question.chips):
            cost = np.full(self.T, chip.upkeep_usd_per_s * K / M) * self.length
            self._spend_mean("upkeep", self.service[c], cost)

    # what widens a limit
    def _units(self) -> None:
        lp, T, E = self.lp, self.T, len(self.expansions)
        room, whole = np.zeros((E, T)), np.zeros((E, 1), dtype=bool)
        for e, (_, item) in enumerate(self.expansions):
            room[e], whole[e] = np.maximum(item.most - item.given, 0.0), item.whole
        last = np.array([T - item.lead for _, item in self.expansions], dtype=int).reshape(E, 1)
        useful = (np.arange(T) < last) & (room.max(axis=1, keepdims=True, initial=0.0) > 0)
        most = np.where(
            useful,
            np.where(whole, np.where(np.isfinite(room), room, 1e6).max(axis=1, keepdims=True, initial=0.0), np.inf),
            0.0,
        )
        self.bought = lp.columns((E, T), upper=most, integer=whole & useful)
        self.standing = lp.columns((E, T), upper=room)
        self.removed = lp.columns((E, T), integer=whole)
        self.units_row = _recursion(lp, self.standing, np.zeros((E, T)))
        lp.add(self.units_row, self.removed, 1.0)
        for e, (_, item) in enumerate(self.expansions):
            late = max(T - item.lead, 0)
            lp.add(self.units_row[e, item.lead :], self.bought[e, :late], -1.0)
            self._spend("units bought", self.bought[e], np.full(T, item.price_usd / M))
            self._spend("units kept", self.standing[e], item.keep_usd_per_s * self.length / M)

    def _limits(self) -> None:
        """One row per site and resource: what the accelerators use less what units add is at most what is given."""
        lp, q = self.lp, self.question
        self.limit: dict[tuple[str, str], Index] = {}
        self.given: dict[tuple[str, str], Floats] = {}
        for s, site in enumerate(q.sites):
            kinds = {POWER, *site.limits, *(item.resource for item in site.expansions)}
            for kind in RESOURCES:
                if kind not in kinds:
                    continue
                start = site.grid if kind == POWER else site.limits.get(kind, np.zeros(self.T))
                stand = [item.given * item.unit for item in site.expansions if item.resource == kind]
                self.given[site.name, kind] = given = start + sum(stand, np.zeros(self.T))
                row = lp.rows((self.T,), upper=given / scale_of(kind))
                self.limit[site.name, kind] = row
                columns = self.columns_of(kind)
                for c, chip in enumerate(q.chips):
                    each = self.use_of(kind, chip.it_w, site) * K / scale_of(kind)
                    lp.add(row, columns[c, s], each)
                for e, (where, item) in enumerate(self.expansions):
                    if where is site and item.resource == kind:
                        lp.add(row, self.standing[e], -item.unit / scale_of(kind))

    def columns_of(self, kind: str) -> Index:
        """Return the columns that a limit counts: what runs takes power and cooling, what is placed hall and network."""
        if kind == INSTALLATION:
            return self.installed
        return self.placed if kind in (HALL, NETWORK) else self.service

    @staticmethod
    def use_of(kind: str, it_w: float, site: BuildSite) -> float:
        """Return what one accelerator takes of a resource, in its unit."""
        if kind in (NETWORK, INSTALLATION):
            return 1.0
        return it_w * (site.pue if kind == POWER else 1.0)

    # energy, cash
    def _energy(self) -> None:
        """Mean output of each source of a site; the cheapest run first, which the cost of energy sees to."""
        lp, q = self.lp, self.question
        self.sources: list[tuple[BuildSite, str]] = []
        outputs = []
        for s, site in enumerate(q.sites):
            row = lp.rows((self.T,), lower=0.0, upper=0.0)
            for c, chip in enumerate(q.chips):
                half = 0.5 * chip.mean_it_w * site.pue * K / M  # of the end of the period, and of its beginning
                lp.add(row, self.service[c, s], half)
                lp.add(row[1:], self.service[c, s, :-1], half)
            # a kilowatt and a little more than it gives: the limit on power, not this one, is what binds
            grid = lp.columns((self.T,), upper=_mean(site.grid) / M * (1.0 + 1e-4) + 1e-3)
            self.sources.append((site, "grid"))
            outputs.append(grid)
            lp.add(row, grid, -1.0)
            self._spend("energy", grid, site.grid_usd_per_j * self.length)
            for e, (where, item) in enumerate(self.expansions):
                if where is not site or item.resource != POWER:
                    continue
                output = lp.columns((self.T,))
                within = lp.rows((self.T,), upper=_mean(item.given) * item.unit / M)
                lp.add(within, output, 1.0)
                lp.add(within, self.standing[e], -0.5 * item.unit / M)
                lp.add(within[1:], self.standing[e, :-1], -0.5 * item.unit / M)
                lp.add(row, output, -1.0)
                self._spend("energy", output, item.energy_usd_per_j * self.length)
                self.sources.append((site, item.name))
                outputs.append(output)
        self.output = np.array(outputs)

    def buildings_usd(self) -> Floats:
        """Return what building the sites costs in each period."""
        built = [site.capital_usd for site in self.question.sites if site.capital_usd is not None]
        return np.asarray(sum(built, np.zeros(self.T)))

    def fixed_usd(self) -> Floats:
        """Return what is paid in each period whatever is decided: rent, the connection, units that stand as given."""
        total = np.zeros(self.T)
        for site in self.question.sites:
            total += (site.rent_usd_per_s + site.grid_usd_per_w_s * site.grid) * self.length
            for item in site.expansions:
                total += item.keep_usd_per_s * item.given * self.length
        return total

    def _money(self) -> None:
        money, lp, T = self.question.money, self.lp, self.T
        if money is None:
            return
        self.balance = lp.columns((T,), lower=money.floor_usd / M)
        self.debt = lp.columns((T,), upper=money.debt_usd / M)
        paid = (money.funding_usd - money.burn_usd - self.fixed_usd() - self.buildings_usd()) / M
        paid[0] += money.cash_usd / M
        self.cash_row = _recursion(lp, self.balance, paid)
        lp.add(self.cash_row, self.debt, -1.0)
        lp.add(self.cash_row[1:], self.debt[:-1], 1.0 + money.interest * self.length[1:] / SECONDS_PER_YEAR)
        for kind in self.spending.values():
            for columns, cost in kind:
                lp.add(np.broadcast_to(self.cash_row, columns.shape), columns, cost)
        for columns, worth in self._worth():
            lp.add(np.broadcast_to(self.cash_row, columns.shape), columns, -worth)
        # the second half of a period's mean service is that of the period before
        for columns, cost in self._carried():
            lp.add(np.broadcast_to(self.cash_row[1:], columns[..., :-1].shape), columns[..., :-1], cost[..., 1:])

    def _spend(self, kind: str, columns: Index, usd: Floats) -> None:
        self.spending[kind].append((columns, usd))

    def _spend_mean(self, kind: str, columns: Index, usd: Floats) -> None:
        """Spend `usd` (T,) per unit of the mean over the period: half of its end and half of its beginning."""
        self._spend(kind, columns, 0.5 * usd)
        self._carry.append((columns, 0.5 * usd))

    def _worth(self) -> list[tuple[Index, Floats]]:
        return [
            (self.service[c], 0.5 * chip.worth_usd_per_s * K / M * self.length)
            for c, chip in enumerate(self.question.chips)
        ]

    def carried_upkeep(self) -> list[tuple[Index, Floats]]:
        """Return columns of service and the M USD that one at the end of a period costs in the next."""
        return self._carry

    def _carried(self) -> list[tuple[Index, Floats]]:
        """Cost (negative: worth) per unit of service at the end of the period before, by period in which it is paid."""
        return self._carry + [(columns, -worth) for columns, worth in self._worth()]

    # what is best
    def _objective(self) -> None:
        goal, q = self.goal, self.question
        gain = np.zeros(self.lp.size[0])
        discount = self.discount()
        if goal.kind == "npv":
            for columns, worth in self._worth():
                _accumulate(gain, columns, discount * worth)
            for c, chip in enumerate(q.chips):
                gain[self.placed[c, :, -1]] += discount[-1] * chip.resale_usd * K / M
                gain[self.stock[c, -1]] += discount[-1] * chip.resale_usd * K / M
            self._charge(gain, discount)
        elif goal.kind == "fleet":
            gain[self.service[:, :, goal.by]] = 1.0
            self._charge(gain, discount * FRUGAL / self._dearest())
        else:
            for c in range(len(q.chips)):
                half = 0.5 * self.length * self.flops[c] / SECONDS_PER_YEAR
                half[goal.by + 1 :] *= AFTERWARDS
                _accumulate(gain, self.service[c], half)
                _accumulate(gain, self.service[c][:, :-1], half[1:])
            self._charge(gain, discount * FRUGAL / self._dearest())
        self._take(gain)
        if goal.least_fleet > 0:
            row = self.lp.rows((1,), lower=goal.least_fleet / K)
            self.lp.add(row, self.service[:, :, goal.by].ravel(), 1.0)
        self.gain = gain
        self.lp.set_gain(np.arange(len(gain)), gain)

    def _take(self, gain: Floats) -> None:
        """Let what was ordered be taken as soon as it can be paid: leaving it with the vendor costs a little."""
        unit = self._dearest() if self.goal.kind == "npv" else 1.0
        for o, offer in enumerate(self.question.offers):
            if offer.given is not None:
                gain[self.backlog[o]] -= TAKEN * unit * self.length / SECONDS_PER_YEAR

    def _charge(self, gain: Floats, weight: Floats) -> None:
        for kind in self.spending.values():
            for columns, usd in kind:
                _accumulate(gain, columns, -weight * usd)
        for columns, usd in self._carried():
            worth_free = usd if self.goal.kind == "npv" else np.maximum(usd, 0.0)
            _accumulate(gain, columns[..., :-1], -(weight * worth_free)[1:])

    def _dearest(self) -> float:
        """Return the price of a thousand accelerators, M USD: what makes spending comparable with compute."""
        return max((float(offer.price_usd.max()) * K / M for offer in self.question.offers), default=1.0)

    @property
    def flops(self) -> Floats:
        """Useful FLOP/s of each chip as a multiple of the best, (C,)."""
        flops = np.array([chip.useful_flops for chip in self.question.chips])
        return np.asarray(flops / flops.max())

    @property
    def unit_flop(self) -> float:
        """FLOP in one unit of the `compute` objective: a thousand of the best accelerators for a year."""
        return K * SECONDS_PER_YEAR * max(chip.useful_flops for chip in self.question.chips)

    def discount(self) -> Floats:
        """Return the discount factor of each period, on its first day as in the cash flow, (T,)."""
        years = self.question.calendar.edges_s[:-1] / SECONDS_PER_YEAR
        return np.asarray((1.0 + self.question.discount) ** -years)

    def _chip(self, name: str) -> int:
        return [chip.name for chip in self.question.chips].index(name)


def _mean(limit: Floats) -> Floats:
    """Return the mean of a limit over each period: of its end and its beginning, nothing before the first."""
    return np.asarray(0.5 * (limit + np.concatenate(([0.0], limit[:-1]))))


def ordered_at(offer: Offer, periods: int) -> Index:
    """Return the period whose price a delivery of each period pays: that of its order, first come first served among
    orders that are allotted, else the lead before.
    """
    if offer.allotted is None or offer.given is None or not offer.given.any():
        return np.maximum(np.arange(periods) - offer.lead, 0)
    filled = np.cumsum(offer.allotted) - offer.before
    return np.minimum(np.searchsorted(np.cumsum(offer.given), np.maximum(filled, 0.0) * (1.0 - 1e-9)), periods - 1)


def _accumulate(gain: Floats, columns: Index, values: Floats) -> None:
    """Add values, broadcast to the shape of the columns, to their gain.

    They are laid out first: `np.add.at` reads past the end of values that it broadcasts itself (NumPy 2.4.6).
    """
    np.add.at(gain, columns.ravel(), np.broadcast_to(values, columns.shape).ravel())


def _recursion(lp: LinearProgram, state: Index, inflow: Floats) -> Index:
    """Add rows state[t] - state[t-1] = inflow[t] along the last axis; other terms are added to the rows returned."""
    rows = lp.rows(state.shape, lower=inflow, upper=inflow)
    lp.add(rows, state, 1.0)
    lp.add(rows[..., 1:], state[..., :-1], -1.0)
    return rows
