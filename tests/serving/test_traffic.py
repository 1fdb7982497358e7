import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.errors import InfeasibleError, InputError
from gigawatt.serving._arrivals import Bursty, Gamma, Poisson
from gigawatt.serving._lengths import FixedLength, Lengths, TraceLengths, UniformLength, length, nominal_lengths
from gigawatt.serving._sessions import Sessions
from gigawatt.serving._shapes import DAY_S, HOUR_S, WEEK_S, YEAR_S, day_shape, rate_profile, shape_names, week_shape
from gigawatt.serving._summary import ideal_reuse, reused_tokens, squared_variation, summarise_traffic
from gigawatt.serving._traces import PACKAGED_TRACES, read_trace
from gigawatt.serving._traffic import Promise, TrafficClass, at_rate, draw_requests, draw_traffic, rate_by_hour

FIXED = Lengths(prompt=FixedLength(100), output=FixedLength(10))


def traffic(**given):
    fields = {"name": "chat", "lengths": FIXED, "rate_per_s": 10.0} | given
    if "users" in given:
        del fields["rate_per_s"]
    return TrafficClass(**fields)


def draw(*classes, duration_s=HOUR_S, seed=1, **given):
    return draw_requests(classes, duration_s=duration_s, seed=seed, **given)


# shapes ----------------------------------------------------------------------------------------------------------------


def test_packaged_shapes_have_mean_one_and_swing_as_their_names_say():
    assert set(shape_names()) == {"chat", "office", "api", "flat"}
    for name in shape_names():
        assert day_shape(name).mean() == pytest.approx(1, abs=1e-12)
        assert week_shape(name).mean() == pytest.approx(1, abs=1e-12)
    swing = {name: day_shape(name).max() / day_shape(name).min() for name in shape_names()}
    assert swing["office"] > swing["chat"] > swing["api"] > swing["flat"] == 1
    assert day_shape(range(24))[23] == pytest.approx(23 / 11.5)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ("ofice", "did you mean 'office'"),
        ([1] * 23, "24 numbers"),
        ([0] * 24, "24 numbers"),
        ([-1] + [1] * 23, "24 numbers"),
        ([math.nan] * 24, "24 numbers"),
    ],
)
def test_what_is_no_shape_is_refused(shape, words):
    with pytest.raises(InputError, match=words):
        traffic(day_shape=shape)


@given(
    st.lists(st.floats(0, 10), min_size=24, max_size=24).filter(lambda each: sum(each) > 0.1),
    st.lists(st.floats(0, 10), min_size=7, max_size=7).filter(lambda each: sum(each) > 0.1),
    st.floats(-3e6, 3e6),
)
@settings(max_examples=50, deadline=None)
def test_any_week_keeps_the_total_and_time_inverts_the_expected_number(day, week, start_s):
    profile = rate_profile(2.0, day_shape(day), week_shape(week), 1.0, start_s, WEEK_S)
    total = profile.cumulative()
    assert total[-1] == pytest.approx(2.0 * WEEK_S, rel=1e-9)
    expected = np.linspace(0.0, total[-1], 501)[1:-1]
    times = profile.time_of(expected)
    assert (np.diff(times) >= -1e-6).all()
    # The rate at a time between edges is straight, so the expected number there is a quadratic.
    index = np.clip(np.searchsorted(profile.edges_s, times, side="right") - 1, 0, len(profile.first) - 1)
    part = times - profile.edges_s[index]
    slope = (profile.last - profile.first) / np.diff(profile.edges_s)
    assert total[index] + profile.first[index] * part + 0.5 * slope[index] * part**2 == pytest.approx(
        expected, rel=1e-6, abs=1e-3
    )


def test_a_week_follows_the_day_unless_told():
    assert traffic(day_shape="office").week == "office"
    assert traffic(day_shape="office", week_shape="flat").week == "flat"
    assert traffic(day_shape=[1] * 24).week == "flat"


