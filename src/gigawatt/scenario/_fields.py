"""The declaration of a scenario: every field once, with its unit, bounds, meaning and default. Messages, JSON Schema
and the reference page of the docs all come from here.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from gigawatt.scenario._build_fields import BuildSection
from gigawatt.scenario._kinds import (
    Bandwidth,
    Batch,
    Bytes,
    CarbonPrice,
    Count,
    DateText,
    Degree,
    DemandPrice,
    Distance,
    Efficiency,
    Energy,
    EnergyPrice,
    Few,
    Flop,
    Length,
    Minutes,
    Money,
    MoneyRate,
    Power,
    Price,
    Rate,
    Ratio,
    Recipe,
    Repair,
    SampleTokens,
    Seconds,
    Section,
    Share,
    SomeOrAll,
    StateRate,
    StoreRate,
    Tokens,
    WideRate,
    Years,
)
from gigawatt.scenario._serving_fields import ServingSection


class AcceleratorItem(Section):
    """Accelerators of one kind."""

    accelerator: str | dict[str, Any] = Field(
        examples=["H100 SXM"],
        description="Name in the catalogue, or a specification: {base: name, memory: 141 GB, ...}.",
    )
    count: Count | None = Field(None, description="How many. Default: as many as the grid limit and the budget allow.")


class FleetSection(Section):
    """What is there to train on. One kind: accelerator and count. Several: a list."""

    accelerator: str | dict[str, Any] | None = Field(
        None,
        examples=["H100 SXM"],
        description="Name in the catalogue, or a specification: {base: name, memory: 141 GB, ...}.",
    )
    count: Count | None = Field(None, description="How many. Default: as many as the grid limit and the budget allow.")
    accelerators: list[AcceleratorItem] | None = Field(None, description="Several kinds, in one synchronous job.")


class InputData(Section):
    """What one sample brings in (video, images), to size data loading and storage."""

    sample_bytes: Bytes | None = Field(None, description="Bytes of one stored sample.")
    tokens_per_sample: SampleTokens | None = Field(None, description="Tokens that one sample becomes.")
    storage_bandwidth: StoreRate | None = Field(
        None, description="What the store gives to the whole job, after decoding; a step is no shorter than reading it."
    )


class TrainingSection(Section):
    """The training run."""

    tokens: Tokens | None = Field(
        None, description="Training tokens. Default: what the model was trained on, else 20 per active parameter."
    )
    compute: Flop | None = Field(
        None, description="Training computation instead of tokens (6 FLOP per active parameter and token)."
    )
    sequence_length: Length | None = Field(
        None, description="Tokens per sequence. Default: 8,192, or the model's longest context where that is shorter."
    )
    global_batch: Batch | None = Field(None, description="Tokens or sequences per optimizer step. Default: 16M tokens.")
    precision: Recipe | None = Field(
        None,
        examples=["bf16"],
        description="Recipe of the matrix products: bf16, fp16, fp8 (delayed scaling), fp8_current, fp8_block, mxfp8, nvfp4, fp4 or int8. Default: bf16.",
    )
    optimizer: str | None = Field(
        None,
        examples=["adam"],
        description="adam, adam_bf16 (moments in 16 bit), adam8bit, muon or sgd. Default: adam.",
    )
    stack: str | None = Field(
        None,
        examples=["torchtitan"],
        description="Software whose measured overheads apply: megatron-bridge, megatron-core, torchtitan, pytorch-eager, maxtext, neuron, gaudi, ... Default: the usual one of the accelerator's vendor.",
    )
    deadline: Seconds | None = Field(None, description="Longest acceptable run. Default: none.")
    input: InputData | None = Field(None, description="Size of what is read, for the data-ingest bandwidth.")


class StrategySection(Section):
    """Decisions that are fixed; the search chooses the rest."""

    tensor_parallel: Degree | None = Field(None, description="Ranks that share each matrix product.")
    pipeline_parallel: Degree | None = Field(None, description="Pipeline stages.")
    virtual_stages: Degree | None = Field(
        None, examples=[4], description="Chunks of layers per stage (interleaved schedule)."
    )
    data_parallel: Degree | None = Field(None, examples=[128], description="Replicas.")
    context_parallel: Degree | None = Field(None, examples=[2], description="Ranks that share each sequence.")
    expert_parallel: Degree | None = Field(None, description="Ranks that share the experts.")
    expert_tensor_parallel: Degree | None = Field(
        None, examples=[1], description="Ranks that share each expert's products."
    )
    micro_batch: Degree | None = Field(None, examples=[1], description="Sequences per replica and pass.")
    memory_margin: Share | None = Field(
        None,
        examples=["10 %"],
        description="How much larger than predicted memory may turn out and the strategy still fits. Default: training.memory_margin.",
    )
    recompute: Literal["none", "selective", "full"] | None = Field(
        None, description="What is computed again instead of kept."
    )
    zero_stage: Literal[0, 1, 2, 3] | None = Field(
        None, description="What data parallelism shards: 1 optimizer, 2 gradients too, 3 weights too."
    )
    recompute_layers: SomeOrAll | None = Field(
        None, examples=[4], description="Layers per stage that full recompute covers; 0: all. Default: all."
    )
    shard_ranks: SomeOrAll | None = Field(
        None, description="Data-parallel ranks that shard together (HSDP); 0: all. Default: all of them."
    )
    sequence_parallel: Literal[0, 1] | None = Field(
        None, description="1: tensor ranks split the tokens outside of products as well. Default: 1."
    )
    schedule: Literal["1f1b", "zero_bubble", "dualpipe"] | None = Field(
        None, description="Order of the pipeline; 1f1b is interleaved where there are virtual stages. Default: 1f1b."
    )
    context_exchange: Literal["all_gather", "ring", "ulysses"] | None = Field(
        None, description="How context-parallel ranks exchange keys and values. Default: ring."
    )
    tensor_overlap: Literal[0, 1] | None = Field(
        None, description="1: tensor-parallel exchange runs behind products. Default: 0."
    )
    offload_optimizer: Literal[0, 1] | None = Field(
        None, description="1: optimizer states live in host memory. Default: 0."
    )
    offload_activations: Literal[0, 1] | None = Field(
        None, description="1: activations wait in host memory. Default: 0."
    )
    constraints: list[str] | None = Field(
        None,
        examples=["[tensor_parallel <= 8]"],
        description="Rules for the search, such as 'tensor_parallel <= 8' or 'recompute != full'.",
    )


class NetworkSection(Section):
    """The network between accelerators. Defaults: the catalogue's bandwidths, no oversubscription."""

    scale_out: Bandwidth | None = Field(None, description="Network bandwidth per accelerator, one way.")
    oversubscription: Ratio | None = Field(
        None, description="How many times less bandwidth there is above the leaf switches. Default: 1."
    )
    in_network_reduction: bool | None = Field(
        None, description="Whether switches reduce (SHARP, NVLS). Default: false."
    )
    scale_up_domain: Few | None = Field(
        None, examples=[72], description="Accelerators that share one scale-up fabric. Default: the catalogue's."
    )
    sites: Few | None = Field(
        None, examples=[2], description="Sites with equal shares that train one synchronous job. Default: 1."
    )
    wide_area: WideRate | None = Field(None, description="Bandwidth of one site towards the others, one way.")
    distance: Distance | None = Field(None, description="Length of the fibre between neighbouring sites. Default: 0.")


