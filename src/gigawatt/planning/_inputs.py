"""From the question to the numbers: which accelerators, which model, and the table of every assumption by path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gigawatt.catalog import (
    Accelerator,
    Catalog,
    ModelEntry,
    load_catalog,
    model_from_config,
    model_from_spec,
)
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.evidence import Grade, Sourced
from gigawatt.hardware import Chip, Fabric, WideArea, chip_of, fabric_of, slowest_chip
from gigawatt.model import PRECISIONS, Precision, Transformer, transformer_of
from gigawatt.planning._assumptions import assumption_table, overridden, policy_assumptions
from gigawatt.planning._groups import (
    Group,
    fleet_watts,
    groups_of,
    hardware_problems,
    layout_of,
    server_of,
    slowest,
)
from gigawatt.power import chip_power, clock_at_cap
from gigawatt.quantity import format_quantity
from gigawatt.reliability import HARDWARE_RATE, Layout
from gigawatt.scenario import Scenario
from gigawatt.training import NAMED, OPTIMIZERS, Constraint, Optimizer, constraint_of, stacks

# Fields of the strategy section that are no decisions.
NO_DECISIONS = {"constraints", "memory_margin"}
DEFAULT_MODEL = "Llama 3.1 405B"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Everything that the engines are fed from. `assumptions` is the one table of numbers; the rest are names and
    shapes.
    """

    scenario: Scenario
    groups: tuple[Group, ...]
    reference: Accelerator
    entry: ModelEntry
    model: Transformer
    precision: Precision
    pins: Mapping[str, int]
    constraints: tuple[Constraint, ...]
    optimizer: Optimizer
    assumptions: Mapping[str, Sourced]
    notes: tuple[str, ...]

    def value(self, path: str) -> float:
        """Return the best value of an assumption in SI units."""
        return self.assumptions[path].best

    def values(self, paths: Sequence[str]) -> dict[str, float]:
        """Return the best values of several assumptions."""
        return {path: self.assumptions[path].best for path in paths}

    def has(self, path: str) -> bool:
        """Return whether the table has an assumption of this path."""
        return path in self.assumptions

    def with_value(self, path: str, value: float) -> Inputs:
        """Return the same inputs with one assumption pinned to `value` (SI)."""
        changed = {**self.assumptions, path: self.assumptions[path].at(value)}
        result = replace(self, assumptions=changed)
        for group in self.groups:
            prefix = f"accelerator.{group.accelerator.name}."
            if path.startswith(prefix) and path.removeprefix(prefix) in group.accelerator.numbers():
                result = result._with_accelerator(group, path.removeprefix(prefix), changed[path])
        return result

    def with_policy(self, policy: str) -> Inputs:
        """Return the same inputs under another recovery policy, with its packaged times for those that nobody states."""
        scenario, parameters = self.scenario, self.value("model.parameters")
        changed = replace(scenario, reliability=scenario.reliability.model_copy(update={"policy": policy}))
        before, after = (
            policy_assumptions(asked, self.groups, self.layout, parameters) for asked in (scenario, changed)
        )
        fresh = {
            path: value
            for path, value in after.items()
            if value != before.get(path) and (path not in before or self.assumptions[path].grade is not Grade.GIVEN)
        }
        return replace(self, scenario=changed, assumptions={**self.assumptions, **fresh})

    def _with_accelerator(self, changed: Group, field: str, value: Sourced) -> Inputs:
        groups = tuple(
            replace(group, accelerator=group.accelerator.with_number(field, value)) if group is changed else group
            for group in self.groups
        )
        return replace(self, groups=groups, reference=slowest([group.accelerator for group in groups]))

    @property
    def chip(self) -> Chip:
        """The roofline of the reference accelerator, at the clock that its power cap leaves."""
        chip = slowest_chip([chip_of(group.accelerator) for group in self.groups])
        cap = self.scenario.power.power_cap
        return chip if cap is None else chip.at_clock(self.clock_at(cap))

    def clock_at(self, cap_w: float) -> float:
        """Return the share of its clock that the reference accelerator holds under a power cap. Raises InputError for a
        cap below what it draws at any clock, or where its power limit is not known.
        """
        limit, place = self.reference.tdp_w, self.scenario.place("power.power_cap")
        if limit is None:
            raise InputError(
                Problem(
                    message=f"the power limit of {self.reference.name} is not known",
                    location=place,
                    path="power.power_cap",
                )
            )
        clock = float(clock_at_cap(chip_power(self.reference.name, limit.best), cap_w))
        if clock <= 0:
            raise InputError(
                Problem(
                    message="no clock is low enough for this cap",
                    location=place,
                    path="power.power_cap",
                    found=format_quantity(cap_w, "W"),
                    allowed=f"a part of the {format_quantity(limit.best, 'W')} of {self.reference.name} in which it can compute",
                )
            )
        return clock

    @property
    def server(self) -> int:
        """Accelerators that come together: those of a server (of the largest, in a mixed fleet)."""
        return server_of(self.groups)

    @property
    def layout(self) -> Layout:
        """What fails as one: nodes, racks, rails and feeds."""
        return layout_of(self.groups, self.reference, self.value("reliability.tray_accelerators"))

    @property
    def node(self) -> int:
        """Accelerators that one failure takes out: a server, or the tray of a rack."""
        return self.layout.accelerators_per_node

    def chip_watts(self, phase: str, end: str = "best", capped: bool = True) -> float:
        """Return what an accelerator of the fleet draws in a phase, W: the mean over its kinds, each under the cap."""
        cap = self.scenario.power.power_cap if capped else None
        return fleet_watts(self.groups, phase, end, cap)

    def fabric(self, accelerators: int) -> Fabric:
        """Return the network of a number of accelerators."""
        network = self.scenario.network
        return fabric_of(
            self.reference,
            accelerators,
            scale_up_domain=network.scale_up_domain,
            scale_out_bytes_per_s=network.scale_out,
            oversubscription=network.oversubscription or 1.0,
            in_network_reduction=bool(network.in_network_reduction),
            wide_area=WideArea(
                sites=network.sites, bytes_per_s=network.wide_area or 0.0, distance_m=network.distance or 0.0
            )
            if network.sites is not None
            else None,
        )


