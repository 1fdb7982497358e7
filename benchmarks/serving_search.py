"""Speed of the planner of serving; run: `.venv/bin/python benchmarks/serving_search.py`.

W3: Llama 3.1 70B, 32 H100 SXM, prompts of 4,000 and outputs of 1,000 tokens, TTFT at most 2,000 ms and TPOT at most 50 ms for half
of the requests (the promise that the peer's single numbers can be read as) and for 99 in 100, aggregated and disaggregated, bf16, fp8 and int8. The
whole question is timed: step tables, search, ranking. Batch: the same on 20 chips.

Configurations are counted as judged (TPOT, or TPOT and TTFT, computed) or rejected by a stated rule.

Peer, measured in 2026 on 2 cores of a shared EPYC machine: aiconfigurator 0.12.0, 6.1 CPU s (search 4.1), 153 points; aggregated TP4, batch 80,
404 tokens/s per accelerator, TPOT 48.7 ms; best disaggregated 379.
"""

from __future__ import annotations

import resource
import time

import numpy as np

from gigawatt.catalog import Catalog, load_catalog
from gigawatt.hardware import chip_of, fabric_of
from gigawatt.model import Transformer, transformer_of
from gigawatt.serving import (
    SERVING_PRECISIONS,
    Handover,
    Layouts,
    LengthMix,
    Offer,
    Operation,
    PlanPromise,
    Plans,
    Pools,
    ReplicaKind,
    Replicas,
    Served,
    disaggregated,
    engine_constants,
    fleet,
    possible_layouts,
    promised_rate,
    search,
    step_table,
)

CHIPS = (
    "H100 SXM", "A100 SXM 80GB", "H200 SXM", "H800 SXM", "H20", "B200 SXM", "GB200 (per GPU)", "B300 SXM", "GB300 (per GPU)", "MI250X",
    "MI300X", "MI325X", "MI350X", "MI355X", "TPU v5p", "TPU v6e Trillium", "TPU v7 Ironwood (TPU7x)", "Trainium2", "Gaudi 3", "Ascend 910C",
)  # fmt: skip
PRECISIONS = ("bf16", "fp8", "int8")


def offers(catalog: Catalog, model: Transformer, chips: tuple[str, ...], accelerators: int) -> list[Offer]:
    """Return every chip in every format; prices and power do not matter for the speed and are the same for all."""
    found = []
    for name in chips:
        accelerator = catalog.accelerator(name)
        fabric = fabric_of(accelerator, accelerators)
        layouts = possible_layouts(model, accelerators, fabric.tiers[0].domain)
        for precision in PRECISIONS:
            served = Served(
                model=model,
                chip=chip_of(accelerator),
                fabric=fabric,
                precision=SERVING_PRECISIONS[precision],
                constants=engine_constants("any", name),
            )
            table = step_table(served, layouts)
            found.append(
                Offer(
                    chip=name,
                    precision=precision,
                    table=table,
                    layouts=layouts,
                    usd_per_hour=2.0,
                    watts=lambda n: 150.0 + 500.0 * n / (n + 40.0),
                    out_bytes_per_s=50e9,
                    token_bytes=float(table.kv_bytes.min()),
                )
            )
    return found


def show(plans: Plans) -> None:
    print(
        f"  generated {plans.generated:,} = judged {plans.judged:,} + rejected "
        + ", ".join(f"{count:,} {rule}" for rule, count in plans.rejected.items())
        + f"; feasible {plans.feasible:,}"
    )
    if plans.found is None:
        for miss in plans.misses:
            print(f"  {miss.chip} {miss.precision}: {miss.limit} {miss.factor:.3g} times the limit; {miss.remedy}")
        return
    for part, apart in (("aggregated", False), ("disaggregated", True)):
        rows = np.flatnonzero((plans.found.prefill_replicas > 0) == apart)
        for precision in PRECISIONS:
            these = [r for r in rows if plans.offers[plans.found.offer[r]].precision == precision]
            if not these:
                continue
            p = plans.found.take(np.array(these[:1]))
            layout = plans.offers[p.offer[0]].layouts
            with_ = ""
            if apart:
                first = plans.offers[p.prefill_offer[0]].layouts
                with_ = f" + {p.prefill_replicas[0]} x TP{first.tensor_parallel[p.prefill_row[0]]} PP{first.pipeline_parallel[p.prefill_row[0]]} prefill"
            print(
                f"  {part} {plans.offers[p.offer[0]].chip} {precision}: {p.copies[0]} x ({p.replicas[0]} x TP{layout.tensor_parallel[p.row[0]]} "
                f"PP{layout.pipeline_parallel[p.row[0]]}{with_}), {p.sequences[0]:.0f} sequences, budget {max(p.token_budget[0] if not apart else p.prefill_budget[0], 0):.0f}: "
                f"{plans.tokens_per_accelerator(p)[0]:.0f} tokens/s per accelerator, TTFT {p.ttft_s[0] * 1e3:.0f} ms, TPOT {p.tpot_s[0] * 1e3:.1f} ms"
            )


