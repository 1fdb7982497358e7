"""A plan under delays: what is drawn, and that no plan is better than the one that knew."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gigawatt.buildout import Goal, _uncertain, schedule, uncertain
from gigawatt.buildout._uncertain import LATE, PARTS, _Draws, delay_facts

sys.path.insert(0, str(Path(__file__).parent))
from questions import ONE, T, chip, money, offer, question, site, units

COMPUTE = Goal("compute", T - 1)
LATER = np.where(np.arange(T) >= 6, 100e6, 4e6)


def free(whole=False):
    """Two chips, a grid that comes later, turbines and a round: everything is drawn, and orders are free."""
    return question(
        chips=(chip(), chip("B200", useful_flops=1e15, it_w=1500.0, mean_it_w=1300.0)),
        offers=(offer(), offer("other", chip="B200", price_usd=60e3 * ONE, first_delivery=4, supply=4e3 * ONE)),
        sites=(site(grid=LATER, expansions=(units(whole=whole, price_usd=1e8),)),),
        cash=money(cash_usd=4e8, funding_usd=np.where(np.arange(T) == 3, 6e8, 0.0)),
    )


def outcomes(asked, **given):
    return uncertain(asked, schedule(asked, COMPUTE), {}, **{"samples": 20, "seed": 3, **given})


def zero(monkeypatch):
    facts = {name: replace(fact, low=0.0, best=0.0, high=0.0) for name, fact in delay_facts().items()}
    monkeypatch.setattr(_uncertain, "delay_facts", lambda: facts)


def test_the_same_seed_gives_the_same_answer():
    first, again, other = (outcomes(free(), seed=seed, fleet=15e3) for seed in (3, 3, 4))
    assert first.to_dict() == again.to_dict()
    assert tuple(first.outcomes) == PARTS
    assert (first.outcomes["expected"].flop != other.outcomes["expected"].flop).any()
    assert np.ptp(first.outcomes["expected"].flop) > 0


@pytest.mark.parametrize("whole", [False, True])
def test_no_plan_is_better_than_the_one_that_knew(whole):
    found = outcomes(free(whole)).outcomes
    best = found["hindsight"].flop
    for name in ("expected", "robust"):
        assert (found[name].flop <= best).all(), name
    assert (found["expected"].flop < best * (1 - 1e-3)).any()


def test_without_delays_every_sample_is_the_plan(monkeypatch):
    zero(monkeypatch)
    asked = free()
    plan = schedule(asked, COMPUTE)
    found = uncertain(asked, plan, {}, samples=5)
    for outcome in found.outcomes.values():
        np.testing.assert_allclose(outcome.flop, plan.useful_flop.sum(), rtol=1e-4)
    assert found.matters == {}


def test_two_policies_meet_the_same_draws():
    """What is drawn goes by name: neither the orders of a plan nor a further offer change the luck of a site."""
    asked = free()
    more = replace(asked, offers=(*asked.offers, offer("third")))
    given = replace(asked, offers=tuple(replace(each, given=1e3 * ONE) for each in asked.offers))
    for i in range(4):
        worlds = [_Draws(each, {}, {}, 4, 7).world(i) for each in (asked, more, given)]
        for world in worlds[1:]:
            np.testing.assert_array_equal(world.sites[0].grid, worlds[0].sites[0].grid)
            np.testing.assert_array_equal(world.money.funding_usd, worlds[0].money.funding_usd)
            assert world.sites[0].expansions[0].lead == worlds[0].sites[0].expansions[0].lead
            assert [x.first_delivery for x in world.offers[:2]] == [x.first_delivery for x in worlds[0].offers]


def test_given_orders_leave_nothing_to_choose():
    asked = question(offers=(offer(given=5e3 * ONE),), sites=(site(grid=LATER),))
    found = outcomes(asked).outcomes
    assert found["robust"] is found["hindsight"] is found["expected"]


def test_draws_only_ever_come_later():
    asked = free()
    draws = _Draws(asked, {}, {}, 30, 1)
    for world in (*(draws.world(i) for i in range(30)), draws.late()):
        assert (world.sites[0].grid <= asked.sites[0].grid + 1e-6).all()
        assert (np.cumsum(world.money.funding_usd) <= np.cumsum(asked.money.funding_usd) + 1e-6).all()
        assert world.sites[0].expansions[0].lead >= asked.sites[0].expansions[0].lead
        assert world.offers[1].first_delivery >= asked.offers[1].first_delivery
        assert world.offers[0].first_delivery == 0  # what ships already is not launched again


@pytest.mark.parametrize("name", PARTS)
def test_a_later_grid_never_gives_more_compute(name, monkeypatch):
    """Only the grid is late: samples in the order of its delay are in the order of their compute."""
    facts = {
        key: fact if key == "grid" else replace(fact, low=0.0, best=0.0, high=0.0)
        for key, fact in delay_facts().items()
    }
    monkeypatch.setattr(_uncertain, "delay_facts", lambda: facts)
    asked = free()
    found = outcomes(asked)
    draws = _Draws(asked, {}, {}, 20, 3)
    late = np.array([draws._late_s("grid", "Memphis", i) for i in range(20)])
    done = found.outcomes[name].flop[np.argsort(late, kind="stable")]
    assert (np.diff(done) <= 1e-3 * done[:-1]).all()
    if name == "expected":
        assert next(iter(found.matters)) == "grid of Memphis"
        assert found.matters["grid of Memphis"] < -0.8  # half of the delays are zero, and ties count as ties
    nothing_late = float(schedule(asked, COMPUTE).useful_flop.sum())
    assert (found.outcomes["hindsight"].flop <= nothing_late * (1 + 1e-3)).all()


def test_halls_and_supplies_are_drawn_by_sample():
    halls = np.stack([np.where(np.arange(T) >= start, 50e6, 0.0) for start in (2, 5, 8)])
    asked = question(sites=(site(limits={"hall": np.median(halls, axis=0)}),))
    found = uncertain(asked, schedule(asked, COMPUTE), {}, halls={"Memphis": halls}, samples=6, fleet=20e3)
    reached = found.outcomes["hindsight"].reached_s
    np.testing.assert_allclose(reached[:3], reached[3:], rtol=1e-6)  # samples are gone through in turn
    assert reached[0] < reached[1] < reached[2]
    late = _Draws(asked, {}, {"Memphis": halls}, 6, 0).late().sites[0].limits["hall"]
    np.testing.assert_allclose(late, np.quantile(halls, 1.0 - LATE, axis=0))


def test_a_time_that_is_not_reached_is_none():
    asked = question(offers=(offer(given=1e3 * ONE),))
    plan = uncertain(asked, schedule(asked, COMPUTE), {}, samples=3, fleet=1e6).to_dict()
    assert plan["outcomes"]["expected"]["reached_s"] == [None, None, None]
    assert plan["outcomes"]["expected"]["reached_share"] == 0.0
    with pytest.raises(ValueError, match="samples must be above zero"):
        uncertain(asked, schedule(asked, COMPUTE), {}, samples=0)
