"""How many replicas a day needs, hour by hour; what its peak costs and its trough leaves; and the way back, from megawatts,
dollars or users to what can be served.

C candidates, H steps of time of equal length, M months. A replica has `accelerators`, serves `promised_rate` requests/s with the promise kept, alone
or in pools (`pool_sizes`): what it serves there grows with the pool. Rates by step are the highest within a step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gigawatt.errors import InputError, Problem

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
SECONDS_PER_MONTH = 365.25 * 86400.0 / 12.0
Means = Literal["megawatts", "dollars", "accelerators", "users"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaKind:
    """C candidates: accelerators of a replica, requests/s that it serves in pools of `pool_sizes` (S,) replicas, (C, S),
    W of an accelerator at that rate, and dollars of an accelerator-hour, each (C,).
    """

    accelerators: Array
    promised_rate: Array
    pool_sizes: Array
    watts: Array
    usd_per_hour: Array

    @classmethod
    def of(
        cls, accelerators: object, promised_rate: object, *, watts: object = 0.0, usd_per_hour: object = 0.0,
        pool_sizes: object = 1.0,
    ) -> ReplicaKind:  # fmt: skip
        """Return candidates from scalars and arrays; `promised_rate` is (C,) or (C, S)."""
        sizes = np.atleast_1d(np.asarray(pool_sizes, dtype=np.float64))
        rate = np.asarray(promised_rate, dtype=np.float64)
        rate = rate.reshape(-1, len(sizes))
        wide = (np.asarray(x, dtype=np.float64) for x in (accelerators, watts, usd_per_hour))
        a, w, u = (np.broadcast_to(x, (len(rate),)) for x in wide)
        return cls(accelerators=a, promised_rate=rate, pool_sizes=sizes, watts=w, usd_per_hour=u)

    def __len__(self) -> int:
        return len(self.accelerators)

    def served(self, replicas: Array) -> Array:
        """Return requests/s of pools of `replicas` (C, ...): between two sizes straight in the logarithm of the size."""
        at = np.interp(
            np.log(np.maximum(replicas, 1.0)),
            np.log(self.pool_sizes),
            np.arange(len(self.pool_sizes), dtype=np.float64),
        )
        low = np.minimum(at.astype(np.int64), max(len(self.pool_sizes) - 2, 0))
        high = np.minimum(low + 1, len(self.pool_sizes) - 1)
        row = np.arange(len(self)).reshape(-1, *([1] * (replicas.ndim - 1)))
        rate = self.promised_rate
        return np.asarray(replicas * (rate[row, low] + (rate[row, high] - rate[row, low]) * (at - low)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """How the fleet is run: share of the time that a replica is down, the chance that is accepted that more are down
    than there are spares, time from the decision to the first request, s, length of a step of time, s, and whether the
    day repeats.
    """

    down_share: float = 0.0
    spare_risk: float = 0.01
    start_up_s: float = 0.0
    step_s: float = 3600.0
    repeats: bool = True

    def __post_init__(self) -> None:
        checks = (
            ("down_share", self.down_share, 0.0 <= self.down_share < 1.0, "0 or more and below 1"),
            ("spare_risk", self.spare_risk, 0.0 < self.spare_risk < 1.0, "between 0 and 1"),
            ("start_up", self.start_up_s, self.start_up_s >= 0.0, "0 s or more"),
            ("step", self.step_s, self.step_s > 0.0, "above 0 s"),
        )
        problems = [
            Problem(message="a fleet cannot be run so", path=f"serving.fleet.{name}", found=str(x), allowed=allowed)
            for name, x, good, allowed in checks
            if not good
        ]
        if problems:
            raise InputError(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """C fleets over H steps. `needed` (C, H) replicas keep the promise; `spares` (C,) stand in for those that are down;
    `powered` (C, H) are on on average, those that start included; `built` (C,) replicas are owned: the most at any time.

    `freed_accelerator_s` (C, H) are left for training or batch; `bound` (C,) is False where no number would do.
    """

    kind: ReplicaKind
    operation: Operation
    needed: Integers
    spares: Integers
    powered: Array
    built: Integers
    bound: NDArray[np.bool_]

    @property
    def accelerators(self) -> Array:
        """Accelerators built, (C,)."""
        return self.built * self.kind.accelerators

    @property
    def freed_accelerator_s(self) -> Array:
        """Accelerator-seconds of each step that serving leaves free, (C, H)."""
        free = (self.built[:, None] - self.powered) * self.kind.accelerators[:, None]
        return np.asarray(free * self.operation.step_s)

    @property
    def freed_share(self) -> Array:
        """Share of the accelerator time of the fleet that serving leaves free, (C,)."""
        return np.asarray(1.0 - self.powered.mean(axis=1) / np.maximum(self.built, 1))

    @property
    def peak_watts(self) -> Array:
        """W of the accelerators at the peak, (C,)."""
        return self.accelerators * self.kind.watts

    @property
    def usd_per_month(self) -> Array:
        """Dollars per month of the accelerators built, (C,)."""
        return np.asarray(self.accelerators * self.kind.usd_per_hour / 3600.0 * SECONDS_PER_MONTH)


def spares_for(replicas: Integers, down_share: float, risk: float) -> Integers:
    """Return the fewest spares s with P(more than s of replicas + s are down) <= risk, each down on its own, (...)."""
    need = np.asarray(replicas, dtype=np.int64)
    return np.asarray(np.vectorize(lambda n: _spares(int(n), down_share, risk), otypes=[np.int64])(need))


def _spares(replicas: int, down: float, risk: float) -> int:
    if replicas == 0 or down == 0.0:
        return 0
    low, high = -1, 1
    while _beyond(replicas + high, high, down) > risk:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _beyond(replicas + middle, middle, down) <= risk else (middle, high)
    return high


def _beyond(count: int, most: int, down: float) -> float:
    """Return the chance that more than `most` of `count` are down: the binomial tail, summed in logarithms."""
    k = np.arange(0, most + 1)
    ways = math.lgamma(count + 1) - np.array([math.lgamma(i + 1) + math.lgamma(count - i + 1) for i in k.tolist()])
    return float(max(1.0 - np.exp(ways + k * math.log(down) + (count - k) * math.log1p(-down)).sum(), 0.0))


def replicas_for(kind: ReplicaKind, rate: Array) -> tuple[Integers, NDArray[np.bool_]]:
    """Return the fewest replicas that serve `rate` (C, H), and whether any number does, (C,)."""
    most = kind.promised_rate.max(axis=1)
    bound = most > 0.0
    low = np.floor(rate / np.where(bound, most, 1.0)[:, None])
    least = np.where(bound, kind.promised_rate.min(axis=1), 1.0)
    sure = kind.promised_rate[:, -1:]  # the largest pools know best
    high = np.maximum(np.ceil(rate / np.maximum(np.where(least > 0.0, least, sure[:, 0]), 1e-300)[:, None]), low) + 1.0
    low = np.maximum(low - 1.0, -1.0)
    while np.any(high - low > 1.0):
        middle = np.floor((low + high) / 2.0)
        enough = (kind.served(middle) >= rate * (1.0 - 1e-12)) & (middle >= 0.0)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(bound[:, None], np.maximum(high, 0.0), 0.0).astype(np.int64), bound


def fleet(kind: ReplicaKind, rate_by_step: Array, operation: Operation | None = None) -> Fleet:
    """Return the fleets that serve `rate_by_step` (H,) or (C, H), requests/s.

    The peak sets what is built. A replica is on from `start_up_s` before it is needed: so much of the time before a rise
    counts as powered. Spares are those of the peak and always on. Raises InputError for rates below 0.
    """
    how = operation or Operation()
    rate = np.broadcast_to(
        np.atleast_2d(np.asarray(rate_by_step, dtype=np.float64)), (len(kind), np.shape(rate_by_step)[-1])
    )
    if not np.all(np.isfinite(rate) & (rate >= 0.0)):
        raise InputError(
            Problem(message="a rate by hour must be 0 or more", path="serving.traffic.rate", found=str(rate.min()))
        )
    needed, bound = replicas_for(kind, rate)
    spares = spares_for(needed.max(axis=1), how.down_share, how.spare_risk)
    ahead = how.start_up_s / how.step_s
    whole = math.floor(ahead)
    soon, later = _ahead(needed, whole, how.repeats), _ahead(needed, whole + 1, how.repeats)
    powered = soon + (ahead - whole) * (later - soon) + spares[:, None]
    return Fleet(
        kind=kind,
        operation=how,
        needed=needed,
        spares=spares,
        powered=powered,
        built=needed.max(axis=1) + spares,
        bound=bound,
    )


def _ahead(needed: Integers, steps: int, repeats: bool) -> Array:
    """Return the most that is needed now or within so many steps, (C, H)."""
    most = needed.astype(np.float64)
    for step in range(1, min(steps, needed.shape[1]) + 1):
        then = np.roll(needed, -step, axis=1).astype(np.float64)
        if not repeats:
            then[:, -step:] = 0.0
        most = np.maximum(most, then)
    return most


def growing_fleet(
    kind: ReplicaKind, rate_by_step: Array, growth_per_month: float, months: int, operation: Operation | None = None
) -> tuple[Fleet, ...]:
    """Return the fleet of each month, the first with the rates as given, every next with them times 1 + growth."""
    if months < 1 or growth_per_month <= -1.0:
        raise InputError(
            Problem(
                message="no such growth", path="serving.fleet.growth",
                found=f"{growth_per_month} over {months} months", allowed="above -1, over 1 month or more",
            )
        )  # fmt: skip
    rate = np.asarray(rate_by_step, dtype=np.float64)
    return tuple(fleet(kind, rate * (1.0 + growth_per_month) ** month, operation) for month in range(months))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What C candidates reach with given means: `replicas` in all with `spares` of them, the peak rate that they serve,
    requests/s, the users that are behind it, W at the wall and dollars per month. `binding` (C,) is what runs out first;
    "promise" where no number of replicas would do.
    """

    replicas: Integers
    spares: Integers
    rate: Array
    users: Array
    watts: Array
    usd_per_month: Array
    binding: NDArray[np.str_]


