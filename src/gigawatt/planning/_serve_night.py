"""What the hours that traffic leaves free are worth to training or batch work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gigawatt.errors import InfeasibleError, InputError
from gigawatt.planning._serve_chips import DAY_S
from gigawatt.planning._serve_fleet import ClassFleet
from gigawatt.planning._train import train_scenario
from gigawatt.quantity import format_quantity
from gigawatt.scenario import FleetSection, Scenario, ServingSection

# A training job smaller than this is not worth starting for a night.
SMALLEST_JOB = 8


def night_of(
    scenario: Scenario, section: ServingSection, best: Mapping[str, ClassFleet | None]
) -> dict[str, Any] | None:
    """Return what the hours that traffic leaves free are worth: one job of fixed size that runs whenever so many
    accelerators are free.
    """
    fleets = [fleet for fleet in best.values() if fleet is not None]
    kind = section.night or "none"
    if kind == "none" or not fleets:
        return None
    fleet = max(fleets, key=lambda f: f.freed().sum())
    freed = fleet.freed()
    sizes = np.unique(freed[freed >= SMALLEST_JOB])
    per_day = float(freed.sum()) / (len(freed) / 24.0)
    found: dict[str, Any] = {
        "accelerator_hours_per_day": per_day,
        "share_of_fleet": per_day / (24.0 * fleet.accelerators),
        "accelerators_at_trough": max(hour["freed_accelerators"] for hour in fleet.day()),
        "tokens_per_day": None,
        "days_for_tokens": None,
    }
    if not len(sizes):
        return found | {"sentence": "Traffic leaves no hour with enough free accelerators for a job."}
    worth = [size * float((freed >= size).mean()) for size in sizes]
    size = int(sizes[int(np.argmax(worth))]) // 8 * 8
    share = float((freed >= size).mean())
    chip = fleet.plan.chip.name
    if kind == "batch":
        return found | {
            "sentence": f"{size:,} {chip} are free for {24 * share:.1f} hours of a day: {per_day:,.0f} accelerator-hours for batch work."
        }
    alone = replace(
        scenario, fleet=FleetSection.model_construct(accelerator=chip, count=size, accelerators=None), serving=None
    )
    try:
        step = train_scenario(alone)
    except (InputError, InfeasibleError) as error:
        return found | {
            "sentence": f"{size:,} {chip} are free for {24 * share:.1f} hours of a day, but no job runs on them: {error}"
        }
    rate = step.job.tokens_per_step / step.result.step_s
    per_day_tokens = rate * share * DAY_S
    tokens = step.inputs.value("training.tokens")
    return found | {
        "tokens_per_day": per_day_tokens,
        "days_for_tokens": tokens / per_day_tokens,
        "sentence": f"A job of {size:,} {chip} runs {24 * share:.1f} hours of a day: {per_day_tokens:.3g} tokens a day at {format_quantity(step.result.step_s, 's')} a step, {tokens / per_day_tokens:,.0f} days for {tokens:.3g} tokens; starts, stops and checkpoints not counted.",
    }
