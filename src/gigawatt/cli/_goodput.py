"""`gigawatt goodput`: what share of the time a job makes progress, and what would change it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from gigawatt.cli._common import AsJson, Overrides, console, print_json, working
from gigawatt.cli._train import (
    AcceleratorName,
    Batch,
    Count,
    Length,
    ModelName,
    Pins,
    Recipe,
    ScenarioOption,
    question_of,
)
from gigawatt.errors import InputError, Problem

DAY = 86_400.0


def goodput(
    scenario: ScenarioOption = None,
    model: ModelName = None,
    accelerator: AcceleratorName = None,
    count: Count = None,
    policy: Annotated[
        str | None,
        typer.Option("--policy", help="restart, neighbour_copy, hot_spare, drop_replica, elastic or islands."),
    ] = None,
    islands: Annotated[
        str | None, typer.Option("--islands", metavar="K", help="Asynchronous islands; they divide the replicas.")
    ] = None,
    spares: Annotated[
        int | None,
        typer.Option("--spares", min=0, help="Spare nodes, out of the fleet. [default: enough for 99 % of the time]"),
    ] = None,
    days: Annotated[
        float | None, typer.Option("--days", help="Wall time that is looked at. [default: the whole run]")
    ] = None,
    replicates: Annotated[
        int, typer.Option("--replicates", min=0, help="Simulated runs; 0: the closed form alone.")
    ] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same answer.")] = 0,
    compare: Annotated[bool, typer.Option("--compare", help="Simulate every policy, in one table.")] = False,
    batch: Batch = None,
    sequence: Length = None,
    precision: Recipe = None,
    strategy: Pins = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write an HTML report to this file.")] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Say what share of the time a job makes progress, what takes the rest, and what another policy would change.

    Failures, recovery and checkpoints, in closed form and as an event simulation of the whole fleet.
    """
    from gigawatt.planning import LONGEST_DAYS, goodput_scenario
    from gigawatt.report import check_writable, goodput_page, print_goodput, write_atomically
    from gigawatt.scenario import Setting

    if days is not None and not (math.isfinite(days) and 0 < days <= LONGEST_DAYS):
        raise InputError(
            Problem(
                message="impossible value",
                location="--days",
                found=f"{days:g}",
                allowed=f"above 0 and at most {LONGEST_DAYS:,.0f} days",
            )
        )
    if scenario is None and (model is None or accelerator is None):
        raise InputError(
            Problem(
                message="a question needs a scenario file, or --model and --accelerator",
                allowed="gigawatt goodput examples/colossus-100k.yaml, or gigawatt goodput --model 'Llama 3.1 405B' --accelerator H100 --count 16384",
            )
        )
    if out is not None:
        check_writable(out)
    chosen: list[str | Setting] = [
        Setting(path=path, value=text, place=f"{option} {text}")
        for option, path, text in (
            ("--policy", "reliability.policy", policy),
            ("--islands", "reliability.islands", islands),
        )
        if text is not None
    ]
    question = question_of(
        scenario,
        model,
        accelerator,
        count,
        batch,
        sequence,
        precision,
        strategy,
        None,
        [*chosen, *(overrides or ())],
    )
    with working("simulating" if replicates else "computing"):
        report = goodput_scenario(
            question,
            replicates=replicates,
            seed=seed,
            spare_nodes=spares,
            duration_s=None if days is None else days * DAY,
            compare=compare,
        )
    data: dict[str, Any] = report.to_dict()
    if out is not None:
        write_atomically(out, goodput_page(data))
    if as_json:
        print_json(data)
        return
    print_goodput(data, console())
    if out is not None:
        typer.echo(f"wrote {out}")


__all__ = ["goodput"]
