"""From the build section of a scenario to the question that the build-out engine is asked.

accelerators -> training, reliability, power, finance at a reference fleet -> what one adds, draws and costs
orders -> supply chain and market -> what can be delivered in each period
sites -> dated limits, tasks of a template, units that widen them
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np

from gigawatt import buildout
from gigawatt.buildout import Calendar, day_of
from gigawatt.catalog import load_catalog
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.finance import residual_decline
from gigawatt.planning._couple import Evaluation, evaluate
from gigawatt.planning._inputs import Inputs, resolve
from gigawatt.scenario import BuildSection, ChipItem, FleetSection, OrderItem, Scenario, TaskItem, UnitItem

Floats = buildout.Floats
USUAL_FLEET = 100_000
# A run is planned on no fewer than this, so that a model fits.
LEAST_FLEET = 1_024
USUAL_DEPOSIT = 0.2
USUAL_INTEREST = 0.08
USUAL_EARNING = 0.7
MONTH_S = 365.25 / 12 * 86_400.0
# An order is not placed longer than this before the product ships.
LONGEST_AHEAD_DAYS = 730


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Construction:
    """The tasks of a site that is built from a template: `halls_w` (S, T) is the IT power of the racks that are accepted
    by the end of every period, by sample.
    """

    site: str
    begin_s: float
    schedule: buildout.BuildSchedule
    halls_w: Floats
    capital_usd: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildCase:
    """The question with what it was made from. `supplies` are what a vendor ships per offer, where the chain says so."""

    scenario: Scenario
    section: BuildSection
    calendar: Calendar
    cases: tuple[ChipCase, ...]
    question: buildout.BuildQuestion
    supplies: dict[str, buildout.ChipSupply]
    constructions: tuple[Construction, ...]
    usd_per_flop: float
    run_flop: float
    notes: tuple[str, ...]

    def case(self, offer: str) -> ChipCase:
        """Return the case of an offer."""
        return next(case for case in self.cases if case.name == offer)


def build_case(scenario: Scenario) -> BuildCase:
    """Return the question of a scenario's build-out. Raises InputError for every mistake in it, with its place."""
    section = scenario.build
    if section is None:
        raise InputError(
            Problem(
                message="no build-out is described",
                location=scenario.file,
                path="build",
                allowed="a section `build` (docs/buildout.md)",
            )
        )
    calendar = _calendar(section)
    cases = tuple(_chip_case(scenario, section, calendar, i) for i in range(len(section.chips)))
    _check(scenario, section, calendar, cases)
    supplies: dict[str, buildout.ChipSupply] = {}
    offers = tuple(_offer(scenario, calendar, case, supplies) for case in cases)
    built = [_construct(scenario, calendar, cases[0], i) for i in range(len(section.sites))]
    sites = tuple(_site(scenario, calendar, cases[0], i, built[i]) for i in range(len(section.sites)))
    first = cases[0]
    rent = _rent(first, calendar)
    return BuildCase(
        scenario=scenario,
        section=section,
        calendar=calendar,
        cases=cases,
        question=buildout.BuildQuestion(
            calendar=calendar,
            chips=tuple(_chip(section, calendar, case) for case in _distinct(cases)),
            offers=offers,
            sites=sites,
            money=_money(section, calendar),
            discount=first.inputs.value("finance.discount_rate"),
        ),
        supplies=supplies,
        constructions=tuple(each for each in built if each is not None),
        usd_per_flop=float(rent.mean()) / first.useful_flops,
        run_flop=first.base.value("run.compute"),
        notes=tuple(_notes(section, cases)),
    )


def _calendar(section: BuildSection) -> Calendar:
    start = day_of(section.start)
    if section.step == "month":
        return Calendar(start, section.months)
    return Calendar(start, math.ceil(section.months * MONTH_S / (7 * 86_400.0)), "week")


def _chip_case(scenario: Scenario, section: BuildSection, calendar: Calendar, index: int) -> ChipCase:
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


