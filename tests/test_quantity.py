import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatt.quantity import QuantityError, format_quantity, parse_quantity


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("150 MW", "W", 1.5e8),
        ("$0.0674/kWh", "USD/J", 0.0674 / 3.6e6),
        ("13T tokens", "token", 13e12),
        ("$0.28 per million tokens", "USD/token", 2.8e-7),
        ("500 requests/s", "1/s", 500.0),
        ("400 Gb/s", "B/s", 5e10),
        ("19 days", "s", 19 * 86400),
        ("80 GiB", "B", 80 * 2**30),
        ("80 GB", "B", 80e9),
        ("$1.08 billion", "USD", 1.08e9),
        ("1.08 billion dollars", "USD", 1.08e9),
        ("-$5", "USD", -5.0),
        ("100,000", "", 1e5),
        ("100k", "", 1e5),
        ("1,234,567.5", "", 1234567.5),
        ("1_000", "", 1000.0),
        ("314B parameters", "", 314e9),
        ("16 B", "B", 16.0),
        ("2048 sequences", "sequence", 2048),
        ("35 %", "", 0.35),
        ("4.7e-4 /day", "1/s", 4.7e-4 / 86400),
        ("10 MW/min", "W/s", 1e7 / 60),
        ("4.64e26 FLOP", "FLOP", 4.64e26),
        (7, "", 7.0),
        ("16Mi tokens", "token", 2**24),
        ("128Ki", "", 2**17),
        ("1 MiB/s", "B/s", 2**20),
    ],
)
def test_parse(text, unit, value):
    assert parse_quantity(text, unit) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "unit", "word"),
    [
        ("150 MWh", "W", "this is an energy, a power is needed"),
        (150, "W", "a unit is missing"),
        ("150", "W", "a unit is missing"),
        ("15 foo", "W", "is not a unit"),
        ("nan", "W", "not a quantity"),
        ("1e999", "", "not a finite number"),
        (float("inf"), "", "not a finite number"),
        (True, "", "not a quantity"),
        ("13T tokens", "s", "number of tokens, a time is needed"),
        ("", "W", "not a quantity"),
        (10**400, "", "not a finite number"),
        ("1,6", "", "',6' is not a unit"),
        ("1,0000", "", "is not a unit"),
        ("128K", "token", "K is the kelvin"),
        ("3 Ti", "B", "is not a unit"),
        ("__import__('os')", "W", "not a quantity"),
    ],
)
def test_parse_refuses(text, unit, word):
    with pytest.raises(QuantityError, match=word):
        parse_quantity(text, unit)


def test_a_bare_number_counts_where_its_field_says_so():
    assert parse_quantity(4096, "token", bare=True) == parse_quantity("4096", "token", bare=True) == 4096
    with pytest.raises(QuantityError, match="for example 8192 tokens"):
        parse_quantity("8192", "token", example="8192 tokens")


UNITS = ["fraction", "s", "B", "W", "J", "USD", "token", "", "B/s", "FLOP/s", "USD/J", "USD/s", "1/s", "FLOP", "W/s"]


@given(value=st.floats(min_value=1e-3, max_value=1e20), unit=st.sampled_from(UNITS))
def test_what_is_shown_can_be_read_back(value, unit):
    shown = format_quantity(value, unit)
    assert parse_quantity(shown, unit) == pytest.approx(value, rel=6e-3, abs=0.5 if unit == "" and value > 1 else 0)


def test_format_examples():
    assert format_quantity(1.5e8, "W") == "150 MW"
    assert format_quantity(1.64e6, "s") == "19 days"
    assert format_quantity(1.08e9, "USD") == "$1.08 billion"
    assert format_quantity(100000, "") == "100,000"
    assert format_quantity(0.0674 / 3.6e6, "USD/J") == "$0.0674/kWh"
    assert format_quantity(0.261, "fraction") == "26.1 %"
    assert format_quantity(math.inf, "W") == "unlimited"
