"""The table of assumptions: every number that the engines are fed, by path, with range, grade, source and date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gigawatt import finance, power, reliability
from gigawatt.catalog import (
    Accelerator,
    Catalog,
    ModelEntry,
)
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.evidence import Grade, Sourced
from gigawatt.hardware import chip_of, fabric_of, slowest_chip
from gigawatt.model import Transformer, parameters
from gigawatt.planning._groups import (
    DEFAULT_COUNT,
    DEFAULT_POLICY,
    Group,
    fleet_watts,
    generation_of_fleet,
    layout_of,
    weights_of,
)
from gigawatt.quantity import QuantityError, parse_quantity
from gigawatt.scenario import Scenario
from gigawatt.training import OPTIMIZERS, constant_facts, default_stack

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


# What a chip draws, by the path of the plan and the phase of the chip.
_PHASES = {
    "power.idle_fraction": "idle",
    "power.compute_fraction": "training",
    "power.communication_fraction": "communication",
    "power.checkpoint_fraction": "checkpoint",
}
_POWER_FACTS = tuple(path for path in power.ASSUMPTIONS if path not in _PHASES)
# What islands need in tokens, for this model and their steps between two exchanges.
EXTRA_TOKENS = "reliability.extra_tokens_per_island"
# Steps between two exchanges of islands where nobody says how many, as arXiv 2311.08105 and 2412.01152.
USUAL_INNER_STEPS = 100
# What failures rest on besides the reliability engine's own numbers.
_FAILURE_FACTS = ("reliability.state_bytes_per_parameter", "reliability.tray_accelerators")
WEIGHT_BYTES = 2.0  # of a parameter in bf16, beside what the optimizer keeps


def _state(scenario: Scenario, table: Mapping[str, Sourced]) -> Sourced:
    """Return the bytes of a checkpoint per parameter under the scenario's optimizer, as uncertain as under Adam."""
    usual = table["reliability.state_bytes_per_parameter"]
    best = WEIGHT_BYTES + OPTIMIZERS[scenario.training.optimizer or "adam"].state_bytes
    share = best / usual.best
    return replace(usual, low=usual.low * share, best=best, high=usual.high * share)


def _given(value: float, unit: str, scenario: Scenario, path: str, label: str) -> Sourced:
    return Sourced.exact(value, unit=unit, grade=Grade.GIVEN, source=scenario.place(path), label=label)


def assumption_table(
    scenario: Scenario,
    catalog: Catalog,
    groups: Sequence[Group],
    reference: Accelerator,
    entry: ModelEntry,
    model: Transformer,
    notes: list[str],
) -> dict[str, Sourced]:
    table: dict[str, Sourced] = {}
    for key in (*_POWER_FACTS, *finance.ASSUMPTIONS, *_FAILURE_FACTS, "training.model_error"):
        fact = catalog.fact(FACTS.get(key, key), scenario.date if key in FACTS else None)
        table[key] = replace(fact, label=_LABELS.get(key, fact.label))
    table |= _chip_power(scenario, groups)
    layout = layout_of(groups, reference, table["reliability.tray_accelerators"].best)
    table |= policy_assumptions(scenario, groups, layout, float(parameters(model).total))
    if scenario.training.optimizer is not None:
        table["reliability.state_bytes_per_parameter"] = _state(scenario, table)
    slowest = min((group.accelerator for group in groups), key=_rate)
    stack = scenario.training.stack or default_stack(slowest.vendor, slowest.name)
    table |= {f"training.{key}": fact for key, fact in constant_facts(stack, slowest.name).items()}
    _accelerator_assumptions(scenario, catalog, groups, reference, table)
    _site_assumptions(scenario, catalog, table)
    _training_assumptions(scenario, catalog, entry, model, table, notes)
    _given_assumptions(scenario, table)
    return table


def policy_assumptions(
    scenario: Scenario, groups: Sequence[Group], layout: reliability.Layout, model_parameters: float
) -> Mapping[str, Sourced]:
    """Return the packaged numbers of the scenario's recovery policy on this fleet and this model."""
    policy = scenario.reliability.policy or DEFAULT_POLICY
    found = dict(reliability.default_assumptions(generation_of_fleet(groups), policy, layout))
    if policy == "islands":
        steps = scenario.reliability.inner_steps or USUAL_INNER_STEPS
        each = reliability.extra_tokens(model_parameters, 2, steps)
        found[EXTRA_TOKENS] = replace(each, label="extra tokens per further island")
    return found


def _chip_power(scenario: Scenario, groups: Sequence[Group]) -> dict[str, Sourced]:
    """Return the shares of their limits that the accelerators draw by phase, none above the scenario's cap."""
    first, cap = groups[0].accelerator, scenario.power.power_cap
    limits = [group.accelerator.tdp_w for group in groups]
    table = {}
    for path, phase in _PHASES.items():
        share = power.chip_power(first.name, 1.0).shares[phase]
        if None not in limits:
            weights = weights_of(groups)
            whole = sum(w * limit.best for w, limit in zip(weights, limits, strict=True) if limit is not None)
            low, best, high = (fleet_watts(groups, phase, end, cap) / whole for end in ("low", "best", "high"))
            note = share.note if len(groups) == 1 else f"mean of the kinds; {share.note}".strip("; ")
            share = replace(share, low=low, best=best, high=high, note=note)
        table[path] = share
    return table


def _rate(accelerator: Accelerator) -> float:
    """Return the 16-bit peak of an accelerator, 0 where it is not known."""
    peak = accelerator.flop_per_s.get("bf16") or accelerator.flop_per_s.get("fp16")
    return 0.0 if peak is None else peak.best


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
        server, limit = power.own_server(name), group.accelerator.tdp_w
        if server is not None and limit is not None:
            draw = table["power.compute_fraction"].best * limit.best
            table[f"accelerator.{name}.server_w"] = power.around_accelerator(server, draw)
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
    if site.region and key not in catalog.fact_keys:
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
        (
            "strategy.memory_margin",
            scenario.strategy.memory_margin,
            "",
            "training.memory_margin",
        ),
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
        ("reliability.repair_time", failures.repair_time, "s", "reliability.repair_s"),
        ("reliability.restart_time", failures.restart_time, "s", "reliability.restart_time"),
        ("reliability.checkpoint_interval", failures.checkpoint_interval, "s", "reliability.checkpoint_interval_given"),
    ):
        if value is not None:
            table[key] = _given(value, unit, scenario, path, path.partition(".")[2].replace("_", " "))
    if failures.failure_rate is not None:
        table["reliability.software_failure_rate"] = _given(
            0.0, "1/s", scenario, "reliability.failure_rate", "counted in the given failure rate"
        )


def overridden(scenario: Scenario, table: dict[str, Sourced]) -> dict[str, Sourced]:
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
            if low < 0 <= known.low:
                raise QuantityError(
                    "impossible value",
                    found=repr(value),
                    allowed=f"nothing below zero; usual is {known.best:.3g} {known.unit}".strip(),
                )
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
