import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.catalog import accelerator_from_spec, load_catalog
from gigawatt.errors import InputError
from gigawatt.hardware import (
    bruck_all_to_all,
    bus_bandwidth,
    chip_of,
    clos_hosts,
    clos_switches,
    collective_seconds,
    critical_batch,
    double_tree_all_reduce,
    fabric_of,
    hierarchical_all_reduce,
    in_network_all_reduce,
    multi_plane_hosts,
    operation_seconds,
    pairwise_all_to_all,
    plan_network,
    rabenseifner_all_reduce,
    recursive_doubling_all_reduce,
    ring_all_gather,
    ring_all_reduce,
    slowest_chip,
    tile_efficiency,
    torus_all_gather,
)

CATALOG = load_catalog()
H100 = CATALOG.accelerator("H100")


def test_r07_all_gather_cases():
    assert ring_all_gather(1e9, 34e6, 0.0, 1 / 9e10) == pytest.approx(377e-6, rel=0.03)
    assert torus_all_gather(4, 2 * 1024 * 4096 / 4, 1e-6, 9e10) == pytest.approx(23e-6, rel=0.03)
    assert torus_all_gather(4, 2 * 1024 * 4096, 1e-6, 9e10, axes=2) == pytest.approx(46e-6, rel=0.03)
    assert 2 * torus_all_gather(4, 2 * 1024 * 4096, 1e-6, 9e10) == pytest.approx(190e-6, rel=0.03)


def test_ring_all_reduce_of_one_gib():
    assert ring_all_reduce(8, 2**30, 0.0, 1 / 450e9) == pytest.approx(4.176e-3, rel=1e-3)
    assert ring_all_reduce(8, 0, 1.0, 0.0) == 14


def test_flat_rings_are_impossible_at_scale_and_are_not_chosen():
    assert ring_all_reduce(1e5, 0, 5e-6, 0) == pytest.approx(1.0, rel=1e-3)
    assert ring_all_reduce(1e6, 0, 5e-6, 0) == pytest.approx(10.0, rel=1e-3)
    fabric = fabric_of(H100, 1_000_000)
    assert float(collective_seconds(fabric, "all_reduce", 1e6, 1_000_000, 1)) < 0.01


def test_other_textbook_forms():
    assert recursive_doubling_all_reduce(8, 100.0, 1.0, 0.01) == pytest.approx(3 * (1 + 1))
    assert rabenseifner_all_reduce(8, 8.0, 1.0, 1.0) == pytest.approx(6 + 14)
    assert pairwise_all_to_all(4, 8.0, 1.0, 1.0) == pytest.approx(3 + 6)
    assert bruck_all_to_all(4, 8.0, 1.0, 1.0) == pytest.approx(2 * (1 + 4))
    assert in_network_all_reduce(2, 10.0, 1.0, 1.0) == 14
    assert hierarchical_all_reduce(8, 1, 1e9, 0, 1e-11, 0, 1e-10) == ring_all_reduce(8, 1e9, 0, 1e-11)
    # large messages: a tree moves what a ring moves; small ones: far fewer steps
    assert double_tree_all_reduce(1024, 1e10, 1e-6, 1e-10) == pytest.approx(
        ring_all_reduce(1024, 1e10, 0, 1e-10), rel=0.02
    )
    assert double_tree_all_reduce(1024, 1.0, 1e-6, 1e-10) < 0.02 * ring_all_reduce(1024, 1.0, 1e-6, 1e-10)
    assert bus_bandwidth("all_reduce", 8, 1e9, ring_all_reduce(8, 1e9, 0, 1e-11)) == pytest.approx(1e11)


def test_r09_critical_batch_of_tpu_v5e():
    assert critical_batch(197e12, 8.2e11, 2.0) == pytest.approx(240, rel=0.02)


def test_r22_fat_tree_hosts():
    assert clos_hosts(64, 3) == 65_536
    assert clos_hosts(128, 3) == 524_288
    assert clos_switches(64, 3) == 5 * 64**2 // 4
    assert multi_plane_hosts(64, 8, 2) == 131_072


def test_network_of_published_size():
    plan = plan_network(104_858)
    assert plan.switches_per_endpoint == pytest.approx(CATALOG.fact("network.switches_per_gpu.3tier").best, rel=0.02)
    assert plan_network(1_000_000).planes > 1
    assert plan_network(64).switches == 1
    with pytest.raises(ValueError, match="at least one endpoint"):
        plan_network(0)


