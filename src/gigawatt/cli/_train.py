"""`gigawatt train`: the best parallel strategy of a model on a cluster, and the questions around it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from gigawatt.cli._common import EXIT_INFEASIBLE, AsJson, Overrides, console, print_json, quantity_option, working
from gigawatt.errors import InputError, Problem, nearest_name

if TYPE_CHECKING:
    from gigawatt.scenario import Scenario, Setting


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
ModelName = Annotated[
    str | None,
    typer.Option("--model", help="A model of the catalogue, e.g. 'Llama 3.1 405B', or a Hugging Face config.json."),
]
AcceleratorName = Annotated[str | None, typer.Option("--accelerator", help="An accelerator of the catalogue.")]
Count = Annotated[str | None, typer.Option("--count", help="How many accelerators, e.g. 1024 or 16k.")]
Batch = Annotated[
    str | None, typer.Option("--batch", help="Global batch, e.g. '16M tokens' or '2048 sequences' or 2048.")
]
Length = Annotated[str | None, typer.Option("--sequence", help="Tokens per sequence, e.g. 8192 or 128Ki.")]
Recipe = Annotated[str | None, typer.Option("--precision", help="bf16, fp8, mxfp8, nvfp4, ...")]
Rules = Annotated[
    list[str] | None, typer.Option("--constraint", help="A rule, e.g. 'tp<=8' or 'recompute!=full'. Repeatable.")
]
Wide = Annotated[
    bool,
    typer.Option(
        "--wide",
        help="Search every decision: all schedules, exchanges, overlaps and offloads; some seconds, with `ask` minutes.",
    ),
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
    wide: Wide = False,
    trace: Annotated[
        Path | None, typer.Option("--trace", help="Write one step as a Chrome/Perfetto trace (JSON).")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write an HTML report to this file.")] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Find the fastest strategy that fits: step time by part, memory by part, interval, alternatives.

    Exit code 1 where the scenario has a deadline and the run misses it.
    """
    from gigawatt.planning import train_scenario
    from gigawatt.report import check_writable, print_train, train_page, write_atomically, write_trace

    for target in (trace, out):
        if target is not None:
            check_writable(target)
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
            write_atomically(out, train_page(data, timeline))
    if as_json:
        print_json(data)
    else:
        print_train(data, console())
        for target in (trace, out):
            if target is not None:
                typer.echo(f"wrote {target}")
    if data["deadline"] is not None and not data["deadline"]["met"]:
        raise typer.Exit(EXIT_INFEASIBLE)


