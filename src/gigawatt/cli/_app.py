"""The commands. Each one is wiring: load, compute, show."""

from __future__ import annotations

import errno
import io
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gigawatt._version import __version__
from gigawatt.cli._build import build
from gigawatt.cli._common import (
    EXIT_FAULT,
    EXIT_INFEASIBLE,
    EXIT_INTERRUPTED,
    AsJson,
    Overrides,
    console,
    drop_output,
    need_scipy,
    print_json,
    working,
)
from gigawatt.cli._goodput import goodput
from gigawatt.cli._power import power
from gigawatt.cli._serve import serve
from gigawatt.cli._train import train_app
from gigawatt.errors import GigawattError, InputError, OutputError, Problem, nearest_name

app = typer.Typer(
    name="gigawatt",
    help="Plan AI factories from chip to grid to token.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
validate_app = typer.Typer(help="Compare predictions with published measurements.", no_args_is_help=True)
app.add_typer(validate_app, name="validate")
app.add_typer(train_app, name="train")
calibrate_app = typer.Typer(help="Fit the constants of the models to measurements.", no_args_is_help=True)
app.add_typer(calibrate_app, name="calibrate")

app.command()(goodput)
app.command()(power)
app.command()(build)
app.command()(serve)

ScenarioFile = Annotated[Path, typer.Argument(help="The scenario, a YAML file.", show_default=False)]


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_print_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,  # read by main()
) -> None:
    pass


@app.command()
def plan(
    scenario: ScenarioFile,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="HTML file or folder to write. [default: the current folder]", show_default=False),
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Plan the whole line: chips, power, time and money; say what stops it and what relieving that is worth.

    Prints a summary and writes a self-contained HTML report. With --json the report is written only where --out asks
    for it.
    """
    from gigawatt.planning import plan_scenario
    from gigawatt.scenario import load_scenario

    question = load_scenario(scenario, overrides or ())
    target = None if as_json and out is None else _report_path(scenario, out)
    with working("planning"):
        result = plan_scenario(question)
    data = result.to_dict()
    if target is not None:
        from gigawatt.report import plan_page, write_atomically

        write_atomically(target, plan_page(data))
    if as_json:
        print_json(data)
    else:
        from gigawatt.report import print_plan

        print_plan(data, console(), report=str(target))
    if not result.feasible:
        raise typer.Exit(EXIT_INFEASIBLE)


@app.command()
def explain(
    scenario: ScenarioFile,
    path: Annotated[
        str, typer.Argument(help="An output or assumption of the plan, e.g. power.facility. '*' lists them.")
    ],
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Print the tree of how a number of the plan came about, down to sourced inputs."""
    from gigawatt.planning import explain as explain_output
    from gigawatt.planning import plan_scenario
    from gigawatt.report import print_explanation, print_paths
    from gigawatt.scenario import load_scenario

    question = load_scenario(scenario, overrides or ())
    with working("planning"):
        result = plan_scenario(question)
    if path == "*":
        listing = [
            {"path": name, "label": output.label, "value": output.value, "unit": output.unit}
            for name, output in result.outputs.items()
        ]
        print_json(listing) if as_json else print_paths(listing, console())
        return
    tree = explain_output(result, path)
    print_json(tree) if as_json else print_explanation(tree, console())


