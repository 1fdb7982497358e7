"""A series from a person's CSV file: times and numbers, checked row by row, errors with file:line.

The file has a header. One column holds times (named `time...`, `timestamp...`, `date...`, or the first that reads as a time), one the
values. Times are ISO 8601 with one offset for all of them (or Z), or without any, and then `utc_offset_h` says which. Without a
column of times the rows are the hours of a year from `start`.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from gigawatt.documents import read_text
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.power._series import HOUR, KELVIN, Series
from gigawatt.quantity import QuantityError, parse_quantity

MOST_PROBLEMS = 20
_TIME_NAMES = ("time", "timestamp", "date")
_CELSIUS = ("degC", "°C", "C")


def read_series(
    path: Path,
    unit: str,
    *,
    written_in: str = "",
    column: str = "",
    utc_offset_h: float | None = None,
    start: datetime | None = None,
    whole_years: bool = True,
) -> Series:
    """Return the series of a CSV file in the SI unit `unit` ("USD/J", "kg/J", "K", "W", "").

    `written_in` is the unit in the file ("USD/MWh", "g/kWh", "degC"), `column` the values where there are several. `whole_years`
    asks for full calendar years. Raises InputError with every problem and its line: numbers that are none, NaN, gaps,
    hours that occur twice (daylight saving), mixed time zones, 8,759 rows in a year.
    """
    series = parse_series(
        read_text(path),
        str(path),
        unit,
        written_in=written_in,
        column=column,
        utc_offset_h=utc_offset_h,
        start=start,
        whole_years=whole_years,
    )
    return replace(series, source=str(path))


def parse_series(
    text: str,
    name: str,
    unit: str,
    *,
    written_in: str = "",
    column: str = "",
    utc_offset_h: float | None = None,
    start: datetime | None = None,
    whole_years: bool = True,
) -> Series:
    """Return the series in CSV `text`; `name` stands for the file in messages. Everything else as `read_series`."""
    factor, offset = _conversion(name, unit, written_in)
    rows = [(line, row) for line, row in _lines(text) if any(cell.strip() for cell in row)]
    if len(rows) < 3:
        raise InputError(Problem(message="a series needs a header and at least two rows", location=f"{name}:1"))
    header = [cell.strip() for cell in rows[0][1]]
    body = rows[1:]
    time_at = _time_column(header, body)
    value_at = _value_column(name, header, time_at, column)
    problems: list[Problem] = []
    values = np.array([_number(name, line, row, value_at, header, problems) for line, row in body])
    step_s, begin = HOUR, start
    if time_at is not None:
        begin, step_s = _times(name, body, time_at, utc_offset_h, problems)
    _stop(problems)
    if whole_years:
        _full_years(name, len(values), step_s, begin, body[-1][0])
    if begin is None and (len(values) != 8_760 or step_s != HOUR):
        message = "without a column of times, start must be given"
        raise InputError(Problem(message=message, location=f"{name}:1", allowed="8,760 hours, or a start"))
    return Series(
        name=name,
        values=values * factor + offset,
        unit=unit,
        step_s=step_s,
        start=None if begin is None else begin.astimezone(UTC),
        source=name,
    )


def _lines(text: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    return [(reader.line_num, row) for row in reader]


def _conversion(name: str, unit: str, written_in: str) -> tuple[float, float]:
    """Return factor and offset from the unit in the file to `unit`."""
    if not written_in or written_in == unit:
        return 1.0, 0.0
    if unit == "K" and written_in in _CELSIUS:
        return 1.0, KELVIN
    try:
        return parse_quantity(f"1 {written_in}", unit), 0.0
    except QuantityError as error:
        problem = Problem(
            message=str(error), location=name, path="written_in", found=error.found, allowed=error.allowed
        )
        raise InputError(problem) from None


def _time_column(header: Sequence[str], body: Sequence[tuple[int, list[str]]]) -> int | None:
    """Return the column of times, None where there is none."""
    for index, title in enumerate(header):
        if title.casefold().startswith(_TIME_NAMES):
            return index
    return next((index for index in range(len(header)) if _time(body[0][1], index) is not None), None)


def _value_column(name: str, header: Sequence[str], time_at: int | None, column: str) -> int:
    if column:
        if column not in header:
            problem = Problem(
                message=f"there is no column {column!r}",
                location=f"{name}:1",
                allowed=", ".join(header),
                nearest=nearest_name(column, header),
            )
            raise InputError(problem)
        return header.index(column)
    rest = [index for index in range(len(header)) if index != time_at]
    if len(rest) != 1:
        found = ", ".join(header[index] for index in rest)
        message = "which column holds the values is not clear"
        raise InputError(Problem(message=message, location=f"{name}:1", path="column", found=found, allowed="one name"))
    return rest[0]


def _number(name: str, line: int, row: Sequence[str], at: int, header: Sequence[str], problems: list[Problem]) -> float:
    text = row[at].strip() if at < len(row) else ""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        problems.append(
            Problem(
                message="not a number" if text else "a value is missing",
                location=f"{name}:{line}",
                path=header[at],
                found=repr(text) if text else "",
                allowed="a finite number with a decimal point",
            )
        )
    return value


def _time(row: Sequence[str], at: int) -> datetime | None:
    text = row[at].strip() if at < len(row) else ""
    if len(text) < 8:  # "20230101" is the shortest; a bare number is no time
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _times(
    name: str,
    body: Sequence[tuple[int, list[str]]],
    at: int,
    utc_offset_h: float | None,
    problems: list[Problem],
) -> tuple[datetime | None, float]:
    """Return the first time and the step; add a problem for every row that breaks the order."""
    times = [(line, _time(row, at), row[at].strip() if at < len(row) else "") for line, row in body]
    for line, time, text in times:
        if time is None:
            problems.append(_problem(name, line, "not a time", text, "ISO 8601, for example 2023-01-01T00:00Z"))
    known = [(line, time) for line, time, _ in times if time is not None]
    zone = known[0][1].utcoffset()
    for line, time in known:
        if time.utcoffset() != zone:
            found = f"{time.isoformat()} after {known[0][1].isoformat()}"
            problems.append(
                _problem(name, line, "mixed time zones", found, "one offset for the whole file, or UTC (Z)")
            )
    if zone is None and utc_offset_h is None:
        message = "these times have no time zone, and daylight saving would hide an hour"
        problems.append(_problem(name, known[0][0], message, known[0][1].isoformat(), "Z at the end, or utc_offset_h"))
    _stop(problems)
    if zone is None and utc_offset_h is not None:
        fixed = timezone(timedelta(hours=utc_offset_h))
        known = [(line, time.replace(tzinfo=fixed)) for line, time in known]
    gaps = [later - earlier for (_, earlier), (_, later) in itertools.pairwise(known)]
    step = sorted(gaps)[len(gaps) // 2]
    if step <= timedelta(0):
        problems.append(_problem(name, known[1][0], "times do not go forward", known[1][1].isoformat(), "rising times"))
        _stop(problems)
    for (_, before), (line, time) in itertools.pairwise(known):
        if time == before:
            problems.append(
                _problem(
                    name, line, "this time occurs twice (daylight saving?)", time.isoformat(), "UTC or a fixed offset"
                )
            )
        elif time < before:
            problems.append(_problem(name, line, "times go back", time.isoformat(), f"after {before.isoformat()}"))
        elif time - before != step:
            missing = (time - before) / step - 1
            found = f"{before.isoformat()}, then {time.isoformat()}"
            message = f"a gap of {missing:g} steps" if missing > 0 else "a shorter step than the others"
            problems.append(_problem(name, line, message, found, f"one row every {step.total_seconds():g} s"))
    return known[0][1], step.total_seconds()


def _problem(name: str, line: int, message: str, found: str, allowed: str) -> Problem:
    return Problem(message=message, location=f"{name}:{line}", path="time", found=found, allowed=allowed)


def _stop(problems: Sequence[Problem]) -> None:
    if problems:
        more = len(problems) - MOST_PROBLEMS
        rest = [Problem(message=f"and {more} more")] if more > 0 else []
        raise InputError([*problems[:MOST_PROBLEMS], *rest])


def _full_years(name: str, rows: int, step_s: float, begin: datetime | None, line: int) -> None:
    """Raise InputError unless the rows fill calendar years from `begin` (8,760 hours where there is no calendar)."""
    if begin is None:
        needed = 8_760
        years = "a year"
    else:
        first = begin.year
        last = (begin + timedelta(seconds=step_s * (rows - 0.5))).year
        span = datetime(last + 1, 1, 1, tzinfo=begin.tzinfo) - datetime(first, 1, 1, tzinfo=begin.tzinfo)
        needed = round(span.total_seconds() / step_s)
        years = f"{first}" if first == last else f"{first} to {last}"
    if rows != needed:
        raise InputError(
            Problem(
                message=f"{rows:,} rows do not fill {years}",
                location=f"{name}:{line}",
                path="time",
                found=f"{rows:,} rows of {step_s:g} s",
                allowed=f"{needed:,} rows, or whole_years=False",
            )
        )