def test_growth_is_a_factor_per_year():
    hours = rate_by_hour([traffic(growth_per_year=2.5)], start_s=YEAR_S, hours=1)
    assert hours[0, 0] == pytest.approx(25.0, rel=1e-3)
    month = rate_by_hour([traffic(growth_per_year=2.5)], hours=730)
    assert month[0, -1] / month[0, 0] == pytest.approx(2.5 ** (729 * HOUR_S / YEAR_S), rel=1e-9)


def test_rate_by_hour_is_the_day_and_the_week():
    rates = rate_by_hour([traffic(day_shape="office", week_shape="office"), traffic(name="flat")])
    assert rates.shape == (2, 168)
    assert rates.mean(axis=1) == pytest.approx([10, 10], rel=1e-9)
    assert rates[0].argmax() % 24 in (9, 10, 14)
    assert rates[0, :24].sum() / rates[0, 5 * 24 : 6 * 24].sum() > 5
    assert rates[1] == pytest.approx(np.full(168, 10.0))


# arrivals --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("burstiness", [0.25, 1.0, 4.0, 20.0])
def test_gamma_gaps_keep_rate_and_squared_variation(burstiness):
    times = draw(traffic(rate_per_s=100.0, arrivals=Gamma(burstiness=burstiness)), duration_s=4000.0).arrival_s
    error = math.sqrt(burstiness * 4e5)
    assert abs(len(times) - 4e5) < 4 * error
    assert squared_variation(times) == pytest.approx(burstiness, rel=0.08)


def test_gamma_windows_begin_in_the_steady_state():
    short = [
        len(draw(traffic(rate_per_s=1.0, arrivals=Gamma(burstiness=9.0)), duration_s=3.0, seed=seed))
        for seed in range(4000)
    ]
    assert np.mean(short) == pytest.approx(3.0, abs=4 * np.std(short) / math.sqrt(4000))


def test_bursts_have_the_squared_variation_of_the_formula():
    bursts = Bursty(burst_ratio=8.0, burst_s=5.0, quiet_s=20.0)
    times = draw(traffic(rate_per_s=20.0, arrivals=bursts), duration_s=40_000.0).arrival_s
    assert len(times) == pytest.approx(8e5, rel=0.02)
    assert squared_variation(times) == pytest.approx(bursts.burstiness(20.0), rel=0.05)
    assert bursts.burstiness(20.0) > 2
    assert Bursty(burst_ratio=1.0, burst_s=5.0, quiet_s=20.0).burstiness(20.0) == 1.0


def test_poisson_in_operational_time_is_poisson_thinned():
    """The slow oracle: draw at the highest rate, keep each arrival with the share of the rate at its time."""
    each = traffic(rate_per_s=0.5, day_shape="office", week_shape="flat")
    fast = np.concatenate([draw(each, duration_s=DAY_S, seed=seed).arrival_s for seed in range(20)])
    day, rng = day_shape("office"), np.random.default_rng(5)
    times = rng.uniform(0, DAY_S, rng.poisson(20 * 0.5 * day.max() * DAY_S))
    middles = (np.arange(-1, 25) + 0.5) * HOUR_S
    rate = np.interp(times, middles, day[np.arange(-1, 25) % 24])
    slow = times[rng.random(len(times)) < rate / day.max()]
    assert len(fast) == pytest.approx(20 * 0.5 * DAY_S, rel=4 / math.sqrt(20 * 0.5 * DAY_S))
    histograms = [np.histogram(one, 48, (0, DAY_S))[0] for one in (fast, slow)]
    spread = (histograms[0] - histograms[1]) / np.sqrt(histograms[0] + histograms[1])
    assert np.square(spread).mean() == pytest.approx(1.0, abs=0.75)


def test_a_gamma_process_keeps_its_clumps_at_every_hour():
    each = traffic(rate_per_s=20.0, day_shape="chat", arrivals=Gamma(burstiness=6.0))
    times = draw(each, duration_s=DAY_S).arrival_s
    for hour in (4, 14):
        inside = times[(times > hour * HOUR_S) & (times < (hour + 1) * HOUR_S)]
        assert squared_variation(inside) == pytest.approx(6.0, rel=0.15)


