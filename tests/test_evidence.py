import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatt.evidence import Breakdown, Sourced
from gigawatt.timeline import Timeline


@given(parts=st.lists(st.floats(min_value=-1e12, max_value=1e12), min_size=1, max_size=30))
def test_a_breakdown_is_the_sum_of_its_parts(parts):
    tree = Breakdown.of("all", "s", {str(i): part for i, part in enumerate(parts)})
    assert tree.value == pytest.approx(math.fsum(parts), rel=1e-12, abs=1e-3)
    assert tree.scaled(2.0).value == pytest.approx(2 * tree.value)


def test_a_breakdown_that_does_not_add_up_is_refused():
    with pytest.raises(ValueError, match="sum to"):
        Breakdown(label="all", value=3.0, unit="s", children=(Breakdown(label="a", value=1.0, unit="s"),))


@pytest.mark.parametrize(("low", "best", "high"), [(2, 1, 3), (1, 4, 3), (math.nan, 1, 2), (0, 1, math.inf)])
def test_a_sourced_number_needs_an_ordered_finite_range(low, best, high):
    with pytest.raises(ValueError, match="sourced number"):
        Sourced(low=low, best=best, high=high, source="test")


def test_timeline_checks_its_columns():
    timeline = Timeline.of("t", [("a", "x", 0.0, 1.0), ("b", "y", 1.0, 3.0)])
    assert timeline.duration_s == 3.0
    assert timeline.rows()[1] == ("b", "y", 1.0, 3.0)
    with pytest.raises(ValueError, match="ends before"):
        Timeline.of("t", [("a", "x", 2.0, 1.0)])
    with pytest.raises(ValueError, match="differ in length"):
        Timeline(
            title="t",
            lanes=("a",),
            labels=("x",),
            lane=np.zeros(2, int),
            label=np.zeros(1, int),
            start_s=np.zeros(1),
            end_s=np.zeros(1),
        )
