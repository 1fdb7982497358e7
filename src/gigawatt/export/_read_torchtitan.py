"""torchtitan job files to a strategy: the inverse of _torchtitan, with the framework's defaults where it is silent."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.export._imported import Imported
from gigawatt.export._options import packaged_rows
from gigawatt.export._plan import DEFAULTS
from gigawatt.export._torchtitan import SCHEDULES

_COUNTS: Mapping[str, str] = MappingProxyType(
    {
        "tensor_parallel": "parallelism.tensor_parallel_degree",
        "pipeline_parallel": "parallelism.pipeline_parallel_degree",
        "context_parallel": "parallelism.context_parallel_degree",
        "expert_parallel": "parallelism.expert_parallel_degree",
        "expert_tensor_parallel": "parallelism.expert_tensor_parallel_degree",
    }
)
_FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "tensor_overlap": "parallelism.enable_async_tensor_parallel",
        "offload_optimizer": "training.enable_cpu_offload",
    }
)
_SCHEDULED: Mapping[str, str] = MappingProxyType(
    {
        **{text: name for name, text in SCHEDULES.items()},
        "Interleaved1F1B": "1f1b",
        "InterleavedZeroBubble": "zero_bubble",
    }
)
_EXCHANGED = MappingProxyType({"allgather": "all_gather", "alltoall": "ring"})
_RECOMPUTED = MappingProxyType({"none": "none", "selective": "selective", "full": "full"})
_RESHARD = MappingProxyType({"default": None, "never": 2, "always": 3})
_CONVERTED = MappingProxyType({"quantize.linear.float8": "fp8_current", "quantize.linear.mx": "mxfp8"})
_MODEL = ("layers", "hidden", "ffn", "heads", "kv_heads", "vocab", "experts", "topk", "moe_ffn")
_LOCAL_BATCH, _SEQUENCE = 8, 2048  # torchtitan 0.2.2, where a file is silent
_DECIDING = frozenset(
    {
        *_COUNTS.values(),
        *_FLAGS.values(),
        "model.name",
        "model.flavor",
        "model.converters",
        "training.local_batch_size",
        "training.global_batch_size",
        "training.seq_len",
        "training.mixed_precision_param",
        "parallelism.data_parallel_replicate_degree",
        "parallelism.data_parallel_shard_degree",
        "parallelism.fsdp_reshard_after_forward",
        "parallelism.pipeline_parallel_schedule",
        "parallelism.pipeline_parallel_microbatch_size",
        "parallelism.pipeline_parallel_layers_per_stage",
        "parallelism.module_fqns_per_model_part",
        "parallelism.context_parallel_rotate_method",
        "activation_checkpoint.mode",
    }
)
# At least one of these makes a file a training job.
_TELLING = _DECIDING - {"model.name", "model.flavor"}
# Understood, and either implied by a strategy or of no bearing on it.
_IMPLIED = frozenset(
    {
        "optimizer.name",
        "optimizer.lr",
        "compile.enable",
        "activation_checkpoint.selective_ac_option",
        "parallelism.pipeline_parallel_expert_parallel_overlap",
        "quantize.linear.float8.recipe_name",
        "quantize.linear.float8.enable_fsdp_float8_all_gather",
        "quantize.linear.mx.recipe_name",
    }
)


class _Job:
    """Options of one job file by dotted path, with errors that say where."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name
        self.values = dict(_leaves(_parsed(text, name), ""))

    def count(self, path: str, default: int, least: int = 1) -> int:
        """Return a whole number, or the default where the file is silent; raises InputError."""
        value = self.values.get(path, default)
        if isinstance(value, bool) or not isinstance(value, int) or (path in self.values and value < least):
            self.refuse(path, f"a whole number from {least}")
        return int(value)

    def flag(self, path: str) -> int:
        """Return 1 where a switch is on; raises InputError where it is no switch."""
        value = self.values.get(path, False)
        if not isinstance(value, bool):
            self.refuse(path, "true or false")
        return int(value)

    def choice(self, path: str, choices: Mapping[str, Any], default: str) -> Any:
        """Return what a word stands for; raises InputError."""
        value = self.values.get(path, default)
        if not isinstance(value, str) or value not in choices:
            self.refuse(path, ", ".join(choices))
        return choices[value]

    def refuse(self, path: str, allowed: str) -> None:
        found = self.values.get(path)
        raise InputError(
            Problem(
                message=f"{path} has no usable value",
                location=f"{self.name}:{_line(self.text, path)}",
                found=repr(found),
                allowed=allowed,
                nearest=nearest_name(found, allowed.split(", ")) if isinstance(found, str) and "," in allowed else "",
            )
        )


