"""From a scenario to the job whose goodput is asked for."""

import math
from functools import cache
from pathlib import Path

import pytest

from gigawatt.errors import InputError
from gigawatt.planning import goodput_scenario, plan_scenario
from gigawatt.planning._binding import levers_of
from gigawatt.planning._couple import evaluate
from gigawatt.planning._groups import generation_of
from gigawatt.planning._inputs import resolve
from gigawatt.reliability import RECOVERY_POLICIES
from gigawatt.scenario import scenario_from_mapping

DAY = 86_400.0


def scenario(**sections):
    data = {"model": "Llama 3.1 405B", "fleet": {"accelerator": "H100 SXM", "count": 16_384}}
    return scenario_from_mapping({**data, **sections}, name="test", folder=Path())


def small(**reliability):
    return scenario(
        model="Llama 3 8B", fleet={"accelerator": "H100 SXM", "count": 1024}, reliability=reliability or None
    )


@cache
def closed():
    return goodput_scenario(scenario(), replicates=0, duration_s=54 * DAY)


def test_llama_on_16384_with_published_rates():
    """419 interruptions in 54 days, every 3.1 h (arXiv 2407.21783 table 5); above 90 % effective training time."""
    report = closed()
    assert (report.job.accelerators, report.job.nodes, report.generation) == (16_384, 2048, "H100")
    data = report.to_dict()
    assert sum(row["mean"] for row in data["interruptions"]) == pytest.approx(419, rel=0.03)
    assert data["mtbf_s"] == pytest.approx(54 * DAY / 419, rel=0.03)
    assert data["goodput"] > 0.9
    assert data["state_bytes"] == pytest.approx(405.85e9 * 14, rel=1e-3)
    assert data["goodput_interval"] is None


def test_wall_time_and_the_money_of_causes_add_up():
    data = closed().to_dict()
    parts = {part["label"]: part["value"] for part in data["wall_time"]["children"]}
    assert sum(parts.values()) == pytest.approx(54 * DAY)
    lost = 54 * DAY - parts["useful"] - parts["maintenance"]
    assert sum(row["lost_s"] for row in data["interruptions"]) == pytest.approx(lost)
    each = data["usd_per_accelerator_hour"] / 3600 * data["accelerators"]
    assert sum(row["lost_usd"] for row in data["interruptions"]) == pytest.approx(lost * each)
    assert data["wall_time_usd"]["useful"] == pytest.approx(parts["useful"] * each)


def test_simulation_stands_beside_the_closed_form_and_repeats():
    first, second = (goodput_scenario(small(), replicates=20, seed=7, duration_s=10 * DAY) for _ in range(2))
    assert first.to_dict() == second.to_dict()
    data = first.to_dict()
    assert data["difference_from_closed_form"] == pytest.approx(data["goodput"] / data["closed_goodput"] - 1)
    low, high = data["goodput_interval"]["p10"], data["goodput_interval"]["p90"]
    assert low < data["goodput"] < high
    assert all(row["p10"] <= row["p90"] for row in data["interruptions"])


def test_every_policy_stands_beside_the_one_that_is_asked_for():
    report = closed()
    assert [row.policy for row in report.policies] == list(RECOVERY_POLICIES)
    found = {row.policy: row.result.goodput for row in report.policies}
    assert found["restart"] < found["neighbour_copy"] < found["hot_spare"]


def test_what_the_scenario_states_overrides_the_engine():
    given = small(
        policy="hot_spare",
        spares=64,
        checkpoint_interval="5 min",
        restart_time="2 min",
        failure_rate="1e-3 /day",
        repair_time="2 h",
    )
    job = goodput_scenario(given, replicates=0, duration_s=10 * DAY).job
    assert (job.policy.name, job.spare_nodes, job.interval_s) == ("hot_spare", 8, 300.0)
    assert {job.repair_of(process) for process in job.processes if process.hardware} == {7200.0}
    assert job.policy.total_s - job.policy.replay_s == pytest.approx(120.0)
    rates = math.fsum(job.rate_of(process) for process in job.processes)
    assert rates == pytest.approx(1024 * 1e-3 / DAY)


def test_a_stated_start_of_a_job_holds_for_every_size():
    stated = {"reliability.start_fixed_s": "100 s", "reliability.start_per_accelerator_s": "0 s"}
    report = goodput_scenario(scenario(assumptions=stated), replicates=0, duration_s=54 * DAY)
    assert report.job.policy.warm_up_s == pytest.approx(100)


