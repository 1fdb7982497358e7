"""Memory and step time of strategies, in columns (docs/science.md 4-7).

    step = micro-batches * slowest stage + bubble + exposed data-parallel traffic + optimizer + stragglers + overhead

The slowest stage sets the pace of a pipeline; the stage that needs most memory decides whether a strategy fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gigawatt.hardware import Collective, collective_seconds
from gigawatt.model import (
    FlopConvention,
    Layer,
    Recompute,
    attention_flop_per_token,
    flop_per_token,
    layer_parameters,
    mtp_parameters,
    training_flop_per_token,
)
from gigawatt.training._columns import Columns, Schedule
from gigawatt.training._job import TrainingJob
from gigawatt.training._layers import LayerCosts, LayerTable
from gigawatt.training._memory import Block, Stages, memory
from gigawatt.training._pipeline import stage_layers
from gigawatt.training._validity import OUT_OF_MEMORY, rejections

Array = NDArray[np.float64]

STEP_PARTS = (
    "matrix products",
    "attention",
    "vector operations",
    "recompute",
    "host gaps",
    "tensor-parallel communication",
    "context-parallel communication",
    "expert-parallel communication",
    "pipeline sends",
    "activation offload",
    "gradient accumulation",
    "pipeline bubble",
    "batch remainder",
    "data-parallel communication",
    "optimizer",
    "stragglers",
    "step overhead",
    "data loading",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepColumns:
    """What each strategy does, every array (C,).

    `step_parts` sum to `step_s`, `memory_parts` to `memory_bytes` (of the stage that needs most; `memory_stage` is
    its index). `rejection` indexes REJECTIONS; 0 is a strategy that can run. Rejected strategies have their numbers
    all the same. `mfu` and `hfu` count causal attention, against the
    16-bit dense peak whatever the recipe.
    """

    step_s: Array
    step_parts: Mapping[str, Array]
    memory_bytes: Array
    memory_parts: Mapping[str, Array]
    memory_stage: NDArray[np.int64]
    micro_batches: Array
    rejection: NDArray[np.int64]
    tokens_per_s: Array
    mfu: Array
    hfu: Array
    network_bytes: Array


class Evaluator:
    """Evaluates strategies of one job; keeps the layer costs between blocks."""

    def __init__(self, job: TrainingJob) -> None:
        self.job = job
        self.table = LayerTable(job)
        groups = {layer: index for index, (layer, _) in enumerate(self.table.groups)}
        self.layer_groups = tuple(groups[layer] for layer in job.model.layers)
        counted = [layer_parameters(layer, job.model.hidden) for layer, _ in self.table.groups]
        self.split = np.array([part.attention + part.dense + part.shared for part in counted], dtype=np.float64)
        self.whole = np.array([part.latent + part.norm + part.router for part in counted], dtype=np.float64)
        self.experts = np.array([part.experts for part in counted], dtype=np.float64)
        self.layer_counts = np.bincount(self.layer_groups, minlength=len(self.table.groups)).astype(np.float64)
        self._stage_cache: dict[tuple[int, int], tuple[NDArray[np.int64], ...]] = {}
        self.model_flop = training_flop_per_token(job.model, job.sequence)
        self.repeated_flop = self._repeatable()
        tiers = job.fabric.tiers
        wide = tiers[-1].kind == "wide_area"
        # data parallelism is what crosses sites, outermost; everything else stays inside one
        self.site = tiers[-2].domain if wide else 0
        self.sites = -(-tiers[-1].domain // self.site) if wide else 1

    def rejections(self, c: Columns) -> NDArray[np.int64]:
        """Return the first rule of REJECTIONS that each strategy breaks (memory apart), (C,)."""
        return rejections(self.job, c, self.sites)

    # stages --------------------------------------------------------------------------------------------------------

    def _stages_of(self, pipeline: int, virtual: int) -> tuple[NDArray[np.int64], ...]:
        key = (pipeline, virtual)
        if key not in self._stage_cache:
            chunks = min(pipeline * virtual, len(self.layer_groups) + 2)
            counts = stage_layers(self.layer_groups, min(pipeline, chunks), max(1, chunks // min(pipeline, chunks)))
            distinct: dict[tuple[object, ...], int] = {}
            for stage, row in enumerate(counts.tolist()):
                distinct.setdefault((tuple(row), stage == 0, stage == len(counts) - 1), stage)
            index = np.array(list(distinct.values()))
            self._stage_cache[key] = (counts[index], index == 0, index == len(counts) - 1, index)
        return self._stage_cache[key]

    def _stages(self, c: Columns) -> Stages:
        if len(c) == 1:
            counts, first, last, index = self._stages_of(int(c.pipeline_parallel[0]), int(c.virtual_stages[0]))
            return Stages(
                layers=counts[None].astype(np.float64),
                first=first[None].astype(np.float64),
                last=last[None].astype(np.float64),
                index=index[None].astype(np.float64),
                exists=np.ones((1, len(index)), dtype=bool),
            )
        keys, inverse = np.unique(c.pipeline_parallel * 4096 + c.virtual_stages, return_inverse=True)
        found = [self._stages_of(int(key) // 4096, int(key) % 4096) for key in keys]
        widest = max(len(stage[3]) for stage in found)
        shape = (len(found), widest)
        layers, ends = np.zeros((*shape, len(self.table.groups))), np.zeros((3, *shape))
        exists = np.zeros(shape, dtype=bool)
        for row, (counts, first, last, index) in enumerate(found):
            n = len(index)
            layers[row, :n], exists[row, :n] = counts, True
            ends[0, row, :n], ends[1, row, :n], ends[2, row, :n] = first, last, index
        return Stages(
            layers=layers[inverse],
            first=ends[0][inverse],
            last=ends[1][inverse],
            index=ends[2][inverse],
            exists=exists[inverse],
        )

    def _stage_parameters(self, c: Columns, stages: Stages) -> tuple[Array, Array]:
        """Return parameters per rank and stage, (C, K): those that data parallelism replicates, and those of
        experts.
        """
        t = c.tensor_parallel[:, None].astype(np.float64)
        model = self.job.model
        dense = stages.layers @ self.split / t + stages.layers @ self.whole
        embedding = (model.vocab + model.patch_width) * model.hidden / t
        head = model.vocab * model.hidden / t
        joined = mtp_parameters(model) / t
        alone = (c.pipeline_parallel == 1)[:, None]
        tied = head * (0.0 if model.tied_embeddings else 1.0)
        dense = dense + stages.first * embedding + stages.last * (np.where(alone, tied, head) + joined)
        if not self.experts.any():
            return dense, np.zeros_like(dense)
        experts = stages.layers @ self.experts / (c.expert_parallel * c.expert_tensor_parallel)[:, None]
        return dense, experts

    def block(self, c: Columns) -> Block:
        """Return everything about strategies that memory and time share."""
        costs, at = self.table.lookup(c)
        stages = self._stages(c)
        dense, experts = self._stage_parameters(c, stages)
        everyone = (c.data_parallel * c.context_parallel).astype(np.float64)
        local = np.maximum(everyone / self.sites, 1.0)
        shards = np.where(c.shard_ranks > 0, np.minimum(c.shard_ranks, local), local)
        ranks = everyone * c.tensor_parallel / (c.expert_parallel * c.expert_tensor_parallel)
        per_stage = len(self.job.model.layers) / c.pipeline_parallel
        return Block(
            job=self.job,
            columns=c,
            costs=costs,
            at=at,
            stages=stages,
            dense=dense,
            experts=experts,
            dense_shards=shards,
            dense_ranks=everyone,
            expert_shards=np.maximum(ranks * shards / everyone, 1.0),
            expert_ranks=np.maximum(ranks, 1.0),
            rounds=np.maximum(np.ceil(self.job.global_batch / (c.micro_batch * c.data_parallel)), 1.0),
            recomputed=np.where(c.recompute_layers > 0, np.minimum(c.recompute_layers / per_stage, 1.0), 1.0),
        )

    # time ----------------------------------------------------------------------------------------------------------

    def layer_parts(self, b: Block) -> dict[str, Array]:
        """Return seconds of one layer and micro-batch by part, each (G, C)."""
        c, costs, at, k = b.columns, b.costs, b.at, self.job.constants
        full, selective = c.recompute == Recompute.FULL, c.recompute == Recompute.SELECTIVE
        share = np.where(full, b.recomputed, 0.0)
        forward = (costs.matmul_forward + costs.attention_forward + costs.vector_forward)[:, at]
        again = share * (forward - costs.last_forward[:, at]) + np.where(selective, costs.cheap_forward[:, at], 0.0)
        passes = 2.0 + share
        exchange = np.where(c.schedule == Schedule.DUALPIPE, 1.0 - k.dualpipe_expert_overlap, 1.0)
        return {
            "matrix products": (costs.matmul_forward + costs.matmul_backward)[:, at],
            "attention": (costs.attention_forward + costs.attention_backward)[:, at],
            "vector operations": (costs.vector_forward + costs.vector_backward)[:, at],
            "recompute": again,
            "host gaps": costs.host_forward[:, at] * (1.0 + share) + costs.host_backward[:, at],
            "tensor-parallel communication": costs.tensor_forward[:, at] * passes,
            "context-parallel communication": costs.context_forward[:, at] * (1.0 + share)
            + costs.context_backward[:, at],
            "expert-parallel communication": costs.expert_forward[:, at] * passes * exchange,
        }

    def step(self, b: Block) -> dict[str, Array]:
        job, k, c = self.job, self.job.constants, b.columns
        costs, at, stages = b.costs, b.at, b.stages
        parts = self.layer_parts(b)
        ends = stages.first * (costs.embedding_forward + costs.embedding_backward)[at][:, None]
        ends = ends + stages.last * (costs.head_forward + costs.head_backward)[at][:, None]
        per_layer = np.add.reduce(list(parts.values()))
        stage_seconds = np.where(stages.exists, _over_groups(stages.layers, per_layer) + ends, -np.inf)
        pace = stage_seconds.argmax(axis=1)
        rows = np.arange(len(c))
        layers = stages.layers[rows, pace].T  # (G, C)
        result = {name: (layers * part).sum(axis=0) for name, part in parts.items()}
        result["matrix products"] = result["matrix products"] + ends[rows, pace]
        busy_stage = stage_seconds[rows, pace]
        pipelined = c.pipeline_parallel > 1
        if pipelined.any():
            send = collective_seconds(
                job.fabric, "send", costs.message[at], 2, c.accelerators // (c.pipeline_parallel * self.sites)
            )
            shown = 2 * send * c.virtual_stages * (1 - k.pipeline_send_overlap)
            result["pipeline sends"] = np.where(pipelined, shown, 0.0)
        forward = (layers * (costs.matmul_forward + costs.attention_forward + costs.vector_forward)[:, at]).sum(axis=0)
        backward = result["matrix products"] + result["attention"] + result["vector operations"] - forward
        if c.offload_activations.any():
            moved = (layers * b.kept()).sum(axis=0) / k.host_link_bytes_per_s
            late = np.maximum(moved - forward, 0.0) + np.maximum(moved - backward, 0.0)
            result["activation offload"] = np.where(c.offload_activations > 0, late, 0.0)
        owned = b.dense[rows, pace], b.experts[rows, pace]
        streaming = job.chip.kernel("vector", job.precision.vector).memory * job.chip.memory_bytes_per_s
        held = np.where(c.zero_stage >= 2, owned[0] / b.dense_shards + owned[1] / b.expert_shards, owned[0] + owned[1])
        if k.accumulate_bytes:
            result["gradient accumulation"] = np.where(b.rounds > 1, held * (k.accumulate_bytes / streaming), 0.0)
        micro = np.add.reduce(list(result.values()))
        exact = job.global_batch / (c.micro_batch * c.data_parallel)
        result = {name: part * exact for name, part in result.items()}
        beside = (self.layer_counts[:, None] - layers).clip(0.0)  # layers of the other stages
        others = self.layer_counts @ per_layer + _both_ends(costs, at) + (micro - busy_stage) * c.pipeline_parallel
        others = np.maximum(others - micro, 0.0)
        result["pipeline bubble"] = self._bubble(b, micro, others, micro - forward, (layers, beside))
        result["batch remainder"] = micro * np.maximum(b.rounds - exact, 0.0)
        result["data-parallel communication"] = self._data_parallel(b, owned, forward, backward)
        result["optimizer"] = self._optimizer(b, owned)
        busy = np.add.reduce(list(result.values()))
        result["stragglers"] = busy * k.straggler_sigma * expected_maximum(c.accelerators)
        result["step overhead"] = np.full(len(c), k.step_overhead_s)
        result = {name: result[name] * job.model_error for name in STEP_PARTS if name in result}
        if job.sample_bytes > 0 and job.storage_bytes_per_s > 0:
            reading = job.global_batch * job.sample_bytes / job.storage_bytes_per_s
            result["data loading"] = np.maximum(reading - np.add.reduce(list(result.values())), 0.0)
        return result

    def _bubble(self, b: Block, micro: Array, others: Array, backward: Array, layers: tuple[Array, Array]) -> Array:
        """Return the seconds that the pace-setting stage waits: for one micro-batch through all other stages, over the
        chunks (docs/science.md 5). `layers` (G, C) are those of that stage and of all the others.

        Zero bubble hides a weight pass of every stage behind the last passes and as much of another as fits into the
        gap of a forward pass: per stage F + B - min(W, F) are left, B without the weight pass (arXiv 2401.10241: F + B
        - W, where W is no longer than F).
        """
        c = b.columns
        p = c.pipeline_parallel
        plain = others / c.virtual_stages
        if not c.schedule.any():
            return np.asarray(plain)
        each = b.costs.weight_gradient[:, b.at]
        weight = (layers[0] * each).sum(axis=0)
        ahead = b.costs.matmul_forward + b.costs.attention_forward + b.costs.vector_forward + b.costs.host_forward
        zero = np.maximum(others - (layers[1] * (each + np.minimum(each, ahead[:, b.at]))).sum(axis=0), 0.0)
        dual = np.maximum(p / 2 - 1, 0) * np.maximum(micro + backward - 3 * weight, 0.0)
        return np.asarray(np.choose(c.schedule, [plain, zero, dual]))

    def _optimizer(self, b: Block, owned: tuple[Array, Array]) -> Array:
        """Return seconds of the parameter update: bytes over memory bandwidth (or the host link), and products."""
        job, c, optimizer = self.job, b.columns, self.job.optimizer
        sharded = c.zero_stage >= 1
        updated = owned[0] / np.where(sharded, b.dense_shards, 1.0) + owned[1] / np.where(sharded, b.expert_shards, 1.0)
        streaming = job.chip.kernel("vector", job.precision.vector).memory * job.chip.memory_bytes_per_s
        ends = job.precision.gradient_bytes + 2.0
        seconds = updated * (optimizer.traffic_bytes + ends) / streaming
        if c.offload_optimizer.any():
            away = updated * (optimizer.traffic_bytes + ends) / job.constants.host_link_bytes_per_s
            seconds = np.where(c.offload_optimizer > 0, away, seconds)
        if optimizer.flop_per_parameter_and_width:
            rate = job.chip.peak(job.precision.vector) * job.chip.kernel("matmul", job.precision.vector).compute
            seconds = seconds + updated * optimizer.flop_per_parameter_and_width * job.model.hidden / rate
        return np.asarray(seconds)

    def _data_parallel(self, b: Block, owned: tuple[Array, Array], forward: Array, backward: Array) -> Array:
        """Return exposed seconds of gradient reduction and weight gathering per step (arXiv 1910.02054;
        docs/science.md 4.1-4.3, 4.9).
        """
        job, c, rounds, k = self.job, b.columns, b.rounds, self.job.constants
        stride, expert_stride = c.tensor_parallel, c.expert_parallel * c.expert_tensor_parallel

        def exchange(
            kind: Collective, bytes_each: tuple[Array, Array], sizes: tuple[Array, Array], apart: Array
        ) -> Array:
            seconds = collective_seconds(job.fabric, kind, bytes_each[0], sizes[0], stride * apart)
            if owned[1].any():
                seconds = seconds + collective_seconds(job.fabric, kind, bytes_each[1], sizes[1], expert_stride)
            return seconds

        shards = b.dense_shards, b.expert_shards
        local = b.dense_ranks / self.sites, np.maximum(b.expert_ranks / self.sites, 1.0)
        gather = exchange("all_gather", (owned[0] * 2.0, owned[1] * 2.0), shards, np.ones(()))
        bytes_each = job.precision.gradient_bytes
        scatter = gather * (bytes_each / 2.0)
        outer, across = np.zeros(()), np.zeros(())
        parts = owned[0] * bytes_each / b.dense_shards, owned[1] * bytes_each / b.expert_shards
        if c.shard_ranks.any():
            near = np.ceil(local[0] / b.dense_shards), np.maximum(local[1] / b.expert_shards, 1.0)
            outer = exchange("all_reduce", parts, near, b.dense_shards)
        if self.sites > 1:
            across = collective_seconds(job.fabric, "all_reduce", parts[0] + parts[1], self.sites, self.site)
            outer = outer + across

        # what is exchanged once per step: interleaved chunks finish (and start) one after the other, over the passes of
        # as many micro-batches as stages
        once = np.where(c.virtual_stages > 1, c.pipeline_parallel * (c.virtual_stages - 1) / c.virtual_stages, 1.0)
        once = np.clip(once, 1.0, rounds)

        def shown(traffic: Array, behind: Array, passes: Array | float = 1.0) -> Array:
            hidden = np.minimum(traffic, k.data_parallel_overlap * passes * behind)
            return traffic - (1.0 - k.overlap_contention) * hidden

        stage = np.clip(c.zero_stage, 0, 3)
        result = np.zeros(len(c))
        for present in set(stage.tolist()) if len(c) == 1 else np.unique(stage).tolist():
            if present == 0:
                whole = owned[0] * bytes_each, owned[1] * bytes_each
                reduced = exchange("all_reduce", whole, local, np.ones(())) + across
                exposed = shown(reduced, backward, once)
            elif present == 1:
                exposed = shown(scatter + outer, backward, once) + shown(gather, forward, once)
            elif present == 2:
                exposed = rounds * shown(scatter, backward) + shown(outer, backward) + shown(gather, forward, once)
            else:
                exposed = rounds * (shown(gather, forward) + shown(gather + scatter, backward)) + shown(outer, backward)
            result = np.where(stage == present, exposed, result)
        return result

    def lower_bound(self, major: Columns, minor: Mapping[str, NDArray[np.int64]]) -> Array:
        """Return a time that no strategy with these major decisions can beat, whatever the minor ones, (M,).

        The mean stage computes and exchanges no less than without recompute and with the most sharing and overlap that
        `minor` allows; the slowest stage is no faster than the mean; every schedule but 1F1B may have no bubble.
        """
        if not len(major):
            return np.zeros(0)
        best = replace(
            major,
            sequence_parallel=np.full(len(major), minor["sequence_parallel"].max()),
            tensor_overlap=np.full(len(major), minor["tensor_overlap"].max()),
        )
        costs, at = self.table.lookup(best)
        busy = (
            costs.matmul_forward
            + costs.matmul_backward
            + costs.attention_forward
            + costs.attention_backward
            + costs.vector_forward
            + costs.vector_backward
            + 2.0 * costs.tensor_forward
        )
        micro = ((self.layer_counts @ busy)[at] + _both_ends(costs, at)) / major.pipeline_parallel
        rounds = self.job.global_batch / (major.micro_batch * major.data_parallel)
        if not minor["schedule"].any():
            rounds = rounds + (major.pipeline_parallel - 1) / major.virtual_stages
        return np.asarray(micro * rounds * self.job.model_error)

    # everything ----------------------------------------------------------------------------------------------------

    def evaluate(self, c: Columns) -> StepColumns:
        """Return memory, step time and the rule that each strategy breaks, if any."""
        job = self.job
        b = self.block(c)
        held, memory_parts, worst = memory(b)
        rejection = self.rejections(c)
        rejection = np.where((rejection == 0) & (held > job.chip.memory_bytes), OUT_OF_MEMORY, rejection)
        parts = self.step(b)
        step = np.add.reduce(list(parts.values()))
        mfu = job.tokens_per_step * self.model_flop / (step * c.accelerators * _reference_peak(job))
        again = self._repeated(b) / self.model_flop
        return StepColumns(
            step_s=np.asarray(step),
            step_parts=parts,
            memory_bytes=held,
            memory_parts=memory_parts,
            memory_stage=worst,
            micro_batches=b.rounds,
            rejection=rejection,
            tokens_per_s=np.asarray(job.tokens_per_step / step),
            mfu=np.asarray(mfu),
            hfu=np.asarray(mfu * (1.0 + again)),
            network_bytes=self._network_bytes(b),
        )

    def _repeated(self, b: Block) -> Array:
        """Return FLOPs per token that recompute does again, (C,)."""
        mode = b.columns.recompute
        some = np.where(mode == Recompute.SELECTIVE, self.repeated_flop[0], 0.0)
        return np.where(mode == Recompute.FULL, b.recomputed * self.repeated_flop[1], some)

    def _repeatable(self) -> tuple[float, float]:
        """Return FLOPs per token that selective and full recompute of all layers do again."""
        model, sequence, k = self.job.model, self.job.sequence, self.job.constants
        layers = flop_per_token(model, sequence) - 2.0 * (1 + model.mtp_modules) * model.vocab * model.hidden
        last = sum(2.0 * _last_product(layer, model.hidden) * count for layer, count in self.table.groups)
        attention = attention_flop_per_token(model, sequence)
        stored = attention if k.materialised_scores > 0.5 else 0.0
        return k.selective_products * (layers - attention) + stored, layers - k.recompute_skips_last * last

    def _network_bytes(self, b: Block) -> Array:
        """Return the most bytes that one rank of any stage sends in a step, (C,): exchanges of its layers, stage
        sends, gradients and weights (docs/science.md 4.1-4.7).
        """
        job, c, rounds = self.job, b.columns, b.rounds
        sends = np.where(c.pipeline_parallel > 1, 2.0 * c.virtual_stages, 0.0) * b.costs.message[b.at]
        layers = _over_groups(b.stages.layers, b.costs.network_bytes[:, b.at])
        sent = rounds[:, None] * (layers + sends[:, None])
        g, zero = job.precision.gradient_bytes, np.clip(c.zero_stage, 0, 3)
        for held, shards, ranks in (
            (b.dense, b.dense_shards, b.dense_ranks),
            (b.experts, b.expert_shards, b.expert_ranks),
        ):
            part, outer = 1.0 - 1.0 / shards, 2.0 * g * (1.0 / shards - 1.0 / ranks)
            stages = [
                2.0 * g * (1.0 - 1.0 / ranks),
                part * (g + 2.0) + outer,
                part * (g * rounds + 2.0) + outer,
                part * rounds * (g + 4.0) + outer,
            ]
            sent = sent + held * np.choose(zero, stages)[:, None]
        return np.asarray(np.where(b.stages.exists, sent, 0.0).max(axis=1))


def _last_product(layer: Layer, hidden: int) -> float:
    """Return the parameters of the last product of a layer, those that one token uses."""
    dense = layer.feed_forward.width if layer.feed_forward else 0
    routed = layer.experts.active * layer.experts.width + layer.experts.shared_width if layer.experts else 0
    return float(hidden * (dense + routed))


def _both_ends(costs: LayerCosts, at: NDArray[np.int64]) -> Array:
    """Return seconds of embedding and head of one micro-batch, forward and backward, (C,)."""
    whole = costs.embedding_forward + costs.embedding_backward + costs.head_forward + costs.head_backward
    return np.asarray(whole[at])


def _over_groups(layers: Array, per_layer: Array) -> Array:
    """Return sum over groups of layers (C, K, G) times seconds (G, C), (C, K)."""
    if layers.shape[2] == 1:
        return np.asarray(layers[:, :, 0] * per_layer[0][:, None])
    return np.asarray(np.einsum("ckg,gc->ck", layers, per_layer))


def _reference_peak(job: TrainingJob) -> float:
    """Return the 16-bit dense peak, against which MFU is quoted for every recipe."""
    return job.chip.flop_per_s.get("bf16") or job.chip.flop_per_s["fp16"]


def expected_maximum(ranks: object) -> Array:
    """Return E[max] of n standard normal jitters: sqrt(2 ln n) - (ln ln n + ln 4 pi) / (2 sqrt(2 ln n))
    (docs/science.md 7.1).

    3.86 for 16,384 ranks, 4.77 for a million; 0 for one.
    """
    n = np.maximum(np.asarray(ranks, dtype=np.float64), 2.0)
    root = np.sqrt(2 * np.log(n))
    value = root - (np.log(np.log(n)) + np.log(4 * np.pi)) / (2 * root)
    return np.asarray(np.where(np.asarray(ranks) > 1, np.maximum(value, 0.0), 0.0))


def evaluate(job: TrainingJob, columns: Columns) -> StepColumns:
    """Return memory and step time of the strategies in `columns` for one job."""
    return Evaluator(job).evaluate(columns)


def mfu_of(job: TrainingJob, step_s: float, accelerators: int, convention: FlopConvention) -> float:
    """Return model FLOP utilisation against the 16-bit dense peak under a named convention (PaLM, arXiv 2204.02311)."""
    flop = training_flop_per_token(job.model, job.sequence, convention) * job.tokens_per_step
    return flop / (step_s * accelerators * _reference_peak(job))
