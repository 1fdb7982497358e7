"""Strategies to memory and step time, in columns; search over them."""

from gigawatt.training._columns import Columns
from gigawatt.training._constants import Constants, constant_facts, constants
from gigawatt.training._evaluate import (
    MEMORY_PARTS,
    REJECTIONS,
    STEP_PARTS,
    Evaluator,
    StepColumns,
    evaluate,
    expected_maximum,
    mfu_of,
)
from gigawatt.training._job import TrainingJob
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
from gigawatt.training._search import SearchResult, Space, search, strategies

__all__ = [
    "COMPUTING",
    "MEMORY_PARTS",
    "REJECTIONS",
    "STEP_PARTS",
    "Columns",
    "Constants",
    "Evaluator",
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
    "evaluate",
    "expected_maximum",
    "mfu_of",
    "micro_batches_in_flight",
    "relative_bubble",
    "search",
    "stage_layers",
    "strategies",
    "train",
    "zero_bubble_share",
]
