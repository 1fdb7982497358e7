"""The closed form against theory where there is one, and against a slow event loop of the same engine elsewhere."""

import collections
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.catalog import load_catalog
from gigawatt.errors import InputError
from gigawatt.hardware import chip_of, fabric_of
from gigawatt.model import transformer_of
from gigawatt.serving import SERVING_PRECISIONS, Layouts, Requests, Served, StepTable, engine_constants, step_table
from gigawatt.serving._length_mix import LengthMix
from gigawatt.serving._mean_field import mean_field
from gigawatt.serving._occupancy import Speculation
from gigawatt.serving._pools import Handover, Pools, disaggregated
from gigawatt.serving._replicas import Replicas
from gigawatt.serving._tail import Grid, waiting

ROW = np.zeros(1, dtype=np.int64)


def plain_table(step_s=0.01, per_token_s=0.0, key_s=0.0, kv_tokens=1e12, **more):
    """One configuration whose step takes step_s + per_token_s x tokens + key_s x keys."""
    tokens = np.array([1.0, 1e6])
    fields = {
        "tokens": tokens,
        "products_s": per_token_s * tokens[None, :],
        "head_s": np.zeros((1, 2)),
        "decode_key_s": np.array([key_s]),
        "step_s": np.array([step_s]),
        "window": 0,
        "accelerators": np.ones(1),
        "kv_bytes": np.ones(1),
        "kv_capacity_bytes": np.array([kv_tokens]),
    }
    zero = (
        "decode_window_key_s",
        "prefill_pair_s",
        "prefill_window_pair_s",
        "prefill_token_s",
        "sequence_s",
        "sequence_bytes",
    )
    return StepTable(**{**dict.fromkeys(zero, np.zeros(1)), **fields, **more})


@pytest.fixture(scope="module")
def llama():
    catalog = load_catalog()
    accelerator = catalog.accelerator("H100 SXM")
    served = Served(
        model=transformer_of(catalog.model_entry("Llama 3.1 70B")),
        chip=chip_of(accelerator),
        fabric=fabric_of(accelerator, 32),
        precision=SERVING_PRECISIONS["bf16"],
        constants=engine_constants(),
    )
    return step_table(served, Layouts.of([8]))


def chat(count, seed):
    """Lengths like those of a chat: log-normal prompts with mean 1,150 and outputs with mean 220."""
    rng = np.random.default_rng(seed)
    prompt = np.clip(np.exp(rng.normal(6.7, 0.9, count)), 8, 14000).astype(np.int64)
    output = np.clip(np.exp(rng.normal(5.1, 0.8, count)), 1, 1500).astype(np.int64)
    return prompt, output


def as_requests(prompt, output):
    return Requests(
        arrival_s=np.arange(len(prompt), dtype=np.float64),
        prompt_tokens=prompt,
        output_tokens=output,
        request_class=np.zeros(len(prompt), dtype=np.int64),
    )


