"""From traffic to chips, megawatts and dollars per token: requests, engine steps, replicas, fleets; images and videos."""

from gigawatt.serving._arrivals import Arrivals, Bursty, Gamma, Poisson
from gigawatt.serving._constants import ENGINES, EngineConstants, engine_constants, engine_facts
from gigawatt.serving._diffusion import (
    DiffusionModel,
    attention_rate,
    diffusion_facts,
    diffusion_model,
    diffusion_models,
)
from gigawatt.serving._images import ImagePlan, ImageReplicas, ImageServing, replicas_for, serve_images
from gigawatt.serving._layouts import SERVING_PRECISIONS, Layouts, ServingPrecision
from gigawatt.serving._length_mix import LengthMix
from gigawatt.serving._lengths import (
    FixedLength,
    Length,
    Lengths,
    LogNormalLength,
    TraceLengths,
    UniformLength,
    length,
    nominal_lengths,
)
from gigawatt.serving._mean_field import MeanField, mean_field
from gigawatt.serving._occupancy import Speculation
from gigawatt.serving._queueing import servers_for, waiting_s
from gigawatt.serving._replicas import Replicas
from gigawatt.serving._requests import Requests
from gigawatt.serving._service import Autoscaler, OffloadTier, Pool, Service
from gigawatt.serving._serving_run import Course, ServingRun, Totals
from gigawatt.serving._sessions import Sessions
from gigawatt.serving._shapes import day_shape, shape_names, week_shape
from gigawatt.serving._simulate import simulate
from gigawatt.serving._steady import MeanLengths, SteadyState, sequences_that_fit, steady_state
from gigawatt.serving._step import Served, step_table
from gigawatt.serving._step_table import StepTable
from gigawatt.serving._summary import (
    LengthSummary,
    TrafficSummary,
    ideal_reuse,
    reused_tokens,
    squared_variation,
    summarise_requests,
    summarise_traffic,
)
from gigawatt.serving._traces import PACKAGED_TRACES, read_trace
from gigawatt.serving._traffic import Promise, Traffic, TrafficClass, at_rate, draw_requests, draw_traffic, rate_by_hour

__all__ = [
    "ENGINES",
    "PACKAGED_TRACES",
    "SERVING_PRECISIONS",
    "Arrivals",
    "Autoscaler",
    "Bursty",
    "Course",
    "DiffusionModel",
    "EngineConstants",
    "FixedLength",
    "Gamma",
    "ImagePlan",
    "ImageReplicas",
    "ImageServing",
    "Layouts",
    "Length",
    "LengthMix",
    "LengthSummary",
    "Lengths",
    "LogNormalLength",
    "MeanField",
    "MeanLengths",
    "OffloadTier",
    "Poisson",
    "Pool",
    "Promise",
    "Replicas",
    "Requests",
    "Served",
    "Service",
    "ServingPrecision",
    "ServingRun",
    "Sessions",
    "Speculation",
    "SteadyState",
    "StepTable",
    "Totals",
    "TraceLengths",
    "Traffic",
    "TrafficClass",
    "TrafficSummary",
    "UniformLength",
    "at_rate",
    "attention_rate",
    "day_shape",
    "diffusion_facts",
    "diffusion_model",
    "diffusion_models",
    "draw_requests",
    "draw_traffic",
    "engine_constants",
    "engine_facts",
    "ideal_reuse",
    "length",
    "mean_field",
    "nominal_lengths",
    "rate_by_hour",
    "read_trace",
    "replicas_for",
    "reused_tokens",
    "sequences_that_fit",
    "serve_images",
    "servers_for",
    "shape_names",
    "simulate",
    "squared_variation",
    "steady_state",
    "step_table",
    "summarise_requests",
    "summarise_traffic",
    "waiting_s",
    "week_shape",
]
