import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.power import Controller, Store, smooth

MWH = 3.6e9


def p7():
    t = np.arange(360_000) * 0.01
    load = 130e6 + 50e6 * ((t % 5) < 4 - 1e-9)
    store = Store(discharge_w=150e6, charge_w=150e6, energy_j=300 * MWH)
    return load, store, Controller(ramp_up_w_per_s=1e6, ramp_down_w_per_s=1e6, filter_s=60, return_s=3600)


def test_p7_fifty_megawatts_in_two_thirds_out():
    load, store, controller = p7()
    found = smooth(load, 0.01, store, controller)
    assert found.swing_w(5.0) == pytest.approx(0.67e6, rel=0.01)
    assert found.over_ramp_s == 0
    assert np.abs(np.diff(found.grid_w)).max() <= 1e6 * 0.01 * (1 + 1e-6)
    assert found.charge_j[-1] == pytest.approx(150 * MWH, rel=0.01)


@pytest.mark.parametrize(("ramp", "energy_mwh"), [(10e6 / 60, 8.33), (1e6, 1.39)])
def test_a_step_under_a_ramp_limit(ramp, energy_mwh):
    """docs/science.md 12.5: 100 MW at 10 MW/min: 8.33 MWh; at 1 MW/s: 1.39 MWh."""
    load = np.concatenate((np.zeros(10), np.full(7000, 100e6)))
    limit = Controller(ramp_up_w_per_s=ramp, ramp_down_w_per_s=ramp)
    found = smooth(load, 0.1, Store.boundless(), limit)
    assert found.charge_range_j / MWH == pytest.approx(energy_mwh, abs=0.005)
    assert found.discharge_w == pytest.approx(100e6, rel=0.001)
    assert found.charge_w == 0


LOADS = st.lists(st.floats(0, 1e3), min_size=1, max_size=80).map(np.array)


@settings(max_examples=200, deadline=None)
@given(
    load=LOADS,
    step=st.floats(0.01, 10),
    power=st.floats(1, 1e3),
    energy=st.floats(1, 1e4),
    efficiency=st.floats(0.8, 1),
    filter_s=st.sampled_from([0.0, 1.0, 60.0]),
    ramp=st.floats(0.1, 1e3),
    back=st.floats(10, 1e5),
)
def test_energy_is_conserved_and_limits_hold(load, step, power, energy, efficiency, filter_s, ramp, back):
    store = Store(
        discharge_w=power,
        charge_w=power,
        energy_j=energy,
        discharge_efficiency=efficiency,
        charge_efficiency=efficiency,
    )
    limit = Controller(ramp_up_w_per_s=ramp, ramp_down_w_per_s=ramp, filter_s=filter_s, return_s=back)
    found = smooth(load, step, store, limit)
    given_w = load - found.grid_w
    assert (np.abs(given_w) <= power * (1 + 1e-9) + 1e-9).all()
    assert (found.charge_j >= -1e-6).all()
    assert (found.charge_j <= energy + 1e-6).all()
    change = np.diff(found.charge_j, prepend=found.start_j)
    expected = -step * np.where(given_w > 0, given_w / efficiency, given_w * efficiency)
    assert change == pytest.approx(expected, abs=1e-6)
    assert found.losses_j >= -1e-6
    within = np.abs(np.diff(found.grid_w)) <= ramp * step * (1 + 1e-6) + 1e-6
    assert found.over_ramp_s > 0 or within.all()
    plain = smooth(load, step, store, limit, plain=True)
    assert plain.grid_w == pytest.approx(found.grid_w, abs=1e-9)
    assert plain.to_dict() == pytest.approx(found.to_dict(), abs=1e-6)


def test_a_store_that_is_too_small_says_so():
    load = np.concatenate((np.zeros(10), np.full(2000, 100e6)))
    small = Store(discharge_w=50e6, charge_w=50e6, energy_j=0.5 * MWH)
    found = smooth(load, 0.1, small, Controller(ramp_up_w_per_s=1e6, ramp_down_w_per_s=1e6, rest=1.0))
    assert found.over_ramp_s > 0
    assert found.excess_w_per_s >= 49e6 / 0.1


def test_wrong_stores_are_refused():
    with pytest.raises(ValueError, match="above zero"):
        Store(discharge_w=0, charge_w=1, energy_j=1)
    with pytest.raises(ValueError, match="efficiencies"):
        Store(discharge_w=1, charge_w=1, energy_j=1, charge_efficiency=0)
    with pytest.raises(ValueError, match="controller"):
        Controller(ramp_up_w_per_s=0)
    with pytest.raises(ValueError, match="rest"):
        Controller(rest=2)
    with pytest.raises(ValueError, match="outside"):
        smooth(np.ones(2), 1.0, Store(discharge_w=1, charge_w=1, energy_j=1), Controller(), start_j=2)
    with pytest.raises(ValueError, match="step"):
        smooth(np.ones(2), 0.0, Store(discharge_w=1, charge_w=1, energy_j=1), Controller())
