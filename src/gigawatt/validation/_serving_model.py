"""Predictions of one case of the serving table: what the harness would have measured on the modelled replica."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.serving import (
    ClosedLoop,
    EngineConstants,
    Layouts,
    MeanLengths,
    Served,
    StepTable,
    closed_loop,
    engine_constants,
    steady_state,
    step_table,
)
from gigawatt.validation._rows import UnreadableRowError
from gigawatt.validation._serving_rows import WAVES, Case, Degrees

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
ROW = np.zeros(1, dtype=np.int64)
# Requests of a simulated server run: 99th percentiles of 1,500 rest on 15 requests.
SERVER_REQUESTS = 1500
# A prompt's cache goes to the decode workers over one 400 Gb/s port per accelerator.
TRANSFER_BYTES_PER_S = 50e9
# Shares of memory: it ran, so what this memory model finds too much is at most the one, and the cache holds the other.
TOLERANCE, LEAST_CACHE = 0.1, 0.03


@dataclass(slots=True)
class Predictor:
    """Step tables by configuration, made once per set of constants."""

    changes: Mapping[str, float] = field(default_factory=dict)
    tables: dict[Any, StepTable] = field(default_factory=dict)

    def constants(self, case: Case) -> EngineConstants:
        """Return the constants that a case is predicted with."""
        found = engine_constants(case.stack, case.chip.name)
        return replace(found, **self.changes) if self.changes else found

    def table(self, case: Case, degrees: Degrees) -> StepTable:
        """Return the step table of one worker of a case."""
        constants = self.constants(case)
        key = (case.model.name, case.chip.name, len(case.fabric.tiers), case.precision, degrees, constants)
        if key not in self.tables:
            served = Served(
                model=case.model, chip=case.chip, fabric=case.fabric, precision=case.precision, constants=constants
            )
            self.tables[key] = step_table(
                served, Layouts.of(degrees.tp, degrees.pp, min(degrees.ep, degrees.tp * degrees.dp), degrees.dp)
            )
        return self.tables[key]

    def predict(self, case: Case) -> dict[str, float]:
        """Return the predicted quantities of a case: tpot_s, ttft_s, output_rate (tokens/s of all accelerators)."""
        if case.prefill is not None:
            return self._disaggregated(case)
        return {
            "closed": self._closed,
            "open": self._open,
            "static": self._static,
            "offline": self._offline,
            "server": self._server,
            "prefill": self._prefill,
            "decode": self._decode,
        }[case.kind](case)

    def capacity(self, table: StepTable, case: Case) -> float:
        """Return the bytes of the cache of a worker; it ran, so a weight too many by this memory model leaves some."""
        least = LEAST_CACHE * case.chip.memory_bytes * float(table.accelerators[0])
        found = float(table.kv_capacity_bytes[0])
        if found < -TOLERANCE * case.chip.memory_bytes * float(table.accelerators[0]):
            raise UnreadableRowError("by this memory model the weights do not fit")
        return max(found, least)

    def slots(self, case: Case, degrees: Degrees) -> float:
        """Return how many sequences the scheduler of a worker takes at most."""
        return (case.slots or self.constants(case).slots) * degrees.dp * degrees.pp

    def budget(self, case: Case, degrees: Degrees) -> float:
        """Return how many prompt tokens a step of a worker holds at most."""
        return (case.token_budget or self.constants(case).token_budget) * degrees.dp * degrees.pp

    def _closed(self, case: Case) -> dict[str, float]:
        table = self.table(case, case.degrees)
        clients = max(1, round(case.load / case.degrees.workers))
        count = max(min(case.requests or WAVES * clients, 20000), clients, 20)
        found = self._loop(case, table, clients, count)
        return self._times(case, found, case.degrees.workers)

    def _loop(
        self, case: Case, table: StepTable, clients: int, count: int, rate: float = 0.0, degrees: Degrees | None = None
    ) -> ClosedLoop:
        """Return one worker under `clients` clients, or under `rate` requests a second."""
        random = np.random.default_rng(0)
        prompts = _draw(random, case.prompt, case.spread, count)
        outputs = _draw(random, case.output / case.tokens_per_step, case.spread, count)
        c, on = self.constants(case), degrees or case.degrees
        held = self.capacity(table, case)
        return closed_loop(
            table,
            0,
            prompts=prompts,
            outputs=outputs,
            clients=clients,
            slots=int(self.slots(case, on)),
            token_budget=int(self.budget(case, on)),
            mixed=c.mixed > 0.5,
            cache_tokens=held / float(table.kv_bytes[0]) if table.kv_bytes[0] else np.inf,
            reserve=c.reserve,
            arrivals_s=np.cumsum(random.exponential(1.0 / rate, count)) if rate else None,
        )

    def _offline(self, case: Case) -> dict[str, float]:
        best = 0.0
        for degrees in self._choices(case):
            try:
                best = max(best, self._full_rate(case, degrees) * degrees.workers)
            except UnreadableRowError:
                continue
        if not best:
            raise UnreadableRowError("by this memory model the weights do not fit")
        return {"output_rate": best * case.output}

    def _full_rate(self, case: Case, degrees: Degrees) -> float:
        """Return the requests per second of a worker that is always full."""
        table = self.table(case, degrees)
        each = table.kv_bytes * (case.prompt + case.output / 2) + table.sequence_bytes
        sequences = np.maximum(np.minimum(self.capacity(table, case) / each, self.slots(case, degrees)), 1.0)
        state = steady_state(
            table,
            ROW,
            MeanLengths.of(case.prompt, case.output),
            sequences=sequences,
            token_budget=self.budget(case, degrees),
        )
        return float(state.requests_per_s[0])

    def _choices(self, case: Case) -> list[Degrees]:
        """Return the layouts that a submitter may have chosen: as stated, in MLPerf any tensor degree."""
        d = case.degrees
        if not case.group.startswith("MLPERF"):
            return [d]
        count = d.workers * d.accelerators
        return [
            Degrees(workers=count // tp, tp=tp, pp=1, ep=1, dp=1) for tp in (1, 2, 4, 8, 16) if count % tp == 0
        ] or [d]

    def _static(self, case: Case) -> dict[str, float]:
        table, batch = self.table(case, case.degrees), case.load
        t = _decode_seconds(table, batch, case.prompt + case.output / 2)
        first = _prompt_seconds(table, batch, case.prompt)
        return {
            "tpot_s": t,
            "ttft_s": first,
            "output_rate": batch * case.output / (first + (case.output - 1) * t) * case.degrees.workers,
        }

    def _open(self, case: Case) -> dict[str, float]:
        table, workers = self.table(case, case.degrees), case.degrees.workers
        count = max((case.requests or 500) // workers, 1)
        if np.isinf(case.load):
            return self._times(case, self._loop(case, table, count, count), workers)
        return self._times(case, self._loop(case, table, 1, count, case.load / workers), workers)

    def _times(self, case: Case, found: ClosedLoop, workers: int) -> dict[str, float]:
        middle = np.median if case.median else np.mean
        return {
            "tpot_s": float(middle(found.tpot_s)) / case.tokens_per_step,
            "ttft_s": float(middle(found.ttft_s)) + self.constants(case).first_s,
            "output_rate": len(found.ttft_s) * case.output / found.total_s * workers,
        }

    def _server(self, case: Case) -> dict[str, float]:
        """Return the highest Poisson rate that keeps the limits, and the times at that rate."""
        assert case.limits is not None
        best, chosen = 0.0, case.degrees
        for degrees in self._choices(case):
            try:
                rate = self._highest_rate(case, degrees) * degrees.workers
            except UnreadableRowError:
                continue
            if rate > best:
                best, chosen = rate, degrees
        if not best:
            raise UnreadableRowError("no Poisson rate keeps the limits")
        found = self._loop(case, self.table(case, chosen), 1, SERVER_REQUESTS, best / chosen.workers, chosen)
        return self._times(case, found, chosen.workers) | {"output_rate": best * case.output}

    def _highest_rate(self, case: Case, degrees: Degrees) -> float:
        """Return the highest rate of one worker at which the 99th percentiles keep the limits, 1/s (bisection)."""
        assert case.limits is not None
        table = self.table(case, degrees)
        low, high = 0.0, 1.2 * self._full_rate(case, degrees)
        for _ in range(9):
            rate = (low + high) / 2
            found = self._loop(case, table, 1, SERVER_REQUESTS, rate, degrees)
            late = np.percentile(found.ttft_s, 99) > case.limits[0] or np.percentile(found.tpot_s, 99) > case.limits[1]
            low, high = (low, rate) if late else (rate, high)
        return low

    def _prefill(self, case: Case) -> dict[str, float]:
        table = self.table(case, case.degrees)
        prompts = max(self.budget(case, case.degrees) / case.prompt, 1.0)
        return {"input_rate": prompts * case.prompt / _prompt_seconds(table, prompts, case.prompt)}

    def _decode(self, case: Case) -> dict[str, float]:
        table = self.table(case, case.degrees)
        n = (case.load or 88.0) * case.degrees.dp
        step = _decode_seconds(table, n, case.prompt)
        return {"tpot_s": step / case.tokens_per_step, "output_rate": n * case.tokens_per_step / step}

    def _disaggregated(self, case: Case) -> dict[str, float]:
        """Return the fixed point of prefill workers, which batch the prompts that wait, and decode workers."""
        assert case.prefill is not None
        first, second = self.table(case, case.prefill), self.table(case, case.degrees)
        clients, x, y = case.load, case.prefill.workers, case.degrees.workers
        p, o = case.prompt, case.output
        most = max(self.budget(case, case.prefill) / p, float(case.prefill.dp))
        moved = p * float(second.kv_bytes[0]) / (TRANSFER_BYTES_PER_S * case.prefill.accelerators)
        decoding, tpot, ttft = clients / 2, 0.0, 0.0
        for _ in range(50):
            tpot = _decode_seconds(second, max(decoding / y, 1.0), p + o / 2)
            waiting = max(clients - decoding, 1.0)
            batch = min(max(waiting / x, 1.0), most)
            seconds = _prompt_seconds(first, batch, p)
            ttft = seconds * max(waiting / (x * batch), 1.0) + moved + tpot
            decoding = 0.6 * decoding + 0.4 * clients * o * tpot / (o * tpot + ttft)
        # all clients start at once: the first of WAVES requests of each waits for half of the others
        burst = _prompt_seconds(first, most, p) / (x * most) * clients / 2.0 / WAVES
        return {
            "tpot_s": tpot,
            "ttft_s": ttft + burst + self.constants(case).first_s,
            "output_rate": clients * o / (ttft + o * tpot),
        }


def _decode_seconds(table: StepTable, sequences: float, context: float) -> float:
    """Return the time of a step of so many decoding sequences, s."""
    n = np.array([sequences])
    window = n * min(context, float(table.window))
    return float(table.seconds(ROW, tokens=n, sampled=n, keys=n * context, window_keys=window)[0])


def _prompt_seconds(table: StepTable, prompts: float, length: float) -> float:
    """Return the time of a step of so many whole prompts and nothing else, s."""
    tokens = np.array([prompts * length])
    pairs = tokens * length / 2
    return float(
        table.seconds(
            ROW,
            tokens=tokens,
            sampled=np.array([prompts]),
            keys=np.zeros(1),
            pairs=pairs,
            window_pairs=np.minimum(pairs, tokens * table.window),
            prefill_tokens=tokens,
        )[0]
    )


def _draw(random: np.random.Generator, mean: float, spread: float, count: int) -> Integers:
    """Return lengths around a mean: evenly within the relative half-width, exponential where it is infinite."""
    if np.isinf(spread):
        values = random.exponential(mean, count)
    else:
        values = mean * random.uniform(1.0 - spread, 1.0 + spread, count)
    return np.maximum(np.rint(values), 1).astype(np.int64)
