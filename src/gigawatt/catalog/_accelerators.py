"""Accelerators: one row of accelerators.csv, or an inline specification, as sourced numbers in SI units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any

from gigawatt.catalog._tables import Row, number, packaged_rows, sourced
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.evidence import Grade, Sourced
from gigawatt.quantity import QuantityError, format_quantity, parse_quantity

# field -> (column of the table, SI unit, factor from the column's unit, name in an inline specification)
NUMBERS: Mapping[str, tuple[str, str, float, str]] = {
    "memory_bytes": ("mem_gb", "B", 1e9, "memory"),
    "memory_bytes_per_s": ("mem_bw_tbs", "B/s", 1e12, "memory_bandwidth"),
    "on_chip_bytes": ("on_chip_sram_mb", "B", 1e6, "on_chip_memory"),
    "scale_up_bytes_per_s": ("scale_up_uni_gbs", "B/s", 1e9, "scale_up"),
    "scale_out_bytes_per_s": ("scale_out_gbps", "B/s", 1e9 / 8, "scale_out"),
    "tdp_w": ("tdp_w", "W", 1.0, "tdp"),
    "server_max_w": ("server_max_kw", "W", 1e3, "server_max"),
    "die_area_m2": ("die_area_mm2", "m2", 1e-6, "die_area"),
}
COUNTS: Mapping[str, str] = {
    "scale_up_domain": "scale_up_domain",
    "server_chips": "server_chips",
    "memory_stacks": "mem_stacks",
    "die_count": "die_count",
    "year": "year",
}
TEXTS: Mapping[str, str] = {
    "vendor": "vendor",
    "status": "status",
    "process": "node",
    "memory_type": "mem_type",
    "scale_up_link": "scale_up_link",
    "server_name": "server_name",
    "notes": "notes",
    "source": "source",
}
PEAKS: Mapping[str, str] = {
    "fp64": "fp64_tflops",
    "fp32": "fp32_tflops",
    "tf32": "tf32_tflops",
    "fp16": "fp16_tflops",
    "bf16": "bf16_tflops",
    "fp8": "fp8_tflops",
    "int8": "int8_tops",
    "fp4": "fp4_tflops",
}
MEASURED: Mapping[str, str] = {"bf16": "bf16_matmul_measured_tflops", "fp8": "fp8_matmul_measured_tflops"}
_SHORT_NAMES = {
    "price": ("price_usd_low", "price_usd_high"),
    "server": ("server_name", "server_chips", "server_max_kw"),
    "scale_up": ("scale_up_uni_gbs", "scale_up_bidi_gbs", "scale_up_domain"),
    "all but the NVLink figures": (
        *PEAKS.values(),
        *MEASURED.values(),
        "price_usd_low",
        "price_usd_high",
        *(column for column, _, _, _ in NUMBERS.values() if column != "scale_up_uni_gbs"),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One accelerator as a buyer sees it. Numbers are `Sourced` in SI units; None where no source has the number.

    `flop_per_s` holds dense peak rates by dtype (no sparsity), `measured_flop_per_s` the best matrix product that
    third parties measured; bandwidths are per accelerator and one way; `scale_up_domain` counts the accelerators of
    one scale-up fabric.
    """

    name: str
    vendor: str = ""
    year: int | None = None
    status: str = ""
    process: str = ""
    flop_per_s: Mapping[str, Sourced] = field(default_factory=dict)
    measured_flop_per_s: Mapping[str, Sourced] = field(default_factory=dict)
    memory_type: str = ""
    memory_stacks: int | None = None
    memory_bytes: Sourced | None = None
    memory_bytes_per_s: Sourced | None = None
    on_chip_bytes: Sourced | None = None
    scale_up_link: str = ""
    scale_up_bytes_per_s: Sourced | None = None
    scale_up_domain: int | None = None
    scale_out_bytes_per_s: Sourced | None = None
    tdp_w: Sourced | None = None
    server_name: str = ""
    server_chips: int | None = None
    server_max_w: Sourced | None = None
    price_usd: Sourced | None = None
    die_count: int | None = None
    die_area_m2: Sourced | None = None
    notes: str = ""
    source: str = ""

    def numbers(self) -> dict[str, Sourced]:
        """Return every sourced number by its path below the accelerator ("tdp_w", "flop_per_s.bf16")."""
        found: dict[str, Sourced] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Sourced):
                found[item.name] = value
            elif isinstance(value, Mapping):
                found.update({f"{item.name}.{dtype}": rate for dtype, rate in value.items()})
        return found

    def with_number(self, path: str, value: Sourced) -> Accelerator:
        """Return the accelerator with the number at `path` (as in `numbers`) replaced."""
        name, _, dtype = path.partition(".")
        changes: dict[str, Any] = {name: {**getattr(self, name), dtype: value} if dtype else value}
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: texts and counts as they are, numbers as sourced records."""
        plain = {
            item.name: value
            for item in fields(self)
            if not isinstance(value := getattr(self, item.name), Sourced | Mapping) and value not in (None, "")
        }
        return plain | {"numbers": {path: sourced_number.to_dict() for path, sourced_number in self.numbers().items()}}


@lru_cache(maxsize=1)
def _extras() -> Mapping[str, Mapping[str, str]]:
    """Return accelerator_extras.csv by name: cells that accelerators.csv tells only in words."""
    extras: dict[str, dict[str, str]] = {}
    for row in packaged_rows("accelerator_extras.csv"):
        extras.setdefault(row["name"], {})[row["column"]] = row["value"]
    return extras


@lru_cache(maxsize=1)
def _fp16_vendors() -> Mapping[str, str]:
    return {row["vendor"]: row["source"] for row in packaged_rows("fp16_as_bf16.csv")}


def accelerator_from_row(row: Row, place: str = "accelerators.csv") -> Accelerator:
    """Return the accelerator of one row of the table. Raises InputError with `place` for a cell that is no number."""
    row = {**row, **_extras().get(row["name"], {})}
    estimated = _columns(row.get("estimated_fields", ""))
    unverified = _columns(row.get("unverified_fields", ""))

    def kind(column: str) -> str:
        return "estimate" if column in estimated else "unverified" if column in unverified else "stated"

    def value(column: str, unit: str, factor: float, label: str, evidence: str = "") -> Sourced | None:
        return sourced(
            number(row.get(column, ""), place, column),
            kind=evidence or kind(column),
            unit=unit,
            factor=factor,
            source=row.get("source", ""),
            date=row.get("year", ""),
            label=f"{row['name']}: {label}",
        )

    peaks = {dtype: value(column, "FLOP/s", 1e12, f"dense {dtype} peak") for dtype, column in PEAKS.items()}
    measured = {
        dtype: value(column, "FLOP/s", 1e12, f"best measured {dtype} matrix product", "measured")
        for dtype, column in MEASURED.items()
    }
    price = sourced(
        None,
        low=number(row.get("price_usd_low", ""), place, "price_usd_low"),
        high=number(row.get("price_usd_high", ""), place, "price_usd_high"),
        kind=kind("price_usd_low"),
        unit="USD",
        source=row.get("source", ""),
        label=f"{row['name']}: price per accelerator",
        note=row.get("price_basis", ""),
    )
    known_peaks = {dtype: rate for dtype, rate in peaks.items() if rate is not None}
    if "bf16" in known_peaks and "fp16" not in known_peaks and row.get("vendor", "") in _fp16_vendors():
        bf16 = known_peaks["bf16"]
        known_peaks["fp16"] = replace(
            bf16,
            label=f"{row['name']}: dense fp16 peak",
            note=f"as bf16: {_fp16_vendors()[row['vendor']]}",
            grade=bf16.grade if bf16.grade is Grade.ESTIMATE else Grade.DERIVED,
        )
    chosen: dict[str, Any] = {
        name: value(column, unit, factor, spelled.replace("_", " "))
        for name, (column, unit, factor, spelled) in NUMBERS.items()
    }
    chosen |= {name: row.get(column, "") for name, column in TEXTS.items()}
    for name, column in COUNTS.items():
        count = number(row.get(column, ""), place, column)
        chosen[name] = None if count is None else int(count)
    return Accelerator(
        name=row["name"],
        flop_per_s=known_peaks,
        measured_flop_per_s={k: v for k, v in measured.items() if v is not None},
        price_usd=price,
        **chosen,
    )


def _columns(text: str) -> set[str]:
    names = {name.strip() for name in text.split(";") if name.strip()}
    return names.union(*(_SHORT_NAMES.get(name, ()) for name in names)) if names else names


SPEC_FIELDS: Mapping[str, tuple[str, str]] = (
    {spelled: (name, unit) for name, (_, unit, _, spelled) in NUMBERS.items() if spelled != "die_area"}
    | {dtype: (f"flop_per_s.{dtype}", "FLOP/s") for dtype in PEAKS}
    | {"price": ("price_usd", "USD")}
)
# Least and most of a given quantity: beyond them no device is conceivable, and the arithmetic would leave what a float holds.
BOUNDS: Mapping[str, tuple[float, float]] = {
    "FLOP/s": (1e6, 1e24),
    "B/s": (1e3, 1e18),
    "B": (1e3, 1e18),
    "W": (1e-3, 1e9),
    "USD": (1e-3, 1e12),
}
MOST_CHIPS = 100_000_000
SPEC_COUNTS = ("scale_up_domain", "server_chips")
SPEC_TEXTS = ("base", "name", "vendor", "server_name", "notes")


def accelerator_from_spec(
    spec: Mapping[str, Any], place: str, path: str, base: Accelerator | None = None
) -> Accelerator:
    """Return an accelerator from an inline specification: quantities as text, over `base` where it has one.

    Raises InputError naming `place` and the field for an unknown field or a wrong quantity; all of them at once.
    """
    allowed = [*SPEC_TEXTS, *SPEC_COUNTS, *SPEC_FIELDS]
    problems: list[Problem] = []
    result = base or Accelerator(name=str(spec.get("name", "custom accelerator")))
    for key, text in spec.items():
        here = {"location": place, "path": f"{path}.{key}"}
        if key not in allowed:
            problems.append(
                Problem(message="unknown field", allowed=", ".join(allowed), nearest=nearest_name(key, allowed), **here)
            )
        elif key in SPEC_FIELDS:
            name, unit = SPEC_FIELDS[key]
            try:
                value = parse_quantity(text, unit)
            except QuantityError as error:
                problems.append(Problem(message=error.message, found=error.found, allowed=error.allowed, **here))
                continue
            least, most = BOUNDS.get(unit, (0.0, math.inf))
            if value <= 0 or not least <= value <= most:
                ends = "above zero" if value <= 0 else " to ".join(format_quantity(end, unit) for end in (least, most))
                problems.append(Problem(message="impossible value", found=repr(text), allowed=ends, **here))
                continue
            label = f"{spec.get('name', result.name)}: {key.replace('_', ' ')}"
            result = result.with_number(
                name, Sourced.exact(value, unit=unit, grade=Grade.GIVEN, source=place, label=label)
            )
            if name.startswith("flop_per_s."):  # a measured rate belongs to the peak that it was measured on
                kept = {
                    dtype: rate for dtype, rate in result.measured_flop_per_s.items() if f"flop_per_s.{dtype}" != name
                }
                result = replace(result, measured_flop_per_s=kept)
        elif key in SPEC_COUNTS:
            if not isinstance(text, int) or isinstance(text, bool) or not 1 <= text <= MOST_CHIPS:
                allowed_count = f"a whole number from 1 to {MOST_CHIPS:,}"
                problems.append(Problem(message="impossible value", found=repr(text), allowed=allowed_count, **here))
                continue
            counted: dict[str, Any] = {key: text}
            result = replace(result, **counted)
        elif key != "base":
            changes: dict[str, Any] = {key: str(text)}
            result = replace(result, **changes)
    if problems:
        raise InputError(problems)
    return result
