"""What a machine can do: time of an operation on an accelerator, time of a collective on a network, size of a
network.
"""

from gigawatt.hardware._chip import (
    Chip,
    KernelEfficiency,
    chip_of,
    critical_batch,
    operation_seconds,
    slowest_chip,
    tile_efficiency,
)
from gigawatt.hardware._collectives import (
    bruck_all_to_all,
    bus_bandwidth,
    double_tree_all_reduce,
    hierarchical_all_reduce,
    in_network_all_reduce,
    pairwise_all_to_all,
    rabenseifner_all_reduce,
    recursive_doubling_all_reduce,
    ring_all_gather,
    ring_all_reduce,
    ring_reduce_scatter,
    torus_all_gather,
)
from gigawatt.hardware._fabric import Collective, Fabric, Tier, WideArea, collective_seconds, fabric_facts, fabric_of
from gigawatt.hardware._kernel_fit import FEWEST, KernelFit, fit_kernels, read_measurements
from gigawatt.hardware._network import NetworkPlan, clos_hosts, clos_switches, multi_plane_hosts, plan_network

__all__ = [
    "FEWEST",
    "Chip",
    "Collective",
    "Fabric",
    "KernelEfficiency",
    "KernelFit",
    "NetworkPlan",
    "Tier",
    "WideArea",
    "bruck_all_to_all",
    "bus_bandwidth",
    "chip_of",
    "clos_hosts",
    "clos_switches",
    "collective_seconds",
    "critical_batch",
    "double_tree_all_reduce",
    "fabric_facts",
    "fabric_of",
    "fit_kernels",
    "hierarchical_all_reduce",
    "in_network_all_reduce",
    "multi_plane_hosts",
    "operation_seconds",
    "pairwise_all_to_all",
    "plan_network",
    "rabenseifner_all_reduce",
    "read_measurements",
    "recursive_doubling_all_reduce",
    "ring_all_gather",
    "ring_all_reduce",
    "ring_reduce_scatter",
    "slowest_chip",
    "tile_efficiency",
    "torus_all_gather",
]
