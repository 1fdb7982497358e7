"""Speed and memory of the training engine; run: `.venv/bin/python benchmarks/training_search.py`.

S1, one configuration: GPT-3 175B (96 layers, hidden 12288, 96 heads, ffn 49152, sequences of 2048) on 1,024 A100-80GB, 8 per NVLink
domain, 25 GB/s of network each; TP 8, PP 8 with 3 chunks, DP 16, micro-batch 1, global batch 1,536, fp16, full recompute, no ZeRO, no
sequence parallelism. Warm process, configuration parsed, full result (memory and time breakdown), median of 200 repeats. "Warm tables"
keeps what layers cost under a sharding, as a search does; "new job" computes it again each time.

S2: search for Turing-NLG 530B (105 layers, hidden 20480, 128 heads), S3: GPT-3 175B, S4: GPT-3 1T (128 layers, hidden 25600, 160 heads); each on
4,096 A100-80GB, global batch 4,096, sequences of 2048, fp16. Three spaces: the usual candidates, pruned; a space of more than 7,126,368
strategies (as many as Calculon visits for S3 with its offloads: degrees, chunks, micro-batch, recompute, sharding, sequence split, schedules,
overlap, both offloads) exhausted; and the same space pruned, with the same optimum. Configurations are counted as evaluated (memory and time in
full), rejected by a stated rule, or pruned by the bound of their family.

Scale: the same search on 1,024 and on 1,048,576 H100. Plan: as a plan searches, with the memory margin and with strategies of fewer accelerators.
Inverse: the fewest H100 for steps of 10, 1 and 0.1 times that of 16,384.

CPU seconds of the process are the figure to trust on a shared machine. Peers, measured in 2026 on 2 cores of a shared EPYC machine:
Calculon S1 11.3 ms, S2 296 and S3 379 configurations per CPU second; llm-analysis S1 0.160 ms (no pipeline chunks, no search); SimuMax S3 7.9
per second.
"""

from __future__ import annotations

import resource
import statistics
import time

from gigawatt.catalog import ModelEntry, load_catalog
from gigawatt.hardware import chip_of, fabric_of
from gigawatt.model import PRECISIONS, Transformer, transformer_of
from gigawatt.training import Columns, Evaluator, Space, TrainingJob, constants, fewest, search

GPT_1T = {"layers": 128, "hidden": 25600, "heads": 160, "ffn": 102400}
NLG_530B = {"layers": 105, "hidden": 20480, "heads": 128, "ffn": 81920}
CALCULON_SPACE = 7_126_368


