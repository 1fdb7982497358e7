"""A row of the published table as a training job: free text is read through one documented table, never guessed.

A text that stands in no entry and fits no pattern of that table counts as not stated where a row can do without it (network, recompute, sharding,
attention, sequence parallelism), and the row says so; an unknown accelerator or precision makes the row unreadable.

What a blank cell means: a decision (parallel degree, micro-batch, recompute) that the source does not state is chosen
by the search; a vocabulary of 32,000, heads of width 128 and sequences of 2,048 tokens stand in where the
architecture leaves them out (listed in `Reading.assumed`). A row without a global batch cannot be predicted.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from gigawatt.catalog import Accelerator, ModelEntry, accelerator_from_spec, load_catalog
from gigawatt.documents import read_text
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.evidence import Sourced
from gigawatt.hardware import chip_of, fabric_of
from gigawatt.model import PRECISIONS, Transformer, transformer_of
from gigawatt.training import ContextExchange, Schedule, TrainingJob, constants, default_stack
from gigawatt.validation._network import scale_out_gbps

COLUMNS = (
    "id",
    "group",
    "model",
    "layers",
    "hidden",
    "ffn_hidden",
    "gated_mlp",
    "heads",
    "kv_heads",
    "head_dim",
    "attention",
    "vocab",
    "seq_len",
    "experts",
    "topk",
    "moe_ffn",
    "accelerator",
    "n_accelerators",
    "gpus_per_node",
    "interconnect",
    "precision",
    "tp",
    "pp",
    "vpp",
    "dp",
    "cp",
    "ep",
    "zero_stage_or_fsdp",
    "sequence_parallel",
    "recompute",
    "micro_batch",
    "global_batch",
    "step_time_s",
    "tokens_per_s_per_gpu",
    "model_tflops_per_gpu",
    "hw_tflops_per_gpu",
    "mfu_pct",
    "flop_convention",
)
ASSUMED_VOCABULARY, ASSUMED_HEAD_WIDTH, ASSUMED_SEQUENCE = 32_000, 128, 2_048
_DEGREES = {
    "tp": "tensor_parallel",
    "pp": "pipeline_parallel",
    "vpp": "virtual_stages",
    "cp": "context_parallel",
    "ep": "expert_parallel",
    "dp": "data_parallel",
    "micro_batch": "micro_batch",
}


class UnreadableRowError(Exception):
    """A row that cannot become a job; the message is the reason that the residual table prints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A row as a job: decisions that are stated (`pins`), the software stack, how many ranks one accelerator counts
    as, how much longer the measured interval is than a step, and what was assumed.
    """

    job: TrainingJob
    pins: Mapping[str, int]
    stack: str
    split: int
    stretch: float = 1.0
    assumed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    calibrated: bool = True
    meanings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


PUBLISHED, HELD_OUT = "training_published.csv", "training_held_out.csv"


def read_rows(path: Path | None, packaged: str = PUBLISHED, columns: Sequence[str] = COLUMNS) -> list[dict[str, str]]:
    """Return the rows of a table with `columns`; without a path those of a packaged one: PUBLISHED, which the constants
    are fitted to, or HELD_OUT, from sources that no fit ever saw. Raises InputError naming missing columns, short rows
    and an empty file.
    """
    if path is None:
        text = files("gigawatt.validation").joinpath("data", packaged).read_text(encoding="utf-8")
        name = packaged
    else:
        text, name = read_text(path), str(path)
    reader = csv.DictReader(io.StringIO(text))
    present = reader.fieldnames or []
    missing = [column for column in columns if column not in present]
    if missing:
        near = nearest_name(missing[0], list(present)) if present else ""
        raise InputError(
            Problem(message=f"columns are missing: {', '.join(missing)}", location=f"{name}:1", nearest=near)
        )
    rows = []
    for row in reader:
        if None in row.values() or None in row:
            raise InputError(
                Problem(
                    message="this row has another number of cells than the header", location=f"{name}:{reader.line_num}"
                )
            )
        rows.append({**row, "place": f"{name}:{reader.line_num}"})
    if not rows:
        raise InputError(Problem(message="the table has no rows", location=name))
    return rows


@lru_cache(maxsize=1)
def texts() -> Mapping[tuple[str, str], Mapping[str, str]]:
    """Return the table of texts.csv: (column, text) -> meaning as named fields."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    content = files("gigawatt.validation").joinpath("data", "texts.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(io.StringIO(content)):
        found.setdefault((row["column"], row["text"]), {})[row["field"]] = row["value"]
    return found


