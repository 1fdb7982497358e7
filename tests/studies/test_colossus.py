"""The study runs as one command; its JSON twin holds what the page says."""

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest

STUDY = Path(__file__).parents[2] / "examples" / "studies" / "colossus-100k-to-1m"
SIZES = [100_000, 200_000, 500_000, 1_000_000]
LIMITS = {"batch", "latency", "network", "stragglers", "failures", "start-up"}


@pytest.fixture(scope="module")
def found(study_folder):
    return json.loads((study_folder / f"{STUDY.name}.json").read_text(encoding="utf-8"))


def numbers_in(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from numbers_in(item)
    elif isinstance(value, int | float):
        yield value


def test_every_number_is_finite(found):
    assert all(math.isfinite(number) for number in numbers_in(found))
    assert found["sizes"] == SIZES


def test_policies_are_ordered_and_fall_with_size(found):
    goodput = {(row["policy"], row["accelerators"]): row for row in found["goodput"]}
    assert len(goodput) == 6 * len(SIZES)
    for n in SIZES:
        stopping = [goodput[policy, n]["closed_form"] for policy in ("restart", "neighbour_copy", "hot_spare")]
        assert stopping == sorted(stopping)
        assert goodput["drop_replica", n]["closed_form"] > goodput["elastic", n]["closed_form"]
    for policy in {policy for policy, _ in goodput}:
        values = [goodput[policy, n]["closed_form"] for n in SIZES]
        assert values == sorted(values, reverse=True)
    for row in goodput.values():
        assert row["p10"] <= row["p50"] <= row["p90"]
        assert row["simulated"] == pytest.approx(row["closed_form"], rel=0.1, abs=0.01)
        assert sum(row["wall_time_shares"].values()) == pytest.approx(1.0)


def test_steps_add_up_and_a_fixed_batch_starves_a_large_fleet(found):
    for row in found["steps"]:
        assert sum(row["parts_s"].values()) == pytest.approx(row["step_s"])
    used = {(row["batch"], row["accelerators"]): row["used"] for row in found["steps"]}
    assert used["fixed at 64M", SIZES[-1]] < SIZES[-1] / 2 < used["growing, 64M per 100,000", SIZES[-1]]


def test_the_curve_names_its_limits_and_agrees_with_the_searches(found):
    fleet = found["fleet"]
    assert set(fleet["binding"]) <= LIMITS | {"none"}
    assert fleet["binding"][-1] in LIMITS
    for i, _ in enumerate(fleet["accelerators"]):
        assert fleet["utilisation"][i] + sum(loss[i] for loss in fleet["losses"].values()) == pytest.approx(1.0)
    for row in fleet["largest_useful"].values():
        assert row["low"] <= row["best"] <= row["high"]
    hot = {row["accelerators"]: row["closed_form"] for row in found["goodput"] if row["policy"] == "hot_spare"}
    for n in SIZES:
        curve = fleet["policies"]["hot_spare"][fleet["accelerators"].index(n)]
        best = max(row["useful_tokens_per_s"] for row in found["steps"] if row["accelerators"] == n)
        assert curve == pytest.approx(best * hot[n], rel=0.15)


def test_levers_and_sites(found):
    assert {row["lever"] for row in found["levers"]} >= {"policy", "spares", "islands", "network planes", "batch"}
    for layout in {row["layout"] for row in found["sites"]}:
        needed = {row["policy"]: row["needed_bits_per_s"] for row in found["sites"] if row["layout"] == layout}
        assert needed["synchronous"] > needed["DiLoCo"] > needed["streaming DiLoCo"]
    for row in found["sites"]:
        assert all(a <= b + 1e-12 for a, b in pairwise(row["useful_share"]))


def test_the_page_needs_no_network_and_has_a_table_under_each_chart(study_folder, found):
    html = (study_folder / f"{STUDY.name}.html").read_text(encoding="utf-8")
    page, _, _ = html.partition('<script type="application/json"')
    assert "http://" not in page
    assert "https://" not in page
    assert page.count("<figure") == page.count("data-chart=") == page.count("<summary>Numbers of")
    assert all(f"<b>{sentence['about']}.</b>" in page for sentence in found["conclusions"])