def test_wave_quantisation():
    """One tile per processor is a full wave; one more starts a second wave (docs/science.md 2.2)."""
    full = float(tile_efficiency(128 * 132, 256, 1, 132))
    assert full == 1.0
    assert float(tile_efficiency(128 * 132, 256, 3, 132)) == full
    assert float(tile_efficiency(128 * 133, 256, 1, 132)) < 0.8
    assert float(tile_efficiency(1, 1, 1, 132)) < 1e-3


@settings(max_examples=60, deadline=None)
@given(
    m=st.floats(1, 1e5),
    n=st.floats(1, 1e5),
    k=st.floats(1, 1e5),
    dtype=st.sampled_from(["bf16", "fp8"]),
    family=st.sampled_from(["matmul", "grouped_matmul", "attention"]),
)
def test_no_operation_beats_the_roofline(m, n, k, dtype, family):
    chip = chip_of(H100)
    flop, moved = np.float64(2 * m * n * k), np.float64(2 * (m * k + k * n + m * n))
    seconds = float(operation_seconds(chip, family=family, dtype=dtype, flop=flop, bytes_moved=moved))
    assert seconds >= max(flop / chip.peak(dtype), moved / chip.memory_bytes_per_s)
    slower = float(operation_seconds(chip.slower_by(2.0), family=family, dtype=dtype, flop=flop, bytes_moved=moved))
    assert slower == pytest.approx(2 * seconds)


@settings(max_examples=80, deadline=None)
@given(
    size=st.integers(1, 4096),
    stride=st.sampled_from([1, 2, 8, 64]),
    n=st.floats(0, 1e11),
    kind=st.sampled_from(["all_reduce", "all_gather", "reduce_scatter", "all_to_all"]),
    name=st.sampled_from(["H100 SXM", "GB200 (per GPU)", "TPU v5p", "Trainium2", "MI300X"]),
    factor=st.floats(1.0, 4.0),
)
def test_collectives_behave(size, stride, n, kind, name, factor):
    accelerator = CATALOG.accelerator(name)
    count = 4096 * 64
    fabric = fabric_of(accelerator, count)
    seconds = float(collective_seconds(fabric, kind, n, size, stride))
    assert np.isfinite(seconds)
    assert seconds >= 0
    assert (seconds == 0) == (size == 1 or n == 0)
    # never faster than the fastest link could carry what must leave a rank
    least = (size - 1) / size * n / max(tier.bytes_per_s for tier in fabric.tiers)
    assert seconds >= least * (1 - 1e-9)
    assert float(collective_seconds(fabric, kind, n * factor, size, stride)) >= seconds * (1 - 1e-12)
    thin = fabric_of(accelerator, count, oversubscription=factor)
    assert float(collective_seconds(thin, kind, n, size, stride)) >= seconds * (1 - 1e-12)
    wide = fabric_of(accelerator, count, scale_out_bytes_per_s=accelerator.scale_out_bytes_per_s.best * factor)
    assert float(collective_seconds(wide, kind, n, size, stride)) <= seconds * (1 + 1e-12)


def test_columns_are_the_scalars_one_by_one():
    fabric = fabric_of(H100, 100_000)
    sizes = np.array([1, 8, 64, 1000, 12_500])
    together = collective_seconds(fabric, "all_reduce", 1e9, sizes, 8)
    assert [float(collective_seconds(fabric, "all_reduce", 1e9, size, 8)) for size in sizes] == together.tolist()


def test_all_reduce_grows_with_the_ranks():
    fabric = fabric_of(H100, 1_048_576)
    times = collective_seconds(fabric, "all_reduce", 1e8, 2.0 ** np.arange(1, 18), 8)
    assert (np.diff(times) > 0).all()


def test_all_to_all_goes_through_one_port_however_many_tiers_it_crosses():
    fabric = fabric_of(H100, 16_384)
    ranks = 2 ** np.arange(4, 12)
    seconds = collective_seconds(fabric, "all_to_all", 1e9, ranks, 1)
    assert (np.diff(seconds) > 0).all()
    assert (seconds >= (ranks - 8) / ranks * 1e9 / H100.scale_out_bytes_per_s.best).all()


@pytest.mark.parametrize("name", ["TPU v4", "TPU v5e", "TPU v5p", "TPU v6e Trillium"])
def test_all_to_all_on_a_torus_is_no_faster_than_its_bisection(name):
    accelerator = CATALOG.accelerator(name)
    fabric = fabric_of(accelerator, 256)
    torus, sent = fabric.tiers[0], 1e9
    side = 256 ** (1 / torus.axes)
    # half of the ranks send half of what they have across two cuts of a ring in one of the axes
    crossing, cut = 256 / 2 * sent / 2, 2 * 256 / side
    least = crossing / (cut * torus.bytes_per_s / (2 * torus.axes))
    assert float(collective_seconds(fabric, "all_to_all", sent, 256, 1)) >= least


