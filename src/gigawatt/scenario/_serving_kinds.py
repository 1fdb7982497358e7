"""What a field of the serving section may hold beside the common kinds: lengths, shapes, percentiles, prices of tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from gigawatt.errors import nearest_name
from gigawatt.scenario._kinds import Quantity

# The packaged shapes of day and week; a test holds them against the table of the engine.
SHAPES = ("chat", "office", "api", "flat")

_TOKENS = Quantity("token", example="1024 tokens or 8Ki", least=1, most=1e8, bare=True)
_PLAIN = Quantity("", example="99 %")
_PRICE = Quantity("USD/token", example="$0.28 per million tokens", least=0, most=1e3)


@dataclass(frozen=True, slots=True)
class OrTokens:
    """Marks a section of lengths that may also be a number of tokens: it stands for the mean."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def sections(value: object) -> object:
            return value if isinstance(value, Mapping | BaseModel) else {"mean": _TOKENS.parse(value)}

        return core_schema.no_info_before_validator_function(sections, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        number = {"type": ["string", "number"], "examples": ["1024 tokens", "{mean: 1155, p50: 1020}"]}
        return {"anyOf": [number, handler(schema)]}


def _shape(value: object, number: int) -> object:
    allowed = f"{', '.join(SHAPES)}, or {number} numbers of 0 or more"
    if isinstance(value, str):
        if value not in SHAPES:
            raise PydanticCustomError(
                "shape", "unknown shape", {"allowed": allowed, "nearest": nearest_name(value, SHAPES)}
            )
        return value
    if not isinstance(value, list | tuple) or len(value) != number:
        raise PydanticCustomError("shape", "not a shape", {"allowed": allowed})
    numbers = tuple(_PLAIN.parse(each) for each in value)
    if min(numbers) < 0 or not sum(numbers) > 0:
        raise PydanticCustomError("shape", "not a shape", {"allowed": f"{allowed}, not all of them 0"})
    return numbers


def _day(value: object) -> object:
    return _shape(value, 24)


def _week(value: object) -> object:
    return _shape(value, 7)


def _percentile(value: object) -> float:
    share = _PLAIN.parse(value)
    if not 0 < share < 1:
        raise PydanticCustomError(
            "percentile", "impossible value", {"allowed": "above 0 and below 1, for example 0.99 or 99 %"}
        )
    return share


def _price(value: object) -> float:
    """Accept "$0.28 per million tokens", "$2.8e-7/token", and a bare number of dollars per million tokens."""
    bare = isinstance(value, int | float) and not isinstance(value, bool)
    return _PRICE.parse(f"${value} per million tokens" if bare else value)


def _pixels(value: object) -> tuple[int, int]:
    match = re.fullmatch(r"\s*(\d{1,5})\s*[x×]\s*(\d{1,5})\s*", value) if isinstance(value, str) else None
    if match is None or not (int(match[1]) and int(match[2])):
        raise PydanticCustomError("pixels", "not a resolution", {"allowed": "width x height, for example 1024x1024"})
    return int(match[1]), int(match[2])


def _yes_no_search(value: object) -> object:
    # YAML reads a bare yes and no as true and false.
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def _shape_schema(number: int) -> WithJsonSchema:
    numbers = {"type": "array", "items": {"type": "number", "minimum": 0}, "minItems": number, "maxItems": number}
    return WithJsonSchema({"anyOf": [{"enum": list(SHAPES)}, numbers]})


_Item = TypeVar("_Item")
LengthOrNumber = Annotated[_Item, OrTokens()]
Shape = str | tuple[float, ...]
DayShape = Annotated[Shape, BeforeValidator(_day), _shape_schema(24)]
WeekShape = Annotated[Shape, BeforeValidator(_week), _shape_schema(7)]
Percentile = Annotated[
    float, BeforeValidator(_percentile), WithJsonSchema({"type": ["string", "number"], "examples": ["99 %"]})
]
TokenPrice = Annotated[
    float,
    BeforeValidator(_price),
    WithJsonSchema({"type": ["string", "number"], "examples": ["$0.28 per million tokens", "0.28"]}),
]
Pixels = Annotated[
    tuple[int, int], BeforeValidator(_pixels), WithJsonSchema({"type": "string", "examples": ["1024x1024"]})
]
YesNoSearch = Annotated[
    Literal["yes", "no", "search"],
    BeforeValidator(_yes_no_search),
    WithJsonSchema({"anyOf": [{"enum": ["yes", "no", "search"]}, {"type": "boolean"}]}),
]
RequestRate = Annotated[float, Quantity("1/s", example="500 per s", above=0, most=1e9)]
Burstiness = Annotated[float, Quantity("", example="4", above=0, most=1e4)]
Growth = Annotated[float, Quantity("", example="2.5", least=1e-3, most=1e3)]
Skew = Annotated[float, Quantity("", example="0.8", least=0, most=10)]
TailExponent = Annotated[float, Quantity("", example="2.5", above=1, most=100)]
