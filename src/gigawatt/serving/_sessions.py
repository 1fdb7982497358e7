"""From arrivals of sessions to requests: turns with growing context, an agent's calls, prompts that share a beginning.

    session ──▶ turns (a person thinks between them) ──▶ calls (a tool runs between them) ──▶ requests
    prompt of a request = system prompt + document + all that was said before + new text

A context that would outgrow `max_context` begins anew with its prefix and the new text, as chat programs and agents do when they
compact. Counts of turns and calls are geometric, pauses exponential.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gigawatt.errors import InputError, Problem
from gigawatt.serving._lengths import Length, Lengths, TraceLengths
from gigawatt.serving._requests import Array, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Mean `turns` of a session, `pause_s` after an answer until the next turn; mean `calls` of a turn (an agent's steps),
    `tool_pause_s` between them. Text that a tool adds per call is `tool_tokens` long, by default as a prompt.

    `spread`: "geometric" counts, or "fixed" ones, which must be whole. Raises InputError for counts below 1 and pauses
    below 0.
    """

    turns: float = 1.0
    pause_s: float = 0.0
    calls: float = 1.0
    tool_pause_s: float = 0.0
    tool_tokens: Length | None = None
    spread: Literal["geometric", "fixed"] = "geometric"

    def __post_init__(self) -> None:
        problems = [
            Problem(message="impossible value", path=name, found=f"{value:g}", allowed=f"from {least:g} to {most:g}")
            for name, value, least, most in (
                ("turns", self.turns, 1, 1e5),
                ("calls", self.calls, 1, 1e5),
                ("pause_s", self.pause_s, 0, 1e9),
                ("tool_pause_s", self.tool_pause_s, 0, 1e9),
            )
            if not least <= value <= most
        ]
        if self.spread == "fixed":
            problems += [
                Problem(message="a fixed count must be whole", path=name, found=f"{value:g}")
                for name, value in (("turns", self.turns), ("calls", self.calls))
                if value != int(value)
            ]
        if problems:
            raise InputError(problems)

    @property
    def requests(self) -> float:
        """Mean requests of a session."""
        return self.turns * self.calls

    @property
    def span_s(self) -> float:
        """Mean sum of the pauses of a session, s."""
        return (self.turns - 1.0) * self.pause_s + self.turns * (self.calls - 1.0) * self.tool_pause_s

    def counts(self, mean: float, number: int, rng: np.random.Generator) -> Integers:
        """Return `number` counts of turns or calls."""
        if self.spread == "fixed":
            return np.full(number, int(mean), dtype=np.int64)
        return rng.geometric(1.0 / mean, number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Requests (R,) of sessions, session by session: earliest arrival and pause before it, s; lengths, tokens; `previous`,
    the request before it in its session or -1; `chain`, which run of growing context it belongs to; `document`, which document
    it begins with; `clipped`, whether the context was too short for it.
    """

    arrival_s: Array
    pause_s: Array
    prompt_tokens: Integers
    output_tokens: Integers
    previous: Integers
    chain: Integers
    document: Integers
    clipped: NDArray[np.bool_]

    def take(self, rows: Integers) -> Steps:
        """Return some of the requests, in order; a previous one that is not among them is no longer waited for."""
        place = np.full(len(self.arrival_s) + 1, -1, dtype=np.int64)  # the last one stands for "none"
        place[rows] = np.arange(len(rows))
        taken = {each.name: getattr(self, each.name)[rows] for each in fields(self)}
        taken["previous"] = place[taken["previous"]]
        taken["pause_s"] = np.where(taken["previous"] >= 0, taken["pause_s"], 0.0)
        return Steps(**taken)


def expand(
    starts_s: Array,
    sessions: Sessions,
    lengths: Lengths | TraceLengths,
    rng: np.random.Generator,
    *,
    prefix_tokens: int = 0,
    document_weights: Array | None = None,
    max_context: int | None = None,
) -> Steps:
    """Return the requests of sessions that start at `starts_s` (N,).

    Every prompt begins with `prefix_tokens` (system prompt and document); `document_weights` (documents,) says how often each
    document is asked about.
    """
    turns = sessions.counts(sessions.turns, len(starts_s), rng)
    calls = sessions.counts(sessions.calls, int(turns.sum()), rng)
    number = int(calls.sum())
    session = np.repeat(np.repeat(np.arange(len(starts_s)), turns), calls)
    first_of_turn = np.zeros(number, dtype=bool)
    first_of_turn[np.cumsum(calls) - calls] = True
    first = np.diff(session, prepend=-1) > 0
    pause = np.where(first_of_turn, sessions.pause_s, sessions.tool_pause_s) * rng.exponential(size=number)
    pause[first] = 0.0
    new, output = lengths.draw(rng, number)
    if sessions.tool_tokens is not None:
        later = np.flatnonzero(~first_of_turn)
        drawn = sessions.tool_tokens.draw(rng, len(later))
        new[later] = np.maximum(np.rint(drawn), 1.0).astype(np.int64)
    prompt, output, begins, clipped = _contexts(new, output, first, prefix_tokens, max_context)
    elapsed = np.cumsum(pause)
    begin = np.flatnonzero(first)
    document = np.zeros(len(starts_s), dtype=np.int64)
    if document_weights is not None:
        ends = np.cumsum(document_weights)
        document = np.searchsorted(ends, rng.uniform(0.0, ends[-1], len(starts_s)), side="right")
    return Steps(
        arrival_s=starts_s[session] + elapsed - elapsed[begin][session],
        pause_s=pause,
        prompt_tokens=prompt,
        output_tokens=output,
        previous=np.where(first, -1, np.arange(number) - 1),
        chain=np.cumsum(begins) - 1,
        document=document[session],
        clipped=clipped,
    )


def _contexts(
    new: Integers, output: Integers, first: NDArray[np.bool_], prefix: int, max_context: int | None
) -> tuple[Integers, Integers, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return prompt and output lengths, where a context begins, and what was clipped, (R,) each.

    Sessions go on side by side, one request of each per turn of the loop: whether one begins anew depends on all before.
    """
    most = max_context if max_context is not None else 2**62
    fitting = np.minimum(output, most - prefix - 1)
    alone = np.minimum(prefix + new, most - fitting)
    clipped = (fitting < output) | (alone < prefix + new)
    prompt, begins = alone.copy(), first.copy()
    at = np.flatnonzero(first)
    ends = np.append(at[1:], len(first))
    while True:
        alive = at + 1 < ends
        at, ends = at[alive] + 1, ends[alive]
        if not len(at):
            return prompt, fitting, begins, clipped
        grown = prompt[at - 1] + fitting[at - 1] + new[at]
        over = grown + fitting[at] > most
        prompt[at] = np.where(over, alone[at], grown)
        begins[at] = over
        clipped[at] &= over
