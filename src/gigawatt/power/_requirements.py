"""What a grid asks of a site, as data: ramps, dynamic range, frequency bands, power factor, ride-through, curtailment.

    requirements_from(document data) -> Requirements -> check()

A limit is in watts (per second), or a share of the contracted power, and every clause says where it comes from.
`REQUIREMENT_FIELDS` declares what a file may hold. Packaged sets: data/requirements/*.yaml.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from gigawatt.documents import parse_document
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.evidence import Grade
from gigawatt.quantity import QuantityError, parse_quantity


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit: `value` in W or W/s, or, `of_contract`, as a share of the contracted power (per second)."""

    value: float
    of_contract: bool = False

    def at(self, contract_w: float) -> float:
        """Return the limit in W or W/s."""
        return self.value * contract_w if self.of_contract else self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """Where a clause comes from."""

    source: str
    kind: Grade
    date: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RampLimit(Clause):
    """Power may change by at most `up` and `down` (per second) between two instants `window_s` apart."""

    window_s: float
    up: Bound
    down: Bound


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeLimit(Clause):
    """The largest less the smallest power within any `window_s` is at most `width`."""

    window_s: float
    width: Bound


@dataclass(frozen=True, slots=True, kw_only=True)
class BandLimit(Clause):
    """The amplitude of one sine with the power of all that lies from `low_hz` to `high_hz` is at most `amplitude`."""

    low_hz: float
    high_hz: float
    amplitude: Bound

    def __post_init__(self) -> None:
        if not 0.0 < self.low_hz < self.high_hz:
            raise ValueError(
                f"a band runs from a lower to a higher frequency, not from {self.low_hz:g} to {self.high_hz:g} Hz"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RideThrough(Clause):
    """A dip to `voltage` (share of nominal) for `duration_s` is ridden: at most `drop_share` of the load leaves."""

    voltage: float
    duration_s: float
    drop_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CurtailmentClause(Clause):
    """On call the site gives up `depth` after `notice_s`, for at most `hours_s` seconds a year."""

    notice_s: float
    depth: Bound
    hours_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerFactor(Clause):
    """The power factor is at least `minimum`."""

    minimum: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """A set of clauses. Below `threshold_w` of peak demand it does not apply; `contract_w` is the contracted power that
    shares refer to, None where the site's own is to be taken.
    """

    name: str
    title: str = ""
    contract_w: float | None = None
    threshold_w: float = 0.0
    ramps: tuple[RampLimit, ...] = ()
    ranges: tuple[RangeLimit, ...] = ()
    bands: tuple[BandLimit, ...] = ()
    ride_through: tuple[RideThrough, ...] = ()
    curtailment: tuple[CurtailmentClause, ...] = ()
    power_factor: tuple[PowerFactor, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementField:
    """One field of a requirement file: section ("" for the top), name, attribute, unit ("" for text), whether needed.

    `share` marks a limit that may also be a share of the contract ("10 %", "2 %/min").
    """

    section: str
    name: str
    attribute: str
    unit: str
    meaning: str
    share: bool = False
    required: bool = True


def _field(section: str, name: str, attribute: str, unit: str, meaning: str, **more: bool) -> RequirementField:
    return RequirementField(section=section, name=name, attribute=attribute, unit=unit, meaning=meaning, **more)


_OWN = (
    _field("", "name", "name", "", "short name"),
    _field("", "title", "title", "", "what it is", required=False),
    _field("", "contract", "contract_w", "W", "contracted power; the site's own if absent", required=False),
    _field("", "threshold", "threshold_w", "W", "peak demand below which nothing applies", required=False),
    _field("ramps", "window", "window_s", "s", "distance of the two instants"),
    _field("ramps", "up", "up", "W/s", "largest rise", share=True),
    _field("ramps", "down", "down", "W/s", "largest fall", share=True),
    _field("ranges", "window", "window_s", "s", "window of the range"),
    _field("ranges", "width", "width", "W", "largest less smallest power", share=True),
    _field("bands", "low", "low_hz", "Hz", "lower end of the band"),
    _field("bands", "high", "high_hz", "Hz", "upper end of the band"),
    _field("bands", "amplitude", "amplitude", "W", "amplitude of the whole band", share=True),
    _field("ride_through", "voltage", "voltage", "fraction", "voltage left, share of nominal"),
    _field("ride_through", "duration", "duration_s", "s", "how long the dip lasts"),
    _field("ride_through", "drop", "drop_share", "fraction", "share of the load that may leave", required=False),
    _field("curtailment", "notice", "notice_s", "s", "time from call to effect"),
    _field("curtailment", "depth", "depth", "W", "power given up", share=True),
    _field("curtailment", "time_per_year", "hours_s", "s", "most time a year"),
    _field("power_factor", "minimum", "minimum", "", "smallest power factor"),
)
SECTIONS: Mapping[str, Callable[..., Clause]] = {
    "ramps": RampLimit,
    "ranges": RangeLimit,
    "bands": BandLimit,
    "ride_through": RideThrough,
    "curtailment": CurtailmentClause,
    "power_factor": PowerFactor,
}
REQUIREMENT_FIELDS: tuple[RequirementField, ...] = (
    *_OWN,
    *(
        _field(section, name, name, "", meaning, required=needed)
        for section in SECTIONS
        for name, meaning, needed in (
            ("source", "where the clause comes from", True),
            ("kind", "given, measured, stated, derived or estimate", True),
            ("date", "date of the source", False),
            ("note", "what to know", False),
        )
    ),
)
_TEXT = ("name", "title", "source", "date", "note")


def requirements_from(data: Mapping[str, Any], place: Callable[[str], str] | None = None) -> Requirements:
    """Return the requirements of a parsed file. `place` gives "file:line:column" of a dotted path.

    Raises InputError with every mistake: unknown or missing fields, quantities of the wrong kind, limits not above zero.
    """
    place = place or (lambda _: "")
    problems: list[Problem] = []
    top = {item.name: item for item in REQUIREMENT_FIELDS if item.section == ""}
    found = _read({k: v for k, v in data.items() if k not in SECTIONS}, top, "", place, problems, [*top, *SECTIONS])
    for section, build in SECTIONS.items():
        mine = {item.name: item for item in REQUIREMENT_FIELDS if item.section == section}
        entries = data.get(section, [])
        if not isinstance(entries, list):
            problems.append(_problem("a list of clauses is needed", section, place, entries))
            continue
        clauses = []
        for index, entry in enumerate(entries):
            path = f"{section}.{index}"
            if not isinstance(entry, dict):
                problems.append(_problem("a mapping is needed", path, place, entry))
                continue
            before = len(problems)
            values = _read(entry, mine, path, place, problems, list(mine))
            if len(problems) == before:
                clauses.append(build(**values))
        found[section] = tuple(clauses)
    if problems:
        raise InputError(problems)
    return Requirements(**found)


def _read(
    entry: Mapping[str, Any],
    allowed: Mapping[str, RequirementField],
    path: str,
    place: Callable[[str], str],
    problems: list[Problem],
    names: list[str],
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    inside = f"{path}." if path else ""
    for name, value in entry.items():
        if name not in allowed:
            problems.append(
                Problem(
                    message="unknown field of a requirement file",
                    location=place(inside + str(name)),
                    path=inside + str(name),
                    allowed=", ".join(names),
                    nearest=nearest_name(str(name), names),
                )
            )
            continue
        try:
            values[allowed[name].attribute] = _value(allowed[name], value)
        except QuantityError as error:
            problems.append(
                Problem(
                    message="not the quantity that is needed",
                    location=place(inside + name),
                    path=inside + name,
                    found=error.found,
                    allowed=error.allowed,
                )
            )
        except ValueError as error:
            problems.append(_problem(str(error), inside + name, place, value))
    missing = [item.name for item in allowed.values() if item.required and item.name not in entry]
    if missing:
        problems.append(
            Problem(message=f"{', '.join(missing)} must be given", location=place(path), path=path or "requirements")
        )
    return values


def _value(item: RequirementField, value: Any) -> Any:
    if item.name == "kind":
        return Grade(value)
    if item.name in _TEXT:
        return str(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("a quantity is needed")
    if item.share and isinstance(value, str) and "%" in value:
        number = parse_quantity(value, {"W": "fraction", "W/s": "1/s"}[item.unit])
        result: Any = Bound(number, of_contract=True)
    else:
        number = parse_quantity(value, item.unit)
        result = Bound(number) if item.share else number
    if number < 0.0 or (number == 0.0 and item.unit in ("s", "Hz") and item.name != "notice"):
        raise ValueError("it must be above zero")
    if item.unit == "fraction" and number > 1.0:
        raise ValueError("it must be a share in 0..1")
    return result


def _problem(message: str, path: str, place: Callable[[str], str], found: Any) -> Problem:
    return Problem(message=message, location=place(path), path=path, found=repr(found))


@cache
def packaged_requirements() -> Mapping[str, Requirements]:
    """Return the packaged sets by name (data/requirements)."""
    folder = files("gigawatt.power").joinpath("data", "requirements")
    found = {}
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".yaml"):
            document = parse_document(entry.read_text(encoding="utf-8"), name=entry.name, folder=Path())
            requirements = requirements_from(document.data, document.place)
            found[requirements.name] = requirements
    return found
