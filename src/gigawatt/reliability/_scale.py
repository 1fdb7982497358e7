"""Where more accelerators stop helping one synchronous run (docs/science.md 7.1, 9.3, 10.2-10.4, 10.9, 10.10).

The flow of `largest_useful_fleet`: a run and columns of fleets -> best batch at each size -> useful tokens per second ->
what each limit takes of the accelerators' time, which binds, and what moving it would bring.

Symbols: n accelerators, B batch in tokens, B_crit critical batch, a seconds of computing per token of the whole fleet,
c seconds of a step that do not shrink with the batch (latency and exposed exchange). Times in seconds, sizes in bytes.
Scalars and columns (C,) give the same answers. What other engines know (step times, critical batch, collective times)
comes in as values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gigawatt.catalog import sourced_table
from gigawatt.evidence import Breakdown, Sourced
from gigawatt.reliability._formulas import exact_efficiency, exact_interval

Array: TypeAlias = NDArray[np.float64]
Numbers: TypeAlias = float | Array

LIMITS = ("batch", "latency", "network", "stragglers", "failures", "start-up")
NEGLIGIBLE = 0.05  # below this share of the ideal rate a loss is not called a limit
MOST_TIERS = 3  # of a folded Clos


@cache
def scale_facts() -> Mapping[str, Sourced]:
    """Return the packaged numbers of scale limits by key (data/scale.csv)."""
    return MappingProxyType(sourced_table("gigawatt.reliability", "data/scale.csv"))


def batch_overhead(batch_tokens: Numbers, critical_batch_tokens: Numbers) -> Numbers:
    """Return the tokens needed over the fewest possible, 1 + B/B_crit (McCandlish and others, arXiv 1812.06162).

    Holds for the average critical batch of a run; it grows with the data and hardly with the model (arXiv 2410.21676).
    B = B_crit/5: 1.2.
    """
    return 1.0 + np.asarray(batch_tokens) / critical_batch_tokens


def best_batch_tokens(token_s: Numbers, fixed_s: Numbers, critical_batch_tokens: Numbers) -> Numbers:
    """Return the batch of most useful tokens per second, B* = sqrt(c*B_crit/a), tokens.

    Maximises B/((a*B + c)*(1 + B/B_crit)), which is then 1/(sqrt(a) + sqrt(c/B_crit))^2: at the best batch the share of
    tokens wasted equals the share of a step that is overhead. a `token_s` seconds per token of the whole fleet, c
    `fixed_s`. a = 1e-9, c = 4e-3, B_crit = 100e6: 20e6 tokens.
    """
    return np.sqrt(np.asarray(fixed_s) * critical_batch_tokens / token_s)


def ceiling_tokens_per_s(critical_batch_tokens: Numbers, fixed_s: Numbers) -> Numbers:
    """Return B_crit/c, the useful tokens per second that no number of accelerators exceeds (n to infinity at the best
    batch). B_crit = 140e6 and 120 layers with 4 exchanges of 9 us: 3.2e10 tokens per second.
    """
    return np.asarray(critical_batch_tokens) / fixed_s


def wall_accelerators(token_s: Numbers, critical_batch_tokens: Numbers, fixed_s: Numbers) -> Numbers:
    """Return the fleet at the latency wall, n = t*B_crit/c, where one accelerator takes t `token_s` for a token.

    There a*B_crit = c, so that a quarter of the ideal rate is useful at the best batch; a tenth of that fleet keeps
    58 %. 405e9 parameters at 400e12 FLOP/s each (6.1 ms per token), B_crit = 140e6, c = 4.3 ms: 2e8 accelerators.
    """
    return np.asarray(token_s) * critical_batch_tokens / fixed_s


def latency_wall_flop(
    run_s: Numbers,
    layers: Numbers,
    syncs_per_layer: Numbers,
    sync_s: Numbers,
    batch_tokens: Numbers,
    tokens_per_parameter: Numbers = 20.0,
) -> Numbers:
    """Return the largest run that latency allows, 6/20*(B*T/(k*L*t_sync))^2 FLOP (docs/science.md 10.2), in columns.

    90 days, 120 layers, 4 exchanges of 9 us, 4e6 tokens: 1.6e31, where arXiv 2411.01137 has about 1e31. Counts each token
    as useful: divide B by `batch_overhead`.
    """
    tokens = np.asarray(batch_tokens) * run_s / (np.asarray(syncs_per_layer) * layers * sync_s)
    return 6.0 / np.asarray(tokens_per_parameter) * np.square(tokens)


def straggler_factor(ranks: Numbers, jitter: Numbers, operations: Numbers = 1.0) -> Numbers:
    """Return E[slowest of n]/mean = 1 + sigma/sqrt(k)*z(n) (docs/science.md 7.1), normal and independent times.

    z = sqrt(2 ln n) - (ln ln n + ln 4 pi)/(2 sqrt(2 ln n)), from n = 4 on; below, z grows linearly from 0 at n = 1.
    This z is the mode of the largest; the mean lies 0.577/sqrt(2 ln n) higher (3 to 5 %, left out as in 7.1). `jitter` sigma is relative per operation and averages over `operations` k between two barriers. n = 16,384: z = 3.86;
    n = 1e6: 4.77.
    """
    n = np.asarray(ranks, dtype=np.float64)
    root = np.sqrt(2.0 * np.log(np.maximum(n, 4.0)))
    z = root - (np.log(root**2 / 2.0) + np.log(4.0 * np.pi)) / (2.0 * root)
    z = np.where(n < 4.0, z * np.maximum(n - 1.0, 0.0) / 3.0, z)
    return np.asarray(1.0 + np.asarray(jitter) / np.sqrt(operations) * z)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSize:
    """What a folded Clos for each fleet needs, columns (C,). `bisection_bytes_per_s` is what crosses the middle one way;
    `fits` says whether three tiers of the planes reach; `hosts` is how many endpoints they hold.
    """

    accelerators: Array
    radix: int
    planes: Array
    tiers: Array
    hosts: Array
    fits: NDArray[np.bool_]
    switches: Array
    links: Array
    optics: Array
    bisection_bytes_per_s: Array
    assumptions: Mapping[str, Sourced]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return to_plain(self)


def network_size(
    accelerators: Numbers,
    *,
    link_bytes_per_s: Numbers,
    radix: int = 64,
    planes: int | None = None,
    oversubscription: float = 1.0,
    optical_tier: int = 2,
    links_per_optic: float = 1.0,
) -> NetworkSize:
    """Return tiers, planes, switches, links and optics of a folded Clos for each fleet (docs/science.md 10.4).

    With `planes` P each port splits into P ports of a P-th of the rate and each switch runs at radix*P; None takes the
    fewest (1, 2, 4, ...) whose three tiers reach, as `hardware.plan_network` does. Links of tier `optical_tier` (1: to the
    accelerator) and above are optical, `links_per_optic` full-rate links share a module; planes split lanes, not modules.
    Half the endpoints send to the other half: n*rate/2/oversubscription, 200 Pb/s for 1e6 at 400 Gb/s. Hosts: k^2/2 for
    two tiers, k^3/4 for three: 65,536 at k = 64, 524,288 at 128. Raises ValueError for sizes that are no network.
    """
    n = np.atleast_1d(np.asarray(accelerators, dtype=np.float64))
    if radix < 2 or (n < 1).any() or (planes is not None and planes < 1):
        raise ValueError(
            f"a network needs endpoints, a radix of at least 2 and planes, not {accelerators}, {radix}, {planes}"
        )
    if oversubscription < 1 or links_per_optic <= 0 or not 1 <= optical_tier <= MOST_TIERS + 1:
        raise ValueError(
            f"oversubscription must be at least 1, links_per_optic above 0 and optical_tier 1 to {MOST_TIERS + 1}, "
            f"not {oversubscription}, {links_per_optic} and {optical_tier}"
        )
    count = np.full(n.shape, float(planes or 1))
    while planes is None and (short := _hosts(radix * count, MOST_TIERS) < n).any():
        count = np.where(short, 2.0 * count, count)
    ports = radix * count
    reach = np.stack([_hosts(ports, tier) for tier in range(1, MOST_TIERS + 1)])
    fits = n <= reach[-1]
    tiers = np.minimum(1.0 + (n > reach).sum(axis=0), MOST_TIERS)
    leaves = n / np.where(tiers == 1, ports, ports // 2)
    above = np.where(tiers == 1, 0.0, n / oversubscription / ports * (2.0 * tiers - 3.0))
    switches = (np.ceil(leaves) + np.ceil(above)) * count
    upward = (tiers - 1.0) / oversubscription
    optical = np.where(
        optical_tier == 1, 1.0 + upward, np.clip(tiers - optical_tier + 1.0, 0.0, None) / oversubscription
    )
    per_link = scale_facts()["optic.per_link"]
    notes = [
        f"three tiers of {radix} ports and {planes or 1} planes hold {int(reach[-1].max()):,} accelerators, not {int(most):,}: "
        "more planes, a larger radix or islands"
        for most in n[~fits][-1:]
    ]
    return NetworkSize(
        accelerators=n,
        radix=radix,
        planes=count,
        tiers=tiers,
        hosts=reach[-1],
        fits=fits,
        switches=switches,
        links=np.ceil(n * (1.0 + upward)) * count,
        optics=per_link.best * n * optical / links_per_optic,
        bisection_bytes_per_s=n * np.asarray(link_bytes_per_s) / 2.0 / np.where(tiers == 1, 1.0, oversubscription),
        assumptions={"optic.per_link": per_link},
        warnings=tuple(notes),
    )


def _hosts(ports: Array, tiers: int) -> Array:
    """Return `hardware.clos_hosts` in columns."""
    return np.asarray(2.0 * np.floor(ports / 2.0) ** tiers)


def optics_failure_rate(optics: Numbers, rate: Numbers | None = None) -> Numbers:
    """Return the failures per second of `optics` transceivers that stop the job; `rate` per transceiver overrides the
    catalogue's. Two tiers of optics on 16,384 accelerators (65,536 transceivers): 0.6 per day.
    """
    return np.asarray(optics) * (scale_facts()["optic.failure_rate"].best if rate is None else rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """What is to be trained: fewest `tokens` (at a small batch), `layers` passed one after the other, exchanges in each
    that a step waits for, the critical batch with its range (`training.critical_batch_tokens`), and the deadline.

    `batch_tokens` fixes the batch; None takes the best at each size. Raises ValueError where a number is not positive.
    """

    tokens: float
    layers: float
    critical_batch_tokens: Sourced
    deadline_s: float
    syncs_per_layer: float = 4.0
    batch_tokens: float | None = None

    def __post_init__(self) -> None:
        critical = self.critical_batch_tokens.low
        named = {
            "tokens": self.tokens,
            "layers": self.layers,
            "deadline_s": self.deadline_s,
            "critical batch": critical,
        }
        if self.batch_tokens is not None:
            named["batch_tokens"] = self.batch_tokens
        _require(named, above=0.0)
        _require({"syncs_per_layer": self.syncs_per_layer}, above=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSizes:
    """Columns (C,) of candidate fleets, or scalars that hold for all; `accelerators` rise.

    token_s                  seconds that one accelerator computes per token, everything that grows with the batch
    sync_s                   one exchange inside a layer, however small
    exchange_s               exchanges of a step that are not hidden and do not grow with the batch
    tokens_per_accelerator   fewest tokens of a batch that keep an accelerator busy (micro-batches, pipeline fill)
    jitter, operations       of `straggler_factor`
    failure_rate             interruptions of the job per second, optics included
    save_s, restart_s        blocking save; detection and restart without the start-up
    start_s                  start-up of the job, after each interruption (0 for a policy that never starts again)
    goodput                  replaces the closed form of failures, for example by a simulation; without start-up
    hosts                    endpoints that the network holds
    """

    accelerators: Numbers
    token_s: Numbers
    sync_s: Numbers = 0.0
    exchange_s: Numbers = 0.0
    tokens_per_accelerator: Numbers = 0.0
    jitter: Numbers = 0.0
    operations: Numbers = 1.0
    failure_rate: Numbers = 0.0
    save_s: Numbers = 0.0
    restart_s: Numbers = 0.0
    start_s: Numbers = 0.0
    goodput: Numbers | None = None
    hosts: Numbers = np.inf

    def __post_init__(self) -> None:
        n = np.atleast_1d(np.asarray(self.accelerators, dtype=np.float64))
        if n.ndim != 1 or not n.size or (n < 1).any() or (np.diff(n) <= 0).any():
            raise ValueError(f"accelerators must be a rising column of at least 1, not {self.accelerators}")
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and np.shape(value) not in ((), (1,), n.shape):
                raise ValueError(f"{field.name} has {np.size(value)} entries for {n.size} fleets")
        _require({"token_s": self.token_s, "operations": self.operations, "hosts": self.hosts}, above=0.0)
        free = (
            "sync_s",
            "exchange_s",
            "tokens_per_accelerator",
            "jitter",
            "failure_rate",
            "save_s",
            "restart_s",
            "start_s",
        )
        _require({name: getattr(self, name) for name in free}, above=None)
        if self.goodput is not None and not np.all((np.asarray(self.goodput) >= 0) & (np.asarray(self.goodput) <= 1)):
            raise ValueError(f"goodput must be between 0 and 1, not {self.goodput}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetLimits:
    """The useful rate of each fleet and what limits it; columns (C,), by limit where a mapping.

    useful_tokens_per_s   tokens per second that count (1 + B/B_crit times as many are processed), failures included;
                          low and high at the ends of the critical batch
    utilisation           useful over n/token_s
    losses                share of n/token_s that each limit takes; with `utilisation` they sum to 1
    binding               the limit that takes most, "none" where none takes 5 %
    marginal              per cent more useful tokens for the last per cent of accelerators
    gains                 useful tokens more, relative, if the limit were `moved_by` times better
    largest_useful        the last fleet whose accelerators still brought `least_return`; low and high as above
    largest_if_moved      the same with one limit moved
    smallest_in_time      the first fleet that meets the deadline, None where none does
    """

    accelerators: Array
    batch_tokens: Array
    step_s: Array
    useful_tokens_per_s: Array
    useful_low: Array
    useful_high: Array
    utilisation: Array
    run_s: Array
    in_time: NDArray[np.bool_]
    losses: Mapping[str, Array]
    binding: tuple[str, ...]
    marginal: Array
    gains: Mapping[str, Array]
    moved_by: float
    least_return: float
    largest_useful: float
    largest_useful_low: float
    largest_useful_high: float
    largest_if_moved: Mapping[str, float]
    smallest_in_time: float | None
    breakdown: Breakdown
    assumptions: Mapping[str, Sourced]
    warnings: tuple[str, ...]

    def breakdown_at(self, index: int) -> Breakdown:
        """Return where the accelerators' time of one fleet goes; `breakdown` is that of the largest useful one."""
        return _breakdown(self.accelerators, self.utilisation, self.losses, index)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return to_plain(self)


