"""The build-out: supply of chips, construction of sites, and the schedule that joins them with power and money."""

from gigawatt.buildout._adding_supply import AddedSupply, Project, add_supply, packaged_project, project_kinds
from gigawatt.buildout._binding import Binding, Duals
from gigawatt.buildout._calendar import DAY, Calendar, day_of
from gigawatt.buildout._chain import supply_line, supply_lines
from gigawatt.buildout._fund import Split, best_split, stage_costs
from gigawatt.buildout._market import (
    Deliveries,
    MarketRules,
    Order,
    barred,
    buyer_shares,
    deliveries,
    export_parts,
    market_facts,
    market_rules,
    owners,
    redirect,
)
from gigawatt.buildout._prices import PricePath, price_path, price_series
from gigawatt.buildout._programme import Goal, Programme
from gigawatt.buildout._question import (
    RESOURCES,
    SECONDS_PER_YEAR,
    BuildQuestion,
    BuildSite,
    ChipKind,
    Expansion,
    Floats,
    Money,
    Offer,
)
from gigawatt.buildout._ranges import DatedRange
from gigawatt.buildout._rush_order import Delivered, RushOrder, rush_order, standing_orders
from gigawatt.buildout._schedule import BuildPlan, crossing, earliest, schedule
from gigawatt.buildout._stages import (
    chip_fact,
    chip_names,
    chips_of_stage,
    stage_capacity,
    stage_makers,
    stage_share,
    vendor_of,
)
from gigawatt.buildout._supply import ChipSupply, StageUse, SupplyLine, monthly_supply, total_supply
from gigawatt.buildout._terms import first_shipment, order_lead_s
from gigawatt.buildout._uncertain import Uncertainty, delay_facts, uncertain
from gigawatt.buildout._vendors import Calibration, calibration, vendor_mix

__all__ = [
    "DAY",
    "RESOURCES",
    "SECONDS_PER_YEAR",
    "AddedSupply",
    "Binding",
    "BuildPlan",
    "BuildQuestion",
    "BuildSite",
    "Calendar",
    "Calibration",
    "ChipKind",
    "ChipSupply",
    "DatedRange",
    "Delivered",
    "Deliveries",
    "Duals",
    "Expansion",
    "Floats",
    "Goal",
    "MarketRules",
    "Money",
    "Offer",
    "Order",
    "PricePath",
    "Programme",
    "Project",
    "RushOrder",
    "Split",
    "StageUse",
    "SupplyLine",
    "Uncertainty",
    "add_supply",
    "barred",
    "best_split",
    "buyer_shares",
    "calibration",
    "chip_fact",
    "chip_names",
    "chips_of_stage",
    "crossing",
    "day_of",
    "delay_facts",
    "deliveries",
    "earliest",
    "export_parts",
    "first_shipment",
    "market_facts",
    "market_rules",
    "monthly_supply",
    "order_lead_s",
    "owners",
    "packaged_project",
    "price_path",
    "price_series",
    "project_kinds",
    "redirect",
    "rush_order",
    "schedule",
    "stage_capacity",
    "stage_costs",
    "stage_makers",
    "stage_share",
    "standing_orders",
    "supply_line",
    "supply_lines",
    "total_supply",
    "uncertain",
    "vendor_mix",
    "vendor_of",
]
