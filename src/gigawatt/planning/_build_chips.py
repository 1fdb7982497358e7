"""Accelerators of a build-out: what one does, draws and costs, and how many can be had when.

accelerator -> training, reliability, power, finance at a reference fleet of it alone -> ChipKind
orders -> supply chain and market -> Offer
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from gigawatt import buildout
from gigawatt.buildout import Calendar, day_of
from gigawatt.catalog import load_catalog
from gigawatt.errors import InputError, Problem
from gigawatt.finance import residual_decline
from gigawatt.planning._couple import Evaluation, evaluate
from gigawatt.planning._inputs import Inputs, resolve
from gigawatt.scenario import BuildSection, ChipItem, FleetSection, OrderItem, Scenario

Floats = buildout.Floats
USUAL_FLEET = 100_000
# A run is planned on no fewer than this, so that a model fits.
LEAST_FLEET = 1_024
USUAL_DEPOSIT = 0.2
USUAL_EARNING = 0.7
MONTH_S = 365.25 / 12 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipCase:
    """One offer with the accelerator behind it: the plan of the training run on a reference fleet of it alone."""

    item: ChipItem
    index: int
    name: str
    accelerator: str
    inputs: Inputs
    base: Evaluation

    @property
    def useful_flops(self) -> float:
        """Useful FLOP/s of one accelerator in service, failures and idle accelerators included."""
        return self.base.value("run.compute") / (self.base.value("run.time") * self.base.fleet.powered)


def chip_case(scenario: Scenario, section: BuildSection, calendar: Calendar, index: int) -> ChipCase:
    """Return the case of an offer at the reference fleet, by default the target, what is ordered, or `USUAL_FLEET`."""
    orders = section.chips[index].orders or ()
    stated = section.reference_fleet or (section.target if section.goal == "fleet" else None)
    ordered = sum(order.count or 0 for order in orders) or section.chips[index].most
    case = _chip_case_of(scenario, section, index, max(stated or ordered or USUAL_FLEET, LEAST_FLEET))
    if stated is None and any(order.amount is not None and order.count is None for order in orders):
        # how many an amount buys is known once there is a price, which hardly depends on the size of the fleet
        bought = int(sum(counted(case, calendar, order) for order in orders))
        return _chip_case_of(scenario, section, index, max(bought, LEAST_FLEET))
    return case


def _chip_case_of(scenario: Scenario, section: BuildSection, index: int, count: int) -> ChipCase:
    item = section.chips[index]
    alone = replace(
        scenario,
        fleet=FleetSection.model_construct(accelerator=item.accelerator, count=count, accelerators=None),
        site=scenario.site.model_copy(update={"grid_limit": None}),
        finance=scenario.finance.model_copy(
            update={"budget": None} | ({"accelerator_price": item.price} if item.price is not None else {})
        ),
        places={**scenario.places, "fleet.accelerator": scenario.place(f"build.chips.{index}.accelerator")},
    )
    inputs = resolve(alone)
    accelerator = inputs.reference.name
    return ChipCase(
        item=item,
        index=index,
        name=item.name or accelerator,
        accelerator=accelerator,
        inputs=inputs,
        base=evaluate(inputs, limit_fleet=False),
    )


def distinct(cases: Sequence[ChipCase]) -> list[ChipCase]:
    """Return one case for each kind of accelerator, the first of its offers."""
    return list({case.accelerator: case for case in reversed(cases)}.values())[::-1]


def wrong(scenario: Scenario, path: str, message: str, found: str, allowed: str) -> Problem:
    """Return a problem of the build section at a path below it, with its place in the file."""
    full = f"build.{path}"
    return Problem(message=message, location=scenario.place(full), path=full, found=found, allowed=allowed)


def supply_name(accelerator: str) -> str | None:
    """Return what the supply chain calls an accelerator of the catalogue, None where it does not know it."""
    bare = accelerator.removeprefix("G") if accelerator.startswith(("GB200", "GB300")) else accelerator
    known = sorted(buildout.chip_names(), key=len, reverse=True)
    return next((name for name in known if bare == name or bare.startswith((f"{name} ", f"{name}("))), None)


def first_delivery(case: ChipCase) -> date | None:
    """Return when a product is first shipped: as stated, else the first quarter of its series, else the year of its availability."""
    if case.item.first_delivery is not None:
        return day_of(case.item.first_delivery)
    name, year = supply_name(case.accelerator), case.inputs.reference.year
    shipped = buildout.first_shipment(name) if name is not None else None
    return shipped or (date(year, 1, 1) if year is not None else None)


# what an accelerator is
def chip_kind(section: BuildSection, calendar: Calendar, case: ChipCase) -> buildout.ChipKind:
    """Return an accelerator as the schedule sees it, SI units. What it is worth at the end is the market price without a premium, declining as the catalogue's
    dated prices do.
    """
    inputs, base = case.inputs, case.base
    earns = section.earns if section.earns is not None else (USUAL_EARNING if section.goal == "npv" else 0.0)
    capital = _capital(case)
    decline = residual_decline(load_catalog()).best
    years = calendar.edges_s[-1] / buildout.SECONDS_PER_YEAR
    return buildout.ChipKind(
        name=case.accelerator,
        useful_flops=case.useful_flops,
        it_w=base.value("power.it_per_accelerator_peak"),
        mean_it_w=base.value("power.it_per_accelerator"),
        upkeep_usd_per_s=inputs.value("finance.it_maintenance_per_year") * capital / buildout.SECONDS_PER_YEAR,
        worth_usd_per_s=earns * rent_of(case, calendar),
        resale_usd=(_market_usd(case, calendar)[0] + capital - _catalogue_usd(case)) * math.exp(-decline * years),
    )


def _capital(case: ChipCase) -> float:
    """Return what one accelerator costs with server, network and storage, without the building."""
    base, inputs = case.base, case.inputs
    building = inputs.value("finance.building_usd_per_w") * base.value("power.it_per_accelerator_peak")
    return base.value("fleet.capital_per_accelerator") - building


def _bare_usd(case: ChipCase, calendar: Calendar) -> Floats:
    """Return the price of one accelerator without anything around it or a premium, (T,): as asked, else the dated path,
    else the catalogue's.
    """
    if case.item.price is not None:
        return np.full(calendar.periods, case.item.price)
    return _market_usd(case, calendar)


def _market_usd(case: ChipCase, calendar: Calendar) -> Floats:
    try:
        return buildout.price_path(supply_name(case.accelerator) or case.accelerator, calendar).best
    except ValueError:  # no dated series
        return np.full(calendar.periods, _catalogue_usd(case))


def _catalogue_usd(case: ChipCase) -> float:
    """Return the price that the plan of the accelerator alone was made with."""
    if case.item.price is not None:
        return case.item.price
    price = case.inputs.reference.price_usd
    return price.best if price is not None else 0.0


def price_of(case: ChipCase, calendar: Calendar) -> Floats:
    """Return the price of one accelerator with server, network and storage by period of the order, (T,). A premium is
    paid on the accelerator alone.
    """
    around = _capital(case) - _catalogue_usd(case)
    return np.asarray(_bare_usd(case, calendar) * (1.0 + (case.item.premium or 0.0)) + around)


def counted(case: ChipCase, calendar: Calendar, order: OrderItem) -> float:
    """Return the accelerators of an order, those that its amount pays for at the price of its date."""
    if order.count is not None:
        return float(order.count)
    period = min(max(calendar.period_of(day_of(order.day)), 0), calendar.periods - 1)
    return float(int((order.amount or 0.0) / price_of(case, calendar)[period]))


def rent_of(case: ChipCase, calendar: Calendar) -> Floats:
    """Return what an accelerator is rented for, USD/s, (T,); by its compute against H100 where no price is known."""
    try:
        return buildout.price_path(supply_name(case.accelerator) or case.accelerator, calendar, "rental").best
    except ValueError:
        reference = buildout.price_path("H100", calendar, "rental").best
        return np.asarray(reference * case.useful_flops / H100_USEFUL)


# What an H100 does of useful work in a large run, FLOP/s: 989 TFLOP/s at 40 % (docs/training.md), for rents that are not known.
H100_USEFUL = 0.4 * 989e12


# what can be delivered
def offer_of(
    scenario: Scenario,
    calendar: Calendar,
    case: ChipCase,
    supplies: dict[str, buildout.ChipSupply],
) -> buildout.Offer:
    """Return what can be ordered on the terms of a case and delivered by period; the supply of its vendor is kept in
    `supplies`. Raises InputError where nothing says how many can be had.
    """
    item, T = case.item, calendar.periods
    name = supply_name(case.accelerator)
    orders = item.orders
    given, allotted, before = None, None, 0.0
    if orders is not None:
        given = np.zeros(T)
        for order in orders:
            period = calendar.period_of(day_of(order.day))
            if period < 0:
                before += counted(case, calendar, order)
            else:
                given[period] += counted(case, calendar, order)
    lead_s = item.lead_time
    if item.per_month is not None:
        supply = item.per_month * calendar.length_s / MONTH_S
    elif name is not None and (item.share is not None or orders is not None):
        shipped = buildout.monthly_supply([buildout.supply_line(name)], calendar)
        found = shipped[0]
        supplies[case.name] = found
        if item.share is not None:
            supply = item.share * found.best
        else:
            supply = allotted = _by_market(calendar, case, found)
    else:
        raise InputError(
            wrong(
                scenario,
                f"chips.{case.index}",
                f"how many {case.accelerator} can be had?",
                case.name,
                "per_month, or share of what the vendor ships"
                + ("" if name else " (known for " + ", ".join(buildout.chip_names()) + ")"),
            )
        )
    ships = first_delivery(case)
    lead = periods_of(calendar, buildout.order_lead_s() if lead_s is None else lead_s)
    return buildout.Offer(
        name=case.name,
        chip=case.accelerator,
        price_usd=price_of(case, calendar),
        supply=np.asarray(supply),
        lead=lead,
        given=given,
        allotted=allotted,
        before=before,
        first=calendar.period_of(day_of(item.start)) if item.start else 0,
        last=calendar.period_of(day_of(item.until)) if item.until else 10**6,
        most=float(item.most) if item.most is not None else math.inf,
        first_delivery=max(calendar.period_of(ships), 0) if ships is not None else 0,
        deposit=item.deposit if item.deposit is not None else USUAL_DEPOSIT,
    )


def _by_market(calendar: Calendar, case: ChipCase, found: buildout.ChipSupply) -> Floats:
    """Return what the given orders get in the queue with everybody else's, (T,): the mean over samples of the supply."""
    mine = [market_order(calendar, case, order) for order in case.item.orders or ()]
    served = buildout.deliveries([*mine, *others_of(calendar, found)], found.samples, buildout.market_rules())
    return np.asarray(served.of(BUYER).mean(axis=0))


