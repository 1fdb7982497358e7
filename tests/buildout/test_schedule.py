"""The schedule against the closed form of models.md 14.7, against duality and against a search by hand."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.buildout import Goal, earliest, schedule
from gigawatt.errors import InfeasibleError

sys.path.insert(0, str(Path(__file__).parent))
from questions import ONE, YEAR, T, chip, money, offer, question, site, units

COMPUTE = Goal("compute", T - 1)


def test_capacity_is_the_least_of_the_limits():
    """models.md 14.7: chips, power over what one draws, hall, network."""
    found = schedule(question(sites=(site(limits={"hall": 70e6 * ONE, "network": 65e3 * ONE}),)), COMPUTE)
    chips = 10e3 * np.maximum(np.arange(1, T + 1) - 2, 0)
    power, hall, network = 100e6 / 1250, 70e6 / 1000, 65e3
    np.testing.assert_allclose(found.fleet, np.minimum(chips, min(power, hall, network)), rtol=1e-6)


def test_useful_work_is_the_fleet_times_what_one_does():
    found = schedule(question(), COMPUTE)
    mean = 0.5 * (found.fleet + np.concatenate(([0.0], found.fleet[:-1])))
    np.testing.assert_allclose(found.useful_flop, mean * 4e14 * found.question.calendar.length_s)
    table = found.to_frame()
    assert table["fleet"].tolist() == found.fleet.tolist()
    assert list(table["period"]) == found.question.calendar.labels
    assert found.worked(found.useful_flop[:6].sum()) == pytest.approx(found.question.calendar.edges_s[6])


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("supply of vendor", {}),
        ("lead time of vendor", {"offers": (offer(lead=T - 1),)}),
        ("launch of vendor", {"offers": (offer(first_delivery=T),)}),
        ("orders of vendor", {"offers": (offer(given=np.where(np.arange(T) == 0, 9e3, 0.0)),)}),
        ("power at Memphis", {"sites": (site(grid=1e6 * ONE),)}),
        ("cooling at Memphis", {"sites": (site(limits={"cooling": 1e6 * ONE}),)}),
        ("hall at Memphis", {"sites": (site(limits={"hall": 1e6 * ONE}),)}),
        ("network at Memphis", {"sites": (site(limits={"network": 2e3 * ONE}),)}),
        ("installation at Memphis", {"sites": (site(limits={"installation": 1e3 * ONE}),)}),
        ("cash", {"cash": money(cash_usd=2e8)}),
    ],
)
def test_what_binds_is_named(name, changed):
    found = schedule(question(**changed), COMPUTE, usd_per_flop=1e-18)
    main = found.bindings[T // 2][0]
    assert main.name == name
    assert 0.5 < main.share <= 1.0 + 1e-9
    assert main.usd_per_unit == pytest.approx(main.flop_per_unit * 1e-18)
    assert main.flop_per_unit > 0


def test_shares_add_up_and_the_value_of_power_is_that_of_what_it_feeds():
    found = schedule(question(sites=(site(grid=1e6 * ONE),)), COMPUTE)
    for t, bindings in enumerate(found.bindings):
        assert sum(b.share for b in bindings) == pytest.approx(1.0, abs=0.05)
        if bindings[0].kind == "power" and t < T - 1:
            # one W more at the end of a period feeds 1 / 1250 of an accelerator for half of it and half of the next
            half = 0.5 * (found.question.calendar.length_s[t] + found.question.calendar.length_s[t + 1])
            assert bindings[0].flop_per_unit == pytest.approx(4e14 * half / 1250, rel=2e-3)
            assert bindings[0].used == pytest.approx(1e6)


@st.composite
def questions(draw):
    def steps(low, high):
        return np.array(draw(st.lists(st.floats(low, high), min_size=T, max_size=T)))

    two = draw(st.booleans())
    sites = [site(grid=steps(0, 80e6), limits={"hall": steps(1e6, 80e6), "installation": steps(1e3, 2e4)})]
    if two:
        sites.append(site("Southaven", pue=1.1, grid=steps(0, 50e6), limits={"network": steps(0, 3e4)}))
    offers = [offer(supply=steps(0, 1e4), lead=draw(st.integers(0, 4)))]
    chips = [chip()]
    if draw(st.booleans()):
        chips.append(chip("B200", useful_flops=1e15, it_w=1500.0, mean_it_w=1300.0))
        offers.append(offer("other", chip="B200", supply=steps(0, 5e3), price_usd=60e3 * ONE, first_delivery=3))
    cash = money(cash_usd=draw(st.floats(1e7, 5e9)), funding_usd=steps(0, 3e8)) if draw(st.booleans()) else None
    return question(chips=tuple(chips), offers=tuple(offers), sites=tuple(sites), cash=cash)


def objective(asked):
    return schedule(asked, COMPUTE).solution.objective


@settings(max_examples=40, deadline=None)
@given(asked=questions())
def test_a_plan_keeps_every_limit(asked):
    found = schedule(asked, COMPUTE)
    for key, used in found.used.items():
        assert (used <= found.available[key] * (1 + 1e-6) + 1.0).all(), key
    for o, each in enumerate(asked.offers):
        assert (found.delivered[o] <= each.supply + 0.1).all()
        arrived = np.concatenate((np.zeros(each.lead), np.cumsum(found.orders[o])[: T - each.lead]))
        assert (np.cumsum(found.delivered[o]) <= arrived + 0.1).all()
    for c, kind in enumerate(asked.chips):
        mine = [o for o, each in enumerate(asked.offers) if each.chip == kind.name]
        total = np.cumsum(found.delivered[mine].sum(axis=0))
        assert (found.placed[c].sum(axis=0) <= total + 0.1).all()
        assert (found.service[c] <= found.placed[c] + 0.1).all()
    if asked.money is not None:
        assert (found.balance_usd >= -10.0).all()


@settings(max_examples=25, deadline=None)
@given(asked=questions(), t=st.integers(0, T - 1), kind=st.sampled_from(["power", "hall", "installation"]))
def test_duals_say_what_one_more_unit_is_worth(asked, t, kind):
    """The optimum is concave in a limit: one more unit is worth at most the dual, one less costs at least as much."""
    found = schedule(asked, COMPUTE)
    value = found.duals.limit("Memphis", kind)[t] / found.programme.unit_flop
    first = asked.sites[0]
    limit = first.grid if kind == "power" else first.limits[kind]
    step = 1e-3 * max(float(limit.max()), 1.0)

    def with_limit(change):
        moved = limit.copy()
        moved[t] = max(moved[t] + change, 0.0)
        new = replace(first, grid=moved) if kind == "power" else replace(first, limits={**first.limits, kind: moved})
        return objective(replace(asked, sites=(new, *asked.sites[1:]))), moved[t] - limit[t]

    best = found.solution.objective
    more, up = with_limit(step)
    less, down = with_limit(-step)
    slack = 5e-5 * max(abs(best), 1.0)  # duals are read a hair above the limits
    assert more - best <= value * up + slack
    assert best - less >= value * -down - slack
    assert more >= best - slack >= less - 2 * slack


@pytest.mark.parametrize("kind", ["power", "hall", "cash", "supply"])
def test_one_more_unit_solved_again(kind):
    """Where a limit binds by itself the dual is exactly what one more unit brings."""
    asked = {
        "power": question(sites=(site(grid=23e6 * ONE),)),
        "hall": question(sites=(site(limits={"hall": 23e6 * ONE}),)),
        "cash": question(cash=money(cash_usd=3e8)),
        "supply": question(sites=(site(grid=93e6 * ONE),)),
    }[kind]
    found = schedule(asked, COMPUTE)
    first, t = asked.sites[0], 5
    one = np.where(np.arange(T) == t, 1.0, 0.0)
    if kind == "power":
        dual, changed = (
            found.duals.limit("Memphis", "power")[t],
            replace(asked, sites=(replace(first, grid=first.grid + 1e3 * one),)),
        )
    elif kind == "hall":
        # what is placed stays, so only room from here to the end is of use
        dual = found.duals.limit("Memphis", "hall").sum()
        changed = replace(asked, sites=(replace(first, limits={"hall": first.limits["hall"] + 1e3}),))
    elif kind == "cash":
        dual, changed = found.duals.cash()[0], replace(asked, money=replace(asked.money, cash_usd=3e8 + 1e3))
    else:
        dual, changed = (
            found.duals.delivered(0)[t],
            replace(asked, offers=(replace(asked.offers[0], supply=asked.offers[0].supply + 1e3 * one),)),
        )
    brought = (objective(changed) - found.solution.objective) * found.programme.unit_flop
    assert dual > 0
    assert brought == pytest.approx(1e3 * dual, rel=2e-3)  # spending counts for a thousandth


def test_earliest_is_what_a_search_by_hand_finds():
    asked = question(sites=(site(limits={"installation": 8e3 * ONE}),))
    found = earliest(asked, fleet=40e3)
    by_hand = next(t for t in range(T) if schedule(asked, Goal("fleet", t)).fleet[t] >= 40e3 - 1)
    assert found.goal.by == by_hand
    assert found.fleet[by_hand] >= 40e3 - 1
    work = earliest(asked, flop=1e21 * 365.25)
    assert work.useful_flop[: work.goal.by + 1].sum() >= 1e21 * 365.25
    assert schedule(asked, Goal("compute", work.goal.by - 1)).useful_flop[: work.goal.by].sum() < 1e21 * 365.25


def test_what_cannot_be_reached_says_how_far_it_gets():
    with pytest.raises(
        InfeasibleError, match=r"100,000 of 200,000 accelerators are reached by the end of the plan in 2025-12"
    ):
        earliest(question(offers=(offer(lead=2),), sites=(site(grid=1e9 * ONE),)), fleet=200e3)
    with pytest.raises(ValueError, match="one of a fleet and an amount"):
        earliest(question())


def test_a_broken_floor_says_by_how_much_and_when():
    burn = np.full(T, 1e8)
    with pytest.raises(
        InfeasibleError, match=r"cash binds: what is committed leaves -.200 million in 2025-12"
    ) as caught:
        schedule(question(cash=money(cash_usd=1e9, burn_usd=burn)), COMPUTE)
    assert caught.value.remedy == "$200 million of funding by 2025-12"
    mended = money(cash_usd=1.2e9, burn_usd=burn)
    assert schedule(question(cash=mended), COMPUTE).balance_usd[-1] >= -10.0


def test_units_come_whole_after_their_lead_and_go():
    until = np.where(np.arange(T) < 9, 4.0, 0.0)
    asked = question(sites=(site(grid=10e6 * ONE, expansions=(units(most=until, keep_usd_per_s=0.01),)),))
    found = schedule(asked, COMPUTE)
    np.testing.assert_allclose(found.standing, np.round(found.standing), atol=1e-6)
    assert (found.standing[0, :3] == 0).all()
    assert found.standing[0].max() == 4
    assert (found.standing[0, 9:] == 0).all()
    assert "no more than 4 turbines may stand" in found.bindings[7][0].reason


def test_npv_buys_what_pays_and_nothing_else():
    def plan(worth):
        earning = chip(worth_usd_per_s=worth / 3600 * ONE, resale_usd=20e3)
        return schedule(question(chips=(earning,), cash=money(cash_usd=1e10)), Goal("npv", T - 1))

    assert plan(8.0).fleet[-1] > 1e4
    assert plan(0.1).fleet[-1] == pytest.approx(0.0, abs=1.0)


def test_debt_pays_interest():
    lent = money(cash_usd=1e8, debt_usd=1e9 * ONE, interest=0.1)
    found = schedule(question(cash=lent), COMPUTE)
    assert found.debt_usd.max() == pytest.approx(1e9, rel=1e-6)
    assert found.fleet[-1] > schedule(question(cash=money(cash_usd=1e8)), COMPUTE).fleet[-1]
    spent = sum(line for line in found.spending_usd.values())
    interest = 0.1 * np.concatenate(([0.0], found.debt_usd[:-1])) * found.question.calendar.length_s / YEAR
    change = np.diff(found.debt_usd, prepend=0.0)
    np.testing.assert_allclose(found.balance_usd, 1e8 + np.cumsum(change - interest - spent), atol=1e3)


@pytest.mark.parametrize("whole", [False, True])
def test_a_plan_without_its_limits_is_the_same_plan(whole):
    asked = question(
        sites=(site(grid=20e6 * ONE, expansions=(units(whole=whole, price_usd=1e7),)),), cash=money(cash_usd=1e9)
    )
    full, quick = schedule(asked, COMPUTE), schedule(asked, COMPUTE, limits=False)
    assert quick.useful_flop.sum() == pytest.approx(full.useful_flop.sum(), rel=1e-2 if whole else 1e-5)
    assert quick.bindings == ()
    assert np.isnan(quick.solution.dual).all()
    assert (quick.balance_usd >= -10.0).all()
    if whole:
        np.testing.assert_allclose(quick.bought, np.round(quick.bought), atol=1e-5)
    with pytest.raises(InfeasibleError, match="cash binds"):
        schedule(question(cash=money(cash_usd=1e9, burn_usd=1e8 * ONE)), COMPUTE, limits=False)


def test_bad_questions():
    with pytest.raises(ValueError, match="no chip of the plan"):
        question(offers=(offer(chip="MI300X"),))
    with pytest.raises(ValueError, match="the plan 12 periods"):
        question(sites=(site(grid=np.ones(3)),))
    with pytest.raises(ValueError, match="not finite"):
        question(sites=(site(grid=np.nan * ONE),))
