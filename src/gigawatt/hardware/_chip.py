"""What an accelerator can do: a roofline with measured kernel efficiencies (docs/science.md 2).

    t = launch + max(FLOP / (compute * shape * peak), bytes / (memory * bandwidth))
    shape = extent / (extent + half) * tiles ** wave

`compute`, `memory`, `half` and `wave` belong to a chip, a kernel family and a number format; they are fitted to
measured operator times where there are any (`gigawatt calibrate fit`) and transferred from measured chips otherwise
(`calibrated` says which). The extent is the depth of a matrix product, the keys that a query sees in attention and
the rows of one expert in grouped products; `tiles` is the share of processors that work over all waves of tiles.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from gigawatt.catalog import Accelerator, load_catalog
from gigawatt.errors import InputError, Problem
from gigawatt.evidence import Grade, Sourced

Array = NDArray[np.float64]
# The extent of a shape at which kernels of several chips are compared.
LARGE = 4096.0
# A best-case matrix product is above what a mix of shapes reaches: 0.73-0.96 of it on the chips where both are known.
BEST_CASE_TO_TYPICAL = 0.9
# Share of peak of 8-bit over that of 16-bit products on the chips where both are known (H100 0.87, B200 0.91).
NARROW_TO_WIDE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelEfficiency:
    """Shares of the dense peak and of the memory bandwidth that a kernel family reaches, its fixed time per launch
    (s), the extent at which it reaches half of its peak, and the weight of wave quantisation (0: none).
    """

    compute: float
    memory: float
    launch_s: float
    half: float
    wave: float
    calibrated: bool
    median_error: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """An accelerator as plain SI floats: dense peaks by dtype, memory, and the efficiency of each kernel family.

    `inputs` are the sourced numbers that it was made from, by path below the accelerator.
    """

    name: str
    flop_per_s: Mapping[str, float]
    memory_bytes: float
    memory_bytes_per_s: float
    processors: int
    kernels: Mapping[tuple[str, str], KernelEfficiency]
    calibrated: bool
    inputs: Mapping[str, Sourced]

    def peak(self, dtype: str) -> float:
        """Return the dense peak of a number format, FLOP/s. Raises InputError listing what the chip has."""
        if dtype not in self.flop_per_s:
            raise InputError(
                Problem(
                    message=f"{self.name} has no {dtype} arithmetic",
                    path="training.precision",
                    found=dtype,
                    allowed=", ".join(self.flop_per_s),
                )
            )
        return self.flop_per_s[dtype]

    def kernel(self, family: str, dtype: str) -> KernelEfficiency:
        """Return the efficiency of a kernel family in a number format."""
        return self.kernels.get((family, dtype)) or self.kernels[family, "*"]

    def at_clock(self, share: float) -> Chip:
        """Return the same chip with its clock at a share of the full one: what it computes takes longer, memory does not."""
        kernels = {key: replace(k, compute=k.compute * share) for key, k in self.kernels.items()}
        return replace(self, kernels=kernels)

    def slower_by(self, factor: float) -> Chip:
        """Return the same chip with every kernel `factor` times as slow (for what-if and error propagation)."""
        kernels = {
            key: replace(k, compute=k.compute / factor, memory=k.memory / factor, launch_s=k.launch_s * factor)
            for key, k in self.kernels.items()
        }
        return replace(self, kernels=kernels)


@lru_cache(maxsize=1)
def _rows() -> tuple[dict[str, str], ...]:
    text = files("gigawatt.hardware").joinpath("data", "kernel_efficiency.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(io.StringIO(text)))


@lru_cache(maxsize=1)
def _processors() -> Mapping[str, int]:
    """Return streaming multiprocessors (compute units) by accelerator, from data/processors.csv."""
    text = files("gigawatt.hardware").joinpath("data", "processors.csv").read_text(encoding="utf-8")
    return {row["chip"]: int(row["processors"]) for row in csv.DictReader(io.StringIO(text))}


def _efficiency(row: Mapping[str, str], fallback: KernelEfficiency | None = None) -> KernelEfficiency:
    launch = row["launch_s"]
    return KernelEfficiency(
        compute=float(row["compute"]),
        memory=float(row["memory"]),
        launch_s=float(launch) if launch else (fallback.launch_s if fallback else 0.0),
        half=float(row["half"] or 0.0),
        wave=float(row["wave"] or 0.0),
        calibrated=row["chip"] != "*",
        median_error=float(row["median_error"]),
        source=row["source"],
    )


def chip_of(accelerator: Accelerator) -> Chip:
    """Return the roofline of an accelerator, kernel efficiencies from the packaged table.

    Raises InputError naming what the catalogue lacks (peaks, memory size, memory bandwidth).
    """
    needed = {
        "a dense bf16 or fp16 peak": accelerator.flop_per_s.get("bf16") or accelerator.flop_per_s.get("fp16"),
        "memory": accelerator.memory_bytes,
        "memory_bandwidth": accelerator.memory_bytes_per_s,
    }
    absent = [name for name, value in needed.items() if value is None]
    if absent:
        raise InputError(
            Problem(
                message=f"the catalogue does not know {' and '.join(absent)} of {accelerator.name!r}",
                path="fleet.accelerators",
                allowed="give the missing fields inline: {base: name, memory: 80 GB, memory_bandwidth: 3.35 TB/s, bf16: 989 TFLOP/s}",
            )
        )
    assert accelerator.memory_bytes is not None
    assert accelerator.memory_bytes_per_s is not None
    kernels = _kernels(accelerator)
    return Chip(
        name=accelerator.name,
        flop_per_s={dtype: rate.best for dtype, rate in accelerator.flop_per_s.items()},
        memory_bytes=accelerator.memory_bytes.best,
        memory_bytes_per_s=accelerator.memory_bytes_per_s.best,
        processors=_processors().get(accelerator.name, 0),
        kernels=kernels,
        calibrated=any(k.calibrated for (family, _), k in kernels.items() if family == "matmul"),
        inputs=accelerator.numbers() | _kernel_facts(accelerator.name, kernels),
    )


def slowest_chip(chips: Sequence[Chip]) -> Chip:
    """Return the chip that a synchronous job of mixed chips sees: the smallest of every number, the slowest of every
    kernel.

    Formats that one of them lacks are left out. Raises ValueError for no chips.
    """
    if not chips:
        raise ValueError("the slowest of no chips")
    if len(chips) == 1:
        return chips[0]
    dtypes = [dtype for dtype in chips[0].flop_per_s if all(dtype in chip.flop_per_s for chip in chips)]
    keys = [key for key in chips[0].kernels if all(key in chip.kernels for chip in chips)]
    kernels = {key: min((chip.kernels[key] for chip in chips), key=_typical_rate) for key in keys}
    shared = [path for path in chips[0].inputs if all(path in chip.inputs for chip in chips)]
    return Chip(
        name="slowest of " + " and ".join(chip.name for chip in chips),
        flop_per_s={dtype: min(chip.flop_per_s[dtype] for chip in chips) for dtype in dtypes},
        memory_bytes=min(chip.memory_bytes for chip in chips),
        memory_bytes_per_s=min(chip.memory_bytes_per_s for chip in chips),
        processors=min(chip.processors for chip in chips),
        kernels=kernels,
        calibrated=all(chip.calibrated for chip in chips),
        inputs={path: min((chip.inputs[path] for chip in chips), key=lambda number: number.best) for path in shared},
    )


def _typical_rate(kernel: KernelEfficiency) -> tuple[float, float]:
    """Return what orders kernels by speed: the share of peak at a large shape, then the share of bandwidth."""
    return kernel.compute * LARGE / (LARGE + kernel.half) * 0.9**kernel.wave, kernel.memory


def _kernels(accelerator: Accelerator) -> dict[tuple[str, str], KernelEfficiency]:
    generic = {row["family"]: _efficiency(row) for row in _rows() if row["chip"] == "*"}
    own = {(row["family"], row["dtype"]): _efficiency(row) for row in _rows() if row["chip"] == accelerator.name}
    kernels: dict[tuple[str, str], KernelEfficiency] = {
        ("matmul", "*"): generic["matmul"],
        ("attention", "*"): generic["attention"],
        ("vector", "*"): generic["vector"],
    }
    for dtype, (share, source) in _ceilings(accelerator).items():
        kernels["matmul", dtype] = replace(
            generic["matmul"],
            compute=min(generic["matmul"].compute, BEST_CASE_TO_TYPICAL * share),
            source=f"{source}; {generic['matmul'].source}",
        )
    kernels |= own
    share = generic["grouped_matmul"].compute
    for (family, dtype), kernel in list(kernels.items()):
        if family == "matmul":
            kernels["grouped_matmul", dtype] = replace(
                kernel,
                compute=kernel.compute * share,
                half=generic["grouped_matmul"].half,
                median_error=generic["grouped_matmul"].median_error,
            )
    return kernels


def _ceilings(accelerator: Accelerator) -> dict[str, tuple[float, str]]:
    """Return the share of peak of the best matrix product that somebody measured, with its source, by dtype.

    A format that nobody measured takes the share of the chip's 16-bit products, less what narrow products lose on
    measured chips; a chip that nobody measured takes the mean of its vendor's chips (none where there is none).
    """
    peaks = accelerator.flop_per_s
    shares = {
        dtype: (best.best / peaks[dtype].best, best.source)
        for dtype, best in accelerator.measured_flop_per_s.items()
        if dtype in peaks
    }
    base = shares.get("bf16") or shares.get("fp16") or _vendor_ceiling(accelerator.vendor)
    if base is not None:
        for dtype in set(peaks) - set(shares):
            narrow = NARROW_TO_WIDE if dtype in ("fp8", "fp4", "int8") else 1.0
            shares[dtype] = base[0] * narrow, base[1]
    return shares


@lru_cache(maxsize=16)
def _vendor_ceiling(vendor: str) -> tuple[float, str] | None:
    """Return the mean best-case share of 16-bit products over the vendor's measured chips, None without any."""
    chips = [c for c in load_catalog().accelerators.values() if vendor and c.vendor == vendor]
    shares = [
        c.measured_flop_per_s["bf16"].best / c.flop_per_s["bf16"].best
        for c in chips
        if {"bf16"} <= c.measured_flop_per_s.keys() & c.flop_per_s.keys()
    ]
    return (sum(shares) / len(shares), f"mean of {len(shares)} measured chips of {vendor}") if shares else None


