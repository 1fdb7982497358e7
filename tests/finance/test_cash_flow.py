"""Cash flows by line and date, and the contract terms that they come from."""

import json
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatt.finance import (
    GROUPS,
    CashFlow,
    CashLine,
    Payments,
    cancelled,
    curtailment,
    demand_charge,
    income_tax,
    lease,
    month_after,
    opposite,
    prepayment,
    purchase,
    repairs,
    take_or_pay,
    term_loan,
)

YEARS = tuple(date(2025 + i, 1, 1) for i in range(4))
MONEY = st.floats(-1e9, 1e9).map(lambda x: round(x, 2))


def small():
    return CashFlow(
        dates=YEARS,
        lines=(
            CashLine(label="servers", group="investing", amounts=np.array([-100.0, 0, 0, 10])),
            CashLine(label="revenue", group="operating", amounts=np.array([0.0, 60, 60, 60])),
            CashLine(label="energy", group="operating", amounts=np.array([0.0, -10, -10, -10])),
            CashLine(label="debt", group="financing", amounts=np.array([50.0, -20, -20, -20])),
        ),
    )


def test_totals_balance_and_least_balance():
    flow = small()
    assert flow.total("operating").tolist() == [0, 50, 50, 50]
    assert flow.total("tax").tolist() == [0, 0, 0, 0]
    assert flow.project.tolist() == [-100, 50, 50, 60]
    assert flow.equity.tolist() == [-50, 30, 30, 40]
    assert flow.cumulative.tolist() == [-50, -20, 10, 50]
    assert flow.least_balance == (YEARS[0], -50)
    assert [flow.line("energy").amounts[1], flow.line("debt").group] == [-10, "financing"]


@given(
    rate=st.floats(-0.5, 2),
    rows=st.lists(st.tuples(st.sampled_from(GROUPS), st.lists(MONEY, min_size=4, max_size=4)), min_size=1, max_size=8),
)
def test_the_present_value_is_the_sum_of_its_lines(rate, rows):
    lines = [CashLine(label=f"{i}", group=group, amounts=np.array(a)) for i, (group, a) in enumerate(rows)]
    flow = CashFlow(dates=YEARS, lines=tuple(lines))
    tree = flow.present_value(rate, groups=GROUPS)
    years = np.array([(day - YEARS[0]).days / 365.25 for day in YEARS])
    terms = flow.equity / (1 + rate) ** years
    leaves = [node.value for _, node in tree.walk() if not node.children]
    scale = sum(float(np.abs(line.amounts / (1 + rate) ** years).sum()) for line in lines)
    assert tree.value == pytest.approx(terms.sum(), rel=1e-9, abs=1e-9 * scale)
    assert sum(leaves) == pytest.approx(tree.value, rel=1e-9, abs=1e-9 * scale)


def test_the_present_value_of_the_project_leaves_debt_out():
    assert small().present_value(0.0).value == 60
    assert {child.label for child in small().present_value(0.1).children} == {"operating", "investing"}


def test_payments_become_a_table_without_moving():
    flow = CashFlow.of([Payments.of("a", "operating", [("2025-03-01", 5), ("2025-01-15", 1), ("2025-03-01", 2)])])
    assert flow.dates == (date(2025, 1, 15), date(2025, 3, 1))
    assert flow.line("a").amounts.tolist() == [1, 7]


