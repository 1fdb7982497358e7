"""torchtitan configurations from version 0.3.0 on: a Python module whose function `job` returns them.

Earlier versions read TOML, which _torchtitan writes; both say the same strategy but for the options that one of them
has alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from gigawatt.export._plan import COMMON, Limit, Plan, launch, limits
from gigawatt.export._torchtitan import HELD, SHARED, Options, data_parallel, flavor_of, pipeline, spread, training

# A section of the configuration and the class that holds it.
SECTIONS: Mapping[str, str] = MappingProxyType(
    {"training": "TrainingConfig", "parallelism": "ParallelismConfig", "compile": "CompileConfig"}
)
RECOMPUTED: Mapping[str, str] = MappingProxyType(
    {"none": "None", "selective": "SelectiveAC.Config()", "full": "FullAC.Config()"}
)
# The converter of a precision and what it is told beside that the model is compiled; the head stays in bfloat16.
CONVERTERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "fp8": ("Float8LinearConverter", 'recipe_name="rowwise", filter_fqns=["lm_head"]'),
        "fp8_current": ("Float8LinearConverter", 'recipe_name="rowwise", filter_fqns=["lm_head"]'),
        "mxfp8": ("MXFP8LinearConverter", 'fqns=["layers"]'),
        "nvfp4": ("NVFP4LinearConverter", 'fqns=["layers"]'),
    }
)
_LIMITS = (
    *COMMON,
    *SHARED,
    Limit("model", lambda plan: not flavor_of(plan), "no flavor of these sizes; set model_spec"),
    Limit(
        "context_exchange",
        lambda plan: plan.context_exchange != "all_gather",
        "keys and values are gathered; written as all_gather",
    ),
    Limit("expert_parallel", lambda plan: spread(plan) != plan.expert_parallel, HELD),
    Limit("expert_tensor_parallel", lambda plan: plan.expert_tensor_parallel != 1, "experts stay whole; written as 1"),
    Limit(
        "precision",
        lambda plan: plan.precision not in ("bf16", "fp8_current", "mxfp8", "nvfp4"),
        "bfloat16, float8 with current scaling of rows, MXFP8 and NVFP4 only; fp8 is written as current scaling, "
        "others as bfloat16",
    ),
    Limit(
        "precision",
        lambda plan: plan.precision in CONVERTERS and not flavor_of(plan),
        "a converter belongs to model_spec, which has no flavor here; left out",
    ),
    Limit(
        "optimizer",
        lambda plan: plan.optimizer != "adam",
        "Adam and AdamW need nothing more; others take groups of parameters by name; written as AdamW",
    ),
)


def unsupported_torchtitan_config(plan: Plan) -> tuple[str, ...]:
    """Return what a torchtitan configuration cannot say."""
    return limits(plan, _LIMITS)


def torchtitan_config_file(plan: Plan) -> str:
    """Return the Python module."""
    servers, each = launch(plan)
    known, converter = flavor_of(plan), CONVERTERS.get(plan.precision)
    spec = _call("model_registry", [repr(known[1]), *_converters(converter)]) if known else "None"
    loss = (
        "ChunkedLossWrapper.Config(loss_fn=CrossEntropyLoss.Config(global_vocab_size=decoder_vocab_size(model_spec)))"
    )
    rate = "" if plan.learning_rate is None else f"lr={plan.learning_rate!r}"
    policy = RECOMPUTED[plan.recompute]
    tree = _sections(torchtitan_config_options(plan))
    lines = [
        f"# torchtitan configuration for {plan.model.name} on {servers} x {each} accelerators, written by gigawatt.",
        "# Add what a strategy does not decide: data, tokenizer, steps, schedule of the learning rate.",
        *(f"# not expressed: {text}" for text in unsupported_torchtitan_config(plan)),
        "# As job.py on PYTHONPATH: torchrun ... -m torchtitan.train --module job --config job",
        "",
        *_imports(known[0] if known else "", converter, policy),
        "",
        "",
        "def job() -> Trainer.Config:",
        f"    model_spec = {spec}",
        "    return Trainer.Config(",
        "        model_spec=model_spec,",
        *([f"        loss={loss},"] if known else []),
        f"        optimizer=default_adamw({rate}),",
    ]
    for section, values in tree.items():
        lines += [f"        {section}={SECTIONS[section]}("]
        lines += [f"            {name}={value!r}," for name, value in values.items()]
        lines += ["        ),"]
    return "\n".join([*lines, f"        activation_checkpoint={policy},", "    )", ""])


def torchtitan_config_options(plan: Plan) -> Options:
    """Return every option of a section by dotted path."""
    quantised = plan.precision in CONVERTERS
    return {
        **training(plan),
        # Graphs of the whole step take neither a pipeline nor the usual exchange of experts.
        "training.disable_cuda_graphs": plan.pipeline_parallel > 1 or spread(plan) > 1,
        **data_parallel(plan),
        "parallelism.tensor_parallel_degree": plan.tensor_parallel,
        "parallelism.enable_sequence_parallel": plan.sequence_parallel == 1,
        **pipeline(plan, head="lm_head"),
        "parallelism.context_parallel_degree": plan.context_parallel,
        "parallelism.expert_parallel_degree": spread(plan),
        "compile.enable": quantised or plan.tensor_overlap == 1,
        "compile.enable_async_tensor_parallel": plan.tensor_overlap == 1,
    }


def _sections(options: Options) -> dict[str, dict[str, Any]]:
    tree: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for path, value in options.items():
        section, name = path.split(".")
        tree[section][name] = value
    return tree


def _converters(converter: tuple[str, str] | None) -> list[str]:
    if converter is None:
        return []
    name, told = converter
    return [f"converters=[{name}.Config({told}, model_compile_enabled=True)]"]


def _call(name: str, arguments: Iterable[str]) -> str:
    return f"{name}({', '.join(arguments)})"


def _imports(family: str, converter: tuple[str, str] | None, policy: str) -> list[str]:
    """Return the import statements of the names that the module uses."""
    names = {
        "torchtitan.components.loss": ["ChunkedLossWrapper", "CrossEntropyLoss"] if family else [],
        "torchtitan.components.optimizer": ["default_adamw"],
        "torchtitan.components.quantization": [converter[0]] if converter and family else [],
        "torchtitan.config": sorted(SECTIONS.values()),
        "torchtitan.distributed.activation_checkpoint": [] if policy == "None" else [policy.split(".")[0]],
        f"torchtitan.models.{family}": ["model_registry"] if family else [],
        "torchtitan.models.common.config_utils": ["decoder_vocab_size"] if family else [],
        "torchtitan.trainer": ["Trainer"],
    }
    return [f"from {module} import {', '.join(found)}" for module, found in sorted(names.items()) if found]
