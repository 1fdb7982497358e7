"""Couples the engines: from one scenario to the plan, its binding constraint and its interval."""

from gigawatt.planning._couple import Evaluation, evaluate
from gigawatt.planning._explain import evaluate_formula, explain
from gigawatt.planning._inputs import Inputs, resolve
from gigawatt.planning._plan import plan_scenario
from gigawatt.planning._result import (
    SCHEMA_VERSION,
    Binding,
    Constraint,
    Fleet,
    FleetGroup,
    Lever,
    Plan,
    Sensitivity,
)

__all__ = [
    "SCHEMA_VERSION",
    "Binding",
    "Constraint",
    "Evaluation",
    "Fleet",
    "FleetGroup",
    "Inputs",
    "Lever",
    "Plan",
    "Sensitivity",
    "evaluate",
    "evaluate_formula",
    "explain",
    "plan_scenario",
    "resolve",
]
