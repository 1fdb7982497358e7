"""Predictions against published measurements: residuals of training steps, and cases of whole plans."""

from gigawatt.validation._cases import validate_cases
from gigawatt.validation._statistics import one_constant, summarise
from gigawatt.validation._training import validate_training

__all__ = ["one_constant", "summarise", "validate_cases", "validate_training"]
