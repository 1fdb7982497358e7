"""Fixtures that several rooms use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from gigawatt.catalog import Catalog, load_catalog

ROOT = Path(__file__).parents[1]
# The same examples in every run; `pytest --hypothesis-profile=default` draws new ones.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture(scope="session")
def examples() -> Path:
    return ROOT / "examples"


@pytest.fixture(scope="session")
def docs() -> Path:
    return ROOT / "docs"


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the page of the study and its JSON twin, from few simulated runs."""
    out = tmp_path_factory.mktemp("study")
    study = ROOT / "examples" / "studies" / "colossus-100k-to-1m" / "study.py"
    command = [sys.executable, str(study), "--out", str(out), "--replicates", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out
