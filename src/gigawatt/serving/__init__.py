"""From traffic to chips, megawatts and dollars per token: requests, engine steps, replicas, fleets; images and videos."""

from gigawatt.serving._arrivals import Arrivals, Bursty, Gamma, Poisson
from gigawatt.serving._candidates import Candidates
from gigawatt.serving._capacity import capacity
from gigawatt.serving._constants import ENGINES, EngineConstants, engine_constants, engine_facts
from gigawatt.serving._diffusion import (
    DiffusionModel,
    attention_rate,
    diffusion_facts,
    diffusion_model,
    diffusion_models,
)
from gigawatt.serving._economics import (
    TokenCosts,
    TokenPrices,
    break_even_utilisation,
    online_day,
    request_times,
    revenue_usd,
    token_costs,
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
from gigawatt.serving._misses import Miss
from gigawatt.serving._occupancy import Speculation
from gigawatt.serving._offers import Offer, PlanPromise, Space, possible_layouts
from gigawatt.serving._pools import Disaggregated, Handover, Pools, disaggregated
from gigawatt.serving._queueing import servers_for, waiting_s
from gigawatt.serving._replicas import Replicas
from gigawatt.serving._requests import Requests
from gigawatt.serving._search import Plans, search
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
from gigawatt.serving._traffic import (
    Promise,
    Traffic,
    TrafficClass,
    at_rate,
    draw_requests,
    draw_traffic,
    rate_by_hour,
)

__all__ = [
    "ENGINES",
    "PACKAGED_TRACES",
    "SERVING_PRECISIONS",
    "Arrivals",
    "Autoscaler",
    "Bursty",
    "Candidates",
    "Course",
    "DiffusionModel",
    "Disaggregated",
    "EngineConstants",
    "FixedLength",
    "Gamma",
    "Handover",
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
    "Miss",
    "Offer",
    "OffloadTier",
    "PlanPromise",
    "Plans",
    "Poisson",
    "Pool",
    "Pools",
    "Promise",
    "Replicas",
    "Requests",
    "Served",
    "Service",
    "ServingPrecision",
    "ServingRun",
    "Sessions",
    "Space",
    "Speculation",
    "SteadyState",
    "StepTable",
    "TokenCosts",
    "TokenPrices",
    "Totals",
    "TraceLengths",
    "Traffic",
    "TrafficClass",
    "TrafficSummary",
    "UniformLength",
    "at_rate",
    "attention_rate",
    "break_even_utilisation",
    "capacity",
    "day_shape",
    "diffusion_facts",
    "diffusion_model",
    "diffusion_models",
    "disaggregated",
    "draw_requests",
    "draw_traffic",
    "engine_constants",
    "engine_facts",
    "ideal_reuse",
    "length",
    "mean_field",
    "nominal_lengths",
    "online_day",
    "possible_layouts",
    "rate_by_hour",
    "read_trace",
    "replicas_for",
    "request_times",
    "reused_tokens",
    "revenue_usd",
    "search",
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
    "token_costs",
    "waiting_s",
    "week_shape",
]
