"""More chips, power or money never make a run longer; what stands idle is said, and so is why."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.planning import plan_scenario
from gigawatt.planning._binding import binding_of, levers_of
from gigawatt.planning._couple import evaluate
from gigawatt.planning._inputs import resolve
from gigawatt.planning._width import widths
from gigawatt.scenario import load_scenario, scenario_from_mapping
from gigawatt.training import Evaluator, search

EXAMPLES = Path(__file__).parents[2] / "examples"
# Neighbouring fleets differ by a network of another size and by how far state can be sharded.
ROUNDING = 1.005


def inputs_of(**sections):
    data = {
        "fleet": {"accelerator": "H100", "count": 1024},
        "model": "Llama 3 70B",
        "training": {"tokens": "1T tokens"},
    } | sections
    return resolve(scenario_from_mapping(data, name="test", folder=Path()))


def runs(model, batch, policy, **sections):
    reliability = {"policy": policy}
    training = {"tokens": "1T tokens", "global_batch": f"{batch} sequences"}
    return evaluate(inputs_of(model=model, training=training, reliability=reliability, **sections))


MODELS = st.sampled_from(["Llama 3 8B", "Llama 3 70B", "Mixtral 8x7B"])
POLICIES = st.sampled_from(["restart", "neighbour_copy", "hot_spare", "elastic"])


@settings(max_examples=40, deadline=None)
@given(
    model=MODELS,
    policy=POLICIES,
    batch=st.integers(64, 5000),
    count=st.integers(64, 300_000),
    more=st.floats(1.001, 1.6),
)
def test_more_chips_never_make_the_run_longer(model, policy, batch, count, more):
    few = runs(model, batch, policy, fleet={"accelerator": "H100", "count": count})
    many = runs(model, batch, policy, fleet={"accelerator": "H100", "count": int(count * more) + 1})
    assert many.value("run.time") <= few.value("run.time") * ROUNDING


@settings(max_examples=25, deadline=None)
@given(batch=st.integers(200, 5000), count=st.integers(1000, 100_000), policy=POLICIES)
def test_a_hundredth_more_chips_is_worth_no_third(batch, count, policy):
    few, many = (
        runs("Llama 3 70B", batch, policy, fleet={"accelerator": "H100", "count": n})
        for n in (count, count * 101 // 100)
    )
    assert few.value("run.time") / many.value("run.time") < 1.35


@settings(max_examples=15, deadline=None)
@given(model=MODELS, batch=st.integers(64, 3000), limit=st.floats(1.0, 150.0), more=st.floats(1.01, 1.6))
def test_more_power_or_money_never_makes_the_run_longer(model, batch, limit, more):
    fleet = {"accelerator": "H100"}
    for section, key, unit, scale in (("site", "grid_limit", "MW", 1.0), ("finance", "budget", "million USD", 40.0)):
        times = [
            runs(model, batch, "restart", fleet=fleet, **{section: {key: f"{limit * scale * factor} {unit}"}}).value(
                "run.time"
            )
            for factor in (1.0, more)
        ]
        assert times[1] <= times[0] * ROUNDING, section


def test_100_megawatts_are_no_faster_than_150():
    times = [
        evaluate(resolve(load_scenario(EXAMPLES / "colossus-100k.yaml", [f"site.grid_limit={limit} MW"]))).value(
            "run.time"
        )
        for limit in (90, 100, 110, 120, 130, 150)
    ]
    assert times == sorted(times, reverse=True)


def test_failures_leave_accelerators_out_where_all_of_them_would_be_slower():
    scenario = load_scenario(EXAMPLES / "colossus-1m.yaml", ["reliability.policy=restart"])
    plan = plan_scenario(scenario, intervals=False)
    assert plan.fleet.used < 0.3 * plan.fleet.powered
    assert plan["reliability.goodput"] > 0.3
    assert "are not in the job" in plan.binding.sentence
    assert "failures would make the run" in plan.binding.sentence


def test_widths_are_in_order_and_hold_the_best():
    base = evaluate(inputs_of(fleet={"accelerator": "H100", "count": 20_000}))
    counts, steps = [row.accelerators for row in base.widths], [row.step_s for row in base.widths]
    assert counts == sorted(counts, reverse=True)
    assert base.fleet.used in counts
    assert base.training.step_s / base.reliability.goodput == pytest.approx(min(row.wall_s for row in base.widths))
    assert min(steps) == steps[0]


@settings(max_examples=6, deadline=None)
@given(scale=st.floats(20.0, 1e5), batch=st.integers(100, 2000))
def test_the_width_is_the_best_of_all_numbers_of_accelerators(scale, batch):
    """Against every cap in turn: the ladder skips nothing that would have been better."""
    base = inputs_of(training={"global_batch": f"{batch} sequences"}, fleet={"accelerator": "H100", "count": 512})
    job = evaluate(base).job

    def goodput(count, replica, step_s):
        return 2.0 ** (-count / scale)

    best = widths(job, goodput, {}).best
    walls = []
    for cap in range(32, 513, 32):
        found = search(replace(job, accelerators=cap), margin=job.constants.memory_margin)
        if found.best is not None and not found.tight:
            step = Evaluator(job).evaluate(found.best).step_s[0]
            walls.append(step / goodput(int(found.best.accelerators[0]), 1, step))
    assert best.wall_s <= min(walls) * (1 + 1e-9)


def test_idle_accelerators_are_told_with_the_reason_and_what_would_use_them():
    """1,000 sequences on 1,024 accelerators of a small model: no shape divides them."""
    data = {
        "fleet": {"accelerator": "H100", "count": 1007},
        "model": "Llama 3 8B",
        "training": {"tokens": "1T tokens", "global_batch": "520 sequences"},
        "reliability": {"policy": "hot_spare", "spares": 1},
    }
    plan = plan_scenario(scenario_from_mapping(data, name="test", folder=Path()))
    idle = plan.fleet.idle
    assert idle > 10
    assert plan.binding.name == "global batch"
    assert "The global batch binds" in plan.binding.sentence
    assert f"{idle:,} of {plan.fleet.powered:,} powered accelerators" in plan.binding.sentence
    lever = next(lever for lever in plan.levers if lever.name == "idle accelerators")
    assert lever.change in plan.binding.relief
    batch = int(lever.change.split("global batch of ")[1].split()[0].replace(",", ""))
    again = data | {"training": data["training"] | {"global_batch": f"{batch} sequences"}}
    after = plan_scenario(scenario_from_mapping(again, name="test", folder=Path()), intervals=False)
    assert after["run.time"] == pytest.approx(lever.run_s)


def test_all_run_is_said_only_where_all_run():
    for name in ("colossus-100k", "colossus-1m", "colossus-200k", "blackwell-order", "grok-1"):
        plan = plan_scenario(load_scenario(EXAMPLES / f"{name}.yaml"))
        sentence = plan.binding.sentence
        assert ("binds: all" in sentence) <= (plan.fleet.used == plan.fleet.powered), name
        assert ("are not in the job" in sentence) == (plan.fleet.idle > 0.01 * plan.fleet.powered), name


def test_a_smaller_fleet_is_offered_where_the_rest_hardly_helps():
    scenario = load_scenario(EXAMPLES / "colossus-1m.yaml", ["reliability.policy=restart"])
    inputs = resolve(scenario)
    base = evaluate(inputs)
    levers = levers_of(inputs, base)
    lever = next(lever for lever in levers if lever.name == "fewer accelerators")
    assert lever.capital_change_usd < -1e10
    assert lever.run_s <= base.value("run.time") * 1.02
    assert binding_of(inputs, base, (lever,), []).name != "fewer accelerators"
