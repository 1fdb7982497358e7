"""The command line as a process: exit codes, what goes to which stream, nothing but JSON under --json."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = str(ROOT / "examples" / "grok-1.yaml")


def run(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "gigawatt", *arguments], capture_output=True, text=True, cwd=cwd or ROOT, check=False
    )


def test_plan_writes_a_report_and_says_where(tmp_path):
    done = run("plan", EXAMPLE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "what binds" in done.stdout
    assert (tmp_path / "grok-1.html").exists()
    assert str(tmp_path / "grok-1.html") in done.stdout.replace("\n", "")


def test_json_is_only_json(tmp_path):
    done = run("plan", EXAMPLE, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["feasible"] is True
    assert not list(tmp_path.iterdir())


def test_infeasible_is_exit_code_1_with_a_report(tmp_path):
    done = run("plan", EXAMPLE, "--set", "training.deadline=3 days", "--out", str(tmp_path))
    assert done.returncode == 1
    assert "deadline is missed by" in " ".join(done.stdout.split())
    assert (tmp_path / "grok-1.html").exists()
    none = run("plan", EXAMPLE, "--set", "fleet.count=8", "--out", str(tmp_path / "none.html"))
    assert none.returncode == 1
    assert none.stderr.startswith("infeasible: memory per accelerator binds")
    assert not (tmp_path / "none.html").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("plan", "none.yaml"), "no such file"),
        (("plan", EXAMPLE, "--set", "site.pue=0.5"), "at least 1"),
        (("plan", EXAMPLE, "--out", "/nowhere/at/all"), "does not exist"),
        (("plan", EXAMPLE, "--set", "strategy.tensor_parallel=5"), "a divisor of the 48 attention heads"),
        (("explain", EXAMPLE, "power.facilty"), "did you mean 'power.facility'"),
        (("catalog", "acelerators"), "did you mean 'accelerators'"),
        (("catalog", "models", "Gork-1"), "Grok-1"),
        (("schema", "scenarioo"), "did you mean 'scenario'"),
        (("validate", "training", "--data", "none.csv"), "no such file"),
        (("validate", "cases", "none"), "no such file"),
    ],
)
def test_wrong_input_is_one_clear_message(arguments, words, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    done = run("plan", EXAMPLE, "--out", str(tmp_path))
    assert done.returncode == 2
    assert "no permission" in done.stderr


def test_explain_and_catalog_and_schema():
    tree = run("explain", EXAMPLE, "power.facility", "--json")
    assert json.loads(tree.stdout)["path"] == "power.facility"
    assert "run.time" in run("explain", EXAMPLE, "*").stdout
    assert "H100 SXM" in run("catalog", "accelerators").stdout
    assert json.loads(run("catalog", "models", "Grok-1", "--json").stdout)["architecture"]["layers"] == 64
    assert json.loads(run("schema").stdout)["$id"] == "gigawatt:scenario:1"
    assert json.loads(run("schema", "plan").stdout)["$id"] == "gigawatt:plan:1"


def test_help_imports_nothing_heavy():
    code = "import sys; from gigawatt.cli import main; print(sorted({'numpy', 'pydantic', 'rich', 'pint', 'jinja2', 'yaml'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert "plan" in run("--help").stdout
    assert run("--version").stdout.strip() == "0.1.0"
