"""One class of traffic on one kind of accelerator: the layout, batch and load with which the promise is kept at least cost
or at least power, and the nearest miss where it cannot be kept.

    chip x precision -> step table of all layouts -> mean field at every budget and load -> those that keep the promise
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt import serving
from gigawatt.errors import InputError, Problem
from gigawatt.model import Transformer
from gigawatt.planning._serve_chips import ServingChip
from gigawatt.planning._serve_traffic import Demand, burstiness
from gigawatt.quantity import format_quantity
from gigawatt.scenario import LayoutItem, Scenario, ServingSection

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
OBJECTIVES = ("cost", "power")
# Loads of a replica that are tried, as shares of what it can stand.
LOADS = (0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.78, 0.85, 0.9, 0.94, 0.97)
BUDGETS = (512, 2048, 8192)
MOST_SEQUENCES = 1024
# Resolution of waits in the search; the plan that is chosen is looked at in full.
COARSE, FINE = 256, 2048
# Accelerators of a replica: up to one server or one scale-up domain, and for large models of experts some servers.
LARGEST_REPLICA, LARGEST_WIDE = 16, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A chip in one number format with the step times of its layouts."""

    chip: ServingChip
    precision: serving.ServingPrecision
    layouts: serving.Layouts
    table: serving.StepTable

    def words(self, row: int) -> str:
        """Return a layout in words: TP8, TP1 EP32 DP32, TP8 PP2."""
        degrees = {
            "TP": self.layouts.tensor_parallel,
            "PP": self.layouts.pipeline_parallel,
            "EP": self.layouts.expert_parallel,
            "DP": self.layouts.attention_data_parallel,
        }
        return " ".join(f"{name}{int(d[row])}" for name, d in degrees.items() if name == "TP" or d[row] > 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """Everything that was evaluated for a class on a chip, N rows; `kept` where the promise holds."""

    offer: Integers
    row: Integers
    budget: Array
    rate: Array
    ttft_s: Array
    tpot_s: Array
    kept: NDArray[np.bool_]
    watts: Array
    usd_per_s: Array
    tokens_per_s: Array
    interactivity: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassPlan:
    """How one class is served on one kind of accelerator under one objective. `state` is the mean field of a replica at
    `rate` requests/s; without it `reason` says what stands in the way.
    """

    demand: Demand
    chip: ServingChip
    objective: str
    reason: str
    offer: Offer | None = None
    row: int = 0
    token_budget: int = 0
    rate: float = 0.0
    state: serving.MeanField | None = None
    nearest: dict[str, Any] | None = None
    searched: dict[str, Any] = field(default_factory=dict)

    @property
    def feasible(self) -> bool:
        """Whether the promise can be kept."""
        return self.state is not None and not self.reason

    @property
    def accelerators_per_replica(self) -> int:
        """Accelerators of one replica."""
        assert self.offer is not None
        return int(self.offer.table.accelerators[self.row])

    def decoding(self, share: float = 1.0) -> float:
        """Sequences that a replica works on at a share of its planned load."""
        assert self.state is not None
        return float(self.state.decoding[0]) * share


def offers_of(
    scenario: Scenario, section: ServingSection, chip: ServingChip, model: Transformer
) -> tuple[tuple[Offer, ...], dict[str, int]]:
    """Return a chip in every format that is asked for, with the layouts in which the model fits, and how many layouts
    were generated and did not fit.
    """
    engine = section.engine or "any"
    constants = serving.engine_constants(engine, chip.name)
    offers, counts = [], {"generated": 0, "does not fit": 0}
    for name in section.precision or [p for p in ("bf16", "fp8", "fp4") if p in chip.chip.flop_per_s] or ["bf16"]:
        precision = serving.SERVING_PRECISIONS[name]
        if section.kv_precision is not None:
            precision = _with_cache(precision, section.kv_precision)
        layouts = _layouts(scenario, section.layout, model, chip)
        most = int(layouts.accelerators.max())
        served = serving.Served(
            model=model, chip=chip.chip, fabric=chip.fabric(most), precision=precision, constants=constants
        )
        table = serving.step_table(served, layouts)
        fits = table.kv_capacity_bytes > 0
        counts["generated"] += len(fits)
        counts["does not fit"] += int((~fits).sum())
        if fits.any():
            offers.append(Offer(chip=chip, precision=precision, layouts=layouts, table=table))
    return tuple(offers), counts


def _with_cache(precision: serving.ServingPrecision, kv: str) -> serving.ServingPrecision:
    return replace(precision, kv_cache=kv)


def _layouts(scenario: Scenario, pinned: LayoutItem | None, model: Transformer, chip: ServingChip) -> serving.Layouts:
    """Return every layout of a replica that divides the model, or the pinned ones."""
    domain = chip.accelerator.scale_up_domain or 1
    experts = model.experts.experts if model.experts else 1
    found = []
    wide = LARGEST_WIDE if experts >= 32 else LARGEST_REPLICA
    pins = pinned or LayoutItem.model_construct()
    powers = [2**i for i in range(9)]
    for tp in [pins.tensor_parallel] if pins.tensor_parallel else [p for p in powers if p <= min(domain, 16)]:
        for pp in [pins.pipeline_parallel] if pins.pipeline_parallel else [1, 2]:
            for dp in (
                [pins.attention_data_parallel]
                if pins.attention_data_parallel
                else ([1, *powers[1:]] if experts > 1 else [1])
            ):
                size = tp * pp * dp
                if not pinned and (size > wide or model.heads % tp):
                    continue
                stage = tp * dp
                for ep in [pins.expert_parallel] if pins.expert_parallel else sorted({1, stage}):
                    if (experts > 1 and stage % ep == 0 and (ep <= experts)) or (experts == 1 and ep == 1):
                        found.append((tp, pp, ep, dp))
    if not found:
        raise InputError(
            Problem(
                message="no replica has this layout",
                location=scenario.place("serving.layout"),
                path="serving.layout",
                found=", ".join(f"{k} {v}" for k, v in pins.model_dump().items() if v is not None),
                allowed=f"tensor_parallel that divides {model.heads} heads; expert_parallel that divides tensor_parallel x attention_data_parallel, at most {experts} experts",
            )
        )
    columns = np.array(sorted(set(found))).T
    return serving.Layouts.of(*columns)


def plan_class(
    section: ServingSection, demand: Demand, chip: ServingChip, offers: Sequence[Offer], counts: dict[str, int]
) -> tuple[tuple[ClassPlan, ...], Considered | None]:
    """Return the plans of a class on a chip, one per objective, and everything that was considered."""
    if not offers:
        reason = f"the model does not fit: no layout of {chip.name} leaves memory for keys and values"
        return tuple(ClassPlan(demand=demand, chip=chip, objective=o, reason=reason) for o in OBJECTIVES), None
    seen = _consider(section, demand, chip, offers)
    searched = {
        "generated": counts["generated"] * len(BUDGETS) * len(LOADS),
        "evaluated": len(seen.rate),
        "feasible": int(seen.kept.sum()),
        "rejected": {"does not fit into memory": counts["does not fit"] * len(BUDGETS) * len(LOADS)},
    }
    plans = []
    for objective in OBJECTIVES:
        cost = seen.usd_per_s if objective == "cost" else seen.watts
        if seen.kept.any():
            best = int(np.argmin(np.where(seen.kept, cost / np.maximum(seen.rate, 1e-30), np.inf)))
            plans.append(_chosen(section, demand, chip, offers, seen, best, objective, searched))
        else:
            plans.append(_missed(section, demand, chip, offers, seen, objective, searched))
    return tuple(plans), seen


def _consider(section: ServingSection, demand: Demand, chip: ServingChip, offers: Sequence[Offer]) -> Considered:
    mix = serving.LengthMix.of_requests(demand.sample, cached=demand.cached, outputs=1)
    promise = demand.traffic.promise
    budgets = np.array([section.token_budget] if section.token_budget else BUDGETS, dtype=np.float64)
    parts = []
    for index, offer in enumerate(offers):
        fit = np.flatnonzero(offer.table.kv_capacity_bytes > 0)
        rows, budget = (x.ravel() for x in np.meshgrid(fit, budgets, indexing="ij"))
        how = _how(section, demand, budget)
        top = serving.mean_field(offer.table, rows, mix, how, rate=0.0, levels=(0.5,), cells=64).capacity
        stands = np.flatnonzero(top > 0)
        if not len(stands):
            continue
        r, b, load = (
            np.repeat(rows[stands], len(LOADS)),
            np.repeat(budget[stands], len(LOADS)),
            np.tile(LOADS, len(stands)),
        )
        rate = np.repeat(top[stands], len(LOADS)) * load
        at = serving.mean_field(
            offer.table, r, mix, _how(section, demand, b), rate=rate, levels=(0.5, promise.percentile), cells=COARSE
        )
        each = offer.table.accelerators[r]
        watts = each * chip.site_watts(at.decoding)
        kept = (at.ttft_s[:, 1] <= (promise.ttft_s or np.inf)) & (at.tpot_s[:, 1] <= (promise.tpot_s or np.inf))
        parts.append(
            Considered(
                offer=np.full(len(r), index),
                row=r,
                budget=b,
                rate=rate,
                ttft_s=at.ttft_s[:, 1],
                tpot_s=at.tpot_s[:, 1],
                kept=kept & (at.preemption_risk < 0.05),
                watts=watts,
                usd_per_s=each * chip.fixed_usd_per_s + watts * chip.usd_per_joule,
                tokens_per_s=at.output_tokens_per_s / each,
                interactivity=1.0 / np.maximum(at.tpot_s[:, 0], 1e-9),
            )
        )
    if not parts:
        empty = np.zeros(0)
        return Considered(
            offer=empty.astype(np.int64), row=empty.astype(np.int64), budget=empty, rate=empty, ttft_s=empty,
            tpot_s=empty, kept=empty.astype(bool), watts=empty, usd_per_s=empty, tokens_per_s=empty, interactivity=empty,
        )  # fmt: skip
    return Considered(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in Considered.__dataclass_fields__})