def engine_loop(table, arrival, prompt, output, sequences=256, budget=512, block=16):
    """TTFT and TPOT of every request, and the mean number that decode: one replica, step by step, first come first
    served, decode first, chunks of prefill in what is left; a request takes the blocks of its prompt when it starts.
    """
    grid, room = table.tokens, table.kv_capacity_bytes[0] / table.kv_bytes[0] // block

    def line(values, at):
        if at <= 0:
            return 0.0
        i = min(max(int(np.searchsorted(grid, at, side="right")) - 1, 0), len(grid) - 2)
        return values[i] + (values[i + 1] - values[i]) * max((at - grid[i]) / (grid[i + 1] - grid[i]), 0.0)

    count = len(arrival)
    first, finish = np.full(count, -1.0), np.full(count, -1.0)
    waiting_, prefill, decode = collections.deque(), collections.deque(), {}
    used, blocks, come, now, area, busy = 0, {}, 0, 0.0, 0.0, 0.0
    while come < count or waiting_ or prefill or decode:
        while come < count and arrival[come] <= now:
            waiting_.append(come)
            come += 1
        if not (waiting_ or prefill or decode):
            now = arrival[come]
            continue
        left, keys = budget - len(decode), 0
        for r, made in decode.items():
            keys += prompt[r] + made
            need = -(-(prompt[r] + made) // block)
            used += need - blocks[r]
            blocks[r] = need
        assert used <= room
        tokens, pairs, ended, chunks = 0, 0.0, [], 0
        while left > 0:
            if chunks < len(prefill):
                item = prefill[chunks]
            else:
                if not waiting_ or len(prefill) + len(decode) >= sequences:
                    break
                need = -(-prompt[waiting_[0]] // block)
                if used + need > room:
                    break
                item = [waiting_.popleft(), 0]
                blocks[item[0]] = need
                used += need
                prefill.append(item)
            take = min(prompt[item[0]] - item[1], left)
            pairs += take * item[1] + take * (take + 1) / 2
            item[1] += take
            left -= take
            tokens += take
            chunks += 1
            if item[1] == prompt[item[0]]:
                ended.append(item)
        step = line(table.products_s[0], len(decode) + tokens) + line(table.head_s[0], len(decode) + len(ended))
        step += table.decode_key_s[0] * keys + table.prefill_pair_s[0] * pairs + table.prefill_token_s[0] * tokens
        step += table.step_s[0] + table.sequence_s[0] * (len(decode) + chunks)
        now += step
        area, busy = area + len(decode) * step, now
        for r in list(decode):
            decode[r] += 1
            if decode[r] == output[r]:
                finish[r] = now
                del decode[r]
                used -= blocks.pop(r)
        for item in ended:
            prefill.remove(item)
            r = item[0]
            first[r] = now
            if output[r] == 1:
                finish[r] = now
                used -= blocks.pop(r)
            else:
                decode[r] = 1
    return first - arrival, (finish - first) / np.maximum(output - 1, 1), area / busy, finish


@pytest.mark.parametrize("load", [0.1, 0.3, 0.5, 0.7, 0.8])
def test_agrees_with_an_event_loop_of_the_engine(llama, load):
    count = 9000 if load > 0.2 else 3000
    spread = 0.05 if load < 0.75 else 0.10  # of two such runs: their own medians differ by 6 % where queues are long
    prompt, output = chat(count, 5)
    mix = LengthMix.of_requests(as_requests(prompt, output))
    how = Replicas(max_sequences=256, token_budget=512)
    rate = load * float(mean_field(llama, ROW, mix, how, rate=0.0).capacity[0])
    arrival = np.cumsum(np.random.default_rng(7).exponential(1.0 / rate, count))
    arrival *= count / rate / arrival[-1]  # exactly this rate
    ttft, tpot, decoding, finish = engine_loop(llama, arrival, prompt, output)
    field = mean_field(llama, ROW, mix, how, rate=rate)
    late = slice(count // 20, None)
    assert field.served[0] == pytest.approx(count / finish.max(), rel=0.05)
    assert field.decoding[0] == pytest.approx(decoding, rel=0.05)
    assert field.ttft_s[0, 0] == pytest.approx(np.quantile(ttft[late], 0.5), rel=spread)
    assert field.ttft_mean_s[0] == pytest.approx(ttft[late].mean(), rel=2.0 * spread)
    assert field.ttft_s[0, 2] == pytest.approx(
        np.quantile(ttft[late], 0.99), rel=2.5 * spread + (0.025 if load < 0.75 else 0.0)
    )
    more = tpot[late][output[late] > 1]
    assert field.tpot_s[0, 0] == pytest.approx(np.quantile(more, 0.5), rel=0.05)
    assert field.tpot_s[0, 2] == pytest.approx(np.quantile(more, 0.99), rel=0.15)


def test_no_load_gives_the_bare_latency(llama):
    mix = LengthMix.of(1000, 200)
    field = mean_field(llama, ROW, mix, Replicas(token_budget=4096), rate=1e-9)
    one = llama.seconds(
        ROW, tokens=np.array([1000.0]), sampled=np.ones(1), keys=np.zeros(1), pairs=1000.0**2 / 2,
        prefill_tokens=1000.0, sequences=1.0,
    )  # fmt: skip
    assert field.ttft_mean_s[0] == pytest.approx(one[0], rel=1e-3)
    assert field.ttft_s[0] == pytest.approx(one[0], rel=0.01)  # a cell of the grid wide
    decode = llama.seconds(ROW, tokens=np.ones(1), sampled=np.ones(1), keys=np.array([1100.0]))
    assert field.tpot_s[0] == pytest.approx(decode[0], rel=1e-3)
    assert field.preemption_risk[0] < 1e-6


def test_one_server_is_that_of_pollaczek_and_khinchine():
    grid = Grid(cell_s=np.array([0.005]), cells=8192)
    times = -np.log(1.0 - (np.arange(4000) + 0.5) / 4000)[None, :]  # exponential service of mean 1
    for load in (0.3, 0.8):
        wait = waiting(grid, grid.points(times, np.full(4000, 1 / 4000)), utilisation=np.array([load]))
        whole = wait.none[:, None] + wait.some
        found = grid.quantiles(whole, (0.5, 0.9, 0.99))[0]
        exact = [max(-math.log((1 - q) / load) / (1 - load), 0.0) for q in (0.5, 0.9, 0.99)]
        assert found == pytest.approx(exact, rel=0.02, abs=0.01)
        assert grid.mean(whole)[0] == pytest.approx(load / (1 - load), rel=0.01)
    fixed = grid.points(np.ones((1, 1)), np.ones(1))
    wait = waiting(grid, fixed, utilisation=np.array([0.6]))
    assert grid.mean(wait.none[:, None] + wait.some)[0] == pytest.approx(0.6 / (2 * 0.4), rel=0.01)


def test_bursts_of_arrivals_against_a_queue_played_through():
    rng = np.random.default_rng(3)
    groups = 150_000
    size = rng.geometric(1 / 2.5, groups)
    start = np.repeat(np.cumsum(rng.exponential(2.5 / 0.6, groups)), size)
    wait, free = np.empty(len(start)), 0.0
    for i, t in enumerate(start.tolist()):
        free = max(free, t)
        wait[i] = free - t
        free += 1.0
    grid = Grid(cell_s=np.array([0.02]), cells=4096)
    got = waiting(grid, grid.points(np.ones((1, 1)), np.ones(1)), utilisation=np.array([0.6]), burst=2.5)
    whole = got.none[:, None] + got.some
    assert grid.mean(whole)[0] == pytest.approx(wait.mean(), rel=0.03)
    assert grid.quantiles(whole, (0.9, 0.99))[0] == pytest.approx(np.quantile(wait, [0.9, 0.99]), rel=0.04)


def test_memory_limit_is_that_of_littles_law_in_tokens():
    # prompts of 2,000, outputs of 500, chunks of 512: 1,130,322 token-iterations over the life of a request
    resident = sum(min(2000, i * 512) for i in range(1, 5)) + 500 * 2000 + 500 * 501 // 2
    assert resident == 1_130_322
    table = plain_table(step_s=0.02, kv_tokens=200_000)
    field = mean_field(table, ROW, LengthMix.of(2000, 500), Replicas(token_budget=612, block_tokens=0), rate=1.0)
    assert field.binding[0] == "kv cache"
    assert field.capacity[0] == pytest.approx(200_000 / (0.02 * resident), rel=0.02)


@pytest.mark.parametrize(
    ("binding", "table", "mix", "how"),
    [
        ("kv cache", plain_table(kv_tokens=20_000), LengthMix.of(1000, 500), Replicas()),
        ("sequences", plain_table(), LengthMix.of(10, 500), Replicas(max_sequences=32)),
        ("prefill", plain_table(), LengthMix.of(5000, 5), Replicas(token_budget=512)),
        ("memory", plain_table(kv_tokens=-1.0), LengthMix.of(1000, 500), Replicas()),
    ],
)
def test_names_the_limit_that_binds(binding, table, mix, how):
    field = mean_field(table, ROW, mix, how, rate=1e6)
    assert field.binding[0] == binding
    assert field.saturated[0]
    assert field.utilisation[0] > 1.0
    assert np.isinf(field.ttft_s).all()
    assert field.served[0] == field.capacity[0]


def test_sequences_limit_is_that_of_a_full_batch():
    field = mean_field(plain_table(), ROW, LengthMix.of(10, 501), Replicas(max_sequences=32), rate=1.0)
    assert field.capacity[0] == pytest.approx(32 / (500 * 0.01), rel=0.02)


def test_speculation_multiplies_the_tokens_of_a_step():
    guess = Speculation(draft_tokens=3, acceptance=0.7)
    assert guess.tokens_per_step == pytest.approx((1 - 0.7**4) / (1 - 0.7))
    mix = LengthMix.of(100, 401)
    without = mean_field(plain_table(), ROW, mix, Replicas(), rate=0.5)
    with_ = mean_field(plain_table(), ROW, mix, Replicas(speculation=guess), rate=0.5)
    assert with_.tpot_mean_s[0] == pytest.approx(without.tpot_mean_s[0] / guess.tokens_per_step, rel=0.01)
    assert with_.decoding[0] == pytest.approx(without.decoding[0] / guess.tokens_per_step, rel=0.01)


def test_cached_prompts_make_the_first_token_come_sooner(llama):
    cold = mean_field(llama, ROW, LengthMix.of(4000, 200), rate=1.0)
    warm = mean_field(llama, ROW, LengthMix.of(4000, 200, cached=3000), rate=1.0)
    assert warm.ttft_s[0, 0] < 0.5 * cold.ttft_s[0, 0]
    assert warm.capacity[0] > 2.0 * cold.capacity[0]


def test_a_shared_queue_waits_less(llama):
    mix, rate = LengthMix.of_requests(as_requests(*chat(3000, 1))), 7.0
    how = {r: Replicas(token_budget=512, replicas=8, router=r) for r in ("random", "round_robin", "least_loaded")}
    p99 = {r: mean_field(llama, ROW, mix, h, rate=rate).ttft_s[0, 2] for r, h in how.items()}
    assert p99["least_loaded"] < p99["round_robin"] < p99["random"]
    bursty = mean_field(llama, ROW, mix, Replicas(token_budget=512, burstiness=5.0), rate=rate)
    assert bursty.ttft_s[0, 2] > p99["random"]


def test_many_short_prompts_share_a_step():
    # a step takes 31.25 ms with one prompt or sixty: who comes waits for its end, then takes the next: 1 to 2 steps
    mix, how = LengthMix.of(1, 1), Replicas(token_budget=64)
    assert mean_field(plain_table(0.03125), ROW, mix, how, rate=0.0).capacity[0] == pytest.approx(64 / 0.03125)
    field = mean_field(plain_table(0.03125), ROW, mix, how, rate=0.5 * 64 / 0.03125)
    assert field.ttft_s[0] == pytest.approx(0.03125 * np.array([1.5, 1.9, 1.99]), rel=0.12)


def test_pools_apart_have_the_limits_of_their_parts(llama):
    mix = LengthMix.of(2000, 300)
    prefill = Pools(table=llama, rows=ROW, how=Replicas(token_budget=8192, replicas=2))
    decode = Pools(table=llama, rows=ROW, how=Replicas(token_budget=8192, replicas=3))
    hand = Handover(token_bytes=327_680.0, bytes_per_s=400e9)
    both = disaggregated(prefill, decode, mix, rate=5.0, handover=hand)
    assert not both.saturated[0]
    assert both.handover_s[0] >= 2000 * 327_680 / 400e9
    alone = mean_field(llama, ROW, mix.decode_only(), Replicas(token_budget=8192), rate=5.0 / 3.0)
    more = both.handover_s[0] / 299.0
    assert both.tpot_mean_s[0] == pytest.approx(alone.tpot_mean_s[0] + more, rel=1e-6)
    assert both.tpot_s[0, 0] == pytest.approx(alone.tpot_s[0, 0] + more, rel=0.02)
    full = disaggregated(prefill, decode, mix, rate=200.0, handover=hand)
    assert full.saturated[0]
    assert full.binding[0].startswith(("prefill pool", "decode pool"))
    slow = disaggregated(prefill, decode, mix, rate=5.0, handover=Handover(token_bytes=327_680.0, bytes_per_s=1e9))
    assert slow.binding[0] == "handover: link"
    assert np.isinf(slow.tpot_mean_s[0])


def test_points_keep_the_means_of_the_requests():
    prompt, output = chat(20_000, 2)
    mix = LengthMix.of_requests(as_requests(prompt, output))
    for thin in (mix, mix.thinned(12)):
        assert thin.mean(thin.prompt) == pytest.approx(prompt.mean())
        assert thin.mean(thin.output) == pytest.approx(output.mean())
    assert mix.mean(mix.prompt**2) == pytest.approx(np.mean(prompt.astype(float) ** 2), rel=0.01)
    assert len(mix.thinned(12)) <= 12


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: LengthMix.of(0, 10),
        lambda: LengthMix.of(10, 10, cached=11),
        lambda: LengthMix.of([10, 10], 10, weight=[1.0, 0.0]),
        lambda: mean_field(plain_table(), ROW, LengthMix.of(10, 10), rate=-1.0),
        lambda: mean_field(plain_table(), ROW, LengthMix.of(10, 10), Replicas(max_sequences=0), rate=1.0),
        lambda: LengthMix.of_requests(as_requests(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))),
    ],
)
def test_says_what_is_wrong(wrong):
    with pytest.raises(InputError, match="serving"):
        wrong()


