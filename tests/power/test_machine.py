import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.power import ConversionLoss, JobList, StepProfile, joined, machine_power, schedule

FLAT = StepProfile.flat(2000.0)
STEP = StepProfile.two_level(3000.0, 1000.0, 10.0, 0.5)


def jobs(rows, profiles=(FLAT, STEP)):
    columns = list(zip(*rows, strict=True))
    return JobList(
        arrival_s=np.array(columns[0], float),
        nodes=np.array(columns[1]),
        duration_s=np.array(columns[2], float),
        profile=np.array(columns[3]),
        profiles=profiles,
    )


def test_first_come_first_served():
    listed = jobs([(0, 6, 100, 0), (10, 6, 50, 0), (20, 2, 10, 0), (30, 99, 1, 0)])
    assert schedule(listed, 10).tolist() == [0, 100, 100, math.inf]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.floats(0, 500), st.integers(1, 10), st.floats(1, 300), st.integers(0, 1)), min_size=1, max_size=20
    )
)
def test_no_node_runs_two_jobs_and_energy_is_that_of_the_jobs(rows):
    listed = jobs(rows)
    starts = schedule(listed, 10)
    assert (starts >= listed.arrival_s).all()
    ends = starts + listed.duration_s
    for t in starts.tolist():
        assert listed.nodes[(starts <= t) & (ends > t)].sum() <= 10
    horizon = math.ceil(ends.max()) + 1.0
    wave = joined(machine_power(listed, starts, 10, 500.0, horizon, 1.0, block=97))
    energy = 10 * 500.0 * horizon
    for j, (_, nodes, duration, kind) in enumerate(rows):
        if kind == 0:
            energy += nodes * duration * 1500
        else:
            high = math.floor(duration / 10) * 5 + min(duration % 10, 5)
            energy += nodes * (high * 2500 + (duration - high) * 500)
        assert starts[j] < horizon
    assert wave.energy_j == pytest.approx(energy, rel=1e-9)
    assert wave.power_w.min() >= 5000 - 1e-6
    assert wave.power_w.max() <= 10 * 3000 + 1e-6


def test_losses_are_of_every_node():
    loss = ConversionLoss(standing_w=20, proportional=0.02, quadratic_per_w=1e-6)
    assert loss.fed(np.array([4000.0]))[0] == pytest.approx(4116)
    listed = jobs([(0, 5, 100, 0)])
    wave = joined(machine_power(listed, schedule(listed, 10), 10, 500.0, 100.0, 10.0, loss=loss))
    assert wave.power_w[0] == pytest.approx(5 * (20 + 2040 + 4) + 5 * (20 + 510 + 0.25))


def test_wrong_lists_are_refused():
    with pytest.raises(ValueError, match="at least one node"):
        jobs([(0, 0, 1, 0)])
    with pytest.raises(ValueError, match="out of range"):
        jobs([(0, 1, 1, 7)])
    listed = jobs([(0, 1, 1, 0)])
    with pytest.raises(ValueError, match="below the idle"):
        machine_power(listed, schedule(listed, 1), 1, 5000.0, 10.0, 1.0)
