import json
import math
import re
from functools import cache
from pathlib import Path

import jsonschema
import pytest

import gigawatt
from gigawatt.errors import InfeasibleError, InputError
from gigawatt.planning import evaluate_formula, explain, plan_scenario
from gigawatt.report import plan_schema
from gigawatt.scenario import load_scenario, scenario_from_mapping

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@cache
def plan_of(name, *overrides):
    return gigawatt.plan(Path(__file__).parents[2] / "examples" / f"{name}.yaml", overrides)


def small(**sections):
    data = {
        "fleet": {"accelerator": "H100", "count": 1024},
        "model": "Llama 3 70B",
        "training": {"tokens": "1T tokens"},
    } | sections
    return plan_scenario(scenario_from_mapping(data, name="test", folder=Path()), intervals=False)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_a_whole_plan(path):
    plan = plan_of(path.stem)
    assert plan.feasible
    for name, output in plan.outputs.items():
        assert math.isfinite(output.value), name
        low, high = plan.interval(name)
        assert low <= output.value <= high, name
        for reached in output.inputs.values():
            assert reached in plan.outputs or reached in plan.assumptions, (name, reached)
    assert plan.levers
    assert plan.sensitivities
    assert plan["run.time"] > 0


def test_a_fleet_that_the_budget_cuts_is_told_whatever_binds():
    for asked in (16_500, 30_000):
        plan = plan_of("blackwell-order", f"fleet.count={asked}")
        assert plan.fleet.powered < asked
        assert f"buy {plan.fleet.powered:,} accelerators of the {asked:,} asked for" in plan.binding.sentence


def test_the_grid_limit_that_is_named_feeds_what_it_promises():
    plan = plan_of("blackwell-order", "site.grid_limit=20 MW")
    change = next(lever.change for lever in plan.levers if lever.name == "grid power")
    limit, fed = re.fullmatch(r"Raise site.grid_limit to (.*) to feed ([\d,]*)\.", change).groups()
    assert f"{plan_of('blackwell-order', f'site.grid_limit={limit}').fleet.powered:,}" == fed


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_explanations_are_true(path):
    """Every formula that the plan shows, evaluated over the numbers that it shows, gives the number that it shows."""
    plan = plan_of(path.stem)
    checked = 0
    for name, output in plan.outputs.items():
        if output.formula:
            assert evaluate_formula(output, plan.outputs, plan.assumptions) == pytest.approx(output.value, rel=1e-9), (
                name
            )
            checked += 1
        else:
            assert output.method, name
    assert checked > 35


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_json_keeps_its_schema(path):
    data = json.loads(json.dumps(plan_of(path.stem).to_dict(), allow_nan=False))
    jsonschema.Draft202012Validator(plan_schema()).validate(data)


def test_explanations_end_in_sourced_inputs():
    plan = plan_of("colossus-100k")
    for path in ("power.facility", "run.time", "finance.run_cost", "training.mfu"):
        leaves, stack = 0, [explain(plan, path)]
        while stack:
            node = stack.pop()
            stack += node["children"]
            if not node["children"] and not node.get("seen"):
                assert node.get("source") or node["method"], node["path"]
                leaves += "source" in node
        assert leaves >= 5, path
    with pytest.raises(InputError, match=r"did you mean 'power.facility'"):
        explain(plan, "power.facilty")


def test_same_question_same_answer():
    first = plan_of("grok-1").to_dict()
    again = plan_scenario(load_scenario(EXAMPLES[0].parent / "grok-1.yaml")).to_dict()
    assert json.dumps(first) == json.dumps(again)


def test_grok_1_on_16384_is_faster_and_less_efficient():
    few, many = plan_of("grok-1"), plan_of("grok-1", "fleet.count=16384")
    assert many["run.time"] < few["run.time"] / 8
    assert many["training.mfu"] < few["training.mfu"]
    assert many["reliability.mean_time_between_failures"] < few["reliability.mean_time_between_failures"] / 3


