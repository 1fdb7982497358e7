"""The constants of one's own engine from its own benchmark: a few measured points move the fixed times of a step.

A pure fit: `predict` maps constants to seconds, the caller knows how (a closed loop, a steady state). Robust least
squares of log errors with the constants held near their start (a ridge on the logarithm), SciPy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.documents import read_text
from gigawatt.errors import InputError, Problem
from gigawatt.serving._constants import EngineConstants

Array = NDArray[np.float64]
# What a benchmark of one model on one system can tell apart, with the spread of the logarithm before the fit.
FREE: Mapping[str, float] = {"layer_s": 0.5, "step_s": 0.5, "first_s": 0.7, "memory": 0.1, "compute": 0.15}
ROBUST = 0.05
_FIELDS = (
    "completed",
    "max_concurrency",
    "total_input_tokens",
    "total_output_tokens",
    "mean_ttft_ms",
    "mean_tpot_ms",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkPoint:
    """One run of a serving benchmark: clients, mean tokens of a request, mean seconds to the first and per further
    token.
    """

    clients: int
    requests: int
    prompt_tokens: float
    output_tokens: float
    ttft_s: float
    tpot_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFit:
    """Fitted constants, and median absolute errors of time per token and time to first token before and after."""

    constants: EngineConstants
    moved: Mapping[str, tuple[float, float]]
    points: int
    before: tuple[float, float]
    after: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; `moved` is (before, after) by constant, errors are (TPOT, TTFT) fractions."""
        return {
            "moved": {name: list(pair) for name, pair in self.moved.items()},
            "points": self.points,
            "before": {"tpot": self.before[0], "ttft": self.before[1]},
            "after": {"tpot": self.after[0], "ttft": self.after[1]},
        }


def read_benchmark(path: Path) -> tuple[BenchmarkPoint, ...]:
    """Return the runs of a result file: one JSON object of `vllm bench serve --save-result`, or JSON lines of
    `sglang.bench_serving --output-file`. Raises InputError naming what is missing.
    """
    text = read_text(path)
    try:
        documents = [json.loads(text)]
    except ValueError:
        try:
            documents = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError:
            documents = []
    if not documents:
        raise InputError(Problem(message="neither JSON nor JSON lines", location=str(path)))
    return tuple(_point(document, f"{path}:{number}") for number, document in enumerate(documents, 1))


def _point(document: Any, place: str) -> BenchmarkPoint:
    values = document if isinstance(document, dict) else {}
    found = {name: values.get(name) for name in _FIELDS}
    absent = [k for k, v in found.items() if not isinstance(v, int | float) or isinstance(v, bool) or not v > 0]
    if absent:
        raise InputError(
            Problem(
                message=f"the result does not hold {', '.join(absent)} above zero",
                location=place,
                allowed="a closed loop: run the benchmark with --max-concurrency",
            )
        )
    done, clients, prompts, outputs, ttft, tpot = (float(values[name]) for name in _FIELDS)
    return BenchmarkPoint(
        clients=int(clients),
        requests=int(done),
        prompt_tokens=prompts / done,
        output_tokens=outputs / done,
        ttft_s=ttft / 1e3,
        tpot_s=tpot / 1e3,
    )


Predict = Callable[[EngineConstants, BenchmarkPoint], tuple[float, float]]


def fit_engine(points: Sequence[BenchmarkPoint], start: EngineConstants, predict: Predict) -> EngineFit:
    """Return the constants of FREE that fit measured points best, the others as they are. Needs SciPy.

    `predict` returns (seconds per token, seconds to the first token) of a point. Raises ValueError for no points.
    """
    from scipy.optimize import least_squares

    if not points:
        raise ValueError("no points to fit")
    names = tuple(FREE)
    sigma = np.array([FREE[name] for name in names])

    def constants(x: Array) -> EngineConstants:
        return replace(
            start, **{name: getattr(start, name) * float(np.exp(dx)) for name, dx in zip(names, x, strict=True)}
        )

    def errors(x: Array) -> Array:
        found = [predict(constants(x), point) for point in points]
        return np.array([[np.log(t / p.tpot_s), np.log(f / p.ttft_s)] for (t, f), p in zip(found, points, strict=True)])

    def objective(x: Array) -> Array:
        return np.concatenate([errors(x).ravel(), ROBUST / sigma * x])

    found = least_squares(
        objective,
        np.zeros(len(names)),
        loss="soft_l1",
        f_scale=ROBUST,
        diff_step=np.full(len(names), 0.02),
        bounds=(-2.0, 2.0),
    )
    best = constants(found.x)
    return EngineFit(
        constants=best,
        moved={name: (getattr(start, name), getattr(best, name)) for name in names},
        points=len(points),
        before=_medians(errors(np.zeros(len(names)))),
        after=_medians(errors(found.x)),
    )


def _medians(errors: Array) -> tuple[float, float]:
    middle = np.median(np.abs(np.expm1(errors)), axis=0)
    return float(middle[0]), float(middle[1])