def read_torchtitan(text: str, name: str) -> Imported:
    """Return the strategy of a torchtitan job file.

    Raises InputError naming the line where the TOML breaks or the first value that cannot be used, and where no option
    says how to parallelise.
    """
    job = _Job(text, name)
    if not _TELLING & set(job.values):
        raise InputError(
            Problem(
                message="no option of a parallel strategy stands here",
                location=name,
                allowed="a torchtitan job file with a [parallelism] section",
            )
        )
    counts = {field: job.count(path, int(DEFAULTS[field])) for field, path in _COUNTS.items()}
    model = _model(job)
    shards, ranks = _ranks(job)
    stage = _zero_stage(job, counts["pipeline_parallel"], shards, ranks)
    grouped = stage > 0 and ranks is not None and 1 < shards < ranks
    strategy: dict[str, int | str] = {
        **DEFAULTS,
        **counts,
        **{field: job.flag(path) for field, path in _FLAGS.items()},
        **_pipeline(job, counts["pipeline_parallel"], model),
        "recompute": job.choice("activation_checkpoint.mode", _RECOMPUTED, "selective"),
        "context_exchange": job.choice("parallelism.context_parallel_rotate_method", _EXCHANGED, "allgather"),
        "zero_stage": stage,
        "shard_ranks": shards if grouped else 0,
    }
    local = job.count("training.local_batch_size", _LOCAL_BATCH)
    if counts["pipeline_parallel"] > 1:
        strategy["micro_batch"] = job.count("parallelism.pipeline_parallel_microbatch_size", 1)
    else:
        strategy["micro_batch"] = local
    if ranks is None:
        del strategy["data_parallel"], strategy["shard_ranks"]
    else:
        strategy["data_parallel"] = ranks
    return Imported(
        framework="torchtitan",
        strategy=MappingProxyType(strategy),
        model=MappingProxyType(model),
        global_batch=_global_batch(job, local, ranks),
        sequence=job.count("training.seq_len", _SEQUENCE),
        precision=_precision(job),
        world_size=None if ranks is None else _world(counts, ranks),
        unread=tuple(sorted(set(job.values) - _DECIDING - _IMPLIED)),
    )


def _parsed(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        # An error at the end of the document has no number.
        line = found[1] if found else str(len(text.splitlines()))
        raise InputError(Problem(message=f"not TOML: {error}", location=f"{name}:{line}")) from error


def _leaves(table: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    """Return every value that is not a table, with its dotted path."""
    return [
        leaf
        for key, value in table.items()
        for leaf in (_leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)])
    ]


def _line(text: str, path: str) -> int:
    """Return the line that states an option, or 1 where it cannot be found (written inline)."""
    section, key = path.rsplit(".", 1)
    here = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.fullmatch(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?", line):
            here = header[1].strip()
        elif here == section and re.match(rf"\s*{re.escape(key)}\s*=", line):
            return number
    return 1


def _model(job: _Job) -> dict[str, int]:
    """Return the sizes of a flavor that is listed; those of the others are known to torchtitan alone."""
    named = (job.values.get("model.name", "llama3"), job.values.get("model.flavor"))
    row = next((row for row in packaged_rows("torchtitan_flavors.csv") if (row["name"], row["flavor"]) == named), {})
    return {field: int(row[field]) for field in _MODEL if row.get(field)}


def _ranks(job: _Job) -> tuple[int, int | None]:
    """Return the ranks of a shard group (-1: all that are left over) and all data-parallel ranks where stated."""
    replicas = job.count("parallelism.data_parallel_replicate_degree", 1)
    shards = job.count("parallelism.data_parallel_shard_degree", -1, least=-1)
    if shards == 0:
        job.refuse("parallelism.data_parallel_shard_degree", "-1, or a whole number from 1")
    return shards, replicas * shards if shards > 0 else None


def _zero_stage(job: _Job, stages: int, shards: int, ranks: int | None) -> int:
    """Return 0 without sharding, 2 where gathered parameters stay, 3 where they are dropped after the forward pass."""
    policy = job.choice("parallelism.fsdp_reshard_after_forward", _RESHARD, "default")
    if ranks is not None and ranks > 1 and shards == 1:
        return 0
    if policy is not None:
        return int(policy)
    if shards == 1:
        return 0
    return 2 if stages > 1 else 3


def _pipeline(job: _Job, stages: int, model: Mapping[str, int]) -> dict[str, int | str]:
    name = str(job.values.get("parallelism.pipeline_parallel_schedule", "1F1B"))
    schedule = job.choice("parallelism.pipeline_parallel_schedule", _SCHEDULED, "1F1B")
    if stages == 1:
        return {"schedule": "1f1b", "virtual_stages": 1}
    if schedule != "1f1b":
        return {"schedule": schedule, "virtual_stages": 1}
    return {"schedule": schedule, "virtual_stages": _virtual_stages(job, stages, name, model)}


def _virtual_stages(job: _Job, stages: int, schedule: str, model: Mapping[str, int]) -> int:
    parts = job.values.get("parallelism.module_fqns_per_model_part")
    if parts is not None:
        if not isinstance(parts, list) or not parts or len(parts) % stages:
            job.refuse("parallelism.module_fqns_per_model_part", f"a list of lists, a multiple of {stages} of them")
        return len(parts) // stages
    per_chunk = job.count("parallelism.pipeline_parallel_layers_per_stage", 0)
    if per_chunk and "layers" in model:
        # torchtitan counts embedding and head as a layer each.
        return max(-(-(model["layers"] + 2) // per_chunk) // stages, 1)
    return 2 if schedule == "Interleaved1F1B" else 1


def _global_batch(job: _Job, local: int, ranks: int | None) -> int | None:
    stated = job.count("training.global_batch_size", -1, least=-1)
    return stated if stated > 0 else local * ranks if ranks else None


def _precision(job: _Job) -> str | None:
    converters = job.values.get("model.converters", [])
    if isinstance(converters, list):
        for converter in converters:
            if converter in _CONVERTED:
                return _CONVERTED[converter]
    return {"bfloat16": "bf16"}.get(str(job.values.get("training.mixed_precision_param", "bfloat16")))


def _world(counts: Mapping[str, int], ranks: int) -> int:
    return counts["tensor_parallel"] * counts["pipeline_parallel"] * counts["context_parallel"] * ranks
