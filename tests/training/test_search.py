"""The space, its constraints, and that pruning keeps the optimum."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.catalog import load_catalog
from gigawatt.errors import InputError
from gigawatt.hardware import chip_of, fabric_of
from gigawatt.model import transformer_of
from gigawatt.training import (
    Columns,
    Evaluator,
    Space,
    TrainingJob,
    constraint_of,
    search,
    strategies,
    strategy_of,
)

CATALOG = load_catalog()


def job_of(model="Llama 3 70B", accelerators=256, batch=256, sequence=4096, name="H100"):
    accelerator = CATALOG.accelerator(name)
    return TrainingJob(
        model=transformer_of(CATALOG.model_entry(model)),
        chip=chip_of(accelerator),
        fabric=fabric_of(accelerator, accelerators),
        accelerators=accelerators,
        global_batch=batch,
        sequence=sequence,
    )


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


@settings(max_examples=25, deadline=None)
@given(data=st.data(), model=st.sampled_from(["Llama 3 8B", "Llama 3 70B", "Mixtral 8x7B"]))
def test_pruning_keeps_the_optimum_and_the_bound_holds(data, model):
    job = job_of(model, accelerators=data.draw(st.sampled_from([8, 64, 256])))
    space = small_space(data.draw)
    if model != "Mixtral 8x7B":
        space = replace(space, expert_parallel=(1,))
    pruned, whole = search(job, space), search(job, space, prune=False)
    assert whole.pruned == 0
    assert pruned.generated == whole.generated
    assert pruned.generated == pruned.pruned + pruned.feasible + sum(pruned.rejected.values())
    if whole.best is None:
        assert pruned.best is None
        return
    evaluator = Evaluator(job)
    best = [float(evaluator.evaluate(found.best).step_s[0]) for found in (pruned, whole)]
    assert best[0] == pytest.approx(best[1], rel=1e-12)
    everything = [evaluator.evaluate(block).step_s.min() for block in strategies(job, space)]
    assert min(everything) <= best[1] * (1 + 1e-12)


@settings(max_examples=20, deadline=None)
@given(data=st.data(), model=st.sampled_from(["Llama 3 8B", "Mixtral 8x7B", "DeepSeek-V3"]))
def test_no_strategy_beats_the_bound_of_its_family(data, model):
    from gigawatt.training._space import expand, majors, minors

    job = job_of(model, accelerators=512, batch=512)
    space = replace(small_space(data.draw), expert_parallel=(1, 8) if model != "Llama 3 8B" else (1,))
    evaluator, major, minor = Evaluator(job), majors(job, space), minors(space)
    bound, width = evaluator.lower_bound(major, minor), len(next(iter(minor.values())))
    for start, block in expand(major, minor):
        valid = evaluator.rejections(block) == 0
        step = evaluator.evaluate(block).step_s
        family = start + np.arange(len(block)) // width
        assert (step[valid] >= bound[family][valid] * (1 - 1e-9)).all()


def test_constraints_keep_their_word():
    job = job_of()
    rules = [constraint_of("tp <= 4"), constraint_of("recompute != full"), constraint_of("pipeline_parallel = 4")]
    found = search(job, constraints=rules)
    assert found.best is not None
    row = found.best.row(0)
    assert row["tensor_parallel"] <= 4
    assert row["pipeline_parallel"] == 4
    assert row["recompute"] != "full"
    assert found.rejected["breaks a constraint"] > 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tensor <= 8", "did you mean"),
        ("tp ~ 8", "not a constraint"),
        ("tp <= many", "a whole number"),
        ("recompute != ful", "none, selective, full"),
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
