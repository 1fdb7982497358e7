"""The few constants of the step model: common ones from data/constants.csv, what differs between software stacks from
data/stacks.csv (known) and data/fitted.csv (fitted to published training rates), each with range, grade and source.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files

from gigawatt.catalog import sourced_table
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.evidence import Sourced


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """Kernel shares, overlap shares, jitter, overheads and reserves of a training step; meaning and source stand in
    data/constants.csv.
    """

    elementwise: float
    attention_forward: float
    attention_backward: float
    materialised_scores: float
    unaligned_scores: float
    selective_products: float
    recompute_skips_last: float
    pipeline_scatter: float
    sustained: float
    sustained_narrow: float
    block_scaled: float
    grouped_sustained: float
    routing: float
    quantise: float
    tensor_parallel_overlap: float
    tensor_overlap_gain: float
    data_parallel_overlap: float
    overlap_contention: float
    pipeline_send_overlap: float
    context_parallel_overlap: float
    expert_parallel_overlap: float
    dualpipe_expert_overlap: float
    expert_width_half: float
    expert_imbalance: float
    straggler_sigma: float
    host_per_layer_s: float
    host_floor_s: float
    host_floor_expert_s: float
    accumulate_bytes: float
    node_deduplication: float
    step_overhead_s: float
    logits_bytes: float
    gradient_copy_bytes: float
    largest_gradient_copy_bytes: float
    fragmentation: float
    memory_reserve_bytes: float
    memory_margin: float
    host_link_bytes_per_s: float


@cache
def stacks() -> Mapping[str, Mapping[str, Sourced]]:
    """Return the software stacks: what each changes, as sourced numbers by constant."""
    found: dict[str, dict[str, Sourced]] = {}
    for table in ("stacks", "fitted"):
        for key, fact in sourced_table("gigawatt.training", f"data/{table}.csv").items():
            stack, _, constant = key.partition(".")
            found.setdefault(stack, {})[constant] = fact
    return found


@cache
def constant_facts(stack: str = "", chip: str = "") -> Mapping[str, Sourced]:
    """Return the constants of a software stack on a chip as sourced numbers by key; the common ones without a stack.

    A key "constant@chip" of a stack holds on chips of that name (* stands for any text); later rows win. Raises InputError for a stack that is not in the table.
    """
    facts = dict(sourced_table("gigawatt.training", "data/constants.csv"))
    facts |= _of_chip(stacks()["*"], chip, facts)
    if stack:
        if stack not in stacks():
            known = [name for name in stacks() if name != "*"]
            raise InputError(
                Problem(
                    message="no such software stack",
                    path="training.stack",
                    found=repr(stack),
                    allowed=", ".join(known),
                    nearest=nearest_name(stack, known),
                )
            )
        facts |= _of_chip(stacks()[stack], chip, facts)
    return facts


@cache
def default_stack(vendor: str, chip: str = "") -> str:
    """Return the software stack that is usual on a vendor's chip, "" (the common constants) where none is known."""
    text = files("gigawatt.training").joinpath("data", "vendors.csv").read_text(encoding="utf-8")
    usual = csv.DictReader(io.StringIO(text))
    return next((r["stack"] for r in usual if r["vendor"] in vendor and fnmatchcase(chip, r["chip"])), "")


def _of_chip(changes: Mapping[str, Sourced], chip: str, base: Mapping[str, Sourced]) -> dict[str, Sourced]:
    """Return the changes that hold on a chip, under the constant's own name and label."""
    chosen: dict[str, Sourced] = {}
    for key, fact in sorted(changes.items(), key=lambda item: "@" in item[0]):  # what names a chip wins
        name, _, only = key.partition("@")
        if not only or fnmatchcase(chip, only):
            chosen[name] = replace(fact, label=base[name].label)
    return chosen


def constants(values: Mapping[str, float] | None = None, stack: str = "", chip: str = "") -> Constants:
    """Return the constants of a stack on a chip, with `values` in place of the packaged ones. Raises KeyError for a
    name that is none of them.
    """
    chosen = {key: fact.best for key, fact in constant_facts(stack, chip).items()}
    for key, value in (values or {}).items():
        if key not in chosen:
            raise KeyError(key)
        chosen[key] = value
    return Constants(**{item.name: chosen[item.name] for item in fields(Constants)})
