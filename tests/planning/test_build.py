"""From a scenario to its build-out: the packaged cases, the laws that every plan keeps, money, and what is refused."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from gigawatt import buildout
from gigawatt.errors import InputError
from gigawatt.planning import _build_goal, _build_nearer, build_scenario
from gigawatt.planning._build_chips import MONTH_S
from gigawatt.planning._build_inputs import build_case
from gigawatt.scenario import load_scenario, scenario_from_mapping

ROOT = Path(__file__).parents[2]
SMALL = ROOT / "tests" / "data" / "build-small.yaml"
EXAMPLES = ("memphis-2024", "gigawatt-2026", "rush-order", "alliance", "two-vendors", "million")
YEAR = 365.25 * 86_400.0


@cache
def example(name):
    return build_scenario(load_scenario(ROOT / "examples" / f"{name}.yaml"), samples=0, levers=False)


@cache
def small(*settings):
    return build_scenario(load_scenario(SMALL, settings), samples=0, levers=False)


REPORTS = pytest.mark.parametrize(
    "report", [lambda n=n: example(n) for n in EXAMPLES] + [small], ids=[*EXAMPLES, "small"]
)


# laws
@REPORTS
def test_nothing_runs_that_has_not_come(report):
    plan = report().plan
    for c, chip in enumerate(plan.question.chips):
        offers = [o for o, offer in enumerate(plan.question.offers) if offer.chip == chip.name]
        came = np.cumsum(plan.delivered[offers].sum(axis=0))
        assert (plan.placed[c].sum(axis=0) + plan.stock[c] <= came + 1.0).all()
        assert (plan.service[c] <= plan.placed[c] + 1e-3).all()
    for o, offer in enumerate(plan.question.offers):
        assert plan.delivered[o].sum() <= plan.orders[o].sum() + offer.before + 1.0
        assert (plan.delivered[o][: offer.first_delivery] == 0).all()
    assert plan.fleet.max() > 1000


@REPORTS
def test_no_limit_is_passed(report):
    plan = report().plan
    assert any(kind == "power" for _, kind in plan.used)
    for (site, kind), used in plan.used.items():
        assert (used <= plan.available[site, kind] * (1 + 1e-6) + 1.0).all(), (site, kind)
    for j, (site, source) in enumerate(plan.programme.sources):
        if source == "grid":
            assert (plan.energy_w[j] <= site.grid * (1 + 2e-4) + 2e3).all()
    for s, site in enumerate(plan.question.sites):
        sources = [j for j, (where, _) in enumerate(plan.programme.sources) if where is site]
        service = plan.service[:, s]
        mean = 0.5 * (service + np.concatenate((np.zeros((len(service), 1)), service[:, :-1]), axis=1))
        drawn = sum(chip.mean_it_w * site.pue * mean[c] for c, chip in enumerate(plan.question.chips))
        np.testing.assert_allclose(plan.energy_w[sources].sum(axis=0), drawn, rtol=1e-6, atol=10.0)


@REPORTS
def test_cash_stays_above_its_floor_and_its_lines_explain_it(report):
    report = report()
    plan, money = report.plan, report.plan.question.money
    if money is None:
        assert np.isnan(plan.balance_usd).all()
        return
    assert (plan.balance_usd >= money.floor_usd - 10.0).all()
    lines = sum(
        line.amounts for line in report.cash_flow.lines if not line.label.startswith(("worth of", "debt still owed"))
    )
    change = np.diff(plan.balance_usd, prepend=money.cash_usd)
    count = len(lines)
    np.testing.assert_allclose(lines + money.funding_usd[:count], change[:count], rtol=1e-6, atol=5e3)


@REPORTS
def test_what_limits_is_named_and_a_report_is_plain_data(report):
    report = report()
    for found in report.plan.bindings:
        for binding in found:
            assert binding.share > 0
            assert binding.name
            assert binding.reason or binding.kind not in ("power", "cooling")
        assert sum(binding.share for binding in found) <= 1 + 1e-9
    data = report.to_dict()
    assert len(data["fleet"]) == report.plan.question.calendar.periods
    assert len(data["binding"]) == len(data["fleet"])


@REPORTS
def test_the_run_on_the_fleet_as_it_grows(report):
    """By how much an accelerator does less in a larger fleet than in the reference is how much later the run is done."""
    run, plan = report().run, report().plan
    assert run.sizes == tuple(sorted(run.sizes))
    assert len(run.sizes) == len(run.efficiency) > 0
    assert min(run.efficiency) > 0
    assert min(run.efficiency) <= run.done_flop / plan.useful_flop.sum() <= max(run.efficiency)
    if max(run.efficiency) <= 1:
        assert run.done_s >= plan.worked(run.flop)


def test_a_fleet_above_the_reference_ends_the_run_later():
    sized = ("build.reference_fleet=2000", "build.chips.0.per_month=4000", "model=Llama 3 70B", "build.goal=compute")
    long = ("build.sites.0.installation.0.accelerators=20000", "build.money.cash=$3 billion")
    report = small(*sized, *long, "training.tokens=15T tokens")
    assert min(report.run.efficiency) < 0.9
    assert np.isfinite(report.run.done_s)
    assert report.run.done_s > report.plan.worked(report.run.flop)


def test_the_reference_of_an_order_by_amount_is_what_it_buys():
    report = example("rush-order")
    assert report.plan.fleet.max() == pytest.approx(report.rush[0].found.order.units)
    assert report.run.efficiency[-1] == pytest.approx(1.0, rel=0.02)


# cases
def test_memphis_waits_for_chips_then_for_power():
    """Outcomes that were reported: 100,000 H100 in late 2024, held up by power until turbines and the grid came."""
    plan = example("memphis-2024").plan
    calendar = plan.question.calendar
    first = {calendar.label(t): found[0] for t, found in enumerate(plan.bindings) if found}
    summer = {day: each.kind for day, each in first.items() if "2024-05-06" <= day <= "2024-08-12"}
    assert set(summer.values()) == {"supply"}
    autumn = [each for day, each in first.items() if "2024-09" <= day < "2024-11"]
    assert {each.name for each in autumn} == {"power at Memphis"}
    assert "no more than 14 mobile generators may stand" in autumn[0].reason
    assert "no turbines may stand before 2024-11" in autumn[0].reason
    assert {day[:7] for day, each in first.items() if each.kind == "power" and day < "2025"} <= {
        "2024-08",
        "2024-09",
        "2024-10",
        "2024-11",
    }
    h100 = [o for o, offer in enumerate(plan.question.offers) if offer.chip.startswith("H100")]
    came = np.cumsum(plan.delivered[h100].sum(axis=0))
    day = calendar.label(int(np.argmax(came >= 100_000)))
    assert "2024-08" <= day < "2025-04"
    assert first["2024-06-03"].name == "supply of H100 SXM"


def test_a_premium_is_never_later():
    report = example("rush-order")
    (rush,) = report.rush
    found = rush.found
    assert (np.cumsum(found.with_premium.units) >= np.cumsum(found.without.units) - 1e-6).all()
    assert (found.with_premium.by_sample_last <= found.without.by_sample_last).all()
    assert found.with_premium.last <= found.without.last
    assert found.with_premium.mean_wait_s <= found.without.mean_wait_s
    assert found.order.units == pytest.approx(1.08e9 / report.plan.question.offers[0].price_usd[0], abs=1.0)
    paid = load_scenario(ROOT / "examples" / "rush-order.yaml", ["build.chips.0.premium=0 %"])
    assert build_scenario(paid, samples=0, levers=False).rush == ()


def test_more_money_adds_at_least_as_much_and_all_of_it_has_an_owner():
    ten, fifty = example("alliance").funds
    assert (ten.usd, fifty.usd) == (10e9, 50e9)
    total = [np.cumsum(list(fund.extra_chips.values())) for fund in (ten, fifty)]
    assert (total[1] >= total[0] * (1 - 1e-9)).all()
    for fund in (ten, fifty):
        assert sum(fund.gainers.values()) == pytest.approx(sum(fund.extra_chips.values()), rel=1e-6)
        assert fund.gainers[fund.name] == pytest.approx(0.6 * sum(fund.extra_chips.values()), rel=1e-6)
        assert sum(fund.split.usd.values()) + fund.split.unused_usd == pytest.approx(fund.usd)
        assert fund.extra_chips["2025"] == 0.0  # nothing is built at once
        assert list(fund.tokens_per_year.values()) == sorted(fund.tokens_per_year.values())


def test_a_second_vendor_is_never_worth_less_than_nothing():
    alone = load_scenario(ROOT / "examples" / "two-vendors.yaml", ["build.chips.1.most=1", "build.chips.2.most=1"])
    one = build_scenario(alone, samples=0, levers=False)
    assert example("two-vendors").plan.useful_flop.sum() >= one.plan.useful_flop.sum() * (1 - 1e-3)


def test_a_million_is_reached_and_no_earlier():
    report = example("million")
    plan = report.plan
    by = plan.goal.by
    assert plan.fleet[by] >= 1e6 * (1 - 1e-6)
    assert buildout.schedule(plan.question, buildout.Goal("fleet", by - 1)).fleet[by - 1] < 1e6
    assert plan.question.calendar.edges_s[by] <= report.reached_s <= plan.question.calendar.edges_s[by + 1]


# what would bring it nearer
def test_levers_bring_the_date_forward_by_a_month_and_less_does_not():
    case = build_case(load_scenario(SMALL))
    plan = _build_goal.plan_of(case)
    date_s = plan.reached(12_000.0)
    first = {(b.kind, b.where): t for t in reversed(range(plan.goal.by + 1)) for b in plan.bindings[t]}
    levers = _build_nearer.nearer(case, plan)
    assert levers
    for lever in levers:
        (kind, where), start = next(
            (key, t)
            for key, t in first.items()
            for b in plan.bindings[t]
            if b.name == lever.name and key == (b.kind, b.where)
        )

        def reached(amount, kind=kind, where=where, start=start):
            return _build_goal.plan_of(
                case, _build_nearer._widened(case.question, kind, where, start, amount, plan.goal.by)
            ).reached(12_000.0)

        assert reached(lever.amount) <= date_s - MONTH_S, lever.name
        assert reached(0.9 * lever.amount) > date_s - MONTH_S, lever.name
        assert lever.amount > 0


# money
def tiny(**changed):
    build = {
        "from": "2024-06",
        "months": 12,
        "goal": "compute",
        "reference_fleet": 1000,
        "chips": [
            {
                "accelerator": "H100 SXM",
                "per_month": 1000,
                "price": "$30000",
                "lead_time": "91 days",
                "deposit": "40 %",
                "orders": [{"date": "2024-07", "count": 1000}],
            }
        ],
        "sites": [
            {
                "name": "North",
                "grid": [{"from": "2024-06", "limit": "10 MW"}],
                "electricity_price": "$0.05/kWh",
                "rent": "$1 million/year",
            }
        ],
        **changed,
    }
    data = {"model": "Llama 3 8B", "training": {"global_batch": "256 sequences"}, "site": {"cooling": "liquid"}}
    return scenario_from_mapping({**data, "build": build}, name="tiny", folder=Path())


def test_levelised_cost_by_hand():
    """1,000 accelerators ordered in July, delivered and running from the end of October."""
    report = build_scenario(tiny(), samples=0, levers=False)
    plan = report.plan
    chip, offer = plan.question.chips[0], plan.question.offers[0]
    np.testing.assert_allclose(plan.fleet, [0] * 4 + [1000] * 8, atol=1e-3)
    days = np.array([30, 31, 31, 30, 31, 30, 31, 31, 28, 31, 30, 31])
    length = days * 86_400.0
    discounted = (1.0 + report.levelised.rate) ** (-np.concatenate(([0], np.cumsum(days)[:-1])) / 365.25)
    mean = np.array([0] * 4 + [500] + [1000] * 7)
    cost = 1e6 / YEAR * length
    cost += chip.upkeep_usd_per_s * mean * length
    cost += 0.05 / 3.6e6 * chip.mean_it_w * report.case.question.sites[0].pue * mean * length
    cost[1] += 0.4 * 1000 * offer.price_usd[1]
    cost[4] += 0.6 * 1000 * offer.price_usd[1]
    cost[-1] -= 1000 * chip.resale_usd
    hours = mean * length / 3600.0
    assert offer.price_usd[1] > 30e3  # server and network come on top
    assert report.levelised.usd_per_unit == pytest.approx(
        float(cost @ discounted) / float(hours @ discounted), rel=1e-6
    )


def test_an_amount_buys_what_its_price_says():
    orders = {"accelerator": "H100 SXM", "per_month": 1000, "orders": [{"date": "2024-07", "amount": "$40 million"}]}
    report = build_scenario(tiny(chips=[orders]), samples=0, levers=False)
    price = report.plan.question.offers[0].price_usd[1]
    assert report.plan.orders[0].sum() == pytest.approx(int(40e6 / price))


def test_an_order_before_the_plan_is_delivered_in_it():
    orders = {"accelerator": "H100 SXM", "per_month": 300, "orders": [{"date": "2024-02", "count": 1000}]}
    report = build_scenario(tiny(chips=[orders]), samples=0, levers=False)
    assert report.plan.delivered[0].sum() == pytest.approx(1000)
    assert report.plan.orders[0].sum() == 0


# what is refused
BASE = """name: bad
model: Llama 3 8B
training: {global_batch: 256 sequences}
build:
  from: 2024-06
  months: 12
  reference_fleet: 1000
