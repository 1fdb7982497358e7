from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.catalog import load_catalog
from gigawatt.errors import InfeasibleError, InputError
from gigawatt.hardware import WideArea, chip_of, fabric_of
from gigawatt.model import (
    PRECISIONS,
    Attention,
    FeedForward,
    FlopConvention,
    Layer,
    Transformer,
    parameters,
    transformer_of,
)
from gigawatt.training import (
    REJECTIONS,
    STEP_PARTS,
    Columns,
    Evaluator,
    Space,
    TrainingJob,
    bubble_1f1b,
    bubble_dualpipe,
    bubble_fraction,
    bubble_zero_bubble_1p,
    constants,
    default_stack,
    evaluate,
    expected_maximum,
    interleaved_round,
    mfu_of,
    micro_batches_in_flight,
    relative_bubble,
    search,
    stacks,
    stage_layers,
    strategies,
    train,
    zero_bubble_share,
)

CATALOG = load_catalog()


def gpt(layers, hidden, heads, vocab=51200):
    layer = Layer(
        attention=Attention(heads=heads, kv_heads=heads, head_dim=hidden // heads),
        feed_forward=FeedForward(width=4 * hidden, gated=False),
    )
    return Transformer(name="GPT", hidden=hidden, vocab=vocab, tied_embeddings=True, layers=(layer,) * layers)


def job_of(model, accelerators, batch, sequence=2048, name="A100", precision="bf16", **fabric):
    model = transformer_of(CATALOG.model_entry(model)) if isinstance(model, str) else model
    accelerator = CATALOG.accelerator(name)
    return TrainingJob(
        model=model,
        chip=chip_of(accelerator),
        fabric=fabric_of(accelerator, accelerators, **fabric),
        accelerators=accelerators,
        global_batch=batch,
        sequence=sequence,
        precision=PRECISIONS[precision],
    )


# Korthikanti et al., arXiv 2205.05198, table 5: layers, hidden, heads, TP, PP, chunks, accelerators, batch, MFU, HFU with selective recompute
KORTHIKANTI = {
    "22B": (48, 6144, 64, 8, 1, 1, 8, 4, 4, 0.415, 0.437),
    "175B": (96, 12288, 96, 8, 8, 3, 64, 64, 1, 0.514, 0.528),
    "530B": (105, 20480, 128, 8, 35, 3, 280, 280, 1, 0.560, 0.570),
    "1T": (128, 25600, 160, 8, 64, 1, 512, 512, 1, 0.563, 0.570),
}


@pytest.mark.parametrize("name", KORTHIKANTI)
def test_r03_hardware_over_model_flops(name):
    layers, hidden, heads, *_, mfu, hfu = KORTHIKANTI[name]
    head = 51200 / (12 * hidden * layers)
    model, hardware = 1 + 2048 / (6 * hidden) + head, 1 + 2048 / (3 * hidden) + head
    assert hardware / model == pytest.approx(hfu / mfu, rel=0.01)
    # the paper counts what is done again at the training rate (3 x forward) and not causal, the engine as it is
    stored = constants(stack="megatron-2022", chip="A100 SXM 80GB")
    job = replace(job_of(gpt(layers, hidden, heads), 8, 1), constants=stored)
    step = evaluate(job, Columns.of(tensor_parallel=8, recompute=1))
    causal = 1 + 2048 / (12 * hidden) + head
    again = (float(step.hfu[0]) / float(step.mfu[0]) - 1) * causal * 3 * 2
    assert (model + again) / model == pytest.approx(hfu / mfu, rel=0.01)
    # and the model's own FLOPs are those of the paper, 72*B*L*s*h^2*(1 + s/6h + V/12hL), per token
    ours = mfu_of(job, 1.0, 1, FlopConvention.FULL) * job.chip.peak("bf16") / job.tokens_per_step
    assert ours == pytest.approx(72 * layers * hidden**2 * model, rel=1e-3)


@pytest.mark.parametrize("name", KORTHIKANTI)
def test_r04_utilisation_of_korthikanti(name):
    layers, hidden, heads, tensor, pipeline, chunks, accelerators, batch, micro, mfu, _ = KORTHIKANTI[name]
    job = job_of(gpt(layers, hidden, heads), accelerators, batch, precision="fp16")
    columns = Columns.of(
        tensor_parallel=tensor,
        pipeline_parallel=pipeline,
        virtual_stages=chunks,
        data_parallel=accelerators // tensor // pipeline,
        micro_batch=micro,
        recompute=1,
    )
    step = evaluate(job, columns)
    predicted = mfu_of(job, float(step.step_s[0]), accelerators, FlopConvention.FULL)
    # the 22B run materialises its score matrices, which this step model does not price yet: 25 %; the others 15 %
    assert predicted == pytest.approx(mfu, rel=0.25 if name == "22B" else 0.15)
    assert REJECTIONS[step.rejection[0]] == "fits"


@pytest.mark.parametrize(("stage", "gigabytes"), [(0, 120), (1, 31.4), (2, 16.6), (3, 1.88)])
def test_r06_zero_memory_of_a_7_5b_model_on_64(stage, gigabytes):
    """Arithmetic of arXiv 1910.02054: 2 + 2 + 12 bytes per parameter."""
    job = job_of(gpt(36, 4096, 32, vocab=1), 64, 64)
    parts = evaluate(job, Columns.of(data_parallel=64, zero_stage=stage)).memory_parts
    count = sum(job_params(job))
    held = parts["weights"] + parts["gradients"] * 2 / job.precision.gradient_bytes + parts["optimizer"]
    assert (parts["communication buffers"][0] > 0) == (stage == 3)  # two layers at work
    assert float(held[0]) / count * 7.5 == pytest.approx(gigabytes, rel=5e-3)


def job_params(job):
    from gigawatt.model import parameters

    counted = parameters(job.model)
    return (counted.total - job.model.hidden,)  # the final norm is not held against a stage


def test_r10_pipeline_bubbles():
    assert float(relative_bubble(64, 16)) == pytest.approx(0.234, abs=5e-4)
    assert float(bubble_fraction(64, 16)) == pytest.approx(0.190, abs=5e-4)
    assert float(relative_bubble(64, 16, 4)) == pytest.approx(0.0586, abs=5e-5)
    assert float(bubble_fraction(64, 16, 4)) == pytest.approx(0.0554, abs=5e-5)
    for stages, plain, zero, dual in ((8, 21, 7, 6), (16, 45, 15, 14)):
        assert bubble_1f1b(stages, 1, 2) == plain
        assert bubble_zero_bubble_1p(stages, 1, 2, 1) == zero
        assert bubble_dualpipe(stages, 3, 2, 1) == dual
    assert zero_bubble_share("zb-1p", 64, 16) == pytest.approx(15 / 79 / 3)
    assert zero_bubble_share("v-half", 64, 16) == pytest.approx(15 / 79 / 2)


def test_micro_batches_in_flight():
    assert float(micro_batches_in_flight(0, 8, 1, 64)) == 8
    assert float(micro_batches_in_flight(7, 8, 1, 64)) == 1
    assert float(micro_batches_in_flight(0, 8, 3, 64)) == pytest.approx(8 * (1 + 7 / 24))
    # 19 micro-batches over 8 stages: rounds of 10 and 9, none below 8
    assert float(micro_batches_in_flight(0, 8, 3, 19)) == pytest.approx((2 * 7 + 2 * 10 + 1) / 3)


@given(st.integers(1, 400), st.integers(1, 64))
def test_no_round_of_an_interleaved_schedule_is_shorter_than_the_pipeline(micro_batches, stages):
    rounds = max(micro_batches // stages, 1)
    assert float(interleaved_round(micro_batches, stages)) * rounds >= micro_batches
    if micro_batches >= stages:
        assert float(interleaved_round(micro_batches, stages)) >= stages
    if micro_batches % stages == 0:
        assert float(interleaved_round(micro_batches, stages)) == stages
    assert float(micro_batches_in_flight(0, 8, 1, 4)) == 4


@given(layers=st.integers(1, 130), stages=st.integers(1, 40), virtual=st.integers(1, 4))
def test_every_layer_is_on_one_stage(layers, stages, virtual):
    if stages * virtual > layers + 2:
        with pytest.raises(ValueError, match="cannot fill"):
            stage_layers((0,) * layers, stages, virtual)
        return
    counts = stage_layers((0,) * layers, stages, virtual)
    assert counts.sum() == layers
    assert counts.max() - counts.min() <= virtual


def test_stragglers():
    assert float(expected_maximum(16_384)) == pytest.approx(3.86, abs=0.03)
    assert float(expected_maximum(1_000_000)) == pytest.approx(4.77, abs=0.03)
    assert float(expected_maximum(1)) == 0


def test_r11_scaling_trends_on_h100():
    """Megatron-Core on H100: strong scaling of 175B at batch 1,152 loses about a tenth from 96 to 4,608
    accelerators.
    """
    mfu = {}
    for accelerators in (96, 4608):
        job = job_of("GPT-3 175B", accelerators, 1152, name="H100")
        result = train(job)
        mfu[accelerators] = mfu_of(job, result.step_s, result.accelerators, FlopConvention.FULL)
    assert mfu[4608] < mfu[96]


@st.composite
def random_columns(draw, rows=12):
    def pick(*values):
        return [draw(st.sampled_from(values)) for _ in range(rows)]

    return Columns.of(
        tensor_parallel=pick(1, 2, 4, 8),
        pipeline_parallel=pick(1, 2, 4, 8),
        virtual_stages=pick(1, 2),
        data_parallel=pick(1, 2, 8, 16),
        context_parallel=pick(1, 2),
        expert_parallel=pick(1, 2, 8),
        micro_batch=pick(1, 2),
        recompute=pick(0, 1, 2),
        zero_stage=pick(0, 1, 2, 3),
        sequence_parallel=pick(0, 1),
    )


@settings(max_examples=30, deadline=None)
@given(columns=random_columns(), model=st.sampled_from(["Grok-1", "Llama 3 70B", "DeepSeek-V3"]))
def test_parts_sum_and_one_strategy_is_a_column_of_one(columns, model):
    job = job_of(model, 4096, 512, 4096, "H100")
    step = evaluate(job, columns)
    assert [name for name in STEP_PARTS if name in step.step_parts] == list(step.step_parts)
    assert np.allclose(sum(step.step_parts.values()), step.step_s, rtol=1e-12)
    assert np.allclose(sum(step.memory_parts.values()), step.memory_bytes, rtol=1e-12)
    assert all((part >= 0).all() for part in step.step_parts.values())
    assert (step.mfu <= step.hfu + 1e-12).all()
    assert (step.hfu < 1).all()
    for row in range(len(columns)):
        alone = evaluate(job, columns.take([row]))
        assert alone.step_s[0] == pytest.approx(step.step_s[row], rel=1e-12)
        assert alone.memory_bytes[0] == pytest.approx(step.memory_bytes[row], rel=1e-12)
        assert alone.rejection[0] == step.rejection[row]


@settings(max_examples=20, deadline=None)
@given(columns=random_columns(), factor=st.floats(1.0, 8.0))
def test_a_faster_network_is_never_slower(columns, factor):
    base = job_of("Grok-1", 4096, 512, 4096, "H100")
    fast = job_of("Grok-1", 4096, 512, 4096, "H100", scale_out_bytes_per_s=5e10 * factor)
    thin = job_of("Grok-1", 4096, 512, 4096, "H100", oversubscription=factor)
    assert (evaluate(fast, columns).step_s <= evaluate(base, columns).step_s * (1 + 1e-12)).all()
    assert (evaluate(thin, columns).step_s >= evaluate(base, columns).step_s * (1 - 1e-12)).all()


def run_of(draw):
    """Return a job of a random model, chip and stack, and one strategy of it (no offload, no DualPipe)."""
    name = draw(st.sampled_from(["Llama 3 8B", "Mixtral 8x7B", "DeepSeek-V3", "GPT-3 175B"]))
    accelerator = CATALOG.accelerator(draw(st.sampled_from(["H100 SXM", "GB200 (per GPU)", "TPU v5p", "MI300X"])))
    pipeline, tensor, data = (draw(st.sampled_from([1, 2, 4, 8])) for _ in range(3))
    schedule = draw(st.integers(0, 1)) if pipeline > 1 else 0
    virtual = draw(st.sampled_from([1, 2])) if pipeline > 1 and not schedule else 1
    expert = (
        draw(st.sampled_from([e for e in (1, 2, 4, 8) if e <= data * tensor])) if "8x7B" in name or "V3" in name else 1
    )
    rounds = pipeline * draw(st.integers(2, 6)) + draw(st.integers(0, pipeline - 1))
    job = replace(
        job_of(name, pipeline * tensor * data, rounds * data, 4096, accelerator.name),
        constants=constants(stack=default_stack(accelerator.vendor, accelerator.name), chip=accelerator.name),
    )
    columns = Columns.of(
        tensor_parallel=tensor,
        pipeline_parallel=pipeline,
        virtual_stages=virtual,
        data_parallel=data,
        expert_parallel=expert,
        schedule=schedule,
        zero_stage=draw(st.integers(0, 3)),
        recompute=draw(st.integers(0, 2)),
        tensor_overlap=draw(st.integers(0, 1)),
    )
    return job, columns


@settings(max_examples=80, deadline=None)
@given(run=st.composite(run_of)(), factor=st.floats(1.05, 3.0))
def test_a_faster_chip_is_never_slower_and_none_beats_its_peak(run, factor):
    job, columns = run
    step = evaluate(job, columns)
    assert float(step.mfu[0]) < 1.0
    assert float(step.hfu[0]) >= float(step.mfu[0])
    faster = replace(job.chip, flop_per_s={dtype: factor * rate for dtype, rate in job.chip.flop_per_s.items()})
    wider = replace(job.chip, memory_bytes_per_s=factor * job.chip.memory_bytes_per_s)
    for chip in (faster, wider):
        assert float(evaluate(replace(job, chip=chip), columns).step_s[0]) <= float(step.step_s[0]) * (1 + 1e-9)


def test_the_overlap_option_never_slows():
    for stack in stacks():
        if stack != "*":
            job = replace(job_of("Llama 3 8B", 8, 64, 4096, "H100"), constants=constants(stack=stack, chip="H100 SXM"))
            step = evaluate(job, Columns.of(tensor_parallel=4, data_parallel=2, tensor_overlap=np.array([0, 1])))
            assert step.step_s[1] <= step.step_s[0]


def test_shard_groups_and_sites_exchange_what_plain_data_parallelism_does():
    near = job_of("Llama 3 8B", 512, 512, 8192, "H100")
    plain = evaluate(near, Columns.of(data_parallel=512, zero_stage=0, shard_ranks=np.array([0, 8])))
    part = plain.step_parts["data-parallel communication"]
    assert part[0] == pytest.approx(part[1])
    thin, thick = (WideArea(sites=2, bytes_per_s=rate, distance_m=1e6) for rate in (1e9, 1e12))
    for stage in range(4):
        columns = Columns.of(data_parallel=512, zero_stage=stage)
        slow, fast = (
            float(evaluate(job_of("Llama 3 8B", 512, 512, 8192, "H100", wide_area=area), columns).step_s[0])
            for area in (thin, thick)
        )
        assert slow > 5 * fast, stage


def test_stages_send_inside_a_site():
    area = WideArea(sites=2, bytes_per_s=1e9, distance_m=1e6)
    job = job_of("Llama 3 8B", 512, 512, 8192, "H100", wide_area=area)
    step = evaluate(job, Columns.of(tensor_parallel=8, pipeline_parallel=2, data_parallel=32, zero_stage=1))
    assert float(step.step_parts["pipeline sends"][0]) < 0.1


def test_network_bytes_count_gradients_and_weights():
    """docs/science.md 4.1-4.2: 2 n g for plain data parallelism, n (g + 2) with ZeRO-1, m n (g + 4) with ZeRO-3."""
    job = job_of("Llama 3 8B", 8, 64, 8192, "H100")
    columns = Columns.of(data_parallel=8, zero_stage=np.arange(4))
    sent = evaluate(job, columns).network_bytes / (7 / 8 * parameters(job.model).total)
    assert sent == pytest.approx([2 * 4, 4 + 2, 8 * 4 + 2, 8 * (4 + 4)], rel=1e-6)


def test_search_finds_the_best_of_all():
    job = job_of("Llama 3 70B", 64, 128, 4096, "H100")
    space = Space(
        tensor_parallel=(1, 2, 4, 8), pipeline_parallel=(1, 2, 4, 8), virtual_stages=(1, 2), micro_batch=(1, 2)
    )
    found = search(job, space)
    everything = Columns.concatenate(strategies(job, space))
    step = evaluate(job, everything)
    fits = step.rejection == 0
    assert found.generated == len(everything)
    assert found.feasible == int(fits.sum())
    assert found.generated == found.feasible + sum(found.rejected.values())
    best = evaluate(job, found.best)
    assert float(best.step_s[0]) == float(step.step_s[fits].min())
    pareto = evaluate(job, found.pareto)
    for row in range(len(found.pareto)):
        beaten = (
            (step.step_s < pareto.step_s[row])
            & (step.memory_bytes < pareto.memory_bytes[row])
            & (step.network_bytes < pareto.network_bytes[row])
        )
        assert not (beaten & fits).any()


def test_search_is_deterministic_and_pins_hold():
    job = job_of("Grok-1", 256, 256, 8192, "H100")
    first, second = search(job), search(job)
    assert first.best.row(0) == second.best.row(0)
    pinned = search(job, pins={"tensor_parallel": 2, "recompute": 2})
    assert set(pinned.alternatives.tensor_parallel.tolist()) <= {2}
    assert pinned.best.row(0)["recompute"] == "full"
    with pytest.raises(InputError, match="did you mean 'tensor_parallel'"):
        search(job, pins={"tensor_paralel": 2})


def test_no_rank_is_used_in_vain():
    job = job_of("Llama 3 8B", 1000, 96, 8192, "H100")
    result = train(job)
    assert result.accelerators <= 1000
    assert result.strategy["data_parallel"] * result.strategy["micro_batch"] <= 96


def test_a_model_that_does_not_fit_says_by_how_much_and_what_would_help():
    with pytest.raises(InfeasibleError) as error:
        train(job_of("Llama 3.1 405B", 8, 64, 8192, "H100"))
    text = str(error.value)
    assert "memory per accelerator binds" in text
    assert "too much" in text
    assert "accelerators" in error.value.remedy
    assert error.value.exit_code == 1


def test_a_given_strategy_that_breaks_a_rule_is_named():
    job = job_of("Llama 3 8B", 8, 64, 8192, "H100")
    with pytest.raises(InputError, match="tensor parallel does not divide the attention heads"):
        train(job, Columns.of(tensor_parallel=3))
    with pytest.raises(TypeError, match="no such column"):
        Columns.of(tensor=3)


def test_result_is_printable_and_convertible():
    result = train(job_of("Llama 3 8B", 8, 64, 8192, "H100"))
    assert result.step.value == pytest.approx(result.step_s)
    assert result.timeline.duration_s == pytest.approx(result.step_s)
    assert result.to_dict()["strategy"]["precision"] == "bf16"
    assert len(result.to_frame()) == 1 + len(result.alternatives)


def test_every_rule_can_be_broken():
    job = job_of("Mixtral 8x7B", 64, 64, 4096, "H100")
    base = {"data_parallel": 1}
    broken = [
        {"data_parallel": 128},
        {"tensor_parallel": 3},
        {"pipeline_parallel": 36},
        {"virtual_stages": 2},
        {"pipeline_parallel": 4, "virtual_stages": 2, "data_parallel": 16, "micro_batch": 2},
        {"context_parallel": 6},
        {"expert_parallel": 3},
        {"expert_parallel": 8},
        {"tensor_parallel": 4, "data_parallel": 2, "expert_tensor_parallel": 2},
        {"data_parallel": 64, "micro_batch": 2},
        {"tensor_parallel": 16, "context_parallel": 4, "context_exchange": 2},
        {"data_parallel": 8, "shard_ranks": 3},
        {"schedule": 1},
        {"pipeline_parallel": 3, "schedule": 2},
        {},
    ]
    rows = Columns.concatenate([Columns.of(**{**base, **row}) for row in broken])
    codes = [code for code, rule in enumerate(REJECTIONS) if code and "sites" not in rule]
    assert evaluate(job, rows).rejection.tolist() == codes
    for row, code in enumerate(codes):
        assert evaluate(job, rows.take([row])).rejection[0] == code


def test_sites_exchange_gradients_once_per_step():
    """Data parallelism is outermost; the link of a site carries the gradients of a site once each way."""
    from gigawatt.hardware import WideArea

    base = job_of("Llama 3 8B", 1024, 2048, 4096, "H100")
    columns = Columns.of(tensor_parallel=2, data_parallel=512, micro_batch=1, zero_stage=1)

    def exchange(bandwidth, distance=0.0):
        wide = WideArea(sites=2, bytes_per_s=bandwidth, distance_m=distance)
        fabric = fabric_of(CATALOG.accelerator("H100"), 1024, wide_area=wide)
        step = evaluate(replace(base, fabric=fabric), columns)
        return float(step.step_parts["data-parallel communication"][0])

    slow, slower = exchange(1e9), exchange(0.5e9)
    gradients = 8.03e9 * 4
    assert slower - slow == pytest.approx(gradients / 1e9 / 0.82, rel=0.1)
    assert exchange(1e9, 2e6) > slow
    odd = Columns.of(tensor_parallel=2, data_parallel=511)
    wide = fabric_of(CATALOG.accelerator("H100"), 1024, wide_area=WideArea(sites=2, bytes_per_s=1e12, distance_m=0.0))
    assert (
        REJECTIONS[evaluate(replace(base, fabric=wide), odd).rejection[0]]
        == "data parallel does not divide over the sites"
    )


def test_constants_are_few_and_replaceable():
    assert constants({"straggler_sigma": 0.0}).straggler_sigma == 0
    with pytest.raises(KeyError):
        constants({"sigma": 0.0})
    job = job_of("Llama 3 8B", 8, 64, 8192, "H100")
    assert Evaluator(job).job is job