@app.command()
def catalog(
    kind: Annotated[str | None, typer.Argument(help="accelerators, models, facts, prices or cases.")] = None,
    name: Annotated[str | None, typer.Argument(help="One entry, shown with the source of each number.")] = None,
    overlay: Annotated[
        list[Path] | None, typer.Option("--overlay", help="A file or folder that adds or overrides entries.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List and show the accelerators, models, prices and facts that the planner knows, with their sources."""
    from gigawatt.catalog import KINDS, load_catalog
    from gigawatt.report import print_entry, print_listing

    known = load_catalog(tuple(overlay or ()))
    if kind is None:
        counts: list[dict[str, Any]] = [{"kind": k, "entries": len(known.listing(k))} for k in KINDS]
        print_json(counts) if as_json else print_listing("catalog", counts, console())
        return
    if kind not in KINDS:
        raise InputError(
            Problem(
                message=f"there is no catalogue of {kind!r}",
                allowed=", ".join(KINDS),
                nearest=nearest_name(kind, KINDS),
            )
        )
    if name is None:
        rows = known.listing(kind)
        print_json(rows) if as_json else print_listing(kind, rows, console())
        return
    entry = known.describe(kind, name)
    print_json(entry) if as_json else print_entry(entry, console())


@app.command()
def schema(
    what: Annotated[
        str, typer.Argument(help="scenario (for editors) or plan (what `plan --json` prints).")
    ] = "scenario",
    out: Annotated[Path | None, typer.Option("--out", help="File to write instead of standard output.")] = None,
) -> None:
    """Print the JSON Schema of a scenario file or of a plan."""
    if what == "scenario":
        from gigawatt.scenario import scenario_schema as make
    elif what == "plan":
        from gigawatt.report import plan_schema as make
    else:
        raise InputError(
            Problem(
                message=f"there is no schema of {what!r}",
                allowed="scenario, plan",
                nearest=nearest_name(what, ("scenario", "plan")),
            )
        )
    if out is None:
        print_json(make())
        return
    from gigawatt.report import write_atomically

    write_atomically(out, json.dumps(make(), indent=2) + "\n")
    typer.echo(f"wrote {out}", err=True)


@validate_app.command("training")
def validate_training(
    data: Annotated[
        Path | None, typer.Option("--data", help="A CSV file with the columns of the packaged table.")
    ] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="The packaged measurements that no constant was fitted to.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Predict every published training measurement and print the residuals by group."""
    from gigawatt.report import print_residuals
    from gigawatt.validation import validate_training as run

    with working("predicting"):
        result = run(data, held_out)
    print_json(result) if as_json else print_residuals(result, console())


@validate_app.command("serving")
def validate_serving(
    data: Annotated[
        Path | None, typer.Option("--data", help="A CSV file with the columns of the packaged table.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the residuals, drawn, as HTML to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Predict every published serving measurement and print the residuals by group."""
    from gigawatt.report import check_writable, print_serving_residuals, serving_residuals_page, write_atomically
    from gigawatt.validation import validate_serving as run

    if out is not None:
        check_writable(out)
    with working("predicting"):
        result = run(data)
    if out is not None:
        write_atomically(out, serving_residuals_page(result))
    if as_json:
        print_json(result)
        return
    print_serving_residuals(result, console())
    if out is not None:
        typer.echo(f"wrote {out}")


@validate_app.command("memory")
def validate_memory(
    data: Annotated[
        Path | None, typer.Option("--data", help="A CSV file with the columns of the packaged table.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Predict every published peak of memory."""
    from gigawatt.report import print_memory
    from gigawatt.validation import validate_memory as run

    with working("predicting"):
        result = run(data)
    print_json(result) if as_json else print_memory(result, console())


@validate_app.command("cases")
def validate_cases(
    path: Annotated[
        Path | None, typer.Argument(help="A case file or a folder of them. [default: the packaged cases]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Plan the cases and compare with the published facts of power, failures, cost and schedule."""
    from gigawatt.report import print_cases
    from gigawatt.validation import validate_cases as run

    with working("planning the cases"):
        result = run(path)
    print_json(result) if as_json else print_cases(result, console())


@validate_app.command("supply")
def validate_supply(
    cutoff: Annotated[
        str, typer.Option("--cutoff", help="The last quarter that may be known, such as 2023-Q4.")
    ] = "2023-Q4",
    as_json: AsJson = False,
) -> None:
    """Predict the chips of the quarters after a cutoff from what was known by then, and print the errors."""
    from gigawatt.report import print_supply
    from gigawatt.validation import backtest_supply as run

    with working("predicting"):
        result = run(cutoff)
    print_json(result) if as_json else print_supply(result, console())


@calibrate_app.command("fit")
def calibrate_fit(
    measurements: Annotated[
        Path,
        typer.Argument(
            help="A CSV file of operator times: chip, family, dtype, rows, columns, depth, count, seconds.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="CSV file for the fitted constants.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fit kernel efficiencies to measured operator times; errors are those of shapes left out of the fit."""
    from gigawatt.catalog import load_catalog
    from gigawatt.documents import read_text
    from gigawatt.hardware import FEWEST, chip_of, fit_kernels, read_measurements
    from gigawatt.report import check_writable, print_listing, rows_to_csv, write_atomically

    need_scipy("calibrate fit")
    if out is not None:
        check_writable(out)
    table = read_measurements(read_text(measurements), str(measurements))
    known = load_catalog()
    chips = {name: chip_of(known.accelerator(name, str(measurements), "chip")) for name, _, _ in table}
    few = [
        f"{' '.join(key)}: {len(columns['seconds'])} shapes"
        for key, columns in table.items()
        if len(columns["seconds"]) < FEWEST
    ]
    if len(few) == len(table):
        raise InputError(
            Problem(
                message="too few shapes to fit",
                location=str(measurements),
                found=", ".join(few),
                allowed=f"{FEWEST} shapes or more of a chip, family and format",
            )
        )
    for line in few:
        typer.echo(f"note: {line}, not fitted: {FEWEST} are needed", err=True)
    with working("fitting"):
        fits = list(fit_kernels(table, chips))
    if out is not None:  # the columns of kernel_efficiency.csv, whose rows these may replace
        origin = {"grade": "measured", "date": "", "source": str(measurements)}
        write_atomically(out, rows_to_csv([{**fit.row(), **origin} for fit in fits]))
    rows = [{**fit.row(), "shapes": fit.shapes} for fit in fits]
    print_json(rows) if as_json else print_listing("kernel efficiencies", rows, console())


@calibrate_app.command("training")
def calibrate_training(
    data: Annotated[
        Path | None, typer.Option("--data", help="A CSV file with the columns of the packaged table.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for fitted.csv and leave_one_out.csv.")] = Path(),
) -> None:
    """Fit the constants of the step model to published training rates, and again without each group."""
    from gigawatt.report import make_folder
    from gigawatt.validation import fit_training, write_fit

    need_scipy("calibrate training")
    make_folder(out)
    result = fit_training(data, report=lambda line: typer.echo(line, err=True))
    for target in write_fit(result, out):
        typer.echo(f"wrote {target}")


@calibrate_app.command("serve")
def calibrate_serve(
    measurements: Annotated[
        Path,
        typer.Argument(
            help="Result of `vllm bench serve --save-result` or of `sglang.bench_serving`, or a CSV file with the columns of the packaged table.",
            show_default=False,
        ),
    ],
    model: Annotated[str | None, typer.Option("--model", help="Model of the benchmark, as in the catalogue.")] = None,
    accelerator: Annotated[str | None, typer.Option("--accelerator", help="Chip of the benchmark.")] = None,
    engine: Annotated[
        str, typer.Option("--engine", help="vllm, sglang, tensorrt_llm or any: where the fit begins.")
    ] = "any",
    precision: Annotated[str, typer.Option("--precision", help="bf16, fp8, fp4, mxfp4, int8 or int4.")] = "fp8",
    tensor_parallel: Annotated[int, typer.Option("--tensor-parallel", min=1)] = 1,
    expert_parallel: Annotated[int, typer.Option("--expert-parallel", min=1)] = 1,
    attention_data_parallel: Annotated[int, typer.Option("--attention-data-parallel", min=1)] = 1,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="CSV file for the constants; a folder where a CSV is fitted.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fit the few constants of a serving engine to a benchmark of one's own, or those of all to a published table."""
    from gigawatt.report import check_writable, make_folder, print_listing, rows_to_csv, write_atomically

    need_scipy("calibrate serve")
    if measurements.suffix == ".csv":
        from gigawatt.validation import fit_serving, write_serving_fit

        folder = out or Path()
        make_folder(folder)
        result = fit_serving(measurements, report=lambda line: typer.echo(line, err=True))
        for target in write_serving_fit(result, folder):
            typer.echo(f"wrote {target}")
        return
    from gigawatt.planning import calibrate_serving, calibration_rows

    absent = [name for name, value in (("--model", model), ("--accelerator", accelerator)) if value is None]
    if absent or model is None or accelerator is None:
        raise InputError(
            Problem(
                message="a benchmark file does not say what ran on what",
                location="calibrate serve",
                allowed=f"also give {' and '.join(absent)}, for example --model 'Llama 3.1 70B' --accelerator 'H100 SXM'",
            )
        )
    if out is not None:
        check_writable(out)
    fit = calibrate_serving(
        measurements,
        model=model,
        accelerator=accelerator,
        engine=engine,
        precision=precision,
        tensor_parallel=tensor_parallel,
        expert_parallel=expert_parallel,
        attention_data_parallel=attention_data_parallel,
    )
    rows = calibration_rows(fit)
    if out is not None:
        write_atomically(out, rows_to_csv(rows))
    if as_json:
        print_json(fit.to_dict())
        return
    shown = [{**row, **{name: f"{row[name]:.4g}" for name in ("before", "after", "factor")}} for row in rows]
    print_listing("constants", shown, console())
    typer.echo(
        f"{fit.points} runs; median error of time per token {fit.before[0]:.1%} before, {fit.after[0]:.1%} after; of time to first token {fit.before[1]:.1%} and {fit.after[1]:.1%}"
    )


def main() -> None:
    """Run the command line; turn every deliberate error into one clear message and its exit code."""
    if sys.stdout is None:  # closed by whoever started the program
        sys.stdout = io.StringIO()
    code = _run()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
    except OSError as error:
        code = _unwritten(error)
    sys.exit(code)


def _run() -> int:
    """Run the command that is asked for and return its exit code."""
    try:
        app(standalone_mode=True)
    except SystemExit as finished:
        if isinstance(finished.__context__, BrokenPipeError):  # `| head -1`: whoever reads has seen enough
            drop_output()
            return 0
        if finished.code == EXIT_INTERRUPTED:
            typer.echo("interrupted; nothing half-written is left", err=True)
        return finished.code if isinstance(finished.code, int) else 0
    except GigawattError as error:
        _traceback()
        _print_error(error)
        return error.exit_code
    except BrokenPipeError:
        drop_output()
    except Exception as error:
        _traceback()
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _unwritten(error)
        typer.echo(
            f"gigawatt {__version__} failed; this is a fault of the program, not of the input.\n"
            f"  {type(error).__name__}: {error}\nRun the same command as `gigawatt --debug ...` for the traceback.",
            err=True,
        )
        return EXIT_FAULT
    return 0


def _traceback() -> None:
    """Print the traceback of the error in hand where --debug asks for it."""
    if "--debug" in sys.argv:
        import traceback

        traceback.print_exc()


def _unwritten(error: OSError) -> int:
    """Say that standard output cannot be written and return the exit code."""
    drop_output()
    typer.echo(f"error: cannot write standard output: {error.strerror or error}", err=True)
    return OutputError.exit_code


def _print_error(error: GigawattError) -> None:
    problems = error.problems if isinstance(error, InputError) else ()
    if len(problems) > 1:
        typer.echo(f"{len(problems)} problems:", err=True)
    heading = "infeasible: " if error.exit_code == EXIT_INFEASIBLE else "error: "
    for line in [str(problem) for problem in problems] or [str(error)]:
        typer.echo(heading + line, err=True)


def _report_path(scenario: Path, out: Path | None) -> Path:
    """Return the HTML file to write; raises OutputError before the work when its folder cannot take it."""
    from gigawatt.report import check_writable

    target = Path.cwd() if out is None else out
    pipe = target.exists() and not (target.is_file() or target.is_dir())
    if target.suffix.lower() not in (".html", ".htm") and not pipe:
        target = target / f"{scenario.stem}.html"
    check_writable(target)
    return target
