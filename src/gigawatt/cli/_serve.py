"""`gigawatt serve`: from traffic to chips, megawatts and dollars per token."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gigawatt.cli._common import EXIT_INFEASIBLE, AsJson, Overrides, console, print_json, quantity_option, working


def serve(
    scenario: Annotated[Path, typer.Argument(help="The scenario, a YAML file.", show_default=False)],
    simulate: Annotated[
        bool, typer.Option("--simulate/--no-simulate", help="Simulate the best plan request by request.")
    ] = True,
    within_power: Annotated[
        str | None, typer.Option("--within-power", metavar="POWER", help="What does this much power of the site serve?")
    ] = None,
    within_cost: Annotated[
        str | None, typer.Option("--within-cost", metavar="MONEY", help="What does this much money a month serve?")
    ] = None,
    launch: Annotated[
        Path | None, typer.Option("--launch", help="Folder for the commands that start the plan, by class and engine.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write an HTML report to this file.")] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Say which chips, how many and in which shape serve the traffic of a scenario within its promises, at how many
    megawatts and dollars per million tokens.
    """
    from gigawatt.export import write_serving
    from gigawatt.planning import serve_scenario
    from gigawatt.report import check_writable, print_serving, reach_words, serving_page, write_atomically
    from gigawatt.scenario import load_scenario

    if out is not None:
        check_writable(out)
    power_w = None if within_power is None else quantity_option("--within-power", within_power, "W", "5 MW")
    money = None if within_cost is None else quantity_option("--within-cost", within_cost, "USD", "$2 million")
    question = load_scenario(scenario, overrides or ())
    with working("computing"):
        report = serve_scenario(question, simulate=simulate)
        data: dict[str, Any] = report.to_dict()
        if power_w is not None or money is not None:
            data["within"] = report.within(power_w, money)
    if out is not None:
        write_atomically(out, serving_page(data))
    if launch is not None:
        for row in data["launch"]:
            if row["files"]:
                write_serving(row["files"], launch / f"{row['class']} on {row['engine']}".replace(" ", "-"))
    if as_json:
        print_json(data)
    else:
        print_serving(data, console())
        for row in data.get("within", ()):
            typer.echo(reach_words(row))
        if out is not None:
            typer.echo(f"wrote {out}")
    if not report.feasible:
        raise typer.Exit(EXIT_INFEASIBLE)


__all__ = ["serve"]