def w3(share: float) -> None:
    start, wall = time.process_time(), time.perf_counter()
    catalog = load_catalog()
    model = transformer_of(catalog.model_entry("Llama 3.1 70B"))
    known = offers(catalog, model, ("H100 SXM",), 32)
    built = time.process_time()
    plans = search(known, LengthMix.of(4000, 1000), PlanPromise(ttft_s=2.0, tpot_s=0.05, share=share), accelerators=32)
    end = time.process_time()
    print(
        f"W3, for {share:.0%} of requests: {end - start:.2f} CPU s ({time.perf_counter() - wall:.2f} wall), search {end - built:.2f}; {plans.generated / (end - built):,.0f} per s"
    )
    show(plans)


def batch() -> None:
    catalog = load_catalog()
    model = transformer_of(catalog.model_entry("Llama 3.1 70B"))
    start = time.process_time()
    known = offers(catalog, model, CHIPS, 32)
    built = time.process_time()
    plans = search(known, LengthMix.of(4000, 1000), PlanPromise(ttft_s=2.0, tpot_s=0.05), accelerators=32)
    end = time.process_time()
    in_full = plans.judged
    print(
        f"batch, {len(CHIPS)} chips: tables {built - start:.2f}, search {end - built:.2f} CPU s; {plans.generated / (end - start):,.0f} configurations per s, {in_full / (end - start):,.0f} judged per s"
    )
    show(plans)


def w2() -> None:
    catalog = load_catalog()
    accelerator = catalog.accelerator("H100 SXM")
    served = Served(
        model=transformer_of(catalog.model_entry("Llama 3.1 70B")),
        chip=chip_of(accelerator),
        fabric=fabric_of(accelerator, 8000),
        precision=SERVING_PRECISIONS["bf16"],
        constants=engine_constants("any", "H100 SXM"),
    )
    rng = np.random.default_rng(0)
    prompt = np.clip(np.exp(rng.normal(6.63, 1.0, 400)), 8, 14089)  # mean 1,242, as long a tail as the trace of W1
    output = np.clip(np.exp(rng.normal(5.1, 0.75, 400)), 1, 1500)
    mix = LengthMix.of(prompt * 1242.4 / prompt.mean(), output * 218.4 / output.mean())
    start = time.process_time()
    table = step_table(served, Layouts.of([8]))
    rows = np.zeros(24, dtype=np.int64)
    rate = 8000.0 * (1.0 + 0.4 * np.sin(2.0 * np.pi * (np.arange(24) - 9) / 24.0)) / 1.4
    prefill = Pools(table=table, rows=rows, how=Replicas(token_budget=4096, replicas=560, max_sequences=256))
    decode = Pools(table=table, rows=rows, how=Replicas(token_budget=4096, replicas=440, max_sequences=256))
    day = disaggregated(prefill, decode, mix, rate=rate, handover=Handover(token_bytes=327_680.0, bytes_per_s=8 * 50e9))
    answered = time.process_time()
    one, how = rows[:1], Replicas(token_budget=4096)
    promise = PlanPromise(ttft_s=1.0, tpot_s=0.05)
    first = promised_rate(table, one, mix.prefill_only(), how, promise)
    rest = promised_rate(table, one, mix.decode_only(), how, PlanPromise(ttft_s=60.0, tpot_s=0.05))
    fleets = [
        fleet(ReplicaKind.of(8.0, kind.rate), rate, Operation(down_share=0.01, start_up_s=300.0))
        for kind in (first, rest)
    ]
    end = time.process_time()
    peak = int(rate.argmax())
    print(
        f"W2, 24 hours of 1,000 replicas in two pools: {answered - start:.2f} CPU s; at the peak of {rate[peak]:,.0f} requests/s TTFT p50 "
        f"{day.prefill.ttft_s[peak, 0] * 1e3:.0f} p99 {day.prefill.ttft_s[peak, 2] * 1e3:.0f} ms, TPOT p50 {day.tpot_s[peak, 0] * 1e3:.1f} ms, "
        f"binding {day.binding[peak]}, prefill {day.prefill.utilisation[peak]:.0%}, decode {day.decode.utilisation[peak]:.0%} used"
    )
    print(
        f"  fleet for TTFT 1 s and TPOT 50 ms of 99 %: {fleets[0].built[0]} + {fleets[1].built[0]} replicas, {fleets[0].freed_share[0]:.0%} and "
        f"{fleets[1].freed_share[0]:.0%} of their time free; {end - answered:.2f} CPU s"
    )


def main() -> None:
    w2()
    w3(0.5)
    w3(0.99)
    batch()
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
