import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.errors import InputError
from gigawatt.power import (
    REQUIREMENT_FIELDS,
    JobLoad,
    Requirements,
    SiteAbilities,
    StepProfile,
    check,
    joined,
    packaged_requirements,
    rate_of_change_of_frequency,
    requirements_from,
    voltage_step,
    waveform,
)

ORIGIN = {"source": "a test", "kind": "given"}


def ask(**sections):
    return requirements_from({"name": "test", **{k: [v | ORIGIN] for k, v in sections.items()}})


def verdicts(result):
    return [clause.verdict for clause in result.clauses]


def test_ramps_find_the_worst_moment():
    power = np.concatenate((np.full(100, 10e6), np.full(100, 60e6), np.full(100, 50e6)))
    asked = ask(ramps={"window": "1 min", "up": "50 MW/min", "down": "5 MW/min"})
    up, down = check(asked, power, 1.0, start_s=1000.0).clauses
    assert (up.verdict, down.verdict) == ("met", "missed")
    assert up.value == pytest.approx(50e6 / 60)
    assert up.margin == pytest.approx(0, abs=1e-9)
    assert 1040 <= up.moment_s <= 1099
    assert down.margin == pytest.approx(-1)
    assert down.excerpt_s[0] <= down.moment_s <= down.excerpt_s[-1]
    assert len(down.excerpt_w) <= 401


@settings(max_examples=100, deadline=None)
@given(power=st.lists(st.floats(0, 1e6), min_size=1, max_size=50).map(np.array), width=st.integers(2, 60))
def test_range_is_that_of_the_worst_window(power, width):
    asked = ask(ranges={"window": f"{width} s", "width": "1 W"})
    found = check(asked, power, 1.0).clauses[0].value
    width = min(width, len(power))
    expected = max(np.ptp(power[i : i + width]) for i in range(len(power) - width + 1))
    assert found == expected


def test_a_window_of_one_sample_shows_no_range():
    asked = ask(ranges={"window": "1 s", "width": "1 W"})
    (clause,) = check(asked, np.array([0.0, 5.0]), 1.0).clauses
    assert clause.verdict == "not judged"
    assert "less than two samples of 1 s" in clause.reason


def test_bands_of_a_training_step():
    load = JobLoad(profiles=(StepProfile.two_level(1000, 400, 2.0, 0.5),), accelerators=(1e5,))
    wave = joined(waveform([load], 300.0, 0.02))
    result = check(packaged_requirements()["stabilisation"], wave.power_w, 0.02)
    named = {clause.clause: clause for clause in result.clauses}
    low = named["amplitude from 0.1 to 1 Hz"]
    assert low.verdict == "missed"
    assert low.value == pytest.approx(2 / math.pi * 60e6, rel=0.01)
    assert low.limit == pytest.approx(2e6)
    assert "0.5 Hz" in low.reason
    assert "judged up to 25 Hz" in named["amplitude from 7 to 100 Hz"].reason
    assert named["range within 10 s"].value == pytest.approx(60e6)
    assert not result.complies
    assert result.binding.margin == min(c.margin for c in result.clauses if c.verdict != "not judged")
    coarse = check(packaged_requirements()["stabilisation"], wave.power_w[::50], 1.0)
    assert "see nothing above 0.5 Hz" in coarse.not_judged[-1].reason
    short = check(packaged_requirements()["stabilisation"], wave.power_w[:100], 0.02)
    assert "periods" in short.not_judged[0].reason


def test_ercot_threshold_and_ride_through():
    rules = packaged_requirements()["ercot-large-load"]
    big, small = np.full(10, 150e6), np.full(10, 60e6)
    assert set(verdicts(check(rules, small, 1.0))) == {"not judged"}
    blind = check(rules, big, 1.0)
    assert set(verdicts(blind)) == {"not judged"}
    assert "reactive power" in blind.clauses[-1].reason
    site = SiteAbilities(transfer_voltage=0.75, transfer_delay_s=0.3, power_factor=0.98)
    seen = check(rules, big, 1.0, abilities=site)
    assert verdicts(seen) == ["met", "missed", "met", "met"]
    assert seen.clauses[1].reason == "150 MW at risk"


def test_curtailment():
    rules = packaged_requirements()["tva-mlgw"]
    power = np.full(10, 140e6)
    assert check(rules, power, 1.0).contract_w == 150e6
    able = SiteAbilities(curtail_w=80e6, curtail_response_s=60)
    assert verdicts(check(rules, power, 1.0, abilities=able)) == ["met"]
    late = SiteAbilities(curtail_w=80e6, curtail_response_s=3600)
    assert verdicts(check(rules, power, 1.0, abilities=late)) == ["missed"]
    assert check(rules, power, 1.0, abilities=late).clauses[0].reason == "it takes 1 h"
    few = SiteAbilities(curtail_w=80e6, curtail_s_per_year=3600)
    assert verdicts(check(rules, power, 1.0, abilities=few)) == ["missed"]


def test_what_a_file_may_hold_is_declared():
    assert set(packaged_requirements()) == {"ercot-large-load", "stabilisation", "tva-mlgw"}
    assert all(field.meaning for field in REQUIREMENT_FIELDS)
    for rules in packaged_requirements().values():
        assert isinstance(rules, Requirements)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "x", "rampz": []}, "did you mean 'ramps'"),
        ({}, "name must be given"),
        ({"name": "x", "ramps": {}}, "a list of clauses"),
        ({"name": "x", "ramps": [1]}, "a mapping is needed"),
        ({"name": "x", "ramps": [{"window": "1 s", "up": "1 MW", "down": "1 MW/s"} | ORIGIN]}, "ramps.0.up"),
        ({"name": "x", "ramps": [{"window": "1 s"} | ORIGIN]}, "up, down must be given"),
        ({"name": "x", "ranges": [{"window": "0 s", "width": "1 W"} | ORIGIN]}, "above zero"),
        ({"name": "x", "ride_through": [{"voltage": "120 %", "duration": "1 s"} | ORIGIN]}, "share in 0..1"),
        ({"name": "x", "power_factor": [{"minimum": 0.9, "source": "s", "kind": "rumour"}]}, "rumour"),
        ({"name": "x", "contract": True}, "a quantity is needed"),
    ],
)
def test_mistakes_in_a_file_are_named(data, message):
    with pytest.raises(InputError, match=message):
        requirements_from(data)


def test_weak_grid():
    """100 MW on 1,000 MVA, H = 4 s, 60 Hz: 0.75 Hz/s."""
    assert rate_of_change_of_frequency(100e6, 4.0, 1000e6) == pytest.approx(0.75)
    assert rate_of_change_of_frequency(np.array([100e6, 50e6]), 4.0, 1000e6, 50.0) == pytest.approx([0.625, 0.3125])
    assert voltage_step(30e6, 100e6, 2000e6, 0.1) == pytest.approx(0.02)
    with pytest.raises(ValueError, match="inertia"):
        rate_of_change_of_frequency(1.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="short-circuit"):
        voltage_step(1.0, 1.0, 0.0)


def test_an_empty_record_is_refused():
    with pytest.raises(ValueError, match="samples"):
        check(Requirements(name="none"), np.empty(0), 1.0)
