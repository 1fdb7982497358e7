"""The build-out section of a scenario: chips that can be had, sites that grow, money that comes in."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from gigawatt.scenario._kinds import (
    Count,
    DateText,
    EnergyPrice,
    Money,
    MoneyRate,
    Power,
    PowerOrNone,
    Price,
    Ratio,
    Repair,
    Seconds,
    Section,
    Share,
    SomeOrAll,
)

RESOURCES = Literal["power", "cooling", "hall", "network", "installation"]


class OrderItem(Section):
    """An order that has been decided."""

    day: DateText = Field(alias="date", examples=["2024-05"], description="When it is placed.")
    count: Count | None = Field(None, description="How many accelerators.")
    amount: Money | None = Field(
        None, examples=["$1.08 billion"], description="For how much, instead of a count; server and network included."
    )


class ChipItem(Section):
    """One kind of accelerator on one set of terms. With `orders` what is ordered is given; without, the plan decides."""

    accelerator: str | dict[str, Any] = Field(
        examples=["H100 SXM"],
        description="Name in the catalogue, or a specification: {base: name, memory: 141 GB, ...}.",
    )
    name: str | None = Field(
        None, examples=["H100 with priority"], description="Name of these terms. Default: that of the accelerator."
    )
    share: Share | None = Field(
        None,
        examples=["10 %"],
        description="Part of all that the vendor ships which is allotted to this buyer. Default: none; what is in `orders` then queues with all other buyers (docs/buildout.md).",
    )
    per_month: Count | None = Field(
        None, examples=["20,000"], description="Most that is delivered in a month, instead of a share."
    )
    premium: Share | None = Field(
        None, examples=["10 %"], description="Paid on top of the price, for priority. Default: 0."
    )
    price: Price | None = Field(
        None,
        description="Price of one accelerator, without server and network. Default: the catalogue's path over the dates.",
    )
    lead_time: Seconds | None = Field(
        None, examples=["90 days"], description="From an order to the first delivery from it. Default: packaged."
    )
    first_delivery: DateText | None = Field(
        None,
        examples=["2024-12"],
        description="When the product is first shipped. Default: packaged, by its first quarter of shipments.",
    )
    orders: list[OrderItem] | None = Field(
        None, description="Orders that have been decided. Default: the plan decides."
    )
    start: DateText | None = Field(
        None, alias="from", examples=["2024-06"], description="First day on which the plan may order."
    )
    until: DateText | None = Field(None, examples=["2025-12"], description="Last day on which the plan may order.")
    most: Count | None = Field(None, examples=["100,000"], description="Most that the plan may order.")
    deposit: Share | None = Field(
        None, examples=["20 %"], description="Paid with the order, the rest on delivery. Default: 20 %."
    )


class LimitStep(Section):
    """A limit of a site from a date on."""

    start: DateText = Field(alias="from", examples=["2024-08"], description="First day.")
    limit: PowerOrNone = Field(description="The limit from then on; 0 MW for none.")


class CountStep(Section):
    """A number from a date on."""

    start: DateText = Field(alias="from", examples=["2024-08"], description="First day.")
    accelerators: Count = Field(description="The limit from then on.")


class UnitItem(Section):
    """Units that widen a limit of a site: those that stand by decisions taken, and those that the plan may add."""

    name: str = Field(examples=["turbines"], description="What it is.")
    resource: RESOURCES = Field("power", description="The limit that it widens.")
    unit: Power | None = Field(None, examples=["16 MW"], description="What one adds: power (firm), cooling or hall.")
    accelerators: Count | None = Field(
        None,
        examples=["5,000"],
        description="What one adds: network (accelerators) or installation (accelerators per month).",
    )
    given: list[UnitStep] | None = Field(None, description="Units that stand by decisions taken. Default: none.")
    most: Count | None = Field(None, examples=["35"], description="Most units that may stand. Default: those given.")
    start: DateText | None = Field(
        None, alias="from", examples=["2024-07"], description="First day on which units may stand. Default: the start."
    )
    until: DateText | None = Field(None, examples=["2026-01"], description="First day without them. Default: never.")
    lead_time: Repair | None = Field(None, examples=["365 days"], description="From an order to service. Default: 0.")
    price: Price | None = Field(None, description="Price of one, paid with the order. Default: 0.")
    keep: MoneyRate | None = Field(None, description="Paid while one stands: rent, service. Default: 0.")
    energy_price: EnergyPrice | None = Field(
        None, description="Cost of the energy that it gives, fuel above all. Default: 0."
    )


class UnitStep(Section):
    """Units that stand from a date on."""

    start: DateText = Field(alias="from", examples=["2024-08"], description="First day.")
    units: SomeOrAll = Field(description="How many stand from then on; 0 for none.")


class TaskItem(Section):
    """A task of a site's own, or another duration for one of the template."""

    name: str = Field(
        examples=["wastewater plant"], description="A name of its own, or that of a task of the template."
    )
    duration: Repair | list[Repair] = Field(
        examples=["[60 days, 90 days, 150 days]"],
        description="How long it takes: a time, or its 10, 50 and 90 % points.",
    )
    after: list[str] | None = Field(
        None,
        examples=["[permits]"],
        description="Tasks that must have ended. Default: none, for a task of the template its own.",
    )
    before: list[str] | None = Field(
        None, examples=["[acceptance 1]"], description="Tasks that wait for it. Default: none."
    )


