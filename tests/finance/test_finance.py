import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatt.catalog import load_catalog
from gigawatt.finance import (
    ASSUMPTIONS,
    Purchase,
    assess,
    capital_per_accelerator,
    capital_recovery_factor,
    levelised_cost,
    levelised_cost_of_compute,
    net_present_value,
)
from gigawatt.planning._assumptions import FACTS

VALUES = {path: load_catalog().fact(FACTS.get(path, path)).best for path in ASSUMPTIONS}


def run(**changes):
    arguments = {
        "purchases": [Purchase(name="H100 SXM", count=1000, price_usd=26_000.0)],
        "switches_per_accelerator": 0.05,
        "it_peak_w": 1.1e6,
        "energy_j": 1e13,
        "energy_usd_per_joule": 0.07 / 3.6e6,
        "run_s": 30 * 86400.0,
        "accelerators_used": 960,
        "goodput": 0.9,
        "tokens": 1e12,
        "values": VALUES,
    }
    return assess(**(arguments | changes))


def test_r35_capital_recovery_and_cost_of_compute():
    assert capital_recovery_factor(0.10, 5) == pytest.approx(0.26380, abs=5e-6)
    assert capital_recovery_factor(0.08, 20) == pytest.approx(0.10185, abs=5e-6)
    assert capital_recovery_factor(0.0, 4) == 0.25
    cost = levelised_cost_of_compute(
        capex_usd=52_000,
        rate=0.10,
        years=5,
        maintenance_per_year=0.03,
        power_w=1400,
        pue=1.2,
        load=0.9,
        energy_usd_per_joule=0.08 / 3.6e6,
        useful_fraction=0.8,
    )
    assert cost == pytest.approx(2.331, rel=1e-3)


def test_present_values():
    assert net_present_value(0.1, [-100, 110]) == pytest.approx(0)
    assert levelised_cost(0.0, [10, 10], [2, 3]) == 4


def test_server_prices_are_not_counted_twice():
    """Accelerator plus the rest of the server is what an 8-accelerator server of 2024 costs."""
    catalog = load_catalog()
    server = catalog.fact("server.hgx_h100_8gpu.price")
    whole = 8 * (catalog.fact("gpu_price.H100", "2024").best + VALUES["finance.server_parts_usd"])
    assert server.low <= whole <= server.high
    rack = 72 * (catalog.fact("gpu_price.GB200", "2025").best + VALUES["finance.server_parts_usd"])
    assert catalog.fact("rack.gb200_nvl72.price").low <= rack <= catalog.fact("rack.gb200_nvl72.price").high


@given(scale=st.floats(1.01, 10))
def test_costs_scale(scale):
    base = run()
    assert run(run_s=30 * 86400.0 * scale, energy_j=1e13 * scale).run_cost.value == pytest.approx(
        base.run_cost.value * scale
    )
    assert run(energy_usd_per_joule=0.07 / 3.6e6 * scale).run_cost.value > base.run_cost.value
    assert run(energy_j=1e13 * scale).capex.value == base.capex.value
    assert (
        run(goodput=0.9 / scale).outputs["finance.cost_per_useful_accelerator_hour"].value
        > base.outputs["finance.cost_per_useful_accelerator_hour"].value
    )


def test_capital_is_the_sum_of_what_one_costs():
    each = capital_per_accelerator(26_000.0, 0.05, 1100.0, VALUES)
    assert run().capex.value == pytest.approx(1000 * each)


def test_staff_can_be_given():
    result = run(staff_usd_per_s=1.0)
    staff = next(child for child in result.run_cost.children if child.label.startswith("staff"))
    assert staff.value == 30 * 86400.0
