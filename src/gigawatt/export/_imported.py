"""What a file says: a strategy, the model fields beside it, and what was not understood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A strategy as a framework's file states it.

    `strategy` has every decision, the framework's defaults where the file is silent; data_parallel is absent where
    neither the file nor a world size gives it, and shard_ranks where it depends on that. `model` holds the architecture
    that the file states, by column of the model catalogue. `unread` names options that
    were not understood. `model_name` is what a file that this program wrote calls its model, "" for others.
    """

    framework: str
    strategy: Mapping[str, int | str]
    model: Mapping[str, Any]
    global_batch: int | None
    sequence: int | None
    precision: str | None
    world_size: int | None
    unread: tuple[str, ...]
    model_name: str = ""
