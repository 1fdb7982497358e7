import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatt.catalog import load_catalog
from gigawatt.power import (
    ASSUMPTIONS,
    Load,
    accelerators_fed,
    assess,
    chip_power,
    phase_power,
    ramp_energy,
    smoothing_energy,
    swing_fundamental,
)

PHASES = {"idle": "idle", "compute": "training", "communication": "communication", "checkpoint": "checkpoint"}
VALUES = {
    path: load_catalog().fact(path).best for path in ASSUMPTIONS if path.removesuffix("_fraction")[6:] not in PHASES
} | {f"power.{name}_fraction": chip_power("H100").share(phase) for name, phase in PHASES.items()}
H100 = Load(name="H100 SXM", count=100_000, tdp_w=700, server_max_w_per_accelerator=1275)


def run(load=H100, **changes):
    arguments = {
        "switches_per_accelerator": 0.078,
        "pue": 1.2,
        "values": VALUES,
        "computing_fraction": 0.7,
        "goodput": 0.9,
        "step_s": 5.0,
    }
    return assess(loads=[load], **(arguments | changes))


def test_r31_ramp_and_smoothing_energies():
    assert smoothing_energy(1e8, 0.5, 2.0) / 3.6e6 == pytest.approx(13.9, abs=0.05)
    assert smoothing_energy(1e8, 0.7, 20.0) / 3.6e6 == pytest.approx(117, abs=0.5)
    assert ramp_energy(1e8, 1e7 / 60) / 3.6e9 == pytest.approx(8.33, abs=0.005)
    assert ramp_energy(1e8, 1e6) / 3.6e9 == pytest.approx(1.39, abs=0.005)


def test_waveform():
    assert swing_fundamental(1e8, 0.5) == pytest.approx(2e8 / np.pi)
    assert swing_fundamental(1e8, 0.5, harmonic=2) == pytest.approx(0, abs=1e-6)
    assert phase_power(72, 700, 1.0) == 700


def test_measured_node():
    """8 x H100: 551 W each while computing, 8.4 kW for the node at full accelerator use (arXiv 2412.08602)."""
    node = run(Load(name="H100", count=8, tdp_w=700, server_max_w_per_accelerator=1275), switches_per_accelerator=0.0)
    server = node.outputs["power.server"].value
    assert 8 * (700 + server) == pytest.approx(8400, rel=0.01)
    assert VALUES["power.compute_fraction"] * 700 == pytest.approx(551, rel=0.01)


@given(
    count=st.integers(1, 10**6),
    tdp=st.floats(100, 2000),
    pue=st.floats(1.0, 2.0),
    duty=st.floats(0, 1),
    goodput=st.floats(0, 1),
)
def test_power_is_ordered_and_conserved(count, tdp, pue, duty, goodput):
    result = run(Load(name="x", count=count, tdp_w=tdp), pue=pue, computing_fraction=duty, goodput=goodput)
    assert result.facility_idle_w <= result.facility_w * (1 + 1e-9)
    assert result.facility_w <= result.facility_peak_w * (1 + 1e-9)
    assert result.facility.value == pytest.approx(result.outputs["power.facility"].value)
    assert result.outputs["power.facility"].value == pytest.approx(result.outputs["power.it"].value * pue)
    double = run(Load(name="x", count=2 * count, tdp_w=tdp), pue=pue, computing_fraction=duty, goodput=goodput)
    assert double.facility_w == pytest.approx(2 * result.facility_w)


@given(limit=st.floats(1e4, 1e10), pue=st.floats(1.0, 2.0), watts=st.floats(100, 3000))
def test_what_a_limit_feeds_stays_inside_it(limit, pue, watts):
    fed = accelerators_fed(limit, pue, watts)
    assert fed * pue * watts <= limit * (1 + 1e-9)
    assert (fed + 1) * pue * watts > limit * (1 - 1e-9)


def test_limit_round_trip():
    result = run(grid_limit_w=150e6)
    assert (
        run(
            Load(name="H100 SXM", count=result.max_accelerators, tdp_w=700, server_max_w_per_accelerator=1275)
        ).facility_peak_w
        <= 150e6
    )
    with pytest.raises(ValueError, match="PUE"):
        run(pue=0.9)
