"""A plan under delays: every sample draws its own supply, connection, units, rounds and launches, by name, so that two
plans of one question meet the same luck. Dates as P10, P50, P90, and which draw moves them most.

    expected   the orders of the plan as it stands, whatever comes
    robust     the orders of the plan that was made for the late end of every draw
    hindsight  the best plan for what came: no plan can be better
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gigawatt.buildout._programme import Goal
from gigawatt.buildout._question import BuildQuestion, BuildSite, Expansion, Floats, Offer
from gigawatt.buildout._ranges import deviates, spread
from gigawatt.buildout._schedule import BuildPlan, schedule
from gigawatt.buildout._supply import ChipSupply
from gigawatt.buildout._supply_tables import at_key
from gigawatt.errors import InfeasibleError
from gigawatt.evidence import Sourced

# The quantile of every draw for which the robust plan is made.
LATE = 0.8
LATE_Z = 0.8416
# A rank correlation of unrelated columns is below this over the root of the samples nineteen times in twenty.
NOISE = 1.96
# Results that differ by less than this many digits of the largest are equal: what is within the solver's tolerance.
DIGITS = 5
NEVER_S = 1e12  # later than any plan ends
PARTS = ("expected", "robust", "hindsight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What samples (S,) of one policy come to: `reached_s` from the start, inf where never, and `flop` by the end of the goal;
    `broken_share` of them break the floor of cash and do nothing.
    """

    reached_s: Floats
    flop: Floats
    broken_share: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: percentiles of both; a time is None where it is not reached."""
        # percentiles by rank, so that a time between one that is reached and one that never is stays one of them
        times = np.percentile(self.reached_s, (10, 50, 90), method="nearest")
        return {
            "reached_s": [float(value) if math.isfinite(value) else None for value in times],
            "reached_share": float(np.isfinite(self.reached_s).mean()),
            "broken_share": self.broken_share,
            "flop": np.percentile(self.flop, (10, 50, 90)).tolist(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncertainty:
    """Outcomes by policy, and `matters`: the rank correlation of each draw with the compute that is done, or with the
    date where one is to be reached, strongest first.
    """

    samples: int
    seed: int
    outcomes: Mapping[str, Outcome]
    matters: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "samples": self.samples,
            "seed": self.seed,
            "outcomes": {name: outcome.to_dict() for name, outcome in self.outcomes.items()},
            "matters": dict(self.matters),
        }


def delay_facts() -> Mapping[str, Sourced]:
    """Return the delays of data/delays.csv, s, by kind."""
    return at_key("delays.csv")


def uncertain(
    question: BuildQuestion,
    plan: BuildPlan,
    supplies: Mapping[str, ChipSupply],
    *,
    halls: Mapping[str, Floats] | None = None,
    fleet: float | None = None,
    flop: float | None = None,
    samples: int = 200,
    seed: int = 0,
) -> Uncertainty:
    """Return what a plan comes to under drawn delays and supplies.

    `supplies` are those of offers by name, whose samples are drawn, as are those of `halls` (S, T), the hall limit of
    a site that is under construction; `fleet` or `flop` is what is to be reached.
    Raises ValueError for no samples.
    """
    if samples < 1:
        raise ValueError(f"samples must be above zero: {samples}")
    draws = _Draws(question, supplies, halls or {}, samples, seed)
    goal = Goal("compute", plan.goal.by if fleet is None and flop is None else question.calendar.periods - 1)
    policies: dict[str, BuildPlan | None] = {"expected": plan}
    if any(offer.given is None for offer in question.offers):  # else there is nothing to order otherwise
        policies |= {"robust": schedule(draws.late(), goal, limits=False), "hindsight": None}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in policies}
    broken = dict.fromkeys(policies, 0)
    for i in range(samples):
        world = draws.world(i)
        for name, orders in policies.items():
            try:
                result = schedule(world if orders is None else _with_orders(world, orders), goal, limits=False)
            except InfeasibleError:  # the floor of cash breaks in this world
                found[name].append((math.inf, 0.0))
                broken[name] += 1
                continue
            if fleet is not None:
                reached = result.reached(fleet)
            else:
                reached = result.worked(flop) if flop is not None else math.inf
            found[name].append((reached, float(result.useful_flop[: goal.by + 1].sum())))
        if None in policies.values():  # within the gap of whole units another policy may have found more
            found["hindsight"][i] = max((pairs[i] for pairs in found.values()), key=lambda pair: pair[1])
    outcomes = {
        name: Outcome(
            reached_s=np.array([a for a, _ in pairs]),
            flop=np.array([b for _, b in pairs]),
            broken_share=broken[name] / samples,
        )
        for name, pairs in found.items()
    }
    outcomes = {name: outcomes.get(name, outcomes["expected"]) for name in PARTS}
    planned = outcomes["expected"]
    judged = planned.flop if fleet is None and flop is None else np.minimum(planned.reached_s, NEVER_S)
    return Uncertainty(samples=samples, seed=seed, outcomes=outcomes, matters=draws.matters(judged))


def _with_orders(question: BuildQuestion, plan: BuildPlan) -> BuildQuestion:
    """Return a question in which orders are those of a plan."""
    offers = tuple(
        offer if offer.given is not None else replace(offer, given=np.maximum(plan.orders[o], 0.0))
        for o, offer in enumerate(question.offers)
    )
    return replace(question, offers=offers)


def _capped(offer: Offer, allotted: Floats) -> Floats:
    """Return an allotment of no more than was ordered."""
    ordered = offer.before + (float(offer.given.sum()) if offer.given is not None else np.inf)
    return np.asarray(np.diff(np.minimum(np.cumsum(allotted), ordered), prepend=0.0))


class _Draws:
    """What is drawn by name, (S,) each, and the question that a sample or the late end of all makes of it."""

    def __init__(
        self,
        question: BuildQuestion,
        supplies: Mapping[str, ChipSupply],
        halls: Mapping[str, Floats],
        samples: int,
        seed: int,
    ) -> None:
        self.question, self.supplies, self.halls, self.facts = question, supplies, halls, delay_facts()
        self.drawn: dict[str, Floats] = {}
        self.seed, self.samples = seed, samples

    def _late_s(self, kind: str, name: str, i: int | None) -> float:
        fact, label = self.facts[kind], f"{kind} of {name}"
        if i is None:
            return max(float(spread(fact.low, fact.best, fact.high, LATE_Z)), 0.0)
        if label not in self.drawn:
            z = deviates(self.seed, label, self.samples)
            self.drawn[label] = np.maximum(spread(fact.low, fact.best, fact.high, z), 0.0)
        return float(self.drawn[label][i])

    def late(self) -> BuildQuestion:
        """Return the question with every draw at its late end, supply at the low one."""
        return self._question(None)

    def world(self, i: int) -> BuildQuestion:
        """Return the question of one sample."""
        return self._question(i)

    def _question(self, i: int | None) -> BuildQuestion:
        q = self.question
        money = q.money
        if money is not None and money.funding_usd.any():
            money = replace(money, funding_usd=self._moved(money.funding_usd, self._late_s("funding", "rounds", i)))
        return replace(
            q,
            offers=tuple(self._offer(offer, i) for offer in q.offers),
            sites=tuple(self._site(site, i) for site in q.sites),
            money=money,
        )

    def _offer(self, offer: Offer, i: int | None) -> Offer:
        supply = offer.supply
        drawn = self.supplies.get(offer.name)
        if drawn is not None:
            part = np.divide(drawn.samples, drawn.best, out=np.ones_like(drawn.samples), where=drawn.best > 0)
            each = np.quantile(part, 1.0 - LATE, axis=0) if i is None else part[i % len(part)]
            supply = supply * each
            if offer.allotted is not None:
                offer = replace(offer, allotted=_capped(offer, offer.allotted * each))
            if i is not None:
                self.drawn.setdefault(
                    f"supply of {offer.name}", np.array([part[k % len(part)].mean() for k in range(self.samples)])
                )
        launch = offer.first_delivery
        if launch > 0:
            launch += self._periods(self._late_s("launch", offer.chip, i))
        return replace(offer, supply=supply, first_delivery=launch)

    def _site(self, site: BuildSite, i: int | None) -> BuildSite:
        grid = site.grid
        if (np.diff(grid) > 0).any():
            grid = self._risen(grid, self._late_s("grid", site.name, i))
        limits = dict(site.limits)
        drawn = self.halls.get(site.name)
        if drawn is not None:
            ready = np.quantile(drawn, 1.0 - LATE, axis=0) if i is None else drawn[i % len(drawn)]
            limits["hall"] = np.minimum(ready, float(site.limits["hall"].max()))
            if i is not None:
                each = np.array([drawn[k % len(drawn)].mean() for k in range(self.samples)])
                self.drawn.setdefault(f"construction of {site.name}", each)
        return replace(
            site, grid=grid, limits=limits, expansions=tuple(self._units(site, item, i) for item in site.expansions)
        )

    def _units(self, site: BuildSite, item: Expansion, i: int | None) -> Expansion:
        late = self._late_s("units", f"{item.name} at {site.name}", i)
        given = self._risen(item.given, late) if (np.diff(item.given, prepend=0.0) > 0).any() else item.given
        return replace(item, given=given, lead=item.lead + (self._periods(late) if item.lead else 0))

    def _periods(self, seconds: float) -> int:
        return round(seconds / float(self.question.calendar.length_s.mean()))

    def _risen(self, limit: Floats, late_s: float) -> Floats:
        """Return a dated limit whose rises come later and whose falls do not; the part of a period counts."""
        shift = late_s / float(self.question.calendar.length_s.mean())
        at = np.arange(len(limit)) - shift
        moved = np.interp(at, np.arange(len(limit)), limit, left=float(limit[0]))
        return np.asarray(np.minimum(limit, moved))

    def _moved(self, amounts: Floats, late_s: float) -> Floats:
        periods = self._periods(late_s)
        return amounts if periods == 0 else np.concatenate((np.zeros(periods), amounts[:-periods]))

    def matters(self, result: Floats) -> dict[str, float]:
        """Return the rank correlation of each draw that varies with a result, strongest first."""
        result = np.round(result / max(float(np.abs(result).max()), 1.0), DIGITS)
        found = {}
        for name, drawn in self.drawn.items():
            if np.ptp(drawn) > 0 and np.ptp(result) > 0:
                found[name] = float(np.corrcoef(_ranks(drawn), _ranks(result))[0, 1])
        noise = NOISE / math.sqrt(len(result))
        heard = {name: value for name, value in found.items() if abs(value) >= noise}
        return dict(sorted(heard.items(), key=lambda pair: -abs(pair[1])))


def _ranks(values: Floats) -> Floats:
    """Return ranks from 1; equal values, such as the many delays of zero, share the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - 0.5 * (count - 1))[place])
