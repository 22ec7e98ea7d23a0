"""How an image runs: command, environment and ports, and the rules for them.

What the spec leaves empty, its scenario says. Trials and deployments may replace the command and add to the
environment of an image; the same rules hold for what they bring.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from cyberlab.spec import names
from cyberlab.spec.files import relative
from cyberlab.spec.image import ImageSpec
from cyberlab.spec.names import shown
from cyberlab.wire import Catalogue, Problem

ENV_MAX = 64
ENV_VALUE_MAX = 4096
ENV_TOTAL_MAX = 32_000
ARGS_MAX = 64
ARG_MAX = 2048
COMMAND_BYTES = 60_000
"""Of the whole command as one line: the engine reads no line over 65,535 bytes."""
PORTS_MAX = 16

_RESERVED_PORTS = frozenset({2375, 2376, 2377, 4789, 7946})
"""The engine's and the swarm's own, on every device."""


def command_of(spec: ImageSpec, catalogue: Catalogue) -> tuple[str, ...]:
    """argv of the program; empty when neither the spec nor its scenario has one."""
    if spec.command:
        return spec.command
    scenario = catalogue.scenario(spec.scenario)
    return scenario.command if scenario else ()


def ports_of(spec: ImageSpec, catalogue: Catalogue) -> tuple[int, ...]:
    """TCP ports the program listens on, ascending."""
    scenario = catalogue.scenario(spec.scenario)
    return tuple(sorted(spec.ports or (scenario.ports if scenario else ())))


# ---------------------------------------------------------------- problems
def run_problems(command: Sequence[str], env: Mapping[str, str]) -> tuple[Problem, ...]:
    """Everything wrong with what a trial or a deployment adds to an image's own command and environment."""
    return (*command_problems(command), *env_problems(env), *_template_problems(env))


def command_problems(command: Sequence[str]) -> Iterator[Problem]:
    if len(command) > ARGS_MAX:
        yield Problem(
            path="command",
            code="command-too-long",
            message=f"The command has more than {ARGS_MAX} words. Put them into a script.",
        )
        return
    if len(json.dumps(list(command), ensure_ascii=False).encode(errors="replace")) > COMMAND_BYTES:
        yield Problem(
            path="command",
            code="command-too-long",
            message=f"The command has more than {COMMAND_BYTES:,} bytes. Put it into a script.",
        )
        return
    if command and not command[0].strip():
        yield Problem(
            path="command[0]",
            code="command-invalid",
            message="The command starts with an empty word. Begin with a program, such as python3.",
        )
    for index, word in enumerate(command):
        if len(word) > ARG_MAX:
            yield Problem(
                path=f"command[{index}]",
                code="command-too-long",
                message=f"A word of the command has more than {ARG_MAX} characters. Put it into a file.",
            )
        elif names.has_invisible(word):
            yield Problem(
                path=f"command[{index}]",
                code="command-invalid",
                message=f"The command holds an invisible character in {shown(word)}, such as a line "
                "break. Put the program into a file.",
            )


def program_problems(spec: ImageSpec, catalogue: Catalogue) -> Iterator[Problem]:
    """The command is there, and the file it names too: better said now than by twenty devices."""
    command = command_of(spec, catalogue)
    if not command:
        if catalogue.scenario(spec.scenario) is not None:
            yield Problem(
                path="command",
                code="command-missing",
                message="This run scenario has no command of its own. "
                "Write the command, such as python3 main.py.",
            )
        return
    scenario = catalogue.scenario(spec.scenario)
    if not spec.command and scenario and spec.base not in scenario.bases:
        return  # another scenario will have another command
    if spec.custom.strip() or len(command) < 2 or command[0] not in ("python", "python3", "node"):
        return
    program = command[1]
    if not program.startswith("-") and program not in _placed(spec):
        yield Problem(
            path="files",
            code="program-missing",
            message=f"The command runs {shown(program)}, but there is no such file. "
            "Add the file, or change the command.",
        )


def env_problems(env: Mapping[str, str]) -> Iterator[Problem]:
    if len(env) > ENV_MAX:
        yield Problem(
            path="env",
            code="env-too-many",
            message=f"More than {ENV_MAX} environment variables. Put the settings into a file.",
        )
        return
    if sum(len(name) + len(value) for name, value in env.items()) > ENV_TOTAL_MAX:
        yield Problem(
            path="env",
            code="env-too-large",
            message=f"The environment has more than {ENV_TOTAL_MAX:,} characters in all. Put the settings into a file.",
        )
        return
    for name, value in env.items():
        found = _env_problem(name, value)
        if found:
            yield Problem(path=f"env.{name}", code=found[0], message=found[1])


def port_problems(ports: Sequence[int]) -> Iterator[Problem]:
    if len(ports) > PORTS_MAX:
        yield Problem(
            path="ports",
            code="ports-too-many",
            message=f"More than {PORTS_MAX} ports. Keep those the program really needs.",
        )
        return
    for index, port in enumerate(ports):
        path = f"ports[{index}]"
        if not 1024 <= port <= 65535:
            yield Problem(
                path=path,
                code="port-invalid",
                message=f"Port {str(port)[:20]} cannot be used. Choose one from 1024 to 65535, such as 8080.",
            )
        elif port in _RESERVED_PORTS:
            yield Problem(
                path=path,
                code="port-reserved",
                message=f"Port {port} belongs to the devices themselves. Choose another, such as 8080.",
            )
        elif port in ports[:index]:
            yield Problem(
                path=path, code="port-duplicate", message=f"Port {port} is listed twice. Remove one."
            )


def _env_problem(name: str, value: str) -> tuple[str, str] | None:
    if not names.is_env_name(name):
        return (
            "env-name-invalid",
            f"{shown(name)} cannot be the name of an environment variable. "
            "Use letters, digits and _, such as INTERVAL.",
        )
    if names.is_reserved_env(name):
        return "env-name-reserved", f"{name} is set by the lab. Choose another name, such as MY_{name}."
    if len(value) > ENV_VALUE_MAX:
        return (
            "env-value-too-long",
            f"The value of {name} has more than {ENV_VALUE_MAX} characters. Put it into a file.",
        )
    if names.has_invisible(value):
        return (
            "env-value-invalid",
            f"The value of {name} holds an invisible character, such as a line break. Put it into a file.",
        )
    return None


def _template_problems(env: Mapping[str, str]) -> Iterator[Problem]:
    """The swarm would expand ``{{...}}`` in a service's environment."""
    for name, value in env.items():
        if "{{" in value:
            yield Problem(
                path=f"env.{name}",
                code="env-value-invalid",
                message=f"The value of {shown(name)} holds '{{{{'. Remove it, or put the value into a file.",
            )


def _placed(spec: ImageSpec) -> set[str]:
    """Every way in which the command may name one of the files."""
    placed: set[str] = set()
    for entry in spec.files:
        try:
            inside = relative(entry.path, spec.workdir)
        except ValueError:
            continue  # reported beside the file itself
        placed |= {inside, f"./{inside}", f"{spec.workdir}/{inside}"}
    return placed
