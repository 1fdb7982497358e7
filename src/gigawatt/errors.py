"""The errors that a person can act on.

    GigawattError
    ├── InputError        the question is wrong, and where: one Problem per mistake, all of them at once (exit code 2)
    ├── OutputError       a result cannot be written (exit code 2)
    └── InfeasibleError   the question is fine, no answer exists: which constraint binds, what would relax it (exit code 1)

Anything else that escapes is a fault of ours and is shown as one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class GigawattError(Exception):
    """Base of every error that the program raises on purpose."""

    exit_code = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake in the input.

    `location` is "file:line:column", "file:line" or "--set path=value" (empty when the mistake has no place); `path`
    is the dotted field ("fleet.accelerators"); `found` is what stands there; `allowed` says what may stand there;
    `nearest` is the closest valid name, if one is close.
    """

    message: str
    location: str = ""
    path: str = ""
    found: str = ""
    allowed: str = ""
    nearest: str = ""

    def __str__(self) -> str:
        head = f"{self.location}: " if self.location else ""
        field = f"{self.path}: " if self.path else ""
        parts = [f"{head}{field}{self.message}"]
        if self.found:
            parts.append(f"found {self.found}")
        if self.allowed:
            parts.append(f"allowed: {self.allowed}")
        if self.nearest:
            parts.append(f"did you mean {self.nearest!r}?")
        return "; ".join(parts)


class InputError(GigawattError):
    """Input that cannot be used. Carries every problem that was found, not only the first."""

    def __init__(self, problems: Problem | str | Iterable[Problem]) -> None:
        if isinstance(problems, str):
            problems = Problem(message=problems)
        if isinstance(problems, Problem):
            problems = (problems,)
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class OutputError(GigawattError):
    """A result that cannot be written; nothing half-written is left behind."""


class InfeasibleError(GigawattError):
    """No answer satisfies the constraints. The message names the one that binds, by how much, and the smallest
    change.
    """

    exit_code = 1

    def __init__(self, message: str, *, constraint: str = "", remedy: str = "") -> None:
        self.constraint = constraint
        self.remedy = remedy
        super().__init__(message)


# Characters that are taken for one another: H1OO is read as H100.
_ALIKE = str.maketrans({"o": "0", "l": "1", "i": "1"})


def nearest_name(name: str, names: Sequence[str]) -> str:
    """Return the valid name closest to `name` (ignoring case, and O for 0 or l for 1), or "" when none is close."""
    by_folded = {candidate.casefold().translate(_ALIKE): candidate for candidate in names}
    found = difflib.get_close_matches(name.casefold().translate(_ALIKE), list(by_folded), n=1, cutoff=0.55)
    return by_folded[found[0]] if found else ""
