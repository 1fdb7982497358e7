"""What a plan is: the answer, why it is that answer, and what it rests on. Frozen, printable, convertible."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from gigawatt._version import __version__
from gigawatt.evidence import Breakdown, Output, Sourced
from gigawatt.quantity import format_quantity
from gigawatt.timeline import Timeline

SCHEMA_VERSION = "1"

HEADLINE = (
    "fleet.powered",
    "run.time",
    "training.step_time",
    "training.mfu",
    "training.tokens_per_s",
    "training.memory",
    "reliability.goodput",
    "reliability.mean_time_between_failures",
    "power.facility_peak",
    "run.energy",
    "run.ingest",
    "finance.capex",
    "finance.run_cost",
    "finance.cost_per_useful_accelerator_hour",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A limit and how much of it the plan uses, both in `unit` (SI). `sentence` says it to a person."""

    name: str
    limit: float
    used: float
    unit: str
    sentence: str
    binding: bool = False

    @property
    def slack_fraction(self) -> float:
        """Unused share of the limit; negative where the plan needs more than the limit allows."""
        return 1.0 - self.used / self.limit if self.limit else 0.0

    @property
    def violated(self) -> bool:
        """Whether the plan needs more than the limit allows (beyond rounding)."""
        return self.used > self.limit * (1 + 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self) | {"slack_fraction": self.slack_fraction}


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """The constraint that stops the plan from doing better, the smallest change that moves it, and what that is
    worth.
    """

    name: str
    sentence: str
    relief: str
    worth: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """A change, the strategy chosen anew under it, and what it is worth. Savings are positive, extra cost is
    positive.
    """

    name: str
    change: str
    time_saved_s: float
    run_cost_change_usd: float
    capital_change_usd: float
    run_s: float

    @property
    def sentence(self) -> str:
        """What the change is worth, in words."""
        time = f"the run {'shortens' if self.time_saved_s >= 0 else 'lengthens'} by {format_quantity(abs(self.time_saved_s), 's')}"
        share = abs(self.time_saved_s) / (self.run_s + self.time_saved_s)
        return f"{time} ({share:.1%}); its cost {_moves(self.run_cost_change_usd)}, capital {_moves(self.capital_change_usd)}"


def _moves(dollars: float) -> str:
    if abs(dollars) < 1.0:
        return "stays"
    return f"{'rises' if dollars > 0 else 'falls'} by {format_quantity(abs(dollars), 'USD')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """What one output does when one assumption moves to the ends of its range, everything else (and the strategy)
    held.
    """

    path: str
    label: str
    low_input: float
    high_input: float
    unit: str
    output: str
    low_output: float
    high_output: float
    output_unit: str
    grade: str

    @property
    def swing(self) -> float:
        """Distance between the two answers."""
        return abs(self.high_output - self.low_output)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetGroup:
    """Accelerators of one kind: asked for, and fed by the power and money there is."""

    accelerator: str
    vendor: str
    requested: int
    powered: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The accelerators of a plan. `used` take part in the run, `spares` stand by, `idle` are what no strategy can
    use.
    """

    groups: tuple[FleetGroup, ...]
    spares: int
    used: int

    @property
    def requested(self) -> int:
        """Accelerators that the scenario asks for (or that its budget buys)."""
        return sum(group.requested for group in self.groups)

    @property
    def powered(self) -> int:
        """Accelerators that run under the limits of power and money."""
        return sum(group.powered for group in self.groups)

    @property
    def idle(self) -> int:
        """Powered accelerators that are neither used nor spare."""
        return self.powered - self.used - self.spares

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "groups": [asdict(group) for group in self.groups],
            "requested": self.requested,
            "powered": self.powered,
            "used": self.used,
            "idle": self.idle,
            "spares": self.spares,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The coupled answer to one scenario.

    `outputs` and `assumptions` are the two flat tables that `explain` walks; `intervals` gives (low, high) per output.
    `feasible` is False where a limit that the scenario sets (deadline, budget) is exceeded: `binding` says which and by
    how much. Where no strategy fits at all there is no plan, and InfeasibleError is raised instead.
    """

    scenario: Mapping[str, Any]
    feasible: bool
    fleet: Fleet
    model: Mapping[str, Any]
    strategy: Mapping[str, Any]
    alternatives: tuple[Mapping[str, Any], ...]
    search: Mapping[str, Any]
    breakdowns: Mapping[str, Breakdown]
    timelines: Mapping[str, Timeline]
    outputs: Mapping[str, Output]
    assumptions: Mapping[str, Sourced]
    intervals: Mapping[str, tuple[float, float]]
    constraints: tuple[Constraint, ...]
    binding: Binding
    levers: tuple[Lever, ...]
    sensitivities: tuple[Sensitivity, ...]
    warnings: tuple[str, ...] = ()
    seed: int = 0
    version: str = field(default=__version__)

    @property
    def bottlenecks(self) -> tuple[Lever, ...]:
        """What stops the plan, by what relieving it saves: the largest saving of time first."""
        return tuple(sorted(self.levers, key=lambda lever: -lever.time_saved_s))

    def __getitem__(self, path: str) -> float:
        """Return the value of one output in SI units. Raises KeyError for a path that the plan does not have."""
        return self.outputs[path].value

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain data: what `--json` prints and docs/plan.schema.json describes."""
        return {
            "schema_version": SCHEMA_VERSION,
            "gigawatt_version": self.version,
            "scenario": dict(self.scenario),
            "seed": self.seed,
            "feasible": self.feasible,
            "headline": [self._headline(path) for path in HEADLINE if path in self.outputs],
            "fleet": self.fleet.to_dict(),
            "model": dict(self.model),
            "strategy": dict(self.strategy),
            "alternatives": [dict(row) for row in self.alternatives],
            "search": dict(self.search),
            "breakdowns": {name: tree.to_dict() for name, tree in self.breakdowns.items()},
            "timelines": {name: timeline.to_dict() for name, timeline in self.timelines.items()},
            "outputs": {
                path: output.to_dict() | dict(zip(("low", "high"), self.interval(path), strict=True))
                for path, output in self.outputs.items()
            },
            "assumptions": {path: sourced.to_dict() for path, sourced in self.assumptions.items()},
            "constraints": [constraint.to_dict() for constraint in self.constraints],
            "binding": asdict(self.binding),
            "levers": [{**asdict(lever), "sentence": lever.sentence} for lever in self.levers],
            "sensitivities": [asdict(row) for row in self.sensitivities],
            "warnings": list(self.warnings),
        }

    def to_frame(self) -> Any:
        """Return the outputs as a pandas DataFrame (path, label, value, low, high, unit). Needs pandas."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"path": path, "label": o.label, "value": o.value, "low": low, "high": high, "unit": o.unit}
                for path, o in self.outputs.items()
                for low, high in [self.interval(path)]
            ]
        )

    def interval(self, path: str) -> tuple[float, float]:
        """Return (low, high) of one output; the value itself twice where nothing uncertain moves it."""
        value = self.outputs[path].value
        return self.intervals.get(path, (value, value))

    def _headline(self, path: str) -> dict[str, Any]:
        output = self.outputs[path]
        low, high = self.interval(path)
        return {
            "path": path,
            "label": output.label,
            "value": output.value,
            "low": low,
            "high": high,
            "unit": output.unit,
        }
