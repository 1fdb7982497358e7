"""Predictions against published measurements: residuals of training steps, cases of whole plans, and the supply of chips."""

from gigawatt.validation._cases import validate_cases
from gigawatt.validation._fit import fit_training, write_fit
from gigawatt.validation._memory import validate_memory
from gigawatt.validation._parameters import parameters
from gigawatt.validation._serving import validate_serving
from gigawatt.validation._serving_fit import fit_serving, write_serving_fit
from gigawatt.validation._statistics import constant_elsewhere, one_constant, ranking, summarise
from gigawatt.validation._supply import backtest_supply
from gigawatt.validation._training import constant_rows, validate_training

__all__ = [
    "backtest_supply",
    "constant_elsewhere",
    "constant_rows",
    "fit_serving",
    "fit_training",
    "one_constant",
    "parameters",
    "ranking",
    "summarise",
    "validate_cases",
    "validate_memory",
    "validate_serving",
    "validate_training",
    "write_fit",
    "write_serving_fit",
]
