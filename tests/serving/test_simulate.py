"""The event simulation against an independent step-by-step oracle, formulae, conservation and published reuse."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.errors import InfeasibleError, InputError
from gigawatt.serving import _kernel as kernel
from gigawatt.serving._kernel import state
from gigawatt.serving._requests import Requests
from gigawatt.serving._service import Autoscaler, OffloadTier, Pool, Service
from gigawatt.serving._serving_run import REASONS
from gigawatt.serving._simulate import simulate, world_of
from gigawatt.serving._step_table import StepTable

# 70B in 16 bits over 8 H100: 2 x 80 layers x 8 heads x 128 x 2 bytes per token, 3.35 TB/s each at 75 %
KV_BYTES = 327_680.0
BYTES_PER_S = 8 * 3.35e12 * 0.75
GRID = np.array([0.0, 1.0, 64.0, 256.0, 512.0, 8192.0])
MILLISECONDS = np.array([[12.0, 12.0, 13.0, 17.0, 25.0, 370.0]])


def table(capacity_tokens=1_000_000, factor=1.0, **fields):
    one = np.ones(1)
    known = {
        "tokens": GRID,
        "products_s": MILLISECONDS / 1e3 * factor,
        "head_s": np.array([[0.0, 1e-4, 2e-4, 4e-4, 8e-4, 8e-3]]) * factor,
        "decode_key_s": one * KV_BYTES / BYTES_PER_S * factor,
        "decode_window_key_s": 0 * one,
        "prefill_pair_s": one * 1e-10 * factor,
        "prefill_window_pair_s": 0 * one,
        "prefill_token_s": one * 1e-7 * factor,
        "step_s": one * 1e-4 * factor,
        "sequence_s": one * 5e-6 * factor,
        "window": 0,
        "accelerators": 8 * one,
        "kv_bytes": one * KV_BYTES,
        "sequence_bytes": 0 * one,
        "kv_capacity_bytes": one * KV_BYTES * capacity_tokens,
    }
    return StepTable(**known | fields)


def requests(arrival, prompt, output, **fields):
    count = len(arrival)
    return Requests(
        arrival_s=np.asarray(arrival, dtype=np.float64),
        prompt_tokens=np.full(count, prompt, dtype=np.int64),
        output_tokens=np.full(count, output, dtype=np.int64),
        **{"request_class": np.zeros(count, dtype=np.int64)} | fields,
    )


def poisson(count, rate, seed=0, mean_prompt=800, mean_output=150, **fields):
    rng = np.random.default_rng(seed)
    return requests(
        np.cumsum(rng.exponential(1 / rate, count)),
        np.maximum(rng.lognormal(np.log(mean_prompt), 0.8, count), 1).astype(np.int64),
        np.maximum(rng.lognormal(np.log(mean_output), 0.7, count), 1).astype(np.int64),
        **fields,
    )


def world_after(asked, service, **kw):
    """Run the plain functions and return the tables as they stand at the end."""
    world = world_of(asked, service, kw.get("seed", 0), np.inf, 10, 0)
    with np.errstate(over="ignore"):
        kernel.run(world)
    return world


# --- an oracle that walks through every sequence of every step -------------------------------------------------------


class Sequence:
    def __init__(self, i, arrival, prompt, output):
        self.i, self.arrival, self.prompt, self.output = i, arrival, prompt, output
        self.made, self.cached, self.target, self.preempted = 0, 0, prompt, 0
        self.first = self.finish = -1.0


def oracle(asked, pool):
    """Serve by one replica, chunked and first come first served, one step at a time: (first, finish, preemptions)."""
    t, block, steps = 0.0, pool.block_tokens, pool.table
    capacity = int(steps.kv_capacity_bytes[0] // (steps.kv_bytes[0] * block))
    window = steps.window
    columns = zip(asked.arrival_s, asked.prompt_tokens, asked.output_tokens, strict=True)
    everyone = [Sequence(i, float(a), int(p), int(o)) for i, (a, p, o) in enumerate(columns)]
    coming, waiting, prefills, decodes = list(everyone), [], [], []

    def held(s):
        return -(-(s.target if s in prefills else s.cached) // block)

    def used():
        return sum(held(s) for s in prefills + decodes)

    while coming or waiting or prefills or decodes:
        while coming and coming[0].arrival <= t:
            waiting.append(coming.pop(0))
        waiting.sort(key=lambda s: s.i)
        preempted = False
        while decodes and used() + sum(s.cached % block == 0 for s in decodes) > capacity:
            last = max(prefills + decodes, key=lambda s: s.i)
            (prefills if last in prefills else decodes).remove(last)
            last.cached, last.target, last.preempted = 0, last.prompt + last.made, last.preempted + 1
            waiting.insert(0, last)
            waiting.sort(key=lambda s: s.i)
            preempted = True
        growth = sum(s.cached % block == 0 for s in decodes)
        left = pool.token_budget - len(decodes)
        chunks = []
        for s in prefills:
            if left > 0:
                chunks.append((s, min(left, s.target - s.cached)))
                left -= chunks[-1][1]
        while left > 0 and waiting and not preempted and len(prefills) + len(decodes) < pool.limit:
            s = waiting[0]
            if used() + growth + -(-s.target // block) > capacity:
                break
            prefills.append(waiting.pop(0))
            chunks.append((s, min(left, s.target)))
            left -= chunks[-1][1]
        if not chunks and not decodes:
            t = coming[0].arrival
            continue
        computed = sum(c for _, c in chunks)
        ends = sum(s.cached + c == s.target for s, c in chunks)
        limited = window or 10**9
        seconds = steps.seconds(
            np.zeros(1, dtype=np.int64),
            tokens=np.array([computed + len(decodes)]),
            sampled=np.array([ends + len(decodes)]),
            keys=np.array([sum(s.cached + 1 for s in decodes)]),
            window_keys=float(sum(min(s.cached + 1, window) for s in decodes)),
            pairs=float(sum(s.cached + k for s, c in chunks for k in range(1, c + 1))),
            window_pairs=float(sum(min(s.cached + k, limited) for s, c in chunks for k in range(1, c + 1))),
            prefill_tokens=float(computed),
            sequences=float(len(decodes) + len(chunks)),
        )
        t += float(seconds[0])
        for s in list(decodes):
            s.cached += 1
            s.made += 1
            if s.made == s.output:
                s.finish = t
                decodes.remove(s)
        for s, c in chunks:
            s.cached += c
            if s.cached == s.target:
                prefills.remove(s)
                s.made += 1
                s.first = t if s.first < 0 else s.first
                if s.made == s.output:
                    s.finish = t
                else:
                    decodes.append(s)
    return tuple(np.array([getattr(s, name) for s in everyone]) for name in ("first", "finish", "preempted"))


@st.composite
def small_questions(draw):
    count = draw(st.integers(1, 14))
    gaps = draw(st.lists(st.sampled_from([0.0, 0.01, 0.05, 0.3, 2.0]), min_size=count, max_size=count))
    lengths = st.lists(st.integers(1, 90), min_size=count, max_size=count)
    asked = requests(np.cumsum(gaps), np.array(draw(lengths)), np.array(draw(lengths)))
    capacity = draw(st.sampled_from([192, 256, 400, 5000]))
    window = draw(st.sampled_from([0, 40]))
    steps = table(
        capacity,
        window=window,
        decode_window_key_s=np.array([3e-8 if window else 0.0]),
        prefill_window_pair_s=np.array([2e-10 if window else 0.0]),
    )
    budget = draw(st.sampled_from([8, 32, 256]))
    pool = Pool(
        table=steps,
        max_sequences=draw(st.sampled_from([1, 3, 8])),
        token_budget=budget,
        block_tokens=draw(st.sampled_from([1, 8, 16])),
    )
    return asked, pool


@given(small_questions())
@settings(max_examples=120, deadline=None)
def test_equals_an_independent_oracle(question):
    asked, pool = question
    run = simulate(asked, Service(pool=pool), compiled=False)
    first, finish, preempted = oracle(asked, pool)
    assert run.first_token_s == pytest.approx(first, rel=1e-9)
    assert run.finish_s == pytest.approx(finish, rel=1e-9)
    assert (run.preemptions == preempted).all()


def test_the_oracle_is_also_met_at_length_and_with_preemptions():
    asked, pool = poisson(300, 6.0, mean_prompt=400), Pool(table=table(6000), max_sequences=32)
    run = simulate(asked, Service(pool=pool))
    first, finish, preempted = oracle(asked, pool)
    assert preempted.sum() > 10
    assert run.first_token_s == pytest.approx(first, rel=1e-9)
    assert run.finish_s == pytest.approx(finish, rel=1e-9)
    assert (run.preemptions == preempted).all()


# --- every kind of service --------------------------------------------------------------------------------------------


def blocks_of(count, seed, shared=6, block_tokens=16, own=3, families=30):
    """Return (blocks, block_start): prompts of one of 30 shared beginnings and blocks of their own."""
    rng = np.random.default_rng(seed)
    rows, fresh = [], families * shared
    for family in rng.integers(0, families, count):
        rows += [*range(family * shared, (family + 1) * shared), *range(fresh, fresh + own)]
        fresh += own
    return {
        "blocks": np.array(rows, dtype=np.int64),
        "block_start": np.arange(count + 1, dtype=np.int64) * (shared + own),
        "block_tokens": block_tokens,
    }


def services():
    apart = {"transfer_bytes_per_s": 50e9, "transfer_overlap": 0.5}
    scaler = Autoscaler(target_requests=6, interval_s=2.0, start_s=5.0, least=1, most=4)
    tight = Pool(table=table(2600), max_sequences=24, token_budget=256)
    tiers = (
        OffloadTier(capacity_bytes=KV_BYTES * 800, bytes_per_s=50e9),
        OffloadTier(capacity_bytes=KV_BYTES * 4000, bytes_per_s=5e9),
    )
    cached = replace(tight, prefix_cache=True)
    return {
        "one": Service(pool=tight),
        "prefill first": Service(pool=replace(tight, policy="prefill_first")),
        "static": Service(pool=replace(tight, policy="static")),
        "shortest": Service(pool=replace(tight, order="shortest_prompt")),
        "three, in turn": Service(pool=replace(tight, replicas=3), router="round_robin"),
        "cache": Service(pool=cached),
        "cache and tiers": Service(pool=replace(cached, tiers=tiers)),
        "cache, aware": Service(pool=replace(cached, tiers=tiers[:1], replicas=3), router="prefix_aware"),
        "speculation": Service(pool=replace(tight, draft_tokens=3, acceptance=0.7, draft_s=1e-3)),
        "scaled": Service(pool=replace(tight, autoscaler=scaler)),
        "apart": Service(pool=replace(tight, replicas=2), decode_pool=replace(tight, replicas=3), **apart),
        "apart, cache, scaled, speculation": Service(
            pool=replace(cached, replicas=2, tiers=tiers),
            decode_pool=replace(tight, draft_tokens=2, acceptance=0.5, autoscaler=scaler),
            router="prefix_aware",
            **apart,
        ),
        "closed": Service(pool=tight, concurrency=12),
        "sequences take memory": Service(
            pool=replace(tight, table=table(2600, sequence_bytes=np.array([KV_BYTES * 20.0]), window=64))
        ),
    }


def busy_requests(count=150, seed=3):
    asked = poisson(count, 5.0, seed=seed, mean_prompt=150, mean_output=60, **blocks_of(count, seed))
    return replace(
        asked, prompt_tokens=np.clip(asked.prompt_tokens, 150, 700), output_tokens=np.clip(asked.output_tokens, 1, 300)
    )


@pytest.mark.parametrize("name", services())
def test_every_token_is_served_once_and_all_memory_comes_back(name):
    asked, service = busy_requests(), services()[name]
    world = world_after(asked, service)
    assert (world.times[:, state.FINISH] > 0).all()
    assert (world.rep[:, state.USED] == 0).all()
    for column in (state.N, state.KEYS, state.WINDOW_KEYS, state.BELOW, state.SLOTS, state.QUEUED):
        assert (world.rep[:, column] == 0).all()
    assert (world.phase == 0).all()
    assert (world.holds == 0).all()
    assert world.rep[:, state.DECODED].sum() == asked.output_tokens.sum()
    assert (np.abs(world.load % state.HIDDEN) < 1e-6).all()
    assert (world.rep[:, state.PEAK] <= world.pool[world.rep[:, state.POOL], state.CAPACITY]).all()
    lost = world.req[:, state.PREEMPTED] > 0
    computed = world.rep[:, state.PREFILLED].sum() + world.req[:, state.CACHED].sum()
    assert computed >= asked.prompt_tokens.sum()
    if not lost.any():
        assert computed == asked.prompt_tokens.sum()
    times = world.times
    assert (times[:, state.READY] <= times[:, state.ADMITTED]).all()
    assert (times[:, state.ADMITTED] < times[:, state.FIRST]).all()
    assert (times[:, state.FIRST] <= times[:, state.FINISH]).all()
    assert world.windows[:, :, state.W_TOKENS].sum() == pytest.approx(asked.output_tokens.sum())
    assert world.windows[:, :, state.W_BUSY].sum() == pytest.approx(world.clock[:, state.BUSY_S].sum())
    assert world.windows[:, :, state.W_ON].sum() == pytest.approx(world.clock[:, state.ON_S].sum())
    cached_units = world.tier[:, 0, state.T_UNITS]
    assert (cached_units == world.rep[:, state.EVICTABLE]).all()
    assert (world.tier[:, 1, state.T_UNITS] <= world.pool[world.rep[:, state.POOL], state.HOST_UNITS]).all()
    assert (world.tier[:, 2, state.T_UNITS] <= world.pool[world.rep[:, state.POOL], state.DISK_UNITS]).all()


@pytest.mark.parametrize("name", services())
def test_compiled_and_plain_say_the_same_to_the_last_bit(name):
    asked, service = busy_requests(), services()[name]
    fast, plain = (simulate(asked, service, seed=5, compiled=compiled, timeline_steps=20) for compiled in (True, False))
    again = simulate(asked, service, seed=5, timeline_steps=20)
    for column in ("ready_s", "admitted_s", "first_token_s", "finish_s", "replica", "cached_tokens", "preemptions"):
        assert np.allclose(getattr(fast, column), getattr(plain, column), rtol=1e-12, atol=0)
        assert (getattr(fast, column) == getattr(again, column)).all()
    assert fast.to_dict()["status"] == plain.to_dict()["status"]
    assert fast.timeline.rows() == again.timeline.rows()


def test_tiers_of_the_services_above_are_really_used():
    world = world_after(busy_requests(), services()["cache and tiers"])
    assert world.req[:, state.CACHED].sum() > 0
    assert world.clock[0, state.FETCH] > 0
    assert (world.tier[0, 1:, state.T_UNITS] > 0).all()


# --- against formulae -------------------------------------------------------------------------------------------------


def test_a_closed_loop_of_equal_requests_decodes_at_the_time_of_the_formula():
    batch, prompt, output = 32, 100, 400
    steps = table()
    service = Service(
        pool=Pool(table=steps, policy="static", max_sequences=batch, token_budget=8192), concurrency=batch
    )
    run = simulate(requests(np.zeros(batch), prompt, output), service)
    contexts = prompt + np.arange(1, output)
    each = steps.seconds(
        np.zeros(output - 1, dtype=np.int64),
        tokens=np.full(output - 1, batch),
        sampled=np.full(output - 1, batch),
        keys=batch * contexts.astype(float),
    )
    # models.md 11.2: decode step = keys x bytes / bandwidth + products at the batch (+ fixed)
    assert run.tpot_s[1:] == pytest.approx(each.mean(), rel=1e-9)


def test_low_load_waits_as_a_queue_of_one_server_with_constant_service():
    """M/D/1: prompts of one step each and one output token; mean wait rho s / (2 (1 - rho))."""
    asked = requests(np.zeros(200_000), 500, 1)
    steps = table()
    alone = simulate(requests([0.0], 500, 1), Service(pool=Pool(table=steps, max_sequences=1)))
    service_s = alone.ttft_s[0]
    for rho in (0.3, 0.6):
        rng = np.random.default_rng(1)
        arrival = np.cumsum(rng.exponential(service_s / rho, len(asked)))
        run = simulate(replace(asked, arrival_s=arrival), Service(pool=Pool(table=steps, max_sequences=1)))
        wait = run.ttft_s - service_s
        assert wait.mean() == pytest.approx(rho * service_s / (2 * (1 - rho)), rel=0.02)
        assert run.totals.busy_s[0] / run.end_s == pytest.approx(rho, rel=0.02)


@pytest.mark.parametrize(("drafts", "acceptance"), [(1, 0.85), (3, 0.6), (5, 0.8), (4, 1.0), (4, 0.0)])
def test_a_verification_gives_the_mean_of_the_formula(drafts, acceptance):
    output = 4001
    service = Service(pool=Pool(table=table(), draft_tokens=drafts, acceptance=acceptance))
    run = simulate(requests(np.zeros(20), 10, output), service, seed=2)
    # sequences are in step, so the last ends after output / mean steps; models.md 11.8
    mean = drafts + 1 if acceptance == 1 else (1 - acceptance ** (drafts + 1)) / (1 - acceptance)
    solo = simulate(requests([0.0], 10, 40 * output), service, seed=3)
    assert 40 * output / solo.totals.steps[0] == pytest.approx(mean, rel=0.01)
    assert run.totals.output_tokens[0] == 20 * output
    other = simulate(requests(np.zeros(20), 10, output), service, seed=4)
    if 0 < acceptance < 1:
        assert (other.finish_s != run.finish_s).any()


def test_faster_steps_end_no_request_later():
    asked = poisson(400, 5.0)
    slow, fast = (simulate(asked, Service(pool=Pool(table=table(factor=factor)))) for factor in (1.0, 0.8))
    assert fast.e2e_s.mean() < slow.e2e_s.mean()
    for name in ("ttft_s", "tpot_s", "e2e_s"):
        quantiles = (0.25, 0.5, 0.9, 0.99)
        assert (np.quantile(getattr(fast, name), quantiles) <= np.quantile(getattr(slow, name), quantiles)).all()


def test_littles_law_joins_the_course_and_the_requests():
    run = simulate(poisson(3000, 6.0), Service(pool=Pool(table=table())))
    width = np.minimum(run.course.width_s, run.end_s - np.arange(run.course.waiting.size) * run.course.width_s)
    waited = (run.admitted_s - run.ready_s).sum()
    assert (run.course.waiting * width).sum() == pytest.approx(waited, rel=1e-9)
    assert (run.course.running[0] * width).sum() == pytest.approx((run.finish_s - run.admitted_s).sum(), rel=1e-9)


# --- sharing, sessions, pools, scaling --------------------------------------------------------------------------------

MOONCAKE = Path(__file__).parents[2] / "src/gigawatt/serving/data/traces/mooncake_fast25_conversation.jsonl.gz"


def mooncake(path):
    with gzip.open(path, "rt") as file:
        rows = [json.loads(line) for line in file]
    sizes = [len(row["hash_ids"]) for row in rows]
    return requests(
        np.array([row["timestamp"] / 1000 for row in rows]),
        np.array([row["input_length"] for row in rows]),
        np.array([row["output_length"] for row in rows]),
        blocks=np.array([i for row in rows for i in row["hash_ids"]], dtype=np.int64),
        block_start=np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        block_tokens=512,
    )


def test_a_boundless_cache_reuses_what_the_published_trace_allows():
    """37 % of the input tokens of the Mooncake conversation trace repeat leading blocks of 512 tokens seen before."""
    asked = mooncake(MOONCAKE)
    seen, ideal = set(), 0
    for r in range(len(asked)):
        ids = asked.blocks[asked.block_start[r] : asked.block_start[r + 1]].tolist()
        whole = ids[: (int(asked.prompt_tokens[r]) - 1) // 512]
        known = next((i for i, block in enumerate(whole) if block not in seen), len(whole))
        ideal += known * 512
        seen.update(whole)
    pool = Pool(table=table(10**10), prefix_cache=True, token_budget=8192)
    # one after the other, so that what came before has been computed
    run = simulate(asked, Service(pool=pool, concurrency=1))
    assert run.totals.cached_tokens == ideal
    assert run.totals.cached_tokens / asked.prompt_tokens.sum() == pytest.approx(0.37, abs=0.01)


def test_a_cache_of_the_memory_left_reuses_less_and_tiers_bring_it_back():
    asked = busy_requests(400)
    reuse = [simulate(asked, services()[name]).totals.cached_tokens for name in ("one", "cache", "cache and tiers")]
    boundless = simulate(asked, Service(pool=replace(services()["cache"].pool, table=table()))).totals.cached_tokens
    assert reuse[0] == 0 < reuse[1] < reuse[2]
    assert reuse[1] < boundless


def test_fetching_from_a_tier_takes_its_bytes_over_its_rate():
    """A turn whose prompt went to host memory starts later by bytes / rate, and computes only the rest."""
    ids = np.arange(64, dtype=np.int64)
    asked = requests(
        [0.0, 100.0, 200.0],
        np.array([1025, 1500, 1025]),
        1,
        blocks=np.concatenate((ids, np.arange(64, 157), ids)),
        block_start=np.array([0, 64, 157, 221]),
        block_tokens=16,
    )
    rate = 1e9
    pool = Pool(
        table=table(1520),
        prefix_cache=True,
        token_budget=2048,
        tiers=(OffloadTier(capacity_bytes=1e12, bytes_per_s=rate),),
    )
    run = simulate(asked, Service(pool=pool))
    assert run.cached_tokens.tolist() == [0, 0, 1024]
    without = simulate(asked, Service(pool=replace(pool, tiers=())))
    assert 0 < without.cached_tokens[2] < 1024  # the end of the first prompt had to make room
    moved = (1024 - without.cached_tokens[2]) * KV_BYTES
    steps = table()
    one = steps.seconds(
        np.zeros(1, dtype=np.int64),
        tokens=np.array([1]),
        sampled=np.array([1]),
        keys=np.array([0.0]),
        pairs=1025.0,
        prefill_tokens=1.0,
    )
    assert run.ttft_s[2] == pytest.approx(moved / rate + one[0], rel=1e-9)


def test_sessions_go_on_after_the_turn_before_and_the_pause():
    after = np.array([-1, 0, 0, 1], dtype=np.int64)
    pause = np.array([0.0, 3.0, 0.5, 0.0])
    asked = requests([0.0, 0.0, 9.0, 9.0], 50, 20, after=after, pause_s=pause)
    run = simulate(asked, Service(pool=Pool(table=table())))
    assert run.ready_s[1] == pytest.approx(run.finish_s[0] + 3.0)
    assert run.ready_s[2] == 9.0  # never before its own arrival
    assert run.ready_s[3] == pytest.approx(max(9.0, run.finish_s[1]))


def test_a_closed_loop_holds_its_number_inside():
    run = simulate(poisson(200, 1.0), Service(pool=Pool(table=table()), concurrency=7))
    edges = np.sort(np.concatenate((run.ready_s, run.finish_s)))
    middle = 0.5 * (edges[1:] + edges[:-1])[:-400]
    inside = [int(((run.ready_s <= t) & (run.finish_s > t)).sum()) for t in middle]
    assert not inside or max(inside) == 7
    assert (np.sort(run.ready_s)[7:] == np.sort(run.finish_s)[:-7]).all()


def test_separate_pools_hand_over_the_keys():
    asked = requests([0.0, 30.0], 2000, 50)
    pool = Pool(table=table(), token_budget=2048)
    rate = 10e9
    runs = [
        simulate(asked, Service(pool=pool, decode_pool=pool, transfer_bytes_per_s=rate, transfer_overlap=overlap))
        for overlap in (0.0, 0.75, 1.0)
    ]
    moved = 2000 * KV_BYTES / rate
    assert runs[0].finish_s - runs[2].finish_s == pytest.approx(moved, rel=1e-9)
    assert runs[1].finish_s - runs[2].finish_s == pytest.approx(0.25 * moved, rel=1e-9)
    assert (runs[0].first_token_s == runs[2].first_token_s).all()
    assert runs[0].prefill_replica.tolist() == [0, 0]
    assert runs[0].replica.tolist() == [1, 1]
    assert runs[0].totals.output_tokens.tolist() == [2, 98]


def test_decodes_do_not_stall_under_separate_pools():
    asked = poisson(300, 3.0, mean_prompt=3000)
    pool = Pool(table=table(), token_budget=2048)
    joint = simulate(asked, Service(pool=replace(pool, replicas=2)))
    apart = simulate(asked, Service(pool=pool, decode_pool=pool, transfer_bytes_per_s=400e9))
    assert np.quantile(apart.tpot_s, 0.99) < 0.6 * np.quantile(joint.tpot_s, 0.99)


def test_a_new_replica_serves_only_after_its_start():
    scaler = Autoscaler(target_requests=4, interval_s=1.0, start_s=20.0, least=1, most=5)
    asked = poisson(400, 6.0)
    run = simulate(asked, Service(pool=Pool(table=table(), autoscaler=scaler)))
    first_use = [run.ready_s[run.replica == p].min() for p in np.unique(run.replica)]
    assert len(first_use) > 1
    assert min(first_use[1:]) >= 21.0
    assert run.course.replicas_on.max() > 1
    quiet = requests(np.append(asked.arrival_s, asked.arrival_s[-1] + 500.0), 100, 100)
    after = simulate(quiet, Service(pool=Pool(table=table(), autoscaler=scaler)))
    assert after.course.replicas_on[0, -2] == pytest.approx(1.0)
    assert after.totals.on_s[0] < 5 * after.end_s


def test_fewest_outstanding_tokens_beats_taking_turns():
    asked = poisson(1500, 20.0, mean_prompt=1500)
    runs = [
        simulate(asked, Service(pool=Pool(table=table(), replicas=4), router=name))
        for name in ("least_loaded", "round_robin")
    ]
    assert np.quantile(runs[0].ttft_s, 0.95) < np.quantile(runs[1].ttft_s, 0.95)


def test_the_router_that_knows_prefixes_reuses_more():
    asked = busy_requests(400)
    cached = replace(services()["cache"].pool, replicas=4)
    aware, blind = (simulate(asked, Service(pool=cached, router=name)) for name in ("prefix_aware", "least_loaded"))
    assert aware.totals.cached_tokens > 1.2 * blind.totals.cached_tokens


def test_orders_of_those_that_wait():
    rng = np.random.default_rng(0)
    prompts = rng.integers(100, 3000, 60)
    classes = rng.integers(0, 2, 60)
    asked = requests(np.zeros(60), prompts, 2, request_class=classes, classes=("batch", "chat"))
    one = Pool(table=table(), max_sequences=1)
    short = simulate(asked, Service(pool=replace(one, order="shortest_prompt")))
    assert (np.diff(prompts[np.argsort(short.finish_s)][1:]) >= 0).all()
    ranked = simulate(asked, Service(pool=replace(one, order="priority", priority=(1, 0))))
    assert (np.diff(classes[np.argsort(ranked.finish_s)][1:]) <= 0).all()
    assert set(ranked.percentiles()) == {"all", "batch", "chat"}


def test_prompts_first_stall_decodes():
    asked = poisson(400, 4.0, mean_prompt=1500)
    pool = Pool(table=table())
    chunked, first = (
        simulate(asked, Service(pool=replace(pool, policy=policy, token_budget=budget)))
        for policy, budget in (("chunked", 512), ("prefill_first", 8192))
    )
    assert first.ttft_s.mean() < chunked.ttft_s.mean()
    assert np.quantile(first.tpot_s, 0.99) > np.quantile(chunked.tpot_s, 0.99)


def test_a_static_batch_ends_before_the_next_begins():
    asked = requests(np.zeros(20), 100, np.arange(1, 21) * 10)
    run = simulate(asked, Service(pool=Pool(table=table(), policy="static", max_sequences=5, token_budget=512)))
    batches = run.admitted_s[1:]
    starts = np.unique(batches)
    for start in starts[1:]:
        assert start >= run.finish_s[run.admitted_s < start].max() - 1e-12


# --- what does not go -------------------------------------------------------------------------------------------------


def test_a_queue_without_end_is_said():
    steps = table()
    run = simulate(poisson(4000, 60.0), Service(pool=Pool(table=steps)))
    assert run.saturated
    assert run.status.startswith("Saturated")
    calm = simulate(poisson(4000, 5.0), Service(pool=Pool(table=steps)))
    assert not calm.saturated


def test_what_does_not_fit_is_named_and_the_rest_is_served():
    after = np.array([-1, -1, 1, -1], dtype=np.int64)
    asked = requests(np.zeros(4), np.array([100, 5000, 10, 100]), 10, after=after, pause_s=np.zeros(4))
    run = simulate(asked, Service(pool=Pool(table=table(1600))))
    assert run.served.tolist() == [True, False, False, True]
    assert [REASONS[i] for i in run.reason[1:3]] == [REASONS[1], REASONS[3]]
    assert run.ttft_s[1] == run.e2e_s[2] == run.tpot_s[1] == -1
    assert run.to_dict()["not_served"] == {REASONS[1]: 1, REASONS[3]: 1}
    with pytest.raises(InfeasibleError, match="no request fits"):
        simulate(requests([0.0], 5000, 10), Service(pool=Pool(table=table(1600))))
    with pytest.raises(InfeasibleError, match="no request fits"):
        simulate(requests([0.0], 1, 1), Service(pool=Pool(table=table(-5))))


def test_the_horizon_cuts_the_run():
    asked = poisson(500, 5.0)
    whole = simulate(asked, Service(pool=Pool(table=table())))
    run = simulate(asked, Service(pool=Pool(table=table())), horizon_s=50.0)
    assert run.end_s == 50.0
    assert (run.finish_s[run.served] <= 50.0).all()
    assert (run.served == (whole.finish_s <= 50.0)).all()
    assert {REASONS[i] for i in run.reason[~run.served]} == {REASONS[2]}


def test_results_are_plain_data():
    run = simulate(poisson(50, 5.0), Service(pool=Pool(table=table())), timeline_steps=10)
    assert json.loads(json.dumps(run.to_dict(), allow_nan=False))["served"] == 50
    frame = run.to_frame()
    assert len(frame) == 50
    assert not frame.isna().to_numpy().any()
    assert len(run.timeline.lane) == 10
    assert run.kv_capacity_tokens.tolist() == [1_000_000]


GOOD = requests([0.0, 1.0], 10, 10)


@pytest.mark.parametrize(
    ("asked", "service", "path"),
    [
        (requests([], 1, 1), {}, "requests"),
        (requests([1.0, 0.0], 1, 1), {}, "arrival_s"),
        (requests([-1.0, 0.0], 1, 1), {}, "arrival_s"),
        (requests([0.0], 0, 1), {}, "prompt_tokens"),
        (requests([0.0], 1, 0), {}, "output_tokens"),
        (replace(GOOD, request_class=np.array([0, 1])), {}, "request_class"),
        (replace(GOOD, output_tokens=np.array([1])), {}, "output_tokens"),
        (replace(GOOD, after=np.array([1, -1]), pause_s=np.zeros(2)), {}, "after"),
        (replace(GOOD, after=np.array([-1, 0])), {}, "pause_s"),
        (replace(GOOD, block_start=np.array([0, 1, 3]), blocks=np.array([0])), {}, "block_start"),
        (GOOD, {"replicas": 0}, "replicas"),
        (GOOD, {"token_budget": 0}, "token_budget"),
        (GOOD, {"token_budget": 2, "draft_tokens": 2}, "token_budget"),
        (GOOD, {"policy": "chunky"}, "policy"),
        (GOOD, {"order": "priority"}, "priority"),
        (GOOD, {"row": 1}, "row"),
        (GOOD, {"acceptance": 1.5}, "draft_tokens"),
        (GOOD, {"prefix_cache": True, "block_tokens": 7}, "block_tokens"),
        (GOOD, {"tiers": (OffloadTier(capacity_bytes=1.0, bytes_per_s=0.0),)}, "tiers"),
        (GOOD, {"autoscaler": Autoscaler(target_requests=1, interval_s=1, start_s=1, least=2, most=3)}, "autoscaler"),
    ],
)
def test_bad_input_is_named(asked, service, path):
    with pytest.raises(InputError, match=path):
        simulate(asked, Service(pool=Pool(**{"table": table()} | service)), compiled=False)


def test_bad_services_are_named_all_at_once():
    pool = Pool(table=table())
    with pytest.raises(InputError) as caught:
        simulate(GOOD, Service(pool=pool, decode_pool=pool, router="least_load", transfer_overlap=2.0, concurrency=0))
    text = str(caught.value)
    for path in ("router", "transfer_bytes_per_s", "transfer_overlap", "concurrency", "did you mean 'least_loaded'"):
        assert path in text
