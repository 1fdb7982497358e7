"""Models: one row of models.csv, an inline specification or a configuration file, as architecture columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from gigawatt.catalog._tables import Row, number, packaged_rows, sourced
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.evidence import Sourced

Value = int | float | str | bool

ARCHITECTURE_INTEGERS = (
    "layers",
    "hidden",
    "ffn",
    "heads",
    "kv_heads",
    "head_dim",
    "vocab",
    "max_ctx",
    "q_lora_rank",
    "kv_lora_rank",
    "qk_nope_head_dim",
    "qk_rope_head_dim",
    "v_head_dim",
    "experts",
    "shared_experts",
    "topk",
    "moe_ffn",
    "shared_expert_ffn",
    "first_dense_layers",
    "moe_layer_step",
    "sliding_window",
    "window_pattern",
    "parallel_ffn",
    "patch_width",
    "modulation",
    "mtp_modules",
)
ARCHITECTURE_FLAGS = ("tie_embeddings", "causal")
ARCHITECTURE_TEXTS = ("ffn_act", "attention")
ARCHITECTURE = (*ARCHITECTURE_INTEGERS, *ARCHITECTURE_FLAGS, *ARCHITECTURE_TEXTS)
# Inline fields that may be zero ("no vocabulary", "no shared experts"); every other whole number is at least one.
MAY_BE_ZERO = frozenset(
    {
        "vocab",
        "experts",
        "shared_experts",
        "first_dense_layers",
        "shared_expert_ffn",
        "parallel_ffn",
        "sliding_window",
        "ffn",
        "modulation",
        "mtp_modules",
    }
)
# Largest whole numbers of a specification: beyond them a search would not end, and no such model is conceivable.
MOST = {"layers": 4096, "experts": 65_536, "mtp_modules": 64}
MOST_SIZE = 100_000_000


def size_problem(field: str, value: int, place: str, path: str) -> Problem | None:
    """Return what is wrong with a size that is larger than any model's, None where it is not."""
    most = MOST.get(field, MOST_SIZE)
    if value <= most:
        return None
    return Problem(
        message="impossible value", location=place, path=path, found=f"{value:,}", allowed=f"at most {most:,}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model as it is published. `architecture` holds the columns that are known (see the data folder's README)."""

    name: str
    family: str = ""
    release: str = ""
    type: str = "dense"
    architecture: Mapping[str, Value] = field(default_factory=dict)
    parameters_total: Sourced | None = None
    parameters_active: Sourced | None = None
    training_tokens: Sourced | None = None
    training_flop: Sourced | None = None
    training_hardware: str = ""
    notes: str = ""
    source: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: texts, the architecture, and the sourced numbers."""
        numbers = {
            name: value
            for name in ("parameters_total", "parameters_active", "training_tokens", "training_flop")
            if (value := getattr(self, name)) is not None
        }
        texts = {
            name: getattr(self, name)
            for name in ("name", "family", "release", "type", "training_hardware", "notes", "source")
        }
        return {
            **{name: text for name, text in texts.items() if text},
            "architecture": dict(self.architecture),
            "numbers": {name: value.to_dict() for name, value in numbers.items()},
        }


def _extras() -> dict[str, dict[str, Value]]:
    extras: dict[str, dict[str, Value]] = {}
    for row in packaged_rows("model_extras.csv"):
        extras.setdefault(row["name"], {})[row["field"]] = int(row["value"])
    return extras


@lru_cache(maxsize=1)
def _evidence() -> Mapping[tuple[str, str], str]:
    """Return model_evidence.csv: (model, column) -> kind of evidence, where the notes of models.csv say it in words."""
    return {(row["name"], row["column"]): row["kind"] for row in packaged_rows("model_evidence.csv")}


def model_from_row(row: Row, place: str = "models.csv") -> ModelEntry:
    """Return the model of one row of the table. Raises InputError with `place` for a cell that is no number."""
    architecture: dict[str, Value] = {}
    for column in ARCHITECTURE_INTEGERS:
        count = number(row.get(column, ""), place, column)
        if count is not None:
            architecture[column] = int(count)
    for column in ARCHITECTURE_FLAGS:
        if row.get(column, ""):
            architecture[column] = row[column] == "True"
    for column in ARCHITECTURE_TEXTS:
        if row.get(column, ""):
            architecture[column] = row[column]
    architecture |= _extras().get(row["name"], {})

    def value(column: str, unit: str, factor: float, label: str, kind: str = "stated") -> Sourced | None:
        return sourced(
            number(row.get(column, ""), place, column),
            kind=_evidence().get((row["name"], column), kind),
            unit=unit,
            factor=factor,
            source=row.get("source", ""),
            date=row.get("release", ""),
            label=f"{row['name']}: {label}",
            note=row.get("notes", ""),
        )

    return ModelEntry(
        name=row["name"],
        family=row.get("family", ""),
        release=row.get("release", ""),
        type=row.get("type", "") or "unpublished",
        architecture=architecture,
        parameters_total=value("params_total_b", "", 1e9, "stated parameters"),
        parameters_active=value("params_active_b", "", 1e9, "stated active parameters"),
        training_tokens=value("train_tokens_t", "token", 1e12, "training tokens", "reported"),
        training_flop=value("train_flop", "FLOP", 1.0, "training computation", "estimate"),
        training_hardware=" ".join(filter(None, (row.get("train_chips", ""), row.get("train_hardware", "")))),
        notes=row.get("notes", ""),
        source=row.get("source", ""),
    )


def model_from_spec(spec: Mapping[str, Any], place: str, path: str, base: ModelEntry | None = None) -> ModelEntry:
    """Return a model from architecture fields given inline, over `base` where it has one.

    Raises InputError naming `place` and the field: unknown fields, wrong types, impossible values; all of them at once.
    """
    allowed = ["base", "name", "config", *ARCHITECTURE]
    problems: list[Problem] = []
    architecture: dict[str, Value] = dict(base.architecture) if base else {}
    for key, value in spec.items():
        here = {"location": place, "path": f"{path}.{key}", "found": repr(value)}
        if key in ("base", "name", "config"):
            continue
        if key not in allowed:
            problems.append(
                Problem(message="unknown field", allowed=", ".join(allowed), nearest=nearest_name(key, allowed), **here)
            )
        elif key in ARCHITECTURE_INTEGERS:
            floor = 0 if key in MAY_BE_ZERO else 1
            if not isinstance(value, int) or isinstance(value, bool) or value < floor:
                problems.append(Problem(message="a whole number is needed", allowed=f"{floor} or more", **here))
                continue
            too_large = size_problem(key, value, place, f"{path}.{key}")
            problems += [too_large] if too_large else []
            architecture[key] = value
        elif key in ARCHITECTURE_FLAGS:
            if not isinstance(value, bool):
                problems.append(Problem(message="true or false is needed", **here))
                continue
            architecture[key] = value
        else:
            architecture[key] = str(value)
    if problems:
        raise InputError(problems)
    experts = int(architecture.get("experts", 0))
    name = str(spec.get("name") or (f"{base.name}, changed" if base else "custom model"))
    fresh = base if base is not None else ModelEntry(name=name)
    return replace(
        fresh,
        name=name,
        type=fresh.type if fresh.type.startswith("hybrid") else "moe" if experts else "dense",
        architecture=architecture,
        parameters_total=None,
        parameters_active=None,
        training_tokens=None,
        training_flop=None,
        release="",
        notes="",
        source=place,
    )
