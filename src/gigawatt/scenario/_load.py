"""From a file and overrides to a `Scenario`; every mistake of the file at once, each with its place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from gigawatt.documents import Document, parse_document, read_document
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.scenario._build_fields import BuildSection
from gigawatt.scenario._fields import (
    FinanceSection,
    FleetSection,
    NetworkSection,
    PowerSection,
    ReliabilitySection,
    ScenarioFields,
    SiteSection,
    StrategySection,
    TrainingSection,
)
from gigawatt.scenario._kinds import MOST_RANKS
from gigawatt.scenario._serving_checks import serving_problems
from gigawatt.scenario._serving_fields import ServingSection


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The question past the door: SI floats and names, None where nothing was given.

    `places` maps each given dotted path to "file:line:column" or "--set", so later stages can point at it; `given`
    keeps the texts as written, for the report.
    """

    name: str
    file: str
    folder: Path
    description: str = ""
    date: str | None = None
    catalog: tuple[Path, ...] = ()
    fleet: FleetSection = field(default_factory=FleetSection)
    model: str | Mapping[str, Any] | None = None
    training: TrainingSection = field(default_factory=TrainingSection)
    strategy: StrategySection = field(default_factory=StrategySection)
    network: NetworkSection = field(default_factory=NetworkSection)
    site: SiteSection = field(default_factory=SiteSection)
    reliability: ReliabilitySection = field(default_factory=ReliabilitySection)
    power: PowerSection = field(default_factory=PowerSection)
    finance: FinanceSection = field(default_factory=FinanceSection)
    build: BuildSection | None = None
    serving: ServingSection | None = None
    assumptions: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)

    def place(self, path: str) -> str:
        """Return where `path` was given, or the nearest enclosing section that was."""
        while path and path not in self.places:
            path = path.rpartition(".")[0]
        return self.places.get(path, self.file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A field that an option of the command line gives: its dotted path, its value, and what messages call its place."""

    path: str
    value: Any
    place: str


def load_scenario(path: Path, overrides: Sequence[str | Setting] = ()) -> Scenario:
    """Return the scenario in a YAML file with overrides laid over it: "path=value" texts, or settings.

    Raises InputError with one problem per mistake: unknown fields, wrong units, impossible values, contradictions.
    """
    return _scenario(read_document(path), overrides, Path(path).stem)


def scenario_from_mapping(
    data: Mapping[str, Any], *, name: str, folder: Path, overrides: Sequence[str | Setting] = ()
) -> Scenario:
    """Return the scenario in plain data, as `load_scenario`; `name` stands for the file in messages."""
    return _scenario(Document(name=name, folder=folder, data=dict(data)), overrides, name)


def scenario_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a scenario file."""
    schema = ScenarioFields.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "gigawatt:scenario:1",
        **schema,
        "title": "gigawatt scenario",
    }


def _scenario(document: Document, overrides: Sequence[str | Setting], fallback: str) -> Scenario:
    data, places = _overridden(document, overrides)
    if isinstance(data.get("date"), int):
        data = {**data, "date": str(data["date"])}
    if isinstance(data.get("model"), str) and data["model"].endswith(".json"):
        data = {**data, "model": {"config": data["model"]}}
    merged = Document(name=document.name, folder=document.folder, data=data, places=places)
    problems: list[Problem] = []
    fields: ScenarioFields | None = None
    try:
        fields = ScenarioFields.model_validate(data)
    except ValidationError as error:
        problems += [_problem(item, merged) for item in error.errors()]
    problems = _without_union_echoes(problems)
    if fields is not None:
        problems += _contradictions(fields, merged)
    if problems or fields is None:
        raise InputError(sorted(problems, key=_reading_order))
    sections = {
        name: getattr(fields, name)
        for name in (
            "fleet",
            "training",
            "strategy",
            "network",
            "site",
            "reliability",
            "power",
            "finance",
            "build",
            "serving",
        )
        if getattr(fields, name) is not None
    }
    return Scenario(
        name=fields.name or fallback,
        file=document.name,
        folder=document.folder,
        description=fields.description or "",
        date=fields.date,
        catalog=tuple(document.folder / path for path in fields.catalog or ()),
        model=fields.model,
        assumptions=fields.assumptions or {},
        places=places,
        given=dict(_leaves(data)),
        **sections,
    )


def _reading_order(problem: Problem) -> tuple[int, ...]:
    """Sort key: the line and column of a problem; overrides of the command line come last."""
    numbers = [int(part) for part in problem.location.split(":")[-2:] if part.isdigit()]
    return tuple(numbers) or (10**9,)