@settings(max_examples=15, deadline=None)
@given(
    step=st.floats(1e-3, 0.05),
    token=st.floats(0.0, 1e-4),
    prompt=st.integers(1, 20_000),
    output=st.integers(1, 4000),
    budget=st.integers(64, 16_384),
    kv=st.floats(1e4, 1e7),
)
def test_more_load_is_never_better_and_nothing_is_undefined(step, token, prompt, output, budget, kv):
    table = plain_table(step_s=step, per_token_s=token, key_s=1e-9, kv_tokens=kv)
    mix, how = LengthMix.of(prompt, output), Replicas(token_budget=budget)
    capacity = mean_field(table, ROW, mix, how, rate=0.0).capacity[0]
    rates = np.array([0.0, 0.2, 0.5, 0.8, 0.95, 1.5]) * min(capacity, 1e6)
    field = mean_field(table, np.zeros(6, dtype=np.int64), mix, how, rate=rates)
    for values in (field.ttft_s, field.tpot_s, field.decoding, field.kv_bytes, field.ttft_mean_s):
        assert not np.isnan(values).any()
    assert (np.diff(field.ttft_s[:-1], axis=1) >= -1e-9).all()
    # many short prompts in one step: the median is only known to some per cent
    assert (np.diff(field.ttft_s[:-1], axis=0) >= -0.06 * field.ttft_s[1:-1]).all()
    assert (np.diff(field.decoding) >= -1e-6 * (1.0 + field.decoding[1:])).all()