def test_payments_stand_at_the_start_of_their_period():
    paid = [Payments.of("a", "operating", [("2025-03-31", 5), ("2026-02-01", 1)])]
    flow = CashFlow.of(paid, dates=["2025-01-01", "2026-01-01"])
    assert flow.line("a").amounts.tolist() == [5, 1]
    with pytest.raises(ValueError, match="before the first date"):
        CashFlow.of(paid, dates=["2025-04-01"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CashFlow(dates=(), lines=()), "ascend"),
        (lambda: CashFlow(dates=YEARS[::-1], lines=()), "ascend"),
        (lambda: CashFlow(dates=YEARS, lines=(small().lines[0],) * 2), "more than one line 'servers'"),
        (lambda: CashFlow(dates=YEARS[:2], lines=small().lines), "4 amounts for 2 dates"),
        (lambda: CashLine(label="a", group="other", amounts=np.zeros(2)), "allowed: operating"),
        (lambda: CashLine(label="a", group="tax", amounts=np.array([np.nan])), "finite"),
        (lambda: small().line("x"), "no line 'x'; it has servers"),
        (lambda: small().total("x"), "allowed"),
        (lambda: CashFlow.of([Payments.of("a", "tax", [("2025-01-01", 1)]), Payments.of("a", "operating", [("2025-01-01", 1)])]), "two groups"),
        (lambda: Payments(label="a", group="tax", days=YEARS, amounts=(1.0,)), "4 days and 1 amounts"),
        (lambda: Payments.of("a", "tax", [("2025-01-01", float("inf"))]), "not finite"),
        (lambda: Payments.of("a", "tax", [("2025-13-01", 1)]), "month"),
    ],
)  # fmt: skip
def test_wrong_tables_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_table_goes_through_json_and_into_a_frame():
    data = json.loads(json.dumps(small().to_dict()))
    back = CashFlow.from_dict(data)
    assert back.to_dict() == small().to_dict()
    assert data["least_balance"] == {"date": "2025-01-01", "usd": -50.0}
    frame = small().to_frame()
    assert frame["project"].tolist() == small().project.tolist()
    assert frame.index[0].isoformat() == "2025-01-01T00:00:00"
    assert len(small().plus(CashLine(label="x", group="tax", amounts=np.zeros(4))).lines) == 5


