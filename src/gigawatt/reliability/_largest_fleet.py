"""Where more accelerators stop helping one synchronous run (docs/science.md 10.9, 10.10).

The flow of `largest_useful_fleet`: a run and columns of fleets -> best batch at each size -> useful tokens per second ->
what each limit takes of the accelerators' time, which binds, and what moving it would bring.

Symbols and formulas as in `_scale`. What other engines know (step times, critical batch, collective times) comes in as
values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.evidence import Breakdown, Sourced
from gigawatt.reliability._fleet_sizes import FleetSizes, TrainingRun
from gigawatt.reliability._formulas import LARGEST_EXPONENT, NEVER, TINY, Array, best_efficiency
from gigawatt.reliability._plain import to_plain
from gigawatt.reliability._scale import batch_overhead, best_batch_tokens, straggler_factor

LIMITS = ("batch", "latency", "network", "stragglers", "failures", "start-up")
NEGLIGIBLE = 0.05  # below this share of the ideal rate a loss is not called a limit


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
                rates.useful / np.maximum(best.useful, TINY) - 1.0,
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
        "network": overhead * (1.0 - of_latency) + np.where(fits > 0, 0.0, LARGEST_EXPONENT),
        "stragglers": np.log(slow),
        "failures": -np.log(np.maximum(up, TINY)),
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
    starting = np.minimum(start * rate, LARGEST_EXPONENT)
    if sizes.goodput is not None:
        return np.array(np.broadcast_to(np.asarray(sizes.goodput, dtype=np.float64), n.shape)), starting
    fails = rate > NEVER
    mtbf = 1.0 / np.where(fails, rate, 1.0)
    return np.where(fails, best_efficiency(save, restart, mtbf), 1.0), starting


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
    logs = np.log(np.maximum(useful, TINY))
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
        days = run.tokens / max(float(rates.useful[top]), TINY) / 86400.0
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
