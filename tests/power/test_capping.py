import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatt.power import (
    PHASES,
    best_cap,
    cap_for_rate,
    capping_facts,
    chip_power,
    chips_with_power,
    clock_at_share,
    power_at_cap,
    rate_at_cap,
    rate_at_clock,
    share_at_clock,
)

CHIPS = st.sampled_from(chips_with_power())
WORKING = [phase for phase in PHASES if phase not in ("idle", "waiting", "checkpoint")]


def test_worked_values_of_the_law():
    assert float(clock_at_share(0.84, 0.2, 0.8, 3.0)) == pytest.approx(0.8 ** (1 / 3))
    assert float(clock_at_share(0.456, 0.2, 0.8, 3.0)) == pytest.approx(0.5)
    assert float(share_at_clock(0.5, 0.2, 0.8, 3.0)) == pytest.approx(0.456)
    assert float(rate_at_clock(0.5, 0.5)) == pytest.approx(2 / 3)
    assert rate_at_clock(np.array([0.0, 1.0]), 0.5).tolist() == [0.0, 1.0]


def test_b300_is_predicted_from_v100():
    """The measured work of B300 in dense products under caps took no part in the fit."""
    predicted = rate_at_cap(chip_power("B300"), np.array([450.0, 700.0, 900.0, 1100.0]))
    measured = np.array([0.496, 0.770, 0.947, 1.0])
    assert np.max(np.abs(predicted / measured - 1)) < 0.08
    assert np.median(np.abs(predicted / measured - 1)) < 0.02


@given(CHIPS, st.sampled_from(WORKING), st.sampled_from(("hbm", "gddr")), st.floats(0, 2500), st.floats(0, 2500))
def test_a_higher_cap_never_slows_and_never_saves(name, phase, memory, one, other):
    chip = chip_power(name)
    caps = np.array(sorted((one, other)))
    rates, watts = rate_at_cap(chip, caps, phase, memory), power_at_cap(chip, caps, phase, memory)
    assert 0 <= rates[0] <= rates[1] <= 1
    assert watts[0] <= watts[1] <= chip.watts(phase)
    slow, fast = (rate_at_cap(chip, caps, phase, memory, end) for end in ("low", "high"))
    assert np.all(slow <= rates + 1e-12)
    assert np.all(rates <= fast + 1e-12)


@given(CHIPS, st.sampled_from(WORKING), st.floats(0.05, 1))
def test_the_cap_for_a_rate_gives_that_rate(name, phase, rate):
    chip = chip_power(name)
    assert float(rate_at_cap(chip, cap_for_rate(chip, rate, phase), phase)) == pytest.approx(rate, rel=1e-9)


def test_a_phase_below_the_cap_keeps_its_rate():
    chip = chip_power("H100")
    assert float(rate_at_cap(chip, 500.0, "memory_bound")) == 1.0
    assert float(rate_at_cap(chip, 500.0, "matrix")) < 1.0
    assert float(rate_at_cap(chip, 100.0, "idle")) == 1.0
    assert float(power_at_cap(chip, 400.0, "training")) == 400.0
    assert float(power_at_cap(chip, 700.0, "training")) == pytest.approx(551, abs=0.5)


def test_the_best_cap_beats_every_other():
    chip = chip_power("H100")
    cap = best_cap(chip, 300.0)
    caps = np.linspace(150, 700, 200)
    work = rate_at_cap(chip, caps) / (power_at_cap(chip, caps) + 300.0)
    assert float(rate_at_cap(chip, cap)) / (float(power_at_cap(chip, cap)) + 300.0) >= work.max() - 1e-6
    assert best_cap(chip, 2000.0) > cap


def test_wrong_questions_say_what_is_allowed():
    chip = chip_power("H100")
    with pytest.raises(ValueError, match="known: gddr, hbm"):
        rate_at_cap(chip, 500.0, "matrix", "sram")
    with pytest.raises(ValueError, match="unknown phase"):
        rate_at_cap(chip, 500.0, "sleeping")
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        cap_for_rate(chip, 1.2)
    with pytest.raises(ValueError, match="low, best or high"):
        rate_at_cap(chip, 500.0, end="worst")


@pytest.mark.parametrize("memory", ["hbm", "gddr"])
def test_the_constants_are_those_of_the_script(memory):
    script = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "power_caps.py"))
    chosen = next(iter(script["RIVALS"]))
    fitted = script["constants"](script["fit"](chosen, script["sweep"](memory)))
    facts = capping_facts()
    stored = [facts[f"{memory}.{name}"].best for name in ("static_share", "knee", "exponent")]
    assert stored == pytest.approx(fitted, rel=0.01)


def test_the_serving_constants_are_those_of_the_script():
    from gigawatt.power import serving_power_facts

    script = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "serving_power.py"))
    floor, logarithm = script["fit"](script["rows"]("h100"))
    facts = serving_power_facts()
    assert (facts["floor.H100"].best, facts["half_sequences"].best) == pytest.approx(
        (floor, np.exp(logarithm)), rel=0.01
    )
