"""From a model, a chip and a layout to the time of an engine step: the roofline of every operation of a layer, the
collectives between ranks, and what the engine adds (docs/serving.md).

A step of T tokens is divided over attention_data_parallel groups; with pipeline stages a replica works on as many
micro-batches as stages, so a token takes the time of a pass with T / stages tokens. All times are of the replica.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gigawatt.hardware import Chip, Fabric, collective_seconds, operation_seconds
from gigawatt.model import (
    DTYPE_BYTES,
    Layer,
    Operation,
    Precision,
    Sharding,
    Transformer,
    head_operations,
    layer_operations,
    layer_parameters,
)
from gigawatt.serving._constants import EngineConstants
from gigawatt.serving._layouts import Layouts, ServingPrecision
from gigawatt.serving._models import is_linear
from gigawatt.serving._step_table import StepTable

Array = NDArray[np.float64]
# Points of the token grid: dense where waves of tiles and experts change the time, 1 to 131,072.
TOKENS = np.unique(np.round(2.0 ** np.arange(0.0, 17.01, 0.5)))
# Share of the bandwidth that large reads reach on every measured chip; where a fit of the operator tables says less, its
# time per launch says the rest.
STREAMING = 0.78
# No kernel was ever measured above this share of the bandwidth (A100, docs/science.md 2).
MOST_STREAMING = 0.92
# Below so many bytes a weight, kernels unpack it before the product.
NARROW_BYTES = 0.7
# Formats that products fall back to where the chip lacks one.
_WIDER = {"fp4": "bf16", "fp8": "bf16", "int8": "bf16", "fp16": "bf16", "bf16": "fp16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a step is made of: model, chip, network of the replica's accelerators, formats, constants of the engine."""

    model: Transformer
    chip: Chip
    fabric: Fabric
    precision: ServingPrecision
    constants: EngineConstants


def step_table(served: Served, layouts: Layouts) -> StepTable:
    """Return the step times and the memory of C layouts (docs/serving.md; models: roofline 2.1, collectives 3, serving
    11.1 to 11.3).
    """
    model, constants = served.model, served.constants
    chip = _tuned(served)
    across = (layouts.attention_data_parallel * layouts.pipeline_parallel).astype(np.float64)
    tokens = np.maximum(TOKENS / across[:, None], 1.0)
    shard = _sharding(layouts, column=True)
    products = np.zeros((len(layouts), len(TOKENS)))
    key_s = np.zeros((2, len(layouts)))
    pair_s = np.zeros((2, len(layouts)))
    ramp_s = np.zeros(len(layouts))
    for layer, count in _served_layers(model):
        products += count * _layer_seconds(served, chip, layer, tokens, shard, layouts)
        windowed = int(layer.attention.window is not None)
        key_s[windowed] += count * _key_seconds(served, chip, layer, layouts)
        pair, token = _pair_seconds(served, chip, layer, layouts)
        pair_s[windowed] += count * pair
        ramp_s += count * token
    products += (layouts.pipeline_parallel[:, None] - 1) * collective_seconds(
        served.fabric, "send", tokens * model.hidden * 2.0, 2.0, layouts.stage[:, None]
    )
    head = _operations_seconds(
        served,
        chip,
        head_operations(
            model, phase="decode", batch=tokens, sequence=1.0, sharding=shard, precision=_recipe(served, chip, False)
        ),
    )
    weights, kv, windows = _memory(served, layouts)
    room = constants.memory_share * served.chip.memory_bytes - constants.workspace_bytes - weights
    return StepTable(
        tokens=TOKENS,
        products_s=products,
        head_s=np.broadcast_to(head, products.shape).copy(),
        decode_key_s=key_s[0] / across,
        decode_window_key_s=key_s[1] / across,
        prefill_pair_s=pair_s[0] / across,
        prefill_window_pair_s=pair_s[1] / across,
        prefill_token_s=ramp_s / across,
        step_s=np.full(len(layouts), constants.step_s),
        sequence_s=constants.sequence_s / across,
        prompt_s=np.full(len(layouts), _prompt_seconds(model, constants)),
        window=max((layer.attention.window or 0) for layer in model.layers),
        accelerators=layouts.accelerators.astype(np.float64),
        kv_bytes=kv,
        sequence_bytes=windows,
        kv_capacity_bytes=room * layouts.accelerators,
    )


