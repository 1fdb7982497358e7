"""Serving images and videos: latency, throughput, memory, energy and cost of a diffusion transformer, in columns.

    text encoder -> steps x (passes of the transformer + host) -> decoder -> pixels

Shapes: C configurations (chip, size, steps, batch, degrees of parallelism); each is one replica of
tensor x context x guidance accelerators that works on one batch after another. The transformer runs as a compiled
graph (no eager launches); no step is skipped or cached. The text encoder runs on one accelerator, the decoder on
`decoder_parallel` of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gigawatt.errors import InputError, Problem
from gigawatt.evidence import Breakdown, Sourced
from gigawatt.hardware import Chip, Fabric, operation_seconds
from gigawatt.model import DTYPE_BYTES, PRECISIONS, Precision, Sharding, layer_operations, parameters
from gigawatt.serving._diffusion import WIDE_BYTES, DiffusionModel, diffusion_facts
from gigawatt.serving._diffusion_step import PARTS, PassShape, inference_precision, pass_seconds
from gigawatt.serving._queueing import servers_for

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
FITS, NO_MEMORY, TOO_SLOW, BATCH_WAITS = (
    "",
    "the model does not fit into the memory of the accelerator",
    "one batch alone takes longer than the promised latency",
    "a batch takes longer to fill than the promised latency leaves",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """What to evaluate, each (C,) or a scalar: pixels, frames (1 for an image), denoising steps and samples per batch,
    the degrees that share one sample, and `chip`, an index into the chips. `guidance_parallel` 2 runs the two passes
    of classifier-free guidance side by side. 0 steps are the model's own.
    """

    height: ArrayLike
    width: ArrayLike
    frames: ArrayLike = 1
    steps: ArrayLike = 0
    batch: ArrayLike = 1
    tensor_parallel: ArrayLike = 1
    context_parallel: ArrayLike = 1
    guidance_parallel: ArrayLike = 1
    decoder_parallel: ArrayLike = 1
    chip: ArrayLike = 0

    def columns(self) -> dict[str, Array]:
        """Return the fields as columns of one length. Raises InputError for what is no whole number from 1."""
        names = [field.name for field in fields(self)]
        values = np.broadcast_arrays(*(np.atleast_1d(np.asarray(getattr(self, n), dtype=np.float64)) for n in names))
        columns = dict(zip(names, values, strict=True))
        least = {name: 0 if name in ("chip", "steps") else 1 for name in names}
        problems = [
            Problem(message="this must be a whole number", path=f"images.{name}", allowed=f"{least[name]} or more")
            for name, value in columns.items()
            if np.any(value != np.floor(value)) or np.any(value < least[name])
        ]
        if problems:
            raise InputError(problems)
        return columns


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageServing:
    """What replicas do, each (C,): `latency_s` from a full batch to its pixels, `images_per_s` of a replica (videos
    count as images), `memory_bytes` of the fullest accelerator, `usable_bytes` that it has. `parts_s` and
    `memory_parts` sum to latency and memory. `kernel_error` is the median error of the chip's matrix products.
    """

    model: str
    plan: Mapping[str, Array]
    chips: tuple[str, ...]
    accelerators: Array
    step_s: Array
    parts_s: Mapping[str, Array]
    memory_parts: Mapping[str, Array]
    usable_bytes: Array
    kernel_error: Array
    inputs: Mapping[str, Sourced]

    def __len__(self) -> int:
        return len(self.step_s)

    @property
    def latency_s(self) -> Array:
        """Seconds of one batch, (C,)."""
        return np.asarray(sum(self.parts_s.values(), np.zeros(len(self))))

    @property
    def latency_range_s(self) -> tuple[Array, Array]:
        """Least and most seconds of one batch, each (C,): the range of software stacks whose launches hide behind the
        work (compiled images, videos), and the error of the chip's kernels.
        """
        factor = diffusion_facts()["stack.time_factor"]
        low = self.latency_s * factor.low * (1.0 - self.kernel_error)
        return low, self.latency_s * factor.high * (1.0 + self.kernel_error)

    @property
    def images_per_s(self) -> Array:
        """Images per second of a replica that is never idle, (C,)."""
        return np.asarray(self.plan["batch"] / self.latency_s)

    @property
    def images_per_accelerator_s(self) -> Array:
        """Images per second and accelerator, (C,)."""
        return self.images_per_s / self.accelerators

    @property
    def memory_bytes(self) -> Array:
        """Bytes on the fullest accelerator, (C,)."""
        return np.asarray(sum(self.memory_parts.values(), np.zeros(len(self))))

    @property
    def fits(self) -> NDArray[np.bool_]:
        """Whether the replica's memory holds model and batch, (C,)."""
        return np.asarray(self.memory_bytes <= self.usable_bytes)

    def energy_j_per_image(self, watts: ArrayLike) -> Array:
        """Return the energy of one image, J, (C,), at `watts` per busy accelerator (its share of host, cooling and
        losses included where they shall count).
        """
        return np.asarray(np.asarray(watts, dtype=np.float64) / self.images_per_accelerator_s)

    def usd_per_image(self, usd_per_accelerator_hour: ArrayLike, utilisation: ArrayLike = 1.0) -> Array:
        """Return the cost of one image, USD, (C,); `utilisation` is the share of paid time that makes images. Raises
        InputError for a share outside of (0, 1].
        """
        share = np.asarray(utilisation, dtype=np.float64)
        if np.any(~(share > 0)) or np.any(share > 1):
            raise InputError(
                Problem(message="this is no share", path="images.utilisation", allowed="above 0, at most 1")
            )
        busy = self.images_per_accelerator_s * share
        return np.asarray(np.asarray(usd_per_accelerator_hour, dtype=np.float64) / 3600.0 / busy)

    def breakdown(self, row: int) -> Breakdown:
        """Return the latency of one configuration as a tree: text encoder, steps by part, decoder, host."""
        steps = {name: float(self.parts_s[name][row]) for name in PARTS}
        return Breakdown.of(
            "latency",
            "s",
            {
                "text encoder": float(self.parts_s["text encoder"][row]),
                "denoising": Breakdown.of("denoising", "s", steps),
                "decoder": float(self.parts_s["decoder"][row]),
                "host": float(self.parts_s["host"][row]),
            },
        )

    def memory_breakdown(self, row: int) -> Breakdown:
        """Return the memory of one configuration by what it holds."""
        return Breakdown.of("memory", "B", {name: float(value[row]) for name, value in self.memory_parts.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReplicas:
    """How many replicas keep a mean latency, (C,): `replicas` 0 and a sentence in `limit` where none do."""

    replicas: Integers
    accelerators: Integers
    utilisation: Array
    limit: tuple[str, ...]


def serve_images(
    model: DiffusionModel,
    plan: ImagePlan,
    *,
    chips: Sequence[Chip],
    fabrics: Sequence[Fabric],
    precision: Precision = PRECISIONS["bf16"],
    attention_rates: Sequence[float] = (),
) -> ImageServing:
    """Return what replicas of a diffusion transformer do for every configuration of the plan.

    `fabrics` are the networks of `chips`, in their order; `attention_rates` the speeds of the attention kernel over
    the one that the chip was fitted to (`attention_rate`), 1 unless given. Memory that does not suffice is an answer
    (`fits`); raises InputError for a plan that no model could run: degrees that do not divide, a chip without the
    format.
    """
    columns = plan.columns()
    rates = tuple(attention_rates) or (1.0,) * len(chips)
    _check(model, columns, chips, fabrics, rates)
    columns["steps"] = np.where(columns["steps"] > 0, columns["steps"], float(model.steps))
    recipe = inference_precision(precision)
    parts = {name: np.zeros(len(columns["chip"])) for name in ("text encoder", *PARTS, "decoder", "host")}
    step_s, usable, error = (np.zeros(len(columns["chip"])) for _ in range(3))
    share = diffusion_facts()["memory.usable_share"].best
    for index, chip in enumerate(chips):
        rows = np.flatnonzero(columns["chip"] == index)
        some = {name: value[rows] for name, value in columns.items()}
        found = _parts(model, some, chip, fabrics[index], recipe, rates[index])
        for name, seconds in found.items():
            parts[name][rows] = seconds
        step_s[rows] = sum(found[name] for name in PARTS) / some["steps"] + diffusion_facts()["host.step_s"].best
        usable[rows] = chip.memory_bytes * share
        error[rows] = chip.kernel("matmul", recipe.linear).median_error
    return ImageServing(
        model=model.name,
        plan=columns,
        chips=tuple(chip.name for chip in chips),
        accelerators=columns["tensor_parallel"] * columns["context_parallel"] * columns["guidance_parallel"],
        step_s=step_s,
        parts_s=parts,
        memory_parts=_memory(model, columns, recipe),
        usable_bytes=usable,
        kernel_error=error,
        inputs={f"images.{key}": fact for key, fact in diffusion_facts().items()},
    )


def image_replicas(
    serving: ImageServing, rate: float, latency_s: float, *, ca2: float = 1.0, cs2: float = 0.0
) -> ImageReplicas:
    """Return the fewest replicas that serve `rate` images per second within a mean `latency_s`: waiting for the batch
    to fill, for a replica (Allen-Cunneen) and the work itself. Service times of one configuration vary little
    (`cs2` 0). Raises InputError unless rate and latency are above zero.
    """
    if not (rate > 0 and latency_s > 0):
        raise InputError(Problem(message="rate and latency must be above zero", path="images.rate, images.latency"))
    batch, work = serving.plan["batch"], serving.latency_s
    filling = (batch - 1.0) / (2.0 * rate)  # the mean sample of a batch comes half-way through its filling
    left = latency_s - work - filling
    limit = np.where(left > 0, FITS, np.where(latency_s > work, BATCH_WAITS, TOO_SLOW))
    limit = np.where(serving.fits, limit, NO_MEMORY)
    possible = limit == FITS
    # batches of b Poisson arrivals come with 1/b of the spread
    replicas = servers_for(rate / batch, work, np.where(possible, left, latency_s), ca2 / batch, cs2)
    replicas = np.where(possible, replicas, 0)
    busy = rate / batch * work / np.maximum(replicas, 1)
    return ImageReplicas(
        replicas=replicas,
        accelerators=(replicas * serving.accelerators).astype(np.int64),
        utilisation=np.where(possible, busy, 0.0),
        limit=tuple(str(text) for text in limit),
    )


def _check(
    model: DiffusionModel,
    columns: Mapping[str, Array],
    chips: Sequence[Chip],
    fabrics: Sequence[Fabric],
    rates: Sequence[float],
) -> None:
    replica = columns["tensor_parallel"] * columns["context_parallel"] * columns["guidance_parallel"]
    checks = {
        "images.chip": (columns["chip"] >= len(chips), f"an index below {len(chips)}, the chips given"),
        "images.tensor_parallel": (
            model.transformer.heads % columns["tensor_parallel"] != 0,
            f"a divisor of the {model.transformer.heads} heads of {model.name}",
        ),
        "images.guidance_parallel": (
            columns["guidance_parallel"] > model.passes,
            f"at most {model.passes}, the passes of {model.name} in one step",
        ),
        "images.frames": (
            (columns["frames"] > 1) & (model.output == "image"),
            f"1: {model.name} makes images",
        ),
        "images.decoder_parallel": (columns["decoder_parallel"] > replica, "at most the accelerators of the replica"),
    }
    problems = [
        Problem(message="this cannot run", path=path, found=f"in {int(np.sum(wrong))} of the rows", allowed=allowed)
        for path, (wrong, allowed) in checks.items()
        if np.any(wrong)
    ]
    for name, given in (("fabrics", fabrics), ("attention_rates", rates)):
        if len(given) != len(chips):
            problems.append(Problem(message="every chip needs its own", path=f"images.{name}", allowed=str(len(chips))))
    if problems:
        raise InputError(problems)


def _parts(
    model: DiffusionModel, columns: Mapping[str, Array], chip: Chip, fabric: Fabric, precision: Precision, rate: float
) -> dict[str, Array]:
    """Return the seconds of a batch by part for configurations of one chip."""
    facts = diffusion_facts()
    passes = model.passes / columns["guidance_parallel"]
    shape = PassShape(
        batch=columns["batch"] * passes,
        image_tokens=model.image_tokens(columns["height"], columns["width"], columns["frames"]),
        tensor_parallel=columns["tensor_parallel"],
        context_parallel=columns["context_parallel"],
    )
    step = pass_seconds(model, shape, chip=chip, fabric=fabric, precision=precision, attention_rate=rate)
    steps = columns["steps"]
    pixels = columns["height"] * columns["width"] * columns["frames"] * columns["batch"]
    flop = facts[f"vae.{model.vae}.flop_per_pixel"].best * pixels
    decoding = facts[f"vae.compute_share.{model.output}"].best * chip.peak(precision.vector)
    return {
        "text encoder": _encoder_seconds(model, columns["batch"], chip, precision),
        **{name: seconds * steps for name, seconds in step.items()},
        "decoder": flop / decoding / columns["decoder_parallel"],
        "host": facts["host.image_s"].best + facts["host.step_s"].best * steps,
    }


def _encoder_seconds(model: DiffusionModel, batch: Array, chip: Chip, precision: Precision) -> Array:
    """Return the seconds of encoding the prompts of a batch, and as many empty ones where guidance needs them."""
    encoder = model.text_encoder
    if encoder is None:
        return np.zeros_like(batch)
    wide = replace(precision, linear=precision.vector, quantise_bytes=0.0)
    total = np.zeros_like(batch)
    for layer, count in encoder.groups():
        operations = layer_operations(
            encoder,
            layer,
            phase="prefill",
            batch=batch * model.passes,
            sequence=float(model.text_tokens),
            sharding=Sharding.of(),
            precision=wide,
        )
        for operation in operations:
            total = total + count * operation_seconds(
                chip,
                family=operation.family,
                dtype=operation.dtype,
                flop=operation.flop,
                bytes_moved=operation.bytes_moved,
                rows=operation.rows,
                columns=operation.columns,
                depth=operation.depth,
                count=operation.count,
            )
    return total


def _memory(model: DiffusionModel, columns: Mapping[str, Array], precision: Precision) -> dict[str, Array]:
    """Return the bytes of the fullest accelerator. Text encoder and decoder stay resident; what denoising and decoding
    hold besides weights is there at different times, so the larger of the two counts.
    """
    facts, transformer = diffusion_facts(), model.transformer
    ones, tensor = np.ones(len(columns["batch"])), columns["tensor_parallel"]
    encoder = parameters(model.text_encoder).total if model.text_encoder is not None else 0
    tokens = model.image_tokens(columns["height"], columns["width"], columns["frames"]) + model.sequence_text
    held = columns["batch"] * model.passes / columns["guidance_parallel"] * tokens / columns["context_parallel"]
    feed_forward = transformer.layers[0].feed_forward
    assert feed_forward is not None
    # stream, residual and norm; queries, keys, values and output; both sides of the activation function
    width = 3.0 * transformer.hidden + (4.0 * transformer.hidden + 2.0 * feed_forward.width) / tensor
    denoising = held * width * DTYPE_BYTES[precision.vector]
    frame = columns["height"] * columns["width"]
    tile = np.minimum(frame * columns["batch"], facts["vae.tile_pixels"].best)
    decoding = tile * facts["vae.bytes_per_pixel"].best * model.temporal_compression
    return {
        "transformer": ones * model.parameters * DTYPE_BYTES[precision.linear] / tensor,
        "text encoder": ones * encoder * WIDE_BYTES,
        "decoder": ones * facts[f"vae.{model.vae}.parameters"].best * WIDE_BYTES,
        "denoising": denoising,
        "decoding beyond it": np.maximum(decoding - denoising, 0.0),
    }
