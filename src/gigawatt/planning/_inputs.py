"""From the question to the numbers: which accelerators, which model, and the table of every assumption by path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gigawatt import finance, power, reliability
from gigawatt.catalog import (
    Accelerator,
    Catalog,
    ModelEntry,
    accelerator_from_spec,
    load_catalog,
    model_from_config,
    model_from_spec,
)
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.evidence import Grade, Sourced
from gigawatt.hardware import Chip, Fabric, chip_of, fabric_of, slowest_chip
from gigawatt.model import PRECISIONS, Precision, Transformer, parameters, transformer_of
from gigawatt.quantity import QuantityError, parse_quantity
from gigawatt.scenario import AcceleratorItem, Scenario
from gigawatt.training import constant_facts

DEFAULT_ACCELERATOR = "H100 SXM"
DEFAULT_COUNT = 1024
DEFAULT_MODEL = "Llama 3.1 405B"
DEFAULT_SEQUENCE = 8192

# Assumptions whose best source is a dated fact of the catalogue.
FACTS = {
    "finance.switch_usd": "switch.64x400G_infiniband",
    "finance.cables_usd": "network.cables_optics_per_h100",
    "finance.building_usd_per_w": "dc.capex.construction",
    "finance.it_lifetime_s": "depreciation.gpu_economic_life",
    "finance.building_lifetime_s": "depreciation.building",
    "finance.operations_per_s": "dc.staff_and_opex",
}
_LABELS = {
    "finance.switch_usd": "price of a 64-port switch",
    "finance.cables_usd": "cables and optics per accelerator",
    "finance.building_usd_per_w": "building, power and cooling per W of IT",
    "finance.it_lifetime_s": "economic life of accelerators and servers",
    "finance.building_lifetime_s": "life of the building",
    "finance.operations_per_s": "staff and operations, share of the building's cost per time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Accelerators of one kind; `count` None means as many as the limits allow."""

    accelerator: Accelerator
    count: int | None


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

    def _with_accelerator(self, changed: Group, field: str, value: Sourced) -> Inputs:
        groups = tuple(
            replace(group, accelerator=group.accelerator.with_number(field, value)) if group is changed else group
            for group in self.groups
        )
        return replace(self, groups=groups, reference=slowest([group.accelerator for group in groups]))

    @property
    def chip(self) -> Chip:
        """The roofline of the reference accelerator."""
        return slowest_chip([chip_of(group.accelerator) for group in self.groups])

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
        )


def resolve(scenario: Scenario) -> Inputs:
    """Return the inputs of a scenario: catalogue entries looked up, defaults filled in, every number sourced.

    Raises InputError with every name that the catalogue does not have and every number that it does not know, with
    the place in the scenario.
    """
    catalog = load_catalog(scenario.catalog)
    problems: list[Problem] = []
    groups: tuple[Group, ...] = ()
    entry: ModelEntry | None = None
    model: Transformer | None = None
    try:
        groups = _groups(scenario, catalog)
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
    if problems or entry is None or model is None:
        raise InputError(problems)
    reference = slowest([group.accelerator for group in groups])
    problems += _hardware_problems(scenario, groups, PRECISIONS[name])
    if problems:
        raise InputError(problems)
    notes: list[str] = []
    table = _assumptions(scenario, catalog, groups, reference, entry, model, notes)
    table = _overridden(scenario, table)
    pins = {key: value for key, value in scenario.strategy.model_dump().items() if value is not None}
    if "recompute" in pins:
        pins["recompute"] = ("none", "selective", "full").index(pins["recompute"])
    return Inputs(
        scenario=scenario,
        groups=groups,
        reference=reference,
        entry=entry,
        model=model,
        precision=PRECISIONS[name],
        pins=pins,
        assumptions=table,
        notes=tuple(notes),
    )


