"""Options out of a shell script or an argument string: comments, arrays, quoted blocks, variables and products.

Nothing is executed. A variable takes the last value that a plain assignment gave it.
"""

from __future__ import annotations

import ast
import operator
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gigawatt.errors import InputError, Problem

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\+?=(.*)", re.DOTALL)
_ARITHMETIC = re.compile(r"\$\(\(([^()]*)\)\)")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::?[-=]([^{}]*))?\}|([A-Za-z_]\w*))")
_SEVERAL = re.compile(r"\s--|--[\w-]+\s")
_OPERATORS: Mapping[type[ast.operator], Callable[[int, int], int]] = MappingProxyType(
    {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv}
)
_ENDS = frozenset({"\n", ")", "(", "&&", "||", "|", ";", "&", ">", ">>", "<", "2>&1"})


@dataclass(frozen=True, slots=True)
class Argument:
    """An option as it stands: the values behind it, as text, and the line of the option."""

    values: tuple[str, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Script:
    """The options of a text by name with their dashes, and its variables. The last mention of an option counts."""

    options: Mapping[str, Argument]
    variables: Mapping[str, str]


def read_script(text: str, name: str) -> Script:
    """Return the options and variables of a shell text.

    Raises InputError naming the line whose quotes do not close.
    """
    variables: dict[str, str] = {}
    options: dict[str, Argument] = {}
    current: str | None = None
    for word, line in _words(text, name):
        if current is None and not word.startswith("--") and (match := _ASSIGNMENT.fullmatch(word)):
            variables[match[1]] = _expanded(match[2], variables)
        elif word.startswith("--") and len(word) > 2:
            current, equals, value = word.partition("=")
            options[current] = Argument((_expanded(value, variables),) if equals else (), line)
        elif word in _ENDS:
            current = None
        elif current is not None:
            found = options[current]
            options[current] = Argument((*found.values, _expanded(word, variables)), found.line)
    return Script(MappingProxyType(options), MappingProxyType(variables))


def _words(text: str, name: str) -> Iterator[tuple[str, int]]:
    """Yield the words with their lines; brackets of arrays and the ends of commands are words too."""
    array = continued = False
    for number, line in enumerate(text.splitlines(), 1):
        place = f"{name}:{number}"
        if not array and not continued:
            yield "\n", number
        continued = line.rstrip().endswith("\\")
        whole = _ARITHMETIC.sub(lambda match: "".join(match[0].split()), line.rstrip().removesuffix("\\"))
        for word in _split(whole, place):
            assigned = _ASSIGNMENT.fullmatch(word)
            if assigned and assigned[2].startswith("("):
                array = True
                word = assigned[2][1:]
            elif assigned and assigned[2].lstrip().startswith("--"):
                word = assigned[2]
            closed = array and word.endswith(")") and "(" not in word
            word = word.removesuffix(")") if closed else word
            # A quoted block of arguments is one word to the shell, and several to the program.
            for part in _split(word, place) if _SEVERAL.search(word) else [word]:
                if part:
                    yield part, number
            if closed:
                array = False
                yield ")", number


def _split(line: str, place: str) -> list[str]:
    """Return the words of a line. A quote left open belongs to a block over several lines and is dropped."""
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        for quote in ('"', "'"):
            head, found, tail = line.rpartition(quote)
            if found:
                try:
                    return shlex.split(f"{head} {tail}", comments=True)
                except ValueError:
                    continue
    raise InputError(Problem(message="the quotes of this line do not close", location=place, found=repr(line.strip())))


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    """Return the text with variables and products worked out; what is unknown stays as it is written."""

    def value(match: re.Match[str]) -> str:
        return variables.get(match[1] or match[3], match[2] if match[2] is not None else match[0])

    def result(match: re.Match[str]) -> str:
        # Inside $(( )) a variable needs no dollar sign.
        plain = re.sub(r"[A-Za-z_]\w*", lambda name: variables.get(name[0], name[0]), match[1])
        number = _arithmetic(plain)
        return match[0] if number is None else str(number)

    return _ARITHMETIC.sub(result, _VARIABLE.sub(value, text))


def _arithmetic(text: str) -> int | None:
    """Return the value of an expression of whole numbers, or None where it is anything else."""
    try:
        return _value(ast.parse(text.strip().replace("/", "//"), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError):
        return None


def _value(node: ast.expr) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    raise ValueError("not arithmetic of whole numbers")
