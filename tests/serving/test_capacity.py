"""The rate that keeps a promise: against a queue with a known tail, its own definition, and bad input."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from gigawatt.errors import InputError
from gigawatt.serving._capacity import Promise, broken_promises, capacity, student_t
from gigawatt.serving._requests import Requests
from gigawatt.serving._service import Pool, Service
from gigawatt.serving._simulate import simulate
from gigawatt.serving._step_table import StepTable

KV_BYTES = 327_680.0


def table(capacity_tokens=1_000_000):
    one, zero = np.ones(1), np.zeros(1)
    return StepTable(
        tokens=np.array([0.0, 1.0, 64.0, 256.0, 512.0, 8192.0]),
        products_s=np.array([[12.0, 12.0, 13.0, 17.0, 25.0, 370.0]]) / 1e3,
        head_s=np.zeros((1, 6)),
        decode_key_s=one * KV_BYTES / (8 * 3.35e12 * 0.75),
        decode_window_key_s=zero,
        prefill_pair_s=one * 1e-10,
        prefill_window_pair_s=zero,
        prefill_token_s=zero,
        step_s=zero,
        sequence_s=zero,
        window=0,
        accelerators=8 * one,
        kv_bytes=one * KV_BYTES,
        sequence_bytes=zero,
        kv_capacity_bytes=one * KV_BYTES * capacity_tokens,
    )


def lengths(count, seed=0, **fields):
    rng = np.random.default_rng(seed)
    return Requests(
        arrival_s=np.zeros(count),
        prompt_tokens=np.maximum(rng.lognormal(6.7, 0.8, count), 1).astype(np.int64),
        output_tokens=np.maximum(rng.lognormal(5.0, 0.7, count), 1).astype(np.int64),
        **{"request_class": np.zeros(count, dtype=np.int64)} | fields,
    )


PROMISE = {"all": Promise(ttft_s=2.0, tpot_s=0.05, quantile=0.95)}


def test_students_t_is_that_of_scipy():
    for freedom in (3, 9, 29):
        assert student_t(0.95, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=0.01)


def test_the_mean_wait_of_one_server_with_constant_service_sets_the_rate():
    """M/D/1: P(wait <= t) is known in closed form (Erlang 1909), so the rate that keeps a promise is."""
    count, service_s, ttft_s, quantile = 60_000, None, None, 0.9
    pool = Pool(table=table(), max_sequences=1)
    asked = Requests(
        arrival_s=np.zeros(count),
        prompt_tokens=np.full(count, 400),
        output_tokens=np.ones(count, dtype=np.int64),
        request_class=np.zeros(count, dtype=np.int64),
    )
    alone = simulate(replace(asked, arrival_s=np.arange(count) * 1.0), Service(pool=pool))
    service_s = float(alone.ttft_s[0])
    ttft_s = 4.5 * service_s

    def kept(rho):
        """P(wait <= 3.5 services) = (1 - rho) sum over k of (rho (k - x))^k / k! exp(-rho (k - x)), k = 0 .. 3."""
        x = ttft_s / service_s - 1
        return (1 - rho) * sum((rho * (k - x)) ** k / math.factorial(k) * math.exp(-rho * (k - x)) for k in range(4))

    low, high = 0.1, 0.99
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if kept(middle) >= quantile else (low, middle)
    found = capacity(asked, Service(pool=pool), {"all": Promise(ttft_s=ttft_s, tpot_s=1.0, quantile=quantile)})
    assert found.rate_per_s == pytest.approx(low / service_s, rel=0.015)
    below, above = found.interval_per_s
    assert below < found.rate_per_s < above
    assert (above - below) / found.rate_per_s < 0.03


def test_the_rate_found_keeps_the_promise_and_a_little_more_breaks_it():
    asked, service = lengths(3000), Service(pool=Pool(table=table()))
    found = capacity(asked, service, PROMISE, seeds=4, warm_up=0.0)
    assert (found.broken_per_s <= found.kept_per_s * 1.0101).all()
    for seed, kept, broken in zip(found.seeds, found.kept_per_s, found.broken_per_s, strict=True):
        unit = np.cumsum(np.random.default_rng(seed).exponential(1.0, len(asked)))
        runs = [simulate(replace(asked, arrival_s=unit / rate), service, seed=seed) for rate in (kept, broken)]
        assert not list(broken_promises(runs[0], PROMISE))
        assert list(broken_promises(runs[1], PROMISE))
    assert found.runs < 4 * 15
    assert found.to_dict() == capacity(asked, service, PROMISE, seeds=4, warm_up=0.0).to_dict()


def test_a_stricter_promise_is_kept_at_a_lower_rate_and_twice_the_replicas_at_more():
    asked, pool = lengths(2000), Pool(table=table())
    kw = {"seeds": 3, "tolerance": 0.03}
    loose = capacity(asked, Service(pool=pool), PROMISE, **kw)
    strict = capacity(asked, Service(pool=pool), {"all": Promise(ttft_s=0.6, tpot_s=0.05, quantile=0.95)}, **kw)
    double = capacity(lengths(4000), Service(pool=replace(pool, replicas=2)), PROMISE, **kw)
    assert strict.rate_per_s < loose.rate_per_s
    assert double.rate_per_s > 1.8 * loose.rate_per_s


def test_what_binds_is_named():
    asked, service = lengths(2000), Service(pool=Pool(table=table()))
    for promise, name in ((Promise(ttft_s=0.4, tpot_s=9.0), "TTFT"), (Promise(ttft_s=99.0, tpot_s=0.02), "TPOT")):
        assert capacity(asked, service, {"all": promise}, seeds=3, tolerance=0.05).limit.startswith(name)
    patient = {"all": Promise(ttft_s=1e6, tpot_s=1e6)}
    assert "queue" in capacity(asked, service, patient, seeds=3, tolerance=0.05).limit
    unloaded = capacity(asked, service, {"all": Promise(ttft_s=1e-3, tpot_s=9.0)}, seeds=3)
    assert unloaded.rate_per_s == 0.0
    assert unloaded.limit.startswith("TTFT")


def test_promises_by_class_and_sessions():
    count = 1200
    classes = np.arange(count) % 2
    after = np.where(classes == 1, np.arange(count) - 1, -1)
    asked = lengths(count, request_class=classes, classes=("first", "later"), after=after, pause_s=np.full(count, 5.0))
    service = Service(pool=Pool(table=table()))
    kw = {"seeds": 3, "tolerance": 0.05}
    both = capacity(
        asked, service, {"first": Promise(ttft_s=0.5, tpot_s=0.05), "later": Promise(ttft_s=9.0, tpot_s=9.0)}, **kw
    )
    easy = capacity(asked, service, {"later": Promise(ttft_s=9.0, tpot_s=9.0)}, **kw)
    assert both.limit.split()[2] == "first"
    assert both.rate_per_s < easy.rate_per_s


@pytest.mark.parametrize(
    ("promises", "kw", "path"),
    [
        ({"chat": Promise(ttft_s=1, tpot_s=1)}, {}, "chat"),
        ({}, {}, "promises"),
        ({"all": Promise(ttft_s=0, tpot_s=1)}, {}, "promises.all"),
        (PROMISE, {"seeds": 2}, "seeds"),
        (PROMISE, {"tolerance": 0.0}, "capacity"),
    ],
)
def test_bad_questions(promises, kw, path):
    with pytest.raises(InputError, match=path):
        capacity(lengths(10), Service(pool=Pool(table=table())), promises, **kw)
    with pytest.raises(InputError, match="closed loop"):
        capacity(lengths(10), Service(pool=Pool(table=table()), concurrency=3), PROMISE)


def test_too_few_requests_are_said():
    with pytest.raises(InputError, match="too few requests"):
        capacity(lengths(3), Service(pool=Pool(table=table())), {"all": Promise(ttft_s=60, tpot_s=60)})
