"""The joined serving plan on small questions: money, fleets, the simulation beside the mean field, images, nights."""

import json
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gigawatt import serving
from gigawatt.planning import serve_scenario
from gigawatt.planning._serve_chips import serving_chip
from gigawatt.planning._serve_plans import offers_of
from gigawatt.scenario import scenario_from_mapping

MONTH_S = 2_629_800.0
CHAT = {
    "name": "chat",
    "prompt": {"mean": "1000 tokens", "p50": "700 tokens"},
    "output": {"mean": "200 tokens", "p50": "140 tokens"},
    "users": "1 million",
    "requests_per_user": "5 per day",
    "day_shape": "chat",
    "ttft": "1 s",
    "tpot": "30 ms",
    "percentile": "95 %",
}
SERVING = {"accelerators": ["H100 SXM"], "engine": "vllm", "precision": ["fp8"], "duration": "10 min"}
PICTURES = {"name": "pictures", "model": "FLUX.1-dev", "rate": "2 per s", "steps": 28, "resolution": "1024x1024"}


def scenario(traffic=None, sections=None, **fields):
    return scenario_from_mapping(
        {
            "model": "Llama 3.1 8B",
            "date": "2025-11",
            "serving": {**SERVING, "traffic": [{**CHAT, **(traffic or {})}], **fields},
            **(sections or {}),
        },
        name="small",
        folder=Path(),
    )


@cache
def report():
    """The small service with everything that a report holds."""
    prices = {"input": 0.10, "output": 0.40}
    return serve_scenario(scenario(traffic={"growth_per_year": 3}, months=7, prices=prices, images=[PICTURES]))


@cache
def data():
    return report().to_dict()


def quick(traffic=None, sections=None, **fields):
    return serve_scenario(scenario(traffic, sections, **fields), simulate=False)


def cheapest(found):
    fleet = found.best("chat", "cost")
    assert fleet is not None
    return fleet


def test_parts_of_the_cost_sum_to_the_month():
    plan, tree = data()["plans"][0], data()["cost"]["chat"]
    assert sum(part["value"] for part in tree["children"]) == pytest.approx(tree["value"], rel=1e-9)
    assert tree["value"] == pytest.approx(plan["usd_per_month"], rel=1e-9)
    picture = data()["images"][0]["usd_per_month"]
    assert data()["totals"]["cost"]["usd_per_month"] == pytest.approx(plan["usd_per_month"] + picture, rel=1e-9)


def test_dollars_per_million_times_tokens_is_the_month():
    plan, traffic = data()["plans"][0], data()["traffic"][0]
    per_million = plan["usd_per_million"]
    tokens = {kind: traffic[f"{kind}_tokens_per_s"] * MONTH_S for kind in ("input", "output")}
    assert per_million["cached"] is None
    parts = sum(per_million[kind] * tokens[kind] / 1e6 for kind in tokens)
    assert parts == pytest.approx(plan["usd_per_month"], rel=1e-6)
    assert per_million["all"] * sum(tokens.values()) / 1e6 == pytest.approx(plan["usd_per_month"], rel=1e-6)


def test_revenue_and_margin_are_those_of_the_tokens():
    traffic, found = data()["traffic"][0], data()["economics"]["chat"]
    revenue = MONTH_S * (0.10 * traffic["input_tokens_per_s"] + 0.40 * traffic["output_tokens_per_s"]) / 1e6
    assert found["revenue_usd_per_month"] == pytest.approx(revenue, rel=1e-6)
    assert found["margin"] == pytest.approx(1 - data()["plans"][0]["usd_per_month"] / revenue, rel=1e-6)


def test_energy_of_a_token_is_power_over_tokens():
    plan, traffic = data()["plans"][0], data()["traffic"][0]
    assert plan["energy_j_per_output_token"] * traffic["output_tokens_per_s"] == pytest.approx(plan["mean_w"])
    hours = np.array([hour["power_w"] for hour in data()["day"]["chat"]["hours"]])
    assert hours.max() <= plan["peak_w"] * (1 + 1e-9)
    assert hours.min() < plan["mean_w"] < plan["peak_w"]


def test_more_users_do_not_need_fewer_accelerators():
    counts = [cheapest(quick({"users": users})).accelerators for users in ("1 million", "2 million", "8 million")]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


@pytest.mark.parametrize("name", ["ttft", "tpot"])
def test_a_looser_promise_does_not_need_more(name):
    """Money is what the search makes least; accelerators follow, up to the rounding to whole replicas."""
    promises = {"ttft": ("200 ms", "1 s", "5 s"), "tpot": ("9 ms", "15 ms", "60 ms")}[name]
    fleets = [cheapest(quick({name: promise, "users": "20 million"})) for promise in promises]
    counts = [fleet.accelerators for fleet in fleets]
    assert counts == sorted(counts, reverse=True)
    assert all(after.usd_per_s <= before.usd_per_s * 1.001 for before, after in pairwise(fleets))
    assert counts[0] > counts[-1]