class SiteSection(Section):
    """Where it stands and what feeds it."""

    name: str | None = Field(None, examples=["Memphis"], description="Name of the site, for the report.")
    region: str | None = Field(
        None,
        examples=["tennessee"],
        description="US state whose industrial electricity price is the default (tennessee, ohio, ...).",
    )
    grid_limit: Power | None = Field(
        None, description="Largest sustained power that the site may draw. Default: no limit."
    )
    electricity_price: EnergyPrice | None = Field(
        None, description="Price of energy. Default: the region's, else the US wholesale price."
    )
    pue: Ratio | None = Field(None, description="Facility power over IT power. Default: by kind of cooling.")
    cooling: Literal["air", "liquid"] | None = Field(None, description="Default: liquid.")


class ReliabilitySection(Section):
    """Failures and what is done about them."""

    failure_rate: Rate | None = Field(
        None,
        description="Interruptions of the job per accelerator and time, all causes. Default: as published for the generation of the accelerator.",
    )
    restart_time: Minutes | None = Field(
        None, description="Time from a failure to training again. Default: grows with the job's size."
    )
    checkpoint_bandwidth: StateRate | None = Field(
        None, description="Rate at which one accelerator's state leaves it at a checkpoint."
    )
    checkpoint_interval: Minutes | None = Field(None, description="Time between checkpoints. Default: the optimum.")
    repair_time: Repair | None = Field(
        None, description="Time until a node that failed is back. Default: by component, about a day."
    )
    policy: Literal["restart", "neighbour_copy", "hot_spare", "drop_replica", "elastic", "islands"] | None = Field(
        None,
        description="What happens after a failure (docs/reliability.md). Default: restart.",
    )
    islands: Few | None = Field(
        None,
        examples=[8],
        description="Asynchronous islands under the policy islands; they divide the replicas. Default: 8, fewer where there are fewer replicas.",
    )
    inner_steps: Few | None = Field(
        None, examples=[100], description="Steps between two exchanges of asynchronous islands. Default: 100."
    )
    spares: SomeOrAll | None = Field(
        None,
        examples=[64],
        description="Accelerators of the fleet that stand by as spares, in whole nodes. Default: enough for 99 % of the time, of the fleet under hot_spare, else beside it.",
    )