@dataclass(frozen=True, slots=True)
class _Rates:
    batch: Array
    step: Array
    useful: Array
    ideal: Array
    logs: Mapping[str, Array]


def largest_useful_fleet(
    run: TrainingRun, sizes: FleetSizes, *, least_return: float = 0.1, moved_by: float = 2.0
) -> FleetLimits:
    """Return the useful rate at each size, the limit that binds, and the size at which more accelerators stop helping.

    Useful rate = B/(a*B*s + k*L*t_sync + exchange)/(1 + B/B_crit)*goodput with s of `straggler_factor`, goodput =
    `exact_efficiency` at its best interval times exp(-start/M). The batch is the best one, or what keeps every
    accelerator busy where that is more. Losses are shared in proportion to the logarithms of these factors, so their
    order does not matter; tokens that the best batch wastes are laid on the latency and exchange that call for it, the
    waste beyond it on the batch. Helping ends where a per cent of accelerators brings less than `least_return` per cent.
    Raises ValueError for a return outside [0, 1] or a `moved_by` not above 1.
    """
    if not 0 <= least_return <= 1 or not moved_by > 1:
        raise ValueError(f"least_return must be in [0, 1] and moved_by above 1, not {least_return} and {moved_by}")
    n = np.atleast_1d(np.asarray(sizes.accelerators, dtype=np.float64))
    critical = run.critical_batch_tokens
    best, low, high = (_rates(run, sizes, n, end) for end in (critical.best, critical.low, critical.high))
    efficiency = best.useful / best.ideal
    total = sum(best.logs.values(), np.zeros_like(n))
    share = np.divide(1.0 - efficiency, total, out=np.zeros_like(n), where=total > 0)
    losses = {name: best.logs[name] * share for name in LIMITS}
    stacked = np.stack([losses[name] for name in LIMITS])
    binding = tuple(
        LIMITS[worst] if stacked[worst, i] >= NEGLIGIBLE else "none" for i, worst in enumerate(stacked.argmax(axis=0))
    )
    moved = {name: _rates(*_moved(run, sizes, name, moved_by), n, None) for name in LIMITS}
    marginal = _marginal(n, best.useful)
    last = _last_useful(n, best.useful, least_return)
    with np.errstate(divide="ignore"):
        run_s = run.tokens / best.useful + np.broadcast_to(sizes.start_s, n.shape)
        gains = {
            name: np.where(
                best.useful > 0,
                rates.useful / np.maximum(best.useful, 1e-300) - 1.0,
                np.where(rates.useful > 0, np.inf, 0.0),
            )
            for name, rates in moved.items()
        }
    in_time = run_s <= run.deadline_s
    index = int(np.searchsorted(n, last)) if last else 0
    return FleetLimits(
        accelerators=n,
        batch_tokens=best.batch,
        step_s=best.step,
        useful_tokens_per_s=best.useful,
        useful_low=low.useful,
        useful_high=high.useful,
        utilisation=efficiency,
        run_s=run_s,
        in_time=in_time,
        losses=losses,
        binding=binding,
        marginal=marginal,
        gains=gains,
        moved_by=moved_by,
        least_return=least_return,
        largest_useful=last,
        largest_useful_low=_last_useful(n, low.useful, least_return),
        largest_useful_high=_last_useful(n, high.useful, least_return),
        largest_if_moved={name: _last_useful(n, rates.useful, least_return) for name, rates in moved.items()},
        smallest_in_time=float(n[in_time][0]) if in_time.any() else None,
        breakdown=_breakdown(n, efficiency, losses, index),
        assumptions={"run.critical_batch_tokens": critical},
        warnings=_notes(n, best, run, last, in_time, binding),
    )


