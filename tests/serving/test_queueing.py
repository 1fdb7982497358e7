"""Mean waits against the exact Erlang C, a slow simulation and closed forms; server counts against trying them one by one."""

from __future__ import annotations

import heapq
import math

import numpy as np
import pytest

from gigawatt.errors import InputError
from gigawatt.serving._queueing import servers_for, waiting_s


def erlang_c_wait(rate, service_s, servers):
    """The exact mean wait of M/M/k."""
    load = rate * service_s
    blocked = 1.0
    for count in range(1, servers + 1):  # Erlang B by its recursion
        blocked = load * blocked / (count + load * blocked)
    waits = blocked / (1.0 - load / servers * (1.0 - blocked))
    return waits * service_s / (servers - load)


def simulated_wait(rate, servers, services, rng):
    """The mean wait of a first-come queue with the given service times and Poisson arrivals."""
    free = [0.0] * servers
    now, waited = 0.0, []
    for gap, service in zip(rng.exponential(1.0 / rate, len(services)), services, strict=True):
        now += gap
        start = max(now, heapq.heappop(free))
        waited.append(start - now)
        heapq.heappush(free, start + service)
    return float(np.mean(waited[len(waited) // 10 :]))


@pytest.mark.parametrize("load", [0.3, 0.5, 0.8, 0.95])
def test_one_server_is_pollaczek_khinchine(load):
    for spread in (0.0, 1.0, 4.0):
        exact = load / (1 - load) * (1 + spread) / 2 * 3.0
        assert waiting_s(load / 3.0, 3.0, 1, 1.0, spread) == pytest.approx(exact)


@pytest.mark.parametrize("servers", [2, 8, 64])
@pytest.mark.parametrize("load", [0.8, 0.9, 0.98])
def test_many_servers_near_erlang_c(servers, load):
    exact = erlang_c_wait(load * servers, 1.0, servers)
    assert waiting_s(load * servers, 1.0, servers) == pytest.approx(exact, rel=0.08, abs=5e-3)


@pytest.mark.parametrize(("servers", "sigma"), [(4, 0.0), (4, 1.0), (16, 0.5)])
def test_general_service_against_a_simulation(servers, sigma):
    rng = np.random.default_rng(servers)
    services = rng.lognormal(-(sigma**2) / 2, sigma, 150_000)
    rate = 0.85 * servers
    expected = simulated_wait(rate, servers, services, rng)
    assert waiting_s(rate, 1.0, servers, 1.0, math.expm1(sigma**2)) == pytest.approx(expected, rel=0.15)


def test_saturation_is_an_infinite_wait_and_nothing_is_not_a_number():
    waits = waiting_s([0.0, 1.0, 2.0, 5.0], 1.0, 2.0)
    assert waits[0] == 0
    assert np.isfinite(waits[1])
    assert np.all(np.isinf(waits[2:]))


def test_servers_for_is_the_first_that_keeps_the_wait():
    rate = np.array([0.1, 0.99, 7.0, 40.0, 333.3])
    wait = np.array([0.5, 0.01, 0.2, 1e-4, 3.0])
    found = servers_for(rate, 1.7, wait, 1.0, 0.3)
    for index, count in enumerate(found):
        tried = next(k for k in range(1, 2000) if waiting_s(rate[index], 1.7, k, 1.0, 0.3) <= wait[index])
        assert count == tried


def test_waits_fall_with_servers_and_grow_with_spread():
    waits = waiting_s(9.0, 1.0, np.arange(10, 40))
    assert np.all(np.diff(waits) < 0)
    assert np.all(np.diff(waiting_s(9.0, 1.0, 10, 1.0, np.linspace(0, 5, 20))) > 0)


@pytest.mark.parametrize("wrong", [{"rate": -1.0}, {"service_s": np.nan}, {"wait_s": 0.0}, {"cs2": np.inf}])
def test_inputs_without_meaning_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        servers_for(**({"rate": 1.0, "service_s": 1.0, "wait_s": 1.0} | wrong))


def test_no_server_is_refused():
    with pytest.raises(InputError, match="servers"):
        waiting_s(1.0, 1.0, [1, 0])
