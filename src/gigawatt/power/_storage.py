"""The smallest store that lets a set of events comply, what it costs and how long it lasts.

    LoadEvent (start, stop, crash, restart, checkpoint, steps) + Requirements + Technology -> size_battery() -> Sizing

Every event is run through the controller with a store that limits nothing, for several filters; where the grid then sees
what it asks for, the largest power and charge are what is needed. Watts, joules, seconds, USD. Shapes: n samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.power._compliance import NOT_JUDGED, ComplianceResult, check
from gigawatt.power._requirements import Requirements
from gigawatt.power._smoothing import Controller, Smoothed, Store, smooth
from gigawatt.power._wear import Cycles, Life, lithium_life, mitigation_facts, rainflow

Array = NDArray[np.float64]
YEAR = 31_557_600.0
FILTERS_S = (0.0, 2.0, 5.0, 15.0, 60.0, 240.0)
ROUNDING = 1e-6  # of the charge, so that rounding does not empty a store that is just large enough
TECHNOLOGIES = ("bess", "ups", "capacitor")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadEvent:
    """A record (n,) of the load around something that happens `per_year` times a year. Begins settled."""

    name: str
    power_w: Array
    step_s: float
    per_year: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Technology:
    """A kind of store: price per power and energy, installation and upkeep as shares, least energy over power, losses,
    usable share, life. `full_cycles` is its cycle life; inf: lithium cells, whose wear is modelled.
    """

    name: str
    usd_per_w: float
    usd_per_j: float
    installation: float = 0.0
    upkeep_per_year: float = 0.0
    duration_s: float = 0.0
    round_trip: float = 1.0
    usable: float = 1.0
    life_years: float = 20.0
    full_cycles: float = math.inf

    @classmethod
    def packaged(cls, name: str) -> Technology:
        """Return the best packaged values of "bess", "ups" or "capacitor". Raises ValueError for another name."""
        if name not in TECHNOLOGIES:
            raise ValueError(f"unknown storage technology {name!r}; choose one of {', '.join(TECHNOLOGIES)}")
        facts = mitigation_facts()
        cycles = facts.get(f"{name}.cycles")
        return cls(
            name=name,
            usd_per_w=facts[f"{name}.power_price"].best,
            usd_per_j=facts[f"{name}.energy_price"].best,
            installation=facts[f"{name}.installation"].best,
            upkeep_per_year=facts[f"{name}.upkeep"].best,
            duration_s=facts[f"{name}.duration"].best,
            round_trip=facts[f"{name}.round_trip"].best,
            usable=facts[f"{name}.usable"].best,
            life_years=facts[f"{name}.life"].best / YEAR,
            full_cycles=math.inf if cycles is None else cycles.best,
        )

    def rating(self, power_w: float, charge_j: float) -> float:
        """Return the energy to buy, J: the charge over the usable share, and at least `duration_s` of the power."""
        return max(charge_j / self.usable, power_w * self.duration_s)

    def capital(self, power_w: float, rating_j: float) -> float:
        """Return the price installed, USD."""
        return (power_w * self.usd_per_w + rating_j * self.usd_per_j) * (1.0 + self.installation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Economics:
    """Prices that a choice depends on: capital cost a year, USD/J of energy, USD/s of an accelerator."""

    discount: float
    energy_usd_per_j: float
    accelerator_usd_per_s: float

    @classmethod
    def packaged(cls) -> Economics:
        """Return the best packaged values."""
        facts = mitigation_facts()
        return cls(
            discount=facts["economics.discount"].best,
            energy_usd_per_j=facts["economics.energy_price"].best,
            accelerator_usd_per_s=facts["economics.accelerator_value"].best,
        )

    def annuity(self, years: float) -> float:
        """Return the share of a capital to pay a year over its life, w(1+w)^n/((1+w)^n-1). 10 %, 5 years: 0.2638."""
        return self.discount / -math.expm1(-years * math.log1p(self.discount)) if self.discount else 1.0 / years


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """A store that is just large enough, or none (`power_w` 0).

    `power_w` and `charge_j` are needed, `rating_j` is bought; `power_event` and `charge_event` are those that bind.
    `verdicts` say how each event complies behind the store and `bare` how without; `complies` is False where no
    controller that was tried suffices. `waiting_j` is the charge that the store holds before each event.
    """

    technology: Technology
    controller: Controller
    complies: bool
    power_w: float
    charge_j: float
    rating_j: float
    power_event: str
    charge_event: str
    capital_usd: float
    losses_j_per_year: float
    life: Life | None
    usd_per_year: float
    verdicts: dict[str, ComplianceResult] = field(default_factory=dict)
    bare: dict[str, ComplianceResult] = field(default_factory=dict)
    waiting_j: dict[str, float] = field(default_factory=dict)

    def store(self) -> Store:
        """Return the store that was sized (its usable energy). Raises ValueError where none is needed."""
        way = math.sqrt(self.technology.round_trip)
        return Store(
            discharge_w=self.power_w * (1 + 1e-9),
            charge_w=self.power_w * (1 + 1e-9),
            energy_j=self.charge_j * (1 + 1e-9),
            discharge_efficiency=way,
            charge_efficiency=way,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        names = ("complies", "power_w", "charge_j", "rating_j", "power_event", "charge_event")
        more = ("capital_usd", "losses_j_per_year", "usd_per_year")
        return {
            "technology": self.technology.name,
            "filter_s": self.controller.filter_s,
            **{name: getattr(self, name) for name in (*names, *more)},
            "life_years": self.life.years if self.life else None,
            "full_cycles_per_year": self.life.full_cycles_per_year if self.life else 0.0,
            "life_ends_by": self.life.ends_by if self.life else "",
            "verdicts": {name: result.complies for name, result in self.verdicts.items()},
            "bare": {name: result.complies for name, result in self.bare.items()},
        }


def size_battery(
    events: Sequence[LoadEvent],
    requirements: Requirements,
    technology: Technology,
    *,
    contract_w: float | None = None,
    economics: Economics | None = None,
    filters_s: Sequence[float] = FILTERS_S,
    positioned: bool = True,
    return_s: float = math.inf,
) -> Sizing:
    """Return the cheapest store with which every event keeps the ramps, ranges and bands of the requirements.

    `positioned`: the charge waits where the next event needs it (full while the job stands, empty while it runs), so the
    largest event counts; else the largest discharge and the largest charge add up. Give `return_s`, the time in which the
    charge goes back to its rest, where an event is the record of a whole run. A step of 100 MW at 10 MW/min needs
    100 MW and 8.33 MWh, at 1 MW/s 1.39 MWh (docs/science.md 12.5). Raises ValueError for no events, and for samples so
    coarse, or records so short, that no clause can be judged on any.
    """
    if not events:
        raise ValueError("a store is sized for events, and there are none")
    money = economics or Economics.packaged()
    asked = replace(requirements, ride_through=(), curtailment=(), power_factor=())
    contract = next(
        value
        for value in (contract_w, requirements.contract_w, max(float(e.power_w.max()) for e in events))
        if value is not None
    )
    bare = {event.name: check(asked, event.power_w, event.step_s, contract_w=contract) for event in events}
    _seen(bare, asked, max(float(event.power_w.max()) for event in events))
    if all(result.complies for result in bare.values()):
        return _none(technology, bare)
    best: Sizing | None = None
    for filter_s in filters_s:
        found = _size(events, asked, technology, contract, money, filter_s, positioned, return_s)
        if best is None or (not found.complies, found.usd_per_year) < (not best.complies, best.usd_per_year):
            best = found
    if best is None:
        raise ValueError("a controller needs at least one filter to try (0 for none)")
    return replace(best, bare=bare)


def _seen(bare: dict[str, ComplianceResult], asked: Requirements, peak_w: float) -> None:
    """Raise ValueError where nothing that is asked can be seen in any record: that is not the same as being kept."""
    clauses = [clause for result in bare.values() for clause in result.clauses]
    applies = clauses and peak_w >= asked.threshold_w
    if applies and all(clause.verdict == NOT_JUDGED for clause in clauses):
        raise ValueError(f"no clause can be judged on these records: {clauses[0].clause}: {clauses[0].reason}")


def _none(technology: Technology, verdicts: dict[str, ComplianceResult]) -> Sizing:
    return Sizing(
        technology=technology,
        controller=Controller(),
        complies=True,
        power_w=0.0,
        charge_j=0.0,
        rating_j=0.0,
        power_event="",
        charge_event="",
        capital_usd=0.0,
        losses_j_per_year=0.0,
        life=None,
        usd_per_year=0.0,
        verdicts=verdicts,
        bare=verdicts,
    )


def _size(
    events: Sequence[LoadEvent],
    asked: Requirements,
    technology: Technology,
    contract_w: float,
    money: Economics,
    filter_s: float,
    positioned: bool,
    return_s: float,
) -> Sizing:
    limits = [(ramp.up.at(contract_w), ramp.down.at(contract_w)) for ramp in asked.ramps]
    controller = Controller(
        ramp_up_w_per_s=min((up for up, _ in limits), default=math.inf),
        ramp_down_w_per_s=min((down for _, down in limits), default=math.inf),
        filter_s=filter_s,
        return_s=return_s,
    )
    way = math.sqrt(technology.round_trip)
    boundless = Store.boundless(way, way)
    runs = {e.name: smooth(e.power_w, e.step_s, boundless, controller, start_w=_settled(e)) for e in events}
    verdicts = {e.name: check(asked, runs[e.name].grid_w, e.step_s, contract_w=contract_w) for e in events}
    power_event = max(runs, key=lambda name: _power(runs[name]))
    charge_event = max(runs, key=lambda name: runs[name].charge_range_j)
    power = _power(runs[power_event])
    waiting = {name: _below(run) for name, run in runs.items()}
    if positioned:
        charge = runs[charge_event].charge_range_j
    else:
        waiting = dict.fromkeys(runs, max(waiting.values()))
        charge = waiting[charge_event] + max(_above(run) for run in runs.values())
    charge *= 1.0 + 2.0 * ROUNDING
    waiting = {name: below + ROUNDING * charge for name, below in waiting.items()}
    rating = technology.rating(power, charge)
    capital = technology.capital(power, rating)
    losses = math.fsum(max(runs[e.name].losses_j, 0.0) * e.per_year for e in events)
    life = _life(events, runs, technology, power, rating)
    yearly = capital * (money.annuity(life.years) + technology.upkeep_per_year) + losses * money.energy_usd_per_j
    return Sizing(
        technology=technology,
        controller=controller,
        complies=all(result.complies for result in verdicts.values()),
        power_w=power,
        charge_j=charge,
        rating_j=rating,
        power_event=power_event,
        charge_event=charge_event,
        capital_usd=capital,
        losses_j_per_year=losses,
        life=life,
        usd_per_year=yearly,
        verdicts=verdicts,
        waiting_j=waiting,
    )


def _settled(event: LoadEvent) -> float:
    """Return the grid power before an event: the mean of the record's first tenth, which is settled."""
    return float(event.power_w[: max(1, len(event.power_w) // 10)].mean())


def _power(run: Smoothed) -> float:
    return max(run.discharge_w, run.charge_w)


def _below(run: Smoothed) -> float:
    return max(0.0, run.start_j - float(run.charge_j.min()))


def _above(run: Smoothed) -> float:
    return max(0.0, float(run.charge_j.max()) - run.start_j)


def _life(
    events: Sequence[LoadEvent], runs: dict[str, Smoothed], technology: Technology, power_w: float, rating_j: float
) -> Life:
    """Return the life under all events of a year: cycles of each by rainflow, times how often it comes."""
    through, weighted = 0.0, 0.0
    for event in events:
        cycles: Cycles = rainflow(runs[event.name].charge_j)
        through += event.per_year * cycles.throughput
        weighted += event.per_year * float(np.dot(cycles.count, np.square(cycles.size)))
    if through == 0.0 or rating_j == 0.0:
        return Life(
            years=technology.life_years,
            full_cycles_per_year=0.0,
            calendar_loss=0.0,
            cycling_loss=0.0,
            ends_by="calendar",
        )
    per_year = through / rating_j
    if math.isfinite(technology.full_cycles):
        years = min(technology.life_years, technology.full_cycles / per_year)
        ends = "calendar" if years == technology.life_years else "cycling"
        used = years * per_year / technology.full_cycles
        return Life(years=years, full_cycles_per_year=per_year, calendar_loss=0.0, cycling_loss=used, ends_by=ends)
    depth = min(1.0, weighted / through / rating_j)
    return lithium_life(per_year, depth, power_w / rating_j * 3600.0, at_most_years=technology.life_years)
