"""A question to the planner, how it ranks plans, and the count of what it saw."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gigawatt.serving._candidates import Candidates
from gigawatt.serving._length_mix import LengthMix
from gigawatt.serving._offers import Objective, Offer, PlanPromise, Space
from gigawatt.serving._step_table import StepTable

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
WIDE = "wider than the accelerators there are"
MEMORY = "does not fit in memory with a request"
BUDGET = "no room for prompts in the steps"
CACHE = "its cache runs out too often"
LINK = "the link between the pools is too slow"
RATE = "more accelerators than there are for this rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of the planner."""

    offers: tuple[Offer, ...]
    mix: LengthMix
    promise: PlanPromise
    accelerators: int
    rate: float | None
    space: Space
    pue: float

    def holds(self, table: StepTable) -> NDArray[np.bool_]:
        """Return which layouts have memory for the model and for the longest request, (C,)."""
        longest = float((self.mix.prompt + self.mix.output).max()) + self.space.block_tokens
        return np.asarray(table.kv_capacity_bytes > table.kv_bytes * longest + table.sequence_bytes)

    def copies(self, unit: Integers, unit_rate: Array) -> Integers:
        """Return how many units of so many accelerators and requests/s are built, (N,); 0 where there is no room."""
        room = self.accelerators // unit
        if self.rate is None:
            return np.asarray(room, dtype=np.int64)
        need = np.ceil(self.rate / np.maximum(unit_rate, 1e-12) * (1.0 - 1e-12))
        return np.where(need <= room, np.maximum(need, 1.0), 0.0).astype(np.int64)

    def served(self, copies: Integers, unit_rate: Array) -> Array:
        """Return the requests/s of all copies, (N,)."""
        total = copies * unit_rate
        return total if self.rate is None else np.minimum(total, self.rate)

    def score(self, plans: Candidates, objective: Objective) -> Array:
        """Return what is to be small, (N,)."""
        if objective == "cost":
            return plans.usd_per_s / plans.rate
        if objective == "power":
            return plans.watts / plans.rate
        return -plans.rate if self.rate is None else plans.accelerators.astype(np.float64)

    def reason(self, plans: Candidates, row: int, objective: Objective, output: float) -> str:
        """Return in words why a plan is best and what holds it back."""
        p = plans.take(slice(row, row + 1))
        value = {
            "throughput": f"{p.rate[0] * output / p.accelerators[0]:.4g} output tokens/s per accelerator in use",
            "cost": f"{p.usd_per_s[0] / (p.rate[0] * output) * 1e6:.4g} USD per million output tokens",
            "power": f"{p.rate[0] * output / p.watts[0]:.4g} output tokens/J",
        }[objective]
        near = {
            f"TTFT {p.ttft_s[0] * 1e3:.4g} of {self.promise.ttft_s * 1e3:.4g} ms": p.ttft_s[0] / self.promise.ttft_s,
            f"TPOT {p.tpot_s[0] * 1e3:.4g} of {self.promise.tpot_s * 1e3:.4g} ms": p.tpot_s[0] / self.promise.tpot_s,
            f"cache {p.cache_share[0]:.0%} full": float(p.cache_share[0]),
            f"prefill {p.prefill_load[0]:.0%} busy": float(p.prefill_load[0]),
        }
        closest = max(near, key=lambda name: near[name])
        return f"{value}; nearest limit: {closest}"


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a search has seen: `generated` = `judged` + sum of `rejected`."""

    keep: int
    generated: int = 0
    judged: int = 0
    feasible: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    parts: list[Candidates] = field(default_factory=list)

    def reject(self, rule: str, count: int) -> None:
        """Count configurations that a rule rejects."""
        if count:
            self.generated += count
            self.rejected[rule] += count

    def judge(self, count: int) -> None:
        """Count configurations whose times were computed."""
        self.generated += count
        self.judged += count

    def add(self, question: Question, plans: Candidates) -> None:
        """Keep the best of plans that keep the promise, by each objective, and all that may be on the front."""
        self.feasible += len(plans)
        if not len(plans):
            return
        chosen = np.zeros(len(plans), dtype=bool)
        for objective in ("throughput", "cost", "power"):
            score = question.score(plans, objective)
            some = min(self.keep, len(plans))
            chosen[np.argpartition(score, some - 1)[:some]] = True
            chosen[np.lexsort((plans.ttft_s, score))[:1]] = True
        per, user = plans.rate / plans.accelerators, 1.0 / plans.tpot_mean_s
        order = np.lexsort((-user, -per))
        highest = np.maximum.accumulate(np.concatenate([[-math.inf], user[order][:-1]]))
        chosen[order[user[order] > highest]] = True
        self.parts.append(plans.take(chosen))
