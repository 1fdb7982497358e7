"""A plan through the day and the months: units needed hour by hour, what is free meanwhile, power, money."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gigawatt import finance, serving
from gigawatt.evidence import Breakdown
from gigawatt.planning._serve_chips import HOUR_S, MONTH_S
from gigawatt.planning._serve_plans import ClassPlan, words
from gigawatt.planning._serve_run import service_facts
from gigawatt.scenario import PricesItem, ServingSection

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFleet:
    """The fleet of one class: `units` (H,) that have to be on in each hour of the first week, `watts` (H,) of the site for
    all that are there; `rates` (H,) as in the demand. `total` units are bought.
    """

    plan: ClassPlan
    rates: Array
    units: NDArray[np.int64]
    watts: Array
    total: int

    @property
    def accelerators(self) -> int:
        """Accelerators that are bought."""
        return self.total * self.plan.accelerators_per_unit

    @property
    def peak_w(self) -> float:
        """Power of the site in the busiest hour, W."""
        return float(self.watts.max())

    @property
    def mean_w(self) -> float:
        """Mean power of the site, W."""
        return float(self.watts.mean())

    @property
    def usd_per_s(self) -> float:
        """Capital, upkeep, staff and energy, USD/s."""
        chip = self.plan.chip
        return self.accelerators * chip.fixed_usd_per_s + self.mean_w * chip.usd_per_joule

    @property
    def usd_per_request(self) -> float:
        """Dollars of a request, everything that is bought included."""
        return self.usd_per_s / float(self.rates.mean())

    def day(self) -> list[dict[str, Any]]:
        """Return the busiest day hour by hour."""
        start = int(np.argmax(self.rates.reshape(-1, 24).sum(axis=1))) * 24
        each = self.plan.accelerators_per_unit
        return [
            {
                "hour": hour,
                "requests_per_s": float(self.rates[start + hour]),
                "replicas": int(self.units[start + hour]) * (self.plan.replicas + self.plan.prefill_replicas),
                "accelerators": int(self.units[start + hour]) * each,
                "power_w": float(self.watts[start + hour]),
                "freed_accelerators": (self.total - int(self.units[start + hour])) * each,
            }
            for hour in range(24)
        ]

    def freed(self) -> Array:
        """Return the accelerators that are not needed, by hour of the first week, (H,)."""
        return np.asarray((self.total - self.units) * float(self.plan.accelerators_per_unit), dtype=np.float64)


class _Weighed(Protocol):
    """What plans are weighed by: a fleet of a class, or of images."""

    @property
    def usd_per_s(self) -> float: ...
    @property
    def mean_w(self) -> float: ...


# What is to be least under an objective.
WEIGHED: Mapping[str, Callable[[_Weighed], float]] = {"cost": lambda f: f.usd_per_s, "power": lambda f: f.mean_w}


def fleet_of(section: ServingSection, plan: ClassPlan, growth: float = 1.0) -> ClassFleet:
    """Return the units that the rates of a class need hour by hour, `growth` times those of the first week.

    A unit must be on before it is needed: each hour has what the rate reaches within the start-up time. What is free
    waits under power, until something else runs on it.
    """
    rates = plan.demand.rates * growth
    needed = serving.fleet(kind_of(plan), rates * (1.0 + (section.headroom or 0.0)), operation_of(section))
    extra = math.ceil((section.spare_replicas or 0) / (plan.replicas + plan.prefill_replicas))
    units = np.maximum(np.ceil(needed.powered[0] - 1e-9), 1.0).astype(np.int64) + extra
    total = int(units.max())
    load = rates / (units * plan.rate)
    idle = plan.accelerators_per_unit * float(plan.chip.site_watts(0.0))
    busy = np.array([plan.unit_watts(float(share)) for share in load])
    return ClassFleet(plan=plan, rates=rates, units=units, watts=units * busy + (total - units) * idle, total=total)


def kind_of(plan: ClassPlan) -> serving.ReplicaKind:
    """Return a unit of a plan as one kind of replica at its planned load."""
    watts = plan.unit_watts() / plan.accelerators_per_unit
    return serving.ReplicaKind.of(
        plan.accelerators_per_unit,
        plan.rate,
        watts=watts,
        usd_per_hour=float(plan.chip.usd_per_s(watts)) * HOUR_S,
    )


def operation_of(section: ServingSection) -> serving.Operation:
    """Return how replicas come and go."""
    start_s = section.start_up if section.start_up is not None else service_facts()["start_up_s"].best
    return serving.Operation(start_up_s=start_s)


def reached(fleet: ClassFleet, megawatts: float | None, usd_per_month: float | None) -> dict[str, Any]:
    """Return what the plan of a class serves with so much power, W / 1e6, or money: the inverse question. Users where the
    class has them, requests/s of the busiest hour always.
    """
    demand = fleet.plan.demand
    users = demand.traffic.users
    found = serving.reach(
        kind_of(fleet.plan),
        megawatts=megawatts,
        usd_per_month=usd_per_month,
        peak_rate_per_user=demand.peak_rate / (users or demand.peak_rate),
    )
    return {
        "class": demand.name,
        "accelerator": fleet.plan.chip.name,
        "accelerators": int(found.replicas[0]) * fleet.plan.accelerators_per_unit,
        "peak_requests_per_s": float(found.rate[0]),
        "users": None if users is None else float(found.users[0]),
        "watts": float(found.watts[0]),
        "usd_per_month": float(found.usd_per_month[0]),
        "binding": str(found.binding[0]),
    }


def request_shares(plan: ClassPlan) -> dict[str, float]:
    """Return the shares of a unit's chip time by kind of token: computed prompt, cached prompt, output; they sum to 1."""
    assert plan.state is not None
    assert plan.unit is not None
    mix = plan.demand.mix
    if not plan.disaggregated:
        times = serving.request_times(plan.state, plan.offer.table, np.array([plan.row]), mix)
        parts = {
            "input": float(times.prefill_s[0]),
            "cached": float(times.cached_s[0]),
            "output": float(times.decode_s[0]),
        }
    else:
        assert plan.prefill is not None
        row = np.array([int(plan.unit.prefill_row[0])])
        times = serving.request_times(plan.prefill, plan.prefill_offer.table, row, mix)
        made, kept = float(times.prefill_s[0]), float(times.cached_s[0])
        first = plan.prefill_accelerators
        whole = max(made + kept, 1e-300)
        parts = {
            "input": first * made / whole,
            "cached": first * kept / whole,
            "output": float(plan.accelerators_per_unit - first),
        }
    total = sum(parts.values())
    return {name: value / total for name, value in parts.items()}