def resolve(scenario: Scenario, whole_plan: bool = True, sized: bool = True) -> Inputs:
    """Return the inputs of a scenario: catalogue entries looked up, defaults filled in, every number sourced. Without
    `whole_plan` (training alone) an accelerator needs neither a price nor a power limit; without `sized` the fleet
    needs no count.

    Raises InputError with every name that the catalogue does not have and every number that it does not know, with
    the place in the scenario.
    """
    catalog = load_catalog(scenario.catalog)
    problems: list[Problem] = []
    groups: tuple[Group, ...] = ()
    entry: ModelEntry | None = None
    model: Transformer | None = None
    try:
        groups = groups_of(scenario, catalog, sized)
    except InputError as error:
        problems += error.problems
    try:
        entry = _model_entry(scenario, catalog)
        model = transformer_of(entry, scenario.place("model"))
    except InputError as error:
        problems += error.problems
    name = scenario.training.precision or "bf16"
    if name not in PRECISIONS:
        problems.append(
            Problem(
                message="unknown precision",
                location=scenario.place("training.precision"),
                path="training.precision",
                found=repr(name),
                allowed=", ".join(PRECISIONS),
                nearest=nearest_name(name, list(PRECISIONS)),
            )
        )
    problems += _named_problems(scenario)
    if (scenario.network.sites or 1) > 1 and scenario.network.wide_area is None:
        problems.append(
            Problem(
                message="several sites need the bandwidth between them",
                location=scenario.place("network.sites"),
                path="network.wide_area",
                allowed="for example 20 Tb/s",
            )
        )
    constraints: tuple[Constraint, ...] = ()
    try:
        constraints = tuple(
            constraint_of(text, scenario.place("strategy.constraints")) for text in scenario.strategy.constraints or ()
        )
    except InputError as error:
        problems += error.problems
    if problems or entry is None or model is None:
        raise InputError(problems)
    reference = slowest([group.accelerator for group in groups])
    problems += _pin_problems(scenario, model)
    problems += hardware_problems(scenario, groups, PRECISIONS[name], whole_plan)
    if problems:
        raise InputError(problems)
    notes: list[str] = []
    table = assumption_table(scenario, catalog, groups, reference, entry, model, notes)
    table = overridden(scenario, table)
    if table[HARDWARE_RATE].grade is not Grade.GIVEN:  # trays of a size that the scenario states
        layout = layout_of(groups, reference, table["reliability.tray_accelerators"].best)
        fresh = policy_assumptions(scenario, groups, layout, table["model.parameters"].best)
        table[HARDWARE_RATE] = fresh[HARDWARE_RATE]
    pins = {
        key: NAMED[key][value] if key in NAMED else value
        for key, value in scenario.strategy.model_dump(exclude=NO_DECISIONS).items()
        if value is not None
    }
    return Inputs(
        scenario=scenario,
        groups=groups,
        reference=reference,
        entry=entry,
        model=model,
        precision=PRECISIONS[name],
        pins=pins,
        constraints=constraints,
        optimizer=OPTIMIZERS[scenario.training.optimizer or "adam"],
        assumptions=table,
        notes=tuple(notes),
    )


