"""From traffic to chips, megawatts and dollars per token: requests, engine steps, replicas, fleets; images and videos."""

from gigawatt.serving._arrivals import Arrivals, Bursty, Gamma, Poisson
from gigawatt.serving._calibrate import BenchmarkPoint, EngineFit, fit_engine, read_benchmark
from gigawatt.serving._candidates import Candidates
from gigawatt.serving._capacity import capacity
from gigawatt.serving._closed_loop import ClosedLoop, closed_loop
from gigawatt.serving._constants import ENGINES, EngineConstants, engine_constants, engine_facts
from gigawatt.serving._diffusion import (
    DiffusionModel,
    attention_rate,
    diffusion_facts,
    diffusion_model,
    diffusion_models,
)
from gigawatt.serving._economics import (
    RequestTimes,
    ServingDay,
    TokenCosts,
    TokenPrices,
    accelerator_usd_per_s,
    break_even_utilisation,
    list_prices,
    margin,
    online_day,
    online_day_facts,
    request_times,
    revenue_usd,
    serving_day,
    token_costs,
    tokens_per_joule,
)
from gigawatt.serving._fleet import (
    Fleet,
    Operation,
    Reach,
    ReplicaKind,
    fleet,
    growing_fleet,
    reach,
    replicas_for,
    spares_for,
)
from gigawatt.serving._formulas import decode_roofline_seconds, prefill_flop, resident_tokens, stability_rate
from gigawatt.serving._images import ImagePlan, ImageReplicas, ImageServing, image_replicas, serve_images
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
from gigawatt.serving._limits import LIMITS, Limits
from gigawatt.serving._mean_field import MeanField, mean_field
from gigawatt.serving._misses import Miss
from gigawatt.serving._models import served_model, transformer_of_text
from gigawatt.serving._occupancy import Speculation
from gigawatt.serving._offers import OBJECTIVES, Offer, PlanPromise, Space, possible_layouts
from gigawatt.serving._pools import Disaggregated, Handover, Pools, disaggregated
from gigawatt.serving._promised import PromisedRate, pooled_rates, promised_rate
from gigawatt.serving._queueing import servers_for, waiting_s
from gigawatt.serving._replicas import Replicas
from gigawatt.serving._requests import Requests
from gigawatt.serving._search import Plans, pareto, search
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
    "LIMITS",
    "OBJECTIVES",
    "PACKAGED_TRACES",
    "SERVING_PRECISIONS",
    "Arrivals",
    "Autoscaler",
    "BenchmarkPoint",
    "Bursty",
    "Candidates",
    "ClosedLoop",
    "Course",
    "DiffusionModel",
    "Disaggregated",
    "EngineConstants",
    "EngineFit",
    "FixedLength",
    "Fleet",
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
    "Limits",
    "LogNormalLength",
    "MeanField",
    "MeanLengths",
    "Miss",
    "Offer",
    "OffloadTier",
    "Operation",
    "PlanPromise",
    "Plans",
    "Poisson",
    "Pool",
    "Pools",
    "Promise",
    "PromisedRate",
    "Reach",
    "ReplicaKind",
    "Replicas",
    "RequestTimes",
    "Requests",
    "Served",
    "Service",
    "ServingDay",
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
    "accelerator_usd_per_s",
    "at_rate",
    "attention_rate",
    "break_even_utilisation",
    "capacity",
    "closed_loop",
    "day_shape",
    "decode_roofline_seconds",
    "diffusion_facts",
    "diffusion_model",
    "diffusion_models",
    "disaggregated",
    "draw_requests",
    "draw_traffic",
    "engine_constants",
    "engine_facts",
    "fit_engine",
    "fleet",
    "growing_fleet",
    "ideal_reuse",
    "image_replicas",
    "length",
    "list_prices",
    "margin",
    "mean_field",
    "nominal_lengths",
    "online_day",
    "online_day_facts",
    "pareto",
    "pooled_rates",
    "possible_layouts",
    "prefill_flop",
    "promised_rate",
    "rate_by_hour",
    "reach",
    "read_benchmark",
    "read_trace",
    "replicas_for",
    "request_times",
    "resident_tokens",
    "reused_tokens",
    "revenue_usd",
    "search",
    "sequences_that_fit",
    "serve_images",
    "served_model",
    "servers_for",
    "serving_day",
    "shape_names",
    "simulate",
    "spares_for",
    "squared_variation",
    "stability_rate",
    "steady_state",
    "step_table",
    "summarise_requests",
    "summarise_traffic",
    "token_costs",
    "tokens_per_joule",
    "transformer_of_text",
    "waiting_s",
    "week_shape",
]