def test_hours_needed_and_freed_are_all():
    hours = data()["day"]["chat"]["hours"]
    whole = data()["plans"][0]["accelerators"]
    assert [hour["accelerators"] + hour["freed_accelerators"] for hour in hours] == [whole] * 24
    assert max(hour["freed_accelerators"] for hour in hours) > 0
    fleet = cheapest(report())
    served = (fleet.units * fleet.plan.rate) / fleet.rates
    assert served.min() >= 1.0 - 1e-9


def test_electricity_raises_the_cost_by_its_share():
    once, twice = (
        cheapest(quick(sections={"site": {"electricity_price": price}})) for price in ("$0.08/kWh", "$0.16/kWh")
    )
    energy = once.mean_w * 0.08 / 3.6e6
    assert once.plan.row == twice.plan.row
    assert twice.mean_w == pytest.approx(once.mean_w, rel=1e-9)
    assert twice.usd_per_s - once.usd_per_s == pytest.approx(energy, rel=1e-6)
    assert 0.01 < energy / once.usd_per_s < 0.5


def test_headroom_and_spares_are_bought():
    plain, roomy = (cheapest(quick({"users": "20 million"}, **more)) for more in ({}, {"headroom": "20 %"}))
    assert roomy.total == pytest.approx(1.2 * plain.total, abs=1)
    spare = cheapest(quick({"users": "20 million"}, spare_replicas=2))
    assert (spare.total - plain.total) * plain.plan.replicas >= 2


def test_months_grow_by_the_year():
    months = data()["months"]
    assert [row["month"] for row in months] == [f"{2025 + (10 + i) // 12}-{(10 + i) % 12 + 1:02d}" for i in range(7)]
    factor = months[6]["requests_per_s"] / months[0]["requests_per_s"]
    assert factor == pytest.approx(np.sqrt(3), rel=1e-6)
    counts = [row["accelerators"] for row in months]
    assert counts == sorted(counts)
    assert counts[0] == data()["plans"][0]["accelerators"] < counts[-1]


def test_the_night_trains():
    """40 million users leave some hundred accelerators idle; the job is that of `gigawatt train` on as many."""
    training = {"global_batch": "512 sequences", "sequence_length": "4096 tokens", "tokens": "1T tokens"}
    found = quick({"users": "40 million"}, {"training": training}, night="training")
    night, fleet = found.night, cheapest(found)
    assert night is not None
    assert night["accelerator_hours_per_day"] == pytest.approx(fleet.freed().sum() / 7)
    assert night["accelerators_at_trough"] <= fleet.accelerators
    assert night["sentence"].startswith("A job of ")
    assert night["days_for_tokens"] * night["tokens_per_day"] == pytest.approx(1e12, rel=1e-9)
    # 6 FLOP per parameter and token at no more than the peak of BF16
    peak = 989.4e12 * 3600 * night["accelerator_hours_per_day"]
    assert 0.1 < night["tokens_per_day"] * 6 * 8.0e9 / peak < 0.7


def test_a_small_service_has_no_night():
    found = quick(night="training").night
    assert found is not None
    assert found["tokens_per_day"] is None
    assert "no hour" in found["sentence"]


def test_images_are_consistent():
    (row,) = data()["images"]
    assert row["feasible"]
    assert row["energy_j_per_image"] * 2.0 == pytest.approx(row["mean_w"])
    assert row["usd_per_image"] * 2.0 * MONTH_S == pytest.approx(row["usd_per_month"])
    assert row["accelerators"] * row["images_per_s_per_accelerator"] >= 2.0
    assert row["mean_w"] <= row["peak_w"]
    assert sum(part["value"] for part in row["parts"]["children"]) == pytest.approx(row["parts"]["value"])


def test_the_report_is_plain_json():
    text = json.dumps(data(), allow_nan=False)
    assert json.loads(text)["seed"] == 0


def test_the_same_seed_gives_the_same_answer():
    again = serve_scenario(scenario()).to_dict()
    assert serve_scenario(scenario()).to_dict() == again
    other = serve_scenario(scenario(seed=5)).to_dict()
    assert other["simulation"]["chat"]["ttft_s"] != again["simulation"]["chat"]["ttft_s"]