def test_a_rack_is_replaced_by_trays():
    rack = scenario(fleet={"accelerator": "GB200 (per GPU)", "count": 1152})
    job = goodput_scenario(rack, replicates=0, duration_s=10 * DAY).job
    assert (job.accelerators_per_node, job.nodes_per_rack) == (4, 18)


def test_islands_divide_the_replicas():
    job = goodput_scenario(small(policy="islands", islands=2), replicates=0, duration_s=10 * DAY).job
    assert job.islands == 2
    with pytest.raises(InputError, match="do not divide"):
        goodput_scenario(small(policy="islands", islands=7), replicates=0, duration_s=10 * DAY)


def test_without_days_the_run_lasts_until_its_tokens_are_trained():
    report = goodput_scenario(small(), replicates=0)
    data = report.to_dict()
    assert data["wall_time"]["value"] == pytest.approx(data["useful_s"] / data["goodput"])
    assert data["run_s"] == pytest.approx(data["wall_time"]["value"])


def test_a_fleet_whose_run_never_ends_is_still_answered():
    lost = scenario(reliability={"failure_rate": "0.5 /day"})
    report = goodput_scenario(lost, replicates=2)
    assert report.result.goodput < 0.05
    assert any("does not end" in note for note in report.notes)


@pytest.mark.parametrize(
    ("name", "generation"),
    [
        ("H100 SXM", "H100"),
        ("H200 SXM", "H200"),
        ("GB200 (per GPU)", "GB200"),
        ("TPU v5p", "TPU"),
        ("MI300X", "generic"),
        ("H20", "generic"),
    ],
)
def test_whose_rates_hold(name, generation):
    assert generation_of(name) == generation


@pytest.mark.parametrize("policy", RECOVERY_POLICIES)
def test_the_plan_and_goodput_give_the_same_answer(policy):
    """Hot spares are taken from the fleet in a plan; otherwise the jobs are the same."""
    question = scenario(
        model="Llama 3 8B",
        fleet={"accelerator": "H100 SXM", "count": 1024},
        training={"global_batch": "1024 sequences"},
        reliability={"policy": policy, "spares": 0},
    )
    plan = plan_scenario(question, intervals=False)
    report = goodput_scenario(question, replicates=0)
    assert plan.fleet.used == report.job.accelerators
    assert plan["reliability.goodput"] == pytest.approx(report.result.goodput)
    assert plan["run.time"] == pytest.approx(report.to_dict()["run_s"], rel=1e-3)
    for row in report.policies:
        assert plan[f"reliability.policy.{row.policy}"] == pytest.approx(row.progress), row.policy


def test_a_plan_of_islands_pays_for_them_in_tokens():
    plan = plan_scenario(small(policy="islands", islands=4, inner_steps=200), intervals=False)
    extra = plan["run.extra_tokens"]
    assert 0 < extra < 0.46
    assert plan["run.steps"] == math.ceil(plan["run.tokens"] * (1 + extra) / plan["training.tokens_per_step"])
    seven = plan_scenario(small(policy="islands", islands=7), intervals=False)
    assert seven.strategy["data_parallel"] % 7 == 0
    with pytest.raises(InputError, match="do not divide"):
        plan_scenario(
            scenario(
                fleet={"accelerator": "H100 SXM", "count": 16_384},
                strategy={"data_parallel": 128},
                reliability={"policy": "islands", "islands": 7},
            ),
            intervals=False,
        )


def test_the_plan_offers_the_policy_that_leaves_most():
    base = evaluate(resolve(scenario(fleet={"accelerator": "H100 SXM", "count": 100_000})))
    best = next(iter(base.policies))
    assert base.policies[best] == max(base.policies.values()) > base.policies["restart"]
    levers = {
        lever.name: lever
        for lever in levers_of(resolve(scenario(fleet={"accelerator": "H100 SXM", "count": 100_000})), base)
    }
    assert f"reliability.policy: {best}" in levers["failures"].change
    assert levers["failures"].time_saved_s > 0


def test_kinds_of_one_generation_share_its_rates():
    kinds = [{"accelerator": "H100 SXM", "count": 512}, {"accelerator": "H200 SXM", "count": 512}]
    report = goodput_scenario(
        scenario(model="Llama 3 8B", fleet={"accelerators": kinds}), replicates=0, duration_s=10 * DAY
    )
    assert report.generation == "H100"
    assert report.to_dict()["accelerator"] == "H100 SXM and H200 SXM"
