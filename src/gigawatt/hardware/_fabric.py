"""Networks in tiers, from the scale-up domain to wide-area links, and the time of collectives across them.

Ranks are numbered so that neighbours share the innermost tier. A group is `size` ranks that are `stride` apart; it has
min(size, domain / stride) ranks inside one instance of a tier. Bandwidths are per accelerator and one way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gigawatt.catalog import Accelerator
from gigawatt.catalog import sourced_table as _table
from gigawatt.errors import InputError, Problem
from gigawatt.evidence import Sourced
from gigawatt.hardware._collectives import (
    double_tree_all_reduce,
    in_network_all_reduce,
    ring_all_gather,
    ring_all_reduce,
)
from gigawatt.hardware._network import clos_hosts

Array = NDArray[np.float64]
Kind = Literal["switch", "torus", "wide_area"]
Collective = Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """One level of a network: `domain` accelerators are inside one instance of it.

    `bytes_per_s` is the line rate per accelerator and direction, `efficiency` the share that large messages reach,
    `oversubscription` how much less leaves an instance than its accelerators could send. A torus has `axes`
    dimensions whose links share `bytes_per_s`.
    """

    name: str
    domain: int
    bytes_per_s: float
    latency_s: float
    kind: Kind = "switch"
    efficiency: float = 1.0
    oversubscription: float = 1.0
    in_network_reduction: bool = False
    axes: int = 1

    @property
    def beta(self) -> float:
        """Seconds per byte of one accelerator through this tier."""
        return self.oversubscription / (self.bytes_per_s * self.efficiency)


@dataclass(frozen=True, slots=True, kw_only=True)
class WideArea:
    """Sites that train together: how many, the bandwidth of one site towards the others (one way), and the length of
    the fibre between neighbours.
    """

    sites: int
    bytes_per_s: float
    distance_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fabric:
    """The tiers of a network, inner to outer; the last one holds every accelerator. `inputs` are its sourced
    numbers.
    """

    tiers: tuple[Tier, ...]
    inputs: Mapping[str, Sourced]

    def tier_of(self, size: object, stride: object) -> NDArray[np.int64]:
        """Return the index of the smallest tier that holds a group, (C,)."""
        span = np.asarray(size) * np.asarray(stride)
        domains = np.array([tier.domain for tier in self.tiers[:-1]])
        return np.asarray(np.searchsorted(domains, span), dtype=np.int64)


@lru_cache(maxsize=1)
def fabric_facts() -> Mapping[str, Sourced]:
    """Return the packaged efficiencies and latencies of networks by key."""
    return _table("gigawatt.hardware", "data/fabrics.csv")


def fabric_of(
    accelerator: Accelerator,
    accelerators: int,
    *,
    scale_up_domain: int | None = None,
    scale_out_bytes_per_s: float | None = None,
    oversubscription: float = 1.0,
    in_network_reduction: bool = False,
    wide_area: WideArea | None = None,
) -> Fabric:
    """Return the network of `accelerators` equal accelerators: scale-up domain, leaf, spine, core, as far as the size
    needs them; with `wide_area` that much at every site, and links between the sites.

    Domains of the switched tiers follow a rail-optimised folded Clos of radix 64 with one port per accelerator, radix
    128 beyond 65,536. `oversubscription` applies above the leaf. Raises InputError where the accelerator's bandwidths
    are not known.
    """
    if wide_area is not None and wide_area.sites > 1:
        local = -(-accelerators // wide_area.sites)
        site = fabric_of(
            accelerator,
            local,
            scale_up_domain=scale_up_domain,
            scale_out_bytes_per_s=scale_out_bytes_per_s,
            oversubscription=oversubscription,
            in_network_reduction=in_network_reduction,
        )
        return _between_sites(site, accelerators, local, wide_area)
    facts = fabric_facts()
    used: dict[str, Sourced] = {}

    def fact(key: str) -> float:
        used[f"network.{key}"] = facts[key]
        return facts[key].best

    domain = max(1, min(scale_up_domain or accelerator.scale_up_domain or 1, accelerators))
    out_rate = scale_out_bytes_per_s or _best(accelerator.scale_out_bytes_per_s)
    tiers: list[Tier] = []
    if domain > 1:
        up_rate = _best(accelerator.scale_up_bytes_per_s)
        if up_rate is None:
            raise _unknown(accelerator, "scale_up", "450 GB/s")
        link = accelerator.scale_up_link  # a mesh that links every pair works as a switch does
        torus = "torus" in link or ("mesh" in link and "xGMI" not in link)
        key = "scale_up_efficiency.torus" if torus else _slowest_key(accelerator.name, facts)
        tiers.append(
            Tier(
                name="scale-up",
                domain=domain,
                bytes_per_s=up_rate,
                kind="torus" if torus else "switch",
                efficiency=fact(key),
                latency_s=fact("torus_latency_s" if torus else "scale_up_latency_s"),
                axes=3 if "3D" in link else 2 if torus else 1,
                in_network_reduction=in_network_reduction and not torus,
            )
        )
    if domain < accelerators:
        if out_rate is None:
            raise _unknown(accelerator, "scale_out", "400 Gb/s")
        share = fact("scale_out_efficiency")
        # pods of a large torus are joined by the data-centre network, not by a leaf-spine fabric
        slices = domain >= 256 and bool(tiers) and tiers[0].kind == "torus"
        for name, size, latency_key, over in _clos_tiers(accelerator, domain, accelerators, slices, oversubscription):
            tiers.append(
                Tier(
                    name=name,
                    domain=size,
                    bytes_per_s=out_rate,
                    efficiency=share,
                    latency_s=fact(latency_key),
                    oversubscription=over,
                    in_network_reduction=in_network_reduction and not slices,
                )
            )
    if not tiers:
        tiers.append(Tier(name="one accelerator", domain=1, bytes_per_s=math.inf, latency_s=0.0))
    return Fabric(tiers=tuple(tiers), inputs=used)


def _between_sites(site: Fabric, accelerators: int, local: int, wide_area: WideArea) -> Fabric:
    """Return the network of a site with the links between sites above it: a site's link is shared by its
    accelerators, a message takes the propagation along the fibre (docs/science.md 10.5).
    """
    fibre, share = fabric_facts()["fibre_s_per_m"], fabric_facts()["scale_out_efficiency"]
    tier = Tier(
        name="between sites",
        domain=accelerators,
        bytes_per_s=wide_area.bytes_per_s / local,
        efficiency=share.best,
        latency_s=wide_area.distance_m * fibre.best,
        kind="wide_area",
    )
    used = {**site.inputs, "network.fibre_s_per_m": fibre, "network.scale_out_efficiency": share}
    return Fabric(tiers=(*site.tiers, tier), inputs=used)


def _slowest_key(name: str, facts: Mapping[str, Sourced]) -> str:
    """Return the key of a scale-up efficiency; for "slowest of A and B" that of the less efficient kind."""
    keys = [f"scale_up_efficiency.{kind}" for kind in name.removeprefix("slowest of ").split(" and ")]
    known = [key if key in facts else "scale_up_efficiency.*" for key in keys]
    return min(known, key=lambda key: facts[key].best)


def _clos_tiers(
    accelerator: Accelerator, domain: int, accelerators: int, slices: bool, oversubscription: float
) -> list[tuple[str, int, str, float]]:
    if slices:
        return [("data-centre network", accelerators, "data_centre_network_latency_s", oversubscription)]
    node = accelerator.server_chips or 8
    leaf = max(domain, 32 * min(node, domain))
    radix = 64 if accelerators <= clos_hosts(64, 3) else 128
    sizes = [
        ("leaf", leaf, "leaf_latency_s", 1.0),
        ("spine", clos_hosts(radix, 2), "spine_latency_s", oversubscription),
    ]
    chosen = [tier for tier in sizes if domain < tier[1] < accelerators]
    last = "leaf" if accelerators <= leaf else "spine" if accelerators <= sizes[1][1] else "core"
    over = 1.0 if last == "leaf" else oversubscription
    return [*chosen, (last, accelerators, f"{last}_latency_s", over)]


def _best(value: Sourced | None) -> float | None:
    return None if value is None else value.best


def _unknown(accelerator: Accelerator, name: str, example: str) -> InputError:
    return InputError(
        Problem(
            message=f"the catalogue does not know the {name} bandwidth of {accelerator.name!r}",
            path="fleet.accelerators",
            allowed=f"give it inline, for example {{base: {accelerator.name}, {name}: {example}}}"
            + (", or network.scale_out" if name == "scale_out" else ""),
        )
    )


def collective_seconds(
    fabric: Fabric, collective: Collective, size_bytes: object, size: object, stride: object, far_share: object = 1.0
) -> Array:
    """Return the time of a collective of groups of `size` ranks `stride` apart, seconds (C,).

    `size_bytes` (C,) is the FULL buffer for all_reduce, all_gather and reduce_scatter, what one rank sends in total
    for all_to_all (of which `far_share` (C,) of what leaves the innermost tier really does, 1 unless copies for the same
    instance travel once), and the message for send (between ranks `stride` apart; `size` is not used). Groups across tiers
    work hierarchically: reduce-scatter and all-gather inside, shards across. On each tier the faster of ring and
    pipelined double tree (or in-network reduction) is taken, so latency grows with log(p) at large p.
    """
    n, p, s = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in (size_bytes, size, stride)))
    if collective == "all_to_all":
        return _all_to_all(fabric, n, p, s, np.asarray(far_share, dtype=np.float64))
    return _COLLECTIVES[collective](fabric, n, p, s)


def _members(fabric: Fabric, size: Array, stride: Array) -> list[Array]:
    """Return how many ranks of a group are inside one instance of each tier, inner to outer."""
    inside: list[Array] = []
    for index, tier in enumerate(fabric.tiers):
        last = index == len(fabric.tiers) - 1
        fit = np.clip(np.floor(tier.domain / stride), 1.0, size)
        inside.append(size if last else _even_parts(size, fit))
    return inside


def _even_parts(size: Array, fit: Array) -> Array:
    """Return the most ranks, at most `fit`, that every instance of a tier can hold alike: a divisor of `size` where it
    does not fill one instance (jobs on racks of 72 use 64 of them).
    """
    uneven = np.asarray(size % fit != 0)
    if not uneven.any():
        return fit
    size, fit = np.atleast_1d(size), np.array(fit, ndmin=1)
    shape, uneven = uneven.shape, np.atleast_1d(uneven)
    keys, inverse = np.unique((size[uneven] * LARGEST_DOMAIN + fit[uneven]).astype(np.int64), return_inverse=True)
    parts = [_largest_divisor(*divmod(key, LARGEST_DOMAIN)) for key in keys.tolist()]
    fit[uneven] = np.array(parts, dtype=np.float64)[inverse]
    return fit.reshape(shape)


# Above every domain, so that a size and a domain make one key.
LARGEST_DOMAIN = 2**24


@lru_cache(maxsize=65536)
def _largest_divisor(number: int, most: int) -> int:
    return next(part for part in range(most, 0, -1) if number % part == 0)


def _levels(fabric: Fabric, size: Array, stride: Array) -> list[tuple[Tier, Array, Array]]:
    """Return (tier, ranks that meet on it, ranks already joined below it) per tier."""
    levels, below = [], np.ones_like(size)
    for tier, inside in zip(fabric.tiers, _members(fabric, size, stride), strict=True):
        levels.append((tier, inside / below, below))
        below = inside
    return levels


def _all_reduce(fabric: Fabric, n: Array, size: Array, stride: Array) -> Array:
    total = np.zeros_like(n)
    for tier, ranks, below in _levels(fabric, size, stride):
        shard = n / below
        if tier.kind == "torus":
            time = 2.0 * _torus_gather(tier, ranks, shard)
        else:
            ring = ring_all_reduce(ranks, shard, tier.latency_s, tier.beta)
            time = np.minimum(ring, double_tree_all_reduce(ranks, shard, tier.latency_s, tier.beta))
            if tier.in_network_reduction:
                time = np.minimum(time, in_network_all_reduce(1.0, shard, tier.latency_s, tier.beta))
        total += np.where((ranks > 1) & (n > 0), time, 0.0)
    return total


def _all_gather(fabric: Fabric, n: Array, size: Array, stride: Array) -> Array:
    total = np.zeros_like(n)
    for tier, ranks, below in _levels(fabric, size, stride):
        shard = n / below
        if tier.kind == "torus":
            time = _torus_gather(tier, ranks, shard)
        else:  # ring, or recursive doubling where messages are small: the same bytes in log2(p) messages
            steps = np.minimum(ranks - 1, np.ceil(np.log2(np.maximum(ranks, 1.0))))
            time = np.minimum(
                ring_all_gather(ranks, shard, tier.latency_s, tier.beta),
                steps * tier.latency_s + (ranks - 1) / ranks * shard * tier.beta * RECURSIVE_DOUBLING_PENALTY,
            )
        total += np.where((ranks > 1) & (n > 0), time, 0.0)
    return total


# Halving and doubling sends large messages across the far tier at once; rings keep to neighbours. Few per cent in practice.
RECURSIVE_DOUBLING_PENALTY = 1.1


def _torus_axes(tier: Tier, ranks: Array) -> tuple[Array, Array]:
    """Return how many axes a group on a torus spans and its ranks per axis."""
    side = tier.domain ** (1.0 / tier.axes)
    axes = np.clip(np.ceil(np.log(np.maximum(ranks, 1.0)) / math.log(max(side, 2.0)) - 1e-9), 1.0, tier.axes)
    return axes, ranks ** (1.0 / axes)


def _torus_gather(tier: Tier, ranks: Array, n: Array) -> Array:
    axes, side = _torus_axes(tier, ranks)
    rate = tier.bytes_per_s * tier.efficiency * axes / tier.axes
    return np.asarray(np.maximum(tier.latency_s * side * axes / 2, (ranks - 1) / ranks * n / rate))


def _all_to_all(fabric: Fabric, n: Array, size: Array, stride: Array, far_share: Array) -> Array:
    """Each rank sends n/p to every rank; scale-up and scale-out work at the same time, so the slower sets the pace.

    What leaves an instance of the innermost tier goes through the same port, however many tiers it crosses.
    """
    slowest, latency, before = np.zeros_like(n), np.zeros_like(n), np.ones_like(size)
    for level, (tier, inside) in enumerate(zip(fabric.tiers, _members(fabric, size, stride), strict=True)):
        if tier.kind == "torus":  # a byte crosses a quarter of the ring of every axis on average, in both directions
            _, side = _torus_axes(tier, inside)
            moving = n * (inside / size) * (side / 4) * tier.axes * tier.beta
        else:
            leaving = (size - before) / size * far_share if level else (inside - before) / size
            moving = n * np.where(inside > before, leaving, 0.0) * tier.beta
        slowest = np.maximum(slowest, moving)
        latency = np.where(inside > before, tier.latency_s * np.ceil(np.log2(np.maximum(size, 2.0))), latency)
        before = inside
    return np.asarray(np.where((size > 1) & (n > 0), slowest + latency, 0.0))


def _send(fabric: Fabric, n: Array, size: Array, stride: Array) -> Array:
    del size
    index = fabric.tier_of(np.full_like(stride, 1.0), stride + 1)  # the two ends are stride apart
    latency = np.array([tier.latency_s for tier in fabric.tiers])[index]
    beta = np.array([tier.beta for tier in fabric.tiers])[index]
    return np.asarray(np.where(n > 0, latency + n * beta, 0.0))


_COLLECTIVES: Mapping[Collective, Callable[[Fabric, Array, Array, Array], Array]] = {
    "all_reduce": _all_reduce,
    "all_gather": _all_gather,
    "reduce_scatter": _all_gather,
    "send": _send,
}