def _distinct(cases: Sequence[ChipCase]) -> list[ChipCase]:
    return list({case.accelerator: case for case in reversed(cases)}.values())[::-1]


def _notes(section: BuildSection, cases: Sequence[ChipCase]) -> list[str]:
    """Return what a scenario says that changes nothing."""
    notes = []
    for case in cases:
        item = case.item
        if item.premium and (item.per_month is not None or item.share is not None):
            notes.append(
                f"{case.name}: the premium is paid and moves nothing: what is delivered is given by share or per_month"
            )
        if item.share is not None and item.per_month is not None:
            notes.append(f"{case.name}: per_month counts, share does not")
    if section.by is not None and section.goal != "compute":
        notes.append(f"build.by does not count for the goal {section.goal}")
    if section.target is not None and section.goal != "fleet":
        notes.append(f"build.target does not count for the goal {section.goal}")
    for site in section.sites:
        idle = [unit.name for unit in site.units or () if not unit.most and not unit.given]
        notes += [f"{name} at {site.name}: neither given nor most, so there are none" for name in idle]
    if day_of(section.start).year > LATEST_PRICES:
        notes.append(f"prices and supply after {LATEST_PRICES} are those of the last known date")
    return notes


# The last year of the packaged prices and supply.
LATEST_PRICES = 2027


def _check(scenario: Scenario, section: BuildSection, calendar: Calendar, cases: Sequence[ChipCase]) -> None:
    """Raise InputError for names that stand twice and dates that cannot be."""
    problems = []
    for kind, names in (("chips", [case.name for case in cases]), ("sites", [site.name for site in section.sites])):
        for i, name in enumerate(names):
            if name in names[:i]:
                problems.append(
                    _wrong(scenario, f"{kind}.{i}.name", "the name stands twice", repr(name), "a name of its own")
                )
    if section.goal == "fleet" and section.target is None:
        problems.append(_wrong(scenario, "goal", "a fleet of how many?", "goal: fleet", "build.target with it"))
    if section.by is not None and not 0 <= calendar.period_of(day_of(section.by)) < calendar.periods:
        problems.append(
            _wrong(
                scenario,
                "by",
                "a date outside the plan",
                section.by,
                f"{calendar.label(0)} to {calendar.label(calendar.periods - 1)}",
            )
        )
    problems += _order_problems(scenario, section, calendar)
    for case in cases:
        ships = first_delivery(case)
        for k, order in enumerate(case.item.orders or ()):
            placed = day_of(order.day)
            if (order.count is None) == (order.amount is None):
                problems.append(
                    _wrong(
                        scenario,
                        f"chips.{case.index}.orders.{k}",
                        "how much is ordered?",
                        order.day,
                        "a count or an amount",
                    )
                )
            if ships is not None and (ships - placed).days > LONGEST_AHEAD_DAYS:
                problems.append(
                    _wrong(
                        scenario,
                        f"chips.{case.index}.orders.{k}.date",
                        f"an order of {case.accelerator} before the product exists: it ships from {ships.isoformat()[:7]}",
                        order.day,
                        f"from {(ships - timedelta(days=LONGEST_AHEAD_DAYS)).isoformat()[:7]} on",
                    )
                )
            if calendar.period_of(placed) >= calendar.periods:
                problems.append(
                    _wrong(
                        scenario,
                        f"chips.{case.index}.orders.{k}.date",
                        "an order after the end of the plan",
                        order.day,
                        f"up to {calendar.label(calendar.periods - 1)}",
                    )
                )
    if problems:
        raise InputError(problems)


