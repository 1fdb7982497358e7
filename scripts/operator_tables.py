"""Convert the operator tables of aiconfigurator-core 0.12.0 (Apache-2.0) into a measurement file for `gigawatt calibrate fit`.

The tables are no part of this project: `pip download --no-deps aiconfigurator-core==0.12.0`, unpack the wheel, then
`python scripts/operator_tables.py FOLDER measurements.csv`, FOLDER being its systems/data. Needs pandas and pyarrow.
The rows of one engine are used (TensorRT-LLM, the one that has every chip); training shapes only (m, n, k >= 512; 1,024
tokens and more in attention; balanced experts with 4,096 tokens and more).
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

CHIPS = {
    "a100_sxm": "A100 SXM 80GB",
    "h100_sxm": "H100 SXM",
    "h200_sxm": "H200 SXM",
    "b200_sxm": "B200 SXM",
    "b300_sxm": "B300 SXM",
    "gb200": "GB200 (per GPU)",
    "gb300": "GB300 (per GPU)",
}
DTYPES = {"bfloat16": "bf16", "fp8": "fp8", "nvfp4": "fp4"}
MOST, SEED = 3000, 0
COLUMNS = ["chip", "family", "dtype", "rows", "columns", "depth", "count", "seconds"]


def tables(folder: Path, chip: str, kind: str, file: str) -> pd.DataFrame:
    """Return the rows of one kind of table, of the release that has most."""
    found = [pd.read_parquet(path) for path in sorted(folder.glob(f"{chip}/{kind}/trtllm/*/{file}"))]
    return max(found, key=len) if found else pd.DataFrame()


def matmuls(t: pd.DataFrame) -> pd.DataFrame:
    """Return plain matrix products."""
    t = t[(t.m >= 512) & (t.n >= 512) & (t.k >= 512) & t.gemm_dtype.isin(list(DTYPES))]
    return pd.DataFrame(
        {"family": "matmul", "dtype": t.gemm_dtype.map(DTYPES), "rows": t.m, "columns": t.n, "depth": t.k, "count": 1}
    ).assign(seconds=t.latency / 1e3)


def attention(t: pd.DataFrame) -> pd.DataFrame:
    """Return causal attention over whole prompts: a query sees half of the keys on average."""
    t = t[
        (t.window_size == 0)
        & (t.attn_dtype == "bfloat16")
        & (t.kv_cache_dtype == "bfloat16")
        & (t.isl >= 1024)
        & (t.head_dim == 128)
    ]
    return pd.DataFrame(
        {
            "family": "attention",
            "dtype": "bf16",
            "rows": t.batch_size * t.isl,
            "columns": t.isl / 2,
            "depth": t.head_dim,
            "count": t.num_heads,
        }
    ).assign(seconds=t.latency / 1e3)


def experts(t: pd.DataFrame) -> pd.DataFrame:
    """Return grouped expert products: gate, up and down of all local experts as one product of three times the width."""
    t = t[
        (t.distribution == "balanced")
        & (t.moe_tp_size == 1)
        & (t.num_tokens >= 4096)
        & t.moe_dtype.isin(list(DTYPES))
        & (t.kernel_source == "moe_torch_flow_cutlass")
    ]
    return pd.DataFrame(
        {
            "family": "grouped_matmul",
            "dtype": t.moe_dtype.map(DTYPES),
            "rows": t.num_tokens * t.topk / t.num_experts,
            "columns": 3 * t.inter_size,
            "depth": t.hidden_size,
            "count": t.num_experts / t.moe_ep_size,
        }
    ).assign(seconds=t.latency / 1e3)


def main(folder: Path, target: Path) -> None:
    """Write the measurement file."""
    parts = []
    for chip, name in CHIPS.items():
        for kind, file, convert in (
            ("gemm", "gemm_perf.parquet", matmuls),
            ("attention", "context_attention_perf.parquet", attention),
            ("moe", "moe_perf.parquet", experts),
        ):
            table = tables(folder, chip, kind, file)
            if len(table):
                parts.append(convert(table).assign(chip=name))
    rows = pd.concat(parts)
    groups = rows.groupby(["chip", "family", "dtype"])
    rows = pd.concat([group.sample(min(MOST, len(group)), random_state=SEED) for _, group in groups])
    rows[COLUMNS].to_csv(target, index=False, float_format="%.6g")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
