"""`gigawatt power` as people and machines call it."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from gigawatt.cli._app import app
from gigawatt.errors import InputError

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = """\
name: small
model: Llama 3 8B
fleet: {accelerator: H100 SXM, count: 256}
training: {global_batch: 256 sequences}
"""


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


def run(*arguments):
    result = CliRunner().invoke(app, ["power", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_terminal_page_and_load_file(small, tmp_path):
    page, load = tmp_path / "page.html", tmp_path / "load.csv"
    out = run(small, "--duration", "60 s", "--no-caps", "--out", page, "--export", load)
    assert max(len(line.rstrip()) for line in out.splitlines() if "wrote" not in line) <= 80
    for words in ("swing within a step", "ramps", "stabilisation", "smallest battery", "who feeds the year", "carbon"):
        assert words in out
    html = page.read_text()
    for words in ("Spectrum of the steps", "Who feeds the year", "What the grid asks"):
        assert words in html
    frame = pd.read_csv(load, comment="#")
    assert len(frame) == 6000


def test_energy_of_the_file_is_that_of_the_report(small, tmp_path):
    load = tmp_path / "load.csv"
    options = ["--duration", "120 s", "--no-caps", "--no-year", "--no-measures", "--json", "--export", load]
    data = json.loads(run(small, *options))
    frame = pd.read_csv(load, comment="#")
    assert frame.power_w.sum() * 0.01 == pytest.approx(data["record"]["energy_j"], rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--duration", "0 s"], ["--duration"]),
        (["--resolution", "1 us"], ["--resolution", "0.001"]),
        (["--resolution", "fast"], ["--resolution"]),
        (["--requirements", "stabilization"], ["stabilisation"]),
        (["--export", "load.txt"], [".csv"]),
        (["--export", "load.csv", "--export-as", "pypza"], ["pypsa"]),
        (["--set", "site.grid_limit=0 MW"], ["site.grid_limit", "at least"]),
        (["--set", "power.battery={power: 1 MW, energy: 1 MWh, round_trip: 0}"], ["round_trip", "above 0"]),
    ],
)
def test_bad_input_is_one_clear_message(small, arguments, words):
    with pytest.raises(InputError) as caught:
        run(small, *arguments)
    for word in words:
        assert word in str(caught.value)


def test_help_is_quick_and_imports_little():
    code = "import sys, gigawatt.cli; print([m for m in ('highspy', 'numba', 'scipy', 'pandas', 'gigawatt.power') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
