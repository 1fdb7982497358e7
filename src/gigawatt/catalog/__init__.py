"""The known world: accelerators, models, prices, facts and assumptions, each number with range, grade, source and date.

Text and foreign units are parsed here and in `scenario` only; what leaves is in SI units.
"""

from gigawatt.catalog._accelerators import Accelerator, accelerator_from_spec
from gigawatt.catalog._catalog import KINDS, Catalog, load_catalog, sourced_table
from gigawatt.catalog._chip_supply import ChipQuarter, chip_supply
from gigawatt.catalog._huggingface import model_from_config
from gigawatt.catalog._models import ModelEntry, model_from_spec

__all__ = [
    "KINDS",
    "Accelerator",
    "Catalog",
    "ChipQuarter",
    "ModelEntry",
    "accelerator_from_spec",
    "chip_supply",
    "load_catalog",
    "model_from_config",
    "model_from_spec",
    "sourced_table",
]