def test_nothing_that_fits_is_an_answer():
    found = quick({"tpot": "0.1 ms"})
    assert not found.feasible
    row = found.to_dict()["plans"][0]
    assert row["nearest"]["limit"] == "TPOT"
    assert row["nearest"]["reached"] > row["nearest"]["wanted"] == pytest.approx(1e-4)
    assert row["usd_per_month"] is None
    json.dumps(found.to_dict(), allow_nan=False)


def test_steps_without_room_for_prompts_are_not_called_a_lack_of_memory():
    found = quick(token_budget=1)
    assert not found.feasible
    row = found.to_dict()["plans"][0]
    assert row["nearest"]["limit"] == "room in steps and cache"
    assert "larger token budget" in row["reason"]


def test_a_service_of_few_requests_has_the_lengths_of_a_large_one():
    few, many = (cheapest(quick({"users": users})).plan.demand.summary for users in ("1", "1 million"))
    assert few.output.mean == pytest.approx(many.output.mean, rel=0.05)
    assert few.prompt.p99 == pytest.approx(many.prompt.p99, rel=0.10)


def test_another_kind_for_prefill_is_said_to_be_left_aside():
    found = quick(disaggregated="yes", prefill_accelerator="H200 SXM")
    assert any("H200 SXM is left aside" in note for note in found.warnings)


def test_the_simulation_of_the_plan_bears_out_its_mean_field():
    """The plan runs its prefill at 92 % of capacity, where waits are long and differ between runs: with seeds 0 to 3 and
    10 or 30 minutes the closed form is 8 to 22 % below the simulated median TTFT and 20 to 60 % below its P99. What the
    plan promises is held to by the simulation, so P99 is not asserted here, but below at loads up to 80 %.
    """
    run = data()["simulation"]["chat"]
    expected = run["mean_field"]
    assert not run["saturated"]
    assert run["preemptions"] == 0
    assert run["output_tokens_per_s"] == pytest.approx(expected["output_tokens_per_s"], rel=0.05)
    assert run["tpot_s"]["p50"] == pytest.approx(expected["tpot_p50_s"], rel=0.10)
    assert run["ttft_s"]["p50"] == pytest.approx(expected["ttft_p50_s"], rel=0.25)
    assert min(run["kept"].values()) > 0.93  # 95 % are promised; one run of ten minutes differs by two points


# --- the event simulation beside the mean field, one replica each -----------------------------------------------------


@cache
def offer():
    """Llama 3.1 8B in FP8 on one H100, as the engine vLLM runs it."""
    asked = scenario(layout={"tensor_parallel": 1})
    chip = serving_chip(asked, "H100 SXM")
    (found,) = offers_of(asked, asked.serving, chip, chip.inputs.model)
    return found


@cache
def lengths(name):
    if name == "long prompts":
        return serving.Lengths(
            prompt=serving.length(mean=8000, p50=6000, max=60_000), output=serving.length(mean=300, p50=200)
        )
    return serving.TraceLengths.of(serving.read_trace(name))


def drawn(name, rate, count, seed):
    traffic = serving.TrafficClass(name=name, lengths=lengths(name), rate_per_s=rate)
    return serving.draw_requests([traffic], duration_s=count / rate, seed=seed)


LOADS = {
    "chat at 40 %": ("azure conversation 2023", 0.4),
    "chat at 60 %": ("azure conversation 2023", 0.6),
    "chat at 80 %": ("azure conversation 2023", 0.8),
    "code at 60 %": ("azure code 2023", 0.6),
    "long prompts at 60 %": ("long prompts", 0.6),
}
BUDGET = 2048


def compared(name, share, seed=2, count=60_000):
    """Return (simulated, closed form) of throughput and of the quantiles of TTFT and TPOT."""
    rows = np.array([0])
    how = serving.Replicas(max_sequences=np.inf, token_budget=float(BUDGET))
    table, sample = offer().table, serving.LengthMix.of_requests(drawn(name, 10.0, 20_000, seed=1))
    rate = share * float(serving.mean_field(table, rows, sample, how, rate=0.1).capacity[0])
    requests = drawn(name, rate, count, seed)
    # what came, not what was asked for: the closed form is to explain this run
    last = float(requests.arrival_s[-1])
    mix = serving.LengthMix.of_requests(requests)
    form = serving.mean_field(table, rows, mix, how, rate=len(requests) / last, levels=(0.5, 0.95, 0.99))
    pool = serving.Pool(table=table, max_sequences=BUDGET, token_budget=BUDGET)
    run = serving.simulate(requests, serving.Service(pool=pool))
    assert not run.saturated
    counted = run.served & (requests.arrival_s > 0.05 * last)
    inside = run.served & (run.finish_s > 0.05 * last) & (run.finish_s <= last)
    tokens = float(requests.output_tokens[inside].sum()) / (0.95 * last)
    tpot = run.tpot_s[counted]
    return {
        "output tokens/s": (tokens, float(form.output_tokens_per_s[0])),
        **{f"TTFT {q}": (float(np.quantile(run.ttft_s[counted], q)), float(form.ttft_s[0, i])) for i, q in enumerate(form.levels)},
        **{f"TPOT {q}": (float(np.quantile(tpot[tpot >= 0], q)), float(form.tpot_s[0, i])) for i, q in enumerate(form.levels)},
    }  # fmt: skip


