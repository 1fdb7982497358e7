"""Launch commands for a chosen way of serving: vLLM, SGLang, TensorRT-LLM.

    ServingLaunch -> serving_files -> {file name: text} -> write_serving

One instance is tensor x attention-data x pipeline parallel accelerators that answer together. Several instances stand
behind the engine's router; prefill and decode instances may be apart. `serve.sh ROLE` starts one role on its host. What
an engine cannot say is a comment in the file and a sentence of `serving_limits`; what it refuses to run is an
InputError. Option names and the versions that were read are in data/.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.export._serving_commands import Command, EngineWriter, Role
from gigawatt.export._serving_launch import ServingLaunch
from gigawatt.export._serving_sglang import SGLANG_WRITER
from gigawatt.export._serving_tensorrt import TENSORRT_WRITER
from gigawatt.export._serving_vllm import VLLM_WRITER
from gigawatt.files import make_folder, write_atomically

ENGINE_WRITERS: Mapping[str, EngineWriter] = MappingProxyType(
    {"vllm": VLLM_WRITER, "sglang": SGLANG_WRITER, "tensorrt-llm": TENSORRT_WRITER}
)
SERVING_ENGINES = tuple(ENGINE_WRITERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Instances that work together: `instances` of `launch` alike, or, where `prefill` is given, `prefill_instances` of
    it that hand their caches to `instances` of `launch` which decode. Clients talk to `port`; `hosts` names the host of
    every role ("server", or "router" with "server-0", "prefill-0", "decode-0" and so on); without them all are local.
    """

    launch: ServingLaunch
    instances: int = 1
    prefill: ServingLaunch | None = None
    prefill_instances: int = 0
    port: int = 8000
    hosts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        checks = (
            ("instances", self.instances >= 1, "1 or more"),
            (
                "prefill_instances",
                (self.prefill_instances >= 1) == (self.prefill is not None),
                "1 or more with prefill",
            ),
            (
                "port",
                1 <= self.port <= 65535 - 8 * (self.instances + self.prefill_instances),
                "a free range below 65536",
            ),
            ("prefill.model", self.prefill is None or self.prefill.model == self.launch.model, self.launch.model),
            (
                "prefill.kv_precision",
                self.prefill is None or self.prefill.kv_precision == self.launch.kv_precision,
                f"{self.launch.kv_precision}, as the instances that decode",
            ),
            (
                "hosts",
                not self.hosts or set(self.hosts) == set(self.roles()),
                f"none, or all of {', '.join(self.roles())}",
            ),
            ("hosts", bool(self.hosts) or not self._wide(), "the hosts of all roles, where an instance spans servers"),
        )
        problems = [
            Problem(message="this deployment cannot be started", path=f"serving.{path}", allowed=allowed)
            for path, good, allowed in checks
            if not good
        ]
        if problems:
            raise InputError(problems)

    def roles(self) -> dict[str, Role]:
        """Return the roles by name, each with its launch, host and port; the router first where there is one."""
        single = self.instances == 1 and self.prefill is None
        names = ["server"] if single else [f"server-{index}" for index in range(self.instances)]
        found: dict[str, Role] = {}
        if self.prefill is not None:
            names = [f"decode-{index}" for index in range(self.instances)]
            for index in range(self.prefill_instances):
                found[f"prefill-{index}"] = self._role(f"prefill-{index}", "prefill", self.prefill, len(found))
        for name in names:
            found[name] = self._role(name, name.split("-", maxsplit=1)[0], self.launch, len(found))
        if single:
            return {"server": Role("server", "server", self.launch, self._host("server"), self.port, 0)}
        router = Role("router", "router", self.launch, self._host("router"), self.port, 0)
        return {"router": router, **found}

    def _wide(self) -> bool:
        """Return whether an instance spans servers."""
        return any(launch.servers > 1 for launch in (self.launch, self.prefill) if launch is not None)

    def _role(self, name: str, kind: str, launch: ServingLaunch, index: int) -> Role:
        return Role(name, kind, launch, self._host(name), self.port + 1 + index, index)

    def _host(self, name: str) -> str:
        return self.hosts.get(name, "localhost")


def serving_limits(engine: str, deployment: Deployment) -> tuple[str, ...]:
    """Return what the engine's files cannot say, each "name value: what becomes of it". Raises as `serving_files`."""
    writer = ENGINE_WRITERS[_known(engine)]
    parts = (deployment.launch, *([deployment.prefill] if deployment.prefill is not None else []))
    problems = [problem for launch in parts for problem in writer.refused(launch, deployment.prefill is not None)]
    problems += writer.refused_deployment(deployment.instances, deployment.prefill is not None)
    if problems:
        raise InputError(problems)
    return tuple(dict.fromkeys(text for launch in parts for text in writer.limits(launch)))


def serving_files(engine: str, deployment: Deployment) -> dict[str, str]:
    """Return the files that start a deployment on an engine, text by name: serve.sh, and the YAML files that
    TensorRT-LLM wants beside it.

    Raises InputError for an unknown engine and for every combination that the engine refuses to run.
    """
    limits = serving_limits(engine, deployment)
    writer = ENGINE_WRITERS[engine]
    roles = deployment.roles()
    commands = [command for role in roles.values() for command in writer.commands(role, roles)]
    script = _script(engine, writer.version, deployment, limits, commands)
    return {"serve.sh": script, **writer.configurations(roles)}


def write_serving(files: Mapping[str, str], folder: Path) -> None:
    """Write the files into a folder, which is made where it does not exist. Raises OutputError where that fails; no
    file is left half-written.
    """
    make_folder(folder)
    for name, text in files.items():
        write_atomically(folder / name, text)


def _known(engine: str) -> str:
    if engine not in ENGINE_WRITERS:
        raise InputError(
            Problem(
                message="no such serving engine",
                path="engine",
                found=repr(engine),
                allowed=", ".join(SERVING_ENGINES),
                nearest=nearest_name(engine, SERVING_ENGINES),
            )
        )
    return engine


def _script(engine: str, version: str, deployment: Deployment, limits: tuple[str, ...], commands: list[Command]) -> str:
    """Return a shell script that starts the role that it is called with."""
    launch = deployment.launch
    total = launch.accelerators * deployment.instances
    if deployment.prefill is not None:
        total += deployment.prefill.accelerators * deployment.prefill_instances
    model = " ".join(launch.model.split())  # a name with a line break must not leave its comment
    return "\n".join(
        [
            "#!/usr/bin/env bash",
            f"# {model} on {engine} {version}, {total} accelerators, written by gigawatt. Start every role on its host:",
            *(f"#   bash serve.sh {command.name}    # on {command.host}" for command in commands),
            *(f"# not expressed: {' '.join(text.split())}" for text in limits),
            "set -eu",
            'cd "$(dirname "$0")"',
            'case "${1:-}" in',
            *(_branch(command) for command in commands),
            f"*) echo 'roles: {' '.join(command.name for command in commands)}' >&2; exit 2 ;;",
            "esac",
            "",
        ]
    )


def _branch(command: Command) -> str:
    exports = [f"    export {name}={shlex.quote(value)}" for name, value in command.environment.items()]
    head, *lines = (" ".join(shlex.quote(word) for word in words) for words in command.lines)
    body = " \\\n        ".join([f"    exec {head}", *lines])
    return "\n".join([f"{command.name})", *exports, body, "    ;;"])
