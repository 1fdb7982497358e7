"""What launch scripts are made of: roles, commands, routers, and what an engine has to say to write them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gigawatt.errors import Problem
from gigawatt.export._serving_launch import ServingLaunch

# Where engines listen for each other by default; instances on one host count up from there.
BOOTSTRAP_PORT, RENDEZVOUS_PORT = 8998, 20000
Options = dict[str, Any]


class Role(NamedTuple):
    """One server process: its name, kind (server, prefill, decode, router), launch, where it listens, and its place
    among the roles.
    """

    name: str
    kind: str
    launch: ServingLaunch
    host: str
    port: int
    place: int

    @property
    def url(self) -> str:
        """Where others reach it."""
        return f"http://{self.host}:{self.port}"

    @property
    def listen(self) -> str:
        """The address that it binds: all of its host's unless everything is local."""
        return "localhost" if self.host == "localhost" else "0.0.0.0"


class Command(NamedTuple):
    """One role on one server: environment and the words of the command, line by line."""

    name: str
    host: str
    environment: Mapping[str, str]
    lines: tuple[tuple[str, ...], ...]


class EngineWriter(NamedTuple):
    """What the files of an engine are made of."""

    version: str
    refused: Callable[[ServingLaunch, bool], list[Problem]]
    refused_deployment: Callable[[int, bool], list[Problem]]
    limits: Callable[[ServingLaunch], list[str]]
    commands: Callable[[Role, Mapping[str, Role]], list[Command]]
    configurations: Callable[[Mapping[str, Role]], dict[str, str]]


def router_command(
    role: Role, roles: Mapping[str, Role], head: tuple[str, ...], apart: str, *, bootstrap: bool
) -> Command:
    """Return the router of vLLM or SGLang: to the longest cached prefix where there is one, else in turn."""
    cached = role.launch.prefix_cache
    lines: list[tuple[str, ...]] = [("--host", role.listen), ("--port", str(role.port))]
    lines.append(("--policy", "cache_aware" if cached else "power_of_two"))
    prefill = [other for other in roles.values() if other.kind == "prefill"]
    if not prefill:
        workers = [other.url for other in roles.values() if other.kind == "server"]
        return Command(role.name, role.host, {}, (head, *lines, ("--worker-urls", *workers)))
    lines.append((apart,))
    ports = [(str(BOOTSTRAP_PORT + other.place),) if bootstrap else () for other in prefill]
    lines += [("--prefill", other.url, *port) for other, port in zip(prefill, ports, strict=True)]
    lines += [("--decode", other.url) for other in roles.values() if other.kind == "decode"]
    return Command(role.name, role.host, {}, (head, *lines))


def option_lines(options: Options) -> list[tuple[str, ...]]:
    return [(name,) if value is True else (name, str(value)) for name, value in options.items()]


def given(name: str, value: object) -> Options:
    return {} if value is None else {name: value}


def pair(pair: tuple[str, str] | None) -> Options:
    return {} if pair is None else {pair[0]: pair[1]}


def each_group(total: int | None, groups: int) -> int | None:
    """Return what one attention group takes of a total, rounded up."""
    return None if total is None else math.ceil(total / groups)


def number(value: float) -> str:
    return f"{value:.6g}"


def refusal(message: str, path: str, found: object, allowed: str) -> Problem:
    return Problem(message=message, path=f"serving.{path}", found=repr(found), allowed=allowed)


def any_deployment(instances: int, disaggregated: bool) -> list[Problem]:
    """Refuse nothing."""
    del instances, disaggregated
    return []


def no_files(roles: Mapping[str, Role]) -> dict[str, str]:
    """Return no file beside the script."""
    del roles
    return {}
