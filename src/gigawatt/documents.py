"""YAML documents that remember where each value stands, so that a mistake can be shown as file:line:column.

A document is plain data (mappings, lists, text, numbers, booleans, None) and a table of places by dotted path
("fleet.accelerators.0.count"). Dates stay text. Anchors and aliases work, within a bound on the expanded size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gigawatt.errors import InputError, Problem

MAX_NODES = 100_000
_PLAIN_TAGS = {
    "tag:yaml.org,2002:int",
    "tag:yaml.org,2002:float",
    "tag:yaml.org,2002:bool",
    "tag:yaml.org,2002:null",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Plain data and where it came from. `places` maps dotted paths to "file:line:column" (or "--set ...")."""

    name: str
    folder: Path
    data: dict[str, Any]
    places: Mapping[str, str] = field(default_factory=dict)

    def place(self, path: str) -> str:
        """Return where `path` stands; the place of the nearest enclosing section where it is absent itself."""
        while path and path not in self.places:
            path = path.rpartition(".")[0]
        return self.places.get(path, self.name)


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file. Raises InputError where it is missing, a folder, unreadable or not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(Problem(message="there is no such file", location=str(path))) from None
    except IsADirectoryError:
        raise InputError(Problem(message="this is a folder, a file is needed", location=str(path))) from None
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(
            Problem(
                message="the file is not UTF-8 text",
                location=f"{path}:{line}",
                found=f"byte 0x{byte:02x}",
                allowed="UTF-8",
            )
        ) from None
    except OSError as error:
        raise InputError(Problem(message=f"cannot be read ({error.strerror})", location=str(path))) from None


def read_document(path: Path) -> Document:
    """Return the mapping in a YAML file, with places. Raises InputError with file:line:column for anything that is
    not one.
    """
    return parse_document(read_text(path), name=str(path), folder=path.parent)


def parse_document(text: str, *, name: str, folder: Path) -> Document:
    """Return the mapping in YAML `text`; `name` stands for the file in messages. Raises InputError as
    `read_document`.
    """
    import yaml

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        raise InputError(
            Problem(message=f"this is not valid YAML, or the file is cut short ({reason})", location=place)
        ) from None
    except yaml.YAMLError as error:
        raise InputError(Problem(message=f"this is not valid YAML ({error})", location=name)) from None
    except RecursionError:
        raise _too_deep(name) from None
    if node is None:
        raise InputError(
            Problem(message="the file is empty", location=name, allowed="a mapping such as 'name: my plan'")
        )
    if not isinstance(node, yaml.MappingNode):
        raise InputError(
            Problem(
                message="the top level must be a mapping", location=_mark(name, node), allowed="'name: value' lines"
            )
        )
    reader = _Reader(name)
    try:
        data = reader.value(node, "")
    except RecursionError:
        raise _too_deep(name) from None
    if reader.problems:
        raise InputError(reader.problems)
    return Document(name=name, folder=folder, data=data, places=reader.places)


def _too_deep(name: str) -> InputError:
    return InputError(
        Problem(message="nested too deeply for a document, or an anchor stands inside itself", location=name)
    )


def _mark(name: str, node: Any) -> str:
    return f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


class _Reader:
    """Turns nodes into plain data, keeping the place of every value and collecting what is wrong."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.places: dict[str, str] = {}
        self.problems: list[Problem] = []
        self.nodes = 0

    def value(self, node: Any, path: str) -> Any:
        import yaml

        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise InputError(
                Problem(
                    message=f"the document expands to more than {MAX_NODES:,} values", location=_mark(self.name, node)
                )
            )
        self.places.setdefault(path, _mark(self.name, node))
        if isinstance(node, yaml.MappingNode):
            return dict(self._items(node, path))
        if isinstance(node, yaml.SequenceNode):
            return [
                self.value(child, f"{path}.{index}" if path else str(index)) for index, child in enumerate(node.value)
            ]
        return self._scalar(node)

    def _items(self, node: Any, path: str) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        last, written = "", ""  # the field before, and its value where commas inside braces cut it
        for key, child in node.value:
            name = str(key.value)
            where = f"{path}.{name}" if path else name
            if node.flow_style and written and name.isdecimal() and child.value == "":
                if "," in written:
                    self.problems.pop()
                written = f"{written},{name}"
                self.problems.append(
                    Problem(
                        message="inside braces a comma ends a field",
                        location=_mark(self.name, key),
                        path=f"{path}.{last}" if path else last,
                        found=repr(written),
                        allowed=f"{last}: {written.replace(',', '')}",
                    )
                )
                continue
            if name in seen:
                self.problems.append(
                    Problem(message="this field stands here twice", location=_mark(self.name, key), path=where)
                )
            seen.add(name)
            last, written = name, child.value if isinstance(child.value, str) and child.value[-1:].isdecimal() else ""
            yield name, self.value(child, where)

    @staticmethod
    def _scalar(node: Any) -> Any:
        import yaml

        if node.tag in _PLAIN_TAGS:
            constructor = yaml.constructor.SafeConstructor()
            try:
                return constructor.construct_object(node)
            except ValueError:
                return node.value
        return node.value
