"""Kernel efficiencies fitted to measured operator times: `gigawatt calibrate fit`.

A measurement is one operator on one chip: family, number format, shape, seconds. Per chip, family and format five
constants of `KernelEfficiency` are fitted on four fifths of the shapes and reported on the fifth that was left out.
Time that an engine spends on quantising the activations in front of a narrow product is taken off first (a training
step counts it as an operation of its own).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gigawatt.errors import InputError, Problem
from gigawatt.hardware._chip import Chip, KernelEfficiency, operation_seconds

Array = NDArray[np.float64]
COLUMNS = ("chip", "family", "dtype", "rows", "columns", "depth", "count", "seconds")
FAMILIES = ("matmul", "attention", "grouped_matmul")
ELEMENT_BYTES: Mapping[str, float] = {"bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5625}
FEWEST = 40
HELD_OUT = 5
QUANTISE_BYTES = 3.0
STREAMING = 0.85
MEMORY_PRIOR = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFit:
    """The constants of one chip, family and format, the shapes they were fitted on, and errors on shapes left out."""

    chip: str
    family: str
    dtype: str
    kernel: KernelEfficiency
    shapes: int
    median_error: float
    p90_error: float
    median_bias: float

    def row(self) -> dict[str, object]:
        """Return the fit as a row of data/kernel_efficiency.csv."""
        kernel = self.kernel
        return {
            "chip": self.chip,
            "family": self.family,
            "dtype": self.dtype,
            "compute": round(kernel.compute, 3),
            "memory": round(kernel.memory, 3),
            "launch_s": f"{kernel.launch_s:.2e}",
            "half": round(kernel.half),
            "wave": round(kernel.wave, 2),
            "median_error": round(self.median_error, 3),
            "p90_error": round(self.p90_error, 3),
        }


def read_measurements(text: str, name: str) -> dict[tuple[str, str, str], dict[str, Array]]:
    """Return the columns of a measurement file by (chip, family, dtype).

    Raises InputError naming the line for a missing column, an unknown family or format and a value that is no positive
    number.
    """
    reader = csv.DictReader(io.StringIO(text))
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise InputError(
            Problem(
                message=f"columns are missing: {', '.join(missing)}", location=f"{name}:1", allowed=", ".join(COLUMNS)
            )
        )
    found: dict[tuple[str, str, str], list[list[float]]] = {}
    for row in reader:
        place = f"{name}:{reader.line_num}"
        for column, allowed in (("family", FAMILIES), ("dtype", tuple(ELEMENT_BYTES))):
            if row[column] not in allowed:
                raise InputError(
                    Problem(
                        message=f"unknown {column}",
                        location=place,
                        path=column,
                        found=repr(row[column]),
                        allowed=", ".join(allowed),
                    )
                )
        found.setdefault((row["chip"], row["family"], row["dtype"]), []).append(
            [_positive(row[column], place, column) for column in COLUMNS[3:]]
        )
    if not found:
        raise InputError(Problem(message="the file has no measurements", location=name))
    return {key: dict(zip(COLUMNS[3:], np.array(rows).T, strict=True)) for key, rows in found.items()}


def _positive(text: str | None, place: str, column: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise InputError(
            Problem(message="a positive number is needed", location=place, path=column, found=repr(text or ""))
        )
    return value


def fit_kernels(
    measurements: Mapping[tuple[str, str, str], Mapping[str, Array]], chips: Mapping[str, Chip]
) -> Iterable[KernelFit]:
    """Yield the fit of every chip, family and format with at least FEWEST shapes. Needs SciPy.

    Robust least squares (soft L1) on the logarithm of the time. Raises InputError for a chip that is not in `chips`.
    """
    for (name, family, dtype), table in measurements.items():
        if name not in chips:
            raise InputError(
                Problem(message="unknown accelerator", path="chip", found=repr(name), allowed=", ".join(chips))
            )
        if len(table["seconds"]) >= FEWEST:
            yield _fit(chips[name], family, dtype, table)


def _fit(chip: Chip, family: str, dtype: str, table: Mapping[str, Array]) -> KernelFit:
    from scipy.optimize import least_squares

    held = np.arange(len(table["seconds"])) % HELD_OUT == 0
    train = {key: column[~held] for key, column in table.items()}
    start = np.array([np.log(0.7), np.log(0.8), np.log(5e-6), np.log(300.0), 0.3])
    low = np.array([np.log(0.05), np.log(0.2), np.log(1e-7), 0.0, 0.0])
    high = np.array([0.0, 0.0, np.log(1e-3), np.log(5000.0), 2.0])
    if family == "attention":
        high[4] = 1e-9
        start[4] = 0.0

    def objective(p: Array) -> Array:
        # large shapes say little about the memory term, so it stays near the streaming share unless they do
        drawn = MEMORY_PRIOR * (p[1] - start[1])
        return np.append(_residual(_kernel(chip, p), chip, family, dtype, train), drawn)

    fitted = least_squares(
        objective,
        start,
        bounds=(low, high),
        loss="soft_l1",
        f_scale=0.1,
    )
    kernel = _kernel(chip, fitted.x)
    test = _residual(kernel, chip, family, dtype, {key: column[held] for key, column in table.items()})
    error = np.abs(np.expm1(test))
    return KernelFit(
        chip=chip.name,
        family=family,
        dtype=dtype,
        kernel=kernel,
        shapes=len(held),
        median_error=float(np.median(error)),
        p90_error=float(np.percentile(error, 90)),
        median_bias=float(np.median(np.expm1(test))),
    )


def _kernel(chip: Chip, parameters: Array) -> KernelEfficiency:
    compute, memory, launch, half = np.exp(parameters[:4])
    return replace(
        chip.kernel("matmul", "bf16"),
        compute=float(compute),
        memory=float(memory),
        launch_s=float(launch),
        half=float(half),
        wave=float(parameters[4]),
    )


def _residual(kernel: KernelEfficiency, chip: Chip, family: str, dtype: str, table: Mapping[str, Array]) -> Array:
    """Return log(predicted / measured) per shape."""
    rows, columns, depth, count = (table[name] for name in ("rows", "columns", "depth", "count"))
    element = ELEMENT_BYTES[dtype]
    if family == "attention":  # queries against keys, then weights against values
        flop = 4.0 * rows * columns * depth * count
        moved = 4.0 * rows * depth * count * element
    else:
        flop = 2.0 * rows * columns * depth * count
        moved = count * (element * (rows * depth + depth * columns) + 2.0 * rows * columns)
    predicted = operation_seconds(
        replace(chip, kernels={(family, dtype): kernel}),
        family=family,
        dtype=dtype,
        flop=flop,
        bytes_moved=moved,
        rows=rows,
        columns=columns,
        depth=depth,
        count=count,
    )
    quantise = QUANTISE_BYTES * count * rows * depth / (STREAMING * chip.memory_bytes_per_s) if element < 2 else 0.0
    return np.asarray(np.log((predicted + quantise) / table["seconds"]))
