"""One verb: write a strategy as a training framework reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.export._maxtext import maxtext_file, unsupported_maxtext
from gigawatt.export._megatron import bridge_file, megatron_file, unsupported_bridge, unsupported_megatron
from gigawatt.export._plan import ExportRequest, Plan, plan_of
from gigawatt.export._torchtitan import torchtitan_file, unsupported_torchtitan
from gigawatt.export._torchtitan_config import torchtitan_config_file, unsupported_torchtitan_config


class _Writer(NamedTuple):
    file: Callable[[Plan], str]
    unsupported: Callable[[Plan], tuple[str, ...]]


_WRITERS: Mapping[str, _Writer] = MappingProxyType(
    {
        "megatron-lm": _Writer(megatron_file, unsupported_megatron),
        "megatron-bridge": _Writer(bridge_file, unsupported_bridge),
        "torchtitan": _Writer(torchtitan_config_file, unsupported_torchtitan_config),
        "torchtitan-toml": _Writer(torchtitan_file, unsupported_torchtitan),
        "maxtext": _Writer(maxtext_file, unsupported_maxtext),
    }
)
FRAMEWORKS = tuple(_WRITERS)
# Those whose files `read_strategy` reads.
READABLE = ("megatron-lm", "torchtitan", "torchtitan-toml")


def export_strategy(framework: str, request: ExportRequest) -> str:
    """Return the full text of the framework's file; what it cannot say stands in it as comments.

    Raises InputError for an unknown framework and for every setting of the request that is unknown or does not fit.
    """
    return _writer(framework).file(plan_of(request))


def unsupported(framework: str, request: ExportRequest) -> tuple[str, ...]:
    """Return what the framework's file cannot say, each "name value: what becomes of it".

    Raises InputError as export_strategy does.
    """
    return _writer(framework).unsupported(plan_of(request))


def _writer(framework: str) -> _Writer:
    if framework not in _WRITERS:
        raise InputError(
            Problem(
                message="no such training framework",
                path="framework",
                found=repr(framework),
                allowed=", ".join(FRAMEWORKS),
                nearest=nearest_name(framework, FRAMEWORKS),
            )
        )
    return _WRITERS[framework]
