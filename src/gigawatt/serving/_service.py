"""What serves: pools of replicas with their scheduler, cache and tiers, a router before them, autoscalers beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.serving._requests import Requests
from gigawatt.serving._step_table import StepTable

POLICIES = ("chunked", "prefill_first", "static")
ORDERS = ("fcfs", "shortest_prompt", "priority")
ROUTERS = ("round_robin", "least_loaded", "prefix_aware")
MOST_TIERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class OffloadTier:
    """Memory that cached blocks are moved to when they have to leave the accelerators: bytes per replica, and the rate at
    which they come back. What it takes to move them out is not counted: that goes on beside the steps.
    """

    capacity_bytes: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaler:
    """Keeps `target_requests` inside the pool (waiting, running) for each replica that is up, between `least` and `most`.

    Looks every `interval_s`; a new replica is up `start_s` later (it takes power meanwhile); one that is too many takes
    no more requests and stops when its last has ended.
    """

    target_requests: float
    interval_s: float
    start_s: float
    least: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Equal replicas: row `row` of a table of step times, and how an engine fills its steps.

    `policy`: "chunked" (all decodes, then chunks of prompts up to `token_budget` tokens), "prefill_first" (whole prompts
    up to the budget, at least one; decodes stall meanwhile), "static" (a batch is filled when the one before has ended
    wholly). `order` of those that wait: "fcfs", "shortest_prompt", or "priority": `priority` by class of request, lower
    goes first. A prompt gets memory for all its tokens when it is admitted, an output block by block; where there is no
    block left, the last to arrive (the last in priority) leaves and is computed anew later.

    At most min(max_sequences, token_budget / (1 + draft_tokens)) sequences run at once: each decodes in every step.

    `prefix_cache` keeps the known blocks of prompts, least recently used out first, then to `tiers` (at most two).
    `draft_tokens` and `acceptance`: speculative decoding or multi-token prediction, with `draft_s` per step.
    """

    table: StepTable
    row: int = 0
    replicas: int = 1
    max_sequences: int = 256
    token_budget: int = 512
    policy: str = "chunked"
    order: str = "fcfs"
    priority: tuple[int, ...] = ()
    block_tokens: int = 16
    prefix_cache: bool = False
    tiers: tuple[OffloadTier, ...] = ()
    draft_tokens: int = 0
    acceptance: float = 0.0
    draft_s: float = 0.0
    autoscaler: Autoscaler | None = None

    @property
    def limit(self) -> int:
        """Most sequences that run at once in a replica."""
        return min(self.max_sequences, self.token_budget // (1 + self.draft_tokens))

    @property
    def most_replicas(self) -> int:
        """Replicas that can ever be up."""
        return self.autoscaler.most if self.autoscaler else self.replicas


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One pool that does all, or a pool that prefills (`pool`) and one that decodes (`decode_pool`).

    Under separate pools the first token is out at the end of the prefill; then the keys and values of the prompt (as many
    bytes as the decode replica keeps) go over the link of the prefill replica at `transfer_bytes_per_s`, once the decode
    replica has room for them; `transfer_overlap` of the time is hidden behind the prefill, layer by layer. The prefill
    replica keeps them until then.

    `router`: "round_robin", "least_loaded" (fewest outstanding tokens: prompts until they are prefilled, outputs until
    they end; their lengths are taken as known), "prefix_aware" (fewest outstanding tokens, less what of the prompt is
    cached there). `concurrency`: a closed loop; so many requests are inside, the next comes when one ends, and
    `arrival_s` is ignored.
    """

    pool: Pool
    decode_pool: Pool | None = None
    router: str = "least_loaded"
    transfer_bytes_per_s: float = 0.0
    transfer_overlap: float = 0.0
    concurrency: int | None = None

    @property
    def pools(self) -> tuple[Pool, ...]:
        """The pools in the order in which a request goes through them."""
        return (self.pool,) if self.decode_pool is None else (self.pool, self.decode_pool)


def check(requests: Requests, service: Service) -> None:
    """Raise InputError with everything that is wrong in requests and service."""
    problems = [*_requests(requests), *_service(requests, service)]
    for name, pool in zip(("pool", "decode_pool"), service.pools, strict=False):
        problems += _pool(name, pool, requests)
    if problems:
        raise InputError(problems)


def _requests(requests: Requests) -> Iterator[Problem]:
    count = len(requests)
    if count == 0:
        yield Problem(message="there is nothing to serve", path="requests", allowed="at least one request")
        return
    columns = ("prompt_tokens", "output_tokens", "request_class")
    sizes = {name: len(getattr(requests, name)) for name in columns}
    sizes |= {name: len(getattr(requests, name)) for name in ("after", "pause_s") if len(getattr(requests, name))}
    for name, size in sizes.items():
        if size != count:
            yield Problem(message="one value per request", path=f"requests.{name}", found=str(size), allowed=str(count))
    if set(sizes.values()) - {count}:
        return
    arrival = requests.arrival_s
    own = arrival[requests.after < 0] if len(requests.after) else arrival  # what waits for another comes when it may
    if not bool((arrival >= 0).all() and (arrival < float("inf")).all() and (own[1:] >= own[:-1]).all()):
        yield Problem(
            message="times rise from zero on", path="requests.arrival_s", allowed="sorted seconds, none negative"
        )
    for name in ("prompt_tokens", "output_tokens"):
        least = int(getattr(requests, name).min())
        if least < 1:
            yield Problem(
                message="every request has tokens", path=f"requests.{name}", found=str(least), allowed="1 or more"
            )
    classes = requests.request_class
    if int(classes.min()) < 0 or int(classes.max()) >= len(requests.classes):
        yield Problem(
            message="every request is of a class",
            path="requests.request_class",
            found=f"{classes.min()} to {classes.max()}",
            allowed=f"0 to {len(requests.classes) - 1}",
        )
    if len(requests.after) and not bool((requests.after < range(count)).all() and (requests.after >= -1).all()):
        yield Problem(
            message="a request waits for one before it", path="requests.after", allowed="-1, or an earlier row"
        )
    if len(requests.pause_s) and not bool((requests.pause_s >= 0).all()):
        yield Problem(message="a pause lasts", path="requests.pause_s", allowed="0 s or more")
    if len(requests.after) and not len(requests.pause_s):
        yield Problem(
            message="what waits for another needs its pause", path="requests.pause_s", allowed="0 s or more each"
        )
    yield from _blocks(requests)


def _blocks(requests: Requests) -> Iterator[Problem]:
    start = requests.block_start
    if not len(start):
        return
    fits = len(start) == len(requests) + 1 and start[0] == 0 and start[-1] == len(requests.blocks)
    if not fits or bool((start[1:] < start[:-1]).any()):
        yield Problem(message="does not divide the block ids among the requests", path="requests.block_start")
    if len(requests.blocks) and int(requests.blocks.min()) < 0:
        yield Problem(message="block ids are dense from 0 on", path="requests.blocks", found=str(requests.blocks.min()))


def _service(requests: Requests, service: Service) -> Iterator[Problem]:
    yield from _one_of("router", service.router, ROUTERS)
    if service.decode_pool is not None:
        if not service.transfer_bytes_per_s > 0:
            yield Problem(
                message="separate pools need a link between them",
                path="service.transfer_bytes_per_s",
                found=f"{service.transfer_bytes_per_s:g}",
                allowed="above 0 bytes/s",
            )
        if service.decode_pool.policy == "static":
            yield Problem(
                message="a decode pool takes sequences as they come", path="service.decode_pool.policy", found="static"
            )
    if not 0 <= service.transfer_overlap <= 1:
        yield Problem(
            message="is a share",
            path="service.transfer_overlap",
            found=f"{service.transfer_overlap:g}",
            allowed="0 to 1",
        )
    if service.concurrency is not None:
        if service.concurrency < 1:
            yield Problem(
                message="nobody inside", path="service.concurrency", found=str(service.concurrency), allowed="1 or more"
            )
        if len(requests.after) and int(requests.after.max()) >= 0:
            yield Problem(
                message="a closed loop has no sessions", path="service.concurrency", allowed="requests without `after`"
            )


def _pool(name: str, pool: Pool, requests: Requests) -> Iterator[Problem]:
    path = f"service.{name}"
    yield from _one_of(f"{name}.policy", pool.policy, POLICIES)
    yield from _one_of(f"{name}.order", pool.order, ORDERS)
    for field in ("replicas", "max_sequences", "token_budget", "block_tokens"):
        if getattr(pool, field) < 1:
            yield Problem(
                message="is too few", path=f"{path}.{field}", found=str(getattr(pool, field)), allowed="1 or more"
            )
    if not 0 <= pool.row < len(pool.table):
        yield Problem(
            message="is no row of the table",
            path=f"{path}.row",
            found=str(pool.row),
            allowed=f"0 to {len(pool.table) - 1}",
        )
    if pool.order == "priority" and len(pool.priority) != len(requests.classes):
        yield Problem(
            message="needs a number per class",
            path=f"{path}.priority",
            found=str(pool.priority),
            allowed=str(len(requests.classes)),
        )
    if pool.draft_tokens < 0 or not 0 <= pool.acceptance <= 1 or pool.draft_s < 0:
        yield Problem(
            message="speculation needs drafts of 0 tokens or more, accepted with a chance of 0 to 1, in 0 s or more",
            path=f"{path}.draft_tokens",
            found=f"{pool.draft_tokens}, {pool.acceptance:g}, {pool.draft_s:g} s",
        )
    elif pool.limit < 1 <= pool.token_budget:
        yield Problem(
            message="does not hold one sequence with its drafts",
            path=f"{path}.token_budget",
            found=str(pool.token_budget),
            allowed=f"{1 + pool.draft_tokens} or more",
        )
    if pool.prefix_cache and pool.block_tokens > 0 and requests.block_tokens % pool.block_tokens:
        yield Problem(
            message="known blocks of prompts are whole blocks of the KV cache",
            path=f"{path}.block_tokens",
            found=str(pool.block_tokens),
            allowed=f"a divisor of {requests.block_tokens}",
        )
    if len(pool.tiers) > MOST_TIERS or any(tier.capacity_bytes < 0 or not tier.bytes_per_s > 0 for tier in pool.tiers):
        yield Problem(
            message="at most two tiers, each with bytes and bytes/s above 0",
            path=f"{path}.tiers",
            found=str(pool.tiers),
        )
    yield from _autoscaler(path, pool)


def _autoscaler(path: str, pool: Pool) -> Iterator[Problem]:
    scaler = pool.autoscaler
    if scaler is None:
        return
    if not 1 <= scaler.least <= pool.replicas <= scaler.most:
        yield Problem(
            message="replicas at the start lie between the least and the most",
            path=f"{path}.autoscaler",
            found=f"{scaler.least}, {pool.replicas}, {scaler.most}",
        )
    if not (scaler.target_requests > 0 and scaler.interval_s > 0 and scaler.start_s >= 0):
        yield Problem(
            message="needs a target and an interval above 0, and a start of 0 s or more",
            path=f"{path}.autoscaler",
            found=f"{scaler.target_requests:g}, {scaler.interval_s:g} s, {scaler.start_s:g} s",
        )


def _one_of(path: str, found: str, allowed: tuple[str, ...]) -> Iterator[Problem]:
    if found not in allowed:
        yield Problem(
            message="is not known",
            path=f"service.{path}",
            found=found,
            allowed=", ".join(allowed),
            nearest=nearest_name(found, allowed),
        )
