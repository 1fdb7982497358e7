"""The fewest accelerators for a deadline, and what `gigawatt train` says about one."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.errors import InfeasibleError, InputError
from gigawatt.planning import ask, train_scenario
from gigawatt.scenario import scenario_from_mapping

DAY = 86_400.0


def scenario(**sections):
    data = {
        "fleet": {"accelerator": "H100"},
        "model": "Llama 3 70B",
        "training": {"tokens": "1T tokens", "global_batch": "1024 sequences", "sequence_length": "4096 tokens"},
    } | sections
    return scenario_from_mapping(data, name="test", folder=Path())


def days_of(answer_days, **sections):
    return ask(scenario(**sections), deadline_s=answer_days * DAY)[0]


@settings(max_examples=6, deadline=None)
@given(days=st.floats(8.0, 40.0), looser=st.floats(1.0, 2.0))
def test_the_answer_is_in_time_and_nothing_smaller_is(days, looser):
    answer = days_of(days).numbers
    assert answer["run_s"] <= days * DAY
    assert answer["run_low_s"] < answer["run_s"] < answer["run_high_s"]
    assert answer["accelerators_low"] <= answer["accelerators"] <= answer["accelerators_high"]
    assert answer["accelerators"] % 8 == 0
    # a search on the fleet finds it, and searches on smaller fleets find nothing that is in time
    tokens, found = 1e12, answer["accelerators"]
    for count, in_time in ((found, True), (found - 8, False), (found - 16, False), (int(0.8 * found), False)):
        try:
            report = train_scenario(scenario(fleet={"accelerator": "H100", "count": count}))
        except InfeasibleError:
            assert not in_time
            continue
        run = tokens / report.job.tokens_per_step * report.result.step_s
        assert (run <= days * DAY) == in_time or not report.result.keeps_margin
    assert days_of(days * looser).numbers["accelerators"] <= answer["accelerators"]


def test_pins_constraints_and_a_wide_search_hold():
    free = days_of(60).numbers
    pinned = days_of(60, strategy={"tensor_parallel": 8, "constraints": ["pp >= 4", "recompute = full"]}).numbers
    assert pinned["strategy"]["tensor_parallel"] == 8
    assert pinned["strategy"]["pipeline_parallel"] >= 4
    assert pinned["strategy"]["recompute"] == "full"
    assert pinned["accelerators"] > free["accelerators"]
    small = {"model": "Llama 3 8B", "strategy": {"tensor_parallel": 1, "context_parallel": 1, "micro_batch": 1}}
    usual, wide = (ask(scenario(**small), deadline_s=60 * DAY, wide=wide)[0].numbers for wide in (False, True))
    assert wide["accelerators"] <= usual["accelerators"]


def test_no_count_is_needed_for_a_deadline_but_for_money():
    assert days_of(60).numbers == days_of(60, fleet={"accelerator": "H100", "count": 9}).numbers
    with pytest.raises(InputError, match="how many accelerators"):
        ask(scenario(), budget_usd=1e6, usd_per_accelerator_hour=2.0)


def test_a_nearby_batch_that_needs_fewer_is_told():
    training = {"tokens": "1T tokens", "global_batch": "520 sequences", "sequence_length": "4096 tokens"}
    answer = days_of(6, training=training)
    nearby = answer.numbers["nearby_batch"]
    assert nearby["accelerators"] < answer.numbers["accelerators"]
    assert f"At {nearby['global_batch']:,} sequences per step {nearby['accelerators']:,} do it" in answer.sentence
    again = training | {"global_batch": f"{nearby['global_batch']} sequences"}
    assert days_of(6, training=again).numbers["accelerators"] == nearby["accelerators"]


def test_too_short_a_deadline_names_the_batch():
    with pytest.raises(InfeasibleError, match="the batch of 1,024 sequences binds") as error:
        days_of(0.01)
    assert error.value.remedy == "a larger training.global_batch"


def test_training_says_whether_the_deadline_is_met():
    def deadline(text):
        training = {"tokens": "1T tokens", "global_batch": "1024 sequences", "deadline": text}
        return train_scenario(scenario(fleet={"accelerator": "H100", "count": 1024}, training=training)).to_dict()

    met, missed = deadline("400 days"), deadline("3 days")
    assert met["deadline"]["met"] is True
    assert "is met by" in met["deadline"]["sentence"]
    assert "all of the interval" in met["deadline"]["sentence"]
    assert missed["deadline"]["met"] is False
    assert "is missed by" in missed["deadline"]["sentence"]
    assert missed["deadline"]["run_low_s"] > missed["deadline"]["limit_s"]
    free = train_scenario(scenario(fleet={"accelerator": "H100", "count": 64})).to_dict()
    assert free["deadline"] is None


def test_the_interval_is_the_only_number_for_the_error_of_the_model():
    report = train_scenario(scenario(fleet={"accelerator": "TPU v7", "count": 256})).to_dict()
    notes = [note for note in report["warnings"] if "transferred from other chips" in note]
    assert notes
    assert "10-15 %" not in " ".join(report["warnings"])


def test_the_memory_margin_can_be_set():
    fleet = {"accelerator": "H100", "count": 4096}
    training = {"tokens": "1T tokens", "global_batch": "512 sequences", "sequence_length": "8192 tokens"}
    question = {"fleet": fleet, "model": "Llama 3.1 405B", "training": training}
    usual = train_scenario(scenario(**question)).to_dict()
    assert usual["keeps_margin"]
    assert usual["memory"]["value"] * (1 + usual["memory_margin"]) <= 80e9
    bold = train_scenario(scenario(**question, assumptions={"training.memory_margin": 0})).to_dict()
    assert bold["memory_margin"] == 0
    assert bold["step_time_s"]["best"] == pytest.approx(usual["without_margin"]["step_time"])
    limited = train_scenario(scenario(**question, strategy={"constraints": ["memory <= 60 GB"]})).to_dict()
    assert limited["memory"]["value"] <= 60e9
    assert limited["step_time_s"]["best"] >= usual["step_time_s"]["best"]