# Cells whose text may be unknown: they count as not stated, and the row says so. Of the others an unknown text is no row.
MAY_BE_UNKNOWN = (
    "interconnect",
    "recompute",
    "zero_stage_or_fsdp",
    "attention",
    "sequence_parallel",
    "framework",
    "notes",
    "includes_eval",
)
SILENT = ("notes", "includes_eval")  # most of their texts say nothing that a prediction needs


def meaning(row: Mapping[str, str], column: str, unknown: list[str] | None = None) -> Mapping[str, str]:
    """Return what the text of a cell means: its own entry in texts.csv, else the first pattern (with *) that fits.

    A text that fits nothing is added to `unknown` and counts as not stated where the column allows that; elsewhere
    UnreadableRowError is raised with the nearest known text.
    """
    text = (row.get(column) or "").strip()
    known = texts().get((column, text))
    if known is not None:
        return known
    if column in SILENT:  # a note says several things, the first pattern first
        said = [fields for (where, pattern), fields in texts().items() if where == column and _fits(text, pattern)]
        return {key: value for fields in reversed(said) for key, value in fields.items()}
    if column == "interconnect":
        rate = scale_out_gbps(text, number(row, "gpus_per_node"))
        if rate is not None:
            return {"rate_gbps": f"{rate:g}"}
    fallback = texts().get((column, ""), {})
    for (where, pattern), fields in texts().items():
        if where == column and _fits(text, pattern):
            return fields
    if column == "model" or text == "":
        return {} if column == "model" else fallback
    message = f"{column} text {text!r} is not in the table of texts"
    if unknown is not None and column in MAY_BE_UNKNOWN:
        unknown.append(f"{message}: taken as not stated")
        return fallback
    near = nearest_name(text, [entry for where, entry in texts() if where == column and "*" not in entry])
    raise UnreadableRowError(message + (f" (nearest: {near!r})" if near else ""))


def _fits(text: str, pattern: str) -> bool:
    return bool(text) and "*" in pattern and fnmatchcase(text.casefold(), pattern.casefold())


def _experts(row: Mapping[str, str]) -> tuple[int, int]:
    """Return routed and shared experts from "256" or "256+1 shared"; (0, 0) for a dense model."""
    text = row["experts"].strip()
    if not text:
        return 0, 0
    found = re.fullmatch(r"(\d+)(?:\s*\+\s*(\d+)\s*shared)?(?:\s*\(.*\))?", text)
    if found is None:
        raise UnreadableRowError(f"experts text {text!r} is neither '256' nor '256+1 shared'")
    return int(found[1]), int(found[2] or 0)


def number(row: Mapping[str, str], column: str) -> float | None:
    """Return a numeric cell, None where it is blank. Raises InputError with the line for text that is no number."""
    text = row[column].strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise InputError(
            Problem(message="not a number", location=row["place"], path=column, found=repr(text))
        ) from None
    if not 0 <= value < float("inf"):
        raise InputError(
            Problem(message="a number of at least zero is needed", location=row["place"], path=column, found=repr(text))
        )
    return value