def _leaves(data: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(data, dict):
        return [leaf for key, value in data.items() for leaf in _leaves(value, f"{path}.{key}" if path else str(key))]
    if isinstance(data, list):
        return [leaf for index, value in enumerate(data) for leaf in _leaves(value, f"{path}.{index}")]
    return [(path, str(data))]


# --set ---------------------------------------------------------------------------------------------------------------


def _overridden(document: Document, overrides: Sequence[str | Setting]) -> tuple[dict[str, Any], dict[str, str]]:
    data: dict[str, Any] = _copy(document.data)
    places = dict(document.places)
    problems: list[Problem] = []
    for item in overrides:
        try:
            setting = item if isinstance(item, Setting) else _setting(item, document.folder)
            _put(data, setting.path.split("."), setting.value)
        except InputError as error:
            problems += error.problems
            continue
        except (LookupError, TypeError, ValueError):
            problems.append(
                Problem(message="there is no such place in the scenario", location=setting.place, path=setting.path)
            )
            continue
        path = setting.path
        places = {known: where for known, where in places.items() if known != path and not known.startswith(f"{path}.")}
        places[path] = setting.place
        while "." in path:  # sections that the override creates
            path = path.rpartition(".")[0]
            places.setdefault(path, document.name if isinstance(item, Setting) else setting.place)
    if problems:
        raise InputError(problems)
    return data, places


def _setting(text: str, folder: Path) -> Setting:
    """Return what a "path=value" text sets; the value is YAML. Raises InputError where it is none."""
    path, equals, value = text.partition("=")
    path, place = path.strip(), f"--set {text}"
    if not equals or not path:
        raise InputError(
            Problem(
                message="an override is written path=value",
                location=place,
                allowed="for example --set 'site.grid_limit=300 MW'",
            )
        )
    try:
        parsed = parse_document(f"value: {value}", name=place, folder=folder).data["value"]
    except InputError as error:
        raise InputError(
            replace(problem, location=place, path=path + problem.path.removeprefix("value"))
            if problem.path
            else Problem(message="this value is not valid YAML", location=place, path=path, found=repr(value))
            for problem in error.problems
        ) from None
    return Setting(path=path, value=parsed, place=place)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _put(data: dict[str, Any], keys: list[str], value: Any) -> None:
    """Set a nested value; `assumptions` takes the rest of the path as one key, since assumption paths have dots
    themselves.
    """
    if keys[0] == "assumptions" and len(keys) > 2:
        keys = [keys[0], ".".join(keys[1:])]
    node: Any = data
    for key in keys[:-1]:
        if isinstance(node, list):
            node = node[int(key)]
        elif isinstance(node, dict):
            node = node.setdefault(key, {})
            if node is None:
                raise TypeError(key)
        else:
            raise TypeError(key)
    if isinstance(node, list):
        node[int(keys[-1])] = value
    elif isinstance(node, dict):
        node[keys[-1]] = value
    else:
        raise TypeError(keys[-1])


# messages ------------------------------------------------------------------------------------------------------------


def _problem(item: Any, document: Document) -> Problem:
    location = [part for part in item["loc"] if not (isinstance(part, str) and part in ("str", "dict[str,any]"))]
    path = ".".join(str(part) for part in location)
    context = item.get("ctx", {})
    found = repr(_at(document.data, location))
    here = {"location": document.place(path), "path": path}
    if item["type"] == "extra_forbidden":
        names = list(_section(location[:-1]).model_fields)
        return Problem(
            message="unknown field", allowed=", ".join(names), nearest=nearest_name(str(location[-1]), names), **here
        )
    if item["type"] == "literal_error":
        allowed = str(context["expected"]).replace(" or ", ", ").replace("'", "")
        return Problem(
            message="not one of the allowed values",
            found=found,
            allowed=allowed,
            nearest=nearest_name(found.strip("'"), allowed.split(", ")),
            **here,
        )
    if item["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return Problem(message="a section of fields is needed", found=found, allowed="'field: value' lines", **here)
    if item["type"] == "missing":
        return Problem(message="this field is missing", **here)
    allowed = str(context.get("allowed", ""))
    message = str(item["msg"])
    if item["type"].endswith("_type"):
        message, allowed = "wrong kind of value", _KINDS.get(item["type"], message)
    return Problem(message=message, found=found, allowed=allowed, nearest=str(context.get("nearest", "")), **here)


_KINDS = {"string_type": "text", "list_type": "a list", "bool_type": "true or false", "dict_type": "a section"}


def _without_union_echoes(problems: list[Problem]) -> list[Problem]:
    """Keep one problem per place and path: a field that may be text or a section fails once for each."""
    seen: dict[tuple[str, str], Problem] = {}
    for problem in problems:
        key = (problem.location, problem.path)
        if key in seen and seen[key].message == "wrong kind of value":
            seen[key] = Problem(
                message="wrong kind of value",
                location=problem.location,
                path=problem.path,
                found=problem.found,
                allowed="a name or a section of fields",
            )
        seen.setdefault(key, problem)
    return list(seen.values())


def _at(data: Any, location: Sequence[Any]) -> Any:
    for part in location:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _section(location: Sequence[Any]) -> type[BaseModel]:
    """Return the declaration of the section at `location`."""
    section: type[BaseModel] = ScenarioFields
    for part in location:
        if isinstance(part, int):
            continue
        for option in _options(section.model_fields[str(part)].annotation):
            if isinstance(option, type) and issubclass(option, BaseModel):
                section = option
    return section


def _options(annotation: Any) -> list[Any]:
    arguments = getattr(annotation, "__args__", ())
    return (
        [annotation, *(option for argument in arguments for option in _options(argument))]
        if arguments
        else [annotation]
    )


def _impossible_assumptions(fields: ScenarioFields, document: Document) -> list[Problem]:
    """Return the assumptions that restate a field of the run with a value that the field would refuse."""
    problems = []
    for name in ("tokens", "sequence_length", "global_batch"):
        path = f"training.{name}"
        given = (fields.assumptions or {}).get(path)
        for value in given if isinstance(given, list) else [] if given is None else [given]:
            try:
                TrainingSection.model_validate({name: value})
            except ValidationError as error:
                item = error.errors()[0]
                problems.append(
                    Problem(
                        message=str(item["msg"]),
                        location=document.place(f"assumptions.{path}"),
                        path=f"assumptions.{path}",
                        found=repr(value),
                        allowed=str(item.get("ctx", {}).get("allowed", "")),
                    )
                )
    return problems


_RANKED = ("tensor_parallel", "pipeline_parallel", "context_parallel", "data_parallel")


def _contradictions(fields: ScenarioFields, document: Document) -> list[Problem]:
    problems = []
    fleet, training = fields.fleet, fields.training
    if (
        fleet is not None
        and fleet.accelerators is not None
        and (fleet.accelerator is not None or fleet.count is not None)
    ):
        problems.append(
            Problem(
                message="give either one accelerator and count, or a list of accelerators",
                location=document.place("fleet.accelerators"),
                path="fleet",
            )
        )
    if fleet is not None and fleet.accelerators is not None:
        if not fleet.accelerators:
            problems.append(
                Problem(
                    message="the list of accelerators is empty",
                    location=document.place("fleet.accelerators"),
                    path="fleet.accelerators",
                )
            )
        elif len(fleet.accelerators) > 1:
            problems += [
                Problem(
                    message="a mixed fleet needs the count of each kind",
                    location=document.place(f"fleet.accelerators.{i}"),
                    path=f"fleet.accelerators.{i}.count",
                )
                for i, item in enumerate(fleet.accelerators)
                if item.count is None
            ]
    problems += _impossible_assumptions(fields, document)
    if fields.serving is not None:
        problems += serving_problems(fields.serving, document)
    if fields.strategy is not None:
        degrees = [getattr(fields.strategy, name) or 1 for name in _RANKED]
        if math.prod(degrees) > MOST_RANKS:
            problems.append(
                Problem(
                    message="more ranks than there will be accelerators",
                    location=document.place("strategy"),
                    path="strategy",
                    found=" x ".join(str(degree) for degree in degrees if degree > 1),
                    allowed=f"{', '.join(_RANKED)} that multiply to {MOST_RANKS:,} at most",
                )
            )
    if training is not None and training.tokens is not None and training.compute is not None:
        problems.append(
            Problem(
                message="give tokens or compute, not both",
                location=document.place("training.compute"),
                path="training.compute",
            )
        )
    if (
        training is not None
        and training.input is not None
        and (training.input.sample_bytes is None) != (training.input.tokens_per_sample is None)
    ):
        problems.append(
            Problem(
                message="data ingest needs both sample_bytes and tokens_per_sample",
                location=document.place("training.input"),
                path="training.input",
            )
        )
    return problems
