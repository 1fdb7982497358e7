"""What every command shares: options, quantities in options, JSON output, the console, a spinner."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gigawatt.errors import InputError, Problem

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
EXIT_INTERRUPTED = 130


# An option beyond these, in SI, is a slip: no time, ages of the universe, more money than there is.
_LEAST, _MOST = 1e-12, 1e21


def quantity_option(option: str, text: str, unit: str, example: str) -> float:
    """Return the quantity above zero that stands behind an option, in SI.

    Raises InputError naming the option, what stands there and an example of what may.
    """
    from gigawatt.quantity import QuantityError, parse_quantity

    try:
        value = parse_quantity(text, unit, example=example)
    except QuantityError as error:
        raise InputError(
            Problem(message=error.message, location=option, found=error.found, allowed=error.allowed)
        ) from None
    if not _LEAST <= value <= _MOST:
        raise InputError(
            Problem(
                message="impossible value",
                location=option,
                found=repr(text),
                allowed=f"above zero and within reason, for example {example}",
            )
        )
    return value


def need_scipy(command: str) -> None:
    """Raise InputError saying what to install where SciPy, which only calibration needs, is missing."""
    from importlib.util import find_spec

    if find_spec("scipy") is None:
        raise InputError(
            Problem(
                message="SciPy is needed; `.venv/bin/python -m pip install -e '.[calibrate]'` installs it in a checkout",
                location=command,
            )
        )


def print_json(data: Any) -> None:
    """Print plain data as JSON on standard output."""
    sys.stdout.write(json.dumps(data, indent=2, allow_nan=False) + "\n")


def console() -> Console:
    """Return the console that results go to."""
    from rich.console import Console

    return Console()


def drop_output() -> None:
    """Send the rest of standard output nowhere: nobody reads it any more, or its disk is full."""
    import os

    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 (a device)
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def working(what: str) -> Any:
    """Return a spinner on stderr for a person who waits; nothing where no person watches."""
    from contextlib import nullcontext

    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(f"{what} ...")