def reach(
    kind: ReplicaKind,
    *,
    megawatts: float | None = None,
    usd_per_month: float | None = None,
    accelerators: float | None = None,
    users: float | None = None,
    peak_rate_per_user: float,
    pue: float = 1.0,
    operation: Operation | None = None,
) -> Reach:
    """Return what can be served with a power limit at the wall, a budget, a number of accelerators, or for so many
    users: the least of those that are given decides, candidate by candidate.

    `peak_rate_per_user` is requests/s of a user at the peak. Raises InputError where nothing is given or a value is
    not positive.
    """
    how = operation or Operation()
    given = {"megawatts": megawatts, "dollars": usd_per_month, "accelerators": accelerators, "users": users}
    wrong = {k: v for k, v in given.items() if v is not None and not (math.isfinite(v) and v > 0.0)}
    if wrong or all(v is None for v in given.values()) or not peak_rate_per_user > 0.0:
        raise InputError(
            Problem(
                message="what is there to serve with?", path="serving.fleet", found=str(wrong or given),
                allowed="megawatts, dollars per month, accelerators or users, above 0; a rate per user above 0",
            )
        )  # fmt: skip
    each_watts = kind.accelerators * kind.watts * pue
    each_usd = kind.accelerators * kind.usd_per_hour / 3600.0 * SECONDS_PER_MONTH
    counts: dict[str, Array] = {}
    if megawatts is not None:
        counts["megawatts"] = _fit(megawatts * 1e6, each_watts)
    if usd_per_month is not None:
        counts["dollars"] = _fit(usd_per_month, each_usd)
    if accelerators is not None:
        counts["accelerators"] = _fit(accelerators, kind.accelerators)
    _, bound = replicas_for(kind, np.zeros((len(kind), 1)))
    if users is not None:
        wanted = fleet(kind, np.full((len(kind), 1), users * peak_rate_per_user), how)
        counts["users"] = wanted.built.astype(np.float64)
    names, table = np.array(list(counts)), np.stack(list(counts.values()))
    replicas = np.where(bound, table.min(axis=0), 0.0)
    if not np.all(np.isfinite(replicas)):
        raise InputError(
            Problem(message="nothing limits this fleet: it has no watts or no price", path="serving.fleet.replica")
        )
    working = _working(replicas.astype(np.int64), how)
    rate = kind.served(working.astype(np.float64))
    if users is not None:
        rate = np.minimum(rate, users * peak_rate_per_user)
    return Reach(
        replicas=replicas.astype(np.int64),
        spares=replicas.astype(np.int64) - working,
        rate=rate,
        users=rate / peak_rate_per_user,
        watts=replicas * each_watts,
        usd_per_month=replicas * each_usd,
        binding=np.where(bound, names[table.argmin(axis=0)], "promise"),
    )


def _fit(total: float, each: Array) -> Array:
    return np.where(each > 0.0, np.floor(total / np.where(each > 0.0, each, 1.0) * (1.0 + 1e-12)), np.inf)


def _working(replicas: Integers, how: Operation) -> Integers:
    """Return how many of `replicas` count when the others are spares, (C,)."""
    low, high = np.zeros_like(replicas), replicas + 1
    while np.any(high - low > 1):
        middle = (low + high) // 2
        fits = middle + spares_for(middle, how.down_share, how.spare_risk) <= replicas
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return np.asarray(low)