def _groups(scenario: Scenario, catalog: Catalog) -> tuple[Group, ...]:
    fleet = scenario.fleet
    items: list[tuple[AcceleratorItem, str]]
    if fleet.accelerators is not None:
        items = [(item, f"fleet.accelerators.{i}.accelerator") for i, item in enumerate(fleet.accelerators)]
    else:
        limited = scenario.site.grid_limit is not None or scenario.finance.budget is not None
        count = fleet.count or (None if limited else DEFAULT_COUNT if fleet.accelerator is None else None)
        if count is None and not limited:
            raise InputError(
                Problem(
                    message="how many accelerators?",
                    location=scenario.place("fleet"),
                    path="fleet.count",
                    allowed="a count, or site.grid_limit or finance.budget to size the fleet from",
                )
            )
        items = [
            (
                AcceleratorItem.model_construct(accelerator=fleet.accelerator or DEFAULT_ACCELERATOR, count=count),
                "fleet.accelerator",
            )
        ]
    problems: list[Problem] = []
    groups = []
    for item, path in items:
        place = scenario.place(path)
        try:
            if isinstance(item.accelerator, str):
                accelerator = catalog.accelerator(item.accelerator, place, path)
            else:
                spec = item.accelerator
                base = catalog.accelerator(str(spec["base"]), place, f"{path}.base") if "base" in spec else None
                accelerator = accelerator_from_spec(spec, place, path, base)
        except InputError as error:
            problems += error.problems
            continue
        groups.append(Group(accelerator=accelerator, count=item.count))
    names = [group.accelerator.name for group in groups]
    problems += [
        Problem(
            message="this accelerator is listed twice",
            location=scenario.place(items[i][1]),
            path=items[i][1],
            found=repr(name),
        )
        for i, name in enumerate(names)
        if name in names[:i]
    ]
    if problems:
        raise InputError(problems)
    return tuple(groups)


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


def slowest(accelerators: Sequence[Accelerator]) -> Accelerator:
    """Return the accelerator that a synchronous job of mixed kinds sees: the smallest of every number
    (docs/science.md 7.3).
    """
    if len(accelerators) == 1:
        return accelerators[0]
    first = accelerators[0]
    result = replace(first, name="slowest of " + " and ".join(a.name for a in accelerators))
    for path, number in first.numbers().items():
        others = [a.numbers().get(path) for a in accelerators]
        known = [other for other in others if other is not None]
        if len(known) == len(others):
            result = result.with_number(path, min(known, key=lambda sourced: sourced.best))
        elif path.startswith("flop_per_s"):
            rates = {dtype: rate for dtype, rate in result.flop_per_s.items() if f"flop_per_s.{dtype}" != path}
            result = replace(result, flop_per_s=rates)
        del number
    domains = [a.scale_up_domain for a in accelerators if a.scale_up_domain]
    return replace(result, scale_up_domain=min(domains) if domains else None)


def _hardware_problems(scenario: Scenario, groups: Sequence[Group], precision: Precision) -> list[Problem]:
    """Return what the catalogue does not know about the accelerators but a plan needs, with the place in the
    scenario.
    """
    problems: list[Problem] = []
    for index, group in enumerate(groups):
        path = f"fleet.accelerators.{index}" if scenario.fleet.accelerators is not None else "fleet.accelerator"
        accelerator, place = group.accelerator, scenario.place(path)
        try:
            chip_of(accelerator).peak(precision.linear)
            fabric_of(
                accelerator, max(group.count or DEFAULT_COUNT, 2), scale_out_bytes_per_s=scenario.network.scale_out
            )
        except InputError as error:
            problems += [replace(problem, location=place, path=path) for problem in error.problems]
        if accelerator.tdp_w is None:
            problems.append(
                Problem(
                    message=f"the catalogue does not know the power limit of {accelerator.name!r}",
                    location=place,
                    path=path,
                    allowed=f"give it inline, for example {{base: {accelerator.name}, tdp: 500 W}}",
                )
            )
        if accelerator.price_usd is None and scenario.finance.accelerator_price is None:
            problems.append(
                Problem(
                    message=f"the catalogue does not know a price of {accelerator.name!r}",
                    location=place,
                    path=path,
                    allowed="give finance.accelerator_price, for example $30,000",
                )
            )
    return problems


