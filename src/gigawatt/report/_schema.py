"""The JSON Schema of what `gigawatt plan --json` prints. Additions keep the version; a changed or removed field
raises it.
"""

from __future__ import annotations

from typing import Any

from gigawatt.planning import SCHEMA_VERSION

_NUMBER = {"type": "number"}
_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}


def _record(description: str, properties: dict[str, Any], open_ended: bool = False) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(properties),
        "additionalProperties": open_ended,
    }


def _table(description: str, of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "description": description, "additionalProperties": of}


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


def plan_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a plan. Numbers are in the SI unit that stands beside them."""
    sourced = _record(
        "A number that goes in, with range, grade, source and date.",
        {
            "label": _TEXT,
            "best": _NUMBER,
            "low": _NUMBER,
            "high": _NUMBER,
            "unit": _TEXT,
            "grade": {"enum": ["given", "measured", "stated", "derived", "estimate"]},
            "source": _TEXT,
            "date": _TEXT,
            "note": _TEXT,
        },
    )
    output = _record(
        "A computed number with interval; formula over the symbols of inputs, or a method in words; inputs name other outputs or assumptions.",
        {
            "label": _TEXT,
            "value": _NUMBER,
            "low": _NUMBER,
            "high": _NUMBER,
            "unit": _TEXT,
            "formula": _TEXT,
            "method": _TEXT,
            "inputs": _table("symbol to path", _TEXT),
        },
    )
    headline = _record(
        "An answer with its interval.",
        {"path": _TEXT, "label": _TEXT, "value": _NUMBER, "low": _NUMBER, "high": _NUMBER, "unit": _TEXT},
    )
    timeline = _record(
        "Intervals on lanes.",
        {
            "title": _TEXT,
            "lanes": _list(_TEXT),
            "labels": _list(_TEXT),
            "intervals": _list(
                _record("One interval.", {"lane": _TEXT, "label": _TEXT, "start_s": _NUMBER, "end_s": _NUMBER})
            ),
        },
    )
    group = _record(
        "Accelerators of one kind.", {"accelerator": _TEXT, "vendor": _TEXT, "requested": _COUNT, "powered": _COUNT}
    )
    constraint = _record(
        "A limit and its use.",
        {
            "name": _TEXT,
            "limit": _NUMBER,
            "used": _NUMBER,
            "unit": _TEXT,
            "slack_fraction": _NUMBER,
            "binding": {"type": "boolean"},
            "sentence": _TEXT,
        },
    )
    sensitivity = _record(
        "One output with one assumption at both ends of its range.",
        {
            "path": _TEXT,
            "label": _TEXT,
            "low_input": _NUMBER,
            "high_input": _NUMBER,
            "unit": _TEXT,
            "output": _TEXT,
            "low_output": _NUMBER,
            "high_output": _NUMBER,
            "output_unit": _TEXT,
            "grade": _TEXT,
        },
    )
    model = {
        "name": _TEXT,
        "parameters_total": _COUNT,
        "parameters_active": _COUNT,
        "layers": _COUNT,
        "hidden": _COUNT,
        "sequence_length": _COUNT,
        "tokens": _NUMBER,
        "global_batch_tokens": _NUMBER,
    }
    degrees = dict.fromkeys(
        (
            "tensor_parallel",
            "pipeline_parallel",
            "virtual_stages",
            "data_parallel",
            "context_parallel",
            "expert_parallel",
            "micro_batch",
            "zero_stage",
        ),
        _COUNT,
    )
    strategy = _record(
        "Decisions of a strategy.", degrees | {"recompute": {"enum": ["none", "selective", "full"]}}, open_ended=True
    )
    properties: dict[str, Any] = {
        "schema_version": {"const": SCHEMA_VERSION},
        "gigawatt_version": _TEXT,
        "scenario": _record(
            "The question.",
            {"name": _TEXT, "description": _TEXT, "file": _TEXT, "given": _table("path to text as written", _TEXT)},
        ),
        "seed": {"type": "integer"},
        "feasible": {"type": "boolean", "description": "Whether every limit that the scenario sets is kept."},
        "headline": _list(headline),
        "fleet": _record(
            "Accelerators.",
            {
                "groups": _list(group),
                "requested": _COUNT,
                "powered": _COUNT,
                "used": _COUNT,
                "idle": _COUNT,
                "spares": _COUNT,
            },
        ),
        "model": _record("The model.", model),
        "strategy": strategy,
        "alternatives": _list(strategy),
        "search": _record(
            "Strategies generated, feasible, and rejected by rule.",
            {"generated": _COUNT, "evaluated": _COUNT, "rejected": _table("rule to count", _COUNT)},
        ),
        "breakdowns": _table("Trees whose children sum to their parent.", {"$ref": "#/$defs/breakdown"}),
        "timelines": _table("Timelines by name.", timeline),
        "outputs": _table("Every computed number by path.", output),
        "assumptions": _table("Every number that went in, by path.", sourced),
        "constraints": _list(constraint),
        "binding": _record("What binds.", {"name": _TEXT, "sentence": _TEXT, "relief": _TEXT, "worth": _TEXT}),
        "levers": _list(
            _record(
                "A change and what it is worth.",
                {
                    "name": _TEXT,
                    "change": _TEXT,
                    "time_saved_s": _NUMBER,
                    "run_cost_change_usd": _NUMBER,
                    "capital_change_usd": _NUMBER,
                    "run_s": _NUMBER,
                    "sentence": _TEXT,
                },
            )
        ),
        "sensitivities": _list(sensitivity),
        "warnings": _list(_TEXT),
    }
    breakdown = _record(
        "A tree of parts.",
        {"label": _TEXT, "value": _NUMBER, "unit": _TEXT, "children": _list({"$ref": "#/$defs/breakdown"})},
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"gigawatt:plan:{SCHEMA_VERSION}",
        "title": "gigawatt plan",
        **_record("What `gigawatt plan --json` prints.", properties),
        "$defs": {"breakdown": breakdown},
    }
