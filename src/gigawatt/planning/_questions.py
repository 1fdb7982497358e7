"""Inverse questions of training: from a deadline to accelerators, from money to tokens, from a fleet to a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gigawatt.errors import InfeasibleError
from gigawatt.model import FlopConvention
from gigawatt.planning._couple import training_job
from gigawatt.planning._inputs import Inputs, resolve
from gigawatt.planning._train import with_accelerators
from gigawatt.quantity import format_quantity
from gigawatt.scenario import Scenario
from gigawatt.training import TrainingJob, TrainingResult, mfu_of, scaling_law, train

# No deadline is looked for beyond this many accelerators.
MOST_ACCELERATORS = 16_000_000
HOUR = 3600.0
# How much smaller than compute-optimal the over-trained model is that is shown beside it.
SMALLER = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to an inverse question: a sentence, and the numbers behind it as plain data."""

    question: str
    sentence: str
    numbers: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"question": self.question, "answer": self.sentence, **self.numbers}


def ask(
    scenario: Scenario,
    *,
    deadline_s: float | None = None,
    budget_usd: float | None = None,
    usd_per_accelerator_hour: float | None = None,
    optimal_s: float | None = None,
    goodput: float = 1.0,
) -> tuple[Answer, ...]:
    """Return an answer per question that is asked.

    `deadline_s`: fewest accelerators that train the scenario's tokens in time. `budget_usd` with
    `usd_per_accelerator_hour`: how many tokens the money buys on the scenario's accelerators. `optimal_s`: the model
    that the scaling laws would train on them in that time. `goodput` is the useful share of the wall time. Raises
    InfeasibleError where no number of accelerators meets the deadline, saying what stops it.
    """
    inputs = resolve(scenario, whole_plan=False)
    answers = []
    if deadline_s is not None:
        answers.append(_deadline(inputs, deadline_s * goodput))
    if budget_usd is not None and usd_per_accelerator_hour is not None:
        answers.append(_budget(inputs, budget_usd, usd_per_accelerator_hour, goodput))
    if optimal_s is not None:
        answers.append(_optimal(inputs, optimal_s * goodput))
    return tuple(answers)


def _seconds(inputs: Inputs, job: TrainingJob) -> tuple[float, TrainingResult] | None:
    """Return the run time of a job with its best strategy, None where nothing fits."""
    try:
        result = train(job, pins=inputs.pins, constraints=inputs.constraints, keep=0)
    except InfeasibleError:
        return None
    return inputs.value("training.tokens") / job.tokens_per_step * result.step_s, result


def _deadline(inputs: Inputs, useful_s: float) -> Answer:
    job = training_job(inputs)
    server = inputs.reference.server_chips or 8

    def run(servers: int) -> float | None:
        found = _seconds(inputs, with_accelerators(job, inputs, servers * server))
        return None if found is None else found[0]

    low, high = 0, 1
    seconds = run(high)
    best = (float("inf"), 0)
    while seconds is None or seconds > useful_s:
        if seconds is not None:
            best = min(best, (seconds, high))
        low, high = high, high * 2
        if high * server > MOST_ACCELERATORS:
            raise InfeasibleError(
                f"no number of {job.chip.name} trains {format_quantity(inputs.value('training.tokens'), 'token')} in {format_quantity(useful_s, 's')} of useful time: "
                f"the batch of {job.global_batch:,} sequences binds. The fastest found is {format_quantity(best[0], 's')} on {best[1] * server:,}; a larger global batch would shorten it.",
                constraint="global batch",
                remedy="a larger training.global_batch",
            )
        seconds = run(high)
    while high - low > max(1, high // 200):
        middle = (low + high) // 2
        seconds = run(middle)
        low, high = (low, middle) if seconds is not None and seconds <= useful_s else (middle, high)
    count = high * server
    found = _seconds(inputs, with_accelerators(job, inputs, count))
    assert found is not None
    return Answer(
        question=f"fewest accelerators for {format_quantity(useful_s, 's')} of useful time",
        sentence=f"{count:,} {job.chip.name} train it in {format_quantity(found[0], 's')} of useful time (to the nearest half per cent).",
        numbers={"accelerators": count, "run_s": found[0], "strategy": dict(found[1].strategy)},
    )


def _budget(inputs: Inputs, budget_usd: float, usd_per_hour: float, goodput: float) -> Answer:
    job = training_job(inputs)
    result = train(job, pins=inputs.pins, constraints=inputs.constraints, keep=0)
    hours = budget_usd / usd_per_hour
    tokens = hours * HOUR * goodput / job.accelerators * result.tokens_per_s
    parameters = inputs.value("model.parameters")
    return Answer(
        question=f"tokens for {format_quantity(budget_usd, 'USD')} at {usd_per_hour:g} USD per accelerator-hour",
        sentence=f"{format_quantity(tokens, 'token')} on {job.accelerators:,} {job.chip.name}, in {format_quantity(hours * HOUR / job.accelerators, 's')}: "
        f"{tokens / parameters:.1f} tokens per parameter.",
        numbers={
            "tokens": tokens,
            "accelerator_hours": hours,
            "wall_s": hours * HOUR / job.accelerators,
            "tokens_per_parameter": tokens / parameters,
        },
    )


def _optimal(inputs: Inputs, useful_s: float) -> Answer:
    job = training_job(inputs)
    result = train(job, pins=inputs.pins, constraints=inputs.constraints, keep=0)
    utilisation = mfu_of(job, result.step_s, job.accelerators, FlopConvention.CAUSAL)
    peak = job.chip.flop_per_s.get("bf16") or job.chip.flop_per_s["fp16"]
    flop = useful_s * job.accelerators * peak * utilisation
    law = scaling_law()
    parameters, tokens = law.compute_optimal(flop)
    loss = law.loss(parameters, tokens)
    smaller = parameters / SMALLER
    longer = law.tokens_for(loss, smaller)
    return Answer(
        question=f"the model for {format_quantity(useful_s, 's')} of useful time on {job.accelerators:,} {job.chip.name}",
        sentence=f"{flop:.2e} FLOP at the {utilisation:.1%} of the 16-bit peak that {job.model.name} reaches: compute-optimal are {format_quantity(parameters, '')} parameters on "
        f"{format_quantity(tokens, 'token')} ({tokens / parameters:.1f} each). A quarter of the size needs {format_quantity(longer, 'token')} and {6 * smaller * longer / flop:.2f} times the computing "
        "for the same loss, and serves every token at a quarter of the cost.",
        numbers={
            "flop": flop,
            "utilisation": utilisation,
            "parameters": parameters,
            "tokens": tokens,
            "loss": loss,
            "smaller_parameters": smaller,
            "smaller_tokens": longer,
            "smaller_flop": 6 * smaller * longer,
            "law": law.name,
        },
    )
