"""The scale-out network in a source's own words, read as a rate per accelerator: "4x 100 Gb/s RoCE per node".

Parts between commas and semicolons are read one by one; those about storage, management, links inside a node or a torus
are left out. A rate counts per accelerator unless the text says per node or gives a number of ports ("8x").
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# Line rates that InfiniBand generations stand for, Gb/s.
GENERATIONS: Mapping[str, float] = {
    "EDR": 100.0,
    "HDR100": 100.0,
    "HDR": 200.0,
    "NDR200": 200.0,
    "NDR": 400.0,
    "XDR": 800.0,
}
_OTHER = re.compile(
    r"storage|management|nvlink|nvswitch|pcie|xgmi|infinity fabric|ici\b|memory|hbm|in node|intra|aggregat|data bandwidth",
    re.I,
)
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*(T|G)(b|B)(?:it)?(?:\s*/\s*s(?:ec)?|ps)", re.I)
_PORTS = re.compile(r"(\d+)\s*[x×]\s", re.I)
_PER_NODE = re.compile(r"per (?:node|server|host)|node-node|/node", re.I)
_PER_ACCELERATOR = re.compile(r"per (?:gpu|accelerator|chip|device|gcd)|/gpu", re.I)


def scale_out_gbps(text: str, per_node: float | None) -> float | None:
    """Return Gb/s per accelerator and direction that a text states, None where it states none. `per_node`
    accelerators share what it states per node.
    """
    found = []
    for part in re.split(r"[;,]", text):
        rate = _port_rate(part) if not _OTHER.search(part) else None
        if rate is None:
            continue
        ports = _PORTS.search(part)
        shared = ports is not None or _PER_NODE.search(part) is not None
        if shared and not _PER_ACCELERATOR.search(part):
            if not per_node:
                continue
            rate = rate * (int(ports[1]) if ports else 1) / per_node
        found.append(rate)
    return max(found, default=None)


def _port_rate(part: str) -> float | None:
    """Return the rate that a part of the text states, Gb/s; bytes count eight bits each."""
    stated = _RATE.search(part)
    if stated is not None:
        return float(stated[1]) * (1000.0 if stated[2] in "Tt" else 1.0) * (8.0 if stated[3] == "B" else 1.0)
    names = sorted(GENERATIONS, key=len, reverse=True)
    return next((GENERATIONS[name] for name in names if re.search(rf"\b{name}\b", part)), None)
