import json
from dataclasses import replace

import numpy as np
import pytest

from gigawatt.power import Candidate, GeneratorGroup, GridConnection, SiteYear, dispatch, size

MW, MWH = 1e6, 3.6e9


def test_the_worked_value_of_the_docstring():
    group = GeneratorGroup(name="gas", units=1, unit_w=MW, heat_rate=2.0, fuel_usd_per_j=25 / MWH)
    site = SiteYear(
        load_w=np.full(8760, 100 * MW), grid=GridConnection(limit_w=0.0, price_usd_per_j=0.0), generators=(group,)
    )
    result = size(site, [Candidate(name="gas", usd_per_unit=100_000 / MW, high=1000 * MW)])
    assert result.sizes["gas"] == pytest.approx(100 * MW)
    assert result.usd.value == pytest.approx(53.8e6)
    assert result.gap < 1e-6


def test_the_year_of_performance_md(workloads):
    optimum = 123_312_165.61
    result = size(workloads.d1(), workloads.d2_candidates())
    assert result.lower_bound_usd <= optimum * (1 + 1e-9)
    assert optimum * (1 - 1e-9) <= result.usd.value <= optimum * 1.001
    assert result.gap <= 1e-3
    assert result.sizes["group 1"] == pytest.approx(151.4 * MW, rel=0.01)
    assert result.sizes["solar"] == pytest.approx(352.5 * MW, rel=0.02)
    assert max(result.sizes[name] for name in ("group 0", "group 2", "group 3")) < 0.1 * MW
    assert result.status.startswith("within 0.0")


@pytest.mark.parametrize("charged", [False, True])
@pytest.mark.parametrize("cyclic", [False, True])
def test_no_capacities_cost_less_than_the_bound(workloads, charged, cyclic):
    site = workloads.d1(24 * 35)
    battery = replace(site.battery, cyclic=cyclic, initial_j=0.0 if cyclic else 10 * MWH)
    grid = replace(site.grid, demand_usd_per_w=9000 / MW if charged else 0.0)
    site = replace(site, battery=battery, grid=grid)
    share = 35 / 365
    candidates = [replace(c, usd_per_unit=c.usd_per_unit * share, low=0.0) for c in workloads.d2_candidates()]
    candidates = [c for c in candidates if c.name in ("group 1", "battery_w", "solar")]
    result = size(site, candidates, tolerance=1e-4)
    assert result.gap <= 1e-4
    again = dispatch(result.site).cost_usd + sum(c.usd_per_unit * result.sizes[c.name] for c in candidates)
    assert result.usd.value == pytest.approx(again, rel=1e-9)
    rng = np.random.default_rng(1)
    for _ in range(4):
        near = {c.name: result.sizes[c.name] * rng.uniform(0.8, 1.2) + rng.uniform(0, 5e6) for c in candidates}
        group = replace(site.generators[1], unit_w=near["group 1"] / 3)
        other = replace(
            site,
            generators=(site.generators[0], group, *site.generators[2:]),
            battery=replace(battery, charge_w=near["battery_w"], discharge_w=near["battery_w"]),
            renewables=tuple(
                replace(r, available_w=r.available_w * near["solar"] / r.capacity_w, capacity_w=near["solar"])
                for r in site.renewables
            ),
        )
        total = dispatch(other).cost_usd + sum(c.usd_per_unit * near[c.name] for c in candidates)
        assert total >= result.lower_bound_usd * (1 - 1e-9)


def test_a_connection_can_be_sized(workloads):
    site = workloads.d1(24 * 7)
    free = size(site, [Candidate(name="grid", usd_per_unit=0.0, high=400 * MW)], tolerance=1e-5)
    dear = size(site, [Candidate(name="grid", usd_per_unit=1e9 / MW, high=400 * MW)], tolerance=1e-5)
    assert free.sizes["grid"] > 150 * MW > 1 * MW > dear.sizes["grid"]
    json.dumps(free.to_dict())


def test_wrong_candidates(workloads):
    site = workloads.d1(24)
    with pytest.raises(ValueError, match="one or more of grid, group 0"):
        size(site, [Candidate(name="wind", usd_per_unit=1.0, high=1.0)])
    with pytest.raises(ValueError, match="each once"):
        size(site, [Candidate(name="grid", usd_per_unit=1.0, high=1.0)] * 2)
    with pytest.raises(ValueError, match="0 <= low <= high"):
        Candidate(name="grid", usd_per_unit=1.0, low=2.0, high=1.0)
    with pytest.raises(ValueError, match="needs a capacity above zero"):
        size(
            replace(site, battery=replace(site.battery, energy_j=0.0)),
            [Candidate(name="battery_j", usd_per_unit=1.0, high=1.0)],
        )