def _how(section: ServingSection, demand: Demand, budget: Array | float) -> serving.Replicas:
    return serving.Replicas(
        max_sequences=float(section.max_sequences or MOST_SEQUENCES),
        token_budget=budget,
        burstiness=burstiness(demand),
        speculation=serving.Speculation(draft_tokens=int(section.draft_tokens), acceptance=section.acceptance or 0.0)
        if section.draft_tokens
        else serving.Speculation(),
    )


def _chosen(
    section: ServingSection,
    demand: Demand,
    chip: ServingChip,
    offers: Sequence[Offer],
    seen: Considered,
    best: int,
    objective: str,
    searched: dict[str, Any],
) -> ClassPlan:
    offer, row = offers[int(seen.offer[best])], int(seen.row[best])
    at = serving.mean_field(
        offer.table,
        np.array([row]),
        demand.mix,
        _how(section, demand, np.array([seen.budget[best]])),
        rate=float(seen.rate[best]),
        levels=(0.5, demand.traffic.promise.percentile, 0.99),
        cells=FINE,
    )
    return ClassPlan(
        demand=demand,
        chip=chip,
        objective=objective,
        reason="",
        offer=offer,
        row=row,
        token_budget=int(seen.budget[best]),
        rate=float(seen.rate[best]),
        state=at,
        searched=searched,
    )


