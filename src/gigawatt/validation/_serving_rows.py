"""A row of the published serving table as a question to the step model: who serves what on what, and how it was measured.

Texts (accelerators, models, engines) are read through data/serving_texts.csv, chips that the catalogue lacks through
data/serving_chips.csv, models that it lacks from the row's `arch` column. What cannot be read makes the row unreadable,
with the reason; what a source leaves open is filled by a stated rule and listed in `assumed`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from gigawatt.catalog import Accelerator, accelerator_from_spec, load_catalog
from gigawatt.errors import InputError
from gigawatt.hardware import Chip, Fabric, chip_of, fabric_of
from gigawatt.model import Transformer
from gigawatt.serving import SERVING_PRECISIONS, ServingPrecision, served_model, transformer_of_text
from gigawatt.validation._rows import UnreadableRowError
from gigawatt.validation._rows import read_rows as read_table

PUBLISHED = "inference_published.csv"
COLUMNS = (
    "id",
    "group",
    "model",
    "arch",
    "accelerator",
    "n_accelerators",
    "precision_weights",
    "precision_kv",
    "tp",
    "pp",
    "ep",
    "dp",
    "disaggregated",
    "spec_decoding",
    "isl",
    "osl",
    "length_dist",
    "scenario",
    "concurrency_or_rate",
    "engine",
    "output_tokens_per_s",
    "output_tokens_per_s_per_gpu",
    "input_tokens_per_s_per_gpu",
    "ttft_ms",
    "ttft_stat",
    "tpot_ms",
    "tpot_stat",
    "flags",
    "notes",
)
Kind = Literal["closed", "offline", "static", "open", "server", "prefill", "decode"]
# Mean of lengths drawn evenly between 0.8 and 1.0 of the nominal one.
MEAN_OF_RANGE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Degrees:
    """Parallel degrees of one pool of workers, and how many workers it has."""

    workers: int
    tp: int
    pp: int
    ep: int
    dp: int

    @property
    def accelerators(self) -> int:
        """Accelerators of one worker."""
        return self.tp * self.pp * self.dp


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One measurement: what is served on what (`model` to `stack`), and how (`kind`, lengths, load)."""

    id: str
    group: str
    model: Transformer
    chip: Chip
    fabric: Fabric
    precision: ServingPrecision
    degrees: Degrees
    prefill: Degrees | None
    stack: str
    kind: Kind
    prompt: float
    output: float
    spread: float  # relative half-width of uniform lengths around the mean
    load: float  # clients, sequences of a batch, or requests per second
    requests: int | None
    limits: tuple[float, float] | None  # 99th percentiles of TTFT and TPOT, s
    median: bool  # times are medians over requests, not means
    slots: int | None  # sequences and prompt tokens of a step at most, where stated
    token_budget: int | None
    tokens_per_step: float  # tokens that a sequence gets in a step: above one with drafts
    assumed: tuple[str, ...]


def read_rows(path: Path | None) -> list[dict[str, str]]:
    """Return the rows of a table with the packaged columns (the packaged one without a path). Raises InputError as the
    reader of the training table.
    """
    return read_table(path, PUBLISHED, COLUMNS)