def _rates(run: TrainingRun, sizes: FleetSizes, n: Array, critical: float | None) -> _Rates:
    """Return batch, step, useful rate and the logarithms of its losses at a critical batch (None: the best)."""
    critical = run.critical_batch_tokens.best if critical is None else critical
    token, sync, exchange, least, fits = (
        np.broadcast_to(np.asarray(value, dtype=np.float64), n.shape)
        for value in (sizes.token_s, sizes.sync_s, sizes.exchange_s, sizes.tokens_per_accelerator, n <= sizes.hosts)
    )
    slow = straggler_factor(n, sizes.jitter, sizes.operations)
    latency = run.syncs_per_layer * run.layers * sync
    fixed = latency + exchange
    free = best_batch_tokens(token * slow / n, fixed, critical)
    if run.batch_tokens is None:
        batch, forced = np.maximum(np.maximum(free, least * n), 1.0), free
    else:
        batch, forced = np.full_like(n, run.batch_tokens), np.zeros_like(n)
    idle = least * n > batch
    busy = np.where(idle, batch / np.where(idle, least, 1.0), n)
    computing = token * slow / busy * batch
    step = computing + fixed
    waste = batch_overhead(batch, critical)
    called_for = batch_overhead(np.minimum(forced, batch), critical)
    overhead = np.log(step / computing) + np.log(called_for)
    of_latency = np.divide(latency, fixed, out=np.zeros_like(n), where=fixed > 0)
    up, start = _availability(sizes, n)
    logs = {
        "batch": np.log(waste / called_for) + np.log(n / busy),
        "latency": overhead * of_latency,
        "network": overhead * (1.0 - of_latency) + np.where(fits > 0, 0.0, 700.0),
        "stragglers": np.log(slow),
        "failures": -np.log(np.maximum(up, 1e-300)),
        "start-up": start,
    }
    useful = np.where(fits > 0, batch / step / waste * up * np.exp(-start), 0.0)
    return _Rates(batch, step, np.asarray(useful), n / token, {name: np.asarray(log) for name, log in logs.items()})