def read(row: Mapping[str, str]) -> Reading:
    """Return the job that a row describes. Raises UnreadableRowError with the reason, InputError for a cell that is no
    number.
    """
    columns = (
        "accelerator",
        "interconnect",
        "precision",
        "recompute",
        "zero_stage_or_fsdp",
        "attention",
        "model",
        "sequence_parallel",
        "framework",
        "notes",
        "includes_eval",
    )
    unknown: list[str] = []
    meanings = {column: meaning(row, column, unknown) for column in columns}
    batch = number(row, "global_batch")
    if not batch:
        raise UnreadableRowError("the source does not state the global batch")
    assumed: list[str] = []
    meanings["accelerator"] = _with_cores(row, meanings["accelerator"])
    accelerator = _accelerator(meanings["accelerator"], meanings["interconnect"])
    split = int(meanings["accelerator"].get("split", "1"))
    count = int(number(row, "n_accelerators") or 0) * (split if row["accelerator"].startswith("Trainium") else 1)
    meanings["zero_stage_or_fsdp"] = {**meanings["zero_stage_or_fsdp"], **_sharding_degrees(row["zero_stage_or_fsdp"])}
    model = _model(row, meanings, assumed)
    sequence = number(row, "seq_len")
    if not sequence:
        assumed.append("seq_len")
    stated = row["precision"].strip() != ""
    recipe = meanings["precision"]["recipe"] if stated else meanings["framework"].get("recipe", "bf16")
    precision = PRECISIONS[recipe]
    if "gradient_bytes" in meanings["framework"]:
        precision = replace(precision, gradient_bytes=float(meanings["framework"]["gradient_bytes"]))
    stack = _stack(meanings, accelerator)
    try:
        chip = chip_of(accelerator)
        chip.peak(precision.linear)
        fabric = fabric_of(accelerator, max(count, 1), scale_up_domain=_domain(row, meanings, accelerator, count))
    except InputError as error:
        raise UnreadableRowError(error.problems[0].message) from None
    if count < 1:
        raise UnreadableRowError("the source does not state the accelerators")
    balanced = {key: float(meanings["notes"][key]) for key in ("expert_imbalance",) if key in meanings["notes"]}
    job = TrainingJob(
        model=model,
        chip=chip,
        fabric=fabric,
        accelerators=count,
        global_batch=max(1, round(batch)),
        sequence=int(sequence or ASSUMED_SEQUENCE),
        precision=precision,
        constants=constants(balanced, stack=stack, chip=chip.name),
    )
    return Reading(
        job=job,
        pins=_pins(row, meanings, count, model, stack),
        stack=stack,
        stretch=float(meanings["includes_eval"].get("factor", "1")),
        split=split if row["accelerator"].startswith("Trainium") else 1,
        assumed=tuple(assumed),
        unknown=tuple(unknown),
        calibrated=job.chip.calibrated,
        meanings=meanings,
    )


# Compilers that come with the chip: their stack applies whatever the framework on top is called.
OWN_COMPILER = ("maxtext", "neuron", "gaudi")


# How many cores of one chip a degree may count.
CORES = (2, 4, 8)


def _with_cores(row: Mapping[str, str], meaning: Mapping[str, str]) -> Mapping[str, str]:
    """Return the meaning of an accelerator whose parallel degrees count cores: where they multiply to so many times
    the chips of a row, a chip is that many ranks.
    """
    degrees = [number(row, column) for column in ("tp", "pp", "dp")]
    chips = number(row, "n_accelerators")
    if "split" in meaning or "Trainium" not in meaning["name"] or not chips or not all(degrees):
        return meaning
    ranks = math.prod(value or 1.0 for value in degrees) * (number(row, "cp") or 1.0)
    if ranks / chips not in CORES:
        return meaning
    cores = int(ranks / chips)
    domain = load_catalog().accelerator(meaning["name"]).scale_up_domain or 1
    return {"domain": str(domain * cores), **meaning, "split": str(cores)}