# lengths ---------------------------------------------------------------------------------------------------------------

RNG_NUMBER = 400_000


def drawn(found, seed=3):
    return found.draw(np.random.default_rng(seed), RNG_NUMBER)


@pytest.mark.parametrize(
    "statistics",
    [
        {"mean": 1155, "p50": 1020},
        {"mean": 1000, "p99": 6000},
        {"p50": 1000, "p99": 8000},
        {"mean": 211, "p50": 129, "p99": 601},
        {"mean": 2048, "p50": 1469, "p99": 7436},
        {"mean": 12035, "p50": 6909, "p99": 85401},
        {"p50": 300, "p99": 3000, "tail": 2.5},
    ],
)
def test_lengths_have_the_statistics_that_were_given(statistics):
    found = length(**statistics)
    tokens = drawn(found)
    assert tokens.mean() == pytest.approx(found.mean(), rel=0.02)
    if "mean" in statistics:
        assert found.mean() == pytest.approx(statistics["mean"], rel=1e-6)
    for share, name in ((50, "p50"), (99, "p99")):
        if name in statistics:
            assert 100 * (tokens <= statistics[name]).mean() == pytest.approx(share, rel=0.005)


def test_a_lognormal_by_hand():
    found = length(p50=1000, p99=8000)
    sigma = math.log(8) / NormalDist().inv_cdf(0.99)
    assert found.mean() == pytest.approx(1000 * math.exp(sigma**2 / 2), rel=1e-6)
    assert length(mean=1000, p50=800).sigma == pytest.approx(math.sqrt(2 * math.log(1.25)))


def test_the_tail_is_a_pareto_law():
    tokens = drawn(length(p50=100, p99=1000, tail=2.0))
    beyond = tokens[tokens > 1000]
    assert len(beyond) / RNG_NUMBER == pytest.approx(0.01, rel=0.05)
    for factor in (2, 5):
        assert (beyond > 1000 * factor).mean() == pytest.approx(factor**-2.0, rel=0.12)
    # Hill's estimator of the exponent
    assert 1 / np.log(beyond / 1000).mean() == pytest.approx(2.0, rel=0.06)


def test_cut_offs_and_uniform_lengths():
    tokens = drawn(length(p50=100, p99=1000, min=50, max=1200))
    assert (tokens.min(), tokens.max()) == (50, 1200)
    uniform = drawn(length(min=800, max=1000))
    assert uniform.mean() == pytest.approx(900, rel=1e-3)
    prompt, output = nominal_lengths(1000, 100, 0.8).draw(np.random.default_rng(1), RNG_NUMBER)
    assert (prompt.min(), prompt.max(), output.min(), output.max()) == (800, 1000, 80, 100)
    assert length(mean=512).draw(np.random.default_rng(1), 3).tolist() == [512, 512, 512]


@pytest.mark.parametrize(
    ("statistics", "words"),
    [
        ({}, "found nothing"),
        ({"min": 5}, "found one end"),
        ({"p50": 10}, "two of mean, p50 and p99"),
        ({"mean": 10, "p50": 20}, "a mean of at least p50, 20"),
        ({"mean": 10, "p99": 1000}, "p99 from 10 to 149.7"),
        ({"mean": 10, "p99": 5}, "p99 from 10"),
        ({"p50": 10, "p99": 5}, "p99 of at least p50"),
        ({"mean": 9000, "p50": 10, "p99": 500}, "a mean from"),
        ({"mean": 0.5}, "1 token or more"),
        ({"mean": 100, "p50": 80, "max": 90}, "between min 1 and max 90"),
        ({"min": 9, "max": 3}, "min below max"),
        ({"p50": 10, "p99": 100, "tail": 1.0}, "no mean"),
    ],
)
def test_impossible_statistics_say_what_would_do(statistics, words):
    with pytest.raises(InputError, match=words):
        length(**statistics)