def test_groups_that_do_not_fill_a_domain():
    racks = fabric_of(CATALOG.accelerator("GB200 (per GPU)"), 1024)
    aligned = fabric_of(CATALOG.accelerator("GB200 (per GPU)"), 1024, scale_up_domain=64)
    for size, stride in ((256, 2), (64, 1), (512, 1)):  # 64 of 72 in a rack work together
        seconds = [float(collective_seconds(fabric, "all_gather", 1e9, size, stride)) for fabric in (racks, aligned)]
        assert seconds[0] == pytest.approx(seconds[1])
    nodes = fabric_of(H100, 64)
    nine, eight = (float(collective_seconds(nodes, "all_gather", 1e9, size, 1)) for size in (9, 8))
    assert nine > 1.5 * eight


def test_a_mesh_that_links_every_pair_is_a_switch():
    assert fabric_of(CATALOG.accelerator("MI300X"), 8).tiers[0].kind == "switch"
    dies = accelerator_from_spec({"scale_up": "2 TB/s"}, "test", "fleet", CATALOG.accelerator("Dojo D1"))
    assert fabric_of(dies, 25).tiers[0].kind == "torus"


@pytest.mark.parametrize(("name", "low", "high"), [("MI300X", 0.39, 0.44), ("Gaudi 3", 0.6, 0.77)])
def test_narrow_products_of_chips_measured_in_16_bit(name, low, high):
    """Third parties measured 39-44 % of the fp8 peak on MI300X, at most 77 % on Gaudi 3 (docs/science.md 2)."""
    assert low <= chip_of(CATALOG.accelerator(name)).kernel("matmul", "fp8").compute <= high


def test_a_chip_that_nobody_measured_takes_after_its_vendor():
    measured = [chip_of(CATALOG.accelerator(name)).kernel("matmul", "bf16").compute for name in ("MI300X", "MI355X")]
    assert min(measured) < chip_of(CATALOG.accelerator("MI250X")).kernel("matmul", "bf16").compute < max(measured)


# docs/science.md 4.7: bandwidth that DeepEP measures on H800 (logical, B/s): 8 ranks on NVLink, more over RDMA
@pytest.mark.parametrize(("ranks", "measured"), [(8, 153e9), (32, 58e9), (64, 51e9)])
def test_r12_all_to_all_of_deepep(ranks, measured):
    fabric = fabric_of(CATALOG.accelerator("H800"), ranks)
    sent = 4096 * 8 * 7168 * 1.0  # 4,096 tokens, 8 experts, fp8
    logical = sent / float(collective_seconds(fabric, "all_to_all", sent, ranks, 1))
    assert logical == pytest.approx(measured, rel=0.20)


def test_tiers_follow_the_size():
    assert [tier.name for tier in fabric_of(H100, 8).tiers] == ["scale-up"]
    assert [tier.name for tier in fabric_of(H100, 256).tiers] == ["scale-up", "leaf"]
    assert [tier.name for tier in fabric_of(H100, 100_000).tiers] == ["scale-up", "leaf", "spine", "core"]
    assert fabric_of(CATALOG.accelerator("TPU v5p"), 20_000).tiers[1].name == "data-centre network"
    assert all(
        a.domain < b.domain
        for a, b in zip(fabric_of(H100, 10**6).tiers, fabric_of(H100, 10**6).tiers[1:], strict=False)
    )


def test_what_the_catalogue_lacks_is_named():
    with pytest.raises(InputError, match=r"memory and memory_bandwidth of 'Dojo D1'"):
        chip_of(CATALOG.accelerator("Dojo D1"))
    with pytest.raises(InputError, match="A100 SXM 80GB has no fp8"):
        chip_of(CATALOG.accelerator("A100")).peak("fp8")
    with pytest.raises(InputError, match="scale_out bandwidth"):
        fabric_of(CATALOG.accelerator("Maia 100"), 1000)


def test_measured_and_transferred_chips():
    assert chip_of(H100).calibrated
    assert not chip_of(CATALOG.accelerator("MI300X")).calibrated
    own = accelerator_from_spec({"memory": "96 GB"}, "x", "y", H100)
    assert chip_of(own).kernel("matmul", "bf16") == chip_of(H100).kernel("matmul", "bf16")


def test_slowest_chip_is_slower_than_each():
    both = slowest_chip([chip_of(H100), chip_of(CATALOG.accelerator("H200"))])
    assert both.memory_bytes == 80e9
    assert both.kernel("matmul", "bf16") == chip_of(H100).kernel("matmul", "bf16")
    assert both.calibrated
    with pytest.raises(ValueError, match="no chips"):
        slowest_chip([])
