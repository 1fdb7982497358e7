"""The documentation as a reader uses it: every scenario in it loads and plans, every command line in it runs."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gigawatt.catalog import load_catalog
from gigawatt.cli._app import app
from gigawatt.planning import plan_scenario
from gigawatt.scenario import load_scenario

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *(ROOT / "docs" / name for name in ("tutorial.md", "training.md", "scenario.md"))]
# What takes minutes or needs files of the reader's own; what writes files is run where it may.
LEFT_OUT = ("validate", "calibrate")


def blocks(page, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def scenarios():
    return [
        pytest.param(text, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, text in enumerate(blocks(page, "yaml"))
    ]


def command_lines():
    """Return (page, command line) of the shell blocks and of what stands in backquotes and starts with gigawatt."""
    found = []
    for page in PAGES:
        lines = [line for text in blocks(page, "sh") for line in text.splitlines()]
        prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        lines += re.findall(r"`(gigawatt [^`]*)`", prose)
        for line in lines:
            words = shlex.split(line.replace("sh scripts/gigawatt.sh", "gigawatt"), comments=True)
            placeholder = any(word.isupper() and word.isalpha() for word in words)
            if words[:1] == ["gigawatt"] and len(words) > 1 and words[1] not in LEFT_OUT and not placeholder:
                found.append(
                    pytest.param(page, words[1:], "exit code 1" in line, id=f"{page.stem}: {' '.join(words[1:])}")
                )
    return found


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Return a folder like a fresh checkout, with what the pages tell the reader to write."""
    for name in ("examples", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    tutorial = ROOT / "docs" / "tutorial.md"
    (tmp_path / "mine.yaml").write_text(blocks(tutorial, "yaml")[0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_is_something_to_test():
    assert len(scenarios()) >= 2
    assert len(command_lines()) >= 30


@pytest.mark.parametrize("text", scenarios())
def test_a_scenario_of_the_documentation_plans(text, tmp_path):
    (tmp_path / "mine.yaml").write_text(text)
    plan = plan_scenario(load_scenario(tmp_path / "mine.yaml"))
    assert plan["run.time"] > 0


@pytest.mark.parametrize(("page", "words", "infeasible"), command_lines())
def test_a_command_of_the_documentation_runs(page, words, infeasible, checkout):
    if "args.sh" in words and words[1] == "read":
        before = next(line for text in blocks(page, "sh") for line in text.splitlines() if "--out args.sh" in line)
        assert CliRunner().invoke(app, shlex.split(before)[1:]).exit_code == 0
    result = CliRunner().invoke(app, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == int(infeasible), result.output
    assert result.output.strip()


def test_every_example_can_be_named_after_what_it_asks():
    """A title that repeats the count would be wrong as soon as the count is overridden."""
    for path in sorted((ROOT / "examples").rglob("*.yaml")):
        if path.parent.name != "overlays":
            scenario = load_scenario(path)
            counts = [scenario.fleet.count, *(item.count for item in scenario.fleet.accelerators or ())]
            assert not any(count and f"{count:,}" in scenario.name for count in counts), path


def test_the_number_of_models_that_is_stated():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"one of {len(load_catalog().models)}" in text