def _stack(meanings: Mapping[str, Mapping[str, str]], accelerator: Accelerator) -> str:
    usual = default_stack(accelerator.vendor, accelerator.name)
    if usual in OWN_COMPILER:
        return usual
    return meanings["notes"].get("stack") or meanings["framework"].get("stack") or usual


def _sharding_degrees(text: str) -> dict[str, str]:
    """Return the degrees in a text such as "DP 16 x FSDP 48 x TP 8": tensor parallel, and ranks that shard together."""
    found = re.search(r"FSDP (\d+) x TP (\d+)", text)
    if found is None:
        return {}
    return {"tensor_parallel": found[2], "shard_group": str(int(found[1]) * int(found[2]))}


def _accelerator(meaning: Mapping[str, str], network: Mapping[str, str]) -> Accelerator:
    accelerator = load_catalog().accelerator(meaning["name"])
    changes = {
        key: value
        for key, value in {**network, **meaning}.items()
        if key not in ("name", "split", "domain", "slices", "rate_gbps")
    }
    if "scale_out" in network:
        changes["scale_out"] = network["scale_out"]
    if "rate_gbps" in network:  # of a rank of the row, of which `split` make up the accelerator of the catalogue
        changes["scale_out"] = f"{float(network['rate_gbps']) * int(meaning.get('split', '1'))} Gb/s"
    if changes:
        accelerator = accelerator_from_spec(changes, "texts.csv", "accelerator", accelerator)
    share = int(meaning.get("split", "1"))
    if share > 1:
        for path, value in accelerator.numbers().items():
            accelerator = accelerator.with_number(path, _divided(value, share))
    return accelerator


def _divided(value: Sourced, share: int) -> Sourced:
    return replace(value, best=value.best / share, low=value.low / share, high=value.high / share)


