"""From traffic to chips, megawatts and dollars per token: requests, engine steps, replicas, fleets."""

from gigawatt.serving._constants import ENGINES, EngineConstants, engine_constants, engine_facts
from gigawatt.serving._layouts import SERVING_PRECISIONS, Layouts, ServingPrecision
from gigawatt.serving._requests import Requests
from gigawatt.serving._steady import Lengths, SteadyState, sequences_that_fit, steady_state
from gigawatt.serving._step import Served, step_table
from gigawatt.serving._step_table import StepTable

__all__ = [
    "ENGINES",
    "SERVING_PRECISIONS",
    "EngineConstants",
    "Layouts",
    "Lengths",
    "Requests",
    "Served",
    "ServingPrecision",
    "SteadyState",
    "StepTable",
    "engine_constants",
    "engine_facts",
    "sequences_that_fit",
    "steady_state",
    "step_table",
]
