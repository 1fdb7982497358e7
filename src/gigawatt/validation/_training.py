"""Every published training measurement, predicted: `gigawatt validate training`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from gigawatt.model import FlopConvention
from gigawatt.training import REJECTIONS, Columns, Evaluator, Space, mfu_of, stacks, strategies
from gigawatt.validation._parameters import parameters
from gigawatt.validation._rows import (
    HELD_OUT,
    PUBLISHED,
    Reading,
    UnreadableRowError,
    meaning,
    number,
    read,
    read_rows,
)
from gigawatt.validation._statistics import constant_elsewhere, one_constant, ranking, summarise

# Shares of a stage's layers that a source which does not state its recompute may have recomputed.
PARTIAL = (0.25, 0.5, 0.75)
# It ran: a decision that is not stated may need a little more memory than there is by this memory model.
MEMORY_TOLERANCE = 1.2
# Groups that vary the strategy on the same hardware.
SWEEPS = ("bloom-a100",)
# Interleaving a few micro-batches and a full memory are the source's business: it ran.
TOLERATED = {
    0,
    REJECTIONS.index("interleaving needs at least as many micro-batches as stages"),
    REJECTIONS.index("does not fit in memory"),
}


def validate_training(data: Path | None = None, held_out: bool = False) -> dict[str, Any]:
    """Return the residuals of every row of a table: `rows` and `summary`. Without `data` it is the packaged one that
    the constants are fitted to, with `held_out` the packaged one that they are not.

    A row has id, group, quantity, measured, predicted, ratio (predicted over measured rate), calibrated (whether the
    chip's kernels were measured), skipped (reason or None), assumed and note. Raises InputError for a table that
    cannot be read.
    """
    rows = [_predict(row) for row in read_rows(data, HELD_OUT if held_out else PUBLISHED)]
    summary = summarise(rows)
    for row, ratio in zip(rows, one_constant(rows, "_utilisation", "_baseline"), strict=True):
        row["baseline_ratio"] = ratio
    summary["baseline"] = summarise(rows, "baseline_ratio")
    if data is None:
        known = [_predict(row) for row in read_rows(None)] if held_out else rows
        for row, ratio in zip(rows, constant_elsewhere(rows, known, "_utilisation", "_baseline"), strict=True):
            row["baseline_left_out_ratio"] = ratio
        summary["baseline_left_out"] = summarise(rows, "baseline_left_out_ratio")
    if data is None and not held_out:
        left_out = _left_out()
        for row in rows:
            row["left_out_ratio"] = left_out.get(row["id"]) if row["ratio"] is not None else None
        summary["left_out"] = summarise(rows, "left_out_ratio")
        summary["constants"] = len(parameters())
    public = [{key: value for key, value in row.items() if not key.startswith("_")} for row in rows]
    predicted = [row["group"] for row in public if row["ratio"] is not None]
    sweeps = [ranking(public, group) for group in SWEEPS if predicted.count(group) > 1]
    return {"rows": public, "summary": summary, "rankings": sweeps}


def _left_out() -> dict[str, float]:
    """Return predicted over measured of every packaged row under constants that were fitted without its group."""
    text = files("gigawatt.validation").joinpath("data", "leave_one_out.csv").read_text(encoding="utf-8")
    return {row["id"]: float(row["left_out"]) for row in csv.DictReader(io.StringIO(text))}


def constant_rows() -> list[dict[str, Any]]:
    """Return the fitted constants with what they rest on: `keys`, `prior`, `value`, and how many `rows` and `groups` of
    the packaged table depend on each.
    """
    known: list[tuple[str, str, str]] = []
    for row in read_rows(None):
        try:
            reading = read(row)
        except UnreadableRowError:
            continue
        known.append((row["group"], reading.stack, reading.job.chip.name))
    found = []
    for constant in parameters():
        mine = [group for group, stack, chip in known if constant.holds_for(stack, chip)]
        stack, _, name = constant.keys[0].partition(".")
        value = stacks()[stack][name].best
        found.append(
            {
                "keys": constant.keys,
                "prior": constant.prior,
                "value": value,
                "rows": len(mine),
                "groups": len(set(mine)),
            }
        )
    return found


def _predict(row: Mapping[str, str]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "id": row["id"],
        "group": row["group"],
        "quantity": "tokens_per_s_per_gpu",
        "measured": None,
        "predicted": None,
        "ratio": None,
        "calibrated": False,
        "skipped": None,
        "assumed": [],
        "unknown_texts": [],
        "note": "",
        "_utilisation": None,
        "_baseline": (row["accelerator"], row["precision"]),
    }
    try:
        reading = read(row)
        columns, note = choose(reading)
        step_s, used = float(Evaluator(reading.job).evaluate(columns).step_s[0]), int(columns.accelerators[0])
        quantity, measured, predicted = compare(row, reading, step_s, used)
    except UnreadableRowError as reason:
        return result | {"skipped": str(reason)}
    convention = mfu_of(reading.job, step_s, used, FlopConvention.FULL)
    return result | {
        "quantity": quantity,
        "measured": measured,
        "predicted": predicted,
        "ratio": predicted / measured,
        "calibrated": reading.calibrated,
        "assumed": list(reading.assumed),
        "unknown_texts": list(reading.unknown),
        "note": note,
        "_utilisation": convention * measured / predicted,
    }


def choose(reading: Reading) -> tuple[Columns, str]:
    """Return the stated strategy (the best one that fits where decisions are not stated) and a note on memory.

    Raises UnreadableRowError where the stated decisions break a rule of this model.
    """
    job, pins = reading.job, dict(reading.pins)
    space = replace(
        Space.of(job),
        zero_stage=(pins["zero_stage"],),
        expert_parallel=_expert_degrees(job.model.experts, pins),
        recompute_layers=(0,),
    )
    if "recompute" not in pins:
        per_stage = max(1, len(job.model.layers) // pins.get("pipeline_parallel", 1))
        partial = sorted({max(1, round(per_stage * share)) for share in PARTIAL})
        space = replace(space, recompute_layers=(0, *(n for n in partial if n < per_stage)))
    evaluator = Evaluator(job)
    possible, seen = _possible(evaluator, space, pins)
    if possible is not None:
        step = evaluator.evaluate(possible)
        room = MEMORY_TOLERANCE * max(job.chip.memory_bytes, float(step.memory_bytes.min()))
        row = int(np.where(step.memory_bytes <= room, step.step_s, np.inf).argmin())
        needs = float(step.memory_bytes[row])
        chosen = possible.take(slice(row, row + 1))
        if needs <= MEMORY_TOLERANCE * job.chip.memory_bytes:
            return chosen, ""
        return chosen, f"by this memory model it needs {needs / 1e9:.0f} of {job.chip.memory_bytes / 1e9:.0f} GB"
    worst = max(seen, key=lambda code: seen[code]) if seen else 0
    raise UnreadableRowError(
        f"the stated strategy {_words(reading.pins)} breaks a rule of this model: {REJECTIONS[worst]}"
    )


def _possible(evaluator: Evaluator, space: Space, pins: Mapping[str, int]) -> tuple[Columns | None, dict[int, int]]:
    """Return the strategies that break no rule (all accelerators in use where some can be) and counts by broken rule."""
    job, seen, kept = evaluator.job, dict[int, int](), list[Columns]()
    for block in strategies(job, space, pins):
        if "data_parallel" not in pins:
            exact = np.asarray(block.accelerators) == job.accelerators
            block = block.take(exact) if exact.any() else block
        rules = evaluator.rejections(block)
        for code in np.unique(rules):
            seen[int(code)] = seen.get(int(code), 0) + int((rules == code).sum())
        kept.append(block.take(np.isin(rules, list(TOLERATED))))
    found = Columns.concatenate(kept) if kept else None
    return (found if found is not None and len(found) else None), seen


def _expert_degrees(experts: Any, pins: Mapping[str, int]) -> tuple[int, ...]:
    if experts is None or "expert_parallel" in pins:
        return (pins.get("expert_parallel", 1),)
    return tuple(degree for degree in (1, 2, 4, 8, 16, 32, 64) if experts.experts % degree == 0)


def _words(pins: Mapping[str, int]) -> str:
    return "(" + ", ".join(f"{name} {value}" for name, value in pins.items()) + ")"


def compare(row: Mapping[str, str], reading: Reading, step_s: float, used: int) -> tuple[str, float, float]:
    """Return (quantity, measured, predicted). Rates per accelerator of the row; a measured step time becomes a rate."""
    job = reading.job
    step_s = step_s * reading.stretch
    rate = job.tokens_per_step / step_s / used * reading.split
    measured = number(row, "tokens_per_s_per_gpu")
    if measured:
        return "tokens_per_s_per_gpu", measured, rate
    count = number(row, "n_accelerators") or 0.0
    seconds = number(row, "step_time_s")
    if seconds:
        tokens = (number(row, "global_batch") or 0.0) * job.sequence
        return "tokens_per_s_per_gpu", tokens / seconds / count, rate
    convention = meaning(row, "flop_convention")
    counted = FlopConvention.CAUSAL if convention["attention"] == "causal" else FlopConvention.FULL
    peak = job.chip.flop_per_s.get("bf16") or job.chip.flop_per_s["fp16"]
    achieved = (
        mfu_of(job, step_s, used, counted) * peak * (4 / 3 if convention["recompute"] == "1" else 1.0) * reading.split
    )
    for column, factor in (("model_tflops_per_gpu", 1e12), ("hw_tflops_per_gpu", 1e12)):
        stated = number(row, column)
        if stated:
            return column, stated, achieved / factor
    stated = number(row, "mfu_pct")
    if stated:
        return "mfu_pct", stated, achieved / (peak * reading.split) * 100
    raise UnreadableRowError("the source states neither a rate nor a step time nor a utilisation")
