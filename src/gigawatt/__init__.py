"""gigawatt plans AI factories from chip to grid to token.

    scenario file -> scenario -> catalog -> engines -> plan -> report

>>> import gigawatt
>>> plan = gigawatt.plan("examples/colossus-100k.yaml")   # doctest: +SKIP
>>> plan.bottlenecks[0].name                              # doctest: +SKIP
'chips'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gigawatt._version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gigawatt.planning import Plan

__all__ = ["__version__", "plan"]


def plan(scenario: str | Path, overrides: Sequence[str] = ()) -> Plan:
    """Return the plan of a scenario file; `overrides` are "path=value" texts, as `--set` on the command line.

    Raises errors.InputError for a scenario that cannot be used, errors.InfeasibleError where no strategy fits.
    """
    from pathlib import Path

    from gigawatt.planning import plan_scenario
    from gigawatt.scenario import load_scenario

    return plan_scenario(load_scenario(Path(scenario), overrides))
