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
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from gigawatt.evidence import Sourced
from gigawatt.reliability._start import start_up_s
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
    since the last save; `tier` is where saves go ("peer", "local" or "remote").

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

    def __post_init__(self) -> None:
        if self.name not in RECOVERY_POLICIES:
            raise ValueError(
                f"unknown recovery policy {self.name!r}; choose one of {', '.join(RECOVERY_POLICIES)}",
            )
        if self.tier not in ("peer", "local", "remote"):
            raise ValueError(f"the tier of a recovery policy is peer, local or remote, not {self.tier!r}")
        for state in STATES:
            value = getattr(self, f"{state}_s")
            if not 0 <= value < math.inf:
                raise ValueError(f"{state} of recovery policy {self.name!r} must be finite and not negative: {value!r}")

    @property
    def partial(self) -> bool:
        """Whether the rest of the job goes on without what failed."""
        return self.name in ("drop_replica", "elastic")

    @property
    def total_s(self) -> float:
        """All states together, seconds."""
        return math.fsum(getattr(self, f"{state}_s") for state in STATES)


@cache
def policy_times(name: str) -> Mapping[str, Sourced]:
    """Return the sourced times of a policy by state, with `growth` (warm_up grows with this power of the size over 512
    accelerators) and `replay_steps`. Policies without a warm_up of their own start the job anew (`start_up_s`).

    Raises ValueError for an unknown name.
    """
    found = {
        row["key"]: sourced(row, "", "", unit=row["unit"], factor=1.0, label=f"{name} {row['key']}")
        for row in rows("policies.csv")
        if row["policy"] == name
    }
    if not found:
        raise ValueError(f"unknown recovery policy {name!r}; choose one of {', '.join(RECOVERY_POLICIES)}")
    return found


def recovery_policy(
    name: str, accelerators: int = REFERENCE_ACCELERATORS, *, step_s: float = 0.0, **times: float
) -> RecoveryPolicy:
    """Return a policy with the packaged times for a job (an island, for "islands") of `accelerators` whose step takes
    `step_s`. `times` (detect_s, …, replay_s) override them.
    """
    table = policy_times(name)
    best = {f"{state}_s": table[state].best for state in STATES if state in table}
    if "warm_up" in table:
        best["warm_up_s"] *= max(accelerators / REFERENCE_ACCELERATORS, 1.0) ** table["growth"].best
    else:
        best["warm_up_s"] = float(start_up_s(accelerators))
    best["replay_s"] = table["replay_steps"].best * step_s
    return replace(RecoveryPolicy(name=name, tier=TIER[name], **best), **times)  # type: ignore[arg-type]
