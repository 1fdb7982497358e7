"""Chips per month from the supply chain: worked values, the least over the stages, and the published quarters."""

import csv
from datetime import date
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatt.buildout import (
    Calendar,
    DatedRange,
    StageUse,
    SupplyLine,
    barred,
    calibration,
    chip_fact,
    chip_names,
    chips_of_stage,
    monthly_supply,
    price_path,
    stage_capacity,
    stage_makers,
    supply_line,
    supply_lines,
    total_supply,
    vendor_mix,
    vendor_of,
)
from gigawatt.buildout._die import dies_per_wafer, ripening, sellable_yield
from gigawatt.buildout._ranges import Z95, deviates, spread
from gigawatt.buildout._supply_tables import catalogue_fact, rows, sourced
from gigawatt.catalog import chip_supply
from gigawatt.evidence import Grade, Sourced

MONTH = 2_629_800.0
END_2023 = date(2023, 12, 31)
DATA = files("gigawatt.buildout").joinpath("data")
rates = st.floats(1e-4, 1e3)


def number(best, low=None, high=None):
    return Sourced(best=best, low=low or best, high=high or best, source="test")


def use(stage, capacity, share=0.5, chips=2.0, lead_s=0.0):
    return StageUse(
        stage=stage,
        capacity=DatedRange.constant(number(capacity)),
        share=DatedRange.constant(number(share), share=True),
        chips_per_unit=number(chips),
        steps={stage: number(lead_s)},
    )


def test_dies_of_a_wafer_and_their_yield_are_those_of_the_literature():
    assert dies_per_wafer(814e-6) == pytest.approx(63.5, abs=0.1)
    assert dies_per_wafer(600e-6) == pytest.approx(90.6, abs=0.1)
    assert sellable_yield(814e-6, 1000.0) == pytest.approx(0.457, abs=5e-4)
    assert sellable_yield(400e-6, 1000.0) == pytest.approx(0.676, abs=5e-4)
    assert sellable_yield(814e-6, 1000.0, 1.0) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="area above zero"):
        dies_per_wafer(0.0)


def test_defects_fall_to_those_of_a_ripe_line():
    assert ripening(0.3, 0.1, 100.0, np.array([-5.0, 0.0])) == pytest.approx([0.3, 0.3])
    assert ripening(0.3, 0.1, 100.0, np.array([100.0])) == pytest.approx([0.1 + 0.2 / np.e])


def test_the_least_stage_binds():
    line = SupplyLine(chip="x", vendor="v", uses=(use("logic", 3.0), use("packaging", 2.0)))
    calendar = Calendar(date(2024, 1, 1), 3)
    supply = monthly_supply([line], calendar, samples=4)[0]
    assert supply.best == pytest.approx(2.0 * calendar.length_s)
    assert supply.binding == ("packaging",) * 3
    assert supply.binding_share["packaging"] == pytest.approx(1.0)
    assert supply.lead_s == {"logic": 0.0, "packaging": 0.0}


def test_capacity_counts_when_the_stage_began():
    points = [("2024-01-01", number(1.0)), ("2024-07-01", number(1.0)), ("2024-07-02", number(3.0))]
    late = StageUse(
        stage="packaging",
        capacity=DatedRange.of(points),
        share=DatedRange.constant(number(1.0), share=True),
        chips_per_unit=number(1.0),
        steps={"packaging": number(3 * MONTH)},
    )
    calendar = Calendar(date(2024, 1, 1), 12)
    found = monthly_supply([SupplyLine(chip="x", vendor="v", uses=(late,))], calendar, samples=0)[0]
    per_s = found.best / calendar.length_s
    assert per_s[8] == pytest.approx(1.0)  # September, from what June began
    assert per_s[10] == pytest.approx(3.0)


@given(capacities=st.lists(rates, min_size=1, max_size=4), more=st.floats(1.0, 10.0), which=st.integers(0, 3))
def test_more_of_a_stage_never_makes_fewer_chips(capacities, more, which):
    calendar = Calendar(date(2024, 1, 1), 2)
    grown = [c * (more if i == which % len(capacities) else 1.0) for i, c in enumerate(capacities)]

    def best(values):
        uses = tuple(use(f"s{i}", value) for i, value in enumerate(values))
        return monthly_supply([SupplyLine(chip="x", vendor="v", uses=uses)], calendar, samples=0)[0].best

    assert np.all(best(grown) >= best(capacities))
    assert best(grown) == pytest.approx(min(grown) * calendar.length_s)


