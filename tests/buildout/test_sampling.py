from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatt.buildout import (
    Task,
    TaskNetwork,
    build_schedule,
    duration_scores,
    normal_scores,
    sample_durations,
    through_quantiles,
    uniforms,
)
from gigawatt.buildout._influence import ranks, spearman, variance_shares
from gigawatt.errors import InputError

DAY = 86_400.0


def task(name: str, low: float, best: float, high: float, **fields: object) -> Task:
    return Task(name=name, low_s=low * DAY, best_s=best * DAY, high_s=high * DAY, **fields)  # type: ignore[arg-type]


def two_paths() -> TaskNetwork:
    tasks = (
        task("permits", 20, 60, 180),
        task("order", 85, 95, 110),
        task("works", 30, 40, 60, after=("permits",)),
        task("joined", 5, 10, 15, after=("works", "order")),
    )
    return TaskNetwork(tasks=tasks, milestones={"done": ("joined",)})


def test_a_column_is_a_latin_hypercube() -> None:
    columns = uniforms(("a", "b"), 100, seed=3)
    for column in columns.T:
        assert np.allclose(np.sort(column), (np.arange(100) + 0.5) / 100)
    assert (columns[:, 0] != columns[:, 1]).any()
    assert np.array_equal(columns[:, 0] > 0.5, normal_scores(("a",), 100, seed=3)[:, 0] > 0.0)


def test_draws_belong_to_names_whatever_stands_beside_them() -> None:
    many = uniforms(("x", "transformer", "y"), 50)
    assert np.array_equal(many[:, 1], uniforms(("transformer",), 50)[:, 0])
    assert not np.array_equal(many[:, 1], uniforms(("transformer",), 50, seed=1)[:, 0])


def test_the_same_seed_gives_the_same_answer_and_these_very_draws() -> None:
    assert uniforms(("a",), 5, seed=0)[:, 0].tolist() == uniforms(("a",), 5, seed=0)[:, 0].tolist()
    first, again = build_schedule(two_paths(), 200, 7), build_schedule(two_paths(), 200, 7)
    assert first.to_dict() == again.to_dict()


def test_one_sample_is_the_median_of_everything() -> None:
    network = two_paths()
    assert np.allclose(sample_durations(network, 1), network.best_s())


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="samples must be 1 or more"):
        uniforms(("a",), 0)


def test_worked_value_of_the_two_piece_lognormal() -> None:
    z = 1.2815515655446004
    assert through_quantiles(10.0, 20.0, 80.0, np.array([-z, 0.0, z])) == pytest.approx([10.0, 20.0, 80.0])
    assert through_quantiles(0.0, 0.0, 0.0, np.array([-2.0, 0.0, 2.0])).tolist() == [0.0, 0.0, 0.0]


@given(
    st.floats(0.1, 1e3),
    st.floats(1.0, 10.0),
    st.floats(1.0, 10.0),
    st.lists(st.floats(-6, 6), min_size=2, max_size=20),
)
def test_durations_are_positive_and_rise_with_the_score(low: float, up: float, more: float, z: list[float]) -> None:
    values = through_quantiles(low, low * up, low * up * more, np.sort(z))
    assert (values > 0).all()
    assert (np.diff(values) >= -1e-9 * values[1:]).all()


def test_sampled_durations_have_the_stated_quantiles() -> None:
    network = two_paths()
    durations = sample_durations(network, 4000)
    for k, item in enumerate(network.tasks):
        low, best, high = np.quantile(durations[:, k], (0.1, 0.5, 0.9))
        assert (low, best, high) == pytest.approx((item.low_s, item.best_s, item.high_s), rel=0.02)


