"""`gigawatt serve`: from traffic to chips, megawatts and dollars per token."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gigawatt.cli._common import EXIT_INFEASIBLE, AsJson, Overrides, console, print_json, working


def serve(
    scenario: Annotated[Path, typer.Argument(help="The scenario, a YAML file.", show_default=False)],
    simulate: Annotated[
        bool, typer.Option("--simulate/--no-simulate", help="Simulate the best plan request by request.")
    ] = True,
    out: Annotated[Path | None, typer.Option("--out", help="Write an HTML report to this file.")] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Say which chips, how many and in which shape serve the traffic of a scenario within its promises, at how many
    megawatts and dollars per million tokens.
    """
    from gigawatt.planning import serve_scenario
    from gigawatt.report import check_writable, print_serving, serving_page, write_atomically
    from gigawatt.scenario import load_scenario

    if out is not None:
        check_writable(out)
    question = load_scenario(scenario, overrides or ())
    with working("computing"):
        report = serve_scenario(question, simulate=simulate)
        data: dict[str, Any] = report.to_dict()
    if out is not None:
        write_atomically(out, serving_page(data))
    if as_json:
        print_json(data)
    else:
        print_serving(data, console())
        if out is not None:
            typer.echo(f"wrote {out}")
    if not report.feasible:
        raise typer.Exit(EXIT_INFEASIBLE)


__all__ = ["serve"]