def tokens_per_request(plan: ClassPlan) -> dict[str, float]:
    """Return the mean tokens of a request by kind."""
    mix = plan.demand.mix
    return {"input": mix.mean(mix.computed), "cached": mix.mean(mix.cached), "output": mix.mean(mix.output)}


def usd_per_million(fleet: ClassFleet) -> dict[str, float | None]:
    """Return dollars per million tokens by kind, and of all tokens together; None for a kind that does not occur."""
    shares, tokens = request_shares(fleet.plan), tokens_per_request(fleet.plan)
    found: dict[str, float | None] = {
        name: 1e6 * fleet.usd_per_request * shares[name] / tokens[name] if tokens[name] > 0 else None for name in shares
    }
    return found | {"all": 1e6 * fleet.usd_per_request / sum(tokens.values())}


def cost_tree(fleet: ClassFleet) -> Breakdown:
    """Return dollars of a month by kind of token."""
    month = fleet.usd_per_s * MONTH_S
    labels = {"input": "prompt tokens, computed", "cached": "prompt tokens, cached", "output": "output tokens"}
    shares = request_shares(fleet.plan)
    return Breakdown.of("cost of a month", "USD", {labels[name]: month * share for name, share in shares.items()})


def economics(section: ServingSection, fleet: ClassFleet) -> dict[str, Any] | None:
    """Return what is earned and what an API would take for the same tokens; None where no price is given."""
    if section.prices is None and section.compare_price is None:
        return None
    mean, tokens = float(fleet.rates.mean()), tokens_per_request(fleet.plan)
    cost = fleet.usd_per_s * MONTH_S
    earned = None if section.prices is None else _sold(section.prices, tokens, mean)
    asked = None if section.compare_price is None else _sold(section.compare_price, tokens, mean)
    bought = asked if asked is not None else earned
    choice = finance.self_host_or_api(
        bought or [],
        accelerators=fleet.accelerators,
        usd_per_accelerator_hour=fleet.usd_per_s / max(fleet.accelerators, 1) * HOUR_S,
    )
    revenue = None if earned is None else finance.token_revenue(earned).value * MONTH_S
    share = choice.break_even_share
    return {
        "revenue_usd_per_month": revenue,
        "margin": None if revenue is None or revenue <= 0 else (revenue - cost) / revenue,
        "api_usd_per_month": None if asked is None else finance.token_revenue(asked).value * MONTH_S,
        "break_even_utilisation": None if math.isinf(share) else share * mean / (fleet.total * fleet.plan.rate),
    }