def test_video_on_dojo_and_on_h100_names_the_ingest():
    dojo = plan_of("dojo-video")
    h100 = plan_of("dojo-video", "fleet.accelerator=H100 SXM", "fleet.count=1024")
    assert dojo["run.ingest"] == pytest.approx(dojo["training.tokens_per_s"] * 3.1e6 / 4096)
    assert h100["run.ingest"] > 1e9
    assert any("transferred from other chips" in warning for warning in dojo.warnings)


def test_a_mixed_fleet_is_as_slow_as_its_slowest():
    assert any("pace" in warning for warning in plan_of("colossus-200k").warnings)
    both = small(fleet={"accelerators": [{"accelerator": "H100", "count": 512}, {"accelerator": "H200", "count": 512}]})
    h100, h200 = small(), small(fleet={"accelerator": "H200", "count": 1024})
    assert both["training.step_time"] >= max(h100["training.step_time"], h200["training.step_time"]) * (1 - 1e-9)


def test_grid_power_feeds_fewer_accelerators_and_the_rest_follows():
    free, limited = small(), small(site={"grid_limit": "700 kW"})
    assert limited.fleet.powered < 1024
    assert limited.fleet.powered % 8 == 0
    assert limited.binding.name == "grid power" or limited["power.facility_peak"] <= 7e5
    assert limited["power.facility_peak"] <= 7e5
    assert limited["run.time"] > free["run.time"]
    assert limited["finance.capex"] < free["finance.capex"]


def test_binding_constraints_and_what_relieving_them_is_worth():
    data = {
        "fleet": {"accelerator": "H100", "count": 1024},
        "model": "Llama 3 70B",
        "training": {"tokens": "1T tokens"},
        "site": {"grid_limit": "700 kW"},
    }
    plan = plan_scenario(scenario_from_mapping(data, name="test", folder=Path()))
    assert plan.binding.name == "grid power"
    assert next(c for c in plan.constraints if c.binding).name == "grid power"
    assert "site.grid_limit to" in plan.binding.relief
    assert plan.bottlenecks[0].time_saved_s >= plan.bottlenecks[-1].time_saved_s
    lever = next(lever for lever in plan.levers if lever.name == "grid power")
    assert lever.time_saved_s > 0
    assert lever.capital_change_usd > 0


def test_a_budget_buys_a_fleet():
    plan = small(fleet={"accelerator": "GB200"}, finance={"budget": "$100 million"})
    assert plan["finance.capex"] <= 100e6
    assert plan["finance.capex"] > 90e6
    assert plan.fleet.powered % 72 == 0


