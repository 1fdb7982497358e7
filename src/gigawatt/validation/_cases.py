"""Published facts about whole systems against predictions of them: `gigawatt validate cases`.

A case is a YAML file: `id`, `title`, a `scenario` (inline) or a `file` beside it, `set` (overrides), the `engine` that
answers (`plan`, `goodput` with the `days` of wall time it looks at, or `power` with its own fields under `power` instead
of a scenario), and `checks`: output path (several joined by " + " are summed), a `label` where that of the output does not
say enough, published value or [low, high] as quantities, tolerance, source, whether the fact served as an input or is a
formula evaluated (`verification`: it tests arithmetic, not nature), and
overrides (`set`) of this check alone.

Facts of data/goodput_published.csv and power_published.csv that no case predicts stand with their reason in the _status.csv beside.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from gigawatt.documents import Document, read_document
from gigawatt.errors import GigawattError, InputError, Problem, nearest_name
from gigawatt.evidence import Output
from gigawatt.planning import goodput_scenario, plan_scenario
from gigawatt.quantity import QuantityError, parse_quantity
from gigawatt.scenario import Scenario, load_scenario, scenario_from_mapping
from gigawatt.validation._goodput_values import goodput_values
from gigawatt.validation._power_values import power_values

ENGINES = ("plan", "goodput", "power")
# Few runs: enough for a goodput to a third of a point, and the same in every validation.
REPLICATES, SEED = 20, 0
DAY = 86_400.0
_CASE_FIELDS = ("id", "title", "scenario", "file", "power", "set", "engine", "days", "checks")
_CHECK_FIELDS = (
    "output",
    "label",
    "published",
    "tolerance",
    "source",
    "date",
    "served_as_input",
    "verification",
    "note",
    "set",
)


def validate_cases(path: Path | None = None) -> dict[str, Any]:
    """Return `rows` and `summary` of a case file, of a folder of them, or of the packaged cases.

    A row has id, title, output, label, published_low, published_high (SI), unit, tolerance, predicted, inside, error_pct
    (distance from the published range, 0 inside it, before tolerance), served_as_input, verification, source, note,
    skipped (the reason or None). With the packaged cases come `not_predicted` and `not_predicted_power`, the published
    facts on goodput and on power that are no case, with the reason. Raises InputError for files that cannot be read.
    """
    if path is None:
        with as_file(files("gigawatt.validation").joinpath("cases")) as folder:
            result = _run(sorted(folder.glob("*.yaml")))
        return result | {"not_predicted": not_predicted(), "not_predicted_power": not_predicted_power()}
    found = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
    if not found:
        raise InputError(Problem(message="this folder holds no case", location=str(path), allowed="*.yaml files"))
    return _run(found) | {"not_predicted": [], "not_predicted_power": []}


def not_predicted() -> list[dict[str, str]]:
    """Return the published facts on goodput that no case predicts: id, system, metric, value, unit, reason, detail."""
    facts = {row["id"]: row for row in _table("goodput_published.csv")}
    return [
        {
            "id": row["id"],
            **{name: facts[row["id"]][name] for name in ("system", "metric", "value", "unit")},
            "reason": row["reason"],
            "detail": row["detail"],
        }
        for row in _table("goodput_status.csv")
        if row["status"] == "not predictable"
    ]


def not_predicted_power() -> list[dict[str, str]]:
    """Return the published facts on power that no case predicts: id, quantity, value, unit, reason, detail."""
    facts = {row["id"]: row for row in _table("power_published.csv")}
    return [
        {
            "id": row["id"],
            **{name: facts[row["id"]][name] or "" for name in ("quantity", "value", "unit")},
            "reason": row["reason"],
            "detail": row["detail"],
        }
        for row in _table("power_status.csv")
        if row["status"] == "not predictable"
    ]


def _table(name: str) -> list[dict[str, str]]:
    text = files("gigawatt.validation").joinpath("data", name).read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def _run(paths: Sequence[Path]) -> dict[str, Any]:
    rows = [row for path in paths for row in _case(read_document(path))]
    judged = [row for row in rows if row["skipped"] is None]
    fresh = [row for row in judged if not (row["served_as_input"] or row["verification"])]
    return {
        "rows": rows,
        "summary": {
            "n": len(judged),
            "inside": sum(row["inside"] for row in judged),
            "skipped": len(rows) - len(judged),
            "n_inputs": sum(row["served_as_input"] for row in judged),
            "n_verifications": sum(row["verification"] for row in judged),
            "n_not_inputs": len(fresh),
            "inside_not_inputs": sum(row["inside"] for row in fresh),
        },
    }


def _case(document: Document) -> list[dict[str, Any]]:
    case = document.data
    _check_fields(document, case, _CASE_FIELDS, "")
    checks = case.get("checks")
    if not isinstance(checks, list) or not checks or not all(isinstance(check, dict) for check in checks):
        raise _wrong(document, "checks", "a case needs a list of checks")
    engine = str(case.get("engine", ENGINES[0]))
    if engine not in ENGINES:
        raise _wrong(document, "engine", "unknown engine", engine, ", ".join(ENGINES))
    if (engine == "power") != isinstance(case.get("power"), dict):
        raise _wrong(document, "power", "a case of the power engine needs its fields under power, no other has them")
    if ("scenario" in case) + ("file" in case) + ("power" in case) != 1:
        raise _wrong(document, "scenario", "a case needs either an inline scenario or a file")
    days = case.get("days")
    if "days" in case and engine != "goodput":
        raise _wrong(document, "days", "only the goodput engine looks at a number of days", allowed="engine: goodput")
    if days is not None and (isinstance(days, bool) or not isinstance(days, int | float) or not days > 0):
        raise _wrong(document, "days", "impossible value", str(days), "a number of days above 0")
    for index, check in enumerate(checks):
        _check_fields(document, check, _CHECK_FIELDS, f"checks.{index}")
        for name in ("output", "published", "source"):
            if name not in check:
                raise _wrong(document, f"checks.{index}.{name}", "this field is missing", place=f"checks.{index}")
    answers: dict[tuple[str, ...], Mapping[str, Output] | str] = {}
    rows = []
    for index, check in enumerate(checks):
        overrides = tuple(str(text) for text in (*case.get("set", []), *check.get("set", [])))
        if overrides not in answers:
            answers[overrides] = _answer(document, engine, days, overrides)
        rows.append(_row(document, index, check, answers[overrides]))
    return rows


def _answer(
    document: Document, engine: str, days: float | None, overrides: Sequence[str]
) -> Mapping[str, Output] | str:
    """Return the outputs of the engine by path, or why it has no answer."""
    if engine == "power":
        try:
            return power_values(document, overrides)
        except ValueError as error:
            return str(error)
    try:
        scenario = _scenario(document, overrides)
        if engine == "plan":
            return plan_scenario(scenario, intervals=False).outputs
        duration_s = None if days is None else days * DAY
        report = goodput_scenario(scenario, replicates=REPLICATES, seed=SEED, duration_s=duration_s)
        return goodput_values(report)
    except GigawattError as error:
        return str(error)


def _scenario(document: Document, overrides: Sequence[str]) -> Scenario:
    case = document.data
    if "file" in case:
        return load_scenario(document.folder / str(case["file"]), list(overrides))
    return scenario_from_mapping(
        case["scenario"], name=document.name, folder=document.folder, overrides=list(overrides)
    )


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


def _wrong(
    document: Document, path: str, message: str, found: str = "", allowed: str = "", place: str = ""
) -> InputError:
    location = document.place(place or path)
    return InputError(Problem(message=message, location=location, path=path, found=found, allowed=allowed))


def _row(
    document: Document, index: int, check: Mapping[str, Any], answer: Mapping[str, Output] | str
) -> dict[str, Any]:
    name = str(check["output"])
    row: dict[str, Any] = {
        "id": str(document.data.get("id", document.name)),
        "title": str(document.data.get("title", document.data.get("id", document.name))),
        "output": name,
        "label": str(check.get("label", name)),
        "published_low": None,
        "published_high": None,
        "unit": "",
        "tolerance": None,
        "predicted": None,
        "inside": None,
        "error_pct": None,
        "served_as_input": bool(check.get("served_as_input", False)),
        "verification": bool(check.get("verification", False)),
        "source": str(check["source"]),
        "note": str(check.get("note", "")),
        "skipped": answer if isinstance(answer, str) else None,
    }
    if isinstance(answer, str):
        return row
    parts = [part.strip() for part in name.split(" + ")]
    unknown = [part for part in parts if part not in answer]
    if unknown:
        near = nearest_name(unknown[0], list(answer))
        return row | {"skipped": f"there is no output {unknown[0]!r}" + (f" (nearest: {near!r})" if near else "")}
    outputs = [answer[part] for part in parts]
    unit = outputs[0].unit
    path = f"checks.{index}.published"
    if any(output.unit != unit for output in outputs):
        units = ", ".join(output.unit or "a number" for output in outputs)
        raise _wrong(document, f"checks.{index}.output", "only outputs of one unit can be summed", units)
    published = check["published"] if isinstance(check["published"], list) else [check["published"]] * 2
    try:
        low, high = (parse_quantity(value, unit) for value in published)
        tolerance = parse_quantity(check.get("tolerance", "0 %"), "")
    except (QuantityError, ValueError) as error:
        raise InputError(Problem(message=str(error), location=document.place(path), path=path)) from None
    value = sum(output.value for output in outputs)
    nearest = min(max(value, low), high)
    return row | {
        "label": str(check.get("label", " + ".join(output.label for output in outputs))),
        "published_low": low,
        "published_high": high,
        "unit": unit,
        "tolerance": tolerance,
        "predicted": value,
        "inside": bool(low - tolerance * abs(low) <= value <= high + tolerance * abs(high)),
        "error_pct": (value / nearest - 1) * 100 if nearest else 0.0,
    }
