"""One class of traffic on one kind of accelerator: the plan that keeps the promise at least cost or at least power, and
the nearest miss where none does.

    chip x precision -> step table of all layouts -> search -> the best unit -> its mean field in full
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gigawatt import serving
from gigawatt.errors import InputError, Problem
from gigawatt.model import PRECISIONS, Transformer, kv_cache_bytes_per_token
from gigawatt.planning._serve_chips import HOUR_S, ServingChip
from gigawatt.planning._serve_traffic import Demand, burstiness
from gigawatt.scenario import LayoutItem, Scenario, ServingSection

Array = NDArray[np.float64]
OBJECTIVES: tuple[Literal["cost", "power"], ...] = ("cost", "power")
# Accelerators of the largest unit that is tried (a replica, or pools side by side), where no layout is given.
LARGEST_UNIT = 64
# A time that nobody promised.
NO_PROMISE_S = 1e6
# Energy is a small part of the cost of an accelerator; in the search it is that of this many sequences.
TYPICAL_SEQUENCES = 64.0
# Sequences of one accelerator beyond which nothing is gained.
SEQUENCES_PER_ACCELERATOR = 192.0
# Chance at a moment that more keys and values are wanted than there is memory for. Long outputs keep a full cache full for
# minutes, so what is rare at a moment is not rare in a day: with 1 % a replica recomputes a quarter of its sequences.
OVERFLOW = 1e-5
# Plans of a search that are looked at with all lengths, and how much later they may then be.
LOOKED_AT, SLACK = 12, 1.02
# Points of the front of a class that are shown.
SHOWN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassPlan:
    """How one class is served on one kind of accelerator under one objective. `unit` is the plan that is copied (one
    row), `rate` the requests/s that one copy serves, `state` and `prefill` the mean field of its replicas at that rate.
    Without a unit `reason` says what stands in the way.
    """

    demand: Demand
    chip: ServingChip
    objective: str
    reason: str
    offers: tuple[serving.Offer, ...] = ()
    unit: serving.Candidates | None = None
    rate: float = 0.0
    state: serving.MeanField | None = None
    prefill: serving.MeanField | None = None
    ttft_s: tuple[float, float] = (0.0, 0.0)
    tpot_s: tuple[float, float] = (0.0, 0.0)
    handover: serving.Handover | None = None
    nearest: Mapping[str, Any] | None = None
    searched: Mapping[str, Any] = field(default_factory=dict)

    @property
    def feasible(self) -> bool:
        """Whether the promise can be kept."""
        return self.unit is not None

    @property
    def offer(self) -> serving.Offer:
        """The chip and format of the replicas that decode."""
        assert self.unit is not None
        return self.offers[int(self.unit.offer[0])]

    @property
    def row(self) -> int:
        """The layout of the replicas that decode."""
        assert self.unit is not None
        return int(self.unit.row[0])

    @property
    def copies(self) -> int:
        """Units that the search put side by side."""
        assert self.unit is not None
        return int(self.unit.copies[0])

    @property
    def disaggregated(self) -> bool:
        """Whether prefill has a pool of its own."""
        return self.unit is not None and int(self.unit.prefill_replicas[0]) > 0

    @property
    def replicas(self) -> int:
        """Replicas of one unit that decode."""
        assert self.unit is not None
        return int(self.unit.replicas[0])

    @property
    def prefill_replicas(self) -> int:
        """Replicas of one unit that only prefill."""
        assert self.unit is not None
        return int(self.unit.prefill_replicas[0])

    @property
    def prefill_offer(self) -> serving.Offer:
        """The chip and format of the replicas that prefill."""
        assert self.unit is not None
        return self.offers[int(self.unit.prefill_offer[0])]

    @property
    def prefill_accelerators(self) -> int:
        """Accelerators of one unit that only prefill."""
        if not self.disaggregated:
            return 0
        assert self.unit is not None
        return self.prefill_replicas * int(self.prefill_offer.table.accelerators[int(self.unit.prefill_row[0])])

    @property
    def accelerators_per_unit(self) -> int:
        """Accelerators of one unit."""
        return self.replicas * int(self.offer.table.accelerators[self.row]) + self.prefill_accelerators

    def unit_watts(self, share: float = 1.0) -> float:
        """Return what the site draws for a unit at a share of its planned load, W."""
        assert self.state is not None
        own = self.accelerators_per_unit - self.prefill_accelerators
        watts = own * float(self.chip.site_watts(float(self.state.decoding[0]) * share))
        if self.prefill is not None:
            busy = min(float(self.prefill.prefill_load[0]) * share, 1.0)
            idle = float(self.chip.site_watts(0.0))
            watts += self.prefill_accelerators * (idle + busy * (float(self.chip.site_watts(1e4)) - idle))
        return watts


def words(offer: serving.Offer, row: int) -> str:
    """Return a layout in words: TP8, TP1 EP32 DP32, TP8 PP2."""
    degrees = {
        "TP": offer.layouts.tensor_parallel,
        "PP": offer.layouts.pipeline_parallel,
        "EP": offer.layouts.expert_parallel,
        "DP": offer.layouts.attention_data_parallel,
    }
    return " ".join(f"{name}{int(d[row])}" for name, d in degrees.items() if name == "TP" or d[row] > 1)


def offers_of(
    scenario: Scenario, section: ServingSection, chip: ServingChip, model: Transformer
) -> tuple[serving.Offer, ...]:
    """Return a chip in every format that is asked for, with every layout that a model allows, or the given one.

    Raises InputError for a layout that no replica has.
    """
    constants = serving.engine_constants(section.engine or "any", chip.name)
    found = []
    for name in section.precision or _formats(chip):
        precision = serving.SERVING_PRECISIONS[name]
        if section.kv_precision is not None:
            precision = replace(precision, kv_cache=section.kv_precision)
        layouts = _layouts(scenario, section.layout, model, chip)
        most = int(layouts.accelerators.max())
        served = serving.Served(
            model=model, chip=chip.chip, fabric=chip.fabric(most), precision=precision, constants=constants
        )
        typical = float(chip.usd_per_s(chip.site_watts(TYPICAL_SEQUENCES)))
        cache = replace(PRECISIONS["bf16"], kv_cache=precision.kv_cache)
        out = chip.accelerator.scale_out_bytes_per_s
        found.append(
            serving.Offer(
                chip=chip.name,
                precision=name,
                table=serving.step_table(served, layouts),
                layouts=layouts,
                usd_per_hour=typical * HOUR_S,
                watts=chip.site_watts,
                out_bytes_per_s=out.best if out is not None else math.inf,
                token_bytes=kv_cache_bytes_per_token(model, cache),
            )
        )
    return tuple(found)


def _formats(chip: ServingChip) -> list[str]:
    return [name for name in ("bf16", "fp8", "fp4") if name in chip.chip.flop_per_s] or ["bf16"]


def _layouts(scenario: Scenario, pinned: LayoutItem | None, model: Transformer, chip: ServingChip) -> serving.Layouts:
    domain = chip.accelerator.scale_up_domain or 1
    if pinned is None:
        every = serving.possible_layouts(model, LARGEST_UNIT, domain)
        plain = np.flatnonzero(every.pipeline_parallel == 1)
        return serving.Layouts(**{name: getattr(every, name)[plain] for name in every.__dataclass_fields__})
    degrees = {name: value or 1 for name, value in pinned.model_dump().items()}
    experts = model.experts.experts if model.experts else 1
    stage = degrees["tensor_parallel"] * degrees["attention_data_parallel"]
    wrong = model.heads % degrees["tensor_parallel"] or stage % degrees["expert_parallel"]
    if wrong or degrees["expert_parallel"] > experts or (experts == 1 and degrees["attention_data_parallel"] > 1):
        raise InputError(
            Problem(
                message="no replica has this layout",
                location=scenario.place("serving.layout"),
                path="serving.layout",
                found=", ".join(f"{name} {value}" for name, value in degrees.items()),
                allowed=f"tensor_parallel that divides {model.heads} heads; expert_parallel that divides tensor_parallel x attention_data_parallel, at most {experts}; attention_data_parallel above 1 for models with experts",
            )
        )
    return serving.Layouts.of(**degrees)


def plan_class(
    section: ServingSection,
    demand: Demand,
    chip: ServingChip,
    offers: tuple[serving.Offer, ...],
    margin: tuple[float, float] = (1.0, 1.0),
) -> tuple[tuple[ClassPlan, ...], list[dict[str, Any]]]:
    """Return the plans of a class on a chip, one per objective, and the front of tokens/s per accelerator against
    tokens/s of a user. The mean field must keep TTFT and TPOT `margin` times shorter than promised.
    """
    promise = demand.traffic.promise
    largest = max(int(offer.table.accelerators.max()) for offer in offers)
    found = serving.search(
        offers,
        demand.mix,
        serving.PlanPromise(
            ttft_s=(promise.ttft_s or NO_PROMISE_S) / margin[0],
            tpot_s=(promise.tpot_s or NO_PROMISE_S) / margin[1],
            share=promise.percentile,
        ),
        accelerators=max(LARGEST_UNIT, 3 * largest if section.layout else largest),
        space=_space(section, demand, largest),
        objective="cost",
    )
    searched = {
        "generated": found.generated,
        "evaluated": found.judged,
        "feasible": found.feasible,
        "rejected": dict(found.rejected),
    }
    if found.found is None:
        return tuple(_missed(demand, chip, objective, found, searched) for objective in OBJECTIVES), []
    plans = [_best(section, demand, chip, offers, found, goal, searched) for goal in OBJECTIVES]
    return tuple(plans), _front(found, chip, offers)


def _best(
    section: ServingSection,
    demand: Demand,
    chip: ServingChip,
    offers: tuple[serving.Offer, ...],
    found: serving.Plans,
    goal: str,
    searched: Mapping[str, Any],
) -> ClassPlan:
    """Return the best plan that keeps the promise with all lengths, where the search looks at a few of them:
    LOOKED_AT of the best are tried, then as many further down.
    """
    plans = found.found
    assert plans is not None
    score = (plans.usd_per_s if goal == "cost" else plans.watts) / plans.rate
    order = np.argsort(score, kind="stable")
    last = None
    further = order[LOOKED_AT :: max(len(order) // (4 * LOOKED_AT), 1)][:LOOKED_AT]
    for i in np.concatenate([order[:LOOKED_AT], further]):
        last = _chosen(section, demand, chip, offers, plans.take(slice(int(i), int(i) + 1)), goal, searched)
        if last.ttft_s[1] <= SLACK * found.promise.ttft_s and last.tpot_s[1] <= SLACK * found.promise.tpot_s:
            return last
    assert last is not None
    over = max(last.ttft_s[1] / found.promise.ttft_s, last.tpot_s[1] / found.promise.tpot_s)
    return ClassPlan(
        demand=demand,
        chip=chip,
        objective=goal,
        reason=f"the promise is kept by typical requests, but with all lengths it is missed {over:.3g} times; a promise at a lower percentile, or shorter prompts",
        nearest={"precision": last.offer.precision, "limit": "TTFT or TPOT", "wanted": 1.0, "reached": over},
        searched=searched,
    )


def _space(section: ServingSection, demand: Demand, largest: int) -> serving.Space:
    """Return what is tried. Sequences and budgets are of a whole replica, so they go as far as its accelerators."""
    most = max(math.log2(SEQUENCES_PER_ACCELERATOR * largest), 10.5)
    usual = serving.Space()
    top = int(math.log2(max(largest / 8.0, 1.0)))
    budgets = (*usual.token_budgets, *(usual.token_budgets[-1] * 2.0**k for k in range(1, top + 1)))
    space = serving.Space(
        sequences=tuple(float(n) for n in np.unique(np.round(2.0 ** np.arange(0.0, most + 0.01, 0.25)))),
        token_budgets=budgets,
        prefill_budgets=(*usual.prefill_budgets, *(b for b in budgets if b > usual.prefill_budgets[-1])),
        preemption_risk=OVERFLOW,
        aggregated=section.disaggregated != "yes",
        disaggregated=section.disaggregated in ("yes", "search"),
        burstiness=burstiness(demand),
        speculation=_speculation(section),
    )
    if section.token_budget:
        space = replace(space, token_budgets=(float(section.token_budget),))
    if section.max_sequences:
        space = replace(space, sequences=tuple(n for n in space.sequences if n <= section.max_sequences))
    return space


def _speculation(section: ServingSection) -> serving.Speculation:
    return serving.Speculation(draft_tokens=int(section.draft_tokens or 0), acceptance=section.acceptance or 0.0)


def _chosen(
    section: ServingSection,
    demand: Demand,
    chip: ServingChip,
    offers: tuple[serving.Offer, ...],
    unit: serving.Candidates,
    objective: str,
    searched: Mapping[str, Any],
) -> ClassPlan:
    levels = (0.5, demand.traffic.promise.percentile, 0.99)
    rate = float(unit.rate[0] / unit.copies[0])
    offer, count = offers[int(unit.offer[0])], float(unit.replicas[0])
    speculation = _speculation(section)
    how = serving.Replicas(
        max_sequences=np.inf,
        token_budget=unit.token_budget,
        replicas=count,
        burstiness=burstiness(demand),
        speculation=speculation,
    )
    first, handover = None, None
    if unit.prefill_replicas[0] > 0:
        makers = float(unit.prefill_replicas[0])
        source = offers[int(unit.prefill_offer[0])]
        each = float(source.table.accelerators[int(unit.prefill_row[0])])
        handover = serving.Handover(token_bytes=offer.token_bytes, bytes_per_s=source.out_bytes_per_s * each)
        both = serving.disaggregated(
            serving.Pools(
                table=source.table,
                rows=unit.prefill_row,
                how=replace(
                    how,
                    token_budget=unit.prefill_budget,
                    replicas=makers,
                    speculation=serving.Speculation(),
                    router="least_loaded",
                ),
            ),
            serving.Pools(table=offer.table, rows=unit.row, how=how),
            demand.mix,
            rate=rate,
            handover=handover,
            levels=levels,
        )
        state, first, ttft, tpot = both.decode, both.prefill, both.prefill.ttft_s[0], both.tpot_s[0]
    else:
        state = serving.mean_field(offer.table, unit.row, demand.mix, how, rate=rate / count, levels=levels)
        ttft, tpot = state.ttft_s[0], state.tpot_s[0]
    return ClassPlan(
        demand=demand,
        chip=chip,
        objective=objective,
        reason="",
        offers=offers,
        unit=unit,
        rate=rate,
        state=state,
        prefill=first,
        ttft_s=(float(ttft[0]), float(ttft[1])),
        tpot_s=(float(tpot[0]), float(tpot[1])),
        handover=handover,
        searched=searched,
    )


def _missed(
    demand: Demand, chip: ServingChip, objective: str, found: serving.Plans, searched: Mapping[str, Any]
) -> ClassPlan:
    nearest = found.misses[0] if found.misses else None
    if nearest is None:
        return ClassPlan(demand=demand, chip=chip, objective=objective, reason="nothing fits", searched=searched)
    times = (
        f"{nearest.limit} is {nearest.factor:.3g} times what it may be"
        if math.isfinite(nearest.factor)
        else f"{nearest.limit} does not suffice"
    )
    return ClassPlan(
        demand=demand,
        chip=chip,
        objective=objective,
        reason=f"{times} ({nearest.precision}); {nearest.remedy}",
        nearest={
            "precision": nearest.precision,
            "limit": nearest.limit,
            "wanted": nearest.wanted,
            "reached": nearest.reached if math.isfinite(nearest.reached) else None,
        },
        searched=searched,
    )


def _front(found: serving.Plans, chip: ServingChip, offers: Sequence[serving.Offer]) -> list[dict[str, Any]]:
    """Return the front, thinned, with some plans behind it."""
    assert found.found is not None
    assert found.pareto is not None
    rows = []
    for plans, front in ((found.pareto, True), (found.found, False)):
        for i in range(0, len(plans), max(len(plans) // SHOWN, 1)):
            offer = offers[int(plans.offer[i])]
            rows.append(
                {
                    "accelerator": chip.name,
                    "precision": offer.precision,
                    "layout": words(offer, int(plans.row[i])),
                    "disaggregated": bool(plans.prefill_replicas[i] > 0),
                    "tokens_per_s_per_accelerator": float(plans.rate[i] * found.output_tokens / plans.accelerators[i]),
                    "interactivity_tokens_per_s": float(1.0 / plans.tpot_mean_s[i]),
                    "front": front,
                }
            )
    return rows
