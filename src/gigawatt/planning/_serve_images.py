"""Images and videos of a scenario: how many accelerators of each kind make them in the busiest hour, at what power and cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt import serving
from gigawatt.errors import InputError, Problem
from gigawatt.evidence import Breakdown
from gigawatt.model import PRECISIONS
from gigawatt.planning._serve_chips import DAY_S, MONTH_S, ServingChip
from gigawatt.scenario import ImageItem, Scenario

Array = NDArray[np.float64]
# Degrees and batches that are tried; the promise decides between latency and throughput.
BATCHES, CONTEXTS = (1, 2, 4, 8), (1, 2, 4, 8)
# A picture that nobody promised is ready within this many times its own work.
PATIENCE = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlanRow:
    """The best way to make one kind of image on one kind of accelerator; what does not apply is None."""

    item: ImageItem
    chip: ServingChip
    reason: str
    row: int = -1
    found: serving.ImageServing | None = None
    replicas: int = 0
    peak_rate: float = 0.0
    mean_rate: float = 0.0
    watts: float = 0.0
    idle_watts: float = 0.0

    @property
    def accelerators(self) -> int:
        """Accelerators of all replicas."""
        return 0 if self.found is None else int(self.replicas * self.found.accelerators[self.row])

    @property
    def busy_share(self) -> float:
        """Share of the time in which an accelerator works, mean of the week."""
        if self.found is None:
            return 0.0
        return min(self.mean_rate / (self.replicas * float(self.found.images_per_s[self.row])), 1.0)

    @property
    def mean_w(self) -> float:
        """Mean power of the site for these accelerators, W."""
        return self.accelerators * (self.busy_share * self.watts + (1.0 - self.busy_share) * self.idle_watts)

    @property
    def usd_per_s(self) -> float:
        """What these accelerators cost, USD/s."""
        return self.accelerators * self.chip.fixed_usd_per_s + self.mean_w * self.chip.usd_per_joule

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        width, height = self.item.resolution
        base = {
            "name": self.item.name,
            "model": self.item.model if isinstance(self.item.model, str) else str(self.item.model.get("base", "")),
            "accelerator": self.chip.name,
            "feasible": self.found is not None,
            "reason": self.reason,
            "steps": self.item.steps,
            "resolution": f"{width}x{height}",
            "estimate": not self.chip.chip.calibrated,
        }
        names = (
            "batch", "parallel", "latency_s", "images_per_s_per_accelerator", "requests_per_s_peak", "replicas", "accelerators",
            "peak_w", "mean_w", "energy_j_per_image", "usd_per_image", "usd_per_month", "parts",
        )  # fmt: skip
        if self.found is None:
            return base | dict.fromkeys(names)
        plan, row = self.found.plan, self.row
        parts: Breakdown = self.found.breakdown(row)
        return base | {
            "batch": int(plan["batch"][row]),
            "parallel": f"{int(plan['context_parallel'][row])}-way context"
            if plan["context_parallel"][row] > 1
            else "one accelerator",
            "latency_s": float(self.found.latency_s[row]),
            "images_per_s_per_accelerator": float(self.found.images_per_accelerator_s[row]),
            "requests_per_s_peak": self.peak_rate,
            "replicas": self.replicas,
            "accelerators": self.accelerators,
            "peak_w": self.accelerators * self.watts,
            "mean_w": self.mean_w,
            "energy_j_per_image": self.mean_w / self.mean_rate,
            "usd_per_image": self.usd_per_s / self.mean_rate,
            "usd_per_month": self.usd_per_s * MONTH_S,
            "parts": parts.to_dict(),
        }


def image_plans(scenario: Scenario, index: int, item: ImageItem, chips: tuple[ServingChip, ...]) -> list[ImagePlanRow]:
    """Return the cheapest way to make a kind of image on every chip, or why there is none."""
    path = f"serving.images.{index}"
    name = item.model if isinstance(item.model, str) else str(item.model.get("base", ""))
    try:
        model = serving.diffusion_model(name)
    except InputError as error:
        known = error.problems[0]
        raise InputError(
            Problem(
                message=known.message,
                location=scenario.place(f"{path}.model"),
                path=f"{path}.model",
                found=known.found,
                allowed=known.allowed,
                nearest=known.nearest,
            )
        ) from None
    if item.guidance is not None:  # two passes a step with classifier-free guidance (docs/serving.md)
        model = replace(model, passes=2 if item.guidance else 1)
    rates = _rates(item)
    return [_plan(item, chip, model, float(rates.max()), float(rates.mean())) for chip in chips]


def _rates(item: ImageItem) -> Array:
    """Return requests per second hour by hour over the first week."""
    traffic = serving.TrafficClass(
        name=item.name,
        lengths=serving.nominal_lengths(1.0, 1.0),
        rate_per_s=item.rate,
        users=None if item.users is None else float(item.users),
        requests_per_user_per_day=None if item.requests_per_user is None else item.requests_per_user * DAY_S,
        day_shape=item.day_shape or "flat",
        week_shape=item.week_shape or (item.day_shape if isinstance(item.day_shape, str) else "flat"),
    )
    return np.asarray(serving.rate_by_hour([traffic], hours=168)[0])


def _fleet(found: serving.ImageServing, peak: float, promised: float, share: float) -> serving.ImageReplicas:
    """Return the replicas with which a share of the images is ready in time, row by row: waits are about exponential, so
    the mean wait may be what is left over ln(1 / (1 - share)).
    """
    rows = []
    for row in range(len(found)):
        work = float(found.latency_s[row])
        filling = (float(found.plan["batch"][row]) - 1.0) / (2.0 * peak)
        left = max(promised - work - 2.0 * filling, 0.0)
        mean = work + filling + left / -math.log1p(-share) if left > 0 else promised
        rows.append(serving.image_replicas(found, peak, mean))
    at = range(len(rows))
    return serving.ImageReplicas(
        replicas=np.array([rows[i].replicas[i] for i in at]),
        accelerators=np.array([rows[i].accelerators[i] for i in at]),
        utilisation=np.array([rows[i].utilisation[i] for i in at]),
        limit=tuple(rows[i].limit[i] for i in at),
    )


def _plan(item: ImageItem, chip: ServingChip, model: serving.DiffusionModel, peak: float, mean: float) -> ImagePlanRow:
    width, height = item.resolution
    domain = chip.accelerator.scale_up_domain or 1
    heads = model.transformer.heads
    tried = [(b, c) for b, c in product(BATCHES, CONTEXTS) if c <= domain and heads % c == 0]
    batch, context = (np.array(column) for column in zip(*tried, strict=True))
    found = serving.serve_images(
        model,
        serving.ImagePlan(
            height=height, width=width, frames=item.frames or 1, steps=item.steps, batch=batch, context_parallel=context
        ),
        chips=[chip.chip],
        fabrics=[chip.fabric(max(CONTEXTS))],
        precision=PRECISIONS["bf16" if "bf16" in chip.chip.flop_per_s else "fp16"],
    )
    promised = item.seconds or PATIENCE * float(found.latency_s.min())
    fleet = _fleet(found, peak, promised, item.percentile or 0.99)
    possible = np.flatnonzero(fleet.replicas > 0)
    if not len(possible):
        nearest = int(np.argmin(np.where(found.fits, found.latency_s, np.inf)))
        short = (
            ""
            if not found.fits[nearest]
            else f": at least {found.latency_s[nearest]:.3g} s on {int(found.accelerators[nearest])} accelerators, {promised:g} s are promised"
        )
        return ImagePlanRow(item=item, chip=chip, reason=f"{fleet.limit[nearest]}{short}")
    best = int(possible[np.argmin(fleet.accelerators[possible])])
    limit = chip.power.watts("training")
    around = chip.around_w
    scale = (1.0 + chip.other_share) * chip.pue
    return ImagePlanRow(
        item=item,
        chip=chip,
        reason="",
        row=best,
        found=found,
        replicas=int(fleet.replicas[best]),
        peak_rate=peak,
        mean_rate=mean,
        watts=(limit + around) * scale,
        idle_watts=(chip.power.watts("waiting") + around) * scale,
    )
