"""A cash flow as a file: CSV for programs, or a spreadsheet whose numbers are formulas that anyone can follow.

    inputs      discount rate, day count and whatever else was assumed, with units and sources
    cash flow   lines x dates, totals, balance, discount factors, NPV, IRR, MOIC, payback, DSCR, LLCR as formulas
    about       version, scenario, where it comes from

Positive is money in. What comes from outside is written as text and never as a formula.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gigawatt.errors import InputError, OutputError, Problem
from gigawatt.export._cash_flow_rows import FIRST_COLUMN, INPUT_ROWS, Row, cash_flow_rows
from gigawatt.files import replacing, write_atomically

if TYPE_CHECKING:
    from xlsxwriter import Workbook
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

CASH_FLOW_SUFFIXES = (".csv", ".xlsx")
MOST_DATES = 16_384 - FIRST_COLUMN
NUMBER_FORMATS = {
    "money": "#,##0;[Red]-#,##0",
    "ratio": "0.00",
    "factor": "0.0000",
    "rate": "0.00%",
    "heading": "General",
}
INPUT_COLUMNS = ("label", "best", "unit", "low", "high", "grade", "source", "date", "note")
# Files of the same content are the same bytes: no clock in them.
CREATED = datetime(2000, 1, 1)


def check_cash_flow_target(path: Path) -> None:
    """Raise InputError for a suffix that is not written."""
    if path.suffix not in CASH_FLOW_SUFFIXES:
        raise InputError(
            Problem(
                message="a cash flow is written with another suffix",
                found=repr(path.suffix or path.name),
                allowed=" or ".join(CASH_FLOW_SUFFIXES),
            )
        )


def write_cash_flow(
    path: Path,
    cash_flow: Mapping[str, Any],
    returns: Mapping[str, Any],
    *,
    inputs: Sequence[Mapping[str, Any]] = (),
    about: Mapping[str, Any],
) -> None:
    """Write a cash flow to `path`, .csv or .xlsx.

    `cash_flow` is what `CashFlow.to_dict()` returns, `returns` what `InvestmentReturns.to_dict()` returns of it.
    `inputs` are sourced numbers as `Sourced.to_dict()` returns them; `about` has `version` and `scenario` and may say
    more. Raises InputError for another suffix or too many dates, OutputError where the file cannot be written.
    """
    check_cash_flow_target(path)
    if len(cash_flow["dates"]) != len(returns["years"]):
        raise ValueError("the returns are those of another cash flow: their dates differ in number")
    if path.suffix == ".csv":
        write_atomically(path, cash_flow_csv(cash_flow, about))
        return
    if len(cash_flow["dates"]) > MOST_DATES:
        raise InputError(f"a spreadsheet has room for {MOST_DATES} dates, not for {len(cash_flow['dates'])}")
    with replacing(path) as temporary:
        _write_workbook(temporary, path, cash_flow, returns, inputs, about)


def cash_flow_csv(cash_flow: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Return the lines x dates as CSV text, USD, with their origin in comments above and the totals below."""
    text = io.StringIO()
    for key, value in _origin(about).items():
        text.write(f"# {_comment(key)}: {_comment(value)}\n")
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(["line", "group", "total_usd", *cash_flow["dates"]])
    for line in cash_flow["lines"]:
        writer.writerow([guarded(line["label"]), line["group"], sum(line["amounts"]), *line["amounts"]])
    for group, amounts in cash_flow["totals"].items():
        writer.writerow([f"total {group}", "total", sum(amounts), *amounts])
    for name in ("project", "equity"):
        writer.writerow([name, "total", sum(cash_flow[name]), *cash_flow[name]])
    writer.writerow(["balance", "balance", "", *cash_flow["balance"]])
    return text.getvalue()


