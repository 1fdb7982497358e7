"""Strategies to memory and step time, in columns; search over them."""

from gigawatt.training._columns import NAMED, Columns, ContextExchange, Schedule
from gigawatt.training._constants import Constants, constant_facts, constants, default_stack, stacks
from gigawatt.training._evaluate import (
    STEP_PARTS,
    Evaluator,
    StepColumns,
    evaluate,
    expected_maximum,
    mfu_of,
)
from gigawatt.training._fewest import fewest
from gigawatt.training._job import TrainingJob
from gigawatt.training._laws import (
    SCALING_LAWS,
    ScalingLaw,
    critical_batch_tokens,
    latency_wall_flop,
    repeated_data_tokens,
    scaling_law,
    steps_and_tokens,
)
from gigawatt.training._memory import MEMORY_PARTS
from gigawatt.training._optimizers import OPTIMIZERS, Optimizer
from gigawatt.training._phases import phases
from gigawatt.training._pipeline import (
    bubble_1f1b,
    bubble_dualpipe,
    bubble_fraction,
    bubble_zero_bubble_1p,
    interleaved_round,
    micro_batches_in_flight,
    relative_bubble,
    stage_layers,
    zero_bubble_share,
)
from gigawatt.training._result import COMPUTING, TrainingResult, infeasible, memory_margin, train
from gigawatt.training._search import FORBIDDEN, WORTH_SHOWING, SearchResult, fits, search
from gigawatt.training._simulate import StepPhases, simulate_step, simulated_seconds
from gigawatt.training._space import Constraint, Space, constraint_of, multiple_of, strategies, strategy_of
from gigawatt.training._validity import REJECTIONS
from gigawatt.training._why import Comparison, compare_strategies, elasticities

__all__ = [
    "COMPUTING",
    "FORBIDDEN",
    "MEMORY_PARTS",
    "NAMED",
    "OPTIMIZERS",
    "REJECTIONS",
    "SCALING_LAWS",
    "STEP_PARTS",
    "WORTH_SHOWING",
    "Columns",
    "Comparison",
    "Constants",
    "Constraint",
    "ContextExchange",
    "Evaluator",
    "Optimizer",
    "ScalingLaw",
    "Schedule",
    "SearchResult",
    "Space",
    "StepColumns",
    "StepPhases",
    "TrainingJob",
    "TrainingResult",
    "bubble_1f1b",
    "bubble_dualpipe",
    "bubble_fraction",
    "bubble_zero_bubble_1p",
    "compare_strategies",
    "constant_facts",
    "constants",
    "constraint_of",
    "critical_batch_tokens",
    "default_stack",
    "elasticities",
    "evaluate",
    "expected_maximum",
    "fewest",
    "fits",
    "infeasible",
    "interleaved_round",
    "latency_wall_flop",
    "memory_margin",
    "mfu_of",
    "micro_batches_in_flight",
    "multiple_of",
    "phases",
    "relative_bubble",
    "repeated_data_tokens",
    "scaling_law",
    "search",
    "simulate_step",
    "simulated_seconds",
    "stacks",
    "stage_layers",
    "steps_and_tokens",
    "strategies",
    "strategy_of",
    "train",
    "zero_bubble_share",
]