def _given(value: float, unit: str, scenario: Scenario, path: str, label: str) -> Sourced:
    return Sourced.exact(value, unit=unit, grade=Grade.GIVEN, source=scenario.place(path), label=label)


def _assumptions(
    scenario: Scenario,
    catalog: Catalog,
    groups: Sequence[Group],
    reference: Accelerator,
    entry: ModelEntry,
    model: Transformer,
    notes: list[str],
) -> dict[str, Sourced]:
    table: dict[str, Sourced] = {}
    for key in (*reliability.ASSUMPTIONS, *power.ASSUMPTIONS, *finance.ASSUMPTIONS, "training.model_error"):
        fact = catalog.fact(FACTS.get(key, key), scenario.date if key in FACTS else None)
        table[key] = replace(fact, label=_LABELS.get(key, fact.label))
    table |= {f"training.{key}": fact for key, fact in constant_facts().items()}
    _accelerator_assumptions(scenario, catalog, groups, reference, table)
    _site_assumptions(scenario, catalog, table)
    _training_assumptions(scenario, catalog, entry, model, table, notes)
    _given_assumptions(scenario, table)
    return table


def _accelerator_assumptions(
    scenario: Scenario, catalog: Catalog, groups: Sequence[Group], reference: Accelerator, table: dict[str, Sourced]
) -> None:
    for group in groups:
        name = group.accelerator.name
        table |= {f"accelerator.{name}.{path}": number for path, number in group.accelerator.numbers().items()}
        price = catalog.accelerator_price(group.accelerator, scenario.date)
        if scenario.finance.accelerator_price is not None:
            price = _given(
                scenario.finance.accelerator_price,
                "USD",
                scenario,
                "finance.accelerator_price",
                f"{name}: price per accelerator",
            )
        if price is not None:
            table[f"accelerator.{name}.price_usd"] = replace(price, label=f"{name}: price per accelerator")
        if group.accelerator.server_chips:
            table[f"accelerator.{name}.server_chips"] = Sourced.exact(
                group.accelerator.server_chips,
                source=group.accelerator.source,
                label=f"{name}: accelerators per server",
            )
        if group.count is not None:
            table[f"fleet.requested.{name}"] = _given(group.count, "", scenario, "fleet", f"{name}: asked for")
    chip, fabric = (
        slowest_chip([chip_of(group.accelerator) for group in groups]),
        fabric_of(
            reference,
            max(sum(group.count or DEFAULT_COUNT for group in groups), 2),
            scale_up_domain=scenario.network.scale_up_domain,
            scale_out_bytes_per_s=scenario.network.scale_out,
        ),
    )
    table |= {
        f"accelerator.{reference.name}.{path}": fact
        for path, fact in chip.inputs.items()
        if f"accelerator.{reference.name}.{path}" not in table
    }
    table |= {
        path: replace(fact, label=path.partition(".")[2].replace("_", " ")) for path, fact in fabric.inputs.items()
    }
    if scenario.network.scale_out is not None:
        table[f"accelerator.{reference.name}.scale_out_bytes_per_s"] = _given(
            scenario.network.scale_out, "B/s", scenario, "network.scale_out", "network bandwidth per accelerator"
        )


