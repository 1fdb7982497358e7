"""Pipeline schedules: bubbles, micro-batches in flight, and which layers a stage holds (docs/science.md 5).

m micro-batches, p stages, v virtual stages per device. F, B, W are times of forward, backward and weight gradient.
Mind that the zero-bubble papers call the input gradient alone B, the DualPipe table the whole backward pass.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def bubble_fraction(micro_batches: object, stages: object, virtual_stages: object = 1) -> Array:
    """Return the share of the step in which a device of a 1F1B or interleaved pipeline idles: b / (1 + b), b =
    (p-1)/(v*m).

    arXiv 2104.04473, 2.2. p=16, m=64: 19.0 %; with v=4: 5.54 %.
    """
    ideal = relative_bubble(micro_batches, stages, virtual_stages)
    return ideal / (1 + ideal)


def relative_bubble(micro_batches: object, stages: object, virtual_stages: object = 1) -> Array:
    """Return the bubble over the ideal time of the step, (p-1)/(v*m). p=16, m=64: 23.4 %; with v=4: 5.86 %."""
    m, p, v = (np.asarray(value, dtype=np.float64) for value in (micro_batches, stages, virtual_stages))
    return np.asarray((p - 1) / (v * m))


def bubble_1f1b(stages: int, forward: float, backward: float) -> float:
    """Return (p-1)(F+B), the idle time per device of GPipe and 1F1B; B is the full backward pass."""
    return (stages - 1) * (forward + backward)


def bubble_zero_bubble_1p(stages: int, forward: float, backward: float, weight: float) -> float:
    """Return (p-1)(F+B-2W), ZB1P in the DualPipe table (B is the full backward pass; arXiv 2401.10241)."""
    return (stages - 1) * (forward + backward - 2 * weight)


def bubble_dualpipe(stages: int, forward_and_backward: float, backward: float, weight: float) -> float:
    """Return (p/2-1)(F&B+B-3W); F&B is a forward and a backward that overlap (deepseek-ai/DualPipe, arXiv
    2412.19437).
    """
    return (stages / 2 - 1) * (forward_and_backward + backward - 3 * weight)


def zero_bubble_share(schedule: str, micro_batches: int, stages: int) -> float:
    """Return the bubble share of a zero-bubble schedule with T_F = T_B = T_W (arXiv 2401.10241, 2405.15362).

    With q = (p-1)/(m+p-1): zb-1p q/3, zb-2p and zb-v 0, v-half q/2, v-min 2q/3. Raises KeyError for another name.
    """
    q = (stages - 1) / (micro_batches + stages - 1)
    return {"1f1b": q, "zb-1p": q / 3, "zb-2p": 0.0, "zb-v": 0.0, "v-half": q / 2, "v-min": 2 * q / 3}[schedule]


def interleaved_round(micro_batches: object, stages: object) -> Array:
    """Return the most micro-batches that an interleaved schedule takes through one chunk before the next: floor(m/p)
    rounds as equal as possible, so none is shorter than p; p itself where p divides m.

    Megatron Core calls it `--microbatch-group-size-per-virtual-pipeline-stage`.
    """
    m, p = (np.asarray(value, dtype=np.float64) for value in (micro_batches, stages))
    return np.asarray(np.ceil(m / np.maximum(np.floor(m / p), 1.0)))


def micro_batches_in_flight(stage: object, stages: object, virtual_stages: object, micro_batches: object) -> Array:
    """Return how many micro-batches' activations of its layers a stage holds at once (may be fractional when
    interleaved).

    1F1B: min(m, p - i). Interleaved in rounds of g: min(m*v, 2(p-i-1) + (v-1)g + 1)/v, which for g = p is
    p(1 + (p-1)/(pv)) on the first stage (arXiv 2205.05198).
    """
    i, p, v, m = (np.asarray(value, dtype=np.float64) for value in (stage, stages, virtual_stages, micro_batches))
    warm = np.where(v > 1, 2 * (p - i - 1) + (v - 1) * interleaved_round(m, p) + 1, p - i)
    return np.asarray(np.minimum(warm, m * v) / v)


@lru_cache(maxsize=65536)
def chunk_layers(layer_groups: tuple[int, ...], stages: int, virtual_stages: int) -> NDArray[np.int64]:
    """Return how many layers of each group a chunk of a stage holds, (p, v, G).

    `layer_groups` names the group of each layer in order. Layers are cut into p*v chunks as evenly as possible, the
    smaller ones at both ends, where embedding and head are; chunk j belongs to stage j mod p. Embedding and head may
    be chunks of their own, so there may be two chunks more than layers; raises ValueError beyond that.
    """
    chunks, layers = stages * virtual_stages, len(layer_groups)
    if chunks > layers + 2:
        raise ValueError(f"{layers} layers cannot fill {chunks} pipeline chunks")
    base, extra = divmod(layers, chunks)
    sizes = np.full(chunks, base)
    first = (chunks - extra) // 2
    sizes[first : first + extra] += 1
    counts = np.zeros((stages, virtual_stages, max(layer_groups) + 1), dtype=np.int64)
    position = 0
    for chunk, size in enumerate(sizes.tolist()):
        for group in layer_groups[position : position + size]:
            counts[chunk % stages, chunk // stages, group] += 1
        position += size
    return counts


def stage_layers(layer_groups: tuple[int, ...], stages: int, virtual_stages: int) -> NDArray[np.int64]:
    """Return how many layers of each group a stage holds, (p, G): see `chunk_layers`."""
    return np.asarray(chunk_layers(layer_groups, stages, virtual_stages).sum(axis=1))