def _served_layers(model: Transformer) -> tuple[tuple[Layer, int], ...]:
    """Return the layers that work for every token: modules for further tokens (the last ones) left out."""
    base = model if not model.mtp_modules else replace(model, layers=model.layers[: -model.mtp_modules], mtp_modules=0)
    return base.groups()


def _prompt_seconds(model: Transformer, constants: EngineConstants) -> float:
    """Return the host time of a step that holds prompt tokens, s: its kernels are launched one by one."""
    return sum(
        count * (constants.prompt_layer_s + (constants.prompt_latent_layer_s if _many_kernels(layer) else 0.0))
        for layer, count in _served_layers(model)
    )


def _many_kernels(layer: Layer) -> bool:
    """Return whether attention is latent or a window that stands for linear attention (`linear_attention`)."""
    a = layer.attention
    return bool(a.kv_lora_rank) or is_linear(a)


def _tuned(served: Served) -> Chip:
    """Return the chip with its kernels at the shares that the engine reaches; launches are in `layer_s`."""
    c = served.constants
    kernels = {}
    for (family, dtype), kernel in served.chip.kernels.items():
        compute, memory, half = c.compute * c.clock, c.memory, kernel.half
        if family == "attention":
            compute, memory = c.attention * c.clock, c.kv_memory
        elif family == "grouped_matmul":  # decode kernels pack the few rows of an expert into small tiles
            compute, half = compute * c.expert_compute, c.expert_half
        stored = served.precision.expert_weight_bytes if family == "grouped_matmul" else served.precision.weight_bytes
        if family in ("matmul", "grouped_matmul") and stored < NARROW_BYTES:
            memory *= c.narrow_memory
            compute *= 1.0 if DTYPE_BYTES.get(dtype, 2.0) < NARROW_BYTES else c.unpack_compute
        kernels[family, dtype] = replace(
            kernel,
            compute=kernel.compute * compute,
            memory=min(max(kernel.memory, STREAMING) * memory, MOST_STREAMING),
            launch_s=0.0,
            wave=0.0,
            half=half,
        )
    return replace(served.chip, kernels=kernels)


def _format(chip: Chip, dtype: str) -> str:
    """Return the format that products compute in: the wanted one, or the next wider that the chip has."""
    while dtype not in chip.flop_per_s:
        dtype = _WIDER[dtype]
    return dtype


def _recipe(served: Served, chip: Chip, experts: bool) -> Precision:
    wide = _format(chip, "bf16")
    linear = _format(chip, served.precision.experts if experts else served.precision.linear)
    return Precision(linear=linear, attention=wide, vector=wide, kv_cache=served.precision.kv_cache)


def _sharding(layouts: Layouts, column: bool) -> Sharding:
    shape = (-1, 1) if column else (-1,)
    tp, ep = (d.astype(np.float64).reshape(shape) for d in (layouts.tensor_parallel, layouts.expert_parallel))
    stage = layouts.stage.astype(np.float64).reshape(shape)
    return Sharding.of(tensor_parallel=tp, expert_parallel=ep, expert_tensor_parallel=stage / ep)


