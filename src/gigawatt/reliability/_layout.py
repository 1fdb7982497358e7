"""How accelerators hang together in what fails as one: node, rail, rack and feed (data/layout.csv)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial

from gigawatt.evidence import Sourced
from gigawatt.reliability._tables import by_key


@cache
def layout_values() -> Mapping[str, Sourced]:
    """Return the packaged counts: an air-cooled server of 8 and what it hangs on, as in the published fleets."""
    return by_key("layout.csv")


def usual(name: str) -> int:
    """Return one packaged count."""
    return int(layout_values()[name].best)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How many accelerators make a node, nodes a rack, nodes a rail and racks a feed."""

    accelerators_per_node: int = field(default_factory=partial(usual, "accelerators_per_node"))
    nodes_per_rack: int = field(default_factory=partial(usual, "nodes_per_rack"))
    nodes_per_rail: int = field(default_factory=partial(usual, "nodes_per_rail"))
    racks_per_feed: int = field(default_factory=partial(usual, "racks_per_feed"))

    def per_accelerator(self, unit: str) -> float:
        """Return the units (node, rail_switch, rack, feed) of a large fleet that come to one accelerator."""
        rack = self.accelerators_per_node * self.nodes_per_rack
        accelerators = {
            "accelerator": 1,
            "node": self.accelerators_per_node,
            "rail_switch": self.nodes_per_rail,  # a node has a port in one rail per accelerator
            "rack": rack,
            "feed": rack * self.racks_per_feed,
        }
        return 1.0 / accelerators[unit]
