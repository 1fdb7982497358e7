"""What limits one synchronous run, limit by limit: batch, latency, stragglers, start-up (docs/science.md 7.1, 9.3, 10.2, 10.3,
10.9). The network is in `_network_size`, all of them together in `_largest_fleet`.

Symbols: n accelerators, B batch in tokens, B_crit critical batch, a seconds of computing per token of the whole fleet,
c seconds of a step that do not shrink with the batch (latency and exposed exchange). Times in seconds. Scalars and
columns (C,) give the same answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import numpy as np

from gigawatt.catalog import sourced_table
from gigawatt.evidence import Sourced
from gigawatt.reliability._formulas import Numbers


@cache
def scale_facts() -> Mapping[str, Sourced]:
    """Return the packaged numbers of scale limits by key (data/scale.csv)."""
    return MappingProxyType(sourced_table("gigawatt.reliability", "data/scale.csv"))


def batch_overhead(batch_tokens: Numbers, critical_batch_tokens: Numbers) -> Numbers:
    """Return the tokens needed over the fewest possible, 1 + B/B_crit (McCandlish and others, arXiv 1812.06162).

    Holds for the average critical batch of a run; it grows with the data and hardly with the model (arXiv 2410.21676).
    B = B_crit/5: 1.2.
    """
    return 1.0 + np.asarray(batch_tokens) / critical_batch_tokens


def best_batch_tokens(token_s: Numbers, fixed_s: Numbers, critical_batch_tokens: Numbers) -> Numbers:
    """Return the batch of most useful tokens per second, B* = sqrt(c*B_crit/a), tokens.

    Maximises B/((a*B + c)*(1 + B/B_crit)), which is then 1/(sqrt(a) + sqrt(c/B_crit))^2: at the best batch the share of
    tokens wasted equals the share of a step that is overhead. a `token_s` seconds per token of the whole fleet, c
    `fixed_s`. a = 1e-9, c = 4e-3, B_crit = 100e6: 20e6 tokens.
    """
    return np.sqrt(np.asarray(fixed_s) * critical_batch_tokens / token_s)


def ceiling_tokens_per_s(critical_batch_tokens: Numbers, fixed_s: Numbers) -> Numbers:
    """Return B_crit/c, the useful tokens per second that no number of accelerators exceeds (n to infinity at the best
    batch). B_crit = 140e6 and 120 layers with 4 exchanges of 9 us: 3.2e10 tokens per second.
    """
    return np.asarray(critical_batch_tokens) / fixed_s


def wall_accelerators(token_s: Numbers, critical_batch_tokens: Numbers, fixed_s: Numbers) -> Numbers:
    """Return the fleet at the latency wall, n = t*B_crit/c, where one accelerator takes t `token_s` for a token.

    There a*B_crit = c, so that a quarter of the ideal rate is useful at the best batch; a tenth of that fleet keeps
    58 %. 405e9 parameters at 400e12 FLOP/s each (6.1 ms per token), B_crit = 140e6, c = 4.3 ms: 2e8 accelerators.
    """
    return np.asarray(token_s) * critical_batch_tokens / fixed_s


def latency_wall_flop(
    run_s: Numbers,
    layers: Numbers,
    syncs_per_layer: Numbers,
    sync_s: Numbers,
    batch_tokens: Numbers,
    tokens_per_parameter: Numbers = 20.0,
) -> Numbers:
    """Return the largest run that latency allows, 6/20*(B*T/(k*L*t_sync))^2 FLOP (docs/science.md 10.2), in columns.

    90 days, 120 layers, 4 exchanges of 9 us, 4e6 tokens: 1.6e31, where arXiv 2411.01137 has about 1e31. Counts each token
    as useful: divide B by `batch_overhead`.
    """
    tokens = np.asarray(batch_tokens) * run_s / (np.asarray(syncs_per_layer) * layers * sync_s)
    return 6.0 / np.asarray(tokens_per_parameter) * np.square(tokens)


def straggler_factor(ranks: Numbers, jitter: Numbers, operations: Numbers = 1.0) -> Numbers:
    """Return E[slowest of n]/mean = 1 + sigma/sqrt(k)*z(n) (docs/science.md 7.1), normal and independent times.

    z = sqrt(2 ln n) - (ln ln n + ln 4 pi)/(2 sqrt(2 ln n)), from n = 4 on; below, z grows linearly from 0 at n = 1.
    This z is the mode of the largest; the mean lies 0.577/sqrt(2 ln n) higher (3 to 5 %, left out as in 7.1). `jitter` sigma is relative per operation and averages over `operations` k between two barriers. n = 16,384: z = 3.86;
    n = 1e6: 4.77.
    """
    n = np.asarray(ranks, dtype=np.float64)
    root = np.sqrt(2.0 * np.log(np.maximum(n, 4.0)))
    z = root - (np.log(root**2 / 2.0) + np.log(4.0 * np.pi)) / (2.0 * root)
    z = np.where(n < 4.0, z * np.maximum(n - 1.0, 0.0) / 3.0, z)
    return np.asarray(1.0 + np.asarray(jitter) / np.sqrt(operations) * z)
