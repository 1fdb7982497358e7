"""Memory of strategies per stage and rank, itemised, in columns (docs/science.md 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gigawatt.model import Recompute
from gigawatt.training._columns import Columns, Schedule
from gigawatt.training._job import TrainingJob
from gigawatt.training._layers import LayerCosts
from gigawatt.training._pipeline import micro_batches_in_flight

Array = NDArray[np.float64]
MEMORY_PARTS = (
    "weights",
    "gradients",
    "optimizer",
    "activations",
    "expert buffers",
    "logits",
    "communication buffers",
    "fragmentation",
    "reserve",
)
# Layers whose gathered weights (ZeRO-3) or offloaded activations are on the accelerator at the same time.
LAYERS_AT_HAND = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """The distinct stages of each strategy's pipeline: layers per group (C, K, G), ends and stage index (C, K),
    validity (C, K).
    """

    layers: Array
    first: Array
    last: Array
    index: Array
    exists: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Strategies of one job with what memory and time share.

    `at` (C,) indexes `costs`; `dense` and `experts` (C, K) are parameters per rank and stage; `*_shards` (C,) how many
    ranks share them, `*_ranks` how many hold a copy or a shard; `rounds` (C,) micro-batches; `recomputed` (C,) the
    share of layers that full recompute covers.
    """

    job: TrainingJob
    columns: Columns
    costs: LayerCosts
    at: NDArray[np.int64]
    stages: Stages
    dense: Array
    experts: Array
    dense_shards: Array
    dense_ranks: Array
    expert_shards: Array
    expert_ranks: Array
    rounds: Array
    recomputed: Array

    def kept(self) -> Array:
        """Return the bytes of activations that one layer keeps of one micro-batch, (G, C)."""
        mode, costs, at = self.columns.recompute, self.costs, self.at
        everything = costs.activation_none[:, at]
        full = self.recomputed * costs.activation_full[:, at] + (1.0 - self.recomputed) * everything
        return np.where(
            mode == Recompute.FULL,
            full,
            np.where(mode == Recompute.SELECTIVE, costs.activation_selective[:, at], everything),
        )


def memory(b: Block) -> tuple[Array, dict[str, Array], NDArray[np.int64]]:
    """Return the bytes of the stage that needs most, (C,), by part, and the index of that stage."""
    parts = _parts(b)
    total = np.where(b.stages.exists, np.add.reduce(list(parts.values())), -np.inf)
    worst = total.argmax(axis=1)
    rows = np.arange(len(b.columns))
    return (
        total[rows, worst],
        {name: part[rows, worst] for name, part in parts.items()},
        b.stages.index[rows, worst].astype(np.int64),
    )


def _parts(b: Block) -> dict[str, Array]:
    """Return the bytes of every distinct stage by part, each (C, K)."""
    job, c, stages = b.job, b.columns, b.stages
    zero, recipe = c.zero_stage[:, None], job.precision
    whole = b.dense + b.experts
    sharded = b.dense / b.dense_shards[:, None] + b.experts / b.expert_shards[:, None]
    copies = np.where(c.schedule == Schedule.DUALPIPE, 2.0, 1.0)[:, None]

    def state(bytes_each: float, from_stage: int) -> Array:
        return bytes_each * np.where(zero >= from_stage, sharded, whole)

    layers = stages.layers.sum(axis=-1)
    gathered = np.where(zero >= 3, LAYERS_AT_HAND * 2.0 * whole / np.maximum(layers, 1.0), 0.0)
    activations, buffers = _activations(b)
    optimizer = state(job.optimizer.state_bytes, 1)
    parts = {
        "weights": state(recipe.weight_bytes, 3) * copies,
        "gradients": state(recipe.gradient_bytes, 2) * copies
        + job.constants.gradient_copy_bytes * whole * copies
        + _largest_copy(b),
        "optimizer": np.where(c.offload_optimizer[:, None] > 0, 0.0, optimizer),
        "activations": activations,
        "expert buffers": buffers,
        "logits": stages.last * b.costs.logits[b.at][:, None],
        "communication buffers": gathered,
    }
    lost = job.constants.fragmentation * np.add.reduce(list(parts.values()))
    return parts | {"fragmentation": lost, "reserve": np.full_like(activations, job.reserve_bytes)}


def _largest_copy(b: Block) -> Array:
    """Return the bytes of the copy of the largest gradient while it is made, (C, K): of the embedding or the head on
    the end stages, of a feed-forward matrix elsewhere.
    """
    model, each = b.job.model, b.job.constants.largest_gradient_copy_bytes
    widest = max((layer.feed_forward.width for layer in model.layers if layer.feed_forward), default=0)
    ends = np.maximum(b.stages.first, b.stages.last) * max(model.vocab, widest)
    return np.asarray(each * model.hidden * np.maximum(ends, widest) / b.columns.tensor_parallel[:, None])


def _activations(b: Block) -> tuple[Array, Array]:
    """Return the activations of the micro-batches in flight, and the buffers of expert exchange, each (C, K)."""
    c, stages, costs, at = b.columns, b.stages, b.costs, b.at
    flight = micro_batches_in_flight(
        stages.index, c.pipeline_parallel[:, None], c.virtual_stages[:, None], b.rounds[:, None]
    )
    if c.schedule.any():
        dual = np.minimum(c.pipeline_parallel + 1.0, b.rounds)[:, None]
        flight = np.where(c.schedule[:, None] == Schedule.DUALPIPE, dual, flight)
    kept = b.kept()
    layers = stages.layers[:, :, 0] if stages.layers.shape[2] == 1 else None
    held = layers * kept[0][:, None] if layers is not None else np.einsum("ckg,gc->ck", stages.layers, kept)
    held = held * flight
    if c.offload_activations.any():
        held = np.where(c.offload_activations[:, None] > 0, LAYERS_AT_HAND * kept.max(axis=0)[:, None], held)
    working = np.where(c.recompute == Recompute.FULL, costs.activation_none[:, at].max(axis=0), 0.0)
    buffers = np.broadcast_to(costs.expert_buffer[:, at].max(axis=0)[:, None], held.shape)
    return held + working[:, None], buffers
