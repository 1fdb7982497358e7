"""Couples the engines: from one scenario to the plan, its binding constraint and its interval."""

from gigawatt.planning._build import BuildReport, build_scenario
from gigawatt.planning._couple import Evaluation, evaluate
from gigawatt.planning._explain import evaluate_formula, explain
from gigawatt.planning._goodput import LONGEST_DAYS, GoodputReport, goodput_scenario
from gigawatt.planning._handover import as_written, export_request, with_imported
from gigawatt.planning._inputs import Inputs, resolve
from gigawatt.planning._mixed import MixedResult, mix_scenario
from gigawatt.planning._plan import plan_scenario
from gigawatt.planning._power import CapRow, PowerReport, best_cap, export_blocks, power_scenario
from gigawatt.planning._questions import Answer, ask
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
from gigawatt.planning._serve import ServeReport, serve_scenario
from gigawatt.planning._serve_calibrate import calibrate_serving, calibration_rows
from gigawatt.planning._train import TrainReport, train_scenario, why

__all__ = [
    "LONGEST_DAYS",
    "SCHEMA_VERSION",
    "Answer",
    "Binding",
    "BuildReport",
    "CapRow",
    "Constraint",
    "Evaluation",
    "Fleet",
    "FleetGroup",
    "GoodputReport",
    "Inputs",
    "Lever",
    "MixedResult",
    "Plan",
    "PowerReport",
    "Sensitivity",
    "ServeReport",
    "TrainReport",
    "as_written",
    "ask",
    "best_cap",
    "build_scenario",
    "calibrate_serving",
    "calibration_rows",
    "evaluate",
    "evaluate_formula",
    "explain",
    "export_blocks",
    "export_request",
    "goodput_scenario",
    "mix_scenario",
    "plan_scenario",
    "power_scenario",
    "resolve",
    "serve_scenario",
    "train_scenario",
    "why",
    "with_imported",
]
