"""Writing results: to a temporary file beside the target, then renamed, so that nothing half-written is ever left."""

from __future__ import annotations

import csv
import io
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gigawatt.errors import OutputError


def write_atomically(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path`. Raises OutputError with the reason where it cannot be written; an existing file
    is kept then.

    A symbolic link stays one: what it points to is written. A pipe or a device is written through, never replaced.
    """
    if is_special(path):
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from None
        return
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a temporary file beside `path`, which takes its place when all went well and is gone otherwise.

    Raises OutputError with the reason where it cannot be written.
    """
    temporary = ""
    try:
        target = Path(os.path.realpath(path))
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
        os.close(handle)
        yield Path(temporary)
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(target)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Raise OutputError where a file at `path` could not be written, before the work whose result it is to hold."""
    if is_special(path):
        return
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise OutputError(f"cannot write {path}: a folder of that name stands there")
    if not target.parent.is_dir():
        raise OutputError(f"cannot write {path}: the folder {target.parent} does not exist")
    if not os.access(target.parent, os.W_OK):
        raise OutputError(f"cannot write {path}: no permission to write into {target.parent}")


def make_folder(path: Path) -> None:
    """Create the folder `path`, and those above it, unless it is there. Raises OutputError where it cannot be made or
    not be written into.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path}: {error.strerror or error}") from None
    if not os.access(path, os.W_OK):
        raise OutputError(f"cannot write into {path}: no permission")


def is_special(path: Path) -> bool:
    """Return whether something other than a file or a folder stands at the end of `path`: a pipe, a device."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def rows_to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of equal keys as CSV text with a header; "" for no rows."""
    if not rows:
        return ""
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()
