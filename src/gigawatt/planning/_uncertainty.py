"""Intervals and sensitivities: every uncertain assumption moved to both ends of its range, one at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from gigawatt.errors import InfeasibleError, InputError
from gigawatt.planning._couple import Evaluation, evaluate
from gigawatt.planning._inputs import Inputs
from gigawatt.planning._result import Sensitivity

# The answers whose sensitivities are listed; intervals are given for every output.
TARGETS = ("run.time", "finance.run_cost")
LISTED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Swing:
    """All outputs with one assumption at either end of its range."""

    path: str
    low: Mapping[str, float]
    high: Mapping[str, float]


def swings_of(inputs: Inputs, base: Evaluation, pins: Mapping[str, int]) -> list[Swing]:
    """Return the outputs at both ends of every uncertain assumption, one at a time, with the strategy (but not its
    width) held.
    """
    paths = reached(base)
    swings = []
    for path, assumption in inputs.assumptions.items():
        if assumption.low == assumption.high or path not in paths:
            continue
        ends = []
        for value in (assumption.low, assumption.high):
            try:
                changed = evaluate(inputs.with_value(path, value), pins)
                ends.append({name: output.value for name, output in changed.outputs.items()})
            except (InfeasibleError, InputError):
                ends.append({name: output.value for name, output in base.outputs.items()})
        swings.append(Swing(path=path, low=ends[0], high=ends[1]))
    return swings


def reached(base: Evaluation) -> set[str]:
    """Return every path that some output names as its input."""
    return {path for output in base.outputs.values() for path in output.inputs.values()}


def intervals_of(base: Evaluation, swings: list[Swing]) -> dict[str, tuple[float, float]]:
    """Return (low, high) per output: root of the sum of squared swings, below and above separately (independent
    assumptions).
    """
    intervals = {}
    for path, output in base.outputs.items():
        below = above = 0.0
        for swing in swings:
            ends = [swing.low.get(path, output.value), swing.high.get(path, output.value)]
            below += min(0.0, *(end - output.value for end in ends)) ** 2
            above += max(0.0, *(end - output.value for end in ends)) ** 2
        low, high = output.value - math.sqrt(below), output.value + math.sqrt(above)
        floor = min(
            (swing_end for swing in swings for swing_end in (swing.low.get(path, low), swing.high.get(path, low))),
            default=low,
        )
        if output.value >= 0 and low <= 0 < floor:  # a sum of squares may leave the range of a positive quantity
            low = floor
        intervals[path] = (max(low, 0.0) if output.value >= 0 else low, high)
    if base.limits.requested is not None and "fleet.powered" in intervals:  # no more than are asked for
        low, high = intervals["fleet.powered"]
        intervals["fleet.powered"] = (low, min(high, max(float(base.limits.requested), base.value("fleet.powered"))))
    for path in ("reliability.goodput", "training.mfu", "training.hfu", "training.computing_fraction"):
        if path in intervals:
            intervals[path] = (intervals[path][0], min(intervals[path][1], 1.0))
    return intervals


def sensitivities_of(inputs: Inputs, base: Evaluation, swings: list[Swing]) -> tuple[Sensitivity, ...]:
    rows = []
    for swing in swings:
        assumption = inputs.assumptions[swing.path]
        for target in TARGETS:
            output = base.outputs[target]
            rows.append(
                Sensitivity(
                    path=swing.path,
                    label=assumption.label,
                    low_input=assumption.low,
                    high_input=assumption.high,
                    unit=assumption.unit,
                    output=target,
                    low_output=swing.low.get(target, output.value),
                    high_output=swing.high.get(target, output.value),
                    output_unit=output.unit,
                    grade=str(assumption.grade),
                )
            )
    kept = []
    for target in TARGETS:
        mine = [row for row in rows if row.output == target and row.swing > 1e-6 * abs(base.outputs[target].value)]
        kept += sorted(mine, key=lambda row: row.swing, reverse=True)[:LISTED]
    return tuple(kept)
