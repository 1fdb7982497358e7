"""From a scenario to the job whose goodput is asked for."""

import math
from functools import cache
from pathlib import Path

import pytest

from gigawatt.errors import InputError
from gigawatt.planning import goodput_scenario, plan_scenario
from gigawatt.planning._binding import levers_of
from gigawatt.planning._couple import evaluate
from gigawatt.planning._explain import evaluate_formula
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
    published = {"tensor_parallel": 8, "pipeline_parallel": 16, "data_parallel": 128}
    return goodput_scenario(scenario(strategy=published), replicates=0, duration_s=54 * DAY)


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
    assert rates == pytest.approx(job.accelerators * 1e-3 / DAY)
    assert job.accelerators <= 1024 - 64


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
    seven = goodput_scenario(small(policy="islands", islands=7), replicates=0, duration_s=10 * DAY)
    assert (seven.job.islands, seven.training.strategy["data_parallel"] % 7) == (7, 0)
    pinned = scenario(
        model="Llama 3 8B", strategy={"data_parallel": 128}, reliability={"policy": "islands", "islands": 7}
    )
    with pytest.raises(InputError, match="do not divide"):
        goodput_scenario(pinned, replicates=0, duration_s=10 * DAY)


def test_without_days_the_run_lasts_until_its_tokens_are_trained():
    report = goodput_scenario(small(), replicates=0)
    data = report.to_dict()
    assert data["wall_time"]["value"] == pytest.approx(data["useful_s"] / data["goodput"])
    assert data["run_s"] == pytest.approx(data["wall_time"]["value"])


def test_a_fleet_whose_run_never_ends_is_still_answered():
    lost = scenario(reliability={"failure_rate": "50 /day"})
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
    """The same job on the same accelerators with the same stock of spares."""
    question = scenario(
        model="Llama 3 8B",
        fleet={"accelerator": "H100 SXM", "count": 1024},
        training={"global_batch": "1024 sequences"},
        reliability={"policy": policy},
    )
    plan = plan_scenario(question, intervals=False)
    report = goodput_scenario(question, replicates=0)
    assert plan.fleet.used == report.job.accelerators
    assert plan["reliability.spare_nodes"] == report.result.spares
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


@pytest.mark.parametrize("islands", [8, None])
def test_islands_use_the_fleet_that_a_pinned_strategy_would(islands):
    """The search keeps replicas that the islands divide, so that no faster strategy without them hides one with them."""
    asked = {"policy": "islands"} | ({"islands": islands} if islands else {})
    question = {"model": "Llama 3 8B", "fleet": {"accelerator": "H100 SXM", "count": 1024}, "reliability": asked}
    free = plan_scenario(scenario(**question), intervals=False)
    pinned = plan_scenario(scenario(**question, strategy={"data_parallel": 512}), intervals=False)
    assert free.strategy["data_parallel"] % 8 == 0
    assert free.fleet.used > 900
    assert free["run.time"] <= pinned["run.time"] * 1.001
    assert "failures would make" not in free.binding.sentence
    report = goodput_scenario(scenario(**question), replicates=0)
    assert (report.job.accelerators, report.job.islands) == (free.fleet.used, 8)


def test_fewer_islands_where_no_strategy_has_eight_replicas():
    fleet = {"accelerator": "H100 SXM", "count": 512}
    model = scenario(fleet=fleet, reliability={"policy": "islands"}, training={"global_batch": "6 sequences"})
    plan = plan_scenario(model, intervals=False)
    assert 2 <= plan.strategy["data_parallel"] <= 6


@pytest.mark.parametrize(
    ("accelerator", "count"), [("H100 SXM", 16_384), ("H100 SXM", 8), ("GB200 (per GPU)", 9216), ("H100 SXM", 1000)]
)
def test_a_stated_failure_rate_is_kept_whatever_the_fleet(accelerator, count):
    question = scenario(
        model="Llama 3 8B",
        fleet={"accelerator": accelerator, "count": count},
        training={"global_batch": f"{4 * count} sequences"},
        reliability={"failure_rate": "1e-3 /day", "spares": 0},
    )
    job = goodput_scenario(question, replicates=0, duration_s=10 * DAY).job
    assert math.fsum(map(job.rate_of, job.processes)) == pytest.approx(job.accelerators * 1e-3 / DAY)


@pytest.mark.parametrize("accelerator", ["H100 SXM", "GB200 (per GPU)"])
def test_the_rates_of_a_plan_multiply_out(accelerator):
    plan = plan_scenario(scenario(fleet={"accelerator": accelerator, "count": 9216}), intervals=False)
    hardware, software = (
        plan.assumptions[f"reliability.{kind}_failure_rate"].best for kind in ("hardware", "software")
    )
    printed = plan["training.accelerators_used"] * hardware + software
    assert plan["reliability.failure_rate"] == pytest.approx(printed, rel=2e-3)


def test_nothing_fails_and_nothing_breaks():
    question = small(failure_rate="0 /day", checkpoint_interval="10 ms")
    report = goodput_scenario(question, replicates=2, duration_s=10 * DAY)
    assert not any("failures stop" in note for note in report.result.warnings)
    plan = plan_scenario(question, intervals=False)
    assert plan["run.failures"] == 0
    failures = plan.outputs["run.failures"]
    assert evaluate_formula(failures, plan.outputs, plan.assumptions) == 0


@pytest.mark.parametrize("reliability", [{"spares": 600}, {"policy": "hot_spare"}, {"policy": "elastic", "spares": 60}])
def test_one_stock_of_spares_in_one_place(reliability):
    plan = plan_scenario(small(**reliability), intervals=False)
    report = goodput_scenario(small(**reliability), replicates=0)
    assert plan.fleet.spares == 8 * plan["reliability.spare_nodes"] == 8 * report.result.spares
    assert report.job.accelerators == plan.fleet.used <= 1024 - plan.fleet.spares
    with pytest.raises(InputError, match="more spare nodes than nodes of the fleet"):
        goodput_scenario(small(), replicates=0, spare_nodes=128)


def test_extra_tokens_have_one_range_and_are_not_clipped():
    asked = {"policy": "islands", "islands": 8}
    report = goodput_scenario(small(**asked), replicates=0)
    plan = plan_scenario(small(**asked))
    assert plan.interval("run.extra_tokens") == pytest.approx((report.extra_tokens.low, report.extra_tokens.high))
    path = "reliability.extra_tokens_per_island"
    for each in (0.02, 0.5):
        found = goodput_scenario(
            scenario(
                model="Llama 3 8B",
                fleet={"accelerator": "H100 SXM", "count": 1024},
                reliability=asked,
                assumptions={path: each},
            ),
            replicates=0,
        )
        assert found.extra_tokens.best == found.extra_tokens.high == pytest.approx(7 * each)


def test_the_sums_and_the_best_policy_come_with_the_data():
    data = closed().to_dict()
    total = data["all_interruptions"]
    assert total["mean"] == pytest.approx(sum(row["mean"] for row in data["interruptions"]))
    assert total["lost_usd"] == pytest.approx(sum(row["lost_usd"] for row in data["interruptions"]))
    progress = {row["policy"]: row["progress"] for row in data["policies"] if row["goodput"] is not None}
    assert progress[data["best_policy"]] == max(progress.values())
