"""`gigawatt train`: the best parallel strategy of a model on a cluster, and the questions around it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from gigawatt.cli._common import AsJson, Overrides, console, print_json, working
from gigawatt.errors import InputError, Problem, nearest_name

if TYPE_CHECKING:
    from gigawatt.scenario import Scenario


class _DefaultCommand(TyperGroup):
    """A group whose first argument may be a scenario instead of a command: then `plan` is meant."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["plan", *args]
        return super().parse_args(ctx, args)


train_app = typer.Typer(
    cls=_DefaultCommand,
    no_args_is_help=True,
    help="Find the best parallel strategy, explain it, hand it over. `gigawatt train SCENARIO` is `gigawatt train plan SCENARIO`.",
)

ScenarioOption = Annotated[
    Path | None, typer.Argument(help="A scenario, a YAML file; or describe the job with options.", show_default=False)
]
ModelName = Annotated[str | None, typer.Option("--model", help="A model of the catalogue, e.g. 'Llama 3.1 405B'.")]
AcceleratorName = Annotated[str | None, typer.Option("--accelerator", help="An accelerator of the catalogue.")]
Count = Annotated[str | None, typer.Option("--count", help="How many accelerators, e.g. 1024 or 16k.")]
Batch = Annotated[str | None, typer.Option("--batch", help="Global batch, e.g. '16M tokens' or '2048 sequences'.")]
Length = Annotated[str | None, typer.Option("--sequence", help="Tokens per sequence.")]
Recipe = Annotated[str | None, typer.Option("--precision", help="bf16, fp8, mxfp8, nvfp4, ...")]
Rules = Annotated[
    list[str] | None, typer.Option("--constraint", help="A rule, e.g. 'tp<=8' or 'recompute!=full'. Repeatable.")
]
Pins = Annotated[str | None, typer.Option("--strategy", help="Decisions that are fixed, e.g. 'tp=8 pp=16'.")]