@train_app.command("why")
def why(
    scenario: ScenarioOption = None,
    a: Annotated[str, typer.Option("--strategy", help="Strategy A, e.g. 'tp=4 dp=2'.")] = "",
    b: Annotated[
        str | None, typer.Option("--against", help="Strategy B. [default: the best one]", show_default=False)
    ] = None,
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

    question = question_of(scenario, model, accelerator, count, batch, sequence, precision, None, None, overrides)
    strategies = decisions(a, "--strategy"), {} if b is None else decisions(b, "--against")
    with working("comparing"):
        result = compare(question, *strategies)
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
    strategy: Pins = None,
    constraint: Rules = None,
    wide: Wide = False,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Answer the inverse question: from a deadline, a budget or a fleet to accelerators, tokens or a model."""
    from gigawatt.planning import ask as answer

    if budget is not None and price is None:
        raise InputError(
            Problem(
                message="the price of an accelerator-hour is missing", location="--budget", allowed="--price '$2/h'"
            )
        )
    if deadline is None and optimal is None and budget is None:
        raise InputError(Problem(message="nothing is asked", allowed="--deadline, --budget with --price, or --optimal"))

    def number(option: str, text: str | None, unit: str, example: str) -> float | None:
        return None if text is None else quantity_option(option, text, unit, example)

    deadline_s = number("--deadline", deadline, "s", "90 days")
    budget_usd = number("--budget", budget, "USD", "$50 million")
    usd_per_s = number("--price", price, "USD/s", "$2/h")
    optimal_s = number("--optimal", optimal, "s", "60 days")
    question = question_of(
        scenario, model, accelerator, count, batch, sequence, precision, strategy, constraint, overrides
    )
    with working("searching"):
        answers = answer(
            question,
            deadline_s=deadline_s,
            budget_usd=budget_usd,
            usd_per_accelerator_hour=None if usd_per_s is None else usd_per_s * 3600.0,
            optimal_s=optimal_s,
            goodput=goodput,
            wide=wide,
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
    from gigawatt.export import FRAMEWORKS, READABLE, export_strategy, unsupported
    from gigawatt.planning import as_written, export_request, train_scenario
    from gigawatt.report import check_writable, write_atomically

    if out is not None:
        check_writable(out)
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
        planned = train_scenario(question)
    request = export_request(planned)
    text = export_strategy(to, request)
    for line in unsupported(to, request):
        typer.echo(f"note: {to} cannot say: {line}", err=True)
    slower = as_written(planned, text, to) if to in READABLE else ""
    if slower:
        typer.echo(f"note: {slower}", err=True)
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
    data = with_imported(imported, str(file))
    given = _given(model, accelerator, count, batch, sequence, precision)
    if model is not None:
        data.pop("model", None)  # the option replaces the sizes of the file as a whole
    elif "model" not in data:
        raise InputError(
            Problem(message="the file states no sizes of a model", location=str(file), allowed="--model with a name")
        )
    question = scenario_from_mapping(data, name=str(file), folder=Path.cwd(), overrides=[*given, *(overrides or ())])
    if question.fleet.accelerator is None and question.fleet.accelerators is None:
        typer.echo(f"note: {file} names no accelerator: H100 SXM is assumed (--accelerator chooses another)", err=True)
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
    overrides: Sequence[str | Setting] | None,
) -> Scenario:
    """Return the scenario of a file with options on top, or of options alone.

    Raises InputError where there is neither a file nor a model and an accelerator.
    """
    from gigawatt.scenario import Setting, load_scenario, scenario_from_mapping

    settings = _given(model, accelerator, count, batch, sequence, precision)
    if strategy is not None:
        settings += _pins(strategy, "--strategy")
    if constraints:
        settings.append(
            Setting(path="strategy.constraints", value=list(constraints), place=f"--constraint {constraints[0]}")
        )
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


def decisions(text: str, option: str) -> dict[str, int]:
    """Return the decisions of a strategy as an option states it: "tp=4 pp=8 recompute=full".

    Raises InputError where there is none, where one is no decision or stands there twice, and for values that none can
    take.
    """
    from gigawatt.scenario import scenario_from_mapping
    from gigawatt.training import strategy_of

    if not text.strip():
        raise InputError(
            Problem(message="no strategy stands here", location=option, allowed="decisions such as 'tp=4 dp=2'")
        )
    found: dict[str, int] = {}
    for part in re.split(r"[,\s]+", text.strip(" ,\t\n")):
        for name, value in strategy_of(part, option).items():
            if found.get(name, value) != value:
                raise InputError(
                    Problem(
                        message="this decision stands here twice",
                        location=option,
                        path=f"strategy.{name}",
                        found=f"{found[name]} and {value}",
                    )
                )
            found[name] = value
    scenario_from_mapping({}, name=option, folder=Path(), overrides=_settings(found, option))
    return found


def _pins(text: str, option: str) -> list[Setting]:
    return _settings(decisions(text, option), option)


def _settings(found: dict[str, int], option: str) -> list[Setting]:
    """Return decisions as fields of a scenario, with names where the values have them."""
    from gigawatt.scenario import Setting
    from gigawatt.training import NAMED

    words = {name: {number: word for word, number in choices.items()} for name, choices in NAMED.items()}
    return [
        Setting(path=f"strategy.{name}", value=words.get(name, {}).get(value, value), place=f"{option} {name}={value}")
        for name, value in found.items()
    ]


def _given(
    model: str | None,
    accelerator: str | None,
    count: str | None,
    batch: str | None,
    sequence: str | None,
    precision: str | None,
) -> list[Setting]:
    """Return the options that are given as fields of a scenario."""
    from gigawatt.scenario import Setting

    if model is not None and model.endswith(".json"):
        model = str(Path(model).resolve())  # a file where the command runs, not beside the scenario
    options = (
        ("--model", "model", model),
        ("--accelerator", "fleet.accelerator", accelerator),
        ("--count", "fleet.count", count),
        ("--batch", "training.global_batch", batch),
        ("--sequence", "training.sequence_length", sequence),
        ("--precision", "training.precision", precision),
    )
    return [
        Setting(path=path, value=text, place=f"{option} {text}") for option, path, text in options if text is not None
    ]


__all__ = ["decisions", "question_of", "train_app"]
