"""One instance of a serving engine, as plain decisions, with what it must satisfy on any engine."""

from __future__ import annotations

from dataclasses import dataclass

from gigawatt.errors import InputError, Problem

PRECISIONS = ("checkpoint", "bf16", "fp16", "fp8", "fp8_block", "mxfp8", "nvfp4", "int8")
KV_PRECISIONS = ("checkpoint", "bf16", "fp8", "nvfp4")
SPECULATION = ("mtp", "eagle3", "ngram", "draft_model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Speculation:
    """How tokens are drafted: `method` of mtp (the model's own modules), eagle3, ngram or draft_model, `draft_tokens`
    per step, and the `draft_model` (name or path) that eagle3 and draft_model need.
    """

    method: str
    draft_tokens: int
    draft_model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingLaunch:
    """One instance of an engine. Counts are of the whole instance.

    `attention_data_parallel` groups of `tensor_parallel` ranks each attend for sequences of their own and share the
    experts, which are spread over `expert_parallel` ranks. `max_sequences` run at once, `token_budget` tokens enter
    one step, a sequence has at most `max_context` tokens; None leaves the engine's own. `memory_share` of every
    accelerator is for weights and key/value cache, `weights_share` of it is taken by weights (TensorRT-LLM counts what
    is left). `host_offload_bytes` of host memory hold what the cache lets go.
    """

    model: str
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    expert_parallel: int = 1
    attention_data_parallel: int = 1
    precision: str = "checkpoint"
    kv_precision: str = "checkpoint"
    max_sequences: int | None = None
    token_budget: int | None = None
    max_context: int | None = None
    prefix_cache: bool = True
    memory_share: float | None = None
    weights_share: float | None = None
    speculation: Speculation | None = None
    host_offload_bytes: int = 0
    accelerators_per_server: int = 8

    def __post_init__(self) -> None:
        problems = [*_counts(self), *_shares(self), *_words(self)]
        if problems:
            raise InputError(problems)

    @property
    def ranks(self) -> int:
        """Ranks that hold one pipeline stage."""
        return self.tensor_parallel * self.attention_data_parallel

    @property
    def accelerators(self) -> int:
        """Accelerators of the instance."""
        return self.ranks * self.pipeline_parallel

    @property
    def servers(self) -> int:
        """Servers that the instance spans."""
        return -(-self.accelerators // self.accelerators_per_server)


def _counts(launch: ServingLaunch) -> list[Problem]:
    names = ("tensor_parallel", "pipeline_parallel", "expert_parallel", "attention_data_parallel")
    limits = ("max_sequences", "token_budget", "max_context")
    wanted = [*names, "accelerators_per_server", *(name for name in limits if getattr(launch, name) is not None)]
    problems = [
        _problem("this must be a whole number", name, getattr(launch, name), "1 or more")
        for name in wanted
        if not isinstance(getattr(launch, name), int) or getattr(launch, name) < 1
    ]
    if problems:
        return problems
    if launch.ranks % launch.expert_parallel:
        allowed = f"a divisor of the {launch.ranks} ranks of a stage (tensor x attention-data parallel)"
        problems.append(_problem("experts do not divide", "expert_parallel", launch.expert_parallel, allowed))
    if launch.host_offload_bytes < 0:
        problems.append(_problem("negative memory", "host_offload_bytes", launch.host_offload_bytes, "0 or more"))
    spans = launch.accelerators > launch.accelerators_per_server
    if spans and launch.accelerators % launch.accelerators_per_server:
        allowed = f"whole servers of {launch.accelerators_per_server}"
        problems.append(_problem("an instance fills its servers", "accelerators", launch.accelerators, allowed))
    return problems


def _shares(launch: ServingLaunch) -> list[Problem]:
    shares = {"memory_share": launch.memory_share, "weights_share": launch.weights_share}
    problems = [
        _problem("this is no share", name, value, "above 0, below 1")
        for name, value in shares.items()
        if value is not None and not 0.0 < value < 1.0
    ]
    if not problems and launch.memory_share is not None and (launch.weights_share or 0.0) >= launch.memory_share:
        allowed = f"less than memory_share, {launch.memory_share}"
        problems.append(_problem("no memory is left for the cache", "weights_share", launch.weights_share, allowed))
    return problems


def _words(launch: ServingLaunch) -> list[Problem]:
    problems = []
    if not launch.model.strip() or launch.model.startswith("-"):
        problems.append(_problem("no model", "model", launch.model, "a name on Hugging Face or a path"))
    if launch.precision not in PRECISIONS:
        problems.append(_problem("unknown word", "precision", launch.precision, ", ".join(PRECISIONS)))
    if launch.kv_precision not in KV_PRECISIONS:
        problems.append(_problem("unknown word", "kv_precision", launch.kv_precision, ", ".join(KV_PRECISIONS)))
    drafting = launch.speculation
    if drafting is None:
        return problems
    if drafting.method not in SPECULATION:
        problems.append(_problem("unknown word", "speculation.method", drafting.method, ", ".join(SPECULATION)))
    if drafting.draft_tokens < 1:
        problems.append(_problem("nothing is drafted", "speculation.draft_tokens", drafting.draft_tokens, "1 or more"))
    if (drafting.method in ("eagle3", "draft_model")) != bool(drafting.draft_model):
        allowed = "a name or path with eagle3 and draft_model, nothing with mtp and ngram"
        problems.append(_problem("not what the method needs", "speculation.draft_model", drafting.draft_model, allowed))
    return problems


def _problem(message: str, path: str, found: object, allowed: str) -> Problem:
    return Problem(message=message, path=f"serving.{path}", found=repr(found), allowed=allowed)
