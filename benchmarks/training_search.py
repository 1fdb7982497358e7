"""Speed and memory of the training engine on two fixed workloads; run: `.venv/bin/python benchmarks/training_search.py`.

S1, one configuration: GPT-3 175B (96 layers, hidden 12288, 96 heads, ffn 49152, sequences of 2048) on 1,024 A100-80GB, 8 per NVLink
domain, 25 GB/s of network each; TP 8, PP 8 with 3 chunks, DP 16, micro-batch 1, global batch 1,536, fp16, full recompute, no ZeRO, no
sequence parallelism. Warm process, full result (memory and time breakdown), median of 200 repeats.

S3, search: GPT-3 175B on 4,096 A100-80GB, global batch 4,096, fp16; once over the default candidates and once over every power of two of
every degree. Configurations are counted as evaluated (memory and time in full) or rejected by a stated rule before; both are printed.

CPU seconds of the process are the figure to trust on a shared machine. Peers, measured in 2026 on 2 cores of a shared EPYC machine:
Calculon S1 11.3 ms, S3 379 configurations per CPU second; llm-analysis S1 0.160 ms (no pipeline chunks, no search); SimuMax S3 7.9 per second.
"""

from __future__ import annotations

import resource
import statistics
import time

from gigawatt.catalog import load_catalog
from gigawatt.hardware import chip_of, fabric_of
from gigawatt.model import PRECISIONS, transformer_of
from gigawatt.training import Columns, Evaluator, Space, TrainingJob, search


def job(accelerators: int, batch: int) -> TrainingJob:
    catalog = load_catalog()
    a100 = catalog.accelerator("A100 SXM 80GB")
    return TrainingJob(
        model=transformer_of(catalog.model_entry("GPT-3 175B")),
        chip=chip_of(a100),
        fabric=fabric_of(a100, accelerators, scale_up_domain=8, scale_out_bytes_per_s=25e9),
        accelerators=accelerators,
        global_batch=batch,
        sequence=2048,
        precision=PRECISIONS["fp16"],
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


def whole_search(name: str, space: Space | None) -> None:
    question = job(4096, 4096)
    start = time.process_time()
    found = search(question, space)
    cpu = time.process_time() - start
    out_of_memory = found.rejected.get("does not fit in memory", 0)
    in_full = found.feasible + out_of_memory
    assert found.best is not None
    print(
        f"S3 {name}: {found.generated:,} configurations in {cpu:.2f} CPU s = {found.generated / cpu:,.0f} per CPU second; "
        f"{in_full:,} evaluated in full ({in_full / cpu:,.0f} per CPU second), {found.feasible:,} fit; Calculon 379 per CPU second"
    )
    print(f"S3 {name}: best {found.best.row(0)}")


def main() -> None:
    one_configuration()
    whole_search("default candidates", None)
    powers = tuple(2**i for i in range(13))
    wide = Space(
        tensor_parallel=(1, 2, 4, 8, 16, 32),
        pipeline_parallel=(1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 96),
        virtual_stages=(1, 2, 3, 4, 6, 8, 12, 16, 24),
        context_parallel=(1, 2, 4, 8),
        micro_batch=powers[:8],
        recompute=(0, 1, 2),
        zero_stage=(0, 1, 2, 3),
        sequence_parallel=(0, 1),
    )
    whole_search("wide space", wide)
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
