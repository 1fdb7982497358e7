"""One unit of a plan under the traffic of the busiest hour, simulated request by request, beside its mean field."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt import serving
from gigawatt.catalog import sourced_table
from gigawatt.evidence import Sourced
from gigawatt.planning._serve_plans import ClassPlan
from gigawatt.scenario import ServingSection

Array = NDArray[np.float64]
# Requests of one run, and points of a distribution that are shown.
MOST_REQUESTS, FEWEST_REQUESTS, POINTS = 60_000, 1_500, 80
# The first part of a run fills the replicas; percentiles leave it out.
WARM_UP = 0.2
# A run lasts at least this many times a request's stay.
STAYS = 15.0
QUANTILES = (0.5, 0.9, 0.95, 0.99)


def service_facts() -> dict[str, Sourced]:
    """Return the sourced numbers of a service around its engines, by key."""
    return sourced_table("gigawatt.serving", "data/service.csv")


def simulated(section: ServingSection, plan: ClassPlan, units: int = 1) -> dict[str, Any]:
    """Return what a simulation of `units` of a plan at the planned load shows, as plain data."""
    facts, demand = service_facts(), plan.demand
    stay = plan.ttft_s[0] + float(demand.sample.output_tokens.mean()) * plan.tpot_s[0]
    duration = section.duration or max(facts["simulated_s"].best, STAYS * stay)
    rate = plan.rate * units
    count = int(np.clip(rate * duration, FEWEST_REQUESTS, MOST_REQUESTS))
    requests = demand.drawn(rate, count, (section.seed or 0) + 1)
    run = serving.simulate(requests, service_of(section, plan, units), seed=section.seed or 0)
    counted = run.served & (np.arange(len(requests)) >= WARM_UP * len(requests))
    ttft, tpot, e2e = (values[counted] for values in (run.ttft_s, run.tpot_s, run.e2e_s))
    tpot = tpot[tpot >= 0]
    promise = demand.traffic.promise
    prompt = float(requests.prompt_tokens[counted].sum()) or 1.0
    course = run.course
    decode = len(course.kv_mean) - 1
    times = ((np.arange(len(course.waiting)) + 0.5) * course.width_s).tolist()
    assert plan.state is not None
    kept = {
        "ttft": None if promise.ttft_s is None else _share(ttft, promise.ttft_s),
        "tpot": None if promise.tpot_s is None else _share(tpot, promise.tpot_s),
    }
    return {
        "accelerator": plan.chip.name,
        "replicas": units * (plan.replicas + plan.prefill_replicas),
        "requests": len(requests),
        "requests_per_s": len(requests) / max(float(requests.arrival_s[-1]), 1e-9),
        "duration_s": float(requests.arrival_s[-1]),
        "saturated": run.saturated,
        "sentence": run.status,
        "preemptions": int(run.totals.preemptions.sum()),
        "cached_share": float(run.cached_tokens[counted].sum()) / prompt,
        "ttft_s": _quantiles(ttft) | {"at_percentile": _quantile(ttft, promise.percentile)},
        "tpot_s": _quantiles(tpot) | {"at_percentile": _quantile(tpot, promise.percentile)},
        "e2e_s": _quantiles(e2e),
        "ttft_cdf": _distribution(ttft, promise.ttft_s),
        "tpot_cdf": _distribution(tpot, promise.tpot_s),
        "kv": {
            "time_s": times,
            "occupancy": course.kv_mean[decode].tolist(),
            "highest": course.kv_most[decode].tolist(),
        },
        "load": {"time_s": times, "running": course.running.sum(axis=0).tolist(), "waiting": course.waiting.tolist()},
        "output_tokens_per_s": _steady_rate(run, requests),
        "mean_field": {
            "output_tokens_per_s": rate * float(requests.output_tokens.mean()),
            "ttft_p50_s": plan.ttft_s[0],
            "ttft_p99_s": float((plan.prefill or plan.state).ttft_s[0, 2]),
            "tpot_p50_s": plan.tpot_s[0],
        },
        "kept": kept,
    }


def service_of(section: ServingSection, plan: ClassPlan, units: int) -> serving.Service:
    """Return the replicas of so many units of a plan, as the event simulation takes them."""
    unit, facts = plan.unit, service_facts()
    assert unit is not None
    budget = int(unit.token_budget[0])
    most = int(section.max_sequences or budget)
    drafts, acceptance = int(section.draft_tokens or 0), section.acceptance or 0.0
    cache = section.prefix_cache is not False
    tiers = _tiers(section, plan)
    if not plan.disaggregated:
        pool = serving.Pool(
            table=plan.offer.table,
            row=plan.row,
            replicas=plan.replicas * units,
            max_sequences=most,
            token_budget=budget,
            prefix_cache=cache,
            tiers=tiers,
            draft_tokens=drafts,
            acceptance=acceptance,
        )
        return serving.Service(pool=pool, router="prefix_aware" if cache else "least_loaded")
    source, row = plan.prefill_offer, int(unit.prefill_row[0])
    first = serving.Pool(
        table=source.table,
        row=row,
        replicas=plan.prefill_replicas * units,
        max_sequences=most,
        token_budget=int(unit.prefill_budget[0]),
        prefix_cache=cache,
        tiers=tiers,
    )
    rest = serving.Pool(
        table=plan.offer.table,
        row=plan.row,
        replicas=plan.replicas * units,
        max_sequences=most,
        token_budget=budget,
        draft_tokens=drafts,
        acceptance=acceptance,
    )
    assert plan.handover is not None
    return serving.Service(
        pool=first,
        decode_pool=rest,
        router="prefix_aware" if cache else "least_loaded",
        transfer_bytes_per_s=float(np.asarray(plan.handover.bytes_per_s)),
        transfer_overlap=facts["transfer_overlap"].best,
    )


def _tiers(section: ServingSection, plan: ClassPlan) -> tuple[serving.OffloadTier, ...]:
    """Return the host and disk memory of one replica: its share of a server's, read back over its accelerators' links."""
    if section.offload is None:
        return ()
    offer, row = (plan.prefill_offer, int(plan.unit.prefill_row[0])) if plan.disaggregated and plan.unit is not None else (plan.offer, plan.row)  # fmt: skip
    each = float(offer.table.accelerators[row])
    servers = each / (plan.chip.accelerator.server_chips or 8)
    link = plan.chip.inputs.value("training.host_link_bytes_per_s") * each
    disk = service_facts()["disk_bytes_per_s"].best * max(servers, 1.0)
    rates = ((section.offload.host, link), (section.offload.disk, disk))
    return tuple(
        serving.OffloadTier(capacity_bytes=size * servers, bytes_per_s=rate) for size, rate in rates if size is not None
    )


def _steady_rate(run: serving.ServingRun, requests: serving.Requests) -> float:
    """Return the output tokens per second while requests come, without the filling and the emptying of the replicas."""
    last = float(requests.arrival_s[-1])
    finish = run.finish_s[run.served]
    inside = (finish > WARM_UP * last) & (finish <= last)
    return float(requests.output_tokens[run.served][inside].sum()) / max((1.0 - WARM_UP) * last, 1e-9)


def _share(values: Array, limit: float) -> float:
    return float((values <= limit).mean()) if len(values) else 0.0


def _quantiles(values: Array) -> dict[str, float | None]:
    names = [f"p{round(100 * q)}" for q in QUANTILES]
    if not len(values):
        return dict.fromkeys(names)
    return dict(zip(names, np.quantile(values, QUANTILES).tolist(), strict=True))


def _quantile(values: Array, share: float) -> float | None:
    return float(np.quantile(values, share)) if len(values) else None


def _distribution(values: Array, promised: float | None) -> list[list[float]]:
    """Return (value, share at most that) in at most POINTS steps, up to a quarter beyond p99 and the promise."""
    if not len(values):
        return []
    ordered = np.sort(values)
    end = 1.25 * max(float(np.quantile(ordered, 0.99)), promised or 0.0)
    at = np.linspace(0.0, end, POINTS)
    return [
        [float(x), float(y)] for x, y in zip(at, np.searchsorted(ordered, at, side="right") / len(ordered), strict=True)
    ]
