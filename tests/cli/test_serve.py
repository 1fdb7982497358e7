"""`gigawatt serve` as people and machines call it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gigawatt.cli._app import app
from gigawatt.errors import InputError

ROOT = Path(__file__).parents[2]
LENGTHS = """\
      prompt: {mean: 1000 tokens, p50: 700 tokens}
      output: {mean: 200 tokens, p50: 140 tokens}
"""
SMALL = f"""\
name: small
model: Llama 3.1 8B
date: 2025-11
serving:
  accelerators: [H100 SXM]
  engine: vllm
  precision: [fp8]
  duration: 5 min
  traffic:
    - name: chat
{LENGTHS}\
      users: 1 million
      requests_per_user: 5 per day
      day_shape: chat
      ttft: 1 s
      tpot: 30 ms
      percentile: 95 %
"""


def run(*arguments):
    """Return exit code and output; errors of the input are raised as the command line's own handler sees them."""
    result = CliRunner().invoke(app, ["serve", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("serve") / "small.yaml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def changed(tmp_path):
    """Return a function that writes the small scenario with something else in it, and files beside it."""

    def write(old, new, **files):
        assert old in SMALL
        for name, text in files.items():
            (tmp_path / f"{name}.csv").write_text(text)
        path = tmp_path / "changed.yaml"
        path.write_text(SMALL.replace(old, new))
        return path

    return write


@pytest.fixture(scope="session")
def answered(small):
    """Exit code, terminal output, JSON and page of one question."""
    page = small.parent / "page.html"
    code, out = run(small, "--out", page)
    return code, out, json.loads(run(small, "--json")[1]), page.read_text(encoding="utf-8")


def test_terminal_output(answered):
    code, out, data, _ = answered
    assert code == 0
    tables = out[: out.index("chat on vllm")]  # then the script that starts the engine, in lines of its own length
    assert max(len(line.rstrip()) for line in tables.splitlines()) <= 80
    text = " ".join(out.split())
    for words in (
        "H100 SXM",
        "TTFT",
        "TPOT",
        "$/month",
        "the day on",
        "mean field",
        "--launch FOLDER writes all",
        "wrote",
    ):
        assert words.replace("$/month", "M$/mont") in text
    plan = data["plans"][0]
    assert f"{plan['accelerators']} H100 SXM" in text


def test_json_is_all_that_stands_on_stdout(answered):
    _, _, data, _ = answered
    assert data["scenario"] == "small"
    assert data["best"] == {"chat": {"cost": "H100 SXM", "power": "H100 SXM"}}
    assert data["plans"][0]["accelerators"] == data["totals"]["cost"]["accelerators"] > 0
    assert data["simulation"]["chat"]["requests"] > 1000
    json.dumps(data, allow_nan=False)


def test_the_page_says_the_same(answered):
    _, _, data, html = answered
    assert html.lstrip().lower().startswith("<!doctype html")
    assert 'src="http' not in html
    for words in ("small", "H100 SXM", "TTFT", data["plans"][0]["layout"]):
        assert words in html


def test_without_simulation_nothing_is_simulated(small):
    code, out = run(small, "--no-simulate", "--json")
    assert code == 0
    assert json.loads(out)["simulation"] == {}


def test_overrides(small):
    more = json.loads(run(small, "--no-simulate", "--json", "--set", "serving.spare_replicas=2")[1])
    plain = json.loads(run(small, "--no-simulate", "--json")[1])
    assert more["plans"][0]["replicas"] == plain["plans"][0]["replicas"] + 2


MISSED = {
    "no chip is fast enough": ("tpot: 30 ms", "tpot: 1 us", "TPOT", ["No chip keeps the promise", "TPOT 1 us"]),
    "no prompt is read so soon": ("ttft: 1 s", "ttft: 1 ms", "TTFT", ["No chip keeps the promise", "would do: TTFT"]),
    "the cache does not hold one request": (
        "Llama 3.1 8B\ndate: 2025-11\nserving:\n",
        "Llama 3.1 70B\ndate: 2025-11\nserving:\n  layout: {tensor_parallel: 1}\n",
        "memory",
        ["memory does not suffice", "GB more memory for each of 1 accelerators"],
    ),
}


@pytest.mark.parametrize("name", MISSED)
def test_what_cannot_be_is_said_with_the_nearest_miss(changed, name, tmp_path):
    old, new, limit, words = MISSED[name]
    path = changed(old, new)
    if limit == "memory":
        text = path.read_text().replace("{mean: 1000 tokens, p50: 700 tokens}", "{mean: 100k tokens}")
        path.write_text(text)
    page = tmp_path / "page.html"
    code, out = run(path, "--out", page)
    assert code == 1
    text = " ".join(out.split())
    for word in words:
        assert word in text
    assert "chips that do not keep the promise" in text
    assert "Chips that do not keep the promise" in page.read_text(encoding="utf-8")
    code, out = run(path, "--json")
    data = json.loads(out)
    assert code == 1
    assert data["best"]["chat"] == {"cost": None, "power": None}
    near = data["plans"][0]["nearest"]
    assert near["limit"] == limit
    assert near["wanted"] > 0
    if limit == "memory":  # 70 GB of weights on 80 GB, and 100,200 tokens of 163,840 bytes (8-bit keys and values)
        assert 5e9 < near["wanted"] < 100_200 * 327_680
    else:
        assert near["reached"] > near["wanted"]


def test_one_of_two_that_cannot_be_served(changed, tmp_path):
    """Totals are only of answers that are whole."""
    image = "{name: p, model: FLUX.1-dev, rate: 1 per s, steps: 28, resolution: 1024x1024, seconds: 20 s}"
    path = changed("  traffic:\n", f"  images: [{image}]\n  traffic:\n")
    page = tmp_path / "page.html"
    code, out = run(path, "--no-simulate", "--set", "serving.traffic.0.tpot=1 us", "--out", page)
    assert code == 1
    assert "No chip keeps the promise" in " ".join(out.split())
    assert "p, an image" in page.read_text(encoding="utf-8")
    code, out = run(path, "--no-simulate", "--json", "--set", "serving.images.0.seconds=1 ms")
    data = json.loads(out)
    assert code == 1
    assert data["totals"] == {"cost": None, "power": None}
    assert data["best"]["chat"]["cost"] == "H100 SXM"
    assert "0.001 s are promised" in data["images"][0]["reason"]
    assert run(path, "--no-simulate", "--set", "serving.images.0.seconds=1 ms")[0] == 1


CSV = "timestamp,prompt_tokens,output_tokens\n"
WRONG = {
    "times out of order": (
        LENGTHS,
        "      trace: mine.csv\n",
        ["mine.csv:4", "earlier than the row above", "found '3'"],
        CSV + "0,100,10\n5,100,10\n3,100,10\n",
    ),
    "a negative time": (
        LENGTHS,
        "      trace: mine.csv\n",
        ["mine.csv:2", "a negative time", "found '-1'"],
        CSV + "-1,100,10\n5,100,10\n",
    ),
    "no output": (
        LENGTHS,
        "      trace: mine.csv\n",
        ["mine.csv:3", "output length of zero"],
        CSV + "0,100,10\n5,100,0\n",
    ),
    "an unknown chip": (
        "[H100 SXM]",
        "[H100 SMX]",
        ["changed.yaml:5:", "serving.accelerators.0", "found 'H100 SMX'", "did you mean 'H100 SXM'"],
    ),
    "an unknown engine": ("engine: vllm", "engine: vlm", ["changed.yaml:6:", "serving.engine", "did you mean 'vllm'"]),
    "an unknown trace": (
        LENGTHS,
        "      trace: azure conversations 2023\n",
        ["changed.yaml:10:", "serving.traffic.0", "no such trace", "did you mean 'azure conversation 2023'"],
    ),
    "an unknown image model": (
        "  traffic:\n",
        "  images:\n    - {name: p, model: FLUX.1-dvv, rate: 1 per s, steps: 28, resolution: 1024x1024}\n  traffic:\n",
        ["changed.yaml:10:", "serving.images.0.model", "did you mean 'FLUX.1-dev'"],
    ),
    "a layout that does not divide": (
        "  engine",
        "  layout: {tensor_parallel: 3}\n  engine",
        ["changed.yaml:6:", "serving.layout", "found tensor_parallel 3", "divides 32 heads"],
    ),
    "a percentile beyond all": (
        "95 %",
        "150 %",
        ["changed.yaml:18:", "serving.traffic.0.percentile", "found '150 %'", "below 1"],
    ),
    "no room for the prompt": (
        "      ttft",
        "      max_context: 1000 tokens\n      system_prompt: 2000 tokens\n      ttft",
        ["changed.yaml:16:", "serving.traffic.0.max_context", "leave no room in the context"],
    ),
    "nothing to serve": (SMALL[SMALL.index("serving") :], "", ["changed.yaml:1:", "serving", "nothing to serve"]),
    "a rate and users": (
        "      users: 1 million\n",
        "      users: 1 million\n      rate: 5 per s\n",
        ["changed.yaml:13:", "serving.traffic.0.users", "give a rate or users, not both"],
    ),
    "bare lengths": (LENGTHS, "", ["changed.yaml:10:", "serving.traffic.0", "prompt and output, or a trace"]),
    "a negative promise": ("ttft: 1 s", "ttft: -1 s", ["changed.yaml:16:", "serving.traffic.0.ttft", "found '-1 s'"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_one_clear_message(changed, name):
    old, new, words, *trace = WRONG[name]
    with pytest.raises(InputError) as caught:
        run(changed(old, new, **({"mine": trace[0]} if trace else {})))
    for word in words:
        assert word in str(caught.value)
    assert caught.value.exit_code == 2


def test_the_exit_code_of_the_process_is_two(changed):
    path = changed("engine: vllm", "engine: vlm")
    found = subprocess.run(
        [sys.executable, "-m", "gigawatt", "serve", str(path)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert found.returncode == 2
    assert found.stdout == ""
    assert f"{path}:6:" in found.stderr.replace("\n", "")
    assert "Traceback" not in found.stderr