"""
CHIP = "  chips:\n    - {accelerator: H100 SXM, per_month: 100}\n"
SITE = "  sites:\n    - {name: North, grid: [{from: 2024-06, limit: 10 MW}]}\n"


@pytest.mark.parametrize(
    ("line", "text", "said"),
    [
        (
            11,
            "  chips:\n    - accelerator: GB200\n      orders:\n        - {date: 2021-01, count: 10}\n" + SITE,
            "before the product exists",
        ),
        (
            11,
            "  chips:\n    - accelerator: H100 SXM\n      orders:\n"
            "        - {date: 2024-07, count: 10, amount: $1 million}\n" + SITE,
            "how much is ordered",
        ),
        (
            11,
            "  chips:\n    - accelerator: H100 SXM\n      orders:\n        - {date: 2026-07, count: 10}\n" + SITE,
            "after the end of the plan",
        ),
        (11, CHIP + "  sites:\n    - name: North\n      template: retrofit\n", "how large is what is built"),
        (
            14,
            CHIP + "  sites:\n    - name: North\n      template: retrofit\n      size: 20 MW\n"
            "      in_hand: [golden_gate]\n",
            "golden_gate",
        ),
        (
            13,
            "  chips:\n    - {accelerator: Trainium3, per_month: 100, price: $8000}\n"
            + SITE
            + "  funds:\n    - {name: alliance, amount: $1 billion, date: 2024-06, accelerator: Trainium3}\n",
            "no supply chain is known",
        ),
        (8, "  goal: fleet\n" + CHIP + SITE, "a fleet of how many"),
        (8, "  by: 2026-01\n" + CHIP + SITE, "a date outside the plan"),
        (9, "  chips:\n    - {accelerator: Trainium3, price: $8000}\n" + SITE, "can be had"),
        (
            13,
            CHIP + "  sites:\n    - name: North\n      grid: [{from: 2024-06, limit: 10 MW}]\n"
            "      units: [{name: turbines, most: 2}]\n",
            "how much does one unit add",
        ),
        (
            12,
            CHIP + SITE + "    - {name: North, grid: [{from: 2024-06, limit: 10 MW}]}\n",
            "the name stands twice",
        ),
    ],
)
def test_a_mistake_is_said_once_with_its_place(tmp_path, line, text, said):
    path = tmp_path / "bad.yaml"
    path.write_text(BASE + text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        build_scenario(load_scenario(path), samples=0, levers=False)
    (problem,) = caught.value.problems
    assert said in str(problem)
    assert f"bad.yaml:{line}" in problem.location
    assert problem.allowed or problem.nearest
    assert problem.path.startswith("build")