def test_trace_lengths_keep_pairs():
    trace = read_trace("azure code 2023")
    requests = draw(traffic(lengths=TraceLengths.of(trace), rate_per_s=50.0))
    pairs = set(zip(trace.prompt_tokens.tolist(), trace.output_tokens.tolist(), strict=True))
    assert set(zip(requests.prompt_tokens.tolist(), requests.output_tokens.tolist(), strict=True)) <= pairs
    assert requests.prompt_tokens.mean() == pytest.approx(trace.prompt_tokens.mean(), rel=0.01)


# sessions --------------------------------------------------------------------------------------------------------------

SESSION = {
    "lengths": Lengths(prompt=UniformLength(20, 200), output=UniformLength(50, 300)),
    "sessions": Sessions(turns=4.0, pause_s=30.0, calls=3.0, tool_pause_s=2.0, tool_tokens=FixedLength(500)),
    "system_prompt_tokens": 300,
}


def ids(requests, index):
    return requests.blocks[requests.block_start[index] : requests.block_start[index + 1]].tolist()


def test_prompts_of_a_session_grow_and_share_their_beginning():
    requests = draw(traffic(**SESSION), block_tokens=16)
    waiting = np.flatnonzero(requests.after >= 0)
    assert len(waiting) > 0.85 * len(requests) * (1 - 1 / 12)
    before = requests.after[waiting]
    assert (before < waiting).all()
    assert (np.diff(requests.arrival_s) >= 0).all()
    assert requests.arrival_s[waiting] == pytest.approx(requests.arrival_s[before] + requests.pause_s[waiting])
    grown = requests.prompt_tokens[waiting] - requests.prompt_tokens[before] - requests.output_tokens[before]
    assert (grown >= 20).all()
    assert (grown == 500).mean() == pytest.approx((12 - 4) / (12 - 1), abs=0.02)
    for index in waiting[:300].tolist():
        earlier = ids(requests, requests.after[index])
        assert ids(requests, index)[: len(earlier)] == earlier
        assert len(earlier) == requests.prompt_tokens[requests.after[index]] // 16
    assert np.array_equal(np.unique(requests.blocks), np.arange(requests.blocks.max() + 1))


def test_the_rate_counts_requests_also_where_sessions_outlast_the_window():
    requests = draw(traffic(rate_per_s=50.0, **SESSION | {"sessions": Sessions(turns=8.0, pause_s=600.0)}))
    halves = np.histogram(requests.arrival_s, 2, (0, HOUR_S))[0]
    assert halves == pytest.approx([90_000, 90_000], rel=0.03)


def test_only_the_system_prompt_is_shared_between_sessions():
    requests = draw(traffic(system_prompt_tokens=300), block_tokens=16)
    assert (requests.prompt_tokens == 400).all()
    assert (reused_tokens(requests)[1:] == 300 // 16 * 16).all()
    assert len(requests.after) == 0
    assert len(draw(traffic()).blocks) == 0


def test_documents_are_asked_about_by_rank():
    each = traffic(rate_per_s=50.0, system_prompt_tokens=160, document_tokens=1_600, documents=20, document_skew=1.0)
    requests = draw(each, block_tokens=16)
    second = requests.blocks[requests.block_start[:-1] + 20]
    counts = np.sort(np.unique(second, return_counts=True)[1])[::-1] / len(requests)
    assert counts == pytest.approx(1 / np.arange(1, 21) / (1 / np.arange(1, 21)).sum(), abs=0.01)
    assert len(np.unique(requests.blocks[requests.block_start[:-1]])) == 1
    assert ideal_reuse(requests) == pytest.approx(1760 / 1860, rel=0.01)


def test_a_full_context_begins_anew():
    each = traffic(**SESSION, max_context=2_000)
    found = draw_traffic([each], duration_s=HOUR_S, seed=1, block_tokens=16)
    requests = found.requests
    assert (requests.prompt_tokens + requests.output_tokens <= 2_000).all()
    assert found.clipped_share.tolist() == [0.0]
    waiting = np.flatnonzero(requests.after >= 0)
    fell = requests.prompt_tokens[waiting] <= requests.prompt_tokens[requests.after[waiting]]
    assert 0.05 < fell.mean() < 0.95
    index = int(waiting[fell][0])
    shared = common(ids(requests, index), ids(requests, requests.after[index]))
    assert shared == 300 // 16


def common(one, other):
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))


