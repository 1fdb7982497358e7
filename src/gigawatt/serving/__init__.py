"""From traffic to chips, megawatts and dollars per token."""

from gigawatt.serving._arrivals import Arrivals, Bursty, Gamma, Poisson
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
from gigawatt.serving._requests import Requests
from gigawatt.serving._sessions import Sessions
from gigawatt.serving._shapes import day_shape, shape_names, week_shape
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
    "PACKAGED_TRACES",
    "Arrivals",
    "Bursty",
    "FixedLength",
    "Gamma",
    "Length",
    "LengthSummary",
    "Lengths",
    "LogNormalLength",
    "Poisson",
    "Promise",
    "Requests",
    "Sessions",
    "TraceLengths",
    "Traffic",
    "TrafficClass",
    "TrafficSummary",
    "UniformLength",
    "at_rate",
    "day_shape",
    "draw_requests",
    "draw_traffic",
    "ideal_reuse",
    "length",
    "nominal_lengths",
    "rate_by_hour",
    "read_trace",
    "reused_tokens",
    "shape_names",
    "squared_variation",
    "summarise_requests",
    "summarise_traffic",
    "week_shape",
]
