"""Between a training report and the configurations of training frameworks."""

from __future__ import annotations

from typing import Any

from gigawatt.export import ExportRequest, Imported
from gigawatt.planning._train import TrainReport

# Names of the sizes of a model in a scenario.
_SIZES = {
    "layers": "layers",
    "hidden": "hidden",
    "ffn": "ffn",
    "heads": "heads",
    "kv_heads": "kv_heads",
    "vocab": "vocab",
    "experts": "experts",
    "topk": "topk",
    "moe_ffn": "moe_ffn",
}


def export_request(report: TrainReport) -> ExportRequest:
    """Return what the writers of the export room need of a training report."""
    job, columns = report.job, report.result.columns
    return ExportRequest(
        model=job.model,
        strategy=columns.row(0),
        accelerators=report.result.accelerators,
        servers=None,
        accelerators_per_server=report.inputs.reference.server_chips or 8,
        global_batch=job.global_batch,
        sequence=job.sequence,
        precision=job.precision.name,
        optimizer=job.optimizer.name,
    )


def with_imported(imported: Imported, name: str) -> dict[str, Any]:
    """Return the scenario, as plain data, that a framework's file states: strategy, sizes, batch, sequence."""
    strategy = {key: value for key, value in imported.strategy.items() if key not in _ZERO_MEANS_ALL or value}
    data: dict[str, Any] = {"name": f"strategy of {name}", "strategy": strategy}
    sizes = {_SIZES[key]: value for key, value in imported.model.items() if key in _SIZES}
    if sizes:
        if "heads" in sizes and "hidden" in sizes:
            sizes["head_dim"] = sizes["hidden"] // sizes["heads"]
        sizes.setdefault("kv_heads", sizes.get("heads"))
        data["model"] = {"name": f"model of {name}", **sizes}
    training: dict[str, Any] = {}
    if imported.global_batch:
        training["global_batch"] = f"{imported.global_batch} sequences"
    if imported.sequence:
        training["sequence_length"] = f"{imported.sequence} tokens"
    if imported.precision:
        training["precision"] = imported.precision
    if training:
        data["training"] = training
    count = imported.world_size or _ranks(strategy)
    if count:
        data["fleet"] = {"count": count}
    return data


_ZERO_MEANS_ALL = ("recompute_layers", "shard_ranks")


def _ranks(strategy: dict[str, Any]) -> int:
    """Return the accelerators that the degrees multiply to; 0 where data parallelism is not stated."""
    if "data_parallel" not in strategy:
        return 0
    product = 1
    for name in ("tensor_parallel", "pipeline_parallel", "context_parallel", "data_parallel"):
        product *= int(strategy.get(name, 1))
    return product
