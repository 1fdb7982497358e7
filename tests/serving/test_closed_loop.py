"""The closed loop against sums written out, its compiled form against the plain one, and against the steady state."""

import numpy as np
import pytest

from gigawatt.serving import MeanLengths, closed_loop, steady_state
from gigawatt.serving import _closed_loop as loop

ROW = np.zeros(1, dtype=np.int64)


def run(table, prompts, outputs, **options):
    settings = {"clients": 1, "slots": 1000, "token_budget": 8192} | options
    return closed_loop(table, 0, prompts=np.asarray(prompts), outputs=np.asarray(outputs), **settings)


def test_one_client_is_prompt_and_steps(make_table):
    table = make_table(tensor_parallel=4)
    found = run(table, [1000], [50])
    tokens = np.array([1000.0])
    first = table.seconds(
        ROW,
        tokens=tokens,
        sampled=np.ones(1),
        keys=np.zeros(1),
        pairs=tokens**2 / 2,
        prefill_tokens=tokens,
        sequences=np.ones(1),
    )
    steps = [
        table.seconds(ROW, tokens=np.ones(1), sampled=np.ones(1), keys=np.array([1000.0 + i]))[0] for i in range(49)
    ]
    assert found.ttft_s[0] == pytest.approx(first[0], rel=1e-9)
    assert found.tpot_s[0] == pytest.approx(np.mean(steps), rel=1e-6)
    assert found.total_s == pytest.approx(first[0] + sum(steps), rel=1e-6)


@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize("rate", [None, 5.0])
def test_compiled_is_the_plain_function(make_table, monkeypatch, mixed, rate):
    random = np.random.default_rng(1)
    prompts, outputs = random.integers(10, 3000, 60), random.integers(1, 200, 60)
    arrivals = None if rate is None else np.cumsum(random.exponential(1 / rate, 60))
    options = {"clients": 8, "mixed": mixed, "cache_tokens": 20_000.0, "reserve": 0.6, "arrivals_s": arrivals}
    table = make_table(tensor_parallel=2)
    fast = run(table, prompts, outputs, **options)
    monkeypatch.setattr(loop, "compiled", lambda: loop.run)
    slow = run(table, prompts, outputs, **options)
    for name in ("ttft_s", "tpot_s", "start_s", "end_s"):
        assert getattr(fast, name) == pytest.approx(getattr(slow, name), rel=1e-12)
    assert np.all(fast.end_s >= fast.start_s + fast.ttft_s - 1e-12)


def test_no_more_than_the_clients_are_inside_and_a_full_cache_waits(make_table):
    table = make_table(tensor_parallel=2)
    found = run(table, [500] * 40, [100] * 40, clients=4)
    for moment in found.start_s:
        inside = np.sum((found.start_s <= moment) & (found.end_s > moment))
        assert inside <= 4
    tight = run(table, [500] * 40, [100] * 40, clients=4, cache_tokens=650.0)
    assert tight.total_s > found.total_s
    assert np.mean(tight.ttft_s) > 5 * np.mean(found.ttft_s)
    assert np.mean(tight.tpot_s) < np.mean(found.tpot_s)


def test_agrees_with_the_steady_state(make_table):
    table, random = make_table(tensor_parallel=2), np.random.default_rng(0)
    prompts, outputs = random.integers(800, 1200, 1200), random.integers(100, 300, 1200)
    for clients in (4, 16, 64):
        found = run(table, prompts, outputs, clients=clients)
        state = steady_state(
            table, ROW, MeanLengths.of(prompts.mean(), outputs.mean()), sequences=np.array([clients]), token_budget=8192
        )
        assert state.tpot_s[0] == pytest.approx(np.mean(found.tpot_s), rel=0.12)
        assert state.requests_per_s[0] == pytest.approx(len(prompts) / found.total_s, rel=0.12)