@train_app.command("plan")
def plan(
    scenario: ScenarioOption = None,
    model: ModelName = None,
    accelerator: AcceleratorName = None,
    count: Count = None,
    batch: Batch = None,
    sequence: Length = None,
    precision: Recipe = None,
    strategy: Pins = None,
    constraint: Rules = None,
    wide: Annotated[
        bool, typer.Option("--wide", help="Search every decision: all schedules, exchanges, overlaps and offloads.")
    ] = False,
    trace: Annotated[
        Path | None, typer.Option("--trace", help="Write one step as a Chrome/Perfetto trace (JSON).")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write an HTML report to this file.")] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Find the fastest strategy that fits: step time by part, memory by part, interval, alternatives."""
    from gigawatt.planning import train_scenario
    from gigawatt.report import print_train, write_trace, write_train_html

    question = question_of(
        scenario, model, accelerator, count, batch, sequence, precision, strategy, constraint, overrides
    )
    with working("searching"):
        report = train_scenario(question, wide=wide)
    data = report.to_dict()
    if trace is not None or out is not None:
        with working("simulating one step"):
            timeline = report.timeline().to_dict()
        if trace is not None:
            write_trace(timeline, trace, model=data["model"]["name"], accelerator=data["accelerator"])
        if out is not None:
            write_train_html(data, timeline, out)
    if as_json:
        print_json(data)
        return
    print_train(data, console())
    for target in (trace, out):
        if target is not None:
            typer.echo(f"wrote {target}")


@train_app.command("why")
def why(
    scenario: ScenarioOption = None,
    a: Annotated[str, typer.Option("--strategy", help="Strategy A, e.g. 'tp=4 dp=2'.")] = "",
    b: Annotated[str, typer.Option("--against", help="Strategy B.")] = "",
    model: ModelName = None,
    accelerator: AcceleratorName = None,
    count: Count = None,
    batch: Batch = None,
    sequence: Length = None,
    precision: Recipe = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Explain why one strategy is faster than another, or why it does not fit: each second and each gigabyte.

    Decisions that a strategy leaves open are chosen best.
    """
    from gigawatt.planning import why as compare
    from gigawatt.report import print_comparison
    from gigawatt.training import strategy_of

    question = question_of(scenario, model, accelerator, count, batch, sequence, precision, None, None, overrides)
    with working("comparing"):
        result = compare(question, strategy_of(a, "--strategy"), strategy_of(b, "--against"))
    data = result.to_dict()
    print_json(data) if as_json else print_comparison(data, console())


@train_app.command("ask")
def ask(
    scenario: ScenarioOption = None,
    deadline: Annotated[
        str | None, typer.Option("--deadline", help="Fewest accelerators for this time, e.g. '90 days'.")
    ] = None,
    budget: Annotated[str | None, typer.Option("--budget", help="Tokens for this money, e.g. '$50 million'.")] = None,
    price: Annotated[str | None, typer.Option("--price", help="Price of an accelerator-hour, e.g. '$2/h'.")] = None,
    optimal: Annotated[
        str | None,
        typer.Option("--optimal", help="The model that the scaling laws train in this time, e.g. '60 days'."),
    ] = None,
    goodput: Annotated[
        float, typer.Option("--goodput", min=0.01, max=1.0, help="Useful share of the wall time.")
    ] = 1.0,
    model: ModelName = None,
    accelerator: AcceleratorName = None,
    count: Count = None,
    batch: Batch = None,
    sequence: Length = None,
    precision: Recipe = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Answer the inverse question: from a deadline, a budget or a fleet to accelerators, tokens or a model."""
    from gigawatt.planning import ask as answer
    from gigawatt.quantity import parse_quantity

    if deadline is None and optimal is None and (budget is None or price is None):
        raise InputError(Problem(message="nothing is asked", allowed="--deadline, --budget with --price, or --optimal"))
    question = question_of(scenario, model, accelerator, count, batch, sequence, precision, None, None, overrides)

    def number(text: str | None, unit: str) -> float | None:
        return None if text is None else parse_quantity(text, unit)

    hourly = number(price, "USD/s")
    with working("searching"):
        answers = answer(
            question,
            deadline_s=number(deadline, "s"),
            budget_usd=number(budget, "USD"),
            usd_per_accelerator_hour=None if hourly is None else hourly * 3600.0,
            optimal_s=number(optimal, "s"),
            goodput=goodput,
        )
    if as_json:
        print_json([item.to_dict() for item in answers])
        return
    for item in answers:
        console().print(f"{item.question}:\n  {item.sentence}", highlight=False)


@train_app.command("export")
def export(
    scenario: ScenarioOption = None,
    to: Annotated[
        str,
        typer.Option(
            "--to", help="megatron-lm, megatron-bridge, torchtitan (0.3), torchtitan-toml (to 0.2.2) or maxtext."
        ),
    ] = "megatron-lm",
    out: Annotated[Path | None, typer.Option("--out", help="File to write instead of standard output.")] = None,
    model: ModelName = None,
    accelerator: AcceleratorName = None,
    count: Count = None,
    batch: Batch = None,
    sequence: Length = None,
    precision: Recipe = None,
    strategy: Pins = None,
    constraint: Rules = None,
    overrides: Overrides = None,
) -> None:
    """Write the best (or the given) strategy as the configuration of a training framework."""
    from gigawatt.export import FRAMEWORKS, export_strategy, unsupported
    from gigawatt.planning import export_request, train_scenario
    from gigawatt.report import write_atomically

    if to not in FRAMEWORKS:
        raise InputError(
            Problem(
                message="no such framework",
                path="--to",
                found=repr(to),
                allowed=", ".join(FRAMEWORKS),
                nearest=nearest_name(to, FRAMEWORKS),
            )
        )
    question = question_of(
        scenario, model, accelerator, count, batch, sequence, precision, strategy, constraint, overrides
    )
    with working("searching"):
        request = export_request(train_scenario(question))
    text = export_strategy(to, request)
    for line in unsupported(to, request):
        typer.echo(f"note: {to} cannot say: {line}", err=True)
    if out is None:
        typer.echo(text, nl=False)
        return
    write_atomically(out, text)
    typer.echo(f"wrote {out}", err=True)


@train_app.command("read")
def read(
    file: Annotated[
        Path,
        typer.Argument(help="A torchtitan TOML file or Python module, or Megatron-LM arguments.", show_default=False),
    ],
    accelerator: AcceleratorName = None,
    model: ModelName = None,
    count: Count = None,
    batch: Batch = None,
    sequence: Length = None,
    precision: Recipe = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate the strategy that a framework's configuration states; options fill in what the file leaves out."""
    from gigawatt.documents import read_text
    from gigawatt.export import read_strategy
    from gigawatt.planning import train_scenario, with_imported
    from gigawatt.report import print_train
    from gigawatt.scenario import scenario_from_mapping

    imported = read_strategy(read_text(file), str(file))
    given = _given(model, accelerator, count, batch, sequence, precision)
    data = with_imported(imported, str(file))
    if model is not None:
        data["model"] = given.pop("model")
    settings = [f"{key}={value}" for key, value in given.items() if value is not None]
    question = scenario_from_mapping(data, name=str(file), folder=Path.cwd(), overrides=[*settings, *(overrides or ())])
    for option in imported.unread:
        typer.echo(f"note: {file}: {option} was not understood and has no effect here", err=True)
    with working("evaluating"):
        report = train_scenario(question)
    print_json(report.to_dict()) if as_json else print_train(report.to_dict(), console())


@train_app.command("mix")
def mix(
    scenario: Annotated[Path, typer.Argument(help="A scenario whose fleet has several kinds.", show_default=False)],
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Say what a mixed fleet does together: pace of the slowest, micro-batches by speed, layers by speed."""
    from gigawatt.planning import mix_scenario
    from gigawatt.report import print_mix
    from gigawatt.scenario import load_scenario

    with working("searching"):
        result = mix_scenario(load_scenario(scenario, overrides or ()))
    print_json(result.to_dict()) if as_json else print_mix(result.to_dict(), console())


def question_of(
    path: Path | None,
    model: str | None,
    accelerator: str | None,
    count: str | None,
    batch: str | None,
    sequence: str | None,
    precision: str | None,
    strategy: str | None,
    constraints: Sequence[str] | None,
    overrides: Sequence[str] | None,
) -> Scenario:
    """Return the scenario of a file with options on top, or of options alone.

    Raises InputError where there is neither a file nor a model and an accelerator.
    """
    from gigawatt.scenario import load_scenario, scenario_from_mapping
    from gigawatt.training import NAMED, strategy_of

    given = _given(model, accelerator, count, batch, sequence, precision)
    for name, value in strategy_of(strategy, "--strategy").items() if strategy else ():
        words = {number: word for word, number in NAMED.get(name, {}).items()}
        given[f"strategy.{name}"] = words.get(value, value)
    if constraints:
        given["strategy.constraints"] = json.dumps(list(constraints))
    settings = [f"{key}={value}" for key, value in given.items() if value is not None]
    if path is not None:
        return load_scenario(path, [*settings, *(overrides or ())])
    if model is None or accelerator is None:
        raise InputError(
            Problem(
                message="a training question needs a scenario file, or --model and --accelerator",
                allowed="gigawatt train examples/grok-1.yaml, or gigawatt train --model 'Grok-1' --accelerator H100 --count 1024",
            )
        )
    return scenario_from_mapping(
        {"name": f"{model} on {accelerator}"},
        name="options",
        folder=Path.cwd(),
        overrides=[*settings, *(overrides or ())],
    )


def _given(
    model: str | None,
    accelerator: str | None,
    count: str | None,
    batch: str | None,
    sequence: str | None,
    precision: str | None,
) -> dict[str, Any]:
    """Return the options as scenario fields; a bare number of a batch counts sequences, of a sequence tokens."""

    def counted(text: str | None, unit: str) -> str | None:
        return f"{text} {unit}" if text is not None and text.strip().isdecimal() else text

    return {
        "model": model,
        "fleet.accelerator": accelerator,
        "fleet.count": count,
        "training.global_batch": counted(batch, "sequences"),
        "training.sequence_length": counted(sequence, "tokens"),
        "training.precision": precision,
    }


__all__ = ["question_of", "train_app"]
