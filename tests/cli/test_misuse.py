"""What a person gets wrong, and what the machine around the program does wrong: one clear message, never a fault."""

import contextlib
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gigawatt.cli._app import app
from gigawatt.errors import GigawattError, InfeasibleError, InputError, OutputError

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "training"
SMALL = ["--model", "Llama 3 8B", "--accelerator", "H100", "--count", "16", "--batch", "64", "--sequence", "4096"]
LLAMA = str(EXAMPLES / "llama-405b-16384-h100.yaml")


def run(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def process(*arguments, stdout=subprocess.PIPE):
    return subprocess.run(
        [sys.executable, "-m", "gigawatt", *map(str, arguments)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        check=False,
    )


WRONG = {
    "a deadline without a unit": (
        ["train", "ask", LLAMA, "--deadline", "30"],
        "--deadline: a unit is missing.*90 days",
    ),
    "a deadline in words": (["train", "ask", LLAMA, "--deadline", "tomorrow"], "--deadline: not a quantity"),
    "a deadline in the past": (["train", "ask", LLAMA, "--deadline", "-3 days"], "--deadline: impossible value"),
    "no time": (["train", "ask", LLAMA, "--optimal", "0 days"], "--optimal: impossible value"),
    "a price without a unit": (
        ["train", "ask", LLAMA, "--budget", "$1 million", "--price", "2"],
        "--price: a unit is missing.*[$]2/h",
    ),
    "for nothing": (["train", "ask", LLAMA, "--budget", "$1 million", "--price", "$0/h"], "--price: impossible value"),
    "less than nothing": (["train", "ask", LLAMA, "--budget", "-$5", "--price", "$2/h"], "--budget: impossible value"),
    "no end": (["train", "ask", LLAMA, "--optimal", "1e300 years"], "--optimal: impossible value"),
    "a budget without a price": (["train", "ask", LLAMA, "--budget", "$5 million"], "price of an accelerator-hour"),
    "too many accelerators": (["train", *SMALL, "--count", "1e20"], "--count 1e20: fleet.count"),
    "too large a batch": (["train", *SMALL, "--batch", "1e20 sequences"], "--batch 1e20 sequences"),
    "too long a sequence": (["train", *SMALL, "--sequence", "1e20"], "--sequence 1e20"),
    "too large a degree": (["train", *SMALL, "--strategy", f"tp={10**20}"], "strategy.tensor_parallel"),
    "too large a degree to compare": (
        ["train", "why", *SMALL, "--strategy", f"dp={10**20}", "--against", "tp=1"],
        "strategy.data_parallel",
    ),
    "one decision twice": (["train", *SMALL, "--strategy", "tp=8,tp=4"], "stands here twice; found 8 and 4"),
    "no decision": (["train", *SMALL, "--strategy", ""], "no strategy stands here"),
    "nothing to explain": (["train", "why", *SMALL], "--strategy: no strategy stands here"),
    "too deep a model": (["train", *SMALL, "--set", "model={base: Llama 3 70B, layers: 1000000}"], "at most 4,096"),
    "not a configuration": (["train", "read", ROOT / "README.md"], "no option of a parallel strategy"),
    "a chip without a wire": (
        ["train", *SMALL, "--set", "fleet.accelerator={base: H100, scale_up: 1e-300 B/s}"],
        "scale_up: impossible value.*1 kB/s",
    ),
    "a chip that does not compute": (
        ["train", *SMALL, "--set", "fleet.accelerator={base: H100, bf16: 1 FLOP/s}"],
        "bf16: impossible value.*1 MFLOP/s",
    ),
    "a sequence of nothing": (
        ["train", *SMALL, "--set", "assumptions.training.sequence_length=0 tokens"],
        "assumptions.training.sequence_length: impossible value",
    ),
    "an endless batch": (
        ["train", *SMALL, "--set", "assumptions.training.global_batch=1e20 sequences"],
        "assumptions.training.global_batch: impossible value",
    ),
    "no such configuration": (["train", *SMALL, "--model", "none/config.json"], "there is no such file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_named(name):
    arguments, words = WRONG[name]
    with pytest.raises(InputError, match=words):
        run(*arguments)


@pytest.mark.parametrize("option", ["--out", "--trace"])
def test_a_missing_folder_is_found_before_the_search(option, tmp_path, monkeypatch):
    monkeypatch.setattr("gigawatt.planning.train_scenario", lambda *_: pytest.fail("searched first"))
    with pytest.raises(OutputError, match="does not exist"):
        run("train", *SMALL, option, tmp_path / "none" / "page.html")


def test_calibration_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"SciPy is needed.*calibrate"):
        run("calibrate", "training", "--out", tmp_path)


def test_calibration_makes_its_folder_first(monkeypatch, tmp_path):
    def fit(data, report):
        assert (tmp_path / "a" / "new").is_dir()
        raise InfeasibleError("enough")

    monkeypatch.setattr("gigawatt.validation.fit_training", fit)
    with pytest.raises(InfeasibleError, match="enough"):
        run("calibrate", "training", "--out", tmp_path / "a" / "new")


def test_too_few_shapes_are_not_fitted(tmp_path):
    table = tmp_path / "few.csv"
    rows = [f"H100 SXM,matmul,bf16,{n},4096,4096,1,1e-3" for n in range(128, 139)]
    table.write_text("chip,family,dtype,rows,columns,depth,count,seconds\n" + "\n".join(rows) + "\n")
    with pytest.raises(InputError, match="H100 SXM matmul bf16: 11 shapes; allowed: 40 shapes or more"):
        run("calibrate", "fit", table, "--out", tmp_path / "fitted.csv")
    assert not (tmp_path / "fitted.csv").exists()


def test_a_question_of_how_many_needs_no_count():
    job = ["--model", "Llama 3 8B", "--accelerator", "H100", "--set", "training.tokens=100B tokens"]
    assert "train it in" in run("train", "ask", *job, "--deadline", "30 days").output


def test_a_deadline_of_the_scenario_is_answered():
    job = [*SMALL, "--set", "training.tokens=10B tokens"]
    met = run("train", *job, "--set", "training.deadline=30 days")
    assert "deadline of 30.0 days" in met.output
    assert met.exit_code == 0
    missed = run("train", *job, "--set", "training.deadline=2 h", "--json")
    assert missed.exit_code == 1
    assert '"met": false' in missed.output


def test_a_strategy_as_printed_gives_the_same_step():
    first = run("train", *SMALL)
    option = next(line for line in first.output.splitlines() if line.startswith("--strategy '"))
    again = run("train", *SMALL, "--strategy", option.split("'")[1])
    assert [line for line in again.output.splitlines() if "step time" in line] == [
        line for line in first.output.splitlines() if "step time" in line
    ]


def test_short_names_and_capital_precision():
    text = run("train", *SMALL, "--strategy", "tp=2 chunks=1 mbs=1 zero=1", "--precision", "BF16").output
    assert "tensor 2" in text
    assert "ZeRO 1" in text


EXTREME = (
    ("network.scale_out=1 kB/s",),
    ("network.scale_out=1 kB/s", "network.oversubscription=1e6"),
    ("training.sequence_length=1e8",),
    ("training.sequence_length=1e8", "training.global_batch=1e9"),
    ("training.global_batch=1e15 tokens",),
    ("fleet.count=1e9",),
    ("network.sites=2", "network.wide_area=1 kB/s", "network.distance=1e6 km"),
    ("training.tokens=1e21 tokens",),
    ("model={base: Llama 3 8B, hidden: 100000000}",),
    ("model={base: Llama 3 8B, vocab: 100000000, ffn: 100000000}",),
)


@pytest.mark.parametrize("settings", EXTREME, ids=str)
def test_extreme_numbers_within_their_bounds_raise_no_warning(settings):
    given = [part for setting in settings for part in ("--set", setting)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with contextlib.suppress(GigawattError):
            assert run("train", *SMALL, *given).exit_code == 0


@pytest.mark.parametrize(
    "setting",
    [
        "finance.lifetime=1 s",
        "finance.accelerator_price=$1e-5",
        "reliability.failure_rate=1 /s",
        "reliability.checkpoint_bandwidth=1 kB/s",
        "site.grid_limit=1 W",
        "site.pue=1e6",
        "training.tokens=1 token",
        "fleet.count=1e9",
    ],
)
def test_extreme_sites_raise_no_warning(setting, tmp_path):
    with contextlib.suppress(GigawattError):
        assert run("plan", ROOT / "examples" / "grok-1.yaml", "--out", tmp_path, "--set", setting).exit_code in (0, 1)


def test_a_file_that_is_no_page_is_not_overwritten(tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(OutputError, match="does not exist"):
        run("plan", ROOT / "examples" / "grok-1.yaml", "--out", notes)
    assert notes.read_text() == "mine"


def test_a_hugging_face_file_is_a_model(tmp_path, monkeypatch):
    folder = tmp_path / "tiny"
    folder.mkdir()
    config = {
        "architectures": ["LlamaForCausalLM"],
        "num_hidden_layers": 16,
        "hidden_size": 2048,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 8192,
        "vocab_size": 128256,
    }
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    for scenario in ([], [EXAMPLES / "small-cluster.yaml"]):
        given = ["--model", "tiny/config.json", "--accelerator", "H100", "--count", "8", "--batch", "64"]
        data = json.loads(run("train", *scenario, *given, "--json").stdout)
        assert data["model"]["name"] == "tiny"
    (tmp_path / "mine.yaml").write_text("model: tiny/config.json\nfleet: {accelerator: H100, count: 8}\n")
    assert json.loads(run("train", "mine.yaml", "--json").stdout)["model"]["name"] == "tiny"


def test_what_a_file_does_not_say_is_said_to_be_assumed(tmp_path):
    file = tmp_path / "args.sh"
    run("train", "export", *SMALL, "--out", file)
    assert "H100 SXM is assumed" in run("train", "read", file).stderr
    assert "is assumed" not in run("train", "read", file, "--accelerator", "H100").stderr


def test_a_reader_that_leaves_early_is_no_failure():
    for arguments in (["train", *SMALL], ["train", *SMALL, "--json"], ["catalog", "facts", "--json"]):
        command = subprocess.Popen(
            [sys.executable, "-m", "gigawatt", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )
        command.stdout.close()
        errors = command.stderr.read()
        command.stderr.close()
        assert command.wait() == 0, arguments
        assert errors == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")  # noqa: PTH110
def test_a_full_disk_is_one_message():
    for arguments in (["catalog", "models"], ["catalog", "models", "--json"], ["schema"]):
        with open("/dev/full", "w") as full:  # noqa: PTH123 (written to as standard output, as a shell does)
            done = process(*arguments, stdout=full)
        assert done.returncode == 2
        assert done.stderr == "error: cannot write standard output: No space left on device\n"


def test_debug_shows_the_traceback_and_keeps_the_exit_code():
    done = process("--debug", "plan", "none.yaml")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.rstrip().endswith("none.yaml: there is no such file")


def test_rows_that_all_cannot_be_read_are_no_fault(tmp_path):
    from gigawatt.validation import validate_training

    assert validate_training(_unreadable(tmp_path))["rankings"] == []


def _unreadable(folder):
    import csv
    from importlib.resources import files

    text = files("gigawatt.validation").joinpath("data", "training_published.csv").read_text(encoding="utf-8")
    rows = [row for row in csv.DictReader(text.splitlines()) if row["group"] == "bloom-a100"][:3]
    table = folder / "rows.csv"
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows([row | {"accelerator": "unknown"} for row in rows])
    return table
