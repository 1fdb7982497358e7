"""`gigawatt build`: what is ordered, built, energised and paid when, and what limits useful compute in every period."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gigawatt.cli._common import AsJson, Overrides, console, print_json, working
from gigawatt.errors import InfeasibleError


def build(
    scenario: Annotated[Path, typer.Argument(help="The scenario, a YAML file with a section `build`.")],
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            min=0,
            max=100_000,
            help="Plans for which delays are drawn; 0 for none. [default: build.samples]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same answer.")] = 0,
    levers: Annotated[bool, typer.Option("--levers/--no-levers", help="Look for what would bring it nearer.")] = True,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write an HTML report to this file.", show_default=False)
    ] = None,
    cash_flow: Annotated[
        Path | None,
        typer.Option("--cash-flow", help="Write the cash flow with its returns: .csv or .xlsx.", show_default=False),
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Plan the build-out: orders, deliveries, construction, power and cash by period.

    Says what limits useful compute in every period, and what one more unit of that limit is worth.
    """
    from gigawatt.export import check_cash_flow_target, write_cash_flow
    from gigawatt.planning import build_scenario
    from gigawatt.report import build_page, check_writable, print_build, write_atomically
    from gigawatt.scenario import load_scenario

    if cash_flow is not None:
        check_cash_flow_target(cash_flow)
    for target in (cash_flow, out):
        if target is not None:
            check_writable(target)
    question = load_scenario(scenario, overrides or ())
    with working("planning the build-out"):
        try:
            report = build_scenario(question, samples=samples, seed=seed, levers=levers)
        except InfeasibleError as error:
            raise _with_remedy(error) from None
    data: dict[str, Any] = report.to_dict()
    if out is not None:
        write_atomically(out, build_page(data))
    if cash_flow is not None:
        about = {key: data[key] for key in ("version", "scenario")}
        write_cash_flow(cash_flow, data["cash_flow"], data["returns"], inputs=(), about=about)
    if as_json:
        print_json(data)
        return
    print_build(data, console())
    for target in (out, cash_flow):
        if target is not None:
            typer.echo(f"wrote {target}")


def _with_remedy(error: InfeasibleError) -> InfeasibleError:
    """Return an error whose message says what would mend it."""
    if not error.remedy or error.remedy in str(error):
        return error
    return InfeasibleError(f"{error}; it takes {error.remedy}", constraint=error.constraint, remedy=error.remedy)


__all__ = ["build"]