def test_amounts_cannot_be_changed_afterwards():
    amounts = np.zeros(4)
    line = CashLine(label="a", group="tax", amounts=amounts)
    amounts[0] = 1
    assert line.amounts[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        line.amounts[0] = 1


def test_months():
    assert month_after("2024-01-31", 1) == date(2024, 2, 29)
    assert month_after("2024-12-15", 1) == date(2025, 1, 15)
    assert month_after("2024-11-30", 15) == date(2026, 2, 28)
    assert month_after("2024-11-05", 1) == date(2024, 12, 5)


def test_purchase_deposit_milestones_rest():
    bought = purchase(
        "chips", 1000, ordered="2025-01-01", delivered="2025-09-01", deposit_share=0.3, milestones=[("2025-05-01", 0.5)]
    )
    assert bought.amounts == pytest.approx((-300, -500, -200))
    assert [day.month for day in bought.days] == [1, 5, 9]
    with pytest.raises(ValueError, match="shares"):
        purchase("chips", 1, ordered="2025-01-01", delivered="2025-02-01", deposit_share=1.2)
    with pytest.raises(ValueError, match="before its order"):
        purchase("chips", 1, ordered="2025-03-01", delivered="2025-02-01")


@given(price=st.floats(0, 1e12), shares=st.lists(st.floats(0, 0.2), max_size=5))
def test_a_purchase_pays_its_price(price, shares):
    stones = [(f"2025-0{i + 2}-01", share) for i, share in enumerate(shares[1:])]
    bought = purchase(
        "x", price, ordered="2025-01-01", delivered="2026-01-01", deposit_share=sum(shares[:1]), milestones=stones
    )
    assert bought.total == pytest.approx(-price, rel=1e-12)


def test_cancelled_keeps_what_was_paid_less_the_refund():
    bought = purchase("chips", 1000, ordered="2025-01-01", delivered="2025-09-01", deposit_share=0.3)
    gone = cancelled(bought, on="2025-06-01", fee_usd=20, refund_share=0.5)
    assert gone.amounts == pytest.approx((-300, 130))
    assert opposite(gone).total == 170


def test_take_or_pay_and_demand_charge():
    days = ["2025-01-01", "2025-02-01"]
    assert take_or_pay("power", days, [60, 120], 100, 0.05, least_share=0.8).amounts == pytest.approx((-4, -6))
    charge = demand_charge(
        "peak", ["2025-01-01", "2025-02-01", "2025-03-01"], [100, 40, 10], 2.0, ratchet=0.8, window=2, least_w=20
    )
    assert charge.amounts == pytest.approx((-200, -160, -64))


def test_lease_pays_ahead_and_returns_the_deposit():
    paid = lease("hall", start="2025-01-31", months=24, usd_per_month=100, deposit_usd=50, escalation_per_year=0.1)
    assert paid.total == pytest.approx(-1200 * 2.1)
    flow = CashFlow.of([paid])
    assert flow.line("hall").amounts[[0, 11, 12, 24]].tolist() == pytest.approx([-150, -100, -110, 50])
    with pytest.raises(ValueError, match="one month"):
        lease("hall", start="2025-01-01", months=0, usd_per_month=1)


def test_prepayment_is_credited_until_it_is_used_up():
    days = ["2025-02-01", "2025-03-01"]
    assert prepayment("supply", paid="2025-01-01", usd=100, days=days, bills=[70, 70]).amounts == (-100, 70, 30)
    assert prepayment("supply", paid="2025-01-01", usd=100, days=days, bills=[20, 20]).total == -60
    with pytest.raises(ValueError, match="before it is paid"):
        prepayment("supply", paid="2025-02-15", usd=100, days=days, bills=[70, 70])


def test_curtailment_and_repairs():
    assert curtailment(
        "grid", ["2025-12-31"], 87 * 3600, 1000 / 3600, credit_usd_per_s=200 / 3600
    ).total == pytest.approx(-69_600)
    out = repairs(
        "RMA",
        ["2025-12-31", "2026-12-31"],
        10,
        return_s=14 * 86400,
        contribution_usd_per_s=48 / 86400,
        warranty_until="2026-01-01",
        replacement_usd=1000,
    )
    assert out.amounts == pytest.approx((-6720, -16_720))
    with pytest.raises(ValueError, match="finite"):
        curtailment("grid", ["2025-12-31"], float("nan"), 1.0)


@given(
    rate=st.floats(0, 0.4),
    level=st.sampled_from(["payment", "principal"]),
    first=st.floats(0.1, 1e9),
    second=st.floats(0, 1e9),
)
def test_the_service_of_a_loan_is_worth_the_debt(rate, level, first, second):
    drawn = [("2025-01-01", first), ("2025-07-01", second)]
    days = [month_after("2025-10-01", 3 * i) for i in range(20)]
    flow = CashFlow.of(term_loan("loan", drawn=drawn, days=days, rate=rate, level=level))
    value = flow.present_value(rate, groups=["financing"])
    assert value.value == pytest.approx(0, abs=1e-9 * (first + second))
    assert flow.line("loan: interest").amounts.max() <= 1e-9 * (first + second)


def test_a_loan_of_five_level_payments():
    days = [date(2026 + i, 1, 1) for i in range(5)]
    _, interest, principal = term_loan("l", drawn=[("2025-01-01", 1000)], days=days, rate=0.1)
    paid = np.array(interest.amounts) + np.array(principal.amounts)
    assert paid == pytest.approx(-263.8, rel=1e-3)
    assert np.ptp(paid) < 1e-9
    assert -principal.total == pytest.approx(1000)
    with pytest.raises(ValueError, match="before the first date"):
        term_loan("l", drawn=[("2025-01-01", 1)], days=["2025-01-01"], rate=0.1)
    with pytest.raises(ValueError, match="level"):
        term_loan("l", drawn=[("2025-01-01", 1)], days=days, rate=0.1, level="x")


def test_tax_carries_losses_forward():
    income = [Payments.of("profit", "operating", [("2025-06-01", 40), ("2026-06-01", 100)])]
    tax = income_tax("tax", rate=0.21, income=income, depreciation={2025: 100.0})
    assert tax.amounts == pytest.approx((0, -8.4))
    assert tax.days[1] == date(2026, 12, 31)
    limited = income_tax("tax", rate=0.21, income=income, depreciation={2025: 200.0}, loss_use_share=0.8)
    assert limited.amounts == pytest.approx((0, -0.21 * 20))
