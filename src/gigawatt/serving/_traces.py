"""Traces of requests: the packaged ones by name, a person's own as CSV or JSON lines, plain or gzip.

    read_trace("azure code 2023") ──▶ text ──▶ columns (time, prompt, output, blocks) ──▶ checks ──▶ Requests

One table of accepted spellings serves both forms. Times are counted from the first request; in the file they are seconds (CSV)
or milliseconds (`timestamp` of JSON lines, as Mooncake writes them), or ISO dates. Every mistake has its file and line.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.serving._requests import Array, Integers, Requests

PACKAGED_TRACES: Mapping[str, str] = {
    "azure conversation 2023": "azure_llm_2023_conv.csv.gz",
    "azure code 2023": "azure_llm_2023_code.csv.gz",
    "mooncake conversation": "mooncake_fast25_conversation.jsonl.gz",
    "mooncake synthetic": "mooncake_fast25_synthetic.jsonl.gz",
}
MOST_PROBLEMS = 20
# Tokens of a block of `hash_ids`: Mooncake 512; the Qwen-Bailian traces, which have a chat_id as well, 16.
MOONCAKE_BLOCK, BAILIAN_BLOCK = 512, 16

# Spellings, without case, blanks and punctuation. A time in milliseconds says so, or is a `timestamp` of JSON lines.
_TIME = ("arrivals", "arrival", "arrivaltime", "arrivaltimes", "arrivedat", "timestamp", "timestamps", "time", "times")
_TIME_MS = ("arrivalms", "timestampms", "timems", "arrivaltimems")
_PROMPT = (
    "prompttokens", "contexttokens", "inputtokens", "requesttokens", "inputlength", "promptlength",
    "contextlength", "numprefilltokens", "prompt", "input", "context",
)  # fmt: skip
_OUTPUT = (
    "outputtokens", "generatedtokens", "responsetokens", "completiontokens", "outputlength", "generatedlength",
    "numdecodetokens", "output", "generated", "response", "completion",
)  # fmt: skip
_BLOCKS = ("hashids", "blockids", "blocks")
_COLUMNS = {
    "time": (*_TIME, *_TIME_MS), "prompt": _PROMPT, "output": _OUTPUT,
}  # fmt: skip
_SHOWN = {
    "time": "arrival_s, timestamp",
    "prompt": "prompt_tokens, context_tokens, input_length",
    "output": "output_tokens, generated_tokens, output_length",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """The columns of a file as they stand in it, with the line of each row."""

    lines: Sequence[int]
    time: Sequence[Any]
    prompt: Sequence[Any]
    output: Sequence[Any]
    blocks: Sequence[Any] | None
    time_factor: float
    block_tokens: int


def read_trace(source: str | Path, *, request_class: str = "") -> Requests:
    """Return the requests of a packaged trace (`PACKAGED_TRACES`) or of a file.

    A file is CSV with a header, or JSON lines, gzip or not; columns may be named arrival_s, timestamp, ... ; prompt_tokens,
    context_tokens, input_length, ... ; output_tokens, generated_tokens, output_length, ... `hash_ids` become `Requests.blocks`.
    `request_class` names the class, by default after the trace. Raises InputError with file and line for a missing column,
    times that are negative, not numbers or not in order, lengths that are not whole numbers of at least one, a file
    without requests, and a name that is neither packaged nor a file.
    """
    name, data = _bytes(source)
    text = _text(name, data)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        raise InputError(
            Problem(message="the trace is empty", location=name, allowed="a header and rows, or JSON lines")
        )
    columns = _json_columns(name, text) if first.lstrip().startswith("{") else _csv_columns(name, text)
    if not columns.lines:
        raise InputError(Problem(message="the trace holds no request", location=f"{name}:1"))
    problems: list[Problem] = []
    times = _times(name, columns, problems)
    prompt = _lengths(name, columns, "prompt", problems)
    output = _lengths(name, columns, "output", problems)
    blocks, block_start = _blocks(name, columns, problems)
    if problems:
        raise InputError(sorted(problems, key=lambda each: int(each.location.rpartition(":")[2]))[:MOST_PROBLEMS])
    label = request_class or (name if name in PACKAGED_TRACES else Path(name).name)
    return Requests(
        arrival_s=times - times[0],
        prompt_tokens=prompt,
        output_tokens=output,
        request_class=np.zeros(len(times), dtype=np.int64),
        classes=(label,),
        blocks=blocks,
        block_start=block_start,
        block_tokens=columns.block_tokens,
    )


# bytes and text --------------------------------------------------------------------------------------------------------


def _bytes(source: str | Path) -> tuple[str, bytes]:
    packaged = " ".join(str(source).casefold().split())
    if (file := PACKAGED_TRACES.get(packaged)) is not None:
        return packaged, files("gigawatt.serving").joinpath("data", "traces", file).read_bytes()
    path = Path(source)
    try:
        return str(path), path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            Problem(
                message="there is no such trace, packaged or file",
                location=str(path) if path.suffix else "",
                found=repr(str(source)),
                allowed=f"{', '.join(PACKAGED_TRACES)}, or the path of a CSV or JSON lines file",
                nearest=nearest_name(str(source), list(PACKAGED_TRACES)),
            )
        ) from None
    except OSError as error:
        raise InputError(Problem(message=f"cannot be read ({error.strerror})", location=str(path))) from None


def _text(name: str, data: bytes) -> str:
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            raise InputError(Problem(message="the gzip file is damaged or cut short", location=name)) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(
            Problem(message="the file is not UTF-8 text", location=f"{name}:{line}", allowed="UTF-8")
        ) from None


# columns ---------------------------------------------------------------------------------------------------------------


def _plain(title: str) -> str:
    return re.sub(r"[^a-z0-9]", "", title.casefold())


def _found(name: str, titles: Sequence[str], line: int) -> dict[str, str]:
    """Return the title of each needed column. Raises InputError naming those that are missing."""
    by_plain = {_plain(title): title for title in titles}
    found = {
        kind: by_plain[next(spelling for spelling in spellings if spelling in by_plain)]
        for kind, spellings in _COLUMNS.items()
        if any(spelling in by_plain for spelling in spellings)
    }
    missing = [kind for kind in _COLUMNS if kind not in found]
    if missing:
        raise InputError(
            Problem(
                message=f"there is no column of the {'arrival time' if kind == 'time' else kind + ' length'}",
                location=f"{name}:{line}",
                found=", ".join(titles),
                allowed=_SHOWN[kind],
            )
            for kind in missing
        )
    return found


def _csv_columns(name: str, text: str) -> _Columns:
    reader = csv.reader(io.StringIO(text))
    header: list[str] = []
    lines: list[int] = []
    rows: list[list[str]] = []
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        if header:
            lines.append(reader.line_num)
            rows.append(row)
        else:
            header, header_line = [cell.strip() for cell in row], reader.line_num
    found = _found(name, header, header_line)
    at = {kind: header.index(title) for kind, title in found.items()}
    cells = {kind: [row[i] if i < len(row) else "" for row in rows] for kind, i in at.items()}
    factor = 1e-3 if _plain(found["time"]) in _TIME_MS else 1.0
    return _Columns(lines=lines, **cells, blocks=None, time_factor=factor, block_tokens=16)


def _json_columns(name: str, text: str) -> _Columns:
    lines: list[int] = []
    items: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except ValueError:
            item = None
        if not isinstance(item, dict):
            raise InputError(
                Problem(message="this line is not a JSON object", location=f"{name}:{number}", found=repr(line[:60]))
            )
        lines.append(number)
        items.append(item)
    found = _found(name, list(items[0]), lines[0])
    cells = {kind: [item.get(title) for item in items] for kind, title in found.items()}
    block_title = next((title for title in items[0] if _plain(title) in _BLOCKS), "")
    bailian = any(_plain(title) == "chatid" for title in items[0])
    time_title = _plain(found["time"])
    milliseconds = time_title in _TIME_MS or (time_title in ("timestamp", "timestamps") and not bailian)
    return _Columns(
        lines=lines,
        **cells,
        blocks=[item.get(block_title) for item in items] if block_title else None,
        time_factor=1e-3 if milliseconds else 1.0,
        block_tokens=BAILIAN_BLOCK if bailian else MOONCAKE_BLOCK if block_title else 16,
    )


# values ----------------------------------------------------------------------------------------------------------------


def _times(name: str, columns: _Columns, problems: list[Problem]) -> Array:
    """Return the times in s, with a problem for each that is none, negative, or before the one above it."""
    times = np.array([_seconds(cell, columns.time_factor) for cell in columns.time])
    wrong = (
        (~np.isfinite(times), "not a time", "seconds, or an ISO date and time"),
        (times < 0, "a negative time", "0 or more"),
        (np.diff(times, prepend=-np.inf) < 0, "earlier than the row above", "rows in order of arrival"),
    )
    problems += [
        _wrong(name, columns, int(index), "time", message, allowed)
        for rows, message, allowed in wrong
        for index in np.flatnonzero(rows)[:MOST_PROBLEMS]
    ]
    return times


def _seconds(cell: Any, factor: float) -> float:
    if isinstance(cell, bool) or cell is None:
        return math.nan
    try:
        return float(cell) * factor
    except (TypeError, ValueError):
        pass
    try:
        moment = datetime.fromisoformat(_seven_digits.sub(r"\1", str(cell).strip()))
        return (moment.replace(tzinfo=None) - (moment.utcoffset() or _NO_OFFSET) - _EPOCH).total_seconds()
    except ValueError:
        return math.nan


_EPOCH = datetime(1970, 1, 1)
_NO_OFFSET = _EPOCH - _EPOCH
# Azure writes tenths of microseconds, one digit more than Python reads.
_seven_digits = re.compile(r"(\.\d{6})\d+")


def _lengths(name: str, columns: _Columns, kind: str, problems: list[Problem]) -> Integers:
    """Return lengths in tokens, with a problem for each that is not a whole number of at least one."""
    values = np.array([_number(cell) for cell in getattr(columns, kind)])
    right = np.isfinite(values) & (values >= 1) & (values == np.floor(values)) & (values < 2**53)
    for index in np.flatnonzero(~right)[:MOST_PROBLEMS]:
        zero = values[index] == 0
        article = "an" if kind == "output" else "a"
        message = f"{kind} length of zero" if zero else f"not {article} {kind} length"
        allowed = "at least 1 token (leave failed requests out)" if zero else "a whole number of tokens"
        problems.append(_wrong(name, columns, int(index), kind, message, allowed))
    return np.where(right, values, 1).astype(np.int64)


def _number(cell: Any) -> float:
    try:
        return math.nan if isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError):
        return math.nan


def _wrong(name: str, columns: _Columns, index: int, kind: str, message: str, allowed: str) -> Problem:
    found = repr(getattr(columns, kind)[index])
    return Problem(message=message, location=f"{name}:{columns.lines[index]}", found=found, allowed=allowed)


def _blocks(name: str, columns: _Columns, problems: list[Problem]) -> tuple[Integers, Integers]:
    """Return dense block ids of all requests and where each request's begin (R + 1); both empty without ids."""
    none = np.zeros(0, dtype=np.int64)
    if columns.blocks is None:
        return none, none
    for line, ids in zip(columns.lines, columns.blocks, strict=True):
        if not isinstance(ids, list) or not all(type(each) in (int, str) for each in ids):
            problems.append(
                Problem(
                    message="the block ids are not a list of numbers or texts",
                    location=f"{name}:{line}",
                    found=repr(ids)[:60],
                )
            )
            if len(problems) >= MOST_PROBLEMS:
                break
    if problems:
        return none, none
    start = np.concatenate([[0], np.cumsum([len(ids) for ids in columns.blocks])]).astype(np.int64)
    known: dict[int | str, int] = {}
    dense = [known.setdefault(each, len(known)) for ids in columns.blocks for each in ids]
    return np.array(dense, dtype=np.int64), start
