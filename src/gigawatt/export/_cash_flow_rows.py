"""The rows of a cash-flow sheet: visible formulas, each with the number it comes to.

Columns: A label, B group or unit, C total or measure, D onwards one per date. Row 1 holds the dates. `INPUT_ROWS` says
where the sheet "inputs" keeps what the formulas refer to. The measures are handed over; what is added up or multiplied
here only fills the cells for readers that do not recalculate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

FIRST_COLUMN = 3
GROUPS = ("operating", "investing", "tax", "financing")
INPUT_ROWS = {"discount rate": 2, "days per year": 3, "rate of the debt": 4, "debt cover counts from": 5}
# Half of the digits of a float: a balance this near to zero, against all that moved, is zero.
ROUNDING = 1e-12
LEAST_XIRR = -0.5
Value = float | str | None


@dataclass(frozen=True, slots=True)
class Cell:
    """A value, and the formula that it comes from ("" for what is typed in)."""

    value: Value = None
    formula: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: `kind` ("money", "ratio", "factor", "rate", "heading") is the number format."""

    label: str
    unit: str = ""
    total: Cell = Cell()
    cells: tuple[Cell, ...] = ()
    kind: str = "money"


def column(index: int) -> str:
    """Return the letters of a column counted from 0: 0 is A, 26 is AA."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def given(name: str) -> str:
    """Return the reference to an input."""
    return f"inputs!$B${INPUT_ROWS[name]}"


@dataclass(slots=True)
class _Table:
    """Rows as they come, and where each stands."""

    dates: int
    rows: list[Row] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self.numbers[row.label] = len(self.rows) + 1

    def span(self, name: str, start: int = 0) -> str:
        """Return the range of a row from date `start` on, rows and first column fixed."""
        number = self.numbers[name]
        return f"${column(FIRST_COLUMN + start)}${number}:${column(FIRST_COLUMN + self.dates - 1)}${number}"

    def at(self, name: str, index: int) -> str:
        return f"{column(FIRST_COLUMN + index)}{self.numbers[name]}"

    def each(
        self, label: str, unit: str, values: Sequence[Value], formula: Callable[[int], str], kind: str = "money"
    ) -> None:
        """Add a row of one formula per date, without a total."""
        cells = tuple(Cell(value, f"={formula(i)}") for i, value in enumerate(values))
        self.add(Row(label=label, unit=unit, cells=cells, kind=kind))

    def summed(self, label: str, values: Sequence[float], formula: Callable[[int], str]) -> None:
        """Add a row of money with its total."""
        self.each(label, "USD", values, formula)
        row = self.rows[-1]
        total = Cell(sum(values), f"=SUM({self.span(label)})")
        self.rows[-1] = Row(label=label, unit="USD", total=total, cells=row.cells)

    def measure(self, label: str, unit: str, value: Value, formula: str, kind: str = "ratio") -> None:
        self.add(Row(label=label, unit=unit, total=Cell(value, f"={formula}"), kind=kind))

    def heading(self, label: str) -> None:
        self.rows.append(Row(label=label, kind="heading"))


def cash_flow_rows(cash_flow: Mapping[str, Any], returns: Mapping[str, Any]) -> list[Row]:
    """Return the rows below the dates: lines, totals, factors, project, equity, debt cover."""
    table = _Table(dates=len(cash_flow["dates"]))
    _lines(table, cash_flow)
    table.heading("discounting")
    first = column(FIRST_COLUMN)
    table.each(
        "years from the first date",
        "year",
        returns["years"],
        lambda i: f"({column(FIRST_COLUMN + i)}$1-${first}$1)/{given('days per year')}",
        "factor",
    )
    for label, name, key in (
        ("discount factor", "discount rate", "discount_factors"),
        ("discount factor of the debt", "rate of the debt", "debt_discount_factors"),
    ):
        table.each(label, "", returns[key], _power(table, name), "factor")
    for whose in ("project", "equity"):
        _returns(table, whose, cash_flow[whose], returns)
    _cover(table, returns)
    return table.rows


def _power(table: _Table, rate: str) -> Callable[[int], str]:
    return lambda i: f"(1+{given(rate)})^(-{table.at('years from the first date', i)})"


def _lines(table: _Table, cash_flow: Mapping[str, Any]) -> None:
    """Add the lines, group by group, and under them the totals and the two nets."""
    ends: dict[str, tuple[int, int]] = {}
    for group in GROUPS:
        lines = [line for line in cash_flow["lines"] if line["group"] == group]
        start = len(table.rows) + 2
        for line in lines:
            label, amounts = line["label"], line["amounts"]
            table.rows.append(Row(label=label, unit=group, cells=tuple(map(Cell, amounts))))
            number = len(table.rows) + 1
            ends_at = column(FIRST_COLUMN + table.dates - 1)
            total = Cell(sum(amounts), f"=SUM({column(FIRST_COLUMN)}{number}:{ends_at}{number})")
            table.rows[-1] = Row(label=label, unit=group, total=total, cells=table.rows[-1].cells)
        if lines:
            ends[group] = (start, len(table.rows) + 1)
    table.heading("totals")
    for group in GROUPS:
        table.summed(f"total {group}", cash_flow["totals"][group], _sum_of(ends.get(group)))
    parts = ("total operating", "total investing", "total tax")
    table.summed("project", cash_flow["project"], lambda i: "+".join(table.at(part, i) for part in parts))
    table.summed("equity", cash_flow["equity"], lambda i: f"{table.at('project', i)}+{table.at('total financing', i)}")


def _sum_of(rows: tuple[int, int] | None) -> Callable[[int], str]:
    """Return the formula for the sum of a column between two rows; 0 for no rows."""
    if rows is None:
        return lambda _: "0"
    return lambda i: f"SUM({column(FIRST_COLUMN + i)}{rows[0]}:{column(FIRST_COLUMN + i)}{rows[1]})"


def _returns(table: _Table, whose: str, net: Sequence[float], returns: Mapping[str, Any]) -> None:
    """Add balance, present values and the measures of the project or of equity."""
    measures = returns[whose]
    balance, present = f"{whose}: balance", f"{whose}: present value"
    values = [amount * factor for amount, factor in zip(net, returns["discount_factors"], strict=True)]
    table.heading(whose)
    table.each(balance, "USD", list(accumulate(net)), _running(table, whose))
    table.summed(present, values, lambda i: f"{table.at(whose, i)}*{table.at('discount factor', i)}")
    table.each(f"{present}, balance", "USD", list(accumulate(values)), _running(table, present))
    table.measure(f"{whose}: NPV", "USD", measures["npv_usd"], f"SUM({table.span(present)})", "money")
    _internal_rates(table, whose, net, measures["irr"], returns["days_per_year"])
    span = table.span(whose)
    out, paid = f'SUMIF({span},">0")', f'SUMIF({span},"<0")'
    moic = measures["moic"]
    table.measure(f"{whose}: MOIC", "", "none" if moic is None else moic, f'IF({paid}=0,"none",{out}/-{paid})')
    _payback(table, f"{whose}: payback", whose, balance, measures["payback_years"], net)
    discounted = measures["discounted_payback_years"]
    _payback(table, f"{whose}: discounted payback", present, f"{present}, balance", discounted, values)


def _running(table: _Table, name: str) -> Callable[[int], str]:
    """Return the formula of a running sum: a range that grows, so that no cell needs its neighbour."""
    return lambda i: f"SUM(${table.at(name, 0)}:{table.at(name, i)})"


def _internal_rates(table: _Table, whose: str, net: Sequence[float], rates: Sequence[float], year: float) -> None:
    """Add two rows per internal rate: the rate, and the value at it over all that moves, which is zero.

    XIRR counts years of 365 days, so its rate is carried over to ours. Where it is known to fail (losses of more than
    half a year) the rate stands as a number.
    """
    if not rates:
        table.measure(f"{whose}: IRR", "per year", "none", '"none"')
        return
    start = next(i for i, amount in enumerate(net) if amount)  # some programs fail on a leading zero
    last = column(FIRST_COLUMN + table.dates - 1)
    dates = f"${column(FIRST_COLUMN + start)}$1:${last}$1"
    for index, rate in enumerate(rates):
        label = f"{whose}: IRR" + (f", root {index + 1} of {len(rates)}" if len(rates) > 1 else "")
        if rate < LEAST_XIRR:
            table.add(Row(label=label, unit="per year", total=Cell(rate), kind="rate"))
        else:
            guess = round((1.0 + rate) ** (365.0 / year) - 1.0, 2)
            xirr = f"(1+XIRR({table.span(whose, start)},{dates},{guess:g}))^({given('days per year')}/365)-1"
            table.measure(label, "per year", rate, xirr, "rate")
        years = table.span("years from the first date")
        factors = f"(1+$C${table.numbers[label]})^(-{years})"
        check = f"SUMPRODUCT({table.span(whose)},{factors})/SUMPRODUCT(ABS({table.span(whose)}),{factors})"
        table.measure(f"{label}: NPV at that rate, share of what moves", "", 0.0, check, "factor")


def _payback(
    table: _Table, label: str, flow: str, balance: str, answer: float | None, amounts: Sequence[float]
) -> None:
    """Add the date, in years, from which on the balance is not below zero: a row that marks it, and its answer."""
    zero = f"{label}: balance that counts as zero"
    small = ROUNDING * sum(map(abs, amounts))
    table.measure(zero, "USD", small, f"{ROUNDING:g}*SUMPRODUCT(ABS({table.span(flow)}))", "factor")
    tiny = f"$C${table.numbers[zero]}"
    balances = list(accumulate(amounts))
    mark = f"{label}: reached"
    least = list(accumulate(reversed(balances), min))[::-1]
    reached = [low >= -small and (i == 0 or balances[i - 1] < -small) for i, low in enumerate(least)]

    def formula(i: int) -> str:
        rest = f"MIN({table.at(balance, i)}:${column(FIRST_COLUMN + table.dates - 1)}{table.numbers[balance]})>=-{tiny}"
        now, at = table.at(balance, i), table.at("years from the first date", i)
        if i == 0:
            return f'IF({rest},{at},"")'
        before, was = table.at(balance, i - 1), table.at("years from the first date", i - 1)
        return f'IF(AND({rest},{before}<-{tiny}),{was}+MIN(1,-{before}/({now}-{before}))*({at}-{was}),"")'

    table.each(mark, "year", [answer if hit else "" for hit in reached], formula, "factor")
    span = table.span(mark)
    value = "never" if answer is None else answer
    table.measure(label, "year", value, f'IF(COUNT({span})=0,"never",MIN({span}))', "factor")


def _cover(table: _Table, returns: Mapping[str, Any]) -> None:
    """Add debt service, cash available for it, DSCR and LLCR."""
    rows = [i + 2 for i, row in enumerate(table.rows) if row.unit == "financing"]
    table.heading("debt cover")

    from_then_on = f"$1>={given('debt cover counts from')}"
    due, cash, since = "debt service", "cash available for debt service", "cash since the last debt service"

    def service(i: int) -> str:
        letters = column(FIRST_COLUMN + i)
        paid = f'-SUMIF({letters}{rows[0]}:{letters}{rows[-1]},"<0")' if rows else "0"
        return f"IF({letters}{from_then_on},{paid},0)"

    def available(i: int) -> str:
        earned = f"{table.at('total operating', i)}+{table.at('total tax', i)}"
        return f"IF({column(FIRST_COLUMN + i)}{from_then_on},{earned},0)"

    def gathered(i: int) -> str:
        number = len(table.rows) + 2
        before = f"+IF({table.at(due, i - 1)}>0,0,{column(FIRST_COLUMN + i - 1)}{number})" if i else ""
        return table.at(cash, i) + before

    table.summed(cash, returns["available"], available)
    table.summed(due, returns["service"], service)
    table.each(since, "USD", _since_last(returns["available"], returns["service"]), gathered)
    dscr = ["" if x is None else x for x in returns["dscr"]]
    table.each(
        "DSCR", "", dscr, lambda i: f'IF({table.at(due, i)}>0,{table.at(since, i)}/{table.at(due, i)},"")', "ratio"
    )
    owed = [i for i, amount in enumerate(returns["service"]) if amount > 0]
    end = f"${column(FIRST_COLUMN + table.dates - 1)}{table.numbers[due]}"
    table.each(
        "life of the debt (1: not over)",
        "",
        [float(bool(owed) and i <= owed[-1]) for i in range(table.dates)],
        lambda i: f"IF(SUM({table.at(due, i)}:{end})>0,1,0)",
        "factor",
    )
    span, least, llcr = table.span("DSCR"), returns["least_dscr"], returns["llcr"]
    table.measure("least DSCR", "", "none" if least is None else least, f'IF(COUNT({span})=0,"none",MIN({span}))')
    weights = table.span("discount factor of the debt")
    worth = f"SUMPRODUCT({table.span(cash)},{table.span('life of the debt (1: not over)')},{weights})"
    owing = f"SUMPRODUCT({table.span(due)},{weights})"
    table.measure("LLCR", "", "none" if llcr is None else llcr, f'IF({owing}=0,"none",{worth}/{owing})')


def _since_last(available: Sequence[float], service: Sequence[float]) -> list[float]:
    """Return the cash gathered since the date after the last debt service, up to and with each date."""
    gathered, total = [], 0.0
    for cash, due in zip(available, service, strict=True):
        total += cash
        gathered.append(total)
        if due > 0:
            total = 0.0
    return gathered
