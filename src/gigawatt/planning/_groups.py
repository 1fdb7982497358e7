"""The accelerators of a scenario: looked up, specified inline, or the default; and what a mixed fleet amounts to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gigawatt.catalog import (
    Accelerator,
    Catalog,
    accelerator_from_spec,
)
from gigawatt.errors import InputError, Problem
from gigawatt.hardware import chip_of, fabric_of
from gigawatt.model import Precision
from gigawatt.power import chip_power
from gigawatt.reliability import GENERATIONS, Layout
from gigawatt.scenario import AcceleratorItem, Scenario

DEFAULT_ACCELERATOR = "H100 SXM"
DEFAULT_COUNT = 1024
DEFAULT_POLICY = "restart"
# Beyond this the catalogue's "server" is a rack or a pod, in which single trays are replaced.
LARGEST_SERVER = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Accelerators of one kind; `count` None means as many as the limits allow."""

    accelerator: Accelerator
    count: int | None


def generation_of(accelerator: str) -> str:
    """Return whose failure rates hold for an accelerator of the catalogue: the longest generation that its name begins
    with, else "generic".
    """
    first = accelerator.replace("-", " ").split()[:1]
    return max((key for key in GENERATIONS if first == [key]), key=len, default="generic")


def generation_of_fleet(groups: Sequence[Group]) -> str:
    """Return whose failure rates hold for a fleet: "generic" where its kinds have different ones."""
    found = [generation_of(group.accelerator.name) for group in groups]
    return found[0] if len({GENERATIONS[name] for name in found}) == 1 else "generic"


def weights_of(groups: Sequence[Group]) -> list[float]:
    """Return the share of each kind in the accelerators; equal ones where a count is open."""
    counts = [group.count or 0 for group in groups]
    total = sum(counts)
    return [count / total for count in counts] if total else [1.0 / len(counts)] * len(counts)


def fleet_watts(groups: Sequence[Group], phase: str, end: str, cap_w: float | None) -> float:
    """Return what an accelerator of a fleet draws in a phase, W: the mean over its kinds, none above the cap.

    Raises InputError where the power limit of a kind is not known.
    """
    total = 0.0
    for group, weight in zip(groups, weights_of(groups), strict=True):
        limit = group.accelerator.tdp_w
        if limit is None:
            raise InputError(Problem(message=f"the power limit of {group.accelerator.name} is not known", path="fleet"))
        watts = chip_power(group.accelerator.name, limit.best).watts(phase, end)
        total += weight * (watts if cap_w is None else min(watts, cap_w))
    return total


def server_of(groups: Sequence[Group]) -> int:
    """Return the accelerators that come together: those of a server (of the largest, in a mixed fleet)."""
    return max(group.accelerator.server_chips or 1 for group in groups)


