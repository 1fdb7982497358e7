"""`gigawatt calibrate serve`: the constants of one's own engine from one's own benchmark of a known model on a known chip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gigawatt import serving
from gigawatt.catalog import load_catalog
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.hardware import chip_of, fabric_of

# Prompts and answers of a benchmark are drawn this far below their longest.
SPREAD = 0.1
WAVES = 6


def calibrate_serving(
    benchmark: Path,
    *,
    model: str,
    accelerator: str,
    engine: str = "any",
    precision: str = "fp8",
    tensor_parallel: int = 1,
    expert_parallel: int = 1,
    attention_data_parallel: int = 1,
) -> serving.EngineFit:
    """Return the engine constants that fit the runs of a benchmark file best, others as they are. Needs SciPy.

    Every run is followed as a closed loop of its clients. Raises InputError for a file that holds no such run, names
    that the catalogue does not know, and a model that does not fit.
    """
    points = serving.read_benchmark(benchmark)
    catalog = load_catalog()
    chosen = catalog.accelerator(accelerator, "--accelerator", "accelerator")
    served_model = serving.served_model(catalog.model_entry(model, "--model", "model"), "--model")
    if precision not in serving.SERVING_PRECISIONS:
        known = list(serving.SERVING_PRECISIONS)
        raise InputError(
            Problem(
                message="no such precision",
                location="--precision",
                found=repr(precision),
                allowed=", ".join(known),
                nearest=nearest_name(precision, known),
            )
        )
    layouts = serving.Layouts.of(tensor_parallel, 1, expert_parallel, attention_data_parallel)
    count = int(layouts.accelerators[0])
    fabric = fabric_of(chosen, max(count, 2))
    start = serving.engine_constants(engine, chosen.name)

    def table(constants: serving.EngineConstants) -> serving.StepTable:
        return serving.step_table(
            serving.Served(
                model=served_model,
                chip=chip_of(chosen),
                fabric=fabric,
                precision=serving.SERVING_PRECISIONS[precision],
                constants=constants,
            ),
            layouts,
        )

    if not table(start).kv_capacity_bytes[0] > 0:
        raise InputError(
            Problem(
                message=f"{model} in {precision} does not fit into {count} x {chosen.name}",
                location="--tensor-parallel",
                found=str(tensor_parallel),
                allowed="more accelerators, or a narrower precision",
            )
        )

    def predict(constants: serving.EngineConstants, point: serving.BenchmarkPoint) -> tuple[float, float]:
        steps = table(constants)
        requests = min(max(point.requests, point.clients), WAVES * point.clients + 20)
        random = np.random.default_rng(0)
        drawn = random.uniform(1.0 - SPREAD, 1.0 + SPREAD, (2, requests))
        found = serving.closed_loop(
            steps,
            0,
            prompts=np.maximum(np.round(point.prompt_tokens * drawn[0]), 1).astype(np.int64),
            outputs=np.maximum(np.round(point.output_tokens * drawn[1]), 2).astype(np.int64),
            clients=point.clients,
            slots=int(constants.slots * attention_data_parallel),
            token_budget=int(constants.token_budget * attention_data_parallel),
            mixed=constants.mixed > 0.5,
            cache_tokens=float(steps.kv_capacity_bytes[0] / steps.kv_bytes[0]) if steps.kv_bytes[0] else np.inf,
            reserve=constants.reserve,
        )
        return float(np.mean(found.tpot_s)), float(np.mean(found.ttft_s)) + constants.first_s

    return serving.fit_engine(points, start, predict)


def calibration_rows(fit: serving.EngineFit) -> list[dict[str, Any]]:
    """Return what moved, one row per constant: its key, before and after, for a table or a CSV file."""
    return [
        {"key": name, "before": before, "after": after, "factor": after / before if before else 1.0}
        for name, (before, after) in fit.moved.items()
    ]


__all__ = ["calibrate_serving", "calibration_rows"]