def _site_assumptions(scenario: Scenario, catalog: Catalog, table: dict[str, Sourced]) -> None:
    site = scenario.site
    if site.pue is not None:
        table["site.pue"] = _given(site.pue, "", scenario, "site.pue", "power usage effectiveness")
    else:
        fact = catalog.fact(f"power.pue_{site.cooling or 'liquid'}")
        table["site.pue"] = replace(fact, label=f"power usage effectiveness ({site.cooling or 'liquid'} cooling)")
    if site.grid_limit is not None:
        table["site.grid_limit"] = _given(site.grid_limit, "W", scenario, "site.grid_limit", "grid limit")
    if site.electricity_price is not None:
        table["site.electricity_price"] = _given(
            site.electricity_price, "USD/J", scenario, "site.electricity_price", "price of electricity"
        )
        return
    key = f"electricity.industrial.{(site.region or '').casefold().replace(' ', '_')}"
    regions = [known.rpartition(".")[2] for known in catalog.fact_keys if known.startswith("electricity.industrial.")]
    if site.region and key not in catalog.fact_keys and not _is_state(site.region):
        raise InputError(
            Problem(
                message="no electricity price is known for this region",
                location=scenario.place("site.region"),
                path="site.region",
                found=repr(site.region),
                allowed=f"{', '.join(regions)}; or give site.electricity_price",
                nearest=nearest_name(site.region, regions),
            )
        )
    fact = catalog.fact(key if key in catalog.fact_keys else "electricity.wholesale.us", scenario.date)
    table["site.electricity_price"] = replace(
        fact, label="price of electricity", note=f"{fact.label}; {fact.note}".strip("; ")
    )


def _is_state(region: str) -> bool:
    """Return whether a region is a US state without an own price: it takes the US wholesale price."""
    return region.casefold() in {
        "california",
        "texas",
        "oregon",
        "washington",
        "nevada",
        "arizona",
        "virginia",
        "georgia",
        "mississippi",
        "new york",
    }


def _training_assumptions(
    scenario: Scenario,
    catalog: Catalog,
    entry: ModelEntry,
    model: Transformer,
    table: dict[str, Sourced],
    notes: list[str],
) -> None:
    training = scenario.training
    counted = parameters(model)
    table["model.parameters"] = Sourced.exact(
        counted.total, grade=Grade.DERIVED, source=f"architecture of {entry.name}: {entry.source}", label="parameters"
    )
    table["model.active_parameters"] = Sourced.exact(
        counted.active,
        grade=Grade.DERIVED,
        source=f"architecture of {entry.name}: {entry.source}",
        label="parameters that one token uses",
    )
    default = min(DEFAULT_SEQUENCE, model.max_context or DEFAULT_SEQUENCE)
    sequence = int(training.sequence_length or default)
    table["training.sequence_length"] = (
        _given(sequence, "token", scenario, "training.sequence_length", "tokens per sequence")
        if training.sequence_length
        else Sourced.exact(
            sequence,
            unit="token",
            grade=Grade.ESTIMATE,
            source="default: 8,192, or the model's longest context where shorter",
            label="tokens per sequence",
        )
    )
    if training.global_batch is not None:
        unit, number = training.global_batch
        batch = max(1, round(number / sequence if unit == "token" else number))
        table["training.global_batch"] = _given(
            batch, "sequence", scenario, "training.global_batch", "sequences per step"
        )
    else:
        fact = catalog.fact("training.global_batch_tokens")
        batch = max(1, round(fact.best / sequence))
        table["training.global_batch"] = Sourced(
            best=batch,
            low=batch,
            high=batch,
            unit="sequence",
            grade=Grade.ESTIMATE,
            source=fact.source,
            date=fact.date,
            label="sequences per step",
            note=f"default: {fact.best:.0f} tokens; {fact.note}",
        )
    table["training.tokens"] = _tokens(scenario, catalog, entry, counted.active, notes)
    if (
        training.input is not None
        and training.input.sample_bytes is not None
        and training.input.tokens_per_sample is not None
    ):
        table["training.sample_bytes"] = _given(
            training.input.sample_bytes, "B", scenario, "training.input.sample_bytes", "bytes of one sample"
        )
        table["training.tokens_per_sample"] = _given(
            training.input.tokens_per_sample,
            "token",
            scenario,
            "training.input.tokens_per_sample",
            "tokens of one sample",
        )
    if training.deadline is not None:
        table["training.deadline"] = _given(training.deadline, "s", scenario, "training.deadline", "deadline")


