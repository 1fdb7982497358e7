"""A cash flow as CSV and as a spreadsheet: opened by a reader library, recalculated by another, compared with ours."""

import csv
import io
import json
import warnings
from datetime import date, timedelta

import numpy as np
import openpyxl
import pandas as pd
import pytest

from gigawatt.errors import InputError, OutputError
from gigawatt.evidence import Sourced
from gigawatt.export import check_cash_flow_target, write_cash_flow
from gigawatt.export._cash_flow_rows import column
from gigawatt.finance import (
    CashFlow,
    CashLine,
    Payments,
    income_tax,
    investment_returns,
    macrs,
    month_after,
    purchase,
    term_loan,
)

ABOUT = {"version": "1.2.3", "scenario": "a plan, =1+1", "seed": 7}
INPUTS = [Sourced.exact(0.06, source="a tariff", unit="USD/kWh", label="=cmd()", date="2025", note="+1").to_dict()]


def project():
    """Servers bought with a loan, two years of income, tax: every group and every measure."""
    months = [month_after("2025-01-01", i) for i in range(24)]
    bought = purchase("=servers", 1000e6, ordered="2024-01-15", delivered="2024-09-01", deposit_share=0.3)
    income = Payments.of("income", "operating", [(day, 70e6) for day in months])
    power = Payments.of("power", "operating", [(day, -8e6) for day in months])
    quarters = [month_after("2025-03-01", 3 * i) for i in range(7)]
    loan = term_loan("loan", drawn=[("2024-01-15", 200e6), ("2024-09-01", 300e6)], days=quarters, rate=0.09)
    losses = dict(zip(range(2024, 2030), macrs(1000e6, 5), strict=True))
    tax = income_tax("tax", rate=0.21, income=[income, power, loan[1]], depreciation=losses)
    flow = CashFlow.of([bought, income, power, *loan, tax])
    return flow, investment_returns(flow, rate=0.12, debt_rate=0.09, cover_from="2025-01-01")


def unusual(amounts, apart=365, **terms):
    days = [date(2025, 1, 1) + timedelta(days=apart * i) for i in range(len(amounts))]
    flow = CashFlow(dates=tuple(days), lines=(CashLine(label="x", group="operating", amounts=np.array(amounts)),))
    return flow, investment_returns(flow, rate=0.1, **terms)


CASES = {
    "project": project,
    "two roots": lambda: unusual([-100.0, 230.0, -132.0], days_per_year=365),
    "never back": lambda: unusual([0.0, -100.0, 20.0]),
    "only in": lambda: unusual([10.0, 20.0]),
    "one date": lambda: unusual([-5.0]),
}


def write(path, made, **changes):
    flow, returns = made
    write_cash_flow(path, flow.to_dict(), returns.to_dict(), **({"inputs": INPUTS, "about": ABOUT} | changes))
    return path


