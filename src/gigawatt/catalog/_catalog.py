"""The catalogue: packaged tables, with a user's own entries over them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from gigawatt.catalog._accelerators import Accelerator, accelerator_from_row, accelerator_from_spec
from gigawatt.catalog._huggingface import model_from_config
from gigawatt.catalog._models import ModelEntry, model_from_row, model_from_spec
from gigawatt.catalog._tables import Row, number, packaged_rows, range_rules, si_units, sourced
from gigawatt.documents import Document, read_document
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.evidence import Sourced
from gigawatt.quantity import QuantityError, parse_quantity

KINDS = ("accelerators", "models", "facts", "prices", "cases")
_DATE = re.compile(r"(\d{4}(-\d{2}(-\d{2})?|-\d{4}|-Q[1-4])?|FY\d{2}Q[1-4])?")
_KIND_OF_GRADE = {
    "measured": "measured",
    "stated": "stated",
    "derived": "derived",
    "estimate": "estimate",
    "given": "given",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Everything the planner knows about the world. Look-ups accept the exact name, another case, or an alias."""

    accelerators: Mapping[str, Accelerator]
    models: Mapping[str, ModelEntry]
    facts: Mapping[str, tuple[Sourced, ...]] = field(repr=False)
    aliases: Mapping[tuple[str, str], str] = field(repr=False)

    @property
    def accelerator_names(self) -> tuple[str, ...]:
        """Names of all accelerators."""
        return tuple(self.accelerators)

    @property
    def model_names(self) -> tuple[str, ...]:
        """Names of all models."""
        return tuple(self.models)

    @property
    def fact_keys(self) -> tuple[str, ...]:
        """Keys of all dated facts and assumptions."""
        return tuple(self.facts)

    def accelerator(self, name: str, place: str = "", path: str = "") -> Accelerator:
        """Return the accelerator called `name`. Raises InputError (with `place` and `path`) where there is none."""
        return self.accelerators[self._resolve("accelerator", name, self.accelerator_names, place, path)]

    def model_entry(self, name: str, place: str = "", path: str = "") -> ModelEntry:
        """Return the model called `name`. Raises InputError (with `place` and `path`) where there is none."""
        return self.models[self._resolve("model", name, self.model_names, place, path)]

    def fact(self, key: str, date: str | None = None) -> Sourced:
        """Return the fact of that key as it was known at `date` (its latest row not after it; the latest of all by
        default).

        Where every row is later than `date`, the earliest is taken. Raises InputError for an unknown key or a text that is no date.
        """
        if date is not None and not _DATE.fullmatch(date.strip()):
            raise InputError(
                Problem(
                    message="this is no date",
                    path=key,
                    found=repr(date),
                    allowed="2024, 2024-11, 2024-11-07, 2024-Q4, FY25Q3 or 2023-2025",
                )
            )
        if key not in self.facts:
            raise InputError(
                Problem(
                    message="the catalogue has no such fact", found=repr(key), nearest=nearest_name(key, self.fact_keys)
                )
            )
        rows = self.facts[key]
        known = [row for row in rows if date is None or sortable_date(row.date) <= sortable_date(date, last=True)]
        return known[-1] if known else rows[0]

    def accelerator_price(self, accelerator: Accelerator, date: str | None = None) -> Sourced | None:
        """Return USD per accelerator: the dated price series where there is one and a date is given, else the
        catalogue's range.
        """
        series = {row["accelerator"]: row["key"] for row in packaged_rows("price_series.csv")}
        key = series.get(accelerator.name)
        if date is not None and key is not None and accelerator.price_usd is not None:
            return self.fact(key, date)
        return accelerator.price_usd

    def listing(self, kind: str) -> list[dict[str, Any]]:
        """Return the entries of a kind (one of KINDS), one short row of plain values each."""
        return _LISTINGS[kind](self)

    def describe(self, kind: str, name: str) -> dict[str, Any]:
        """Return one entry with every number and its source. Raises InputError where there is no such entry."""
        if kind == "accelerators":
            return self.accelerator(name).to_dict()
        if kind == "models":
            return self.model_entry(name).to_dict()
        if kind == "facts":
            self.fact(name)
            return {
                "name": name,
                "numbers": {f"{name} ({row.date or 'undated'})": row.to_dict() for row in self.facts[name]},
            }
        rows = [row for row in self.listing(kind) if name.casefold() in str(list(row.values())).casefold()]
        if not rows:
            raise InputError(Problem(message=f"no entry of {kind} mentions {name!r}"))
        return {"name": name, "rows": rows}

    def _find(self, kind: str, name: str, names: Sequence[str], aliases: bool = True) -> str | None:
        folded = {known.casefold(): known for known in names}
        alias = self.aliases.get((kind, name.casefold()), name) if aliases else name
        return folded.get(name.casefold()) or folded.get(alias.casefold())

    def _resolve(self, kind: str, name: str, names: Sequence[str], place: str, path: str) -> str:
        found = self._find(kind, name, names)
        if found is not None:
            return found
        spelled = {known: known for known in names} | {
            a: target for (k, a), target in self.aliases.items() if k == kind
        }
        family = self.aliases.get((f"family of {kind}s", name.casefold()), "")
        near = family or nearest_name(name, list(spelled))
        raise InputError(
            Problem(
                message=f"the catalogue has no {kind} of this name",
                location=place,
                path=path,
                found=repr(name),
                allowed=f"a name that `gigawatt catalog {kind}s` lists",
                nearest=spelled.get(near, near),
            )
        )


