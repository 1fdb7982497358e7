"""The serving section of a scenario: what is asked for, what is promised, and how it may be served."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from gigawatt.scenario._kinds import (
    Bytes,
    Count,
    Degree,
    Few,
    Length,
    Minutes,
    Ratio,
    Repair,
    Seconds,
    Section,
    Share,
    SomeOrAll,
)
from gigawatt.scenario._serving_kinds import (
    Burstiness,
    DayShape,
    Growth,
    LengthOrNumber,
    Percentile,
    Pixels,
    RequestRate,
    Skew,
    TailExponent,
    TokenPrice,
    WeekShape,
    YesNoSearch,
)

PRECISIONS = Literal["bf16", "fp8", "fp4"]


class LengthItem(Section):
    """Lengths by their statistics, in tokens: mean alone is fixed; min and max alone: uniform; two of mean, p50 and p99:
    lognormal; all three: a lognormal whose upper half is bent to fit.
    """

    mean: Length | None = Field(None, examples=["1155"], description="Mean.")
    p50: Length | None = Field(None, examples=["1020"], description="Median.")
    p99: Length | None = Field(None, examples=["4142"], description="99th percentile.")
    min: Length | None = Field(None, examples=["1"], description="Shortest. Default: 1.")
    max: Length | None = Field(None, examples=["14k"], description="Longest. Default: none.")
    tail: TailExponent | None = Field(
        None, description="Exponent of a Pareto tail above the 99th percentile. Default: none."
    )


class DemandItem(Section):
    """How often something is asked for."""

    name: str = Field(examples=["chat"], description="Name of the class, its own.")
    rate: RequestRate | None = Field(
        None, description="Mean rate of requests at the start; turns and calls count each. Or users."
    )
    users: Count | None = Field(None, examples=["1M"], description="People, instead of a rate.")
    requests_per_user: RequestRate | None = Field(
        None, examples=["8 per day"], description="Requests of one of them per time."
    )
    day_shape: DayShape | None = Field(
        None, description="Swing of the day: chat, office, api or flat, or 24 numbers. Default: flat."
    )
    week_shape: WeekShape | None = Field(
        None,
        description="Swing of the week: chat, office, api or flat, or 7 numbers from Monday on. Default: that of day_shape, flat where it is numbers.",
    )
    growth_per_year: Growth | None = Field(
        None, description="Factor by which the rate grows in a year. Default: 1, no growth."
    )
    percentile: Percentile | None = Field(
        None, description="Share of requests for which the promise must hold. Default: 99 %."
    )


class TrafficItem(DemandItem):
    """Requests of one kind: how often, how long, what they share, what is promised."""

    trace: str | None = Field(
        None,
        examples=["azure conversation 2023"],
        description="Lengths of a trace: azure conversation 2023, azure code 2023, mooncake conversation, mooncake synthetic, or a CSV or JSON lines file. Its prompts hold history and system prompt already.",
    )
    arrivals: Literal["poisson", "gamma", "bursty"] | None = Field(
        None, description="How requests, or sessions, arrive. Default: poisson."
    )
    burstiness: Burstiness | None = Field(
        None, description="Squared coefficient of variation of the gaps, for gamma; 1 is poisson."
    )
    burst_ratio: Ratio | None = Field(
        None, examples=["5"], description="Rate in bursts over the rate between them, for bursty."
    )
    burst_length: Seconds | None = Field(None, examples=["30 s"], description="Mean length of a burst, for bursty.")
    quiet_length: Seconds | None = Field(None, examples=["5 min"], description="Mean time between bursts, for bursty.")
    prompt: LengthOrNumber[LengthItem] | None = Field(
        None, description="Prompt, new text only: tokens, or statistics {mean, p50, p99, min, max, tail}."
    )
    output: LengthOrNumber[LengthItem] | None = Field(None, description="Answer, as prompt.")
    max_context: Length | None = Field(
        None, examples=["128Ki"], description="Longest prompt and answer together. Default: the model's."
    )
    turns: Ratio | None = Field(
        None,
        examples=["5"],
        description="Mean turns of a session; every prompt holds what was said before. Default: 1.",
    )
    pause: Repair | None = Field(
        None, examples=["60 s"], description="Mean time from an answer to the next turn. Default: 0."
    )
    calls: Ratio | None = Field(
        None, examples=["20"], description="Mean calls of an agent per turn; context grows as with turns. Default: 1."
    )
    tool_pause: Repair | None = Field(
        None, examples=["5 s"], description="Mean time that a tool takes between two calls. Default: 0."
    )
    tool_tokens: LengthOrNumber[LengthItem] | None = Field(
        None, description="Text that a tool adds for the next call. Default: as prompt."
    )
    system_prompt: Length | None = Field(
        None, examples=["1500"], description="Tokens that all prompts of the class begin with. Default: none."
    )
    document: Length | None = Field(
        None,
        examples=["100k"],
        description="Length of the document that follows it, for questions about long texts. Default: none.",
    )
    documents: Count | None = Field(None, examples=["500"], description="How many documents there are. Default: 1.")
    document_skew: Skew | None = Field(
        None, description="A document is asked about in proportion to 1 / rank to this power. Default: 0, all alike."
    )
    priority: SomeOrAll | None = Field(None, examples=["1"], description="Higher is served first. Default: 0.")
    ttft: Seconds | None = Field(None, examples=["2 s"], description="Time to first token that is promised.")
    tpot: Seconds | None = Field(None, examples=["50 ms"], description="Time per output token that is promised.")


class ImageItem(DemandItem):
    """Images or videos of one kind."""

    model: str | dict[str, Any] = Field(
        examples=["FLUX.1-dev"], description="Name in the catalogue, or a specification: {base: name, ...}."
    )
    steps: Degree = Field(examples=["28"], description="Denoising steps.")
    guidance: bool | None = Field(
        None, description="Whether every step runs twice (classifier-free guidance). Default: false."
    )
    resolution: Pixels = Field(description="Width and height in pixels.")
    frames: Few | None = Field(None, examples=["81"], description="Frames of a video. Default: 1, an image.")
    seconds: Seconds | None = Field(
        None, examples=["10 s"], description="Time until it is ready that is promised. Default: none."
    )


class LayoutItem(Section):
    """How a replica is split; what is left out is searched."""

    tensor_parallel: Degree | None = Field(None, description="Accelerators that share each matrix product.")
    pipeline_parallel: Degree | None = Field(None, examples=["1"], description="Pipeline stages.")
    expert_parallel: Degree | None = Field(None, description="Accelerators that share the experts.")
    attention_data_parallel: Degree | None = Field(
        None, description="Groups with sequences and keys of their own that share the experts."
    )


class OffloadItem(Section):
    """Where keys and values go that memory has no room for."""

    host: Bytes | None = Field(None, examples=["1 TB"], description="Host memory of one server for it. Default: none.")
    disk: Bytes | None = Field(None, examples=["8 TB"], description="Disk of one server for it. Default: none.")


class PricesItem(Section):
    """Prices of tokens; a bare number is dollars per million tokens."""

    input: TokenPrice | None = Field(None, description="Of a prompt token that is computed.")
    cached: TokenPrice | None = Field(None, description="Of a prompt token that was cached. Default: as input.")
    output: TokenPrice | None = Field(None, description="Of an output token.")


class ServingSection(Section):
    """Serving: traffic, promises, and how it may be served. What is left out is searched or has its packaged value."""

    traffic: list[TrafficItem] | None = Field(None, min_length=1, description="Requests to the language model.")
    images: list[ImageItem] | None = Field(None, min_length=1, description="Images and videos.")
    accelerators: list[str] | None = Field(
        None,
        min_length=1,
        examples=["[H100 SXM, B200 SXM]"],
        description="Kinds that are compared. Default: those of the fleet.",
    )
    engine: Literal["vllm", "sglang", "tensorrt_llm", "any"] | None = Field(
        None, description="Software that serves. Default: any."
    )
    precision: list[PRECISIONS] | None = Field(
        None,
        min_length=1,
        examples=["[bf16, fp8]"],
        description="Of the weights and products: bf16, fp8, fp4; several are compared. Default: all that the accelerator has.",
    )
    kv_precision: PRECISIONS | None = Field(None, description="Of keys and values. Default: bf16.")
    layout: LayoutItem | None = Field(None, description="How a replica is split. Default: searched.")
    disaggregated: YesNoSearch | None = Field(
        None, description="Prefill and decode on accelerators of their own: yes, no or search. Default: no."
    )
    prefill_accelerator: str | None = Field(
        None, examples=["H100 SXM"], description="Kind for prefill, where it is another one. Default: the same."
    )
    max_sequences: Few | None = Field(
        None, examples=["256"], description="Most sequences in a step. Default: searched."
    )
    token_budget: Few | None = Field(
        None, examples=["8192"], description="Most tokens in a step (chunked prefill). Default: searched."
    )
    prefix_cache: bool | None = Field(
        None, description="Whether keys and values of shared beginnings are kept. Default: true."
    )
    offload: OffloadItem | None = Field(None, description="Keys and values outside of the accelerator. Default: none.")
    draft_tokens: Few | None = Field(
        None, examples=["3"], description="Tokens guessed per step (speculative decoding). Default: none."
    )
    acceptance: Share | None = Field(
        None, examples=["70 %"], description="Chance that a guessed token is right, each given those before it."
    )
    cache_hit: Share | None = Field(
        None,
        examples=["50 %"],
        description="Share of prompt tokens that are found in the cache, where traffic says nothing about shared text. Default: 0.",
    )
    objective: Literal["cost", "power", "accelerators"] | None = Field(
        None, description="What is to be least. Default: cost."
    )
    start_up: Minutes | None = Field(
        None,
        examples=["3 min"],
        description="From the decision for another replica until it serves. Default: packaged.",
    )
    headroom: Share | None = Field(
        None, examples=["10 %"], description="Capacity kept free over the busiest hour. Default: 0."
    )
    spare_replicas: SomeOrAll | None = Field(
        None, examples=["1"], description="Replicas beyond those needed (N + k). Default: 0."
    )
    months: Few | None = Field(None, examples=["24"], description="Months of growth that are planned. Default: 1.")
    night: Literal["training", "batch", "none"] | None = Field(
        None, description="What runs on accelerators that traffic leaves free. Default: none."
    )
    duration: Seconds | None = Field(
        None, examples=["20 min"], description="Traffic that is simulated, at the busiest hour. Default: packaged."
    )
    seed: SomeOrAll | None = Field(None, examples=["1"], description="Seed of all draws. Default: 0.")
    prices: PricesItem | None = Field(None, description="What is earned per token. Default: nothing.")
    compare_price: PricesItem | None = Field(None, description="What another provider asks, to compare with.")
