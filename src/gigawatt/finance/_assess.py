"""What the factory costs, what the run costs, and what a useful accelerator-hour costs. All amounts are costs in
USD.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gigawatt.evidence import Breakdown, Output, outputs_frame
from gigawatt.finance._formulas import capital_recovery_factor

SECONDS_PER_YEAR = 365.25 * 86400.0
ASSUMPTIONS = (
    "finance.server_parts_usd",
    "finance.storage_usd",
    "finance.discount_rate",
    "finance.it_maintenance_per_year",
    "finance.switch_usd",
    "finance.cables_usd",
    "finance.building_usd_per_w",
    "finance.it_lifetime_s",
    "finance.building_lifetime_s",
    "finance.operations_per_s",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """Accelerators of one kind and the price of one, without the server around it."""

    name: str
    count: int
    price_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FinanceResult:
    """Capital, cost of the run (capital written off over its share of the lifetime) and unit costs."""

    capex: Breakdown
    run_cost: Breakdown
    outputs: Mapping[str, Output]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "capex": self.capex.to_dict(),
            "run_cost": self.run_cost.to_dict(),
            "warnings": list(self.warnings),
            "outputs": {path: output.to_dict() for path, output in self.outputs.items()},
        }

    def to_frame(self) -> Any:
        """Return the outputs as a pandas DataFrame. Needs pandas."""
        return outputs_frame(self.outputs)


def capital_per_accelerator(price_usd: float, switches: float, peak_w: float, values: Mapping[str, float]) -> float:
    """Return USD per accelerator with everything around it: server parts, network, storage, building.

    `peak_w` is IT power per accelerator at the sustained peak; the building is paid per W of IT power.
    """
    network = values["finance.switch_usd"] * switches + values["finance.cables_usd"]
    building = values["finance.building_usd_per_w"] * peak_w
    return price_usd + values["finance.server_parts_usd"] + network + values["finance.storage_usd"] + building


def assess(
    *,
    purchases: Sequence[Purchase],
    switches_per_accelerator: float,
    it_peak_w: float,
    energy_j: float,
    energy_usd_per_joule: float,
    run_s: float,
    accelerators_used: int,
    goodput: float,
    tokens: float,
    values: Mapping[str, float],
    staff_usd_per_s: float | None = None,
) -> FinanceResult:
    """Return capital, run cost and unit costs of one training run.

    `it_peak_w` is the IT power that the building is made for, `energy_j` what the run draws. Capital is written off
    with the capital-recovery factor over its lifetime, of which the run takes run_s. `staff_usd_per_s` replaces the
    default (a share of the building's cost per year). Raises KeyError for a missing assumption.
    """
    v = {path.partition(".")[2]: values[path] for path in ASSUMPTIONS}
    count = sum(purchase.count for purchase in purchases)
    parts = {
        "accelerators": sum(p.count * p.price_usd for p in purchases),
        "servers": v["server_parts_usd"] * count,
        "network": (v["switch_usd"] * switches_per_accelerator + v["cables_usd"]) * count,
        "storage": v["storage_usd"] * count,
        "building, power and cooling": v["building_usd_per_w"] * it_peak_w,
    }
    capex = Breakdown.of("capital", "USD", parts)
    building = parts["building, power and cooling"]
    it = capex.value - building
    share = run_s / SECONDS_PER_YEAR
    crf_it = capital_recovery_factor(v["discount_rate"], v["it_lifetime_s"] / SECONDS_PER_YEAR)
    crf_building = capital_recovery_factor(v["discount_rate"], v["building_lifetime_s"] / SECONDS_PER_YEAR)
    staff = (staff_usd_per_s if staff_usd_per_s is not None else v["operations_per_s"] * building) * run_s
    run = Breakdown.of(
        "cost of the run",
        "USD",
        {
            "accelerators, servers, network": it * crf_it * share,
            "building, power and cooling": building * crf_building * share,
            "maintenance": it * v["it_maintenance_per_year"] * share,
            "energy": energy_j * energy_usd_per_joule,
            "staff and operations": staff,
        },
    )
    useful_hours = accelerators_used * goodput * run_s / 3600.0
    outputs = _outputs(
        purchases,
        parts,
        capex.value,
        run,
        run.value / useful_hours,
        run.value / tokens,
        v["discount_rate"],
        staff_usd_per_s is not None,
    )
    return FinanceResult(capex=capex, run_cost=run, outputs=outputs, warnings=())


def _outputs(
    purchases: Sequence[Purchase],
    parts: Mapping[str, float],
    capex: float,
    run: Breakdown,
    useful: float,
    token: float,
    discount_rate: float,
    staff_given: bool,
) -> dict[str, Output]:
    spent = {child.label: child.value for child in run.children}
    it = sum(parts[name] for name in ("accelerators", "servers", "network", "storage"))
    bought = " + ".join(f"n{i} * price{i}" for i in range(len(purchases)))
    bought_inputs = {f"n{i}": f"fleet.powered.{p.name}" for i, p in enumerate(purchases)}
    bought_inputs |= {f"price{i}": f"accelerator.{p.name}.price_usd" for i, p in enumerate(purchases)}
    year = f"{SECONDS_PER_YEAR:.0f}"
    powered = {"powered": "fleet.powered"}
    rate = {"w": "finance.discount_rate"} if discount_rate else {}
    crf = f"w / (1 - (1 + w) ** (-life / {year}))" if discount_rate else f"{year} / life"
    it_inputs = {
        "accelerators": "finance.accelerators",
        "servers": "finance.servers",
        "network": "finance.network",
        "storage": "finance.storage",
    }
    it_sum = "(accelerators + servers + network + storage)"
    return {
        "finance.accelerators": Output(
            label="accelerators", value=parts["accelerators"], unit="USD", formula=bought, inputs=bought_inputs
        ),
        "finance.servers": Output(
            label="servers without accelerators",
            value=parts["servers"],
            unit="USD",
            formula="each * powered",
            inputs={"each": "finance.server_parts_usd", **powered},
        ),
        "finance.network": Output(
            label="switches, cables, optics",
            value=parts["network"],
            unit="USD",
            formula="(switch * switches + cables) * powered",
            inputs={
                "switch": "finance.switch_usd",
                "switches": "network.switches_per_accelerator",
                "cables": "finance.cables_usd",
                **powered,
            },
        ),
        "finance.storage": Output(
            label="storage",
            value=parts["storage"],
            unit="USD",
            formula="each * powered",
            inputs={"each": "finance.storage_usd", **powered},
        ),
        "finance.building": Output(
            label="building, power and cooling",
            value=parts["building, power and cooling"],
            unit="USD",
            formula="per_watt * each * powered",
            inputs={"per_watt": "finance.building_usd_per_w", "each": "power.it_per_accelerator_peak", **powered},
        ),
        "finance.capex": Output(
            label="capital",
            value=capex,
            unit="USD",
            formula="accelerators + servers + network + storage + building",
            inputs={**it_inputs, "building": "finance.building"},
        ),
        "finance.it_write_off": Output(
            label="accelerators, servers, network: written off in the run",
            value=spent["accelerators, servers, network"],
            unit="USD",
            formula=f"{it_sum} * {crf} * run / {year}",
            inputs={**it_inputs, **rate, "life": "finance.it_lifetime_s", "run": "run.time"},
        ),
        "finance.building_write_off": Output(
            label="building: written off in the run",
            value=spent["building, power and cooling"],
            unit="USD",
            formula=f"building * {crf} * run / {year}",
            inputs={"building": "finance.building", **rate, "life": "finance.building_lifetime_s", "run": "run.time"},
        ),
        "finance.maintenance": Output(
            label="maintenance",
            value=spent["maintenance"],
            unit="USD",
            formula=f"{it_sum} * share * run / {year}",
            inputs={**it_inputs, "share": "finance.it_maintenance_per_year", "run": "run.time"},
        ),
        "finance.energy": Output(
            label="energy",
            value=spent["energy"],
            unit="USD",
            formula="energy * price",
            inputs={"energy": "run.energy", "price": "site.electricity_price"},
        ),
        "finance.staff": Output(
            label="staff and operations",
            value=spent["staff and operations"],
            unit="USD",
            formula="cost * run" if staff_given else "building * share * run",
            inputs={"cost": "finance.staff_cost", "run": "run.time"}
            if staff_given
            else {"building": "finance.building", "share": "finance.operations_per_s", "run": "run.time"},
        ),
        "finance.run_cost": Output(
            label="cost of the run",
            value=run.value,
            unit="USD",
            formula="it + building + maintenance + energy + staff",
            inputs={
                "it": "finance.it_write_off",
                "building": "finance.building_write_off",
                "maintenance": "finance.maintenance",
                "energy": "finance.energy",
                "staff": "finance.staff",
            },
        ),
        **{
            f"finance.{name}_share": Output(
                label=f"share of {label} in the cost of the run",
                value=parts[part] / it * spent["accelerators, servers, network"] / run.value,
                unit="fraction",
                formula=f"{name} / {it_sum} * written / cost",
                inputs={**it_inputs, "written": "finance.it_write_off", "cost": "finance.run_cost"},
            )
            for name, part, label in (
                ("servers", "servers", "servers without accelerators"),
                ("network", "network", "switches, cables, optics"),
            )
        },
        "finance.energy_share": Output(
            label="share of energy in the cost of the run",
            value=spent["energy"] / run.value,
            unit="fraction",
            formula="energy / cost",
            inputs={"energy": "finance.energy", "cost": "finance.run_cost"},
        ),
        "finance.cost_per_useful_accelerator_hour": Output(
            label="cost per useful accelerator-hour",
            value=useful / 3600.0,
            unit="USD/s",
            formula="cost / (used * goodput * run)",
            method="useful hours: accelerators in the job while training advances",
            inputs={
                "cost": "finance.run_cost",
                "used": "training.accelerators_used",
                "goodput": "reliability.goodput",
                "run": "run.time",
            },
        ),
        "finance.cost_per_million_tokens": Output(
            label="cost per million trained tokens",
            value=token,
            unit="USD/token",
            formula="cost / tokens",
            inputs={"cost": "finance.run_cost", "tokens": "run.tokens"},
        ),
    }