def test_what_is_clipped_is_reported():
    each = traffic(lengths=Lengths(prompt=UniformLength(1, 1000), output=FixedLength(100)), max_context=600)
    found = draw_traffic([each], duration_s=HOUR_S, seed=1)
    assert found.clipped_share[0] == pytest.approx(0.5, abs=0.01)
    assert found.requests.prompt_tokens.max() == 500
    huge = traffic(lengths=Lengths(prompt=FixedLength(5), output=FixedLength(10_000)), max_context=600)
    requests = draw(huge)
    assert (requests.prompt_tokens == 1).all()
    assert (requests.output_tokens == 599).all()


def test_sessions_of_fixed_counts():
    sessions = Sessions(turns=3, pause_s=1.0, spread="fixed")
    requests = draw(traffic(sessions=sessions, lengths=FIXED))
    assert set(requests.prompt_tokens.tolist()) == {100, 210, 320}


# the whole -------------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_requests_and_classes_do_not_disturb_each_other():
    one, two = traffic(**SESSION), traffic(name="code", rate_per_s=3.0, arrivals=Gamma(burstiness=3.0))
    first, again, alone = draw(one, two), draw(one, two), draw(one)
    for name in ("arrival_s", "prompt_tokens", "output_tokens", "after", "blocks", "block_start"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert np.array_equal(first.arrival_s[first.request_class == 0], alone.arrival_s)
    assert not np.array_equal(draw(one, seed=2).arrival_s[:50], alone.arrival_s[:50])
    assert first.classes == ("chat", "code")


@given(
    rate=st.floats(0.5, 20),
    turns=st.floats(1, 6),
    calls=st.floats(1, 4),
    system=st.integers(0, 200),
    context=st.integers(400, 3000),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=25, deadline=None)
def test_what_every_draw_keeps(rate, turns, calls, system, context, seed):
    sessions = Sessions(turns=turns, pause_s=20.0, calls=calls, tool_pause_s=1.0)
    lengths = Lengths(prompt=length(p50=60, p99=600), output=length(p50=30, p99=200))
    each = traffic(
        rate_per_s=rate, sessions=sessions, lengths=lengths, system_prompt_tokens=system, max_context=context
    )
    requests = draw(each, traffic(name="other", rate_per_s=1.0), duration_s=300.0, seed=seed, block_tokens=16)
    assert (np.diff(requests.arrival_s) >= 0).all()
    assert ((requests.arrival_s >= 0) & (requests.arrival_s < 300)).all()
    assert min(requests.prompt_tokens.min(), requests.output_tokens.min()) >= 1
    mine = requests.request_class == 0
    assert ((requests.prompt_tokens + requests.output_tokens)[mine] <= context).all()
    if len(requests.after):
        assert (requests.after < np.arange(len(requests))).all()
        assert (requests.pause_s[requests.after < 0] == 0).all()
    if len(requests.blocks):
        counts = np.diff(requests.block_start)
        assert (counts[mine] == requests.prompt_tokens[mine] // 16).all()
        assert (counts[~mine] == 0).all()
        assert np.array_equal(np.unique(requests.blocks), np.arange(requests.blocks.max() + 1))


def test_a_window_may_be_empty():
    found = draw_traffic(
        [traffic(rate_per_s=1e-9), traffic(name="b", rate_per_s=1e-9, **SESSION)], duration_s=1.0, seed=1
    )
    assert len(found.requests) == 0
    assert found.clipped_share.tolist() == [0.0, 0.0]
    assert ideal_reuse(found.requests) == 0.0


def test_a_shape_with_silent_hours_is_silent_then():
    times = draw(traffic(day_shape=[0.0] * 12 + [1.0] * 12, week_shape="flat"), duration_s=DAY_S).arrival_s
    inside = (times > 0.5 * HOUR_S) & (times < 11.5 * HOUR_S)
    assert inside.sum() == 0
    assert len(times) == pytest.approx(10 * DAY_S, rel=0.01)


def test_users_make_a_rate():
    each = traffic(users=1e6, requests_per_user_per_day=8.0)
    assert each.mean_rate_per_s == pytest.approx(92.6, abs=0.05)


def test_a_summary_of_two_classes():
    chat = traffic(rate_per_s=20.0, day_shape="office", week_shape="office", system_prompt_tokens=300)
    code = traffic(name="code", rate_per_s=5.0, max_context=105)
    summaries = summarise_traffic([chat, code], start_s=DAY_S + 10 * HOUR_S, duration_s=HOUR_S, seed=4)
    peak = rate_by_hour([chat]).max()
    assert summaries[0].peak_hour_rate_per_s == pytest.approx(peak)
    assert summaries[0].rate_per_s == pytest.approx(peak, rel=0.05)
    assert summaries[0].prompt.mean == 400
    assert summaries[0].ideal_reuse == pytest.approx(256 / 400, abs=0.001)
    assert summaries[1].clipped_share == 1.0
    assert summaries[1].input_tokens_per_s == pytest.approx(95 * summaries[1].rate_per_s)
    assert summaries[1].output_tokens_per_s == pytest.approx(10 * summaries[1].rate_per_s)


@pytest.mark.parametrize("name", PACKAGED_TRACES)
def test_a_trace_plays_at_another_rate(name):
    trace = read_trace(name)
    faster = at_rate(trace, 100.0)
    assert (len(trace) - 1) / faster.arrival_s[-1] == pytest.approx(100.0)
    assert squared_variation(faster.arrival_s) == pytest.approx(squared_variation(trace.arrival_s))
    assert faster.blocks is trace.blocks


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: traffic(rate_per_s=None), "give either a rate, or users"),
        (lambda: TrafficClass(name="a", lengths=FIXED, rate_per_s=1.0, users=5.0), "give either a rate, or users"),
        (lambda: traffic(users=5.0), "give either a rate, or users"),
        (lambda: traffic(rate_per_s=0.0), "rate: impossible value"),
        (lambda: traffic(growth_per_year=0.0), "growth_per_year"),
        (lambda: traffic(system_prompt_tokens=600, max_context=600), "at least 602 tokens"),
        (lambda: traffic(documents=0), "documents"),
        (lambda: Promise(percentile=1.0), "between 0 and 1"),
        (lambda: Promise(ttft_s=0.0), "ttft: impossible value"),
        (lambda: Sessions(turns=0.5), "turns"),
        (lambda: Sessions(turns=2.5, spread="fixed"), "must be whole"),
        (lambda: Sessions(pause_s=-1.0), "pause_s"),
        (lambda: Gamma(burstiness=0.0), "squared coefficient"),
        (lambda: Bursty(burst_ratio=0.5, burst_s=1.0, quiet_s=1.0), "burst_ratio"),
        (lambda: draw(), "names of their own"),
        (lambda: draw(traffic(), traffic()), "names of their own"),
        (lambda: draw(traffic(), duration_s=0.0), "longer than 0 s"),
        (lambda: at_rate(draw(traffic()), 0.0), "above 0"),
        (lambda: summarise_traffic([traffic(rate_per_s=1e-6)], duration_s=1.0, seed=1), "no time|no request"),
    ],
)
def test_impossible_traffic_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_more_than_memory_holds_names_the_limit():
    with pytest.raises(InfeasibleError, match="20,000,000 can be held") as error:
        draw(traffic(rate_per_s=1e6))
    assert "times shorter" in error.value.remedy
    with pytest.raises(InfeasibleError, match="blocks"):
        draw(traffic(rate_per_s=50.0, system_prompt_tokens=10**5), block_tokens=16)


def test_poisson_by_its_counts():
    counts = [len(draw(traffic(arrivals=Poisson()), duration_s=10.0, seed=seed)) for seed in range(2000)]
    assert np.mean(counts) == pytest.approx(100, abs=1)
    assert np.var(counts) == pytest.approx(100, rel=0.15)
