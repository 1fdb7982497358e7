"""Watts from the accelerator to the grid connection, by phase of training, and what a limit can feed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gigawatt.evidence import Breakdown, Output, outputs_frame
from gigawatt.power._formulas import accelerators_fed, smoothing_energy

ASSUMPTIONS = (
    "power.idle_fraction",
    "power.compute_fraction",
    "power.communication_fraction",
    "power.checkpoint_fraction",
    "power.server_overhead_share",
    "power.server_overhead_fraction",
    "power.network_w_per_switch",
    "power.other_it_fraction",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Accelerators of one kind: how many, their power limit, the server's rated power per accelerator (None where
    unknown), and what stands around each where its parts are known (`server_w`, which goes before the rating).
    """

    name: str
    count: int
    tdp_w: float
    server_max_w_per_accelerator: float | None = None
    server_w: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerResult:
    """Facility power by phase and by part. `facility_peak_w` is the sustained peak, held against the grid limit."""

    facility_w: float
    facility_peak_w: float
    facility_idle_w: float
    max_accelerators: int | None
    facility: Breakdown
    outputs: Mapping[str, Output]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "facility": self.facility.to_dict(),
            "warnings": list(self.warnings),
            "outputs": {path: output.to_dict() for path, output in self.outputs.items()},
        }

    def to_frame(self) -> Any:
        """Return the outputs as a pandas DataFrame. Needs pandas."""
        return outputs_frame(self.outputs)


def assess(
    *,
    loads: Sequence[Load],
    switches_per_accelerator: float,
    pue: float,
    values: Mapping[str, float],
    computing_fraction: float,
    goodput: float,
    step_s: float,
    grid_limit_w: float | None = None,
) -> PowerResult:
    """Return the power of the site while it trains.

    `loads` lists the powered accelerators, `computing_fraction` the share of a step in which chips compute, `goodput`
    the share of wall time in which training runs (the rest is saves and restarts). Raises KeyError for a missing
    assumption, ValueError for no accelerators or a PUE below 1.
    """
    total = sum(load.count for load in loads)
    if total < 1 or pue < 1:
        raise ValueError(f"power needs at least one accelerator and a PUE of at least 1, not {total} and {pue}")
    v = {path.partition(".")[2]: values[path] for path in ASSUMPTIONS}
    tdp = sum(load.count * load.tdp_w for load in loads) / total
    server = sum(load.count * server_overhead_w(load, v) for load in loads) / total
    network = v["network_w_per_switch"] * switches_per_accelerator
    training = v["compute_fraction"] * computing_fraction + v["communication_fraction"] * (1 - computing_fraction)
    mean = training * goodput + v["checkpoint_fraction"] * (1 - goodput)

    def it(accelerator_w: float) -> float:
        return (accelerator_w + server + network) * (1 + v["other_it_fraction"])

    peak_each, mean_each, idle_each = it(v["compute_fraction"] * tdp), it(mean * tdp), it(v["idle_fraction"] * tdp)
    parts = {
        "accelerators": mean * tdp * total,
        "servers": server * total,
        "network": network * total,
        "storage and other IT": (mean * tdp + server + network) * v["other_it_fraction"] * total,
    }
    cooling = (pue - 1) * mean_each * total
    facility = Breakdown.of("facility power, mean of the run", "W", {**parts, "cooling and distribution": cooling})
    swing = (v["compute_fraction"] - v["communication_fraction"]) * tdp * total * (1 + v["other_it_fraction"])
    fed = accelerators_fed(grid_limit_w, pue, peak_each) if grid_limit_w is not None else None
    outputs = _outputs(loads, total, tdp, server, network, mean, (peak_each, mean_each, idle_each), pue, cooling)
    outputs["power.swing"] = Output(
        label="power swing within a step, two levels",
        value=swing,
        unit="W",
        formula="(compute - communication) * limit * powered * (1 + other)",
        inputs={
            "compute": "power.compute_fraction",
            "communication": "power.communication_fraction",
            "limit": "power.accelerator_limit",
            "powered": "fleet.powered",
            "other": "power.other_it_fraction",
        },
    )
    outputs["power.smoothing_energy"] = Output(
        label="storage that would flatten the step, two levels",
        value=float(smoothing_energy(swing, computing_fraction, step_s)),
        unit="J",
        formula="swing * duty * (1 - duty) * step",
        inputs={"swing": "power.swing", "duty": "training.computing_fraction", "step": "training.step_time"},
    )
    if fed is not None:
        outputs["power.max_accelerators"] = Output(
            label="accelerators that the grid limit feeds",
            value=float(fed),
            unit="",
            formula="floor(limit / (pue * each) * (1 + 1e-12))",
            inputs={"limit": "site.grid_limit", "pue": "site.pue", "each": "power.it_per_accelerator_peak"},
        )
    return PowerResult(
        facility_w=facility.value,
        facility_peak_w=peak_each * total * pue,
        facility_idle_w=idle_each * total * pue,
        max_accelerators=fed,
        facility=facility,
        outputs=outputs,
        warnings=(),
    )


def server_overhead_w(load: Load, values: Mapping[str, float]) -> float:
    """Return what hosts, fans and network cards draw per accelerator, W.

    What is known of its parts; else a share of what the server's rating leaves beside the accelerators, or a share of
    the accelerator's limit where the rating is not known. `values` by short name ("server_overhead_share").
    """
    if load.server_w is not None:
        return load.server_w
    if load.server_max_w_per_accelerator is None or load.server_max_w_per_accelerator <= load.tdp_w:
        return values["server_overhead_fraction"] * load.tdp_w
    return values["server_overhead_share"] * (load.server_max_w_per_accelerator - load.tdp_w)


