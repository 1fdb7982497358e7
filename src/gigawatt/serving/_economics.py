"""Dollars and joules of a token: what input, cached input and output cost apart, and what they bring in.

A replica costs the same every second. The cost of a request is laid on its tokens by the time that each kind takes of the replica:
prefill for input that is computed, reading the cache for input that is not, and the steps of decode, in which its keys and values
stay resident, for output. What the replica idles is laid on all three alike, so that the parts sum to the cost. Prices, watts and
PUE come in as plain values. Models: 11.9, 11.12, 11.13.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from gigawatt.catalog import sourced_table
from gigawatt.errors import InputError, Problem
from gigawatt.evidence import Breakdown, Sourced
from gigawatt.serving._length_mix import LengthMix
from gigawatt.serving._mean_field import MeanField
from gigawatt.serving._step_table import StepTable

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
MILLION = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrices:
    """Dollars for a token: of computed input, of cached input, of output."""

    input: float
    cached: float
    output: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTimes:
    """Seconds that a request takes of its replica, each (N,), and its tokens by kind, means."""

    prefill_s: Array
    cached_s: Array
    decode_s: Array
    computed_tokens: float
    cached_tokens: float
    output_tokens: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCosts:
    """Dollars of a request by kind of token, each (N,), and the tokens of a request."""

    input_usd: Array
    cached_usd: Array
    output_usd: Array
    times: RequestTimes

    @property
    def total_usd(self) -> Array:
        """Dollars of a request, (N,)."""
        return self.input_usd + self.cached_usd + self.output_usd

    def usd_per_million(self) -> dict[str, Array]:
        """Return dollars per million tokens of each kind, (N,), 0 for a kind that does not occur, and per million output
        tokens with everything laid on them ("all on output").
        """
        t = self.times
        counts = {"input": t.computed_tokens, "cached": t.cached_tokens, "output": t.output_tokens}
        parts = {"input": self.input_usd, "cached": self.cached_usd, "output": self.output_usd}
        found = {name: parts[name] / max(count, 1e-300) * MILLION for name, count in counts.items()}
        return {
            **{name: np.where(counts[name] > 0.0, value, 0.0) for name, value in found.items()},
            "all on output": self.total_usd / t.output_tokens * MILLION,
        }

    def breakdown(self, row: int = 0) -> Breakdown:
        """Return the dollars of a request of one row by kind of token."""
        return Breakdown.of(
            "cost of a request",
            "USD",
            {
                "computed input": float(self.input_usd[row]),
                "cached input": float(self.cached_usd[row]),
                "output": float(self.output_usd[row]),
            },
        )


def request_times(
    field: MeanField, table: StepTable, rows: Integers, mix: LengthMix, fetch_s: Array | float = 0.0
) -> RequestTimes:
    """Return what a request takes of its replica at the operating point, s (N,): the time that its prefill adds to
    steps, of which the attention to cached tokens (and `fetch_s` to bring them back) belongs to these, and its share of
    the time of decode.
    """
    served = np.maximum(field.served, 1e-300)
    prefill = field.extra_share / served
    cached = np.minimum(table.prefill_pair_s[rows] * mix.mean(mix.computed * mix.cached), prefill)
    decode = (1.0 - field.extra_share) / served * np.minimum(field.decoding, 1.0)
    return RequestTimes(
        prefill_s=prefill - cached,
        cached_s=cached + fetch_s * (mix.mean(mix.cached) > 0.0),
        decode_s=np.where(field.served > 0.0, decode, 0.0),
        computed_tokens=mix.mean(mix.computed),
        cached_tokens=mix.mean(mix.cached),
        output_tokens=mix.mean(mix.output),
    )


def token_costs(times: RequestTimes, *, usd_per_s: Array | float, requests_per_s: Array | float) -> TokenCosts:
    """Return the dollars of a request by kind of token: `usd_per_s` (N,) of the replica over its requests, by the time
    that each kind takes.

    Raises InputError where no request is served: a token that is never made has no price.
    """
    rate = np.asarray(requests_per_s, dtype=np.float64)
    if np.any(rate <= 0.0):
        raise InputError(
            Problem(message="no requests, no cost per token", path="serving.rate", found=str(rate.min()), allowed="above 0")
        )  # fmt: skip
    each = np.asarray(usd_per_s, dtype=np.float64) / rate
    total = times.prefill_s + times.cached_s + times.decode_s
    return TokenCosts(
        input_usd=each * times.prefill_s / total,
        cached_usd=each * times.cached_s / total,
        output_usd=each * times.decode_s / total,
        times=times,
    )


def accelerator_usd_per_s(
    accelerators: Array | float, usd_per_hour: Array | float, *, watts: Array | float = 0.0, pue: float = 1.0,
    usd_per_j: float = 0.0,
) -> Array:  # fmt: skip
    """Return dollars per second of accelerators: rent or capital per accelerator-hour, and energy of `watts` each, at
    the wall of a facility of this `pue`, where it is paid apart (`usd_per_j`).
    """
    each = np.asarray(usd_per_hour, dtype=np.float64) / 3600.0 + np.asarray(watts) * pue * usd_per_j
    return np.asarray(accelerators * each, dtype=np.float64)


def tokens_per_joule(
    tokens_per_s: Array | float, accelerators: Array | float, watts: Array | float, pue: float
) -> Array:
    """Return tokens per joule at the wall, which is tokens/s per watt and, times 1e6, tokens of a megawatt-second:
    `watts` are those of one accelerator at the operating point, not at the largest batch (models: 11.12).
    """
    return np.asarray(tokens_per_s / (np.asarray(accelerators) * np.asarray(watts) * pue), dtype=np.float64)


def revenue_usd(times: RequestTimes, prices: TokenPrices) -> float:
    """Return what a request brings in, dollars."""
    return (
        times.computed_tokens * prices.input + times.cached_tokens * prices.cached + times.output_tokens * prices.output
    )


def margin(revenue: Array | float, cost: Array | float) -> Array:
    """Return (revenue - cost) / cost: 5.45 for 562,027 from 87,072."""
    return np.asarray((np.asarray(revenue) - cost) / np.asarray(cost), dtype=np.float64)


def break_even_utilisation(
    times: RequestTimes, prices: TokenPrices, *, usd_per_s: Array | float, capacity: Array | float
) -> Array:
    """Return the share of its capacity (requests/s) that an own replica must be used for so that its tokens cost what
    an API asks for them, (N,): above 1 the API is cheaper whatever the load.
    """
    return np.asarray(np.asarray(usd_per_s) / (np.asarray(capacity) * revenue_usd(times, prices)), dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingDay:
    """A time of serving in a fleet with prefill and decode nodes: nodes, dollars, margin."""

    prefill_nodes: float
    decode_nodes: float
    cost: Breakdown
    revenue: Breakdown
    tokens: float

    @property
    def nodes(self) -> float:
        """Nodes on average."""
        return self.prefill_nodes + self.decode_nodes

    @property
    def margin(self) -> float:
        """(revenue - cost) / cost."""
        return float(margin(self.revenue.value, self.cost.value))

    @property
    def usd_per_million_tokens(self) -> float:
        """Dollars of cost per million tokens, input and output together."""
        return self.cost.value / self.tokens * MILLION


def serving_day(
    *,
    input_tokens: float,
    cached_tokens: float,
    output_tokens: float,
    duration_s: float,
    node_input_rate: float,
    node_output_rate: float,
    node_accelerators: float,
    usd_per_s: float,
    prices: TokenPrices,
    nodes: float | None = None,
) -> ServingDay:
    """Return nodes, cost and revenue of tokens that nodes make at given rates, tokens/s; `usd_per_s` is of one
    accelerator. With `nodes`, those that were on are paid instead of those that the rates need.
    """
    prefill = input_tokens / duration_s / node_input_rate
    decode = output_tokens / duration_s / node_output_rate
    paid = 1.0 if nodes is None else nodes / (prefill + decode)
    each = node_accelerators * duration_s * usd_per_s * paid
    return ServingDay(
        prefill_nodes=prefill,
        decode_nodes=decode,
        cost=Breakdown.of("cost", "USD", {"prefill nodes": prefill * each, "decode nodes": decode * each}),
        revenue=Breakdown.of(
            "revenue",
            "USD",
            {
                "computed input": (input_tokens - cached_tokens) * prices.input,
                "cached input": cached_tokens * prices.cached,
                "output": output_tokens * prices.output,
            },
        ),
        tokens=input_tokens + output_tokens,
    )


@cache
def online_day_facts() -> Mapping[str, Sourced]:
    """Return the published figures of DeepSeek's day of serving V3 and R1 by key."""
    return sourced_table("gigawatt.serving", "data/online_day.csv")


def online_day(*, published_nodes: bool = False) -> ServingDay:
    """Return DeepSeek's day computed from its published rates: 226.9 nodes, 562,000 USD of revenue at list prices; with
    the published mean of 226.75 nodes 87,072 USD and a margin of 545 %.
    """
    f = {key: fact.best for key, fact in online_day_facts().items()}
    return serving_day(
        input_tokens=f["input_tokens"],
        cached_tokens=f["cached_tokens"],
        output_tokens=f["output_tokens"],
        duration_s=f["duration"],
        node_input_rate=f["node_input_rate"],
        node_output_rate=f["node_output_rate"],
        node_accelerators=f["node_accelerators"],
        usd_per_s=f["accelerator_price"],
        prices=list_prices(),
        nodes=f["nodes_mean"] if published_nodes else None,
    )


def list_prices() -> TokenPrices:
    """Return the list prices of DeepSeek-R1 of that day."""
    f = online_day_facts()
    return TokenPrices(
        input=f["list_price.input"].best, cached=f["list_price.cached"].best, output=f["list_price.output"].best
    )
