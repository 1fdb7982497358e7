"""From traffic to chips, megawatts and dollars per token: requests, engine steps, replicas, fleets."""

from gigawatt.serving._candidates import Candidates
from gigawatt.serving._constants import ENGINES, EngineConstants, engine_constants, engine_facts
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
from gigawatt.serving._layouts import SERVING_PRECISIONS, Layouts, ServingPrecision
from gigawatt.serving._length_mix import LengthMix
from gigawatt.serving._limits import LIMITS, Limits
from gigawatt.serving._mean_field import MeanField, mean_field
from gigawatt.serving._misses import Miss
from gigawatt.serving._occupancy import Speculation
from gigawatt.serving._offers import OBJECTIVES, Offer, Promise, Space, possible_layouts
from gigawatt.serving._pools import Disaggregated, Handover, Pools, disaggregated
from gigawatt.serving._promised import PromisedRate, pooled_rates, promised_rate
from gigawatt.serving._replicas import Replicas
from gigawatt.serving._requests import Requests
from gigawatt.serving._search import Plans, pareto, search
from gigawatt.serving._steady import Lengths, SteadyState, sequences_that_fit, steady_state
from gigawatt.serving._step import Served, step_table
from gigawatt.serving._step_table import StepTable

__all__ = [
    "ENGINES",
    "LIMITS",
    "OBJECTIVES",
    "SERVING_PRECISIONS",
    "Candidates",
    "Disaggregated",
    "EngineConstants",
    "Fleet",
    "Handover",
    "Layouts",
    "LengthMix",
    "Lengths",
    "Limits",
    "MeanField",
    "Miss",
    "Offer",
    "Operation",
    "Plans",
    "Pools",
    "Promise",
    "PromisedRate",
    "Reach",
    "ReplicaKind",
    "Replicas",
    "RequestTimes",
    "Requests",
    "Served",
    "ServingDay",
    "ServingPrecision",
    "Space",
    "Speculation",
    "SteadyState",
    "StepTable",
    "TokenCosts",
    "TokenPrices",
    "accelerator_usd_per_s",
    "break_even_utilisation",
    "disaggregated",
    "engine_constants",
    "engine_facts",
    "fleet",
    "growing_fleet",
    "list_prices",
    "margin",
    "mean_field",
    "online_day",
    "online_day_facts",
    "pareto",
    "pooled_rates",
    "possible_layouts",
    "promised_rate",
    "reach",
    "replicas_for",
    "request_times",
    "revenue_usd",
    "search",
    "sequences_that_fit",
    "serving_day",
    "spares_for",
    "steady_state",
    "step_table",
    "token_costs",
    "tokens_per_joule",
]
