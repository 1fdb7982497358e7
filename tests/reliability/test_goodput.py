"""The closed form and the event simulation hold each other; both hold what was published."""

import json
import math
import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.reliability import (
    CATEGORIES,
    COMPONENTS,
    GENERATIONS,
    RECOVERY_POLICIES,
    CheckpointTiers,
    FailureProcess,
    PlannedStop,
    RecoveryPolicy,
    ReliabilityJob,
    closed_shares,
    default_operations,
    default_tiers,
    exact_efficiency,
    exact_interval,
    fleet_processes,
    goodput,
    goodput_columns,
    mean_beyond,
    out_above,
    poisson_quantile,
    policy_times,
    recovery_policy,
    simulate,
    spares_for,
    start_up_s,
    state_bytes,
    terms,
)

HOUR, DAY = 3600.0, 86_400.0


def fleet(accelerators=16_384, policy="restart", generation="H100", days=54.0, **fields):
    size = accelerators // fields.get("islands", 1)
    given_ = {
        "accelerators": accelerators,
        "processes": fleet_processes(generation),
        "policy": recovery_policy(policy, size, step_s=5.0),
        "tiers": default_tiers(),
        "state_bytes": state_bytes(405e9, 14),
        "step_s": 5.0,
        "duration_s": days * DAY,
    }
    if policy == "drop_replica":
        given_["replicas"] = min(128, -(-accelerators // 8))
    return ReliabilityJob(**(given_ | fields))


def exponential(mtbf, restart, save, days, **fields):
    """A job as models of one stream of failures know it."""
    broken = FailureProcess.given("software", 1 / mtbf, unit="job", domain="job", hardware=False)
    return ReliabilityJob(
        accelerators=8,
        processes=(broken,),
        policy=RecoveryPolicy(name="restart", detect_s=restart / 3, warm_up_s=restart * 2 / 3),
        save_s=save,
        start_s=0.0,
        **({"duration_s": days * DAY} | fields),
    )


def hardware(rate=4e-8, **fields):
    return FailureProcess.given("host", rate, **fields)


BUG = FailureProcess.given("software", 2e-5, unit="job", domain="job", hardware=False)
ISLAND = RecoveryPolicy(name="islands", detect_s=60, warm_up_s=400)
SWAP = RecoveryPolicy(name="hot_spare", detect_s=10, remap_s=20)
DROP = RecoveryPolicy(name="drop_replica", detect_s=10, drain_s=5, remap_s=20, reload_s=5, warm_up_s=170, replay_s=5)
ELASTIC = RecoveryPolicy(name="elastic", detect_s=10, drain_s=5, remap_s=20, reload_s=5, warm_up_s=30, replay_s=5)
BIG = {"accelerators": 100_000, "save_s": 20.0, "start_s": 0.0, "duration_s": 100 * DAY}

# docs/science.md 8.4: MTBF, restart, save, days, efficiency by an independent Monte Carlo
FOUR = [
    (3.09 * HOUR, 600, 60, 400, 0.852),
    (1800, 180, 10, 90, 0.811),
    (182, 180, 10, 30, 0.263),
    (182, 20, 1, 30, 0.807),
]
FIVE = {
    "hardware and spares": ReliabilityJob(processes=(hardware(),), policy=SWAP, spare_nodes=200, **BIG),
    "eight islands": ReliabilityJob(processes=(hardware(),), policy=ISLAND, islands=8, spare_nodes=200, **BIG),
    "drop a replica": ReliabilityJob(processes=(hardware(), BUG), policy=DROP, replicas=125, spare_nodes=200, **BIG),
    "elastic without spares": ReliabilityJob(processes=(hardware(), BUG), policy=ELASTIC, spare_nodes=0, **BIG),
    "racks and nodes": ReliabilityJob(
        processes=(hardware(), hardware(2e-8, unit="rack", domain="rack")), policy=SWAP, spare_nodes=200, **BIG
    ),
    "islands short of spares": ReliabilityJob(
        processes=(hardware(),), policy=ISLAND, islands=8, spare_nodes=45, **(BIG | {"duration_s": 400 * DAY})
    ),
    "replicas without spares": ReliabilityJob(
        processes=(hardware(), BUG), policy=DROP, replicas=1250, spare_nodes=0, **BIG
    ),
}


@pytest.mark.parametrize(("mtbf", "restart", "save", "days", "efficiency"), FOUR)
def test_r18_four_cases_of_the_literature(mtbf, restart, save, days, efficiency):
    result = goodput(exponential(mtbf, restart, save, days), replicates=40, seed=1)
    assert result.closed_goodput == pytest.approx(efficiency, rel=0.01)
    assert result.goodput == pytest.approx(result.closed_goodput, rel=0.02)
    closed = goodput(exponential(mtbf, restart, save, days)).wall_time
    for ours, theirs in zip(result.wall_time.children, closed.children, strict=True):
        assert ours.value / result.wall_time.value == pytest.approx(theirs.value / closed.value, abs=3e-3), ours.label


@pytest.mark.parametrize("name", FIVE)
def test_closed_form_against_simulation(name):
    result = goodput(FIVE[name], replicates=20, seed=2)
    assert result.goodput == pytest.approx(result.closed_goodput, rel=0.02)


@pytest.mark.parametrize("policy", RECOVERY_POLICIES)
def test_published_fleet_closed_form_against_simulation(policy):
    """Racks, rails, feeds, ages, repeat offenders, corruption and spares at 16,384, where the first order is enough."""
    job = fleet(policy=policy, **({"islands": 8} if policy == "islands" else {}))
    result = goodput(job, replicates=40, seed=3)
    assert result.goodput == pytest.approx(result.closed_goodput, rel=0.02)


def test_r14_llama_3():
    job = fleet()
    assert 1 / terms(job).rate == pytest.approx(3.09 * HOUR, rel=0.01)
    simulated = simulate(job, 40, seed=4)
    total = simulated.interruptions.sum(axis=1)
    assert total.mean() == pytest.approx(419, rel=0.03)
    by_cause = simulated.interruptions_by_cause()
    assert by_cause["hbm"][0] == pytest.approx(72, rel=0.1)
    assert by_cause["software"][0] == pytest.approx(63, rel=0.1)
    assert simulated.goodput.mean() > 0.9  # "more than 90 % effective training time"


def test_r15_rsc_1():
    job = fleet(generation="A100")
    rate = math.fsum(job.rate_of(process) for process in job.processes if process.hardware)
    assert 1 / rate == pytest.approx(1.80 * HOUR, rel=0.01)
    big = fleet(131_072, generation="A100")
    assert 1 / math.fsum(big.rate_of(p) for p in big.processes if p.hardware) == pytest.approx(0.225 * HOUR, rel=0.01)
    small = fleet(1024, generation="A100")
    assert 1 / terms(small).rate == pytest.approx(7.9 * HOUR, rel=0.02)  # goodput-003, with software


def test_r16_and_r18_classical_intervals():
    job = exponential(6000, 600, 10, 30)
    found = goodput(job).classical_intervals
    assert found["availability"] == pytest.approx(373.5, abs=0.05)
    assert found["young"] == pytest.approx(math.sqrt(2 * 10 * 6000))
    million = exponential(182, 600, 60, 30)
    assert goodput(million).goodput == pytest.approx(0.015, abs=6e-4)


def test_bloom_saves():
    """goodput-016: 2.3 TB in 40 s every 100 steps of 105 s stop training 0.38 % of the time."""
    shares = goodput_columns(rate_per_s=1e-12, save_s=40.0, detect_s=0.0, restart_s=0.0, interval_s=100 * 105.0)
    assert shares["checkpoint stall"][0] == pytest.approx(0.0038, abs=1e-4)


def test_every_table_is_sourced():
    for generation in GENERATIONS:
        processes = fleet_processes(generation)
        assert {process.component for process in processes} == set(COMPONENTS)
        for process in processes:
            assert process.rate.source
            assert process.rate.low <= process.rate.best <= process.rate.high
            assert process.rate.unit == "1/s"
    for policy in RECOVERY_POLICIES:
        assert all(value.source for value in policy_times(policy).values())
    for policy in ("restart", "islands"):
        assert recovery_policy(policy, 10_752).warm_up_s == pytest.approx(start_up_s(10_752))
    assert recovery_policy("hot_spare").total_s == pytest.approx(20)


SMALL = {
    "restart": {},
    "neighbour_copy": {},
    "hot_spare": {},
    "drop_replica": {"replicas": 5},
    "elastic": {},
    "islands": {"islands": 3},
}


def stormy(policy, spares=3, **fields):
    """A small fleet in which everything happens often."""
    age = {"weibull_shape": 0.7, "reference_age_s": 30 * DAY, "burn_in_s": DAY}
    processes = (
        hardware(2e-5, repair_s=DAY, repeat_share=0.4, **age),
        hardware(6e-5, unit="rack", domain="rack", repair_s=6 * HOUR),
        hardware(
            2e-5, unit="rail_switch", domain="rail", repair_s=2 * HOUR, weibull_shape=1.3, reference_age_s=30 * DAY
        ),
        hardware(4e-5, unit="feed", domain="feed", repair_s=4 * HOUR),
        FailureProcess.given("silent_corruption", 1e-5),
        BUG,
    )
    operations = replace(default_operations(), straggler_rate_per_s=5e-6, offender_share=0.1, fallback_interval_s=600.0)
    return ReliabilityJob(
        **{
            "accelerators": 240,
            "nodes_per_rack": 3,
            "nodes_per_rail": 6,
            "racks_per_feed": 4,
            "processes": processes,
            "policy": replace(recovery_policy(policy, step_s=5.0), warm_up_s=60.0),
            "tiers": CheckpointTiers(
                device_to_host_bytes_per_s=1e10,
                peer_bytes_per_s=1e10,
                remote_write_bytes_per_s=2e11,
                remote_read_bytes_per_s=1e11,
                stop_s=2,
            ),
            "state_bytes": 5e12,
            "spare_nodes": spares,
            "duration_s": 20 * DAY,
            "fleet_age_s": 5 * DAY,
            "maintenance": (PlannedStop(start_s=5 * DAY, duration_s=4 * HOUR),),
            "operations": operations,
            **SMALL[policy],
            **fields,
        }
    )


@pytest.mark.parametrize("policy", RECOVERY_POLICIES)
def test_the_kernel_equals_the_oracle(policy):
    job = stormy(policy)
    fast, plain = simulate(job, 2, seed=5), simulate(job, 2, seed=5, compiled=False)
    assert plain.seconds == pytest.approx(fast.seconds, rel=1e-6, abs=1e-3)
    assert (plain.interruptions == fast.interruptions).all()
    assert (fast.interruptions.sum(axis=0) > 0).all()  # everything happened


@pytest.mark.parametrize("policy", RECOVERY_POLICIES)
def test_times_sum_and_are_not_negative(policy):
    for spares in (0, 1, 30):
        result = simulate(stormy(policy, spares), 10, seed=6)
        assert result.seconds.sum(axis=1) == pytest.approx(result.wall_s)
        assert (result.seconds >= -1e-6).all()
        assert result.breakdown().value == pytest.approx(20 * DAY)
        assert (result.seconds[:, CATEGORIES.index("maintenance")] > 0).all()


@pytest.mark.parametrize("policy", RECOVERY_POLICIES)
def test_same_seed_same_answer_whatever_runs_beside_it(policy):
    job = stormy(policy)
    whole = simulate(job, 8, seed=7)
    threads = simulate(job, 8, seed=7, workers=2)
    later = simulate(job, 3, seed=7, first=5)
    assert (whole.seconds == threads.seconds).all()
    assert (whole.seconds[5:] == later.seconds).all()
    assert (simulate(job, 8, seed=8).seconds != whole.seconds).any()


def test_useful_work_ends_when_it_is_done():
    job = exponential(1800, 180, 10, 0, duration_s=None, useful_s=10 * DAY)
    result = simulate(job, 20, seed=9)
    assert result.seconds[:, 0] == pytest.approx(10 * DAY, rel=1e-9)
    assert result.seconds.sum(axis=1) == pytest.approx(result.wall_s)
    assert 10 * DAY / result.wall_s.mean() == pytest.approx(goodput(job).goodput, rel=0.02)
    islands = stormy("islands", duration_s=None, useful_s=5 * DAY)
    assert simulate(islands, 3, seed=9).seconds[:, 0] == pytest.approx(5 * DAY, rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    policy=st.sampled_from(RECOVERY_POLICIES),
    accelerators=st.sampled_from([512, 4096, 65_536, 1_000_000]),
    factor=st.floats(1.0, 10.0),
)
def test_more_failures_never_help(policy, accelerators, factor):
    fields = {"islands": 4} if policy == "islands" else {}
    job = fleet(accelerators, policy, **fields)
    held = replace(job, spare_nodes=terms(job).spares)
    worse = replace(held, processes=tuple(p.at(p.rate_per_s * factor) for p in job.processes))
    few, many = goodput(held), goodput(worse)
    assert many.goodput <= few.goodput * (1 + 1e-9)
    assert 0 <= many.goodput <= 1
    assert few.wall_time.value == pytest.approx(job.duration_s)
    assert all(child.value >= 0 for child in few.wall_time.children)
    assert all(change <= 1e-9 for change in few.sensitivities.values())


def test_islands_and_replicas_beat_whole_job_restart_at_a_million():
    found = {
        policy: simulate(fleet(1_000_000, policy, **({"islands": 50} if policy == "islands" else {})), 3, seed=1)
        for policy in RECOVERY_POLICIES
    }
    mean = {policy: float(result.goodput.mean()) for policy, result in found.items()}
    assert mean["restart"] < 0.02
    assert min(mean["hot_spare"], mean["drop_replica"], mean["islands"]) > 0.5


@pytest.mark.parametrize("policy", RECOVERY_POLICIES)
def test_a_million_accelerators_for_a_month(policy):
    """Every policy gets to the end, without a warning, all its time accounted for, the same with one worker and two."""
    fields = {"islands": 50} if policy == "islands" else {}
    stragglers = replace(default_operations(), straggler_rate_per_s=1e-4 / DAY)
    job = fleet(1_000_000, policy, days=30, operations=stragglers, **fields)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, two = (simulate(job, 2, seed=1, workers=workers, timeline_intervals=50) for workers in (1, 2))
    assert one.seconds.sum(axis=1) == pytest.approx(30 * DAY)
    assert (one.seconds >= -1e-6).all()
    for name in ("wall_s", "seconds", "interruptions", "short_of_spares", "old_corruptions", "most_out", "events"):
        assert (getattr(one, name) == getattr(two, name)).all(), name
    assert (one.timeline.end_s == two.timeline.end_s).all()


def test_infant_mortality_and_its_reference_age():
    shape = {"weibull_shape": 0.7, "reference_age_s": 180 * DAY, "burn_in_s": DAY}
    process = hardware(1e-7, unit="node", **shape)
    base = {"accelerators": 16_384, "processes": (process,), "policy": SWAP, "save_s": 1.0, "spare_nodes": 100}
    young = simulate(ReliabilityJob(**base, duration_s=30 * DAY, fleet_age_s=0.0), 30, seed=1).interruptions.sum()
    usual = simulate(ReliabilityJob(**base, duration_s=30 * DAY), 30, seed=1).interruptions.sum()
    assert usual / 30 == pytest.approx(1e-7 * 2048 * 30 * DAY, rel=0.05)
    # integral of ((t / A) ** -0.3) over 30 days, the first at the burn-in
    days = np.concatenate(([1.0], np.linspace(1, 30, 2000)))
    mean = (((days[1:] + days[:-1]) / 360) ** -0.3 * np.diff(days)).sum() + (1 / 180) ** -0.3
    assert young / 30 == pytest.approx(1e-7 * 2048 * DAY * mean, rel=0.05)


def test_repeat_offenders_fail_more_until_they_are_replaced():
    """The whole run shows the published rate; with offenders that leave, its first part more and the rest less."""
    process = hardware(2e-7, repeat_share=0.5, repair_s=HOUR)
    base = {"accelerators": 16_384, "processes": (process,), "policy": SWAP, "save_s": 1.0, "spare_nodes": 100}
    operations = replace(default_operations(), evict_after=2)
    job = ReliabilityJob(**base, duration_s=60 * DAY, operations=operations)
    expected = 2e-7 * 2048 * 60 * DAY
    seen = float(simulate(job, 20, seed=1).interruptions.sum(axis=1).mean())
    assert seen == pytest.approx(expected, rel=0.02)
    timeline = simulate(job, 1, seed=1, timeline_intervals=100_000).timeline
    stops = timeline.start_s[timeline.label == CATEGORIES.index("detection")]
    assert (stops < 6 * DAY).sum() > 1.1 * 0.1 * expected
    assert (stops > 54 * DAY).sum() < (stops < 6 * DAY).sum()


def test_corruption_goes_back_to_a_clean_checkpoint():
    base = {"accelerators": 8192, "policy": SWAP, "save_s": 1.0, "spare_nodes": 50, "duration_s": 60 * DAY}
    bad = (FailureProcess.given("silent_corruption", 2e-8),)
    late = replace(default_operations(), corruption_detect_s=6 * HOUR)
    job = ReliabilityJob(processes=bad, interval_s=600.0, operations=late, **base)
    result = goodput(job, replicates=60, seed=1)
    assert result.goodput == pytest.approx(result.closed_goodput, rel=0.02)
    lost = result.wall_time.children[CATEGORIES.index("replayed")].value
    assert lost / result.simulation.interruptions.mean(axis=0)[0] > 5 * HOUR
    assert any("older" in note for note in result.warnings)


def test_spares():
    assert spares_for(((1, 43.2),), 0.99) == poisson_quantile(43.2, 0.99)
    assert mean_beyond(((1, 5.0),), 0) == pytest.approx(5.0)
    assert mean_beyond(((1, 5.0), (64, 0.01)), 0) == pytest.approx(5.64)
    rng = np.random.default_rng(1)
    drawn = rng.poisson(5.0, 400_000) + 16 * rng.poisson(0.2, 400_000)
    for count in (5, 10, 20, 30):
        assert out_above(((1, 5.0), (16, 0.2)), np.array([count]))[0] == pytest.approx((drawn > count).mean(), abs=2e-3)
    assert spares_for(((1, 3000.0),), 0.5) == pytest.approx(3000, abs=1)
    assert spares_for((), 0.99) == 0
    with pytest.raises(ValueError, match="between 0 and 1"):
        spares_for(((1, 2.0),), 1.0)
    result = goodput(fleet(100_000, "hot_spare"))
    counts, values, _ = zip(*result.spare_curve, strict=True)
    assert list(counts) == sorted(counts)
    assert list(values) == sorted(values)
    assert 0 < result.best_spares < 12_500


def test_the_best_interval_is_the_top_of_its_curve():
    for policy in ("restart", "hot_spare", "drop_replica"):
        result = goodput(fleet(policy=policy))
        assert result.interval_s == result.best_interval_s
        assert max(value for _, value in result.interval_curve) <= result.goodput * (1 + 2e-3)


def test_an_upload_that_lasts_longer_than_the_interval_stretches_it():
    slow = replace(default_tiers(), remote_write_bytes_per_s=1e9)
    result = goodput(fleet(tiers=slow))
    assert result.interval_s == pytest.approx(5.67e12 / 1e9)
    assert "interval grows" in result.warnings[0]
    lagging = fleet(tiers=replace(default_tiers(), remote_write_bytes_per_s=5e9))
    compared = goodput(lagging, replicates=40, seed=1)
    assert compared.goodput == pytest.approx(compared.closed_goodput, rel=0.02)


def test_outer_steps_are_the_saves_of_islands():
    job = fleet(100_000, "islands", islands=10, outer_steps=100, outer_s=20.0)
    assert terms(job).interval_s == 500.0
    assert terms(job).save_s > 20


def test_columns_and_rows_agree():
    mtbf, save = np.array([182.0, 1800.0, 11_124.0]), np.array([1.0, 10.0, 60.0])
    found = goodput_columns(rate_per_s=1 / mtbf, save_s=save, detect_s=5.0, restart_s=15.0)
    assert found["useful"] == pytest.approx(exact_efficiency(exact_interval(save, mtbf), save, 20.0, mtbf))
    assert sum(found[name] for name in CATEGORIES) == pytest.approx(1.0)
    one = goodput_columns(rate_per_s=1 / 1800.0, save_s=10.0, detect_s=5.0, restart_s=15.0)
    assert one["useful"][0] == found["useful"][1]


def test_results_are_plain_data():
    result = goodput(stormy("islands"), replicates=3, seed=1)
    text = json.dumps(result.to_dict(), allow_nan=False)
    assert json.loads(text)["goodput_interval"]["p50"] > 0
    assert len(result.to_frame()) == len(result.outputs)
    assert len(result.simulation.to_frame()) == 3
    nothing = ReliabilityJob(accelerators=8, processes=(), policy=SWAP, save_s=1.0, duration_s=DAY)
    assert goodput(nothing, replicates=1).goodput > 0.99
    json.dumps(goodput(nothing).to_dict(), allow_nan=False)


def test_the_timeline_covers_the_run():
    result = simulate(stormy("islands"), 1, seed=1, timeline_intervals=100_000)
    timeline = result.timeline
    assert timeline.lanes == ("island 1", "island 2", "island 3")
    for lane in range(3):
        own = timeline.lane == lane
        assert (timeline.end_s - timeline.start_s)[own].sum() == pytest.approx(20 * DAY)
        assert timeline.start_s[own][1:] == pytest.approx(timeline.end_s[own][:-1])
    assert len(simulate(stormy("restart"), 1, timeline_intervals=10).timeline.lane) == 10


WORK = {"duration_s": None, "useful_s": DAY}
UNTIL_DONE = {
    "one stream": exponential(1800, 180, 10, 0, **WORK),
    **{policy: stormy(policy, 30, **(WORK | {"useful_s": 2 * HOUR})) for policy in RECOVERY_POLICIES},
}


@pytest.mark.parametrize("name", UNTIL_DONE)
def test_the_timeline_ends_when_the_work_is_done(name):
    """Whether the work is done is tried out first, of which nothing may stay in the log."""
    result = simulate(UNTIL_DONE[name], 1, seed=9, timeline_intervals=100_000)
    timeline, wall = result.timeline, float(result.wall_s[0])
    for lane in range(len(timeline.lanes)):
        own = timeline.lane == lane
        start, end = timeline.start_s[own], timeline.end_s[own]
        assert start[1:] == pytest.approx(end[:-1], rel=1e-12)
        assert (start[0], end[-1]) == (0.0, wall)
    assert (timeline.end_s - timeline.start_s).sum() == pytest.approx(wall * len(timeline.lanes))
    short = simulate(UNTIL_DONE[name], 1, seed=9, timeline_intervals=3)
    assert short.wall_s[0] == wall
    assert (short.timeline.end_s <= wall).all()


BAD = [
    (lambda: hardware(-1e-9), "must not be negative"),
    (lambda: hardware(math.nan), "must be finite"),
    (lambda: hardware(1e-9, domain="shelf"), "domain"),
    (lambda: hardware(1e-9, weibull_shape=0.0), "Weibull shape"),
    (lambda: fleet(spare_nodes=10**9), "at most 10,000,000"),
    (lambda: fleet(spare_nodes=0, repair_s=0.0), "repair time of 0 s with no spare nodes"),
    (lambda: fleet(accelerators=0), "accelerators must be a whole number"),
    (lambda: fleet(duration_s=None), "either duration_s"),
    (lambda: fleet(tiers=None), "either save_s or tiers"),
    (lambda: fleet(policy="drop_replica", replicas=1), "at least 2 replicas"),
    (lambda: fleet(islands=4), "choose policy 'islands'"),
    (lambda: fleet(interval_s=-5.0), "interval_s must be finite and above 0"),
    (lambda: fleet_processes("H10"), "did you mean 'H100'"),
    (lambda: recovery_policy("hope"), "unknown recovery policy"),
    (lambda: recovery_policy("restart", detect_s=-1.0), "detect"),
    (lambda: replace(default_tiers(), peer_bytes_per_s=0.0), "above zero"),
    (lambda: PlannedStop(start_s=-1.0, duration_s=1.0), "planned stop"),
    (lambda: simulate(fleet(), 0), "at least one replicate"),
]


@pytest.mark.parametrize(("make", "says"), BAD)
def test_bad_input_is_refused_in_one_sentence(make, says):
    with pytest.raises(ValueError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


def times(job, rates, repairs=1.0):
    processes = (
        replace(p.at(p.rate_per_s * rates), repair=p.repair.at(p.repair.best * repairs)) for p in job.processes
    )
    return replace(job, processes=tuple(processes))


@pytest.mark.parametrize("policy", RECOVERY_POLICIES)
@pytest.mark.parametrize(("rates", "repairs"), [(1.0, 1.0), (3.0, 30.0), (30.0, 3.0)])
def test_one_more_spare_is_never_worse(policy, rates, repairs):
    job = times(fleet(policy=policy, **({"islands": 8} if policy == "islands" else {})), rates, repairs)
    useful = [float(closed_shares(job, spares=count)["useful"][0]) for count in (0, 1, 2, 8, 40, 200, 1000, 2048)]
    assert all(more >= less - 1e-12 for less, more in pairwise(useful))


@pytest.mark.parametrize("policy", ["drop_replica", "elastic", "islands"])
def test_empty_slots_do_not_fail(policy):
    """A third of the nodes is out: without the finite number of slots the closed form would miss far more of them."""
    fields = {"islands": 8} if policy == "islands" else {}
    job = times(fleet(1024, policy, state_bytes=0.0, **fields), 3.0, 60.0)
    for spares in (0, 4):
        held = replace(job, spare_nodes=spares, duration_s=600 * DAY)
        result = goodput(held, replicates=6, seed=1)
        away = ("degraded", "waiting for spares")
        ours, theirs = (
            sum(part.value for part in found.wall_time.children if part.label in away) / found.wall_time.value
            for found in (goodput(held), result)
        )
        assert ours == pytest.approx(theirs, rel=0.1), spares


@pytest.mark.parametrize("policy", RECOVERY_POLICIES)
@pytest.mark.parametrize("rates", [10.0, 1000.0, 1e5])
def test_shares_are_shares_however_often_things_fail(policy, rates):
    job = times(fleet(policy=policy, **({"islands": 8} if policy == "islands" else {})), rates)
    shares = closed_shares(job)
    values = [float(shares[name][0]) for name in CATEGORIES]
    assert min(values) >= 0
    assert sum(values) == pytest.approx(1.0)


def test_nothing_fails_and_the_interval_is_to_blame():
    job = fleet(processes=(), interval_s=0.01, state_bytes=1e9)
    found = goodput(job)
    assert found.goodput < 0.01
    assert any("saves stop the run" in note for note in found.warnings)
    assert not any("failures stop the run" in note for note in found.warnings)


@pytest.mark.parametrize(
    ("accelerators", "generation", "days", "rates"),
    [(16_384, "H100", 54, 1.0), (16_384, "H100", 54, 3.0), (16_384, "A100", 365, 1.0), (992, "A100", 60, 1.0)],
)
def test_the_simulated_mean_is_the_published_rate(accelerators, generation, days, rates):
    """Repeat offenders that are replaced and nodes that age change when failures come, not how many."""
    job = times(fleet(accelerators, generation=generation, days=days), rates)
    seen = simulate(job, 40, seed=3).interruptions.sum(axis=1)
    expected = terms(job).rate * job.duration_s
    assert seen.mean() == pytest.approx(expected, abs=0.01 * expected + 3 * math.sqrt(expected / 40))


def test_a_difference_is_told_by_its_cause():
    """Offenders that are soon replaced; not rails and racks, which the closed form takes into account."""
    process = hardware(8e-7, repeat_share=0.8, repair_s=HOUR)
    operations = replace(default_operations(), offender_share=0.1, evict_after=20)
    slow = replace(SWAP, warm_up_s=400.0)
    base = {"accelerators": 16_384, "processes": (process,), "save_s": 1.0, "spare_nodes": 100}
    result = goodput(
        ReliabilityJob(**base, policy=slow, duration_s=60 * DAY, operations=operations), replicates=20, seed=1
    )
    (note,) = [note for note in result.warnings if "differ by more than" in note]
    assert "differ by more than 2%: repeat offenders would fail" in note
    assert "come in groups" not in note


def test_software_of_the_whole_job_starts_it_anew_under_every_policy():
    """The first start is one model; hot spares save processes only where a node failed."""
    for policy in RECOVERY_POLICIES:
        fields = {"islands": 8} if policy == "islands" else {}
        job = fleet(policy=policy, **fields)
        size = 16_384 // job.islands
        assert job.start >= start_up_s(size), policy
    bug_alone = fleet(policy="hot_spare", processes=(BUG,))
    assert terms(bug_alone).back_s > start_up_s(16_384)
    node_alone = fleet(policy="hot_spare", processes=(hardware(),))
    assert terms(node_alone).back_s < 30
    both = terms(fleet(policy="hot_spare", processes=(BUG, hardware())))
    share = 2e-5 / (2e-5 + 4e-8 * 2048)
    ends = [math.exp(-both.rate * terms(job).back_s) for job in (bug_alone, node_alone)]
    assert math.exp(-both.rate * both.back_s) == pytest.approx(share * ends[0] + (1 - share) * ends[1])
    assert both.back_s < share * terms(bug_alone).back_s + (1 - share) * terms(node_alone).back_s


def test_stragglers_have_their_share_of_the_loss():
    operations = replace(default_operations(), straggler_rate_per_s=1e-8)
    found = goodput(fleet(operations=operations)).sensitivities
    assert found["straggler"] < 0
    assert goodput(fleet()).sensitivities["straggler"] == 0


def test_planned_stops_are_counted_over_the_wall_time():
    stops = tuple(PlannedStop(start_s=day * DAY, duration_s=8 * HOUR) for day in range(1, 60, 3))
    job = fleet(1024, useful_s=30 * DAY, duration_s=None, maintenance=stops, start_s=0.0)
    result = goodput(job, replicates=40, seed=1)
    assert result.closed_goodput == pytest.approx(result.goodput, rel=5e-3)
    wall = 30 * DAY / result.closed_goodput
    share = float(closed_shares(job)["maintenance"][0])
    assert share == pytest.approx(sum(8 * HOUR for stop in stops if stop.start_s < wall) / wall, rel=0.02)