def _operations_seconds(served: Served, chip: Chip, operations: tuple[Operation, ...]) -> Array:
    """Return the time of operations, s; products move their weights in the format that these are stored in."""
    total: Array = np.zeros(())
    for op in operations:
        moved = op.bytes_moved
        if op.family in ("matmul", "grouped_matmul"):
            stored = (
                served.precision.expert_weight_bytes if op.family == "grouped_matmul" else served.precision.weight_bytes
            )
            moved = moved + op.count * op.columns * op.depth * (stored - DTYPE_BYTES[op.dtype])
        flop = op.flop
        if (
            op.family == "grouped_matmul"
        ):  # its own ramp is over the rows of an expert; the depth costs as in any product
            flop = flop * (1.0 + chip.kernel("matmul", op.dtype).half / op.depth)
        total = total + operation_seconds(
            chip,
            family=op.family,
            dtype=op.dtype,
            flop=flop,
            bytes_moved=moved,
            rows=op.rows,
            columns=op.columns,
            depth=op.depth,
            count=op.count,
        )
    return total


def _layer_seconds(served: Served, chip: Chip, layer: Layer, tokens: Array, shard: Sharding, layouts: Layouts) -> Array:
    """Return the time of one layer without its attention core by tokens of a rank, (C, G)."""
    total = np.full(tokens.shape, _launch_seconds(served, chip, layer))
    for experts in (False, True):
        operations = layer_operations(
            served.model,
            layer,
            phase="decode",
            batch=tokens,
            sequence=1.0,
            sharding=shard,
            context=np.zeros(()),
            precision=_recipe(served, chip, experts),
        )
        chosen = tuple(
            op
            for op in operations
            if op.name != "attention.core"
            and (op.family == "grouped_matmul" or op.name.startswith("experts")) == experts
        )
        imbalance = np.where(layouts.expert_parallel > 1, served.constants.expert_imbalance, 1.0)[:, None]
        total = total + _operations_seconds(served, chip, chosen) * (imbalance if experts else 1.0)
    total = total + _reduce_seconds(served, layer, tokens, layouts)
    exchange = _exchange_seconds(served, layer, tokens, layouts)
    far = (layouts.stage > served.fabric.tiers[0].domain)[:, None]
    return total + exchange - np.where(far, served.constants.overlap * np.minimum(total, exchange), 0.0)


def _reduce_seconds(served: Served, layer: Layer, tokens: Array, layouts: Layouts) -> Array:
    """Return the time of the sums over tensor ranks in one layer, (C, G): after attention, and after the feed-forward
    block unless experts exchange tokens.
    """
    fixed = served.constants.launch * served.constants.collective_s
    tp = layouts.tensor_parallel.astype(np.float64)[:, None]
    dp = layouts.attention_data_parallel.astype(np.float64)[:, None]
    once = collective_seconds(served.fabric, "all_reduce", tokens * served.model.hidden * 2.0, tp, 1.0) + fixed
    times = np.where(dp > 1, 1.0, 2.0) if layer.experts is not None else 2.0
    return np.where(tp > 1, times * once, 0.0)


def _exchange_seconds(served: Served, layer: Layer, tokens: Array, layouts: Layouts) -> Array:
    """Return the time that tokens take to their experts and back where attention is data parallel, (C, G): 8 bit there,
    16 bit back, once to every instance of the scale-up domain that holds one of a token's experts.
    """
    if layer.experts is None:
        return np.zeros_like(tokens)
    k, hidden = float(layer.experts.active), served.model.hidden
    tp = layouts.tensor_parallel.astype(np.float64)[:, None]
    dp = layouts.attention_data_parallel.astype(np.float64)[:, None]
    stage = layouts.stage.astype(np.float64)[:, None]
    instances = np.maximum(stage / served.fabric.tiers[0].domain, 1.0)
    far_share = instances * (1.0 - (1.0 - 1.0 / instances) ** k) / k
    sent = tokens / tp * k * hidden
    time = (
        collective_seconds(served.fabric, "all_to_all", sent, stage, 1.0, far_share)
        + collective_seconds(served.fabric, "all_to_all", 2.0 * sent, stage, 1.0, far_share)
        + 2.0 * served.constants.launch * served.constants.collective_s
    )
    return np.where(dp > 1, time, 0.0)


