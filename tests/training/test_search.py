"""The space, its constraints, and that pruning keeps the optimum."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.catalog import load_catalog
from gigawatt.errors import InfeasibleError, InputError
from gigawatt.hardware import WideArea, chip_of, fabric_of
from gigawatt.model import transformer_of
from gigawatt.training import (
    FORBIDDEN,
    Columns,
    Evaluator,
    Space,
    TrainingJob,
    constants,
    constraint_of,
    elasticities,
    fewest,
    fits,
    search,
    stacks,
    strategies,
    strategy_of,
    train,
)

CATALOG = load_catalog()


STACKS = sorted(name for name in stacks() if name != "*")


def job_of(model="Llama 3 70B", accelerators=256, batch=256, sequence=4096, name="H100", stack=""):
    accelerator = CATALOG.accelerator(name)
    return TrainingJob(
        model=transformer_of(CATALOG.model_entry(model)),
        chip=chip_of(accelerator),
        fabric=fabric_of(accelerator, accelerators),
        accelerators=accelerators,
        global_batch=batch,
        sequence=sequence,
        constants=constants(stack=stack, chip=accelerator.name),
    )


RULES = [
    "tp <= 4",
    "tp != 2",
    "pp >= 2",
    "dp <= 24",
    "dp >= 8",
    "dp != 32",
    "recompute != full",
    "zero_stage >= 1",
    "schedule = 1f1b",
    "tensor_overlap = 1",
    "memory <= 60 GB",
]


def rules(draw):
    """Draw up to three constraints."""
    return [constraint_of(text) for text in draw(st.lists(st.sampled_from(RULES), max_size=3, unique=True))]


def seconds(job, columns):
    return float(Evaluator(job).evaluate(columns).step_s[0])


def small_space(draw):
    def pick(values, most=3):
        return tuple(sorted(draw(st.sets(st.sampled_from(values), min_size=1, max_size=most))))

    return Space(
        tensor_parallel=pick([1, 2, 4, 8]),
        pipeline_parallel=pick([1, 2, 4, 8, 16]),
        virtual_stages=pick([1, 2, 4]),
        context_parallel=pick([1, 2], 2),
        expert_parallel=(1, 2, 8),
        micro_batch=pick([1, 2, 4]),
        recompute=pick([0, 1, 2]),
        zero_stage=pick([0, 1, 2, 3]),
        sequence_parallel=pick([0, 1], 2),
        schedule=pick([0, 1, 2]),
        tensor_overlap=pick([0, 1], 2),
        offload_optimizer=pick([0, 1], 2),
        offload_activations=pick([0, 1], 2),
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data(), model=st.sampled_from(["Llama 3 8B", "Llama 3 70B", "Mixtral 8x7B"]))
def test_pruning_keeps_the_optimum(data, model):
    stack = data.draw(st.sampled_from(["", *STACKS]))
    job = job_of(model, accelerators=data.draw(st.sampled_from([8, 24, 64, 256])), stack=stack)
    space = small_space(data.draw)
    if model != "Mixtral 8x7B":
        space = replace(space, expert_parallel=(1,))
    question = {
        "constraints": rules(data.draw),
        "margin": data.draw(st.sampled_from([0.0, 0.135, 0.5])),
        "narrower": data.draw(st.booleans()),
    }
    try:
        pruned, whole = search(job, space, **question), search(job, space, prune=False, **question)
    except InfeasibleError:  # a rule that no candidate keeps
        with pytest.raises(InfeasibleError, match="leaves nothing to search"):
            search(job, space, prune=False, **question)
        return
    assert whole.pruned == 0
    for found in (pruned, whole):
        assert found.generated == found.pruned + found.feasible + sum(found.rejected.values())
    if whole.best is None:
        assert pruned.best is None
        return
    assert seconds(job, pruned.best) == pytest.approx(seconds(job, whole.best), rel=1e-12)
    assert pruned.tight == whole.tight
    evaluator = Evaluator(job)
    fronts = [(found.by_count.accelerators, evaluator.evaluate(found.by_count).step_s) for found in (pruned, whole)]
    assert fronts[0][0].tolist() == fronts[1][0].tolist()
    assert fronts[0][1] == pytest.approx(fronts[1][1], rel=1e-12)
    for rule in question["constraints"]:
        held = evaluator.evaluate(whole.best).memory_bytes
        assert (rule.keeps(held) if rule.on_memory else rule.holds(whole.best)).all(), rule.text


@settings(max_examples=25, deadline=None)
@given(data=st.data(), model=st.sampled_from(["Llama 3 8B", "Llama 3 70B", "Mixtral 8x7B"]))
def test_no_data_parallel_degree_is_better_than_those_that_are_tried(data, model):
    job = job_of(
        model,
        accelerators=data.draw(st.integers(8, 72)),
        batch=data.draw(st.integers(16, 100)),
        stack=data.draw(st.sampled_from(["", *STACKS])),
    )
    experts = (1,) if model != "Mixtral 8x7B" else (1, 8)
    space = replace(small_space(data.draw), expert_parallel=experts)
    # a degree is not tried for an even number of micro-batches (DualPipe), nor to do without offload by sharing more finely
    schedules = tuple(kind for kind in space.schedule if kind != 2) or (0,)
    space = replace(space, schedule=schedules, offload_optimizer=(0,), offload_activations=(0,))
    found = search(job, space, narrower=True)
    pinned = [search(job, space, pins={"data_parallel": degree}) for degree in range(1, job.accelerators + 1)]
    times = [seconds(job, other.best) for other in pinned if other.best is not None]
    assert (found.best is None) == (not times)
    if times:
        assert seconds(job, found.best) <= min(times) * 1.02  # what is between two tried degrees shards a little more


@settings(max_examples=25, deadline=None)
@given(data=st.data(), model=st.sampled_from(["Llama 3 8B", "Mixtral 8x7B"]), looser=st.floats(1.0, 6.0))
def test_fewest_is_what_trying_every_degree_finds(data, model, looser):
    job = job_of(model, accelerators=data.draw(st.integers(16, 72)), batch=data.draw(st.integers(16, 60)), name="B300")
    space = replace(
        small_space(data.draw), expert_parallel=(1,) if model == "Llama 3 8B" else (1, 8), micro_batch=(1, 2)
    )
    # the bound of a family does not know how finely an offloaded optimizer is shared
    space = replace(space, offload_optimizer=(0,))
    found = search(job, space, narrower=True)
    if found.best is None:
        assert fewest(job, 1e-9, space) is None
        return
    limit = seconds(job, found.best) * looser * (1 + 1e-9)
    answer = fewest(job, limit, space)
    assert seconds(job, answer) <= limit
    counts = []
    for degree in range(1, job.accelerators + 1):
        for block in strategies(job, space, {"data_parallel": degree}):
            step = Evaluator(job).evaluate(block)
            counts += block.accelerators[(step.rejection == 0) & (step.step_s <= limit)].tolist()
    assert int(answer.accelerators[0]) == min(counts)
    assert fewest(job, limit * 1.5, space).accelerators[0] <= answer.accelerators[0]
    assert fewest(job, seconds(job, found.best) * 0.9, space) is None


@settings(max_examples=20, deadline=None)
@given(data=st.data(), model=st.sampled_from(["Llama 3 8B", "Mixtral 8x7B", "DeepSeek-V3"]))
def test_no_strategy_beats_the_bound_of_its_family(data, model):
    from gigawatt.training._search import bound_of
    from gigawatt.training._space import expand, majors, minors

    job = job_of(
        model, accelerators=512, batch=data.draw(st.integers(400, 512)), stack=data.draw(st.sampled_from(STACKS))
    )
    space = replace(small_space(data.draw), expert_parallel=(1, 8) if model != "Llama 3 8B" else (1,))
    evaluator, major, minor = Evaluator(job), majors(job, space), minors(space)
    bound, width = bound_of(evaluator, major, minor).at(major), len(next(iter(minor.values())))
    for start, block in expand(major, minor):
        valid = evaluator.rejections(block) == 0
        step = evaluator.evaluate(block).step_s
        family = start + np.arange(len(block)) // width
        assert (step[valid] >= bound[family][valid] * (1 - 1e-9)).all()


def test_constraints_keep_their_word():
    job = job_of()
    texts = ["tp <= 4", "recompute != full", "pipeline_parallel = 4", "dp >= 9", "dp != 16", "memory <= 60 GB"]
    found = search(job, constraints=[constraint_of(text) for text in texts])
    assert found.best is not None
    row = found.best.row(0)
    assert row["tensor_parallel"] <= 4
    assert row["pipeline_parallel"] == 4
    assert row["recompute"] != "full"
    assert row["data_parallel"] >= 9
    assert row["data_parallel"] != 16
    assert Evaluator(job).evaluate(found.best).memory_bytes[0] <= 60e9
    assert found.rejected[FORBIDDEN] > 0


def test_a_constraint_on_data_parallelism_shapes_the_search_and_does_not_filter_it():
    """The degree that would be derived is 32 for every shape; below 32 there are still strategies."""
    job = job_of("Llama 3 8B", accelerators=32, batch=32)
    for text, holds in (("dp <= 7", lambda dp: dp <= 7), ("dp = 5", lambda dp: dp == 5), ("dp > 9", lambda dp: dp > 9)):
        found = search(job, constraints=[constraint_of(text)])
        assert found.best is not None, text
        assert holds(found.best.data_parallel[0])


def test_constraints_extend_the_candidates_where_the_model_allows():
    """Tensor parallelism across servers is not a usual candidate; asked for, it is tried."""
    found = search(job_of(), constraints=[constraint_of("tp >= 16")])
    assert found.best is not None
    assert found.best.tensor_parallel[0] == 16


def test_a_constraint_that_nothing_keeps_is_named_with_what_there_is():
    with pytest.raises(
        InfeasibleError, match=r"'tp >= 128' leaves nothing to search.*can be 1, 2, 4, 8, 16, 32, 64"
    ) as e:
        search(job_of(), constraints=[constraint_of("tp >= 128")])
    assert e.value.constraint == "tp >= 128"
    with pytest.raises(InfeasibleError, match="the strategy fixes tensor_parallel at 8"):
        search(job_of(), pins={"tensor_parallel": 8}, constraints=[constraint_of("tp <= 4")])


def test_the_margin_is_kept_and_the_faster_strategy_without_it_is_told():
    job = job_of("Llama 3.1 405B", accelerators=4096, batch=512, sequence=8192)
    result = train(job)
    assert result.memory_margin == job.constants.memory_margin > 0.05
    assert result.keeps_margin
    assert result.memory_bytes * (1 + result.memory_margin) <= job.chip.memory_bytes
    faster = result.without_margin
    assert faster["step_time"] < result.step_s
    assert job.chip.memory_bytes / (1 + result.memory_margin) < faster["memory"] <= job.chip.memory_bytes
    assert any("fits if memory is as predicted" in warning for warning in result.warnings)
    bold = train(replace(job, constants=replace(job.constants, memory_margin=0.0)))
    assert bold.step_s == pytest.approx(faster["step_time"])
    limited = train(job, constraints=[constraint_of("memory <= 79 GB")])  # a limit of one's own replaces the margin
    assert limited.step_s <= result.step_s
    assert limited.memory_bytes <= 79e9


def test_a_margin_that_nothing_keeps_is_given_up_and_said():
    job = job_of("Llama 3 70B", accelerators=24, batch=24)
    tight = train(replace(job, constants=replace(job.constants, memory_margin=20.0)))
    assert not tight.keeps_margin
    assert any("no strategy has that much left" in warning for warning in tight.warnings)


@pytest.mark.parametrize("count", [1, 3, 8, 16])
def test_the_memory_remedy_is_the_smallest_fleet_under_the_same_rules(count):
    def job(accelerators):
        return job_of("Llama 3 70B", accelerators=accelerators, batch=64)

    with pytest.raises(InfeasibleError, match="Smallest change that fits: 24 accelerators"):
        train(job(count), unit=8, resized=job)
    assert fits(job(24))
    with pytest.raises(InfeasibleError, match=r"under tp <= 1.*Smallest change that fits: ") as error:
        train(job(count), unit=8, resized=job, constraints=[constraint_of("tp <= 1")])
    needed = int(str(error.value).rpartition("fits: ")[2].split()[0].replace(",", ""))
    assert fits(job(needed), constraints=[constraint_of("tp <= 1")])
    assert not fits(job(needed - 8), constraints=[constraint_of("tp <= 1")])


def test_pins_larger_than_the_fleet_state_product_and_fleet():
    pins = {"tensor_parallel": 8, "pipeline_parallel": 16, "data_parallel": 4}
    with pytest.raises(InfeasibleError, match=r"tensor 8 x pipeline 16 x data 4 = 512 of 256 H100"):
        train(job_of(), pins=pins)


def test_levers_are_named_after_what_there_is():
    def names(job):
        return {row["lever"] for row in elasticities(job, search(job).best)}

    assert {"scale-up bandwidth", "scale-out bandwidth"} <= names(job_of(accelerators=64))
    alone = CATALOG.accelerator("H100")
    apart = replace(job_of("Llama 3 8B", 64), fabric=fabric_of(alone, 64, scale_up_domain=1))
    assert names(apart) == {"arithmetic rate", "memory bandwidth", "global batch", "scale-out bandwidth"}
    sites = fabric_of(alone, 64, wide_area=WideArea(sites=2, bytes_per_s=1e12, distance_m=1e5))
    assert "bandwidth between sites" in names(replace(job_of("Llama 3 8B", 64), fabric=sites))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tensor <= 8", "did you mean"),
        ("tp ~ 8", "not a constraint"),
        ("tp <= many", "a whole number"),
        ("recompute != ful", "none, selective, full"),
        ("memory <= 70 W", "not an amount of memory"),
        ("memory >= 7 GB", "not a constraint"),
    ],
)
def test_bad_constraints_say_what_is_allowed(text, words):
    with pytest.raises(InputError, match=words):
        constraint_of(text)


def test_a_strategy_as_written():
    assert strategy_of("tp=4, pp=8 recompute=full schedule=zero_bubble") == {
        "tensor_parallel": 4,
        "pipeline_parallel": 8,
        "recompute": 2,
        "schedule": 1,
    }
    for text in ("tp", "tp=x", "columns=4", "schedule=gpipe"):
        with pytest.raises(InputError):
            strategy_of(text)


def test_every_column_has_a_name_for_people():
    row = Columns.of(recompute=2, schedule=2, context_exchange=2).row(0)
    assert (row["recompute"], row["schedule"], row["context_exchange"]) == ("full", "dualpipe", "ulysses")


def test_wide_space_is_never_worse_and_a_million_accelerators_are_no_slower():
    job = job_of("Llama 3 70B", accelerators=128, batch=128)
    usual, wide = search(job), search(job, Space.wide(job))
    assert wide.generated > 20 * usual.generated
    evaluator = Evaluator(job)
    assert evaluator.evaluate(wide.best).step_s[0] <= evaluator.evaluate(usual.best).step_s[0] * (1 + 1e-9)
    huge = search(job_of("Llama 3 70B", accelerators=1_000_000, batch=65_536))
    assert huge.best is not None
    assert huge.generated <= usual.generated
