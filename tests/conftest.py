"""Fixtures that several rooms use."""

from __future__ import annotations

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
