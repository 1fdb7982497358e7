"""Waiting in front of servers that work alike: mean waits of M/G/k and G/G/k queues, and how many servers keep them.

    wait = (ca2 + cs2) / 2 * service * rho ** (sqrt(2 (k + 1)) - 1) / (k (1 - rho)),  rho = rate * service / k

Means only: tails come from a simulation, never from these. Arrays broadcast; `ca2` and `cs2` are squared coefficients
of variation (variance over squared mean) of the times between arrivals and of the service: 1 and 1 for M/M/k, 1 and 0
for M/D/k.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gigawatt.errors import InputError, Problem

Array = NDArray[np.float64]
# Far above any fleet; a search that comes here has inputs without meaning.
MOST_SERVERS = 2**40


def waiting_s(
    rate: ArrayLike, service_s: ArrayLike, servers: ArrayLike, ca2: ArrayLike = 1.0, cs2: ArrayLike = 1.0
) -> Array:
    """Return the mean wait before service, seconds, (C,): infinite where the servers are not faster than the arrivals.

    `rate` arrivals per second, `service_s` mean seconds that one server spends on one of them. Sakasegawa's form of
    the Allen-Cunneen approximation (Ann. Inst. Stat. Math. 29, 1977, equation 2.11): exact for M/G/1; within 5 % of
    M/M/k from a load of one half up to 64 servers. One server at half load: waiting_s(0.5, 1, 1) = 1 s. Raises InputError for
    negative or fractional inputs that have no meaning.
    """
    arrivals, service, count, arrival_spread, service_spread = (
        np.asarray(value, dtype=np.float64) for value in (rate, service_s, servers, ca2, cs2)
    )
    _check(rate=arrivals, service_s=service, ca2=arrival_spread, cs2=service_spread)
    if np.any(~(count >= 1)):
        raise InputError(Problem(message="there must be a server", path="servers", allowed="1 or more"))
    return _waiting(arrivals, service, count, (arrival_spread + service_spread) / 2.0)


def servers_for(
    rate: ArrayLike, service_s: ArrayLike, wait_s: ArrayLike, ca2: ArrayLike = 1.0, cs2: ArrayLike = 1.0
) -> NDArray[np.int64]:
    """Return the fewest servers whose mean wait is at most `wait_s`, (C,). Arguments as `waiting_s`.

    Any wait above zero can be kept; raises InputError for a `wait_s` that is not positive.
    """
    arrivals, service, wait, arrival_spread, service_spread = np.broadcast_arrays(
        *(np.asarray(value, dtype=np.float64) for value in (rate, service_s, wait_s, ca2, cs2))
    )
    _check(rate=arrivals, service_s=service, ca2=arrival_spread, cs2=service_spread)
    if np.any(~(wait > 0)):
        raise InputError(Problem(message="a wait must be longer than nothing", path="wait_s", allowed="above 0 s"))
    spread = (arrival_spread + service_spread) / 2.0
    low = np.floor(arrivals * service)  # saturated, or idle: too few
    high = low + 1.0
    while np.any(short := _waiting(arrivals, service, high, spread) > wait):
        if np.any(high > MOST_SERVERS):
            raise InputError(Problem(message="no number of servers keeps this wait", path="wait_s"))
        low, high = np.where(short, high, low), np.where(short, 2.0 * high, high)
    while np.any(high - low > 1.0):
        middle = np.maximum(np.floor((low + high) / 2.0), 1.0)
        short = _waiting(arrivals, service, middle, spread) > wait
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.asarray(np.maximum(high, 1.0), dtype=np.int64)


def _waiting(rate: Array, service_s: Array, servers: Array, spread: Array) -> Array:
    load = rate * service_s / servers
    stable = load < 1.0
    idle = np.where(stable, 1.0 - load, 1.0)
    wait = spread * service_s * load ** (np.sqrt(2.0 * (servers + 1.0)) - 1.0) / (servers * idle)
    return np.asarray(np.where(stable, wait, np.inf))


def _check(**values: Array) -> None:
    problems = [
        Problem(message="this must be a finite number from 0", path=name, allowed="0 or more")
        for name, value in values.items()
        if np.any(~np.isfinite(value)) or np.any(value < 0)
    ]
    if problems:
        raise InputError(problems)