@given(low=st.floats(0.01, 1.0), up=st.floats(1.0, 5.0), z=st.floats(-4, 4))
def test_a_range_is_a_distribution_through_its_three_values(low, up, z):
    best, high = low * up, low * up * up
    assert spread(low, best, high, -Z95) == pytest.approx(low)
    assert spread(low, best, high, 0.0) == pytest.approx(best)
    assert spread(low, best, high, Z95) == pytest.approx(high)
    assert spread(low, best, high, z) <= spread(low, best, high, z + 0.1) + 1e-12
    assert spread(0.0, best, high, z) >= 0.0


def test_the_same_seed_gives_the_same_supply_and_another_does_not():
    calendar = Calendar(date(2024, 1, 1), 6)
    line = supply_line("H100")
    first, same, other = (monthly_supply([line], calendar, samples=32, seed=s)[0] for s in (1, 1, 2))
    assert np.array_equal(first.samples, same.samples)
    assert not np.array_equal(first.samples, other.samples)
    assert np.array_equal(deviates(1, "x", 5), deviates(1, "x", 5))


def test_low_best_and_high_are_in_order_for_every_chip_and_sum_over_them():
    supplies = monthly_supply(supply_lines(), Calendar(date(2024, 1, 1), 24), samples=64)
    assert len(supplies) > 8
    for supply in supplies:
        assert np.all(supply.low <= supply.best)
        assert np.all(supply.best <= supply.high)
        assert np.all(supply.low >= 0.0)
    low, best, high = total_supply(supplies)
    assert best == pytest.approx(sum(s.best for s in supplies))
    assert np.all((low <= best) & (best <= high))


@pytest.mark.parametrize("stage", ["packaging", "hbm", "logic.N5"])
def test_the_chips_of_a_vendor_never_get_more_than_its_share(stage):
    mix = vendor_mix("NVIDIA", stage)
    calendar = Calendar(date(2023, 1, 1), 48)
    at = np.array([calendar.first_day(i).toordinal() * 86_400.0 for i in range(48)])
    total = sum(part.at(at) for part in mix.values())
    assert np.all(total <= 1.0 + 1e-9)
    quarters = slice(4, 22)
    assert total[quarters] == pytest.approx(1.0, abs=1e-9)


def test_packages_of_the_chain_meet_the_quarters_they_are_fitted_to():
    fit = calibration("NVIDIA", END_2023)
    assert fit.quarters == ("2023-Q2", "2023-Q3", "2023-Q4")
    assert fit.low < fit.factor < fit.high
    assert 0.8 < fit.factor < 1.3  # the announced half of CoWoS is nearly what was sold
    assert calibration("AMD", END_2023) is None
    line = supply_line("H100", as_of=END_2023, point="sale", whole_vendor=True)
    found = monthly_supply([line], Calendar(date(2023, 4, 1), 9), samples=0)[0].best.reshape(3, 3).sum(axis=1)
    sold = {}
    for row in chip_supply():
        if row.vendor == "NVIDIA" and row.quarter in fit.quarters:
            sold[row.quarter] = sold.get(row.quarter, 0.0) + row.units.best
    assert np.median(found / np.array(list(sold.values()))) == pytest.approx(1.0, abs=0.02)


def test_packaging_bound_in_2023_and_2024_as_was_reported():
    line = supply_line("H100", as_of=END_2023, point="sale", whole_vendor=True)
    supply = monthly_supply([line], Calendar(date(2023, 7, 1), 18), samples=0)[0]
    assert set(supply.binding) == {"packaging"}


def test_a_cutoff_keeps_out_what_became_known_later():
    known = stage_capacity("packaging", END_2023)
    assert known.values[-1].best * MONTH == pytest.approx(27_000, rel=1e-6)
    assert stage_capacity("packaging").days[-1] > known.days[-1]
    for table in ("supply_capacity.csv", "supply_shares.csv"):
        for row in rows(table):
            assert row["date"]
    line = supply_line("H100", as_of=END_2023, whole_vendor=True)
    for stage in line.uses:
        for value in (*stage.capacity.values, *stage.share.values):
            assert value.date <= "2023-12" or value.date == "2024-07"


