"""What a planner chooses from: chips in a format with every layout that a model allows, and the promise to keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.model import Transformer
from gigawatt.serving._layouts import Layouts
from gigawatt.serving._occupancy import Speculation
from gigawatt.serving._step_table import StepTable

Array = NDArray[np.float64]
Objective = Literal["throughput", "cost", "power"]
OBJECTIVES: tuple[Objective, ...] = ("throughput", "cost", "power")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One chip in one number format: step times of its layouts, price, power, network.

    `watts` gives the power of an accelerator, W, by the sequences (or prompt tokens) that a step of its replica works
    on, (N,) -> (N,); 0 is waiting. `out_bytes_per_s` leave each accelerator towards the other pool; `token_bytes` are
    the keys and values of one token, without copies.
    """

    chip: str
    precision: str
    table: StepTable
    layouts: Layouts
    usd_per_hour: float
    watts: Callable[[Array], Array]
    out_bytes_per_s: float
    token_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPromise:
    """TTFT and TPOT that a share `share` of the requests keeps, s.

    Raises InputError for times that are not positive and a share outside 0 to 1.
    """

    ttft_s: float
    tpot_s: float
    share: float = 0.99

    def __post_init__(self) -> None:
        problems = [
            Problem(message="this is no promise", path=f"serving.promise.{name}", found=str(value), allowed=allowed)
            for name, value, good, allowed in (
                ("ttft", self.ttft_s, self.ttft_s > 0.0, "above 0 s"),
                ("tpot", self.tpot_s, self.tpot_s > 0.0, "above 0 s"),
                ("share", self.share, 0.0 < self.share < 1.0, "between 0 and 1, as 0.99"),
            )
            if not good
        ]
        if problems:
            raise InputError(problems)


def _default_sequences() -> tuple[float, ...]:
    steps = np.round(2.0 ** np.arange(0.0, 10.51, 0.25))
    return tuple(float(x) for x in np.unique(steps))


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What is tried: sequences that decode on average on a replica, tokens of a step of an aggregated replica and of a
    prefill replica, loads of a prefill replica (1 is its limit), numbers of replicas of a pool to one of the other.

    `mixed_chips` lets prefill and decode be on different chips; both have the same format of the cache.
    """

    sequences: tuple[float, ...] = field(default_factory=_default_sequences)
    token_budgets: tuple[float, ...] = (512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0)
    prefill_budgets: tuple[float, ...] = (4096.0, 8192.0, 16384.0)
    prefill_loads: tuple[float, ...] = tuple(float(x) for x in np.linspace(0.05, 0.95, 19))
    ratio: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24)
    aggregated: bool = True
    disaggregated: bool = True
    mixed_chips: bool = False
    preemption_risk: float = 0.01
    burstiness: float = 1.0
    overlap: float = 0.0
    block_tokens: int = 16
    speculation: Speculation = field(default_factory=Speculation)


def possible_layouts(model: Transformer, accelerators: int, domain: int) -> Layouts:
    """Return every layout of one replica of at most `accelerators`: tensor ranks divide the query heads and stay in a
    scale-up `domain`; stages divide the layers; groups of attention data parallelism and ranks of experts only for
    models with experts, the latter dividing their number.
    """
    heads = min(layer.attention.heads for layer in model.layers)
    layers = len(model.layers)
    experts = {layer.experts.experts for layer in model.layers if layer.experts is not None}
    powers = [2**i for i in range(accelerators.bit_length()) if 2**i <= accelerators]
    found = []
    for tensor in (t for t in powers if heads % t == 0 and t <= domain):
        for stages in (p for p in (*powers, 3, 6) if p <= layers and (layers % p == 0 or p <= 2)):
            for groups in powers if experts else (1,):
                stage = tensor * groups
                if stage * stages > accelerators:
                    continue
                ranks = {1, stage} if experts and all(e % stage == 0 for e in experts) else {1}
                found += [(tensor, stages, rank, groups) for rank in ranks]
    tensor_, stages_, ranks_, groups_ = zip(*sorted(set(found)), strict=True)
    return Layouts.of(tensor_, stages_, ranks_, groups_)


def check_objective(objective: str) -> None:
    """Raise InputError for an objective that there is not."""
    if objective not in OBJECTIVES:
        raise InputError(
            Problem(
                message="no such objective",
                path="serving.objective",
                found=repr(objective),
                allowed=", ".join(OBJECTIVES),
                nearest=nearest_name(objective, OBJECTIVES),
            )
        )