def _sold(prices: PricesItem, tokens: dict[str, float], rate: float) -> list[finance.TokenClass]:
    each = {
        "input": prices.input or 0.0,
        "cached": prices.cached if prices.cached is not None else prices.input or 0.0,
        "output": prices.output or 0.0,
    }
    return [
        finance.TokenClass(name=name, tokens_per_s=rate * tokens[name], usd_per_token=price)
        for name, price in each.items()
    ]


def plan_row(plan: ClassPlan, fleet: ClassFleet | None) -> dict[str, Any]:
    """Return a plan and its fleet as plain data; fields of a plan that keeps no promise are None."""
    base: dict[str, Any] = {
        "class": plan.demand.name,
        "accelerator": plan.chip.name,
        "objective": plan.objective,
        "feasible": plan.feasible,
        "reason": plan.reason,
        "nearest": None if plan.nearest is None else dict(plan.nearest),
        "estimate": not plan.chip.chip.calibrated,
    }
    if fleet is None or plan.state is None or plan.unit is None:
        return base | dict.fromkeys(PLAN_FIELDS)
    facts = service_facts()
    error = facts["error.transferred" if base["estimate"] else "error.calibrated"].best
    state, row, table = plan.state, plan.row, plan.offer.table
    output = tokens_per_request(plan)["output"]
    mean, unit = float(fleet.rates.mean()), plan.accelerators_per_unit
    capacity = float(table.kv_capacity_bytes[row])
    return base | {
        "precision": plan.offer.precision,
        "layout": words(plan.offer, row),
        "disaggregated": plan.disaggregated,
        "prefill_layout": words(plan.prefill_offer, int(plan.unit.prefill_row[0])) if plan.disaggregated else None,
        "prefill_accelerator": plan.chip.name if plan.disaggregated else None,
        "prefill_share": plan.prefill_accelerators / unit if plan.disaggregated else None,
        "sequences": float(state.decoding[0]),
        "token_budget": int(plan.unit.token_budget[0]),
        "accelerators_per_replica": unit,
        "requests_per_s": plan.rate,
        "tokens_per_s_per_accelerator": plan.rate * output / unit,
        "interactivity_tokens_per_s": 1.0 / plan.tpot_s[0],
        "ttft_s": {"p50": plan.ttft_s[0], "at_percentile": plan.ttft_s[1]},
        "tpot_s": {"p50": plan.tpot_s[0], "at_percentile": plan.tpot_s[1]},
        "binding": str(state.binding[0]),
        "utilisation": float(state.utilisation[0]),
        "kv_capacity_tokens": int(capacity / float(table.kv_bytes[row])) if table.kv_bytes[row] > 0 else None,
        "kv_occupancy": float(state.kv_bytes[0]) / capacity,
        "replicas": fleet.total * (plan.replicas + plan.prefill_replicas),
        "accelerators": fleet.accelerators,
        "accelerators_low": math.floor(fleet.accelerators * (1.0 - error)),
        "accelerators_high": math.ceil(fleet.accelerators / (1.0 - error)),
        "peak_w": fleet.peak_w,
        "mean_w": fleet.mean_w,
        "energy_j_per_output_token": fleet.mean_w / (mean * output),
        "output_tokens_per_j": mean * output / fleet.mean_w,
        "usd_per_month": fleet.usd_per_s * MONTH_S,
        "usd_per_million": usd_per_million(fleet),
    }


PLAN_FIELDS = (
    "precision", "layout", "disaggregated", "prefill_layout", "prefill_accelerator", "prefill_share", "sequences",
    "token_budget", "accelerators_per_replica", "requests_per_s", "tokens_per_s_per_accelerator",
    "interactivity_tokens_per_s", "ttft_s", "tpot_s", "binding", "utilisation", "kv_capacity_tokens", "kv_occupancy",
    "replicas", "accelerators", "accelerators_low", "accelerators_high", "peak_w", "mean_w",
    "energy_j_per_output_token", "output_tokens_per_j", "usd_per_month", "usd_per_million",
)  # fmt: skip
