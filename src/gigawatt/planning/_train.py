"""The training part of a scenario alone: `gigawatt train` and its questions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gigawatt._version import __version__
from gigawatt.model import FlopConvention
from gigawatt.planning._couple import resizing, training_job
from gigawatt.planning._inputs import Inputs, resolve
from gigawatt.quantity import format_quantity
from gigawatt.scenario import Scenario
from gigawatt.timeline import Timeline
from gigawatt.training import (
    Columns,
    Comparison,
    Evaluator,
    Space,
    TrainingJob,
    TrainingResult,
    compare_strategies,
    elasticities,
    mfu_of,
    phases,
    simulate_step,
    train,
)

# A chip without measured kernels is predicted this much less surely.
UNMEASURED = 1.5
DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """The step of a scenario's model on its accelerators: `result` of the engine, the interval of the step time, and
    what one per cent more of each lever is worth.
    """

    scenario: Scenario
    inputs: Inputs
    job: TrainingJob
    result: TrainingResult
    interval: tuple[float, float]
    levers: tuple[Mapping[str, Any], ...]

    def timeline(self) -> Timeline:
        """Return the event simulation of one step."""
        return simulate_step(phases(Evaluator(self.job), self.result.columns))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        low, high = self.interval
        job, result = self.job, self.result
        found = result.search
        rate = job.tokens_per_step / result.step_s
        tokens = self.inputs.value("training.tokens")
        return {
            "version": __version__,
            "scenario": self.scenario.name,
            "model": {"name": job.model.name, "parameters": self.inputs.value("model.parameters")},
            "accelerator": job.chip.name,
            "accelerators": result.accelerators,
            "available": job.accelerators,
            "global_batch": job.global_batch,
            "sequence": job.sequence,
            "precision": job.precision.name,
            "optimizer": job.optimizer.name,
            "strategy": dict(result.strategy),
            "step_time_s": {"best": result.step_s, "low": low, "high": high},
            "tokens_per_s": {
                "best": rate,
                "low": job.tokens_per_step / high,
                "high": job.tokens_per_step / low,
            },
            "tokens_per_s_per_accelerator": rate / result.accelerators,
            "days_for_tokens": {"tokens": tokens, "days": tokens / rate / DAY},
            "mfu": {
                str(convention): mfu_of(job, result.step_s, result.accelerators, convention)
                for convention in FlopConvention
            },
            "hfu": result.hfu,
            "step": result.step.to_dict(),
            "memory": result.memory.to_dict(),
            "memory_capacity_bytes": job.chip.memory_bytes,
            "memory_margin": result.memory_margin,
            "keeps_margin": result.keeps_margin,
            "without_margin": None if result.without_margin is None else dict(result.without_margin),
            "deadline": self.deadline(),
            "alternatives": [dict(row) for row in result.alternatives],
            "pareto": _pareto(job, found.pareto) if found is not None else [],
            "search": None
            if found is None
            else {
                "generated": found.generated,
                "pruned": found.pruned,
                "feasible": found.feasible,
                "rejected": dict(found.rejected),
            },
            "elasticities": [dict(row) for row in self.levers],
            "warnings": [*result.warnings, *self.inputs.notes],
        }

    def run_s(self) -> tuple[float, float, float]:
        """Return low, best and high of the useful time of the run: steps times step time, no failures."""
        steps = self.inputs.value("training.tokens") / self.job.tokens_per_step
        return steps * self.interval[0], steps * self.result.step_s, steps * self.interval[1]

    def deadline(self) -> dict[str, Any] | None:
        """Return whether the scenario's deadline is met without failures, and a sentence; None where it sets none."""
        if not self.inputs.has("training.deadline"):
            return None
        limit, (low, best, high) = self.inputs.value("training.deadline"), self.run_s()
        met = best <= limit
        sure = "all of" if high <= limit else "none of" if low > limit else "a part of"
        over = format_quantity(abs(best - limit), "s")
        return {
            "days": limit / DAY,
            "limit_s": limit,
            "run_s": best,
            "run_low_s": low,
            "run_high_s": high,
            "met": met,
            "sentence": f"The deadline of {format_quantity(limit, 's')} is {'met' if met else 'missed'} by {over} without failures, and by {sure} the interval.",
        }


def _pareto(job: TrainingJob, columns: Columns | None) -> list[dict[str, Any]]:
    if columns is None or not len(columns):
        return []
    step = Evaluator(job).evaluate(columns)
    return [
        {
            **columns.row(row),
            "step_s": float(step.step_s[row]),
            "memory_bytes": float(step.memory_bytes[row]),
            "network_bytes": float(step.network_bytes[row]),
        }
        for row in range(len(columns))
    ]


def train_scenario(scenario: Scenario, wide: bool = False) -> TrainReport:
    """Return the training step of a scenario: the best strategy, or the pinned one, with its interval.

    `wide` searches every decision that the step model knows. Raises InputError for names and numbers that the
    catalogue does not have, InfeasibleError where no strategy fits, naming what binds.
    """
    inputs = resolve(scenario, whole_plan=False)
    job = training_job(inputs)
    result = train(
        job,
        pins=inputs.pins,
        constraints=inputs.constraints,
        space=Space.wide(job) if wide else None,
        unit=inputs.server,
        resized=resizing(job, inputs),
    )
    low, high = error_of(inputs, job)
    return TrainReport(
        scenario=scenario,
        inputs=inputs,
        job=job,
        result=result,
        interval=(result.step_s * low, result.step_s * high),
        levers=elasticities(job, result.columns),
    )


def error_of(inputs: Inputs, job: TrainingJob) -> tuple[float, float]:
    """Return the ends of the interval of a step time as factors: the model's error, wider for a chip without measured
    kernels.
    """
    error = inputs.assumptions["training.model_error"]
    spread = 1.0 if job.chip.calibrated else UNMEASURED
    return math.exp(spread * math.log(error.low / error.best)), math.exp(spread * math.log(error.high / error.best))


def why(scenario: Scenario, a: Mapping[str, int], b: Mapping[str, int]) -> Comparison:
    """Return where two strategies of a scenario's job differ. Raises as `train_scenario`."""
    inputs = resolve(scenario, whole_plan=False)
    return compare_strategies(training_job(inputs), {**inputs.pins, **a}, {**inputs.pins, **b})
