"""Closed formulas against published numbers and against sums written out."""

import numpy as np
import pytest

from gigawatt.serving import decode_roofline_seconds, prefill_flop, resident_tokens, stability_rate

V5E = {
    "kv_bytes_per_token": 100e3,
    "weight_bytes": 30e9,
    "active_parameters": 30e9,
    "flop_per_s": 16 * 197e12,
    "memory_bytes_per_s": 16 * 8.1e11,
}


def test_thirty_billion_on_sixteen_tpu_v5e():
    found = decode_roofline_seconds(np.array([4.0, 256.0]), 8192.0, **V5E)
    assert found == pytest.approx([2.57e-3, 21.05e-3], rel=0.005)
    assert decode_roofline_seconds(4.0, 8192.0, **V5E) == found[0]


def test_prefill_flop_of_one_token_is_two_per_parameter():
    assert prefill_flop(1.0, active_parameters=1e9, layers=1, attention_width=1) == pytest.approx(2e9 + 2)


def test_resident_tokens_are_the_sum_over_a_life():
    total, iterations = resident_tokens(2000, 500, 512)
    assert total == 1_130_322
    assert iterations == 504
    for prompt, output, chunk in ((1, 1, 1), (512, 3, 512), (513, 7, 512), (4000, 20, 300)):
        held, life = 0, 0
        for i in range(1, -(-prompt // chunk) + 1):
            held, life = held + min(prompt, i * chunk), life + 1
        for i in range(1, output + 1):
            held, life = held + prompt + i, life + 1
        assert [float(x) for x in resident_tokens(prompt, output, chunk)] == [held, life]


def test_stability_is_littles_law():
    """At the limit the tokens of the requests in flight fill the cache."""
    rate = stability_rate(1e6, 0.02, 2000, 500, 512)
    total, iterations = resident_tokens(2000, 500, 512)
    in_flight = rate * iterations * 0.02
    assert in_flight * total / iterations == pytest.approx(1e6)
