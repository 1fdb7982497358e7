"""`gigawatt goodput` as a person uses it: answers, files, and one clear message for what cannot be."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gigawatt.cli._app import app
from gigawatt.errors import GigawattError, InputError

SMALL = ["--model", "Llama 3 8B", "--accelerator", "H100 SXM", "--count", "256", "--days", "20", "--replicates", "10"]


def run(*arguments):
    result = CliRunner().invoke(app, ["goodput", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_answer_in_words_fits_a_terminal():
    text = run(*SMALL).output
    for words in (
        "goodput",
        "closed form",
        "wall time",
        "interruptions by cause",
        "spare nodes",
        "money",
        "P10 to P90",
    ):
        assert words in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80


def test_the_answer_as_json():
    data = json.loads(run(*SMALL, "--json").output)
    assert 0.9 < data["goodput"] < 1
    assert data["replicates"] == 10
    assert len(data["policies"]) == 6
    assert data["interval_curve"]
    assert data["spare_curve"]


def test_the_closed_form_alone():
    data = json.loads(run(*SMALL[:-1], "0", "--json").output)
    assert data["simulation"] is None
    assert data["goodput"] == data["closed_goodput"]


def test_policies_in_one_table():
    text = run(*SMALL, "--compare").output
    for policy in ("restart", "neighbour_copy", "hot_spare", "drop_replica", "elastic", "islands"):
        assert policy in text
    assert "Most useful time is left by" in " ".join(text.split())
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80


def test_a_scenario_file_with_flags_on_top(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text("model: Llama 3 8B\nfleet: {accelerator: H100 SXM, count: 256}\nreliability: {policy: elastic}\n")
    assert json.loads(run(file, "--replicates", "0", "--json").output)["policy"] == "elastic"
    other = json.loads(run(file, "--replicates", "0", "--policy", "islands", "--islands", "4", "--json").output)
    assert (other["policy"], other["islands"]) == ("islands", 4)


def test_the_page_stands_alone(tmp_path):
    page = tmp_path / "page.html"
    run(*SMALL, "--out", page)
    html = page.read_text()
    assert "http://" not in html.replace("http://www.w3.org", "").replace("http://www.apache.org", "")
    for chart in ("wall_time", "interval", "spares", "policies"):
        assert f'data-chart="{chart}"' in html


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "reliability.failure_rate=-1 /day"], "reliability.failure_rate"),
        (["--spares", "5000"], "more spare nodes than nodes"),
        (["--set", "reliability.repair_time=0 s", "--spares", "0"], "repair time of 0 s"),
        (["--set", "reliability.repair_time=-1 h"], "reliability.repair_time"),
        (["--policy", "islands", "--islands", "7", "--strategy", "dp=128"], "do not divide"),
        (["--policy", "islands", "--islands", "0"], "reliability.islands"),
        (["--islands", "2"], "no islands"),
        (["--policy", "hotspare"], "did you mean 'hot_spare'"),
        (["--days", "nan"], "--days"),
        (["--days", "-3"], "--days"),
        (["--days", "0.0001"], "start of the job"),
        (["--replicates", "1000000"], "--replicates"),
        (["--set", "reliability.checkpoint_interval=0 s"], "reliability.checkpoint_interval"),
    ],
)
def test_what_cannot_be_gets_one_message_and_writes_nothing(tmp_path, arguments, words):
    page = tmp_path / "page.html"
    with pytest.raises(InputError) as caught:
        run(*SMALL, *arguments, "--out", page)
    assert len(caught.value.problems) == 1
    assert words in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments", [["--seed", "abc"], ["--seed", "-1"], ["--replicates", "-1"], ["--spares", "-1"], ["--days", "soon"]]
)
def test_options_that_are_no_numbers(arguments):
    assert run(*SMALL, *arguments).exit_code == 2


def test_a_question_needs_a_job():
    with pytest.raises(InputError, match="gigawatt goodput"):
        run("--model", "Llama 3 8B")


def test_a_folder_that_is_not_there_is_refused_before_the_work(tmp_path):
    with pytest.raises(GigawattError, match="does not exist"):
        run(*SMALL, "--out", tmp_path / "no" / "page.html")


def _cpu_s(pid):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 4.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_an_interrupted_simulation_leaves_nothing(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("before")
    run(*SMALL)  # what is compiled is compiled now: the signal is to reach the simulation, not the compiler
    command = [sys.executable, "-m", "gigawatt", "goodput", *SMALL[:-1], "100000", "--days", "3000", "--out", str(page)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ})
    deadline = time.monotonic() + 60.0
    while (
        _cpu_s(running.pid) < 4.0 and time.monotonic() < deadline
    ):  # well into the simulation, however busy the machine
        time.sleep(0.2)
    while running.poll() is None and time.monotonic() < deadline + 60.0:
        running.send_signal(signal.SIGINT)  # again: one that comes while numba compiles may be lost in its callbacks
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.communicate(timeout=2)
    assert running.returncode not in (0, 70)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("page.html", "before")]
