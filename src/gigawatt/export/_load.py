"""The load of a site as a file for other tools, written block by block, so that its length does not matter.

    load         start_s, mean, least and largest W of every sample; CSV (with its origin in comments) or Parquet
    pypsa        snapshots and p_set in MW, as `loads-p_set.csv` of a PyPSA network folder
    pandapower   p_mw by time step, for a DFData source of a controller

Times are seconds from the start of the record; PyPSA gets time stamps from 2030-01-01.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.files import replacing

Array = NDArray[np.float64]
LOAD_KINDS = ("load", "pypsa", "pandapower")
SUFFIXES = (".csv", ".parquet")
# PyPSA wants dates; a year that is none of the weather's says that they are only labels.
FIRST = datetime(2030, 1, 1, tzinfo=UTC)
MW = 1e6


class Samples(Protocol):
    """A block of samples: what this file needs to know of it."""

    @property
    def times_s(self) -> Array:
        """Start of every sample."""
        ...

    @property
    def power_w(self) -> Array:
        """Mean of every sample."""
        ...

    @property
    def minimum_w(self) -> Array:
        """Least power inside every sample."""
        ...

    @property
    def maximum_w(self) -> Array:
        """Largest power inside every sample."""
        ...


def check_load_target(path: Path, kind: str) -> None:
    """Raise InputError for a kind or a suffix that is not written, and for Parquet where pyarrow is missing."""
    if kind not in LOAD_KINDS:
        raise InputError(
            Problem(
                message="unknown kind of load file",
                location="--export-as",
                found=repr(kind),
                allowed=", ".join(LOAD_KINDS),
                nearest=nearest_name(kind, LOAD_KINDS) or "",
            )
        )
    allowed = SUFFIXES if kind == "load" else SUFFIXES[:1]
    if path.suffix not in allowed:
        raise InputError(
            Problem(
                message="a file of this kind has another suffix",
                location="--export",
                found=repr(path.suffix or path.name),
                allowed=" or ".join(allowed),
            )
        )
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise InputError(
            Problem(
                message="pyarrow is needed; `.venv/bin/python -m pip install -e '.[parquet]'` installs it in a checkout",
                location="--export",
            )
        )


def write_load(
    blocks: Iterable[Samples], path: Path, *, kind: str = "load", about: Mapping[str, Any], step_s: float
) -> None:
    """Write a stream of blocks to `path`. `about` is the report that they belong to. Raises as `check_load_target`, and
    OutputError where the file cannot be written.
    """
    check_load_target(path, kind)
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            _write_parquet(blocks, temporary, about, step_s)
            return
        with temporary.open("w", encoding="utf-8") as stream:
            stream.writelines(_lines(blocks, kind, about, step_s))


def origin(about: Mapping[str, Any], step_s: float) -> dict[str, str]:
    """Return where a load comes from, as text by key."""
    return {
        "made by": f"gigawatt {about['version']}",
        "scenario": str(about["scenario"]),
        "job": f"{about['model']} on {about['used']} {about['accelerator']}",
        "sample": f"{step_s:g} s, means over each sample; positive power is consumption at the grid connection",
        "seed": str(about["seed"]),
        "units": "start_s in s; power_w, minimum_w and maximum_w in W",
    }


def _lines(blocks: Iterable[Samples], kind: str, about: Mapping[str, Any], step_s: float) -> Iterator[str]:
    if kind == "load":
        for key, text in origin(about, step_s).items():
            yield f"# {key}: {text}\n"
        yield "start_s,power_w,minimum_w,maximum_w\n"
        for block in blocks:
            columns = (block.times_s, block.power_w, block.minimum_w, block.maximum_w)
            for t, mean, low, high in zip(*(column.tolist() for column in columns), strict=True):
                yield f"{t:.6f},{mean:.1f},{low:.1f},{high:.1f}\n"
        return
    yield "snapshot,data_centre\n" if kind == "pypsa" else "time_step,p_mw\n"
    for block in blocks:
        for t, mean in zip(block.times_s.tolist(), block.power_w.tolist(), strict=True):
            if kind == "pypsa":
                stamp = (FIRST + timedelta(seconds=t)).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
                yield f"{stamp},{mean / MW:.6f}\n"
            else:
                yield f"{round(t / step_s)},{mean / MW:.6f}\n"


def _write_parquet(blocks: Iterable[Samples], path: Path, about: Mapping[str, Any], step_s: float) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [pa.field(name, pa.float64()) for name in ("start_s", "power_w", "minimum_w", "maximum_w")]
    schema = pa.schema(fields, metadata=origin(about, step_s))
    with pq.ParquetWriter(path, schema) as writer:
        for block in blocks:
            columns = [block.times_s, block.power_w, block.minimum_w, block.maximum_w]
            writer.write_table(pa.table([pa.array(column) for column in columns], schema=schema))
