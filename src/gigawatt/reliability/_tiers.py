"""Checkpoints in tiers: what a save stops, how long its upload runs beside training, how long a reload takes.

A save copies the state from the devices to their hosts with training stopped; from there it goes on to a neighbour's
memory or to the remote store while training runs. The upload must end before the next save begins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache

from gigawatt.evidence import Sourced
from gigawatt.reliability._tables import by_key

TIERS = ("peer", "remote")


def state_bytes(parameters: float, bytes_per_parameter: float) -> float:
    """Return the bytes of a checkpoint: parameters times what the optimizer recipe keeps of each (405e9 x 14 = 5.7 TB)."""
    return parameters * bytes_per_parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointTiers:
    """Bandwidths of the tiers: device to host and peer memory per accelerator, the store in all.

    Raises ValueError for a bandwidth that is not above zero or a negative pause.
    """

    device_to_host_bytes_per_s: float
    peer_bytes_per_s: float
    remote_write_bytes_per_s: float
    remote_read_bytes_per_s: float
    stop_s: float = 0.0
    peer_stop_s: float = 0.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name.endswith("bytes_per_s") and not 0 < value < math.inf:
                raise ValueError(f"{item.name} of the checkpoint tiers must be above zero, not {value!r}")
            if not 0 <= value < math.inf:
                raise ValueError(f"{item.name} of the checkpoint tiers must not be negative, not {value!r}")

    def blocking_s(self, tier: str, size_bytes: float, accelerators: int) -> float:
        """Return how long training stands still at a save (docs/science.md 8.5): bytes of a rank over the copy rate,
        and the pause.
        """
        copy = size_bytes / accelerators / self.device_to_host_bytes_per_s
        return copy + (self.peer_stop_s if tier == "peer" else self.stop_s)

    def upload_s(self, tier: str, size_bytes: float, accelerators: int) -> float:
        """Return how long a save runs on beside training before it can be used."""
        return size_bytes / self._rate(tier, accelerators, self.remote_write_bytes_per_s)

    def reload_s(self, tier: str, size_bytes: float, accelerators: int) -> float:
        """Return how long it takes to read the state back (once; replicas pass it on) and copy it to the devices."""
        read = size_bytes / self._rate(tier, accelerators, self.remote_read_bytes_per_s)
        return read + size_bytes / accelerators / self.device_to_host_bytes_per_s

    def _rate(self, tier: str, accelerators: int, remote: float) -> float:
        if tier not in TIERS:
            raise ValueError(f"unknown checkpoint tier {tier!r}; choose one of {', '.join(TIERS)}")
        return {
            "peer": accelerators * self.peer_bytes_per_s,
            "remote": remote,
        }[tier]


@cache
def tier_values() -> Mapping[str, Sourced]:
    """Return the packaged bandwidths and pauses (data/tiers.csv)."""
    return by_key("tiers.csv")


def default_tiers() -> CheckpointTiers:
    """Return the packaged best values."""
    return CheckpointTiers(**{key: value.best for key, value in tier_values().items()})
