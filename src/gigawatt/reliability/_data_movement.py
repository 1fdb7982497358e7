"""How large a training run of given duration can be before data movement idles the accelerators (docs/science.md 10.1).

A compute-optimal dense run of C = 6*N*D FLOP, D = 20*N, is laid out in every way on a grid of tensor degree t, pipeline
depth p, micro-batch b and fleet n; a micro-batch takes

    max(6*N*b/(p*t*F), 3*weights/(p*t)/memory rate, tensor exchange/link rate) + k*(L/p)*t_sync

and a step m + p - 1 of them (m = B/(d*b), d = n/(t*p)) or its gradient exchange where that is longer. Bandwidth is
overlapped in full, latency not at all; attention, failures and activation memory are left out, as in arXiv 2411.01137.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.evidence import Sourced
from gigawatt.reliability._formulas import Array, Numbers
from gigawatt.reliability._plain import to_plain
from gigawatt.reliability._scale import scale_facts

TOKENS_PER_PARAMETER = 20.0
ELEMENT_BYTES = 2.0  # bf16 weights, gradients and activations
TENSOR = 2.0 ** np.arange(0, 15)
PIPELINE = 2.0 ** np.arange(0, 9)
MICRO_TOKENS = 2.0 ** np.arange(6, 15)
FLEETS = 2.0 ** np.arange(10, 38, 0.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """An accelerator and its links, sustained rates one way: `domain` accelerators share the scale-up links."""

    flop_per_s: float
    memory_bytes_per_s: float
    scale_up_bytes_per_s: float
    scale_out_bytes_per_s: float
    domain: float = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DataMovement:
    """The best layout of each run (C,): share of `flop_per_s` used, the fleet and degrees; zeros where none is in time.

    `shortest_run_s` is the fastest layout at any utilisation: above the duration, the run is infeasible.
    """

    flop: Array
    parameters: Array
    layers: Array
    batch_tokens: Array
    utilisation: Array
    feasible: NDArray[np.bool_]
    shortest_run_s: Array
    accelerators: Array
    tensor_parallel: Array
    pipeline_parallel: Array
    micro_batch_tokens: Array
    assumptions: Mapping[str, Sourced]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return to_plain(self)


def tensor_exchange_bytes(micro_tokens: Numbers, width: Numbers, degree: Numbers) -> Array:
    """Return what one rank sends for one layer and micro-batch, forward and backward: 4*e*b*h*min(2*(t-1)/t, 8/sqrt(t)).

    Four all-reduces of b x h activations; from t about 16 on, weights split in two dimensions send less (Pope and
    others, arXiv 2211.05102). b = 1024, h = 16,384, t = 8: 235 MB.
    """
    split = np.minimum(2.0 * (1.0 - 1.0 / np.asarray(degree)), 8.0 / np.sqrt(degree))
    return np.asarray(4.0 * ELEMENT_BYTES * np.asarray(micro_tokens) * width * split)


def data_movement_limit(
    flop: Numbers,
    device: Device,
    *,
    batch_tokens: Numbers,
    duration_s: float = 90 * 86400.0,
    layers: Numbers | None = None,
    sync_s: float | None = None,
) -> DataMovement:
    """Return utilisation and feasibility of runs of `flop` in `duration_s` at batches `batch_tokens` (C,).

    `layers` None lets depth grow with N^(1/3) from 126 at 405e9 parameters. Useful FLOP are those of a small batch: a
    batch near the critical one wastes tokens that are not counted here. With H100 rates and a fifth of the critical batch
    (20 % of tokens wasted) 68 % of the peak is left at 3e27 FLOP, 47 % at 1e28, 25 % at 1e29, and from 1e32 on no run is in
    time; arXiv 2411.01137 finds a marked fall at about 1e28 and nothing feasible above about 1e31.
    Raises ValueError for a number that is not positive.
    """
    run = np.atleast_1d(np.asarray(flop, dtype=np.float64))
    if not (run > 0).all() or duration_s <= 0 or not (np.asarray(batch_tokens) > 0).all():
        raise ValueError(f"flop, batch and duration must be positive, not {flop}, {batch_tokens} and {duration_s}")
    facts = {key: fact for key, fact in scale_facts().items() if key.startswith("data_movement.")}
    best = {key.partition(".")[2]: fact.best for key, fact in facts.items()}
    parameters = np.sqrt(run / 6.0 / TOKENS_PER_PARAMETER)
    grown = best["depth_reference"] * (parameters / best["depth_reference_parameters"]) ** best["depth_exponent"]
    depth = np.broadcast_to(np.asarray(grown if layers is None else layers, dtype=np.float64), run.shape)
    batch = np.broadcast_to(np.asarray(batch_tokens, dtype=np.float64), run.shape)
    latency = best["syncs_per_layer"] * (best["sync_s"] if sync_s is None else sync_s)
    rows = [
        _best_layout(device, float(N), float(L), float(B), duration_s, latency)
        for N, L, B in zip(parameters, depth, batch, strict=True)
    ]
    used, shortest, n, t, p, b = (np.array(column) for column in zip(*rows, strict=True))
    lost = run[used == 0]
    return DataMovement(
        flop=run,
        parameters=parameters,
        layers=depth,
        batch_tokens=batch,
        utilisation=used,
        feasible=used > 0,
        shortest_run_s=shortest,
        accelerators=n,
        tensor_parallel=t,
        pipeline_parallel=p,
        micro_batch_tokens=b,
        assumptions=facts,
        warnings=(f"no layout trains {lost[0]:.2g} FLOP in {duration_s / 86400:.3g} days",) if lost.size else (),
    )


def _best_layout(
    device: Device, parameters: float, layers: float, batch: float, duration_s: float, latency: float
) -> tuple[float, ...]:
    """Return (utilisation, shortest run, accelerators, t, p, b) of the best layout of one run over the grid."""
    t, p, b, n = np.meshgrid(TENSOR, PIPELINE, MICRO_TOKENS, FLEETS, indexing="ij", sparse=True)
    shards, replicas = t * p, n / (t * p)
    micro = batch / (replicas * b)
    width = np.sqrt(parameters / (12.0 * layers))
    computing = 6.0 * parameters * b / shards / device.flop_per_s
    weights = 3.0 * ELEMENT_BYTES * parameters / shards / device.memory_bytes_per_s
    rate = np.where(t <= device.domain, device.scale_up_bytes_per_s, device.scale_out_bytes_per_s)
    exchange = tensor_exchange_bytes(b, width, t) * layers / p / rate
    waits = np.where(t > 1, latency * layers / p, 0.0)
    slot = np.maximum(np.maximum(computing, weights), exchange) + waits
    gradients = np.where(replicas > 1, 2.0 * ELEMENT_BYTES * parameters / shards / device.scale_out_bytes_per_s, 0.0)
    step = np.maximum((micro + p - 1.0) * slot, gradients)
    step = np.where((replicas >= 1) & (micro >= 1) & (p <= layers), step, np.inf)
    time = step * TOKENS_PER_PARAMETER * parameters / batch
    used = np.where(time <= duration_s, 6.0 * parameters * batch / (n * device.flop_per_s * step), 0.0)
    at = np.unravel_index(int(np.argmax(used)), used.shape)
    if used[at] == 0.0:
        return 0.0, float(time.min()), 0.0, 0.0, 0.0, 0.0
    chosen = (
        float(axis[i]) for axis, i in zip((FLEETS, TENSOR, PIPELINE, MICRO_TOKENS), (at[3], *at[:3]), strict=True)
    )
    return float(used[at]), float(time.min()), *chosen
