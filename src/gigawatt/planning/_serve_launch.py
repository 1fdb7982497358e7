"""The commands that start one unit of a plan on an engine."""

from __future__ import annotations

from typing import Any

from gigawatt import export, serving
from gigawatt.errors import InputError
from gigawatt.planning._serve_plans import ClassPlan, words
from gigawatt.scenario import ServingSection

ENGINES = {"vllm": "vllm", "sglang": "sglang", "tensorrt_llm": "tensorrt-llm"}


def launches(section: ServingSection, plan: ClassPlan) -> list[dict[str, Any]]:
    """Return the commands that start one unit of a plan on the engine of the scenario, or on each that can."""
    names = [ENGINES[section.engine]] if section.engine in ENGINES else ["vllm", "sglang"]
    return [_launch(section, plan, engine) for engine in names]


def _launch(section: ServingSection, plan: ClassPlan, engine: str) -> dict[str, Any]:
    unit = plan.unit
    assert unit is not None
    row = {"class": plan.demand.name, "engine": engine, "command": "", "files": {}, "notes": []}
    try:
        whole = _instance(section, plan, plan.offer, plan.row, float(unit.token_budget[0]))
        first = None
        if plan.disaggregated:
            first = _instance(
                section, plan, plan.prefill_offer, int(unit.prefill_row[0]), float(unit.prefill_budget[0])
            )
        deployment = export.Deployment(
            launch=whole,
            instances=plan.replicas,
            prefill=first,
            prefill_instances=plan.prefill_replicas,
            hosts={name: name for name in _roles(plan)},
        )
        files = export.serving_files(engine, deployment)
        notes = list(export.serving_limits(engine, deployment))
    except InputError as error:
        return {**row, "notes": [f"{engine} does not start {words(plan.offer, plan.row)}: {error}"]}
    return {**row, "command": "\n".join(files.values()), "files": dict(files), "notes": notes}


def _roles(plan: ClassPlan) -> list[str]:
    """Return the hosts of a unit, each named after its role."""
    if not plan.disaggregated:
        return ["server"] if plan.replicas == 1 else ["router", *(f"server-{i}" for i in range(plan.replicas))]
    pools = (("prefill", plan.prefill_replicas), ("decode", plan.replicas))
    return ["router", *(f"{kind}-{i}" for kind, count in pools for i in range(count))]


def _instance(
    section: ServingSection, plan: ClassPlan, offer: serving.Offer, row: int, budget: float
) -> export.ServingLaunch:
    layouts = offer.layouts
    drafts = section.draft_tokens
    servers = plan.chip.accelerator.server_chips or 8
    return export.ServingLaunch(
        model=plan.chip.inputs.model.name.replace(" ", "-"),
        tensor_parallel=int(layouts.tensor_parallel[row]),
        pipeline_parallel=int(layouts.pipeline_parallel[row]),
        expert_parallel=int(layouts.expert_parallel[row]),
        attention_data_parallel=int(layouts.attention_data_parallel[row]),
        precision={"fp4": "nvfp4"}.get(offer.precision, offer.precision),
        kv_precision="fp8" if (section.kv_precision or offer.precision) in ("fp8", "fp4") else "bf16",
        max_sequences=None if section.max_sequences is None else int(section.max_sequences),
        token_budget=int(budget),
        prefix_cache=section.prefix_cache is not False,
        speculation=export.Speculation(method="mtp", draft_tokens=int(drafts)) if drafts else None,
        host_offload_bytes=int(section.offload.host) if section.offload and section.offload.host else 0,
        accelerators_per_server=servers,
    )