def _server_terms(loads: Sequence[Load]) -> tuple[str, dict[str, str], str, dict[str, str]]:
    """Return formulas and inputs of the mean power limit and of the mean server overhead over the kinds of
    accelerators.
    """
    limits, servers = [], []
    limit_inputs: dict[str, str] = {"powered": "fleet.powered"}
    server_inputs: dict[str, str] = {"powered": "fleet.powered"}
    for index, load in enumerate(loads):
        count, tdp, rated = f"n{index}", f"tdp{index}", f"rated{index}"
        limit_inputs |= {count: f"fleet.powered.{load.name}", tdp: f"accelerator.{load.name}.tdp_w"}
        server_inputs |= {count: f"fleet.powered.{load.name}", tdp: f"accelerator.{load.name}.tdp_w"}
        limits.append(f"{count} * {tdp}")
        if load.server_w is not None:
            server_inputs[f"own{index}"] = f"accelerator.{load.name}.server_w"
            servers.append(f"{count} * own{index}")
        elif load.server_max_w_per_accelerator is None or load.server_max_w_per_accelerator <= load.tdp_w:
            server_inputs["fraction"] = "power.server_overhead_fraction"
            servers.append(f"{count} * fraction * {tdp}")
        else:
            server_inputs |= {
                "share": "power.server_overhead_share",
                rated: f"fleet.server_max_w_per_accelerator.{load.name}",
            }
            servers.append(f"{count} * share * ({rated} - {tdp})")
    return f"({' + '.join(limits)}) / powered", limit_inputs, f"({' + '.join(servers)}) / powered", server_inputs


def _outputs(
    loads: Sequence[Load],
    total: int,
    tdp: float,
    server: float,
    network: float,
    mean: float,
    each: tuple[float, float, float],
    pue: float,
    cooling: float,
) -> dict[str, Output]:
    limit_formula, limit_inputs, server_formula, server_inputs = _server_terms(loads)
    around = {"server": "power.server", "network": "power.network", "other": "power.other_it_fraction"}
    limit = {"limit": "power.accelerator_limit"}
    it_formula = "(accelerator + server + network) * (1 + other)"
    peak_each, mean_each, idle_each = each
    return {
        "power.accelerator_limit": Output(
            label="power limit of an accelerator", value=tdp, unit="W", formula=limit_formula, inputs=limit_inputs
        ),
        "power.accelerator": Output(
            label="accelerator, mean of the run",
            value=mean * tdp,
            unit="W",
            formula="((compute * duty + communication * (1 - duty)) * goodput + checkpoint * (1 - goodput)) * limit",
            inputs={
                "compute": "power.compute_fraction",
                "communication": "power.communication_fraction",
                "duty": "training.computing_fraction",
                "checkpoint": "power.checkpoint_fraction",
                "goodput": "reliability.goodput",
                **limit,
            },
        ),
        "power.server": Output(
            label="host, fans and network cards per accelerator",
            value=server,
            unit="W",
            formula=server_formula,
            inputs=server_inputs,
        ),
        "power.network": Output(
            label="switches per accelerator",
            value=network,
            unit="W",
            formula="switch * switches",
            inputs={"switch": "power.network_w_per_switch", "switches": "network.switches_per_accelerator"},
        ),
        "power.it_per_accelerator": Output(
            label="IT power per accelerator, mean of the run",
            value=mean_each,
            unit="W",
            formula=it_formula,
            inputs={"accelerator": "power.accelerator", **around},
        ),
        "power.it_per_accelerator_peak": Output(
            label="IT power per accelerator, computing",
            value=peak_each,
            unit="W",
            formula="(compute * limit + server + network) * (1 + other)",
            inputs={"compute": "power.compute_fraction", **limit, **around},
        ),
        "power.it": Output(
            label="IT power, mean of the run",
            value=mean_each * total,
            unit="W",
            formula="each * powered",
            inputs={"each": "power.it_per_accelerator", "powered": "fleet.powered"},
        ),
        "power.cooling": Output(
            label="cooling and distribution, mean of the run",
            value=cooling,
            unit="W",
            formula="(pue - 1) * it",
            inputs={"pue": "site.pue", "it": "power.it"},
        ),
        "power.facility": Output(
            label="facility power, mean of the run",
            value=mean_each * total + cooling,
            unit="W",
            formula="it + cooling",
            inputs={"it": "power.it", "cooling": "power.cooling"},
        ),
        "power.facility_peak": Output(
            label="facility power, sustained peak",
            value=peak_each * total * pue,
            unit="W",
            formula="each * powered * pue",
            inputs={"each": "power.it_per_accelerator_peak", "powered": "fleet.powered", "pue": "site.pue"},
        ),
        "power.facility_per_accelerator": Output(
            label="facility power per accelerator, sustained peak",
            value=peak_each * pue,
            unit="W",
            formula="each * pue",
            inputs={"each": "power.it_per_accelerator_peak", "pue": "site.pue"},
        ),
        "power.facility_idle": Output(
            label="facility power, no job",
            value=idle_each * total * pue,
            unit="W",
            formula="(idle * limit + server + network) * (1 + other) * powered * pue",
            inputs={"idle": "power.idle_fraction", **limit, **around, "powered": "fleet.powered", "pue": "site.pue"},
        ),
    }