BUYER = "this plan"


def market_order(calendar: Calendar, case: ChipCase, order: OrderItem) -> buildout.Order:
    """Return an order as the market sees it: it takes part from when its first server can be on the site."""
    item, placed = case.item, calendar.period_of(day_of(order.day))
    lead = periods_of(calendar, buildout.order_lead_s() if item.lead_time is None else item.lead_time)
    ships = first_delivery(case)
    launch = calendar.period_of(ships) if ships is not None else 0
    return buildout.Order(
        buyer=BUYER,
        units=counted(case, calendar, order),
        placed=max(placed, 0),
        earliest=max(placed + lead, launch, 0),
        premium=item.premium or 0.0,
        prepaid=item.deposit if item.deposit is not None else USUAL_DEPOSIT,
    )


def others_of(calendar: Calendar, found: buildout.ChipSupply) -> tuple[buildout.Order, ...]:
    """Return the standing orders of all other buyers of a chip."""
    shares = buildout.buyer_shares(found.vendor, calendar.start.year, chip=found.chip)
    return buildout.standing_orders(
        {name: share.best for name, share in shares.items()}, found, buildout.market_rules()
    )


def periods_of(calendar: Calendar, seconds: float) -> int:
    """Return a time as whole periods, rounded to the nearest."""
    return round(seconds / float(calendar.length_s.mean()))
