"""Published facts about whole systems against plans of them: `gigawatt validate cases`.

A case is a YAML file: `id`, `title`, a `scenario` (inline) or a `file` beside it, `set` (overrides), and `checks`:
output path, published value or [low, high] as quantities, tolerance, source, whether the fact served as an input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from gigawatt.documents import Document, read_document
from gigawatt.errors import GigawattError, InputError, Problem, nearest_name
from gigawatt.planning import Plan, plan_scenario
from gigawatt.quantity import QuantityError, parse_quantity
from gigawatt.scenario import load_scenario, scenario_from_mapping

_CASE_FIELDS = ("id", "title", "scenario", "file", "set", "checks")
_CHECK_FIELDS = ("output", "published", "tolerance", "source", "date", "served_as_input", "note")


def validate_cases(path: Path | None = None) -> dict[str, Any]:
    """Return `rows` and `summary` of a case file, of a folder of them, or of the packaged cases.

    A row has id, output, published_low, published_high (SI), unit, tolerance, predicted, inside, error_pct (distance
    from the published range, 0 inside it, before tolerance), served_as_input, source, skipped (the reason or None).
    Raises InputError for files that cannot be read.
    """
    if path is None:
        with as_file(files("gigawatt.validation").joinpath("cases")) as folder:
            return _run(sorted(folder.glob("*.yaml")))
    found = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
    if not found:
        raise InputError(Problem(message="this folder holds no case", location=str(path), allowed="*.yaml files"))
    return _run(found)


def _run(paths: Sequence[Path]) -> dict[str, Any]:
    rows = [row for path in paths for row in _case(read_document(path))]
    judged = [row for row in rows if row["skipped"] is None]
    fresh = [row for row in judged if not row["served_as_input"]]
    return {
        "rows": rows,
        "summary": {
            "n": len(judged),
            "inside": sum(row["inside"] for row in judged),
            "skipped": len(rows) - len(judged),
            "n_not_inputs": len(fresh),
            "inside_not_inputs": sum(row["inside"] for row in fresh),
        },
    }


def _case(document: Document) -> list[dict[str, Any]]:
    case = document.data
    _check_fields(document, case, _CASE_FIELDS, "")
    checks = case.get("checks")
    if not isinstance(checks, list) or not checks or not all(isinstance(check, dict) for check in checks):
        raise InputError(
            Problem(message="a case needs a list of checks", location=document.place("checks"), path="checks")
        )
    if ("scenario" in case) == ("file" in case):
        raise InputError(
            Problem(
                message="a case needs either an inline scenario or a file",
                location=document.place("scenario"),
                path="scenario",
            )
        )
    for index, check in enumerate(checks):
        _check_fields(document, check, _CHECK_FIELDS, f"checks.{index}")
        for name in ("output", "published", "source"):
            if name not in check:
                raise InputError(
                    Problem(
                        message="this field is missing",
                        location=document.place(f"checks.{index}"),
                        path=f"checks.{index}.{name}",
                    )
                )
    plan: Plan | None = None
    reason = None
    try:
        overrides = [str(text) for text in case.get("set", [])]
        if "file" in case:
            scenario = load_scenario(document.folder / str(case["file"]), overrides)
        else:
            scenario = scenario_from_mapping(
                case["scenario"], name=document.name, folder=document.folder, overrides=overrides
            )
        plan = plan_scenario(scenario, intervals=False)
    except GigawattError as error:
        reason = str(error)
    return [
        _row(document, str(case.get("id", document.name)), index, check, plan, reason)
        for index, check in enumerate(checks)
    ]


def _check_fields(document: Document, data: Mapping[str, Any], allowed: Sequence[str], path: str) -> None:
    problems = [
        Problem(
            message="unknown field",
            location=document.place(f"{path}.{name}".lstrip(".")),
            path=f"{path}.{name}".lstrip("."),
            allowed=", ".join(allowed),
            nearest=nearest_name(name, allowed),
        )
        for name in data
        if name not in allowed
    ]
    if problems:
        raise InputError(problems)


def _row(
    document: Document, name: str, index: int, check: Mapping[str, Any], plan: Plan | None, reason: str | None
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": name,
        "output": check["output"],
        "published_low": None,
        "published_high": None,
        "unit": "",
        "tolerance": None,
        "predicted": None,
        "inside": None,
        "error_pct": None,
        "served_as_input": bool(check.get("served_as_input", False)),
        "source": str(check["source"]),
        "skipped": reason,
    }
    if plan is None:
        return row
    output = plan.outputs.get(str(check["output"]))
    if output is None:
        near = nearest_name(str(check["output"]), list(plan.outputs))
        return row | {
            "skipped": f"the plan has no output {check['output']!r}" + (f" (nearest: {near!r})" if near else "")
        }
    path = f"checks.{index}.published"
    published = check["published"] if isinstance(check["published"], list) else [check["published"]] * 2
    try:
        low, high = (parse_quantity(value, output.unit) for value in published)
        tolerance = parse_quantity(check.get("tolerance", "0 %"), "")
    except (QuantityError, ValueError) as error:
        raise InputError(Problem(message=str(error), location=document.place(path), path=path)) from None
    value = output.value
    nearest = min(max(value, low), high)
    return row | {
        "published_low": low,
        "published_high": high,
        "unit": output.unit,
        "tolerance": tolerance,
        "predicted": value,
        "inside": bool(low - tolerance * abs(low) <= value <= high + tolerance * abs(high)),
        "error_pct": (value / nearest - 1) * 100 if nearest else 0.0,
    }