def test_interposer_areas_give_the_reported_packages_of_a_wafer():
    for chip, dies_mm2, stacks in (("H100", 814, 6), ("MI300X", 4 * 370, 8)):
        geometric = dies_per_wafer(1.1e-6 * (dies_mm2 + 110 * stacks))
        packages = chip_fact(chip, "packages_per_wafer")
        assert packages.low <= geometric * 1.001
        assert geometric <= packages.high


def test_chips_need_the_memory_that_they_carry():
    assert 1.0 / chips_of_stage("H100")["hbm"].best == pytest.approx(80e9)
    assert chips_of_stage("B200")["packaging"].best < chips_of_stage("H100")["packaging"].best
    assert 30 < chips_of_stage("H100")["logic.N5"].best < 63.5
    assert {vendor_of(chip) for chip in chip_names()} == {"NVIDIA", "AMD", "Google", "AWS"}


def test_makers_of_memory_are_shares_of_a_whole():
    for day in ("2024-06", "2025-09"):
        assert sum(stage_makers("hbm", day).values()) == pytest.approx(1.0)
    assert stage_makers("hbm", "2025-09")["Samsung"] < stage_makers("hbm", "2024-06")["Samsung"]


def test_export_rules_by_date():
    assert not barred("A100", "China", "2022-09-01")
    assert barred("H100", "China", "2023-01-01")
    assert not barred("H800", "China", "2023-10-01")
    assert barred("H800", "China", "2023-11-01")
    assert barred("H20", "China", "2025-05-01")
    assert not barred("H20", "China", "2025-08-01")
    assert not barred("H100", "Japan", "2024-01-01")


def test_prices_fall_between_the_years_that_are_known_and_hold_outside():
    calendar = Calendar(date(2022, 1, 1), 48)
    path = price_path("H100", calendar)
    assert path.best[6] == pytest.approx(36_742, rel=0.01)
    assert path.best[30] == pytest.approx(26_268, rel=0.01)
    assert np.all((path.low <= path.best) & (path.best <= path.high))
    assert path.outside[0]
    assert not path.outside[20]
    rent = price_path("H100", calendar, "rental").best * 3600.0
    assert rent[20] > rent[45]
    assert 1.0 < rent.min() < rent.max() < 12.0


def test_bad_questions_are_refused():
    with pytest.raises(ValueError, match="no chip 'H1000'"):
        supply_line("H1000")
    with pytest.raises(ValueError, match="point must be"):
        supply_line("H100", point="moon")
    with pytest.raises(ValueError, match="nothing was known of the part of AWS"):
        supply_line("Trainium2", as_of=END_2023)
    with pytest.raises(ValueError, match="kind must be"):
        price_path("H100", Calendar(date(2024, 1, 1), 2), "barter")
    with pytest.raises(ValueError, match="no rental price of 'H20'"):
        price_path("H20", Calendar(date(2024, 1, 1), 2), "rental")
    with pytest.raises(ValueError, match="stages, each once"):
        SupplyLine(chip="x", vendor="v", uses=())
    with pytest.raises(ValueError, match="negative"):
        monthly_supply([supply_line("H100")], Calendar(date(2024, 1, 1), 2), samples=-1)
    with pytest.raises(ValueError, match="must rise"):
        DatedRange(days=(date(2024, 1, 1), date(2023, 1, 1)), values=(number(1.0), number(1.0)))
    with pytest.raises(ValueError, match="no fact"):
        catalogue_fact("cowos.capacity@1999")


TABLES = [path.name for path in DATA.iterdir() if path.name.startswith("supply_") and path.name.endswith(".csv")]


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_row_has_a_range_a_grade_a_source_and_a_date(name):
    with DATA.joinpath(name).open(encoding="utf-8") as handle:
        table = list(csv.DictReader(handle))
    assert table
    for row in table:
        assert None not in row, row
        grade = row.get("kind_of") or row["kind"]
        assert Grade(grade)
        assert row["date"], row
        if "low" not in row:
            continue
        value = sourced(row, grade="kind_of" if "kind_of" in row else "kind")
        assert value.low <= value.best <= value.high
        assert value.source, row
        if not row["fact"] and grade == "estimate":
            assert len(row["source"]) > 10