class GridStep(Section):
    """A grid limit from a date on."""

    start: DateText = Field(alias="from", examples=["2024-08"], description="First day.")
    limit: Power = Field(description="Largest sustained power of the connection.")


class FleetStep(Section):
    """How much of the fleet runs from a date on."""

    start: DateText = Field(alias="from", examples=["2024-09"], description="First day.")
    share: Share = Field(description="Share of the fleet that runs.")


class GeneratorItem(Section):
    """Equal units that burn gas."""

    kind: str = Field(examples=["smt130"], description="A packaged kind (docs/power.md).")
    units: Count = Field(description="How many.")
    unit: Power | None = Field(None, description="Power of one. Default: the kind's.")
    fuel_price: EnergyPrice | None = Field(None, description="Price of the gas. Default: packaged.")
    start: DateText | None = Field(None, alias="from", examples=["2024-07"], description="First day. Default: always.")
    until: DateText | None = Field(None, examples=["2025-05"], description="First day without it. Default: never.")


class BatteryItem(Section):
    """Batteries on the site."""

    kind: str | None = Field(None, examples=["4h"], description="Megapack 2 XL of two or four hours: 2h or 4h.")
    units: Count | None = Field(None, description="How many of a packaged kind.")
    power: Power | None = Field(None, description="Power each way, where no kind is given.")
    energy: Energy | None = Field(None, description="Energy, where no kind is given.")
    round_trip: Efficiency | None = Field(None, description="Round-trip efficiency. Default: the kind's, else 0.9025.")
    start: DateText | None = Field(None, alias="from", examples=["2025-05"], description="First day. Default: always.")


class CurtailmentItem(Section):
    """A contract to take less from the grid when called."""

    hours: Seconds = Field(
        examples=["44 h"],
        description="Called time in a year: the dearest hours, or the warmest where prices do not vary.",
    )
    depth: Share = Field(examples=["50 %"], description="Share of the grid limit that is given up.")


