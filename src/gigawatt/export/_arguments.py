"""The options of one script by name, with errors that name the line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn

from gigawatt.errors import InputError, Problem
from gigawatt.export._shell import Argument, Script


class Arguments:
    """Options of one script by name, with errors that say where."""

    def __init__(self, script: Script, name: str) -> None:
        self.script, self.name = script, name

    def __contains__(self, option: str) -> bool:
        return option in self.script.options

    def place(self, option: str) -> str:
        return f"{self.name}:{self.script.options[option].line}"

    def count(self, option: str, default: int, least: int = 1) -> int:
        """Return the whole number behind an option, or the default without the option; raises InputError."""
        if option not in self:
            return default
        text = self.text(option, "")
        if not re.fullmatch(r"\d+", text) or int(text) < least:
            self.refuse(option, f"a whole number from {least}")
        return int(text)

    def choice(self, option: str, choices: Mapping[str, Any], default: str) -> Any:
        """Return what the word behind an option stands for; raises InputError."""
        text = self.text(option, default)
        if text not in choices:
            self.refuse(option, ", ".join(choices))
        return choices[text]

    def text(self, option: str, default: str) -> str:
        """Return the first value of an option, or the default without the option."""
        found = self.script.options.get(option, Argument((default,), 0))
        return found.values[0] if found.values else ""

    def refuse(self, option: str, allowed: str) -> NoReturn:
        found = " ".join(self.script.options[option].values)
        raise InputError(
            Problem(
                message=f"{option} has no usable value",
                location=self.place(option),
                found=repr(found) if found else "nothing",
                allowed=allowed,
            )
        )
