"""Diffusion transformers: what an image or a video is made of, in tokens, parameters and FLOPs.

    size in pixels -> latent (/ spatial and temporal compression) -> patches = image tokens
    text tokens + image tokens -> layers, once per pass; passes x steps -> latent -> decoder -> pixels

Layers are those of `gigawatt.model`. A joint layer keeps weights of its own for text and for the image and attends over
both (MM-DiT, arXiv 2403.03206); a single layer has one set for the whole sequence; with `cross_attention` the image
attends to the text in a second attention and text is not part of the sequence. U-Nets (SDXL) are not described.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gigawatt.catalog import sourced_table
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.evidence import Sourced
from gigawatt.model import Attention, FeedForward, Layer, Transformer, parameters

Array = NDArray[np.float64]
# Weights that stay apart from the layers run in 16 bit whatever the layers do.
WIDE_BYTES = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffusionModel:
    """A diffusion transformer with its text encoder and its decoder.

    `transformer` holds the image stream: the first `joint_layers` of its layers have text weights of the same size
    beside them; the others run attention and feed-forward side by side where `parallel_single`. `conditioning` times
    hidden squared parameters are outside of the layers (time and text embedders, shared modulation). `passes` of the
    transformer make one step: 2 with classifier-free guidance, 1 where guidance is distilled or off.
    `vae` names rows of data/diffusion.csv. `published_parameters` are those of the source, transformer only.
    """

    name: str
    output: str
    transformer: Transformer
    joint_layers: int
    parallel_single: bool
    cross_attention: bool
    conditioning: float
    text_tokens: int
    text_width: int
    text_encoder: Transformer | None
    spatial_compression: int
    temporal_compression: int
    patch: int
    steps: int
    passes: int
    vae: str
    published_parameters: float
    source: str

    def image_tokens(self, height: object, width: object, frames: object = 1) -> Array:
        """Return the tokens of an image or video of pixels `height` x `width`, (C,): 1024 x 1024 at compression 8 and
        patch 2 is 4,096. A video keeps its first frame and compresses the rest: 129 frames are 33 latent ones.
        """
        side = self.spatial_compression * self.patch
        rows, columns = (np.ceil(np.asarray(extent, dtype=np.float64) / side) for extent in (height, width))
        latent = 1.0 + np.ceil((np.asarray(frames, dtype=np.float64) - 1.0) / self.temporal_compression)
        return np.asarray(rows * columns * latent)

    @property
    def sequence_text(self) -> int:
        """Text tokens that are part of the sequence."""
        return 0 if self.cross_attention else self.text_tokens

    @property
    def parameters(self) -> float:
        """Parameters of the transformer, both streams, embedders and output projection; biases and norms of queries
        and keys left out. FLUX.1-dev: 11.89e9 (published 11.90e9).
        """
        hidden = self.transformer.hidden
        joint = sum(_stream_parameters(layer, hidden) for layer in self.transformer.layers[: self.joint_layers])
        cross = 4 * hidden * hidden * len(self.transformer.layers) if self.cross_attention else 0
        outside = self.conditioning * hidden * hidden + (self.text_width + self.transformer.patch_width) * hidden
        return float(parameters(self.transformer).total + joint + cross + outside)


def _stream_parameters(layer: Layer, hidden: int) -> int:
    """Return the matrix parameters of the text stream of a joint layer; its modulation is counted with the image's."""
    assert layer.feed_forward is not None
    attention = layer.attention
    return (
        4 * hidden * attention.heads * attention.head_dim
        + layer.feed_forward.matrices * hidden * layer.feed_forward.width
    )


def diffusion_model(name: str) -> DiffusionModel:
    """Return a packaged model. Raises InputError naming the closest where there is none."""
    models = diffusion_models()
    found = {known.casefold(): model for known, model in models.items()}.get(name.casefold())
    if found is None:
        raise InputError(
            Problem(
                message="no such diffusion model",
                path="serving.model",
                found=repr(name),
                allowed=", ".join(models),
                nearest=nearest_name(name, tuple(models)),
            )
        )
    return found


@lru_cache(maxsize=1)
def diffusion_models() -> Mapping[str, DiffusionModel]:
    """Return the packaged models by name (data/diffusion_models.csv, with sources)."""
    encoders = {row["name"]: _encoder(row) for row in _rows("text_encoders.csv")}
    models = (_model(row, encoders) for row in _rows("diffusion_models.csv"))
    return MappingProxyType({model.name: model for model in models})


@lru_cache(maxsize=1)
def diffusion_facts() -> Mapping[str, Sourced]:
    """Return the constants of image serving by key (data/diffusion.csv)."""
    return MappingProxyType(sourced_table("gigawatt.serving", "data/diffusion.csv"))


def attention_rate(kernel: str, chip: str) -> float:
    """Return how fast an attention kernel ("flash_attention_2") is on a chip over the kernels
    that the chip was fitted to; 1 where nothing else is known.
    """
    fact = diffusion_facts().get(f"attention_rate.{kernel}.{chip}")
    return 1.0 if fact is None else fact.best


def _rows(name: str) -> tuple[dict[str, str], ...]:
    text = files("gigawatt.serving").joinpath("data", name).read_text(encoding="utf-8")
    return tuple(csv.DictReader(io.StringIO(text)))


def _encoder(row: Mapping[str, str]) -> Transformer:
    attention = Attention(heads=int(row["heads"]), kv_heads=int(row["kv_heads"]), head_dim=int(row["head_dim"]))
    layer = Layer(attention=attention, feed_forward=FeedForward(width=int(row["ffn"]), gated=row["gated"] == "1"))
    return Transformer(
        name=row["name"],
        hidden=int(row["hidden"]),
        vocab=int(row["vocab"]),
        tied_embeddings=True,  # no head: hidden states are what is used
        layers=(layer,) * int(row["layers"]),
        causal=False,
    )


def _model(row: Mapping[str, str], encoders: Mapping[str, Transformer]) -> DiffusionModel:
    hidden, heads, patch = int(row["hidden"]), int(row["heads"]), int(row["patch"])
    joint, single = int(row["joint_layers"]), int(row["single_layers"])
    attention = Attention(heads=heads, kv_heads=heads, head_dim=hidden // heads)
    feed_forward = FeedForward(width=int(row["ffn"]), gated=False)
    layers = (Layer(attention=attention, feed_forward=feed_forward, modulation=int(row["joint_modulation"])),) * joint
    layers += (
        Layer(attention=attention, feed_forward=feed_forward, modulation=int(row["single_modulation"])),
    ) * single
    return DiffusionModel(
        name=row["name"],
        output=row["output"],
        transformer=Transformer(
            name=row["name"],
            hidden=hidden,
            vocab=0,
            tied_embeddings=False,
            layers=layers,
            causal=False,
            patch_width=int(row["latent_channels"]) * patch * patch,
        ),
        joint_layers=joint,
        parallel_single=row["parallel_single"] == "1",
        cross_attention=row["cross_attention"] == "1",
        conditioning=float(row["conditioning"]),
        text_tokens=int(row["text_tokens"]),
        text_width=int(row["text_width"]),
        text_encoder=encoders[row["text_encoder"]] if row["text_encoder"] else None,
        spatial_compression=int(row["spatial_compression"]),
        temporal_compression=int(row["temporal_compression"]),
        patch=patch,
        steps=int(row["steps"]),
        passes=int(row["guidance_passes"]),
        vae=row["vae"],
        published_parameters=float(row["params_b"]) * 1e9,
        source=row["source"],
    )