def _availability(sizes: FleetSizes, n: Array) -> tuple[Array, Array]:
    """Return the goodput without start-up and start_s/M, the logarithm of what start-up takes."""
    rate, save, restart, start = (
        np.broadcast_to(np.asarray(value, dtype=np.float64), n.shape)
        for value in (sizes.failure_rate, sizes.save_s, sizes.restart_s, sizes.start_s)
    )
    starting = np.minimum(start * rate, 700.0)
    if sizes.goodput is not None:
        return np.array(np.broadcast_to(np.asarray(sizes.goodput, dtype=np.float64), n.shape)), starting
    fails = rate > 1e-30  # less than once in the age of the universe
    mtbf = 1.0 / np.where(fails, rate, 1.0)
    tau = exact_interval(save, mtbf)
    return np.where(fails, exact_efficiency(tau, save, restart, mtbf), 1.0), starting


def _moved(run: TrainingRun, sizes: FleetSizes, limit: str, by: float) -> tuple[TrainingRun, FleetSizes]:
    """Return the question with one limit `by` times better."""
    if limit == "batch":
        critical = run.critical_batch_tokens
        return replace(run, critical_batch_tokens=critical.at(critical.best * by)), sizes
    if limit == "failures" and sizes.goodput is not None:
        return run, replace(sizes, goodput=1.0 - (1.0 - np.asarray(sizes.goodput)) / by)
    if limit == "network":
        return run, replace(sizes, exchange_s=np.asarray(sizes.exchange_s) / by, hosts=np.asarray(sizes.hosts) * by)
    name = {"latency": "sync_s", "stragglers": "jitter", "failures": "failure_rate", "start-up": "start_s"}[limit]
    changed: dict[str, Any] = {name: np.asarray(getattr(sizes, name)) / by}
    return run, replace(sizes, **changed)


