"""What every command shares: options, JSON output, the console, a spinner."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="Override any field, e.g. --set 'site.grid_limit=300 MW'. Repeatable."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on standard output.")]

EXIT_INFEASIBLE = 1
EXIT_FAULT = 70


def print_json(data: Any) -> None:
    """Print plain data as JSON on standard output."""
    sys.stdout.write(json.dumps(data, indent=2, allow_nan=False) + "\n")


def console() -> Console:
    """Return the console that results go to."""
    from rich.console import Console

    return Console()


def working(what: str) -> Any:
    """Return a spinner on stderr for a person who waits; nothing where no person watches."""
    from contextlib import nullcontext

    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(f"{what} ...")
