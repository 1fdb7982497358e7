"""The build-out: supply of chips, construction of sites, and the schedule that joins them with power and money."""

from gigawatt.buildout._adding_supply import (
    AddedSupply,
    Project,
    add_supply,
    packaged_project,
    project_kinds,
    stage_in_words,
)
from gigawatt.buildout._binding import Binding, Duals
from gigawatt.buildout._build_schedule import BuildSchedule, CriticalPath, DateRange, build_schedule
from gigawatt.buildout._calendar import DAY, Calendar, day_of
from gigawatt.buildout._chain import supply_line, supply_lines
from gigawatt.buildout._critical_path import ScheduleSamples, late_start, schedule_tasks
from gigawatt.buildout._fund import Split, best_split, stage_costs
from gigawatt.buildout._influence import Influence
from gigawatt.buildout._installation import installation_rate, installed
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
from gigawatt.buildout._sampling import duration_scores, normal_scores, sample_durations, through_quantiles, uniforms
from gigawatt.buildout._schedule import BuildPlan, crossing, earliest, schedule
from gigawatt.buildout._site_power import BLOCKS_OF_POWER, PowerStep
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
from gigawatt.buildout._task_tables import task_facts
from gigawatt.buildout._tasks import Task, TaskNetwork
from gigawatt.buildout._templates import BLOCKS_OF_COOLING, TEMPLATES, site_tasks
from gigawatt.buildout._terms import first_shipment, order_lead_s
from gigawatt.buildout._uncertain import Uncertainty, delay_facts, uncertain
from gigawatt.buildout._vendors import Calibration, calibration, vendor_mix

__all__ = [
    "BLOCKS_OF_COOLING",
    "BLOCKS_OF_POWER",
    "DAY",
    "RESOURCES",
    "SECONDS_PER_YEAR",
    "TEMPLATES",
    "AddedSupply",
    "Binding",
    "BuildPlan",
    "BuildQuestion",
    "BuildSchedule",
    "BuildSite",
    "Calendar",
    "Calibration",
    "ChipKind",
    "ChipSupply",
    "CriticalPath",
    "DateRange",
    "DatedRange",
    "Delivered",
    "Deliveries",
    "Duals",
    "Expansion",
    "Floats",
    "Goal",
    "Influence",
    "MarketRules",
    "Money",
    "Offer",
    "Order",
    "PowerStep",
    "PricePath",
    "Programme",
    "Project",
    "RushOrder",
    "ScheduleSamples",
    "Split",
    "StageUse",
    "SupplyLine",
    "Task",
    "TaskNetwork",
    "Uncertainty",
    "add_supply",
    "barred",
    "best_split",
    "build_schedule",
    "buyer_shares",
    "calibration",
    "chip_fact",
    "chip_names",
    "chips_of_stage",
    "crossing",
    "day_of",
    "delay_facts",
    "deliveries",
    "duration_scores",
    "earliest",
    "export_parts",
    "first_shipment",
    "installation_rate",
    "installed",
    "late_start",
    "market_facts",
    "market_rules",
    "monthly_supply",
    "normal_scores",
    "order_lead_s",
    "owners",
    "packaged_project",
    "price_path",
    "price_series",
    "project_kinds",
    "redirect",
    "rush_order",
    "sample_durations",
    "schedule",
    "schedule_tasks",
    "site_tasks",
    "stage_capacity",
    "stage_costs",
    "stage_in_words",
    "stage_makers",
    "stage_share",
    "standing_orders",
    "supply_line",
    "supply_lines",
    "task_facts",
    "through_quantiles",
    "total_supply",
    "uncertain",
    "uniforms",
    "vendor_mix",
    "vendor_of",
]