def _packaged(name: str) -> str:
    return files("gigawatt.validation").joinpath("data", name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _texts() -> Mapping[tuple[str, str], str]:
    rows = csv.DictReader(io.StringIO(_packaged("serving_texts.csv")))
    return {(row["column"], row["text"]): row["value"] for row in rows}


@lru_cache(maxsize=1)
def _chips() -> Mapping[str, Mapping[str, object]]:
    """Return the inline descriptions of the chips of data/serving_chips.csv by name."""
    found: dict[str, dict[str, object]] = {}
    for row in csv.DictReader(io.StringIO(_packaged("serving_chips.csv"))):
        value: object = int(row["value"]) if row["field"] == "scale_up_domain" else row["value"]
        found.setdefault(row["name"], {"name": row["name"]})[row["field"]] = value
    return found


@lru_cache(maxsize=256)
def accelerator(text: str) -> Accelerator:
    """Return the accelerator that a cell names. Raises UnreadableRowError for one that nobody described."""
    name = _texts().get(("accelerator", text), text)
    if name in _chips():
        return accelerator_from_spec(_chips()[name], "serving_chips.csv", name)
    try:
        return load_catalog().accelerator(name)
    except InputError:
        raise UnreadableRowError(f"accelerator {text!r} is not in the catalogue") from None


@lru_cache(maxsize=256)
def chip(text: str) -> Chip:
    """Return the roofline of the accelerator that a cell names."""
    try:
        return chip_of(accelerator(text))
    except InputError as error:
        raise UnreadableRowError(str(error.problems[0].message)) from None


@lru_cache(maxsize=512)
def fabric(text: str, count: int) -> Fabric:
    """Return the network of `count` of the accelerators that a cell names."""
    try:
        return fabric_of(accelerator(text), max(count, 1))
    except InputError as error:
        raise UnreadableRowError(str(error.problems[0].message)) from None


@lru_cache(maxsize=256)
def model(text: str, arch: str) -> Transformer:
    """Return the transformer of a cell: the catalogue's, else the one that `arch` describes."""
    name = _texts().get(("model", text), text)
    known = {entry.casefold().replace(" ", "-"): entry for entry in load_catalog().models}
    found = known.get(name.casefold().replace(" ", "-"))
    if found is not None:
        try:
            return served_model(load_catalog().models[found])
        except InputError as error:
            reason = error.problems[0].message
    else:
        reason = f"model {text!r} is not in the catalogue"
    try:
        return transformer_of_text(text, arch)
    except (KeyError, ValueError):
        raise UnreadableRowError(f"{reason}, and the row does not describe it") from None


def number(row: Mapping[str, str], column: str) -> float | None:
    """Return the number of a cell, None where it is blank or no number."""
    try:
        return float((row.get(column) or "").replace(",", ""))
    except ValueError:
        return None


def stack_of(text: str) -> str:
    """Return the software stack that an engine's name stands for, "any" where it stands for none."""
    for (column, part), stack in _texts().items():
        if column == "engine" and part in text.casefold():
            return stack
    return "any"


_FORMATS = {
    "fp8": "fp8",
    "fp4": "fp4",
    "nvfp4": "fp4",
    "mxfp4": "mxfp4",
    "bf16": "bf16",
    "fp16": "bf16",
    "int8": "int8",
    "int4": "int4",
    "uint4": "int4",
    "w4a16": "int4",
    "awq": "int4",
}


def precision(row: Mapping[str, str], on: Chip, stack: str, assumed: list[str]) -> ServingPrecision:
    """Return the number formats of a row; blank: fp8 in MLPerf where the chip has it, else 16 bit."""
    text = row["precision_weights"].strip().casefold()
    if not text:
        mlperf = row["scenario"].startswith("MLPerf")
        text = "bf16" if not mlperf or "fp8" not in on.flop_per_s else "fp4" if "fp4" in on.flop_per_s else "fp8"
        assumed.append(f"weights in {text}")
    if text not in _FORMATS:
        raise UnreadableRowError(f"no such number format: {text!r}")
    found = SERVING_PRECISIONS[_FORMATS[text]]
    kv = row["precision_kv"].strip().casefold()
    if kv in ("bf16", "fp16"):
        found = replace(found, kv_cache="bf16")
    elif kv == "fp8":
        found = replace(found, kv_cache="fp8")
    elif stack == "vllm" and "fp4" not in on.flop_per_s and not row["scenario"].startswith("MLPerf"):
        # kv_cache_dtype auto is 16 bit; sweeps on chips of the generation with fp4 set fp8
        found = replace(found, kv_cache="bf16")
    return found


_POOL = re.compile(r"(\d+)([PD])\(tp(\d+),pp(\d+),dp(\d+),ep(\d+)\)")


def degrees(row: Mapping[str, str], assumed: list[str]) -> tuple[Degrees, Degrees | None]:
    """Return the parallel degrees of the workers that decode, and of those that prefill where they are others."""
    pools = {
        kind: Degrees(workers=int(n), tp=int(tp), pp=int(pp), dp=int(dp), ep=int(ep))
        for n, kind, tp, pp, dp, ep in _POOL.findall(row["disaggregated"])
    }
    if "D" in pools:
        return pools["D"], pools.get("P")
    count = int(number(row, "n_accelerators") or 1)
    tp, pp, dp, ep = (int(number(row, name) or 0) for name in ("tp", "pp", "dp", "ep"))
    notes = row["notes"].casefold()
    stated = re.search(r"attention dp (\d+)", notes)
    if stated:
        dp, tp = int(stated.group(1)), 0
    elif "attention dp enabled for moe" in notes and tp > 1 and "-A" in row["model"]:
        dp, tp, ep = tp, 1, tp
    elif "attention dp on" in notes and tp:
        tp, dp = 1, count
    pp = max(pp, 1)
    if not dp and not tp and ep > 1:
        tp, dp = 1, count
    if not tp:
        tp = max(count // (pp * max(dp, 1)), 1)
        if not row["scenario"].startswith("MLPerf") and count > 1:
            assumed.append(f"tensor parallel over {tp}")
    dp = max(dp, 1)
    inside = tp * pp * dp
    return Degrees(workers=max(count // inside, 1), tp=tp, pp=pp, dp=dp, ep=max(ep, 1)), None


def _spread_experts(degrees: Degrees | None, served: Transformer) -> Degrees | None:
    """Return the degrees with experts spread over all ranks where attention is data parallel: files that say ep 1 there
    mean no cut of 64 columns.
    """
    if degrees is None or degrees.dp == 1 or degrees.ep > 1 or served.experts is None:
        return degrees
    return replace(degrees, ep=degrees.tp * degrees.dp)


_LOAD = re.compile(r"(?:conc|batch|qps)=\s*(\d+(?:\.\d+)?|INF)", re.IGNORECASE)


def kind_of(row: Mapping[str, str]) -> tuple[Kind, float]:
    """Return how a row was measured and the load: clients, batch or requests per second."""
    scenario, text = row["scenario"].casefold(), row["concurrency_or_rate"]
    found = _LOAD.search(text)
    load = float("inf") if found and found.group(1).upper() == "INF" else float(found.group(1)) if found else 0.0
    if "prefill" in scenario:
        return "prefill", load
    if "decode" in scenario:
        return "decode", load
    if scenario.startswith("mlperf"):
        achieved = re.search(r"achieved ([\d.]+) queries/s", text)
        return ("offline" if "offline" in scenario else "server"), float(achieved.group(1)) if achieved else 0.0
    if "offline" in scenario:
        return "offline", load
    if "static" in scenario:
        return "static", load
    if "open loop" in scenario:
        rate = re.search(r"(\d+(?:\.\d+)?)\s*req/s", text)
        return "open", float(rate.group(1)) if rate else load
    if "closed" in scenario or "single" in scenario:
        return "closed", load or 1.0
    raise UnreadableRowError(f"no such scenario: {row['scenario']!r}")


_SPREAD = re.compile(r"uniform 0\.8-1\.0")
# Requests per client in the harness behind the INFX rows (`--num-prompts` is ten times the concurrency).
WAVES = 10


@lru_cache(maxsize=1)
def _accepted() -> Mapping[str, float]:
    """Return the tokens of a step by kind of drafts, from data/serving_drafts.csv."""
    rows = csv.DictReader(io.StringIO(_packaged("serving_drafts.csv")))
    return {row["text"]: float(row["tokens_per_step"]) for row in rows}


def read(row: Mapping[str, str]) -> Case:
    """Return a row as a case. Raises UnreadableRowError with the reason where it cannot be one."""
    assumed: list[str] = []
    on = chip(row["accelerator"])
    stack = stack_of(row["engine"])
    served = model(row["model"], row["arch"])
    kind, load = kind_of(row)
    decode, prefill = (_spread_experts(d, served) for d in degrees(row, assumed))
    assert decode is not None
    prompt, output, spread = _lengths(row, served, kind, assumed)
    count = max(int(number(row, "n_accelerators") or 1), decode.accelerators, prefill.accelerators if prefill else 1)
    requests = re.search(r"(\d+) requests", row["scenario"] + " " + row["notes"].replace(",", ""))
    limits = re.search(r"p99 TTFT<=(\d+) ms, p99 TPOT<=(\d+) ms", row["notes"])
    drafts = row["spec_decoding"].strip()
    stated = re.search(r"(\d+)% acceptance", drafts)
    accepted = _accepted().get(drafts, 1.0 + float(stated.group(1)) / 100 if stated else 1.0)
    if accepted > 1.0:
        assumed.append(f"{accepted:g} tokens a step with drafts")
    return Case(
        id=row["id"],
        group=row["group"],
        model=served,
        chip=on,
        fabric=fabric(row["accelerator"], count),
        precision=precision(row, on, stack, assumed),
        degrees=decode,
        prefill=prefill,
        stack=stack,
        kind=kind,
        prompt=prompt,
        output=output,
        spread=spread,
        load=load,
        requests=int(requests.group(1)) if requests else None,
        limits=(float(limits.group(1)) / 1e3, float(limits.group(2)) / 1e3) if limits else _default_limits(kind),
        median="median" in row["ttft_stat"],
        slots=_stated(row, "max[-_]num[-_]seqs"),
        token_budget=_stated(row, "max[-_]num[-_]batched[-_]tokens"),
        tokens_per_step=accepted,
        assumed=tuple(assumed),
    )


def _stated(row: Mapping[str, str], option: str) -> int | None:
    """Return the value of an engine option that a row states."""
    found = re.search(option + r"[ =](\d+)", row["concurrency_or_rate"] + " " + row["notes"])
    return int(found.group(1)) if found else None


def _default_limits(kind: Kind) -> tuple[float, float] | None:
    """Return the limits of MLPerf's server scenario of chat models where the row does not state them."""
    return (2.0, 0.2) if kind == "server" else None


def _lengths(row: Mapping[str, str], served: Transformer, kind: Kind, assumed: list[str]) -> tuple[float, float, float]:
    """Return mean prompt and output tokens and the relative half-width around them."""
    prompt, output = number(row, "isl"), number(row, "osl")
    if prompt is None and row["scenario"].startswith("MLPerf"):
        for entry in csv.DictReader(io.StringIO(_packaged("serving_lengths.csv"))):
            if entry["model"] == served.name and entry["text"] in row["length_dist"]:
                prompt = float(entry["prompt_tokens"])
                assumed.append(f"prompts of {prompt:g} tokens on average")
    if kind in ("prefill", "decode"):
        if prompt is None:
            stated = re.search(r"average KV length per output token ([\d,]+)", row["notes"])
            prompt = float(stated.group(1).replace(",", "")) if stated else None
        output = output or 1.0
    if prompt is None or output is None:
        raise UnreadableRowError("the source states no lengths of prompts and outputs")
    if _SPREAD.search(row["length_dist"]):
        return prompt * MEAN_OF_RANGE, output * MEAN_OF_RANGE, 1.0 / 9.0
    if "OpenOrca" in row["length_dist"] or "ShareGPT" in row["length_dist"]:
        return prompt, output, float("inf")
    return prompt, output, 0.0
