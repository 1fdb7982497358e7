"""Numbers with units as people write them, and back.

    parse_quantity("150 MW", "W")            -> 150000000.0
    parse_quantity("$0.0674/kWh", "USD/J")   -> 1.872e-08
    format_quantity(1.5e8, "W")              -> "150 MW"

Prefixes are decimal (k, M, G, T, P, E) or binary (Ki, Mi, Gi, Ti); GB is 1e9 bytes, GiB is 2**30, Gb is 1e9 bits.
Counts and money may also carry k, M, B (or bn, billion) and T (or trillion): "13T tokens", "100k", "$1.08 billion";
counts Ki, Mi, Gi and Ti as well: "16Mi tokens". A bare number is a quantity only where the unit is a count or a
fraction, or where its caller says what it counts. Past this module every number is a float in SI units.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any

_DEFINITIONS = """
milli- = 1e-3 = m-
micro- = 1e-6 = u-
nano- = 1e-9 = n-
kilo- = 1e3 = k-
mega- = 1e6 = M-
giga- = 1e9 = G-
tera- = 1e12 = T-
peta- = 1e15 = P-
exa- = 1e18 = E-
zetta- = 1e21 = Z-
yotta- = 1e24 = Y-
kibi- = 2**10 = Ki-
mebi- = 2**20 = Mi-
gibi- = 2**30 = Gi-
tebi- = 2**40 = Ti-
second = [time] = s = sec = seconds
minute = 60 * second = min = minutes
hour = 3600 * second = h = hours = hr
day = 86400 * second = d = days
week = 7 * day = weeks
month = 365.25 / 12 * day = months
year = 365.25 * day = yr = years
meter = [length] = m = metre
gram = [mass] = g
tonne = 1e6 * gram = t
kelvin = [temperature] = K
joule = [energy] = J
watt = joule / second = W
watt_hour = 3600 * joule = Wh
british_thermal_unit = 1055.05585262 * joule = Btu = BTU
byte = [information] = B = bytes
bit = byte / 8 = b = bits
flop = [computation] = FLOP = FLOPs
flops = flop / second = FLOPS
token = [token] = tokens
sequence = [sequence] = sequences
usd = [currency] = USD = dollar = dollars
hertz = 1 / second = Hz
count = [] = fraction = accelerator = accelerators = gpu = gpus = GPU = GPUs = chip = chips = parameter = parameters = params = request = requests
percent = 0.01 * count
"""

_KINDS = {
    "s": "time",
    "B": "amount of data",
    "FLOP": "amount of computation",
    "W": "power",
    "J": "energy",
    "USD": "amount of money",
    "token": "number of tokens",
    "sequence": "number of sequences",
    "m": "length",
    "K": "temperature",
    "kg": "mass",
    "Hz": "frequency",
    "": "plain number",
    "fraction": "fraction",
    "B/s": "bandwidth",
    "FLOP/s": "computing rate",
    "token/s": "token rate",
    "USD/J": "price of energy",
    "USD/s": "amount of money per time",
    "USD/W": "price per power",
    "USD/token": "price per token",
    "W/s": "ramp",
    "1/s": "rate",
    "FLOP/token": "amount of computation per token",
    "J/token": "energy per token",
    "kg/J": "emission per energy",
    "USD/B": "price per amount of data",
}
_EXAMPLES = {
    "s": "19 days",
    "B": "80 GB",
    "FLOP": "4.64e26 FLOP",
    "W": "150 MW",
    "J": "300 MWh",
    "USD": "$1.08 billion",
    "token": "13T tokens",
    "sequence": "2048 sequences",
    "m": "1000 km",
    "K": "300 K",
    "kg": "10 t",
    "Hz": "0.5 Hz",
    "": "100,000",
    "fraction": "35 %",
    "B/s": "400 Gb/s",
    "FLOP/s": "989 TFLOP/s",
    "token/s": "1M tokens/s",
    "USD/J": "$0.0674/kWh",
    "USD/s": "$2/h",
    "USD/W": "$12 million/MW",
    "USD/token": "$1e-6/token",
    "W/s": "10 MW/min",
    "1/s": "4.7e-4 /day",
    "FLOP/token": "1e12 FLOP/token",
    "J/token": "0.4 J/token",
    "kg/J": "0.3 kg/kWh",
    "USD/B": "$0.1/GB",
}
_MAGNITUDES = {
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
    "k": 1e3,
    "thousand": 1e3,
    "M": 1e6,
    "million": 1e6,
    "B": 1e9,
    "bn": 1e9,
    "billion": 1e9,
    "T": 1e12,
    "trillion": 1e12,
}
# Magnitudes that are prefixes of a unit where the unit is not a count: "80 GB", "1 Mi" + "B".
_PREFIXED = frozenset({"Ki", "Mi", "Gi", "Ti", "k", "M", "B", "T"})
_TEXT = re.compile(
    r"^\s*(?P<sign>[+-](?=\s*\$))?\s*(?P<dollar>\$)?\s*(?P<number>[+-]?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d[\d_]*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)"
    r"\s*(?:(?P<magnitude>Ki|Mi|Gi|Ti|k|M|B|T|bn|thousand|million|billion|trillion)(?![A-Za-z]))?\s*(?P<unit>.*?)\s*$"
)
COUNT_UNITS = frozenset(
    {"", "fraction", "token", "sequence", "USD", "FLOP", "USD/J", "USD/s", "USD/W", "USD/token", "token/s", "USD/B"}
)


class QuantityError(ValueError):
    """Text that is not the quantity that is needed: `found` says what it is, `allowed` what may stand there."""

    def __init__(self, message: str, *, found: str, allowed: str) -> None:
        self.message, self.found, self.allowed = message, found, allowed
        super().__init__(f"{message}; found {found}; allowed: {allowed}")


def kind_of(unit: str) -> str:
    """Return what a unit measures, in words ("W" -> "power")."""
    return _KINDS.get(unit, f"quantity in {unit}")


def parse_quantity(text: str | int | float, unit: str, *, bare: bool = False, example: str = "") -> float:
    """Return `text` in the SI unit `unit` (see the module docstring for what may be written).

    `bare` takes a number without a unit as one in `unit`; `example` is what an error shows instead of the usual
    example of the unit. Raises QuantityError where it is no number, has another dimension, has no unit where one is
    needed, or is not finite.
    """
    allowed = f"{_article(kind_of(unit))}, for example {example or _EXAMPLES.get(unit, '1 ' + unit)}"
    bare = bare or unit in ("", "fraction")
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise QuantityError("not a quantity", found=repr(text), allowed=allowed)
    if not isinstance(text, str):
        if not bare:
            raise QuantityError("a unit is missing", found=repr(text), allowed=allowed)
        return _finite(_as_float(text), repr(text), allowed)
    match = _TEXT.match(text)
    if match is None:
        raise QuantityError("not a quantity", found=repr(text), allowed=allowed)
    number = float(match["number"].replace(",", "").replace("_", "")) * (-1.0 if match["sign"] == "-" else 1.0)
    magnitude, rest = match["magnitude"], match["unit"]
    if magnitude in _PREFIXED and unit not in COUNT_UNITS:
        rest, magnitude = f"{magnitude}{rest}", None
    number *= _MAGNITUDES[magnitude] if magnitude else 1.0
    if match["dollar"]:
        rest = f"USD{rest}" if rest.startswith("/") or not rest else f"USD {rest}"
    if rest == "K" and unit in COUNT_UNITS:
        raise QuantityError("K is the kelvin", found=repr(text), allowed="k for 1,000 or Ki for 1,024")
    if not rest:
        if not bare:
            raise QuantityError("a unit is missing", found=repr(text), allowed=allowed)
        return _finite(number, repr(text), allowed)
    return _finite(number * _factor(rest, unit, text, allowed), repr(text), allowed)


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # a whole number of more than 308 digits
        return math.inf


def _finite(value: float, found: str, allowed: str) -> float:
    if not math.isfinite(value):
        raise QuantityError("not a finite number", found=found, allowed=allowed)
    return value


@lru_cache(maxsize=1)
def _registry() -> Any:
    import pint

    return pint.UnitRegistry(_DEFINITIONS.strip().splitlines(), cache_folder=None)


def _factor(text: str, unit: str, whole: str, allowed: str) -> float:
    """Return the factor from the unit written in `text` to the SI unit `unit`."""
    spelled = text.replace("%", "percent").replace("$", "USD").replace("·", "*").replace("per ", "/ ")
    spelled = re.sub(r"\bUSD\s+USD\b", "USD", spelled)
    # "$0.28 per million tokens", as format_quantity writes it
    spelled = re.sub(r"\bmillion\s+(?=[A-Za-z])", "M", spelled)
    try:
        found = _registry().Quantity(
            1.0, _registry().parse_units(f"1{spelled}" if spelled.startswith("/") else spelled)
        )
    except Exception:  # pint raises a dozen types for text that is no unit
        raise QuantityError(f"{text!r} is not a unit", found=repr(whole), allowed=allowed) from None
    try:
        needed = _registry().parse_units(unit or "count")
        return float(found.to(needed).magnitude)
    except Exception:
        kind = next(
            (
                word
                for symbol, word in _KINDS.items()
                if found.is_compatible_with(_registry().parse_units(symbol or "count"))
            ),
            None,
        )
        message = f"this is {_article(kind)}, {_article(kind_of(unit))} is needed" if kind else "wrong unit"
        raise QuantityError(message, found=repr(whole), allowed=allowed) from None


def _article(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


# How each unit is shown: (factor to divide by, suffix), largest first.
_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_LARGE_COUNTS = ((1e12, " trillion"), (1e9, " billion"), (1e6, " million"), (1.0, ""))
_TIMES = (
    (365.25 * 86400, "years"),
    (86400.0, "days"),
    (3600.0, "h"),
    (60.0, "min"),
    (1.0, "s"),
    (1e-3, "ms"),
    (1e-6, "us"),
    (1e-9, "ns"),
)
_PER = {
    "USD/J": (3.6e6, "/kWh"),
    "USD/s": (3600.0, "/h"),
    "USD/W": (1.0, "/W"),
    "USD/token": (1e6, " per million tokens"),
    "USD/B": (1e9, "/GB"),
}


def format_quantity(value: float, unit: str, digits: int = 3) -> str:
    """Return `value` (SI, `unit`) as a person writes it, with about `digits` significant digits.

    >>> format_quantity(1.5e8, "W"), format_quantity(1.64e6, "s"), format_quantity(1.08e9, "USD"),
    format_quantity(100000, "") ('150 MW', '19 days', '$1.08 billion', '100,000')
    """
    if not math.isfinite(value):
        return "unlimited" if value > 0 else "not a number" if math.isnan(value) else "-unlimited"
    if unit in _PER:
        factor, suffix = _PER[unit]
        return f"${_round(value * factor, digits)}{suffix}"
    if unit == "USD":
        return f"-{format_quantity(-value, unit, digits)}" if value < 0 else f"${_scaled(value, _LARGE_COUNTS, digits)}"
    if unit == "fraction":
        return f"{_round(value * 100.0, digits)} %"
    if unit == "J":
        return _scaled(value / 3600.0, _PREFIXES, digits, "Wh")
    if unit == "s":
        for factor, name in _TIMES:
            if abs(value) >= factor * (2.0 if name in ("years", "days", "h", "min") else 1.0):
                return f"{_round(value / factor, digits)} {name}"
        return f"{_round(value, digits)} s"
    if unit == "1/s":
        return f"{_round(value * 86400.0, digits)} /day"
    if unit in ("", "token", "sequence"):
        tail = f" {unit}s" if unit else ""
        whole = float(value).is_integer() and abs(value) < 1e7
        return (f"{value:,.0f}" if whole else _scaled(value, _LARGE_COUNTS, digits)) + tail
    if unit.startswith("FLOP") and abs(value) >= 1e21:
        return f"{value:.{digits - 1}e} {unit}"
    if unit in ("W", "B", "FLOP", "B/s", "FLOP/s", "W/s", "Hz", "token/s", "FLOP/token", "m"):
        return _scaled(value, _PREFIXES, digits, unit)
    return f"{_round(value, digits)} {unit}"


def _scaled(value: float, steps: tuple[tuple[float, str], ...], digits: int, unit: str = "") -> str:
    for factor, prefix in steps:  # noqa: B007 (the last pair is used below)
        if abs(value) >= factor * (1 - 0.5 * 10.0**-digits):
            break
    else:
        factor, prefix = 1.0, ""
    number = _round(value / factor, digits)
    return f"{number}{prefix}" if not unit else f"{number} {prefix}{unit}"


def _round(value: float, digits: int) -> str:
    """Return `value` with `digits` significant digits, thousands separated, no trailing zeros."""
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if exponent < -4 or exponent > 14:
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - exponent)
    text = f"{round(value, digits - 1 - exponent):,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
