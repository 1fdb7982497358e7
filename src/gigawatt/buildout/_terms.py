"""What is known of a product before anybody asks: when it first ships, and how long a server takes to the site."""

from __future__ import annotations

from datetime import date

from gigawatt.buildout._calendar import day_of
from gigawatt.buildout._supply_tables import at_key
from gigawatt.catalog import chip_supply

AFTER_SALE = ("board", "integration", "shipping")


def first_shipment(chip: str) -> date | None:
    """Return the first day of the first quarter in which the packaged series has units of a chip, None without one."""
    quarters = [row.quarter for row in chip_supply() if row.chip in (chip, f"Instinct {chip}")]
    return day_of(min(quarters)) if quarters else None


def order_lead_s() -> float:
    """Return the time from a board that is allotted to the server on the site, s (data/supply_times.csv)."""
    times = at_key("supply_times.csv", "step")
    return sum(times[step].best for step in AFTER_SALE)