def _kernel_facts(name: str, kernels: Mapping[tuple[str, str], KernelEfficiency]) -> dict[str, Sourced]:
    """Return the efficiencies as sourced numbers, "kernel.matmul.bf16" and so on; the range is the median error of
    the fit.
    """
    facts = {}
    for (family, dtype), kernel in kernels.items():
        best = kernel.memory if family == "vector" else kernel.compute
        facts[f"kernel.{family}.{dtype}"] = Sourced(
            best=best,
            low=best * (1 - kernel.median_error),
            high=min(1.0, best * (1 + kernel.median_error)),
            grade=Grade.MEASURED if kernel.calibrated else Grade.ESTIMATE,
            source=kernel.source,
            label=f"{name}: share of {'bandwidth' if family == 'vector' else 'peak'} in {family.replace('_', ' ')} ({dtype})",
        )
    return facts


def operation_seconds(
    chip: Chip,
    *,
    family: str,
    dtype: str,
    flop: Array,
    bytes_moved: Array,
    rows: Array | float = 0.0,
    columns: Array | float = 0.0,
    depth: Array | float = 0.0,
    count: Array | float = 1.0,
) -> Array:
    """Return the time of an operation, seconds, same shape as its arguments (C,).

    `family` is matmul, grouped_matmul, attention or vector; `flop` and `bytes_moved` are totals of the operation on
    one chip, the shape (`count` products of `rows` x `columns` over `depth`) is only used where it is given. Never
    below the roofline max(FLOP / peak, bytes / bandwidth). Williams, Waterman, Patterson, CACM 52(4), 2009. Raises
    InputError for a dtype that the chip lacks.
    """
    kernel = chip.kernel(family, dtype)
    moving = bytes_moved / (kernel.memory * chip.memory_bytes_per_s)
    if family == "vector":
        return np.asarray(kernel.launch_s + moving)
    share = kernel.compute * shape_efficiency(kernel, family, chip.processors, rows, columns, depth, count)
    return np.asarray(kernel.launch_s + np.maximum(flop / (share * chip.peak(dtype)), moving))