@pytest.mark.parametrize("load", LOADS)
def test_the_closed_form_predicts_the_simulation(load):
    """Errors of the closed form in percent, 60,000 requests, seed 2:

        load                   tokens/s   TTFT P50   P95   P99   TPOT P50   P95   P99
        chat at 40 %               +0.1      +10.0 -10.1  -3.1       +0.7  -7.9 -15.0
        chat at 60 %               +0.1      +14.4  +0.1  +2.6       +0.9 -12.8 -21.6
        chat at 80 %                0.0       +9.2  +3.0  +1.9       +0.4 -18.9 -26.8
        code at 60 %               -0.1       +5.4  +3.9  +5.9       -5.6 -48.6 -30.4
        long prompts at 60 %        0.0       -0.1  +1.7  +1.2       -2.6 -45.9 -56.2

    A median TTFT of chat is about two steps, and 5 ms too long. The upper TPOT is too short, so only its median is held to
    here: a request that waited long leaves a queue of prompts behind, whose steps it decodes in; the closed form takes
    prompts as independent of the wait.
    """
    found = compared(*LOADS[load])
    allowed = {"output tokens/s": 0.05, "TTFT 0.5": 0.17, "TTFT 0.95": 0.15, "TTFT 0.99": 0.15, "TPOT 0.5": 0.10}
    for name, error in allowed.items():
        simulated, closed = found[name]
        assert closed == pytest.approx(simulated, rel=error), name
    assert found["TPOT 0.95"][0] > found["TPOT 0.5"][0]


def test_more_than_the_capacity_is_said_by_both():
    rows, name = np.array([0]), "azure conversation 2023"
    sample = serving.LengthMix.of_requests(drawn(name, 10.0, 20_000, seed=1))
    how = serving.Replicas(max_sequences=np.inf, token_budget=float(BUDGET))
    capacity = float(serving.mean_field(offer().table, rows, sample, how, rate=0.1).capacity[0])
    over = serving.mean_field(offer().table, rows, sample, how, rate=1.2 * capacity)
    assert over.saturated[0]
    assert over.utilisation[0] == pytest.approx(1.2)
    assert np.isinf(over.ttft_s).all()
    pool = serving.Pool(table=offer().table, max_sequences=BUDGET, token_budget=BUDGET)
    runs = {
        share: serving.simulate(drawn(name, share * capacity, 40_000, seed=2), serving.Service(pool=pool))
        for share in (0.8, 1.2)
    }
    assert not runs[0.8].saturated
    assert runs[1.2].saturated
    assert runs[1.2].status != runs[0.8].status
    # the highest rate of the closed form is what the simulation does when it has no rest
    busy = runs[1.2]
    inside = busy.served & (busy.finish_s <= busy.requests.arrival_s[-1])
    assert inside.sum() / busy.requests.arrival_s[-1] == pytest.approx(capacity, rel=0.05)


def test_pools_apart_serve_as_well():
    """Prefill and decode on accelerators of their own, and the same money and hours."""
    found = serve_scenario(scenario({"users": "4 million"}, disaggregated="yes")).to_dict()
    plan, run = found["plans"][0], found["simulation"]["chat"]
    assert plan["disaggregated"]
    assert 0.0 < plan["prefill_share"] < 1.0
    assert run["replicas"] * plan["accelerators_per_replica"] >= 2
    assert not run["saturated"]
    assert run["output_tokens_per_s"] == pytest.approx(run["mean_field"]["output_tokens_per_s"], rel=0.05)
    assert found["cost"]["chat"]["value"] == pytest.approx(plan["usd_per_month"])


def test_guidance_makes_two_passes_of_every_step():
    alone, guided = (
        quick(images=[{**PICTURES, "guidance": guided, "seconds": "60 s"}]).to_dict()["images"][0]["parts"]
        for guided in (False, True)
    )
    denoising = [
        next(part["value"] for part in tree["children"] if part["label"] == "denoising") for tree in (alone, guided)
    ]
    assert denoising[1] > 1.5 * denoising[0]