def guarded(text: str) -> str:
    """Return text that a spreadsheet does not take for a formula: an apostrophe before = + - @ tab or return."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") else text


def _comment(text: str) -> str:
    """Return text without what would start another cell or line."""
    return re.sub(r'[,;\t\r\n"]+', " ", text)


def _origin(about: Mapping[str, Any]) -> dict[str, str]:
    """Return where a cash flow comes from, as text by key."""
    rest = {str(key): str(value) for key, value in about.items() if key not in ("version", "scenario")}
    return {
        "made by": f"gigawatt {about['version']}",
        "scenario": str(about["scenario"]),
        "signs": "positive is money in; amounts in USD on the dates given",
        **rest,
    }


def _write_workbook(
    temporary: Path,
    path: Path,
    cash_flow: Mapping[str, Any],
    returns: Mapping[str, Any],
    inputs: Sequence[Mapping[str, Any]],
    about: Mapping[str, Any],
) -> None:
    from xlsxwriter import Workbook
    from xlsxwriter.exceptions import XlsxWriterException

    try:
        with Workbook(str(temporary), {"in_memory": True}) as book:
            book.set_properties({"title": "cash flow", "comments": _origin(about)["made by"], "created": CREATED})
            _write_inputs(book, returns, inputs)
            _write_table(book, cash_flow, returns)
            _write_about(book, about)
            book.worksheets()[1].activate()
    except XlsxWriterException as error:
        raise OutputError(f"cannot write {path}: {error}") from None


def _write_inputs(book: Workbook, returns: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]) -> None:
    sheet, bold = book.add_worksheet("inputs"), book.add_format({"bold": True})
    sheet.write_row(0, 0, ("input", "value", "unit", "low", "high", "grade", "source", "date", "note"), bold)
    rate, number = book.add_format({"num_format": "0.00%"}), book.add_format({"num_format": "General"})
    day = book.add_format({"num_format": "yyyy-mm-dd"})
    units = ("per year, effective", "days", "per year, effective", "date")
    formats = (rate, number, rate, day)
    values = (returns["rate"], returns["days_per_year"], returns["debt_rate"], _serial(returns["cover_from"]))
    for (name, row), value, unit, form in zip(INPUT_ROWS.items(), values, units, formats, strict=True):
        sheet.write_string(row - 1, 0, name)
        sheet.write_number(row - 1, 1, value, form)
        sheet.write_string(row - 1, 2, unit)
        sheet.write_string(row - 1, 6, "set for this valuation; change it and the sheet follows")
    for row, entry in enumerate(inputs, start=len(INPUT_ROWS) + 2):
        for place, key in enumerate(INPUT_COLUMNS):
            _write_plain(sheet, row, place, entry.get(key, ""))
    sheet.set_column(0, 0, 40)
    sheet.set_column(1, 5, 14)
    sheet.set_column(6, 6, 60)
    sheet.freeze_panes(1, 1)


def _write_table(book: Workbook, cash_flow: Mapping[str, Any], returns: Mapping[str, Any]) -> None:
    sheet, bold = book.add_worksheet("cash flow"), book.add_format({"bold": True})
    day = book.add_format({"num_format": "yyyy-mm-dd", "bold": True})
    forms = {kind: book.add_format({"num_format": text}) for kind, text in NUMBER_FORMATS.items()}
    for place, text in enumerate(("line", "group or unit", "total or measure")):
        sheet.write_string(0, place, text, bold)
    for place, text in enumerate(cash_flow["dates"], start=FIRST_COLUMN):
        sheet.write_number(0, place, _serial(text), day)
    for number, row in enumerate(cash_flow_rows(cash_flow, returns), start=1):
        _write_row(sheet, number, row, forms[row.kind], bold)
    sheet.set_column(0, 0, 48)
    sheet.set_column(1, FIRST_COLUMN - 1, 16)
    sheet.set_column(FIRST_COLUMN, FIRST_COLUMN + len(cash_flow["dates"]) - 1, 14)
    sheet.freeze_panes(1, FIRST_COLUMN)


def _write_row(sheet: Worksheet, number: int, row: Row, form: Format, bold: Format) -> None:
    sheet.write_string(number, 0, row.label, bold if row.kind == "heading" else None)
    sheet.write_string(number, 1, row.unit)
    for place, cell in enumerate((row.total, *row.cells), start=FIRST_COLUMN - 1):
        if cell.formula:
            sheet.write_formula(number, place, cell.formula, form, "" if cell.value is None else cell.value)
        elif cell.value is not None:
            _write_plain(sheet, number, place, cell.value, form)


def _write_about(book: Workbook, about: Mapping[str, Any]) -> None:
    sheet, bold = book.add_worksheet("about"), book.add_format({"bold": True})
    for row, (key, value) in enumerate(_origin(about).items()):
        sheet.write_string(row, 0, key, bold)
        sheet.write_string(row, 1, value)
    sheet.set_column(0, 0, 24)
    sheet.set_column(1, 1, 100)


def _write_plain(sheet: Worksheet, row: int, place: int, value: Any, form: Format | None = None) -> None:
    """Write a number as a number and anything else as text: text is never taken for a formula or a link."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        sheet.write_number(row, place, value, form)
    elif str(value):
        sheet.write_string(row, place, str(value), form)


def _serial(day: str) -> int:
    """Return the number of a day as spreadsheets count them (from 1899-12-30). 2025-01-01: 45658."""
    return (date.fromisoformat(day) - date(1899, 12, 30)).days
