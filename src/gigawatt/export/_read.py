"""One verb: read a strategy back from a framework's file, whichever of the readable formats it is in."""

from __future__ import annotations

import re
from dataclasses import replace

from gigawatt.errors import InputError, Problem
from gigawatt.export._imported import Imported
from gigawatt.export._read_megatron import read_megatron
from gigawatt.export._read_torchtitan import read_torchtitan, read_torchtitan_config

_TABLE = re.compile(r"^\s*\[[A-Za-z_][\w.]*\]\s*(?:#.*)?$", re.MULTILINE)
_MODULE = re.compile(r"^\s*from\s+torchtitan[\w.]*\s+import\s|\bParallelismConfig\(", re.MULTILINE)
# The first line of what `export_strategy` writes.
_WRITTEN = re.compile(r"\A# .+? for (.+) on [\d ,x]+ accelerators, written by gigawatt\.$", re.MULTILINE)
_OPTION = re.compile(r"(?:^|[\s\"'(])--[a-z]")


def read_strategy(text: str, name: str) -> Imported:
    """Return the strategy of a torchtitan job (a TOML file or a Python module with one configuration) or of Megatron-LM arguments (a shell file or a string).

    `name` is what errors call the text. Raises InputError naming the line where it cannot be read, or saying that it
    is neither format or states no decision of a strategy.
    """
    written = _WRITTEN.search(text)
    model_name = written[1] if written else ""
    if _MODULE.search(text):
        return replace(read_torchtitan_config(text, name), model_name=model_name)
    if _TABLE.search(text):
        return replace(read_torchtitan(text, name), model_name=model_name)
    if _OPTION.search(text):
        return replace(read_megatron(text, name), model_name=model_name)
    raise InputError(
        Problem(
            message="no strategy is recognised here",
            location=f"{name}:1",
            found=repr(next(iter(text.strip().splitlines()), ""))[:60],
            allowed="a torchtitan job file with [sections] or module with ParallelismConfig, or Megatron-LM arguments (--option value); Megatron-Bridge and MaxText files are only written",
        )
    )