def _named_problems(scenario: Scenario) -> list[Problem]:
    """Return what is wrong with the names of the optimizer and the software stack."""
    known = {"optimizer": tuple(OPTIMIZERS), "stack": tuple(name for name in stacks() if name != "*")}
    return [
        Problem(
            message=f"unknown {what}",
            location=scenario.place(f"training.{what}"),
            path=f"training.{what}",
            found=repr(name),
            allowed=", ".join(names),
            nearest=nearest_name(name, list(names)),
        )
        for what, names in known.items()
        if (name := getattr(scenario.training, what)) is not None and name not in names
    ]


def _pin_problems(scenario: Scenario, model: Transformer) -> list[Problem]:
    """Return the pinned decisions that no fleet could make valid for this model, with the place of each."""
    pins, experts = scenario.strategy, model.experts.experts if model.experts else 1
    chunks = (pins.pipeline_parallel or 1) * (pins.virtual_stages or 1)
    layers = len(model.layers) + 2
    checks = [
        ("tensor_parallel", pins.tensor_parallel, model.heads, f"a divisor of the {model.heads} attention heads"),
        ("expert_parallel", pins.expert_parallel, experts, f"a divisor of the {experts} experts"),
    ]
    problems = [
        Problem(
            message=f"does not divide {'the attention heads' if name == 'tensor_parallel' else 'the experts'}",
            location=scenario.place(f"strategy.{name}"),
            path=f"strategy.{name}",
            found=str(value),
            allowed=f"{words}: {', '.join(str(n) for n in range(1, whole + 1) if whole % n == 0)}",
        )
        for name, value, whole, words in checks
        if value is not None and whole % value
    ]
    if chunks > layers:
        problems.append(
            Problem(
                message="more pipeline chunks than layers, embedding and head",
                location=scenario.place("strategy.pipeline_parallel"),
                path="strategy.pipeline_parallel",
                found=f"{chunks} chunks",
                allowed=f"pipeline_parallel x virtual_stages of at most {layers}",
            )
        )
    return problems


def _model_entry(scenario: Scenario, catalog: Catalog) -> ModelEntry:
    model, place = scenario.model, scenario.place("model")
    if model is None:
        return catalog.model_entry(DEFAULT_MODEL)
    if isinstance(model, str):
        return catalog.model_entry(model, place, "model")
    if "config" in model:
        entry = model_from_config(scenario.folder / str(model["config"]))
        return entry if len(model) == 1 else model_from_spec(model, place, "model", entry)
    base = (
        catalog.model_entry(str(model["base"]), scenario.place("model.base"), "model.base") if "base" in model else None
    )
    return model_from_spec(model, place, "model", base)