def _order_problems(scenario: Scenario, section: BuildSection, calendar: Calendar) -> list[Problem]:
    """Return what is wrong with the order of dates and with limits that stand twice."""
    problems = []
    spans: list[tuple[str, ChipItem | UnitItem]] = [(f"chips.{i}", item) for i, item in enumerate(section.chips)]
    for i, site in enumerate(section.sites):
        spans += [(f"sites.{i}.units.{k}", unit) for k, unit in enumerate(site.units or ())]
        for field in ("grid", "cooling", "hall", "network", "installation"):
            days = [step.start for step in getattr(site, field) or ()]
            for k, day in enumerate(days):
                if day in days[:k]:
                    problems.append(
                        _wrong(
                            scenario,
                            f"sites.{i}.{field}.{k}.from",
                            "the date stands twice",
                            day,
                            "one limit for a date",
                        )
                    )
        for k, unit in enumerate(site.units or ()):
            based = {"power": True, "installation": bool(site.installation), "cooling": bool(site.cooling)} | {
                "network": bool(site.network),
                "hall": bool(site.hall or site.size or site.template),
            }
            if not based[unit.resource]:
                problems.append(
                    _wrong(
                        scenario,
                        f"sites.{i}.units.{k}",
                        f"units widen the {unit.resource} of a site that has no such limit",
                        unit.name,
                        f"sites.{i}.{unit.resource} with it",
                    )
                )
    for path, item in spans:
        if item.until is not None and day_of(item.until) <= max(day_of(item.start or section.start), calendar.start):
            problems.append(
                _wrong(
                    scenario,
                    f"{path}.until",
                    "nothing is left before it ends",
                    item.until,
                    f"after {item.start or section.start}",
                )
            )
    return problems


def _wrong(scenario: Scenario, path: str, message: str, found: str, allowed: str) -> Problem:
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
def _chip(section: BuildSection, calendar: Calendar, case: ChipCase) -> buildout.ChipKind:
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
        worth_usd_per_s=earns * _rent(case, calendar),
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


def _price(case: ChipCase, calendar: Calendar) -> Floats:
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
    return float(int((order.amount or 0.0) / _price(case, calendar)[period]))


def _rent(case: ChipCase, calendar: Calendar) -> Floats:
    """Return what an accelerator is rented for, USD/s, (T,); by its compute against H100 where no price is known."""
    try:
        return buildout.price_path(supply_name(case.accelerator) or case.accelerator, calendar, "rental").best
    except ValueError:
        reference = buildout.price_path("H100", calendar, "rental").best
        return np.asarray(reference * case.useful_flops / H100_USEFUL)


# What an H100 does of useful work in a large run, FLOP/s: 989 TFLOP/s at 40 % (docs/training.md), for rents that are not known.
H100_USEFUL = 0.4 * 989e12