def _domain(
    row: Mapping[str, str], meanings: Mapping[str, Mapping[str, str]], accelerator: Accelerator, count: int
) -> int | None:
    if meanings["interconnect"].get("slices"):
        return max(1, count // int(meanings["interconnect"]["slices"]))
    for source in (meanings["interconnect"], meanings["accelerator"]):
        if source.get("domain"):
            return int(source["domain"])
    if "torus" in accelerator.scale_up_link:
        return None  # chips per host say nothing about the size of a torus
    node = number(row, "gpus_per_node")
    return int(node) if node else None


def _model(row: Mapping[str, str], meanings: Mapping[str, Mapping[str, str]], assumed: list[str]) -> Transformer:
    def integer(column: str) -> int | None:
        value = number(row, column)
        return None if value is None else int(value)

    hidden = integer("hidden") or 0
    head_width = integer("head_dim")
    heads = integer("heads")
    if heads is None:
        assumed.append("heads")
        heads = max(1, hidden // ASSUMED_HEAD_WIDTH)
    vocabulary = integer("vocab")
    if vocabulary is None:
        assumed.append("vocab")
        vocabulary = ASSUMED_VOCABULARY
    gated = row["gated_mlp"].strip() != "0"
    architecture: dict[str, Any] = {
        "layers": integer("layers"),
        "hidden": hidden,
        "ffn": integer("ffn_hidden"),
        "heads": heads,
        "kv_heads": integer("kv_heads") or heads,
        "head_dim": head_width or max(1, hidden // heads),
        "vocab": vocabulary,
        "ffn_act": "swiglu" if gated else "gelu",
        "topk": integer("topk"),
        "moe_ffn": integer("moe_ffn"),
        "tie_embeddings": False,
    }
    experts, shared = _experts(row)
    if experts:
        architecture |= {"experts": experts, "shared_expert_ffn": shared * (integer("moe_ffn") or 0)}
    if "mtp_modules" in meanings["notes"]:
        architecture["mtp_modules"] = int(meanings["notes"]["mtp_modules"])
    for source in (meanings["attention"], meanings["model"]):
        architecture |= {key: int(value) for key, value in source.items() if key != "plain"}
    kept = {key: value for key, value in architecture.items() if value is not None}
    try:
        return transformer_of(ModelEntry(name=row["model"], type="moe" if experts else "dense", architecture=kept))
    except InputError as error:
        raise UnreadableRowError(str(error.problems[0].message)) from None


def _pins(
    row: Mapping[str, str], meanings: Mapping[str, Mapping[str, str]], ranks: int, model: Transformer, stack: str
) -> dict[str, int]:
    stated = {name: value for column, name in _DEGREES.items() if (value := number(row, column))}
    share = stated.get("micro_batch", 1.0)
    if share < 1.0:  # part of a sequence per rank: its tokens are split over so many ranks
        stated |= {"micro_batch": 1.0, "context_parallel": stated.get("context_parallel", 1.0 / share)}
    pins = {name: round(value) for name, value in stated.items()}
    sharding = meanings["zero_stage_or_fsdp"]
    pins["zero_stage"] = int(sharding["zero"])
    if "tensor_parallel" in sharding:
        pins.setdefault("tensor_parallel", int(sharding["tensor_parallel"]))
    interleaved = meanings["notes"].get("virtual_stages") or meanings["framework"].get("virtual_stages")
    if interleaved or stack in OWN_COMPILER:
        pins.setdefault("virtual_stages", int(interleaved or 1))
    if "schedule" in meanings["framework"] and pins.get("pipeline_parallel", 1) > 1:
        pins["schedule"] = int(Schedule[meanings["framework"]["schedule"]])
        pins["virtual_stages"] = 1
    if pins.setdefault("context_parallel", 1) > 1:
        pins["context_exchange"] = int(ContextExchange.RING)  # the default of the frameworks in the table
    silent = row["sequence_parallel"].strip() == ""
    pins["sequence_parallel"] = int(
        (meanings["framework"].get("sequence_parallel") if silent else None) or meanings["sequence_parallel"]["on"]
    )
    pins["tensor_overlap"] = int(meanings["notes"].get("tensor_overlap", "0"))
    if model.experts is None:
        pins["expert_parallel"] = 1
    silent = row["recompute"].strip() == ""
    mode = (meanings["framework"].get("recompute") if silent else None) or meanings["recompute"]["mode"]
    if "expert_parallel" in meanings["framework"]:
        pins.setdefault("expert_parallel", int(meanings["framework"]["expert_parallel"]))
    if mode != "search":
        pins["recompute"] = ("none", "selective", "full").index(mode)
    if pins["zero_stage"] == 3:
        pins.setdefault("pipeline_parallel", 1)
        pins.setdefault("tensor_parallel", 1)
    known = [pins.get(name) for name in ("tensor_parallel", "pipeline_parallel", "context_parallel")]
    if all(known):
        degree = ranks
        for value in known:
            degree //= value or 1
        pins["data_parallel"] = max(degree, 1)
        if pins["pipeline_parallel"] > 1:
            _pipeline_defaults(row, meanings["framework"], pins)
        group = int(sharding.get("shard_group", "0")) // (pins["tensor_parallel"] * pins["pipeline_parallel"])
        if 0 < group < degree:
            pins["shard_ranks"] = group
    return pins


def _pipeline_defaults(row: Mapping[str, str], framework: Mapping[str, str], pins: dict[str, int]) -> None:
    """Apply what frameworks do with a pipeline unless told otherwise: weights stay gathered and gradients are reduced
    once, after the last micro-batch, whatever the sharding is called; torchtitan has as many micro-batches as stages.
    """
    pins["zero_stage"] = min(pins["zero_stage"], 1)
    if framework.get("micro_batches") == "pipeline" and "micro_batch" not in pins:
        local = (number(row, "global_batch") or 0.0) / pins["data_parallel"]
        pins["micro_batch"] = max(1, int(local) // pins["pipeline_parallel"])
