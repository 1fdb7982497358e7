"""Memory and step time of strategies, in columns (docs/science.md 4-7).

    step = micro-batches * slowest stage + bubble + exposed data-parallel traffic + optimizer + stragglers + overhead

The slowest stage sets the pace of a pipeline; the stage that needs most memory decides whether a strategy fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gigawatt.hardware import Collective, collective_seconds
from gigawatt.model import (
    FlopConvention,
    Recompute,
    flop_per_token,
    layer_parameters,
    training_flop_per_token,
)
from gigawatt.training._columns import Columns
from gigawatt.training._job import TrainingJob
from gigawatt.training._layers import LayerCosts, LayerTable
from gigawatt.training._pipeline import micro_batches_in_flight, stage_layers

Array = NDArray[np.float64]

REJECTIONS = (
    "fits",
    "uses more accelerators than there are",
    "tensor parallel does not divide the attention heads",
    "more pipeline chunks than layers, embedding and head",
    "virtual stages without a pipeline",
    "interleaving needs micro-batches in multiples of the pipeline",
    "context parallel does not divide the sequence into pairs of chunks",
    "expert parallel does not divide the experts",
    "expert groups do not fold onto the tensor, context and data ranks",
    "expert-tensor parallel is neither 1 nor tensor parallel",
    "the global batch is smaller than data parallel times micro-batch",
    "does not fit in memory",
)
OUT_OF_MEMORY = len(REJECTIONS) - 1

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
    "pipeline bubble",
    "batch remainder",
    "data-parallel communication",
    "optimizer",
    "stragglers",
    "step overhead",
)
MEMORY_PARTS = ("weights", "gradients", "optimizer", "activations", "logits", "reserve")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepColumns:
    """What each strategy does, every array (C,).

    `step_parts` sum to `step_s`, `memory_parts` to `memory_bytes` (of the stage that needs most; `memory_stage` is
    its index). `rejection` indexes REJECTIONS; 0 is a strategy that can run. Rejected strategies have their numbers
    all the same. `mfu` and `hfu` count causal attention, against the dense peak of the format of the matrix products.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stages:
    """The distinct stages of each strategy's pipeline: layers per group (C, K, G), ends and stage index (C, K),
    validity (C, K).
    """

    layers: Array
    first: Array
    last: Array
    index: Array
    exists: NDArray[np.bool_]


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
        self._stage_cache: dict[tuple[int, int], tuple[NDArray[np.int64], ...]] = {}
        self.model_flop = training_flop_per_token(job.model, job.sequence)

    # validity ------------------------------------------------------------------------------------------------------

    def rejections(self, c: Columns) -> NDArray[np.int64]:
        """Return the first rule of REJECTIONS that each strategy breaks (memory apart), (C,)."""
        job, model = self.job, self.job.model
        experts = model.experts.experts if model.experts else 1
        expert_ranks = c.expert_parallel * c.expert_tensor_parallel
        fold = c.tensor_parallel * c.context_parallel * c.data_parallel
        chunks = c.pipeline_parallel * c.virtual_stages
        rounds = np.ceil(job.global_batch / (c.micro_batch * c.data_parallel))
        rules = [
            c.accelerators > job.accelerators,
            model.heads % c.tensor_parallel != 0,
            chunks > len(model.layers) + 2,
            (c.virtual_stages > 1) & (c.pipeline_parallel == 1),
            (c.virtual_stages > 1) & (rounds % c.pipeline_parallel != 0),
            (c.context_parallel > 1) & (job.sequence % (2 * c.context_parallel) != 0),
            experts % c.expert_parallel != 0,
            fold % expert_ranks != 0,
            (c.expert_tensor_parallel != 1) & (c.expert_tensor_parallel != c.tensor_parallel),
            c.micro_batch * c.data_parallel > job.global_batch,
        ]
        result = np.zeros(len(c), dtype=np.int64)
        for code, broken in reversed(list(enumerate(rules, start=1))):
            result[broken] = code
        return result

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

    def _stages(self, c: Columns) -> _Stages:
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
        return _Stages(
            layers=layers[inverse],
            first=ends[0][inverse],
            last=ends[1][inverse],
            index=ends[2][inverse],
            exists=exists[inverse],
        )

    # memory --------------------------------------------------------------------------------------------------------

    def _stage_parameters(self, c: Columns, stages: _Stages) -> tuple[Array, Array]:
        """Return parameters per rank and stage, (C, K): those that data parallelism replicates, and those of
        experts.
        """
        t = c.tensor_parallel[:, None].astype(np.float64)
        model = self.job.model
        dense = stages.layers @ self.split / t + stages.layers @ self.whole
        embedding = (model.vocab + model.patch_width) * model.hidden / t
        head = model.vocab * model.hidden / t
        alone = (c.pipeline_parallel == 1)[:, None]
        tied = head * (0.0 if model.tied_embeddings else 1.0)
        dense = dense + stages.first * embedding + stages.last * np.where(alone, tied, head)
        experts = stages.layers @ self.experts / (c.expert_parallel * c.expert_tensor_parallel)[:, None]
        return dense, experts

    def _shards(self, c: Columns) -> tuple[Array, Array]:
        """Return how many ranks share the replicated and the expert parameters, (C,)."""
        dense = (c.data_parallel * c.context_parallel).astype(np.float64)
        fold = c.tensor_parallel * c.context_parallel * c.data_parallel
        return dense, np.maximum(fold / (c.expert_parallel * c.expert_tensor_parallel), 1.0)

    def _memory(
        self,
        c: Columns,
        costs: LayerCosts,
        at: NDArray[np.int64],
        stages: _Stages,
        held: tuple[Array, Array],
        rounds: Array,
    ) -> tuple[Array, dict[str, Array], NDArray[np.int64]]:
        dense, experts = held
        dense_shards, expert_shards = (shards[:, None] for shards in self._shards(c))
        zero, recipe = c.zero_stage[:, None], self.job.precision

        def state(bytes_each: float, from_stage: int) -> Array:
            sharded = dense / dense_shards + experts / expert_shards
            return bytes_each * np.where(zero >= from_stage, sharded, dense + experts)

        gathered = np.where(
            zero >= 3, 4.0 * (dense + experts) / np.maximum(stages.layers.sum(axis=-1), 1.0), 0.0
        )  # two layers in 16 bit
        kept = self._kept_activations(c, costs, at)  # (C, G)
        working = np.where(c.recompute == Recompute.FULL, costs.activation_none[:, at].max(axis=0), 0.0)
        flight = micro_batches_in_flight(
            stages.index, c.pipeline_parallel[:, None], c.virtual_stages[:, None], rounds[:, None]
        )
        activations = np.einsum("ckg,cg->ck", stages.layers, kept) * flight + working[:, None]
        parts = {
            "weights": state(recipe.weight_bytes, 3) + gathered,
            "gradients": state(recipe.gradient_bytes, 2),
            "optimizer": state(self.job.optimizer_bytes_per_parameter, 1),
            "activations": activations,
            "logits": stages.last * costs.logits[at][:, None],
            "reserve": np.full_like(activations, self.job.reserve_bytes),
        }
        total = np.where(stages.exists, sum(parts.values(), np.zeros(())), -np.inf)
        worst = total.argmax(axis=1)
        rows = np.arange(len(c))
        return (
            total[rows, worst],
            {name: part[rows, worst] for name, part in parts.items()},
            stages.index[rows, worst].astype(np.int64),
        )

    @staticmethod
    def _kept_activations(c: Columns, costs: LayerCosts, at: NDArray[np.int64]) -> Array:
        mode = c.recompute
        kept = np.where(
            mode == Recompute.FULL,
            costs.activation_full[:, at],
            np.where(mode == Recompute.SELECTIVE, costs.activation_selective[:, at], costs.activation_none[:, at]),
        )
        return np.asarray(kept.T)

    # time ----------------------------------------------------------------------------------------------------------

    def _layer_parts(self, c: Columns, costs: LayerCosts, at: NDArray[np.int64]) -> dict[str, Array]:
        """Return seconds of one layer and micro-batch by part, each (G, C)."""
        full, selective = c.recompute == Recompute.FULL, c.recompute == Recompute.SELECTIVE
        forward = costs.matmul_forward + costs.attention_forward + costs.vector_forward
        again = np.where(full, forward[:, at], np.where(selective, costs.cheap_forward[:, at], 0.0))
        passes = np.where(full, 3.0, 2.0)
        groups = costs.matmul_forward.shape[0]
        return {
            "matrix products": (costs.matmul_forward + costs.matmul_backward)[:, at],
            "attention": (costs.attention_forward + costs.attention_backward)[:, at],
            "vector operations": (costs.vector_forward + costs.vector_backward)[:, at],
            "recompute": again,
            "host gaps": np.broadcast_to(passes * self.job.constants.host_per_layer_s, (groups, len(c))),
            "tensor-parallel communication": costs.tensor_forward[:, at] * passes,
            "context-parallel communication": (costs.context_forward + costs.context_backward)[:, at]
            + np.where(full, costs.context_forward[:, at], 0.0),
            "expert-parallel communication": costs.expert_forward[:, at] * passes,
        }

    def _step(
        self,
        c: Columns,
        costs: LayerCosts,
        at: NDArray[np.int64],
        stages: _Stages,
        held: tuple[Array, Array],
        rounds: Array,
    ) -> tuple[dict[str, Array], NDArray[np.int64]]:
        job, k = self.job, self.job.constants
        parts = self._layer_parts(c, costs, at)
        ends = stages.first * (costs.embedding_forward + costs.embedding_backward)[at][:, None]
        ends = ends + stages.last * (costs.head_forward + costs.head_backward)[at][:, None]
        per_layer = sum(parts.values(), np.zeros(()))
        stage_seconds = np.where(stages.exists, np.einsum("ckg,gc->ck", stages.layers, per_layer) + ends, -np.inf)
        pace = stage_seconds.argmax(axis=1)
        rows = np.arange(len(c))
        layers = stages.layers[rows, pace]  # (C, G)
        result = {name: np.einsum("cg,gc->c", layers, part) for name, part in parts.items()}
        result["matrix products"] = result["matrix products"] + ends[rows, pace]
        pipelined = c.pipeline_parallel > 1
        send = collective_seconds(job.fabric, "send", costs.message[at], 2, c.accelerators // c.pipeline_parallel)
        result["pipeline sends"] = np.where(pipelined, 2 * send * c.virtual_stages * (1 - k.pipeline_send_overlap), 0.0)
        micro = sum(result.values(), np.zeros(()))
        exact = job.global_batch / (c.micro_batch * c.data_parallel)
        result = {name: part * exact for name, part in result.items()}
        result["pipeline bubble"] = micro * (c.pipeline_parallel - 1) / c.virtual_stages
        result["batch remainder"] = micro * np.maximum(rounds - exact, 0.0)
        forward = np.einsum(
            "cg,gc->c", layers, (costs.matmul_forward + costs.attention_forward + costs.vector_forward)[:, at]
        )
        backward = np.einsum(
            "cg,gc->c", layers, (costs.matmul_backward + costs.attention_backward + costs.vector_backward)[:, at]
        )
        owned = held[0][rows, pace], held[1][rows, pace]
        result["data-parallel communication"] = self._data_parallel(c, owned, forward, backward, rounds)
        dense_shards, expert_shards = self._shards(c)
        sharded = c.zero_stage >= 1
        updated = owned[0] / np.where(sharded, dense_shards, 1.0) + owned[1] / np.where(sharded, expert_shards, 1.0)
        streaming = job.chip.kernel("vector", job.precision.vector).memory * job.chip.memory_bytes_per_s
        result["optimizer"] = updated * k.optimizer_traffic_bytes / streaming
        result["stragglers"] = sum(result.values(), np.zeros(())) * k.straggler_sigma * expected_maximum(c.accelerators)
        result["step overhead"] = np.full(len(c), k.step_overhead_s)
        return {name: result[name] * job.model_error for name in STEP_PARTS}, pace

    def _data_parallel(
        self, c: Columns, owned: tuple[Array, Array], forward: Array, backward: Array, rounds: Array
    ) -> Array:
        """Return exposed seconds of gradient reduction and weight gathering per step (arXiv 1910.02054;
        docs/science.md 4.1-4.3, 4.9).
        """
        job = self.job
        dense_size, expert_size = self._shards(c)
        stride = c.tensor_parallel
        expert_stride = c.expert_parallel * c.expert_tensor_parallel

        def exchange(kind: Collective, bytes_each: float) -> Array:
            dense = collective_seconds(job.fabric, kind, owned[0] * bytes_each, dense_size, stride)
            if not owned[1].any():
                return dense
            return dense + collective_seconds(job.fabric, kind, owned[1] * bytes_each, expert_size, expert_stride)

        gather = exchange("all_gather", 2.0)
        scatter = gather * (job.precision.gradient_bytes / 2.0)
        overlap = job.constants.data_parallel_overlap
        hidden_forward, hidden_backward = overlap * forward, overlap * backward
        once = np.maximum(0.0, scatter - hidden_backward) + np.maximum(0.0, gather - hidden_forward)
        plain = np.maximum(0.0, 2 * scatter - hidden_backward)
        each_backward = rounds * np.maximum(0.0, scatter - hidden_backward)
        sharded_gradients = each_backward + np.maximum(0.0, gather - hidden_forward)
        fully = rounds * (
            np.maximum(0.0, gather - hidden_forward) + np.maximum(0.0, gather + scatter - hidden_backward)
        )
        return np.asarray(np.choose(np.clip(c.zero_stage, 0, 3), [plain, once, sharded_gradients, fully]))

    # everything ----------------------------------------------------------------------------------------------------

    def evaluate(self, c: Columns) -> StepColumns:
        """Return memory, step time and the rule that each strategy breaks, if any."""
        job = self.job
        rejection = self.rejections(c)
        costs, at = self.table.lookup(c)
        stages = self._stages(c)
        held = self._stage_parameters(c, stages)
        rounds = np.maximum(np.ceil(job.global_batch / (c.micro_batch * c.data_parallel)), 1.0)
        memory, memory_parts, worst = self._memory(c, costs, at, stages, held, rounds)
        rejection = np.where((rejection == 0) & (memory > job.chip.memory_bytes), OUT_OF_MEMORY, rejection)
        parts, _ = self._step(c, costs, at, stages, held, rounds)
        step = sum(parts.values(), np.zeros(()))
        peak = job.chip.peak(job.precision.linear)
        mfu = job.tokens_per_step * self.model_flop / (step * c.accelerators * peak)
        forward_share = 1.0 / 3.0
        hfu = mfu * np.where(c.recompute == Recompute.FULL, 1.0 + forward_share * self._layer_share(), 1.0)
        traffic = costs.network_bytes[:, at].T * rounds[:, None] * stages.layers.max(axis=1)
        return StepColumns(
            step_s=np.asarray(step),
            step_parts=parts,
            memory_bytes=memory,
            memory_parts=memory_parts,
            memory_stage=worst,
            micro_batches=rounds,
            rejection=rejection,
            tokens_per_s=np.asarray(job.tokens_per_step / step),
            mfu=np.asarray(mfu),
            hfu=np.asarray(hfu),
            network_bytes=np.asarray(traffic.sum(axis=1) + 2 * job.precision.gradient_bytes * held[0].max(axis=1)),
        )

    def _layer_share(self) -> float:
        """Return the share of forward FLOPs that is in layers (what full recompute does again)."""
        total = flop_per_token(self.job.model, self.job.sequence)
        return 1.0 - 2.0 * self.job.model.vocab * self.job.model.hidden / total


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