def load_catalog(overlays: Sequence[Path] = ()) -> Catalog:
    """Return the packaged catalogue with `overlays` (YAML files or folders of them) laid over it, later ones winning.

    Raises InputError with file:line for an overlay that cannot be read or has unknown fields.
    """
    if not overlays:
        return _packaged()
    base = _packaged()
    accelerators, models, facts = dict(base.accelerators), dict(base.models), dict(base.facts)
    for path in _files(overlays):
        _overlay(read_document(path), base, accelerators, models, facts)
    return Catalog(accelerators=accelerators, models=models, facts=facts, aliases=base.aliases)


@lru_cache(maxsize=1)
def _packaged() -> Catalog:
    accelerators = {row["name"]: accelerator_from_row(row) for row in packaged_rows("accelerators.csv")}
    models = {row["name"]: model_from_row(row) for row in packaged_rows("models.csv")}
    facts: dict[str, list[Sourced]] = {}
    for table in ("economics.csv", "assumptions.csv"):
        for row in packaged_rows(table):
            fact = fact_from_row(row, table)
            if fact is not None:
                facts.setdefault(row["key"], []).append(fact)
    ordered = {key: tuple(sorted(rows, key=lambda row: sortable_date(row.date))) for key, rows in facts.items()}
    aliases = {(row["kind"], row["alias"].casefold()): row["name"] for row in packaged_rows("aliases.csv")}
    return Catalog(accelerators=accelerators, models=models, facts=ordered, aliases=aliases)


def fact_from_row(row: Row, place: str) -> Sourced | None:
    """Return the fact of one row of economics.csv in SI units; None where the row has no number. Raises InputError
    for an unknown unit.
    """
    units = si_units()
    if row["unit"] not in units:
        raise InputError(
            Problem(message="this unit is not in units.csv", location=place, path=row["key"], found=repr(row["unit"]))
        )
    unit, factor = units[row["unit"]]
    return sourced(
        number(row["value_mid"], place, "value_mid"),
        low=number(row["value_low"], place, "value_low"),
        high=number(row["value_high"], place, "value_high"),
        kind=row["kind"],
        unit=unit,
        factor=factor,
        source=row["source"],
        date=row["date"],
        label=row.get("label") or row["key"],
        note=row["notes"],
        rule=range_rules()[row["unit"]],
    )


def sourced_table(package: str, path: str) -> dict[str, Sourced]:
    """Return a packaged table with the columns of economics.csv as sourced numbers by key (the last row of a key
    wins).
    """
    text = files(package).joinpath(*path.split("/")).read_text(encoding="utf-8")
    facts = {row["key"]: fact_from_row(row, path) for row in csv.DictReader(io.StringIO(text))}
    return {key: fact for key, fact in facts.items() if fact is not None}


def sortable_date(text: str, last: bool = False) -> str:
    """Return a date, month, quarter ("2025-Q2", "FY26Q1"), year or range as text that sorts by its end; "" sorts first.

    `last` fills what is missing with the end of the period, so that "2024" as a question covers all of 2024. Fiscal quarters are
    those of NVIDIA, the only ones in the tables: the year ends in January, so FY26Q1 ends in April 2025.
    """
    text = text.strip()
    if not text:
        return "9999" if last else ""
    if text.startswith("FY") and "Q" in text:
        months = (2000 + int(text[2:4]) - 1) * 12 + 3 * int(text[5])
        text = f"{months // 12}-{months % 12 + 1:02d}"
    elif "Q" in text:
        year, quarter = text.split("-Q")
        text = f"{year}-{int(quarter) * 3:02d}"
    parts = text.split("-")
    if len(parts) == 2 and len(parts[1]) == 4:
        parts = [parts[1]]
    return "-".join(parts) + ("-99" * (3 - len(parts)) if last else "")


