"""From traffic to chips, megawatts and dollars per token: requests, engine steps, replicas, fleets."""

from gigawatt.serving._calibrate import BenchmarkPoint, EngineFit, fit_engine, read_benchmark
from gigawatt.serving._closed_loop import ClosedLoop, closed_loop
from gigawatt.serving._constants import ENGINES, EngineConstants, engine_constants, engine_facts
from gigawatt.serving._formulas import decode_roofline_seconds, prefill_flop, resident_tokens, stability_rate
from gigawatt.serving._layouts import SERVING_PRECISIONS, Layouts, ServingPrecision
from gigawatt.serving._models import served_model, transformer_of_text
from gigawatt.serving._requests import Requests
from gigawatt.serving._steady import Lengths, SteadyState, sequences_that_fit, steady_state
from gigawatt.serving._step import Served, step_table
from gigawatt.serving._step_table import StepTable

__all__ = [
    "ENGINES",
    "SERVING_PRECISIONS",
    "BenchmarkPoint",
    "ClosedLoop",
    "EngineConstants",
    "EngineFit",
    "Layouts",
    "Lengths",
    "Requests",
    "Served",
    "ServingPrecision",
    "SteadyState",
    "StepTable",
    "closed_loop",
    "decode_roofline_seconds",
    "engine_constants",
    "engine_facts",
    "fit_engine",
    "prefill_flop",
    "read_benchmark",
    "resident_tokens",
    "sequences_that_fit",
    "served_model",
    "stability_rate",
    "steady_state",
    "step_table",
    "transformer_of_text",
]