def _marginal(n: Array, useful: Array) -> Array:
    """Return d log(useful)/d log(n) of each fleet towards the one before it; the first counts as 1."""
    logs = np.log(np.maximum(useful, 1e-300))
    return np.concatenate([[1.0 if useful[0] > 0 else 0.0], np.diff(logs) / np.diff(np.log(n))])


def _last_useful(n: Array, useful: Array, least: float) -> float:
    """Return the last fleet up to which every step in size brought at least `least`, 0 where none is of use."""
    helps = (_marginal(n, useful) >= least) & (useful > 0)
    count = int(np.argmin(helps)) if not helps.all() else n.size
    return float(n[count - 1]) if count else 0.0


def _breakdown(n: Array, efficiency: Array, losses: Mapping[str, Array], index: int) -> Breakdown:
    parts = {"useful": float(efficiency[index])} | {name: float(loss[index]) for name, loss in losses.items()}
    return Breakdown.of(f"time of {n[index]:,.0f} accelerators", "fraction", parts)


def _notes(
    n: Array, rates: _Rates, run: TrainingRun, last: float, in_time: NDArray[np.bool_], binding: tuple[str, ...]
) -> tuple[str, ...]:
    notes = []
    if last == n[-1] and n.size > 1:
        notes.append(f"useful tokens still rise at the largest fleet asked for, {n[-1]:,.0f}: the limit lies beyond")
    if not last:
        notes.append(f"no fleet asked for does useful work; {binding[0]} stops the smallest, {n[0]:,.0f}")
    if not in_time.any():
        top = int(np.argmax(rates.useful))
        days = run.tokens / max(float(rates.useful[top]), 1e-300) / 86400.0
        notes.append(
            f"no fleet meets the deadline of {run.deadline_s / 86400.0:.3g} days; the fastest, {n[top]:,.0f}, takes {days:.3g}"
        )
    beyond = rates.batch > run.critical_batch_tokens.high
    if beyond.any():
        notes.append(
            f"from {n[beyond][0]:,.0f} accelerators on the batch is above the highest estimate of the critical batch "
            f"({run.critical_batch_tokens.high:.2g} tokens), beyond what has been measured"
        )
    return tuple(notes)


def _require(values: Mapping[str, Numbers], *, above: float | None) -> None:
    """Raise ValueError for a value that is not above `above` (None: not below 0) or is not a number."""
    for name, value in values.items():
        array = np.asarray(value, dtype=np.float64)
        bad = array < 0 if above is None else array <= above
        if np.isnan(array).any() or bad.any() or (np.isinf(array).any() and name != "hosts"):
            raise ValueError(f"{name} must be {'at least 0' if above is None else 'positive'} and finite, not {value}")


def to_plain(result: Any) -> dict[str, Any]:
    """Return a result as plain data, what is not finite (an endless run) as None."""
    return {field.name: _plain(getattr(result, field.name)) for field in fields(result)}


def _plain(value: Any) -> Any:
    if isinstance(value, Sourced | Breakdown):
        return _plain(value.to_dict())
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return to_plain(value) if hasattr(value, "__dataclass_fields__") else value
