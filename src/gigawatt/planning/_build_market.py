"""What a premium and a fund do in the market of a build-out: orders moved forward, supply added."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gigawatt import buildout
from gigawatt.buildout import day_of
from gigawatt.errors import InputError, Problem
from gigawatt.planning._build_chips import MONTH_S, ChipCase, market_order, others_of, supply_name
from gigawatt.planning._build_inputs import BuildCase
from gigawatt.scenario import FundItem


@dataclass(frozen=True, slots=True, kw_only=True)
class Rush:
    """An order that pays for priority, beside the same order without."""

    offer: str
    found: buildout.RushOrder

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"offer": self.offer, **self.found.to_dict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fund:
    """What a fund adds: the split over the stages, more accelerators by year, whose they are, and the training tokens
    per year that all of them together give at the end of each year.
    """

    name: str
    usd: float
    split: buildout.Split
    added: buildout.AddedSupply | None
    extra_chips: dict[str, float]
    tokens_per_year: dict[str, float]
    gainers: dict[str, float]
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "name": self.name,
            "usd": self.usd,
            "split": dict(self.split.usd),
            "unused_usd": self.split.unused_usd,
            "extra_chips": self.extra_chips,
            "tokens_per_year": self.tokens_per_year,
            "gainers": self.gainers,
            "note": self.note,
        }


OWN_OTHERS = "this plan's other orders"


def rushes(case: BuildCase) -> tuple[Rush, ...]:
    """Return what the premium of every order that pays one, and is served by the market, buys."""
    found = []
    for chip in case.cases:
        offer = next(each for each in case.question.offers if each.name == chip.name)
        if not chip.item.premium or offer.allotted is None:
            continue
        supply = case.supplies[chip.name]
        name = supply_name(chip.accelerator) or ""
        rental = _path(name, case.calendar, "rental")
        price = _path(name, case.calendar, "purchase")
        if rental is None or price is None:
            continue
        for order in chip.item.orders or ():
            mine = market_order(case.calendar, chip, order)
            if mine.begins < case.calendar.periods:
                beside = [
                    market_order(case.calendar, chip, each) for each in chip.item.orders or () if each is not order
                ]
                others = (*others_of(case.calendar, supply), *(replace(each, buyer=OWN_OTHERS) for each in beside))
                rush = buildout.rush_order(mine, others, supply, price=price, rental=rental)
                found.append(Rush(offer=f"{chip.name} ordered {order.day}", found=rush))
    return tuple(found)


def _path(name: str, calendar: buildout.Calendar, kind: str) -> buildout.PricePath | None:
    try:
        return buildout.price_path(name, calendar, kind)
    except ValueError:
        return None


def funds(case: BuildCase) -> tuple[Fund, ...]:
    """Return what the funds of a scenario add to the supply of the accelerator that they want.

    Raises InputError for one that the supply chain does not know.
    """
    return tuple(_fund(case, item, i) for i, item in enumerate(case.section.funds or ()))


def _fund(case: BuildCase, item: FundItem, index: int) -> Fund:
    calendar = case.calendar
    chip = _wanted(case, item, index)
    name = supply_name(chip.accelerator) or ""
    (supply,) = buildout.monthly_supply([buildout.supply_line(name)], calendar)
    start_s = max(calendar.seconds_of(day_of(item.day)), 0.0)
    ready = calendar.period_of(day_of(item.ready)) if item.ready is not None else (2 * calendar.periods) // 3
    ready = min(max(ready, 0), calendar.periods - 1)
    monthly = {
        stage: float(units[ready]) / calendar.length_s[ready] * MONTH_S for stage, units in supply.stages.items()
    }
    costs = buildout.stage_costs(name, calendar, ready, start_s)
    split = buildout.best_split(item.amount, monthly, costs)
    projects = _projects(item, split, start_s)
    added = buildout.add_supply(projects, supply) if projects else None
    extra = added.extra if added is not None else np.zeros(calendar.periods)
    years = [calendar.first_day(t).year for t in range(calendar.periods)]
    by_year = {str(year): float(extra[np.array(years) == year].sum()) for year in sorted(set(years))}
    per_chip = chip.useful_flops / chip.base.value("training.flop_per_token") * buildout.SECONDS_PER_YEAR
    standing = np.cumsum(list(by_year.values()))
    gainers = {} if added is None else {who: float(units.sum()) for who, units in added.to_funders.items()}
    if added is not None and added.to_others.sum() > 0:
        shares = buildout.buyer_shares(supply.vendor, years[ready], chip=name)
        gainers |= {who: float(added.to_others.sum()) * share.best for who, share in shares.items()}
    note = (
        " ".join(added.sentences)
        if added is not None
        else "No stage that binds can be built in time: the fund buys nothing."
    )
    if split.unused_usd > 0.01 * item.amount:
        note += f" ${split.unused_usd / 1e9:.1f} billion find no use: {' and '.join(map(buildout.stage_in_words, split.binding))} cannot grow in time."
    if added is not None:
        note += " The accelerators still have to be bought."
    return Fund(
        name=item.name,
        usd=item.amount,
        split=split,
        added=added,
        extra_chips=by_year,
        tokens_per_year={year: float(chips) * per_chip for year, chips in zip(by_year, standing, strict=True)},
        gainers=gainers,
        note=note,
    )


KINDS = {"packaging": "packaging_line", "hbm": "hbm_line", "integration": "server_line"}


def _projects(item: FundItem, split: buildout.Split, start_s: float) -> list[buildout.Project]:
    """Return the projects that a split pays for."""
    found = []
    for stage, usd in split.usd.items():
        if usd <= 0:
            continue
        kind = KINDS.get(stage, "fab")
        one = buildout.packaged_project(kind, 1.0, stage=stage)
        found.append(
            buildout.packaged_project(
                kind,
                usd / one.net_usd[1],
                stage=stage,
                name=f"{item.name}: {kind.replace('_', ' ')}",
                start_s=start_s,
                funder=item.name,
                take_or_pay=item.take_or_pay if item.take_or_pay is not None else 1.0,
            )
        )
    return found


def _wanted(case: BuildCase, item: FundItem, index: int) -> ChipCase:
    known = [chip for chip in case.cases if supply_name(chip.accelerator) is not None]
    wanted = [chip for chip in known if item.accelerator in (None, chip.accelerator, chip.name, chip.item.accelerator)]
    if not wanted:
        path = f"build.funds.{index}.accelerator"
        raise InputError(
            Problem(
                message="no supply chain is known of it",
                location=case.scenario.place(path),
                path=path,
                found=repr(item.accelerator or case.cases[0].accelerator),
                allowed=", ".join(chip.name for chip in known) or "a chip of the plan whose supply chain is known",
            )
        )
    return wanted[0]
