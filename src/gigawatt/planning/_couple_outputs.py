"""Outputs of a plan that belong to no single engine: the fleet, the policies, the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gigawatt import reliability
from gigawatt.evidence import Output
from gigawatt.planning._inputs import Inputs
from gigawatt.planning._result import Fleet
from gigawatt.training import TrainingResult

if TYPE_CHECKING:
    from gigawatt.planning._couple import Limits


def computing(trained: TrainingResult) -> Output:
    """Return the share of a step in which accelerators compute."""
    parts = [
        path
        for path in trained.outputs
        if path.startswith("training.step.")
        and path.rpartition(".")[2] in ("matrix_products", "attention", "vector_operations", "recompute")
    ]
    symbols = {path.rpartition(".")[2]: path for path in parts}
    return Output(
        label="share of a step in which chips compute",
        value=trained.computing_fraction,
        unit="fraction",
        formula=f"({' + '.join(symbols)}) / step",
        inputs={**symbols, "step": "training.step_time"},
    )


def fleet_outputs(inputs: Inputs, fleet: Fleet, limits: Limits) -> dict[str, Output]:
    """Return the accelerators powered, used and left out, what a server draws at most, and the capital of one."""
    outputs: dict[str, Output] = {}
    symbols = {}
    for index, group in enumerate(fleet.groups):
        path = f"fleet.powered.{group.accelerator}"
        causes = (
            {"requested": f"fleet.requested.{group.accelerator}"}
            if inputs.has(f"fleet.requested.{group.accelerator}")
            else {}
        )
        if inputs.has("site.grid_limit"):
            causes["fed"] = "power.max_accelerators"
        if inputs.has("finance.budget"):
            causes |= {"budget": "finance.budget", "price": f"accelerator.{group.accelerator}.price_usd"}
        outputs[path] = Output(
            label=f"{group.accelerator}: powered",
            value=float(group.powered),
            unit="",
            method="the smallest of what is asked for, what the grid limit feeds and what the budget buys, in whole servers",
            inputs=causes,
        )
        symbols[f"n{index}"] = path
        if inputs.has(f"accelerator.{group.accelerator}.server_max_w") and inputs.has(
            f"accelerator.{group.accelerator}.server_chips"
        ):
            outputs[f"fleet.server_max_w_per_accelerator.{group.accelerator}"] = Output(
                label=f"{group.accelerator}: rated server power per accelerator",
                value=inputs.value(f"accelerator.{group.accelerator}.server_max_w")
                / inputs.value(f"accelerator.{group.accelerator}.server_chips"),
                unit="W",
                formula="server / chips",
                inputs={
                    "server": f"accelerator.{group.accelerator}.server_max_w",
                    "chips": f"accelerator.{group.accelerator}.server_chips",
                },
            )
    outputs["fleet.powered"] = Output(
        label="accelerators powered", value=float(fleet.powered), unit="", formula=" + ".join(symbols), inputs=symbols
    )
    outputs["fleet.capital_per_accelerator"] = Output(
        label="capital per accelerator",
        value=limits.capital_usd,
        unit="USD",
        method="price with server parts, network, storage and building; a mixed fleet's mean",
        inputs={
            "parts": "finance.server_parts_usd",
            "storage": "finance.storage_usd",
            "building": "finance.building_usd_per_w",
        },
    )
    outputs["network.switches_per_accelerator"] = Output(
        label="switches per accelerator",
        value=limits.switches,
        unit="",
        method="smallest folded Clos of 64-port switches for the fleet, ports split over planes where three tiers do not reach",
        inputs={"accelerators": "fleet.powered"},
    )
    return outputs


def policy_outputs(others: Mapping[str, float]) -> dict[str, Output]:
    """Return what every policy would leave of the wall time."""
    return {
        f"reliability.policy.{name}": Output(
            label=f"goodput with {reliability.POLICY_WORDS[name]}",
            value=value,
            unit="fraction",
            method="closed form with the times of this policy (docs/reliability.md), extra tokens of islands counted as lost",
            inputs={"rate": "reliability.failure_rate"},
        )
        for name, value in others.items()
    }


def extra_outputs(islands: int, extra: float) -> dict[str, Output]:
    """Return the extra tokens of asynchronous islands, where there are any."""
    if islands == 1:
        return {}
    return {
        "run.extra_tokens": Output(
            label="extra tokens of asynchronous islands, share",
            value=extra,
            unit="fraction",
            method=f"per island and model size ({islands} islands; docs/science.md 10.6)",
            inputs={"each": "reliability.extra_tokens_per_island", "parameters": "model.parameters"},
        )
    }


def run_outputs(
    inputs: Inputs,
    trained: TrainingResult,
    failures: reliability.ReliabilityResult,
    extra: float,
    steps: int,
    run_s: float,
    energy: float,
) -> dict[str, Output]:
    """Return tokens, compute, steps, time, failures, accelerator-hours and energy of the run, SI units."""
    tokens = inputs.value("training.tokens")
    outputs = {
        "run.tokens": Output(
            label="training tokens", value=tokens, unit="token", formula="tokens", inputs={"tokens": "training.tokens"}
        ),
        **extra_outputs(failures.islands, extra),
        "run.compute": Output(
            label="training computation",
            value=trained.outputs["training.flop_per_token"].value * tokens,
            unit="FLOP",
            formula="each * tokens",
            inputs={"each": "training.flop_per_token", "tokens": "run.tokens"},
        ),
        "run.steps": Output(
            label="optimizer steps",
            value=float(steps),
            unit="",
            formula="ceil(tokens * (1 + extra) / step)" if extra else "ceil(tokens / step)",
            inputs={"tokens": "run.tokens", "step": "training.tokens_per_step"}
            | ({"extra": "run.extra_tokens"} if extra else {}),
        ),
        "run.time_ideal": Output(
            label="run without failures",
            value=steps * trained.step_s,
            unit="s",
            formula="steps * step",
            inputs={"steps": "run.steps", "step": "training.step_time"},
        ),
        "run.time": Output(
            label="training run",
            value=run_s,
            unit="s",
            formula="ideal / goodput",
            inputs={"ideal": "run.time_ideal", "goodput": "reliability.goodput"},
        ),
        "run.failures": Output(
            label="failures during the run",
            value=run_s * failures.outputs["reliability.failure_rate"].value,
            unit="",
            formula="time * rate",
            inputs={"time": "run.time", "rate": "reliability.failure_rate"},
        ),
        "run.accelerator_hours": Output(
            label="accelerator-hours of the job",
            value=trained.accelerators * run_s / 3600.0,
            unit="",
            formula="used * time / 3600",
            inputs={"used": "training.accelerators_used", "time": "run.time"},
        ),
        "run.energy": Output(
            label="energy of the run",
            value=energy,
            unit="J",
            formula="facility * time",
            inputs={"facility": "power.facility", "time": "run.time"},
        ),
        "run.energy_per_token": Output(
            label="energy per trained token",
            value=energy / tokens,
            unit="J/token",
            formula="energy / tokens",
            inputs={"energy": "run.energy", "tokens": "run.tokens"},
        ),
    }
    if inputs.has("training.sample_bytes"):
        per_token = inputs.value("training.sample_bytes") / inputs.value("training.tokens_per_sample")
        outputs["run.ingest"] = Output(
            label="data ingest while training",
            value=trained.tokens_per_s * per_token,
            unit="B/s",
            formula="rate * sample / tokens",
            inputs={
                "rate": "training.tokens_per_s",
                "sample": "training.sample_bytes",
                "tokens": "training.tokens_per_sample",
            },
        )
        outputs["run.input_bytes"] = Output(
            label="data read in the run",
            value=tokens * per_token,
            unit="B",
            formula="all * sample / tokens",
            inputs={"all": "run.tokens", "sample": "training.sample_bytes", "tokens": "training.tokens_per_sample"},
        )
    return outputs
