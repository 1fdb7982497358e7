"""Mixed fleets: each way has its own strategy, fits every kind, and says what it leaves idle."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.errors import InputError
from gigawatt.planning import mix_scenario
from gigawatt.planning._mixed import _shared_out
from gigawatt.scenario import scenario_from_mapping


def mix(first, second, model="Llama 3 70B", batch=2048, **sections):
    data = {
        "fleet": {"accelerators": [{"accelerator": name, "count": count} for name, count in (first, second)]},
        "model": model,
        "training": {"sequence_length": "8192 tokens", "global_batch": f"{batch} sequences"},
    } | sections
    return mix_scenario(scenario_from_mapping(data, name="test", folder=Path()))


def way(result, name):
    return next(way for way in result.ways if way["way"] == name)


def test_every_way_is_searched_for_its_own_strategy():
    result = mix(("H100", 512), ("B200", 512))
    slowest, replicas = way(result, "pace of the slowest"), way(result, "micro-batches by speed")
    assert replicas["strategy"] != slowest["strategy"]
    assert replicas["tokens_per_s"] > 1.3 * slowest["tokens_per_s"]
    assert result.best["tokens_per_s"] <= result.ideal_tokens_per_s
    # holding a decision of the best way gives that way again: nothing better was passed over
    held = {"micro_batch": replicas["strategy"]["micro_batch"]}
    again = mix(("H100", 512), ("B200", 512), strategy=held)
    assert way(again, "micro-batches by speed")["tokens_per_s"] == pytest.approx(replicas["tokens_per_s"])
    for held in ({"micro_batch": 1}, {"micro_batch": 2}, {"recompute": "selective"}, {"tensor_parallel": 8}):
        other = mix(("H100", 512), ("B200", 512), strategy=held)
        assert way(other, "micro-batches by speed")["tokens_per_s"] <= replicas["tokens_per_s"] * (1 + 1e-9)


def test_micro_batches_add_up_to_the_batch_and_idle_accelerators_are_said():
    result = mix(("H100", 500), ("A100 SXM 80GB", 300), batch=1000)
    for one in result.ways:
        assert one["accelerators"] + one["idle"] == 800
        assert (f"{one['idle']:,} of 800 accelerators idle" in one["note"]) == (one["idle"] > 0)
    replicas = way(result, "micro-batches by speed")
    words = replicas["note"].split(" per replica; ")[1].split(" replicas")[0]
    members = [int(word) for word in words.split(" + ")]
    turns = list(replicas["shares"].values())
    each = replicas["strategy"]["micro_batch"]
    done = sum(count * turn for count, turn in zip(members, turns, strict=True)) * each
    assert 1000 <= done < 1000 + max(members) * each
    assert turns[0] > turns[1]


def test_layers_by_speed_fit_in_memory_or_are_no_way():
    """A model that needs most of the memory: more layers on the faster, equally large chip do not fit."""
    roomy = way(mix(("H100", 512), ("B200", 512)), "layers by speed")
    h100, b200 = roomy["shares"].values()
    assert b200 > h100
    full = mix(("H100", 80), ("A100 SXM 80GB", 80), model="Llama 3.1 405B", batch=160)
    names = [one["way"] for one in full.ways]
    if "layers by speed" in names:
        fast, slow = way(full, "layers by speed")["shares"].values()
        assert fast * 5 + slow * 5 <= 2 * 126
    tight = mix(("H100", 512), ("B200", 512), strategy={"constraints": ["memory <= 30 GB"]})
    other = way(tight, "layers by speed") if "layers by speed" in [one["way"] for one in tight.ways] else None
    assert other is None or other["tokens_per_s"] < roomy["tokens_per_s"]


@settings(max_examples=200, deadline=None)
@given(
    whole=st.integers(2, 5000),
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=4),
    data=st.data(),
)
def test_work_is_shared_out_whole_and_in_proportion(whole, counts, data):
    cost = [data.draw(st.floats(0.1, 10.0)) for _ in counts]
    pieces = _shared_out(
        np.array([float(whole)]), [np.array([float(c)]) for c in counts], [np.array([each]) for each in cost]
    )
    turns = [float(piece[0]) for piece in pieces]
    assert sum(count * turn for count, turn in zip(counts, turns, strict=True)) >= whole
    assert min(turns) >= 1
    ideal = whole / sum(count / each for count, each in zip(counts, cost, strict=True))
    assert max(turn * each for turn, each in zip(turns, cost, strict=True)) <= ideal + max(cost) * (1 + 1e-9)


def test_one_kind_is_no_mix():
    with pytest.raises(InputError, match="two kinds"):
        mix_scenario(scenario_from_mapping({"fleet": {"accelerator": "H100", "count": 8}}, name="t", folder=Path()))
