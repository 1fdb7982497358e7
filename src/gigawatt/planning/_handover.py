"""Between a training report and the configurations of training frameworks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gigawatt.catalog import load_catalog, model_from_spec
from gigawatt.export import ExportRequest, Imported, read_strategy
from gigawatt.model import PRECISIONS, transformer_of
from gigawatt.planning._train import TrainReport
from gigawatt.quantity import format_quantity
from gigawatt.training import NAMED, REJECTIONS, Columns, evaluate

# A file whose step takes longer than planned by this share is worth a sentence.
WORTH_TELLING = 0.01


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
    """Return the scenario, as plain data, that a framework's file states: strategy, model, batch, sequence. It has no
    model where the file states none.
    """
    strategy = {key: value for key, value in imported.strategy.items() if key not in _ZERO_MEANS_ALL or value}
    data: dict[str, Any] = {"name": f"strategy of {name}", "strategy": strategy}
    model = _model(imported, name)
    if model is not None:
        data["model"] = model
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


def _model(imported: Imported, name: str) -> str | dict[str, Any] | None:
    """Return the model of a file: a published one by its name if the sizes are its own, else the sizes."""
    sizes = dict(imported.model)
    catalog = load_catalog()
    if imported.model_name not in catalog.model_names:
        if "heads" in sizes and "hidden" in sizes:
            sizes.setdefault("head_dim", sizes["hidden"] // sizes["heads"])
            sizes.setdefault("kv_heads", sizes["heads"])
        return {"name": imported.model_name or f"model of {name}", **sizes} if sizes else None
    published = catalog.model_entry(imported.model_name)
    spec = {"base": published.name, **sizes}
    described = transformer_of(model_from_spec(spec, name, "model", published), name)
    return published.name if replace(described, name=published.name) == transformer_of(published, name) else spec


def as_written(report: TrainReport, text: str, name: str) -> str:
    """Return a sentence on the step that an exported file gets, "" where it is the planned one.

    `text` is the file for the strategy of the report, of a framework that can be read back; `name` stands for it in
    errors. Raises InputError as `read_strategy` does.
    """
    imported = read_strategy(text, name)
    job = replace(
        report.job,
        global_batch=imported.global_batch or report.job.global_batch,
        precision=PRECISIONS[imported.precision] if imported.precision else report.job.precision,
    )
    chosen = report.result.columns.row(0)
    strategy = {**chosen, **imported.strategy}
    step = evaluate(
        job, Columns.of(**{key: NAMED[key][value] if key in NAMED else value for key, value in strategy.items()})
    )
    planned = report.result.step_s / report.job.tokens_per_step
    share = float(step.step_s[0]) / job.tokens_per_step / planned - 1.0
    problem = int(step.rejection[0])
    if not problem and share <= WORTH_TELLING:
        return ""
    said = " ".join(f"{key}={value}" for key, value in imported.strategy.items() if value != chosen[key])
    remedy = f"; --strategy '{said}' searches for the best that the file can say" if said else ""
    if problem:
        return f"as written it cannot run: {REJECTIONS[problem]}{remedy}"
    seconds = [format_quantity(value, "s") for value in (float(step.step_s[0]), report.result.step_s)]
    return f"as written a step takes {seconds[0]} instead of {seconds[1]}{remedy}"


_ZERO_MEANS_ALL = ("recompute_layers", "shard_ranks")


def _ranks(strategy: dict[str, Any]) -> int:
    """Return the accelerators that the degrees multiply to; 0 where data parallelism is not stated."""
    if "data_parallel" not in strategy:
        return 0
    product = 1
    for name in ("tensor_parallel", "pipeline_parallel", "context_parallel", "data_parallel"):
        product *= int(strategy.get(name, 1))
    return product