def _files(overlays: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in overlays:
        inside = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
        if not inside:
            raise InputError(
                Problem(
                    message="this folder holds no YAML file",
                    location=str(path),
                    allowed="*.yaml with accelerators, models or facts",
                )
            )
        found += inside
    return found


def _overlay(
    document: Document,
    base: Catalog,
    accelerators: dict[str, Accelerator],
    models: dict[str, ModelEntry],
    facts: dict[str, tuple[Sourced, ...]],
) -> None:
    problems: list[Problem] = []
    sections = ("accelerators", "models", "facts")
    for section, entries in document.data.items():
        if section not in sections or not isinstance(entries, dict):
            message = "unknown section of an overlay" if section not in sections else "a mapping of names is needed"
            problems.append(
                Problem(
                    message=message,
                    location=document.place(section),
                    path=section,
                    allowed=", ".join(sections),
                    nearest=nearest_name(section, sections),
                )
            )
            continue
        for name, spec in entries.items():
            path = f"{section}.{name}"
            try:
                if not isinstance(spec, dict):
                    raise InputError(
                        Problem(
                            message="a mapping of fields is needed",
                            location=document.place(path),
                            path=path,
                            found=repr(spec),
                        )
                    )
                known = Catalog(accelerators=accelerators, models=models, facts=facts, aliases=base.aliases)
                if section == "accelerators":
                    target = (
                        known._find("accelerator", name, known.accelerator_names, aliases="base" not in spec) or name
                    )
                    start = (
                        known.accelerator(str(spec["base"]), document.place(path), f"{path}.base")
                        if "base" in spec
                        else accelerators.get(target)
                    )
                    accelerators[target] = accelerator_from_spec(
                        {**spec, "name": target}, document.place(path), path, start
                    )
                elif section == "models":
                    target = (
                        known._find(
                            "model", name, known.model_names, aliases="base" not in spec and "config" not in spec
                        )
                        or name
                    )
                    models[target] = model_from_spec(
                        {**spec, "name": target},
                        document.place(path),
                        path,
                        _origin(known, spec, target, document, path),
                    )
                else:
                    facts[name] = (_fact(spec, document, path, facts.get(name)),)
            except InputError as error:
                problems += error.problems
    if problems:
        raise InputError(problems)


def _origin(known: Catalog, spec: Mapping[str, Any], name: str, document: Document, path: str) -> ModelEntry | None:
    """Return the model that an overlay entry changes: its configuration file, its base, or the entry of the same name."""
    if "config" in spec:
        return model_from_config(document.folder / str(spec["config"]))
    if "base" in spec:
        return known.model_entry(str(spec["base"]), document.place(f"{path}.base"), f"{path}.base")
    return known.models.get(name)


def _fact(spec: Mapping[str, Any], document: Document, path: str, known: tuple[Sourced, ...] | None) -> Sourced:
    allowed = ("best", "low", "high", "unit", "grade", "source", "date", "note")
    for key in spec:
        if key not in allowed:
            raise InputError(
                Problem(
                    message="unknown field",
                    location=document.place(f"{path}.{key}"),
                    path=f"{path}.{key}",
                    allowed=", ".join(allowed),
                    nearest=nearest_name(key, allowed),
                )
            )
    if "best" not in spec:
        raise InputError(
            Problem(message="a fact needs its best value", location=document.place(path), path=f"{path}.best")
        )
    unit = str(spec.get("unit", known[-1].unit if known else ""))
    allowed_units = sorted({symbol for symbol, _ in si_units().values() if symbol})
    if unit and unit not in allowed_units:
        where = f"{path}.unit"
        raise InputError(
            Problem(
                message="the unit of a fact is an SI symbol; its values may be written in any unit of that kind",
                location=document.place(where),
                path=where,
                found=repr(unit),
                allowed=", ".join(allowed_units),
                nearest=si_units().get(unit, (nearest_name(unit, allowed_units), 1.0))[0],
            )
        )
    values: dict[str, float | None] = {}
    for key in ("best", "low", "high"):
        try:
            values[key] = parse_quantity(spec[key], unit) if key in spec else None
        except QuantityError as error:
            raise InputError(
                Problem(
                    message=error.message,
                    location=document.place(f"{path}.{key}"),
                    path=f"{path}.{key}",
                    found=error.found,
                    allowed=error.allowed,
                )
            ) from None
    best, low, high = values["best"], values["low"], values["high"]
    if best is not None and not (best if low is None else low) <= best <= (best if high is None else high):
        raise InputError(
            Problem(
                message="the range must hold the best value",
                location=document.place(path),
                path=path,
                found=repr(spec),
                allowed="low <= best <= high",
            )
        )
    grade = str(spec.get("grade", "stated"))
    if grade not in _KIND_OF_GRADE:
        raise InputError(
            Problem(
                message="unknown grade",
                location=document.place(f"{path}.grade"),
                path=f"{path}.grade",
                found=repr(grade),
                allowed=", ".join(_KIND_OF_GRADE),
                nearest=nearest_name(grade, list(_KIND_OF_GRADE)),
            )
        )
    result = sourced(
        values["best"],
        low=values["low"],
        high=values["high"],
        kind=_KIND_OF_GRADE[grade],
        unit=unit,
        source=str(spec.get("source", document.name)),
        date=str(spec.get("date", "")),
        label=path.partition(".")[2],
        note=str(spec.get("note", "")),
    )
    assert result is not None
    return result


def _accelerator_rows(catalog: Catalog) -> list[dict[str, Any]]:
    return [
        {
            "name": a.name,
            "vendor": a.vendor,
            "year": a.year,
            "bf16_flop_per_s": _best(a.flop_per_s.get("bf16")),
            "fp8_flop_per_s": _best(a.flop_per_s.get("fp8")),
            "memory_bytes": _best(a.memory_bytes),
            "memory_bytes_per_s": _best(a.memory_bytes_per_s),
            "scale_up_bytes_per_s": _best(a.scale_up_bytes_per_s),
            "scale_up_domain": a.scale_up_domain,
            "tdp_w": _best(a.tdp_w),
            "price_usd": _best(a.price_usd),
        }
        for a in catalog.accelerators.values()
    ]


def _model_rows(catalog: Catalog) -> list[dict[str, Any]]:
    return [
        {
            "name": m.name,
            "release": m.release,
            "type": m.type,
            "layers": m.architecture.get("layers"),
            "hidden": m.architecture.get("hidden"),
            "experts": m.architecture.get("experts"),
            "parameters_total": _best(m.parameters_total),
            "parameters_active": _best(m.parameters_active),
            "training_tokens": _best(m.training_tokens),
        }
        for m in catalog.models.values()
    ]


def _fact_rows(catalog: Catalog) -> list[dict[str, Any]]:
    return [
        {
            "key": key,
            "best": row.best,
            "low": row.low,
            "high": row.high,
            "unit": row.unit,
            "date": row.date,
            "grade": str(row.grade),
            "source": row.source,
        }
        for key, rows in catalog.facts.items()
        for row in rows
    ]


def _price_rows(_: Catalog) -> list[dict[str, Any]]:
    bought = [
        {
            "date": r["date"],
            "chip": r["chip"],
            "basis": "purchase",
            "usd": float(r["usd_per_chip"]),
            "source": r["source"],
        }
        for r in packaged_rows("purchase_prices.csv")
    ]
    rented = [
        {
            "date": r["date"],
            "chip": r["chip"],
            "basis": f"rental per hour, {r['cloud']}",
            "usd": float(r["usd_per_chip_hour_on_demand"]),
            "source": r["source"],
        }
        for r in packaged_rows("rental_prices.csv")
        if r["usd_per_chip_hour_on_demand"]
    ]
    return sorted([*bought, *rented], key=lambda row: str(row["date"]))


def _case_rows(_: Catalog) -> list[dict[str, Any]]:
    return [dict(row) for row in packaged_rows("cases/memphis.csv")]


def _best(value: Sourced | None) -> float | None:
    return None if value is None else value.best


_LISTINGS: Mapping[str, Callable[[Catalog], list[dict[str, Any]]]] = {
    "accelerators": _accelerator_rows,
    "models": _model_rows,
    "facts": _fact_rows,
    "prices": _price_rows,
    "cases": _case_rows,
}
