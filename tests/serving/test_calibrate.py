"""A fit recovers constants that made the measurements, and reads what the engines' benchmarks write."""

import json
from dataclasses import replace

import pytest

from gigawatt.errors import InputError
from gigawatt.serving import BenchmarkPoint, engine_constants, fit_engine, read_benchmark


def law(constants, point):
    """A step law with known parts: 80 layers, 70 GB of weights, prompts at a tenth of a microsecond per token."""
    step = 80 * constants.layer_s + constants.step_s + 70e9 / (constants.memory * 3.35e12 * 4) + point.clients * 1e-5
    return step, constants.first_s + point.prompt_tokens * 5e-5 / constants.compute + step


def test_constants_that_made_the_points_come_back():
    start = engine_constants("vllm", "H100 SXM")
    truth = replace(start, layer_s=start.layer_s * 1.6, first_s=start.first_s * 2.0)
    points = []
    for clients in (1, 4, 16, 64):
        for prompt in (200.0, 2000.0):
            point = BenchmarkPoint(
                clients=clients, requests=10, prompt_tokens=prompt, output_tokens=100, ttft_s=1, tpot_s=1
            )
            step, first = law(truth, point)
            points.append(replace(point, tpot_s=step, ttft_s=first))
    found = fit_engine(points, start, law)
    assert found.before[0] > 0.1
    assert max(found.after) < 0.02
    assert found.moved["first_s"][1] == pytest.approx(truth.first_s, rel=0.1)
    assert found.to_dict()["points"] == 8
    with pytest.raises(ValueError, match="no points"):
        fit_engine([], start, law)


def test_result_files_of_both_benchmarks(tmp_path):
    one = {
        "completed": 100,
        "max_concurrency": 8,
        "total_input_tokens": 102_400,
        "total_output_tokens": 12_800,
        "mean_ttft_ms": 55.0,
        "mean_tpot_ms": 12.5,
    }
    (tmp_path / "vllm.json").write_text(json.dumps(one, indent=1))
    (tmp_path / "sglang.jsonl").write_text(json.dumps(one) + "\n" + json.dumps(one | {"max_concurrency": 16}) + "\n")
    (point,) = read_benchmark(tmp_path / "vllm.json")
    assert (point.clients, point.prompt_tokens, point.output_tokens, point.tpot_s) == (8, 1024.0, 128.0, 0.0125)
    assert [p.clients for p in read_benchmark(tmp_path / "sglang.jsonl")] == [8, 16]
    (tmp_path / "open.json").write_text(json.dumps(one | {"max_concurrency": None}))
    with pytest.raises(InputError, match="max_concurrency"):
        read_benchmark(tmp_path / "open.json")
    (tmp_path / "bad.json").write_text("text")
    with pytest.raises(InputError, match="neither JSON"):
        read_benchmark(tmp_path / "bad.json")
