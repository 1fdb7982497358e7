"""What happens after a failure: named state machines with the times of their states (data/policies.csv).

    detect -> drain -> (wait for a spare) -> remap -> reload -> warm_up -> replay -> work

What each policy means for progress:

    restart          the whole job stops and starts again from the last checkpoint
    neighbour_copy   the same, with the state from the memory of a neighbour
    hot_spare        one node is swapped, the other processes stay, the state comes from a neighbour
    drop_replica     the data-parallel replica of the failed node leaves after detect and drain; the others go on with
                     (d - 1) / d of the rate until it is back (remap, reload, warm_up, once it has its nodes)
    elastic          the job stops for all states and goes on with the nodes that are left; nodes that come back join
                     at the next stop, planned or not
    islands          K asynchronous islands (DiLoCo family): a failure stops its island alone, which loses 1/K

An interruption of the whole job (software, silent corruption) sends drop_replica and elastic back to the last checkpoint
through all states.

The first start of a job is `start_up_s` under every policy. So is what a policy whose processes stay (KEPT) needs once
software has taken the whole job down: there are no processes left to keep. neighbour_copy starts all processes again after
any failure, from kernels that were compiled before: its warm-up holds for software as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from gigawatt.evidence import Sourced
from gigawatt.reliability._start import start_up_of
from gigawatt.reliability._tables import rows, sourced

RECOVERY_POLICIES = ("restart", "neighbour_copy", "hot_spare", "drop_replica", "elastic", "islands")
POLICY_WORDS = {
    "restart": "whole-job restart",
    "neighbour_copy": "copies in a neighbour's memory",
    "hot_spare": "hot spares",
    "drop_replica": "going on without the failed replica",
    "elastic": "re-sharding over what is left",
    "islands": "asynchronous islands",
}
STATES = ("detect", "drain", "remap", "reload", "warm_up", "replay")
REFERENCE_ACCELERATORS = 512
# Policies under which the other processes stay when a node fails.
KEPT = ("hot_spare", "drop_replica", "elastic")
# Where the state comes from: the tier whose save blocks and whose reload counts.
TIER = {
    "restart": "remote",
    "neighbour_copy": "peer",
    "hot_spare": "peer",
    "drop_replica": "remote",
    "elastic": "remote",
    "islands": "remote",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryPolicy:
    """One recovery policy with the times of its states, seconds. `replay_s` is work done again besides what was lost
    since the last save; `tier` is where saves go ("peer" or "remote"); `start_up_s` is the start of the whole job anew,
    None where that is the warm-up.

    Raises ValueError for an unknown name or tier and for a time that is negative or infinite.
    """

    name: str
    detect_s: float = 0.0
    drain_s: float = 0.0
    remap_s: float = 0.0
    reload_s: float = 0.0
    warm_up_s: float = 0.0
    replay_s: float = 0.0
    tier: str = "remote"
    start_up_s: float | None = None

    def __post_init__(self) -> None:
        if self.name not in RECOVERY_POLICIES:
            raise ValueError(
                f"unknown recovery policy {self.name!r}; choose one of {', '.join(RECOVERY_POLICIES)}",
            )
        if self.tier not in ("peer", "remote"):
            raise ValueError(f"the tier of a recovery policy is peer or remote, not {self.tier!r}")
        for state in (*STATES, "start_up"):
            value = getattr(self, f"{state}_s") or 0.0
            if not 0 <= value < math.inf:
                raise ValueError(f"{state} of recovery policy {self.name!r} must be finite and not negative: {value!r}")

    @property
    def partial(self) -> bool:
        """Whether the rest of the job goes on without what failed."""
        return self.name in ("drop_replica", "elastic")

    @property
    def first_start_s(self) -> float:
        """Warm-up of the first start, seconds."""
        return self.warm_up_s if self.start_up_s is None else self.start_up_s

    @property
    def whole_start_s(self) -> float:
        """Warm-up after software has taken the whole job down, seconds."""
        return self.first_start_s if self.name in KEPT else self.warm_up_s

    @property
    def total_s(self) -> float:
        """All states together, seconds."""
        return math.fsum(getattr(self, f"{state}_s") for state in STATES)


@cache
def policy_times(name: str) -> Mapping[str, Sourced]:
    """Return the sourced times of a policy by state, with `growth` (warm_up grows with this power of the size over 512
    accelerators) and `replay_steps`. That of drop_replica is the start of a job of 512; policies without a warm_up of their own start the job anew (`start_up_s`).

    Raises ValueError for an unknown name.
    """
    found = {
        row["key"]: sourced(row, "", "", unit=row["unit"], factor=1.0, label=f"{name} {row['key']}")
        for row in rows("policies.csv")
        if row["policy"] == name
    }
    if name == "drop_replica":  # the replica alone starts anew
        found["warm_up"] = start_up_of(REFERENCE_ACCELERATORS)
    if not found:
        raise ValueError(f"unknown recovery policy {name!r}; choose one of {', '.join(RECOVERY_POLICIES)}")
    return found