class PowerSection(Section):
    """What feeds the site, what it must keep to, and the weather it stands in."""

    power_cap: Power | None = Field(
        None, examples=["500 W"], description="Power limit of one accelerator. Default: none."
    )
    requirements: str | None = Field(
        None,
        examples=["stabilisation"],
        description="What the grid asks: a packaged set, or a YAML file (docs/power.md).",
    )
    year: DateText | None = Field(
        None, examples=["2024-07"], description="First month of the year that is dispatched. Default: January 2023."
    )
    prices: str | None = Field(
        None,
        examples=["ercot 2023 price"],
        description="Hourly price of energy: a packaged series, or a CSV file. Default: the flat price of the site.",
    )
    carbon: str | None = Field(None, description="Hourly carbon of the grid: a packaged series, or a CSV file.")
    temperature: str | None = Field(None, description="Hourly temperature: a packaged series, or a CSV file.")
    humidity: str | None = Field(None, description="Hourly relative humidity: a packaged series, or a CSV file.")
    cooling: str | None = Field(
        None,
        examples=["direct_liquid"],
        description="Design that sets PUE by the weather: dry, evaporative, chiller, direct_liquid.",
    )
    demand_charge: DemandPrice | None = Field(
        None, description="Paid for the highest power of every month. Default: none."
    )
    carbon_price: CarbonPrice | None = Field(None, description="Price of carbon. Default: none.")
    grid: list[GridStep] | None = Field(None, description="Grid limits by date. Default: site.grid_limit all year.")
    fleet: list[FleetStep] | None = Field(None, description="Share of the fleet by date. Default: all of it, all year.")
    generators: list[GeneratorItem] | None = Field(None, description="On-site generation. Default: none.")
    battery: BatteryItem | None = Field(None, description="Batteries on the site. Default: none.")
    solar: Power | None = Field(
        None, description="Solar power installed (weather of the Texas panhandle). Default: none."
    )
    wind: Power | None = Field(
        None, description="Wind power installed (weather of the Texas panhandle). Default: none."
    )
    curtailment: CurtailmentItem | None = Field(None, description="A curtailment contract. Default: none.")


class FinanceSection(Section):
    """Money."""

    budget: Money | None = Field(None, description="Largest purchase. Default: no limit.")
    accelerator_price: Price | None = Field(
        None, description="Price of one accelerator (all kinds). Default: the catalogue's for the date."
    )
    discount_rate: Share | None = Field(None, description="Cost of capital per year.")
    lifetime: Years | None = Field(None, description="Years over which accelerators and servers are written off.")
    staff_cost: MoneyRate | None = Field(
        None, description="Staff and operations per time. Default: a share of the facility's cost per year."
    )


class ScenarioFields(Section):
    """A scenario of gigawatt: the chips, power, time and money that there are, and what is to be trained. Every section
    is optional.
    """

    name: str | None = Field(
        None, examples=["Grok-1 on H100"], description="Title of the plan. Default: the file's name."
    )
    description: str | None = Field(
        None, examples=["How long does it take?"], description="What is asked, in a sentence."
    )
    date: DateText | None = Field(
        None, examples=["2024-11"], description="When: picks dated prices. Default: the latest there are."
    )
    catalog: list[str] | None = Field(
        None,
        examples=["[my-chips.yaml]"],
        description="Overlay files or folders that add or override catalogue entries, relative to this file.",
    )
    fleet: FleetSection | None = Field(None, description="Default: 1,024 H100 SXM.")
    model: str | dict[str, Any] | None = Field(
        None,
        examples=["Grok-1"],
        description="Name in the catalogue, a Hugging Face file (path/to/config.json, or {config: path/to/config.json}), or {base: name, layers: 96, ...}. Default: Llama 3.1 405B.",
    )
    training: TrainingSection | None = Field(None, description="The run.")
    strategy: StrategySection | None = Field(None, description="Decisions that are fixed.")
    network: NetworkSection | None = Field(None, description="The network.")
    site: SiteSection | None = Field(None, description="The site.")
    reliability: ReliabilitySection | None = Field(None, description="Failures and recovery.")
    power: PowerSection | None = Field(None, description="What feeds the site, and what it must keep to.")
    finance: FinanceSection | None = Field(None, description="Money.")
    build: BuildSection | None = Field(None, description="The build-out: what is ordered, built and paid when.")
    serving: ServingSection | None = Field(None, description="Traffic, promises, and how it may be served.")
    assumptions: dict[str, Any] | None = Field(
        None,
        examples=["{reliability.detect_s: [10 s, 20 s, 60 s]}"],
        description="Overrides of any assumption by its path (see the report): a value, or [low, best, high].",
    )
