"""What cannot stand together in the serving section, each with its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gigawatt.documents import Document
from gigawatt.errors import Problem
from gigawatt.scenario._serving_fields import DemandItem, LengthItem, ServingSection, TrafficItem


def serving_problems(section: ServingSection, document: Document) -> list[Problem]:
    """Return the contradictions within a serving section."""
    found = [*_names("traffic", section.traffic or ()), *_names("images", section.images or ())]
    for kind, items in (("traffic", section.traffic or ()), ("images", section.images or ())):
        for index, item in enumerate(items):
            found += [(f"{kind}.{index}{field and '.'}{field}", message) for field, message in _item(item)]
    found += _engine(section)
    return [
        Problem(message=message, location=document.place(f"serving.{field}"), path=f"serving.{field}")
        for field, message in found
    ]


def _names(kind: str, items: Sequence[DemandItem]) -> Iterator[tuple[str, str]]:
    names = [item.name for item in items]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield f"{kind}.{index}.name", f"the name {name!r} is taken by the one above"


def _item(item: DemandItem) -> Iterator[tuple[str, str]]:
    users = (item.users, item.requests_per_user)
    if item.rate is not None and users != (None, None):
        yield ("users" if item.users is not None else "requests_per_user"), "give a rate or users, not both"
    elif item.rate is None and users == (None, None):
        yield "", "this needs a rate, or users and requests_per_user"
    elif item.rate is None and None in users:
        yield "", f"{'requests_per_user' if item.users is not None else 'users'} is missing beside it"
    if isinstance(item, TrafficItem):
        yield from _lengths(item)
        yield from _arrivals(item)


def _lengths(item: TrafficItem) -> Iterator[tuple[str, str]]:
    if item.trace is None:
        missing = [name for name in ("prompt", "output") if getattr(item, name) is None]
        if missing:
            yield "", f"this needs {' and '.join(missing)}, or a trace"
    else:
        for name in ("prompt", "output"):
            if getattr(item, name) is not None:
                yield name, "give lengths or a trace, not both"
        for name in ("turns", "calls", "system_prompt", "document"):
            value = getattr(item, name)
            if value is not None and not (name in ("turns", "calls") and value == 1):
                yield (
                    name,
                    "prompts of a trace hold what was said before them: give prompt and output instead of the trace",
                )
    for name in ("prompt", "output", "tool_tokens"):
        length: LengthItem | None = getattr(item, name)
        if length is not None and (reason := _no_length(length)):
            yield name, reason
    if item.tool_tokens is not None and (item.calls is None or item.calls == 1):
        yield "tool_tokens", "tools answer between calls: give calls above 1"
    if item.document is None:
        for name in ("documents", "document_skew"):
            if getattr(item, name) is not None:
                yield name, "this needs the length of a document"
    prefix = (item.system_prompt or 0) + (item.document or 0)
    if item.max_context is not None and item.max_context < prefix + 2:
        yield "max_context", f"system prompt and document, {prefix:,.0f} tokens, leave no room in the context"


def _no_length(length: LengthItem) -> str:
    """Return why statistics make no distribution, "" where they may."""
    low, high = length.min or 1.0, length.max
    given = [value for value in (length.mean, length.p50, length.p99) if value is not None]
    if high is not None and high < low:
        return "min is above max"
    if any(value < low or (high is not None and value > high) for value in given):
        return "a mean or percentile is outside of min and max"
    if not given and (length.min is None or high is None):
        return "give mean, two of mean, p50 and p99, or min and max"
    if len(given) == 1 and (length.mean is None or length.min is not None or high is not None):
        return "one statistic makes no distribution: give two of mean, p50 and p99 (a mean alone is a fixed length)"
    if length.tail is not None and len(given) < 2:
        return "a tail needs two of mean, p50 and p99"
    if length.p50 is not None and length.p99 is not None and length.p99 < length.p50:
        return "p99 is below p50"
    return ""


_OF_ARRIVALS = {"burstiness": "gamma", "burst_ratio": "bursty", "burst_length": "bursty", "quiet_length": "bursty"}


def _arrivals(item: TrafficItem) -> Iterator[tuple[str, str]]:
    arrivals = item.arrivals or "poisson"
    for name, kind in _OF_ARRIVALS.items():
        given = getattr(item, name) is not None
        if given and arrivals != kind:
            yield name, f"this belongs to arrivals: {kind}, they are {arrivals}"
        elif not given and arrivals == kind:
            yield "arrivals", f"{kind} arrivals need {name}"


def _engine(section: ServingSection) -> Iterator[tuple[str, str]]:
    if section.disaggregated in (None, "no") and section.prefill_accelerator is not None:
        yield "prefill_accelerator", "a kind for prefill needs disaggregated: yes or search"
    if section.draft_tokens is not None and section.acceptance is None:
        yield "draft_tokens", "guessed tokens need an acceptance"
    if section.acceptance is not None and section.draft_tokens is None:
        yield "acceptance", "an acceptance needs draft_tokens"
    if section.offload is not None and section.prefix_cache is False:
        yield "offload", "offload keeps shared beginnings, which prefix_cache: false drops"
