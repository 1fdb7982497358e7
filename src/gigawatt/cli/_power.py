"""`gigawatt power`: what the site draws, what the grid says of it, and who feeds it through a year."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gigawatt.cli._common import AsJson, Overrides, console, print_json, quantity_option, working


def power(
    scenario: Annotated[Path, typer.Argument(help="The scenario, a YAML file.", show_default=False)],
    duration: Annotated[
        str, typer.Option("--duration", metavar="TIME", help="How much of the run is looked at.")
    ] = "1 h",
    resolution: Annotated[
        str, typer.Option("--resolution", metavar="TIME", help="Length of a sample, 1 ms to 1 h.")
    ] = "10 ms",
    requirements: Annotated[
        str | None,
        typer.Option("--requirements", metavar="NAME|FILE", help="What the grid asks. [default: every packaged set]"),
    ] = None,
    year: Annotated[bool, typer.Option("--year/--no-year", help="Dispatch a year, hour by hour.")] = True,
    caps: Annotated[bool, typer.Option("--caps/--no-caps", help="Try power caps.")] = True,
    measures: Annotated[
        bool, typer.Option("--measures/--no-measures", help="Size batteries and other measures that would comply.")
    ] = True,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same answer.")] = 0,
    export: Annotated[
        Path | None, typer.Option("--export", help="Write the load over --duration: .csv or .parquet.")
    ] = None,
    export_as: Annotated[str, typer.Option("--export-as", help="load, pypsa or pandapower.")] = "load",
    out: Annotated[Path | None, typer.Option("--out", help="Write an HTML report to this file.")] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Say what the site draws from the grid, whether it keeps to what the grid asks, and who feeds it through a year.

    The waveform comes from the model, its parallel strategy and its failures.
    """
    from gigawatt.export import check_load_target, write_load
    from gigawatt.planning import export_blocks, power_scenario
    from gigawatt.report import check_writable, power_page, print_power, write_atomically
    from gigawatt.scenario import Setting, load_scenario

    duration_s = quantity_option("--duration", duration, "s", "1 h")
    resolution_s = quantity_option("--resolution", resolution, "s", "10 ms")
    if export is not None:
        check_load_target(export, export_as)
    for target in (export, out):
        if target is not None:
            check_writable(target)
    chosen: list[str | Setting] = list(overrides or ())
    if requirements is not None:
        here = Path(requirements).absolute()  # a file beside whoever asks goes before one beside the scenario
        value = str(here) if here.is_file() else requirements
        chosen.append(Setting(path="power.requirements", value=value, place=f"--requirements {requirements}"))
    question = load_scenario(scenario, chosen)
    with working("computing"):
        report = power_scenario(
            question,
            duration_s=duration_s,
            resolution_s=resolution_s,
            seed=seed,
            year=year,
            caps=caps,
            measures=measures,
        )
    data: dict[str, Any] = report.to_dict()
    if out is not None:
        write_atomically(out, power_page(data))
    if export is not None:
        with working("writing"):
            write_load(
                export_blocks(report, duration_s, resolution_s), export, kind=export_as, about=data, step_s=resolution_s
            )
    if as_json:
        print_json(data)
        return
    print_power(data, console())
    for target in (out, export):
        if target is not None:
            typer.echo(f"wrote {target}")


__all__ = ["power"]
