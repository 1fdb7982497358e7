"""Projects that add supply: money helps where a stage binds, late and while it ripens; a fund is split level by level."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatt.buildout import (
    Calendar,
    add_supply,
    best_split,
    monthly_supply,
    packaged_project,
    project_kinds,
    stage_costs,
    supply_line,
)

MONTH = 2_629_800.0
CALENDAR = Calendar(date(2024, 1, 1), 72)


@pytest.fixture(scope="module")
def supply():
    return monthly_supply([supply_line("H100", whole_vendor=True)], CALENDAR, samples=16)[0]


def test_money_in_the_stage_that_binds_buys_chips(supply):
    project = packaged_project("packaging_line", 5_000 / MONTH, funder="A", take_or_pay=0.6)
    found = add_supply([project], supply)
    assert found.extra.sum() > 0.0
    assert np.all(found.extra >= 0.0)
    assert np.all(found.extra[:15] == 0.0)  # built in 15 months
    assert found.to_funders["A"] == pytest.approx(0.6 * found.extra)
    assert found.to_funders["A"] + found.to_others == pytest.approx(found.extra)
    assert found.low.sum() <= found.extra.sum() <= found.high.sum()
    assert found.usd_per_extra_chip == pytest.approx(found.net_usd[1] / found.extra.sum())
    assert any("first extra chips come in 2025-" in text for text in found.sentences)
    assert found.to_dict()["usd_per_extra_chip"] == found.usd_per_extra_chip


def test_money_in_a_stage_that_does_not_bind_buys_nothing():
    calendar = Calendar(date(2023, 10, 1), 12)
    early = monthly_supply([supply_line("H100", whole_vendor=True)], calendar, samples=0)[0]
    assert set(early.binding) == {"packaging"}
    wasted = add_supply([packaged_project("hbm_line", 5e15 / MONTH, start_s=-24 * MONTH)], early)
    assert wasted.extra.sum() == 0.0
    assert wasted.usd_per_extra_chip == float("inf")
    assert wasted.idle_share["hbm"] == 1.0
    assert wasted.sentences == ("The money in HBM buys no chips: packaging binds.",)


def test_a_project_that_comes_too_late_says_so():
    calendar = Calendar(date(2024, 1, 1), 6)
    short = monthly_supply([supply_line("H100", whole_vendor=True)], calendar, samples=0)[0]
    found = add_supply([packaged_project("fab", 1_000 / MONTH, stage="logic.N5")], short)
    assert found.sentences == ("The money in N5 logic wafers makes nothing within the plan: it is built too late.",)


def test_the_output_of_a_fab_ramps_and_ripens():
    fab = packaged_project("fab", 20_000 / MONTH, stage="logic.N5")
    raw, ripe = fab.output(CALENDAR), fab.output(CALENDAR, "H100")
    assert np.all(raw[:35] == 0.0)  # built in three years of 365.25 days
    assert raw[-1] == pytest.approx(20_000 / MONTH * CALENDAR.length_s[-1])
    share = ripe[40:] / raw[40:]
    assert np.all(np.diff(share) > 0.0)
    assert 0.5 < share[0] < share[-1] < 1.0
    slow, fast = fab.output(CALENDAR, "H100", "low"), fab.output(CALENDAR, "H100", "high")
    assert np.all(np.cumsum(slow) <= np.cumsum(ripe) + 1e-9)
    assert np.all(np.cumsum(ripe) <= np.cumsum(fast) + 1e-9)


def test_output_is_counted_when_it_reaches_the_counting_point():
    line = packaged_project("packaging_line", 1.0)
    later = line.output(CALENDAR, lead_s=6 * MONTH)
    assert np.cumsum(later)[40] == pytest.approx(np.cumsum(line.output(CALENDAR))[34], rel=0.05)


def test_costs_are_net_of_what_a_state_pays():
    for kind in project_kinds():
        project = packaged_project(kind, 2.0)
        low, best, high = project.net_usd
        assert low <= best <= high
        assert best == pytest.approx(project.capex_usd[1] * (1.0 - project.subsidy.best))
    # an N5 plant of 20,000 wafers a month costs billions, as those of Arizona do
    assert 3e9 < packaged_project("fab", 20_000 / MONTH).capex_usd[1] < 15e9


stages = st.dictionaries(st.sampled_from("abcdef"), st.floats(0.0, 1e6), min_size=1, max_size=6)


@given(chips=stages, fund=st.floats(0.0, 1e12), data=st.data())
def test_a_split_spends_the_fund_and_raises_the_least_together(chips, fund, data):
    costs = {name: data.draw(st.floats(1.0, 1e6)) for name in chips if data.draw(st.booleans())}
    split = best_split(fund, chips, costs)
    assert sum(split.usd.values()) + split.unused_usd == pytest.approx(fund, rel=1e-6, abs=1e-3)
    after = {name: value + split.chips.get(name, 0.0) for name, value in chips.items()}
    assert min(after.values()) == pytest.approx(split.after, rel=1e-9, abs=1e-9)
    assert split.after >= split.before == min(chips.values())
    if split.unused_usd > 1e-2:  # a stage that nobody can build binds
        assert split.after == min(value for name, value in chips.items() if name not in costs)


@given(chips=stages, fund=st.floats(1.0, 1e9), data=st.data())
def test_no_other_split_makes_more(chips, fund, data):
    costs = {name: data.draw(st.floats(1.0, 1e3)) for name in chips}
    best = best_split(fund, chips, costs).after
    weights = np.array([data.draw(st.floats(0.0, 1.0)) for _ in chips]) + 1e-9
    money = fund * weights / weights.sum()
    other = min(value + usd / costs[name] for (name, value), usd in zip(chips.items(), money, strict=True))
    assert best >= other * (1 - 1e-9) - 1e-6


def test_a_fund_goes_to_the_least_stage_first_and_billions_to_memory_too(supply):
    chips = {name: float(units[40]) for name, units in supply.stages.items()}
    costs = stage_costs("H100", CALENDAR, 40)
    assert set(costs) == {"packaging", "hbm", "integration"}  # a fab is not ready in 40 months
    assert "logic.N5" in stage_costs("H100", CALENDAR, 60)
    split = best_split(1e8, chips, costs)
    least = min(chips, key=chips.get)
    assert split.usd[least] == max(split.usd.values()) > 0.0
    assert "hbm" in best_split(2e10, chips, costs).binding
    assert split.to_dict()["after"] == split.after


def test_bad_questions_are_refused(supply):
    with pytest.raises(ValueError, match="kind must be"):
        packaged_project("moon_base", 1.0)
    with pytest.raises(ValueError, match="finite and at least zero"):
        packaged_project("fab", -1.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        packaged_project("fab", 1.0, take_or_pay=2.0)
    with pytest.raises(ValueError, match="does not use"):
        add_supply([packaged_project("fab", 1.0, stage="logic.N3")], supply)
    with pytest.raises(ValueError, match="no project"):
        add_supply([], supply)
    with pytest.raises(ValueError, match="end must be"):
        packaged_project("fab", 1.0).output(CALENDAR, end="middle")
    with pytest.raises(ValueError, match="fund"):
        best_split(-1.0, {"a": 1.0}, {"a": 1.0})
    with pytest.raises(ValueError, match="costs"):
        best_split(1.0, {"a": 1.0}, {"a": 0.0})