def _tokens(scenario: Scenario, catalog: Catalog, entry: ModelEntry, active: int, notes: list[str]) -> Sourced:
    training = scenario.training
    if training.tokens is not None:
        return _given(training.tokens, "token", scenario, "training.tokens", "training tokens")
    if training.compute is not None:
        return _given(
            training.compute / (6.0 * active),
            "token",
            scenario,
            "training.compute",
            "training tokens (compute over 6 FLOP per active parameter)",
        )
    if entry.training_tokens is not None:
        notes.append(f"training tokens are those of {entry.name} as published; set training.tokens for another run")
        return replace(entry.training_tokens, label="training tokens")
    ratio = catalog.fact("training.tokens_per_parameter")
    notes.append(
        f"training tokens are {ratio.best:.0f} per active parameter (compute-optimal); set training.tokens for another run"
    )
    return Sourced(
        best=ratio.best * active,
        low=ratio.low * active,
        high=ratio.high * active,
        unit="token",
        grade=ratio.grade,
        source=ratio.source,
        date=ratio.date,
        label="training tokens",
        note=ratio.note,
    )


def _given_assumptions(scenario: Scenario, table: dict[str, Sourced]) -> None:
    money, failures = scenario.finance, scenario.reliability
    for path, value, unit, key in (
        ("finance.budget", money.budget, "USD", "finance.budget"),
        ("finance.discount_rate", money.discount_rate, "", "finance.discount_rate"),
        ("finance.lifetime", money.lifetime, "s", "finance.it_lifetime_s"),
        ("finance.staff_cost", money.staff_cost, "USD/s", "finance.staff_cost"),
        ("reliability.failure_rate", failures.failure_rate, "1/s", "reliability.hardware_failure_rate"),
        (
            "reliability.checkpoint_bandwidth",
            failures.checkpoint_bandwidth,
            "B/s",
            "reliability.device_to_host_bytes_per_s",
        ),
        ("reliability.restart_time", failures.restart_time, "s", "reliability.restart_time"),
        ("reliability.checkpoint_interval", failures.checkpoint_interval, "s", "reliability.checkpoint_interval_given"),
    ):
        if value is not None:
            table[key] = _given(value, unit, scenario, path, path.partition(".")[2].replace("_", " "))
    if failures.failure_rate is not None:
        table["reliability.software_failure_rate"] = _given(
            0.0, "1/s", scenario, "reliability.failure_rate", "counted in the given failure rate"
        )


def _overridden(scenario: Scenario, table: dict[str, Sourced]) -> dict[str, Sourced]:
    """Return the table with the scenario's `assumptions` laid over it. Raises InputError for an unknown path or a
    wrong quantity.
    """
    problems = []
    changed = dict(table)
    for path, value in _flat(scenario.assumptions).items():
        here = {"location": scenario.place(f"assumptions.{path}"), "path": f"assumptions.{path}", "found": repr(value)}
        if path not in table:
            problems.append(
                Problem(
                    message="the plan has no such assumption",
                    allowed="a path that the report lists",
                    nearest=nearest_name(path, list(table)),
                    **here,
                )
            )
            continue
        known = table[path]
        texts = value if isinstance(value, list) else [value] * 3
        try:
            if len(texts) != 3:
                raise QuantityError(
                    "one value or [low, best, high] is needed", found=repr(value), allowed="three quantities"
                )
            low, best, high = (parse_quantity(text, known.unit) for text in texts)
            changed[path] = replace(
                known,
                low=low,
                best=best,
                high=high,
                grade=Grade.GIVEN,
                source=here["location"],
                note="given in the scenario",
            )
        except (QuantityError, ValueError) as error:
            message = error.message if isinstance(error, QuantityError) else "low, best and high must rise"
            problems.append(
                Problem(message=message, allowed=error.allowed if isinstance(error, QuantityError) else "", **here)
            )
    if problems:
        raise InputError(problems)
    return changed


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        flat |= _flat(value, path) if isinstance(value, dict) else {path: value}
    return flat
