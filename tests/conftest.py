"""Fixtures that several rooms use."""

from __future__ import annotations

from pathlib import Path

import pytest

from gigawatt.catalog import Catalog, load_catalog

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture(scope="session")
def examples() -> Path:
    return ROOT / "examples"


@pytest.fixture(scope="session")
def docs() -> Path:
    return ROOT / "docs"