def test_tasks_of_a_kind_and_of_a_trade_are_correlated_as_stated() -> None:
    tasks = (
        task("racks 1", 1, 2, 3, kind="racks", trade="it"),
        task("racks 2", 1, 2, 3, kind="racks", trade="it"),
        task("cabling", 1, 2, 3, trade="it"),
        task("permit", 1, 2, 3),
    )
    z = duration_scores(tasks, 20_000, same_kind=0.6, same_trade=0.3, seed=0)
    assert z.std(axis=0) == pytest.approx(np.ones(4), abs=0.02)
    correlation = np.corrcoef(z.T)
    assert correlation[0, 1] == pytest.approx(0.6, abs=0.02)
    assert correlation[0, 2] == pytest.approx(0.3, abs=0.02)
    assert correlation[0, 3] == pytest.approx(0.0, abs=0.02)
    with pytest.raises(ValueError, match="same_trade <= same_kind"):
        duration_scores(tasks, 10, same_kind=0.2, same_trade=0.3, seed=0)


def test_alternatives_share_their_draws_by_name() -> None:
    network = two_paths()
    other = TaskNetwork(tasks=(task("battery", 1, 2, 9), *reversed(network.tasks)))
    ours, theirs = sample_durations(network, 64), sample_durations(other, 64)
    for name, k in network.index().items():
        assert np.array_equal(ours[:, k], theirs[:, other.index()[name]])


def test_common_draws_show_what_a_longer_task_costs_in_every_sample() -> None:
    network = two_paths()
    build = build_schedule(network, 500)
    moved = build.delayed_s("order", 5 * DAY, "done")
    assert moved.min() >= 0.0
    assert moved.max() <= 5 * DAY * (1 + 1e-12)
    assert 0.0 < moved.mean() / (5 * DAY) < 1.0


def test_days_per_day_is_the_slope_of_the_milestone() -> None:
    build = build_schedule(two_paths(), 500)
    for influence in build.sensitivity("done"):
        little = build.delayed_s(influence.kind, 1.0, "done").mean()
        assert little == pytest.approx(influence.days_per_day, abs=0.01)


def test_the_task_with_the_wide_range_matters_most() -> None:
    build = build_schedule(two_paths(), 1000)
    first = build.sensitivity("done")[0]
    assert first.kind == "permits"
    assert first.rank_correlation > 0.8
    assert 0.6 < first.variance_share <= 1.0


def test_variance_shares_of_a_sum_are_the_shares_of_its_parts() -> None:
    x = normal_scores(("a", "b", "c"), 4000)
    date = 3 * x[:, 0] + x[:, 1]
    assert variance_shares(x, date) == pytest.approx([0.9, 0.1, 0.0], abs=0.04)
    assert variance_shares(x, np.ones(4000)).tolist() == [0.0, 0.0, 0.0]


def test_ranks_share_ties_and_correlation_ignores_what_does_not_vary() -> None:
    assert ranks(np.array([[3.0], [1.0], [3.0], [2.0]]))[:, 0].tolist() == [2.5, 0.0, 2.5, 1.0]
    columns = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    assert spearman(columns, np.array([1.0, 8.0, 27.0])).tolist() == pytest.approx([1.0, 0.0])


def test_a_date_is_ordered_and_the_plan_of_best_durations_is_optimistic() -> None:
    build = build_schedule(two_paths(), 1000)
    date = build.date("done")
    assert date.p10_s < date.p50_s < date.p90_s
    assert build.plan.total_s[0] <= date.p50_s  # merge bias
    assert build.probability(date.p90_s, "done") == pytest.approx(0.9, abs=0.01)


def test_the_critical_path_is_said_in_words_and_drawn() -> None:
    build = build_schedule(two_paths(), 400)
    path = build.critical_path("done")
    assert path.tasks == ("permits", "works", "joined")
    assert 0.3 < path.share <= 1.0
    assert str(path).startswith("permits (")
    chart = build.timeline()
    assert chart.lanes == build.network.names
    assert set(chart.labels) == {"critical", "with slack"}
    assert chart.duration_s == build.plan.total_s[0]


def test_unknown_milestones_name_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'done'"):
        build_schedule(two_paths(), 10).date("don")


def test_a_schedule_becomes_a_table() -> None:
    pytest.importorskip("pandas")
    frame = build_schedule(two_paths(), 50).to_frame()
    assert list(frame["task"]) == ["permits", "order", "works", "joined"]
    assert (frame["start_p10_s"] <= frame["start_p90_s"]).all()