def recalculated(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library that recalculates, not ours
        import formulas

        cells = formulas.ExcelModel().loads(str(path)).finish().calculate()
    return lambda sheet, place: cells[f"'[{path.name}]{sheet.upper()}'!{place}"].value[0, 0]


def measures(sheet):
    return {row[0].value: row[2] for row in sheet.iter_rows() if row[2].value is not None}


@pytest.mark.parametrize("name", CASES)
def test_the_spreadsheet_recalculates_to_our_numbers(tmp_path, name):
    made = CASES[name]()
    path = write(tmp_path / "cash.xlsx", made)
    shown, stored = openpyxl.load_workbook(path), openpyxl.load_workbook(path, data_only=True)
    again = recalculated(path)
    seen = 0
    for row in shown["cash flow"].iter_rows():
        for cell in row:
            if cell.data_type != "f":
                continue
            seen += 1
            was, now = stored["cash flow"][cell.coordinate].value, again("cash flow", cell.coordinate)
            if was is None or isinstance(was, str):
                assert now == (was or ""), (row[0].value, cell.value)
            else:
                assert now == pytest.approx(was, rel=1e-6, abs=1e-9), (row[0].value, cell.value)
    assert seen > 20
    returns = made[1]
    cells = measures(shown["cash flow"])
    assert again("cash flow", cells["project: NPV"].coordinate) == pytest.approx(returns.project.npv_usd, rel=1e-9)
    assert again("cash flow", cells["equity: NPV"].coordinate) == pytest.approx(returns.equity.npv_usd, rel=1e-9)


def test_the_measures_of_a_project(tmp_path):
    flow, returns = project()
    path = write(tmp_path / "cash.xlsx", (flow, returns))
    cells, again = measures(openpyxl.load_workbook(path)["cash flow"]), recalculated(path)
    got = {label: again("cash flow", cell.coordinate) for label, cell in cells.items() if cell.data_type == "f"}
    for whose, want in (("project", returns.project), ("equity", returns.equity)):
        rates = [label for label in got if label.startswith(f"{whose}: IRR") and "NPV at" not in label]
        assert got[rates[-1]] == pytest.approx(want.irr.quoted, abs=1e-8)
        assert got[f"{whose}: MOIC"] == pytest.approx(want.moic)
        assert got[f"{whose}: payback"] == pytest.approx(want.payback_years)
        assert got[f"{whose}: discounted payback"] == pytest.approx(want.discounted_payback_years)
    assert got["least DSCR"] == pytest.approx(returns.least_dscr)
    assert got["LLCR"] == pytest.approx(returns.llcr)


def test_a_changed_rate_moves_the_value(tmp_path):
    """The numbers hang on the sheet "inputs": another discount rate gives what we compute with it."""
    flow, returns = project()
    path = write(tmp_path / "cash.xlsx", (flow, returns))
    book = openpyxl.load_workbook(path)
    book["inputs"]["B2"] = 0.2
    book.save(path)
    place = measures(book["cash flow"])["project: NPV"].coordinate
    want = investment_returns(flow, rate=0.2).project.npv_usd
    assert recalculated(path)("cash flow", place) == pytest.approx(want, rel=1e-9)


def test_the_sheets_say_what_they_are(tmp_path):
    book = openpyxl.load_workbook(write(tmp_path / "cash.xlsx", project()))
    assert book.sheetnames == ["inputs", "cash flow", "about"]
    inputs = [[cell.value for cell in row] for row in book["inputs"].iter_rows()]
    assert inputs[1][:3] == ["discount rate", 0.12, "per year, effective"]
    assert ["=cmd()", 0.06, "USD/kWh", 0.06, 0.06, "stated", "a tariff", "2025", "+1"] in inputs
    about = {row[0].value: row[1].value for row in book["about"].iter_rows()}
    assert about["made by"] == "gigawatt 1.2.3"
    assert about["seed"] == "7"
    assert book["cash flow"]["D1"].value.date() == date(2024, 1, 15)


def test_text_is_never_a_formula(tmp_path):
    book = openpyxl.load_workbook(write(tmp_path / "cash.xlsx", project()))
    for sheet in book:
        for cell in (cell for row in sheet.iter_rows() for cell in row):
            if isinstance(cell.value, str) and cell.value[:1] in "=+-@" and cell.value:
                ours = sheet.title == "cash flow" and cell.column > 2
                assert (cell.data_type == "f") == ours, (sheet.title, cell.coordinate, cell.value)


def test_the_csv_is_read_back(tmp_path):
    flow, returns = project()
    path = write(tmp_path / "cash.csv", (flow, returns))
    lines = path.read_text(encoding="utf-8").splitlines()
    assert all(line.startswith("# ") for line in lines[:4])
    assert "," not in "".join(line for line in lines if line.startswith("#"))
    frame = pd.read_csv(path, comment="#", index_col=0)
    assert frame.loc["equity"].iloc[2:].astype(float).to_numpy() == pytest.approx(flow.equity)
    assert frame.loc["'=servers", "total_usd"] == pytest.approx(-1000e6)
    assert list(frame)[2:] == [day.isoformat() for day in flow.dates]
    rows = list(csv.reader(io.StringIO("\n".join(line for line in lines if not line.startswith("#")))))
    assert not [row for row in rows if row[0][:1] in ("=", "+", "-", "@")]


def test_the_same_content_is_the_same_file(tmp_path):
    one, two = (write(tmp_path / name, project()).read_bytes() for name in ("a.xlsx", "b.xlsx"))
    assert one == two


def test_data_that_went_through_json_writes_the_same(tmp_path):
    flow, returns = project()
    data = json.loads(json.dumps([flow.to_dict(), returns.to_dict()], allow_nan=False))
    write_cash_flow(tmp_path / "a.xlsx", *data, inputs=INPUTS, about=ABOUT)
    assert (tmp_path / "a.xlsx").read_bytes() == write(tmp_path / "b.xlsx", (flow, returns)).read_bytes()


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"\.csv or \.xlsx"):
        check_cash_flow_target(tmp_path / "a.xls")
    with pytest.raises(InputError, match="another suffix"):
        write(tmp_path / "a.txt", project())
    with pytest.raises(OutputError, match="cannot write"):
        write(tmp_path / "nowhere" / "a.xlsx", project())
    with pytest.raises(ValueError, match="another cash flow"):
        write(tmp_path / "a.csv", (project()[0], unusual([1.0])[1]))
    assert list(tmp_path.iterdir()) == []


def test_a_table_too_wide_for_a_spreadsheet_is_refused(tmp_path):
    with pytest.raises(InputError, match="room for 16381 dates"):
        write(tmp_path / "a.xlsx", unusual([1.0] * 16_382, apart=1))
    assert list(tmp_path.iterdir()) == []


def test_columns():
    assert [column(i) for i in (0, 25, 26, 701, 702, 16_383)] == ["A", "Z", "AA", "ZZ", "AAA", "XFD"]
