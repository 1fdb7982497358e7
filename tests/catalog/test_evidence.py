"""Grades, ranges, dates and units that the source tables tell in words."""

import pytest

from gigawatt.catalog._tables import packaged_rows, si_units, sourced
from gigawatt.errors import InputError
from gigawatt.evidence import Grade


def test_fiscal_quarters_sort_by_the_month_in_which_they_end(catalog):
    assert catalog.fact("nvidia.compute_revenue", "2024-04").date == "FY25Q1"  # February to April 2024
    assert catalog.fact("nvidia.compute_revenue", "2024-01").date == "FY24Q4"
    assert catalog.fact("nvidia.compute_revenue").date == "FY26Q3"


def test_quarter_as_a_question_covers_its_last_day(catalog):
    assert catalog.fact("xai.dell_servers", "2025-Q1").date == "2025-02-14"
    assert catalog.fact("hbm.share.samsung", "2025-Q2").best == 0.17


@pytest.mark.parametrize("date", ["soon", "2024-", "24-05-01", "2024/05", "2025-Q5"])
def test_text_that_is_no_date(catalog, date):
    with pytest.raises(InputError, match="this is no date"):
        catalog.fact("rental.H100", date)


def test_shares_never_exceed_one_and_dates_have_no_range(catalog):
    shares = {
        row["key"]
        for row in packaged_rows("economics.csv")
        if row["unit"] == "fraction" and float(row["value_mid"]) <= 1
    }
    for key in shares:
        assert all(row.high <= 1 or row.best > 1 for row in catalog.facts[key]), key
    assert catalog.fact("package.bonding_yield.organic_substrate").high == 1
    start = catalog.fact("megapack3.production_start")
    assert start.low == start.high == 2026.9


def test_si_units_only():
    units = {unit for unit, _ in si_units().values()}
    assert "J/acre" not in units
    assert si_units()["MWh/acre"][1] == pytest.approx(3.6e9 / 4046.8564224, rel=1e-12)


def test_a_range_that_does_not_hold_its_best_value_is_refused():
    with pytest.raises(InputError, match="low <= best <= high"):
        sourced(5.0, low=9.0, high=10.0, kind="stated", unit="W", source="test")


def test_every_cell_of_the_v100_but_nvlink_is_unverified(catalog):
    v100 = catalog.accelerator("V100")
    assert v100.scale_up_bytes_per_s.grade is Grade.STATED
    assert {path for path, number in v100.numbers().items() if number.grade is not Grade.ESTIMATE} == {
        "scale_up_bytes_per_s"
    }
    assert v100.flop_per_s["fp16"].best == 125e12
    assert "bf16" not in v100.flop_per_s


def test_fp16_is_claimed_only_where_a_maker_prints_it(catalog):
    assert catalog.accelerator("H100").flop_per_s["fp16"].grade is Grade.DERIVED
    assert "fp16" not in catalog.accelerator("TPU v5e").flop_per_s
    assert "fp16" not in catalog.accelerator("Dojo D1").flop_per_s
    assert set(catalog.accelerator("Groq LPU v1").flop_per_s) == {"fp16", "int8"}


def test_google_and_aws_count_in_gib(catalog):
    assert catalog.accelerator("Trainium2").memory_bytes.best == pytest.approx(96 * 2**30, rel=1e-12)
    assert catalog.accelerator("TPU v5p").memory_bytes.best == pytest.approx(95 * 2**30, rel=1e-12)
    assert catalog.accelerator("H100").memory_bytes.best == 80e9


@pytest.mark.parametrize("table", ["accelerator_extras.csv", "model_extras.csv", "model_evidence.csv"])
def test_corrections_name_entries_and_columns_that_exist(catalog, table):
    for row in packaged_rows(table):
        assert row["name"] in catalog.accelerator_names + catalog.model_names
        if table == "model_evidence.csv":
            assert row["column"] in packaged_rows("models.csv")[0]


def test_estimated_token_counts_are_graded_so(catalog):
    assert catalog.model_entry("Grok-1").training_tokens.grade is Grade.ESTIMATE
    assert "recalled" in catalog.model_entry("Llama 4 Scout 17B-16E").training_tokens.note
    assert catalog.model_entry("Llama 3.1 405B").training_tokens.grade is Grade.STATED