def _launch_seconds(served: Served, chip: Chip, layer: Layer) -> float:
    """Return the time of one layer that is neither computing nor streaming, s."""
    c = served.constants
    total = c.layer_s + (c.expert_layer_s if layer.experts is not None else 0.0)
    if DTYPE_BYTES[_format(chip, served.precision.linear)] < DTYPE_BYTES["bf16"]:
        total += c.narrow_layer_s
    return c.launch * total


def _key_seconds(served: Served, chip: Chip, layer: Layer, layouts: Layouts) -> Array:
    """Return the time of one cached key of one decode query in one layer, s (C,): read once, multiplied by all heads."""
    many = 1e6
    core = _core(served, chip, layer, layouts, "decode", batch=1.0, sequence=1.0, context=many)
    return np.broadcast_to(_operations_seconds(served, chip, (core,)) / many, (len(layouts),))


def _pair_seconds(served: Served, chip: Chip, layer: Layer, layouts: Layouts) -> tuple[Array, Array]:
    """Return the time of one (query, key) pair of a prefill chunk in one layer and of one query on top, s (C,).

    A kernel with the ramp keys / (keys + half) takes (pairs + half x queries) / rate.
    """
    attention = replace(layer.attention, window=None)
    length = 4096.0
    core = _core(served, chip, replace(layer, attention=attention), layouts, "prefill", batch=1.0, sequence=length)
    kernel = chip.kernel("attention", core.dtype)
    pairs = length * length / 2
    pair = core.flop / pairs / (kernel.compute * chip.peak(core.dtype))
    shape = (len(layouts),)
    return np.broadcast_to(pair, shape), np.broadcast_to(pair * kernel.half, shape)


def _core(
    served: Served,
    chip: Chip,
    layer: Layer,
    layouts: Layouts,
    phase: str,
    *,
    batch: float,
    sequence: float,
    context: float = 0.0,
) -> Operation:
    open_layer = replace(layer, attention=replace(layer.attention, window=None))
    operations = layer_operations(
        served.model,
        open_layer,
        phase="decode" if phase == "decode" else "prefill",
        batch=batch,
        sequence=sequence,
        context=context,
        sharding=_sharding(layouts, column=False),
        precision=_recipe(served, chip, False),
    )
    return next(op for op in operations if op.name == "attention.core")


def _memory(served: Served, layouts: Layouts) -> tuple[Array, Array, Array]:
    """Return weights of an accelerator, and of the replica the cache of a token and the windows of a sequence, bytes
    (C,).

    Heads of keys and values are repeated where there are fewer than tensor ranks, MLA's latent cache on every one.
    """
    model, precision = served.model, served.precision
    tp, pp, ep = (
        d.astype(np.float64) for d in (layouts.tensor_parallel, layouts.pipeline_parallel, layouts.expert_parallel)
    )
    dp = layouts.attention_data_parallel.astype(np.float64)
    stage = layouts.stage.astype(np.float64)
    del ep
    weights = np.zeros(len(layouts))
    kv = np.zeros(len(layouts))
    windows = np.zeros(len(layouts))
    element = DTYPE_BYTES[precision.kv_cache]
    for layer, count in _served_layers(model):
        part = layer_parameters(layer, model.hidden)
        weights += count * precision.weight_bytes * ((part.attention + part.dense + part.shared) / tp + part.latent)
        weights += count * (precision.expert_weight_bytes * part.experts / stage + 2.0 * (part.router + part.norm))
        a = layer.attention
        copies = tp if a.kv_lora_rank else np.maximum(tp / a.kv_heads, 1.0)
        bytes_per_token = count * element * a.cached_width * copies
        if a.window is None:
            kv += bytes_per_token
        else:
            windows += bytes_per_token * a.window
    table = model.vocab * model.hidden * 2.0 * (1.0 if model.tied_embeddings else 2.0)
    del dp
    return weights / pp + table / tp, kv, windows
