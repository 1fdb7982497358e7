"""torchtitan jobs to a strategy: the inverse of _torchtitan and _torchtitan_config, with the framework's defaults where
a file is silent. Nothing of a Python module is executed.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.export._imported import Imported
from gigawatt.export._options import packaged_rows
from gigawatt.export._plan import DEFAULTS
from gigawatt.export._torchtitan import SCHEDULES
from gigawatt.export._torchtitan_config import CONVERTERS, RECOMPUTED, SECTIONS

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
        "sequence_parallel": "parallelism.enable_sequence_parallel",
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
_RESHARD = MappingProxyType({"default": None, "never": False, "always": True})
_CONVERTED = MappingProxyType(
    {
        "quantize.linear.float8": "fp8_current",
        "quantize.linear.mx": "mxfp8",
        "float8": "fp8_current",
        "mx": "mxfp8",
        **{name: precision for precision, (name, _) in CONVERTERS.items()},  # the last of equal names counts
    }
)
_MODEL = ("layers", "hidden", "ffn", "heads", "kv_heads", "vocab", "experts", "topk", "moe_ffn")
_LOCAL_BATCH, _SEQUENCE = 8, 2048  # torchtitan 0.2.2 and 0.3.0, where a file is silent
# What a module says by a name: classes of sections, of recomputation and of converters.
_SECTION = {name: section for section, name in SECTIONS.items()}
_POLICY = {text.removesuffix(".Config()"): mode for mode, text in RECOMPUTED.items()}
# Where 0.0 and 0.1 had options, and where they are since.
_OLDER: Mapping[str, str] = MappingProxyType(
    {
        "training.batch_size": "training.local_batch_size",
        "training.compile": "compile.enable",
        **{
            f"{section}.{path.rsplit('.', 1)[1]}": path
            for section in ("training", "experimental")
            for path in (
                *_COUNTS.values(),
                "parallelism.enable_async_tensor_parallel",
                "parallelism.data_parallel_replicate_degree",
                "parallelism.data_parallel_shard_degree",
                "parallelism.pipeline_parallel_schedule",
                "parallelism.context_parallel_rotate_method",
            )
        },
    }
)
# Options that moved from 0.2 to 0.3, by their later path.
_MOVED = MappingProxyType({"compile.enable_async_tensor_parallel": "parallelism.enable_async_tensor_parallel"})
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
        "training.disable_cuda_graphs",
    }
)


class _Job:
    """Options of one job file by dotted path, with errors that say where. `lines` has those of a Python module."""

    def __init__(self, text: str, name: str, values: Mapping[str, Any], lines: Mapping[str, int] | None = None) -> None:
        self.text, self.name, self.values, self.lines = text, name, values, lines or {}

    def count(self, path: str, default: int, least: int = 1) -> int:
        """Return a whole number, or the default where the file is silent; raises InputError."""
        value = self.values.get(path, default)
        if isinstance(value, bool) or not isinstance(value, int) or (path in self.values and value < least):
            self.refuse(path, f"a whole number from {least}")
        return int(value)

    def flag(self, path: str) -> int:
        """Return 1 where a switch is on; raises InputError where it is no switch."""
        value = self.values.get(path, path == _FLAGS["sequence_parallel"])
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
                location=f"{self.name}:{self.lines.get(path) or _line(self.text, path)}",
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
    stated = _leaves(_parsed(text, name), "")
    lines = {_OLDER[path]: _line(text, path) for path, _ in stated if path in _OLDER}
    return _imported(_Job(text, name, {_OLDER.get(path, path): value for path, value in stated}, lines))


def read_torchtitan_config(text: str, name: str) -> Imported:
    """Return the strategy of a Python module that holds one torchtitan configuration (version 0.3.0 and later).

    Raises InputError naming the line where the Python breaks, the second configuration, or the first value that cannot
    be used.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise InputError(Problem(message=f"not Python: {error}", location=f"{name}:{line}")) from error
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for path, value, line in _stated(tree):
        if path in values and path == "parallelism.":
            raise InputError(Problem(message="several configurations; keep the one to read", location=f"{name}:{line}"))
        values[path], lines[path] = value, line
    values.pop("parallelism.", None)
    return _imported(_Job(text, name, values, lines))


def _stated(tree: ast.Module) -> Iterator[tuple[str, Any, int]]:
    """Yield path, value and line of what a module says, in its order: keyword arguments of the classes of sections,
    assignments to options, the policy of recomputation, the flavor and the converters.
    """
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Call | ast.Assign | ast.keyword | ast.ImportFrom)]
    for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset)):
        if isinstance(node, ast.ImportFrom):
            if any(alias.name == "model_registry" for alias in node.names) and node.module:
                yield "model.name", node.module.rsplit(".", 1)[-1], node.lineno
        elif isinstance(node, ast.Assign):
            path = ".".join(ast.unparse(node.targets[0]).split(".")[-2:])
            if path.split(".")[0] in SECTIONS:
                yield _MOVED.get(path, path), _literal(node.value), node.lineno
        elif isinstance(node, ast.keyword):
            if node.arg == "activation_checkpoint":
                policy = ast.unparse(node.value).split(".")[0]
                yield "activation_checkpoint.mode", _POLICY.get(policy, policy), node.value.lineno
        else:
            yield from _called(node)


def _called(node: ast.Call) -> Iterator[tuple[str, Any, int]]:
    name = ast.unparse(node.func).removesuffix(".Config")
    if name in _CONVERTED:
        yield "model.converters", [name], node.lineno
    elif name == "model_registry" and node.args:
        yield "model.flavor", _literal(node.args[0]), node.lineno
    elif section := _SECTION.get(name):
        if section == "parallelism":
            yield "parallelism.", None, node.lineno
        for keyword in node.keywords:
            if keyword.arg:
                path = f"{section}.{keyword.arg}"
                yield _MOVED.get(path, path), _literal(keyword.value), keyword.value.lineno


def _literal(node: ast.expr) -> Any:
    """Return the value of a literal, or the text of any other expression, which no option takes."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def _imported(job: _Job) -> Imported:
    if not _TELLING & set(job.values):
        raise InputError(
            Problem(
                message="no option of a parallel strategy stands here",
                location=job.name,
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
    """Return 0 without sharding, 3 where parameters are dropped after the forward pass. Where they stay, a pipeline
    reduces its gradients once, after the last micro-batch (1); without one every micro-batch does (2). Sources:
    torchtitan/distributed/fsdp.py of 0.3.0, and torch/distributed/pipelining/stage.py of 2.13.
    """
    policy = job.choice("parallelism.fsdp_reshard_after_forward", _RESHARD, "default")
    if shards == 1 and (policy is None or (ranks is not None and ranks > 1)):
        return 0
    dropped = stages == 1 if policy is None else policy
    return 3 if dropped else 1 if stages > 1 else 2


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
    converters = converters.split(",") if isinstance(converters, str) else converters
    if isinstance(converters, list):
        for converter in converters:
            if converter in _CONVERTED:
                return _CONVERTED[converter]
    return {"bfloat16": "bf16"}.get(str(job.values.get("training.mixed_precision_param", "bfloat16")))


def _world(counts: Mapping[str, int], ranks: int) -> int:
    return counts["tensor_parallel"] * counts["pipeline_parallel"] * counts["context_parallel"] * ranks
