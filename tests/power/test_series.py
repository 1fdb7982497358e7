from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatt.errors import InputError
from gigawatt.power import Series, align, packaged_names, packaged_series, parse_series, read_series

START = datetime(2023, 1, 1, tzinfo=UTC)


def test_packaged_years_have_unit_origin_and_licence():
    for name in packaged_names():
        series = packaged_series(name)
        assert len(series.values) == 8_760
        assert series.source
        assert series.licence
        assert series.step_s == 3_600
        assert series.start is None or series.start.year == 2023
    with pytest.raises(ValueError, match="known: ercot 2023 price"):
        packaged_series("ercot 2024 price")


def test_means_of_ercot_2023_are_the_published_ones():
    price, carbon = packaged_series("ercot 2023 price"), packaged_series("ercot 2023 carbon direct")
    assert price.values.mean() * 3.6e9 == pytest.approx(55.93, abs=0.01)
    assert np.median(price.values) * 3.6e9 == pytest.approx(22.76, abs=0.01)
    assert carbon.values.mean() * 3.6e9 == pytest.approx(316.7, abs=0.05)
    assert carbon.licence == "ODbL 1.0"


def test_time_zones_of_the_packaged_files():
    weather = packaged_series("dallas 2023 temperature")
    assert weather.start == datetime(2023, 1, 1, 5, tzinfo=UTC)
    assert weather.values[0] == pytest.approx(16.9 + 273.15)
    (on_grid,) = align([weather], START, 8_760, wrap=True)
    assert on_grid[5] == weather.values[0]
    assert on_grid[:5].tolist() == weather.values[-5:].tolist()
    with pytest.raises(ValueError, match="runs from"):
        align([weather], START, 8_760)
    ghi = packaged_series("panhandle 2012 ghi")
    by_hour = ghi.values.reshape(365, 24).mean(axis=0)
    assert 17 <= np.argmax(by_hour) <= 19  # noon at 102 degrees west is 18:48 UTC


def test_a_typical_year_repeats_and_gives_29_february_the_28th():
    hours = np.arange(8_760.0)
    typical = Series(name="t", values=hours, unit="")
    leap = typical.at(datetime(2024, 1, 1, tzinfo=UTC), 8_784)
    day = 24
    assert leap[59 * day : 60 * day].tolist() == hours[58 * day : 59 * day].tolist()
    assert leap[60 * day :].tolist() == hours[59 * day :].tolist()
    two = typical.at(datetime(2022, 1, 1, tzinfo=UTC), 2 * 8_760)
    assert two[:8_760].tolist() == two[8_760:].tolist()


@given(st.integers(1, 12), st.integers(0, 48), st.integers(1, 100))
def test_coarser_grids_keep_the_mean_and_finer_ones_hold(factor, first, steps):
    values = np.random.default_rng(0).random(2_000)
    series = Series(name="x", values=values, unit="W", start=START)
    start = START + timedelta(hours=first)
    coarse = series.at(start, steps, 3_600.0 * factor)
    assert coarse.mean() == pytest.approx(values[first : first + steps * factor].mean())
    fine = series.at(start, steps * factor, 3_600.0 / factor)
    assert fine.tolist() == np.repeat(values[first : first + steps], factor).tolist()


def test_a_grid_in_local_time_is_the_same_grid():
    series = packaged_series("ercot 2023 price")
    local = timezone(timedelta(hours=-6))
    assert (
        series.at(datetime(2023, 6, 1, tzinfo=local), 5).tolist()
        == series.at(datetime(2023, 6, 1, 6, tzinfo=UTC), 5).tolist()
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"values": np.array([1.0, np.nan]), "start": START}, "finite"),
        ({"values": np.ones(3)}, "8760 hours"),
        ({"values": np.ones(3), "start": START, "step_s": 0.0}, "positive"),
        ({"values": np.ones(3), "start": datetime(2023, 1, 1)}, "UTC"),
    ],
)
def test_a_series_that_is_none_says_why(fields, words):
    with pytest.raises(ValueError, match=words):
        Series(name="x", unit="W", **fields)


def test_a_grid_that_does_not_fit_says_so():
    series = Series(name="x", values=np.ones(10), unit="W", start=START)
    with pytest.raises(ValueError, match="do not fit"):
        series.at(START + timedelta(minutes=10), 2)
    with pytest.raises(ValueError, match="time zone"):
        series.at(datetime(2023, 1, 1), 2)
    with pytest.raises(ValueError, match="more than one length"):
        series.at(START + timedelta(hours=30), 2, wrap=True)


