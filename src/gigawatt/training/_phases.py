"""The passes of one strategy, cut out of its closed form for the event simulation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gigawatt.model import Recompute
from gigawatt.training._columns import Columns
from gigawatt.training._evaluate import Evaluator
from gigawatt.training._pipeline import chunk_layers
from gigawatt.training._simulate import StepPhases

Array = NDArray[np.float64]
# What keeps the accelerator itself busy in a layer pass.
COMPUTE_PARTS = ("matrix products", "attention", "vector operations", "recompute", "host gaps")


def phases(evaluator: Evaluator, c: Columns) -> StepPhases:
    """Return the passes of one strategy (a column of length 1) for the event simulation of its step."""
    b = evaluator.block(c)
    parts = {name: float(value[0]) for name, value in evaluator.step(b).items()}
    at, costs, error = b.at[:1], b.costs, evaluator.job.model_error
    p, v = int(c.pipeline_parallel[0]), int(c.virtual_stages[0])
    layers = chunk_layers(evaluator.layer_groups, p, v)  # (p, v, G)
    layer = {name: part[:, 0] for name, part in evaluator.layer_parts(b).items()}

    def spread(per_layer: Array, first: Array | float = 0.0, last: Array | float = 0.0) -> Array:
        seconds = layers @ per_layer
        seconds[0, 0] += float(np.sum(first))
        seconds[-1, -1] += float(np.sum(last))
        return np.asarray(seconds * error)

    compute = (costs.matmul_forward + costs.attention_forward + costs.vector_forward + costs.host_forward)[:, at[0]]
    weight = costs.weight_gradient[:, at[0]]
    whole = np.add.reduce([layer[name] for name in COMPUTE_PARTS])
    extra = sum(parts.get(name, 0.0) for name in ("gradient accumulation", "activation offload"))
    rounds = evaluator.job.global_batch / float(c.micro_batch[0] * c.data_parallel[0])
    backward = spread(whole - compute - weight, costs.embedding_backward[at], costs.head_backward[at])
    again = 1.0 + float(b.recomputed[0]) * float(c.recompute[0] == Recompute.FULL)
    shares = {"tensor-parallel": (1.0, again), "expert-parallel": (1.0, again)}
    forward_exchange, backward_exchange = {}, {}
    for kind, (ahead, back) in shares.items():
        seconds = layer[f"{kind} communication"]
        forward_exchange[kind] = spread(seconds * ahead / (ahead + back))
        backward_exchange[kind] = spread(seconds * back / (ahead + back))
    forward_exchange["context-parallel"] = spread(costs.context_forward[:, at[0]])
    backward_exchange["context-parallel"] = spread(
        layer["context-parallel communication"] - costs.context_forward[:, at[0]]
    )
    if parts.get("pipeline sends"):
        sent = np.full((p, v), parts["pipeline sends"] / rounds / (2 * v))
        forward_exchange["sends"] = backward_exchange["sends"] = sent
    tail = ("data-parallel communication", "optimizer", "stragglers", "step overhead", "data loading")
    return StepPhases(
        micro_batches=int(b.rounds[0]),
        schedule=c.row(0)["schedule"],
        forward=spread(compute, costs.embedding_forward[at], costs.head_forward[at]),
        backward=backward + extra / rounds / v,
        weight=spread(weight),
        exposed_forward=forward_exchange,
        exposed_backward=backward_exchange,
        tail={name: parts[name] for name in tail if parts.get(name)},
    )
