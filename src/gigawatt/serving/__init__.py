"""From traffic to chips, megawatts and dollars per token."""

from gigawatt.serving._diffusion import (
    DiffusionModel,
    attention_rate,
    diffusion_facts,
    diffusion_model,
    diffusion_models,
)
from gigawatt.serving._images import ImagePlan, ImageServing, Replicas, replicas_for, serve_images
from gigawatt.serving._queueing import servers_for, waiting_s

__all__ = [
    "DiffusionModel",
    "ImagePlan",
    "ImageServing",
    "Replicas",
    "attention_rate",
    "diffusion_facts",
    "diffusion_model",
    "diffusion_models",
    "replicas_for",
    "serve_images",
    "servers_for",
    "waiting_s",
]