def _missed(
    section: ServingSection,
    demand: Demand,
    chip: ServingChip,
    offers: Sequence[Offer],
    seen: Considered,
    objective: str,
    searched: dict[str, Any],
) -> ClassPlan:
    """Return the nearest miss: the plan whose larger excess over the promise is smallest."""
    promise = demand.traffic.promise
    if not len(seen.rate):
        longest = int((demand.sample.prompt_tokens + demand.sample.output_tokens).max())
        room = max(
            float((np.maximum(o.table.kv_capacity_bytes, 0.0) / np.maximum(o.table.kv_bytes, 1e-30)).max())
            for o in offers
        )
        reason = f"no request fits: the largest replica holds {room:,.0f} tokens of keys and values, the longest request needs {longest:,}"
        return ClassPlan(demand=demand, chip=chip, objective=objective, reason=reason, searched=searched)
    over = np.maximum(seen.ttft_s / (promise.ttft_s or np.inf), seen.tpot_s / (promise.tpot_s or np.inf))
    best = int(np.argmin(np.where(np.isfinite(over), over, 1e30)))
    near = _chosen(section, demand, chip, offers, seen, best, objective, searched)
    words = []
    for name, found, promised in (
        ("TTFT", seen.ttft_s[best], promise.ttft_s),
        ("TPOT", seen.tpot_s[best], promise.tpot_s),
    ):
        if promised is not None and found > promised:
            words.append(
                f"{name} of {format_quantity(float(found), 's')} at {promise.percentile:.0%} where {format_quantity(promised, 's')} is promised ({found / promised - 1:.0%} over)"
            )
    assert near.offer is not None
    return ClassPlan(
        demand=demand,
        chip=chip,
        objective=objective,
        reason=f"no layout keeps the promise; nearest {near.offer.words(near.row)} in {near.offer.precision.name} almost idle: {' and '.join(words) or 'memory for keys and values runs out'}",
        nearest={
            "layout": near.offer.words(near.row),
            "precision": near.offer.precision.name,
            "ttft_s": float(seen.ttft_s[best]),
            "tpot_s": float(seen.tpot_s[best]),
        },
        searched=searched,
    )


def pareto(seen: Considered, chip: ServingChip, offers: Sequence[Offer], most: int = 60) -> list[dict[str, Any]]:
    """Return output tokens/s per accelerator against tokens/s that a user sees: the front, and what lies near it."""
    known = np.flatnonzero(np.isfinite(seen.ttft_s) & (seen.tokens_per_s > 0))
    order = known[np.argsort(-seen.interactivity[known], kind="stable")]
    best = np.maximum.accumulate(seen.tokens_per_s[order]) if len(order) else np.zeros(0)
    front = order[seen.tokens_per_s[order] >= best]
    others = np.setdiff1d(order, front)
    picked = np.concatenate([front, others[:: max(len(others) // max(most - len(front), 1), 1)]])[:most]
    chosen = set(front.tolist())
    return [
        {
            "accelerator": chip.name,
            "precision": offers[int(seen.offer[i])].precision.name,
            "layout": offers[int(seen.offer[i])].words(int(seen.row[i])),
            "disaggregated": False,
            "tokens_per_s_per_accelerator": float(seen.tokens_per_s[i]),
            "interactivity_tokens_per_s": float(seen.interactivity[i]),
            "front": int(i) in chosen,
        }
        for i in picked.tolist()
    ]
