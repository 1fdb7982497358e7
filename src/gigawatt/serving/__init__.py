"""From traffic to chips, megawatts and dollars per token."""

from gigawatt.serving._capacity import Promise, ServingCapacity, broken_promises, capacity
from gigawatt.serving._requests import Requests
from gigawatt.serving._service import Autoscaler, OffloadTier, Pool, Service
from gigawatt.serving._serving_run import Course, ServingRun, Totals
from gigawatt.serving._simulate import simulate
from gigawatt.serving._step_table import StepTable

__all__ = [
    "Autoscaler",
    "Course",
    "OffloadTier",
    "Pool",
    "Promise",
    "Requests",
    "Service",
    "ServingCapacity",
    "ServingRun",
    "StepTable",
    "Totals",
    "broken_promises",
    "capacity",
    "simulate",
]