def rows(hours=8_760, zone="Z", start=START):
    return [f"{(start + timedelta(hours=h)).strftime('%Y-%m-%dT%H:%M')}{zone},{h / 10}" for h in range(hours)]


def text(lines, header="time,price"):
    return "\n".join([header, *lines]) + "\n"


def problem(lines, header="time,price", **fields):
    with pytest.raises(InputError) as error:
        parse_series(text(lines, header), "prices.csv", "USD/J", written_in="USD/MWh", **fields)
    return str(error.value)


def test_a_good_file_becomes_si_units_in_utc(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("\ufeff" + text(rows(zone="-06:00")))
    series = read_series(path, "USD/J", written_in="USD/MWh")
    assert series.start == datetime(2023, 1, 1, 6, tzinfo=UTC)
    assert series.values[10] == pytest.approx(1.0 / 3.6e9)
    celsius = parse_series(text(rows()), "t.csv", "K", written_in="degC")
    assert celsius.values[0] == pytest.approx(273.15)
    with pytest.raises(InputError, match="no such file"):
        read_series(tmp_path / "none.csv", "W")


def test_naive_times_need_an_offset():
    assert "prices.csv:2" in problem(rows(zone=""))
    series = parse_series(text(rows(zone="")), "p", "W", utc_offset_h=-5)
    assert series.start == datetime(2023, 1, 1, 5, tzinfo=UTC)


def test_8759_rows_are_not_a_year():
    assert "8,759 rows do not fill 2023" in problem(rows(8_759))
    message = problem([row.split(",")[1] for row in rows(8_759)], header="price")
    assert "8,759 rows do not fill a year" in message
    assert "8,760 rows" in message
    part = parse_series(text(rows(30)), "p", "W", whole_years=False)
    assert len(part.values) == 30
    leap = parse_series(text(rows(8_784, start=datetime(2024, 1, 1, tzinfo=UTC))), "p", "W")
    assert len(leap.values) == 8_784


def test_a_file_without_times_is_a_typical_year():
    plain = parse_series(text([row.split(",")[1] for row in rows()], "price"), "p", "W")
    assert plain.start is None
    dated = parse_series(text(["1", "2", "3"], "price"), "p", "W", start=START, whole_years=False)
    assert dated.start == START


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (lambda r: r[:100] + r[101:], 102, "a gap of 1 steps"),
        (lambda r: r[:101] + r[100:], 103, "occurs twice"),
        (lambda r: [*r[:5], r[5].replace(",0.5", ",0;5"), *r[6:]], 7, "'0;5'"),
        (lambda r: [*r[:5], r[5].replace(",0.5", ",NaN"), *r[6:]], 7, "'NaN'"),
        (lambda r: [*r[:5], r[5].replace(",0.5", ","), *r[6:]], 7, "a value is missing"),
        (lambda r: [*r[:5], r[5].replace("Z", "-05:00"), *r[6:]], 7, "mixed time zones"),
        (lambda r: [*r[:5], r[5].replace("Z", ""), *r[6:]], 7, "mixed time zones"),
        (lambda r: [*r[:5], "yesterday,0.5", *r[6:]], 7, "not a time"),
        (lambda r: [*r[:5], r[3], *r[6:]], 7, "times go back"),
        (lambda r: [*r[:5], r[5].replace("05:00", "04:30"), *r[6:]], 7, "a shorter step"),
    ],
)
def test_each_mistake_is_found_with_its_line(change, line, words):
    message = problem(change(rows()))
    assert words in message
    assert f"prices.csv:{line}" in message


def test_daylight_saving_is_found_in_both_seasons():
    lines = rows(zone="")
    spring, autumn = 69 * 24 + 2, 308 * 24 + 1
    local = lines[:spring] + lines[spring + 1 : autumn] + [lines[autumn - 1]] + lines[autumn:]
    message = problem(local, utc_offset_h=-6)
    assert "a gap of 1 steps" in message
    assert "occurs twice (daylight saving?)" in message


def test_all_mistakes_at_once_but_not_endlessly():
    message = problem([row.replace(".", ";") for row in rows()])
    assert message.count("not a number") == 20
    assert "and 8740 more" in message


def test_the_column_of_values_must_be_clear():
    two = [f"{row},1" for row in rows()]
    assert "not clear" in problem(two, "time,price,load")
    assert "did you mean 'price'" in problem(two, "time,price,load", column="prise")
    series = parse_series(text(two, "time,price,load"), "p", "W", column="load")
    assert series.values.max() == 1.0
    with pytest.raises(InputError, match="written_in"):
        parse_series(text(rows()), "p", "USD/J", written_in="MW")
    with pytest.raises(InputError, match="at least two rows"):
        parse_series("price\n", "p", "W")