def gpt(layers: int, hidden: int, heads: int, ffn: int) -> Transformer:
    sizes = {"layers": layers, "hidden": hidden, "ffn": ffn, "heads": heads, "kv_heads": heads}
    rest = {"head_dim": hidden // heads, "vocab": 51200, "ffn_act": "gelu", "tie_embeddings": True}
    return transformer_of(ModelEntry(name="GPT", type="dense", architecture={**sizes, **rest}))


def job(accelerators: int, batch: int, model: Transformer | None = None, name: str = "A100 SXM 80GB") -> TrainingJob:
    catalog = load_catalog()
    accelerator = catalog.accelerator(name)
    slow = {"scale_up_domain": 8, "scale_out_bytes_per_s": 25e9} if name.startswith("A100") else {}
    return TrainingJob(
        model=model or transformer_of(catalog.model_entry("GPT-3 175B")),
        chip=chip_of(accelerator),
        fabric=fabric_of(accelerator, accelerators, **slow),
        accelerators=accelerators,
        global_batch=batch,
        sequence=2048,
        precision=PRECISIONS["fp16" if name.startswith("A100") else "bf16"],
        constants=constants(stack="megatron-core", chip=name),
    )


def one_configuration(repeats: int = 200) -> None:
    strategy = Columns.of(
        tensor_parallel=8,
        pipeline_parallel=8,
        virtual_stages=3,
        data_parallel=16,
        micro_batch=1,
        recompute=2,
        zero_stage=0,
        sequence_parallel=0,
    )
    question = job(1024, 1536)
    warm, fresh = Evaluator(question), []
    step = warm.evaluate(strategy)
    again = []
    for times, make in ((fresh, lambda: Evaluator(question)), (again, lambda: warm)):
        for _ in range(repeats):
            start = time.process_time()
            make().evaluate(strategy)
            times.append(time.process_time() - start)
    print(f"S1 step {step.step_s[0]:.2f} s, memory {step.memory_bytes[0] / 1e9:.1f} GB")
    print(f"S1 CPU, new job each time:      {statistics.median(fresh) * 1e3:.2f} ms (median of {repeats})")
    print(
        f"S1 CPU, same job, warm tables:  {statistics.median(again) * 1e3:.2f} ms (median of {repeats}); Calculon 11.3 ms"
    )


def whole_search(name: str, question: TrainingJob, space: Space | None, prune: bool) -> float:
    start = time.process_time()
    found = search(question, space, prune=prune)
    cpu = time.process_time() - start
    in_full = found.feasible + found.rejected.get("does not fit in memory", 0)
    assert found.best is not None
    step = float(Evaluator(question).evaluate(found.best).step_s[0])
    how = "pruned" if prune else "exhausted"
    print(
        f"{name}, {how}: {found.generated:,} configurations in {cpu:.2f} CPU s; {in_full:,} evaluated in full ({in_full / cpu:,.0f} per CPU second), "
        f"{found.feasible:,} fit, {found.pruned:,} pruned; best {step:.4f} s"
    )
    return step


def as_planned(name: str, question: TrainingJob) -> float:
    start = time.process_time()
    found = search(question, margin=question.constants.memory_margin, narrower=True)
    cpu = time.process_time() - start
    assert found.best is not None
    assert found.by_count is not None
    step = float(Evaluator(question).evaluate(found.best).step_s[0])
    print(
        f"{name}: {found.generated:,} configurations in {cpu:.2f} CPU s; best {step:.4f} s, {len(found.by_count)} numbers of accelerators within a quarter"
    )
    return step


def inverse(question: TrainingJob, step_s: float) -> None:
    start = time.process_time()
    answer = fewest(question, step_s, margin=question.constants.memory_margin)
    cpu = time.process_time() - start
    count = "no number" if answer is None else f"{int(answer.accelerators[0]):,}"
    print(f"inverse, a step of {step_s:.2f} s: {count} H100 in {cpu:.2f} CPU s")


def large(question: TrainingJob) -> Space:
    layers = len(question.model.layers)
    return Space(
        tensor_parallel=(1, 2, 4, 8, 16, 32),
        pipeline_parallel=tuple(p for p in range(1, layers + 1) if layers % p == 0),
        virtual_stages=(1, 2, 3, 4, 5, 6, 8, 12, 16, 24),
        context_parallel=(1, 2, 4, 8),
        micro_batch=(1, 2, 3, 4, 6, 8, 12, 16),
        recompute=(0, 1, 2),
        zero_stage=(0, 1, 2, 3),
        sequence_parallel=(0, 1),
        schedule=(0, 1, 2),
        tensor_overlap=(0, 1),
        offload_optimizer=(0, 1),
        offload_activations=(0, 1),
    )


def main() -> None:
    one_configuration()
    for name, model in (("S2", gpt(**NLG_530B)), ("S3", None), ("S4", gpt(**GPT_1T))):
        whole_search(f"{name} usual candidates", job(4096, 4096, model), None, prune=True)
    question = job(4096, 4096)
    pruned = whole_search("S3 large space", question, large(question), prune=True)
    everything = whole_search("S3 large space", question, large(question), prune=False)
    print(f"the same optimum: {pruned == everything}; Calculon's space has {CALCULON_SPACE:,}")
    for accelerators in (1024, 1_048_576):
        big = job(accelerators, 65536, name="H100 SXM")
        whole_search(f"scale, {accelerators:,} H100", big, None, prune=True)
    step = as_planned("plan, 16,384 H100", job(16384, 65536, name="H100 SXM"))
    for factor in (10, 1, 0.1):
        inverse(job(1_048_576, 65536, name="H100 SXM"), step * factor)
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
