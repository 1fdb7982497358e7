"""The workloads of benchmarks/power_dispatch.py, so that tests and figures speak of the same year."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def workloads() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "power_dispatch.py"
    spec = spec_from_file_location("power_dispatch", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
