"""The steady state of a replica: limits and monotonicity."""

import numpy as np
import pytest

from gigawatt.serving import MeanLengths, sequences_that_fit, steady_state


def state(table, sequences, prompt=1000, output=200):
    n = np.asarray(sequences, dtype=float)
    rows = np.zeros(len(n), dtype=np.int64)
    return steady_state(table, rows, MeanLengths.of(np.full(len(n), prompt), output), sequences=n, token_budget=8192)


def test_one_sequence_alternates_between_prompt_and_steps(make_table):
    table = make_table(tensor_parallel=4)
    found = state(table, [1.0])
    life = 1.0 / found.requests_per_s[0]
    assert life == pytest.approx(199 * found.tpot_s[0] + found.ttft_s[0], rel=0.1)
    assert found.decoding[0] < 1.0


def test_rate_and_time_per_token_grow_with_sequences(make_table):
    found = state(make_table(tensor_parallel=4), [1, 2, 4, 8, 16, 32, 64, 128, 256])
    assert np.all(np.diff(found.requests_per_s) > 0)
    assert np.all(np.diff(found.tpot_s) > 0)
    assert np.all((found.prefill_share >= 0) & (found.prefill_share <= 1))


def test_sequences_that_fit_fill_the_memory(make_table):
    table = make_table(tensor_parallel=4)
    lengths = MeanLengths.of(1000.0, 200.0)
    count = sequences_that_fit(table, np.zeros(1, dtype=np.int64), lengths)
    assert count[0] * table.kv_bytes[0] * (1000 + 100 + 8) == pytest.approx(table.kv_capacity_bytes[0])
