"""What a field of a scenario may hold: quantities with their unit and bounds, counts, dates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from gigawatt.quantity import QuantityError, format_quantity, parse_quantity


@dataclass(frozen=True, slots=True)
class Quantity:
    """Marks a field that holds a quantity: text with a unit at the door, a float in the SI unit past it, within bounds.

    `bare` says that a number without a unit is one in `unit`. Bounds beyond which no site or model is conceivable keep
    the arithmetic behind them inside what a float and a 64-bit integer hold.
    """

    unit: str
    example: str
    above: float = -math.inf
    least: float = -math.inf
    most: float = math.inf
    bare: bool = False

    def parse(self, value: object) -> float:
        """Return the value in SI units. Raises the error that pydantic collects."""
        try:
            number = parse_quantity(value, self.unit, bare=self.bare, example=self.example)  # type: ignore[arg-type]
        except QuantityError as error:
            raise PydanticCustomError(
                "quantity", "{reason}", {"reason": error.message, "allowed": error.allowed}
            ) from None
        for wrong, bound in (
            (number <= self.above, f"above {format_quantity(self.above, self.unit)}"),
            (number < self.least, f"at least {format_quantity(self.least, self.unit)}"),
            (number > self.most, f"at most {format_quantity(self.most, self.unit)}"),
        ):
            if wrong:
                raise PydanticCustomError("quantity", "{reason}", {"reason": "impossible value", "allowed": bound})
        return number

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        bare = self.bare or self.unit == ""
        return {"type": ["string", "number"] if bare else ["string"], "examples": self.example.split(" or ")}


def _whole(value: object, least: int = 1, most: int = 1_000_000_000) -> int:
    """Accept 100000, "100,000", "100k", "128Ki"."""
    allowed = f"a whole number from {least} to {most:,}"
    if isinstance(value, bool):
        raise PydanticCustomError("count", "a whole number is needed", {"allowed": allowed})
    try:
        number = parse_quantity(value, "")  # type: ignore[arg-type]
    except QuantityError as error:
        raise PydanticCustomError("count", "{reason}", {"reason": error.message, "allowed": allowed}) from None
    if number != int(number) or not least <= number <= most:
        raise PydanticCustomError("count", "{reason}", {"reason": "impossible value", "allowed": allowed})
    return int(number)


def _degree(value: object) -> int:
    return _whole(value, most=MOST_RANKS)


def _some_or_all(value: object) -> int:
    return _whole(value, least=0, most=MOST_RANKS)


def _batch(value: object) -> tuple[str, float]:
    """Accept "16M tokens", "2048 sequences", and a bare number of sequences."""
    allowed = 'for example "16M tokens" or "2048 sequences"; a bare number counts sequences'
    for unit in ("token", "sequence"):
        try:
            number = parse_quantity(value, unit, bare=unit == "sequence")  # type: ignore[arg-type]
        except QuantityError:
            continue
        if not 1 <= number <= _MOST_BATCH[unit]:
            raise PydanticCustomError(
                "batch",
                "impossible value",
                {"allowed": f"{format_quantity(1, unit)} to {format_quantity(_MOST_BATCH[unit], unit)}"},
            )
        return unit, number
    raise PydanticCustomError("batch", "a number of tokens or of sequences is needed", {"allowed": allowed})


def _recipe(value: object) -> object:
    """Accept BF16 for bf16."""
    return value.lower() if isinstance(value, str) else value


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _month(value: object) -> str:
    import re

    text = str(value)
    if not re.fullmatch(r"\d{4}(-\d{2}(-\d{2})?)?", text) or not _is_day(text + "-01-01"[len(text) - 4 :]):
        raise PydanticCustomError("date", "not a date", {"allowed": "a year, month or day, for example 2024-11"})
    return text


# More ranks than this in one degree, or in all of them together, are refused.
MOST_RANKS = 100_000_000
_MOST_BATCH = {"token": 1e15, "sequence": 1e9}

Count = Annotated[
    int, BeforeValidator(_whole), WithJsonSchema({"type": ["integer", "string"], "examples": ["100,000", "100k"]})
]
Few = Annotated[int, BeforeValidator(_whole), WithJsonSchema({"type": ["integer", "string"]})]
Degree = Annotated[int, BeforeValidator(_degree), WithJsonSchema({"type": "integer", "minimum": 1})]
SomeOrAll = Annotated[int, BeforeValidator(_some_or_all), WithJsonSchema({"type": "integer", "minimum": 0})]
Batch = Annotated[
    tuple[str, float],
    BeforeValidator(_batch),
    WithJsonSchema({"type": ["string", "number"], "examples": ["16M tokens", "2048 sequences", "2048"]}),
]
DateText = Annotated[
    str, BeforeValidator(_month), WithJsonSchema({"type": "string", "pattern": r"^\d{4}(-\d{2}(-\d{2})?)?$"})
]
Recipe = Annotated[str, BeforeValidator(_recipe)]
Power = Annotated[float, Quantity("W", example="150 MW", least=1.0, most=1e15)]
PowerOrNone = Annotated[float, Quantity("W", example="150 MW", least=0.0, most=1e15)]
Tokens = Annotated[float, Quantity("token", example="13T tokens", least=1, most=1e21)]
Length = Annotated[float, Quantity("token", example="8192 tokens or 128Ki", least=1, most=1e8, bare=True)]
SampleTokens = Annotated[float, Quantity("token", example="4096 tokens", least=1, most=1e15, bare=True)]
Flop = Annotated[float, Quantity("FLOP", example="4.64e26 FLOP", least=1, most=1e36)]
Seconds = Annotated[float, Quantity("s", example="90 days", above=0, most=1e12)]
Minutes = Annotated[float, Quantity("s", example="15 min", above=0, most=1e12)]
Repair = Annotated[float, Quantity("s", example="24 h", least=0, most=1e12)]
Years = Annotated[float, Quantity("s", example="5 years", above=0, most=1e12)]
Bandwidth = Annotated[float, Quantity("B/s", example="400 Gb/s", least=1e3, most=1e18)]
StoreRate = Annotated[float, Quantity("B/s", example="100 GB/s", least=1e3, most=1e18)]
StateRate = Annotated[float, Quantity("B/s", example="1 GB/s", least=1e3, most=1e18)]
WideRate = Annotated[float, Quantity("B/s", example="20 Tb/s", least=1e3, most=1e18)]
Distance = Annotated[float, Quantity("m", example="1000 km", least=0, most=1e9)]
Bytes = Annotated[float, Quantity("B", example="3 MB", above=0, most=1e18)]
Money = Annotated[float, Quantity("USD", example="$1.08 billion", above=0, most=1e18)]
Price = Annotated[float, Quantity("USD", example="$30,000", above=0, most=1e18)]
EnergyPrice = Annotated[float, Quantity("USD/J", example="$0.0674/kWh", least=0)]
DemandPrice = Annotated[float, Quantity("USD/W", example="$15/kW", least=0)]
CarbonPrice = Annotated[float, Quantity("USD/kg", example="$50/t", least=0)]
Energy = Annotated[float, Quantity("J", example="300 MWh", above=0, most=1e18)]
Efficiency = Annotated[float, Quantity("", example="0.92", above=0, most=1)]
MoneyRate = Annotated[float, Quantity("USD/s", example="$20 million/year", least=0)]
Rate = Annotated[float, Quantity("1/s", example="4.7e-4 /day", least=0, most=1.0)]
Ratio = Annotated[float, Quantity("", example="1.2", least=1, most=1e6)]
Share = Annotated[float, Quantity("", example="8 %", least=0, most=1)]


class Section(BaseModel):
    """A part of a scenario; unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, serialize_by_alias=True)