def layout_of(groups: Sequence[Group], reference: Accelerator, tray: float) -> Layout:
    """Return what fails as one: a server, or the tray of a rack (`tray` accelerators), whose rack is its scale-up domain."""
    server = server_of(groups)
    each = server if server <= LARGEST_SERVER else int(tray)
    domain = reference.scale_up_domain or each
    usual = Layout(accelerators_per_node=each)
    return replace(usual, nodes_per_rack=max(domain // each, 1)) if domain > LARGEST_SERVER else usual


def groups_of(scenario: Scenario, catalog: Catalog, sized: bool = True) -> tuple[Group, ...]:
    """Return the kinds of accelerators of a scenario; without `sized` their count may be left open.

    Raises InputError for names that the catalogue does not have, or where nothing says how many there are.
    """
    fleet = scenario.fleet
    items: list[tuple[AcceleratorItem, str]]
    if fleet.accelerators is not None:
        items = [(item, f"fleet.accelerators.{i}.accelerator") for i, item in enumerate(fleet.accelerators)]
    else:
        limited = scenario.site.grid_limit is not None or scenario.finance.budget is not None
        count = fleet.count or (None if limited else DEFAULT_COUNT if fleet.accelerator is None else None)
        if count is None and not limited and sized:
            raise InputError(
                Problem(
                    message="how many accelerators?",
                    location=scenario.place("fleet"),
                    path="fleet.count",
                    allowed="a count, or site.grid_limit or finance.budget to size the fleet from",
                )
            )
        items = [
            (
                AcceleratorItem.model_construct(accelerator=fleet.accelerator or DEFAULT_ACCELERATOR, count=count),
                "fleet.accelerator",
            )
        ]
    problems: list[Problem] = []
    groups = []
    for item, path in items:
        place = scenario.place(path)
        try:
            if isinstance(item.accelerator, str):
                accelerator = catalog.accelerator(item.accelerator, place, path)
            else:
                spec = item.accelerator
                base = catalog.accelerator(str(spec["base"]), place, f"{path}.base") if "base" in spec else None
                accelerator = accelerator_from_spec(spec, place, path, base)
        except InputError as error:
            problems += error.problems
            continue
        groups.append(Group(accelerator=accelerator, count=item.count))
    names = [group.accelerator.name for group in groups]
    problems += [
        Problem(
            message="this accelerator is listed twice",
            location=scenario.place(items[i][1]),
            path=items[i][1],
            found=repr(name),
        )
        for i, name in enumerate(names)
        if name in names[:i]
    ]
    if problems:
        raise InputError(problems)
    return tuple(groups)


def slowest(accelerators: Sequence[Accelerator]) -> Accelerator:
    """Return the accelerator that a synchronous job of mixed kinds sees: the smallest of every number
    (docs/science.md 7.3).
    """
    if len(accelerators) == 1:
        return accelerators[0]
    first = accelerators[0]
    result = replace(first, name="slowest of " + " and ".join(a.name for a in accelerators))
    for path, number in first.numbers().items():
        others = [a.numbers().get(path) for a in accelerators]
        known = [other for other in others if other is not None]
        if len(known) == len(others):
            result = result.with_number(path, min(known, key=lambda sourced: sourced.best))
        elif path.startswith("flop_per_s"):
            rates = {dtype: rate for dtype, rate in result.flop_per_s.items() if f"flop_per_s.{dtype}" != path}
            result = replace(result, flop_per_s=rates)
        del number
    domains = [a.scale_up_domain for a in accelerators if a.scale_up_domain]
    return replace(result, scale_up_domain=min(domains) if domains else None)


def hardware_problems(
    scenario: Scenario, groups: Sequence[Group], precision: Precision, whole_plan: bool = True
) -> list[Problem]:
    """Return what the catalogue does not know about the accelerators but a plan needs, with the place in the scenario;
    without `whole_plan` power and price are not needed.
    """
    problems: list[Problem] = []
    for index, group in enumerate(groups):
        path = f"fleet.accelerators.{index}" if scenario.fleet.accelerators is not None else "fleet.accelerator"
        accelerator, place = group.accelerator, scenario.place(path)
        try:
            chip_of(accelerator).peak(precision.linear)
            fabric_of(
                accelerator, max(group.count or DEFAULT_COUNT, 2), scale_out_bytes_per_s=scenario.network.scale_out
            )
        except InputError as error:
            problems += [replace(problem, location=place, path=path) for problem in error.problems]
        if whole_plan and accelerator.tdp_w is None:
            problems.append(
                Problem(
                    message=f"the catalogue does not know the power limit of {accelerator.name!r}",
                    location=place,
                    path=path,
                    allowed=f"give it inline, for example {{base: {accelerator.name}, tdp: 500 W}}",
                )
            )
        if whole_plan and accelerator.price_usd is None and scenario.finance.accelerator_price is None:
            problems.append(
                Problem(
                    message=f"the catalogue does not know a price of {accelerator.name!r}",
                    location=place,
                    path=path,
                    allowed="give finance.accelerator_price, for example $30,000",
                )
            )
    return problems
