"""The question that a step evaluation answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from gigawatt.hardware import Chip, Fabric
from gigawatt.model import PRECISIONS, Precision, Transformer
from gigawatt.training._constants import Constants, constants
from gigawatt.training._optimizers import OPTIMIZERS, Optimizer


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """A model to train on up to `accelerators` equal chips of one fabric.

    `global_batch` counts sequences per step, `sequence` tokens per sequence. `sample_bytes` of raw input are read per
    sequence from a store that gives `storage_bytes_per_s` to the whole job (both 0 where data is no concern).
    `model_error` is measured over predicted step time, 1 unless the uncertainty of the model itself is propagated.
    Raises ValueError unless all counts are at least one.
    """

    model: Transformer
    chip: Chip
    fabric: Fabric
    accelerators: int
    global_batch: int
    sequence: int
    precision: Precision = PRECISIONS["bf16"]
    optimizer: Optimizer = OPTIMIZERS["adam"]
    sample_bytes: float = 0.0
    storage_bytes_per_s: float = 0.0
    constants: Constants = field(default_factory=constants)
    model_error: float = 1.0

    def __post_init__(self) -> None:
        if min(self.accelerators, self.global_batch, self.sequence) < 1:
            raise ValueError(
                "a training job needs at least one accelerator, one sequence per step and one token per sequence"
            )

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one optimizer step."""
        return self.global_batch * self.sequence

    @property
    def reserve_bytes(self) -> float:
        """Memory kept free on every accelerator; small memories give at most a tenth."""
        return min(self.constants.memory_reserve_bytes, 0.1 * self.chip.memory_bytes)
