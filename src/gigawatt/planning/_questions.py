"""Inverse questions of training: from a deadline to accelerators, from money to tokens, from a fleet to a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gigawatt.errors import InfeasibleError
from gigawatt.model import FlopConvention
from gigawatt.planning._couple import job_of, resizing, training_job
from gigawatt.planning._inputs import Inputs, resolve
from gigawatt.planning._train import error_of
from gigawatt.quantity import format_quantity
from gigawatt.scenario import Scenario
from gigawatt.training import (
    Columns,
    Evaluator,
    Space,
    TrainingJob,
    TrainingResult,
    fewest,
    infeasible,
    memory_margin,
    mfu_of,
    scaling_law,
    search,
    train,
)

# No deadline is looked for beyond this many accelerators.
MOST_ACCELERATORS = 16_000_000
# Global batches that are tried beside the scenario's, as shares of it, and the saving that is worth telling.
NEARBY = tuple(1.0 + k / 64.0 for k in range(-4, 9) if k)
WORTH_TELLING = 0.01
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
    wide: bool = False,
) -> tuple[Answer, ...]:
    """Return an answer per question that is asked.

    `deadline_s`: fewest accelerators that train the scenario's tokens in time; the scenario needs no count then.
    `budget_usd` with `usd_per_accelerator_hour`: how many tokens the money buys on the scenario's accelerators.
    `optimal_s`: the model that the scaling laws would train on them in that time. `goodput` is the useful share of the
    wall time; `wide` searches every decision. The scenario's pins and constraints hold. Raises InfeasibleError where no
    number of accelerators meets the deadline, saying what stops it.
    """
    counted = budget_usd is not None or optimal_s is not None
    inputs = resolve(scenario, whole_plan=False, sized=counted)
    answers = []
    if deadline_s is not None:
        answers.append(_deadline(inputs, deadline_s * goodput, wide))
    if budget_usd is not None and usd_per_accelerator_hour is not None:
        answers.append(_budget(inputs, _best(inputs, wide), budget_usd, usd_per_accelerator_hour, goodput))
    if optimal_s is not None:
        answers.append(_optimal(inputs, _best(inputs, wide), optimal_s * goodput))
    return tuple(answers)


def _best(inputs: Inputs, wide: bool) -> TrainingResult:
    """Return the best strategy on the scenario's accelerators."""
    job = training_job(inputs)
    return train(
        job,
        pins=inputs.pins,
        constraints=inputs.constraints,
        keep=0,
        space=Space.wide(job) if wide else None,
        unit=inputs.server,
        resized=resizing(job, inputs),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """The search for the fewest accelerators: what is fixed in it. `margin` is the memory margin that is kept."""

    inputs: Inputs
    useful_s: float
    wide: bool
    margin: float

    def step_s(self, job: TrainingJob) -> float:
        """Return the longest step with which the tokens are trained in time."""
        return self.useful_s * job.tokens_per_step / self.inputs.value("training.tokens")

    def run_s(self, job: TrainingJob, columns: Columns) -> float:
        """Return the useful time of the run with a strategy."""
        step = float(Evaluator(job).evaluate(columns).step_s[0])
        return self.inputs.value("training.tokens") / job.tokens_per_step * step

    def space(self, job: TrainingJob) -> Space | None:
        """Return the candidates that are searched."""
        return Space.wide(job) if self.wide else None

    def fewest(self, job: TrainingJob) -> Columns | None:
        """Return the strategy with the fewest accelerators, up to those of the job, that is in time."""
        pins, rules = self.inputs.pins, self.inputs.constraints
        return fewest(job, self.step_s(job), self.space(job), pins, rules, self.margin)


def _deadline(inputs: Inputs, useful_s: float, wide: bool) -> Answer:
    most = job_of(inputs, MOST_ACCELERATORS)
    question = _Question(inputs=inputs, useful_s=useful_s, wide=wide, margin=memory_margin(most, inputs.constraints))
    tight = _check_feasible(question, most)
    question = replace(question, margin=0.0) if tight else question
    job, columns = _smallest(question, most)
    server = inputs.server
    used = int(columns.accelerators[0])
    count = -(-used // server) * server
    job, columns = _best_of(question, job, columns, count)
    used = int(columns.accelerators[0])
    run_s, (low, high) = question.run_s(job, columns), error_of(inputs, job)
    ends = [_count_at(question, count, error, server) for error in (low, high)]
    nearby = _nearby(question, job, count, server)
    name = job.chip.name
    more = f"{ends[1]:,} would be needed" if ends[1] is not None else "no number would be enough"
    words = [
        f"{count:,} {name} train it in {format_quantity(run_s, 's')} of useful time [{format_quantity(run_s * low, 's')} .. {format_quantity(run_s * high, 's')}]; "
        f"should the model be wrong by as much, {ends[0]:,} would do or {more}."
    ]
    if nearby is not None:
        words.append(f"At {nearby['global_batch']:,} sequences per step {nearby['accelerators']:,} do it.")
    if tight:
        words.append("No strategy keeps the memory margin.")
    return Answer(
        question=f"fewest accelerators for {format_quantity(useful_s, 's')} of useful time",
        sentence=" ".join(words),
        numbers={
            "accelerators": count,
            "accelerators_used": used,
            "accelerators_low": ends[0],
            "accelerators_high": ends[1],
            "run_s": run_s,
            "run_low_s": run_s * low,
            "run_high_s": run_s * high,
            "strategy": columns.row(0),
            "keeps_margin": not tight,
            "nearby_batch": nearby,
        },
    )


def _check_feasible(question: _Question, most: TrainingJob) -> bool:
    """Return whether the memory margin has to be given up; raise InfeasibleError where no number of accelerators is in
    time, or nothing fits.
    """
    inputs, pins, rules = question.inputs, question.inputs.pins, question.inputs.constraints
    found = search(most, question.space(most), pins, 0, constraints=rules, margin=question.margin)
    if found.best is None:
        raise infeasible(most, found, pins, rules, question.space(most), inputs.server, resizing(most, inputs))
    run_s, needed = question.run_s(most, found.best), format_quantity(question.useful_s, "s")
    if run_s > question.useful_s:
        raise InfeasibleError(
            f"no number of {most.chip.name} trains {format_quantity(inputs.value('training.tokens'), 'token')} in {needed} of useful time: "
            f"the batch of {most.global_batch:,} sequences binds. The fastest found is {format_quantity(run_s, 's')} on {int(found.best.accelerators[0]):,}; a larger global batch would shorten it.",
            constraint="global batch",
            remedy="a larger training.global_batch",
        )
    return found.tight


def _smallest(question: _Question, most: TrainingJob) -> tuple[TrainingJob, Columns]:
    """Return the job of the fewest accelerators that are in time, on a network of their size, and its strategy."""
    columns, room, job = question.fewest(most), 1.02, most
    assert columns is not None  # the search has found a strategy that is in time
    for _ in range(8):
        smaller = job_of(question.inputs, int(int(columns.accelerators[0]) * room) + 1)
        found = question.fewest(smaller)
        if found is not None:
            job, columns = smaller, found
            break
        room *= 1.1
    return job, columns


def _best_of(question: _Question, job: TrainingJob, columns: Columns, count: int) -> tuple[TrainingJob, Columns]:
    """Return the job of exactly `count` accelerators with its fastest strategy; what is given where that is no faster:
    the search for the fewest ends at the first strategy that is in time.
    """
    exact = job_of(question.inputs, count)
    rules = question.inputs.constraints
    best = search(exact, question.space(exact), question.inputs.pins, 0, constraints=rules, margin=question.margin).best
    if best is None or question.run_s(exact, best) >= question.run_s(job, columns):
        return job, columns
    return exact, best


def _count_at(question: _Question, count: int, error: float, server: int) -> int | None:
    """Return the fewest accelerators, in whole servers, should a step take `error` times what is predicted."""
    for room in (1.3, 2.0, 8.0):
        job = job_of(question.inputs, min(int(count * error * room) + server, MOST_ACCELERATORS))
        found = question.fewest(replace(job, model_error=job.model_error * error))
        if found is not None:
            return -(-int(found.accelerators[0]) // server) * server
    return None


def _nearby(question: _Question, job: TrainingJob, count: int, server: int) -> Mapping[str, Any] | None:
    """Return the global batch near the scenario's that needs fewest accelerators, where that saves more than a
    hundredth of them.
    """
    best: tuple[int, int, float] | None = None
    for batch in sorted({round(job.global_batch * share) for share in NEARBY} - {job.global_batch, 0}):
        changed = replace(job, global_batch=batch)
        found = question.fewest(changed)
        if found is None:
            continue
        needed = -(-int(found.accelerators[0]) // server) * server
        if needed < (1.0 - WORTH_TELLING) * count and (best is None or needed < best[0]):
            best = (needed, batch, question.run_s(changed, found))
    return None if best is None else {"global_batch": best[1], "accelerators": best[0], "run_s": best[2]}


def _budget(inputs: Inputs, result: TrainingResult, budget_usd: float, usd_per_hour: float, goodput: float) -> Answer:
    job = training_job(inputs)
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


def _optimal(inputs: Inputs, result: TrainingResult, useful_s: float) -> Answer:
    job = training_job(inputs)
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