class BuildSiteItem(Section):
    """A site that grows."""

    name: str = Field(examples=["Memphis"], description="Name of the site.")
    template: Literal["retrofit", "new_build"] | None = Field(
        None,
        description="How hall, substation, cooling and network come to be: tasks with durations (docs/buildout.md). Default: there from the start.",
    )
    start: DateText | None = Field(
        None, alias="from", examples=["2024-04"], description="First day of construction. Default: the start."
    )
    size: Power | None = Field(
        None, examples=["150 MW"], description="IT power that the hall is made for. Default: no limit."
    )
    pue: Ratio | None = Field(None, description="Facility power over IT power. Default: by kind of cooling.")
    grid: list[LimitStep] | None = Field(None, description="Firm power of the grid by date. Default: none.")
    cooling: list[LimitStep] | None = Field(None, description="Heat that cooling takes by date. Default: no limit.")
    hall: list[LimitStep] | None = Field(
        None, description="IT power that halls hold by date. Default: `size`, no limit without it."
    )
    network: list[CountStep] | None = Field(
        None, description="Accelerators that the network joins by date. Default: no limit."
    )
    installation: list[CountStep] | None = Field(
        None,
        description="Accelerators that crews install in a month, by date. Default: by racks and crews (docs/buildout.md).",
    )
    crews: Count | None = Field(
        None, examples=["20"], description="Crews that install racks, with a template. Default: by its size."
    )
    shifts: Literal[1, 2, 3] | None = Field(
        None, description="Shifts a working day, with a template; 3: around the clock. Default: 1."
    )
    in_hand: list[str] | None = Field(
        None,
        examples=["[switchgear_order]"],
        description="Tasks of the template that are done already, such as equipment in stock.",
    )
    tasks: list[TaskItem] | None = Field(None, description="Tasks beside those of the template. Default: none.")
    units: list[UnitItem] | None = Field(
        None, description="Turbines, substations, chillers, halls, crews that widen a limit."
    )
    electricity_price: EnergyPrice | None = Field(
        None, description="Price of energy from the grid. Default: that of the site section."
    )
    connection_price: MoneyRate | None = Field(
        None,
        examples=["$5 million/year"],
        description="Paid for the connection, used or not (take or pay). Default: 0.",
    )
    rent: MoneyRate | None = Field(None, description="Lease of the site. Default: 0.")


class FundingItem(Section):
    """Money that comes in."""

    day: DateText = Field(alias="date", examples=["2024-12"], description="When.")
    amount: Money = Field(description="How much.")


class DebtItem(Section):
    """Money that may be owed from a date on."""

    start: DateText = Field(alias="from", examples=["2025-10"], description="First day.")
    limit: Money = Field(description="Most that may be owed.")


class MoneyItem(Section):
    """Cash. Without this section money is no limit."""

    cash: Money | None = Field(None, description="At the start. Default: 0.")
    floor: Money | None = Field(None, description="Cash never falls below it. Default: 0.")
    funding: list[FundingItem] | None = Field(None, description="Rounds. Default: none.")
    debt: list[DebtItem] | None = Field(None, description="Most that may be owed, by date. Default: none.")
    interest: Share | None = Field(None, description="Per year on what is owed. Default: 8 %.")
    burn: MoneyRate | None = Field(
        None, examples=["$300 million/year"], description="Spent on everything else. Default: 0."
    )


class FundItem(Section):
    """Money that adds supply: fabs, packaging, memory and server lines."""

    name: str = Field(examples=["alliance"], description="Name of the fund.")
    amount: Money = Field(description="How much, after subsidies.")
    day: DateText = Field(alias="date", examples=["2024-06"], description="When it is committed.")
    accelerator: str | None = Field(
        None,
        examples=["B200 SXM"],
        description="The accelerator of which more is wanted. Default: the first of `chips`.",
    )
    ready: DateText | None = Field(
        None,
        examples=["2028-01"],
        description="By when what is built must be at full output. Default: two thirds of the plan.",
    )
    take_or_pay: Share | None = Field(
        None, examples=["60 %"], description="Part of the added accelerators that the funder takes. Default: all."
    )


class BuildSection(Section):
    """The build-out: what is ordered, built and paid when, and what it is to be best in."""

    start: DateText = Field(alias="from", examples=["2024-04"], description="First month of the plan.")
    months: Count = Field(description="Length of the plan in months.", examples=["24"])
    step: Literal["month", "week"] = Field("month", description="Length of a period. Default: month.")
    goal: Literal["compute", "fleet", "run", "npv"] = Field(
        "compute",
        description="Most useful compute by a date; a fleet, or the training run, at the earliest; or net present value. Default: compute.",
    )
    by: DateText | None = Field(None, description="Date of the goal compute. Default: the end of the plan.")
    target: Count | None = Field(None, examples=["200,000"], description="Accelerators in service for the goal fleet.")
    reference_fleet: Count | None = Field(
        None,
        description="Fleet at which utilisation and goodput are taken for the schedule. Default: the target, what is ordered, or 100,000.",
    )
    chips: list[ChipItem] = Field(min_length=1, description="Accelerators that can be had.")
    sites: list[BuildSiteItem] = Field(min_length=1, description="Where they stand.")
    money: MoneyItem | None = Field(None, description="Cash. Default: no limit.")
    funds: list[FundItem] | None = Field(None, description="Money that adds supply. Default: none.")
    earns: Share | None = Field(
        None,
        description="Part of the time for which accelerators in service earn their rental price. Default: 70 % for the goal npv, else none.",
    )
    samples: Count | None = Field(None, examples=["200"], description="Plans for which delays are drawn. Default: 200.")


UnitItem.model_rebuild()
