"""The best split of a fund over the stages of a chain: the least of them are raised together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gigawatt.buildout._adding_supply import packaged_project, project_kinds
from gigawatt.buildout._calendar import Calendar
from gigawatt.buildout._stages import chips_of_stage
from gigawatt.buildout._supply_tables import MONTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How a fund is best divided: USD and chips per month added by stage, chips per month before and after, the stages
    that bind afterwards, and USD that no stage could use.
    """

    usd: Mapping[str, float]
    chips: Mapping[str, float]
    before: float
    after: float
    binding: tuple[str, ...]
    unused_usd: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "usd": dict(self.usd),
            "chips": dict(self.chips),
            "before": self.before,
            "after": self.after,
            "binding": list(self.binding),
            "unused_usd": self.unused_usd,
        }


def best_split(fund_usd: float, stage_chips: Mapping[str, float], usd_per_chip: Mapping[str, float]) -> Split:
    """Return the division of a fund that gives the most chips per period, which are the least over `stage_chips`.

    `usd_per_chip` is the capital cost of one more chip per period at each stage; a stage without one cannot grow in
    time. The least stages are raised together, level by level, until the fund is spent or one of them cannot be raised.
    Raises ValueError for a negative fund, no stages or a cost that is not above zero.
    """
    if not (fund_usd >= 0.0 and np.isfinite(fund_usd)) or not stage_chips:
        raise ValueError("a fund is finite and at least zero, and there must be stages to spend it on")
    if any(cost <= 0.0 for cost in usd_per_chip.values()) or any(chips < 0.0 for chips in stage_chips.values()):
        raise ValueError("costs must be above zero and stages let through at least nothing")
    before = level = min(stage_chips.values())
    left = fund_usd
    ceiling = min((c for s, c in stage_chips.items() if s not in usd_per_chip), default=float("inf"))
    while left > 0.0 and level < ceiling:
        raised = [s for s, c in stage_chips.items() if c <= level]
        slope = sum(usd_per_chip[s] for s in raised)
        above = min([c for c in stage_chips.values() if c > level] + [ceiling])
        step = min(above - level, left / slope)
        if level + step <= level:
            break  # below the resolution of a float
        left = max(left - step * slope, 0.0) if step == above - level else 0.0
        level = above if step == above - level else level + step
    chips = {s: max(float(level - c), 0.0) for s, c in stage_chips.items() if s in usd_per_chip}
    usd = {s: added * usd_per_chip[s] for s, added in chips.items()}
    binding = tuple(s for s, c in stage_chips.items() if max(c, level) <= level)
    return Split(
        usd=usd, chips=chips, before=float(before), after=float(level), binding=binding, unused_usd=float(left)
    )


def stage_costs(chip: str, calendar: Calendar, ready_by: int, start_s: float = 0.0) -> dict[str, float]:
    """Return USD of net capital cost for one more chip per average month at each stage that can be built, ramped and
    ready by period `ready_by`: the costs that `best_split` takes.
    """
    found: dict[str, float] = {}
    per_unit = chips_of_stage(chip)
    for kind in project_kinds():
        project = packaged_project(kind, 1.0)
        stage = next((s for s in per_unit if s == project.stage or (kind == "fab" and s.startswith("logic."))), "")
        ready = start_s + project.build.best + project.ramp.best
        if stage and ready <= calendar.edges_s[min(ready_by, calendar.periods)]:
            found[stage] = project.net_usd[1] / (per_unit[stage].best * MONTH)
    return found