def shape_efficiency(
    kernel: KernelEfficiency,
    family: str,
    processors: int,
    rows: Array | float,
    columns: Array | float,
    depth: Array | float,
    count: Array | float,
) -> Array:
    """Return the share of its best rate that a kernel reaches at a shape, (C,): the ramp with the extent of the family
    and the waves of tiles (docs/science.md 2.2).
    """
    extent = np.asarray({"matmul": depth, "attention": columns, "grouped_matmul": rows}[family], dtype=np.float64)
    known = extent > 0
    share = np.where(known, extent / np.where(known, extent + kernel.half, 1.0), 1.0)
    if kernel.wave and processors and family != "attention":
        share = share * np.where(known, tile_efficiency(rows, columns, count, processors) ** kernel.wave, 1.0)
    return np.asarray(share)


# Tiles that libraries choose from, with the rate of a tile over that of the largest.
TILES = ((128, 256, 1.0), (128, 128, 0.93), (64, 128, 0.8))


def tile_efficiency(rows: Array | float, columns: Array | float, count: Array | float, processors: int) -> Array:
    """Return the best share of working processors over the tiles in TILES, padding included (docs/science.md 2.2)."""
    m, n = np.maximum(rows, 1.0), np.maximum(columns, 1.0)
    best = np.zeros(())
    for tile_rows, tile_columns, rate in TILES:
        tiles = np.ceil(m / tile_rows) * np.ceil(n / tile_columns)
        padded = m * n / (tiles * tile_rows * tile_columns)
        total = tiles * count
        best = np.maximum(best, rate * padded * total / (processors * np.ceil(total / processors)))
    return np.asarray(best)


def critical_batch(flop_per_s: float, memory_bytes_per_s: float, weight_bytes: float) -> float:
    """Return the tokens from which a weight product is bound by computing, F*e/(2*BW) (docs/science.md 2.3).

    TPU v5e in bf16 (197e12 FLOP/s, 8.2e11 B/s): 240.
    """
    return flop_per_s * weight_bytes / (2.0 * memory_bytes_per_s)