# what can be delivered
def _offer(
    scenario: Scenario,
    calendar: Calendar,
    case: ChipCase,
    supplies: dict[str, buildout.ChipSupply],
) -> buildout.Offer:
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
            _wrong(
                scenario,
                f"chips.{case.index}",
                f"how many {case.accelerator} can be had?",
                case.name,
                "per_month, or share of what the vendor ships"
                + ("" if name else " (known for " + ", ".join(buildout.chip_names()) + ")"),
            )
        )
    ships = first_delivery(case)
    lead = _periods(calendar, buildout.order_lead_s() if lead_s is None else lead_s)
    return buildout.Offer(
        name=case.name,
        chip=case.accelerator,
        price_usd=_price(case, calendar),
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
    lead = _periods(calendar, buildout.order_lead_s() if item.lead_time is None else item.lead_time)
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


def _periods(calendar: Calendar, seconds: float) -> int:
    """Return a time as whole periods, rounded to the nearest."""
    return round(seconds / float(calendar.length_s.mean()))


# where it stands
def stepped(
    calendar: Calendar, steps: Sequence[Any] | None, value: Callable[[Any], float], before: float = 0.0
) -> Floats:
    """Return a dated limit at the end of every period, (T,): that of the last step on or before its last day."""
    out = np.full(calendar.periods, before)
    for step in sorted(steps or (), key=lambda each: day_of(each.start)):
        begin = calendar.period_of(day_of(step.start))
        out[max(begin, 0) :] = value(step)
    return out


def _site(
    scenario: Scenario, calendar: Calendar, case: ChipCase, index: int, construction: Construction | None
) -> buildout.BuildSite:
    assert scenario.build is not None
    item, inputs = scenario.build.sites[index], case.inputs
    T = calendar.periods
    limits: dict[str, Floats] = {}
    if item.hall:
        limits["hall"] = stepped(calendar, item.hall, lambda step: step.limit)
    elif item.size is not None:
        limits["hall"] = np.full(T, item.size)
    if item.cooling:
        limits["cooling"] = stepped(calendar, item.cooling, lambda step: step.limit)
    if item.network:
        limits["network"] = stepped(calendar, item.network, lambda step: float(step.accelerators))
    if item.installation:
        monthly = stepped(calendar, item.installation, lambda step: float(step.accelerators))
        limits["installation"] = monthly * calendar.length_s / MONTH_S
    if construction is not None:
        limits["hall"] = np.minimum(np.median(construction.halls_w, axis=0), item.size or np.inf)
    price = item.electricity_price if item.electricity_price is not None else inputs.value("site.electricity_price")
    grid = stepped(calendar, item.grid, lambda step: step.limit)
    return buildout.BuildSite(
        name=item.name,
        pue=item.pue or inputs.value("site.pue"),
        grid=grid,
        grid_usd_per_j=price,
        rent_usd_per_s=(item.rent or 0.0) + (item.connection_price or 0.0),
        capital_usd=construction.capital_usd if construction is not None else None,
        limits=limits,
        expansions=tuple(
            _expansion(scenario, calendar, unit, f"sites.{index}.units.{k}") for k, unit in enumerate(item.units or ())
        ),
    )


def _with_tasks(network: buildout.TaskNetwork, items: Sequence[TaskItem]) -> buildout.TaskNetwork:
    """Return a network with tasks of a scenario. Raises InputError and InfeasibleError as TaskNetwork does: names that
    are not there, tasks that wait for one another in a circle.
    """
    tasks = {task.name: task for task in network.tasks}
    for item in items:
        times = item.duration if isinstance(item.duration, list) else [item.duration] * 3
        if len(times) != 3 or sorted(times) != times or min(times) <= 0:
            raise InputError(
                Problem(
                    message=f"how long does {item.name!r} take?", allowed="a time, or three that rise: 10, 50 and 90 %"
                )
            )
        known = tasks.get(item.name, buildout.Task(name=item.name, low_s=1.0, best_s=1.0, high_s=1.0))
        after = known.after if item.after is None else tuple(item.after)
        low, best, high = times
        tasks[item.name] = replace(known, low_s=low, best_s=best, high_s=high, after=after)
        for name in item.before or ():
            if name in tasks:
                tasks[name] = replace(tasks[name], after=(*tasks[name].after, item.name))
            else:
                nearest = nearest_name(name, list(tasks))
                raise InputError(Problem(message="no task has this name", found=repr(name), nearest=nearest))
    return replace(network, tasks=tuple(tasks.values()))


def _at(
    scenario: Scenario, path: str, make: Callable[..., Any], *given: Any, field: str = "in_hand", **named: Any
) -> Any:
    """Return what `make` returns; its mistakes get the place in the scenario."""
    try:
        return make(*given, **named)
    except InputError as error:
        raise InputError(
            [
                replace(problem, location=scenario.place(f"{path}.{field}"), path=f"{path}.{field}")
                for problem in error.problems
            ]
        ) from None


# Samples of a template's tasks: enough for its P10 and P90.
SAMPLES_OF_TASKS = 400
LARGEST_SITE_W = 20e9


def _construct(scenario: Scenario, calendar: Calendar, case: ChipCase, index: int) -> Construction | None:
    """Return how hall, cooling and network of a site come to be, None where they are there from the start. Power is
    planned by the schedule itself, so no task waits for it.
    """
    assert scenario.build is not None
    item = scenario.build.sites[index]
    if item.template is None:
        return None
    if item.size is not None and item.size > LARGEST_SITE_W:
        raise InputError(
            _wrong(
                scenario,
                f"sites.{index}.size",
                "too large for one site",
                f"{item.size / 1e9:,.0f} GW",
                "up to 20 GW; several sites",
            )
        )
    if item.size is None:
        raise InputError(
            _wrong(
                scenario, f"sites.{index}.size", "how large is what is built?", item.name, "size, for example 150 MW"
            )
        )
    inputs, base = case.inputs, case.base
    layout = inputs.layout
    per_rack = layout.accelerators_per_node * layout.nodes_per_rack
    it_w = base.value("power.it_per_accelerator_peak")
    racks = max(math.ceil(item.size / (it_w * per_rack)), 1)
    meter_w = item.size * (item.pue or inputs.value("site.pue"))
    network = _at(
        scenario,
        f"build.sites.{index}",
        buildout.site_tasks,
        item.template,
        power_w=meter_w,
        racks=racks,
        power=[buildout.PowerStep(power_w=meter_w)],
        crews={"racks": item.crews} if item.crews is not None else None,
        shifts=item.shifts or 1,
        in_hand=item.in_hand or (),
    )
    if item.tasks:
        network = _at(scenario, f"build.sites.{index}", _with_tasks, network, item.tasks, field="tasks")
    built = buildout.build_schedule(network, SAMPLES_OF_TASKS)
    begin_s = calendar.seconds_of(day_of(item.start)) if item.start is not None else 0.0
    edges = np.maximum(calendar.edges_s[1:] - begin_s, 0.0)
    accepted = buildout.installed(network, built.samples, edges, kind="acceptance", whole=True)
    end_s = begin_s + built.date("").p50_s
    part = np.clip(np.diff(np.clip(calendar.edges_s, begin_s, end_s)) / max(end_s - begin_s, 1.0), 0.0, 1.0)
    return Construction(
        site=item.name,
        begin_s=begin_s,
        schedule=built,
        halls_w=accepted * it_w * per_rack,
        capital_usd=part * item.size * inputs.value("finance.building_usd_per_w"),
    )


def _expansion(scenario: Scenario, calendar: Calendar, unit: UnitItem, path: str) -> buildout.Expansion:
    counted = unit.resource in ("network", "installation")
    each = unit.accelerators if counted else unit.unit
    if each is None:
        raise InputError(
            _wrong(
                scenario,
                path,
                "how much does one unit add?",
                unit.name,
                "accelerators" if counted else "unit, for example 16 MW",
            )
        )
    size = float(each) * (float(calendar.length_s.mean()) / MONTH_S if unit.resource == "installation" else 1.0)
    given = stepped(calendar, unit.given, lambda step: float(step.units))
    most = np.maximum(given, float(unit.most or 0))
    if unit.start is not None:
        most[: max(calendar.period_of(day_of(unit.start)), 0)] = given[: max(calendar.period_of(day_of(unit.start)), 0)]
    if unit.until is not None:
        last = max(calendar.period_of(day_of(unit.until)), 0)
        most[last:], given[last:] = 0.0, 0.0
    return buildout.Expansion(
        name=unit.name,
        resource=unit.resource,
        unit=size,
        lead=_periods(calendar, unit.lead_time or 0.0),
        most=most,
        given=given,
        price_usd=unit.price or 0.0,
        keep_usd_per_s=unit.keep or 0.0,
        energy_usd_per_j=unit.energy_price or 0.0,
        whole=True,
    )


# what it is paid with
def _money(section: BuildSection, calendar: Calendar) -> buildout.Money | None:
    money, T = section.money, calendar.periods
    if money is None:
        return None
    funding = np.zeros(T)
    cash = money.cash or 0.0
    for item in money.funding or ():
        period = calendar.period_of(day_of(item.day))
        if period < 0:
            cash += item.amount
        elif period < T:
            funding[period] += item.amount
    return buildout.Money(
        cash_usd=cash,
        floor_usd=money.floor or 0.0,
        funding_usd=funding,
        burn_usd=(money.burn or 0.0) * calendar.length_s,
        debt_usd=stepped(calendar, money.debt, lambda step: step.limit),
        interest=money.interest if money.interest is not None else USUAL_INTEREST,
    )