def test_a_missed_deadline_is_infeasible_and_says_what_would_keep_it():
    plan = small(training={"tokens": "15T tokens", "deadline": "10 days"})
    assert not plan.feasible
    assert plan.binding.name == "deadline"
    assert "missed by" in plan.binding.sentence
    assert "would keep it" in plan.binding.relief
    late = next(c for c in plan.constraints if c.name == "deadline")
    assert late.violated
    assert late.slack_fraction < 0


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"site": {"grid_limit": "5 kW"}}, ["grid power binds", "Smallest change: site.grid_limit"]),
        ({"finance": {"budget": "$10,000"}}, ["budget binds", "Smallest change: finance.budget"]),
        (
            {"fleet": {"accelerator": "H100", "count": 2}, "model": "Llama 3.1 405B"},
            ["memory per accelerator binds", "too much"],
        ),
        ({"reliability": {"failure_rate": "1000 /day"}}, ["Nodes fail faster than they are repaired"]),
        (
            {"reliability": {"failure_rate": "1000 /day", "repair_time": "1 s"}},
            ["failures stop the run", "No recovery policy helps"],
        ),
        (
            {
                "reliability": {"failure_rate": "4 /day", "repair_time": "1 s"},
                "strategy": {"data_parallel": 32, "tensor_parallel": 8, "pipeline_parallel": 4},
            },
            ["failures stop the run", "(reliability.policy:"],
        ),
    ],
)
def test_infeasible_is_an_answer(sections, words):
    with pytest.raises(InfeasibleError) as error:
        small(**sections)
    for word in words:
        assert word in str(error.value)
    assert error.value.constraint
    assert error.value.remedy


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"fleet": {"accelerator": "H1000", "count": 8}}, ["fleet.accelerator", "did you mean 'H100 SXM'"]),
        ({"model": "Lama 3 70B"}, ["no model of this name", "Llama 3 70B"]),
        ({"model": "Grok-3"}, ["architecture of 'Grok-3' is not known"]),
        ({"model": "Qwen3-Next-80B-A3B"}, ["not described yet"]),
        ({"model": {"base": "Grok-1", "layrs": 3}}, ["did you mean 'layers'"]),
        ({"model": {"base": "Grok-1", "layers": -3}}, ["a whole number is needed"]),
        ({"training": {"precision": "fp7"}}, ["unknown precision", "fp8"]),
        (
            {"fleet": {"accelerator": "A100", "count": 8}, "training": {"precision": "fp8"}},
            ["A100 SXM 80GB has no fp8"],
        ),
        ({"fleet": {"accelerator": {"base": "H100", "memry": "80 GB"}, "count": 8}}, ["did you mean 'memory'"]),
        ({"fleet": {"accelerator": "Dojo D1", "count": 8}}, ["memory and memory_bandwidth of 'Dojo D1'"]),
        ({"fleet": {"accelerator": "H100"}}, ["how many accelerators?"]),
        ({"assumptions": {"power.pue_liqid": 1.2}}, ["no such assumption"]),
        ({"assumptions": {"reliability.detect_s": "3 kW"}}, ["a time is needed"]),
        (
            {"strategy": {"tensor_parallel": 5}},
            ["strategy.tensor_parallel", "does not divide", "1, 2, 4, 8, 16, 32, 64"],
        ),
        ({"strategy": {"expert_parallel": 3}, "model": "Grok-1"}, ["does not divide the experts", "1, 2, 4, 8"]),
        ({"strategy": {"pipeline_parallel": 200}}, ["more pipeline chunks than layers"]),
        ({"site": {"region": "tenesee"}}, ["did you mean 'tennessee'"]),
        ({"catalog": ["nowhere.yaml"]}, ["no such file"]),
    ],
)
def test_wrong_names_are_named(sections, words):
    with pytest.raises(InputError) as error:
        small(**sections)
    for word in words:
        assert word in str(error.value), str(error.value)


def test_two_wrong_names_come_together():
    with pytest.raises(InputError) as error:
        small(fleet={"accelerator": "H1000", "count": 8}, model="Lama")
    assert len(error.value.problems) == 2


def test_assumptions_can_be_overridden_with_a_range():
    plan = small(assumptions={"reliability.detect_s": ["10 s", "20 s", "30 s"], "site.pue": 1.5})
    assert plan.assumptions["site.pue"].best == 1.5
    assert plan.assumptions["reliability.detect_s"].high == 30
    assert str(plan.assumptions["reliability.detect_s"].grade) == "given"


def test_an_overlay_beside_the_scenario(tmp_path):
    (tmp_path / "chips.yaml").write_text("accelerators: {Own: {base: H100 SXM, memory: 160 GB}}\n")
    (tmp_path / "s.yaml").write_text("catalog: [chips.yaml]\nfleet: {accelerator: own, count: 64}\nmodel: Llama 3 8B\n")
    assert gigawatt.plan(tmp_path / "s.yaml").fleet.groups[0].accelerator == "Own"


def test_defaults_are_visible(tmp_path):
    (tmp_path / "s.yaml").write_text("name: nothing asked\n")
    plan = plan_scenario(load_scenario(tmp_path / "s.yaml"), intervals=False)
    assert plan.fleet.requested == 1024
    assert plan.model["name"] == "Llama 3.1 405B"
    assert "default" in plan.assumptions["training.global_batch"].note
    assert len(plan.to_frame()) == len(plan.outputs)


def test_the_front_door():
    assert gigawatt.__all__ == sorted(gigawatt.__all__)
