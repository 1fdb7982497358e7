"""Strategies to memory and step time, in columns; search over them."""

from gigawatt.training._columns import NAMED, Columns, ContextExchange, Schedule
from gigawatt.training._constants import Constants, constant_facts, constants, default_stack, stacks
from gigawatt.training._evaluate import (
    REJECTIONS,
    STEP_PARTS,
    Evaluator,
    StepColumns,
    evaluate,
    expected_maximum,
    mfu_of,
)
from gigawatt.training._job import TrainingJob
from gigawatt.training._memory import MEMORY_PARTS
from gigawatt.training._optimizers import OPTIMIZERS, Optimizer
from gigawatt.training._pipeline import (
    bubble_1f1b,
    bubble_dualpipe,
    bubble_fraction,
    bubble_zero_bubble_1p,
    micro_batches_in_flight,
    relative_bubble,
    stage_layers,
    zero_bubble_share,
)
from gigawatt.training._result import COMPUTING, TrainingResult, train
from gigawatt.training._search import SearchResult, search
from gigawatt.training._space import Constraint, Space, constraint_of, strategies, strategy_of

__all__ = [
    "COMPUTING",
    "MEMORY_PARTS",
    "NAMED",
    "OPTIMIZERS",
    "REJECTIONS",
    "STEP_PARTS",
    "Columns",
    "Constants",
    "Constraint",
    "ContextExchange",
    "Evaluator",
    "Optimizer",
    "Schedule",
    "SearchResult",
    "Space",
    "StepColumns",
    "TrainingJob",
    "TrainingResult",
    "bubble_1f1b",
    "bubble_dualpipe",
    "bubble_fraction",
    "bubble_zero_bubble_1p",
    "constant_facts",
    "constants",
    "constraint_of",
    "default_stack",
    "evaluate",
    "expected_maximum",
    "mfu_of",
    "micro_batches_in_flight",
    "relative_bubble",
    "search",
    "stacks",
    "stage_layers",
    "strategies",
    "strategy_of",
    "train",
    "zero_bubble_share",
]
