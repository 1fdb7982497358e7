"""What fails, how often, what it takes down and how long its repair lasts: data/failures.csv by chip generation.

A rate is per second and *unit* (accelerator, node, rail switch, rack, feed or job). The *domain* is what is lost with
it: the node, all nodes of its rack, rail or feed, or the whole job. Hardware leaves the job for its repair; software
only interrupts. The hazard of a unit of age a is rate * (a / reference age)**(shape - 1), with ages below the burn-in
counted as the burn-in: the published rate is that of a fleet of the reference age, and a shape below 1 is infant
mortality (Weibull). A repaired node keeps its age, since one of its many parts is new; one that is replaced is new. `repeat_share` of the interruptions come from the few nodes that are repeat offenders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

from gigawatt.errors import nearest_name
from gigawatt.evidence import Grade, Sourced
from gigawatt.reliability._tables import rows, sourced

COMPONENTS = (
    "accelerator",
    "hbm",
    "nic",
    "cable_optic",
    "switch",
    "host",
    "power_feed",
    "cooling_loop",
    "software",
    "storage",
    "silent_corruption",
)
UNITS = ("accelerator", "node", "rail_switch", "rack", "feed", "job")
DOMAINS = ("node", "rack", "rail", "feed", "job")
# Chips of a generation share its rates.
GENERATIONS = {
    "A100": "A100",
    "A800": "A100",
    "H100": "H100",
    "H200": "H100",
    "H800": "H100",
    "GH200": "H100",
    "B200": "B200",
    "B300": "B200",
    "GB200": "B200",
    "GB300": "B200",
    "TPU": "TPU",
    "generic": "generic",
}
DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureProcess:
    """One kind of interruption of a fleet.

    Raises ValueError for an unknown component, unit or domain, a negative or infinite rate or repair, a shape outside
    (0, 5], a share outside [0, 1], and for hardware that takes the whole job down or takes no time to repair.
    """

    component: str
    rate: Sourced  # 1/s and unit
    unit: str = "node"
    domain: str = "node"
    hardware: bool = True
    repair: Sourced  # s until the nodes are back
    repeat_share: float = 0.0
    weibull_shape: float = 1.0
    reference_age_s: float = 180 * DAY
    burn_in_s: float = 7 * DAY
    generation: str = "generic"

    def __post_init__(self) -> None:
        what = f"failure process {self.component!r}"
        for name, allowed in (("component", COMPONENTS), ("unit", UNITS), ("domain", DOMAINS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} of {what} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}")
        if self.rate.low < 0:
            raise ValueError(f"the rate of {what} must not be negative, not {self.rate.low:g} per second")
        if self.repair.low < 0:
            raise ValueError(f"the repair time of {what} must not be negative, not {self.repair.low:g} s")
        if not 0 < self.weibull_shape <= 5:
            raise ValueError(f"the Weibull shape of {what} must be above 0 and at most 5, not {self.weibull_shape:g}")
        if not 0 <= self.repeat_share <= 1:
            raise ValueError(f"the share of repeat offenders of {what} must be from 0 to 1, not {self.repeat_share:g}")
        if not (self.burn_in_s > 0 and 0 < self.reference_age_s < math.inf):
            raise ValueError(f"burn-in and reference age of {what} must be above 0 s")
        if self.hardware and self.domain == "job":
            raise ValueError(f"{what} takes the whole job down, so it cannot be hardware that spares replace")
        if self.unit == "job" and (self.weibull_shape != 1 or self.repeat_share):
            raise ValueError(f"{what} is counted per job, so it has neither a Weibull shape nor repeat offenders")

    @classmethod
    def given(cls, component: str, rate_per_s: float, *, repair_s: float = DAY, **fields: object) -> FailureProcess:
        """Return a process from plain numbers that the caller chooses."""
        if not (math.isfinite(rate_per_s) and math.isfinite(repair_s)):
            raise ValueError(f"rate and repair time of failure process {component!r} must be finite")
        rate = Sourced.exact(rate_per_s, unit="1/s", grade=Grade.GIVEN, source="given")
        repair = Sourced.exact(repair_s, unit="s", grade=Grade.GIVEN, source="given")
        return cls(component=component, rate=rate, repair=repair, **fields)  # type: ignore[arg-type]

    @property
    def rate_per_s(self) -> float:
        """Best rate per second and unit."""
        return self.rate.best

    @property
    def repair_s(self) -> float:
        """Best mean time until the nodes are back, seconds; 0 for what needs no repair."""
        return self.repair.best if self.hardware else 0.0

    def mean_hazard(self, first_age_s: float, last_age_s: float) -> float:
        """Return the mean hazard of a unit between two ages over that at the reference age, the published one."""
        if self.weibull_shape == 1.0 or last_age_s <= first_age_s:
            return 1.0
        shape, burnt, reference = self.weibull_shape, self.burn_in_s, self.reference_age_s
        young, old = max(first_age_s, burnt), max(last_age_s, burnt)
        flat = (min(last_age_s, young) - first_age_s) * (burnt / reference) ** (shape - 1.0)
        grown = reference * ((old / reference) ** shape - (young / reference) ** shape) / shape
        return float((flat + grown) / (last_age_s - first_age_s))

    def at(self, rate_per_s: float) -> FailureProcess:
        """Return the same process pinned to a rate."""
        return replace(self, rate=self.rate.at(rate_per_s))


@cache
def fleet_processes(generation: str = "generic") -> tuple[FailureProcess, ...]:
    """Return the failure processes of a chip generation (H100, GB200, TPU, …) with range, grade and source.

    Raises ValueError for a generation that is not in GENERATIONS.
    """
    if generation not in GENERATIONS:
        near = nearest_name(generation, tuple(GENERATIONS))
        hint = f"; did you mean {near!r}?" if near else ""
        raise ValueError(
            f"no failure rates for generation {generation!r}; known are {', '.join(sorted(GENERATIONS))}{hint}"
        )
    return tuple(
        FailureProcess(
            component=row["component"],
            rate=sourced(row, "rate_", "", unit="1/s", factor=1 / DAY, label=f"{row['component']} per {row['unit']}"),
            unit=row["unit"],
            domain=row["domain"],
            hardware=row["hardware"] == "hardware",
            # what the table says of repair is an estimate whatever is known of the rate
            repair=sourced(
                {**row, "kind": "estimate", "notes": ""},
                "repair_",
                "_h",
                unit="s",
                factor=3600.0,
                label=f"repair of {row['component']}",
            ),
            repeat_share=float(row["repeat_share"]),
            weibull_shape=float(row["weibull_shape"]),
            reference_age_s=DAY * float(row["reference_age_d"]),
            burn_in_s=DAY * float(row["burn_in_d"]),
            generation=row["generation"],
        )
        for row in rows("failures.csv")
        if row["generation"] == GENERATIONS[generation]
    )
